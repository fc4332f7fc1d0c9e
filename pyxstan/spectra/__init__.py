"""Spectra of counts: OGIP files of spectra and responses, noticed energies, groups of channels.

`Spectrum` holds the counts of one observation with its background and `Response`;
`write_spectrum` and `write_response` write them as files that Sherpa and XSPEC read.

Source: Arnaud, George & Tennant 1992 (OGIP memo 92-007, spectra); George et al. 1992 (OGIP memo
CAL/GEN/92-002, responses).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan.spectra.binning import Binned
    from pyxstan.spectra.response import Response
    from pyxstan.spectra.spectrum import Spectrum
    from pyxstan.spectra.writing import write_response, write_spectrum

__all__ = ["Binned", "Response", "Spectrum", "write_response", "write_spectrum"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Binned": "binning",
        "Response": "response",
        "Spectrum": "spectrum",
        "write_response": "writing",
        "write_spectrum": "writing",
    },
)
