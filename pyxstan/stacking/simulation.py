"""Simulate a population, measure its objects, and draw their posterior samples."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import special

from pyxstan.errors import DataError
from pyxstan.output import replacing
from pyxstan.priors import Prior
from pyxstan.stacking import linear, linear_simulation, parents
from pyxstan.stacking.coordinates import Coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.parents import HISTOGRAM, PARENTS, Range
from pyxstan.stacking.problem import coordinates_of, edges_of, roughness

#: Trials of smooth fractions, at once and how often.
_TRIALS, _TIMES = 10_000, 200
#: Photon indices of active galaxies, about: the range, and the population.
_LOW, _HIGH = 0.5, 3.0
_MEAN, _SD = 1.8, 0.3
_TRUTH: dict[str, dict[str, Any]] = {
    "stack_gaussian": {"mean": _MEAN, "sd": _SD},
    "stack_truncated_gaussian": {"mean": _MEAN, "sd": _SD},
    "stack_student_t": {"location": _MEAN, "scale": 0.2, "nu": 4.0},
    "stack_skew_normal": {"mean": _MEAN, "sd": _SD, "shape": 3.0},
    "stack_beta": {"alpha": 6.0, "beta": 5.0},
    "stack_gamma": {"shape": 8.0, "scale": 0.16},
    "stack_mixture": {"mean": [1.3, 2.0], "sd": [0.15, 0.2], "fraction": [0.3, 0.7]},
}


def simulate(
    model: str,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    *,
    from_prior: bool,
) -> tuple[PosteriorSamples, dict[str, Any]]:
    """Simulate posterior samples of a population's objects; see `pyxstan.simulate`.

    Each object has a value from the population and is measured with a Gaussian error of a size
    between ``smallest_error`` and ``largest_error``; under a flat prior its posterior is a Gaussian
    of that size around what was measured, from which its samples are drawn.
    """
    objects, samples = options["objects"], options["samples"]
    for name, value in (("objects", objects), ("samples", samples)):
        if value < 1:
            raise DataError(f"option {name}: {value} is not a positive whole number")
    least, most = options["smallest_error"], options["largest_error"]
    if not 0 < least <= most < np.inf:
        raise DataError("options smallest_error and largest_error: expected positive numbers")
    if model in linear.MODELS:
        return linear_simulation.simulate(
            model, parameters, rng, options, priors, from_prior=from_prior
        )
    on, edges = _range(model, options)
    coords = coordinates_of(model, on, options, priors, edges)
    rough = roughness(options)
    truth = _truth(model, coords, edges, rough, parameters, rng, from_prior=from_prior)
    each = {name: np.repeat(np.asarray(v)[None], objects, axis=0) for name, v in truth.items()}
    true = parents.sample(model, rng, each, on, edges)
    error = rng.uniform(least, most, objects)
    measured = rng.normal(true, error)
    x = rng.normal(measured[:, None], error[:, None], (objects, samples))
    data = PosteriorSamples.from_arrays(x, parameters="x", source="simulated samples")
    plain = {name: np.asarray(v).tolist() for name, v in truth.items()}
    return data, plain


def _range(model: str, options: Mapping[str, Any]) -> tuple[Range, Floats | None]:
    low = _LOW if options["low"] is None else options["low"]
    high = _HIGH if options["high"] is None else options["high"]
    on = parents.checked_range(low, high)
    edges = edges_of(model, on, options)
    return (on, None) if edges is None else (Range(float(edges[0]), float(edges[-1])), edges)


def _truth(
    model: str,
    coords: Coordinates,
    edges: Floats | None,
    rough: float,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    *,
    from_prior: bool,
) -> dict[str, Any]:
    if from_prior and rough:
        assert edges is not None
        truth = {"fraction": _smooth_fractions(coords.concentration, edges, rough, rng)}
    elif from_prior:
        truth = coords.sample(rng)
    elif model == HISTOGRAM:
        assert edges is not None
        middle = 0.5 * (edges[1:] + edges[:-1])
        weights = np.diff(edges) * np.exp(-0.5 * ((middle - _MEAN) / _SD) ** 2)
        truth = {"fraction": weights / weights.sum()}
    elif model == "stack_mixture" and coords.parts != 2:
        parts = coords.parts
        truth = {
            "mean": np.linspace(_LOW, _HIGH, parts + 2)[1:-1],
            "sd": np.full(parts, 0.3 / parts),
            "fraction": np.full(parts, 1 / parts),
        }
    else:
        truth = dict(_TRUTH[model])
    for name, value in (parameters or {}).items():
        if name not in truth:
            raise DataError(f"simulate: no parameter '{name}'; there are {', '.join(truth)}")
        truth[name] = value
    arrays = {name: np.asarray(value, dtype=float) for name, value in truth.items()}
    for name, value in arrays.items():
        wanted = (coords.parts,) if coords.ordered or name == "fraction" else ()
        if value.shape != wanted or not np.isfinite(value).all():
            raise DataError(f"simulate: {name} is {truth[name]}, expected {_shape(wanted)}")
        positive = name == "fraction" or (model != HISTOGRAM and name in PARENTS[model].positive)
        if positive and not (value > 0).all():
            raise DataError(f"simulate: {name} is {truth[name]}, expected positive numbers")
    return arrays


def _smooth_fractions(
    concentration: float, edges: Floats, rough: float, rng: np.random.Generator
) -> Floats:
    """Fractions under a Dirichlet prior times a normal one of the steps of ln density.

    By rejection: draws of either prior are accepted by the height of the other, whichever comes
    first. In the steps, a Dirichlet prior has the density prod_b fraction_b^concentration.
    """
    widths = np.diff(edges)
    size = len(widths)
    for _ in range(_TIMES):
        fraction = rng.dirichlet(np.full(size, concentration), _TRIALS)
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.diff(np.log(fraction / widths), axis=1) / rough
        kept = np.log(rng.random(_TRIALS)) < -0.5 * np.sum(steps**2, axis=1)
        if kept.any():
            return np.asarray(fraction[kept][0])
        walks = np.cumsum(rng.normal(0, rough, (_TRIALS, size - 1)), axis=1)
        log_share = np.log(widths) + np.append(np.zeros((_TRIALS, 1)), walks, axis=1)
        log_share -= special.logsumexp(log_share, axis=1)[:, None]
        height = concentration * np.sum(log_share + np.log(size), axis=1)
        kept = np.log(rng.random(_TRIALS)) < height
        if kept.any():
            return np.asarray(np.exp(log_share[kept][0]))
    raise DataError(
        f"simulate: no fractions as smooth as {rough:g} found under the Dirichlet prior"
    )


def _shape(wanted: tuple[int, ...]) -> str:
    return f"{wanted[0]} finite numbers" if wanted else "a finite number"


def write(data: PosteriorSamples, truth: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write the samples and truth.json.

    One parameter goes into samples.txt, one object a row; several, or covariates, into samples.csv
    and covariates.csv.
    """
    if len(data.parameters) == 1 and not data.covariates:
        text = [" ".join(f"{x:.6f}" for x in data.of(i)[:, 0]) for i in range(len(data.objects))]
        files = {"samples.txt": text}
    else:
        names = np.repeat(np.array(data.objects), data.sizes)
        rows = [
            ",".join([name, *(f"{x:.6f}" for x in row)])
            for name, row in zip(names, data.x, strict=True)
        ]
        files = {"samples.csv": [",".join(["object", *data.parameters]), *rows]}
    if data.covariates:
        table = zip(data.objects, *data.covariates.values(), strict=True)
        known = [",".join([name, *(f"{x:.9g}" for x in values)]) for name, *values in table]
        files["covariates.csv"] = [",".join(["object", *data.covariates]), *known]
    files["truth.json"] = json.dumps(dict(truth), indent=1).splitlines()
    for name, lines in files.items():
        with replacing(directory / name) as temporary:
            temporary.write_text("\n".join([*lines, ""]))
    return [directory / name for name in files]
