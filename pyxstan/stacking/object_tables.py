"""Tables of objects: their samples, what is known of them, and which ones a survey detects."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyxstan import tables
from pyxstan.errors import DataError
from pyxstan.stacking.data import Floats, Selection
from pyxstan.stacking.naming import listed, some
from pyxstan.tables import Table

#: Points of Gauss-Legendre quadrature between neighbouring values of a table of probabilities.
#: The probability times a Gaussian is then good to 1e-15 where its standard deviation is a third
#: of the table's spacing, and to 3e-5 where it is a tenth.
_POINTS = 12
#: Other names of weights than ours: not to be dropped in silence.
WEIGHT = re.compile(r"(log_?)?(importance_?)?w(t|ts|gt|eights?)?|importance|ln_?w(eight)?s?")
#: Words in the names of errors.
_ERROR = re.compile(r"e|err\w*|unc\w*|sigma|sig|sd|std|stdev|plus|minus|lo|low|lower|hi|high|upper")


def read_objects(table: Any, name: str) -> Table:
    """Read a table whose column ``object`` may have capitals."""
    found = tables.read(table, name)
    capitals = [c for c in map(str, found.frame.columns) if c.lower() == "object"]
    if len(capitals) == 1 and not found.has("object"):
        return found.renamed({"object": capitals[0]})
    return found


def _refuse_estimates(table: Table, wanted: Sequence[str], rest: Sequence[str]) -> None:
    """Raise where a table of one row an object has errors beside the parameters."""
    for column in rest:
        words = re.split(r"[\W_]+", column.lower())
        of = [name for name in wanted if name.lower() in column.lower()]
        if of and any(map(_ERROR.fullmatch, words)):
            raise DataError(
                f"{table.source}: one row an object and a column '{column}': estimates with "
                f"errors, expected samples: draw some of each, as by "
                f"numpy.random.normal({of[0]}, {column}, 1000)"
            )


def read_frame(frame: Any, parameters: str | Sequence[str]) -> dict[str, Any]:
    """Read samples from a table with one row a sample.

    Parameters
    ----------
    frame
        A DataFrame, or a CSV, ECSV or FITS file, with a column ``object``, one a parameter, and
        optionally ``weight``. The rows of an object need not be adjacent.
    parameters
        Names of the columns.

    Returns
    -------
    dict
        Arguments of `PosteriorSamples.from_arrays`.

    Raises
    ------
    DataError
        No such column, a cell that is not a finite number, a negative weight.
    """
    import pandas as pd

    wanted = listed(parameters)
    table = read_objects(frame, "samples")
    table.require(["object", *wanted])
    codes, objects = pd.factorize(np.array(table.labels("object"), dtype=object))
    order = np.argsort(codes, kind="stable")
    splits = np.cumsum(np.bincount(codes))[:-1]
    x = np.column_stack([table.numbers(name) for name in wanted])
    used = {"object", "weight", *wanted}
    rest = [str(name) for name in [*table.frame.columns, *table.unusable] if name not in used]
    for name in rest:
        if WEIGHT.fullmatch(name.lower()):
            raise DataError(
                f"{table.source}: column '{name}' looks like weights: call it 'weight', or leave "
                "it out"
            )
    if len(objects) == len(codes):
        _refuse_estimates(table, wanted, rest)
    weighted = "weight" in table.frame.columns and "weight" not in wanted
    return {
        "samples": np.split(x[order], splits),
        "parameters": wanted,
        "objects": list(objects),
        "weights": np.split(_weights(table)[order], splits) if weighted else None,
        "source": table.source,
        "notes": (f"{table.source}: columns left aside: {some(rest)}",) if rest else (),
        "recorded": [{}] * len(objects),
    }


def _weights(table: Table) -> Floats:
    weights = table.numbers("weight")
    if (weights < 0).any():
        row = int(np.argmax(weights < 0))
        raise DataError(f"{table.row(row)}: weight is {weights[row]:g}, negative")
    if not weights.any():
        raise DataError(f"{table.source}: all weights are zero")
    return weights


def read_covariates(covariates: Any, objects: Sequence[str]) -> dict[str, Floats]:
    """Read what is known of the objects.

    Parameters
    ----------
    covariates
        A table (file, DataFrame, dict of columns) with a column ``object`` and one a covariate, in
        any order, where rows of other objects are left out; or a mapping of covariate to numbers in
        the order of the objects.
    objects
        Names of the objects.

    Returns
    -------
    dict
        By covariate, an array of one value an object.

    Raises
    ------
    DataError
        An object that is missing or there twice, no covariate, a value that is not a finite number.
    """
    if isinstance(covariates, Mapping) and "object" not in covariates:
        return {str(name): _one_each(str(name), values, objects) for name, values in
                covariates.items()}  # fmt: skip
    table = read_objects(dict(covariates) if isinstance(covariates, Mapping) else covariates,
                         "covariates")  # fmt: skip
    table.require(["object"])
    table.require(table.unusable)
    names = [str(name) for name in table.frame.columns if name != "object"]
    if not names:
        raise DataError(f"{table.source}: no column of a covariate beside 'object'")
    wanted = set(objects)
    row_of: dict[str, int] = {}
    for row, label in enumerate(table.labels("object")):
        if label in row_of:
            raise DataError(f"{table.row(row)}: object '{label}' is there twice")
        if label in wanted:
            row_of[label] = row
    missing = [name for name in objects if name not in row_of]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"{table.source}: no object '{missing[0]}'{more}")
    rows = [row_of[name] for name in objects]
    # Other objects are taken out first: what is wrong with them does not matter.
    ours = replace(
        table,
        frame=table.frame.iloc[rows].reset_index(drop=True),
        row_numbers=[table.row_numbers[row] for row in rows],
    )
    found = {name: ours.numbers(name) for name in names}
    for name, values in found.items():
        ours.refuse_marks(name, values)
    return found


def _one_each(name: str, values: Any, objects: Sequence[str]) -> Floats:
    try:
        found = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise DataError(f"covariate {name}: not an array of numbers") from None
    if found.shape != (len(objects),):
        raise DataError(
            f"covariate {name}: an array of shape {found.shape}, expected one number for each of "
            f"{len(objects)} objects"
        )
    finite = np.isfinite(found)
    if not finite.all():
        k = int(np.argmin(finite))
        raise DataError(
            f"covariate {name}: object '{objects[k]}' has {found[k]:g}, expected a finite number"
        )
    for k in np.flatnonzero(tables.marks_of_nothing(found))[:1]:
        raise DataError(
            f"covariate {name}: object '{objects[k]}' has {found[k]:g}, far from the others: a "
            "mark for no value? leave the object out"
        )
    return found


def read_selection(selection: Any, parameters: Sequence[str]) -> Selection:
    """Read what a survey detects.

    Parameters
    ----------
    selection
        A table with a column a parameter and ``weight``, one row a detected injection: one over the
        density that it was drawn from and over how many were injected in all. Or, for one
        parameter, a table of the ``probability`` of detection at increasing values of the
        parameter: linear in between, zero outside.
    parameters
        Names of the parameters.

    Raises
    ------
    DataError
        No such column, both or none of weight and probability, values that do not increase,
        probabilities outside [0, 1], negative weights, nothing that is detected.
    """
    if isinstance(selection, Selection):
        if selection.x.shape != (len(selection.weights), len(parameters)):
            raise DataError(
                f"selection: an array of shape {selection.x.shape}, expected "
                f"({len(selection.weights)}, {len(parameters)})"
            )
        return selection
    table = tables.read(selection, "selection")
    table.require(parameters)
    given = [name for name in ("probability", "weight")
             if name in table.frame.columns and name not in parameters]  # fmt: skip
    if len(given) != 1:
        what = "both are there" if given else "there is neither"
        raise DataError(f"{table.source}: expected a column 'probability' or 'weight', {what}")
    if given == ["weight"]:
        x = np.column_stack([table.numbers(name) for name in parameters])
        return Selection(x, _weights(table))
    if len(parameters) > 1:
        raise DataError(
            f"{table.source}: 'probability' goes with one parameter; for {', '.join(parameters)} "
            "give detected injections with a column 'weight'"
        )
    return _from_probability(table, parameters[0])


def _from_probability(table: Table, parameter: str) -> Selection:
    """Points and weights that integrate the probability times a density over the table."""
    x, probability = table.numbers(parameter), table.numbers("probability")
    if len(x) < 2:
        raise DataError(f"{table.source}: one row, expected the probability at two values or more")
    steps = np.diff(x)
    if (steps <= 0).any():
        row = int(np.argmax(steps <= 0)) + 1
        raise DataError(
            f"{table.row(row)}: {parameter} is {x[row]:g} after {x[row - 1]:g}, expected "
            "increasing values"
        )
    outside = (probability < 0) | (probability > 1)
    if outside.any():
        row = int(np.argmax(outside))
        raise DataError(f"{table.row(row)}: probability is {probability[row]:g}, expected 0 to 1")
    if not probability.any():
        raise DataError(f"{table.source}: all probabilities are zero, nothing is detected")
    points, shares = np.polynomial.legendre.leggauss(_POINTS)
    nodes = x[:-1, None] + steps[:, None] * (points + 1) / 2
    weights = steps[:, None] * shares / 2 * np.interp(nodes, x, probability)
    some = weights.ravel() > 0
    return Selection(nodes.ravel()[some, None], weights.ravel()[some], exact=True)
