"""The posterior density as a hill to climb: its height, gradient and expected information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

from pyxstan.spectra import likelihood
from pyxstan.spectra.folding import Floats, Folded
from pyxstan.spectra.parameters import Parameters

#: Laps of a climb, its longest step, and the step of finite differences.
_LAPS, _LONGEST, STEP = 60, 2.0, 1e-4
#: Log density of what can't be.
NOWHERE = -1e300


@dataclass(frozen=True, eq=False)
class Parabola:
    """A log density by its height, slope and information at a point, where coordinates move."""

    origin: Floats
    height: float
    slope: Floats
    information: Floats

    def heights(self, v: Floats) -> Floats:
        """Less the one at the origin, for v of shape (points, free)."""
        away = v - self.origin
        return np.asarray(away @ self.slope - 0.5 * np.sum((away @ self.information) * away, -1))


@dataclass(frozen=True, eq=False)
class Hill:
    """The log posterior density, up to a constant, in the coordinates of `Parameters.spread`."""

    parameters: Parameters
    spectra: list[Folded]
    #: Coordinates that may change.
    moving: NDArray[np.int64]
    #: Of spectra that are left out.
    others: Parabola | None = None

    def heights(self, v: Floats) -> Floats:
        """Of each point, shape (points, free); `NOWHERE` where there is no density."""
        x, total = self._values(v)
        values = self.parameters.named(x)
        with np.errstate(all="ignore"):
            for one in self.spectra:
                total = total + _log_likelihood(one, one.expected(values))
        if self.others is not None:
            total = total + self.others.heights(v)
        return _somewhere(total)

    def parabolas(self, v: Floats) -> tuple[Parabola, list[Parabola]]:
        """The prior's and each spectrum's, in the moving coordinates."""
        size = len(self.moving)
        unit = np.eye(len(v))[self.moving]
        steps = np.concatenate([STEP * unit, -STEP * unit, np.zeros_like(v[None])])
        wide = 0.1 * np.concatenate([unit, -unit])
        x, log_prior = self._values(v + np.concatenate([steps, wide]))
        values = self.parameters.named(x[: len(steps)])
        around, height = log_prior[len(steps) :], log_prior[2 * size]
        curvature = -(around[:size] + around[size:] - 2 * height) / 0.01
        slope = (log_prior[:size] - log_prior[size : 2 * size]) / (2 * STEP)
        information = np.diag(np.maximum(np.nan_to_num(curvature), 1e-3))
        prior = Parabola(v, float(height), slope, information)
        found = []
        with np.errstate(all="ignore"):
            for one in self.spectra:
                expected = one.expected(values)
                each = (expected[:size] - expected[size:-1]) / (2 * STEP)
                of_counts = likelihood.slope(one.statistic, one.binned, expected[-1])
                weight = likelihood.information(one.statistic, one.binned, expected[-1])
                slope, information = each @ of_counts, (each * weight) @ each.T
                height = _log_likelihood(one, expected[-1])
                found.append(Parabola(v, float(height), *map(np.nan_to_num, (slope, information))))
        return prior, found

    def parabola(self, v: Floats) -> Parabola:
        """All of them together."""
        prior, spectra = self.parabolas(v)
        each = [prior, *spectra]
        height = sum(one.height for one in each)
        slope = sum((one.slope for one in spectra), prior.slope)
        information = sum((one.information for one in spectra), prior.information)
        if (others := self.others) is not None:
            height += float(others.heights(v))
            slope = slope + (others.slope - others.information @ (v - others.origin))[self.moving]
            information = information + others.information[np.ix_(self.moving, self.moving)]
        return Parabola(v, float(_somewhere(height)), slope, information)

    def climb(self, v: Floats, laps: int = _LAPS) -> Parabola:
        """The parabola at the top that is reached from a point.

        Fisher scoring with Levenberg and Marquardt's damping.
        """
        damping = 1e-3
        here = self.parabola(v)
        for _ in range(laps):
            damped = here.information + damping * np.diag(np.diag(here.information) + 1e-12)
            step = np.zeros_like(v)
            step[self.moving] = np.linalg.solve(damped, here.slope)
            step *= min(1.0, _LONGEST / max(np.abs(step).max(), 1e-300))
            there = self.parabola(here.origin + step)
            gain = there.height - here.height
            if gain > -1e-9:
                here = there
                damping = max(damping / 10, 1e-9)
                if gain < 1e-5 and np.abs(step).max() < 1e-2:
                    break
            elif damping > 1e6:
                break
            else:
                damping *= 10
        return here

    def near(self, path: int, parabolas: list[Parabola]) -> Hill:
        """What has to do with a coordinate: the spectra that it changes, and what changes those.

        Of the others there are the parabolas alone: one a spectrum, all coordinates moving.
        """
        touches = np.array([np.diag(one.information) > 0 for one in parabolas])
        seen = touches[:, path]
        others = [one for one, inside in zip(parabolas, seen, strict=True) if not inside]
        rest = Parabola(
            parabolas[0].origin,
            0.0,
            sum((one.slope for one in others), np.zeros(self.parameters.free)),
            sum((one.information for one in others), np.zeros((self.parameters.free,) * 2)),
        )
        moving = self.moving[touches[seen].any(axis=0)[self.moving] & (self.moving != path)]
        spectra = [one for one, inside in zip(self.spectra, seen, strict=True) if inside]
        return Hill(self.parameters, spectra, moving, rest)

    def _values(self, v: Floats) -> tuple[Floats, Floats]:
        with np.errstate(all="ignore"):
            u, log_jacobian = self.parameters.spread(v)
            x, log_prior = self.parameters.values(u)
            return x, log_prior + log_jacobian


def _log_likelihood(one: Folded, expected: Floats) -> Floats:
    """Of all groups, less that of a model that fits each exactly."""
    statistic = likelihood.statistic(one.statistic, one.binned, expected)
    return np.asarray(-0.5 * statistic.sum(axis=-1))


def _somewhere(heights: npt.ArrayLike) -> Floats:
    return np.asarray(np.nan_to_num(heights, nan=NOWHERE, posinf=NOWHERE, neginf=NOWHERE))
