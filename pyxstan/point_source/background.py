"""The background, from the data themselves: declinations and energies, right ascension being flat.

A season's events are nearly all background, and its detector turns under the sky: their density
does not depend on right ascension. In sin(dec) it is a smoothed histogram. Energies are
distributed by a smoothed histogram of the events at nearby declinations. For an event both are made
of the events in other sectors of right ascension: else a source's events, which stand together,
would count as their own background, and the stronger it is the more of them would be lost.

Where such events are rare, the distribution is that of a wider kernel in energy; where there are
none, it isn't zero but unknown below one event: one event (`floor`) spread over all bins is added.
How far apart signal and background can be, and with it the test statistic of a source whose events
are more energetic than any of the background's, depends on that floor: it is the most that the data
can say.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.data import EventSample

#: Width of the fine bins in sin(dec) that smoothing starts from.
_FINE = 0.004
#: Sectors of right ascension; an event's own and those beside it are left out.
SECTORS = 12
#: How much wider kernels in energy are, from which the shape at rare energies is taken, and below
#: how many events an energy is rare: chosen for ns without bias (docs/calibration.md).
_WIDER, _FEW = (3.0, 2.0, 1.0), 0.2


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
        Events that are added, spread over all of sin(dec); and to the distribution of energies,
        over all its bins.
    """

    declination: float = 0.02
    energy_declination: float = 0.03
    energy: float = 0.05
    floor: float = 1.0

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (np.isfinite(value) and (value > 0 or (name == "energy" and value == 0))):
                raise DataError(
                    f"smoothing of the background: {name} is {value:g}, expected above 0"
                )


@dataclass(frozen=True)
class Background:
    """Densities of one sample's background, for events in each sector of right ascension.

    Parameters
    ----------
    density
        Of sin(dec), at the middles of `_FINE` bins, shape (sectors, fine bins).
    energies
        Probabilities of the bins of energy, shape (sectors, some of the fine bins, bins).
    first
        The first of these fine bins.
    """

    density: Floats
    energies: Floats
    first: int = 0

    @classmethod
    def of(
        cls,
        sample: EventSample,
        edges: Floats,
        smoothing: Smoothing,
        sin_dec: tuple[float, float] = (-1.0, 1.0),
    ) -> Background:
        """That of a sample's events, with energies in bins of these edges (log10 of GeV).

        Energies are asked for between two ends of `sin_dec` alone.
        """
        fine = round(2.0 / _FINE)
        shape = (SECTORS, fine, len(edges) - 1)
        places = (
            sector(sample.ra),
            fine_bin(np.sin(sample.dec)),
            energy_bin(sample.log10_energy, edges),
        )
        at = np.ravel_multi_index(places, shape)
        counts = np.bincount(at, minlength=int(np.prod(shape))).reshape(shape).astype(float)
        density = _smoothed(_of_others(counts.sum(axis=2)), smoothing.declination / _FINE)
        density += smoothing.floor / density.shape[1]  # nowhere nothing
        density /= density.sum(axis=1, keepdims=True) * _FINE
        width = smoothing.energy_declination / _FINE
        first, last = map(int, fine_bin(np.array(sin_dec)))
        start, end = max(0, first - _reach(width)), min(fine, last + 1 + _reach(width))
        smooth = _smoothed(_of_others(counts[:, start:end]), width)
        # as many events as the kernel takes together, not their mean
        together = smooth[:, first - start : last + 1 - start] * max(
            1.0, width * np.sqrt(4.0 * np.pi)
        )
        total = np.maximum(together.sum(axis=2, keepdims=True), 1.0)
        in_bins = smoothing.energy / (edges[1] - edges[0])
        flat = np.full(shape[2], 1.0 / shape[2])
        energies = (_along_energies(together, _WIDER[0] * in_bins) + smoothing.floor * flat) / (
            total + smoothing.floor
        )
        for wider in _WIDER[1:]:
            # where few events are seen, as in the wider kernel
            seen = _along_energies(together, wider * in_bins)
            energies = seen / total + _FEW / (seen + _FEW) * energies
            energies /= energies.sum(axis=2, keepdims=True)
        return cls(density, energies, first)

    def at(self, ra: Floats, sin_dec: Floats) -> Floats:
        """Density on the sky, per steradian."""
        place = (sin_dec + 1.0) / _FINE - 0.5
        below = np.clip(np.floor(place).astype(np.int64), 0, self.density.shape[1] - 2)
        part = np.clip(place - below, 0.0, 1.0)
        rows = sector(ra)
        low, high = self.density[rows, below], self.density[rows, below + 1]
        return np.asarray((low + part * (high - low)) / (2.0 * np.pi))

    def energy(self, ra: Floats, sin_dec: Floats, bin_: Integers) -> Floats:
        """Probability of an event's bin of energy, given its place."""
        place = sector(ra), fine_bin(sin_dec) - self.first, bin_
        # which refuses what is beyond the ends
        return np.asarray(self.energies.ravel()[np.ravel_multi_index(place, self.energies.shape)])


def _along_energies(events: Floats, width: float) -> Floats:
    """Smoothed along energies; width in bins."""
    if width == 0:
        return events
    return np.asarray(gaussian_filter1d(events, width, axis=2, mode="constant"))


def sector(ra: Floats) -> Integers:
    """The sector of a right ascension (rad)."""
    return np.floor(ra * (SECTORS / (2.0 * np.pi))).astype(np.int64) % SECTORS


def fine_bin(sin_dec: Floats) -> Integers:
    """The fine bin of a declination."""
    fine = round(2.0 / _FINE)
    return np.clip(((sin_dec + 1.0) / _FINE).astype(np.int64), 0, fine - 1)


def energy_bin(log10_energy: Floats, edges: Floats) -> Integers:
    """The bin of a reconstructed energy, the outermost ones beyond the ends."""
    return np.asarray(np.searchsorted(edges[1:-1], log10_energy, side="right"))


def _of_others(counts: Floats) -> Floats:
    """For each sector, what all but itself and its neighbours have."""
    near = counts + np.roll(counts, 1, axis=0) + np.roll(counts, -1, axis=0)
    return np.asarray(counts.sum(axis=0) - near)


def _smoothed(counts: Floats, width: float) -> Floats:
    """By a Gaussian along declinations, reflected at the poles."""
    found = gaussian_filter1d(counts, width, axis=1, mode="reflect", radius=_reach(width))
    return np.asarray(found)


def _reach(width: float) -> int:
    """How many fine bins away it counts."""
    return round(5.0 * width)
