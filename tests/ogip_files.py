"""OGIP files made by hand for tests: every form that a response and a spectrum may have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

CHANNELS = 8
ENERGIES = 6
EDGES = np.linspace(0.5, 3.5, ENERGIES + 1)
BOUNDS = np.linspace(0.4, 3.6, CHANNELS + 1)

#: For each energy the runs of channels (first from 0, elements) that it reaches.
RUNS: list[list[tuple[int, list[float]]]] = [
    [(0, [0.5, 0.25])],
    [(0, [0.125]), (2, [0.5, 0.25, 0.125])],
    [],
    [(3, [1.0])],
    [(1, [0.25]), (3, [0.25]), (5, [0.25, 0.125])],
    [(6, [0.5, 0.5])],
]
DENSE = np.zeros((CHANNELS, ENERGIES))
for _energy, _runs in enumerate(RUNS):
    for _first, _elements in _runs:
        DENSE[_first : _first + len(_elements), _energy] = _elements


def table(name: str, columns: list[fits.Column], **keywords: Any) -> fits.BinTableHDU:
    hdu = fits.BinTableHDU.from_columns(columns, name=name)
    hdu.header.update({key: value for key, value in keywords.items() if value is not None})
    return hdu


def write(path: Path, *hdus: fits.BinTableHDU) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


def ebounds(
    first: int = 1, *, unit: str | None = "keV", factor: float = 1.0, **keywords: Any
) -> fits.BinTableHDU:
    return table(
        "EBOUNDS",
        [
            fits.Column("CHANNEL", "J", array=np.arange(CHANNELS) + first),
            fits.Column("E_MIN", "D", unit=unit, array=BOUNDS[:-1] * factor),
            fits.Column("E_MAX", "D", unit=unit, array=BOUNDS[1:] * factor),
        ],
        **keywords,
    )


def ragged(rows: list[Any], kind: type) -> Any:
    cells = np.empty(len(rows), dtype=object)
    cells[:] = [np.array(row, dtype=kind) for row in rows]
    return cells


def matrix(
    form: str = "variable",
    *,
    runs: list[list[tuple[int, list[float]]]] = RUNS,
    first: int = 1,
    tlmin: int | None = 1,
    name: str = "MATRIX",
    unit: str | None = "keV",
    factor: float = 1.0,
    edges: Any = EDGES,
    **keywords: Any,
) -> fits.BinTableHDU:
    """The table of a redistribution in one of its forms: variable, fixed or scalar."""
    begin = [[start + first for start, _ in row] for row in runs]
    width = [[len(elements) for _, elements in row] for row in runs]
    elements = [[x for _, part in row for x in part] for row in runs]
    groups = np.array([len(row) for row in runs], dtype=np.int16)
    if form == "variable":
        columns = [
            fits.Column("F_CHAN", "PI()", array=ragged(begin, np.int16)),
            fits.Column("N_CHAN", "PI()", array=ragged(width, np.int16)),
            fits.Column("MATRIX", "PE()", array=ragged(elements, np.float32)),
        ]
    else:

        def filled(rows: list[list[Any]], kind: str, filling: float) -> Any:
            most = max(1, *(len(row) for row in rows))
            cells = np.full((len(rows), most), filling, dtype=float)
            for place, row in enumerate(rows):
                cells[place, : len(row)] = row
            return str(most) + kind, (cells[:, 0] if most == 1 else cells)

        columns = []
        for label, rows, kind in (
            ("F_CHAN", begin, "I"), ("N_CHAN", width, "I"), ("MATRIX", elements, "E"),
        ):  # fmt: skip
            # What lies behind the groups in use must not matter.
            code, cells = filled(rows, kind, 3 if kind == "I" else 7)
            columns.append(fits.Column(label, code, array=cells))
    return table(
        name,
        [
            fits.Column("ENERG_LO", "D", unit=unit, array=np.asarray(edges)[:-1] * factor),
            fits.Column("ENERG_HI", "D", unit=unit, array=np.asarray(edges)[1:] * factor),
            fits.Column("N_GRP", "I", array=groups),
            *columns,
        ],
        TLMIN4=tlmin,
        HDUCLAS1="RESPONSE",
        HDUCLAS2="RSP_MATRIX",
        **keywords,
    )


def area(values: Any = None, *, edges: Any = EDGES, unit: str | None = "cm**2") -> fits.BinTableHDU:
    size = len(edges) - 1
    values = 100 + np.arange(size) if values is None else values
    return table(
        "SPECRESP",
        [
            fits.Column("ENERG_LO", "E", unit="keV", array=np.asarray(edges)[:-1]),
            fits.Column("ENERG_HI", "E", unit="keV", array=np.asarray(edges)[1:]),
            fits.Column("SPECRESP", "E", unit=unit, array=values),
        ],
    )


COUNTS = np.array([3, 0, 5, 2, 9, 1, 0, 4])
#: Keywords of a good spectrum.
HEADER: dict[str, Any] = {
    "EXPOSURE": 1000.0, "BACKSCAL": 0.5, "AREASCAL": 1.0, "POISSERR": True,
    "HDUCLAS1": "SPECTRUM",
}  # fmt: skip


def spectrum(
    counts: Any = COUNTS,
    *,
    column: str = "COUNTS",
    first: int = 1,
    name: str = "SPECTRUM",
    columns: dict[str, Any] | None = None,
    **keywords: Any,
) -> fits.BinTableHDU:
    """A spectrum of type I; a keyword of None is left out."""
    values = {"CHANNEL": np.arange(len(counts)) + first, column: np.asarray(counts)}
    made = [
        fits.Column(label, "J" if np.asarray(array).dtype.kind in "iu" else "D", array=array)
        for label, array in {**values, **(columns or {})}.items()
    ]
    return table(name, made, **{**HEADER, **keywords})


def spectra(
    counts: Any, *, columns: dict[str, tuple[str, Any]] | None = None, **keywords: Any
) -> fits.BinTableHDU:
    """Spectra of type II, one a row; further columns as (format, array)."""
    rows, size = np.shape(counts)
    made = [
        fits.Column("SPEC_NUM", "I", array=np.arange(rows) + 1),
        fits.Column("CHANNEL", f"{size}I", array=np.tile(np.arange(size) + 1, (rows, 1))),
        fits.Column("COUNTS", f"{size}J", array=np.asarray(counts)),
    ]
    made += [
        fits.Column(label, form, array=array) for label, (form, array) in (columns or {}).items()
    ]
    return table("SPECTRUM", made, **{**HEADER, **keywords})
