r"""The samples of all objects on nodes, where a parent's density is evaluated once for all.

The likelihood of an object is a weighted sum of p over its samples. On nodes x_g at a distance h, a
smooth p between them is a polynomial through the eight nodes around:

    p(x) = sum_g l_g(x) p(x_g),   L_i = sum_g weight_ig p(x_g),   weight_ig = sum_k w_ik l_g(x_ik)

The error falls with the eighth power of h over the parent's width; `problem.refined` checks
it on every fit against the samples themselves. A histogram's nodes are its bins, without any error;
where no grid will do, every sample is a node of its own.
"""

from __future__ import annotations

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
_CHUNK = 1 << 20
#: A grid of more nodes than this is none.
MOST_NODES = 4096


@dataclass(frozen=True)
class Nodes:
    """Rows of weights on nodes."""

    x: Floats
    #: Node that each row begins with, shape (rows,).
    first: np.ndarray
    #: Where each row's weights begin among all, and the end, shape (rows + 1,).
    start: np.ndarray
    weight: Floats
    power: Floats

    @cached_property
    def matrix(self) -> sparse.csr_array:
        """The weights of the rows, shape (rows, nodes)."""
        sizes = np.diff(self.start)
        columns = np.arange(len(self.weight)) - np.repeat(self.start[:-1] - self.first, sizes)
        return sparse.csr_array(
            (self.weight, columns, self.start), shape=(len(self.first), len(self.x))
        )

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/stack.stan`` is told of them."""
        return {
            "nodes": len(self.x),
            "x": self.x,
            "rows": len(self.first),
            "first": self.first + 1,
            "start": self.start + 1,
            "weight": self.weight,
            "power": self.power,
        }


def on_grid(data: PosteriorSamples, spacing: float, support: tuple[float, float]) -> Nodes | None:
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
    if end - begin > MOST_NODES:
        return None
    grid = np.asarray(origin + (np.arange(begin, end) + 0.5) * spacing, dtype=np.float64)
    pieces = [
        _distributed(part, weights, start, grid, spacing, support)
        for part, weights, start in _chunks(data)
    ]
    power = np.ones(len(data.objects))
    if data.selection is not None:
        chosen = data.selection
        ends = np.array([0, len(chosen.x)])
        pieces.append(_distributed(chosen.x[:, 0], chosen.weights, ends, grid, spacing, support))
        power = np.append(power, -float(len(data.objects)))
    first = np.concatenate([piece[0] for piece in pieces])
    sizes = np.concatenate([piece[1] for piece in pieces])
    weight = np.concatenate([piece[2] for piece in pieces])
    return Nodes(grid, first, np.append(0, np.cumsum(sizes)), weight, power)


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
    for j in range(_STENCIL):
        others = [m for m in range(_STENCIL) if m != j]
        basis = np.ones(len(t))
        for m in others:
            basis *= (t - m) / (j - m)
        found += np.bincount(place + j, weights * basis, offset[-1])
    return first, sizes, found


def on_bins(data: PosteriorSamples, edges: Floats) -> Nodes:
    """The part of each object's weight in the bins, over their widths."""
    bins, widths = len(edges) - 1, np.diff(edges)

    def shares(x: Floats, weights: Floats, row: np.ndarray, rows: int) -> Floats:
        found = bin_of(x, edges)
        inside = found >= 0
        place = row[inside] * bins + found[inside]
        return np.bincount(place, weights[inside], rows * bins).reshape(rows, bins) / widths

    count = len(data.objects)
    parts = [shares(data.x[:, 0], data.weights, data.object_of, count)]
    power = np.ones(count)
    if data.selection is not None:
        x = data.selection.x[:, 0]
        parts.append(shares(x, data.selection.weights, np.zeros(len(x), dtype=np.intp), 1))
        power = np.append(power, -float(count))
    whole = np.concatenate(parts)
    rows = len(whole)
    middle = 0.5 * (edges[1:] + edges[:-1])
    start = np.arange(0, bins * (rows + 1), bins)
    return Nodes(middle, np.zeros(rows, dtype=np.intp), start, whole.ravel(), power)


def on_samples(data: PosteriorSamples, support: tuple[float, float]) -> Nodes:
    """Every sample a node of its own: exact, and as slow as that is."""
    x, weights, start = data.x[:, 0], data.weights, data.start
    power = np.ones(len(data.objects))
    if data.selection is not None:
        x = np.append(x, data.selection.x[:, 0])
        weights = np.append(weights, data.selection.weights)
        start = np.append(start, len(x))
        power = np.append(power, -float(len(data.objects)))
    inside = (x > support[0]) & (x < support[1])
    kept = np.append(0, np.cumsum(inside))[start]
    return Nodes(x[inside], kept[:-1], kept, weights[inside], power)
