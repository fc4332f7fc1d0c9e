"""Direct draws of a source's ns, gamma and position.

At each position that matters the likelihood is laid out over ns and gamma; between these points it
is smooth, and interpolated by splines. Summed over positions it is the posterior of ns and gamma,
from which is drawn on a fine grid with Metropolis's rule. A draw's position follows from the
likelihood at every position (`Layout.drawn_positions`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.interpolate import RectBivariateSpline
from scipy.special import logsumexp

from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.region import Region
from pyxstan.point_source.scanning import Sky
from pyxstan.priors import Prior, log_prior_of_many
from pyxstan.stacking.quadrature import accepted

#: Points of the first layout in ns and in gamma, and of the second, where the posterior is.
_FIRST, _SECOND = (100, 31), (60, 40)
#: What of the posterior's log density below the highest is laid out again.
_FALL = 25.0
#: Cells of the grid that draws are made from.
_CELLS = 400
#: Numbers that are held of a layout at a time, in double precision.
_BLOCK = 5_000_000
#: Where priors of ns whose density ends at zero are taken instead of there.
_LEAST_NS = 1e-3
#: Draws at which interpolated likelihoods are compared with exact ones.
_CHECKED = 100


@dataclass(frozen=True)
class Layout:
    """The likelihood over ns and gamma at every position.

    Parameters
    ----------
    x
        ln(1 + ns), rising.
    gamma
        Rising.
    log_weight
        Ln of prior times likelihood, by gamma, then x, shape (gammas * xs, positions): of single
        precision, since there may be many.
    log_sum
        Ln of its sum over positions, shape (xs, gammas).
    """

    x: Floats
    gamma: Floats
    log_weight: npt.NDArray[np.float32]
    log_sum: Floats

    @classmethod
    def of(cls, target: Target, x: Floats, gamma: Floats) -> Layout:
        """The one of some points."""
        ns, gammas = _points(x, gamma)
        kept = np.empty((len(ns), target.positions), dtype=np.float32)
        total = np.full(len(ns), -np.inf)
        for first, block in target.blocks(ns, gammas):
            kept[:, first : first + len(block)] = block.T
            total = np.logaddexp(total, logsumexp(block, axis=0))
        return cls(x, gamma, kept, total.reshape(len(gamma), len(x)).T)

    def summed(self) -> RectBivariateSpline:
        """Ln of the sum over positions."""
        return RectBivariateSpline(self.x, self.gamma, self.log_sum)

    def of_positions(self, log_prior: Floats) -> Floats:
        """Posterior probability of each position, for a prior's ln density, (xs, gammas)."""
        highest = (self.log_sum + log_prior).max()
        p = np.zeros(self.log_weight.shape[1])
        for weights, prior in zip(self.log_weight, log_prior.T.ravel(), strict=True):
            if np.isfinite(prior):
                p += np.exp(weights + (prior - highest))
        return np.asarray(p / p.sum())

    def drawn_positions(self, x: Floats, gamma: Floats, rng: np.random.Generator) -> Integers:
        """A position for each of some ns and gamma, by its probability given these.

        Between points of the layout the probability is linear: that of one of the four around,
        which is drawn by its share.
        """
        i, j = (_neighbour(*each, rng) for each in ((self.x, x), (self.gamma, gamma)))
        found = np.empty(len(x), dtype=np.int64)
        nodes, which = np.unique(j * len(self.x) + i, return_inverse=True)
        for k, node in enumerate(nodes):
            log_p = self.log_weight[node].astype(float)
            cumulative = np.exp(log_p - log_p.max()).cumsum()
            here = np.flatnonzero(which == k)
            found[here] = np.searchsorted(cumulative, rng.random(len(here)) * cumulative[-1])
        return found


@dataclass(frozen=True)
class Target:
    """The posterior density of ns and gamma, and of the position given these.

    Parameters
    ----------
    positions
        How many there are.
    log_weight
        Ln of prior times likelihood at some (ns, gamma), of a slice of the positions, shape
        (positions, points); quick where points of the same gamma follow one another.
    ends
        Of gamma.
    most
        What ns can't be above.
    priors
        Of ns and gamma.
    """

    positions: int
    log_weight: Callable[[slice, Floats, Floats], Floats]
    ends: tuple[float, float]
    most: float
    priors: Mapping[str, Prior]

    @classmethod
    def at(cls, sky: Sky, region: Region, most: float, priors: Mapping[str, Prior]) -> Target:
        """The one of a source in one of some pixels."""

        def log_weight(some: slice, ns: Floats, gamma: Floats) -> Floats:
            values = sky.log_likelihood(region.ra[some], region.dec[some], ns, gamma)
            return values + region.log_prior[some, None]

        gammas = sky.tables.gammas
        return cls(len(region), log_weight, (float(gammas[0]), float(gammas[-1])), most, priors)

    def blocks(self, ns: Floats, gamma: Floats) -> Iterator[tuple[int, Floats]]:
        """The first position of a block of them and its ln weights, one block after the other."""
        size = max(1, _BLOCK // len(ns))
        for first in range(0, self.positions, size):
            yield first, self.log_weight(slice(first, first + size), ns, gamma)

    def log_sum(self, ns: Floats, gamma: Floats) -> Floats:
        """Ln of the sum of weights over positions."""
        total = np.full(len(ns), -np.inf)
        for _, block in self.blocks(ns, gamma):
            total = np.logaddexp(total, logsumexp(block, axis=0))
        return total

    def log_prior(self, x: Floats, gamma: Floats) -> Floats:
        """Ln of the prior density of (ln(1 + ns), gamma)."""
        chosen = (self.priors["ns"], self.priors["gamma"])
        ns = np.maximum(np.expm1(x), _LEAST_NS)
        return np.asarray(log_prior_of_many(chosen, np.stack([ns, gamma])) + x)

    def log_prior_on(self, x: Floats, gamma: Floats) -> Floats:
        """`log_prior` on a grid, shape (xs, gammas)."""
        first, second = np.meshgrid(x, gamma, indexing="ij")
        return self.log_prior(first.ravel(), second.ravel()).reshape(first.shape)

    def layout(self) -> Layout:
        """Laid out over all there may be, then again over where the posterior is."""
        x = np.linspace(0.0, np.log1p(self.most), _FIRST[0])
        gamma = np.linspace(*self.ends, _FIRST[1])
        coarse = self.log_sum(*_points(x, gamma)).reshape(len(gamma), len(x)).T
        log_p = coarse + self.log_prior_on(x, gamma)
        matters = log_p > log_p.max() - _FALL
        return Layout.of(
            self,
            _around(x, matters.any(axis=1), _SECOND[0]),
            _around(gamma, matters.any(axis=0), _SECOND[1]),
        )


def _points(x: Floats, gamma: Floats) -> tuple[Floats, Floats]:
    """Ns and gamma of a grid's points: by gamma, so that what depends on it alone is made once."""
    gammas, ns = np.meshgrid(gamma, np.expm1(x), indexing="ij")
    return ns.ravel(), gammas.ravel()


def _around(points: Floats, which: np.ndarray, count: int) -> Floats:
    """Points from one before the first of some to one after their last."""
    first, last = np.flatnonzero(which)[[0, -1]]
    return np.linspace(points[max(first - 1, 0)], points[min(last + 1, len(points) - 1)], count)


@dataclass(frozen=True)
class DirectDraws:
    """Draws by chain, shape (chains, draws)."""

    ns: Floats
    gamma: Floats
    log_density: Floats
    acceptance: Floats
    #: The largest error of an interpolated log likelihood, at some of the draws.
    error: float


def direct(target: Target, layout: Layout, chains: int, draws: int, seed: int) -> DirectDraws:
    """Draw from the posterior: chains that differ in their random numbers alone."""
    summed = layout.summed()
    x_edges = np.linspace(layout.x[0], layout.x[-1], _CELLS + 1)
    gamma_edges = np.linspace(layout.gamma[0], layout.gamma[-1], _CELLS + 1)
    x_middle, gamma_middle = (0.5 * (e[1:] + e[:-1]) for e in (x_edges, gamma_edges))
    log_q = summed(x_middle, gamma_middle) + target.log_prior_on(x_middle, gamma_middle)
    log_q = log_q.ravel()
    p = np.exp(log_q - log_q.max())
    cumulative = p.cumsum()
    found = np.empty((4, chains, draws))
    for chain in range(chains):
        rng = np.random.default_rng([seed, chain])
        cell = np.searchsorted(cumulative, rng.random(draws) * cumulative[-1], side="right")
        i, j = np.divmod(np.minimum(cell, p.size - 1), _CELLS)
        x = x_edges[i] + (x_edges[1] - x_edges[0]) * rng.random(draws)
        gamma = gamma_edges[j] + (gamma_edges[1] - gamma_edges[0]) * rng.random(draws)
        log_p = summed.ev(x, gamma) + target.log_prior(x, gamma)
        kept, probability = accepted(log_p - log_q[i * _CELLS + j], rng)
        found[:, chain] = x[kept], gamma[kept], log_p[kept], probability
    x, gamma, log_p, probability = found
    some = np.linspace(0, x.size - 1, min(_CHECKED, x.size)).astype(int)
    error = _error(target, layout, x.ravel()[some], gamma.ravel()[some])
    return DirectDraws(np.expm1(x), gamma, log_p, probability, error)


def _error(target: Target, layout: Layout, x: Floats, gamma: Floats) -> float:
    order = np.argsort(gamma, kind="stable")
    x, gamma = x[order], gamma[order]
    exact = target.log_sum(np.expm1(x), gamma)
    return float(np.abs(exact - layout.summed().ev(x, gamma)).max())


def _neighbour(points: Floats, values: Floats, rng: np.random.Generator) -> Integers:
    """The point below or above of each value, by how near it is."""
    place = (values - points[0]) / (points[1] - points[0])
    below = np.clip(np.floor(place), 0, len(points) - 2)
    return np.asarray(below + (rng.random(len(values)) < place - below), dtype=np.int64)
