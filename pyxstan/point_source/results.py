"""From draws of ns and gamma to the groups of a point source's inference data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan.cluster.brightness import unwrapped
from pyxstan.point_source import rings
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.fluxes import checked_unit, flux
from pyxstan.point_source.sky import separation
from pyxstan.units import spelled

if TYPE_CHECKING:
    from pyxstan.engine.sampling import Draws
    from pyxstan.point_source.problem import PointSourceProblem, SourceProblem

#: Distance of events that are kept for the figure, and how many of the draws may be beyond it
#: without a word.
_NEAR, _FAR = np.radians(10.0), 0.05
#: Of credible regions.
_LEVELS = (0.5, 0.9)
#: How often a place within a pixel is looked for where events are accepted.
_TRIES = 30
#: How close to the end of a prior, in parts of its width, how many of the draws are too many.
_AT_END, _HELD = 0.02, 0.2
#: Part of the trials that may look as good where there is a source.
_CHANCE = 0.01


def groups(problem: PointSourceProblem, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
    """Every group of the inference data but `sample_stats`."""
    rng = np.random.default_rng([seed, 1])
    ns, gamma = draws.variables["ns"], draws.variables["gamma"]
    at = problem.region
    x = np.log1p(ns).ravel()
    position = problem.layout.drawn_positions(x, gamma.ravel(), rng)
    ra, dec = (each.reshape(ns.shape) for each in _places(problem, position, rng))
    fluxes = flux(problem.data, ns, gamma, dec, problem.pivot, problem.unit)
    posterior = parameters(
        problem,
        ns,
        gamma,
        fluxes,
        ra=(unwrapped(np.degrees(ra), 360)[0], "deg", "right ascension (ICRS)"),
        dec=(np.degrees(dec), "deg", "declination (ICRS)"),
    )
    probability = _map(problem)
    _areas(problem, probability)
    far = float((separation(ra, dec, problem.hottest.ra, problem.hottest.dec) > _NEAR).mean())
    if far > _FAR:
        problem.notes.append(
            f"{far:.0%} of the draws lie more than {np.degrees(_NEAR):.0f} deg from the hottest "
            "pixel: mean and sd of ra and dec tell little, the map does"
        )
    doubts(problem, posterior)
    limits(problem, posterior)
    sources = rings.Sources(
        ns, gamma, at.ra[position].reshape(ns.shape), at.dec[position].reshape(ns.shape)
    )
    near = _near_events(problem)
    return {
        "posterior": posterior,
        **rings.groups(problem, sources, rng),
        "constant_data": xr.Dataset(
            {
                "map_probability": ("pixel", probability),
                "map_prior": ("pixel", np.exp(at.log_prior)),
                "map_order": ("pixel", at.pixels.order),
                "map_number": ("pixel", at.pixels.number),
                "map_ra": ("pixel", np.degrees(at.ra), {"units": "deg"}),
                "map_dec": ("pixel", np.degrees(at.dec), {"units": "deg"}),
                **{f"event_{name}": ("event", values) for name, values in near.items()},
            },
            coords={"pixel": np.arange(len(at)), "event": np.arange(len(near["ra"]))},
        ),
    }


def _places(
    problem: PointSourceProblem, position: Integers, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """A place anywhere in each draw's pixel where events are accepted (rad)."""
    at = problem.region
    ra, dec = at.ra[position], at.dec[position]  # where they are
    wanted = np.arange(position.size)
    for _ in range(_TRIES):
        lon, lat = at.pixels.kept(position[wanted]).positions(*rng.random((2, wanted.size)))
        seen = problem.data.accepts(lat)
        ra[wanted[seen]], dec[wanted[seen]] = lon[seen], lat[seen]
        wanted = wanted[~seen]
    return ra, dec


def parameters(
    problem: SourceProblem,
    ns: Floats,
    gamma: Floats,
    fluxes: Floats,
    **more: tuple[Floats, str, str],
) -> xr.Dataset:
    """The posterior: values, shape (chains, draws), and of `more` their units and descriptions."""
    pivot, unit = problem.pivot, problem.unit
    what = "dN/dE" if checked_unit(pivot, unit) else "E^2 dN/dE"
    values: dict[str, tuple[Floats, str, str]] = {
        "ns": (ns, "", "events of the source"),
        "gamma": (gamma, "", "spectral index, dN/dE ~ E^-gamma"),
        "flux": (fluxes, spelled(unit), f"{what} at {pivot:g} GeV"),
        **more,
    }
    coords = {"chain": np.arange(ns.shape[0]), "draw": np.arange(ns.shape[1])}
    return xr.Dataset(
        {
            name: (("chain", "draw"), value, {"units": of, "long_name": words})
            for name, (value, of, words) in values.items()
        },
        coords=coords,
    )


def _map(problem: PointSourceProblem) -> Floats:
    """Posterior probability of each pixel, summed over ns and gamma."""
    layout = problem.layout
    return layout.of_positions(problem.target.log_prior_on(layout.x, layout.gamma))


def _areas(problem: PointSourceProblem, probability: Floats) -> None:
    """Areas of credible regions."""
    area = np.degrees(np.degrees(problem.region.pixels.solid_angle))
    order = np.argsort(-probability / area)
    held = probability[order].cumsum()
    for level in _LEVELS:
        inside = np.searchsorted(held, level) + 1
        problem.attributes[f"area_{100 * level:.0f}_deg2"] = float(area[order][:inside].sum())


def doubts(problem: SourceProblem, posterior: xr.Dataset) -> None:
    """Say where a parameter is held by the end of its prior."""
    low, high = problem.target.ends
    ends = {"ns": [problem.target.most], "gamma": [low, high]}
    widths = {"ns": problem.target.most, "gamma": high - low}
    for name, values in ends.items():
        for end in values:
            held = float((np.abs(posterior[name] - end) < _AT_END * widths[name]).mean())
            if held > _HELD:
                problem.complaints.append(
                    f"{name} is held by the end of its prior at {end:g}, where {held:.0%} of the "
                    "draws are: the answer is the prior's"
                )


def limits(problem: SourceProblem, posterior: xr.Dataset) -> None:
    """Upper limits, and whether there is a source."""
    if posterior["ns"].size == 1:  # of which there are no quantiles
        return
    found: dict[str, Any] = problem.attributes
    for name in ("ns", "flux"):
        found[f"{name}_upper_limit_95"] = float(posterior[name].quantile(0.95))
    p, trials = found.get("p_value"), found.get("trials", 0)
    if p is None:
        return
    better, limit = round(p * (trials + 1)) - 1, found["flux_upper_limit_95"]
    if better > _CHANCE * trials:
        problem.notes.append(
            f"no source was found: of {trials} skies without one {better} look as good (p = "
            f"{p:.2g}); flux below {limit:.3g} {problem.unit} (95%)"
        )
    else:
        problem.notes.append(
            f"of {trials} skies without a source {better or 'none'} look{'s' * (better < 2)} as "
            f"good (p {'=' if better else '<='} {p:.2g})"
        )


def _near_events(problem: PointSourceProblem) -> dict[str, Floats]:
    """Events around the hottest pixel, for the figure."""
    hottest = problem.hottest
    columns: dict[str, list[Floats]] = {"ra": [], "dec": [], "sigma": [], "log10_energy": []}
    for sample in problem.data.samples:
        near = separation(sample.ra, sample.dec, hottest.ra, hottest.dec) < _NEAR
        for name, values in columns.items():
            values.append(getattr(sample, name)[near])
    found = {name: np.concatenate(values) for name, values in columns.items()}
    for name in ("ra", "dec", "sigma"):
        found[name] = np.degrees(found[name])
    return found
