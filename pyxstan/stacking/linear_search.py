r"""Starting points of the search for the modes of linear Gaussian parents.

From many places (the mean at a sample of some object, broad and narrow), some steps of expectation
and maximisation on a part of the samples: each object's samples are weighted by the parent's
density, and mean, slopes and covariance are those of the weighted samples. Objects with two
solutions each have several such parents. All of it is in units of the samples' and the covariates'
standard deviations.
"""

from __future__ import annotations

import numpy as np

from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.linear_density import LinearCoordinates

#: Objects and samples of each that are looked at, places, and steps from each: at most so many, and
#: while the log likelihood rises by so much.
_OBJECTS, _SAMPLES, _PLACES, _STEPS, _RISE = 300, 40, 24, 40, 1e-3
#: So many steps in a row have to rise by less: one alone may cross a saddle.
_SLOW = 3
#: Standard deviations to begin with, and the least, in those of all samples.
_WIDTHS, _LEAST = (0.1, 0.3, 1.0), 1e-3
#: Parents are the same where they are closer than this; so much less likely ones are left out.
_SAME, _LESS_LIKELY = 0.1, 25.0


def starts(data: PosteriorSamples, coords: LinearCoordinates, covariates: Floats) -> list[Floats]:
    """Theta of parents that expectation and maximisation end at, the likeliest first."""
    rng = np.random.default_rng(4)
    count = len(data.objects)
    some = np.unique(np.linspace(0, count - 1, min(count, _OBJECTS)).astype(int))
    picked = [
        data.start[i] + np.unique(np.linspace(0, size - 1, min(size, _SAMPLES)).astype(int))
        for i, size in zip(some, data.sizes[some], strict=True)
    ]
    at = np.concatenate(picked)
    sizes = np.array([len(one) for one in picked])
    begin = np.cumsum(sizes) - sizes
    middle, unit = data.x[at].mean(axis=0), data.x[at].std(axis=0)
    if not (unit > 0).all():
        return []
    x = (data.x[at] - middle) / unit
    with np.errstate(divide="ignore"):
        log_weight = np.log(data.weights[at])
    spread = covariates.std(axis=0)
    design = np.column_stack([np.ones(len(some)), covariates[some] / spread])
    inverse = np.linalg.pinv(design)

    def climbed(mean: Floats, width: float) -> tuple[float, Floats, Floats]:
        """Log likelihood, coefficients (1 + covariates, parameters), covariance."""
        size = x.shape[1]
        slopes = np.zeros((design.shape[1], size))
        slopes[0], covariance, reached = mean, width**2 * np.eye(size), list[float]()
        for _ in range(_STEPS):
            away = x - np.repeat(design @ slopes, sizes, axis=0)
            factor = np.linalg.cholesky(covariance)
            u = np.linalg.solve(factor, away.T)
            log_p = log_weight - 0.5 * (u * u).sum(axis=0) - np.log(np.diag(factor)).sum()
            most = np.maximum.reduceat(log_p, begin)
            share = np.exp(log_p - np.repeat(most, sizes))
            total = np.add.reduceat(share, begin)
            share /= np.repeat(total, sizes)
            log_l = float(np.sum(most + np.log(total)))
            reached.append(log_l)
            if len(reached) > _SLOW and not log_l - reached[-1 - _SLOW] >= _SLOW * _RISE:
                break
            slopes = inverse @ np.add.reduceat(share[:, None] * x, begin)
            away = x - np.repeat(design @ slopes, sizes, axis=0)
            scatter = np.einsum("n,ni,nj->ij", share, away, away)
            covariance = scatter / len(some) + _LEAST**2 * np.eye(size)
        return log_l, slopes, covariance

    places = x[rng.choice(len(x), _PLACES)]
    widths = np.resize(_WIDTHS, _PLACES)
    ends = [climbed(place, width) for place, width in zip(places, widths, strict=True)]
    ends.sort(key=lambda end: -end[0])
    kept: list[tuple[float, Floats, Floats]] = []
    for end in ends:
        if end[0] < ends[0][0] - _LESS_LIKELY:
            break
        sd = np.sqrt(np.diag(end[2]))
        alike = (
            (np.abs(end[1] - other[1]) < _SAME * (1 + 2 * sd)).all()
            and (np.abs(np.log(sd**2 / np.diag(other[2]))) < 4 * _SAME).all()
            for other in kept
        )
        if not any(alike):
            kept.append(end)
    found = []
    for _, slopes, covariance in kept:
        sd = np.sqrt(np.diag(covariance))
        mean = middle + unit * slopes[0]
        slope = (unit * slopes[1:] / spread[:, None]).T
        phi = coords.numbers.within(np.concatenate([mean, slope.ravel(), unit * sd]))
        partial = _partial_correlations(np.linalg.cholesky(covariance / np.outer(sd, sd)))
        found.append(np.append(coords.numbers.theta_of(phi), np.arctanh(partial)))
    return found


def _partial_correlations(factor: Floats) -> Floats:
    """From the Cholesky factor of correlations, row by row."""
    found = []
    for i in range(1, len(factor)):
        left = 1.0
        for j in range(i):
            found.append(np.clip(factor[i, j] / np.sqrt(left), -0.95, 0.95))
            left = max(left - factor[i, j] ** 2, 1e-6)
    return np.array(found)
