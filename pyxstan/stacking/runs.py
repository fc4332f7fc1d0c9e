"""Runs of UltraNest and BXA: their folders, and the chains in them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.stacking.data import Floats
from pyxstan.stacking.naming import listed, object_names, some
from pyxstan.stacking.text_rows import lines_of, numbers_of

_EQUAL = "chains/equal_weighted_post.txt"
_WEIGHTED = "chains/weighted_post.txt"
_CHAINS = "chains of UltraNest"
#: Folders of repeated runs of one fit.
_NUMBERED = re.compile(r"run(\d+)")


def read_runs(
    runs: str | Path | Sequence[str | Path], parameters: str | Sequence[str]
) -> dict[str, Any]:
    """Read samples from runs of UltraNest or BXA.

    Parameters
    ----------
    runs
        A folder of runs, or a run, or a list of them. A run is a folder with
        ``chains/equal_weighted_post.txt`` or ``chains/weighted_post.txt`` (the first is taken where
        both are there), or with numbered folders that have them, of which the latest is taken. An
        object is named after its folder.
    parameters
        Names of the columns.

    Returns
    -------
    dict
        Arguments of `PosteriorSamples.from_arrays`.

    Raises
    ------
    DataError
        No such folder, no chains in it, no such parameter, a row that is cut short or not of finite
        numbers, no rows, weights that are negative or all zero.
    """
    wanted = listed(parameters)
    given = [Path(runs)] if isinstance(runs, str | Path) else [Path(run) for run in runs]
    found: dict[Path, Path] = {}
    notes: list[str] = []
    for path in given:
        chains, more = find_runs(path)
        for folder in chains:
            if folder in found:
                raise DataError(f"{folder}: the run is there twice")
        found |= chains
        notes += more
    samples, weights = [], []
    for chain in found.values():
        x, weight = _read_chain(chain, wanted)
        samples.append(x)
        weights.append(weight)
    weighted = any(weight is not None for weight in weights)
    return {
        "samples": samples,
        "parameters": wanted,
        "objects": object_names(list(found)),
        "weights": [
            np.ones(len(x)) if weight is None else weight
            for x, weight in zip(samples, weights, strict=True)
        ]
        if weighted
        else None,
        "source": str(given[0]) if len(given) == 1 else f"{len(found)} runs",
        "notes": tuple(notes),
        "recorded": [{}] * len(found),
    }


def find_runs(path: Path) -> tuple[dict[Path, Path], list[str]]:
    """The runs that a path stands for, with the files of their chains, and what to say of them."""
    if not path.exists():
        raise DataError(f"{path}: no such folder")
    if not path.is_dir():
        raise DataError(f"{path}: a file, expected the folder of a run of UltraNest")
    found, notes = folders_of_runs(path), []
    own = chains_file(path)
    if own and (own.parent.parent == path or all(_NUMBERED.fullmatch(f.name) for f in found)):
        found = {path: own}
    elif not found:
        raise DataError(f"{path}: no {_EQUAL} or {_WEIGHTED}, nor a folder that has it")
    else:
        bare = [f.name for f in sorted(path.iterdir()) if f.is_dir() and f not in found]
        if bare:
            notes.append(f"{path}: left out, no chains: {some(bare)}")
    for folder, chain in found.items():
        taken = chain.parent.parent
        if taken != folder:
            notes.append(f"{folder}: the chains of {taken.name}, the latest that are there")
    return found, notes


def folders_of_runs(path: Path) -> dict[Path, Path]:
    """The runs in a folder, with the files of their chains."""
    folders = sorted(folder for folder in path.iterdir() if folder.is_dir())
    return {folder: chain for folder in folders if (chain := chains_file(folder))}


def chains_file(run: Path) -> Path | None:
    """The file of a run's chains; UltraNest may number the folders of repeated runs."""
    numbered = {
        int(match[1]): folder
        for folder in run.glob("run*")
        if (match := _NUMBERED.fullmatch(folder.name))
    }
    for folder in (run, *(numbered[number] for number in sorted(numbered, reverse=True))):
        for name in (_EQUAL, _WEIGHTED):
            if (folder / name).is_file():
                return folder / name
    return None


def is_run(path: Path) -> bool:
    """Whether a folder has chains."""
    return chains_file(path) is not None


def parameters_of(chain: Path) -> list[str]:
    """Names of the parameters in a file of chains."""
    names = _header(chain)
    if chain.name != Path(_WEIGHTED).name:
        return names
    if names[:2] != ["weight", "logl"]:
        raise DataError(f"{chain}: line 1: the columns are not weight, logl and the parameters")
    return names[2:]


def _header(chain: Path) -> list[str]:
    """Names of the columns; those with blanks in them are known by UltraNest's own list."""
    _, line = next(lines_of(chain, _CHAINS))
    words = line.lstrip("# \t").split()
    stated = chain.parent.parent / "info" / "results.json"
    if stated.is_file():
        try:
            names = [str(name) for name in json.loads(stated.read_text())["paramnames"]]
        except (ValueError, KeyError, TypeError):
            return words
        for first in ([], words[:2]):
            if [*first, *" ".join(names).split()] == words:
                return [*first, *names]
    return words


def _read_chain(chain: Path, parameters: Sequence[str]) -> tuple[Floats, Floats | None]:
    """The parameters' columns of a file of chains, and the weights where it has them."""
    names = _header(chain)
    weighted = chain.name == Path(_WEIGHTED).name
    there = parameters_of(chain)
    for name in parameters:
        if there.count(name) != 1:
            what = f"parameter '{name}' is there twice" if name in there else f"no '{name}'"
            raise DataError(f"{chain}: {what}; the parameters are {some(there)}")
    first = len(names) - len(there)
    columns = [first + there.index(name) for name in parameters] + ([0] if weighted else [])
    rows, numbers = [], []
    lines = lines_of(chain, _CHAINS)
    next(lines)
    for number, line in lines:
        words = line.split()
        if len(words) != len(names):
            cut = len(words) < len(names) and next(lines, None) is None
            why = " (the file is cut short)" if cut else ""
            raise DataError(
                f"{chain}: line {number}: {len(words)} cells, but the header has {len(names)}{why}"
            )
        rows.append(numbers_of(f"{chain}: line {number}", [words[k] for k in columns]))
        numbers.append(number)
    if not rows:
        raise DataError(f"{chain}: no samples, nothing but the names of the columns")
    values = np.array(rows)
    finite = np.isfinite(values)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        raise DataError(
            f"{chain}: line {numbers[row]}: {names[columns[column]]} is {values[row, column]:g}, "
            "expected a finite number"
        )
    if not weighted:
        return values, None
    weights = values[:, -1]
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise DataError(f"{chain}: line {numbers[row]}: weight is {weights[row]:g}, negative")
    if not weights.any():
        raise DataError(f"{chain}: all weights are zero")
    return values[:, :-1], weights
