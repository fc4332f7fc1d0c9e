"""The coordinates that the sampler moves in: as straight and as wide as the posterior allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import optimize

from pyxstan.spectra.statistics import Floats

#: Where curves bend, in standard deviations of the coordinate along them, and how softly.
QUANTILES = np.linspace(-3.0, 3.0, 25)
_KNOTS = QUANTILES[1:-1]
_SOFTNESS = 0.2
#: The least that u changes along a curve, a standard deviation.
_SLOWEST = 1e-3


@dataclass(frozen=True, eq=False)
class Curve:
    """A ridge of the posterior, along one coordinate which is a standard normal on it, nearly."""

    #: That coordinate, among the free parameters.
    path: int
    #: The direction before the first knot, shape (free,), and how it changes at each.
    direction: Floats
    bend: Floats

    @classmethod
    def through(cls, path: int, points: Floats) -> Curve:
        """The curve through points at `QUANTILES`, shape (quantiles, free)."""
        slopes = np.diff(points, axis=0) / np.diff(QUANTILES)[:, None]
        slopes[:, path] = np.maximum(slopes[:, path], _SLOWEST)
        return cls(path, slopes[0], np.diff(slopes, axis=0).T)

    def away(self, z: Floats) -> Floats:
        """From the straight line in the first direction, shape (..., free)."""
        steps = (z[..., self.path, None] - _KNOTS) / _SOFTNESS
        return np.asarray(_SOFTNESS * np.logaddexp(0, steps) @ self.bend.T)


@dataclass(frozen=True, eq=False)
class Coordinates:
    """The sampler's z, from u (see `pyxstan.spectra.parameters`): center + scale z + curves.

    A curve's own coordinate moves all others, but those of the curves before it.
    """

    center: Floats
    scale: Floats
    curves: tuple[Curve, ...] = ()

    @classmethod
    def around(cls, base: Floats, scale: Floats, curves: Sequence[Curve]) -> Coordinates:
        """Those for which z = 0 is at a base; columns of the scale are set for the curves."""
        zero, scale = np.zeros(len(base)), scale.copy()
        for curve in curves:
            scale[:, curve.path] = curve.direction
        return cls(base - sum((c.away(zero) for c in curves), zero), scale, tuple(curves))

    def u(self, z: Floats) -> Floats:
        """Of shape (..., free), as z."""
        found = self.center + z @ self.scale.T
        for curve in self.curves:
            found = found + curve.away(z)
        return np.asarray(found)

    def z(self, u: Floats) -> Floats:
        """The other way, for one point, shape (free,)."""
        rest = u - self.center
        z = np.zeros_like(rest)
        linear = np.ones(len(z), dtype=bool)
        for curve in self.curves:
            k = curve.path
            linear[k] = False

            def above(value: float, curve: Curve = curve, wanted: float = rest[k]) -> float:
                at = np.where(np.arange(len(z)) == curve.path, value, 0.0)
                return float(at @ self.scale[curve.path] + curve.away(at)[curve.path] - wanted)

            far = 1.0
            while above(-far) > 0 or above(far) < 0:
                far *= 10
            z[k] = optimize.brentq(above, -far, far)
            rest = rest - self.scale[:, k] * z[k] - curve.away(z)
        z[linear] = np.linalg.solve(self.scale[np.ix_(linear, linear)], rest[linear])
        return z

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/linked_spectra.stan`` is told of them."""
        size = len(self.center)
        return {
            "center": self.center,
            "scale": self.scale,
            "curves": len(self.curves),
            "path": np.array([curve.path + 1 for curve in self.curves], dtype=int),
            "knots": len(_KNOTS),
            "knot": _KNOTS,
            "softness": _SOFTNESS,
            "bend": np.array([c.bend for c in self.curves]).reshape(-1, size, len(_KNOTS)),
        }
