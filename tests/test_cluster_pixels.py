"""Only pixels that are fitted matter; images of one sky have its pixels in one place."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from pyxstan.cluster.alignment import misplaced
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.masks import read_mask
from pyxstan.cluster.readers import read_image
from pyxstan.errors import DataError

NY, NX = 40, 50
Y, X = np.mgrid[:NY, :NX]
#: A round field of view.
FIELD = np.hypot(X - 25, Y - 20) < 15
EXPOSURE = np.where(FIELD, 3e7, 0.0)
COUNTS = np.where(FIELD, np.random.default_rng(3).poisson(3.0, (NY, NX)), 0)
BACKGROUND = np.where(FIELD, 0.2, 0.0)
MASK = np.where(np.hypot(X - 30, Y - 24) < 3, 1.0, 0.0)


def header(**keywords: Any) -> fits.Header:
    cards = {
        "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 20.0, "CRPIX2": 15.0,
        "CRVAL1": 150.0, "CRVAL2": 30.0, "CDELT1": -2 / 3600, "CDELT2": 2 / 3600,
        "CUNIT1": "deg", "CUNIT2": "deg",
    }  # fmt: skip
    return fits.Header(list({**cards, **keywords}.items()))


def write(path: Path, values: Any, **keywords: Any) -> Path:
    fits.PrimaryHDU(values, header(**keywords)).writeto(path, overwrite=True)
    return path


PARTS = {"counts": COUNTS, "exposure": EXPOSURE, "background_map": BACKGROUND, "mask": MASK}


def read(folder: Path, **changed: Any) -> ClusterImage:
    """An image of files, some of which hold something else."""
    paths = {}
    for name, values in PARTS.items():
        given = changed.get(name, values)
        keywords = {"BUNIT": "cm2 s"} if name == "exposure" else {}
        paths[name] = (
            given if isinstance(given, Path) else write(folder / f"{name}.fits", given, **keywords)
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return ClusterImage.from_fits(**paths)


def spoilt(name: str, value: float, where: Any) -> Any:
    return np.where(where, value, PARTS[name].astype(float))


@pytest.mark.parametrize("value", [np.nan, -1.0, -1e-8, np.inf, -np.inf, 0.5, -32768.0])
@pytest.mark.parametrize("name", PARTS)
def test_outside_the_field_anything_may_stand(name: str, value: float, tmp_path: Path) -> None:
    if name == "exposure" and value in (np.inf, 0.5):
        # These are exposures: the first is everywhere's peak.
        value = np.nan
    good = read(tmp_path)
    assert good.good.sum() == (FIELD & (MASK == 0)).sum()
    image = read(tmp_path, **{name: spoilt(name, value, ~FIELD)})
    np.testing.assert_array_equal(image.good, good.good)
    for array in ("counts", "exposure", "background_map"):
        found = getattr(image, array)
        np.testing.assert_array_equal(found[image.good], getattr(good, array)[good.good])
        assert (found >= 0).all()
        assert np.isfinite(found).all()
    words = {"exposure": "without an exposure", "mask": "mask", "counts": "hold no counts"}
    if not (name in ("mask", "background_map") and value in (0.5, np.inf)) and value != -1e-8:
        assert any(words.get(name, "hold no background") in note for note in image.notes)
    arrays = ClusterImage.from_arrays(
        **{**PARTS, name: spoilt(name, value, ~FIELD)}  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(arrays.good, good.good)


@pytest.mark.parametrize("value", [np.nan, -1.0, np.inf, 0.5])
@pytest.mark.parametrize("name", ["counts", "background_map"])
def test_below_a_mask_anything_may_stand(name: str, value: float, tmp_path: Path) -> None:
    read(tmp_path, **{name: spoilt(name, value, MASK > 0)})


@pytest.mark.parametrize("value", [np.nan, -1.0, -1e-3, np.inf])
@pytest.mark.parametrize("name", ["counts", "exposure", "background_map", "mask"])
def test_inside_the_field_it_is_named(name: str, value: float, tmp_path: Path) -> None:
    if name == "mask" and not np.isnan(value):
        return
    if name == "exposure" and value == np.inf:
        return
    with pytest.raises(DataError, match=rf"{name}.fits: .*pixel \(21, 17\) .*{value:g}"):
        read(tmp_path, **{name: spoilt(name, value, (X == 21) & (Y == 17))})


def test_infinite_exposure_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"exposure.fits: exposure of pixel \(21, 17\) is inf"):
        read(tmp_path, exposure=spoilt("exposure", np.inf, (X == 21) & (Y == 17)))


def test_gaps_of_the_field_may_be_no_numbers(tmp_path: Path) -> None:
    """A gap between chips reaches the edge of the field, a damaged pixel does not."""
    image = read(tmp_path, exposure=spoilt("exposure", np.nan, X == 25))
    assert not image.good[:, 25].any()
    assert image.good.sum() == (FIELD & (MASK == 0) & (X != 25)).sum()
    words = f"{tmp_path / 'exposure.fits'}: 40 pixels without an exposure (nan), not fitted"
    assert words in image.notes


def test_integers_with_blanks_and_scales(tmp_path: Path) -> None:
    whole = np.where(FIELD, COUNTS, -32768).astype(np.int16)
    image = read(tmp_path, counts=write(tmp_path / "blank.fits", whole, BLANK=-32768))
    np.testing.assert_array_equal(image.counts, COUNTS)
    path = tmp_path / "scaled.fits"
    hdu = fits.PrimaryHDU(COUNTS.astype(float), header())
    hdu.scale("int16", bscale=0.1, bzero=-5)
    hdu.writeto(path)
    values = read_image(path).values
    assert values.dtype == float
    image = read(tmp_path, counts=path)
    np.testing.assert_array_equal(image.counts, COUNTS)
    assert image.counts.dtype == np.int64


def test_nearly_whole_counts_are_rounded_and_said(tmp_path: Path) -> None:
    image = read(tmp_path, counts=COUNTS + np.where((X + Y) % 2, 1e-8, -1e-8))
    np.testing.assert_array_equal(image.counts, COUNTS)
    assert any("rounded to whole numbers" in note for note in image.notes)


def test_headers_make_no_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """Old dates, units astropy mends, distortions without their CTYPE."""
    odd = {"MJDREF": 50814.0, "DATE-OBS": "28/06/00", "RADECSYS": "FK5", "EQUINOX": 2000.0,
           "CUNIT1": "degree", "A_ORDER": 2, "B_ORDER": 2, "A_0_2": 1e-9,
           "B_0_2": 1e-9}  # fmt: skip
    paths = {
        name: write(tmp_path / f"{name}.fits", values, BUNIT="cm2 s", **odd)
        for name, values in PARTS.items()
    }
    image = ClusterImage.from_fits(**paths)
    assert image.pixel_scale == pytest.approx(2.0, rel=1e-3)
    assert image.sky(3.0, 4.0) is not None
    assert not recwarn.list
    assert capfd.readouterr() == ("", "")


def test_celestial_axes_of_headers(tmp_path: Path) -> None:
    """A spectral axis of length one goes; ecliptic coordinates are not taken for equatorial."""
    cube = write(tmp_path / "cube.fits", COUNTS[None], CTYPE3="FREQ", CRVAL3=1e9, CDELT3=1e6)
    image = read_image(cube, wcs=True)
    place = image.wcs.pixel_to_world(19, 14)
    assert (place.ra.deg, place.dec.deg) == (pytest.approx(150), pytest.approx(30))
    ecliptic = write(tmp_path / "e.fits", COUNTS, CTYPE1="ELON-TAN", CTYPE2="ELAT-TAN")
    image = read_image(ecliptic, wcs=True)
    assert image.wcs is None
    assert image.no_wcs == "celestial coordinates 'ELON', expected RA or GLON"


def test_images_of_an_extension(tmp_path: Path) -> None:
    path = tmp_path / "many.fits"
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(COUNTS, header(), "SOFT"),
            fits.ImageHDU(COUNTS + 1, header(), "HARD")]  # fmt: skip
    fits.HDUList(hdus).writeto(path)
    image = read(tmp_path, counts=path)
    np.testing.assert_array_equal(image.counts[FIELD], COUNTS[FIELD])
    assert f"{path}: its image is that of extension 1 (SOFT), not 2 (HARD)" in image.notes
    for extension in ("2", "HARD", "hard"):
        values = read_image(f"{path}[{extension}]").values
        np.testing.assert_array_equal(values, COUNTS + 1)
    with pytest.raises(DataError, match=r"many.fits\[3\]: no image in the file"):
        read_image(f"{path}[3]")


# Where pixels are on the sky


def test_corners_without_a_sky_say_nothing_of_where_an_image_is() -> None:
    def hemisphere(shift: float) -> WCS:
        cards = {"CTYPE1": "RA---SIN", "CTYPE2": "DEC--SIN", "CRPIX1": 60 + shift, "CRPIX2": 60.0,
                 "CRVAL1": 10.0, "CRVAL2": 20.0, "CDELT1": -1.0, "CDELT2": 1.0}  # fmt: skip
        return WCS(fits.Header(list(cards.items())))

    image = hemisphere(0.0)
    assert misplaced(hemisphere(0.0), "a", image, "b", (120, 120)) == ""
    assert misplaced(hemisphere(3.0), "a", image, "b", (120, 120)).startswith("a: 3 pixels off b")


@pytest.mark.parametrize("name", ["exposure", "background_map", "mask"])
def test_images_that_are_misplaced(name: str, tmp_path: Path) -> None:
    assert read(tmp_path).warnings == ()
    for keywords, words in (
        ({"CRPIX1": 30.0}, "10 pixels off .*counts.fits by their celestial coordinates"),
        ({"CRPIX2": 15.6}, "0.6 pixels off"),
        ({"CRVAL1": 200.0}, "off .*counts.fits"),
        ({"CDELT1": -4 / 3600, "CDELT2": 4 / 3600}, "pixels are 2 times as wide"),
        ({"CROTA2": 10.0}, "it is turned"),
    ):
        path = write(tmp_path / f"{name}.fits", PARTS[name], BUNIT="cm2 s", **keywords)
        image = read(tmp_path, **{name: path})
        (found,) = image.warnings
        assert found.startswith(f"{path}: ")
        assert re.search(words, found)
        assert found in image.notes
    near = write(tmp_path / f"{name}.fits", PARTS[name], BUNIT="cm2 s", CRPIX1=20.3)
    assert read(tmp_path, **{name: near}).warnings == ()


@pytest.mark.parametrize("name", ["exposure", "background_map", "mask"])
def test_images_of_other_pixels(name: str, tmp_path: Path) -> None:
    coarse = PARTS[name][::2, ::2]
    path = write(tmp_path / f"{name}.fits", coarse, BUNIT="cm2 s", CDELT1=-4 / 3600,
                 CDELT2=4 / 3600, CRPIX1=10.25, CRPIX2=7.75)  # fmt: skip
    with pytest.raises(DataError, match=r"25 x 20 pixels, but .* \(its pixels are 2 times as wide"):
        read(tmp_path, **{name: path})
    part = PARTS[name][5:, 7:]
    path = write(path, part, BUNIT="cm2 s", CRPIX1=13.0, CRPIX2=10.0)
    with pytest.raises(DataError, match=r"43 x 35 pixels, but .*first pixel is at \(7, 5\) there"):
        read(tmp_path, **{name: path})


def test_masks_of_what_to_keep(tmp_path: Path) -> None:
    image = read(tmp_path, mask=1 - MASK + (np.hypot(X - 18, Y - 15) < 7) * (MASK - 1))
    (found,) = image.warnings
    assert "mask.fits: it hides 7" in found
    assert "left out of the fit, not kept" in found
    assert read_mask(tmp_path / "mask.fits", (NY, NX)).sum() > 1000


# The unit of the exposure

#: peak, EXPOSURE, keywords of the map, exposure_unit -> unit and factor, or words of an error
UNITS: dict[str, tuple[float, float | None, dict[str, Any], str | None, Any]] = {
    "relative": (1.0, 2e4, {}, None, r"its peak, 1 \(5e-05 of EXPOSURE, 20000 s\): give expos"),
    "relative, no time": (0.93, None, {}, None, "its peak, 0.93: give exposure_unit"),
    "tenths of the time": (6000.0, 2e4, {}, None, r"6000 \(0.3 of EXPOSURE"),
    "tenths of a short time": (600.0, 2e3, {}, None, r"600 \(0.3 of EXPOSURE"),
    "a few times the time": (5e4, 2e4, {}, None, r"50000 \(2.5 of EXPOSURE"),
    "long": (2e6, 5e6, {}, None, r"2e\+06 \(0.4 of EXPOSURE"),
    "few cm2": (3.0, 2e4, {}, None, "its peak, 3"),
    "area": (600.0, 2e4, {}, None, ("cm2 s", 2e4)),
    "time": (19000.0, 2e4, {}, None, ("s", 1.0)),
    "product": (8e6, 2e4, {}, None, ("cm2 s", 1.0)),
    "by the program": (6000.0, 2e4, {"CREATOR": "eexpmap (eexpmap-4.6)"}, None, ("s", 1.0)),
    "relative by option": (0.9, 2e4, {}, "relative", ("s", 2e4)),
    "relative by header": (0.9, 2e4, {"BUNIT": "fraction"}, None, ("s", 2e4)),
    "percent": (95.0, 2e4, {"BUNIT": "%"}, None, ("s", 200.0)),
    "other keyword": (7e6, 2e4, {"UNITS": "cm**2 s"}, None, ("cm2 s", 1.0)),
    "relative without a time": (0.9, None, {}, "relative", "no keyword EXPOSURE"),
}  # fmt: skip


@pytest.mark.parametrize("case", UNITS)
def test_exposure_units(case: str, tmp_path: Path) -> None:
    peak, time, keywords, given, expected = UNITS[case]
    counts = write(tmp_path / "c.fits", COUNTS, **({"EXPOSURE": time} if time else {}))
    chart = write(tmp_path / "e.fits", EXPOSURE / 3e7 * peak, **keywords)
    if isinstance(expected, str):
        with pytest.raises(DataError, match=expected):
            ClusterImage.from_fits(counts, chart, exposure_unit=given)
        return
    image = ClusterImage.from_fits(counts, chart, exposure_unit=given)
    assert image.exposure_unit == expected[0]
    assert image.exposure.max() == pytest.approx(peak * expected[1])
    assert image.brightness_unit == (
        "counts/s/pixel" if expected[0] == "s" else "counts/s/cm2/pixel"
    )
    assert "exposure map" in image.notes[0]
    assert image.warnings == ()


def test_exposure_time_of_the_map(tmp_path: Path) -> None:
    counts = write(tmp_path / "c.fits", COUNTS)
    chart = write(tmp_path / "e.fits", EXPOSURE / 3e7 * 600, EXPOSURE=1e4, BUNIT="cm2")
    image = ClusterImage.from_fits(counts, chart)
    assert image.exposure.max() == pytest.approx(6e6)
    assert f"multiplied by EXPOSURE = 10000 s of {chart}" in image.notes[0]


@pytest.mark.parametrize(("unit", "peak"), [("cm2", 1.0), ("s", 1.0), ("cm2 s", 1e4), ("s", 1e6)])
def test_units_of_headers_that_can_hardly_be(unit: str, peak: float, tmp_path: Path) -> None:
    counts = write(tmp_path / "c.fits", COUNTS, EXPOSURE=2e4)
    chart = write(tmp_path / "e.fits", EXPOSURE / 3e7 * peak, BUNIT=unit)
    image = ClusterImage.from_fits(counts, chart)
    (found,) = image.warnings
    assert f"the header gives the exposure in {unit}, but its peak is {peak:g}" in found
    assert ClusterImage.from_fits(counts, chart, exposure_unit=unit).warnings == ()


def test_arrays_of_a_relative_exposure_are_doubted() -> None:
    relative = EXPOSURE / EXPOSURE.max()
    (found,) = ClusterImage.from_arrays(COUNTS, relative).warnings
    assert found.startswith("exposure: its peak is 1 cm2 s; if it is relative")
    assert ClusterImage.from_arrays(COUNTS, relative * 2e4, exposure_unit="s").warnings == ()
    assert ClusterImage.from_arrays(COUNTS, EXPOSURE).warnings == ()
    with pytest.raises(DataError, match=r"'relative': multiply the map .* and give 's'"):
        ClusterImage.from_arrays(COUNTS, relative, exposure_unit="relative")


def test_doubts_are_warnings_of_the_fit() -> None:
    """What makes a fit doubtful is said as such, and once."""
    from pyxstan.cluster.models import MODELS
    from pyxstan.cluster.problem import prepare

    image = ClusterImage.from_arrays(COUNTS, EXPOSURE / EXPOSURE.max())
    options = {one.name: one.default for one in MODELS[0].options}
    problem = prepare("beta", image, options, {})
    assert [one for one in problem.warnings if one in image.warnings] == list(image.warnings)
    assert not set(problem.notes) & set(image.warnings)
