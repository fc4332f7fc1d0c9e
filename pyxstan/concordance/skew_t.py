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


def log_k(order: Floats | float, s: Floats) -> Floats:
    """Return log k_lambda(s), stable for small s."""
    s = np.maximum(s, 1e-8)
    value = order * np.log(s) + np.log(kve(order, s)) - s
    return np.asarray(value + (1 - order) * np.log(2) - gammaln(order))


def log_density(r: Floats, v: Floats, nu: Floats | float) -> Floats:
    """Log density of the residual `r`."""
    order = (np.asarray(nu) + 1) / 2
    student = gammaln(order) - gammaln(order - 0.5) - 0.5 * np.log(np.pi * v)
    s = 0.5 * np.sqrt(v + r**2)
    return np.asarray(student - order * np.log1p(r**2 / v) - 0.5 * r + log_k(order, s))


def mixing_moments(r: Floats, v: Floats, nu: Floats | float) -> tuple[Floats, Floats]:
    """E(xi | r) and E(1/xi | r): the first over nu is the outlier weight."""
    order = (np.asarray(nu) + 1) / 2
    s = np.maximum(0.5 * np.sqrt(v + r**2), 1e-8)
    ratio = v / (4 * s)  # sqrt(chi / psi) of the generalised inverse Gaussian
    middle = kve(order, s)
    xi = ratio * kve(order + 1, s) / middle
    inverse = kve(order - 1, s) / middle / ratio
    return np.asarray(xi), np.asarray(inverse)
