"""Direct draws of a source's ns, gamma and position.

With the position summed over pixels the posterior has two coordinates, ln ns and the logit of gamma
between its ends, which are laid out by quadrature; each draw's pixel follows from its likelihood at
the pixels that matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logsumexp

from pyxstan.errors import DataError
from pyxstan.optimum import not_too_wide, optimum
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.positions import Positions
from pyxstan.point_source.scanning import Sky
from pyxstan.priors import Prior, log_prior_of_many
from pyxstan.stacking.quadrature import Plane, accepted, laid_out, proposed

#: The grid that the guess starts from: counts, and logits of gamma out to an end.
_COUNTS, _GAMMAS, _LOGIT = 20, 9, 3.0


@dataclass(frozen=True)
class Target:
    """The posterior density of (ln ns, logit gamma)."""

    sky: Sky
    positions: Positions
    most: float
    prior_of_ns: Prior
    prior_of_gamma: Prior

    @property
    def ends(self) -> tuple[float, float]:
        """Of gamma."""
        gammas = self.sky.tables.gammas
        return float(gammas[0]), float(gammas[-1])

    def values(self, theta: Floats) -> tuple[Floats, Floats]:
        """ns and gamma of points, shape (points, 2)."""
        low, high = self.ends
        return np.exp(theta[:, 0]), low + (high - low) * expit(theta[:, 1])

    def by_position(self, theta: Floats) -> Floats:
        """Ln of prior times likelihood of each position, shape (points, positions)."""
        ns, gamma = self.values(theta)
        at = self.positions
        return np.asarray(self.sky.log_likelihood(at.ra, at.dec, ns, gamma).T + at.log_prior)

    def log_density(self, theta: Floats) -> Floats:
        """Ln of the posterior density of points, up to a constant."""
        ns, gamma = self.values(theta)
        low, high = self.ends
        jacobian = theta[:, 0] + np.log(gamma - low) + np.log(high - gamma)
        found = np.full(len(theta), -np.inf)
        inside = (ns < self.most) & np.isfinite(jacobian)
        if inside.any():
            prior = log_prior_of_many(
                (self.prior_of_ns, self.prior_of_gamma), np.stack([ns, gamma])
            )
            found[inside] = logsumexp(self.by_position(theta[inside]), axis=1)
            found[inside] += (jacobian + prior)[inside]
        return found


@dataclass(frozen=True)
class DirectDraws:
    """Draws by chain, shape (chains, draws), with the position of each."""

    ns: Floats
    gamma: Floats
    position: Integers
    log_density: Floats
    acceptance: Floats


def guess(target: Target) -> tuple[Floats, Floats]:
    """The highest of a coarse grid, followed up: a middle, and the square root of a covariance."""
    ns = np.geomspace(0.3, 0.5 * target.most, _COUNTS)
    logits = np.linspace(-_LOGIT, _LOGIT, _GAMMAS)
    grid = np.stack(np.meshgrid(np.log(ns), logits, indexing="ij"), axis=-1).reshape(-1, 2)
    grid = grid[np.argsort(grid[:, 1], kind="stable")]
    start = grid[target.log_density(grid).argmax()]

    def lost(theta: Floats) -> float:
        return -float(target.log_density(theta[None])[0])

    center, scale = optimum(lost, start, np.diag([0.5, 0.5]))
    return center, not_too_wide(lost, center, scale)


def direct(target: Target, chains: int, draws: int, seed: int) -> DirectDraws:
    """Draw from the posterior.

    Raises
    ------
    DataError
        The posterior can't be laid out.
    """
    plane = laid_out(Plane.around(target.log_density, *guess(target)))
    if plane is None:
        raise DataError("the posterior can't be laid out for quadrature: take method='nuts'")
    theta = np.empty((chains, draws, 2))
    log_p, rate = np.empty((2, chains, draws))
    position = np.empty((chains, draws), dtype=np.int64)
    for chain in range(chains):
        rng = np.random.default_rng([seed, chain])
        points, log_q = proposed(*plane, draws, rng)
        each = target.log_density(points)
        kept, rate[chain] = accepted(each - log_q, rng)
        theta[chain], log_p[chain] = points[kept], each[kept]
        position[chain] = drawn_positions(target.by_position(theta[chain]), rng)
    ns, gamma = target.values(theta.reshape(-1, 2))
    shape = (chains, draws)
    return DirectDraws(ns.reshape(shape), gamma.reshape(shape), position, log_p, rate)


def drawn_positions(log_weight: Floats, rng: np.random.Generator) -> Integers:
    """One position a row, by its weight."""
    p = np.exp(log_weight - log_weight.max(axis=1, keepdims=True)).cumsum(axis=1)
    return np.asarray((p < rng.random((len(p), 1)) * p[:, -1:]).sum(axis=1))
