"""The likelihood of a point source by brute force: every event, double precision, no tables.

Signal and background are written down anew from their definitions; only the background's smoothed
densities are taken as they are, being a choice and no fact.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import optimize

from pyxstan.point_source.data import EventSample
from pyxstan.point_source.tables import Tables

Floats = npt.NDArray[np.float64]


def ratios(tables: Tables, ra: float, dec: float, gamma: float) -> Floats:
    """S / B of every event of the first sample, for a source at a position (rad)."""
    made = tables.samples[0]
    energies = signal_energies(made.sample, dec, gamma)
    return places(made.sample, ra, dec) * energies * made.weight


def places(sample: EventSample, ra: float, dec: float) -> Floats:
    """The density of every event's place about a position (rad), von Mises and Fisher's."""
    kappa = sample.sigma**-2
    towards = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    at = np.stack(
        [
            np.cos(sample.dec) * np.cos(sample.ra),
            np.cos(sample.dec) * np.sin(sample.ra),
            np.sin(sample.dec),
        ]
    )
    density = kappa / (2 * np.pi * (1 - np.exp(-2 * kappa))) * np.exp(kappa * (towards @ at - 1))
    return np.asarray(density)


def signal_energies(sample: EventSample, dec: float, gamma: float) -> Floats:
    """Probability of each event's tenth of log10 energy, integrated piece by piece."""
    area = sample.area
    row = area.area[np.searchsorted(area.sin_dec, np.sin(dec), side="right") - 1]
    low, high = area.log10_energy[0], area.log10_energy[-1]
    halves = np.arange(np.floor(low * 10) - 0.5, high * 10 + 1) / 10
    ends = np.unique(np.concatenate([area.log10_energy, halves[(halves > low) & (halves < high)]]))
    middle = 0.5 * (ends[1:] + ends[:-1])
    cell = np.searchsorted(area.log10_energy, middle, side="right") - 1
    a, b = 10 ** ends[:-1], 10 ** ends[1:]
    power = 1 - gamma
    each = np.log(b / a) if power == 0 else (b**power - a**power) / power
    tenth = np.round(10 * middle).astype(int)
    seen = np.round(10 * sample.log10_energy).astype(int)
    first = min(tenth.min(), seen.min())
    counts = np.bincount(tenth - first, row[cell] * each, max(tenth.max(), seen.max()) - first + 1)
    return np.asarray((counts / counts.sum())[seen - first])


def largest_ratio(r: Floats) -> tuple[float, float]:
    """The largest 2 ln L over ns for one set of ratios, and that ns."""
    count = len(r)

    def slope(ns: float) -> float:
        return float(((r - 1) / (count + ns * (r - 1))).sum())

    if slope(0.0) <= 0:
        return 0.0, 0.0
    ns = optimize.brentq(slope, 0.0, 0.9 * count, xtol=1e-10)
    return float(2 * np.log1p(ns / count * (r - 1)).sum()), float(ns)


def maximum(tables: Tables, ra: float, dec: float) -> tuple[float, float, float]:
    """TS, ns and gamma at a position, over gamma in steps of .25 and then by golden sections."""
    made = tables.samples[0]
    place = places(made.sample, ra, dec) * made.weight

    def at(gamma: float) -> tuple[float, float]:
        return largest_ratio(place * signal_energies(made.sample, dec, gamma))

    def lost(gamma: float) -> float:
        return -at(gamma)[0]

    grid = tables.gammas[::5]
    values = np.array([lost(g) for g in grid])
    best = int(values.argmin())
    if values[best] == 0:
        return 0.0, 0.0, np.nan
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    gamma = float(optimize.minimize_scalar(lost, bounds=ends, method="bounded").x)
    gamma = gamma if lost(gamma) < values[best] else float(grid[best])
    ts, ns = at(gamma)
    return ts, ns, gamma
