"""Gaussian parents of several parameters and of means that follow covariates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import log_densities
import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats

import pyxstan
from pyxstan import registry, stacking
from pyxstan.engine.build import StanProgram, build
from pyxstan.inference_data import attributes, group
from pyxstan.stacking import PosteriorSamples, linear, linear_search
from pyxstan.stacking.data import Selection

FloatArray = npt.NDArray[np.float64]
PROGRAMS = Path(__file__).parent / "programs"
CPP, PLAIN = 1, 2


@pytest.fixture(scope="module")
def kernel(cache: Path) -> Path:
    program = StanProgram(
        PROGRAMS / "stack_linear_kernel.stan",
        (registry.stan_models(),),
        PROGRAMS / "stack_linear_kernel.hpp",
    )
    return build(program, ("log_prob",))


@pytest.fixture(scope="module")
def program(cache: Path) -> Path:
    return build(registry.get("stack_multivariate").program, ("log_prob",))


@pytest.mark.parametrize(
    ("P", "objects", "selected", "log_far"),
    [
        (1, 1, False, None),
        (1, 20, False, -5.0),  # some of the objects by their samples
        (1, 6, True, -5.0),
        (2, 20, False, None),
        (3, 5, False, None),
        (2, 6, True, None),
    ],
)
def test_kernel_is_its_plain_twin_and_its_gradient_the_slope(
    P: int, objects: int, selected: bool, log_far: float | None, kernel: Path, tmp_path: Path
) -> None:
    rng = np.random.default_rng(3)
    start = np.append(1, 1 + np.cumsum(rng.integers(1, 30, objects)))
    power = np.ones(objects)
    if selected:
        power[-1] = 1.0 - objects
    data = {
        "objects": objects, "P": P, "start": start, "power": power,
        "x": rng.normal(size=(start[-1] - 1, P)), "weight": rng.uniform(0, 1, start[-1] - 1),
        "log_far": log_far or 0.0, "far_start": np.ones(objects + 1, int),
        "far_x": np.empty((0, P)), "far_weight": np.empty(0),
    }  # fmt: skip
    if log_far is not None:
        data["far_start"] = np.append(1, 1 + np.cumsum(rng.integers(1, 9, objects)))
        data["far_x"] = rng.normal(size=(data["far_start"][-1] - 1, P))
        data["far_weight"] = rng.uniform(0, 1, data["far_start"][-1] - 1)
        data["weight"][data["weight"] < 0.3] *= -1  # as those of nodes
    points = rng.normal(0, 0.5, (5, P * objects + P + P * (P - 1) // 2))

    def log_prob(near: FloatArray, which: int = CPP) -> tuple[FloatArray, FloatArray]:
        return log_densities.log_prob(kernel, {**data, "which": which}, near, tmp_path)

    value, gradient = log_prob(points)
    plain, plain_gradient = log_prob(points, PLAIN)
    assert np.ptp(value) > 0
    np.testing.assert_allclose(value, plain, rtol=1e-11, atol=1e-11)
    size = np.abs(plain_gradient).max(axis=1, keepdims=True)
    assert (np.abs(gradient - plain_gradient) <= 1e-10 * size).all()
    for point, slopes in zip(points[:2], gradient, strict=False):
        numerical = log_densities.slopes(lambda near: log_prob(near)[0], point, 1e-3)
        np.testing.assert_allclose(slopes, numerical, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


def samples(P: int, C: int, *, selected: bool = False) -> PosteriorSamples:
    rng = np.random.default_rng(4)
    objects = 9
    x = [rng.normal(rng.normal(2, 0.5, P), 0.4, (20 + 3 * i, P)) for i in range(objects)]
    names = ["a", "b", "c"]
    covariates = {f"z{k}": rng.uniform(0, 3, objects) for k in range(C)} or None
    data = PosteriorSamples.from_arrays(
        x,
        parameters=names[:P],
        covariates=covariates,
        weights=[rng.uniform(0, 1, len(y)) for y in x],
    )
    if selected:
        found = Selection(rng.uniform(0, 4, (400, P)), np.full(400, 0.02))
        data = replace(data, selection=found)
    return data


def by_scipy(found: linear.LinearProblem, theta: FloatArray, eta: float) -> float:
    """Log posterior density of theta, written anew: SciPy's normals, LKJ of a determinant."""
    data, P, C = found.data, len(found.data.parameters), len(found.data.covariates)
    numbers = found.coordinates.numbers
    phi, log_density = np.empty(len(numbers.names)), 0.0
    for k, (name, prior) in enumerate(zip(numbers.names, numbers.priors, strict=True)):
        t = theta[k]
        if prior.family == "uniform":
            low, high = prior.arguments
            phi[k] = low + (high - low) * special.expit(t)
            log_density += np.log((phi[k] - low) * (high - phi[k]))
        elif name.startswith("sd"):
            phi[k] = np.exp(t)
            log_density += t
        else:
            phi[k] = t
        if prior.family == "normal":
            log_density += stats.norm(*prior.arguments).logpdf(phi[k])
        elif prior.family == "lognormal":
            a, b = prior.arguments
            log_density += stats.lognorm(b, scale=np.exp(a)).logpdf(phi[k])
    mean, slope = phi[:P], phi[P : P + P * C].reshape(P, C)
    sd = phi[P + P * C :]

    def correlation(free: FloatArray) -> FloatArray:
        L, at = np.zeros((P, P)), 0
        for i in range(P):
            for j in range(i):
                L[i, j] = np.tanh(free[at]) * np.sqrt(1 - (L[i, :j] ** 2).sum())
                at += 1
            L[i, i] = np.sqrt(1 - (L[i, :i] ** 2).sum())
        return L @ L.T

    free = theta[len(phi) :]
    R = correlation(free)
    log_density += (eta - 1) * np.linalg.slogdet(R)[1]
    if P > 1:  # Jacobian of the correlations by differences
        below = np.tril_indices(P, -1)
        step = 1e-5
        columns = [
            (correlation(free + step * e)[below] - correlation(free - step * e)[below]) / (2 * step)
            for e in np.eye(len(free))
        ]
        log_density += np.linalg.slogdet(np.array(columns))[1]
    covariance = np.outer(sd, sd) * R
    covariates = np.zeros((C, len(data.objects)))
    for k, v in enumerate(data.covariates.values()):
        covariates[k] = v - v.mean()
    for i in range(len(data.objects)):
        inside = slice(data.start[i], data.start[i + 1])
        centre = mean + slope @ covariates[:, i]
        log_p = stats.multivariate_normal(centre, covariance).logpdf(data.x[inside])
        log_density += special.logsumexp(log_p, b=data.weights[inside])
    for i in range(len(data.objects) if data.selection is not None else 0):
        assert data.selection is not None
        centre = mean + slope @ covariates[:, i]
        log_p = stats.multivariate_normal(centre, covariance).logpdf(data.selection.x)
        shares = data.selection.weights / data.selection.weights.sum()
        log_density -= special.logsumexp(log_p, b=shares)
    return float(log_density)


@pytest.mark.parametrize(
    ("P", "C", "eta", "priors", "selected"),
    [
        (2, 0, 1.0, {}, False),
        (2, 0, 2.5, {"mean": "normal(2, 1)", "sd": "lognormal(-1, 0.5)"}, False),
        (3, 0, 1.0, {}, False),
        (3, 0, 1.7, {}, True),
        (3, 2, 1.0, {"slope": "normal(0.1, 0.3)"}, False),
        (1, 1, 1.0, {}, False),
        (1, 1, 1.0, {}, True),
        (2, 2, 1.3, {}, True),
    ],
)
def test_stan_has_the_density_of_scipy(
    P: int, C: int, eta: float, priors: dict[str, str], selected: bool,
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(linear, "starts", lambda *_: [])  # wherever the search begins
    model = "stack_multivariate" if P > 1 else "stack_regression"
    entry = registry.get(model)
    given = {"eta": eta} | ({} if P > 1 else {"likelihood": "samples"})
    found = linear.prepare(
        model, samples(P, C, selected=selected), entry.resolve_options(given),
        entry.resolve_priors(priors),
    )  # fmt: skip
    points = 0.7 * np.random.default_rng(5).standard_normal((6, len(found.center)))
    value, _ = log_densities.log_prob(program, found.stan_data, points, tmp_path)
    scipy = [by_scipy(found, found.center + found.scale @ z, eta) for z in points]
    assert np.ptp(value) > 1
    assert np.ptp(value - scipy) < 1e-6


def test_correlated_parameters_are_recovered_with_their_correlation() -> None:
    data, truth = pyxstan.simulate("stack_multivariate", seed=11, objects=200, samples=40)
    idata = pyxstan.fit("stack_multivariate", data, seed=1, warmup=300, draws=500, progress=False)
    posterior = group(idata, "posterior")
    for name, value in truth.items():
        mean, sd = (
            getattr(posterior[name], f)(("chain", "draw")).to_numpy() for f in ("mean", "std")
        )
        assert (np.abs(mean - value) < 3 * sd).all(), name
        assert (sd < {"mean": 0.06, "sd": 0.06, "correlation": 0.13}[name]).all()
    assert pyxstan.verdict(idata).converged


def test_a_slope_is_recovered_and_nodes_are_as_good_as_samples() -> None:
    data, truth = pyxstan.simulate(
        "stack_regression", {"slope": [[0.2]]}, seed=12, objects=40, samples=40
    )
    fits = {
        how: group(
            pyxstan.fit(
                "stack_regression", data, seed=2, draws=2500, likelihood=how, progress=False
            ),
            "posterior",
        )
        for how in ("nodes", "samples")
    }
    for name, value in truth.items():
        mean, sd = ({how: getattr(fit[name], f)(("chain", "draw")).to_numpy().ravel()
                     for how, fit in fits.items()} for f in ("mean", "std"))  # fmt: skip
        assert (np.abs(mean["nodes"] - np.ravel(value)) < 3 * sd["nodes"]).all(), name
        assert (np.abs(mean["nodes"] - mean["samples"]) < 0.05 * sd["samples"]).all()
        np.testing.assert_allclose(sd["nodes"], sd["samples"], rtol=0.04)


def test_a_slope_behind_a_selection() -> None:
    """Objects that seem to be below a limit are missed, the more the lower their mean."""
    rng = np.random.default_rng(8)
    mean, slope, sd, error, limit = 1.8, 0.4, 0.3, 0.2, 1.6
    z = rng.uniform(-1, 1, 400)
    measured = rng.normal(rng.normal(mean + slope * z, sd), error)
    seen = measured > limit
    samples = rng.normal(measured[seen, None], error, (int(seen.sum()), 40))
    x = np.linspace(0, 4, 41)
    detected = {"x": x, "probability": stats.norm.cdf(x, limit, error)}
    naive, corrected = (
        group(
            pyxstan.fit(
                "stack_regression",
                PosteriorSamples.from_arrays(
                    samples, parameters="x", covariates={"z": z[seen]}, selection=selection
                ),
                seed=2, pivot=0, low=0.5, high=3, warmup=300, draws=300, progress=False,
            ),
            "posterior",
        )
        for selection in (None, detected)
    )  # fmt: skip
    for name, value in (("mean", mean), ("slope", slope), ("sd", sd)):
        assert abs(float(naive[name].mean()) - value) > 3 * float(naive[name].std())
        assert abs(float(corrected[name].mean()) - value) < 2.5 * float(corrected[name].std())


@pytest.mark.parametrize("slopes", [(0.4, 0.4), (0.4, -0.4), (1.5, 0.1)])
def test_climbs_end_where_they_would_without_a_stop(
    slopes: tuple[float, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one parent, and of objects that follow one of two slopes or two of them."""
    rng = np.random.default_rng(3)
    z = np.linspace(-1, 1, 30)
    x = 2 + np.where(np.arange(30) % 2, *slopes) * z + rng.normal(0, 0.05, 30)
    arrays = list(x[:, None, None] + rng.normal(0, 0.15, (30, 60, 1)))
    data = PosteriorSamples.from_arrays(arrays, parameters=["x"], covariates={"z": z})
    found: list[list[FloatArray]] = []

    def both(*arguments: Any) -> list[FloatArray]:
        for rise in (linear_search._RISE, -np.inf):
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(linear_search, "_RISE", rise)
                found.append(linear_search.starts(*arguments))
        return found[0]

    monkeypatch.setattr(linear, "starts", both)
    model = registry.get("stack_regression")
    options = model.resolve_options({"low": 0, "high": 4})
    model.family.prepare("stack_regression", data, options, {})
    stopped, whole = found
    assert len(stopped) == len(whole)
    for one, other in zip(stopped, whole, strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)


def test_coarse_nodes_are_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "_NODES_A_LENGTH", 1.0)
    data, _ = pyxstan.simulate(
        "stack_regression", seed=12, objects=60, samples=300, largest_error=0.15
    )
    idata = pyxstan.fit("stack_regression", data, seed=2, chains=2, draws=300, progress=False)
    assert "the nodes were too coarse" in attributes(idata)["notes"]
    assert attributes(idata)["log_likelihood_error"] <= 0.02


def test_pivot_moves_the_mean_alone() -> None:
    data, _ = pyxstan.simulate("stack_regression", seed=13, objects=60, samples=40)
    fits: dict[Any, Any] = {
        pivot: group(
            pyxstan.fit("stack_regression", data, seed=3, pivot=pivot, progress=False,
                        priors={"slope": "normal(0, 1)", "mean": "normal(1.8, 5)"}),
            "posterior",
        )
        for pivot in (None, 0.0)
    }  # fmt: skip
    shift = float(data.covariates["redshift"].mean())
    mean = {pivot: fit["mean"].mean().item() for pivot, fit in fits.items()}
    slope = {pivot: fit["slope"].mean().item() for pivot, fit in fits.items()}
    error = fits[0.0]["mean"].std().item()
    assert abs(slope[None] - slope[0.0]) < 0.1 * fits[0.0]["slope"].std().item()
    assert abs(mean[None] - shift * slope[None] - mean[0.0]) < 0.1 * error
    assert abs(mean[None] - mean[0.0]) > error


def test_shrunken_estimates_of_two_parameters() -> None:
    """Against the closed form for Gaussian errors: what is known well pulls what is not."""
    rng = np.random.default_rng(14)
    mean, covariance = np.array([1.0, 5.0]), np.array([[0.25, 0.4], [0.4, 1.0]])
    error = np.diag([0.05, 2.0]) ** 2
    measured = rng.multivariate_normal(mean, covariance + error, 40)
    x = [rng.multivariate_normal(one, error, 400) for one in measured]
    data = PosteriorSamples.from_arrays(x, parameters=("a", "b"))
    idata = pyxstan.fit(
        "stack_multivariate", data, seed=4, chains=2, warmup=300, draws=200, progress=False,
        priors={"mean": "normal(3, 5)", "sd": "lognormal(0, 1)"},
    )  # fmt: skip
    found = stacking.shrunken(idata, data)
    posterior = group(idata, "posterior").mean(("chain", "draw"))
    sd, rho = posterior["sd"].to_numpy(), posterior["correlation"].item()
    sigma = np.outer(sd, sd) * np.array([[1, rho], [rho, 1]])
    gain = sigma @ np.linalg.inv(sigma + error)
    expected = posterior["mean"].to_numpy() + (measured - posterior["mean"].to_numpy()) @ gain.T
    there = found["mean"].to_numpy().reshape(40, 2)
    assert np.abs(there[:, 1] - expected[:, 1]).max() < 0.35
    assert np.std(there[:, 1] - expected[:, 1]) < 0.1
    assert np.std(measured[:, 1] - expected[:, 1]) > 1


def test_bad_input() -> None:
    one, several = samples(1, 0), samples(2, 0)
    known = samples(1, 1)
    same = replace(known, covariates={"z": np.ones(9)})
    twice = replace(
        known, covariates={"z": known.covariates["z0"], "y": 2 * known.covariates["z0"]}
    )
    for model, data, options, words in (
        ("stack_multivariate", one, {}, "stack_multivariate: expected several parameters"),
        ("stack_regression", one, {}, "stack_regression: the samples have no covariates"),
        ("stack_regression", same, {}, "covariate z is the same for all objects"),
        ("stack_regression", twice, {}, "covariates z, y: one follows from the others"),
        ("stack_regression", known, {"pivot": "1,2"}, "option pivot: expected 1 finite numbers"),
        ("stack_regression", known, {"pivot": "red"}, "option pivot: 'red' is not numbers"),
        ("stack_multivariate", several, {"eta": -1.0}, "option eta: -1 is not a positive number"),
        ("stack_multivariate", several, {"low": "3", "high": "2"}, "range 3 to 2: expected low"),
        (
            "stack_gaussian",
            several,
            {},
            "stack_gaussian is of one parameter, the samples have a, b",
        ),
    ):
        with pytest.raises(pyxstan.DataError) as raised:
            pyxstan.fit(model, data, progress=False, **options)
        assert str(raised.value).startswith(words)
