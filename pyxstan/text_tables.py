"""Tables of plain text: columns between commas, semicolons, tabs or blanks, or of fixed width."""

from __future__ import annotations

import csv
import re

from pyxstan.errors import DataError

#: A line under or above a header.
_RULE = re.compile(r"[-=+\s]*[-=]{2,}[-=+\s]*")
#: A number with a decimal point or an exponent, which names nothing.
_DECIMAL = re.compile(r"[-+]?(\d+\.\d*|\.\d+|\d+(?=[eE]))([eE][-+]?\d+)?")
_SEPARATORS = {",": "commas", "\t": "tabs", ";": "semicolons"}


def cells(text: str, source: str) -> tuple[list[str], list[list[str]], list[int]]:
    """Header, rows and the lines that they stand in (from 1).

    Lines that begin with ``#`` are comments, unless the last of them before the first row is its
    header. Columns are separated by what separates the header.

    Raises
    ------
    DataError
        No header, another separator, a quote without an end, columns between blanks that can't be
        told apart.
    """
    lines = text.replace("\r\n", "\n").split("\n")
    kept = [n for n, line in enumerate(lines) if line.strip() and line.strip()[0] != "#"]
    if kept and (behind := _commented_header(lines, kept[0])) is not None:
        lines[behind] = lines[behind].strip().lstrip("#")
        kept.insert(0, behind)
    if not kept:
        raise DataError(f"{source}: no header with the names of the columns")
    first = lines[kept[0]]
    separator = _separator(first)
    if not separator and "|" in first:
        raise DataError(f"{source}: columns are separated by '|', expected commas")
    between_blanks = not separator and len(kept) > 1 and len(first.split()) > 1
    if between_blanks and (len(lines[kept[1]].split()) > 1 or _RULE.fullmatch(lines[kept[1]])):
        return _between_blanks(lines, kept, source)
    rows: list[list[str]] = []
    numbers: list[int] = []
    done = 0
    reader = csv.reader(
        (f"{lines[n]}\n" for n in kept),
        delimiter=separator or ",",
        strict=True,
        skipinitialspace=separator != "\t",
    )
    try:
        for row in reader:
            rows.append([cell.strip() for cell in row])
            numbers.append(kept[done] + 1)
            done = reader.line_num
    except csv.Error as error:
        raise DataError(f"{source}: line {kept[done] + 1}: not a line of CSV ({error})") from None
    return rows[0], rows[1:], numbers[1:]


def _commented_header(lines: list[str], first: int) -> int | None:
    """The comment that names the columns of rows without a header, if there is one."""
    if first == 0 or not lines[first - 1].lstrip().startswith("#"):
        return None
    names, values = (_split(line.strip().lstrip("#")) for line in lines[first - 1 : first + 1])
    named = len(names) == len(values) > 1 and all(names) and len(set(names)) == len(names)
    if not named or any(map(_DECIMAL.fullmatch, names)):
        return None
    return first - 1 if any(map(_DECIMAL.fullmatch, values)) else None


def _split(line: str) -> list[str]:
    separator = _separator(line)
    line = line.strip() if separator else " ".join(line.split())
    return [cell.strip() for cell in next(csv.reader([line], delimiter=separator or " "))]


def _separator(line: str) -> str:
    """What is there most often of what separates columns; empty if there is none."""
    most = max(_SEPARATORS, key=line.count)
    return most if most in line else ""


def _between_blanks(
    lines: list[str], kept: list[int], source: str
) -> tuple[list[str], list[list[str]], list[int]]:
    """Cells of fixed width where the columns stand apart and none of them is empty, else words."""
    kept = [n for n in kept if not _RULE.fullmatch(lines[n])]
    numbers = [n + 1 for n in kept[1:]]
    header = lines[kept[0]].split()
    fields = _fields([lines[n].rstrip() for n in kept])
    if all(len(lines[kept[0]][field].split()) == 1 for field in fields) and len(fields) > 1:
        found = [[lines[n][field].strip().strip('"') for field in fields] for n in kept]
        if all(map(any, zip(*found[1:], strict=True))):
            return found[0], found[1:], numbers
    try:
        rows = [
            next(csv.reader([lines[n].strip().replace("\t", " ")], delimiter=" ",
                            skipinitialspace=True, strict=True))
            for n in kept[1:]
        ]  # fmt: skip
    except csv.Error as error:
        raise DataError(f"{source}: columns are separated by blanks ({error})") from None
    for number, row in zip(numbers, rows, strict=True):
        if len(row) != len(header):
            raise DataError(
                f"{source}: line {number}: columns are separated by blanks, {len(row)} words, but "
                f"the header has {len(header)}: separate them by commas"
            )
    return header, rows, numbers


def _fields(lines: list[str]) -> list[slice]:
    """Where columns of characters are that have blanks, in all lines, between them."""
    if any("\t" in line for line in lines):
        return []
    width = max(map(len, lines))
    filled = [any(line[k : k + 1].strip() for line in lines) for k in range(width)] + [False]
    starts = [k for k in range(width) if filled[k] and not (k and filled[k - 1])]
    ends = [k for k in range(1, width + 1) if filled[k - 1] and not filled[k]]
    return [slice(start, end) for start, end in zip(starts, ends, strict=True)]


def is_number(word: str) -> bool:
    """Whether a word is a number."""
    try:
        float(word)
    except ValueError:
        return False
    return True
