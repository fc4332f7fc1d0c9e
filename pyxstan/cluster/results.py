"""From the draws of a cluster image to the groups of its inference data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from pyxstan import registry
from pyxstan.cluster.brightness import (
    aperture_flux,
    axes_of,
    kpc_an_arcsec,
    position_angle,
    unwrapped,
)
from pyxstan.cluster.cells import Floats
from pyxstan.units import spelled

if TYPE_CHECKING:
    from pyxstan.cluster.problem import ClusterProblem
    from pyxstan.engine.sampling import Draws

_SUMS = {
    "counts": "counts in the annulus",
    "exposure": "exposure summed over the annulus",
    "pixels": "pixels of the annulus that are fitted",
    "background_map": "mapped background in the annulus",
}
#: Draws for which the annuli are evaluated, at most.
_ANNULI_DRAWS = 1000
#: Mean resultant length of axes below which they have no direction to speak of (sd 27 degrees).
_UNDETERMINED = 0.64


def groups(problem: ClusterProblem, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
    """Every group of the inference data but `sample_stats`."""
    x = draws.variables["x"]
    names = problem.layout.names
    posterior = _posterior(problem, {name: x[..., i] for i, name in enumerate(names)})
    pixels = problem.guess.pixels
    problem.attributes["deviance_at_mean"] = _deviance(problem, x.reshape(-1, len(names)).mean(0))
    annuli = problem.guess.annuli
    index = annuli.index(pixels)
    size = len(annuli.edges)
    sums = {
        "counts": np.bincount(index, pixels.counts, size).astype(int),
        "exposure": np.bincount(index, pixels.exposure, size),
        "pixels": np.bincount(index, minlength=size),
        "background_map": np.bincount(index, pixels.background, size),
    }
    ring = {
        "annulus": np.arange(size),
        "outer_radius": ("annulus", annuli.edges, {"units": "pixel"}),
        "inner_radius": ("annulus", np.append(0.0, annuli.edges[:-1]), {"units": "pixel"}),
    }
    unit = spelled(problem.image.exposure_unit)
    units = {"counts": "count", "exposure": f"{unit} pixel", "background_map": "count"}
    annular = {
        name: ("annulus", values, {"units": units.get(name, ""), "long_name": _SUMS[name]})
        for name, values in sums.items()
    }
    observed = {"counts": annular.pop("counts")}
    return {
        "posterior": posterior,
        **_pointwise(problem, x, ring, seed),
        "observed_data": xr.Dataset(observed, coords=ring),
        "constant_data": _constant(problem).assign(annular).assign_coords(ring),
    }


def _deviance(problem: ClusterProblem, values: Floats) -> float:
    """-2 sum (n ln N - N) over all pixels."""
    u = problem.guess.coordinates.coefficients(values)
    return -2 * problem.guess.cells.log_likelihood(u)


def _posterior(problem: ClusterProblem, values: dict[str, Floats]) -> xr.Dataset:
    image, layout, options = problem.image, problem.layout, problem.options
    brightness = image.brightness_unit
    units = {"x0": "pixel", "y0": "pixel", "x02": "pixel", "y02": "pixel", "b": brightness}
    units |= {"S0": brightness, "S02": brightness, "rc": "pixel", "rc2": "pixel"}
    units |= {"B": "counts/pixel"}
    found: dict[str, tuple[Floats, str]] = {
        name: (value, units.get(name, "")) for name, value in values.items()
    }
    scale = image.pixel_scale
    sky = image.sky(values["x0"], values["y0"])
    if sky is not None:
        found["ra"], found["dec"] = (unwrapped(sky[0], 360)[0], "deg"), (sky[1], "deg")
    suffixes = ("", "2")[: layout.components]
    if scale is not None:
        for suffix in suffixes:
            found[f"rc{suffix}_arcsec"] = values[f"rc{suffix}"] * scale, "arcsec"
        if options["redshift"] is not None:
            kpc = kpc_an_arcsec(options["redshift"], options["cosmology"])
            for suffix in suffixes:
                found[f"rc{suffix}_kpc"] = values[f"rc{suffix}"] * scale * kpc, "kpc"
    if layout.elliptical:
        ratio, angle = axes_of(values["shear1"], values["shear2"], layout.shape)
        found["ellipticity"] = 1 - ratio, ""
        found["angle"] = _axis(angle), "deg"
        middle = float(values["x0"].mean()), float(values["y0"].mean())
        on_sky = position_angle(image, angle, middle)
        if on_sky is not None:
            found["position_angle"] = _axis(on_sky), "deg"
        if unwrapped(angle, 180)[1] < _UNDETERMINED:
            problem.notes.append(
                "the angle of the long axis is not determined: the isophotes are round within the "
                "errors"
            )
    radius = aperture_radius(problem)
    problem.attributes["aperture_pixels"] = radius
    if problem.options["aperture"] is None:
        told = f"aperture of {radius:.4g} pixels, up to the nearest edge of the image"
        problem.notes.append(f"{told}; aperture= sets another")
        if radius < float(np.median(values["rc"])):
            problem.complaints.append(f"{told}: less than the core radius (give aperture=)")
    total = np.zeros_like(values["x0"])
    for suffix in suffixes:
        part = aperture_flux(
            values[f"S0{suffix}"], values[f"rc{suffix}"], values[f"beta{suffix}"], radius
        )
        if layout.components == 2:
            found[f"aperture_flux{suffix or '1'}"] = part, brightness.removesuffix("/pixel")
        total = total + part
    found["aperture_flux"] = total, brightness.removesuffix("/pixel")
    found["aperture_counts"] = total * _exposure_at_center(problem), "counts"
    described = {p.name: p.description for p in registry.get(problem.model).parameters}
    coords = {"chain": np.arange(total.shape[0]), "draw": np.arange(total.shape[1])}
    variables = {
        name: (("chain", "draw"), value, {"units": spelled(unit), "long_name": described[name]})
        for name, (value, unit) in found.items()
    }
    return xr.Dataset(variables, coords=coords)


def _axis(angle: Floats) -> Floats:
    """Angles of axes as stored: from 0 to 180 where all draws are, else about a mean close to 0.

    Axes with hardly any direction are spread over 180 degrees about their mean.
    """
    found, length = unwrapped(angle, 180)
    across = found.max() > 180 and found.mean() > 90 and length > _UNDETERMINED
    return found - 180 if across else found


def aperture_radius(problem: ClusterProblem) -> float:
    """Radius of the aperture in pixels: the user's, or up to the nearest edge of the image."""
    given, scale = problem.options["aperture"], problem.image.pixel_scale
    if given is not None:
        return float(given / scale if scale else given)
    ny, nx = problem.image.counts.shape
    x, y = problem.guess.mode[:2]
    shape = problem.layout.shape
    across, up = 1 / np.sqrt(np.diag(np.linalg.inv(shape @ shape)))  # of a pixel, on the sky
    edges = (x + 0.5) * across, (nx - 0.5 - x) * across, (y + 0.5) * up, (ny - 0.5 - y) * up
    return float(max(1.0, min(edges)))


def _exposure_at_center(problem: ClusterProblem) -> float:
    """Mean exposure of the good pixels around the centre."""
    pixels = problem.guess.pixels
    x, y = problem.guess.mode[:2]
    distance = np.hypot(pixels.x - x, pixels.y - y)
    near = distance <= max(3.0, float(np.partition(distance, 20)[20]))
    return float(pixels.exposure[near].mean())


def _pointwise(
    problem: ClusterProblem, x: Floats, ring: dict[str, Any], seed: int
) -> dict[str, xr.Dataset]:
    """log_likelihood and posterior_predictive of each annulus, on some of the draws.

    The log likelihood of an annulus is the sum of n ln N - N over its pixels.
    """
    chains, total = x.shape[:2]
    kept = np.arange(0, total, max(1, chains * total // _ANNULI_DRAWS))
    rng = np.random.default_rng([seed, 1])
    log_likelihood = np.empty((chains, kept.size, len(ring["annulus"])))
    expected = np.empty_like(log_likelihood)
    u = problem.guess.coordinates.coefficients(np.moveaxis(x[:, kept], -1, 0))
    for chain, k in np.ndindex(chains, kept.size):
        expected[chain, k], logs = problem.guess.cells.expected_and_log(u[:, chain, k])
        log_likelihood[chain, k] = logs - expected[chain, k]
    coords = {**ring, "chain": np.arange(chains), "draw": kept}
    dims = ("chain", "draw", "annulus")
    return {
        "log_likelihood": xr.Dataset({"counts": (dims, log_likelihood)}, coords=coords),
        "posterior_predictive": xr.Dataset(
            {
                "counts": (dims, rng.poisson(np.maximum(expected, 0.0)), {"units": "count"}),
                "expected_counts": (dims, expected, {"units": "count"}),
            },
            coords=coords,
        ),
    }


def _constant(problem: ClusterProblem) -> xr.Dataset:
    """The image, for the figures, and the parameters of largest likelihood."""
    image = problem.image
    at = ("y", "x")
    variables: dict[str, Any] = {
        "image": (at, _narrowed(image.counts, np.int32), {"units": "count"}),
        "exposure_map": (
            at,
            _narrowed(image.exposure),
            {"units": spelled(image.exposure_unit)},
        ),
        "good": (at, image.good.astype(np.int8), {"long_name": "1: fitted, 0: masked"}),
        "maximum_likelihood": ("parameter", problem.guess.best),
        "annuli_center": ("axis", np.array(problem.guess.annuli.center), {"units": "pixel"}),
        "reference": ("axis", np.array(problem.guess.coordinates.center), {"units": "pixel"}),
        "pixel_shape": ("shape", np.array(problem.layout.pixel_shape)),
    }
    if image.background_map is not None:
        variables["background_map_image"] = (at, _narrowed(image.background_map))
    ny, nx = image.counts.shape
    coords: dict[str, Any] = {
        "parameter": problem.layout.names,
        "axis": ["x", "y"],
        "shape": ["xx", "xy", "yy"],
    }
    coords |= {"y": np.arange(ny), "x": np.arange(nx)}
    return xr.Dataset(variables, coords=coords)


def _narrowed(values: NDArray[Any], kind: type[np.generic] = np.float32) -> NDArray[Any]:
    """The values in half the bytes, where that changes none of them."""
    with np.errstate(over="ignore"):
        narrow = values.astype(kind)
    return narrow if np.array_equal(narrow, values) else values
