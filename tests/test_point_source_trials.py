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
    Injection,
    NullDistribution,
    PointSourceData,
    PriorMap,
    TimeWindow,
    potential,
    trials,
)
from pyxstan.point_source.detection import _mean
from pyxstan.point_source.injection import scrambled, source_events, with_source
from pyxstan.point_source.sky import separation


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
    found = potential(data, 15.0, background=100, trials=10)
    assert found.thresholds[0] <= found.thresholds[1] < found.thresholds[2]
    assert found.ns[1] < found.ns[2]
    assert found.ns[0] > 2.3  # of which one or more are seen in 90% of skies
    assert found.flux[1] / found.flux[0] == pytest.approx(found.ns[1] / found.ns[0])
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
