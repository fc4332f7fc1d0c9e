r"""The samples of objects that are far from a parent, where nodes are no good.

Between nodes a parent's density is taken for a polynomial. Many standard deviations away it falls
so steeply that the polynomial is worth nothing, or there is no node where p isn't zero in floating
point. Of an object whose likelihood is below `FAR` over the length on which the parent changes,

    ln L_i = ln sum_k w_ik exp(ln p(x_ik))

is therefore summed over its samples themselves, as logarithms: it costs what the parent says, and
the slope of that pulls the parent from however far away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pyxstan.stacking.data import Floats, PosteriorSamples

#: What L_i times the finest length of the parent is above, where nodes are good: some 4.5 standard
#: deviations of a Gaussian.
FAR = 1e-5
#: Samples of objects that Stan is given at most, but for those that are known to need them.
_MOST = 1_000_000


@dataclass(frozen=True)
class Samples:
    """Weighted samples, one row after another: the objects', and the selection's."""

    #: Shape (samples,) or (samples, parameters).
    x: Floats
    weight: Floats
    start: np.ndarray

    @classmethod
    def of(
        cls, data: PosteriorSamples, support: tuple[float, float] = (-np.inf, np.inf)
    ) -> Samples:
        """Those of one parameter that have weight, inside of the support of a parent."""
        x, weight, ends = data.x[:, 0], data.weights, data.start
        if data.selection is not None:
            x = np.append(x, data.selection.x[:, 0])
            weight = np.append(weight, data.selection.shares)
            ends = np.append(ends, len(x))
        there = (weight > 0) & (x > support[0]) & (x < support[1])
        if there.all():
            return cls(x, weight, ends)
        start = np.append(0, np.cumsum(there))[ends]
        return cls(x[there], weight[there], start)

    @cached_property
    def log_weight(self) -> Floats:
        """ln weight."""
        return np.asarray(np.log(self.weight))

    def positions(self, rows: np.ndarray) -> tuple[np.ndarray | slice, np.ndarray]:
        """Positions of the samples of some rows, and where those of each row begin among them.

        Rows are in ascending order.
        """
        if len(rows) == len(self.start) - 1:
            return slice(None), self.start[:-1]
        if len(rows) == 1:
            return slice(*self.start[rows[0] : rows[0] + 2]), np.zeros(1, dtype=np.intp)
        sizes = (self.start[1:] - self.start[:-1])[rows]
        begin = np.cumsum(sizes) - sizes
        inside = np.arange(sizes.sum()) - np.repeat(begin, sizes)
        return np.repeat(self.start[:-1][rows], sizes) + inside, begin

    def log_sums(self, rows: np.ndarray, log_p: Floats) -> Floats:
        """ln sum of weight times p over each of some rows, for ln p at their `positions`.

        Parameters
        ----------
        log_p
            Shape (..., samples of these rows).
        """
        at, begin = self.positions(rows)
        terms = log_p + self.log_weight[at]
        sizes = np.diff(np.append(begin, terms.shape[-1]))
        most = np.maximum.reduceat(terms, begin, axis=-1)
        with np.errstate(invalid="ignore"):
            terms -= most if len(rows) == 1 else np.repeat(most, sizes, axis=-1)
            np.exp(terms, out=terms)
            found = most + np.log(np.add.reduceat(terms, begin, axis=-1))
        return np.asarray(np.where(np.isneginf(most), -np.inf, found))

    def condensed(self, whole: np.ndarray) -> Samples:
        """As many as Stan can be given: where these are too many, means of neighbours.

        Parameters
        ----------
        whole
            Rows that are left as they are.
        """
        together = int(np.ceil(len(self.x) / _MOST))
        if together == 1:
            return self
        sizes = np.diff(self.start)
        row = np.repeat(np.arange(len(sizes)), sizes)
        order = np.lexsort((self.x, row))
        place = np.arange(len(row)) - self.start[row]
        first = whole[row] | (place % together == 0)
        begin = np.flatnonzero(first)
        weight = np.add.reduceat(self.weight[order], begin)
        x = np.add.reduceat((self.weight * self.x)[order], begin) / weight
        return Samples(x, weight, np.append(0, np.cumsum(first))[self.start])
