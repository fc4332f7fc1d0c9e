"""When a source may have shone: a box or a Gaussian in time, within the detector's uptimes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats

#: Standard deviations of a Gaussian beyond which nothing of it is left.
_REACH = 5.0


@dataclass(frozen=True)
class TimeWindow:
    """Times at which a source shines.

    Parameters
    ----------
    start, end
        Of a box (MJD, days); of a Gaussian, its mean less and plus one standard deviation.
    gaussian
        Whether it is a Gaussian.
    """

    start: float
    end: float
    gaussian: bool = False

    def __post_init__(self) -> None:
        if not (np.isfinite(self.start) and np.isfinite(self.end) and self.start < self.end):
            raise DataError(
                f"time window {self.start:g} to {self.end:g}: expected MJD, the start first"
            )

    def __str__(self) -> str:
        start, end = float(self.start), float(self.end)
        middle, sd = 0.5 * (start + end), 0.5 * (end - start)
        return f"gaussian({middle!r}, {sd!r})" if self.gaussian else f"{start!r}, {end!r}"

    def density(self, mjd: Floats, uptimes: Floats) -> Floats:
        """Probability per day of a signal's time, given that the detector is up then.

        Zero where it is never up in the window.

        Parameters
        ----------
        uptimes
            Starts and ends (MJD), shape (intervals, 2).
        """
        within = self._up(uptimes[:, 0], uptimes[:, 1]).sum()
        if not within > 0:
            return np.zeros(np.shape(mjd))
        if self.gaussian:
            middle, sd = 0.5 * (self.start + self.end), 0.5 * (self.end - self.start)
            return np.asarray(norm.pdf(mjd, middle, sd) / within)
        return np.where((mjd >= self.start) & (mjd < self.end), 1.0 / within, 0.0)

    def days(self, uptimes: Floats) -> float:
        """Days of uptime in a box; of a Gaussian as many as would see as much at its peak."""
        up = float(self._up(uptimes[:, 0], uptimes[:, 1]).sum())
        return up * 0.5 * (self.end - self.start) * np.sqrt(2.0 * np.pi) if self.gaussian else up

    def draw(self, count: int, uptimes: Floats, rng: np.random.Generator) -> Floats:
        """Times of a signal (MJD) while the detector is up."""
        parts = self._up(uptimes[:, 0], uptimes[:, 1])
        chosen = rng.choice(len(parts), count, p=parts / parts.sum())
        low, high = uptimes[chosen].T
        if not self.gaussian:
            low, high = np.maximum(low, self.start), np.minimum(high, self.end)
            return np.asarray(rng.uniform(low, high))
        middle, sd = 0.5 * (self.start + self.end), 0.5 * (self.end - self.start)
        below, above = (norm.cdf(ends, middle, sd) for ends in (low, high))
        return np.asarray(norm.ppf(rng.uniform(below, above), middle, sd))

    def holds(self, mjd: Floats) -> np.ndarray:
        """Whether times are in the box, or within five standard deviations of a Gaussian's mean."""
        if not self.gaussian:
            return np.asarray((mjd >= self.start) & (mjd < self.end))
        middle, sd = 0.5 * (self.start + self.end), 0.5 * (self.end - self.start)
        return np.asarray(np.abs(mjd - middle) < _REACH * sd)

    def _up(self, start: Floats, end: Floats) -> Floats:
        """The part of the window (a Gaussian), or the days of it (a box), that are up."""
        if self.gaussian:
            middle, sd = 0.5 * (self.start + self.end), 0.5 * (self.end - self.start)
            return np.asarray(norm.cdf(end, middle, sd) - norm.cdf(start, middle, sd))
        overlap = np.minimum(end, self.end) - np.maximum(start, self.start)
        return np.asarray(np.maximum(overlap, 0.0))
