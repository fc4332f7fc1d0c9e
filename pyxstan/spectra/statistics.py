r"""How likely the counts of a channel are, given those that a model predicts there.

For a channel with o observed counts and m counts expected of the source (and b counts in a
background spectrum, alpha times whose mean B is expected beside m), these are minus the natural
logarithms of a probability, with all constants, so that fits can be compared by them:

* `cstat`: Poisson, m - o ln m + ln o!;
* `wstat`: Poisson counts of source and background, with the B >= 0 that makes both likeliest,
  mu - o ln mu + ln o! + B - b ln B + ln b!, where mu = alpha B + m. B is the larger root of
  alpha (alpha + 1) B^2 - [alpha (o + b) - (alpha + 1) m] B - b m = 0;
* `pgstat`: Poisson counts of the source, and a background with a Gaussian error sigma,
  mu - o ln mu + ln o! + (B - b)^2 / (2 sigma^2) + ln(alpha sigma) + ln(2 pi) / 2 (the density of
  alpha b, the background as the source's exposure has it, as 3ML takes it), again at the likeliest
  B >= 0, which is zero or solves alpha B^2 + (m - alpha c) B - c m - alpha o sigma^2 = 0 with
  c = b - alpha sigma^2. Where sigma is zero the background is known, and the Gaussian left out;
* `chi2`: (o - alpha b - m)^2 / (2 s^2) + ln s + ln(2 pi) / 2, s^2 the variance of o - alpha b.

With ``statistic=True`` each is the number that XSPEC and Sherpa print instead: twice the difference
from the likelihood of a model that fits the channel exactly (m = o, B = b). It is zero at best.

Zero counts are not special: x ln x is 0 at x = 0, and B may be 0. For `wstat` this is XSPEC's and
Sherpa's W with its cases. For `pgstat` XSPEC and 3ML let B become negative where that is likeliest;
here it is 0 then. 3ML also leaves out the Gaussian of channels with b = 0; here it stays.

Each has a ``_slope``: its derivative with respect to m (half of that of the statistic). The
background's own dependence on m doesn't come in, as B is where the likelihood is at its maximum;
so the slope is 1 - o / mu, with no jump where B becomes zero.

Arrays broadcast against each other: the model may have leading axes, such as draws. Expected counts
are finite; a negative one has likelihood zero, and so has m = 0 (without a background) where there
are counts.

Sources: Cash 1979 (ApJ 228, 939); Arnaud, Smith & Siemiginowska, Handbook of X-ray Astronomy
(2011), chapter 7, and the appendix on statistics of the XSPEC manual; Loader 2000, "Fast and
accurate computation of binomial probabilities", for Poisson probabilities of many counts.

>>> cstat([0.0, 3.0], [2.0, 3.0])
array([2.       , 1.4959226])
>>> wstat([0.0, 3.0], [0.0, 4.0], 0.5, [2.0, 1.0], statistic=True)
array([4., 0.])
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special

from pyxstan.errors import DataError

Floats = npt.NDArray[np.float64]
#: A number, a sequence or an array of them.
Numbers = npt.ArrayLike

_HALF_LOG_TWO_PI = 0.5 * np.log(2 * np.pi)
#: Counts and their mean are close within this fraction: their difference is then a series.
_SMALL = 0.1
#: Stirling's series for ln n! is good to 1e-16 from this n on.
_MANY = 15.0


def _array(x: Numbers) -> Floats:
    return np.asarray(x, dtype=np.float64)


def _excess(x: Floats) -> Floats:
    """x - ln(1 + x) for |x| up to 0.1, without cancellation."""
    t = x / (2 + x)
    t2 = t * t
    # ln(1 + x) = 2 artanh(t), and x - 2 t = x t
    terms = 1 / 3 + t2 * (1 / 5 + t2 * (1 / 7 + t2 * (1 / 9 + t2 * (1 / 11 + t2 / 13))))
    return x * t - 2 * t * t2 * terms


def _deviance(counts: Floats, mean: Floats) -> Floats:
    """Half of the Poisson deviance: mean - counts + counts ln(counts / mean)."""
    counts, mean = np.broadcast_arrays(counts, mean)
    n = np.where(counts > 0, counts, 1.0)
    expected = np.where(mean > 0, mean, n)
    x = (expected - n) / n
    near = np.abs(x) < _SMALL
    close = n * _excess(np.where(near, x, 0.0))
    found = np.where(near, close, expected - n - n * np.log(expected / n))
    found = np.where(counts > 0, np.where(mean > 0, found, np.inf), mean)
    return np.asarray(np.where(mean < 0, np.inf, found))


def _best(counts: Floats) -> Floats:
    """Minus the log of the Poisson probability of `counts` if just these are expected."""
    few, n = np.minimum(counts, _MANY), np.maximum(counts, _MANY)
    r = 1 / n
    r2 = r * r
    series = r * (1 / 12 - r2 * (1 / 360 - r2 * (1 / 1260 - r2 * (1 / 1680 - r2 / 1188))))
    stirling = _HALF_LOG_TWO_PI + 0.5 * np.log(n) + series
    direct = few - special.xlogy(few, few) + special.gammaln(few + 1)
    return np.asarray(np.where(counts < _MANY, direct, stirling))


def _ratio_slope(observed: Floats, mean: Floats) -> Floats:
    """Derivative of minus the log likelihood with respect to the mean: 1 - observed / mean."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.asarray(np.where(observed == 0, 1.0, 1 - observed / mean))


def cstat(observed: Numbers, model: Numbers, *, statistic: bool = False) -> Floats:
    """Poisson counts with a known mean.

    Parameters
    ----------
    observed
        Counts o, not negative.
    model
        Expected counts m, of source and background together.
    statistic
        Cash's statistic as XSPEC and Sherpa print it, 2 (m - o + o ln(o / m)), and not
        minus the log likelihood.

    Returns
    -------
    ndarray
        By channel.
    """
    o = _array(observed)
    half = _deviance(o, _array(model))
    return np.asarray(2 * half if statistic else half + _best(o))


def cstat_slope(observed: Numbers, model: Numbers) -> Floats:
    """Derivative of `cstat` with respect to the model: 1 - o / m."""
    return _ratio_slope(_array(observed), _array(model))


def profiled_background(
    observed: Numbers, background: Numbers, alpha: Numbers, model: Numbers
) -> Floats:
    """Mean B >= 0 of the background spectrum's counts that `wstat` is at its least for.

    Parameters
    ----------
    observed, background
        Counts o of the source and b of the background, not negative.
    alpha
        Exposure times area scale of the source over those of the background, positive.
    model
        Counts m expected of the source alone.
    """
    o, b, a, m = np.broadcast_arrays(*map(_array, (observed, background, alpha, model)))
    m = np.maximum(m, 0.0)
    half = 0.5 * (a * (o + b) - (a + 1) * m)
    root = np.hypot(half, np.sqrt(a * (a + 1) * b) * np.sqrt(m))
    # of the two forms of a quadratic's root the one that adds
    below = root - np.minimum(half, 0.0)
    far = b * (m / np.where(below > 0, below, 1.0))
    per = np.where(a > 0, a, 1.0)
    found = np.where(half >= 0, (half + root) / (per * (a + 1)), far)
    return np.asarray(np.where((o == 0) | (a == 0), b / (a + 1), found))


def wstat(
    observed: Numbers,
    background: Numbers,
    alpha: Numbers,
    model: Numbers,
    *,
    statistic: bool = False,
) -> Floats:
    """Poisson counts of the source, and of a background whose mean is profiled out.

    Parameters
    ----------
    observed, background, alpha, model
        As in `profiled_background`.
    statistic
        XSPEC's and Sherpa's W, and not minus the log likelihood.
    """
    o, b, a, m = map(_array, (observed, background, alpha, model))
    mean = profiled_background(o, b, a, m)
    half = _deviance(o, a * mean + m) + _deviance(b, mean)
    half = np.where(m < 0, np.inf, half)
    return np.asarray(2 * half if statistic else half + _best(o) + _best(b))


def wstat_slope(observed: Numbers, background: Numbers, alpha: Numbers, model: Numbers) -> Floats:
    """Derivative of `wstat` with respect to the model: 1 - o / (alpha B + m)."""
    a, m = _array(alpha), _array(model)
    return _ratio_slope(_array(observed), a * profiled_background(observed, background, a, m) + m)


def gaussian_profiled_background(
    observed: Numbers,
    background: Numbers,
    background_error: Numbers,
    alpha: Numbers,
    model: Numbers,
) -> Floats:
    """Mean B >= 0 of the background spectrum's counts that `pgstat` is at its least for.

    Parameters
    ----------
    observed
        Counts o of the source, not negative.
    background, background_error
        Counts b of the background spectrum, in its own exposure, and their standard deviation
        sigma >= 0.
    alpha
        Exposure times area scale of the source over those of the background, positive.
    model
        Counts m expected of the source alone.
    """
    o, b, sigma, a, m = np.broadcast_arrays(
        *map(_array, (observed, background, background_error, alpha, model))
    )
    m = np.maximum(m, 0.0)
    variance = sigma * sigma
    c = b - a * variance
    half = 0.5 * (a * c - m)
    # the discriminant, as a sum of squares
    root = np.hypot(0.5 * (a * c + m), a * sigma * np.sqrt(o))
    # of the two forms of a quadratic's root the one that adds
    below = root - np.minimum(half, 0.0)
    below = np.where(below > 0, below, 1.0)
    far = np.maximum(c * (m / below) + a * o * variance / below, 0.0)
    found = np.where(half >= 0, (half + root) / np.where(a > 0, a, 1.0), far)
    found = np.where(o == 0, np.maximum(c, 0.0), found)
    return np.asarray(np.where((sigma == 0) | (a == 0), b, found))


def pgstat(
    observed: Numbers,
    background: Numbers,
    background_error: Numbers,
    alpha: Numbers,
    model: Numbers,
    *,
    statistic: bool = False,
) -> Floats:
    """Poisson counts of the source, and a Gaussian background whose mean is profiled out.

    Parameters
    ----------
    observed, background, background_error, alpha, model
        As in `gaussian_profiled_background`.
    statistic
        XSPEC's PG statistic, and not minus the log likelihood.
    """
    o, b, sigma, a, m = map(_array, (observed, background, background_error, alpha, model))
    best = gaussian_profiled_background(o, b, sigma, a, m)
    mean = a * best + m
    known = sigma == 0
    sd = np.where(known, 1.0, sigma)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        # (B - b) / sigma as it follows from the equation for B, where B and b are all but the same
        close = np.where(o == 0, -a * sigma, a * sigma * (o - mean) / mean)
    tight = (best > 0) & (np.maximum(best, b) > a * sigma * sigma)
    pull = np.where(known, 0.0, np.where(tight, close, (best - b) / sd))
    half = np.where(m < 0, np.inf, _deviance(o, mean) + 0.5 * pull**2)
    if statistic:
        return np.asarray(2 * half)
    return np.asarray(half + _best(o) + np.where(known, 0.0, np.log(a * sd) + _HALF_LOG_TWO_PI))


def pgstat_slope(
    observed: Numbers,
    background: Numbers,
    background_error: Numbers,
    alpha: Numbers,
    model: Numbers,
) -> Floats:
    """Derivative of `pgstat` with respect to the model: 1 - o / (alpha B + m)."""
    a, m = _array(alpha), _array(model)
    best = gaussian_profiled_background(observed, background, background_error, a, m)
    return _ratio_slope(_array(observed), a * best + m)


def chi2(
    observed: Numbers,
    error: Numbers,
    background: Numbers,
    background_error: Numbers,
    alpha: Numbers,
    model: Numbers,
    *,
    statistic: bool = False,
) -> Floats:
    """Gaussian errors on source and background.

    Parameters
    ----------
    observed, error
        Counts o (or whatever the model predicts) and their standard deviation.
    background, background_error
        The same of the background spectrum; both zero if there is none.
    alpha
        Exposure times area scale of the source over those of the background.
    model
        What is expected of the source alone; it may be negative.
    statistic
        Chi-square, and not minus the log likelihood.

    Raises
    ------
    DataError
        The two errors are zero in a channel.
    """
    variance = _variance(error, background_error, alpha)
    rest = _array(observed) - _array(alpha) * _array(background) - _array(model)
    square = rest * rest / variance
    return np.asarray(square if statistic else 0.5 * (square + np.log(2 * np.pi * variance)))


def chi2_slope(
    observed: Numbers,
    error: Numbers,
    background: Numbers,
    background_error: Numbers,
    alpha: Numbers,
    model: Numbers,
) -> Floats:
    """Derivative of `chi2` with respect to the model: (m + alpha b - o) / s^2."""
    rest = _array(model) + _array(alpha) * _array(background) - _array(observed)
    return np.asarray(rest / _variance(error, background_error, alpha))


def _variance(error: Numbers, background_error: Numbers, alpha: Numbers) -> Floats:
    s, t = _array(error), _array(alpha) * _array(background_error)
    variance = np.atleast_1d(s * s + t * t)
    if not (variance > 0).all():
        channel = int(np.argmin(variance)) + 1
        raise DataError(f"chi-square: the error of channel {channel} is zero, expected positive")
    return np.asarray(s * s + t * t)
