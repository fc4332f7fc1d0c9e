"""Two exact one-dimensional samplers, vectorised: generalised inverse Gaussian, and slice."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


def generalised_inverse_gaussian(
    rng: np.random.Generator, q: npt.ArrayLike, a: npt.ArrayLike, b: npt.ArrayLike
) -> FloatArray:
    """Draw v with density proportional to v^(-q-1) exp(-(a v + b/v)/2), q > 0, a >= 0, b > 0.

    (GIG(-q, a, b); a draw of GIG(q, b, a) is its reciprocal.) Rejection from an inverse gamma:
    with m the mode and k = a m/2, ``v^k exp(-a v/2)`` is largest at m, so v drawn from
    InvGamma(q + k, b/2), whose mode is m as well, is kept with probability
    ``(v/m)^k exp(-a (v - m)/2)``. About sqrt((q + k)/(q + 2k)) > 0.7 of the draws are kept.
    """
    q, a, b = np.broadcast_arrays(
        np.asarray(q, dtype=np.float64),
        np.asarray(a, dtype=np.float64),
        np.asarray(b, dtype=np.float64),
    )
    mode = b / (q + 1.0 + np.sqrt((q + 1.0) ** 2 + a * b))
    k = a * mode / 2.0
    shape = q + k
    half = b / 2.0
    v = half / rng.standard_gamma(shape)
    ratio = v / mode
    refused = rng.standard_exponential(v.shape) < k * (ratio - 1.0 - np.log(ratio))
    if not refused.any():
        return v
    # Redraw the refused few, flat, until all are kept.
    todo = np.flatnonzero(refused)
    flat, mode, k = v.reshape(-1), mode.reshape(-1), k.reshape(-1)
    shape, half = shape.reshape(-1), half.reshape(-1)
    while todo.size:
        fresh = half[todo] / rng.standard_gamma(shape[todo])
        ratio = fresh / mode[todo]
        kept = rng.standard_exponential(todo.size) >= k[todo] * (ratio - 1.0 - np.log(ratio))
        flat[todo[kept]] = fresh[kept]
        todo = todo[~kept]
    return flat.reshape(v.shape)


def slice_step(
    rng: np.random.Generator,
    x: FloatArray,
    log_density: Callable[[FloatArray], FloatArray],
    width: float,
    lower: float,
) -> FloatArray:
    """One slice-sampling update (Neal 2003: stepping out, shrinkage) of every element of x.

    The elements are independent given all else; ``log_density`` maps an array like x to their
    log densities. Below ``lower`` the density is zero.
    """
    level = log_density(x) - rng.standard_exponential(x.shape)
    left = x - width * rng.random(x.shape)
    right = left + width
    for edge, step in ((left, -width), (right, width)):
        while True:
            inside = edge > lower
            inside &= log_density(np.maximum(edge, lower)) > level
            if not inside.any():
                break
            edge[inside] += step
    np.maximum(left, lower, out=left)
    done = np.zeros(x.shape, dtype=bool)
    result = x.copy()
    while not done.all():
        proposal = np.where(done, result, left + (right - left) * rng.random(x.shape))
        good = ~done & (log_density(proposal) > level)
        result[good] = proposal[good]
        done |= good
        below = ~done & (proposal < x)
        left[below] = proposal[below]
        above = ~done & ~below
        right[above] = proposal[above]
    return result
