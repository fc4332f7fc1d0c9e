"""Data simulated from the concordance models, for the references and the benchmarks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Simulated:
    """Measurements (N, M), NaN where missing, and the truth behind them."""

    y: FloatArray
    b: FloatArray
    tau: FloatArray
    B: FloatArray
    G: FloatArray
    sigma: FloatArray


def simulated_concordance(
    instruments: int,
    sources: int,
    seed: int,
    *,
    tau: float = 0.05,
    alpha: float = 3.0,
    beta: float = 0.005,
    nu: float | None = None,
    missing: float = 0.0,
) -> Simulated:
    """B and sigma from their priors, G ~ Normal(-25, 1); log-t errors when nu is given.

    A share ``missing`` of the measurements is dropped at random; every source and every
    instrument keeps at least one.
    """
    rng = np.random.default_rng(seed)
    B = tau * rng.standard_normal(instruments)
    G = -25.0 + rng.standard_normal(sources)
    variance = beta / rng.standard_gamma(alpha, instruments)
    shape = (instruments, sources)
    weight = np.ones(shape) if nu is None else rng.chisquare(nu, shape)
    scaled = variance[:, None] / weight
    y = B[:, None] + G - scaled / 2.0 + np.sqrt(scaled) * rng.standard_normal(shape)
    if missing > 0.0:
        gone = rng.random(shape) < missing
        gone[np.arange(sources) % instruments, np.arange(sources)] = False
        gone[np.arange(instruments), np.arange(instruments) % sources] = False
        y[gone] = np.nan
    return Simulated(y, np.zeros(instruments), np.full(instruments, tau), B, G, np.sqrt(variance))
