"""Region files of every dialect against the geometry of each pixel."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS

from pyxstan.cluster.masks import Physical, load_mask, read_mask
from pyxstan.errors import DataError

SIDE = 200
#: Pixels from 1, as region files count them.
Y, X = np.mgrid[1.0 : SIDE + 1, 1.0 : SIDE + 1]


def drawn(tmp_path: Path, text: str, **keywords: Any) -> Any:
    (tmp_path / "m.reg").write_text(text)
    return read_mask(tmp_path / "m.reg", keywords.pop("shape", X.shape), **keywords)


def ring(inner: float, outer: float, x: float = 80, y: float = 120) -> Any:
    radius = np.hypot(X - x, Y - y)
    return (radius >= inner) & (radius < outer)


def turned(angle: float, x: float = 80, y: float = 120) -> Any:
    c, s = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    return (X - x) * c + (Y - y) * s, (Y - y) * c - (X - x) * s


def ellipse(a: float, b: float, angle: float) -> Any:
    u, v = turned(angle)
    return (u / a) ** 2 + (v / b) ** 2 < 1


def box(width: float, height: float, angle: float) -> Any:
    u, v = turned(angle)
    return (abs(u) < width / 2) & (abs(v) < height / 2)


def wedge(start: float, stop: float, angle: float = 0) -> Any:
    u, v = turned(angle)
    return (np.rad2deg(np.arctan2(v, u)) - start) % 360 <= (stop - start)


SHAPES: dict[str, Any] = {
    "annulus(80,120,0,20)": ring(0, 20),
    "annulus(80,120,10,20,25,40)": ring(10, 40),
    "annulus(80,120,10,40,n=5)": ring(10, 40),
    "ANN(80,120,10,20)": ring(10, 20),
    "cir(80,120,20.5)": ring(0, 20.5),
    "circle 80 120 20.5": ring(0, 20.5),
    "ELL(80,120,30,12,25)": ellipse(30, 12, 25),
    "ellipse(80,120,30,12)": ellipse(30, 12, 0),
    "ellipse(80,120,15,6,30,12,25)": ellipse(30, 12, 25) & ~ellipse(15, 6, 25),
    "ellipse(80,120,15,6,30,12,n=3,25)": ellipse(30, 12, 25) & ~ellipse(15, 6, 25),
    "elliptannulus(80,120,15,6,30,12,25)": ellipse(30, 12, 25) & ~ellipse(15, 6, 25),
    "ellipse(80,120,0,0,30,12,25)": ellipse(30, 12, 25),
    "rotbox(80,120,50,21,130d)": box(50, 21, 130),
    "box(80,120,25,10,51,21,130)": box(51, 21, 130) & ~box(25, 10, 130),
    "boxannulus(80,120,25,10,51,21,130)": box(51, 21, 130) & ~box(25, 10, 130),
    "rectangle(60.5,90.5,99.5,149.5)": (abs(X - 80) < 19.5) & (abs(Y - 120) < 29.5),
    "RECT(99.5,149.5,60.5,90.5)": (abs(X - 80) < 19.5) & (abs(Y - 120) < 29.5),
    "rotdiamond(80,120,41,21,0)": abs(X - 80) / 20.5 + abs(Y - 120) / 10.5 < 1,
    "pie(80,120,10,40,30,130)": ring(10, 40) & wedge(30, 130),
    "pie(80,120,10,40,300,400)": ring(10, 40) & wedge(300, 400),
    "pie(80,120,10,40,-50,20)": ring(10, 40) & wedge(-50, 20),
    "pie(80,120,10,40,0,360)": ring(10, 40),
    "sector(80,120,30,130)": wedge(30, 130),
    "panda(80,120,30,130,4,10,40,2)": ring(10, 40) & wedge(30, 130),
    "epanda(80,120,0,130,4,15,6,30,12,2,25)":
        ellipse(30, 12, 25) & ~ellipse(15, 6, 25) & wedge(0, 130, 25),
    "bpanda(80,120,0,130,4,25,10,51,21,2,25)":
        box(51, 21, 25) & ~box(25, 10, 25) & wedge(0, 130, 25),
    "poly(60.5,90.5,60.5,149.5,99.5,149.5,99.5,90.5)": (abs(X - 80) < 19.5) & (abs(Y - 120) < 29.5),
    "field()": X > 0,
    # Combinations
    "annulus(80,120,10,20)*circle(80,120,30)": ring(10, 20),
    "annulus(80,120,10,20)-box(80,120,100,6,30)": ring(10, 20) & ~box(100, 6, 30),
    "annulus(80,120,10,20)-circle(95,120,15)": ring(10, 20) & ~ring(0, 15, 95),
    "annulus(80,120,10,20) & !circle(95,120,15)": ring(10, 20) & ~ring(0, 15, 95),
    "annulus(80,120,10,20)*!circle(95,120,15)": ring(10, 20) & ~ring(0, 15, 95),
    "circle(95,120,15)*circle(80,120,9)+circle(20,20,5)":
        ring(0, 15, 95) & ring(0, 9) | ring(0, 5, 20, 20),
    "circle(20,20,5)|circle(95,120,15)&circle(80,120,9)":
        ring(0, 15, 95) & ring(0, 9) | ring(0, 5, 20, 20),
    "(circle(95,120,15)+circle(20,20,5))*circle(80,120,9)": ring(0, 15, 95) & ring(0, 9),
    "field()-circle(80,120,9)": ~ring(0, 9),
    "field()*!circle(80,120,9)-circle(20,20,5)": ~(ring(0, 9) | ring(0, 5, 20, 20)),
    "((X,Y) IN circle(80,120,9)) || ((X,Y) in circle(20,20,5))": ring(0, 9) | ring(0, 5, 20, 20),
    "&&!((X,Y) IN circle(80,120,9))": ring(0, 9),
    # Selections of events have half widths
    "(X,Y) IN box(80,120,25.5,10.5,130)": box(51, 21, 130),
    "box(80,120,25.5,10.5,130,X,Y) && (circle(80,120,20,X,Y))": box(51, 21, 130) & ring(0, 20),
    "((X,Y) in RHOMBUS(80,120,20.5,10.5,0))": abs(X - 80) / 20.5 + abs(Y - 120) / 10.5 < 1,
    "((X,Y) in ring(80,120,10,20))": ring(10, 20),
    "((X,Y) in elliptring(80,120,15,6,30,12,25,25))": ellipse(30, 12, 25) & ~ellipse(15, 6, 25),
    "((X,Y) in rectangle(60.5,90.5,99.5,149.5,0))": (abs(X - 80) < 19.5) & (abs(Y - 120) < 29.5),
    # Several lines and what is excluded
    "circle(95,120,15)\n-circle(80,120,9)\ncircle(20,20,5)":
        ring(0, 15, 95) & ~ring(0, 9) | ring(0, 5, 20, 20),
    "-circle(80,120,9);circle(95,120,15)": ring(0, 15, 95) & ~ring(0, 9),
    "-circle(80,120,9);!circle(20,20,5)": ring(0, 9) | ring(0, 5, 20, 20),
    "circle(95,120,15)\ncircle(80,120,9) # include=0": ring(0, 15, 95) & ~ring(0, 9),
    "global include=0\ncircle(80,120,9)": ring(0, 9),
    "# composite(1,2,0) || composite=1\ncircle(80,120,9) || # color=red\n-circle(95,120,15) ||":
        ring(0, 9) & ~ring(0, 15, 95),
    "physical;circle(80,120,9) # text={a;b} a; b\nimage; circle(20,20,5)":
        ring(0, 9) | ring(0, 5, 20, 20),
    "circle(80,120,9) # color=red; circle(20,20,5)": ring(0, 9) | ring(0, 5, 20, 20),
    "point(3,4)\nline(1,1,9,9)\n# text(1,2) text={circle(1,2,3)}\ncircle(80,120,9)": ring(0, 9),
    "circle(80,120,9)-point(80,120)": ring(0, 9),
}  # fmt: skip


@pytest.mark.parametrize("text", SHAPES)
def test_every_pixel_of_a_shape(text: str, tmp_path: Path) -> None:
    found = drawn(tmp_path, text)
    np.testing.assert_array_equal(found, SHAPES[text])
    np.testing.assert_array_equal(drawn(tmp_path, f"image;{text}"), found)
    assert text == "field()" or 0 < found.sum() < found.size


@pytest.mark.parametrize(
    ("text", "pixels"),
    [
        ("annulus(80,120,10,20)*circle(80,120,30)", 940),
        ("annulus(80,120,10,20)-box(80,120,100,6,30)", 820),
        ("annulus(80,120,10,20)-circle(95,120,15)", 634),
    ],
)
def test_pixels_of_combined_shapes(text: str, pixels: int, tmp_path: Path) -> None:
    assert drawn(tmp_path, f"image; {text}").sum() == pixels


def test_what_was_decided_is_said(tmp_path: Path) -> None:
    path = tmp_path / "m.reg"
    for text, words in {
        "(X,Y) IN circle(9,9,3)": "the image has no physical coordinates: taken as its pixels",
        "point(3,4)\npoint(5,6)\ncircle(9,9,3)": "what has no area is left aside (2 point)",
        "-circle(9,9,3)": "nothing but excluded shapes: their inside is masked",
        "physical\ncircle(9,9,3)": "the image has no physical coordinates: taken as its pixels",
        "circle(9,9,3)\n-circle(9,9,1)": "excluded shapes are taken out of the others",
    }.items():
        path.write_text(text)
        (note,) = load_mask(path, (20, 20)).notes
        assert note.startswith(f"mask {path}: {words}")
    path.write_text("circle(9,9,3)")
    assert load_mask(path, (20, 20)).notes == ()
    path.write_text("(X,Y) IN box(9,9,3,3,0)")
    (note,) = load_mask(path, (20, 20), physical=Physical((1.0, 1.0), (0.0, 0.0))).notes
    assert note.startswith(f"mask {path}: half widths of a box in a selection of events")


@pytest.mark.parametrize(
    "disguise",
    [
        lambda text: text.replace("\n", "\r\n").encode(),
        lambda text: text.replace("\n", "   \t\n").encode(),
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.replace("a source", "Ångström").encode("latin-1"),
        lambda text: gzip.compress(text.encode()),
    ],
    ids=["Windows", "blanks", "mark", "UTF-16", "Latin-1", "gzip"],
)
@pytest.mark.parametrize(
    "text",
    [
        "# a source\nimage\ncircle(11,6,2.5)\n\nbox(21,16,4,4,0) # a source\n-circle(21,16,1)\n",
        "# a source\n11 6 2.5\n 21\t16\t2.5 # a source\n",
        "x,y,radius\n11,6,2.5\n21,16,2.5\n",
        "11; 6; 2.5\n21 ;16;2.5;\n",
        "11|6|2.5\n21 | 16 | 2.5\n",
    ],
)
def test_disguises_of_text(text: str, disguise: Callable[[str], bytes], tmp_path: Path) -> None:
    path = tmp_path / "mask"
    path.write_text(text)
    plain = read_mask(path, (30, 40))
    assert plain[5, 10]
    assert plain.sum() > 21
    path.write_bytes(disguise(text))
    np.testing.assert_array_equal(read_mask(path, (30, 40)), plain)


# On the sky

NY, NX = 48, 64
C, S = 2 / 3600 * np.cos(np.deg2rad(33)), 2 / 3600 * np.sin(np.deg2rad(33))
CELESTIAL: dict[str, dict[str, Any]] = {
    "north up": {"CDELT1": -2 / 3600, "CDELT2": 2 / 3600},
    "east right": {"CDELT1": 2 / 3600, "CDELT2": 2 / 3600},
    "oblong": {"CDELT1": -1.5 / 3600, "CDELT2": 3 / 3600},
    "turned": {"CD1_1": -C, "CD1_2": S, "CD2_1": S, "CD2_2": C},
    "sheared": {"CD1_1": -2 / 3600, "CD1_2": 0.7 / 3600, "CD2_1": 0.2 / 3600, "CD2_2": 2.4 / 3600},
    "galactic": {"CDELT1": -2 / 3600, "CDELT2": 2 / 3600, "CTYPE1": "GLON-TAN",
                 "CTYPE2": "GLAT-TAN", "CRVAL1": 104.84, "CRVAL2": 68.54},
}  # fmt: skip
FRAMES = {
    "icrs": "icrs", "fk5": "fk5", "fk4": "fk4", "b1950": "fk4", "galactic": "galactic",
    "ecliptic": "barycentricmeanecliptic",
}  # fmt: skip


def celestial(name: str, **keywords: Any) -> WCS:
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 30.0, "CRPIX2": 20.0,
             "CRVAL1": 202.48, "CRVAL2": 47.2, "CUNIT1": "deg", "CUNIT2": "deg",
             **CELESTIAL[name], **keywords}  # fmt: skip
    return WCS(fits.Header(list(cards.items())))


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("name", CELESTIAL)
def test_shapes_on_the_sky(name: str, frame: str, tmp_path: Path) -> None:
    """Distances on the sky, angles from west over north in the region's own frame."""
    wcs = celestial(name)
    rows, columns = np.mgrid[:NY, :NX]
    sky = wcs.pixel_to_world(columns, rows).transform_to(FRAMES[frame])
    center = wcs.pixel_to_world(35.3, 22.1).transform_to(FRAMES[frame])
    place = f"{center.spherical.lon.deg:.12f},{center.spherical.lat.deg:.12f}"
    east, north = center.spherical_offsets_to(sky)
    angle = np.deg2rad(25)
    u = -east.arcsec * np.cos(angle) + north.arcsec * np.sin(angle)
    v = east.arcsec * np.sin(angle) + north.arcsec * np.cos(angle)
    apart = center.separation(sky).arcsec
    for text, truth in {
        f'circle({place},17")': apart < 17,
        f"annulus({place},0.1',0.5')": (apart >= 6) & (apart < 30),
        f'ellipse({place},32",9",25)': np.hypot(u / 32, v / 9) < 1,
        f'box({place},50",14",25)': (abs(u) < 25) & (abs(v) < 7),
        f'epanda({place},0,90,1,3",2",32",12",1,25)':
            (np.hypot(u / 32, v / 12) < 1) & (np.hypot(u / 3, v / 2) >= 1) & (u >= 0) & (v >= 0),
    }.items():  # fmt: skip
        found = drawn(tmp_path, f"{frame}\n{text}", shape=(NY, NX), wcs=wcs)
        np.testing.assert_array_equal(found, truth, err_msg=text)
        assert 20 < found.sum() < found.size / 2


@pytest.mark.parametrize("name", CELESTIAL)
def test_polygons_on_the_sky_have_straight_sides(name: str, tmp_path: Path) -> None:
    """In a gnomonic projection great circles are straight in the image too."""
    wcs = celestial(name)
    corners = np.array([[12.2, 8.3], [50.4, 11.1], [41.7, 40.2], [30.1, 17.6]])
    sky = wcs.pixel_to_world(*corners.T).transform_to("fk5")
    pairs = ",".join(f"{c.ra.deg:.13f},{c.dec.deg:.13f}" for c in sky)
    found = drawn(tmp_path, f"fk5;polygon({pairs})", shape=(NY, NX), wcs=wcs)
    pixels = ",".join(f"{x + 1},{y + 1}" for x, y in corners)
    truth = drawn(tmp_path, f"image;polygon({pixels})", shape=(NY, NX))
    assert truth.sum() > 300
    np.testing.assert_array_equal(found, truth)


def test_an_angle_of_another_frame(tmp_path: Path) -> None:
    """The principal axis of the pixels of an icrs ellipse on a galactic image."""
    wcs = celestial("galactic")
    center = wcs.pixel_to_world(31.0, 24.0).icrs
    place = f"{center.ra.deg:.12f},{center.dec.deg:.12f}"
    found = drawn(tmp_path, f'icrs;ellipse({place},40",12",25)', shape=(NY, NX), wcs=wcs)
    y, x = np.argwhere(found).T
    spread = np.cov(x, y)
    angle = 0.5 * np.rad2deg(np.arctan2(2 * spread[0, 1], spread[0, 0] - spread[1, 1])) % 180
    north = center.directional_offset_by(0 * u.deg, 1 * u.arcsec)
    up = wcs.world_to_pixel(north)
    expected = (np.rad2deg(np.arctan2(up[1] - 24.0, up[0] - 31.0)) - 90 + 25) % 180
    assert angle == pytest.approx(expected, abs=2)
    assert abs(expected - 25) > 20


@pytest.mark.parametrize(("name", "frame"), [("galactic", "galactic"), ("turned", "icrs")])
def test_wcs_is_the_frame_of_the_image(name: str, frame: str, tmp_path: Path) -> None:
    wcs = celestial(name)
    place = wcs.pixel_to_world(35.3, 22.1).spherical
    text = f'ellipse({place.lon.deg:.9f},{place.lat.deg:.9f},22.3",9.1",25)'
    found, same = (
        drawn(tmp_path, f"{word};{text}", shape=(NY, NX), wcs=wcs) for word in ("WCS", frame)
    )
    assert 50 < found.sum() < 300
    np.testing.assert_array_equal(found, same)


def test_sizes_on_the_sky_of_pixel_shapes(tmp_path: Path) -> None:
    """Angles run from x to y then, and lengths are those of the sky."""
    for name in ("north up", "east right", "oblong"):
        wcs = celestial(name)
        width, height = (1.5, 3.0) if name == "oblong" else (2.0, 2.0)
        rows, columns = np.mgrid[:NY, :NX]
        u, v = (columns - 34.3) * width, (rows - 22.1) * height
        found = drawn(tmp_path, 'image;circle(35.3,23.1,17")', shape=(NY, NX), wcs=wcs)
        np.testing.assert_array_equal(found, np.hypot(u, v) < 17)
        found = drawn(tmp_path, "physical;box(35.3,23.1,0.5',0.2',30)", shape=(NY, NX), wcs=wcs)
        turn = np.deg2rad(30)
        a, b = u * np.cos(turn) + v * np.sin(turn), v * np.cos(turn) - u * np.sin(turn)
        np.testing.assert_array_equal(found, (abs(a) < 15) & (abs(b) < 6))


def test_positions_without_a_frame(tmp_path: Path) -> None:
    wcs = celestial("north up")
    expected = drawn(tmp_path, 'fk5;circle(202.47,47.21,13")', shape=(NY, NX), wcs=wcs)
    assert expected.sum() > 100
    for text in (
        'circle(202.47d,47.21d,13")', 'circle(13:29:52.8,+47:12:36,13")',
        "circle(13h29m52.8s,47d12m36s,13\")", "circle(202.47d,47.21d,13'')",
        'fk5;circle(3.533768136513r,0.823969939867r,13")', "fk5;circle(202.47,47.21,6.5i)",
        "circle(13:29:52.8,+47:12:36,6.5)", "J2000; CIRCLE(13:29:52.8 +47:12:36 13\")",
        "icrs\ncircle(202.47,47.21,0.00361111111)", 'fk5 circle(202.47,47.21,13")',
    ):  # fmt: skip
        found = drawn(tmp_path, text, shape=(NY, NX), wcs=wcs)
        assert (found != expected).sum() <= 1, text
    for text in ('circle(202.47d,47.21d,5")', 'image;circle(3,4,5")', "fk5;box(1,2,3,4,5)"):
        with pytest.raises(DataError, match="line 1: sky coordinates, but the image has none"):
            drawn(tmp_path, text)


def test_physical_lengths_on_the_sky(tmp_path: Path) -> None:
    wcs, physical = celestial("north up"), Physical((0.25, 0.25), (-10.0, -20.0))
    expected = drawn(tmp_path, 'fk5;circle(202.47,47.21,13")', shape=(NY, NX), wcs=wcs)
    for text in ("circle(13:29:52.8,+47:12:36,26)", "fk5;circle(202.47,47.21,26p)"):
        found = drawn(tmp_path, text, shape=(NY, NX), wcs=wcs, physical=physical)
        assert (found != expected).sum() <= 1, text


# FITS REGION tables


def region_table(path: Path, rows: list[tuple[Any, ...]], *, component: bool = True) -> Path:
    """Write rows of shape, x, y, r, rotang, component."""

    def vectors(index: int) -> Any:
        return np.array([np.resize([*row[index], *[0.0] * 6], 6) for row in rows])

    columns = [
        fits.Column("SHAPE", "16A", array=[row[0] for row in rows]),
        fits.Column("X", "6D", unit="pix", array=vectors(1)),
        fits.Column("Y", "6D", unit="pix", array=vectors(2)),
        fits.Column("R", "6D", unit="pix", array=vectors(3)),
        fits.Column("ROTANG", "6D", unit="deg", array=vectors(4)),
    ]
    if component:
        columns.append(fits.Column("COMPONENT", "J", array=[row[5] for row in rows]))
    table = fits.BinTableHDU.from_columns(columns, name="REGION")
    fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
    return path


def test_region_tables(tmp_path: Path) -> None:
    at = ([80.0], [120.0])
    rows = [
        ("ANNULUS", *at, [10.0, 20.0], [], 1),
        ("!BOX", *at, [100.0, 6.0], [30.0], 1),
        ("Circle", [20.0], [20.0], [5.0], [], 2),
        ("POINT", [3.0], [4.0], [], [], 3),
        ("polygon", [150, 190, 190], [150, 150, 180], [], [], 4),
        ("PIE", [30.0], [150.0], [5, 15], [20, 80], 5),
    ]
    u, v = X - 30, Y - 150
    angle = np.rad2deg(np.arctan2(v, u))
    truth = (
        ring(10, 20) & ~box(100, 6, 30) | ring(0, 5, 20, 20)
        | ((X >= 150) & (X < 190) & (Y > 150) & (Y - 150 <= (X - 150) * 0.75))
        | (np.hypot(u, v) >= 5) & (np.hypot(u, v) < 15) & (angle >= 20) & (angle <= 80)
    )  # fmt: skip
    path = region_table(tmp_path / "r.fits", rows)
    found = load_mask(path, X.shape)
    edge = (Y == 150) | (np.abs((Y - 150) - (X - 150) * 0.75) < 1e-9)
    assert not ((found.pixels != truth) & ~edge).any()
    assert found.notes == (
        f"mask {path}: the image has no physical coordinates: taken as its pixels",
        f"mask {path}: what has no area is left aside (1 point)",
    )
    # Physical coordinates, as the event file has them
    coarse = read_mask(path, (50, 50), physical=Physical((0.25, 0.25), (0.375, 0.375)))
    assert coarse.sum() == pytest.approx(found.pixels.sum() / 16, rel=0.05)


def test_region_tables_of_what_to_leave_out(tmp_path: Path) -> None:
    """Lists of sources as event filters have them."""
    rows = [
        ("!CIRCLE", [20.0 * n], [30.0 * n], [5.0], [], n) for n in (1, 2, 3)
    ]  # fmt: skip
    truth = ring(0, 5, 20, 30) | ring(0, 5, 40, 60) | ring(0, 5, 60, 90)
    for component in (True, False):
        path = region_table(tmp_path / "r.fits", rows, component=component)
        np.testing.assert_array_equal(read_mask(path, X.shape), truth)
        assert "nothing but excluded shapes" in load_mask(path, X.shape).notes[-1]
    plain = region_table(tmp_path / "p.fits", [("BLOB", [1.0], [1.0], [1.0], [], 1)])
    with pytest.raises(DataError, match=r"p.fits: extension REGION: row 1: unknown shape 'blob'"):
        read_mask(plain, X.shape)


def test_region_tables_with_the_sky_of_their_columns(tmp_path: Path) -> None:
    """Without physical coordinates in the image, the table's own sky places its shapes."""
    wcs = celestial("north up")
    rows = [("CIRCLE", [4100.0 + n], [4090.0], [26.0], [], n) for n in (0, 40)]
    path = region_table(tmp_path / "r.fits", rows)
    with fits.open(path, mode="update") as hdus:
        cards = {
            "TCTYP2": "RA---TAN",
            "TCTYP3": "DEC--TAN",
            "TCRPX2": 4096.5,
            "TCRPX3": 4096.5,
            "TCRVL2": 202.48,
            "TCRVL3": 47.2,
            "TCDLT2": -0.5 / 3600,
            "TCDLT3": 0.5 / 3600,
        }
        hdus["REGION"].header.update(cards)  # fmt: skip
    x, y = 30 + (np.array([4100, 4140]) - 4096.5) / 4, 20 + (4090 - 4096.5) / 4
    text = "image;" + ";".join(f"circle({one},{y},6.5)" for one in x)
    truth = drawn(tmp_path, text, shape=(NY, NX))
    found = load_mask(path, (NY, NX), wcs)
    np.testing.assert_array_equal(found.pixels, truth)
    assert found.notes == (f"mask {path}: placed by the celestial coordinates of columns X and Y",)
    physical = Physical((0.25, 0.25), (30 - 4096.5 / 4, 20 - 4096.5 / 4))
    found = load_mask(path, (NY, NX), wcs, physical=physical)
    np.testing.assert_array_equal(found.pixels, truth)
    assert found.notes == ()
    moved = Physical((0.25, 0.25), (33 - 4096.5 / 4, 24 - 4096.5 / 4))
    (note,) = load_mask(path, (NY, NX), wcs, physical=moved).notes
    assert "5 pixels off by the celestial coordinates of columns X and Y" in note


def test_region_tables_in_degrees(tmp_path: Path) -> None:
    """Columns of numbers or vectors, narrow names, radii in any unit."""
    wcs = celestial("north up")
    place = "202.47,47.21"
    truth = drawn(
        tmp_path,
        f'icrs;ellipse({place},5",3",20",9",25)\ncircle(202.48,47.2,4.3")\n-circle({place},6.3")',
        shape=(NY, NX), wcs=wcs,
    )  # fmt: skip
    assert truth.sum() > 50
    for names, unit, factor in (
        (("X", "Y"), "deg", 1 / 3600), (("RA", "DEC"), "arcsec", 1), (("RA", "DEC"), "pix", 0.5),
    ):  # fmt: skip
        columns = [
            fits.Column("SHAPE", "7A", array=["ELLIPTANNULUS"[:7], "CIRCLE", "!CIRCLE"]),
            fits.Column(names[0], "D", unit="deg", array=[202.47, 202.48, 202.47]),
            fits.Column(names[1], "D", unit="deg", array=[47.21, 47.2, 47.21]),
            fits.Column("R", "4D", unit=unit, array=factor
                        * np.array([[5, 3, 20, 9], [4.3, 0, 0, 0], [6.3, 0, 0, 0]])),
            fits.Column("ROTANG", "D", unit="deg", array=[25.0, 0, 0]),
        ]  # fmt: skip
        table = fits.BinTableHDU.from_columns(columns, name="REGION")
        path = tmp_path / "r.fits"
        fits.HDUList([fits.PrimaryHDU(), table]).writeto(path, overwrite=True)
        found = read_mask(path, (NY, NX), wcs)
        assert (found != truth).sum() <= 1, unit


def test_files_of_the_regions_package(tmp_path: Path) -> None:
    """The same scene in every frame, with points, lines and texts in it."""
    regions = pytest.importorskip("regions")
    folder = Path(regions.__file__).parent / "io" / "ds9" / "tests" / "data"
    files = sorted(folder.glob("*.reg"))
    if not files:
        pytest.skip("the regions package came without its files")
    wcs = WCS(fits.Header([
        ("CTYPE1", "RA---TAN"), ("CTYPE2", "DEC--TAN"), ("CRPIX1", 200), ("CRPIX2", 200),
        ("CRVAL1", 202.48), ("CRVAL2", 47.2), ("CDELT1", -0.4 / 3600), ("CDELT2", 0.4 / 3600),
    ]))  # fmt: skip
    scenes = {}
    for path in files:
        scenes[path.name] = read_mask(path, (400, 400), wcs)
    reference = scenes["ds9.icrs.reg"]
    assert reference.sum() > 2000
    # Of the same DS9, FK4 lacks the E-terms (0.3 arcsec) and ecliptic positions are 30 arcsec off.
    for frame in ("fk5", "fk4", "galactic"):
        for hms in ("", ".hms"):
            scene = scenes[f"ds9.{frame}{hms}.reg"]
            bar = 0.15 if frame == "fk4" else 0.06
            assert (scene != reference).sum() < bar * reference.sum(), frame
    assert scenes["ds9.ecliptic.reg"].sum() == pytest.approx(reference.sum(), rel=0.02)
