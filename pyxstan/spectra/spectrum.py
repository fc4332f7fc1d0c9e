"""The spectrum of one observation: counts in channels, with background and response."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from pyxstan.errors import DataError
from pyxstan.spectra.binning import (
    Binned,
    Membership,
    errors_of_sums,
    group_bounds,
    group_by_counts,
    group_by_width,
    membership,
    outer_bounds,
    overlapping,
    parse_ranges,
    sums,
    whole_groups,
)
from pyxstan.spectra.fits_tables import Bools, Floats, Ints
from pyxstan.spectra.response import Response

Statistic = Literal["wstat", "pgstat", "cstat", "chi2"]

#: Beyond this a float does not hold whole numbers one by one.
_MOST_COUNTS = 2.0**53


def _ones() -> Floats:
    return np.ones(1)


def _zeros() -> Ints:
    return np.zeros(1, dtype=np.int64)


def _all() -> Bools:
    return np.ones(1, dtype=bool)


def _none() -> Bools:
    return np.zeros(1, dtype=bool)


def _from_one() -> Ints:
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Counts in the C channels of one observation.

    Arrays have one number a channel; one number alone stands for all channels.

    Parameters
    ----------
    name
        What the spectrum is called.
    counts
        Counts in each channel.
    exposure
        Exposure, s.
    backscal, areascal
        Size of the region and scale of the effective area, as in the OGIP files: only ratios to
        the background's matter.
    quality
        0 for a good channel.
    grouping
        1 where a group of channels begins, -1 where it goes on, 0 for a channel of its own.
    poisson
        Whether the counts are Poisson's, else `errors` are their Gaussian errors.
    errors
        Gaussian errors of the counts; None for Poisson counts.
    channel
        Channel numbers; by default those of the response, or from 1.
    response
        How photons become counts; None where none is known.
    background
        Spectrum of the background, on the same channels; None without one.
    noticed
        Channels in the energy ranges to use.
    ignored
        Channels that were left out by `ignoring`, and stay so whatever is noticed.
    notes
        What was decided on reading.
    qualities
        Qualities that are used, see `select`.
    source
        File name for messages.

    Raises
    ------
    DataError
        Arrays of different lengths, counts that are not finite or no Poisson counts, an exposure
        that is not positive, scales or errors that are negative, a response or a background with
        other channels.
    """

    name: str
    counts: Floats
    exposure: float
    backscal: Floats = field(default_factory=_ones)
    areascal: Floats = field(default_factory=_ones)
    quality: Ints = field(default_factory=_zeros)
    grouping: Ints = field(default_factory=_zeros)
    poisson: bool = True
    errors: Floats | None = None
    channel: Ints = field(default_factory=_from_one)
    response: Response | None = None
    background: Spectrum | None = None
    noticed: Bools = field(default_factory=_all)
    ignored: Bools = field(default_factory=_none)
    notes: tuple[str, ...] = ()
    qualities: tuple[int, ...] = (0,)
    source: str = ""

    def __post_init__(self) -> None:
        if not self.source:
            object.__setattr__(self, "source", self.name)
        counts = np.array(self.counts, dtype=np.float64)
        if counts.ndim != 1 or not len(counts):
            raise DataError(f"{self.source}: counts of shape {counts.shape}, expected (channels,)")
        object.__setattr__(self, "counts", counts)
        checked_exposure(self.exposure, self.source)
        if not np.size(self.channel):
            first = 1 if self.response is None else self.response.first_channel
            object.__setattr__(self, "channel", np.arange(len(counts)) + first)
        self._spread("channel", np.int64)
        self._spread("quality", np.int64)
        for name in ("backscal", "areascal"):
            self._spread(name, np.float64)
            values = getattr(self, name)
            self._check((values >= 0) & np.isfinite(values), name.upper(), "0 or more")
            if not np.any(values):
                raise DataError(f"{self.source}: {name.upper()} is 0, expected a positive number")
        self._spread("grouping", np.int64)
        self._check(abs(self.grouping) <= 1, "GROUPING", "-1, 0 or 1")
        self._spread("noticed", np.bool_)
        self._spread("ignored", np.bool_)
        self._check_counts()
        self._check_companions()

    def _spread(self, name: str, kind: type[np.generic]) -> None:
        """One number a channel, of the right type."""
        values = np.array(getattr(self, name), dtype=kind)
        if values.size == 1:
            values = np.full(len(self.counts), values.item(), dtype=kind)
        if values.shape != self.counts.shape:
            raise DataError(
                f"{self.source}: {values.size} numbers of {name.upper()}, "
                f"but {len(self.counts)} channels"
            )
        object.__setattr__(self, name, values)

    def _check(self, fine: Bools, column: str, expected: str) -> None:
        """Refuse a value in a channel that may be used: what is in the others doesn't matter."""
        bad = np.flatnonzero(~fine & np.isin(self.quality, self.qualities))
        if len(bad):
            value = getattr(self, "errors" if column == "STAT_ERR" else column.lower())[bad[0]]
            raise DataError(
                f"{self.source}: channel {self.channel[bad[0]]}: {column} is {value:g}, "
                f"expected {expected}"
            )

    def _check_counts(self) -> None:
        counts = self.counts
        self._check(np.isfinite(counts), "COUNTS", "a finite number")
        if self.poisson:
            if self.errors is not None:
                raise DataError(f"{self.source}: Poisson counts have no errors, expected None")
            whole = (counts >= 0) & (counts < _MOST_COUNTS) & (counts == np.floor(counts))
            self._check(whole, "COUNTS", "a whole number from 0 up (Poisson counts)")
            return
        if self.errors is None:
            raise DataError(f"{self.source}: no STAT_ERR, expected errors of counts not Poisson's")
        self._spread("errors", np.float64)
        self._check(
            np.isfinite(self.errors) & (self.errors >= 0), "STAT_ERR", "a finite number from 0 up"
        )

    def _check_companions(self) -> None:
        if self.response is not None:
            response, size = self.response, len(self.response.channel_low)
            if size != len(self.counts):
                raise DataError(
                    f"{self.source}: {len(self.counts)} channels, "
                    f"but {response.source[0]} has {size}"
                )
            if abs(int(self.channel[0]) - response.first_channel) > 1:
                raise DataError(
                    f"{self.source}: channels from {self.channel[0]}, "
                    f"but {response.source[0]} has channels from {response.first_channel}"
                )
        if self.background is not None and len(self.background.counts) != len(self.counts):
            raise DataError(
                f"{self.background.source}: {len(self.background.counts)} channels, "
                f"but {self.source} has {len(self.counts)}"
            )

    @classmethod
    def from_ogip(
        cls,
        pha: str | os.PathLike[str],
        *,
        background: str | os.PathLike[str] | Spectrum | None = None,
        rmf: str | os.PathLike[str] | Response | None = None,
        arf: str | os.PathLike[str] | None = None,
        row: int | str | None = None,
        extension: int | str | None = None,
        name: str | None = None,
    ) -> Spectrum:
        """Read a spectrum from OGIP files, with the background and response that it names.

        Parameters
        ----------
        pha
            PHA file of type I or II, which may be compressed. ``file.pha{3}`` is its third spectrum
            (a row of type II, or an extension of several), ``file.pha[2]`` and ``file.pha[NAME]``
            are extensions as CFITSIO counts and names them.
        background, rmf, arf
            Files to take instead of those that ``BACKFILE``, ``RESPFILE`` and ``ANCRFILE`` name,
            written likewise; "none" takes none. A name in the file is looked for relative to its
            folder, then, without its path, in that folder, compressed or not.
        row
            Which spectrum, as in braces: counted from 1, or the word in the column ROWID.
        extension
            Which extension, as in brackets: its number (the primary is 0), or its name.
        name
            What to call it, by default the file name.

        Raises
        ------
        DataError
            A file that is missing, can't be read or lacks what a spectrum must have, numbers that
            can't be right, files that don't belong together. The message names the file.

        Notes
        -----
        ``COUNTS`` are Poisson's, whatever ``POISSERR`` says, if they are whole numbers and
        ``STAT_ERR``, where there is one, is no more than the usual approximation to Poisson errors;
        ``RATE`` is multiplied by the exposure, and Gaussian if it has ``STAT_ERR``, unless
        ``POISSERR`` is true. Background counts that are not whole are Gaussian, with their square
        roots for errors if the file has none. ``SYS_ERR``, a fraction of the counts, is added to
        Gaussian errors in quadrature. Of several extensions the first is taken that is no
        background; where ``BACKFILE`` names the file itself, it means the one that is
        (``HDUCLAS2`` = BKG). `notes` says what was decided, and which keywords were missing.
        """
        from pyxstan.spectra.ogip import read_spectrum

        return read_spectrum(
            pha, background=background, rmf=rmf, arf=arf, row=row, extension=extension, name=name
        )

    @property
    def _good(self) -> Bools:
        """Channels of good quality, in the background, too."""
        good = np.isin(self.quality, self.qualities)
        if self.background is not None:
            good &= np.isin(self.background.quality, self.qualities)
        return good

    @property
    def used(self) -> Bools:
        """Channels that count: of good quality, noticed or in one group with one that is."""
        return whole_groups(self.grouping, self.noticed) & self._good

    def select(self, quality: int | Iterable[int] = 0) -> Spectrum:
        """Use the channels of these qualities alone, by default the good ones (0)."""
        chosen = (quality,) if isinstance(quality, (int, np.integer)) else tuple(quality)
        wanted = tuple(int(number) for number in chosen)
        other = self.background
        behind = None if other is None else replace(other, qualities=wanted)
        return self._left(replace(self, qualities=wanted, background=behind))

    def noticing(self, ranges: str) -> Spectrum:
        """Use these ranges of energy alone, such as "0.5-7", "10-30, 40-950", "-7" or "0.5-".

        Parameters
        ----------
        ranges
            Ranges in keV, separated by commas. A range takes in every channel that overlaps it by
            the response's nominal bounds, and every group of channels whole.

        Raises
        ------
        DataError
            Not ranges, a range without channels, a spectrum without response, no channel left.
        """
        return self._left(replace(self, noticed=self._inside(ranges) & ~self.ignored))

    def ignoring(self, ranges: str) -> Spectrum:
        """Leave these ranges of energy out, every channel (and group) that overlaps them.

        They stay left out, whatever `noticing` says later.
        """
        left_out = self.ignored | self._inside(ranges)
        return self._left(replace(self, noticed=self.noticed & ~left_out, ignored=left_out))

    def _inside(self, ranges: str) -> Bools:
        if self.response is None:
            raise DataError(f"{self.source}: has no response, so no energies for range '{ranges}'")
        low, high = group_bounds(
            self.grouping, self.response.channel_low, self.response.channel_high
        )
        inside = np.zeros(len(low), dtype=bool)
        for start, end in parse_ranges(ranges):
            found = overlapping(low, high, [(start, end)])
            if not np.any(found):
                raise DataError(
                    f"{self.source}: range {start:g}-{end:g} keV has no channel, there are "
                    f"{low.min():g}-{high.max():g} keV"
                )
            inside |= found
        return inside

    def _left(self, new: Spectrum) -> Spectrum:
        if not np.any(new.used):
            raise DataError(f"{self.source}: no channel is left to use")
        return new

    def grouped(
        self,
        minimum: float | None = None,
        *,
        by: int | None = None,
        background: float | None = None,
    ) -> Spectrum:
        """Put the channels that are used into groups, in place of the groups there are.

        Parameters
        ----------
        minimum
            Counts that a group has at least. What is left at the end joins the last group.
        by
            Channels that a group has.
        background
            Counts of the background that a group has at least: where there are none, W is biased.

        Raises
        ------
        DataError
            Not one of them is given, or not a positive number; a background that isn't there.
        """
        given = [size for size in (minimum, by, background) if size is not None]
        if len(given) != 1:
            raise DataError(
                "grouped: expected one of minimum counts, a number of channels (by), "
                "minimum counts of the background"
            )
        if not (math.isfinite(given[0]) and given[0] > 0) or (by and by != int(by)):
            raise DataError(f"grouped: {given[0]} is not a positive number")
        if by is not None:
            return replace(self, grouping=group_by_width(self.used, int(by)))
        counts = self.counts
        if background is not None:
            if self.background is None:
                raise DataError(f"grouped: {self.source} has no background")
            counts = self.background.counts
            if counts[self.used].sum() < background:
                raise DataError(
                    f"grouped: {self.background.source} has {counts[self.used].sum():g} counts in "
                    "the channels in use: make the background a source of the model instead"
                )
        return replace(self, grouping=group_by_counts(counts, self.used, float(given[0])))

    def ungrouped(self) -> Spectrum:
        """Every channel on its own, those noticed as they were."""
        noticed = whole_groups(self.grouping, self.noticed)
        return replace(self, grouping=np.zeros_like(self.grouping), noticed=noticed)

    def statistic(self) -> Statistic:
        """Name the statistic that these data ask for.

        Returns
        -------
        str
            "wstat" for Poisson counts with a Poisson background, "pgstat" with a background that
            has Gaussian errors, "cstat" without background; "chi2" for counts with Gaussian errors.
        """
        if not self.poisson:
            return "chi2"
        if self.background is None:
            return "cstat"
        return "wstat" if self.background.poisson else "pgstat"

    def groups(self) -> Binned:
        """Sum the channels that are used, group by group.

        A group that has a noticed channel is used whole; channels of bad quality are left out of
        their group. Where the background has no size (BACKSCAL of 0), `alpha` is 0.

        Raises
        ------
        DataError
            No channel is left to use.
        """
        self._left(self)
        chosen = membership(self.grouping, self.noticed, self._good)
        other, response = self.background, self.response
        nowhere = np.full(len(self.counts), np.nan)
        low, high = outer_bounds(
            chosen,
            nowhere if response is None else response.channel_low,
            nowhere if response is None else response.channel_high,
        )
        return Binned(
            counts=sums(chosen, self.counts),
            background_counts=None if other is None else sums(chosen, other.counts),
            alpha=None if other is None else self._alpha(other, chosen),
            errors=errors_of_sums(chosen, self.errors),
            background_errors=None if other is None else errors_of_sums(chosen, other.errors),
            energy_low=low,
            energy_high=high,
            membership=chosen,
        )

    def _alpha(self, background: Spectrum, chosen: Membership) -> Floats:
        """Size of the source over that of the background, each summed over a group."""
        source = sums(chosen, self.exposure * self.backscal * self.areascal)
        other = sums(chosen, background.exposure * background.backscal * background.areascal)
        return np.divide(source, other, out=np.zeros_like(source), where=other > 0)


def checked_exposure(value: float, source: str) -> float:
    """Refuse an exposure that is not a positive number of seconds."""
    if not (math.isfinite(value) and value > 0):
        raise DataError(f"{source}: EXPOSURE is {value:g}, expected a positive number of s")
    return float(value)
