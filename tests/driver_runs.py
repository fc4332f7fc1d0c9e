"""Run an executable through CmdStan's command line, and read what it writes."""

from __future__ import annotations

import csv
import json
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pyxstan.engine.build import ALL_UNITS, StanProgram, build

PROGRAMS = Path(__file__).parent / "programs"
#: Includes a file that includes another, and has external C++ of two files.
NO_PARAMETERS = StanProgram(
    PROGRAMS / "no_parameters.stan", (PROGRAMS / "included",), PROGRAMS / "no_parameters.hpp"
)

#: Data of ``everything.stan``, and how many unconstrained parameters it has.
Y = [0.5, 2.5, 1.0, 3.0, 2.0]
SD = 1.5
FREE = 14

Table = dict[str, NDArray[np.float64]]


def read(file: Path) -> Table:
    """Columns of a CSV file."""
    rows = list(csv.reader(x for x in file.read_text().splitlines() if not x.startswith("#")))
    values = np.array(rows[1:], dtype=float).reshape(len(rows) - 1, len(rows[0]))
    return dict(zip(rows[0], values.T, strict=True))


def comments(file: Path) -> list[str]:
    """Comments of a CSV file."""
    return [line[1:].strip() for line in file.read_text().splitlines() if line.startswith("#")]


def numbers(file: Path) -> list[str]:
    """The lines of a CSV file that hold its columns and numbers."""
    return [line for line in file.read_text().splitlines() if not line.startswith("#")]


class Runner:
    """Runs an executable in a folder of its own."""

    def __init__(self, executable: Path, folder: Path, data: object) -> None:
        self.executable, self.folder = executable, folder
        self.write("data.json", data)

    def write(self, name: str, content: object) -> None:
        """Write a JSON file."""
        (self.folder / name).write_text(json.dumps(content))

    def start(self, words: str) -> subprocess.CompletedProcess[str]:
        """Run with the words of a command line, whatever comes of it."""
        return self.start_words(words.split())

    def start_words(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        """Run with words that may have blanks."""
        command = [str(self.executable), *words]
        return subprocess.run(
            command, cwd=self.folder, capture_output=True, text=True, check=False, timeout=120
        )

    def __call__(self, words: str, output: str = "", seed: int = 1) -> Table:
        """Run with data, a seed and full precision; the columns of ``out.csv``."""
        done = self.start(
            f"{words} data file=data.json random seed={seed} "
            f"output file=out.csv sig_figs=17 refresh=0 {output}"
        )
        assert done.returncode == 0, done.stdout + done.stderr
        file = self.folder / "out.csv"
        return read(file) if file.exists() else {}

    def refused(self, words: str) -> str:
        """The message of a run that must fail: not silently, and without a crash."""
        done = self.start(words)
        assert done.returncode == 1, done.stdout + done.stderr
        assert done.stderr.strip()
        return done.stderr


def everything(folder: Path) -> Runner:
    """The program that has parameters of all shapes, with every method and its data."""
    executable = build(StanProgram(PROGRAMS / "everything.stan"), ALL_UNITS)
    return Runner(executable, folder, {"N": len(Y), "y": Y, "s": SD})
