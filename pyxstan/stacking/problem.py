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
from pyxstan.stacking.parents import HISTOGRAM, MIXTURE, PARENTS, Range
from pyxstan.stacking.quadrature import Plane, accepted, laid_out, proposed
from pyxstan.stacking.starting import fractions, start
from pyxstan.stacking.target import Target

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws

#: Nodes to the finest length of a parent, at first; each refinement takes half as many again, and
#: beyond this it takes the samples.
_NODES_A_LENGTH, _MOST_NODES_A_LENGTH = 4.0, 10.0
#: Draws of the guess by which those lengths are chosen, and how much wider than it they are drawn.
_GUESSES, _WIDER = 400, 2.0
#: Part of the draws by quadrature that are accepted, at least.
_LEAST_ACCEPTED = 0.8


@dataclass(frozen=True)
class StackProblem:
    """What a fit of a parent distribution is made of; see `pyxstan.registry.Problem`."""

    data: PosteriorSamples
    target: Target
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

        began = time.monotonic()
        found = laid_out(Plane.around(self.target.log_density, self.center, self.scale))
        if found is None:
            self.notes.append("the posterior can't be laid out for quadrature: by NUTS instead")
            return None
        theta = np.empty((chains, draws, 2))
        lp, probability = np.empty((2, chains, draws))
        for chain in range(chains):
            rng = np.random.default_rng([seed, chain])
            points, log_q = proposed(*found, draws, rng)
            log_p = self.target.log_density(points)
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
            seconds=time.monotonic() - began,
            stan_version="none: quadrature",
        )

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of parameters in the sampler's coordinates."""
        guess = self.values(np.zeros((1, 1, len(self.center))))
        for name in values:
            if name not in guess:
                raise DataError(f"no starting value for '{name}'; there are {', '.join(guess)}")
        chosen = {name: values.get(name, value[0, 0]) for name, value in guess.items()}
        theta = self.target.coordinates.theta(chosen)
        return {"z": np.linalg.solve(self.scale, theta - self.center)}

    def values(self, z: Floats) -> dict[str, Floats]:
        """Parameters by name for the sampler's z, shape (chains, draws, ...)."""
        theta = self.center + z.reshape(-1, z.shape[-1]) @ self.scale.T
        found, _ = self.target.coordinates.values(theta)
        return {name: x.reshape(*z.shape[:2], *x.shape[1:]) for name, x in found.items()}

    def starts(self, chains: int, seed: int) -> None:
        """Chains start around the guess."""

    def refined(self, draws: Draws) -> StackProblem | None:
        """The problem on finer nodes, where these are too coarse for the posterior; else None."""
        target = self.target
        if target.nodes.exact:
            self.attributes["log_likelihood_error"] = 0.0
            return None
        z = draws.variables["z"].reshape(-1, len(self.center))
        finest = target.finest(target.coordinates.values(self.center + z @ self.scale.T)[0])
        error = support.nodes_error(z, finest, len(self._points), self._log_posteriors)
        self.attributes["log_likelihood_error"] = error
        if error <= support.LARGEST_ERROR:
            return None
        more = 1.5 * self.nodes_a_length
        around = parents.support(target.model, target.on)
        if more > _MOST_NODES_A_LENGTH:  # as where a density is infinite at an end
            found = samples_alone(self.data, around)
        else:
            found = on_grids(self.data, finest, more, around)
        return replace(
            self,
            directly=self.directly and draws.method == "quadrature",
            target=replace(target, nodes=found),
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
        target, theta = self.target, (self.center + self.scale @ z)[None]
        values, log_prior = target.coordinates.values(theta)
        p = target.density(self._points, values)
        exact = support.likelihoods(self.data, p[:, : len(self.data.x)])
        if self.data.selection is not None:
            alpha = p[:, len(self.data.x) :] @ self.data.selection.shares
            exact = np.append(exact, alpha[:, None], axis=1)
        exact = np.log(np.maximum(exact, target.least))
        by_samples = log_prior[0] + exact[0] @ target.nodes.power
        return float(by_samples), float(target.log_density(theta)[0])

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, objects and the noise of their samples: with names, coordinates and units."""
        from pyxstan.stacking.results import groups

        return groups(self, draws, seed)


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
    first = start(model, data, on, coords.parts)
    if edges is not None:
        shares = on_bins(data, edges).matrix.toarray()[: len(data.objects)]
        first = {"fraction": fractions(shares, coords.concentration, parents.least(on))}
    theta = coords.theta(first | coords.named(coords.within(coords.phi(first))[None], None))
    nodes = _nodes(model, data, on, edges, options["likelihood"], coords, theta)
    target = Target(model, on, edges, coords, nodes, roughness(options))
    center, scale = optimum(target.surprise, theta, 0.1 * np.diag(coords.units(on.width)))
    scale = not_too_wide(target.surprise, center, scale)
    if not nodes.exact:  # for the parents that the posterior may hold
        trials = np.random.default_rng(1).standard_normal((_GUESSES, len(center)))
        finest = target.finest(coords.values(center + _WIDER * trials @ scale.T)[0])
        nodes = on_grids(data, finest, _NODES_A_LENGTH, parents.support(model, on))
        target = replace(target, nodes=nodes)
    stan_data: dict[str, Any] = {
        "parent": 1 if model == HISTOGRAM else PARENTS[model].code,
        "low": on.low,
        "high": on.high,
        **nodes.stan_data(),
        "least": target.least,
        **coords.stan_data(),
        "log_width": np.zeros(coords.parts) if edges is None else np.log(np.diff(edges)),
        "roughness": target.roughness,
        "center": center,
        "scale": scale,
    }
    shown = dict(zip(coords.names, map(str, coords.priors), strict=True))
    if coords.parts:
        shown["fraction"] = f"dirichlet({coords.concentration:g})"
    if target.roughness:
        shown["fraction"] += f", ln density from bin to bin normal(0, {target.roughness:g})"
    return StackProblem(
        data=data,
        target=target,
        nodes_a_length=_NODES_A_LENGTH,
        center=center,
        scale=scale,
        stan_data=stan_data,
        directly=options.get("exact", False),
        notes=notes,
        complaints=list(data.complaints),
        priors=shown,
        attributes={"parameter": data.parameters[0], "low": on.low, "high": on.high},
    )


def roughness(options: Mapping[str, Any]) -> float:
    """Standard deviation of ln density from bin to bin; zero: any."""
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
            f"{support[0]:g} to {support[1]:g}: widen it, or leave such objects out (drop_empty)"
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


def _nodes(
    model: str,
    data: PosteriorSamples,
    on: Range,
    edges: Floats | None,
    likelihood: str,
    coords: Coordinates,
    theta: Floats,
) -> Nodes:
    """Nodes for the search of the mode."""
    if edges is not None:
        return Nodes((on_bins(data, edges),), np.zeros(1), None, power_of(data))
    support = parents.support(model, on)
    if likelihood == "samples":
        return samples_alone(data, support)
    finest = parents.finest(model, coords.values(theta[None])[0], on)
    return on_grids(data, finest, _NODES_A_LENGTH, support)
