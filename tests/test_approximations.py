"""Approximations that Stan itself calls poor: the verdict says so, and ``--strict`` acts on it."""

from __future__ import annotations

import json
from functools import partialmethod
from pathlib import Path
from typing import Any

import cmdstanpy
import pytest
from invocation import run

import pyxstan
from pyxstan import inference_data

#: Method -> cmdstanpy's method that it calls, how to make that end too early, and the complaint.
POOR: dict[str, tuple[str, dict[str, Any], str]] = {
    "map": ("optimize", {"iter": 2}, "ran out of iterations"),
    "laplace": ("optimize", {"iter": 2}, "ran out of iterations"),
    "pathfinder": ("pathfinder", {"max_lbfgs_iters": 1}, "Pareto k"),
    "variational": ("variational", {"iter": 100}, "ELBO had not converged"),
}
#: A start far from the mode, for the optimiser to have a way to go.
INITS = {"B": 0.4, "sigma": 0.5}


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    """Measurements and instruments of a small simulated campaign."""
    data, _ = pyxstan.simulate(
        "concordance_t", seed=5, instruments=4, sources=6, variances="unknown"
    )
    data.to_frame().to_csv(tmp_path / "measurements.csv", index=False)
    data.instrument_frame().to_csv(tmp_path / "instruments.csv", index=False)
    return tmp_path


def cut_short(method: str, patch: pytest.MonkeyPatch) -> None:
    name, settings, _ = POOR[method]
    original = getattr(cmdstanpy.CmdStanModel, name)
    patch.setattr(cmdstanpy.CmdStanModel, name, partialmethod(original, **settings))


@pytest.mark.parametrize("method", POOR)
def test_a_poor_approximation_is_called_poor(
    method: str, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_short(method, monkeypatch)
    idata = pyxstan.fit(
        "concordance_t",
        pyxstan.concordance.ConcordanceData.from_table(
            desk / "measurements.csv", desk / "instruments.csv"
        ),
        method=method,
        draws=100,
        seed=1,
        inits=INITS,
        progress=False,
    )
    (complaint,) = json.loads(inference_data.attributes(idata)["approximation_problems"])
    assert POOR[method][2] in complaint
    verdict = pyxstan.verdict(idata)
    assert not verdict.good
    assert verdict.converged is False
    assert verdict.problems[0] == complaint
    assert verdict.line.startswith(f"{method}: an approximation, and a POOR one: {complaint}")
    assert pyxstan.summary(idata).attrs["verdict"] == verdict.line


def test_strict_counts_a_poor_approximation(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "fit", "concordance_t", desk / "measurements.csv", desk / "instruments.csv",
        "-o", desk / "out.nc", "--method", "variational", "--draws", "100", "--seed", "1",
    ]  # fmt: skip
    cut_short("variational", monkeypatch)
    assert run(words, capsys).status == 0
    assert run([*words, "--strict"], capsys).status == 4
    document = json.loads(run(["summary", desk / "out.nc", "--json"], capsys).out)
    assert document["converged"] is False
    assert document["good"] is False
    assert document["problems"][0] in document["verdict"]


def test_nothing_to_judge_is_null(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "fit", "concordance_t", desk / "measurements.csv", desk / "instruments.csv",
        "-o", desk / "out.nc", "--seed", "1", "--draws", "50", "--strict",
    ]  # fmt: skip
    for method in ("map", "laplace"):
        assert run([*words, "--method", method], capsys).status == 0
        document = json.loads(run(["summary", desk / "out.nc", "--json"], capsys).out)
        assert document["converged"] is None
        assert document["good"] is True
        assert document["problems"] == []
        assert document["verdict"] == f"{method}: an approximation, no convergence to judge"


def test_too_few_draws_is_false(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        "fit", "concordance_t", desk / "measurements.csv", desk / "instruments.csv",
        "-o", desk / "out.nc", "--seed", "1", "--chains", "1", "--warmup", "10", "--draws", "2",
    ]  # fmt: skip
    assert run(words, capsys).status == 0
    document = json.loads(run(["summary", desk / "out.nc", "--json"], capsys).out)
    assert document["converged"] is False
