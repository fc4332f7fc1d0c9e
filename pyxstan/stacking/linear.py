r"""Gaussian parents of several parameters, with means that follow covariates of the objects.

    x_i ~ Normal(mean + slope (c_i - pivot), Sigma),   Sigma = diag(sd) correlation diag(sd)

The correlations have an LKJ prior (Lewandowski, Kurowicka & Joe 2009); its coordinates are artanh
of partial correlations, as in ``stan_models/functions/correlation.stanfunctions``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan import registry
from pyxstan.errors import DataError
from pyxstan.optimum import optimum
from pyxstan.priors import Prior
from pyxstan.stacking import parents, support
from pyxstan.stacking.coordinates import Coordinates, coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.nodes import on_grid
from pyxstan.stacking.parents import Range
from pyxstan.stacking.results import common_groups

if TYPE_CHECKING:
    from pyxstan.engine.sampling import Draws

REGRESSION = "stack_regression"
MODELS = ("stack_multivariate", REGRESSION)
#: Nodes to the standard deviation of a parent in one parameter; each refinement doubles them.
_NODES_A_LENGTH = 3.0
#: Draws of the guess by which that is chosen, and which part of them may be narrower.
_GUESSES, _FINER = 400, 0.02
#: Which part of the draws may be finer than what nodes are made for that were too coarse before.
_FINER_DRAWS = 0.002


@dataclass(frozen=True)
class LinearCoordinates:
    """From theta to mean, slope, standard deviations and correlations."""

    numbers: Coordinates
    parameters: int
    covariates: int
    eta: float

    @property
    def size(self) -> int:
        """Length of theta."""
        return len(self.numbers.names) + self.parameters * (self.parameters - 1) // 2

    def values(self, theta: Floats) -> tuple[dict[str, Floats], Floats]:
        """Parameters and log prior density times Jacobian, for theta of shape (draws, size)."""
        P, C, count = self.parameters, self.covariates, len(self.numbers.names)
        phi, log_density = self.numbers.numbers(theta[:, :count])
        partial = np.tanh(theta[:, count:])
        draws = len(theta)
        factor = np.zeros((draws, P, P))
        factor[:, 0, 0] = 1.0
        at = 0
        for i in range(1, P):
            left = np.ones(draws)
            for j in range(i):
                factor[:, i, j] = partial[:, at] * np.sqrt(left)
                left = left * (1 - partial[:, at] ** 2)
                power = self.eta + 0.5 * (P - j - 2)
                log_density = log_density + power * np.log1p(-(partial[:, at] ** 2))
                at += 1
            factor[:, i, i] = np.sqrt(left)
        values = {
            "mean": phi[:, :P],
            "slope": phi[:, P : P + P * C].reshape(draws, P, C),
            "sd": phi[:, P + P * C :],
            "factor": factor,
        }
        return values, log_density


def log_density(
    x: Floats, values: Mapping[str, Floats], covariates: Floats, object_of: np.ndarray | None
) -> Floats:
    """ln p(x) of one set of parameters, of each sample of the objects that they are of.

    Parameters
    ----------
    x
        Shape (samples, parameters).
    values
        mean (P,), slope (P, C), sd (P,) and factor (P, P) of the correlation.
    covariates
        From the pivot, shape (N, C).
    object_of
        Of each sample; None: of no object, at the pivot.
    """
    center = values["mean"][None]
    if object_of is not None:
        center = (center + covariates @ values["slope"].T)[object_of]
    L = values["sd"][:, None] * values["factor"]
    u = np.linalg.solve(L, (x - center).T)
    norm = np.log(np.diag(L)).sum() + 0.5 * x.shape[1] * np.log(2 * np.pi)
    return np.asarray(-0.5 * (u * u).sum(axis=0) - norm)


@dataclass(frozen=True)
class Rows:
    """Weighted samples of the objects, and as one more object the detected injections."""

    x: Floats
    weight: Floats
    start: np.ndarray
    power: Floats
    #: Covariates from the pivot, shape (rows, C).
    covariates: Floats
    #: ln density of outliers, `parents.OUTLIERS` of the population anywhere in the ranges.
    log_floor: float

    def log_likelihood(self, one: Mapping[str, Floats]) -> float:
        """Sum of power times ln L_i, for one set of parameters."""
        object_of = np.repeat(np.arange(len(self.power)), np.diff(self.start))
        log_p = log_density(self.x, one, self.covariates, object_of)
        log_l = _log_sums(log_p, self.weight, self.start)
        return float(self.power @ np.logaddexp(log_l, self.log_floor))

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/stack_linear.stan`` is told of them."""
        return {
            "objects": len(self.power),
            "start": self.start + 1,
            "x": self.x,
            "weight": self.weight,
            "power": self.power,
            "c": self.covariates.T,
            "log_floor": self.log_floor,
        }


@dataclass(frozen=True)
class LinearProblem:
    """What a fit of a linear Gaussian parent is made of; see `pyxstan.registry.Problem`."""

    model: str
    data: PosteriorSamples
    coordinates: LinearCoordinates
    #: From the pivot, shape (N, C).
    covariates: Floats
    pivot: Floats
    center: Floats
    scale: Floats
    #: All samples, and the distance of the nodes that stand for them; zero where none do.
    rows: Rows
    spacing: float
    stan_data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def exact(self, chains: int, draws: int, seed: int) -> None:
        """There is no closed form."""

    def refined(self, draws: Draws) -> LinearProblem | None:
        """The problem on finer nodes, where these are too coarse for the posterior; else None."""
        error, spacing = 0.0, self.spacing
        if spacing:
            z = draws.variables["z"].reshape(-1, self.coordinates.size)
            values, _ = self.coordinates.values(self.center + z @ self.scale.T)
            finest = values["sd"].min(axis=1)
            few, _ = _fewer(self.rows, self.data, spacing)

            def log_posteriors(point: Floats) -> tuple[float, float]:
                found, log_prior = self.coordinates.values((self.center + self.scale @ point)[None])
                one = {name: x[0] for name, x in found.items()}
                exact, rough = self.rows.log_likelihood(one), few.log_likelihood(one)
                return float(log_prior[0]) + exact, float(log_prior[0]) + rough

            error = support.nodes_error(z, finest, len(self.rows.x), log_posteriors)
            wanted = float(np.quantile(finest, _FINER_DRAWS)) / _NODES_A_LENGTH
            spacing = min(spacing / 2, wanted)
        self.attributes["log_likelihood_error"] = error
        if error <= support.LARGEST_ERROR:
            return None
        rows, spacing = _fewer(self.rows, self.data, spacing)
        how = f"at distances of {spacing:.3g}" if spacing else "on every sample"
        return replace(
            self,
            spacing=spacing,
            stan_data={**self.stan_data, **rows.stan_data()},
            notes=[*self.notes, f"the nodes were too coarse (error of ln L {error:.2g}): "
                                f"fitted again {how}"],
        )  # fmt: skip

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of mean, slope and sd in the sampler's coordinates."""
        start = self.values(np.zeros((1, 1, self.coordinates.size)))
        for name in values:
            if name not in ("mean", "slope", "sd"):
                raise DataError(f"no starting value for '{name}'; there are mean, slope, sd")
        chosen = {
            name: np.ravel(
                np.broadcast_to(values.get(name, start[name][0, 0]), start[name][0, 0].shape)
            )
            for name in ("mean", "slope", "sd")
        }
        numbers = self.coordinates.numbers.theta_of(np.concatenate(list(chosen.values())))
        theta = self.center.copy()
        theta[: len(numbers)] = numbers
        return {"z": np.linalg.solve(self.scale, theta - self.center)}

    def values(self, z: Floats) -> dict[str, Floats]:
        """Parameters by name for the sampler's z, shape (chains, draws, ...)."""
        theta = self.center + z.reshape(-1, z.shape[-1]) @ self.scale.T
        found, _ = self.coordinates.values(theta)
        return {name: x.reshape(*z.shape[:2], *x.shape[1:]) for name, x in found.items()}

    def density(self, one: Mapping[str, Floats]) -> Floats:
        """p at every sample, for one set of parameters."""
        return np.exp(log_density(self.data.x, one, self.covariates, self.data.object_of))

    def log_likelihoods(self, one: Mapping[str, Floats]) -> Floats:
        """ln L_i of the objects, less ln of the detected fraction, for one set of parameters."""
        found = _log_sums(
            log_density(self.data.x, one, self.covariates, self.data.object_of),
            self.data.weights,
            self.data.start,
        )
        if self.data.selection is not None:
            chosen = self.data.selection
            found = found - np.log(
                np.exp(log_density(chosen.x, one, self.covariates, None)) @ chosen.weights
            )
        return found

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, objects and the noise of their samples: with names, coordinates and units."""
        values = self.values(draws.variables["z"])
        mean = {name: x.mean(axis=(0, 1)) for name, x in values.items()}
        chosen = self.data.selection
        injected = None
        if chosen is not None:
            injected = np.exp(log_density(chosen.x, mean, self.covariates, None))
        found = support.supported(self.data, self.density(mean), injected)
        self.complaints.extend(found.complaints(self.data))
        self.attributes["log_likelihood_variance"] = found.total
        self.attributes["deviance_at_mean"] = float(-2 * self.log_likelihoods(mean).sum())
        flat = {
            name: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]) for name, x in values.items()
        }
        rng = np.random.default_rng([seed, 1])
        standard = rng.standard_normal(flat["mean"].shape)
        new = flat["mean"] + flat["sd"] * np.einsum("kij,kj->ki", flat["factor"], standard)

        def log_likelihood(kept: np.ndarray) -> Floats:
            return np.array(
                [self.log_likelihoods({name: x[k] for name, x in flat.items()}) for k in kept]
            )

        def new_objects(kept: np.ndarray) -> Floats:
            standard = rng.standard_normal((len(kept), len(self.data.objects), new.shape[1]))
            correlated = np.einsum("kij,knj->kni", flat["factor"][kept], standard)
            center = flat["mean"][kept, None] + np.einsum(
                "nc,kpc->knp", self.covariates, flat["slope"][kept]
            )
            return np.asarray(center + flat["sd"][kept, None] * correlated)

        return common_groups(
            self.data,
            found,
            posterior=self._posterior(values),
            log_likelihood=log_likelihood,
            new_object=new.reshape(values["mean"].shape),
            new_objects=new_objects,
            constant={
                "covariate": list(self.data.covariates),
                "pivot": ("covariate", self.pivot),
            }
            if self.data.covariates
            else {},
            cost=len(self.data.x),
            rng=rng,
        )

    def _posterior(self, values: Mapping[str, Floats]) -> xr.Dataset:
        P = self.coordinates.parameters
        correlation = values["factor"] @ np.swapaxes(values["factor"], -1, -2)
        found: dict[str, tuple[tuple[str, ...], Floats]] = {
            "mean": (("parameter",), values["mean"]),
            "sd": (("parameter",), values["sd"]),
        }
        coords: dict[str, Any] = {
            "chain": np.arange(values["mean"].shape[0]),
            "draw": np.arange(values["mean"].shape[1]),
            "parameter": list(self.data.parameters),
        }
        if self.coordinates.covariates:
            found["slope"] = (("parameter", "covariate"), values["slope"])
            coords["covariate"] = list(self.data.covariates)
        if P > 1:
            pairs = [(i, j) for i in range(P) for j in range(i)]
            names = [f"{self.data.parameters[j]}, {self.data.parameters[i]}" for i, j in pairs]
            each = np.stack([correlation[..., i, j] for i, j in pairs], axis=-1)
            found["correlation"] = (("pair",), each)
            coords["pair"] = names
        described = {p.name: p for p in registry.get(self.model).parameters}
        return xr.Dataset(
            {
                name: (
                    ("chain", "draw", *dims),
                    x,
                    {"units": described[name].unit, "long_name": described[name].description},
                )
                for name, (dims, x) in found.items()
            },
            coords=coords,
        )


def _log_sums(log_p: Floats, weights: Floats, start: np.ndarray) -> Floats:
    """ln sum_k w_k p_k of each object; weights of nodes may be negative."""
    most = np.maximum.reduceat(np.where(weights > 0, log_p, -np.inf), start[:-1])
    scaled = weights * np.exp(log_p - np.repeat(most, np.diff(start)))
    return np.asarray(most + np.log(np.maximum(np.add.reduceat(scaled, start[:-1]), 1e-300)))


def prepare(
    model: str, data: PosteriorSamples, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> LinearProblem:
    """Make the samples ready for Stan: covariates, priors, the guess of the posterior."""
    P, C = len(data.parameters), len(data.covariates)
    if model == REGRESSION and not C:
        raise DataError(f"{model}: the samples have no covariates")
    if model != REGRESSION and P < 2:
        raise DataError(
            f"{model}: expected several parameters, the samples have {data.parameters[0]} alone"
        )
    notes = list(data.notes)
    covariates, pivot = _centred(data, options["pivot"], notes)
    if data.selection is not None and C:
        raise DataError(f"{model}: a selection together with covariates is not there")
    ranges = _ranges(data, options)
    eta = options.get("eta", 1.0)
    if not 0 < eta < np.inf:
        raise DataError(f"option eta: {eta:g} is not a positive number")
    coords = LinearCoordinates(numbers_of(data, ranges, covariates, priors), P, C, eta)
    widths = [on.width for on in ranges]
    rows = _rows(data, covariates, float(np.log(parents.OUTLIERS / np.prod(widths))))
    few, spacing = rows, 0.0
    if P == 1 and options["likelihood"] == "nodes":
        few, spacing = _fewer(rows, data, float(np.std(data.x)) / _NODES_A_LENGTH)
    start = _start(data, coords, ranges)

    def surprise(theta: Floats) -> float:
        with np.errstate(all="ignore"):
            values, found = coords.values(theta[None])
            one = {name: x[0] for name, x in values.items()}
            if not np.isfinite(found[0]) or not (np.diagonal(one["factor"]) > 1e-12).all():
                return 1e300
            total = found[0] + few.log_likelihood(one)
        return -float(total) if np.isfinite(total) else 1e300

    scale = 0.1 * np.eye(len(start))
    center = start
    for _ in range(3 if spacing else 1):
        center, scale = optimum(surprise, center, scale)
        if spacing:  # as fine as the parents that the posterior may hold
            trials = np.random.default_rng(1).standard_normal((_GUESSES, len(center))) @ scale.T
            finest = coords.values(center + trials)[0]["sd"].min(axis=1)
            few, spacing = _fewer(rows, data, float(np.quantile(finest, _FINER)) / _NODES_A_LENGTH)
    stan_data = {
        "P": P,
        "C": C,
        **few.stan_data(),
        **coords.numbers.stan_numbers(),
        "eta": eta,
        "D": coords.size,
        "center": center,
        "scale": scale,
    }
    shown = dict(zip(coords.numbers.names, map(str, coords.numbers.priors), strict=True))
    if P > 1:
        shown["correlation"] = f"lkj({eta:g})"
    return LinearProblem(
        model=model,
        data=data,
        coordinates=coords,
        covariates=covariates,
        pivot=pivot,
        center=center,
        scale=scale,
        rows=rows,
        spacing=spacing,
        stan_data=stan_data,
        notes=notes,
        priors=shown,
        attributes={"parameter": ", ".join(data.parameters)},
    )


def _centred(data: PosteriorSamples, given: Any, notes: list[str]) -> tuple[Floats, Floats]:
    """Covariates from their pivot, shape (N, C), and the pivot."""
    if not data.covariates:
        return np.zeros((len(data.objects), 0)), np.zeros(0)
    names = list(data.covariates)
    table = np.column_stack([data.covariates[name] for name in names])
    for name, column in zip(names, table.T, strict=True):
        if np.ptp(column) == 0:
            raise DataError(f"covariate {name} is the same for all objects: it says nothing")
    if np.linalg.matrix_rank(np.column_stack([np.ones(len(table)), table])) <= len(names):
        raise DataError(f"covariates {', '.join(names)}: one follows from the others")
    pivot = table.mean(axis=0) if given is None else _list(given, "pivot", len(names))
    told = ", ".join(f"{name} = {value:.6g}" for name, value in zip(names, pivot, strict=True))
    notes.append(f"mean is that at {told}")
    return table - pivot, pivot


def _list(given: Any, option: str, size: int) -> Floats:
    """Numbers of an option: one for all, or separated by commas."""
    try:
        parts = given.split(",") if isinstance(given, str) else np.ravel(given)
        found = np.array([float(part) for part in parts])
    except (TypeError, ValueError):
        raise DataError(f"option {option}: '{given}' is not numbers separated by commas") from None
    if found.size not in (1, size) or not np.isfinite(found).all():
        raise DataError(f"option {option}: expected {size} finite numbers, got '{given}'")
    return np.broadcast_to(found, (size,)).copy()


def _ranges(data: PosteriorSamples, options: Mapping[str, Any]) -> tuple[Range, ...]:
    size = len(data.parameters)
    low, high = data.x.min(axis=0), data.x.max(axis=0)
    if options["low"] is not None:
        low = _list(options["low"], "low", size)
    if options["high"] is not None:
        high = _list(options["high"], "high", size)
    return tuple(parents.checked_range(*ends) for ends in zip(low, high, strict=True))


def numbers_of(
    data: PosteriorSamples,
    ranges: tuple[Range, ...],
    covariates: Floats,
    priors: Mapping[str, Prior],
) -> Coordinates:
    """Means, slopes and standard deviations, one after another."""
    table: list[tuple[str, str, Prior]] = []
    for name, on in zip(data.parameters, ranges, strict=True):
        flat = Prior("uniform", (on.low, on.high))
        table.append((f"mean[{name}]", "mean", priors.get("mean", flat)))
    for name, on in zip(data.parameters, ranges, strict=True):
        for covariate, column in zip(data.covariates, covariates.T, strict=True):
            wide = Prior("normal", (0.0, on.width / float(np.std(column))))
            table.append((f"slope[{name}, {covariate}]", "slope", priors.get("slope", wide)))
    for name, on in zip(data.parameters, ranges, strict=True):
        table.append((f"sd[{name}]", "sd", priors.get("sd", Prior("uniform", (0.0, on.width)))))
    positive = frozenset(name for name, kind, _ in table if kind == "sd")
    return coordinates({name: prior for name, _, prior in table}, positive)


def _rows(data: PosteriorSamples, covariates: Floats, log_floor: float) -> Rows:
    x, weight, start = data.x, data.weights, data.start
    power, c = np.ones(len(data.objects)), covariates
    if data.selection is not None:
        x = np.concatenate([x, data.selection.x])
        weight = np.append(weight, data.selection.weights)
        start = np.append(start, len(x))
        power = np.append(power, -float(len(data.objects)))
        c = np.zeros((len(power), c.shape[1]))
    return Rows(x, weight, start, power, c, log_floor)


def _fewer(rows: Rows, data: PosteriorSamples, spacing: float) -> tuple[Rows, float]:
    """Samples of one parameter on nodes, where that makes them fewer, and the distance of those."""
    nodes = on_grid(data, spacing, (-np.inf, np.inf))
    if nodes is None or len(nodes.weight) > len(rows.x):
        return rows, 0.0
    x = nodes.x[nodes.matrix.indices][:, None]
    return replace(rows, x=x, weight=nodes.weight, start=nodes.start), spacing


def _start(data: PosteriorSamples, coords: LinearCoordinates, ranges: tuple[Range, ...]) -> Floats:
    """Where the search for the posterior's mode starts."""
    means = np.add.reduceat(data.weights[:, None] * data.x, data.start[:-1])
    phi = list(np.median(means, axis=0))
    phi += [0.0] * (coords.parameters * coords.covariates)
    phi += [0.7 * float(np.std(column)) + 1e-3 * on.width
            for column, on in zip(means.T, ranges, strict=True)]  # fmt: skip
    theta = coords.numbers.theta_of(coords.numbers.within(np.array(phi)))
    return np.append(theta, np.zeros(coords.size - len(theta)))
