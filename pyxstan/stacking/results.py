"""From the draws of a parent distribution to the groups of its inference data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan import registry
from pyxstan.stacking import parents, support
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.nodes import on_bins
from pyxstan.stacking.parents import PARENTS, Values

if TYPE_CHECKING:
    from pyxstan.engine.sampling import Draws
    from pyxstan.stacking.problem import StackProblem

#: That of the samples, which the user knows.
_UNIT = ""
#: What the log likelihoods of the objects may cost in all, and of how many draws they are kept.
_LARGEST_COST, _FEWEST_DRAWS, _MOST_DRAWS = 2e7, 200, 4000
#: Objects whose own histograms are kept for the figure, and the cells of those.
_SHOWN, _CELLS = 200, 60


def groups(problem: StackProblem, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
    """Every group of the inference data but `sample_stats`, of a parent in one parameter."""
    target = problem.target
    values = problem.values(draws.variables["z"])
    found = _supported(problem, values)
    problem.complaints.extend(found.complaints(problem.data))
    for name, least in problem.least_widths.items():
        problem.complaints.extend(support.at_least_width(name, values[name], least))
    if target.model == "stack_gaussian":
        middle = (float(values[name].mean()) for name in ("mean", "sd"))
        problem.complaints.extend(support.outliers(problem.data, *middle))
    problem.attributes["log_likelihood_variance"] = found.total
    flat = {name: x.reshape(-1, *x.shape[2:]) for name, x in values.items()}
    rng = np.random.default_rng([seed, 1])
    count = len(problem.data.objects)

    def drawn(values: Values) -> Floats:
        return parents.sample(target.model, rng, values, target.on, target.edges)

    def of_objects(values: Values) -> Floats:
        rows = target.on_nodes(values)
        chosen = problem.data.selection
        return rows if chosen is None else rows[:, :count] - rows[:, count:] - chosen.log_total

    def new_objects(kept: np.ndarray) -> Floats:
        some = {name: x[kept] for name, x in flat.items()}
        if count <= len(kept):
            return np.stack([drawn(some) for _ in range(count)], axis=1)[..., None]
        each = ({name: np.repeat(x[k][None], count, axis=0) for name, x in some.items()}
                for k in range(len(kept)))  # fmt: skip
        return np.stack([drawn(one) for one in each])[..., None]

    mean = {name: x.mean(axis=0)[None] for name, x in flat.items()}
    problem.attributes["deviance_at_mean"] = float(-2 * of_objects(mean).sum())
    return common_groups(
        problem.data,
        found,
        posterior=_posterior(problem, values),
        log_likelihood=lambda kept: of_objects({name: x[kept] for name, x in flat.items()}),
        new_objects=new_objects,
        constant=_histograms(problem),
        cost=count,
        rng=rng,
    )


def common_groups(
    data: PosteriorSamples,
    found: support.Support,
    *,
    posterior: xr.Dataset,
    log_likelihood: Callable[[np.ndarray], Floats],
    new_objects: Callable[[np.ndarray], Floats],
    constant: dict[str, Any],
    cost: int,
    rng: np.random.Generator,
) -> dict[str, xr.Dataset]:
    """The groups of any parent.

    Parameters
    ----------
    log_likelihood
        ln L_i of draws by their positions, shape (draws, N), less ln of the detected fraction.
    new_objects
        One of the population in the place of each object, for draws by their positions, shape
        (draws, N, parameters).
    constant
        More for the group of constants.
    cost
        Of ln L_i of all objects, for one draw: which may be left out of some, where it is large.
    rng
        Of the errors with which new objects are measured.
    """
    objects = {"object": np.array(data.objects, dtype=str)}
    chains, draws = posterior.sizes["chain"], posterior.sizes["draw"]
    wanted = int(np.clip(_LARGEST_COST / cost, _FEWEST_DRAWS, _MOST_DRAWS))
    kept = np.arange(0, draws, max(1, chains * draws // wanted))
    position = (np.arange(chains)[:, None] * draws + kept).ravel()
    sizes = log_likelihood(position).reshape(chains, len(kept), -1)
    each = {"chain": np.arange(chains), "draw": np.arange(draws)}
    several = {"parameter": list(data.parameters)} if len(data.parameters) > 1 else {}
    dims = tuple(several)
    mean, sd = _moments(data)
    if not several:
        mean, sd = mean[:, 0], sd[:, 0]
    # in the place of each object one of the population, measured as well as it was
    predicted = new_objects(position).reshape(chains, len(kept), *mean.shape)
    predicted = predicted + sd * rng.standard_normal(predicted.shape)
    return {
        "posterior": posterior,
        "log_likelihood": xr.Dataset(
            {"sample_mean": (("chain", "draw", "object"), sizes)},
            coords={**objects, **each, "draw": kept},
        ),
        "posterior_predictive": xr.Dataset(
            {"sample_mean": (("chain", "draw", "object", *dims), predicted)},
            coords={**objects, **each, "draw": kept, **several},
        ),
        "observed_data": xr.Dataset(
            {
                "sample_mean": (
                    ("object", *dims),
                    mean,
                    {"units": _UNIT, "long_name": "mean of the samples"},
                )
            },
            coords={**objects, **several},
        ),
        "constant_data": xr.Dataset(
            {
                "samples": ("object", data.sizes, {"long_name": "posterior samples"}),
                "sample_sd": (
                    ("object", *dims),
                    sd,
                    {"units": _UNIT, "long_name": "standard deviation of the samples"},
                ),
                "effective_samples": ("object", found.effective),
                "log_likelihood_variance": ("object", found.variance),
                **{name: ("object", column) for name, column in data.covariates.items()},
                **constant,
            },
            coords={**objects, **several},
        ),
    }


def _posterior(problem: StackProblem, values: Values) -> xr.Dataset:
    target = problem.target
    edges, parts = target.edges, target.coordinates.parts
    found: dict[str, Floats] = dict(values)
    chains, draws = next(iter(values.values())).shape[:2]
    coords: dict[str, Any] = {"chain": np.arange(chains), "draw": np.arange(draws)}
    derived = None if edges is not None else PARENTS[target.model].derived
    if derived is not None:
        flat = derived({name: x.ravel() for name, x in values.items()}, target.on)
        found |= {name: x.reshape(next(iter(values.values())).shape) for name, x in flat.items()}
    part = "bin" if edges is not None else "component"
    if edges is not None:
        coords = coords | {
            "bin": 0.5 * (edges[1:] + edges[:-1]),
            "bin_low": ("bin", edges[:-1]),
            "bin_high": ("bin", edges[1:]),
        }
    elif parts:
        coords = coords | {"component": np.arange(1, parts + 1)}
    described = {p.name: p for p in registry.get(target.model).parameters}
    variables = {
        name: (
            ("chain", "draw", part)[: x.ndim],
            x,
            {"units": described[name].unit, "long_name": described[name].description},
        )
        for name, x in found.items()
    }
    return xr.Dataset(variables, coords=coords)


def _supported(problem: StackProblem, values: Values) -> support.Support:
    """Effective samples at the posterior mean of the parent's parameters."""
    mean = {name: x.mean(axis=(0, 1))[None] for name, x in values.items()}
    target, x = problem.target, problem.data.x[:, 0]
    log_p = parents.log_density(target.model, x, mean, target.on, target.edges)[0]
    chosen = problem.data.selection
    injected = None if chosen is None else target.density(chosen.x[:, 0], mean)[0]
    return support.supported(problem.data, log_p, injected)


def _histograms(problem: StackProblem) -> dict[str, Any]:
    """Histograms of some objects' own samples, for the figure."""
    data, on = problem.data, problem.target.on
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


def _moments(data: PosteriorSamples) -> tuple[Floats, Floats]:
    """Mean and standard deviation of each object's samples, shape (N, D)."""

    def mean(values: Floats) -> Floats:
        weighted = data.weights[:, None] * values
        return np.asarray(np.add.reduceat(weighted, data.start[:-1], axis=0))

    middle = mean(data.x)
    return middle, np.sqrt(mean((data.x - middle[data.object_of]) ** 2))
