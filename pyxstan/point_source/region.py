"""The pixels that are looked at, with what the prior map says of each, and the hottest of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.scanning import Maxima, Sky
from pyxstan.point_source.sky import Pixels

#: The part of a pixel that has a prior, above which it is all of it but for rounding.
_WHOLE = 1.0 - 1e-9

#: How far below the hottest, in TS, a pixel may be by a few values of gamma and still be the
#: hottest by all: so much, and this part of TS (seen: 0.3, and 1% of large ones).
_ROUGHLY = 1.0, 0.05


@dataclass(frozen=True)
class Region:
    """Pixels where the source may be.

    Parameters
    ----------
    pixels
        In ICRS.
    ra, dec
        Their middles (rad), or where the prior map has most of a pixel's probability in a part of
        it: the middle of that part.
    log_prior
        Ln of the prior's probability of each.
    partly
        Whether the prior map is zero in a part of each.
    """

    pixels: Pixels
    ra: Floats
    dec: Floats
    log_prior: Floats
    partly: np.ndarray

    @classmethod
    def of(cls, pixels: Pixels, data: PointSourceData, max_dec: float) -> Region:
        """Those of some pixels that have a prior, within a declination (rad), and are seen."""
        prior_map = data.prior_map
        held = pixels.solid_angle / (4.0 * np.pi)
        if prior_map is not None:
            held = prior_map.within(pixels)
        pixels, held = pixels.kept(held > 0), held[held > 0]
        ra, dec = pixels.positions()
        partly = np.zeros(len(pixels), dtype=bool)
        if prior_map is not None:
            partly = prior_map.covered(pixels) < _WHOLE
            ra[partly], dec[partly] = prior_map.middles(pixels.kept(partly))
        some = (np.abs(dec) <= max_dec) & data.accepts(dec)
        return cls(pixels, ra, dec, np.log(held), partly).kept(some)

    @classmethod
    def grid(cls, nside: int, data: PointSourceData, max_dec: float) -> Region:
        """Those of all the sky.

        Raises
        ------
        DataError
            There is none.
        """
        found = cls.of(Pixels.grid(nside), data, max_dec)
        if not len(found):
            what = "the sky" if data.prior_map is None else "the prior map"
            raise DataError(
                f"nothing of {what} is both within {np.degrees(max_dec):g} deg of declination 0 "
                "and seen by the detector"
            )
        return found

    def __len__(self) -> int:
        return len(self.ra)

    def kept(self, which: np.ndarray) -> Region:
        """Some of the pixels."""
        arrays = (x[which] for x in (self.ra, self.dec, self.log_prior, self.partly))
        return Region(self.pixels.kept(which), *arrays)

    def joined(self, other: Region) -> Region:
        """These pixels, then the other ones."""
        names = ("ra", "dec", "log_prior", "partly")
        both = (np.concatenate([getattr(self, name), getattr(other, name)]) for name in names)
        return Region(self.pixels.joined(other.pixels), *both)

    @property
    def log_density(self) -> Floats:
        """Ln of the prior's density in each, per steradian."""
        return np.asarray(self.log_prior - np.log(self.pixels.solid_angle))

    def with_prior(self, ts: Floats, log_largest: float | None = None) -> Floats:
        """TS + 2 ln(w / max w), w being densities, of which the largest may be another region's."""
        density = self.log_density
        largest = density.max() if log_largest is None else log_largest
        return np.asarray(ts + 2.0 * (density - largest))

    def hottest(self, maxima: Maxima, log_largest: float | None = None) -> Hottest:
        """The pixel of the largest test statistic, the prior's part with it as in `with_prior`."""
        ranked = self.with_prior(maxima.ts, log_largest)
        best = int(ranked.argmax())
        each = (self.ra, self.dec, maxima.ts, maxima.ns, maxima.gamma, ranked)
        return Hottest(*(float(x[best]) for x in each))

    def hottest_of(self, sky: Sky) -> Hottest:
        """The same, where the pixels' maxima are not asked for: most are found roughly alone."""
        maxima = sky.maxima(self.ra, self.dec, roughly=True)
        ranked = self.with_prior(maxima.ts)
        apart, part = _ROUGHLY
        close = np.flatnonzero(ranked >= ranked.max() - apart - part * maxima.ts.max())
        found = sky.maxima(self.ra[close], self.dec[close])
        maxima.ts[close], maxima.ns[close], maxima.gamma[close] = found.ts, found.ns, found.gamma
        return self.hottest(maxima)


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
