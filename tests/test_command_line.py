"""Every command as a shell runs it: what it prints where, what it leaves, how it ends."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from invocation import Outcome, contents, run

import pyxstan
from pyxstan import command_line, fitting, inference_data, registry
from pyxstan.engine.doctor import COIN

#: Seconds of work, converged.
SAMPLER = ("--seed", "1", "--chains", "4", "--warmup", "300", "--draws", "500")
COMMANDS = (
    "cache", "compare", "compile", "describe", "doctor", "fit", "list", "plot", "scan",
    "sensitivity", "simulate", "stack", "summary", "trials",
)  # fmt: skip
FIGURES = {f"{name}.{kind}" for name in ("corrections", "fluxes", "residuals")
           for kind in ("png", "pdf")}  # fmt: skip


def simulated(folder: Path) -> Path:
    """Measurements and instruments of a small campaign."""
    data, _ = pyxstan.simulate("concordance", seed=5, instruments=3, sources=6, variances="unknown")
    data.to_frame().to_csv(folder / "measurements.csv", index=False)
    data.instrument_frame().to_csv(folder / "instruments.csv", index=False)
    return folder


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    return simulated(tmp_path)


def fitting_words(desk: Path, *words: object) -> list[object]:
    inputs = [desk / "measurements.csv", desk / "instruments.csv"]
    return ["fit", "concordance", *inputs, "-o", desk / "out.nc", *SAMPLER, *words]


@pytest.fixture(scope="module")
def result(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fit of the small campaign, by Python, on disk."""
    desk = simulated(tmp_path_factory.mktemp("result"))
    data = pyxstan.concordance.ConcordanceData.from_table(
        desk / "measurements.csv", desk / "instruments.csv"
    )
    idata = pyxstan.fit("concordance", data, seed=1, warmup=300, draws=500, progress=False)
    inference_data.write(idata, desk / "out.nc")
    return desk / "out.nc"


def good(words: Sequence[object], capsys: pytest.CaptureFixture[str]) -> Outcome:
    """The outcome of a command that must succeed."""
    outcome = run(words, capsys)
    assert outcome.status == 0, outcome.err
    return outcome


# Help, list, describe


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_help_lists_the_commands(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    text = good(words, capsys).out
    listed = text.partition("Commands:\n")[2]
    assert tuple(line.split()[0] for line in listed.splitlines()) == COMMANDS
    # each line says what the command does
    assert all(len(line.split()) > 3 for line in listed.splitlines())


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_its_options(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = good([name, "--help"], capsys).out
    command = command_line.commands.commands[name]
    assert text.startswith(f"Usage: pyxstan {name}")
    assert command.help
    assert command.help.split("\n")[0][:40] in text
    for parameter in command.params:
        for flag in parameter.opts:
            if flag.startswith("-"):
                assert flag in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert version("pyxstan") in good(["--version"], capsys).out


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    lines = good(["list"], capsys).out.splitlines()
    found = dict(line.split(maxsplit=1) for line in lines)
    assert found == {model.name: model.purpose for model in registry.models().values()}


@pytest.mark.parametrize("name", list(registry.models()))
def test_describe(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert good(["describe", name], capsys).out == f"{pyxstan.describe(name)}\n"


# fit


@pytest.mark.parametrize("quiet", [False, True])
def test_the_verdict_is_said_once(
    quiet: bool, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = good(fitting_words(desk, *(["--quiet"] if quiet else [])), capsys)
    assert outcome.out.splitlines()[-1].startswith("converged: R-hat <= 1.0")
    assert "converged" not in outcome.err.lower()
    assert ("pyxstan: sampling: 4 chains" in outcome.err) != quiet


def test_fit_is_the_fit_of_python(
    desk: Path, result: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = good(fitting_words(desk, "--strict"), capsys)
    assert f"wrote {desk / 'out.nc'}\n" in outcome.out
    mine, theirs = inference_data.read(desk / "out.nc"), inference_data.read(result)
    for name, values in inference_data.group(theirs, "posterior").data_vars.items():
        np.testing.assert_array_equal(inference_data.group(mine, "posterior")[name], values)
    assert {path.name for path in desk.iterdir()} == {
        "measurements.csv", "instruments.csv", "out.nc",
    }  # fmt: skip


def test_fit_takes_options_and_priors(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--set=variances=unknown", "--set", "tau=0.02", "--method=map",
             "--prior=sigma2=inv_gamma(3, 0.005)", "--inits=0.5"]  # fmt: skip
    outcome = good(fitting_words(desk, *words), capsys)
    attrs = inference_data.attributes(inference_data.read(desk / "out.nc"))
    assert attrs["method"] == "map"
    assert json.loads(attrs["options"]).items() >= {"variances": "unknown", "tau": 0.02}.items()
    assert json.loads(attrs["priors"])["sigma2"] == "inv_gamma(3, 0.005)"
    assert json.loads(attrs["inits"]) == 0.5
    assert attrs["seed"] == 1
    assert outcome.out.splitlines()[-1] == "map: an approximation, no convergence to judge"


@pytest.mark.usefixtures("blank_figures")
def test_fit_draws_the_figures(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = good(fitting_words(desk, "--plots", desk / "figures"), capsys)
    assert f"wrote {desk / 'out.nc'} and figures in {desk / 'figures'}\n" in outcome.out
    assert {path.name for path in (desk / "figures").iterdir()} == FIGURES


def test_figures_that_cannot_be_written_end_in_3(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file has come in the way during the fit, which is kept and named."""
    fitted = fitting.unjudged

    def meanwhile(*data: Any, **how: Any) -> Any:
        idata = fitted(*data, **how)
        (desk / "figures").write_text("in the way")
        return idata

    monkeypatch.setattr(fitting, "unjudged", meanwhile)
    outcome = run(fitting_words(desk, "--plots", desk / "figures", "--quiet"), capsys)
    assert outcome.status == 3
    assert f"figures is a file); the fit itself is in {desk / 'out.nc'}" in outcome.complaint
    assert "posterior" in inference_data.group_names(inference_data.read(desk / "out.nc"))
    assert (desk / "figures").read_text() == "in the way"


def test_strict_ends_in_4_and_keeps_the_result(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = fitting_words(desk, "--draws", "20")
    loose, strict = run(short, capsys), run([*short, "--strict"], capsys)
    assert (loose.status, strict.status) == (0, 4)
    assert loose.out == strict.out
    assert loose.out.splitlines()[-1].startswith("NOT CONVERGED: ")
    assert not pyxstan.verdict(inference_data.read(desk / "out.nc")).good


def test_fit_that_stan_gives_up_ends_in_3(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (desk / "out.nc").write_bytes(b"the result of last week")
    outcome = run(fitting_words(desk, "--inits", "1e9", "--quiet"), capsys)
    assert outcome.status == 3
    assert outcome.out == ""
    assert "Stan stopped: " in outcome.complaint
    assert (desk / "out.nc").read_bytes() == b"the result of last week"


def test_interrupted_fit_ends_in_130(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "unjudged", interrupted)
    before = contents(desk)
    outcome = run(fitting_words(desk), capsys)
    assert outcome.status == 130
    assert outcome.err.split() == ["pyxstan:", "interrupted"]
    assert contents(desk) == before


def test_a_long_table_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good(["simulate", "concordance", "-o", tmp_path, "--set=sources=50"], capsys)
    inputs = [tmp_path / "measurements.csv", tmp_path / "instruments.csv"]
    out = good(
        ["fit", "concordance", *inputs, "-o", tmp_path / "out.nc", *SAMPLER, "--quiet"], capsys
    ).out
    assert len(out.splitlines()) == 1 + 60 + 3
    assert "... and 3 more: pyxstan summary shows them all\n" in out
    whole = good(["summary", tmp_path / "out.nc"], capsys).out
    assert len(whole.splitlines()) == 1 + 3 * 13 + 2 * 50 + 1


# summary, plot


def test_summary_shows_everything(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head, *rows, last = good(["summary", result], capsys).out.splitlines()
    idata = inference_data.read(result)
    table = pyxstan.summary(idata)
    assert head.split() == list(table.columns)
    assert len(rows) == len(table)
    for row, label in zip(rows, table.index, strict=True):
        assert row.startswith(f"{label} ")
        assert float(row.removeprefix(label).split()[0]) == pytest.approx(
            table.loc[label, "mean"], rel=1e-3
        )
    assert last == pyxstan.verdict(idata).line


def test_summary_for_machines(result: Path, capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(good(["summary", result, "--json"], capsys).out)
    idata = inference_data.read(result)
    assert document.keys() == {
        "model", "verdict", "good", "converged", "problems", "quantities",
    }  # fmt: skip
    assert document["model"] == "concordance"
    assert document["verdict"] == pyxstan.verdict(idata).line
    assert document["good"] is True
    assert document["converged"] is True
    assert document["problems"] == []
    table = pyxstan.summary(idata)
    told = pd.DataFrame.from_dict(document["quantities"], orient="index")
    assert list(told.index) == list(table.index)
    numbers = table.columns.drop("unit")
    pd.testing.assert_frame_equal(
        told[numbers].astype(float), table[numbers], check_exact=False, rtol=1e-9
    )
    assert list(told["unit"]) == list(table["unit"])


def test_the_tables_show_the_prior_influence(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head, *rows = good(fitting_words(desk), capsys).out.splitlines()
    assert head.split()[-2:] == ["prior_influence", "unit"]
    constant = inference_data.group(inference_data.read(desk / "out.nc"), "constant_data")
    told = constant["prior_influence"].to_series()
    printed = {row.split("]")[0] + "]": row for row in rows if row.startswith("correction")}
    assert len(printed) == len(told) == 3
    for instrument, value in told.items():
        shown = float(printed[f"correction[{instrument}]"].split()[-2])
        assert shown == pytest.approx(value, rel=1e-3)
    whole = good(["summary", desk / "out.nc"], capsys).out
    assert "prior_influence" in whole.splitlines()[0]
    assert "nan" not in whole.lower()
    document = json.loads(good(["summary", desk / "out.nc", "--json"], capsys).out)
    quantities = document["quantities"]
    for instrument, value in told.items():
        assert quantities[f"B[{instrument}]"]["prior_influence"] == pytest.approx(value)
    assert quantities["G[source 1]"]["prior_influence"] is None


def test_plot(result: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "new" / "figures"
    out = good(["plot", result, "-o", folder], capsys).out
    assert {path.name for path in folder.iterdir()} == FIGURES
    names = sorted({name.split(".")[0] for name in FIGURES})
    assert sorted(out.splitlines()) == [f"wrote {folder / name}.png and .pdf" for name in names]
    assert all((folder / name).stat().st_size > 5000 for name in FIGURES)


# simulate, compile, doctor


def test_simulated_data_are_what_fit_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["simulate", "concordance", "--seed", "7", "--set=instruments=3", "--set=sources=4"]
    out = good([*words, "-o", tmp_path / "a"], capsys).out
    names = ("measurements.csv", "instruments.csv", "truth.json")
    assert out.splitlines() == [f"wrote {tmp_path / 'a' / name}" for name in names]
    good([*words, "-o", tmp_path / "b"], capsys)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    given = ["--truth", tmp_path / "a" / "truth.json"]
    good([*words, *given, "--seed", "8", "-o", tmp_path / "b"], capsys)
    assert (tmp_path / "a" / names[2]).read_text() == (tmp_path / "b" / names[2]).read_text()
    assert contents(tmp_path / "a") != contents(tmp_path / "b")
    inputs = [tmp_path / "a" / name for name in names[:2]]
    good(["fit", "concordance", *inputs, "-o", tmp_path / "out.nc", *SAMPLER], capsys)
    truth = json.loads((tmp_path / "a" / "truth.json").read_text())
    B = inference_data.group(inference_data.read(tmp_path / "out.nc"), "posterior")["B"]
    off = (B.mean(("chain", "draw")) - truth["B"]) / B.std(("chain", "draw"))
    assert (np.abs(off) < 4).all()


def test_compile_models(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert good(["compile", "concordance"], capsys).out == "concordance: compiled\n"
    out = good(["compile"], capsys).out
    assert out.splitlines() == [f"{name}: compiled" for name in registry.models()]
    assert run(["compile", "beta_"], capsys).complaint.startswith("unknown model 'beta_'")


def test_compile_a_program(coin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    executable = tmp_path / "mine"
    outcome = good(["compile", COIN.stan_file, "-o", executable], capsys)
    assert outcome.out == f"{executable}\n"
    done = subprocess.run([executable, "info"], capture_output=True, text=True, check=True)
    assert "stan_version_major = 2" in done.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("mine.stan",),
        ("concordance", "-o", "mine"),
        ("mine.stan", "other.stan", "-o", "mine"),
        ("-o", "mine"),
    ],
)
def test_compile_takes_models_or_one_program(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(["compile", *words], capsys)
    assert outcome.status == 2
    assert outcome.complaint == "compile takes MODEL ..., or one FILE.stan with -o EXE"


def test_doctor(coin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = good(["doctor"], capsys).out
    for name in ("C++ compiler", "Stan", "stanc", "cmdstanpy", "cache", "models", "test fit"):
        assert name in out
    for name in registry.models():
        assert name in out


def test_doctor_of_a_sick_machine(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/compiler")
    outcome = run(["doctor"], capsys)
    assert outcome.status == 2
    assert "/nonexistent/compiler" in outcome.out
