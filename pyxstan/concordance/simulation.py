"""Simulate cross-calibration campaigns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.concordance.bands import band_covariance
from pyxstan.concordance.data import ConcordanceData, Floats
from pyxstan.errors import DataError
from pyxstan.output import replacing
from pyxstan.priors import Prior, parse

_FLUX = (-25.0, 1.0)
#: Error of the log flux that simulated tables state, for variances known and extra.
_STATISTICAL = (0.01, 0.05)


def simulate(
    model: str,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    *,
    from_prior: bool,
) -> tuple[ConcordanceData, dict[str, Any]]:
    """Simulate measurements; see `pyxstan.simulate`.

    B, and with ``from_prior`` sigma and nu, are drawn from their priors (G is flat in the model, so
    any G does). Without, sigma scatters by 30% about the option ``simulated_sigma``. With several
    ``bands``, B has the prior covariance of the option ``band_correlation``.
    """
    K = options["bands"]
    for name in ("instruments", "sources", "bands"):
        if options[name] < 1:
            raise DataError(f"option {name}: {options[name]} is not a whole number of at least 1")
    N, M = options["instruments"] * K, options["sources"] * K
    if not 0 <= options["missing"] < 1:
        raise DataError(f"option missing: {options['missing']} is not between 0 and 1")
    for name in ("simulated_tau", "simulated_sigma"):
        if not 0 < options[name] < np.inf:
            raise DataError(f"option {name}: {options[name]:g} is not a positive number")
    truth = dict(parameters or {})
    unknown = set(truth) - {"B", "G", "sigma", "nu"}
    if unknown:
        raise DataError(f"{model} has no parameter '{min(unknown)}'; there are B, G, sigma, nu")
    variances = options["variances"] or "known"
    instrument, source = _design(rng, options["instruments"], M, options["missing"])
    instrument = K * instrument + source % K
    tau = options["tau"] or options["simulated_tau"]
    b = np.zeros(N)
    if "B" in priors:
        mean, tau = priors["B"].arguments
        b += mean
    given = rng.uniform(*_STATISTICAL, instrument.size) if variances != "unknown" else None
    data = ConcordanceData(
        instruments=_labels("instrument", N, K),
        sources=_labels("source", M, K),
        instrument=instrument,
        source=source,
        y=np.zeros(instrument.size),
        sigma=given,
        b=b,
        tau=np.full(N, tau),
        names=tuple(f"instrument {i // K + 1}" for i in range(N)) if K > 1 else (),
        bands=tuple(f"band {i % K + 1}" for i in range(N)) if K > 1 else (),
        source_bands=tuple(f"band {j % K + 1}" for j in range(M)) if K > 1 else (),
    )
    sizes = {"B": N, "G": M, "sigma": N}
    T = band_covariance(data, options["band_correlation"])
    draws: dict[str, Callable[[], Floats]] = {
        "B": lambda: b + np.linalg.cholesky(T) @ rng.standard_normal(N),
        "G": lambda: rng.normal(*_FLUX, M),
        "sigma": lambda: _sigma(rng, N, variances, options, priors, from_prior),
    }
    for name, draw in draws.items():
        if name == "sigma" and variances == "known":
            if name in truth:
                raise DataError("simulate: sigma has no use with variances=known")
            continue
        truth[name] = _true_value(name, truth[name], sizes[name]) if name in truth else draw()
    nu = None
    if model == "concordance_t":
        nu = options["nu"]
        if nu == "estimated":
            prior = priors.get("nu", parse("gamma(2, 0.1)"))
            truth["nu"] = truth.get("nu", float(prior.sample(rng, 1)[0]))
            nu = truth["nu"]
        elif "nu" in truth:
            raise DataError("simulate: a true nu goes with nu=estimated; else it is an option")
        nu = float(_true_value("nu", nu, 1)[0])
    variance = np.zeros(instrument.size) if given is None else given**2
    if "sigma" in truth:
        variance = variance + truth["sigma"][instrument] ** 2
    y = truth["B"][instrument] + truth["G"][source] + _noise(rng, variance, nu)
    fields = {**vars(data), "y": y}
    return ConcordanceData(**fields), truth


def _labels(what: str, size: int, bands: int) -> tuple[str, ...]:
    """Labels as the readers make them: ``instrument 3``, or ``instrument 2 band 1``."""
    if bands == 1:
        return tuple(f"{what} {i + 1}" for i in range(size))
    return tuple(f"{what} {i // bands + 1} band {i % bands + 1}" for i in range(size))


def _true_value(name: str, value: Any, size: int) -> Floats:
    """A true value that the user set: one for all, or one for each."""
    try:
        found = np.broadcast_to(np.asarray(value, dtype=float), (size,)).copy()
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not np.isfinite(found).all() or (name in ("sigma", "nu") and not (found > 0).all()):
        positive = "positive " if name in ("sigma", "nu") else ""
        raise DataError(f"simulate: {name} is {value}, expected {size} {positive}number(s)")
    return found


def _design(rng: np.random.Generator, N: int, M: int, missing: float) -> tuple[Any, Any]:
    """Who measures what; every source keeps at least one measurement."""
    seen = rng.random((M, N)) >= missing
    empty = np.flatnonzero(~seen.any(axis=1))
    seen[empty, rng.integers(N, size=empty.size)] = True
    source, instrument = np.nonzero(seen)
    return instrument, source


def _sigma(
    rng: np.random.Generator,
    N: int,
    variances: str,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    from_prior: bool,
) -> Floats:
    if not from_prior:
        return np.asarray(options["simulated_sigma"] * np.exp(rng.normal(0, 0.3, N)))
    if "sigma2" in priors:
        return np.asarray(np.sqrt(priors["sigma2"].sample(rng, N)))
    if "sigma" in priors:
        return np.asarray(priors["sigma"].sample(rng, N))
    raise DataError(
        f"simulate from the prior with variances={variances}: give the prior sigma2 or sigma "
        "(the default follows from data)"
    )


def _noise(rng: np.random.Generator, variance: Floats, nu: float | None) -> Floats:
    xi = np.ones_like(variance) if nu is None else rng.chisquare(nu, variance.size)
    return np.asarray(
        -0.5 * variance / xi + np.sqrt(variance / xi) * rng.standard_normal(variance.size)
    )


def write(data: ConcordanceData, truth: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write measurements.csv, instruments.csv and truth.json."""
    plain = {name: np.asarray(value).tolist() for name, value in truth.items()}
    texts = {
        "measurements.csv": data.to_frame().to_csv(index=False, float_format="%.6f"),
        "instruments.csv": data.instrument_frame().to_csv(index=False),
        "truth.json": json.dumps(plain, indent=1) + "\n",
    }
    written = []
    for name, text in texts.items():
        written.append(directory / name)
        with replacing(written[-1]) as temporary:
            temporary.write_text(text)
    return written
