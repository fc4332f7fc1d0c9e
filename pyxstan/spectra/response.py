"""The response of an instrument: how photons of each energy become counts in each channel.

Expected counts in channel c of an exposure t are

    t  sum_j  R_cj A_j  int_{bin j} f(E) dE,

with the redistribution R (an RMF file), the effective area A in cm^2 (an ARF file) and the photon
flux f in photons/s/cm^2/keV. An RSP file has R and A in one matrix.

Source: George et al. 1992 (OGIP memo CAL/GEN/92-002) and 92-002a.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra.fits_tables import Floats

#: A sparse matrix by rows.
Sparse: TypeAlias = "sparse.csr_array[np.float64, tuple[int, int]]"


@dataclass(frozen=True, eq=False)
class Response:
    """How photons of each energy become counts in each channel.

    Parameters
    ----------
    energy_low, energy_high
        Bounds of the J energy bins, keV.
    channel_low, channel_high
        Nominal bounds of the C channels, keV (they may descend, as those of gratings do).
    first_channel
        Number of the first channel.
    matrix
        Redistribution, shape (C, J), an array or any sparse matrix: the probability that a photon
        of bin j is counted in channel c; in cm^2 where the effective area is folded in.
    area
        Effective area of each energy bin, cm^2, shape (J,); ones where the matrix holds it.
    source
        File names, for messages.
    notes
        What was decided on reading.

    Raises
    ------
    DataError
        Shapes that don't match, bounds that are not finite or upside down, energies that do not
        ascend, a matrix that is not finite.
    """

    energy_low: Floats
    energy_high: Floats
    channel_low: Floats
    channel_high: Floats
    first_channel: int
    matrix: Sparse
    area: Floats
    source: tuple[str, ...] = ("response",)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = ("energy_low", "energy_high", "channel_low", "channel_high", "area")
        for name in names:
            object.__setattr__(self, name, np.array(getattr(self, name), dtype=np.float64))
        file = self.source[0]
        try:
            matrix = sparse.csr_array(self.matrix).astype(np.float64)
        except (TypeError, ValueError):
            raise DataError(f"{file}: the matrix is no matrix of numbers") from None
        object.__setattr__(self, "matrix", matrix)
        shapes = [np.shape(getattr(self, name)) for name in names]
        if shapes[0] != shapes[1] or shapes[0] != shapes[4] or shapes[2] != shapes[3]:
            raise DataError(f"{file}: {', '.join(names)} have the shapes {shapes}")
        if self.matrix.shape != (*shapes[2], *shapes[0]):
            raise DataError(
                f"{file}: a matrix of shape {self.matrix.shape}, expected channels, energies = "
                f"{(*shapes[2], *shapes[0])}"
            )
        _check_energies(self.energy_low, self.energy_high, file)
        _check_channels(self.channel_low, self.channel_high, file)
        if not np.all(np.isfinite(self.matrix.data)):
            raise DataError(f"{file}: the matrix has a number that is not finite")
        check_area(self.area, self.source[-1])

    @property
    def channels(self) -> int:
        """How many channels there are."""
        return len(self.channel_low)

    @classmethod
    def read(
        cls, rmf: str | os.PathLike[str], arf: str | os.PathLike[str] | None = None
    ) -> Response:
        """Read a response from OGIP files, which may be compressed.

        Parameters
        ----------
        rmf
            RMF or RSP file. Of several matrices in it, ``file.rsp{2}`` is the second;
            ``file.rsp[3]`` and ``file.rsp[NAME]`` are extensions, as CFITSIO counts and names them.
        arf
            ARF file, on the same energies (to 1e-5; its own are taken).

        Raises
        ------
        DataError
            A file that can't be read or lacks a table, a column or a unit that is known; channels
            out of range; energies of the two files that differ; an ARF for a matrix that holds the
            effective area already; several matrices that are no parts of one response. The message
            names the file and the row.

        Notes
        -----
        Where ``HDUCLAS3`` is ``REDIST`` or ``DETECTOR`` a matrix needs an ARF, where it is ``FULL``
        it has none; where there is neither, a matrix called ``MATRIX`` has no effective area in it
        (unless it is in cm2), one called ``SPECRESP MATRIX`` has. Several matrices are added, on
        the energy bins that they make together, unless they differ in time, detector or order.

        Channels count from ``TLMIN`` of the column ``F_CHAN``; without it from 1, or from where
        every group fits. An energy of 0 is taken as 1e-10 keV, where power laws are finite, as
        Sherpa does. Energies may descend; bins of no width are left out, gaps between bins filled.
        """
        from pyxstan.spectra.response_files import read_response

        return read_response(rmf, arf)


def check_area(area: Floats, file: str) -> None:
    """Refuse an effective area that is not finite or negative."""
    bad = np.flatnonzero(~(np.isfinite(area) & (area >= 0)))
    if len(bad):
        raise DataError(
            f"{file}: row {bad[0] + 1}: effective area {area[bad[0]]:g}, expected 0 cm2 or more"
        )


def _check_energies(low: Floats, high: Floats, file: str) -> None:
    bad = ~((low >= 0) & (high > low) & np.isfinite(high))
    bad[1:] |= low[1:] < low[:-1]
    if np.any(bad):
        row = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"{file}: row {row + 1}: energies {low[row]:g} to {high[row]:g} keV, "
            "expected them to ascend from 0"
        )


def _check_channels(low: Floats, high: Floats, file: str) -> None:
    bad = np.flatnonzero(~(np.isfinite(low) & np.isfinite(high) & (high >= low)))
    if len(bad):
        raise DataError(
            f"{file}: EBOUNDS row {bad[0] + 1}: {low[bad[0]]:g} to {high[bad[0]]:g} keV, "
            "expected E_MIN below E_MAX"
        )
