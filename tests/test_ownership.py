"""A folder holds the figures of one fit, and one simulation: nothing is mixed in or lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from invocation import contents, run

import pyxstan
from pyxstan import inference_data
from pyxstan.concordance import ConcordanceData

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    """Two models, the second of two data sets."""
    samples, _ = pyxstan.simulate("stack_gaussian", seed=1, objects=8, samples=50)
    found = {"stack": pyxstan.fit("stack_gaussian", samples, low=0.5, high=3, seed=1,
                                  progress=False)}  # fmt: skip
    for seed in (1, 2):
        data, _ = pyxstan.simulate("concordance", seed=seed, instruments=3, sources=4)
        found[f"concordance {seed}"] = pyxstan.fit(
            "concordance", data, variances="known", seed=1, progress=False
        )
    return found


def test_figures_of_one_fit(fits: dict[str, Any], tmp_path: Path) -> None:
    first = pyxstan.plot(fits["concordance 1"], tmp_path)
    before = contents(tmp_path)
    pyxstan.plot(fits["concordance 1"], tmp_path)  # the same again
    assert contents(tmp_path).keys() == before.keys()
    before = contents(tmp_path)
    for name, whose in (("concordance 2", "other data"), ("stack", "concordance")):
        with pytest.raises(pyxstan.DataError, match=f"a figure of a fit of {whose} is there"):
            pyxstan.plot(fits[name], tmp_path)
    assert contents(tmp_path) == before
    figures = pyxstan.plot(fits["stack"], tmp_path, overwrite=True)
    there = {path.stem for path in tmp_path.iterdir()}
    assert there == set(figures)
    assert there != set(first)


def test_figures_of_the_command(
    fits: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("stack", "concordance 1"):
        inference_data.write(fits[name], tmp_path / f"{name[:5]}.nc")
    assert run(["plot", tmp_path / "stack.nc", "-o", tmp_path / "f"], capsys).status == 0
    outcome = run(["plot", tmp_path / "conco.nc", "-o", tmp_path / "f"], capsys)
    assert outcome.status == 2
    assert "of a fit of stack_gaussian is there" in outcome.complaint
    data, _ = pyxstan.simulate("concordance", seed=1, instruments=3, sources=4)
    assert isinstance(data, ConcordanceData)
    data.to_frame().to_csv(tmp_path / "t.csv", index=False)
    words = ["fit", "concordance", tmp_path / "t.csv", "--set", "tau=.05", "--quiet", "--plots",
             tmp_path / "f", "-o", tmp_path / "new.nc"]  # fmt: skip
    assert run(words, capsys).status == 2
    assert not (tmp_path / "new.nc").exists()  # refused before there was anything to do
    assert run([*words, "--overwrite", "--set", "variances=known"], capsys).status == 0


def test_simulations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["simulate", "concordance", "--set=instruments=3", "--set=sources=4", "-o", tmp_path]
    for seed in (1, 1):
        assert run([*words, "--seed", seed], capsys).status == 0
    before = contents(tmp_path)
    outcome = run([*words, "--seed", 2], capsys)
    assert outcome.status == 2
    assert "the truth of another simulation is there" in outcome.complaint
    assert contents(tmp_path) == before
    assert run([*words, "--seed", 2, "--overwrite"], capsys).status == 0
    assert contents(tmp_path) != before
