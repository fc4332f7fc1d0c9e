r"""How far the samples carry a result: Monte Carlo noise, and the error of the nodes.

The likelihood of an object is a mean over its samples, L_i = sum_k w_ik p(x_ik), and as noisy as
few of them matter: with

    n_i = (sum_k w_ik p_ik)^2 / sum_k (w_ik p_ik)^2

effective samples under the parent, ln L_i has about the variance 1 / n_i - 1 / S_i', S_i' being the
effective number of the samples as they came (of which many are wasted on nothing). The sum over
objects is the variance of ln L; that of a detected fraction alpha from injections adds
N^2 (1 / n_inj - 1 / S_inj). Beyond one the posterior is partly that of the noise (Talbot & Golomb
2023, MNRAS 526, 3495; for alpha Farr 2019, RNAAS 3, 66, who asks for n_inj > 4 N).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pyxstan.errors import DataError
from pyxstan.stacking.data import Floats, PosteriorSamples

#: Variance of ln L beyond which a result is noise in part.
LARGEST_VARIANCE = 1.0
#: An object with fewer effective samples under the parent is named.
FEWEST = 10.0
#: Samples are equal within this part of their size.
_EQUAL = 1e-13
#: The least width of a population, where samples are shared, in their distances.
_DISTANCES = 2.0
#: A posterior of the width that is at least so many times as wide doesn't depend on it.
_CLEAR = 1.5
#: The part of all samples outside of the range from which a word is said.
_MOST_OUTSIDE = 0.5
#: Expected number of objects so far from a Gaussian, below which they are named.
_UNEXPECTED = 1e-3
#: How many objects are named.
_NAMED = 5
#: The error of ln L that nodes may make between draws.
LARGEST_ERROR = 0.02
#: Evaluations of p that the check of that may take, how many points it looks at, and how far some
#: of them are beyond the draws (in units of how far those are from the middle).
_EVALUATIONS, _FEWEST_POINTS, _MOST_POINTS = 6e6, 18, 48
_BEYOND = 1.3


@dataclass(frozen=True)
class Support:
    """How well the samples of each object support a parent distribution."""

    #: Effective samples of each object, shape (N,).
    effective: Floats
    #: Variance of ln L_i, shape (N,).
    variance: Floats
    #: Effective injections of the selection, and the variance that they add.
    injections: float = np.inf
    selection_variance: float = 0.0
    #: Detected part of the population.
    detected: float = 1.0

    @property
    def total(self) -> float:
        """Variance of ln L."""
        return float(self.variance.sum() + self.selection_variance)

    def complaints(self, data: PosteriorSamples) -> list[str]:
        """What speaks against the result, and what to do."""
        found = []
        variance = self.variance.sum()
        if variance >= LARGEST_VARIANCE:
            worst = np.argsort(-self.variance)[:_NAMED]
            names = ", ".join(data.objects[i] for i in worst)
            found.append(
                f"Monte Carlo noise: variance of ln L {variance:.2g}, expected below "
                f"{LARGEST_VARIANCE:g} (most from {names}): draw more samples of these objects"
            )
        few = np.flatnonzero((self.effective < FEWEST) & ~exactly_known(data))
        if few.size:
            order = few[np.argsort(self.effective[few])][:_NAMED]
            names = ", ".join(f"{data.objects[i]} ({self.effective[i]:.1f})" for i in order)
            more = f" and {few.size - order.size} more" if few.size > order.size else ""
            found.append(
                f"the parent is narrower than the samples of {names}{more} are close: fewer than "
                f"{FEWEST:g} effective samples under it; draw more, or fit them under the parent"
            )
        fewest = 4 * len(data.objects)
        if self.injections < fewest or self.selection_variance >= LARGEST_VARIANCE:
            found.append(
                f"selection: {self.injections:.0f} effective injections under the parent, expected "
                f"at least {fewest} (they add {self.selection_variance:.2g} to the variance of "
                "ln L): inject more"
            )
        if self.detected > 1 + 4 / np.sqrt(self.injections):
            found.append(
                f"selection: {self.detected:.3g} times the population would be detected: is the "
                "weight one over the density of the injections and over their number?"
            )
        return found


def noiseless(data: PosteriorSamples, model: str) -> list[str]:
    """Say of objects whose samples are all equal what that means.

    Raises
    ------
    DataError
        All samples of all objects are equal: the likelihood grows without limit as the population's
        width goes to zero.
    """
    equal = exactly_known(data)
    for name, column in zip(data.parameters, data.x.T, strict=True):
        if len(data.objects) > 1 and np.ptp(column) <= _EQUAL * np.abs(column).max():
            raise DataError(
                f"{data.source}: every sample of {name} of all {len(data.objects)} objects is "
                f"{column[0]:.6g}: a population without any width, to which {model} can't be fitted"
            )
    if not equal.any():
        return []
    named = ", ".join(data.objects[i] for i in np.flatnonzero(equal)[:_NAMED])
    more = f" and {equal.sum() - _NAMED} more" if equal.sum() > _NAMED else ""
    return [
        f"the samples of {named}{more} are all equal: taken as values known without any error"
        if not equal.all()
        else "the samples of each object are all equal: taken as values known without any error"
    ]


def exactly_known(data: PosteriorSamples) -> NDArray[np.bool_]:
    """Of which objects all samples are equal, shape (N,)."""
    low = np.minimum.reduceat(data.x, data.start[:-1])
    high = np.maximum.reduceat(data.x, data.start[:-1])
    equal = high - low <= _EQUAL * np.maximum(np.abs(low), np.abs(high))
    return np.asarray(equal.all(axis=1))


def shared(data: PosteriorSamples) -> tuple[float, float] | None:
    """A value that is among the samples of every object, and the distance of samples; else None.

    As the width of a Gaussian at that value goes to zero, the likelihood grows without limit, which
    is no property of the population but one of rounded or repeated samples.
    """
    values = np.unique(data.of(0)[:, 0])
    for i in range(1, len(data.objects)):
        values = values[np.isin(values, data.of(i)[:, 0])]
        if not values.size:
            return None
    if len(data.objects) < 2:
        return None
    some = np.unique(np.linspace(0, len(data.objects) - 1, 100).astype(int))
    each = [data.of(i)[:, 0] for i in some]
    distances = [np.median(np.diff(np.unique(x))) for x in each if np.ptp(x) > 0]
    if not distances:
        return None
    return float(values[len(values) // 2]), _DISTANCES * float(np.median(distances))


def at_least_width(name: str, widths: Floats, least: float) -> list[str]:
    """Say where the least width that shared samples leave decides that of the population."""
    if np.quantile(widths, 0.05) > _CLEAR * least:
        return []
    return [
        f"the posterior of {name} begins at {least:.3g}, below which samples that all objects "
        f"share leave it unknown: unrounded samples, or a prior of {name}, would say more"
    ]


def outside(data: PosteriorSamples, low: float, high: float) -> list[str]:
    """Say where a range that limits the population's place has few of the samples in it."""
    x = data.x[:, 0]
    part = float(data.weights[(x < low) | (x > high)].sum() / data.weights.sum())
    if part <= _MOST_OUTSIDE:
        return []
    return [
        f"{part:.0%} of the samples, by weight, are outside of {low:g} to {high:g}, the range in "
        "which the population's place is looked for: widen low and high, or set its prior"
    ]


def outliers(data: PosteriorSamples, mean: float, sd: float) -> list[str]:
    """Name objects that a Gaussian population has hardly ever, as far as they are known."""

    def average(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(data.weights * values, data.start[:-1]))

    x = data.x[:, 0] - mean
    away = average(x)
    error = np.maximum(average(x**2) - away**2, 0.0)
    t = np.abs(away) / np.sqrt(sd**2 + error)
    far = np.flatnonzero(2 * len(t) * special.ndtr(-t) < _UNEXPECTED)
    if not far.size:
        return []
    order = far[np.argsort(-t[far])][:_NAMED]
    names = ", ".join(f"{data.objects[i]} ({t[i]:.1f})" for i in order)
    more = f" and {far.size - order.size} more" if far.size > order.size else ""
    return [
        f"outliers of a Gaussian population, by standard deviations: {names}{more}: compare with "
        "stack_student_t, or with stack_mixture"
    ]


def relative(data: PosteriorSamples, log_p: Floats) -> Floats:
    """A density at every sample over its highest at one of the object.

    That of an object may be so far from the population that the density itself is zero.
    """
    with np.errstate(invalid="ignore"):
        away = log_p - np.repeat(np.maximum.reduceat(log_p, data.start[:-1]), data.sizes)
    return np.asarray(np.nan_to_num(np.exp(away), nan=0.0))


def supported(data: PosteriorSamples, log_p: Floats, p_selection: Floats | None = None) -> Support:
    """Support of a parent, by its ln density at every sample and its density at the injections."""
    effective, variance = _of_sums(data.weights, relative(data, log_p), data.start)
    if p_selection is None or data.selection is None:
        return Support(effective, variance)
    detected = float(data.selection.detected(p_selection))
    if data.selection.exact:
        return Support(effective, variance, detected=detected)
    ends = np.array([0, len(p_selection)])
    injected, spread = _of_sums(data.selection.weights, p_selection, ends)
    noise = float(len(data.objects) ** 2 * spread[0])
    return Support(effective, variance, float(injected[0]), noise, detected)


def _of_sums(weights: Floats, p: Floats, start: np.ndarray) -> tuple[Floats, Floats]:
    def sums(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(values, start[:-1]))

    matter = weights * p
    with np.errstate(invalid="ignore", divide="ignore"):
        effective = np.nan_to_num(sums(matter) ** 2 / sums(matter**2))
        before = sums(weights) ** 2 / sums(weights**2)
        variance = np.maximum(1 / effective - 1 / before, 0.0)
    return effective, variance


def likelihoods(data: PosteriorSamples, p: Floats) -> Floats:
    """L_i by the samples themselves, for p at each of them, shape (draws, N)."""
    return np.asarray(np.add.reduceat(data.weights * p, data.start[:-1], axis=1))


def nodes_error(
    z: Floats,
    finest: Floats,
    samples: int,
    log_posteriors: Callable[[Floats], tuple[float, float]],
) -> float:
    """Largest difference of differences of ln L, by nodes and by samples, over the posterior.

    Looked at are draws spread over all, those of the finest parents, and points somewhat beyond
    these: where nodes are so coarse that sums over them become negative, no draw gets, which must
    not hide a part of the posterior. Points beyond count where the samples make them as likely as
    the draws.

    Parameters
    ----------
    z
        Draws, shape (draws, coordinates).
    finest
        Length on which the parent of each changes.
    samples
        At how many the check of a point evaluates p.
    log_posteriors
        Of a point, by samples and by nodes.
    """
    count = int(np.clip(_EVALUATIONS / samples, _FEWEST_POINTS, _MOST_POINTS)) // 3
    narrow = np.argsort(finest)[:count]
    spread = np.linspace(0, len(z) - 1, min(count, len(z))).astype(int)
    draws = z[np.unique(np.append(narrow, spread))]
    middle = z.mean(axis=0)
    beyond = middle + _BEYOND * (z[narrow] - middle)
    exact, rough = np.array([log_posteriors(point) for point in (*draws, *beyond)]).T
    counted = exact >= exact[: len(draws)].min()
    error = exact[counted] - np.nan_to_num(rough[counted], nan=-np.inf)
    return float(np.ptp(error)) if np.isfinite(error).all() else np.inf
