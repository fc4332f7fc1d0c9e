"""Effective areas and smearing matrices as the public releases tabulate them.

Each row of a table is a cell: the ends of its energies and declinations, and what holds in it.
Cells must form a full grid; that the ends meet is checked in the file's own numbers, which are
rounded, and what follows from them is exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source import text_files
from pyxstan.point_source.areas import EffectiveArea, Smearing
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.tables import Table

#: How far ends that meet may differ, in parts of their cell.
_ROUNDING = 0.01
#: By how much the parts of a cell may fail to sum to one.
_SUM = 0.05
_LARGEST_LOG10 = 15.0
_UNIT = re.compile(r"(.+?)\s*[\[(]\s*([^\[\]()]+?)\s*[\])]")
_AREAS = ("m^2 or cm^2", {"m^2": 1.0, "m2": 1.0, "cm^2": 1e-4, "cm2": 1e-4})
_ENERGY_UNITS = {"mev": -3.0, "gev": 0.0, "tev": 3.0, "pev": 6.0}


def read_effective_area(path: Any, name: str = "effective area") -> EffectiveArea:
    """Read an effective area by true energy and declination.

    Parameters
    ----------
    path
        File of a table, or a table in memory, with the columns ``E_min[GeV] E_max[GeV]
        cos(zenith)_min cos(zenith)_max Aeff[m^2]`` (sin of the declination is -cos(zenith), as at
        the South Pole) or ``log10(E_nu/GeV)_min log10(E_nu/GeV)_max Dec_nu_min[deg]
        Dec_nu_max[deg] A_Eff[cm^2]``.
    name
        What to call a table in memory in messages.

    Raises
    ------
    DataError
        Columns are missing, or cells have gaps or overlap.

    Examples
    --------
    >>> area = read_effective_area({
    ...     "E_min[GeV]": [100, 1000], "E_max[GeV]": [1000, 10000], "cos(zenith)_min": [-1, -1],
    ...     "cos(zenith)_max": [1, 1], "Aeff[m^2]": [0.1, 2.0]})
    >>> area.log10_energy, area.sin_dec, area.area
    (array([2., 3., 4.]), array([-1.,  1.]), array([[0.1, 2. ]]))
    """
    table = text_files.read(path, name)
    energy, dec = _energies(table), _declinations(table)
    column, unit = _column(table, "aeff", "effectivearea", "area")
    unit = (table.units.get(column) or unit or "").replace(" ", "").replace("**", "^")
    if unit not in _AREAS[1]:
        raise DataError(
            f"{table.source}: column '{column}' is in '{unit}', expected {_AREAS[0]} in its name"
        )
    area = table.numbers(column) * _AREAS[1][unit]
    _refuse(table, area < 0, f"{column} is negative, expected an area")
    cells = np.ravel_multi_index((dec.cell, energy.cell), (dec.count, energy.count))
    _refuse_twice(table, cells)
    _refuse_missing(table, cells, dec, energy)
    grid = np.empty(dec.count * energy.count)
    grid[cells] = area
    notes: tuple[str, ...] = ()
    if any("zenith" in name for name in _normalised(table)):
        notes = (f"{table.source}: sin(dec) is taken for -cos(zenith), as at the South Pole",)
    shape = dec.count, energy.count
    return EffectiveArea(energy.log10, dec.sin, grid.reshape(shape), table.source, notes)


def read_smearing(path: Any, name: str = "smearing") -> Smearing:
    """Read a matrix from true to reconstructed energies, summed over angles and their errors.

    Parameters
    ----------
    path
        File of a table, or a table in memory, with the columns ``log10(E_nu/GeV)_min
        log10(E_nu/GeV)_max Dec_nu_min[deg] Dec_nu_max[deg] log10(E/GeV)_min log10(E/GeV)_max
        Fractional_Counts``; others (``PSF_min[deg]``, ``AngErr_min[deg]``...) are summed over.
    name
        What to call a table in memory in messages.

    Raises
    ------
    DataError
        Columns are missing, cells have gaps or overlap, or parts of a cell don't sum to one.
    """
    table = text_files.read(path, name)
    energy, dec = _energies(table), _declinations(table)
    column, _ = _column(table, "fractionalcounts")
    fraction = table.numbers(column)
    _refuse(table, fraction < 0, f"{column} is negative, expected a part of the events")
    shape = (dec.count, energy.count)
    cell = np.ravel_multi_index((dec.cell, energy.cell), shape)
    _refuse_missing(table, cell, dec, energy)
    total = np.bincount(cell, fraction, shape[0] * shape[1])
    wrong = ((total > 0) & (np.abs(total - 1.0) > _SUM))[cell]
    found = total[cell[np.argmax(wrong)]]
    _refuse(table, wrong, f"{column} of its cell sums to {found:g}, expected 1")
    low, high = (_column(table, f"log10(e/gev){end}")[0] for end in ("min", "max"))
    ends = np.column_stack([table.numbers(low), table.numbers(high)])
    some = fraction > 0
    _refuse(table, some & ~(ends[:, 1] > ends[:, 0]), f"{high} isn't above {low}")
    _refuse(table, some & (np.abs(ends) > _LARGEST_LOG10).any(axis=1), f"{low} is no log10 of GeV")
    if not some.any():
        raise DataError(f"{table.source}: every {column} is zero")
    rows, inverse = np.unique(
        np.column_stack([cell[some], ends[some]]), axis=0, return_inverse=True
    )
    summed: Floats = np.bincount(inverse.ravel(), fraction[some], len(rows)).astype(np.float64)
    place: Integers = np.column_stack(np.unravel_index(rows[:, 0].astype(np.int64), shape))
    return Smearing(energy.log10, dec.sin, place, rows[:, 1:], summed, table.source)


@dataclass(frozen=True)
class _Axis:
    """Edges along one axis as the file has them, and each row's place between them."""

    edges: Floats
    cell: Integers
    kind: str

    @property
    def count(self) -> int:
        return len(self.edges) - 1

    @property
    def log10(self) -> Floats:
        """Edges of energies, log10 of GeV."""
        if self.kind == "log10":
            return self.edges
        return np.asarray(np.log10(self.edges) + _ENERGY_UNITS[self.kind])

    @property
    def sin(self) -> Floats:
        """Edges of declinations; `edges` are of declinations in deg, or of their sines."""
        if self.kind == "sin":
            return self.edges
        return np.asarray(np.sin(np.radians(self.edges)))


def _energies(table: Table) -> _Axis:
    names = _normalised(table)
    for base in ("log10(enu/gev)", "log10(e/gev)"):
        if base + "min" in names:
            low, high = (_column(table, base + end)[0] for end in ("min", "max"))
            ends = table.numbers(low), table.numbers(high)
            beyond = np.maximum(*map(np.abs, ends)) > _LARGEST_LOG10
            _refuse(table, beyond, f"{low} is no log10 of an energy in GeV")
            return _axis(table, *ends, (low, high), "log10")
    for base in ("e", "enu", "energy"):
        if base + "min" in names:
            (low, unit), (high, other) = (_column(table, base + end) for end in ("min", "max"))
            units = [table.units.get(c) or u or "" for c, u in ((low, unit), (high, other))]
            if units[0].lower() not in _ENERGY_UNITS or units[1] != units[0]:
                raise DataError(
                    f"{table.source}: columns '{low}' and '{high}' are in '{units[0]}' and "
                    f"'{units[1]}', expected GeV in their names"
                )
            first, last = table.numbers(low, positive=True), table.numbers(high, positive=True)
            return _axis(table, first, last, (low, high), units[0].lower())
    raise _missing(table, "true energies (E_min[GeV] or log10(E_nu/GeV)_min, and _max)")


def _declinations(table: Table) -> _Axis:
    names = _normalised(table)
    if "cos(zenith)min" in names:
        low, high = (_column(table, f"cos(zenith){end}")[0] for end in ("min", "max"))
        ends = table.numbers(low), table.numbers(high)
        _refuse(table, np.maximum(*map(np.abs, ends)) > 1, f"{low} is beyond -1 to 1")
        # at the South Pole; + 0 makes 0 of -0
        return _axis(table, -ends[1] + 0.0, -ends[0] + 0.0, (low, high), "sin")
    for base in ("decnu", "dec"):
        if base + "min" in names:
            (low, unit), (high, _) = (_column(table, base + end) for end in ("min", "max"))
            if (table.units.get(low) or unit or "deg") != "deg":
                raise DataError(f"{table.source}: column '{low}' is in '{unit}', expected deg")
            ends = table.numbers(low), table.numbers(high)
            _refuse(table, np.maximum(*map(np.abs, ends)) > 90, f"{low} is beyond -90 to 90 deg")
            return _axis(table, *ends, (low, high), "dec")
    raise _missing(table, "declinations (cos(zenith)_min or Dec_nu_min[deg], and _max)")


def _axis(table: Table, low: Floats, high: Floats, columns: tuple[str, str], kind: str) -> _Axis:
    _refuse(table, ~(high > low), f"{columns[1]} isn't above {columns[0]}")
    edges = np.append(np.unique(low), high.max())
    cell = np.searchsorted(edges, low)
    meant = edges[cell + 1]
    away = np.abs(high - meant) > _ROUNDING * np.minimum(high - low, meant - edges[cell])
    if away.any():
        row = int(np.argmax(away))
        what = "overlap" if high[row] > meant[row] else "leave a gap"
        first, last = sorted((meant[row], high[row]))
        raise DataError(
            f"{table.row(row)}: {columns[0]} to {columns[1]}: cells {what} between {first:g} and "
            f"{last:g}"
        )
    return _Axis(edges, cell, kind)


def _refuse_twice(table: Table, cells: Integers) -> None:
    first = np.unique(cells, return_index=True)[1]
    if len(first) < len(cells):
        again = int(np.setdiff1d(np.arange(len(cells)), first)[0])
        raise DataError(f"{table.row(again)}: the cell is there a second time")


def _refuse_missing(table: Table, cells: Integers, dec: _Axis, energy: _Axis) -> None:
    missing = np.setdiff1d(np.arange(dec.count * energy.count), cells)
    if missing.size:
        # the row whose energies are those of the missing cell, to have a place to look at
        d, e = divmod(int(missing[0]), energy.count)
        near = int(np.flatnonzero(energy.cell == e)[0])
        raise DataError(
            f"{table.row(near)}: its energies have no cell of declination number {d + 1} of "
            f"{dec.count}: {len(missing)} of {dec.count * energy.count} cells are missing"
        )


def _refuse(table: Table, wrong: np.ndarray[Any, np.dtype[np.bool_]], what: str) -> None:
    if wrong.any():
        raise DataError(f"{table.row(int(np.argmax(wrong)))}: {what}")


def _plain(name: str) -> tuple[str, str | None]:
    """A column's name without case, blanks, underscores and its unit, and the unit."""
    text, unit = name.strip(), None
    function = "[" not in text and re.search(r"(log10|cos|sin)\s*\(", text)
    if not function and (split := _UNIT.fullmatch(text)):
        text, unit = split.groups()
    return re.sub(r"[\s_]", "", text).lower(), unit


def _normalised(table: Table) -> dict[str, tuple[str, str | None]]:
    found = {}
    for column in map(str, table.frame.columns):
        plain, unit = _plain(column)
        found[plain] = (column, unit)
    return found


def _column(table: Table, *bases: str) -> tuple[str, str | None]:
    names = _normalised(table)
    for base in bases:
        if base in names:
            return names[base]
    raise _missing(table, bases[0])


def _missing(table: Table, what: str) -> DataError:
    there = ", ".join(map(str, table.frame.columns))
    return DataError(f"{table.source}: no column of {what}; there are {there}")


def read_angular_resolution(path: str | Path) -> tuple[Floats, Floats]:
    """Read median angular errors by energy.

    Parameters
    ----------
    path
        Text of two columns, as the releases have them: the median (deg) and log10 of the energy in
        GeV. A header is passed over.

    Returns
    -------
    tuple[Floats, Floats]
        Log10 of the energy in GeV, rising, and the medians (deg).
    """
    rows = text_files.read_columns(path, ["median", "log10_energy"])
    median, energy = rows.numbers("median"), rows.numbers("log10_energy")
    _refuse(rows, (median <= 0) | (median >= 90), "median isn't between 0 and 90 deg")
    _refuse(rows, np.abs(energy) > _LARGEST_LOG10, "the second column is no log10 of GeV")
    falls = np.diff(energy, prepend=-np.inf) <= 0
    _refuse(rows, falls, "the second column doesn't rise, expected log10 E after the median")
    return energy, median
