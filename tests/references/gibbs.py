r"""Block Gibbs samplers for the concordance models, several chains at once.

With ``e_ij = y_ij - B_i - G_j``, variance ``v_ij`` and chi-squared weight ``w_ij`` (the xi_ij of
the log-t model; 1 for the log-normal), a measurement has the density

    y_ij ~ Normal(B_i + G_j - v_ij/(2 w_ij), v_ij/w_ij).

The blocks, each drawn exactly:

* (B, G) given the rest: Gaussian, drawn jointly (B with G integrated out, then G given B), so the
  nearly free shift of all B against all G costs nothing.
* ``v_i`` (one variance an instrument, prior Inv-Gamma(alpha, beta)): since v enters the mean,
  ``sum w (e + v/(2w))^2/(2v) = sum(w e^2)/(2v) + sum(e)/2 + v sum(1/w)/8``, and so
  ``v_i ~ GIG(-(alpha + n_i/2), a = sum(1/w)/4, b = 2 beta + sum(w e^2))``.
* ``w_ij`` (log-t, prior chi^2_nu):
  ``w_ij ~ GIG((nu + 1)/2, a = 1 + e^2/v, b = v/4)``.
* extra scatter (``v_ij = s_ij^2 + xi_i^2``) and nu: no standard form, slice sampling.

GIG(p, a, b) has the density proportional to ``x^(p-1) exp(-(a x + b/x)/2)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from .exact_draws import generalised_inverse_gaussian, slice_step

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class InverseGammaVariance:
    """sigma_i^2 ~ Inv-Gamma(alpha, beta); a number or one an instrument."""

    alpha: float | FloatArray
    beta: float | FloatArray


@dataclass(frozen=True)
class KnownVariance:
    """sigma_ij given, (N, M)."""

    sigma: FloatArray


@dataclass(frozen=True)
class ExtraVariance:
    """sigma_ij^2 = given_ij^2 + xi_i^2, with the log prior density of xi > 0 up to a constant."""

    given: FloatArray
    log_prior: Callable[[FloatArray], FloatArray]
    width: float = 0.05


@dataclass(frozen=True)
class ChiSquaredWeights:
    """Log-t errors. nu is a number, or None: Gamma(shape, rate) restricted to nu > lower."""

    nu: float | None = None
    shape: float = 2.0
    rate: float = 0.1
    lower: float = 1.0


Scale = InverseGammaVariance | KnownVariance | ExtraVariance


@dataclass(frozen=True)
class Draws:
    """Posterior draws, (chain, draw, ...). ``scale`` is sigma_i, or xi_i for extra variances."""

    B: FloatArray
    G: FloatArray
    scale: FloatArray | None
    nu: FloatArray | None
    weight: FloatArray | None
    """Posterior mean of the weights (N, M), NaN where nothing was measured."""


def sample(
    y: FloatArray,
    b: npt.ArrayLike,
    T: FloatArray,
    scale: Scale,
    tail: ChiSquaredWeights | None = None,
    *,
    chains: int = 4,
    draws: int = 1000,
    warmup: int = 200,
    seed: int,
    thin: int = 1,
) -> Draws:
    """Draw from the posterior; y is (N, M) with NaN where missing, B ~ Normal(b, T), G flat."""
    N = y.shape[0]
    mean = np.broadcast_to(np.asarray(b, dtype=np.float64), (N,))
    # G is flat, so subtracting a constant from each source changes nothing but G itself; it keeps
    # the sums of squares small.
    offset = np.nanmean(y, axis=0)
    if np.isnan(offset).any():
        raise ValueError("a source seen by nobody has no proper posterior under a flat prior")
    rng = np.random.default_rng(seed)
    residual = y - offset
    run = (chains, draws, warmup, thin)
    if tail is None and isinstance(scale, InverseGammaVariance) and not np.isnan(y).any():
        result = _sample_complete(residual, mean, T, scale, run, rng)
    else:
        result = _sample_general(residual, mean, T, scale, tail, run, rng)
    result.G[:] += offset
    return result


def _sample_complete(
    r: FloatArray,
    b: FloatArray,
    T: FloatArray,
    scale: InverseGammaVariance,
    run: tuple[int, int, int, int],
    rng: np.random.Generator,
) -> Draws:
    """Log-normal, every instrument sees every source: two thin matrix products an iteration."""
    chains, draws, warmup, thin = run
    N, M = r.shape
    prior = np.linalg.inv(T)
    prior_b = prior @ b
    row_mean = r.mean(axis=1)
    row_square = (r * r).sum(axis=1)
    diagonal = np.arange(N)
    q = np.broadcast_to(np.asarray(scale.alpha) + M / 2.0, (chains, N))
    twice_beta = 2.0 * np.asarray(scale.beta)
    v = _starting_variance(r, rng, chains)
    out_B = np.empty((draws, chains, N))
    out_G = np.empty((draws, chains, M))
    out_v = np.empty((draws, chains, N))
    for step in range(-warmup, draws * thin):
        w = 1.0 / v
        total = w.sum(axis=1, keepdims=True)
        share = w / total
        precision = prior - (M * share)[:, :, None] * w[:, None, :]
        precision[:, diagonal, diagonal] += M * w
        # w (row mean + v/2), and its share of the sources' means
        pull = w * row_mean + 0.5
        linear = prior_b + M * (pull - share * pull.sum(axis=1, keepdims=True))
        root = np.linalg.cholesky(precision)
        noise = rng.standard_normal((chains, N, 1))
        B = np.linalg.solve(precision, linear[:, :, None] + root @ noise)[:, :, 0]
        G = (w @ r + (0.5 * N - (w * B).sum(axis=1, keepdims=True))) / total
        G += rng.standard_normal((chains, M)) / np.sqrt(total)
        squares = row_square + M * B * (B - 2.0 * row_mean)
        squares += (G * G).sum(axis=1, keepdims=True) + 2.0 * B * G.sum(axis=1, keepdims=True)
        squares -= 2.0 * (G @ r.T)
        v = generalised_inverse_gaussian(rng, q, 0.25 * M, twice_beta + squares)
        if step >= 0 and step % thin == 0:
            at = step // thin
            out_B[at], out_G[at], out_v[at] = B, G, v
    return Draws(
        out_B.swapaxes(0, 1), out_G.swapaxes(0, 1), np.sqrt(out_v.swapaxes(0, 1)), None, None
    )


def _sample_general(
    r: FloatArray,
    b: FloatArray,
    T: FloatArray,
    scale: Scale,
    tail: ChiSquaredWeights | None,
    run: tuple[int, int, int, int],
    rng: np.random.Generator,
) -> Draws:
    """Any missing pattern, any variances, log-normal or log-t."""
    chains, draws, warmup, thin = run
    N, M = r.shape
    seen = ~np.isnan(r)
    r = np.where(seen, r, 0.0)
    prior = np.linalg.inv(T)
    prior_b = prior @ b
    count = seen.sum(axis=1)
    per_instrument, v = _starting_scale(np.where(seen, r, np.nan), scale, rng, chains)
    weight = np.ones((chains, N, M))
    nu = np.full((chains, 1), 4.0 if tail is None or tail.nu is None else tail.nu)
    out_B = np.empty((draws, chains, N))
    out_G = np.empty((draws, chains, M))
    out_scale = np.empty((draws, chains, N))
    out_nu = np.empty((draws, chains))
    weight_sum = np.zeros((N, M))
    for step in range(-warmup, draws * thin):
        B, G = _draw_locations(r + v / (2.0 * weight), seen * weight / v, prior, prior_b, rng)
        e = r - B[:, :, None] - G[:, None, :]
        if tail is not None:
            # GIG((nu + 1)/2, 1 + e^2/v, v/4) as the reciprocal of its mirror image
            weight = 1.0 / generalised_inverse_gaussian(
                rng, ((nu + 1.0) / 2.0)[:, :, None], v / 4.0, 1.0 + e * e / v
            )
            if tail.nu is None:
                nu = _draw_nu(nu, weight, seen, tail, rng)
        if isinstance(scale, InverseGammaVariance):
            variance = generalised_inverse_gaussian(
                rng,
                np.asarray(scale.alpha) + count / 2.0,
                0.25 * (seen / weight).sum(axis=2),
                2.0 * np.asarray(scale.beta) + (seen * weight * e * e).sum(axis=2),
            )
            per_instrument = np.sqrt(variance)
            v = np.broadcast_to(variance[:, :, None], e.shape)
        elif isinstance(scale, ExtraVariance):
            per_instrument, v = _draw_extra(per_instrument, e, weight, seen, scale, rng)
        if step >= 0 and step % thin == 0:
            at = step // thin
            out_B[at], out_G[at], out_scale[at], out_nu[at] = B, G, per_instrument, nu[:, 0]
            weight_sum += weight.mean(axis=0)
    return Draws(
        out_B.swapaxes(0, 1),
        out_G.swapaxes(0, 1),
        None if isinstance(scale, KnownVariance) else out_scale.swapaxes(0, 1),
        None if tail is None or tail.nu is not None else out_nu.T,
        None if tail is None else np.where(seen, weight_sum / draws, np.nan),
    )


def _draw_locations(
    y: FloatArray,
    w: FloatArray,
    prior: FloatArray,
    prior_b: FloatArray,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """(B, G) given precisions w (chain, N, M; 0 where missing): B from its marginal, then G."""
    chains, N, M = w.shape
    diagonal = np.arange(N)
    total = w.sum(axis=1)
    pull = w * y
    source_pull = pull.sum(axis=1)
    share = w / total[:, None, :]
    precision = prior - share @ w.swapaxes(1, 2)
    precision[:, diagonal, diagonal] += w.sum(axis=2)
    linear = (prior_b + pull.sum(axis=2))[:, :, None] - share @ source_pull[:, :, None]
    root = np.linalg.cholesky(precision)
    B = np.linalg.solve(precision, linear + root @ rng.standard_normal((chains, N, 1)))
    G = (source_pull - (w * B).sum(axis=1)) / total
    G += rng.standard_normal((chains, M)) / np.sqrt(total)
    return B[:, :, 0], G


def _draw_extra(
    xi: FloatArray,
    e: FloatArray,
    weight: FloatArray,
    seen: npt.NDArray[np.bool_],
    scale: ExtraVariance,
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    given = np.where(seen, scale.given, 1.0) ** 2

    def log_density(x: FloatArray) -> FloatArray:
        v = given + (x * x)[:, :, None]
        terms = np.log(v) + weight * (e + v / (2.0 * weight)) ** 2 / v
        with np.errstate(divide="ignore"):  # a prior may vanish at xi = 0
            return scale.log_prior(x) - 0.5 * (seen * terms).sum(axis=2)

    xi = slice_step(rng, xi, log_density, scale.width, 0.0)
    return xi, given + (xi * xi)[:, :, None]


def _draw_nu(
    nu: FloatArray,
    weight: FloatArray,
    seen: npt.NDArray[np.bool_],
    tail: ChiSquaredWeights,
    rng: np.random.Generator,
) -> FloatArray:
    count = int(seen.sum())
    log_sum = (seen * np.log(weight / 2.0)).sum(axis=(1, 2))[:, None]

    def log_density(x: FloatArray) -> FloatArray:
        prior = (tail.shape - 1.0) * np.log(x) - tail.rate * x
        return prior + x / 2.0 * log_sum - count * np.asarray(gammaln(x / 2.0))

    return slice_step(rng, nu, log_density, 1.0, tail.lower)


def _starting_variance(r: FloatArray, rng: np.random.Generator, chains: int) -> FloatArray:
    """The spread of each instrument's residuals, overdispersed between chains."""
    pooled = np.nanvar(r) + 1e-6
    return pooled * np.exp(rng.uniform(-1.0, 1.0, (chains, r.shape[0])))


def _starting_scale(
    r: FloatArray, scale: Scale, rng: np.random.Generator, chains: int
) -> tuple[FloatArray, FloatArray]:
    shape = (chains, *r.shape)
    start = np.sqrt(_starting_variance(r, rng, chains))
    if isinstance(scale, KnownVariance):
        known = np.broadcast_to(scale.sigma, r.shape)
        variance = np.where(np.isnan(r), 1.0, known**2)
    elif isinstance(scale, ExtraVariance):
        variance = np.where(np.isnan(r), 1.0, scale.given) ** 2 + (start**2)[:, :, None]
    else:
        variance = (start**2)[:, :, None]
    return start, np.broadcast_to(variance, shape)
