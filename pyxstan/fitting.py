"""`fit` and `simulate`: data in, inference data out, the same way for every model."""

from __future__ import annotations

import json
import math
import operator
import secrets
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from pyxstan import inference_data, registry
from pyxstan.engine import sampling
from pyxstan.engine.build import build
from pyxstan.errors import DataError
from pyxstan.messages import notifier
from pyxstan.priors import Prior

_LARGEST_SEED = 2**32 - 1
#: Iterations of NUTS's warm-up, where the user sets none.
_WARMUP = 1000


def fit(
    name: str,
    data: Any,
    *,
    method: str = "nuts",
    chains: int = 4,
    warmup: int | None = None,
    draws: int = 1000,
    seed: int | None = None,
    priors: Mapping[str, str | Prior] | None = None,
    inits: float | Mapping[str, Any] | None = None,
    progress: bool = True,
    **options: Any,
) -> Any:
    """Fit a model of the zoo.

    Parameters
    ----------
    name
        A model of `pyxstan.list_models`.
    data
        The model's data class, or a table or dict that it is made of; see `pyxstan.describe`.
    method
        ``nuts`` (or exact draws, of models with the option ``exact``), ``pathfinder``,
        ``laplace``, ``map`` (one draw: the mode) or ``variational``.
    chains, warmup, draws
        Of NUTS, with 1,000 iterations of warm-up by default; the approximations return
        ``chains * draws`` draws as one chain.
    seed
        0 to 4294967295. The same seed, machine and inputs give the same draws. Default: a random
        one, which the result's attributes tell.
    priors
        Changes of default priors, such as ``{"sigma2": "inv_gamma(3, 0.005)"}``.
    inits
        Half width of the random starting interval in the sampler's coordinates, or starting values
        by posterior variable, from which all chains start.
    progress
        Log what is going on, and how the chains converged (logger ``pyxstan``; to standard error,
        unless the program has set up logging).
    **options
        The model's options, and ``metric``, ``adapt_delta``, ``max_treedepth``, ``stan``.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        Depending on the ArviZ installed (0.2x or 1.x); groups ``posterior``, ``sample_stats``,
        ``log_likelihood``, ``posterior_predictive``, ``observed_data``, ``constant_data``.

    Raises
    ------
    DataError
        Unknown model, option or prior; bad data; a setting of NUTS where nothing is sampled by it.
    BuildError
        The model can't be compiled.
    SamplingError
        Stan failed.
    """
    idata = unjudged(
        name,
        data,
        method=method,
        chains=chains,
        warmup=warmup,
        draws=draws,
        seed=seed,
        priors=priors,
        inits=inits,
        progress=progress,
        **options,
    )
    if progress:
        from pyxstan.summaries import verdict

        notifier(progress)(str(verdict(idata)))
    return idata


def unjudged(
    name: str,
    data: Any,
    *,
    method: str,
    chains: int,
    warmup: int | None,
    draws: int,
    seed: int | None,
    priors: Mapping[str, str | Prior] | None,
    inits: float | Mapping[str, Any] | None,
    progress: bool,
    **options: Any,
) -> Any:
    """`fit`, for who says the verdict elsewhere."""
    start = time.monotonic()
    inference_data.arviz()  # what can't be imported shows before the work
    model = registry.get(name)
    notify = notifier(progress)
    chosen = model.resolve_options(options, registry.SAMPLER_OPTIONS)
    of_nuts = [o.name for o in registry.SAMPLER_OPTIONS if o.name != "stan" and o.name in options]
    settings = _sampler_settings(model, method, chains, warmup, draws, inits, chosen)
    if method != "nuts":
        _refuse_unused(name, of_nuts, f"method '{method}' does not sample by NUTS")
    parsed = model.resolve_priors(priors)
    seed = _seed(seed)
    needed = sampling.units(method, settings["metric"])

    problem = model.family.prepare(name, model.family.as_data(data), chosen, parsed)
    for line in problem.warnings:
        warnings.warn(f"{name}: {line}", stacklevel=3)
    for line in problem.notes:
        notify(line)

    said = len(problem.notes)
    result: sampling.Draws | None = None
    while result is None:
        drawn = problem.exact(chains, draws, seed) if method == "nuts" else None
        for line in problem.notes[said:]:
            notify(line)
        said = len(problem.notes)
        if drawn is not None:
            given = [*of_nuts, *(["stan"] if "stan" in options else [])]
            given += [] if inits is None else ["inits"]
            _refuse_unused(name, given, "draws are direct, without Stan, unless exact=False")
        else:
            starts = _starts(problem, inits, chains, seed)
            built = partial(build, model.program, needed, notify=notify, stan=chosen["stan"])
            executable = built()
            notify(_plan(method, chains, settings["warmup"], draws, seed))
            drawn = sampling.run_mended(
                executable,
                built,
                problem.stan_data,
                method=method,
                chains=chains,
                draws=draws,
                seed=seed,
                inits=starts,
                progress=progress and sys.stderr.isatty(),
                **settings,
            )
        refined = problem.refined(drawn)
        if refined is None:
            result = drawn
        else:
            problem = refined
    if result.method != "nuts" and warmup is not None:
        problem.notes.append(f"warmup={warmup} has no effect: nothing is sampled by NUTS")
    groups = problem.groups(result, seed)
    problem.notes.extend(_thinned(groups))
    for line in problem.notes[said:]:
        notify(line)
    groups["sample_stats"] = _sample_stats(result, groups["posterior"])
    attributes: dict[Any, Any] = {
        "model": name,
        "method": result.method,
        "seed": seed,
        "chains": chains,
        "draws": draws,
        "options": _json(_used(chosen, settings, result.method)),
        "priors": json.dumps(problem.priors),
        "notes": json.dumps([*problem.notes, *problem.warnings]),
        "complaints": json.dumps(problem.complaints),
        "approximation_problems": json.dumps(result.complaints),
        "pyxstan_version": version("pyxstan"),
        "arviz_version": version("arviz"),
        "cmdstanpy_version": version("cmdstanpy"),
        "sampling_time_s": round(result.seconds, 3),
        "wall_time_s": round(time.monotonic() - start, 3),
    }
    if result.method == "nuts":
        attributes["warmup"] = settings["warmup"]
    if result.method in sampling.METHODS:
        attributes["inits"] = _json(inits)
        attributes["stan_program_sha256"] = model.program.sha256()
        attributes["stan_version"] = result.stan_version
    attributes |= {str(key): value for key, value in problem.attributes.items()}
    return inference_data.assemble(groups, attributes)


def simulate(
    name: str,
    parameters: Mapping[str, Any] | None = None,
    *,
    seed: int,
    from_prior: bool = False,
    priors: Mapping[str, str | Prior] | None = None,
    **options: Any,
) -> tuple[Any, dict[str, Any]]:
    """Simulate data of a model.

    Parameters
    ----------
    parameters
        True values by posterior variable; the rest take the model's defaults.
    seed
        The same seed and options give the same data.
    from_prior
        Draw the true parameters from the priors in force, for simulation-based calibration.
    priors, **options
        As in `fit`, and the model's options of simulation.

    Returns
    -------
    data, truth
        What `fit` takes, and the true values by posterior variable.

    Raises
    ------
    DataError
        Unknown model, option, prior or parameter.
    """
    import numpy as np

    model = registry.get(name)
    chosen = model.resolve_options(options, (*registry.SAMPLER_OPTIONS, *model.simulation))
    return model.family.simulate(
        name,
        parameters,
        np.random.default_rng(_seed(seed)),
        chosen,
        model.resolve_priors(priors),
        from_prior=from_prior,
    )


def _starts(problem: registry.Problem, inits: Any, chains: int, seed: int) -> Any:
    if inits is None:
        return problem.starts(chains, seed)
    return problem.inits(inits) if isinstance(inits, Mapping) else inits


def _plan(method: str, chains: int, warmup: int, draws: int, seed: int) -> str:
    if method == "nuts":
        return f"sampling: {chains} chains of {warmup} + {draws} iterations, seed {seed}"
    return f"{method}, seed {seed}"


def _seed(seed: int | None) -> int:
    if seed is None:
        return secrets.randbelow(2**31)
    return _whole("seed", seed, 0, _LARGEST_SEED)


def _whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    try:
        whole = operator.index(value)
        fits = not isinstance(value, bool) and whole >= least and (most is None or whole <= most)
    except TypeError:
        whole, fits = 0, False
    if not fits:
        span = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise DataError(f"{name} {value}: expected a whole number {span}")
    return whole


def _thinned(groups: Mapping[str, Any]) -> list[str]:
    """Say which groups have fewer draws than the posterior."""
    whole = groups["posterior"].sizes["draw"]
    fewer = {
        name: groups[name].sizes["draw"]
        for name in ("log_likelihood", "posterior_predictive")
        if name in groups and groups[name].sizes["draw"] < whole
    }
    if not fewer:
        return []
    return [f"{' and '.join(fewer)}: {max(fewer.values())} of {whole} draws a chain, evenly spaced"]


def _sampler_settings(
    model: registry.Model,
    method: str,
    chains: int,
    warmup: int | None,
    draws: int,
    inits: Any,
    chosen: Mapping[str, Any],
) -> dict[str, Any]:
    """Check what the user set of the sampler, and fill in what suits the model."""
    sampling.units(method)
    _whole("chains", chains, 1)
    _whole("draws", draws, 1)
    warmup = _WARMUP if warmup is None else _whole("warmup", warmup, 0)
    if inits is not None and not isinstance(inits, Mapping):
        try:
            usable = 0 <= float(inits) < math.inf
        except (TypeError, ValueError):
            usable = False
        if not usable:
            raise DataError(f"inits '{inits}': expected a half width or values by variable")
    adapt_delta, depth = chosen["adapt_delta"], chosen["max_treedepth"]
    if adapt_delta is not None and not 0 < adapt_delta < 1:
        raise DataError(f"option adapt_delta: {adapt_delta:g} is not between 0 and 1")
    if depth is not None and depth < 1:
        raise DataError(f"option max_treedepth: {depth} is not a whole number of at least 1")
    return {
        "warmup": warmup,
        "metric": chosen["metric"],
        "adapt_delta": model.adapt_delta if adapt_delta is None else adapt_delta,
        "max_treedepth": model.max_treedepth if depth is None else depth,
    }


def _refuse_unused(name: str, settings: Sequence[str], why: str) -> None:
    if settings:
        raise DataError(f"{name}: {', '.join(settings)} would have no effect: {why}")


def _used(chosen: Mapping[str, Any], settings: Mapping[str, Any], method: str) -> dict[str, Any]:
    """The options that the result comes from."""
    of_sampler = {option.name for option in registry.SAMPLER_OPTIONS}
    used = {name: value for name, value in chosen.items() if name not in of_sampler}
    if method in sampling.METHODS:
        used["stan"] = chosen["stan"]
    if method == "nuts":
        used |= {name: settings[name] for name in ("metric", "adapt_delta", "max_treedepth")}
    return {name: value for name, value in used.items() if value is not None}


def _json(value: Any) -> str:
    """Write what the user gave as JSON: arrays as lists, keys that are tuples joined by blanks."""
    import numpy as np

    def plain(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {
                " ".join(map(str, key)) if isinstance(key, tuple) else str(key): plain(entry)
                for key, entry in value.items()
            }
        return value

    def known(value: Any) -> Any:
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)

    return json.dumps(plain(value), default=known)


def _sample_stats(result: sampling.Draws, posterior: Any) -> Any:
    import xarray as xr

    variables: dict[str, Any] = {}
    for name, values in result.statistics.items():
        kind = {"diverging": bool, "tree_depth": int, "n_steps": int}.get(name, float)
        variables[name] = (("chain", "draw"), values.astype(kind))
    dataset = xr.Dataset(
        variables, coords={"chain": posterior.chain, "draw": posterior.draw}, attrs={}
    )
    for name, values in result.attributes.items():
        if name == "step_size":
            dataset.attrs["adapted_step_size"] = list(map(float, values))
        elif values is not None and values.ndim == 2:
            dataset["inv_metric"] = (("chain", "unconstrained"), values)
            dataset.coords["unconstrained"] = range(values.shape[1])
    return dataset
