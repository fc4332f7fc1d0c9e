"""Brute-force quadrature of tiny concordances: two sources, two or three instruments.

No conjugacy and no Gaussian algebra: every unknown (B_i, G_1, G_2, the scale of each instrument)
is a uniform grid, log-t densities are numerical integrals over the weight, and the posterior is
the sum over the grids (the trapezoid rule, which converges exponentially for smooth densities
that vanish at both ends). What makes it affordable: given B_i and G the scales of the instruments
are independent, so the sum factorises an instrument at a time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Density = Callable[[FloatArray, FloatArray], FloatArray]
"""(e, sigma) -> density of y_ij at e = y_ij - B_i - G_j, broadcasting."""


def lognormal_density(e: FloatArray, sigma: FloatArray) -> FloatArray:
    """Normal(-sigma^2/2, sigma^2)."""
    z = (e + sigma**2 / 2.0) / sigma
    return np.exp(-0.5 * z * z) / (sigma * np.sqrt(2.0 * np.pi))


def log_t_density(nu: float, nodes: int = 400) -> Density:
    """-sigma^2/(2 xi) + sigma Z/sqrt(xi), xi ~ chi^2_nu integrated numerically in log xi."""
    log_xi = np.linspace(-45.0 / nu - 5.0, np.log(nu + 12.0 * np.sqrt(2.0 * nu) + 60.0), nodes)
    xi = np.exp(log_xi)
    prior = np.exp(nu / 2.0 * log_xi - xi / 2.0)
    prior /= prior.sum()  # normalises chi^2_nu in log xi without its constant

    def density(e: FloatArray, sigma: FloatArray) -> FloatArray:
        e, sigma = np.broadcast_arrays(e, sigma)
        value = np.zeros(e.shape)
        for x, p in zip(xi, prior, strict=True):
            value += p * lognormal_density_at(e, sigma**2 / x)
        return value

    def lognormal_density_at(e: FloatArray, variance: FloatArray) -> FloatArray:
        return np.exp(-0.5 * (e + variance / 2.0) ** 2 / variance) / np.sqrt(2 * np.pi * variance)

    return density


@dataclass(frozen=True)
class Grids:
    """B is b_i + multiples of ``step`` within ``B_reach``; G the same around the sources' means."""

    step: float
    B_reach: float
    G_reach: float
    log_scale: FloatArray
    """Uniform grid of log sigma_i (or of log xi_i for extra variances)."""


@dataclass(frozen=True)
class Moments:
    """Posterior means and standard deviations, and the evidence up to the grid's constant."""

    B: FloatArray
    B_sd: FloatArray
    G: FloatArray
    G_sd: FloatArray
    log_scale: FloatArray
    log_scale_sd: FloatArray
    evidence: float


def posterior_moments(
    y: FloatArray,
    b: FloatArray,
    T: FloatArray,
    log_prior_scale: Callable[[FloatArray], FloatArray],
    density: Density,
    grids: Grids,
    given: FloatArray | None = None,
) -> Moments:
    """Moments of B, G and the log scales by summation.

    Parameters
    ----------
    y
        (N, 2), N = 2 or 3, NaN where missing.
    b, T
        Normal prior of B.
    log_prior_scale
        Log prior density of *log* scale, up to a constant.
    density
        Density of one measurement.
    grids
        The grids.
    given
        (N, 2) known part of the standard deviation: sigma_ij^2 = given^2 + scale_i^2.
    """
    N, M = y.shape
    if M != 2 or N not in (2, 3):
        raise ValueError("quadrature is for two sources and two or three instruments")
    offset_B = np.arange(-grids.B_reach, grids.B_reach + grids.step / 2.0, grids.step)
    offset_G = np.arange(-grids.G_reach, grids.G_reach + grids.step / 2.0, grids.step)
    B_axes = [b[i] + offset_B for i in range(N)]
    G_axes = [np.nanmean(y[:, j] - b) + offset_G for j in range(M)]
    scale = np.exp(grids.log_scale)
    prior_scale = np.exp(log_prior_scale(grids.log_scale))
    prior_B = _normal_tensor(offset_B, T)

    def factors(i: int) -> tuple[FloatArray, FloatArray]:
        """Densities of the two measurements of instrument i: (B, G_j, scale)."""
        tables = []
        for j in range(M):
            if np.isnan(y[i, j]):
                tables.append(np.ones((offset_B.size, offset_G.size, scale.size)))
                continue
            sigma = scale if given is None else np.sqrt(given[i, j] ** 2 + scale**2)
            # B and G share the step: e depends on the sum of their indices alone.
            low = y[i, j] - B_axes[i][0] - G_axes[j][0]
            e = low - grids.step * np.arange(offset_B.size + offset_G.size - 1)
            table = density(e[:, None], sigma[None, :])
            index = np.arange(offset_B.size)[:, None] + np.arange(offset_G.size)
            tables.append(table[index])
        return tables[0], tables[1]

    all_factors = [factors(i) for i in range(N)]
    # q[i][B, G1, G2]: the scale of instrument i summed out
    q = [(f1 * prior_scale) @ f2.swapaxes(1, 2) for f1, f2 in all_factors]
    letters = "abc"[:N]
    everything = ",".join(f"{c}gh" for c in letters)
    means: dict[str, list[float]] = {"B": [], "B_sd": [], "log": [], "log_sd": []}
    for i in range(N):
        others = ",".join(f"{c}gh" for k, c in enumerate(letters) if k != i)
        rest = [q[k] for k in range(N) if k != i]
        # context[B_i, G1, G2]: prior of B and all the other instruments
        context = np.einsum(f"{letters},{others}->{letters[i]}gh", prior_B, *rest, optimize=True)
        weight_B = (context * q[i]).sum(axis=(1, 2))
        _append(means["B"], means["B_sd"], B_axes[i], weight_B)
        f1, f2 = all_factors[i]
        weight_scale = prior_scale * (f1 * (context @ f2)).sum(axis=(0, 1))
        _append(means["log"], means["log_sd"], grids.log_scale, weight_scale)
    joint_G = np.einsum(f"{letters},{everything}->gh", prior_B, *q, optimize=True)
    G: list[float] = []
    G_sd: list[float] = []
    _append(G, G_sd, G_axes[0], joint_G.sum(axis=1))
    _append(G, G_sd, G_axes[1], joint_G.sum(axis=0))
    return Moments(
        np.array(means["B"]),
        np.array(means["B_sd"]),
        np.array(G),
        np.array(G_sd),
        np.array(means["log"]),
        np.array(means["log_sd"]),
        float(joint_G.sum()),
    )


def _normal_tensor(offset: FloatArray, T: FloatArray) -> FloatArray:
    """Normal(0, T) on the N-fold grid of offsets, up to a constant."""
    precision = np.linalg.inv(T)
    mesh = np.stack(np.meshgrid(*[offset] * T.shape[0], indexing="ij"), axis=-1)
    return np.exp(-0.5 * np.einsum("...i,ij,...j->...", mesh, precision, mesh, optimize=True))


def _append(means: list[float], sds: list[float], x: FloatArray, weight: FloatArray) -> None:
    if max(weight[0], weight[-1]) > 1e-4 * weight.max():
        raise ValueError("the grid cuts off the posterior: widen it")
    weight = weight / weight.sum()
    mean = float(weight @ x)
    means.append(mean)
    sds.append(float(np.sqrt(weight @ (x - mean) ** 2)))
