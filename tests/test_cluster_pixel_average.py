"""Brightness averaged over pixels, and pixels that are not square on the sky."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.wcs import WCS
from scipy.integrate import dblquad

import pyxstan
from pyxstan import inference_data
from pyxstan.cluster import ClusterImage
from pyxstan.cluster.cells import Pixels
from pyxstan.cluster.parameters import Layout
from pyxstan.cluster.pilot import expected_counts
from pyxstan.inference_data import group

FloatArray = npt.NDArray[np.float64]
SHORT = {"chains": 2, "warmup": 150, "draws": 100, "seed": 7, "progress": False}
SHAPES = ((1.0, 0.0, 1.0), (1.25, 0.1, 1.01 / 1.25))


def grid(side: int, *, averaged: bool) -> Pixels:
    y, x = np.mgrid[:side, :side].astype(float).reshape(2, -1)
    return Pixels(x, y, 0 * x, 1 + 0 * x, 0 * x, averaged)


@pytest.mark.parametrize("rc", [0.5, 1.0, 3.0, 12.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_average_over_a_pixel_is_the_integral(rc: float, shape: tuple[float, float, float]) -> None:
    """Against adaptive quadrature, in pixels of the core and far from it."""
    layout = Layout(1, elliptical=True, pixel_shape=shape)
    value = {"x0": 20.3, "y0": 19.6, "S0": 1e-3, "rc": rc, "beta": 0.8, "B": 1e-9,
             "shear1": 0.15, "shear2": -0.1}  # fmt: skip
    values = np.array([value[name] for name in layout.names])
    N = expected_counts(grid(41, averaged=True), layout, values).reshape(41, 41)
    for x, y in ((20, 20), (21, 19), (19, 22), (24, 20), (20, 28), (35, 5)):

        def brightness(v: float, u: float) -> float:
            one = Pixels(*(np.array([w]) for w in (u, v, 0.0, 1.0, 0.0)))
            return float(expected_counts(one, layout, values)[0])

        wanted, _ = dblquad(brightness, x - 0.5, x + 0.5, y - 0.5, y + 0.5, epsrel=1e-6)
        assert N[y, x] == pytest.approx(wanted, rel=1e-4), (x, y)


def test_simulated_counts_are_integrated() -> None:
    """The mean of many images of a core of half a pixel, against the sum over a fine grid."""
    parameters = {"x0": 7.8, "y0": 8.3, "S0": 2e-5, "rc": 0.5, "beta": 0.7, "B": 0.01}
    images = [
        pyxstan.simulate("beta", parameters, seed=seed, size=17, point_sources=0)[0]
        for seed in range(40)
    ]
    total = sum(image.counts[6:11, 6:11] for image in images)
    step = (np.arange(50) + 0.5) / 50 - 0.5
    y, x = np.mgrid[6:11, 6:11]
    fine = np.zeros((5, 5))
    for a in step:
        for b in step:
            r2 = (x + a - 7.8) ** 2 + (y + b - 8.3) ** 2
            fine += 2e-5 * (1 + r2 / 0.25) ** (0.5 - 2.1) / 2500
    expected = 40 * (fine * images[0].exposure[6:11, 6:11] + 0.01)
    assert np.abs((total - expected) / np.sqrt(expected)).max() < 4
    assert total.sum() == pytest.approx(expected.sum(), abs=4 * np.sqrt(expected.sum()))


def narrow(rc: float) -> ClusterImage:
    """5,000 counts of a core of about a pixel, integrated over pixels by a midpoint rule."""
    y, x = np.mgrid[:60, :60].astype(float)
    step = (np.arange(25) + 0.5) / 25 - 0.5
    S0 = 5000 * 0.51 / (np.pi * rc**2)
    N = np.full((60, 60), 0.05)
    for a in step:
        for b in step:
            r2 = (x + a - 30.2) ** 2 + (y + b - 29.7) ** 2
            N += S0 * (1 + r2 / rc**2) ** (0.5 - 3 * 0.67) / 625
    counts = np.random.default_rng(8).poisson(N)
    return ClusterImage.from_arrays(counts, np.full((60, 60), 1e8))


@pytest.mark.parametrize("rc", [0.6, 1.0])
def test_a_core_of_a_pixel(rc: float) -> None:
    idata = pyxstan.fit("beta", narrow(rc), **SHORT)
    truth = {"S0": 5000 * 0.51 / (np.pi * rc**2) / 1e8, "rc": rc, "beta": 0.67, "x0": 30.2,
             "y0": 29.7}  # fmt: skip
    for name, wanted in truth.items():
        ours = np.asarray(group(idata, "posterior")[name])
        assert abs(ours.mean() - wanted) < 3 * ours.std(), name
    attrs = inference_data.attributes(idata)
    assert attrs["brightness"] == "average"
    assert any("averaged over each pixel" in note for note in json.loads(attrs["notes"]))
    assert attrs["log_likelihood_error"] < 0.02
    if rc == 1.0:
        entry = pyxstan.registry.get("beta")
        old: Any = entry.family.prepare(
            "beta", narrow(rc), entry.resolve_options({"brightness": "center"}), {}
        )
        S0 = np.asarray(group(idata, "posterior")["S0"])
        assert old.guess.best[2] < truth["S0"] - 2.5 * S0.std()


def test_wide_cores_need_no_average() -> None:
    image, _ = pyxstan.simulate("beta", {"rc": 9.0, "S0": 2e-6}, seed=3, size=100, point_sources=0)
    entry = pyxstan.registry.get("beta")
    found = {
        choice: entry.family.prepare(
            "beta", image, entry.resolve_options({"brightness": choice}), {}
        ).guess
        for choice in ("auto", "average", "center")
    }
    assert not found["auto"].pixels.averaged
    sd = np.linalg.norm(found["auto"].scale, axis=1)
    shift = found["average"].coordinates.theta(found["average"].mode)
    shift -= found["center"].coordinates.theta(found["center"].mode)
    assert (np.abs(shift[2:]) < 0.5 * sd[2:]).all()


def sky(matrix: FloatArray) -> WCS:
    """Pixels whose change of (west... north) in arcsec is a matrix."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [40.5, 40.5]
    wcs.wcs.crval = [150.0, 30.0]
    wcs.wcs.cd = np.asarray(matrix) / 3600
    return wcs


MATRICES = {
    "oblong": np.array([[-3.0, 0.0], [0.0, 2.0]]),
    "sheared": np.array([[-2.4, 0.5], [0.3, 2.6]]),
}


@pytest.mark.parametrize(("name", "ratio"), [("oblong", 1.0), ("sheared", 0.7)])
def test_isophotes_and_radii_are_those_on_the_sky(name: str, ratio: float) -> None:
    """A cluster of 12 arcsec, round or at 30 degrees from north to east, in odd pixels."""
    matrix, turn = MATRICES[name], np.radians(30.0)
    y, x = np.mgrid[:56, :56] - 27.3
    east, north = np.einsum("ij,jkl->ikl", matrix, np.stack([x, y]))
    along = east * np.sin(turn) + north * np.cos(turn)
    across = east * np.cos(turn) - north * np.sin(turn)
    t = along**2 * ratio + across**2 / ratio
    area = abs(np.linalg.det(matrix))
    N = 12.0 * (1 + t / 144) ** (0.5 - 3 * 0.8) + 0.05
    counts = np.random.default_rng(5).poisson(N)
    image = ClusterImage.from_arrays(counts, np.full((56, 56), 1e7), wcs=sky(matrix))
    assert image.pixel_scale == pytest.approx(np.sqrt(area), rel=1e-4)
    idata = pyxstan.fit("beta", image, elliptical=True, **SHORT)
    posterior = group(idata, "posterior")
    truth = {"rc_arcsec": 12.0, "beta": 0.8, "x0": 27.3, "y0": 27.3}
    truth |= {"position_angle": 30.0, "ellipticity": 0.3} if ratio < 1 else {}
    for key, wanted in truth.items():
        ours = np.asarray(posterior[key])
        assert abs(ours.mean() - wanted) < 3.5 * ours.std(), key
    if ratio == 1:
        for key in ("shear1", "shear2"):
            assert abs(float(posterior[key].mean())) < 3.5 * float(posterior[key].std())
    # the area of an isophote at rc, in pixels, is that of a circle of rc
    notes = json.loads(inference_data.attributes(idata)["notes"])
    assert any(note.startswith("pixels are not square on the sky") for note in notes)
    if ratio < 1:
        assert "image" in pyxstan.plot(idata)


def test_square_pixels_stay_square() -> None:
    turn = np.radians(25.0)
    turned = 2 * np.array([[-np.cos(turn), np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    image = ClusterImage.from_arrays(
        np.ones((80, 80), int), np.full((80, 80), 1e7), wcs=sky(turned)
    )
    assert image.pixel_shape == (1.0, 0.0, 1.0)
    assert dataclasses.replace(image, wcs=None).pixel_shape == (1.0, 0.0, 1.0)
    oblong = dataclasses.replace(image, wcs=sky(MATRICES["oblong"]))
    assert oblong.pixel_shape == pytest.approx((np.sqrt(1.5), 0, np.sqrt(1 / 1.5)), abs=1e-4)


@pytest.mark.parametrize(("rc", "told"), [(8.0, True), (3.5, False)])
def test_what_averaging_would_move_is_told(rc: float, told: bool) -> None:
    """Where brightness stays that at pixel centres: against the mode of averaged brightness."""
    truth = {"x0": 30.2, "y0": 31.4, "S0": 2e-5, "rc": rc, "beta": 0.7, "B": 0.02}
    image, _ = pyxstan.simulate("beta", truth, seed=3, size=64, point_sources=0)
    entry = pyxstan.registry.get("beta")
    problems: dict[str, Any] = {
        brightness: entry.family.prepare(
            "beta", image, entry.resolve_options({"brightness": brightness}), {}
        )
        for brightness in ("auto", "center", "average")
    }
    guess, at = problems["auto"].guess, problems["center"].guess
    notes = [note for note in problems["auto"].notes if "would move" in note]
    assert bool(notes) == told
    assert guess.pixels.averaged != told
    if told:
        name, shift = guess.shift
        sd = np.linalg.norm(
            [at.coordinates.values(at.theta + e)[0] - at.mode for e in at.scale.T], axis=0
        )
        moved = np.abs(problems["average"].guess.mode - at.mode) / sd
        assert name == at.coordinates.layout.names[int(np.argmax(moved))]
        assert shift == pytest.approx(moved.max(), rel=0.05)
        assert f"{name} would move by {shift:.1f} of its error" in notes[0]
