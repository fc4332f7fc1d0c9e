"""The maximum of a Poisson likelihood, and how the valley of a posterior density bends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from pyxstan.cluster.cells import Floats
from pyxstan.optimum import Function, minimum

#: How far the valley of a posterior is followed (standard deviations), and what it may rise by, in
#: units of a parabola's rise.
_ALONG = (1.5, 3.0, 4.5)
_RISE = (0.1, 3.0)
#: Of the search from several points: differences of which slopes are made, steps at most, the gain
#: of ln density of one that is the last, what steps are damped by, and counts that are none.
_STEP, _STEPS, _GAIN = 1e-3, 60, 0.01
_DAMPINGS = np.array([0.0, *np.geomspace(1e-3, 1e4, 8)])
_NONE = 1e-100


def scoring(
    expected: Callable[[Floats], Floats], counts: Floats, start: Floats, step: float = 1e-4
) -> Floats:
    """The maximum of a Poisson likelihood by damped Fisher scoring, roughly.

    Parameters
    ----------
    expected
        Expected counts, a smooth function of the parameters.
    counts
        What was counted instead.
    """

    def log_likelihood(N: Floats) -> float:
        with np.errstate(all="ignore"):
            found = float(np.sum(counts * np.log(N) - N))
        return found if np.isfinite(found) else -np.inf

    best, N = start, expected(start)
    reached, damping = log_likelihood(N), 1e-3
    for _ in range(20):
        slopes = np.stack([(expected(best + e) - N) / step for e in step * np.eye(len(best))])
        score, information = slopes @ (counts / N - 1), (slopes / N) @ slopes.T
        gain = 0.0
        while damping < 1e8:
            damped = information + np.diag(damping * np.diag(information) + 1e-12)
            there = best + np.linalg.solve(damped, score)
            with np.errstate(all="ignore"):
                tried = expected(there)
            gain = log_likelihood(tried) - reached
            if gain > 0:
                best, N, reached = there, tried, reached + gain
                damping = max(damping / 10, 1e-6)
                break
            damping *= 10
        if not gain > 0.01:
            break
    return best


def likeliest(
    expected: Callable[[Floats], Floats],
    counts: Floats,
    log_prior: Callable[[Floats], Floats],
    starts: Floats,
) -> tuple[Floats, float]:
    """The highest of the maxima of a posterior density that are reached from several points.

    By damped Fisher scoring of all of them together, each step as damped as serves best.

    Parameters
    ----------
    expected
        Expected counts of points: (..., parameters) to (..., counts).
    log_prior
        Log density of the prior of points: (..., parameters) to (...).
    starts
        (points, parameters).

    Returns
    -------
    point, log_density
        The parameters, and the log of the posterior density there.
    """

    def posterior(theta: Floats) -> tuple[Floats, Floats, Floats]:
        with np.errstate(all="ignore"):
            N, prior = np.maximum(expected(theta), _NONE), log_prior(theta)
            found = (counts * np.log(N) - N).sum(axis=-1) + prior
        return np.where(np.isfinite(found), found, -np.inf), N, prior

    size = starts.shape[1]
    differences = _STEP * np.vstack([np.zeros(size), np.eye(size), -np.eye(size)])
    best, diagonal = starts, np.arange(size)
    for _ in range(_STEPS):
        reached, N, prior = posterior(best[:, None] + differences)
        N0, p0, plus, minus = N[:, 0], prior[:, :1], slice(1, size + 1), slice(size + 1, None)
        slopes = (N[:, plus] - N[:, minus]) / (2 * _STEP)
        score = (slopes @ (counts / N0 - 1)[..., None])[..., 0]
        score += (prior[:, plus] - prior[:, minus]) / (2 * _STEP)
        information = (slopes / N0[:, None]) @ slopes.transpose(0, 2, 1)
        bent = (2 * p0 - prior[:, plus] - prior[:, minus]) / _STEP**2
        information[:, diagonal, diagonal] += np.maximum(bent, 1e-9)
        damped = np.repeat(information[:, None], len(_DAMPINGS), axis=1)
        damped[..., diagonal, diagonal] *= 1 + _DAMPINGS[:, None]
        tried = best[:, None] + np.linalg.solve(damped, score[:, None, :, None])[..., 0]
        values = posterior(tried)[0]
        chosen = np.arange(len(best)), values.argmax(axis=1)
        gain = values[chosen] - reached[:, 0]
        best = np.where(gain[:, None] > 0, tried[chosen], best)
        if not gain.max() > _GAIN:
            break
    values = posterior(best)[0]
    return best[values.argmax()], float(values.max())


def principal(scale: Floats) -> Floats:
    """The square root of the same covariance whose first column is the longest, in units of sds."""
    covariance = scale @ scale.T
    sd = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    return np.asarray((sd[:, None] * vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1])


def bend_along(function: Function, size: int) -> Floats:
    """How the minimum over all but the first coordinate moves with that one: its valley.

    Parameters
    ----------
    function
        Of many points of `size` coordinates, with its minimum at zero and unit curvature there.

    Returns
    -------
    array
        Coefficients of the powers 2, 3, 4 and 5 of w = 4 tanh(first / 4), shape (size, 4).
    """
    lowest = function(np.zeros((1, size)))[0]
    places: list[float] = []
    valley: list[Floats] = []
    for side in (1.0, -1.0):
        rest = np.zeros(size - 1)
        for first in side * np.array(_ALONG):

            def across(others: Floats, first: float = first) -> Floats:
                return function(np.insert(others, 0, first, axis=1))

            rest = minimum(across, rest)
            rise = (across(rest[None])[0] - lowest) / (0.5 * first**2)
            if not _RISE[0] < rise < _RISE[1]:  # no valley any more: another optimum, or a cliff
                break
            places.append(float(first))
            valley.append(rest)
    bend = np.zeros((size, 4))
    if places:
        w = 4 * np.tanh(np.array(places) / 4)
        powers = w[:, None] ** np.arange(2, 6)
        # a slight pull to zero, for where the valley could not be followed far
        ridge = np.vstack([powers, 1e-3 * np.eye(4)])
        ends = np.vstack([np.array(valley), np.zeros((4, size - 1))])
        bend[1:] = np.linalg.lstsq(ridge, ends, rcond=None)[0].T
    return bend
