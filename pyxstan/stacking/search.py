r"""The modes of the posterior of a parent in one parameter, sought over the whole prior.

Objects with two solutions each can be a narrow population here, a narrow one there, or a broad one:
a search from one place finds one of them. The likelihood of parents everywhere (in steps of their
mean and standard deviation over the samples' range and the prior's, and of what else they have) is
therefore evaluated on coarse histograms of the samples, its local maxima are followed up, and the
posterior density proper is maximised from each. Modes that hold hardly any of the probability are
dropped; the masses of the others come from importance sampling of their Gaussian approximations
(each a Student t with five degrees of freedom, all of them mixed).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pyxstan.optimum import not_too_wide, optimum
from pyxstan.stacking import parents
from pyxstan.stacking.coordinates import Coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.parents import Range
from pyxstan.stacking.starting import parents_at

#: Cells of the coarse histograms, and of how many objects they are.
_CELLS, _OBJECTS = 400, 300
#: Samples beyond this part of all at either end, and by this many times the rest's range, are
#: taken for as close as that.
_TAIL, _BEYOND = 0.005, 1.0
#: Local maxima that are followed up, in how many rounds, with how many trials each.
_CANDIDATES, _ROUNDS, _TRIALS = 12, 12, 16
#: A valley between two maxima is at least so deep in ln density.
_VALLEY = 0.5
#: A mode may be so much lower than the highest, in ln density, before and after it is maximised.
_LOWER, _LOWER_MASS = 60.0, 14.0
#: Distance of mixtures that are followed up, in their standard deviations.
_APART = 0.5
#: Modes at most, and the part of the probability from which on chains start in one.
_MOST, _STARTS = 6, 0.05
#: Part of the probability from which on a mode is told of.
_MATTERS = 0.01
#: Part of the probability below which a mode is none.
_NOTHING = 1e-4
#: Draws of each mode by which the masses are found, and degrees of freedom of these.
_DRAWS, _FREEDOM = 1000, 5.0

#: Log density of theta, shape (draws, size).
LogDensity = Callable[[Floats], Floats]


@dataclass(frozen=True)
class Mode:
    """A maximum of the posterior, and its surroundings."""

    #: Where it is.
    center: Floats
    #: Square root of the covariance there.
    scale: Floats
    log_density: float
    #: Part of the probability of all modes.
    share: float = 1.0

    @property
    def log_mass(self) -> float:
        """Of a Gaussian of its height and covariance, but for a constant."""
        return self.log_density + float(np.log(np.abs(np.linalg.det(self.scale))))


@dataclass(frozen=True)
class _Coarse:
    """The posterior by histograms of the samples."""

    model: str
    on: Range
    coordinates: Coordinates
    cells: Floats
    #: Of each object's weight the part in each cell, shape (objects, cells).
    shares: Floats
    #: First and last cell of each object.
    ends: NDArray[np.intp]
    #: Objects that each of these stands for.
    times: float
    #: Whether samples are farther away than they are taken for.
    beyond: bool

    @classmethod
    def of(cls, model: str, on: Range, coords: Coordinates, data: PosteriorSamples) -> _Coarse:
        """Of some objects spread over all."""
        count = len(data.objects)
        some = np.unique(np.linspace(0, count - 1, min(count, _OBJECTS)).astype(int))
        x = np.concatenate([data.of(i)[:, 0] for i in some])
        weight = np.concatenate([data.weights[data.start[i] : data.start[i + 1]] for i in some])
        row = np.repeat(np.arange(len(some)), data.sizes[some])
        low, high = np.quantile(x, [_TAIL, 1 - _TAIL])
        low, high = low - _BEYOND * (high - low), high + _BEYOND * (high - low)
        support = parents.support(model, on)
        low, high = max(low, support[0], x.min()), min(high, support[1], x.max())
        if not high > low:
            low, high = low - 1e-3 * on.width, high + 1e-3 * on.width
        step = (high - low) / _CELLS
        inside = (x >= support[0]) & (x <= support[1])
        cell = np.clip((x - low) / step, 0, _CELLS - 1).astype(np.intp)
        place = (row * _CELLS + cell)[inside]
        sums = np.bincount(place, weight[inside], len(some) * _CELLS)
        shares = np.asarray(sums, dtype=float).reshape(-1, _CELLS)
        first = np.argmax(shares > 0, axis=1)
        last = _CELLS - 1 - np.argmax(shares[:, ::-1] > 0, axis=1)
        cells = low + step * (np.arange(_CELLS) + 0.5)
        return cls(
            model,
            on,
            coords,
            cells,
            shares,
            np.array([first, last], dtype=np.intp),
            count / len(some),
            bool((x[inside] < low).any() or (x[inside] > high).any()),
        )

    @property
    def step(self) -> float:
        """Width of a cell."""
        return float(self.cells[1] - self.cells[0])

    def log_density(self, theta: Floats) -> Floats:
        """Of each theta, shape (draws, size); parents narrower than a cell are nowhere."""
        with np.errstate(all="ignore"):
            values, found = self.coordinates.values(theta)
            log_p = parents.log_density(self.model, self.cells, values, self.on, None)
            most = log_p.max(axis=1, keepdims=True)
            sums = np.exp(log_p - most) @ self.shares.T
            # of objects that are far: by the end that is closer
            far = np.maximum(log_p[:, self.ends[0]], log_p[:, self.ends[1]]) - np.log(1e3)
            log_l = np.where(sums > 1e-200, most + np.log(sums), far)
            finest = parents.finest(self.model, values, self.on)
        found = np.where(finest >= self.step, found + self.times * log_l.sum(axis=1), -np.inf)
        return np.nan_to_num(found, nan=-np.inf, posinf=-np.inf)


def modes(
    model: str,
    data: PosteriorSamples,
    on: Range,
    coords: Coordinates,
    also: Floats,
    target_for: Callable[[Floats], LogDensity],
) -> list[Mode]:
    """The posterior's modes, the one with most of the probability first.

    Parameters
    ----------
    also
        One more theta to start from.
    target_for
        Makes the log density of theta that is maximised, for parents at theta, shape (n, size).
    """
    coarse = _Coarse.of(model, on, coords, data)
    starts = _candidates(coarse, also)
    log_density = target_for(starts)
    heights = log_density(starts)
    starts = starts[np.argsort(-heights)]
    starts = starts[np.sort(heights)[::-1] > np.max(heights) - _LOWER * max(coarse.times, 1.0)]
    units = 0.1 * np.diag(coords.units(on.width))
    found: list[Mode] = []
    for start in starts:
        if any(_joined(log_density, start, mode.center) for mode in found):
            continue
        mode = maximised(log_density, start, units)
        if not any(same(mode, other) for other in found):
            found.append(mode)
        if len(found) == _MOST:
            break
    return with_shares(found, log_density)


def maximised(log_density: LogDensity, start: Floats, scale: Floats) -> Mode:
    """The mode that is reached from some theta."""

    def surprise(theta: Floats) -> Floats:
        found = log_density(theta)
        return np.where(np.isfinite(found), -found, 1e300)

    center, scale = optimum(surprise, start, scale)
    height = -float(surprise(center[None])[0])
    return Mode(center, not_too_wide(surprise, center, scale), height)


def told(found: Sequence[Mode], values: Callable[[Floats], Mapping[str, Floats]]) -> list[str]:
    """What is to be known of a posterior with several modes that matter.

    Parameters
    ----------
    values
        Parameters of theta, by name.
    """
    matter = [mode for mode in found if mode.share >= _MATTERS]
    if len(matter) < 2:
        return []
    parts = []
    for mode in matter:
        at = ", ".join(
            f"{name} {' and '.join(f'{x:.3g}' for x in np.ravel(value[0]))}"
            for name, value in values(mode.center[None]).items()
        )
        parts.append(f"about {mode.share:.0%} near {at}")
    return [f"the posterior has {len(matter)} modes that no one mean describes: {'; '.join(parts)}"]


def with_shares(found: Sequence[Mode], log_density: LogDensity, draws: int = _DRAWS) -> list[Mode]:
    """Modes with their parts of the probability, the largest first; without those of hardly any."""
    highest = max(mode.log_mass for mode in found)
    kept = [mode for mode in found if mode.log_mass > highest - _LOWER_MASS]
    if len(kept) == 1:
        return kept
    rng = np.random.default_rng(2)
    size = len(kept[0].center)
    points, log_q = [], []
    for mode in kept:
        wide = np.sqrt(_FREEDOM / rng.chisquare(_FREEDOM, (draws, 1)))
        points.append(mode.center + wide * rng.standard_normal((draws, size)) @ mode.scale.T)
    every = np.concatenate(points)
    for mode in kept:
        t = np.linalg.solve(mode.scale, (every - mode.center).T)
        norm = np.log(np.abs(np.linalg.det(mode.scale)))
        log_q.append(-0.5 * (_FREEDOM + size) * np.log1p((t * t).sum(axis=0) / _FREEDOM) - norm)
    log_p = np.nan_to_num(log_density(every), nan=-np.inf, posinf=-np.inf)
    log_weight = log_p - special.logsumexp(log_q, axis=0)
    weight = np.exp(log_weight - log_weight.max())
    masses = np.asarray(special.softmax(log_q, axis=0) @ weight)
    shares = masses / masses.sum()
    order = [k for k in np.argsort(-shares) if shares[k] >= _NOTHING]
    return [
        Mode(kept[k].center, kept[k].scale, kept[k].log_density, float(shares[k])) for k in order
    ]


def spread_over(
    found: Sequence[Mode], chains: int, log_density: LogDensity, seed: int
) -> list[Floats]:
    """Starting theta of chains, over-dispersed about the modes that matter, the first's first.

    Each mode that matters has a chain as far as there are enough, the rest go by shares.
    """
    rng = np.random.default_rng([seed, 3])
    matter = [mode for mode in found if mode.share >= _STARTS] or list(found[:1])
    counts = np.zeros(len(matter))
    counts[:chains] = 1
    shares = np.array([mode.share for mode in matter]) / sum(mode.share for mode in matter)
    while counts.sum() < chains:
        counts[np.argmax(shares * chains - counts)] += 1
    starts = []
    for mode, count in zip(matter, counts.astype(int), strict=True):
        for _ in range(count):
            trials = mode.center + 2 * rng.uniform(-1, 1, (20, len(mode.center))) @ mode.scale.T
            usable = log_density(trials) > mode.log_density - _LOWER
            starts.append(trials[np.argmax(usable)] if usable.any() else mode.center)
    return starts


def same(mode: Mode, other: Mode) -> bool:
    """Whether two searches have ended at about the same place."""
    away = mode.center - other.center
    return any(
        np.abs(np.linalg.solve(scale, away)).max() < 0.5 for scale in (mode.scale, other.scale)
    )


def _joined(log_density: LogDensity, start: Floats, center: Floats) -> bool:
    """Whether it goes uphill from a start to a mode, but for shallow valleys."""
    path = start + np.linspace(0, 1, 9)[:, None] * (center - start)
    heights = np.nan_to_num(log_density(path), nan=-np.inf)
    return bool((heights >= heights[0] - _VALLEY).all() and heights[-1] > heights[0] - _VALLEY)


def _candidates(coarse: _Coarse, also: Floats) -> Floats:
    """Local maxima of the coarse posterior, shape (n, size), or else the theta that is given."""
    lowest, highest = coarse.cells[0], coarse.cells[-1]
    grid = parents_at(coarse.model, coarse.on, coarse.coordinates, lowest, highest, coarse.step)
    heights = coarse.log_density(grid.reshape(-1, grid.shape[-1])).reshape(grid.shape[:-1])
    peaks = _apart(grid, heights) if coarse.coordinates.ordered else _local_maxima(grid, heights)
    found = np.array([*peaks, also])
    levels = coarse.log_density(found)
    if len(found) == 2:  # the usual case
        if levels[0] >= levels[1] or _joined(coarse.log_density, found[1], found[0]):
            found = found[:1]
    else:
        span = np.ptp(grid.reshape(-1, grid.shape[-1]), axis=0)
        found = _improved(coarse, found, levels, span)
    # of samples farther away than the histograms reach, these know nothing
    return np.array([*found, also]) if coarse.beyond else found


def _local_maxima(grid: Floats, heights: Floats) -> Floats:
    """On a grid of means, standard deviations, and the best of what else there is."""
    best = np.argmax(heights, axis=2)[..., None]
    top = np.take_along_axis(heights, best, axis=2)[..., 0]
    theta = np.take_along_axis(grid, best[..., None], axis=2)[:, :, 0]
    padded = np.pad(top, 1, constant_values=-np.inf)
    a, b = top.shape
    around = np.max(
        [padded[1 + i : 1 + i + a, 1 + j : 1 + j + b] for i in (-1, 0, 1) for j in (-1, 0, 1)
         if i or j], axis=0,
    )  # fmt: skip
    peaks = (top >= around) & np.isfinite(top)
    order = np.argsort(-top[peaks])[:_CANDIDATES]
    return np.asarray(theta[peaks][order])


def _apart(grid: Floats, heights: Floats) -> Floats:
    """The highest that are not close to one another."""
    theta, level = grid.reshape(-1, grid.shape[-1]), heights.ravel()
    unit = theta.std(axis=0)
    kept: list[Floats] = []
    for k in np.argsort(-level):
        if all(np.sqrt(np.mean(((theta[k] - one) / unit) ** 2)) > _APART for one in kept):
            kept.append(theta[k])
        if len(kept) == _CANDIDATES:
            break
    return np.array(kept)


def _improved(coarse: _Coarse, found: Floats, levels: Floats, span: Floats) -> Floats:
    """Candidates moved uphill on the coarse posterior, without those that come together."""
    rng = np.random.default_rng(1)
    count, size = found.shape
    steps = np.tile(np.maximum(span / 30, 1e-3 * np.abs(span).max()), (count, 1))
    for _ in range(_ROUNDS):
        trials = found[:, None] + steps[:, None] * rng.standard_normal((count, _TRIALS, size))
        heights = coarse.log_density(trials.reshape(-1, size)).reshape(count, _TRIALS)
        best = np.argmax(heights, axis=1)
        top = heights[np.arange(count), best]
        better = top > levels
        found = np.where(better[:, None], trials[np.arange(count), best], found)
        levels = np.where(better, top, levels)
        steps[~better] *= 0.5
    kept: list[int] = []
    for k in np.argsort(-levels):
        if levels[k] < levels.max() - _LOWER * coarse.times:
            break
        if not any(_joined(coarse.log_density, found[k], found[j]) for j in kept):
            kept.append(int(k))
    return np.asarray(found[kept])
