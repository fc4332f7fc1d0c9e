"""Exact posterior of (B, G) when the variances are known.

With the variances known, ``y_ij + sigma_ij^2/2 ~ Normal(B_i + G_j, sigma_ij^2)``,
``B ~ Normal(b, T)`` and ``G`` flat make the posterior of the stacked vector (B, G) Gaussian.
Its precision matrix is built here entry by entry and inverted whole, with no elimination of G:
slow for thousands of sources, hard to get wrong.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GaussianPosterior:
    """Mean and covariance of the N + M vector (B, G)."""

    instruments: int
    mean: FloatArray
    covariance: FloatArray

    @property
    def B(self) -> FloatArray:  # noqa: N802 (the paper's symbol)
        """Posterior mean of B."""
        return self.mean[: self.instruments]

    @property
    def G(self) -> FloatArray:  # noqa: N802
        """Posterior mean of G."""
        return self.mean[self.instruments :]

    @property
    def B_sd(self) -> FloatArray:  # noqa: N802
        """Posterior standard deviation of B."""
        return np.sqrt(np.diag(self.covariance))[: self.instruments]

    @property
    def G_sd(self) -> FloatArray:  # noqa: N802
        """Posterior standard deviation of G."""
        return np.sqrt(np.diag(self.covariance))[self.instruments :]

    def draw(self, count: int, seed: int) -> tuple[FloatArray, FloatArray]:
        """Independent draws of B (count, N) and G (count, M)."""
        rng = np.random.default_rng(seed)
        root = np.linalg.cholesky(self.covariance)
        draws = self.mean + rng.standard_normal((count, self.mean.size)) @ root.T
        return draws[:, : self.instruments], draws[:, self.instruments :]


def prior_covariance(tau: npt.ArrayLike, instruments: int) -> FloatArray:
    """Diagonal T from tau (a number or one an instrument)."""
    return np.diag(np.broadcast_to(np.asarray(tau, dtype=np.float64), (instruments,)) ** 2)


def gaussian_posterior(
    y: FloatArray, sigma: npt.ArrayLike, b: npt.ArrayLike, T: FloatArray
) -> GaussianPosterior:
    """Exact posterior for known variances.

    Parameters
    ----------
    y
        (N, M) log fluxes or counts, NaN where the instrument does not see the source.
    sigma
        Known standard deviations, broadcast to (N, M).
    b, T
        Mean (N) and covariance (N, N) of the normal prior of B.
    """
    N, M = y.shape
    s = np.broadcast_to(np.asarray(sigma, dtype=np.float64), (N, M))
    if np.isnan(y).all(axis=0).any():
        raise ValueError("a source seen by nobody has no proper posterior under a flat prior")
    precision = np.zeros((N + M, N + M))
    prior_precision = np.linalg.inv(T)
    precision[:N, :N] = prior_precision
    linear = np.zeros(N + M)
    linear[:N] = prior_precision @ np.broadcast_to(np.asarray(b, dtype=np.float64), (N,))
    for i in range(N):
        for j in range(M):
            if np.isnan(y[i, j]):
                continue
            variance = s[i, j] ** 2
            pair = [i, N + j]
            precision[np.ix_(pair, pair)] += 1.0 / variance
            linear[pair] += (y[i, j] + variance / 2.0) / variance
    covariance = np.linalg.inv(precision)
    return GaussianPosterior(N, covariance @ linear, (covariance + covariance.T) / 2.0)
