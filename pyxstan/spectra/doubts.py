"""What a model's values and priors make doubtful before it is fitted.

They may be in another unit, or of another sign, than they seem, or the same for two parts of a
source, which then may change roles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.model import Linked

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


def twins(data: LinkedSpectra, parameters: Parameters) -> list[str]:
    """Say which components, or absorbers, of a source could change names."""
    settings = {p.name: p.setting for p in parameters.all}
    links = {name: one.expression for name, one in settings.items() if isinstance(one, Linked)}

    def alike(one: str, other: str, names: Sequence[str]) -> bool:
        pairs = [(f"{one}.{name}", f"{other}.{name}") for name in names]
        tied = [pair for pair in pairs if pair in links.items() or pair[::-1] in links.items()]
        if any(settings[a] != settings[b] for a, b in pairs if (a, b) not in tied):
            return False
        between = {name for pair in tied for name in pair}
        if any(
            f"{part}." in links[name] for part in (one, other) for name in links.keys() - between
        ):
            return False
        return any(not isinstance(settings[a], float | Linked) for a, _ in set(pairs) - set(tied))

    found = []
    for source in data.sources:
        parts = [
            (label, list(used.settings), (used.kind, used.constants))
            for label, used in source.components.items()
        ] + [
            (label, ["NH"], (absorber.redshift, absorber.cross_sections))
            for label, absorber in source.absorption.items()
        ]
        for (one, names, kind), (other, _, its_kind) in combinations(parts, 2):
            if kind == its_kind and alike(f"{source.name}.{one}", f"{source.name}.{other}", names):
                found.append(
                    f"{source.name}.{one} and {source.name}.{other} have the same priors: with "
                    "their names exchanged every solution is another as likely, at which chains "
                    "may not arrive: give them different priors, or know them as a pair"
                )
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
