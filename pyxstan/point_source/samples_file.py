"""What a fit is made of, from the command line's options or a YAML file of several samples.

samples:
  - name: IC86-2011
    events: [upgoing_events.txt.gz, downgoing_events.txt.gz]   # relative to the YAML file
    effective_area: TabulatedAeff.txt
    livetime: 333 d             # or in seconds
    angular_resolution: AngRes.txt    # and smearing, uptime, columns, angle_unit, least_sigma
prior_map: map.fits             # or catalogue: sources.csv
window: 55700, 55800            # MJD; or gaussian(55700, 5)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyxstan.errors import DataError
from pyxstan.point_source.catalogue import read_catalogue
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.maps import read_prior_map
from pyxstan.point_source.readers import read_effective_area, read_events, read_smearing
from pyxstan.point_source.windows import TimeWindow

_FILES = ("effective_area", "angular_resolution", "smearing", "uptime")
_PLAIN = ("livetime", "angle_unit", "least_sigma", "columns")
_SAMPLE = ("name", "events", *_FILES, *_PLAIN)
_TOP = ("samples", "prior_map", "window", "catalogue")
_GAUSSIAN = re.compile(r"gaussian\((.+),(.+)\)")


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
    if inputs[0].suffix.lower() in (".yaml", ".yml"):
        if len(inputs) > 1:
            raise DataError(
                f"{inputs[0]}: a YAML file names all samples, got {inputs[1]} beside it"
            )
        data = _from_yaml(inputs[0])
        return _data(data.samples, given, Path(), data)
    sample = _sample({**given, "events": list(inputs)}, "", Path())
    return _data((sample,), given, Path())


def _from_yaml(path: Path) -> PointSourceData:
    import yaml

    try:
        tree = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or 'not a text'}") from None
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = "" if line is None else f", line {line + 1}"
        raise DataError(f"{path}{where}: not YAML") from None
    tree = _checked(tree, _TOP, f"{path}")
    entries = tree.get("samples")
    if not isinstance(entries, list) or not entries:
        raise DataError(f"{path}: no samples, expected a list of them")
    samples = []
    for number, entry in enumerate(entries, 1):
        where = f"{path}: sample {number}"
        samples.append(_sample(_checked(entry, _SAMPLE, where), where, path.parent))
    return _data(tuple(samples), tree, path.parent)


def _checked(entry: Any, known: Sequence[str], where: str) -> dict[str, Any]:
    if not isinstance(entry, Mapping):
        raise DataError(f"{where}: expected {', '.join(known)}")
    for key in entry:
        if key not in known:
            raise DataError(f"{where}: unknown key '{key}'; there are {', '.join(known)}")
    return dict(entry)


def _sample(entry: Mapping[str, Any], where: str, folder: Path) -> EventSample:
    """One sample; `where` begins messages about its entries."""
    begin = f"{where}: " if where else ""
    hint = "" if where else " (--set effective_area=FILE)"
    for name in ("events", "effective_area", "livetime"):
        if entry.get(name) is None:
            raise DataError(f"{begin}no {name}{hint if name == 'effective_area' else ''}")
    events = entry["events"]
    paths = [folder / path for path in (events if isinstance(events, list) else [events])]
    files = {name: folder / entry[name] for name in _FILES if entry.get(name) is not None}
    name = str(entry.get("name") or paths[0].name.split(".")[0])
    smearing = files.pop("smearing", None)
    more = {key: entry[key] for key in ("angle_unit", "least_sigma") if key in entry}
    return read_events(
        paths,
        read_effective_area(files.pop("effective_area")),
        livetime(entry["livetime"], begin),
        name=name,
        columns=_columns(entry.get("columns"), begin),
        smearing=None if smearing is None else read_smearing(smearing),
        **files,
        **more,
    )


def _data(
    samples: tuple[EventSample, ...],
    entry: Mapping[str, Any],
    folder: Path,
    given: PointSourceData | None = None,
) -> PointSourceData:
    """The data of some samples; what the entry has not is as given."""
    given = given or PointSourceData(samples)
    prior_map, window, catalogue = (
        entry.get(name) for name in ("prior_map", "window", "catalogue")
    )
    return PointSourceData(
        samples,
        given.prior_map if prior_map is None else read_prior_map(folder / prior_map),
        given.window if window is None else time_window(window),
        given.notes,
        given.catalogue if catalogue is None else read_catalogue(folder / catalogue),
    )


def livetime(given: Any, begin: str = "") -> float:
    """Seconds of a livetime: a number of them, or one with a unit, as in ``333 d``.

    >>> livetime("333 d"), livetime(1000)
    (28771200.0, 1000.0)
    """
    from astropy import units as u

    try:
        found = u.Quantity(given)
        seconds = float(found.value if found.unit.is_equivalent("") else found.to_value("s"))
    except (TypeError, ValueError):
        seconds = 0.0
    if not seconds > 0:
        raise DataError(f"{begin}livetime {given}: expected seconds, or a time as in '333 d'")
    return seconds


def _columns(given: Any, begin: str) -> dict[str, str] | None:
    if given is None or isinstance(given, Mapping):
        return given if given is None else dict(given)
    pairs = [part.partition(":") for part in str(given).split(",")]
    if not all(ours.strip() and theirs.strip() for ours, _, theirs in pairs):
        raise DataError(f"{begin}columns {given}: expected ra:NAME,dec:NAME,...")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def time_window(given: Any) -> TimeWindow:
    """A window in words: ``START, END`` or ``gaussian(MEAN, SD)``, in MJD.

    >>> time_window("gaussian(55700, 5)")
    TimeWindow(start=55695.0, end=55705.0, gaussian=True)
    """
    if isinstance(given, TimeWindow):
        return given
    match = _GAUSSIAN.fullmatch(str(given).strip())
    try:
        words = match.groups() if match else str(given).split(",")
        first, second = (float(word) for word in words)
    except ValueError:
        raise DataError(
            f"window {given}: expected 'START, END' or 'gaussian(MEAN, SD)' in MJD"
        ) from None
    if match:
        return TimeWindow(first - second, first + second, gaussian=True)
    return TimeWindow(first, second)
