"""Cluster images: files in every form give the same data; mistakes are named in one line."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from pyxstan.cluster.data import ClusterImage, as_cluster_image
from pyxstan.cluster.masks import Physical, read_mask
from pyxstan.cluster.readers import parse_unit, read_image
from pyxstan.errors import DataError

A1835 = Path(__file__).parents[2] / "shared" / "data" / "a1835_xmm"
NY, NX = 30, 40
SHAPE = (NY, NX)

COUNTS = np.random.default_rng(1).poisson(2.0, SHAPE)
EXPOSURE = np.full(SHAPE, 2e7)
EXPOSURE[:, :10] = 0.4 * 2e7
EXPOSURE[0] = 0


def header(**keywords: Any) -> fits.Header:
    """Pixels of 2 arcsec, north up; pixel (20, 15) from 1 at (150, 30) degrees."""
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 20.0, "CRPIX2": 15.0,
        "CRVAL1": 150.0, "CRVAL2": 30.0, "CDELT1": -2 / 3600, "CDELT2": 2 / 3600,
        "CUNIT1": "deg", "CUNIT2": "deg", "RADESYS": "ICRS",
    }  # fmt: skip
    return fits.Header(list({**cards, **keywords}.items()))


WORLD = WCS(header())


def write(path: Path, values: Any, **keywords: Any) -> Path:
    fits.PrimaryHDU(values, header(**keywords)).writeto(path, overwrite=True)
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A counts image and an exposure map that states its unit."""
    return {
        "counts": write(tmp_path / "img.fits", COUNTS.astype(np.int32), EXPOSURE=20000.0),
        "exposure": write(tmp_path / "exp.fits", EXPOSURE, BUNIT="cm**2 s"),
    }


def pixels(mask: Any) -> set[tuple[int, int]]:
    return {(int(x), int(y)) for y, x in np.argwhere(mask)}


def disc(x: float, y: float, radius: float) -> Any:
    """Pixels within a radius, the centre counted from 0."""
    rows, columns = np.mgrid[:NY, :NX]
    return np.hypot(columns - x, rows - y) < radius


# Arrays


def test_good_pixels_are_exposed_and_unmasked() -> None:
    mask = np.zeros(SHAPE, dtype=int)
    mask[5, 20] = 7
    image = ClusterImage.from_arrays(COUNTS, EXPOSURE, mask=mask)
    assert image.good.sum() == (NY - 1) * (NX - 10) - 1
    assert not image.good[5, 20]
    assert image.notes == (
        "869 of 1200 pixels to fit: exposure above 0.5 of its peak, 1 masked",
    )  # fmt: skip
    assert ClusterImage.from_arrays(COUNTS, EXPOSURE, min_exposure=0).good.sum() == (NY - 1) * NX


def test_seconds_that_no_telescope_takes_are_doubted(files: dict[str, Path]) -> None:
    image = ClusterImage.from_fits(**files, exposure_unit="s")
    (line,) = image.warnings
    assert "exp.fits: exposure_unit says s, but the peak is 2e+07 s: is the map in cm2 s?" in line
    assert ClusterImage.from_fits(**files, exposure_unit="cm2 s").warnings == ()


@pytest.mark.parametrize(("unit", "peak"), [("cm2", "2e+07 cm2"), ("relative", "2e+07")])
def test_areas_that_no_telescope_has_are_doubted(
    files: dict[str, Path], unit: str, peak: str
) -> None:
    image = ClusterImage.from_fits(**files, exposure_unit=unit)
    assert any(
        f"exp.fits: exposure_unit says {unit}, but the peak is {peak}: is the map" in line
        for line in image.warnings
    )


def test_a_peak_of_the_exposure_that_no_other_pixel_has() -> None:
    """Where one pixel is hot, it decides which others are fitted."""
    field = np.linspace(0.5, 1.0, NY * NX).reshape(SHAPE) * 2e7
    assert ClusterImage.from_arrays(COUNTS, field).warnings == ()
    field[7, 3] = 1.7 * 2e7
    (line,) = ClusterImage.from_arrays(COUNTS, field).warnings
    assert line.startswith(
        "exposure: the peak of the exposure, pixel (3, 7) (pixels from 0), is 1.71 times what 99%"
    )
    assert ClusterImage.from_arrays(COUNTS, field, min_exposure=0).warnings == ()
    field[7, 3] = 1e12
    words = r"^image: 1 pixels to fit, .*: exposure above 0.5 of its peak in 1, 0 of .*\(3, 7\)"
    with pytest.raises(DataError, match=words):
        ClusterImage.from_arrays(COUNTS, field)


def test_units_of_arrays() -> None:
    area = ClusterImage.from_arrays(COUNTS, EXPOSURE, exposure_unit="cm**2 sec")
    assert (area.exposure_unit, area.brightness_unit) == ("cm2 s", "counts/s/cm2/pixel")
    time = ClusterImage.from_arrays(COUNTS, EXPOSURE, exposure_unit="ks")
    assert (time.exposure_unit, time.brightness_unit) == ("s", "counts/s/pixel")
    assert time.exposure.max() == 2e10


@pytest.mark.parametrize("kind", [">i2", ">i4", "<u4", ">f4", ">f8", "u1", "?", ">i8"])
def test_any_number_type_becomes_a_native_one(kind: str) -> None:
    counts = np.minimum(COUNTS, 1).astype(kind)
    image = ClusterImage.from_arrays(counts, EXPOSURE.astype(">f4"), background_map=counts)
    assert image.counts.dtype == np.dtype("=i8")
    assert image.exposure.dtype == np.dtype("=f8")
    assert image.background_map is not None
    assert image.background_map.dtype == np.dtype("=f8")
    np.testing.assert_array_equal(image.counts, np.minimum(COUNTS, 1))


def test_sky_and_pixel_scale() -> None:
    image = ClusterImage.from_arrays(COUNTS, EXPOSURE, wcs=WORLD)
    assert image.pixel_scale == pytest.approx(2.0)
    place = image.sky([19.0, 19.0], [14.0, 44.0])
    assert place is not None
    np.testing.assert_allclose(place[0], 150.0)
    np.testing.assert_allclose(place[1], [30.0, 30.0 + 60 / 3600])
    galactic = header(CTYPE1="GLON-TAN", CTYPE2="GLAT-TAN")
    place = ClusterImage.from_arrays(COUNTS, EXPOSURE, wcs=WCS(galactic)).sky(19, 14)
    assert place is not None
    assert place == (pytest.approx(116.186611), pytest.approx(66.109481))
    bare = ClusterImage.from_arrays(COUNTS, EXPOSURE)
    assert bare.pixel_scale is None
    assert bare.sky(1, 2) is None


def changed(values: Any, x: int, y: int, value: float) -> Any:
    new = np.array(values, dtype=float)
    new[y, x] = value
    return new


ARRAYS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "fraction of a count": (
        r"^image: pixel \(13, 4\) has 1.5 counts, expected a whole",
        {"counts": changed(COUNTS, 13, 4, 1.5)},
    ),
    "negative counts": (
        r"^image: pixel \(13, 4\) has -1.5 counts",
        {"counts": changed(COUNTS, 13, 4, -1.5)},
    ),
    "negative whole counts": (r"^image: pixel \(10, 1\) has -1 counts", {"counts": COUNTS * 0 - 1}),
    "NaN counts": (
        r"^image: pixel \(13, 4\) has nan counts",
        {"counts": changed(COUNTS, 13, 4, np.nan)},
    ),
    "infinite counts": (r"pixel \(13, 4\) has inf", {"counts": changed(COUNTS, 13, 4, np.inf)}),
    "counts beyond whole numbers": (
        r"pixel \(13, 4\) has 1e\+30 counts",
        {"counts": changed(COUNTS, 13, 4, 1e30)},
    ),
    "complex counts": (r"^image: counts is no array of numbers", {"counts": COUNTS * 1j}),
    "words": (r"^image: counts is no array of numbers", {"counts": [["a", "b"]]}),
    "ragged": (r"^image: counts is no array of numbers", {"counts": [[1, 2], [3]]}),
    "a cube": (r"^image: counts has shape \(2, 3, 4\), expected", {"counts": np.zeros((2, 3, 4))}),
    "nothing": (r"^image: counts has shape \(0, 4\), expected", {"counts": np.zeros((0, 4))}),
    "masked array": (r"^image: counts is a masked array", {"counts": np.ma.array(COUNTS)}),
    "shapes": (
        r"^exposure: 30 x 40 pixels, but image has 40 x 30 pixels$",
        {"exposure": EXPOSURE.T},
    ),
    "NaN exposure": (
        r"^exposure: exposure of pixel \(13, 4\) is nan, expected a finite",
        {"exposure": changed(EXPOSURE, 13, 4, np.nan)},
    ),
    "NaN exposures": (
        r"pixel \(13, 4\) is nan, and 1 more like it",
        {"exposure": changed(changed(EXPOSURE, 13, 4, np.nan), 25, 20, np.nan)},
    ),
    "negative exposure": (r"pixel \(13, 4\) is -1,", {"exposure": changed(EXPOSURE, 13, 4, -1)}),
    "no exposure": (r"^exposure: the exposure is 0 everywhere", {"exposure": EXPOSURE * 0}),
    "NaN background": (
        r"^background_map: background of pixel \(13, 4\) is nan",
        {"background_map": changed(COUNTS, 13, 4, np.nan)},
    ),
    "shape of the background": (
        r"^background_map: 40 x 1 pixels, but image",
        {"background_map": COUNTS[:1]},
    ),
    "shape of the mask": (r"^mask: 40 x 2 pixels, but image", {"mask": COUNTS[:2] > 0}),
    "NaN mask": (r"^mask: pixel \(13, 4\) is nan", {"mask": changed(COUNTS, 13, 4, np.nan)}),
    "all masked": (r"^image: no pixels to fit, expected at least 100", {"mask": COUNTS >= 0}),
    "few pixels": (r"^image: 12 pixels to fit", {"mask": np.arange(1200).reshape(SHAPE) < 1188}),
    "no counts": (r"^image: no counts in the 870 pixels to fit", {"counts": COUNTS * 0}),
    "unit": (r"^exposure_unit 'km' is not", {"exposure_unit": "km"}),
    "no unit": (r"^exposure_unit 'None' is not", {"exposure_unit": None}),
    "area alone": (r"^exposure_unit 'cm2': multiply", {"exposure_unit": "cm2"}),
    "all of the peak": (r"^min_exposure is '1', expected", {"min_exposure": 1}),
    "negative fraction": (r"^min_exposure is '-0.1', expected", {"min_exposure": -0.1}),
    "NaN fraction": (r"^min_exposure is 'nan', expected", {"min_exposure": np.nan}),
    "fraction in words": (r"^min_exposure is 'half', expected", {"min_exposure": "half"}),
    "no sky": (r"^image: wcs has no celestial", {"wcs": WCS(naxis=2)}),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_bad_arrays(case: str) -> None:
    words, fields = ARRAYS[case]
    with pytest.raises(DataError, match=words) as caught:
        as_cluster_image({"counts": COUNTS, "exposure": EXPOSURE, **fields})
    assert "\n" not in str(caught.value)


def test_made_directly_it_is_checked_too() -> None:
    good = EXPOSURE > 0
    assert ClusterImage(COUNTS, EXPOSURE, good).good.sum() == good.sum()
    with pytest.raises(DataError, match=r"^image: good pixel \(0, 0\) has no exposure"):
        ClusterImage(COUNTS, EXPOSURE, good | True)
    with pytest.raises(DataError, match=r"^exposure_unit 'cm2' is not"):
        ClusterImage(COUNTS, EXPOSURE, good, "cm2")


def test_quantities_are_refused() -> None:
    from astropy import units as u

    with pytest.raises(DataError, match=r"^exposure: exposure is a Quantity"):
        ClusterImage.from_arrays(COUNTS, u.Quantity(EXPOSURE, "cm2 s"))


# What fit takes


def test_as_cluster_image(files: dict[str, Path]) -> None:
    image = as_cluster_image({"counts": COUNTS, "exposure": EXPOSURE, "source": "A1"})
    assert as_cluster_image(image) is image
    assert image.source == "A1"
    read = as_cluster_image({**files, "min_exposure": 0.2})
    np.testing.assert_array_equal(read.counts, COUNTS)
    for words, data in (
        ("expected a ClusterImage or a dict", 3),
        ("no field 'exposure'", {"counts": COUNTS}),
        ("no field 'counts'", {"exposure": EXPOSURE, "counts": None}),
        ("no field 'image'; there are counts", {**files, "image": 1}),
        ("no field 'wcs'; there are counts", {**files, "wcs": WORLD}),
        ("exposure is a path, but counts is none", {**files, "counts": COUNTS}),
        ("^exposure: expected the path of a FITS file", {**files, "exposure": EXPOSURE}),
        ("^mask: expected paths", {**files, "mask": COUNTS > 0}),
    ):
        with pytest.raises(DataError, match=words):
            as_cluster_image(data)


# Files


def test_read_from_fits(files: dict[str, Path], tmp_path: Path) -> None:
    background = write(tmp_path / "bkg.fits", np.full(SHAPE, 0.25, dtype=np.float32))
    image = ClusterImage.from_fits(
        files["counts"], str(files["exposure"]), background_map=background
    )
    np.testing.assert_array_equal(image.counts, COUNTS)
    np.testing.assert_array_equal(image.exposure, EXPOSURE)
    assert image.background_map is not None
    assert set(image.background_map.flat) == {0.25}
    assert image.exposure_unit == "cm2 s"
    assert image.source == str(files["counts"])
    assert image.pixel_scale == pytest.approx(2.0)
    assert image.notes == (
        f"exposure map {files['exposure']} taken in cm2 s, by its BUNIT 'cm**2 s'",
        "870 of 1200 pixels to fit: exposure above 0.5 of its peak, 0 masked",
    )


def extension(path: Path, counts: Any) -> None:
    hdus = [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([]), fits.ImageHDU(np.zeros(5)),
            fits.ImageHDU(counts, header()), fits.ImageHDU(np.zeros((3, 3)))]  # fmt: skip
    fits.HDUList(hdus).writeto(path)


def tiles(path: Path, counts: Any) -> None:
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(counts, header())]).writeto(path)


def packed(path: Path, counts: Any) -> None:
    write(path, counts)
    path.write_bytes(gzip.compress(path.read_bytes()))


def bzipped(path: Path, counts: Any) -> None:
    write(path, counts)
    path.write_bytes(bz2.compress(path.read_bytes()))


FORMS: dict[str, Callable[[Path, Any], Any]] = {
    "an extension": extension,
    "tiles": tiles,
    "gzip": packed,
    "bzip2": bzipped,
    "16 bits": lambda path, counts: write(path, counts.astype(">i2")),
    "unsigned": lambda path, counts: write(path, counts.astype(np.uint16)),
    "bytes": lambda path, counts: write(path, counts.astype(np.uint8)),
    "64 bits": lambda path, counts: write(path, counts.astype(np.int64)),
    "floats": lambda path, counts: write(path, counts.astype(np.float32)),
    "axes of length one": lambda path, counts: write(path, counts[None, None]),
    "dates of old": lambda path, counts: write(
        path, counts, **{"MJDREF": 50814.0, "DATE-OBS": "28/06/00", "MJD-OBS": 51723.1}
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_files(form: str, files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "form.FTZ"
    FORMS[form](path, COUNTS.astype(np.int32))
    image = ClusterImage.from_fits(path, files["exposure"])
    np.testing.assert_array_equal(image.counts, COUNTS)
    assert image.counts.dtype == np.dtype("=i8")
    assert image.counts.flags.c_contiguous
    assert image.pixel_scale == pytest.approx(2.0)


def test_no_coordinates(files: dict[str, Path], tmp_path: Path) -> None:
    for name, keywords in (("no", {}), ("bad", {"CTYPE1": "RA---TAN", "CTYPE2": "GLAT-SIN"})):
        path = tmp_path / f"{name}.fits"
        fits.PrimaryHDU(COUNTS, fits.Header(list(keywords.items()))).writeto(path)
        image = ClusterImage.from_fits(path, files["exposure"])
        assert image.wcs is None
        assert image.notes[0].startswith(f"{path}: ")
        assert "coordinates" in image.notes[0]


def test_shifted_map_is_noted(files: dict[str, Path], tmp_path: Path) -> None:
    shifted = write(tmp_path / "shifted.fits", EXPOSURE, CRPIX1=23.0, BUNIT="cm2 s")
    image = ClusterImage.from_fits(files["counts"], shifted)
    assert image.notes[:1] == image.warnings
    assert (
        image.warnings[0]
        == f"{shifted}: 3 pixels off {files['counts']} by their celestial coordinates"
    )


def contents(path: Path, name: str) -> None:
    """Put something that is no readable image at `path`."""
    good = path.with_name("good.fits")
    write(good, np.arange(10000.0).reshape(100, 100))
    whole = good.read_bytes()
    if name == "directory":
        path.mkdir()
    elif name == "cube":
        write(path, np.zeros((3, 4, 5)))
    elif name == "table":
        column = fits.Column("x", "D", array=np.arange(3.0))
        fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns([column])]).writeto(path)
    elif name != "missing":
        path.write_bytes(
            {
                "empty": lambda: b"",
                "text": lambda: b"1 2 3\n",
                "cut": lambda: whole[: len(whole) // 2],
                "cut header": lambda: whole[:1000],
                "rubbish": lambda: b"SIMPLE  =                    T" + b"x" * 5000,
                "cut gzip": lambda: gzip.compress(whole)[:-2000],
                "damaged gzip": lambda: gzip.compress(whole)[:3000] + b"\0" * 900,
                "gzip of nothing": lambda: gzip.compress(b""),
                "gzip of text": lambda: gzip.compress(b"hello"),
                "cut bzip2": lambda: bz2.compress(whole)[:-2000],
            }[name]()
        )


BAD_FILES = {
    "missing": "no such file$",
    "directory": "a directory, expected a FITS image$",
    "empty": "the file is empty$",
    "text": "not a FITS file$",
    "cut": r"not a readable FITS image \(the file is cut short\)$",
    "cut header": r"not a readable FITS image \(",
    "rubbish": r"not a readable FITS image \(|no image in the file$",
    "cut gzip": r"a damaged compressed file \(",
    "damaged gzip": r"a damaged compressed file \(",
    "gzip of nothing": "the file is empty$",
    "gzip of text": "not a FITS file$",
    "cut bzip2": r"a damaged compressed file \(",
    "cube": r"an image of 3 axes \(5 x 4 x 3\), expected two$",
    "table": "no image in the file$",
}


@pytest.mark.parametrize("field", ["counts", "exposure", "background_map"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name: str, field: str, files: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "bad.fits"
    contents(path, name)
    with pytest.raises(DataError, match=BAD_FILES[name]) as caught:
        as_cluster_image({**files, field: path})
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_bad_pixels_of_files_are_named(files: dict[str, Path], tmp_path: Path) -> None:
    image = write(tmp_path / "half.fits", changed(COUNTS, 17, 2, 0.5))
    with pytest.raises(DataError, match=r"half.fits: pixel \(17, 2\) has 0.5 counts"):
        ClusterImage.from_fits(image, files["exposure"])
    chart = write(tmp_path / "nan.fits", changed(EXPOSURE, 17, 2, np.nan))
    with pytest.raises(DataError, match=r"nan.fits: exposure of pixel \(17, 2\) is nan"):
        ClusterImage.from_fits(files["counts"], chart)
    small = write(tmp_path / "small.fits", EXPOSURE[:5])
    with pytest.raises(DataError, match=r"small.fits: 40 x 5 pixels, but .*img.fits has 40 x 30"):
        ClusterImage.from_fits(files["counts"], small)
    with pytest.raises(DataError, match=r"small.fits: 40 x 5 pixels, but .*img.fits has 40 x 30"):
        ClusterImage.from_fits(**files, background_map=small)
    blank = write(tmp_path / "blank.fits", COUNTS.astype(np.int16), BLANK=int(COUNTS[4, 3]))
    with pytest.raises(DataError, match=r"blank.fits: pixel \(\d+, \d+\) has nan counts"):
        ClusterImage.from_fits(blank, files["exposure"])


# The unit of the exposure


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cm2", ("cm2", 1)), ("cm**2", ("cm2", 1)), ("cm^2 s", ("cm2 s", 1)),
        ("cm**2*sec", ("cm2 s", 1)), ("CM2 S", ("cm2 s", 1)), ("sec", ("s", 1)),
        ("seconds", ("s", 1)), ("ks", ("s", 1000)), ("m2", ("cm2", 10000)),
        ("sec cm**2 counts/photon", ("cm2 s", 1)), ("Primary Array", None), ("", None),
        ("counts", None), ("cm", None),
    ],
)  # fmt: skip
def test_units(text: str, expected: tuple[str, float] | None) -> None:
    assert parse_unit(text) == (expected and pytest.approx(expected))


#: peak of the map, its BUNIT, exposure_unit, EXPOSURE -> unit, largest exposure, words of the note
UNITS: dict[str, tuple[float, str, str | None, float | None, str, float, str]] = {
    "stated": (7.0, "cm^2 s", None, None, "cm2 s", 7.0, "by its BUNIT 'cm^2 s'"),
    "stated time": (7.0, "sec", None, None, "s", 7.0, "by its BUNIT 'sec'"),
    "stated area": (7.0, "cm**2", None, 100.0, "cm2 s", 700.0, "multiplied by EXPOSURE = 100 s"),
    "option first": (7.0, "cm**2", "s", 100.0, "s", 7.0, "as given by exposure_unit"),
    "option area": (7.0, "", "cm**2", 100.0, "cm2 s", 700.0, "multiplied by EXPOSURE = 100 s"),
    "guessed time": (20100.0, "Primary Array", None, 2e4, "s", 20100.0, "in s, a guess"),
    "guessed short time": (900.0, "", None, 1000.0, "s", 900.0, "a guess: its peak, 900, is about"),
    "guessed product": (2e7, "", None, 2e4, "cm2 s", 2e7, "in cm2 s, a guess from its peak"),
    "guessed product, no time": (2e7, "", None, None, "cm2 s", 2e7, "in cm2 s, a guess"),
    "guessed area": (600.0, "junk", None, 2e4, "cm2 s", 1.2e7, "a guess from its peak, 600"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNITS)
def test_unit_of_the_exposure(case: str, tmp_path: Path) -> None:
    peak, stated, option, time, unit, largest, words = UNITS[case]
    counts = write(tmp_path / "i.fits", COUNTS, **({"EXPOSURE": time} if time else {}))
    chart = write(tmp_path / "e.fits", EXPOSURE / EXPOSURE.max() * peak, BUNIT=stated)
    image = ClusterImage.from_fits(counts, chart, exposure_unit=option)
    assert image.exposure_unit == unit
    assert image.exposure.max() == pytest.approx(largest)
    assert any(words in note for note in image.notes)


def test_exposure_time_in_the_primary_header(tmp_path: Path) -> None:
    path = tmp_path / "i.fits"
    primary = fits.PrimaryHDU(header=fits.Header([("EXPOSURE", 50.0)]))
    fits.HDUList([primary, fits.ImageHDU(COUNTS, header())]).writeto(path)
    chart = write(tmp_path / "e.fits", EXPOSURE / 1e7, BUNIT="cm2")
    assert ClusterImage.from_fits(path, chart).exposure.max() == pytest.approx(100)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (None, r"i.fits: no keyword EXPOSURE"),
        (0.0, r"i.fits: keyword EXPOSURE is '0.0', expected a positive"),
        (-3.0, r"i.fits: keyword EXPOSURE is '-3.0', expected a positive"),
        ("NaN", r"i.fits: keyword EXPOSURE is 'NaN', expected a positive"),
        (True, r"i.fits: keyword EXPOSURE is 'True', expected a positive"),
    ],
)
@pytest.mark.parametrize("stated", ["cm2", ""])
def test_bad_exposure_time(time: Any, words: str, stated: str, tmp_path: Path) -> None:
    counts = write(tmp_path / "i.fits", COUNTS, **({} if time is None else {"EXPOSURE": time}))
    chart = write(tmp_path / "e.fits", EXPOSURE / 1e5, BUNIT=stated)
    with pytest.raises(DataError, match=words):
        ClusterImage.from_fits(counts, chart)


def test_unit_that_can_not_be_guessed(files: dict[str, Path], tmp_path: Path) -> None:
    chart = write(tmp_path / "e.fits", EXPOSURE / 1000)
    with pytest.raises(DataError, match=r"e.fits: BUNIT does not .* 20000.*give exposure_unit"):
        ClusterImage.from_fits(write(files["counts"], COUNTS), chart)
    with pytest.raises(DataError, match=r"^exposure_unit 'furlong' is not cm2, .* or relative$"):
        ClusterImage.from_fits(**files, exposure_unit="furlong")


# Masks


def mask_of(tmp_path: Path, text: str, wcs: Any = WORLD, physical: Physical | None = None) -> Any:
    path = tmp_path / "mask.txt"
    path.write_text(text)
    return read_mask(path, SHAPE, wcs, physical=physical)


@pytest.mark.parametrize(
    "text",
    [
        "11 6 2.5\n31 21 2.5\n",
        "# x y radius\n11, 6, 2.5  # a source\n\n 31,21,2.5\r\n",
        "\ufeff11\t6\t2.5\n31 2.1e1 2.5",
        "image\ncircle(11,6,2.5)\ncircle(31,21,2.5)\n",
        "# Region file format: DS9 version 4.1\nglobal color=green width=1 font=\"a 10 b\"\n"
        "image;circle(11,6,2.5) # color=red text={a;b#c}\nCIRCLE 31 21 2.5 # x\n",
        "circle(11,6,2.5);+circle(31,21,2.5)",
        "physical\ncircle(11,6,2.5)\ncircle(31,21,2.5)\n",
        "-circle(11,6,2.5)\n-circle(31,21,2.5)\n",
        "# Region file format: CIAO version 1.0\n!circle(11,6,2.5)\n!circle(31,21,2.5)\n",
        "fk5\ncircle(150.00577321,29.995,5\")\nicrs\ncircle(149.99294326,30.00333315,0.0833333')\n",
        "image\n# text(3,4) text={here}\nline(1,1,20,20)\nannulus(11,6,0,1,2.5)\ncircle(31,21,2.5)",
        "# composite(20,15,0) || composite=1\nimage\ncircle(11,6,2.5) ||\ncircle(31,21,2.5)\n",
    ],
)  # fmt: skip
def test_ways_to_write_two_circles(text: str, tmp_path: Path) -> None:
    expected = disc(10, 5, 2.5) | disc(30, 20, 2.5)
    assert pixels(mask_of(tmp_path, text)) == pixels(expected)


def test_first_pixel_is_at_one(tmp_path: Path) -> None:
    for text in ("1 1 0.5", "image;circle(1,1,0.5)", "image;box(1,1,1,1,0)"):
        assert pixels(mask_of(tmp_path, text)) == {(0, 0)}
    assert pixels(mask_of(tmp_path, f"{NX} {NY} 0.5")) == {(NX - 1, NY - 1)}


def test_shapes(tmp_path: Path) -> None:
    y, x = np.mgrid[:NY, :NX]
    box = (abs(x - 19) < 3) & (abs(y - 14) < 1.5)
    assert pixels(mask_of(tmp_path, "image;box(20,15,6,3)")) == pixels(box)
    assert pixels(mask_of(tmp_path, "rotbox(20,15,3,6,90)")) == pixels(box)
    corners = "image;polygon(17.01,13.51,22.99,13.51,22.99,16.49,17.01,16.49)"
    assert pixels(mask_of(tmp_path, corners)) == pixels(box)
    ellipse = ((x - 19) / 6.1) ** 2 + ((y - 14) / 3.1) ** 2 < 1
    assert pixels(mask_of(tmp_path, "image;ellipse(20,15,6.1,3.1,0)")) == pixels(ellipse)
    assert pixels(mask_of(tmp_path, "image;ellipse(20,15,3.1,6.1,90)")) == pixels(ellipse)
    sky = mask_of(tmp_path, 'icrs;ellipse(10:00:00,+30:00:00,12.2",6.2",0)')
    assert pixels(sky) == pixels(ellipse)
    assert pixels(mask_of(tmp_path, 'ellipse(10:00:00,+30:00:00,12.2",6.2",0)')) == pixels(ellipse)
    ring = disc(19, 14, 8.5) & ~disc(19, 14, 4.5)
    assert pixels(mask_of(tmp_path, "image;annulus(20,15,4.5,8.5)")) == pixels(ring)
    assert pixels(mask_of(tmp_path, "image;-circle(20,15,4.5);circle(20,15,8.5)")) == pixels(ring)


def test_physical_coordinates(tmp_path: Path, files: dict[str, Path]) -> None:
    """Binned by 4 and cut out: circles in unbinned pixels, as CIAO writes them."""
    physical = Physical((0.25, 0.25), (-100.0, -200.0))
    text = "circle(444,824,10)\nphysical\nbox(524,884,24,12,0)\n"
    image = "image;circle(11,6,2.5);box(31,21,6,3,0)"
    expected = pixels(mask_of(tmp_path, image))
    assert len(expected) > 20
    assert pixels(mask_of(tmp_path, text, physical=physical)) == expected
    region = tmp_path / "mask.txt"
    region.write_text(text)
    linear = {"LTM1_1": 0.25, "LTM2_2": 0.25, "LTV1": -100.0, "LTV2": -200.0}
    ciao = {"CTYPE1P": "x", "CTYPE2P": "y", "CRPIX1P": 0.5, "CRPIX2P": 0.5, "CRVAL1P": 402.0,
            "CRVAL2P": 802.0, "CDELT1P": 4.0, "CDELT2P": 4.0}  # fmt: skip
    for keywords in (linear, ciao):
        counts = write(files["counts"], COUNTS, **keywords)
        assert read_image(counts).physical == physical
        image_ = ClusterImage.from_fits(counts, files["exposure"], mask=region)
        assert not image_.good[5, 10]
        assert f"mask {region}: {len(expected)} of 1200 pixels" in image_.notes


def test_far_away_shapes_mask_nothing(tmp_path: Path, files: dict[str, Path]) -> None:
    for text in ("image;circle(1000,1000,5)", "-50 3 4", "fk5;circle(330,-30,5\")", "1 1 .5e-300",
                 "# Region file format: DS9 version 4.1\n", "image;polygon(99,99,99,98,98,99)",
                 "fk5;polygon(330,-30,331,-30,331,-31)"):  # fmt: skip
        if text != "1 1 .5e-300":
            assert not mask_of(tmp_path, text).any(), text
    assert mask_of(tmp_path, "image;circle(20,15,1e9)").all()
    assert mask_of(tmp_path, "20 15 1e300").all()
    path = tmp_path / "mask.txt"
    path.write_text("1000 1000 5\n")
    notes = ClusterImage.from_fits(**files, mask=path).notes
    assert f"mask {path}: masks nothing in the image" in notes


def test_masks_are_joined(tmp_path: Path, files: dict[str, Path]) -> None:
    circles, regions = tmp_path / "circles.txt", tmp_path / "src.reg"
    circles.write_text("21 16 1.1\n")
    regions.write_text("image\ncircle(31,21,1.1)\n")
    chart = write(tmp_path / "mask.fits", (np.arange(1200).reshape(SHAPE) == 1199).astype("i2"))
    image = ClusterImage.from_fits(**files, mask=[circles, str(regions), chart])
    missing = (image.exposure > 1e7) & ~image.good
    assert pixels(missing) == pixels(disc(20, 15, 1.1) | disc(30, 20, 1.1)) | {(39, 29)}
    assert image.notes[1:] == (
        f"mask {circles}: 5 of 1200 pixels",
        f"mask {regions}: 5 of 1200 pixels",
        f"mask {chart}: 1 of 1200 pixels",
        "859 of 1200 pixels to fit: exposure above 0.5 of its peak, 11 masked",
    )
    everything = write(tmp_path / "all.fits", np.ones(SHAPE, dtype=np.uint8))
    with pytest.raises(DataError, match=r"img.fits: no pixels to fit"):
        ClusterImage.from_fits(**files, mask=everything)


BAD_MASKS: dict[str, tuple[str, str | bytes | None]] = {
    "missing": ("no such file$", None),
    "empty": ("the file is empty", ""),
    "comments": ("the file is empty", "# x y radius\n"),
    "two numbers": ("line 3: 2 cells, expected x y radius$", "# x\n1 2 3\n1 2\n"),
    "four numbers": ("line 1: 4 cells, expected x y radius$", "1,2,3,4\n"),
    "gap": ("line 1: '' is not a finite number$", "1,,3\n"),
    "NaN": ("line 2: 'nan' is not a finite number$", "1 2 3\n1 nan 3\n"),
    "infinite": ("line 1: 'inf' is not a finite number$", "1 2 inf\n"),
    "word": ("line 2: 'two' is not a finite number$", "1 2 3\n1 two 3\n"),
    "no radius": ("line 1: radius is 0, expected more than 0$", "1 2 0\n"),
    "negative radius": ("line 2: radius is -3, expected more than 0$", "1 2 3\n1 2 -3\n"),
    "not a mask": ("not a mask", "hello there\nthis is a text\n"),
    "binary": ("not a mask", bytes(range(256))),
    "not a region": ("line 2: not a region: 'circle at 3 4'$", "image\ncircle at 3 4\n"),
    "unknown shape": ("line 2: unknown shape 'star'; there are annulus", "image\nstar(1,2,3)\n"),
    "linear": ("line 1: coordinates 'linear', expected image", "linear\ncircle(1,2,3)\n"),
    "sides of a circle": ("line 2: 2 values are too few or", "image\ncircle(1,2)\n"),
    "circle of four": ("line 2: 4 values are too few or", "image\ncircle(1,2,3,4)\n"),
    "half a polygon": ("line 1: 5 values are too few", "image;polygon(1,2,3,4,5)\n"),
    "region NaN": ("line 1: not a", "image;circle(nan,2,3)\n"),
    "region radius": ("line 1: not a valid circle in pixel coordinates", "image;circle(1,2,-3)\n"),
    "region words": ("line 1: not a valid circle in pixel coordinates", "image;circle(1,b,3)\n"),
    "declination": ("line 1: not a valid circle in sky coordinates", "fk5;circle(150,130,3)\n"),
    "half an expression": ("line 2: not a region", "image\ncircle(1,2,3)*\n"),
    "open bracket": ("line 1: not a region", "image;(circle(1,2,3)+box(1,2,3,4)\n"),
    "two shapes, nothing between": ("line 1: not a region", "image;circle(1,2,3) box(1,2,3,4)\n"),
    "sky position in pixels": ("line 1: not a valid circle in sky", "fk5;circle(15i,30i,3)\n"),
    "two kinds of sizes": (
        "line 1: not a valid ellipse in pixel coordinates .sizes in pixels and in degrees",
        'image;ellipse(15,13,3",4,0)\n',
    ),
    "rings that shrink": ("line 1: not a valid annulus .*grow", "image;annulus(15,13,5,4)\n"),
    "sector of nothing": ("line 1: not a valid pie .*no width", "image;pie(15,13,2,5,30,30)\n"),
    "turned rectangle": ("line 1: .*rotrectangle.*rotbox", "rotrectangle(1,2,5,9,30)\n"),
    "panda of three": (
        "line 1: 3 values are too few or too",
        "image\npanda(1,2,3)\n".replace("\n", ";", 1),
    ),
    "detector": ("line 1: coordinates 'detx,dety', expected x,y", "((DETX,DETY) IN circle(1,2,3))"),
    "sky table": ("line 1: columns ra dec radius, expected x y radius", "ra dec radius\n1 2 3\n"),
}


@pytest.mark.parametrize("case", BAD_MASKS)
def test_bad_masks(case: str, tmp_path: Path, files: dict[str, Path]) -> None:
    words, text = BAD_MASKS[case]
    path = tmp_path / "mask"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=words) as caught:
        ClusterImage.from_fits(**files, mask=path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_bad_mask_images(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"m.fits: 40 x 5 pixels, but the image has 40 x 30 pixels$"
    ):
        read_mask(write(tmp_path / "m.fits", COUNTS[:5]), SHAPE)
    with pytest.raises(DataError, match=r"m.fits: pixel \(3, 4\) is nan"):
        read_mask(write(tmp_path / "m.fits", changed(COUNTS, 3, 4, np.nan)), SHAPE)
    with pytest.raises(DataError, match="a directory, expected a mask"):
        read_mask(tmp_path, SHAPE)
    (tmp_path / "m.reg").write_text("# DS9\nfk5\ncircle(150,30,3)\n")
    with pytest.raises(DataError, match=r"m.reg: line 3: sky coordinates, but the image has none"):
        read_mask(tmp_path / "m.reg", SHAPE)


# Real data


@pytest.mark.skipif(not A1835.exists(), reason="the real data are not here")
def test_a1835() -> None:
    image = ClusterImage.from_fits(
        A1835 / "P0098010101M2U009IMAGE_3000.FTZ",
        A1835 / "P0098010101M2U009EXPMAP3000.FTZ",
        mask=A1835 / "M2ptsrc.txt",
        background_map=A1835 / "P0098010101M2X000BKGMAP3000.FTZ",
        min_exposure=0,
    )
    assert image.counts.shape == (648, 648)
    assert image.counts.sum() == 36174
    assert image.exposure_unit == "s"
    assert "taken in s, a guess: its peak, 28168.1, is about the image's EXPOSURE" in image.notes[0]
    assert image.good.sum() == 137766
    assert image.pixel_scale == pytest.approx(4.0)
    place = image.sky(327.806, 346.890)
    assert place is not None
    # The cluster's published position, within 5 arcsec.
    assert place[0] == pytest.approx(210.2583, abs=5 / 3600)
    assert place[1] == pytest.approx(2.8786, abs=5 / 3600)


@pytest.mark.skipif(not A1835.exists(), reason="the real data are not here")
def test_a1835_masks_agree(tmp_path: Path) -> None:
    """The circles of the table hide the same pixels as the same circles in DS9's format."""
    image = read_image(A1835 / "P0098010101M2U009IMAGE_3000.FTZ", wcs=True)
    table = read_mask(A1835 / "M2ptsrc.txt", image.values.shape)
    rows = np.loadtxt(A1835 / "M2ptsrc.txt")
    (tmp_path / "i.reg").write_text(
        "image\n" + "\n".join(f"circle({x:.17g},{y:.17g},{r:.17g})" for x, y, r in rows)
    )
    np.testing.assert_array_equal(table, read_mask(tmp_path / "i.reg", image.values.shape))
    sky = image.wcs.pixel_to_world(rows[:, 0] - 1, rows[:, 1] - 1).icrs
    (tmp_path / "s.reg").write_text("icrs\n" + "\n".join(
        f'circle({c.ra.deg:.12f},{c.dec.deg:.12f},{4 * r:.12f}")'
        for c, r in zip(sky, rows[:, 2], strict=True)
    ))  # fmt: skip
    drawn = read_mask(tmp_path / "s.reg", image.values.shape, image.wcs)
    assert (drawn != table).sum() <= 2
