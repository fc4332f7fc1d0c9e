"""Each object's own parameters, given the population that it belongs to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan import inference_data
from pyxstan.errors import DataError
from pyxstan.stacking import linear, parents
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.linear_density import log_density
from pyxstan.stacking.parents import HISTOGRAM, PARENTS, Range
from pyxstan.stacking.support import relative

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

#: Draws of the population that are averaged over: many, or what may be evaluated in some seconds.
_FEWEST, _MOST, _EVALUATIONS = 100, 1000, 1e8
#: Means of samples that were fitted are as they were to this part.
_SAME = 1e-6
_QUANTILES = {"16%": 0.16, "50%": 0.5, "84%": 0.84}


def shrunken(idata: Any, data: PosteriorSamples, *, seed: int = 1) -> pd.DataFrame:
    """Each object's own parameters, given the population.

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
        A row an object (and a parameter, where there are several): mean, sd, and the 16, 50 and 84%
        quantiles.

    Raises
    ------
    DataError
        Not a fit of a stacking model, or other samples.
    """
    import pandas as pd

    model = str(inference_data.attributes(idata)["model"])
    if model not in (HISTOGRAM, *PARENTS, *linear.MODELS):
        raise DataError(f"shrunken: {model} is not a stacking model")
    fitted = [str(name) for name in inference_data.group(idata, "log_likelihood")["object"].values]
    data = _fitted(idata, data, fitted)
    posterior = inference_data.group(idata, "posterior")
    log_p = (_linear if model in linear.MODELS else _in_one)(idata, posterior, data)
    total = posterior.sizes["chain"] * posterior.sizes["draw"]
    weights = np.zeros(len(data.x))
    draws = min(total, int(np.clip(_EVALUATIONS / len(data.x), _FEWEST, _MOST)))
    for k in np.random.default_rng(seed).choice(total, draws, replace=False):
        weighted = data.weights * relative(data, log_p(int(k)))
        weights += weighted / np.repeat(np.add.reduceat(weighted, data.start[:-1]), data.sizes)
    rows, index = [], []
    for i, name in enumerate(data.objects):
        inside = slice(data.start[i], data.start[i + 1])
        for column, parameter in enumerate(data.parameters):
            rows.append(_summary(data.x[inside, column], weights[inside]))
            index.append((name, parameter))
    names = ["object", "parameter"]
    table = pd.DataFrame(rows, index=pd.MultiIndex.from_tuples(index, names=names))
    return table if len(data.parameters) > 1 else table.droplevel("parameter")


def _fitted(idata: Any, data: PosteriorSamples, fitted: list[str]) -> PosteriorSamples:
    """The samples in the order of the fit; others than were fitted are refused."""
    position = {name: i for i, name in enumerate(data.objects)}
    missing = [name for name in fitted if name not in position]
    if missing:
        raise DataError(
            f"shrunken: these are not the samples that were fitted, there is no '{missing[0]}'"
        )
    data = data.ordered(np.array([position[name] for name in fitted]))
    observed = inference_data.group(idata, "observed_data")
    there = observed["sample_mean"].to_numpy().reshape(len(fitted), -1)
    constant = inference_data.group(idata, "constant_data")
    spread = constant["sample_sd"].to_numpy().reshape(len(fitted), -1)
    for i, name in enumerate(fitted):
        part = slice(data.start[i], data.start[i + 1])
        mean = data.weights[part] @ data.x[part]
        same = abs(mean - there[i]) <= _SAME * (abs(there[i]) + spread[i])
        if int(constant["samples"].to_numpy()[i]) != data.sizes[i] or not same.all():
            raise DataError(
                f"shrunken: these are not the samples that were fitted, those of '{name}' differ"
            )
    return data


def _summary(x: Floats, weights: Floats) -> dict[str, float]:
    order = np.argsort(x)
    x, w = x[order], weights[order] / weights.sum()
    mean = float(w @ x)
    middle = np.cumsum(w) - 0.5 * w
    quantiles = {name: float(np.interp(q, middle, x)) for name, q in _QUANTILES.items()}
    return {"mean": mean, "sd": float(np.sqrt(w @ (x - mean) ** 2)), **quantiles}


def _flat(posterior: xr.Dataset) -> dict[str, Floats]:
    """Draws of all chains, one after another."""
    return {
        str(name): x.to_numpy().reshape(-1, *x.shape[2:]) for name, x in posterior.data_vars.items()
    }


def _in_one(idata: Any, posterior: xr.Dataset, data: PosteriorSamples) -> Callable[[int], Floats]:
    """ln density of a draw of a parent in one parameter, at every sample."""
    attributes = inference_data.attributes(idata)
    values, x = _flat(posterior), data.x[:, 0]
    edges = None
    if "bin_low" in posterior.coords:
        edges = np.append(posterior["bin_low"], posterior["bin_high"][-1])
    on = Range(float(attributes["low"]), float(attributes["high"]))

    def log_p(k: int) -> Floats:
        one = {name: v[k : k + 1] for name, v in values.items()}
        return np.asarray(parents.log_density(str(attributes["model"]), x, one, on, edges)[0])

    return log_p


def _linear(idata: Any, posterior: xr.Dataset, data: PosteriorSamples) -> Callable[[int], Floats]:
    """ln density of a draw of a linear Gaussian parent, at every sample."""
    values, P = _flat(posterior), len(data.parameters)
    constant = inference_data.group(idata, "constant_data")
    covariates, slope = np.zeros((len(data.objects), 0)), np.zeros((1, P, 0))
    if "slope" in values:
        table = [constant[name].to_numpy() for name in constant["covariate"].values]
        covariates, slope = np.column_stack(table) - constant["pivot"].to_numpy(), values["slope"]

    def log_p(k: int) -> Floats:
        correlation = np.eye(P)
        if P > 1:
            below = np.tril_indices(P, -1)
            correlation[below] = correlation.T[below] = values["correlation"][k]
        one = {
            "mean": values["mean"][k],
            "sd": values["sd"][k],
            "slope": slope[k % len(slope)],
            "factor": np.linalg.cholesky(correlation),
        }
        return log_density(data.x, one, covariates, data.object_of)

    return log_p
