"""A scan of the sky: the best source at every position, beside what a prior says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.background import Smoothing
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.scanning import CUT, Maxima, Sky
from pyxstan.point_source.sky import Pixels, PriorMap
from pyxstan.point_source.tables import tables

#: Positions at which the cut is compared with none.
_CHECKED = 20


@dataclass(frozen=True)
class Scan:
    """Test statistics over the sky.

    Parameters
    ----------
    nside
        Of the pixels, in nested order.
    number
        Nested numbers of the pixels that were scanned.
    ra, dec
        Their middles (ICRS, deg).
    maxima
        TS, ns and gamma of each.
    with_prior
        TS + 2 ln(w / max w) of each, by prior map.
    cut_error
        What the cut of far events costs in TS, at the hottest positions.
    """

    nside: int
    number: np.ndarray
    ra: Floats
    dec: Floats
    maxima: Maxima
    with_prior: Mapping[str, Floats]
    cut_error: float
    notes: tuple[str, ...] = ()

    def hottest(self, prior: str | None = None) -> dict[str, float]:
        """The best position: ra, dec (deg), ts, ns, gamma, and the ts with a prior map."""
        ranked = self.maxima.ts if prior is None else self.with_prior[prior]
        best = int(np.argmax(ranked))
        found = {
            "ra": self.ra[best],
            "dec": self.dec[best],
            "ts": self.maxima.ts[best],
            "ns": self.maxima.ns[best],
            "gamma": self.maxima.gamma[best],
        }
        if prior is not None:
            found["ts_with_prior"] = ranked[best]
        return {name: float(value) for name, value in found.items()}

    def write(self, path: Path | str) -> None:
        """Write a FITS table of the scanned pixels: explicit, nested, as HEALPix readers take it."""
        from astropy.io import fits

        from pyxstan.output import replacing

        columns: dict[str, tuple[str, str, Any]] = {
            "PIXEL": ("K", "", self.number),
            "TS": ("D", "", self.maxima.ts),
            "NS": ("D", "", self.maxima.ns),
            "GAMMA": ("D", "", self.maxima.gamma),
            "RA": ("D", "deg", self.ra),
            "DEC": ("D", "deg", self.dec),
        }
        for name, values in self.with_prior.items():
            columns[f"TS_{name}"] = ("D", "", values)
        table = fits.BinTableHDU.from_columns(
            [
                fits.Column(name, kind, unit=unit or None, array=values)
                for name, (kind, unit, values) in columns.items()
            ],
            name="SCAN",
        )
        table.header.update(
            PIXTYPE="HEALPIX", ORDERING="NESTED", NSIDE=self.nside, INDXSCHM="EXPLICIT",
            OBJECT="PARTIAL", COORDSYS="C", CUTERR=self.cut_error,
        )  # fmt: skip
        with replacing(Path(path)) as staged:
            fits.HDUList([fits.PrimaryHDU(), table]).writeto(staged, overwrite=True)


def scan(
    data: PointSourceData,
    prior_maps: Mapping[str, PriorMap] | None = None,
    *,
    nside: int = 64,
    max_dec: float = 85.0,
    gamma: tuple[float, float] = (1.0, 4.0),
    smoothing: Smoothing | None = None,
    threads: int | None = None,
) -> Scan:
    """Maximise the likelihood over ns and gamma at every pixel.

    Parameters
    ----------
    prior_maps
        By name; the data's own prior map is called ``prior``. Pixels where every map is zero aren't
        scanned.
    max_dec
        Declination up to which is scanned, either way (deg).

    Raises
    ------
    DataError
        A map leaves nothing to scan.
    """
    maps = dict(prior_maps or {})
    if data.prior_map is not None:
        maps.setdefault("prior", data.prior_map)
    pixels = Pixels.grid(nside)
    ra, dec = pixels.positions()
    inside = np.abs(np.degrees(dec)) < max_dec
    weights = {name: each.within(pixels) for name, each in maps.items()}
    if maps:
        inside &= np.any([weight > 0 for weight in weights.values()], axis=0)
    if not inside.any():
        raise DataError(f"no pixel to scan within {max_dec:g} deg of declination 0")
    made = tables(data, smoothing, gamma)
    ra, dec = ra[inside], dec[inside]
    found = Sky(made, threads=threads).maxima(ra, dec)
    with_prior = {}
    for name, weight in weights.items():
        with np.errstate(divide="ignore"):
            ratio = np.log(weight[inside] / weight.max())
        with_prior[name] = found.ts + 2.0 * ratio
    hottest = np.argsort(found.ts)[-_CHECKED:]
    exact = Sky(made, cut=np.inf, threads=threads).maxima(ra[hottest], dec[hottest])
    cost = float(np.abs(exact.ts - found.ts[hottest]).max())
    notes = (
        *(note for each in maps.values() for note in each.notes),
        f"events count out to {CUT:g} of their errors: off by {cost:.1g} in TS at the "
        f"{len(hottest)} hottest positions",
    )
    return Scan(
        nside,
        pixels.number[inside],
        np.degrees(ra),
        np.degrees(dec),
        found,
        with_prior,
        cost,
        notes,
    )
