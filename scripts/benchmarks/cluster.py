"""Effective draws per CPU second on a cluster image: pyxstan beside emcee and NumPyro.

    python scripts/benchmarks/cluster.py --peers-python PEERS/bin/python [--peer-minutes 10]
    python scripts/benchmarks/cluster.py --models double_beta beta --repeats 3 --peers-python ...
    python scripts/benchmarks/cluster.py --only pyxstan --seeds 2 3 4 5 6    # pyxstan by itself

Data: ``pyxstan.simulate(model, seed=...)``, 883 x 883 pixels, of which some 458,000 are fitted.
Every contender has the same pixels and the same priors (pyxstan's defaults).

* pyxstan: ``pyxstan fit`` from FITS files to the netCDF file, 4 x 1,000 draws after 1,000 of
  warm-up, all that comes with it (certificate, predictions, summary) included; its Stan program
  was compiled beforehand, by a fit that is not counted.
* emcee, NumPyro: every pixel, start, compilation, search of the mode and warm-up included; stopped
  after ``--peer-minutes`` of wall time and scored by what they have by then. They read the pixels
  from a NumPy file. How they are set up: ``cluster_contenders.py``.

Figures: the smallest bulk ESS (ArviZ) and the largest R-hat (of one chain, that of its halves) over
x0, y0, S0, rc, beta, S02, rc2, beta2 and B; CPU seconds of the whole process tree, wall time, peak
resident memory of the tree (pages that processes share count in each). Of emcee, whose walkers are
not independent chains, the ESS in the ratio is draws over the longest integrated autocorrelation
time; ArviZ's is told too. Fewer than 50 autocorrelation times are too few for either: marked as
not converged, as is an R-hat above 1.01. A second table has the medians and standard deviations
that each found.

Peers, in a virtual environment of their own (Python 3.11+): ``numpyro==0.22.0 jax==0.10.2
emcee==3.1.6 numba==0.68.1 scipy``.
This process and pyxstan's: the package itself.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import measure  # noqa: E402

LABELS = {
    "pyxstan": "pyxstan, FITS to netCDF",
    "emcee": "emcee, numba, all pixels",
    "numpyro": "NumPyro NUTS dense, all pixels",
}
#: emcee's own rule: a chain of fewer autocorrelation times tells too little of them.
ENOUGH = 50
SINGLE = ("x0", "y0", "S0", "rc", "beta", "B")
DOUBLE = (*SINGLE[:5], "S02", "rc2", "beta2", "B")


def names_of(model: str) -> tuple[str, ...]:
    return DOUBLE if model == "double_beta" else SINGLE


def write_data(model: str, seed: int, folder: Path) -> None:
    """FITS files for pyxstan; the same pixels and the priors for the peers."""
    import pyxstan
    from pyxstan.cluster.data import ClusterImage
    from pyxstan.cluster.problem import default_priors
    from pyxstan.cluster.simulation import write

    folder.mkdir(parents=True, exist_ok=True)
    simulated, truth = pyxstan.simulate(model, seed=seed)
    write(simulated, truth, folder)
    # Through the files: exposures are in 32 bits there.
    image = ClusterImage.from_fits(
        folder / "counts.fits", folder / "exposure.fits", mask=folder / "mask.fits"
    )
    np.savez(folder / "image.npz", counts=image.counts, exposure=image.exposure, good=image.good)
    priors = {
        name: {"family": prior.family, "arguments": prior.arguments}
        for name, prior in default_priors(image).items()
    }
    (folder / "priors.json").write_text(json.dumps(priors))


def scored(draws: dict[str, np.ndarray]) -> dict[str, Any]:
    """Smallest bulk ESS, largest R-hat, medians and standard deviations."""
    import arviz as az

    dataset = az.convert_to_dataset(draws)
    # One chain: its two halves are compared (R-hat wants two chains).
    halves = {
        name: np.stack(np.split(values[0][: len(values[0]) // 2 * 2], 2))
        for name, values in draws.items()
        if len(values) == 1
    }
    compared = az.convert_to_dataset(halves) if halves else dataset
    return {
        "ess": float(min(az.ess(dataset).to_array())),
        "r_hat": float(max(az.rhat(compared).to_array())),
        "median": {name: float(np.median(values)) for name, values in draws.items()},
        "sd": {name: float(np.std(values)) for name, values in draws.items()},
    }


def run_pyxstan(model: str, data: Path, seed: int, *, iterations: int = 1000) -> dict[str, Any]:
    """From the files to the file by the command line."""
    import arviz as az

    output = data / "out.nc"
    command = [
        *(sys.executable, "-m", "pyxstan", "fit", model, "counts.fits", "exposure.fits"),
        *("--set", "mask=mask.fits", "--seed", str(seed), "-o", "out.nc"),
        *("--draws", str(iterations), "--warmup", str(iterations)),
    ]
    usage = measure.run(
        [sys.executable, "-c", _IN_FOLDER, str(data), *command[1:]], memory=True, timeout=3600
    )
    idata = az.from_netcdf(output)
    result = scored({name: idata.posterior[name].values for name in names_of(model)})
    attrs = idata.attrs
    result["divergences"] = int(idata.sample_stats["diverging"].sum())
    result["log_likelihood_error"] = float(attrs["log_likelihood_error"])
    result["pareto_k"] = float(attrs.get("pareto_k", np.nan))
    about = f"4 x ({iterations} + {iterations})"
    return finished(result, usage) | {"converged": result["r_hat"] <= 1.01, "about": about}


#: Runs the rest of the command line in the folder of the data.
_IN_FOLDER = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.executable, " + (
    "[sys.executable, *sys.argv[2:]])"
)


def run_peer(
    peer: str, model: str, data: Path, seed: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    """A peer, stopped by itself when its time is over."""
    output = data / f"{peer}.npz"
    command = [
        *(arguments.peers_python, str(HERE / "cluster_contenders.py"), peer, model),
        *(str(data), str(output), "--minutes", str(arguments.peer_minutes), "--seed", str(seed)),
        *(arguments.emcee_options if peer == "emcee" else arguments.numpyro_options).split(),
    ]
    limit = 60 * arguments.peer_minutes + 300
    usage = measure.run(command, memory=True, timeout=limit)
    with np.load(output) as file:
        result = scored({name: file[name] for name in names_of(model)})
        result["about"] = str(file["about"])
        result["converged"] = result["r_hat"] <= 1.01
        if "ess_of_autocorrelation" in file:
            result["arviz_ess"] = result["ess"]
            result["ess"] = float(file["ess_of_autocorrelation"])
            times = file["x0"].shape[1] / float(file["autocorrelation_time"])
            result["autocorrelation_times"] = times
            result["converged"] = result["converged"] and times >= ENOUGH
            result["about"] += f"; {times:.1f} autocorrelation times"
    return finished(result, usage)


def finished(result: dict[str, Any], usage: measure.Usage) -> dict[str, Any]:
    """Add what it cost."""
    return result | {
        "cpu": usage.cpu_seconds,
        "wall": usage.wall_seconds,
        "gigabytes": usage.peak_bytes / 1e9,
        "rate": result["ess"] / usage.cpu_seconds,
    }


def benchmark(
    model: str, arguments: argparse.Namespace, folder: Path
) -> dict[str, list[dict[str, Any]]]:
    """Run the contenders in turn on each image; print each run as it ends."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.only}
    for count, seed in enumerate(arguments.seeds):
        data = folder / f"{model}-{seed}"
        write_data(model, seed, data)
        for name in arguments.only:
            if name == "pyxstan":
                if count == 0:
                    run_pyxstan(model, data, seed, iterations=50)  # compiles the Stan program
                result = run_pyxstan(model, data, seed)
            else:
                try:
                    result = run_peer(name, model, data, seed, arguments)
                except RuntimeError as error:
                    print(f"  {model} seed {seed}: {LABELS[name]}: {error}", flush=True)
                    continue
            result["seed"] = seed
            results[name].append(result)
            print(
                f"  {model} seed {seed}: {LABELS[name]}: {result['about']}: ESS {result['ess']:.0f}"
                + (f" (ArviZ {result['arviz_ess']:.0f})" if "arviz_ess" in result else "")
                + f", R-hat {result['r_hat']:.4f}, {result['cpu']:.1f} CPU s,"
                f" {result['rate']:.3g} per CPU s",
                flush=True,
            )
    return results


def print_tables(model: str, results: dict[str, list[dict[str, Any]]]) -> None:
    """One row a contender, medians over the images; then what they found on the last image."""

    def middle(rows: list[dict[str, Any]], key: str) -> float:
        return statistics.median(row[key] for row in rows)

    print(f"\n{model}: medians over the images")
    print(
        "| contender | min bulk ESS | largest R-hat | CPU s | wall s | peak GB | ESS per CPU s "
        "| pyxstan is faster by | converged |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    ours = {row["seed"]: row["rate"] for row in results.get("pyxstan", [])}
    for name, rows in results.items():
        if not rows:
            continue
        pairs = [ours[row["seed"]] / row["rate"] for row in rows if row["seed"] in ours]
        ratio = f"{statistics.median(pairs):.0f}" if pairs and name != "pyxstan" else ""
        ess = f"{middle(rows, 'ess'):.0f}"
        if "arviz_ess" in rows[0]:
            ess += f" (ArviZ: {middle(rows, 'arviz_ess'):.0f})"
        print(
            f"| {LABELS[name]} | {ess} | {max(row['r_hat'] for row in rows):.4f} "
            f"| {middle(rows, 'cpu'):.1f} | {middle(rows, 'wall'):.1f} "
            f"| {middle(rows, 'gigabytes'):.2f} | {middle(rows, 'rate'):.3g} | {ratio} "
            f"| {'yes' if all(row['converged'] for row in rows) else 'no'} |"
        )
    found = {name: rows[-1] for name, rows in results.items() if rows}
    if len(found) > 1:
        print(f"\n{model}, last image: median and standard deviation")
        print(f"| | {' | '.join(LABELS[name] for name in found)} |")
        print("|---" * (1 + len(found)) + "|")
        for parameter in names_of(model):
            cells = (
                f"{row['median'][parameter]:.6g} ± {row['sd'][parameter]:.2g}"
                for row in found.values()
            )
            print(f"| {parameter} | {' | '.join(cells)} |")
    if results.get("pyxstan"):
        print(f"\n{model}: pyxstan's runs")
        print(
            "| seed | wall s | CPU s | peak GB | min bulk ESS | largest R-hat | divergences "
            "| log_likelihood_error | pareto_k |"
        )
        print("|---|---|---|---|---|---|---|---|---|")
        for row in results["pyxstan"]:
            print(
                f"| {row['seed']} | {row['wall']:.1f} | {row['cpu']:.1f} | {row['gigabytes']:.2f} "
                f"| {row['ess']:.0f} | {row['r_hat']:.4f} | {row['divergences']} "
                f"| {row['log_likelihood_error']:.4f} | {row['pareto_k']:.2f} |"
            )


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    models = ["beta", "double_beta"]
    parser.add_argument("--models", nargs="+", choices=models, default=["double_beta"])
    parser.add_argument("--only", nargs="+", choices=list(LABELS), default=list(LABELS))
    parser.add_argument("--peers-python", help="Python of the peers' environment")
    parser.add_argument(
        "--peer-minutes", type=float, default=10.0, help="wall time each peer is given"
    )
    parser.add_argument("--repeats", type=int, default=1, help="images: seeds 1, 2, ...")
    parser.add_argument("--seeds", nargs="+", type=int, help="seeds of the images instead")
    parser.add_argument("--emcee-options", default="", help="for cluster_contenders.py")
    parser.add_argument("--numpyro-options", default="", help="for cluster_contenders.py")
    parser.add_argument("--output", type=Path, help="JSON file for all the figures")
    arguments = parser.parse_args(words)
    arguments.seeds = arguments.seeds or list(range(1, arguments.repeats + 1))
    if arguments.peers_python is None:
        arguments.only = [name for name in arguments.only if name == "pyxstan"]
        print("no --peers-python: emcee and NumPyro are left out")
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        for model in arguments.models:
            figures[model] = benchmark(model, arguments, Path(folder))
            print_tables(model, figures[model])
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
