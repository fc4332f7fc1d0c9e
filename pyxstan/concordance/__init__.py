"""Calibration concordance: by how much each effective area is off, and what the fluxes are.

`ConcordanceData` holds the measurements, ``pyxstan.fit("concordance", data)`` and
``pyxstan.fit("concordance_t", data)`` fit them; here are the data class, its readers and the
closed forms that go with the models.

Source: Chen et al. 2019 (JASA 114, 1018; arXiv:1711.09429), Marshall et al. 2021 (AJ 162, 254;
arXiv:2108.13476).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan.concordance.data import ConcordanceData
    from pyxstan.concordance.estimators import Shrinkage, prior_influence, shrinkage
    from pyxstan.concordance.figures import compare_priors

__all__ = ["ConcordanceData", "Shrinkage", "compare_priors", "prior_influence", "shrinkage"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ConcordanceData": "data",
        "Shrinkage": "estimators",
        "compare_priors": "figures",
        "prior_influence": "estimators",
        "shrinkage": "estimators",
    },
)
