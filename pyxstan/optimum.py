"""The mode of a smooth posterior density, and its width there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: A function of many points at once: of an array (points, size), its values there.
Function = Callable[[Floats], Floats]

#: The minimum is at most so far from the start, in scales, and so often the scales are renewed.
_FARTHEST, _LAPS = 5.0, 8
#: Differences of which slopes are made, in scales; steps to a minimum, what they may be damped by,
#: and the gain of one that is the last.
_STEP, _STEPS, _GAIN = 0.01, 60, 1e-4
_DAMPINGS = np.array([0.0, *np.geomspace(1e-2, 1e6, 9)])
#: How much a function may rise over one scale; a parabola rises by one half.
_HIGHEST = 3.0


def optimum(function: Function, start: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """The minimum of a smooth function, and the Cholesky factor of its inverse Hessian there.

    Parameters
    ----------
    scale
        Cholesky factor of a first guess of the inverse Hessian.
    """
    best, still = start, np.zeros(len(start))
    for _ in range(_LAPS):
        here, units = best, scale

        def scaled(z: Floats) -> Floats:
            return function(here + z @ units.T)  # noqa: B023 (used within the iteration)

        found = minimum(scaled, still)
        before, after = scaled(np.stack([still, found]))
        if after > before:  # over a cliff
            found = still
        best = here + units @ found
        covariance = covariance_at(lambda z: function(best + z @ units.T), len(start))  # noqa: B023
        scale = units @ np.linalg.cholesky(covariance)
        if np.abs(found).max() < 0.3:
            break
    return best, scale


def not_too_wide(function: Function, center: Floats, scale: Floats) -> Floats:
    """Shorten the columns of a scale over which the function rises far more than a parabola.

    Where a function is nearly flat at its minimum, the inverse Hessian is larger than its width.
    """
    scale, lowest = scale.copy(), function(center[None])[0]
    for column in scale.T:
        while function(np.stack([center + column, center - column])).max() > lowest + _HIGHEST:
            column *= 0.6
            if np.abs(column).max() < 1e-12:
                break
    return scale


def minimum(function: Function, start: Floats) -> Floats:
    """The minimum of a function with roughly unit scales, not too far from `start`.

    By Newton's method, each step as damped as serves best. The Hessian is taken for one at the
    start and follows the slopes from there; it is made anew, of differences, which are far dearer
    than slopes, where a step gains nothing though there is a slope.
    """
    best, size = start, len(start)
    hessian, renewed = np.eye(size), False
    last = last_slope = np.zeros(size)
    for taken in range(_STEPS):
        here = best
        if renewed:
            value, slope, hessian = _curvature(lambda z: function(here + z), size, _STEP)  # noqa: B023
        else:
            value, slope = _slope(lambda z: function(here + z), size, _STEP)  # noqa: B023
            if taken:
                hessian = _following(hessian, here - last, slope - last_slope)
        last, last_slope = here, slope
        # as far as it may go, in a direction in which it would go on
        held = (np.abs(here - start) >= _FARTHEST) & (slope * (here - start) < 0)
        downhill, bent = np.where(held, 0.0, slope), hessian.copy()
        bent[held] = bent[:, held] = 0.0
        bent[held, held] = 1.0
        curvature, vectors = np.linalg.eigh(bent)
        damped = np.maximum(np.abs(curvature), 1e-8) + _DAMPINGS[:, None]
        steps = -((vectors.T @ downhill) / damped) @ vectors.T
        tried = np.clip(here + steps, start - _FARTHEST, start + _FARTHEST)
        values = function(tried)
        chosen = int(np.argmin(values))
        gain = value - values[chosen]
        if gain > 0:
            best = tried[chosen]
        if not gain > _GAIN and (renewed or 0.5 * downhill @ downhill < _GAIN):
            break
        renewed = not gain > _GAIN
    return best


def _following(hessian: Floats, step: Floats, change: Floats) -> Floats:
    """A Hessian that explains how the slopes changed over a step, by an update of rank one."""
    missing = change - hessian @ step
    along = float(missing @ step)
    if abs(along) < 1e-6 * float(np.linalg.norm(missing) * np.linalg.norm(step)) or not along:
        return hessian
    return np.asarray(hessian + np.outer(missing, missing) / along)


def covariance_at(function: Function, size: int, step: float = 0.3) -> Floats:
    """Inverse Hessian at zero by central differences; its eigenvalues are kept in bounds."""
    values, vectors = np.linalg.eigh(_curvature(function, size, step)[2])
    # a saddle is as wide as it is bent, whichever way; at most ten times the scale: hardly known;
    # and no cliff next to the mode is taken for a valley
    values = np.clip(np.abs(values), 0.01, 1e6)
    return np.asarray((vectors / values) @ vectors.T)


def _slope(function: Function, size: int, step: float) -> tuple[float, Floats]:
    """Value and slopes at zero by central differences."""
    eye = step * np.eye(size)
    values = function(np.vstack([np.zeros(size), eye, -eye]))
    plus, minus = values[1 : size + 1], values[size + 1 :]
    return float(values[0]), (plus - minus) / (2 * step)


def _curvature(function: Function, size: int, step: float) -> tuple[float, Floats, Floats]:
    """Value, slopes and Hessian at zero by central differences."""
    eye = step * np.eye(size)
    row, column = np.tril_indices(size, -1)
    pairs = eye[row] + eye[column]
    values = function(np.vstack([np.zeros(size), eye, -eye, pairs, -pairs]))
    middle, plus, minus = values[0], values[1 : size + 1], values[size + 1 : 2 * size + 1]
    hessian = np.diag(plus + minus - 2 * middle)
    both = values[2 * size + 1 :].reshape(2, -1).sum(axis=0)
    ends = plus + minus
    mixed = 0.5 * (both - ends[row] - ends[column] + 2 * middle)
    hessian[row, column] = hessian[column, row] = mixed
    hessian = np.nan_to_num(hessian / step**2, nan=0.0, posinf=1e8)
    return float(middle), (plus - minus) / (2 * step), hessian
