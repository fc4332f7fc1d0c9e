r"""The log-t error of a concordance, with its mixing variable integrated out.

For r = y - B - G = -sigma^2 / (2 xi) + sigma Z / sqrt(xi), xi ~ chi^2_nu, the density is that of a
generalised hyperbolic skew Student t. With v = sigma^2, lambda = (nu + 1) / 2, q = 1 + r^2 / v and
s = sqrt(v + r^2) / 2,

    f(r) = Gamma(lambda) / (Gamma(nu / 2) sqrt(pi v)) q^-lambda exp(-r / 2) k_lambda(s),
    k_lambda(s) = s^lambda K_lambda(s) 2^(1 - lambda) / Gamma(lambda),

a Student t times a skewness, as k_lambda(0) = 1. Given r, xi is generalised inverse Gaussian with
density proportional to xi^(lambda - 1) exp(-q xi / 2 - v / (8 xi)).
"""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, kve

from pyxstan.concordance.data import Floats

#: Where s is smaller, k_lambda is 1 to rounding.
_SMALLEST = 1e-8


def log_density(r: Floats, v: Floats, nu: Floats | float) -> Floats:
    """Log density of the residual `r`."""
    return log_density_and_weight(r, v, nu)[0]


def log_density_and_weight(r: Floats, v: Floats, nu: Floats | float) -> tuple[Floats, Floats]:
    """Log density of the residual `r`, and the outlier weight E(xi | r) / nu."""
    order = (np.asarray(nu) + 1) / 2
    total = v + r**2
    s = np.maximum(0.5 * np.sqrt(total), _SMALLEST)
    bessel = kve(order, s)
    log_k = np.log(bessel) - s + order * np.log(s) + (1 - order) * np.log(2)
    constant = -gammaln(order - 0.5) - 0.5 * np.log(np.pi)  # Gamma(lambda) cancels
    density = constant + log_k - order * np.log(total / v) - 0.5 * np.log(v) - 0.5 * r
    weight = v / (4 * s) * kve(order + 1, s) / bessel / nu
    return np.asarray(density), np.asarray(weight)


def mixing_moments(r: Floats, v: Floats, nu: Floats | float) -> tuple[Floats, Floats]:
    """E(xi | r) and E(1/xi | r)."""
    order = (np.asarray(nu) + 1) / 2
    s = np.maximum(0.5 * np.sqrt(v + r**2), _SMALLEST)
    ratio = v / (4 * s)  # sqrt(chi / psi) of the generalised inverse Gaussian
    middle = kve(order, s)
    xi = ratio * kve(order + 1, s) / middle
    inverse = kve(order - 1, s) / middle / ratio
    return np.asarray(xi), np.asarray(inverse)
