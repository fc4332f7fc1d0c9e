"""The likelihood of a spectrum's channels under its statistic, from the counts expected there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyxstan.spectra import statistics
from pyxstan.spectra.statistics import Floats

if TYPE_CHECKING:
    import numpy.typing as npt

    from pyxstan.spectra.binning import Binned

#: In the order of their numbers in the Stan program.
STATISTICS = ("cstat", "wstat", "pgstat", "chi2")


def log_likelihood(name: str, binned: Binned, expected: Floats) -> Floats:
    """Of each group of channels, shape of `expected`."""
    return -np.asarray(getattr(statistics, name)(*_arguments(name, binned), expected))


def statistic(name: str, binned: Binned, expected: Floats) -> Floats:
    """What XSPEC and Sherpa print, by group."""
    return np.asarray(
        getattr(statistics, name)(*_arguments(name, binned), expected, statistic=True)
    )


def slope(name: str, binned: Binned, expected: Floats) -> Floats:
    """Derivative of the log likelihood in the expected counts of the source, by group."""
    return -np.asarray(getattr(statistics, f"{name}_slope")(*_arguments(name, binned), expected))


def background(name: str, binned: Binned, expected: Floats) -> Floats:
    """Counts of the background that are expected beside those of the source, by group."""
    table = columns(binned)
    o, _, b, sigma, alpha = table.T
    match name:
        case "cstat":
            return np.zeros_like(expected)
        case "wstat":
            best = statistics.profiled_background(o, b, alpha, expected)
        case "pgstat":
            best = statistics.gaussian_profiled_background(o, b, sigma, alpha, expected)
        case _:
            best = np.broadcast_to(b, expected.shape)
    return np.asarray(alpha * best)


def information(name: str, binned: Binned, expected: Floats) -> Floats:
    """Expected information on the counts of the source, by group: one over their variance."""
    _, error, _, sigma, alpha = columns(binned).T
    if name == "chi2":
        return np.asarray(1 / (error**2 + (alpha * sigma) ** 2))
    behind = background(name, binned, expected)
    variance = expected + behind
    if name == "wstat":
        variance = variance + alpha * behind
    elif name == "pgstat":
        variance = variance + (alpha * sigma) ** 2
    return np.asarray(1 / np.maximum(variance, 1e-3))


def drawn(
    name: str, binned: Binned, expected: Floats, rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Counts drawn for each group where those of the source are expected, background and all."""
    whole = expected + background(name, binned, expected)
    if name == "chi2":
        return rng.normal(whole, columns(binned)[:, 1])
    return rng.poisson(np.minimum(whole, 1e15)).astype(float)


def columns(binned: Binned) -> Floats:
    """Counts, their error, background, its error and its scale of each group, shape (groups, 5).

    Zero where there is none; the scale of no background is one. The error of background counts is
    their square root.
    """
    none = np.zeros(binned.size)
    sigma = binned.background_errors
    if sigma is None and binned.background_counts is not None:
        sigma = np.sqrt(binned.background_counts)
    return np.stack(
        [
            none + filled if given is None else given
            for given, filled in (
                (binned.counts, 0.0),
                (binned.errors, 0.0),
                (binned.background_counts, 0.0),
                (sigma, 0.0),
                (binned.alpha, 1.0),
            )
        ],
        axis=1,
    )


def _arguments(name: str, binned: Binned) -> tuple[Floats, ...]:
    o, error, b, sigma, alpha = columns(binned).T
    match name:
        case "cstat":
            return (o,)
        case "wstat":
            return o, b, alpha
        case "pgstat":
            return o, b, sigma, alpha
        case _:
            return o, error, b, sigma, alpha
