"""From draws of ns and gamma to the groups of a catalogue's inference data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.fluxes import summed_flux
from pyxstan.point_source.injection import source_events
from pyxstan.point_source.results import doubts, limits, parameters
from pyxstan.point_source.rings import RADII, datasets, kept_draws, occupied
from pyxstan.point_source.tables import SampleTables, between_nodes

if TYPE_CHECKING:
    from pyxstan.engine.sampling import Draws
    from pyxstan.point_source.problem import CatalogueProblem

#: Scrambled skies that the background of the rings is counted in, and the part of all events whose
#: errors make the rings.
_SKIES, _NEAREST = 20, 0.05
#: Values of gamma over which parts of sources are averaged.
_GAMMAS = 301


def groups(problem: CatalogueProblem, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
    """Every group of the inference data but `sample_stats`."""
    ns, gamma = draws.variables["ns"], draws.variables["gamma"]
    catalogue, data = problem.catalogue, problem.data
    fluxes = summed_flux(data, ns, gamma, catalogue, problem.pivot, problem.unit)
    posterior = parameters(problem, ns, gamma, fluxes)
    doubts(problem, posterior)
    limits(problem, posterior)
    part = _parts(problem, gamma)
    return {
        "posterior": posterior,
        **_rings(problem, ns, gamma, np.random.default_rng([seed, 1])),
        "constant_data": xr.Dataset(
            {
                "source_ra": ("source", np.degrees(catalogue.ra), {"units": "deg"}),
                "source_dec": ("source", np.degrees(catalogue.dec), {"units": "deg"}),
                "source_weight": ("source", catalogue.weight),
                "source_part": ("source", part),
            },
            coords={"source": list(catalogue.names)},
        ),
    }


def _parts(problem: CatalogueProblem, gamma: Floats) -> Floats:
    """Each source's part of the events, averaged over draws of gamma."""
    sky = problem.sky
    middles = np.linspace(sky.gammas[0], sky.gammas[-1], _GAMMAS)
    weight = np.bincount(
        np.rint((gamma.ravel() - middles[0]) / (middles[1] - middles[0])).astype(int),
        minlength=_GAMMAS,
    )
    total = np.zeros(len(problem.catalogue))
    for one, count in zip(middles[weight > 0], weight[weight > 0], strict=True):
        share = np.exp(between_nodes(sky.gammas, sky.log_share, one))
        total += count * (share @ np.exp(between_nodes(sky.gammas, sky.log_part, one)))
    return np.asarray(total / gamma.size)


def _rings(
    problem: CatalogueProblem, ns: Floats, gamma: Floats, rng: np.random.Generator
) -> dict[str, xr.Dataset]:
    """Likelihoods, replicates and counts of events by distance from the nearest source."""
    sky, made = problem.sky, problem.made
    chains, draws = ns.shape
    kept = kept_draws(chains, draws)
    ns, gamma = ns[:, kept].ravel(), gamma[:, kept].ravel()
    away = [_nearest(each.sample.ra, each.sample.dec, problem.catalogue) for each in made.samples]
    edges = occupied(np.append(RADII * _typical_error(problem, away), np.pi), away)
    log_l = np.zeros((len(ns), len(edges)))
    replicate = np.zeros(log_l.shape, dtype=int)
    counts = np.zeros(len(edges), dtype=int)
    for s, each in enumerate(made.samples):
        ring = np.searchsorted(edges, away[s])
        here = np.bincount(ring, minlength=len(edges))
        counts += here
        near = slice(sky.start[s], sky.start[s + 1])
        of_near = ring[sky.number[near]]
        rest = here - np.bincount(of_near, minlength=len(edges))
        background = _scrambled(each, problem.catalogue, edges, rng)
        for k in range(len(ns)):
            share = np.exp(between_nodes(sky.gammas, sky.log_share[s], gamma[k]))
            rows = np.exp(between_nodes(sky.gammas, sky.log_energy, gamma[k]))
            part = ns[k] * share / len(each.sample)
            ratio = sky.ratio[near] * rows[sky.row[near]]
            log_l[k] += np.bincount(of_near, np.log1p(part * (ratio - 1.0)), len(edges))
            log_l[k] += rest * np.log1p(-part)
            replicate[k] += rng.poisson((1.0 - part) * background)
        replicate += _of_sources(problem, s, ns, gamma, edges, rng)
    words = "events by distance from the nearest source"
    return datasets(log_l, replicate, counts, edges, chains, kept, words)


def _of_sources(
    problem: CatalogueProblem,
    s: int,
    ns: Floats,
    gamma: Floats,
    edges: Floats,
    rng: np.random.Generator,
) -> np.ndarray:
    """Events of the sources in a sample, (draws, rings); their errors are those at one gamma."""
    sky, catalogue = problem.sky, problem.catalogue
    middle = float(np.median(gamma))
    share = np.exp([between_nodes(sky.gammas, sky.log_share[s], one) for one in gamma])
    part = np.exp(between_nodes(sky.gammas, sky.log_part[s], middle))
    found = np.zeros((len(ns), len(edges)), dtype=int)
    for k, place in enumerate(zip(catalogue.ra, catalogue.dec, strict=True)):
        count = rng.poisson(ns * share * part[k])
        sample = problem.made.samples[s].sample
        added = source_events(sample, int(count.sum()), middle, place, None, rng)
        ring = np.searchsorted(edges, _nearest(added["ra"], added["dec"], catalogue))
        np.add.at(found, (np.repeat(np.arange(len(ns)), count), ring), 1)
    return found


def _scrambled(
    each: SampleTables, catalogue: Catalogue, edges: Floats, rng: np.random.Generator
) -> Floats:
    """Events expected in rings if right ascensions are random."""
    found = np.zeros(len(edges))
    for _ in range(_SKIES):
        ra = rng.uniform(0.0, 2.0 * np.pi, len(each.sample))
        away = _nearest(ra, each.sample.dec, catalogue)
        found += np.bincount(np.searchsorted(edges, away), minlength=len(edges))
    return found / _SKIES


def _typical_error(problem: CatalogueProblem, away: list[Floats]) -> float:
    """Median of the angular errors of the events that are nearest to sources (rad)."""
    distance = np.concatenate(away)
    sigma = np.concatenate([each.sample.sigma for each in problem.made.samples])
    nearest = np.argsort(distance)[: max(20, int(_NEAREST * len(distance)))]
    return float(np.median(sigma[nearest]))


def _nearest(ra: Floats, dec: Floats, catalogue: Catalogue) -> Floats:
    """Distance from the nearest of the sources (rad)."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord, match_coordinates_sky

    if not len(ra):
        return np.empty(0)
    events = SkyCoord(ra, dec, unit=u.rad)
    sources = SkyCoord(catalogue.ra, catalogue.dec, unit=u.rad)
    return np.asarray(match_coordinates_sky(events, sources, storekdtree=False)[1].rad)
