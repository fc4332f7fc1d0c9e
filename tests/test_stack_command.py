"""`pyxstan stack` and the functions behind it: what they print, what they leave, how they end."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from invocation import Outcome, contents, run

import pyxstan
from pyxstan import fitting, inference_data, registry
from pyxstan.stacking import PosteriorSamples, several, stack

SAMPLER = ("--seed", "1", "--chains", "2", "--warmup", "200", "--draws", "400")
FILES = {
    "histogram.nc", "gaussian.nc", "table.csv", "population.png", "population.pdf",
    "objects.png", "objects.pdf",
}  # fmt: skip
HEAD = ["bin_low", "bin_high", "mean", "sd", "16%", "50%", "84%"]


def simulated(path: Path, shift: float = 0.0) -> Path:
    """Samples of 12 objects in a text file."""
    data, _ = pyxstan.simulate("stack_gaussian", seed=2, objects=12, samples=100)
    rows = [" ".join(f"{x + shift:.5f}" for x in data.of(i)[:, 0]) for i in range(12)]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    simulated(tmp_path / "samples.txt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(*more: object, file: str = "samples.txt") -> list[object]:
    return ["stack", file, 0.5, 3, 5, *SAMPLER, "--quiet", *more]


def good(arguments: list[object], capsys: pytest.CaptureFixture[str]) -> Outcome:
    outcome = run(arguments, capsys)
    assert outcome.status == 0, outcome.err
    if "--quiet" in arguments:
        assert outcome.err == ""
    return outcome


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the figures away."""
    for name in ("side_by_side", "objects"):
        monkeypatch.setattr(f"pyxstan.stacking.figures.{name}", lambda _: None)
    monkeypatch.setattr("pyxstan.figures.save", lambda *_: None)


def posterior(path: Path) -> Any:
    return inference_data.group(inference_data.read(path), "posterior")


@pytest.fixture(scope="module")
def fits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the command fits, in Python."""
    file = simulated(tmp_path_factory.mktemp("stack") / "samples.txt")
    data = PosteriorSamples.from_text(file, parameters="PhoIndex")
    return stack(data, 0.5, 3, 5, chains=2, warmup=200, draws=400, seed=1, progress=False)


@pytest.mark.usefixtures("blank_figures")
def test_a_folder_is_of_one_set_of_samples(
    desk: Path,
    fits: Mapping[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Results of other samples are not mixed in; those of the same ones are replaced."""
    folder = desk / "out"
    several.write(fits, folder)
    simulated(desk / "other.txt", shift=0.1)
    before = contents(folder)
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "unjudged", lambda *_, **__: pytest.fail("fitted before"))
        outcome = run(words("--name", "PhoIndex", "-o", "out", file="other.txt"), capsys)
    assert outcome.status == 2
    assert "out/histogram.nc: a result of other samples is there" in outcome.complaint
    assert contents(folder) == before
    alone = several.Stack(histogram=fits["histogram"])
    several.write(alone, folder)  # the same samples, without what is not fitted any more
    assert {path.name for path in folder.iterdir()} == FILES - {"gaussian.nc"}
    (folder / "gaussian.nc").write_text("mine")
    with pytest.raises(pyxstan.DataError, match=r"gaussian\.nc: another file of that name"):
        several.write(fits, folder)
    several.write(fits, folder, overwrite=True)
    assert {path.name for path in folder.iterdir()} == FILES


def test_verdicts_in_python(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the command has them, and logged where there is progress to be told."""
    data = PosteriorSamples.from_text("samples.txt", parameters="PhoIndex")
    found = stack(data, 0.5, 3, 5, chains=2, warmup=200, draws=400, seed=1)
    told = capsys.readouterr().err
    for name, verdict in found.verdicts.items():
        assert verdict == pyxstan.verdict(found[name])
        assert f"{name}: {verdict}" in told
    assert found.good is several.report(found)[1]


@pytest.mark.usefixtures("undrawn")
def test_selection(desk: Path, fits: Mapping[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """What is seldom detected below 1.75 is more frequent than it seems."""
    (desk / "seen.csv").write_text("x,probability\n0.5,0.2\n1.75,0.2\n1.751,1\n3,1\n")
    plain = inference_data.group(fits["gaussian"], "posterior")["mean"]
    good(words("-o", "corrected", "--selection", "seen.csv", "--name", "x"), capsys)
    corrected = posterior(desk / "corrected" / "gaussian.nc")["mean"]
    assert float(corrected.mean()) < float(plain.mean()) - 0.05
    outcome = run(words("--selection", "none.csv"), capsys)
    assert outcome.status == 2
    assert "none.csv" in outcome.complaint


@pytest.fixture
def evolving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty-four objects whose mean follows a covariate, as the command line writes them."""
    monkeypatch.chdir(tmp_path)
    data, truth = pyxstan.simulate("stack_regression", seed=4, objects=24, samples=60)
    registry.get("stack_regression").family.write(data, truth, tmp_path)
    return tmp_path


def test_covariates(
    evolving: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """The parent that follows them comes beside the others, and has a figure of its own."""
    truth = json.loads((evolving / "truth.json").read_text())
    known = pd.read_csv(evolving / "covariates.csv")
    follow = ["--covariates", "covariates.csv", "-o", "out"]
    out = good(words(*follow, file="samples.csv"), capsys).out
    folder = evolving / "out"
    figure = {"regression.png", "regression.pdf"}
    assert {path.name for path in folder.iterdir()} == FILES | {"regression.nc"} | figure
    (name,) = (column for column in known.columns if column != "object")
    assert f"mean at {name} = {known[name].mean():.6g}" in out
    table = pd.read_csv(folder / "table.csv", index_col=["parent", "quantity"])
    rows = table.loc["regression"]
    assert list(rows.index) == ["mean", "sd", f"slope {name}"]
    slope = rows.loc[f"slope {name}"]
    assert abs(slope["mean"] - np.ravel(truth["slope"])[0]) < 4 * slope["sd"]
    compared = out.partition("comparison, by object:")[2]
    for line in ("histogram ", "gaussian ", "regression "):
        assert f"\n{line}" in compared
    alone = ["--parent", "stack_regression"]
    request.getfixturevalue("undrawn")
    good(words(*follow, *alone, file="samples.csv"), capsys)
    there = pd.read_csv(folder / "table.csv")["parent"]
    assert list(dict.fromkeys(there)) == ["histogram", "regression"]


def test_covariates_that_will_not_do(
    evolving: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "unjudged", lambda *_, **__: pytest.fail("fitted before"))
    (evolving / "few.csv").write_text("object,z\n1,0.5\n")
    same = "".join(f"{k}.0,0.5\n" for k in range(1, 25))
    (evolving / "same.csv").write_text(f"object,z\n{same}")
    (evolving / "far.csv").write_text("PhoIndex,probability\n8,1\n9,1\n")
    for more, complaint in (
        (["--parent", "stack_regression"], "stack_regression needs covariates"),
        (["--covariates", "none.csv"], "none.csv"),
        (["--covariates", "few.csv"], "few.csv"),
        (["--covariates", "same.csv"], "covariate z is the same for all objects"),
        (["--selection", "far.csv"], "'1' has no sample where the selection detects anything, 8"),
    ):
        outcome = run(words(*more, "-o", "out", file="samples.csv"), capsys)
        assert outcome.status == 2
        assert complaint in outcome.complaint
        assert not (evolving / "out").exists()


def test_the_command_does_what_python_does(
    desk: Path, fits: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """And tells of its progress on standard error."""
    loud = [word for word in words("--name", "PhoIndex", "--prior", "uniform") if word != "--quiet"]
    outcome = good(loud, capsys)
    lines = outcome.err.splitlines()
    assert all(line.startswith("pyxstan: ") for line in lines)
    assert "pyxstan: stack_gaussian: 12 objects, PhoIndex 0.5 to 3" in lines
    assert {path.name for path in desk.iterdir()} == {"samples.txt", "samples_stack"}
    folder = desk / "samples_stack"
    assert {path.name for path in folder.iterdir()} == FILES
    for name, idata in fits.items():
        there = posterior(folder / f"{name}.nc")
        for variable, values in inference_data.group(idata, "posterior").data_vars.items():
            np.testing.assert_array_equal(there[variable], values)
    assert outcome.out.endswith("\nwrote samples_stack\n")
    assert outcome.out.startswith(several.report(fits)[0])
    text = (folder / "population.pdf").read_bytes()
    assert text.startswith(b"%PDF")
    table = pd.read_csv(folder / "table.csv")
    assert list(table["parent"]) == ["histogram"] * 5 + ["gaussian"] * 2
    assert list(table["quantity"]) == ["fraction"] * 5 + ["mean", "sd"]
    bins = table[table["parent"] == "histogram"]
    np.testing.assert_allclose(bins["bin_low"], [0.5, 1, 1.5, 2, 2.5])
    np.testing.assert_allclose(bins["bin_high"] - bins["bin_low"], 0.5)
    assert bins["mean"].sum() == pytest.approx(1, abs=1e-4)
    draws = posterior(folder / "gaussian.nc")
    for row, name in ((5, "mean"), (6, "sd")):
        values = draws[name].to_numpy().ravel()
        assert table["sd"][row] == pytest.approx(values.std(ddof=1), rel=1e-4)
        for q in ("2.5%", "16%", "50%", "84%", "97.5%"):
            assert table[q][row] == pytest.approx(np.percentile(values, float(q[:-1])), rel=1e-4)


def test_what_is_printed(fits: Mapping[str, Any]) -> None:
    text, is_good = several.report(fits)
    blocks = [block.splitlines() for block in text.split("\n\n")]
    assert [block[0] for block in blocks[:3]] == [
        "histogram: part of the population in bins of PhoIndex",
        "gaussian: PhoIndex",
        "comparison, by object:",
    ]
    assert blocks[0][1].split() == HEAD
    assert blocks[1][1].split() == HEAD[2:]
    fraction = fits["histogram"].posterior["fraction"].mean(("chain", "draw")).to_numpy()
    rows = [line.split()[1:] for line in blocks[0][2:]]
    np.testing.assert_allclose([float(row[2]) for row in rows], fraction, rtol=1e-3)
    np.testing.assert_allclose([float(row[0]) for row in rows], [0.5, 1, 1.5, 2, 2.5])
    assert [line.split()[0] for line in blocks[1][2:]] == ["mean", "sd"]
    compared = pyxstan.compare(fits)
    assert compared.attrs["verdict"] in blocks[2]
    elpd = {line.split()[0]: float(line.split()[1]) for line in blocks[2][2:4]}
    assert elpd == pytest.approx(compared["elpd_loo"].to_dict(), abs=0.01)
    for name, idata in fits.items():
        assert f"{name}: {pyxstan.verdict(idata)}" in blocks[3]
    assert is_good == all(pyxstan.verdict(idata).good for idata in fits.values())


def test_densities_of_the_parents_are_in_the_same_unit(fits: Mapping[str, Any]) -> None:
    """A histogram and a Gaussian that look alike predict alike: per unit of the parameter."""
    compared = pyxstan.compare(fits)
    assert abs(compared["elpd_diff"].iloc[1]) < 12 * np.log(2) / 2


@pytest.mark.usefixtures("blank_figures")
def test_other_parents_take_the_place_of_the_gaussian(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parents = ["--parent", "stack_student_t", "--parent", "stack_gamma"]
    out = good(words(*parents, "-o", "out"), capsys).out
    there = {path.name for path in (desk / "out").iterdir()}
    assert there == FILES - {"gaussian.nc"} | {"student_t.nc", "gamma.nc"}
    for line in ("student_t: x", "gamma: x"):
        assert f"\n{line}\n" in out
    with (desk / "out" / "table.csv").open() as file:
        rows = [(row["parent"], row["quantity"]) for row in csv.DictReader(file)]
    assert rows[5:8] == [("student_t", name) for name in ("location", "scale", "nu")]
    assert rows[8:10] == [("gamma", "shape"), ("gamma", "scale")]


@pytest.mark.usefixtures("undrawn")
def test_negative_numbers_are_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = simulated(tmp_path / "samples.txt", shift=-10)
    limits = ("-9.5", "-.7e1", "5", "-o", tmp_path / "new" / "folder", *SAMPLER, "--quiet")
    good(["stack", file, *limits], capsys)
    written = inference_data.read(tmp_path / "new" / "folder" / "gaussian.nc")
    attributes = inference_data.attributes(written)
    assert (attributes["low"], attributes["high"]) == (-9.5, -7.0)


@pytest.mark.usefixtures("undrawn")
def test_priors_of_the_objects_fits_are_divided_out(
    desk: Path, fits: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A prior above the population had drawn the objects up: without it they are lower."""
    flat = inference_data.group(fits["gaussian"], "posterior")["mean"]
    good(words("--prior", "normal(2.4, 0.6)", "-o", "out"), capsys)
    divided = posterior(desk / "out" / "gaussian.nc")["mean"]
    assert float(divided.mean()) < float(flat.mean()) - 0.03


@pytest.mark.usefixtures("undrawn")
def test_objects_without_a_sample_in_the_range(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (desk / "samples.txt").open("a") as file:
        file.write("7.5 8 9 10\n")
    outcome = run(words("-o", "out"), capsys)
    assert outcome.status == 2
    assert "object '13' has no sample in the range 0.5 to 3" in outcome.complaint
    assert not (desk / "out").exists()
    good(words("-o", "out", "--drop-empty"), capsys)
    for name in ("histogram", "gaussian"):
        idata = inference_data.read(desk / "out" / f"{name}.nc")
        assert inference_data.group(idata, "observed_data").sizes["object"] == 12


@pytest.mark.usefixtures("blank_figures")
def test_strict_ends_in_4_and_an_interrupt_keeps_the_results(
    desk: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is interrupted leaves them as they are."""
    short = words("--draws", "20", "-o", "out")
    loose, strict = run(short, capsys), run([*short, "--strict"], capsys)
    assert (loose.status, strict.status) == (0, 4)
    assert loose.out == strict.out
    assert "histogram: NOT CONVERGED: " in strict.out
    assert {path.name for path in (desk / "out").iterdir()} == FILES
    before = contents(desk)

    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "unjudged", interrupted)
    assert run(short, capsys).status == 130
    assert contents(desk) == before


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (["stack", "there_is_none.txt", 0.5, 3, 5], "there_is_none.txt: no such file"),
        (["stack", "samples.txt", 3, 0.5, 5], "range 3 to 0.5: expected low below high"),
        (["stack", "samples.txt", "nan", 3, 5], "range nan to 3: expected low below high"),
        (["stack", "samples.txt", 0.5, 3, 1], "option bins: 1 is not a whole number"),
        (["stack", "samples.txt", 0.5, 3, "ten"], "'ten' is not a valid int"),
        (["stack", "samples.txt", 0.5, "three", 5], "'three' is not a valid float"),
        (["stack", 0.5, 3, 5], "Missing argument"),
        (words("--parent", "stack_gausian"), "unknown model 'stack_gausian'; there are "),
        (words("--parent", "beta"), "beta is not one of stack_gaussian, "),
        (words("--parent", "stack_histogram"), "stack_histogram is not one of stack_gaussian, "),
        (words(*["--parent", "stack_beta"] * 2), "stack_beta is given twice"),
        (words("--prior", "cauchy(0, 1)"), "cauchy"),
        (words("--chains", "0"), "chains 0: expected a whole number of at least 1"),
        (words("--seed", "-1"), "seed -1: expected a whole number"),
        (words("-o", "samples.txt"), "can't be made a folder"),
        (words("-o", "samples.txt/folder"), "can't be made a folder"),
        (words("--no-such-option"), "--no-such-option"),
        (words(file="bad.txt"), "bad.txt"),
        (words(file="."), "."),
    ],
)
def test_bad_input_ends_in_one_line(
    changed: list[object], complaint: str, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "bad.txt").write_text("1.5 1.6 nan\n1.7 1.8 1.9\n")
    before = contents(desk)
    outcome = run(changed, capsys)
    assert outcome.status == 2
    assert complaint in outcome.complaint
    assert outcome.out == ""
    assert contents(desk) == before


def test_an_input_is_not_overwritten(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = desk / "samples_stack"
    folder.mkdir()
    (desk / "samples.txt").rename(folder / "table.csv")
    before = contents(desk)
    outcome = run(words("-o", folder, file="samples_stack/table.csv"), capsys)
    assert outcome.status == 2
    assert "an input, it would be overwritten" in outcome.complaint
    assert contents(desk) == before


def test_tables_are_not_overwritten(evolving: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = evolving / "out"
    folder.mkdir()
    (evolving / "seen.csv").write_text("PhoIndex,probability\n-9,0.5\n9,1\n")
    for option, file in (("--covariates", "covariates.csv"), ("--selection", "seen.csv")):
        (folder / "table.csv").write_bytes((evolving / file).read_bytes())
        before = contents(folder)
        outcome = run(words(option, "out/table.csv", "-o", "out", file="samples.csv"), capsys)
        assert outcome.status == 2
        assert "an input, it would be overwritten" in outcome.complaint
        assert contents(folder) == before


def test_parents_that_are_none() -> None:
    data = PosteriorSamples.from_arrays([[1.0, 2.0]] * 3)
    with pytest.raises(pyxstan.DataError, match="no parents, expected some of stack_gaussian"):
        stack(data, 0, 3, parents=())


def test_a_random_seed_is_one_for_all() -> None:
    data, _ = pyxstan.simulate("stack_gaussian", seed=2, objects=12, samples=100)
    found = stack(data, 0.5, 3, 5, chains=1, warmup=100, draws=20, progress=False)
    seeds = {int(inference_data.attributes(idata)["seed"]) for idata in found.values()}
    assert len(seeds) == 1
