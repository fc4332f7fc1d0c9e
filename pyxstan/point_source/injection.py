"""Skies of trials: right ascensions scrambled, and events of a source, as the detector sees them.

A reconstructed energy follows the source's spectrum through area and smearing; its angular error is
that of a real event of about that energy and declination; its place is off the source's by the
von Mises-Fisher distribution of that error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.fluxes import acceptance
from pyxstan.point_source.tables import energy_edges
from pyxstan.point_source.windows import TimeWindow

#: Of a source's spectral index.
_LARGEST_GAMMA = 10.0
#: How many positions of the prior map are drawn to find one from which events are accepted.
_DRAWN = 1000
#: Real events that lend their errors: how many, and what makes them alike in sin(dec) and log10 of
#: the energy.
_LENDERS, _ALIKE_SIN_DEC, _ALIKE_ENERGY = 100, 0.1, 0.1


@dataclass(frozen=True)
class Injection:
    """A source that is added to the skies of trials.

    Parameters
    ----------
    ns
        Events: as many on average, or, without `poisson`, as many exactly.
    gamma
        Spectral index.
    ra, dec
        Its position (deg); none: drawn from the prior map, for each trial.
    poisson
        Whether the number of events fluctuates.
    """

    ns: float
    gamma: float = 2.0
    ra: float | None = None
    dec: float | None = None
    poisson: bool = True

    def __post_init__(self) -> None:
        if not (np.isfinite(self.ns) and self.ns >= 0):
            raise DataError(f"injected events: {self.ns:g}, expected a number from 0 up")
        if not 0 <= self.gamma <= _LARGEST_GAMMA:
            raise DataError(
                f"injected events: gamma is {self.gamma:g}, expected 0 to {_LARGEST_GAMMA:g}"
            )
        if (self.ra is None) != (self.dec is None):
            raise DataError("an injected source needs both ra and dec, or neither")
        if self.dec is not None and not abs(self.dec) <= 90:
            raise DataError(f"an injected source: dec is {self.dec:g} deg, expected -90 to 90")
        if self.ra is not None and not -180 <= self.ra <= 360:
            raise DataError(f"an injected source: ra is {self.ra:g} deg, expected 0 to 360")


def trial_sky(
    data: PointSourceData, injection: Injection | None = None, *, seed: int = 0, number: int = 0
) -> tuple[PointSourceData, dict[str, float]]:
    """The sky of a trial: right ascensions scrambled, and a source's events added.

    Parameters
    ----------
    data
        Events, areas, and the prior map or the catalogue.
    injection
        The source; by default none.
    seed, number
        Of the trial, as in the table of `trials`: with these it scanned this very sky.

    Returns
    -------
    PointSourceData
        The sky.
    dict
        The truth: ``ns``, the events that were added, and ``gamma``, ``ra`` and ``dec`` (deg) where
        there is a source at one position.

    Raises
    ------
    DataError
        The source can't be there.
    """
    if seed < 0 or number < 0:
        raise DataError(f"seed {seed} and number {number}: expected whole numbers from 0 up")
    sky, injected, position = sky_of_trial(data, injection, seed, number)
    truth = {"ns": float(injected)}
    if injection is not None:
        truth["gamma"] = injection.gamma
    if position is not None:
        truth |= dict(zip(("ra", "dec"), map(float, np.degrees(position)), strict=True))
    return sky, truth


def sky_of_trial(
    data: PointSourceData, injection: Injection | None, seed: int, number: int
) -> tuple[PointSourceData, int, tuple[float, float] | None]:
    """The sky of a trial, how many events of a source are in it, and where that is (rad)."""
    rng = np.random.default_rng([seed, number])
    ra = scrambled(data, rng)
    empty = with_source(data, ra, [0] * len(ra), 2.0, (0.0, 0.0), rng)
    if injection is None:
        return empty, 0, None
    if data.catalogue is not None:
        return *_with_sources(empty, data.catalogue, injection, rng), None
    position = _position(data, injection, rng)
    counts = _shares(data, injection, position, rng)
    sky = with_source(data, ra, counts, injection.gamma, position, rng)
    return sky, sum(counts), position


def _position(
    data: PointSourceData, source: Injection, rng: np.random.Generator
) -> tuple[float, float]:
    if source.ra is not None and source.dec is not None:
        return float(np.radians(source.ra)), float(np.radians(source.dec))
    if data.prior_map is None:
        raise DataError("a source's ra and dec, or a prior map to draw them from, is missing")
    for _ in range(_DRAWN):
        ra, dec = data.prior_map.draw(1, rng)
        if data.accepts(dec)[0]:
            return float(ra[0]), float(dec[0])
    raise DataError(f"{data.prior_map.source}: no event is accepted from where the source may be")


def _with_sources(
    data: PointSourceData, catalogue: Catalogue, source: Injection, rng: np.random.Generator
) -> tuple[PointSourceData, int]:
    """Events of all sources, shared by weight and acceptance, and how many they are."""
    if source.dec is not None:
        raise DataError(
            "injected events are shared among the catalogue's sources: leave out ra and dec"
        )
    total = int(rng.poisson(source.ns) if source.poisson else round(source.ns))
    accepted = catalogue.weight * acceptance(data, catalogue.dec, source.gamma)
    if not accepted.any():
        raise DataError(f"{catalogue.source}: no event is accepted from any source")
    counts = rng.multinomial(total, accepted / accepted.sum())
    for k in np.flatnonzero(counts):
        one = Injection(float(counts[k]), source.gamma, poisson=False)
        place = float(catalogue.ra[k]), float(catalogue.dec[k])
        shares = _shares(data, one, place, rng)
        places = [sample.ra for sample in data.samples]
        data = with_source(data, places, shares, source.gamma, place, rng)
    return data, total


def _shares(
    data: PointSourceData,
    source: Injection,
    position: tuple[float, float],
    rng: np.random.Generator,
) -> list[int]:
    """Events of the source in each sample."""
    sin_dec = float(np.sin(position[1]))
    accepted = np.array(
        [
            exposure * float(sample.area.acceptance(sin_dec, source.gamma))
            for sample, exposure in zip(data.samples, data.exposures, strict=True)
        ]
    )
    if not accepted.any():
        raise DataError(
            f"a source can't be put at declination {np.degrees(position[1]):.4g} deg: no event is "
            "accepted from there"
        )
    total = rng.poisson(source.ns) if source.poisson else round(source.ns)
    return [int(n) for n in rng.multinomial(total, accepted / accepted.sum())]


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
