"""From FITS files to `ClusterImage`: images and their headers."""

from __future__ import annotations

import io
import logging
import math
import os
import re
import string
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.cluster.alignment import how_it_differs, misplaced
from pyxstan.cluster.data import ClusterImage, assembled, checked_min_exposure
from pyxstan.cluster.exposure_units import exposure_unit as decided_unit
from pyxstan.cluster.exposure_units import parse_unit
from pyxstan.cluster.masks import Physical, load_mask
from pyxstan.cluster.pixel_values import Bools, Floats, Hidden, Ints, Named, numbers, size
from pyxstan.errors import DataError
from pyxstan.fits_files import content, is_truncated, reason

__all__ = ["FitsImage", "parse_unit", "read_cluster_image", "read_image"]

#: A mask of more than this part of the exposed pixels may be one of what to keep.
_MUCH = 0.5
#: A file and one of its extensions, as CFITSIO writes them.
_EXTENSION = re.compile(r"(.+)\[([^\[\]]+)\]$")


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
    #: Which of several images it is.
    note: str = ""

    def keyword(self, name: str) -> Any:
        """Value of a keyword in the image's header, else in the primary one, else None."""
        for header in self.headers:
            if header.get(name) is not None:
                return header[name]
        return None

    @property
    def physical(self) -> Physical | None:
        """Physical coordinates (``LTM``/``LTV``, else the WCS of that name), if there are."""
        header = self.headers[0]
        try:
            if "LTM1_1" in header or "LTV1" in header:
                for name in ("LTM1_2", "LTM2_1"):
                    if float(header.get(name, 0.0)):
                        raise DataError(
                            f"{self.source}: keyword {name} turns physical coordinates: give "
                            "regions in image or sky coordinates"
                        )
                scale = [float(header.get(f"LTM{axis}_{axis}", 1.0)) for axis in (1, 2)]
                shift = [float(header.get(f"LTV{axis}", 0.0)) for axis in (1, 2)]
            elif (letter := _physical_wcs(header)) is not None:
                scale = [1.0 / float(header[f"CDELT{axis}{letter}"]) for axis in (1, 2)]
                shift = [
                    float(header.get(f"CRPIX{axis}{letter}", 0.0))
                    - float(header.get(f"CRVAL{axis}{letter}", 0.0)) * scale[axis - 1]
                    for axis in (1, 2)
                ]
            else:
                return None
        except DataError:
            raise
        except (TypeError, ValueError, KeyError, ZeroDivisionError):
            return None
        if not (all(scale) and all(map(math.isfinite, [*scale, *shift]))):
            return None
        return Physical((scale[0], scale[1]), (shift[0], shift[1]))


def _physical_wcs(header: Any) -> str | None:
    """Letter of the alternate coordinates that are the physical ones: by name, else P."""
    for letter in string.ascii_uppercase:
        if str(header.get(f"WCSNAME{letter}", "")).strip().upper() == "PHYSICAL":
            return letter
    return "P" if "CDELT1P" in header else None


def read_image(path: str | Path, *, wcs: bool = False) -> FitsImage:
    """Read the first two-dimensional image of a FITS file.

    Parameters
    ----------
    path
        FITS file, also compressed (gzip, bzip2, tiles); the image may be in an extension, which
        ``file.fits[2]`` or ``file.fits[NAME]`` chooses. Axes of length one are dropped.
    wcs
        Read its celestial coordinates too.

    Raises
    ------
    DataError
        No such file, a directory, an empty, damaged or truncated file, no image in it.
    """
    from astropy.io import fits

    file, extension = _extension(Path(path))
    whole = content(file, "a FITS image")
    with quiet(), warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            with fits.open(io.BytesIO(whole), memmap=False) as hdus:
                list(hdus)
                _refuse_truncated(path, found)
                image = _first_image(hdus, str(path), extension)
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


@contextmanager
def quiet() -> Iterator[None]:
    """Keep astropy's logger silent: it tells of distortions in headers at every reading."""
    logger = logging.getLogger("astropy")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _extension(path: Path) -> tuple[Path, str | None]:
    """A file and the extension that is asked for."""
    match = _EXTENSION.match(str(path))
    if match is None or path.exists():
        return path, None
    return Path(match[1]), match[2].strip()


def _refuse_truncated(path: str | Path, found: list[warnings.WarningMessage]) -> None:
    if is_truncated(found):
        raise DataError(f"{path}: not a readable FITS image (the file is cut short)")


def _first_image(hdus: Any, source: str, extension: str | None) -> FitsImage:
    other = ""
    images = []
    for number, hdu in enumerate(hdus):
        if extension is not None and extension.upper() not in (str(number), hdu.name.upper()):
            continue
        if not hdu.is_image or not hdu.shape:
            continue
        lengths = [length for length in hdu.shape if length != 1]
        if len(lengths) != 2 or 0 in lengths:
            axes = " x ".join(str(length) for length in reversed(hdu.shape))
            other = other or f"an image of {len(hdu.shape)} axes ({axes}), expected two"
            continue
        images.append((number, hdu, lengths))
    if not images:
        raise DataError(f"{source}: {other or 'no image in the file'}")
    number, hdu, lengths = images[0]
    data = hdu.data.reshape(lengths)
    whole = data.dtype.kind == "i" or (data.dtype.kind == "u" and data.dtype.itemsize < 8)
    kind = np.int64 if whole else np.float64
    note = ""
    if len(images) > 1:
        others = ", ".join(_name(n, one) for n, one, _ in images[1:4])
        more = " ..." if len(images) > 4 else ""
        note = f"{source}: its image is that of extension {_name(number, hdu)}, not {others}{more}"
    return FitsImage(
        data.astype(kind), source, (hdu.header.copy(), hdus[0].header.copy()), note=note
    )


def _name(number: int, hdu: Any) -> str:
    return f"{number} ({hdu.name})" if hdu.name else str(number)


def _celestial(header: Any) -> tuple[Any, str]:
    """Celestial coordinates of a header, or None and why there are none."""
    from astropy.wcs import WCS

    try:
        found = WCS(header)
        if not found.has_celestial:
            return None, "no celestial coordinates in its header"
        if found.naxis != 2:
            found = found.celestial
        longitude = found.wcs.lngtyp.strip()
        if longitude not in ("RA", "GLON"):
            # astropy would take them for equatorial ones.
            return None, f"celestial coordinates '{longitude}', expected RA or GLON"
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
    numbers(image.values, image.source, "counts")
    chart = read_image(_path(exposure, "exposure"), wcs=True)
    _same_pixels(chart, image)
    notes = [f"{image.source}: {image.no_wcs}"] if image.wcs is None else []
    doubts = _misplaced(chart, image)
    peak = _peak(chart)
    unit = decided_unit(chart, peak, exposure_unit, image)
    doubts.extend(unit.warnings)
    notes += [*doubts, unit.note, *filter(None, (image.note, chart.note))]
    expected = None
    if background_map is not None:
        background = read_image(_path(background_map, "background_map"), wcs=True)
        _same_pixels(background, image)
        found = _misplaced(background, image)
        doubts += found
        notes += [*found, *filter(None, (background.note,))]
        expected = Named(background.values, background.source)
    masks = []
    with np.errstate(invalid="ignore"):
        exposed = (chart.values > min_exposure * peak) & (chart.values > 0)
    for path in _paths(mask):
        hidden, said, found = _mask(path, image, exposed)
        masks.append(hidden)
        notes += [*said, *found]
        doubts += found
    return assembled(
        Named(image.values, image.source), Named(chart.values, chart.source), masks, expected,
        min_exposure=min_exposure, factor=unit.factor, unit=unit.unit, wcs=image.wcs,
        notes=notes, warnings=doubts,
    )  # fmt: skip


def _peak(chart: FitsImage) -> float:
    """Largest value of an exposure map that is a number."""
    values = chart.values[np.isfinite(chart.values)]
    peak = float(values.max(initial=0))
    if not peak > 0:
        raise DataError(f"{chart.source}: the exposure is 0 everywhere")
    return peak


def _mask(path: Path, image: FitsImage, exposed: Bools) -> tuple[Hidden, list[str], list[str]]:
    """A mask, what to say of it, and what to doubt."""
    mask = load_mask(path, image.values.shape, image.wcs, physical=image.physical)
    covered = int(mask.pixels.sum())
    notes = [f"mask {path}: {covered} of {mask.pixels.size} pixels" if covered else
             f"mask {path}: masks nothing in the image", *mask.notes]  # fmt: skip
    doubts = []
    if mask.image is not None:
        doubts = _misplaced(mask.image, image)
        notes += filter(None, (mask.image.note,))
    part = (mask.pixels & exposed).sum() / max(exposed.sum(), 1)
    if part > _MUCH:
        doubts.append(
            f"mask {path}: it hides {part:.0%} of the exposed pixels: what is inside regions, or "
            "not 0 in an image, is left out of the fit, not kept"
        )
    return Hidden(mask.pixels, str(path), mask.unknown), notes, doubts


def _same_pixels(chart: FitsImage, image: FitsImage) -> None:
    """Raise unless a map has the shape of the counts image."""
    if chart.values.shape != image.values.shape:
        raise DataError(
            f"{chart.source}: {size(chart.values.shape)}, but {image.source} has "
            f"{size(image.values.shape)}{how_it_differs(chart.wcs, image.wcs, chart.values.shape)}"
        )


def _misplaced(chart: FitsImage, image: FitsImage) -> list[str]:
    words = misplaced(chart.wcs, chart.source, image.wcs, image.source, image.values.shape)
    return [words] if words else []


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
