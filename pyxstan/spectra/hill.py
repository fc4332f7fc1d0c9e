"""The posterior density as a hill to climb: its height, gradient and expected information."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
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
    """A log density by its slope and its information at one point, in the coordinates that move."""

    origin: Floats
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
                total = total + one.log_likelihood(one.expected(values)).sum(axis=-1)
        if self.others is not None:
            total = total + self.others.heights(v)
        return np.asarray(np.nan_to_num(total, nan=NOWHERE, posinf=NOWHERE, neginf=NOWHERE))

    def parabolas(self, v: Floats) -> tuple[Parabola, list[Parabola]]:
        """The prior's and each spectrum's, in the moving coordinates."""
        size = len(self.moving)
        unit = np.eye(len(v))[self.moving]
        x, log_prior = self._values(np.concatenate([v + STEP * unit, v - STEP * unit, v[None]]))
        values = self.parameters.named(x)
        _, around = self._values(v + 0.1 * np.concatenate([unit, -unit]))
        curvature = -(around[:size] + around[size:] - 2 * log_prior[-1]) / 0.01
        slope = (log_prior[:size] - log_prior[size:-1]) / (2 * STEP)
        prior = Parabola(v, slope, np.diag(np.maximum(np.nan_to_num(curvature), 1e-3)))
        found = []
        with np.errstate(all="ignore"):
            for one in self.spectra:
                expected = one.expected(values)
                each = (expected[:size] - expected[size:-1]) / (2 * STEP)
                of_counts = likelihood.slope(one.statistic, one.binned, expected[-1])
                weight = likelihood.information(one.statistic, one.binned, expected[-1])
                information = (each * weight) @ each.T
                found.append(Parabola(v, *map(np.nan_to_num, (each @ of_counts, information))))
        return prior, found

    def slopes(self, v: Floats) -> tuple[Floats, Floats]:
        """Gradient and expected information at a point, in the moving coordinates."""
        prior, spectra = self.parabolas(v)
        slope = sum((one.slope for one in spectra), prior.slope)
        information = sum((one.information for one in spectra), prior.information)
        if (others := self.others) is not None:
            slope = slope + (others.slope - others.information @ (v - others.origin))[self.moving]
            information = information + others.information[np.ix_(self.moving, self.moving)]
        return slope, information

    def climb(self, v: Floats, laps: int = _LAPS) -> tuple[Floats, Floats, float]:
        """The top that is reached from a point, the information there, and its height.

        Fisher scoring with Levenberg and Marquardt's damping.
        """
        damping = 1e-3
        height = float(self.heights(v[None])[0])
        slope, information = self.slopes(v)
        for _ in range(laps):
            damped = information + damping * np.diag(np.diag(information) + 1e-12)
            step = np.zeros_like(v)
            step[self.moving] = np.linalg.solve(damped, slope)
            step *= min(1.0, _LONGEST / max(np.abs(step).max(), 1e-300))
            there = float(self.heights((v + step)[None])[0])
            if there > height - 1e-9:
                gain = there - height
                v, height = v + step, there
                damping = max(damping / 10, 1e-9)
                slope, information = self.slopes(v)
                if gain < 1e-5 and np.abs(step).max() < 1e-2:
                    break
            elif damping > 1e6:
                break
            else:
                damping *= 10
        return v, information, height

    def near(self, path: int, parabolas: list[Parabola]) -> Hill:
        """What has to do with a coordinate: the spectra that it changes, and what changes those.

        Of the others there are the parabolas alone: one a spectrum, all coordinates moving.
        """
        touches = np.array([np.diag(one.information) > 0 for one in parabolas])
        seen = touches[:, path]
        others = [one for one, inside in zip(parabolas, seen, strict=True) if not inside]
        rest = Parabola(
            parabolas[0].origin,
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
