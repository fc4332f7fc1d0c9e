"""Where to start, from the image alone: the cluster's centre and a profile around it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter

from pyxstan.cluster.annuli import Annuli
from pyxstan.cluster.cells import Floats, Pixels
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.mode import likeliest
from pyxstan.cluster.parameters import RADIUS, Coordinates, Layout
from pyxstan.priors import Prior, log_prior_of_many


def find_center(
    image: ClusterImage,
    near: tuple[float, float] | None = None,
    *,
    width: float | None = None,
    uphill: bool = True,
) -> tuple[float, float]:
    """A peak of the smoothed image (x, y), refined to the centroid around it.

    Parameters
    ----------
    near
        Take the peak uphill from this place; default: the highest one.
    width
        Of the smoothing (sigma, pixels).
    uphill
        False: `near` is a peak already.
    """
    counts = np.where(image.good, image.counts, 0).astype(float)
    exposure = np.where(image.good, image.exposure, 0.0)
    if width is None:
        width = max(2.0, min(image.counts.shape) / 150)
    if near is not None and not uphill:
        return _centroid(image, counts, exposure, near, max(width, 1.0))
    seen = gaussian_filter(exposure, width, mode="constant")
    smooth = gaussian_filter(counts, width, mode="constant")
    usable = image.good & (seen > 0.3 * seen.max())
    brightness = np.where(usable, smooth / np.where(seen > 0, seen, 1.0), -np.inf)
    if near is None:
        y, x = map(int, np.unravel_index(int(np.argmax(brightness)), brightness.shape))
    else:
        x, y = (
            min(round(c), size - 1) for c, size in zip(near, image.counts.shape[::-1], strict=True)
        )
        x, y = _uphill(brightness, x, y, int(np.ceil(2 * width)))
        if not usable[y, x]:
            return near
    return _centroid(image, counts, exposure, (float(x), float(y)), width)


def _centroid(
    image: ClusterImage,
    counts: Floats,
    exposure: Floats,
    start: tuple[float, float],
    width: float,
) -> tuple[float, float]:
    """The centroid of what is above the mean brightness, in a Gaussian window twice as wide."""
    sky = counts.sum() / exposure.sum()
    reach = int(np.ceil(10 * width))
    x, y = (round(c) for c in start)
    left, low = max(x - reach, 0), max(y - reach, 0)
    window = np.s_[low : max(y + reach + 1, 0), left : max(x + reach + 1, 0)]
    rows, columns = np.nonzero(image.good[window])
    excess_there = (counts[window] - sky * exposure[window])[rows, columns]
    rows, columns = rows + low, columns + left
    center = start
    for _ in range(5):
        weight = np.exp(-((columns - center[0]) ** 2 + (rows - center[1]) ** 2) / (8 * width**2))
        excess = weight * excess_there
        if not excess.sum() > 0:
            break
        center = (
            float((excess * columns).sum() / excess.sum()),
            float((excess * rows).sum() / excess.sum()),
        )
    inside = all(
        0 <= c <= size - 1 for c, size in zip(center, image.counts.shape[::-1], strict=True)
    )
    return center if inside else start


def _uphill(brightness: Floats, x: int, y: int, reach: int) -> tuple[int, int]:
    """The pixel (x, y) that is reached by going to the brightest one within reach, repeatedly."""
    while True:
        left, low = max(x - reach, 0), max(y - reach, 0)
        around = brightness[low : y + reach + 1, left : x + reach + 1]
        row, column = np.unravel_index(int(np.argmax(around)), around.shape)
        if not around[row, column] > brightness[y, x]:
            return x, y
        x, y = left + int(column), low + int(row)


def first_profile(
    pixels: Pixels,
    layout: Layout,
    priors: Sequence[Prior],
    center: tuple[float, float],
    rc: float,
    beta: float,
) -> tuple[Floats, float]:
    """Parameters of a profile around a centre, the best of fits from several starting points.

    And minus the log of its posterior density.

    Priors count: annuli of few counts leave a profile that goes on to no end otherwise.

    Parameters
    ----------
    rc, beta
        Of one component that fits roughly.
    """
    annuli = Annuli.around(pixels, center, layout.shape)
    r, number = annuli.radius(pixels), len(annuli.edges)
    index = annuli.at(r)
    columns = (pixels.counts, pixels.exposure, pixels.background, np.ones(pixels.x.size))
    n, E, M, area = (np.bincount(index, column, number).astype(float) for column in columns)
    t = np.bincount(index, pixels.exposure * r, number) / np.where(E > 0, E, 1.0)
    t = t**2
    there = E > 0
    outer = n[there][-5:].sum() / E[there][-5:].sum()
    peak = max(n[there][:3].sum() / E[there][:3].sum() - outer, 0.1 * outer, 1e-300)
    level = {
        "B": max(outer, 1e-3 * peak) * E[there].sum() / area[there].sum(),
        "b": max(outer, 1e-3 * peak),
        "map_factor": 1.0,
    }
    around = Layout(layout.components, layout.constant, layout.sky, layout.background_map)
    prior = dict(zip(layout.names, priors, strict=True))
    far = float(annuli.edges[-1])

    rc = min(rc, far / 3)
    shapes = [[(rc, beta)], [(min(2 * rc, far / 3), 0.7)], [(0.5 * rc, 0.6)]]
    if layout.components == 2:
        shapes = [[(k * rc, 0.8), (3 * k * rc, 0.7)] for k in (0.25, 0.5, 1.0)]
        shapes += [[(k, 0.7), (3 * k, 0.7)] for k in np.geomspace(2.0, max(far / 5, 4.0), 4)
                   if 3 * k <= far]  # fmt: skip
        shapes += [[(0.2 * rc, 0.7), (rc, beta)], [(rc, beta), (5 * rc, 0.7)]]
    known = tuple(level[name] / 20 for name in around.backgrounds)
    coordinates = Coordinates(around, center, tuple(RADIUS * s[0] for s in shapes[1]), known)
    starts = []
    for one in shapes:
        values = [*center, peak, *one[0]]
        values += [0.1 * peak, *one[1]] if layout.components == 2 else []
        values += [level[name] for name in around.names if name in level]
        starts.append(coordinates.theta(np.array(values))[2:])

    def values_of(theta: Floats) -> tuple[Floats, Floats]:
        whole = np.zeros((len(around.names), *theta.shape[:-1]))  # the centre stays
        whole[2:] = np.moveaxis(theta, -1, 0)
        return coordinates.values_of_many(whole)

    def expected(theta: Floats) -> Floats:
        u = around.coefficients(values_of(theta)[0], center)[..., None]
        S = sum(np.exp(c[0] + c[2] * np.log1p(t * np.exp(-2 * c[1])))
                for c in u[:-3].reshape(-1, 9, *u.shape[1:]))  # fmt: skip
        return np.asarray(E * (S + u[-2]) + area * u[-3] + M * u[-1])

    def log_density(theta: Floats) -> Floats:
        values, log_jacobian = values_of(theta)
        return log_prior_of_many([prior[name] for name in around.names], values) + log_jacobian

    theta, density = likeliest(expected, n, log_density, np.array(starts))
    found = values_of(theta[None])[0][:, 0]
    value = dict(zip(around.names, found, strict=True))
    value |= {"shear1": 0.0, "shear2": 0.0, "x02": center[0], "y02": center[1]}
    return np.array([value[name] for name in layout.names]), -density
