"""Where the posterior is, and how wide: a first guess, which the sampler is whitened with."""

from __future__ import annotations

import numpy as np

from pyxstan.spectra import likelihood
from pyxstan.spectra.folding import Floats, Folded
from pyxstan.spectra.parameters import Parameters

#: Points of the prior that the search may start from, and from how many it does.
_TRIALS, _STARTS = 40, 3
#: Laps of the search, its longest step, and the step of finite differences.
_LAPS, _LONGEST, _STEP = 60, 2.0, 1e-4
#: The widest that a coordinate is taken for.
_WIDEST = 3.0


def guess(parameters: Parameters, spectra: list[Folded]) -> tuple[Floats, Floats]:
    """The mode, and the Cholesky factor of the inverse of the expected information there.

    Fisher scoring (Levenberg and Marquardt's damping) from a few points of the prior, in the
    coordinates of `Parameters.spread`.
    """
    rng = np.random.default_rng(1)
    middle = parameters.start()
    trials = middle + np.concatenate(
        [np.zeros((1, len(middle))), rng.normal(0, 1.0, (_TRIALS, len(middle)))]
    )
    heights = _log_posterior(parameters, spectra, trials)
    order = np.argsort(-heights)[:_STARTS]
    found = [_climb(parameters, spectra, trials[k]) for k in order]
    top, information, _ = max(found, key=lambda one: one[2])
    values, vectors = np.linalg.eigh(information)
    covariance = (vectors / np.maximum(values, _WIDEST**-2)) @ vectors.T
    # from there to u, in which the sampler moves
    steps = _STEP * np.concatenate([np.eye(len(top)), -np.eye(len(top)), np.zeros((1, len(top)))])
    u, _ = parameters.spread(top + steps)
    jacobian = (u[: len(top)] - u[len(top) : -1]).T / (2 * _STEP)
    return u[-1], np.linalg.cholesky(jacobian @ covariance @ jacobian.T)


def _values(parameters: Parameters, v: Floats) -> tuple[Floats, Floats]:
    """Every parameter and the log prior density of v, see `Parameters.spread`."""
    u, log_jacobian = parameters.spread(v)
    x, log_prior = parameters.values(u)
    return x, log_prior + log_jacobian


def _log_posterior(parameters: Parameters, spectra: list[Folded], u: Floats) -> Floats:
    x, total = _values(parameters, u)
    values = parameters.named(x)
    with np.errstate(all="ignore"):
        for one in spectra:
            total = total + one.log_likelihood(one.expected(values)).sum(axis=-1)
    return np.asarray(np.nan_to_num(total, nan=-np.inf))


def _climb(
    parameters: Parameters, spectra: list[Folded], u: Floats
) -> tuple[Floats, Floats, float]:
    """The top of the hill that u is on, the information there, and its height."""
    damping = 1e-3
    height = float(_log_posterior(parameters, spectra, u[None])[0])
    slope, information = _slopes(parameters, spectra, u)
    for _ in range(_LAPS):
        damped = information + damping * np.diag(np.diag(information) + 1e-12)
        step = np.linalg.solve(damped, slope)
        step *= min(1.0, _LONGEST / np.abs(step).max()) if np.abs(step).max() > 0 else 1.0
        there = float(_log_posterior(parameters, spectra, (u + step)[None])[0])
        if there > height - 1e-9:
            gain = there - height
            u, height = u + step, there
            damping = max(damping / 10, 1e-9)
            slope, information = _slopes(parameters, spectra, u)
            if gain < 1e-5 and np.abs(step).max() < 1e-2:
                break
        elif damping > 1e6:
            break
        else:
            damping *= 10
    return u, information, height


def _slopes(parameters: Parameters, spectra: list[Folded], u: Floats) -> tuple[Floats, Floats]:
    """Gradient of the log posterior density, and the expected information."""
    size = len(u)
    near = u + _STEP * np.concatenate([np.eye(size), -np.eye(size), np.zeros((1, size))])
    x, log_prior = _values(parameters, near)
    values = parameters.named(x)
    up, down, here = log_prior[:size], log_prior[size:-1], log_prior[-1]
    slope = (up - down) / (2 * _STEP)
    wide = u + 0.1 * np.concatenate([np.eye(size), -np.eye(size)])
    _, around = _values(parameters, wide)
    curvature = -(around[:size] + around[size:] - 2 * here) / 0.01
    information = np.diag(np.maximum(np.nan_to_num(curvature), 1e-3))
    with np.errstate(all="ignore"):
        for one in spectra:
            expected = one.expected(values)
            each = (expected[:size] - expected[size:-1]) / (2 * _STEP)
            of_counts = likelihood.slope(one.statistic, one.binned, expected[-1])
            weight = likelihood.information(one.statistic, one.binned, expected[-1])
            slope = slope + np.nan_to_num(each @ of_counts)
            information = information + np.nan_to_num((each * weight) @ each.T)
    return slope, information
