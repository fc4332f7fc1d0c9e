"""Small files of samples as their makers write them: chains of UltraNest, netCDF of ArviZ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr


def equal_weighted(run: Path, columns: Mapping[str, Sequence[float]]) -> Path:
    """Write the chains of a run with samples of equal weight."""
    file = run / "chains" / "equal_weighted_post.txt"
    file.parent.mkdir(parents=True)
    np.savetxt(file, np.column_stack(list(columns.values())), header=" ".join(columns), comments="")
    return file


def weighted(run: Path, weights: Sequence[float], columns: Mapping[str, Sequence[float]]) -> Path:
    """Write the chains of a run with weighted samples."""
    file = equal_weighted(run, {"weight": weights, "logl": [-1e300] * len(weights), **columns})
    return file.rename(file.with_name("weighted_post.txt"))


def netcdf(file: Path, variables: Mapping[str, Any], group: str = "posterior") -> Path:
    """Write a netCDF file as ArviZ does, without a word of pyxstan."""
    file.parent.mkdir(parents=True, exist_ok=True)
    xr.Dataset(dict(variables)).to_netcdf(file, group=group, engine="h5netcdf")
    return file
