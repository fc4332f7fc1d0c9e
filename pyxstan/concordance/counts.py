r"""Counts in a concordance: Poisson likelihood, and errors from expected counts.

    C_ij ~ Poisson(T_ij exp(B_i + G_j) + background_ij)

Without scatter on top (`variances=known`, log-normal model) that is the likelihood itself. Without
background the flat G_j is integrated out in closed form: given its sum, the counts of a source are
multinomial with shares T_ij exp(B_i), and exp(G_j) given B is Gamma(sum_i C_ij, sum_i T_ij
exp(B_i)). Sources whose exposures are in the same proportions then count as one.

With scatter on top, and in the log-t model, each count enters as a Gaussian measurement of its own
log rate l_ij, linearised where l_ij is expected given all data rather than observed:

    d = l + (C - mu) / s,   variance mu / s^2,   s = T exp(l), mu = s + background

(penalised quasi-likelihood). Errors of *observed* counts would give high fluctuations small errors
and low ones large errors, and so a flux that is 1 / counts too small.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.special import gammaln, logsumexp

from pyxstan.concordance import pilot
from pyxstan.concordance.data import ConcordanceData, Floats, Ints
from pyxstan.concordance.scatter import ScatterPrior
from pyxstan.concordance.skew_t import mixing_moments
from pyxstan.errors import DataError

_STEPS, _ROUNDS = 100, 30
_LARGEST_STEP = 1.0
#: Expected counts of a source below which the prior of G is flat in the flux, not its logarithm.
FAINT = 1e-3
#: Net counts that a source without any is given in the search.
_NOTHING = 0.5


class _Grid:
    """Counts, exposures and background as dense arrays, sources by instruments."""

    def __init__(self, data: ConcordanceData) -> None:
        assert data.counts is not None
        assert data.exposure is not None
        assert data.background is not None
        shape = len(data.sources), len(data.instruments)
        at = data.source, data.instrument
        self.mask, self.C, self.bkg = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        self.T = np.ones(shape)
        self.mask[at], self.C[at], self.bkg[at], self.T[at] = (
            1,
            data.counts,
            data.background,
            data.exposure,
        )

    def floor(self, B: Floats) -> Floats:
        """Log flux of each source that makes half a count, (M,)."""
        return np.asarray(np.log(_NOTHING / (self.mask * self.T * np.exp(B)).sum(axis=1)))

    def linearised(self, rate: Floats) -> tuple[Floats, Floats]:
        """Working values and inverse variances about the log rates."""
        s = self.T * np.exp(rate)
        mu = s + self.bkg
        return rate + (self.C - mu) / s, self.mask * s**2 / mu


def mode(data: ConcordanceData, precision: Floats) -> pilot.Gaussian:
    """Mode of the Poisson posterior of B and G by Fisher scoring, and the Gaussian about it.

    A source of no more counts than its background has its flux held at half a count.
    """
    grid = _Grid(data)
    B = data.b.copy()
    net = np.maximum((grid.mask * (grid.C - grid.bkg)).sum(axis=1), _NOTHING)
    G = grid.floor(B) + np.log(net / _NOTHING)
    for _ in range(_STEPS):
        d, w = grid.linearised(B + G[:, None])
        fit = pilot.gaussian_posterior(w, d, data.b, precision)
        shift = np.concatenate([fit.B - B, fit.G - G])
        scale = min(1.0, _LARGEST_STEP / max(float(np.abs(shift).max()), 1e-300))
        B = B + scale * (fit.B - B)
        G = np.maximum(G + scale * (fit.G - G), grid.floor(B))
        if np.abs(shift).max() < 1e-9:
            break
    return replace(fit, B=B, G=G)


def expected_errors(data: ConcordanceData, B: Floats, G: Floats) -> Floats:
    """Variance of the log rate of each measurement (n,), from its expected counts."""
    w = _Grid(data).linearised(B + G[:, None])[1]
    return np.asarray(1 / w[data.source, data.instrument])


def as_log_fluxes(
    data: ConcordanceData,
    precision: Floats,
    prior: ScatterPrior | None,
    slots: Ints,
    start: float,
    nu: float | None,
) -> ConcordanceData:
    """Counts as measurements of log rates, with errors from expected counts.

    The values are those less half a variance, as the models have them.

    Raises
    ------
    DataError
        A source without counts, or hidden in its background: it has no log flux.
    """
    grid = _Grid(data)
    at = data.source, data.instrument
    first = mode(data, precision)
    rate = first.B + first.G[:, None]
    w = grid.linearised(rate)[1]
    net = (grid.mask * (grid.C - grid.bkg)).sum(axis=1)
    unseen = np.flatnonzero((net <= 0) | ((grid.bkg.sum(axis=1) > 0) & (w.sum(axis=1) < 1)))
    if unseen.size:
        raise DataError(
            f"source '{data.sources[unseen[0]]}' has no counts above its background, and so no log "
            "flux that scatters: leave it out, or fit concordance with variances=known"
        )
    before = first.B
    for _ in range(_ROUNDS):
        d, w = grid.linearised(rate)
        given = np.where(grid.mask > 0, 1 / np.where(grid.mask > 0, w, 1.0), 0.0)
        values = grid.mask * (d - 0.5 * given)
        guess = pilot.find(
            pilot.Grid(values, grid.mask, given), data.b, precision, prior, slots, start, nu
        )
        fit = guess.gaussian
        center = fit.B + fit.G[:, None]
        v = np.zeros_like(rate)
        if prior is not None:
            v = v + np.exp(guess.log_v)[slots]
            start = float(np.exp(guess.log_v.mean()))
        if nu is not None and prior is not None:
            v = v / mixing_moments(values - center, np.maximum(v + given, 1e-12), nu)[0]
        rate = _latent_mode(grid, center - 0.5 * v, v)
        if np.abs(fit.B - before).max() < 1e-7:
            break
        before = fit.B
    d, w = grid.linearised(rate)
    variance = 1 / w[at]
    return replace(
        data,
        y=d[at] - 0.5 * variance,
        sigma=np.sqrt(variance),
        counts=None,
        exposure=None,
        background=None,
    )


def _latent_mode(grid: _Grid, center: Floats, v: Floats) -> Floats:
    """Most probable log rates, Normal(center, v) a priori, given the counts."""
    rate = center.copy()
    for _ in range(_ROUNDS):
        d, w = grid.linearised(rate)
        wanted = center + v * w / (1 + v * w) * (d - center)
        move = np.clip(wanted - rate, -_LARGEST_STEP, _LARGEST_STEP)
        rate = rate + move
        if np.abs(grid.mask * move).max() < 1e-9:
            break
    return rate


def stan_data(data: ConcordanceData, guess: pilot.Gaussian) -> dict[str, Any]:
    """What `concordance.stan` is told of Poisson counts."""
    assert data.counts is not None
    assert data.exposure is not None
    assert data.background is not None
    order = np.lexsort((data.instrument, data.source))
    by, of = data.instrument[order], data.source[order]
    C, log_T = data.counts[order], np.log(data.exposure[order])
    starts = np.searchsorted(of, np.arange(len(data.sources) + 1))
    if data.background.any():
        floor = _Grid(data).floor(data.b)
        return {
            **_gaussian_data(len(data.sources), starts, by),
            "n_counts": C.size,
            "counts": C,
            "log_exposure": log_T,
            "background": data.background[order],
            "M_G": len(data.sources),
            "source": of + 1,
            "G_center": guess.G,
            "G_scale": guess.G_scale,
            "G_slope": guess.u,
            "G_faint": floor + np.log(FAINT / _NOTHING),
        }
    # sources with exposures in the same proportions have the likelihood of their sum
    alike: dict[bytes, tuple[Ints, Floats, Floats]] = {}
    for j in range(len(data.sources)):
        here = slice(starts[j], starts[j + 1])
        shares = log_T[here] - logsumexp(log_T[here])
        key = by[here].tobytes() + np.round(shares, 12).tobytes()
        total = alike[key][2] if key in alike else np.zeros(shares.size)
        alike[key] = (by[here], shares, total + C[here])
    sizes = [0, *(members.size for members, _, _ in alike.values())]
    members = np.concatenate([part[0] for part in alike.values()])
    return {
        **_gaussian_data(len(alike), np.cumsum(sizes), members),
        "n_counts": members.size,
        "counts": np.concatenate([part[2] for part in alike.values()]),
        "log_exposure": np.concatenate([part[1] for part in alike.values()]),
        "background": np.zeros(members.size),
        **no_fluxes(len(data.instruments)),
    }


def _gaussian_data(M: int, starts: Ints, by: Ints) -> dict[str, Any]:
    """The design; nothing of log fluxes."""
    return {
        "M": M,
        "n": by.size,
        "y": np.zeros(by.size),
        "s2": np.zeros(by.size),
        "instrument": by + 1,
        "start": starts + 1,
        "times": np.ones(M),
    }


def no_counts(N: int) -> dict[str, Any]:
    """What `concordance.stan` is told where there are no counts."""
    nothing = np.zeros(0)
    return {
        "n_counts": 0,
        "counts": nothing,
        "log_exposure": nothing,
        "background": nothing,
        **no_fluxes(N),
    }


def no_fluxes(N: int) -> dict[str, Any]:
    """What `concordance.stan` is told where it doesn't sample the fluxes."""
    nothing = np.zeros(0)
    return {
        "M_G": 0,
        "source": np.zeros(0, dtype=int),
        "G_center": nothing,
        "G_scale": nothing,
        "G_slope": np.zeros((0, N)),
        "G_faint": nothing,
    }


def draw_fluxes(
    data: ConcordanceData, B: Floats, rng: np.random.Generator, *, at_mode: bool
) -> Floats:
    """G given B (..., N) of counts without background, (..., M).

    A source without a count has a flux of flat prior: its posterior is an upper limit.
    """
    assert data.counts is not None
    assert data.exposure is not None
    size = len(data.sources)
    shape = np.maximum(np.bincount(data.source, data.counts, minlength=size), 1.0)
    order = np.argsort(data.source, kind="stable")
    first = np.searchsorted(data.source[order], np.arange(size))
    each = data.exposure * np.exp(np.take(B, data.instrument, axis=-1))
    total = np.add.reduceat(each[..., order], first, axis=-1)
    g = np.broadcast_to(shape, total.shape) if at_mode else rng.gamma(shape, size=total.shape)
    return np.asarray(np.log(g) - np.log(total))


def log_density(counts: Floats, expected: Floats) -> Floats:
    """Poisson log probability of each count."""
    return np.asarray(counts * np.log(expected) - expected - gammaln(counts + 1))
