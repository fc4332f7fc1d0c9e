"""What a fit of a point source is read from: YAML files, options, and mistakes in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyxstan
from pyxstan.errors import DataError
from pyxstan.point_source import PointSourceData, TimeWindow
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


GOOD = "{name: a, events: events.csv, effective_area: effective_area.csv, livetime: 9}"


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
    ],
)
def test_bad_files(folder: Path, tmp_path: Path, text: str, words: str) -> None:
    for name in ("events.csv", "effective_area.csv", "prior_map.fits"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    (tmp_path / "samples.yaml").write_text(text)
    with pytest.raises(DataError, match=words):
        PointSourceData.read(tmp_path / "samples.yaml")


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
    data, _ = pyxstan.simulate("point_source", {"ns": 0.0}, seed=4, events=3000, prior_radius=3.0)
    idata = pyxstan.fit("point_source", data, seed=1, nside=16, trials=40, progress=False)
    attributes = pyxstan.inference_data.attributes(idata)
    assert attributes["p_value"] > 0.02
    assert "no source was found: of 40 skies without one" in attributes["notes"]
    assert attributes["ns_upper_limit_95"] < 30


def test_two_seasons_are_fitted_together(folder: Path) -> None:
    """The same events as one sample, and in two of half the livetime."""
    import dataclasses

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
