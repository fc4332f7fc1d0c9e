"""The background, from the data themselves: declinations and energies, right ascension being flat.

A season's events are nearly all background, and its detector turns under the sky: their density
does not depend on right ascension. In sin(dec) it is a smoothed histogram. Energies are
distributed by a smoothed histogram of the events at nearby declinations; where there are none the
distribution isn't zero but unknown below one event: one event (`floor`) spread over all bins is
added. How far apart signal and background can be, and with it the test statistic of a source
whose events are more energetic than any of the background's, depends on that floor: it is the
most that the data can say.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.data import EventSample

#: Width of the fine bins in sin(dec) that smoothing starts from.
_FINE = 0.004


@dataclass(frozen=True)
class Smoothing:
    """How the background is smoothed.

    Parameters
    ----------
    declination
        Standard deviation of the kernel of the density, in sin(dec).
    energy_declination
        That of the distribution of energies, in sin(dec).
    energy
        That of the distribution of energies, in log10 of the energy.
    floor
        Events that are added to the distribution of energies, spread over all its bins.
    """

    declination: float = 0.02
    energy_declination: float = 0.03
    energy: float = 0.05
    floor: float = 1.0


@dataclass(frozen=True)
class Background:
    """Densities of one sample's background.

    Parameters
    ----------
    density
        Of sin(dec), at the middles of `_FINE` bins.
    energies
        Probabilities of the bins of energy, shape (fine bins, bins).
    """

    density: Floats
    energies: Floats

    @classmethod
    def of(cls, sample: EventSample, edges: Floats, smoothing: Smoothing) -> Background:
        """That of a sample's events, with energies in bins of these edges (log10 of GeV)."""
        fine = round(2.0 / _FINE)
        bins = len(edges) - 1
        row = fine_bin(np.sin(sample.dec))
        counts = np.zeros((fine, bins))
        np.add.at(counts, (row, energy_bin(sample.log10_energy, edges)), 1.0)
        density = _smoothed(counts.sum(axis=1), smoothing.declination / _FINE)
        density /= density.sum() * _FINE
        # as many events as the kernel takes together, not their mean
        wide = smoothing.energy_declination / _FINE
        together = _smoothed(counts, wide) * max(1.0, wide * np.sqrt(4.0 * np.pi))
        step = edges[1] - edges[0]
        if smoothing.energy > 0:
            together = gaussian_filter1d(together, smoothing.energy / step, axis=1, mode="constant")
        together += smoothing.floor / bins
        return cls(density, together / together.sum(axis=1, keepdims=True))

    def at(self, sin_dec: Floats) -> Floats:
        """Density on the sky, per steradian."""
        middles = _FINE * (np.arange(len(self.density)) + 0.5) - 1.0
        return np.asarray(np.interp(sin_dec, middles, self.density) / (2.0 * np.pi))

    def energy(self, sin_dec: Floats, bin_: Integers) -> Floats:
        """Probability of an event's bin of energy, given its declination."""
        return np.asarray(self.energies[fine_bin(sin_dec), bin_])


def fine_bin(sin_dec: Floats) -> Integers:
    """The fine bin of a declination."""
    fine = round(2.0 / _FINE)
    return np.clip(((sin_dec + 1.0) / _FINE).astype(np.int64), 0, fine - 1)


def energy_bin(log10_energy: Floats, edges: Floats) -> Integers:
    """The bin of a reconstructed energy, the outermost ones beyond the ends."""
    return np.asarray(np.searchsorted(edges[1:-1], log10_energy, side="right"))


def _smoothed(counts: Floats, width: float) -> Floats:
    """By a Gaussian along the first axis, reflected at the poles."""
    return np.asarray(gaussian_filter1d(counts, width, axis=0, mode="reflect", truncate=6.0))
