"""Stacks against exact posteriors, and what is promised of their samples."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import arviz as az
import numpy as np
import numpy.typing as npt
import pytest
from references import stacking
from scipy import integrate, stats

import pyxstan
from pyxstan import registry
from pyxstan.errors import DataError
from pyxstan.inference_data import group
from pyxstan.stacking import parents, problem, shrunken, simulation, support
from pyxstan.stacking.data import PosteriorSamples, Selection
from pyxstan.stacking.nodes import on_bins, on_grid
from pyxstan.stacking.parents import PARENTS, Range
from pyxstan.stacking.problem import StackProblem
from pyxstan.stacking.target import Target

FloatArray = npt.NDArray[np.float64]
LOW, HIGH = 0.5, 3.0
ON = Range(LOW, HIGH)
#: PosteriorStacker's priors.
THEIRS = {"mean": "uniform(0.5, 8)", "sd": "uniform(0, 7.5)"}
OURS_ENDS, THEIR_ENDS = ((0.5, 3.0), (0.0, 2.5)), ((0.5, 8.0), (0.0, 7.5))


def fit(model: str, data: Any, **options: Any) -> Any:
    chosen: dict[str, Any] = {"low": LOW, "high": HIGH, "seed": 1, "draws": 10_000} | options
    return pyxstan.fit(model, data, progress=False, **chosen)


def moments(idata: Any, names: Sequence[str]) -> stacking.Moments:
    draws = [idata.posterior[name].to_numpy().reshape(-1) for name in names]
    return stacking.Moments(np.array([x.mean() for x in draws]), np.array([x.std() for x in draws]))


def fractions(idata: Any) -> stacking.Moments:
    draws = idata.posterior["fraction"].to_numpy()
    return stacking.Moments(draws.mean(axis=(0, 1)), draws.std(axis=(0, 1)))


def assert_same(
    found: stacking.Moments, wanted: stacking.Moments, off: float = 0.03, wide: float = 0.02
) -> None:
    assert (np.abs(found.mean - wanted.mean) < off * wanted.sd).all(), (found, wanted)
    assert (np.abs(found.sd / wanted.sd - 1) < wide).all(), (found, wanted)


def prepared(model: str, data: PosteriorSamples, **options: Any) -> StackProblem:
    chosen = registry.get(model).resolve_options({"low": LOW, "high": HIGH, **options})
    return problem.prepare(model, data, chosen, {})


FILES = {
    "Gaussian objects": stacking.simulated(30, 1000, 3),
    "asymmetric errors and upper limits": stacking.lopsided(30, 1000, 4),
}
SMOOTH = ("Gaussian objects",)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("priors", [None, THEIRS], ids=["our priors", "PosteriorStacker's"])
def test_gaussian_is_the_grid(name: str, priors: dict[str, str] | None) -> None:
    samples = FILES[name]
    wanted = stacking.gaussian(samples, *(OURS_ENDS if priors is None else THEIR_ENDS))
    idata = fit("stack_gaussian", samples, priors=priors)
    # The posterior of the lopsided ones reaches to parents narrower than the samples are close,
    # where it is rough: a grid of 200 x 160 cells has a sd 2% above that of this grid, and one of
    # 401 x 320 just that of it.
    assert_same(moments(idata, ["mean", "sd"]), wanted, wide=0.02 if name in SMOOTH else 0.03)


def test_histogram_of_nearly_empty_bins_is_the_gibbs_sampler() -> None:
    samples = FILES["asymmetric errors and upper limits"]
    f = stacking.shares(samples, np.linspace(LOW, HIGH, 7))
    wanted = stacking.histogram_by_gibbs(f, 0.5, 4_000, 7)
    assert wanted.mean.min() < 0.05
    # Fractions near zero have a kurtosis of ten and more: four chains of 40,000 draws know their sd
    # only to 0.7%.
    idata = fit("stack_histogram", samples, bins=6, concentration=0.5, draws=40_000)
    assert_same(fractions(idata), wanted)


@pytest.mark.parametrize("edges", [[0.5, 1.7, 3.0], [0.5, 1.5, 1.9, 3.0]])
def test_few_bins_are_the_grid(edges: list[float]) -> None:
    f = stacking.shares(FILES["Gaussian objects"], np.array(edges))
    wanted = stacking.histogram(f)
    assert_same(fractions(fit("stack_histogram", FILES["Gaussian objects"], edges=edges)), wanted)
    # the references agree
    assert_same(stacking.histogram_by_gibbs(f, 1.0, 1500, 8), wanted, 0.02, 0.01)


def test_log_likelihood_is_that_of_the_samples() -> None:
    """Of the objects, for every kind of nodes: with the constants that comparisons need."""
    samples = FILES["Gaussian objects"]
    edges = [0.5, 1.0, 1.7, 2.0, 3.0]
    f = stacking.shares(samples, np.array(edges))
    idata = fit("stack_histogram", samples, edges=edges, draws=10)
    fraction = idata.posterior["fraction"].to_numpy()
    np.testing.assert_allclose(
        idata.log_likelihood["sample_mean"], np.log(fraction @ f.T), rtol=1e-10
    )
    idata = fit("stack_gaussian", samples, draws=10)
    mean, sd = (idata.posterior[name].to_numpy()[..., None] for name in ("mean", "sd"))
    wanted = [np.log(stats.norm.pdf(x, mean, sd).mean(axis=-1)) for x in samples]
    np.testing.assert_allclose(
        idata.log_likelihood["sample_mean"], np.moveaxis(wanted, 0, -1), atol=1e-3
    )


PARAMETERS: dict[str, dict[str, Any]] = {
    "stack_gaussian": {"mean": 1.6, "sd": 0.3},
    "stack_truncated_gaussian": {"mean": 2.5, "sd": 0.7},
    "stack_student_t": {"location": 1.6, "scale": 0.2, "nu": 2.5},
    "stack_skew_normal": {"mean": 1.5, "sd": 0.4, "shape": -3.0},
    "stack_beta": {"alpha": 2.2, "beta": 3.1},
    "stack_gamma": {"shape": 3.3, "scale": 0.3},
    "stack_mixture": {"mean": [1.2, 2.1], "sd": [0.2, 0.4], "fraction": [0.3, 0.7]},
}


def scipys(model: str, v: dict[str, Any]) -> Any:
    match model:
        case "stack_gaussian":
            return stats.norm(v["mean"], v["sd"])
        case "stack_truncated_gaussian":
            ends = ((end - v["mean"]) / v["sd"] for end in (LOW, HIGH))
            return stats.truncnorm(*ends, v["mean"], v["sd"])
        case "stack_student_t":
            return stats.t(v["nu"], v["location"], v["scale"])
        case "stack_skew_normal":
            unit = stats.skewnorm(v["shape"])
            scale = v["sd"] / unit.std()
            return stats.skewnorm(v["shape"], v["mean"] - scale * unit.mean(), scale)
        case "stack_beta":
            return stats.beta(v["alpha"], v["beta"], LOW, HIGH - LOW)
        case _:
            return stats.gamma(v["shape"], LOW, v["scale"])


def arrays(values: dict[str, Any], copies: int = 1) -> dict[str, FloatArray]:
    return {name: np.repeat(np.asarray(v, float)[None], copies, 0) for name, v in values.items()}


@pytest.mark.parametrize("model", PARENTS)
def test_density_is_scipys_and_integrates_to_one(model: str) -> None:
    values = PARAMETERS[model]

    def density(x: Any) -> FloatArray:
        return parents.density(model, np.atleast_1d(x), arrays(values), ON, None)[0]

    def at(x: float) -> float:
        return float(density(x)[0])

    ends = [max(parents.support(model, ON)[0], -40.0), LOW, 1.5, HIGH]
    ends += [min(parents.support(model, ON)[1], 40.0)]
    parts = [integrate.quad(at, a, b)[0] for a, b in itertools.pairwise(ends)]
    assert sum(parts) == pytest.approx(1, abs=1e-3 if model == "stack_student_t" else 1e-8)
    x = np.linspace(-1, 5, 301)
    drawn = parents.sample(model, np.random.default_rng(2), arrays(values, 4000), ON, None)
    if model == "stack_mixture":
        rows = [stats.norm(m, s) for m, s in zip(values["mean"], values["sd"], strict=True)]
        wanted = sum(f * row.pdf(x) for f, row in zip(values["fraction"], rows, strict=True))
        np.testing.assert_allclose(density(x), wanted, rtol=1e-10)
        drawn_cdf = sum(f * row.cdf(drawn) for f, row in zip(values["fraction"], rows, strict=True))
    else:
        inside = (x != LOW) & (x != HIGH)
        law = scipys(model, values)
        np.testing.assert_allclose(density(x)[inside], law.pdf(x)[inside], rtol=1e-10, atol=1e-300)
        drawn_cdf = law.cdf(drawn)
        derived = PARENTS[model].derived
        found = values if derived is None else {**values, **derived(arrays(values), ON)}
        if model in ("stack_skew_normal", "stack_beta", "stack_gamma"):
            assert found["mean"] == pytest.approx(law.mean())
            assert found["sd"] == pytest.approx(law.std())
    assert stats.kstest(drawn_cdf, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("model", PARENTS)
def test_nodes_are_as_good_as_every_sample(model: str) -> None:
    data = PosteriorSamples.from_arrays(stacking.simulated(12, 150, 12))
    found = prepared(model, data)
    nodes, samples = found.target, prepared(model, data, likelihood="samples").target
    assert not nodes.nodes.exact
    assert samples.nodes.exact
    z = np.random.default_rng(3).standard_normal((200, len(found.center)))
    values, _ = nodes.coordinates.values(found.center + z @ found.scale.T)
    difference = nodes.on_nodes(values) - samples.on_nodes(values)
    p = parents.density(model, data.x[:, 0], values, ON, None)
    exact = np.add.reduceat(data.weights * p, data.start[:-1], axis=1)
    there = exact > 0
    np.testing.assert_allclose(samples.on_nodes(values)[there], np.log(exact[there]), rtol=1e-9)
    error = np.nan_to_num(np.abs(difference.sum(axis=1)), nan=np.inf)
    assert np.quantile(error, 0.95) < support.LARGEST_ERROR


TAME = {
    "stack_student_t": {"scale": "lognormal(-1.2, 0.3)"},
    "stack_beta": {"alpha": "gamma(4, 1)", "beta": "gamma(4, 1)"},
    "stack_gamma": {"shape": "gamma(4, 1)", "scale": "lognormal(-1.2, 0.3)"},
}


@pytest.mark.parametrize("model", PARENTS)
def test_posteriors_by_nodes_by_every_sample_and_by_nuts(model: str) -> None:
    """Means and sds within four Monte Carlo errors."""
    samples = np.array(stacking.simulated(8, 40, 12))
    if model == "stack_mixture":
        samples = 0.2 * (samples - 1.8) + np.where(np.arange(8) % 2, 1.2, 2.4)[:, None]
    priors = TAME.get(model, {"sd": "lognormal(-1.2, 0.3)"})
    ways: list[dict[str, Any]] = [{"likelihood": "nodes"}, {"likelihood": "samples"}]
    if "exact" in {option.name for option in registry.get(model).options}:
        ways.append({"exact": False})
    # a component of the mixture may be empty now and then, and is anywhere then
    run = {"priors": priors, "draws": 2000 if model == "stack_mixture" else 1000, "warmup": 500}
    nodes, *others = (fit(model, samples, **run, **way) for way in ways)
    assert nodes.attrs["log_likelihood_error"] <= support.LARGEST_ERROR
    assert others[-1].attrs["method"] == "nuts"
    for entry in registry.get(model).parameters:
        if not entry.sampled:
            continue
        for idata, method in itertools.product(others, ("mean", "sd")):
            one, other = (group(each, "posterior")[[entry.name]] for each in (nodes, idata))
            of = [getattr(x, method.replace("sd", "std"))(("chain", "draw")) for x in (one, other)]
            error = [az.mcse(x, method=method) for x in (one, other)]
            both = np.hypot(error[0][entry.name], error[1][entry.name])
            assert (abs(of[0] - of[1])[entry.name] < 4 * both).all(), (entry.name, method)
            assert (both < 0.15 * other.std(("chain", "draw"))[entry.name]).all(), "no teeth"


def measured(objects: int, errors: tuple[float, float], seed: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    error = rng.uniform(*errors, objects)
    return rng.normal(rng.normal(1.8, 0.3, objects), error), error


def test_a_normal_prior_of_the_fits_is_divided_out() -> None:
    at, error = measured(60, (0.2, 0.5), 21)
    rng = np.random.default_rng(22)
    precision = 1 / error**2 + 1 / 0.6**2  # prior normal(1, 0.6)
    means = (at / error**2 + 1.0 / 0.6**2) / precision
    samples = [rng.normal(m, p**-0.5, 1000) for m, p in zip(means, precision, strict=True)]
    weights = [1 / stats.norm.pdf(x, 1.0, 0.6) for x in samples]
    wanted = stacking.gaussian(samples, *OURS_ENDS, weights=weights)
    tame = {"sd": "lognormal(-1.2, 0.4)"}  # no fit of the wrong samples to a parent of no width
    naive = fit("stack_gaussian", samples, draws=500, warmup=500, priors=tame)
    right = fit("stack_gaussian", PosteriorSamples.from_arrays(samples, prior="normal(1, 0.6)"))
    assert_same(moments(right, ["mean", "sd"]), wanted)
    truth = stacking.gaussian_measured(at, error, *OURS_ENDS)
    assert_same(moments(right, ["mean", "sd"]), truth, 0.25, 0.15)
    assert (np.abs(moments(naive, ["mean"]).mean - truth.mean[0]) > 3 * truth.sd[0]).all()


def test_a_loguniform_prior_of_the_fits_is_divided_out() -> None:
    at, error = measured(200, (0.4, 0.6), 23)
    rng = np.random.default_rng(24)
    samples = []
    for m, e in zip(at, error, strict=True):
        x = rng.normal(m, e, 20_000)
        x = x[(x > 0.1) & (rng.random(len(x)) < 0.1 / np.maximum(x, 0.1))]
        samples.append(x[:250])
    found = stacking.gaussian(samples, *OURS_ENDS, weights=samples)
    naive = fit("stack_gaussian", samples, draws=500, warmup=500)
    right = fit("stack_gaussian", PosteriorSamples.from_arrays(samples, prior="loguniform"))
    assert_same(moments(right, ["mean", "sd"]), found)
    truth = stacking.gaussian_measured(at, error, *OURS_ENDS)
    assert abs(moments(right, ["mean"]).mean - truth.mean[0]) < 0.5 * truth.sd[0]
    assert abs(moments(naive, ["mean"]).mean - truth.mean[0]) > 2 * truth.sd[0]


def test_selection_is_corrected_for() -> None:
    """Detected with probability Phi((x - 1.7) / 0.1), x the object's true value."""
    rng = np.random.default_rng(31)
    true = rng.normal(1.8, 0.3, 500)
    true = true[rng.random(500) < stats.norm.cdf(true, 1.7, 0.1)][:200]
    error = rng.uniform(0.05, 0.15, len(true))
    at = rng.normal(true, error)
    samples = [rng.normal(m, e, 400) for m, e in zip(at, error, strict=True)]
    x = np.linspace(-1, 5, 1201)  # as if injected there, and weighted by the detections
    selection = Selection(x[:, None], stats.norm.cdf(x, 1.7, 0.1) * (x[1] - x[0]))
    data = PosteriorSamples.from_arrays(samples)

    def log_detected(mean: FloatArray, sd: FloatArray) -> FloatArray:
        return np.asarray(stats.norm.logcdf((mean - 1.7) / np.hypot(sd, 0.1)))

    wanted = stacking.gaussian(samples, *OURS_ENDS, log_detected=log_detected)
    right = fit("stack_gaussian", replace(data, selection=selection), draws=20_000)
    assert_same(moments(right, ["mean", "sd"]), wanted)
    truth = stacking.gaussian_measured(at, error, *OURS_ENDS, log_detected)
    assert_same(moments(right, ["mean", "sd"]), truth, 0.25, 0.1)
    assert (np.abs(truth.mean - [1.8, 0.3]) < 3 * truth.sd).all()
    naive = moments(fit("stack_gaussian", data, draws=500, warmup=500), ["mean", "sd"])
    assert (np.abs(naive.mean - [1.8, 0.3]) > 3 * naive.sd).all()


@pytest.mark.parametrize("model", ["stack_gaussian", "stack_histogram", "stack_mixture"])
def test_units_of_a_selection_do_not_matter(model: str) -> None:
    """Nor what its weights add up to; the least likely populations included."""
    targets = []
    for unit, weight in ((1.0, 1.0), (1000.0, 30.0)):
        samples = [unit * x for x in stacking.simulated(12, 50, 4)]
        x = unit * np.linspace(1, 4, 60)[:, None]
        found = Selection(x, np.full(60, 0.05 * weight))
        data = replace(PosteriorSamples.from_arrays(samples), selection=found)
        chosen = registry.get(model).resolve_options({"low": 0.0, "high": 4 * unit})
        targets.append(problem.prepare(model, data, chosen, {}).target)
    z = 3 * np.random.default_rng(2).standard_normal((300, targets[0].coordinates.size))
    if model == "stack_gaussian":
        z[:40, 1] = -40.0  # no width at all
    one, other = (t.log_density(z if model != "stack_mixture" else _in(t, z)) for t in targets)
    assert np.isfinite(one).all()
    assert np.ptp(one) > 10
    np.testing.assert_allclose(one - one[-1], other - other[-1], atol=1e-6 * np.ptp(one))


def _in(target: Target, z: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Coordinates of a mixture whose means are in the unit of the range."""
    found, unit = z.copy(), target.on.width / 4
    found[:, 0] *= unit
    found[:, 1:4] += np.log(unit)
    return found


def test_selection_of_a_histogram() -> None:
    """Two bins, found with probabilities of 1 and 1/4: alpha = h_1 + h_2 / 4."""
    rng = np.random.default_rng(33)
    samples = [rng.normal(1.2 if i < 24 else 2.3, 0.3, 500) for i in range(36)]
    edges = np.array([0.5, 1.75, 3.0])
    x = np.linspace(0.5, 3, 10_000, endpoint=False) + 1.25e-4
    weights = np.where(x < 1.75, 1.0, 0.25) * (x[1] - x[0])
    data = PosteriorSamples.from_arrays(samples)
    right = fit(
        "stack_histogram", replace(data, selection=Selection(x[:, None], weights)),
        edges=list(edges),
    )  # fmt: skip
    f, h = stacking.shares(samples, edges), (np.arange(2000) + 0.5) / 2000
    log_p = np.log(f[:, :1] * h + f[:, 1:] * (1 - h)).sum(axis=0) - 36 * np.log(h + (1 - h) / 4)
    p = np.exp(log_p - log_p.max())
    mean = float(p @ h / p.sum())
    sd = float(np.sqrt(p @ (h - mean) ** 2 / p.sum()))
    assert_same(fractions(right), stacking.Moments(np.array([mean, 1 - mean]), np.array([sd, sd])))
    assert fractions(fit("stack_histogram", data, edges=list(edges))).mean[0] > mean + 3 * sd


def test_a_parent_narrower_than_the_samples_are_close_is_caught() -> None:
    rng = np.random.default_rng(41)
    at = rng.normal(1.8, 0.05, 40)
    samples = [rng.normal(m, 0.02, 500) for m in at] + [rng.normal(1.8, 0.5, 40)]
    names = [f"good{i}" for i in range(40)] + ["wide"]
    good = fit("stack_gaussian", samples[:40], draws=1000)
    assert pyxstan.verdict(good).good
    assert pyxstan.verdict(good).problems == []
    data = PosteriorSamples.from_arrays(samples, objects=names)
    found = pyxstan.verdict(fit("stack_gaussian", data, draws=1000))
    assert "wide (" in found.line
    assert "narrower than the samples" in found.line
    assert "good" not in found.line.replace("not good", "")


def test_injections_are_noisy_and_tables_are_not() -> None:
    samples = stacking.simulated(40, 300, 6)
    x = np.linspace(0.5, 3.5, 21)
    table = {"x": x, "probability": stats.norm.cdf(x, 1.5, 0.3)}
    few = {"x": np.linspace(0.5, 3.5, 60), "weight": np.full(60, 0.05)}
    lines = []
    for selection in (table, few, {**few, "weight": np.full(60, 3.0)}):
        data = PosteriorSamples.from_arrays(samples, selection=selection)
        lines.append(pyxstan.verdict(fit("stack_gaussian", data)).line)
    assert "selection" not in lines[0]
    assert "Monte Carlo noise" not in lines[0]
    assert re.search(r"selection: \d+ effective injections .* at least 160", lines[1])
    assert "times the population" not in lines[1]
    assert re.search(r"selection: \d\d\.?\d* times the population would be detected", lines[2])
    assert "Monte Carlo noise" not in lines[2]


def test_noise_of_all_objects_together_is_caught() -> None:
    rng = np.random.default_rng(42)
    at, error = measured(300, (0.5, 0.6), 43)
    samples = [rng.normal(m, e, 60) for m, e in zip(at, error, strict=True)]
    idata = fit("stack_gaussian", samples, draws=300, warmup=300)
    variance = idata.constant_data["log_likelihood_variance"]
    assert idata.attrs["log_likelihood_variance"] == pytest.approx(float(variance.sum()))
    assert float(variance.sum()) > 1
    assert (idata.constant_data["effective_samples"] > 10).any()
    worst = str(variance["object"][int(variance.to_numpy().argmax())].item())
    (line,) = [x for x in pyxstan.verdict(idata).problems if x.startswith("Monte Carlo noise")]
    assert worst in line


def test_twice_a_sample_is_a_doubled_weight() -> None:
    samples = stacking.simulated(5, 40, 51)
    twice = [np.append(x, x[:7]) for x in samples]
    weights = [np.append(np.full(7, 2.0), np.ones(33)) for _ in samples]
    one, other = (
        PosteriorSamples.from_arrays(x, weights=w) for x, w in ((twice, None), (samples, weights))
    )
    assert len(one.x) != len(other.x)
    edges = np.linspace(LOW, HIGH, 11)
    pairs = [(on_bins(one, edges), on_bins(other, edges))]
    for ends in ((-np.inf, np.inf), (LOW, HIGH), (LOW, np.inf)):
        grids = on_grid(one, 0.05, ends), on_grid(other, 0.05, ends)
        assert grids[0] is not None
        assert grids[1] is not None
        pairs.append((grids[0], grids[1]))
    for found, wanted in pairs:
        np.testing.assert_array_equal(found.start, wanted.start)
        np.testing.assert_allclose(found.weight, wanted.weight, rtol=1e-11, atol=1e-14)


def test_unequal_counts_and_weights_are_the_grid() -> None:
    rng = np.random.default_rng(52)
    samples = [x[: 300 + 23 * i] for i, x in enumerate(stacking.simulated(30, 1000, 3))]
    weights = [rng.gamma(2.0, size=len(x)) for x in samples]
    data = PosteriorSamples.from_arrays(samples, weights=weights)
    wanted = stacking.gaussian(samples, *OURS_ENDS, weights=weights)
    assert_same(moments(fit("stack_gaussian", data), ["mean", "sd"]), wanted)
    f = stacking.shares(samples, np.linspace(LOW, HIGH, 11), weights)
    wanted = stacking.histogram_by_gibbs(f, 1.0, 1500, 7)
    assert_same(fractions(fit("stack_histogram", data)), wanted)


@pytest.mark.parametrize("model", ["stack_histogram", "stack_truncated_gaussian", "stack_gamma"])
def test_objects_without_samples_in_the_range(model: str) -> None:
    samples = [np.clip(x, 0.6, 2.9) for x in stacking.simulated(6, 50, 61)]
    outside = np.full(20, -1.0)
    data = PosteriorSamples.from_arrays([*samples, outside], objects=list("abcdefg"))
    with pytest.raises(DataError, match=r"'g'.*drop_empty"):
        prepared(model, data)
    kept = prepared(model, data, drop_empty=True)
    assert kept.data.objects == tuple("abcdef")
    assert any("'g'" in note for note in kept.notes)
    alone = prepared(model, PosteriorSamples.from_arrays(samples))
    assert kept.target.nodes.size >= 60
    for name, values in alone.target.nodes.stan_data().items():
        np.testing.assert_allclose(kept.target.nodes.stan_data()[name], values)
    np.testing.assert_allclose(kept.center, alone.center)


def test_smooth_fractions_come_from_their_prior(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two bins of unequal width, by both ways of rejection; against quadrature."""
    monkeypatch.setattr(simulation, "_TRIALS", 1)
    monkeypatch.setattr(simulation, "_TIMES", 10**6)
    alpha, smoothness, edges = 3.0, 0.7, np.array([0.0, 1.0, 3.0])
    rng = np.random.default_rng(1)
    first = [simulation._smooth_fractions(alpha, edges, smoothness, rng)[0] for _ in range(8000)]
    options = {"edges": edges, "smoothness": smoothness, "concentration": alpha}
    _, truth = pyxstan.simulate("stack_histogram", seed=1, from_prior=True, objects=1, **options)
    assert sum(truth["fraction"]) == pytest.approx(1)
    f = np.linspace(0, 1, 100_002)[1:-1]
    step = np.log((1 - f) / 2) - np.log(f)
    density = (f * (1 - f)) ** (alpha - 1) * np.exp(-0.5 * (step / smoothness) ** 2)
    below = np.cumsum(density) / density.sum()
    assert stats.kstest(first, lambda x: np.interp(x, f, below)).pvalue > 0.01


def test_samples_outside_are_misses_and_said() -> None:
    samples = stacking.simulated(30, 1000, 3)
    samples[0] = np.append(samples[0], np.full(1000, 9.0))
    data = PosteriorSamples.from_arrays(samples)
    found = prepared("stack_histogram", data)
    np.testing.assert_allclose(
        found.target.nodes.grids[0].matrix.toarray(),
        stacking.shares(samples, np.linspace(LOW, HIGH, 11)),
    )
    count = sum(int(((x < LOW) | (x > HIGH)).sum()) for x in samples)
    assert any(note.startswith(f"{count} of 31000 samples are outside") for note in found.notes)


def test_an_object_where_the_density_is_zero_has_estimates() -> None:
    """At 100 standard deviations or more, in floating point."""
    rng = np.random.default_rng(3)
    values = np.append(rng.normal(2, 0.05, 30), 60.0)
    data = PosteriorSamples.from_arrays(values[:, None] + 0.02 * rng.standard_normal((31, 100)))
    bounded = {"sd": "uniform(0, 0.5)"}
    idata = pyxstan.fit(
        "stack_gaussian", data, low=0.0, high=100.0, priors=bounded, seed=1, progress=False
    )
    far = shrunken(idata, data).iloc[-1]
    assert data.of(30).min() <= far["16%"] <= far["mean"] < data.of(30).mean()
    assert 1 <= float(group(idata, "constant_data")["effective_samples"][-1]) < 10


def test_shrunken_estimates_are_the_closed_form() -> None:
    at, error = measured(12, (0.2, 0.5), 71)
    rng = np.random.default_rng(72)
    data = PosteriorSamples.from_arrays(rng.normal(at[:, None], error[:, None], (12, 20_000)))
    idata = fit("stack_gaussian", data, draws=1000, priors={"sd": "lognormal(-1.2, 0.4)"})
    table = shrunken(idata, data)
    mean, sd = (idata.posterior[name].to_numpy().reshape(-1, 1) for name in ("mean", "sd"))
    variance = 1 / (1 / error**2 + 1 / sd**2)
    middle = variance * (at / error**2 + mean / sd**2)
    wanted = np.sqrt(variance.mean(axis=0) + middle.var(axis=0))
    assert (np.abs(table["mean"] - middle.mean(axis=0)) < 0.06 * wanted).all()
    np.testing.assert_allclose(table["sd"], wanted, rtol=0.05)
    cdf = stats.norm.cdf(table["50%"].to_numpy(), middle, np.sqrt(variance)).mean(axis=0)
    np.testing.assert_allclose(cdf, 0.5, atol=0.03)
    cdf = stats.norm.cdf(table["84%"].to_numpy(), middle, np.sqrt(variance)).mean(axis=0)
    np.testing.assert_allclose(cdf, 0.84, atol=0.03)
