"""Spectra and their model in a YAML file, for the command line and batch jobs.

spectra:
  - file: 3c273.pi            # relative to the YAML file; background:, rmf:, arf:, row:
                              # and extension: if need be
    source: quasar
    notice: 0.5-7             # keV; ranges with commas; ignore: likewise
    group: {minimum: 20}      # or {by: 4}, {background: 1}, none; by default as the file says
    statistic: wstat          # by default what the file's flags ask for
    constant: lognormal(0, 0.1)
sources:
  quasar:
    redshift: 0.158
    components:
      pl: {powerlaw: {K: 'lognormal(-9, 2)', index: 'normal(-2, 0.5)', piv: 1}}
    absorption:
      galactic: {NH: 0.0179}
      own: {NH: 'loguniform(0.001, 10)', redshift: 0.158}
coefficients:
  slope: normal(1, 0.3)
populations:
  photon_index: {mean: 'normal(-1.8, 0.3)', sd: half_normal(0.5)}
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.output import replacing
from pyxstan.priors import Prior
from pyxstan.spectra.absorption import CrossSections
from pyxstan.spectra.data import LinkedSpectra, Observation
from pyxstan.spectra.model import Absorber, Population, Source, Used, component
from pyxstan.spectra.spectrum import Spectrum
from pyxstan.spectra.writing import write_response, write_spectrum
from pyxstan.text_tables import is_number

_TOP = ("spectra", "sources", "coefficients", "populations")
_SPECTRUM = (
    "file", "name", "source", "background", "rmf", "arf", "row", "extension", "notice", "ignore",
    "group", "statistic", "constant",
)  # fmt: skip
_SOURCE = ("redshift", "components", "absorption")
#: What YAML calls the key of entries that are taken from elsewhere in the file (<<).
_MERGED = "tag:yaml.org,2002:merge"


def read(path: Path) -> LinkedSpectra:
    """Read the file.

    Raises
    ------
    DataError
        Not YAML, an unknown key, or one that is missing.
    """
    import yaml

    try:
        tree = _loaded(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        what = getattr(error, "problem", None) or getattr(error, "reason", "unreadable")
        raise DataError(f"{path}{where}: not YAML: {what}") from None
    try:
        return _model(_table(tree, "the file", _TOP), path.parent)
    except DataError as error:
        said = str(error)
        raise DataError(said if said.startswith(str(path.parent)) else f"{path}: {said}") from None


def _loaded(text: str) -> Any:
    """The tree of a text in YAML; a key that is there twice is a mistake."""
    import yaml

    _check_commas(text)

    def table(loader: Any, node: Any) -> Any:
        given = [key for key, _ in node.value if key.tag != _MERGED]
        keys = [loader.construct_object(key, deep=True) for key in given]
        for key, name in zip(given, keys, strict=True):
            if keys.count(name) > 1:
                raise yaml.MarkedYAMLError(
                    problem=f"key '{name}' is there twice", problem_mark=key.start_mark
                )
        return loader.construct_mapping(node, deep=True)

    class Loader(yaml.SafeLoader):
        pass

    Loader.add_constructor("tag:yaml.org,2002:map", table)
    return yaml.load(text, Loader)


def _check_commas(text: str) -> None:
    """Refuse a prior without quotes within braces, where its comma would begin another entry."""
    import yaml

    tokens = list(yaml.scan(text, yaml.SafeLoader))
    for token, after in itertools.pairwise(tokens):
        if (
            isinstance(token, yaml.ScalarToken)
            and token.plain
            and isinstance(after, yaml.FlowEntryToken)
            and token.value.count("(") > token.value.count(")")
        ):
            raise yaml.MarkedYAMLError(
                problem=f"'{token.value}' ends at a comma: within braces and brackets, quote what "
                "has one, as in 'normal(0, 1)'",
                problem_mark=token.start_mark,
            )


def _model(tree: Mapping[str, Any], folder: Path) -> LinkedSpectra:
    spectra = tree.get("spectra")
    if not isinstance(spectra, list) or not spectra:
        raise DataError("spectra: expected a list, an entry a file")
    sources = _table(tree.get("sources"), "sources")
    populations = _table(tree.get("populations", {}), "populations")
    return LinkedSpectra(
        tuple(_observation(entry, k + 1, folder) for k, entry in enumerate(spectra)),
        tuple(_source(str(name), entry, folder) for name, entry in sources.items()),
        dict(_table(tree.get("coefficients", {}), "coefficients")),
        {
            str(name): Population(**_complete(entry, f"population {name}", ("mean", "sd")))
            for name, entry in populations.items()
        },
    )


def _observation(entry: Any, position: int, folder: Path) -> Observation:
    where = f"spectra, entry {position}"
    given = _table(entry, where, _SPECTRUM)
    for key in ("file", "source"):
        if key not in given:
            raise DataError(f"{where}: {key} is missing")
    files = {
        key: "none" if str(given[key]).lower() == "none" else folder / str(given[key])
        for key in ("background", "rmf", "arf")
        if given.get(key)
    }
    name, row = given.get("name"), given.get("row")
    if not (name is None or isinstance(name, str | int | float)):
        raise DataError(f"{where}: name '{name}' is not a text")
    if row is not None and type(row) is not int:
        raise DataError(f"{where}: row '{row}' is not a whole number")
    extension = given.get("extension")
    if not (extension is None or type(extension) in (int, str)):
        raise DataError(f"{where}: extension '{extension}' is neither a number nor a name")
    spectrum = Spectrum.from_ogip(
        folder / str(given["file"]),
        row=row,
        extension=extension,
        name=None if name is None else str(name),
        **files,
    )
    group = given.get("group", {})
    if group is None or group == "none":
        spectrum = spectrum.ungrouped()
    elif group != {}:
        if not isinstance(group, Mapping):
            raise DataError(f"{where}: group: '{group}', expected {{minimum: 20}} or {{by: 4}}")
        sizes = _table(group, f"{where}: group", ("minimum", "by", "background"))
        for key, size in sizes.items():
            if type(size) not in (int, float):
                raise DataError(f"{where}: group: {key} '{size}' is not a number")
        spectrum = spectrum.grouped(**sizes)
    if given.get("notice") is not None:
        spectrum = spectrum.noticing(_energies(given["notice"]))
    if given.get("ignore") is not None:
        spectrum = spectrum.ignoring(_energies(given["ignore"]))
    source = given["source"]
    sources = [str(x) for x in source] if isinstance(source, list) else str(source)
    return Observation(spectrum, sources, given.get("constant"), given.get("statistic"))


def _source(name: str, entry: Any, folder: Path) -> Source:
    given = _table(entry, f"source {name}", _SOURCE)
    components = _table(given.get("components"), f"source {name}: components")
    absorbers = _table(given.get("absorption", {}), f"source {name}: absorption")
    absorption = {}
    for label, what in absorbers.items():
        table = _table(what, f"source {name}: {label}", ("NH", "redshift", "table"))
        if "NH" not in table:
            raise DataError(f"source {name}: {label}: NH is missing")
        if "table" in table:
            table = {**table, "table": str(folder / str(table["table"]))}
        absorption[str(label)] = Absorber(**table)
    return Source(
        name,
        {str(label): _component(f"{name}.{label}", what) for label, what in components.items()},
        absorption,
        given.get("redshift"),
    )


def _component(name: str, entry: Any) -> Used:
    given = _table(entry, name)
    if len(given) != 1:
        raise DataError(f"{name}: expected one component with its parameters")
    ((kind, settings),) = given.items()
    return component(str(kind), **_table(settings, f"{name}: {kind}"))


def _energies(given: Any) -> str:
    """Ranges in keV as they may be written: "0.5-7 keV", [0.5, 7], [0.5-2, 3-7]."""
    if isinstance(given, list | tuple):
        ranges = [_energies(one) for one in given]
        return ("-" if len(ranges) == 2 and all(map(is_number, ranges)) else ", ").join(ranges)
    return re.sub(r"(?<=[\d.])\s*keV\b", "", str(given), flags=re.IGNORECASE)


def _table(given: Any, where: str, keys: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(given, Mapping):
        raise DataError(f"{where}: expected keys with values")
    for key in given:
        if keys and key not in keys:
            comma = " (quote what has a comma within braces)" if given[key] is None else ""
            raise DataError(f"{where}: unknown key '{key}'{comma}; there are {', '.join(keys)}")
    return {str(key): value for key, value in given.items()}


def _complete(given: Any, where: str, keys: tuple[str, ...]) -> dict[str, Any]:
    table = _table(given, where, keys)
    for key in keys:
        if key not in table:
            raise DataError(f"{where}: {key} is missing")
    return table


def write(data: LinkedSpectra, truth: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write what `write_model` does, and the truth as JSON."""
    files = write_model(data, directory)
    values = directory / "truth.json"
    with replacing(values) as temporary:
        named = {name: np.asarray(x).tolist() for name, x in truth.items()}
        if "value" in named:
            named["value"] = dict(zip(data.parameters, named["value"], strict=True))
        temporary.write_text(json.dumps(named, indent=1) + "\n")
    return [*files, values]


def write_model(data: LinkedSpectra, directory: Path) -> list[Path]:
    """Write the spectra as OGIP files, and the model as ``model.yaml``, which comes first.

    Raises
    ------
    DataError
        A file can't be written.
    """
    import yaml

    files: list[Path] = []
    spectra = []
    for observation in data.observations:
        spectrum, name = observation.spectrum, observation.name
        assert spectrum.response is not None
        files += write_response(
            spectrum.response, directory / f"{name}.rmf", directory / f"{name}.arf"
        )
        back = None
        if spectrum.background is not None:
            back = f"{name}_background.pha"
            files.append(write_spectrum(spectrum.background, directory / back))
        files.append(
            write_spectrum(
                spectrum,
                directory / f"{name}.pha",
                background=back,
                rmf=f"{name}.rmf",
                arf=f"{name}.arf",
            )
        )
        entry: dict[str, Any] = {"file": f"{name}.pha", "name": name}
        entry["source"] = (
            observation.source if isinstance(observation.source, str) else list(observation.sources)
        )
        ranges = _ranges(spectrum)
        if ranges:
            entry["notice"] = ranges
        if observation.constant is not None:
            entry["constant"] = _plain(observation.constant)
        if observation.statistic is not None:
            entry["statistic"] = observation.statistic
        spectra.append(entry)
    tree: dict[str, Any] = {
        "spectra": spectra,
        "sources": {source.name: _as_table(source) for source in data.sources},
    }
    if data.coefficients:
        tree["coefficients"] = {name: _plain(x) for name, x in data.coefficients.items()}
    if data.populations:
        tree["populations"] = {
            name: {"mean": _plain(p.mean), "sd": _plain(p.sd)}
            for name, p in data.populations.items()
        }
    for source in data.sources:
        for label, absorber in source.absorption.items():
            if absorber.table is not None:
                files.append(directory / _table_name(source, label))
                _write_table(absorber.table, files[-1])
    model = directory / "model.yaml"
    with replacing(model) as temporary:
        temporary.write_text(yaml.safe_dump(tree, sort_keys=False))
    return [model, *files]


def _as_table(source: Source) -> dict[str, Any]:
    found: dict[str, Any] = {} if source.redshift is None else {"redshift": source.redshift}
    found["components"] = {
        label: {used.kind: {n: _plain(x) for n, x in {**used.settings, **used.constants}.items()}}
        for label, used in source.components.items()
    }
    if source.absorption:
        found["absorption"] = {
            label: {
                "NH": _plain(absorber.NH),
                "redshift": absorber.redshift,
                **({} if absorber.table is None else {"table": _table_name(source, label)}),
            }
            for label, absorber in source.absorption.items()
        }
    return found


def _table_name(source: Source, label: str) -> str:
    return f"{source.name}_{label}_cross_sections.csv"


def _write_table(table: CrossSections, path: Path) -> None:
    """Cross sections in keV and cm^2, to the last digit."""
    rows = zip(table.energy.tolist(), table.cross_section.tolist(), strict=True)
    with replacing(path) as temporary:
        lines = ["energy,cross_section", *(f"{energy!r},{sigma!r}" for energy, sigma in rows)]
        temporary.write_text("\n".join(lines) + "\n")


def _plain(setting: Any) -> Any:
    """A setting as YAML has it."""
    if isinstance(setting, Prior):
        return f"{setting.family}({', '.join(map(repr, setting.arguments))})"
    return float(setting) if isinstance(setting, int | float) else str(setting)


def _ranges(spectrum: Spectrum) -> str:
    """Ranges of energy that notice just the channels which are noticed; empty for all."""
    if spectrum.noticed.all() or spectrum.response is None:
        return ""
    low, high = spectrum.response.channel_low, spectrum.response.channel_high
    middle = 0.5 * (low + high)
    edges = np.flatnonzero(np.diff(np.concatenate([[0], spectrum.noticed.astype(int), [0]])))
    # ends inside of the outermost channels: all that overlap a range are noticed
    return ", ".join(
        f"{_between(low[a], middle[a])}-{_between(middle[b - 1], high[b - 1])}"
        for a, b in edges.reshape(-1, 2)
    )


def _between(low: float, high: float) -> str:
    """A number between two, with few digits."""
    texts = (f"{0.5 * (low + high):.{digits}g}" for digits in range(1, 18))
    return next(text for text in texts if low < float(text) < high)
