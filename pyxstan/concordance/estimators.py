"""Closed forms that go with the concordance: shrinkage estimators and the prior's influence.

Source: Chen et al. 2019 (arXiv:1711.09429), sections 2.3 and 3; Marshall et al. 2021
(arXiv:2108.13476), section 3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pyxstan.concordance import counts, scatter
from pyxstan.concordance.bands import band_covariance
from pyxstan.concordance.data import ConcordanceData, Floats, as_concordance_data
from pyxstan.concordance.pilot import Grid, gaussian_posterior
from pyxstan.errors import DataError

_TOLERANCE = 1e-12
_ROUNDS = 10_000


@dataclass(frozen=True)
class Shrinkage:
    """Shrinkage estimates: log areas B (N,), log fluxes G (M,), scatter sigma (N,), weights W (N,).

    `W` is the weight of the prior in each B: 1 the prior alone, 0 the data alone.
    """

    B: Floats
    G: Floats
    sigma: Floats
    W: Floats


def prior_influence(
    data: Any, sigma: npt.ArrayLike, tau: float | None = None, band_correlation: Any = None
) -> Floats:
    """Weight of the prior in each instrument's effective area.

    tau_i^-2 / (tau_i^-2 + sum over J_i of sigma_ij^-2): 1 where the prior alone speaks, 0 where
    the data alone do (Marshall et al. 2021, table 4). It is the part of the prior variance of B_i
    that the data leave, the fluxes given; as such it is defined for a prior covariance T between
    bands too, where the data of one band speak for the others:
    [(T^-1 + D)^-1]_ii / T_ii, D = diag(sum over J_i of sigma_ij^-2).

    Parameters
    ----------
    data
        `ConcordanceData`, or what `ConcordanceData.from_table` takes.
    sigma
        Standard deviation of the log measurements: one number, one an instrument (N,), or one a
        measurement (n,).
    tau
        Prior standard deviation for all instruments, in place of the data's own.
    band_correlation
        As the option of `pyxstan.fit`; default: independent bands.

    Returns
    -------
    numpy.ndarray
        Shape (N,), between 0 and 1.

    Raises
    ------
    DataError
        No tau, a sigma that isn't positive or has another shape, or a wrong `band_correlation`.
    """
    data = as_concordance_data(data)
    data = replace(data, tau=_tau(data, tau))
    T = band_covariance(data, band_correlation)
    return variance_left(T, data, _per_measurement(data, sigma) ** 2)


def variance_left(T: Floats, data: ConcordanceData, variance: Floats) -> Floats:
    """Part of the prior variance of each B (N,) that measurements of that `variance` (n,) leave."""
    D = np.bincount(data.instrument, 1 / variance, minlength=len(data.instruments))
    prior = np.diag(T)
    if np.count_nonzero(T) == prior.size:
        return np.asarray(1 / (1 + prior * D))
    L = np.linalg.cholesky(T)
    root = np.linalg.cholesky(np.eye(prior.size) + L.T @ (D[:, None] * L))
    return np.asarray((np.linalg.solve(root, L.T) ** 2).sum(axis=0) / prior)


def shrinkage(
    data: Any,
    *,
    sigma: npt.ArrayLike | None = None,
    G: npt.ArrayLike | None = None,
    tau: float | None = None,
    alpha: float | None = None,
    beta: npt.ArrayLike | None = None,
) -> Shrinkage:
    """Shrinkage estimators of the log-normal concordance.

    With sigma (and G) known, B_i = W_i b_i + (1 - W_i) (mean_i(y) - mean_i(G)); with G unknown the
    fixed point of that and G_j = mean_j(y - B), precision-weighted means all, y standing for
    y + sigma^2 / 2. With sigma unknown besides, sigma_i^2 = 2 S^2 / (1 + sqrt(1 + S^2)), with
    S^2 = [sum over J_i of (y_ij - B_i - G_j)^2 + beta] / (|J_i| + alpha).

    Parameters
    ----------
    data
        `ConcordanceData`, or what `ConcordanceData.from_table` takes.
    sigma
        One number, one an instrument (N,) or one a measurement (n,); default the data's own (of
        counts, from expected counts), else unknown.
    G
        Log fluxes, shape (M,), where they are known.
    tau
        Prior standard deviation for all instruments, in place of the data's own.
    alpha, beta
        In S^2, where sigma is unknown; beta one number or one an instrument (N,). A prior
        sigma_i^2 ~ Inv-Gamma(p, q) has its joint mode (over B, G and sigma^2) at alpha = 2 p + 2,
        beta = 2 q; the defaults are those of the prior that `pyxstan.fit` takes by default.

    Raises
    ------
    DataError
        No tau, a wrong shape, no convergence, or no degree of freedom to fit sigma from.
    """
    data = as_concordance_data(data)
    N, M = len(data.instruments), len(data.sources)
    prior = 1 / _tau(data, tau) ** 2
    if data.counts is not None and sigma is None:
        data = counts.as_log_fluxes(data, np.diag(prior), None, np.arange(N), 1.0, None)
    if sigma is None:
        sigma = data.sigma
    known = sigma is not None
    alpha = 2 * scatter.PRIOR_SHAPE + 2 if alpha is None else alpha
    beta = np.ones(N) if known else _beta(data, beta)
    fixed_G = None if G is None else np.asarray(G, dtype=float)
    if fixed_G is not None and fixed_G.shape != (M,):
        raise DataError(f"G has shape {fixed_G.shape}, expected ({M},)")

    deviation = _per_measurement(data, np.sqrt(beta) if sigma is None else sigma)
    for _ in range(_ROUNDS):
        w = 1 / deviation**2
        W = prior / (prior + np.bincount(data.instrument, w, minlength=N))
        if fixed_G is None:
            # the fixed point over B and G solves the normal equations of their posterior
            grid = Grid.of(data, deviation**2)
            weights = grid.mask / np.where(grid.mask > 0, grid.given, 1)
            fit = gaussian_posterior(weights, grid.y + 0.5 * grid.given, data.b, np.diag(prior))
            B, flux = fit.B, fit.G
        else:
            pull = w * (data.y + deviation**2 / 2 - fixed_G[data.source])
            flux = fixed_G
            B = (prior * data.b + np.bincount(data.instrument, pull, minlength=N)) * W / prior
        if known:
            return Shrinkage(B, flux, _by_instrument(data, deviation), W)
        residual = data.y - B[data.instrument] - flux[data.source]
        squares = np.bincount(data.instrument, residual**2, minlength=N)
        S2 = (squares + beta) / (data.counts_by_instrument + alpha)
        fitted = np.sqrt(2 * S2 / (1 + np.sqrt(1 + S2)))[data.instrument]
        change = float(np.abs(fitted - deviation).max())
        deviation = fitted
        if change < _TOLERANCE:
            return Shrinkage(B, flux, _by_instrument(data, deviation), W)
    raise DataError(f"shrinkage: no convergence in {_ROUNDS} rounds (last change {change:.1e})")


def _beta(data: ConcordanceData, beta: npt.ArrayLike | None) -> Floats:
    """The beta of each instrument: what the user gave, or that of the default prior."""
    N = len(data.instruments)
    if beta is None:
        design = scatter.Design.of(data)
        scatter.refuse_unknowable(data, design, np.arange(N), "unknown")
        spread = scatter.robust_spreads(data, design)
        scatter.refuse_exact(data, design, spread)
        return np.asarray(2 * scatter.PRIOR_SCALE * spread**2)
    given = np.asarray(beta, dtype=float)
    if given.shape not in ((), (N,)) or not (np.isfinite(given) & (given > 0)).all():
        raise DataError(f"beta is {beta}, expected a positive number, or {N} of them")
    return np.broadcast_to(given, (N,))


def _by_instrument(data: ConcordanceData, deviation: Floats) -> Floats:
    """Root mean square of the deviations of each instrument's measurements."""
    squares = np.bincount(data.instrument, deviation**2, minlength=len(data.instruments))
    seen = data.counts_by_instrument
    return np.sqrt(np.where(seen > 0, squares / np.maximum(seen, 1), np.nan))


def _per_measurement(data: ConcordanceData, sigma: npt.ArrayLike) -> Floats:
    value = np.asarray(sigma, dtype=float)
    if not (np.isfinite(value) & (value > 0)).all():
        raise DataError("sigma must be positive and finite")
    if value.ndim == 0:
        return np.full(data.y.size, float(value))
    if value.shape == data.y.shape:
        return value
    if value.shape == (len(data.instruments),):
        return np.asarray(value[data.instrument])
    raise DataError(
        f"sigma has shape {value.shape}, expected one number, one an instrument "
        f"({len(data.instruments)},) or one a measurement ({data.y.size},)"
    )


def _tau(data: ConcordanceData, tau: float | None) -> Floats:
    values = data.tau if tau is None else np.full(len(data.instruments), float(tau))
    if not (values > 0).all():
        missing = data.instruments[int(np.argmin(values > 0))]
        raise DataError(f"instrument '{missing}' has no tau: give a column tau, or tau=...")
    return np.asarray(values)
