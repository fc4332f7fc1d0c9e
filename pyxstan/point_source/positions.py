"""Positions that a source may have: pixels of the prior map, fine where the source probably is.

The sky is scanned for the largest likelihood at every pixel, which bounds what a pixel can hold of
the posterior: those that can hold next to nothing are dropped, and the bound is kept. Pixels that
hold much are split until none does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.sky import Pixels, PriorMap
from pyxstan.priors import Prior

#: Pixels whose largest likelihood is below the highest by this are dropped unseen; then those that
#: hold least, up to this part of the posterior in all, each time.
_FALL, _NEGLIGIBLE = 30.0, 1e-5
#: The weight that a pixel may have, and the order down to which pixels are split.
_LARGEST_WEIGHT, _FINEST = 0.02, 14
#: Points of gamma and of ns over which a pixel's likelihood is summed.
_GAMMAS, _COUNTS = 8, 24


@dataclass(frozen=True)
class Hottest:
    """The pixel of the first scan where likelihood times prior is largest.

    Parameters
    ----------
    ra, dec
        Its middle (rad).
    ts, ns, gamma
        There; gamma is NaN where ns is zero.
    ts_with_prior
        TS + 2 ln(w / max w).
    """

    ra: float
    dec: float
    ts: float
    ns: float
    gamma: float
    ts_with_prior: float


@dataclass(frozen=True)
class Positions:
    """Pixels that matter, with what the prior and the data say of them.

    Parameters
    ----------
    pixels
        In ICRS.
    ra, dec
        Their middles (rad).
    log_prior
        Ln of the prior's probability of each.
    weight
        Approximate posterior probability of each.
    dropped
        Posterior probability of all that was dropped, at most.
    hottest
        The best pixel of the scan.
    """

    pixels: Pixels
    ra: Floats
    dec: Floats
    log_prior: Floats
    weight: Floats
    dropped: float
    hottest: Hottest

    def __len__(self) -> int:
        return len(self.ra)


def positions(
    sky: Sky,
    prior_map: PriorMap | None,
    priors: Mapping[str, Prior],
    most: float,
    nside: int,
    max_dec: float,
) -> Positions:
    """Find the pixels that matter.

    Parameters
    ----------
    priors
        Of ns and gamma.
    most
        What ns can't be above.
    nside
        Of the first scan.
    max_dec
        Declinations beyond which nothing is looked for (rad).

    Raises
    ------
    DataError
        Nothing of the map lies within `max_dec`.
    """
    gammas = sky.tables.gammas
    counts = np.concatenate([[0.0], np.geomspace(0.3, most, _COUNTS)])
    # by gamma, then ns: what depends on gamma alone is made once
    gamma, ns = np.meshgrid(np.linspace(gammas[0], gammas[-1], _GAMMAS), counts, indexing="ij")
    measure = np.log(np.gradient(counts)) + priors["ns"].log_density(np.maximum(ns, 1e-3))
    measure = (measure + priors["gamma"].log_density(gamma)).ravel()
    measure -= logsumexp(measure)

    def log_weights(ra: Floats, dec: Floats, log_prior: Floats) -> Floats:
        values = sky.log_likelihood(ra, dec, ns.ravel(), gamma.ravel())
        return np.asarray(log_prior + logsumexp(values + measure, axis=1))

    pixels = Pixels.grid(nside)
    ra, dec, log_prior = _placed(pixels, prior_map, max_dec)
    here = np.isfinite(log_prior)
    if not here.any():
        raise DataError(
            f"nothing of the prior map lies within {np.degrees(max_dec):g} deg of declination 0"
        )
    pixels, ra, dec, log_prior = pixels.kept(here), ra[here], dec[here], log_prior[here]
    scanned = sky.maxima(ra, dec)
    largest = log_prior + 0.5 * scanned.ts
    best = int(largest.argmax())
    hottest = Hottest(
        *(float(x[best]) for x in (ra, dec, scanned.ts, scanned.ns, scanned.gamma)),
        float(2.0 * (largest[best] - log_prior.max())),
    )
    unseen = largest < largest[best] - _FALL
    bound = logsumexp(largest[unseen]) if unseen.any() else -np.inf
    pixels = pixels.kept(~unseen)
    ra, dec, log_prior = (x[~unseen] for x in (ra, dec, log_prior))
    log_weight = log_weights(ra, dec, log_prior)
    dropped = [float(np.exp(bound - logsumexp(log_weight)))]
    while True:
        total = logsumexp(log_weight)
        rising = np.argsort(log_weight)
        lightest = np.exp(log_weight[rising] - total).cumsum()
        light = np.zeros(len(pixels), dtype=bool)
        light[rising[lightest < _NEGLIGIBLE]] = True
        dropped.append(float(lightest[light.sum() - 1]) if light.any() else 0.0)
        pixels = pixels.kept(~light)
        ra, dec, log_prior, log_weight = (x[~light] for x in (ra, dec, log_prior, log_weight))
        heavy = (log_weight > total + np.log(_LARGEST_WEIGHT)) & (pixels.order < _FINEST)
        if not heavy.any():
            break
        parts = pixels.kept(heavy).split()
        placed = _placed(parts, prior_map, max_dec)
        inside = np.isfinite(placed[2])
        parts, new = parts.kept(inside), [x[inside] for x in placed]
        new.append(log_weights(*new))
        pixels = pixels.kept(~heavy).joined(parts)
        ra, dec, log_prior, log_weight = (
            np.concatenate([old[~heavy], one])
            for old, one in zip((ra, dec, log_prior, log_weight), new, strict=True)
        )
    weight = np.exp(log_weight - logsumexp(log_weight))
    return Positions(pixels, ra, dec, log_prior, weight, sum(dropped), hottest)


def _placed(
    pixels: Pixels, prior_map: PriorMap | None, max_dec: float
) -> tuple[Floats, Floats, Floats]:
    """Middles of pixels (rad), and ln of their prior probabilities."""
    ra, dec = pixels.positions()
    held = pixels.solid_angle / (4.0 * np.pi) if prior_map is None else prior_map.within(pixels)
    with np.errstate(divide="ignore"):
        log_prior = np.log(held)
    return ra, dec, np.where(np.abs(dec) <= max_dec, log_prior, -np.inf)
