"""The data of a cluster: counts, exposure, and which pixels to fit."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyxstan.errors import DataError

if TYPE_CHECKING:
    from astropy.wcs import WCS

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Fewer pixels are no image of a cluster.
_FEWEST_PIXELS = 100
#: Beyond this a float does not hold whole numbers one by one.
_MOST_COUNTS = 2.0**53

_ARRAYS = (
    "counts", "exposure", "mask", "background_map", "exposure_unit", "min_exposure", "wcs",
    "source",
)  # fmt: skip
_FILES = ("counts", "exposure", "mask", "background_map", "exposure_unit", "min_exposure")


@dataclass(frozen=True, eq=False)
class ClusterImage:
    """A counts image of a cluster with its exposure.

    Arrays are ``[y, x]``; pixels (x, y) count from 0 here and in every message, one less than in
    DS9. Brightness fitted to the image is in `brightness_unit`.

    Parameters
    ----------
    counts
        Counts in each pixel, shape (ny, nx).
    exposure
        Effective area times time, or time alone, shape (ny, nx), in `exposure_unit`.
    good
        Pixels to fit, shape (ny, nx): not masked and exposed long enough.
    exposure_unit
        "cm2 s" or "s".
    background_map
        Expected background counts in each pixel, shape (ny, nx).
    wcs
        Celestial coordinates.
    source
        File name for messages.
    notes
        What was decided on reading: the unit of the exposure, the pixels masked.

    Raises
    ------
    DataError
        Shapes that don't match, counts that are not whole numbers from 0 up, exposure or
        background that is negative or not finite, fewer than 100 good pixels, no counts in them.
    """

    counts: Ints
    exposure: Floats
    good: Bools
    exposure_unit: str = "cm2 s"
    background_map: Floats | None = None
    wcs: WCS | None = None
    source: str = "image"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        counts = checked_counts(self.counts, self.source)
        exposure = checked_map(self.exposure, "exposure")
        same_shape(exposure, "exposure", counts, self.source)
        good = _flags(self.good, "good")
        same_shape(good, "good", counts, self.source)
        if self.exposure_unit not in ("cm2 s", "s"):
            raise DataError(f"exposure_unit '{self.exposure_unit}' is not 'cm2 s' or 's'")
        if self.background_map is not None:
            background = checked_map(self.background_map, "background_map", "background")
            same_shape(background, "background_map", counts, self.source)
            object.__setattr__(self, "background_map", background)
        for name, values in (("counts", counts), ("exposure", exposure), ("good", good)):
            object.__setattr__(self, name, values)
        self._check_good()
        if self.wcs is not None and not getattr(self.wcs, "has_celestial", False):
            raise DataError(f"{self.source}: wcs has no celestial coordinates")

    def _check_good(self) -> None:
        dark = self.good & ~(self.exposure > 0)
        if dark.any():
            raise DataError(f"{self.source}: good {_pixel(dark)} has no exposure {_FROM}")
        pixels = int(self.good.sum())
        if pixels < _FEWEST_PIXELS:
            raise DataError(
                f"{self.source}: {pixels or 'no'} pixels to fit, expected at least "
                f"{_FEWEST_PIXELS} that are exposed and not masked"
            )
        if not self.counts[self.good].any():
            raise DataError(f"{self.source}: no counts in the {pixels} pixels to fit")

    @property
    def brightness_unit(self) -> str:
        """Unit of the surface brightness."""
        return "counts/s/cm2/pixel" if self.exposure_unit == "cm2 s" else "counts/s/pixel"

    @property
    def pixel_scale(self) -> float | None:
        """Side of a pixel in arcsec (geometric mean of its two sides); None without WCS."""
        if self.wcs is None:
            return None
        from astropy.wcs.utils import proj_plane_pixel_scales

        return float(np.sqrt(np.prod(proj_plane_pixel_scales(self.wcs.celestial)[:2]))) * 3600

    def sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats] | None:
        """Right ascension and declination (ICRS, degrees) of pixels; None without WCS.

        Parameters
        ----------
        x, y
            Positions in pixels, from 0, of any one shape.
        """
        if self.wcs is None:
            return None
        place = self.wcs.pixel_to_world(np.asarray(x, dtype=float), np.asarray(y, dtype=float)).icrs
        return np.asarray(place.ra.deg), np.asarray(place.dec.deg)

    @classmethod
    def from_arrays(
        cls,
        counts: ArrayLike,
        exposure: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        background_map: ArrayLike | None = None,
        exposure_unit: str = "cm2 s",
        min_exposure: float = 0.5,
        wcs: WCS | None = None,
        source: str = "image",
    ) -> ClusterImage:
        """Make an image of arrays, all of shape (ny, nx).

        Parameters
        ----------
        counts
            Counts in each pixel.
        exposure
            Exposure map in `exposure_unit`, "cm2 s" or "s".
        mask
            True (or other than 0) where a pixel is not to be fitted.
        background_map
            Expected background counts in each pixel.
        min_exposure
            Pixels count only where the exposure is above this fraction of its peak (and above 0).
        wcs
            Celestial coordinates.
        source
            What to call the image in messages.

        Raises
        ------
        DataError
            As the class itself; an unknown unit; `min_exposure` outside 0 to 1.

        Examples
        --------
        >>> image = ClusterImage.from_arrays(np.ones((16, 16), int), np.full((16, 16), 1e7))
        >>> image.notes
        ('256 of 256 pixels to fit: exposure above 0.5 of its peak, 0 masked',)
        """
        fraction = checked_min_exposure(min_exposure)
        counted = checked_counts(counts, source)
        exposed = checked_map(exposure, "exposure")
        same_shape(exposed, "exposure", counted, source)
        unit, factor = _unit(exposure_unit)
        peak = exposed.max()
        good = (exposed > fraction * peak) & (exposed > 0)
        masked = 0
        if mask is not None:
            hidden = _flags(mask, "mask")
            same_shape(hidden, "mask", counted, source)
            masked = int((good & hidden).sum())
            good &= ~hidden
        above = f"above {fraction:g} of its peak" if fraction else "above 0"
        note = f"{int(good.sum())} of {good.size} pixels to fit: exposure {above}, {masked} masked"
        return cls(
            counts=counted,
            exposure=exposed * factor if factor != 1 else exposed,
            good=good,
            exposure_unit=unit,
            background_map=background_map,  # type: ignore[arg-type]  # checked and made an array
            wcs=wcs,
            source=source,
            notes=(note,),
        )

    @classmethod
    def from_fits(
        cls,
        counts: str | Path,
        exposure: str | Path,
        *,
        mask: str | Path | tuple[str | Path, ...] | list[str | Path] = (),
        background_map: str | Path | None = None,
        exposure_unit: str | None = None,
        min_exposure: float = 0.5,
    ) -> ClusterImage:
        """Read an image from FITS files, also compressed; `notes` say what was decided.

        Parameters
        ----------
        counts
            Counts image, with its celestial coordinates.
        exposure
            Exposure map on the same pixels. In cm2 it is multiplied by the keyword ``EXPOSURE``
            of the counts image.
        mask
            Any number of files: DS9 or CIAO regions (masked inside), a text table of circles
            ``x y radius`` in image pixels from 1, a mask image (masked where not 0).
        background_map
            Expected background counts in each pixel.
        exposure_unit
            "cm2", "cm2 s" or "s". Default: the map's ``BUNIT``, else a guess from its peak.
        min_exposure
            Pixels count only where the exposure is above this fraction of its peak (and above 0).

        Raises
        ------
        DataError
            Anything wrong with a file, a keyword or a value, in one line that names it.
        """
        from pyxstan.cluster.readers import read_cluster_image

        return read_cluster_image(
            counts, exposure, mask, background_map, exposure_unit, min_exposure
        )


_FROM = "(pixels from 0)"


def size(shape: tuple[int, ...]) -> str:
    """Say a shape as x by y pixels."""
    return " x ".join(str(length) for length in reversed(shape)) + " pixels"


def same_shape(values: NDArray[Any], name: str, counts: Ints, source: str) -> None:
    """Raise unless an array has the shape of the counts."""
    if values.shape != counts.shape:
        raise DataError(f"{name}: {size(values.shape)}, but {source} has {size(counts.shape)}")


def checked_counts(values: Any, source: str) -> Ints:
    """Counts as native whole numbers; raises naming the first pixel that holds none."""
    array = _numbers(values, source, "counts")
    if array.dtype.kind in "iu" and array.dtype.itemsize <= 8:
        wrong = array < 0
    else:
        with np.errstate(invalid="ignore"):
            wrong = ~((array >= 0) & (array <= _MOST_COUNTS) & (array == np.floor(array)))
    if wrong.any():
        x, y = _first(wrong)
        raise DataError(
            f"{source}: pixel ({x}, {y}) has {array[y, x]:g} counts, expected a whole number "
            f"from 0 up {_FROM}"
        )
    return np.ascontiguousarray(array, dtype=np.int64)


def checked_map(values: Any, source: str, name: str = "exposure") -> Floats:
    """Map as native floats; raises naming the first pixel that is negative or not finite."""
    array = np.ascontiguousarray(_numbers(values, source, name), dtype=np.float64)
    with np.errstate(invalid="ignore"):
        wrong = ~((array >= 0) & (array < np.inf))
    if wrong.any():
        x, y = _first(wrong)
        others = int(wrong.sum()) - 1
        more = f", and {others} more like it" if others else ""
        raise DataError(
            f"{source}: {name} of pixel ({x}, {y}) is {array[y, x]:g}{more}, expected a finite "
            f"number from 0 up {_FROM}"
        )
    if name == "exposure" and not array.any():
        raise DataError(f"{source}: the exposure is 0 everywhere")
    return array


def checked_min_exposure(value: Any) -> float:
    """Fraction of the peak exposure, from 0 up to 1."""
    try:
        fraction = float(value)
    except (TypeError, ValueError):
        fraction = np.nan
    if not 0 <= fraction < 1:
        raise DataError(f"min_exposure is '{value}', expected a number from 0 up to 1, without 1")
    return fraction


def _numbers(values: Any, source: str, name: str) -> NDArray[Any]:
    if isinstance(values, np.ma.MaskedArray):
        raise DataError(f"{source}: {name} is a masked array: give its data, and its mask as mask")
    if getattr(values, "unit", None) is not None:
        raise DataError(f"{source}: {name} is a Quantity: give its value and exposure_unit")
    try:
        array = np.asarray(values)
    except (TypeError, ValueError):
        raise DataError(f"{source}: {name} is no array of numbers") from None
    if array.dtype.kind not in "biuf":
        raise DataError(f"{source}: {name} is no array of numbers")
    if array.ndim != 2 or not array.size:
        raise DataError(f"{source}: {name} has shape {array.shape}, expected (ny, nx)")
    return array


def _flags(values: Any, name: str) -> Bools:
    array = _numbers(values, name, name)
    if array.dtype.kind == "f" and np.isnan(array).any():
        raise DataError(f"{name}: {_pixel(np.isnan(array))} is nan {_FROM}")
    return np.ascontiguousarray(array != 0)


def _first(wrong: Bools) -> tuple[int, int]:
    """The (x, y) of the first pixel that is wrong."""
    y, x = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return int(x), int(y)


def _pixel(wrong: Bools) -> str:
    x, y = _first(wrong)
    return f"pixel ({x}, {y})"


def _unit(text: Any) -> tuple[str, float]:
    """Spell a unit as "cm2 s" or "s", with the factor to it."""
    if text in ("cm2 s", "s"):
        return str(text), 1.0
    from pyxstan.cluster.readers import parse_unit

    found = parse_unit(text) if isinstance(text, str) else None
    if found is None:
        raise DataError(f"exposure_unit '{text}' is not 'cm2 s' or 's'")
    if found[0] == "cm2":
        raise DataError(
            f"exposure_unit '{text}': multiply the map by the exposure time and give 'cm2 s'"
        )
    return found


def as_cluster_image(data: Any) -> ClusterImage:
    """Turn what `pyxstan.fit` was given into `ClusterImage`.

    A mapping has the keywords of `ClusterImage.from_arrays`, or those of `ClusterImage.from_fits`
    where ``counts`` is a path.
    """
    if isinstance(data, ClusterImage):
        return data
    if not isinstance(data, Mapping):
        raise DataError(
            f"data: expected a ClusterImage or a dict of counts, exposure..., "
            f"got {type(data).__name__}"
        )
    for name in ("counts", "exposure"):
        if data.get(name) is None:
            raise DataError(f"data has no field '{name}'")
    fields = {str(name): value for name, value in data.items()}
    files = isinstance(fields["counts"], (str, os.PathLike))
    known = _FILES if files else _ARRAYS
    for name in fields:
        if name not in known:
            raise DataError(f"data has no field '{name}'; there are {', '.join(known)}")
    if files:
        return ClusterImage.from_fits(**fields)
    for name in ("exposure", "background_map", "mask"):
        if isinstance(fields.get(name), (str, os.PathLike)):
            raise DataError(f"data: {name} is a path, but counts is none")
    return ClusterImage.from_arrays(**fields)
