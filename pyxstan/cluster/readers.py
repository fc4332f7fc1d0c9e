"""From FITS files to `ClusterImage`: images, their headers, the unit of an exposure map."""

from __future__ import annotations

import io
import math
import os
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.cluster.data import (
    ClusterImage,
    Floats,
    Ints,
    checked_counts,
    checked_map,
    checked_min_exposure,
    same_shape,
)
from pyxstan.cluster.masks import Physical, read_mask
from pyxstan.errors import DataError
from pyxstan.fits_files import content, is_truncated, reason

#: Peaks that tell the unit of an exposure map: no telescope has 5000 cm2 behind one pixel's
#: photons, no observation worth fitting has less than 1e6 cm2 s.
_LARGEST_AREA = 5000.0
_SMALLEST_AREA_TIME = 1e6
#: Peak of a map in s, as a fraction of EXPOSURE: dead time and vignetting one way, and slightly
#: different good time intervals the other.
_TIME_FRACTIONS = (0.5, 1.2)


@dataclass(frozen=True)
class FitsImage:
    """The first two-dimensional image of a FITS file, in native numbers, and its header."""

    values: Floats | Ints
    source: str
    #: Header of the image, header of the file's primary HDU.
    headers: tuple[Any, Any]
    #: Celestial coordinates, where the header has them.
    wcs: Any = None
    #: Why there are none.
    no_wcs: str = ""

    def keyword(self, name: str) -> Any:
        """Value of a keyword in the image's header, else in the primary one, else None."""
        for header in self.headers:
            if header.get(name) is not None:
                return header[name]
        return None

    @property
    def physical(self) -> Physical | None:
        """Physical coordinates (``LTM``/``LTV``, else the alternate WCS ``P``), if there are."""
        header = self.headers[0]
        try:
            if "LTM1_1" in header or "LTV1" in header:
                scale = [float(header.get(f"LTM{axis}_{axis}", 1.0)) for axis in (1, 2)]
                shift = [float(header.get(f"LTV{axis}", 0.0)) for axis in (1, 2)]
            elif "CDELT1P" in header:
                scale = [1.0 / float(header[f"CDELT{axis}P"]) for axis in (1, 2)]
                shift = [
                    float(header.get(f"CRPIX{axis}P", 0.0))
                    - float(header.get(f"CRVAL{axis}P", 0.0)) * scale[axis - 1]
                    for axis in (1, 2)
                ]
            else:
                return None
        except (TypeError, ValueError, KeyError, ZeroDivisionError):
            return None
        if not (all(scale) and all(map(math.isfinite, [*scale, *shift]))):
            return None
        return Physical((scale[0], scale[1]), (shift[0], shift[1]))


def read_image(path: str | Path, *, wcs: bool = False) -> FitsImage:
    """Read the first two-dimensional image of a FITS file.

    Parameters
    ----------
    path
        FITS file, also compressed (gzip, bzip2, tiles); the image may be in an extension. Axes of
        length one are dropped.
    wcs
        Read its celestial coordinates too.

    Raises
    ------
    DataError
        No such file, a directory, an empty, damaged or truncated file, no image in it.
    """
    from astropy.io import fits

    whole = content(Path(path), "a FITS image")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            with fits.open(io.BytesIO(whole), memmap=False) as hdus:
                list(hdus)
                _refuse_truncated(path, found)
                image = _first_image(hdus, str(path))
        except DataError:
            raise
        except Exception as error:
            _refuse_truncated(path, found)
            raise DataError(f"{path}: not a readable FITS image ({reason(error)})") from None
        _refuse_truncated(path, found)
        if not wcs:
            return image
        coordinates, why = _celestial(image.headers[0])
    return replace(image, wcs=coordinates, no_wcs=why)


def _refuse_truncated(path: str | Path, found: list[warnings.WarningMessage]) -> None:
    if is_truncated(found):
        raise DataError(f"{path}: not a readable FITS image (the file is cut short)")


def _first_image(hdus: Any, source: str) -> FitsImage:
    other = ""
    for hdu in hdus:
        if not hdu.is_image or not hdu.shape:
            continue
        lengths = [length for length in hdu.shape if length != 1]
        if len(lengths) != 2 or 0 in lengths:
            axes = " x ".join(str(length) for length in reversed(hdu.shape))
            other = other or f"an image of {len(hdu.shape)} axes ({axes}), expected two"
            continue
        data = hdu.data.reshape(lengths)
        whole = data.dtype.kind == "i" or (data.dtype.kind == "u" and data.dtype.itemsize < 8)
        kind = np.int64 if whole else np.float64
        return FitsImage(data.astype(kind), source, (hdu.header.copy(), hdus[0].header.copy()))
    raise DataError(f"{source}: {other or 'no image in the file'}")


def _celestial(header: Any) -> tuple[Any, str]:
    """Celestial coordinates of a header, or None and why there are none."""
    from astropy.wcs import WCS

    try:
        found = WCS(header, naxis=2)
        if not found.has_celestial:
            return None, "no celestial coordinates in its header"
        sky = found.pixel_to_world(0, 0)
        return (found, "") if hasattr(sky, "icrs") else (None, "no celestial coordinates")
    except Exception as error:
        return None, f"coordinates that can't be read ({reason(error)})"


def read_cluster_image(
    counts: Any,
    exposure: Any,
    mask: Any,
    background_map: Any,
    exposure_unit: str | None,
    min_exposure: float,
) -> ClusterImage:
    """Do the work of `ClusterImage.from_fits`."""
    checked_min_exposure(min_exposure)
    image = read_image(_path(counts, "counts"), wcs=True)
    numbers = checked_counts(image.values, image.source)
    chart = read_image(_path(exposure, "exposure"), wcs=True)
    exposed = checked_map(chart.values, chart.source, "exposure")
    same_shape(exposed, chart.source, numbers, image.source)
    notes = [f"{image.source}: {image.no_wcs}"] if image.wcs is None else []
    notes += _misaligned(chart, image)
    factor, unit, note = _exposure_unit(chart, float(exposed.max()), exposure_unit, image)
    notes.append(note)
    expected = None
    if background_map is not None:
        background = read_image(_path(background_map, "background_map"), wcs=True)
        expected = checked_map(background.values, background.source, "background")
        same_shape(expected, background.source, numbers, image.source)
        notes += _misaligned(background, image)
    masked = np.zeros(numbers.shape, dtype=bool)
    for path in _paths(mask):
        hidden = read_mask(path, numbers.shape, image.wcs, physical=image.physical)
        covered = int(hidden.sum())
        notes.append(f"mask {path}: {covered} of {hidden.size} pixels" if covered else
                     f"mask {path}: masks nothing in the image")  # fmt: skip
        masked |= hidden
    made = ClusterImage.from_arrays(
        numbers,
        exposed * factor,
        mask=masked,
        background_map=expected,
        exposure_unit=unit,
        min_exposure=min_exposure,
        wcs=image.wcs,
        source=image.source,
    )
    return replace(made, notes=(*notes, *made.notes))


def _path(value: Any, name: str) -> Path:
    if not isinstance(value, (str, os.PathLike)):
        raise DataError(f"{name}: expected the path of a FITS file, got {type(value).__name__}")
    return Path(value)


def _paths(mask: Any) -> list[Path]:
    if mask is None:
        return []
    if isinstance(mask, (str, os.PathLike)):
        return [Path(mask)]
    if isinstance(mask, np.ndarray) or not isinstance(mask, Iterable):
        raise DataError(f"mask: expected paths of mask files, got {type(mask).__name__}")
    return [_path(path, "mask") for path in mask]


def _misaligned(chart: FitsImage, image: FitsImage) -> list[str]:
    """Say when two files put one pixel at places half a pixel or more apart."""
    if chart.wcs is None or image.wcs is None:
        return []
    ny, nx = image.values.shape
    x, y = np.array([nx / 2, 0.0]), np.array([ny / 2, 0.0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            there = image.wcs.world_to_pixel(chart.wcs.pixel_to_world(x, y))
            apart = float(np.hypot(there[0] - x, there[1] - y).max())
        except Exception:
            apart = math.nan
    if apart < 0.5:
        return []
    shift = f"{apart:.3g} pixels" if math.isfinite(apart) else "far"
    return [f"{chart.source}: {shift} off {image.source} by their celestial coordinates"]


def parse_unit(text: str) -> tuple[str, float] | None:
    """Take a unit apart: "cm2", "cm2 s" or "s" and the factor to it, or None if it is none.

    >>> parse_unit("sec cm**2 counts/photon"), parse_unit("Primary Array")
    (('cm2 s', 1.0), None)
    """
    from astropy import units as u

    plain = text.strip()
    for word, symbol in (("sec(?:onds?|s)?", "s"), ("counts", "ct"), ("cts", "ct"),
                         ("photons", "photon")):  # fmt: skip
        plain = re.sub(rf"(?i)\b{word}\b", symbol, plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for spelling in dict.fromkeys((plain, plain.lower())):
            try:
                found = u.Unit(spelling)
            except (ValueError, TypeError):
                continue
            for name in ("cm2", "cm2 s", "s"):
                for unit in (u.Unit(name), u.Unit(name) * u.ct / u.photon):
                    if found.is_equivalent(unit):
                        return name, float(found.to(unit))
    return None


def _exposure_unit(
    chart: FitsImage, peak: float, given: str | None, image: FitsImage
) -> tuple[float, str, str]:
    """Factor that brings an exposure map to its unit, the unit, and how that was decided."""
    time = image.keyword("EXPOSURE")
    stated = chart.headers[0].get("BUNIT")
    if given is not None:
        found = parse_unit(given) if isinstance(given, str) else None
        if found is None:
            raise DataError(f"exposure_unit '{given}' is not cm2, cm2 s or s")
        why = "as given by exposure_unit"
    elif isinstance(stated, str) and (found := parse_unit(stated)) is not None:
        why = f"by its BUNIT '{stated}'"
    else:
        found, why = _guess(peak, time, chart.source)
    unit, factor = found
    note = f"exposure map {chart.source} taken in {unit}, {why}"
    if unit != "cm2":
        return factor, unit, note
    seconds = _seconds(time, image.source)
    note += f", and multiplied by EXPOSURE = {seconds:g} s of {image.source}"
    return factor * seconds, "cm2 s", note


def _guess(peak: float, time: Any, source: str) -> tuple[tuple[str, float], str]:
    low, high = _TIME_FRACTIONS
    if _is_positive(time) and low <= peak / time <= high:
        return ("s", 1.0), f"a guess: its peak, {peak:g}, is about the image's EXPOSURE, {time:g} s"
    if peak > _SMALLEST_AREA_TIME:
        return ("cm2 s", 1.0), f"a guess from its peak, {peak:g}"
    if peak < _LARGEST_AREA:
        return ("cm2", 1.0), f"a guess from its peak, {peak:g}"
    raise DataError(
        f"{source}: BUNIT does not say the unit of the exposure, nor does its peak, {peak:g}: "
        "give exposure_unit (cm2, cm2 s or s)"
    )


def _seconds(time: Any, source: str) -> float:
    if time is None:
        raise DataError(
            f"{source}: no keyword EXPOSURE (s) to multiply the exposure map in cm2 by; "
            "if the map is in another unit, give exposure_unit"
        )
    if not _is_positive(time):
        raise DataError(f"{source}: keyword EXPOSURE is '{time}', expected a positive number of s")
    return float(time)


def _is_positive(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0
