"""Events by their distance from the hottest pixel: likelihoods, replicates, and what was seen.

The likelihood is a product over events, and so over rings of them: what ArviZ compares models by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.data import EventSample
from pyxstan.point_source.injection import source_events
from pyxstan.point_source.sky import separation
from pyxstan.point_source.tables import SampleTables, Tables, between_nodes

if TYPE_CHECKING:
    from pyxstan.point_source.problem import PointSourceProblem

#: Outer radii of the rings, in typical angular errors; the last ring takes all the rest.
RADII = np.array([0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0, 10.0])
#: Events within this have typical errors.
_NEAR = np.radians(10.0)
#: Draws for which rings are evaluated, at most.
_DRAWS = 400


@dataclass(frozen=True)
class Sources:
    """Draws of a source, shape (chains, draws); positions in rad."""

    ns: Floats
    gamma: Floats
    ra: Floats
    dec: Floats

    def at(self, kept: np.ndarray) -> Sources:
        """Some draws of each chain, one after the other."""
        each = (self.ns, self.gamma, self.ra, self.dec)
        return Sources(*(values[:, kept].ravel() for values in each))


def groups(
    problem: PointSourceProblem, sources: Sources, rng: np.random.Generator
) -> dict[str, xr.Dataset]:
    """The groups of likelihoods, replicates and observed counts."""
    middle = problem.hottest.ra, problem.hottest.dec
    sky = problem.sky
    made = sky.tables
    away = [separation(each.sample.ra, each.sample.dec, *middle) for each in made.samples]
    edges = occupied(np.append(RADII * _typical_error(problem), np.pi), away)
    chains, draws = sources.ns.shape
    kept = kept_draws(chains, draws)
    some = sources.at(kept)
    log_l = np.zeros((len(some.ns), len(edges)))
    replicate = np.zeros(log_l.shape, dtype=int)
    counts = np.zeros(len(edges), dtype=int)
    for tables, distance in zip(made.samples, away, strict=True):
        sample = tables.sample
        index = np.searchsorted(edges, distance)
        counts += np.bincount(index, minlength=len(edges))
        background = _scrambled(sample, middle[1], edges)
        inside = np.flatnonzero(index < len(edges) - 1)
        for k, (ns, gamma, ra, dec) in enumerate(
            zip(some.ns, some.gamma, some.ra, some.dec, strict=True)
        ):
            share, ratio = _ratios(tables, made, inside, gamma, ra, dec)
            part = ns * share / len(sample)
            terms = np.log1p(part * (ratio - 1.0))
            log_l[k] += np.bincount(index[inside], terms, len(edges))
            replicate[k] += rng.poisson((1.0 - part) * background)
            count = rng.poisson(ns * share)
            added = source_events(sample, count, gamma, (ra, dec), None, rng)
            ring = np.searchsorted(edges, separation(added["ra"], added["dec"], *middle))
            replicate[k] += np.bincount(ring, minlength=len(edges))
    total = [
        sky.log_likelihood(ra, dec, ns, gamma)[0, 0]
        for ns, gamma, ra, dec in zip(some.ns, some.gamma, some.ra, some.dec, strict=True)
    ]
    log_l[:, -1] = total - log_l[:, :-1].sum(axis=1)
    words = "events by distance from the hottest pixel"
    return datasets(log_l, replicate, counts, edges, chains, kept, words)


def occupied(edges: Floats, away: list[Floats]) -> Floats:
    """Outer edges of rings of which none is empty: an empty one becomes part of the next."""
    counts = np.bincount(np.searchsorted(edges, np.concatenate(away)), minlength=len(edges))
    counts[-1] += 1  # the last ends at the other side of the sky
    return edges[counts > 0]


def kept_draws(chains: int, draws: int) -> np.ndarray:
    """Draws of each chain for which rings are evaluated."""
    return np.arange(0, draws, max(1, chains * draws // _DRAWS))


def datasets(
    log_l: Floats,
    replicate: np.ndarray,
    counts: np.ndarray,
    edges: Floats,
    chains: int,
    kept: np.ndarray,
    words: str,
) -> dict[str, xr.Dataset]:
    """Likelihoods and replicates, (draws, rings), and observed counts, as groups."""
    outer = np.degrees(edges)
    ring = {
        "ring": np.arange(len(edges)),
        "outer_radius": ("ring", outer, {"units": "deg"}),
        "inner_radius": ("ring", np.append(0.0, outer[:-1]), {"units": "deg"}),
    }
    drawn: dict[str, Any] = {**ring, "chain": np.arange(chains), "draw": kept}

    def of_draws(values: np.ndarray) -> xr.Dataset:
        shaped = values.reshape(chains, len(kept), len(edges))
        return xr.Dataset({"counts": (("chain", "draw", "ring"), shaped)}, coords=drawn)

    attrs = {"units": "count", "long_name": words}
    return {
        "log_likelihood": of_draws(log_l),
        "posterior_predictive": of_draws(replicate),
        "observed_data": xr.Dataset({"counts": ("ring", counts, attrs)}, coords=ring),
    }


def _typical_error(problem: PointSourceProblem) -> float:
    """Median of the angular errors around the hottest pixel, or of all (rad)."""
    sigma = np.concatenate([sample.sigma for sample in problem.data.samples])
    near = np.concatenate(
        [
            separation(sample.ra, sample.dec, problem.hottest.ra, problem.hottest.dec) < _NEAR
            for sample in problem.data.samples
        ]
    )
    return float(np.median(sigma[near] if near.any() else sigma))


def _scrambled(sample: EventSample, dec: float, edges: Floats) -> Floats:
    """Events expected in rings around a declination if right ascensions are random."""
    with np.errstate(divide="ignore", invalid="ignore"):
        cosine = (np.cos(edges[:, None]) - np.sin(dec) * np.sin(sample.dec)) / (
            np.cos(dec) * np.cos(sample.dec)
        )
    within = np.arccos(np.clip(np.nan_to_num(cosine), -1.0, 1.0)).sum(axis=1) / np.pi
    within[-1] = len(sample)
    return np.diff(within, prepend=0.0)


def _ratios(
    tables: SampleTables, made: Tables, events: np.ndarray, gamma: float, ra: float, dec: float
) -> tuple[float, Floats]:
    """The sample's share of the signal, and signal over background of some events."""
    sample = tables.sample
    cell = int(np.searchsorted(made.sin_dec[1:-1], np.sin(dec), side="right"))
    share = float(np.exp(between_nodes(made.gammas, tables.log_share[cell], gamma)))
    energy = np.exp(between_nodes(made.gammas, tables.log_energy[cell], gamma))
    kappa = sample.sigma[events] ** -2.0
    away = separation(sample.ra[events], sample.dec[events], ra, dec)
    place = kappa / (-2.0 * np.pi * np.expm1(-2.0 * kappa))
    place *= np.exp(-2.0 * kappa * np.sin(0.5 * away) ** 2)
    return share, tables.weight[events] * place * energy[tables.energy_bin[events]]
