r"""Models of spectra in the user's words: sources, components, absorption, priors, links.

>>> import pyxstan.spectra as ps
>>> pulsar = ps.Source(
...     "pulsar",
...     {"pl": ps.component("powerlaw", K="lognormal(-9, 2)", index="normal(-1.7, 0.3)")},
...     absorption={"galactic": ps.Absorber(NH=0.4)},
... )
>>> nebula = ps.Source("nebula", {"pl": ps.component("powerlaw", K="= 3 * pulsar.pl.K", index=-2)})

A parameter is a number (held there), a prior in words (sampled), ``"= ..."`` (linked to others,
see `pyxstan.spectra.links`), or ``"from NAME"`` (drawn from a `Population` with its likes).
Its name is made of the source's, the component's and its own: ``pulsar.pl.index``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pyxstan.errors import DataError
from pyxstan.priors import Prior, parse
from pyxstan.spectra.components import COMPONENTS

Setting = Any  # a number or quantity, a prior in words, "= ..." or "from ..."


@dataclass(frozen=True)
class Linked:
    """A parameter that follows from others, by an expression of their names."""

    expression: str


@dataclass(frozen=True)
class Drawn:
    """A parameter drawn from a population."""

    population: str


def setting_of(name: str, given: Setting, unit: str) -> float | Prior | Linked | Drawn:
    """What a parameter was set to: a number in `unit`, a prior, a link or a population."""
    if isinstance(given, Prior | Linked | Drawn):
        return given
    if isinstance(given, str):
        text = given.strip()
        if text.startswith("="):
            return Linked(text[1:].strip())
        if text.startswith("from "):
            return Drawn(text[5:].strip())
        try:
            number = float(text)
        except ValueError:
            try:
                return parse(text)
            except DataError as error:
                raise DataError(f"{name}: {error}") from None
    elif hasattr(given, "to_value"):
        from astropy import units

        try:
            number = float(given.to_value(units.Unit(unit)))
        except (units.UnitConversionError, TypeError):
            raise DataError(f"{name}: {given} is not in units of {unit or 'one'}") from None
    else:
        try:
            number = float(given)
        except (TypeError, ValueError):
            raise DataError(
                f"{name}: '{given}' is neither a number nor a prior, a link or a population"
            ) from None
    if not math.isfinite(number):
        raise DataError(f"{name}: {number} is not a finite number")
    return number


@dataclass(frozen=True)
class Used:
    """A component of the library, in a source, with its parameters set."""

    kind: str
    settings: Mapping[str, Setting]
    #: Pivot, or the ends of a range, in keV.
    constants: Mapping[str, float]


def component(kind: str, **settings: Setting) -> Used:
    """A component of a source's spectrum.

    Parameters
    ----------
    kind
        Of `pyxstan.spectra.components.COMPONENTS`: powerlaw, blackbody, ...
    **settings
        Every parameter, and the constants (such as ``piv``, in keV) that aren't to be the default.

    Raises
    ------
    DataError
        No such component, parameter or constant; a parameter that isn't set.
    """
    if kind not in COMPONENTS:
        raise DataError(f"there is no component '{kind}'; there are {', '.join(COMPONENTS)}")
    entry = COMPONENTS[kind]
    parameters = [p.name for p in entry.parameters]
    constants = {c.name: c.default for c in entry.constants}
    for name in settings:
        if name not in parameters and name not in constants:
            raise DataError(
                f"{kind} has no parameter '{name}'; it has {', '.join([*parameters, *constants])}"
            )
    for name in parameters:
        if name not in settings:
            raise DataError(f"{kind}: {name} is not set: a number, a prior, or '= ...'")
    for name in constants:
        if name in settings:
            value = setting_of(f"{kind}.{name}", settings[name], "keV")
            if not isinstance(value, float) or not value > 0:
                raise DataError(f"{kind}: {name} must be a positive number [keV]")
            constants[name] = value
        if constants[name] is None:
            raise DataError(f"{kind}: {name} is not set [keV]")
    if "b" in constants and not constants["a"] < constants["b"]:
        raise DataError(f"{kind}: a = {constants['a']:g} keV is not below b = {constants['b']:g}")
    chosen = {name: settings[name] for name in parameters}
    return Used(kind, chosen, {name: float(x) for name, x in constants.items()})


@dataclass(frozen=True)
class Absorber:
    """Photoelectric absorption by hydrogen and what comes with it."""

    #: Column density, 10^22 cm^-2.
    NH: Setting
    redshift: float = 0.0
    #: File of a cross section of the user's own; see `pyxstan.spectra.absorption.read_table`.
    table: str | None = None

    def __post_init__(self) -> None:
        if not self.redshift > -1:
            raise DataError(f"absorption: redshift {self.redshift:g} is not above -1")


@dataclass(frozen=True)
class Source:
    """A source on the sky: the sum of its components, absorbed."""

    name: str
    components: Mapping[str, Used]
    absorption: Mapping[str, Absorber] = field(default_factory=dict)
    #: For its luminosity.
    redshift: float | None = None

    def __post_init__(self) -> None:
        if not self.components:
            raise DataError(f"source {self.name}: no component")
        for part in (self.name, *self.components, *self.absorption):
            if not str(part).isidentifier():
                raise DataError(
                    f"source {self.name}: '{part}' is no name (letters, digits and _, "
                    "not a digit first)"
                )
        for both in set(self.components) & set(self.absorption):
            raise DataError(f"source {self.name}: '{both}' names a component and an absorber")


@dataclass(frozen=True)
class Population:
    """A Gaussian that parameters of many sources are drawn from, on their own scale.

    Of parameters that are positive by nature it is the logarithm: `mean` is then the median, and
    `sd` in units of e.
    """

    mean: Setting
    sd: Setting
