"""Arrays of the family, and the one integral that areas are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

_LN10 = float(np.log(10.0))


def integral_of_power(low: Floats, high: Floats, gamma: Floats | float, pivot: float) -> Floats:
    """Integral of (E / pivot)^-gamma dE between log10 energies, in the energies' unit.

    Nothing where `high` isn't above `low`. Broadcasts.
    """
    slope = 1.0 - np.asarray(gamma, dtype=float)
    a, b = np.broadcast_arrays(np.asarray(low, dtype=float), np.asarray(high, dtype=float))
    middle, half = 0.5 * (a + b) * _LN10 - np.log(pivot), 0.5 * np.maximum(b - a, 0.0) * _LN10
    # exp(slope x) from middle - half to middle + half: no difference of large numbers
    x = slope * half
    small = np.abs(x) < 1e-6
    width = np.where(small, 1.0 + x * x / 6.0, np.sinh(x) / np.where(small, 1.0, x))
    return np.asarray(pivot * np.exp(slope * middle) * 2.0 * half * width)
