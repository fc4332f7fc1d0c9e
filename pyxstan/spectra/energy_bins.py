"""Energy bins of responses put right: ascending, none without width, no gaps between them.

The expected counts are a sum over energy bins, in whatever order. A bin of no width adds nothing, a
gap is a bin in which the response is zero, and matrices on different bins add up on the bins that
all their edges make together, where each keeps its own elements: none of this changes the sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Floats, Ints, Table

#: How far edges of bins may differ and be the same, relative to the energy, and to the bin.
_SAME_ENERGY, _PART_OF_BIN = 1e-5, 1e-2
#: Edges of several matrices that are one, relative (single precision).
_ONE_EDGE = 1e-6
#: Stands for an energy of zero, where no power law has a value (keV).
_LOWEST_ENERGY = 1e-10


@dataclass(frozen=True, eq=False)
class EnergyBins:
    """Energy bins that ascend.

    Parameters
    ----------
    low, high
        Their bounds, keV.
    rows
        In which row of the file, from 0, each of them is.
    """

    low: Floats
    high: Floats
    rows: Ints

    @property
    def size(self) -> int:
        """How many bins there are."""
        return len(self.low)

    def same_as(self, other: EnergyBins) -> bool:
        """Whether the bounds are the same as others."""
        return self.size == other.size and not np.any(self.differing(other))

    def differing(self, other: EnergyBins) -> np.ndarray:
        """Which of the bins differ from as many others."""
        tolerance = _SAME_ENERGY * other.high
        return np.asarray(
            (abs(self.low - other.low) > tolerance) | (abs(self.high - other.high) > tolerance)
        )


def energies(table: Table, low: str, high: str, notes: list[str]) -> tuple[Floats, Floats]:
    """Two columns of energies, in keV."""
    columns = []
    for name in (low, high):
        values = table.scalars(name)
        factor, note = table.factor(name, "keV")
        columns.append(values if factor == 1.0 else values * factor)
        notes.extend([note] * bool(note))
    return columns[0], columns[1]


def energy_bins(table: Table, notes: list[str]) -> EnergyBins:
    """Read ENERG_LO and ENERG_HI, in whichever order they are.

    Raises
    ------
    DataError
        Energies below zero, a bin upside down, bins that overlap.
    """
    low, high = energies(table, "ENERG_LO", "ENERG_HI", notes)
    rows = np.arange(len(low))
    if np.all(high < low):
        notes.append(f"{table.source}: ENERG_LO above ENERG_HI, taken the other way round")
        low, high = high, low
    if np.any(low[1:] < low[:-1]):
        rows = np.argsort(low, kind="stable")
        falls = np.all(low[1:] <= low[:-1])
        notes.append(
            f"{table.source}: energies {'descend' if falls else 'are not in order'}, sorted"
        )
    wrong = ~((low >= 0) & (high >= low) & np.isfinite(high))
    if not np.any(wrong):
        wrong[rows[1:]] = low[rows][1:] < high[rows][:-1] * (1 - _SAME_ENERGY)
    if np.any(wrong):
        row = int(np.flatnonzero(wrong)[0])
        raise DataError(
            f"{table.source}: row {row + 1}: energies {low[row]:g} to {high[row]:g} keV, "
            "expected them to ascend from 0"
        )
    empty = high == low
    if np.any(empty):
        notes.append(
            f"{table.source}: {empty.sum()} energy bins of no width left out, the first of them at "
            f"{low[np.flatnonzero(empty)[0]]:g} keV"
        )
        rows = rows[~empty[rows]]
    if not len(rows):
        raise DataError(f"{table.source}: no energy bin has a width")
    return EnergyBins(above_zero(low[rows], table.source, notes), high[rows], rows)


def above_zero(low: Floats, source: str, notes: list[str]) -> Floats:
    """Bounds with 1e-10 keV in place of zero."""
    if low[0] > 0:
        return low
    notes.append(f"{source}: ENERG_LO of 0 taken as {_LOWEST_ENERGY:g} keV")
    return np.where(low > 0, low, _LOWEST_ENERGY)


def united(all_bins: list[EnergyBins]) -> EnergyBins:
    """Bins that the edges of several sets make together, without the gaps that all of them have."""
    if all(bins.same_as(all_bins[0]) for bins in all_bins[1:]):
        return all_bins[0]
    ends = np.sort(np.concatenate([side for bins in all_bins for side in (bins.low, bins.high)]))
    ends = ends[np.append(True, np.diff(ends) > _ONE_EDGE * ends[1:])]
    middle = 0.5 * (ends[1:] + ends[:-1])
    inside = np.any([_holder(bins, middle) >= 0 for bins in all_bins], axis=0)
    return EnergyBins(ends[:-1][inside], ends[1:][inside], np.arange(inside.sum()))


def spread(
    matrix: sparse.csr_array[np.float64, tuple[int, int]], own: EnergyBins, to: EnergyBins
) -> sparse.csr_array[np.float64, tuple[int, int]]:
    """A matrix (channels, own bins) on finer bins, each with the elements of what it is part of."""
    if own.same_as(to):
        return matrix
    holder = _holder(own, 0.5 * (to.low + to.high))
    picked = np.flatnonzero(holder >= 0)
    chooser = sparse.coo_array(
        (np.ones(len(picked)), (holder[picked], picked)), shape=(own.size, to.size)
    )
    return (matrix @ chooser.tocsr()).tocsr()


def _holder(bins: EnergyBins, energy: Floats) -> Ints:
    """Which bin each energy is in, -1 where none is."""
    place = np.searchsorted(bins.low, energy, side="right") - 1
    return np.where((place >= 0) & (energy < bins.high[place]), place, -1)


def without_gaps(
    bins: EnergyBins,
    matrix: sparse.csr_array[np.float64, tuple[int, int]],
    area: Floats,
    source: str,
    notes: list[str],
) -> tuple[EnergyBins, sparse.csr_array[np.float64, tuple[int, int]], Floats]:
    """Fill the gaps between bins with bins in which the response is zero."""
    narrower = np.minimum(np.diff(bins.low), np.diff(bins.high))
    tolerance = np.minimum(_SAME_ENERGY * bins.low[1:], _PART_OF_BIN * abs(narrower))
    gaps = np.flatnonzero(bins.low[1:] - bins.high[:-1] > tolerance)
    if not len(gaps):
        return bins, matrix, area
    notes.append(
        f"{source}: {len(gaps)} gaps between energy bins, where the response is taken to be 0; "
        f"the first from {bins.high[gaps[0]]:g} to {bins.low[gaps[0] + 1]:g} keV"
    )
    low = np.insert(bins.low, gaps + 1, bins.high[gaps])
    high = np.insert(bins.high, gaps + 1, bins.low[gaps + 1])
    filled = EnergyBins(low, high, np.arange(len(low)))
    return filled, spread(matrix, bins, filled), np.insert(area, gaps + 1, 0.0)
