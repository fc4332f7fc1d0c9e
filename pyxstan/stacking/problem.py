"""From posterior samples and options to the data of the Stan program, and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.stacking import parents, support
from pyxstan.stacking.coordinates import Coordinates, coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.far_samples import Samples
from pyxstan.stacking.nodes import Nodes, on_bins, on_grids, power_of, samples_alone
from pyxstan.stacking.parents import HISTOGRAM, MIXTURE, PARENTS, Range
from pyxstan.stacking.quadrature import Plane, accepted, laid_out, proposed
from pyxstan.stacking.search import LogDensity, Mode, maximised, modes, spread_over, told
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
#: Log density of parents, below the highest, that need not be known by quadrature.
_NEGLIGIBLE = 40.0


@dataclass(frozen=True)
class StackProblem:
    """What a fit of a parent distribution is made of; see `pyxstan.registry.Problem`."""

    data: PosteriorSamples
    target: Target
    #: How many of a grid there are to the finest length of a parent that is evaluated on it.
    nodes_a_length: float
    #: Modes of the posterior, the one with most of the probability first.
    modes: list[Mode]
    stan_data: dict[str, Any]
    #: Whether to draw without NUTS.
    directly: bool
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    #: Widths that samples shared by all objects leave unknown below a limit, and that limit.
    least_widths: Mapping[str, float] = field(default_factory=dict)

    @property
    def center(self) -> Floats:
        """Guess of theta."""
        return self.modes[0].center

    @property
    def scale(self) -> Floats:
        """Square root of its covariance."""
        return self.modes[0].scale

    def exact(self, chains: int, draws: int, seed: int) -> Draws | None:
        """Draw a posterior in two coordinates without NUTS; else None."""
        if not self.directly:
            return None
        from pyxstan.engine.sampling import Draws

        began = time.monotonic()
        least = max(mode.log_density for mode in self.modes) - _NEGLIGIBLE

        def log_density(theta: Floats) -> Floats:
            return self.target.log_density(theta, least)

        places = [(mode.center, mode.scale) for mode in self.modes]
        found = laid_out(Plane.over(log_density, places))
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

    def starts(self, chains: int, seed: int) -> list[dict[str, Any]] | None:
        """Chains start around the guess; where there are several modes, spread over all of them."""
        if len(self.modes) == 1:
            return None
        spread = spread_over(self.modes, chains, self.target.log_density, seed)
        return [{"z": np.linalg.solve(self.scale, theta - self.center)} for theta in spread]

    def refined(self, draws: Draws) -> StackProblem | None:
        """The problem on finer nodes, where these are too coarse for the posterior; else None."""
        target = self.target
        if target.nodes.exact:
            self.attributes["log_likelihood_error"] = 0.0
            return None
        z = draws.variables["z"].reshape(-1, len(self.center))
        finest = target.finest(target.coordinates.values(self.center + z @ self.scale.T)[0])
        error = support.nodes_error(z, finest, len(target.samples.x), self._log_posteriors)
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

    def _log_posteriors(self, z: Floats) -> tuple[float, float]:
        """Log posterior density of one z, by samples and by nodes, up to a constant."""
        target, theta = self.target, (self.center + self.scale @ z)[None]
        values, log_prior = target.coordinates.values(theta)
        by_samples = log_prior[0] + target.log_likelihoods(values)[0] @ target.nodes.power
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
    least: dict[str, float] = {}
    on, edges = _range(model, data, options, notes)
    ends = parents.support(model, on)
    data = within(data, ends, options["drop_empty"], notes, ends=model == HISTOGRAM)
    if edges is None:
        notes.extend(support.noiseless(data, model))
        given, priors = priors, _wide_enough(model, data, on, priors, notes)
        least = {name: priors[name].arguments[0] for name in priors.keys() - given.keys()}
    placed = not priors.keys().isdisjoint(("mean", "location"))
    coords = coordinates_of(model, on, options, priors, edges)
    first = start(model, data, on, coords.parts)
    if edges is not None:
        shares = on_bins(data, edges).matrix.toarray()[: len(data.objects)]
        first = {"fraction": fractions(shares, coords.concentration)}
    theta = coords.theta(first | coords.named(coords.within(coords.phi(first))[None], None))
    samples = Samples.of(data, ends)

    def target_for(guesses: Floats) -> Target:
        """The posterior density, on nodes that are fine enough for some theta."""
        if edges is not None:
            nodes = Nodes((on_bins(data, edges),), np.zeros(1), None, power_of(data))
        elif options["likelihood"] == "samples":
            nodes = samples_alone(data, ends)
        else:
            finest = parents.finest(model, coords.values(guesses)[0], on)
            nodes = on_grids(data, finest, _NODES_A_LENGTH, ends)
        return Target(model, on, edges, coords, nodes, samples, roughness(options))

    def density_for(starts: Floats) -> LogDensity:
        """The density as the search takes it, which may go anywhere from there."""
        return partial(target_for(starts).log_density, everywhere=True)

    if edges is None:
        found = modes(model, data, on, coords, theta, density_for)
    else:  # whose posterior has one
        units = 0.1 * np.diag(coords.units(on.width))
        found = [maximised(target_for(theta[None]).log_density, theta, units)]
    # for the parents that the posterior may hold
    trials = np.random.default_rng(1).standard_normal((_GUESSES, len(theta)))
    guesses = [mode.center + _WIDER * trials @ mode.scale.T for mode in found]
    target = target_for(np.concatenate(guesses))
    stan_data: dict[str, Any] = {
        "parent": 1 if model == HISTOGRAM else PARENTS[model].code,
        "low": on.low,
        "high": on.high,
        **target.nodes.stan_data(),
        **target.stan_data(),
        **coords.stan_data(),
        "log_width": np.zeros(coords.parts) if edges is None else np.log(np.diff(edges)),
        "roughness": target.roughness,
        "center": found[0].center,
        "scale": found[0].scale,
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
        modes=found,
        stan_data=stan_data,
        directly=options.get("exact", False),
        notes=notes,
        complaints=[
            *data.complaints,
            *told(found, lambda theta: coords.values(theta)[0]),
            *([] if ends[0] > -np.inf or placed else support.outside(data, on.low, on.high)),
        ],
        priors=shown,
        attributes={"parameter": data.parameters[0], "low": on.low, "high": on.high},
        least_widths=least,
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
    if low == high and options["low"] is None and options["high"] is None:
        if model != HISTOGRAM:
            support.noiseless(data, model)  # or an error that says more
        raise DataError(
            f"{data.source}: every sample of {data.parameters[0]} is {low:g}, which is no range: "
            "give low and high"
        )
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
    data: PosteriorSamples,
    support: tuple[float, float],
    drop_empty: bool,
    notes: list[str],
    *,
    ends: bool = True,
) -> PosteriorSamples:
    """Say how many samples are where no parent is; leave out objects without any, if wanted.

    `ends`: whether the parent is anything at the ends of its support.
    """
    x = data.x[:, 0]
    outside = (x < support[0]) | (x > support[1])
    if not ends:
        outside |= (x == support[0]) | (x == support[1])
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


def _wide_enough(
    model: str,
    data: PosteriorSamples,
    on: Range,
    priors: Mapping[str, Prior],
    notes: list[str],
) -> Mapping[str, Prior]:
    """Keep populations of no width out of the default prior, where samples make them likely."""
    found = support.shared(data)
    width = next((name for name in ("sd", "scale") if name in PARENTS[model].priors(on)), "")
    if found is None or not width or width in priors or model in (MIXTURE, "stack_gamma"):
        return priors
    value, least = found
    if not 0 < least < on.width:
        return priors
    notes.append(
        f"{value:.6g} is among the samples of every object (rounded, or repeated?): {width} below "
        f"{least:.3g}, about twice the distance of samples, is left out"
    )
    return {**priors, width: Prior("uniform", (least, on.width))}


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
