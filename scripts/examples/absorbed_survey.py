"""A survey: 100 absorbed power laws, each seen by two telescopes and fitted, then stacked.

    python scripts/examples/absorbed_survey.py OUT [--sources 100] [--seed 1]

Photon indices are Gaussian, -1.8 +- 0.3; the logarithm of the column density is from 20 to 24,
three times as often above 22 as below. Each source has a spectrum through a telescope like Chandra
and one through a telescope like NuSTAR, with a free factor between them, and is fitted by itself
under a uniform prior on its index. The stack of the 100 posteriors has to find the population
again. OUT gets the table of the sources and the stack. About seven seconds of CPU time a source.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import pyxstan
import pyxstan.spectra as ps
from pyxstan.inference_data import write as write_fit
from pyxstan.spectra.instruments import INSTRUMENTS
from pyxstan.stacking import PosteriorSamples

INDEX, SPREAD = -1.8, 0.3
LOW, HIGH = -4.0, 0.0  # of the prior of each index, and the range of the stack
#: Exposure [s], background [counts a channel, in a region ten times as large], noticed energies.
TELESCOPES = {
    "chandra": ("chandra_like", 50_000.0, 0.3, "0.5-8"),
    "nustar": ("nustar_like", 50_000.0, 2.0, "3-40"),
}
SOURCE = ps.Source(
    "agn",
    {"pl": ps.component("powerlaw", K="loguniform(1e-7, 1e-1)", index=f"uniform({LOW}, {HIGH})")},
    {"gas": ps.Absorber("loguniform(1e-3, 1e3)")},
)


def template() -> ps.LinkedSpectra:
    """Both telescopes, without counts."""
    observations = []
    for name, (instrument, exposure, _, energies) in TELESCOPES.items():
        response = INSTRUMENTS[instrument].response()
        zero = np.zeros(response.channels)
        behind = ps.Spectrum(f"{name} background", zero, exposure, backscal=np.array([10.0]))
        spectrum = ps.Spectrum(name, zero, exposure, response=response, background=behind)
        constant = "lognormal(0, 0.05)" if name == "nustar" else None
        observations.append(ps.Observation(spectrum.noticing(energies), "agn", constant))
    return ps.LinkedSpectra(observations, (SOURCE,))


def main() -> None:
    """Simulate, fit, stack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sources", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    empty, samples, rows = template(), [], []
    background = [counts for _, _, counts, _ in TELESCOPES.values()]
    for k in range(arguments.sources):
        column = rng.uniform(22, 24) if rng.random() < 0.75 else rng.uniform(20, 22)
        truth = {
            "agn.pl.K": float(np.exp(rng.normal(np.log(1e-4), 0.7))),
            "agn.pl.index": float(rng.normal(INDEX, SPREAD)),
            "agn.gas.NH": float(10 ** (column - 22)),
            "nustar.constant": float(np.exp(rng.normal(0, 0.05))),
        }
        data = ps.fake(empty, truth, seed=rng, background=background)
        idata = pyxstan.fit("linked_spectra", data, seed=k, progress=False)
        draws = idata.posterior["value"].sel(parameter="agn.pl.index").to_numpy().ravel()
        samples.append(draws)
        print(f"{k + 1} of {arguments.sources}: {pyxstan.verdict(idata).line}", flush=True)
        rows.append(
            {
                **truth,
                "counts": data.counts.sum(),
                "index": draws.mean(),
                "sd": draws.std(),
                "verdict": pyxstan.verdict(idata).line,
            }
        )
    arguments.out.mkdir(parents=True, exist_ok=True)
    table = pd.DataFrame(rows, index=[f"agn{k:03d}" for k in range(len(rows))])
    table.to_csv(arguments.out / "sources.csv")
    bad = table[~table["verdict"].str.startswith("converged")]
    print(table.drop(columns="verdict").describe().loc[["min", "50%", "max"]].to_string())
    print(f"{len(bad)} of {len(table)} fits have not converged", *bad["verdict"], sep="\n  ")

    objects = PosteriorSamples.from_arrays(
        samples, parameters=("index",), objects=list(table.index)
    )
    stack = pyxstan.fit("stack_gaussian", objects, low=LOW, high=HIGH, seed=1)
    write_fit(stack, arguments.out / "stack.nc")
    pyxstan.plot(stack, arguments.out / "figures")
    print(pyxstan.summary(stack)[["mean", "sd", "2.5%", "97.5%"]].to_string())
    drawn = table["agn.pl.index"]
    print(f"truth: {INDEX} and {SPREAD}; of these sources {drawn.mean():.3f} and {drawn.std():.3f}")


if __name__ == "__main__":
    main()
