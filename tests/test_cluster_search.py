"""Where the cluster is found beside point sources, and what a fit says of all that is left over."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm

import pyxstan
from pyxstan.cluster import ClusterImage
from pyxstan.cluster.pilot import Pilot

FloatArray = npt.NDArray[np.float64]


def expected(
    side: int,
    center: tuple[float, float],
    counts: float,
    sources: tuple[tuple[float, float, float], ...],
    *,
    rc: float = 10.0,
    background: float = 0.1,
) -> FloatArray:
    """A beta model of so many counts to infinity, Gaussian sources (x, y, counts), a background."""
    y, x = np.mgrid[:side, :side].astype(float)
    r2 = (x - center[0]) ** 2 + (y - center[1]) ** 2
    N = counts * 0.51 / (np.pi * rc**2) * (1 + r2 / rc**2) ** (0.5 - 3 * 0.67) + background
    for sx, sy, n in sources:
        N += n / (2 * np.pi) * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / 2)
    return np.asarray(N)


@cache
def image_of(
    counts: float, sources: tuple[tuple[float, float, float], ...], side: int = 120, seed: int = 5
) -> ClusterImage:
    N = expected(side, (35.0, 70.0), counts, sources)
    return ClusterImage.from_arrays(
        np.random.default_rng(seed).poisson(N), np.full((side, side), 1e8)
    )


def prepared(image: ClusterImage, model: str = "beta", **options: Any) -> tuple[Pilot, list[str]]:
    entry = pyxstan.registry.get(model)
    problem: Any = entry.family.prepare(model, image, entry.resolve_options(options), {})
    return problem.guess, problem.complaints


ONE = ((90.2, 30.1, 150.0),)
SCENES = {
    "one source": (2000.0, ONE),
    "faint cluster": (1000.0, ONE),
    "in the cluster": (8000.0, ((42.0, 66.0, 300.0),)),
    "several, one on the edge": (20000.0, ((119.5, 60.0, 600.0), (80.0, 80.0, 100.0), *ONE)),
    "bright source": (2000.0, ((90.2, 30.1, 600.0),)),
}


@pytest.mark.parametrize("name", SCENES)
def test_the_most_likely_place_is_found(name: str) -> None:
    """No fit that starts from the true centre has a larger likelihood."""
    counts, sources = SCENES[name]
    image = image_of(counts, sources)
    guess, complaints = prepared(image)
    told, _ = prepared(image, center=(35.0, 70.0))
    assert guess.best_log_likelihood > told.best_log_likelihood - 0.01
    assert told.best[:2] == pytest.approx((35, 70), abs=3)  # the user's word counts
    assert any("as a point source does" in text for text in complaints) == (name == "bright source")
    is_cluster = np.hypot(guess.best[0] - 35, guess.best[1] - 70) < 3
    assert is_cluster == (name != "bright source")
    for x, y, reach in [(x, y, 2.0) for x, y, _ in sources] if is_cluster else [(35, 70, 5.0)]:
        assert any(
            np.hypot(float(m[1]) - x, float(m[2]) - y) < reach
            for text in complaints
            if (m := re.search(r"excess at x ([\d.]+), y ([\d.]+)", text))
        ), (x, y, complaints)


def test_likelihood_beside_a_point_source() -> None:
    guess, complaints = prepared(image_of(2000.0, ONE))
    assert guess.best_log_likelihood == pytest.approx(-6779.0, abs=0.2)
    (said,) = complaints
    found = re.fullmatch(
        r"point-like excess at x ([\d.]+), y ([\d.]+): (\d+) counts within ([\d.]+) pixels, "
        r"([\d.]+) expected \(([\d.]+) sigma\): mask or explain it",
        said,
    )
    assert found is not None
    x, y, counts, radius, model, sigma = map(float, found.groups())
    assert np.hypot(x - 90.2, y - 30.1) < 0.5
    assert counts - model == pytest.approx(150, abs=30)
    assert 2 < radius < 6
    assert sigma > 20


def test_nothing_is_left_over_where_the_model_holds() -> None:
    for seed in (11, 12, 13):
        guess, complaints = prepared(image_of(2000.0, (), seed=seed))
        assert complaints == []
        assert guess.rivals == ()


def test_a_second_cluster_is_named() -> None:
    N = expected(160, (45.0, 50.0), 6000.0, ()) + expected(160, (115.0, 110.0), 3000.0, ()) - 0.1
    image = ClusterImage.from_arrays(np.random.default_rng(4).poisson(N), np.full((160, 160), 1e8))
    guess, complaints = prepared(image)
    assert guess.best[:2] == pytest.approx((45, 50), abs=3)
    places = [re.search(r"excess at x ([\d.]+), y ([\d.]+)", text) for text in complaints]
    assert any(m and np.hypot(float(m[1]) - 115, float(m[2]) - 110) < 8 for m in places), complaints


def test_a_large_image_with_gaps_between_chips() -> None:
    image, truth = pyxstan.simulate("beta", {"x0": 110.0, "y0": 205.0}, seed=2, size=320,
                                    point_sources=2)  # fmt: skip
    y, x = np.mgrid[:320, :320]
    added = 400 / (2 * np.pi) * np.exp(-((x - 230.0) ** 2 + (y - 100.0) ** 2) / 2)
    counts = image.counts + np.random.default_rng(1).poisson(added)
    seen = ClusterImage.from_arrays(counts, image.exposure, mask=~image.good, wcs=image.wcs)
    guess, complaints = prepared(seen)
    assert guess.best[:2] == pytest.approx((truth["x0"], truth["y0"]), abs=1)
    assert len(complaints) == 1
    assert re.match(r"point-like excess at x 230\.\d, y (99\.\d|100\.\d) \(RA [\d.]+, Dec [\d.]+\)",
                    complaints[0])  # fmt: skip


def test_one_component_on_an_image_of_two_is_told() -> None:
    image, _ = pyxstan.simulate(
        "double_beta", {"S0": 2e-5, "rc": 3.0, "beta": 0.9, "S02": 2e-6, "rc2": 12.0, "beta2": 0.8},
        seed=21, size=120, point_sources=3,
    )  # fmt: skip
    _, complaints = prepared(image)
    assert any(c.endswith("try double_beta") for c in complaints)
    assert prepared(image, "double_beta")[1] == []


def test_two_places_that_are_as_likely_are_both_named() -> None:
    """Chains start in turn around each."""
    N = expected(100, (30.0, 50.0), 150.0, (), rc=3.0) - 0.1
    counts = np.random.default_rng(3).poisson(N + 0.05)
    counts = counts + counts[:, ::-1]
    image = ClusterImage.from_arrays(counts, np.full((100, 100), 1e8))
    entry = pyxstan.registry.get("beta")
    problem: Any = entry.family.prepare("beta", image, entry.resolve_options({}), {})
    (rival,) = problem.guess.rivals
    assert problem.guess.best[0] + rival.best[0] == pytest.approx(99, abs=0.3)
    assert problem.complaints[0].startswith("another solution holds posterior mass: centre x ")
    starts = problem.starts(4, 1)
    guess = problem.guess
    places = []
    for start in starts:
        w = 4 * np.tanh(start["z"][0] / 4)
        theta = guess.theta + guess.scale @ (start["z"] + guess.bend @ w ** np.arange(2, 6))
        places.append(guess.coordinates.values(theta)[0][0])
    assert places[0] == pytest.approx(guess.mode[0], abs=1e-6)
    assert places[1::2] == pytest.approx([rival.best[0]] * 2, abs=3)
    assert places[2] == pytest.approx(guess.mode[0], abs=3)


def test_significance_is_that_of_a_gaussian() -> None:
    from pyxstan.cluster.excesses import Excess

    for log_probability in (-20.0, -600.0):
        one = Excess(0, 0, 1, 1, 1, log_probability)
        assert norm.logsf(one.sigma) == pytest.approx(log_probability, rel=1e-6)
    assert Excess(0, 0, 1, 1, 1, -5000.0).sigma == pytest.approx(100, rel=0.01)
