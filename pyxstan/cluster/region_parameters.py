"""What stands between a shape's brackets: names, positions, sizes and angles of region files."""

from __future__ import annotations

import math
import re
from itertools import pairwise

from pyxstan.cluster.region_shapes import SKY_FRAMES, Canvas, Shape
from pyxstan.errors import DataError

#: Names of shapes, the first of those with a beginning in common being meant by it ("ell").
SHAPES = (
    "annulus", "bpanda", "box", "boxannulus", "circle", "diamond", "ellipse", "elliptannulus",
    "epanda", "field", "panda", "pie", "polygon", "rectangle", "rhombus", "rotbox", "rotdiamond",
    "rotrectangle", "rotrhombus", "sector",
)  # fmt: skip
#: Shapes that another one says as well.
_SAME = {
    "boxannulus": "box", "elliptannulus": "ellipse", "rhombus": "diamond", "rotbox": "box",
    "rotdiamond": "diamond", "rotrhombus": "diamond", "pie": "sector",
}  # fmt: skip
#: What a region file may draw without hiding anything.
DRAWINGS = (
    "point", "pt", "text", "line", "vector", "ruler", "compass", "projection", "segment",
)  # fmt: skip


def full_name(word: str, names: tuple[str, ...]) -> str:
    """The name that a word stands for: itself, or one of which it is the beginning."""
    if word in names:
        return word
    return next((name for name in names if len(word) >= 3 and name.startswith(word)), "")


def shape_of(word: str, cells: list[str], frame: str, canvas: Canvas) -> Shape:
    """Make a shape of its name and what stands between its brackets.

    Parameters
    ----------
    word
        Name, or the beginning of one.
    cells
        Positions, sizes and angles as they are written, with or without a unit.
    frame
        Frame of the file; "" where it says none: pixels, as DS9 and CIAO take them.
    canvas
        The image.

    Raises
    ------
    DataError
        An unknown name, too few or too many numbers, numbers that are none.
    """
    given = full_name(word, SHAPES)
    if not given:
        raise DataError(f"unknown shape '{word}'; there are {', '.join(SHAPES)}")
    name = _SAME.get(given, given)
    kinds = _kinds(name, len(cells))
    if kinds is None:
        raise DataError(f"{len(cells)} values are too few or too many for a {given}")
    what = "sky" if frame in SKY_FRAMES else "pixel"
    try:
        return _shape(given, name, cells, kinds, frame or "physical", canvas)
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"not a valid {given} in {what} coordinates ({error})") from None


def of_selection(word: str, cells: list[str]) -> tuple[str, list[str]]:
    """Say a shape of XMM's event selections as region files do.

    Boxes and rhombi have half widths there, rings of ellipses a rotation for each ellipse, and
    rectangles may have one.
    """
    name = {"ring": "annulus", "elliptring": "elliptannulus"}.get(word) or full_name(word, SHAPES)
    if name in ("box", "rhombus", "diamond") and len(cells) in (4, 5):
        try:
            sides = [repr(2 * _number(cell)) for cell in cells[2:4]]
        except ValueError as error:
            raise DataError(f"not a valid {name} of a selection ({error})") from None
        return name, [*cells[:2], *sides, *cells[4:]]
    if name == "elliptannulus" and len(cells) == 8:
        if cells[6] != cells[7]:
            raise DataError(f"{name}: outlines of two angles, expected one")
        return name, cells[:7]
    return ("rotrectangle" if name == "rectangle" and len(cells) == 5 else name or word), cells


def _kinds(name: str, n: int) -> str | None:
    """What n values of a shape are: x, y, (l)ength, (a)ngle of a sector, (r)otation, (n)umber."""
    if name == "field":
        return "" if n == 0 else None
    if name == "polygon":
        return "xy" * (n // 2) if n >= 6 and n % 2 == 0 else None
    if name == "rectangle":
        return {4: "xyxy"}.get(n)
    if name == "rotrectangle":
        return {5: "xyxyr"}.get(n)
    m = n - 2
    kinds: str | None
    if name == "circle":
        kinds = {1: "l"}.get(m)
    elif name == "annulus":
        kinds = "l" * m if m >= 2 else None
    elif name == "sector":
        kinds = {2: "aa", 4: "llaa"}.get(m)
    elif name == "panda":
        kinds = {6: "aanlln"}.get(m)
    elif name in ("epanda", "bpanda"):
        kinds = {8: "aanlllln", 9: "aanllllnr"}.get(m)
    else:
        kinds = "ll" * (m // 2) + "r" * (m % 2) if m >= 2 else None
    return None if kinds is None else "xy" + kinds


def _shape(
    given: str, name: str, cells: list[str], kinds: str, frame: str, canvas: Canvas
) -> Shape:
    split: dict[str, list[str]] = {kind: [] for kind in "xylarn"}
    for kind, cell in zip(kinds, cells, strict=True):
        split[kind].append(cell)
    pairs = list(zip(split["x"], split["y"], strict=True))
    points = tuple(_point(x, y, _frame_of((x, y), frame), frame, canvas) for x, y in pairs)
    lengths, angular = _lengths(split["l"], frame, canvas)
    rotation = _angle(split["r"][0]) if split["r"] else 0.0
    if name == "rotrectangle":
        # CFITSIO takes the corners for those of the turned rectangle, others turn it afterwards.
        if rotation % 180:
            raise DataError("a rotrectangle is read in more than one way: give it as a rotbox")
        name = "rectangle"
    step = 1 if name in ("circle", "annulus", "sector", "panda") else 2
    if not all(length > 0 for length in lengths[-step:]) or min(lengths, default=0.0) < 0:
        raise ValueError("a size that is not positive")
    rings = lengths[::step]
    if any(low >= high for low, high in pairwise(rings)):
        raise ValueError("rings that do not grow")
    angles = tuple(_angle(cell) for cell in split["a"])
    if angles and angles[0] == angles[1]:
        raise ValueError("a sector of no width")
    return Shape(
        name=name, frame=frame, points=points, lengths=lengths, angular=angular, angles=angles,
        rotation=rotation,
    )  # fmt: skip


def _frame_of(place: tuple[str, str], frame: str) -> str:
    """Frame in which a position is written: the file's, unless it says another itself."""
    written = {_mark(cell) for cell in place}
    if written == {""}:
        return frame
    if written <= {"i"}:
        return "image"
    if written <= {"p"}:
        return "physical"
    if written <= {"sky", ""}:
        return frame if frame in SKY_FRAMES else "fk5"
    raise ValueError(f"'{','.join(place)}' is no position")


def _mark(cell: str) -> str:
    if re.search(r"[:hdmsr]", cell):
        return "sky"
    return cell[-1] if cell[-1] in "ip" else ""


def _point(x: str, y: str, written: str, frame: str, canvas: Canvas) -> tuple[float, float]:
    """A position in the shape's frame."""
    if written not in SKY_FRAMES:
        place = _number(x.rstrip("ip")), _number(y.rstrip("ip"))
        if written == frame:
            return place
        if frame in SKY_FRAMES:
            raise ValueError(f"'{x},{y}' is no position on the sky")
        return canvas.between(place, written, frame)
    hours = written not in ("galactic", "ecliptic")
    lon, lat = _degrees(x, hours=hours), _degrees(y, hours=False)
    if not -90 <= lat <= 90:
        raise ValueError(f"a latitude of {lat:g} degrees")
    if frame in SKY_FRAMES:
        return lon, lat
    return canvas.between(canvas.pixel(lon, lat, written), "image", frame)


def _degrees(cell: str, *, hours: bool) -> float:
    """An angle on the sky, also sexagesimal."""
    from astropy.coordinates import Angle

    if re.search(r"[:hms]|d.", cell):
        unit = "hourangle" if hours and ":" in cell else "deg"
        try:
            return float(Angle(cell, unit=unit).deg)
        except Exception:
            raise ValueError(f"'{cell}' is no angle") from None
    if cell.endswith("r"):
        return math.degrees(_number(cell[:-1]))
    return _number(cell.removesuffix("d"))


_LENGTHS = {'"': 1 / 3600, "'": 1 / 60, "d": 1.0, "r": 180 / math.pi}


def _lengths(cells: list[str], frame: str, canvas: Canvas) -> tuple[tuple[float, ...], bool]:
    """Lengths in the unit of the frame, or in degrees, and whether that is what they are."""
    found = [_length(cell, frame, canvas) for cell in cells]
    # A ring from 0 needs no unit.
    kinds = {angular for length, angular in found if length}
    if len(kinds) > 1:
        raise ValueError("sizes in pixels and in degrees")
    return tuple(length for length, _ in found), kinds == {True}


def _length(cell: str, frame: str, canvas: Canvas) -> tuple[float, bool]:
    mark = cell[-1]
    if mark in _LENGTHS:
        return _number(cell[:-1]) * _LENGTHS[mark], True
    length = _number(cell.rstrip("ip"))
    if mark not in "ip":
        return length, frame in SKY_FRAMES
    pixels = length * canvas.physical_scale if mark == "p" else length
    if frame in SKY_FRAMES:
        return pixels * canvas.pixel_scale, True
    return (pixels if frame == "image" else pixels / canvas.physical_scale), False


def _angle(cell: str) -> float:
    if cell.endswith("r"):
        return math.degrees(_number(cell[:-1]))
    return _number(cell.removesuffix("d"))


def _number(cell: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        raise ValueError(f"'{cell}' is no number") from None
    if not math.isfinite(value):
        raise ValueError(f"'{cell}' is no finite number")
    return value
