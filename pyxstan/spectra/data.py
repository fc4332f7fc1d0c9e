"""Spectra with the model that is to be fitted to them: what `pyxstan.fit` takes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.likelihood import STATISTICS
from pyxstan.spectra.model import Population, Setting, Source, setting_of
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
        object.__setattr__(self, "observations", tuple(self.observations))
        object.__setattr__(self, "sources", tuple(self.sources))
        if not self.observations:
            raise DataError("linked_spectra: no spectrum")
        _unique("spectra", (o.name for o in self.observations))
        _unique("sources", (s.name for s in self.sources))
        there = {s.name for s in self.sources}
        for observation in self.observations:
            if observation.spectrum.response is None:
                raise DataError(f"{observation.name}: no response (RESPFILE, or rmf=)")
            if observation.statistic not in (None, *STATISTICS):
                raise DataError(
                    f"{observation.name}: there is no statistic '{observation.statistic}'; "
                    f"there are {', '.join(STATISTICS)}"
                )
            if not observation.sources:
                raise DataError(f"{observation.name}: no source is in it")
            for source in observation.sources:
                if source not in there:
                    raise DataError(
                        f"{observation.name}: there is no source '{source}'; "
                        f"there are {', '.join(sorted(there))}"
                    )
        seen = {name for o in self.observations for name in o.sources}
        for name in sorted(there - seen):
            raise DataError(f"source {name}: no spectrum is of it")
        _ = self.collected

    @classmethod
    def from_yaml(cls, path: str | Path) -> LinkedSpectra:
        """Read spectra and model from a YAML file; see `pyxstan.spectra.yaml_model`."""
        from pyxstan.spectra.yaml_model import read

        return read(Path(path))

    @property
    def parameters(self) -> tuple[str, ...]:
        """Names of the parameters that aren't held."""
        return tuple(p.name for p in self.collected.varying)

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
        found = list(self._parameters())
        names = [p.name for p in found if isinstance(p.setting, Prior)]
        for name in priors:
            if name not in names:
                raise DataError(f"no free parameter '{name}'; there are {', '.join(names)}")
        chosen = [
            Parameter(p.name, p.positive, p.unit, p.description, priors.get(p.name, p.setting))
            for p in found
        ]
        scales = {p.name: p.positive for p in found}
        return collect(chosen, {name: scales[f"{name}.mean"] for name in self.populations})

    def _parameters(self) -> Iterable[Parameter]:
        for source in self.sources:
            for label, used in source.components.items():
                for entry in COMPONENTS[used.kind].parameters:
                    name = f"{source.name}.{label}.{entry.name}"
                    setting = setting_of(name, used.settings[entry.name], entry.unit)
                    yield Parameter(
                        name, entry.scale == "log", entry.unit, entry.description, setting
                    )
            for label, absorber in source.absorption.items():
                name = f"{source.name}.{label}.NH"
                setting = setting_of(name, absorber.NH, "1e22 cm-2")
                yield Parameter(name, True, "1e22 cm-2", "column density of hydrogen", setting)
        for observation in self.observations:
            if observation.constant is not None:
                name = f"{observation.name}.constant"
                setting = setting_of(name, observation.constant, "")
                yield Parameter(name, True, "", "factor on all expected counts", setting)
        for name, given in self.coefficients.items():
            setting = setting_of(name, given, "")
            positive = isinstance(setting, Prior) and setting.family in _POSITIVE
            yield Parameter(name, positive, "", "coefficient of a link", setting)
        for name, population in self.populations.items():
            members = list(self._members(name))
            if not members:
                raise DataError(f"population {name}: no parameter is drawn 'from {name}'")
            unit, positive = members[0]
            setting = setting_of(f"{name}.mean", population.mean, unit)
            what = "median" if positive else "mean"
            yield Parameter(f"{name}.mean", positive, unit, f"{what} of the population", setting)
            setting = setting_of(f"{name}.sd", population.sd, "" if positive else unit)
            of = "of the logarithm in the population" if positive else "of the population"
            yield Parameter(
                f"{name}.sd", True, "" if positive else unit, f"standard deviation {of}", setting
            )

    def _members(self, population: str) -> Iterable[tuple[str, bool]]:
        """Unit and scale of each parameter that is drawn from a population."""
        wanted = f"from {population}"

        def drawn(setting: Setting) -> bool:
            return isinstance(setting, str) and " ".join(setting.split()) == wanted

        for source in self.sources:
            for used in source.components.values():
                for entry in COMPONENTS[used.kind].parameters:
                    if drawn(used.settings[entry.name]):
                        yield entry.unit, entry.scale == "log"
            if any(drawn(absorber.NH) for absorber in source.absorption.values()):
                yield "1e22 cm-2", True

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
            lines.append(f"  {p.name:<{width}}  {_words(p.setting)}  {p.unit}".rstrip())
        return "\n".join(lines)


def _words(setting: Any) -> str:
    if isinstance(setting, float):
        return f"{setting:g} (held)"
    if hasattr(setting, "expression"):
        return f"= {setting.expression}"
    return f"from {setting.population}" if hasattr(setting, "population") else str(setting)


def _unique(what: str, names: Iterable[str]) -> None:
    names = list(names)
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"two {what} are called '{name}'")
