r"""Gaussian parents of several parameters, with means that follow covariates of the objects.

    x_i ~ Normal(mean + slope (c_i - pivot), Sigma),   Sigma = diag(sd) correlation diag(sd)

The correlations have an LKJ prior (Lewandowski, Kurowicka & Joe 2009); its coordinates are artanh
of partial correlations, as in ``stan_models/functions/correlation.stanfunctions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan import registry
from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.stacking import parents, support
from pyxstan.stacking.coordinates import Coordinates, coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.linear_density import LinearCoordinates, Rows, on_nodes, rows_of
from pyxstan.stacking.linear_search import starts
from pyxstan.stacking.parents import Range
from pyxstan.stacking.results import common_groups
from pyxstan.stacking.search import Mode, maximised, same, spread_over, told, with_shares

if TYPE_CHECKING:
    from pyxstan.engine.sampling import Draws

REGRESSION = "stack_regression"
MODELS = ("stack_multivariate", REGRESSION)
#: Nodes to the standard deviation of a parent in one parameter; each refinement doubles them.
_NODES_A_LENGTH = 3.0
#: Draws of the guess by which that is chosen, and which part of them may be narrower.
_GUESSES, _FINER = 400, 0.02
#: Draws of each of several modes by which their masses are found, and so few samples need no nodes.
_DRAWS, _FEW_SAMPLES = 500, 200_000
#: Which part of the draws may be finer than what nodes are made for that were too coarse before.
_FINER_DRAWS = 0.002


@dataclass(frozen=True)
class LinearProblem:
    """What a fit of a linear Gaussian parent is made of; see `pyxstan.registry.Problem`."""

    model: str
    data: PosteriorSamples
    coordinates: LinearCoordinates
    #: From the pivot, shape (N, C).
    covariates: Floats
    pivot: Floats
    #: Modes of the posterior, the one with most of the probability first.
    modes: list[Mode]
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

    @property
    def center(self) -> Floats:
        """Guess of theta."""
        return self.modes[0].center

    @property
    def scale(self) -> Floats:
        """Square root of its covariance."""
        return self.modes[0].scale

    def starts(self, chains: int, seed: int) -> list[dict[str, Any]] | None:
        """Chains start around the guess; where there are several modes, spread over all of them."""
        if len(self.modes) == 1:
            return None
        rows = self.rows
        spread = spread_over(self.modes, chains, log_density_of(self.coordinates, rows), seed)
        return [{"z": np.linalg.solve(self.scale, theta - self.center)} for theta in spread]

    def refined(self, draws: Draws) -> LinearProblem | None:
        """The problem on finer nodes, where these are too coarse for the posterior; else None."""
        error, spacing = 0.0, self.spacing
        if spacing:
            z = draws.variables["z"].reshape(-1, self.coordinates.size)
            values, _ = self.coordinates.values(self.center + z @ self.scale.T)
            finest = values["sd"].min(axis=1)
            few, _ = on_nodes(self.rows, self.data, spacing)

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
        rows, spacing = on_nodes(self.rows, self.data, spacing)
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

    def log_likelihoods(self, one: Mapping[str, Floats]) -> Floats:
        """ln L_i of the objects, less ln of the detected fraction, for one set of parameters."""
        found, count = self.rows.log_likelihoods(one), len(self.data.objects)
        chosen = self.data.selection
        return found if chosen is None else found[:count] - found[count:] - chosen.log_total

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, objects and the noise of their samples: with names, coordinates and units."""
        values = self.values(draws.variables["z"])
        mean = {name: x.mean(axis=(0, 1)) for name, x in values.items()}
        log_p, chosen = self.rows.log_densities(mean), self.data.selection
        injected = None
        if chosen is not None:  # with covariates the mean over objects
            density = np.exp(log_p[len(self.data.x) :])
            injected = density.reshape(-1, len(chosen.x)).mean(axis=0)
        found = support.supported(self.data, log_p[: len(self.data.x)], injected)
        self.complaints.extend(found.complaints(self.data))
        self.attributes["log_likelihood_variance"] = found.total
        self.attributes["deviance_at_mean"] = float(-2 * self.log_likelihoods(mean).sum())
        flat = {
            name: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]) for name, x in values.items()
        }
        rng = np.random.default_rng([seed, 1])

        def log_likelihood(kept: np.ndarray) -> Floats:
            return np.array(
                [self.log_likelihoods({name: x[k] for name, x in flat.items()}) for k in kept]
            )

        def new_objects(kept: np.ndarray) -> Floats:
            size = len(kept), len(self.data.objects), flat["mean"].shape[1]
            standard = rng.standard_normal(size)
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
            new_objects=new_objects,
            constant={
                "covariate": list(self.data.covariates),
                "pivot": ("covariate", self.pivot),
            }
            if self.data.covariates
            else {},
            cost=len(self.rows.x),
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
    covariates, pivot = centred(data, options["pivot"])
    if data.covariates:
        at = zip(data.covariates, pivot, strict=True)
        notes.append(f"mean is that at {', '.join(f'{name} = {x:.6g}' for name, x in at)}")
    notes.extend(support.noiseless(data, model))
    ranges = _ranges(data, options)
    eta = options.get("eta", 1.0)
    if not 0 < eta < np.inf:
        raise DataError(f"option eta: {eta:g} is not a positive number")
    coords = LinearCoordinates(numbers_of(data, ranges, covariates, priors), P, C, eta)
    rows = rows_of(data, covariates)
    few, spacing = rows, 0.0
    if P == 1 and options["likelihood"] == "nodes":
        few, spacing = on_nodes(rows, data, float(np.std(data.x)) / _NODES_A_LENGTH)
    begin = starts(data, coords, covariates) or [_start(data, coords, ranges)]
    if len(begin) > 1 and len(rows.x) <= _FEW_SAMPLES:  # for parents of different widths
        few, spacing = rows, 0.0
    units = 0.1 * np.diag(_units(coords, ranges, covariates))
    mode = Mode(begin[0], units, 0.0)
    for _ in range(3 if spacing else 1):
        mode = maximised(log_density_of(coords, few), mode.center, mode.scale)
        if spacing:  # as fine as the parents that the posterior may hold
            size = len(mode.center)
            trials = np.random.default_rng(1).standard_normal((_GUESSES, size)) @ mode.scale.T
            finest = coords.values(mode.center + trials)[0]["sd"].min(axis=1)
            few, spacing = on_nodes(
                rows, data, float(np.quantile(finest, _FINER)) / _NODES_A_LENGTH
            )
    modes, log_density = [mode], log_density_of(coords, few)
    for theta in begin[1:]:
        mode = maximised(log_density, theta, units)
        if not any(same(mode, other) for other in modes):
            modes.append(mode)
    modes = with_shares(modes, log_density, _DRAWS)
    stan_data = {
        "P": P,
        "C": C,
        **few.stan_data(),
        **coords.numbers.stan_numbers(),
        "eta": eta,
        "D": coords.size,
        "center": modes[0].center,
        "scale": modes[0].scale,
    }

    def shown_values(theta: Floats) -> dict[str, Floats]:
        values = coords.values(theta)[0]
        return {name: values[name] for name in ("mean", "slope", "sd") if values[name].size}

    shown = dict(zip(coords.numbers.names, map(str, coords.numbers.priors), strict=True))
    if P > 1:
        shown["correlation"] = f"lkj({eta:g})"
    return LinearProblem(
        model=model,
        data=data,
        coordinates=coords,
        covariates=covariates,
        pivot=pivot,
        modes=modes,
        rows=rows,
        spacing=spacing,
        stan_data=stan_data,
        notes=notes,
        complaints=[*data.complaints, *told(modes, shown_values)],
        priors=shown,
        attributes={"parameter": ", ".join(data.parameters)},
    )


def log_density_of(coords: LinearCoordinates, rows: Rows) -> Callable[[Floats], Floats]:
    """Log posterior density of theta, shape (draws, size), by some rows."""

    def log_density(theta: Floats) -> Floats:
        with np.errstate(all="ignore"):
            values, found = coords.values(theta)
            diagonals = np.diagonal(values["factor"], axis1=1, axis2=2)
            usable = np.asarray((diagonals > 1e-12).all(axis=1))
            for k in range(len(theta)):
                if usable[k] and np.isfinite(found[k]):
                    one = {name: x[k] for name, x in values.items()}
                    found[k] += rows.log_likelihood(one)
        return np.where(usable, found, -np.inf)

    return log_density


def centred(data: PosteriorSamples, given: Any = None) -> tuple[Floats, Floats]:
    """Covariates from their pivot, shape (N, C), and the pivot: by default their means.

    Raises
    ------
    DataError
        A covariate that is the same for all objects, or that follows from others.
    """
    if not data.covariates:
        return np.zeros((len(data.objects), 0)), np.zeros(0)
    names = list(data.covariates)
    table = np.column_stack([data.covariates[name] for name in names])
    for name, column in zip(names, table.T, strict=True):
        if np.ptp(column) == 0:
            raise DataError(f"covariate {name} is the same for all objects: it says nothing")
    alike = (table - table.mean(axis=0)) / np.ptp(table, axis=0)
    if np.linalg.matrix_rank(alike) < len(names):
        raise DataError(f"covariates {', '.join(names)}: one follows from the others")
    pivot = table.mean(axis=0) if given is None else _list(given, "pivot", len(names))
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


def _units(coords: LinearCoordinates, ranges: tuple[Range, ...], covariates: Floats) -> Floats:
    """About how much each of theta may change, whatever the parameters' and covariates' units."""
    widths = np.array([on.width for on in ranges])
    slopes = widths[:, None] / covariates.std(axis=0)
    numbers = coords.numbers.units(np.concatenate([widths, slopes.ravel(), widths]))
    return np.append(numbers, np.ones(coords.size - len(numbers)))


def _start(data: PosteriorSamples, coords: LinearCoordinates, ranges: tuple[Range, ...]) -> Floats:
    """Where the search for the posterior's mode starts."""
    means = np.add.reduceat(data.weights[:, None] * data.x, data.start[:-1])
    phi = list(np.median(means, axis=0))
    phi += [0.0] * (coords.parameters * coords.covariates)
    phi += [0.7 * float(np.std(column)) + 1e-3 * on.width
            for column, on in zip(means.T, ranges, strict=True)]  # fmt: skip
    theta = coords.numbers.theta_of(coords.numbers.within(np.array(phi)))
    return np.append(theta, np.zeros(coords.size - len(theta)))
