r"""Models of spectra in the user's words: sources, components, absorption, priors, links.

>>> import pyxstan.spectra as ps
>>> pulsar = ps.Source(
...     "pulsar",
...     {"pl": ps.component("powerlaw", K="lognormal(-9, 2)", index="normal(-1.7, 0.3)")},
...     absorption={"galactic": ps.Absorber(NH=0.4)},
... )
>>> nebula = ps.Source("nebula", {"pl": ps.component("powerlaw", K="= 3 * pulsar.pl.K", index=-2)})

A parameter is a number (held there) or a quantity, such as ``"500 eV"``, a prior in words
(sampled), ``"= ..."`` (linked to others, see `pyxstan.spectra.links`), or ``"from NAME"`` (drawn
from a `Population` with its likes). Its name is made of the source's, the component's and its own:
``pulsar.pl.index``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from keyword import iskeyword
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior, parse
from pyxstan.spectra.absorption import BUILT_IN, read_table
from pyxstan.spectra.components import COMPONENTS

#: A number with its unit next to it, as in 6.4keV.
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)([a-zA-Z].*)")
Setting = Any  # a number or quantity, a prior in words, "= ..." or "from ..."


@dataclass(frozen=True)
class Linked:
    """A parameter that follows from others, by an expression of their names."""

    expression: str

    def __str__(self) -> str:
        return f"= {self.expression}"


@dataclass(frozen=True)
class Drawn:
    """A parameter drawn from a population."""

    population: str

    def __str__(self) -> str:
        return f"from {self.population}"


def setting_of(name: str, given: Setting, unit: str) -> float | Prior | Linked | Drawn:
    """What a parameter was set to: a number in `unit`, a prior, a link or a population."""
    if isinstance(given, Prior | Linked | Drawn):
        return given
    if isinstance(given, str):
        text = " ".join(given.split())
        if text.startswith("="):
            return Linked(text[1:].strip())
        if text.startswith("from "):
            return Drawn(text[5:])
        number, _, its_unit = text.partition(" ")
        if _is_number(number):
            return _converted(name, text, float(number), its_unit, unit)
        if found := _QUANTITY.fullmatch(text):
            return _converted(name, text, float(found[1]), found[2], unit)
        try:
            return parse(text)
        except DataError as error:
            raise DataError(f"{name}: {error}") from None
    if hasattr(given, "to_value"):
        if np.ndim(given) == 0:
            return _converted(name, str(given), given.value, given.unit, unit)
    elif _is_number(given) and not isinstance(given, bool):
        return _finite(name, float(given))
    shown = " ".join(str(given).split())
    raise DataError(f"{name}: '{shown}' is neither a number nor a prior, a link or a population")


def _is_number(given: Any) -> bool:
    try:
        float(given)
    except (TypeError, ValueError):
        return False
    return True


def _finite(name: str, number: float) -> float:
    if not math.isfinite(number):
        raise DataError(f"{name}: {number} is not a finite number")
    return number


def _converted(name: str, shown: str, number: float, given: Any, wanted: str) -> float:
    """A number in the unit that is wanted; photons may be left out of what is given."""
    if not given:
        return _finite(name, number)
    from astropy import units

    try:
        own, ours = units.Unit(given), units.Unit(wanted)
    except ValueError:
        raise DataError(f"{name}: '{shown}' has a unit that astropy doesn't know") from None
    for photons in (units.dimensionless_unscaled, units.ph):
        if (own * photons).is_equivalent(ours):
            return _finite(name, float((number * own * photons).to_value(ours)))
    raise DataError(f"{name}: {shown} is not in units of {wanted or 'one'}")


@dataclass(frozen=True)
class Used:
    """A component of the library, in a source, with its parameters set."""

    kind: str
    settings: Mapping[str, Setting]
    #: Pivot, or the ends of a range, in keV.
    constants: Mapping[str, float]

    @property
    def shared(self) -> bool:
        """Whether bins share a line that is narrower: one whose energy isn't held."""
        return self.kind == "gaussian_line" and not isinstance(
            setting_of("mu", self.settings["mu"], "keV"), float
        )


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
    if "b" in constants and not constants["a"] < constants["b"]:
        raise DataError(f"{kind}: a = {constants['a']:g} keV is not below b = {constants['b']:g}")
    chosen = {name: settings[name] for name in parameters}
    return Used(kind, chosen, constants)


@dataclass(frozen=True)
class Absorber:
    """Photoelectric absorption by hydrogen and what comes with it."""

    #: Column density, 10^22 cm^-2.
    NH: Setting
    redshift: float = 0.0
    #: Cross sections of the user's own: a file or a table, which is read at once; see
    #: `pyxstan.spectra.absorption.read_table`.
    table: Any = None

    def __post_init__(self) -> None:
        redshift = _checked_redshift("absorption", self.redshift)
        object.__setattr__(self, "redshift", redshift)
        if self.table is not None:
            object.__setattr__(self, "table", read_table(self.table))

    @property
    def cross_sections(self) -> str:
        """Where they come from, in words."""
        if self.table is None:
            return BUILT_IN
        return f"{self.table.source}, SHA-256 {self.table.sha256[:12]}"


@dataclass(frozen=True)
class Source:
    """A source on the sky: the sum of its components, absorbed."""

    name: str
    components: Mapping[str, Used]
    absorption: Mapping[str, Absorber] = field(default_factory=dict)
    #: For its luminosity.
    redshift: float | None = None

    def __post_init__(self) -> None:
        for parts, kind in ((self.components, Used), (self.absorption, Absorber)):
            if not (isinstance(parts, Mapping) and all(type(p) is kind for p in parts.values())):
                made = "component(...)" if kind is Used else "Absorber(...)"
                raise DataError(f"source {self.name}: expected {{'name': {made}, ...}}")
        if not self.components:
            raise DataError(f"source {self.name}: no component")
        check_names(f"source {self.name}", (self.name, *self.components, *self.absorption))
        if self.redshift is not None:
            redshift = _checked_redshift(f"source {self.name}", self.redshift)
            object.__setattr__(self, "redshift", redshift)
        for both in set(self.components) & set(self.absorption):
            raise DataError(f"source {self.name}: '{both}' names a component and an absorber")


def check_names(where: str, names: Iterable[Any]) -> None:
    """Refuse names that links couldn't name."""
    for name in names:
        if not str(name).isidentifier() or iskeyword(str(name)):
            raise DataError(
                f"{where}: '{name}' is no name (letters, digits and _, not a digit first, and no "
                "word of Python)"
            )


def _checked_redshift(where: str, redshift: Any) -> float:
    try:
        number = math.nan if isinstance(redshift, bool) else float(redshift)
    except (TypeError, ValueError):
        number = math.nan
    if not -1 < number < math.inf:
        raise DataError(f"{where}: redshift {redshift} is not a number above -1")
    return number


@dataclass(frozen=True)
class Population:
    """A Gaussian that parameters of many sources are drawn from, on their own scale.

    Of parameters that are positive by nature it is the logarithm: `mean` is then the median, and
    `sd` in units of e.
    """

    mean: Setting
    sd: Setting
