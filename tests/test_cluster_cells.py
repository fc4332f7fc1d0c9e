"""Cells of a cluster image against its pixels, and the sampler's coordinates against calculus."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.linalg import expm
from scipy.stats import poisson

import pyxstan
from pyxstan import registry
from pyxstan.cluster import pilot
from pyxstan.cluster.annuli import Annuli
from pyxstan.cluster.brightness import axes_of
from pyxstan.cluster.cells import Pixels, merged_cells, pixel_cells
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.parameters import Coordinates, Layout, _squared_radius
from pyxstan.engine import sampling
from pyxstan.engine.build import build
from pyxstan.priors import log_prior

FloatArray = npt.NDArray[np.float64]
REFERENCE = (29.0, 31.5)
VALUES = {
    "x0": 29.4, "y0": 31.2, "S0": 4e-4, "rc": 3.0, "beta": 0.8, "S02": 5e-5, "rc2": 9.0,
    "beta2": 0.6, "B": 0.1, "b": 7e-6, "map_factor": 0.8, "shear1": 0.15, "shear2": -0.1,
    "x02": 30.5, "y02": 29.5,
}  # fmt: skip
LAYOUTS = {
    "beta": Layout(1),
    "double": Layout(2),
    "elliptical": Layout(1, elliptical=True),
    "double, elliptical": Layout(2, elliptical=True),
    "offset": Layout(2, offset=True),
    "no background": Layout(1, constant=False),
    "sky": Layout(2, constant=False, sky=True),
    "free map": Layout(1, background_map="free"),
    "fixed map": Layout(2, constant=False, background_map="fixed"),
    "everything": Layout(2, True, True, "free", True, True),
}


def values_of(layout: Layout, rng: np.random.Generator | None = None) -> FloatArray:
    values = np.array([VALUES[name] for name in layout.names])
    return values if rng is None else values * rng.uniform(0.97, 1.03, values.size)


def coordinates_of(layout: Layout) -> Coordinates:
    scale = {"B": 0.02, "b": 5e-6, "map_factor": 0.3}
    return Coordinates(
        layout,
        REFERENCE,
        (6.0, 18.0)[: layout.components],
        tuple(scale[name] for name in layout.backgrounds),
    )


def some_pixels(side: int = 64, seed: int = 4) -> Pixels:
    """An image with holes, of uneven exposure and background."""
    rng = np.random.default_rng(seed)
    y, x = np.nonzero(rng.random((side, side)) > 0.05)
    r = np.hypot(x - 30, y - 30)
    exposure = 1e4 / (1 + (r / 60) ** 2) * rng.uniform(0.9, 1.0, x.size)
    background = 0.2 + 0.001 * x
    pixels = Pixels(x.astype(float), y.astype(float), np.zeros(x.size), exposure, background)
    expected = brute_force_expected(pixels, Layout(2, True, True, "free", True, True))
    counts = rng.poisson(expected).astype(float)
    return Pixels(pixels.x, pixels.y, counts, exposure, background)


def brute_force_expected(
    pixels: Pixels, layout: Layout, values: FloatArray | None = None
) -> FloatArray:
    """N of each pixel, written as an astronomer would: turned and stretched coordinates."""
    value = dict(zip(layout.names, values_of(layout) if values is None else values, strict=True))
    e1, e2 = value.get("shear1", 0.0), value.get("shear2", 0.0)
    log_ratio, angle = 2 * np.hypot(e1, e2), 0.5 * np.arctan2(e2, e1)
    S = np.full(pixels.x.size, value.get("b", 0.0))
    for suffix in ("", "2")[: layout.components]:
        of = "2" if suffix and layout.offset else ""
        X, Y = pixels.x - value[f"x0{of}"], pixels.y - value[f"y0{of}"]
        along = X * np.cos(angle) + Y * np.sin(angle)
        across = -X * np.sin(angle) + Y * np.cos(angle)
        t = along**2 * np.exp(-log_ratio) + across**2 * np.exp(log_ratio)
        r = np.sqrt(t) / value[f"rc{suffix}"]
        S += value[f"S0{suffix}"] * (1 + r**2) ** (-3 * value[f"beta{suffix}"] + 0.5)
    factor = {"none": 0.0, "fixed": 1.0}.get(layout.background_map, value.get("map_factor"))
    return np.asarray(pixels.exposure * S + value.get("B", 0.0) + factor * pixels.background)


# Pixels


@pytest.mark.parametrize("name", LAYOUTS)
def test_cells_of_one_pixel_are_exact(name: str) -> None:
    layout, pixels = LAYOUTS[name], some_pixels()
    annulus = (np.arange(pixels.x.size) % 3).astype(np.int64)
    cells = pixel_cells(pixels, REFERENCE, annulus, 3)
    rng = np.random.default_rng(8)
    for _ in range(3):
        values = values_of(layout, rng)
        N = brute_force_expected(pixels, layout, values)
        u = layout.coefficients(values, REFERENCE)
        wanted = float(np.sum(pixels.counts * np.log(N) - N))
        assert cells.log_likelihood(u) == pytest.approx(wanted, rel=1e-12)
        expected, logs = cells.expected_and_log(u)
        np.testing.assert_allclose(expected, np.bincount(annulus, N), rtol=1e-12)
        np.testing.assert_allclose(
            logs, np.bincount(annulus, pixels.counts * np.log(N)), rtol=1e-12
        )
        np.testing.assert_allclose(pilot.expected_counts(pixels, layout, values), N, rtol=1e-12)


def test_differences_are_those_of_the_poisson_probability() -> None:
    """What is left out, ln n!, is constant."""
    layout, pixels = LAYOUTS["double, elliptical"], some_pixels()
    cells = pixel_cells(pixels, REFERENCE, np.zeros(pixels.x.size, dtype=np.int64), 1)
    rng = np.random.default_rng(9)
    points = [values_of(layout, rng) for _ in range(4)]
    ours = np.array([cells.log_likelihood(layout.coefficients(v, REFERENCE)) for v in points])
    theirs = np.array(
        [poisson.logpmf(pixels.counts, brute_force_expected(pixels, layout, v)).sum()
         for v in points]
    )  # fmt: skip
    assert np.ptp(ours) > 1
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], atol=1e-7)


def test_good_pixels_of_an_image() -> None:
    counts = np.arange(400).reshape(20, 20)
    exposure = np.linspace(1, 2, 400).reshape(20, 20)
    mask = np.zeros((20, 20), dtype=bool)
    mask[3, 5] = True
    image = ClusterImage.from_arrays(
        counts, exposure, mask=mask, background_map=counts / 100, min_exposure=0
    )
    pixels = Pixels.of(image)
    assert pixels.x.size == 399
    assert not ((pixels.x == 5) & (pixels.y == 3)).any()
    np.testing.assert_array_equal(pixels.counts, 20 * pixels.y + pixels.x)
    np.testing.assert_array_equal(pixels.exposure, exposure[~mask])
    np.testing.assert_allclose(pixels.background, pixels.counts / 100)
    bare = ClusterImage.from_arrays(counts, exposure, min_exposure=0)
    assert not Pixels.of(bare).background.any()


# Merged cells


def test_moments_by_hand() -> None:
    """Two cells of two pixels, by ring, and one pixel of its own."""
    pixels = Pixels(
        x=np.array([1.0, 3.0, 10.0, 12.0, 0.0]),
        y=np.array([0.0, 0.0, 1.0, 1.0, 0.0]),
        counts=np.array([1.0, 3.0, 0.0, 2.0, 5.0]),
        exposure=np.array([2.0, 2.0, 1.0, 3.0, 4.0]),
        background=np.array([1.0, 1.0, 1.0, 1.0, 2.0]),
    )
    cells = merged_cells(
        pixels, (0.0, 0.0), np.zeros(5, dtype=np.int64), 1,
        np.array([-1.0, -1.0, -30.0, -30.0, 0.0]), np.zeros(5), (0.0, 0.0, 0.0),
        np.array([False, False, False, False, True]), step=1.0, sectors=1,
    )  # fmt: skip
    order = np.argsort(cells.mean[0])
    np.testing.assert_array_equal(cells.exposure[order], [4, 4, 4])
    # (X^2 + Y^2, X, Y, X^2 - Y^2, 2 X Y): alone; (1, 0), (3, 0) equally; (10, 1), (12, 1) as 1 : 3
    np.testing.assert_allclose(
        cells.mean[:, order].T,
        [[0, 0, 0, 0, 0], [5, 2, 0, 5, 0], [(101 + 3 * 145) / 4, 11.5, 1, 132.0, 23.0]],
    )
    matrix = np.zeros((3, 5, 5))
    matrix[:, *np.triu_indices(5)] = cells.covariance[:, order].T
    np.testing.assert_array_equal(matrix[0], np.zeros((5, 5)))
    step = np.array([8.0, 2.0, 0.0, 8.0, 0.0])
    np.testing.assert_allclose(matrix[1], np.triu(np.outer(step, step) / 4))
    step = np.array([44.0, 2.0, 0.0, 44.0, 4.0])
    np.testing.assert_allclose(matrix[2], np.triu(np.outer(step, step) * 3 / 16), atol=1e-12)

    order = np.argsort(cells.counts_mean[0])
    np.testing.assert_array_equal(cells.counts[order], [5, 4, 2])
    np.testing.assert_allclose(
        cells.counts_mean[:, order].T,
        [
            [0, 0, 0, 0, 0, 1 / 4, 2 / 4],
            [(1 + 3 * 9) / 4, 2.5, 0, 7, 0, 1 / 2, 1 / 2],
            [145, 12, 1, 143, 24, 1 / 3, 1 / 3],
        ],
    )
    matrix = np.zeros((3, 7, 7))
    matrix[:, *np.triu_indices(7)] = cells.counts_covariance[:, order].T
    step = np.array([8.0, 2.0, 0.0, 8.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(matrix[1], np.triu(np.outer(step, step) * 3 / 16))
    assert not matrix[[0, 2]].any()
    np.testing.assert_allclose(
        cells.totals, [[5, 12, 6, 4 * np.log(2) + 2 * np.log(3) + 5 * np.log(4)]]
    )


def merged_like(pixels: Pixels, layout: Layout, level: int, annuli: Annuli | None = None) -> Any:
    return pilot.merged(
        pixels,
        coordinates_of(layout),
        values_of(layout),
        annuli or Annuli.around(pixels, REFERENCE),
        level,
    )


@pytest.mark.parametrize("name", ["double", "everything"])
def test_finer_levels_come_closer_to_the_pixels(name: str) -> None:
    layout, pixels = LAYOUTS[name], some_pixels(160)
    rng = np.random.default_rng(3)
    points = [layout.coefficients(values_of(layout, rng), REFERENCE) for _ in range(8)]
    exact = merged_like(pixels, layout, len(pilot.LEVELS))
    assert exact.exposure.size == pixels.x.size
    assert exact.covariance.size == 0
    truth = np.array([exact.log_likelihood(u) for u in points])
    assert np.ptp(truth) > 5
    errors, sizes = [], []
    for level in range(len(pilot.LEVELS)):
        cells = merged_like(pixels, layout, level)
        errors.append(np.ptp(truth - [cells.log_likelihood(u) for u in points]))
        sizes.append(cells.exposure.size + cells.counts.size)
        assert cells.exposure.sum() == pytest.approx(pixels.exposure.sum(), rel=1e-12)
        assert cells.counts.sum() == pixels.counts.sum()
    assert sizes == sorted(sizes)
    assert sizes[0] < 0.1 * pixels.x.size
    assert errors[-1] < 0.02 * errors[0]
    assert errors[-1] < 1e-3 * np.ptp(truth)
    assert (np.diff([max(errors[i:]) for i in range(len(errors))]) <= 0).all()


def test_annuli_hold_every_pixel_once() -> None:
    layout, pixels = LAYOUTS["double"], some_pixels(160)
    annuli = Annuli.around(pixels, REFERENCE)
    index = annuli.index(pixels)
    r = np.hypot(pixels.x - REFERENCE[0], pixels.y - REFERENCE[1])
    inner = np.append(0.0, annuli.edges[:-1])
    assert (r <= annuli.edges[index]).all()
    assert (r >= inner[index]).all()
    assert index.max() == len(annuli.edges) - 1
    cells = merged_like(pixels, layout, 2, annuli)
    exact = merged_like(pixels, layout, len(pilot.LEVELS), annuli)
    number = len(annuli.edges)
    for mine in (cells, exact):
        u = layout.coefficients(values_of(layout), REFERENCE)
        expected, logs = mine.expected_and_log(u)
        assert expected.shape == logs.shape == (number,)
        assert mine.log_likelihood(u) == pytest.approx(logs.sum() - expected.sum(), rel=1e-12)
        for weights, cell, wanted in (
            (mine.exposure, mine.annulus, pixels.exposure),
            (mine.counts, mine.counts_annulus, pixels.counts),
        ):
            np.testing.assert_allclose(
                np.bincount(cell, weights, number), np.bincount(index, wanted, number), rtol=1e-12
            )
        np.testing.assert_allclose(mine.totals[:, 0], np.bincount(index, minlength=number))
    N = brute_force_expected(pixels, layout)
    np.testing.assert_allclose(
        cells.expected_and_log(u)[0], np.bincount(index, N, number), rtol=1e-4
    )


# Coordinates


@pytest.mark.parametrize("name", LAYOUTS)
def test_coordinates_there_and_back(name: str) -> None:
    coordinates = coordinates_of(LAYOUTS[name])
    rng = np.random.default_rng(5)
    for _ in range(20):
        values = values_of(LAYOUTS[name], rng)
        theta = coordinates.theta(values)
        np.testing.assert_allclose(coordinates.values(theta)[0], values, rtol=1e-12)
        moved = theta + rng.normal(0, 0.7, theta.size)
        there, _ = coordinates.values(moved)
        np.testing.assert_allclose(coordinates.theta(there), moved, rtol=1e-9, atol=1e-9)
        value = dict(zip(LAYOUTS[name].names, there, strict=True))
        assert all(value[n] > 0 for n in value if n[0] in "SrBbm")
        assert value["beta"] > 1 / 6
        assert value.get("rc2", np.inf) > value["rc"]


@pytest.mark.parametrize("name", LAYOUTS)
def test_jacobian_is_the_determinant(name: str) -> None:
    coordinates = coordinates_of(LAYOUTS[name])
    rng = np.random.default_rng(6)
    for _ in range(5):
        theta = coordinates.theta(values_of(LAYOUTS[name], rng))
        theta = theta + rng.normal(0, 0.5, theta.size)
        values, log_jacobian = coordinates.values(theta)
        columns = []
        for shift in 1e-3 * np.eye(theta.size):
            first, second = (
                (
                    coordinates.values(theta + h * shift)[0]
                    - coordinates.values(theta - h * shift)[0]
                )
                / (2e-3 * h)
                for h in (1.0, 0.5)
            )
            columns.append((4 * second - first) / 3)
        # in units of the values, so that rows are of one size
        size = np.abs(values)
        _, numerical = np.linalg.slogdet(np.array(columns).T / size[:, None])
        assert log_jacobian == pytest.approx(numerical + np.log(size).sum(), abs=1e-6)


def test_meaning_of_the_coordinates() -> None:
    """Brightness and slope at R, and the part that backgrounds have of their uncertainty."""
    layout = LAYOUTS["double"]
    theta = coordinates_of(layout).theta(values_of(layout))
    v = VALUES

    def log_brightness(log_r: float, suffix: str) -> float:
        r = np.exp(log_r) / v[f"rc{suffix}"]
        return float(np.log(v[f"S0{suffix}"]) + (0.5 - 3 * v[f"beta{suffix}"]) * np.log1p(r**2))

    for suffix, R, at in (("", 6.0, 2), ("2", 18.0, 5)):
        assert theta[at] == pytest.approx(log_brightness(np.log(R), suffix))
        slope = (
            log_brightness(np.log(R) + 1e-5, suffix) - log_brightness(np.log(R) - 1e-5, suffix)
        ) / 2e-5
        assert theta[at + 2] == pytest.approx(np.log(-slope), abs=1e-6)
    np.testing.assert_allclose(theta[:2], [0.4, -0.3])
    assert theta[3] == pytest.approx(np.log(3.0))
    assert theta[6] == pytest.approx(np.log(np.log(9.0 / 3.0)))
    assert 0.02 * np.log1p(np.exp(theta[8])) == pytest.approx(0.1)


SHEARS = [(0, 0), (1e-9, 0), (1e-4, -2e-4), (0.2, 0), (0, 0.2), (-0.3, 0.5), (1.0, -1.2)]


@pytest.mark.parametrize(("e1", "e2"), SHEARS)
def test_squared_radius_is_the_matrix_exponential(e1: float, e2: float) -> None:
    rng = np.random.default_rng(2)
    Q = expm(-2 * np.array([[e1, e2], [e2, -e1]]))
    for dx, dy in [(0, 0), *rng.normal(0, 5, (4, 2))]:
        k = np.array(_squared_radius(dx, dy, e1, e2))
        X, Y = rng.normal(0, 20, (2, 30))
        away = np.stack([X - dx, Y - dy])
        wanted = np.einsum("ik,ij,jk->k", away, Q, away)
        psi = np.stack([np.ones(30), X**2 + Y**2, X, Y, X**2 - Y**2, 2 * X * Y])
        np.testing.assert_allclose(k @ psi, wanted, rtol=1e-10, atol=1e-10)
    assert np.linalg.det(Q) == pytest.approx(1)


@pytest.mark.parametrize(("e1", "e2"), [s for s in SHEARS if np.hypot(*s) > 0.1])
def test_axes_of_a_shear(e1: float, e2: float) -> None:
    values, vectors = np.linalg.eigh(expm(-2 * np.array([[e1, e2], [e2, -e1]])))
    ratio, angle = axes_of(np.array(e1), np.array(e2))
    # t = 1: half axes are one over the square roots of the eigenvalues
    assert float(ratio) == pytest.approx(np.sqrt(values[0] / values[1]))
    long = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0])) % 180
    assert (float(angle) - long + 90) % 180 - 90 == pytest.approx(0, abs=1e-9)


def test_no_shear_is_an_ordinary_point() -> None:
    """Coefficients go through a round image smoothly."""
    near = [np.array(_squared_radius(3.0, -4.0, e, 2 * e)) for e in (-1e-4, 0.0, 1e-4)]
    np.testing.assert_allclose(near[0] + near[2], 2 * near[1], atol=1e-5)
    slope = (near[2] - near[0]) / 2e-4
    assert slope[4:] == pytest.approx([-2.0, -4.0], rel=1e-6)


# What the Stan programs make of it

PROGRAMS: dict[str, tuple[str, dict[str, Any]]] = {
    "beta": ("beta", {}),
    "sky, elliptical": ("beta", {"background": "sky", "elliptical": True}),
    "everything": (
        "double_beta",
        {"background": "constant+sky", "elliptical": True, "offset": True, "map_factor": "free"},
    ),
    "offset, no background": ("double_beta", {"background": "none", "offset": True}),
    "double": ("double_beta", {"brightness": "average"}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_stan_has_the_same_coordinates_and_density(name: str, cache: Any) -> None:
    """theta, x and lp of draws far from the guess, bent valley, Jacobian and priors included."""
    model_name, given = PROGRAMS[name]
    image, _ = pyxstan.simulate(model_name, seed=3, size=40, point_sources=1)
    if "map_factor" in given:
        rows = np.linspace(0.01, 0.05, 40)[:, None] * np.ones(40)
        image = ClusterImage(
            image.counts, image.exposure, image.good, background_map=rows, wcs=image.wcs
        )
    model = registry.get(model_name)
    options = model.resolve_options(given, registry.SAMPLER_OPTIONS)
    priors = model.resolve_priors({"x0": "normal(20, 7)", "beta": "gamma(3, 4)"})
    problem = model.family.prepare(model_name, image, options, priors)
    rng = np.random.default_rng(4)
    problem.stan_data["bend"] = problem.stan_data["bend"].copy()
    problem.stan_data["bend"][1:] += rng.normal(0, 0.02, problem.stan_data["bend"][1:].shape)
    size = len(problem.layout.names)
    drawn = sampling.run(
        build(model.program, sampling.units("nuts", "unit_e")), problem.stan_data, method="nuts",
        chains=2, warmup=20, draws=25, seed=1, inits=1.0, progress=False, metric="unit_e",
        adapt_delta=0.8, max_treedepth=6,
    )  # fmt: skip
    z, theta, x = (drawn.variables[key].reshape(-1, size) for key in ("z", "theta", "x"))
    lp = drawn.statistics["lp"].ravel()
    guess = problem.guess
    w = 4 * np.tanh(z[:, :1] / 4)
    bent = z + w ** np.arange(2, 6) @ problem.stan_data["bend"].T
    np.testing.assert_allclose(
        theta, guess.theta + bent @ guess.scale.T, rtol=1e-6, atol=1e-6 * guess.scale.max()
    )
    own = []
    for at, values in zip(theta, x, strict=True):
        mine, log_jacobian = guess.coordinates.values(at)
        np.testing.assert_allclose(mine, values, rtol=1e-6)
        own.append(
            guess.cells.log_likelihood(guess.coordinates.coefficients(mine))
            + log_prior(problem.prior, mine)
            + log_jacobian
        )
    difference = lp - np.array(own)
    assert np.ptp(own) > 2
    assert np.ptp(difference) < 2e-3  # of theta at nine digits


def test_standardised_undoes_the_bend() -> None:
    image, _ = pyxstan.simulate("beta", seed=3, size=48)
    model = registry.get("beta")
    problem = model.family.prepare("beta", image, model.resolve_options({}), {})
    guess = problem.guess
    rng = np.random.default_rng(1)
    for z in rng.normal(0, 2, (5, 6)):
        w = 4 * np.tanh(z[0] / 4)
        theta = guess.theta + guess.scale @ (z + guess.bend @ w ** np.arange(2, 6))
        np.testing.assert_allclose(guess.standardised(theta), z, atol=1e-9)


def test_every_layout_names_its_parameters_once() -> None:
    for flags in itertools.product(
        (1, 2), (True, False), (True, False), ("none", "fixed", "free"), (True, False)
    ):
        layout = Layout(*flags, offset=flags[0] == 2)
        names = layout.names
        assert len(set(names)) == len(names)
        assert ("map_factor" in names) == (flags[3] == "free")
        declared = {p.name for p in registry.get("double_beta").parameters}
        assert set(names) <= declared
        assert sum(layout.flags[key] for key in ("constant", "sky", "map_free")) == len(
            layout.backgrounds
        )
