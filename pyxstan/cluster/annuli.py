"""Logarithmic annuli: of the starting profile, the pointwise log likelihood and the figures."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pyxstan.cluster.cells import Floats, Pixels

#: Annuli a factor of ten in radius.
_A_DECADE = 20


@dataclass(frozen=True)
class Annuli:
    """Annuli of a profile: logarithmic in radius about a centre."""

    center: tuple[float, float]
    #: Outer radii (pixels), the innermost annulus being a disc.
    edges: Floats
    #: Matrix from pixels to square ones of the same area on the sky.
    shape: Floats = field(default_factory=lambda: np.eye(2))

    @classmethod
    def around(
        cls, pixels: Pixels, center: tuple[float, float], shape: Floats | None = None
    ) -> Annuli:
        """Annuli out to the farthest pixel; those without any are part of the next."""
        shape = np.eye(2) if shape is None else shape
        radius = cls(center, np.zeros(0), shape).radius(pixels)
        far = float(radius.max())
        number = max(2, int(np.ceil(_A_DECADE * np.log10(max(far, 2.0)))))
        every = cls(center, np.geomspace(1.5, far * (1 + 1e-9), number), shape)
        filled = np.bincount(every.at(radius), minlength=number) > 0
        return cls(center, every.edges[filled], shape)

    def radius(self, pixels: Pixels) -> Floats:
        """The distance of each pixel from the centre."""
        x, y = pixels.x - self.center[0], pixels.y - self.center[1]
        if np.array_equal(self.shape, np.eye(2)):
            return np.asarray(np.sqrt(x * x + y * y))
        (xx, xy), (_, yy) = self.shape
        return np.asarray(np.sqrt((xx * x + xy * y) ** 2 + (xy * x + yy * y) ** 2))

    def index(self, pixels: Pixels) -> NDArray[np.int64]:
        """The annulus of each pixel."""
        return self.at(self.radius(pixels))

    def at(self, radius: Floats) -> NDArray[np.int64]:
        """The annulus of each radius."""
        return np.minimum(np.searchsorted(self.edges, radius), len(self.edges) - 1).astype(np.int64)
