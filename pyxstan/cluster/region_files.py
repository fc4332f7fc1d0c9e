"""Region files of DS9, CIAO and XMM as masks of an image.

The inside of every shape is masked. An excluded shape, ``-circle(...)`` or ``!circle(...)``, is
taken out of all others wherever it stands, as in DS9; in a file of nothing but excluded shapes,
as event filters have them, their inside is what is masked. Shapes on one line are combined with
``*`` or ``&`` (and), ``-`` or ``&!`` (and not), ``+`` or ``|`` (or); "and" comes before "or".
Shapes in selections of XMM's events, ``(X,Y) IN box(...)`` or ``box(...,X,Y)``, have half widths.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyxstan.cluster.pixel_values import Bools
from pyxstan.cluster.region_parameters import DRAWINGS, full_name, of_selection, shape_of
from pyxstan.cluster.region_shapes import SKY_FRAMES, Canvas
from pyxstan.errors import DataError

_PIXEL_FRAMES = {"image": "image", "logical": "image", "physical": "physical"}
#: Frames that are refused, because nothing here says what they are.
_OTHER_FRAMES = re.compile(r"(linear|amplifier|detector|tile|wcs[a-z])\b.*$")
_FRAME = re.compile(rf"({'|'.join([*SKY_FRAMES, *_PIXEL_FRAMES])}|wcs0?)\b\s*")
_CALL = re.compile(r"([a-z_]\w*)\s*\(([^()]*)\)")
_BARE = re.compile(r"([-+!]?)\s*([a-z_]\w*)\s+([-+\d.][^()*&|]*)$")
_OPERATOR = re.compile(r"\s*(\|\||&&|[-+*&|!()])\s*")
_SELECTION = re.compile(r"\(\s*(\w+)\s*,\s*(\w+)\s*\)\s*in\b")
_EXCLUDED = re.compile(r"\binclude\s*=\s*0\b")
#: Texts and names, in which anything may stand.
_QUOTED = re.compile(r"\{[^}]*\}|=\s*\"[^\"]*\"|=\s*'[^']*'")


@dataclass
class RegionMask:
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

    def say(self, note: str) -> None:
        """Note something once."""
        if note not in self.notes:
            self.notes.append(note)

    def say_if_none(self, frame: str) -> None:
        """Note physical coordinates that are asked for, where the image has none."""
        if frame == "physical" and not self.canvas.has_physical:
            self.say("the image has no physical coordinates: taken as its pixels")

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
    masks = RegionMask(canvas)
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
            try:
                frame = _frame(match[1], canvas)
            except DataError as error:
                raise DataError(f"{where}: {error}") from None
            masks.say_if_none(frame)
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


def _frame(word: str, canvas: Canvas) -> str:
    """Frame that a word says: "wcs" is the image's own on the sky."""
    return canvas.sky_frame if word.startswith("wcs") else _PIXEL_FRAMES.get(word, word)


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


def common(inside: list[Bools], outside: list[Bools]) -> Term | None:
    """What is in all of some shapes and in none of others; the latter alone are excluded ones."""
    if not inside:
        return (np.logical_or.reduce(outside), True) if outside else None
    kept = np.logical_and.reduce(inside)
    return (kept & ~np.logical_or.reduce(outside) if outside else kept), False


class _NotARegionError(Exception):
    """Words that are no region."""


def _frame_of_columns(x: str, y: str) -> str:
    """Frame of the columns by which events are selected."""
    frames = {("x", "y"): "physical", ("ra", "dec"): "fk5"}
    if (x, y) not in frames:
        raise DataError(f"coordinates '{x},{y}', expected x,y or ra,dec")
    return frames[x, y]


class _Line:
    """One line of shapes and what stands between them."""

    def __init__(self, text: str, frame: str, masks: RegionMask) -> None:
        selections = _SELECTION.findall(text)
        for names in selections:
            frame = _frame_of_columns(*names)
            masks.say_if_none(frame)
        self.frame = frame
        self.selects = bool(selections)
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
                return common(inside, outside)

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
        if drawing := full_name(name, DRAWINGS):
            self.masks.drawings[drawing] += 1
            return None
        cells = [cell for cell in re.split(r"[\s,]+", text.replace("''", '"')) if cell]
        cells = [cell for cell in cells if not re.fullmatch(r"n=\d+", cell)]
        frame = self.frame
        columns = cells[-2:]
        named = len(cells) > 2 and all(re.fullmatch(r"[a-z_]\w*", cell) for cell in columns)
        if named:
            frame = _frame_of_columns(*columns)
            self.masks.say_if_none(frame)
            cells = cells[:-2]
        if named or self.selects:
            given = cells
            name, cells = of_selection(name, given)
            if cells[2:4] != given[2:4]:
                self.masks.say(f"half widths of a {name} in a selection of events, as XMM has them")
        shape = shape_of(name, cells, frame, self.masks.canvas)
        if shape.lengths and not shape.angular and re.search("[:hmd]", " ".join(cells[:2])):
            pixels = f"{frame or 'physical'} pixels"
            self.masks.say(f"sizes without a unit beside positions on the sky are in {pixels}")
        return self.masks.canvas.draw(shape)
