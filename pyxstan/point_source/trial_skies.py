"""Trials: skies without a source, or with one of known strength, and what the scan makes of them.

Right ascensions are scrambled, which takes every source away and leaves the background. The
largest test statistic of many such skies says how often chance alone does as well as the data did;
skies with events of a source added say which source would be found. A test statistic with gamma
free is no chi^2: without a source gamma has no meaning, and few events are near. P-values come from
the trials, or from a scaled chi^2 fitted to them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.engine.compilation import available_cores
from pyxstan.errors import DataError
from pyxstan.output import check_writable
from pyxstan.point_source.background import Smoothing
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.injection import Injection, sky_of_trial
from pyxstan.point_source.region import Hottest, Region
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.stacked_sky import StackedSky
from pyxstan.point_source.tables import EVERYWHERE, Tables, tables, with_events

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "number", "injected", "true_ra", "true_dec", "ra", "dec", "ts", "ns", "gamma", "ts_with_prior",
)  # fmt: skip


#: What doesn't change trials, by its name in the data classes.
_SAID_ONLY = ("name", "names", "notes", "source")


@dataclass(frozen=True)
class Trial:
    """One sky, and what was found in it.

    Parameters
    ----------
    number
        Of the trial; with the seed it makes the sky.
    hottest
        The best pixel.
    injected
        Events of the source in it.
    position
        Of that source (rad).
    """

    number: int
    hottest: Hottest
    injected: int = 0
    position: tuple[float, float] | None = None

    @property
    def row(self) -> list[float]:
        """As in the table of trials: angles in degrees."""
        true = np.degrees(self.position or (np.nan, np.nan))
        best = self.hottest
        found = np.degrees([best.ra, best.dec])
        return [self.number, self.injected, *true, *found, best.ts, best.ns, best.gamma,
                best.ts_with_prior]  # fmt: skip


class _Trials:
    """Many trials of some data."""

    data: PointSourceData
    smoothing: Smoothing
    gamma: tuple[float, float]

    @cached_property
    def tables(self) -> Tables:
        """Of the data: for the signal, which is the same in all skies."""
        return tables(self.data, self.smoothing, self.gamma)

    def trial(self, number: int, threads: int | None = None) -> Trial:
        """Make one."""
        raise NotImplementedError

    def trials(self, numbers: Sequence[int], workers: int | None = None) -> Iterator[Trial]:
        """Several, at once; they come in order, and are the same for any `workers`."""
        assert self.tables  # made once, before the threads
        workers = workers or available_cores()
        with ThreadPoolExecutor(workers) as pool:
            for start in range(0, len(numbers), 8 * workers):
                some = numbers[start : start + 8 * workers]
                yield from pool.map(lambda number: self.trial(number, threads=1), some)


@dataclass(frozen=True)
class Skies(_Trials):
    """What all trials have in common; `trial` makes one."""

    data: PointSourceData
    region: Region
    smoothing: Smoothing
    gamma: tuple[float, float]
    injection: Injection | None = None
    seed: int = 0

    def trial(self, number: int, threads: int | None = None) -> Trial:
        """Make one sky and scan it."""
        data, injected, position = sky_of_trial(self.data, self.injection, self.seed, number)
        ends = (self.region.dec.min(), self.region.dec.max())
        made = with_events(self.tables, data, self.smoothing, ends)
        sky = Sky(made, threads=threads, declinations=ends)
        return Trial(number, self.region.hottest_of(sky), injected, position)


def empty_skies(
    data: PointSourceData,
    made: Tables,
    smoothing: Smoothing,
    count: int,
    seed: int = 0,
    declinations: tuple[float, float] = EVERYWHERE,
) -> Iterator[Tables]:
    """The tables of skies without a source, one after the other; `made` are those of the data."""
    for number in range(count):
        sky = sky_of_trial(data, None, seed, number)[0]
        yield with_events(made, sky, smoothing, declinations)


@dataclass(frozen=True)
class StackedSkies(_Trials):
    """What all trials of a catalogue have in common: its sources are taken for one, or are none."""

    data: PointSourceData
    catalogue: Catalogue
    smoothing: Smoothing
    gamma: tuple[float, float]
    injection: Injection | None = None
    seed: int = 0

    def trial(self, number: int, threads: int | None = None) -> Trial:
        """Make one sky, and look at all the sources in it."""
        data, injected, _ = sky_of_trial(self.data, self.injection, self.seed, number)
        made = with_events(self.tables, data, self.smoothing)
        best = StackedSky(Sky(made, threads=threads), self.catalogue).maximum()
        ts, ns, gamma = (float(x[0]) for x in (best.ts, best.ns, best.gamma))
        return Trial(number, Hottest(np.nan, np.nan, ts, ns, gamma, ts), injected)


def trials(
    data: PointSourceData,
    count: int,
    *,
    injection: Injection | None = None,
    nside: int = 64,
    max_dec: float = 85.0,
    gamma: tuple[float, float] = (1.0, 4.0),
    smoothing: Smoothing | None = None,
    seed: int = 0,
    output: str | Path | None = None,
    workers: int | None = None,
) -> pd.DataFrame:
    """Make trials, and say of each what the scan finds.

    Parameters
    ----------
    data
        Events, areas, and the prior map, beyond which nothing is scanned; or a catalogue, whose
        sources are taken for one.
    count
        How many trials.
    injection
        The source that is in them; by default none. A catalogue's sources share its events by
        weight and acceptance.
    nside, max_dec, gamma, smoothing
        As in `scan`.
    seed
        The same seed gives the same trials, of any number and however many workers.
    output
        A CSV file that each trial is added to; those that it has aren't made again.
    workers
        By default as many as there are cores.

    Returns
    -------
    pandas.DataFrame
        A row a trial: ``number``, ``injected`` events, ``true_ra`` and ``true_dec`` of the source,
        ``ra``, ``dec``, ``ts``, ``ns``, ``gamma`` and ``ts_with_prior`` of the hottest pixel;
        degrees. Of a catalogue there are no positions.

    Raises
    ------
    DataError
        `output` holds other trials, or can't be written; or a setting is none that it can be.
    """
    import pandas as pd

    if count < 1:
        raise DataError(f"trials: {count} is not a whole number of at least 1")
    if seed < 0:
        raise DataError(f"seed: {seed} is not a whole number from 0 up")
    if not 0 < max_dec <= 90:
        raise DataError(f"max_dec: {max_dec:g} is not an angle of 0 to 90 deg")
    if output is not None:
        check_writable(Path(output))
    smoothing = smoothing or Smoothing()
    skies: Skies | StackedSkies
    if data.catalogue is not None:
        skies = StackedSkies(data, data.catalogue, smoothing, gamma, injection, seed)
    else:
        region = Region.grid(nside, data, np.radians(max_dec))
        skies = Skies(data, region, smoothing, gamma, injection, seed)
    if output is None:
        rows = [trial.row for trial in skies.trials(range(count), workers)]
        return pd.DataFrame(rows, columns=list(_COLUMNS))
    path, head = Path(output), f"# {_key(skies)}\n{','.join(_COLUMNS)}\n"
    done = _done(path, head)
    missing = [number for number in range(count) if number not in done]
    for trial in skies.trials(missing, workers):
        row = ",".join(f"{value:.10g}" for value in trial.row) + "\n"
        with path.open("a") as file:
            file.write(row if file.tell() else head + row)
    table = pd.read_csv(path, comment="#").drop_duplicates("number").sort_values("number")
    return table[table["number"] < count].reset_index(drop=True)


def _key(skies: Skies | StackedSkies) -> str:
    """What makes trials the same, in short."""
    digest = hashlib.sha256()
    _add(digest, skies)
    settings = {
        "events": digest.hexdigest()[:16],
        "smoothing": asdict(skies.smoothing),
        "gamma": skies.gamma,
        "injection": None if skies.injection is None else asdict(skies.injection),
        "seed": skies.seed,
    }
    return json.dumps(settings)


def _add(digest: hashlib._Hash, value: Any) -> None:
    """Add all that data classes hold, but for words, to a digest."""
    if is_dataclass(value):
        for each in fields(value):
            if each.name not in _SAID_ONLY:
                digest.update(f"{each.name}:".encode())
                _add(digest, getattr(value, each.name))
    elif isinstance(value, tuple):
        digest.update(f"{len(value)} of ".encode())
        for each in value:
            _add(digest, each)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.shape}{value.dtype}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        digest.update(repr(float(value) if isinstance(value, int | float) else value).encode())


def _done(path: Path, head: str) -> set[int]:
    """Numbers of the trials that a file has; a line that was cut short is taken off."""
    if not path.exists():
        return set()
    try:
        text = path.read_text()
    except UnicodeDecodeError:
        raise DataError(f"{path}: a binary file, expected trials or no file") from None
    whole = text[: text.rfind("\n") + 1] if text.startswith(head) else ""
    if not whole and not head.startswith(text):
        raise DataError(f"{path}: holds trials of other data or settings, or another seed")
    if whole != text:
        path.write_text(whole)
    found = set()
    for line, row in enumerate(whole.splitlines()[2:], 3):
        try:
            number, *rest = map(float, row.split(","))
        except ValueError:
            rest = []
        if len(rest) != len(_COLUMNS) - 1:
            raise DataError(f"{path}: line {line}: no trial, expected {len(_COLUMNS)} numbers")
        found.add(int(number))
    return found
