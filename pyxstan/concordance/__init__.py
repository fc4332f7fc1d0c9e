"""Calibration concordance: by how much each effective area is off, and what the fluxes are.

`ConcordanceData` holds the measurements, ``pyxstan.fit("concordance", data)`` and
``pyxstan.fit("concordance_t", data)`` fit them; here are the data class, its readers and the
closed forms that go with the models.

Source: Chen et al. 2019 (JASA 114, 1018; arXiv:1711.09429), Marshall et al. 2021 (AJ 162, 254;
arXiv:2108.13476).
"""

from pyxstan.concordance.data import ConcordanceData
from pyxstan.concordance.figures import compare_priors
from pyxstan.concordance.shrinkage import Shrinkage, prior_influence, shrinkage

__all__ = ["ConcordanceData", "Shrinkage", "compare_priors", "prior_influence", "shrinkage"]
