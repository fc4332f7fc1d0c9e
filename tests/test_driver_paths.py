"""Names with commas in the driver's command line, and what else CmdStan does with its words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from driver_runs import Runner, everything, read

from pyxstan.engine.toolchain import find_stan

SHORT = "sample num_samples=5 num_warmup=5"
DATA = "data file=data.json random seed=1"


@pytest.fixture
def run(cache: Path, tmp_path: Path) -> Runner:
    return everything(tmp_path)


def works(run: Runner, words: str) -> str:
    done = run.start(words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# Commas


@pytest.mark.parametrize("chains", [1, 2, 3])
def test_outputs_in_a_folder_with_commas(run: Runner, chains: int) -> None:
    folder = run.folder / "res,2024"
    folder.mkdir()
    precious = run.folder / "res.csv"
    precious.write_text("precious")
    works(
        run,
        f"{SHORT} num_chains={chains} {DATA} output file=res,2024/x.csv diagnostic_file=res,2024/d",
    )
    numbered = [""] if chains == 1 else [f"_{k + 1}" for k in range(chains)]
    assert {file.name for file in folder.iterdir()} == {
        f"{name}{n}.csv" for n in numbered for name in "xd"
    }
    assert precious.read_text() == "precious"
    works(run, f"optimize data file=data.json output file={folder}/o.csv save_cmdstan_config=1")
    assert {"o.csv", "o_config.json"} <= {file.name for file in folder.iterdir()}


def test_lists_of_files_in_folders_with_commas(run: Runner) -> None:
    (run.folder / "a,b").mkdir()
    (run.folder / "c").mkdir()
    works(run, f"{SHORT} num_chains=3 {DATA} output file=a,b/x.csv,c/y.csv,a,b/z.csv")
    assert sorted(file.name for file in (run.folder / "a,b").iterdir()) == ["x.csv", "z.csv"]
    assert [file.name for file in (run.folder / "c").iterdir()] == ["y.csv"]
    works(run, f"{SHORT} num_chains=2 {DATA} output file=p.csv,c/q.csv")  # a list as ever
    assert (run.folder / "p.csv").exists()
    assert (run.folder / "c" / "q.csv").exists()


def test_inputs_whose_names_have_commas(run: Runner) -> None:
    (run.folder / "a,b").mkdir()
    start = {"mu": 7.0}
    run.write("a,b/start,1.json", start)
    run.write("a,b/data,5.json", json.loads((run.folder / "data.json").read_text()))
    words = "sample num_samples=1 algorithm=fixed_param num_chains=2"
    works(run, f"{words} init=a,b/start,1.json data file=a,b/data,5.json output file=o.csv")
    assert read(run.folder / "o_1.csv")["mu"] == read(run.folder / "o_2.csv")["mu"] == 7
    run.write("a,b/many_1.json", {"mu": 1.0})
    run.write("a,b/many_2.json", {"mu": 2.0})
    for given in ("a,b/many.json", "a,b/many_1.json,a,b/many_2.json"):
        works(run, f"{words} init={given} data file=data.json output file=o.csv")
        assert read(run.folder / "o_1.csv")["mu"] == 1
        assert read(run.folder / "o_2.csv")["mu"] == 2
    metric = {"inv_metric": [2.0] * 14}
    run.write("a,b/metric.json", metric)
    works(run, f"{SHORT} algorithm=hmc metric_file=a,b/metric.json {DATA}")
    works(run, f"{SHORT} {DATA} output file=a,b/fit.csv sig_figs=17")
    works(
        run, "generate_quantities fitted_params=a,b/fit.csv data file=data.json output file=g.csv"
    )


# Other names


@pytest.mark.skipif(find_stan().version >= "2.36", reason="CmdStan reads it until 2.35")
def test_an_r_dump_of_any_name(run: Runner) -> None:
    (run.folder / "data.dump").write_text("N <- 2\ny <- c(1.5, 2.5)\ns <- 1.5\n")
    said = works(run, "optimize data file=data.dump")
    assert "R dump" in said
    (run.folder / "data.txt").write_text((run.folder / "data.json").read_text())
    assert "neither an R dump nor named .json" in run.refused("optimize data file=data.txt")


def test_newline_in_a_name(run: Runner) -> None:
    name = "two\nlines\t.csv"
    command = [*SHORT.split(), *DATA.split(), "output", f"file={name}", "save_cmdstan_config=1"]
    done = run.start_words(command)
    assert done.returncode == 0, done.stderr
    config = json.loads((run.folder / "two\nlines\t_config.json").read_text())
    assert config["output"]["file"] == name


# Threads


@pytest.mark.parametrize(
    ("environment", "words", "expected"),
    [
        ("3", "", "num_threads = 3 (Default)"),
        ("3", "num_threads=3", "num_threads = 3 (Default)"),
        ("1", "num_threads=2", "num_threads = 2"),
        ("3", "num_threads=2", "STAN_NUM_THREADS=3 but num_threads=2"),
        ("3", "num_threads=1", "STAN_NUM_THREADS=3 but num_threads=1"),
        ("many", "", "STAN_NUM_THREADS environment variable is 'many'"),
        ("0", "", "STAN_NUM_THREADS environment variable is '0'"),
        ("-2", "", "STAN_NUM_THREADS environment variable is '-2'"),
    ],
)
def test_threads_of_the_environment(
    run: Runner, environment: str, words: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAN_NUM_THREADS", environment)
    done = run.start(f"{SHORT} {DATA} {words}")
    assert expected in done.stdout + done.stderr
    assert done.returncode == (0 if "(Default)" in expected or environment == "1" else 1)


# Static integration time, and help


@pytest.mark.parametrize("metric", ["unit_e", "diag_e", "dense_e"])
def test_static_integration_time(run: Runner, metric: str) -> None:
    words = f"algorithm=hmc engine=static int_time=1.5 metric={metric}"
    drawn = run(f"sample num_samples=400 num_warmup=400 {words}")
    assert set(drawn["int_time__"]) == {1.5}
    assert "treedepth__" not in drawn
    assert np.log(drawn["tau"]).std() > 0
    assert run(f"sample num_samples=5 num_warmup=0 adapt engaged=0 {words} stepsize=0.1")
    default = run("sample num_samples=2 num_warmup=5 algorithm=hmc engine=static")
    assert default["int_time__"][0] == pytest.approx(2 * math.pi)


@pytest.mark.parametrize(
    ("words", "first"),
    [
        ("sample adapt help", "adapt"),
        ("sample adapt delta help", "delta=<double>"),
        ("sample algorithm=hmc engine=nuts help", "nuts"),
        ("sample algorithm=hmc engine=static int_time help", "int_time=<double>"),
        ("sample num_samples=3 adapt engaged=1 help", "adapt"),
        ("sample data help", "data"),
        ("output help", "output"),
        ("id help", "id=<unsigned int>"),
        ("optimize help id=3", "optimize"),
        ("method=sample help", "sample"),
        ("help sample", "Usage"),
    ],
)
def test_help_of_the_innermost_word(run: Runner, words: str, first: str) -> None:
    assert works(run, words).split()[0].rstrip(":") == first.split()[0]


def test_help_of_what_there_is_not(run: Runner) -> None:
    assert "foo is either mistyped or misplaced" in run.refused("sample foo help")
    said = works(run, "sample adapt help-all")
    assert "delta=<double>" in said
    assert "max_depth" not in said


def test_info_evaluates_the_density(run: Runner) -> None:
    assert "log_density = -" in works(run, "info data file=data.json")
    assert "log_density" not in works(run, "info")
