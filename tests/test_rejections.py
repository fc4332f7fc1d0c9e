"""What a program rejects, and what is written then: the same however it is built.

CmdStan's rule: a transformed parameter or a generated quantity that rejects or violates its
constraint is NaN in that draw, as is all that comes after it; what comes before it is kept, the
parameters in any case. Optimisation, Laplace and log_prob stop.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import replace_compiler
from driver_runs import PROGRAMS, Runner, Table, read

from pyxstan.engine import sampling
from pyxstan.engine.build import StanProgram, build

THROWING = StanProgram(PROGRAMS / "throwing.stan")
UNITS = ("sample_diag_e", "generate_quantities", "optimize", "laplace", "log_prob")
SAMPLE = "sample num_samples=1000 num_warmup=300"
FREE, LIMITED = {"highest": 1e9}, {"highest": 1.0}


def of_all_headers(cache: Path, folder: Path) -> Path:
    """Compile a model whose object is damaged, by a compiler that takes nothing but all headers."""
    shutil.copytree(cache / "objects", folder / "objects")
    models = list((folder / "objects").glob("model-*.o"))
    assert models
    for model in models:
        os.truncate(model, model.stat().st_size // 2)
    log = folder / "log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYXSTAN_CACHE", str(folder))
        replace_compiler(
            patch,
            folder / "bin",
            f'echo "$*" >> "{log}"\n'
            'case "$*" in */lean-*) echo "error: no such distribution" >&2; exit 1;; esac\n'
            'exec "$REAL" "$@"',
        )
        built = build(THROWING, UNITS)
    commands = log.read_text().splitlines()
    kinds = ["lean" if "/lean-" in c else "full" if " -c " in c else "link" for c in commands]
    assert kinds == ["lean", "full", "link"]
    return built


@pytest.fixture(scope="module")
def cached(cache: Path) -> Path:
    return build(THROWING, UNITS)


@pytest.fixture(scope="module", params=["cached", "command line", "all headers"])
def executable(
    request: pytest.FixtureRequest,
    cached: Path,
    cache: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The program, built in every way there is."""
    folder = tmp_path_factory.mktemp("built")
    if request.param == "cached":
        return cached
    if request.param == "all headers":
        return of_all_headers(cache, folder)
    command = [sys.executable, "-m", "pyxstan", "compile", str(THROWING.stan_file)]
    subprocess.run([*command, "-o", str(folder / "exe")], check=True, capture_output=True)
    return folder / "exe"


def check_generated(drawn: Table, alpha: np.ndarray) -> None:
    """Generated quantities of parameters: NaN from the one that is violated on."""
    violated = alpha < -0.3
    assert 0.25 < violated.mean() < 0.5
    np.testing.assert_array_equal(np.isnan(drawn["beta"]), violated)
    np.testing.assert_array_equal(np.isnan(drawn["after"]), violated)
    np.testing.assert_array_equal(drawn["beta"][~violated], alpha[~violated])


def test_sampling_keeps_the_parameters(executable: Path, cached: Path, tmp_path: Path) -> None:
    runner = Runner(executable, tmp_path, FREE)
    drawn = runner(SAMPLE)
    assert abs(drawn["alpha"].mean()) < 0.2
    assert drawn["alpha"].std() == pytest.approx(1, abs=0.1)
    np.testing.assert_array_equal(drawn["twice"], 2 * drawn["alpha"])
    check_generated(drawn, drawn["alpha"])
    reference = Runner(cached, tmp_path, FREE)(SAMPLE)
    for name, values in reference.items():
        np.testing.assert_array_equal(drawn[name], values, name)


def test_generated_quantities_go_on(executable: Path, tmp_path: Path) -> None:
    runner = Runner(executable, tmp_path, FREE)
    chains = [runner(SAMPLE, seed=seed)["alpha"] for seed in (1, 2)]
    for chain, alpha in enumerate(chains, 1):
        (tmp_path / f"fit_{chain}.csv").write_text("\n".join(["alpha", *map(str, alpha), ""]))
    check_generated(runner("generate_quantities fitted_params=fit_1.csv"), chains[0])
    done = runner.start(
        "generate_quantities fitted_params=fit.csv num_chains=2 data file=data.json "
        "output file=both.csv sig_figs=17"
    )
    assert done.returncode == 0, done.stderr
    assert "beta is" in done.stdout
    for chain, alpha in enumerate(chains, 1):
        check_generated(read(tmp_path / f"both_{chain}.csv"), alpha)


def test_transformed_parameters_that_reject(executable: Path, tmp_path: Path) -> None:
    runner = Runner(executable, tmp_path, LIMITED)
    drawn = runner(SAMPLE)  # the posterior is cut where they reject
    assert drawn["alpha"].max() < 0.5
    assert drawn["alpha"].mean() == pytest.approx(-0.509, abs=0.15)
    (tmp_path / "fit.csv").write_text("alpha\n0.2\n0.7\n-0.7\n0.4\n")
    made = runner("generate_quantities fitted_params=fit.csv")
    np.testing.assert_array_equal(made["beta"], [0.2, np.nan, np.nan, 0.4])
    np.testing.assert_array_equal(made["after"], [1, np.nan, np.nan, 1])


def test_other_methods_stop_with_the_reason(executable: Path, tmp_path: Path) -> None:
    runner = Runner(executable, tmp_path, LIMITED)
    (tmp_path / "inside.json").write_text('{"alpha": 0.1}')
    (tmp_path / "outside.json").write_text('{"alpha": 0.9}')
    assert runner("optimize jacobian=1")["alpha"] == pytest.approx(0, abs=1e-6)
    assert runner("log_prob constrained_params=inside.json")["lp__"] == pytest.approx(-0.005)
    for words in ("log_prob constrained_params", "laplace draws=50 mode"):
        for point in ("inside", "outside"):
            if (words, point) != ("log_prob constrained_params", "inside"):
                done = runner.start(f"{words}={point}.json data file=data.json")
                assert done.returncode == 1
                assert re.search(r"(twice|beta) is", done.stdout + done.stderr)


def test_parameters_are_kept_in_python(cached: Path) -> None:
    drawn = sampling.run(cached, FREE, chains=2, warmup=300, draws=500, seed=3)
    alpha = drawn.variables["alpha"]
    assert np.isfinite(alpha).all()
    assert abs(alpha.mean()) < 0.2
    check_generated(drawn.variables, alpha)
