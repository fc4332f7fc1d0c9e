"""The counts of a PHA file with their errors: what its columns, flags and keywords say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Bools, Floats
from pyxstan.spectra.pha_tables import Row, channel_numbers
from pyxstan.spectra.spectrum import Spectrum, checked_exposure

#: Rates times exposure this near to a whole number are one (single precision, relative).
_WHOLE = 1e-5
#: How near STAT_ERR must come to an approximation of Poisson errors to be one.
_SAME_ERROR = 2e-3
#: Units of what is spread over time, energy or area, which counts are not.
_DENSITIES = ("1/s", "1/keV", "1/(s keV)", "1/(s cm2)", "1/(s cm2 keV)")
#: Largest of the errors that are written for no counts (Gehrels 1986).
_ERROR_OF_NONE = 1.87


def recorded(found: Row, name: str, *, source: Spectrum | None = None) -> Spectrum:
    """Counts and errors, scales, quality and grouping, without background and response.

    Parameters
    ----------
    source
        The source's spectrum, for a background: where a channel is not used, what the background
        has there doesn't matter; beside Poisson counts its systematic errors are not used.
    """
    notes: list[str] = []
    exposure = _exposure(found)
    channel, order = channel_numbers(found, notes)
    found = replace(found, order=order)
    quality = found.whole("QUALITY")
    unused = quality != 0
    of_source = np.zeros_like(quality)
    if source is not None and len(source.counts) == len(quality):
        of_source = np.where(np.isin(source.quality, source.qualities), 0, source.quality)
    good = ~unused & (of_source == 0)
    counts, errors = _counts(found, exposure, good, source is not None, notes)
    if errors is None:
        known = np.isfinite(counts) & (counts >= 0) & (counts == np.rint(counts))
    else:
        known = np.isfinite(counts) & (errors >= 0)
    quality = np.where(known | unused, quality, of_source)
    if source is None or not source.poisson:
        errors = _with_systematic(found, counts, errors, good, notes)
    elif (part := _systematic(found, good)) > 0:
        notes.append(f"{found.source}: SYS_ERR, up to {part:g}, is not used beside Poisson counts")
    return Spectrum(
        name,
        counts,
        exposure,
        backscal=_scale(found, "BACKSCAL", notes),
        areascal=_scale(found, "AREASCAL", notes),
        quality=quality,
        grouping=found.whole("GROUPING"),
        poisson=errors is None,
        errors=errors,
        channel=channel,
        notes=tuple(notes),
        source=found.source,
    )


def _exposure(found: Row) -> float:
    """EXPOSURE in s."""
    if "EXPOSURE" in found.table:
        factor = found.table.factor("EXPOSURE", "s")[0]
        value: float | None = factor * float(found.table.cell("EXPOSURE", found.row or 0)[0])
    else:
        value = found.table.number("EXPOSURE")
    if value is None:
        raise DataError(f"{found.source}: no keyword EXPOSURE, expected a number of s")
    return checked_exposure(value, found.source)


def _scale(found: Row, name: str, notes: list[str]) -> Floats:
    """BACKSCAL or AREASCAL."""
    values = found.per_channel(name)
    if values is None:
        notes.append(f"{found.source}: no {name}, taken as 1")
        return np.ones(found.channels)
    return values


def _counts(
    found: Row, exposure: float, good: Bools, behind: bool, notes: list[str]
) -> tuple[Floats, Floats | None]:
    """Counts, and their errors unless they are Poisson's.

    Parameters
    ----------
    good
        Channels that are used: the others say nothing of what the counts are.
    behind
        Whether they are of a background.
    """
    flag = found.table.keyword("POISSERR")
    stated = flag is True or str(flag).strip().upper() in ("T", "TRUE")
    errors = found.per_channel("STAT_ERR")
    if errors is not None and not np.any(errors):
        # zero stands for "not given"
        errors = None
    if "COUNTS" in found.table:
        _check_unit(found, "COUNTS")
        if errors is not None:
            _check_unit(found, "STAT_ERR")
        counts = _finite(found, "COUNTS", good)
        whole = bool(np.all((counts >= 0) & (counts == np.rint(counts)), where=good))
        if stated and whole:
            return counts, None
        if whole and (errors is None or _is_poisson(counts[good], errors[good])):
            if flag is not None:
                notes.append(f"{found.source}: POISSERR is false, but counts are taken as Poisson")
            return counts, None
        if errors is None:
            return counts, _root(found, counts, good, behind, notes)
        notes.append(f"{found.source}: counts have the Gaussian errors of STAT_ERR")
        return counts, errors
    factor = _per_second(found, "RATE")
    counts = _finite(found, "RATE", good) * (factor * exposure)
    if stated:
        near = np.rint(counts)
        counts = np.where(abs(counts - near) <= _WHOLE * np.maximum(near, 1), near, counts)
        if np.all((counts >= 0) & (counts == np.rint(counts)), where=good):
            return counts, None
        if errors is None:
            rooted = _root(found, counts, good, behind, notes)
            if rooted is None:
                raise DataError(_not_whole(found, counts, good))
            return counts, rooted
    if errors is None:
        raise DataError(
            f"{found.source}: RATE without STAT_ERR, and POISSERR is not true: "
            "expected one or the other"
        )
    notes.append(f"{found.source}: rates have the Gaussian errors of STAT_ERR")
    table = found.table
    if "STAT_ERR" in table and table.unit("STAT_ERR"):
        if table.has_unit("STAT_ERR", ""):
            notes.append(f"{found.source}: STAT_ERR is taken in the unit of RATE")
        else:
            factor = _per_second(found, "STAT_ERR")
    return counts, errors * (factor * exposure)


def _not_whole(found: Row, counts: Floats, good: Bools) -> str:
    """Say that rates which are said to be Poisson's are of no whole numbers of counts."""
    at = np.flatnonzero(good & ~((counts >= 0) & (counts == np.rint(counts))))[0]
    return (
        f"{found.source}: row {found.file_row(at)}: RATE times EXPOSURE is {counts[at]:g}, "
        "expected whole counts from 0 up, as POISSERR is true: give errors (STAT_ERR, "
        "POISSERR = F), the right EXPOSURE, or COUNTS"
    )


def _check_unit(found: Row, column: str) -> None:
    """Refuse a column of counts in a unit of something else; words that say nothing are fine."""
    table = found.table
    if column in table and any(table.has_unit(column, unit) for unit in _DENSITIES):
        raise DataError(
            f"{found.source}: unit '{table.unit(column)}' of column {column}, expected counts "
            "(a column of rates is called RATE)"
        )
    if column in table and table.has_unit(column, "") and table.factor(column, "")[0] != 1:
        raise DataError(f"{found.source}: unit '{table.unit(column)}' of {column}, expected counts")


def _per_second(found: Row, column: str) -> float:
    """Factor from a column of rates to counts a second, taken as such where it has no unit."""
    table = found.table
    if table.has_unit(column, "1/(s keV)"):
        raise DataError(
            f"{found.source}: unit '{table.unit(column)}' of column {column} is per energy, "
            "expected count/s: multiply by the widths of the channels"
        )
    return table.factor(column, "1/s")[0]


def _finite(found: Row, name: str, good: Bools) -> Floats:
    """Numbers that are finite where they are used."""
    values = found.per_channel(name)
    assert values is not None
    bad = np.flatnonzero(good & ~np.isfinite(values))
    if len(bad):
        raise DataError(
            f"{found.source}: row {found.file_row(bad[0])}: {name} is {values[bad[0]]:g}, "
            "expected a finite number"
        )
    return values


def _is_poisson(counts: Floats, errors: Floats) -> bool:
    """Whether errors are what is usually written beside Poisson counts: sqrt N, or Gehrels'."""
    some = counts > 0
    if not np.all((errors[~some] >= 0) & (errors[~some] <= _ERROR_OF_NONE)):
        return False
    usual = (np.sqrt(counts), 1 + np.sqrt(counts + 0.75))
    return any(bool(np.all(abs(errors - form)[some] <= _SAME_ERROR * form[some])) for form in usual)


def _root(found: Row, counts: Floats, good: Bools, behind: bool, notes: list[str]) -> Floats | None:
    """Errors of counts that are not whole: of a background, scaled to the source, their root."""
    if not behind or np.any(counts < 0, where=good):
        return None
    notes.append(
        f"{found.source}: the counts of the background are not whole numbers, so not Poisson's: "
        "taken as Gaussian with errors of their square roots"
    )
    with np.errstate(invalid="ignore"):
        return np.sqrt(counts)


def _systematic(found: Row, good: Bools) -> float:
    """Largest of SYS_ERR, 0 where there is none."""
    part = found.per_channel("SYS_ERR")
    return 0.0 if part is None else float(np.max(part, where=good, initial=0.0))


def _with_systematic(
    found: Row, counts: Floats, errors: Floats | None, good: Bools, notes: list[str]
) -> Floats | None:
    """Errors with SYS_ERR, a fraction of the counts, in quadrature."""
    part = found.per_channel("SYS_ERR")
    if part is None or not np.any(part, where=good):
        return errors
    wrong = np.flatnonzero(good & ~(np.isfinite(part) & (part >= 0)))
    if len(wrong):
        raise DataError(
            f"{found.source}: row {found.file_row(wrong[0])}: SYS_ERR is {part[wrong[0]]:g}, "
            "expected a fraction from 0 up"
        )
    most = _systematic(found, good)
    if errors is None:
        notes.append(f"{found.source}: SYS_ERR, up to {most:g}, is not used: counts are Poisson's")
        return None
    doubt = ": is it in percent?" if most > 1 else ""
    notes.append(
        f"{found.source}: SYS_ERR, up to {most:g} of the counts, is added to the errors in "
        f"quadrature{doubt}"
    )
    return np.hypot(errors, part * counts)
