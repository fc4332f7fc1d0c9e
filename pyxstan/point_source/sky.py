"""The sky in HEALPix pixels: grids to scan, and maps of where a source may be.

A map is kept in pixels of any size, as multi-order maps have them (nested numbers at orders of
their own), in the frame that it was made in. Positions are equatorial (ICRS, rad).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import astropy_healpix as ah
import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats, Integers

#: The finest order whose nested numbers fit into 64 bits, with room: what lookups are done in.
_FINEST = 29
#: The finest order of a map that is turned into another frame.
_TURNED = 9
FRAMES = ("icrs", "galactic", "barycentrictrueecliptic")


@dataclass(frozen=True)
class Pixels:
    """Pixels of the sky, disjoint, by order and nested number."""

    order: Integers
    number: Integers

    @classmethod
    def grid(cls, nside: int) -> Pixels:
        """All of one size, in nested order."""
        order = order_of(nside)
        numbers = np.arange(12 * nside**2, dtype=np.int64)
        return cls(np.full(len(numbers), order), numbers)

    @staticmethod
    def containing(ra: Floats, dec: Floats, nside: int) -> Integers:
        """Nested numbers of the pixels that positions (rad) are in."""
        from astropy import units as u

        return np.asarray(ah.lonlat_to_healpix(ra * u.rad, dec * u.rad, nside, order="nested"))

    def __len__(self) -> int:
        return len(self.order)

    def kept(self, which: np.ndarray) -> Pixels:
        """Some of them."""
        return Pixels(self.order[which], self.number[which])

    @cached_property
    def solid_angle(self) -> Floats:
        """In steradian."""
        return np.asarray(np.pi / (3.0 * 4.0**self.order))

    @cached_property
    def first(self) -> Integers:
        """The first number at the finest order."""
        return np.asarray(self.number << (2 * (_FINEST - self.order)))

    @cached_property
    def finest(self) -> Integers:
        """How many pixels of the finest order each has."""
        return np.asarray(np.int64(1) << (2 * (_FINEST - self.order)))

    def positions(
        self, dx: Floats | float = 0.5, dy: Floats | float = 0.5
    ) -> tuple[Floats, Floats]:
        """Longitude and latitude (rad) of the middles, or of places inside (0 to 1)."""
        x, y = (np.broadcast_to(np.asarray(d, dtype=float), self.order.shape) for d in (dx, dy))
        found = np.empty((2, len(self)))
        for order in np.unique(self.order):
            of = self.order == order
            lonlat = ah.healpix_to_lonlat(self.number[of], 2**order, x[of], y[of], order="nested")
            found[:, of] = [angle.rad for angle in lonlat]
        return found[0], found[1]

    def joined(self, other: Pixels) -> Pixels:
        """These, then the other ones."""
        return Pixels(
            np.concatenate([self.order, other.order]), np.concatenate([self.number, other.number])
        )

    def split(self) -> Pixels:
        """Each into its four parts, one after the other."""
        order = np.repeat(self.order + 1, 4)
        return Pixels(order, np.repeat(4 * self.number, 4) + np.tile(np.arange(4), len(self)))


def order_of(nside: int) -> int:
    """The order of an nside, or a `DataError`."""
    order = int(nside).bit_length() - 1
    if nside < 1 or 2**order != nside or order > _FINEST:
        raise DataError(f"nside {nside}: expected a power of two up to 2^{_FINEST}")
    return order


@dataclass(frozen=True)
class PriorMap:
    """Probability of a source's position.

    Parameters
    ----------
    pixels
        Disjoint; where there are none the source can't be.
    probability
        Of each, shape (pixels,); normalised here, with a note if it wasn't.
    frame
        ``icrs``, ``galactic`` or ``barycentrictrueecliptic``.
    source
        Where it comes from, for messages.
    """

    pixels: Pixels
    probability: Floats
    frame: str = "icrs"
    source: str = "prior map"
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        p = np.asarray(self.probability, dtype=float)
        if self.frame not in FRAMES:
            raise DataError(f"{self.source}: frame {self.frame}, expected {', '.join(FRAMES)}")
        if p.shape != (len(self.pixels),):
            raise DataError(f"{self.source}: {p.size} values for {len(self.pixels)} pixels")
        bad = np.flatnonzero(~np.isfinite(p) | (p < 0))
        if bad.size:
            raise DataError(
                f"{self.source}: pixel {bad[0]} has {p[bad[0]]:g}, expected probabilities"
            )
        total = float(p.sum())
        if total <= 0:
            raise DataError(f"{self.source}: every pixel is zero: the source can be nowhere")
        order = np.argsort(self.pixels.first, kind="stable")
        pixels = self.pixels.kept(order)
        if ((pixels.first + pixels.finest)[:-1] > pixels.first[1:]).any():
            raise DataError(f"{self.source}: pixels overlap")
        notes = self.notes
        if abs(total - 1.0) > 1e-3:
            notes = (*notes, f"{self.source}: sums to {total:.6g}, divided by that")
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "probability", p[order] / total)
        object.__setattr__(self, "notes", notes)

    @classmethod
    def from_array(
        cls, values: Floats, *, nested: bool = False, frame: str = "icrs", source: str = "prior map"
    ) -> PriorMap:
        """A map of one nside, ring order unless said otherwise."""
        values = np.asarray(values, dtype=float)
        nside = round(float(np.sqrt(values.size / 12.0)))
        if values.ndim != 1 or 12 * nside**2 != values.size:
            raise DataError(f"{source}: {values.size} values are no HEALPix map of all the sky")
        order_of(nside)
        if not nested:
            values = values[ah.HEALPix(nside, "ring").nested_to_ring(np.arange(values.size))]
        return cls(Pixels.grid(nside), values, frame, source)

    @classmethod
    def from_function(
        cls, density: Callable[[Floats, Floats], Floats], nside: int = 64, frame: str = "icrs"
    ) -> PriorMap:
        """A map of a function of longitude and latitude (rad)."""
        pixels = Pixels.grid(nside)
        values = np.asarray(density(*pixels.positions()), dtype=float)
        return cls(pixels, values / values.sum(), frame)

    @classmethod
    def gaussian(
        cls, ra: float, dec: float, sigma: float, floor: float = 0.0, nside: int = 64
    ) -> PriorMap:
        """Round about a position, exp(-distance^2 / (2 sigma^2)), at least `floor` (deg)."""
        there = np.radians([ra, dec, sigma])

        def density(lon: Floats, lat: Floats) -> Floats:
            away = separation(lon, lat, there[0], there[1])
            return np.asarray(np.maximum(np.exp(-0.5 * (away / there[2]) ** 2), floor))

        return cls.from_function(density, nside)

    def within(self, pixels: Pixels) -> Floats:
        """Probability of a source inside of pixels (ICRS, of any order)."""
        if self.frame != "icrs":
            return self.equatorial.within(pixels)
        return self._summed(self.probability, pixels)

    def covered(self, pixels: Pixels) -> Floats:
        """The part of each pixel (ICRS, of any order) where a source may be."""
        if self.frame != "icrs":
            return self.equatorial.covered(pixels)
        some = np.where(self.probability > 0, self.pixels.solid_angle, 0.0)
        return self._summed(some, pixels) / pixels.solid_angle

    def middles(self, pixels: Pixels) -> tuple[Floats, Floats]:
        """Right ascension and declination (rad) of the prior's middle within each pixel."""
        if self.frame != "icrs":
            return self.equatorial.middles(pixels)
        lon, lat = self.pixels.positions()
        of_map = np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)
        x, y, z = (self._summed(self.probability * axis, pixels) for axis in of_map)
        return np.arctan2(y, x) % (2.0 * np.pi), np.arctan2(z, np.hypot(x, y))

    def _summed(self, values: Floats, pixels: Pixels) -> Floats:
        """Sums of something that the map's pixels have over other pixels (ICRS)."""
        mine = self.pixels
        first, last = pixels.first, pixels.first + pixels.finest
        # a map's pixel is inside of a pixel, or has it inside, or elsewhere
        low, high = (np.searchsorted(mine.first, n, side="left") for n in (first, last))
        found = np.zeros(len(pixels))
        some = high > low
        if some.any():
            ends = np.stack([low[some], high[some]], axis=1).ravel()
            found[some] = np.add.reduceat(np.append(values, 0.0), ends)[::2]
        around = np.searchsorted(mine.first, first, side="right") - 1
        part = pixels.finest / mine.finest[np.maximum(around, 0)]
        held = (around >= 0) & (first - mine.first[around] < mine.finest[around]) & (part < 1.0)
        return np.where(held, values[around] * part, found)

    @cached_property
    def equatorial(self) -> PriorMap:
        """The map in ICRS pixels, of about the size of its own.

        Raises
        ------
        DataError
            It is too sharp to be turned.
        """
        if self.frame == "icrs":
            return self
        order = min(int(self.pixels.order.max()) + 1, _TURNED)
        pixels = Pixels.grid(2**order)
        found = self.density(*pixels.positions()) * pixels.solid_angle
        total = float(found.sum())
        if abs(total - 1.0) > 0.01:
            raise DataError(
                f"{self.source}: a map in {self.frame} coordinates with details below "
                f"{np.degrees(np.sqrt(pixels.solid_angle[0])):.2f} deg can't be turned: "
                "give it in equatorial ones"
            )
        some = found > 0
        return PriorMap(pixels.kept(some), found[some] / total, "icrs", self.source)

    def density(self, ra: Floats, dec: Floats) -> Floats:
        """Probability per steradian at positions (ICRS, rad)."""
        lon, lat = self._own(ra, dec)
        number = ah.lonlat_to_healpix(lon, lat, 2**_FINEST, order="nested")
        at = np.searchsorted(self.pixels.first, number, side="right") - 1
        inside = (at >= 0) & (number - self.pixels.first[at] < self.pixels.finest[at])
        per_sr = self.probability / self.pixels.solid_angle
        return np.where(inside, per_sr[np.maximum(at, 0)], 0.0)

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Positions (ICRS, rad), anywhere inside of pixels."""
        chosen = rng.choice(len(self.pixels), count, p=self.probability)
        lon, lat = self.pixels.kept(chosen).positions(*rng.random((2, count)))
        return _to_icrs(lon, lat, self.frame)

    def icrs(self) -> tuple[Floats, Floats]:
        """Middles of the pixels (ICRS, rad)."""
        return _to_icrs(*self.pixels.positions(), self.frame)

    def _own(self, ra: Floats, dec: Floats) -> tuple[object, object]:
        from astropy.coordinates import SkyCoord

        at = SkyCoord(ra, dec, unit="rad", frame="icrs")
        if self.frame != "icrs":
            at = at.transform_to(self.frame)
        return at.spherical.lon, at.spherical.lat


def _to_icrs(lon: Floats, lat: Floats, frame: str) -> tuple[Floats, Floats]:
    if frame == "icrs":
        return lon, lat
    from astropy.coordinates import SkyCoord

    at = SkyCoord(lon, lat, unit="rad", frame=frame).icrs
    return np.asarray(at.ra.rad), np.asarray(at.dec.rad)


def separation(ra: Floats, dec: Floats, ra0: Floats | float, dec0: Floats | float) -> Floats:
    """Angle between positions (rad), exact for small ones."""
    from astropy.coordinates import angular_separation

    return np.asarray(angular_separation(ra, dec, ra0, dec0))
