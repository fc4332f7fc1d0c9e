"""What a fit of a point source is read from: YAML files, options, and mistakes in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pyxstan
from pyxstan.errors import DataError
from pyxstan.inference_data import attributes, group
from pyxstan.point_source import (
    Catalogue,
    EventSample,
    PointSourceData,
    Smearing,
    TimeWindow,
    events,
    flux,
    trials,
)
from pyxstan.point_source.problem import _NULL_SEED
from pyxstan.point_source.workflow import as_data, write


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data, truth = pyxstan.simulate("point_source", seed=3, events=300)
    path = tmp_path_factory.mktemp("point_source")
    write(data, truth, path)
    return path


def test_one_sample_by_options_is_that_of_the_file(folder: Path) -> None:
    whole = PointSourceData.read(folder / "samples.yaml")
    options = {"effective_area": folder / "effective_area.csv", "livetime": "333 d"}
    alone = PointSourceData.read(
        folder / "events.csv", **options, prior_map=folder / "prior_map.fits"
    )
    for data in (alone, as_data(str(folder / "samples.yaml"))):
        np.testing.assert_array_equal(data.samples[0].ra, whole.samples[0].ra)
        np.testing.assert_allclose(data.samples[0].area.area, whole.samples[0].area.area)
        assert data.samples[0].livetime == whole.samples[0].livetime
        assert data.prior_map is not None
    timed = PointSourceData.read(folder / "samples.yaml", window="gaussian(55800, 10)")
    assert timed.window == TimeWindow(55790, 55810, gaussian=True)
    assert timed.prior_map is not None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "no effective_area .--set effective_area=FILE."),
        ({"effective_area": "effective_area.csv"}, "no livetime"),
        ({"livetime": "-3"}, "livetime -3: expected seconds"),
        ({"livetime": "3 kg"}, "livetime 3 kg: expected seconds"),
        ({"livetime": "soon"}, "livetime soon: expected seconds"),
        ({"window": "55700"}, "window 55700: expected 'START, END'"),
        ({"window": "55800, 55700"}, "the start first"),
        ({"window": "gaussian(55800)"}, "expected 'START, END' or 'gaussian"),
        ({"columns": "ra"}, "columns ra: expected ra:NAME"),
        ({"angle_unit": "hours"}, "option angle_unit: 'hours' is not deg or rad"),
        ({"least_sigma": "0"}, "least_sigma 0 deg, expected 0 to 30"),
        ({"prior_map": "none.fits"}, "none.fits"),
        ({"colour": "red"}, "no option 'colour'; there are"),
    ],
)
def test_bad_options(folder: Path, options: dict[str, str], words: str) -> None:
    if options and "effective_area" not in options:
        options = {
            "effective_area": str(folder / "effective_area.csv"),
            "livetime": "1 d",
        } | options
    elif options:
        options = {"effective_area": str(folder / options["effective_area"])}
    with pytest.raises(DataError, match=words):
        PointSourceData.read(folder / "events.csv", **options)


def test_options_of_samples_are_refused_beside_a_file_of_samples(folder: Path) -> None:
    """A YAML file says them of each of its samples: they would be set of none."""
    options = {
        "livetime": "1 d", "effective_area": "effective_area.csv", "smearing": "smearing.csv",
        "uptime": "uptime.csv", "angular_resolution": "AngRes.txt", "least_sigma": "3",
        "angle_unit": "rad", "columns": "ra:dec",
    }  # fmt: skip
    for name, value in options.items():
        with pytest.raises(DataError, match=f"option {name}: .*samples.yaml says it"):
            PointSourceData.read(folder / "samples.yaml", **{name: value})


def test_columns_and_windows_may_be_objects(folder: Path) -> None:
    options: dict[str, Any] = {
        "effective_area": folder / "effective_area.csv", "livetime": "1 d",
        "columns": {"ra": "ra[deg]"}, "window": TimeWindow(55700.0, 55800.0),
    }  # fmt: skip
    read = PointSourceData.read(folder / "events.csv", **options)
    assert read.window == options["window"]


def test_catalogues_in_radians(folder: Path, tmp_path: Path) -> None:
    sources = tmp_path / "sources.csv"
    sources.write_text("ra,dec\n1.5,0.5\n2.5,-0.5\n")
    event_options = {
        "effective_area": folder / "effective_area.csv", "livetime": "1 d", "catalogue": sources,
    }  # fmt: skip
    events_file = folder / "events.csv"  # whose columns state degrees
    stated = PointSourceData.read(events_file, **event_options, angle_unit="rad")
    assert stated.catalogue is not None
    np.testing.assert_allclose(stated.catalogue.ra, [1.5, 2.5])
    assert not any("taken for degrees" in note for note in stated.notes)
    unsure = PointSourceData.read(events_file, **event_options)
    (note,) = [note for note in unsure.notes if "taken for degrees" in note]
    assert "sources.csv: every ra and dec is below 7" in note
    assert dataclasses.replace(unsure).notes == unsure.notes
    for file in ("events.csv", "effective_area.csv"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    (tmp_path / "samples.yaml").write_text(
        f"samples: [{GOOD}]\ncatalogue: sources.csv\nangle_unit: rad\n"
    )
    within = PointSourceData.read(tmp_path / "samples.yaml")
    assert within.catalogue is not None
    np.testing.assert_allclose(within.catalogue.ra, [1.5, 2.5])


GOOD = "{name: a, events: events.csv, effective_area: effective_area.csv, livetime: 9}"
OTHER = GOOD.replace("name: a", "name: b")


def but(**entries: str) -> str:
    """The good sample with other entries."""
    words = {"events": "events.csv", "effective_area": "effective_area.csv", "livetime": "9"}
    inside = ", ".join(f"{name}: {value}" for name, value in {**words, **entries}.items())
    return f"samples: [{{{inside}}}]"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("samples: [", "line 1|line 2: not YAML|not YAML"),
        ("[1, 2]", "expected samples, prior_map, window"),
        ("prior_map: prior_map.fits", "no samples, expected a list"),
        ("samples: [3]", "sample 1: expected name, events"),
        ("samples: [{events: events.csv}]", "sample 1: no effective_area"),
        ("samples: [{colour: red}]", "sample 1: unknown key 'colour'"),
        (f"samples: [{GOOD}, {GOOD}]", "samples of the same name: a, a"),
        (f"samples: [{GOOD}]\nwindow: later", "window later"),
        (f"samples: [{GOOD}]\nprior_map: events.csv", "events.csv: not a HEALPix map"),
        (f"samples: [{GOOD}]\nmaps: x", "unknown key 'maps'"),
        (f"samples: [{GOOD}]\nprior_map: [a, b]", r"prior_map \['a', 'b'\]: expected the name"),
        (f"samples: [{GOOD}]\ncatalogue: 7", "catalogue 7: expected the name of a file"),
        (f"samples: [{GOOD}]\nwindow: {{a: 1}}", "samples.yaml: window .*: expected 'START, END'"),
        (f"samples: [{GOOD}]\nwindow: [1, 2, 3]", "window 1, 2, 3: expected 'START, END'"),
        (f"samples: [{GOOD}]\nwindow: 2011-13-45", "not YAML: month must be"),
        (f"samples: [{GOOD}]\nwindow: 1, 2\nwindow: 3, 4", "line 3: not YAML: key 'window' is"),
        ("samples: " + 500 * "[", "not YAML"),
        (f"samples: [{GOOD}]\n3: x", "unknown key '3'"),
        (but(effective_area="5"), "sample 1: effective_area 5: expected the name of a file"),
        (but(events="[3]"), "sample 1: events 3: expected the name of a file"),
        (but(events="[]"), "sample 1: no events"),
        (but(events="{a: b}"), "sample 1: events {'a': 'b'}: expected the name"),
        (but(smearing="[x]"), "sample 1: smearing .*: expected the name of a file"),
        (but(uptime="5"), "sample 1: uptime 5: expected the name of a file"),
        (but(least_sigma="wide"), "least_sigma 'wide', expected deg"),
        (but(least_sigma="true"), "least_sigma nan deg|least_sigma True"),
        (but(angle_unit="3"), "angle_unit '3', expected deg or rad"),
        (but(columns="{ra: 3}"), "sample 1: columns {'ra': 3}: expected ra:NAME"),
        (but(columns="7"), "sample 1: columns 7: expected ra:NAME"),
        (but(name="[a]"), r"sample 1: name \['a'\]: expected a word"),
        (but(livetime="true"), "sample 1: livetime True: expected seconds"),
        (but(livetime="[1, 2]"), r"sample 1: livetime \[1, 2\]: expected seconds"),
        (but(livetime="{d: 3}"), "sample 1: livetime {'d': 3}: expected seconds"),
        (but(livetime="2011-05-13"), "sample 1: livetime 2011-05-13: expected seconds"),
        (but(livetime="0"), "sample 1: livetime 0: expected seconds"),
        (f"samples: [{GOOD}, {OTHER}]", "samples a and b have the same events"),
        (
            f"samples: [{GOOD}, {OTHER.replace('events.csv', '[events.csv, more.csv]')}]",
            "samples a and b share 300 events",
        ),
    ],
)
def test_bad_files(folder: Path, tmp_path: Path, text: str, words: str) -> None:
    for name in ("events.csv", "effective_area.csv", "prior_map.fits"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    rows = (folder / "events.csv").read_text().splitlines()
    more = [rows[0], *(row.replace(",", "1,", 1) for row in rows[1:9])]
    (tmp_path / "more.csv").write_text("\n".join(more) + "\n")
    (tmp_path / "samples.yaml").write_text(text)
    with pytest.raises(DataError, match=words) as error:
        PointSourceData.read(tmp_path / "samples.yaml")
    assert "\n" not in str(error.value)


def test_a_binary_file_of_samples(tmp_path: Path) -> None:
    (tmp_path / "samples.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"samples\.yaml: not a text"):
        PointSourceData.read(tmp_path / "samples.yaml")


def test_seasons_at_the_same_time_are_said(folder: Path, tmp_path: Path) -> None:
    header, *rows = (folder / "events.csv").read_text().splitlines()
    for name, some in (("a", rows[:150]), ("b", rows[150:])):
        (tmp_path / f"{name}.csv").write_text("\n".join([header, *some]) + "\n")
    area = folder / "effective_area.csv"
    entry = "{{name: {0}, events: {0}.csv, effective_area: {1}, livetime: 9{2}}}"
    both = ", ".join(entry.format(name, area, "") for name in "ab")
    (tmp_path / "samples.yaml").write_text(f"samples: [{both}]")
    (note,) = PointSourceData.read(tmp_path / "samples.yaml").notes
    assert "a and b were both up for 3" in note
    # the halves of a year
    (tmp_path / "first.csv").write_text("55700 55880\n")
    (tmp_path / "second.csv").write_text("55880 56070\n")
    up = zip("ab", ("first", "second"), strict=True)
    both = ", ".join(entry.format(name, area, f", uptime: {file}.csv") for name, file in up)
    (tmp_path / "samples.yaml").write_text(f"samples: [{both}]")
    assert not PointSourceData.read(tmp_path / "samples.yaml").notes


def simulated(events_: int = 300, **parameters: float) -> PointSourceData:
    data: PointSourceData
    data, _ = pyxstan.simulate("point_source", parameters, seed=3, events=events_)
    return data


def with_column(name: str, value: float) -> Callable[[EventSample], EventSample]:
    """A sample whose fifth event has another value."""

    def changed(sample: EventSample) -> EventSample:
        column = getattr(sample, name).copy()
        column[4] = value
        return dataclasses.replace(sample, **{name: column})

    return changed


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("dec", 45.0, "dec of event 5 is 45, expected -pi/2 to pi/2 rad: degrees"),
        ("dec", -1.6, "dec of event 5 is -1.6"),
        ("sigma", 0.0, "sigma of event 5 is 0, expected above 0"),
        ("sigma", -0.1, "sigma of event 5 is -0.1"),
        ("sigma", 3.2, "sigma of event 5 is 3.2, expected above 0, up to pi rad: degrees"),
        ("log10_energy", 1000.0, "log10_energy of event 5 is 1000, expected log10 of GeV"),
        ("log10_energy", -999.0, "log10_energy of event 5 is -999"),
        ("ra", np.nan, "ra of event 5 is nan"),
        ("mjd", np.nan, "mjd of event 5 is nan"),
    ],
)
def test_bad_samples(name: str, value: float, words: str) -> None:
    (sample,) = simulated().samples
    with pytest.raises(DataError, match=words):
        with_column(name, value)(sample)


def test_times_and_windows_that_do_not_go_together() -> None:
    data = simulated()
    (sample,) = data.samples
    assert sample.mjd is not None
    days = dataclasses.replace(data, samples=(dataclasses.replace(sample, mjd=sample.mjd // 1),))
    with pytest.raises(
        DataError, match=r"whole days, expected a window of whole days, not 55700.3"
    ):
        dataclasses.replace(days, window=TimeWindow(55700.3, 55700.6))
    with pytest.raises(DataError, match=r"a Gaussian window of 0.1 days is too narrow"):
        dataclasses.replace(days, window=TimeWindow(55700.4, 55700.6, gaussian=True))
    assert not dataclasses.replace(days, window=TimeWindow(55700.0, 55750.0)).notes
    wide = TimeWindow(55700.0, 55750.0, gaussian=True)
    (note,) = dataclasses.replace(days, window=wide).notes
    assert "taken for the days' beginnings" in note
    assert not dataclasses.replace(data, window=wide).notes
    for window in (TimeWindow(54000.0, 54100.0), TimeWindow(54000.0, 54001.0, gaussian=True)):
        assert dataclasses.replace(data, window=window).notes == (
            "simulated: no event is in the time window",
        )


def test_the_same_events_in_two_samples() -> None:
    data = simulated()
    (sample,) = data.samples
    again = dataclasses.replace(sample, name="again", livetime=9.0)
    with pytest.raises(DataError, match="samples simulated and again have the same events"):
        dataclasses.replace(data, samples=(sample, again))


def test_a_flux_makes_its_events() -> None:
    """By area and livetime, as ns makes a flux."""
    place = {"gamma": 2.0, "ra": 100.0, "dec": 20.0}
    data, truth = pyxstan.simulate("point_source", {"ns": 35.0, **place}, seed=3, events=500)
    made, by_flux = pyxstan.simulate(
        "point_source", {"flux": truth["flux"], **place}, seed=3, events=500
    )
    assert by_flux["ns"] == pytest.approx(35.0, rel=1e-12)
    assert by_flux["ns"] == pytest.approx(float(events(data, truth["flux"], 2.0, np.radians(20.0))))
    np.testing.assert_array_equal(made.samples[0].ra, data.samples[0].ra)
    # both, where they agree
    again, _ = pyxstan.simulate("point_source", truth, seed=3, events=500)
    np.testing.assert_array_equal(again.samples[0].ra, data.samples[0].ra)
    in_gev = float(flux(data, 35.0, 2.0, np.radians(20.0), unit="GeV / (cm2 s)"))
    other, _ = pyxstan.simulate(
        "point_source", {"flux": in_gev, **place}, seed=3, events=500, unit="GeV / (cm2 s)"
    )
    np.testing.assert_array_equal(other.samples[0].ra, data.samples[0].ra)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"flux": 1e-11, "ns": 20.0}, "flux is 1e-11, which makes .* events there, but ns is 20"),
        ({"flux": -1e-11}, "ns is -"),
        ({"flux": 1.0}, "expected 0 to 300 events"),
        ({"flux": "bright"}, "flux is bright, expected a number"),
        ({"dec": 100.0}, "dec is 100, expected -90 to 90"),
        ({"dec": -91.0}, "dec is -91"),
        ({"ra": 400.0}, "ra is 400, expected -180 to 360"),
        ({"gamma": 11.0}, "gamma is 11, expected 0 to 10"),
        ({"gamma": np.nan}, "gamma is nan, expected a number"),
        ({"colour": 1.0}, "has no parameter 'colour'"),
    ],
)
def test_bad_simulations(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        pyxstan.simulate("point_source", parameters, seed=1, events=300)


def test_all_is_written_and_read_again(tmp_path: Path) -> None:
    data = dataclasses.replace(simulated(), prior_map=None)
    (sample,) = data.samples
    up = np.array([[55690.0, 55800.25], [55800.5, 56100.0]])
    sample = dataclasses.replace(sample, uptime=up, sigma=0.5 * sample.sigma)
    data = dataclasses.replace(
        data,
        samples=(sample,),
        window=TimeWindow(55700.1, 55799.3, gaussian=True),
        catalogue=Catalogue(np.array([1.0, 2.0]), np.array([0.1, -0.4]), [1, 3], ["a, b", "c"]),
    )
    write(data, {}, tmp_path)
    read = PointSourceData.read(tmp_path / "samples.yaml")
    np.testing.assert_array_equal(read.samples[0].uptime, up)
    np.testing.assert_allclose(read.samples[0].sigma, sample.sigma, rtol=1e-8)
    assert read.window is not None
    assert data.window is not None
    assert read.window.start == pytest.approx(data.window.start, abs=1e-9)
    assert read.window.gaussian
    assert read.catalogue is not None
    assert data.catalogue is not None
    assert read.catalogue.names == ("a, b", "c")
    np.testing.assert_allclose(read.catalogue.dec, data.catalogue.dec)
    np.testing.assert_allclose(read.catalogue.weight, data.catalogue.weight)
    edges = np.array([2.0, 8.0])
    smearing = Smearing(edges, np.array([-1.0, 1.0]), np.array([[0, 0]]), edges[None], np.ones(1))
    smeared = dataclasses.replace(data, samples=(dataclasses.replace(sample, smearing=smearing),))
    with pytest.raises(DataError, match="simulated: smearing matrices aren't written"):
        write(smeared, {}, tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("options", "priors", "words"),
    [
        ({"nside": 60}, {}, "nside 60: expected a power of two"),
        ({"max_dec": 0}, {}, "option max_dec: 0 is not an angle"),
        ({"unit": "kg"}, {}, "unit 'kg' is none of a flux"),
        ({"pivot": -1.0}, {}, "pivot -1 GeV"),
        ({"trials": -1}, {}, "option trials: -1"),
        ({"floor": 0.0}, {}, "floor is 0, expected above 0"),
        ({"smoothing_energy_declination": np.nan}, {}, "energy_declination is nan"),
        ({}, {"gamma": "uniform(1, 4.1)"}, "a multiple of 0.25 apart"),
        ({}, {"ns": "uniform(5, 50)"}, "expected a lower end of 0"),
        ({"inits": {"flux": 1.0}, "exact": False}, {}, "no starting value for 'flux'"),
    ],
)
def test_bad_fits(
    folder: Path, options: dict[str, float], priors: dict[str, str], words: str
) -> None:
    data = PointSourceData.read(folder / "samples.yaml")
    chosen = {"trials": 0, "progress": False, "nside": 16, **options}
    with pytest.raises(DataError, match=words):
        pyxstan.fit("point_source", data, seed=1, priors=priors, **chosen)


def test_no_source_is_said(folder: Path) -> None:
    data, _ = pyxstan.simulate("point_source", {"ns": 0.0}, seed=5, events=3000, prior_radius=3.0)
    idata = pyxstan.fit("point_source", data, seed=1, nside=16, trials=20, progress=False)
    found = attributes(idata)
    empty = trials(data, 20, nside=16, seed=_NULL_SEED)["ts_with_prior"]
    better = int((empty >= found["ts_with_prior"]).sum())
    assert better >= 2
    assert found["p_value"] == pytest.approx((1 + better) / 21)
    assert f"no source was found: of 20 skies without one {better} look" in found["notes"]
    assert found["ns_upper_limit_95"] < 30
    assert set(pyxstan.plot(idata)) == {"position", "sky", "distance", "corner"}


@pytest.mark.slow
def test_nuts_and_direct_draws_agree() -> None:
    """Of a source whose position is free."""
    data, _ = pyxstan.simulate("point_source", {"ns": 25.0}, seed=7, events=1500, prior_radius=1.0)
    options: dict[str, Any] = {"seed": 1, "trials": 0, "nside": 32, "progress": False}
    direct = pyxstan.fit("point_source", data, draws=10_000, **options)
    nuts = pyxstan.fit("point_source", data, exact=False, draws=3000, warmup=300, **options)
    assert attributes(direct)["method"] == "quadrature"
    assert attributes(nuts)["method"] == "nuts"
    for name in ("ns", "gamma"):
        one, other = (group(fit, "posterior")[name] for fit in (direct, nuts))
        assert float(other.mean()) == pytest.approx(float(one.mean()), abs=0.05 * float(one.std()))
        assert float(other.std()) == pytest.approx(float(one.std()), rel=0.03)


def test_two_seasons_are_fitted_together(folder: Path) -> None:
    """The same events as one sample, and in two of half the livetime."""
    data, _ = pyxstan.simulate("point_source", seed=5, events=4000, prior_radius=3.0)
    (sample,) = data.samples
    rng = np.random.default_rng(1)
    first = rng.random(len(sample)) < 0.5

    def half(which: np.ndarray, label: str) -> object:
        columns = {
            c: getattr(sample, c)[which] for c in ("ra", "dec", "sigma", "log10_energy", "mjd")
        }
        return dataclasses.replace(sample, **columns, livetime=sample.livetime / 2, name=label)

    both = dataclasses.replace(data, samples=(half(first, "a"), half(~first, "b")))
    fits = [
        pyxstan.fit("point_source", d, seed=1, nside=32, trials=0, progress=False)
        for d in (data, both)
    ]
    one, two = (f.posterior for f in fits)
    for name in ("ns", "gamma", "ra", "dec"):
        assert float(two[name].mean()) == pytest.approx(
            float(one[name].mean()), abs=0.7 * float(one[name].std())
        )
        assert float(two[name].std()) == pytest.approx(float(one[name].std()), rel=0.35)
