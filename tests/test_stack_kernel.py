"""The C++ likelihood of stacks against plain Stan, and every parent's log density against NumPy."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import log_densities
import numpy as np
import numpy.typing as npt
import pytest
from scipy import special, stats

from pyxstan import registry
from pyxstan.engine.build import StanProgram, build
from pyxstan.stacking import problem
from pyxstan.stacking.data import PosteriorSamples, Selection
from pyxstan.stacking.nodes import on_grids
from pyxstan.stacking.problem import StackProblem

FloatArray = npt.NDArray[np.float64]
PROGRAMS = Path(__file__).parent / "programs"
CPP, PLAIN = 1, 2
GRID, SAMPLES = 1, 2
NODES = 40
LEAST = 1e-12


@pytest.fixture(scope="module")
def kernel(cache: Path) -> Path:
    program = StanProgram(
        PROGRAMS / "stack_kernel.stan", (registry.stan_models(),), PROGRAMS / "stack_kernel.hpp"
    )
    return build(program, ("log_prob",))


@pytest.fixture(scope="module")
def program(cache: Path) -> Path:
    return build(registry.get("stack_gaussian").program, ("log_prob",))


def rows(
    objects: int, *, whole: bool = False, selected: bool = False, before: int = 0
) -> dict[str, Any]:
    """Random weights on nodes, some of them negative as those of an interpolation are."""
    rng = np.random.default_rng(5)
    first = np.ones(objects, int) if whole else rng.integers(1, NODES - 8, objects)
    last = np.full(objects, NODES) if whole else rng.integers(first + 7, NODES + 1)
    power = np.ones(objects)
    if selected:
        first, last = np.append(first, 1), np.append(last, NODES)
        power = np.append(power, -float(objects))
    start = np.append(1, 1 + np.cumsum(last - first + 1))
    weight = rng.uniform(-0.1, 0.9, start[-1] - 1)
    points = before + NODES
    return {
        "nodes": NODES, "before": before, "rows": len(first), "first": first[None],
        "start": start[None], "weight": weight, "power": power, "least": LEAST,
        "row": rng.integers(1, len(first) + 1, points),
        "sample_weight": rng.uniform(0, 1, points),
    }  # fmt: skip


DESIGNS = {
    "many objects": rows(300),
    "one object": rows(1),
    "rows over all nodes": rows(20, whole=True),
    "selection": rows(50, selected=True),
    "one object and a selection": rows(1, selected=True),
    "a window, beyond which p is nothing": rows(300, selected=True, before=11),
    "a window that most rows are before": rows(30, before=34),
}


@pytest.mark.parametrize("level", [GRID, SAMPLES], ids=["grid", "samples"])
@pytest.mark.parametrize("name", DESIGNS)
def test_kernel_is_its_plain_twin_and_its_gradient_the_slope(
    name: str, level: int, kernel: Path, tmp_path: Path
) -> None:
    design = {**DESIGNS[name], "level": level}
    points = np.exp(np.random.default_rng(6).normal(0, 0.5, (5, NODES)))

    def log_prob(near: FloatArray, which: int = CPP) -> tuple[FloatArray, FloatArray]:
        return log_densities.log_prob(kernel, {**design, "which": which}, near, tmp_path)

    value, gradient = log_prob(points)
    plain, plain_gradient = log_prob(points, PLAIN)
    assert np.ptp(value) > 0
    np.testing.assert_allclose(value, plain, rtol=1e-12, atol=1e-12)
    size = np.abs(plain_gradient).max(axis=1, keepdims=True)
    assert (np.abs(gradient - plain_gradient) <= 1e-12 * size).all()
    for point, slopes in zip(points[:2], gradient, strict=False):
        numerical = log_densities.slopes(lambda near: log_prob(near)[0], point, 1e-3 * point)
        np.testing.assert_allclose(slopes, numerical, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


def test_no_sample_where_the_parent_is(kernel: Path, tmp_path: Path) -> None:
    """Rows that are far are left to the logarithms of p at their samples."""
    points = np.ones((2, NODES))
    points[1, : NODES // 2] = 0
    design = rows(40)
    last = design["first"][0] + np.diff(design["start"][0]) - 1
    there = last > NODES // 2
    assert 0 < there.sum() < 40
    for which in (CPP, PLAIN):
        value, _ = log_densities.log_prob(
            kernel, {**design, "level": GRID, "which": which}, points, tmp_path
        )
        expected = []
        for p in points:
            sums = [
                design["weight"][a - 1 : b - 1] @ p[first - 1 : first - 1 + b - a]
                for first, a, b in zip(
                    design["first"][0], design["start"][0], design["start"][0][1:], strict=False
                )
            ]
            expected.append(np.log([x for x in sums if x > LEAST]).sum())
        np.testing.assert_allclose(value, expected, rtol=1e-12)


@dataclass(frozen=True)
class Case:
    """A parent with options and priors."""

    model: str
    priors: dict[str, str] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    selected: bool = False


CASES = {
    "histogram": Case("stack_histogram"),
    "histogram, selection": Case("stack_histogram", selected=True),
    "histogram, smooth, unequal bins": Case(
        "stack_histogram",
        options={"smoothness": 0.7, "concentration": 0.5, "edges": [0.5, 1, 1.7, 2, 2.2, 3]},
    ),
    "Gaussian": Case("stack_gaussian"),
    "Gaussian, PosteriorStacker's priors": Case(
        "stack_gaussian", {"mean": "uniform(0.5, 8)", "sd": "uniform(0, 7.5)"}
    ),
    "Gaussian, normal and inverse gamma": Case(
        "stack_gaussian", {"mean": "normal(1.5, 0.4)", "sd": "inv_gamma(3, 0.5)"}
    ),
    "Gaussian, lognormal, selection": Case(
        "stack_gaussian", {"sd": "lognormal(-1, 0.5)"}, selected=True
    ),
    "Gaussian, every sample": Case("stack_gaussian", options={"likelihood": "samples"}),
    "truncated": Case("stack_truncated_gaussian"),
    "truncated, half normal": Case(
        "stack_truncated_gaussian", {"mean": "normal(1, 1)", "sd": "half_normal(0.5)"}
    ),
    "Student t": Case("stack_student_t"),
    "Student t, lognormal": Case(
        "stack_student_t", {"nu": "lognormal(1, 1)", "scale": "gamma(2, 5)"}, selected=True
    ),
    "Student t, uniform": Case("stack_student_t", {"nu": "uniform(1, 50)"}),
    "skew normal": Case("stack_skew_normal"),
    "skew normal, uniform": Case("stack_skew_normal", {"shape": "uniform(-8, 8)"}),
    "beta": Case("stack_beta"),
    "beta, other priors": Case("stack_beta", {"alpha": "gamma(2, 1)", "beta": "uniform(0, 9)"}),
    "gamma": Case("stack_gamma"),
    "gamma, half normal": Case("stack_gamma", {"scale": "half_normal(0.5)"}, selected=True),
    "mixture": Case("stack_mixture"),
    "mixture of three": Case(
        "stack_mixture",
        {"mean": "normal(2, 1)", "sd": "lognormal(-1, 1)"},
        {"components": 3, "concentration": 2.0},
        selected=True,
    ),
}  # fmt: skip


def prepared(case: Case) -> StackProblem:
    rng = np.random.default_rng(8)
    centre = rng.uniform(1.2, 2.4, (12, 1))
    x = rng.normal(centre, rng.uniform(0.05, 0.3, (12, 1)), (12, 200))
    data = PosteriorSamples.from_arrays(x)
    if case.selected:
        found = rng.uniform(0.6, 2.9, (3000, 1))
        data = replace(data, selection=Selection(found, np.full(3000, 1e-4)))
    entry = registry.get(case.model)
    options = entry.resolve_options({"low": 0.5, "high": 3.0, **case.options})
    return problem.prepare(case.model, data, options, entry.resolve_priors(case.priors))


def test_parents_from_broad_to_narrow(program: Path, tmp_path: Path) -> None:
    """Each on the grid that suits it, the narrowest at the samples, which are not as close."""
    case = CASES["Gaussian, lognormal, selection"]
    found = prepared(case)
    found = replace(
        found,
        target=replace(
            found.target, nodes=on_grids(found.data, np.array([0.02, 0.5]), 6.0, (-np.inf, np.inf))
        ),
    )
    assert len(found.target.nodes.grids) > 2
    assert found.target.nodes.samples is not None
    edges = [0.6, *(0.99 * found.target.nodes.resolved), 1e-4]
    theta = np.array([[1.4, np.log(sd)] for sd in edges])
    points = np.linalg.solve(found.scale, (theta - found.center).T).T
    data = {**found.stan_data, **found.target.nodes.stan_data()}
    value, gradient = log_densities.log_prob(program, data, points, tmp_path)
    values, log_p = found.target.coordinates.values(theta)
    log_pdf = stats.norm(values["mean"][:, None], values["sd"][:, None]).logpdf(found.data.x[:, 0])
    terms = np.split(log_pdf + np.log(found.data.weights), found.data.start[1:-1], axis=1)
    exact = np.array([special.logsumexp(one, axis=1) for one in terms])
    assert found.data.selection is not None
    alpha = (
        found.target.density(found.data.selection.x[:, 0], values) @ found.data.selection.weights
    )
    log_p += exact.sum(axis=0) - 12 * np.log(alpha)
    np.testing.assert_allclose(value - value[0], log_p - log_p[0], atol=1e-3, rtol=1e-6)
    for point, slopes in zip(points[:-1], gradient, strict=False):
        near = log_densities.slopes(
            lambda z: log_densities.log_prob(program, data, z, tmp_path)[0], point, 1e-4
        )
        np.testing.assert_allclose(slopes, near, rtol=1e-4, atol=1e-4 * np.abs(slopes).max())


def density(found: StackProblem, smoothness: float) -> log_densities.Values:
    """NumPy's log density of z, up to a constant."""

    def values(z: FloatArray) -> FloatArray:
        parameters, log_p = found.target.coordinates.values(found.center + z @ found.scale.T)
        log_p = log_p + found.target.on_nodes(parameters) @ found.target.nodes.power
        if smoothness:
            assert found.target.edges is not None
            steps = np.diff(np.log(parameters["fraction"] / np.diff(found.target.edges)), axis=1)
            log_p = log_p - 0.5 * ((steps / smoothness) ** 2).sum(axis=1)
        return np.asarray(log_p)

    return values


@pytest.mark.parametrize("name", CASES)
def test_stan_and_numpy_agree(name: str, program: Path, tmp_path: Path) -> None:
    case = CASES[name]
    found = prepared(case)
    points = 0.7 * np.random.default_rng(9).standard_normal((8, len(found.center)))
    numpy_density = density(found, case.options.get("smoothness", 0.0))
    value, gradient = log_densities.log_prob(program, found.stan_data, points, tmp_path)
    constant = value - numpy_density(points)
    assert np.ptp(value) > 1
    assert np.ptp(constant) < 1e-9 * np.abs(value).max()
    for point, slopes in zip(points, gradient, strict=True):
        numerical = log_densities.slopes(numpy_density, point, 1e-3)
        np.testing.assert_allclose(slopes, numerical, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())
