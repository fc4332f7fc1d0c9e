"""Priors as data: ``"normal(0, 5)"`` in words, codes and numbers for a Stan program.

A Stan program of the zoo never spells out a prior that a user may want to change. It calls
``prior_lpdf`` of ``stan_models/functions/priors.stanfunctions`` with a family code and two
numbers that come in as data, so another prior needs no recompile.

>>> parse("inv_gamma(3, 0.005)")
Prior(family='inv_gamma', arguments=(3.0, 0.005))
>>> print(parse("normal(0,5)"))
normal(0, 5)
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pyxstan.errors import DataError

if TYPE_CHECKING:
    import numpy as np

#: Family -> (code in the Stan programs, names of its arguments, which of them must be positive).
FAMILIES: dict[str, tuple[int, tuple[str, ...], tuple[int, ...]]] = {
    "normal": (1, ("mean", "sd"), (1,)),
    "lognormal": (2, ("mean of log", "sd of log"), (1,)),
    "half_normal": (3, ("scale",), (0,)),
    "gamma": (4, ("shape", "rate"), (0, 1)),
    "inv_gamma": (5, ("shape", "scale"), (0, 1)),
    "uniform": (6, ("lower end", "upper end"), ()),
    "loguniform": (7, ("lower end", "upper end"), (0, 1)),
}


#: What is written of a prior's numbers is right to this part of its width.
_WELL = 1e-4


@dataclass(frozen=True)
class Prior:
    """A prior family with its arguments, validated."""

    family: str
    arguments: tuple[float, ...]

    def __post_init__(self) -> None:
        if self.family not in FAMILIES:
            raise DataError(f"unknown prior '{self.family}'; there are {', '.join(FAMILIES)}")
        _, names, positive = FAMILIES[self.family]
        if len(self.arguments) != len(names):
            raise DataError(
                f"prior {self}: {self.family} takes {len(names)} numbers ({', '.join(names)})"
            )
        for name, value in zip(names, self.arguments, strict=True):
            if not math.isfinite(value):
                raise DataError(f"prior {self}: {name} must be a finite number")
        for position in positive:
            if self.arguments[position] <= 0:
                raise DataError(f"prior {self}: {names[position]} must be positive")
        if self.family in ("uniform", "loguniform") and not self.arguments[0] < self.arguments[1]:
            raise DataError(f"prior {self}: the lower end must be below the upper")

    def __str__(self) -> str:
        if self.family == "normal":
            scale = self.arguments[-1]
        elif self.family == "uniform":
            scale = self.arguments[-1] - self.arguments[0]
        else:
            scale = math.inf
        return f"{self.family}({', '.join(_written(x, scale) for x in self.arguments)})"

    @property
    def code(self) -> int:
        """The family's number in ``prior_lpdf``."""
        return FAMILIES[self.family][0]

    @property
    def stan_arguments(self) -> tuple[float, float]:
        """The two numbers that ``prior_lpdf`` takes (the second is unused by one-number ones)."""
        first, second = (*self.arguments, 0.0)[:2]
        return first, second

    def sample(self, rng: np.random.Generator, size: int) -> np.ndarray:
        """Draw `size` values from the prior."""
        import numpy as np

        a, b = self.stan_arguments
        match self.family:
            case "normal":
                return rng.normal(a, b, size)
            case "lognormal":
                return rng.lognormal(a, b, size)
            case "half_normal":
                return np.abs(rng.normal(0.0, a, size))
            case "gamma":
                return rng.gamma(a, 1.0 / b, size)
            case "uniform":
                return rng.uniform(a, b, size)
            case "loguniform":
                return np.exp(rng.uniform(np.log(a), np.log(b), size))
            case _:
                return b / rng.gamma(a, 1.0, size)

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log density at `x`, up to a constant."""
        import numpy as np

        a, b = self.stan_arguments
        match self.family:
            case "normal":
                value = -0.5 * ((x - a) / b) ** 2
            case "lognormal":
                value = -0.5 * ((np.log(x) - a) / b) ** 2 - np.log(x)
            case "half_normal":
                value = -0.5 * (x / a) ** 2
            case "gamma":
                value = (a - 1) * np.log(x) - b * x
            case "uniform":
                value = np.where((x >= a) & (x <= b), 0.0, -np.inf)
            case "loguniform":
                value = np.where((x >= a) & (x <= b), -np.log(x), -np.inf)
            case _:
                value = -(a + 1) * np.log(x) - b / x
        return np.asarray(value)


def _written(value: float, scale: float) -> str:
    """A number in six digits, or as many as it takes to know it well within a scale."""
    for digits in (6, 9, 12):
        text = f"{value:.{digits}g}"
        if not abs(float(text) - value) > _WELL * abs(scale):
            return text
    return f"{value!r}"


def log_prior(priors: Sequence[Prior], values: np.ndarray) -> float:
    """Log density of independent parameters, one prior each, up to a constant."""
    return float(log_prior_of_many(priors, values))


def log_prior_of_many(priors: Sequence[Prior], values: np.ndarray) -> np.ndarray:
    """The same of many points, (parameters, points)."""
    import numpy as np

    return np.asarray(sum(p.log_density(v) for p, v in zip(priors, values, strict=True)))


def parse(text: str | Prior) -> Prior:
    """Read a prior as users write it.

    Parameters
    ----------
    text
        ``family(number, ...)``, as in ``"normal(0, 5)"``; see `FAMILIES`. A `Prior` passes through.

    Raises
    ------
    DataError
        Unknown family, wrong number of arguments, or a value outside the family's range.
    """
    if isinstance(text, Prior):
        return text
    match = re.fullmatch(r"\s*(\w+)\s*\(([^()]*)\)\s*", str(text))
    if match is None:
        raise DataError(f"prior '{text}': expected family(number, ...), as in normal(0, 5)")
    family, inside = match.groups()
    try:
        arguments = tuple(float(part) for part in inside.split(",")) if inside.strip() else ()
    except ValueError:
        raise DataError(f"prior '{text}': '{inside}' is not a list of numbers") from None
    return Prior(family, arguments)
