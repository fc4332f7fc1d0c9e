"""Names of OGIP files: which file, which of its extensions, which spectrum or matrix in it.

CFITSIO's and XSPEC's ways of writing are read: ``file[2]`` and ``file+2`` are the second extension,
``file[NAME]`` and ``file[NAME,2]`` one of that name (and that EXTVER), ``file{3}`` the third
spectrum, row or matrix. A file may lie there compressed where the name is of one that is not, and
the other way round.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Table

_BRACES = re.compile(r"(.+)\{\s*([^{}]+?)\s*\}")
_BRACKETS = re.compile(r"([^\[]+)((?:\[[^\[\]]*\])+)")
_PLUS = re.compile(r"(.+)\+(\d+)")
_EXTENSION = re.compile(r"\[\s*([^\[\],;:=#]+?)\s*(?:,\s*(\d+)\s*)?\]")
_COMPRESSED = (".gz", ".bz2")


@dataclass(frozen=True)
class Place:
    """Where something is: a file, and perhaps an extension and a number in it.

    Parameters
    ----------
    path
        The file.
    extension
        Number of the extension as CFITSIO counts (0 is the primary), or its name; None for any.
    version
        EXTVER of an extension of that name.
    number
        Which spectrum, row or matrix, counted from 1, or its name.
    """

    path: Path
    extension: int | str | None = None
    version: int | None = None
    number: int | str | None = None

    @property
    def suffix(self) -> str:
        """What is written behind the file's name.

        >>> Place(Path("a.pha"), "BKG", 2, 3).suffix
        '[BKG,2]{3}'
        """
        version = "" if self.version is None else f",{self.version}"
        extension = "" if self.extension is None else f"[{self.extension}{version}]"
        return extension + ("" if self.number is None else f"{{{self.number}}}")

    def __str__(self) -> str:
        return f"{self.path}{self.suffix}"

    def among(self, tables: list[Table]) -> list[Table]:
        """Tables of the extension that is asked for, all where none is.

        Raises
        ------
        DataError
            There is none.
        """
        if self.extension is None:
            return tables
        found = [table for table in tables if self._is(table)]
        if not found:
            asked = self.suffix.partition("{")[0]
            raise DataError(f"{self.path}: no table {asked}; there are {listed(tables)}")
        return found

    def _is(self, table: Table) -> bool:
        if isinstance(self.extension, int):
            return table.hdu == self.extension
        return table.name == str(self.extension).upper() and (
            self.version is None or table.version == self.version
        )


def listed(tables: list[Table]) -> str:
    """Names of tables in words."""
    return ", ".join(table.name or "one without a name" for table in tables) or "no tables"


def parsed(name: str | os.PathLike[str], folder: Path = Path()) -> Place:
    """Take a name apart into the file, the extension and the number.

    A file of exactly that name, in `folder`, is that file.

    >>> parsed("a.pha{3}").number, parsed("a.pha").number
    (3, None)
    >>> place = parsed("a.rmf[MATRIX,2]")
    >>> str(place.path), place.extension, place.version
    ('a.rmf', 'MATRIX', 2)

    Raises
    ------
    DataError
        A filter behind the name, such as ``[channel > 3]``.
    """
    text = os.fspath(name).strip()
    if _is_file(folder / text):
        return Place(Path(text))
    number: int | str | None = None
    extension: int | str | None = None
    version: int | None = None
    if braces := _BRACES.fullmatch(text):
        text, number = braces[1].strip(), _number(braces[2])
    if brackets := _BRACKETS.fullmatch(text):
        asked = _EXTENSION.fullmatch(brackets[2])
        if asked is None:
            raise DataError(
                f"{name}: expected the name of a file, with [extension] or {{number}} at most; "
                f"'{brackets[2]}' can't be read"
            )
        text, extension = brackets[1].strip(), _number(asked[1])
        version = None if asked[2] is None else int(asked[2])
    elif (plus := _PLUS.fullmatch(text)) and any(map(_is_file, _variants(folder / plus[1]))):
        text, extension = plus[1], int(plus[2])
    return Place(Path(text), extension, version, number)


def _number(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _variants(path: Path) -> Iterator[Path]:
    """A path, and the same compressed or not."""
    yield path
    if not path.name:
        return
    for suffix in _COMPRESSED:
        yield path.with_name(path.name + suffix)
        if path.name.endswith(suffix):
            yield path.with_name(path.name.removesuffix(suffix))


def given(name: str | os.PathLike[str], notes: list[str]) -> Place:
    """Find the file that the user names; where there is none, the name stays as it is."""
    place = parsed(name)
    for path in _variants(place.path):
        if _is_file(path):
            if path != place.path:
                notes.append(f"{place.path} is not there, took {path}")
            return _at(place, path)
    return place


def named(name: str, folder: Path, where: str, notes: list[str]) -> Place | None:
    """Find the file that another file names: as it is named, else in the other file's folder.

    Parameters
    ----------
    folder
        That the name is relative to.
    where
        What names it, for notes.

    Returns
    -------
    Place or None
        None where there is no such file.
    """
    place = parsed(name, folder)
    base = PurePosixPath(str(place.path).replace("\\", "/")).name
    for candidate in (place.path, Path(base)):
        for path in _variants(folder / candidate):
            if _is_file(path):
                if path != folder / place.path:
                    notes.append(f"{where} {name} is not there, took {path}")
                return _at(place, path)
    try:
        alike = [path for path in folder.iterdir() if path.name.lower() == base.lower()]
    except OSError:
        alike = []
    if len(alike) == 1 and _is_file(alike[0]):
        notes.append(f"{where} {name} is not there, took {alike[0]}")
        return _at(place, alike[0])
    return None


def _at(place: Place, path: Path) -> Place:
    return Place(path, place.extension, place.version, place.number)
