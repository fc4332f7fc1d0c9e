"""Prior maps from files: every layout of HEALPix says the same sky, and what is refused."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy_healpix import HEALPix, level_ipix_to_uniq, nside_to_pixel_area, uniq_to_level_ipix

from pyxstan.errors import DataError
from pyxstan.point_source.maps import read_prior_map
from pyxstan.point_source.sky import PriorMap

NSIDE = 16
PIXELS = 12 * NSIDE**2
#: In ring order and nested order, made from positions and not from one another.
RING, NESTED = (HEALPix(NSIDE, order) for order in ("ring", "nested"))
PIXEL_AREA = nside_to_pixel_area(NSIDE).to_value(u.sr)


def bump(lon: Any, lat: Any) -> Any:
    """Something without a symmetry, in the map's own frame."""
    at = np.radians([200.0, -25.0])
    away = np.hypot((lon.rad - at[0]) * np.cos(lat.rad), lat.rad - at[1])
    return np.exp(-2 * away**2) + 0.1 * (1 + np.sin(lat.rad)) + 0.05 * np.cos(lon.rad)


def values(grid: HEALPix) -> Any:
    found = bump(*grid.healpix_to_lonlat(np.arange(PIXELS)))
    return found / found.sum()


RNG = np.random.default_rng(2)
PLACES = SkyCoord(
    RNG.uniform(0, 360, 400), np.degrees(np.arcsin(RNG.uniform(-1, 1, 400))), unit="deg"
)


def expected(frame: str = "icrs") -> Any:
    """Density at the places, by astropy-healpix and in ring order."""
    at = PLACES.transform_to(frame).spherical
    return values(RING)[RING.lonlat_to_healpix(at.lon, at.lat)] / PIXEL_AREA


def table(columns: dict[str, Any], units: dict[str, str] | None = None, **header: Any) -> bytes:
    made = []
    for name, column in columns.items():
        column = np.asarray(column)
        length = column.shape[1] if column.ndim == 2 else ""
        kind = {"f8": "D", "f4": "E", "i8": "K", "i4": "J", "b1": "L"}.get(column.dtype.str[1:])
        code = f"{length}{kind}" if kind else "10A"
        made.append(fits.Column(name, code, array=column, unit=(units or {}).get(name)))
    hdu = fits.BinTableHDU.from_columns(made)
    for keyword, value in header.items():
        if value is not None:
            hdu.header[keyword] = value
    file = io.BytesIO()
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(file)
    return file.getvalue()


HEADER = {"PIXTYPE": "HEALPIX", "NSIDE": NSIDE, "COORDSYS": "C", "INDXSCHM": "IMPLICIT"}
EXPLICIT = {**HEADER, "INDXSCHM": "EXPLICIT", "OBJECT": "PARTIAL"}


def multi_order() -> dict[str, Any]:
    """All of the sky, all pixels of one order, in no order."""
    fine = values(NESTED).copy()
    level = np.full(PIXELS, NSIDE.bit_length() - 1)
    uniq = level_ipix_to_uniq(level, np.arange(PIXELS))
    order = RNG.permutation(PIXELS)
    return {"UNIQ": uniq[order].astype(np.int64), "PROBDENSITY": fine[order] / PIXEL_AREA}


def numpy_file(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


MIXED = RNG.permutation(PIXELS)
UNIQ = multi_order()
MAPS: dict[str, tuple[bytes, str]] = {
    "ring": (table({"PROB": values(RING)}, ORDERING="RING", **HEADER), "icrs"),
    "nested": (table({"PROB": values(NESTED)}, ORDERING="NESTED", **HEADER), "icrs"),
    "rows of 1024": (
        table({"PROB": values(RING).reshape(-1, 1024)}, ORDERING="RING", **HEADER), "icrs"
    ),
    "galactic": (
        table({"PROB": values(RING)}, ORDERING="RING", **{**HEADER, "COORDSYS": "G"}), "galactic"
    ),
    "ecliptic": (
        table({"PROB": values(NESTED)}, ORDERING="NESTED", **{**HEADER, "COORDSYS": "E"}),
        "barycentrictrueecliptic",
    ),
    "explicit ring": (
        table({"PIXEL": MIXED, "PROB": values(RING)[MIXED]}, ORDERING="RING", **EXPLICIT), "icrs"
    ),
    "explicit nested": (
        table({"PIXEL": MIXED, "SIGNAL": values(NESTED)[MIXED]}, ORDERING="NESTED", **EXPLICIT),
        "icrs",
    ),
    "explicit in rows": (
        table(
            {"PIXEL": MIXED.reshape(-1, 1024), "PROB": values(RING)[MIXED].reshape(-1, 1024)},
            ORDERING="RING", **EXPLICIT,
        ),
        "icrs",
    ),
    "explicit, numbers as floats": (
        table({"PIXEL": MIXED.astype(float), "PROB": values(RING)[MIXED]}, ORDERING="RING",
              **EXPLICIT),
        "icrs",
    ),
    "density": (
        table({"DISTMU": values(RING), "PROBDENSITY": values(RING) / PIXEL_AREA}, ORDERING="RING",
              **HEADER),
        "icrs",
    ),
    "density per square degree": (
        table({"PROBDENSITY": values(RING) / nside_to_pixel_area(NSIDE).to_value(u.deg**2)},
              {"PROBDENSITY": "deg-2"}, ORDERING="RING", **HEADER),
        "icrs",
    ),
    "multi-order": (
        table(UNIQ, {"PROBDENSITY": "sr-1"}, PIXTYPE="HEALPIX", ORDERING="NUNIQ", COORDSYS="C"),
        "icrs",
    ),
    "multi-order without keywords": (table(UNIQ, COORDSYS="C"), "icrs"),
    "multi-order, probabilities": (
        table({"UNIQ": UNIQ["UNIQ"], "PROB": UNIQ["PROBDENSITY"] * PIXEL_AREA}, COORDSYS="G"),
        "galactic",
    ),
    "in lower case": (
        table({"prob": values(NESTED)}, ORDERING="nested", PIXTYPE="HEALPIX", NSIDE=NSIDE,
              COORDSYS="Celestial"),
        "icrs",
    ),
    "NumPy": (numpy_file(values(RING)), "icrs"),
    "the unnormalised": (numpy_file(7 * values(RING)), "icrs"),
}  # fmt: skip


def read(content: bytes, folder: Path, name: str = "map.fits", **keywords: Any) -> PriorMap:
    file = folder / name
    file.write_bytes(content)
    return read_prior_map(file, **keywords)


@pytest.mark.parametrize(("content", "frame"), MAPS.values(), ids=MAPS)
def test_layouts(tmp_path: Path, content: bytes, frame: str) -> None:
    prior = read(content, tmp_path)
    assert prior.frame == frame
    found = prior.density(PLACES.ra.rad, PLACES.dec.rad)
    np.testing.assert_allclose(found, expected(frame), rtol=1e-12)
    packed = read(gzip.compress(content), tmp_path)
    np.testing.assert_array_equal(packed.density(PLACES.ra.rad, PLACES.dec.rad), found)


def test_pixels_of_several_orders(tmp_path: Path) -> None:
    """Orders 0, 1 and 3 together, the density of each place by brute force."""
    uniq = np.concatenate(
        [
            level_ipix_to_uniq(0, np.arange(4, 12)),
            level_ipix_to_uniq(1, np.arange(4, 16)),
            level_ipix_to_uniq(3, np.arange(4 * 4**2)),
        ]
    ).astype(np.int64)
    density = RNG.uniform(0.1, 1.0, len(uniq))
    solid = nside_to_pixel_area(2 ** uniq_to_level_ipix(uniq)[0]).to_value(u.sr)
    assert solid.sum() == pytest.approx(4 * np.pi)
    density /= (density * solid).sum()
    prior = read(table({"UNIQ": uniq, "PROBDENSITY": density}, COORDSYS="C"), tmp_path)
    assert prior.notes == ()
    of = dict(zip(uniq.tolist(), density, strict=True))
    for place, found in zip(PLACES, prior.density(PLACES.ra.rad, PLACES.dec.rad), strict=True):
        at = [
            of[int(number)]
            for order in (0, 1, 3)
            if (
                number := level_ipix_to_uniq(
                    order, HEALPix(2**order, "nested").lonlat_to_healpix(place.ra, place.dec)
                )
            )
            in of
        ]
        assert at == [pytest.approx(found, rel=1e-12)]


def test_the_finest_pixels(tmp_path: Path) -> None:
    """Numbers that floats can't tell apart."""
    last = 12 * 4**29 - 1
    uniq = np.array([4 + 3, 4 * 4**29 + last, 4 * 4**29 + last - 1, 4 * 4**28], dtype=np.int64)
    prior = read(table({"UNIQ": uniq, "PROB": np.full(4, 0.25)}, COORDSYS="C"), tmp_path)
    assert prior.pixels.order.tolist() == [28, 0, 29, 29]
    assert prior.pixels.number.tolist() == [0, 3, last - 1, last]


def test_a_part_of_the_sky(tmp_path: Path) -> None:
    some = np.sort(RNG.choice(PIXELS, 50, replace=False))
    content = table({"PIXEL": some, "PROB": np.full(50, 0.02)}, ORDERING="RING", **EXPLICIT)
    prior = read(content, tmp_path)
    inside = np.isin(RING.lonlat_to_healpix(PLACES.ra, PLACES.dec), some)
    found = prior.density(PLACES.ra.rad, PLACES.dec.rad)
    np.testing.assert_allclose(found, np.where(inside, 0.02 / PIXEL_AREA, 0.0))
    assert 0 < inside.sum() < 50


def test_unseen_pixels_are_zero(tmp_path: Path) -> None:
    seen = values(RING).astype(np.float32)
    seen[:100] = -1.6375e30
    prior = read(table({"PROB": seen}, ORDERING="RING", **HEADER), tmp_path)
    assert "100 unseen pixels are taken for zero" in prior.notes[0]
    number = RING.lonlat_to_healpix(PLACES.ra, PLACES.dec)
    zero = prior.density(PLACES.ra.rad, PLACES.dec.rad) == 0
    np.testing.assert_array_equal(zero, number < 100)


def test_what_is_noted(tmp_path: Path) -> None:
    header = {**HEADER, "COORDSYS": None, "INDXSCHM": None, "NSIDE": None}
    first, frame = read(table({"X": values(RING)}, ORDERING="RING", **header), tmp_path).notes
    assert "the first, 'X', is taken for the probability of a pixel" in first
    assert "no keyword COORDSYS: taken for equatorial" in frame
    order, total = sorted(read(numpy_file(7 * values(RING)), tmp_path).notes)
    assert "doesn't say its order: taken for ring, icrs" in order
    assert "sums to 7" in total


def test_choices(tmp_path: Path) -> None:
    both = {"PROB": np.ones(PIXELS), "OTHER": values(RING)}
    chosen = read(table(both, ORDERING="RING", **HEADER), tmp_path, column="other")
    array = read(numpy_file(values(NESTED)), tmp_path, "map.npy", nested=True, frame="galactic")
    for prior, frame in ((chosen, "icrs"), (array, "galactic")):
        found = prior.density(PLACES.ra.rad, PLACES.dec.rad)
        np.testing.assert_allclose(found, expected(frame), rtol=1e-12)


def refused(read_it: Callable[[], Any], *words: str) -> None:
    with pytest.raises(DataError) as error:
        read_it()
    for word in words:
        assert word in str(error.value)
    assert "\n" not in str(error.value)


def other(**changes: Any) -> bytes:
    """The good map in ring order with other keywords."""
    return table({"PROB": values(RING)}, **{"ORDERING": "RING", **HEADER, **changes})


def changed(value: float) -> Any:
    new = values(RING).copy()
    new[6] = value
    return new


IMAGE = io.BytesIO()
fits.PrimaryHDU(np.ones((4, 4))).writeto(IMAGE)
CUT = MAPS["ring"][0]
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "text": (b"0.1 0.2 0.3\n", "not a HEALPix map"),
    "damaged gzip": (gzip.compress(CUT)[:-30], "damaged compressed file"),
    "cut short": (CUT[: len(CUT) // 2], "not a readable FITS file"),
    "an image": (IMAGE.getvalue(), "no HEALPix map: no table with the keyword PIXTYPE"),
    "another table": (table({"RA": [1.0], "DEC": [2.0]}), "no HEALPix map: no table"),
    "no ordering": (other(ORDERING=None), "keyword ORDERING is '', expected RING"),
    "another ordering": (other(ORDERING="PEANO"), "keyword ORDERING is 'PEANO'"),
    "a keyword without sense": (
        other().replace(b"'RING    '", b"'RING     "), "keyword ORDERING can't be read"
    ),
    "another frame": (other(COORDSYS="H"), "keyword COORDSYS is 'H', expected C, G or E"),
    "another scheme": (other(INDXSCHM="SPARSE"), "keyword INDXSCHM is 'SPARSE'"),
    "no power of two": (other(NSIDE=12), "keyword NSIDE: nside 12: expected a power of two"),
    "an nside in words": (other(NSIDE="16"), "keyword NSIDE is '16', expected a whole number"),
    "an nside of zero": (other(NSIDE=0), "keyword NSIDE: nside 0"),
    "another nside": (other(NSIDE=32), "3072 values, expected 12288 for all of the sky"),
    "explicit without numbers": (other(INDXSCHM="EXPLICIT"), "there is no column PIXEL"),
    "explicit without nside": (
        table({"PIXEL": [1], "PROB": [0.5]}, ORDERING="RING", **{**EXPLICIT, "NSIDE": None}),
        "no keyword NSIDE",
    ),
    "numbers beyond": (
        table({"PIXEL": [1, 3072], "PROB": [0.5, 0.5]}, ORDERING="RING", **EXPLICIT),
        "row 2: pixel 3072, expected 0 to 3071",
    ),
    "a number below zero": (
        table({"PIXEL": [-1], "PROB": [0.5]}, ORDERING="RING", **EXPLICIT), "row 1: pixel -1"
    ),
    "a number twice": (
        table({"PIXEL": [5, 3, 5], "PROB": [0.5, 0.2, 0.3]}, ORDERING="RING", **EXPLICIT),
        "row 3: pixel 5 is there twice",
    ),
    "numbers with decimals": (
        table({"PIXEL": [5.5, 3.0], "PROB": [0.5, 0.5]}, ORDERING="RING", **EXPLICIT),
        "column 'PIXEL' isn't of whole numbers",
    ),
    "grains": (
        table({"PIXEL": [5, 3], "PROB": [0.5, 0.5]}, ORDERING="RING", GRAIN=4, **EXPLICIT),
        "keyword GRAIN is 4",
    ),
    "NaN": (table({"PROB": changed(np.nan)}, ORDERING="RING", **HEADER), "number 7 is nan"),
    "infinite": (table({"PROB": changed(np.inf)}, ORDERING="RING", **HEADER), "number 7 is inf"),
    "below zero": (table({"PROB": changed(-0.1)}, ORDERING="RING", **HEADER), "number 7 is -0.1"),
    "all zero": (
        table({"PROB": np.zeros(PIXELS)}, ORDERING="RING", **HEADER), "every pixel is zero"
    ),
    "all unseen": (
        table({"PROB": np.full(PIXELS, -1.6375e30)}, ORDERING="RING", **HEADER),
        "every pixel is zero",
    ),
    "words": (
        table({"PROB": np.full(PIXELS, "a")}, ORDERING="RING", **HEADER), "expected numbers"
    ),
    "no rows": (table({"PROB": np.zeros(0)}, ORDERING="RING", **HEADER), "no rows"),
    "NUNIQ without numbers": (other(ORDERING="NUNIQ"), "there is no column UNIQ"),
    "UNIQ too small": (
        table({"UNIQ": [5, 3], "PROBDENSITY": [0.5, 0.5]}, COORDSYS="C"), "row 2: UNIQ is 3"
    ),
    "UNIQ too large": (
        table({"UNIQ": [5, 2**62], "PROBDENSITY": [0.5, 0.5]}, COORDSYS="C"), "row 2: UNIQ is 4611"
    ),
    "UNIQ twice": (
        table({"UNIQ": [5, 5], "PROBDENSITY": [0.5, 0.5]}, COORDSYS="C"), "row 2: pixel 5 is there"
    ),
    "orders that overlap": (
        table({"UNIQ": [5, 20], "PROBDENSITY": [0.5, 0.5]}, COORDSYS="C"), "pixels overlap"
    ),
    "neither density nor probability": (
        table({"UNIQ": [5, 6], "SIGNAL": [0.5, 0.5]}, COORDSYS="C"), "'SIGNAL' of pixels of many"
    ),
    "a density of another unit": (
        table({"UNIQ": [5, 6], "PROBDENSITY": [0.5, 0.5]}, {"PROBDENSITY": "m"}, COORDSYS="C"),
        "column 'PROBDENSITY' is in 'm', expected sr-1",
    ),
    "NumPy, not of all the sky": (numpy_file(np.ones(100)), "100 values are no HEALPix map"),
    "NumPy, no power of two": (numpy_file(np.ones(108)), "nside 3: expected a power of two"),
    "NumPy, two dimensions": (numpy_file(np.ones((12, 2))), "shape (12, 2), expected numbers"),
    "NumPy, words": (numpy_file(np.full(12, "a")), "expected numbers in one dimension"),
    "NumPy, NaN": (numpy_file(changed(np.nan)), "value number 7 is nan"),
    "NumPy, a header without sense": (
        numpy_file(np.ones(12)).replace(b"'<f8'", b"'<f8("), "not a readable NumPy array"
    ),
    "NumPy, cut short": (numpy_file(np.ones(12))[:-8], "not a readable NumPy array"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), BAD.values(), ids=BAD)
def test_bad_maps(tmp_path: Path, content: bytes, words: str) -> None:
    refused(lambda: read(content, tmp_path), words, "map.fits")


def test_bad_choices(tmp_path: Path) -> None:
    refused(lambda: read_prior_map(tmp_path / "none.fits"), "none.fits: no such file")
    refused(lambda: read_prior_map(tmp_path), "a directory")
    refused(lambda: read(other(), tmp_path, column="P"), "no column 'P'; there are PROB")
    refused(lambda: read(numpy_file(np.ones(12)), tmp_path, frame="fk4"), "frame fk4")
