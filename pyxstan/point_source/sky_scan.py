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
from pyxstan.point_source.region import Hottest, Region
from pyxstan.point_source.scanning import CUT, Maxima, Sky
from pyxstan.point_source.sky import PriorMap
from pyxstan.point_source.tables import Tables, tables

#: Positions at which the cut is compared with none.
_CHECKED = 20


@dataclass(frozen=True)
class Scan:
    """Test statistics over the sky.

    Parameters
    ----------
    nside
        Of the pixels, in nested order.
    region
        The pixels that were scanned.
    maxima
        TS, ns and gamma of each.
    with_prior
        TS + 2 ln(w / max w) of each, by prior map.
    cut_error
        What the cut of far events costs in TS, at the hottest positions.
    notes
        What was decided for the user.
    """

    nside: int
    region: Region
    maxima: Maxima
    with_prior: Mapping[str, Floats]
    cut_error: float
    notes: tuple[str, ...] = ()

    def hottest(self, prior: str | None = None) -> Hottest:
        """The best position, alone or with a prior map."""
        ranked = self.maxima.ts if prior is None else self.with_prior[prior]
        best = int(np.argmax(ranked))
        found = self.maxima
        each = (self.region.ra, self.region.dec, found.ts, found.ns, found.gamma, ranked)
        return Hottest(*(float(x[best]) for x in each))

    def write(self, path: Path | str) -> None:
        """Write a FITS table of the scanned pixels, explicit and nested, as HEALPix readers do."""
        from astropy.io import fits

        from pyxstan.output import replacing

        columns: dict[str, tuple[str, str, Any]] = {
            "PIXEL": ("K", "", self.region.pixels.number),
            "TS": ("D", "", self.maxima.ts),
            "NS": ("D", "", self.maxima.ns),
            "GAMMA": ("D", "", self.maxima.gamma),
            "RA": ("D", "deg", np.degrees(self.region.ra)),
            "DEC": ("D", "deg", np.degrees(self.region.dec)),
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
    gamma
        Ends of the spectral index, a whole number of steps of 0.25 apart.
    smoothing
        Of the background.
    threads
        By default as many as there are cores.

    Raises
    ------
    DataError
        A map leaves nothing to scan.
    """
    maps = dict(prior_maps or {})
    if data.prior_map is not None:
        maps.setdefault("prior", data.prior_map)
    region = Region.grid(nside, None, np.radians(max_dec))
    weights = {name: each.within(region.pixels) for name, each in maps.items()}
    if maps:
        here = np.any([weight > 0 for weight in weights.values()], axis=0)
        region, weights = region.kept(here), {name: w[here] for name, w in weights.items()}
    if not len(region) or not all(weight.any() for weight in weights.values()):
        raise DataError(f"no pixel to scan within {max_dec:g} deg of declination 0")
    made = tables(data, smoothing, gamma)
    found = Sky(made, threads=threads).maxima(region.ra, region.dec)
    with np.errstate(divide="ignore"):
        with_prior = {
            name: found.ts + 2.0 * np.log(weight / weight.max()) for name, weight in weights.items()
        }
    cost = cut_error(made, region, found, threads)
    notes = (
        *data.notes,
        *(note for sample in data.samples for note in sample.notes),
        *(note for each in maps.values() for note in each.notes),
        f"events count out to {CUT:g} of their errors: off by {cost:.1g} in TS at the hottest "
        "positions",
    )
    return Scan(nside, region, found, with_prior, cost, notes)


def cut_error(made: Tables, region: Region, found: Maxima, threads: int | None = None) -> float:
    """What the cut of far events costs in TS, at the hottest positions."""
    hottest = np.argsort(found.ts)[-_CHECKED:]
    exact = Sky(made, cut=np.inf, threads=threads)
    ts = exact.maxima(region.ra[hottest], region.dec[hottest]).ts
    return float(np.abs(ts - found.ts[hottest]).max())
