"""The log likelihood of many points at once: `Cells.log_likelihood` as products of matrices."""

from __future__ import annotations

import numpy as np

from pyxstan.cluster.cells import FEATURES, PER_COMPONENT, PLACE, Cells, Floats, within

#: Numbers of an array worked on at a time, so that it stays in the processor's cache.
_BLOCK = 40_000


def log_likelihoods(cells: Cells, u: Floats) -> Floats:
    """Sum of n ln N - N over all pixels, of each point.

    Parameters
    ----------
    u
        Coefficients as in `Cells.expected_and_log`, (coefficients, points).
    """
    size = max(cells.exposure.size, cells.counts.size, len(cells.fine_nodes), 1)
    if size > _BLOCK:
        return np.array([cells.log_likelihood(one) for one in u.T])
    step = max(1, _BLOCK // size)
    parts = [_some(cells, u[:, i : i + step]) for i in range(0, u.shape[1], step)]
    return np.concatenate(parts) if parts else np.zeros(0)


def _some(cells: Cells, u: Floats) -> Floats:
    components, (B, b, f) = u[:-3].reshape(-1, PER_COMPONENT, u.shape[1]), u[-3:]
    pixels, exposure, background, logs = cells.totals.sum(axis=0)
    found = logs - B * pixels - b * exposure - f * background
    S = sum(_brightness(c, cells.mean, cells.covariance, cells.averaged)[0] for c in components)
    found -= S @ cells.exposure
    found += _log_counted(cells, components, u[-3:])
    if cells.fine_annulus.size:
        n, E, inverse, mapped, nodes = cells.fine_pixels.T
        place, weight = cells.fine_nodes[:, :PLACE].T, cells.fine_nodes[:, PLACE]
        start = np.cumsum(nodes).astype(int) - nodes.astype(int)
        none = np.zeros((0, 0))
        S = sum(_brightness(c, place, none, False)[0] for c in components)
        S = np.add.reduceat(S * weight, start, axis=1)
        h = S + b[:, None] + np.outer(B, inverse) + np.outer(f, mapped)
        found += np.log(h) @ n - S @ E
    return np.asarray(found)


def _log_counted(cells: Cells, components: Floats, background: Floats) -> Floats:
    """Sum of n ln h over the cells of pixels with counts."""
    B, b, f = background
    mean, covariance = cells.counts_mean, cells.counts_covariance
    h = b[:, None] + np.outer(B, mean[PLACE]) + np.outer(f, mean[PLACE + 1])
    g = np.zeros((FEATURES, *h.shape)) if covariance.size else None
    for component in components:
        S, slope = _brightness(component, mean[:PLACE], covariance, cells.averaged)
        h += S
        if g is not None:
            g[:PLACE] += slope * component[4:, :, None]
    log_h = np.log(h)
    if g is not None:
        g[PLACE], g[PLACE + 1] = B[:, None], f[:, None]
        used = np.flatnonzero(g.any(axis=(1, 2)))
        variance = np.zeros_like(h)
        for row, (i, j) in zip(
            covariance, zip(*np.triu_indices(FEATURES), strict=True), strict=True
        ):
            if i in used and j in used:
                variance += (1 if i == j else 2) * row * g[i] * g[j]
        log_h -= 0.5 * variance / h**2
    return np.asarray(log_h @ cells.counts)


def _brightness(
    component: Floats, mean: Floats, covariance: Floats, averaged: bool
) -> tuple[Floats, Floats]:
    """S to second order, and its slope by t at the mean t: (points, cells)."""
    (log_S0, log_rc, a), k = component[:3, :, None], component[3:]
    rho = np.exp(2 * log_rc)
    x = np.maximum(k[0][:, None] + k[1:].T @ mean, 0.0) + rho
    S = np.exp(log_S0 + a * np.log(x / rho))
    if not covariance.size and not averaged:
        return S, S
    V = np.zeros_like(S)
    if averaged:
        inside = within(k)
        V += inside[0][:, None] + inside[1:].T @ mean
    if covariance.size:
        size = FEATURES if len(covariance) == FEATURES * (FEATURES + 1) // 2 else PLACE
        row, column = np.triu_indices(size)
        there = np.flatnonzero(column < PLACE)
        row, column = row[there], column[there]
        pairs = np.where(row == column, 1.0, 2.0)[:, None] * k[1 + row] * k[1 + column]
        V += pairs.T @ covariance[there]
    slope = a * S / x
    return S + 0.5 * (a - 1) * slope / x * V, slope
