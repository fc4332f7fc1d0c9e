"""The workflow of the spectra: what `pyxstan.registry.Family` asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyxstan.errors import DataError
from pyxstan.spectra.data import LinkedSpectra
from pyxstan.spectra.figures import figures
from pyxstan.spectra.problem import prepare
from pyxstan.spectra.simulation import simulate
from pyxstan.spectra.yaml_model import write

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "write"]


def read(inputs: Sequence[Path], options: Mapping[str, Any]) -> LinkedSpectra:
    """Read a YAML file, which names the spectra and writes down their model."""
    if len(inputs) != 1:
        raise DataError("linked_spectra: expected one YAML file, which names the spectra")
    return LinkedSpectra.from_yaml(inputs[0])


def as_data(data: Any) -> LinkedSpectra:
    """What `fit` was given: `LinkedSpectra`, or the path of a YAML file."""
    if isinstance(data, LinkedSpectra):
        return data
    if isinstance(data, str | Path):
        return LinkedSpectra.from_yaml(data)
    raise DataError(
        f"linked_spectra: expected LinkedSpectra or a YAML file, not {type(data).__name__}"
    )
