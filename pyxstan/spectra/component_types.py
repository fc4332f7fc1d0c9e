"""What a component of a spectrum is, and its integrals over energy bins.

The components themselves are in `pyxstan.spectra.components`, with all formulas.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pyxstan.errors import DataError

Floats = npt.NDArray[np.float64]
#: A number, a sequence or an array of them.
Numbers = npt.ArrayLike
#: Values of parameters and constants by name, broadcast against the energies.
Values = Mapping[str, Floats]
#: What absorption lets through at the lower end, the middle and the upper end of each bin.
Transmission = tuple[Numbers, Numbers, Numbers]

_SIMPSON = (1.0, 4.0, 1.0)
#: Half the widest bin in units of an exponential's fold, up to which Simpson's rule is good to
#: 5e-9; half a bin, from which on its weights are not from a series, and where the flux has gone.
_NARROW, _SERIES, _GONE = 0.03, 0.5, 300.0
#: ln(high / low) of the widest bin that is integrated in one part.
_WIDEST = 0.1
#: Coefficients of the weights at the upper end, of even and of odd powers, and in the middle, see
#: `falling_weights`: as many as numbers of 16 digits see up to `_SERIES`.
_EVEN, _ODD = (tuple(6 * (1 - n) / math.factorial(n + 3) for n in range(k, 18, 2)) for k in (0, 1))
_MIDDLE = tuple(12 * (2 * n + 2) / math.factorial(2 * n + 3) for n in range(7))


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
    #: Integral over bins; Simpson's rule if None.
    exact: Callable[[Floats, Floats, Values], Floats] | None = None
    #: Weights of what absorption lets through at the lower end, the middle and the upper end of
    #: each bin, of one that may be narrower than a bin. None: the flux there is the weight.
    through: Callable[[Floats, Floats, Values], list[Floats]] | None = None
    #: Parameter that the flux falls with as exp(-E / parameter), beside a factor that is smooth.
    fold: str | None = None


def _nothing(_: Values) -> str:
    return ""


@dataclass(frozen=True)
class Component:
    """A component: its parameters, its flux, and its integrals."""

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
            bin.
        **values
            As in `flux`.

        Returns
        -------
        ndarray
            Shape of the values, then the bins.
        """
        ends = _bins(low, high)
        through = None
        if transmission is not None:
            through = [np.asarray(a, dtype=np.float64) for a in transmission]
        elif self.shape.exact is None and (ends[1] > ends[0] * np.exp(_WIDEST)).any():
            return self._in_parts(*ends, values)
        v = self._values(values, ends[0].ndim)
        with np.errstate(over="ignore"):
            if self.shape.exact is None:
                one = self._simpson(*ends, through, v)
            elif through is None:
                one = self.shape.exact(*ends, v)
            else:
                one = self._absorbed(*ends, through, v)
        return np.asarray(v[self.norm] * one)

    def _in_parts(self, low: Floats, high: Floats, values: Mapping[str, Numbers]) -> Floats:
        """Integrals over wide bins, as sums over parts of them."""
        edges, first = parts(low.ravel(), high.ravel())
        total = self.integral(edges[:, 0], edges[:, 1], None, **values)
        return np.add.reduceat(total, first, axis=-1).reshape(*total.shape[:-1], *low.shape)

    def _simpson(
        self, low: Floats, high: Floats, through: list[Floats] | None, v: Values
    ) -> Floats:
        """Integral for a norm of one."""
        fold = self.shape.fold
        weights: Sequence[Floats | float] = _SIMPSON
        if fold is not None:
            weights = falling_weights(0.5 * (high - low) / v[fold])
        one: Floats = np.zeros(())
        for k, energy in enumerate((low, 0.5 * (low + high), high)):
            part = weights[k] * self.shape.flux(energy, v)
            one = one + (part if through is None else part * through[k])
        return np.asarray((high - low) / 6 * one)

    @property
    def narrow(self) -> bool:
        """Whether it may be narrower than a bin."""
        return self.shape.through is not None

    def _absorbed(self, low: Floats, high: Floats, through: list[Floats], v: Values) -> Floats:
        """Integral of what is let through, for a norm of one that has an exact one."""
        assert self.shape.exact is not None
        if self.shape.through is not None:
            weights = self.shape.through(low, high, v)
            return np.asarray(sum(w * a for w, a in zip(weights, through, strict=True)))
        nodes = (low, 0.5 * (low + high), high)
        weights = [w * self.shape.flux(e, v) for w, e in zip(_SIMPSON, nodes, strict=True)]
        total = weights[0] + weights[1] + weights[2]
        passed = weights[0] * through[0] + weights[1] * through[1] + weights[2] * through[2]
        # where the flux underflows, so does its integral
        mean = passed / np.where(total > 0, total, 1.0)
        return np.asarray(self.shape.exact(low, high, v) * mean)

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


def falling_weights(half: Floats) -> list[Floats]:
    """Weights of a rule of integration for s(E) exp(-E / fold), exact where s is a parabola.

    In units of a sixth of the bin they are 1, 4 and 1 where all bins are narrow (Simpson's rule).
    With t half of the bin in units of the fold, those at the upper end and in the middle are

        high(t) = sum_n 6 (1 - n) (2 t)^n / (n + 3)!,   12 (t cosh(t) - sinh(t)) / t^3

    and high(-t) at the lower end.

    Parameters
    ----------
    half
        t, positive.

    Returns
    -------
    weights
        At the lower end, in the middle and at the upper end.
    """
    narrow = half.max(axis=-1, keepdims=True) <= _NARROW if half.ndim else half <= _NARROW
    if narrow.all():
        return [np.asarray(w) for w in _SIMPSON]
    series = _series(np.minimum(half, _SERIES))
    found = [np.where(narrow, w, x) for w, x in zip(_SIMPSON, series, strict=True)]
    wide = half > _SERIES
    if wide.any():
        for one, w in zip(found, _closed(half[wide]), strict=True):
            one[wide] = w
    return found


def _series(t: Floats) -> list[Floats]:
    """The weights where the closed form would lose digits."""
    t2 = t * t
    even, odd = np.polyval(_EVEN[::-1], 4 * t2), 2 * t * np.polyval(_ODD[::-1], 4 * t2)
    found = [even - odd, np.polyval(_MIDDLE[::-1], t2), even + odd]
    return [np.asarray(w, dtype=np.float64) for w in found]


def _closed(t: Floats) -> list[Floats]:
    """The same in closed form."""
    t = np.minimum(t, _GONE)
    up = np.exp(t)
    down = 1 / up
    t2, t3 = t * t, t * t * t
    found = [
        1.5 * (2 / t - (down**2 + 3) / t2 + 2 * (1 - down**2) / t3),
        6 * (t * (up + down) - (up - down)) / t3,
        1.5 * (-2 / t - (up**2 + 3) / t2 + 2 * (up**2 - 1) / t3),
    ]
    return [np.asarray(w, dtype=np.float64) for w in found]


def parts(low: Floats, high: Floats) -> tuple[Floats, npt.NDArray[np.intp]]:
    """Energy bins in parts, none of which is wide: ends that differ by a tenth are close.

    Returns
    -------
    ends, first
        Of shape (parts, 2), and the first part of each bin.
    """
    length = np.log(high / low)
    count = np.maximum(np.ceil(length / _WIDEST - 1e-9), 1).astype(int)
    first = np.cumsum(count) - count
    number = np.arange(count.sum()) - np.repeat(first, count)
    share = np.repeat(length / count, count)
    below = np.repeat(low, count)
    ends = np.stack([below * np.exp(number * share), below * np.exp((number + 1) * share)], axis=1)
    ends[first, 0] = low
    ends[first + count - 1, 1] = high
    return ends, first


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
