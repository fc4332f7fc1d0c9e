"""Images of galaxy clusters: beta and double beta models of every pixel.

`ClusterImage` holds a counts image with its exposure, ``pyxstan.fit("beta", image)`` and
``pyxstan.fit("double_beta", image)`` fit it; here are the data class and the profile's formulas.

Source: Cavaliere & Fusco-Femiano 1976 (A&A 49, 137).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan.cluster.brightness import aperture_flux, beta_profile
    from pyxstan.cluster.data import ClusterImage
    from pyxstan.cluster.figures import side_by_side

__all__ = ["ClusterImage", "aperture_flux", "beta_profile", "side_by_side"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ClusterImage": "data",
        "aperture_flux": "brightness",
        "beta_profile": "brightness",
        "side_by_side": "figures",
    },
)
