"""The response of an instrument: how photons of each energy become counts in each channel.

Expected counts in channel c of an exposure t are

    t  sum_j  R_cj A_j  int_{bin j} f(E) dE,

with the redistribution R (an RMF file), the effective area A in cm^2 (an ARF file) and the photon
flux f in photons/s/cm^2/keV. An RSP file has R and A in one matrix.

Source: George et al. 1992 (OGIP memo CAL/GEN/92-002) and 92-002a.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Bools, Floats, Ints, Table, path_and_number, read_tables

#: A sparse matrix by rows.
Sparse: TypeAlias = "sparse.csr_array[np.float64, tuple[int, int]]"

#: Stands for an energy of zero, where no power law has a value (keV).
_LOWEST_ENERGY = 1e-10
#: How far the energies of an RMF and its ARF may differ, relative to the upper end of the bin.
_SAME_ENERGY = 1e-5
_MATRIX = "MATRIX"
_WITH_AREA = "SPECRESP MATRIX"


@dataclass(frozen=True, eq=False)
class Response:
    """How photons of each energy become counts in each channel.

    Parameters
    ----------
    energy_low, energy_high
        Bounds of the J energy bins, keV.
    channel_low, channel_high
        Nominal bounds of the C channels, keV (they may descend, as those of gratings do).
    first_channel
        Number of the first channel.
    matrix
        Redistribution, shape (C, J), sparse: the probability that a photon of bin j is counted in
        channel c; in cm^2 where the effective area is folded in.
    area
        Effective area of each energy bin, cm^2, shape (J,); ones where the matrix holds it.
    source
        File names, for messages.
    notes
        What was decided on reading.

    Raises
    ------
    DataError
        Shapes that don't match, bounds that are not finite or upside down, energies that do not
        ascend, a matrix that is not finite.
    """

    energy_low: Floats
    energy_high: Floats
    channel_low: Floats
    channel_high: Floats
    first_channel: int
    matrix: Sparse
    area: Floats
    source: tuple[str, ...] = ("response",)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = ("energy_low", "energy_high", "channel_low", "channel_high", "area")
        for name in names:
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        object.__setattr__(self, "matrix", self.matrix.tocsr().astype(np.float64))
        file = self.source[0]
        shapes = [np.shape(getattr(self, name)) for name in names]
        if shapes[0] != shapes[1] or shapes[0] != shapes[4] or shapes[2] != shapes[3]:
            raise DataError(f"{file}: {', '.join(names)} have the shapes {shapes}")
        if self.matrix.shape != (*shapes[2], *shapes[0]):
            raise DataError(
                f"{file}: a matrix of shape {self.matrix.shape}, expected channels, energies = "
                f"{(*shapes[2], *shapes[0])}"
            )
        _check_energies(self.energy_low, self.energy_high, file)
        _check_channels(self.channel_low, self.channel_high, file)
        if not np.all(np.isfinite(self.matrix.data)):
            raise DataError(f"{file}: the matrix has a number that is not finite")
        _check_area(self.area, self.source[-1])

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return len(self.channel_low)

    @classmethod
    def read(
        cls, rmf: str | os.PathLike[str], arf: str | os.PathLike[str] | None = None
    ) -> Response:
        """Read a response from OGIP files, which may be gzipped.

        Parameters
        ----------
        rmf
            RMF or RSP file. Of several matrices in it, ``file.rsp{2}`` is the second.
        arf
            ARF file, on the same energies (to 1e-5).

        Raises
        ------
        DataError
            A file that can't be read or lacks a table, a column or a unit that is known; channels
            out of range; energies of the two files that differ; an ARF for a matrix that holds the
            effective area already. The message names the file and the row.

        Notes
        -----
        A matrix called ``MATRIX`` has no effective area in it, one called ``SPECRESP MATRIX`` has
        (unless its ``HDUCLAS3`` is ``REDIST``). Channels count from ``TLMIN`` of the column
        ``F_CHAN``; without it from 1, or from 0 where ``EBOUNDS`` begins with 0. An energy of 0 is
        taken as 1e-10 keV, where power laws are finite, as Sherpa does.
        """
        path, number = path_and_number(rmf)
        tables = read_tables(path)
        notes: list[str] = []
        table = _matrix_table(tables, path, number)
        bounds = _table(tables, "EBOUNDS", "EBOUNDS", path)
        low, high = _bounds(table, "ENERG_LO", "ENERG_HI", notes)
        _check_energies(low, high, table.source)
        low = _above_zero(low, table.source, notes)
        channel_low, channel_high = _bounds(bounds, "E_MIN", "E_MAX", notes)
        first = _first_number(bounds)
        matrix = _unpacked(table, len(channel_low), _offset(table, first, notes))
        if np.any(matrix.data < 0):
            notes.append(f"{path}: the matrix has {np.sum(matrix.data < 0)} negative elements")
        holds_area = table.name == _WITH_AREA and table.text("HDUCLAS3") != "REDIST"
        if table.unit("MATRIX") and (
            holds_area or (arf is None and table.has_unit("MATRIX", "cm2"))
        ):
            matrix = matrix * table.factor("MATRIX", "cm2")[0]
        area = np.ones(len(low))
        if arf is not None:
            if holds_area:
                raise DataError(
                    f"{path}: {_WITH_AREA} holds the effective area already, expected no ARF "
                    f"('none'), got {arf}"
                )
            area = _read_area(Path(arf), low, high, str(path), notes)
        elif not holds_area:
            notes.append(f"{path}: no ARF given, the effective area is taken to be in the matrix")
        source = (str(path),) if arf is None else (str(path), str(arf))
        return cls(low, high, channel_low, channel_high, first, matrix, area, source, tuple(notes))


def _table(tables: list[Table], name: str, kind: str, path: Path) -> Table:
    """Find a table by its name, else by what its HDUCLAS keywords say."""
    found = [table for table in tables if table.name == name]
    found += [table for table in tables if table.text("HDUCLAS2") == kind]
    if not found:
        raise DataError(f"{path}: no extension {name}; there are {_names(tables)}")
    return found[0]


def _names(tables: list[Table]) -> str:
    return ", ".join(table.name or "one without a name" for table in tables) or "no tables"


def _matrix_table(tables: list[Table], path: Path, number: int | None) -> Table:
    found = [table for table in tables if table.name in (_MATRIX, _WITH_AREA)]
    found = found or [
        table
        for table in tables
        if table.text("HDUCLAS1") == "RESPONSE" and table.text("HDUCLAS2") == "RSP_MATRIX"
    ]
    if not found:
        raise DataError(
            f"{path}: no extension {_MATRIX} or {_WITH_AREA}; there are {_names(tables)}"
        )
    if number is None and len(found) > 1:
        raise DataError(
            f"{path}: {len(found)} matrices, expected one named, as in {path.name}{{1}}"
        )
    if number is not None and not 1 <= number <= len(found):
        raise DataError(f"{path}: no matrix {{{number}}}, there are {len(found)}, counted from 1")
    table = found[(number or 1) - 1]
    if not table.rows:
        raise DataError(f"{path}: extension {table.name} has no rows")
    return table


def _bounds(table: Table, low: str, high: str, notes: list[str]) -> tuple[Floats, Floats]:
    """Two columns of energies, in keV."""
    columns = []
    for name in (low, high):
        values = table.scalars(name)
        factor, note = table.factor(name, "keV")
        columns.append(values if factor == 1.0 else values * factor)
        notes.extend([note] * bool(note))
    return columns[0], columns[1]


def _first_number(bounds: Table) -> int:
    """Check that the channels of EBOUNDS count up one by one; return the first."""
    numbers = bounds.scalars("CHANNEL")
    if not len(numbers):
        raise DataError(f"{bounds.source}: extension {bounds.name} has no rows")
    wrong = np.flatnonzero(numbers != numbers[0] + np.arange(len(numbers)))
    if len(wrong):
        row = int(wrong[0])
        raise DataError(
            f"{bounds.source}: EBOUNDS row {row + 1}: CHANNEL is {numbers[row]:g}, "
            f"expected {numbers[0] + row:g}"
        )
    return int(numbers[0])


def _offset(table: Table, first: int, notes: list[str]) -> int:
    """Read the number of the first channel, as the column F_CHAN counts."""
    stated = table.limit("TLMIN", "F_CHAN")
    if stated is None:
        stated = 0 if first == 0 else 1
        notes.append(f"{table.source}: no TLMIN of F_CHAN, channels counted from {stated}")
    elif stated != first:
        notes.append(
            f"{table.source}: F_CHAN counts channels from {stated} (TLMIN), EBOUNDS from {first}; "
            "taken in order"
        )
    return stated


def _unpacked(table: Table, channels: int, offset: int) -> Sparse:
    """Unpack the groups of channels of every energy into a sparse matrix (channels, energies)."""
    groups = table.scalars("N_GRP").astype(np.int64)
    first, first_lengths = table.flat("F_CHAN")
    width, width_lengths = table.flat("N_CHAN")
    values, value_lengths = table.flat("MATRIX")
    for name, lengths in (("F_CHAN", first_lengths), ("N_CHAN", width_lengths)):
        _refuse(groups > lengths, table, f"N_GRP is larger than the length of {name}")
    _refuse(groups < 0, table, "N_GRP is negative")

    in_use = _leading(first_lengths, groups)
    first = first[in_use]
    width = width[_leading(width_lengths, groups)]
    row = np.repeat(np.arange(table.rows), groups)
    start = first - offset
    bad = (width < 0) | ((width > 0) & ((start < 0) | (start + width > channels)))
    # Not finite is neither.
    bad |= ~(np.isfinite(first) & np.isfinite(width))
    if np.any(bad):
        group = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{table.source}: row {row[group] + 1}: F_CHAN {first[group]:g} and N_CHAN "
            f"{width[group]:g} are out of the {channels} channels from {offset}"
        )
    count = width.astype(np.int64)
    needed = np.zeros(table.rows, dtype=np.int64)
    np.add.at(needed, row, count)
    _refuse(needed > value_lengths, table, "MATRIX has fewer elements than N_CHAN says")

    data = values[_leading(value_lengths, needed)]
    within = np.arange(len(data)) - np.repeat(np.cumsum(count) - count, count)
    channel = np.repeat(start.astype(np.int64), count) + within
    energy = np.repeat(row, count)
    not_finite = np.flatnonzero(~np.isfinite(data))
    if len(not_finite):
        raise DataError(
            f"{table.source}: row {energy[not_finite[0]] + 1}: MATRIX is "
            f"{data[not_finite[0]]:g}, expected finite numbers"
        )
    used = data != 0
    places = (channel[used], energy[used])
    return sparse.coo_array((data[used], places), shape=(channels, table.rows)).tocsr()


def _leading(lengths: Ints, wanted: Ints) -> Ints:
    """Places of the first few elements of each row, in all rows one after another."""
    starts = np.cumsum(lengths) - lengths
    before = np.cumsum(wanted) - wanted
    return np.repeat(starts - before, wanted) + np.arange(int(wanted.sum()))


def _refuse(rows: Bools, table: Table, words: str) -> None:
    if np.any(rows):
        raise DataError(f"{table.source}: row {int(np.flatnonzero(rows)[0]) + 1}: {words}")


def _read_area(path: Path, low: Floats, high: Floats, rmf: str, notes: list[str]) -> Floats:
    """Read the effective area of an ARF file that must have the energies of the RMF."""
    table = _table(read_tables(path), "SPECRESP", "SPECRESP", path)
    found_low, found_high = _bounds(table, "ENERG_LO", "ENERG_HI", notes)
    factor, note = table.factor("SPECRESP", "cm2")
    notes.extend([note] * bool(note))
    area = table.scalars("SPECRESP") * factor
    if len(area) != len(low):
        raise DataError(
            f"{path}: {len(area)} energy bins, but {rmf} has {len(low)}: they don't belong together"
        )
    tolerance = _SAME_ENERGY * high
    differs = (abs(found_low - low) > tolerance) | (abs(found_high - high) > tolerance)
    if np.any(differs):
        row = int(np.flatnonzero(differs)[0])
        raise DataError(
            f"{path}: row {row + 1}: {found_low[row]:g} to {found_high[row]:g} keV, but {rmf} has "
            f"{low[row]:g} to {high[row]:g} keV"
        )
    _check_area(area, str(path))
    return area


def _check_area(area: Floats, file: str) -> None:
    bad = np.flatnonzero(~(np.isfinite(area) & (area >= 0)))
    if len(bad):
        raise DataError(
            f"{file}: row {bad[0] + 1}: effective area {area[bad[0]]:g}, expected 0 cm2 or more"
        )


def _check_energies(low: Floats, high: Floats, file: str) -> None:
    bad = ~((low >= 0) & (high > low) & np.isfinite(high))
    bad[1:] |= low[1:] < low[:-1]
    if np.any(bad):
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{file}: row {row + 1}: energies {low[row]:g} to {high[row]:g} keV, "
            "expected them to ascend from 0"
        )


def _check_channels(low: Floats, high: Floats, file: str) -> None:
    bad = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (high >= low)))
    if len(bad):
        raise DataError(
            f"{file}: EBOUNDS row {bad[0] + 1}: {low[bad[0]]:g} to {high[bad[0]]:g} keV, "
            "expected E_MIN below E_MAX"
        )


def _above_zero(low: Floats, file: str, notes: list[str]) -> Floats:
    if low[0] > 0:
        return low
    notes.append(f"{file}: ENERG_LO of 0 taken as {_LOWEST_ENERGY:g} keV")
    return np.where(low > 0, low, _LOWEST_ENERGY)
