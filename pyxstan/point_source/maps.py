"""Maps of where a source may be, from files: HEALPix in FITS, multi-order maps, NumPy arrays."""

from __future__ import annotations

import io
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy_healpix import HEALPix

from pyxstan.errors import DataError
from pyxstan.fits_files import is_truncated, reason, unpacked
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.sky import Pixels, PriorMap, order_of

_EXPECTED = "a HEALPix map (FITS, or a NumPy array)"
_FITS, _NUMPY = b"SIMPLE  =", b"\x93NUMPY"
#: Pixels that nobody has seen.
_UNSEEN = -1.6375e30
_RING, _NESTED, _MULTI_ORDER = "RING", "NESTED", "NUNIQ"
_ORDERINGS = {"RING": _RING, "NESTED": _NESTED, "NEST": _NESTED, "NUNIQ": _MULTI_ORDER}
_FRAMES = {
    **dict.fromkeys(["C", "Q", "EQUATORIAL", "CELESTIAL", "ICRS", "RADEC"], "icrs"),
    **dict.fromkeys(["G", "GALACTIC"], "galactic"),
    **dict.fromkeys(["E", "ECLIPTIC"], "barycentrictrueecliptic"),
}
#: Columns of pixels' numbers, and those of probabilities, the first that is there.
_NUMBERS = ("PIXEL", "PIX", "PIXNUM", "HPX_INDEX", "INDEX")
_UNIQ = "UNIQ"
_PROBABILITIES = ("PROB", "PROBABILITY", "PROBDENSITY")
_LARGEST_ORDER = 29


def read_prior_map(
    path: str | Path, column: str | None = None, *, nested: bool = False, frame: str = "icrs"
) -> PriorMap:
    """Read a map of probabilities.

    Parameters
    ----------
    path
        A FITS file with a table of HEALPix pixels (ring or nested, all of the sky or numbered
        pixels, or of many orders), or a NumPy array (``.npy``) of all the sky; compressed or not.
    column
        That of the probabilities; none: ``PROB``, ``PROBABILITY``, ``PROBDENSITY``, or the first.
    nested, frame
        Order and frame of a NumPy array, which doesn't say; FITS files do.

    Raises
    ------
    DataError
        No HEALPix map; pixels that aren't on the sky, are there twice or have no probability.
    """
    path = Path(path)
    content = unpacked(path, _EXPECTED)
    if not content:
        raise DataError(f"{path}: the file is empty")
    if content.startswith(_NUMPY):
        return _from_numpy(content, path, nested, frame)
    if not content.startswith(_FITS):
        raise DataError(f"{path}: not {_EXPECTED}")
    return _from_fits(content, path, column)


def _from_numpy(content: bytes, path: Path, nested: bool, frame: str) -> PriorMap:
    try:
        values = np.load(io.BytesIO(content), allow_pickle=False)
    except Exception as error:
        raise DataError(f"{path}: not a readable NumPy array ({reason(error)})") from None
    if values.ndim != 1 or values.dtype.kind not in "fiu":
        raise DataError(
            f"{path}: an array of {values.dtype} and shape {values.shape}, expected numbers in one "
            "dimension"
        )
    values, notes = _seen(values.astype(float), str(path), "value")
    order = "nested" if nested else "ring"
    notes = (*notes, f"{path}: an array doesn't say its order: taken for {order}, {frame}")
    nside = _nside_of(values.size, str(path))
    if not nested:
        values = values[HEALPix(nside, "ring").nested_to_ring(np.arange(values.size))]
    return PriorMap(Pixels.grid(nside), values, frame, str(path), notes)


@dataclass(frozen=True)
class _Map:
    """A table of HEALPix pixels in a FITS file."""

    path: Path
    extension: int
    header: Any
    data: Any

    @property
    def source(self) -> str:
        return f"{self.path}: extension {self.extension}"

    def keyword(self, name: str) -> Any:
        """A keyword's value; none if it isn't there."""
        from astropy.io.fits import VerifyError

        try:
            return self.header.get(name)
        except (VerifyError, ValueError):
            raise DataError(f"{self.source}: keyword {name} can't be read") from None

    def word(self, keyword: str) -> str:
        """A keyword's text in capitals; empty if it isn't there."""
        value = self.keyword(keyword)
        return "" if value is None else str(value).strip().upper()

    def column(self, name: str) -> str | None:
        """A column's name as the file spells it."""
        return next((c for c in self.data.names if c.upper() == name.upper()), None)

    def unit(self, name: str) -> str:
        return str(self.data.columns[name].unit or "").strip()

    def numbers(self, name: str) -> Floats:
        """A column, vectors one after the other."""
        try:
            values = np.asarray(self.data[name])
        except (ValueError, TypeError, OverflowError) as error:
            raise DataError(f"{self.source}: column '{name}': {reason(error)}") from None
        if values.dtype.kind not in "fiu":
            raise DataError(
                f"{self.source}: column '{name}' holds {values.dtype}, expected numbers"
            )
        return np.asarray(values.ravel().astype(float))

    def whole(self, name: str) -> Integers:
        """A column of whole numbers, vectors one after the other."""
        values = np.asarray(self.data[name]).ravel()
        whole = values.dtype.kind in "iu" or (
            values.dtype.kind == "f" and bool((values == np.floor(values)).all())
        )
        if not whole:
            raise DataError(f"{self.source}: column '{name}' isn't of whole numbers")
        return values.astype(np.int64)


def _from_fits(content: bytes, path: Path, wanted: str | None) -> PriorMap:
    found = _table(content, path)
    ordering = found.word("ORDERING")
    uniq = found.column(_UNIQ)
    if not ordering and uniq:
        ordering = _MULTI_ORDER
    if ordering not in _ORDERINGS:
        raise DataError(
            f"{found.source}: keyword ORDERING is '{ordering}', expected RING, NESTED or NUNIQ"
        )
    notes: list[str] = []
    if _ORDERINGS[ordering] == _MULTI_ORDER:
        if uniq is None:
            raise DataError(f"{found.source}: ORDERING is NUNIQ, but there is no column UNIQ")
        pixels = _of_many_orders(found, uniq)
        name = _probabilities(found, wanted, uniq, notes)
    else:
        numbered = _numbered(found)
        name = _probabilities(found, wanted, numbered, notes)
        pixels = _of_one_order(found, _ORDERINGS[ordering], numbered, found.numbers(name).size)
    values = found.numbers(name)
    if len(values) != len(pixels):
        raise DataError(
            f"{found.source}: column '{name}' has {len(values)} values for {len(pixels)} pixels"
        )
    values, unseen = _seen(
        values, f"{found.source}: column '{name}'", "pixel", found.keyword("BAD_DATA")
    )
    per_sr = _per_steradian(found, name)
    if per_sr:
        values = values * per_sr * pixels.solid_angle
    frame = _frame(found, notes)
    return PriorMap(pixels, values, frame, str(path), (*notes, *unseen))


def _table(content: bytes, path: Path) -> _Map:
    from astropy.io import fits

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            with fits.open(io.BytesIO(content), memmap=False) as hdus:
                tables = [
                    _Map(path, k, hdu.header, hdu.data)
                    for k, hdu in enumerate(hdus)
                    if isinstance(hdu, fits.BinTableHDU) and hdu.data is not None
                ]
        except Exception as error:
            raise DataError(f"{path}: not a readable FITS file ({reason(error)})") from None
    if is_truncated(said):
        raise DataError(f"{path}: not a readable FITS file (it is cut short)")
    maps = [
        table
        for table in tables
        if table.word("PIXTYPE") == "HEALPIX" or table.word("ORDERING") or table.column(_UNIQ)
    ]
    if not maps:
        raise DataError(f"{path}: no HEALPix map: no table with the keyword PIXTYPE = HEALPIX")
    if not len(maps[0].data):
        raise DataError(f"{maps[0].source}: no rows")
    return maps[0]


def _probabilities(found: _Map, wanted: str | None, beside: str | None, notes: list[str]) -> str:
    """The column of probabilities."""
    if wanted is not None:
        named = found.column(wanted)
        if named is None:
            there = ", ".join(found.data.names)
            raise DataError(f"{found.source}: no column '{wanted}'; there are {there}")
        return named
    for name in _PROBABILITIES:
        if column := found.column(name):
            return column
    rest = [name for name in found.data.names if name != beside]
    if not rest:
        raise DataError(f"{found.source}: no column of probabilities")
    notes.append(
        f"{found.path}: no column {', '.join(_PROBABILITIES)}: the first, '{rest[0]}', is taken "
        f"for the probability {'per sr' if _per_steradian(found, rest[0]) else 'of a pixel'}"
    )
    return str(rest[0])


def _per_steradian(found: _Map, name: str) -> float:
    """What makes a density per steradian of a column; zero if it is none."""
    from astropy import units as u

    unit, density = found.unit(name), name.upper() == "PROBDENSITY"
    if density and not unit:
        return 1.0
    try:
        return float(u.Unit(unit).to(u.Unit("1/sr")))
    except (ValueError, TypeError, u.UnitConversionError):
        pass
    if density:
        raise DataError(f"{found.source}: column '{name}' is in '{unit}', expected sr-1")
    if found.column(_UNIQ) and name.upper() not in _PROBABILITIES:
        raise DataError(
            f"{found.source}: column '{name}' of pixels of many orders is in '{unit}', expected "
            "sr-1, or the name PROB"
        )
    return 0.0


def _numbered(found: _Map) -> str | None:
    """The column of pixels' numbers, if the map says where its values belong."""
    scheme, extent = found.word("INDXSCHM"), found.word("OBJECT")
    column = next(filter(None, map(found.column, _NUMBERS)), None)
    if scheme not in ("", "IMPLICIT", "EXPLICIT"):
        raise DataError(
            f"{found.source}: keyword INDXSCHM is '{scheme}', expected IMPLICIT or EXPLICIT"
        )
    if scheme == "IMPLICIT" or (not scheme and extent != "PARTIAL" and column is None):
        return None
    if column is None:
        raise DataError(f"{found.source}: INDXSCHM is EXPLICIT, but there is no column PIXEL")
    grain = found.keyword("GRAIN")
    if grain not in (None, 0, 1):
        raise DataError(f"{found.source}: keyword GRAIN is {grain}, expected 1")
    return column


def _of_one_order(found: _Map, ordering: str, numbered: str | None, size: int) -> Pixels:
    stated = found.keyword("NSIDE")
    if stated is None and numbered:
        raise DataError(f"{found.source}: no keyword NSIDE")
    if stated is None:
        nside = _nside_of(size, found.source)
    elif isinstance(stated, int) and not isinstance(stated, bool):
        nside = stated
    else:
        raise DataError(f"{found.source}: keyword NSIDE is '{stated}', expected a whole number")
    try:
        order = order_of(nside)
    except DataError as error:
        raise DataError(f"{found.source}: keyword NSIDE: {error}") from None
    all_sky = 12 * nside**2
    if numbered is None:
        if size != all_sky:
            raise DataError(
                f"{found.source}: {size} values, expected {all_sky} for all of the sky at NSIDE = "
                f"{nside}"
            )
        pixel: Integers = np.arange(all_sky, dtype=np.int64)
    else:
        pixel = found.whole(numbered)
        wrong = (pixel < 0) | (pixel >= all_sky)
        if wrong.any():
            row = int(np.argmax(wrong))
            raise DataError(
                f"{found.source}: row {row + 1}: pixel {pixel[row]}, expected 0 to {all_sky - 1}"
            )
        _refuse_twice(found, pixel)
    if ordering == _RING:
        pixel = np.asarray(HEALPix(nside, "ring").ring_to_nested(pixel), dtype=np.int64)
    return Pixels(np.full(len(pixel), order, dtype=np.int64), pixel)


def _of_many_orders(found: _Map, uniq: str) -> Pixels:
    numbers = found.whole(uniq)
    wrong = (numbers < 4) | (numbers >= 16 << (2 * _LARGEST_ORDER))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{found.source}: row {row + 1}: {uniq} is {numbers[row]}, expected 4 (order 0) to "
            f"order {_LARGEST_ORDER}"
        )
    _refuse_twice(found, numbers)
    firsts = 4 << (2 * np.arange(_LARGEST_ORDER + 1, dtype=np.int64))
    order = np.searchsorted(firsts, numbers, side="right") - 1
    return Pixels(order, numbers - firsts[order])


def _refuse_twice(found: _Map, pixel: Integers) -> None:
    first = np.unique(pixel, return_index=True)[1]
    if len(first) < len(pixel):
        row = int(np.setdiff1d(np.arange(len(pixel)), first)[0])
        raise DataError(f"{found.source}: row {row + 1}: pixel {pixel[row]} is there twice")


def _nside_of(size: int, source: str) -> int:
    nside = round(math.sqrt(size / 12.0))
    if size < 12 or 12 * nside**2 != size:
        raise DataError(f"{source}: {size} values are no HEALPix map of all the sky")
    try:
        order_of(nside)
    except DataError as error:
        raise DataError(f"{source}: {error}") from None
    return nside


def _seen(
    values: Floats, source: str, word: str, bad: Any = None
) -> tuple[Floats, tuple[str, ...]]:
    """Values with those of unseen pixels zero, and what to say of these."""
    marks = [_UNSEEN]
    if isinstance(bad, float) and bad < 0:
        marks.append(bad)
    unseen = np.isclose(values[:, None], marks, rtol=1e-6, atol=0.0).any(axis=1)
    values = np.where(unseen, 0.0, values)
    wrong = ~np.isfinite(values) | (values < 0)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise DataError(
            f"{source}: {word} number {at + 1} is {values[at]:g}, expected a probability"
        )
    if not (values > 0).any():
        raise DataError(f"{source}: every pixel is zero: the source can be nowhere")
    if not unseen.any():
        return values, ()
    return values, (f"{source}: {unseen.sum()} unseen pixels are taken for zero",)


def _frame(found: _Map, notes: list[str]) -> str:
    stated = found.word("COORDSYS")
    if not stated:
        notes.append(f"{found.path}: no keyword COORDSYS: taken for equatorial")
        return "icrs"
    if stated not in _FRAMES:
        raise DataError(f"{found.source}: keyword COORDSYS is '{stated}', expected C, G or E")
    return _FRAMES[stated]


def write_prior_map(prior_map: PriorMap, path: Path | str) -> None:
    """Write a map as a multi-order FITS table (UNIQ, PROBDENSITY), as `read_prior_map` reads it."""
    from astropy.io import fits

    from pyxstan.output import replacing

    pixels = prior_map.pixels
    density = prior_map.probability / pixels.solid_angle
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("UNIQ", "K", array=pixels.number + (4 << (2 * pixels.order))),
            fits.Column("PROBDENSITY", "D", unit="sr-1", array=density),
        ]
    )
    letter = next(key for key, frame in _FRAMES.items() if frame == prior_map.frame)
    table.header.update(
        PIXTYPE="HEALPIX", ORDERING="NUNIQ", COORDSYS=letter, INDXSCHM="EXPLICIT",
        MOCORDER=int(pixels.order.max()),
    )  # fmt: skip
    with replacing(Path(path)) as staged:
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(staged, overwrite=True)
