"""What pyxstan's own results say of themselves: their priors, and how far to trust them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyxstan import inference_data, summaries
from pyxstan.errors import DataError
from pyxstan.priors import Prior, parse
from pyxstan.stacking.sample_priors import Recorded, Unknown

if TYPE_CHECKING:
    from pyxstan.summaries import Verdict

#: Radii that are in order: the prior of one alone is not that of both.
_ORDERED = {"double_beta": {"rc", "rc2"}}
#: Names of objects that a complaint lists.
_NAMED = 5


def attributes(file: Path) -> dict[str, Any]:
    """Attributes of a netCDF file as a whole; those of other programs have no ``model``."""
    with inference_data.open_group(file, "/") as root:
        return dict(root.attrs)


def recorded_priors(file: Path, attrs: Mapping[str, Any], names: Sequence[str]) -> Recorded:
    """The priors that a fit records, by the names of what is stacked."""
    if "model" not in attrs or "priors" not in attrs:
        return {}
    try:
        stated = json.loads(str(attrs["priors"]))
    except ValueError:
        stated = None
    if not isinstance(stated, dict):  # of another program that has attributes of these names
        return {}
    found: dict[str, Prior | str | Unknown] = {}
    for name in names:
        variable, _, label = name.removesuffix("]").partition("[")
        if variable == "value" or name in stated:
            words = stated.get(name, stated.get(label))
        else:
            words = None if label else stated.get(variable)
        ordered = _ORDERED.get(str(attrs["model"]), set())
        if str(attrs["model"]).startswith("concordance") and variable in ("B", "G"):
            found[name] = _of_area(file, label) if variable == "B" else "uniform"
        elif name in ordered and not ordered <= set(names):
            found[name] = Unknown(
                f"{file}: the prior of {name} alone is not recorded, since "
                f"{' < '.join(sorted(ordered))}"
            )
        elif words is None:
            found[name] = Unknown(
                f"{file}: no prior of {name} is recorded, it follows from other parameters"
            )
        else:
            found[name] = _parsed(file, name, words)
    return found


def _parsed(file: Path, name: str, words: str) -> Prior | Unknown:
    try:
        return parse(words)
    except DataError:
        return Unknown(f"{file}: the prior of {name} is recorded as '{words}'")


def _of_area(file: Path, instrument: str) -> Prior | Unknown:
    """The prior of an instrument's log effective area."""
    with inference_data.open_group(file, "constant_data") as constant:
        if not {"b", "tau"} <= set(constant) or instrument not in constant["instrument"].values:
            return Unknown(f"{file}: no prior of B[{instrument}] is recorded")
        one = constant.sel(instrument=instrument)
        return Prior("normal", (float(one["b"]), float(one["tau"])))


def verdict_of(file: Path, attrs: Mapping[str, Any]) -> Verdict | None:
    """The verdict of one of pyxstan's own results; None of another program's."""
    if "model" not in attrs:
        return None
    return summaries.verdict(inference_data.read(file))


def complaints(verdicts: Mapping[str, Verdict | None]) -> tuple[str, ...]:
    """What the verdicts of the fits, by object, say against a stack of them."""
    told = [(name, v) for name, v in verdicts.items() if v is not None and v.problems]
    bad = [(name, v.line) for name, v in told if v.converged is False]
    but = [(name, v.problems[0]) for name, v in told if v.converged is not False]
    found = []
    for judged, what in ((bad, "are bad"), (but, "have reservations")):
        if judged:
            more = f" and {len(judged) - _NAMED} more" if len(judged) > _NAMED else ""
            named = ", ".join(name for name, _ in judged[:_NAMED]) + more
            found.append(
                f"{len(judged)} of the {len(verdicts)} fits that are stacked {what} ({named}), "
                f"the first: {judged[0][1]}"
            )
    return tuple(found)
