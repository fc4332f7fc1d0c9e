"""Spectra and responses as OGIP files, which Sherpa and XSPEC read.

A file is whole or not there: it is written beside its name and renamed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.output import replacing
from pyxstan.spectra.fits_tables import Floats, Ints
from pyxstan.spectra.response import Response, Sparse
from pyxstan.spectra.spectrum import Spectrum

#: What OGIP wants to know of the instrument, where nothing is known.
_INSTRUMENT = {"TELESCOP": "UNKNOWN", "INSTRUME": "UNKNOWN", "FILTER": "NONE"}
_LARGEST_INTEGER = 2**31 - 1


def write_spectrum(
    spectrum: Spectrum,
    path: str | os.PathLike[str],
    *,
    background: str | None = None,
    rmf: str | None = None,
    arf: str | None = None,
) -> Path:
    """Write a spectrum as an OGIP PHA file of type I.

    Parameters
    ----------
    spectrum
        Counts, with errors if they are not Poisson's; grouping and quality. Its background and its
        response are files of their own (`write_response`); the noticed ranges are not written.
    path
        File to write; one that is there is replaced.
    background, rmf, arf
        Names of files to write as ``BACKFILE``, ``RESPFILE`` and ``ANCRFILE``, relative to the
        folder of `path`.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    DataError
        It can't be written; a file that was there is unharmed.
    """
    size = len(spectrum.counts)
    columns = [_column("CHANNEL", spectrum.channel)]
    if spectrum.poisson and np.all(spectrum.counts <= _LARGEST_INTEGER):
        columns.append(_column("COUNTS", spectrum.counts.astype(np.int64), "count"))
    else:
        columns.append(_column("COUNTS", spectrum.counts, "count"))
    if spectrum.errors is not None:
        columns.append(_column("STAT_ERR", spectrum.errors, "count"))
    keywords: dict[str, Any] = {
        **_INSTRUMENT,
        "EXPOSURE": float(spectrum.exposure),
        "BACKFILE": background or "none",
        "RESPFILE": rmf or "none",
        "ANCRFILE": arf or "none",
        "CORRFILE": "none",
        "CORRSCAL": 1.0,
        "CHANTYPE": "PI",
        "DETCHANS": size,
        "POISSERR": spectrum.poisson,
        "SYS_ERR": 0,
    }
    for name in ("BACKSCAL", "AREASCAL"):
        values = getattr(spectrum, name.lower())
        if np.all(values == values[0]):
            keywords[name] = float(values[0])
        else:
            columns.append(_column(name, values))
    for name in ("QUALITY", "GROUPING"):
        values = getattr(spectrum, name.lower())
        if np.any(values):
            columns.append(_column(name, values))
        else:
            keywords[name] = 0
    classes = ("SPECTRUM", "TOTAL", "COUNT", "TYPE:I")
    hdu = _table("SPECTRUM", columns, classes, "1.2.1", keywords)
    hdu.header["TLMIN1"] = int(spectrum.channel[0])
    hdu.header["TLMAX1"] = int(spectrum.channel[-1])
    return _written(Path(path), [hdu])


def write_response(
    response: Response,
    rmf: str | os.PathLike[str],
    arf: str | os.PathLike[str] | None = None,
) -> tuple[Path, ...]:
    """Write a response as an RMF and an ARF file, or as one RSP file.

    Parameters
    ----------
    response
        What to write.
    rmf
        File of the redistribution; without `arf` the effective area is folded in (an RSP file).
    arf
        File of the effective area.

    Returns
    -------
    tuple
        The files.

    Raises
    ------
    DataError
        They can't be written; files that were there are unharmed.
    """
    if arf is not None and Path(arf).resolve() == Path(rmf).resolve():
        raise DataError(f"{arf}: RMF and ARF, expected two files")
    matrix = response.matrix
    if arf is None:
        matrix = (matrix @ sparse.diags_array(response.area)).tocsr()
    hdus = [_matrix(response, matrix, with_area=arf is None), _channel_bounds(response)]
    written = [_written(Path(rmf), hdus)]
    if arf is not None:
        columns = [
            _column("ENERG_LO", response.energy_low, "keV"),
            _column("ENERG_HI", response.energy_high, "keV"),
            _column("SPECRESP", response.area, "cm**2"),
        ]
        hdu = _table("SPECRESP", columns, ("RESPONSE", "SPECRESP"), "1.1.0", _INSTRUMENT)
        written.append(_written(Path(arf), [hdu]))
    return tuple(written)


def _matrix(response: Response, matrix: Sparse, *, with_area: bool) -> Any:
    """Pack a matrix: for each energy the runs of channels that it reaches, and their elements."""
    from astropy.io import fits

    by_energy = matrix.tocsc()
    by_energy.sum_duplicates()
    by_energy.eliminate_zeros()
    channel = by_energy.indices.astype(np.int64)
    energy = np.repeat(np.arange(matrix.shape[1]), np.diff(by_energy.indptr))
    begins = np.ones(len(channel), dtype=bool)
    begins[1:] = (np.diff(channel) != 1) | (np.diff(energy) != 0)
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(channel)))
    groups = np.bincount(energy[starts], minlength=matrix.shape[1])
    bounds = np.cumsum(groups)[:-1]
    first = np.split(channel[starts] + response.first_channel, bounds)
    width = np.split(lengths, bounds)
    elements = np.split(by_energy.data, by_energy.indptr[1:-1])
    real = _real(by_energy.data)
    most = int(groups.max(initial=0))
    columns = [
        _column("ENERG_LO", response.energy_low, "keV"),
        _column("ENERG_HI", response.energy_high, "keV"),
        _column("N_GRP", groups),
        fits.Column("F_CHAN", f"PJ({most})", array=_ragged(first, np.int32)),
        fits.Column("N_CHAN", f"PJ({most})", array=_ragged(width, np.int32)),
        fits.Column(
            "MATRIX",
            f"P{real}({max(len(row) for row in elements)})",
            unit="cm**2" if with_area else None,
            array=_ragged(elements, np.float32 if real == "E" else np.float64),
        ),
    ]
    keywords = {
        **_INSTRUMENT,
        "CHANTYPE": "PI",
        "DETCHANS": len(response.channel_low),
        "NUMGRP": int(groups.sum()),
        "NUMELT": len(channel),
        "LO_THRES": 0.0,
        "TLMIN4": response.first_channel,
        "TLMAX4": response.first_channel + len(response.channel_low) - 1,
    }
    name = "SPECRESP MATRIX" if with_area else "MATRIX"
    classes = ("RESPONSE", "RSP_MATRIX", "FULL" if with_area else "REDIST")
    return _table(name, columns, classes, "1.3.0", keywords)


def _ragged(rows: list[Any], kind: type[np.generic]) -> Any:
    """Rows of different lengths, as astropy takes them."""
    cells = np.empty(len(rows), dtype=object)
    cells[:] = [np.asarray(row, dtype=kind) for row in rows]
    return cells


def _channel_bounds(response: Response) -> Any:
    size = len(response.channel_low)
    columns = [
        _column("CHANNEL", np.arange(size) + response.first_channel),
        _column("E_MIN", response.channel_low, "keV"),
        _column("E_MAX", response.channel_high, "keV"),
    ]
    keywords = {**_INSTRUMENT, "CHANTYPE": "PI", "DETCHANS": size}
    return _table("EBOUNDS", columns, ("RESPONSE", "EBOUNDS"), "1.2.0", keywords)


def _real(values: Floats) -> str:
    """Single precision where that loses nothing, which old readers like best."""
    with np.errstate(over="ignore"):
        return "E" if np.array_equal(values.astype(np.float32), values) else "D"


def _column(name: str, values: Floats | Ints, unit: str | None = None) -> Any:
    from astropy.io import fits

    kind = "J" if values.dtype.kind == "i" else _real(np.asarray(values, dtype=np.float64))
    return fits.Column(name, kind, unit=unit, array=values)


def _table(
    name: str,
    columns: list[Any],
    classes: tuple[str, ...],
    version: str,
    keywords: Mapping[str, Any],
) -> Any:
    from astropy.io import fits

    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    hdu.header["HDUCLASS"] = "OGIP"
    for place, words in enumerate(classes, 1):
        hdu.header[f"HDUCLAS{place}"] = words
    hdu.header["HDUVERS"] = version
    hdu.header.update(keywords)
    return hdu


def _written(path: Path, hdus: list[Any]) -> Path:
    from astropy.io import fits

    with replacing(path) as temporary:
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(temporary, overwrite=True)
    return path
