"""The one place that knows which ArviZ is installed: InferenceData (0.2x) or DataTree (1.x)."""

from __future__ import annotations

import errno
import importlib
import math
import os
import shutil
import tempfile
import warnings
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyxstan import netcdf, output
from pyxstan.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import xarray as xr

#: Importance weights that have a tail to fit.
_FEWEST_WEIGHTS = 25
#: Bytes of a netCDF file that are not values of its variables, at most.
_OVERHEAD = 500_000


@cache
def uses_datatree() -> bool:
    """Whether the installed ArviZ is 1.x, whose inference data is an `xarray.DataTree`."""
    return int(version("arviz").split(".")[0]) >= 1


@cache
def arviz() -> Any:
    """ArviZ, without the notice that 0.2x prints about 1.x."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            return importlib.import_module("arviz")
        except FileNotFoundError:  # two processes gave that notice at once, the first of the day
            return importlib.import_module("arviz")
        except OSError:  # ... whose day is kept in a home that is read-only or full
            with tempfile.TemporaryDirectory() as folder, _environment("XDG_CACHE_HOME", folder):
                return importlib.import_module("arviz")


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    """Set a variable of the environment for a while."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def assemble(groups: Mapping[str, xr.Dataset], attrs: Mapping[Hashable, Any]) -> Any:
    """Make inference data of named datasets, with `attrs` on the whole."""
    if uses_datatree():
        import xarray as xr

        tree = xr.DataTree.from_dict({f"/{name}": dataset for name, dataset in groups.items()})
        tree.attrs.update(attrs)
        return tree
    return arviz().InferenceData(**groups, attrs=dict(attrs))


def group_names(idata: Any) -> list[str]:
    """The names of the groups."""
    _check(idata)
    return list(idata.children) if uses_datatree() else list(idata.groups())


def group(idata: Any, name: str) -> xr.Dataset:
    """One group as a dataset."""
    if name not in group_names(idata):
        raise DataError(f"the inference data has no group '{name}'")
    found = idata[name]
    dataset: xr.Dataset = found.to_dataset() if uses_datatree() else found
    return dataset


def attributes(idata: Any) -> dict[str, Any]:
    """The attributes of the whole (model, seed, options ...)."""
    _check(idata)
    return dict(idata.attrs)


def pareto_k(log_weights: npt.NDArray[np.float64]) -> float:
    """Pareto's k of importance weights, -inf where they are too few or too alike to have a tail."""
    largest = sorted(log_weights)[-_FEWEST_WEIGHTS:]
    if log_weights.size < _FEWEST_WEIGHTS or largest[0] == largest[-1]:
        return -math.inf
    if uses_datatree():
        array_stats = importlib.import_module("arviz_stats.base").array_stats
        return float(array_stats.psislw(-log_weights)[1])
    import xarray as xr

    return float(arviz().psislw(xr.DataArray(log_weights, dims="__sample__"))[1])


def _check(idata: Any) -> None:
    if not hasattr(idata, "children" if uses_datatree() else "groups"):
        raise DataError(f"expected what pyxstan.fit returned, got {type(idata).__name__}")


def write(idata: Any, path: Path) -> None:
    """Write netCDF.

    Raises
    ------
    OSError
        There is no room for it, or it can't be written for another reason.
    """
    groups = _groups(idata)
    _reserve(path, int(1.02 * sum(each.nbytes for each in groups.values())) + _OVERHEAD)
    try:
        netcdf.write(path, groups)
    except RuntimeError as error:
        raise OSError(errno.EIO, " ".join(str(error).split()), str(path)) from error


def _groups(idata: Any) -> dict[str, xr.Dataset]:
    """All groups by their paths, "/" being the whole."""
    import xarray as xr

    if uses_datatree():
        return {node.path: node.to_dataset(inherit=False) for node in idata.subtree}
    named = {f"/{name}": idata[name] for name in idata.groups()}
    return {"/": xr.Dataset(attrs=dict(idata.attrs)), **named}


def save(idata: Any, path: str | Path) -> None:
    """Write the result of a fit as netCDF, atomically.

    Parameters
    ----------
    idata
        What `pyxstan.fit` returned.
    path
        The file; one that is there is replaced when the new one is whole.

    Raises
    ------
    DataError
        Not a result of a fit, or the file can't be written.
    """
    _check(idata)
    with output.replacing(Path(path)) as temporary:
        write(idata, temporary)


def load(path: str | Path) -> Any:
    """Read the result of a fit that `save` or the command line wrote, into memory.

    Returns
    -------
    arviz.InferenceData or xarray.DataTree
        Depending on the ArviZ installed (0.2x or 1.x).

    Raises
    ------
    DataError
        No such file, or not a result of pyxstan.
    """
    return read(path).load()


def _reserve(path: Path, size: int) -> None:
    """Find out whether there is room: HDF5 crashes when the disk is full or a quota is reached."""
    if shutil.disk_usage(path.parent).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
    path.unlink()


def read(path: str | Path) -> Any:
    """Read netCDF that `write` wrote.

    Raises
    ------
    DataError
        No such file, or not a pyxstan result.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        if uses_datatree():
            import xarray as xr

            idata: Any = xr.open_datatree(path, engine="h5netcdf")
        else:
            idata = arviz().from_netcdf(str(path), engine="h5netcdf")
    except Exception as error:
        raise DataError(f"{path}: not a netCDF file of a fit ({error})") from None
    if "model" not in idata.attrs or "posterior" not in group_names(idata):
        raise DataError(f"{path}: not a result of pyxstan (no posterior or no model name)")
    return idata


def open_group(path: str | Path, name: str) -> xr.Dataset:
    """Open one group of netCDF that any version of ArviZ wrote, to be closed by the caller.

    Raises
    ------
    DataError
        No such file or group, or not netCDF.
    """
    import xarray as xr

    path = Path(path)
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected a netCDF file")
    try:
        # A unit like "days" is a parameter's, not one of dates to be decoded.
        return xr.open_dataset(path, group=name, engine="h5netcdf", decode_times=False)
    except Exception as error:
        if "group not found" in str(error):
            raise DataError(f"{path}: no group '{name}', not a netCDF file of ArviZ") from None
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a netCDF file of ArviZ ({reason})") from None
