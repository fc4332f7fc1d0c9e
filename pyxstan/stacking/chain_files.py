"""Files of samples that hold one object each, in the formats of samplers and as plain tables.

Read are chains of XSPEC (BXA's ``chain.fits``), MultiNest's ``post_equal_weights.dat``, chains of
GetDist (CosmoMC, Cobaya), results of bilby, and tables with a column a parameter. Formats that
aren't read are named.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan import tables
from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.stacking.data import Floats
from pyxstan.stacking.naming import listed, object_names, some
from pyxstan.stacking.object_tables import WEIGHT, read_objects
from pyxstan.stacking.sample_priors import Recorded, Unknown
from pyxstan.stacking.text_rows import head_of, lines_of, numbers_of
from pyxstan.text_tables import is_number

_EXPECTED = "samples (text, runs of UltraNest, netCDF or a table)"
_EQUAL_WEIGHTS = "post_equal_weights.dat"
_CHAIN_NUMBER = re.compile(r"[._]\d+$")
#: First bytes of what is not read, and its name.
_REFUSED = {
    b"\x80\x02": "a pickle", b"\x80\x03": "a pickle", b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle", b"PK\x03\x04": "a NumPy archive (npz) or another zip file",
    b"\x93NUMPY": "an array of NumPy (npy)",
}  # fmt: skip
_INSTEAD = "write the samples as a table or netCDF, or give them to PosteriorSamples.from_arrays"
#: Families of bilby's priors that are divided out, with the names of their numbers.
_BILBY = {
    "Uniform": ("uniform", "minimum", "maximum"),
    "LogUniform": ("loguniform", "minimum", "maximum"),
    "Gaussian": ("normal", "mu", "sigma"),
    "Normal": ("normal", "mu", "sigma"),
    "LogNormal": ("lognormal", "mu", "sigma"),
    "LogGaussian": ("lognormal", "mu", "sigma"),
    "HalfGaussian": ("half_normal", "sigma"),
    "HalfNormal": ("half_normal", "sigma"),
}


@dataclass(frozen=True)
class Chain:
    """The samples of one object."""

    columns: Mapping[str, Floats]
    weights: Floats | None = None
    #: By parameter what is said of its prior.
    recorded: Recorded = field(default_factory=dict)
    #: The table that it was read from, if from one with names.
    table: tables.Table | None = None


def refuse_other_formats(path: Path, head: bytes) -> None:
    """Name the format of a file of samples that can't be read."""
    if head.startswith(b"\x89HDF"):
        _refuse_other_hdf5(path)
    for magic, name in _REFUSED.items():
        if head.startswith(magic):
            of = ", as dynesty and others write it," if name == "a pickle" else ""
            raise DataError(f"{path}: {name}{of} is not read: {_INSTEAD}")


def _refuse_other_hdf5(path: Path) -> None:
    """Name the maker of an HDF5 file that isn't ArviZ's."""
    h5py = importlib.import_module("h5py")  # which has no types
    try:
        with h5py.File(path, "r") as file:
            groups = set(file)
    except OSError:
        return  # the reader of netCDF says why
    for group, maker in (("mcmc", "a chain of emcee"), ("points", "points of UltraNest")):
        if group in groups and "posterior" not in groups:
            instead = "arviz.from_emcee(sampler).to_netcdf(...)" if group == "mcmc" else _INSTEAD
            raise DataError(f"{path}: {maker} (HDF5) is not read: {instead}")


def is_chain(path: Path) -> bool:
    """Whether a file holds the samples of one object, in a format that says so."""
    return _reader(path) is not None


def _reader(path: Path) -> Any:
    if path.name.endswith(_EQUAL_WEIGHTS):
        return _multinest
    if path.suffix == ".txt" and _names_of_getdist(path) is not None:
        return _getdist
    head = head_of(path, _EXPECTED)
    if head.lstrip().startswith(b"{"):
        return _bilby
    if head.startswith(b"SIMPLE  =") and not read_objects(path, "samples").has("object"):
        return _table
    return None


def read_chain(path: Path) -> Chain:
    """Read the samples of one object.

    Raises
    ------
    DataError
        No such file, another format, or what is in it is not samples.
    """
    found: Chain = (_reader(path) or _table)(path)
    return found


def read_chains(
    files: str | Path | Sequence[str | Path], parameters: str | Sequence[str]
) -> dict[str, Any]:
    """Read samples from files that hold one object each.

    Parameters
    ----------
    files
        Files of MultiNest, GetDist, bilby, XSPEC or BXA, or tables with a column a parameter (and
        maybe ``weight``). An object is named after its file.
    parameters
        Names of the columns.

    Returns
    -------
    dict
        Arguments of `PosteriorSamples.from_arrays`.

    Raises
    ------
    DataError
        No such file or parameter, or another format.
    """
    wanted = listed(parameters)
    paths = [Path(file) for file in ([files] if isinstance(files, str | Path) else files)]
    samples, weights, recorded, units = [], [], [], []
    for path in paths:
        chain = read_chain(path)
        if chain.table is not None:
            _check_columns(chain.table, wanted)
        for name in wanted:
            if name not in chain.columns and set(chain.columns) != {""}:
                raise DataError(f"{path}: no '{name}', but {some(list(chain.columns))}")
        columns = [chain.columns[name if name in chain.columns else ""] for name in wanted]
        if len({len(column) for column in columns}) > 1:
            sizes = [f"{len(x)} of {name}" for name, x in zip(wanted, columns, strict=True)]
            raise DataError(f"{path}: samples: {some(sizes)}, expected as many of each")
        samples.append(np.column_stack(columns))
        weights.append(np.ones(len(samples[-1])) if chain.weights is None else chain.weights)
        recorded.append({name: chain.recorded[name] for name in wanted if name in chain.recorded})
        units.append({} if chain.table is None else chain.table.units)
    objects, members = _by_object(paths)
    several = [path.name for path, files in zip(objects, members, strict=True) if len(files) > 1]
    return {
        "samples": [np.concatenate([samples[k] for k in files]) for files in members],
        "parameters": wanted,
        "objects": object_names(objects),
        "weights": [np.concatenate([weights[k] for k in files]) for files in members],
        "source": str(paths[0]) if len(paths) == 1 else f"{len(paths)} files",
        "notes": (f"chains of one object are taken together: {some(several)}",) * bool(several),
        "recorded": [recorded[files[0]] for files in members],
        "units": [units[files[0]] for files in members],
    }


def _check_columns(table: tables.Table, wanted: Sequence[str]) -> None:
    """Raise where one that is wanted isn't numbers, or weights have another name than ours."""
    for name in filter(table.has, wanted):
        table.numbers(name)
    if "weight" in table.frame.columns:
        return
    for name in map(str, table.frame.columns):
        if name not in wanted and WEIGHT.fullmatch(name.lower()):
            raise DataError(
                f"{table.source}: column '{name}' looks like weights: call it 'weight', or leave "
                "it out"
            )


def _by_object(paths: Sequence[Path]) -> tuple[list[Path], list[list[int]]]:
    """What objects are named after, and the files of each: of GetDist, one or several chains."""
    objects: list[Path] = []
    members: list[list[int]] = []
    for k, path in enumerate(paths):
        names = _names_of_getdist(path) if path.suffix == ".txt" else None
        numbered = names is not None and names.stem != path.stem
        named = names.with_suffix("") if numbered and names else None
        if named in objects and path not in paths[:k]:
            members[objects.index(named)].append(k)
        else:
            objects.append(named or path.with_name(path.name.split(".")[0]))
            members.append([k])
    return objects, members


def _rows(path: Path, columns: int | None = None) -> Floats:
    """A table of numbers without a header."""
    found = []
    for number, line in lines_of(path, _EXPECTED):
        text = line.partition("#")[0]
        if not text.strip():
            continue
        row = numbers_of(f"{path}: line {number}", text.split())
        columns = columns or len(row)
        if len(row) != columns:
            raise DataError(f"{path}: line {number}: {len(row)} numbers, expected {columns}")
        found.append(row)
    if not found:
        raise DataError(f"{path}: no samples, nothing but comments")
    return np.array(found)


def _multinest(path: Path) -> Chain:
    """MultiNest's samples of equal weight: the parameters, and ln L last."""
    root = path.name.removesuffix(_EQUAL_WEIGHTS)
    stated = path.with_name(f"{root}params.json")
    if stated.exists():
        try:
            names = json.loads(stated.read_text())
        except ValueError as error:
            raise DataError(f"{stated}: not a list of names in JSON ({error})") from None
        if not isinstance(names, list):
            raise DataError(f'{stated}: not a list of names, as in ["log(nH)", "PhoIndex"]')
    elif (other := path.with_name(f"{root.rstrip('-_.')}.paramnames")).exists():
        names = _paramnames(other)
    else:
        raise DataError(
            f"{path}: samples of MultiNest, but there are no names of its parameters: expected "
            f'{stated.name} beside it, as in ["log(nH)", "PhoIndex"]'
        )
    table = _rows(path, len(names) + 1)
    return Chain({str(name): table[:, k] for k, name in enumerate(names)})


def _names_of_getdist(path: Path) -> Path | None:
    """The file of names that goes with a chain of GetDist."""
    for root in (path.stem, _CHAIN_NUMBER.sub("", path.stem)):
        names = path.with_name(f"{root}.paramnames")
        if names.exists():
            return names
    return None


def _paramnames(path: Path) -> list[str]:
    """Names in a ``.paramnames`` file; an asterisk is put at derived ones."""
    return [line.split()[0].rstrip("*") for _, line in lines_of(path, "names of parameters")]


def _getdist(path: Path) -> Chain:
    """A chain of GetDist: weight, -ln L, and the parameters."""
    stated = _names_of_getdist(path)
    assert stated is not None
    names = _paramnames(stated)
    table = _rows(path, len(names) + 2)
    if (table[:, 0] < 0).any():
        raise DataError(f"{path}: weights below zero in the first column")
    return Chain({name: table[:, k + 2] for k, name in enumerate(names)}, table[:, 0])


def _bilby(path: Path) -> Chain:
    """A result of bilby: its posterior, and what it says of the priors."""
    try:
        tree = json.loads(path.read_text())
        content = tree["posterior"]["content"]
        columns = {
            str(name): np.array(values, dtype=float)
            for name, values in content.items()
            if not any(isinstance(value, Mapping) for value in values)
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{path}: JSON, but not a result of bilby with its posterior") from None
    stated = tree.get("priors", {})
    recorded = {name: _prior_of_bilby(path, name, what) for name, what in stated.items()}
    return Chain(columns, recorded={k: v for k, v in recorded.items() if v is not None})


def _prior_of_bilby(path: Path, name: str, stated: Any) -> Prior | Unknown | None:
    """A prior as bilby writes it: ``Uniform(minimum=0, maximum=1, ...)`` or a table of that."""
    if isinstance(stated, str):
        call = re.fullmatch(r"\s*(?:[\w.]*\.)?(\w+)\((.*)\)\s*", stated, re.DOTALL)
        family = call[1] if call else ""
        numbers = dict(re.findall(r"(\w+)=([-+\w.]+)", call[2])) if call else {}
    elif isinstance(stated, Mapping) and "__name__" in stated:
        family, numbers = str(stated["__name__"]), dict(stated.get("kwargs", {}))
    else:
        return None
    unknown = Unknown(f"{path}: the prior of {name} is recorded as {family or stated}")
    if family not in _BILBY:
        return unknown
    ours, *arguments = _BILBY[family]
    try:
        return Prior(ours, tuple(float(numbers[argument]) for argument in arguments))
    except (KeyError, TypeError, ValueError):
        return unknown


def _table(path: Path) -> Chain:
    """A table with a column a parameter, maybe ``weight``, or one column without a name."""
    if (alone := _one_column(path)) is not None:
        return Chain({"": alone})
    table = tables.read(path)
    if {"NAME", "VALUE"} <= set(table.frame.columns) and "SAMPLES" in table.unusable:
        raise DataError(f"{path}: a result of 3ML is not read: {_INSTEAD}")
    numeric = {}
    for name in map(str, table.frame.columns):
        if name != "weight" and _holds_numbers(table, name):
            numeric[name] = table.numbers(name)
    weights = table.numbers("weight") if "weight" in table.frame.columns else None
    return Chain(numeric, weights, table=table)


def _one_column(path: Path) -> Floats | None:
    """Numbers one a line, without a header; None if it is something else."""
    head = head_of(path, _EXPECTED)
    if b"\0" in head or head.startswith(b"SIMPLE  ="):
        return None
    words = [line.partition("#")[0].split() for _, line in lines_of(path, _EXPECTED)]
    words = [word for word in words if word]
    if not words or any(len(word) != 1 for word in words) or not is_number(words[0][0]):
        return None
    return _rows(path, 1)[:, 0]


def _holds_numbers(table: tables.Table, column: str) -> bool:
    values = table.frame[column]
    return getattr(values.dtype, "kind", "O") in "iuf" or all(is_number(str(x)) for x in values)
