"""The closed forms, against the formulas of the papers spelt out measurement by measurement."""

from __future__ import annotations

import math

import numpy as np
import pytest
from references.gaussian_posterior import gaussian_posterior, prior_covariance
from references.simulated import simulated_concordance

import pyxstan
from pyxstan.concordance import ConcordanceData, prior_influence, shrinkage


def campaign(seed: int = 1, missing: float = 0.3) -> ConcordanceData:
    """Five instruments, seven sources, their own b and tau."""
    y = simulated_concordance(5, 7, seed, missing=missing).y
    source, instrument = np.nonzero(np.isfinite(y.T))
    return ConcordanceData(
        instruments=tuple("abcde"),
        sources=tuple("ABCDEFG"),
        instrument=instrument,
        source=source,
        y=y[instrument, source],
        sigma=None,
        b=np.array([0.0, 0.1, -0.05, 0.02, 0.0]),
        tau=np.array([0.02, 0.05, 0.05, 0.1, 0.03]),
    )


SIGMA = np.array([0.03, 0.06, 0.1, 0.02, 0.05])


def members(data: ConcordanceData, i: int) -> list[int]:
    return [k for k in range(data.y.size) if data.instrument[k] == i]


def test_prior_influence_term_by_term() -> None:
    data = campaign()
    each = np.random.default_rng(2).uniform(0.01, 0.1, data.y.size)
    got = prior_influence(data, each)
    for i in range(5):
        summed = sum(each[k] ** -2 for k in members(data, i))
        assert got[i] == pytest.approx(data.tau[i] ** -2 / (data.tau[i] ** -2 + summed), rel=1e-12)
    one, by_instrument = prior_influence(data, 0.05), prior_influence(data, np.full(5, 0.05))
    np.testing.assert_allclose(one, by_instrument)
    assert prior_influence(data, 0.05, tau=1e-5) == pytest.approx(np.ones(5), abs=1e-5)
    assert prior_influence(data, 0.05, tau=100.0) == pytest.approx(np.zeros(5), abs=1e-5)


def test_prior_influence_of_a_table_like_the_published_ones() -> None:
    """E0102-like: with two lines and sigma = tau, the prior weighs a third."""
    table = {"instrument": ["pn", "pn", "MOS1"], "source": ["O VII", "O VIII", "O VII"],
             "log_flux": [0.0, 1.0, 0.1]}  # fmt: skip
    assert prior_influence(table, 0.05, tau=0.05) == pytest.approx([1 / 3, 1 / 2])
    assert prior_influence(table, 0.05, tau=0.025) == pytest.approx([2 / 3, 4 / 5])


def bands(correlation: float) -> tuple[ConcordanceData, np.ndarray]:
    """Two instruments in two bands, one hardly seen in the second; the T to expect."""
    table = {
        "instrument": ["pn", "pn", "MOS1", "MOS1", "pn", "MOS1"],
        "source": ["A", "A", "A", "A", "B", "B"],
        "band": ["soft", "hard", "soft", "hard", "soft", "soft"],
        "log_flux": [0.0, 0.1, 0.2, 0.3, 0.4, 0.5],
    }
    instruments = {
        "instrument": ["pn", "pn", "MOS1", "MOS1"],
        "band": ["soft", "hard"] * 2,
        "tau": [0.05, 0.02, 0.1, 0.03],
    }
    tau = np.array(instruments["tau"], dtype=float)
    pair = np.array([[1, correlation], [correlation, 1]])
    T = np.kron(np.eye(2), pair) * np.outer(tau, tau)
    return ConcordanceData.from_table(table, instruments), T


def test_prior_influence_of_correlated_bands() -> None:
    data, T = bands(0.8)
    sigma = np.array([0.03, 0.05, 0.02, 0.3])
    D = np.diag(data.counts_by_instrument / sigma**2)
    want = np.diag(np.linalg.inv(np.linalg.inv(T) + D)) / np.diag(T)
    got = prior_influence(data, sigma, band_correlation=0.8)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    alone = prior_influence(data, sigma)
    assert (got < alone).all()  # one band's data speak for the other
    np.testing.assert_allclose(prior_influence(data, sigma, band_correlation=1e-9), alone)


def test_prior_influence_where_the_other_band_says_it_all() -> None:
    """A band without data of its own whose twin is known to the last digit: 1 - rho^2 is left."""
    data, _ = bands(0.9)
    sigma = np.array([1e-6, 1e3, 1e-6, 1e3])
    got = prior_influence(data, sigma, band_correlation=0.9)
    assert got == pytest.approx([0, 1 - 0.81, 0, 1 - 0.81], abs=1e-6)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_sigma_and_flux_known(missing: float) -> None:
    """B_i = W_i b_i + (1 - W_i) (ybar_i - Gbar), y with its half variance."""
    data = campaign(missing=missing)
    G = np.random.default_rng(3).normal(-25, 1, 7)
    got = shrinkage(data, sigma=SIGMA, G=G)
    for i in range(5):
        mine = members(data, i)
        W = data.tau[i] ** -2 / (data.tau[i] ** -2 + len(mine) * SIGMA[i] ** -2)
        y_mean = sum(data.y[k] + SIGMA[i] ** 2 / 2 for k in mine) / len(mine)
        G_mean = sum(G[data.source[k]] for k in mine) / len(mine)
        assert got.W[i] == pytest.approx(W, rel=1e-12)
        assert got.B[i] == pytest.approx(W * data.b[i] + (1 - W) * (y_mean - G_mean), abs=1e-12)
        assert got.sigma[i] == pytest.approx(SIGMA[i])
    np.testing.assert_array_equal(got.G, G)


def test_on_the_original_scale_it_is_a_power_mean() -> None:
    """A_i = a_i^W_i [geometric mean of c_ij / geometric mean of f_j exp(sigma_i^2/2)]^(1-W_i)."""
    data = campaign(missing=0.0)
    f = np.exp(np.random.default_rng(4).normal(-25, 1, 7))
    got = shrinkage(data, sigma=SIGMA, G=np.log(f))
    for i in range(5):
        c = [math.exp(data.y[k]) for k in members(data, i)]
        ratio = math.prod(c) ** (1 / 7) / math.prod(f) ** (1 / 7) * math.exp(SIGMA[i] ** 2 / 2)
        a = math.exp(data.b[i])
        assert math.exp(got.B[i]) == pytest.approx(a ** got.W[i] * ratio ** (1 - got.W[i]))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_sigma_known_flux_unknown(missing: float) -> None:
    """A fixed point of both equations, and the mean of the exact posterior."""
    data = campaign(missing=missing)
    got = shrinkage(data, sigma=SIGMA)
    w = SIGMA**-2
    for i in range(5):
        mine = members(data, i)
        y_mean = np.mean([data.y[k] + SIGMA[i] ** 2 / 2 for k in mine])
        G_mean = np.mean([got.G[data.source[k]] for k in mine])
        W = data.tau[i] ** -2 / (data.tau[i] ** -2 + len(mine) * w[i])
        assert got.B[i] == pytest.approx(W * data.b[i] + (1 - W) * (y_mean - G_mean), abs=1e-10)
    for j in range(7):
        theirs = [k for k in range(data.y.size) if data.source[k] == j]
        by = data.instrument[theirs]
        total = w[by].sum()
        y_mean = (w[by] * (data.y[theirs] + SIGMA[by] ** 2 / 2)).sum() / total
        B_mean = (w[by] * got.B[by]).sum() / total
        assert got.G[j] == pytest.approx(y_mean - B_mean, abs=1e-10)
    y = np.full((5, 7), np.nan)
    y[data.instrument, data.source] = data.y
    exact = gaussian_posterior(y, SIGMA[:, None], data.b, np.diag(data.tau**2))
    np.testing.assert_allclose(got.B, exact.B, atol=1e-10)
    np.testing.assert_allclose(got.G, exact.G, atol=1e-10)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("flux_known", [True, False])
def test_sigma_unknown(missing: float, flux_known: bool) -> None:
    """sigma_i^2 = 2 S^2 / (1 + sqrt(1 + S^2)), S^2 = [sum (y - B - G)^2 + beta] / (|J| + alpha)."""
    data = campaign(missing=missing)
    alpha, beta = 2.5, 0.004
    G = np.random.default_rng(5).normal(0, 0.02, 7) + simulated_concordance(5, 7, 1).G
    got = shrinkage(data, alpha=alpha, beta=beta, G=G if flux_known else None)
    for i in range(5):
        mine = members(data, i)
        squares = sum((data.y[k] - got.B[i] - got.G[data.source[k]]) ** 2 for k in mine)
        S2 = (squares + beta) / (len(mine) + alpha)
        assert got.sigma[i] ** 2 == pytest.approx(2 * S2 / (1 + math.sqrt(1 + S2)), rel=1e-8)
    again = shrinkage(data, sigma=got.sigma, G=G if flux_known else None)
    np.testing.assert_allclose(again.B, got.B, atol=1e-10)
    np.testing.assert_allclose(again.W, got.W, atol=1e-10)


def test_shrinkage_is_the_posterior_mean_of_a_fit() -> None:
    y = simulated_concordance(5, 7, 6).y
    exact = gaussian_posterior(y, 0.05, 0.0, prior_covariance(0.03, 5))
    data, _ = pyxstan.simulate("concordance", seed=1, instruments=5, sources=7)
    source, instrument = np.nonzero(np.isfinite(y.T))
    data = ConcordanceData(
        data.instruments, data.sources, instrument, source, y[instrument, source],
        np.full(35, 0.05), np.zeros(5), np.full(5, 0.03),
    )  # fmt: skip
    got = shrinkage(data)
    np.testing.assert_allclose(got.B, exact.B, atol=1e-10)
    idata = pyxstan.fit("concordance", data, seed=1, progress=False)
    mean = idata["posterior"]["B"].mean(("chain", "draw"))
    np.testing.assert_allclose(mean, got.B, atol=0.0005)
    np.testing.assert_allclose(idata["constant_data"]["prior_influence"], got.W)


def test_an_instrument_without_data_keeps_its_prior() -> None:
    data = campaign(missing=0.0)
    kept = data.instrument != 4
    data = ConcordanceData(
        data.instruments, data.sources, data.instrument[kept], data.source[kept], data.y[kept],
        None, np.array([0, 0, 0, 0, 0.3]), data.tau,
    )  # fmt: skip
    for got in (shrinkage(data, sigma=0.05), shrinkage(data)):
        assert got.B[4] == pytest.approx(0.3, abs=1e-12)
        assert got.W[4] == 1
        assert np.isnan(got.sigma[4])


def test_what_can_t_be_is_refused() -> None:
    data = campaign()
    with pytest.raises(pyxstan.DataError, match="sigma must be positive and finite"):
        shrinkage(data, sigma=-1.0)
    with pytest.raises(pyxstan.DataError, match=r"sigma has shape \(3,\), expected one number"):
        prior_influence(data, np.ones(3))
    with pytest.raises(pyxstan.DataError, match=r"G has shape \(2,\), expected \(7,\)"):
        shrinkage(data, sigma=0.1, G=[1.0, 2.0])
    with pytest.raises(pyxstan.DataError, match="instrument 'a' has no tau"):
        shrinkage({"instrument": ["a"], "source": ["s"], "log_flux": [1.0]}, sigma=0.1)
