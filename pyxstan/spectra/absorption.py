r"""Photoelectric absorption: exp(-N_H sigma(E (1 + z))).

The cross section per hydrogen atom of cold gas with cosmic abundances is that of Morrison &
McCammon 1983 (ApJ 270, 119, table 2),

    sigma(E) = (c_0 + c_1 E + c_2 E^2) / E^3 x 1e-24 cm^2,   E in keV,

with other coefficients between each two edges, from 0.03 to 10 keV. The first ones are taken below
that range too, the last ones above: there sigma E^3 hardly changes, and little is absorbed. They
are what XSPEC's ``wabs`` has: at 1 keV 1.4 times those of ``tbabs`` with the abundances ``wilm``,
so that a column density is as many times smaller. Any other cross section (other abundances,
newer atomic data) comes as a table, see `read_table`.

N_H is in units of 10^22 atoms / cm^2, as it is for XSPEC.

>>> transmission([0.5, 2.0], 0.1)
array([0.47921784, 0.95789942])
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan import tables
from pyxstan.errors import DataError
from pyxstan.spectra.component_types import Constant, Floats, Numbers, Parameter

#: Where cross sections and abundances come from, unless there is a table.
BUILT_IN = "Morrison & McCammon 1983, with their abundances, as wabs"

#: The column density, and the redshift of the gas, zero for that of our Galaxy.
NH = Parameter("NH", "1e22 cm-2", "hydrogen column density", "log", zero=True)
REDSHIFT = Constant("redshift", "", 0.0, "redshift of the absorbing gas")

#: N_H of one in 1 / cm^2.
_COLUMN = 1e22
#: Upper end of the range in keV, and c_0, c_1, c_2 of Morrison & McCammon.
_COEFFICIENTS = np.array(
    [
        (0.100, 17.3, 608.1, -2150.0),
        (0.284, 34.6, 267.9, -476.1),
        (0.400, 78.1, 18.8, 4.3),
        (0.532, 71.4, 66.8, -51.4),
        (0.707, 95.5, 145.8, -61.1),
        (0.867, 308.9, -380.6, 294.0),
        (1.303, 120.6, 169.3, -47.7),
        (1.840, 141.3, 146.8, -31.5),
        (2.471, 202.7, 104.7, -17.0),
        (3.210, 342.7, 18.7, 0.0),
        (4.038, 352.2, 18.7, 0.0),
        (7.111, 433.9, -2.4, 0.75),
        (8.331, 629.0, 30.9, 0.0),
        (10.000, 701.2, 25.2, 0.0),
    ]
)


#: What columns of a table may be called, in lower case.
_NAMES = {
    "energy": ("energy", "energies", "e", "energ", "energy_kev", "e_kev", "kev"),
    "cross_section": (
        "cross_section", "crosssection", "cross section", "cross-section", "sigma", "xsec",
        "xsection", "xsect", "sigma_h", "sigma_cm2",
    ),
}  # fmt: skip
#: An edge of a table: the cross section changes by so much, as this power of the energy or more.
_RISE, _STEEP = 0.01, 20.0
#: cm^2 at 1 keV of any gas, within a factor; and the unit that N_H in 10^22 cm^-2 leaves for it.
_TYPICAL, _FACTOR, _TABLE_UNIT = 2e-22, 100.0, 1e-22


@dataclass(frozen=True, eq=False)
class CrossSections:
    """Cross sections per hydrogen atom, a power law from each energy to the next.

    Below the first energy and above the last one they go on as E^-3, which is how photoelectric
    cross sections fall between edges.
    """

    #: keV, increasing.
    energy: Floats
    #: cm^2, positive.
    cross_section: Floats
    source: str = "table"
    #: What was decided on reading.
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("energy", "cross_section"):
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        if self.energy.ndim != 1 or self.energy.shape != self.cross_section.shape:
            raise DataError(f"{self.source}: expected as many cross sections as energies")
        if len(self.energy) < 2:
            raise DataError(f"{self.source}: one energy, expected two or more")
        for name, x in (("energies", self.energy), ("cross sections", self.cross_section)):
            if not ((x > 0) & (x < np.inf)).all():
                raise DataError(f"{self.source}: expected {name} that are positive and finite")
        if not (np.diff(self.energy) > 0).all():
            raise DataError(f"{self.source}: expected energies that increase")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CrossSections) and self.sha256 == other.sha256

    def __hash__(self) -> int:
        return hash(self.sha256)

    @cached_property
    def sha256(self) -> str:
        """Of energies and cross sections, by which tables are told apart."""
        numbers = np.stack([self.energy, self.cross_section]).astype("<f8")
        return hashlib.sha256(numbers.tobytes()).hexdigest()

    def at(self, energy: Floats) -> Floats:
        """Cross section in cm^2."""
        log_energy = np.log(energy)
        ends = np.log(self.energy[[0, -1]])
        log_sigma = np.interp(log_energy, np.log(self.energy), np.log(self.cross_section))
        beyond = log_energy - np.clip(log_energy, *ends)
        return np.asarray(np.exp(log_sigma - 3 * beyond))

    @property
    def edges(self) -> Floats:
        """Energies on either side of which cross sections differ, in keV."""
        rise = np.abs(np.diff(np.log(self.cross_section)))
        sharp = (rise > _RISE) & (rise > _STEEP * np.diff(np.log(self.energy)))
        return np.unique(np.concatenate([self.energy[:-1][sharp], self.energy[1:][sharp]]))

    def extended(self, energy: Floats) -> str:
        """Say if energies are beyond the table; empty if none is."""
        low, high = self.energy[[0, -1]]
        if low <= energy.min() and energy.max() <= high:
            return ""
        return (
            f"{self.source}: cross sections from {low:g} to {high:g} keV, continued as E^-3 to "
            f"{min(low, energy.min()):.4g} and {max(high, energy.max()):.4g} keV"
        )


def read_table(table: Any) -> CrossSections:
    """Read cross sections from a table.

    Parameters
    ----------
    table
        A CSV, ECSV or FITS file, or a table in memory, with the columns ``energy`` (keV, or the
        unit that the column states) and ``cross_section`` or ``sigma`` (cm^2 per hydrogen atom,
        likewise), in capitals or not. Without a unit, cross sections about one are in 10^-22 cm^2.
        Energies increase, or decrease; an edge is two of them that are all but the same.

    Raises
    ------
    DataError
        No such file or column, a value that isn't a positive number, energies out of order, cross
        sections that are none of gas.
    """
    if isinstance(table, CrossSections):
        return table
    found = tables.read(table, "cross sections")
    column = {}
    for kind, names in _NAMES.items():
        there = {str(name).strip().lower(): name for name in reversed(list(found.frame.columns))}
        column[kind] = next((there[name] for name in names if name in there), kind)
    found.require(column.values())
    energy = found.numbers(column["energy"], unit="keV", positive=True)
    sigma = found.numbers(column["cross_section"], unit="cm2", positive=True)
    order = slice(None, None, -1 if len(energy) > 1 and energy[0] > energy[-1] else 1)
    row = np.arange(len(energy))[order]
    late = np.flatnonzero(np.diff(energy[order]) <= 0)
    if len(late):
        bad, before = row[late[0] + 1], row[late[0]]
        raise DataError(
            f"{found.row(bad)}: energy is {energy[bad]:g} keV after {energy[before]:g} keV, "
            "expected energies to increase"
        )
    made = CrossSections(energy[order], sigma[order], Path(found.source).name)
    return _in_square_centimetres(made, bool(found.units.get(column["cross_section"])))


def _in_square_centimetres(found: CrossSections, stated: bool) -> CrossSections:
    """The same, where no unit is stated in that which the numbers tell."""
    at_one = float(found.at(np.ones(1))[0])
    for unit in (1.0, _TABLE_UNIT):
        if stated or _TYPICAL / _FACTOR < at_one * unit < _TYPICAL * _FACTOR:
            if unit == 1:
                return found
            note = f"{found.source}: cross sections without a unit taken as {unit:g} cm2"
            return replace(found, cross_section=unit * found.cross_section, notes=(note,))
    raise DataError(
        f"{found.source}: a cross section of {at_one:.3g} at 1 keV, expected about "
        f"{_TYPICAL:g} cm2 per hydrogen atom: state the unit"
    )


def cross_section(energy: Numbers, table: CrossSections | None = None) -> Floats:
    """Photoelectric cross section per hydrogen atom in cm^2.

    Parameters
    ----------
    energy
        keV in the frame of the gas, positive.
    table
        Cross sections to use in place of those of Morrison & McCammon.
    """
    e = np.asarray(energy, dtype=np.float64)
    if not ((e > 0) & (e < np.inf)).all():
        raise DataError("absorption: expected energies that are positive and finite, in keV")
    if table is not None:
        return table.at(e)
    row = np.searchsorted(_COEFFICIENTS[:-1, 0], e, side="right")
    c = _COEFFICIENTS[row, 1:]
    return np.asarray((c[..., 0] + e * (c[..., 1] + e * c[..., 2])) / e**3 * 1e-24)


def edges(table: CrossSections | None = None) -> Floats:
    """Photoelectric edges of `cross_section`, in keV in the frame of the gas."""
    return _COEFFICIENTS[:-1, 0].copy() if table is None else table.edges


def optical_depth(
    energy: Numbers, redshift: Numbers = 0.0, table: CrossSections | None = None
) -> Floats:
    """Optical depth of a column of 10^22 atoms / cm^2: 10^22 sigma(E (1 + z)).

    Parameters
    ----------
    energy
        keV as observed, positive.
    redshift
        Of the gas, above -1; it broadcasts against `energy`.
    """
    z = np.asarray(redshift, dtype=np.float64)
    if not (np.isfinite(z) & (z > -1)).all():
        raise DataError(f"absorption: redshift is {z.min():g}, expected a number above -1")
    return _COLUMN * cross_section(np.asarray(energy, dtype=np.float64) * (1 + z), table)


def transmission(
    energy: Numbers,
    column: Numbers,
    redshift: Numbers = 0.0,
    table: CrossSections | None = None,
) -> Floats:
    """Fraction of the photons that get through: exp(-N_H sigma(E (1 + z))).

    Its derivative with respect to `column` is minus itself times `optical_depth`.

    Parameters
    ----------
    energy
        keV as observed, positive.
    column
        N_H in 10^22 atoms / cm^2, zero or more: a number, or an array such as draws.

    Returns
    -------
    ndarray
        Shape of `column`, then that of `energy`.
    """
    n = np.asarray(column, dtype=np.float64)
    if not ((n >= 0) & (n < np.inf)).all():
        raise DataError("absorption: expected column densities that are finite and not negative")
    depth = optical_depth(energy, redshift, table)
    return np.asarray(np.exp(-n.reshape(n.shape + (1,) * depth.ndim) * depth))
