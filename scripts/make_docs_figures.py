"""Make the figures of `docs/figures` from the example data.

python scripts/make_docs_figures.py
"""

from pathlib import Path
from typing import Any

import pyxstan
from pyxstan.cluster import ClusterImage, side_by_side
from pyxstan.concordance import ConcordanceData, compare_priors
from pyxstan.point_source import PointSourceData, scan, sky_figures
from pyxstan.stacking import PosteriorSamples, stack
from pyxstan.stacking import side_by_side as parents_side_by_side

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs" / "figures"
SEED = 1


def concordance() -> dict[str, Any]:
    """Corrections, fluxes, priors and outliers."""
    folder = ROOT / "data" / "e0102_simulated"
    data = ConcordanceData.from_table(folder / "measurements.csv", folder / "instruments.csv")
    figures = pyxstan.plot(pyxstan.fit("concordance", data, seed=SEED))
    fits = {
        f"tau = {tau}": pyxstan.fit("concordance", data, tau=tau, seed=SEED)
        for tau in (0.025, 0.05)
    }
    robust = pyxstan.plot(pyxstan.fit("concordance_t", data, seed=SEED))
    return {
        "corrections": figures["corrections"],
        "fluxes": figures["fluxes"],
        "priors": compare_priors(fits),
        "outliers": robust["outliers"],
    }


def cluster() -> dict[str, Any]:
    """Single and double beta model of one image."""
    folder = ROOT / "data" / "cluster_simulated"
    image = ClusterImage.from_fits(
        folder / "counts.fits.gz", folder / "exposure.fits.gz", mask=folder / "mask.fits.gz"
    )
    fits = {
        label: pyxstan.fit(model, image, seed=SEED)
        for label, model in (("single", "beta"), ("double", "double_beta"))
    }
    figures = pyxstan.plot(fits["double"])
    return {
        "cluster_image": figures["image"],
        "cluster_corner": figures["corner"],
        "cluster_side_by_side": side_by_side(fits),
    }


def stacking() -> dict[str, Any]:
    """A histogram and a Gaussian behind posterior samples of 30 objects."""
    data = PosteriorSamples.from_text(
        ROOT / "data" / "stack_simulated" / "samples.txt", parameters="PhoIndex"
    )
    fits = stack(data, 0.5, 3, 10, seed=SEED)
    return {
        "stack_population": parents_side_by_side(fits),
        "stack_objects": pyxstan.plot(fits["histogram"])["objects"],
    }


def spectra() -> dict[str, Any]:
    """Two bursts of one temperature."""
    idata = pyxstan.fit(
        "linked_spectra", ROOT / "data" / "spectra_simulated" / "model.yaml", seed=SEED
    )
    figures = pyxstan.plot(idata)
    return {"spectra_counts": figures["counts"], "spectra_unfolded": figures["unfolded"]}


def point_source() -> dict[str, Any]:
    """A source in a sky of events, with a prior map."""
    data = PointSourceData.read(ROOT / "data" / "point_source_simulated" / "samples.yaml")
    figures = pyxstan.plot(pyxstan.fit("point_source", data, seed=SEED))
    maps = sky_figures(scan(data, nside=64))
    return {
        "point_source_position": figures["position"],
        "point_source_distance": figures["distance"],
        "point_source_corner": figures["corner"],
        "point_source_sky": maps["ts_prior"],
    }


def main() -> None:
    """Fit the examples and write their figures."""
    chosen = concordance() | cluster() | stacking() | spectra() | point_source()
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, figure in chosen.items():
        figure.savefig(FIGURES / f"{name}.png", dpi=160)


if __name__ == "__main__":
    main()
