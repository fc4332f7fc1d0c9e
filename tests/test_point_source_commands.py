"""Commands of point sources: what they write, say and refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from invocation import Outcome, contents, run

import pyxstan
from pyxstan.point_source import (
    PointSourceData,
    Potential,
    PriorMap,
    Smoothing,
    detection,
    potential,
    scan,
    trials,
    write_prior_map,
)
from pyxstan.point_source.workflow import write

EVENTS = 1500


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data, truth = pyxstan.simulate("point_source", seed=3, events=EVENTS, prior_radius=4.0)
    path = tmp_path_factory.mktemp("made")
    write(data, truth, path)
    write_prior_map(PriorMap.gaussian(100.0, 20.0, 30.0, nside=16), path / "wide.fits")
    (path / "sources.csv").write_text("ra[deg],dec[deg]\n40,12\n200,-30\n")
    return path


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files, in a working directory of the test's own."""
    for file in made.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def data(folder: Path) -> PointSourceData:
    return PointSourceData.read(folder / "samples.yaml")


def well(outcome: Outcome) -> Outcome:
    assert outcome.status == 0, outcome.err
    return outcome


def test_scan(folder: Path, data: PointSourceData, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["scan", "samples.yaml", "--nside", 16, "--prior-map", "wide.fits", "-o", "scan.fits"]
    said = well(run([*words, "--plots", "maps"], capsys))
    wide = PriorMap.gaussian(100.0, 20.0, 30.0, nside=16)
    expected = scan(data, {"wide": wide}, nside=16)
    table = Table.read(folder / "scan.fits")
    np.testing.assert_allclose(table["TS"], expected.maxima.ts, atol=1e-5)
    np.testing.assert_allclose(table["TS_wide"], expected.with_prior["wide"], rtol=1e-4, atol=1e-4)
    assert f"wrote scan.fits: {len(table)} pixels" in said.out
    best = expected.hottest("prior")
    assert f"hottest with prior: ra {np.degrees(best.ra):.3f}" in said.out
    assert "without a smearing matrix" in said.err
    assert "events count out to" in said.err
    names = ("prior", "ts", "ts_prior", "ts_wide", "wide")
    files = sorted(path.name for path in (folder / "maps").iterdir())
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("png", "pdf"))


def test_settings_of_a_scan(
    folder: Path, data: PointSourceData, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["scan", "samples.yaml", "--nside", 8, "-o", "scan.fits"]
    well(run([*words, "--set", "floor=0.1", "--gamma-range", "2,3", "--max-dec", 40], capsys))
    table = Table.read(folder / "scan.fits")
    expected = scan(
        data, nside=8, smoothing=Smoothing(floor=0.1), gamma=(2.0, 3.0), max_dec=40
    ).maxima
    np.testing.assert_allclose(table["TS"], expected.ts, atol=1e-6)
    assert not np.allclose(expected.ts, scan(data, nside=8, max_dec=40).maxima.ts, atol=1e-2)
    assert 2 <= np.nanmin(table["GAMMA"]) <= np.nanmax(table["GAMMA"]) <= 3
    p = []
    for seed in (1, 2, 1):
        well(run([*words, "--skies", 2, "--seed", seed], capsys))
        p.append(np.array(Table.read(folder / "scan.fits")["MLOG10P"]))
    np.testing.assert_array_equal(p[0], p[2])
    assert (p[0] != p[1]).any()


def test_one_sample_by_options(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the YAML file has it."""
    words = ["--nside", 8, "--max-dec", 40, "-o"]
    well(run(["scan", "samples.yaml", *words, "a.fits"], capsys))
    settings = ("effective_area=effective_area.csv", "livetime=333 d", "prior_map=prior_map.fits")
    given = [word for setting in settings for word in ("--set", setting)]
    well(run(["scan", "events.csv", *given, *words, "b.fits"], capsys))
    one, other = (np.array(Table.read(folder / f"{name}.fits")["TS_prior"]) for name in "ab")
    np.testing.assert_allclose(one, other)


def test_trials_go_on(
    folder: Path, data: PointSourceData, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["trials", "samples.yaml", "--nside", 16, "--seed", 4, "-o", "trials.csv"]
    well(run([*words, "-n", 2], capsys))
    first = (folder / "trials.csv").read_text()
    said = well(run([*words, "-n", 4], capsys))
    assert (folder / "trials.csv").read_text().startswith(first)
    found = pd.read_csv(folder / "trials.csv", comment="#")
    expected = trials(data, 4, nside=16, seed=4)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-8)
    assert "4 trials in trials.csv: TS of the hottest pixel with the prior's part above" in said.out
    other = run([*words, "-n", 4, "--set", "floor=2"], capsys)
    assert other.status == 2
    assert "holds trials of other data or settings" in other.complaint


def test_trials_with_a_source(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["trials", "samples.yaml", "--nside", 16, "-n", 3, "-o", "trials.csv"]
    source = ["--inject", 40, "--gamma", 2.0, "--ra", 120, "--dec", -15]
    well(run([*words, *source], capsys))
    found = pd.read_csv(folder / "trials.csv", comment="#")
    np.testing.assert_allclose(found["true_dec"], -15)
    assert (found["ts"] > 50).all()


def test_trials_of_a_catalogue(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--set", "effective_area=effective_area.csv", "--set", "livetime=333 d"]
    words = ["trials", "events.csv", *given, "--set", "catalogue=sources.csv", "-n", 3]
    said = well(run([*words, "-o", "empty.csv"], capsys))
    assert "TS of the catalogue above" in said.out
    well(run([*words, "--inject", 30, "-o", "full.csv"], capsys))
    empty, full = (pd.read_csv(folder / f"{n}.csv", comment="#") for n in ("empty", "full"))
    assert full["ts"].min() > empty["ts"].max()


def test_sensitivity(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = []

    def kept(data: PointSourceData, dec: float, *rest: float, **settings: Any) -> Potential:
        assert (dec, rest) == (15.0, (2.5,))
        assert settings["smoothing"] == Smoothing(floor=0.5)
        results.append(potential(data, dec, *rest, **settings))
        return results[0]

    monkeypatch.setattr(detection, "potential", kept)
    words = ["sensitivity", "samples.yaml", "--dec", 15, "--background", 60, "--trials", 3]
    words += ["--seed", 3, "--gamma", 2.5, "--set", "floor=0.5", "-o", "potential.csv"]
    said = well(run(words, capsys))
    found = pd.read_csv(folder / "potential.csv")
    (expected,) = results
    assert len(expected.null.ts) == 60
    np.testing.assert_allclose(found["ns"], expected.ns, rtol=1e-9)
    np.testing.assert_allclose(found["flux"], expected.flux, rtol=1e-9)
    np.testing.assert_allclose(found["ts"], expected.thresholds, rtol=1e-6)
    assert list(found.columns) == ["dec", "gamma", "what", "ts", "ns", "flux", "unit"]
    assert f"declination 15 deg\n{expected}\nwrote potential.csv" in said.out


SCAN, TRIALS = ["scan", "samples.yaml", "--nside", 8], ["trials", "samples.yaml", "--nside", 8]
SENSITIVITY = ["sensitivity", "samples.yaml", "--dec", 10]
ONE = [
    "scan", "events.csv", "--nside", 8, "--set", "effective_area=effective_area.csv", "--set",
    "livetime=9 d",
]  # fmt: skip
BAD = {
    "negative skies": ([*SCAN, "--skies", -1], "--skies"),
    "negative seed": ([*SCAN, "--seed", -1], "--seed"),
    "gamma of one end": ([*SCAN, "--gamma-range", "2"], "--gamma-range 2: expected two numbers"),
    "gamma in words": ([*SCAN, "--gamma-range", "soft,hard"], "--gamma-range soft,hard"),
    "gamma off the grid": ([*SCAN, "--gamma-range", "1,3.1"], "a multiple of 0.25 apart"),
    "nside": ([*SCAN, "--nside", 9], "nside 9: expected a power of two"),
    "declination": ([*SCAN, "--max-dec", 100], "--max-dec"),
    "an option of the fit": ([*SCAN, "--set", "trials=3"], "--set trials: no such option"),
    "floor": ([*SCAN, "--set", "floor=0"], "floor is 0, expected above 0"),
    "floor in words": ([*SCAN, "--set", "floor=low"], "option floor: 'low' is not a number"),
    "an option of samples": ([*SCAN, "--set", "livetime=9"], "option livetime: samples.yaml says"),
    "no prior map": ([*SCAN, "--prior-map", "none.fits"], "none.fits: no such file"),
    "a map twice": (
        [*SCAN, "--prior-map", "wide.fits", "--prior-map", "./wide.fits"],
        "wide.fits: there is a 'wide' already",
    ),
    "a map of the name of the data's": (
        [*SCAN, "--prior-map", "prior.fits"], "prior.fits: there is a 'prior' already"
    ),
    "a map of the name of a column": (
        [*ONE, "--prior-map", "ts.fits"], "ts.fits: there is a 'ts' already"
    ),
    "a map of the name of another's column": (
        [*ONE, "--prior-map", "wide.fits", "--prior-map", "TS_wide.fits"],
        "TS_wide.fits: there is a 'ts_wide' already",
    ),
    "a scan of a catalogue": (
        [*ONE, "--set", "catalogue=sources.csv"], "a catalogue's positions are known"
    ),
    "no events": (["scan", "none.csv", *ONE[2:]], "none.csv: no such file"),
    "a folder that isn't there": ([*SCAN, "-o", "none/scan.fits"], "its folder none does not"),
    "no trials": ([*TRIALS, "-n", 0], "--count"),
    "injected below zero": ([*TRIALS, "--inject", -3], "-3, expected a number from 0 up"),
    "a position of nothing": ([*TRIALS, "--ra", 3, "--dec", 3], "--inject NS is missing"),
    "half a position": ([*TRIALS, "--inject", 3, "--ra", 3], "both ra and dec"),
    "beyond the pole": (
        [*TRIALS, "--inject", 3, "--ra", 3, "--dec", 95], "dec is 95 deg, expected -90 to 90"
    ),
    "a source nowhere": (
        ["trials", *ONE[1:], "--inject", 3], "or a prior map to draw them from, is missing"
    ),
    "ends of gamma": ([*TRIALS, "--gamma-range", "1,3.1"], "a multiple of 0.25 apart"),
    "a spectral index": ([*TRIALS, "--inject", 3, "--gamma", "nan"], "gamma is nan"),
    "sensitivity beyond the pole": ([*SENSITIVITY, "--dec", -95], "dec is -95 deg"),
    "sensitivity of no skies": ([*SENSITIVITY, "--background", 0], "--background"),
    "sensitivity of a unit": ([*SENSITIVITY, "--unit", "kg"], "unit 'kg' is none of a flux"),
    "sensitivity nowhere": (SENSITIVITY[:2], "--dec"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), BAD.values(), ids=BAD)
def test_bad_commands(
    words: list[object], said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("prior", "ts", "TS_wide"):
        (folder / f"{name}.fits").write_bytes((folder / "wide.fits").read_bytes())
    before = contents(folder)
    outcome = run(words if "-o" in words else [*words, "-o", "out.csv"], capsys)
    assert outcome.status == 2
    assert said in outcome.err.splitlines()[-1]
    assert outcome.err.splitlines()[-1].startswith("pyxstan: ")
    assert contents(folder) == before


@pytest.mark.parametrize("command", ["scan", "trials", "sensitivity"])
@pytest.mark.parametrize(
    "output", ["samples.yaml", "events.csv", "effective_area.csv", "prior_map.fits", "wide.fits"]
)
def test_no_input_is_overwritten(
    command: str, output: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    words: list[object] = [command, "samples.yaml", "-o", output]
    words += ["--dec", 3] if command == "sensitivity" else []
    if output == "wide.fits" and command != "scan":
        words += ["--set", "prior_map=wide.fits"]
    elif output == "wide.fits":
        words += ["--prior-map", "./wide.fits"]
    assert "an input, it would be overwritten" in run(words, capsys).complaint
    assert contents(folder) == before


@pytest.mark.parametrize("output", ["events.csv", "effective_area.csv", "samples.yaml"])
def test_a_fit_takes_the_place_of_no_input(
    output: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (folder / output).read_bytes()
    refused = run(["fit", "point_source", "samples.yaml", "-o", output], capsys)
    assert refused.status == 2
    assert refused.complaint == f"{output}: an input, it would be overwritten by the result"
    words = ["fit", "point_source", "events.csv", "--set", "effective_area=effective_area.csv"]
    refused = run([*words, "--set", "livetime=9 d", "-o", "effective_area.csv"], capsys)
    assert refused.complaint.startswith("effective_area.csv: an input")
    assert (folder / output).read_bytes() == before
