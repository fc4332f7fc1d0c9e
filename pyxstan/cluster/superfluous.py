"""The posterior of two components where one is enough.

The second is known by its prior, and by an upper limit. Its posterior is wide, bent and in parts:
the second may be a faint one anywhere, share the light of the first, be a peak in its core or a
part of the background. No chain gets around there soon. A population of points does: it begins with
what is known (the first component's posterior without a second, and the second's prior), and is led
to the posterior in steps, by weights, resampling and Metropolis moves (sequential Monte Carlo: Del
Moral, Doucet & Jasra 2006, JRSS B 68, 411). Most of the prior is in the posterior, so that there
are few steps. Several populations know nothing of each other: they are what R-hat compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyxstan.cluster.cells import Cells, Floats
from pyxstan.cluster.likelihoods import log_likelihoods
from pyxstan.cluster.parameters import Coordinates
from pyxstan.errors import DataError
from pyxstan.priors import Prior, log_prior_of_many

#: Parameters of the second component alone, and what those are above that have a limit.
_SECOND = ("S02", "rc2", "beta2", "x02", "y02")
_ABOVE = {"S02": 0.0, "rc2": 0.0, "beta2": 1 / 6}
#: How often what a prior has below its limit is drawn anew.
_REDRAWN = 1000
#: How much wider than its posterior without a second the first component begins.
_WIDER = 1.2
#: Effective part of a population that a step leaves, and the most steps.
_EFFECTIVE, _MOST_STEPS = 0.5, 60
#: Sweeps of moves after each step, and after the last.
_SWEEPS, _LAST_SWEEPS = 2, 6
#: Sweeps between two populations that are kept.
_BETWEEN = 4
#: Points of a population, at least and at most.
_FEWEST, _MOST = 100, 500


@dataclass(frozen=True)
class SuperfluousSecond:
    """Two components, of which the second is hardly there."""

    coordinates: Coordinates
    priors: Sequence[Prior]
    #: Posterior of all others without it: mean, and a square root of the covariance.
    theta: Floats
    scale: Floats

    def draws(
        self, cells: Cells, populations: int, draws: int, rng: np.random.Generator
    ) -> tuple[Floats, Floats] | None:
        """Draw from the posterior; None if the populations don't get there.

        Parameters
        ----------
        cells
            Of the likelihood.
        populations, draws
            How many that know nothing of each other, and what each gives.

        Returns
        -------
        theta, log_density
            Shapes (populations, draws, parameters) and (populations, draws).
        """
        size = min(max(draws + draws % 2, _FEWEST), _MOST)  # in two halves
        one = _Population(self, cells, populations, size, rng)
        if not one.lead():
            return None
        one.move(_LAST_SWEEPS)
        kept = [one.shuffled()]
        while sum(theta.shape[1] for theta, _ in kept) < draws:
            one.move(_BETWEEN)
            kept.append(one.shuffled())
        theta, log_density = (np.concatenate(parts, axis=1) for parts in zip(*kept, strict=True))
        return theta[:, :draws], log_density[:, :draws]

    def begin(self, points: int, rng: np.random.Generator) -> Floats:
        """Points of the beginning, (parameters, points)."""
        theta = np.zeros((len(self.coordinates.layout.names), points))
        normal = rng.standard_normal((len(self.theta), points))
        theta[self._first] = self.theta[:, None] + _WIDER * self.scale @ normal
        theta[self._second] = self.of_prior(points, rng)
        return theta

    def log_begin(self, theta: Floats) -> Floats:
        """Log density of the beginning."""
        away = np.linalg.solve(_WIDER * self.scale, theta[self._first] - self.theta[:, None])
        return -0.5 * np.asarray((away**2).sum(axis=0)) + self._log_prior(theta)

    def log_density(self, theta: Floats, cells: Cells) -> Floats:
        """Log posterior density, the first component being the brighter one at its R."""
        coordinates = self.coordinates
        with np.errstate(all="ignore"):
            values, log_jacobian = coordinates.values_of_many(theta)
            found = log_prior_of_many(self.priors, values) + log_jacobian
            steepness = np.exp(theta[self._at("beta2")]) / 2
            ratio = coordinates.radius[0] / np.exp(theta[self._at("rc2")])
            second = theta[self._at("S02")] - steepness * np.log1p(ratio**2)
            usable = np.isfinite(found) & (second < theta[self._at("S0")])
            if coordinates.layout.offset:
                apart = np.hypot(*(values[-2:] - values[:2]))
                usable &= np.isfinite(apart)
            found = np.where(usable, found, -np.inf)
            u = coordinates.coefficients(values[:, usable])
            found[usable] += log_likelihoods(cells, u)
        return np.where(np.isfinite(found), found, -np.inf)

    def refreshed(
        self, theta: Floats, second: bool, rng: np.random.Generator
    ) -> tuple[Floats, Floats]:
        """The second component as in the beginning, or all but it.

        And the log ratio of the densities of the Metropolis move and its reverse.
        """
        which = self._second if second else self._first
        proposed = theta.copy()
        proposed[which] = self.begin(theta.shape[1], rng)[which]
        return proposed, self.log_begin(theta) - self.log_begin(proposed)

    @property
    def _second(self) -> NDArray[np.int64]:
        return np.array([i for i, n in enumerate(self.coordinates.layout.names) if n in _SECOND])

    @property
    def _first(self) -> NDArray[np.int64]:
        names = self.coordinates.layout.names
        return np.array([i for i, name in enumerate(names) if name not in _SECOND])

    def _at(self, name: str) -> int:
        return self.coordinates.layout.names.index(name)

    def of_prior(self, points: int, rng: np.random.Generator) -> Floats:
        """The second component's part of theta, from its prior: (parameters, points)."""
        rows = []
        for i in self._second:
            name = self.coordinates.layout.names[i]
            value = _drawn(name, self.priors[i], points, rng)
            if name == "beta2":
                rows.append(np.log(6 * value - 1))
            elif name in ("S02", "rc2"):
                rows.append(np.log(value))
            else:
                rows.append(value - self.coordinates.center[name == "y02"])
        return np.stack(rows)

    def _log_prior(self, theta: Floats) -> Floats:
        """Log density of what `of_prior` draws."""
        found = np.zeros(theta.shape[1])
        for i in self._second:
            name = self.coordinates.layout.names[i]
            if name == "beta2":
                steepness = np.exp(theta[i]) / 2
                value, log_jacobian = (0.5 + steepness) / 3, theta[i]
            elif name in ("S02", "rc2"):
                value, log_jacobian = np.exp(theta[i]), theta[i]
            else:
                value, log_jacobian = theta[i] + self.coordinates.center[name == "y02"], 0.0
            found = found + self.priors[i].log_density(value) + log_jacobian
        return found


class _Population:
    """Populations on their way from the beginning to the posterior."""

    def __init__(
        self,
        target: SuperfluousSecond,
        cells: Cells,
        populations: int,
        size: int,
        rng: np.random.Generator,
    ) -> None:
        self.target, self.cells, self.rng = target, cells, rng
        self.populations, self.size = populations, size
        self.theta = target.begin(populations * size, rng)
        self.begun = target.log_begin(self.theta)
        self.reached = target.log_density(self.theta, cells)
        self.power = 0.0

    def lead(self) -> bool:
        """Raise the power of the posterior from zero to one, each step as far as weights allow.

        Whether it got there.
        """
        for _ in range(_MOST_STEPS):
            gain = np.maximum(self.reached, -1e300) - self.begun
            gain = gain.reshape(self.populations, -1)
            step = 1 - self.power
            while step > 1e-9 and min(_effective(step * g) for g in gain) < _EFFECTIVE:
                step *= 0.8
            self.power += step
            self._choose(np.concatenate([
                k * self.size + self._resampled(step * one) for k, one in enumerate(gain)
            ]))  # fmt: skip
            if self.power >= 1 - 1e-12:
                self.power = 1.0
                return True
            self.move(_SWEEPS)
        return False

    def move(self, sweeps: int) -> None:
        """Metropolis moves at the present power."""
        for _ in range(sweeps):
            for second in (True, False):
                self._accept(*self.target.refreshed(self.theta, second, self.rng))
            for half in (0, 1):
                self._along(half)

    def shuffled(self) -> tuple[Floats, Floats]:
        """The points of each population in random order, and their log density."""
        theta = self.theta.reshape(-1, self.populations, self.size).transpose(1, 2, 0)
        log_density = self.reached.reshape(self.populations, self.size)
        order = self.rng.permuted(np.tile(np.arange(self.size), (self.populations, 1)), axis=1)
        return (
            np.take_along_axis(theta, order[..., None], axis=1),
            np.take_along_axis(log_density, order, axis=1),
        )

    def _along(self, half: int) -> None:
        """Move half of each population along differences within its other half."""
        place = np.arange(self.populations * self.size).reshape(self.populations, 2, -1)
        mine, theirs = place[:, half].ravel(), place[:, 1 - half]
        several = theirs.shape[1]
        first = self.rng.integers(several, size=(self.populations, several))
        second = (first + self.rng.integers(1, several, size=first.shape)) % several
        a, b = (np.take_along_axis(theirs, which, axis=1).ravel() for which in (first, second))
        size = len(self.theta)
        length = 2.38 / np.sqrt(2 * size) * np.exp(self.rng.uniform(-2.5, 0.4, mine.size))
        proposed = self.theta.copy()
        proposed[:, mine] += length * (self.theta[:, a] - self.theta[:, b])
        proposed[:, mine] += 1e-6 * self.rng.standard_normal((size, mine.size))
        self._accept(proposed, np.zeros(proposed.shape[1]), mine)

    def _accept(
        self, proposed: Floats, log_ratio: Floats, which: NDArray[np.int64] | None = None
    ) -> None:
        which = np.arange(proposed.shape[1]) if which is None else which
        new = proposed[:, which]
        begun = self.target.log_begin(new)
        reached = self.target.log_density(new, self.cells)
        q = self.power
        gain = q * (reached - self.reached[which]) + (1 - q) * (begun - self.begun[which])
        yes = np.log(self.rng.uniform(size=which.size)) < gain + log_ratio[which]
        moved = which[yes]
        self.theta[:, moved], self.begun[moved] = new[:, yes], begun[yes]
        self.reached[moved] = reached[yes]

    def _choose(self, which: NDArray[np.int64]) -> None:
        self.theta, self.begun = self.theta[:, which], self.begun[which]
        self.reached = self.reached[which]

    def _resampled(self, log_weight: Floats) -> NDArray[np.int64]:
        """Systematic resampling, in random order."""
        weight = np.exp(log_weight - log_weight.max())
        edges = np.cumsum(weight / weight.sum())
        places = (np.arange(self.size) + self.rng.uniform()) / self.size
        return self.rng.permutation(np.minimum(np.searchsorted(edges, places), self.size - 1))


def _effective(log_weight: Floats) -> float:
    """Effective part of a population with these weights."""
    weight = np.exp(log_weight - log_weight.max())
    return float(weight.sum() ** 2 / (weight**2).sum() / len(weight))


def _drawn(name: str, prior: Prior, points: int, rng: np.random.Generator) -> Floats:
    """Values of a parameter of the second component from its prior, above its limit."""
    value = prior.sample(rng, points)
    limit = _ABOVE.get(name, -np.inf)
    for _ in range(_REDRAWN):
        low = value <= limit
        if not low.any():
            return value
        value[low] = prior.sample(rng, int(low.sum()))
    raise DataError(f"prior {name}={prior}: hardly any of it is above {limit:.3g}")
