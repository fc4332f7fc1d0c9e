"""From RMF, RSP and ARF files to `Response`.

Source: George et al. 1992 (OGIP memo CAL/GEN/92-002), 92-002a, and the revision of 2020 for a
response that is split among several matrices.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra.energy_bins import (
    EnergyBins,
    energies,
    energy_bins,
    spread,
    united,
    without_gaps,
)
from pyxstan.spectra.file_names import Place, given, listed
from pyxstan.spectra.fits_tables import Floats, Ints, Table, read_tables
from pyxstan.spectra.redistribution import Groups, unpacked
from pyxstan.spectra.response import Response, Sparse, check_area

if TYPE_CHECKING:
    from collections.abc import Iterable

_MATRIX = "MATRIX"
_WITH_AREA = "SPECRESP MATRIX"
#: Matrices that differ in one of these are no parts of one response.
_APART = (
    "HDUCLAS3", "TSTART", "TSTOP", "DATE-OBS", "TIME-OBS", "DATE-END", "TIME-END", "INSTRUME",
    "DETNAM", "FILTER", "GRATING", "ORDER", "TG_M", "TG_PART", "TG_SRCID",
)  # fmt: skip
#: More counts than this of one photon are no redistribution, fewer at every energy hardly one.
_MOST, _LEAST = 1.5, 0.1


def read_response(rmf: str | os.PathLike[str], arf: str | os.PathLike[str] | None) -> Response:
    """Do the work of `Response.read`."""
    notes: list[str] = []
    place = given(rmf, notes)
    tables = read_tables(place.path)
    matrices = _matrix_tables(tables, place, notes)
    channels = _channels(_named_table(tables, "EBOUNDS", place, ("E_MIN", "E_MAX")), notes)
    holds_area = [_holds_area(table) for table in matrices]
    if arf is not None and any(holds_area):
        table = matrices[holds_area.index(True)]
        raise DataError(
            f"{place}: {table.name} holds the effective area already ({_why(table)}), expected no "
            f"ARF ('none'), got {arf}"
        )
    bins = [energy_bins(table, notes) for table in matrices]
    every = united(bins)
    parts, offsets = [], []
    for table, own in zip(matrices, bins, strict=True):
        groups = Groups.read(table, len(channels.low))
        offsets.append(_offset(table, groups, channels.first, notes))
        part = unpacked(groups, offsets[-1])
        if not np.array_equal(own.rows, np.arange(table.rows)):
            part = sparse.csr_array(part[:, own.rows])
        part.data *= _factor(table, arf is None, notes)
        parts.append(spread(part, own, every))
    matrix = parts[0] if len(parts) == 1 else sparse.csr_array(sum(parts[1:], start=parts[0]))
    if len(parts) > 1:
        notes.append(f"{place}: {len(parts)} matrices that split one response are added")
    if np.any(matrix.data < 0):
        notes.append(f"{place}: the matrix has {np.sum(matrix.data < 0)} negative elements")
    area = np.ones(every.size)
    source: tuple[str, ...] = (str(place),)
    if arf is not None:
        where = given(arf, notes)
        area, every = _read_area(where, every, str(place), notes)
        source = (str(place), str(where))
        _check_sums(matrix, place, notes)
    else:
        most = float(np.max(matrix.sum(axis=0), initial=0.0))
        if not any(holds_area):
            notes.append(_no_area(matrices[0], place, most))
        elif most <= _MOST:
            notes.append(
                f"{place}: no ARF given, and the matrix makes up to {most:.4g} counts of a photon: "
                "an effective area of about 1 cm2, or none, is in it"
            )
    bottom, top = channels.low.min(), channels.high.max()
    if bottom >= every.high[-1] or top <= every.low[0]:
        notes.append(
            f"{place}: EBOUNDS are from {bottom:g} to {top:g} keV, energies from {every.low[0]:g} "
            f"to {every.high[-1]:g} keV: ranges of energies (notice, ignore) count by EBOUNDS"
        )
    first = offsets[0] if channels.first is None else channels.first
    every, matrix, area = without_gaps(every, matrix, area, str(place), notes)
    return Response(
        every.low, every.high, channels.low, channels.high, first, matrix, area, source,
        tuple(dict.fromkeys(notes)),
    )  # fmt: skip


def _named_table(tables: list[Table], name: str, place: Place, columns: Iterable[str]) -> Table:
    """Find a table by its name, else by what its HDUCLAS keywords say, else by its columns."""
    for found in (
        [table for table in tables if table.name == name],
        [table for table in tables if table.text("HDUCLAS2") == name],
        [table for table in tables if all(column in table for column in columns)],
    ):
        if found:
            return found[0]
    raise DataError(f"{place.path}: no extension {name}; there are {listed(tables)}")


def _matrix_tables(tables: list[Table], place: Place, notes: list[str]) -> list[Table]:
    """Find the matrix, or the matrices that make up one response."""
    asked = place.among(tables)
    found = [table for table in asked if table.name in (_MATRIX, _WITH_AREA)]
    found = found or [table for table in asked if table.text("HDUCLAS2") == "RSP_MATRIX"]
    found = found or [table for table in asked if "MATRIX" in table and "N_CHAN" in table]
    if not found:
        raise DataError(
            f"{place.path}: no extension {_MATRIX} or {_WITH_AREA}; there are {listed(tables)}"
        )
    for table in found:
        if not table.rows:
            raise DataError(f"{place.path}: extension {table.name} has no rows")
    different = _difference(found)
    if place.number is not None:
        if not isinstance(place.number, int) or not 1 <= place.number <= len(found):
            raise DataError(
                f"{place.path}: no matrix {{{place.number}}}, there are {len(found)}, counted "
                "from 1"
            )
        if len(found) > 1 and not different:
            notes.append(
                f"{place}: one of {len(found)} matrices that may be parts of one response: "
                f"{place.path.name} alone adds them"
            )
        return [found[place.number - 1]]
    if different:
        values = "; ".join(f"{{{k}}} {_said(t, different)}" for k, t in enumerate(found, 1))
        raise DataError(
            f"{place.path}: {len(found)} matrices that differ in {different} ({values}), expected "
            f"one named, as in {place.path.name}{{1}}"
        )
    return found


def _difference(tables: list[Table]) -> str:
    """In what tables differ that can't be parts of one response, empty if in nothing."""
    if len({table.name for table in tables}) > 1:
        return "their names"
    for keyword in _APART:
        if len({table.text(keyword) for table in tables}) > 1:
            return keyword
    return ""


def _said(table: Table, different: str) -> str:
    return table.name if different == "their names" else table.text(different) or "none"


def _holds_area(table: Table) -> bool:
    """Whether the effective area is folded into a matrix."""
    kind = table.text("HDUCLAS3")
    if kind.startswith("FULL"):
        return True
    if kind.startswith(("REDIST", "DETECTOR")):
        return False
    return table.name == _WITH_AREA or table.has_unit("MATRIX", "cm2")


def _why(table: Table) -> str:
    if table.text("HDUCLAS3").startswith("FULL"):
        return "HDUCLAS3 is FULL"
    if table.name == _WITH_AREA:
        return "no HDUCLAS3 of REDIST"
    return f"in {table.unit('MATRIX')}"


def _no_area(table: Table, place: Place, most: float) -> str:
    kind = table.text("HDUCLAS3")
    if kind.startswith(("REDIST", "DETECTOR")):
        if most > _MOST:
            return (
                f"{place}: no ARF given, and HDUCLAS3 is {kind}, but the matrix makes up to "
                f"{most:.4g} counts of a photon: an effective area is taken to be in it"
            )
        return (
            f"{place}: no ARF given, but HDUCLAS3 is {kind}: the effective area is missing (of the "
            "mirrors at least), fluxes are wrong by it"
        )
    told = f", which makes up to {most:.4g} counts of a photon" if most <= _MOST else ""
    return f"{place}: no ARF given, the effective area is taken to be in the matrix{told}"


def _check_sums(matrix: Sparse, place: Place, notes: list[str]) -> None:
    most = float(np.max(matrix.sum(axis=0), initial=0.0))
    if most > _MOST:
        notes.append(
            f"{place}: the matrix makes up to {most:.4g} counts of a photon: is the effective area "
            "in it besides the ARF's?"
        )
    elif most < _LEAST:
        notes.append(
            f"{place}: the matrix makes no more than {most:.4g} counts of a photon at any energy: "
            "is that its efficiency? Else fluxes are wrong by it"
        )


@dataclass(frozen=True, eq=False)
class _Channels:
    """Nominal bounds of the channels in keV, and the number of the first, None if not known."""

    low: Floats
    high: Floats
    first: int | None


def _channels(bounds: Table, notes: list[str]) -> _Channels:
    """Read EBOUNDS. Folding doesn't need its numbers: what is odd in them is put right and said."""
    low, high = energies(bounds, "E_MIN", "E_MAX", notes)
    if not len(low):
        raise DataError(f"{bounds.source}: extension {bounds.name} has no rows")
    first, order = _numbering(bounds, notes)
    low, high = low[order], high[order]
    upside_down = np.flatnonzero(low > high)
    if len(upside_down):
        notes.append(
            f"{bounds.source}: EBOUNDS: E_MIN above E_MAX in {len(upside_down)} of {len(low)} "
            f"channels, the first in row {upside_down[0] + 1}, taken the other way round"
        )
        low, high = np.minimum(low, high), np.maximum(low, high)
    return _Channels(low, high, first)


def _numbering(bounds: Table, notes: list[str]) -> tuple[int | None, Ints]:
    """Number of the first channel, and the rows of EBOUNDS in order of the channels."""
    in_order = np.arange(bounds.rows)
    limit = bounds.limit("TLMIN", "CHANNEL")
    if "CHANNEL" not in bounds:
        notes.append(f"{bounds.source}: EBOUNDS has no column CHANNEL, channels taken in order")
        return limit, in_order
    numbers = bounds.numbers("CHANNEL")
    wrong = np.flatnonzero(numbers != numbers[0] + in_order)
    if not len(wrong):
        return int(numbers[0]), in_order
    order = np.argsort(numbers, kind="stable")
    if np.array_equal(numbers[order], numbers[order[0]] + in_order):
        notes.append(f"{bounds.source}: EBOUNDS: channels are not in order, sorted")
        return int(numbers[order[0]]), order
    stated = bounds.number("DETCHANS")
    row = int(wrong[0])
    if stated is not None and stated != bounds.rows:
        raise DataError(
            f"{bounds.source}: EBOUNDS row {row + 1}: CHANNEL is {numbers[row]:g}, expected "
            f"{numbers[0] + row:g}, and DETCHANS is {stated:g} with {bounds.rows} rows"
        )
    notes.append(
        f"{bounds.source}: EBOUNDS row {row + 1}: CHANNEL is {numbers[row]:g}, expected "
        f"{numbers[0] + row:g}; channels taken in order"
    )
    return limit, in_order


def _factor(table: Table, alone: bool, notes: list[str]) -> float:
    """From the unit of a matrix that has the effective area in it to cm2, else 1."""
    holds_area = _holds_area(table)
    if table.has_unit("MATRIX", "cm2"):
        return table.factor("MATRIX", "cm2")[0] if alone or holds_area else 1.0
    if table.unit("MATRIX") and holds_area:
        notes.append(
            f"{table.source}: unit '{table.unit('MATRIX')}' of MATRIX is none of an area, cm2 taken"
        )
    return 1.0


def _offset(table: Table, groups: Groups, first: int | None, notes: list[str]) -> int:
    """Find the number of the first channel, as the column F_CHAN counts.

    ``TLMIN`` of F_CHAN is it; OGIP's default is 1. Where there is no TLMIN and some group would
    then not be in the channels that there are, it is another under which all are.
    """
    stated = table.limit("TLMIN", "F_CHAN")
    if stated is None:
        likely = [1, 0] if first is None or first in (0, 1) else [first, 1, 0]
        fits = [offset for offset in likely if groups.fit(offset)]
        stated = fits[0] if fits else likely[0]
        said = "" if len(fits) < 2 else f"; {fits[1]} would be possible, too"
        notes.append(f"{table.source}: no TLMIN of F_CHAN, channels counted from {stated}{said}")
    elif first is not None and stated != first:
        notes.append(
            f"{table.source}: F_CHAN counts channels from {stated} (TLMIN), EBOUNDS from {first}; "
            "taken in order"
        )
    return stated


def _read_area(
    place: Place, bins: EnergyBins, rmf: str, notes: list[str]
) -> tuple[Floats, EnergyBins]:
    """Read the effective area of an ARF file that must have the energies of the RMF.

    And its energies, which are taken where the two are rounded otherwise, as Sherpa does.
    """
    tables = place.among(read_tables(place.path))
    table = _named_table(tables, "SPECRESP", place, ("ENERG_LO", "SPECRESP"))
    if place.number is not None:
        found = [one for one in tables if one.name == table.name]
        if not isinstance(place.number, int) or not 1 <= place.number <= len(found):
            raise DataError(
                f"{place.path}: no SPECRESP {{{place.number}}}, there are {len(found)}, counted "
                "from 1"
            )
        table = found[place.number - 1]
    own = energy_bins(table, notes)
    factor, note = table.factor("SPECRESP", "cm2")
    notes.extend([note] * bool(note))
    area = table.scalars("SPECRESP") * factor
    check_area(area, str(place))
    if own.size != bins.size:
        raise DataError(
            f"{place}: {own.size} energy bins, but {rmf} has {bins.size}: they don't belong "
            "together"
        )
    differs = np.flatnonzero(own.differing(bins))
    if len(differs):
        row = int(differs[0])
        raise DataError(
            f"{place}: row {own.rows[row] + 1}: {own.low[row]:g} to {own.high[row]:g} keV, but "
            f"{rmf} has {bins.low[row]:g} to {bins.high[row]:g} keV"
        )
    return area[own.rows], own
