"""Coordinates and densities of the Gaussian parents of `pyxstan.stacking.linear`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.stacking.coordinates import Coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.far_samples import FAR, Samples
from pyxstan.stacking.nodes import on_grid

#: Injections in all, with covariates those of every object.
_MOST_INJECTIONS = 2e7


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
    x: Floats, values: Mapping[str, Floats], covariates: Floats, object_of: np.ndarray
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
        Of each sample.
    """
    center = values["mean"]
    if covariates.shape[1]:
        center = (center + covariates @ values["slope"].T)[object_of]
    L = values["sd"][:, None] * values["factor"]
    u = (x - center) @ np.linalg.inv(L).T  # a solve by LAPACK takes three times as long
    norm = np.log(np.diag(L)).sum() + 0.5 * x.shape[1] * np.log(2 * np.pi)
    return np.asarray(-0.5 * np.einsum("np,np->n", u, u) - norm)


@dataclass(frozen=True)
class Rows:
    """Weighted samples of the objects, and the detected injections as more objects.

    These are one, as the fraction that is detected is the same for all objects; with covariates it
    isn't, and they are one for each.
    """

    x: Floats
    weight: Floats
    start: np.ndarray
    power: Floats
    #: Covariates from the pivot, shape (rows, C).
    covariates: Floats
    #: Where x are nodes: the samples, for objects that are far from the parent.
    samples: Rows | None = None

    @cached_property
    def _row_of(self) -> np.ndarray:
        """Of each sample."""
        return np.repeat(np.arange(len(self.power)), np.diff(self.start))

    def log_densities(self, one: Mapping[str, Floats]) -> Floats:
        """ln p of each sample, for one set of parameters."""
        return log_density(self.x, one, self.covariates, self._row_of)

    def log_likelihoods(self, one: Mapping[str, Floats]) -> Floats:
        """ln L of each row; weights of nodes may be negative."""
        log_p, start = self.log_densities(one), self.start
        most = np.maximum.reduceat(np.where(self.weight == 0, -np.inf, log_p), start[:-1])
        scaled = self.weight * np.exp(log_p - most[self._row_of])
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.asarray(most + np.log(np.add.reduceat(scaled, start[:-1])))
        if self.samples is not None:
            log_peak = -np.log(one["sd"][0]) - 0.5 * np.log(2 * np.pi)
            far = np.flatnonzero(~(found > np.log(FAR) + log_peak))
            if far.size:
                found[far] = self.samples.rows(far).log_likelihoods(one)
        return found

    def rows(self, some: np.ndarray) -> Rows:
        """Some of the rows alone."""
        at, begin = Samples(self.x, self.weight, self.start).positions(some)
        x = self.x[at]
        return Rows(
            x, self.weight[at], np.append(begin, len(x)), self.power[some], self.covariates[some]
        )

    def log_likelihood(self, one: Mapping[str, Floats]) -> float:
        """Sum of power times ln L."""
        return float(self.power @ self.log_likelihoods(one))

    def with_selection(self, x: Floats, weight: Floats) -> Rows:
        """These rows and those of the injections."""
        count = len(self.power)
        copies = count if self.covariates.shape[1] else 1
        if copies * len(x) > _MOST_INJECTIONS:
            raise DataError(
                f"selection: {len(x)} injections for each of {count} objects, whose means differ, "
                "are too many: fewer injections, or a table of probabilities"
            )
        ends = self.start[-1] + len(x) * np.arange(1, copies + 1)
        return replace(
            self,
            x=np.concatenate([self.x, *[x] * copies]),
            weight=np.concatenate([self.weight, *[weight] * copies]),
            start=np.append(self.start, ends),
            power=np.append(self.power, np.full(copies, -count / copies)),
            covariates=np.concatenate([self.covariates, self.covariates[:copies]]),
        )

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/stack_linear.stan`` is told of them."""
        there = self.weight != 0
        far = Samples(np.empty(0), np.empty(0), np.zeros(len(self.start), dtype=int))
        if self.samples is not None:
            full = self.samples
            weighted = full.weight > 0
            ends = np.append(0, np.cumsum(weighted))[full.start]
            far = Samples(full.x[weighted, 0], full.weight[weighted], ends)
            far = far.condensed(np.zeros(len(self.power), dtype=bool))
        return {
            "objects": len(self.power),
            "start": np.append(0, np.cumsum(there))[self.start] + 1,
            "x": self.x[there],
            "weight": self.weight[there],
            "power": self.power,
            "c": self.covariates.T,
            "far_x": far.x.reshape(-1, self.x.shape[1]),
            "far_start": far.start + 1,
            "far_weight": far.weight,
            "log_far": float(np.log(FAR)),
        }


def rows_of(data: PosteriorSamples, covariates: Floats) -> Rows:
    """Every sample, and the detected injections."""
    power = np.ones(len(data.objects))
    rows = Rows(data.x, data.weights, data.start, power, covariates)
    chosen = data.selection
    return rows if chosen is None else rows.with_selection(chosen.x, chosen.shares)


def on_nodes(rows: Rows, data: PosteriorSamples, spacing: float) -> tuple[Rows, float]:
    """Samples of one parameter on nodes, where that makes them fewer, and the distance of those."""
    nodes = on_grid(data, spacing, (-np.inf, np.inf))
    if nodes is None or len(nodes.weight) > len(rows.x):
        return rows, 0.0
    count = len(data.objects)
    x, end = nodes.x[nodes.matrix.indices][:, None], nodes.start[count]
    few = replace(
        rows, x=x[:end], weight=nodes.weight[:end], start=nodes.start[: count + 1],
        power=rows.power[:count], covariates=rows.covariates[:count], samples=rows,
    )  # fmt: skip
    return (few.with_selection(x[end:], nodes.weight[end:]) if len(x) > end else few), spacing
