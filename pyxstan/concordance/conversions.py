"""Columns as papers print them, turned into those that a concordance is read from.

Names with capitals or in the plural, with a unit in brackets; errors by their usual names; lower
and upper errors or limits; percent; logarithms to base 10; errors in the cell of the value. What
can be meant in two ways stays as it is, and is refused by whoever finds it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.tables import Table

if TYPE_CHECKING:
    from pyxstan.concordance.data import Floats

LN10 = float(np.log(10))
_QUANTITIES = ("log_flux", "flux", "counts")
_NAMES = {"instrument", "source", "tau"}
_LONG_NAMES = {"band", "exposure", "background", "sigma", "error", "obsid", "epoch", *_QUANTITIES}
_PLURALS = {"count": "counts", "fluxes": "flux", "log_fluxes": "log_flux"}
#: A header with its unit behind it.
_WITH_UNIT = re.compile(r"(.*\S)\s*[\[(]([^\[\]]+)[\])]")
#: Names of logarithms of fluxes to base 10, and of natural ones with errors of theirs.
_DECADES = {"log10_flux", "log10flux", "log10_f", "log10f", "lg_flux", "lgflux", "lg_f", "lgf",
            "log_10_flux", "log_10_f"}  # fmt: skip
_LOGS = {"log_flux", "logflux", "log_f", "logf"}
#: Parts of names of errors.
_ERROR = {"e", "err", "error", "errors", "unc", "uncertainty"}
_LOWER = {"lo", "low", "lower", "minus", "neg", "negative", "min"}
_UPPER = {"hi", "high", "up", "upp", "upper", "plus", "pos", "positive", "max"}
_PERCENT = {"percent", "pct", "perc"}
_RELATIVE = {"rel", "relative", "frac", "fractional"}
_WORD = r"(?:errors?+|err(?!or)|unc(?:ertainty)?+)"
_JOINED = re.compile(rf"(?<=[a-z0-9]){_WORD}|{_WORD}(?=[a-z])")
#: A cell of a value with its error or errors.
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_PLUS_MINUS = re.compile(rf"({_NUMBER})\s*(?:\+/-|±|\+-)\s*({_NUMBER})")
_SIDES = re.compile(
    rf"({_NUMBER})?\s*(?:\^?\{{?\+({_NUMBER})\}}?\s*[,/]?\s*_?\{{?[-\u2212]({_NUMBER})\}}?"
    rf"|_?\{{?[-\u2212]({_NUMBER})\}}?\s*[,/]?\s*\^?\{{?\+({_NUMBER})\}}?)"
)
#: Lower and upper errors that differ by more than this part of the larger are no one sigma.
_LOPSIDED = 1 / 3
#: Logarithms this far from zero are no errors of logarithms.
_NO_ERROR_OF_LOG = 5.0


@dataclass
class Converted:
    """A table in the names that a concordance knows, and what was decided for that."""

    table: Table
    notes: list[str] = field(default_factory=list)
    #: Whether the measurements were logs to base 10.
    decades: bool = False
    complaints: list[str] = field(default_factory=list)

    def put(self, gone: Iterable[str], new: Mapping[str, Any]) -> None:
        """Replace columns."""
        frame = self.table.frame.drop(columns=list(gone)).assign(**dict(new))
        units = {name: unit for name, unit in self.table.units.items() if name not in {*gone}}
        self.table = replace(self.table, frame=frame, units=units)


def named(table: Table) -> Table:
    """Known names in small letters, singular, without their units in brackets."""
    table = _renamed(table, _NAMES)
    if {"instrument", "source"} <= set(table.frame.columns):
        table = _renamed(table, _LONG_NAMES)
    return table


def _renamed(table: Table, known: set[str]) -> Table:
    new: dict[str, str] = {}
    units = dict(table.units)
    for column in table.frame.columns:
        bare, unit = _bare(column)
        if bare not in known or bare == column or bare in table.frame.columns:
            continue
        if bare in new:
            raise DataError(
                f"{table.source}: columns '{new[bare]}' and '{column}', expected one '{bare}'"
            )
        new[bare] = column
        if unit:
            units.setdefault(column, unit)
    return replace(table, units=units).renamed(new) if new else table


def _bare(column: str) -> tuple[str, str]:
    """A name in small letters, singular, and its unit."""
    name, unit = column, ""
    with_unit = _WITH_UNIT.fullmatch(column.strip())
    if with_unit and (found := _unit(with_unit[2].strip())):
        name, unit = with_unit[1], found
    key = _key(name)
    if key in _PLURALS:
        return _PLURALS[key], unit
    singular = key.removesuffix("s")
    return (singular if singular in _NAMES | _LONG_NAMES and key != "counts" else key), unit


def _key(name: str) -> str:
    return re.sub(r"\W+", "_", name.replace("%", "_percent_").lower()).strip("_")


def _unit(text: str) -> str:
    """A unit as astropy writes it; empty if it is none."""
    from astropy import units

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return str(units.Unit(text.replace("^", "**"))) if text != "%" else "%"
    except (ValueError, TypeError):
        return ""


def of_long(table: Table) -> Converted:
    """Turn what a long table prints otherwise into log_flux, flux or counts, and their errors."""
    found = Converted(table)
    for name in (*_QUANTITIES, *_DECADES, "error", "sigma"):
        for column in [c for c in found.table.frame.columns if _key(c) == name]:
            _split_cells(found, column)
    quantity, names, factor = _quantity(found)
    if not quantity:
        return found
    columns = set(found.table.frame.columns)
    roles = _roles(found.table, names, columns - {quantity})
    if factor != 1:
        if "sigma" in columns:
            raise DataError(
                f"{table.source}: column 'sigma' beside logarithms to base 10, expected "
                f"'error' (to base 10, too), or natural logarithms"
            )
        values = found.table.numbers(quantity)
        found.table.refuse_marks(quantity, values)
        values = values * factor
        raw = found.table
        found.put([quantity], {"log_flux": values})
        found.decades = True
        found.notes.append(f"column '{quantity}': logs to base 10, made natural ones")
    else:
        raw = found.table
    _take_errors(found, raw, quantity, roles, factor)
    return found


def with_units(table: Table) -> Table:
    """The table with the units that stand in brackets behind names of columns."""
    units = {column: _bare(column)[1] for column in table.frame.columns}
    return replace(table, units={**{c: unit for c, unit in units.items() if unit}, **table.units})


def _quantity(found: Converted) -> tuple[str, set[str], float]:
    """The column that was measured, keys that its errors are named after, and to natural logs."""
    columns = {c: _key(c) for c in found.table.frame.columns}
    bare = {c: _bare(c)[0] for c in columns}
    dex = {c for c in columns if _is_dex(found.table.units.get(c, ""))}
    decades = [c for c in columns if {columns[c], bare[c]} & _DECADES
               or (c in dex and bare[c] in {*_LOGS, "flux"})]  # fmt: skip
    given = [c for c in columns if c in _QUANTITIES and c not in decades]
    if len(given) + len(decades) != 1:
        return "", set(), 1.0
    if decades:
        return decades[0], {*_DECADES, *_LOGS}, LN10
    return given[0], {given[0]} if given[0] != "log_flux" else _LOGS, 1.0


def _is_dex(unit: str) -> bool:
    from astropy import units

    try:
        parsed = units.Unit(unit) if unit else None
    except ValueError:
        return False
    return isinstance(parsed, units.DexUnit) or parsed == units.dex


@dataclass(frozen=True)
class _Role:
    """What a column of errors is: of which side (or both), in percent, or perhaps a limit."""

    side: str
    percent: bool
    maybe_limit: bool


def _roles(table: Table, names: set[str], columns: set[str]) -> dict[str, _Role]:
    """Columns that are errors beyond doubt, or ends of an interval, of what has these names."""
    in_percent = {c: table.units.get(c) == "%" for c in columns}
    found: dict[str, _Role] = {}
    for column in sorted(columns):
        if column[:2] == "E_" and _key(column)[2:] in names:  # CDS: the upper one of e_ and E_
            if f"e_{column[2:]}" in columns:
                found[column] = _Role("upper", in_percent[column], maybe_limit=False)
                found[f"e_{column[2:]}"] = _Role("lower", in_percent[column], maybe_limit=False)
            continue
        key = _key(_WITH_UNIT.sub(r"\1", column) if _bare(column)[1] else column)
        words = _JOINED.sub(r"_\g<0>_", key).split("_")
        words = [word for word in words if word]
        errors = [word for word in words if word in _ERROR]
        lower, upper = set(words) & _LOWER, set(words) & _UPPER
        percent = bool(set(words) & _PERCENT) or in_percent[column]
        sided = "lower" if lower and not upper else "upper" if upper and not lower else ""
        beside = {*_ERROR, *_LOWER, *_UPPER, *_PERCENT, *(_RELATIVE if percent else ())}
        rest = "_".join(word for word in words if word not in beside)
        if key in ("sigma", "sigma_percent", "percent_sigma") and percent:
            found[column] = _Role("", percent=True, maybe_limit=False)
        elif column in found or len(errors) > 1 or (bool(lower) and bool(upper)):
            continue
        elif errors and (rest in names or (not rest and errors != ["e"])):
            found[column] = _Role(sided, percent, maybe_limit=False)
        elif sided and rest in names and not percent:
            found[column] = _Role(sided, percent=False, maybe_limit=True)
    return found


def _take_errors(
    found: Converted, raw: Table, quantity: str, roles: Mapping[str, _Role], factor: float
) -> None:
    """Put one column of errors in place of what there is of them."""
    columns = set(raw.frame.columns)
    if "sigma" in columns and not (set(roles) == {"sigma"} and roles["sigma"].percent):
        return
    both = [c for c, role in roles.items() if not role.side]
    pair = [[c for c, role in roles.items() if role.side == side] for side in ("lower", "upper")]
    logs = factor != 1 or quantity == "log_flux"
    unit = raw.units.get(quantity, "") if quantity == "flux" else None
    if len(both) == 1 and not any(pair):
        (column,) = both
        if roles[column].percent:
            percent = replace(raw, units={}).numbers(column, positive=True)
            found.put([column], {"sigma": percent / 100})
            found.notes.append(f"column '{column}': percent, made sigma of the natural log")
        elif logs:
            if column == "error" and factor == 1:
                return  # of a natural log it is called sigma
            found.put([column], {"sigma": _plain(raw, column) * factor})
            made = ", made one of the natural log" if factor != 1 else ""
            found.notes.append(f"column '{column}': sigma of '{quantity}'{made}")
        elif column != "error":
            found.table = found.table.renamed({"error": column})
            found.notes.append(f"column '{column}' is the error")
    elif not both and len(pair[0]) == len(pair[1]) == 1:
        (lower,), (upper,) = pair
        if roles[lower].percent == roles[upper].percent and (
            roles[lower].maybe_limit == roles[upper].maybe_limit
        ):
            if logs or roles[lower].percent:
                raw = replace(raw, units={})
            _take_sides(found, raw, quantity, (lower, upper), roles[lower], unit, factor * logs)


def _plain(table: Table, column: str) -> Floats:
    """Positive numbers whatever unit they state: that of their value."""
    return replace(table, units={}).numbers(column, positive=True)


def _take_sides(
    found: Converted,
    raw: Table,
    quantity: str,
    pair: tuple[str, str],
    role: _Role,
    unit: str | None,
    factor: float,
) -> None:
    """Lower and upper errors, or limits, as one sigma: their mean in the natural log.

    `factor`: from logs to natural ones; 0 where the values are none.
    """
    names = f"columns '{pair[0]}' and '{pair[1]}'"
    value = raw.numbers(quantity)
    logs = factor != 0
    low, high = (raw.numbers(column, unit=unit) for column in pair)
    limits = role.maybe_limit and bool((low <= value).all() and (value <= high).all())
    doubtful = logs and max(np.abs(low).max(), np.abs(high).max()) < _NO_ERROR_OF_LOG
    if role.maybe_limit and ((limits and doubtful) or not (limits or (high < np.abs(value)).all())):
        raise DataError(
            f"{raw.source}: {names}: limits or errors? call errors "
            f"{quantity}_err_lo and {quantity}_err_hi, or give one column of errors"
        )
    if limits:
        below, above = value - low, high - value
    else:
        below, above = (-low if (low <= 0).all() else low), high
    for side, column in ((below, pair[0]), (above, pair[1])):
        for k in np.flatnonzero(~(side > 0))[:1]:
            raise DataError(
                f"{raw.row(k)}: {column} leaves an error of {side[k]:g}, expected a positive one"
            )
    if role.percent:
        below, above = below / 100, above / 100
    elif not logs:
        below, above = below / value, above / value
    if not logs or role.percent:
        for k in np.flatnonzero(~((below < 1) & (logs | (value > 0))))[:1]:
            raise DataError(
                f"{raw.row(k)}: the lower error of {quantity} reaches zero: a limit, not a "
                "measurement"
            )
        down, up = -np.log1p(-below), np.log1p(above)
    else:
        down, up = below * factor, above * factor
    found.put(pair, {"sigma": (down + up) / 2})
    what = "limits of 68%" if limits else "lower and upper errors of 68%"
    found.notes.append(f"{names} are taken for {what}; sigma is the mean of both in the log")
    lopsided = np.flatnonzero(np.abs(up - down) > _LOPSIDED * np.maximum(up, down))
    if lopsided.size:
        k = lopsided[0]
        found.complaints.append(
            f"lower and upper errors of {lopsided.size} measurement(s) differ by more than a third "
            f"in the log ({raw.row(k)}: -{down[k]:.3g}, +{up[k]:.3g}): one sigma does not "
            "describe them"
        )


def _split_cells(found: Converted, column: str) -> None:
    """Take cells like ``1.3+/-0.1``, ``1.3 +0.1 -0.2`` or (of errors) ``+0.1 -0.2`` apart."""
    series = found.table.frame[column]
    if series.dtype.kind != "O" or not len(series):
        return
    cells = [str(cell).strip() for cell in series]
    error = _key(column) in ("error", "sigma")
    if error and all(cell.endswith("%") for cell in cells):
        found.put([column], {column: [cell.removesuffix("%") for cell in cells]})
        found.table = replace(found.table, units={**found.table.units, column: "%"})
        return
    name = "error" if error else f"{column}_err"
    new: dict[str, Any] = {}
    if not error and all(matches := [_PLUS_MINUS.fullmatch(cell) for cell in cells]):
        new = {column: [m[1] for m in matches if m], name: [m[2] for m in matches if m]}
    elif all(matches := [_SIDES.fullmatch(cell) for cell in cells]):
        parts = [m for m in matches if m]
        if any((part[1] is None) != error for part in parts):
            return
        new = {} if error else {column: [m[1] for m in parts]}
        new[f"{name}_lo"] = [m[3] or m[4] for m in parts]
        new[f"{name}_hi"] = [m[2] or m[5] for m in parts]
    if not new:
        return
    twice = [c for c in new if c != column and c in found.table.frame.columns]
    if twice:
        raise DataError(f"{found.table.source}: errors in column '{column}', and '{twice[0]}', too")
    units = dict(found.table.units)
    found.put([column] if error else [], new)
    unit = units.get(column)
    kept = dict.fromkeys(new, unit) if unit else {}
    found.table = replace(found.table, units={**found.table.units, **kept})
    found.notes.append(f"column '{column}' holds its errors, too")
