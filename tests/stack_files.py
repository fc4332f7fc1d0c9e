"""Small files of samples as their makers write them: chains of UltraNest, netCDF of ArviZ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from pyxstan import inference_data


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


def result(
    file: Path,
    draws: Mapping[str, Any],
    priors: Mapping[str, str],
    *,
    complaints: Sequence[str] = (),
    model: str = "linked_spectra",
    one_variable: bool = True,
) -> Path:
    """Write a fit as pyxstan does: parameters over chain and draw, with what is said of them.

    Parameters
    ----------
    one_variable
        Whether all are entries of the variable ``value``, over ``parameter``.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    shape = np.shape(next(iter(draws.values())))
    coords: dict[str, Any] = {"chain": range(shape[0]), "draw": range(shape[1])}
    variables: dict[str, Any] = {name: (("chain", "draw"), x) for name, x in draws.items()}
    if one_variable:
        stacked = np.stack(list(draws.values()), axis=-1)
        variables = {"value": (("chain", "draw", "parameter"), stacked)}
        coords["parameter"] = list(draws)
    steady = {
        "diverging": (("chain", "draw"), np.zeros(shape, dtype=bool)),
        "tree_depth": (("chain", "draw"), np.full(shape, 2)),
        "energy": (("chain", "draw"), np.random.default_rng(1).normal(size=shape)),
    }
    every = {name: coords[name] for name in ("chain", "draw")}
    idata = inference_data.assemble(
        {"posterior": xr.Dataset(variables, coords=coords),
         "sample_stats": xr.Dataset(steady, coords=every)},
        {"model": model, "method": "nuts", "priors": json.dumps(dict(priors)),
         "complaints": json.dumps(list(complaints))},
    )  # fmt: skip
    inference_data.write(idata, file)
    return file
