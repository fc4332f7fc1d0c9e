r"""Quasi-random draws of a posterior in two coordinates, by quadrature and Metropolis's rule.

The density is laid out in rows: along one coordinate there is a row at each of some values, and
each row is a table of the density across. Between the entries of a row, and between two rows, the
density is taken for linear, which is a law q that can be drawn from by inverting its two
distribution functions. Rows and entries are added where q differs from the density.

What is left of the difference, Metropolis's rule takes away: each draw of q is accepted with
probability min(1, w / w_last), w = p / q, else the last one is repeated (the independence sampler
of Tierney 1994, Ann. Stat. 22, 1701). Nearly all are accepted: there is no walk to converge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from pyxstan.stacking.data import Floats

#: Log density of points, shape (points, 2), up to a constant.
LogDensity = Callable[[Floats], Floats]

#: A density that is lower than the highest by this factor's logarithm counts for nothing.
_FALL = 14.0
_NOWHERE = -1e300
#: Entries of a row at first, how many of them are to matter, and at most after refinement.
_ENTRIES, _FEWEST, _MOST = 25, 9, 1600
#: Distance of entries at first where there are several modes, in widths of the narrowest.
_CLOSE = 0.5
#: How far a row reaches at first, in standard deviations; how often it may be laid out anew.
_REACH, _LAYOUTS = 6.0, 12
#: Part of the highest row's mass that a row may be wrong by; and a row between two others, in
#: units of the posterior's width.
_ROW_ERROR, _ERROR = 0.02, 0.002
#: Distance of rows at first, in standard deviations; by how much it grows beyond so many rows.
_STRIDE, _GROWTH, _REGULAR = 0.4, 1.1, 10
#: Rows to either side, and how often there may be more between them.
_ROWS, _REFINEMENTS = 200, 4
#: How often all of it is laid out anew.
_PLANES = 3


@dataclass(frozen=True)
class Plane:
    """Two coordinates: along, which is the second, and across, the first less its trend."""

    log_density: LogDensity
    center: Floats
    #: Of the first coordinate with the second.
    trend: float
    #: Standard deviations across and along; of several modes, of the narrowest.
    width: float
    length: float
    #: Where there are several modes: ends of what they all take, across and along.
    spans: tuple[tuple[float, float], tuple[float, float]] | None = None

    @classmethod
    def around(cls, log_density: LogDensity, center: Floats, scale: Floats) -> Plane:
        """About a guess of the posterior: its middle, and the square root of its covariance."""
        (first, both), (_, second) = scale @ scale.T
        width = np.sqrt(first - both**2 / second)
        return cls(log_density, center, both / second, float(width), float(np.sqrt(second)))

    @classmethod
    def over(cls, log_density: LogDensity, modes: Sequence[tuple[Floats, Floats]]) -> Plane:
        """About several guesses, of middles and square roots of covariances."""
        planes = [cls.around(log_density, *mode) for mode in modes]
        if len(planes) == 1:
            return planes[0]
        centers = np.array([plane.center for plane in planes])
        sds = np.array([np.sqrt(np.diag(scale @ scale.T)) for _, scale in modes])
        low, high = (centers - _REACH * sds).min(axis=0), (centers + _REACH * sds).max(axis=0)
        return cls(
            log_density,
            centers[0],
            0.0,
            min(plane.width for plane in planes),
            min(plane.length for plane in planes),
            ((low[0] - centers[0, 0], high[0] - centers[0, 0]), (low[1], high[1])),
        )

    def resembles(self, other: Plane) -> bool:
        """Whether the other's middle, widths and trend are about the same."""
        near = abs(self.center[1] - other.center[1]) < other.length
        alike = abs(self.trend - other.trend) * other.length < other.width
        ratios = np.array([self.width / other.width, self.length / other.length])
        return bool(near and alike and (ratios > 0.5).all() and (ratios < 2).all())

    def points(self, along: Floats, across: Floats) -> Floats:
        """Their two coordinates, shape (points, 2)."""
        away = along - self.center[1]
        return np.stack([self.center[0] + self.trend * away + across, along], axis=-1)

    def heights(self, along: Floats, across: Floats) -> Floats:
        """Log density of each."""
        found = self.log_density(self.points(along, across))
        return np.nan_to_num(found, nan=_NOWHERE, posinf=_NOWHERE, neginf=_NOWHERE)


@dataclass(frozen=True)
class Row:
    """The density across, at one place along."""

    along: float
    #: Equidistant, ascending.
    across: Floats
    log_density: Floats

    @cached_property
    def top(self) -> float:
        """The highest log density."""
        return float(self.log_density.max())

    @cached_property
    def density(self) -> Floats:
        """Over the highest."""
        return np.exp(self.log_density - self.top)

    @cached_property
    def log_mass(self) -> float:
        """Log of the integral."""
        step = self.across[1] - self.across[0]
        ends = 0.5 * (self.density[0] + self.density[-1])
        return self.top + float(np.log(step * (self.density.sum() - ends)))

    def at(self, across: Floats, log_unit: float) -> Floats:
        """The density, in some unit, where it is linear between the entries."""
        found = np.interp(across, self.across, self.density, left=0.0, right=0.0)
        return np.asarray(found * np.exp(self.top - log_unit))

    @cached_property
    def middle(self) -> float:
        """Mean of the coordinate across."""
        return float(np.average(self.across, weights=self.density))

    @cached_property
    def width(self) -> float:
        """Its standard deviation."""
        away = self.across - self.middle
        return float(np.sqrt(np.average(away**2, weights=self.density)))


def _row(plane: Plane, along: float, middle: float, width: float, highest: float) -> Row:
    """The row at a place, about where it is expected.

    Parameters
    ----------
    highest
        Log mass of the row that has most.
    """

    def at(across: Floats) -> Row:
        return Row(along, across, plane.heights(np.full(len(across), along), across))

    low, high, first = middle - _REACH * width, middle + _REACH * width, _ENTRIES
    if plane.spans is not None:
        low, high = plane.spans[0]
        first = int(np.clip((high - low) / (_CLOSE * plane.width), _ENTRIES, _MOST // 2))
    for _ in range(_LAYOUTS):
        row = at(np.linspace(low, high, first))
        step = (high - low) / (first - 1)
        matter = np.flatnonzero(row.log_density >= row.top - _FALL)
        cut_low, cut_high = matter[0] == 0, matter[-1] == first - 1
        if cut_low or cut_high:
            size = high - low
            low, high = low - size * cut_low, high + size * cut_high
        elif len(matter) < _FEWEST:
            low, high = row.across[matter[0]] - step, row.across[matter[-1]] + step
        else:
            break
    while len(row.across) < _MOST:
        between = at(0.5 * (row.across[1:] + row.across[:-1]))
        entries = np.empty((2, 2 * len(row.across) - 1))
        entries[:, ::2] = row.across, row.log_density
        entries[:, 1::2] = between.across, between.log_density
        finer = Row(along, *entries)
        here = finer.density
        wrong = np.abs(here[1::2] - 0.5 * (here[2::2] + here[:-2:2])).sum() / here[1::2].sum()
        row = finer
        # of rows with little mass less is asked
        if wrong * np.exp(0.5 * min(row.log_mass - highest, 0.0)) < _ROW_ERROR:
            break
    return row


def laid_out(plane: Plane) -> tuple[Plane, list[Row]] | None:
    """Rows from end to end, as close as it takes; None where no end is found.

    On a plane of its own, where the posterior isn't what was guessed.
    """
    with np.errstate(all="ignore"):
        found = _rows(plane)
        for _ in range(_PLANES):
            if found is None:
                return None
            if plane.spans is not None:
                break
            better = _recentred(plane, found)
            if not (better.width > 0 and better.length > 0):
                return None  # all in one row: no end to lay out
            if plane.resembles(better):
                break
            plane, found = better, _rows(better)
    return None if found is None else (plane, found)


def _recentred(plane: Plane, rows: list[Row]) -> Plane:
    """The plane that goes with the rows' means and widths."""
    along = np.array([row.along for row in rows])
    middles = np.array([row.middle for row in rows])
    log_masses = np.array([row.log_mass for row in rows])
    weights = np.exp(log_masses - log_masses.max()) * np.gradient(along)
    weights /= weights.sum()
    away = along - weights @ along
    length2 = weights @ away**2
    trend = weights @ (away * middles) / length2
    spread = middles - weights @ middles - trend * away
    width2 = weights @ (np.array([row.width for row in rows]) ** 2 + spread**2)
    center = plane.points(np.array([weights @ along]), np.array([weights @ middles]))[0]
    return Plane(
        plane.log_density,
        center,
        plane.trend + float(trend),
        float(np.sqrt(width2)),
        float(np.sqrt(length2)),
    )


def _rows(plane: Plane) -> list[Row] | None:
    first = _row(plane, float(plane.center[1]), 0.0, plane.width, _NOWHERE)
    found, highest = [first], first.log_mass
    for way in (-1, 1):
        last, stride, ended = first, _STRIDE * plane.length, False
        for count in range(_ROWS):
            before = last
            last = _row(plane, last.along + way * stride, last.middle, last.width, highest)
            found.append(last)
            highest = max(highest, last.log_mass)
            # not where it still goes uphill, from a guess that was far away, nor before a mode
            beyond = plane.spans is None or not plane.spans[1][0] < last.along < plane.spans[1][1]
            ended = last.log_mass < highest - _FALL and not last.log_mass > before.log_mass
            ended = ended and beyond
            if ended:
                break
            if beyond and count >= _REGULAR:
                stride *= _GROWTH
        if not ended:
            return None
    found.sort(key=lambda row: row.along)
    wanting = list(pairwise(found))
    for _ in range(_REFINEMENTS):
        halves = []
        for a, b in wanting:
            middle, width = 0.5 * (a.middle + b.middle), max(a.width, b.width)
            row = _row(plane, 0.5 * (a.along + b.along), middle, width, highest)
            found.append(row)
            linear = 0.5 * (a.at(row.across, highest) + b.at(row.across, highest))
            wrong = np.abs(row.at(row.across, highest) - linear).sum()
            wrong *= row.across[1] - row.across[0]
            if wrong * (b.along - a.along) / plane.length > _ERROR:
                halves += [(a, row), (row, b)]
        wanting = halves
    return sorted(found, key=lambda row: row.along)


def _inverted(x: Floats, density: Floats, u: Floats) -> tuple[Floats, np.ndarray]:
    """Quantiles u of a density that is linear between x, and the interval that each is in."""
    steps = np.diff(x)
    area = np.append(0.0, np.cumsum(0.5 * (density[1:] + density[:-1]) * steps))
    wanted = u * area[-1]
    k = np.clip(np.searchsorted(area, wanted, "right") - 1, 0, len(x) - 2)
    wanted = wanted - area[k]
    slope = (density[k + 1] - density[k]) / steps[k]
    root = np.sqrt(np.maximum(density[k] ** 2 + 2 * slope * wanted, 0.0))
    with np.errstate(invalid="ignore"):
        away = np.nan_to_num(2 * wanted / (density[k] + root))
    return x[k] + np.minimum(away, steps[k]), k


def proposed(
    plane: Plane, rows: list[Row], draws: int, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Draws of the law that is linear between the rows: points, shape (draws, 2), and its log.

    A scrambled Sobol set in random order, each point followed by its mirror image: means of the
    draws are far more precise than those of independent ones.
    """
    from scipy.stats import qmc  # takes a while

    points = qmc.Sobol(3, rng=rng).random_base2(int(np.ceil(np.log2((draws + 1) // 2))))
    half = rng.permutation(points)[: (draws + 1) // 2]
    u = np.stack([half, 1 - half], axis=1).reshape(-1, 3)[:draws].T
    places = np.array([row.along for row in rows])
    log_masses = np.array([row.log_mass for row in rows])
    highest = float(log_masses.max())
    masses = np.exp(log_masses - highest)
    along, k = _inverted(places, masses, u[0])
    part = (along - places[k]) / (places[k + 1] - places[k])
    # a mixture of the rows to either side
    before, after = (1 - part) * masses[k], part * masses[k + 1]
    chosen = np.where(u[1] * (before + after) < before, k, k + 1)
    across, density = np.empty(draws), np.zeros(draws)
    for j, row in enumerate(rows):
        inside = chosen == j
        across[inside], _ = _inverted(row.across, row.density, u[2][inside])
    for j, row in enumerate(rows):
        for beside, weight in ((k == j, 1 - part), (k + 1 == j, part)):
            density[beside] += weight[beside] * row.at(across[beside], highest)
    return plane.points(along, across), np.log(density)


def accepted(log_weight: Floats, rng: np.random.Generator) -> tuple[np.ndarray, Floats]:
    """Which draw each step of Metropolis's rule is at, and the probability of its acceptance."""
    at, log_u = 0, np.log(rng.random(len(log_weight)))
    found = np.empty(len(log_weight), dtype=np.intp)
    probability = np.empty(len(log_weight))
    for i, weight in enumerate(log_weight):
        gain = weight - log_weight[at]
        probability[i] = np.exp(min(gain, 0.0))
        at = i if log_u[i] < gain else at
        found[i] = at
    return found, probability
