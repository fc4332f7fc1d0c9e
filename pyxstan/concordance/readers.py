"""From long and wide tables to `ConcordanceData`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyxstan import tables
from pyxstan.concordance import conversions
from pyxstan.concordance.columns import (
    left_aside,
    look_alikes,
    meaning,
    parse_mapping,
    parse_names,
    refuse_decades,
    refuse_fluxes,
    refuse_no_source,
    some,
    warn_of_absolute,
    warn_of_averages,
    warn_of_decades,
)
from pyxstan.concordance.data import ConcordanceData, Floats
from pyxstan.errors import DataError
from pyxstan.tables import Table

_QUANTITIES = ("log_flux", "flux", "counts")
#: Units that no flux has, by astropy's name of what they measure.
_NO_FLUX = {"angle", "area", "dimensionless", "energy", "length", "mass", "time"}
#: Columns of a table of instruments.
_PRIOR_COLUMNS = {"instrument", "band", "b", "tau"}
#: Columns that tell observations of one source apart.
_OBSERVATION = ("obsid", "epoch")
_KNOWN = {
    "instrument",
    "source",
    "band",
    "exposure",
    "background",
    "sigma",
    "error",
    *_QUANTITIES,
    *_OBSERVATION,
}
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
    #: Of Poisson counts: counts, exposure, background.
    poisson: dict[str, Floats] = field(default_factory=dict)
    #: All instruments in order, those without a measurement too.
    listed: list[str] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()


def read_measurements(
    table: Any,
    instruments: Any,
    tau: float | None,
    renamed: str | Mapping[str, str] | None = None,
    ignored: str | Sequence[str] | None = None,
) -> ConcordanceData:
    """Do the work of `ConcordanceData.from_table`."""
    found = tables.read(table, "measurements")
    mapping = parse_mapping(renamed)
    refuse_decades(mapping, found.source)
    found = conversions.with_units(found).renamed(mapping)
    others = None if instruments is None else tables.read(instruments, "instruments")
    others = None if others is None else conversions.with_units(others)
    left = parse_names(ignored)
    found, others, left = _without(found, others, left)
    found = conversions.named(found)
    others = None if others is None else conversions.named(others)
    found, others, left = _without(found, others, left)
    found = found.without(left)
    found.require(
        name for name in found.unusable if name in _KNOWN or name.startswith(("y_", "sigma_"))
    )
    columns = set(map(str, found.frame.columns))
    if others is not None:
        _refuse_swapped(found, others)
    if {"instrument", "source"} <= columns:
        measured = _long(found)
    elif "instrument" in columns:
        measured = _wide_by_instrument(found)
    elif "source" in columns and any(name.startswith("y_") for name in columns):
        measured = _wide_by_source(found)
    else:
        there = some(list(map(str, found.frame.columns)))
        raise DataError(
            f"{found.source}: no column 'instrument' (long: instrument, source and log_flux, flux "
            "or counts; wide: instrument and a column a source, or source and y_<instrument>); "
            f"there are {there}: which it is, columns=instrument:NAME says"
        )
    if measured.y.size == 0:
        raise DataError(f"{found.source}: no measurements")
    if others is not None:
        measured.notes += left_aside(others, _PRIOR_COLUMNS, of_areas=True)
    return _assemble(measured, others, tau)


def _without(
    found: Table, others: Table | None, names: list[str]
) -> tuple[Table, Table | None, list[str]]:
    """Both tables without what of these names they have, and the names that neither has."""
    rest = [n for n in names if not (found.has(n) or (others is not None and others.has(n)))]
    found = found.without([name for name in names if found.has(name)])
    if others is not None:
        others = others.without([name for name in names if others is not None and others.has(name)])
    return found, others, rest


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
    given_columns = set(table.frame.columns)
    converted = conversions.of_long(table)
    table = converted.table
    given = [name for name in _QUANTITIES if name in table.frame.columns]
    if len(given) != 1:
        there = some([c for c in map(str, table.frame.columns) if c not in _KNOWN])
        what = f"none, but {there}: which it is, columns=flux:NAME says" if there else "none"
        what = f"both '{given[0]}' and '{given[1]}'" if given else what
        raise DataError(f"{table.source}: expected one column of {', '.join(_QUANTITIES)}, {what}")
    quantity = given[0]
    columns = set(table.frame.columns)
    unit = ""
    _check_unit(table, quantity)
    poisson: dict[str, Floats] = {}
    with_errors = bool(columns & {"sigma", "error"})
    if quantity == "log_flux":
        y = table.numbers("log_flux")
        table.refuse_marks("log_flux", y)
        flux = None
    elif quantity == "counts" and not with_errors:
        poisson = _poisson(table, columns)
        flux = np.maximum(poisson["counts"] - poisson["background"], 0.5)
        y = np.log(flux)
    else:
        flux = table.numbers(quantity, positive=True)
        if quantity == "counts":
            _refuse_fractions(table, flux)
        y = np.log(flux)
        unit = table.units.get(quantity, "") if quantity == "flux" else ""
    if "exposure" in columns:
        if quantity != "counts":
            raise DataError(f"{table.source}: column 'exposure' goes with counts, not {quantity}")
        exposure = table.numbers("exposure", unit="s", positive=True)
        y = y - np.log(exposure)
        unit = "1/s"
        if poisson:
            poisson["exposure"] = exposure
    sigma = None
    if "sigma" in columns:
        sigma = table.numbers("sigma", unit="", positive=True)
    elif "error" in columns:
        if flux is None:
            raise DataError(f"{table.source}: column 'error' goes with flux or counts; "
                            "the error of log_flux is 'sigma'")  # fmt: skip
        sigma = table.numbers("error", unit=unit if quantity == "flux" else None, positive=True)
        sigma = sigma / flux
    if {"sigma", "error"} <= columns:
        raise DataError(f"{table.source}: columns 'sigma' and 'error', expected one of them")
    sources, apart = _observations(table)
    used = {"instrument", "source", "band", quantity, "exposure", "sigma", "error"}
    used |= {*apart, *poisson}
    notes = (*converted.notes, *left_aside(table, used, {quantity}))
    if apart:
        notes = (f"observations are told apart by {' and '.join(apart)}", *notes)
    if flux is None:
        refuse_fluxes(y, f"{table.source}: column 'log_flux'")
        if not converted.decades:
            notes = ("log_flux is taken for natural logarithms", *notes)
    doubts = tuple(table.marks("flux", flux)) if flux is not None and quantity == "flux" else ()
    if flux is None and not converted.decades:
        doubts = warn_of_decades(y, table.source)
    if flux is not None and sigma is not None and "sigma" in given_columns:
        doubts += warn_of_absolute(sigma, flux, table.source)
    return _Measurements(
        table=table,
        instrument=table.labels("instrument"),
        source=sources,
        y=y,
        sigma=sigma,
        rows=np.arange(y.size),
        band=table.labels("band") if "band" in columns else None,
        unit=unit,
        poisson=poisson,
        notes=notes,
        warnings=doubts,
        complaints=tuple(converted.complaints),
    )


def _observations(table: Table) -> tuple[list[str], list[str]]:
    """Names of the sources, with what tells observations of one of them apart; and its columns."""
    apart = [name for name in _OBSERVATION if name in table.frame.columns]
    sources = table.labels("source")
    if not apart:
        return sources, apart
    parts = zip(*(table.labels(name) for name in apart), strict=True)
    found = [f"{source} {' '.join(one)}" for source, one in zip(sources, parts, strict=True)]
    instruments = table.labels("instrument") if "instrument" in table.frame.columns else []
    if _shared(instruments, sources) and not _shared(instruments, found):
        raise DataError(
            f"{table.source}: column '{apart[0]}': no two instruments share an observation; give "
            f"simultaneous ones the same, or leave it out (ignore={apart[0]})"
        )
    return found, apart


def _shared(instruments: Sequence[str], sources: Sequence[str]) -> bool:
    """Whether any source is seen by two instruments."""
    seen: dict[str, str] = {}
    return any(
        seen.setdefault(source, instrument) != instrument
        for source, instrument in zip(sources, instruments, strict=False)
    )


def _poisson(table: Table, columns: set[str]) -> dict[str, Floats]:
    """Counts, zeros included, and the expected background counts among them."""
    counts = table.numbers("counts")
    for k in np.flatnonzero(counts < 0)[:1]:
        raise DataError(f"{table.row(k)}: counts is {counts[k]:g}, expected a whole number from 0")
    _refuse_fractions(table, counts)
    background = np.zeros_like(counts)
    if "background" in columns:
        background = table.numbers("background")
        for k in np.flatnonzero(background < 0)[:1]:
            raise DataError(
                f"{table.row(k)}: background is {background[k]:g}, expected the number of "
                "background counts to expect, 0 or more"
            )
    return {"counts": counts, "background": background}


def _refuse_fractions(table: Table, counts: Floats) -> None:
    for k in np.flatnonzero(counts != np.floor(counts))[:1]:
        raise DataError(
            f"{table.row(k)}: counts is {counts[k]:g}, expected a whole number (net or scaled "
            "counts are a 'flux' with an 'error')"
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


def _wide_by_instrument(table: Table) -> _Measurements:
    labels = table.labels("instrument")
    _refuse_repeats(table, "instrument", labels)
    columns = [
        name for name in map(str, table.frame.columns) if name not in ("instrument", "b", "tau")
    ]
    sources = [name[2:] for name in columns if name.startswith("y_")]
    if sources:
        found = _gather(table, [(name, f"y_{name}", f"sigma_{name}") for name in sources], labels)
        found.notes = left_aside(table, {"instrument", "b", "tau", *_taken(sources)}, {})
        return _as_logs(found)
    sources = [name for name in columns if not name.startswith("sigma_")]
    for name in [*sources, *table.unusable]:
        what = meaning(name)
        if what:
            raise DataError(
                f"{table.source}: column '{name}' looks like {what}, not like a source: call "
                "errors 'sigma_<source>', or leave it out, or name the columns of sources "
                f"y_<source> (ignore={name} leaves it out)"
            )
        refuse_no_source(name, table.source)
    if not sources:
        raise DataError(f"{table.source}: no column of a source beside 'instrument'")
    found = _gather(table, [(source, source, f"sigma_{source}") for source in sources], labels)
    found.notes = (f"columns taken as sources: {some(sources)}",)
    whole = [name for name in sources if _is_whole(table, name)]
    if whole and len(whole) < len(sources):
        found.warnings = (
            f"whole numbers are taken as log fluxes: {some(whole)} "
            "(leave out what is no source, or name the columns of sources y_<source>)",
        )
    elif (found.y > 0).all():
        found.warnings = (
            "numbers above zero are taken for natural logs of fluxes (fluxes themselves go into a "
            "table with a row a measurement)",
        )
    return _as_logs(found)


def _as_logs(found: _Measurements) -> _Measurements:
    """A wide table's measurements, which are natural logs."""
    refuse_fluxes(found.y, found.table.source)
    found.warnings += warn_of_decades(found.y, found.table.source)
    return found


def _taken(names: Sequence[str]) -> set[str]:
    """Columns of a wide table that are measurements or their errors."""
    return {f"{prefix}{name}" for name in names for prefix in ("y_", "sigma_")}


def _is_whole(table: Table, column: str) -> bool:
    """Whether a column is written as whole numbers from 0, as a year or a class is."""
    cells = [str(cell).strip() for cell in table.frame[column].dropna()]
    return all(cell.isdecimal() for cell in cells if cell)


def _wide_by_source(table: Table) -> _Measurements:
    labels, apart = _observations(table)
    _refuse_repeats(table, "source", labels)
    names = [n[2:] for n in map(str, table.frame.columns) if n.startswith("y_")]
    found = _gather(table, [(name, f"y_{name}", f"sigma_{name}") for name in names], labels)
    found.instrument, found.source = found.source, found.instrument
    order = np.lexsort((np.arange(found.y.size), found.rows))
    found.listed = names
    measured = _Measurements(
        table=table,
        instrument=[found.instrument[k] for k in order],
        source=[found.source[k] for k in order],
        y=found.y[order],
        sigma=None if found.sigma is None else found.sigma[order],
        rows=found.rows[order],
        listed=names,
        notes=left_aside(table, {"source", "b", "tau", *apart, *_taken(names)}, {}),
    )
    return _as_logs(measured)


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
        table.refuse_marks(values_column, values)
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


def _assemble(
    measured: _Measurements, instruments: Table | None, tau: float | None
) -> ConcordanceData:
    names = measured.listed or list(dict.fromkeys(measured.instrument))
    bands = list(dict.fromkeys(measured.band or []))
    table = instruments
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
        **measured.poisson,
        notes=measured.notes,
        complaints=measured.complaints,
        warnings=(
            *measured.warnings,
            *look_alikes(sources, "sources"),
            *look_alikes([name for name, _ in pairs], "instruments"),
            *warn_of_averages(measured.source, "source"),
            *warn_of_averages([name for name, _ in pairs], "instrument"),
        ),
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
    if "b" in columns:
        table.refuse_marks("b", b)
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
