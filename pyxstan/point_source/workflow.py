"""The workflow of `point_source`: what `pyxstan.registry.Family` asks for."""

from pathlib import Path
from typing import Any

from pyxstan.errors import DataError
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.figures import figures
from pyxstan.point_source.problem import prepare
from pyxstan.point_source.samples_file import read
from pyxstan.point_source.simulation import simulate, write

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "write"]


def as_data(data: Any) -> PointSourceData:
    """Turn what `pyxstan.fit` was given into `PointSourceData`."""
    if isinstance(data, PointSourceData):
        return data
    if isinstance(data, str | Path):
        return PointSourceData.read(data)
    raise DataError(
        f"point_source: got {type(data).__name__}, expected PointSourceData or a SAMPLES.yaml"
    )
