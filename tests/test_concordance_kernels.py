"""The C++ likelihoods of the concordance against their plain-Stan twins and finite differences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import log_densities
import numpy as np
import numpy.typing as npt
import pytest
from references import quadrature

from pyxstan.engine.build import StanProgram, build
from pyxstan.registry import stan_models

FloatArray = npt.NDArray[np.float64]
PROGRAMS = Path(__file__).parent / "programs"
CPP, PLAIN = 1, 2
POINTS = 12


@dataclass(frozen=True)
class Case:
    """A design, and the range of the parameters to compare at."""

    instruments: int = 4
    sources: int = 6
    #: Which measurements there are: shape (M, N); default all.
    seen: FloatArray | None = None
    #: Given standard deviation (0: none).
    given: float = 0.0
    fitted: bool = True
    nu: float | None = None
    robust: bool = False
    times: bool = False
    #: Range of log sigma_i^2, and of the residuals in units of sigma.
    log_v: tuple[float, float] = (-8.0, -4.0)
    reach: float = 3.0
    log_nu: tuple[float, float] = (0.0, 3.0)


def holes(instruments: int, sources: int, share: float) -> FloatArray:
    rng = np.random.default_rng(3)
    seen = rng.random((sources, instruments)) > share
    seen[np.arange(sources), np.arange(sources) % instruments] = True
    return seen.astype(float)


ONE_EACH = np.eye(4)[[0, 1, 2, 3, 1, 2]]
LOG_NORMAL = {
    "unknown": Case(),
    "known": Case(given=0.05, fitted=False),
    "extra": Case(given=0.03),
    "missing": Case(seen=holes(4, 6, 0.5)),
    "one measurement a source": Case(seen=ONE_EACH),
    "one instrument, one source": Case(instruments=1, sources=1),
    "counted several times": Case(times=True),
    "tiny variances": Case(log_v=(-26.0, -20.0)),
    "huge variances": Case(log_v=(1.0, 4.0)),
    "variances of all sizes": Case(log_v=(-20.0, 2.0)),
    "large residuals": Case(reach=1e4),
    "many": Case(instruments=40, sources=50, seen=holes(40, 50, 0.3), log_v=(-10.0, 0.0)),
}
LOG_T = {
    "unknown": Case(robust=True, nu=3.0),
    "known": Case(robust=True, nu=3.0, given=0.05, fitted=False),
    "extra": Case(robust=True, nu=3.0, given=0.03),
    "nu estimated": Case(robust=True),
    "nu estimated, variances known": Case(robust=True, given=0.05, fitted=False),
    "missing": Case(robust=True, nu=3.0, seen=holes(4, 6, 0.5)),
    "one measurement a source": Case(robust=True, nu=3.0, seen=ONE_EACH),
    "heavy tails": Case(robust=True, nu=0.7),
    "light tails": Case(robust=True, nu=60.0),
    "nu estimated, light tails": Case(robust=True, log_nu=(3.0, 4.4)),
    "nu estimated, heavy tails": Case(robust=True, log_nu=(-0.7, 0.0)),
    "tiny variances": Case(robust=True, nu=3.0, log_v=(-26.0, -20.0)),
    "large variances": Case(robust=True, nu=3.0, log_v=(0.0, 2.0)),
    "variances of all sizes": Case(robust=True, log_v=(-20.0, 2.0)),
    "large residuals": Case(robust=True, reach=300.0),
}
CASES = {f"log-normal, {name}": case for name, case in LOG_NORMAL.items()} | {
    f"log-t, {name}": case for name, case in LOG_T.items()
}


@pytest.fixture(scope="module")
def executable(cache: Path) -> Path:
    folder = stan_models()
    program = StanProgram(
        PROGRAMS / "concordance_kernels.stan", (folder,), PROGRAMS / "concordance_kernels.hpp"
    )
    return build(program, ("log_prob",))


def made(case: Case) -> tuple[dict[str, Any], FloatArray]:
    """Data of a case, and points of its parameters, one a row."""
    rng = np.random.default_rng(17)
    N, M = case.instruments, case.sources
    seen = np.ones((M, N)) if case.seen is None else case.seen
    source, instrument = np.nonzero(seen)
    n = source.size
    K = N if case.fitted else 0
    scale = case.given if not case.fitted else float(np.exp(0.25 * sum(case.log_v)))
    data = {
        "N": N, "M": M, "n": n, "K": K,
        "robust": int(case.robust),
        "estimate_nu": int(case.robust and case.nu is None),
        "nu_given": case.nu or 1.0,
        "y": (case.reach * scale * rng.uniform(-1, 1, n)).tolist(),
        "s2": (case.given**2 * rng.uniform(0.2, 2.0, n)).tolist(),
        "instrument": (instrument + 1).tolist(),
        "start": (np.searchsorted(source, np.arange(M + 1)) + 1).tolist(),
        "times": (rng.uniform(0.5, 9.0, M) if case.times else np.ones(M)).tolist(),
    }  # fmt: skip
    columns = [
        scale * rng.uniform(-1, 1, (POINTS, N)),
        scale * rng.uniform(-1, 1, (POINTS, M)),
        rng.uniform(*case.log_v, (POINTS, K)),
        rng.uniform(*case.log_nu, (POINTS, data["estimate_nu"])),
    ]
    return data, np.concatenate(columns, axis=1)


def log_prob(
    executable: Path, data: dict[str, Any], points: FloatArray, which: int, folder: Path
) -> tuple[FloatArray, FloatArray]:
    """Values and gradients at all points."""
    return log_densities.log_prob(executable, {**data, "which": which}, points, folder)


@pytest.mark.parametrize("name", CASES)
def test_kernel_is_its_plain_twin(name: str, executable: Path, tmp_path: Path) -> None:
    data, points = made(CASES[name])
    value, gradient = log_prob(executable, data, points, CPP, tmp_path)
    plain, plain_gradient = log_prob(executable, data, points, PLAIN, tmp_path)
    assert np.isfinite(plain_gradient).all()
    np.testing.assert_allclose(value, plain, rtol=1e-9)
    # components that nearly cancel are as good as the terms that they are made of
    size = np.abs(plain_gradient).max(axis=1, keepdims=True)
    assert (np.abs(gradient - plain_gradient) <= 1e-9 * size).all()


@pytest.mark.parametrize(
    "name",
    [
        "log-normal, extra",
        "log-normal, missing",
        "log-normal, counted several times",
        "log-t, nu estimated",
        "log-t, extra",
        "log-t, missing",
        "log-t, heavy tails",
    ],
)
def test_gradient_is_the_slope(name: str, executable: Path, tmp_path: Path) -> None:
    """Central differences of fourth order."""
    data, points = made(CASES[name])
    points = points[:3]
    _, gradient = log_prob(executable, data, points, CPP, tmp_path)

    def values(near: FloatArray) -> FloatArray:
        return log_prob(executable, data, near, CPP, tmp_path)[0]

    for point, slopes in zip(points, gradient, strict=True):
        numerical = log_densities.slopes(values, point, 1e-4)
        np.testing.assert_allclose(slopes, numerical, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


def test_log_normal_value_is_the_integral_over_each_flux(executable: Path, tmp_path: Path) -> None:
    case = Case(instruments=3, sources=2, given=0.03, seen=np.array([[1, 1, 1], [1, 0, 1.0]]))
    data, points = made(case)
    value, _ = log_prob(executable, data, points, CPP, tmp_path)
    y, by = np.array(data["y"]), np.array(data["instrument"]) - 1
    G = np.linspace(-3, 3, 60_001)
    for point, got in zip(points, value, strict=True):
        B, v = point[:3], np.exp(point[5:8])
        sigma = np.sqrt(np.array(data["s2"]) + v[by])
        want = -0.5 * (point**2).sum()
        for start, end in zip(data["start"], data["start"][1:], strict=False):
            density = np.ones_like(G)
            for k in range(start - 1, end - 1):
                density *= quadrature.lognormal_density(y[k] - B[by[k]] - G, sigma[k])
            want += np.log(density.sum() * (G[1] - G[0]))
        assert got == pytest.approx(want, rel=1e-10)


@pytest.mark.parametrize("nu", [1.5, 3.0, 8.0])
def test_log_t_value_is_the_integral_over_each_weight(
    nu: float, executable: Path, tmp_path: Path
) -> None:
    data, points = made(Case(robust=True, nu=nu, given=0.03, seen=holes(4, 6, 0.4)))
    value, _ = log_prob(executable, data, points, CPP, tmp_path)
    y, by = np.array(data["y"]), np.array(data["instrument"]) - 1
    of = np.repeat(np.arange(6), np.diff(data["start"]))
    density = quadrature.log_t_density(nu, nodes=3000)
    for point, got in zip(points, value, strict=True):
        B, G, v = point[:4], point[4:10], np.exp(point[10:14])
        sigma = np.sqrt(np.array(data["s2"]) + v[by])
        f = density(y - B[by] - G[of], sigma)
        assert got == pytest.approx(-0.5 * (point**2).sum() + np.log(f).sum(), rel=1e-9)


def test_absurd_proportions_are_refused_by_name(executable: Path, tmp_path: Path) -> None:
    """Rejected as Stan rejects, not a crash or a made-up number."""
    data, points = made(Case(robust=True, nu=3.0))
    points[0, 0] = 1e300
    done = log_densities.log_prob_run(executable, {**data, "which": CPP}, points[:1], tmp_path)
    assert "concordance_t" in done.stdout + done.stderr
