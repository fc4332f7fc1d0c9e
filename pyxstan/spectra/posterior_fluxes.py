r"""Fluxes and luminosities of the sources, from the posterior of their spectra.

The flux between two energies is the integral of E^k f(E), with k = 0 for photons, 1 for energy and
2 for nu F_nu; the unit that is asked for tells which. Every draw gives one, so that sums of sources
keep the correlations of their parameters.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pyxstan.errors import DataError
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.folding import Floats, depths
from pyxstan.spectra.model import Source, Used
from pyxstan.spectra.stored import from_fit

if TYPE_CHECKING:
    from astropy.units import Quantity

#: Gauss-Legendre nodes in each of so many logarithmic steps a decade.
_NODES, _STEPS = 4, 100
#: A line is integrated to so many standard deviations, by so many steps.
_LINE, _LINE_STEPS = 8.0, 40
_MOST_DRAWS = 4000


def fluxes(
    idata: Any,
    low: Quantity,
    high: Quantity,
    *,
    unit: str = "erg / (cm2 s)",
    by: str = "source",
    absorbed: bool = True,
    probability: float = 0.68,
) -> pd.DataFrame:
    """Fluxes between two energies.

    Parameters
    ----------
    idata
        A fit of ``linked_spectra``.
    low, high
        Energies (or wavelengths, or frequencies), as quantities of astropy.
    unit
        Of energy flux (``"erg / (cm2 s)"``), photon flux (``"ph / (cm2 s)"`` or ``"1 / (cm2 s)"``)
        or integrated nu F_nu (``"erg2 / (cm2 s)"``), or what converts to one of them.
    by
        ``"source"``, ``"component"`` or ``"total"``.
    absorbed
        As observed; or without the absorption.
    probability
        Of the interval between equal tails.

    Returns
    -------
    pandas.DataFrame
        A row each, with columns ``mean``, ``sd``, ``median``, and the ends of the interval, named
        in percent (``16%``, ``84%``).

    Raises
    ------
    DataError
        Not a fit of spectra, energies upside down, a unit of something else.
    """
    sources, values = from_fit(idata)
    power, factor = _power(unit)
    ends = _kev(low, "low"), _kev(high, "high")
    rows = {
        name: factor * flux for name, flux in _fluxes(sources, values, ends, power, by, absorbed)
    }
    return _table(rows, probability, unit)


def luminosities(
    idata: Any,
    low: Quantity,
    high: Quantity,
    *,
    unit: str = "erg / s",
    redshift: float | None = None,
    cosmology: Any = "Planck18",
    by: str = "source",
    probability: float = 0.68,
) -> pd.DataFrame:
    """Luminosities between two energies of the sources' own frames, without absorption.

    Parameters
    ----------
    redshift
        Of all sources; by default each source's own.
    cosmology
        One of astropy's, or its name.

    Returns
    -------
    pandas.DataFrame
        As from `fluxes`; sources without a redshift are left out.

    Raises
    ------
    DataError
        As of `fluxes`; no source has a redshift.
    """
    from astropy import cosmology as cosmologies
    from astropy import units

    sources, values = from_fit(idata)
    ends = _kev(low, "low"), _kev(high, "high")
    if isinstance(cosmology, str):
        if cosmology not in cosmologies.available:
            raise DataError(f"cosmology '{cosmology}': there are {cosmologies.available}")
        cosmology = getattr(cosmologies, cosmology)
    try:
        factor = (units.keV / units.s).to(units.Unit(unit))
    except (ValueError, units.UnitConversionError):
        raise DataError(f"unit '{unit}': expected one of luminosity, such as erg / s") from None
    rows: dict[str, Floats] = {}
    for source in sources:
        z = source.redshift if redshift is None else redshift
        if z is None:
            continue
        if not z > 0:
            raise DataError(f"source {source.name}: redshift {z:g} is not positive")
        area = 4 * np.pi * cosmology.luminosity_distance(z).to_value("cm") ** 2
        here = (ends[0] / (1 + z), ends[1] / (1 + z))
        kind = "source" if by == "total" else by
        for name, flux in _fluxes((source,), values, here, 1, kind, absorbed=False):
            rows[name] = factor * area * flux
    if not rows:
        raise DataError("luminosities: no source has a redshift")
    if by == "total":
        rows = {"total": np.sum(list(rows.values()), axis=0)}
    return _table(rows, probability, unit)


def _fluxes(
    sources: tuple[Source, ...],
    values: dict[str, Floats],
    ends: tuple[float, float],
    power: int,
    by: str,
    absorbed: bool,
) -> Iterator[tuple[str, Floats]]:
    """Each flux with its name, in keV^power photons/s/cm^2, shape (draws,)."""
    if by not in ("source", "component", "total"):
        raise DataError(f"by '{by}': expected source, component or total")
    if not ends[0] < ends[1]:
        raise DataError(f"fluxes from {ends[0]:g} to {ends[1]:g} keV: the energies are upside down")
    draws = next(iter(values.values())).size
    step = max(1, draws // _MOST_DRAWS)
    flat = {name: np.ravel(x)[::step] for name, x in values.items()}
    total: Floats = np.zeros(1)
    for source in sources:
        whole: Floats = np.zeros(1)
        for label, used in source.components.items():
            own = {name: flat[f"{source.name}.{label}.{name}"] for name in used.settings}
            columns = (
                {label: flat[f"{source.name}.{label}.NH"] for label in source.absorption}
                if absorbed
                else {}
            )
            found = _integral(source, used, own, columns, ends, power)
            if by == "component":
                yield f"{source.name}.{label}", found
            whole = whole + found
        if by == "source":
            yield source.name, whole
        total = total + whole
    if by == "total":
        yield "total", total


def _integral(
    source: Source,
    used: Used,
    own: dict[str, Floats],
    columns: dict[str, Floats],
    ends: tuple[float, float],
    power: int,
) -> Floats:
    """Of E^power times a component, by draws in small portions."""
    entry = COMPONENTS[used.kind]
    if entry.narrow:
        return _line(source, own, columns, ends, power)
    energy, weight = _quadrature(*ends)
    depth_of = depths(source, energy) if columns else {}
    found = []
    for k in range(0, len(next(iter(own.values()))), 200):
        part = {name: x[k : k + 200] for name, x in own.items()}
        flux = entry.flux(energy, **part, **used.constants)
        for label, column in columns.items():
            flux = flux * np.exp(-column[k : k + 200, None] * depth_of[label])
        found.append(flux @ (weight * energy**power))
    return np.concatenate(found)


def _line(
    source: Source,
    own: dict[str, Floats],
    columns: dict[str, Floats],
    ends: tuple[float, float],
    power: int,
) -> Floats:
    """Of E^power times a Gaussian line, where it is between the ends."""
    norm, mu, sigma = (own[name][:, None] for name in ("F", "mu", "sigma"))
    sigma = np.maximum(sigma, 1e-9 * mu)
    # steps in standard deviations, up to the ends of the range
    first, last = (np.clip((end - mu) / sigma, -_LINE, _LINE) for end in ends)
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    part = (np.arange(_LINE_STEPS)[:, None] + 0.5 * (1 + node)).ravel() / _LINE_STEPS
    t = first + (last - first) * part
    energy = np.clip(mu + sigma * t, *ends)
    passed = np.ones_like(energy)
    depth_of = depths(source, energy) if columns else {}
    for label, column in columns.items():
        passed = passed * np.exp(-column[:, None] * depth_of[label])
    density = np.exp(-0.5 * t * t) / np.sqrt(2 * np.pi) * (last - first)
    step = np.tile(0.5 * weight / _LINE_STEPS, _LINE_STEPS)
    return np.asarray(np.sum(norm * passed * energy**power * density * step, axis=1))


def _quadrature(low: float, high: float) -> tuple[Floats, Floats]:
    """Energies between two, and their weights in an integral over energy."""
    steps = max(4, int(np.ceil(_STEPS * np.log10(high / low))))
    edges = np.linspace(np.log(low), np.log(high), steps + 1)
    node, weight = np.polynomial.legendre.leggauss(_NODES)
    half = 0.5 * np.diff(edges)[:, None]
    energy = np.exp(0.5 * (edges[1:] + edges[:-1])[:, None] + half * node)
    return energy.ravel(), (half * weight * energy).ravel()


def _kev(energy: Any, name: str) -> float:
    from astropy import units

    try:
        value = float(energy.to_value(units.keV, equivalencies=units.spectral()))
    except (AttributeError, TypeError, units.UnitConversionError):
        raise DataError(f"{name}: {energy} is not an energy, such as 2 * u.keV") from None
    if not 0 < value < np.inf:
        raise DataError(f"{name}: {energy} is not a positive energy")
    return value


def _power(unit: str) -> tuple[int, float]:
    """Power of the energy in a flux of this unit, and the unit's factor."""
    from astropy import units

    try:
        wanted = units.Unit(unit)
    except ValueError:
        raise DataError(f"unit '{unit}': not a unit that astropy knows") from None
    per = (units.cm**2 * units.s) ** -1
    for photon in (units.ph, units.dimensionless_unscaled):
        for power in (0, 1, 2):
            ours = photon * units.keV**power * per
            if wanted.is_equivalent(ours):
                return power, float(ours.to(wanted))
    raise DataError(f"unit '{unit}': expected one of flux, such as erg / (cm2 s) or ph / (cm2 s)")


def _table(rows: dict[str, Floats], probability: float, unit: str) -> pd.DataFrame:
    if not 0 < probability < 1:
        raise DataError(f"probability {probability:g}: expected a number between 0 and 1")
    tail = 0.5 * (1 - probability)
    table = pd.DataFrame(
        {
            name: [x.mean(), x.std(), *np.quantile(x, [0.5, tail, 1 - tail])]
            for name, x in rows.items()
        },
        index=["mean", "sd", "median", *(f"{100 * p:g}%" for p in (tail, 1 - tail))],
    ).T
    table.attrs["unit"] = unit
    return table
