"""Datasets as netCDF-4, written by h5py.

A netCDF-4 file is an HDF5 file with conventions: the dimensions of a group are "dimension scales",
which its variables refer to. `xarray` writes the same by way of h5netcdf, which takes ten times as
long for the many small variables of a fit: half of all that a batch of small fits costs.
"""

from __future__ import annotations

import importlib
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

#: What a dimension without coordinates is called (netCDF User's Guide, "Dimension scales").
_NO_VARIABLE = "This is a netCDF dimension but not a netCDF variable."


def write(path: Path, groups: Mapping[str, xr.Dataset]) -> None:
    """Write datasets as the groups of a new file.

    Parameters
    ----------
    path
        The file; one that is there is replaced.
    groups
        By the group's path, "/" being the file itself.

    Raises
    ------
    DataError
        An attribute is of a kind that netCDF doesn't have.
    OSError
        The file can't be written.
    """
    h5py = importlib.import_module("h5py")  # which has no types
    with h5py.File(path, "w", track_order=True) as file:
        for name, dataset in groups.items():
            place = file if name == "/" else file.create_group(name, track_order=True)
            _write_group(h5py, place, dataset)


def _write_group(h5py: Any, place: Any, dataset: xr.Dataset) -> None:
    from xarray import conventions

    # as the values are, not as a file had them that they were read from
    variables, attributes = conventions.encode_dataset_coordinates(dataset.drop_encoding())
    _set_attributes(h5py, place, attributes)
    encoded = {name: conventions.encode_cf_variable(v, name=name) for name, v in variables.items()}
    for name, size in dataset.sizes.items():
        if name not in encoded:
            place.create_dataset(str(name), (size,), ">f4").make_scale(f"{_NO_VARIABLE}{size:10d}")
    for name, variable in encoded.items():
        values = np.asarray(variable.values)
        text = values.dtype.kind in "OU"
        made = place.create_dataset(
            str(name),
            data=values.astype(object) if text else values,
            dtype=h5py.string_dtype() if text else values.dtype,
            track_order=True,
        )
        if name in dataset.sizes:
            made.make_scale(str(name))
        # NaN is no value to be filled in: it may be there
        _set_attributes(h5py, made, {k: v for k, v in variable.attrs.items() if k != "_FillValue"})
    for name, variable in encoded.items():
        if name not in dataset.sizes:
            for axis, dim in enumerate(variable.dims):
                place[str(name)].dims[axis].attach_scale(place[str(dim)])


def _set_attributes(h5py: Any, place: Any, attributes: Mapping[Hashable, Any]) -> None:
    for key, value in attributes.items():
        kind = np.asarray(value).dtype.kind
        if kind not in "biufUS":
            raise DataError(
                f"attribute '{key}' of '{place.name}' is a {type(value).__name__}: netCDF has "
                "text and numbers alone"
            )
        if kind == "b":  # not in netCDF either
            value = np.asarray(value, dtype=np.int8)
        many = np.ndim(value) > 0
        if kind == "U":
            dtype = h5py.string_dtype()
            value = np.asarray(value, dtype=object) if many else str(value)
            place.attrs.create(str(key), value, dtype=dtype)
        else:
            place.attrs[str(key)] = value if many else np.atleast_1d(value)
