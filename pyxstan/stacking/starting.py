"""Where the search for the mode of a parent's posterior starts, from the samples alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.parents import Range

#: Steps of expectation and maximisation from which the mode of a histogram is sought.
_EXPECTATIONS = 200


def _moments(data: PosteriorSamples) -> tuple[Floats, float, float]:
    """Mean of each object, mean of those, and a guess of the parent's standard deviation."""
    x = data.x[:, 0]

    def mean(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(data.weights * values, data.start[:-1]))

    means = mean(x)
    errors = mean(x**2) - means**2
    middle = float(np.median(means))
    variance = max(float(np.var(means) - np.mean(errors)), 0.1 * float(np.var(means)))
    return means, middle, float(np.sqrt(max(variance, 1e-4 * float(np.mean(errors)), 1e-300)))


def fractions(shares: Floats, concentration: float, least: float) -> Floats:
    """Fractions of bins near their mode, by expectation and maximisation.

    Parameters
    ----------
    shares
        Likelihood of each object for the density of each bin, shape (objects, bins).
    least
        What any object's likelihood is taken for at least.
    """
    fraction = np.full(shares.shape[1], 1 / shares.shape[1])
    for _ in range(_EXPECTATIONS):
        whole = np.maximum(shares @ fraction, least)
        counts = concentration + fraction * (shares.T @ (1 / whole))
        fraction = counts / counts.sum()
    return np.asarray(fraction)


def start(model: str, data: PosteriorSamples, on: Range, parts: int) -> dict[str, Any]:
    """Where the search for the posterior's mode starts."""
    means, middle, sd = _moments(data)
    inside = float(np.clip(middle, on.low + 0.05 * on.width, on.high - 0.05 * on.width))
    sd = float(np.clip(sd, 0.01 * on.width, 0.5 * on.width))
    u = (inside - on.low) / on.width
    total = max(u * (1 - u) * (on.width / sd) ** 2 - 1, 2.0)
    match model:
        case "stack_gaussian" | "stack_truncated_gaussian":
            return {"mean": inside, "sd": sd}
        case "stack_student_t":
            return {"location": inside, "scale": sd, "nu": 5.0}
        case "stack_skew_normal":
            return {"mean": inside, "sd": sd, "shape": 0.5}
        case "stack_beta":
            return {"alpha": u * total, "beta": (1 - u) * total}
        case "stack_gamma":
            return {
                "shape": max((inside - on.low) ** 2 / sd**2, 0.5),
                "scale": min(sd**2 / (inside - on.low), 0.5 * on.width),
            }
        case "stack_mixture":
            at = np.quantile(means, (np.arange(parts) + 0.5) / parts)
            at += 1e-3 * on.width * np.arange(parts)
            return {
                "mean": at,
                "sd": np.full(parts, max(sd / parts, 0.02 * on.width)),
                "fraction": np.full(parts, 1 / parts),
            }
        case _:
            return {"fraction": np.full(parts, 1 / parts)}
