"""From the draws of a parent distribution to the groups of its inference data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan import inference_data, registry
from pyxstan.errors import DataError
from pyxstan.stacking import parents, support
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.nodes import on_bins
from pyxstan.stacking.parents import PARENTS, Range, Values

if TYPE_CHECKING:
    import pandas as pd

    from pyxstan.engine.sampling import Draws
    from pyxstan.stacking.problem import StackProblem

#: Numbers that the log likelihoods of the objects may be, at most.
_LOG_LIKELIHOODS = 20_000_000
#: Objects whose own histograms are kept for the figure, and the cells of those.
_SHOWN, _CELLS = 200, 60
#: Draws of the population that the shrunken estimates are a mean over: as few for many samples, as
#: many for few, and the densities that it may take otherwise.
_FEWEST_SHRINKING, _MOST_SHRINKING, _SHRINKING_DENSITIES = 100, 1000, 4e8


def groups(problem: StackProblem, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
    """Every group of the inference data but `sample_stats`."""
    data = problem.data
    values = problem.values(draws.variables["z"])
    found = _supported(problem, values)
    problem.complaints.extend(found.complaints(data))
    problem.attributes["log_likelihood_variance"] = found.total
    objects = {"object": np.array(data.objects)}
    unit = {"units": ""}
    constant: dict[str, Any] = {
        "effective_samples": ("object", found.effective, {"long_name": "under the parent"}),
        "log_likelihood_variance": ("object", found.variance, {"long_name": "Monte Carlo noise"}),
        **{name: ("object", column) for name, column in data.covariates.items()},
        **_histograms(problem),
    }
    chain_draw = {
        "chain": np.arange(draws.variables["z"].shape[0]),
        "draw": np.arange(draws.variables["z"].shape[1]),
    }
    rng = np.random.default_rng([seed, 1])
    one_each = {name: x.reshape(-1, *x.shape[2:]) for name, x in values.items()}
    drawn = parents.sample(problem.model, rng, one_each, problem.on, problem.edges)
    new = drawn.reshape(len(chain_draw["chain"]), -1)
    return {
        "posterior": _posterior(problem, values, chain_draw),
        "log_likelihood": _log_likelihood(problem, values, objects, chain_draw),
        "posterior_predictive": xr.Dataset(
            {"new_object": (("chain", "draw"), new, {"long_name": "of the population"})},
            coords=chain_draw,
        ),
        "observed_data": xr.Dataset(
            {
                "samples": ("object", data.sizes, {"long_name": "posterior samples"}),
                "sample_mean": ("object", _means(data, data.x[:, 0]), unit),
                "sample_sd": ("object", _sds(data), unit),
            },
            coords=objects,
        ),
        "constant_data": xr.Dataset(constant, coords=objects),
    }


def _posterior(problem: StackProblem, values: Values, coords: dict[str, Any]) -> xr.Dataset:
    model = problem.model
    found: dict[str, Floats] = dict(values)
    derived = None if problem.edges is not None else PARENTS[model].derived
    if derived is not None:
        flat = derived({name: x.ravel() for name, x in values.items()}, problem.on)
        found |= {name: x.reshape(next(iter(values.values())).shape) for name, x in flat.items()}
    part = "bin" if problem.edges is not None else "component"
    if problem.edges is not None:
        coords = coords | {
            "bin": 0.5 * (problem.edges[1:] + problem.edges[:-1]),
            "bin_low": ("bin", problem.edges[:-1]),
            "bin_high": ("bin", problem.edges[1:]),
        }
    elif problem.coordinates.parts:
        coords = coords | {"component": np.arange(1, problem.coordinates.parts + 1)}
    described = {p.name: p for p in registry.get(model).parameters}
    variables = {
        name: (
            ("chain", "draw", part)[: x.ndim],
            x,
            {"units": described[name].unit, "long_name": described[name].description},
        )
        for name, x in found.items()
    }
    return xr.Dataset(variables, coords=coords)


def _log_likelihood(
    problem: StackProblem, values: Values, objects: dict[str, Any], coords: dict[str, Any]
) -> xr.Dataset:
    """ln L_i of each object, less ln of the detected fraction; of some draws where there are many."""
    chains, draws = (len(coords[name]) for name in ("chain", "draw"))
    count = len(problem.data.objects)
    step = max(1, int(np.ceil(chains * draws * count / _LOG_LIKELIHOODS)))
    kept = np.arange(0, draws, step)
    some = {name: x[:, kept].reshape(-1, *x.shape[2:]) for name, x in values.items()}
    rows = problem.on_nodes(some)
    found = rows[:, :count]
    if rows.shape[1] > count:
        found = found - rows[:, count:]
    return xr.Dataset(
        {"x": (("chain", "draw", "object"), found.reshape(chains, -1, count))},
        coords={**objects, "chain": coords["chain"], "draw": kept},
    )


def _supported(problem: StackProblem, values: Values) -> support.Support:
    """Effective samples at the posterior mean of the parent's parameters."""
    mean = {name: x.mean(axis=(0, 1))[None] for name, x in values.items()}
    p = problem.density(problem.data.x[:, 0], mean)[0]
    chosen = problem.data.selection
    injected = None if chosen is None else problem.density(chosen.x[:, 0], mean)[0]
    return support.supported(problem.data, p, injected)


def _histograms(problem: StackProblem) -> dict[str, Any]:
    """Histograms of some objects' own samples, for the figure."""
    data, on = problem.data, problem.on
    some = np.zeros(len(data.objects), dtype=bool)
    some[np.unique(np.linspace(0, some.size - 1, min(_SHOWN, some.size)).astype(int))] = True
    edges = np.linspace(on.low, on.high, _CELLS + 1)
    rows = on_bins(data.kept(some), edges).weight.reshape(-1, _CELLS)[: int(some.sum())]
    shown = ("shown", np.array(data.objects, dtype=str)[some])
    return {
        "histogram": (("shown", "cell"), rows.astype(np.float32)),
        "shown": shown,
        "cell": ("cell", 0.5 * (edges[1:] + edges[:-1])),
    }


def _means(data: PosteriorSamples, x: Floats) -> Floats:
    return np.asarray(np.add.reduceat(data.weights * x, data.start[:-1]))


def _sds(data: PosteriorSamples) -> Floats:
    x = data.x[:, 0]
    deviation = x - np.repeat(_means(data, x), data.sizes)
    return np.sqrt(_means(data, deviation**2))


def shrunken(idata: Any, data: PosteriorSamples, *, seed: int = 1) -> pd.DataFrame:
    """Each object's own parameter, given the population.

    The samples of an object are weighted by the parent's density, averaged over its posterior: what
    the object would be found to be, had it been fitted under the population as its prior.

    Parameters
    ----------
    idata
        What `pyxstan.fit` of a stacking model returned.
    data
        The samples that were fitted.
    seed
        Of the draws of the population that are averaged over.

    Returns
    -------
    pandas.DataFrame
        A row an object: mean, sd, and the 16, 50 and 84% quantiles of the parameter.

    Raises
    ------
    DataError
        Not a fit of a stacking model in one parameter, or other samples.
    """
    import pandas as pd

    attributes = inference_data.attributes(idata)
    model = str(attributes["model"])
    if model not in PARENTS and model != "stack_histogram":
        raise DataError(f"shrunken: {model} is not a stacking model of one parameter")
    posterior = inference_data.group(idata, "posterior")
    fitted = [str(name) for name in inference_data.group(idata, "log_likelihood")["object"].values]
    kept = np.isin(data.objects, fitted)
    data = data.kept(kept)
    if list(data.objects) != fitted:
        raise DataError("shrunken: these are not the samples that were fitted")
    values = {
        str(name): x.to_numpy().reshape(-1, *x.shape[2:]) for name, x in posterior.data_vars.items()
    }
    total = len(next(iter(values.values())))
    affordable = _SHRINKING_DENSITIES / len(data.x)
    count = int(np.clip(affordable, _FEWEST_SHRINKING, _MOST_SHRINKING))
    chosen = np.random.default_rng(seed).choice(total, min(count, total), replace=False)
    edges = None
    if "bin_low" in posterior.coords:
        edges = np.append(posterior["bin_low"], posterior["bin_high"][-1])
    on = Range(float(attributes["low"]), float(attributes["high"]))
    x = data.x[:, 0]
    weights = np.zeros(len(x))
    for k in chosen:
        p = parents.density(model, x, {n: v[k : k + 1] for n, v in values.items()}, on, edges)[0]
        weighted = data.weights * p
        weights += weighted / np.repeat(np.add.reduceat(weighted, data.start[:-1]), data.sizes)
    rows = []
    for i in range(len(data.objects)):
        inside = slice(data.start[i], data.start[i + 1])
        order = np.argsort(x[inside])
        there, w = x[inside][order], weights[inside][order] / weights[inside].sum()
        mean = float(w @ there)
        quantiles = np.interp([0.16, 0.5, 0.84], np.cumsum(w) - 0.5 * w, there)
        rows.append((mean, float(np.sqrt(w @ (there - mean) ** 2)), *quantiles))
    columns = ["mean", "sd", "16%", "50%", "84%"]
    return pd.DataFrame(rows, index=pd.Index(data.objects, name="object"), columns=columns)
