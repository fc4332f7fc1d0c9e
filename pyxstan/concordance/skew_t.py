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
    with np.errstate(over="ignore", invalid="ignore"):
        log_k = np.log(bessel) - s + order * np.log(s / 2) + np.log(2) - gammaln(order)
        weight = v / (4 * s) * kve(order + 1, s) / bessel / nu
    # the Bessel function overflows for many degrees of freedom: there, its leading terms
    log_k = np.where(np.isfinite(log_k), log_k, -(s**2) / (4 * np.maximum(order - 1, 1)))
    weight = np.where(np.isfinite(weight), weight, 2 * order * v / total / nu)
    constant = gammaln(order) - gammaln(order - 0.5) - 0.5 * np.log(np.pi)
    density = constant + log_k - order * np.log(total / v) - 0.5 * np.log(v) - 0.5 * r
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
