"""Predicted counts of source and background: how they spread, and which models they rule out."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse, stats
from spectra_models import POWER_LAW, one, spectrum

import pyxstan
from pyxstan.inference_data import group
from pyxstan.spectra import (
    LinkedSpectra,
    Observation,
    Source,
    Spectrum,
    component,
    fake,
    likelihood,
)

GROUPS = 50


def binned(name: str, counts: Any, off: Any, alpha: float, error: float, sigma: float) -> Any:
    """As much of a binned spectrum as statistics take, a channel a group."""
    behind = name != "cstat"
    gauss = name in ("pgstat", "chi2")
    return SimpleNamespace(
        counts=counts,
        errors=np.full(len(counts), error) if name == "chi2" else None,
        background_counts=off if behind else None,
        background_errors=np.full(len(counts), sigma) if gauss else None,
        alpha=np.full(len(counts), alpha) if behind else None,
        size=len(counts),
        membership=sparse.csr_array(np.eye(len(counts))),
    )


#: Statistic, counts expected of the source and of the background's spectrum, alpha, errors.
SETTINGS = {
    "cstat": ("cstat", 4.0, 0.0, 1.0, 0.0, 0.0),
    "wstat": ("wstat", 4.0, 50.0, 1.0, 0.0, 0.0),
    "wstat, few": ("wstat", 4.0, 0.5, 1.0, 0.0, 0.0),
    "wstat, hardly any": ("wstat", 4.0, 0.05, 0.1, 0.0, 0.0),
    "pgstat": ("pgstat", 10.0, 100.0, 0.3, 0.0, 20.0),
    "chi2": ("chi2", 10.0, 100.0, 0.3, 5.0, 60.0),
}


@cache
def p_values(name: str, factor: float) -> dict[str, Any]:
    """Of a model with `factor` times the true source, for 300 data sets, by what is compared."""
    kind, m, b, alpha, error, sigma = SETTINGS[name]
    rng = np.random.default_rng(5)
    model = np.full((200, GROUPS), factor * m)
    found: dict[str, list[float]] = {"counts": [], "statistic": []}
    for _ in range(300):
        whole, off = np.full(GROUPS, m + alpha * b), np.full(GROUPS, b)
        counts = rng.normal(whole, error) if kind == "chi2" else rng.poisson(whole).astype(float)
        off = rng.normal(off, sigma) if sigma else rng.poisson(off).astype(float)
        if kind == "cstat":
            counts = rng.poisson(np.full(GROUPS, m)).astype(float)
        seen = binned(kind, counts, off, alpha, error, sigma)
        again = likelihood.replicate(kind, seen, model, rng)
        new = end_to_end(seen, again.counts, again.background)
        apart = likelihood.statistic(kind, new, model.ravel()).reshape(model.shape).sum(axis=1)
        for what, replicated, observed in (
            ("counts", again.counts.sum(axis=1), counts.sum()),
            ("statistic", apart, likelihood.statistic(kind, seen, model[:1]).sum()),
        ):
            ties = np.mean(replicated == observed)
            found[what].append(float(np.mean(replicated > observed) + 0.5 * ties))
    return {what: np.array(values) for what, values in found.items()}


def end_to_end(seen: Any, counts: Any, off: Any) -> Any:
    """Replicates of a spectrum, shape (many, GROUPS), as one long one."""
    every = {
        name: np.tile(value, len(counts)) if isinstance(value, np.ndarray) else value
        for name, value in vars(seen).items()
    }
    new: dict[str, Any] = {"counts": counts.ravel(), "size": counts.size}
    if seen.alpha is not None:
        new["background_counts"] = off.ravel()
    return SimpleNamespace(**(every | new))


@pytest.mark.parametrize("statistic", ["counts", "statistic"])
@pytest.mark.parametrize("name", SETTINGS)
def test_a_right_model_is_as_good_as_its_replicates(name: str, statistic: str) -> None:
    """p is uniform, nearly: 300 of them, two-sided."""
    found = p_values(name, 1.0)[statistic]
    assert stats.kstest(found, "uniform").pvalue > 1e-3
    assert np.mean(found < 0.05) < 0.10
    assert np.mean(found > 0.95) < 0.11


@pytest.mark.parametrize("name", SETTINGS)
def test_a_wrong_model_is_found_out(name: str) -> None:
    """By its total, as often as the uncertainty of both backgrounds allows."""
    kind, m, b, alpha, error, sigma = SETTINGS[name]
    b = 0.0 if kind == "cstat" else b
    own = error**2 if kind == "chi2" else m + alpha * b
    sd = np.sqrt(GROUPS * (own + alpha**2 * (sigma**2 or b)))
    factor = 1 + 2.326 * sd / (GROUPS * m)  # to be wrong at p = 0.01
    found = 1 - p_values(name, factor)["counts"]
    assert 0.004 < np.median(found) < 0.025


def test_background_is_measured_apart_from_the_source() -> None:
    """Predictions spread as the errors of source and background do, around what these predict."""
    empty = spectrum()
    off = Spectrum("b", np.full(40, 100.0), 1e4, poisson=False, errors=np.full(40, 20.0))
    used = component("powerlaw", K="lognormal(-7, 1)", index="normal(-1.8, 0.4)")
    source = Source("src", {"c": used})
    for errors in (None, np.full(40, 5.3)):
        seen = replace(
            empty, counts=np.full(40, 138.0), background=off, poisson=errors is None, errors=errors
        )
        data = LinkedSpectra([Observation(seen, "src")], [source])
        idata = pyxstan.fit("linked_spectra", data, seed=1, warmup=300, draws=250, progress=False)
        predicted = group(idata, "posterior_predictive")
        of_source = predicted["source_counts"]
        own = of_source.mean(("chain", "draw")) + 100 if errors is None else 5.3**2
        variance = own + 20.0**2 + of_source.var(("chain", "draw"))
        spread = predicted["counts"].std(("chain", "draw"))
        np.testing.assert_allclose(spread / np.sqrt(variance), 1.0, atol=0.12)
        assert float((spread / np.sqrt(variance)).mean()) == pytest.approx(1.0, abs=0.02)
        background = predicted["background"]
        assert float(background.mean()) == pytest.approx(100.0, abs=1.0)
        assert float(background.std(("chain", "draw")).mean()) == pytest.approx(28.3, rel=0.03)
        expected = predicted["expected_counts"] - of_source
        np.testing.assert_allclose(expected, 100.0)


def test_a_background_that_is_left_aside_is_said() -> None:
    found = one(POWER_LAW, "wstat")
    chosen = replace(found.observations[0], statistic="cstat")
    data = replace(found, observations=(chosen,))
    with pytest.warns(UserWarning, match="cstat leaves the background spectrum .* aside"):
        pyxstan.fit("linked_spectra", data, method="map", seed=1, progress=False)


def test_a_prior_that_ends_at_zero_is_said() -> None:
    line = component("gaussian_line", F="normal(0, 1e-4)", mu=6.4, sigma=0.1)
    data = one({"c": POWER_LAW, "line": line})
    words = "src.line.F: the prior normal(0, 0.0001) ends at zero, where it has 50% below"
    assert words in data.describe()
    assert data.collected.cut() == [words]
    assert one(POWER_LAW).collected.cut() == []
    assert fake(data, {"src.c.K": 1e-3, "src.c.index": -1.8, "src.line.F": 1e-5}, seed=1)


def test_what_is_ignored_stays_so() -> None:
    plain = spectrum()
    for first, second in (("ignoring", "noticing"), ("noticing", "ignoring")):
        ranges = {"ignoring": "3-4", "noticing": "1-6"}
        both = getattr(getattr(plain, first)(ranges[first]), second)(ranges[second])
        low, high = both.groups().energy_low, both.groups().energy_high
        assert low.min() < 1.2
        assert high.max() > 5.8
        assert not ((low < 4) & (high > 3)).any()
    again = plain.noticing("1-2").noticing("5-6")
    assert again.groups().energy_low.min() > 4.5
