"""The C++ likelihood of cluster images against plain Stan, Python and finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import log_densities
import numpy as np
import numpy.typing as npt
import pytest

from pyxstan.cluster.cells import Cells, Pixels, merged_cells, pixel_cells, with_fine_pixels
from pyxstan.cluster.parameters import Layout
from pyxstan.engine.build import StanProgram, build
from pyxstan.registry import stan_models

FloatArray = npt.NDArray[np.float64]
PROGRAMS = Path(__file__).parent / "programs"
CPP, PLAIN = 1, 2
POINTS = 6
SIDE = 40
REFERENCE = (19.3, 20.6)


@dataclass(frozen=True)
class Case:
    """Components, cells and which coefficients are not zero."""

    components: int = 1
    second_order: bool = True
    sheared: bool = False
    offset: bool = False
    B: float = 0.3
    b: float = 2e-5
    f: float = 0.7
    #: Core radii, slopes and central brightness times the exposure.
    rc: float = 3.0
    beta: float = 0.6
    peak: float = 20.0
    #: Whether brightness is averaged over pixels, and pixels are square.
    averaged: bool = False
    square: bool = True


CASES = {
    f"{number}{cells}{shape}": Case(
        components=1 + (number == "two"), second_order=cells == "", sheared=shape != ""
    )
    for number in ("one", "two")
    for cells in ("", ", pixels")
    for shape in ("", ", sheared")
} | {
    "one, no background": Case(B=0, b=0, f=0),
    "two, no background, pixels": Case(components=2, second_order=False, B=0, b=0, f=0),
    "constant alone": Case(b=0, f=0),
    "sky alone": Case(B=0, f=0),
    "map alone": Case(B=0, b=0),
    "two centres, sheared": Case(components=2, sheared=True, offset=True),
    "sharp core": Case(rc=0.05, beta=1.5, sheared=True),
    "hardly any slope": Case(beta=0.17, rc=30.0),
    "faint": Case(components=2, peak=1e-4),
    "bright": Case(components=2, peak=1e6),
    "averaged": Case(rc=12.0, averaged=True),
    "averaged, pixels": Case(rc=12.0, averaged=True, second_order=False),
    "two averaged centres, sheared, pixels not square": Case(
        components=2, rc=1.0, averaged=True, sheared=True, offset=True, square=False
    ),
    "averaged sharp core, pixels": Case(
        rc=0.5, averaged=True, sheared=True, square=False, second_order=False
    ),
}


@pytest.fixture(scope="module")
def executable(cache: Path) -> Path:
    program = StanProgram(
        PROGRAMS / "cluster_kernel.stan", (stan_models(),), PROGRAMS / "cluster_kernel.hpp"
    )
    return build(program, ("log_prob",))


def made(case: Case) -> tuple[Cells, FloatArray]:
    """Cells of an image, and coefficients to compare at, one set a row."""
    rng = np.random.default_rng(23)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float).reshape(2, -1)
    exposure = 1e4 * rng.uniform(0.6, 1.0, x.size)
    background = rng.uniform(0.1, 0.4, x.size)
    t = (x - REFERENCE[0]) ** 2 + (y - REFERENCE[1]) ** 2
    counts = rng.poisson(0.5 + 20 * (1 + t / 9) ** -1.3).astype(float)
    pixels = whole = Pixels(x, y, counts, exposure, background, case.averaged)
    annulus = every = np.minimum(np.sqrt(t) // 5, 3).astype(np.int64)
    layout = Layout(case.components, constant=True, sky=True, background_map="free",
                    elliptical=case.sheared, offset=case.offset,
                    pixel_shape=(1.0, 0.0, 1.0) if case.square else (1.25, 0.1, 1.01 / 1.25),
                    )  # fmt: skip
    names = layout.names
    middle = {
        "x0": REFERENCE[0] + 0.4, "y0": REFERENCE[1] - 0.3, "x02": REFERENCE[0] - 1.0,
        "y02": REFERENCE[1] + 2.0, "S0": case.peak / 1e4, "S02": 0.1 * case.peak / 1e4,
        "rc": case.rc, "rc2": 3 * case.rc, "beta": case.beta, "beta2": 0.9 * case.beta + 0.05,
        "B": case.B, "b": case.b, "map_factor": case.f, "shear1": 0.2, "shear2": -0.13,
    }  # fmt: skip
    start = np.array([middle[name] for name in names])
    nodes = pixels.nodes(layout.coefficients(start, REFERENCE), REFERENCE)
    assert nodes.any() == (case.averaged and case.rc < 5)
    pixels, annulus, t, x, y = (v[nodes == 0] for v in (pixels, annulus, t, x, y))
    if case.second_order:
        cells = merged_cells(
            pixels, REFERENCE, annulus, 4, -1.3 * np.log1p(t / 9),
            np.arctan2(y - REFERENCE[1], x - REFERENCE[0]), (0.3, 2e-5, 0.7), t < 16,
            step=0.1, sectors=4,
        )  # fmt: skip
        assert cells.exposure.size < x.size / 2
    else:
        cells = pixel_cells(pixels, REFERENCE, annulus, 4)
    cells = with_fine_pixels(cells, whole, nodes, REFERENCE, every, 4)
    points = [start * rng.uniform(0.99, 1.01, start.size) for _ in range(POINTS)]
    return cells, np.array([layout.coefficients(point, REFERENCE) for point in points])


def log_prob(
    executable: Path, cells: Cells, points: FloatArray, which: int, folder: Path
) -> tuple[FloatArray, FloatArray]:
    """Values and gradients at all points."""
    data = {**cells.stan_data(), "which": which, "components": points.shape[1] // 9}
    return log_densities.log_prob(executable, data, points, folder)


def assert_alike(found: FloatArray, wanted: FloatArray, scale: FloatArray, rtol: float) -> None:
    """Alike relative to the slopes as they count: each times its coefficient's size."""
    assert np.isfinite(wanted).all()
    size = np.maximum(np.abs(wanted), np.abs(wanted * scale).max() / scale)
    assert (np.abs(found - wanted) <= rtol * size).all()


@pytest.mark.parametrize("name", CASES)
def test_kernel_is_its_plain_twin_and_python(name: str, executable: Path, tmp_path: Path) -> None:
    cells, points = made(CASES[name])
    assert (cells.covariance.size > 0) == CASES[name].second_order
    value, gradient = log_prob(executable, cells, points, CPP, tmp_path)
    plain, plain_gradient = log_prob(executable, cells, points, PLAIN, tmp_path)
    assert np.ptp(value) > 0
    np.testing.assert_allclose(value, plain, rtol=1e-9)
    python = [cells.log_likelihood(u) for u in points]
    np.testing.assert_allclose(value, python, rtol=1e-10)
    for u, slopes, wanted in zip(points, gradient, plain_gradient, strict=True):
        assert_alike(slopes, wanted, natural_scale(u), 1e-9)


def natural_scale(u: FloatArray) -> FloatArray:
    """How far the coefficients can go before much changes."""
    component = np.array([1.0, 1.0, 1.0, 10.0, 0.1, 1.0, 1.0, 0.1, 0.1])
    return np.concatenate([*[component] * (u.size // 9), [0.1, 1e-5, 0.1]])


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_slope(name: str, executable: Path, tmp_path: Path) -> None:
    """Central differences of three steps, extrapolated (Richardson)."""
    cells, points = made(CASES[name])
    points = points[:2]
    _, gradient = log_prob(executable, cells, points, CPP, tmp_path)
    dimensions = points.shape[1]
    for point, slopes in zip(points, gradient, strict=True):
        step = 2e-3 * steps_of(point)
        shifts = [side * h * np.diag(step) for h in (1, 0.5, 0.25) for side in (1, -1)]
        values, _ = log_prob(executable, cells, point + np.concatenate(shifts), CPP, tmp_path)
        high, low = values.reshape(3, 2, dimensions).swapaxes(0, 1)
        first = (high - low) / (2 * step * np.array([[1], [0.5], [0.25]]))
        second = (4 * first[1:] - first[:-1]) / 3
        numerical = (16 * second[1] - second[0]) / 15
        assert_alike(slopes, numerical, natural_scale(point), 1e-6)


def steps_of(u: FloatArray) -> FloatArray:
    """A part of the coefficients in which the likelihood is smooth."""
    step = natural_scale(u).copy()
    for component in step[:-3].reshape(-1, 9):
        component[3:] *= 0.1
    return step


@pytest.mark.parametrize("second_order", [False, True])
def test_value_by_hand(second_order: bool, executable: Path, tmp_path: Path) -> None:
    """One cell of each kind, its formula written out."""
    psi = np.array([25.0, 3.0, 4.0, -7.0, 24.0])
    V = np.diag([2.0, 0.1, 0.2, 0.3, 0.4]) if second_order else np.zeros((5, 5))
    W = np.diag([1.0, 0.2, 0.1, 0.5, 0.3, 1e-4, 0.02]) if second_order else np.zeros((7, 7))
    cells = Cells(
        exposure=np.array([1000.0]),
        mean=psi[:, None],
        covariance=V[np.triu_indices(5)][:, None] if second_order else np.zeros((0, 1)),
        annulus=np.zeros(1, dtype=np.int64),
        counts=np.array([7.0]),
        counts_mean=np.append(psi, [0.02, 0.3])[:, None],
        counts_covariance=W[np.triu_indices(7)][:, None] if second_order else np.zeros((0, 1)),
        counts_annulus=np.zeros(1, dtype=np.int64),
        totals=np.array([[50.0, 1000.0, 12.0, 3.5]]),
    )
    k = np.array([0.5, 1.1, -0.2, 0.3, 0.05, -0.02])
    u = np.concatenate([[np.log(0.04), np.log(3.0), -1.2], k, [0.4, 0.002, 0.6]])
    t = k[0] + k[1:] @ psi
    S = 0.04 * (1 + t / 9) ** -1.2
    S1, S2 = -1.2 * S / (9 + t), 2.64 * S / (9 + t) ** 2
    h = S + 0.5 * S2 * k[1:] @ W[:5, :5] @ k[1:] + 0.002 + 0.4 * 0.02 + 0.6 * 0.3
    g = np.concatenate([S1 * k[1:], [0.4, 0.6]])
    wanted = (
        3.5 - 0.4 * 50 - 0.002 * 1000 - 0.6 * 12
        - 1000 * (S + 0.5 * S2 * k[1:] @ V @ k[1:])
        + 7 * (np.log(h) - 0.5 * g @ W @ g / h**2)
    )  # fmt: skip
    value, _ = log_prob(executable, cells, u[None], CPP, tmp_path)
    assert value[0] == pytest.approx(wanted, rel=1e-12)
    assert cells.log_likelihood(u) == pytest.approx(wanted, rel=1e-12)
