"""Whether two images put the same sky into the same pixels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from pyxstan.cluster.pixel_values import Floats

#: Images whose pixels are further apart than this many pixels show different sky.
_FAR = 0.5


def misplaced(wcs: Any, source: str, image_wcs: Any, image: str, shape: tuple[int, ...]) -> str:
    """Say how far an image is off the counts image, if it is half a pixel or more; else "".

    Parameters
    ----------
    wcs, image_wcs
        Celestial coordinates of both; None where there are none, and nothing to compare.
    source, image
        Their names.
    shape
        The counts image's (ny, nx).
    """
    if wcs is None or image_wcs is None:
        return ""
    x, y = _corners_and_middle(shape)
    there = _mapped(wcs, image_wcs, x, y)
    # a corner may be where the projection has no sky, in both
    nowhere = ~np.isfinite(_mapped(image_wcs, image_wcs, x, y)).all(axis=0)
    there[:, nowhere] = np.where(np.isnan(there), [x, y], there)[:, nowhere]
    apart = np.hypot(there[0] - x, there[1] - y)
    if not np.isfinite(apart).all():
        return f"{source}: far off {image} by their celestial coordinates"
    if apart.max() < _FAR:
        return ""
    said = f"{source}: {apart.max():.3g} pixels off {image} by their celestial coordinates"
    scale = _scale(there, x, y)
    if abs(scale - 1) > 0.01:
        return f"{said}: its pixels are {scale:.3g} times as wide"
    # A shift moves the middle as much as the corners, a rotation does not.
    if apart[-1] < 0.5 * apart.max():
        return f"{said}, in the corners: it is turned"
    return said


def how_it_differs(wcs: Any, image_wcs: Any, shape: tuple[int, ...]) -> str:
    """Say what makes an image of another shape than the counts, in brackets, if that is known."""
    if wcs is None or image_wcs is None:
        return ""
    x, y = _corners_and_middle(shape)
    there = _mapped(wcs, image_wcs, x, y)
    if not np.isfinite(there).all():
        return ""
    scale = _scale(there, x, y)
    if abs(scale - 1) > 0.01:
        return f" (its pixels are {scale:.3g} times as wide: bring both to the same pixels)"
    left, bottom = np.round(there[:, 0], 2) + 0.0
    return f" (its first pixel is at ({left:g}, {bottom:g}) there: cut both out alike)"


def _corners_and_middle(shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    x, y = shape[1] - 1.0, shape[0] - 1.0
    return np.array([0.0, x, 0.0, x, x / 2]), np.array([0.0, 0.0, y, y, y / 2])


def _mapped(wcs: Any, image_wcs: Any, x: Floats, y: Floats) -> Floats:
    """Where in the counts image the pixels of another one are, shape (2, n)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return np.array(image_wcs.world_to_pixel(wcs.pixel_to_world(x, y)), dtype=float)
        except Exception:
            return np.full((2, len(x)), np.nan)


def _scale(there: Floats, x: Floats, y: Floats) -> float:
    """Length of the diagonal there, to its length here."""
    return float(np.hypot(*(there[:, 3] - there[:, 0])) / np.hypot(x[3] - x[0], y[3] - y[0]))
