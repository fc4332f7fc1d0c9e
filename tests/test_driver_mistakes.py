"""What the driver says when something goes wrong, and with what exit code."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from driver_runs import FREE, Runner, everything

from pyxstan.engine.build import build
from pyxstan.engine.doctor import COIN, COIN_DATA


@pytest.fixture
def run(cache: Path, tmp_path: Path) -> Runner:
    return everything(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("data file=data.json", "A method must be specified"),
        ("sample foo=1", "foo=1 is either mistyped or misplaced"),
        ("sample metric=dense_e", "method=sample algorithm=hmc metric=<list_element>"),
        ("guess", "guess is either mistyped or misplaced"),
        ("sample optimize", "optimize is either mistyped or misplaced"),
        ("method=guess", 'guess is not a valid value for "method"'),
        ("sample num_samples=-1", '-1 is not a valid value for "num_samples"'),
        ("sample num_samples=1.5", '1.5 is not a valid value for "num_samples"'),
        ("sample num_samples=99999999999", "not a valid value"),
        ("sample num_samples=", 'is not a valid value for "num_samples"'),
        ("sample adapt delta=1.5", "0 < delta < 1"),
        ("sample save_warmup=yes", "[0, 1, false, true]"),
        ("sample algorithm=hmc engine=dynamic", 'dynamic is not a valid value for "engine"'),
        ("sample algorithm=hmc engine=static int_time=0", "0 < int_time"),
        ("sample algorithm=hmc stepsize=1e400", 'not a valid value for "stepsize"'),
        ("sample random seed=-2", '-2 is not a valid value for "seed"'),
        ("sample output sig_figs=19", '19 is not a valid value for "sig_figs"'),
        ("sample num_threads=0", "num_threads > 0"),
    ],
)
def test_mistakes_in_arguments(run: Runner, words: str, message: str) -> None:
    said = run.refused(words)
    assert message in said
    assert "Failed to parse command arguments" in said
    assert not (run.folder / "output.csv").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("sample data file=none.json", "none.json"),
        ("sample data file=broken.json", "Error in JSON parsing"),
        ("sample data file=table.csv", ".json"),
        ("sample", "variable does not exist"),
        ("sample D init=none.json", "none.json"),
        ("sample D init=-1", "init"),
        ("sample D init=1e400", "1e400"),
        ("sample D init=inf", "init"),
        ("sample D init=nan", "nan"),
        ("sample D output file=./", 'Ill-formed output filename "./"'),
        ("sample num_chains=2 D output file=a.csv,./", 'Ill-formed output filename "./"'),
        ("sample num_chains=2 algorithm=hmc engine=static D", "num_chains"),
        ("sample num_chains=2 D init=none.json", "none_1.json"),
        ("sample num_warmup=0 D", "num_warmup=0"),
        ("sample adapt engaged=0 save_metric=1 D", "save_metric"),
        ("sample algorithm=hmc metric_file=short.json D", "mismatch in dimension"),
        ("sample num_chains=3 D output file=a.csv,b.csv", "a.csv,b.csv"),
        ("sample D output file=nowhere/out.csv", "nowhere/out.csv"),
        ("sample D output diagnostic_file=nowhere/out.csv", "nowhere/out.csv"),
        ("pathfinder num_paths=1 D output diagnostic_file=nowhere/x", "nowhere/x.json"),
        ("generate_quantities D", "fitted_params"),
        ("generate_quantities fitted_params=none.csv D", "none.csv"),
        ("generate_quantities fitted_params=table.csv D", "no column mu"),
        ("generate_quantities fitted_params=data.json D", "data.json"),
        ("laplace D", "mode"),
        ("laplace mode=short.json D", "short.json"),
        ("laplace mode=drawn.csv D", "written by sample"),
        ("log_prob D", "log_prob needs"),
        ("log_prob unconstrained_params=short.json D", "params_r"),
        ("log_prob unconstrained_params=few.json D", "the model has 14, the file 2"),
        ("log_prob constrained_params=short.json D", "short.json"),
    ],
)  # fmt: skip
def test_mistakes_in_files(run: Runner, words: str, message: str) -> None:
    run.write("short.json", {"inv_metric": [1.0]})
    run.write("few.json", {"params_r": [1.0, 2.0]})
    (run.folder / "broken.json").write_text('{"N": 3, ')
    (run.folder / "table.csv").write_text("lp__,nu\n1,2\n")
    (run.folder / "drawn.csv").write_text("# method = sample (Default)\nlp__,mu\n1,2\n")
    assert message in run.refused(words.replace("D", "data file=data.json", 1))


def test_an_input_is_never_overwritten(run: Runner) -> None:
    run("sample num_samples=5 num_warmup=20")
    before = (run.folder / "out.csv").read_bytes()
    said = run.refused(
        "generate_quantities fitted_params=out.csv data file=data.json output file=./out.csv"
    )
    assert "also an input" in said
    assert (run.folder / "out.csv").read_bytes() == before


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("words", "output"),
    [
        ("sample num_samples=2 num_warmup=2", "file=full"),
        ("sample num_samples=200 num_warmup=20", "file=full"),
        ("sample num_samples=2 num_warmup=2", "diagnostic_file=full"),
        ("sample num_samples=2 num_warmup=20 adapt save_metric=1", "file=out.csv"),
        ("sample num_samples=2 num_warmup=2", "save_cmdstan_config=1"),
        ("sample num_samples=2 num_warmup=2", "profile_file=full"),
        ("optimize", "file=full"),
        ("pathfinder num_paths=1 num_draws=5", "diagnostic_file=full.json"),
        ("variational iter=100 output_samples=3", "file=full"),
        ("log_prob unconstrained_params=free.json", "file=full"),
    ],
)
def test_full_disk_is_told(run: Runner, words: str, output: str) -> None:
    run.write("free.json", {"params_r": [0.1] * FREE})
    # links, so that names with endings and suffixes lead to the full device too
    for name in ("full.csv", "full.json", "out_metric.json", "output_config.json", "full"):
        (run.folder / name).symlink_to("/dev/full")
    said = run.refused(f"{words} data file=data.json random seed=1 output refresh=0 {output}")
    assert re.search("Cannot write .*(full|out_metric|output_config)", said)


def test_missing_unit_is_named(tmp_path: Path) -> None:
    alone = build(COIN, output=tmp_path / "coin")  # the one in the cache may have more
    said = Runner(alone, tmp_path, COIN_DATA).refused("optimize data file=data.json")
    assert "built without optimize" in said


LONG = (
    "sample num_samples=100000000 num_warmup=10 data file=data.json random seed=1 output refresh=0"
)


def wait_for(condition: Callable[[], bool]) -> bool:
    """Whether something happens within a minute."""
    for _ in range(600):
        if condition():
            return True
        time.sleep(0.1)
    return False


def test_interrupt_ends_the_run(run: Runner) -> None:
    command = [str(run.executable), *LONG.split()]
    with subprocess.Popen(command, cwd=run.folder, stdout=subprocess.DEVNULL) as process:
        output = run.folder / "output.csv"
        try:
            assert wait_for(lambda: output.exists() and output.stat().st_size > 100_000)
            process.send_signal(signal.SIGINT)
            assert process.wait(60) != 0
        finally:
            process.kill()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a service of Linux")
def test_chain_dies_with_its_parent(run: Runner) -> None:
    parent = f"{run.executable} {LONG} > /dev/null & echo $!; wait"
    environment = {**os.environ, "PYXSTAN_DIE_WITH_PARENT": "1"}
    with subprocess.Popen(
        ["/bin/sh", "-c", parent],
        cwd=run.folder,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    ) as shell:
        try:
            assert shell.stdout is not None
            chain = Path("/proc") / shell.stdout.readline().strip()
            output = run.folder / "output.csv"
            assert wait_for(lambda: output.exists() and output.stat().st_size > 100_000)
            assert chain.exists()
        finally:
            shell.kill()
        assert wait_for(lambda: not chain.exists() or "(zombie)" in (chain / "status").read_text())
