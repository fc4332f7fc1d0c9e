r"""The fitted scatter sigma_i: what data tell of it, and its default prior.

Two things can make the scatter of an instrument unknowable. A measurement without which its
instrument or source would hang in the air has no residual: the area or the flux follows it,
whatever the scatter (a *bridge* of the graph whose vertices are instruments and sources, whose
edges are measurements; its leverage is 1). And a connected group of N instruments and M sources
with N + M - 1 measurements has nothing but bridges: no degree of freedom.

The default prior is wide, and its centre is a spread that neither one instrument nor one
measurement moves: from the residuals of an additive fit B_i + G_j that minimises (nearly) the sum
of their absolute values, the median absolute residual of each instrument, in units of what
Gaussian noise of unit sd leaves on the same design; then the lower median over the instruments.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyxstan.concordance.data import ConcordanceData, Floats, Ints
from pyxstan.concordance.pilot import Grid, gaussian_posterior
from pyxstan.errors import DataError
from pyxstan.priors import Prior

#: Leverage of a bridge, up to rounding.
_BRIDGE = 1 - 1e-6
#: Measurements of simulated noise that calibrate the robust spread, and the most data sets of it.
_NOISE_MEASUREMENTS, _NOISE_SETS = 2000, 32
_ROUNDS = 40
#: Of sigma_i^2 for variances=unknown: Inv-Gamma(shape, scale s^2) weighs as much as one
#: measurement, and 95% of it puts sigma between s / 5 and 14 s.
PRIOR_SHAPE, PRIOR_SCALE = 0.5, 0.1
#: Of ln sigma_i for variances=extra: sd, that of the logarithm of a half-Cauchy.
_EXTRA_SD = 1.5
#: Smallest spread, where data agree to the last digit.
_SMALLEST = 1e-6
#: A spread below this is none: nearly absolute values leave a few times the smallest.
_EXACT = 1e-5


@dataclass(frozen=True)
class Design:
    """Who measured what, as a graph.

    Attributes
    ----------
    instrument_group, source_group
        Number of the connected group of each instrument (N,) and source (M,); an instrument
        without data is a group of its own.
    freedom
        Degrees of freedom of each group: measurements - instruments - sources + 1.
    bridge
        Whether a measurement has no residual, shape (n,).
    """

    instrument_group: Ints
    source_group: Ints
    freedom: Ints
    bridge: NDArray[np.bool_]

    @classmethod
    def of(cls, data: ConcordanceData) -> Design:
        """The design of the data."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        N, M = len(data.instruments), len(data.sources)
        edges = np.ones(data.y.size), (data.instrument, N + data.source)
        count, found = connected_components(coo_array(edges, (N + M, N + M)), directed=False)
        label = np.asarray(found).astype(np.int64)
        members = np.bincount(label, minlength=count)
        edges_of = np.bincount(label[data.instrument], minlength=count)
        freedom = np.asarray(edges_of - members + 1)
        bridge = np.zeros(data.y.size, dtype=bool)
        free = freedom[label[data.instrument]] > 0
        bridge[~free] = True
        if free.any():
            bridge[free] = _leverage(data)[free] > _BRIDGE
        return cls(label[:N], label[N:], freedom, bridge)

    def informed(self, data: ConcordanceData) -> NDArray[np.bool_]:
        """Whether an instrument has a measurement with a residual, shape (N,)."""
        seen = np.bincount(data.instrument[~self.bridge], minlength=len(data.instruments))
        return np.asarray(seen > 0)


def _leverage(data: ConcordanceData) -> Floats:
    """Leverage of each measurement in the unweighted additive fit."""
    N = len(data.instruments)
    grid = Grid.of(data, np.zeros_like(data.y))
    fit = gaussian_posterior(grid.mask, grid.y, np.zeros(N), np.eye(N) * 1e-8)
    return np.asarray(fit.variance[data.source, data.instrument])


def robust_spreads(data: ConcordanceData, design: Design) -> Floats:
    """Centre of the default prior: a common spread of each instrument's group, shape (N,).

    NaN where the group has no degree of freedom.
    """
    N, M = len(data.instruments), len(data.sources)
    spreads = np.full(N, np.nan)
    if design.bridge.all():
        return spreads
    sets = int(np.clip(_NOISE_MEASUREMENTS // data.y.size, 1, _NOISE_SETS))
    noise = np.random.default_rng(20190601).standard_normal((sets, data.y.size))
    mask = np.zeros((M, N))
    mask[data.source, data.instrument] = 1
    values = np.zeros((1 + sets, M, N))
    values[:, data.source, data.instrument] = [data.y - data.b[data.instrument], *noise]
    fitted = [_least_absolute_residuals(part, mask) for part in (values[:1], values[1:])]
    residual = np.concatenate(fitted)[:, data.source, data.instrument]
    own, informed = np.full(N, np.nan), design.informed(data)
    for i in np.flatnonzero(informed):
        mine = np.abs(residual[:, (data.instrument == i) & ~design.bridge])
        middle = np.median(mine, axis=1)
        own[i] = middle[0] / middle[1:].mean()
        if middle[0] < _SMALLEST:  # values rounded so coarsely that most are equal
            square = np.sqrt((mine**2).mean(axis=1))
            own[i] = square[0] / square[1:].mean()
    for group in np.unique(design.instrument_group[informed]):
        members = design.instrument_group == group
        spreads[members] = _lower_median(own[members & informed])
    # an instrument without data has the prior of the others
    spreads[data.counts_by_instrument == 0] = _lower_median(spreads[informed])
    return np.asarray(np.maximum(spreads, _SMALLEST))


def _lower_median(values: Floats) -> float:
    return float(np.sort(values)[(values.size - 1) // 2])


def _least_absolute_residuals(y: Floats, mask: Floats) -> Floats:
    """Residuals of additive fits (sets, M, N) that minimise the sum of sqrt(r^2 + scale^2).

    The scale is half a robust sd of the residuals themselves: nearly the sum of absolute values,
    without the many residuals of exactly zero that its minimum has.
    """
    N = mask.shape[1]
    seen = mask > 0
    residual = y - (y * mask).sum(axis=(1, 2), keepdims=True) / mask.sum()
    weight = np.broadcast_to(mask, y.shape)
    before = np.inf
    for _ in range(_ROUNDS):
        total = weight.sum(axis=2, keepdims=True)
        share = weight / total
        center = (share * y).sum(axis=2, keepdims=True)
        degree = weight.sum(axis=1)
        precision = -np.matmul(weight.transpose(0, 2, 1), share)
        # the common shift of all B is free: a small precision holds it
        hold = 1e-9 * degree.max(axis=1, keepdims=True)
        precision[:, range(N), range(N)] += degree + hold
        pull = (weight * (y - center)).sum(axis=1)
        B = np.linalg.solve(precision, pull[..., None])[..., 0]
        G = center[..., 0] - (share * B[:, None, :]).sum(axis=2)
        residual = y - B[:, None, :] - G[..., None]
        scale = 1.4826 * np.median(np.abs(residual[:, seen]), axis=1)
        if np.abs(np.log(np.maximum(scale, 1e-12)) - before).max() < 1e-2:
            break
        before = np.log(np.maximum(scale, 1e-12))
        width = np.maximum(0.5 * scale, _SMALLEST)[:, None, None]
        weight = mask * width / np.sqrt(residual**2 + width**2)
    return np.asarray(residual)


def beyond_given(data: ConcordanceData, design: Design, spread: Floats) -> Floats:
    """Spreads (N,) less what the given errors explain: at least a quarter is left."""
    assert data.sigma is not None
    given = np.full(spread.size, np.nan)
    of = design.instrument_group[data.instrument]
    for group in np.unique(of):
        given[design.instrument_group == group] = np.median(data.sigma[of == group] ** 2)
    given = np.where(np.isnan(given), np.nanmedian(given), given)
    return np.asarray(np.sqrt(np.maximum(spread**2 - given, spread**2 / 16)))


@dataclass(frozen=True)
class ScatterPrior:
    """Priors of the fitted variances, one a slot: of sigma^power.

    Attributes
    ----------
    power
        1: on sigma, 2: on sigma^2.
    priors
        One a slot (K,), all of one family.
    """

    power: int
    priors: tuple[Prior, ...]

    @property
    def name(self) -> str:
        """The slot of `pyxstan.registry.PriorSlot`."""
        return "sigma2" if self.power == 2 else "sigma"

    @property
    def stan_data(self) -> dict[str, Any]:
        """In the names of the Stan programs."""
        return {
            "sigma_power": self.power,
            "sigma_family": self.priors[0].code,
            "sigma_prior": np.array([prior.stan_arguments for prior in self.priors]).T,
        }

    def log_density(self, log_v: Floats) -> Floats:
        """Log density of log v, v = sigma^2, by slot and up to a constant."""
        found = np.empty_like(log_v)
        x = np.exp(0.5 * self.power * log_v)
        for prior in set(self.priors):
            mine = np.array([other == prior for other in self.priors])
            found[mine] = prior.log_density(x[mine])
        return np.asarray(found + 0.5 * self.power * log_v)

    def __str__(self) -> str:
        different = list(dict.fromkeys(map(str, self.priors)))
        if len(different) == 1:
            return different[0]
        return f"{'; '.join(different)} (by instrument: constant_data)"


def default_prior(variances: str, spread: Floats, factor: float) -> ScatterPrior:
    """The wide default for spreads (K,) of the data; log-t sigma is `factor` times as large."""
    scale = spread * factor
    if variances == "unknown":
        priors = [Prior("inv_gamma", (PRIOR_SHAPE, PRIOR_SCALE * s**2)) for s in scale.tolist()]
        return ScatterPrior(2, tuple(priors))
    log = np.log(scale).tolist()
    return ScatterPrior(1, tuple(Prior("lognormal", (s, _EXTRA_SD)) for s in log))


def scale_of_t(nu: float | None) -> float:
    """Sigma of log-t errors whose median absolute deviation is that of a Gaussian of unit sd.

    None (estimated): 1, which leaves room on either side.
    """
    if nu is None:
        return 1.0
    from scipy.stats import norm, t

    return float(np.sqrt(nu) * norm.ppf(0.75) / t.ppf(0.75, nu))


def refuse_unknowable(data: ConcordanceData, design: Design, slots: Ints, variances: str) -> None:
    """Raise where the data can't tell the scatter of some instrument from its area."""
    free = (design.freedom[design.instrument_group] > 0) | (data.counts_by_instrument == 0)
    known = np.bincount(slots[free], minlength=slots.max() + 1) > 0
    stuck = np.flatnonzero(~known[slots])
    if not stuck.size:
        return
    group = design.instrument_group[stuck[0]]
    members = np.flatnonzero(design.instrument_group == group)
    measured = int((design.instrument_group[data.instrument] == group).sum())
    names = named([data.instruments[i] for i in members])
    raise DataError(
        f"variances={variances}: no degree of freedom: {measured} measurement(s) by {names} leave "
        f"nothing to tell their scatter from their areas and fluxes; {_remedy(data, variances)}"
    )


def refuse_exact(data: ConcordanceData, design: Design, spread: Floats) -> None:
    """Raise where data agree to the last digit, which leaves no scatter at all to measure."""
    exact = np.flatnonzero(design.informed(data) & (spread < _EXACT))
    if exact.size:
        raise DataError(
            "variances=unknown: half of the measurements, or more, by "
            f"{named([data.instruments[i] for i in exact])} agree to the last digit (rounded?): no "
            f"scatter can be measured; {_remedy(data, 'unknown')}"
        )


def _remedy(data: ConcordanceData, variances: str) -> str:
    """What to do where the data tell no scatter."""
    prior, errors = "sigma2", "give sigma (a column, with variances=known)"
    if variances == "extra":
        prior = "sigma"  # of what is added; of the two names its default's
    if data.sigma is not None or data.counts is not None:
        have = "have sigma" if data.sigma is not None else "are counts"
        errors = f"use variances=known, as the data {have},"
    example = "sigma=lognormal(-4, 1)" if prior == "sigma" else "sigma2=inv_gamma(1.5, 0.0004)"
    return f"{errors} or set a prior of {prior}, as in {example}"


def unknowable(data: ConcordanceData, design: Design, slots: Ints) -> list[str]:
    """Instruments with data whose scatter is the prior's alone."""
    told = np.bincount(slots[design.informed(data)], minlength=slots.max() + 1) > 0
    alone = ~told[slots] & (data.counts_by_instrument > 0)
    return [data.instruments[i] for i in np.flatnonzero(alone)]


def named(labels: Sequence[str], most: int = 4) -> str:
    """A few of the labels in words."""
    more = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(f"'{label}'" for label in labels[:most]) + more


def sigma_slots(data: ConcordanceData, groups: Any) -> Ints:
    """Number of the variance that each instrument has, from 0, shape (N,).

    Parameters
    ----------
    groups
        None (each its own), ``"common"``, groups of labels (``"pn, MOS1; HEG, MEG"`` or a list of
        lists), or a mapping from label to any name of its group. An instrument stands for all its
        bands; one that isn't named keeps its own.

    Raises
    ------
    DataError
        An instrument that isn't there, or is named twice.
    """
    N = len(data.instruments)
    if groups is None:
        return np.arange(N)
    if isinstance(groups, str) and groups.strip() == "common":
        return np.zeros(N, dtype=int)
    label: list[Any] = [(None, i) for i in range(N)]
    for name, group in _memberships(groups):
        mine = [i for i in range(N) if name in (data.instruments[i], *data.names[i : i + 1])]
        if not mine:
            raise DataError(
                f"option sigma_groups: unknown instrument '{name}'; "
                f"there are {', '.join(data.instruments)}"
            )
        for i in mine:
            if label[i] != (None, i):
                raise DataError(f"option sigma_groups: instrument '{name}' is named twice")
            label[i] = ("group", group)
    order = {one: k for k, one in enumerate(dict.fromkeys(label))}
    return np.array([order[one] for one in label])


def _memberships(groups: Any) -> list[tuple[str, str]]:
    """(instrument, group) of what the user gave."""
    if isinstance(groups, Mapping):
        return [(str(name), str(group)) for name, group in groups.items()]
    if isinstance(groups, str):
        groups = [part.split(",") for part in groups.split(";")]
    if not isinstance(groups, Sequence) or any(
        isinstance(part, str) or not isinstance(part, Sequence) for part in groups
    ):
        raise DataError(
            "option sigma_groups: expected common, groups of instruments as in 'pn, MOS1; HEG', "
            "or a mapping from instrument to group"
        )
    return [(str(name).strip(), str(k)) for k, part in enumerate(groups) for name in part]
