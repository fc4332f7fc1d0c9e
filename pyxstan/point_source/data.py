"""Events of a detector's seasons, and what is known of each season."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.areas import EffectiveArea, Smearing
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.sky import PriorMap
from pyxstan.point_source.windows import TimeWindow

#: Log10 of GeV; a larger one is no logarithm.
_LARGEST_LOG10_ENERGY = 15.0
#: A Gaussian window narrower than this (days) tells nothing of times that are whole days.
_NARROW = 1.0


@dataclass(frozen=True)
class EventSample:
    """Events of one season of a detector.

    Parameters
    ----------
    ra, dec, sigma
        Right ascension, declination and angular error (rad), shape (events,).
    log10_energy
        Log10 of the reconstructed energy in GeV, shape (events,).
    area
        The season's effective area.
    livetime
        In seconds.
    mjd
        Times (days); needed by time windows alone.
    uptime
        Starts and ends of the detector's uptimes (MJD), shape (intervals, 2); none: from the first
        event to the last.
    smearing
        From true to reconstructed energies; none: a reconstructed energy is taken for the true one.
    """

    ra: Floats
    dec: Floats
    sigma: Floats
    log10_energy: Floats
    area: EffectiveArea
    livetime: float
    mjd: Floats | None = None
    uptime: Floats | None = None
    smearing: Smearing | None = None
    name: str = "events"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        size = len(self.ra)
        for name in ("ra", "dec", "sigma", "log10_energy", "mjd"):
            if getattr(self, name) is None:
                continue
            values = np.asarray(getattr(self, name), dtype=float)
            object.__setattr__(self, name, values)
            if values.shape != (size,):
                raise DataError(f"{self.name}: {name} of shape {values.shape}, expected ({size},)")
            bad = np.flatnonzero(~np.isfinite(values))
            if bad.size:
                raise DataError(
                    f"{self.name}: {name} of event {bad[0] + 1} is {values[bad[0]]:g}, "
                    "expected finite numbers"
                )
        if size < 2:
            raise DataError(f"{self.name}: {size} events, expected at least two")
        if not 0 < self.livetime < np.inf:
            raise DataError(f"{self.name}: livetime of {self.livetime:g} s, expected above zero")
        half = 0.5 * np.pi * (1.0 + 1e-9)
        self._refuse(np.abs(self.dec) > half, "dec", "-pi/2 to pi/2 rad: degrees?")
        wrong = (self.sigma <= 0) | (self.sigma > 2.0 * half)
        self._refuse(wrong, "sigma", "above 0, up to pi rad: degrees?")
        wrong = np.abs(self.log10_energy) > _LARGEST_LOG10_ENERGY
        self._refuse(wrong, "log10_energy", "log10 of GeV: an energy itself?")

    def _refuse(self, wrong: np.ndarray, name: str, expected: str) -> None:
        if wrong.any():
            k = int(np.argmax(wrong))
            raise DataError(
                f"{self.name}: {name} of event {k + 1} is {getattr(self, name)[k]:.6g}, expected "
                f"{expected}"
            )

    @property
    def whole_days(self) -> bool:
        """Whether times are those of the days that events are of."""
        return self.mjd is not None and bool((self.mjd == np.floor(self.mjd)).all())

    @property
    def uptimes(self) -> Floats:
        """Starts and ends (MJD), shape (intervals, 2)."""
        if self.uptime is not None:
            return self.uptime
        if self.mjd is None:
            raise DataError(f"{self.name}: a time window needs the events' times (column mjd)")
        first, last = float(self.mjd.min()), float(self.mjd.max())
        if self.whole_days:
            last += 1.0
        return np.array([[first, last]])

    def __len__(self) -> int:
        return len(self.ra)


@dataclass(frozen=True)
class PointSourceData:
    """Samples of events, the prior of a source's position, and when it may have shone.

    Parameters
    ----------
    samples
        Seasons that are fitted together.
    prior_map
        Where the source may be; none: everywhere alike.
    window
        When it may have shone; none: always.
    catalogue
        Sources at known positions that are taken for one, in place of a prior map.
    """

    samples: tuple[EventSample, ...]
    prior_map: PriorMap | None = None
    window: TimeWindow | None = None
    notes: Sequence[str] = field(default=())
    catalogue: Catalogue | None = None

    def __post_init__(self) -> None:
        if not self.samples:
            raise DataError("a point source needs at least one sample of events")
        names = [sample.name for sample in self.samples]
        if len(set(names)) < len(names):
            raise DataError(f"samples of the same name: {', '.join(names)}")
        if self.catalogue is not None and self.prior_map is not None:
            raise DataError("a catalogue's positions are known: give it or a prior map, not both")
        for position, sample in enumerate(self.samples):
            for other in self.samples[:position]:
                if all(
                    np.array_equal(getattr(sample, what), getattr(other, what))
                    for what in ("ra", "dec", "log10_energy")
                ):
                    raise DataError(
                        f"samples {other.name} and {sample.name} have the same events: they would "
                        "count twice"
                    )
        notes = [] if self.catalogue is None else list(self.catalogue.notes)
        if self.window is not None:
            notes += [note for each in self.samples for note in _of_window(self.window, each)]
        new = [note for note in notes if note not in self.notes]
        object.__setattr__(self, "notes", (*self.notes, *new))

    @classmethod
    def read(cls, *paths: str | Path, **options: Any) -> PointSourceData:
        """Read a SAMPLES.yaml, or files of one sample's events.

        Parameters
        ----------
        paths
            ``SAMPLES.yaml``, or tables of events.
        **options
            ``effective_area``, ``livetime``, ``prior_map`` ..., as ``--set`` on the command line;
            see ``pyxstan.describe("point_source")``.

        Raises
        ------
        DataError
            A file can't be read, or an option is missing or unknown.
        """
        from pyxstan import registry

        model = registry.get("point_source")
        chosen, rest = model.split_reading(options)
        if rest:
            names = ", ".join(option.name for option in model.reading)
            raise DataError(f"no option '{min(rest)}'; there are {names}")
        found: PointSourceData = model.family.read([Path(path) for path in paths], chosen)
        return found

    @property
    def events(self) -> int:
        """Of all samples."""
        return sum(map(len, self.samples))

    @cached_property
    def exposures(self) -> Floats:
        """Seconds for which each sample sees a source that shines as at its brightest.

        Its livetime, or the part of it that is in the window: as much as the window has of the
        uptimes.
        """
        if self.window is None:
            return np.array([sample.livetime for sample in self.samples])
        found = []
        for sample in self.samples:
            up = float(np.diff(sample.uptimes, axis=1).sum())
            found.append(sample.livetime * self.window.days(sample.uptimes) / up)
        if not any(found):
            names = ", ".join(sample.name for sample in self.samples)
            raise DataError(
                f"time window {self.window.start:g} to {self.window.end:g}: {names} never up in it"
            )
        return np.array(found)

    def accepts(self, dec: Floats) -> np.ndarray:
        """Whether events are accepted from declinations (rad), by any sample."""
        sin_dec = np.sin(dec)
        seen = np.zeros(np.shape(dec), dtype=bool)
        for sample, exposure in zip(self.samples, self.exposures, strict=True):
            seen |= sample.area.some(sin_dec) & (exposure > 0)
        return seen

    @property
    def log10_energy(self) -> Floats:
        """Of all samples' events, one sample after the other."""
        return np.concatenate([sample.log10_energy for sample in self.samples])


def _of_window(window: TimeWindow, sample: EventSample) -> list[str]:
    """What to say of a time window and a sample's times, or a `DataError`."""
    if sample.mjd is None:
        return []
    notes = []
    if sample.whole_days:
        start, end = window.start, window.end
        if window.gaussian and 0.5 * (end - start) < _NARROW:
            raise DataError(
                f"{sample.name}: times are whole days, a Gaussian window of "
                f"{0.5 * (end - start):g} days is too narrow for them"
            )
        if not window.gaussian and not (start == np.floor(start) and end == np.floor(end)):
            raise DataError(
                f"{sample.name}: times are whole days, expected a window of whole days, not "
                f"{start:.10g} to {end:.10g}"
            )
        if window.gaussian:
            notes.append(f"{sample.name}: times are whole days, taken for the days' beginnings")
    if not window.holds(sample.mjd).any():
        notes.append(f"{sample.name}: no event is in the time window")
    return notes
