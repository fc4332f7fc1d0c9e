"""Tables of numbers in text files, large ones too, and every other table by `pyxstan.tables`.

The releases of neutrino telescopes are text: columns between blanks, tabs or commas, a header that
may begin with ``#`` and may be separated otherwise than the rows, compressed or not, and up to
millions of rows, which `pyxstan.tables` would read cell by cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyxstan import tables
from pyxstan.errors import DataError
from pyxstan.fits_files import reason, unpacked

_FITS, _ECSV = b"SIMPLE  =", b"# %ECSV"
#: How other formats begin that `pyxstan.tables` reads, and what machine-readable tables have.
_MARKUP, _MACHINE_READABLE = (b"<", b"|", b"\\"), b"Byte-by-byte Description of file"
_EXPECTED = "a table"


def read(table: Any, name: str = "table") -> tables.Table:
    """Read a table from a file or from memory.

    Parameters
    ----------
    table
        Path of a table of text (gzip or bzip2, too), or what `pyxstan.tables.read` reads.
    name
        What to call a table in memory in messages.

    Raises
    ------
    DataError
        No such file, a damaged or binary one, no header, a row of another length than the header.
    """
    if not isinstance(table, str | Path):
        return tables.read(table, name)
    path = Path(table)
    content = unpacked(path, _EXPECTED)
    if content.startswith(_ECSV) and not path.read_bytes().startswith(_ECSV):
        return _compressed_ecsv(content, path)
    start = content[:4096].lstrip()
    if start.startswith((_FITS, _ECSV, *_MARKUP)) or _MACHINE_READABLE in start or not start:
        return tables.read(path)
    return _with_header(text_of(content, path), str(path))


def read_columns(path: str | Path, names: list[str]) -> tables.Table:
    """Read a text file of numbers whose columns are known; a header is passed over.

    Raises
    ------
    DataError
        No such file, no text, no rows, or another number of columns.
    """
    path = Path(path)
    lines = text_of(unpacked(path, _EXPECTED), path).split("\n")
    rows = [n for n in _numbers(lines, 0) if any(map(_is_number, _words(lines[n - 1])))]
    if not rows:
        raise DataError(f"{path}: no rows")
    separator = next((s for s in ",;\t" if s in lines[rows[0] - 1]), None)
    if len(_cells(lines[rows[0] - 1].partition("#")[0], separator)) != len(names):
        raise DataError(
            f"{path}: line {rows[0]}: {len(_words(lines[rows[0] - 1]))} columns, expected "
            f"{len(names)}: {', '.join(names)}"
        )
    return _rows(lines, rows[0] - 1, names, separator, str(path))


def text_of(content: bytes, path: Path) -> str:
    """What is in a text file, or a `DataError`."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise DataError(f"{path}: a binary file, expected a table of text or FITS")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _compressed_ecsv(content: bytes, path: Path) -> tables.Table:
    from astropy.table import Table

    try:
        found = Table.read(text_of(content, path), format="ascii.ecsv")
    except Exception as error:
        raise DataError(f"{path}: not a readable ECSV table ({reason(error)})") from None
    table = tables.read(found, str(path))
    return replace(table, row_numbers=range(1, len(table.frame) + 1))


def _with_header(text: str, source: str) -> tables.Table:
    lines = text.split("\n")
    kept = (n for n, line in enumerate(lines) if line.strip() and not _is_comment(line))
    first = next(kept, None)
    if first is None:
        raise DataError(f"{source}: no header with the names of the columns, and no rows")
    if any(map(_is_number, _words(lines[first]))):
        # the last comment above that has a name for each column
        row = first
        heads = [line.strip().lstrip("#").strip() for line in lines[:first] if line.strip()][::-1]
        fitting = (head for head in heads if _columns(head, lines[row])[1])
        head = next(fitting, heads[0] if heads else None)
        if head is None:
            raise DataError(
                f"{source}: line {row + 1}: no header with the names of the columns above"
            )
    else:
        head, row = lines[first], next(kept, -1)
        if row < 0:
            raise DataError(f"{source}: no rows")
    separator, header = _columns(head, lines[row])
    if not header:
        raise DataError(
            f"{source}: line {row + 1}: {len(_words(lines[row]))} cells, but the header has "
            f"{len(_words(head))}"
        )
    for position, column in enumerate(header):
        if not column:
            raise DataError(f"{source}: column {position + 1} has no name")
        if column in header[:position]:
            raise DataError(f"{source}: column '{column}' is there twice")
    return _rows(lines, row, header, separator, source)


def _rows(
    lines: list[str], first: int, header: list[str], separator: str | None, source: str
) -> tables.Table:
    import pandas as pd

    try:
        frame = pd.read_csv(
            io.StringIO("\n".join(lines[first:])),
            sep=separator or r"\s+",
            header=None,
            names=header,
            comment="#",
            skipinitialspace=True,
            keep_default_na=False,
            na_values=[""],
            low_memory=False,
        )
    except (ValueError, pd.errors.ParserError) as error:
        _refuse_ragged(lines, first, len(header), separator, source)
        raise DataError(f"{source}: not a table of text ({reason(error)})") from None
    if frame[header[-1]].isna().any():
        _refuse_ragged(lines, first, len(header), separator, source)
    numbers: Sequence[int] = range(first + 1, first + 1 + len(frame))
    if len(lines) - (not lines[-1].strip()) != first + len(frame):
        numbers = _numbers(lines, first)
    if len(numbers) != len(frame):
        raise DataError(f"{source}: a quoted cell runs over the end of its line")
    return tables.Table(frame, source, {}, "line", numbers)


def _refuse_ragged(
    lines: list[str], first: int, columns: int, separator: str | None, source: str
) -> None:
    for number in _numbers(lines, first):
        cells = len(_cells(lines[number - 1].partition("#")[0], separator))
        if cells != columns:
            raise DataError(f"{source}: line {number}: {cells} cells, but the header has {columns}")


def _numbers(lines: list[str], first: int) -> list[int]:
    """The lines (from 1) that rows stand in."""
    return [n + 1 for n, line in enumerate(lines) if n >= first and line.partition("#")[0].strip()]


def _columns(head: str, row: str) -> tuple[str | None, list[str]]:
    """What separates columns (none: blanks), and their names; none if they don't fit the row."""
    for separator in (",", ";", "\t", None):
        names, cells = _cells(head, separator), _cells(row.partition("#")[0], separator)
        if len(names) == len(cells) > 1:
            return separator, names
    return None, []


def _cells(line: str, separator: str | None) -> list[str]:
    if separator is None:
        return line.split()
    if '"' not in line:
        return [cell.strip() for cell in line.split(separator)]
    return [
        cell.strip()
        for cell in next(csv.reader([line], delimiter=separator, skipinitialspace=True), [])
    ]


def _words(line: str) -> list[str]:
    return line.partition("#")[0].replace(",", " ").replace(";", " ").split()


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
