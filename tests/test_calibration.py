"""The calibration statistics pass a right sampler and fail wrong ones."""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pytest
from references.gaussian_posterior import gaussian_posterior, prior_covariance

from pyxstan.calibration import assess, rank, simultaneous_band, thinned

L = 99
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


def normal_ranks(
    simulations: int, seed: int, *, width: float = 1.0, shift: float = 0.0
) -> IntArray:
    """Ranks for five normal means with known variance and a normal prior: posterior
    Normal(x/2, 1/2), its sd multiplied by width, its mean shifted by shift sd's.
    """
    rng = np.random.default_rng(seed)
    sd = np.sqrt(0.5)
    ranks = []
    for _ in range(simulations):
        truth = rng.standard_normal(5)
        x = truth + rng.standard_normal(5)
        draws = x / 2.0 + sd * (shift + width * rng.standard_normal((L, 5)))
        ranks.append(rank(truth, draws, rng))
    return np.array(ranks)


def test_right_sampler_passes() -> None:
    result = assess({"mu": normal_ranks(100, 1)}, L)
    assert result.passed
    assert [p.name for p in result.parameters] == [f"mu[{i}]" for i in range(5)]


@pytest.mark.parametrize(("width", "shift"), [(0.6, 0.0), (1.8, 0.0), (1.0, 0.6), (1.0, -0.6)])
def test_wrong_samplers_fail(width: float, shift: float) -> None:
    result = assess({"mu": normal_ranks(100, 2, width=width, shift=shift)}, L)
    assert not result.passed
    assert len(result.outside) >= 3


def test_one_wrong_parameter_among_many_is_found() -> None:
    good = np.concatenate([normal_ranks(100, seed) for seed in range(3, 11)], axis=1)
    bad = normal_ranks(100, 12, shift=0.9)[:, 0]
    assert assess({"good": good}, L).passed
    result = assess({"good": good, "bad": bad}, L)
    assert not result.passed
    assert "bad" in result.outside


@pytest.mark.parametrize(("simulations", "max_rank"), [(100, 99), (50, 20), (250, 150)])
def test_band_holds_the_stated_share_of_uniform_samples(simulations: int, max_rank: int) -> None:
    band = simultaneous_band(simulations, max_rank, 0.9)
    rng = np.random.default_rng(13)
    trials = 4000
    ranks = rng.integers(0, max_rank, endpoint=True, size=(trials, simulations))
    ecdf = (ranks[:, :, None] <= np.arange(max_rank)).mean(axis=1)
    tiny = 1e-12
    held = ((ecdf >= band.lower - tiny) & (ecdf <= band.upper + tiny)).all(axis=1).mean()
    # never less than stated; discreteness may hold a little more
    error = np.sqrt(0.9 * 0.1 / trials)
    assert 0.9 - 4 * error < held < 0.925 + 4 * error


def test_band_verdict_and_p_value_agree() -> None:
    result = assess({"mu": normal_ranks(60, 14, shift=0.3)}, L)
    for parameter in result.parameters:
        tiny = 1e-12
        within = (parameter.ecdf >= result.band.lower - tiny) & (
            parameter.ecdf <= result.band.upper + tiny
        )
        assert parameter.inside == within.all()
        assert parameter.inside == (parameter.p_value > 0.05)


def test_rank_breaks_ties_at_random() -> None:
    rng = np.random.default_rng(15)
    ranks = np.array([rank(0.0, np.zeros(9), rng) for _ in range(500)])
    assert assess({"tied": ranks}, 9).passed
    assert ranks.min() == 0
    assert ranks.max() == 9


def test_rank_refuses_nan_and_wrong_shapes() -> None:
    rng = np.random.default_rng(16)
    with pytest.raises(ValueError, match="NaN"):
        rank(np.nan, np.zeros(3), rng)
    with pytest.raises(ValueError, match=r"shape \(2,\)"):
        rank(np.zeros(2), np.zeros((5, 3)), rng)


def test_assess_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="0 to 9"):
        assess({"x": np.array([3, 10])}, 9)
    with pytest.raises(ValueError, match="same number"):
        assess({}, 9)


def test_thinned_takes_from_every_chain() -> None:
    draws = np.broadcast_to(np.arange(4.0)[:, None], (4, 100))
    np.testing.assert_array_equal(np.bincount(thinned(draws, 20).astype(int)), [5, 5, 5, 5])
    with pytest.raises(ValueError, match="401"):
        thinned(draws, 401)


def test_report_is_json() -> None:
    report = json.loads(json.dumps(assess({"mu": normal_ranks(40, 17)}, L).to_dict()))
    assert report["passed"] is True
    assert set(report["p_values"]) == {f"mu[{i}]" for i in range(5)}


def concordance_ranks(lean: float) -> dict[str, IntArray]:
    """Ranks of B and G for known variances; the true G is fixed plus lean times the mean of B."""
    rng = np.random.default_rng(18)
    T = prior_covariance(0.05, 3)
    ranks: dict[str, list[IntArray]] = {"B": [], "G": []}
    for simulation in range(150):
        B = 0.05 * rng.standard_normal(3)
        G = np.array([-2.5, 3.0]) + lean * B.mean()
        y = B[:, None] + G - 0.02**2 / 2.0 + 0.02 * rng.standard_normal((3, 2))
        y[2, 1] = np.nan
        posterior = gaussian_posterior(y, 0.02, 0.0, T)
        B_draws, G_draws = posterior.draw(L, seed=1000 + simulation)
        ranks["B"].append(rank(B, B_draws, rng))
        ranks["G"].append(rank(G, G_draws, rng))
    return {name: np.array(values) for name, values in ranks.items()}


def test_flat_prior_of_the_fluxes_keeps_ranks_uniform_whatever_the_truth() -> None:
    """No truth can be drawn from the flat prior of G, and none needs to be: the posterior shifts
    along with the truth, so that any true G gives the same ranks.
    """
    fixed, leaning = concordance_ranks(0.0), concordance_ranks(-1.5)
    assert assess(fixed, L).passed
    for name in ("B", "G"):
        np.testing.assert_array_equal(fixed[name], leaning[name])
