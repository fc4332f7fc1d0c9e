"""What of the events themselves makes an answer doubtful.

The background is taken to be flat in right ascension, and is made of the events in other sectors of
it; an event that is there twice looks like a source; where a detector's uptimes are not known, it
is taken to be up from the first event to the last.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import chi2

from pyxstan.errors import DataError
from pyxstan.point_source.background import SECTORS, sector
from pyxstan.point_source.data import EventSample, PointSourceData

#: Sectors that a source, or two, may fill, and how improbable the rest must be to be doubted.
_OF_SOURCES, _IMPROBABLE = 2, 1e-6
#: Events a sector from which on flatness is looked at.
_ENOUGH = 5
#: Of so few events a background is hardly known.
_FEW = 100
#: The part of a sample's events that may be there twice, and how many may in any case.
_PART_TWICE, _SOME_TWICE = 0.02, 5


def doubts(data: PointSourceData) -> list[str]:
    """Why an answer may be wrong.

    Raises
    ------
    DataError
        There is no background to compare with, or files hold the same events.
    """
    return [doubt for sample in data.samples for doubt in (*_uneven(sample), *_twice(sample))]


def remarks(data: PointSourceData) -> list[str]:
    """What to know of a sample's events."""
    said: list[str] = []
    for sample in data.samples:
        said += sample.area.notes
        if len(sample) < _FEW:
            said.append(f"{sample.name}: its background is made of {len(sample)} events alone")
        if data.window is not None and sample.uptime is None and sample.mjd is not None:
            gap = float(np.diff(np.sort(sample.mjd)).max())
            said.append(
                f"{sample.name}: without uptimes the detector is taken to be up from its first "
                f"event to its last; the longest time without an event is {gap:.3g} days"
            )
    return said


def _uneven(sample: EventSample) -> list[str]:
    counts = np.sort(np.bincount(sector(sample.ra), minlength=SECTORS))
    others = counts[:-_OF_SOURCES]
    if len(sample) >= _FEW and counts[SECTORS // 2] == 0:
        raise DataError(
            f"{sample.name}: most of the sky has no events: the background is taken from all right "
            "ascensions at a declination, a cut-out doesn't have it"
        )
    if others.mean() < _ENOUGH:
        return []
    off = float(((others - others.mean()) ** 2).sum() / others.mean())
    if chi2.sf(off, len(others) - 1) >= _IMPROBABLE:
        return []
    return [
        f"{sample.name}: events aren't spread evenly over right ascension, as the background is "
        f"taken to be (chi^2 of {off:.3g} for {len(others) - 1})"
    ]


def _twice(sample: EventSample) -> list[str]:
    columns = [sample.ra, sample.dec, sample.sigma, sample.log10_energy]
    columns += [] if sample.mjd is None else [sample.mjd]
    found, counts = np.unique(np.stack(columns, axis=1), axis=0, return_counts=True)
    twice = len(sample) - len(found)
    if twice > max(_SOME_TWICE, _PART_TWICE * len(sample)):
        raise DataError(
            f"{sample.name}: {twice} of {len(sample)} events are there more than once: the same "
            "events in several files?"
        )
    if not twice:
        return []
    return [
        f"{sample.name}: {twice} events are there more than once (one of them {counts.max()} "
        "times): each counts"
    ]
