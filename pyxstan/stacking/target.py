"""The posterior density of a parent's parameters, by the nodes that the samples are spread over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pyxstan.stacking import parents
from pyxstan.stacking.coordinates import Coordinates
from pyxstan.stacking.data import Floats
from pyxstan.stacking.far_samples import FAR, Samples
from pyxstan.stacking.nodes import Nodes
from pyxstan.stacking.parents import HISTOGRAM, Range, Values

#: Likelihoods of rows that are held at once.
_LIKELIHOODS = 1e7


@dataclass(frozen=True)
class Target:
    """The posterior density of theta."""

    model: str
    on: Range
    #: Of the bins of a histogram.
    edges: Floats | None
    coordinates: Coordinates
    nodes: Nodes
    #: Of objects that are far from a parent.
    samples: Samples
    #: Standard deviation of ln density from bin to bin; zero: any.
    roughness: float

    def log_density(
        self, theta: Floats, least: float = -np.inf, *, everywhere: bool = False
    ) -> Floats:
        """Of each theta, shape (draws, size); up to a constant.

        Parameters
        ----------
        least
            Below it, an upper bound will do.
        everywhere
            Whether parents too narrow for the nodes are evaluated at the samples. (Of a parent
            between two nodes, or on one, these know nothing.)
        """
        at_once = max(int(_LIKELIHOODS / len(self.nodes.power)), 1)
        parts = np.split(theta, range(at_once, len(theta), at_once))
        return np.concatenate([self._log_density(part, least, everywhere) for part in parts])

    def _log_density(self, theta: Floats, least: float, everywhere: bool) -> Floats:
        with np.errstate(all="ignore"):
            values, found = self.coordinates.values(theta)
            found = found + self.on_nodes(values, least - found, everywhere) @ self.nodes.power
            if self.roughness and self.edges is not None:
                steps = np.diff(np.log(values["fraction"] / np.diff(self.edges)), axis=1)
                found -= 0.5 * np.sum((steps / self.roughness) ** 2, axis=1)
        return np.asarray(found)

    def surprise(self, theta: Floats) -> float:
        """Minus the log density of one theta."""
        found = float(self.log_density(theta[None])[0])
        return -found if np.isfinite(found) else 1e300

    def density(self, x: Floats, values: Values) -> Floats:
        """p(x) of draws, shape (draws, len(x))."""
        return parents.density(self.model, x, values, self.on, self.edges)

    def on_nodes(
        self, values: Values, least: Floats | None = None, everywhere: bool = False
    ) -> Floats:
        """ln L_i by the nodes, then that of the selection; shape (draws, rows).

        Parameters
        ----------
        least
            Where the sum over the rows is less, bounds will do, shape (draws,).
        everywhere
            As in `log_density`.
        """

        def p(x: Floats, draws: np.ndarray) -> Floats:
            some = {name: value[draws] for name, value in values.items()}
            if self.model == HISTOGRAM:  # the rows hold the widths
                return np.asarray(some["fraction"])
            return parents.density(self.model, x, some, self.on, None)

        finest = self.finest(values)
        found = self.nodes.likelihoods(finest, parents.window(self.model, values, self.on), p)
        if self.model == HISTOGRAM:
            return np.asarray(np.log(np.maximum(found, np.finfo(float).tiny)))
        bound = (FAR / finest)[:, None]
        far = ~(found > bound)
        too_narrow = finest < self.nodes.narrowest if everywhere else np.zeros(len(finest), bool)
        far |= too_narrow[:, None]
        any_far = bool(far.any())
        with np.errstate(invalid="ignore", divide="ignore"):
            if any_far:
                np.copyto(found, bound, where=far)
            np.log(found, out=found)
        if any_far:
            if least is not None:
                possible = found @ self.nodes.power >= least
                possible |= too_narrow | far[:, self.nodes.power < 0].any(axis=1)
                far &= possible[:, None]
            self._by_samples(values, far, found)
        return found

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/stack.stan`` is told of objects that are far from a parent."""
        samples, rows = self.samples, len(self.nodes.power)
        if self.model == HISTOGRAM:
            samples = Samples(np.empty(0), np.empty(0), np.zeros(rows + 1, dtype=int))
        return {
            "far": FAR,
            "far_x": samples.x,
            "far_log_weight": samples.log_weight,
            "far_start": samples.start + 1,
        }

    def _by_samples(self, values: Values, far: np.ndarray, found: Floats) -> None:
        """Put ln L of the draws and rows that are far in their places, shape (draws, rows)."""
        draws, rows = (np.flatnonzero(far.any(axis=axis)) for axis in (1, 0))
        if len(rows) <= len(draws):
            for row in rows:
                some = np.flatnonzero(far[:, row])
                found[some, row] = self._log_likelihoods(values, some, np.array([row]))[:, 0]
        else:
            for draw in draws:
                some = np.flatnonzero(far[draw])
                found[draw, some] = self._log_likelihoods(values, np.array([draw]), some)[0]

    def log_likelihoods(self, values: Values) -> Floats:
        """ln L_i by the samples themselves, then that of the selection; shape (draws, rows)."""
        every = np.arange(len(self.samples.start) - 1)
        draws = np.arange(len(next(iter(values.values()))))
        return self._log_likelihoods(values, draws, every)

    def _log_likelihoods(self, values: Values, draws: np.ndarray, rows: np.ndarray) -> Floats:
        x = self.samples.x[self.samples.positions(rows)[0]]
        at_once = max(int(_LIKELIHOODS / len(x)), 1)
        found = np.empty((len(draws), len(rows)))
        for k in range(0, len(draws), at_once):
            part = slice(k, k + at_once)
            some = {name: value[draws[part]] for name, value in values.items()}
            log_p = parents.log_density(self.model, x, some, self.on, self.edges)
            found[part] = self.samples.log_sums(rows, log_p)
        return found

    def finest(self, values: Values) -> Floats:
        """Length on which p changes, shape (draws,)."""
        return parents.finest(self.model, values, self.on)
