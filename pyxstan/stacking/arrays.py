"""Samples in memory: arrays of all kinds, masked or with units, as plain numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.stacking.sample_priors import Recorded, scaled
from pyxstan.tables import marks_of_nothing

if TYPE_CHECKING:
    from pyxstan.stacking.data import Floats, PosteriorSamples

#: Names of parameters that go round a circle, and the circles that they may go round.
_CIRCULAR = re.compile(
    r"(^|[^a-z])(ra|ra_deg|raj2000|lon|longitude|l|pa|phi|phase|azimuth|(position_?)?angle"
    r"|theta|roll)([^a-z]|$)"
)
_CIRCLES = ((0.0, 360.0), (-180.0, 180.0), (0.0, 180.0), (-90.0, 90.0), (0.0, 24.0),
            (0.0, 2 * np.pi), (-np.pi, np.pi), (0.0, np.pi))  # fmt: skip
#: Those of a phase, which may be in turns.
_OF_PHASES = ((0.0, 1.0), (-0.5, 0.5), *_CIRCLES)
#: Samples within this part of the circle from its ends, and none in its middle half: they wrap.
_END = 0.125


@dataclass(frozen=True)
class Arrays:
    """The samples of all objects."""

    #: Shape (samples, parameters), an object.
    samples: list[Floats]
    #: Which of those that were given are kept, an object.
    kept: list[NDArray[np.bool_]]
    #: What each object's own numbers were multiplied by, shape (objects, parameters).
    factor: Floats
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def in_their_units(self, i: int, recorded: Recorded) -> Recorded:
        """The priors that the fit of object i records, in the units of the samples."""
        return {
            name: scaled(prior, float(self.factor[i, self.names.index(name)]))
            if isinstance(prior, Prior)
            else prior
            for name, prior in recorded.items()
        }


def read_arrays(
    samples: Sequence[ArrayLike] | NDArray[Any],
    labels: Sequence[str],
    names: tuple[str, ...],
    source: str,
    units: Sequence[Mapping[str, str]] | None,
) -> Arrays:
    """Turn what was given into plain numbers, in the units of the first object.

    Raises
    ------
    DataError
        No array of real numbers, of another shape, or in units that cannot be converted.
    """
    factor = np.ones((len(labels), len(names)))
    if units is None and _plain(samples, len(names)):
        shape = (*samples.shape[:2], len(names))
        found = list(samples.astype(float, copy=False).reshape(shape))
        _refuse_marks(found, labels, names, source)
        return Arrays(found, [np.ones(shape[1], dtype=bool)] * len(found), factor, names)
    found, kept, notes = [], [], []
    masked = 0
    first: list[str] = []
    for i, (label, one) in enumerate(zip(labels, samples, strict=True)):
        where = f"{source}: object '{label}'"
        x, there = _unmasked(one, where, len(names))
        masked += int((~there).sum())
        stated = [units[i].get(name, "") for name in names] if units else _stated(one, len(names))
        first = first or stated
        for k, name in enumerate(names):
            factor[i, k] = _factor(stated[k], first[k], f"{where}: {name}", labels[0])
        found.append(x[there] * factor[i])
        kept.append(there)
    _refuse_marks(found, labels, names, source)
    if masked:
        notes.append(f"{masked} masked samples are left out")
    for k, name in enumerate(names):
        other = np.flatnonzero(factor[:, k] != 1)
        if other.size:
            notes.append(
                f"{name} of {other.size} objects ('{labels[other[0]]}' first) is converted to "
                f"'{first[k]}', the unit of '{labels[0]}'"
            )
    return Arrays(found, kept, factor, names, tuple(notes))


def _plain(samples: Any, columns: int) -> TypeGuard[NDArray[Any]]:
    """Whether it is one array of numbers without masks or units, of as many samples an object."""
    if type(samples) is not np.ndarray or samples.dtype.kind not in "iuf":
        return False
    return samples.shape[2:] == (columns,) or (samples.ndim == 2 and columns == 1)


def _refuse_marks(
    samples: Sequence[Floats], labels: Sequence[str], names: Sequence[str], source: str
) -> None:
    """Raise where a sample is -999 or the like, and none of the others is near it."""
    for column, name in enumerate(names):
        x = np.concatenate([part[:, column] for part in samples])
        if not np.isfinite(x).all():
            continue  # which is refused in a better place
        for k in np.flatnonzero(marks_of_nothing(x))[:1]:
            sizes = np.cumsum([len(part) for part in samples])
            i = int(np.searchsorted(sizes, k, side="right"))
            row = k - int(sizes[i]) + len(samples[i]) + 1
            raise DataError(
                f"{source}: object '{labels[i]}', sample {row}: {name} is {x[k]:g}, far from the "
                "others: a mark for no sample? leave it out"
            )


def _unmasked(given: ArrayLike, where: str, columns: int) -> tuple[Floats, NDArray[np.bool_]]:
    """The numbers, and which rows of them are not masked."""
    mask = np.ma.getmaskarray(given) if np.ma.isMaskedArray(given) else getattr(given, "mask", None)
    if not isinstance(mask, np.ndarray):
        x = numbers(given, where, columns)
        return x, np.ones(len(x), dtype=bool)
    bare = given.data if isinstance(given, np.ma.MaskedArray) else getattr(given, "unmasked", given)
    x = numbers(bare, where, columns)
    gone = mask.reshape(len(x), -1).sum(axis=1)
    partly = (gone > 0) & (gone < columns)
    if partly.any():
        row = int(np.argmax(partly))
        raise DataError(f"{where}, sample {row + 1}: some of its parameters are masked, some not")
    return x, gone == 0


def numbers(given: ArrayLike, where: str, columns: int) -> Floats:
    """An array of shape (samples, columns)."""
    try:
        bare = np.asarray(getattr(given, "value", given) if hasattr(given, "unit") else given)
        if bare.dtype.kind in "cbmM":
            what = {"c": "complex", "b": "true or false"}.get(bare.dtype.kind, "dates")
            raise DataError(f"{where}: the samples are {what}, expected real numbers")
        found = bare.astype(float)
    except (TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where}: not an array of numbers") from None
    if found.ndim == 1 and columns == 1:
        found = found[:, None]
    if found.ndim != 2 or found.shape[1] != columns:
        raise DataError(
            f"{where}: an array of shape {found.shape}, expected (samples"
            + (f", {columns})" if columns > 1 else ")")
        )
    return found


def _stated(given: Any, columns: int) -> list[str]:
    """The units that an array states: of a Quantity, or in its attributes."""
    unit = getattr(given, "unit", None)
    if unit is None:
        attrs = getattr(given, "attrs", None) or {}
        unit = attrs.get("units", attrs.get("unit", ""))
    if isinstance(unit, Mapping):
        return [str(unit.get(column, "")) for column in getattr(given, "columns", range(columns))]
    return [str(unit)] * columns


def _factor(unit: str, wanted: str, where: str, first: str) -> float:
    """What numbers in one unit are to be multiplied by to be in another."""
    if unit == wanted:
        return 1.0
    from astropy import units

    try:
        if unit and wanted:
            return float(units.Unit(unit).to(units.Unit(wanted)))
    except (ValueError, TypeError, units.UnitConversionError):
        pass
    stated = f"is in '{unit}'" if unit else "has no unit"
    raise DataError(f"{where} {stated}, but that of '{first}' " + (
        f"is in '{wanted}'" if wanted else "has none"
    ))  # fmt: skip


def wrapped(data: PosteriorSamples) -> list[str]:
    """Say of which objects the samples of an angle lie on both sides of where it starts again."""
    found = []
    for column, name in enumerate(data.parameters):
        if not _CIRCULAR.search(name.lower()):
            continue
        x = data.x[:, column]
        for low, high in _OF_PHASES if "phase" in name.lower() else _CIRCLES:
            if x.min() < low or x.max() > high or x.max() - x.min() < 0.5 * (high - low):
                continue
            place = (x - low) / (high - low)
            at_low = np.logical_or.reduceat(place < _END, data.start[:-1])
            at_high = np.logical_or.reduceat(place > 1 - _END, data.start[:-1])
            between = np.logical_or.reduceat(abs(place - 0.5) < 0.25, data.start[:-1])
            both = np.flatnonzero(at_low & at_high & ~between)
            if both.size:
                found.append(
                    f"samples of {name} of {both.size} objects ('{data.objects[both[0]]}' first) "
                    f"lie on both sides of {low:g} = {high:g}: unwrap them, a parent distribution "
                    "knows no circle"
                )
                break
            apart = at_low.any() and at_high.any() and not (abs(place - 0.5) < 0.25).any()
            if apart:
                found.append(
                    f"{name} of the objects lies on both sides of {low:g} = {high:g}: unwrap it, a "
                    "parent distribution knows no circle"
                )
                break
    return found
