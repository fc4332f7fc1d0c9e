"""Posteriors of parents with several modes, far outliers, and any units."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats

import pyxstan
from pyxstan import registry
from pyxstan.inference_data import attributes, group
from pyxstan.stacking import PosteriorSamples, linear, stack

FloatArray = npt.NDArray[np.float64]


def normal_scores(n: int) -> FloatArray:
    """n values with the quantiles of a standard normal."""
    return np.asarray(stats.norm.ppf((np.arange(n) + 0.5) / n))


def by_grid(samples: Any, low: float, high: float) -> dict[str, tuple[float, float]]:
    """Mean and sd of mean and sd of a Gaussian parent with flat priors, with every sample."""
    m = np.linspace(low, high, 401)[1::2]
    s = np.geomspace(3e-4 * (high - low), high - low, 120)
    log_p = np.tile(np.log(s), (len(m), 1))  # cells of ln sd
    for x in samples:
        for j, sd in enumerate(s):
            t = (x - m[:, None]) / sd
            log_p[:, j] += special.logsumexp(-0.5 * t * t, axis=1) - np.log(sd)
    p = np.exp(log_p - log_p.max())
    found = {}
    for name, x, weight in (("mean", m, p.sum(axis=1)), ("sd", s, p.sum(axis=0))):
        mean = np.average(x, weights=weight)
        found[name] = (float(mean), float(np.sqrt(np.average((x - mean) ** 2, weights=weight))))
    return found


def two_solutions(objects: int, seed: int) -> list[FloatArray]:
    """Each object near 1 or near 5, by its data alone."""
    rng = np.random.default_rng(seed)
    return [
        np.concatenate([rng.normal(rng.normal(at, sd), 0.3, 50) for at, sd in ((1, 0.4), (5, 0.2))])
        for _ in range(objects)
    ]


def fitted(model: str, samples: Any, **options: Any) -> Any:
    return pyxstan.fit(model, samples, seed=1, progress=False, **options)


def test_the_narrower_of_two_solutions() -> None:
    q, e = normal_scores(200), normal_scores(20)
    samples = [np.concatenate((1 + 0.4 * x + 0.3 * q, 5 - 0.2 * x + 0.3 * q)) for x in e]
    idata = fitted("stack_gaussian", samples, low=-1.0, high=7.0)
    posterior = group(idata, "posterior")
    assert float(posterior["mean"].median()) == pytest.approx(5.0, abs=0.01)
    assert float(posterior["mean"].std()) == pytest.approx(0.077, abs=0.03)
    assert float(posterior["sd"].mean()) == pytest.approx(0.078, abs=0.005)
    assert float(posterior["sd"].std()) == pytest.approx(0.060, abs=0.006)


@pytest.mark.parametrize(("objects", "seed"), [(5, 1), (10, 0)])
def test_two_solutions_by_a_grid(objects: int, seed: int) -> None:
    samples = two_solutions(objects, seed)
    idata = fitted("stack_gaussian", samples, low=-1.0, high=7.0)
    assert attributes(idata)["method"] == "quadrature"
    posterior = group(idata, "posterior")
    for name, (mean, sd) in by_grid(samples, -1, 7).items():
        assert abs(float(posterior[name].mean()) - mean) < 0.08 * sd, name
        assert float(posterior[name].std()) == pytest.approx(sd, rel=0.08), name


def test_modes_that_both_matter_are_told_of() -> None:
    rng = np.random.default_rng(1)
    q = normal_scores(80)
    samples = [np.concatenate((1 + x + 0.2 * q, 4 - x + 0.2 * q)) for x in rng.normal(0, 0.2, 8)]
    idata = fitted("stack_gaussian", samples, low=-1.0, high=6.0)
    low = float((group(idata, "posterior")["mean"] < 2.5).mean())
    assert 0.4 < low < 0.6
    assert "the posterior has 2 modes" in attributes(idata)["complaints"]


@pytest.mark.parametrize(
    ("objects", "mean", "sd", "error"), [(40, 2.098, 0.647, 0.076), (300, None, None, None)]
)
def test_a_far_outlier_costs_what_the_parent_says(
    objects: int, mean: float | None, sd: float | None, error: float | None
) -> None:
    """Its samples are so narrow that the posterior is that of the values, in closed form."""
    q = 0.02 * normal_scores(200)
    centers = np.append(2 + 0.05 * normal_scores(objects), 6.0)
    idata = fitted("stack_gaussian", [x + q for x in centers], low=0.0, high=8.0)
    posterior = group(idata, "posterior")
    n = len(centers)
    s = np.linspace(0.01, 3, 60_000)
    variance = s**2 + q.var()
    log_p = -0.5 * (n - 1) * np.log(variance) - 0.5 * n * centers.var() / variance
    p = np.exp(log_p - log_p.max())
    expected = np.average(s, weights=p)
    spread = np.sqrt(np.average((s - expected) ** 2, weights=p))
    assert float(posterior["sd"].mean()) == pytest.approx(expected, abs=0.1 * spread)
    assert float(posterior["sd"].std()) == pytest.approx(spread, rel=0.06)
    assert float(posterior["mean"].mean()) == pytest.approx(centers.mean(), abs=0.1 * spread)
    assert f"population, by standard deviations: {n} (" in attributes(idata)["complaints"]
    if mean is not None:
        assert (round(centers.mean(), 3), round(expected, 3), round(spread, 3)) == (mean, sd, error)


def test_an_outlier_beyond_the_histograms_of_the_search() -> None:
    """One of 300 objects is farther away than the search takes its samples for."""
    q = 0.01 * normal_scores(20)
    centers = np.append(0.02 * normal_scores(299), 900.0)
    samples = [x + q for x in centers]
    posterior = group(fitted("stack_gaussian", samples, low=-100.0, high=1000.0), "posterior")
    s = np.linspace(30, 90, 4000)
    log_p = -299 * np.log(s) - 0.5 * 300 * centers.var() / s**2
    expected = np.average(s, weights=np.exp(log_p - log_p.max()))
    assert float(posterior["sd"].mean()) == pytest.approx(expected, rel=0.01)
    assert float(posterior["mean"].mean()) == pytest.approx(3.0, abs=0.3)
    model = registry.get("stack_mixture")
    options = model.resolve_options({"low": -100.0, "high": 1000.0}, registry.SAMPLER_OPTIONS)
    data = PosteriorSamples.from_arrays(samples)
    problem = model.family.prepare("stack_mixture", data, options, {})
    (means,) = problem.values(np.zeros((1, 1, 6)))["mean"][0]  # type: ignore[attr-defined]
    assert means == pytest.approx([0.0, 900.0], abs=20.0)


def test_a_solution_much_narrower_than_the_range() -> None:
    """The search goes to widths that its nodes are too coarse for."""
    rng = np.random.default_rng(1)
    near = [rng.normal(rng.normal(40, 0.005), 0.01, 100) for _ in range(6)]
    samples = [np.append(x, rng.normal(rng.normal(1, 0.3), 0.01, 100)) for x in near]
    idata = fitted("stack_gaussian", samples, low=0.0, high=100.0)
    expected = by_grid(near, 39.95, 40.05)
    for name, (mean, sd) in expected.items():
        values = group(idata, "posterior")[name]
        assert float(values.mean()) == pytest.approx(mean, abs=0.15 * sd), name
        assert float(values.std()) == pytest.approx(sd, rel=0.15), name


def test_samples_without_noise() -> None:
    """All alike: refused; values known exactly: as they are; the same samples: said."""
    same = np.full((5, 20), 2.0)
    for fit in (
        lambda: fitted("stack_gaussian", same, low=0.0, high=4.0),
        lambda: fitted("stack_gaussian", same),
        lambda: stack(PosteriorSamples.from_arrays(same), 0, 4, 4, progress=False),
    ):
        with pytest.raises(pyxstan.DataError, match="of all 5 objects is 2: a population without"):
            fit()
    values = np.random.default_rng(1).normal(2, 0.3, 12)
    idata = fitted("stack_gaussian", np.tile(values[:, None], 20), low=0.0, high=4.0)
    assert "values known without any error" in attributes(idata)["notes"]
    assert "effective samples" not in str(pyxstan.verdict(idata))  # there is nothing to draw
    sd = float(group(idata, "posterior")["sd"].mean())
    s = np.geomspace(0.01, 4, 4000)
    log_p = -11 * np.log(s) - 0.5 * 12 * values.var() / s**2 + np.log(s)
    assert sd == pytest.approx(np.average(s, weights=np.exp(log_p - log_p.max())), rel=0.02)
    repeated = np.tile(np.random.default_rng(1).normal(2, 0.3, 60), (8, 1))
    idata = fitted("stack_gaussian", repeated, low=0.0, high=4.0)
    assert "is among the samples of every object" in attributes(idata)["notes"]
    assert pyxstan.verdict(idata).converged
    assert "below which samples that all objects share" in attributes(idata)["complaints"]


def test_a_width_that_shared_samples_hide() -> None:
    """A value that all objects repeat doesn't decide on the width, or the verdict says so."""
    rng = np.random.default_rng(4)
    samples = rng.normal(rng.normal(2, 0.2, (6, 1)), 0.1, (6, 100))
    with_none = fitted("stack_gaussian", samples[:, 30:], low=0.0, high=5.0)
    samples[:, :30] = -50.0  # far outside of the range: costs every population the same
    with_some = fitted("stack_gaussian", samples, low=0.0, high=5.0)
    for name in ("mean", "sd"):
        ours, theirs = (group(i, "posterior")[name] for i in (with_some, with_none))
        assert float(ours.mean()) == pytest.approx(
            float(theirs.mean()), abs=0.1 * float(theirs.std())
        )
        assert float(ours.std()) == pytest.approx(float(theirs.std()), rel=0.1)
    rounded = np.round(samples[:, 30:])
    verdict = str(pyxstan.verdict(fitted("stack_gaussian", rounded, low=0.0, high=5.0)))
    assert "below which samples that all objects share leave it unknown" in verdict


def test_a_range_without_the_samples_is_said() -> None:
    samples = np.random.default_rng(5).normal(2, 0.3, (6, 50))
    verdict = str(pyxstan.verdict(fitted("stack_gaussian", samples, low=10.0, high=20.0)))
    assert "100% of the samples, by weight, are outside of 10 to 20" in verdict
    told = {"low": 10.0, "high": 20.0, "priors": {"mean": "normal(2, 1)"}}
    assert "outside of" not in str(pyxstan.verdict(fitted("stack_gaussian", samples, **told)))


@pytest.mark.parametrize("unit", [1e45, 1e-15])
def test_a_regression_in_any_units(unit: float) -> None:
    rng = np.random.default_rng(3)
    z = rng.uniform(0, 2, 20)
    samples = (
        1 + 0.66 * (z - 1)[:, None] + rng.normal(0, 0.3, (20, 1)) + rng.normal(0, 0.2, (20, 60))
    )
    found = []
    for x, c in ((1.0, z), (unit, 1e9 + unit * 1e15 * z if unit < 1 else unit * z)):
        data = PosteriorSamples.from_arrays(x * samples, covariates={"z": c})
        posterior = group(fitted("stack_regression", data, draws=500), "posterior")
        scales = {"mean": x, "sd": x, "slope": x * np.std(z) / np.std(c)}
        found.append(
            [(float(posterior[name].mean() / u), float(posterior[name].std() / u))
             for name, u in scales.items()]
        )  # fmt: skip
    (one, other) = np.array(found)
    assert (np.abs(other[:, 0] - one[:, 0]) < 0.15 * one[:, 1]).all()
    np.testing.assert_allclose(other[:, 1], one[:, 1], rtol=0.15)


def test_modes_of_a_regression() -> None:
    """Two solutions of each object, one rising with the covariate and one falling."""
    rng = np.random.default_rng(3)
    z = rng.uniform(0, 2, 12)
    noise = 0.2 * normal_scores(80)
    one = 1 + 0.7 * (z - 1) + rng.normal(0, 0.2, 12)
    samples = np.concatenate([one[:, None] + noise, 6 - one[:, None] - noise], axis=1)
    data = PosteriorSamples.from_arrays(samples, covariates={"z": z})
    entry = registry.get("stack_regression")
    found = linear.prepare("stack_regression", data, entry.resolve_options({}), {})
    assert len(found.modes) == 2
    assert found.modes[0].share == pytest.approx(0.5, abs=0.15)
    slopes = [found.coordinates.values(mode.center[None])[0]["slope"] for mode in found.modes]
    assert slopes[0].item() == pytest.approx(-slopes[1].item(), abs=0.02)
    assert "the posterior has 2 modes" in found.complaints[0]
    begun = found.starts(4, 1)
    assert begun is not None
    theta = np.array([found.center + found.scale @ start["z"] for start in begun])
    means = found.coordinates.values(theta)[0]["mean"][:, 0]
    assert sorted(np.round(means < 3)) == [0, 0, 1, 1]
