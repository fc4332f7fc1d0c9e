"""The matrix of a response file: groups of channels of each energy, packed one behind another.

For each energy there are ``N_GRP`` groups, each with its first channel ``F_CHAN`` and its number of
channels ``N_CHAN``; ``MATRIX`` has the elements of all of them. The columns are of vectors of
fixed or variable length, or of single numbers; what lies behind the groups in use has no meaning.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Bools, Floats, Ints, Table
from pyxstan.spectra.response import Sparse


@dataclass(frozen=True, eq=False)
class Groups:
    """All groups of a matrix, one after another.

    Parameters
    ----------
    table
        What they are from.
    channels
        How many channels there are.
    row
        In which row each group is, from 0.
    first, width
        Its first channel, as the file counts, and how many there are.
    values
        Elements of all groups.
    """

    table: Table
    channels: int
    row: Ints
    first: Floats
    width: Floats
    values: Floats

    @classmethod
    def read(cls, table: Table, channels: int) -> Groups:
        """Read the columns.

        Raises
        ------
        DataError
            Columns that are missing or too short, numbers that are none.
        """
        number = table.scalars("N_GRP").astype(np.int64)
        first, first_lengths = table.flat("F_CHAN")
        width, width_lengths = table.flat("N_CHAN")
        values, value_lengths = table.flat("MATRIX")
        for name, lengths in (("F_CHAN", first_lengths), ("N_CHAN", width_lengths)):
            _refuse(number > lengths, table, f"N_GRP is larger than the length of {name}")
        _refuse(number < 0, table, "N_GRP is negative")
        first = first[_leading(first_lengths, number)]
        width = width[_leading(width_lengths, number)]
        row = np.repeat(np.arange(table.rows), number)
        wrong = ~((width >= 0) & (width == np.rint(width)) & (first == np.rint(first)))
        # infinite is not whole
        wrong |= ~(np.isfinite(first) & np.isfinite(width))
        if np.any(wrong):
            at = int(np.flatnonzero(wrong)[0])
            raise DataError(
                f"{table.source}: row {row[at] + 1}: F_CHAN {first[at]:g} and N_CHAN "
                f"{width[at]:g}, expected whole numbers"
            )
        needed = np.zeros(table.rows, dtype=np.int64)
        np.add.at(needed, row, width.astype(np.int64))
        _refuse(needed > value_lengths, table, "MATRIX has fewer elements than N_CHAN says")
        return cls(table, channels, row, first, width, values[_leading(value_lengths, needed)])

    def outside(self, offset: int) -> Bools:
        """Which groups have channels that there aren't, where the first is `offset`."""
        start = self.first - offset
        return np.asarray((self.width > 0) & ((start < 0) | (start + self.width > self.channels)))

    def fit(self, offset: int) -> bool:
        """Whether all groups are in the channels that there are."""
        return not np.any(self.outside(offset))


def unpacked(groups: Groups, offset: int) -> Sparse:
    """Unpack groups into a sparse matrix (channels, rows of the table).

    Raises
    ------
    DataError
        A group out of the channels, an element that is not finite.
    """
    table = groups.table
    outside = np.flatnonzero(groups.outside(offset))
    if len(outside):
        at = int(outside[0])
        raise DataError(
            f"{table.source}: row {groups.row[at] + 1}: F_CHAN {groups.first[at]:g} and N_CHAN "
            f"{groups.width[at]:g} are out of the {groups.channels} channels from {offset}"
        )
    count = groups.width.astype(np.int64)
    data = groups.values
    within = np.arange(len(data)) - np.repeat(np.cumsum(count) - count, count)
    channel = np.repeat((groups.first - offset).astype(np.int64), count) + within
    energy = np.repeat(groups.row, count)
    not_finite = np.flatnonzero(~np.isfinite(data))
    if len(not_finite):
        raise DataError(
            f"{table.source}: row {energy[not_finite[0]] + 1}: MATRIX is "
            f"{data[not_finite[0]]:g}, expected finite numbers"
        )
    used = data != 0
    places = (channel[used], energy[used])
    return sparse.coo_array((data[used], places), shape=(groups.channels, table.rows)).tocsr()


def _leading(lengths: Ints, wanted: Ints) -> Ints:
    """Places of the first few elements of each row, in all rows one after another."""
    starts = np.cumsum(lengths) - lengths
    before = np.cumsum(wanted) - wanted
    return np.repeat(starts - before, wanted) + np.arange(int(wanted.sum()))


def _refuse(rows: Bools, table: Table, words: str) -> None:
    if np.any(rows):
        raise DataError(f"{table.source}: row {int(np.flatnonzero(rows)[0]) + 1}: {words}")
