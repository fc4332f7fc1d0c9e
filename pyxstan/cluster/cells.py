r"""The Poisson log likelihood of an image, with like pixels merged into cells.

.. math:: \log L = \sum_k n_k \ln N_k - \sum_k N_k,\qquad N_k = E_k (S(t_k) + b) + B + f M_k

where t is the squared elliptical radius of a pixel, S the sum of the components' brightness, E the
exposure, b a sky background, B a constant and f M a mapped one. Both sums run over functions that
are smooth in few features of a pixel, so a cell of like pixels needs only their means and
covariances:

* t is linear in psi = (X^2 + Y^2, X, Y, X^2 - Y^2, 2 X Y), X and Y counted from a reference
  centre: its mean over a cell and its variance are exact for any centre, ellipticity and angle;
* ``sum E S(t)`` over a cell is its exposure times S(mean t) + S''(mean t) var(t) / 2;
* with h = N / E = S(t) + b + B / E + f M / E, the sum of ``n ln h`` over a cell is its counts times
  ln(mean h) - var(h) / (2 mean(h)^2), the features now being psi, 1 / E and M / E.

What is left out is of third order in the spread within a cell. A cell of one pixel is exact, and
`pixel_cells` are all of that kind. The same formulas, with gradients, are in
``stan_models/functions/cluster.hpp``; a fit is checked against all pixels by
`pyxstan.cluster.certificate`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyxstan.cluster.data import ClusterImage

Floats = NDArray[np.float64]

#: Features of a pixel: five of its place, then 1 / E and M / E.
PLACE, FEATURES = 5, 7
#: Numbers a component in the vector of coefficients: ln S0, ln rc, a, and six of t.
PER_COMPONENT = 9
#: Pixels worked on at a time, so that they stay in the processor's cache.
_BLOCK = 8192


@dataclass(frozen=True)
class Cells:
    """Cells of an image: those of exposed pixels, and those of pixels with counts.

    ``mean`` has a row a feature; ``covariance`` a row a pair of features (upper triangle, row by
    row), or no rows where every cell is a single pixel.
    """

    exposure: Floats
    mean: Floats
    covariance: Floats
    annulus: NDArray[np.int64]
    counts: Floats
    counts_mean: Floats
    counts_covariance: Floats
    counts_annulus: NDArray[np.int64]
    #: Sums a annulus: pixels, exposure, background map and n ln E, shape (annuli, 4).
    totals: Floats

    def expected_and_log(self, u: Floats) -> tuple[Floats, Floats]:
        """Expected counts, and the sum of n ln N, by annulus.

        Parameters
        ----------
        u
            Coefficients: for each component ln S0, ln rc, a = 1/2 - 3 beta and the six coefficients
            of t on (1, psi), then B, b and f.
        """
        components, (B, b, f) = u[:-3].reshape(-1, PER_COMPONENT), u[-3:]
        expected = self.totals[:, :3] @ np.array([B, b, f])
        logs = self.totals[:, 3].copy()
        for block in _blocks(self.exposure.size):
            total = np.zeros(self.exposure[block].size)
            for component in components:
                P, _, P2, V, _ = _component(
                    component, self.mean[:, block], self.covariance[:, block]
                )
                total += P if V is None else P + 0.5 * P2 * V
            expected += np.bincount(
                self.annulus[block], self.exposure[block] * total, len(expected)
            )
        for block in _blocks(self.counts.size):
            mean, covariance = self.counts_mean[:, block], self.counts_covariance[:, block]
            h = b + B * mean[PLACE] + f * mean[PLACE + 1]
            g = np.zeros((FEATURES, h.size)) if covariance.size else None
            for component in components:
                P, P1, P2, V, k = _component(component, mean[:PLACE], covariance)
                h += P if V is None else P + 0.5 * P2 * V
                if g is not None:
                    g[:PLACE] += P1 * k[1:, None]
            log_h = np.log(h)
            if g is not None:
                g[PLACE], g[PLACE + 1] = B, f
                log_h -= 0.5 * _variance(g, covariance) / h**2
            logs += np.bincount(self.counts_annulus[block], self.counts[block] * log_h, len(logs))
        return expected, logs

    def log_likelihood(self, u: Floats) -> float:
        """Sum of n ln N - N over all pixels."""
        expected, logs = self.expected_and_log(u)
        return float(logs.sum() - expected.sum())

    def stan_data(self) -> dict[str, object]:
        """In the names of the Stan programs' data."""
        return {
            "cells": self.exposure.size,
            "second_order": int(self.covariance.size > 0),
            "exposure": self.exposure,
            "exposure_mean": self.mean,
            "exposure_covariance": self.covariance,
            "counted_cells": self.counts.size,
            "counts": self.counts,
            "counts_mean": self.counts_mean,
            "counts_covariance": self.counts_covariance,
            "totals": self.totals.sum(axis=0),
        }


def _blocks(size: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, size, _BLOCK)]


def _component(
    component: Floats, mean: Floats, covariance: Floats
) -> tuple[Floats, Floats, Floats, Floats | None, Floats]:
    """S and its first two derivatives by t, at the mean t of each cell, and the variance of t."""
    (log_S0, log_rc, a), k = component[:3], component[3:]
    circular = not k[4:].any()
    some = 3 if circular else PLACE
    t = k[0] + k[1 : some + 1] @ mean[:some]
    rho = np.exp(2 * log_rc)
    x = t + rho
    P = np.exp(log_S0 + a * np.log(x / rho))
    if not covariance.size:
        return P, P, P, None, k
    P1 = a * P / x
    return P, P1, (a - 1) * P1 / x, _variance(k[1:, None], covariance), k


def _variance(g: Floats, covariance: Floats) -> Floats:
    """Variance of the features' combination `g`, (features, cells or 1)."""
    size = FEATURES if len(covariance) == FEATURES * (FEATURES + 1) // 2 else PLACE
    row, column = np.triu_indices(size)
    there = np.flatnonzero((row < len(g)) & (column < len(g)))
    used = g.any(axis=1)
    there = there[used[row[there]] & used[column[there]]]
    row, column = row[there], column[there]
    weight = np.where(row == column, 1.0, 2.0)[:, None] * g[row] * g[column]
    if weight.shape[1] == 1:
        return np.asarray(weight[:, 0] @ covariance[there])
    return np.asarray((weight * covariance[there]).sum(axis=0))


@dataclass(frozen=True)
class Pixels:
    """The pixels that a fit uses, as flat arrays: coordinates, counts, exposure, background map."""

    x: Floats
    y: Floats
    counts: Floats
    exposure: Floats
    background: Floats

    @classmethod
    def of(cls, image: ClusterImage) -> Pixels:
        """The good pixels of an image."""
        y, x = np.nonzero(image.good)
        there = image.background_map
        return cls(
            x.astype(float),
            y.astype(float),
            image.counts[y, x].astype(float),
            image.exposure[y, x].astype(float),
            np.zeros(x.size) if there is None else there[y, x].astype(float),
        )

    def features(self, center: tuple[float, float]) -> Floats:
        """All features of each pixel, (FEATURES, pixels)."""
        X, Y = self.x - center[0], self.y - center[1]
        inverse = 1 / self.exposure
        return np.stack(
            [X * X + Y * Y, X, Y, X * X - Y * Y, 2 * X * Y, inverse, self.background * inverse]
        )


def pixel_cells(
    pixels: Pixels, center: tuple[float, float], annulus: NDArray[np.int64], annuli: int
) -> Cells:
    """Every pixel a cell of its own: the exact likelihood."""
    psi = pixels.features(center)
    counted = pixels.counts > 0
    return Cells(
        exposure=pixels.exposure,
        mean=psi[:PLACE],
        covariance=np.zeros((0, pixels.x.size)),
        annulus=annulus,
        counts=pixels.counts[counted],
        counts_mean=psi[:, counted],
        counts_covariance=np.zeros((0, int(counted.sum()))),
        counts_annulus=annulus[counted],
        totals=_totals(pixels, annulus, annuli),
    )


def _totals(pixels: Pixels, annulus: NDArray[np.int64], annuli: int) -> Floats:
    columns = (
        np.ones(pixels.x.size),
        pixels.exposure,
        pixels.background,
        pixels.counts * np.log(pixels.exposure),
    )
    return np.stack([np.bincount(annulus, column, annuli) for column in columns], axis=1)


def merged_cells(
    pixels: Pixels,
    center: tuple[float, float],
    annulus: NDArray[np.int64],
    annuli: int,
    brightness: Floats,
    angle: Floats,
    background: tuple[float, float, float],
    core: NDArray[np.bool_],
    *,
    step: float,
    sectors: int,
) -> Cells:
    """Merge pixels of like brightness, angle and background.

    Parameters
    ----------
    annulus, annuli
        Annulus of each pixel, which no cell crosses, and how many there are.
    brightness, angle
        ln S of each pixel in a model close to the best one, and its position angle (radians).
    background
        B, b and f of that model.
    core
        Pixels that stay alone: where the brightness varies much from one to the next.
    step
        Width of a cell in ln S, and in ln N at given S, where an annulus has a thousand counts.
    sectors
        Cells around the centre.
    """
    psi = pixels.features(center)
    light = _sum(annulus, pixels.exposure * np.exp(brightness), annuli)
    width = _width(step, light)[annulus]
    ring = np.floor((brightness.max() - brightness) / width).astype(np.int64)
    sector = np.floor((angle / (2 * np.pi) % 1.0) * sectors).astype(np.int64)
    alone = np.where(core, np.arange(core.size), -1)
    cell, cells, first = _number(annulus, ring, sector, alone)
    mean, covariance = _moments(psi[:PLACE], pixels.exposure, cell, cells)
    counted = np.flatnonzero(pixels.counts)
    B, b, f = background
    middle = np.exp(brightness.max() - (ring[counted] + 0.5) * width[counted]) + b
    middle = np.maximum(middle, 1e-250)  # a profile so steep that nothing is left of it
    other = (B * psi[PLACE, counted] + f * psi[PLACE + 1, counted]) / middle
    shades = _width(step, _sum(annulus, pixels.counts, annuli))[annulus[counted]]
    shade = np.floor(np.log1p(other) / shades).astype(np.int64)
    counted_cell, counted_cells, counted_first = _number(
        annulus[counted], ring[counted], sector[counted], shade, alone[counted]
    )
    counts = pixels.counts[counted]
    counts_mean, counts_covariance = _moments(psi[:, counted], counts, counted_cell, counted_cells)
    return Cells(
        exposure=_sum(cell, pixels.exposure, cells),
        mean=mean,
        covariance=covariance,
        annulus=annulus[first],
        counts=_sum(counted_cell, counts, counted_cells),
        counts_mean=counts_mean,
        counts_covariance=counts_covariance,
        counts_annulus=annulus[counted[counted_first]],
        totals=_totals(pixels, annulus, annuli),
    )


def _width(step: float, counts: Floats) -> Floats:
    """Width of the cells of annuli: what a cell neglects goes with its counts times width cubed."""
    return np.asarray(step * np.clip(np.cbrt(1000 / np.maximum(counts, 1e-3)), 0.5, 8.0))


def _sum(cell: NDArray[np.int64], weight: Floats, cells: int) -> Floats:
    """Sum of the weights in each cell."""
    return np.bincount(cell, weight, cells).astype(np.float64)


def _number(*labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], int, NDArray[np.int64]]:
    """Number the cells of pixels that share all labels; a first pixel of each."""
    key = np.zeros(labels[0].size, dtype=np.int64)
    for label in labels:
        low = label.min(initial=0)
        key = key * (label.max(initial=0) - low + 1) + (label - low)
    _, first, cell = np.unique(key, return_index=True, return_inverse=True)
    return cell, first.size, first


def _moments(
    psi: Floats, weight: Floats, cell: NDArray[np.int64], cells: int
) -> tuple[Floats, Floats]:
    """Weighted means and covariances of the features within each cell."""
    total = _sum(cell, weight, cells)
    mean = np.stack([_sum(cell, weight * row, cells) / total for row in psi])
    away = psi - mean[:, cell]
    pairs = [(i, j) for i in range(len(psi)) for j in range(i, len(psi))]
    covariance = np.stack([_sum(cell, weight * away[i] * away[j], cells) / total for i, j in pairs])
    return mean, covariance
