"""Events of a source, made up: their places, energies, errors and times, as the detector sees them.

A reconstructed energy follows the source's spectrum through area and smearing; its angular error is
that of a real event of about that energy and declination; its place is off the source's by the
von Mises-Fisher distribution of that error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.tables import energy_edges
from pyxstan.point_source.windows import TimeWindow

#: Real events that lend their errors: how many, and what makes them alike in sin(dec) and log10 of
#: the energy.
_LENDERS, _ALIKE_SIN_DEC, _ALIKE_ENERGY = 100, 0.1, 0.1


def scrambled(data: PointSourceData, rng: np.random.Generator) -> list[Floats]:
    """Right ascensions of a sky without sources, by sample."""
    return [rng.uniform(0.0, 2.0 * np.pi, len(sample)) for sample in data.samples]


def with_source(
    data: PointSourceData,
    ra: Sequence[Floats],
    counts: Sequence[int],
    gamma: float,
    position: tuple[float, float],
    rng: np.random.Generator,
) -> PointSourceData:
    """The events, with right ascensions of their own and those of a source added.

    Parameters
    ----------
    ra
        Right ascensions by sample, as of `scrambled`.
    counts
        Events of the source in each sample.
    position
        Right ascension and declination (rad).
    """
    samples = []
    for sample, places, count in zip(data.samples, ra, counts, strict=True):
        columns: dict[str, Any] = {"ra": places, "dec": sample.dec, "sigma": sample.sigma}
        columns["log10_energy"] = sample.log10_energy
        if sample.mjd is not None:
            columns["mjd"] = sample.mjd
        if count:
            added = source_events(sample, count, gamma, position, data.window, rng)
            columns = {name: np.append(old, added[name]) for name, old in columns.items()}
        samples.append(dataclasses.replace(sample, **columns))
    return dataclasses.replace(data, samples=tuple(samples))


def source_events(
    sample: EventSample,
    count: int,
    gamma: float,
    position: tuple[float, float],
    window: TimeWindow | None,
    rng: np.random.Generator,
) -> dict[str, Floats]:
    """Columns of events of a source."""
    ra, dec = position
    edges = energy_edges(sample)
    of_cell = sample.area.energies(edges, np.array([gamma]), sample.smearing)
    p = of_cell[int(sample.area.cell(np.sin(dec))), :, 0]
    if count and not p.sum() > 0:
        raise DataError(
            f"{sample.name}: no event is accepted from declination {np.degrees(dec):.4g} deg"
        )
    bins = rng.choice(len(p), count, p=p / p.sum()) if count else np.empty(0, dtype=np.int64)
    middles = 0.5 * (edges[1:] + edges[:-1])
    sigma = sample.sigma[_lenders(sample, bins, edges, np.sin(dec), rng)]
    found = dict(zip(("ra", "dec"), _displaced(ra, dec, sigma, rng), strict=True))
    found |= {"sigma": sigma, "log10_energy": middles[bins]}
    if sample.mjd is not None:
        found["mjd"] = (
            rng.choice(sample.mjd, count)
            if window is None
            else window.draw(count, sample.uptimes, rng)
        )
        if sample.whole_days:
            found["mjd"] = np.floor(found["mjd"])
    return found


def _lenders(
    sample: EventSample, bins: Integers, edges: Floats, sin_dec: float, rng: np.random.Generator
) -> Integers:
    """For each energy bin a real event of about that energy and declination."""
    away = ((np.sin(sample.dec) - sin_dec) / _ALIKE_SIN_DEC) ** 2
    count = min(_LENDERS, len(away))
    found = np.empty(len(bins), dtype=np.int64)
    for bin_ in np.unique(bins):
        energy = 0.5 * (edges[bin_] + edges[bin_ + 1])
        distance = away + ((sample.log10_energy - energy) / _ALIKE_ENERGY) ** 2
        nearest = np.argpartition(distance, count - 1)[:count]
        here = bins == bin_
        found[here] = rng.choice(nearest, here.sum())
    return found


def _displaced(
    ra: float, dec: float, sigma: Floats, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Places off one by angles of the von Mises-Fisher distribution of width sigma (rad)."""
    kappa = sigma**-2.0
    away = np.log1p(rng.random(sigma.size) * np.expm1(-2.0 * kappa)) / kappa  # cosine less one
    sine = np.sqrt(np.clip(-away * (2.0 + away), 0.0, 1.0))
    turn = rng.uniform(0.0, 2.0 * np.pi, sigma.size)
    # along the source's direction, north and east
    along, north, east = 1.0 + away, sine * np.cos(turn), sine * np.sin(turn)
    z = along * np.sin(dec) + north * np.cos(dec)
    x = along * np.cos(dec) - north * np.sin(dec)
    return (ra + np.arctan2(east, x)) % (2.0 * np.pi), np.arcsin(np.clip(z, -1.0, 1.0))
