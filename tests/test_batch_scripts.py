"""The job array's script: which fit a line of the list asks for, and when it is left alone.

In place of Slurm stands its one command that the script calls, running what it is told to here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pyxstan import inference_data

SCRIPT = Path(__file__).parents[1] / "scripts" / "slurm" / "fit_array.sh"
TABLE = "instrument,source,log_flux,sigma\npn,A,1.01,0.02\nMOS1,A,1.03,0.02\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tables, and the two commands that the script calls."""
    commands = tmp_path / "bin"
    commands.mkdir()
    for name, line in (
        ("srun", 'shift; exec "$@"'),
        ("pyxstan", f'exec "{sys.executable}" -m pyxstan "$@"'),
    ):
        (commands / name).write_text(f"#!/bin/sh\n{line}\n")
        (commands / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    Path("table.csv").write_text(TABLE)
    Path("field 2.csv").write_text(TABLE)
    return tmp_path


def task(number: int, lines: str) -> subprocess.CompletedProcess[str]:
    Path("fits.txt").write_text(lines)
    return subprocess.run(
        ["bash", str(SCRIPT), "fits.txt"],
        capture_output=True,
        text=True,
        env={**os.environ, "SLURM_ARRAY_TASK_ID": str(number)},
    )


LINE = "concordance table.csv --set tau=0.05 --seed 1 --quiet"


@pytest.mark.parametrize("flag", ["-o ", "-o", "--output ", "--output="])
def test_a_fit_that_is_there_is_left_alone(flag: str, desk: Path) -> None:
    lines = f"nothing of this\n{LINE} {flag}out.nc\nnor of this\n"
    done = task(2, lines)
    assert done.returncode == 0, done.stderr
    assert inference_data.attributes(inference_data.read("out.nc"))["seed"] == 1
    Path("out.nc").write_bytes(b"the result of last week")
    again = task(2, lines)
    assert again.returncode == 0
    assert again.stdout == "out.nc is there already\n"
    assert Path("out.nc").read_bytes() == b"the result of last week"


def test_names_with_spaces(desk: Path) -> None:
    line = LINE.replace("table.csv", "'field 2.csv'")
    for number, name in ((1, '"out 1.nc"'), (2, r"out\ 2.nc"), (3, "'out 3.nc'")):
        done = task(number, f"{line} -o {name}\n" * 3)
        assert done.returncode == 0, done.stderr
        assert Path(f"out {number}.nc").exists()


@pytest.mark.parametrize("evil", ["$(touch gone)", "`touch gone`", "; touch gone", "> gone"])
def test_a_line_is_words_and_no_program(evil: str, desk: Path) -> None:
    done = task(1, f"{LINE} -o out.nc {evil}\n")
    assert done.returncode == 2
    assert not Path("gone").exists()
    assert not Path("out.nc").exists()


def test_the_status_is_that_of_the_fit(desk: Path) -> None:
    done = task(1, "concordance missing.csv -o out.nc\n")
    assert done.returncode == 2
    assert done.stderr == "pyxstan: missing.csv: no such file\n"


@pytest.mark.parametrize(
    ("number", "lines", "words"),
    [
        (2, f"{LINE} -o out.nc\n", "fits.txt has nothing in line 2"),
        (1, "  \n", "fits.txt has nothing in line 1"),
        (1, f"{LINE} -o 'out.nc\n", "fits.txt: line 1 can't be split into words"),
    ],
)
def test_lines_that_ask_for_nothing(number: int, lines: str, words: str, desk: Path) -> None:
    done = task(number, lines)
    assert done.returncode == 2
    assert words in done.stderr
    assert done.stdout == ""
    assert not Path("out.nc").exists()
