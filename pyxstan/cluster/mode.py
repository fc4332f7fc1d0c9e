"""The mode of a smooth posterior density, its width there, and how its valley bends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from pyxstan.cluster.cells import Floats

#: A step of the optimiser is at most so long, in scales, and so many times the scales are renewed.
_FARTHEST, _LAPS = 5.0, 8
#: How far the valley of a posterior is followed (standard deviations), and what it may rise by, in
#: units of a parabola's rise.
_ALONG = (1.5, 3.0, 4.5)
_RISE = (0.1, 3.0)


def optimum(
    function: Callable[[Floats], float], start: Floats, scale: Floats
) -> tuple[Floats, Floats]:
    """The minimum of a smooth function, and the Cholesky factor of its inverse Hessian there.

    Parameters
    ----------
    scale
        Cholesky factor of a first guess of the inverse Hessian.
    """
    best = start
    for _ in range(_LAPS):
        here, units = best, scale

        def scaled(z: Floats) -> float:
            return function(here + units @ z)  # noqa: B023 (used within the iteration)

        found = _minimum(scaled, np.zeros(len(start)))
        if scaled(found) > scaled(np.zeros(len(start))):  # over a cliff
            found = np.zeros(len(start))
        best = here + units @ found
        covariance = covariance_at(lambda z: function(best + units @ z), len(start))  # noqa: B023
        scale = units @ np.linalg.cholesky(covariance)
        if np.abs(found).max() < 0.3:
            break
    return best, scale


def _minimum(function: Callable[[Floats], float], start: Floats) -> Floats:
    """The minimum of a function with unit scales, not too far from `start`."""
    found = minimize(
        function,
        start,
        method="L-BFGS-B",
        bounds=[(x - _FARTHEST, x + _FARTHEST) for x in start],
        options={"eps": 1e-4, "ftol": 1e-12, "gtol": 1e-2, "maxiter": 60},
    )
    return np.asarray(found.x)


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


def covariance_at(function: Callable[[Floats], float], size: int, step: float = 0.3) -> Floats:
    """Inverse Hessian at zero by central differences; its eigenvalues are kept in bounds."""
    eye = step * np.eye(size)
    middle = function(np.zeros(size))
    plus = np.array([function(e) for e in eye])
    minus = np.array([function(-e) for e in eye])
    hessian = np.diag(plus + minus - 2 * middle)
    for i in range(size):
        for j in range(i):
            both = function(eye[i] + eye[j]) + function(-eye[i] - eye[j])
            mixed = both - plus[i] - minus[i] - plus[j] - minus[j] + 2 * middle
            hessian[i, j] = hessian[j, i] = 0.5 * mixed
    values, vectors = np.linalg.eigh(np.nan_to_num(hessian, nan=0.0, posinf=1e8) / step**2)
    # a saddle is as wide as it is bent, whichever way; at most ten times the scale: hardly known;
    # and no cliff next to the mode is taken for a valley
    values = np.clip(np.abs(values), 0.01, 1e6)
    return np.asarray((vectors / values) @ vectors.T)


def principal(scale: Floats) -> Floats:
    """The square root of the same covariance whose first column is the longest, in units of sds."""
    covariance = scale @ scale.T
    sd = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    return np.asarray((sd[:, None] * vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1])


def bend_along(function: Callable[[Floats], float], size: int) -> Floats:
    """How the minimum over all but the first coordinate moves with that one: its valley.

    Parameters
    ----------
    function
        Of `size` coordinates, with its minimum at zero and unit curvature there.

    Returns
    -------
    array
        Coefficients of the powers 2, 3, 4 and 5 of w = 4 tanh(first / 4), shape (size, 4).
    """
    lowest = function(np.zeros(size))
    places: list[float] = []
    valley: list[Floats] = []
    for side in (1.0, -1.0):
        rest = np.zeros(size - 1)
        for first in side * np.array(_ALONG):

            def across(others: Floats, first: float = first) -> float:
                return function(np.append(first, others))

            rest = _minimum(across, rest)
            rise = (across(rest) - lowest) / (0.5 * first**2)
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
