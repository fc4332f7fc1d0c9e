"""Folded spectra of several sources with linked parameters: the model ``linked_spectra``.

`Spectrum` holds the counts of one observation with its background and `Response`. A model is made
of `Source`, `component`, `Absorber` and `Population`, and goes with the spectra (`Observation`)
into `LinkedSpectra`, which `pyxstan.fit` takes. `fluxes` and `luminosities` come from a fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan.spectra.binning import Binned
    from pyxstan.spectra.components import COMPONENTS
    from pyxstan.spectra.data import LinkedSpectra, Observation
    from pyxstan.spectra.model import Absorber, Population, Source, component
    from pyxstan.spectra.posterior_fluxes import fluxes, luminosities
    from pyxstan.spectra.response import Response
    from pyxstan.spectra.simulation import fake
    from pyxstan.spectra.spectrum import Spectrum
    from pyxstan.spectra.writing import write_response, write_spectrum

__all__ = [
    "COMPONENTS",
    "Absorber",
    "Binned",
    "LinkedSpectra",
    "Observation",
    "Population",
    "Response",
    "Source",
    "Spectrum",
    "component",
    "fake",
    "fluxes",
    "luminosities",
    "write_response",
    "write_spectrum",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "COMPONENTS": "components",
        "Absorber": "model",
        "Binned": "binning",
        "LinkedSpectra": "data",
        "Observation": "data",
        "Population": "model",
        "Response": "response",
        "Source": "model",
        "Spectrum": "spectrum",
        "component": "model",
        "fake": "simulation",
        "fluxes": "posterior_fluxes",
        "luminosities": "posterior_fluxes",
        "write_response": "writing",
        "write_spectrum": "writing",
    },
)
