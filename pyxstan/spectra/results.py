"""From the draws of a fit of spectra to the groups of its inference data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan.spectra import likelihood
from pyxstan.spectra.stored import to_json
from pyxstan.units import spelled

if TYPE_CHECKING:
    from pyxstan.engine.sampling import Draws
    from pyxstan.spectra.folding import Folded
    from pyxstan.spectra.problem import SpectraProblem

#: Draws of which likelihoods and predictions are kept, at most.
_MOST_DRAWS = 1000

#: Of all counts: so many may be background for W where its region has none.
_TOO_MANY = 0.1


def groups(problem: SpectraProblem, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
    """Every group of the inference data but `sample_stats`."""
    data, spectra = problem.data, problem.spectra
    values = problem.values(draws.variables["z"])
    chains, count = draws.variables["z"].shape[:2]
    every = {"chain": np.arange(chains), "draw": np.arange(count)}
    kept = np.arange(0, count, max(1, -(-chains * count // _MOST_DRAWS)))
    rng = np.random.default_rng([seed, 1])
    thinned = {name: x[:, kept].ravel() for name, x in values.items()}
    mean = problem.values(draws.variables["z"].mean(axis=(0, 1))[None])  # which links follow
    expected, log_like, deviance = [], [], 0.0
    drawn: list[likelihood.Replicate] = []
    for one in spectra:
        of_source = one.expected(thinned)
        log_like.append(one.log_likelihood(of_source))
        drawn.append(likelihood.replicate(one.statistic, one.binned, of_source, rng))
        behind = likelihood.background(one.statistic, one.binned)
        problem.complaints.extend(_misjudged(one, of_source))
        expected.append((of_source, of_source + behind))
        deviance -= 2 * float(one.log_likelihood(one.expected(mean)).sum())
    problem.attributes["deviance_at_mean"] = deviance
    problem.attributes["spectral_model"] = to_json(data)
    shape = (chains, len(kept), -1)
    channels = _channels(problem)
    some = {**every, "draw": kept, **channels}

    def joined(parts: list[np.ndarray]) -> tuple[tuple[str, ...], np.ndarray]:
        return ("chain", "draw", "channel"), np.concatenate(parts, axis=1).reshape(shape)

    varying = problem.parameters.varying
    return {
        "posterior": xr.Dataset(
            {
                "value": (
                    ("chain", "draw", "parameter"),
                    np.stack([values[p.name] for p in varying], axis=-1),
                    {"units": "", "long_name": "parameters of the model, each in its unit"},
                )
            },
            coords={
                **every,
                "parameter": [p.name for p in varying],
                "unit": ("parameter", [spelled(p.unit) for p in varying]),
                "description": ("parameter", [p.description for p in varying]),
            },
        ),
        "log_likelihood": xr.Dataset({"counts": joined(log_like)}, coords=some),
        "posterior_predictive": xr.Dataset(
            {
                "counts": joined([one.counts for one in drawn]),
                "background": joined([one.background for one in drawn]),
                "source_counts": joined([e[0] for e in expected]),
                "expected_counts": joined([e[1] for e in expected]),
            },
            coords=some,
        ),
        "observed_data": xr.Dataset(
            {
                "counts": (
                    "channel",
                    _column(problem, 0),
                    {"units": "count", "long_name": "counts"},
                )
            },
            coords=channels,
        ),
        "constant_data": xr.Dataset(
            {
                "error": ("channel", _column(problem, 1)),
                "background": ("channel", _column(problem, 2)),
                "background_error": ("channel", _column(problem, 3)),
                "background_scale": ("channel", _column(problem, 4)),
                "exposure": ("spectrum_name", [o.spectrum.exposure for o in data.observations]),
                "statistic": ("spectrum_name", [one.statistic for one in spectra]),
            },
            coords={**channels, "spectrum_name": list(data.spectra)},
        ),
    }


def _misjudged(one: Folded, of_source: np.ndarray) -> list[str]:
    """Say where W's best background replaces the source: in groups without background counts.

    There it is above zero where less than alpha / (1 + alpha) of a count is expected of the source,
    however little that is (XSPEC manual, appendix B).
    """
    if one.statistic != "wstat":
        return []
    counts, _, off, _, alpha = likelihood.columns(one.binned).T
    replaced = (off == 0) * (of_source < alpha / (1 + alpha) * counts) * counts
    taken = replaced.sum(axis=1).mean()
    if taken <= _TOO_MANY * counts.sum():
        return []
    empty = f"{(off == 0).sum()} of {len(off)} groups have no background counts"
    return [
        f"{one.name}: {empty}, and in them the W statistic fits {taken:.0f} of {counts.sum():g} "
        "counts with background in place of source (group by background counts: "
        "grouped(background=1), or group: {background: 1})"
    ]


def _column(problem: SpectraProblem, k: int) -> np.ndarray:
    return np.concatenate([likelihood.columns(one.binned)[:, k] for one in problem.spectra])


def _channels(problem: SpectraProblem) -> dict[str, Any]:
    """Coordinates of the channels in use (or groups of them), of all spectra one after another."""
    sizes = [one.binned.size for one in problem.spectra]
    return {
        "channel": np.arange(sum(sizes)),
        "spectrum": ("channel", np.repeat([one.name for one in problem.spectra], sizes)),
        "energy_low": (
            "channel", np.concatenate([one.binned.energy_low for one in problem.spectra])
        ),
        "energy_high": (
            "channel", np.concatenate([one.binned.energy_high for one in problem.spectra])
        ),
    }  # fmt: skip
