"""The posterior density of a parent's parameters, by the nodes that the samples are spread over."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyxstan.stacking import parents
from pyxstan.stacking.coordinates import Coordinates
from pyxstan.stacking.data import Floats
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
    #: Standard deviation of ln density from bin to bin; zero: any.
    roughness: float

    def log_density(self, theta: Floats) -> Floats:
        """Of each theta, shape (draws, size); up to a constant."""
        at_once = max(int(_LIKELIHOODS / len(self.nodes.power)), 1)
        parts = np.split(theta, range(at_once, len(theta), at_once))
        return np.concatenate([self._log_density(part) for part in parts])

    def _log_density(self, theta: Floats) -> Floats:
        with np.errstate(all="ignore"):
            values, found = self.coordinates.values(theta)
            found = found + self.on_nodes(values) @ self.nodes.power
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

    def on_nodes(self, values: Values) -> Floats:
        """ln L_i by the nodes, then that of the selection; shape (draws, rows)."""

        def p(x: Floats, draws: np.ndarray) -> Floats:
            some = {name: value[draws] for name, value in values.items()}
            if self.model == HISTOGRAM:  # the rows hold the widths
                return np.asarray(some["fraction"])
            return parents.density(self.model, x, some, self.on, None)

        window = parents.window(self.model, values, self.on)
        found = self.nodes.likelihoods(self.finest(values), window, p)
        with np.errstate(invalid="ignore"):
            return np.asarray(np.log(np.maximum(found, self.least)))

    def finest(self, values: Values) -> Floats:
        """Length on which p changes, shape (draws,)."""
        return parents.finest(self.model, values, self.on)

    @property
    def least(self) -> float:
        """What any L_i is taken for at least."""
        return parents.least(self.on)
