"""Where a cluster may be: peaks of an image at every scale, ranked by their likelihood.

A point source outshines a cluster in an image that is smoothed little, and vanishes in one that is
smoothed much. So peaks are sought at widths from a pixel to a third of the image, each is given the
best of many profiles around it, and those that explain the counts best are optimised.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, maximum_filter

from pyxstan.cluster.annuli import Annuli
from pyxstan.cluster.cells import Floats, Pixels
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.parameters import Layout
from pyxstan.cluster.starting import find_center

#: Peaks of each width that are looked at, and their least significance after the first.
_PEAKS, _LEAST = 4, 3.0
#: Widest smoothing, as a part of the shorter side.
_WIDEST = 1 / 3
#: Exposure of a pixel and its surroundings, as a part of the largest, below which it is no peak.
_EXPOSED = 0.05
#: Candidates whose gain is at least this part of the best one's are optimised, and how many.
_WORTH, _FINALISTS = 0.4, 3
#: Distance, as a part of the shorter side, within which a profile is fitted alone as well.
_NEAR = 0.2
#: Slopes of the profiles that are tried, and how often amplitudes are improved.
_SLOPES = (0.45, 0.6, 0.8, 1.2)
_ROUNDS = 120


@dataclass(frozen=True)
class Candidate:
    """A place where the cluster may be, and the best of the profiles around it."""

    center: tuple[float, float]
    rc: float
    beta: float
    #: Log likelihood of its profile in annuli less that of the background alone.
    gain: float
    #: Distance (pixels) up to which counts are to be looked at to begin with.
    reach: float = np.inf

    def is_like(self, other: Candidate) -> bool:
        """Whether two candidates start the same search: close by, of like core radii."""
        apart = np.hypot(self.center[0] - other.center[0], self.center[1] - other.center[1])
        smaller = min(self.rc, other.rc)
        return bool(apart < 1.0 + 0.7 * smaller and abs(np.log(self.rc / other.rc)) < 1.0)


def candidates(
    image: ClusterImage,
    pixels: Pixels,
    layout: Layout,
    center: tuple[float, float] | None = None,
) -> list[Candidate]:
    """The places to start from, the most likely one first.

    Parameters
    ----------
    center
        Where the user says that the cluster is: then that place, and the peak uphill from it.
    """
    if center is not None:
        near = find_center(image, center)
        places = [center]
        if np.hypot(near[0] - center[0], near[1] - center[1]) > 1.0:
            places.append(near)
        ranked = [one for place in places for one in _ranked(pixels, layout, place)]
        return sorted(ranked, key=_least_gain)
    ranked = []
    found = (one for place in _places(image) for one in _ranked(pixels, layout, place))
    for one in sorted(found, key=_least_gain):
        if not any(one.is_like(other) for other in ranked):
            ranked.append(one)
    worth = _WORTH * ranked[0].gain
    return [place for place in ranked if place.gain >= worth][:_FINALISTS]


def _least_gain(candidate: Candidate) -> float:
    return -candidate.gain


def _places(image: ClusterImage) -> list[tuple[float, float]]:
    """Centroids of the peaks of every width, those close to one another once."""
    found: list[tuple[float, float]] = [find_center(image)]
    for x, y, width in peaks(image.counts, image.exposure, image.good):
        place = find_center(image, (x, y), width=width, uphill=False)
        if all(np.hypot(place[0] - a, place[1] - b) > 0.5 + 0.3 * width for a, b in found):
            found.append(place)
    return found


def peaks(
    counts: NDArray[Any], exposure: Floats, good: NDArray[np.bool_], model: Floats | None = None
) -> Iterator[tuple[float, float, float]]:
    """Local peaks (x, y, width) of the smoothed image above its surroundings, width by width.

    Parameters
    ----------
    model
        Expected counts, above which peaks are sought; default: those of the surroundings, three
        times as wide, at the exposure.
    """
    n = np.where(good, counts, 0).astype(float)
    base = np.where(good, exposure if model is None else model, 0.0)
    factor = 1
    while factor <= max(1.0, _WIDEST * min(n.shape)):
        seen = gaussian_filter(base, 1.0, mode="constant")
        around = gaussian_filter(base, 3.0, mode="constant")
        rate = np.ones_like(base)
        if model is None:
            wide = gaussian_filter(n, 3.0, mode="constant")
            rate = wide / np.where(around > 0, around, 1.0)
        variance = rate * gaussian_filter(base, np.sqrt(0.5), mode="constant") / (4 * np.pi)
        excess = gaussian_filter(n, 1.0, mode="constant") - rate * seen
        with np.errstate(divide="ignore", invalid="ignore"):
            sigma = excess / np.sqrt(np.maximum(variance, 1e-12))
        exposed = seen > (_EXPOSED if model is None else 1e-9) * seen.max()
        sigma = np.where(exposed, sigma, -np.inf)
        rows, columns = np.nonzero((sigma == maximum_filter(sigma, 5)) & np.isfinite(sigma))
        order = np.argsort(-sigma[rows, columns])[:_PEAKS]
        for k, i in enumerate(order):
            if k == 0 or sigma[rows[i], columns[i]] > _LEAST:
                yield (
                    float((columns[i] + 0.5) * factor - 0.5),
                    float((rows[i] + 0.5) * factor - 0.5),
                    float(factor),
                )
        n, base = _halved(n), _halved(base)
        factor *= 2


def _halved(values: Floats) -> Floats:
    """Sums over two by two pixels."""
    rows, columns = (size + size % 2 for size in values.shape)
    whole = np.zeros((rows, columns))
    whole[: values.shape[0], : values.shape[1]] = values
    return np.asarray(whole.reshape(rows // 2, 2, columns // 2, 2).sum(axis=(1, 3)))


def _ranked(pixels: Pixels, layout: Layout, center: tuple[float, float]) -> list[Candidate]:
    """The best of many profiles around a centre, of the whole image and of what is close by.

    N = S E p(r) + B A + M in annuli, with A their pixels (or exposure, where the background is that
    of the sky), M the mapped background. Counts are spread over an annulus as A is, so that
    likelihoods of different centres compare.
    """
    annuli = Annuli.around(pixels, center, layout.shape)
    radius, number = annuli.radius(pixels), len(annuli.edges)
    index, ones, squared = annuli.at(radius), np.ones(pixels.x.size), radius**2
    columns = (
        pixels.counts,
        pixels.exposure,
        ones if layout.constant or not layout.sky else pixels.exposure,
        pixels.background if layout.background_map != "none" else 0 * ones,
        pixels.exposure * squared,
    )
    sums = np.stack([np.bincount(index, c, number).astype(np.float64) for c in columns])
    sums = sums[:, sums[1] > 0]
    sums[4] /= sums[1]  # mean squared radius
    far = float(np.sqrt(sums[4].max()))
    radii = np.geomspace(0.7, max(0.4 * far, 3.0), 12)
    rc, beta = (grid.ravel() for grid in np.meshgrid(radii, _SLOPES, indexing="ij"))
    gain = _gain(sums, rc, beta, bool(layout.backgrounds))
    best = int(np.argmax(gain))
    found = [Candidate(center, float(rc[best]), float(beta[best]), float(gain[best]))]
    reach = max(_NEAR * float(np.ptp(pixels.x)), _NEAR * float(np.ptp(pixels.y)), 15.0)
    near = sums[:, sums[4] < reach**2]
    if near[0].sum() > 0 and near.shape[1] > 3:
        close = int(np.argmax(_gain(near, rc, beta, bool(layout.backgrounds))))
        other = Candidate(center, float(rc[close]), float(beta[close]), float(gain[close]), reach)
        if not other.is_like(found[0]):
            found.append(other)
    return found


def _gain(sums: Floats, rc: Floats, beta: Floats, background: bool) -> Floats:
    """Log likelihoods of profiles in annuli less that of the background alone.

    The amplitudes S and B are found by expectation maximisation.
    """
    n, E, area, M, t = sums
    p = E * (1 + t / rc[:, None] ** 2) ** (0.5 - 3 * beta[:, None])
    total = float(n.sum())
    B = np.full((rc.size, 1), max(total - float(M.sum()), 0.05 * total) / area.sum())
    flat = _log_likelihood(n, B[:1] * area + M, area)[0]
    excess = np.maximum(n - np.median(n / area) * area, 0.0)
    S = ((excess * p).sum(axis=1) / (p * p).sum(axis=1))[:, None] + 1e-3 * total / E.sum()
    if not background:
        B = np.full_like(B, 1e-9 * B[0, 0])
    for _ in range(_ROUNDS):
        ratio = n / (S * p + B * area + M)
        S = S * (ratio * p).sum(axis=1, keepdims=True) / p.sum(axis=1, keepdims=True)
        if background:
            B = B * (ratio * area).sum(axis=1, keepdims=True) / area.sum()
    return np.asarray(_log_likelihood(n, S * p + B * area + M, area) - flat)


def _log_likelihood(n: Floats, N: Floats, area: Floats) -> Floats:
    return np.asarray((n * np.log(np.maximum(N, 1e-300) / area) - N).sum(axis=-1))


def closest(
    places: Sequence[Floats],
    likelihoods: Sequence[float],
    center: tuple[float, float],
    reach: float,
) -> int:
    """Of several fits, the best one within reach of the place that the user gave, else the closest.

    Parameters
    ----------
    places
        Fitted parameters, the first two being the centre.
    """
    apart = np.array([np.hypot(p[0] - center[0], p[1] - center[1]) for p in places])
    within = apart <= reach
    if not within.any():
        return int(np.argmin(apart))
    return int(np.argmax(np.where(within, likelihoods, -np.inf)))
