"""From files to `PosteriorSamples`: text, runs of UltraNest and BXA, netCDF, tables."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan import inference_data
from pyxstan.errors import DataError
from pyxstan.stacking import own_results
from pyxstan.stacking.chain_files import is_chain, read_chain, read_chains, refuse_other_formats
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.naming import listed, object_names, some
from pyxstan.stacking.object_tables import (
    read_covariates,
    read_frame,
    read_objects,
    read_selection,
)
from pyxstan.stacking.runs import find_runs, folders_of_runs, is_run, parameters_of, read_runs
from pyxstan.stacking.text_rows import head_of, lines_of, read_text
from pyxstan.text_tables import is_number

if TYPE_CHECKING:
    import xarray as xr

__all__ = [
    "read_chains",
    "read_covariates",
    "read_frame",
    "read_inputs",
    "read_netcdf",
    "read_runs",
    "read_selection",
    "read_text",
]

_NETCDF_MAGIC = (b"\x89HDF", b"CDF\x01", b"CDF\x02")
_FITS_MAGIC = b"SIMPLE  ="
_DRAWS = ("chain", "draw")
#: Kinds of input, in the words of messages.
_TEXT, _TABLE, _RUNS, _NETCDF = "text with an object a row", "a table", "a folder of runs", "netCDF"
_CHAIN = "a file of one object"
#: Files of one object each, in a folder of nothing but them.
_CHAIN_FILES = ("*chain.fits", "*post_equal_weights.dat", "*.json", "*.csv", "*.ecsv", "*.fits",
                "*.txt")  # fmt: skip
_SAMPLES = "samples (text, runs of UltraNest, netCDF or a table)"


def read_inputs(inputs: Sequence[Path], options: Mapping[str, Any]) -> PosteriorSamples:
    """Read the command line's input files, told apart by what they are.

    Parameters
    ----------
    inputs
        A text file with one object a row, or a table with a column ``object``; or folders of runs
        of UltraNest or BXA, each of one run or of many; or netCDF files, or a folder of them.
    options
        ``name`` of the parameter, or of several with commas between (needed unless the input is a
        text file); ``prior`` in words, for all or as ``a=loguniform;b=normal(0, 1)``;
        ``covariates`` and ``selection``: files of tables.

    Raises
    ------
    DataError
        Inputs of different kinds or of none, no name; and whatever the readers find wrong.
    """
    if not inputs:
        raise DataError(
            "no input, expected a text file with one object a row, runs of UltraNest, netCDF files "
            "or a table"
        )
    paths = [Path(path) for path in inputs]
    kinds = [_kind(path) for path in paths]
    if len(paths) > 1 and set(kinds) <= {_TEXT, _TABLE, _CHAIN}:
        for path, found in zip(paths, kinds, strict=True):
            if found == _TABLE and read_objects(path, "samples").has("object"):
                raise DataError(f"expected one file of samples, got {len(paths)}: {some(paths)}")
        kinds = [_CHAIN] * len(paths)  # a file an object
    kind = kinds[0]
    if len(set(kinds)) > 1:
        other = next(k for k, found in enumerate(kinds) if found != kind)
        raise DataError(
            f"{paths[0]} is {kind}, but {paths[other]} is {kinds[other]}: "
            "expected inputs of one kind"
        )
    names = _split(options.get("name") or "")
    known: dict[str, Any] = {
        key: options[key] for key in ("covariates", "selection") if options.get(key) is not None
    }
    if options.get("prior") is not None:
        known["prior"] = _priors(str(options["prior"]))
    if kind == _TEXT:
        return PosteriorSamples.from_text(paths[0], parameters=names or "x", **known)
    if not names:
        names = _parameters_in(kind, paths[0])
        if not names:
            raise DataError(f"{paths[0]}: no column of samples, expected numbers, one a row")
    if len(names) > 1 and not options.get("name"):
        raise DataError(
            f"option name: expected the parameter to stack, {paths[0]} has {some(names)}"
        )
    if kind == _TABLE:
        return PosteriorSamples.from_frame(paths[0], names, **known)
    if kind == _RUNS:
        return PosteriorSamples.from_runs(paths[0] if len(paths) == 1 else paths, names, **known)
    if kind == _CHAIN:
        chains = read_chains([file for path in paths for file in _chain_files(path)], names)
        return PosteriorSamples.from_arrays(**chains, **known)
    files = [file for path in paths for file in _netcdf_files(path)]
    return PosteriorSamples.from_netcdf(files, names, **known)


def _kind(path: Path) -> str:
    """What an input is."""
    if path.is_dir():
        if is_run(path) or folders_of_runs(path):
            return _RUNS
        if any(path.glob("*.nc")):
            return _NETCDF
        return _CHAIN if path.exists() and _chain_files(path) else _RUNS
    head = head_of(path, _SAMPLES)
    refuse_other_formats(path, head)
    if head.startswith(_NETCDF_MAGIC):
        return _NETCDF
    if is_chain(path):
        return _CHAIN
    if head.startswith(_FITS_MAGIC):
        return _TABLE
    for _, line in lines_of(path, _SAMPLES):
        if not line.lstrip().startswith("#"):
            words = [word.strip('"') for word in line.replace(",", " ").split()]
            named = "object" in map(str.lower, words) or not any(map(is_number, words))
            return _TABLE if named else _TEXT
    return _TEXT


def _parameters_in(kind: str, path: Path) -> list[str]:
    """What an input has samples of."""
    if kind == _TABLE:
        table = read_objects(path, "samples")
        table.require(["object"])
        return [str(x) for x in table.frame.columns if x not in ("object", "weight")]
    if kind == _RUNS:
        return parameters_of(next(iter(find_runs(path)[0].values())))
    if kind == _CHAIN:
        return list(read_chain(_chain_files(path)[0]).columns)
    with _posterior(_netcdf_files(path)[0]) as posterior:
        return _variables(posterior)


def _chain_files(path: Path) -> list[Path]:
    """The files of one object each that a path stands for: it, or of one kind in a folder."""
    if not path.is_dir():
        return [path]
    for pattern in _CHAIN_FILES:
        found = sorted(path.glob(pattern)) or sorted(path.glob(f"*/{pattern}"))
        if found:
            return found
    return []


def _split(names: str) -> list[str]:
    """Names between commas, but not between those in brackets."""
    pieces, depth = [""], 0
    for letter in names:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth <= 0:
            pieces.append("")
        else:
            pieces[-1] += letter
    return [piece.strip() for piece in pieces if piece.strip()]


def _priors(words: str) -> str | dict[str, str]:
    """One prior for all parameters, or one by parameter."""
    if "=" not in words:
        return words
    found: dict[str, str] = {}
    for piece in filter(str.strip, words.split(";")):
        name, equals, prior = (part.strip() for part in piece.rpartition("="))
        if not (name and equals and prior):
            raise DataError(f"option prior: '{piece.strip()}' is not parameter=prior")
        if name in found:
            raise DataError(f"option prior: {name} is there twice")
        found[name] = prior
    return found


def read_netcdf(
    files: str | Path | Sequence[str | Path], parameters: str | Sequence[str]
) -> dict[str, Any]:
    """Read samples from netCDF files of ArviZ, whoever wrote them: one object a file.

    Parameters
    ----------
    files
        The files, or a folder of ``*.nc``. An object is named after its file.
    parameters
        Variables of the posterior, over chain and draw; one with more dims is named with its
        coordinates, as in ``B[chandra]``.

    Returns
    -------
    dict
        Arguments of `PosteriorSamples.from_arrays`.

    Raises
    ------
    DataError
        No such file, not netCDF, no posterior, no such variable or coordinate.
    """
    wanted = listed(parameters)
    given = [files] if isinstance(files, str | Path) else files
    found = [file for path in given for file in _netcdf_files(Path(path))]
    samples, recorded, verdicts, units = [], [], [], []
    for file in found:
        attrs = own_results.attributes(file)
        with _posterior(file) as posterior:
            samples.append(np.column_stack([_flattened(posterior, name, file) for name in wanted]))
            recorded.append(own_results.recorded_priors(file, attrs, wanted))
            units.append({name: _unit(posterior, name) for name in wanted})
        verdicts.append(own_results.verdict_of(file, attrs))
    objects = object_names([file.with_suffix("") for file in found])
    return {
        "samples": samples,
        "parameters": wanted,
        "objects": objects,
        "weights": None,
        "source": str(given[0]) if len(given) == 1 else f"{len(found)} netCDF files",
        "notes": (),
        "recorded": recorded,
        "units": units,
        "complaints": own_results.complaints(dict(zip(objects, verdicts, strict=True))),
    }


def _netcdf_files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(path.glob("*.nc"))
    if not found:
        raise DataError(f"{path}: no netCDF file (*.nc) in it")
    return found


def _posterior(file: Path) -> xr.Dataset:
    return inference_data.open_group(file, "posterior")


def _variables(posterior: xr.Dataset) -> list[str]:
    """Names that `_flattened` takes."""
    names = []
    for variable, values in posterior.data_vars.items():
        more = [dim for dim in values.dims if dim not in _DRAWS]
        labels = [f"[{label}]" for label in values[more[0]].to_numpy()] if len(more) == 1 else [""]
        names += [f"{variable}{label}" for label in labels if len(more) < 2]
    return names


def _unit(posterior: xr.Dataset, name: str) -> str:
    """The unit of a variable, or of its entry; empty where none is stated."""
    variable, label, _ = _found(posterior, name)
    values = posterior[variable]
    if "unit" in values.coords and label:
        (dim,) = values["unit"].dims
        labels = [str(one) for one in values[dim].to_numpy()]
        return str(values["unit"].to_numpy()[labels.index(label)])
    return str(values.attrs.get("units", ""))


def _found(posterior: xr.Dataset, name: str) -> tuple[str, str, bool]:
    """The variable that a name stands for, the entry of it, and whether it is there."""
    bracket = re.fullmatch(r"(.+)\[(.*)\]", name)
    variable, label = name, ""
    if name not in posterior.data_vars and bracket:
        variable, label = bracket[1], bracket[2].strip()
        if variable not in posterior.data_vars and label in posterior.data_vars:
            variable, label = label, ""
    elif name not in posterior.data_vars and name in posterior.coords.get("parameter", ()):
        variable, label = "value", name
    return variable, label, variable in posterior.data_vars


def _flattened(posterior: xr.Dataset, name: str, file: Path) -> Floats:
    """Draws of a variable, or of one of its coordinates, from all chains."""
    variable, label, there = _found(posterior, name)
    if not there:
        raise DataError(
            f"{file}: no '{variable}' in the posterior, but {some(_variables(posterior))}"
        )
    values = posterior[variable]
    more = [dim for dim in values.dims if dim not in _DRAWS]
    if len(values.dims) - len(more) != len(_DRAWS) or len(more) > 1:
        raise DataError(
            f"{file}: {variable} has dims {', '.join(map(str, values.dims))}, "
            "expected chain, draw and at most one more"
        )
    if more:
        labels = [str(one) for one in values[more[0]].to_numpy()]
        if label not in labels:
            asked = f"no {more[0]} '{label}'" if label else f"one value for each {more[0]}"
            raise DataError(
                f"{file}: {variable} has {asked}, name one as in {variable}[{labels[0]}]; "
                f"there are {some(labels)}"
            )
        values = values.isel({more[0]: labels.index(label)})
    elif label:
        raise DataError(f"{file}: {variable} is one number, but '{name}' asks for a coordinate")
    if values.dtype.kind not in "iuf":
        raise DataError(f"{file}: {variable} does not hold numbers")
    try:
        return values.transpose(*_DRAWS).to_numpy().astype(float).ravel()
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{file}: {variable} can't be read ({reason})") from None
