"""Region files: DS9, CIAO and XMM text, FITS REGION tables, as masks of an image.

The inside of every shape is masked. An excluded shape, ``-circle(...)`` or ``!circle(...)``, is
taken out of all others wherever it stands, as in DS9; in a file of nothing but excluded shapes,
as event filters have them, their inside is what is masked. Shapes on one line are combined with
``*`` or ``&`` (and), ``-`` or ``&!`` (and not), ``+`` or ``|`` (or); "and" comes before "or".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.cluster.data import Bools
from pyxstan.cluster.region_shapes import SKY_FRAMES, Canvas, Shape
from pyxstan.errors import DataError

#: Names of shapes, the first of those with a beginning in common being meant by it ("ell").
_SHAPES = (
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
_DRAWINGS = (
    "point", "pt", "text", "line", "vector", "ruler", "compass", "projection", "segment",
)  # fmt: skip
_PIXEL_FRAMES = {"image": "image", "logical": "image", "physical": "physical"}
#: Frames that are refused, because nothing here says what they are.
_OTHER_FRAMES = re.compile(r"(linear|amplifier|detector|tile|wcs[a-z0]?)\b.*$")
_FRAME = re.compile(rf"({'|'.join([*SKY_FRAMES, *_PIXEL_FRAMES])})\b\s*")
_CALL = re.compile(r"([a-z_]\w*)\s*\(([^()]*)\)")
_BARE = re.compile(r"([-+!]?)\s*([a-z_]\w*)\s+([-+\d.][^()*&|]*)$")
_OPERATOR = re.compile(r"\s*(\|\||&&|[-+*&|!()])\s*")
_SELECTION = re.compile(r"\(\s*(\w+)\s*,\s*(\w+)\s*\)\s*in\b")
_EXCLUDED = re.compile(r"\binclude\s*=\s*0\b")
#: Texts and names, in which anything may stand.
_QUOTED = re.compile(r"\{[^}]*\}|=\s*\"[^\"]*\"|=\s*'[^']*'")


@dataclass
class _Masks:
    """What the shapes of a file cover so far."""

    canvas: Canvas
    included: Bools = field(init=False)
    excluded: Bools = field(init=False)
    shapes: int = 0
    exclusions: int = 0
    drawings: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.included = np.zeros(self.canvas.shape, dtype=bool)
        self.excluded = np.zeros(self.canvas.shape, dtype=bool)

    def add(self, term: Bools, *, excludes: bool) -> None:
        """Join what a term of shapes covers, or takes away."""
        if excludes:
            self.excluded |= term
            self.exclusions += 1
        else:
            self.included |= term
            self.shapes += 1

    def result(self) -> tuple[Bools, list[str]]:
        """The mask, and what was decided."""
        if self.drawings:
            kinds = ", ".join(f"{n} {name}" for name, n in sorted(self.drawings.items()))
            self.notes.append(f"what has no area is left aside ({kinds})")
        if self.exclusions and not self.shapes:
            self.notes.append("nothing but excluded shapes: their inside is masked")
            return self.excluded, self.notes
        if self.exclusions:
            self.notes.append("excluded shapes are taken out of the others: they stay unmasked")
        return self.included & ~self.excluded, self.notes


def read_region_text(
    path: Path, lines: list[tuple[int, str]], canvas: Canvas
) -> tuple[Bools, list[str]]:
    """Mask of the shapes in lines of text, each with its number, and notes.

    Raises
    ------
    DataError
        A line that is no region, a shape that is unknown or wrong, sky regions on an image without
        celestial coordinates.
    """
    masks = _Masks(canvas)
    frame, excluded = "", False
    first = True
    for number, piece, comment in _pieces(lines):
        where = f"{path}: line {number}"
        if piece.split()[0] == "global":
            excluded = bool(_EXCLUDED.search(piece))
            continue
        if _OTHER_FRAMES.match(piece):
            raise DataError(f"{where}: coordinates '{piece}', expected image, physical or fk5")
        if (match := _FRAME.match(piece)) and not piece[match.end() :].startswith("("):
            frame = match[1]
            piece = piece[match.end() :]
        if not piece:
            first = False
            continue
        try:
            reader = _Line(piece, frame, masks)
            terms = reader.terms()
        except _NotARegionError:
            shown = piece if len(piece) <= 40 else f"{piece[:40]}..."
            if first:
                raise DataError(
                    f"{path}: not a mask (regions, a table of circles or a FITS image): '{shown}'"
                ) from None
            raise DataError(f"{where}: not a region: '{shown}'") from None
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        first = False
        hides = excluded or bool(_EXCLUDED.search(comment))
        for term, excludes in terms:
            masks.add(term, excludes=excludes or hides)
    return masks.result()


def _pieces(lines: list[tuple[int, str]]) -> Iterator[tuple[int, str, str]]:
    """Commands of a region file, between line ends and semicolons, each with its comment."""
    for number, line in lines:
        if line.startswith("#"):
            continue
        commented = False
        for part in _QUOTED.sub("", line).lower().split(";"):
            piece, mark, comment = part.partition("#")
            piece = re.sub(r"^(&&?|\|\|?)|\|\|?$", "", piece.strip()).strip()
            # Behind a comment a semicolon may be part of it.
            if piece and (not commented or _FRAME.match(piece) or _CALL.match(piece.lstrip("-+!"))):
                yield number, piece, comment
            commented |= bool(mark)


#: Pixels, and whether they are taken out.
Term = tuple[Bools, bool]


def _common(inside: list[Bools], outside: list[Bools]) -> Term | None:
    """What is in all of some shapes and in none of others; the latter alone are excluded ones."""
    if not inside:
        return (np.logical_or.reduce(outside), True) if outside else None
    kept = np.logical_and.reduce(inside)
    return (kept & ~np.logical_or.reduce(outside) if outside else kept), False


class _NotARegionError(Exception):
    """Words that are no region."""


class _Line:
    """One line of shapes and what stands between them."""

    def __init__(self, text: str, frame: str, masks: _Masks) -> None:
        for names in _SELECTION.findall(text):
            if names != ("x", "y"):
                raise DataError(f"coordinates '{','.join(names)}', expected x,y")
            frame = "physical"
        self.frame = frame
        self.masks = masks
        self.tokens: list[str | tuple[str, str]] = list(
            self._tokens(_SELECTION.sub("", text).strip())
        )
        self.at = 0

    def _tokens(self, text: str) -> Iterator[str | tuple[str, str]]:
        if match := _BARE.match(text):
            if match[1]:
                yield match[1]
            yield match[2], match[3]
            return
        at = 0
        while at < len(text):
            if match := _OPERATOR.match(text, at):
                yield match[1]
            elif match := _CALL.match(text, at):
                yield match[1], match[2]
            else:
                raise _NotARegionError
            at = match.end()

    def terms(self) -> list[Term]:
        """What is or'ed: pixels, and whether they are excluded."""
        found = self._any()
        if self.at < len(self.tokens):
            raise _NotARegionError
        return [term for term in found if term is not None]

    def _next(self, *operators: str) -> str:
        """The next token, if it is one of these."""
        if self.at < len(self.tokens) and self.tokens[self.at] in operators:
            self.at += 1
            return str(self.tokens[self.at - 1])
        return ""

    def _any(self) -> list[Term | None]:
        found = [self._all()]
        while self._next("+", "|", "||"):
            found.append(self._all())
        return found

    def _all(self) -> Term | None:
        """Factors that are and'ed."""
        inside: list[Bools] = []
        outside: list[Bools] = []
        while True:
            # A word between two shapes may be followed by a sign: "*!", "&&!", "*-".
            excludes = False
            while sign := self._next("-", "!", "+"):
                excludes ^= sign != "+"
            factor = self._factor()
            if factor is not None:
                (outside if excludes else inside).append(factor)
            if self.at < len(self.tokens) and self.tokens[self.at] in ("-", "!"):
                continue
            if not self._next("*", "&", "&&"):
                return _common(inside, outside)

    def _factor(self) -> Bools | None:
        """A shape, or an expression in brackets; None for what has no area."""
        if self._next("("):
            found = [term for term in self._any() if term is not None]
            if not self._next(")"):
                raise _NotARegionError
            parts = [~pixels if excludes else pixels for pixels, excludes in found]
            return np.logical_or.reduce(parts) if parts else None
        token = self.tokens[self.at] if self.at < len(self.tokens) else ""
        if isinstance(token, str):
            raise _NotARegionError
        name, text = token
        self.at += 1
        if drawing := _named(name, _DRAWINGS):
            self.masks.drawings[drawing] += 1
            return None
        cells = [cell for cell in re.split(r"[\s,]+", text.replace("''", '"')) if cell]
        cells = [cell for cell in cells if not re.fullmatch(r"n=\d+", cell)]
        return self.masks.canvas.draw(shape_of(name, cells, self.frame, self.masks.canvas))


def _named(word: str, names: tuple[str, ...]) -> str:
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
    given = _named(word, _SHAPES)
    if not given:
        raise DataError(f"unknown shape '{word}'; there are {', '.join(_SHAPES)}")
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
    if any(not length > 0 for length in lengths[-1:]) or any(not r >= 0 for r in lengths):
        raise ValueError("a size that is not positive")
    rings = lengths[:: 1 if name in ("annulus", "sector", "panda") else 2]
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


# FITS REGION tables

#: Units of columns, as region files mark them.
_UNITS = {"deg": "d", "arcmin": "'", "arcsec": '"', "rad": "r", "": "", "pix": "", "pixel": ""}
#: Number of radii and of angles that a row holds; a row of any other shape has none.
_ROWS = {
    "circle": (1, 0), "annulus": (2, 0), "ellipse": (2, 1), "elliptannulus": (4, 1), "box": (2, 1),
    "rotbox": (2, 1), "boxannulus": (4, 1), "diamond": (2, 1), "rotdiamond": (2, 1),
    "rhombus": (2, 1), "rotrhombus": (2, 1), "pie": (2, 2), "sector": (0, 2),
    "rotrectangle": (0, 1),
}  # fmt: skip


def is_region_table(hdu: Any) -> bool:
    """Whether an extension of a FITS file is a table of regions."""
    columns = getattr(hdu, "columns", None)
    return columns is not None and "SHAPE" in (name.upper() for name in columns.names)


def read_region_table(path: Path, hdu: Any, canvas: Canvas) -> tuple[Bools, list[str]]:
    """Mask of the rows of a FITS REGION table, and notes.

    Shapes of one COMPONENT are and'ed, those marked by ``!`` being taken away; components are
    or'ed. Positions are physical ones, or degrees where the unit says so.

    Raises
    ------
    DataError
        A column that is missing, a row that is no shape.
    """
    columns = {name.upper(): name for name in hdu.columns.names}
    where = f"{path}: extension {hdu.name or 'without a name'}"
    x, y = next(
        (pair for pair in (("X", "Y"), ("RA", "DEC")) if set(pair) <= set(columns)), ("", "")
    )
    if not x:
        raise DataError(f"{where}: no columns X and Y beside SHAPE")
    units = {}
    for name in {x, "R"} & set(columns):
        unit = str(hdu.columns[columns[name]].unit or "").strip().lower()
        if unit not in _UNITS:
            raise DataError(f"{where}: column {name} is in '{unit}', expected deg or pixel")
        units[name] = _UNITS[unit]
    sky = x == "RA" or units[x] == "d"
    frame = "physical"
    if sky:
        stated = str(hdu.header.get("RADESYS", hdu.header.get("RADECSYS", ""))).strip().lower()
        frame = stated if stated in SKY_FRAMES else "icrs"
    masks = _Masks(canvas)
    components: dict[Any, tuple[list[Bools], list[Bools]]] = {}
    for number, row in enumerate(hdu.data, 1):
        values = {
            name: np.atleast_1d(np.asarray(row[columns[name]], dtype=float))
            for name in {x, y, "R", "ROTANG"} & set(columns)
        }
        word = str(row[columns["SHAPE"]]).strip().lower()
        name = word.lstrip("!-+").strip()
        if _named(name, _DRAWINGS):
            masks.drawings[name] += 1
            continue
        try:
            cells = _cells(name, values[x], values[y], values, units.get("R", ""))
            pixels = canvas.draw(shape_of(name, cells, frame, canvas))
        except DataError as error:
            raise DataError(f"{where}: row {number}: {error}") from None
        component = int(row[columns["COMPONENT"]]) if "COMPONENT" in columns else -number
        components.setdefault(component, ([], []))[word.startswith(("!", "-"))].append(pixels)
    for inside, outside in components.values():
        if term := _common(inside, outside):
            masks.add(term[0], excludes=term[1])
    return masks.result()


def _cells(name: str, x: Any, y: Any, values: dict[str, Any], unit: str) -> list[str]:
    """What would stand between a shape's brackets."""
    if name == "field":
        return []
    radii, angles = _ROWS.get(name, (0, 0))
    places = 1
    if name == "polygon":
        places = _corners(x, y)
    elif name in ("rectangle", "rotrectangle"):
        places = 2
    found = [*np.stack([x[:places], y[:places]], axis=-1).ravel()]
    cells = [repr(float(value)) for value in found]
    for column, count, mark in (("R", radii, unit), ("ROTANG", angles, "")):
        given = values.get(column, np.empty(0))[:count]
        if column == "ROTANG":
            given = np.nan_to_num(given)
            if count == 1 and len(values.get(column, ())) > 1:
                turned = values[column][1]
                if np.isfinite(turned) and turned not in (0.0, given[0]):
                    raise DataError(f"{name}: outlines of two angles, expected one")
            if count == 1 and not given.size:
                given = np.zeros(1)
        cells += [f"{float(value)!r}{mark}" for value in given]
    return cells


def _corners(x: Any, y: Any) -> int:
    """How many corners a polygon has: up to NaN, the first again, or zeros to the end."""
    filled = np.flatnonzero((x != 0) | (y != 0))
    last = int(filled[-1]) + 1 if filled.size else 0
    for i in range(last):
        if not (np.isfinite(x[i]) and np.isfinite(y[i])):
            return i
        if i and x[i] == x[0] and y[i] == y[0]:
            return i
    return last
