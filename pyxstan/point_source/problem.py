"""From events, a prior map and options to the data of the Stan program, and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.background import Smoothing
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.fluxes import checked_unit
from pyxstan.point_source.null_distribution import NullDistribution
from pyxstan.point_source.positions import positions
from pyxstan.point_source.posterior import Layout, Target, direct
from pyxstan.point_source.region import Hottest, Region
from pyxstan.point_source.scanning import CUT, Sky
from pyxstan.point_source.sky_scan import cut_error
from pyxstan.point_source.tables import Tables, tables
from pyxstan.point_source.trial_skies import Skies
from pyxstan.priors import Prior

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws

#: The prior of ns reaches up to this part of all events, or this many.
_PART, _LEAST = 0.01, 100.0
#: How far the other priors reach, in standard deviations.
_REACH = 6.0
#: Ends of gamma, unless a uniform prior has others.
_GAMMA = (1.0, 4.0)
#: Pixels that trials may look at in all, and how many trials that is, at least and at most.
_TRIED, _FEWEST, _MOST = 1_000_000, 20, 200
#: An error of ln L that draws may have.
_LARGEST_ERROR = 0.02


@dataclass(frozen=True)
class PointSourceProblem:
    """What a fit of a point source is made of; see `pyxstan.registry.Problem`."""

    data: PointSourceData
    target: Target
    #: Approximate posterior probability of each position.
    weight: np.ndarray
    hottest: Hottest
    nside: int
    pivot: float
    unit: str
    directly: bool
    stan_data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @cached_property
    def layout(self) -> Layout:
        """The likelihood over ns and gamma, where the posterior is."""
        return self.target.layout()

    def exact(self, chains: int, draws: int, seed: int) -> Draws | None:
        """Draw without NUTS; None if that isn't wanted."""
        if not self.directly:
            return None
        from pyxstan.engine.sampling import Draws

        began = time.monotonic()
        found = direct(self.target, self.layout, chains, draws, seed)
        self.attributes["log_likelihood_error"] = found.error
        if found.error > _LARGEST_ERROR:
            self.notes.append(
                f"interpolated likelihoods are off by up to {found.error:.2g}: by NUTS instead"
            )
            return None
        return Draws(
            variables={"ns": found.ns, "gamma": found.gamma},
            statistics={
                "lp": found.log_density,
                "acceptance_rate": found.acceptance,
                "diverging": np.zeros(found.ns.shape, dtype=bool),
            },
            method="quadrature",
            seconds=time.monotonic() - began,
            stan_version="none: quadrature",
        )

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of ns and gamma."""
        for name in values:
            if name not in ("ns", "gamma"):
                raise DataError(f"no starting value for '{name}'; there are ns, gamma")
        guess = self.starts(1, 0)[0]
        return {name: float(values.get(name, guess[name])) for name in guess}

    def starts(self, chains: int, seed: int) -> list[dict[str, Any]]:
        """One of the posterior's draws for each chain."""
        found = direct(self.target, self.layout, 1, 20 * chains, seed)
        low, high = self.target.ends
        margin = 1e-3 * (high - low)
        return [
            {
                "ns": float(np.clip(found.ns[0, k], 1e-3, 0.999 * self.target.most)),
                "gamma": float(np.clip(found.gamma[0, k], low + margin, high - margin)),
            }
            for k in range(0, 20 * chains, 20)
        ]

    def refined(self, draws: Draws) -> None:
        """Nothing is prepared better."""

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, map of positions, and events by distance."""
        from pyxstan.point_source.results import groups

        return groups(self, draws, seed)


def prepare(
    model: str, data: PointSourceData, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> PointSourceProblem:
    """Make events ready for Stan: the background, the scan, the positions that matter."""
    max_dec, pivot = options["max_dec"], options["pivot"]
    if not 0 < max_dec <= 90:
        raise DataError(f"option max_dec: {max_dec:g} is not an angle of 0 to 90 deg")
    checked_unit(pivot, options["unit"])
    chosen = {**default_priors(data.events), **priors}
    ends, most = _ends(chosen["gamma"]), _most(chosen["ns"])
    smoothing = smoothing_of(options)
    made = tables(data, smoothing, ends)
    sky = Sky(made)
    region = Region.grid(options["nside"], data.prior_map, np.radians(max_dec))
    maxima = sky.maxima(region.ra, region.dec)
    hottest = region.hottest(maxima)
    at = positions(sky, region, maxima, data.prior_map, chosen, most, np.radians(max_dec))
    most = min(most, 0.9 * _fewest_events(made))
    target = Target(sky, at.region, most, chosen)
    cost = cut_error(made, region, maxima)
    notes = [
        *data.notes,
        *(note for sample in data.samples for note in sample.notes),
        *(() if data.prior_map is None else data.prior_map.notes),
        f"{len(at)} positions matter; the others hold less than {at.dropped:.1g} of the posterior",
        f"events count out to {CUT:g} of their errors: off by {cost:.1g} in TS at the hottest "
        "positions",
        *_unsmeared(data),
    ]
    attributes = {
        "ts": hottest.ts,
        "ts_with_prior": hottest.ts_with_prior,
        "ts_of_a_tenth_of_the_floor": _with_less_floor(data, smoothing, ends, hottest),
        "hottest_ra_deg": float(np.degrees(hottest.ra)),
        "hottest_dec_deg": float(np.degrees(hottest.dec)),
        "hottest_ns": hottest.ns,
        "hottest_gamma": hottest.gamma,
        "positions_dropped": at.dropped,
        "cut_error": cost,
    }
    found = _p_value(Skies(data, region, smoothing, ends), hottest.ts_with_prior, options["trials"])
    if found is not None:
        attributes |= {"p_value": found[0], "trials": found[1]}
        attributes["minus_log10_p"] = float(-np.log10(found[0]))
    return PointSourceProblem(
        data=data,
        target=target,
        weight=at.weight,
        hottest=hottest,
        nside=options["nside"],
        pivot=pivot,
        unit=options["unit"],
        directly=options["exact"],
        stan_data=_stan_data(target),
        notes=notes,
        priors={name: str(prior) for name, prior in chosen.items()},
        attributes=attributes,
    )


def default_priors(events: int) -> dict[str, Prior]:
    """Priors of ns and gamma, for so many events in all."""
    most = max(_LEAST, round(_PART * events))
    return {"ns": Prior("uniform", (0.0, float(most))), "gamma": Prior("uniform", _GAMMA)}


def smoothing_of(options: Mapping[str, Any]) -> Smoothing:
    """How the background is smoothed."""
    names = ("declination", "energy_declination", "energy", "floor")
    values = {name: options[f"smoothing_{name}"] for name in names[:3]}
    values["floor"] = options["floor"]
    for name, value in values.items():
        if not (np.isfinite(value) and (value > 0 or name == "energy")):
            raise DataError(f"smoothing of the background: {name} is {value:g}, expected above 0")
    return Smoothing(**values)


def _ends(prior: Prior) -> tuple[float, float]:
    if prior.family == "uniform":
        return prior.arguments[0], prior.arguments[1]
    return _GAMMA


def _most(prior: Prior) -> float:
    """What ns can't be above."""
    a, b = prior.stan_arguments
    match prior.family:
        case "uniform":
            if a != 0 or b <= 0:
                raise DataError(f"prior ns={prior}: expected a lower end of 0")
            return b
        case "lognormal":
            return float(np.exp(a + _REACH * b))
        case "gamma":
            return float(a + _REACH * np.sqrt(a) + _REACH**2 / 2) / b
        case _:
            return _REACH * a


def _fewest_events(made: Tables) -> float:
    """What ns is below: a sample's events can't be all of the source."""
    shares = (float(np.exp(each.log_share[..., 0]).max()) for each in made.samples)
    return min(len(each.sample) / share for each, share in zip(made.samples, shares, strict=True))


def _unsmeared(data: PointSourceData) -> list[str]:
    names = [sample.name for sample in data.samples if sample.smearing is None]
    if not names:
        return []
    return [
        f"{', '.join(names)}: without a smearing matrix reconstructed energies are taken for true "
        "ones"
    ]


def _with_less_floor(
    data: PointSourceData, smoothing: Smoothing, ends: tuple[float, float], hottest: Hottest
) -> float:
    """TS at the hottest pixel if energies that the background never has were rarer still."""
    made = tables(data, replace(smoothing, floor=0.1 * smoothing.floor), ends)
    found = Sky(made).maxima(np.array([hottest.ra]), np.array([hottest.dec]))
    return float(found.ts[0])


def _p_value(skies: Skies, ts: float, wanted: int | str) -> tuple[float, int] | None:
    count = wanted
    if count == "auto":
        count = int(np.clip(_TRIED / len(skies.region), _FEWEST, _MOST))
    if not isinstance(count, int) or count < 0:
        raise DataError(f"option trials: {count} is not a whole number from 0 up, or auto")
    if count == 0:
        return None
    found = [trial.hottest.ts_with_prior for trial in skies.trials(range(count))]
    return NullDistribution.of(np.array(found)).p_value(ts), count


def _stan_data(target: Target) -> dict[str, Any]:
    sky, region, made = target.sky, target.region, target.sky.tables
    counts, ratio, bin_ = sky.near_events(region.ra, region.dec)
    positions, samples = counts.shape
    # rows of the tables that any of the events and positions needs
    cells = len(made.sin_dec) - 1
    cell = np.searchsorted(made.sin_dec[1:-1], np.sin(region.dec), side="right")
    bins = np.array([each.log_energy.shape[1] for each in made.samples])
    first = np.concatenate([[0], np.cumsum(cells * bins)])
    sample, cell = np.tile(np.arange(samples), positions), np.repeat(cell, samples)
    row = np.repeat(first[sample] + cell * bins[sample], counts.ravel()) + bin_
    needed, energy = np.unique(row, return_inverse=True)
    width = 2 * len(made.gammas)
    energies = np.concatenate([each.log_energy.reshape(-1, width) for each in made.samples])
    shares = np.concatenate([each.log_share.reshape(-1, width) for each in made.samples])
    return {
        "P": positions,
        "S": samples,
        "R": len(ratio),
        "log_weight": region.log_prior,
        "events": np.array([len(each.sample) for each in made.samples], dtype=float),
        "start": np.concatenate([[1], 1 + np.cumsum(counts.ravel())]),
        "energy": energy + 1,
        "ratio": ratio,
        "share": 1 + sample * cells + cell,
        "gamma_low": made.gammas[0],
        "gamma_high": made.gammas[-1],
        "nodes": len(made.gammas),
        "energies": len(needed),
        "log_energy": energies[needed].ravel(),
        "shares": len(shares),
        "log_share": shares.ravel(),
        "most": target.most,
        "prior_family": [target.priors[name].code for name in ("ns", "gamma")],
        "prior_arguments": [
            [target.priors[name].stan_arguments[k] for name in ("ns", "gamma")] for k in (0, 1)
        ],
    }
