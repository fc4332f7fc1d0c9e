"""Tables of OGIP files: whole in memory, their columns and keywords by name, mistakes named."""

from __future__ import annotations

import io
import math
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyxstan.errors import DataError
from pyxstan.fits_files import content, is_truncated, reason

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: How a keyword or a cell says that there is no such file.
_NO_FILE = ("", "none")
#: Words that files use in units, and what they are called in general.
_UNIT_WORDS = {
    r"counts?|cts|cnts?": "ct",
    r"photons?|phot": "ph",
    r"channels?|chans": "chan",
    r"secs?|seconds?": "s",
}


@dataclass(frozen=True, eq=False)
class Table:
    """A binary table of a FITS file.

    Parameters
    ----------
    source
        File name for messages.
    header, data
        As astropy gives them.
    hdu
        Number of the extension in the file, where 0 is the primary.
    """

    source: str
    header: Any
    data: Any
    hdu: int

    @property
    def name(self) -> str:
        """The extension's name, in capitals."""
        return str(self.header.get("EXTNAME", "")).strip().upper()

    @property
    def version(self) -> int:
        """Its number among extensions of one name, EXTVER."""
        value = self.header.get("EXTVER", 1)
        return value if isinstance(value, int) else 1

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.data)

    def __contains__(self, column: str) -> bool:
        return self._number(column) is not None

    def _number(self, column: str) -> int | None:
        """Number of a column from 1, as in its keywords ``TUNITn`` and so on."""
        names = [name.strip().upper() for name in self.data.columns.names]
        return names.index(column) + 1 if column in names else None

    def raw(self, column: str) -> Any:
        """A column as astropy gives it.

        Raises
        ------
        DataError
            There is no such column, or its bytes can't be read.
        """
        number = self._number(column)
        if number is None:
            there = ", ".join(self.data.columns.names) or "none"
            raise DataError(
                f"{self.source}: no column {column} in extension {self.name}; there are {there}"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return self.data.field(number - 1)
            except Exception as error:
                raise DataError(
                    f"{self.source}: column {column} can't be read ({reason(error)})"
                ) from None

    def flat(self, column: str) -> tuple[Floats, Ints]:
        """All numbers of a column of scalars, vectors or vectors of variable length, row by row.

        Returns
        -------
        tuple
            The numbers and how many of them each row has.
        """
        cells = self.raw(column)
        if isinstance(cells, list) or cells.dtype.kind == "O":
            parts = [np.atleast_1d(np.asarray(cell)).ravel() for cell in cells]
            lengths = np.array([len(part) for part in parts], dtype=np.int64)
            values = np.concatenate(parts) if parts else np.empty(0)
        else:
            cells = np.asarray(cells)
            cells = cells.reshape(self.rows, math.prod(cells.shape[1:]))
            lengths = np.full(self.rows, cells.shape[1], dtype=np.int64)
            values = cells.ravel()
        return self._as_floats(values, column), lengths

    def numbers(self, column: str) -> Floats:
        """A column of one number a row, which need not be finite.

        Raises
        ------
        DataError
            No such column, vectors or words in it.
        """
        values, lengths = self.flat(column)
        if np.any(lengths != 1):
            raise DataError(
                f"{self.source}: column {column} has vectors, expected one number a row"
            )
        return values

    def scalars(self, column: str) -> Floats:
        """A column of one finite number a row.

        Raises
        ------
        DataError
            No such column, vectors or words in it, a number that is not finite.
        """
        values = self.numbers(column)
        bad = np.flatnonzero(~np.isfinite(values))
        if len(bad):
            raise DataError(
                f"{self.source}: row {bad[0] + 1}: {column} is {values[bad[0]]:g}, "
                "expected a finite number"
            )
        return values

    def cell(self, column: str, row: int) -> Floats:
        """The numbers in one row (from 0) of a column."""
        return self._as_floats(np.atleast_1d(np.asarray(self.raw(column)[row])).ravel(), column)

    def _as_floats(self, values: NDArray[Any], column: str) -> Floats:
        try:
            return np.array(values, dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{self.source}: column {column} has no numbers") from None

    def keyword(self, name: str) -> Any:
        """Value of a keyword, None where there is none."""
        value = self.header.get(name)
        return value if isinstance(value, (str, bool, int, float)) else None

    def number(self, name: str) -> float | None:
        """Value of a keyword that should be a number, None where there is none.

        Raises
        ------
        DataError
            It is something else.
        """
        value = self.keyword(name)
        if value is None:
            return None
        try:
            found = math.nan if isinstance(value, bool) else float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found):
            raise DataError(f"{self.source}: keyword {name} is '{value}', expected a number")
        return found

    def text(self, name: str) -> str:
        """Value of a keyword as words in capitals, empty where there is none."""
        value = self.keyword(name)
        return "" if value is None else str(value).strip().upper()

    def file_name(self, name: str, row: int | None = None) -> str | None:
        """Read a file's name from a column (a row from 0) or else a keyword; None for no file."""
        values: list[Any] = [self.keyword(name)]
        if row is not None and name in self:
            values.insert(0, self.raw(name)[row])
        for value in values:
            text = "" if value is None else str(value).strip()
            if text.lower() not in _NO_FILE:
                return text
        return None

    def limit(self, keyword: str, column: str) -> int | None:
        """Value of ``TLMINn`` or ``TLMAXn`` of a column, None where there is none."""
        number = self._number(column)
        value = None if number is None else self.number(f"{keyword}{number}")
        return None if value is None else int(value)

    def unit(self, column: str) -> str:
        """Unit of a column as the file spells it, empty where there is none."""
        number = self._number(column)
        return "" if number is None else str(self.header.get(f"TUNIT{number}", "")).strip()

    def factor(self, column: str, to: str) -> tuple[float, str]:
        """Factor from a column's unit to another, and a note where the file names none.

        Raises
        ------
        DataError
            A unit of something else, or none that is known.
        """
        spelt = self.unit(column)
        if not spelt:
            return 1.0, f"{self.source}: {column} has no unit, taken in {to}"
        factor = _factor(spelt, to)
        if factor is None:
            raise DataError(f"{self.source}: unit '{spelt}' of column {column}, expected {to}")
        return factor, ""

    def has_unit(self, column: str, like: str) -> bool:
        """Whether the unit of a column can be converted to another."""
        return _factor(self.unit(column), like) is not None


def _factor(spelt: str, to: str) -> float | None:
    from astropy import units as u

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for words in dict.fromkeys((spelt, _usual(spelt))):
            try:
                return float(_without_counts(u.Unit(words)).to(u.Unit(to)))
            except (ValueError, TypeError):
                continue
    return None


def _without_counts(unit: Any) -> Any:
    """A unit without counts and photons, which are plain numbers: cm2 count / ph is cm2."""
    from astropy import units as u

    plain = [base for base in unit.bases if base in (u.ct, u.ph, u.chan)]
    for base in plain:
        unit = unit / base ** unit.powers[unit.bases.index(base)]
    return unit


def _usual(spelt: str) -> str:
    """Spell a unit as usual: "KEV" and "CM**2" are known in any case, and in brackets.

    >>> _usual("[KEV]"), _usual("CM**2"), _usual("counts per second"), _usual("CTS/SEC/KEV")
    ('keV', 'cm**2', 'ct/s', 'ct/s/keV')
    """
    names = {"ev": "eV", "kev": "keV", "mev": "MeV", "gev": "GeV"}
    plain = re.sub(r"\s*\bper\b\s*", "/", spelt.strip("()[] ").lower())
    for words, usual in _UNIT_WORDS.items():
        plain = re.sub(rf"(?<![a-z])(?:{words})(?![a-z])", usual, plain)
    return re.sub(r"(?<![a-z])[kmg]?ev(?![a-z])", lambda found: names[found[0]], plain)


def read_tables(path: Path) -> list[Table]:
    """Read all binary tables of a FITS file, which may be compressed by gzip or bzip2.

    Raises
    ------
    DataError
        No such file, a directory, an empty, damaged or truncated file, not FITS.
    """
    from astropy.io import fits

    whole = content(path, "a FITS file")
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            with fits.open(io.BytesIO(whole), memmap=False) as hdus:
                tables = [
                    Table(str(path), hdu.header.copy(), hdu.data, number)
                    for number, hdu in enumerate(hdus)
                    if isinstance(hdu, fits.BinTableHDU | fits.TableHDU) and hdu.data is not None
                ]
        except Exception as error:
            why = "the file is cut short" if is_truncated(found) else reason(error)
            raise DataError(f"{path}: not a readable FITS file ({why})") from None
    if is_truncated(found):
        raise DataError(f"{path}: not a readable FITS file (the file is cut short)")
    return tables
