"""Each prior family, in Stan and in Python, against SciPy's distribution."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from driver_runs import PROGRAMS, Runner
from scipy import stats

from pyxstan.engine.build import StanProgram, build
from pyxstan.errors import DataError
from pyxstan.priors import FAMILIES, Prior, parse
from pyxstan.registry import stan_models

PRIORS = (
    "normal(0, 1)",
    "normal(-3, 0.05)",
    "normal(1e4, 250)",
    "lognormal(0, 1)",
    "lognormal(-6, 1.5)",
    "lognormal(2, 0.01)",
    "half_normal(1)",
    "half_normal(0.02)",
    "gamma(1, 1)",
    "gamma(2, 0.1)",
    "gamma(0.5, 40)",
    "gamma(300, 30)",
    "inv_gamma(3, 0.005)",
    "inv_gamma(1.5, 2e-4)",
    "inv_gamma(300, 30)",
    "uniform(2, 5)",
    "uniform(-0.3, 1e4)",
    "loguniform(2, 5)",
    "loguniform(1e-3, 1e4)",
)
QUANTILES = np.array([1e-6, 0.01, 0.2, 0.5, 0.8, 0.99, 1 - 1e-6])
#: Beyond the quantiles: far tails.
STRETCHES = np.array([0.01, 0.3, 4.0, 100.0])


def in_scipy(prior: Prior) -> Any:
    a, b = prior.stan_arguments
    return {
        "normal": lambda: stats.norm(a, b),
        "lognormal": lambda: stats.lognorm(b, scale=np.exp(a)),
        "half_normal": lambda: stats.halfnorm(scale=a),
        "gamma": lambda: stats.gamma(a, scale=1 / b),
        "inv_gamma": lambda: stats.invgamma(a, scale=b),
        "uniform": lambda: stats.uniform(a, b - a),
        "loguniform": lambda: stats.loguniform(a, b),
    }[prior.family]()


def points(prior: Prior) -> np.ndarray:
    distribution = in_scipy(prior)
    found = np.sort(np.append(distribution.ppf(QUANTILES), distribution.median() * STRETCHES))
    around = distribution.pdf(found * (1 + 2e-5)) * distribution.pdf(found * (1 - 2e-5))
    return found[around > 0] if prior.family.endswith("uniform") else found


@pytest.fixture(scope="module")
def executable(cache: Path) -> Path:
    return build(StanProgram(PROGRAMS / "priors.stan", (stan_models(),)), ("log_prob",))


@pytest.fixture
def run(executable: Path, tmp_path: Path) -> Runner:
    return Runner(executable, tmp_path, {})


def test_every_family_is_tried() -> None:
    assert {parse(text).family for text in PRIORS} == set(FAMILIES)
    assert sorted(code for code, _, _ in FAMILIES.values()) == list(range(1, len(FAMILIES) + 1))


@pytest.mark.parametrize("text", PRIORS)
def test_stan_density_is_normalised(text: str, run: Runner) -> None:
    prior = parse(text)
    a, b = prior.stan_arguments
    x = points(prior)
    run.write("data.json", {"family": prior.code, "a": [a], "b": [b]})
    run.write("points.json", {"params_r": x[:, None].tolist()})
    got = run("log_prob unconstrained_params=points.json")
    want = in_scipy(prior).logpdf(x)
    # a log density that happens to be near 0 is as good as the terms that cancel in it
    np.testing.assert_allclose(got["lp__"], want, rtol=1e-12, atol=1e-12)
    step = 1e-5 * np.where(x == 0, 1.0, x)
    slope = (in_scipy(prior).logpdf(x + step) - in_scipy(prior).logpdf(x - step)) / (2 * step)
    np.testing.assert_allclose(got["g_x.1"], slope, rtol=1e-3, atol=1e-6 * np.abs(slope).max())


@pytest.mark.parametrize("family", [6, 7])
def test_stan_gives_nothing_outside_of_a_uniform_prior(family: int, run: Runner) -> None:
    run.write("data.json", {"family": family, "a": [2.0], "b": [5.0]})
    run.write("points.json", {"params_r": [[1.9], [2.1], [5.1]]})
    done = run.start(
        "log_prob unconstrained_params=points.json data file=data.json output file=out.csv"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [x for x in (run.folder / "out.csv").read_text().splitlines() if x[:1] not in "#l"]
    assert np.isfinite([float(line.split(",")[0]) for line in lines]).tolist() == [
        False,
        True,
        False,
    ]


def test_stan_refuses_an_unknown_code(run: Runner) -> None:
    run.write("data.json", {"family": 8, "a": [1.0], "b": [1.0]})
    run.write("points.json", {"params_r": [[1.0]]})
    done = run.start(
        "log_prob unconstrained_params=points.json data file=data.json output file=out.csv"
    )
    assert "unknown prior family 8" in done.stdout + done.stderr


@pytest.mark.parametrize("text", PRIORS)
def test_python_density_is_that_up_to_a_constant(text: str) -> None:
    prior = parse(text)
    x = points(prior)
    want = in_scipy(prior).logpdf(x)
    got = prior.log_density(x)
    size = np.abs(want).max() + np.abs(got).max()
    np.testing.assert_allclose(np.diff(got), np.diff(want), rtol=1e-12, atol=1e-13 * size)


@pytest.mark.parametrize("text", PRIORS)
def test_samples(text: str) -> None:
    prior, size = parse(text), 20_000
    drawn = prior.sample(np.random.default_rng(4), size)
    assert drawn.shape == (size,)
    assert stats.kstest(drawn, in_scipy(prior).cdf).pvalue > 1e-3
    # moments, where the fourth one keeps the sample variance steady
    mean, variance, kurtosis = map(float, in_scipy(prior).stats("mvk"))
    if np.isfinite([mean, variance, kurtosis]).all() and kurtosis < 20:
        assert abs(drawn.mean() - mean) < 4 * np.sqrt(variance / size)
        assert abs(drawn.var() / variance - 1) < 4 * np.sqrt((kurtosis + 2) / size)
    np.testing.assert_array_equal(drawn, prior.sample(np.random.default_rng(4), size))


@pytest.mark.parametrize("text", PRIORS)
def test_words_and_back(text: str) -> None:
    assert parse(str(parse(text))) == parse(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("cauchy(0, 1)", "unknown prior 'cauchy'; there are normal, lognormal"),
        ("normal(0)", "takes 2 numbers"),
        ("normal(0, 0)", "sd must be positive"),
        ("half_normal(-1)", "scale must be positive"),
        ("gamma(1, inf)", "rate must be a finite number"),
        ("gamma(0, 1)", "shape must be positive"),
        ("inv_gamma(a, 1)", "is not a list of numbers"),
        ("normal 0 1", "expected family"),
    ],
)
def test_what_is_no_prior(text: str, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        parse(text)
