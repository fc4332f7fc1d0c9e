"""FITS REGION tables as masks of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.cluster.pixel_values import Bools
from pyxstan.cluster.region_files import RegionMask, common
from pyxstan.cluster.region_parameters import DRAWINGS, SHAPES, full_name, shape_of
from pyxstan.cluster.region_shapes import SKY_FRAMES, Canvas, Physical
from pyxstan.errors import DataError

#: Units of columns, as region files mark them.
_UNITS = {"deg": "d", "arcmin": "'", "arcsec": '"', "rad": "r", "": "", "pix": "", "pixel": ""}
#: Number of radii and of angles that a row holds; a row of any other shape has none.
_ROWS = {
    "circle": (1, 0), "annulus": (2, 0), "ellipse": (2, 1), "elliptannulus": (4, 1), "box": (2, 1),
    "rotbox": (2, 1), "boxannulus": (4, 1), "diamond": (2, 1), "rotdiamond": (2, 1),
    "rhombus": (2, 1), "rotrhombus": (2, 1), "pie": (2, 2), "sector": (0, 2),
    "rotrectangle": (0, 1),
}  # fmt: skip


def is_region_table(hdu: Any) -> bool:
    """Whether an extension of a FITS file is a table of regions."""
    columns = getattr(hdu, "columns", None)
    return columns is not None and "SHAPE" in (name.upper() for name in columns.names)


def read_region_table(path: Path, hdu: Any, canvas: Canvas) -> tuple[Bools, list[str]]:
    """Mask of the rows of a FITS REGION table, and notes.

    Shapes of one COMPONENT are and'ed, those marked by ``!`` being taken away; components are
    or'ed. Positions are physical ones, or degrees where the unit says so.

    Raises
    ------
    DataError
        A column that is missing, a row that is no shape.
    """
    columns = {name.upper(): name for name in hdu.columns.names}
    where = f"{path}: extension {hdu.name or 'without a name'}"
    x, y = next(
        (pair for pair in (("X", "Y"), ("RA", "DEC")) if set(pair) <= set(columns)), ("", "")
    )
    if not x:
        raise DataError(f"{where}: no columns X and Y beside SHAPE")
    units = {}
    for name in {x, "R"} & set(columns):
        unit = str(hdu.columns[columns[name]].unit or "").strip().lower()
        if unit not in _UNITS:
            raise DataError(f"{where}: column {name} is in '{unit}', expected deg or pixel")
        units[name] = _UNITS[unit]
    sky = x == "RA" or units[x] == "d"
    if sky and units.get("R") == "" and hdu.columns[columns["R"]].unit:
        units["R"] = "p"
    frame = "physical"
    if sky:
        stated = str(hdu.header.get("RADESYS", hdu.header.get("RADECSYS", ""))).strip().lower()
        frame = stated if stated in SKY_FRAMES else "icrs"
    notes = []
    if not sky and (there := _physical_of_columns(hdu, columns[x], columns[y], canvas)):
        physical, apart = there
        if not canvas.has_physical:
            notes.append("placed by the celestial coordinates of columns X and Y")
            canvas = Canvas(canvas.shape, canvas.wcs, physical)
        elif not apart < 0.5:
            notes.append(f"{apart:.3g} pixels off by the celestial coordinates of columns X and Y")
    elif not sky and not canvas.has_physical:
        notes.append("the image has no physical coordinates: taken as its pixels")
    masks = RegionMask(canvas, notes=notes)
    components: dict[Any, tuple[list[Bools], list[Bools]]] = {}
    for number, row in enumerate(hdu.data, 1):
        values = {
            name: np.atleast_1d(np.asarray(row[columns[name]], dtype=float))
            for name in {x, y, "R", "ROTANG"} & set(columns)
        }
        word = str(row[columns["SHAPE"]]).strip().lower()
        written = word.lstrip("!-+").strip()
        # Columns of text may be too narrow for a name.
        name = full_name(written, SHAPES) or written
        if drawing := full_name(name, DRAWINGS):
            masks.drawings[drawing] += 1
            continue
        try:
            cells = _cells(name, values[x], values[y], values, units.get("R", ""))
            pixels = canvas.draw(shape_of(name, cells, frame, canvas))
        except DataError as error:
            raise DataError(f"{where}: row {number}: {error}") from None
        component = int(row[columns["COMPONENT"]]) if "COMPONENT" in columns else -number
        components.setdefault(component, ([], []))[word.startswith(("!", "-"))].append(pixels)
    for inside, outside in components.values():
        if term := common(inside, outside):
            masks.add(term[0], excludes=term[1])
    return masks.result()


def _physical_of_columns(hdu: Any, x: str, y: str, canvas: Canvas) -> tuple[Physical, float] | None:
    """Physical coordinates by the sky of a table's columns, and how far the image's are off.

    The distance is in pixels, at the middle of the table's shapes.
    """
    from astropy.wcs import WCS

    numbers = [hdu.columns.names.index(name) + 1 for name in (x, y)]
    cards = {"TCTYP": "CTYPE", "TCRPX": "CRPIX", "TCRVL": "CRVAL", "TCDLT": "CDELT"}
    if canvas.wcs is None or not len(hdu.data) or any(
        f"{name}{number}" not in hdu.header for name in cards for number in numbers
    ):  # fmt: skip
        return None
    first = np.array([[np.atleast_1d(row[name])[0] for name in (x, y)] for row in hdu.data])
    middle = np.nanmean(first.astype(float), axis=0)
    try:
        sky = WCS(naxis=2)
        sky.wcs.ctype = [hdu.header[f"TCTYP{number}"] for number in numbers]
        for name in ("TCRPX", "TCRVL", "TCDLT"):
            values = [float(hdu.header[f"{name}{number}"]) for number in numbers]
            setattr(sky.wcs, cards[name].lower(), values)
        step = 10.0
        corners = middle + np.array([[0, 0], [step, 0], [0, step]])
        places = canvas.wcs.world_to_pixel(sky.pixel_to_world(*(corners.T - 1)))
    except Exception:
        return None
    there = np.array(places).T + 1
    matrix = (there[1:] - there[0]).T / step
    scale = np.diag(matrix)
    if (
        not np.isfinite(matrix).all()
        or abs(matrix - np.diag(scale)).max() > 0.01 * abs(scale).min()
    ):
        return None
    shift = there[0] - scale * middle
    physical = Physical((float(scale[0]), float(scale[1])), (float(shift[0]), float(shift[1])))
    here = canvas.between((float(middle[0]), float(middle[1])), "physical", "image")
    return physical, float(np.hypot(*(there[0] - here)))


def _cells(name: str, x: Any, y: Any, values: dict[str, Any], unit: str) -> list[str]:
    """What would stand between a shape's brackets."""
    if name == "field":
        return []
    radii, angles = _ROWS.get(name, (0, 0))
    places = 1
    if name == "polygon":
        places = _corners(x, y)
    elif name in ("rectangle", "rotrectangle"):
        places = 2
    found = [*np.stack([x[:places], y[:places]], axis=-1).ravel()]
    cells = [repr(float(value)) for value in found]
    for column, count, mark in (("R", radii, unit), ("ROTANG", angles, "")):
        given = values.get(column, np.empty(0))[:count]
        if column == "ROTANG":
            given = np.nan_to_num(given)
            if count == 1 and len(values.get(column, ())) > 1:
                turned = values[column][1]
                if np.isfinite(turned) and turned not in (0.0, given[0]):
                    raise DataError(f"{name}: outlines of two angles, expected one")
            if count == 1 and not given.size:
                given = np.zeros(1)
        cells += [f"{float(value)!r}{mark}" for value in given]
    return cells


def _corners(x: Any, y: Any) -> int:
    """How many corners a polygon has: up to NaN, the first again, or zeros to the end."""
    filled = np.flatnonzero((x != 0) | (y != 0))
    last = int(filled[-1]) + 1 if filled.size else 0
    for i in range(last):
        if not (np.isfinite(x[i]) and np.isfinite(y[i])):
            return i
        if i and x[i] == x[0] and y[i] == y[0]:
            return i
    return last
