"""Quasi-random draws of posteriors in two coordinates, against densities in closed form."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from references import stacking
from scipy import special, stats

import pyxstan
from pyxstan.stacking import problem
from pyxstan.stacking.quadrature import Plane, accepted, laid_out, proposed

FloatArray = npt.NDArray[np.float64]
COVARIANCE = np.array([[2.0, -1.7], [-1.7, 1.6]])
MIDDLE = np.array([3.0, -40.0])


def gaussian(theta: FloatArray) -> FloatArray:
    away = theta - MIDDLE
    return -0.5 * np.sum(away @ np.linalg.inv(COVARIANCE) * away, axis=1)


def banana(theta: FloatArray) -> FloatArray:
    """The second is a standard normal, the first one around its square."""
    return -0.5 * theta[:, 1] ** 2 - 0.5 * ((theta[:, 0] - theta[:, 1] ** 2) / 0.3) ** 2


def tail(theta: FloatArray) -> FloatArray:
    """Logarithm of what has a half normal distribution; the first as wide as that, at least 0.1."""
    sd = np.exp(theta[:, 1])
    width = np.hypot(sd, 0.1)
    return theta[:, 1] - 0.5 * sd**2 - 0.5 * (theta[:, 0] / width) ** 2 - np.log(width)


def comb(theta: FloatArray) -> FloatArray:
    """Normal in the second; twelve teeth in the first."""
    teeth = np.exp(-0.5 * ((theta[:, :1] - np.arange(12)) / 0.2) ** 2).sum(axis=1)
    with np.errstate(divide="ignore"):
        return -0.5 * theta[:, 1] ** 2 + np.log(teeth)


def banana_cdf(x: FloatArray) -> FloatArray:
    """Of the first: a chi-square with one degree of freedom, and noise."""
    t = np.linspace(0, 7, 2001)
    weights = stats.norm.pdf(t) / stats.norm.pdf(t).sum()
    return np.asarray([special.ndtr((a - t**2) / 0.3) @ weights for a in x])


def tail_cdf(x: FloatArray) -> FloatArray:
    u = (np.arange(4000) + 0.5) / 4000
    width = np.hypot(stats.halfnorm.ppf(u), 0.1)
    return np.asarray([special.ndtr(a / width).mean() for a in x])


def comb_cdf(x: FloatArray) -> FloatArray:
    return np.asarray(stats.norm.cdf((x[:, None] - np.arange(12)) / 0.2).mean(axis=1))


def drawn(
    log_density: Any, center: Any, scale: Any, draws: int = 4000
) -> tuple[FloatArray, FloatArray, FloatArray]:
    rng = np.random.default_rng(5)
    found = laid_out(Plane.around(log_density, np.array(center, float), np.array(scale, float)))
    assert found is not None
    points, log_q = proposed(*found, draws, rng)
    log_weight = log_density(points) - log_q
    kept, probability = accepted(log_weight, rng)
    return points[kept], probability, log_weight


CASES: dict[str, Any] = {
    # log density, guess, its scale, distribution functions of the coordinates
    "Gaussian": (
        gaussian, np.add(MIDDLE, 0.5), 0.5 * np.linalg.cholesky(COVARIANCE),
        lambda x: stats.norm.cdf(x, MIDDLE[0], COVARIANCE[0, 0] ** 0.5),
        lambda x: stats.norm.cdf(x, MIDDLE[1], COVARIANCE[1, 1] ** 0.5),
    ),
    "Gaussian, from far away": (
        gaussian, MIDDLE + np.array([-60.0, 90.0]), np.diag([0.01, 0.5]),
        lambda x: stats.norm.cdf(x, MIDDLE[0], COVARIANCE[0, 0] ** 0.5),
        lambda x: stats.norm.cdf(x, MIDDLE[1], COVARIANCE[1, 1] ** 0.5),
    ),
    "Gaussian, guessed much too wide": (
        gaussian, MIDDLE, np.diag([1e4, 1.0]),
        lambda x: stats.norm.cdf(x, MIDDLE[0], COVARIANCE[0, 0] ** 0.5),
        lambda x: stats.norm.cdf(x, MIDDLE[1], COVARIANCE[1, 1] ** 0.5),
    ),
    "banana": (banana, [0, 0], np.diag([0.3, 1.0]), banana_cdf, stats.norm.cdf),
    "exponential tail": (
        tail, [0, 0], np.diag([1.0, 0.7]), tail_cdf, lambda x: special.erf(np.exp(x) / 2**0.5),
    ),
    "comb": (comb, [5, 0], np.diag([3.0, 1.0]), comb_cdf, stats.norm.cdf),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_draws_are_those_of_the_density(name: str) -> None:
    log_density, center, scale, *laws = CASES[name]
    points, probability, _ = drawn(log_density, center, scale)
    assert probability.mean() > 0.95
    for column, law in zip(points.T, laws, strict=True):
        assert stats.kstest(law(column), "uniform").pvalue > 0.01
    pairs = points[::2, 0]  # but for each point's mirror image
    assert stats.spearmanr(pairs[1:], pairs[:-1]).pvalue > 1e-3, "a walk"


def test_means_are_more_precise_than_those_of_independent_draws() -> None:
    points, _, _ = drawn(gaussian, MIDDLE, np.linalg.cholesky(COVARIANCE))
    error = np.abs(points.mean(axis=0) - MIDDLE) / np.sqrt(np.diag(COVARIANCE))
    assert (error < 0.3 / np.sqrt(len(points))).all()


def test_log_q_is_the_law_of_the_proposals() -> None:
    """Their weights add up to the integral of the density, up to that of q."""
    _, _, flat = drawn(gaussian, MIDDLE, np.linalg.cholesky(COVARIANCE), 16_384)
    _, _, off = drawn(gaussian, np.add(MIDDLE, 0.5), 2 * np.linalg.cholesky(COVARIANCE), 16_384)
    for log_weight in (flat, off):
        weight = np.exp(log_weight - log_weight.mean())
        assert weight.std() < 0.03


def test_metropolis_leaves_the_target() -> None:
    """Proposals with equal probabilities, targets of 1:2:5."""
    rng = np.random.default_rng(6)
    state = rng.integers(0, 3, 60_000)
    kept, probability = accepted(np.log(np.array([1.0, 2.0, 5.0])[state]), rng)
    share = np.bincount(state[kept]) / len(state)
    np.testing.assert_allclose(share, np.array([1, 2, 5]) / 8, atol=0.01)
    wanted = (1 * 3 + 2 * (1 / 2 + 2) + 5 * (1 / 5 + 2 / 5 + 1)) / 8 / 3
    assert probability.mean() == pytest.approx(wanted, abs=0.01)


def test_what_is_hardly_accepted_is_left_to_nuts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "_LEAST_ACCEPTED", 1.0)
    samples = stacking.simulated(30, 300, 3)
    idata = pyxstan.fit(
        "stack_gaussian", samples, low=0.5, high=3.0, seed=1, draws=300, progress=False
    )
    assert idata.attrs["method"] == "nuts"
    assert "accepted: by NUTS instead" in idata.attrs["notes"]
    assert "n_steps" in idata.sample_stats


def test_a_density_without_ends_is_left_to_nuts() -> None:
    plane = Plane.around(lambda theta: np.zeros(len(theta)), np.zeros(2), np.eye(2))
    assert laid_out(plane) is None


def test_priors_far_from_the_samples() -> None:
    """A mean that its prior holds at 30, samples between 0 and 4: as wide as the prior allows."""
    samples = stacking.simulated(20, 50, 3)
    priors = {"mean": "normal(30, 0.1)"}
    idata = pyxstan.fit(
        "stack_gaussian", samples, low=0.0, high=4.0, priors=priors, seed=1, progress=False
    )
    assert float(idata.posterior["sd"].mean()) > 3.9
    assert abs(float(idata.posterior["mean"].mean()) - 29.65) < 0.05


@pytest.mark.parametrize("scale", [1e-20, 1e22])
def test_units_do_not_matter(scale: float) -> None:
    samples = np.array(stacking.simulated(20, 200, 3))
    found = []
    for unit in (1.0, scale):
        priors = {"mean": f"normal({2 * unit}, {unit})", "sd": f"half_normal({unit})"}
        idata = pyxstan.fit(
            "stack_gaussian", unit * samples, low=0.1 * unit, high=10 * unit, priors=priors,
            seed=1, progress=False,
        )  # fmt: skip
        assert idata.attrs["method"] == "quadrature"
        draws = np.stack([idata.posterior[name] for name in ("mean", "sd")]) / unit
        found.append(np.append(draws.mean(axis=(1, 2)), draws.std(axis=(1, 2))))
    np.testing.assert_allclose(found[1], found[0], rtol=0.02)


def test_a_parent_cut_off_in_its_tail() -> None:
    """An exponential decline, as the tail of a Gaussian with its mean far below the range."""
    rng = np.random.default_rng(0)
    true = rng.exponential(0.5, 60)[:, None]
    samples = np.abs(true + 0.03 * rng.normal(size=(60, 1)) + 0.03 * rng.normal(size=(60, 30)))
    priors = {"mean": "uniform(-200, 4)", "sd": "uniform(0, 10)"}
    idata = pyxstan.fit(
        "stack_truncated_gaussian", samples, low=0.0, high=4.0, priors=priors, drop_empty=True,
        seed=1, progress=False,
    )  # fmt: skip
    slope = -idata.posterior["mean"] / idata.posterior["sd"] ** 2
    assert abs(float(slope.median()) - 2) < 0.6
    assert pyxstan.verdict(idata).converged


def test_seeds_and_chains() -> None:
    samples = stacking.simulated(30, 300, 3)

    def fit(seed: int, **options: Any) -> Any:
        return pyxstan.fit(
            "stack_gaussian", samples, low=0.5, high=3.0, seed=seed, progress=False, **options
        )

    one, same, other = fit(1), fit(1), fit(2)
    assert one.attrs["method"] == "quadrature"
    np.testing.assert_array_equal(one.posterior["mean"], same.posterior["mean"])
    assert (one.posterior["mean"] != other.posterior["mean"]).any()
    assert (one.posterior["mean"][0] != one.posterior["mean"][1]).any()
    assert "quasi-random draws by quadrature" in pyxstan.verdict(one).line
    assert fit(1, chains=1, draws=1).posterior["sd"].shape == (1, 1)
