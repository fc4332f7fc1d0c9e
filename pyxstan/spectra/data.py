"""Spectra with the model that is to be fitted to them: what `pyxstan.fit` takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.spectra.absorption import NH
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.likelihood import STATISTICS
from pyxstan.spectra.model import Drawn, Population, Setting, Source, check_names, setting_of
from pyxstan.spectra.parameters import Parameter, Parameters, collect

if TYPE_CHECKING:
    from pyxstan.spectra.spectrum import Spectrum

#: What else than a Gaussian on its own scale a coefficient may be.
_POSITIVE = ("lognormal", "loguniform", "half_normal", "gamma", "inv_gamma")


@dataclass(frozen=True, eq=False)
class Observation:
    """A spectrum and whose it is.

    Parameters
    ----------
    spectrum
        With its response, background, grouping and noticed channels.
    source
        Name of the source that is in it; or names, where it holds several.
    constant
        For cross-calibration: a factor on all model counts; a number, a prior, or a link.
    statistic
        Another than the file's flags ask for: cstat, wstat, pgstat or chi2.
    """

    spectrum: Spectrum
    source: str | Sequence[str]
    constant: Setting = None
    statistic: str | None = None

    @property
    def name(self) -> str:
        """The spectrum's name."""
        return self.spectrum.name

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources in it."""
        return (self.source,) if isinstance(self.source, str) else tuple(self.source)


@dataclass(frozen=True, eq=False)
class LinkedSpectra:
    """Spectra of one source or several, and their model.

    Parameters
    ----------
    observations
        Spectra, each with the source that it is of.
    sources
        The sources of the model.
    coefficients
        Priors of free coefficients in links, by name.
    populations
        Of which parameters ``"from NAME"`` are drawn.

    Raises
    ------
    DataError
        What doesn't fit together, in one line.
    """

    observations: tuple[Observation, ...]
    sources: tuple[Source, ...]
    coefficients: Mapping[str, Setting] = field(default_factory=dict)
    populations: Mapping[str, Population] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in (("observations", Observation), ("sources", Source)):
            given = getattr(self, name)
            all_of_them = tuple(given) if isinstance(given, Iterable) else (given,)
            if not all(type(one) is kind for one in all_of_them):
                raise DataError(f"linked_spectra: {name}: expected a list of {kind.__name__}")
            object.__setattr__(self, name, all_of_them)
        if not self.observations:
            raise DataError("linked_spectra: no spectrum")
        _unique("spectra", (o.name for o in self.observations))
        _unique("sources", (s.name for s in self.sources))
        there = {s.name for s in self.sources}
        for observation in self.observations:
            if observation.spectrum.response is None:
                raise DataError(f"{observation.name}: no response (RESPFILE, or rmf:)")
            if observation.statistic not in (None, *STATISTICS):
                raise DataError(
                    f"{observation.name}: there is no statistic '{observation.statistic}'; "
                    f"there are {', '.join(STATISTICS)}"
                )
            if not observation.sources:
                raise DataError(f"{observation.name}: no source is in it")
            _unique(f"sources of {observation.name}", observation.sources)
            for source in observation.sources:
                if source not in there:
                    raise DataError(
                        f"{observation.name}: there is no source '{source}'; "
                        f"there are {', '.join(sorted(there))}"
                    )
        check_names("coefficients", self.coefficients)
        check_names("populations", self.populations)
        seen = {name for o in self.observations for name in o.sources}
        for name in sorted(there - seen):
            raise DataError(f"source {name}: no spectrum is of it")
        _ = self.collected

    @classmethod
    def from_yaml(cls, path: str | Path) -> LinkedSpectra:
        """Read spectra and model from a YAML file; see `pyxstan.spectra.yaml_model`."""
        from pyxstan.spectra.yaml_model import read

        return read(Path(path))

    def write(self, directory: str | Path) -> list[Path]:
        """Write ``model.yaml`` and the OGIP files that it names; see `from_yaml`."""
        from pyxstan.spectra.yaml_model import write_model

        Path(directory).mkdir(parents=True, exist_ok=True)
        return write_model(self, Path(directory))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that aren't held."""
        return tuple(p.name for p in self.collected.varying)

    @property
    def counts(self) -> NDArray[np.float64]:
        """Counts of every channel of all spectra."""
        return np.concatenate([o.spectrum.counts for o in self.observations])

    @property
    def spectra(self) -> tuple[str, ...]:
        """Names of the spectra."""
        return tuple(o.name for o in self.observations)

    @cached_property
    def collected(self) -> Parameters:
        """All parameters, in the order of the Stan program."""
        return self.with_priors({})

    def with_priors(self, priors: Mapping[str, Prior]) -> Parameters:
        """The parameters, some of the free ones with other priors."""
        found = self._parameters()
        names = [p.name for p in found if isinstance(p.setting, Prior)]
        for name in priors:
            if name not in names:
                raise DataError(f"no parameter '{name}' that is free; there are {', '.join(names)}")
        return collect([replace(p, setting=priors.get(p.name, p.setting)) for p in found])

    def _parameters(self) -> list[Parameter]:
        found: list[Parameter] = []

        def add(
            name: str,
            positive: bool,
            unit: str,
            description: str,
            given: Setting,
            zero: bool = False,
        ) -> None:
            setting = setting_of(name, given, unit)
            if positive and setting == 0 and not zero:
                raise DataError(f"{name}: 0, expected a positive number")
            found.append(Parameter(name, positive, unit, description, setting))

        for source in self.sources:
            for label, used in source.components.items():
                for p in COMPONENTS[used.kind].parameters:
                    name = f"{source.name}.{label}.{p.name}"
                    given = used.settings[p.name]
                    add(name, p.scale == "log", p.unit, p.description, given, p.zero)
            for label, absorber in source.absorption.items():
                name = f"{source.name}.{label}.NH"
                what = f"{NH.description}, cross sections of {absorber.cross_sections}"
                add(name, True, NH.unit, what, absorber.NH, NH.zero)
        for observation in self.observations:
            if observation.constant is not None:
                name = f"{observation.name}.constant"
                add(name, True, "", "factor on all expected counts", observation.constant)
        for name, given in self.coefficients.items():
            prior = setting_of(name, given, "")
            positive = isinstance(prior, Prior) and prior.family in _POSITIVE
            add(name, positive, "", "coefficient of a link", prior)
        drawn = [p for p in reversed(found) if isinstance(p.setting, Drawn)]
        members = {p.setting.population: p for p in drawn if isinstance(p.setting, Drawn)}
        for name, population in self.populations.items():
            if name not in members:
                raise DataError(f"population {name}: no parameter is drawn 'from {name}'")
            unit, positive = members[name].unit, members[name].positive
            what, of = ("median", "the logarithm in ") if positive else ("mean", "")
            add(f"{name}.mean", positive, unit, f"{what} of the population", population.mean)
            unit = "" if positive else unit
            what = f"standard deviation of {of}the population"
            add(f"{name}.sd", True, unit, what, population.sd)
        return found

    def describe(self) -> str:
        """The model in words, with units: what is held, sampled and linked."""
        lines = []
        for observation in self.observations:
            spectrum = observation.spectrum
            statistic = observation.statistic or spectrum.statistic()
            lines.append(
                f"{observation.name}: {' + '.join(observation.sources)}, {statistic}, "
                f"{spectrum.exposure:g} s"
            )
        width = max(len(p.name) for p in self.collected.all)
        for p in self.collected.all:
            words = f"{p.setting:g} (held)" if isinstance(p.setting, float) else p.setting
            unit = f"  [{p.unit}]" if p.unit else ""
            lines.append(f"  {p.name:<{width}}  {words}{unit}")
        for source in self.sources:
            for label, absorber in source.absorption.items():
                lines.append(f"{source.name}.{label}: cross sections of {absorber.cross_sections}")
        lines += self.collected.cut()
        return "\n".join(lines)


def _unique(what: str, names: Iterable[str]) -> None:
    names = list(names)
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"two {what} are called '{name}'")
