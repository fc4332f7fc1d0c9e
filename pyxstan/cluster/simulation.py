"""Simulate images of galaxy clusters, as a telescope with CCDs would take them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.cluster.cells import Floats, Pixels
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.parameters import Layout
from pyxstan.cluster.pilot import expected_counts
from pyxstan.cluster.problem import layout_of, prior_table
from pyxstan.errors import DataError
from pyxstan.output import replacing
from pyxstan.priors import Prior

if TYPE_CHECKING:
    from astropy.wcs import WCS

#: A cluster in Chandra's image of 883 x 883 pixels, from single and double fits of one (pixels,
#: counts/s/cm2/pixel, counts/pixel), and what is not in them.
_SIDE = 883
_SINGLE = {"x0": 481.23, "y0": 552.96, "S0": 1.0913e-5, "rc": 4.2977, "beta": 0.55237, "B": 0.0576}
_DOUBLE = {
    "x0": 481.243, "y0": 553.017, "S0": 1.0604e-5, "rc": 6.3289, "beta": 1.05148,
    "S02": 1.0874e-6, "rc2": 17.8515, "beta2": 0.67542, "B": 0.082241,
}  # fmt: skip
_REST = {"b": 2e-9, "map_factor": 1.0, "shear1": 0.1, "shear2": 0.05}
#: Where the optical axis is and where the effective area has fallen to half, in sides of the image.
_AXIS, _HALF = (0.52, 0.56), 0.44
#: Gaps between chips: where, and how wide (pixels), with a part of the exposure left.
_GAPS, _GAP_WIDTH, _GAP_EXPOSURE = (0.2, 0.75), 6, 0.3
#: Radius of the mask of a point source (pixels), and how far from the centre they stay.
_SOURCE_RADIUS, _CLEAR = 7.0, 30.0
#: Draws from the priors until one is possible, at most.
_TRIES = 100_000
#: Where the image points to (degrees).
_POINTING = (210.258, 2.878)


def simulate(
    model: str,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    *,
    from_prior: bool,
) -> tuple[ClusterImage, dict[str, Any]]:
    """Simulate a counts image; see `pyxstan.simulate`.

    True values are those of a cluster in Chandra's image, shifted to where it is in an image of
    another size, or drawn from the priors (`from_prior`). Brightness is integrated over each pixel.
    The image has a vignetted exposure, gaps between chips and masked point sources. An unmasked
    image without gaps is one with ``point_sources=0`` and ``min_exposure`` at zero.
    """
    side = options["size"]
    if side < 16:
        raise DataError(f"option size: {side} is not a whole number of at least 16")
    if not options["peak_exposure"] > 0 or not options["pixel_scale"] > 0:
        raise DataError("options peak_exposure and pixel_scale: expected positive numbers")
    if options["point_sources"] < 0:
        raise DataError(f"option point_sources: {options['point_sources']} is negative")
    layout = layout_of(model, options, has_map=False)
    truth = _truth(layout, parameters, rng, priors, side, options["peak_exposure"], from_prior)
    exposure = _exposure(side, options["peak_exposure"])
    good = exposure > 0.5 * exposure.max()
    y, x = np.mgrid[:side, :side].astype(float)
    for _ in range(options["point_sources"]):
        at = rng.uniform(0, side, 2)
        while np.hypot(*(at - [truth["x0"], truth["y0"]])) < min(_CLEAR, side / 4):
            at = rng.uniform(0, side, 2)
        good &= np.hypot(x - at[0], y - at[1]) > _SOURCE_RADIUS
    zero = np.zeros(x.size)
    whole = Pixels(x.ravel(), y.ravel(), zero, exposure.ravel(), zero, averaged=True)
    expected = expected_counts(whole, layout, np.array([truth[n] for n in layout.names]))
    image = ClusterImage(
        counts=rng.poisson(expected.reshape(side, side)),
        exposure=exposure,
        good=good,
        exposure_unit="cm2 s",
        wcs=_wcs(side, options["pixel_scale"]),
        source="simulated image",
    )
    return image, truth


def _truth(
    layout: Layout,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    priors: Mapping[str, Prior],
    side: int,
    peak: float,
    from_prior: bool,
) -> dict[str, Any]:
    truth: dict[str, float] = dict(_SINGLE if layout.components == 1 else _DOUBLE) | _REST
    for name in ("x0", "y0"):
        truth[name] *= side / _SIDE
    truth |= {"x02": truth["x0"] + 3.0, "y02": truth["y0"] - 2.0}
    truth = {name: truth[name] for name in layout.names}
    if from_prior:
        chosen = prior_table(side, side, -float(np.log(peak))) | dict(priors)
        truth = _from_prior(layout, chosen, rng)
    for name, value in (parameters or {}).items():
        if name not in truth:
            raise DataError(f"simulate: no parameter '{name}'; there are {', '.join(truth)}")
        if not np.isfinite(value):
            raise DataError(f"simulate: {name} is {value}, expected a finite number")
        truth[name] = float(value)
    problem = _impossible(truth)
    if problem:
        raise DataError(f"simulate: {problem}")
    return truth


def _from_prior(
    layout: Layout, priors: Mapping[str, Prior], rng: np.random.Generator
) -> dict[str, float]:
    """Draw from the priors, which are cut off at beta = 1/6 and where rc2 falls below rc."""
    for _ in range(_TRIES):
        truth = {name: float(priors[name].sample(rng, 1)[0]) for name in layout.names}
        if not _impossible(truth):
            return truth
    raise DataError("simulate: the priors leave nothing with beta above 1/6 and rc2 above rc")


def _impossible(truth: Mapping[str, float]) -> str:
    for name, value in truth.items():
        if name.startswith("beta") and value <= 1 / 6:
            return f"{name} is {value:g}, not above 1/6"
        if name.startswith(("S0", "rc", "map")) and value <= 0:
            return f"{name} is {value:g}, not positive"
        if name in ("B", "b") and value < 0:
            return f"{name} is {value:g}, negative"
    if truth.get("rc2", np.inf) <= truth["rc"]:
        return f"rc2 is {truth['rc2']:g}, not above rc {truth['rc']:g}"
    return ""


def _exposure(side: int, peak: float) -> Floats:
    """A vignetted exposure map with gaps between chips."""
    y, x = np.mgrid[:side, :side] / side
    r = np.hypot(x - _AXIS[0], y - _AXIS[1])
    exposure = peak / (1 + (r / _HALF) ** 2.5)
    width = max(1, round(_GAP_WIDTH * side / _SIDE))
    for place in _GAPS:
        start = int(place * side)
        exposure[:, start : start + width] *= _GAP_EXPOSURE
        exposure[start : start + width, :] *= _GAP_EXPOSURE
    return np.asarray(exposure, dtype=np.float32).astype(float)  # as a file holds it


def _wcs(side: int, scale: float) -> WCS:
    from astropy.wcs import WCS

    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [side / 2 + 0.5, side / 2 + 0.5]
    wcs.wcs.crval = list(_POINTING)
    wcs.wcs.cdelt = [-scale / 3600, scale / 3600]
    wcs.wcs.cunit = ["deg", "deg"]
    return wcs


def write(image: ClusterImage, truth: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write counts.fits, exposure.fits, mask.fits and truth.json."""
    from astropy.io import fits

    header = fits.Header() if image.wcs is None else image.wcs.to_header()
    written = []
    hidden = ~image.good & (image.exposure > 0.5 * image.exposure.max())
    for name, values, unit in (
        ("counts.fits", image.counts.astype(np.int32), "count"),
        ("exposure.fits", image.exposure.astype(np.float32), image.exposure_unit),
        ("mask.fits", hidden.astype(np.uint8), ""),
    ):
        hdu = fits.PrimaryHDU(values, header)
        if unit:
            hdu.header["BUNIT"] = unit
        written.append(directory / name)
        with replacing(written[-1]) as temporary:
            hdu.writeto(temporary, output_verify="silentfix")
    written.append(directory / "truth.json")
    with replacing(written[-1]) as temporary:
        temporary.write_text(json.dumps(dict(truth), indent=1) + "\n")
    return written
