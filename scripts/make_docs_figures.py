"""Make the figures of `docs/figures` from the example data.

python scripts/make_docs_figures.py
"""

from pathlib import Path

import pyxstan
from pyxstan.concordance import ConcordanceData, compare_priors

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
SEED = 1


def main() -> None:
    """Fit the example and write corrections, priors, fluxes and outliers."""
    folder = ROOT / "data" / "e0102_simulated"
    data = ConcordanceData.from_table(folder / "measurements.csv", folder / "instruments.csv")
    figures = pyxstan.plot(pyxstan.fit("concordance", data, seed=SEED))
    fits = {
        f"tau = {tau}": pyxstan.fit("concordance", data, tau=tau, seed=SEED)
        for tau in (0.025, 0.05)
    }
    robust = pyxstan.plot(pyxstan.fit("concordance_t", data, seed=SEED))
    chosen = {
        "corrections": figures["corrections"],
        "fluxes": figures["fluxes"],
        "priors": compare_priors(fits),
        "outliers": robust["outliers"],
    }
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, figure in chosen.items():
        figure.savefig(FIGURES / f"{name}.png", dpi=160)


if __name__ == "__main__":
    main()
