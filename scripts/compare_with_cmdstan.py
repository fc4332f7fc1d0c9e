"""Compare pyxstan's driver with a real CmdStan executable of the same Stan program.

CmdStan itself is not on PyPI, but Prophet's wheels carry one program that CmdStan compiled
(``prophet/stan_model/prophet_model.bin``, beside ``prophet.stan``; CmdStan 2.37 in the wheels 1.2
to 1.5). Compile the same program with ``pyxstan compile prophet.stan -o EXE`` and run

    python scripts/compare_with_cmdstan.py PROPHET_MODEL_BIN EXE

Every run of ``cmdstan_cases.txt`` is done with both, each in a folder of its own. Exit code,
messages, the names of the files and what is in them (configuration, columns, draws to the last
digit, comments) are compared; dates, timings and versions are left out. A line is printed per run,
with what differs below it; the exit code is the number of runs that differ.

Where Stan's versions differ, so do the results: Stan's own changes and CmdStan's other words for an
error are to be told apart by eye. ``--numbers`` leaves out the words.
"""

from __future__ import annotations

import argparse
import csv
import difflib
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

COMMON = "data file=data.json random seed=1234 output sig_figs=18"

#: Lines that hold a date, a timing, a version or the name of the executable.
VOLATILE = re.compile(
    "start_datetime|stan_(major_|minor_|patch_)?version|stanc_version|stancflags|Elapsed Time"
    r"|seconds \((Warm-up|Sampling|Total|Pathfinders?|PSIS)\)|Gradient evaluation took"
    "|leapfrog steps per transition|evaluations: |Usage: |help-all|Informational Message"
)
#: Columns that later versions of Stan added.
NEW_COLUMNS = ("path__", "converged__")

Result = dict[str, str]


def main() -> int:
    """Do all runs, or those that are named, and report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("reference", type=Path, help="executable of CmdStan's")
    parser.add_argument("ours", type=Path, help="executable of pyxstan's")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of runs")
    parser.add_argument("--keep", type=Path, help="folder that keeps all outputs")
    parser.add_argument("--numbers", action="store_true", help="compare files and numbers alone")
    parser.add_argument("--lines", type=int, default=6, help="differences to print of a run")
    options = parser.parse_args()
    different = 0
    with tempfile.TemporaryDirectory() as scratch:
        root = (options.keep or Path(scratch)).absolute()
        executables = {"reference": options.reference, "ours": options.ours}
        write_inputs(options.reference.absolute(), root / "inputs")
        for name, words in read_cases().items():
            if not any(part in name for part in options.only):
                continue
            results = [
                run(executable.absolute(), words, root / "inputs", root / side / name)
                for side, executable in executables.items()
            ]
            if options.numbers:
                results = [without_words(result) for result in results]
            found = list(differences(results[0], results[1]))
            different += bool(found)
            print(f"{'DIFFERS' if found else 'same   '} {name}: {words}", flush=True)
            for line in found[: options.lines]:
                print(f"          {line[:200]}")
            if len(found) > options.lines:
                print(f"          ... and {len(found) - options.lines} more")
    return min(different, 125)


def read_cases() -> dict[str, str]:
    """The words of each run, by its name."""
    text = Path(__file__).with_name("cmdstan_cases.txt").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name: words.strip() for name, words in (line.split(":", 1) for line in lines)}


def run(executable: Path, words: str, inputs: Path, folder: Path) -> Result:
    """Run in a folder of its own: exit code, what was said, and the files written, by name."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(inputs, folder)
    (folder / "a.b").mkdir()
    command = [str(executable), *re.sub(r"\bD\b", COMMON, words).split()]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=60, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return {"exit code": "does not end"}
    result = {"exit code": str(done.returncode), "stdout": done.stdout, "stderr": done.stderr}
    for file in sorted(folder.rglob("*")):
        name = file.relative_to(folder)
        if file.is_file() and not (inputs / name).exists():
            result[str(name)] = file.read_text(errors="replace")
    return result


def without_words(result: Result) -> Result:
    """Exit code, and of each file what follows the comments at its top."""
    return {
        name: "\n".join(after_header(text))
        for name, text in result.items()
        if name not in ("stdout", "stderr") and not name.endswith("_config.json")
    }


def after_header(text: str) -> list[str]:
    """The lines from the first on that is no comment."""
    lines = steady(text)
    first = next((i for i, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[first:]


def differences(one: Result, two: Result) -> Iterator[str]:
    """What differs, file by file."""
    if set(one) != set(two):
        yield f"files: {sorted(set(one) - set(two))} against {sorted(set(two) - set(one))}"
    for name in one:
        if name in two:
            for line in text_differences(steady(one[name]), steady(two[name])):
                yield f"{name}: {line}"


def text_differences(one: list[str], two: list[str]) -> Iterator[str]:
    """The lines of text that differ, and the first of the rows of numbers."""
    # apart, as one line more in the header would shift all rows
    texts = [[line for line in lines if not is_row(line)] for lines in (one, two)]
    for line in difflib.unified_diff(texts[0], texts[1], lineterm="", n=0):
        if not line.startswith(("---", "+++", "@@")):
            yield line
    rows = [[line for line in lines if is_row(line)] for lines in (one, two)]
    if len(rows[0]) != len(rows[1]):
        yield f"{len(rows[0])} rows against {len(rows[1])}"
    for number, (a, b) in enumerate(zip(*rows, strict=False), 1):
        if a != b:
            pairs = [(x, y) for x, y in zip(numbers(a), numbers(b), strict=False) if x != y]
            size = max((abs(x - y) / max(abs(x), abs(y)) for x, y in pairs), default=0)
            yield f"row {number} of {len(rows[0])}, relative {size:.2g}: {a[:60]} | {b[:60]}"
            return


def steady(text: str) -> list[str]:
    """The lines of a text that change neither from run to run nor with Stan's version."""
    lines = [line for line in text.splitlines() if not VOLATILE.search(line)]
    if any("time_in_seconds" in line for line in lines):
        lines = [re.sub(r"^(\d+),[^,]*,", r"\1,", line) for line in lines]
    for column in NEW_COLUMNS:
        header = next((line.split(",") for line in lines if f",{column}," in line), [])
        if header:
            place = header.index(column)
            cells = [line.split(",") for line in lines]
            lines = [
                ",".join(c[:place] + c[place + 1 :] if len(c) == len(header) else c) for c in cells
            ]
    return lines


def is_row(line: str) -> bool:
    """Whether a line is a row of numbers."""
    try:
        return "," in line and bool(numbers(line))
    except ValueError:
        return False


def numbers(line: str) -> list[float]:
    """The numbers of a row."""
    return [float(x) for x in line.split(",")]


def write_inputs(reference: Path, folder: Path) -> None:
    """Write what the runs read: data, starting values, metrics, a sample and modes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    draw = random.Random(1)
    size, changes = 100, 5
    time = [i / (size - 1) for i in range(size)]
    extra = [[draw.gauss(0, 1), draw.gauss(0, 1)] for _ in time]
    trend = [1.5 * t + 0.2 + 0.3 * a - 0.2 * b for t, (a, b) in zip(time, extra, strict=True)]
    data = {
        "T": size, "K": 2, "t": time, "cap": [1.0] * size, "S": changes, "X": extra,
        "y": [value + draw.gauss(0, 0.1) for value in trend], "tau": 0.05, "trend_indicator": 0,
        "t_change": [0.1 + 0.15 * i for i in range(changes)], "sigmas": [1.0, 1.0],
        "s_a": [1.0, 1.0], "s_m": [0.0, 0.0],
    }  # fmt: skip
    init = {"k": 1.0, "m": 0.5, "delta": [0.01] * changes, "sigma_obs": 0.3, "beta": [0.1, 0.2]}
    diagonal = [0.5 + 0.1 * i for i in range(changes + 5)]
    dense = [[x if i == j else 0.01 for j in range(len(diagonal))] for i, x in enumerate(diagonal)]
    files: dict[str, object] = {
        "data": data,
        "lacking": {name: value for name, value in data.items() if name != "tau"},
        "impossible": {**data, "tau": -1.0},
        "init": init,
        "part": {"k": 1.0, "sigma_obs": 0.3},
        "outside": {**init, "sigma_obs": -1.0},
        "start_1": init,
        "start_2": {**init, "k": 2.0},
        "diag": {"inv_metric": diagonal},
        "other": {"inv_metric": [2.0] * len(diagonal)},
        "met_1": {"inv_metric": diagonal},
        "met_2": {"inv_metric": [2.0] * len(diagonal)},
        "dense": {"inv_metric": dense},
        "short": {"inv_metric": [1.0, 1.0]},
        "free": {"params_r": [0.1 * i for i in range(len(diagonal))]},
        "free_short": {"params_r": [0.1, 0.2]},
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    (folder / "broken.json").write_text('{"T": 3, "K": ')
    (folder / "foreign.csv").write_text("lp__,mu\n-1,0.5\n-2,0.25\n")
    dump = (
        "k <- 1.0\nm <- 0.5\ndelta <- c(.01,.01,.01,.01,.01)\nsigma_obs <- .3\nbeta <- c(.1,.2)\n"
    )
    (folder / "init.R").write_text(dump)
    for name, words in {
        "draws.csv": "sample num_samples=20 num_warmup=200",
        "mode.csv": "optimize jacobian=1",
        "mode0.csv": "optimize",
        "iterations.csv": "optimize jacobian=1 save_iterations=1",
    }.items():
        command = [str(reference), *f"{words} {COMMON} file={name}".split()]
        subprocess.run(command, cwd=folder, check=True, capture_output=True)
    with (folder / "mode.csv").open() as file:
        mode = next(csv.DictReader(line for line in file if not line.startswith("#")))
    best = {name: float(mode[name]) for name in ("k", "m", "sigma_obs")}
    vectors = {
        name: [float(mode[f"{name}.{i + 1}"]) for i in range(count)]
        for name, count in (("delta", changes), ("beta", 2))
    }
    (folder / "mode.json").write_text(json.dumps({**best, **vectors}))


if __name__ == "__main__":
    sys.exit(main())
