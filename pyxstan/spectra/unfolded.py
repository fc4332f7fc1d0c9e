"""Spectra of sources as they are before any instrument: E^2 f(E), with and without absorption."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pyxstan.errors import DataError
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.fitted import Floats, band
from pyxstan.spectra.folding import depths, transmission
from pyxstan.spectra.model import Source, Used

#: Energies that a curve is drawn at, and around each line, to so many standard deviations.
_PLACES, _LINE_PLACES, _LINE = 300, 61, 5.0
#: A line that is sharper than this fraction of its energy is drawn as wide.
_SHARPEST = 0.003
_MOST_DRAWS = 1000


@dataclass(frozen=True, eq=False)
class UnfoldedSource:
    """E^2 f(E) of a source in keV/s/cm^2 at some energies, ends of bands and median first."""

    name: str
    #: keV.
    energy: Floats
    #: Absorbed, and without the absorption.
    total: Floats
    unabsorbed: Floats
    #: Medians of the components, absorbed.
    components: Mapping[str, Floats]
    absorbed: bool


def unfolded(
    source: Source, values: Mapping[str, Floats], low: float, high: float
) -> UnfoldedSource:
    """Unfold a source between two energies in keV.

    Parameters
    ----------
    values
        Draws of every parameter by name.
    """
    size = next(iter(values.values())).size
    kept = np.unique(np.linspace(0, size - 1, min(size, _MOST_DRAWS)).astype(int))
    draws = {name: np.ravel(x)[kept] for name, x in values.items()}
    of = {
        label: {name: draws[f"{source.name}.{label}.{name}"] for name in used.settings}
        for label, used in source.components.items()
    }
    energy = _energies(source, of, low, high)
    passed = transmission(source, draws, depths(source, energy), len(energy))
    bare = {
        label: energy**2 * _flux(used, of[label], energy)
        for label, used in source.components.items()
    }
    whole = np.sum(list(bare.values()), axis=0)
    return UnfoldedSource(
        name=source.name,
        energy=energy,
        total=band(whole * passed),
        unabsorbed=band(whole),
        components={label: band(flux * passed)[2] for label, flux in bare.items()},
        absorbed=bool(source.absorption),
    )


def _energies(
    source: Source, of: Mapping[str, Mapping[str, Floats]], low: float, high: float
) -> Floats:
    """Evenly spaced in the logarithm, and closely around lines."""
    found = [np.geomspace(low, high, _PLACES)]
    for label, used in source.components.items():
        if COMPONENTS[used.kind].narrow:
            mu = np.median(of[label]["mu"])
            sigma = max(float(np.median(of[label]["sigma"])), _SHARPEST * float(mu))
            found.append(mu + sigma * np.linspace(-_LINE, _LINE, _LINE_PLACES))
    energy = np.unique(np.concatenate(found))
    return energy[(energy >= low) & (energy <= high)]


def _flux(used: Used, own: Mapping[str, Floats], energy: Floats) -> Floats:
    """Photons / s / cm^2 / keV, shape (draws, energies); NaN for what isn't defined."""
    entry = COMPONENTS[used.kind]
    if entry.narrow:
        own = {**own, "sigma": np.maximum(own["sigma"], _SHARPEST * own["mu"])}
    try:
        return entry.flux(energy, **own, **used.constants)
    except DataError:
        draws = len(next(iter(own.values())))
        if draws == 1:
            return np.full((1, len(energy)), np.nan)
    rows = [
        _flux(used, {name: x[k : k + 1] for name, x in own.items()}, energy) for k in range(draws)
    ]
    return np.concatenate(rows)
