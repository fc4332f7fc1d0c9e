"""All parameters of a model of spectra: which are free, and how the others follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.spectra.links import Link, parse
from pyxstan.spectra.model import Drawn, Linked

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: What bounds a free parameter, see ``stan_models/linked_spectra.stan``.
_FREE, _BETWEEN, _ABOVE, _LOG_BETWEEN = 0, 1, 2, 3
#: So many standard deviations from zero a normal prior has no positive number.
_FAR = 5.0
#: What a prior has below zero that is worth a word.
_SOME = 1e-3
#: The logarithm of what is zero.
_LOG_ZERO = -800.0


@dataclass(frozen=True)
class Parameter:
    """A parameter with what it was set to."""

    name: str
    #: Whether its own scale is the logarithm.
    positive: bool
    unit: str
    description: str
    setting: float | Prior | Linked | Drawn


@dataclass(frozen=True)
class _Row:
    """A parameter in the order of the Stan program."""

    name: str
    positive: bool
    #: Of a free one; of one that is drawn from a population a guess of where that is.
    prior: Prior | None
    link: Link = field(default_factory=Link)
    #: That it is drawn from.
    population: str | None = None


@dataclass(frozen=True)
class Parameters:
    """The parameters in the order of the Stan program: the free ones first."""

    #: As the user named them, in their order.
    all: tuple[Parameter, ...]
    rows: tuple[_Row, ...]
    free: int
    position: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def held(self) -> dict[str, float]:
        """Values of those that follow from nothing that is free."""
        moving = {row.name for row in self.rows[: self.free]}
        for row in self.rows[self.free :]:
            if any(t.source in moving or t.by in moving for t in row.link.terms):
                moving.add(row.name)
        named = self.named(self.values(self.start()[None])[0][0])
        return {name: float(x) for name, x in named.items() if name not in moving}

    @property
    def varying(self) -> tuple[Parameter, ...]:
        """Those that aren't held."""
        return tuple(p for p in self.all if p.name not in self.held)

    @property
    def priors(self) -> dict[str, Prior]:
        """Of the free parameters that have one of their own."""
        return {r.name: r.prior for r in self.rows if r.prior is not None and r.population is None}

    @cached_property
    def _ends(self) -> tuple[np.ndarray, Floats, Floats]:
        """Bounds of the free parameters, and what each, or its logarithm, is made of u with."""
        found = []
        for row in self.rows[: self.free]:
            assert row.prior is not None
            a, b = row.prior.stan_arguments
            match row.prior.family:
                case "uniform":
                    found.append((_BETWEEN, a, b - a))
                case "loguniform":
                    found.append((_LOG_BETWEEN, np.log(a), np.log(b / a)))
                case "normal" if not row.positive:
                    found.append((_FREE, a, b))
                case "lognormal":
                    found.append((_ABOVE, a, b))
                case _:
                    found.append((_ABOVE, np.log(_middle(row.prior)), 1.0))
        table = np.array(found)
        return table[:, 0].astype(int), table[:, 1], table[:, 2]

    def values(self, u: Floats) -> tuple[Floats, Floats]:
        """Every parameter, and log prior density times Jacobian, up to a constant.

        Parameters
        ----------
        u
            The sampler's coordinates before whitening, shape (draws, free).

        Returns
        -------
        x, log_prior
            Of shape (draws, parameters) and (draws,).
        """
        bounds, bottom, width = self._ends
        theta = np.empty((len(u), len(self.rows)))
        x = np.empty_like(theta)
        log_prior = np.zeros(len(u))
        with np.errstate(over="ignore", divide="ignore"):
            for k, row in enumerate(self.rows):
                if k >= self.free:
                    theta[:, k] = row.link.shift
                    for term in row.link.terms:
                        factor = 1.0 if term.by is None else x[:, self.position[term.by]]
                        theta[:, k] += term.weight * factor * theta[:, self.position[term.source]]
                    x[:, k] = np.exp(theta[:, k]) if row.positive else theta[:, k]
                    continue
                assert row.prior is not None
                between = bounds[k] in (_BETWEEN, _LOG_BETWEEN)
                x[:, k] = bottom[k] + width[k] * (special.ndtr(u[:, k]) if between else u[:, k])
                if between:
                    log_prior += -0.5 * u[:, k] ** 2
                if bounds[k] == _ABOVE and row.population is None:
                    log_prior += x[:, k]
                if bounds[k] in (_ABOVE, _LOG_BETWEEN):
                    x[:, k] = np.exp(x[:, k])
                if not between and row.population is None:
                    log_prior += row.prior.log_density(x[:, k])
                theta[:, k] = np.log(x[:, k]) if row.positive else x[:, k]
            for k, mean, sd in self._drawn:
                log_prior += -0.5 * ((theta[:, k] - theta[:, mean]) / x[:, sd]) ** 2
                log_prior -= np.log(x[:, sd])
        return x, log_prior

    @property
    def populations(self) -> set[str]:
        """Names of those that parameters are drawn from."""
        return {row.population for row in self.rows if row.population is not None}

    @cached_property
    def _drawn(self) -> list[tuple[int, int, int]]:
        """Positions of what is drawn from a population, of its mean and of its sd."""
        return [
            (k, self.position[f"{row.population}.mean"], self.position[f"{row.population}.sd"])
            for k, row in enumerate(self.rows)
            if row.population is not None
        ]

    def spread(self, v: Floats) -> tuple[Floats, Floats]:
        """u from coordinates v that are the same, but those of populations in units of their sd.

        There is no highest density where a population is a point, as there is in u.

        Returns
        -------
        u, log_jacobian
            Of shape (draws, free) and (draws,).
        """
        u, log_jacobian = v.copy(), np.zeros(len(v))
        if not self._drawn:
            return u, log_jacobian
        _, bottom, width = self._ends
        x, _ = self.values(v)
        with np.errstate(divide="ignore", invalid="ignore"):
            for k, mean, sd in self._drawn:
                middle = np.log(x[:, mean]) if self.rows[mean].positive else x[:, mean]
                u[:, k] = (middle + x[:, sd] * v[:, k] - bottom[k]) / width[k]
                log_jacobian += np.log(x[:, sd])
        return u, log_jacobian

    def named(self, x: Floats) -> dict[str, Floats]:
        """Columns of `values` by name."""
        return {p.name: x[..., self.position[p.name]] for p in self.all}

    def cut(self) -> list[str]:
        """Say of which priors only the part above zero counts."""
        return [
            f"{name}: the prior {prior} ends at zero, where it has {100 * below:.2g}% below"
            for name, prior in self.priors.items()
            if (below := self._below_zero(name, prior)) > _SOME
        ]

    def _below_zero(self, name: str, prior: Prior) -> float:
        mean, sd = prior.stan_arguments
        cut = self.rows[self.position[name]].positive and prior.family == "normal"
        return float(special.ndtr(-mean / sd)) if cut else 0.0

    def start(self) -> Floats:
        """u of the middle of every prior."""
        return np.zeros(self.free)

    def u_of(self, k: int, given: Any) -> float:
        """u of a free parameter's value.

        Raises
        ------
        DataError
            No number, or one that the prior excludes.
        """
        name = self.rows[k].name
        try:
            value = at = float(given)
        except (TypeError, ValueError):
            raise DataError(f"value of {name}: '{given}' is not a number") from None
        bounds, bottom, width = self._ends
        if bounds[k] in (_ABOVE, _LOG_BETWEEN):
            at = float(np.log(value)) if value > 0 else np.nan
        at = (at - bottom[k]) / width[k]
        if bounds[k] in (_BETWEEN, _LOG_BETWEEN):
            at = float(special.ndtri(at)) if 0 < at < 1 else np.nan
        if not np.isfinite(at):
            prior = self.rows[k].population or self.rows[k].prior
            raise DataError(f"value of {name}: {value:g} is outside of its prior, {prior}")
        return at

    def stan_data(self) -> dict[str, Any]:
        """What ``stan_models/linked_spectra.stan`` is told of them."""
        bounds, bottom, width = self._ends
        others = self.rows[self.free :]
        terms = [term for row in others for term in row.link.terms]
        sizes = [len(row.link.terms) for row in others]
        priors = [row.prior for row in self.rows[: self.free] if row.prior is not None]
        return {
            "D": self.free,
            "P": len(self.rows),
            "positive": [int(row.positive) for row in self.rows],
            "bounds": bounds,
            "bottom": bottom,
            "width": width,
            "prior_family": [prior.code for prior in priors],
            "prior_arguments": np.array([prior.stan_arguments for prior in priors]).T,
            "drawn_mean": self._positions(1),
            "drawn_sd": self._positions(2),
            "shift": [row.link.shift for row in others],
            "T": len(terms),
            "first_term": np.append(0, np.cumsum(sizes)).astype(int) + 1,
            "from": [self.position[term.source] + 1 for term in terms],
            "by": [0 if term.by is None else self.position[term.by] + 1 for term in terms],
            "weight": [term.weight for term in terms],
        }

    def _positions(self, which: int) -> Ints:
        """From one, in what `_drawn` has, of every free parameter; zero for the others."""
        found = np.zeros(self.free, dtype=np.int64)
        for one in self._drawn:
            found[one[0]] = one[which] + 1
        return found


def _middle(prior: Prior) -> float:
    """Where the density of ln x is highest."""
    a, b = prior.stan_arguments
    match prior.family:
        case "half_normal":
            return a
        case "gamma":
            return a / b
        case "inv_gamma":
            return b / a
        case _:
            # normal, above zero: the positive root of x^2 - a x = b^2
            return 0.5 * (a + float(np.hypot(a, 2 * b)))


def collect(given: Iterable[Parameter]) -> Parameters:
    """Order the parameters for the Stan program.

    Parameters
    ----------
    given
        Every parameter; those of a population ``name`` are ``name.mean`` and ``name.sd``.

    Raises
    ------
    DataError
        A link that names what isn't there, or leads back to itself; a prior that a positive
        parameter can't have; nothing that is free.
    """
    given = tuple(given)
    scales: dict[str, bool] = {}
    for p in given:
        if p.name in scales:
            raise DataError(f"two parameters are called '{p.name}'")
        scales[p.name] = p.positive
    units = {p.name: p.unit for p in given}
    settings = {p.name: p.setting for p in given}
    free: list[_Row] = []
    links: dict[str, Link] = {}
    for p in given:
        match p.setting:
            case Prior():
                free.append(_Row(p.name, p.positive, _checked(p, p.setting)))
            case Linked(expression=text):
                try:
                    links[p.name] = parse(text, positive=p.positive, scales=scales)
                except DataError as error:
                    raise DataError(f"{p.name}: {error}") from None
            case Drawn(population=name):
                if (mean := f"{name}.mean") not in scales:
                    there = ", ".join(p.removesuffix(".sd") for p in scales if p.endswith(".sd"))
                    raise DataError(
                        f"{p.name}: no population '{name}'; there are {there or 'none'}"
                    )
                if (scales[mean], units[mean]) != (p.positive, p.unit):
                    raise DataError(
                        f"{p.name}: population '{name}' is of parameters in other units"
                        if units[mean] != p.unit
                        else f"{p.name}: its likes in population '{name}' are of another scale"
                    )
                around = _around(settings[mean], p.positive)
                free.append(_Row(p.name, p.positive, around, population=name))
            case float() as number:
                if p.positive and not number > 0:
                    if number == 0:
                        links[p.name] = Link(_LOG_ZERO)
                        continue
                    raise DataError(f"{p.name}: {number:g} is negative")
                links[p.name] = Link(float(np.log(number)) if p.positive else number)
    if not free:
        raise DataError("no parameter is free: give at least one a prior")
    rows = [*free, *_ordered(links, {row.name for row in free}, scales)]
    position = {row.name: k for k, row in enumerate(rows)}
    return Parameters(given, tuple(rows), len(free), position)


def _around(mean: float | Prior | Linked | Drawn, positive: bool) -> Prior:
    """Where a population with that mean may be."""
    middle = 0.0
    if isinstance(mean, float):
        middle = float(np.log(mean)) if positive and mean > 0 else mean
    elif isinstance(mean, Prior):
        a, b = mean.stan_arguments
        match mean.family:
            case "lognormal":
                middle = a
            case "loguniform":
                middle = 0.5 * float(np.log(a * b))
            case "normal" | "uniform":
                middle = a if mean.family == "normal" else 0.5 * (a + b)
                middle = float(np.log(middle)) if positive and middle > 0 else middle
            case _:
                middle = float(np.log(_middle(mean)))
    return Prior("lognormal" if positive else "normal", (middle, 1.0))


def _checked(p: Parameter, prior: Prior) -> Prior:
    """The prior, which must hold positive numbers alone where the parameter is one."""
    a, b = prior.stan_arguments
    if p.positive and prior.family == "uniform" and a < 0:
        raise DataError(f"{p.name}: {prior} reaches below zero, where {p.name} can't be")
    if p.positive and prior.family == "normal" and a < -_FAR * b:
        raise DataError(f"{p.name}: {prior} has no positive number")
    return prior


def _ordered(links: dict[str, Link], known: set[str], scales: Mapping[str, bool]) -> list[_Row]:
    """The linked ones, each after all that it follows from."""
    found: list[_Row] = []
    rest = dict(links)
    while rest:
        ready = [
            name
            for name, link in rest.items()
            if all(t.source in known and (t.by is None or t.by in known) for t in link.terms)
        ]
        if not ready:
            raise DataError(f"links that lead back to themselves: {_loop(rest)}")
        for name in ready:
            found.append(_Row(name, scales[name], None, rest.pop(name)))
            known.add(name)
    return found


def _loop(links: dict[str, Link]) -> str:
    """A loop among links each of which follows from one of them, in words."""
    path = [next(iter(links))]
    while path.count(path[-1]) == 1:
        names = [x for t in links[path[-1]].terms for x in (t.source, t.by)]
        path.append(next(x for x in names if x in links))
    return " -> ".join(path[path.index(path[-1]) :])
