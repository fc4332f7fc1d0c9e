"""Two components fitted to an image of one: the answer, and where its chains start."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from scipy import stats

import pyxstan
from pyxstan import inference_data
from pyxstan.cluster import ClusterImage, certificate, pilot, superfluous
from pyxstan.cluster.likelihoods import log_likelihoods
from pyxstan.cluster.parameters import Coordinates, Layout
from pyxstan.errors import DataError
from pyxstan.priors import parse

OPTIONS = {"chains": 4, "warmup": 300, "draws": 250, "seed": 3, "progress": False}


@cache
def one_component(seed: int = 4) -> ClusterImage:
    image, _ = pyxstan.simulate(
        "beta", {"S0": 4e-6, "rc": 5.0, "beta": 0.7, "B": 0.1}, seed=seed, size=64, point_sources=0
    )
    return image


@cache
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
    problem = prepared("double_beta")
    starts = problem.starts(4, 1)
    guess = problem.guess
    places = [guess.coordinates.values(guess.theta + guess.scale @ s["z"])[0] for s in starts]
    assert len({tuple(np.round(p, 6)) for p in places}) == 4
    assert all(p[3] < p[6] for p in places)
    assert json.dumps(problem.stan_data["radius_ratio"]) == "0"


@cache
def small() -> Any:
    """A problem whose likelihood is cheap."""
    image, _ = pyxstan.simulate(
        "beta", {"S0": 2e-6, "rc": 4.0, "beta": 0.7, "B": 0.1}, seed=6, size=32, point_sources=0
    )
    entry = pyxstan.registry.get("double_beta")
    options = entry.resolve_options({"brightness": "center"})
    return entry.family.prepare("double_beta", image, options, {})


def points_of(problem: Any, points: int) -> Any:
    return problem.guess.second.begin(points, np.random.default_rng(4))


def test_many_points_at_once_are_each_of_them() -> None:
    """Likelihood, coordinates and prior of arrays are those of one point, which Stan's are."""
    for problem in (small(), prepared("double_beta")):
        guess = problem.guess
        theta = points_of(problem, 40)
        values, log_jacobian = guess.coordinates.values_of_many(theta)
        u = guess.coordinates.coefficients(values)
        for cells in (guess.cells, pilot.merged(guess.pixels, guess.coordinates, values[:, 0],
                                                guess.annuli, 4)):  # fmt: skip
            one_by_one = [cells.log_likelihood(one) for one in u.T]
            np.testing.assert_allclose(log_likelihoods(cells, u), one_by_one, rtol=0, atol=1e-7)
        target = pilot.Target(guess.coordinates, guess.cells, problem.prior)
        found = guess.second.log_density(theta, guess.cells)
        there = np.isfinite(found)  # the first component is the brighter one
        assert there.sum() > 10
        alone = np.array([-target.surprise(one[None])[0] for one in theta.T])
        np.testing.assert_allclose(found[there], alone[there], rtol=0, atol=1e-7)
        np.testing.assert_allclose(values[:, 3], guess.coordinates.values(theta[:, 3])[0])
        assert log_jacobian[3] == guess.coordinates.values(theta[:, 3])[1]


def test_populations_are_draws_from_the_posterior() -> None:
    """Against importance sampling, which neither moves nor resamples."""
    problem = small()
    second, cells = problem.guess.second, problem.guess.cells
    theta = points_of(problem, 10000)
    log_weight = second.log_density(theta, cells) - second.log_begin(theta)
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    assert 1 / (weight**2).sum() > 1000
    drawn = second.draws(cells, 4, 400, np.random.default_rng(1))
    assert drawn is not None
    ours, log_density = drawn
    assert ours.shape == (4, 400, len(theta))
    np.testing.assert_allclose(log_density[0], second.log_density(ours[0].T, cells), atol=1e-9)
    flat = ours.reshape(-1, len(theta)).T
    mean = theta @ weight
    sd = np.sqrt((theta - mean[:, None]) ** 2 @ weight)
    assert (np.abs(flat.mean(axis=1) - mean) < 0.15 * sd).all()
    np.testing.assert_allclose(flat.std(axis=1), sd, rtol=0.15)
    bright = problem.layout.names.index("S02")
    for limit in (-18.0, -15.0):
        expected = weight[theta[bright] < limit].sum()
        assert np.mean(flat[bright] < limit) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(("chains", "draws"), [(1, 101), (3, 7), (2, 151)])
def test_any_number_of_draws(chains: int, draws: int) -> None:
    drawn = small().exact(chains, draws, 1)
    assert drawn.variables["x"].shape == (chains, draws, 9)
    assert np.isfinite(drawn.statistics["lp"]).all()


def test_priors_are_cut_where_parameters_end() -> None:
    """A normal prior of what is positive, and of a slope above 1/6: only what is above is drawn."""
    second = small().guess.second
    names = second.coordinates.layout.names
    wide = {"S02": "normal(1e-6, 1e-6)", "rc2": "normal(3, 6)", "beta2": "normal(0.2, 0.2)"}
    priors = [parse(wide[n]) if n in wide else p
              for n, p in zip(names, second.priors, strict=True)]  # fmt: skip
    cut = replace(second, priors=priors)
    theta = cut.of_prior(4000, np.random.default_rng(1))
    assert np.isfinite(theta).all()
    S02, rc2 = np.exp(theta[:2])
    for found, low, mean, sd in ((S02, 0, 1e-6, 1e-6), (rc2, 0, 3, 6),
                                 ((1 + np.exp(theta[2])) / 6, 1 / 6, 0.2, 0.2)):  # fmt: skip
        expected = stats.truncnorm((low - mean) / sd, np.inf, mean, sd).mean()
        assert found.mean() == pytest.approx(expected, rel=0.05)
    priors[names.index("beta2")] = parse("gamma(100, 1000)")
    with pytest.raises(DataError, match=r"beta2=gamma\(100, 1000\): hardly any.* above 0.167"):
        replace(second, priors=priors).of_prior(400, np.random.default_rng(1))


def test_populations_that_do_not_get_there_are_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(superfluous, "_MOST_STEPS", 1)
    monkeypatch.setattr(superfluous, "_EFFECTIVE", 0.99)
    problem = replace(small(), notes=[])
    assert problem.exact(2, 10, 1) is None
    assert problem.notes == [
        "sequential Monte Carlo did not reach the posterior of two components: by NUTS"
    ]


def test_a_fit_of_one_component_by_two_answers() -> None:
    image = small().image
    idata = pyxstan.fit("double_beta", image, **OPTIONS, brightness="center")
    attrs = inference_data.attributes(idata)
    verdict = pyxstan.verdict(idata)
    assert attrs["method"] == "smc"
    assert verdict.converged
    assert not verdict.good
    assert verdict.line.startswith("converged: ")
    assert "BUT the image shows no second component" in verdict.line
    assert any("the data say little of" in problem for problem in verdict.problems)
    assert attrs["log_likelihood_error"] <= certificate.LARGEST_ERROR
    x = inference_data.group(idata, "posterior")
    assert (x["rc"] < x["rc2"]).all()
    with pytest.raises(DataError, match=r"max_treedepth would have no effect.*exact=False"):
        pyxstan.fit("double_beta", image, **OPTIONS, brightness="center", max_treedepth=8)


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
