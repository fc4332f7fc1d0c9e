"""What a fit is made of, from the command line's options or a YAML file of several samples.

samples:
  - name: IC86-2011
    events: [upgoing_events.txt.gz, downgoing_events.txt.gz]   # relative to the YAML file
    effective_area: TabulatedAeff.txt
    livetime: 333 d             # or in seconds
    angular_resolution: AngRes.txt    # and smearing, uptime, columns, angle_unit, least_sigma
prior_map: map.fits             # or catalogue: sources.csv
angle_unit: deg                 # of the catalogue, and of samples that don't say
window: 55700, 55800            # MJD; or gaussian(55700, 5)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.catalogue import read_catalogue
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.maps import read_prior_map
from pyxstan.point_source.readers import read_effective_area, read_events, read_smearing
from pyxstan.point_source.windows import TimeWindow

_FILES = ("effective_area", "angular_resolution", "smearing", "uptime")
_PLAIN = ("livetime", "angle_unit", "least_sigma", "columns")
_SAMPLE = ("name", "events", *_FILES, *_PLAIN)
_TOP_FILES = ("prior_map", "catalogue")
_TOP = ("samples", "prior_map", "window", "catalogue", "angle_unit")
_GAUSSIAN = re.compile(r"gaussian\((.+),(.+)\)")
#: The part of a sample's events that may look like those of another one by chance.
_SHARED = 0.01
#: Days for which two seasons may both be up: times may be whole days.
_BOTH_UP = 1.0


def read(inputs: Sequence[Path], options: Mapping[str, Any]) -> PointSourceData:
    """Read EVENTS... of one sample, or SAMPLES.yaml.

    Raises
    ------
    DataError
        A file is missing or can't be read, or an option is.
    """
    if not inputs:
        raise DataError("expected files of events, or SAMPLES.yaml")
    given = {name: value for name, value in options.items() if value is not None}
    if not _is_yaml(inputs[0]):
        return _data((_sample({**given, "events": list(inputs)}, "", Path()),), given)
    if len(inputs) > 1:
        raise DataError(f"{inputs[0]}: a YAML file names all samples, got {inputs[1]} beside it")
    for name in (*_FILES, *_PLAIN):
        if name in given:
            raise DataError(
                f"option {name}: {inputs[0]} says it of each sample, set it there ({name}: ...)"
            )
    return _from_yaml(inputs[0], given)


def _is_yaml(path: Path) -> bool:
    return path.suffix.lower() in (".yaml", ".yml")


def _from_yaml(path: Path, given: Mapping[str, Any]) -> PointSourceData:
    """What a YAML file says, but for what is given beside it."""
    tree, begin = _tree(path), f"{path}: "
    for name in _TOP_FILES:
        if name in tree:
            tree[name] = _file(path.parent, tree[name], begin, name)
    if "window" in tree:
        tree["window"] = time_window(tree["window"], begin)
    common = {"angle_unit": tree["angle_unit"]} if "angle_unit" in tree else {}
    samples = tuple(
        _sample({**common, **entry}, f"{path}: sample {number}", path.parent)
        for number, entry in enumerate(tree["samples"], 1)
    )
    data = _data(samples, {**tree, **given}, _both_up(samples))
    _refuse_shared(samples)
    return data


def _tree(path: Path) -> dict[str, Any]:
    """What a YAML file says: known keys, and a list of samples of known keys."""
    import yaml

    class Loader(yaml.SafeLoader):
        """Of files in which no key is there twice."""

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = [key.value for key, _ in node.value]
            for position, (key, _) in enumerate(node.value):
                if key.value in names[:position]:
                    raise yaml.MarkedYAMLError(
                        problem=f"key '{key.value}' is there twice", problem_mark=key.start_mark
                    )
            return dict(super().construct_mapping(node, deep))

    try:
        tree = yaml.load(path.read_text(), Loader)
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        what = getattr(error, "problem", None) or str(error).partition("\n")[0]
        raise DataError(f"{path}{where}: not YAML: {what}") from None
    tree = _checked(tree, _TOP, f"{path}")
    entries = tree.get("samples")
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: no samples, expected a list of them")
    tree["samples"] = [
        _checked(entry, _SAMPLE, f"{path}: sample {number}")
        for number, entry in enumerate(entries, 1)
    ]
    return tree


def _checked(entry: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    """The keys of a mapping that have a value."""
    if not isinstance(entry, Mapping):
        raise DataError(f"{where}: expected {', '.join(known)}")
    for key in entry:
        if key not in known:
            raise DataError(f"{where}: unknown key '{key}'; there are {', '.join(known)}")
    return {key: value for key, value in entry.items() if value is not None}


def _sample(entry: Mapping[str, Any], where: str, folder: Path) -> EventSample:
    """One sample; `where` begins messages about its entries."""
    begin = f"{where}: " if where else ""
    hint = "" if where else " (--set effective_area=FILE)"
    for name in ("events", "effective_area", "livetime"):
        if not entry.get(name) and entry.get(name) != 0:
            raise DataError(f"{begin}no {name}{hint if name == 'effective_area' else ''}")
    events = entry["events"]
    paths = [
        _file(folder, path, begin, "events")
        for path in (events if isinstance(events, list) else [events])
    ]
    tables: dict[str, Any] = {
        name: _file(folder, entry[name], begin, name) for name in _FILES if name in entry
    }
    name = entry.get("name", paths[0].name.split(".")[0])
    if isinstance(name, list | dict):
        raise DataError(f"{begin}name {name}: expected a word")
    smearing = tables.pop("smearing", None)
    more = {key: entry[key] for key in ("angle_unit", "least_sigma") if key in entry}
    return read_events(
        paths,
        read_effective_area(tables.pop("effective_area")),
        livetime(entry["livetime"], begin),
        name=str(name),
        columns=_columns(entry.get("columns"), begin),
        smearing=None if smearing is None else read_smearing(smearing),
        **tables,
        **more,
    )


def _file(folder: Path, given: Any, begin: str, name: str) -> Path:
    if not isinstance(given, str | Path):
        raise DataError(f"{begin}{name} {given}: expected the name of a file")
    return folder / given


def _data(
    samples: tuple[EventSample, ...], entry: Mapping[str, Any], notes: Sequence[str] = ()
) -> PointSourceData:
    """The data of some samples, with what an entry says of all of them."""
    prior_map = window = catalogue = None
    if "prior_map" in entry:
        prior_map = read_prior_map(_file(Path(), entry["prior_map"], "", "prior_map"))
    if "window" in entry:
        window = time_window(entry["window"])
    if "catalogue" in entry:
        path = _file(Path(), entry["catalogue"], "", "catalogue")
        catalogue = read_catalogue(path, entry.get("angle_unit", "deg"))
    return PointSourceData(samples, prior_map, window, notes, catalogue)


def _refuse_shared(samples: Sequence[EventSample]) -> None:
    """Samples that hold many of the same events, as of a file that both name."""
    import pandas as pd

    names = ["ra", "dec", "sigma", "log10_energy"]
    frames = [
        pd.DataFrame({"sample": k, **{name: getattr(each, name) for name in names}})
        for k, each in enumerate(samples)
    ]
    every = pd.concat(frames)
    several = every[every.duplicated(names, keep=False)].drop_duplicates()
    for a, b in combinations(sorted(several["sample"].unique()), 2):
        shared = int(several[several["sample"].isin((a, b))].duplicated(names).sum())
        if shared > _SHARED * min(len(samples[a]), len(samples[b])):
            raise DataError(
                f"samples {samples[a].name} and {samples[b].name} share {shared} events: they "
                "would count twice"
            )


def _both_up(samples: Sequence[EventSample]) -> list[str]:
    """Samples that were taken at the same time."""
    timed = [each for each in samples if each.uptime is not None or each.mjd is not None]
    notes = []
    for one, other in combinations(timed, 2):
        (start, end), (first, last) = (each.uptimes.T for each in (one, other))
        both = np.minimum(end[:, None], last) - np.maximum(start[:, None], first)
        days = float(np.maximum(both, 0.0).sum())
        if days > _BOTH_UP:
            notes.append(
                f"{one.name} and {other.name} were both up for {days:.4g} days: an event that both "
                "have counts twice"
            )
    return notes


def livetime(given: Any, begin: str = "") -> float:
    """Seconds of a livetime: a number of them, or one with a unit, as in ``333 d``.

    >>> livetime("333 d"), livetime(1000)
    (28771200.0, 1000.0)
    """
    from astropy import units as u

    try:
        found = u.Quantity(np.nan if isinstance(given, bool) else given)
        seconds = float(found.value if found.unit.is_equivalent("") else found.to_value("s"))
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise DataError(f"{begin}livetime {given}: expected seconds, or a time as in '333 d'")
    return seconds


def _columns(given: Any, begin: str) -> dict[str, str] | None:
    if given is None:
        return None
    if isinstance(given, Mapping):
        pairs = [(ours, theirs) for ours, theirs in given.items()]
    else:
        parts = (part.partition(":") for part in str(given).split(","))
        pairs = [(ours.strip(), theirs.strip()) for ours, _, theirs in parts]
    if not all(isinstance(word, str) and word for pair in pairs for word in pair):
        raise DataError(f"{begin}columns {given}: expected ra:NAME,dec:NAME,...")
    return dict(pairs)


def time_window(given: Any, begin: str = "") -> TimeWindow:
    """A window in words: ``START, END`` or ``gaussian(MEAN, SD)``, in MJD.

    >>> time_window("gaussian(55700, 5)")
    TimeWindow(start=55695.0, end=55705.0, gaussian=True)
    """
    if isinstance(given, TimeWindow):
        return given
    if isinstance(given, list | tuple):
        given = ", ".join(map(str, given))
    match = _GAUSSIAN.fullmatch(str(given).strip())
    try:
        words = match.groups() if match else str(given).split(",")
        first, second = (float(word) for word in words)
    except ValueError:
        raise DataError(
            f"{begin}window {given}: expected 'START, END' or 'gaussian(MEAN, SD)' in MJD"
        ) from None
    if match:
        return TimeWindow(first - second, first + second, gaussian=True)
    return TimeWindow(first, second)
