"""The C++ likelihood of point sources: its plain-Stan twin, the scan and finite differences."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import log_densities
import numpy as np
import numpy.typing as npt
import pytest
from driver_runs import PROGRAMS

import pyxstan
from pyxstan.engine.build import StanProgram, build
from pyxstan.point_source import Catalogue
from pyxstan.point_source.problem import SourceProblem
from pyxstan.registry import stan_models

FloatArray = npt.NDArray[np.float64]
CPP, PLAIN = 1, 2
CASES = ("one sample", "two samples", "catalogue")
POINTS = np.array([[0.1, 1.02], [3.0, 2.0], [17.0, 2.234], [40.0, 3.97]])


@pytest.fixture(scope="module")
def executable(cache: Path) -> Path:
    program = StanProgram(
        PROGRAMS / "point_source_kernel.stan",
        (stan_models(),),
        PROGRAMS / "point_source_kernel.hpp",
    )
    return build(program, ("log_prob",))


@pytest.fixture(scope="module")
def problems() -> dict[str, SourceProblem]:
    model = pyxstan.registry.get("point_source")
    data, _ = pyxstan.simulate("point_source", seed=5, events=2000, prior_radius=3.0)
    (sample,) = data.samples
    halves = []
    for k in range(2):
        columns = ("ra", "dec", "sigma", "log10_energy", "mjd")
        half = {name: getattr(sample, name)[k::2] for name in columns}
        livetime = sample.livetime * (0.3 + 0.4 * k)
        halves.append(dataclasses.replace(sample, name=f"{k}", livetime=livetime, **half))
    sources = Catalogue(np.array([2.0, 2.05, 5.0]), np.array([0.25, 0.28, -0.4]), [1.0, 2.0, 1.0])
    given = {
        "one sample": data,
        "two samples": dataclasses.replace(data, samples=tuple(halves)),
        "catalogue": dataclasses.replace(data, prior_map=None, catalogue=sources),
    }
    options = model.resolve_options({"trials": 0, "nside": 16})
    return {
        name: model.family.prepare("point_source", one, options, {}) for name, one in given.items()
    }


def log_prob(
    executable: Path, problem: SourceProblem, points: FloatArray, which: int, folder: Path
) -> tuple[FloatArray, FloatArray]:
    data: dict[str, Any] = {"which": which, **problem.stan_data}
    return log_densities.log_prob(executable, data, points, folder)


@pytest.mark.parametrize("name", CASES)
def test_kernel_is_its_plain_twin_and_the_scan(
    name: str, executable: Path, problems: dict[str, SourceProblem], tmp_path: Path
) -> None:
    problem = problems[name]
    assert (problem.stan_data["P"] > 10) == (name != "catalogue")
    assert problem.stan_data["R"] > 20
    value, gradient = log_prob(executable, problem, POINTS, CPP, tmp_path)
    plain, plain_gradient = log_prob(executable, problem, POINTS, PLAIN, tmp_path)
    np.testing.assert_allclose(value, plain, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(gradient, plain_gradient, rtol=1e-9, atol=1e-9)
    scanned = problem.target.log_weight(slice(None), POINTS[:, 0], POINTS[:, 1])
    np.testing.assert_allclose(value, np.logaddexp.reduce(scanned, axis=0), atol=1e-8)


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_slope(
    name: str, executable: Path, problems: dict[str, SourceProblem], tmp_path: Path
) -> None:
    _, gradient = log_prob(executable, problems[name], POINTS, CPP, tmp_path)

    def values(near: FloatArray) -> FloatArray:
        return log_prob(executable, problems[name], near, CPP, tmp_path)[0]

    for point, slopes in zip(POINTS, gradient, strict=True):
        numerical = log_densities.slopes(values, point, 1e-3 * point)
        np.testing.assert_allclose(slopes, numerical, rtol=1e-5, atol=1e-5)
