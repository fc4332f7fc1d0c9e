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
`pixel_cells` are all of that kind.

Brightness averaged over a pixel is S(mean t) + S''(mean t) W / 2, with the variance W of t within
the pixel, itself linear in psi: the same second order. Pixels of a core so narrow that this will
not do are fine ones: the average is a sum over nodes of Gauss and Legendre, and no cell has them.
 The same formulas, with gradients, are in
``stan_models/functions/cluster.hpp``; a fit is checked against all pixels by
`pyxstan.cluster.certificate`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyxstan.cluster.data import ClusterImage

Floats = NDArray[np.float64]

#: Features of a pixel: five of its place, then 1 / E and M / E.
PLACE, FEATURES = 5, 7
#: Numbers a component in the vector of coefficients: ln S0, ln rc, a, and six of t.
PER_COMPONENT = 9
#: Nodes a side of a fine pixel, by what the second order leaves out of its counts, at least.
_NODES = ((3e-5, 3), (0.02, 5), (0.35, 8))
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
    #: Whether brightness is averaged over each pixel.
    averaged: bool = False
    #: Counts, exposure, 1 / E, M / E and number of nodes of fine pixels; their nodes' features and
    #: weight.
    fine_pixels: Floats = field(default_factory=lambda: np.zeros((0, 5)))
    fine_nodes: Floats = field(default_factory=lambda: np.zeros((0, PLACE + 1)))
    fine_annulus: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

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
                    component, self.mean[:, block], self.covariance[:, block], self.averaged
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
                P, P1, P2, V, k = _component(component, mean[:PLACE], covariance, self.averaged)
                h += P if V is None else P + 0.5 * P2 * V
                if g is not None:
                    g[:PLACE] += P1 * k[1:, None]
            log_h = np.log(h)
            if g is not None:
                g[PLACE], g[PLACE + 1] = B, f
                log_h -= 0.5 * _variance(g, covariance) / h**2
            logs += np.bincount(self.counts_annulus[block], self.counts[block] * log_h, len(logs))
        if self.fine_annulus.size:
            n, E, inverse, mapped, nodes = self.fine_pixels.T
            S = sum(
                _brightness(component, self.fine_nodes[:, :PLACE].T) for component in components
            )
            start = np.cumsum(nodes).astype(int) - nodes.astype(int)
            S = np.add.reduceat(S * self.fine_nodes[:, PLACE], start)
            expected += np.bincount(self.fine_annulus, E * S, len(expected))
            logs += np.bincount(
                self.fine_annulus, n * np.log(S + b + B * inverse + f * mapped), len(logs)
            )
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
            "averaged": int(self.averaged),
            "fine": len(self.fine_pixels),
            "fine_pixels": self.fine_pixels,
            "nodes": len(self.fine_nodes),
            "fine_nodes": self.fine_nodes,
        }


def _blocks(size: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, size, _BLOCK)]


def _component(
    component: Floats, mean: Floats, covariance: Floats, averaged: bool
) -> tuple[Floats, Floats, Floats, Floats | None, Floats]:
    """S and its first two derivatives by t, at the mean t of each cell, and the variance of t."""
    (log_S0, log_rc, a), k = component[:3], component[3:]
    rho = np.exp(2 * log_rc)
    x = _on_place(k, mean) + rho
    P = np.exp(log_S0 + a * np.log(x / rho))
    if not covariance.size and not averaged:
        return P, P, P, None, k
    P1 = a * P / x
    V = _on_place(within(k), mean) if averaged else np.zeros_like(P)
    if covariance.size:
        V = V + _variance(k[1:, None], covariance)
    return P, P1, (a - 1) * P1 / x, V, k


def _brightness(component: Floats, psi: Floats) -> Floats:
    """S at places."""
    log_S0, log_rc, a = component[:3]
    t = _on_place(component[3:], psi)
    return np.asarray(np.exp(log_S0 + a * np.log1p(t / np.exp(2 * log_rc))))


def _on_place(k: Floats, psi: Floats) -> Floats:
    """The quadratic form with coefficients k on (1, psi)."""
    some = PLACE if k[4:].any() else 3
    return np.asarray(k[0] + k[1 : some + 1] @ psi[:some])


def within(k: Floats) -> Floats:
    """Coefficients on (1, psi) of the variance of t within a pixel, psi being its mean there.

    t - t(middle) is, in a square of side one, linear with the slopes of t and quadratic with its
    second derivatives alpha (x x), beta (x y) and gamma (y y).
    """
    alpha, beta, gamma = 2 * (k[1] + k[4]), 2 * k[5], 2 * (k[1] - k[4])
    return np.array(
        [
            (k[2] ** 2 + k[3] ** 2) / 12 - (alpha**2 + gamma**2) / 180 - beta**2 / 144,
            (alpha**2 + 2 * beta**2 + gamma**2) / 24,
            (alpha * k[2] + beta * k[3]) / 6,
            (beta * k[2] + gamma * k[3]) / 6,
            (alpha**2 - gamma**2) / 24,
            beta * (alpha + gamma) / 12,
        ]
    )


@cache
def triangle(pairs: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of an upper triangle of so many numbers, not to be written to."""
    size = FEATURES if pairs == FEATURES * (FEATURES + 1) // 2 else PLACE
    rows, columns = np.triu_indices(size)
    rows.flags.writeable = columns.flags.writeable = False
    return rows, columns


def _variance(g: Floats, covariance: Floats) -> Floats:
    """Variance of the features' combination `g`, (features, cells or 1)."""
    row, column = triangle(len(covariance))
    there = np.flatnonzero((row < len(g)) & (column < len(g)))
    used = np.asarray(g.any(axis=1))
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
    #: Whether brightness is averaged over each pixel, or taken at its centre.
    averaged: bool = False

    @classmethod
    def of(cls, image: ClusterImage, *, averaged: bool = False) -> Pixels:
        """The good pixels of an image."""
        y, x = np.nonzero(image.good)
        there = image.background_map
        return cls(
            x.astype(float),
            y.astype(float),
            image.counts[y, x].astype(float),
            image.exposure[y, x].astype(float),
            np.zeros(x.size) if there is None else there[y, x].astype(float),
            averaged,
        )

    def __getitem__(self, which: NDArray[Any]) -> Pixels:
        """Some of the pixels."""
        return Pixels(
            self.x[which],
            self.y[which],
            self.counts[which],
            self.exposure[which],
            self.background[which],
            self.averaged,
        )

    def features(self, center: tuple[float, float]) -> Floats:
        """All features of each pixel (their means over it), (FEATURES, pixels)."""
        X, Y = self.x - center[0], self.y - center[1]
        inverse = 1 / self.exposure
        more = 1 / 6 if self.averaged else 0.0
        return np.stack(
            [
                X * X + Y * Y + more,
                X,
                Y,
                X * X - Y * Y,
                2 * X * Y,
                inverse,
                self.background * inverse,
            ]
        )

    def nodes(
        self, u: Floats, center: tuple[float, float], finer: bool = False
    ) -> NDArray[np.int64]:
        """Nodes a side that the average over each pixel takes; 0 where the second order will do.

        Parameters
        ----------
        u
            Coefficients of a model close to the best one, see `Cells.expected_and_log`.
        finer
            More of them, in more pixels, for a check.
        """
        found = np.zeros(self.x.size, dtype=np.int64)
        if not self.averaged:
            return found
        psi = self.features(center)
        B, b, f = u[-3:]
        total = b + B * psi[PLACE] + f * psi[PLACE + 1]
        left_out = np.zeros_like(total)
        for component in u[:-3].reshape(-1, PER_COMPONENT):
            a, k = component[2], component[3:]
            S = _brightness(component, psi)
            total = total + S
            fourth = 0.0055 * a * (a - 1) * (a - 2) * (a - 3)
            stretch = k[1] + np.hypot(k[4], k[5])
            x = _on_place(k, psi) + np.exp(2 * component[1])
            left_out += S * fourth * (stretch / x) ** 2
        with np.errstate(divide="ignore", invalid="ignore"):
            part = np.where(total > 0, left_out / total, 0.0)
        for bar, nodes in _NODES:
            found[part > (0.1 * bar if finer else bar)] = nodes + 2 * finer
        return found

    def at_nodes(
        self, nodes: NDArray[np.int64], center: tuple[float, float]
    ) -> tuple[Floats, NDArray[np.int64]]:
        """Features and weight of the nodes of all pixels, (nodes, PLACE + 1), and their pixels."""
        rows: list[Floats] = []
        owner: list[NDArray[np.int64]] = []
        for side in np.unique(nodes[nodes > 0]):
            place, weight = np.polynomial.legendre.leggauss(int(side))
            dx, dy = (d.ravel() for d in np.meshgrid(place / 2, place / 2))
            which = np.flatnonzero(nodes == side)
            X = (self.x[which, None] - center[0] + dx).ravel()
            Y = (self.y[which, None] - center[1] + dy).ravel()
            each = np.tile(np.outer(weight, weight).ravel() / 4, which.size)
            rows.append(np.stack([X * X + Y * Y, X, Y, X * X - Y * Y, 2 * X * Y, each], axis=1))
            owner.append(np.repeat(which, side * side))
        if not rows:
            return np.zeros((0, PLACE + 1)), np.zeros(0, dtype=np.int64)
        whose = np.concatenate(owner)
        order = np.argsort(whose, kind="stable")
        return np.concatenate(rows)[order], whose[order]


def average_brightness(
    component: Floats, pixels: Pixels, nodes: NDArray[np.int64], center: tuple[float, float]
) -> Floats:
    """S of one component in each pixel, averaged over it where `pixels` are."""
    psi = pixels.features(center)[:PLACE]
    P, _, P2, V, _ = _component(component, psi, np.zeros((0, psi.shape[1])), pixels.averaged)
    S = P if V is None else P + 0.5 * P2 * V
    if nodes.any():
        at, owner = pixels.at_nodes(nodes, center)
        value = _brightness(component, at[:, :PLACE].T) * at[:, PLACE]
        S = np.where(nodes > 0, np.bincount(owner, value, psi.shape[1]), S)
    return np.asarray(S)


def with_fine_pixels(
    cells: Cells,
    pixels: Pixels,
    nodes: NDArray[np.int64],
    center: tuple[float, float],
    annulus: NDArray[np.int64],
    annuli: int,
) -> Cells:
    """Cells of the other pixels, and the pixels that have nodes beside them."""
    which = np.flatnonzero(nodes)
    if not which.size:
        return cells
    fine, side = pixels[which], nodes[which]
    columns = (fine.counts, fine.exposure, 1 / fine.exposure, fine.background / fine.exposure)
    return replace(
        cells,
        totals=_totals(pixels, annulus, annuli),
        fine_pixels=np.stack([*columns, side.astype(float) ** 2], axis=1),
        fine_nodes=fine.at_nodes(side, center)[0],
        fine_annulus=annulus[which],
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
        averaged=pixels.averaged,
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
        averaged=pixels.averaged,
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
