"""Tables as astronomers keep them (text, FITS, VOTable, MRT, IPAC, LaTeX, in memory), with units.

Everything becomes a pandas DataFrame plus the units of its columns; errors name the file, the row
as a person would find it (the line of a text file, the 1-based row of a FITS table) and the column.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyxstan.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_FITS_MAGIC = b"SIMPLE  ="
_GZIP_MAGIC = b"\x1f\x8b"
_WHOLE = re.compile(r"-?\d+\.0*")
_EXPECTED = "CSV, ECSV, FITS, VOTable, MRT, IPAC or LaTeX"
#: Numbers, up to their sign, that stand for no value in tables; the last are of HEALPix and floats.
_MARKS = (99.0, 99.9, 99.99, 999.0, 999.9, 999.99, 9999.0, 9999.9, 99999.0, 999999.0, 32768.0,
          2147483648.0, 1e20, 1e30, 1e31, 1e33, 1e36, 1e38, 1.6375e30, 3.4028234663852886e38,
          1.7976931348623157e308)  # fmt: skip
#: They are nothing else from here on.
_SURELY_A_MARK = 1e300
#: How far a mark is beyond all other values, in parts of itself. Where it is a size that something
#: may well have (a column of 1e20 atoms), at least so many times as large as they are.
_FAR, _HUGE, _MANY_TIMES = 0.25, 1e20, 1e3
#: How formats that astropy reads begin, with its names for them, and ours.
_FORMATS = (
    (re.compile(rb"# %ECSV"), "ascii.ecsv", "ECSV table"),
    (re.compile(rb"\s*(<\?xml|<VOTABLE)"), "votable", "VOTable"),
    (re.compile(rb"(?s).*Byte-by-byte Description of file"), "ascii.cds", "machine-readable table"),
    (re.compile(rb"(?s).*\\begin\{deluxetable"), "ascii.aastex", "AASTeX table"),
    (re.compile(rb"(?s).*\\begin\{tabular"), "ascii.latex", "LaTeX table"),
    (
        re.compile(rb"(?s)(\\[^\n]*\n)*\s*\|[^\n]*\|\s*\n\s*\|(?!\s*:?-{2})"),
        "ascii.ipac",
        "IPAC table",
    ),
)
_LATEX = ("ascii.aastex", "ascii.latex")
#: Markup of LaTeX that stands for a sign, and that for none: marks of notes, fonts.
_PLAIN = {"\\pm": "+/-", "\\nodata": "", "\\ldots": "", "\\dots": "", "~": " ", "\\,": " "}
_SYMBOLS = re.compile("|".join(re.escape(mark) for mark in _PLAIN))
#: What follows the end of a row on its line: its distance to the next, rules.
_ROW_END = re.compile(r"\\\\(?:\[[^\]\n]*\])?[ \t]*(?=\\(?:hline|\w+rule|tableline|cline)|\n)")
#: What is in units and not in other texts, and how numbers begin.
_UNIT = re.compile(r"\^-?\d|/|\b(erg|cm|keV|Jy|s|ks)\b")
_NUMBER = re.compile(r"[-+<>]?\.?\d")
_NO_TEXT = re.compile(r"\\(tablenotemark|footnotemark|footnote|tnote)\{[^{}]*\}|\\hline")


@dataclass(frozen=True)
class Table:
    """A table, where it came from, and the units its columns state."""

    frame: pd.DataFrame
    source: str
    units: dict[str, str]
    #: What a row is called in messages: ``line`` of a text file, ``row`` of a table.
    row_word: str
    #: The number that each row goes by there.
    row_numbers: Sequence[int]
    #: Columns that aren't one plain value a row, with what they hold: of no use but to be named.
    unusable: Mapping[str, str] = field(default_factory=dict)

    def row(self, position: int) -> str:
        """Name a row as the user would find it."""
        return f"{self.source}: {self.row_word} {self.row_numbers[int(position)]}"

    def require(self, columns: Iterable[str]) -> None:
        """Raise unless all `columns` are there."""
        for column in columns:
            if column in self.unusable:
                raise DataError(
                    f"{self.source}: column '{column}' holds {self.unusable[column]}, expected one "
                    "value a row"
                )
            if column not in self.frame.columns:
                there = ", ".join(map(str, self.frame.columns))
                raise DataError(f"{self.source}: no column '{column}'; there are {there}")

    def has(self, column: str) -> bool:
        """Whether there is such a column, of use or not."""
        return column in self.frame.columns or column in self.unusable

    def renamed(self, columns: Mapping[str, str]) -> Table:
        """The table with columns under other names: ``columns`` maps the new ones to those there.

        A column that has a new name already is left out, unless it is given one itself.
        """
        self.require(columns.values())
        twice = [name for name in columns.values() if list(columns.values()).count(name) > 1]
        if twice:
            raise DataError(f"{self.source}: column '{twice[0]}' is given two names")
        new = {there: name for name, there in columns.items()}
        rest = [c for c in self.frame.columns if c in new or c not in columns]
        return replace(
            self,
            frame=self.frame[rest].rename(columns=new),
            units={new.get(c, c): unit for c, unit in self.units.items() if c in rest},
        )

    def without(self, columns: Iterable[str]) -> Table:
        """The table without these columns."""
        gone = list(columns)
        for column in gone:
            if column not in self.unusable:
                self.require([column])
        kept = [column for column in self.frame.columns if column not in gone]
        unusable = {name: what for name, what in self.unusable.items() if name not in gone}
        return replace(self, frame=self.frame[kept], unusable=unusable)

    def labels(self, column: str) -> list[str]:
        """A column of names; none may be empty. Blanks within them count as one."""
        self.require([column])
        values = self.frame[column]
        missing = values.isna().to_numpy()
        text = [" ".join(str(value).split()) for value in values]
        for position, (label, gone) in enumerate(zip(text, missing, strict=True)):
            if gone or not label:
                raise DataError(f"{self.row(position)}: column '{column}' is empty")
        if all(_WHOLE.fullmatch(label) for label in text):  # which came by way of floats
            return [label.partition(".")[0] for label in text]
        return text

    def numbers(
        self, column: str, *, unit: str | None = None, positive: bool = False, gaps: bool = False
    ) -> NDArray[np.float64]:
        """A column of finite numbers, converted to `unit` where the column states another.

        Parameters
        ----------
        positive
            Zero and negative values are errors.
        gaps
            Empty cells are allowed and come back as NaN.
        """
        import numpy as np
        import pandas as pd

        self.require([column])
        series = self.frame[column]
        if getattr(series.dtype, "kind", "O") in "bcmMV":
            raise DataError(f"{self.source}: column '{column}' is {series.dtype}, expected numbers")
        try:
            values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        except (TypeError, ValueError):
            raise DataError(f"{self.source}: column '{column}' does not hold numbers") from None
        blank = series.isna().to_numpy() | (series.astype(str).str.strip() == "").to_numpy()
        wrong = ~np.isfinite(values) & ~(blank if gaps else np.zeros_like(blank))
        if positive:
            wrong |= values <= 0
        if wrong.any():
            position = int(np.argmax(wrong))
            value = series.iloc[position]
            given = "empty" if blank[position] and not isinstance(value, float) else f"'{value}'"
            expected = "a positive number" if positive else "a finite number"
            expected += ", or an empty cell where there is none" if gaps else ""
            raise DataError(f"{self.row(position)}: {column} is {given}, expected {expected}")
        factor = self._factor(column, unit)
        return values * factor if factor != 1 else values

    def refuse_marks(self, column: str, values: NDArray[np.float64]) -> None:
        """Raise where one of a column's values (NaN where there is none) stands for no value."""
        for doubt in self.marks(column, values):
            raise DataError(doubt)

    def marks(self, column: str, values: NDArray[np.float64]) -> list[str]:
        """Say where the first of a column's values is that seems to stand for no value, if any."""
        import numpy as np

        seen = np.flatnonzero(np.isfinite(values))
        return [
            f"{self.row(k)}: {column} is {values[k]:g}, far from the others: a mark for no value? "
            "leave it out"
            for k in seen[marks_of_nothing(values[seen])][:1]
        ]

    def _factor(self, column: str, unit: str | None) -> float:
        stated = self.units.get(column)
        if unit is None or stated is None:
            return 1.0
        from astropy import units as u

        try:
            return float(u.Unit(stated).to(u.Unit(unit)))
        except (ValueError, u.UnitConversionError):
            wanted = unit or "a plain number"
            raise DataError(
                f"{self.source}: column '{column}' is in '{stated}', expected {wanted}"
            ) from None


def marks_of_nothing(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of some finite numbers seem to be marks for no value, as -999 and 1e30 are.

    They are such numbers, and farther away from zero than all the others: by a good part of
    themselves, and by more than the range of the others is wide. One that is there more than once
    need but stand apart, by several times the largest gap between the others.
    """
    import numpy as np

    if not values.size or not np.isin(np.abs([values.min(), values.max()]), _MARKS).any():
        return np.zeros(values.shape, dtype=bool)  # none is beyond the others
    marks = np.isin(np.abs(values), _MARKS)
    if marks.all():
        return np.asarray(marks & (np.abs(values) >= _SURELY_A_MARK))
    others = np.unique(values[~marks])
    low, high = others[0], others[-1]
    gap = min(high - low, 3 * np.diff(others).max(initial=0.0))
    beyond = np.where(values > 0, values - high, low - values)
    _, inverse, count = np.unique(values, return_inverse=True, return_counts=True)
    again = (count > 1)[inverse.reshape(values.shape)]
    size = np.abs(values)
    far = (beyond > _FAR * size) & (beyond > np.where(again, gap, high - low))
    far &= (size < _HUGE) | (size > _MANY_TIMES * max(-low, high))
    return np.asarray(marks & far)


def read(table: Any, name: str = "table") -> Table:
    """Read a table from a file, a DataFrame, an astropy Table or a dict of columns.

    Parameters
    ----------
    table
        Path of a CSV, ECSV, FITS, VOTable, MRT (CDS), IPAC or LaTeX file (told apart by content;
        columns of text may be separated by tabs, semicolons or blanks, too), or a table in memory.
    name
        What to call a table in memory in messages.

    Raises
    ------
    DataError
        No such file, a directory, an empty or binary file, a format that can't be read, no rows.
    """
    import pandas as pd

    if isinstance(table, Table):
        return table
    if isinstance(table, (str, Path)):
        found = _from_file(Path(table))
    elif isinstance(table, pd.DataFrame):
        found = _in_memory(table.reset_index(drop=True), name)
    elif hasattr(table, "to_pandas") and hasattr(table, "colnames"):
        found = _from_astropy(table, name, 0)
    elif isinstance(table, dict) and any(hasattr(column, "info") for column in table.values()):
        found = _from_columns(table, name)  # Quantities, times, positions
    elif isinstance(table, dict):
        try:
            found = _in_memory(pd.DataFrame(table), name)
        except ValueError as error:
            raise DataError(f"{name}: {error}") from None
    else:
        raise DataError(
            f"{name}: expected a file, a DataFrame, an astropy Table or a dict of columns, "
            f"got {type(table).__name__}"
        )
    if found.frame.empty:
        raise DataError(f"{found.source}: no rows")
    return found


def _in_memory(frame: pd.DataFrame, name: str) -> Table:
    import pandas as pd

    named = frame.set_axis(pd.Index([str(column) for column in frame.columns]), axis=1)
    _refuse_twice(list(named.columns), name)
    return Table(named, name, {}, "row", range(len(named)))


def _from_columns(columns: dict[str, Any], name: str) -> Table:
    """A dict of columns some of which are astropy's."""
    from astropy.table import QTable

    try:
        return _from_astropy(QTable(columns), name, 0)
    except (ValueError, TypeError) as error:
        raise DataError(f"{name}: {' '.join(str(error).split())}") from None


def _refuse_twice(columns: Sequence[str], source: str) -> None:
    for position, column in enumerate(columns):
        if column in columns[:position]:
            raise DataError(f"{source}: column '{column}' is there twice")


def _from_file(path: Path) -> Table:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected a table file ({_EXPECTED})")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    if not head.strip():
        raise DataError(f"{path}: the file is empty")
    if head.startswith((_FITS_MAGIC, _GZIP_MAGIC)):
        zipped = head.startswith(_GZIP_MAGIC)
        return _from_astropy_file(path, "fits", "FITS table", zipped=zipped)
    if b"\0" in head:
        raise DataError(f"{path}: a binary file, expected {_EXPECTED}")
    for beginning, kind, what in _FORMATS:
        if beginning.match(head):
            return _from_astropy_file(path, kind, what)
    return _from_text(path)


def _from_text(path: Path) -> Table:
    """Read a text file cell by cell as text, so that names stay what they are (``01``, ``NA``)."""
    import pandas as pd

    from pyxstan import text_tables

    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file, expected {_EXPECTED}") from None
    if "\0" in text:
        raise DataError(f"{path}: a binary file, expected {_EXPECTED}")
    header, rows, numbers = text_tables.cells(text, str(path))
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{path}: line {number}: {len(row)} cells, but the header has {len(header)}"
            )
    named = [k for k, column in enumerate(header) if column or any(row[k] for row in rows)]
    if not header[0] and [row[0] for row in rows] == [str(k) for k in range(len(rows))]:
        named = named[1:]  # the index of a DataFrame
    if not all(header[k] for k in named):
        nameless = next(k for k in named if not header[k])
        raise DataError(f"{path}: column {nameless + 1} has no name")
    columns = [header[k] for k in named]
    _refuse_twice(columns, str(path))
    frame = pd.DataFrame([[row[k] for k in named] for row in rows], columns=columns, dtype=object)
    return Table(frame, str(path), {}, "line", numbers)


def _from_astropy_file(path: Path, kind: str, what: str, *, zipped: bool = False) -> Table:
    import warnings

    from astropy.table import Table as AstropyTable

    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            given: Path | str = path
            below: list[str] = []
            if kind in _LATEX:
                given = _ROW_END.sub(r"\\\\\n", path.read_text(encoding="utf-8-sig"))
                given, below = _second_head(given)
            table = AstropyTable.read(given, format=kind)
        if zipped:
            _read_to_the_end(path)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise DataError(f"{path}: not a readable {what} ({reason})") from None
    if kind in _LATEX:
        table = _without_markup(table, below)
    for warning in found:
        if "truncated" in str(warning.message):
            raise DataError(f"{path}: not a readable {what} (the file is cut short)")
    return _from_astropy(table, str(path), 1)


def _read_to_the_end(path: Path) -> None:
    """Let gzip find damage behind what a reader of the first table looks at."""
    with gzip.open(path) as file:
        while file.read(1 << 20):
            pass


def _second_head(text: str) -> tuple[str, list[str]]:
    """Text of an AASTeX table without the second row of its head, and the cells of that."""
    head = re.search(r"\\tablehead\s*\{", text)
    if head is None:
        return text, []
    end, depth = head.end(), 1
    while depth and end < len(text):
        depth += {"{": 1, "}": -1}.get(text[end], 0)
        end += 1
    first, _, second = text[head.end() : end - 1].partition("\\\\")
    if "\\colhead" not in second:
        return text, []
    cells = [
        re.sub(r"^\s*\\colhead\s*\{(.*)\}\s*$", r"\1", c, flags=re.S) for c in second.split("&")
    ]
    return f"{text[: head.end()]}{first}}}{text[end:]}", cells


def _without_markup(table: Any, below: Sequence[str]) -> Any:
    """A table of LaTeX with the text behind its markup, in names of columns and in cells.

    Units below the names (`below`, or a first row with gaps and without a number) go behind them.
    """
    for name in list(table.colnames):
        if table[name].dtype.kind == "U":
            table[name] = [_plain(str(cell)) for cell in table[name]]
        table.rename_column(name, _plain(name))
    units = [_plain(cell) for cell in below]
    if not units and len(table) > 1:
        first = [str(cell) for cell in table[0]]
        gaps = any(cell in ("", "--") for cell in first)
        if gaps and any(map(_UNIT.search, first)) and not any(map(_NUMBER.match, first)):
            units, table = ["" if cell == "--" else cell for cell in first], table[1:]
            for name in table.colnames:
                table[name] = ["" if str(cell) == "--" else str(cell) for cell in table[name]]
    for name, unit in zip(list(table.colnames), units, strict=False):
        if unit:
            bare = unit[1:-1] if unit[0] + unit[-1] in ("()", "[]") else unit
            table.rename_column(name, f"{name} ({bare})")
    return table


def _plain(text: str) -> str:
    """Text without the markup of LaTeX; what stays unknown stays as it is."""
    text = _NO_TEXT.sub("", _SYMBOLS.sub(lambda found: _PLAIN[found[0]], text))
    text = re.sub(r"\\(?:mathrm|rm|text)\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}", r"\1", text)
    text = re.sub(r"\^\{(-?\d+)\}", r"^\1", text)
    return " ".join(re.sub(r"\\(?=[_%&#])|\$", "", text).split())


def _from_astropy(table: Any, source: str, first_row: int) -> Table:
    from astropy import units as u
    from astropy.table import Column

    unusable = {}
    for name in table.colnames:
        column = table[name]
        if getattr(column, "ndim", 1) != 1:
            unusable[name] = "arrays"
        elif not isinstance(column, Column | u.Quantity):
            unusable[name] = f"a {type(column).__name__}"
    usable = [name for name in table.colnames if name not in unusable]
    if not usable:
        raise DataError(f"{source}: no column of one plain value a row")
    table = table[usable]
    units = {name: str(table[name].unit) for name in table.colnames if table[name].unit is not None}
    try:
        frame = table.to_pandas(index=False)
        for name in frame.columns:
            if frame[name].dtype == object:
                frame[name] = [v.decode() if isinstance(v, bytes) else v for v in frame[name]]
    except UnicodeDecodeError:
        raise DataError(f"{source}: column '{name}' is not text in UTF-8") from None
    except (TypeError, ValueError) as error:
        raise DataError(f"{source}: not a table of plain columns ({error})") from None
    rows = range(first_row, first_row + len(frame))
    return Table(frame, source, units, "row", rows, unusable)
