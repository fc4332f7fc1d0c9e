"""Every command as a shell runs it: what it prints where, what it leaves, how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from invocation import run

import pyxstan
from pyxstan import inference_data

#: Seconds of work, converged.
FIT = ("--seed", "1", "--chains", "4", "--warmup", "300", "--draws", "1000")


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Measurements and instruments of a small simulated campaign."""
    data, _ = pyxstan.simulate("concordance", seed=5, instruments=3, sources=6, variances="unknown")
    data.to_frame().to_csv(tmp_path / "measurements.csv", index=False)
    data.instrument_frame().to_csv(tmp_path / "instruments.csv", index=False)
    return tmp_path


def fitting(desk: Path, *words: object) -> list[object]:
    inputs = [desk / "measurements.csv", desk / "instruments.csv"]
    return ["fit", "concordance", *inputs, "-o", desk / "out.nc", *FIT, *words]


@pytest.mark.parametrize("quiet", [False, True])
def test_the_verdict_is_said_once(
    quiet: bool, desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(fitting(desk, *(["--quiet"] if quiet else [])), capsys)
    assert outcome.status == 0
    assert outcome.out.splitlines()[-1].startswith("converged: R-hat <= 1.0")
    assert "converged" not in outcome.err.lower()
    assert ("pyxstan: sampling: 4 chains" in outcome.err) != quiet


def test_the_tables_show_the_prior_influence(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(fitting(desk), capsys)
    head, *rows = outcome.out.splitlines()
    assert head.split()[-2:] == ["prior_influence", "unit"]
    constant = inference_data.group(inference_data.read(desk / "out.nc"), "constant_data")
    told = constant["prior_influence"].to_series()
    printed = {row.split("]")[0] + "]": row for row in rows if row.startswith("correction")}
    assert len(printed) == len(told) == 3
    for instrument, value in told.items():
        assert float(printed[f"correction[{instrument}]"].split()[-2]) == pytest.approx(
            value, rel=1e-3
        )
    whole = run(["summary", desk / "out.nc"], capsys).out
    assert "prior_influence" in whole.splitlines()[0]
    assert "nan" not in whole.lower()
    quantities = json.loads(run(["summary", desk / "out.nc", "--json"], capsys).out)["quantities"]
    for instrument, value in told.items():
        assert quantities[f"B[{instrument}]"]["prior_influence"] == pytest.approx(value)
    assert quantities["G[source 1]"]["prior_influence"] is None
