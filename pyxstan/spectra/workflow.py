"""The workflow of the spectra: what `pyxstan.registry.Family` asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyxstan.errors import DataError
from pyxstan.spectra.absorption import BUILT_IN
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.data import LinkedSpectra
from pyxstan.spectra.figures import figures
from pyxstan.spectra.problem import prepare
from pyxstan.spectra.simulation import simulate
from pyxstan.spectra.yaml_model import write

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "vocabulary", "write"]


def read(inputs: Sequence[Path], options: Mapping[str, Any]) -> LinkedSpectra:
    """Read a YAML file, which names the spectra and writes down their model."""
    if len(inputs) != 1:
        raise DataError("linked_spectra: expected one YAML file, which names the spectra")
    return LinkedSpectra.from_yaml(inputs[0])


def vocabulary() -> list[str]:
    """The components, and how their parameters are set."""
    lines = ["Components (photons/s/cm^2/keV at the energy E):"]
    for entry in COMPONENTS.values():
        lines.append(f"  {entry.name}: {entry.formula}")
        for part in (entry.parameters, entry.constants):
            lines += [
                f"    {p.name}{f' [{p.unit}]' if p.unit else ''}: {p.description}" for p in part
            ]
    return [
        *lines,
        "  behind absorption: NH [1e22 cm^-2], at a redshift; cross sections of "
        f"{BUILT_IN}, unless a table has others",
        "Parameters: a number holds one, a prior such as 'lognormal(0, 1)' frees it, "
        "'= 2 * a.pl.K' links it, 'from NAME' draws it from a population.",
        "A model that is written down: pyxstan describe linked_spectra MODEL.yaml",
    ]


def as_data(data: Any) -> LinkedSpectra:
    """What `fit` was given: `LinkedSpectra`, or the path of a YAML file."""
    if isinstance(data, LinkedSpectra):
        return data
    if isinstance(data, str | Path):
        return LinkedSpectra.from_yaml(data)
    raise DataError(
        f"linked_spectra: expected LinkedSpectra or a YAML file, not {type(data).__name__}"
    )
