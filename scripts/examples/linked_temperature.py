"""Two sources of one temperature: simulate, fit linked and unlinked, fluxes, figures.

    python scripts/examples/linked_temperature.py OUT

The truth is that of the tutorial of linked parameters of 3ML (two blackbodies of 500 keV, one of
them with a power law besides), through a response of our own; OUT gets spectra, model, fits and
figures. Half a minute, most of it figures, once the model is compiled.
"""

from __future__ import annotations

import sys
from pathlib import Path

import astropy.units as u
import numpy as np
import pandas as pd

import pyxstan
import pyxstan.spectra as ps
from pyxstan.inference_data import write as write_fit
from pyxstan.spectra.instruments import INSTRUMENTS

TRUTH = {
    "src1.bb.K": 5e-8, "src1.bb.kT": 500.0, "src2.bb.K": 1e-7, "src2.pl.F": 200.0,
    "src2.pl.index": -1.5,
}  # fmt: skip
EXPOSURE = 20.0  # s
BACKGROUND = 20.0  # counts a channel


def model(linked: bool) -> tuple[ps.Source, ps.Source]:
    """The two sources, with one temperature or each with its own."""
    temperature = f"lognormal({np.log(300):.6f}, 2)"
    first = ps.component("blackbody", K=f"lognormal({np.log(1e-7):.6f}, 1)", kT=temperature)
    second = ps.component(
        "blackbody",
        K=f"lognormal({np.log(1e-6):.6f}, 1)",
        kT="= src1.bb.kT" if linked else temperature,
    )
    power = ps.component(
        "powerlaw_flux",
        F=f"lognormal({np.log(100):.6f}, 1)",
        index="normal(-1, 1)",
        a=10 * u.keV,
        b=500 * u.keV,
    )
    return ps.Source("src1", {"bb": first}), ps.Source("src2", {"bb": second, "pl": power})


def show(table: pd.DataFrame) -> None:
    """Print with four digits."""
    print(table.to_string(float_format="{:.4g}".format))


def main() -> None:
    """Run the example."""
    out = Path(sys.argv[1])
    response = INSTRUMENTS["gbm_like"].response()
    zero = np.zeros(response.channels)
    observations = [
        ps.Observation(
            ps.Spectrum(
                name, zero, EXPOSURE, response=response,
                background=ps.Spectrum(f"{name} background", zero, EXPOSURE),
            ),
            source=name,
        )
        for name in ("src1", "src2")
    ]  # fmt: skip
    data = ps.LinkedSpectra(observations, model(linked=True))
    data = ps.fake(data, TRUTH, seed=1, background=[BACKGROUND, BACKGROUND])
    data.write(out)
    print(data.describe(), "\n")

    linked = pyxstan.fit("linked_spectra", data, seed=1)
    unlinked = pyxstan.fit(
        "linked_spectra", ps.LinkedSpectra(data.observations, model(linked=False)), seed=1
    )
    for name, idata in (("linked", linked), ("unlinked", unlinked)):
        print(f"\n{name}:")
        print(
            pyxstan.summary(idata)[["mean", "sd", "2.5%", "97.5%"]].to_string(
                float_format="{:.4g}".format
            )
        )
        write_fit(idata, out / f"{name}.nc")
        pyxstan.plot(idata, out / name)
    print("\nfluxes of the linked fit from 1 keV to 1 MeV, erg / (cm2 s):")
    for by in ("source", "component", "total"):
        print(
            ps.fluxes(linked, 1 * u.keV, 1 * u.MeV, by=by).to_string(float_format="{:.4g}".format)
        )
    print(f"\nwrote {out}")


if __name__ == "__main__":
    main()
