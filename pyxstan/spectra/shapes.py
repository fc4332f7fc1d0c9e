"""Shapes of the components in `pyxstan.spectra.components`: fluxes for a norm of one.

Each has a function for the flux and, where there is a closed form, one for its integral over bins.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from pyxstan.spectra.component_types import Floats, Shape, Values

#: A line's width in halves of a bin, from which on the line is a parabola there.
_SMOOTH = 10.0
#: Nothing of a line is so many standard deviations away.
_FAR = 9.0


def _log_sinhc(x: Floats) -> Floats:
    """ln(sinh(x) / x), any x."""
    twice = 2 * np.abs(x)
    apart = np.where(twice > 0, twice, 1.0)
    return np.asarray(np.where(twice > 0, 0.5 * twice + np.log(-np.expm1(-apart) / apart), 0.0))


def _log_power_integral(low: Floats, high: Floats, index: Floats, reference: Floats) -> Floats:
    """ln of the integral of (E / reference)^index."""
    length = np.log1p((high - low) / low)
    middle = np.log(low / reference) + 0.5 * length
    x = 0.5 * (index + 1) * length
    return np.asarray(np.log(reference * length) + (index + 1) * middle + _log_sinhc(x))


def _powerlaw(e: Floats, v: Values) -> Floats:
    return np.asarray(np.exp(v["index"] * np.log(e / v["piv"])))


def _powerlaw_exact(low: Floats, high: Floats, v: Values) -> Floats:
    return np.asarray(np.exp(_log_power_integral(low, high, v["index"], v["piv"])))


def _log_between(v: Values) -> Floats:
    """ln of the integral of (E / a)^index from a to b."""
    return _log_power_integral(v["a"], v["b"], v["index"], v["a"])


def _powerlaw_flux(e: Floats, v: Values) -> Floats:
    return np.asarray(np.exp(v["index"] * np.log(e / v["a"]) - _log_between(v)))


def _powerlaw_flux_exact(low: Floats, high: Floats, v: Values) -> Floats:
    return np.asarray(np.exp(_log_power_integral(low, high, v["index"], v["a"]) - _log_between(v)))


def _cutoff(e: Floats, v: Values) -> Floats:
    return np.asarray(np.exp(v["index"] * np.log(e / v["piv"]) - e / v["xc"]))


def _blackbody(e: Floats, v: Values) -> Floats:
    u = e / v["kT"]
    return np.asarray(e * e * np.exp(-u) / -np.expm1(-u))


def _break(v: Values) -> Floats:
    return np.asarray((v["alpha"] - v["beta"]) * v["xp"] / (2 + v["alpha"]))


def _band(e: Floats, v: Values) -> Floats:
    alpha, beta, xb = v["alpha"], v["beta"], _break(v)
    log_e = np.log(e / v["piv"])
    below = alpha * log_e - (2 + alpha) * e / v["xp"]
    above = (alpha - beta) * (np.log(xb / v["piv"]) - 1) + beta * log_e
    return np.asarray(np.exp(np.where(e < xb, below, above)))


def band_mistake(v: Values) -> str:
    """Say if the powers of a Band function are none that it is defined for."""
    alpha, beta = np.broadcast_arrays(v["alpha"], v["beta"])
    wrong = ((alpha <= -2) | (alpha <= beta)).ravel()
    if not wrong.any():
        return ""
    at = int(np.argmax(wrong))
    pair = f"alpha = {alpha.flat[at]:g} and beta = {beta.flat[at]:g}"
    return f"{pair}, expected alpha above beta and above -2"


def _bremsstrahlung(e: Floats, v: Values) -> Floats:
    return np.asarray(np.exp(-e / v["kT"]) / e)


def _from_line(e: Floats, v: Values) -> Floats:
    """Distance from the line's middle in standard deviations; infinite for a sharp line."""
    sigma = np.where(v["sigma"] > 0, v["sigma"], 1.0)
    sharp = np.where(e > v["mu"], np.inf, -np.inf)
    with np.errstate(over="ignore"):
        return np.asarray(np.where(v["sigma"] > 0, (e - v["mu"]) / sigma, sharp))


def _normal(z: Floats) -> Floats:
    return np.asarray(np.exp(-0.5 * z * z) / np.sqrt(2 * np.pi))


def _line(e: Floats, v: Values) -> Floats:
    sigma = np.where(v["sigma"] > 0, v["sigma"], 1.0)
    return np.asarray(_normal(_from_line(e, v)) / sigma)


def _line_exact(low: Floats, high: Floats, v: Values) -> Floats:
    z1, z2 = _from_line(low, v), _from_line(high, v)
    # above the line from its upper tail, where the differences are not lost
    flip = z1 > 0
    upper, lower = np.where(flip, -z1, z2), np.where(flip, -z2, z1)
    return np.asarray(special.ndtr(upper) - special.ndtr(lower))


def _line_through(low: Floats, high: Floats, v: Values) -> list[Floats]:
    """Weights of three points of a bin in the integral of a line times what gas lets through.

    That is taken for a parabola, of which the line's moments in the bin say the integral, in halves
    of the bin from its middle; where the bin is far narrower than the line, the line is.
    """
    one = _line_exact(low, high, v)
    half, middle = 0.5 * (high - low), 0.5 * (low + high)
    # the density has gone long before z is infinite
    a, b = (np.clip(_from_line(e, v), -1e10, 1e10) for e in (low, high))
    p, q = _normal(a), _normal(b)
    s, m = np.where(v["sigma"] > 0, v["sigma"], 0.0) / half, (v["mu"] - middle) / half
    smooth = s >= _SMOOTH
    s, m = np.where(smooth, 0.0, s), np.where(smooth, 0.0, m)
    first = m * one + s * (p - q)
    second = m * m * one + 2 * m * s * (p - q) + s * s * (one + a * p - b * q)
    narrow = [0.5 * (second - first), one - second, 0.5 * (second + first)]
    # relative to the end that is next to the line
    least = np.clip(0.0, a, b)
    z = [a, 0.5 * (a + b), b]
    by = [np.exp(np.minimum(-0.5 * (x - least) * (x + least), 0.0)) for x in z]
    by[1] = 4 * by[1]
    total = by[0] + by[1] + by[2]
    wide = [x / np.where(total > 0, total, 1.0) * one for x in by]
    return [np.where(smooth, y, x) for x, y in zip(narrow, wide, strict=True)]


def shared_line(edges: Floats, middles: Floats, mu: Floats, sigma: Floats) -> Floats:
    """What a line of norm one has in bins beyond its integrals if narrow bins share it.

    A line that is narrower than a bin of the response doesn't tell where in that bin it is: its
    likelihood would be a staircase. It is shared by the two bins whose middles are next to it, in
    proportion; as its width becomes half of a bin's, that goes over into its integrals.

    Parameters
    ----------
    edges, middles
        Of the bins, and the middles of the response's bins that these are parts of.
    mu, sigma
        Of shape (draws, 1).
    """
    sigma = np.maximum(sigma, 1e-10)
    width = np.diff(middles)
    first, last = middles[:-1], middles[1:]
    inside = width > 0  # an edge of the response's bins
    width = np.where(inside, width, 1.0)
    part = np.where(inside, np.maximum(1 - (2 * sigma / width) ** 2, 0.0), 0.0) ** 2
    z0, z1, z = ((e - mu) / sigma for e in (first, last, edges[1:-1]))
    shared = (last - mu) * special.ndtr(z1) - (first - mu) * special.ndtr(z0)
    shared = (shared + sigma * (_normal(z1) - _normal(z0))) / width
    near = (mu > first - _FAR * sigma) & (mu < last + _FAR * sigma)
    over = np.where(near, part * (shared - special.ndtr(z)), 0.0)
    none = np.zeros((len(over), 1))
    return np.diff(np.concatenate([none, over, none], axis=1))


POWERLAW = Shape(_powerlaw, _powerlaw_exact)
POWERLAW_FLUX = Shape(_powerlaw_flux, _powerlaw_flux_exact)
CUTOFF_POWERLAW = Shape(_cutoff, fold="xc")
BLACKBODY = Shape(_blackbody, fold="kT")
BAND = Shape(_band)
BREMSSTRAHLUNG = Shape(_bremsstrahlung, fold="kT")
GAUSSIAN_LINE = Shape(_line, _line_exact, through=_line_through)
