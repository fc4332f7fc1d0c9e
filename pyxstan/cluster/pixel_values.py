"""Values of images: numbers, whole where they are counts, where a pixel is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyxstan.errors import DataError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

#: Beyond this a float does not hold whole numbers one by one.
_MOST_COUNTS = 2.0**53
#: Scaled integers and transforms leave counts this far from whole numbers, relatively.
_ROUNDING = 1e-6
#: An exposure is doubted that is so many times what this percentage of the exposed pixels have.
_SPIKE, _USUAL = 1.5, 99
FROM = "(pixels from 0)"


def size(shape: tuple[int, ...]) -> str:
    """Say a shape as x by y pixels."""
    return " x ".join(str(length) for length in reversed(shape)) + " pixels"


def same_shape(values: NDArray[Any], name: str, counts: NDArray[Any], source: str) -> None:
    """Raise unless an array has the shape of the counts."""
    if values.shape != counts.shape:
        raise DataError(f"{name}: {size(values.shape)}, but {source} has {size(counts.shape)}")


@dataclass(frozen=True, eq=False)
class Named:
    """Values of an image, and what to call it in messages."""

    values: Any
    name: str


@dataclass(frozen=True, eq=False)
class Hidden:
    """Pixels not to be fitted, what to call them, and pixels of which that is not known."""

    pixels: Bools
    name: str
    unknown: Bools

    @classmethod
    def of(cls, values: Any, name: str) -> Hidden:
        """Pixels whose value is not 0; of NaN it is not known."""
        array = numbers(values, name, name)
        unknown = np.isnan(array) if array.dtype.kind == "f" else np.zeros(array.shape, dtype=bool)
        return cls(np.ascontiguousarray(array != 0) & ~unknown, name, unknown)


def checked_counts(values: Any, source: str, good: Bools) -> Ints:
    """Counts as native whole numbers, 0 where they are none in pixels that are not good.

    Raises naming the first good pixel that holds no number of counts.
    """
    array = numbers(values, source, "counts")
    same_shape(good, "good", array, source)
    return cleaned_counts(array, source, good, [])[0]


def cleaned_counts(
    array: NDArray[Any], source: str, good: Bools, notes: list[str]
) -> tuple[Ints, int]:
    """Counts, and how many good ones were no whole number by a rounding error."""
    if array.dtype.kind in "biu":
        whole = array
        wrong = (array < 0) | (array > _MOST_COUNTS)
    else:
        with np.errstate(invalid="ignore"):
            whole = np.rint(array)
            near = np.abs(array - whole) <= _ROUNDING * np.maximum(1, np.abs(array))
            wrong = ~(near & (whole >= 0) & (whole <= _MOST_COUNTS))
    if (wrong & good).any():
        x, y = first(wrong & good)
        raise DataError(
            f"{source}: pixel ({x}, {y}) has {array[y, x]:g} counts, expected a whole number "
            f"from 0 up {FROM}"
        )
    _note_outside(wrong, array, source, "counts", notes)
    rounded = int(((whole != array) & good).sum())
    return np.ascontiguousarray(np.where(wrong, 0, whole), dtype=np.int64), rounded


def checked_map(
    values: Any, source: str, name: str, good: Bools, notes: list[str] | None = None
) -> Floats:
    """Map as native floats, 0 where it is negative or not finite in pixels that are not good.

    Raises naming the first good pixel that is negative or not finite.
    """
    array = np.ascontiguousarray(numbers(values, source, name), dtype=np.float64)
    if array.shape != good.shape:
        raise DataError(f"{source}: {size(array.shape)}, but the image has {size(good.shape)}")
    wrong = is_no_amount(array)
    if (wrong & good).any():
        complain(wrong & good, array, f"{source}: {name} of", "a finite number from 0 up")
    if notes is not None:
        _note_outside(wrong, array, source, name, notes)
    return np.where(wrong, 0.0, array) if wrong.any() else array


def is_no_amount(array: Floats) -> Bools:
    """Where values are negative or not finite."""
    with np.errstate(invalid="ignore"):
        return np.asarray(~((array >= 0) & (array < np.inf)))


def spike(values: Floats, source: str) -> str:
    """Say if the largest exposure is one that hardly any pixel has; empty if it isn't."""
    usual = float(np.percentile(values[values > 0], _USUAL))
    largest = float(values.max())
    if largest <= _SPIKE * usual:
        return ""
    x, y = first(values == largest)
    return (
        f"{source}: the peak of the exposure, pixel ({x}, {y}) {FROM}, is {largest / usual:.3g} "
        f"times what {_USUAL}% of the exposed pixels have at most: min_exposure counts from it, "
        "set the pixel to 0 if it is wrong"
    )


def holes(field: Bools) -> Bools:
    """Pixels that are surrounded by a field."""
    from scipy.ndimage import binary_fill_holes

    return np.asarray(binary_fill_holes(field)) & ~field


def complain(wrong: Bools, array: NDArray[Any], what: str, expected: str) -> None:
    """Raise naming the first wrong pixel, its value and how many are like it."""
    x, y = first(wrong)
    others = int(wrong.sum()) - 1
    more = f", and {others} more like it" if others else ""
    raise DataError(f"{what} pixel ({x}, {y}) is {array[y, x]:g}{more}, expected {expected} {FROM}")


def _note_outside(
    wrong: Bools, array: NDArray[Any], source: str, name: str, notes: list[str]
) -> None:
    if wrong.any():
        notes.append(
            f"{source}: {int(wrong.sum())} pixels that are not fitted hold no {name} "
            f"({examples(array[wrong])})"
        )


def examples(values: NDArray[Any]) -> str:
    """The first few different values, in words."""
    shown = list(dict.fromkeys(f"{value:g}" for value in values.ravel()[:1000]))
    return ", ".join(shown[:3]) + (" ..." if len(shown) > 3 else "")


def numbers(values: Any, source: str, name: str) -> NDArray[Any]:
    """Values as an array of two axes; raises if they are none."""
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


def flags(values: Any, name: str) -> Bools:
    """Whether values are not 0; raises naming the first that is NaN."""
    found = Hidden.of(values, name)
    if found.unknown.any():
        raise DataError(f"{name}: {pixel(found.unknown)} is nan {FROM}")
    return found.pixels


def first(wrong: Bools) -> tuple[int, int]:
    """The (x, y) of the first pixel that is wrong."""
    y, x = np.unravel_index(int(np.argmax(wrong)), wrong.shape)
    return int(x), int(y)


def pixel(wrong: Bools) -> str:
    """Name the first pixel that is wrong."""
    x, y = first(wrong)
    return f"pixel ({x}, {y})"
