"""Exact draws of a Gaussian posterior of B and G."""

from __future__ import annotations

import time

import numpy as np
from scipy.special import ndtri
from scipy.stats import qmc

from pyxstan.concordance.data import Floats
from pyxstan.concordance.pilot import Gaussian
from pyxstan.engine.sampling import Draws


def gaussian_draws(posterior: Gaussian, chains: int, draws: int, seed: int) -> Draws:
    """Draw (B, G), one scrambled Sobol set a chain.

    A set is balanced in its own order; in random order, so is any part of it that a user picks.
    """
    start = time.monotonic()
    N, M = posterior.B.size, posterior.G.size
    L = np.linalg.cholesky(posterior.covariance)
    B = np.empty((chains, draws, N))
    G = np.empty((chains, draws, M))
    lp = np.empty((chains, draws))
    for chain in range(chains):
        rng = np.random.default_rng([seed, chain])
        z_B = _normals(rng, draws, N)
        z_G = rng.standard_normal((draws, M))
        B[chain] = posterior.B + z_B @ L.T
        G[chain] = posterior.G - (z_B @ L.T) @ posterior.u.T + posterior.G_scale * z_G
        lp[chain] = -0.5 * (z_B**2).sum(axis=1)
    return Draws(
        variables={"B": B, "G": G},
        statistics={"lp": lp, "diverging": np.zeros((chains, draws), dtype=bool)},
        method="exact",
        seconds=time.monotonic() - start,
        stan_version="none: closed form",
    )


def _normals(rng: np.random.Generator, draws: int, size: int) -> Floats:
    """Standard normals (draws, size) of a scrambled Sobol set."""
    points = qmc.Sobol(size, rng=rng).random_base2(int(np.ceil(np.log2(max(draws, 2)))))
    return np.asarray(ndtri(rng.permutation(points)[:draws]))
