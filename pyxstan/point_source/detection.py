"""Sensitivity and discovery potential: how strong a source must be to be seen at a position.

A test statistic above the background's median 90% of the time is the usual sensitivity; above what
background exceeds with the probability of 3 or 5 standard deviations half of the time, the
discovery potential. Skies with a source of n = 0, 1, 2... events tell how often n suffice; from
these follows how often a mean number does, n being Poisson distributed about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm, poisson

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.background import Smoothing
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.fluxes import checked_unit, flux
from pyxstan.point_source.injection import Injection
from pyxstan.point_source.null_distribution import NullDistribution
from pyxstan.point_source.region import Region
from pyxstan.point_source.sky import Pixels
from pyxstan.point_source.trial_skies import Skies

#: The order of the pixel that a position is the middle of, and the largest number of events.
_ORDER, _MOST = 12, 400
#: Standard deviations of a discovery, and how often each threshold is to be exceeded.
_SIGMAS = (3.0, 5.0)
_OFTEN, _HALF = 0.9, 0.5
#: How often the highest threshold is to be exceeded by the largest number of events.
_SURE = 0.98


@dataclass(frozen=True)
class Potential:
    """How strong a source must be, in mean events and flux.

    Parameters
    ----------
    ra, dec
        Of the source (deg).
    gamma
        Its spectral index.
    thresholds
        TS: the background's median, and that of 3 and 5 standard deviations.
    ns
        Mean events for the sensitivity, and for a discovery of 3 and of 5 standard deviations.
    flux
        The same as a flux, in `unit`.
    null
        Of the skies without a source.
    """

    ra: float
    dec: float
    gamma: float
    thresholds: tuple[float, ...]
    ns: tuple[float, ...]
    flux: tuple[float, ...]
    unit: str
    null: NullDistribution

    def __str__(self) -> str:
        return "\n".join(
            f"{row['what']}: {row['ns']:.3g} events, {row['flux']:.3g} {self.unit} (TS above "
            f"{row['ts']:.3g})"
            for row in self.rows
        )

    @property
    def rows(self) -> list[dict[str, Any]]:
        """As in a table: of the sensitivity and both potentials."""
        names = ("sensitivity (90% above the median)", "3 sigma in half", "5 sigma in half")
        common = {"dec": self.dec, "gamma": self.gamma}
        return [
            {**common, "what": name, "ts": ts, "ns": ns, "flux": flux, "unit": self.unit}
            for name, ts, ns, flux in zip(names, self.thresholds, self.ns, self.flux, strict=True)
        ]


def potential(
    data: PointSourceData,
    dec: float,
    gamma: float = 2.0,
    *,
    ra: float = 180.0,
    background: int = 1000,
    trials: int = 60,
    pivot: float = 1e5,
    unit: str = "TeV / (cm2 s)",
    smoothing: Smoothing | None = None,
    seed: int = 0,
    workers: int | None = None,
) -> Potential:
    """Find the sensitivity and the discovery potential at a position.

    Parameters
    ----------
    dec, ra
        Of the source (deg); only the declination matters.
    gamma
        Its spectral index.
    background
        Skies without a source.
    trials
        Skies for each number of events.
    pivot, unit
        Of the flux, see `flux`.

    Raises
    ------
    DataError
        So many events as would be needed aren't accepted there, or a setting is none that it
        can be.
    """
    checked_unit(pivot, unit)
    if data.catalogue is not None:
        raise DataError("a catalogue has no one position: its trials tell how many events it needs")
    Injection(0.0, gamma, ra, dec)  # which checks them
    for name, value, least in (
        ("background", background, 1),
        ("trials", trials, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise DataError(f"{name}: {value} is not a whole number from {least} up")
    region = point(ra, dec)
    smoothing = smoothing or Smoothing()
    ends = (1.0, 4.0)
    empty = Skies(data, region, smoothing, ends, None, seed)
    null = NullDistribution.of(_ts(empty, background, workers))
    thresholds = (
        float(np.median(null.ts)),
        *(null.quantile(1.0 - float(norm.sf(sigma))) for sigma in _SIGMAS),
    )
    passed = [np.mean(null.ts[:, None] > thresholds, axis=0)]
    while len(passed) <= _MOST:
        count = len(passed)
        injection = Injection(count, gamma, ra, dec, poisson=False)
        skies = Skies(data, region, smoothing, ends, injection, seed + count)
        passed.append(np.mean(_ts(skies, trials, workers)[:, None] > thresholds, axis=0))
        if np.mean(passed[-3:], axis=0).min() >= _SURE:
            break
    else:
        raise DataError(f"a source of {_MOST} events isn't found at declination {dec:g} deg")
    curve = np.array(passed)
    wanted = (_OFTEN, _HALF, _HALF)
    ns = tuple(_mean(curve[:, k], level) for k, level in enumerate(wanted))
    fluxes = flux(data, np.array(ns), gamma, np.radians(dec), pivot, unit)
    return Potential(ra, dec, gamma, thresholds, ns, tuple(map(float, fluxes)), unit, null)


def point(ra: float, dec: float) -> Region:
    """One position alone (deg), in the middle of a small pixel's place."""
    ra, dec = float(np.radians(ra)), float(np.radians(dec))
    number = Pixels.containing(np.array([ra]), np.array([dec]), 2**_ORDER)
    pixels = Pixels(np.array([_ORDER]), number)
    return Region(pixels, np.array([ra]), np.array([dec]), np.zeros(1), np.zeros(1, dtype=bool))


def _ts(skies: Skies, count: int, workers: int | None) -> Floats:
    return np.array([trial.hottest.ts for trial in skies.trials(range(count), workers)])


def _mean(passed: Floats, level: float) -> float:
    """Mean of a Poisson distribution of events with which a threshold is passed so often."""
    n = np.arange(len(passed))

    def short(mean: float) -> float:
        p = poisson.pmf(n, mean)
        return float(p @ passed + (1.0 - p.sum()) - level)

    return float(brentq(short, 1e-3, float(len(passed)))) if short(1e-3) < 0 else 0.0
