"""What a component of a spectrum is, and its integrals over energy bins with their derivatives.

The components themselves are in `pyxstan.spectra.components`, with all formulas.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyxstan.errors import DataError

Floats = npt.NDArray[np.float64]
#: A number, a sequence or an array of them.
Numbers = npt.ArrayLike
#: Values of parameters and constants by name, broadcast against the energies.
Values = Mapping[str, Floats]
#: An integral over bins, and its derivatives by the name of the parameter.
Integral = tuple[Floats, dict[str, Floats]]
#: What absorption lets through at the lower end, the middle and the upper end of each bin.
Transmission = tuple[Numbers, Numbers, Numbers]

_SIMPSON = (1.0, 4.0, 1.0)


@dataclass(frozen=True)
class Parameter:
    """A parameter of a component."""

    name: str
    #: As astropy reads it; empty for a plain number.
    unit: str
    description: str
    #: ``log`` if it is positive and links multiply it, ``linear`` if it is any number.
    scale: str = "linear"
    #: Whether one of scale ``log`` may be zero all the same where it is fixed.
    zero: bool = False


@dataclass(frozen=True)
class Constant:
    """A positive number in a component's definition that is never fitted."""

    name: str
    unit: str
    default: float
    description: str


@dataclass(frozen=True)
class Shape:
    """How the flux depends on energy, for a norm of one."""

    #: Flux at some energies.
    flux: Callable[[Floats, Values], Floats]
    #: Derivatives of its logarithm with respect to the parameters other than the norm.
    log_slopes: Callable[[Floats, Values], dict[str, Floats]]
    #: Integral over bins and its derivatives; Simpson's rule if None.
    exact: Callable[[Floats, Floats, Values], Integral] | None = None
    #: Whether what absorption lets through is averaged in a bin with the flux as weight.
    weighted: bool = True


def _nothing(_: Values) -> str:
    return ""


@dataclass(frozen=True)
class Component:
    """A component: its parameters, its flux, and its integrals with their derivatives."""

    name: str
    #: Its number in the Stan program.
    code: int
    formula: str
    #: The norm comes first.
    parameters: tuple[Parameter, ...]
    shape: Shape
    constants: tuple[Constant, ...] = ()
    #: What is wrong with values beside one another; empty if nothing is.
    mistake: Callable[[Values], str] = _nothing

    @property
    def norm(self) -> str:
        """Name of the parameter that the flux is proportional to."""
        return self.parameters[0].name

    def flux(self, energy: Numbers, **values: Numbers) -> Floats:
        """Photons / s / cm^2 / keV.

        Parameters
        ----------
        energy
            keV, positive.
        **values
            Parameters, and those constants that aren't as by default: numbers, or arrays of the
            same shape, such as draws.

        Returns
        -------
        ndarray
            Shape of the values, then that of `energy`.

        Raises
        ------
        DataError
            A value is missing, unknown, not finite, or not positive where it has to be.
        """
        at = np.asarray(energy, dtype=np.float64)
        if not ((at > 0) & (at < np.inf)).all():
            raise DataError(f"{self.name}: expected energies that are positive and finite, in keV")
        v = self._values(values, at.ndim)
        with np.errstate(over="ignore"):
            return np.asarray(v[self.norm] * self.shape.flux(at, v))

    def integral(
        self,
        low: Numbers,
        high: Numbers,
        transmission: Transmission | None = None,
        **values: Numbers,
    ) -> Floats:
        """Photons / s / cm^2 in energy bins.

        Parameters
        ----------
        low, high
            Ends of the bins in keV, 0 < low < high.
        transmission
            What absorption lets through at the lower end, the middle and the upper end of each
            bin; or derivatives of that, for a derivative of the integral.
        **values
            As in `flux`.

        Returns
        -------
        ndarray
            Shape of the values, then the bins.
        """
        return self._integrals(low, high, transmission, values)[0]

    def partials(
        self,
        low: Numbers,
        high: Numbers,
        transmission: Transmission | None = None,
        **values: Numbers,
    ) -> dict[str, Floats]:
        """Derivatives of `integral` with respect to each parameter, by its name."""
        return self._integrals(low, high, transmission, values)[1]

    def _integrals(
        self,
        low: Numbers,
        high: Numbers,
        transmission: Transmission | None,
        values: Mapping[str, Numbers],
    ) -> Integral:
        ends = _bins(low, high)
        v = self._values(values, ends[0].ndim)
        through = None
        if transmission is not None:
            through = [np.asarray(a, dtype=np.float64) for a in transmission]
        with np.errstate(over="ignore"):
            if self.shape.exact is None:
                one, slopes = self._simpson(*ends, through, v)
            else:
                one, slopes = self.shape.exact(*ends, v)
                if through is not None:
                    one, slopes = self._absorbed(*ends, through, v, one, slopes)
        norm = v[self.norm]
        total = np.asarray(norm * one)
        found = {self.norm: one} | {name: norm * slope for name, slope in slopes.items()}
        return total, {p.name: np.broadcast_to(found[p.name], total.shape) for p in self.parameters}

    def _simpson(
        self, low: Floats, high: Floats, through: list[Floats] | None, v: Values
    ) -> Integral:
        """Integral and derivatives for a norm of one."""
        one: Floats = np.zeros(())
        slopes: dict[str, Floats] = {p.name: np.zeros(()) for p in self.parameters[1:]}
        for k, energy in enumerate((low, 0.5 * (low + high), high)):
            s = (high - low) / 6 * _SIMPSON[k] * self.shape.flux(energy, v)
            if through is not None:
                s = s * through[k]
            one = one + s
            for name, slope in self.shape.log_slopes(energy, v).items():
                slopes[name] = slopes[name] + s * slope
        return one, slopes

    def _absorbed(
        self,
        low: Floats,
        high: Floats,
        through: list[Floats],
        v: Values,
        one: Floats,
        slopes: dict[str, Floats],
    ) -> Integral:
        """An exact integral times the mean of what is let through."""
        nodes = (low, 0.5 * (low + high), high)
        weights = [np.full_like(low, w) for w in _SIMPSON]
        if self.shape.weighted:
            weights = [w * self.shape.flux(e, v) for w, e in zip(weights, nodes, strict=True)]
        total = weights[0] + weights[1] + weights[2]
        # where the flux underflows, so does its integral
        weights = [w / np.where(total > 0, total, 1.0) for w in weights]
        mean = weights[0] * through[0] + weights[1] * through[1] + weights[2] * through[2]
        found = {name: slope * mean for name, slope in slopes.items()}
        if self.shape.weighted:
            for energy, w, a in zip(nodes, weights, through, strict=True):
                for name, slope in self.shape.log_slopes(energy, v).items():
                    found[name] = found[name] + one * w * slope * (a - mean)
        return one * mean, found

    def _values(self, given: Mapping[str, Numbers], axes: int) -> dict[str, Floats]:
        """Parameters and constants with `axes` axes more, for the energies."""
        defaults = {c.name: c.default for c in self.constants}
        names = [p.name for p in self.parameters] + list(defaults)
        for name in given:
            if name not in names:
                raise DataError(f"{self.name}: no parameter '{name}'; there are {', '.join(names)}")
        found: dict[str, Floats] = {}
        for name in names:
            if name not in given and name not in defaults:
                raise DataError(f"{self.name}: no value of {name}")
            x = np.asarray(given.get(name, defaults.get(name)), dtype=np.float64)
            if not np.isfinite(x).all():
                raise DataError(f"{self.name}: {name} is not a finite number")
            found[name] = x.reshape(x.shape + (1,) * axes)
        may_be_zero = {p.name: p.zero for p in self.parameters if p.scale == "log"}
        for name, zero in (may_be_zero | dict.fromkeys(defaults, False)).items():
            if (found[name] < 0).any() or (not zero and (found[name] == 0).any()):
                raise DataError(f"{self.name}: {name} is {found[name].min():g}, expected positive")
        if mistake := self.mistake(found):
            raise DataError(f"{self.name}: {mistake}")
        return found


def _bins(low: Numbers, high: Numbers) -> tuple[Floats, Floats]:
    lower, upper = np.broadcast_arrays(
        np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)
    )
    right = (lower > 0) & (upper > lower) & (upper < np.inf)
    if not right.all():
        bad = int(np.argmin(right))
        ends = f"{lower.flat[bad]:g} to {upper.flat[bad]:g} keV"
        raise DataError(f"energy bin {bad + 1}: {ends}, expected 0 < low < high")
    return lower, upper
