"""Shapes of region files on the pixels of an image.

A pixel belongs to a shape when its centre lies inside. Shapes in pixels are decided in pixels.
Shapes on the sky are decided on the sky, in the coordinates of their own frame: u points west and
v north from the shape's centre, along great circles, so a circle is a circle whatever the pixels
are, and angles run from west over north, which is from x to y where north is up and east left.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from pyxstan.cluster.pixel_values import Bools, Floats, Ints
from pyxstan.errors import DataError

#: Frames of the sky by their names in region files, and astropy's names.
SKY_FRAMES = {
    "fk5": "fk5",
    "j2000": "fk5",
    "fk4": "fk4",
    "b1950": "fk4",
    "icrs": "icrs",
    "galactic": "galactic",
    "ecliptic": "barycentricmeanecliptic",
}


@dataclass(frozen=True)
class Physical:
    """Physical coordinates of an image, as IRAF has them: pixel = scale * physical + shift.

    Pixels count from 1 here.
    """

    scale: tuple[float, float]
    shift: tuple[float, float]


@dataclass(frozen=True)
class Shape:
    """One shape: where it is, in which frame, and its sizes.

    Parameters
    ----------
    name
        circle, annulus, ellipse, box, diamond, sector, panda, epanda, bpanda, polygon, rectangle
        or field.
    frame
        "image", "physical" or one of `SKY_FRAMES`.
    points
        The centre, or the corners, in pixels (from 1) or degrees.
    lengths
        Radii (ellipses: half axes) and whole sides of boxes; rings from the inside out.
    angular
        Whether `lengths` are degrees; else they are in the units of the frame's pixels.
    angles
        First and last angle of a sector, degrees.
    rotation
        Angle of the first axis, degrees.
    """

    name: str
    frame: str
    points: tuple[tuple[float, float], ...] = ()
    lengths: tuple[float, ...] = ()
    angular: bool = False
    angles: tuple[float, ...] = ()
    rotation: float = 0.0

    @property
    def reach(self) -> float:
        """Largest distance from the centre, in the unit of `lengths`."""
        if self.name in ("field", "sector") and not self.lengths:
            return np.inf
        sides = np.array(self.lengths)
        if self.name in ("box", "bpanda"):
            return float(np.hypot(sides[-2], sides[-1])) / 2
        return float(max(sides[-2:]))

    def contains(self, u: Floats, v: Floats) -> Bools:
        """Whether points at offsets (u, v) from the centre lie inside."""
        turn = np.deg2rad(self.rotation)
        # Right angles are exact: edges of boxes run between pixels.
        cosine, sine = np.round(np.cos(turn), 15), np.round(np.sin(turn), 15)
        x, y = u * cosine + v * sine, v * cosine - u * sine
        inside = np.ones(np.shape(x), dtype=bool)
        if self.lengths:
            *inner, a, b = _axes(self)
            inside = self._within(x, y, a, b)
            if inner:
                inside &= ~self._within(x, y, inner[0], inner[1])
        if self.angles:
            start, stop = self.angles
            width = (stop - start) % 360 or 360.0
            inside &= (np.rad2deg(np.arctan2(y, x)) - start) % 360 <= width
        return inside

    def _within(self, x: Floats, y: Floats, a: float, b: float) -> Bools:
        """Whether points lie inside the outline of half axes a and b."""
        if not (a > 0 and b > 0):
            return np.zeros(np.shape(x), dtype=bool)
        if self.name in ("box", "bpanda"):
            return (np.abs(x) < a) & (np.abs(y) < b)
        if self.name == "diamond":
            return np.asarray(np.abs(x / a) + np.abs(y / b) < 1)
        return np.asarray(np.hypot(x / a, y / b) < 1)


def _axes(shape: Shape) -> list[float]:
    """Half axes of the innermost and the outermost outline, or of the only one."""
    if shape.name in ("circle", "annulus", "sector", "panda"):
        pairs = [value for radius in shape.lengths for value in (radius, radius)]
    elif shape.name in ("box", "bpanda", "diamond"):
        pairs = [side / 2 for side in shape.lengths]
    else:
        pairs = list(shape.lengths)
    return pairs if len(pairs) == 2 else [*pairs[:2], *pairs[-2:]]


class Canvas:
    """The pixels of an image, with which shapes are compared.

    Parameters
    ----------
    shape
        The image's (ny, nx).
    wcs
        Celestial coordinates; shapes on the sky need them.
    physical
        Physical coordinates. Default: those of the image.
    """

    def __init__(
        self, shape: tuple[int, ...], wcs: Any = None, physical: Physical | None = None
    ) -> None:
        self.shape = (int(shape[0]), int(shape[1]))
        self.wcs = wcs
        self.has_physical = physical is not None
        self._physical = physical or Physical((1.0, 1.0), (0.0, 0.0))
        self._trees: dict[str, tuple[Ints, cKDTree]] = {}

    def draw(self, shape: Shape) -> Bools:
        """The pixels whose centres lie inside a shape.

        Raises
        ------
        DataError
            A shape on the sky, or with sizes in degrees, without celestial coordinates.
        """
        masked = np.zeros(self.shape, dtype=bool)
        if shape.name == "field":
            return ~masked
        if shape.frame in SKY_FRAMES:
            where, inside = self._on_sky(shape)
        else:
            where, inside = self._in_pixels(shape)
        masked.flat[where[inside]] = True
        return masked

    def pixel(self, lon: float, lat: float, frame: str) -> tuple[float, float]:
        """Where a place of the sky is in pixels from 1; NaN if the projection has no place."""
        from astropy.coordinates import SkyCoord

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            place = SkyCoord(lon, lat, unit="deg", frame=SKY_FRAMES[frame])
            x, y = self._celestial.world_to_pixel(place)
        return float(x) + 1, float(y) + 1

    def between(self, place: tuple[float, float], given: str, wanted: str) -> tuple[float, float]:
        """A position in image or physical pixels in the other of both."""
        if given == wanted:
            return place
        scale, shift = self._physical.scale, self._physical.shift
        if wanted == "image":
            return scale[0] * place[0] + shift[0], scale[1] * place[1] + shift[1]
        return (place[0] - shift[0]) / scale[0], (place[1] - shift[1]) / scale[1]

    def degrees(self, x: float, y: float) -> Floats:
        """Matrix from offsets in pixels to degrees along x and at right angles, towards y."""
        steps = np.array([[0.5, -0.5, 0, 0], [0, 0, 0.5, -0.5]])
        places = self._unit_vectors("icrs", x - 1 + steps[0], y - 1 + steps[1])
        along = np.rad2deg(np.array([places[0] - places[1], places[2] - places[3]]).T)
        if not np.isfinite(along).all():
            return np.full((2, 2), np.nan)
        _, matrix = np.linalg.qr(along)
        return np.asarray(np.sign(np.diag(matrix))[:, None] * matrix)

    @cached_property
    def pixel_scale(self) -> float:
        """Side of a pixel at the image's centre (geometric mean of its two sides), degrees."""
        matrix = self.degrees((self.shape[1] + 1) / 2, (self.shape[0] + 1) / 2)
        return float(np.sqrt(abs(np.linalg.det(matrix))))

    @property
    def sky_frame(self) -> str:
        """Frame of the image's own celestial coordinates, by its name in region files."""
        own = self._celestial.pixel_to_world(0, 0).frame.name
        return next((name for name, one in SKY_FRAMES.items() if one == own), "icrs")

    @property
    def physical_scale(self) -> float:
        """Pixels to a physical one."""
        return float(np.sqrt(abs(np.prod(self._physical.scale))))

    @property
    def _celestial(self) -> Any:
        if self.wcs is None:
            raise DataError("sky coordinates, but the image has none: use image ones")
        return self.wcs

    def _unit_vectors(self, frame: str, x: Any, y: Any) -> Floats:
        """Directions of pixels (from 0) in a frame of the sky, shape (..., 3)."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            places = self._celestial.pixel_to_world(x, y).transform_to(SKY_FRAMES[frame])
        lon, lat = places.spherical.lon.rad, places.spherical.lat.rad
        return np.stack(
            [np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1
        )

    def _pixels_on_sky(self, frame: str) -> tuple[Ints, cKDTree]:
        """Pixels that the projection has a place for, by number, and their directions."""
        name = SKY_FRAMES[frame]
        if name not in self._trees:
            rows, columns = np.indices(self.shape, dtype=float)
            vectors = self._unit_vectors(frame, columns, rows).reshape(-1, 3)
            where = np.flatnonzero(np.isfinite(vectors).all(axis=1))
            self._trees[name] = where, cKDTree(vectors[where], balanced_tree=False)
        return self._trees[name]

    def _on_sky(self, shape: Shape) -> tuple[Ints, Bools]:
        """Pixels that may lie inside a shape on the sky, by number, and whether they do."""
        where, tree = self._pixels_on_sky(shape.frame)
        corners = _directions(np.deg2rad(np.array(shape.points)))
        middle = corners.sum(axis=0)
        lon, lat = np.arctan2(middle[1], middle[0]), np.arctan2(middle[2], np.hypot(*middle[:2]))
        outline = shape.name in ("polygon", "rectangle")
        corner_offsets = _offsets(corners, lon, lat, straight=outline)
        reach = np.hypot(*corner_offsets).max() if outline else shape.reach
        center = _directions(np.array([[lon, lat]]))[0]
        # With something to spare for rounding.
        chord = 2 * np.sin(np.deg2rad(min(reach * 1.001 + 1e-6, 180.0)) / 2)
        near = np.asarray(tree.query_ball_point(center, chord), dtype=np.int64)
        offsets = _offsets(tree.data[near], lon, lat, straight=outline)
        with np.errstate(invalid="ignore"):
            return where[near], _inside(shape, offsets, corner_offsets)

    def _in_pixels(self, shape: Shape) -> tuple[Ints, Bools]:
        """Pixels that may lie inside a shape in pixels, by number, and whether they do."""
        scale, shift = self._physical.scale, self._physical.shift
        if shape.frame == "image":
            scale, shift = (1.0, 1.0), (0.0, 0.0)
        corners = np.array(shape.points) * scale + shift
        x, y = corners.mean(axis=0)
        # From offsets in pixels to those in which the shape is given.
        matrix = np.diag(1 / np.array(scale))
        if shape.angular:
            sign = np.diag(np.sign(scale))
            matrix = sign @ self.degrees(float(x), float(y))
        corner_offsets = matrix @ (corners - [x, y]).T
        if shape.name in ("polygon", "rectangle"):
            far = float(np.abs(corners - [x, y]).max())
        elif np.isfinite(matrix).all():
            far = shape.reach / float(np.linalg.svd(matrix, compute_uv=False).min())
        else:
            far = 0.0
        rows = _range(y - 1 - far, y - 1 + far, self.shape[0])
        columns = _range(x - 1 - far, x - 1 + far, self.shape[1])
        across, up = np.meshgrid(columns, rows)
        offsets = matrix @ np.array([(across + 1 - x).ravel(), (up + 1 - y).ravel()])
        where = (up * self.shape[1] + across).ravel().astype(np.int64)
        with np.errstate(invalid="ignore"):
            return where, _inside(shape, (offsets[0], offsets[1]), tuple(corner_offsets))


def _inside(shape: Shape, offsets: tuple[Floats, Floats], corners: Any) -> Bools:
    if shape.name == "rectangle":
        (left, right), (low, high) = np.sort(corners, axis=1)
        u, v = offsets
        return np.asarray((u > left) & (u < right) & (v > low) & (v < high))
    if shape.name == "polygon":
        return _inside_polygon(offsets, corners)
    return shape.contains(*offsets)


def _inside_polygon(offsets: tuple[Floats, Floats], corners: Any) -> Bools:
    """Whether a ray from each point to larger u crosses the outline an odd number of times."""
    u, v = offsets
    inside = np.zeros(u.shape, dtype=bool)
    for (u1, v1), (u2, v2) in _edges(corners):
        crossing = (v1 > v) != (v2 > v)
        inside[crossing] ^= u[crossing] < (u2 - u1) * (v[crossing] - v1) / (v2 - v1) + u1
    return inside


def _edges(corners: Any) -> Iterator[Any]:
    places = np.transpose(corners)
    return zip(places, np.roll(places, -1, axis=0), strict=True)


def _directions(places: Floats) -> Floats:
    """Unit vectors of longitudes and latitudes (radians), shape (n, 3)."""
    lon, lat = places[:, 0], places[:, 1]
    return np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)], axis=-1)


def _offsets(vectors: Floats, lon: Any, lat: Any, *, straight: bool) -> tuple[Floats, Floats]:
    """Offsets west and north of a place, in degrees.

    The distance from the place is the angle, or, where great circles are to be straight lines, its
    tangent (gnomonic projection, infinite beyond 90 degrees).
    """
    west = np.array([np.sin(lon), -np.cos(lon), 0.0])
    north = np.array([-np.sin(lat) * np.cos(lon), -np.sin(lat) * np.sin(lon), np.cos(lat)])
    center = _directions(np.array([[lon, lat]]))[0]
    u, v, ahead = vectors @ west, vectors @ north, vectors @ center
    sine = np.hypot(u, v)
    with np.errstate(divide="ignore", invalid="ignore"):
        if straight:
            factor = np.where(ahead > 0, 1 / ahead, np.inf)
        else:
            factor = np.where(sine > 0, np.arctan2(sine, ahead) / sine, 1.0)
        return np.rad2deg(u * factor), np.rad2deg(v * factor)


def _range(low: float, high: float, length: int) -> Floats:
    """Pixels of one axis between two positions, with one to spare."""
    if not low <= high:
        return np.empty(0)
    first, last = max(np.floor(low) - 1, 0.0), min(np.ceil(high) + 2, float(length))
    return np.arange(first, last)
