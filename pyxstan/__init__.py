"""A zoo of Stan models for X-ray and high-energy astronomy.

>>> import pyxstan
>>> idata = pyxstan.fit("concordance", data)  # doctest: +SKIP

`list_models` tells what there is, `describe` what a model needs and returns. Everything is
imported on first use, so that ``import pyxstan`` costs next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan import cluster as cluster
    from pyxstan import concordance as concordance
    from pyxstan import stacking as stacking
    from pyxstan.comparison import compare
    from pyxstan.errors import BuildError, DataError, PyxstanError, SamplingError
    from pyxstan.figures import plot
    from pyxstan.fitting import fit, simulate
    from pyxstan.inference_data import load, save
    from pyxstan.registry import describe, list_models
    from pyxstan.summaries import summary, verdict
    from pyxstan.version import __version__

__all__ = [
    "BuildError",
    "DataError",
    "PyxstanError",
    "SamplingError",
    "__version__",
    "compare",
    "describe",
    "fit",
    "list_models",
    "load",
    "plot",
    "save",
    "simulate",
    "summary",
    "verdict",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "BuildError": "errors",
        "DataError": "errors",
        "PyxstanError": "errors",
        "SamplingError": "errors",
        "__version__": "version",
        "compare": "comparison",
        "describe": "registry",
        "fit": "fitting",
        "list_models": "registry",
        "load": "inference_data",
        "plot": "figures",
        "save": "inference_data",
        "simulate": "fitting",
        "summary": "summaries",
        "verdict": "summaries",
    },
)
