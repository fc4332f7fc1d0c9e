"""Events of a source and its flux, both ways.

A flux dN/dE = F (E / E0)^-gamma gives  ns = F sum_k T_k integral A_k(E, dec) (E / E0)^-gamma dE
events, T the livetimes and A the effective areas of the samples. With a time window T is the part
of the livetime in it, and F the flux while it is open; at its peak, for a Gaussian.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.sky import PriorMap

_PIVOT = 1e5
_UNIT = "TeV / (cm2 s)"


def acceptance(
    data: PointSourceData, dec: Floats | float, gamma: Floats | float, pivot: float = _PIVOT
) -> Floats:
    """Events for a flux of 1 / (GeV cm^2 s) at the pivot energy.

    Parameters
    ----------
    dec
        Declinations (rad).
    gamma
        Spectral indices.
    pivot
        E0, in GeV.

    Returns
    -------
    Floats
        In GeV cm^2 s; shape of `dec` and `gamma` broadcast together.
    """
    dec = np.asarray(dec, dtype=float)
    if (np.abs(dec) > 0.5 * np.pi + 1e-9).any():
        raise DataError(f"declination {np.abs(dec).max():g} rad: expected -pi/2 to pi/2")
    each = (sample.area.acceptance(np.sin(dec), gamma, pivot) for sample in data.samples)
    return np.asarray(sum(t * a for t, a in zip(data.exposures, each, strict=True)))


def flux(
    data: PointSourceData,
    ns: Floats | float,
    gamma: Floats | float,
    dec: Floats | float,
    pivot: float = _PIVOT,
    unit: str = _UNIT,
) -> Floats:
    """E0^2 dN/dE at the pivot energy of a source of `ns` events.

    Parameters
    ----------
    unit
        Of energy by area and time, or of dN/dE itself, which is then what is returned.

    Raises
    ------
    DataError
        The unit is none of a flux, or nothing is accepted at the declination.
    """
    scale = _scale(pivot, unit)
    if not (np.asarray(ns) >= 0).all():
        raise DataError(f"{np.min(ns):g} events: expected numbers from 0 up")
    accepted = acceptance(data, dec, gamma, pivot)
    if not (accepted > 0).all():
        raise DataError("no event is accepted at that declination: a flux can't be told")
    return np.asarray(ns) / accepted * scale


def summed_flux(
    data: PointSourceData,
    ns: Floats,
    gamma: Floats,
    catalogue: Catalogue,
    pivot: float = _PIVOT,
    unit: str = _UNIT,
) -> Floats:
    """The flux of all of a catalogue's sources together, of `ns` events in all; see `flux`."""
    indices, which = np.unique(gamma, return_inverse=True)
    of_sources = acceptance(data, catalogue.dec[:, None], indices, pivot)
    accepted = (catalogue.weight @ of_sources)[which.reshape(np.shape(gamma))]
    return np.asarray(ns / accepted * _scale(pivot, unit))


def events(
    data: PointSourceData,
    flux: Floats | float,
    gamma: Floats | float,
    dec: Floats | float,
    pivot: float = _PIVOT,
    unit: str = _UNIT,
) -> Floats:
    """Expected events of a source of a flux; see `flux`."""
    return np.asarray(flux) * acceptance(data, dec, gamma, pivot) / _scale(pivot, unit)


def averaged_acceptance(
    data: PointSourceData, prior_map: PriorMap, gamma: float, pivot: float = _PIVOT
) -> float:
    """Acceptance averaged over the prior of a source's position; in GeV cm^2 s."""
    _, dec = prior_map.icrs()
    return float(prior_map.probability @ acceptance(data, dec, gamma, pivot))


def checked_unit(pivot: float, unit: str) -> bool:
    """Whether a unit is one of dN/dE itself, not of E0^2 dN/dE; a `DataError` if it is of none."""
    from astropy import units as u

    _scale(pivot, unit)
    return bool(u.Unit(unit).is_equivalent(u.Unit("1 / (GeV cm2 s)")))


def _scale(pivot: float, unit: str) -> float:
    """1 / (GeV cm^2 s) at the pivot in the unit, times E0^2 where that is one of energies."""
    from astropy import units as u

    energy, plain = u.GeV, u.Unit("1 / (GeV cm2 s)")
    try:
        wanted: Any = u.Unit(unit)
    except ValueError:
        raise DataError(f"unit '{unit}' is none that astropy knows") from None
    if not 0 < pivot < np.inf:
        raise DataError(f"pivot {pivot:g} GeV: expected an energy above zero")
    for value in (pivot**2 * plain * energy**2, 1.0 * plain):
        if value.unit.is_equivalent(wanted):
            return float(value.to_value(wanted))
    raise DataError(f"unit '{unit}' is none of a flux, such as '{_UNIT}' or '1 / (TeV cm2 s)'")
