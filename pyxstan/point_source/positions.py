"""Positions that a source may have: pixels of the prior map, fine where the source probably is.

The map is scanned coarsely; pixels whose posterior weight is negligible are dropped, with what they
hold in all, and those that hold much are split until none does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.sky import Pixels, PriorMap

#: Pixels lighter than the heaviest by this factor's logarithm are dropped.
_NEGLIGIBLE = 20.0
#: The weight that a pixel may have, and the order down to which pixels are split.
_LARGEST_WEIGHT, _FINEST = 0.02, 14
#: Points of ns and gamma over which a pixel's likelihood is summed, and how far ns reaches.
_GAMMAS, _COUNTS = 7, 24


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
        Approximate posterior probability of all that was dropped.
    """

    pixels: Pixels
    ra: Floats
    dec: Floats
    log_prior: Floats
    weight: Floats
    dropped: float

    def __len__(self) -> int:
        return len(self.ra)


def positions(
    sky: Sky, prior_map: PriorMap | None, most: float, nside: int, max_dec: float
) -> Positions:
    """Find the pixels that matter.

    Parameters
    ----------
    most
        The prior of ns is flat up to this here; only the pixels' relative weights depend on it.
    nside
        Of the first scan.
    max_dec
        Declinations beyond which nothing is looked for (rad).
    """
    gammas = sky.tables.gammas
    chosen = np.linspace(gammas[0], gammas[-1], _GAMMAS + 1)
    ns = np.concatenate([[0.0], np.geomspace(0.3, most, _COUNTS)])
    points = np.meshgrid(chosen, ns, indexing="ij")
    area = np.gradient(ns)

    def log_weights(pixels: Pixels) -> tuple[Floats, Floats, Floats, Floats]:
        ra, dec = pixels.positions()
        with np.errstate(divide="ignore"):
            flat = 1.0 / (4.0 * np.pi) if prior_map is None else prior_map.density(ra, dec)
            log_prior = np.log(flat * pixels.solid_angle)
        log_prior = np.where(np.abs(dec) <= max_dec, log_prior, -np.inf)
        log_l = np.full(len(ra), -np.inf)
        some = np.isfinite(log_prior)
        log_l[some] = marginal(sky, ra[some], dec[some], points, area)
        return ra, dec, log_prior, log_prior + log_l

    pixels = Pixels.grid(nside)
    ra, dec, log_prior, log_weight = log_weights(pixels)
    dropped: list[float] = []
    while True:
        total = logsumexp(log_weight)
        light = log_weight < log_weight.max() - _NEGLIGIBLE
        dropped.append(float(np.exp(logsumexp(log_weight[light]) - total)) if light.any() else 0.0)
        pixels = pixels.kept(~light)
        ra, dec, log_prior, log_weight = (x[~light] for x in (ra, dec, log_prior, log_weight))
        heavy = (log_weight > total + np.log(_LARGEST_WEIGHT)) & (pixels.order < _FINEST)
        if not heavy.any():
            break
        parts = pixels.kept(heavy).split()
        new = log_weights(parts)
        pixels = pixels.kept(~heavy).joined(parts)
        ra, dec, log_prior, log_weight = (
            np.concatenate([old[~heavy], one])
            for old, one in zip((ra, dec, log_prior, log_weight), new, strict=True)
        )
    weight = np.exp(log_weight - logsumexp(log_weight))
    return Positions(pixels, ra, dec, log_prior, weight, sum(dropped))


def marginal(
    sky: Sky, ra: Floats, dec: Floats, points: tuple[Floats, ...] | list[Floats], area: Floats
) -> Floats:
    """Ln of the likelihood ratio averaged over ns and gamma, shape (positions,)."""
    gamma, ns = points
    log_l = sky.log_likelihood(ra, dec, ns.ravel(), gamma.ravel()).reshape(len(ra), *ns.shape)
    return np.asarray(logsumexp(log_l + np.log(area / area.sum()), axis=(1, 2)))
