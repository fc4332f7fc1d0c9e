"""Tables of one fit: energies and shares over gamma, and the events' weights.

In a bin of energy and a cell of declination the signal's probability is a smooth function of gamma:
its logarithm and its slope are kept at nodes, between which cubic Hermite polynomials run (off by
less than 1e-6).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import CubicSpline

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.background import Background, Smoothing, energy_bin
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.windows import TimeWindow

#: Distance of nodes in gamma, and of those that a scan starts from, in nodes (as scan.cpp has it).
_STEP, STRIDE = 0.05, 5
#: Width of the bins of reconstructed energy, in log10.
_BIN = 0.1
#: A probability's logarithm where there is none.
_NEVER = -700.0
#: Errors of an event out to which it counts. Beyond five there is 4e-6 of it.
CUT = 5.0
#: All declinations (rad).
EVERYWHERE = (-np.pi, np.pi)


@dataclass(frozen=True)
class SampleTables:
    """One sample's part.

    Parameters
    ----------
    weight
        Of each event, one over the background's density in place, energy and time, with the
        signal's density in time: what the ratio of densities is made of beside place and energy.
    energy_bin
        Of each event.
    edges
        Of the bins of energy (log10 of GeV).
    log_energy
        Ln of the signal's probability of an energy and its slope in gamma, shape (cells of
        declination, bins, nodes, 2).
    log_share
        Ln of the sample's part of all signal events, and slope, shape (cells, nodes, 2).
    """

    sample: EventSample
    background: Background
    weight: Floats
    energy_bin: Integers
    edges: Floats
    log_energy: Floats
    log_share: Floats


@dataclass(frozen=True)
class Tables:
    """All of a fit's samples on the same cells of declination and nodes of gamma.

    Parameters
    ----------
    sin_dec
        Edges of the cells.
    gammas
        Nodes.
    acceptance
        Expected events for a flux of E^-gamma / (GeV cm^2 s) at 1 GeV over all exposures, shape
        (cells, nodes).
    """

    samples: tuple[SampleTables, ...]
    sin_dec: Floats
    gammas: Floats
    acceptance: Floats

    @property
    def events(self) -> int:
        """Of all samples."""
        return sum(len(each.sample) for each in self.samples)


def tables(
    data: PointSourceData,
    smoothing: Smoothing | None = None,
    gamma: tuple[float, float] = (1.0, 4.0),
) -> Tables:
    """Make the tables of a data set.

    Parameters
    ----------
    gamma
        Ends of the spectral index, a whole number of steps of 0.25 apart.

    Raises
    ------
    DataError
        The ends of gamma are none, or nothing of the sky is accepted.
    """
    smoothing = smoothing or Smoothing()
    gammas = nodes(*gamma)
    sin_dec = np.unique(np.concatenate([[-1, 1], *(each.area.sin_dec for each in data.samples)]))
    middles = 0.5 * (sin_dec[1:] + sin_dec[:-1])
    accepted = np.stack(
        [
            exposure * sample.area.acceptance(middles[:, None], gammas)
            for sample, exposure in zip(data.samples, data.exposures, strict=True)
        ]
    )
    total = accepted.sum(axis=0)
    made = []
    for sample, own in zip(data.samples, accepted, strict=True):
        edges = energy_edges(sample)
        energies = sample.area.energies(edges, gammas, sample.smearing)
        cells = sample.area.cell(middles)
        share = np.divide(own, total, out=np.zeros_like(own), where=total > 0)
        made.append(
            SampleTables(
                sample,
                *_of_background(sample, edges, smoothing, data.window),
                edges,
                with_slopes(energies.swapaxes(1, 2), gammas)[cells],
                with_slopes(share[:, :, None], gammas)[:, 0],
            )
        )
    return Tables(tuple(made), sin_dec, gammas, total)


def with_events(
    made: Tables,
    data: PointSourceData,
    smoothing: Smoothing,
    declinations: tuple[float, float] = EVERYWHERE,
) -> Tables:
    """The tables of other events of the same samples: what concerns the signal stays as it is.

    Events that aren't near any of the declinations (rad) have no weight (NaN).
    """
    samples = []
    for old, sample in zip(made.samples, data.samples, strict=True):
        parts = _of_background(sample, old.edges, smoothing, data.window, declinations)
        background, weight, bin_ = parts
        samples.append(
            replace(old, sample=sample, background=background, weight=weight, energy_bin=bin_)
        )
    return replace(made, samples=tuple(samples))


def near(sample: EventSample, declinations: tuple[float, float], cut: float = CUT) -> np.ndarray:
    """Which events are within the cut of any declination between two (rad)."""
    reach = cut * sample.sigma
    low, high = declinations
    return np.asarray((sample.dec + reach >= low) & (sample.dec - reach <= high))


def _of_background(
    sample: EventSample,
    edges: Floats,
    smoothing: Smoothing,
    window: TimeWindow | None,
    declinations: tuple[float, float] = EVERYWHERE,
) -> tuple[Background, Floats, Integers]:
    """A sample's background, and weights and energy bins of its events."""
    some = near(sample, declinations)
    bin_ = energy_bin(sample.log10_energy, edges)
    weight = np.full(len(sample), np.nan)
    ra, sin = sample.ra[some], np.sin(sample.dec[some])
    ends = (sin.min(), sin.max()) if some.any() else (0.0, 0.0)
    background = Background.of(sample, edges, smoothing, ends)
    density = background.at(ra, sin) * background.energy(ra, sin, bin_[some])
    weight[some] = in_time(sample, window)[some] / density
    return background, weight, bin_


def nodes(low: float, high: float) -> Floats:
    """Nodes of gamma between two ends, or a `DataError`."""
    count = (high - low) / (_STEP * STRIDE)
    if not (0 <= low < high <= 10) or abs(count - round(count)) > 1e-9:
        raise DataError(
            f"gamma from {low:g} to {high:g}: expected ends from 0 to 10, "
            f"a multiple of {_STEP * STRIDE:g} apart"
        )
    return np.linspace(low, high, STRIDE * round(count) + 1)


def energy_edges(sample: EventSample) -> Floats:
    """Edges of bins of reconstructed energy, centred on the tenths that files round to."""
    seen, true = sample.log10_energy, sample.area.log10_energy
    first = np.floor(min(seen.min(), true[0]) / _BIN)
    last = np.ceil(max(seen.max(), true[-1]) / _BIN)
    return np.asarray(_BIN * (np.arange(first, last + 2) - 0.5))


def between_nodes(gammas: Floats, rows: Floats, gamma: float) -> Floats:
    """Logarithms at one gamma, of rows of values and slopes at the nodes, shape (..., nodes, 2)."""
    step = gammas[1] - gammas[0]
    node = int(np.clip((gamma - gammas[0]) / step, 0, len(gammas) - 2))
    u = (gamma - gammas[node]) / step
    v = 1.0 - u
    low, high = rows[..., node, :], rows[..., node + 1, :]
    values = v**2 * (1 + 2 * u) * low[..., 0] + u**2 * (1 + 2 * v) * high[..., 0]
    return np.asarray(values + step * (u * v**2 * low[..., 1] - u**2 * v * high[..., 1]))


def in_time(sample: EventSample, window: TimeWindow | None) -> Floats:
    """Density of an event's time under the signal over that under the background."""
    if window is None:
        return np.ones(len(sample))
    if sample.mjd is None:
        raise DataError(f"{sample.name}: a time window needs the events' times (column mjd)")
    uptimes = sample.uptimes
    up = float(np.diff(uptimes, axis=1).sum())
    return window.density(sample.mjd, uptimes) * up


def with_slopes(probability: Floats, gammas: Floats) -> Floats:
    """Ln of probabilities and slopes; shape (cells, gammas, any) to (cells, any, gammas, 2)."""
    with np.errstate(divide="ignore"):
        log = np.where(probability > 0, np.log(probability), _NEVER)
    slope = CubicSpline(gammas, log, axis=1)(gammas, 1)
    found = np.stack([log, np.where(probability > 0, slope, 0.0)], axis=-1)
    return np.ascontiguousarray(np.moveaxis(found, 1, 2))
