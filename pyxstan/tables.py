"""Tables as astronomers keep them (CSV, ECSV, FITS, DataFrame, astropy Table), with their units.

Everything becomes a pandas DataFrame plus the units of its columns; errors name the file, the row
as a person would find it (the line of a text file, the 1-based row of a FITS table) and the column.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyxstan.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

_FITS_MAGIC = b"SIMPLE  ="


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

    def row(self, position: int) -> str:
        """Name a row as the user would find it."""
        return f"{self.source}: {self.row_word} {self.row_numbers[int(position)]}"

    def require(self, columns: Iterable[str]) -> None:
        """Raise unless all `columns` are there."""
        for column in columns:
            if column not in self.frame.columns:
                there = ", ".join(map(str, self.frame.columns))
                raise DataError(f"{self.source}: no column '{column}'; there are {there}")

    def labels(self, column: str) -> list[str]:
        """A column of names; none may be empty."""
        values = self.frame[column]
        missing = values.isna().to_numpy()
        text = [str(value).strip() for value in values]
        for position, (label, gone) in enumerate(zip(text, missing, strict=True)):
            if gone or not label:
                raise DataError(f"{self.row(position)}: column '{column}' is empty")
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

        series = self.frame[column]
        values = pd.to_numeric(series, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        blank = series.isna().to_numpy() | (series.astype(str).str.strip() == "").to_numpy()
        wrong = ~np.isfinite(values) & ~(blank if gaps else np.zeros_like(blank))
        if positive:
            wrong |= values <= 0
        if wrong.any():
            position = int(np.argmax(wrong))
            given = "empty" if blank[position] else f"'{series.iloc[position]}'"
            expected = "a positive number" if positive else "a finite number"
            raise DataError(f"{self.row(position)}: {column} is {given}, expected {expected}")
        factor = self._factor(column, unit)
        return values * factor if factor != 1 else values

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


def read(table: Any, name: str = "table") -> Table:
    """Read a table from a file, a DataFrame, an astropy Table or a dict of columns.

    Parameters
    ----------
    table
        Path of a CSV, ECSV or FITS file (told apart by content), or a table in memory.
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
    return Table(frame, name, {}, "row", range(len(frame)))


def _from_file(path: Path) -> Table:
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected a table file (CSV, ECSV or FITS)")
    try:
        with path.open("rb") as file:
            head = file.read(4096)
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    if not head.strip():
        raise DataError(f"{path}: the file is empty")
    if head.startswith((_FITS_MAGIC, b"\x1f\x8b")):
        return _from_astropy_file(path, "fits")
    if b"\0" in head:
        raise DataError(f"{path}: a binary file, expected CSV, ECSV or FITS")
    if head.startswith(b"# %ECSV"):
        return _from_astropy_file(path, "ascii.ecsv")
    return _from_csv(path)


def _from_csv(path: Path) -> Table:
    import pandas as pd

    try:
        text = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file, expected CSV, ECSV or FITS") from None
    lines = [n for n, line in enumerate(text, 1) if line.strip() and line.strip()[0] != "#"]
    kept = "\n".join(text[n - 1] for n in lines)
    try:
        frame = pd.read_csv(io.StringIO(kept), skipinitialspace=True, index_col=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{path}: not a CSV table ({str(error).strip()})") from None
    frame.columns = pd.Index([str(column).strip() for column in frame.columns])
    if frame.columns.has_duplicates:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"{path}: column '{twice}' is there twice")
    return Table(frame, str(path), {}, "line", lines[1:])


def _from_astropy_file(path: Path, kind: str) -> Table:
    import warnings

    from astropy.table import Table as AstropyTable

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = AstropyTable.read(path, format=kind)
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        what = "FITS table" if kind == "fits" else "ECSV table"
        raise DataError(f"{path}: not a readable {what} ({reason})") from None
    return _from_astropy(table, str(path), 1)


def _from_astropy(table: Any, source: str, first_row: int) -> Table:
    for name in table.colnames:
        if getattr(table[name], "ndim", 1) != 1:
            raise DataError(f"{source}: column '{name}' holds arrays, expected one value a row")
    units = {name: str(table[name].unit) for name in table.colnames if table[name].unit is not None}
    frame = table.to_pandas(index=False)
    for name in frame.columns:
        if frame[name].dtype == object:
            frame[name] = [v.decode() if isinstance(v, bytes) else v for v in frame[name]]
    rows = range(first_row, first_row + len(frame))
    return Table(frame, source, units, "row", rows)
