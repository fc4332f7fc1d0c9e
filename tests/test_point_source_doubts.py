"""Events that make an answer doubtful, and what is said; sources at the ends of what can be."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyxstan
from pyxstan.errors import DataError
from pyxstan.inference_data import attributes, group
from pyxstan.point_source import (
    EffectiveArea,
    EventSample,
    Injection,
    PointSourceData,
    PriorMap,
    TimeWindow,
    read_catalogue,
    read_effective_area,
    read_prior_map,
    scan,
    trial_sky,
    trials,
)
from pyxstan.point_source.background import sector
from pyxstan.point_source.doubts import doubts, remarks
from pyxstan.point_source.injection import source_events
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.tables import tables

#: Of what is fitted here.
BRIEF: dict[str, Any] = {"seed": 1, "trials": 0, "progress": False, "nside": 16, "draws": 200}


def sample(size: int = 3000, seed: int = 1, **changes: Any) -> EventSample:
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "ra": rng.uniform(0, 2 * np.pi, size),
        "dec": np.arcsin(rng.uniform(-1, 1, size)),
        "sigma": np.radians(rng.uniform(0.4, 1.5, size)),
        "log10_energy": 2.5 + rng.exponential(1 / (2.7 * np.log(10)), size),
    }
    area = EffectiveArea(np.linspace(2, 7, 26), np.linspace(-1, 1, 21), np.full((20, 25), 1e-2))
    return EventSample(**{**columns, "area": area, "livetime": 1e7, **changes})


def with_source(count: int, gamma: float, sigma: float = 0.5, **changes: Any) -> PointSourceData:
    """A sky with a source at (100, 20) deg."""
    made = dataclasses.replace(sample(**changes), sigma=np.full(3000, np.radians(sigma)))
    place, rng = (float(np.radians(100)), float(np.radians(20))), np.random.default_rng(3)
    added = source_events(made, count, gamma, place, None, rng)
    columns = {name: np.append(getattr(made, name), values) for name, values in added.items()}
    prior = PriorMap.gaussian(100, 20, 4)
    return PointSourceData((dataclasses.replace(made, **columns),), prior)


def notes(idata: Any) -> list[str]:
    found: list[str] = json.loads(attributes(idata)["notes"])
    return found


def verdict(idata: Any) -> str:
    return pyxstan.verdict(idata).line


def test_nothing_is_said_of_even_events() -> None:
    data = PointSourceData((sample(),))
    assert doubts(data) == remarks(data) == []


@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_events_that_are_not_even_over_right_ascension(strength: float) -> None:
    made = sample(20_000)
    kept = np.random.default_rng(2).random(len(made)) < 0.5 * (1 + strength * np.cos(made.ra))
    columns = {k: getattr(made, k)[kept] for k in ("ra", "dec", "sigma", "log10_energy")}
    (said,) = doubts(PointSourceData((dataclasses.replace(made, **columns),)))
    assert "aren't spread evenly over right ascension" in said


def test_a_strong_source_is_no_uneven_background() -> None:
    assert doubts(with_source(600, 2.5)) == []


def test_a_cut_out_has_no_background() -> None:
    made = sample(3000)
    cut = dataclasses.replace(made, ra=made.ra / 8)
    with pytest.raises(DataError, match="most of the sky has no events"):
        pyxstan.fit("point_source", PointSourceData((cut,)), **BRIEF)


def test_events_that_are_there_twice() -> None:
    made = sample(1000)
    columns = ("ra", "dec", "sigma", "log10_energy")
    few = {k: np.append(getattr(made, k), getattr(made, k)[[7] * 4]) for k in columns}
    (said,) = doubts(PointSourceData((dataclasses.replace(made, **few),)))
    assert said == "events: 4 events are there more than once (one of them 5 times): each counts"
    many = {k: np.append(getattr(made, k), getattr(made, k)[:500]) for k in columns}
    with pytest.raises(DataError, match=r"500 of 1500 events are there more than once"):
        doubts(PointSourceData((dataclasses.replace(made, **many),)))


def test_few_events_and_times_without_uptimes_are_said() -> None:
    mjd = np.append(np.linspace(100, 110, 20), np.linspace(160, 170, 20))
    made = sample(40, mjd=mjd)
    (said,) = remarks(PointSourceData((made,)))
    assert said == "events: its background is made of 40 events alone"
    (_, said) = remarks(PointSourceData((made,), window=TimeWindow(100, 170)))
    assert said.endswith("the longest time without an event is 50 days")
    known = dataclasses.replace(made, uptime=np.array([[100.0, 110.0], [160.0, 170.0]]))
    assert len(remarks(PointSourceData((known,), window=TimeWindow(100, 170)))) == 1


def test_what_files_do_not_say_is_said(tmp_path: Path) -> None:
    area = read_effective_area(
        {
            "E_min[GeV]": [100.0],
            "E_max[GeV]": [1e6],
            "cos(zenith)_min": [-1],
            "Aeff[m^2]": [1.0],
            "cos(zenith)_max": [1],
        }
    )
    assert area.notes == (
        "effective area: sin(dec) is taken for -cos(zenith), as at the South Pole",
    )
    np.save(tmp_path / "map.npy", np.ones(12))
    assert "doesn't say its order: taken for ring" in read_prior_map(tmp_path / "map.npy").notes[0]
    weighed = read_catalogue({"ra": [1, 20], "dec": [2, 3], "flux": [1, 9]})
    assert "catalogue: 'flux' is taken for weights" in weighed.notes


def test_sectors_of_right_ascensions_below_zero() -> None:
    ra = np.linspace(-np.pi, np.pi, 50)
    np.testing.assert_array_equal(sector(ra), sector(ra % (2 * np.pi)))


def test_ends_of_priors_are_complained_of() -> None:
    data = with_source(200, 2.5)
    held = pyxstan.fit("point_source", data, priors={"ns": "uniform(0, 50)"}, **BRIEF)
    assert "ns is held by the end of its prior at 50" in verdict(held)
    free = pyxstan.fit("point_source", data, priors={"ns": "uniform(0, 1000)"}, **BRIEF)
    assert "held by" not in verdict(free)
    assert abs(float(group(free, "posterior")["ns"].mean()) - 200) < 60
    steep = pyxstan.fit("point_source", with_source(60, 5.0), **BRIEF)
    assert not any("tell little" in note for note in notes(steep))
    assert "gamma is held by the end of its prior at 4" in verdict(steep)


def test_a_source_sharper_than_the_pixels() -> None:
    data = with_source(8, 2.5, sigma=0.1)
    idata = pyxstan.fit("point_source", data, **{**BRIEF, "trials": 20})
    found = attributes(idata)
    assert any("within a pixel the test statistic is" in note for note in notes(idata))
    assert "within a pixel" not in verdict(idata)
    assert found["p_value"] == pytest.approx(1 / 21)  # hotter than all of 20 skies
    assert not any("no source was found" in note for note in notes(idata))
    assert abs(found["hottest_dec_deg"] - 20) < 0.2
    there = Sky(tables(data)).maxima(*np.radians([100.0, 20.0])).ts[0]
    assert there > 50
    assert there - 1 < found["ts"] < there + 10


def test_a_scan_says_that_errors_are_small() -> None:
    data = with_source(8, 2.5, sigma=0.5)
    said = {nside: " ".join(scan(data, nside=nside).notes) for nside in (16, 64)}
    assert "half of the angular errors are below 0.5 deg, pixels of nside 16 are 3.7" in said[16]
    assert "may be missed" not in said[64]


def test_where_the_area_ends_within_the_sky() -> None:
    area = EffectiveArea(np.linspace(2, 7, 26), np.linspace(-0.08, 1, 13), np.full((12, 25), 1e-2))
    made = sample(area=area)
    seen = made.dec > np.arcsin(-0.08)
    columns = {k: getattr(made, k)[seen] for k in ("ra", "dec", "sigma", "log10_energy")}
    data = PointSourceData((dataclasses.replace(made, **columns),))
    idata = pyxstan.fit("point_source", data, **BRIEF)
    posterior = group(idata, "posterior")
    assert any("mean and sd of ra and dec tell little" in n for n in notes(idata))
    assert float(posterior["dec"].min()) >= np.degrees(np.arcsin(-0.08))
    assert np.isfinite(posterior["flux"]).all()
    # positions of injected sources, too
    lobes = PriorMap.gaussian(100, -5, 8)
    for number in range(20):
        there = dataclasses.replace(data, prior_map=lobes)
        _, truth = trial_sky(there, Injection(3, 2.0), number=number)
        assert truth["dec"] >= np.degrees(np.arcsin(-0.08))
    nowhere = dataclasses.replace(data, prior_map=PriorMap.gaussian(100, -60, 2))
    with pytest.raises(DataError, match="no event is accepted from where the source may be"):
        trials(nowhere, 1, injection=Injection(3, 2.0))


def test_a_mode_has_no_limits() -> None:
    found = attributes(pyxstan.fit("point_source", with_source(3, 2.5), method="map", **BRIEF))
    assert not {"ns_upper_limit_95", "flux_upper_limit_95"} & set(found)


def test_fits_of_the_same_events_are_compared() -> None:
    data = with_source(10, 2.0)
    fits = {
        name: pyxstan.fit("point_source", data, priors={"gamma": prior}, **{**BRIEF, "nside": 64})
        for name, prior in (("free", "uniform(1, 4)"), ("hard", "normal(2, 0.1)"))
    }
    assert "hard" in str(pyxstan.compare(fits))
