r"""The samples of all objects on nodes, where a parent's density is evaluated once for all.

The likelihood of an object is a weighted sum of p over its samples. On nodes x_g at a distance h, a
smooth p between them is a polynomial through the eight nodes around:

    p(x) = sum_g l_g(x) p(x_g)
    L_i = sum_g weight_ig p(x_g),   weight_ig = sum_k w_ik l_g(x_ik)

The error falls with the eighth power of h over the parent's width, and is checked on every fit
against the samples themselves. Where a posterior holds broad and narrow parents, there are several
grids, each twice as fine as the last: a parent takes the coarsest that is fine enough, and of it
the nodes where it is anything to speak of. Where a grid would be longer than the samples are many,
these take its place, in ascending order. A histogram's nodes are its bins, without any error.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import sparse

from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.parents import bin_of

#: Nodes that a value between them is interpolated from.
_STENCIL = 8
#: Objects are distributed in chunks of so many samples.
_CHUNK = 1 << 17
#: Densities, and likelihoods, that are worked on at once.
_DENSITIES, _LIKELIHOODS = 3e5, 4e6
#: A grid of more nodes than this is none.
_MOST_NODES = 4096
#: Nor is one of so many more weights than there are samples.
_MOST_WEIGHTS = 2.0
#: Parents may be by this factor finer than those that the finest grid is made for.
_STRETCH = 2.0
#: Where the finest parent is by this factor finer than the broadest, it may be anything.
_UNKNOWN = 4.0


@dataclass(frozen=True)
class Grid:
    """Rows of weights on nodes: one an object, and the selection's."""

    x: Floats
    #: Node that each row begins with, shape (rows,).
    first: np.ndarray
    #: Where each row's weights begin among all, and the end, shape (rows + 1,).
    start: np.ndarray
    weight: Floats

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """The weights of the rows, shape (rows, nodes)."""
        sizes = np.diff(self.start)
        columns = np.arange(len(self.weight)) - np.repeat(self.start[:-1] - self.first, sizes)
        return sparse.csr_array(
            (self.weight, columns, self.start), shape=(len(self.first), len(self.x))
        )


@dataclass(frozen=True)
class Sorted:
    """Every sample in ascending order, with its row and weight."""

    x: Floats
    row: np.ndarray
    weight: Floats
    rows: int

    @cached_property
    def matrix(self) -> sparse.csc_array:
        """The weights of the rows, shape (rows, samples)."""
        places = (self.row, np.arange(len(self.x)))
        return sparse.csc_array((self.weight, places), shape=(self.rows, len(self.x)))


@dataclass(frozen=True)
class Nodes:
    """Grids, each finer than the last, and perhaps the samples themselves."""

    grids: tuple[Grid, ...]
    #: Length on which a parent may change, to be evaluated on each grid.
    resolved: Floats
    #: For yet finer parents; None: those take the last grid.
    samples: Sorted | None
    #: Of the rows' likelihoods: one, and minus the number of objects for the selection.
    power: Floats

    @property
    def exact(self) -> bool:
        """Whether there is no error of an interpolation."""
        return not np.any(self.resolved)

    @property
    def narrowest(self) -> float:
        """Length on which a parent may change, at the least: below it nodes are no good."""
        return float(self.resolved[-1]) / _STRETCH if self.samples is None else 0.0

    @property
    def size(self) -> int:
        """Weights in all."""
        return sum(len(level.weight) for level in self._levels)

    @property
    def _levels(self) -> list[Grid | Sorted]:
        return [*self.grids, *([] if self.samples is None else [self.samples])]

    def likelihoods(
        self,
        finest: Floats,
        window: tuple[Floats, Floats],
        density: Callable[[Floats, np.ndarray], Floats],
    ) -> Floats:
        """L of each row, shape (draws, rows).

        Parameters
        ----------
        finest
            Length on which the parent of each draw changes.
        window
            Ends of where it is anything to speak of.
        density
            p at points, of draws by their positions; shape (draws, points).
        """
        levels = self._levels
        found = np.empty((len(finest), len(self.power)))
        level_of = np.minimum((finest[:, None] < self.resolved).sum(axis=1), len(levels) - 1)
        order = np.lexsort((window[0], level_of))
        for k in np.unique(level_of):
            x, matrix = levels[k].x, levels[k].matrix
            draws = order[level_of[order] == k]
            at_once = max(int(min(_DENSITIES / len(x), _LIKELIHOODS / len(self.power))), 1)
            for some in np.split(draws, range(at_once, len(draws), at_once)):
                low, high = window[0][some].min(), window[1][some].max()
                inside = slice(*np.searchsorted(x, [low, high]))
                part = matrix if inside == slice(0, len(x)) else matrix[:, inside]
                found[some] = (part @ density(x[inside], some).T).T
        return found

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/stack.stan`` is told of them."""
        rows = len(self.power)
        every = self.samples or Sorted(np.empty(0), np.empty(0, dtype=int), np.empty(0), rows)
        points = [*(grid.x for grid in self.grids), every.x]
        weights = np.cumsum([0, *(len(grid.weight) for grid in self.grids)])
        return {
            "rows": rows,
            "power": self.power,
            "grids": len(self.grids),
            "resolved": self.resolved,
            "begin": np.cumsum([1, *map(len, points)]),
            "x": np.concatenate(points),
            "first": np.array([grid.first + 1 for grid in self.grids]).reshape(-1, rows),
            "start": np.array(
                [grid.start + 1 + w for grid, w in zip(self.grids, weights[:-1], strict=True)]
            ).reshape(-1, rows + 1),
            "weight": np.concatenate([[], *(grid.weight for grid in self.grids)]),
            "samples": len(every.x),
            "sample_row": every.row + 1,
            "sample_weight": every.weight,
        }


def power_of(data: PosteriorSamples) -> Floats:
    """Of each row's likelihood: with a selection there is one more."""
    ones = np.ones(len(data.objects))
    return ones if data.selection is None else np.append(ones, -float(len(ones)))


def on_grids(
    data: PosteriorSamples,
    finest: Floats,
    nodes_a_length: float,
    support: tuple[float, float],
) -> Nodes:
    """Distribute the samples for parents that change on these lengths."""
    coarse, fine = (float(q) for q in np.quantile(finest, [0.9, 0.0]))
    # one grid where they are alike; where they are very different, go on to the samples
    steps = max(int(np.ceil(np.log2(coarse / fine))) - 1, 0)
    last = 0 if coarse < _UNKNOWN * fine else -60
    lengths = np.ldexp(fine, np.arange(steps, last - 1, -1)).astype(float)
    grids: list[Grid] = []
    for length in lengths:
        grid = on_grid(data, length / nodes_a_length, support)
        if grid is None or len(grid.weight) > _MOST_WEIGHTS * len(data.x):
            break
        grids.append(grid)
    every = on_samples(data, support) if len(grids) < len(lengths) else None
    return Nodes(tuple(grids), lengths[: len(grids)], every, power_of(data))


def on_grid(data: PosteriorSamples, spacing: float, support: tuple[float, float]) -> Grid | None:
    """Distribute the samples over equidistant nodes; None where they would be too many.

    Samples outside of the support of the parent count for nothing, nor are nodes there.
    """
    low, high = support
    x = data.x[:, 0]
    lowest, highest = max(low, float(x.min())), min(high, float(x.max()))
    if data.selection is not None:
        lowest = max(low, min(lowest, float(data.selection.x.min())))
        highest = min(high, max(highest, float(data.selection.x.max())))
    # Nodes lie at half steps from an end of the support, where p may be infinite.
    if np.isfinite(low) and np.isfinite(high):
        spacing = (high - low) / max(_STENCIL, np.ceil((high - low) / spacing))
    origin = low if np.isfinite(low) else lowest - _STENCIL / 2 * spacing
    begin = 0 if np.isfinite(low) else int((lowest - origin) / spacing) - _STENCIL // 2
    end = int((highest - origin) / spacing) + _STENCIL // 2 + 1
    if np.isfinite(high):
        end = round((high - origin) / spacing)
    end = max(end, begin + _STENCIL)
    if end - begin > _MOST_NODES:
        return None
    grid = np.asarray(origin + (np.arange(begin, end) + 0.5) * spacing, dtype=float)
    pieces = [
        _distributed(part, weights, start, grid, spacing, support)
        for part, weights, start in _chunks(data)
    ]
    if data.selection is not None:
        chosen = data.selection
        ends = np.array([0, len(chosen.x)])
        pieces.append(_distributed(chosen.x[:, 0], chosen.shares, ends, grid, spacing, support))
    first = np.concatenate([piece[0] for piece in pieces])
    sizes = np.concatenate([piece[1] for piece in pieces])
    weight = np.concatenate([piece[2] for piece in pieces])
    return Grid(grid, first, np.append(0, np.cumsum(sizes)), weight)


def _chunks(data: PosteriorSamples) -> Any:
    """Samples, weights and starts of some objects after another."""
    ends = np.searchsorted(data.start, np.arange(_CHUNK, data.start[-1] + _CHUNK, _CHUNK), "right")
    begin = 0
    for end in np.unique(np.clip(ends - 1, 1, len(data.objects))):
        if end > begin:
            inside = slice(data.start[begin], data.start[end])
            start = data.start[begin : end + 1] - data.start[begin]
            yield data.x[inside, 0], data.weights[inside], start
            begin = end
    if begin < len(data.objects):
        inside = slice(data.start[begin], None)
        yield data.x[inside, 0], data.weights[inside], data.start[begin:] - data.start[begin]


def _distributed(
    x: Floats,
    weights: Floats,
    start: np.ndarray,
    grid: Floats,
    spacing: float,
    support: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, Floats]:
    """First node, number of nodes and weights of each row, one row after another."""
    rows = len(start) - 1
    row = np.repeat(np.arange(rows), np.diff(start))
    inside = (x >= support[0]) & (x <= support[1])
    x, weights, row = x[inside], weights[inside], row[inside]
    left = np.floor((x - grid[0]) / spacing).astype(np.intp) - (_STENCIL // 2 - 1)
    left = np.clip(left, 0, len(grid) - _STENCIL)
    first = np.full(rows, len(grid), dtype=np.intp)
    last = np.zeros(rows, dtype=np.intp)
    np.minimum.at(first, row, left)
    np.maximum.at(last, row, left + _STENCIL)
    empty = first >= last
    first[empty], last[empty] = 0, 1
    sizes = last - first
    offset = np.append(0, np.cumsum(sizes))
    place = offset[row] + left - first[row]
    t = (x - grid[left]) / spacing  # from the first of the eight nodes
    found = np.zeros(offset[-1])
    # weight times the product of t - m over the nodes before each, and over those behind it
    before = [weights]
    for m in range(_STENCIL - 1):
        before.append(before[-1] * (t - m))
    behind = np.ones(len(t))
    for j in reversed(range(_STENCIL)):
        at_node = math.prod(j - m for m in range(_STENCIL) if m != j)
        found += np.bincount(place + j, before[j] * behind / at_node, offset[-1])
        behind *= t - j
    return first, sizes, found


def on_bins(data: PosteriorSamples, edges: Floats) -> Grid:
    """The part of each object's weight in the bins, over their widths."""
    bins, widths = len(edges) - 1, np.diff(edges)

    def shares(x: Floats, weights: Floats, row: np.ndarray, rows: int) -> Floats:
        found = bin_of(x, edges)
        inside = found >= 0
        place = row[inside] * bins + found[inside]
        return np.bincount(place, weights[inside], rows * bins).reshape(rows, bins) / widths

    count = len(data.objects)
    parts = [shares(data.x[:, 0], data.weights, data.object_of, count)]
    if data.selection is not None:
        x = data.selection.x[:, 0]
        parts.append(shares(x, data.selection.shares, np.zeros(len(x), dtype=np.intp), 1))
    whole = np.concatenate(parts)
    rows = len(whole)
    middle = 0.5 * (edges[1:] + edges[:-1])
    start = np.arange(0, bins * (rows + 1), bins)
    return Grid(middle, np.zeros(rows, dtype=np.intp), start, whole.ravel())


def samples_alone(data: PosteriorSamples, support: tuple[float, float]) -> Nodes:
    """No grids: every sample for every parent."""
    return Nodes((), np.empty(0), on_samples(data, support), power_of(data))


def on_samples(data: PosteriorSamples, support: tuple[float, float]) -> Sorted:
    """Every sample a node of its own: exact, and as slow as that is."""
    x, weights, row = data.x[:, 0], data.weights, data.object_of
    if data.selection is not None:
        x = np.append(x, data.selection.x[:, 0])
        weights = np.append(weights, data.selection.shares)
        row = np.append(row, np.full(len(data.selection.x), len(data.objects)))
    order = np.argsort(x, kind="stable")
    order = order[(x[order] > support[0]) & (x[order] < support[1])]
    return Sorted(x[order], row[order], weights[order], len(power_of(data)))
