"""From PHA files of type I and II to `Spectrum`: columns, keywords and the files they name."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Floats, Ints, Table, path_and_number, read_tables
from pyxstan.spectra.response import Response
from pyxstan.spectra.spectrum import Spectrum, checked_exposure

#: Rates times exposure this near to a whole number are one (single precision, relative).
_WHOLE = 1e-5
#: How near STAT_ERR must come to an approximation of Poisson errors to be one.
_SAME_ERROR = 2e-3
#: Largest of the errors that are written for no counts (Gehrels 1986).
_ERROR_OF_NONE = 1.87

FileName = str | os.PathLike[str]


@dataclass(frozen=True)
class _Row:
    """A spectrum in a table: all of one of type I, or a row (from 0) of one of type II."""

    table: Table
    row: int | None
    source: str
    channels: int

    def per_channel(self, name: str) -> Floats | None:
        """One number a channel from a column or a keyword, None where there is neither."""
        if name in self.table:
            if self.row is None:
                return self.table.scalars(name)
            values = self.table.cell(name, self.row)
            if len(values) not in (1, self.channels):
                raise DataError(
                    f"{self.source}: {len(values)} numbers of {name}, but {self.channels} channels"
                )
            return np.full(self.channels, values[0]) if len(values) == 1 else values
        value = self.table.number(name)
        return None if value is None else np.full(self.channels, value)

    def whole(self, name: str) -> Ints:
        """One whole number a channel, zeros where the file has none."""
        values = self.per_channel(name)
        if values is None:
            return np.zeros(self.channels, dtype=np.int64)
        bad = np.flatnonzero(values != np.rint(values))
        if len(bad):
            raise DataError(
                f"{self.source}: row {bad[0] + 1}: {name} is {values[bad[0]]:g}, "
                "expected a whole number"
            )
        return values.astype(np.int64)

    def scale(self, name: str, notes: list[str]) -> Floats:
        """BACKSCAL or AREASCAL."""
        values = self.per_channel(name)
        if values is None:
            notes.append(f"{self.source}: no {name}, taken as 1")
            return np.ones(self.channels)
        return values

    def exposure(self) -> float:
        """EXPOSURE in s."""
        if self.row is not None and "EXPOSURE" in self.table:
            value: float | None = float(self.table.cell("EXPOSURE", self.row)[0])
        else:
            value = self.table.number("EXPOSURE")
        if value is None:
            raise DataError(f"{self.source}: no keyword EXPOSURE, expected a number of s")
        return checked_exposure(value, self.source)


def read_spectrum(
    pha: FileName,
    *,
    background: FileName | Spectrum | None,
    rmf: FileName | Response | None,
    arf: FileName | None,
    row: int | None,
    name: str | None,
) -> Spectrum:
    """Do the work of `Spectrum.from_ogip`."""
    path, number = path_and_number(pha)
    if row is not None and number is not None and row != number:
        raise DataError(f"{path}: row {row}, but the file name says {{{number}}}")
    found = _find(path, row if row is not None else number)
    notes: list[str] = []
    exposure = found.exposure()
    channel = _channel_numbers(found, notes)
    counts, errors = _counts(found, exposure, notes)
    companion = _background(found, path, background, notes)
    response = _response(found, path, rmf, arf, notes)
    if response is not None and response.first_channel != channel[0]:
        notes.append(
            f"{found.source}: channels from {channel[0]}, those of {response.source[0]} from "
            f"{response.first_channel}; taken in order"
        )
    systematic = found.per_channel("SYS_ERR")
    if systematic is not None and np.any(systematic != 0):
        notes.append(f"{found.source}: SYS_ERR, up to {systematic.max():g}, is not used")
    return Spectrum(
        name or _stem(path) + found.source.removeprefix(str(path)),
        counts,
        exposure,
        backscal=found.scale("BACKSCAL", notes),
        areascal=found.scale("AREASCAL", notes),
        quality=found.whole("QUALITY"),
        grouping=found.whole("GROUPING"),
        poisson=errors is None,
        errors=errors,
        channel=channel,
        response=response,
        background=companion,
        notes=tuple(notes),
        source=found.source,
    )


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz")).stem


def _find(path: Path, number: int | None) -> _Row:
    """Find the spectrum in a file."""
    tables = read_tables(path)
    spectra = [table for table in tables if table.name == "SPECTRUM"]
    spectra += [table for table in tables if table.text("HDUCLAS1") == "SPECTRUM"]
    if not spectra:
        there = ", ".join(table.name or "one without a name" for table in tables)
        raise DataError(f"{path}: no extension SPECTRUM; there are {there or 'no tables'}")
    table = spectra[0]
    if "COUNTS" not in table and "RATE" not in table:
        there = ", ".join(table.data.columns.names)
        raise DataError(f"{path}: no column COUNTS or RATE; there are {there}")
    if not table.rows:
        raise DataError(f"{path}: extension SPECTRUM has no rows")
    column = "COUNTS" if "COUNTS" in table else "RATE"
    lengths = table.flat(column)[1]
    if np.all(lengths == 1):
        if number not in (None, 1):
            raise DataError(f"{path}: row {number}, but the file has one spectrum (type I)")
        return _Row(table, None, str(path), table.rows)
    if number is None and table.rows > 1:
        raise DataError(
            f"{path}: {table.rows} spectra (type II), expected one named by its row, "
            f"as in {path.name}{{1}}"
        )
    number = 1 if number is None else number
    if not 1 <= number <= table.rows:
        raise DataError(f"{path}: row {number}, but there are {table.rows}, counted from 1")
    source = str(path) if table.rows == 1 else f"{path}{{{number}}}"
    return _Row(table, number - 1, source, int(lengths[number - 1]))


def _channel_numbers(found: _Row, notes: list[str]) -> Ints:
    if "CHANNEL" not in found.table:
        notes.append(f"{found.source}: no column CHANNEL, channels counted from 1")
        return np.arange(1, found.channels + 1)
    numbers = found.whole("CHANNEL")
    wrong = np.flatnonzero(numbers != numbers[0] + np.arange(found.channels))
    if len(wrong):
        place = int(wrong[0])
        raise DataError(
            f"{found.source}: row {place + 1}: CHANNEL is {numbers[place]}, "
            f"expected {numbers[0] + place}"
        )
    if found.row is not None and "SPEC_NUM" in found.table:
        stated = found.table.cell("SPEC_NUM", found.row)[0]
        if stated != found.row + 1:
            notes.append(f"{found.source}: row {found.row + 1} has SPEC_NUM {stated:g}")
    return numbers


def _counts(found: _Row, exposure: float, notes: list[str]) -> tuple[Floats, Floats | None]:
    """Counts, and their errors unless they are Poisson's."""
    flag = found.table.keyword("POISSERR")
    stated = flag is True or str(flag).strip().upper() in ("T", "TRUE")
    errors = found.per_channel("STAT_ERR")
    if "COUNTS" in found.table:
        counts = found.per_channel("COUNTS")
        assert counts is not None
        if stated:
            return counts, None
        whole = bool(np.all((counts >= 0) & (counts == np.rint(counts))))
        if errors is None or (whole and _is_poisson(counts, errors)):
            if flag is not None:
                notes.append(f"{found.source}: POISSERR is false, but counts are taken as Poisson")
            return counts, None
        notes.append(f"{found.source}: counts have the Gaussian errors of STAT_ERR")
        return counts, errors
    rate = found.per_channel("RATE")
    assert rate is not None
    counts = rate * exposure
    if stated:
        near = np.rint(counts)
        return np.where(abs(counts - near) <= _WHOLE * np.maximum(near, 1), near, counts), None
    if errors is None:
        raise DataError(
            f"{found.source}: RATE without STAT_ERR, and POISSERR is not true: "
            "expected one or the other"
        )
    notes.append(f"{found.source}: rates have the Gaussian errors of STAT_ERR")
    return counts, errors * exposure


def _is_poisson(counts: Floats, errors: Floats) -> bool:
    """Whether errors are what is usually written beside Poisson counts: sqrt N, or Gehrels'."""
    some = counts > 0
    if not np.all((errors[~some] >= 0) & (errors[~some] <= _ERROR_OF_NONE)):
        return False
    usual = (np.sqrt(counts), 1 + np.sqrt(counts + 0.75))
    return any(bool(np.all(abs(errors - form)[some] <= _SAME_ERROR * form[some])) for form in usual)


def _background(
    found: _Row, path: Path, given: FileName | Spectrum | None, notes: list[str]
) -> Spectrum | None:
    if isinstance(given, Spectrum):
        return given
    file = _chosen(found, path, given, "BACKFILE", notes)
    if file is None:
        if {"BACKGROUND_UP", "BACKGROUND_DOWN"} & set(found.table.data.columns.names):
            notes.append(f"{found.source}: columns of background are not used")
        return None
    spectrum = Spectrum.from_ogip(file, background="none", rmf="none", arf="none")
    notes.extend(spectrum.notes)
    return spectrum


def _response(
    found: _Row,
    path: Path,
    rmf: FileName | Response | None,
    arf: FileName | None,
    notes: list[str],
) -> Response | None:
    if isinstance(rmf, Response):
        if arf is not None:
            raise DataError(f"arf: expected none beside a response that is read, got {arf}")
        return rmf
    matrix = _chosen(found, path, rmf, "RESPFILE", notes)
    if matrix is None:
        if arf is not None and _is_name(arf):
            raise DataError(f"{found.source}: arf {arf}, but no RMF: no RESPFILE and none given")
        return None
    response = Response.read(matrix, _chosen(found, path, arf, "ANCRFILE", notes))
    notes.extend(response.notes)
    return response


def _is_name(given: FileName) -> bool:
    return os.fspath(given).strip().lower() not in ("", "none")


def _chosen(
    found: _Row, path: Path, given: FileName | None, keyword: str, notes: list[str]
) -> str | None:
    """Take the user's file, or else the one that the spectrum names, None where there is none."""
    if given is not None:
        return os.fspath(given) if _is_name(given) else None
    named = found.table.file_name(keyword, found.row)
    if named is None:
        return None
    file, number = path_and_number(named)
    braces = "" if number is None else f"{{{number}}}"
    place = path.parent / file
    if place.is_file():
        return f"{place}{braces}"
    beside = path.parent / file.name
    if not beside.is_file():
        raise DataError(f"{found.source}: {keyword} names {named}, which is not there")
    notes.append(f"{found.source}: {keyword} {named} is not there, took {beside}")
    return f"{beside}{braces}"
