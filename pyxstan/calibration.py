r"""Simulation-based calibration: whether a sampler draws from the posterior that it claims.

Draw a truth from the prior, data from the truth, and posterior draws from the data: the rank of
the truth among L independent posterior draws is then uniform on 0, ..., L (Talts et al. 2018,
arXiv:1804.06788). Posteriors too narrow pile the ranks up at both ends, too wide in the middle,
biased ones at one end.

Uniformity is judged by the empirical distribution of the ranks of S simulations. At each point
:math:`z_k = (k + 1)/(L + 1)` the number of ranks up to k is Binomial(S, z_k). A band of pointwise
probability :math:`1 - \gamma` holds the whole curve with the wanted probability when
:math:`\gamma` is chosen so; it is found here by simulating uniform ranks (Säilynoja, Bürkner &
Vehtari 2022, arXiv:2103.10522).

With many parameters some curve is bound to leave its 95% band. The verdict on a model therefore
is on the smallest p-value times the number of parameters (Bonferroni: valid however dependent the
parameters are), at the same level.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

REPLICATES = 20_000


def thinned(draws: FloatArray, count: int) -> FloatArray:
    """Take `count` evenly spaced draws, all chains in turn.

    Parameters
    ----------
    draws
        Posterior draws, shape (chain, draw, ...).
    count
        How many to keep: few enough to be nearly independent.

    Raises
    ------
    ValueError
        If there are fewer draws than `count`.
    """
    flat = draws.reshape(-1, *draws.shape[2:])
    if count > len(flat):
        raise ValueError(f"{count} draws are wanted for the ranks, {len(flat)} there are")
    middle = (np.arange(count) + 0.5) * len(flat) / count
    return flat[middle.astype(np.int64)]


def rank(truth: npt.ArrayLike, draws: FloatArray, rng: np.random.Generator) -> IntArray:
    """Rank of the truth among the draws, 0 to their number; ties are broken at random.

    Parameters
    ----------
    truth
        Array of the parameter's own shape.
    draws
        Draws along the first axis, then the parameter's shape.
    rng
        Breaks ties.

    Raises
    ------
    ValueError
        If the shapes differ or something is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> rank(0.5, np.array([0.1, 0.2, 0.7]), np.random.default_rng(1))
    array(2)
    """
    value = np.asarray(truth, dtype=np.float64)
    if value.shape != draws.shape[1:]:
        raise ValueError(f"the truth has shape {value.shape}, the draws {draws.shape[1:]}")
    if np.isnan(value).any() or np.isnan(draws).any():
        raise ValueError("NaN has no rank")
    below = (draws < value).sum(axis=0)
    equal = (draws == value).sum(axis=0)
    return np.asarray(below + rng.integers(0, equal, endpoint=True), dtype=np.int64)


@dataclass(frozen=True)
class Band:
    """Simultaneous band of the ECDF of uniform ranks.

    Attributes
    ----------
    points
        Where the ECDF is evaluated: (k + 1)/(L + 1), k = 0, ..., L - 1.
    lower, upper
        Bounds of the ECDF, inclusive.
    level
        Probability that uniform ranks stay inside at every point.
    """

    points: FloatArray
    lower: FloatArray
    upper: FloatArray
    level: float


@dataclass(frozen=True)
class ParameterRanks:
    """Verdict on one scalar parameter.

    Attributes
    ----------
    name
        As in ``sigma[3]``.
    p_value
        Probability that uniform ranks stray as far or farther.
    inside
        Whether the ECDF stays inside the simultaneous band of this one parameter.
    ecdf
        ECDF of the ranks at the band's points.
    """

    name: str
    p_value: float
    inside: bool
    ecdf: FloatArray


@dataclass(frozen=True)
class Calibration:
    """Verdict on all parameters of a model.

    Attributes
    ----------
    simulations, max_rank, level
        Number of simulations S, largest rank L, level of the bands.
    band
        Band of a single parameter.
    parameters
        One entry a scalar parameter.
    """

    simulations: int
    max_rank: int
    level: float
    band: Band
    parameters: tuple[ParameterRanks, ...]

    @property
    def p_value(self) -> float:
        """Smallest p-value times the number of parameters, at most 1."""
        return min(1.0, len(self.parameters) * min(p.p_value for p in self.parameters))

    @property
    def passed(self) -> bool:
        """Whether no parameter strays too far, for this number of parameters."""
        return self.p_value >= 1.0 - self.level

    @property
    def outside(self) -> tuple[str, ...]:
        """Parameters outside their own band; ``1 - level`` of them are expected there."""
        return tuple(p.name for p in self.parameters if not p.inside)

    def to_dict(self) -> dict[str, Any]:
        """Return what a JSON report holds."""
        return {
            "passed": self.passed,
            "p_value": self.p_value,
            "level": self.level,
            "simulations": self.simulations,
            "max_rank": self.max_rank,
            "outside_their_own_band": list(self.outside),
            "p_values": {p.name: p.p_value for p in self.parameters},
        }


def simultaneous_band(simulations: int, max_rank: int, level: float = 0.95) -> Band:
    """Band that holds the whole ECDF of uniform ranks with probability `level`.

    Parameters
    ----------
    simulations
        Number of ranks S.
    max_rank
        Largest rank L, the number of posterior draws.
    level
        Simultaneous probability.
    """
    null = _null_statistics(simulations, max_rank)
    # No more than 1 - level of the uniform samples lie strictly below.
    gamma = null[int((1.0 - level) * null.size)]
    inside = _pointwise(simulations, max_rank) >= gamma  # (count, point)
    lower = inside.argmax(axis=0)
    upper = simulations - inside[::-1].argmax(axis=0)
    return Band(_points(max_rank), lower / simulations, upper / simulations, level)


def assess(ranks: Mapping[str, IntArray], max_rank: int, level: float = 0.95) -> Calibration:
    """Judge the ranks of all parameters.

    Parameters
    ----------
    ranks
        Per variable, an array of ranks: simulations along the first axis, then the variable's
        own shape.
    max_rank
        Largest rank L.
    level
        Level of the bands and of the verdict.

    Raises
    ------
    ValueError
        If there are no ranks, their numbers differ, or one is outside 0 to `max_rank`.
    """
    if len({len(values) for values in ranks.values()}) != 1:
        raise ValueError("every variable must have the same number of simulations, at least one")
    simulations = len(next(iter(ranks.values())))
    band = simultaneous_band(simulations, max_rank, level)
    null = _null_statistics(simulations, max_rank)
    pointwise = _pointwise(simulations, max_rank)
    gamma = null[int((1.0 - level) * null.size)]
    columns = np.arange(max_rank)
    verdicts = []
    for variable, values in ranks.items():
        if values.min() < 0 or values.max() > max_rank:
            raise ValueError(f"{variable}: ranks must lie in 0 to {max_rank}")
        for index in np.ndindex(values.shape[1:]):
            mine = values[(slice(None), *index)]
            counts = np.bincount(mine, minlength=max_rank + 1).cumsum()[:-1]
            statistic = pointwise[counts, columns].min()
            p_value = (1 + np.searchsorted(null, statistic, side="right")) / (1 + null.size)
            label = f"{variable}[{', '.join(map(str, index))}]" if index else variable
            verdicts.append(
                ParameterRanks(
                    label, float(p_value), bool(statistic >= gamma), counts / simulations
                )
            )
    return Calibration(simulations, max_rank, level, band, tuple(verdicts))


def _points(max_rank: int) -> FloatArray:
    return np.arange(1, max_rank + 1) / (max_rank + 1.0)


@lru_cache(maxsize=8)
def _pointwise(simulations: int, max_rank: int) -> FloatArray:
    """Two-sided binomial probability of each count (rows, 0 to S) at each point (columns)."""
    from scipy.special import bdtr

    counts = np.arange(simulations + 1)[:, None]
    up_to = np.asarray(bdtr(counts, simulations, _points(max_rank)), dtype=np.float64)
    # P(X >= x) at z is P(X <= S - x) at 1 - z.
    from_here = up_to[::-1, ::-1]
    return 2.0 * np.minimum(up_to, from_here)


@lru_cache(maxsize=8)
def _null_statistics(simulations: int, max_rank: int) -> FloatArray:
    """Sorted smallest pointwise probability of uniform ranks, by simulation."""
    rng = np.random.default_rng(20220322)  # fixed: the same ranks always get the same verdict
    pointwise = _pointwise(simulations, max_rank)
    columns = np.arange(max_rank)
    flat = np.full(max_rank + 1, 1.0 / (max_rank + 1))
    batches = []
    for _ in range(REPLICATES // 1000):
        counts = rng.multinomial(simulations, flat, size=1000).cumsum(axis=1)[:, :-1]
        batches.append(pointwise[counts, columns].min(axis=1))
    return np.sort(np.concatenate(batches))
