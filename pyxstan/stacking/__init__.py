"""Stacking: the distribution of a parameter in a population, behind posteriors of many objects.

`PosteriorSamples` holds posterior samples of the objects, each fitted on its own, from text files,
runs of UltraNest and BXA, netCDF files of ArviZ, tables or arrays.

Source: Baronchelli, Nandra & Buchner 2020 (MNRAS 498, 5284), appendix A.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan.stacking.data import PosteriorSamples

__all__ = ["PosteriorSamples"]

__getattr__, __dir__ = lazy_names(__name__, {"PosteriorSamples": "data"})
