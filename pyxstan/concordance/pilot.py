r"""A guess of the posterior, in whose units the sampler moves.

The concordance is hard for a sampler in its own coordinates: a shift of all B against all G is
nearly free, while their differences are tight. Here the mode over the variances is found by
scoring steps, and with it the (then Gaussian) posterior of B and G. The Stan programs sample
standardised coordinates around it; the guess changes the sampler's pace and nothing else.

Arrays over measurements are dense, sources by instruments, with `mask` for what was measured.
Given weights w (inverse variances) and centred values d = B_i + G_j + noise, with flat G,
W_j = sum_i w_ij and u_ij = w_ij / W_j:

    precision of B:  T^{-1} + diag(sum_j w_ij) - w^T u
    G_j | B:         Normal( sum_i u_ij (d_ij - B_i), 1 / W_j )
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyxstan.concordance.data import ConcordanceData, Floats, Ints
from pyxstan.concordance.skew_t import mixing_moments

if TYPE_CHECKING:
    from pyxstan.concordance.scatter import ScatterPrior

_STEPS = 60
_LARGEST_STEP = 1.0


@dataclass(frozen=True)
class Gaussian:
    """Posterior of B and G for known weights."""

    B: Floats
    covariance: Floats
    G: Floats
    #: G's regression on B: dG/dB = -u, shape (M, N).
    u: Floats
    #: Standard deviation of G given B.
    G_scale: Floats
    #: Posterior mean and variance of d - B - G, sources by instruments.
    residual: Floats
    variance: Floats


@dataclass(frozen=True)
class Pilot:
    """Centre and scale of the sampler's coordinates."""

    gaussian: Gaussian
    log_v: Floats
    log_v_scale: Floats


@dataclass(frozen=True)
class Grid:
    """The measurements as dense arrays, sources by instruments."""

    y: Floats
    mask: Floats
    given: Floats

    @classmethod
    def of(cls, data: ConcordanceData, given: Floats) -> Grid:
        """Spread measurements and their given variances over the grid."""
        shape = len(data.sources), len(data.instruments)
        y, mask, s2 = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        y[data.source, data.instrument] = data.y
        mask[data.source, data.instrument] = 1
        s2[data.source, data.instrument] = given
        return cls(y, mask, s2)


def gaussian_posterior(w: Floats, d: Floats, b: Floats, precision: Floats) -> Gaussian:
    """Posterior of B and G, given weights `w` (0 where nothing was measured) and values `d`."""
    W = w.sum(axis=1)
    u = w / W[:, None]
    d_mean = (u * d).sum(axis=1)
    P = precision + np.diag(w.sum(axis=0)) - w.T @ u
    covariance = np.linalg.inv(P)
    covariance = 0.5 * (covariance + covariance.T)
    B = covariance @ ((w * (d - d_mean[:, None])).sum(axis=0) + precision @ b)
    G = d_mean - u @ B
    u_cov = u @ covariance
    variance = 1 / W[:, None] + np.diag(covariance) - 2 * u_cov + (u_cov * u).sum(axis=1)[:, None]
    residual = d - B - G[:, None]
    return Gaussian(B, covariance, G, u, np.sqrt(1 / W), residual, variance)


def find(
    grid: Grid,
    b: Floats,
    precision: Floats,
    prior: ScatterPrior | None,
    slots: Ints,
    start: float,
    nu: float | None,
) -> Pilot:
    """Find the guess.

    Parameters
    ----------
    prior
        Of the variances v; None where they are known.
    slots
        Which of the v each instrument has.
    start
        Where the search for v begins.
    nu
        Degrees of freedom of log-t errors; None for log-normal ones.
    """
    log_v = np.full(0 if prior is None else len(prior.priors), np.log(start))
    members = np.eye(log_v.size)[:, slots] if prior is not None else np.zeros((0, b.size))
    residual = np.zeros_like(grid.y)
    spread = np.zeros_like(grid.y)
    scale = np.ones_like(log_v)
    for _ in range(_STEPS):
        total = grid.given + np.exp(log_v) @ members
        total = np.where(grid.mask > 0, total, 1.0)
        if nu is None:
            xi, inverse_xi = np.ones_like(total), np.ones_like(total)
        else:
            xi, inverse_xi = mixing_moments(np.sqrt(residual**2 + spread), total, nu)
        fit = gaussian_posterior(grid.mask * xi / total, grid.y + 0.5 * total / xi, b, precision)
        # r = y - B - G itself; the fit's residual is about the centred value d
        residual = grid.mask * (fit.residual - 0.5 * total / xi)
        spread = grid.mask * fit.variance
        if prior is None:
            if nu is None:
                break
            continue
        v = np.exp(log_v) @ members
        slope = 0.5 * grid.mask * (xi * (residual**2 + spread) / total**2 - 1 / total)
        slope -= grid.mask * inverse_xi / 8
        leverage = np.clip(xi * fit.variance / total, 0, 0.9)
        shrink = 1.0 if nu is None else nu / (nu + 3)
        each = (grid.mask * (v / total) ** 2 * (1 - leverage)).sum(axis=0)
        information = 0.5 * shrink * (members @ each)
        step = 1e-3
        lower, middle, upper = (prior.log_density(log_v + shift) for shift in (-step, 0.0, step))
        gradient = members @ (v * slope.sum(axis=0)) + (upper - lower) / (2 * step)
        curvature = np.maximum(information - (upper - 2 * middle + lower) / step**2, 0.25)
        move = np.clip(gradient / curvature, -_LARGEST_STEP, _LARGEST_STEP)
        log_v = log_v + move
        scale = 1 / np.sqrt(curvature)
        if np.abs(move).max() < 1e-4:
            break
    total = grid.given + np.exp(log_v) @ members
    total = np.where(grid.mask > 0, total, 1.0)
    if nu is not None:
        # the expected information of log-t errors is rounder than the observed one
        w = grid.mask * nu * (nu + 1) / (nu + 3) / total
        steady = gaussian_posterior(w, grid.y, b, precision)
        fit = Gaussian(
            fit.B, steady.covariance, fit.G, steady.u, steady.G_scale, residual, steady.variance
        )
    return Pilot(fit, log_v, scale)
