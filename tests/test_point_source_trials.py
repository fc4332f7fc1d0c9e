"""Made-up sources, trials and what follows from them, on a small simulated sky."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import pyxstan
from pyxstan.errors import DataError
from pyxstan.point_source import (
    Catalogue,
    Injection,
    NullDistribution,
    PointSourceData,
    PriorMap,
    Smearing,
    TimeWindow,
    potential,
    scan,
    trial_sky,
    trials,
)
from pyxstan.point_source.detection import _mean
from pyxstan.point_source.injection import scrambled, source_events, with_source
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.sky import separation
from pyxstan.point_source.stacked_sky import StackedSky
from pyxstan.point_source.tables import tables


@pytest.fixture(scope="module")
def data() -> PointSourceData:
    return pyxstan.simulate("point_source", {"ns": 0.0}, seed=3, events=4000, prior_radius=3.0)[0]


def test_a_sources_events_lie_as_von_mises_and_fisher_say(data: PointSourceData) -> None:
    """Distances in their errors, directions and energies, at the pole too."""
    sample = dataclasses.replace(data.samples[0], sigma=np.full(4000, np.radians(20.0)))
    rng = np.random.default_rng(1)
    kappa = np.radians(20.0) ** -2
    for dec in (0.3, -1.55, 0.0):
        made = source_events(sample, 5000, 2.0, (1.0, dec), None, rng)
        cosine = np.cos(separation(made["ra"], made["dec"], 1.0, dec))
        # of the distribution function of the cosine
        uniform = np.expm1(kappa * (cosine + 1)) / np.expm1(2 * kappa)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3
        towards = np.array([np.cos(made["dec"]) * np.cos(made["ra"] - 1.0), np.sin(made["dec"])])
        north = towards[1] * np.cos(dec) - towards[0] * np.sin(dec)
        assert abs(north.mean()) < 4 * north.std() / np.sqrt(5000)
    area = sample.area
    low, high = area.log10_energy[:-1], area.log10_energy[1:]
    weight = area.area[area.cell(np.sin(0.3))] * (10**-low - 10**-high)
    made = source_events(sample, 20_000, 2.0, (1.0, 0.3), None, rng)["log10_energy"]
    below = np.array([(made < edge).mean() for edge in high[5:25]])
    # bins of a tenth straddle the edges of the area's cells
    assert np.abs(below - (weight.cumsum() / weight.sum())[5:25]).max() < 0.02


def test_errors_are_those_of_like_events(data: PointSourceData) -> None:
    sample = data.samples[0]
    energy = sample.log10_energy
    marked = dataclasses.replace(sample, sigma=np.where(energy > 3.5, 0.01, 0.02))
    made = source_events(marked, 500, 2.5, (1.0, 0.2), None, np.random.default_rng(1))
    high = made["log10_energy"] > 4.0
    low = made["log10_energy"] < 3.2
    assert (made["sigma"][high] == 0.01).all()
    assert (made["sigma"][low] == 0.02).mean() > 0.9


def test_times_are_within_window_and_uptimes(data: PointSourceData) -> None:
    uptimes = np.array([[0.0, 10.0], [20.0, 21.0]])
    rng = np.random.default_rng(1)
    for window in (TimeWindow(8.0, 21.0), TimeWindow(9.0, 12.0, gaussian=True)):
        t = window.draw(4000, uptimes, rng)
        assert (((t >= 0) & (t <= 10)) | ((t >= 20) & (t <= 21))).all()
        edges = np.array([8.5, 9.5, 20.5])
        grid = np.linspace(0, 21, 200_001)
        p = window.density(grid, uptimes)
        p *= (grid <= 10) | (grid >= 20)
        expected = [(p * (grid < edge)).sum() / p.sum() for edge in edges]
        assert [(t < edge).mean() for edge in edges] == pytest.approx(expected, abs=0.03)


def test_scrambling_leaves_declinations_and_adds_as_many_as_asked_for(
    data: PointSourceData,
) -> None:
    rng = np.random.default_rng(1)
    ra = scrambled(data, rng)
    made = with_source(data, ra, [7], 2.0, (1.0, 0.2), rng).samples[0]
    assert len(made) == len(data.samples[0]) + 7
    np.testing.assert_array_equal(made.dec[:-7], data.samples[0].dec)
    np.testing.assert_array_equal(made.ra[:-7], ra[0])
    assert stats.kstest(ra[0] / (2 * np.pi), "uniform").pvalue > 1e-3


def test_trials_are_the_same_and_go_on(data: PointSourceData, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    whole = trials(data, 6, nside=16, seed=4, output=path, workers=2)
    again = trials(data, 6, nside=16, seed=4, workers=1)
    pd.testing.assert_frame_equal(whole, again, rtol=1e-8)
    lines = path.read_text().splitlines(keepends=True)
    # two are done, the third was cut short
    path.write_text("".join(lines[:4]) + lines[4][:9])
    assert len(trials(data, 4, nside=16, seed=4, output=path)) == 4
    went_on = trials(data, 6, nside=16, seed=4, output=path)
    pd.testing.assert_frame_equal(went_on, whole, rtol=1e-8)
    assert path.read_text().count("\n") == 8
    for changes in ({"seed": 5}, {"injection": Injection(3.0)}, {"nside": 8}):
        with pytest.raises(DataError, match="holds trials of other data or settings"):
            trials(data, 6, output=path, **{"nside": 16, "seed": 4, **changes})
    with pytest.raises(DataError, match="not a whole number"):
        trials(data, 0)


def test_trials_of_other_data_do_not_go_on(data: PointSourceData, tmp_path: Path) -> None:
    """Everything that changes a trial is known by the file."""
    path = tmp_path / "trials.csv"
    window = TimeWindow(55700.0, 56000.0)
    data = dataclasses.replace(data, window=window)
    trials(data, 1, nside=4, output=path)
    first = path.read_text()
    (sample,) = data.samples
    area, prior = sample.area, data.prior_map
    assert sample.mjd is not None
    assert prior is not None
    edges = np.array([2.0, 8.0])
    smearing = Smearing(edges, edges - 5.0, np.array([[0, 0]]), edges[None], np.ones(1))
    others = {
        "mjd": {"mjd": sample.mjd + 0.5},
        "uptime": {"uptime": np.array([[55600.0, 56200.0]])},
        "livetime": {"livetime": 2.0 * sample.livetime},
        "smearing": {"smearing": smearing},
        "area": {"area": dataclasses.replace(area, log10_energy=area.log10_energy + 0.1)},
        "declinations": {"area": dataclasses.replace(area, sin_dec=0.9 * area.sin_dec)},
        "sigma": {"sigma": 1.01 * sample.sigma},
    }
    changed = {
        name: dataclasses.replace(data, samples=(dataclasses.replace(sample, **new),))
        for name, new in others.items()
    }
    changed["window"] = dataclasses.replace(data, window=TimeWindow(55700.0, 56001.0))
    changed["no window"] = dataclasses.replace(data, window=None)
    # moved within the pixels that are scanned
    moved = PriorMap.from_array(prior.probability.reshape(-1, 4)[:, ::-1].ravel(), nested=True)
    changed["prior map"] = dataclasses.replace(data, prior_map=moved)
    for name, other in changed.items():
        with pytest.raises(DataError, match="holds trials of other data or settings"):
            trials(other, 1, nside=4, output=path)
        assert path.read_text() == first, name
    # what is only said doesn't count
    renamed = dataclasses.replace(sample, name="other", notes=("something",))
    trials(dataclasses.replace(data, samples=(renamed,)), 1, nside=4, output=path)
    assert path.read_text() == first


def test_files_of_trials_that_are_cut_short_or_none(data: PointSourceData, tmp_path: Path) -> None:
    path = tmp_path / "trials.csv"
    whole = trials(data, 2, nside=4, output=path)
    text = path.read_text()
    second = text.index("\n") + 1
    for cut in (0, 5, second - 1, second, second + 7, text.index("\n", second), len(text) - 3):
        path.write_text(text[:cut])
        pd.testing.assert_frame_equal(trials(data, 2, nside=4, output=path), whole)
        assert path.read_text() == text
    for content, words in (
        (b"\xff\xfe\x00", "a binary file, expected trials"),
        (b"a letter\n", "holds trials of other data"),
        (text.encode() + b"3,4\n", "line 5: no trial, expected 10 numbers"),
        (text.encode() + b"a,b,c,d,e,f,g,h,i,j\n", "line 5: no trial"),
    ):
        path.write_bytes(content)
        with pytest.raises(DataError, match=words):
            trials(data, 3, nside=4, output=path)
        assert path.read_bytes() == content
    with pytest.raises(DataError, match="a directory"):
        trials(data, 1, nside=4, output=tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        trials(data, 1, nside=4, output=tmp_path / "none" / "trials.csv")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ns": np.nan}, "nan, expected a number from 0 up"),
        ({"ns": 3, "gamma": np.nan}, "gamma is nan, expected 0 to 10"),
        ({"ns": 3, "gamma": -1.0}, "gamma is -1"),
        ({"ns": 3, "gamma": np.inf}, "gamma is inf"),
        ({"ns": 3, "ra": 10.0, "dec": 100.0}, "dec is 100 deg, expected -90 to 90"),
        ({"ns": 3, "ra": 10.0, "dec": np.nan}, "dec is nan deg"),
        ({"ns": 3, "ra": 1000.0, "dec": 0.0}, "ra is 1000 deg, expected 0 to 360"),
        ({"ns": 3, "dec": 1.0}, "both ra and dec"),
    ],
)
def test_bad_injections(settings: dict[str, float], words: str) -> None:
    with pytest.raises(DataError, match=words):
        Injection(**settings)


def test_bad_trials_and_potentials(data: PointSourceData) -> None:
    for settings, words in (
        ({"max_dec": 0.0}, "max_dec: 0 is not an angle"),
        ({"max_dec": np.nan}, "max_dec: nan"),
        ({"seed": -1}, "seed: -1"),
        ({"nside": 3}, "nside 3"),
        ({"gamma": (1.0, 2.1)}, "a multiple of 0.25 apart"),
    ):
        with pytest.raises(DataError, match=words):
            trials(data, 1, **{"nside": 4, **settings})
    for dec, settings, words in (
        (95.0, {}, "dec is 95 deg"),
        (10.0, {"gamma": -3.0}, "gamma is -3"),
        (10.0, {"background": 0}, "background: 0 is not a whole number from 1 up"),
        (10.0, {"trials": 0}, "trials: 0 is not"),
        (10.0, {"seed": -2}, "seed: -2 is not a whole number from 0 up"),
        (10.0, {"unit": "kg"}, "unit 'kg' is none of a flux"),
    ):
        with pytest.raises(DataError, match=words):
            potential(data, dec, **settings)


#: At one declination, so that weights alone share events.
SOURCES = Catalogue(np.radians([40.0, 140.0, 260.0]), np.radians([20.0, 20.0, 20.0]), [6, 3, 1])


def test_trials_of_a_catalogue(data: PointSourceData, tmp_path: Path) -> None:
    stacked = dataclasses.replace(data, prior_map=None, catalogue=SOURCES)
    path = tmp_path / "trials.csv"
    empty = trials(stacked, 6, seed=2, output=path, workers=2)
    again = trials(stacked, 6, seed=2, workers=1)
    pd.testing.assert_frame_equal(empty, again, rtol=1e-8)
    assert empty["ra"].isna().all()
    assert (empty["ts"] == empty["ts_with_prior"]).all()
    # as of the same sky made here
    rng = np.random.default_rng([2, 3])
    sample = dataclasses.replace(data.samples[0], ra=scrambled(data, rng)[0])
    sky = Sky(tables(dataclasses.replace(stacked, samples=(sample,))))
    assert empty["ts"][3] == pytest.approx(float(StackedSky(sky, SOURCES).maximum().ts[0]))
    source = Injection(30, 2.0, poisson=False)
    found = trials(stacked, 6, injection=source, seed=2)
    assert (found["injected"] == 30).all()
    assert found["ts"].min() > empty["ts"].max()
    assert found["ns"].mean() == pytest.approx(30, abs=8)
    with pytest.raises(DataError, match="holds trials of other data"):
        trials(stacked, 6, injection=source, seed=2, output=path)
    with pytest.raises(DataError, match="leave out ra and dec"):
        trials(stacked, 1, injection=Injection(30, 2.0, 40.0, 20.0))
    with pytest.raises(DataError, match="a catalogue has no one position"):
        potential(stacked, 20.0)


def test_sources_share_events_by_weight_and_acceptance(data: PointSourceData) -> None:
    stacked = dataclasses.replace(data, prior_map=None, catalogue=SOURCES)
    source = Injection(2000, 2.0, poisson=False)
    sky, truth = trial_sky(stacked, source, seed=1)
    (sample,) = sky.samples
    assert len(sample) == len(data.samples[0]) + 2000
    assert truth == {"ns": 2000, "gamma": 2}
    away = separation(sample.ra[-2000:, None], sample.dec[-2000:, None], SOURCES.ra, SOURCES.dec)
    nearest = np.bincount(away.argmin(axis=1), minlength=3) / 2000
    assert nearest == pytest.approx([0.6, 0.3, 0.1], abs=4 * np.sqrt(0.25 / 2000))


def test_the_sky_of_a_trial_is_the_one_it_scanned(data: PointSourceData) -> None:
    found = trials(data, 3, nside=32, injection=Injection(15, 2.0), seed=4)
    for number, row in found.iterrows():
        sky, truth = trial_sky(data, Injection(15, 2.0), seed=4, number=int(str(number)))
        assert sky.events == data.events + row["injected"]
        assert truth == pytest.approx(
            {"ns": row["injected"], "gamma": 2, "ra": row["true_ra"], "dec": row["true_dec"]}
        )
        assert scan(sky, nside=32).hottest("prior").ts_with_prior == pytest.approx(
            row["ts_with_prior"]
        )
    empty, truth = trial_sky(data, seed=4)
    assert truth == {"ns": 0}
    assert empty.events == data.events
    assert not np.array_equal(empty.samples[0].ra, data.samples[0].ra)


def test_an_injected_source_is_found(data: PointSourceData) -> None:
    found = trials(data, 8, nside=32, injection=Injection(15, 2.0, poisson=False), seed=1)
    assert (found["injected"] == 15).all()
    away = separation(*np.radians(found[["ra", "dec", "true_ra", "true_dec"]].to_numpy().T))
    assert np.median(np.degrees(away)) < 1.5
    drawn = np.radians(found[["true_ra", "true_dec"]].to_numpy().T)
    assert np.median(separation(*drawn, *np.radians([120.0, 15.0]))) < np.radians(8)
    empty = trials(data, 8, nside=32, seed=1)
    assert found["ts"].min() > empty["ts"].max()
    with pytest.raises(DataError, match="both ra and dec"):
        Injection(3, ra=1.0)
    with pytest.raises(DataError, match="-1, expected a number from 0 up"):
        Injection(-1)
    bare = dataclasses.replace(data, prior_map=None)
    with pytest.raises(DataError, match="or a prior map to draw them from"):
        trials(bare, 1, nside=4, injection=Injection(3))


def test_null_distribution() -> None:
    rng = np.random.default_rng(1)
    ts = np.where(rng.random(20_000) < 0.4, 1.3 * rng.chisquare(1.7, 20_000), 0.0)
    found = NullDistribution.of(ts)
    assert found.positive == pytest.approx(0.4, abs=0.015)
    assert found.scale == pytest.approx(1.3, rel=0.05)
    assert found.dof == pytest.approx(1.7, rel=0.05)
    for p in (0.7, 0.9, 0.999):
        assert (ts <= found.quantile(p)).mean() == pytest.approx(p, abs=0.01)
        assert found.minus_log10_p(np.array([found.quantile(p)])) == pytest.approx(-np.log10(1 - p))
    assert found.quantile(0.5) == 0
    assert found.minus_log10_p(np.array([0.0])) == 0
    few = NullDistribution.of(np.array([0.0, 1.0, 2.0]))
    assert [few.p_value(ts) for ts in (0.0, 1.5, 5.0)] == [1.0, 0.5, 0.25]


def test_mean_events_by_which_a_threshold_is_passed() -> None:
    """Passed with three or more: 90% of Poisson distributions of mean 5.32 are."""
    passed = (np.arange(40) >= 3).astype(float)
    assert _mean(passed, 0.9) == pytest.approx(5.3223, abs=1e-3)
    assert _mean(np.ones(5), 0.9) == 0


def test_potential_grows_with_the_threshold(data: PointSourceData) -> None:
    found = potential(data, 15.0, background=200, trials=10)
    assert found.thresholds[0] <= found.thresholds[1] < found.thresholds[2]
    assert found.ns[1] < found.ns[2]
    assert found.ns[0] > 2.3  # of which one or more are seen in 90% of skies
    sample = data.samples[0]
    row = 1e4 * sample.area.area[np.searchsorted(sample.area.sin_dec, np.sin(np.radians(15))) - 1]
    ends = 10.0**sample.area.log10_energy
    per_flux = sample.livetime * (row * (1 / ends[:-1] - 1 / ends[1:])).sum()  # 1 / (GeV / (cm2 s))
    assert found.flux == pytest.approx(np.array(found.ns) / per_flux * 1e-3, rel=1e-9)
    assert 1 < found.ns[2] < 40
    assert str(found).count("\n") == 2


def test_probabilities_within_pixels_of_any_order() -> None:
    """Whole and part of a map's pixels, and several of them, ring and galactic maps."""
    from pyxstan.point_source.sky import Pixels

    rng = np.random.default_rng(1)
    values = rng.random(12 * 8**2)
    prior = PriorMap.from_array(values, nested=True)
    for nside in (1, 4, 8, 32):
        pixels = Pixels.grid(nside)
        p = prior.within(pixels)
        ratio = 64 // nside**2 if nside <= 8 else 1 / (nside // 8) ** 2
        if nside <= 8:
            expected = prior.probability.reshape(-1, int(ratio)).sum(axis=1)
        else:
            expected = np.repeat(prior.probability, (nside // 8) ** 2) * ratio
        np.testing.assert_allclose(p, expected, rtol=1e-12)
    part = PriorMap(Pixels(np.array([2, 4]), np.array([5, 2000])), np.array([0.25, 0.75]))
    found = part.within(Pixels.grid(2))
    assert found[[1, 31]] == pytest.approx([0.25, 0.75])
    assert np.flatnonzero(found).tolist() == [1, 31]
    smooth = PriorMap.from_function(lambda lon, lat: 1 + np.cos(lat) * np.cos(lon), 32, "galactic")
    pixels = Pixels.grid(32)
    expected = smooth.density(*pixels.positions()) * pixels.solid_angle
    assert smooth.within(pixels) == pytest.approx(expected, abs=0.03 / len(pixels))
    sharp = PriorMap(Pixels(np.array([14]), np.array([12345678])), np.ones(1), "galactic")
    with pytest.raises(DataError, match="can't be turned"):
        sharp.within(Pixels.grid(8))


def test_times_of_a_source_are_whole_days_where_those_of_the_data_are(
    data: PointSourceData,
) -> None:
    (sample,) = data.samples
    assert sample.mjd is not None
    days = dataclasses.replace(sample, mjd=np.floor(sample.mjd))
    first, last = days.uptimes[0]
    made = source_events(
        days, 500, 2.0, (1.0, 0.2), TimeWindow(first, last), np.random.default_rng(1)
    )
    assert (made["mjd"] == np.floor(made["mjd"])).all()
    assert made["mjd"].max() < last
    together = dataclasses.replace(days, mjd=np.append(days.mjd[500:], made["mjd"]))
    np.testing.assert_array_equal(together.uptimes, days.uptimes)
