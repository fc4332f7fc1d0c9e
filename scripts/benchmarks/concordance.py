"""Effective draws per CPU second on the concordance: pyxstan beside NumPyro and a Gibbs sampler.

    python scripts/benchmarks/concordance.py --peers-python PEERS/bin/python [--repeats 3]
    python scripts/benchmarks/concordance.py --only gibbs numpyro --peers-python ...

Data: simulated from the model, 13 instruments x 100 sources, tau = 0.05, sigma_i^2 ~
Inv-Gamma(3, 0.005), G ~ Normal(-25, 1); log-t with nu = 3 for ``concordance_t``. Every contender
has the same priors.

Figure: the smallest bulk ESS (ArviZ) over B, G and sigma, per CPU second of the whole process
tree: start, imports, compilation (but pyxstan's Stan program, compiled beforehand by a short fit),
warm-up, draws and writing them. ``long`` is a run of ``--long`` times the draws; of NumPyro's, the
cost of the same process with a single warm-up iteration and draw is taken off, which leaves
warm-up and sampling without start and compilation. Nothing is taken off the others.

The contenders run in turn within each repeat, so that what else the machine does meets them all;
a ratio is formed within its repeat, and the median over the repeats is printed.

Peers, in a virtual environment of their own: ``numpyro==0.22.0 jax==0.10.2`` (Python 3.11+).
This process and pyxstan's: the package itself (ArviZ for the ESS).
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1] / "tests")]

import measure  # noqa: E402
from references.simulated import Simulated, simulated_concordance  # noqa: E402


@dataclass(frozen=True)
class Contender:
    """A program, its arguments, and which Python runs it."""

    label: str
    program: str
    arguments: tuple[str, ...] = ()
    compiles_each_time: bool = False


@dataclass
class Result:
    """Figures of one contender, one a repeat."""

    ess: list[float] = field(default_factory=list)
    r_hat: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)


def contenders(model: str) -> list[Contender]:
    metric = "full" if model == "concordance" else "block"
    name = "dense" if model == "concordance" else "dense (B, G, sigma2), diagonal xi"
    return [
        Contender("pyxstan", "pyxstan"),
        Contender("block Gibbs, NumPy", "gibbs"),
        *(
            Contender(
                f"NumPyro NUTS {name}, {method} chains",
                "numpyro",
                ("--metric", metric, "--chain-method", method),
                compiles_each_time=True,
            )
            for method in ("sequential", "parallel")
        ),
        Contender(
            "NumPyro NUTS diagonal, sequential chains",
            "numpyro-diagonal",
            ("--metric", "diagonal"),
            compiles_each_time=True,
        ),
    ]


def write_data(data: Simulated, folder: Path) -> None:
    """Write the data as arrays for the peers and as CSV tables for pyxstan."""
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "measurements.npz", y=data.y, b=data.b, tau=data.tau)
    with (folder / "measurements.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["instrument", "source", "log_flux"])
        for i, j in np.argwhere(~np.isnan(data.y)):
            table.writerow([f"instrument{i:03d}", f"source{j:05d}", repr(float(data.y[i, j]))])
    with (folder / "instruments.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["instrument", "b", "tau"])
        for i, (b, tau) in enumerate(zip(data.b, data.tau, strict=True)):
            table.writerow([f"instrument{i:03d}", float(b), float(tau)])


def smallest_ess(file: Path) -> tuple[float, float]:
    """Smallest bulk ESS and largest R-hat over all that the file holds."""
    import arviz as az

    ess, r_hat = [], []
    with np.load(file) as draws:
        for name in draws:
            values = az.convert_to_dataset({name: draws[name]})
            ess.append(float(az.ess(values)[name].min()))
            r_hat.append(float(az.rhat(values)[name].max()))
    return min(ess), max(r_hat)


def run_once(
    contender: Contender,
    model: str,
    data: Path,
    python: str,
    *,
    draws: int,
    warmup: int,
    seed: int,
    timeout: float,
    memory: bool = False,
    options: str = "{}",
) -> tuple[measure.Usage, float, float]:
    """Return what a fit cost, its smallest ESS and its largest R-hat."""
    with tempfile.TemporaryDirectory() as scratch:
        output = Path(scratch) / "draws.npz"
        command = [
            python,
            str(HERE / "concordance_contenders.py"),
            contender.program.partition("-")[0],
            model,
            str(data),
            str(output),
            *("--draws", str(draws), "--warmup", str(warmup), "--seed", str(seed)),
            *("--options", options),
            *contender.arguments,
        ]
        usage = measure.run(
            command,
            # Many BLAS threads on a 13 x 13 matrix only burn CPU time.
            environment={"OPENBLAS_NUM_THREADS": "1"},
            timeout=timeout,
            memory=memory,
        )
        ess, r_hat = smallest_ess(output) if draws > 3 else (float("nan"), float("nan"))
    return usage, ess, r_hat


def benchmark(model: str, arguments: argparse.Namespace, folder: Path) -> dict[str, Result]:
    """Run the contenders in turn, ``repeats`` times; print each run as it ends."""
    nu = 3.0 if model == "concordance_t" else None
    chosen = [c for c in contenders(model) if c.program in arguments.only]
    results: dict[str, Result] = {}
    dropped: set[str] = set()
    for repeat in range(arguments.repeats):
        data = folder / f"{model}-{repeat}"
        write_data(simulated_concordance(13, 100, arguments.seed + repeat, nu=nu), data)
        for contender in chosen:
            python = arguments.peers_python if contender.compiles_each_time else sys.executable
            common = {"seed": arguments.seed + repeat, "timeout": arguments.timeout}

            def once(draws: int, warmup: int, c: Contender = contender, p: str = python) -> tuple:
                return run_once(
                    c,
                    model,
                    data,  # noqa: B023 (called within the iteration)
                    p,
                    draws=draws,
                    warmup=warmup,
                    options=arguments.options,
                    **common,  # noqa: B023
                )

            if contender.label in dropped:
                continue
            try:
                if contender.program == "pyxstan" and repeat == 0:
                    once(50, 50)  # compiles the Stan program
                for kind, draws in (("short", 1000), ("long", 1000 * arguments.long)):
                    if kind == "long" and (arguments.long < 2 or "diagonal," in contender.label):
                        continue
                    usage, ess, r_hat = once(draws, 1000)
                    cpu = usage.cpu_seconds
                    if kind == "long" and contender.compiles_each_time:
                        cpu -= once(1, 1)[0].cpu_seconds
                    result = results.setdefault(f"{contender.label} | {kind}", Result())
                    result.ess.append(ess)
                    result.r_hat.append(r_hat)
                    result.cpu.append(cpu)
                    result.rate.append(ess / cpu)
                    print(
                        f"  {model} repeat {repeat}: {contender.label}, 4 x {draws}: ESS {ess:.0f},"
                        f" R-hat {r_hat:.4f}, {cpu:.2f} CPU s, {ess / cpu:.0f} per CPU s",
                        flush=True,
                    )
            except RuntimeError as error:
                dropped.add(contender.label)
                print(f"  {model} {contender.label}: {error}; dropped", flush=True)
    return results


def print_table(model: str, results: dict[str, Result]) -> None:
    """One row a contender, with the ratios of pyxstan's short and long runs to it."""
    print(f"\n{model}: medians over the repeats")
    print(
        "| contender | run | min bulk ESS | R-hat | CPU s | ESS per CPU s "
        "| pyxstan short / this | pyxstan long / this |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name, result in results.items():
        label, _, kind = name.partition(" | ")
        ratios = []
        for ours in (results.get("pyxstan | short"), results.get("pyxstan | long")):
            if ours is None or len(ours.rate) != len(result.rate):
                ratios.append("-")
                continue
            pairs = zip(ours.rate, result.rate, strict=True)
            ratios.append(f"{statistics.median(a / b for a, b in pairs):.2f}")
        print(
            f"| {label} | {kind} | {statistics.median(result.ess):.0f} "
            f"| {max(result.r_hat):.4f} | {statistics.median(result.cpu):.2f} "
            f"| {statistics.median(result.rate):.0f} | {ratios[0]} | {ratios[1]} |"
        )


def main(words: Sequence[str] | None = None) -> None:
    programs = ["pyxstan", "gibbs", "numpyro", "numpyro-diagonal"]
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["concordance", "concordance_t"])
    parser.add_argument("--only", nargs="+", choices=programs, default=programs[:3])
    parser.add_argument("--peers-only", action="store_true", help="all but pyxstan")
    parser.add_argument("--peers-python", help="Python of the NumPyro environment")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--long", type=int, default=10, help="long run, in units of 4 x 1,000 draws"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds a run may take")
    parser.add_argument("--options", default="{}", help="JSON: further options of pyxstan.fit")
    parser.add_argument("--output", type=Path, help="JSON file for all the figures")
    arguments = parser.parse_args(words)
    if arguments.peers_only:
        arguments.only = [name for name in arguments.only if name != "pyxstan"]
    if arguments.peers_python is None:
        arguments.only = [name for name in arguments.only if not name.startswith("numpyro")]
        print("no --peers-python: NumPyro is left out")
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            results = benchmark(model, arguments, Path(folder))
            print_table(model, results)
            figures[model] = {name: vars(result) for name, result in results.items()}
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
