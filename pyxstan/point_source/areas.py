"""Effective areas, and what a source's spectrum makes of them: acceptance and energies.

A source with the spectrum E^-gamma is seen as A(E, dec) E^-gamma events by time and true energy.
The integral is its acceptance; their distribution over bins of reconstructed energy is the signal's
part of the likelihood. Areas are constant within the cells of their tables, for which the integrals
are exact. With a smearing matrix true energies are spread over reconstructed ones; without it a
reconstructed energy is taken for the true one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats, Integers, integral_of_power

_CM2_IN_M2 = 1e4
#: How far beyond the outermost cell a sin(dec) may be by rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Smearing:
    """Distribution of reconstructed energies, by true energy and declination.

    Parameters
    ----------
    log10_energy
        Edges of the true energies, log10 of GeV, rising, shape (energies + 1,).
    sin_dec
        Edges of the declinations, rising, shape (declinations + 1,).
    cell
        Of each entry, its declination and energy, shape (entries, 2).
    reconstructed
        Of each entry, the ends of its bin of reconstructed energy (log10 of GeV), (entries, 2).
    fraction
        Of each entry, the part of the cell's events in that bin, shape (entries,).
    """

    log10_energy: Floats
    sin_dec: Floats
    cell: Integers
    reconstructed: Floats
    fraction: Floats
    source: str = "smearing"

    def onto(self, edges: Floats) -> Floats:
        """Probabilities of bins of reconstructed energy, shape (declinations, energies, bins).

        What lies beyond the outermost edges counts to the outermost bins.
        """
        low, high = self.reconstructed.T
        inner = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
        share = np.clip((inner - low[:, None]) / (high - low)[:, None], 0.0, 1.0)
        shape = (len(self.sin_dec) - 1, len(self.log10_energy) - 1, len(edges) - 1)
        found = np.zeros(shape)
        np.add.at(found, tuple(self.cell.T), self.fraction[:, None] * np.diff(share, axis=1))
        total = found.sum(axis=2, keepdims=True)
        return np.asarray(np.divide(found, total, out=np.zeros_like(found), where=total > 0))


@dataclass(frozen=True)
class EffectiveArea:
    """Effective area by true energy and declination, constant within cells.

    Parameters
    ----------
    log10_energy
        Edges of the cells, log10 of GeV, rising, shape (energies + 1,).
    sin_dec
        Edges of the cells, rising, shape (declinations + 1,).
    area
        In m^2, shape (declinations, energies).
    source
        Where it comes from, for messages.
    notes
        What was decided in reading it.
    """

    log10_energy: Floats
    sin_dec: Floats
    area: Floats
    source: str = "effective area"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = (len(self.sin_dec) - 1, len(self.log10_energy) - 1)
        if self.area.shape != shape:
            raise DataError(f"{self.source}: areas of shape {self.area.shape}, expected {shape}")
        for name in ("log10_energy", "sin_dec"):
            edges = getattr(self, name)
            if len(edges) < 2 or not (np.diff(edges) > 0).all():
                raise DataError(f"{self.source}: the edges of {name} don't rise")
        if not (np.isfinite(self.area).all() and (self.area >= 0).all()):
            raise DataError(f"{self.source}: areas must be finite and not negative")
        if not (self.area > 0).any():
            raise DataError(f"{self.source}: every area is zero")

    def cell(self, sin_dec: Floats | float) -> Integers:
        """The cell of a declination: that above an edge; beyond the ends the outermost."""
        return np.asarray(np.searchsorted(self.sin_dec[1:-1], sin_dec, side="right"))

    def some(self, sin_dec: Floats) -> np.ndarray:
        """Whether any energy is accepted at declinations; beyond the cells none is."""
        nearest = np.clip(sin_dec, self.sin_dec[0], self.sin_dec[-1])
        covered = np.abs(sin_dec - nearest) <= _ROUNDING
        seen = np.any(self.area > 0, axis=1)[self.cell(sin_dec)]
        return np.asarray(np.logical_and(covered, seen))

    def acceptance(
        self, sin_dec: Floats | float, gamma: Floats | float, pivot: float = 1.0
    ) -> Floats:
        """Integral of A(E) (E / pivot)^-gamma dE.

        Parameters
        ----------
        sin_dec
            Sines of declinations; beyond the cells nothing is accepted.
        gamma
            Spectral indices.
        pivot
            In GeV.

        Returns
        -------
        Floats
            In cm^2 GeV, shape of `sin_dec` and `gamma` broadcast together.
        """
        sin_dec, gamma = np.broadcast_arrays(np.asarray(sin_dec, float), np.asarray(gamma, float))
        gammas, which = np.unique(gamma, return_inverse=True)
        low, high = self.log10_energy[:-1, None], self.log10_energy[1:, None]
        of_cells = _CM2_IN_M2 * self.area @ integral_of_power(low, high, gammas, pivot)
        found = of_cells[self.cell(sin_dec), which.reshape(gamma.shape)]
        return np.where(self.some(sin_dec), found, 0.0)

    def part_beyond(self, low: float, high: float, gamma: float) -> float:
        """The largest part, of all declinations, that true energies beyond two (log10) have."""
        ends = np.clip(self.log10_energy, low, high)
        within, whole = (
            self.area @ integral_of_power(edges[:-1], edges[1:], gamma, 1e3)
            for edges in (ends, self.log10_energy)
        )
        return float(1.0 - (within[whole > 0] / whole[whole > 0]).min())

    def energies(self, edges: Floats, gammas: Floats, smearing: Smearing | None = None) -> Floats:
        """Probabilities of bins of reconstructed energy, shape (declinations, bins, gammas).

        What lies beyond the outermost edges counts to the outermost bins.
        """
        ends = np.concatenate([[-np.inf], edges[1:-1], [np.inf]])
        true = ends if smearing is None else smearing.log10_energy
        low = np.maximum(self.log10_energy[:-1, None], true[None, :-1])
        high = np.minimum(self.log10_energy[1:, None], true[None, 1:])
        each = np.zeros((*low.shape, len(gammas)))
        overlaps = high > low
        each[overlaps] = integral_of_power(low[overlaps, None], high[overlaps, None], gammas, 1e3)
        found = np.einsum("de,ebg->dbg", self.area, each)
        if smearing is not None:
            middles = 0.5 * (self.sin_dec[1:] + self.sin_dec[:-1])
            row = np.searchsorted(smearing.sin_dec[1:-1], middles, side="right")
            found = np.einsum("dtg,dtb->dbg", found, smearing.onto(edges)[row])
        total = found.sum(axis=1, keepdims=True)
        return np.asarray(np.divide(found, total, out=np.zeros_like(found), where=total > 0))
