"""Positions that a source may have: pixels of the prior map, fine where the source probably is.

The largest likelihood at a pixel bounds what it can hold of the posterior: pixels that can hold
next to nothing are dropped, and the bound is kept. In the middle of a pixel the likelihood can be
far below that of a source near its edge, whose events have small errors: the pixels in which most
is possible are looked at in parts of the size of these errors first. Pixels that hold much are
split until none does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.region import Hottest, Region
from pyxstan.point_source.scanning import Maxima, Sky
from pyxstan.priors import Prior

#: How many parts of pixels are looked at in all, and how often a pixel is split at most.
_PARTS, _MOST_SPLITS = 8000, 4
#: How much larger a test statistic has to be in a part than in the middle, to count.
_SHARPER = 2.0
#: Pixels whose largest likelihood is below the highest by this are dropped unseen; then those that
#: hold least, up to this part of the posterior in all, each time.
_FALL, _NEGLIGIBLE = 30.0, 1e-5
#: The weight that a pixel may have, and the order down to which pixels are split.
_LARGEST_WEIGHT, _FINEST = 0.02, 14
#: The weight that a pixel may have of which the prior map is zero in a part.
_LARGEST_WEIGHT_OF_PARTLY = 1e-4
#: Points of gamma and of ns over which a pixel's likelihood is summed; and, about a source of more
#: than so many events, in standard deviations that are about 1 / sqrt(ns) of each.
_GAMMAS, _COUNTS = 8, 24
_STRONG, _ABOUT = 10.0, np.linspace(-4.0, 4.0, 13)


@dataclass(frozen=True)
class Positions:
    """Pixels that matter, with what the prior and the data say of them.

    Parameters
    ----------
    region
        The pixels.
    weight
        Approximate posterior probability of each.
    dropped
        Posterior probability of all that was dropped, at most.
    """

    region: Region
    weight: Floats
    dropped: float

    def __len__(self) -> int:
        return len(self.weight)


def positions(
    sky: Sky,
    region: Region,
    maxima: Maxima,
    data: PointSourceData,
    priors: Mapping[str, Prior],
    most: float,
    max_dec: float,
) -> Positions:
    """Find the pixels that matter.

    Parameters
    ----------
    region, maxima
        What was scanned, and what was found there.
    priors
        Of ns and gamma.
    most
        What ns can't be above.
    max_dec
        Declinations beyond which nothing is looked for (rad).
    """
    largest = region.log_prior + 0.5 * maxima.ts
    best = int(largest.argmax())
    ns, gamma, measure = _summation(sky, priors, most, maxima.ns[best], maxima.gamma[best])

    def log_weights(of: Region) -> Floats:
        values = sky.log_likelihood(of.ra, of.dec, ns, gamma)
        return np.asarray(of.log_prior + logsumexp(values + measure, axis=1))

    parts, whole = _looked_into(sky, region, maxima, data, max_dec)
    inside = parts.log_prior + 0.5 * sky.maxima(parts.ra, parts.dec).ts
    region, largest = region.kept(whole).joined(parts), np.append(largest[whole], inside)
    seen = largest >= largest.max() - _FALL
    unseen = -np.inf if seen.all() else logsumexp(largest[~seen])
    region = region.kept(seen)
    log_weight = log_weights(region)
    dropped = float(np.exp(unseen - logsumexp(log_weight)))
    while True:
        total = logsumexp(log_weight)
        rising = np.argsort(log_weight)
        lightest = np.exp(log_weight[rising] - total).cumsum()
        light = np.zeros(len(region), dtype=bool)
        light[rising[lightest < _NEGLIGIBLE]] = True
        dropped += float(np.exp(log_weight[light] - total).sum())
        region, log_weight = region.kept(~light), log_weight[~light]
        largest_weight = np.where(region.partly, _LARGEST_WEIGHT_OF_PARTLY, _LARGEST_WEIGHT)
        heavy = log_weight > total + np.log(largest_weight)
        heavy &= region.pixels.order < _FINEST
        if not heavy.any():
            return Positions(region, np.exp(log_weight - logsumexp(log_weight)), dropped)
        parts = Region.of(region.pixels.kept(heavy).split(), data, max_dec)
        region = region.kept(~heavy).joined(parts)
        log_weight = np.concatenate([log_weight[~heavy], log_weights(parts)])


def _looked_into(
    sky: Sky, region: Region, maxima: Maxima, data: PointSourceData, max_dec: float
) -> tuple[Region, np.ndarray]:
    """Parts of pixels within which more is found than in their middles, and which aren't such."""
    radius = float(np.sqrt(region.pixels.solid_angle.max()))  # of a pixel's corners, or beyond
    bound = region.log_prior + 0.5 * sky.maxima(region.ra, region.dec, radius, roughly=True).ts
    smallest = min(float(sample.sigma.min()) for sample in data.samples)
    splits = int(np.clip(np.ceil(np.log2(radius / smallest)), 0, _MOST_SPLITS))
    hot = np.sort(np.argsort(bound)[-_PARTS // 4**splits :])
    pixels = region.pixels.kept(hot)
    for _ in range(splits):
        pixels = pixels.split()
    parts = Region.of(pixels, data, max_dec)
    of = np.searchsorted(region.pixels.number[hot], parts.pixels.number >> 2 * splits)
    highest = np.zeros(len(hot))
    np.maximum.at(highest, of, sky.maxima(parts.ra, parts.dec).ts)
    sharper = highest > maxima.ts[hot] + _SHARPER
    whole = np.ones(len(region), dtype=bool)
    whole[hot[sharper]] = False
    return parts.kept(sharper[of]), whole


def hottest_within(
    sky: Sky, region: Region, data: PointSourceData, max_dec: float, log_largest: float
) -> Hottest:
    """The hottest place of a region's pixels, where errors are small in parts of them.

    Parameters
    ----------
    log_largest
        Ln of the density that the prior's is told against, see `Region.with_prior`.
    """
    maxima = sky.maxima(region.ra, region.dec)
    parts, _ = _looked_into(sky, region, maxima, data, max_dec)
    found = [region.hottest(maxima, log_largest)]
    if len(parts):
        found.append(parts.hottest(sky.maxima(parts.ra, parts.dec), log_largest))
    return max(found, key=lambda place: place.ts_with_prior)


def _summation(
    sky: Sky, priors: Mapping[str, Prior], most: float, best_ns: float, best_gamma: float
) -> tuple[Floats, Floats, Floats]:
    """Points of ns and gamma, and ln of the prior's part of each."""
    gammas = np.linspace(sky.tables.gammas[0], sky.tables.gammas[-1], _GAMMAS)
    counts = np.concatenate([[0.0], np.geomspace(0.3, most, _COUNTS)])
    if best_ns > _STRONG:
        counts = np.append(counts, best_ns + _ABOUT * np.sqrt(best_ns))
        gammas = np.append(gammas, best_gamma + _ABOUT / np.sqrt(best_ns))
    counts = np.unique(counts[(counts >= 0) & (counts <= most)])
    gammas = np.unique(np.clip(gammas, sky.tables.gammas[0], sky.tables.gammas[-1]))
    # by gamma, then ns: what depends on gamma alone is made once
    gamma, ns = np.meshgrid(gammas, counts, indexing="ij")
    measure = np.log(np.gradient(counts)) + np.log(np.gradient(gammas))[:, None]
    measure += priors["ns"].log_density(np.maximum(ns, 1e-3)) + priors["gamma"].log_density(gamma)
    return ns.ravel(), gamma.ravel(), (measure - logsumexp(measure)).ravel()
