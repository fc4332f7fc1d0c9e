"""Simulate a year of a detector with a point source in it, and write it as files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.output import replacing
from pyxstan.point_source.areas import EffectiveArea
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.fluxes import events, flux
from pyxstan.point_source.injection import with_source
from pyxstan.point_source.problem import default_priors
from pyxstan.point_source.sky import PriorMap
from pyxstan.priors import Prior

_LIVETIME, _START = 333 * 86_400.0, 55_700.0
#: Of the background: spectral index of reconstructed energies, and the least log10 of them.
_INDEX, _LEAST = 3.7, 2.5
_NS, _GAMMA = 20.0, 2.2
#: What parameters may be (deg).
_RANGES = {"gamma": (0.0, 10.0), "ra": (-180.0, 360.0), "dec": (-90.0, 90.0)}
#: How far apart events by a flux and stated ones may be, in parts of these.
_AGREE = 1e-3
#: Smaller errors (deg) are raised when events are read, if nothing else is said.
_LEAST_SIGMA = 0.2
#: Where the prior map is centred (deg), its nside and floor.
_CENTER, _NSIDE, _FLOOR = (120.0, 15.0), 64, 1e-4


def simulate(
    model: str,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    *,
    from_prior: bool,
) -> tuple[PointSourceData, dict[str, Any]]:
    """Simulate events; see `pyxstan.simulate`.

    Each event is the source's with probability ns / N. The position is drawn from the prior map, a
    round Gaussian about (120, 15) deg.
    """
    truth = dict(parameters or {})
    known = ("ns", "gamma", "ra", "dec", "flux")
    unknown = set(truth) - set(known)
    if unknown:
        raise DataError(f"{model} has no parameter '{min(unknown)}'; there are {', '.join(known)}")
    total, radius = options["events"], options["prior_radius"]
    if total < 100:
        raise DataError(f"option events: {total} is not a whole number of at least 100")
    if not 0 < radius < np.inf:
        raise DataError(f"option prior_radius: {radius:g} is not an angle above 0 deg")
    chosen = {**default_priors(total), **priors}
    for name, value in (("ns", _NS), ("gamma", _GAMMA)):
        default = float(chosen[name].sample(rng, 1)[0]) if from_prior else value
        truth[name] = _number(name, truth.get(name, default))
    prior_map = PriorMap.gaussian(*_CENTER, radius, _FLOOR, _NSIDE)
    drawn = np.degrees(np.concatenate(prior_map.draw(1, rng)))
    for name, degrees in zip(("ra", "dec"), drawn, strict=True):
        truth[name] = _number(name, truth.get(name, degrees))
    for name, (low, high) in _RANGES.items():
        if not low <= truth[name] <= high:
            raise DataError(f"simulate: {name} is {truth[name]:g}, expected {low:g} to {high:g}")
    if "flux" in truth:
        wanted = _events_of(truth, options)
        if "ns" not in (parameters or {}):
            truth["ns"] = wanted
        elif not np.isclose(wanted, truth["ns"], rtol=_AGREE, atol=0):
            raise DataError(
                f"simulate: flux is {truth['flux']:g}, which makes {wanted:.5g} events there, but "
                f"ns is {truth['ns']:g}: give one of them"
            )
    if not 0 <= truth["ns"] < total:
        raise DataError(f"simulate: ns is {truth['ns']:g}, expected 0 to {total} events")
    count = int(rng.binomial(total, truth["ns"] / total))
    background = _background(total - count, rng)
    data = PointSourceData((background,), prior_map)
    position = float(np.radians(truth["ra"])), float(np.radians(truth["dec"]))
    if count:
        data = with_source(data, [background.ra], [count], truth["gamma"], position, rng)
    truth["flux"] = float(
        flux(data, truth["ns"], truth["gamma"], position[1], options["pivot"], options["unit"])
    )
    return data, {name: truth[name] for name in ("ns", "gamma", "flux", "ra", "dec")}


def _events_of(truth: Mapping[str, Any], options: Mapping[str, Any]) -> float:
    """Events of a source of some flux."""
    detector = PointSourceData((_background(2, np.random.default_rng(0)),))  # area and livetime
    value, dec = _number("flux", truth["flux"]), float(np.radians(truth["dec"]))
    return float(events(detector, value, truth["gamma"], dec, options["pivot"], options["unit"]))


def _number(name: str, value: Any) -> float:
    try:
        found = float(value)
    except (TypeError, ValueError):
        found = np.nan
    if not np.isfinite(found):
        raise DataError(f"simulate: {name} is {value}, expected a number")
    return found


def _area() -> EffectiveArea:
    """Rises with energy, and is larger where the Earth doesn't absorb."""
    log10_energy = np.linspace(2.0, 8.0, 31)
    sin_dec = np.linspace(-1.0, 1.0, 21)
    middles = 0.5 * (log10_energy[1:] + log10_energy[:-1])
    rise = 10.0 ** (1.9 * (middles - 5.0) - 0.45 * np.maximum(middles - 5.0, 0.0) ** 1.3)
    seen = 0.3 + 0.7 * np.exp(-0.5 * ((sin_dec[1:] + sin_dec[:-1]) / 2.0 / 0.5) ** 2)
    return EffectiveArea(log10_energy, sin_dec, 20.0 * seen[:, None] * rise)


def _background(count: int, rng: np.random.Generator) -> EventSample:
    """Isotropic but for a slow change with declination; steep in energy."""
    sin_dec = 2.0 * rng.beta(1.2, 1.0, count) - 1.0
    log10_energy = np.round(_LEAST + rng.exponential(1 / (np.log(10) * (_INDEX - 2.7)), count), 1)
    sigma = np.radians(1.2 * np.exp(0.35 * rng.standard_normal(count) - 0.35 * (log10_energy - 3)))
    return EventSample(
        ra=rng.uniform(0.0, 2.0 * np.pi, count),
        dec=np.arcsin(sin_dec),
        sigma=np.clip(sigma, np.radians(0.2), np.radians(10.0)),
        log10_energy=np.minimum(log10_energy, 7.5),
        area=_area(),
        livetime=_LIVETIME,
        mjd=np.round(_START + rng.uniform(0.0, 365.0, count), 5),
        name="simulated",
    )


def write(data: PointSourceData, truth: Mapping[str, Any], directory: Path) -> list[Path]:
    """Write samples.yaml, the files that it names, and truth.json.

    Raises
    ------
    DataError
        There is a smearing matrix, which isn't written.
    """
    import yaml

    for sample in data.samples:
        if sample.smearing is not None:
            raise DataError(f"{sample.name}: smearing matrices aren't written: leave it out")
    entries, files = [], []
    for number, sample in enumerate(data.samples, 1):
        suffix = "" if len(data.samples) == 1 else f"_{number}"
        table, area = f"events{suffix}.csv", f"effective_area{suffix}.csv"
        files += [(table, _events_table(sample)), (area, _area_table(sample.area))]
        entry: dict[str, Any] = {
            "name": sample.name,
            "events": table,
            "effective_area": area,
            "livetime": float(sample.livetime),
        }
        if sample.uptime is not None:
            entry["uptime"] = f"uptime{suffix}.csv"
            files.append((entry["uptime"], _uptime_table(sample.uptime)))
        least = float(np.degrees(sample.sigma.min()))
        if least < _LEAST_SIGMA:
            entry["least_sigma"] = 0.999 * least  # as none is raised
        entries.append(entry)
    tree: dict[str, Any] = {"samples": entries}
    if data.prior_map is not None:
        tree["prior_map"] = "prior_map.fits"
    if data.window is not None:
        tree["window"] = str(data.window)
    if data.catalogue is not None:
        tree["catalogue"] = "catalogue.csv"
        files.append((tree["catalogue"], _catalogue_table(data.catalogue)))
    texts = dict(files)
    texts["samples.yaml"] = yaml.safe_dump(tree, sort_keys=False)
    texts["truth.json"] = json.dumps(dict(truth), indent=1) + "\n"
    written = [directory / name for name in texts]
    for path, text in zip(written, texts.values(), strict=True):
        with replacing(path) as temporary:
            temporary.write_text(text)
    if data.prior_map is not None:
        from pyxstan.point_source.maps import write_prior_map

        write_prior_map(data.prior_map, directory / "prior_map.fits")
        written.insert(0, directory / "prior_map.fits")
    return written


def _events_table(sample: EventSample) -> str:
    columns: dict[str, Floats] = {
        "ra[deg]": np.degrees(sample.ra),
        "dec[deg]": np.degrees(sample.dec),
        "sigma[deg]": np.degrees(sample.sigma),
        "log10_energy": sample.log10_energy,
    }
    if sample.mjd is not None:
        columns["mjd"] = sample.mjd
    rows = np.column_stack(list(columns.values()))
    lines = [",".join(f"{value:.9g}" for value in row) for row in rows]
    return "\n".join([",".join(columns), *lines, ""])


def _uptime_table(uptime: Floats) -> str:
    return "\n".join(["start,end", *(f"{start!r},{end!r}" for start, end in uptime.tolist()), ""])


def _catalogue_table(catalogue: Catalogue) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["name", "ra[deg]", "dec[deg]", "weight"])
    columns = np.degrees(catalogue.ra), np.degrees(catalogue.dec), catalogue.weight
    numbers = ([f"{value:.12g}" for value in values] for values in zip(*columns, strict=True))
    rows.writerows([name, *row] for name, row in zip(catalogue.names, numbers, strict=True))
    return text.getvalue()


def _area_table(area: EffectiveArea) -> str:
    names = (
        "log10(E_nu/GeV)_min", "log10(E_nu/GeV)_max", "Dec_nu_min[deg]", "Dec_nu_max[deg]",
        "A_Eff[cm^2]",
    )  # fmt: skip
    dec = np.degrees(np.arcsin(area.sin_dec))
    lines = [
        f"{area.log10_energy[j]:.9g},{area.log10_energy[j + 1]:.9g},{dec[i]:.9g},{dec[i + 1]:.9g},"
        f"{1e4 * area.area[i, j]:.9g}"
        for i, j in np.ndindex(area.area.shape)
    ]
    return "\n".join([",".join(names), *lines, ""])
