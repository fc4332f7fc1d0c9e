"""From long and wide tables to `ConcordanceData`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyxstan import tables
from pyxstan.concordance.data import ConcordanceData, Floats
from pyxstan.errors import DataError
from pyxstan.tables import Table

_QUANTITIES = ("log_flux", "flux", "counts")
#: Units that no flux has, by astropy's name of what they measure.
_NO_FLUX = {"angle", "area", "dimensionless", "energy", "length", "mass", "time"}
#: Columns of a table of instruments.
_PRIOR_COLUMNS = {"instrument", "band", "b", "tau"}
#: Columns that a note names one by one.
_NAMED = 8
_COUNTS = ("ct", "count", "ph", "photon", "adu", "electron")


@dataclass
class _Measurements:
    """Columns of a long table, read and checked one by one."""

    table: Table
    instrument: list[str]
    source: list[str]
    y: Floats
    sigma: Floats | None
    #: Row of the table that each measurement stands in.
    rows: NDArray[np.intp]
    band: list[str] | None = None
    unit: str = ""
    #: All instruments in order, those without a measurement too.
    listed: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_measurements(table: Any, instruments: Any, tau: float | None) -> ConcordanceData:
    """Do the work of `ConcordanceData.from_table`."""
    found = tables.read(table, "measurements")
    columns = set(map(str, found.frame.columns))
    if instruments is not None:
        instruments = tables.read(instruments, "instruments")
        _refuse_swapped(found, instruments)
    if {"instrument", "source"} <= columns:
        measured = _long(found)
    elif "instrument" in columns:
        measured = _wide_by_instrument(found)
    elif "source" in columns and any(name.startswith("y_") for name in columns):
        measured = _wide_by_source(found)
    else:
        raise DataError(
            f"{found.source}: no column 'instrument' (long: instrument, source and log_flux, flux "
            "or counts; wide: instrument and a column a source, or source and y_<instrument>)"
        )
    if measured.y.size == 0:
        raise DataError(f"{found.source}: no measurements")
    return _assemble(measured, instruments, tau)


def _refuse_swapped(measurements: Table, instruments: Table) -> None:
    """Raise where the table of instruments was given first."""
    first, second = set(measurements.frame.columns), set(instruments.frame.columns)
    no_measurements = "source" in second or first <= _PRIOR_COLUMNS
    if "source" not in first and no_measurements and not second <= _PRIOR_COLUMNS:
        raise DataError(
            f"{measurements.source}: no measurements, but {instruments.source} looks like them: "
            "swap them (first the measurements, then the table of instruments)"
        )


def _long(table: Table) -> _Measurements:
    given = [name for name in _QUANTITIES if name in table.frame.columns]
    if len(given) != 1:
        what = f"both '{given[0]}' and '{given[1]}'" if given else "none"
        raise DataError(f"{table.source}: expected one column of {', '.join(_QUANTITIES)}, {what}")
    quantity = given[0]
    columns = set(table.frame.columns)
    unit = ""
    _check_unit(table, quantity)
    if quantity == "log_flux":
        y = table.numbers("log_flux")
        flux = None
    else:
        flux = table.numbers(quantity, positive=True)
        y = np.log(flux)
        unit = table.units.get(quantity, "") if quantity == "flux" else ""
    if "exposure" in columns:
        if quantity != "counts":
            raise DataError(f"{table.source}: column 'exposure' goes with counts, not {quantity}")
        y = y - np.log(table.numbers("exposure", unit="s", positive=True))
        unit = "1/s"
    sigma = None
    if "sigma" in columns:
        sigma = table.numbers("sigma", unit="", positive=True)
    elif "error" in columns:
        if flux is None:
            raise DataError(f"{table.source}: column 'error' goes with flux or counts; "
                            "the error of log_flux is 'sigma'")  # fmt: skip
        sigma = table.numbers("error", unit=unit if quantity == "flux" else None, positive=True)
        sigma = sigma / flux
    else:
        _refuse_misnamed_errors(table)
        if quantity == "counts":
            sigma = np.sqrt(1.0 / np.asarray(flux))
    return _Measurements(
        table=table,
        instrument=table.labels("instrument"),
        source=table.labels("source"),
        y=y,
        sigma=sigma,
        rows=np.arange(y.size),
        band=table.labels("band") if "band" in columns else None,
        unit=unit,
    )


def _check_unit(table: Table, quantity: str) -> None:
    """Refuse a stated unit that the quantity can't have: seconds of a flux, magnitudes of a log."""
    stated = table.units.get(quantity)
    if not stated:
        return
    from astropy import units

    try:
        unit = units.Unit(stated)
        logarithmic = unit in (units.mag, units.dex, units.dB) or isinstance(
            unit, units.function.FunctionUnitBase
        )
        kinds = set() if logarithmic else set(unit.physical_type)
    except ValueError:
        unit, kinds = None, set()
    expected, good = {
        "log_flux": (
            "a natural log, which has no unit",
            unit == units.dimensionless_unscaled,
        ),
        "flux": (
            "the unit of a flux, as in 'erg / (s cm2)'",
            bool(kinds) and not kinds & _NO_FLUX,
        ),
        "counts": ("a number of counts, 'ct'", stated in _COUNTS),
    }[quantity]
    if not good:
        raise DataError(
            f"{table.source}: column '{quantity}' is in '{stated}', expected {expected}"
        )


def _refuse_misnamed_errors(table: Table) -> None:
    """Raise where a column looks like errors but has another name, rather than drop it."""
    for column in map(str, table.frame.columns):
        if re.search(r"(^|_)(e|err|error|sig|sigma|unc|uncertainty|std|sd)(_|$)", column.lower()):
            raise DataError(
                f"{table.source}: column '{column}' looks like errors: call it 'sigma' (of the "
                "natural log) or 'error' (of flux or counts), or leave it out"
            )


def _wide_by_instrument(table: Table) -> _Measurements:
    labels = table.labels("instrument")
    _refuse_repeats(table, "instrument", labels)
    columns = [
        name for name in map(str, table.frame.columns) if name not in ("instrument", "b", "tau")
    ]
    sources = [name[2:] for name in columns if name.startswith("y_")]
    if sources:
        found = _gather(table, [(name, f"y_{name}", f"sigma_{name}") for name in sources], labels)
        found.notes = _left_aside(table, columns, sources)
        return found
    sources = [name for name in columns if not name.startswith("sigma_")]
    if not sources:
        raise DataError(f"{table.source}: no column of a source beside 'instrument'")
    found = _gather(table, [(source, source, f"sigma_{source}") for source in sources], labels)
    found.notes = (f"columns taken as sources: {_some(sources)}",)
    whole = [name for name in sources if _is_whole(table, name)]
    if whole and len(whole) < len(sources):
        found.warnings = (
            f"whole numbers are taken as log fluxes: {_some(whole)} "
            "(leave out what is no source, or name the columns of sources y_<source>)",
        )
    return found


def _left_aside(table: Table, columns: Sequence[str], names: Sequence[str]) -> tuple[str, ...]:
    """Note the columns that are neither measurements nor their errors."""
    taken = {f"{prefix}{name}" for name in names for prefix in ("y_", "sigma_")}
    rest = [column for column in columns if column not in taken]
    return (f"columns left aside: {_some(rest)}",) if rest else ()


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _is_whole(table: Table, column: str) -> bool:
    """Whether a column is written as whole numbers from 0, as a year or a class is."""
    cells = [str(cell).strip() for cell in table.frame[column].dropna()]
    return all(cell.isdecimal() for cell in cells if cell)


def _wide_by_source(table: Table) -> _Measurements:
    labels = table.labels("source")
    if "obsid" in table.frame.columns:
        labels = [f"{a} {b}" for a, b in zip(labels, table.labels("obsid"), strict=True)]
    _refuse_repeats(table, "source", labels)
    names = [n[2:] for n in map(str, table.frame.columns) if n.startswith("y_")]
    found = _gather(table, [(name, f"y_{name}", f"sigma_{name}") for name in names], labels)
    found.instrument, found.source = found.source, found.instrument
    order = np.lexsort((np.arange(found.y.size), found.rows))
    found.listed = names
    return _Measurements(
        table=table,
        instrument=[found.instrument[k] for k in order],
        source=[found.source[k] for k in order],
        y=found.y[order],
        sigma=None if found.sigma is None else found.sigma[order],
        rows=found.rows[order],
        listed=names,
        notes=_left_aside(
            table,
            [n for n in map(str, table.frame.columns) if n not in ("source", "obsid", "b", "tau")],
            names,
        ),
    )


def _gather(
    table: Table, columns: Sequence[tuple[str, str, str]], labels: list[str]
) -> _Measurements:
    """Collect the filled cells of a wide table: (label of the column, its values, its errors)."""
    with_errors = [errors in table.frame.columns for _, _, errors in columns]
    if any(with_errors) and not all(with_errors):
        missing = columns[with_errors.index(False)][2]
        raise DataError(f"{table.source}: no column '{missing}', but others have errors")
    across: list[str] = []
    down: list[str] = []
    y, sigma, rows = [], [], []
    for name, values_column, errors_column in columns:
        values = table.numbers(values_column, gaps=True)
        seen = np.flatnonzero(np.isfinite(values))
        if not seen.size and "source" not in table.frame.columns:
            raise DataError(f"{table.source}: source '{name}' is measured by no instrument")
        if with_errors[0]:
            errors = table.numbers(errors_column, gaps=True)
            wrong = seen[~(errors[seen] > 0)]
            if wrong.size:
                value = errors[wrong[0]]
                given = "empty" if np.isnan(value) else f"{value:g}"
                raise DataError(
                    f"{table.row(wrong[0])}: {errors_column} is {given}, expected a positive number"
                )
            sigma.append(errors[seen])
        across += [name] * seen.size
        down += [labels[row] for row in seen]
        y.append(values[seen])
        rows.append(seen)
    missing_rows = np.setdiff1d(np.arange(len(labels)), np.concatenate(rows))
    if missing_rows.size and "source" in table.frame.columns:
        row = int(missing_rows[0])
        raise DataError(f"{table.row(row)}: source '{labels[row]}' is measured by no instrument")
    return _Measurements(
        table=table,
        instrument=down,
        source=across,
        y=np.concatenate(y),
        sigma=np.concatenate(sigma) if sigma else None,
        rows=np.concatenate(rows),
        listed=labels,
    )


def _refuse_repeats(table: Table, column: str, labels: list[str]) -> None:
    seen: dict[str, int] = {}
    for row, label in enumerate(labels):
        if label in seen:
            raise DataError(f"{table.row(row)}: {column} '{label}' is there twice")
        seen[label] = row


def _assemble(measured: _Measurements, instruments: Any, tau: float | None) -> ConcordanceData:
    names = measured.listed or list(dict.fromkeys(measured.instrument))
    bands = list(dict.fromkeys(measured.band or []))
    table = None if instruments is None else tables.read(instruments, "instruments")
    if table is None and measured.listed and "tau" in measured.table.frame.columns:
        table = measured.table  # a wide table may carry b and tau itself
    b_of, tau_of = _instrument_priors(table, bands)
    if table is None:
        pairs = _pairs(names, bands)
        used = set(zip(measured.instrument, measured.band or [""] * len(names), strict=False))
        pairs = [pair for pair in pairs if not bands or pair in used]
    else:
        pairs = list(b_of)
        if bands and "band" not in table.frame.columns:
            used = set(zip(measured.instrument, measured.band or [], strict=True))
            named = {name for name, _ in used}
            pairs = [pair for pair in pairs if pair in used or pair[0] not in named]
    position = {pair: i for i, pair in enumerate(pairs)}
    keys = list(zip(measured.instrument, measured.band or [""] * measured.y.size, strict=True))
    for k, key in enumerate(keys):
        if key not in position:
            where = measured.table.row(measured.rows[k])
            listed = ", ".join(dict.fromkeys(name for name, _ in pairs))
            what = f"instrument '{key[0]}'" + (f" in band '{key[1]}'" if key[1] else "")
            listing = table.source if table is not None else "the table"
            raise DataError(f"{where}: unknown {what}; {listing} lists {listed}")
    source_keys = [
        f"{source} {band}" if band else source
        for source, (_, band) in zip(measured.source, keys, strict=True)
    ]
    sources = list(dict.fromkeys(source_keys))
    source_position = {label: j for j, label in enumerate(sources)}
    instrument = np.array([position[key] for key in keys])
    source = np.array([source_position[label] for label in source_keys])
    _refuse_duplicates(measured, instrument, source)
    source_band = dict(zip(source_keys, (band for _, band in keys), strict=True))
    return ConcordanceData(
        instruments=tuple(f"{name} {band}".strip() for name, band in pairs),
        sources=tuple(sources),
        instrument=instrument,
        source=source,
        y=measured.y,
        sigma=measured.sigma,
        b=np.array([b_of.get(pair, 0.0) for pair in pairs]),
        tau=np.array([tau_of.get(pair, np.nan) if tau is None else tau for pair in pairs]),
        names=tuple(name for name, _ in pairs) if bands else (),
        bands=tuple(band for _, band in pairs) if bands else (),
        source_bands=tuple(source_band[label] for label in sources) if bands else (),
        unit=measured.unit,
        notes=measured.notes,
        warnings=measured.warnings,
    )


def _pairs(names: Sequence[str], bands: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, band) for name in names for band in (bands or [""])]


def _refuse_duplicates(
    measured: _Measurements, instrument: NDArray[Any], source: NDArray[Any]
) -> None:
    seen: dict[tuple[int, int], int] = {}
    for k, pair in enumerate(zip(instrument.tolist(), source.tolist(), strict=True)):
        if pair in seen:
            first = measured.table.row(measured.rows[seen[pair]]).removeprefix(
                f"{measured.table.source}: "
            )
            raise DataError(
                f"{measured.table.row(measured.rows[k])}: '{measured.source[k]}' by "
                f"'{measured.instrument[k]}' is a duplicate of {first}"
            )
        seen[pair] = k


def _instrument_priors(
    table: Table | None, bands: list[str]
) -> tuple[dict[tuple[str, str], float], dict[tuple[str, str], float]]:
    """b and tau by (instrument, band); a table without bands speaks for all of them."""
    if table is None:
        return {}, {}
    table.require(["instrument"])
    names = table.labels("instrument")
    columns = set(table.frame.columns)
    size = len(names)
    b = table.numbers("b", unit="") if "b" in columns else np.zeros(size)
    tau = (
        table.numbers("tau", unit="", positive=True) if "tau" in columns else np.full(size, np.nan)
    )
    own_bands = table.labels("band") if "band" in columns else None
    if own_bands is not None and not bands:
        raise DataError(f"{table.source}: column 'band', but the measurements have none")
    b_of: dict[tuple[str, str], float] = {}
    tau_of: dict[tuple[str, str], float] = {}
    for row, name in enumerate(names):
        for band in [own_bands[row]] if own_bands is not None else (bands or [""]):
            if (name, band) in b_of:
                raise DataError(f"{table.row(row)}: instrument '{name}' is there twice")
            b_of[name, band] = float(b[row])
            tau_of[name, band] = float(tau[row])
    return b_of, tau_of
