"""The zoo's register: one declarative entry a model, from which everything else follows.

A family of models is a subpackage of pyxstan with a module ``models`` whose ``MODELS`` lists its
entries. `list_models`, `describe`, `fit`, the command line, the documentation pages and the
contract tests all read the entries, so a new model needs no change anywhere else.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pyxstan.engine.build import StanProgram
from pyxstan.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr
    from matplotlib.figure import Figure

    from pyxstan.engine.sampling import Draws
    from pyxstan.priors import Prior


@dataclass(frozen=True)
class Parameter:
    """A variable of the posterior: what it is, in which unit, over which dims."""

    name: str
    description: str
    unit: str = ""
    dims: tuple[str, ...] = ()
    #: What diagnostics are computed for; quantities derived from those are left out.
    sampled: bool = True


@dataclass(frozen=True)
class PriorSlot:
    """A prior that the user may change, by its name in ``priors=`` and ``--prior``."""

    name: str
    description: str
    default: str
    families: tuple[str, ...]


@dataclass(frozen=True)
class Option:
    """A keyword of `fit` and `simulate`, ``--set name=value`` on the command line."""

    name: str
    description: str
    default: Any = None
    kind: type = str
    choices: tuple[str, ...] = ()
    #: Whether it may be given several times.
    many: bool = False

    def convert(self, value: Any) -> Any:
        """Turn what the user gave into `kind`, or say what was expected."""
        if isinstance(value, list | tuple) and self.many:
            return tuple(self.kind(one) for one in value)
        if value is None or (not isinstance(value, str) and self.kind is object):
            return value
        if self.choices and isinstance(value, str) and value in self.choices:
            return value
        expected = " or ".join([*self.choices, *_KINDS.get(self.kind, ())])
        try:
            if self.kind is bool and isinstance(value, str):
                return {"true": True, "false": False}[value.lower()]
            if self.kind is str:
                if self.choices:
                    raise ValueError
                return str(value)
            return value if self.kind is object else self.kind(value)
        except (TypeError, ValueError, KeyError):
            raise DataError(f"option {self.name}: '{value}' is not {expected}") from None


_KINDS = {float: ("a number",), int: ("a whole number",), bool: ("true", "false")}


#: Options that every model takes: how to sample, and with which Stan.
SAMPLER_OPTIONS = (
    Option("metric", "metric of NUTS", "diag_e", choices=("diag_e", "dense_e", "unit_e")),
    Option("adapt_delta", "target acceptance rate of NUTS", kind=float),
    Option("max_treedepth", "largest tree depth of NUTS", kind=int),
    Option("stan", "where Stan comes from", None, choices=("httpstan", "cmdstan")),
)


class Repeated(tuple[str, ...]):
    """The values of an option that was given several times."""

    __slots__ = ()


class Problem(Protocol):
    """One data set made ready for Stan, and the way back."""

    #: What the Stan program declares in its data block.
    stan_data: dict[str, Any]
    #: What was decided for the user: defaults taken from the data.
    notes: list[str]
    #: What the user should know before trusting the result.
    warnings: list[str]
    #: The priors in force, by name, in words.
    priors: dict[str, str]
    #: More to say of the result, in its attributes.
    attributes: dict[str, Any]
    #: What speaks against the result, for the verdict.
    complaints: list[str]

    def exact(self, chains: int, draws: int, seed: int) -> Draws | None:
        """Draw from the posterior without Stan, where that can be done; else None."""

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Map starting values of posterior variables to the Stan program's parameters."""

    def starts(self, chains: int, seed: int) -> list[dict[str, Any]] | None:
        """Starting values of the Stan program's parameters, a mapping a chain, the best mode first.

        None: uniform within two units of the guess, in the sampler's coordinates.
        """

    def refined(self, draws: Draws) -> Problem | None:
        """The problem prepared better, where the draws show that this one won't do; else None."""

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Turn Stan's draws into the groups of the inference data."""


class Family(Protocol):
    """What a family's workflow module offers (a module with these functions satisfies it)."""

    def read(self, inputs: Sequence[Path], options: Mapping[str, Any]) -> Any:
        """Read the command line's input files into the family's data class."""

    def vocabulary(self) -> list[str]:
        """What a model of the user's is written with, by line; of models with `open_priors`."""

    def as_data(self, data: Any) -> Any:
        """Turn what `fit` was given into the family's data class."""

    def prepare(
        self,
        model: str,
        data: Any,
        options: Mapping[str, Any],
        priors: Mapping[str, Prior],
    ) -> Problem:
        """Make the data ready for Stan."""

    def simulate(
        self,
        model: str,
        parameters: Mapping[str, Any] | None,
        rng: np.random.Generator,
        options: Mapping[str, Any],
        priors: Mapping[str, Prior],
        *,
        from_prior: bool,
    ) -> tuple[Any, dict[str, Any]]:
        """Simulate data and say the truth."""

    def write(self, data: Any, truth: Mapping[str, Any], directory: Path) -> list[Path]:
        """Write simulated data as files that `read` takes, and the truth."""

    def figures(self, idata: Any) -> dict[str, Figure]:
        """Draw the family's figures of a fit."""


@dataclass(frozen=True)
class Model:
    """A model of the zoo."""

    name: str
    purpose: str
    inputs: str
    data_class: str
    workflow: str
    reference: str
    parameters: tuple[Parameter, ...]
    #: Posterior variables that answer the user's question; the command line shows these.
    headline: tuple[str, ...]
    priors: tuple[PriorSlot, ...] = ()
    options: tuple[Option, ...] = ()
    #: Options of reading the command line's files; in Python, the data class's own keywords.
    reading: tuple[Option, ...] = ()
    #: Target acceptance rate and largest tree depth of NUTS that suit the model.
    adapt_delta: float | None = None
    max_treedepth: int | None = None
    #: Options of `simulate` alone.
    simulation: tuple[Option, ...] = field(default=())
    #: The Stan file, where several models are variants of one; default: the model's name.
    stan_file: str = ""
    #: Whether the user's data name the parameters, and so the priors, which the workflow checks.
    open_priors: bool = False

    @property
    def family(self) -> Family:
        """The workflow module, imported on first use."""
        return importlib.import_module(self.workflow)

    @property
    def program(self) -> StanProgram:
        """The Stan program with its includes and, where there is one, its C++ kernel."""
        folder = stan_models()
        name = self.stan_file or self.name
        kernel = folder / f"{name}.hpp"
        return StanProgram(
            stan_file=folder / f"{name}.stan",
            include_paths=(folder,),
            external_cpp=kernel if kernel.exists() else None,
        )

    def split_reading(self, given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The options of reading, filled in and checked, and the rest as they are."""
        names = {option.name for option in self.reading}
        rest = {name: value for name, value in given.items() if name not in names}
        ours = {name: value for name, value in given.items() if name in names}
        return self._resolved({o.name: o for o in self.reading}, ours), rest

    def resolve_options(
        self, given: Mapping[str, Any], extra: Sequence[Option] = ()
    ) -> dict[str, Any]:
        """Fill in defaults and check what the user set."""
        return self._resolved({option.name: option for option in (*self.options, *extra)}, given)

    def _resolved(self, known: Mapping[str, Option], given: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in given.items():
            if name not in known:
                raise DataError(
                    f"{self.name} has no option '{name}'; there are {', '.join(sorted(known))}"
                )
            if isinstance(value, Repeated) and not known[name].many:
                raise DataError(f"option {name} is given twice")
        return {
            name: option.convert(given[name]) if name in given else option.default
            for name, option in known.items()
        }

    def resolve_priors(self, given: Mapping[str, str | Prior] | None) -> dict[str, Prior]:
        """Parse the priors that the user set; the rest are the workflow's defaults."""
        from pyxstan.priors import parse

        slots = {slot.name: slot for slot in self.priors}
        chosen = {}
        for name, text in (given or {}).items():
            if self.open_priors:
                chosen[name] = parse(text)
                continue
            if name not in slots:
                raise DataError(f"{self.name} has no prior '{name}'; there are {', '.join(slots)}")
            prior = parse(text)
            if prior.family not in slots[name].families:
                raise DataError(
                    f"prior {name}={prior}: {self.name} takes {', '.join(slots[name].families)}"
                )
            chosen[name] = prior
        return chosen


def stan_models() -> Path:
    """The folder of the ``.stan`` files: in the package (wheel) or beside it (checkout)."""
    package = Path(__file__).parent
    inside = package / "stan_models"
    return inside if inside.is_dir() else package.parent / "stan_models"


@cache
def models() -> dict[str, Model]:
    """Every model of the zoo by its name."""
    import pyxstan

    found: dict[str, Model] = {}
    for info in pkgutil.iter_modules(pyxstan.__path__):
        declared = Path(pyxstan.__path__[0]) / info.name / "models.py"
        if not (info.ispkg and declared.exists()):
            continue
        for model in importlib.import_module(f"pyxstan.{info.name}.models").MODELS:
            if model.name in found:
                raise RuntimeError(f"two models are called '{model.name}'")
            found[model.name] = model
    return found


def get(name: str) -> Model:
    """The model of that name; the error says which there are."""
    try:
        return models()[name]
    except (KeyError, TypeError):
        raise DataError(f"unknown model '{name}'; there are {', '.join(models())}") from None


def list_models() -> pd.DataFrame:
    """All models of the zoo.

    Returns
    -------
    pandas.DataFrame
        A row a model (index ``name``), columns ``purpose``, ``inputs``, ``reference``.
    """
    import pandas as pd

    rows = [
        {"name": m.name, "purpose": m.purpose, "inputs": m.inputs, "reference": m.reference}
        for m in models().values()
    ]
    return pd.DataFrame(rows).set_index("name")


class Description(str):
    """Text that shows itself as it is in an interactive session."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def describe(name: str) -> Description:
    """Say what a model needs, what it returns, and what can be changed.

    Parameters
    ----------
    name
        A model of `list_models`.

    Raises
    ------
    DataError
        There is no such model.
    """
    model = get(name)
    lines = [f"{model.name}: {model.purpose}", "", f"Data: {model.inputs} ({model.data_class})"]
    lines += ["", "Posterior variables:"]
    for p in model.parameters:
        dims = f" ({', '.join(p.dims)})" if p.dims else ""
        unit = f" [{p.unit}]" if p.unit else ""
        lines.append(f"  {p.name}{dims}{unit}: {p.description}")
    if model.priors:
        lines += ["", "Priors (priors={'name': '...'} or --prior 'name=...'):"]
        for slot in model.priors:
            families = f" ({', '.join(slot.families)})"
            lines.append(f"  {slot.name}: {slot.description}; default {slot.default}{families}")
    for title, options in (
        ("Options (name=value or --set name=value):", (*model.options, *SAMPLER_OPTIONS)),
        ("Options of reading files (--set name=value; keywords of the data class):", model.reading),
        ("Options of simulate:", model.simulation),
    ):
        lines += ["", title] if options else []
        for option in options:
            choices = f" ({', '.join(option.choices)})" if option.choices else ""
            default = "" if option.default is None else f"; default {option.default}"
            lines.append(f"  {option.name}{choices}: {option.description}{default}")
    if model.open_priors:
        lines += ["", *model.family.vocabulary()]
    lines += ["", f"Reference: {model.reference}"]
    return Description("\n".join(lines))
