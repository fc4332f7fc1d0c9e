"""A parent's parameters, their priors, and the unbounded coordinates that the sampler moves in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import special

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.stacking.data import Floats

#: How a number is bounded: see ``stan_models/functions/stack_parents.stanfunctions``.
_FREE, _ABOVE, _BETWEEN = 0, 1, 2
#: Below it, Phi(z) and -ln(1 - Phi(z)) are the same.
_FAR = -8.0


@dataclass(frozen=True)
class Coordinates:
    """From theta, any numbers, to the parameters of a parent: numbers phi, then fractions."""

    #: Names of the numbers; those of a mixture's components have one name each kind.
    names: tuple[str, ...]
    priors: tuple[Prior, ...]
    bounds: np.ndarray
    bottom: Floats
    width: Floats
    #: Fractions: bins, or components of a mixture, whose means are in order.
    parts: int = 0
    concentration: float = 1.0
    ordered: bool = False

    @property
    def size(self) -> int:
        """Length of theta."""
        return len(self.names) + self.parts

    def numbers(self, theta: Floats) -> tuple[Floats, Floats]:
        """Numbers phi and log prior density times Jacobian, for their theta (draws, numbers)."""
        with np.errstate(over="ignore"):
            phi = np.where(self.bounds == _ABOVE, self.bottom + np.exp(theta), theta)
        between = self.bottom + self.width * special.expit(theta)
        phi = np.where(self.bounds == _BETWEEN, between, phi)
        slope = special.log_expit(theta) + special.log_expit(-theta)
        log_slope = np.where(self.bounds == _ABOVE, theta, 0.0)
        log_density = np.where(self.bounds == _BETWEEN, slope, log_slope).sum(axis=1)
        if self.ordered:
            phi[:, : self.parts] = np.cumsum(phi[:, : self.parts], axis=1)
        for column, prior in enumerate(self.priors):
            log_density = log_density + prior.log_density(phi[:, column])
        return phi, log_density

    def values(self, theta: Floats) -> tuple[dict[str, Floats], Floats]:
        """Parameters and log prior density times Jacobian, for theta of shape (draws, size)."""
        count = len(self.names)
        phi, log_density = self.numbers(theta[:, :count])
        fraction = None
        if self.parts:
            normal = theta[:, count:]
            # of exponential variates, which have the quantiles of these normal ones
            with np.errstate(divide="ignore"):
                log_share = np.log(-special.log_ndtr(-normal))
            log_share = np.where(normal < _FAR, special.log_ndtr(normal), log_share)
            fraction = special.softmax(log_share, axis=1)
            log_prior = (self.concentration - 1) * log_share - 0.5 * normal**2
            log_density = log_density + log_prior.sum(axis=1)
        return self.named(phi, fraction), log_density

    def named(self, phi: Floats, fraction: Floats | None) -> dict[str, Floats]:
        """Parameters by name, of shape (draws,), or (draws, parts)."""
        found: dict[str, Floats] = {}
        for name in dict.fromkeys(self.names):
            columns = [i for i, one in enumerate(self.names) if one == name]
            found[name] = phi[:, columns] if self.ordered else phi[:, columns[0]]
        if fraction is not None:
            found["fraction"] = fraction
        return found

    def within(self, phi: Floats) -> Floats:
        """The same numbers where their priors allow them, else what they allow close by."""
        margin = 1e-3 * self.width
        low, high = self.bottom + margin, self.bottom + self.width - margin
        return np.where(self.bounds == _BETWEEN, np.clip(phi, low, high), phi)

    def phi(self, values: Mapping[str, Any]) -> Floats:
        """The numbers among the values, one after another."""
        parts = [np.ravel(np.asarray(values[name], float)) for name in dict.fromkeys(self.names)]
        phi = np.concatenate(parts) if parts else np.empty(0)
        if len(phi) != len(self.names):
            raise DataError(f"starting values: expected {len(self.names)} numbers, got {len(phi)}")
        return phi

    def theta_of(self, phi: Floats) -> Floats:
        """Inverse of `numbers`.

        Raises
        ------
        DataError
            A value that the prior or the nature of the parameter excludes.
        """
        steps = phi.copy()
        if self.ordered:
            steps[1 : self.parts] = np.diff(phi[: self.parts])
        found = np.empty(len(phi))
        for i, (x, kind) in enumerate(zip(steps, self.bounds, strict=True)):
            above = x - self.bottom[i]
            below = self.width[i] - above
            if (
                not np.isfinite(x)
                or (kind != _FREE and not above > 0)
                or (kind == _BETWEEN and not below > 0)
            ):
                raise DataError(
                    f"starting value of {self.names[i]}: {phi[i]:g} is outside of its prior"
                )
            if kind == _FREE:
                found[i] = x
            else:
                found[i] = np.log(above if kind == _ABOVE else above / below)
        return found

    def theta(self, values: Mapping[str, Any]) -> Floats:
        """Inverse of `values`, for one set of parameters (numbers, or arrays over the parts)."""
        found = self.theta_of(self.phi(values))
        if not self.parts:
            return found
        fraction = np.ravel(np.asarray(values["fraction"], float))
        if len(fraction) != self.parts or not (fraction > 0).all():
            raise DataError(f"starting value of fraction: expected {self.parts} positive numbers")
        share = self.concentration * self.parts * fraction / fraction.sum()
        return np.append(found, -special.ndtri_exp(-share))

    def thetas(self, phi: Floats, fraction: Floats | None = None) -> Floats:
        """Theta of many numbers phi, shape (draws, numbers), moved to where they are allowed.

        Parameters
        ----------
        fraction
            Of bins or components, shape (draws, parts).
        """
        steps = self.within(phi)
        if self.ordered:
            steps[:, 1 : self.parts] = np.diff(phi[:, : self.parts], axis=1)
        above = steps - self.bottom
        with np.errstate(invalid="ignore", divide="ignore"):
            found = np.where(self.bounds == _ABOVE, np.log(np.maximum(above, 1e-300)), steps)
            between = np.log(above / (self.width - above))
        found = np.where(self.bounds == _BETWEEN, between, found)
        if fraction is None:
            return np.asarray(found)
        share = self.concentration * self.parts * fraction
        return np.concatenate([found, -special.ndtri_exp(-share)], axis=1)

    def units(self, widths: Floats | float) -> Floats:
        """About how much each of theta may change, for numbers on ranges of these widths."""
        found = np.ones(self.size)
        each = np.broadcast_to(widths, (len(self.names),))
        for i in np.flatnonzero(self.bounds == _FREE):  # normal
            found[i] = min(self.priors[i].arguments[1], each[i])
        return found

    def sample(self, rng: np.random.Generator) -> dict[str, Floats]:
        """Parameters drawn from their priors."""
        phi = np.array([prior.sample(rng, 1)[0] for prior in self.priors])
        for i, prior in enumerate(self.priors):
            while self.bounds[i] == _ABOVE and not self.ordered and phi[i] <= 0:
                phi[i] = prior.sample(rng, 1)[0]
        if self.ordered:
            phi[: self.parts] = np.sort(phi[: self.parts])
        alpha = np.full(self.parts, self.concentration)
        fraction = rng.dirichlet(alpha)[None] if self.parts else None
        return {name: x[0] for name, x in self.named(phi[None], fraction).items()}

    def stan_numbers(self) -> dict[str, Any]:
        """What the Stan programs are told of the numbers."""
        return {
            "numbers": len(self.names),
            "bounds": self.bounds,
            "bottom": self.bottom,
            "width": self.width,
            "prior_family": np.array([prior.code for prior in self.priors], dtype=int),
            "prior_arguments": np.array([p.stan_arguments for p in self.priors]).reshape(-1, 2).T,
        }

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/stack.stan`` is told of them."""
        return {
            **self.stan_numbers(),
            "parts": self.parts,
            "concentration": np.full(self.parts, self.concentration),
            "D": self.size,
        }


def coordinates(
    priors: dict[str, Prior],
    positive: frozenset[str],
    parts: int = 0,
    concentration: float = 1.0,
    *,
    mixture: bool = False,
) -> Coordinates:
    """Coordinates of a parent with these priors.

    Raises
    ------
    DataError
        A uniform prior that reaches below zero where the parameter can't.
    """
    names: list[str] = []
    bounds: list[tuple[int, float, float]] = []
    for name, prior in priors.items():
        copies = parts if mixture else 1
        for copy in range(copies):
            names.append(name)
            if mixture and name == "mean":
                bounds.append((_ABOVE if copy else _FREE, 0.0, 1.0))
            elif prior.family == "uniform":
                low, high = prior.arguments
                if name in positive and low < 0:
                    raise DataError(f"prior {name}={prior}: {name} can't be negative")
                bounds.append((_BETWEEN, low, high - low))
            elif name in positive or prior.family != "normal":
                bounds.append((_ABOVE, 0.0, 1.0))
            else:
                bounds.append((_FREE, 0.0, 1.0))
    table = np.array(bounds).reshape(-1, 3)
    return Coordinates(
        names=tuple(names),
        priors=tuple(priors[name] for name in names),
        bounds=table[:, 0].astype(int),
        bottom=table[:, 1],
        width=table[:, 2],
        parts=parts,
        concentration=concentration,
        ordered=mixture,
    )
