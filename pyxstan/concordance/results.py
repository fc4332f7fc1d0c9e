"""From the draws of a concordance to the groups of its inference data."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan.concordance import counts, reservations, skew_t
from pyxstan.concordance.data import Floats
from pyxstan.units import spelled

if TYPE_CHECKING:
    from pyxstan.concordance.problem import ConcordanceProblem
    from pyxstan.engine.sampling import Draws

#: pointwise="auto" thins so that log_likelihood and posterior_predictive stay below this together.
_POINTWISE_BYTES = 2e9
#: Numbers worked on at a time, so that they stay in the processor's cache.
_BLOCK = 30_000


def groups(problem: ConcordanceProblem, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
    """Every group of the inference data but `sample_stats`."""
    posterior = _posterior(problem, draws, seed)
    data = problem.data
    measurement = {
        "measurement": np.arange(data.y.size),
        "measured_instrument": ("measurement", np.array(data.instruments)[data.instrument]),
        "measured_source": ("measurement", np.array(data.sources)[data.source]),
    }
    problem.attributes["deviance_at_mean"] = _deviance_at_mean(problem, posterior)
    found = {"posterior": posterior}
    found |= _pointwise(problem, posterior, measurement, seed)
    described = {"units": "", "long_name": f"measurement{_log_unit(problem)}"}
    measured = ("measurement", data.y, described)
    observed: dict[str, Any] = {"y": measured}
    if problem.poisson:
        observed = {"counts": ("measurement", data.counts, {"units": "count"})}
    found["observed_data"] = xr.Dataset(observed, coords=measurement)
    problem.complaints.extend(reservations.of_fit(problem, posterior))
    if "sigma" in posterior:
        problem.notes.extend(reservations.no_lower_limit(problem, posterior["sigma"]))
    influence, formula = _influence(problem, posterior)
    constant: dict[str, Any] = {
        "b": ("instrument", data.b, {"long_name": "log nominal effective area"}),
        "tau": ("instrument", data.tau, {"long_name": "prior sd of B"}),
        "prior_influence": (
            "instrument",
            influence,
            {"long_name": "weight of the prior in B, the fluxes given", "formula": formula},
        ),
        "variance_ratio": (
            "instrument",
            _variance_ratio(problem, posterior),
            {"long_name": "posterior variance of B / its prior variance"},
        ),
        "measurements": ("instrument", data.counts_by_instrument),
    }
    if problem.scatter_spread is not None:
        constant["scatter_spread"] = (
            "instrument",
            problem.scatter_spread,
            {"long_name": "robust spread s of the data, in the default prior of sigma"},
        )
    if problem.poisson:
        constant["exposure"] = ("measurement", data.exposure)
        constant["background"] = ("measurement", data.background, {"units": "count"})
        constant["y"] = measured
    if problem.variances != "unknown":
        constant["sigma_given"] = ("measurement", np.sqrt(problem.given))
    coords = {"instrument": posterior.coords["instrument"], "source": posterior.coords["source"]}
    found["constant_data"] = xr.Dataset(constant, coords={**coords, **measurement})
    return found


def _log_unit(problem: ConcordanceProblem) -> str:
    """Of what a log flux is the logarithm."""
    return f", ln({problem.data.unit})" if problem.data.unit else ""


def _posterior(problem: ConcordanceProblem, draws: Draws, seed: int) -> xr.Dataset:
    data = problem.data
    B = draws.variables["B"]
    G = draws.variables.get("G", np.zeros(0))
    G = G if G.size else _fluxes(problem, draws, seed)
    area, source = ("chain", "draw", "instrument"), ("chain", "draw", "source")
    unit = _log_unit(problem)
    influence = {"beside": "variance_ratio prior_influence"}
    variables: dict[str, Any] = {
        "B": (area, B, {"units": "", "long_name": "log effective area", **influence}),
        "G": (source, G, {"units": "", "long_name": f"log flux{unit}"}),
    }
    if "sigma" in draws.variables and draws.variables["sigma"].size:
        variables["sigma"] = (
            area,
            draws.variables["sigma"],
            {"units": "", "long_name": "scatter of log measurements"},
        )
    if problem.model == "concordance_t" and problem.nu is None:
        nu = draws.variables["nu"].reshape(B.shape[:2])
        variables["nu"] = (("chain", "draw"), nu, {"units": "", "long_name": "degrees of freedom"})
    variables["correction"] = (
        area,
        100 * np.expm1(B - data.b),
        {"units": "%", "long_name": "effective-area correction", **influence},
    )
    variables["adjusted_area"] = (
        area,
        np.exp(B),
        {"units": "", "long_name": "adjusted effective area (1: nominal, where b = 0)"},
    )
    variables["concordant_flux"] = (
        source,
        np.exp(G),
        {"units": spelled(data.unit), "long_name": "concordant flux"},
    )
    coords: dict[str, Any] = {
        "chain": np.arange(B.shape[0]),
        "draw": np.arange(B.shape[1]),
        "instrument": np.array(data.instruments),
        "source": np.array(data.sources),
    }
    if data.bands:
        coords["instrument_name"] = ("instrument", np.array(data.names))
        coords["instrument_band"] = ("instrument", np.array(data.bands))
        coords["source_band"] = ("source", np.array(data.source_bands))
    return xr.Dataset(variables, coords=coords)


def _fluxes(problem: ConcordanceProblem, draws: Draws, seed: int) -> Floats:
    """G of the log-normal model, integrated out in Stan: drawn from its Gaussian conditional.

    Every other draw lies as far on the other side of the conditional mean as the one before, which
    leaves each an exact draw and brings their average closer to the mean. Of an optimum, the
    conditional mean.
    """
    data = problem.data
    B = draws.variables["B"]
    if problem.poisson:
        rng = np.random.default_rng([seed, 2])
        return counts.draw_fluxes(data, B, rng, at_mode=draws.method == "map")
    sigma = draws.variables["sigma"] if problem.variances != "known" else None
    rng = np.random.default_rng([seed, 2])
    order = np.argsort(data.source, kind="stable")
    first = np.searchsorted(data.source[order], np.arange(len(data.sources)))
    G = np.empty((*B.shape[:2], len(data.sources)))
    size = 2 * max(1, _BLOCK // (2 * data.y.size))
    for chain, start in itertools.product(range(len(B)), range(0, B.shape[1], size)):
        here = chain, slice(start, start + size)
        v = _variance(problem, None if sigma is None else sigma[here])
        residual = data.y + 0.5 * v - np.take(B[here], data.instrument, axis=1)
        weight = np.broadcast_to(1 / v, residual.shape)
        total = np.add.reduceat(weight[:, order], first, axis=1)
        G[here] = np.add.reduceat((weight * residual)[:, order], first, axis=1) / total
        if draws.method != "map":
            one_side = rng.standard_normal(((len(total) + 1) // 2, len(first)))
            both_sides = np.stack([one_side, -one_side], axis=1).reshape(-1, len(first))
            G[here] += both_sides[: len(total)] / np.sqrt(total)
    return G


def _variance(problem: ConcordanceProblem, sigma: Floats | None) -> Floats:
    """sigma_ij^2 of every measurement, for scatter `sigma` (..., N)."""
    if sigma is None:
        return problem.given
    return np.asarray(problem.given + sigma[..., problem.data.instrument] ** 2)


def _influence(problem: ConcordanceProblem, posterior: xr.Dataset) -> tuple[Floats, str]:
    """Weight of the prior in each B at the mean variance, and its formula."""
    from pyxstan.concordance.estimators import variance_left

    shape = 1.0  # of the errors: what a measurement weighs, in units of sigma^-2
    weight = "sigma_ij^-2"
    if problem.model == "concordance_t":
        nu = float(posterior["nu"].mean()) if "nu" in posterior else float(problem.nu or 0)
        shape = nu * (nu + 1) / (nu + 3)
        weight = f"{shape:.4g} sigma_ij^-2 (nu (nu + 1) / (nu + 3), nu = {nu:.3g})"
    formula = f"tau_i^-2 / (tau_i^-2 + sum over the sources of {weight})"
    mean = None
    if "sigma" in posterior:
        mean = np.sqrt((posterior["sigma"] ** 2).mean(("chain", "draw")).to_numpy())
    return variance_left(problem.T, problem.data, _variance(problem, mean) / shape), formula


def _variance_ratio(problem: ConcordanceProblem, posterior: xr.Dataset) -> Floats:
    """Var(B | data) / Var(B): 1 where the posterior is the prior; NaN of a single draw."""
    prior = np.diag(problem.T)
    if problem.closed_form:
        return np.asarray(np.diag(problem.guess.gaussian.covariance) / prior)
    B = posterior["B"].to_numpy().reshape(-1, prior.size)
    if len(B) < 2:
        return np.full(prior.size, np.nan)
    return np.asarray(B.var(axis=0, ddof=1) / prior)


def _log_density(
    problem: ConcordanceProblem, residual: Floats, v: Floats, nu: Floats | float
) -> tuple[Floats, Floats | None]:
    """Log likelihood of each measurement for residuals y - B - G, and log-t's outlier weights."""
    if problem.model == "concordance_t":
        return skew_t.log_density_and_weight(residual, np.broadcast_to(v, residual.shape), nu)
    return -0.5 * ((residual + 0.5 * v) ** 2 / v + np.log(2 * np.pi * v)), None


def _deviance_at_mean(problem: ConcordanceProblem, posterior: xr.Dataset) -> float:
    """-2 log likelihood at the posterior mean of B, G, sigma and nu, for the DIC."""
    data = problem.data
    names = [name for name in ("B", "G", "sigma", "nu") if name in posterior]
    mean = {name: posterior[name].mean(("chain", "draw")).to_numpy() for name in names}
    if problem.poisson:
        expected = data.expected_counts(mean["B"], mean["G"])
        return float(-2 * counts.log_density(np.asarray(data.counts), expected).sum())
    residual = data.y - mean["B"][data.instrument] - mean["G"][data.source]
    nu = float(mean.get("nu", problem.nu or 0))
    v = _variance(problem, mean.get("sigma"))
    return float(-2 * _log_density(problem, residual, v, nu)[0].sum())


def _pointwise(
    problem: ConcordanceProblem, posterior: xr.Dataset, measurement: dict[str, Any], seed: int
) -> dict[str, xr.Dataset]:
    """log_likelihood and posterior_predictive of each measurement."""
    if problem.pointwise == "none":
        return {}
    data, robust = problem.data, problem.model == "concordance_t"
    chains, total = posterior.sizes["chain"], posterior.sizes["draw"]
    step = 1
    if problem.pointwise == "auto":
        budget = _POINTWISE_BYTES / (8 * (3 if robust else 2) * data.y.size * chains)
        step = max(1, int(np.ceil(total / max(budget, 1))))
    kept = np.arange(0, total, step)
    shape = chains, kept.size, data.y.size
    log_likelihood, predicted = np.empty(shape), np.empty(shape)
    weight = np.empty(shape) if robust else None
    rng = np.random.default_rng([seed, 1])
    B, G = posterior["B"].to_numpy(), posterior["G"].to_numpy()
    sigma = posterior["sigma"].to_numpy() if "sigma" in posterior else None
    nus = posterior["nu"].to_numpy() if "nu" in posterior else None
    size = max(1, _BLOCK // data.y.size)
    for chain, start in itertools.product(range(chains), range(0, kept.size, size)):
        here = chain, slice(start, start + size)
        at = chain, kept[here[1]]
        if problem.poisson:
            expected = data.expected_counts(B[at], G[at])
            log_likelihood[here] = counts.log_density(np.asarray(data.counts), expected)
            predicted[here] = rng.poisson(expected)
            continue
        center = np.take(B[at], data.instrument, axis=1) + np.take(G[at], data.source, axis=1)
        v = _variance(problem, None if sigma is None else sigma[at])
        noise = rng.standard_normal(center.shape)
        nu = float(problem.nu or 0) if nus is None else nus[at][:, None]
        log_likelihood[here], outlying = _log_density(problem, data.y - center, v, nu)
        if weight is None:
            noise *= np.sqrt(v)
            predicted[here] = center - 0.5 * v + noise
        else:
            weight[here] = outlying
            xi = rng.chisquare(np.broadcast_to(nu, center.shape))
            predicted[here] = center - 0.5 * v / xi + np.sqrt(v / xi) * noise
    coords = {**measurement, "chain": posterior.chain, "draw": posterior.draw[kept]}
    dims = ("chain", "draw", "measurement")
    name, unit = ("counts", "count") if problem.poisson else ("y", "")
    found = {
        "log_likelihood": xr.Dataset({name: (dims, log_likelihood)}, coords=coords),
        "posterior_predictive": xr.Dataset(
            {name: (dims, predicted, {"units": unit})}, coords=coords
        ),
    }
    if weight is not None:
        found["posterior_predictive"]["outlier_weight"] = (
            dims,
            weight,
            {"long_name": "E(xi | rest) / nu: 1 regular, towards 0 an outlier"},
        )
    return found
