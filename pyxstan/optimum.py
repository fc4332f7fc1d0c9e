"""The mode of a smooth posterior density, and its width there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Floats = NDArray[np.float64]

#: A step of the optimiser is at most so long, in scales, and so many times the scales are renewed.
_FARTHEST, _LAPS = 5.0, 8
#: How much a function may rise over one scale; a parabola rises by one half.
_HIGHEST = 3.0


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

        found = minimum(scaled, np.zeros(len(start)))
        if scaled(found) > scaled(np.zeros(len(start))):  # over a cliff
            found = np.zeros(len(start))
        best = here + units @ found
        covariance = covariance_at(lambda z: function(best + units @ z), len(start))  # noqa: B023
        scale = units @ np.linalg.cholesky(covariance)
        if np.abs(found).max() < 0.3:
            break
    return best, scale


def not_too_wide(function: Callable[[Floats], float], center: Floats, scale: Floats) -> Floats:
    """Shorten the columns of a scale over which the function rises far more than a parabola.

    Where a function is nearly flat at its minimum, the inverse Hessian is larger than its width.
    """
    scale, lowest = scale.copy(), function(center)
    for column in scale.T:
        while max(function(center + column), function(center - column)) > lowest + _HIGHEST:
            column *= 0.6
            if np.abs(column).max() < 1e-12:
                break
    return scale


def minimum(function: Callable[[Floats], float], start: Floats) -> Floats:
    """The minimum of a function with unit scales, not too far from `start`."""
    found = minimize(
        function,
        start,
        method="L-BFGS-B",
        bounds=[(x - _FARTHEST, x + _FARTHEST) for x in start],
        options={"eps": 1e-4, "ftol": 1e-12, "gtol": 1e-2, "maxiter": 60},
    )
    return np.asarray(found.x)


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
