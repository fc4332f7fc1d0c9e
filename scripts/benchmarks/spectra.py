"""The linked pair: pyxstan beside 3ML with UltraNest and beside emcee, in one run.

    python scripts/benchmarks/spectra.py --peers-python PEERS/bin/python [--repeats 3]
    python scripts/benchmarks/spectra.py --gradient

Data: two blackbodies of one temperature, one with a power law besides (the tutorial of linked
parameters), Poisson counts of source and background through a response, written as OGIP files that
all read. The response is the demo one in the threeML wheel of the peers' environment.

Compared is the smallest effective sample size per CPU second of a process that does all: start,
imports, reading, warm-up (pyxstan) or burn-in (emcee), draws, results. ESS is ArviZ's bulk ESS for
chains and Kish's for nested samples, (sum w)^2 / sum w^2, which grants UltraNest that its samples
are independent otherwise. pyxstan's program is compiled beforehand.

``--gradient`` times the gradient of a spectrum the size of XMM-Newton's EPIC-pn (4,096 channels,
2,000 energies) in Stan's own loop.

Peers, in an environment of their own: ``threeML==2.6.1 astromodels==2.6.0 ultranest==4.6.3 emcee
"setuptools<81"``.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

import measure  # noqa: E402

ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
TRUTH = {
    "src1.bb.K": 5e-8, "src1.bb.kT": 500.0, "src2.bb.K": 1e-7, "src2.pl.F": 200.0,
    "src2.pl.index": -1.5,
}  # fmt: skip
NAMES = ("K1", "kT", "K2", "F", "index")
EXPOSURE = 20.0


def write_data(response: Path, folder: Path, seed: int) -> None:
    """Files of the two sources and their model."""
    import pyxstan.spectra as ps
    from pyxstan.spectra.folding import folded
    from pyxstan.spectra.yaml_model import write

    rsp = ps.Response.read(response)
    zero = np.zeros(rsp.channels)
    sky = ps.Source("sky", {"pl": ps.component("powerlaw", K=0.01, index=-1.5, piv=1000)})
    empty = ps.Spectrum("sky", zero, EXPOSURE, response=rsp)
    fold = folded(ps.Observation(empty, "sky"), (sky,))
    behind = fold.expected({"sky.pl.K": np.array([0.01]), "sky.pl.index": np.array([-1.5])})[0]
    sources = (
        ps.Source(
            "src1",
            {
                "bb": ps.component(
                    "blackbody",
                    K=f"lognormal({math.log(1e-7)}, 1)",
                    kT=f"lognormal({math.log(300)}, 2)",
                )
            },
        ),
        ps.Source(
            "src2",
            {
                "bb": ps.component(
                    "blackbody", K=f"lognormal({math.log(1e-6)}, 1)", kT="= src1.bb.kT"
                ),
                "pl": ps.component(
                    "powerlaw_flux", F=f"lognormal({math.log(100)}, 1)", index="normal(-1, 1)",
                    a=10, b=500,
                ),
            },
        ),
    )  # fmt: skip
    observations = tuple(
        ps.Observation(
            ps.Spectrum(
                name, zero, EXPOSURE, response=rsp,
                background=ps.Spectrum(f"{name}_background", zero, EXPOSURE),
            ),
            name,
        )
        for name in ("src1", "src2")
    )  # fmt: skip
    data = ps.fake(
        ps.LinkedSpectra(observations, sources), TRUTH, seed=seed, background=[behind, behind]
    )
    write(data, TRUTH, folder)
    ps.write_response(rsp, folder / "demo.rsp")
    spectra = [o.spectrum for o in data.observations]
    np.savez(
        folder / "folded.npz",
        low=fold.grid.low,
        high=fold.grid.high,
        fold=fold.matrix.toarray() * fold.area,
        on=np.array([s.counts for s in spectra]),
        off=np.array([s.background.counts for s in spectra]),
    )


def moments(draws: np.ndarray, weights: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations."""
    flat = draws.reshape(-1, draws.shape[-1])
    w = np.full(len(flat), 1 / len(flat)) if weights is None else weights / weights.sum()
    mean = w @ flat
    return mean, np.sqrt(w @ (flat - mean) ** 2)


def compare(arguments: argparse.Namespace) -> None:
    """Run all three, as often as wanted, and print a table."""
    import arviz as az

    python = arguments.peers_python
    found = subprocess.run(
        [python, "-c", "import importlib.util as u; print(u.find_spec('threeML').origin)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    response = Path(found.stdout.strip()).parent / "data" / "datasets" / "ogip_powerlaw.rsp"
    print("| run | who | ESS | CPU s | ESS per CPU s | ratio | means off by (sd) | sds off by |")
    print("|---|---|---|---|---|---|---|---|")
    ratios: dict[str, list[float]] = {"threeml": [], "emcee": []}
    for repeat in range(arguments.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            write_data(response, folder, arguments.seed + repeat)
            rates, posteriors = {}, {}
            for who, program, draws in (
                ("pyxstan", sys.executable, arguments.draws),
                ("threeml", python, 0),
                ("emcee", python, 6000),
            ):
                output = folder / f"{who}.npz"
                usage = measure.run(
                    [program, str(HERE / "spectra_contenders.py"), who, str(folder), str(output),
                     "--draws", str(draws), "--seed", str(arguments.seed + repeat)],
                    environment=ONE_THREAD,
                )  # fmt: skip
                with np.load(output) as file:
                    draws_of = file["draws"]
                    weights = file.get("weights")
                    if weights is not None:
                        ess = float(weights.sum() ** 2 / (weights**2).sum())
                    else:
                        ess = float(az.ess(az.convert_to_dataset({"x": draws_of}))["x"].min())
                posteriors[who] = moments(draws_of, weights)
                rates[who] = ess / usage.cpu_seconds
                line = f"| {repeat + 1} | {who} | {ess:.0f} | {usage.cpu_seconds:.2f} "
                line += f"| {rates[who]:.1f} |"
                if who in ratios:
                    ratios[who].append(rates["pyxstan"] / rates[who])
                    mean, sd = posteriors["pyxstan"]
                    off = np.abs((posteriors[who][0] - mean) / sd).max()
                    wide = np.abs(posteriors[who][1] / sd - 1).max()
                    line += f" {ratios[who][-1]:.1f} | {off:.3f} | {100 * wide:.1f}% |"
                else:
                    line += " | | |"
                print(line, flush=True)
    for who, each in ratios.items():
        print(f"median ratio to {who}: {statistics.median(each):.1f}")


def gradient() -> None:
    """Milliseconds of one gradient of a large spectrum, and of its preparation."""
    import pyxstan
    import pyxstan.spectra as ps
    from pyxstan.spectra.instruments import Instrument

    large = Instrument(0.05, 15.0, 2000, 4096, 1200.0, 0.5, 6.0, 0.035).response()
    rng = np.random.default_rng(1)
    # with the low-energy tail that such a response has, down to the first channel
    below = large.channel_high[:, None] < large.energy_low
    matrix = large.matrix + sparse.csr_array(below * (0.03 / 4096))
    large = replace(large, matrix=matrix.astype(np.float32))  # as files have it
    counts = np.zeros(4096)
    source = ps.Source(
        "s",
        {"pl": ps.component("powerlaw", K="lognormal(-9, 1)", index="normal(-1.8, 0.3)")},
        {"gas": ps.Absorber("lognormal(-1, 1)")},
    )
    spectrum = ps.Spectrum(
        "pn", counts, 20_000.0, response=large, background=ps.Spectrum("b", counts, 20_000.0)
    )
    data = ps.LinkedSpectra((ps.Observation(spectrum, "s"),), (source,))
    truth = {"s.pl.K": 1e-4, "s.pl.index": -1.8, "s.gas.NH": 0.3}
    data = ps.fake(data, truth, seed=rng, background=[0.05])
    kept = replace(data.observations[0], spectrum=data.observations[0].spectrum.noticing("0.2-12"))
    data = replace(data, observations=(kept,))

    def spent(**options: int) -> tuple[float, float]:
        """CPU seconds of Stan, and gradients."""
        before = os.times().children_user
        idata = pyxstan.fit("linked_spectra", data, seed=1, chains=1, progress=False, **options)
        steps = float(idata.sample_stats["n_steps"].sum())
        return os.times().children_user - before, steps

    start, _ = spent(warmup=0, draws=1, max_treedepth=1)  # mostly the reading of the data
    cpu, steps = spent(warmup=0, draws=200, max_treedepth=4)
    print(
        f"response: {large.matrix.nnz} entries; {1000 * (cpu - start) / steps:.2f} ms a gradient; "
        f"reading the data {start:.1f} s"
    )


def main(words: Sequence[str] | None = None) -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers-python", help="Python of the peers' environment")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gradient", action="store_true", help="a large response, pyxstan alone")
    arguments = parser.parse_args(words)
    if arguments.gradient:
        gradient()
    elif arguments.peers_python is None:
        parser.error("--peers-python: expected the Python of the peers' environment")
    else:
        compare(arguments)


if __name__ == "__main__":
    main()
