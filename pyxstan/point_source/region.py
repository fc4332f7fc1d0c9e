"""The pixels that are looked at, with what the prior map says of each, and the hottest of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.scanning import Maxima
from pyxstan.point_source.sky import Pixels, PriorMap


@dataclass(frozen=True)
class Region:
    """Pixels where the source may be.

    Parameters
    ----------
    pixels
        In ICRS.
    ra, dec
        Their middles (rad).
    log_prior
        Ln of the prior's probability of each.
    """

    pixels: Pixels
    ra: Floats
    dec: Floats
    log_prior: Floats

    @classmethod
    def of(cls, pixels: Pixels, prior_map: PriorMap | None, max_dec: float) -> Region:
        """Those of some pixels that have a prior and lie within a declination (rad)."""
        ra, dec = pixels.positions()
        held = pixels.solid_angle / (4.0 * np.pi)
        if prior_map is not None:
            held = prior_map.within(pixels)
        some = (held > 0) & (np.abs(dec) <= max_dec)
        return cls(pixels.kept(some), ra[some], dec[some], np.log(held[some]))

    @classmethod
    def grid(cls, nside: int, prior_map: PriorMap | None, max_dec: float) -> Region:
        """Those of all the sky.

        Raises
        ------
        DataError
            There is none.
        """
        found = cls.of(Pixels.grid(nside), prior_map, max_dec)
        if not len(found):
            raise DataError(
                f"nothing of the prior map lies within {np.degrees(max_dec):g} deg of declination 0"
            )
        return found

    def __len__(self) -> int:
        return len(self.ra)

    def kept(self, which: np.ndarray) -> Region:
        """Some of the pixels."""
        arrays = (x[which] for x in (self.ra, self.dec, self.log_prior))
        return Region(self.pixels.kept(which), *arrays)

    def joined(self, other: Region) -> Region:
        """These pixels, then the other ones."""
        pairs = ((self.ra, other.ra), (self.dec, other.dec), (self.log_prior, other.log_prior))
        return Region(self.pixels.joined(other.pixels), *map(np.concatenate, pairs))

    def with_prior(self, ts: Floats) -> Floats:
        """TS + 2 ln(w / max w)."""
        return np.asarray(ts + 2.0 * (self.log_prior - self.log_prior.max()))

    def hottest(self, maxima: Maxima) -> Hottest:
        """The pixel of the largest test statistic, the prior's part with it."""
        ranked = self.with_prior(maxima.ts)
        best = int(ranked.argmax())
        each = (self.ra, self.dec, maxima.ts, maxima.ns, maxima.gamma, ranked)
        return Hottest(*(float(x[best]) for x in each))


@dataclass(frozen=True)
class Hottest:
    """A pixel, and the best source in its middle.

    Parameters
    ----------
    ra, dec
        In rad.
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
