"""The references are checked against each other and against published figures."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import arviz as az
import numpy as np
import numpy.typing as npt
import pytest
from references import gibbs, quadrature
from references.exact_draws import generalised_inverse_gaussian, slice_step
from references.gaussian_posterior import gaussian_posterior, prior_covariance
from references.simulated import simulated_concordance
from scipy import integrate, special, stats

FloatArray = npt.NDArray[np.float64]
HETG = Path(__file__).parents[2] / "shared" / "data" / "hetg_concordance"
ARMS = ("HEG-1", "HEG+1", "MEG-1", "MEG+1")
TINY = np.array([[0.03, 1.21], [-0.10, 1.02]])
CORRELATED = np.array([[0.01, 0.004], [0.004, 0.0064]])


def assert_same_posterior(draws: FloatArray, mean: FloatArray, sd: FloatArray) -> None:
    """Means within 4 Monte Carlo errors; sd's within 4 of theirs, found from the draws."""
    draws = draws.reshape(*draws.shape[:2], -1)
    for k in range(draws.shape[2]):
        x = draws[:, :, k]
        error_mean = float(az.mcse(x, method="mean"))
        error_sd = float(az.mcse(x, method="sd"))
        assert abs(x.mean() - mean[k]) < 4 * error_mean
        assert abs(x.std() - sd[k]) < 4 * error_sd
        assert error_mean < 0.03 * sd[k], "the check has no teeth"


@pytest.mark.skipif(not HETG.is_dir(), reason="the HETG measurements are not beside the checkout")
@pytest.mark.parametrize(
    ("band", "tau", "mean", "sd"),
    [
        ("12-15A", 0.05, [-0.03919, -0.02708, 0.03757, 0.02870], [0.0265, 0.0267, 0.0257, 0.0257]),
        ("12-15A", 0.025, [-0.03594, -0.02470, 0.03469, 0.02595], [0.0150, 0.0153, 0.0137, 0.0138]),
        ("9-12A", 0.05, [-0.00465, -0.01352, 0.00779, 0.01038], [0.0262, 0.0266, 0.0257, 0.0257]),
    ],
)
def test_exact_gaussian_gives_the_published_figures(
    band: str, tau: float, mean: list[float], sd: list[float]
) -> None:
    with (HETG / f"band_{band}.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    y = np.array([[float(row[f"y_{arm}"]) for row in rows] for arm in ARMS])
    sigma = np.array([[float(row[f"sigma_{arm}"]) for row in rows] for arm in ARMS])
    exact = gaussian_posterior(y, sigma, 0.0, prior_covariance(tau, 4))
    np.testing.assert_allclose(exact.B, mean, atol=0.6e-5, rtol=0)
    np.testing.assert_allclose(exact.B_sd, sd, atol=0.6e-4, rtol=0)


@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_gibbs_with_known_variances_is_the_exact_gaussian(missing: float) -> None:
    data = simulated_concordance(4, 7, 11, missing=missing)
    T = 0.05**2 * (0.6 * np.ones((4, 4)) + 0.4 * np.eye(4))
    sigma = np.random.default_rng(2).uniform(0.02, 0.08, (4, 7))
    b = np.array([0.02, -0.01, 0.0, 0.03])
    exact = gaussian_posterior(data.y, sigma, b, T)
    got = gibbs.sample(data.y, b, T, gibbs.KnownVariance(sigma), chains=20, draws=500, seed=3)
    assert got.scale is None
    assert_same_posterior(got.B, exact.B, exact.B_sd)
    assert_same_posterior(got.G, exact.G, exact.G_sd)
    B, G = exact.draw(5000, seed=4)
    assert_same_posterior(B[None].reshape(4, 1250, 4), exact.B, exact.B_sd)
    assert_same_posterior(G[None].reshape(4, 1250, 7), exact.G, exact.G_sd)


def test_complete_path_is_the_general_path() -> None:
    data = simulated_concordance(5, 12, 21)
    T = prior_covariance(data.tau, 5)
    scale = gibbs.InverseGammaVariance(np.array([3.0, 2.0, 4.0, 3.0, 2.5]), 0.005)
    run = (20, 600, 200, 1)
    offset = data.y.mean(axis=0)
    fast = gibbs.sample(data.y, data.b, T, scale, chains=20, draws=600, seed=5)
    slow = gibbs._sample_general(
        data.y - offset, data.b, T, scale, None, run, np.random.default_rng(6)
    )
    assert fast.scale is not None
    assert slow.scale is not None
    for name in ("B", "G", "scale"):
        a, c = getattr(fast, name), getattr(slow, name)
        if name == "G":
            c = c + offset
        error = np.hypot(*(_mcse(x) for x in (a, c)))
        assert (np.abs(a.mean(axis=(0, 1)) - c.mean(axis=(0, 1))) < 4.5 * error).all()
        np.testing.assert_allclose(a.std(axis=(0, 1)), c.std(axis=(0, 1)), rtol=0.07)


def _mcse(x: FloatArray) -> FloatArray:
    return np.array([float(az.mcse(x[:, :, k])) for k in range(x.shape[2])])


def _inverse_gamma_log_scale(alpha: float, beta: float) -> Callable[[FloatArray], FloatArray]:
    """Log density of log sigma when sigma^2 ~ Inv-Gamma(alpha, beta)."""
    return lambda log_sigma: -2.0 * alpha * log_sigma - beta * np.exp(-2.0 * log_sigma)


@pytest.mark.parametrize("case", ["complete", "missing", "three instruments"])
def test_gibbs_with_unknown_variances_is_the_quadrature(case: str) -> None:
    y, T = TINY.copy(), CORRELATED
    if case == "missing":
        y[1, 0] = np.nan
    if case == "three instruments":
        y = np.vstack([TINY, [0.25, np.nan]])
        T = np.array([[0.01, 0.004, -0.003], [0.004, 0.0064, 0.0], [-0.003, 0.0, 0.0081]])
    b = np.array([0.05, -0.02, 0.0])[: len(y)]
    grids = quadrature.Grids(0.045, 0.54, 1.95, np.linspace(-3.2, 0.6, 45))
    want = quadrature.posterior_moments(
        y, b, T, _inverse_gamma_log_scale(4.0, 0.06), quadrature.lognormal_density, grids
    )
    scale = gibbs.InverseGammaVariance(4.0, 0.06)
    got = gibbs.sample(y, b, T, scale, chains=20, draws=1000, seed=7)
    assert got.scale is not None
    assert_same_posterior(got.B, want.B, want.B_sd)
    assert_same_posterior(got.G, want.G, want.G_sd)
    assert_same_posterior(np.log(got.scale), want.log_scale, want.log_scale_sd)


def test_gibbs_with_extra_variances_is_the_quadrature() -> None:
    given = np.array([[0.08, 0.1], [0.12, 0.06]])
    grids = quadrature.Grids(0.025, 0.5, 1.5, np.linspace(-16.0, 0.0, 150))
    b = np.zeros(2)

    def half_normal(xi: FloatArray) -> FloatArray:
        return -0.5 * (xi / 0.1) ** 2

    want = quadrature.posterior_moments(
        TINY,
        b,
        CORRELATED,
        lambda log_xi: half_normal(np.exp(log_xi)) + log_xi,
        quadrature.lognormal_density,
        grids,
        given,
    )
    got = gibbs.sample(
        TINY,
        b,
        CORRELATED,
        gibbs.ExtraVariance(given, half_normal),
        chains=24,
        draws=1000,
        seed=8,
    )
    assert got.scale is not None
    assert_same_posterior(got.B, want.B, want.B_sd)
    assert_same_posterior(got.G, want.G, want.G_sd)
    assert_same_posterior(np.log(got.scale), want.log_scale, want.log_scale_sd)


T_GRIDS = quadrature.Grids(0.04, 0.52, 6.0, np.linspace(-3.2, 1.0, 35))
T_PRIOR = _inverse_gamma_log_scale(4.0, 0.06)


def test_gibbs_log_t_with_nu_given_is_the_quadrature() -> None:
    b = np.array([0.05, -0.02])
    want = quadrature.posterior_moments(
        TINY, b, CORRELATED, T_PRIOR, quadrature.log_t_density(5.0), T_GRIDS
    )
    got = gibbs.sample(
        TINY,
        b,
        CORRELATED,
        gibbs.InverseGammaVariance(4.0, 0.06),
        gibbs.ChiSquaredWeights(5.0),
        chains=24,
        draws=1000,
        seed=9,
    )
    assert got.scale is not None
    assert got.weight is not None
    assert_same_posterior(got.B, want.B, want.B_sd)
    assert_same_posterior(got.G, want.G, want.G_sd)
    assert_same_posterior(np.log(got.scale), want.log_scale, want.log_scale_sd)
    assert ((got.weight > 1.0) & (got.weight < 7.0)).all()


def test_gibbs_log_t_with_nu_estimated_is_the_quadrature() -> None:
    # A prior that keeps nu away from the heavy tails in which a source's flux has no variance.
    tail = gibbs.ChiSquaredWeights(None, shape=12.0, rate=2.0, lower=3.0)
    b = np.array([0.05, -0.02])
    nodes = np.linspace(3.0, 18.0, 13)
    moments = [
        quadrature.posterior_moments(
            TINY, b, CORRELATED, T_PRIOR, quadrature.log_t_density(nu, 60), T_GRIDS
        )
        for nu in nodes
    ]
    prior = np.exp((tail.shape - 1.0) * np.log(nodes) - tail.rate * nodes)
    height = prior * np.array([m.evidence for m in moments])

    def mean_of(values: FloatArray) -> float:
        return float(
            integrate.simpson(height * values, x=nodes) / integrate.simpson(height, x=nodes)
        )

    nu_mean = mean_of(nodes)
    nu_sd = np.sqrt(mean_of((nodes - nu_mean) ** 2))
    B_mean = np.array([mean_of(np.array([m.B[i] for m in moments])) for i in range(2)])
    B_sd = np.sqrt(
        [
            mean_of(np.array([m.B_sd[i] ** 2 + (m.B[i] - B_mean[i]) ** 2 for m in moments]))
            for i in range(2)
        ]
    )
    got = gibbs.sample(
        TINY,
        b,
        CORRELATED,
        gibbs.InverseGammaVariance(4.0, 0.06),
        tail,
        chains=50,
        draws=400,
        thin=2,
        seed=10,
    )
    assert got.nu is not None
    assert_same_posterior(got.nu[:, :, None], np.array([nu_mean]), np.array([nu_sd]))
    assert_same_posterior(got.B, B_mean, B_sd)


@pytest.mark.parametrize(("nu", "sigma"), [(1.5, 0.1), (3.0, 0.1), (3.0, 1.0), (8.0, 0.4)])
def test_log_t_density_is_the_skew_t_with_a_bessel_function(nu: float, sigma: float) -> None:
    """f(e) = 2 exp(-e/2) (b/a)^(p/2) K_p(sqrt(ab)) / (2^(nu/2) Gamma(nu/2) sqrt(2 pi) sigma),
    p = (nu + 1)/2, a = 1 + (e/sigma)^2, b = sigma^2/4.
    """
    e = sigma * np.array([-40.0, -5.0, -1.0, 0.0, 0.4, 3.0, 10.0])
    p, a, b = (nu + 1.0) / 2.0, 1.0 + (e / sigma) ** 2, sigma**2 / 4.0
    closed = 2.0 * np.exp(-e / 2.0) * (b / a) ** (p / 2.0) * special.kv(p, np.sqrt(a * b))
    closed /= 2.0 ** (nu / 2.0) * special.gamma(nu / 2.0) * np.sqrt(2.0 * np.pi) * sigma
    numerical = quadrature.log_t_density(nu)(e, np.full(e.shape, sigma))
    np.testing.assert_allclose(numerical, closed, rtol=1e-6)


@pytest.mark.parametrize(
    ("q", "a", "b"), [(53.0, 25.0, 0.2), (2.0, 3.0, 5.0), (3.5, 400.0, 2.0), (2.0, 1e-3, 1.0)]
)
def test_generalised_inverse_gaussian_draws(q: float, a: float, b: float) -> None:
    draws = generalised_inverse_gaussian(np.random.default_rng(12), np.full(20_000, q), a, b)
    # SciPy's GIG(p, c) scaled by sqrt(b/a)
    law = stats.geninvgauss(-q, np.sqrt(a * b), scale=np.sqrt(b / a))
    edges = np.array([law.ppf(x) for x in np.linspace(0.0, 1.0, 21)[1:-1]])
    counts = np.bincount(np.searchsorted(edges, draws), minlength=20)
    assert stats.chisquare(counts).pvalue > 1e-4


def test_slice_step_keeps_a_truncated_density() -> None:
    rng = np.random.default_rng(13)
    x = np.full(4000, 2.0)
    for _ in range(60):
        x = slice_step(rng, x, lambda z: -0.5 * (z - 0.5) ** 2, 0.7, 0.0)
    assert stats.kstest(x, stats.truncnorm(-0.5, np.inf, loc=0.5).cdf).pvalue > 1e-4


def test_log_t_tells_which_measurement_is_the_outlier() -> None:
    data = simulated_concordance(6, 20, 14)
    y = data.y.copy()
    y[2, 5] += 1.0
    y[4, 9] = np.nan
    got = gibbs.sample(
        y,
        data.b,
        prior_covariance(data.tau, 6),
        gibbs.InverseGammaVariance(3.0, 0.005),
        gibbs.ChiSquaredWeights(),
        draws=300,
        seed=15,
    )
    assert got.weight is not None
    assert got.nu is not None
    assert np.isnan(got.weight[4, 9])
    assert np.nanargmin(got.weight) == 2 * 20 + 5
    assert got.nu.min() > 1.0


def test_a_source_seen_by_nobody_is_refused() -> None:
    y = np.array([[0.0, np.nan], [0.1, np.nan]])
    with pytest.raises(ValueError, match="seen by nobody"):
        gaussian_posterior(y, 0.1, 0.0, prior_covariance(0.05, 2))


def test_simulated_missing_share_leaves_everyone_a_measurement() -> None:
    y = simulated_concordance(10, 40, 16, missing=0.3, nu=3.0).y
    assert abs(np.isnan(y).mean() - 0.28) < 0.08
    assert np.isfinite(y).any(axis=0).all()
    assert np.isfinite(y).any(axis=1).all()
