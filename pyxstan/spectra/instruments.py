"""Responses of our own making, for simulations: like those of known instruments, but smooth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse, special

from pyxstan.spectra.response import Response
from pyxstan.spectra.statistics import Floats

#: Of a photon, what is redistributed beyond so many standard deviations is left out.
_FARTHEST = 6.0


@dataclass(frozen=True)
class Instrument:
    """Energies, area and resolution."""

    #: keV: ends of the energies, and how many bins there are.
    low: float
    high: float
    bins: int
    channels: int
    #: cm^2 at the peak, and keV: between which energies the area is at least half of that.
    area: float
    rise: float
    fall: float
    #: Standard deviation in keV at 1 keV, and the power of energy that it grows with.
    width: float
    growth: float = 0.5
    logarithmic: bool = False

    def response(self) -> Response:
        """The response."""
        space = np.geomspace if self.logarithmic else np.linspace
        edges = space(self.low, self.high, self.bins + 1)
        bounds = space(self.low, self.high, self.channels + 1)
        energy = 0.5 * (edges[1:] + edges[:-1])
        sd = self.width * energy**self.growth
        below = special.ndtr((bounds[:, None] - energy) / sd)
        matrix = np.diff(below, axis=0)
        middle = 0.5 * (bounds[1:] + bounds[:-1])
        matrix[np.abs(middle[:, None] - energy) > _FARTHEST * sd] = 0.0
        return Response(
            energy_low=edges[:-1],
            energy_high=edges[1:],
            channel_low=bounds[:-1],
            channel_high=bounds[1:],
            first_channel=1,
            matrix=sparse.csr_array(matrix),
            area=self._area(energy),
            source=("simulated response",),
        )

    def _area(self, energy: Floats) -> Floats:
        rise = special.expit(4 * np.log(energy / self.rise))
        return np.asarray(self.area * rise * special.expit(-4 * np.log(energy / self.fall)))


INSTRUMENTS = {
    "chandra_like": Instrument(0.3, 11.0, 1070, 700, 600.0, 0.8, 6.0, 0.04),
    "nustar_like": Instrument(3.0, 80.0, 800, 400, 800.0, 4.0, 40.0, 0.17, 0.2),
    "gbm_like": Instrument(
        8.0, 40_000.0, 140, 128, 120.0, 20.0, 2000.0, 0.9, 0.6, logarithmic=True
    ),
}
