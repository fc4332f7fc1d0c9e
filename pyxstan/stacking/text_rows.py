"""Rows of numbers in text files: samples with one object a row, and the chains of UltraNest."""

from __future__ import annotations

import gzip
import re
import zlib
from array import array
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyxstan.errors import DataError
from pyxstan.tables import marks_of_nothing
from pyxstan.text_tables import is_number

if TYPE_CHECKING:
    from pyxstan.stacking.data import Floats

_GZIP_MAGIC = b"\x1f\x8b"
_EMPTY_CELL = re.compile(r"(?:^|,)\s*,")


def read_text(path: str | Path) -> tuple[Floats, NDArray[np.intp]]:
    """Read samples of one parameter, one object a row: PosteriorStacker's format.

    Parameters
    ----------
    path
        Text file, also gzipped. Numbers are separated by blanks or commas; rows may differ in
        length. What follows a ``#`` and blank lines are left out.

    Returns
    -------
    x, start
        The samples of all objects one after another, and where those of each begin, with the end:
        shapes (samples,) and (objects + 1,).

    Raises
    ------
    DataError
        No such file, a directory, an empty or binary file, a word that is not a finite number.
    """
    path = Path(path)
    # Plain C arrays that grow: 8 bytes a number, whether or not rows are of equal length.
    x, ends, lines, comment = array("d"), array("q", [0]), array("q"), ""
    for number, line in lines_of(path, "a text file with one object a row"):
        where = f"{path}: line {number}"
        text = line.partition("#")[0]
        if "," in text:
            # Spreadsheets fill up short rows with commas.
            text = text.rstrip(", \t\r\n")
            if _EMPTY_CELL.search(text):
                raise DataError(f"{where}: an empty cell between commas, expected a number")
            text = text.replace(",", " ")
        words = text.split()
        if not words:
            if line.lstrip().startswith("#"):
                comment = comment if lines else line.strip(" \t\r\n#")
                continue
            raise DataError(f"{where}: no numbers, expected the samples of an object")
        try:
            x.extend(numbers_of(where, words))
        except DataError as error:
            hint = "" if lines else "; a header must start with #"
            raise DataError(f"{error}{hint}") from None
        ends.append(len(x))
        lines.append(number)
    if not lines:
        raise DataError(f"{path}: no samples, nothing but comments")
    _refuse_columns(path, np.diff(np.array(ends)), comment)
    values = np.frombuffer(x, dtype=float)
    start = np.array(ends, dtype=np.intp)
    finite = np.isfinite(values)
    if not finite.all():
        k = int(np.argmin(finite))
        row = int(np.searchsorted(start, k, side="right")) - 1
        raise DataError(
            f"{path}: line {lines[row]}: number {k - int(start[row]) + 1} is {values[k]:g}, "
            "expected a finite number"
        )
    for k in np.flatnonzero(marks_of_nothing(values))[:1]:
        row = int(np.searchsorted(start, k, side="right")) - 1
        raise DataError(
            f"{path}: line {lines[row]}: number {k - int(start[row]) + 1} is {values[k]:g}, far "
            "from the others: a mark for no sample? leave it out"
        )
    return values, start


def _refuse_columns(path: Path, sizes: NDArray[np.integer[Any]], comment: str) -> None:
    """Raise where a row is a sample, not an object: a number a line, or columns with names."""
    if len(sizes) < 2 or (sizes != sizes[0]).any():
        return
    names = comment.replace(",", " ").split()
    if sizes[0] == 1:
        raise DataError(
            f"{path}: one number a line, expected an object a row (samples of one object alone are "
            "a file of their own, one of several)"
        )
    if len(names) == sizes[0] and not any(map(is_number, names)):
        raise DataError(
            f"{path}: a row a sample, with columns {names}, expected an object a row: "
            "make it a table with a column 'object'"
        )


def lines_of(path: Path, expected: str) -> Iterator[tuple[int, str]]:
    """Lines of a text file, also a gzipped one, that are not blank, with their numbers."""
    if b"\0" in head_of(path, expected):
        raise DataError(f"{path}: a binary file, expected {expected}")
    try:
        with _opener(path)(path, "rt", encoding="utf-8-sig") as file:
            for number, line in enumerate(file, 1):
                if "\0" in line:
                    raise DataError(f"{path}: a binary file, expected {expected}")
                if line.strip():
                    yield number, line
    except UnicodeDecodeError:
        raise DataError(f"{path}: not a text file, expected {expected}") from None
    except (EOFError, OSError, zlib.error) as error:
        raise _unreadable(path, error) from None


def head_of(path: Path, expected: str) -> bytes:
    """The first bytes of a file that is there and not empty, unpacked where it is gzipped."""
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected {expected}")
    try:
        with _opener(path)(path, "rb") as file:
            head: bytes = file.read(4096)
    except (EOFError, OSError, zlib.error) as error:
        raise _unreadable(path, error) from None
    if not head.strip():
        raise DataError(f"{path}: the file is empty")
    return head


def _opener(path: Path) -> Callable[..., Any]:
    with path.open("rb") as file:
        return gzip.open if file.read(2) == _GZIP_MAGIC else open


def _unreadable(path: Path, error: Exception) -> DataError:
    if isinstance(error, OSError) and error.strerror:
        return DataError(f"{path}: can't be read ({error.strerror})")
    return DataError(f"{path}: the gzipped file is damaged or cut short")


def numbers_of(where: str, words: Sequence[str]) -> list[float]:
    """Words as numbers; `where` says where they stand."""
    try:
        return list(map(float, words))
    except ValueError:
        bad = next(word for word in words if not is_number(word))
        shown = bad if len(bad) <= 40 else f"{bad[:40]}..."
        raise DataError(f"{where}: {shown!r} is not a number") from None
