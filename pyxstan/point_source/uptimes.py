"""When a detector was up, and whether a season's events and livetime agree with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source import text_files
from pyxstan.point_source.arrays import Floats

#: Larger times aren't MJD.
LARGEST_MJD = 1e6
_SECONDS = 86400.0
#: A livetime shorter than this part of the events' span is probably not in seconds.
_SHORT = 1e-3


def read_uptimes(given: Any, name: str = "uptimes") -> Floats:
    """Read starts and ends of uptimes.

    Parameters
    ----------
    given
        A text file of two columns (MJD; a header is passed over), or an array of them.

    Returns
    -------
    Floats
        Shape (intervals, 2).
    """
    if isinstance(given, str | Path):
        table = text_files.read_columns(given, ["start", "end"])
        found = np.column_stack([table.numbers("start"), table.numbers("end")])
        place = table.row
    else:
        try:
            found = np.asarray(given, dtype=float)
        except (TypeError, ValueError):
            raise DataError(f"{name}: uptimes aren't numbers, expected starts and ends") from None

        def place(position: int) -> str:
            return f"{name}: uptime {position + 1}"

    if found.ndim != 2 or found.shape[1] != 2 or not len(found):
        raise DataError(f"{name}: uptimes of shape {found.shape}, expected (intervals, 2)")
    for position, (start, end) in enumerate(found):
        if not (0 < start < end < LARGEST_MJD):
            raise DataError(f"{place(position)}: {start:g} to {end:g}, expected MJD, start first")
        if position and start < found[position - 1, 1]:
            raise DataError(f"{place(position)}: begins at {start:g}, before the end of the last")
    return found


def doubts(mjd: Floats | None, up: Floats | None, livetime: float, name: str) -> list[str]:
    """What to say of events outside of uptimes (MJD) and of a livetime (s) that doesn't fit."""
    notes = []
    span = 0.0
    if up is not None:
        span = float(np.diff(up, axis=1).sum()) * _SECONDS
        if mjd is not None:
            day = 1.0 if (mjd == np.floor(mjd)).all() else 0.0
            at = np.searchsorted(up[:, 1] + day, mjd, side="left")
            inside = (at < len(up)) & (mjd >= up[np.minimum(at, len(up) - 1), 0] - day)
            if not inside.any():
                raise DataError(
                    f"{name}: no event is in the uptimes, {up[0, 0]:g} to {up[-1, 1]:g}"
                )
            if not inside.all():
                notes.append(f"{name}: {(~inside).sum()} events are outside of the uptimes")
    elif mjd is not None:
        span = float(np.ptp(mjd) + 1.0) * _SECONDS
    if span and livetime > 1.01 * span:
        notes.append(
            f"{name}: the livetime of {livetime:g} s is longer than the {span:g} s of "
            f"{'uptimes' if up is not None else 'the events'}"
        )
    elif 0 < livetime < _SHORT * span:
        notes.append(
            f"{name}: the livetime of {livetime:g} s is {livetime / span:.1g} of the {span:g} s of "
            f"{'uptimes' if up is not None else 'the events'}: is it in seconds?"
        )
    return notes
