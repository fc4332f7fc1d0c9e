"""Right answers: published figures, the exact Gaussian posterior, Gibbs samplers, outliers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import numpy.typing as npt
import pytest
from references import gibbs
from references.gaussian_posterior import gaussian_posterior, prior_covariance
from references.simulated import simulated_concordance

import pyxstan
from pyxstan import inference_data
from pyxstan.concordance import ConcordanceData
from pyxstan.concordance.condensing import condensed

FloatArray = npt.NDArray[np.float64]
HETG = Path(__file__).parents[2] / "shared" / "data" / "hetg_concordance"


def concordance_data(y: FloatArray, tau: float, sigma: FloatArray | None = None) -> ConcordanceData:
    """Data of a grid (N, M) with NaN where nothing was measured."""
    instrument, source = np.nonzero(np.isfinite(y))
    N, M = y.shape
    return ConcordanceData(
        instruments=tuple(f"i{i}" for i in range(N)),
        sources=tuple(f"s{j}" for j in range(M)),
        instrument=instrument,
        source=source,
        y=y[instrument, source],
        sigma=None if sigma is None else sigma[instrument, source],
        b=np.zeros(N),
        tau=np.full(N, tau),
    )


def grid(data: ConcordanceData, values: FloatArray) -> FloatArray:
    """Values by measurement, spread over the grid (N, M)."""
    spread = np.full((len(data.instruments), len(data.sources)), np.nan)
    spread[data.instrument, data.source] = values
    return spread


def draws(idata: Any, name: str) -> FloatArray:
    return np.asarray(idata.posterior[name].to_numpy())


def assert_agree(ours: FloatArray, theirs: FloatArray) -> None:
    """Means and sds of two samples (chain, draw, k) agree within 4 combined Monte Carlo errors."""
    for k in range(ours.shape[2]):
        pair = ours[:, :, k], theirs[:, :, k]
        for method, statistic in (("mean", np.mean), ("sd", np.std)):
            errors = [float(az.mcse(x, method=method)) for x in pair]
            difference = float(statistic(pair[0]) - statistic(pair[1]))
            assert abs(difference) < 4 * np.hypot(*errors), (method, k)
            assert max(errors) < 0.05 * pair[1].std(), "the check has no teeth"


@pytest.mark.skipif(not HETG.is_dir(), reason="the HETG measurements are not beside the checkout")
@pytest.mark.parametrize(
    ("band", "tau", "mean", "sd"),
    [
        ("12-15A", 0.05, [-0.03919, -0.02708, 0.03757, 0.02870], [0.0265, 0.0267, 0.0257, 0.0257]),
        ("12-15A", 0.025, [-0.03594, -0.02470, 0.03469, 0.02595], [0.0150, 0.0153, 0.0137, 0.0138]),
        ("9-12A", 0.05, [-0.00465, -0.01352, 0.00779, 0.01038], [0.0262, 0.0266, 0.0257, 0.0257]),
    ],
)
def test_published_figures(band: str, tau: float, mean: list[float], sd: list[float]) -> None:
    data = ConcordanceData.from_table(HETG / f"band_{band}.csv", tau=tau)
    idata = pyxstan.fit("concordance", data, seed=11, progress=False)
    B = draws(idata, "B")
    assert data.sigma is not None
    exact = gaussian_posterior(
        grid(data, data.y), grid(data, data.sigma), data.b, prior_covariance(tau, 4)
    )
    for answer, width in ((mean, sd), (exact.B, exact.B_sd)):
        error = np.abs(B.mean((0, 1)) - answer)
        mcse = np.array([float(az.mcse(B[:, :, k], method="mean")) for k in range(4)])
        assert (error < 0.0005).all()
        assert (error < 3 * mcse).all()
        np.testing.assert_allclose(B.std((0, 1)), width, rtol=0.03)
    G = draws(idata, "G")
    np.testing.assert_allclose(G.mean((0, 1)), exact.G, atol=0.1 * exact.G_sd.min())


def test_nuts_agrees_with_the_closed_form() -> None:
    truth = simulated_concordance(4, 6, 1, missing=0.2)
    sigma = np.full(truth.y.shape, 0.04)
    data = concordance_data(truth.y, 0.05, sigma)
    exact = gaussian_posterior(truth.y, sigma, np.zeros(4), prior_covariance(0.05, 4))
    idata = pyxstan.fit("concordance", data, exact=False, seed=2, draws=4000, progress=False)
    assert idata.attrs["method"] == "nuts"
    B, G = exact.draw(16000, seed=3)
    assert_agree(draws(idata, "B"), B.reshape(4, 4000, -1))
    assert_agree(draws(idata, "G"), G.reshape(4, 4000, -1))


@pytest.mark.slow
@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("nu", [None, 5.0])
def test_unknown_variances_agree_with_gibbs(nu: float | None, missing: float) -> None:
    truth = simulated_concordance(4, 8, 5, nu=nu, missing=missing)
    reference = gibbs.sample(
        truth.y,
        truth.b,
        prior_covariance(0.05, 4),
        gibbs.InverseGammaVariance(3.0, 0.005),
        None if nu is None else gibbs.ChiSquaredWeights(nu),
        chains=32,
        draws=1000,
        seed=6,
    )
    model, options = ("concordance", {}) if nu is None else ("concordance_t", {"nu": nu})
    idata = pyxstan.fit(
        model,
        concordance_data(truth.y, 0.05),
        variances="unknown",
        priors={"sigma2": "inv_gamma(3, 0.005)"},
        seed=7,
        draws=4000,
        progress=False,
        **options,
    )
    assert_agree(draws(idata, "B"), reference.B)
    assert_agree(draws(idata, "G"), reference.G)
    assert_agree(np.log(draws(idata, "sigma")), np.log(reference.scale))


def test_known_variances_fail_where_fitted_ones_do_not() -> None:
    """Given errors five times too small discover what isn't there, too large ones learn nothing."""
    truth = simulated_concordance(6, 30, 8, alpha=50.0, beta=50 * 0.05**2)
    fitted = pyxstan.fit(
        "concordance", concordance_data(truth.y, 0.05), variances="unknown", seed=1, progress=False
    )
    wide = draws(fitted, "B") - truth.B
    contrast = wide - wide.mean(axis=2, keepdims=True)
    assert np.abs(contrast.mean((0, 1)) / contrast.std((0, 1))).max() < 3

    def with_errors(sigma: float) -> FloatArray:
        data = concordance_data(truth.y, 0.05, np.full(truth.y.shape, sigma))
        known = pyxstan.fit("concordance", data, seed=1, progress=False)
        wrong = draws(known, "B") - truth.B
        return wrong - wrong.mean(axis=2, keepdims=True)

    too_small = with_errors(0.01)
    assert np.abs(too_small.mean((0, 1)) / too_small.std((0, 1))).max() > 4
    assert (with_errors(0.25).std((0, 1)) > 2 * contrast.std((0, 1))).all()


def test_outlier_is_named_and_pulls_less() -> None:
    truth = simulated_concordance(5, 12, 9, alpha=50.0, beta=50 * 0.02**2)
    y = truth.y.copy()
    y[2, 4] += 0.6
    data = concordance_data(y, 0.05)
    robust = pyxstan.fit("concordance_t", data, seed=1, progress=False)
    weights = robust.posterior_predictive["outlier_weight"].mean(("chain", "draw"))
    lowest = int(np.argmin(weights.to_numpy()))
    assert weights["measured_instrument"].to_numpy()[lowest] == "i2"
    assert weights["measured_source"].to_numpy()[lowest] == "s4"
    assert float(weights[lowest]) < 0.1
    normal = pyxstan.fit("concordance", data, seed=1, progress=False)

    def contrast(idata: Any) -> float:
        B = draws(idata, "B").mean((0, 1)) - truth.B
        return abs(float(B[2] - np.delete(B, 2).mean()))

    assert contrast(robust) < contrast(normal)


def test_condensed_sources_have_the_same_likelihood() -> None:
    """Against the marginal Gaussian density of the full data, evaluated by brute force."""
    truth = simulated_concordance(3, 40, 4)
    y = truth.y.copy()
    y[0, :15] = np.nan
    data = concordance_data(y, 0.05)
    fit = condensed(data, np.zeros_like(data.y))
    assert fit["M"] < 10
    rng = np.random.default_rng(5)

    def log_density(B: FloatArray, v: FloatArray, part: dict[str, Any]) -> float:
        total = 0.0
        for j, count in enumerate(part["times"]):
            here = slice(part["start"][j] - 1, part["start"][j + 1] - 1)
            by = part["instrument"][here] - 1
            w = 1 / v[by]
            r = part["y"][here] + v[by] / 2 - B[by]
            e = r - (w * r).sum() / w.sum()
            total += count * 0.5 * (np.log(w).sum() - np.log(w.sum()) - (w * e**2).sum())
        return total

    order = np.lexsort((data.instrument, data.source))
    starts = np.searchsorted(data.source[order], np.arange(41)) + 1
    whole = {
        "times": np.ones(40),
        "start": starts,
        "instrument": data.instrument[order] + 1,
        "y": data.y[order],
    }
    for _ in range(5):
        B, v = 0.1 * rng.standard_normal(3), rng.uniform(1e-4, 1e-2, 3)
        assert log_density(B, v, fit) == pytest.approx(log_density(B, v, whole), rel=1e-10)


def test_correlated_bands_share_their_data() -> None:
    table = {
        "instrument": ["pn", "MOS1"] * 4,
        "source": ["A", "A", "B", "B"] * 2,
        "band": ["soft"] * 4 + ["hard"] * 4,
        "log_flux": [0.0, 0.05, 1.0, 1.04, 0.02, 0.05, 1.01, 1.06],
        "sigma": [0.02] * 4 + [0.2] * 4,
    }
    data = pyxstan.concordance.ConcordanceData.from_table(table, tau=0.05)
    influence = {}
    for correlation in (None, 0.9):
        idata = pyxstan.fit(
            "concordance", data, band_correlation=correlation, seed=1, progress=False
        )
        constant = inference_data.group(idata, "constant_data")
        influence[correlation] = constant["prior_influence"].to_numpy()
        want = pyxstan.concordance.prior_influence(data, data.sigma, band_correlation=correlation)
        np.testing.assert_allclose(influence[correlation], want, rtol=1e-12)
    assert (influence[0.9] < influence[None]).all()
