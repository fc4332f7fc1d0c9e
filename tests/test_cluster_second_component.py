"""Two components fitted to an image of one: the answer, and where its chains start."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import numpy as np
import pytest

import pyxstan
from pyxstan.cluster import ClusterImage, pilot
from pyxstan.cluster.parameters import Coordinates, Layout

OPTIONS = {"chains": 4, "warmup": 400, "draws": 400, "seed": 3, "progress": False}


@cache
def one_component(seed: int = 4) -> ClusterImage:
    image, _ = pyxstan.simulate(
        "beta", {"S0": 4e-6, "rc": 5.0, "beta": 0.7, "B": 0.1}, seed=seed, size=64, point_sources=0
    )
    return image


def prepared(model: str) -> Any:
    entry = pyxstan.registry.get(model)
    return entry.family.prepare(model, one_component(), entry.resolve_options({}), {})


def test_the_answer_is_that_one_is_enough() -> None:
    single, double = prepared("beta"), prepared("double_beta")
    assert any(
        "the image shows no second component: ln L is higher by" in line
        for line in double.complaints
    )
    gain = double.attributes["log_likelihood_gain"]
    assert gain < pilot.SECOND
    if single.attributes["brightness"] == double.attributes["brightness"]:
        assert gain == pytest.approx(
            double.attributes["max_log_likelihood"] - single.attributes["max_log_likelihood"],
            abs=0.05,
        )


def test_two_components_are_still_told_apart() -> None:
    image, _ = pyxstan.simulate(
        "double_beta", {"S0": 2e-5, "rc": 3.0, "beta": 0.9, "S02": 2e-6, "rc2": 12.0, "beta2": 0.8},
        seed=21, size=120, point_sources=3,
    )  # fmt: skip
    entry = pyxstan.registry.get("double_beta")
    problem: Any = entry.family.prepare("double_beta", image, entry.resolve_options({}), {})
    assert problem.guess.gain is None
    assert problem.complaints == []
    assert problem.stan_data["radius_ratio"] == 1
    assert problem.starts(4, 1) is None


def test_chains_start_all_over_the_prior_of_the_second() -> None:
    entry = pyxstan.registry.get("double_beta")
    problem: Any = entry.family.prepare(
        "double_beta", one_component(), entry.resolve_options({}), {}
    )
    starts = problem.starts(4, 1)
    guess = problem.guess
    places = [guess.coordinates.values(guess.theta + guess.scale @ s["z"])[0] for s in starts]
    assert len({tuple(np.round(p, 6)) for p in places}) == 4
    assert all(p[3] < p[6] for p in places)
    assert json.dumps(problem.stan_data["radius_ratio"]) == "0"


def test_coordinates_without_an_order() -> None:
    """There and back, the components in order, and the determinant of the Jacobian."""
    layout = Layout(2, offset=True)
    coordinates = Coordinates(layout, (20.0, 21.0), (6.0, 0.0), (0.02,), radius_ratio=False)
    rng = np.random.default_rng(2)
    middle = np.array([0.2, -0.1, -9.0, 1.1, 0.3, -11.0, 1.2, 0.9, 2.0, 1.5, 0.5])
    swapped = 0
    for _ in range(20):
        theta = middle + rng.normal(0, 0.4, middle.size)
        values, log_jacobian = coordinates.values(theta)
        value = dict(zip(layout.names, values, strict=True))
        assert value["rc"] < value["rc2"]
        swapped += bool(theta[6] < theta[3])
        again, _ = coordinates.values(coordinates.theta(values))
        np.testing.assert_allclose(again, values, rtol=1e-10)
        steps = [
            (coordinates.values(theta + h)[0] - coordinates.values(theta - h)[0]) / 2e-5
            for h in 1e-5 * np.eye(theta.size)
        ]
        size = np.abs(values)
        _, numerical = np.linalg.slogdet(np.array(steps).T / size[:, None])
        assert log_jacobian == pytest.approx(numerical + np.log(size).sum(), abs=1e-4)
    assert 3 < swapped < 17
