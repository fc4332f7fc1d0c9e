"""The driver's numbers are CmdStan's: compared with an executable that CmdStan itself compiled.

Prophet's wheel carries one. ``scripts/compare_with_cmdstan.py`` compares more.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from driver_runs import Runner

from pyxstan.engine.build import ALL_UNITS, StanProgram, build

PROPHET = importlib.util.find_spec("prophet")
EQUAL = [
    "sample num_samples=30 num_warmup=200 save_warmup=1",
    "sample num_samples=20 num_warmup=150 algorithm=hmc metric=dense_e",
    "sample num_samples=20 num_warmup=100 algorithm=hmc metric=unit_e",
    "sample num_samples=20 algorithm=fixed_param",
    "sample num_samples=10 num_warmup=10 adapt engaged=0 algorithm=hmc stepsize=.01",
    "optimize algorithm=lbfgs save_iterations=1",
    "optimize algorithm=bfgs jacobian=1",
    "optimize algorithm=newton iter=20",
    "laplace mode=mode.csv draws=20",
    "pathfinder num_paths=1 num_draws=20",
    "pathfinder num_paths=2 num_draws=20 psis_resample=0",
    "variational output_samples=20",
    "variational algorithm=fullrank output_samples=20",
    "log_prob constrained_params=mode.csv",
]


@pytest.mark.slow
@pytest.mark.skipif(PROPHET is None, reason="Prophet's wheel carries CmdStan's executable")
def test_numbers_equal_those_of_cmdstan(cache: Path, tmp_path: Path) -> None:
    assert PROPHET is not None
    assert PROPHET.origin is not None
    home = Path(PROPHET.origin).parent / "stan_model"
    version = subprocess.run(
        [home / "prophet_model.bin", "info"], capture_output=True, text=True, check=True
    ).stdout
    if int(re.findall(r"stan_version_minor = (\d+)", version)[0]) < 35:
        pytest.skip("random numbers changed with Stan 2.35")
    draw = np.random.default_rng(1)
    t = np.linspace(0, 1, 60)
    x = draw.normal(size=(60, 2))
    y = 1.5 * t + 0.2 + x @ [0.3, -0.2] + draw.normal(0, 0.1, 60)
    data = {
        "T": 60, "K": 2, "t": t.tolist(), "cap": [1.0] * 60, "S": 3, "t_change": [0.2, 0.4, 0.6],
        "X": x.tolist(), "y": y.tolist(), "sigmas": [1.0, 1.0], "tau": 0.05, "trend_indicator": 0,
        "s_a": [1.0, 1.0], "s_m": [0.0, 0.0],
    }  # fmt: skip
    ours = build(StanProgram(home / "prophet.stan"), ALL_UNITS)
    runners = []
    for name, executable in (("theirs", home / "prophet_model.bin"), ("ours", ours)):
        (tmp_path / name).mkdir()
        runners.append(Runner(executable, tmp_path / name, data))
    mode = "optimize jacobian=1 data file=data.json random seed=1 output file=mode.csv sig_figs=17"
    assert runners[0].start(mode).returncode == 0
    shutil.copy(tmp_path / "theirs" / "mode.csv", tmp_path / "ours")
    for words in EQUAL:
        theirs, mine = (runner(words, seed=3) for runner in runners)
        theirs.pop("path__", None)  # of Pathfinder, since Stan 2.36
        mine.pop("path__", None)
        assert list(theirs) == list(mine), words
        for name, values in theirs.items():
            np.testing.assert_array_equal(values, mine[name], f"{words}: {name}")
