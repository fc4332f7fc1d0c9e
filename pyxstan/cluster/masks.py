"""Masks from files: region files, tables of circles, mask images.

A pixel is masked when its centre lies inside a shape. What the shapes of a region file mean
together, and excluded ones, says `pyxstan.cluster.region_files`.
"""

from __future__ import annotations

import codecs
import io
import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.cluster.alignment import how_it_differs
from pyxstan.cluster.pixel_values import Bools, size
from pyxstan.cluster.region_files import read_region_text
from pyxstan.cluster.region_shapes import Canvas, Physical
from pyxstan.cluster.region_tables import is_region_table, read_region_table
from pyxstan.errors import DataError
from pyxstan.fits_files import content, reason, unpacked
from pyxstan.text_tables import is_number

if TYPE_CHECKING:
    from pyxstan.cluster.readers import FitsImage

__all__ = ["Mask", "Physical", "load_mask", "read_mask"]


@dataclass(frozen=True)
class Mask:
    """What a file masks.

    Parameters
    ----------
    pixels
        True where a pixel is masked.
    unknown
        True where the file does not say (NaN in an image).
    notes
        What was decided on reading.
    image
        The mask image, if it is one.
    """

    pixels: Bools
    unknown: Bools
    notes: tuple[str, ...] = ()
    image: FitsImage | None = None


def read_mask(
    path: str | Path, shape: tuple[int, ...], wcs: Any = None, *, physical: Physical | None = None
) -> Bools:
    """Read a mask, True where a pixel is masked.

    Parameters
    ----------
    path
        A file of DS9, CIAO or XMM regions (sky, image or physical coordinates, those without any
        being physical ones), also a FITS REGION table; a text table of circles ``x y radius`` in
        image pixels, the first pixel's centre at (1, 1) as in FITS and DS9 (blanks, commas,
        semicolons or bars between, ``#`` before a comment); a FITS image, masked where it is not 0.
        Any of them may be compressed.
    shape
        The image's (ny, nx).
    wcs
        Celestial coordinates of the image; sky regions need them.
    physical
        Physical coordinates of the image. Default: those of the image.

    Raises
    ------
    DataError
        A file that can't be read or is none of these, a shape or a row that is wrong, sky regions
        without `wcs`, a mask image of another shape or with NaN in it.
    """
    found = load_mask(path, shape, wcs, physical=physical)
    if found.unknown.any():
        y, x = np.argwhere(found.unknown)[0]
        raise DataError(f"{path}: pixel ({x}, {y}) is nan, expected 0 or masked (pixels from 0)")
    return found.pixels


def load_mask(
    path: str | Path, shape: tuple[int, ...], wcs: Any = None, *, physical: Physical | None = None
) -> Mask:
    """Do the work of `read_mask`, without a verdict on NaN in mask images."""
    path = Path(path)
    raw = unpacked(path, "a mask (regions, circles or FITS image)")
    nothing = np.zeros(shape, dtype=bool)
    canvas = Canvas(shape, wcs, physical)
    if raw.startswith(b"SIMPLE  ="):
        return _from_fits(path, canvas)
    text = _text(path, raw)
    lines = list(_lines(text))
    written = [(number, _content(line)) for number, line in lines]
    written = [(number, line) for number, line in written if line]
    if not written:
        if "region file" in text.lower():
            return Mask(nothing, nothing)
        raise DataError(f"{path}: the file is empty, or holds nothing but comments")
    table = _without_header(path, written)
    if table and is_number(_cells(table[0][1])[0]):
        return Mask(_from_circles(path, table, canvas.shape), nothing)
    pixels, notes = read_region_text(path, lines, canvas)
    return Mask(pixels, nothing, tuple(f"mask {path}: {note}" for note in notes))


def _text(path: Path, raw: bytes) -> str:
    """Text of a file in UTF-8, UTF-16 with its mark, or Windows's Latin-1."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        text = raw.decode("utf-16", errors="replace")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = raw.decode("cp1252", errors="replace")
    if re.search(r"[^\s\x20-\x7e\xa0-\U0010ffff]", text):
        raise DataError(f"{path}: not a mask (regions, a table of circles or a FITS image)")
    return text


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines of a text that say something, by their number."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            yield number, line.strip()


def _content(line: str) -> str:
    return line.split("#", 1)[0].strip().strip(",;|").strip()


def _cells(line: str) -> list[str]:
    return re.split(r"\s*[,;|]\s*|\s+", line)


def _without_header(path: Path, lines: list[tuple[int, str]]) -> list[tuple[int, str]]:
    """Rows of a table of circles, if the first line names its columns or is one of them."""
    names = [cell.lower() for cell in _cells(lines[0][1])]
    if not all(re.fullmatch(r"[a-z_]+", name) for name in names) or len(lines) < 2:
        return lines
    if not is_number(_cells(lines[1][1])[0]):
        return lines
    if len(names) == 3 and names[:2] == ["x", "y"] and names[2] in ("r", "rad", "radius"):
        return lines[1:]
    if len(names) < 2:
        return lines
    raise DataError(
        f"{path}: line {lines[0][0]}: columns {' '.join(names)}, expected x y radius in image "
        "pixels (give circles on the sky as a region file)"
    )


def _from_circles(path: Path, lines: list[tuple[int, str]], shape: tuple[int, int]) -> Bools:
    masked = np.zeros(shape, dtype=bool)
    for number, line in lines:
        cells = _cells(line)
        if len(cells) != 3:
            raise DataError(f"{path}: line {number}: {len(cells)} cells, expected x y radius")
        for cell in cells:
            if not (is_number(cell) and math.isfinite(float(cell))):
                raise DataError(f"{path}: line {number}: '{cell}' is not a finite number")
        x, y, radius = map(float, cells)
        if radius <= 0:
            raise DataError(f"{path}: line {number}: radius is {radius:g}, expected more than 0")
        columns = _range(x - 1 - radius, x - 1 + radius, shape[1])
        rows = _range(y - 1 - radius, y - 1 + radius, shape[0])
        if rows.size and columns.size:
            inside = np.hypot(columns - (x - 1), rows[:, None] - (y - 1)) < radius
            top, left = int(rows[0]), int(columns[0])
            masked[top : top + rows.size, left : left + columns.size][inside] = True
    return masked


def _range(low: float, high: float, length: int) -> Any:
    """Pixels of one axis between two positions, with one to spare, as floats."""
    return np.arange(max(math.floor(low) - 1, 0), min(math.ceil(high) + 2, length), dtype=float)


def _from_fits(path: Path, canvas: Canvas) -> Mask:
    """Mask of a FITS file: its first image, else its first table of regions."""
    from astropy.io import fits

    from pyxstan.cluster.readers import read_image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with fits.open(io.BytesIO(content(path, "a mask")), memmap=False) as hdus:
                table = next((hdu for hdu in hdus if is_region_table(hdu)), None)
                if table is not None and not any(hdu.is_image and hdu.shape for hdu in hdus):
                    pixels, notes = read_region_table(path, table, canvas)
                    named = tuple(f"mask {path}: {note}" for note in notes)
                    return Mask(pixels, np.zeros(canvas.shape, dtype=bool), named)
        except DataError:
            raise
        except Exception as error:
            raise DataError(f"{path}: not a readable FITS file ({reason(error)})") from None
    image = read_image(path, wcs=True)
    if image.values.shape != canvas.shape:
        raise DataError(
            f"{path}: {size(image.values.shape)}, but the image has {size(canvas.shape)}"
            f"{how_it_differs(image.wcs, canvas.wcs, image.values.shape)}"
        )
    unknown = np.isnan(image.values)
    return Mask(np.asarray((image.values != 0) & ~unknown), unknown, image=image)
