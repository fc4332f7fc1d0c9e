"""Masks from files: DS9 and CIAO regions, tables of circles, mask images.

A pixel is masked when its centre lies inside a shape. A file of regions masks the inside of its
shapes; excluded ones (``-circle(...)``, in CIAO also ``!circle(...)``) are taken out of the others,
as in DS9. A file of nothing but excluded shapes, as event filters have them, masks their inside.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.cluster.data import Bools, size
from pyxstan.errors import DataError

_SKY = {"fk5", "j2000", "fk4", "b1950", "icrs", "galactic", "ecliptic"}
_PIXELS = {"image", "physical"}
#: Coordinates of DS9 that are refused, because nothing here says what they are.
_OTHER_FRAMES = re.compile(r"^(linear|amplifier|detector|tile|wcs[a-z0]?)$")
_SHAPES = {"circle", "ellipse", "box", "annulus", "polygon"}
#: CIAO's names of shapes that DS9 calls otherwise.
_ALIASES = {"rotbox": "box"}
#: What a region file may draw without hiding anything.
_DRAWINGS = {"text", "line", "vector", "ruler", "compass", "projection", "segment"}
_SHAPE = re.compile(r"^([-+!]?)\s*([a-z_]\w*)\s*(?:\((.*)\)|([-+\d.][^()]*))$")


@dataclass(frozen=True)
class Physical:
    """Physical coordinates of an image, as IRAF has them: pixel = scale * physical + shift.

    Pixels count from 1 here.
    """

    scale: tuple[float, float]
    shift: tuple[float, float]


_IMAGE = Physical((1.0, 1.0), (0.0, 0.0))


def read_mask(
    path: str | Path, shape: tuple[int, ...], wcs: Any = None, *, physical: Physical | None = None
) -> Bools:
    """Read a mask, True where a pixel is masked.

    Parameters
    ----------
    path
        A file of DS9 or CIAO regions (circle, ellipse, box, annulus, polygon; sky, image or
        physical coordinates, those without any being physical ones); a text table of circles
        ``x y radius`` in image pixels, the first pixel's centre at (1, 1) as in FITS and DS9
        (blanks or commas between, ``#`` before a comment); a FITS image, masked where it is not 0.
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
        without `wcs`, a mask image of another shape.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected a mask (regions, circles or FITS image)")
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    if head.startswith((b"SIMPLE  =", b"\x1f\x8b", b"BZh")):
        return _from_image(path, shape)
    lines = list(_lines(path))
    if not lines:
        if "region file" in path.read_text(encoding="utf-8-sig").lower():
            return np.zeros(shape, dtype=bool)
        raise DataError(f"{path}: the file is empty, or holds nothing but comments")
    first = re.split(r"[\s,]+", lines[0][1])[0]
    if _is_number(first):
        return _from_circles(path, lines, shape)
    return _from_regions(path, lines, shape, wcs, physical or _IMAGE)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a text file that say something, by their number."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    if "\0" in text:
        raise DataError(f"{path}: not a mask (regions, a table of circles or a FITS image)")
    for number, line in enumerate(text.splitlines(), 1):
        content = line.split("#", 1)[0].strip().strip(",").strip()
        if content:
            yield number, content


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _from_image(path: Path, shape: tuple[int, ...]) -> Bools:
    from pyxstan.cluster.readers import read_image

    values = read_image(path).values
    if values.shape != tuple(shape):
        raise DataError(f"{path}: {size(values.shape)}, but the image has {size(shape)}")
    if np.isnan(values).any():
        y, x = np.argwhere(np.isnan(values))[0]
        raise DataError(f"{path}: pixel ({x}, {y}) is nan, expected 0 or masked (pixels from 0)")
    return np.asarray(values != 0)


def _from_circles(path: Path, lines: list[tuple[int, str]], shape: tuple[int, ...]) -> Bools:
    masked = np.zeros(shape, dtype=bool)
    for number, line in lines:
        cells = re.split(r"\s*,\s*|\s+", line)
        if len(cells) != 3:
            raise DataError(f"{path}: line {number}: {len(cells)} cells, expected x y radius")
        for cell in cells:
            if not (_is_number(cell) and math.isfinite(float(cell))):
                raise DataError(f"{path}: line {number}: '{cell}' is not a finite number")
        x, y, radius = map(float, cells)
        if radius <= 0:
            raise DataError(f"{path}: line {number}: radius is {radius:g}, expected more than 0")
        columns = _range(x - 1 - radius, x - 1 + radius, shape[1])
        rows = _range(y - 1 - radius, y - 1 + radius, shape[0])
        if rows.size and columns.size:
            inside = np.hypot(columns - (x - 1), rows[:, None] - (y - 1)) < radius
            _window(masked, rows, columns)[inside] = True
    return masked


def _range(low: float, high: float, length: int) -> Any:
    """Pixels of one axis between two positions, with one to spare, as floats."""
    return np.arange(max(math.floor(low) - 1, 0), min(math.ceil(high) + 2, length), dtype=float)


def _window(masked: Bools, rows: Any, columns: Any) -> Bools:
    top, left = int(rows[0]), int(columns[0])
    return masked[top : top + rows.size, left : left + columns.size]


def _from_regions(
    path: Path,
    lines: list[tuple[int, str]],
    shape: tuple[int, ...],
    wcs: Any,
    physical: Physical,
) -> Bools:
    included, excluded = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    only_excluded = True
    frame = ""
    for number, piece in _pieces(lines):
        where = f"{path}: line {number}"
        word = piece.split()[0]
        if word == "global":
            continue
        if piece in _SKY | _PIXELS:
            frame = piece
            continue
        if _OTHER_FRAMES.match(piece):
            raise DataError(f"{where}: coordinates '{piece}', expected image, physical or fk5")
        match = _SHAPE.match(piece)
        name = _ALIASES.get(match[2], match[2]) if match else ""
        if match and name in _DRAWINGS:
            continue
        if match is None or name not in _SHAPES:
            raise DataError(_unknown(path, number, piece, match, first=number == lines[0][0]))
        values = _values(where, name, match[3] if match[3] is not None else match[4])
        chosen = frame or ("fk5" if ":" in values[0] else "physical")
        if chosen in _SKY and wcs is None:
            raise DataError(f"{where}: sky coordinates, but the image has none: use image ones")
        sign = match[1] in ("-", "!")
        target = excluded if sign else included
        only_excluded &= bool(sign)
        if name == "annulus":
            # Its rings touch: the innermost and the outermost radius say it all.
            values = [*values[:3], values[-1]]
            if not values[2].strip("0."):
                name, values = "circle", [*values[:2], values[3]]
        for region in _parse(where, name, values, "image" if chosen in _PIXELS else chosen):
            _draw(where, region, target, wcs, physical if chosen == "physical" else _IMAGE)
    return excluded if only_excluded else included & ~excluded


def _pieces(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Commands of a region file: lines, and their parts between semicolons."""
    for number, line in lines:
        for part in line.split(";"):
            piece = part.strip().rstrip("|").strip().lower()
            if piece:
                yield number, piece


def _unknown(path: Path, number: int, piece: str, match: Any, *, first: bool) -> str:
    shown = piece if len(piece) <= 40 else f"{piece[:40]}..."
    if match is None and first:
        return f"{path}: not a mask (regions, a table of circles or a FITS image): '{shown}'"
    if match is None:
        return f"{path}: line {number}: not a region: '{shown}'"
    there = ", ".join(sorted(_SHAPES))
    return f"{path}: line {number}: unknown shape '{match[2]}'; there are {there}"


def _values(where: str, name: str, text: str) -> list[str]:
    """Cells between a shape's brackets, as many as it needs."""
    values = [value for value in re.split(r"[\s,]+", text) if value]
    n = len(values)
    if name in ("box", "ellipse") and n == 4:
        return [*values, "0"]
    fits = {
        "circle": n == 3,
        "annulus": n >= 4,
        "polygon": n >= 6 and n % 2 == 0,
    }.get(name, n >= 5 and n % 2 == 1)
    if not fits:
        raise DataError(f"{where}: {n} values are too few or too many for a {name}")
    return values


def _parse(where: str, name: str, values: list[str], frame: str) -> Any:
    from regions import Regions

    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            regions = Regions.parse(f"{frame}\n{name}({','.join(values)})", format="ds9")
            reason = str(found[-1].message) if found else ""
        except Exception as error:
            regions, reason = (), str(error) or type(error).__name__
    if not regions:
        coordinates = "sky" if frame in _SKY else "pixel"
        first = reason.strip().partition("\n")[0]
        raise DataError(f"{where}: not a valid {name} in {coordinates} coordinates ({first})")
    return regions


def _draw(where: str, region: Any, masked: Bools, wcs: Any, physical: Physical) -> None:
    """Set the pixels whose centres lie inside a region."""
    from regions import PixCoord, SkyRegion

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if isinstance(region, SkyRegion):
                if not _on_image(region, wcs):
                    return
                region = region.to_pixel(wcs)
            box = region.bounding_box
    except Exception as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DataError(f"{where}: not a shape on the image ({reason})") from None
    # The parser takes 1 off positions in pixels; physical ones get it back first.
    edges = []
    for axis, limits in enumerate(((box.ixmin, box.ixmax), (box.iymin, box.iymax))):
        ends = [physical.scale[axis] * (v + 1) + physical.shift[axis] - 1 for v in limits]
        edges.append(_range(min(ends), max(ends), masked.shape[1 - axis]))
    columns, rows = edges
    if not (columns.size and rows.size):
        return
    x, y = (
        (pixels + 1 - shift) / scale - 1
        for pixels, shift, scale in zip(edges, physical.shift, physical.scale, strict=True)
    )
    inside = region.contains(PixCoord(*np.meshgrid(x, y)))
    _window(masked, rows, columns)[inside] = True


def _on_image(region: Any, wcs: Any) -> bool:
    """Whether the image's projection has a place for a region: not so far across the sky."""
    place = region.vertices if hasattr(region, "vertices") else region.center
    return bool(np.isfinite(np.asarray(wcs.world_to_pixel(place), dtype=float)).all())
