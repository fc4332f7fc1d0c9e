"""The spectrum in a PHA file: which extension, which row, and its numbers channel by channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pyxstan.errors import DataError
from pyxstan.spectra.file_names import Place, listed
from pyxstan.spectra.fits_tables import Floats, Ints, Table, read_tables

#: A column of bytes or of 16-bit integers begins again after so many values.
_WRAPS = (2**8, 2**16)
#: So many extensions of a file are named in a message.
_LISTED = 8


@dataclass(frozen=True)
class Row:
    """A spectrum in a table: all of one of type I, or a row (from 0) of one of type II.

    Parameters
    ----------
    table, row
        Where it is.
    place
        The file, for names that are relative to it.
    source, suffix
        What to call it in messages, and the part of it behind the file's name.
    channels
        How many there are.
    order
        Rows of a table of type I in order of the channels; None where they are.
    """

    table: Table
    row: int | None
    place: Place
    suffix: str
    channels: int
    order: Ints | None = field(default=None, compare=False)

    @property
    def source(self) -> str:
        """File, and which spectrum in it, for messages."""
        return f"{self.place.path}{self.suffix}"

    def same_as(self, other: Row) -> bool:
        """Whether this is the same spectrum of the same file."""
        return (
            _same_file(self.place.path, other.place.path)
            and self.table.hdu == other.table.hdu
            and self.row == other.row
        )

    def per_channel(self, name: str) -> Floats | None:
        """One number a channel from a column or a keyword, None where there is neither."""
        if name in self.table:
            if self.row is None:
                values = self.table.numbers(name)
                return values if self.order is None else values[self.order]
            values = self.table.cell(name, self.row)
            if len(values) not in (1, self.channels):
                raise DataError(
                    f"{self.source}: {len(values)} numbers of {name}, but {self.channels} channels"
                )
            if len(values) == 1:
                return np.full(self.channels, values[0])
            return values if self.order is None else values[self.order]
        value = self.table.number(name)
        return None if value is None else np.full(self.channels, value)

    def whole(self, name: str) -> Ints:
        """One whole number a channel, zeros where the file has none."""
        values = self.per_channel(name)
        if values is None:
            return np.zeros(self.channels, dtype=np.int64)
        bad = np.flatnonzero(~(np.isfinite(values) & (values == np.rint(values))))
        if len(bad):
            raise DataError(
                f"{self.source}: row {self.file_row(bad[0])}: {name} is {values[bad[0]]:g}, "
                "expected a whole number"
            )
        return values.astype(np.int64)

    def file_row(self, channel: int) -> int:
        """Row of the file, from 1, of a channel, from 0 (in a vector: its place)."""
        return int(channel if self.order is None else self.order[channel]) + 1


def find(place: Place, notes: list[str], *, source: Row | None = None) -> Row:
    """Find a spectrum in a file.

    Parameters
    ----------
    place
        The file, perhaps with the extension and number of the spectrum.
    source
        The spectrum whose background is looked for, None for a spectrum of its own.

    Raises
    ------
    DataError
        There is none, or not the one that is asked for; several of type II, none of them named.
    """
    tables = read_tables(place.path)
    spectra = _spectra(place.among(tables), tables, place)
    if place.number is not None and len(spectra) > 1 and all(_is_single(t) for t in spectra):
        table, number = _numbered(spectra, place), None
    else:
        table = _preferred(spectra, place, source, notes)
        number = place.number
    suffix = _suffix(table, spectra, place)
    if _is_single(table):
        if number not in (None, 1):
            raise DataError(f"{place.path}: row {number}, but the file has one spectrum (type I)")
        return Row(table, None, place, suffix, table.rows)
    row = _row(table, number, place, source, notes)
    lengths = table.flat(_counts_column(table))[1]
    if table.rows > 1:
        suffix += f"{{{row + 1 if number is None else number}}}"
    return Row(table, row, place, suffix, int(lengths[row]))


def _spectra(asked: list[Table], tables: list[Table], place: Place) -> list[Table]:
    """Tables of spectra: by their names and keywords, else by their columns."""
    if place.extension is None:
        found = [t for t in asked if t.name == "SPECTRUM" or t.text("HDUCLAS1") == "SPECTRUM"]
        found = found or [
            t for t in asked if "CHANNEL" in t and _counts_column(t) and t.name != "EVENTS"
        ]
        if not found:
            raise DataError(f"{place.path}: no extension SPECTRUM; there are {listed(tables)}")
    else:
        found = asked
    for table in found:
        if not _counts_column(table):
            there = ", ".join(table.data.columns.names)
            raise DataError(f"{place.path}: no column COUNTS or RATE; there are {there}")
        if not table.rows:
            raise DataError(f"{place.path}: extension {table.name} has no rows")
    return found


def _counts_column(table: Table) -> str:
    return next((name for name in ("COUNTS", "RATE") if name in table), "")


def _is_single(table: Table) -> bool:
    """Whether a table is of type I: one number a row."""
    return bool(np.all(table.flat(_counts_column(table))[1] == 1))


def _numbered(spectra: list[Table], place: Place) -> Table:
    """One of several extensions by its number, from 1, or its name."""
    if isinstance(place.number, int):
        if 1 <= place.number <= len(spectra):
            return spectra[place.number - 1]
        raise DataError(
            f"{place.path}: spectrum {place.number}, but there are {len(spectra)}, counted from 1"
        )
    found = [table for table in spectra if table.name == str(place.number).upper()]
    if len(found) != 1:
        raise DataError(
            f"{place.path}: {len(found)} spectra called {place.number}; "
            f"there are {_described(spectra)}"
        )
    return found[0]


def _preferred(spectra: list[Table], place: Place, source: Row | None, notes: list[str]) -> Table:
    """Of several extensions the spectrum, or the background, that is most likely meant."""
    plain = place.extension is None
    if source is not None and plain and _same_file(place.path, source.place.path):
        # a file that names itself means another extension; if there is none, that is a mistake
        itself = [table for table in spectra if table.hdu == source.table.hdu]
        others = [
            table
            for table in spectra
            if table not in itself and table.text("HDUCLAS2") not in ("TOTAL", "NET")
        ]
        of_background = source.table.text("HDUCLAS2") == "BKG"
        spectra = itself if of_background or not others else others
    behind = [table for table in spectra if table.text("HDUCLAS2") == "BKG"]
    kind = behind if source is not None else [t for t in spectra if t not in behind]
    likely = kind or spectra
    if len(likely) > 1:
        notes.append(
            f"{place.path}: {len(spectra)} spectra ({_described(spectra)}), took the first"
            f"{' background' if kind and source is not None else ''}; "
            f"{place.path.name}{{2}} is the second"
        )
    elif source is not None and len(spectra) > 1 and not kind:
        notes.append(f"{place.path}: took extension {likely[0].name}")
    return likely[0]


def _described(spectra: list[Table]) -> str:
    words = [
        f"{{{k}}} {table.name} {table.text('HDUCLAS2')}".strip()
        for k, table in enumerate(spectra, 1)
    ]
    return ", ".join(words[:_LISTED] + ["..."] * (len(words) > _LISTED))


def _suffix(table: Table, spectra: list[Table], place: Place) -> str:
    """What to write behind a file's name, so that this extension of it is meant."""
    if place.extension is not None:
        return place.suffix.partition("{")[0]
    if len(spectra) == 1 or table is spectra[0]:
        return ""
    return f"{{{[one is table for one in spectra].index(True) + 1}}}"


def _row(
    table: Table, number: int | str | None, place: Place, source: Row | None, notes: list[str]
) -> int:
    """Which row of a table of type II, from 0."""
    if isinstance(number, str):
        return _named_row(table, number, place)
    if number is None and table.rows > 1:
        if source is not None and source.row is not None and source.table.rows == table.rows:
            notes.append(f"{place.path}: took row {source.row + 1}, as of {source.source}")
            return source.row
        raise DataError(
            f"{place.path}: {table.rows} spectra (type II), expected one named by its row, "
            f"as in {place.path.name}{{1}}"
        )
    number = 1 if number is None else number
    if not 1 <= number <= table.rows:
        raise DataError(f"{place.path}: row {number}, but there are {table.rows}, counted from 1")
    if "SPEC_NUM" in table:
        stated = table.cell("SPEC_NUM", number - 1)[0]
        if stated != number:
            notes.append(f"{place.path}: row {number} has SPEC_NUM {stated:g}")
    return number - 1


def _named_row(table: Table, name: str, place: Place) -> int:
    """A row of type II by the word that is in it: ROWID, or another column of words."""
    words = [
        column
        for column in table.data.columns.names
        if table.raw(column.strip().upper()).dtype.kind in "US"
        and not column.strip().upper().endswith("FILE")
    ]
    rows = {
        row
        for column in words
        for row, word in enumerate(table.raw(column.strip().upper()))
        if str(word).strip().lower() == name.lower()
    }
    if len(rows) != 1:
        there = ", ".join(words) or "no columns of words"
        raise DataError(
            f"{place.path}: {len(rows) or 'no'} rows called {name}, expected one; there are {there}"
        )
    return rows.pop()


def _same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False


def channel_numbers(found: Row, notes: list[str]) -> tuple[Ints, Ints | None]:
    """Channel numbers in order, and in which order the file has them (None for the same).

    Raises
    ------
    DataError
        Channels that are missing, or there twice.
    """
    in_order = np.arange(found.channels)
    if "CHANNEL" not in found.table:
        notes.append(f"{found.source}: no column CHANNEL, channels counted from 1")
        return in_order + 1, None
    numbers = found.whole("CHANNEL")
    wrong = np.flatnonzero(numbers != numbers[0] + in_order)
    if not len(wrong):
        return numbers, None
    place = int(wrong[0])
    order = np.argsort(numbers, kind="stable")
    if np.array_equal(numbers[order], numbers[order[0]] + in_order):
        notes.append(f"{found.source}: channels are not in order, sorted")
        return numbers[order], order
    steps = np.diff(numbers)
    wraps = any(np.all((steps == 1) | (steps == 1 - wrap)) for wrap in _WRAPS)
    if wraps or np.all(numbers[wrong] < 0):
        notes.append(
            f"{found.source}: row {place + 1}: CHANNEL is {numbers[place]}, more than the column "
            f"can hold; channels taken in order from {numbers[0]}"
        )
        return numbers[0] + in_order, None
    raise DataError(
        f"{found.source}: row {place + 1}: CHANNEL is {numbers[place]}, "
        f"expected {numbers[0] + place}"
    )
