"""Which columns of a table are an event's position, its error, its energy and its time.

Names are those of the public releases and their relatives, in any case, with units in the name
(``RA[deg]``, ``sigma_rad``, ``log10(E/TeV)``) or beside it, as FITS and ECSV have them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import log10

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.tables import Table

QUANTITIES = ("ra", "dec", "sigma", "log10_energy", "mjd")
_NAMES = {
    "ra": {"ra", "rightascension", "raj2000", "raicrs"},
    "dec": {"dec", "decl", "declination", "dej2000", "decj2000", "deicrs", "decicrs"},
    "sigma": {"sigma", "angerr", "angerror", "angularerr", "angularerror", "angularuncertainty"},
    "mjd": {"mjd", "time", "timemjd", "mjdtime"},
}
#: Right ascensions and declinations that are all smaller (deg) may be meant in rad.
_MAYBE_RADIANS = 7.0
#: Energies that aren't logarithms.
_LINEAR = {"energy", "e", "ereco", "recoenergy", "energyreco"}
_BRACKETS = re.compile(r"(.+?)\s*[\[(]\s*([^\[\]()]+?)\s*[\])]")
_SUFFIX = re.compile(r"(.+?)_(deg|degrees?|rad|radians?|arcmin|arcsec|days?)", re.IGNORECASE)
_LOG_ENERGY = re.compile(
    r"(?:log_?10_?\(?|log_?)_?(?:e|energy|e_?reco|reco_?energy|energy_?reco)"
    r"(?:[/_](?P<unit>[kmgtpe]?ev))?\)?(?:[\[(](?P<beside>[^\])]*\)?)[\])])?",
    re.IGNORECASE,
)
_ENERGIES = {"ev": 1e-9, "kev": 1e-6, "mev": 1e-3, "gev": 1.0, "tev": 1e3, "pev": 1e6, "eev": 1e9}
_SPELLED = {
    "degree": "deg", "degrees": "deg", "radian": "rad", "radians": "rad", "day": "d", "days": "d",
    "mjd": "d",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column of a table, and the unit that is stated of it, if one is."""

    table: Table
    name: str
    unit: str | None

    def angle(self, unit: str) -> Floats:
        """In degrees; `unit` where the column states none."""
        return self._in("deg", unit)

    def days(self) -> Floats:
        """In days."""
        return self._in("d", "d")

    def log10_energy(self) -> Floats:
        """Log10 of GeV."""
        values = self.table.numbers(self.name)
        self.table.refuse_marks(self.name, values)
        stated = re.sub(r"^(dex|log10|log)\b|[()\s]", "", self.unit or "").lower()
        if stated and stated not in _ENERGIES:
            raise DataError(
                f"{self.table.source}: column '{self.name}' is in '{self.unit}', expected log10 of "
                "an energy in GeV"
            )
        return values + log10(_ENERGIES[stated or "gev"])

    def _in(self, wanted: str, otherwise: str) -> Floats:
        from astropy import units as u

        values = self.table.numbers(self.name)
        try:
            factor = float(u.Unit(self.unit or otherwise).to(u.Unit(wanted)))
        except (ValueError, TypeError, u.UnitConversionError):
            raise DataError(
                f"{self.table.source}: column '{self.name}' is in '{self.unit or otherwise}', "
                f"expected {wanted}"
            ) from None
        return values * factor if factor != 1 else values


def find(table: Table, stated: Mapping[str, str] | None = None) -> dict[str, Column]:
    """The columns of a table of events, by what they are.

    Parameters
    ----------
    stated
        Names in the table of some of `QUANTITIES`; the others are found by their usual names.

    Raises
    ------
    DataError
        A stated column isn't there, or two columns may be the same quantity.
    """
    stated = dict(stated or {})
    for quantity in stated:
        if quantity not in QUANTITIES:
            raise DataError(
                f"{table.source}: columns states '{quantity}', expected {', '.join(QUANTITIES)}"
            )
    table.require(stated.values())
    read = {column: quantity_of(str(column)) for column in table.frame.columns}
    found = {}
    for quantity in QUANTITIES:
        names = [column for column, (what, _) in read.items() if what == quantity]
        if quantity in stated:
            names = [stated[quantity]]
        elif quantity in names:
            names = [quantity]
        if len(names) > 1:
            raise DataError(
                f"{table.source}: columns '{names[0]}' and '{names[1]}' may both be {quantity}: "
                f"say which one, columns={{'{quantity}': '{names[0]}'}}"
            )
        if names:
            found[quantity] = Column(table, names[0], _unit(table, names[0], read[names[0]][1]))
    return found


def require(table: Table, found: Mapping[str, Column], quantity: str) -> Column:
    """The column of a quantity, or a `DataError` that says what is missing."""
    if quantity in found:
        return found[quantity]
    there = ", ".join(map(str, table.frame.columns))
    linear = [c for c in table.frame.columns if quantity_of(str(c))[0] == "energy"]
    if quantity == "log10_energy" and linear:
        raise DataError(
            f"{table.source}: column '{linear[0]}' is no logarithm: give log10 of the energy in "
            "GeV as log10_energy"
        )
    raise DataError(f"{table.source}: no column of {quantity}; there are {there}")


def quantity_of(name: str) -> tuple[str | None, str | None]:
    """What a column is by its name, and the unit that its name states.

    >>> quantity_of("RA[deg]"), quantity_of("log10(E/TeV)"), quantity_of("ang_err")
    (('ra', 'deg'), ('log10_energy', 'TeV'), ('sigma', None))
    """
    text = name.strip().lstrip("#").replace(" ", "")
    if log := _LOG_ENERGY.fullmatch(text):
        return "log10_energy", log["unit"] or log["beside"]
    unit = None
    for pattern in (_BRACKETS, _SUFFIX):
        if unit is None and (split := pattern.fullmatch(text)):
            text, unit = split.groups()
    plain = text.replace("_", "").lower()
    if plain in _LINEAR:
        return "energy", unit
    for quantity, names in _NAMES.items():
        if plain in names:
            return quantity, _spelled(unit)
    return None, None


def maybe_radians(ra: Floats, dec: Floats, name: str) -> list[str]:
    """What to say of positions (deg) without a stated unit that look like radians."""
    if not max(np.abs(ra).max(), np.abs(dec).max()) < _MAYBE_RADIANS:
        return []
    return [
        f"{name}: every ra and dec is below {_MAYBE_RADIANS:g} and no unit is stated: taken for "
        "degrees; say angle_unit=rad if they are radians"
    ]


def _unit(table: Table, column: str, named: str | None) -> str | None:
    """The unit of a column by its name or the table, which must not differ."""
    beside = table.units.get(column)
    beside = _spelled(beside.strip()) or None if beside is not None else None
    if named and beside and named.lower() != beside.lower():
        raise DataError(
            f"{table.source}: column '{column}' has '{beside}' for its unit, not that of its name"
        )
    return named or beside


def _spelled(unit: str | None) -> str | None:
    return None if unit is None else _SPELLED.get(unit.lower(), unit)
