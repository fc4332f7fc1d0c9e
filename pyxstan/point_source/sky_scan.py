"""A scan of the sky: the best source at every position, beside what a prior says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.background import Smoothing
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.doubts import doubts, remarks
from pyxstan.point_source.null_distribution import NullDistribution
from pyxstan.point_source.region import Hottest, Region
from pyxstan.point_source.scanning import Maxima, Sky
from pyxstan.point_source.sky import PriorMap
from pyxstan.point_source.tables import CUT, Tables, tables
from pyxstan.point_source.trial_skies import empty_skies

#: Positions at which the cut is compared with none.
_CHECKED = 20
#: The part of a source's events that a smearing matrix may lack without a word.
_UNSMEARED = 0.01
#: Pixels of the scrambled skies that p-values come from, how far beyond the scanned ones they reach
#: (rad), and in how many bands of declination.
_NULL_NSIDE, _NULL_REACH, _NULL_BANDS = 32, 0.05, 20
#: Of a pixel's side: a typical error below that is small.
_SMALL = 0.4


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
    minus_log10_p
        -log10 of each pixel's p-value, as if it were the only one; none: not asked for.
    notes
        What was decided for the user.
    """

    nside: int
    region: Region
    maxima: Maxima
    with_prior: Mapping[str, Floats]
    cut_error: float
    minus_log10_p: Floats | None = None
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
        if self.minus_log10_p is not None:
            columns["MLOG10P"] = ("D", "", self.minus_log10_p)
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
    skies: int = 0,
    seed: int = 0,
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
    skies, seed
        How many scrambled skies p-values come from, by declination; 0: there are none.
    threads
        By default as many as there are cores.

    Raises
    ------
    DataError
        A map leaves nothing to scan, or the data have a catalogue.
    """
    if data.catalogue is not None:
        raise DataError("a catalogue's positions are known: scan looks for one; take trials or fit")
    if skies < 0 or seed < 0:
        raise DataError(f"skies {skies} and seed {seed}: expected whole numbers from 0 up")
    maps = dict(prior_maps or {})
    if data.prior_map is not None:
        maps.setdefault("prior", data.prior_map)
    everywhere = replace(data, prior_map=None)
    region = Region.grid(nside, everywhere, np.radians(max_dec))
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
    said = (
        *notes(everywhere),
        *_small_errors(data, nside),
        *(note for each in maps.values() for note in each.notes),
        f"events count out to {CUT:g} of their errors: off by {cost:.1g} in TS at the hottest "
        "positions",
    )
    p = None
    if skies:
        p = _minus_log10_p(data, made, region, found.ts, smoothing, skies, seed, threads)
    return Scan(nside, region, found, with_prior, cost, p, said)


def notes(data: PointSourceData) -> list[str]:
    """What was decided for the user in reading, and of energies."""
    unsmeared = [sample.name for sample in data.samples if sample.smearing is None]
    of_energies = (
        f"{', '.join(unsmeared)}: without a smearing matrix reconstructed energies are taken for "
        "true ones"
    )
    lost = {sample.name: _unsmeared_part(sample) for sample in data.samples}
    return [
        *data.notes,
        *(note for sample in data.samples for note in sample.notes),
        *(() if data.prior_map is None else data.prior_map.notes),
        *remarks(data),
        *doubts(data),
        *([of_energies] if unsmeared else []),
        *(
            f"{name}: the smearing matrix has nothing for {part:.2g} of the events of a source of "
            "gamma 2 to 3: their energies are taken for those of the others"
            for name, part in lost.items()
            if part > _UNSMEARED
        ),
    ]


def _small_errors(data: PointSourceData, nside: int) -> list[str]:
    """Of errors so small that the middles of pixels miss sources at their edges."""
    side = np.sqrt(np.pi / 3.0) / nside
    typical = {each.name: float(np.median(each.sigma)) for each in data.samples}
    return [
        f"{name}: half of the angular errors are below {np.degrees(error):.2g} deg, pixels of "
        f"nside {nside} are {np.degrees(side):.2g} deg wide: a source near an edge may be missed"
        for name, error in typical.items()
        if error < _SMALL * side
    ]


def _unsmeared_part(sample: EventSample) -> float:
    """The part of a source's events whose true energies a smearing matrix doesn't have."""
    if sample.smearing is None:
        return 0.0
    low, high = sample.smearing.log10_energy[[0, -1]]
    return max(sample.area.part_beyond(low, high, gamma) for gamma in (2.0, 3.0))


def _minus_log10_p(
    data: PointSourceData,
    made: Tables,
    region: Region,
    ts: Floats,
    smoothing: Smoothing | None,
    skies: int,
    seed: int,
    threads: int | None,
) -> Floats:
    """Of each pixel, by the test statistics that scrambled skies have near its declination."""
    grid = Region.grid(_NULL_NSIDE, replace(data, prior_map=None), 0.5 * np.pi)
    low, high = region.dec.min() - _NULL_REACH, region.dec.max() + _NULL_REACH
    grid = grid.kept((grid.dec >= low) & (grid.dec <= high))
    drawn = []
    for each in empty_skies(data, made, smoothing or Smoothing(), skies, seed, (low, high)):
        sky = Sky(each, threads=threads, declinations=(low, high))
        drawn.append(sky.maxima(grid.ra, grid.dec).ts)
    null = np.array(drawn)
    edges = np.linspace(np.sin(grid.dec.min()), np.sin(grid.dec.max()), _NULL_BANDS + 1)[1:-1]
    band, own = (np.searchsorted(edges, np.sin(dec)) for dec in (grid.dec, region.dec))
    found = np.zeros(len(region))
    for k in np.unique(own):
        nearest = np.unique(band)[np.abs(np.unique(band) - k).argmin()]
        distribution = NullDistribution.of(null[:, band == nearest].ravel())
        found[own == k] = distribution.minus_log10_p(ts[own == k])
    return found


def cut_error(made: Tables, region: Region, found: Maxima, threads: int | None = None) -> float:
    """What the cut of far events costs in TS, at the hottest positions."""
    hottest = np.argsort(found.ts)[-_CHECKED:]
    exact = Sky(made, cut=np.inf, threads=threads)
    ts = exact.maxima(region.ra[hottest], region.dec[hottest]).ts
    return float(np.abs(ts - found.ts[hottest]).max())
