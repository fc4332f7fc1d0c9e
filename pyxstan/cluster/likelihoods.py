"""The log likelihood of many points at once: `Cells.log_likelihood` as products of matrices."""

from __future__ import annotations

import numpy as np

from pyxstan.cluster.cells import FEATURES, PER_COMPONENT, PLACE, Cells, Floats, triangle, within

#: Numbers of an array worked on at a time, so that it stays in the processor's cache.
_BLOCK = 40_000
#: Multiplications of a product of matrices. Libraries of linear algebra share larger ones among
#: threads, and so flat as these are, what those spend on waiting is several times what they save.
_ALONE = 200_000


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
    h = _product(np.stack([b, B, f]), np.vstack([np.ones(mean.shape[1]), mean[PLACE:]]))
    # h's slopes by the features: a sum of terms, each of coefficients times a factor of each cell
    terms: list[tuple[Floats, Floats | None]] = []
    if B.any() or f.any():
        terms.append((np.stack([*np.zeros((PLACE, B.size)), B, f]), None))
    for component in components:
        S, slope = _brightness(component, mean[:PLACE], covariance, cells.averaged)
        h += S
        terms.append((np.stack([*component[4:], *np.zeros((FEATURES - PLACE, B.size))]), slope))
    log_h = np.log(h)
    if covariance.size:
        variance = np.zeros_like(h)
        for n, (left, ours) in enumerate(terms):
            for right, theirs in terms[n:]:
                part = _covariance_of(left, right, covariance)
                if left is not right:
                    part *= 2
                for factor in (ours, theirs):
                    if factor is not None:
                        part *= factor
                variance += part
        variance /= h
        variance /= h
        log_h -= 0.5 * variance
    return np.asarray(log_h @ cells.counts)


def _brightness(
    component: Floats, mean: Floats, covariance: Floats, averaged: bool
) -> tuple[Floats, Floats]:
    """S to second order, and its slope by t at the mean t: (points, cells)."""
    (log_S0, log_rc, a), k = component[:3, :, None], component[3:]
    rho = np.exp(2 * log_rc)
    with_one = np.vstack([np.ones(mean.shape[1]), mean])
    x = np.maximum(_product(k, with_one), 0.0)
    x += rho
    S = np.log(x / rho)
    S *= a
    S += log_S0
    np.exp(S, out=S)
    if not covariance.size and not averaged:
        return S, S
    slope = S / x
    slope *= a
    second = slope / x
    second *= 0.5 * (a - 1)
    V = _product(within(k), with_one) if averaged else 0.0
    if covariance.size:
        V = V + _covariance_of(k[1:], k[1:], covariance)
    second *= V
    S += second
    return S, slope


def _covariance_of(left: Floats, right: Floats, covariance: Floats) -> Floats:
    """Covariance of two combinations of the features in each cell: (points, cells).

    Parameters
    ----------
    left, right
        Their coefficients on the first features, (features, points).
    covariance
        Upper triangle of the features' covariance, by rows: (pairs, cells).
    """
    row, column = triangle(len(covariance))
    there = np.flatnonzero(column < len(left))
    row, column = row[there], column[there]
    pairs = left[row] * right[column] + left[column] * right[row]
    pairs[row == column] *= 0.5
    used = pairs.any(axis=1)
    return _product(pairs[used], covariance[there[used]])


def _product(coefficients: Floats, features: Floats) -> Floats:
    """Sum of coefficients (terms, points) times features (terms, cells): (points, cells)."""
    terms, points = coefficients.shape
    left = np.ascontiguousarray(coefficients.T)
    found = np.empty((points, features.shape[1]))
    step = max(1, _ALONE // max(terms * points, 1))
    for i in range(0, features.shape[1], step):
        found[:, i : i + step] = left @ features[:, i : i + step]
    return found
