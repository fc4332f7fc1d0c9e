"""Trials: skies without a source, or with one of known strength, and what the scan makes of them.

Right ascensions are scrambled, which takes every source away and leaves the background. The
largest test statistic of many such skies says how often chance alone does as well as the data did;
skies with events of a source added say which source would be found. A test statistic with gamma
free is no chi^2: without a source gamma has no meaning, and few events are near. P-values come from
the trials, or from a scaled chi^2 fitted to them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context

import numpy as np
from scipy.optimize import minimize
from scipy.stats import chi2

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.background import Smoothing
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.injection import scrambled, with_source
from pyxstan.point_source.region import Hottest, Region
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.tables import tables


@dataclass(frozen=True)
class Injection:
    """A source that is added to the skies of trials.

    Parameters
    ----------
    ns
        Events: as many exactly, or, with `poisson`, as many on average.
    gamma
        Spectral index.
    position
        Right ascension and declination (rad); none: drawn from the prior map, for each trial.
    """

    ns: float
    gamma: float
    position: tuple[float, float] | None = None
    poisson: bool = True


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


@dataclass(frozen=True)
class Setting:
    """What all trials have in common."""

    data: PointSourceData
    region: Region
    smoothing: Smoothing
    gamma: tuple[float, float]
    injection: Injection | None = None
    seed: int = 0

    def sky(self, number: int) -> tuple[PointSourceData, int, tuple[float, float] | None]:
        """The events of a trial, how many of them are the source's, and where that is."""
        rng = np.random.default_rng([self.seed, number])
        ra = scrambled(self.data, rng)
        source = self.injection
        if source is None:
            return with_source(self.data, ra, [0] * len(ra), 2.0, (0.0, 0.0), rng), 0, None
        position = source.position
        if position is None:
            prior = self.data.prior_map
            if prior is None:
                raise DataError("a source's position, or a prior map to draw it from, is missing")
            drawn = prior.draw(1, rng)
            position = float(drawn[0][0]), float(drawn[1][0])
        counts = _shares(self.data, source, position, rng)
        made = with_source(self.data, ra, counts, source.gamma, position, rng)
        return made, sum(counts), position

    def trial(self, number: int, threads: int | None = None) -> Trial:
        """Make one sky and scan it."""
        data, injected, position = self.sky(number)
        sky = Sky(tables(data, self.smoothing, self.gamma), threads=threads)
        maxima = sky.maxima(self.region.ra, self.region.dec)
        return Trial(number, self.region.hottest(maxima), injected, position)


def _shares(
    data: PointSourceData,
    source: Injection,
    position: tuple[float, float],
    rng: np.random.Generator,
) -> list[int]:
    """Events of the source in each sample."""
    accepted = [
        sample.livetime
        * sample.area.acceptance(source.gamma)[sample.area.cell(np.sin(position[1])), 0]
        for sample in data.samples
    ]
    total = rng.poisson(source.ns) if source.poisson else round(source.ns)
    share = np.array(accepted) / sum(accepted)
    return [int(n) for n in rng.multinomial(total, share)]


def run(setting: Setting, numbers: Sequence[int], workers: int | None = None) -> Iterator[Trial]:
    """Make trials, several at once; they come in order, and are the same for any `workers`."""
    workers = min(workers or len(os.sched_getaffinity(0)), len(numbers))
    if workers < 2:
        yield from map(setting.trial, numbers)
        return
    with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
        yield from pool.map(partial(_one, setting), numbers, chunksize=1)


def _one(setting: Setting, number: int) -> Trial:
    return setting.trial(number, threads=1)


@dataclass(frozen=True)
class NullDistribution:
    """Of the test statistic without a source: nothing in a part of all skies, else a scaled chi^2.

    Parameters
    ----------
    ts
        Of the trials, rising.
    positive
        The part of them above zero.
    scale, dof
        Of the chi^2 of the others: TS / scale follows it.
    """

    ts: Floats
    positive: float
    scale: float
    dof: float

    @classmethod
    def of(cls, ts: Floats) -> NullDistribution:
        """Fit one to trials."""
        ts = np.sort(np.asarray(ts, dtype=float))
        above = ts[ts > 0]
        if len(above) < 20:
            return cls(ts, len(above) / max(len(ts), 1), 1.0, 1.0)

        def lost(log: Floats) -> float:
            scale, dof = np.exp(log)
            return -float(chi2.logpdf(above / scale, dof).sum() - len(above) * log[0])

        found = minimize(lost, np.log([1.0, above.mean()]), method="Nelder-Mead").x
        return cls(ts, len(above) / len(ts), *(float(x) for x in np.exp(found)))

    def p_value(self, ts: float) -> float:
        """Of the trials: how many do as well, the data among them."""
        return float((1 + (self.ts >= ts).sum()) / (1 + len(self.ts)))

    def fitted_p_value(self, ts: float) -> float:
        """Of the chi^2."""
        return 1.0 if ts <= 0 else float(self.positive * chi2.sf(ts / self.scale, self.dof))

    def quantile(self, p: float) -> float:
        """TS that is exceeded with probability 1 - p, by the fitted chi^2."""
        if 1.0 - p >= self.positive:
            return 0.0
        return float(self.scale * chi2.isf((1.0 - p) / self.positive, self.dof))
