"""Which channels of a spectrum are used, and how they are put into groups.

A range of energies takes in every channel that it overlaps, however little, and in a grouped
spectrum every group: with ``lo`` and ``hi`` the bounds of a channel or a group,

    "a-b" takes in all with  lo < b  and  hi > a.

Ranges to notice and ranges to ignore are read alike, so a channel that a bound cuts is noticed by
the one and ignored by the other. This is Sherpa's rule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Bools, Floats, Ints

#: Which channels make up each group, shape (groups, channels), 0 or 1.
Membership: TypeAlias = "sparse.csr_array[np.float64, tuple[int, int]]"

_NUMBER = r"[0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?|[0-9]+\."
_RANGE = re.compile(rf"\s*({_NUMBER})?\s*-\s*({_NUMBER})?\s*")


@dataclass(frozen=True, eq=False)
class Binned:
    """The numbers of a spectrum that a statistic takes, one of each a group of channels.

    Parameters
    ----------
    counts
        Counts of each of the G groups.
    background_counts
        Those of the background, None without one.
    alpha
        Source over background: exposure times BACKSCAL times AREASCAL, each summed over a group's
        channels. Background counts times alpha are what the background adds to `counts`. None
        without a background.
    errors, background_errors
        Gaussian errors of the counts, added in squares; None for Poisson counts.
    energy_low, energy_high
        Nominal bounds of the groups, keV; NaN without a response.
    membership
        Which channels make up each group, shape (G, C), sparse, 0 or 1.
    """

    counts: Floats
    background_counts: Floats | None
    alpha: Floats | None
    errors: Floats | None
    background_errors: Floats | None
    energy_low: Floats
    energy_high: Floats
    membership: Membership

    @property
    def size(self) -> int:
        """How many groups there are."""
        return len(self.counts)


def parse_ranges(text: str) -> list[tuple[float, float]]:
    """Read ranges of energy in keV, separated by commas, with open ends where a number is missing.

    >>> parse_ranges("-0.5, 3-4, 7-")
    [(-inf, 0.5), (3.0, 4.0), (7.0, inf)]

    Raises
    ------
    DataError
        Words that are not a range, or a range that is upside down or empty.
    """
    ranges = []
    for part in str(text).split(","):
        found = _RANGE.fullmatch(part)
        if found is None or not (found[1] or found[2]):
            raise DataError(f"'{part.strip()}' is not a range of energies in keV, such as 0.5-7")
        low = float(found[1]) if found[1] else -np.inf
        high = float(found[2]) if found[2] else np.inf
        if not low < high:
            raise DataError(
                f"range '{part.strip()}' keV is upside down or empty, expected low-high"
            )
        ranges.append((low, high))
    return ranges


def overlapping(low: Floats, high: Floats, ranges: list[tuple[float, float]]) -> Bools:
    """Which of the channels (or groups) from `low` to `high` overlap one of the ranges."""
    inside = np.zeros(len(low), dtype=bool)
    for start, end in ranges:
        inside |= (low < end) & (high > start)
    return inside


def group_numbers(grouping: Ints) -> Ints:
    """Number the groups from 0, channel by channel: -1 continues a group, 0 and 1 begin one.

    >>> group_numbers(np.array([1, -1, -1, 1, 0, 0]))
    array([0, 0, 0, 1, 2, 3])
    """
    begins = np.asarray(grouping) >= 0
    begins[:1] = True
    return np.cumsum(begins) - 1


def whole_groups(grouping: Ints, flags: Bools) -> Bools:
    """Flags of channels extended to every channel of the groups that have one."""
    number = group_numbers(grouping)
    return np.bincount(number, flags)[number] > 0


def group_bounds(grouping: Ints, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Bounds of the group that each channel is in."""
    number = group_numbers(grouping)
    lowest = np.full(number[-1] + 1, np.inf)
    highest = np.full(number[-1] + 1, -np.inf)
    np.minimum.at(lowest, number, low)
    np.maximum.at(highest, number, high)
    return lowest[number], highest[number]


def group_by_counts(counts: Floats, used: Bools, minimum: float) -> Ints:
    """Grouping flags such that each group has at least `minimum` counts.

    A group never spans a channel that is not used. Channels left over at the end of a stretch of
    used channels join the group before them; a stretch with too few counts is one group.
    """
    flags = np.zeros(len(counts), dtype=np.int64)
    for start, end in _stretches(used):
        beginnings, total = [start], 0.0
        for channel in range(start, end):
            if total >= minimum:
                beginnings.append(channel)
                total = 0.0
            total += counts[channel]
        if total < minimum and len(beginnings) > 1:
            beginnings.pop()
        flags[start:end] = -1
        flags[beginnings] = 1
    return flags


def group_by_width(used: Bools, width: int) -> Ints:
    """Grouping flags of `width` channels a group; the last of a stretch may have fewer."""
    flags = np.zeros(len(used), dtype=np.int64)
    for start, end in _stretches(used):
        flags[start:end] = -1
        flags[start:end:width] = 1
    return flags


def _stretches(used: Bools) -> list[tuple[int, int]]:
    """First and last + 1 of each run of used channels."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], used, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def membership(grouping: Ints, noticed: Bools, good: Bools) -> Membership:
    """Make the matrix (groups, channels) of the groups that are used.

    A group with a noticed channel is used whole, as Sherpa does; channels of bad quality are left
    out of their group.
    """
    kept = np.flatnonzero(whole_groups(grouping, noticed) & good)
    number = np.unique(group_numbers(grouping)[kept], return_inverse=True)[1].ravel()
    groups = int(number.max()) + 1 if len(number) else 0
    return sparse.coo_array(
        (np.ones(len(kept)), (number, kept)), shape=(groups, len(grouping))
    ).tocsr()


def sums(chosen: Membership, values: Floats) -> Floats:
    """Sum over the channels of each group."""
    return np.asarray(chosen @ values, dtype=np.float64)


def errors_of_sums(chosen: Membership, errors: Floats | None) -> Floats | None:
    """Gaussian errors of sums over the channels of each group."""
    return None if errors is None else np.sqrt(sums(chosen, errors**2))


def outer_bounds(chosen: Membership, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Lowest and highest bound of the channels of each group."""
    if not chosen.shape[0]:
        return np.empty(0), np.empty(0)
    starts = chosen.indptr[:-1]
    return (
        np.minimum.reduceat(low[chosen.indices], starts),
        np.maximum.reduceat(high[chosen.indices], starts),
    )
