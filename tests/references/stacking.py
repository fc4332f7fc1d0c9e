"""Exact posteriors of stacks, from the raw samples: sums over grids, and a Gibbs sampler.

The likelihood of object i under a parent p is sum_k w_ik p(x_ik) / sum_k w_ik. Nothing here comes
from the package.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
LogPrior = Callable[[FloatArray, FloatArray], FloatArray]


@dataclass(frozen=True)
class Moments:
    """Posterior means and standard deviations, by parameter."""

    mean: FloatArray
    sd: FloatArray


def simulated(objects: int, samples: int, seed: int) -> list[FloatArray]:
    """A Gaussian population 1.8 +- 0.3 measured with errors of 0.1 to 0.6, flat priors."""
    rng = np.random.default_rng(seed)
    true = rng.normal(1.8, 0.3, objects)
    error = rng.uniform(0.1, 0.6, objects)
    measured = rng.normal(true, error)
    return [rng.normal(m, e, samples) for m, e in zip(measured, error, strict=True)]


def lopsided(objects: int, samples: int, seed: int) -> list[FloatArray]:
    """The same population with errors that differ to both sides, a quarter of it upper limits."""
    rng = np.random.default_rng(seed)
    found = []
    for i, true in enumerate(rng.normal(1.8, 0.3, objects)):
        if i % 4 == 3:
            found.append(rng.uniform(0.5, true + rng.uniform(0.1, 0.8), samples))
            continue
        below, above = rng.uniform(0.05, 0.2), rng.uniform(0.2, 0.6)
        sides = np.where(rng.random(samples) < below / (below + above), -below, above)
        mode = true - (above - below) * np.sqrt(2 / np.pi) + 0.2 * rng.standard_normal()
        found.append(mode + sides * np.abs(rng.standard_normal(samples)))
    return found


def gaussian(
    samples: Sequence[FloatArray],
    mean: tuple[float, float],
    sd: tuple[float, float],
    *,
    weights: Sequence[FloatArray] | None = None,
    log_prior: LogPrior | None = None,
    log_detected: LogPrior | None = None,
    size: tuple[int, int] = (48, 40),
) -> Moments:
    """Mean and sd of a Gaussian parent, by a sum over the cells of a grid.

    Parameters
    ----------
    mean, sd
        Ends of the uniform priors, or of where the posterior is.
    weights
        Of the samples.
    log_prior, log_detected
        Of (mean, sd), broadcasting: other priors, and the log of the detected fraction.
    """
    # First coarsely, to find where the posterior is, then there.
    for points in ((24, 24), size):
        m = _middles(mean, points[0])
        s = _middles(sd, points[1])
        log_p = np.zeros((len(m), len(s)))
        for i, x in enumerate(samples):
            w = np.ones(len(x)) if weights is None else weights[i]
            away2 = (x - m[:, None]) ** 2
            for j, width in enumerate(s):
                density = np.exp(-0.5 / width**2 * away2) @ w
                with np.errstate(divide="ignore"):
                    log_p[:, j] += np.log(density / (width * w.sum()))
        if log_prior is not None:
            log_p += log_prior(m[:, None], s)
        if log_detected is not None:
            log_p -= len(samples) * log_detected(m[:, None], s)
        p = np.exp(log_p - log_p.max())
        mean = _where(m, p.sum(axis=1), mean)
        sd = _where(s, p.sum(axis=0), sd)
    return _moments([m, s], [p.sum(axis=1), p.sum(axis=0)])


def _middles(ends: tuple[float, float], count: int) -> FloatArray:
    step = (ends[1] - ends[0]) / count
    return ends[0] + step * (np.arange(count) + 0.5)


def _where(x: FloatArray, p: FloatArray, ends: tuple[float, float]) -> tuple[float, float]:
    there = np.flatnonzero(p > 1e-7 * p.max())
    step = x[1] - x[0]
    return max(ends[0], x[there[0]] - 1.5 * step), min(ends[1], x[there[-1]] + 1.5 * step)


def _moments(axes: Sequence[FloatArray], densities: Sequence[FloatArray]) -> Moments:
    means, sds = [], []
    for x, p in zip(axes, densities, strict=True):
        means.append(float(p @ x / p.sum()))
        sds.append(float(np.sqrt(p @ (x - means[-1]) ** 2 / p.sum())))
    return Moments(np.array(means), np.array(sds))


def shares(
    samples: Sequence[FloatArray],
    edges: FloatArray,
    weights: Sequence[FloatArray] | None = None,
) -> FloatArray:
    """Part of each object's weight in the bins over their widths, shape (objects, bins)."""
    rows = []
    for i, x in enumerate(samples):
        w = np.ones(len(x)) if weights is None else weights[i]
        pairs = itertools.pairwise(edges)
        inside = [w[(x >= a) & (x < b)].sum() / (b - a) for a, b in pairs]
        rows.append(np.array(inside) / w.sum())
    return np.array(rows)


def histogram(f: FloatArray, concentration: float = 1.0, size: int = 400) -> Moments:
    """Fractions of two or three bins under a Dirichlet prior, by a sum over a grid."""
    bins = f.shape[1]
    t = _middles((0.0, 1.0), size)
    if bins == 2:
        h = np.stack([t, 1 - t])
    else:
        a, b = np.meshgrid(t, t, indexing="ij")
        a, b = a.ravel(), b.ravel()
        h = np.stack([a, b * (1 - a), (1 - a) * (1 - b)])
    log_p = np.log(f @ h).sum(axis=0) + (concentration - 1) * np.log(h).sum(axis=0)
    if bins == 3:
        log_p = log_p + np.log(1 - h[0])  # cells of (a, b) are no cells of the simplex
    p = np.exp(log_p - log_p.max())
    return _moments(list(h), [p] * bins)


def histogram_by_gibbs(
    f: FloatArray, concentration: float, sweeps: int, seed: int, chains: int = 200
) -> Moments:
    """Fractions of any number of bins: each object's bin given them, then they given the bins."""
    rng = np.random.default_rng(seed)
    objects, bins = f.shape
    h = rng.dirichlet(np.ones(bins), chains)
    total, square, count = np.zeros(bins), np.zeros(bins), 0
    for sweep in range(sweeps):
        p = np.cumsum(h.T[:, :, None] * f.T[:, None, :], axis=0)
        u = rng.random((chains, objects)) * p[-1]
        bin_of = (p < u).sum(axis=0)
        places = (bins * np.arange(chains)[:, None] + bin_of).ravel()
        n = np.bincount(places, minlength=chains * bins).reshape(chains, bins)
        h = rng.gamma(concentration + n)
        h /= h.sum(axis=1, keepdims=True)
        if sweep >= 100:
            # Rao-Blackwell: moments of the Dirichlet given the bins
            alpha, all_ = concentration + n, bins * concentration + objects
            total += (alpha / all_).sum(axis=0)
            square += (alpha * (alpha + 1) / (all_ * (all_ + 1))).sum(axis=0)
            count += chains
    mean = total / count
    return Moments(mean, np.sqrt(square / count - mean**2))


def gaussian_measured(
    measured: FloatArray,
    error: FloatArray,
    mean: tuple[float, float],
    sd: tuple[float, float],
    log_detected: LogPrior | None = None,
) -> Moments:
    """Mean and sd of a Gaussian parent of objects with Gaussian likelihoods, without samples."""
    m, s = _middles(mean, 300)[:, None], _middles(sd, 300)
    log_p = np.zeros((300, 300))
    for x, e in zip(measured, error, strict=True):
        variance = s**2 + e**2
        log_p -= 0.5 * ((x - m) ** 2 / variance + np.log(variance))
    if log_detected is not None:
        log_p -= len(measured) * log_detected(m, s)
    p = np.exp(log_p - log_p.max())
    return _moments([m[:, 0], s], [p.sum(axis=1), p.sum(axis=0)])
