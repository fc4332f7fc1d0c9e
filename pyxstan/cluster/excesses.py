"""What a fitted model leaves over: excesses of counts, and a profile that is not followed.

An unmasked point source, a second cluster or a core that one component does not describe leaves
counts that the model does not expect. They are sought at every scale and judged by their Poisson
probability, the number of places looked at taken into account.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2, norm, poisson

from pyxstan.cluster.annuli import Annuli
from pyxstan.cluster.cells import Floats, Pixels
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.search import peaks

#: Probability, over all places of an image, beyond which an excess or a profile is told.
_UNLIKELY = 1e-5
#: Radii of circles in which counts are compared, in widths of the smoothing.
_RADII = (1.5, 2.5, 4.0)
#: Excesses that are told one by one, and expected counts that annuli are merged up to.
_TOLD, _FEWEST_COUNTS = 3, 20.0
#: Radius (pixels) up to which an excess may be a point source.
_POINT = 6.0


@dataclass(frozen=True)
class Excess:
    """More counts in a circle than expected."""

    x: float
    y: float
    radius: float
    counts: int
    expected: float
    #: Log of the Poisson probability of so many counts, times the places that were looked at.
    log_probability: float

    @property
    def sigma(self) -> float:
        """Significance in Gaussian standard deviations, for all places."""
        return (
            float(norm.isf(np.exp(max(self.log_probability, -700.0))))
            if (self.log_probability > -700)
            else float(np.sqrt(-2 * self.log_probability))
        )

    def told(self, image: ClusterImage) -> str:
        """Say where it is and how significant."""
        place = f"x {self.x:.1f}, y {self.y:.1f}"
        sky = image.sky(self.x, self.y)
        if sky is not None:
            place += f" (RA {float(sky[0]):.5f}, Dec {float(sky[1]):.5f})"
        kind = "point-like" if self.radius <= _POINT else "extended"
        return (
            f"{kind} excess at {place}: {self.counts} counts within {self.radius:.1f} pixels, "
            f"{self.expected:.1f} expected ({self.sigma:.1f} sigma)"
        )


def excesses(image: ClusterImage, pixels: Pixels, expected: Floats) -> list[Excess]:
    """Significant excesses over the expected counts of fitted pixels, most significant first."""
    model = np.zeros(image.good.shape)
    model[image.good] = expected
    counts = np.where(image.good, image.counts, 0).astype(float)
    found: list[Excess] = []
    for _ in range(_TOLD + 2):
        tried = [
            one
            for x, y, width in peaks(counts, image.exposure, image.good, model)
            for one in _circles(image, counts, model, (x, y), width)
        ]
        best = min(tried, key=lambda one: one.log_probability, default=None)
        if best is None or best.log_probability > np.log(_UNLIKELY):
            break
        best = _whole(image, counts, model, best)
        found.append(best)
        inside = _circle(image, (best.x, best.y), 1.5 * best.radius)
        counts[inside] = model[inside]
    return found


def _circles(
    image: ClusterImage,
    counts: Floats,
    model: Floats,
    center: tuple[float, float],
    width: float,
) -> Iterator[Excess]:
    pixels = float(image.good.sum())
    for radius in (k * width for k in _RADII):
        inside = _circle(image, center, radius)
        n, N = round(float(counts[inside].sum())), float(model[inside].sum())
        if n > N > 0:
            # Circles that overlap are not independent: as many as there are beside one another,
            # ten times over for where they may be and how large.
            places = 10 * max(pixels / (np.pi * radius**2), 1.0)
            probability = float(poisson.logsf(n - 1, N)) + float(np.log(places))
            if not np.isfinite(probability):  # Stirling's formula
                probability = -(n * np.log(n / N) - n + N) + float(np.log(places))
            yield Excess(*center, radius, n, N, min(probability, 0.0))


def _whole(image: ClusterImage, counts: Floats, model: Floats, part: Excess) -> Excess:
    """An excess about its centroid, in a circle that grows until it has all of it."""
    rows, columns = _circle(image, (part.x, part.y), part.radius)
    weight = np.maximum(counts[rows, columns] - model[rows, columns], 0.0)
    center = float(weight @ columns / weight.sum()), float(weight @ rows / weight.sum())
    n, N, radius = 0.0, 0.0, part.radius
    while radius < min(image.good.shape):
        inside = _circle(image, center, radius)
        more, expected = float(counts[inside].sum()), float(model[inside].sum())
        if n and more - n - (expected - N) < 2 * np.sqrt(max(expected - N, 1.0)):
            break
        n, N, radius = more, expected, 1.3 * radius
    return replace(part, x=center[0], y=center[1], radius=radius / 1.3, counts=round(n), expected=N)


def _circle(
    image: ClusterImage, center: tuple[float, float], radius: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The pixels of a circle."""
    ny, nx = image.good.shape
    low = [max(int(np.floor(c - radius)), 0) for c in center]
    high = [
        min(int(np.ceil(c + radius)) + 1, size) for c, size in zip(center, (nx, ny), strict=True)
    ]
    y, x = np.mgrid[low[1] : high[1], low[0] : high[0]]
    inside = (x - center[0]) ** 2 + (y - center[1]) ** 2 <= radius**2
    return y[inside], x[inside]


def misfit(
    pixels: Pixels, expected: Floats, annuli: Annuli, left_out: list[Excess]
) -> tuple[float, int] | None:
    """Deviance of the profile and its annuli, where they do not go together.

    Parameters
    ----------
    left_out
        Excesses whose circles do not count.
    """
    use = np.ones(pixels.x.size, dtype=bool)
    for one in left_out:
        use &= np.hypot(pixels.x - one.x, pixels.y - one.y) > 1.5 * one.radius
    index, number = annuli.index(pixels), len(annuli.edges)
    n = np.bincount(index[use], pixels.counts[use], number)
    N = np.bincount(index[use], expected[use], number)
    group = np.minimum(np.floor(np.cumsum(N) / _FEWEST_COUNTS), np.floor(N.sum() / _FEWEST_COUNTS))
    _, group = np.unique(group, return_inverse=True)
    n, N = np.bincount(group, n), np.bincount(group, N)
    with np.errstate(divide="ignore", invalid="ignore"):
        deviance = 2 * float(np.sum(np.where(n > 0, n * np.log(n / N), 0.0) - (n - N)))
    if chi2.sf(deviance, n.size) < _UNLIKELY:
        return deviance, n.size
    return None


def complaints(
    image: ClusterImage,
    pixels: Pixels,
    expected: Floats,
    annuli: Annuli,
    core: tuple[float, float, float],
    *,
    components: int,
) -> list[str]:
    """What speaks against a fitted model, in words.

    Parameters
    ----------
    core
        Centre and (largest) core radius of the model.
    """
    found = excesses(image, pixels, expected)
    x, y, rc = core
    central = [e for e in found if np.hypot(e.x - x, e.y - y) < max(2.0, rc, 0.7 * e.radius)]
    others = [e for e in found if e not in central]
    said = [f"{e.told(image)}: mask or explain it" for e in others[:_TOLD]]
    if len(others) > _TOLD:
        said.append("more excesses over the model are left")
    profile = misfit(pixels, expected, annuli, others)
    if profile is not None:
        remedies = ["mask the excess"] * bool(others) + ["try double_beta"] * (components == 1)
        remedy = f"; {', or '.join(remedies)}" if remedies else ""
        said.append(
            f"the profile does not follow the model (deviance {profile[0]:.0f} in {profile[1]} "
            f"annuli){remedy}"
        )
    elif central:
        said.append(f"{central[0].told(image)}, at the cluster's centre")
    return said
