"""Values and priors of a model that are in another unit, or of another sign, than they seem."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from pyxstan.spectra.components import COMPONENTS

if TYPE_CHECKING:
    from pyxstan.spectra.data import LinkedSpectra
    from pyxstan.spectra.folding import Folded
    from pyxstan.spectra.parameters import Parameters

#: In 10^22 cm^-2 and above it, no gas lets X-rays through.
_OPAQUE = 1e4
#: Photon spectra that rise faster than this power of the energy are rare.
_RISING = 1.2
#: How far a temperature is above the highest energy at most, as a factor.
_HOT = 30.0


def doubts(data: LinkedSpectra, parameters: Parameters, spectra: list[Folded]) -> list[str]:
    """Say of which parameters the value, or the middle of the prior, is hard to believe."""
    middle = parameters.named(parameters.values(parameters.start()[None])[0][0])
    typical = {name: float(value) for name, value in middle.items()}
    found: list[str] = []
    for source in data.sources:
        for label in source.absorption:
            found += _of_column(f"{source.name}.{label}.NH", typical)
        edges = np.concatenate([one.grid.edges for one in spectra if source in one.sources])
        low, high = float(edges.min()), float(edges.max())
        for label, used in source.components.items():
            name = f"{source.name}.{label}"
            found += _of_component(used.kind, name, typical, low, high)
            own = {each: typical[f"{name}.{each}"] for each in used.settings}
            values = {each: np.asarray(x) for each, x in {**used.constants, **own}.items()}
            if mistake := COMPONENTS[used.kind].mistake(values):
                found.append(f"{name}: about {mistake}")
    return found


def _of_column(name: str, typical: dict[str, float]) -> Iterator[str]:
    if (value := typical[name]) > _OPAQUE:
        yield (
            f"{name}: about {value:.3g}, in 10^22 cm^-2, lets nothing through: if that is in "
            f"cm^-2, it is {value / 1e22:.3g} here (of a prior, its numbers)"
        )


def _of_component(
    kind: str, name: str, typical: dict[str, float], low: float, high: float
) -> Iterator[str]:
    index = typical.get(f"{name}.index", -2.0)
    if index > _RISING:
        yield (
            f"{name}.index: about {index:.3g} is a flux that rises as E^{index:.3g}: a photon "
            f"index of {index:.3g} is {-index:.3g} here"
        )
    mu = typical.get(f"{name}.mu", low)
    if kind == "gaussian_line" and not low <= mu <= high:
        yield (
            f"{name}.mu: about {mu:.4g} keV is outside the energies of the spectra, {low:.4g} to "
            f"{high:.4g} keV"
        )
    kT = typical.get(f"{name}.kT", low)
    if kT > _HOT * high:
        yield f"{name}.kT: about {kT:.4g} keV is far above {high:.4g} keV: is it in another unit?"
