"""A folder holds the results of one model and one data set: others are not mixed in.

Figures say in their metadata whose they are, and so do the fits of a stack. What finds results of
another model or data set in a folder refuses it, unless told to take their place.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan import inference_data
from pyxstan.errors import DataError

#: Of a PNG's metadata, where the owner of a figure is written.
KEY = "Source"
_MARK = "pyxstan "
#: Words of this many letters name no file.
_LONGEST = 1000
_ADVICE = "choose another folder, or --overwrite (overwrite=True) to take its place"


def owner_of(idata: Any) -> str:
    """The model of a fit and a fingerprint of its data, as figures carry them."""
    groups = inference_data.group_names(idata)
    digest = hashlib.sha256()
    if "observed_data" in groups:
        observed = inference_data.group(idata, "observed_data")
        for name in sorted(map(str, observed.variables)):
            digest.update(name.encode())
            digest.update(_content(observed[name].to_numpy()))
    return f"{_MARK}{inference_data.attributes(idata)['model']} {digest.hexdigest()[:16]}"


def fingerprint(arrays: Iterable[Any]) -> str:
    """A short digest of arrays."""
    digest = hashlib.sha256()
    for values in arrays:
        digest.update(_content(np.asarray(values)))
    return digest.hexdigest()[:16]


def _content(values: np.ndarray) -> bytes:
    if values.dtype.kind in "OUS":
        return "\n".join(map(str, values.ravel())).encode()
    return np.ascontiguousarray(values).tobytes()


def figures_in(folder: Path) -> Iterator[tuple[Path, str]]:
    """The figures of pyxstan in a folder, with their owners."""
    from PIL import Image

    for path in sorted(folder.glob("*.png")) if folder.is_dir() else ():
        try:
            with Image.open(path) as image:
                owner = str(image.info.get(KEY, ""))
        except (OSError, ValueError):
            continue
        if owner.startswith(_MARK):
            yield path, owner


def check_sources(output: Path, inputs: Sequence[Path], settings: Mapping[str, Any]) -> None:
    """Refuse a result in the place of a file that the data come from.

    Raises
    ------
    DataError
        It is an input, or one that an option or an input in YAML names.
    """
    if output.exists() and any(
        path.is_file() and path.samefile(output) for path in _sources(inputs, settings)
    ):
        raise DataError(f"{output}: an input, it would be overwritten by the result")


def _sources(inputs: Sequence[Path], settings: Mapping[str, Any]) -> Iterator[Path]:
    """What may be a file of the data: inputs, options, and all words of inputs in YAML."""
    import yaml

    yield from inputs
    yield from (Path(word) for word in _words(list(settings.values())))
    for path in inputs:
        if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
            try:
                tree = yaml.safe_load(path.read_text())
            except (OSError, ValueError, yaml.YAMLError):
                continue  # its reader says what is wrong
            yield from (path.parent / word for word in _words(tree))


def _words(tree: Any) -> Iterator[str]:
    if isinstance(tree, str | Path):
        yield from (word for word in {str(tree), *str(tree).split(",")} if len(word) < _LONGEST)
    elif isinstance(tree, Mapping):
        yield from _words(list(tree.values()))
    elif isinstance(tree, Sequence):
        for each in tree:
            yield from _words(each)


def check_figures(folder: Path, owner: str) -> None:
    """Refuse a folder with figures of another fit.

    Parameters
    ----------
    owner
        What `owner_of` says, or only the name of a model, while its data aren't known.

    Raises
    ------
    DataError
        There is a figure of another model, or of other data.
    """
    for path, other in figures_in(folder):
        model = other.removeprefix(_MARK).split(" ")[0]
        if owner in (model, other):
            continue
        whose = "other data" if owner.startswith(f"{_MARK}{model} ") else model
        raise DataError(f"{path}: a figure of a fit of {whose} is there: {_ADVICE}")


def remove_figures(folder: Path, but: str) -> None:
    """Take away the figures of other fits than that of an owner."""
    for path, other in figures_in(folder):
        if other != but:
            path.with_suffix(".pdf").unlink(missing_ok=True)
            path.unlink()


def check_fits(
    folder: Path, names: Sequence[str], sha256: str, written: Iterable[str] = ()
) -> None:
    """Refuse a folder with fits of other samples than those of a fingerprint.

    Parameters
    ----------
    names, written
        Of all fits that a stack may have, and of those that are to be written.

    Raises
    ------
    DataError
        One of the files is a fit of other samples, or one to be written is no fit of a stack.
    """
    found = dict(fits_in(folder, names))
    for path, attrs in found.items():
        if attrs.get("samples_sha256", "") != sha256:
            raise DataError(f"{path}: a result of other samples is there: {_ADVICE}")
    for name in written:
        path = folder / f"{name}.nc"
        if path.is_file() and path not in found:
            raise DataError(f"{path}: another file of that name is there: {_ADVICE}")


def fits_in(folder: Path, names: Sequence[str]) -> Iterator[tuple[Path, Mapping[str, Any]]]:
    """Fits of stacks in a folder, with their attributes."""
    for name in names:
        path = folder / f"{name}.nc"
        if not path.is_file():
            continue
        try:
            with inference_data.open_group(path, "/") as root:
                attrs = dict(root.attrs)
        except DataError:
            attrs = {}
        if str(attrs.get("model", "")) == f"stack_{name}":
            yield path, attrs


def check_simulated(folder: Path, truth: Path) -> None:
    """Refuse a folder with a simulation of another truth.

    Parameters
    ----------
    truth
        The new ``truth.json``.

    Raises
    ------
    DataError
        There is another one in the folder.
    """
    there = folder / truth.name
    if there.is_file() and there.read_bytes() != truth.read_bytes():
        raise DataError(f"{there}: the truth of another simulation is there: {_ADVICE}")
