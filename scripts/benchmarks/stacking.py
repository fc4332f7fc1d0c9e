"""Effective draws per CPU second on stacks: pyxstan beside PosteriorStacker.

    python scripts/benchmarks/stacking.py --peers-python PEERS/bin/python [--repeats 3]
    python scripts/benchmarks/stacking.py --scale [--sizes 1000 10000 100000] [--figure COST.png]

Data: 30 and 300 objects x 1,000 samples; population Gaussian 1.8 +- 0.3, errors of 0.1 to 0.6,
range 0.5 to 3, 10 bins. Both have PosteriorStacker's priors: mean uniform on
[lo, lo + 3 (hi - lo)],
sd uniform on [0, 3 (hi - lo)], fractions Dirichlet(1).

pyxstan: the smallest bulk ESS (ArviZ) over the parameters, per CPU second of the whole process
tree of a process that fits this one model: start, imports, reading, preparation, warm-up, draws
and results. The Stan program is compiled beforehand. ``long`` is ten times the draws.

PosteriorStacker is run as a user runs it, and fits both models in one go. Its draws are weighted:
ESS is Kish's effective number of them, (sum w)^2 / sum w^2, which grants it that they are
independent otherwise. Its CPU time is followed from outside: a model is charged with the start of
the program (until the folder of its first model is there) and with its own sampling (from its
folder's appearance until its results are written); the figures that it draws are on nobody's
account. That is what a run of one model alone would cost, without figures. The same with the
figures, the whole run for both models, is printed beside.

Posteriors: difference of the means in standard deviations, and ratio of those less one, at most
over the parameters.

Peers, in a virtual environment of their own: ``posteriorstacker==0.6.3 ultranest six`` (the 0.6.4
on PyPI lacks its module).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests")]

import measure  # noqa: E402
from references.stacking import simulated  # noqa: E402

MODELS = {"stack_gaussian": "gauss", "stack_histogram": "flex10"}
THEIR_PRIORS = {
    "stack_gaussian": {"mean": "uniform(0.5, 8)", "sd": "uniform(0, 7.5)"},
    "stack_histogram": {},
}
TICK = os.sysconf("SC_CLK_TCK")


def pyxstan_once(
    model: str, samples: Path, draws: int, seed: int, priors: dict[str, str], memory: bool = False
) -> tuple[measure.Usage, np.ndarray, float, dict[str, Any]]:
    """Cost, draws (all, parameters), smallest bulk ESS, and what was spent on what."""
    import arviz as az

    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "draws.npz"
        usage = measure.run(
            [
                sys.executable, str(HERE / "stacking_contenders.py"), model, str(samples),
                str(output), "--draws", str(draws), "--seed", str(seed),
                "--priors", json.dumps(priors),
            ],
            environment={"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            memory=memory,
        )  # fmt: skip
        with np.load(output) as file:
            marks = json.loads(str(file["marks"])) | {"divergences": int(file["diverging"])}
            found = [file[name] for name in ("mean", "sd", "fraction") if name in file]
    columns = np.concatenate([x.reshape(*x.shape[:2], -1) for x in found], axis=2)
    ess = float(az.ess(az.convert_to_dataset({"x": columns}))["x"].min())
    return usage, columns.reshape(-1, columns.shape[2]), ess, marks


def posteriorstacker_once(python: str, samples: Path, folder: Path) -> dict[str, Any]:
    """Weighted draws of both models, and the CPU seconds of each as told above."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "samples.txt").write_text(samples.read_text())
    program = Path(python).parent / "posteriorstacker.py"
    process = subprocess.Popen(
        [python, str(program), "samples.txt", "0.5", "3", "10", "--name", "PhoIndex"],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
    )
    events: dict[str, float] = {}
    while True:
        cpu = _cpu(process.pid)
        for model in MODELS.values():
            out = folder / f"samples.txt_out_{model}"
            if out.is_dir():
                events.setdefault(f"{model} begins", cpu)
            if (out / "info" / "results.json").is_file():
                events.setdefault(f"{model} ends", cpu)
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.01)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"PosteriorStacker ended with {process.returncode}")
    whole = usage.ru_utime + usage.ru_stime
    start = min(events.values())
    found: dict[str, Any] = {"whole": whole}
    for name, model in MODELS.items():
        file = folder / f"samples.txt_out_{model}" / "chains" / "weighted_post.txt"
        table = np.loadtxt(file, skiprows=1)
        weights, draws = table[:, 0], table[:, 2:]
        own = events.get(f"{model} ends", whole) - events[f"{model} begins"]
        found[name] = {
            "draws": draws,
            "weights": weights / weights.sum(),
            "ess": float(weights.sum() ** 2 / (weights**2).sum()),
            "cpu": start + own,
        }
    return found


def _cpu(pid: int) -> float:
    """CPU seconds of a process and of those it has waited for."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICK


def compare(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print the table of 30 and 300 objects."""
    figures: dict[str, Any] = {}
    print("| objects | model | run | pyxstan ESS | CPU s | ESS per CPU s | PosteriorStacker ESS "
          "| CPU s | ESS per CPU s | ratio | means off by (sd) | sds off by |")  # fmt: skip
    print("|" + "---|" * 12)
    with tempfile.TemporaryDirectory() as scratch:
        for objects in arguments.objects:
            rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
            for repeat in range(arguments.repeats):
                seed = arguments.seed + repeat
                samples = Path(scratch) / f"samples-{objects}-{seed}.txt"
                np.savetxt(samples, np.array(simulated(objects, 1000, seed)))
                if repeat == 0:  # compiles the Stan program
                    pyxstan_once("stack_histogram", samples, 10, seed, {})
                theirs = posteriorstacker_once(
                    arguments.peers_python, samples, Path(scratch) / f"run-{objects}-{seed}"
                )
                for model in MODELS:
                    other = theirs[model]
                    w = other["weights"]
                    mean = w @ other["draws"]
                    sd = np.sqrt(w @ (other["draws"] - mean) ** 2)
                    for run, draws in (("short", 1000), ("long", 1000 * arguments.long)):
                        usage, ours, ess, marks = pyxstan_once(
                            model, samples, draws, seed, THEIR_PRIORS[model]
                        )
                        off = float(np.abs((ours.mean(axis=0) - mean) / sd).max())
                        wide = float(np.abs(ours.std(axis=0) / sd - 1).max())
                        rates = ess / usage.cpu_seconds, other["ess"] / other["cpu"]
                        row = (ess, usage.cpu_seconds, rates[0], other["ess"], other["cpu"],
                               rates[1], rates[0] / rates[1], off, wide)  # fmt: skip
                        rows.setdefault((model, run), []).append(row)
                        parts = {k: round(v, 2) for k, v in marks.items()}
                        print(f"  {objects} objects, {model}, {run}: {parts}", file=sys.stderr)
                print(f"  whole run of PosteriorStacker: {theirs['whole']:.1f} CPU s",
                      file=sys.stderr)  # fmt: skip
            for (model, run), found in rows.items():
                m = [statistics.median(column) for column in zip(*found, strict=True)]
                print(f"| {objects} | {model} | {run} | {m[0]:.0f} | {m[1]:.2f} | {m[2]:.0f} "
                      f"| {m[3]:.0f} | {m[4]:.2f} | {m[5]:.0f} | {m[6]:.0f} | {m[7]:.3f} "
                      f"| {m[8]:.1%} |", flush=True)  # fmt: skip
                figures[f"{objects} {model} {run}"] = found
    return figures


def scale(arguments: argparse.Namespace) -> dict[str, Any]:
    """Print cost and memory against the number of objects, 200 samples each."""
    figures: dict[str, Any] = {}
    print("| objects | model | min bulk ESS | wall s | CPU s | peak GB | divergences |")
    print("|" + "---|" * 7)
    with tempfile.TemporaryDirectory() as scratch:
        for objects in arguments.sizes:
            samples = Path(scratch) / "samples.npy"
            np.save(samples, np.array(simulated(objects, 200, arguments.seed)))
            for model in MODELS:
                usage, _, ess, marks = pyxstan_once(
                    model, samples, 1000, arguments.seed, {}, memory=True
                )
                print(f"| {objects} | {model} | {ess:.0f} | {usage.wall_seconds:.1f} "
                      f"| {usage.cpu_seconds:.1f} | {usage.peak_bytes / 1e9:.2f} "
                      f"| {marks['divergences']} |", flush=True)  # fmt: skip
                print(f"  { ({k: round(v, 2) for k, v in marks.items()}) }", file=sys.stderr)
                figures[f"{objects} {model}"] = [usage.wall_seconds, usage.cpu_seconds,
                                                 usage.peak_bytes, ess]  # fmt: skip
    return figures


def draw(figures: dict[str, Any], path: Path) -> None:
    """CPU seconds against the number of objects, beside a cost that is linear in it."""
    from pyxstan.figures import blank

    figure = blank(4.6, 3.4)
    axes = figure.add_subplot()
    for model, marker in zip(MODELS, "os", strict=True):
        costs = {
            int(key.split()[0]): each[1] for key, each in figures.items() if key.endswith(model)
        }
        axes.loglog(list(costs), list(costs.values()), marker, label=model)
    ends = np.array([min(costs), max(costs)])
    axes.loglog(ends, costs[ends[1]] * ends / ends[1], ":", color="0.5", label="linear")
    axes.set(xlabel="objects of 200 samples", ylabel="CPU time (s)")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=160)


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers-python", help="Python of PosteriorStacker's environment")
    parser.add_argument("--objects", type=int, nargs="+", default=[30, 300])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--long", type=int, default=10, help="in units of 4 x 1,000 draws")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", action="store_true", help="many objects, pyxstan alone")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--output", type=Path, help="JSON file for all the figures")
    parser.add_argument("--figure", type=Path, help="file to draw what --scale found in")
    arguments = parser.parse_args(words)
    if not arguments.scale and arguments.peers_python is None:
        parser.error("--peers-python: expected the Python of PosteriorStacker's environment")
    figures = scale(arguments) if arguments.scale else compare(arguments)
    if arguments.scale and arguments.figure is not None:
        draw(figures, arguments.figure)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
