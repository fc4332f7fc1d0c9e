"""From files to samples of events, effective areas and smearing matrices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source import event_columns, text_files
from pyxstan.point_source.area_files import (
    read_angular_resolution,
    read_effective_area,
    read_smearing,
)
from pyxstan.point_source.areas import EffectiveArea, Smearing
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.data import EventSample
from pyxstan.point_source.uptimes import LARGEST_MJD, doubts, read_uptimes
from pyxstan.tables import Table

__all__ = [
    "read_angular_resolution",
    "read_effective_area",
    "read_events",
    "read_smearing",
    "read_uptimes",
]

#: Angles are in these where a file doesn't say.
_ANGLE_UNITS = ("deg", "rad")
#: So many right ascensions that are all smaller (deg) may be meant in hours.
_HOURS, _MANY = 24.0, 20
#: Errors above (deg) are no errors of a track, and the part of events that may have such, or none.
_LARGE_SIGMA, _FEW = 30.0, 0.01
#: The largest angle between two places (deg): a larger error says no more than this one.
_LARGEST_SIGMA = 180.0
#: The part of events whose errors may be below the least one where no unit is stated.
_MOST = 0.5
_LARGEST_LOG10_ENERGY = 15.0
#: How far beyond its ends an angle may be by rounding (deg).
_ROUNDING = 1e-5
#: Standard deviations in the median distance of a round Gaussian.
_MEDIAN = 1.177410022515475


def read_events(
    paths: Any,
    area: EffectiveArea,
    livetime: float,
    angular_resolution: str | Path | tuple[Floats, Floats] | None = None,
    angle_unit: str = "deg",
    least_sigma: float = 0.2,
    uptime: Any = None,
    name: str = "events",
    *,
    columns: Mapping[str, str] | None = None,
    smearing: Smearing | None = None,
) -> EventSample:
    """Read the events of one season.

    Parameters
    ----------
    paths
        A table, or several that make one sample: files (CSV, FITS, ECSV, text of the releases,
        compressed or not), DataFrames, astropy Tables or dicts of columns. Columns go by their
        usual names (``ra``, ``RA[deg]``, ``Dec``, ``AngErr[deg]``, ``log10(E/GeV)``, ``MJD``...).
    area
        The season's effective area.
    livetime
        In seconds.
    angular_resolution
        File of median errors by energy (`read_angular_resolution`), or what it holds: for events
        without errors of their own.
    angle_unit
        ``deg`` or ``rad``: of angles whose column states no unit.
    least_sigma
        Smaller angular errors are raised to it (deg).
    uptime
        Starts and ends of the detector's uptimes (MJD): a file, or an array of two columns.
    name
        Of the sample, in messages and results.
    columns
        Names in the tables of some of ``ra``, ``dec``, ``sigma``, ``log10_energy``, ``mjd``, where
        they aren't usual ones.
    smearing
        From true to reconstructed energies.

    Raises
    ------
    DataError
        Columns are missing or hold what can't be, or units seem mistaken.
    """
    if angle_unit not in _ANGLE_UNITS:
        raise DataError(f"{name}: angle_unit '{angle_unit}', expected {' or '.join(_ANGLE_UNITS)}")
    least_sigma = _number(name, "least_sigma", least_sigma, "deg")
    if not 0 < least_sigma < _LARGE_SIGMA:
        raise DataError(f"{name}: least_sigma {least_sigma:g} deg, expected 0 to {_LARGE_SIGMA:g}")
    livetime = _number(name, "livetime", livetime, "seconds")
    if isinstance(angular_resolution, str | Path):
        angular_resolution = read_angular_resolution(angular_resolution)
    elif angular_resolution is not None:
        energy, median = (np.atleast_1d(np.asarray(x, dtype=float)) for x in angular_resolution)
        if energy.shape != median.shape or not (np.diff(energy) > 0).all():
            raise DataError(
                f"{name}: angular_resolution: expected log10 energies that rise, each with a median"
            )
        angular_resolution = energy, median
    parts = [
        _Part(text_files.read(given, name), columns, angle_unit, angular_resolution)
        for given in _listed(paths, name)
    ]
    _refuse_same(parts)
    timed = [part for part in parts if part.mjd is not None]
    if timed and len(timed) < len(parts):
        without = next(part for part in parts if part.mjd is None)
        raise DataError(f"{without.table.source}: no column of mjd, which other files have")
    ra, dec, sigma, log10_energy = (
        np.concatenate([getattr(part, what) for part in parts])
        for what in ("ra", "dec", "sigma", "log10_energy")
    )
    mjd = np.concatenate([part.mjd for part in parts if part.mjd is not None]) if timed else None
    up = None if uptime is None else read_uptimes(uptime, name)
    notes = [
        *_of_units(parts, ra, dec, name),
        *(note for part in parts for note in part.notes),
        *_of_errors(parts, sigma, least_sigma, name),
        *_of_area(log10_energy, dec, area, smearing, name),
        *doubts(mjd, up, livetime, name),
    ]
    return EventSample(
        np.radians(ra),
        np.radians(dec),
        np.radians(np.clip(sigma, least_sigma, _LARGEST_SIGMA)),
        log10_energy,
        area,
        livetime,
        mjd,
        up,
        smearing,
        name,
        tuple(notes),
    )


class _Part:
    """One table of events, in deg and log10 of GeV."""

    def __init__(
        self,
        table: Table,
        stated: Mapping[str, str] | None,
        angle_unit: str,
        resolution: tuple[Floats, Floats] | None,
    ) -> None:
        found = event_columns.find(table, stated)
        ra, dec, energy = (
            event_columns.require(table, found, what) for what in ("ra", "dec", "log10_energy")
        )
        self.table = table
        self.notes: list[str] = []
        self.unit_stated = ra.unit is not None and dec.unit is not None
        self.angle_unit = angle_unit
        self.sigma_unit = found["sigma"].unit if "sigma" in found else "deg"
        self.ra = self._right_ascension(ra, angle_unit)
        self.dec = dec.angle(angle_unit)
        self._refuse(
            dec, np.abs(self.dec) > 90 + _ROUNDING, self.dec, "deg, expected -90 to 90", "deg"
        )
        self.dec = np.clip(self.dec, -90.0, 90.0)
        self.log10_energy = energy.log10_energy()
        self._refuse(
            energy,
            np.abs(self.log10_energy) > _LARGEST_LOG10_ENERGY,
            self.log10_energy,
            "for log10 of GeV: give log10 of the energy",
        )
        self.sigma = self._errors(found, angle_unit, resolution)
        self.mjd = None
        if "mjd" in found:
            self.mjd = found["mjd"].days()
            self._refuse(
                found["mjd"],
                (self.mjd <= 0) | (self.mjd >= LARGEST_MJD),
                self.mjd,
                "expected MJD in days (JD less 2400000.5)",
            )

    def _right_ascension(self, column: event_columns.Column, unit: str) -> Floats:
        ra = column.angle(unit)
        beyond = (ra < -180 - _ROUNDING) | (ra > 360 + _ROUNDING)
        self._refuse(column, beyond, ra, "deg, expected 0 to 360", "deg")
        return np.where((ra < 0) | (ra >= 360), np.mod(ra, 360.0), ra) % 360.0

    def _errors(
        self,
        found: Mapping[str, event_columns.Column],
        unit: str,
        resolution: tuple[Floats, Floats] | None,
    ) -> Floats:
        source = self.table.source
        if "sigma" in found:
            if resolution is not None:
                self.notes.append(
                    f"{source}: events have errors ('{found['sigma'].name}'): the table of median "
                    "errors isn't used"
                )
            sigma = found["sigma"].angle(unit)
            self._refuse(found["sigma"], sigma < 0, sigma, "deg, expected an error", "deg")
            return sigma
        if resolution is None:
            there = ", ".join(map(str, self.table.frame.columns))
            raise DataError(
                f"{source}: no column of sigma; give median errors by energy "
                f"(angular_resolution); there are {there}"
            )
        energy, median = resolution
        self.notes.append(
            f"{source}: no column of sigma: taken from the median errors by energy, divided by "
            f"{_MEDIAN:.3f}, those at the ends beyond them"
        )
        return np.asarray(np.interp(self.log10_energy, energy, median) / _MEDIAN)

    def _refuse(
        self,
        column: event_columns.Column,
        wrong: np.ndarray[Any, np.dtype[np.bool_]],
        values: Floats,
        expected: str,
        stated_in: str | None = None,
    ) -> None:
        if not wrong.any():
            return
        row = int(np.argmax(wrong))
        hint = ""
        if stated_in and column.unit is None and self.angle_unit != stated_in:
            hint = f" (taken for {self.angle_unit}: is the file in {stated_in}?)"
        raise DataError(
            f"{self.table.row(row)}: {column.name} is {values[row]:.6g} {expected}{hint}"
        )


def _number(name: str, what: str, value: Any, unit: str) -> float:
    try:
        return float(np.nan if isinstance(value, bool) else value)
    except (TypeError, ValueError):
        raise DataError(f"{name}: {what} {value!r}, expected {unit}") from None


def _listed(paths: Any, name: str) -> list[Any]:
    listed = list(paths) if isinstance(paths, list | tuple) else [paths]
    if not listed:
        raise DataError(f"{name}: no tables of events")
    files = [Path(given).resolve() for given in listed if isinstance(given, str | Path)]
    for position, file in enumerate(files):
        if file in files[:position]:
            raise DataError(f"{file}: given twice: its events would count twice")
    return listed


def _refuse_same(parts: Sequence[_Part]) -> None:
    """Files under other names that hold the same events."""
    for position, part in enumerate(parts):
        for other in parts[:position]:
            if all(
                np.array_equal(getattr(part, what), getattr(other, what))
                for what in ("ra", "dec", "log10_energy", "sigma")
            ):
                raise DataError(
                    f"{part.table.source}: the same events as {other.table.source}: they would "
                    "count twice"
                )


def _row(parts: Sequence[_Part], position: int) -> str:
    """Where an event of all parts stands."""
    for part in parts:
        if position < len(part.ra):
            return part.table.row(position)
        position -= len(part.ra)
    raise IndexError(position)


def _of_units(parts: Sequence[_Part], ra: Floats, dec: Floats, name: str) -> list[str]:
    if all(part.unit_stated for part in parts) or parts[0].angle_unit != "deg":
        return []
    if notes := event_columns.maybe_radians(ra, dec, name):
        return notes
    if len(ra) >= _MANY and ra.max() <= _HOURS:
        return [
            f"{name}: every ra is below {_HOURS:g} and no unit is stated: taken for degrees; call "
            "the column RA[hourangle] if they are hours"
        ]
    return []


def _of_errors(parts: Sequence[_Part], sigma: Floats, least: float, name: str) -> list[str]:
    zero, small, large = sigma == 0, sigma < least, sigma > _LARGE_SIGMA
    for which, what in ((zero, "zero"), (large, f"above {_LARGE_SIGMA:g} deg")):
        if which.sum() > _FEW * len(sigma):
            raise DataError(
                f"{_row(parts, int(np.argmax(which)))}: sigma is {what}, as of {which.sum()} of "
                f"{len(sigma)} events: is its unit mistaken?"
            )
    unstated = all(part.sigma_unit is None for part in parts)
    if small.sum() > _MOST * len(sigma) and unstated and parts[0].angle_unit == "deg":
        raise DataError(
            f"{_row(parts, int(np.argmax(small)))}: sigma is below {least:g} deg, as of "
            f"{small.sum()} of {len(sigma)} events: radians? call the column sigma[rad], or say "
            "a smaller least_sigma"
        )
    notes = []
    if small.any():
        notes.append(
            f"{name}: angular errors of {small.sum()} events below {least:g} deg ({zero.sum()} of "
            "them zero) raised to that (least_sigma)"
        )
    if large.any():
        notes.append(
            f"{name}: angular errors of {large.sum()} events are above {_LARGE_SIGMA:g} deg (up to "
            f"{sigma.max():g}), kept up to {_LARGEST_SIGMA:g}"
        )
    return notes


def _of_area(
    log10_energy: Floats, dec: Floats, area: EffectiveArea, smearing: Smearing | None, name: str
) -> list[str]:
    notes = []
    low, high = area.log10_energy[0], area.log10_energy[-1]
    beyond = int(((log10_energy < low) | (log10_energy > high)).sum())
    if beyond and smearing is None:
        notes.append(
            f"{name}: {beyond} events have energies outside of the effective area's, "
            f"{low:.4g} to {high:.4g} (log10 of GeV)"
        )
    sin = np.sin(np.radians(dec))
    beyond = int(((sin < area.sin_dec[0] - 1e-9) | (sin > area.sin_dec[-1] + 1e-9)).sum())
    if beyond:
        notes.append(
            f"{name}: {beyond} events have declinations outside of the effective area's, whose "
            "outermost cells are taken there"
        )
    return notes
