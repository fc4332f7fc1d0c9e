"""The mode of a smooth posterior density, its width there, and how its ridge bends."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from pyxstan.cluster.cells import Floats

#: How far the ridge may bend, in standard deviations.
_LONGEST_BEND = 4.0


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
    for _ in range(4):
        here, units = best, scale

        def scaled(z: Floats) -> float:
            return function(here + units @ z)  # noqa: B023 (used within the iteration)

        found = minimize(scaled, np.zeros(len(start)), method="BFGS",
                         options={"gtol": 1e-2, "maxiter": 100}, ).x  # fmt: skip
        best = here + units @ found
        covariance = covariance_at(lambda z: function(best + units @ z), len(start))  # noqa: B023
        scale = units @ np.linalg.cholesky(covariance)
        if np.abs(found).max() < 0.3:
            break
    return best, scale


def covariance_at(function: Callable[[Floats], float], size: int, step: float = 0.3) -> Floats:
    """Inverse Hessian at zero by central differences; eigenvalues that are too small are raised."""
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
    values, vectors = np.linalg.eigh(hessian / step**2)
    values = np.maximum(values, 0.01)  # at most ten times the scale: hardly known
    return np.asarray((vectors / values) @ vectors.T)


def principal(scale: Floats) -> Floats:
    """The square root of the same covariance whose first column is the longest, in units of sds."""
    covariance = scale @ scale.T
    sd = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    return np.asarray((sd[:, None] * vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1])


def bend_along(function: Callable[[Floats], float], size: int, reach: float = 2.0) -> Floats:
    """Where the minimum over all but the first coordinate lies, as that one moves by `reach`.

    As coefficients of its square and its cube, (size, 2); `function` has unit curvature at zero.
    """
    valley = {}
    for first in (reach, -reach):
        z = np.zeros(size)
        z[0] = first

        def rest(others: Floats, z: Floats = z) -> float:
            return function(np.append(z[0], others))

        z[1:] = minimize(rest, z[1:], method="BFGS", options={"gtol": 0.05, "maxiter": 30}).x
        valley[first] = z
    even, odd = valley[reach] + valley[-reach], valley[reach] - valley[-reach]
    bend = np.stack([even / (2 * reach**2), odd / (2 * reach**3)], axis=1)
    bend[0] = 0.0
    # A valley that leaves the neighbourhood is no valley, but a ridge between two optima.
    return bend if np.abs(bend).max() * reach**2 < _LONGEST_BEND else np.zeros_like(bend)
