"""The register's entries of the cluster models."""

from pyxstan.registry import Model, Option, Parameter, PriorSlot

_CONTINUOUS = ("normal", "lognormal", "half_normal", "gamma", "inv_gamma")
_REAL = ("normal",)

_BRIGHTNESS = "counts/s/cm2/pixel, or counts/s/pixel"


def _component(suffix: str, which: str) -> tuple[Parameter, ...]:
    return (
        Parameter(f"S0{suffix}", f"central brightness{which}", _BRIGHTNESS),
        Parameter(f"rc{suffix}", f"core radius{which}", "pixel"),
        Parameter(f"beta{suffix}", f"slope{which}: S falls as r^(1 - 6 beta); above 1/6"),
    )


_CENTER = (
    Parameter("x0", "centre, pixels from 0 along axis 1", "pixel"),
    Parameter("y0", "centre, pixels from 0 along axis 2", "pixel"),
)
_BACKGROUND = (
    Parameter("B", "background, constant: not vignetted", "counts/pixel"),
    Parameter("b", "background of the sky, vignetted (background=sky)", _BRIGHTNESS),
    Parameter("map_factor", "factor of the background map (map_factor=free)"),
)
_SHEAR = (
    Parameter("shear1", "ln(a/b)/2 cos(2 angle) of the isophotes (elliptical=true)"),
    Parameter("shear2", "ln(a/b)/2 sin(2 angle)"),
)


def _derived(suffixes: tuple[str, ...]) -> tuple[Parameter, ...]:
    return (
        Parameter("ra", "right ascension of the centre", "deg", sampled=False),
        Parameter("dec", "declination of the centre", "deg", sampled=False),
        *(
            Parameter(f"rc{suffix}_{unit}", "core radius on the sky", unit, sampled=False)
            for suffix in suffixes
            for unit in ("arcsec", "kpc")
        ),
        Parameter("ellipticity", "1 - b/a of the isophotes", sampled=False),
        Parameter("angle", "of their long axis, from the x axis to y", "deg", sampled=False),
        Parameter("position_angle", "the same on the sky, east of north", "deg", sampled=False),
        Parameter("aperture_flux", "cluster within the aperture", "counts/s(/cm2)", sampled=False),
        Parameter(
            "aperture_counts", "the same at the exposure of the centre", "counts", sampled=False
        ),
    )


def _slots(parameters: tuple[Parameter, ...]) -> tuple[PriorSlot, ...]:
    default = {
        "x0": "normal(middle of the image, its size)",
        "y0": "normal(middle of the image, its size)",
        "x02": "normal(middle of the image, its size)",
        "y02": "normal(middle of the image, its size)",
        "S0": "lognormal(ln of one count a pixel at the peak exposure, 5)",
        "rc": "lognormal(ln(shorter side / 40), 1.5)",
        "beta": "lognormal(ln(2/3), 0.5), above 1/6",
        "B": "half_normal(100)",
        "b": "half_normal(100 counts a pixel at the peak exposure)",
        "map_factor": "lognormal(0, 0.5)",
        "shear1": "normal(0, 0.3)",
        "shear2": "normal(0, 0.3)",
    }
    same = {"S02": "S0", "rc2": "rc", "beta2": "beta"}
    real = {"x0", "y0", "x02", "y02", "shear1", "shear2"}
    return tuple(
        PriorSlot(
            p.name,
            p.description,
            default[same.get(p.name, p.name)],
            _REAL if p.name in real else _CONTINUOUS,
        )
        for p in parameters
    )


_OPTIONS = (
    Option("background", "constant, sky, constant+sky or none", "constant"),
    Option(
        "map_factor", "factor of the background map, where there is one", "fixed",
        choices=("fixed", "free"),
    ),
    Option("elliptical", "elliptical isophotes", False, bool),
    Option("center", "where to look for the cluster: x,y in pixels from 0", kind=object),
    Option(
        "likelihood", "every pixel, or cells of like pixels proven to be as good", "cells",
        choices=("cells", "pixels"),
    ),
    Option(
        "brightness", "averaged over each pixel or at its center (auto: averaged where it matters)",
        "auto", choices=("auto", "average", "center"),
    ),
    Option("aperture", "radius of the aperture (arcsec; pixels without WCS)", kind=float),
    Option("redshift", "of the cluster, for radii in kpc", kind=float),
    Option("cosmology", "a cosmology of astropy", "Planck18"),
)  # fmt: skip
_READING = (
    Option("mask", "region file, table of circles or mask image; may be given again", (),
           many=True),
    Option("background_map", "FITS image of expected background counts a pixel"),
    Option("exposure_unit", "unit of the exposure map: cm2, cm2 s, s or relative (to EXPOSURE)"),
    Option("min_exposure", "least exposure of a pixel, as a part of the peak", 0.5, float),
)  # fmt: skip
_SIMULATION = (
    Option("size", "pixels along a side", 883, int),
    Option("peak_exposure", "largest exposure (cm2 s)", 3e7, float),
    Option("point_sources", "masked point sources", 20, int),
    Option("pixel_scale", "side of a pixel (arcsec)", 1.968, float),
)

_INPUTS = "COUNTS.fits EXPOSURE.fits (counts image and exposure map)"
_ONE = _component("", "")
_TWO = _component("", " of the inner component") + _component("2", " of the outer component")
_OFFSET = (
    Parameter("x02", "centre of the outer component (offset=true)", "pixel"),
    Parameter("y02", "centre of the outer component (offset=true)", "pixel"),
)

MODELS = (
    Model(
        name="beta",
        purpose="image of a galaxy cluster, beta model, every pixel",
        inputs=_INPUTS,
        data_class="pyxstan.cluster.ClusterImage",
        workflow="pyxstan.cluster.workflow",
        reference="Cavaliere & Fusco-Femiano 1976, A&A 49, 137",
        parameters=_CENTER + _ONE + _BACKGROUND + _SHEAR + _derived(("",)),
        headline=(*(p.name for p in _CENTER + _ONE + _BACKGROUND), "ellipticity", "position_angle",
                  "ra", "dec", "rc_arcsec", "rc_kpc", "aperture_flux"),
        priors=_slots(_CENTER + _ONE + _BACKGROUND + _SHEAR),
        options=_OPTIONS,
        reading=_READING,
        adapt_delta=0.98,
        max_treedepth=7,
        simulation=_SIMULATION,
    ),
    Model(
        name="double_beta",
        purpose="image of a galaxy cluster, two beta models, every pixel",
        inputs=_INPUTS,
        data_class="pyxstan.cluster.ClusterImage",
        workflow="pyxstan.cluster.workflow",
        reference="Cavaliere & Fusco-Femiano 1976, A&A 49, 137; Mohr et al. 1999, ApJ 517, 627",
        parameters=_CENTER + _TWO + _BACKGROUND + _SHEAR + _OFFSET
        + (
            Parameter("aperture_flux1", "inner component within the aperture", "counts/s(/cm2)",
                      sampled=False),
            Parameter("aperture_flux2", "outer component within the aperture", "counts/s(/cm2)",
                      sampled=False),
        )
        + _derived(("", "2")),
        headline=(*(p.name for p in _CENTER + _TWO + _BACKGROUND + _OFFSET), "ellipticity",
                  "position_angle", "ra", "dec", "rc_arcsec", "rc2_arcsec", "rc_kpc", "rc2_kpc",
                  "aperture_flux1", "aperture_flux2", "aperture_flux"),
        priors=_slots(_CENTER + _TWO + _BACKGROUND + _SHEAR + _OFFSET),
        options=(
            *_OPTIONS,
            Option("offset", "a centre of its own for the outer component", False, bool),
            Option("exact", "where one component is enough, draw by sequential Monte Carlo, not by "
                   "NUTS", True, bool),
        ),
        reading=_READING,
        adapt_delta=0.98,
        max_treedepth=7,
        simulation=_SIMULATION,
    ),
)  # fmt: skip
