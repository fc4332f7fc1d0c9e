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


@pytest.fixture
def told(desk: Path) -> Path:
    """What pyxstan was told, a word a line: in its place stands what writes it down."""
    (desk / "bin" / "pyxstan").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > told\n')
    return desk / "told"


def test_a_line_is_fitted(desk: Path) -> None:
    done = task(2, f"nothing of this\n{LINE} --draws 50 '-oout 2.nc'\nnor of this\n")
    assert done.returncode == 0, done.stderr
    assert inference_data.attributes(inference_data.read("out 2.nc"))["seed"] == 1


@pytest.mark.parametrize("flag", ["-o ", "-o", "--output ", "--output="])
def test_a_fit_that_is_there_is_left_alone(flag: str, told: Path) -> None:
    lines = f"nothing of this\n{LINE} {flag}out.nc\nnor of this\n"
    done = task(2, lines)
    assert done.returncode == 0, done.stderr
    assert told.read_text().split() == ["fit", *f"{LINE} {flag}out.nc".split()]
    told.unlink()
    Path("out.nc").write_bytes(b"the result of last week")
    again = task(2, lines)
    assert again.returncode == 0
    assert again.stdout == "out.nc is there already\n"
    assert not told.exists()
    assert Path("out.nc").read_bytes() == b"the result of last week"


@pytest.mark.parametrize("name", ['"out 1.nc"', r"out\ 1.nc", "'out 1.nc'"])
def test_names_with_spaces(name: str, told: Path) -> None:
    line = LINE.replace("table.csv", "'field 2.csv'")
    done = task(1, f"{line} -o {name}\n")
    assert done.returncode == 0, done.stderr
    words = LINE.replace("table.csv", "field_2.csv").split()
    assert told.read_text().splitlines() == [
        "fit", *(word.replace("_", " ") for word in words), "-o", "out 1.nc"
    ]  # fmt: skip
    Path("out 1.nc").touch()
    assert task(1, f"{line} -o {name}\n").stdout == "out 1.nc is there already\n"


def test_a_line_is_words_and_no_program(told: Path) -> None:
    evil = "$(touch gone) `touch gone` ; touch gone > gone"
    done = task(1, f"{LINE} -o out.nc {evil}\n")
    assert done.returncode == 0, done.stderr
    assert told.read_text().split() == ["fit", *f"{LINE} -o out.nc {evil}".split()]
    assert not Path("gone").exists()


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
