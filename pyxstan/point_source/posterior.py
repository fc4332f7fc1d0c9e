"""Direct draws of a source's ns, gamma and position.

At each position that matters the likelihood is laid out over ns and gamma; between these points it
is smooth, and interpolated by splines. Summed over positions it is the posterior of ns and gamma,
from which is drawn on a fine grid with Metropolis's rule. A draw's position follows from the
likelihood at every position (`Layout.drawn_positions`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
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
        Ln of prior times likelihood of each position, shape (positions, x, gamma).
    """

    x: Floats
    gamma: Floats
    log_weight: Floats

    @classmethod
    def of(cls, target: Target, x: Floats, gamma: Floats) -> Layout:
        """The one of some points."""
        # by gamma, then ns: what depends on gamma alone is made once
        g, n = np.meshgrid(gamma, np.expm1(x), indexing="ij")
        values = target.log_weight(n.ravel(), g.ravel())
        return cls(x, gamma, values.reshape(-1, len(gamma), len(x)).swapaxes(1, 2))

    def summed(self) -> RectBivariateSpline:
        """Ln of the sum over positions."""
        return RectBivariateSpline(self.x, self.gamma, logsumexp(self.log_weight, axis=0))

    def drawn_positions(self, x: Floats, gamma: Floats, rng: np.random.Generator) -> Integers:
        """A position for each of some ns and gamma, by its probability given these.

        Between points of the layout the probability is linear: that of one of the four around,
        which is drawn by its share.
        """
        i, j = (_neighbour(*each, rng) for each in ((self.x, x), (self.gamma, gamma)))
        found = np.empty(len(x), dtype=np.int64)
        nodes, which = np.unique(i * len(self.gamma) + j, return_inverse=True)
        for k, node in enumerate(nodes):
            log_p = self.log_weight[:, node // len(self.gamma), node % len(self.gamma)]
            cumulative = np.exp(log_p - log_p.max()).cumsum()
            here = np.flatnonzero(which == k)
            found[here] = np.searchsorted(cumulative, rng.random(len(here)) * cumulative[-1])
        return found


@dataclass(frozen=True)
class Target:
    """The posterior density of ns and gamma, and of the position given these.

    Parameters
    ----------
    log_weight
        Ln of prior times likelihood of each position at some (ns, gamma), shape (positions,
        points); quick where points of the same gamma follow one another.
    ends
        Of gamma.
    most
        What ns can't be above.
    priors
        Of ns and gamma.
    """

    log_weight: Callable[[Floats, Floats], Floats]
    ends: tuple[float, float]
    most: float
    priors: Mapping[str, Prior]

    @classmethod
    def at(cls, sky: Sky, region: Region, most: float, priors: Mapping[str, Prior]) -> Target:
        """The one of a source in one of some pixels."""

        def log_weight(ns: Floats, gamma: Floats) -> Floats:
            values = sky.log_likelihood(region.ra, region.dec, ns, gamma)
            return values + region.log_prior[:, None]

        gammas = sky.tables.gammas
        return cls(log_weight, (float(gammas[0]), float(gammas[-1])), most, priors)

    def log_prior(self, x: Floats, gamma: Floats) -> Floats:
        """Ln of the prior density of (ln(1 + ns), gamma)."""
        chosen = (self.priors["ns"], self.priors["gamma"])
        with np.errstate(divide="ignore"):
            return np.asarray(log_prior_of_many(chosen, np.stack([np.expm1(x), gamma])) + x)

    def layout(self) -> Layout:
        """Laid out over all there may be, then again over where the posterior is."""
        x = np.linspace(0.0, np.log1p(self.most), _FIRST[0])
        gamma = np.linspace(*self.ends, _FIRST[1])
        coarse = Layout.of(self, x, gamma)
        first, second = np.meshgrid(x, gamma, indexing="ij")
        log_prior = self.log_prior(first.ravel(), second.ravel()).reshape(first.shape)
        log_p = logsumexp(coarse.log_weight, axis=0) + log_prior
        matters = log_p > log_p.max() - _FALL
        return Layout.of(
            self,
            _around(x, matters.any(axis=1), _SECOND[0]),
            _around(gamma, matters.any(axis=0), _SECOND[1]),
        )


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
    first, second = np.meshgrid(x_middle, gamma_middle, indexing="ij")
    log_q = summed(x_middle, gamma_middle).ravel()
    log_q += target.log_prior(first.ravel(), second.ravel())
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
    exact = logsumexp(target.log_weight(np.expm1(x), gamma), axis=0)
    return float(np.abs(exact - layout.summed().ev(x, gamma)).max())


def _neighbour(points: Floats, values: Floats, rng: np.random.Generator) -> Integers:
    """The point below or above of each value, by how near it is."""
    place = (values - points[0]) / (points[1] - points[0])
    below = np.clip(np.floor(place), 0, len(points) - 2)
    return np.asarray(below + (rng.random(len(values)) < place - below), dtype=np.int64)
