"""From posterior samples and options to the data of the Stan program, and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.optimum import not_too_wide, optimum
from pyxstan.priors import Prior
from pyxstan.stacking import parents, support
from pyxstan.stacking.coordinates import Coordinates, coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.nodes import Nodes, on_bins, on_grids, power_of, samples_alone
from pyxstan.stacking.parents import PARENTS, Range, Values
from pyxstan.stacking.quadrature import Plane, accepted, laid_out, proposed

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws

HISTOGRAM, MIXTURE = "stack_histogram", "stack_mixture"
#: Nodes to the finest length of a parent, at first; each refinement takes half as many again, and
#: beyond this it takes the samples.
_NODES_A_LENGTH, _MOST_NODES_A_LENGTH = 4.0, 10.0
#: Steps of expectation and maximisation from which the mode of a histogram is sought.
_EXPECTATIONS = 200
#: Draws of the guess by which those lengths are chosen, and how much wider than it they are drawn.
_GUESSES, _WIDER = 400, 2.0
#: Likelihoods of rows that are held at once.
_LIKELIHOODS = 1e7
#: Part of the draws by quadrature that are accepted, at least.
_LEAST_ACCEPTED = 0.8


@dataclass(frozen=True)
class StackProblem:
    """What a fit of a parent distribution is made of; see `pyxstan.registry.Problem`."""

    model: str
    data: PosteriorSamples
    on: Range
    coordinates: Coordinates
    #: Of the bins of a histogram.
    edges: Floats | None
    nodes: Nodes
    #: How many of a grid there are to the finest length of a parent that is evaluated on it.
    nodes_a_length: float
    #: Guess of theta, and the square root of its covariance.
    center: Floats
    scale: Floats
    stan_data: dict[str, Any]
    #: Whether to draw without NUTS.
    directly: bool
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def exact(self, chains: int, draws: int, seed: int) -> Draws | None:
        """Draw a posterior in two coordinates without NUTS; else None."""
        if not self.directly:
            return None
        from pyxstan.engine.sampling import Draws

        start = time.monotonic()
        target = _Target(self.model, self.on, self.edges, self.coordinates, self.nodes)
        plane = Plane.around(target.log_density, self.center, self.scale)
        found = laid_out(plane)
        if found is None:
            self.notes.append("the posterior can't be laid out for quadrature: by NUTS instead")
            return None
        theta = np.empty((chains, draws, 2))
        lp, probability = np.empty((2, chains, draws))
        for chain in range(chains):
            rng = np.random.default_rng([seed, chain])
            points, log_q = proposed(*found, draws, rng)
            log_p = target.log_density(points)
            kept, probability[chain] = accepted(log_p - log_q, rng)
            theta[chain], lp[chain] = points[kept], log_p[kept]
        rate = float(probability.mean())
        if not rate > _LEAST_ACCEPTED:
            self.notes.append(
                f"of draws by quadrature only {rate:.0%} are accepted: by NUTS instead"
            )
            return None
        z = np.linalg.solve(self.scale, (theta - self.center).reshape(-1, 2).T).T
        return Draws(
            variables={"z": z.reshape(theta.shape)},
            statistics={
                "lp": lp,
                "acceptance_rate": probability,
                "diverging": np.zeros(lp.shape, dtype=bool),
            },
            method="quadrature",
            seconds=time.monotonic() - start,
            stan_version="none: quadrature",
        )

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of parameters in the sampler's coordinates."""
        start = self.values(np.zeros((1, 1, self.coordinates.size)))
        for name in values:
            if name not in start:
                raise DataError(f"no starting value for '{name}'; there are {', '.join(start)}")
        chosen = {name: values.get(name, value[0, 0]) for name, value in start.items()}
        theta = self.coordinates.theta(chosen)
        return {"z": np.linalg.solve(self.scale, theta - self.center)}

    def values(self, z: Floats) -> dict[str, Floats]:
        """Parameters by name for the sampler's z, shape (chains, draws, ...)."""
        theta = self.center + z.reshape(-1, z.shape[-1]) @ self.scale.T
        found, _ = self.coordinates.values(theta)
        return {name: x.reshape(*z.shape[:2], *x.shape[1:]) for name, x in found.items()}

    def density(self, x: Floats, values: Values) -> Floats:
        """p(x) of draws, shape (draws, len(x))."""
        return parents.density(self.model, x, values, self.on, self.edges)

    def on_nodes(self, values: Values) -> Floats:
        """ln L_i by the nodes, then that of the selection; shape (draws, rows)."""
        return _on_nodes(self.model, self.nodes, values, self.on)

    def refined(self, draws: Draws) -> StackProblem | None:
        """The problem on finer nodes, where these are too coarse for the posterior; else None."""
        if self.nodes.exact:
            self.attributes["log_likelihood_error"] = 0.0
            return None
        z = draws.variables["z"].reshape(-1, self.coordinates.size)
        values, _ = self.coordinates.values(self.center + z @ self.scale.T)
        finest = PARENTS[self.model].finest(values, self.on)
        error = support.nodes_error(z, finest, len(self._points), self._log_posteriors)
        self.attributes["log_likelihood_error"] = error
        if error <= support.LARGEST_ERROR:
            return None
        more = 1.5 * self.nodes_a_length
        around = parents.support(self.model, self.on)
        if more > _MOST_NODES_A_LENGTH:  # as where a density is infinite at an end
            found = samples_alone(self.data, around)
        else:
            found = on_grids(self.data, finest, more, around)
        return replace(
            self,
            directly=self.directly and draws.method == "quadrature",
            nodes=found,
            nodes_a_length=more,
            stan_data={**self.stan_data, **found.stan_data()},
            notes=[*self.notes, f"the nodes were too coarse (error of ln L {error:.2g}): "
                                "fitted again on finer ones"],
        )  # fmt: skip

    @property
    def _points(self) -> Floats:
        """Every sample, and the detected injections."""
        chosen = self.data.selection
        return self.data.x[:, 0] if chosen is None else np.append(self.data.x, chosen.x)

    def _log_posteriors(self, z: Floats) -> tuple[float, float]:
        """Log posterior density of one z, by samples and by nodes, up to a constant."""
        values, log_prior = self.coordinates.values((self.center + self.scale @ z)[None])
        p = self.density(self._points, values)
        exact = support.likelihoods(self.data, p[:, : len(self.data.x)])
        if self.data.selection is not None:
            alpha = p[:, len(self.data.x) :] @ self.data.selection.weights
            exact = np.append(exact, alpha[:, None], axis=1)
        exact = np.log(np.maximum(exact, _least(self.on)))
        by_samples = log_prior[0] + exact[0] @ self.nodes.power
        by_nodes = log_prior[0] + self.on_nodes(values)[0] @ self.nodes.power
        return float(by_samples), float(by_nodes)

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, objects and the noise of their samples: with names, coordinates and units."""
        from pyxstan.stacking.results import groups

        return groups(self, draws, seed)


def _on_nodes(model: str, nodes: Nodes, values: Values, on: Range) -> Floats:
    """ln L of the rows, shape (draws, rows)."""

    def p(x: Floats, draws: np.ndarray) -> Floats:
        some = {name: value[draws] for name, value in values.items()}
        if model == HISTOGRAM:  # the rows hold the widths
            return np.asarray(some["fraction"])
        return parents.density(model, x, some, on, None)

    if model == HISTOGRAM:
        finest = np.full(len(values["fraction"]), np.inf)
    else:
        finest = PARENTS[model].finest(values, on)
    window = parents.window(model, values, on)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.log(np.maximum(nodes.likelihoods(finest, window, p), _least(on))))


def prepare(
    model: str, data: PosteriorSamples, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> StackProblem:
    """Make the samples ready for Stan: the range, the nodes, the guess of the posterior."""
    if len(data.parameters) != 1:
        raise DataError(
            f"{model} is of one parameter, the samples have {', '.join(data.parameters)}: "
            "choose one, or take stack_multivariate"
        )
    notes = list(data.notes)
    on, edges = _range(model, data, options, notes)
    data = within(data, parents.support(model, on), options["drop_empty"], notes)
    coords = coordinates_of(model, on, options, priors, edges)
    first = _start(model, data, on, coords.parts)
    if edges is not None:
        shares = on_bins(data, edges).matrix.toarray()[: len(data.objects)]
        first = {"fraction": _fractions(shares, coords.concentration, on)}
    start = coords.theta(first | coords.named(coords.within(coords.phi(first))[None], None))
    nodes = _nodes(model, data, on, edges, options["likelihood"], coords, start)
    target = _Target(model, on, edges, coords, nodes, _roughness(options))
    center, scale = optimum(target.surprise, start, 0.1 * np.diag(coords.units(on.width)))
    scale = not_too_wide(target.surprise, center, scale)
    if not nodes.exact:  # for the parents that the posterior may hold
        trials = np.random.default_rng(1).standard_normal((_GUESSES, len(center)))
        finest = PARENTS[model].finest(coords.values(center + _WIDER * trials @ scale.T)[0], on)
        nodes = on_grids(data, finest, _NODES_A_LENGTH, parents.support(model, on))
    stan_data: dict[str, Any] = {
        "parent": 1 if model == HISTOGRAM else PARENTS[model].code,
        "low": on.low,
        "high": on.high,
        **nodes.stan_data(),
        "least": _least(on),
        **coords.stan_data(),
        "log_width": np.zeros(coords.parts) if edges is None else np.log(np.diff(edges)),
        "roughness": _roughness(options),
        "center": center,
        "scale": scale,
    }
    shown = dict(zip(coords.names, map(str, coords.priors), strict=True))
    if coords.parts:
        shown["fraction"] = f"dirichlet({coords.concentration:g})"
    if _roughness(options):
        shown["fraction"] += f", ln density from bin to bin normal(0, {_roughness(options):g})"
    return StackProblem(
        model=model,
        data=data,
        on=on,
        coordinates=coords,
        edges=edges,
        nodes=nodes,
        nodes_a_length=_NODES_A_LENGTH,
        center=center,
        scale=scale,
        stan_data=stan_data,
        directly=options.get("exact", False),
        notes=notes,
        priors=shown,
        attributes={"parameter": data.parameters[0], "low": on.low, "high": on.high},
    )


def _least(on: Range) -> float:
    """What any L_i is taken for at least."""
    return parents.OUTLIERS / on.width


@dataclass(frozen=True)
class _Target:
    """The posterior density of theta."""

    model: str
    on: Range
    edges: Floats | None
    coordinates: Coordinates
    nodes: Nodes
    roughness: float = 0.0

    def log_density(self, theta: Floats) -> Floats:
        """Of each theta, shape (draws, size); up to a constant."""
        at_once = max(int(_LIKELIHOODS / len(self.nodes.power)), 1)
        parts = np.split(theta, range(at_once, len(theta), at_once))
        return np.concatenate([self._log_density(part) for part in parts])

    def _log_density(self, theta: Floats) -> Floats:
        with np.errstate(all="ignore"):
            values, found = self.coordinates.values(theta)
            found = found + _on_nodes(self.model, self.nodes, values, self.on) @ self.nodes.power
            if self.roughness and self.edges is not None:
                steps = np.diff(np.log(values["fraction"] / np.diff(self.edges)), axis=1)
                found -= 0.5 * np.sum((steps / self.roughness) ** 2, axis=1)
        return np.asarray(found)

    def surprise(self, theta: Floats) -> float:
        """Minus the log density of one theta."""
        found = float(self.log_density(theta[None])[0])
        return -found if np.isfinite(found) else 1e300


def _roughness(options: Mapping[str, Any]) -> float:
    given = options.get("smoothness")
    if given is None:
        return 0.0
    if not 0 < given < np.inf:
        raise DataError(f"option smoothness: {given:g} is not a positive number")
    return float(given)


def _range(
    model: str, data: PosteriorSamples, options: Mapping[str, Any], notes: list[str]
) -> tuple[Range, Floats | None]:
    """The range, by default that of all samples, and the edges of a histogram's bins."""
    x = data.x[:, 0]
    low = float(x.min()) if options["low"] is None else options["low"]
    high = float(x.max()) if options["high"] is None else options["high"]
    on = parents.checked_range(low, high)
    edges = edges_of(model, on, options)
    if edges is not None:
        on = Range(float(edges[0]), float(edges[-1]))
    if options.get("edges") is None and None in (options["low"], options["high"]):
        notes.append(f"range of {data.parameters[0]}: {on.low:.6g} to {on.high:.6g}")
    return on, edges


def edges_of(model: str, on: Range, options: Mapping[str, Any]) -> Floats | None:
    """Edges of a histogram's bins; None for other parents."""
    if model != HISTOGRAM:
        return None
    if options["edges"] is not None:
        return _edges(options["edges"])
    bins = options["bins"]
    if bins < 2:
        raise DataError(f"option bins: {bins} is not a whole number of at least 2")
    return np.linspace(on.low, on.high, bins + 1)


def _edges(given: Any) -> Floats:
    try:
        parts = given.split(",") if isinstance(given, str) else given
        edges = np.array([float(part) for part in parts])
    except (TypeError, ValueError):
        raise DataError(f"option edges: '{given}' is not numbers separated by commas") from None
    if len(edges) < 3 or not np.isfinite(edges).all() or not (np.diff(edges) > 0).all():
        raise DataError("option edges: expected at least three numbers, each above the last")
    return edges


def within(
    data: PosteriorSamples, support: tuple[float, float], drop_empty: bool, notes: list[str]
) -> PosteriorSamples:
    """Say how many samples are where no parent is; leave out objects without any, if wanted."""
    x = data.x[:, 0]
    outside = (x < support[0]) | (x > support[1])
    if not outside.any():
        return data
    inside = np.add.reduceat(np.where(outside, 0.0, data.weights), data.start[:-1]) > 0
    count = int(outside.sum())
    notes.append(f"{count} of {len(x)} samples are outside of the range and count as misses")
    if inside.all():
        return data
    empty = np.flatnonzero(~inside)
    name = data.objects[empty[0]]
    if not drop_empty:
        others = f" (and {empty.size - 1} others)" if empty.size > 1 else ""
        raise DataError(
            f"{data.source}: object '{name}'{others} has no sample in the range "
            f"{support[0]:g} to {support[1]:g}: widen it, or drop_empty=true"
        )
    if empty.size == len(data.objects):
        raise DataError(f"{data.source}: no object has a sample in the range")
    notes.append(f"{empty.size} objects without a sample in the range are left out, '{name}' first")
    return data.kept(inside)


def coordinates_of(
    model: str,
    on: Range,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    edges: Floats | None,
) -> Coordinates:
    """Coordinates of a model's parent with these options and priors."""
    alpha = options.get("concentration", 1.0)
    if not 0 < alpha < np.inf:
        raise DataError(f"option concentration: {alpha:g} is not a positive number")
    if edges is not None:
        return coordinates({}, frozenset(), len(edges) - 1, alpha)
    parent = PARENTS[model]
    chosen = parent.priors(on) | dict(priors)
    if model != MIXTURE:
        return coordinates(chosen, parent.positive)
    components = options["components"]
    if not 2 <= components <= 10:
        raise DataError(f"option components: {components} is not a whole number from 2 to 10")
    return coordinates(chosen, parent.positive, components, alpha, mixture=True)


def _moments(data: PosteriorSamples) -> tuple[Floats, float, float]:
    """Mean of each object, mean of those, and a guess of the parent's standard deviation."""
    x = data.x[:, 0]

    def mean(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(data.weights * values, data.start[:-1]))

    means = mean(x)
    errors = mean(x**2) - means**2
    middle = float(np.median(means))
    variance = max(float(np.var(means) - np.mean(errors)), 0.1 * float(np.var(means)))
    return means, middle, float(np.sqrt(max(variance, 1e-4 * float(np.mean(errors)), 1e-300)))


def _fractions(shares: Floats, concentration: float, on: Range) -> Floats:
    """Fractions of bins near their mode, by expectation and maximisation.

    Parameters
    ----------
    shares
        Likelihood of each object for the density of each bin, shape (objects, bins).
    """
    fraction = np.full(shares.shape[1], 1 / shares.shape[1])
    for _ in range(_EXPECTATIONS):
        whole = np.maximum(shares @ fraction, _least(on))
        counts = concentration + fraction * (shares.T @ (1 / whole))
        fraction = counts / counts.sum()
    return np.asarray(fraction)


def _start(model: str, data: PosteriorSamples, on: Range, parts: int) -> dict[str, Any]:
    """Where the search for the posterior's mode starts."""
    means, middle, sd = _moments(data)
    inside = float(np.clip(middle, on.low + 0.05 * on.width, on.high - 0.05 * on.width))
    sd = float(np.clip(sd, 0.01 * on.width, 0.5 * on.width))
    u = (inside - on.low) / on.width
    total = max(u * (1 - u) * (on.width / sd) ** 2 - 1, 2.0)
    match model:
        case "stack_gaussian" | "stack_truncated_gaussian":
            return {"mean": inside, "sd": sd}
        case "stack_student_t":
            return {"location": inside, "scale": sd, "nu": 5.0}
        case "stack_skew_normal":
            return {"mean": inside, "sd": sd, "shape": 0.5}
        case "stack_beta":
            return {"alpha": u * total, "beta": (1 - u) * total}
        case "stack_gamma":
            return {
                "shape": max((inside - on.low) ** 2 / sd**2, 0.5),
                "scale": min(sd**2 / (inside - on.low), 0.5 * on.width),
            }
        case "stack_mixture":
            at = np.quantile(means, (np.arange(parts) + 0.5) / parts)
            at += 1e-3 * on.width * np.arange(parts)
            return {
                "mean": at,
                "sd": np.full(parts, max(sd / parts, 0.02 * on.width)),
                "fraction": np.full(parts, 1 / parts),
            }
        case _:
            return {"fraction": np.full(parts, 1 / parts)}


def _nodes(
    model: str,
    data: PosteriorSamples,
    on: Range,
    edges: Floats | None,
    likelihood: str,
    coords: Coordinates,
    start: Floats,
) -> Nodes:
    """Nodes for the search of the mode."""
    if edges is not None:
        return Nodes((on_bins(data, edges),), np.zeros(1), None, power_of(data))
    support = parents.support(model, on)
    if likelihood == "samples":
        return samples_alone(data, support)
    finest = PARENTS[model].finest(coords.values(start[None])[0], on)
    return on_grids(data, finest, _NODES_A_LENGTH, support)
