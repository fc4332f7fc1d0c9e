"""A point source under a spatial prior: where on the sky, how strong, with which spectrum.

`PointSourceData` holds events, effective areas and a prior map, ``pyxstan.fit("point_source",
data)`` fits them; here are the data classes, their readers, the scan of the sky and trials.

Source: Braun et al. 2008 (Astropart. Phys. 29, 299; arXiv:0801.1604).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyxstan.lazy import lazy_names

if TYPE_CHECKING:
    from pyxstan.point_source.areas import EffectiveArea, Smearing
    from pyxstan.point_source.background import Smoothing
    from pyxstan.point_source.catalogue import Catalogue, read_catalogue
    from pyxstan.point_source.data import EventSample, PointSourceData
    from pyxstan.point_source.detection import Potential, potential
    from pyxstan.point_source.figures import sky_figures
    from pyxstan.point_source.fluxes import acceptance, averaged_acceptance, events, flux
    from pyxstan.point_source.injection import Injection, trial_sky
    from pyxstan.point_source.maps import read_prior_map, write_prior_map
    from pyxstan.point_source.null_distribution import NullDistribution
    from pyxstan.point_source.readers import (
        read_angular_resolution,
        read_effective_area,
        read_events,
        read_smearing,
        read_uptimes,
    )
    from pyxstan.point_source.sky import PriorMap
    from pyxstan.point_source.sky_scan import Scan, scan
    from pyxstan.point_source.trial_skies import trials
    from pyxstan.point_source.windows import TimeWindow

__all__ = [
    "Catalogue",
    "EffectiveArea",
    "EventSample",
    "Injection",
    "NullDistribution",
    "PointSourceData",
    "Potential",
    "PriorMap",
    "Scan",
    "Smearing",
    "Smoothing",
    "TimeWindow",
    "acceptance",
    "averaged_acceptance",
    "events",
    "flux",
    "potential",
    "read_angular_resolution",
    "read_catalogue",
    "read_effective_area",
    "read_events",
    "read_prior_map",
    "read_smearing",
    "read_uptimes",
    "scan",
    "sky_figures",
    "trial_sky",
    "trials",
    "write_prior_map",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "potential": "detection",
        "trial_sky": "injection",
        "trials": "trial_skies",
        "Potential": "detection",
        "NullDistribution": "null_distribution",
        "Injection": "injection",
        "Catalogue": "catalogue",
        "EffectiveArea": "areas",
        "EventSample": "data",
        "PointSourceData": "data",
        "PriorMap": "sky",
        "Scan": "sky_scan",
        "Smearing": "areas",
        "Smoothing": "background",
        "TimeWindow": "windows",
        "acceptance": "fluxes",
        "averaged_acceptance": "fluxes",
        "events": "fluxes",
        "flux": "fluxes",
        "read_angular_resolution": "readers",
        "read_catalogue": "catalogue",
        "read_effective_area": "readers",
        "read_events": "readers",
        "read_prior_map": "maps",
        "read_smearing": "readers",
        "read_uptimes": "readers",
        "scan": "sky_scan",
        "sky_figures": "figures",
        "write_prior_map": "maps",
    },
)
