"""Defaults of a concordance must not decide its answer, and what speaks against one is said."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import pyxstan
from pyxstan import inference_data, registry
from pyxstan.concordance import ConcordanceData, scatter, shrinkage
from pyxstan.concordance.counts import mode

FloatArray = npt.NDArray[np.float64]
MODELS = ("concordance", "concordance_t")


def table(cells: dict[str, dict[str, float]], sigma: float | None = None) -> dict[str, list[Any]]:
    """Long table of log fluxes by instrument and source."""
    rows = [(i, j, y) for i, row in cells.items() for j, y in row.items()]
    names = ("instrument", "source", "log_flux")
    columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    return columns if sigma is None else {**columns, "sigma": [sigma] * len(rows)}


def of_grid(y: FloatArray, sigma: float | None = None) -> ConcordanceData:
    """Data of a grid, instruments by sources, NaN where nothing was measured."""
    cells = {
        f"i{i}": {f"s{j}": value for j, value in enumerate(row) if np.isfinite(value)}
        for i, row in enumerate(y.tolist())
    }
    return ConcordanceData.from_table(table(cells, sigma), tau=0.05)


def campaign(
    seed: int, sigma: npt.ArrayLike, sources: int = 6, *, off: float = 0.0, tau: float = 0.05
) -> FloatArray:
    """Log fluxes of instruments of that scatter; one value is off."""
    rng = np.random.default_rng(seed)
    s = np.asarray(sigma, dtype=float)[:, None]
    y = tau * rng.standard_normal(s.shape) + rng.standard_normal(sources)
    y = y - s**2 / 2 + s * rng.standard_normal((s.size, sources))
    y[-1, 0] += off
    return y


ONE_SOURCE = {name: {"X": np.log(f)} for name, f in
              {"PCA": 2.40, "BAT": 2.25, "IBIS": 2.31, "NuSTAR": 2.20}.items()}  # fmt: skip
NO_FREEDOM = {
    "one source": (ONE_SOURCE, "'PCA', 'BAT', 'IBIS', 'NuSTAR'"),
    "two instruments, one source": ({"A": {"X": 0.0}, "B": {"X": 0.1}}, "'A', 'B'"),
    "one instrument alone": ({"A": {"X": 0.0, "Y": 1.0, "Z": 0.3}}, "'A'"),
    "a chain": ({"A": {"X": 0.0, "Y": 1.0}, "B": {"Y": 1.1, "Z": 0.3}}, "'A', 'B'"),
    "a group without beside one with": (
        {"A": {"X": 0.0, "Y": 1.0}, "B": {"X": 0.1, "Y": 0.9}, "C": {"Z": 0.3}, "D": {"Z": 0.4}},
        "'C', 'D'",
    ),
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", NO_FREEDOM)
def test_no_degree_of_freedom_is_refused(case: str, model: str) -> None:
    cells, names = NO_FREEDOM[case]
    settings: list[dict[str, Any]] = [{"variances": "unknown"}, {"variances": "extra"}]
    if model == "concordance_t":
        settings.append({"variances": "unknown", "nu": "estimated"})
    for options in settings:
        data = ConcordanceData.from_table(table(cells, 0.02), tau=0.05)
        with pytest.raises(pyxstan.DataError, match=f"no degree of freedom: .* by {names} ") as no:
            pyxstan.fit(model, data, progress=False, **options)
        slot = "sigma" if options["variances"] == "extra" else "sigma2"
        assert "use variances=known, as the data have sigma" in str(no.value)
        assert f"set a prior of {slot}, as in {slot}=" in str(no.value)
        settled(prepared(model, data, **{**options, "variances": "known"}))
        settled(prepared(model, data, **options, priors=advised(str(no.value))))
    with pytest.raises(pyxstan.DataError, match="no degree of freedom"):
        shrinkage(table(cells), tau=0.05)


def advised(message: str) -> dict[str, str]:
    """The prior that a message gives as an example."""
    name, _, words = message.partition("as in ")[2].partition("=")
    return {name: words}


def settled(problem: Any) -> None:
    """A problem that is ready for Stan."""
    assert np.isfinite(problem.guess.gaussian.B).all()


EXACT = {
    "all": [[0.0, 1.0, 0.3], [0.1, 1.1, 0.4], [-0.2, 0.8, 0.1]],
    "copies beside another": [[0.0, 1.0, 0.3, 2.0], [0.0, 1.0, 0.3, 2.0], [0.1, 0.9, 0.45, 2.2]],
    "all but one value": [[0.0, 1.0, 0.3, 2.0]] * 3 + [[0.0, 1.0, 0.3, 2.5]],
}


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", EXACT)
def test_data_equal_to_the_last_digit_are_refused(case: str, model: str) -> None:
    data = of_grid(np.array(EXACT[case]))
    with pytest.raises(pyxstan.DataError, match="agree to the last digit") as no:
        pyxstan.fit(model, data, progress=False)
    settled(prepared(model, data, priors=advised(str(no.value))))
    with pytest.raises(pyxstan.DataError, match="agree to the last digit"):  # sigma = 0 wins
        pyxstan.fit(model, data, priors={"sigma": "half_normal(0.1)"}, progress=False)
    with pytest.raises(pyxstan.DataError, match="agree to the last digit"):
        shrinkage(data)
    settled(prepared(model, of_grid(np.array(EXACT[case]), 0.02)))
    rounded = np.round(campaign(1, [0.02] * 4), 2)
    settled(prepared(model, of_grid(rounded)))


def test_a_superb_instrument_is_held_up_by_the_prior() -> None:
    """Its sigma could be zero for all that the others tell: the interval's end is the prior's."""
    said = []
    for sigma in ([0.005, 0.1, 0.1, 0.1], [0.05] * 4):
        data = of_grid(campaign(4, sigma, 20))
        idata = pyxstan.fit("concordance", data, pointwise="none", draws=500, chains=2, seed=1,
                            progress=False)  # fmt: skip
        said.append("no lower limit on sigma of" in inference_data.attributes(idata)["notes"])
        assert "no lower limit" not in str(pyxstan.verdict(idata))
    assert said == [True, False]


def test_sigma_in_percent_is_doubted() -> None:
    y = campaign(1, [0.05] * 4)
    problem = prepared("concordance", of_grid(y, 5.0))
    (warning,) = problem.warnings
    assert warning.startswith("the median sigma is 5, a factor of 148 in flux: in percent?")
    assert not prepared("concordance", of_grid(y, 0.3)).warnings


def prepared(model: str, data: ConcordanceData, **options: Any) -> Any:
    """The problem that a fit samples."""
    priors = options.pop("priors", None)
    entry = registry.get(model)
    chosen = entry.resolve_options(options, registry.SAMPLER_OPTIONS)
    return entry.family.prepare(model, data, chosen, entry.resolve_priors(priors))


def test_a_prior_of_the_user_serves_in_place_of_freedom() -> None:
    data = ConcordanceData.from_table(table(ONE_SOURCE), tau=0.05)
    priors = {"sigma2": "inv_gamma(3, 0.005)"}
    idata = pyxstan.fit("concordance", data, priors=priors, seed=1, progress=False)
    assert "no measurement tells the scatter of 'PCA', 'BAT'" in str(pyxstan.verdict(idata))
    posterior = inference_data.group(idata, "posterior")
    # the data say next to nothing of the scatter: its prior remains, and the areas' nearly so
    prior = np.sqrt(0.005 / np.random.default_rng(1).gamma(3, size=100_000))
    middle = posterior["sigma"].median(("chain", "draw")).to_numpy()
    np.testing.assert_allclose(middle, np.median(prior), rtol=0.15)
    assert (posterior["B"].std(("chain", "draw")) > 0.03).all()


def test_a_dangling_measurement_is_named() -> None:
    """The one measurement of an instrument fits whatever its area: its scatter is the prior's."""
    y = campaign(1, [0.02] * 4)
    y[3, 1:] = np.nan
    problem = prepared("concordance", of_grid(y), variances="unknown")
    assert any("scatter of 'i3' from its area" in line for line in problem.complaints)
    shared = prepared("concordance", of_grid(y), variances="unknown", sigma_groups="i2, i3")
    assert not shared.complaints
    np.testing.assert_array_equal(shared.stan_data["slot"], [1, 2, 3, 3])
    assert shared.stan_data["K"] == 3


@pytest.mark.parametrize("case", ["good", "bad instrument", "bad value"])
@pytest.mark.parametrize("shape", [(4, 6), (3, 103), (13, 2), (13, 4)])
def test_centre_of_the_prior_resists(case: str, shape: tuple[int, int]) -> None:
    """The spread is that of the good instruments, within a factor that few data leave."""
    spreads = []
    for seed in range(20):
        sigma = np.full(shape[0], 0.02)
        sigma[-1] = 0.3 if case == "bad instrument" else 0.02
        data = of_grid(campaign(seed, sigma, shape[1], off=5.0 * (case == "bad value")))
        spreads.append(scatter.robust_spreads(data, scatter.Design.of(data))[0])
    assert 0.75 < np.median(spreads) / 0.02 < 1.35
    assert np.min(spreads) / 0.02 > 0.1
    assert np.max(spreads) / 0.02 < 3


def test_spread_follows_each_group() -> None:
    """Bands, which share no source, have priors of their own; instruments without data theirs."""
    quiet, loud = campaign(1, [0.01] * 4, 30), campaign(2, [0.1] * 4, 30)
    y = np.full((8, 60), np.nan)
    y[:4, :30], y[4:, 30:] = quiet, loud
    data = of_grid(y)
    spread = scatter.robust_spreads(data, scatter.Design.of(data))
    np.testing.assert_allclose(spread[:4], 0.01, rtol=0.25)
    np.testing.assert_allclose(spread[4:], 0.1, rtol=0.25)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("case", ["bad instrument", "bad value"])
def test_two_good_instruments_beside_a_bad_one(case: str, model: str) -> None:
    bad = case == "bad instrument"
    y = campaign(3, [0.02, 0.02, 0.02, 0.3 if bad else 0.02], off=0.0 if bad else 1.0)
    idata = pyxstan.fit(
        model, of_grid(y), variances="unknown", pointwise="none", seed=1, progress=False
    )
    posterior = inference_data.group(idata, "posterior")
    B = posterior["B"].to_numpy()
    assert (B[..., 0] - B[..., 1]).std() < 1.5 * 0.02 * np.sqrt(2 / 6)
    low, high = posterior["sigma"].quantile([0.025, 0.975], ("chain", "draw")).to_numpy()
    if model == "concordance":  # its sigma is that of the simulation
        assert (low[:3] < 0.02).all()
        assert (high[:3] > 0.02).all()


def test_common_sigma_is_one() -> None:
    y = campaign(4, [0.02] * 3, 5)
    data = of_grid(y)
    idata = pyxstan.fit(
        "concordance", data, variances="unknown", sigma_groups="common", seed=1, progress=False
    )
    sigma = inference_data.group(idata, "posterior")["sigma"].to_numpy()
    np.testing.assert_array_equal(sigma[..., 0], sigma[..., 2])
    for groups, slot in (
        ([["i0", "i2"]], [1, 2, 1]),
        ({"i1": "x", "i2": "x"}, [1, 2, 2]),
        ("i0; i1, i2", [1, 2, 2]),
    ):
        problem = prepared("concordance", data, variances="unknown", sigma_groups=groups)
        np.testing.assert_array_equal(problem.stan_data["slot"], slot)


def test_prior_influence_of_an_instrument_alone() -> None:
    """Its posterior is its prior, although W is given the fluxes."""
    y = campaign(5, [0.02] * 3, 5)
    y = np.vstack([np.hstack([y, np.full((3, 4), np.nan)]), [[np.nan] * 5 + [0.1, 0.2, 0.3, 0.4]]])
    idata = pyxstan.fit("concordance", of_grid(y, 0.02), seed=1, progress=False)
    constant = inference_data.group(idata, "constant_data")
    ratio = constant["variance_ratio"].to_numpy()
    assert ratio[3] == pytest.approx(1, abs=1e-9)
    assert (ratio[:3] < 0.6).all()
    # three that share all sources: the common shift keeps a third of its prior variance
    want = (1 + 2 / (1 + 0.05**2 * 5 / 0.02**2)) / 3
    np.testing.assert_allclose(ratio[:3], want, rtol=1e-9)
    W = constant["prior_influence"].to_numpy()
    np.testing.assert_allclose(W, 1 / (1 + 0.05**2 * np.array([5, 5, 5, 4]) / 0.02**2))
    table = pyxstan.summary(idata)
    assert table.loc["B[i3]", "variance_ratio"] == pytest.approx(1, abs=1e-9)
    notes = " ".join(json.loads(inference_data.attributes(idata)["notes"]))
    assert "2 groups of instruments share no source" in notes
    assert "seen by one instrument alone" in notes


def test_shrinkage_is_the_joint_mode_of_the_default_model() -> None:
    """No step away from it raises the density of B, G and sigma^2 under the prior of the fit."""
    data = of_grid(campaign(6, [0.02, 0.03, 0.04], 7))
    problem = prepared("concordance", data, variances="unknown")
    shape, scale = problem.stan_data["sigma_prior"]
    got = shrinkage(data)

    def log_density(B: FloatArray, G: FloatArray, v: FloatArray) -> float:
        r = data.y - B[data.instrument] - G[data.source] + v[data.instrument] / 2
        each = v[data.instrument]
        lp = -0.5 * (r**2 / each + np.log(each)).sum() - 0.5 * (B**2 / 0.05**2).sum()
        return float(lp - ((shape + 1) * np.log(v) + scale / v).sum())

    best = log_density(got.B, got.G, got.sigma**2)
    for k in range(3):
        for step in (-1e-3, 1e-3):
            unit = np.eye(3)[k]
            assert log_density(got.B, got.G, got.sigma**2 * np.exp(step * unit)) < best
            assert log_density(got.B + 0.1 * step * unit, got.G, got.sigma**2) < best
    # the published prior, by its alpha and beta
    published = shrinkage(data, alpha=2 * 1.5 + 2, beta=2 * 0.03**2)
    assert (published.sigma != got.sigma).all()


def complaints(data: ConcordanceData, **options: Any) -> list[str]:
    idata = pyxstan.fit("concordance", data, seed=1, progress=False, **options)
    found: list[str] = json.loads(inference_data.attributes(idata)["complaints"])
    verdict = str(pyxstan.verdict(idata))
    assert all(line in verdict for line in found)
    return found


def test_what_contradicts_the_errors_or_the_prior_is_said() -> None:
    y = campaign(7, [0.02] * 4, 12)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert complaints(of_grid(y, 0.02)) == []
    (small,) = complaints(of_grid(y, 0.008))
    assert "chi^2" in small
    assert "too small" in small
    (large,) = complaints(of_grid(y, 0.1))
    assert "too large" in large
    shifted = y.copy()
    shifted[2] += 0.5
    assert any("tau from b for 'i2'" in line for line in complaints(of_grid(shifted, 0.02)))
    flare = y.copy()
    flare[0, 3] += 0.5
    assert any("residual of source 's3'" in line for line in complaints(of_grid(flare, 0.02)))


def test_expected_counts_are_the_search_s_errors() -> None:
    """Fisher scoring ends where the Poisson score, prior included, vanishes."""
    rng = np.random.default_rng(8)
    T = np.array([1.0, 4.0, 20.0])
    C = rng.poisson(T[:, None] * rng.uniform(2, 30, 15))
    i, j = np.indices(C.shape).reshape(2, -1)
    columns = {"instrument": [f"i{k}" for k in i], "source": [f"s{k}" for k in j],
               "counts": C.ravel(), "exposure": T[i]}  # fmt: skip
    data = ConcordanceData.from_table(columns, tau=0.05)
    fit = mode(data, np.eye(3) / 0.05**2)
    mu = data.expected_counts(fit.B, fit.G)
    of_area = np.bincount(data.instrument, C.ravel() - mu) - fit.B / 0.05**2
    np.testing.assert_allclose(of_area, 0, atol=1e-5)
    np.testing.assert_allclose(np.bincount(data.source, C.ravel() - mu), 0, atol=1e-5)
