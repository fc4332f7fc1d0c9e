"""The data of a cluster: counts, exposure, and which pixels to fit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pyxstan.cluster.pixel_values import (
    FROM,
    Bools,
    Floats,
    Hidden,
    Ints,
    Named,
    checked_counts,
    checked_map,
    cleaned_counts,
    complain,
    examples,
    first,
    flags,
    holes,
    is_no_amount,
    numbers,
    pixel,
    same_shape,
    spike,
)
from pyxstan.errors import DataError

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: A smaller peak (cm2 s) than that of any telescope within a minute.
_SMALL_EXPOSURE = 100.0
#: Fewer pixels are no image of a cluster.
_FEWEST_PIXELS = 100
#: Sides whose ratio is below this make a square pixel.
_SQUARE = 1.001

_ARRAYS = (
    "counts", "exposure", "mask", "background_map", "exposure_unit", "min_exposure", "wcs",
    "source",
)  # fmt: skip
_FILES = ("counts", "exposure", "mask", "background_map", "exposure_unit", "min_exposure")


@dataclass(frozen=True, eq=False)
class ClusterImage:
    """A counts image of a cluster with its exposure.

    Arrays are ``[y, x]``; pixels (x, y) count from 0 here and in every message, one less than in
    DS9. Only pixels to fit must hold good values; elsewhere those that are none (NaN, negative) are
    set to 0. Brightness fitted to the image is in `brightness_unit`.

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
    warnings
        Those of the notes that one should know before trusting a fit.

    Raises
    ------
    DataError
        Shapes that don't match; in good pixels, counts that are not whole numbers from 0 up, or
        exposure or background that is negative or not finite; fewer than 100 good pixels, no counts
        in them.
    """

    counts: Ints
    exposure: Floats
    good: Bools
    exposure_unit: str = "cm2 s"
    background_map: Floats | None = None
    wcs: WCS | None = None
    source: str = "image"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        good = flags(self.good, "good")
        counts = checked_counts(self.counts, self.source, good)
        exposure = checked_map(self.exposure, "exposure", "exposure", good)
        same_shape(good, "good", counts, self.source)
        if self.exposure_unit not in ("cm2 s", "s"):
            raise DataError(f"exposure_unit '{self.exposure_unit}' is not 'cm2 s' or 's'")
        if self.background_map is not None:
            background = checked_map(self.background_map, "background_map", "background", good)
            object.__setattr__(self, "background_map", background)
        for name, values in (("counts", counts), ("exposure", exposure), ("good", good)):
            object.__setattr__(self, name, values)
        self._check_good()
        if self.wcs is not None and not getattr(self.wcs, "has_celestial", False):
            raise DataError(f"{self.source}: wcs has no celestial coordinates")

    def _check_good(self) -> None:
        dark = self.good & ~(self.exposure > 0)
        if dark.any():
            raise DataError(f"{self.source}: good {pixel(dark)} has no exposure {FROM}")
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
        """Side of a square of a pixel's area, in arcsec, amid the image; None without WCS."""
        ny, nx = self.counts.shape
        matrix = self.sky_matrix((nx - 1) / 2, (ny - 1) / 2)
        return None if matrix is None else float(np.sqrt(abs(np.linalg.det(matrix))))

    @property
    def pixel_shape(self) -> tuple[float, float, float]:
        """Symmetric matrix (xx, xy, yy) from pixels to square ones of the same area on the sky.

        (1, 0, 1), where pixels are square to a thousandth amid the image, or without WCS.
        """
        ny, nx = self.counts.shape
        matrix = self.sky_matrix((nx - 1) / 2, (ny - 1) / 2)
        if matrix is None:
            return 1.0, 0.0, 1.0
        _, size, turn = np.linalg.svd(matrix)  # a rotation after this stretches nothing
        if size[0] < _SQUARE * size[1]:
            return 1.0, 0.0, 1.0
        shape = (turn.T * (size / np.sqrt(size.prod()))) @ turn
        return float(shape[0, 0]), float(shape[0, 1]), float(shape[1, 1])

    def sky_matrix(self, x: float, y: float) -> Floats | None:
        """Change of (east, north) in arcsec by one pixel in (x, y) at a place; None without WCS."""
        if self.wcs is None:
            return None
        from astropy.coordinates import SkyCoord

        ra, dec = self.sky([x, x + 0.5, x - 0.5, x, x], [y, y, y, y + 0.5, y - 0.5]) or (x, y)
        place = SkyCoord(ra, dec, unit="deg")
        east, north = (c.arcsec for c in place[0].spherical_offsets_to(place))
        matrix = np.array([[c[1] - c[2], c[3] - c[4]] for c in (east, north)])
        if not np.isfinite(matrix).all():  # a place that is off the sky
            matrix = np.asarray(self.wcs.celestial.pixel_scale_matrix, dtype=float) * 3600
        return matrix

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
        unit, factor = _unit(exposure_unit)
        made = assembled(
            Named(counts, source), Named(exposure, "exposure"),
            () if mask is None else (Hidden.of(mask, "mask"),),
            None if background_map is None else Named(background_map, "background_map"),
            min_exposure=min_exposure, factor=factor, unit=unit, wcs=wcs,
        )  # fmt: skip
        peak = made.exposure.max()
        if unit == "s" or peak >= _SMALL_EXPOSURE:
            return made
        doubt = (
            f"exposure: its peak is {peak:g} cm2 s; if it is relative, or in cm2, multiply it by "
            "the exposure time, and say by exposure_unit whether that is s or cm2 s"
        )
        return replace(made, notes=(doubt, *made.notes), warnings=(doubt,))

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
            Any number of files: DS9, CIAO or XMM regions (masked inside), a text table of circles
            ``x y radius`` in image pixels from 1, a mask image (masked where not 0).
        background_map
            Expected background counts in each pixel.
        exposure_unit
            "cm2", "cm2 s", "s", or "relative": the map is multiplied by ``EXPOSURE``, and
            brightness is that where the map is 1, in counts/s/pixel. Default: the map's ``BUNIT``,
            else its peak, where that leaves no doubt.
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


def assembled(
    counts: Named,
    exposure: Named,
    masks: Sequence[Hidden],
    background_map: Named | None,
    *,
    min_exposure: Any,
    factor: float,
    unit: str,
    wcs: WCS | None,
    notes: Sequence[str] = (),
    warnings: Sequence[str] = (),
) -> ClusterImage:
    """Make a `ClusterImage` of its parts, once it is clear which pixels are fitted.

    Raises
    ------
    DataError
        As `ClusterImage`, naming the part; a pixel within the field whose exposure is none.
    """
    fraction = checked_min_exposure(min_exposure)
    shape = numbers(counts.values, counts.name, "counts")
    exposed = numbers(exposure.values, exposure.name, "exposure").astype(np.float64)
    same_shape(exposed, exposure.name, shape, counts.name)
    said = list(notes)
    broken = is_no_amount(exposed)
    exposed[broken] = 0
    if not exposed.any():
        raise DataError(f"{exposure.name}: the exposure is 0 everywhere")
    bright = (exposed > fraction * exposed.max()) & (exposed > 0)
    hidden = np.zeros(bright.shape, dtype=bool)
    for mask in masks:
        same_shape(mask.pixels, mask.name, shape, counts.name)
        hidden |= mask.pixels
    good = bright & ~hidden
    for mask in masks:
        if (mask.unknown & good).any():
            x, y = first(mask.unknown & good)
            raise DataError(f"{mask.name}: pixel ({x}, {y}) is nan, expected 0 or masked {FROM}")
    if broken.any():
        within = holes(bright) & broken & ~hidden
        original = np.where(broken, exposure.values, exposed)
        if within.any():
            complain(within, original, f"{exposure.name}: exposure of", "a finite number from 0 up")
        said.append(
            f"{exposure.name}: {int(broken.sum())} pixels without an exposure "
            f"({examples(original[broken])}), not fitted"
        )
    counted, rounded = cleaned_counts(shape, counts.name, good, said)
    if rounded:
        said.append(f"{counts.name}: {rounded} counts rounded to whole numbers (within 1e-6)")
    background = None
    if background_map is not None:
        values = numbers(background_map.values, background_map.name, "background")
        same_shape(values, background_map.name, shape, counts.name)
        background = checked_map(values, background_map.name, "background", good, said)
    masked = int((bright & ~good).sum())
    above = f"above {fraction:g} of its peak" if fraction else "above 0"
    doubts = list(warnings)
    doubt = spike(exposed, exposure.name) if fraction else ""
    if doubt:
        said.append(doubt)
        doubts.append(doubt)
    if good.sum() < _FEWEST_PIXELS:
        raise DataError(
            f"{counts.name}: {good.sum() or 'no'} pixels to fit, expected at least "
            f"{_FEWEST_PIXELS}: exposure {above} in {bright.sum()}, {masked} of them masked"
            f"{'; ' * bool(doubt) + doubt}"
        )
    said.append(
        f"{int(good.sum())} of {good.size} pixels to fit: exposure {above}, {masked} masked"
    )
    return ClusterImage(
        counts=counted,
        exposure=exposed * factor if factor != 1 else exposed,
        good=good,
        exposure_unit=unit,
        background_map=background,
        wcs=wcs,
        source=counts.name,
        warnings=tuple(doubts),
        notes=tuple(said),
    )


def checked_min_exposure(value: Any) -> float:
    """Fraction of the peak exposure, from 0 up to 1."""
    try:
        fraction = float(value)
    except (TypeError, ValueError):
        fraction = np.nan
    if not 0 <= fraction < 1:
        raise DataError(f"min_exposure is '{value}', expected a number from 0 up to 1, without 1")
    return fraction


def _unit(text: Any) -> tuple[str, float]:
    """Spell a unit as "cm2 s" or "s", with the factor to it."""
    if text in ("cm2 s", "s"):
        return str(text), 1.0
    from pyxstan.cluster.exposure_units import parse_unit

    found = parse_unit(text) if isinstance(text, str) else None
    if found is None:
        raise DataError(f"exposure_unit '{text}' is not 'cm2 s' or 's'")
    if found[0] in ("cm2", "relative"):
        wanted = "cm2 s" if found[0] == "cm2" else "s"
        raise DataError(
            f"exposure_unit '{text}': multiply the map by the exposure time and give '{wanted}'"
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
