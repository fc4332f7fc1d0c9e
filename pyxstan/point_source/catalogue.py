"""A catalogue of sources at known positions, that shine alike but for known weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source import event_columns, text_files
from pyxstan.point_source.arrays import Floats

_WEIGHT = ("weight", "weights", "w", "flux", "rel_weight", "relative_weight")
_NAME = ("name", "source", "source_name", "object", "id")
#: Sources closer than this (rad) are one.
_SAME = 1e-9


@dataclass(frozen=True)
class Catalogue:
    """Sources that are taken for one: their spectral index is the same, their fluxes known weights.

    Parameters
    ----------
    ra, dec
        Positions (ICRS, rad), shape (sources,).
    weight
        Relative fluxes, dN/dE at any energy; normalised here.
    names
        Of the sources.
    source
        Where the catalogue comes from, for messages.
    notes
        What was decided about it.

    Raises
    ------
    DataError
        A number is none that it can be, or two sources are the same.
    """

    ra: Floats
    dec: Floats
    weight: Floats
    names: Sequence[str] = ()
    source: str = "catalogue"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        ra, dec, weight = (
            np.atleast_1d(np.asarray(values, dtype=float))
            for values in (self.ra, self.dec, self.weight)
        )
        if not len(ra):
            raise DataError(f"{self.source}: no sources")
        if not ra.shape == dec.shape == weight.shape:
            raise DataError(
                f"{self.source}: {len(ra)} ra, {len(dec)} dec and {len(weight)} weights, expected "
                "as many of each"
            )
        names = tuple(map(str, self.names)) or tuple(f"{k + 1}" for k in range(len(ra)))
        if len(names) != len(ra) or len(set(names)) < len(names):
            raise DataError(f"{self.source}: expected a name of its own for each of {len(ra)}")
        wrong = ~(np.isfinite(ra) & (np.abs(dec) <= 0.5 * np.pi + 1e-9))
        if wrong.any():
            k = int(np.argmax(wrong))
            raise DataError(
                f"{self.source}: source {names[k]} is at ra {np.degrees(ra[k]):g}, dec "
                f"{np.degrees(dec[k]):g} deg, expected a position"
            )
        wrong = ~(np.isfinite(weight) & (weight > 0))
        if wrong.any():
            k = int(np.argmax(wrong))
            raise DataError(
                f"{self.source}: weight of source {names[k]} is {weight[k]:g}, expected above zero"
            )
        self._refuse_same(ra, dec, names)
        object.__setattr__(self, "ra", ra % (2.0 * np.pi))
        object.__setattr__(self, "dec", dec)
        object.__setattr__(self, "weight", weight / weight.sum())
        object.__setattr__(self, "names", names)

    def __len__(self) -> int:
        return len(self.ra)

    def _refuse_same(self, ra: Floats, dec: Floats, names: Sequence[str]) -> None:
        along = np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)
        order = np.lexsort(np.round(along / _SAME).T)
        near = (np.abs(np.diff(along[order], axis=0)) < _SAME).all(axis=1)
        if near.any():
            k = int(np.argmax(near))
            first, second = sorted(order[[k, k + 1]])
            raise DataError(
                f"{self.source}: sources {names[first]} and {names[second]} are at the same place"
            )


def read_catalogue(table: Any, angle_unit: str = "deg") -> Catalogue:
    """Read a catalogue.

    Parameters
    ----------
    table
        A file (CSV, FITS, ECSV, text) or a table in memory, a row a source: ``ra``, ``dec``, and,
        if there are any, ``weight`` (else all weigh the same) and ``name``.
    angle_unit
        ``deg`` or ``rad``: of angles whose column states none.

    Raises
    ------
    DataError
        A column is missing, or a row holds what can't be.
    """
    if angle_unit not in ("deg", "rad"):
        raise DataError(f"catalogue: angle_unit '{angle_unit}', expected deg or rad")
    read = text_files.read(table, "catalogue")
    found = event_columns.find(read)
    ra, dec = (event_columns.require(read, found, what) for what in ("ra", "dec"))
    columns = {str(column).strip().lower(): column for column in read.frame.columns}
    weights, names = (
        [columns[name] for name in known if name in columns] for known in (_WEIGHT, _NAME)
    )
    if len(weights) > 1:
        raise DataError(
            f"{read.source}: columns '{weights[0]}' and '{weights[1]}' may both be weights"
        )
    size = len(read.frame)
    source = str(table) if isinstance(table, str | Path) else "catalogue"
    stated = ra.unit is not None and dec.unit is not None
    places = ra.angle(angle_unit), dec.angle(angle_unit)
    unsure = size and not stated and angle_unit == "deg"
    return Catalogue(
        np.radians(places[0]),
        np.radians(places[1]),
        read.numbers(weights[0]) if weights else np.ones(size),
        [str(name) for name in read.frame[names[0]]] if names else (),
        source,
        (
            *(event_columns.maybe_radians(*places, source) if unsure else ()),
            *(f"{source}: '{name}' is taken for weights" for name in weights if name != "weight"),
        ),
    )
