"""How pyxstan's cost per effective draw and its memory grow with the size of a concordance.

    python scripts/benchmarks/concordance_growth.py [--sizes 13x100 25x500] [--repeats 1]

Simulated data as in ``concordance.py`` with 30% of the measurements missing. Cost: CPU seconds of
the whole process tree over the smallest bulk ESS of B, G and sigma; memory: largest sum of the
tree's resident memory. The last line is the slope of log cost against log number of measurements:
at most 1 when the cost grows no faster than the data.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from concordance import Contender, run_once, write_data
from references.simulated import simulated_concordance

SIZES = ["13x100", "25x500", "50x1000", "50x5000"]


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["concordance", "concordance_t"])
    parser.add_argument("--sizes", nargs="+", default=SIZES, help="instruments x sources")
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--program", choices=["pyxstan", "gibbs"], default="pyxstan")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--timeout", type=float, default=3600.0)
    parser.add_argument("--options", default="{}", help="JSON: further options of pyxstan.fit")
    arguments = parser.parse_args(words)
    contender = Contender(arguments.program, arguments.program)
    for model in arguments.models:
        print(f"\n{model}, {arguments.missing:.0%} missing, 4 x {arguments.draws} draws")
        print("| N x M | measurements | min bulk ESS | R-hat | CPU s | CPU ms per ESS | peak GB |")
        print("|---|---|---|---|---|---|---|")
        measurements, costs = [], []
        for number, size in enumerate(arguments.sizes):
            N, M = (int(word) for word in size.split("x"))
            rows = []
            for repeat in range(arguments.repeats):
                seed = arguments.seed + repeat
                nu = 3.0 if model == "concordance_t" else None
                data = simulated_concordance(N, M, seed, nu=nu, missing=arguments.missing)
                with tempfile.TemporaryDirectory() as folder:
                    write_data(data, Path(folder))

                    def once(draws: int, warmup: int, seed: int, path: str) -> tuple:
                        return run_once(
                            contender,
                            model,  # noqa: B023 (called within the iteration)
                            Path(path),
                            sys.executable,
                            draws=draws,
                            warmup=warmup,
                            seed=seed,
                            timeout=arguments.timeout,
                            memory=True,
                            options=arguments.options,
                        )

                    if number == repeat == 0:
                        once(50, 50, seed, folder)  # compiles the Stan program
                    usage, ess, r_hat = once(arguments.draws, arguments.warmup, seed, folder)
                rows.append((ess, r_hat, usage.cpu_seconds, usage.peak_bytes / 1e9))
            count = int(np.isfinite(data.y).sum())
            cost = statistics.median(cpu / ess for ess, _, cpu, _ in rows)
            print(
                f"| {size} | {count} | {statistics.median(r[0] for r in rows):.0f} "
                f"| {max(r[1] for r in rows):.4f} | {statistics.median(r[2] for r in rows):.2f} "
                f"| {1000 * cost:.3f} | {max(r[3] for r in rows):.2f} |",
                flush=True,
            )
            measurements.append(count)
            costs.append(cost)
        if len(costs) > 1:
            slope = np.polyfit(np.log(measurements), np.log(costs), 1)[0]
            print(f"slope of log cost against log measurements: {slope:.2f}")


if __name__ == "__main__":
    main()
