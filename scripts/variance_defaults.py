"""How good the default priors of unknown variances are: widths and coverage by simulation.

    python scripts/variance_defaults.py [--simulations 30] [--instruments 4] [--sources 6]

Rows: all instruments good; the last one bad; one value off by 1; each with ``concordance`` and
``concordance_t`` (there sigma is the scale of the log-t errors that are simulated). Printed: the
median posterior sd of B1 - B2 in units of the best that can be had (sigma known, one bad
instrument or value left out), how often the 95% interval of sigma_1 covers the truth, and that of
B1 - B2.
"""

from __future__ import annotations

import argparse

import numpy as np

import pyxstan
from pyxstan import inference_data
from pyxstan.concordance import ConcordanceData

SIGMA, BAD, OFF, TAU, NU = 0.02, 0.3, 1.0, 0.05, 3.0
ROWS = ("good", "bad instrument", "bad value")


def simulated(
    row: str, model: str, shape: tuple[int, int], seed: int
) -> tuple[ConcordanceData, float]:
    """Data, and the true B1 - B2."""
    rng = np.random.default_rng(seed)
    sigma = np.full(shape[0], SIGMA)
    sigma[-1] = BAD if row == "bad instrument" else SIGMA
    B = TAU * rng.standard_normal(shape[0])
    xi = rng.chisquare(NU, shape) if model == "concordance_t" else np.ones(shape)
    v = sigma[:, None] ** 2 / xi
    y = B[:, None] + rng.standard_normal(shape[1]) - v / 2 + np.sqrt(v) * rng.standard_normal(shape)
    y[-1, 0] += OFF * (row == "bad value")
    instrument, source = np.indices(shape).reshape(2, -1)
    data = ConcordanceData(
        instruments=tuple(f"instrument {i + 1}" for i in range(shape[0])),
        sources=tuple(f"source {j + 1}" for j in range(shape[1])),
        instrument=instrument,
        source=source,
        y=y.ravel(),
        sigma=None,
        b=np.zeros(shape[0]),
        tau=np.full(shape[0], TAU),
    )
    return data, float(B[0] - B[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--simulations", type=int, default=30)
    parser.add_argument("--instruments", type=int, default=4)
    parser.add_argument("--sources", type=int, default=6)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args()
    shape = arguments.instruments, arguments.sources
    for model in ("concordance", "concordance_t"):
        # what a log-t measurement weighs, in units of sigma^-2
        weight = NU * (NU + 1) / (NU + 3) if model == "concordance_t" else 1.0
        ideal = 1 / np.sqrt(weight * shape[1] / (2 * SIGMA**2) + 1 / (2 * TAU**2))
        for row in ROWS:
            widths, covers, covers_contrast = [], [], []
            for seed in range(arguments.simulations):
                data, truth = simulated(row, model, shape, seed)
                idata = pyxstan.fit(
                    model, data, seed=seed, draws=arguments.draws, pointwise="none", progress=False
                )
                posterior = inference_data.group(idata, "posterior")
                B = posterior["B"].to_numpy()
                contrast = B[..., 0] - B[..., 1]
                widths.append(contrast.std())
                low, high = np.quantile(posterior["sigma"].to_numpy()[..., 0], [0.025, 0.975])
                covers.append(low < SIGMA < high)
                low, high = np.quantile(contrast, [0.025, 0.975])
                covers_contrast.append(low < truth < high)
            print(
                f"{model:14s} {row:15s} sd(B1 - B2) {np.median(widths) / ideal:.2f} of the ideal, "
                f"sigma_1 covered {sum(covers)} of {len(covers)}, B1 - B2 {sum(covers_contrast)}",
                flush=True,
            )


if __name__ == "__main__":
    main()
