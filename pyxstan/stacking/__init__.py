"""Populations behind many posteriors: the parent distribution of a parameter.

`PosteriorSamples` holds posterior samples of many objects, each fitted on its own, from text files,
runs of UltraNest and BXA, netCDF files of ArviZ, tables or arrays.
``pyxstan.fit("stack_gaussian", data)`` and its sisters infer the distribution behind them; `stack`
fits a histogram and other parents beside one another, `shrunken` says what each object is, given
the population.

Source: Baronchelli, Nandra & Buchner 2020 (MNRAS 498, 5284), appendix A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan.stacking.data import PosteriorSamples
    from pyxstan.stacking.figures import side_by_side
    from pyxstan.stacking.several import stack
    from pyxstan.stacking.shrinkage import shrunken

__all__ = ["PosteriorSamples", "shrunken", "side_by_side", "stack"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "PosteriorSamples": "data",
        "shrunken": "shrinkage",
        "side_by_side": "figures",
        "stack": "several",
    },
)
