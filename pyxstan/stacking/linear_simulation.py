"""Simulate objects of a population that is Gaussian in several parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.stacking.data import PosteriorSamples
from pyxstan.stacking.linear import REGRESSION

#: Photon index and log column density of active galaxies, about.
_PARAMETERS = ("PhoIndex", "log(nH)")
_TRUTH: dict[str, Any] = {"mean": [1.8, 22.0], "sd": [0.3, 0.6], "correlation": [0.5]}
_SLOPE = 0.1
_REDSHIFTS = (0.0, 3.0)


def simulate(
    model: str,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    *,
    from_prior: bool,
) -> tuple[PosteriorSamples, dict[str, Any]]:
    """Simulate posterior samples; see `pyxstan.stacking.simulation.simulate`.

    ``stack_multivariate`` has two parameters; ``stack_regression`` one, whose mean follows a
    covariate, the redshift, from the mean redshift on.
    """
    objects, samples = options["objects"], options["samples"]
    one = model == REGRESSION
    names = _PARAMETERS[: 1 if one else 2]
    truth: dict[str, Any] = {name: np.array(v) for name, v in _TRUTH.items()}
    if one:
        truth = {"mean": truth["mean"][:1], "sd": truth["sd"][:1], "slope": np.array([[_SLOPE]])}
    redshift = rng.uniform(*_REDSHIFTS, objects)
    if from_prior:
        truth = _from_priors(truth, priors, options["eta"], rng)
    for name, value in (parameters or {}).items():
        if name not in truth:
            raise DataError(f"simulate: no parameter '{name}'; there are {', '.join(truth)}")
        given = np.asarray(value, dtype=float)
        if given.size != truth[name].size or not np.isfinite(given).all():
            raise DataError(f"simulate: {name} is {value}, expected {truth[name].size} numbers")
        truth[name] = given.reshape(truth[name].shape)
    if not (truth["sd"] > 0).all() or not (np.abs(truth.get("correlation", 0)) < 1).all():
        raise DataError("simulate: expected sd above zero and a correlation between -1 and 1")
    factor = np.diag(truth["sd"])
    if not one:
        rho = float(truth["correlation"][0])
        factor = factor @ np.array([[1.0, 0.0], [rho, np.sqrt(1 - rho**2)]])
    true = truth["mean"] + rng.standard_normal((objects, len(names))) @ factor.T
    covariates = None
    if one:
        covariates = {"redshift": redshift}
        true = true + (redshift - redshift.mean())[:, None] * truth["slope"][:, 0]
    error = rng.uniform(options["smallest_error"], options["largest_error"], true.shape)
    measured = rng.normal(true, error)
    x = rng.normal(measured[:, None], error[:, None], (objects, samples, len(names)))
    data = PosteriorSamples.from_arrays(
        x, parameters=names, covariates=covariates, source="simulated samples"
    )
    return data, {name: value.tolist() for name, value in truth.items()}


def _from_priors(
    truth: Mapping[str, Any], priors: Mapping[str, Prior], eta: float, rng: np.random.Generator
) -> dict[str, Any]:
    """Draw from the priors, which have to be given: their defaults follow from the samples."""
    found: dict[str, Any] = {}
    for name, value in truth.items():
        if name == "correlation":  # LKJ of two parameters
            found[name] = 2 * rng.beta(eta, eta, 1) - 1
        elif name not in priors:
            raise DataError(f"simulate: from_prior needs a prior of {name}")
        else:
            found[name] = priors[name].sample(rng, value.size).reshape(value.shape)
    return found
