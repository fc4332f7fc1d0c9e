"""The likelihood of a spectrum's channels under its statistic, from the counts expected there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pyxstan.spectra import statistics
from pyxstan.spectra.statistics import Floats

if TYPE_CHECKING:
    from pyxstan.spectra.binning import Binned

#: In the order of their numbers in the Stan program.
STATISTICS = ("cstat", "wstat", "pgstat", "chi2")
#: So many background counts tell the mean of a block of groups.
_ENOUGH = 10.0


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


def information(name: str, binned: Binned, expected: Floats) -> Floats:
    """Expected information on the counts of the source, by group: one over their variance."""
    o, error, b, sigma, alpha = columns(binned).T
    match name:
        case "chi2":
            return np.asarray(1 / (error**2 + (alpha * sigma) ** 2))
        case "wstat":
            behind = alpha * statistics.profiled_background(o, b, alpha, expected)
            variance = expected + (1 + alpha) * behind
        case "pgstat":
            best = statistics.gaussian_profiled_background(o, b, sigma, alpha, expected)
            variance = expected + alpha * best + (alpha * sigma) ** 2
        case _:
            variance = expected
    return np.asarray(1 / np.maximum(variance, 1e-3))


def background(name: str, binned: Binned) -> Floats:
    """Counts of the background that its own spectrum predicts beside those of the source, by group.

    Nothing here depends on the counts of the source.
    """
    _, _, b, _, alpha = columns(binned).T
    match name:
        case "cstat":
            return np.zeros(binned.size)
        case "wstat":
            block, share = _blocks(binned)
            b = share * np.bincount(block, b)[block]
    return np.asarray(alpha * b)


@dataclass(frozen=True, eq=False)
class Replicate:
    """Another outcome of the same observation, draws first."""

    counts: Floats
    #: Of the background's spectrum; zero without one.
    background: Floats


def replicate(name: str, binned: Binned, expected: Floats, rng: np.random.Generator) -> Replicate:
    """Counts of source and background, drawn for each group where the model expects those.

    The mean of the background is what its own spectrum leaves open: it never depends on the counts
    of the source, which are to be compared with these. Where Poisson counts of the background were
    measured, it is drawn from a gamma distribution of so many counts; groups of few counts are
    taken together, and share theirs evenly, as the true mean of a group without any is not known
    to be zero. Where there is a Gaussian measurement, it is drawn from that (and is zero at least
    if counts are Poisson's). Then counts of both are drawn.

    Parameters
    ----------
    expected
        Counts of the source, shape (draws, groups).
    """
    _, error, b, sigma, alpha = columns(binned).T
    if name == "wstat":
        block, share = _blocks(binned)
        total = np.bincount(block, b)
        mean = share * rng.gamma(total, size=(len(expected), len(total)))[:, block]
        off = _poisson(mean, rng)
    else:
        mean = rng.normal(b, sigma, expected.shape)
        if name == "pgstat":
            mean = np.maximum(mean, 0.0)
        off = rng.normal(mean, sigma)
    if name == "cstat":
        return Replicate(_poisson(expected, rng), np.zeros_like(expected))
    whole = expected + alpha * mean
    if name == "chi2":
        return Replicate(rng.normal(whole, error), off)
    return Replicate(_poisson(whole, rng), off)


def _poisson(mean: Floats, rng: np.random.Generator) -> Floats:
    return rng.poisson(np.clip(mean, 0.0, 1e15)).astype(float)


def _blocks(binned: Binned) -> tuple[npt.NDArray[np.intp], Floats]:
    """Groups taken together until they have some background counts, and each one's share of them.

    Returns
    -------
    block, share
        The number of each group's block, and its part of the block's channels.
    """
    counts = columns(binned)[:, 2]
    before = np.cumsum(counts) - counts
    block = np.zeros(binned.size, dtype=np.intp)
    start = 0.0
    for k in range(1, binned.size):
        full = before[k] - start >= _ENOUGH
        block[k] = block[k - 1] + full
        if full:
            start = before[k]
    if block[-1] and counts.sum() - start < _ENOUGH:  # what is left joins the block before
        block[block == block[-1]] -= 1
    channels: Floats = np.asarray(binned.membership.sum(axis=1)).ravel()
    return block, np.asarray(channels / np.bincount(block, channels)[block])


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
