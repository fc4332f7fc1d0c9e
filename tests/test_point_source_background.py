"""What a source is compared with: the background, windows in time, what seasons see of the sky."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from references import point_source as brute

import pyxstan
from pyxstan.errors import DataError
from pyxstan.point_source import (
    EffectiveArea,
    Injection,
    NullDistribution,
    PointSourceData,
    PriorMap,
    Smearing,
    Smoothing,
    TimeWindow,
    flux,
    trials,
)
from pyxstan.point_source.background import Background
from pyxstan.point_source.data import EventSample
from pyxstan.point_source.fluxes import acceptance
from pyxstan.point_source.positions import positions
from pyxstan.point_source.region import Region
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.sky import Pixels, separation
from pyxstan.point_source.tables import energy_edges, tables
from pyxstan.priors import parse

FLAT = {"ns": parse("uniform(0, 200)"), "gamma": parse("uniform(1, 4)")}


@pytest.fixture(scope="module")
def data() -> PointSourceData:
    """Without a source and a prior map."""
    found, _ = pyxstan.simulate("point_source", {"ns": 0.0}, seed=3, events=5000)
    return dataclasses.replace(found, prior_map=None)


@pytest.fixture(scope="module")
def sample(data: PointSourceData) -> EventSample:
    return data.samples[0]


def test_density_is_that_of_the_other_sectors(sample: EventSample) -> None:
    """Against a sum over events, reflected at the poles, with one event all over the sky."""
    smoothing = Smoothing(declination=0.05, floor=3.0)
    found = Background.of(sample, energy_edges(sample), smoothing)
    sin_dec = np.array([-0.999, -0.6, 0.0, 0.3, 0.97, 0.999])
    ra = np.radians([3.0, 100.0, 359.0, 31.0, 200.0, 10.0])
    own = (np.degrees(sample.ra) // 30).astype(int)
    x = np.sin(sample.dec)
    for place, at, seen in zip(sin_dec, ra, found.at(ra, sin_dec), strict=True):
        away = (own - int(np.degrees(at) // 30)) % 12
        others = x[(away != 0) & (away != 1) & (away != 11)]
        about = np.concatenate([others, 2 - others, -2 - others])
        kernel = np.exp(-0.5 * ((place - about) / 0.05) ** 2) / (0.05 * np.sqrt(2 * np.pi))
        wanted = (kernel.sum() + 3.0 / 2.0) / (len(others) + 3.0) / (2 * np.pi)
        assert seen == pytest.approx(wanted, rel=0.02)


def test_a_lonely_event_is_no_source(sample: EventSample) -> None:
    """Far from all others it is compared with one event all over the sky, not with none."""
    near = np.flatnonzero(np.abs(np.sin(sample.dec)) < 0.2)[:60]
    columns = {
        name: np.append(getattr(sample, name)[near], value)
        for name, value in (("ra", 2.0), ("dec", -0.9), ("sigma", 0.02), ("log10_energy", 3.0))
    }
    lonely = dataclasses.replace(sample, mjd=None, **columns)
    found = Sky(tables(PointSourceData((lonely,)))).maxima(np.array([2.0]), np.array([-0.9]))
    # S / B: 1 / (2 pi sigma^2) over one of some 50 events' density, times that of energies
    most = 2 * np.log(50 / (2 * np.pi * 0.02**2) * 4 * np.pi * 10)
    assert 0 < found.ts[0] < most


def test_signal_over_background_is_one_on_average(data: PointSourceData) -> None:
    """In place, over right ascensions: both are densities on the sphere."""
    made = tables(data)
    (each,) = made.samples
    sample = each.sample
    energy = each.background.energy(sample.ra, np.sin(sample.dec), each.energy_bin)
    mean = [
        (brute.ratios(made, ra, dec, 2.0) / brute.signal_energies(sample, dec, 2.0) * energy).mean()
        for dec in np.arcsin(np.linspace(-0.9, 0.9, 15))
        for ra in np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ]
    assert np.mean(mean) == pytest.approx(1.0, abs=0.05)


def test_energies_of_the_background(sample: EventSample) -> None:
    """Those of the events around, where there are many; all of them, everywhere."""
    edges = energy_edges(sample)
    found = Background.of(sample, edges, Smoothing())
    np.testing.assert_allclose(found.energies.sum(axis=2), 1.0)
    assert found.energies.min() > 0
    place = np.full(len(edges) - 1, 0.2)
    p = found.energy(np.full(len(place), 1.0), place, np.arange(len(place)))
    away = (np.degrees(sample.ra) // 30).astype(int) - 1
    near = (np.abs(np.sin(sample.dec) - 0.2) < 0.06) & ~np.isin(away % 12, (0, 1, 11))
    counts = np.histogram(sample.log10_energy[near], edges)[0]
    many = counts > 20
    assert many.sum() > 3
    np.testing.assert_allclose(p[many], counts[many] / counts.sum(), rtol=0.35)


def two_seasons(sample: EventSample) -> PointSourceData:
    """One of a hundred days, one that follows; each with half of the events."""
    first = np.arange(len(sample)) % 2 == 0
    seasons = []
    rng = np.random.default_rng(1)
    for name, which, start in (("a", first, 100.0), ("b", ~first, 200.0)):
        columns = {c: getattr(sample, c)[which] for c in ("ra", "dec", "sigma", "log10_energy")}
        mjd = rng.uniform(start, start + 100, which.sum())
        seasons.append(
            dataclasses.replace(
                sample,
                **columns,
                mjd=mjd,
                uptime=np.array([[start, start + 100.0]]),
                livetime=90 * 86_400.0,
                name=name,
            )
        )
    return PointSourceData(tuple(seasons))


def test_window_shares_out_the_signal(sample: EventSample) -> None:
    """As each season is up in it; and the flux is that while the window is open."""
    seasons = two_seasons(sample)
    window = dataclasses.replace(seasons, window=TimeWindow(190.0, 230.0))
    shares = np.exp([each.log_share[..., 0] for each in tables(window).samples])
    np.testing.assert_allclose(shares[0], 0.25)
    np.testing.assert_allclose(shares[1], 0.75)
    always = acceptance(seasons, 0.2, 2.2)
    assert acceptance(window, 0.2, 2.2) == pytest.approx(always * 40 / 200)
    assert flux(window, 10, 2.2, 0.2) == pytest.approx(5 * flux(seasons, 10, 2.2, 0.2))
    peak = dataclasses.replace(seasons, window=TimeWindow(145.0, 155.0, gaussian=True))
    ratio = acceptance(peak, 0.2, 2.2) / always
    assert ratio == pytest.approx(5 * np.sqrt(2 * np.pi) / 200, rel=1e-6)
    one = dataclasses.replace(seasons, window=TimeWindow(210.0, 211.0))
    shares = np.exp([each.log_share[..., 0] for each in tables(one).samples])
    assert shares[0].max() < 1e-100
    np.testing.assert_allclose(shares[1], 1.0)
    with pytest.raises(DataError, match="time window 1 to 2: a, b never up in it"):
        tables(dataclasses.replace(seasons, window=TimeWindow(1.0, 2.0)))


def test_likelihood_in_a_window(sample: EventSample) -> None:
    """Event by event: none outside of it, the more inside the shorter it is."""
    seasons = two_seasons(sample)
    window = dataclasses.replace(seasons, window=TimeWindow(190.0, 230.0))
    ra, dec = 1.0, 0.2
    ns, gamma = 12.0, 2.5
    wanted = 0.0
    for each, share, length in zip(seasons.samples, (0.25, 0.75), (10.0, 30.0), strict=True):
        r = brute.ratios(tables(PointSourceData((each,))), ra, dec, gamma)
        inside = (each.mjd >= 190) & (each.mjd < 230)
        r = np.where(inside, r * 100 / length, 0.0)
        wanted += np.log1p(ns * share / len(r) * (r - 1)).sum()
    sky = Sky(tables(window), cut=np.inf)
    found = sky.log_likelihood(np.array([ra]), np.array([dec]), np.array([ns]), np.array([gamma]))
    assert found[0, 0] == pytest.approx(wanted, abs=1e-6)


def test_season_of_one_hemisphere_sees_no_other(sample: EventSample) -> None:
    """Of a source in the south a northern season has no part."""
    area = sample.area
    north = area.sin_dec >= -1e-9
    half = dataclasses.replace(
        area, sin_dec=area.sin_dec[north], area=area.area[-(north.sum() - 1) :]
    )
    northern = dataclasses.replace(sample, area=half, name="north")
    mirrored = dataclasses.replace(sample, ra=(sample.ra + 1.0) % (2 * np.pi), name="all")
    both = PointSourceData((northern, mirrored))
    made = tables(both)
    cells = np.searchsorted(made.sin_dec[1:-1], [-0.5, 0.5], side="right")
    shares = np.exp(made.samples[0].log_share[cells, :, 0])
    assert shares[0].max() < 1e-100
    np.testing.assert_allclose(shares[1], 0.5)
    south = -np.arcsin(0.5)
    assert flux(both, 1, 2, south) == pytest.approx(flux(PointSourceData((mirrored,)), 1, 2, south))
    alone = PointSourceData((northern,))
    with pytest.raises(DataError, match="no event is accepted at that declination"):
        flux(alone, 1, 2, south)
    region = Region.grid(16, alone, np.radians(85))
    assert region.dec.min() > -0.01
    assert np.exp(region.log_prior).sum() == pytest.approx(0.5, abs=0.03)
    with pytest.raises(DataError, match="can't be put at declination -30 deg"):
        trials(alone, 1, nside=8, injection=Injection(3, ra=1.0, dec=-30.0))
    with pytest.raises(DataError, match="2 rad: expected -pi/2 to pi/2"):
        flux(both, 1, 2, 2.0)


def test_smeared_energies_by_their_definition(sample: EventSample) -> None:
    """Two true energies, each spread over two bins; the rest as the area alone would have it."""
    area = EffectiveArea(np.array([3.0, 4.0, 5.0]), np.array([-1.0, 1.0]), np.array([[1.0, 2.0]]))
    smearing = Smearing(
        np.array([3.0, 4.0, 5.0]),
        np.array([-1.0, 1.0]),
        np.array([[0, 0], [0, 0], [0, 1]]),
        np.array([[2.95, 3.05], [3.05, 3.15], [3.05, 3.15]]),
        np.array([0.25, 0.75, 1.0]),
    )
    edges = np.array([2.85, 2.95, 3.05, 3.15, 3.25])
    low, high = 1e-3 - 1e-4, 2 * (1e-4 - 1e-5)  # of E^-2 by area
    wanted = np.array([0.0, 0.25 * low, 0.75 * low + high, 0.0]) / (low + high)
    found = area.energies(edges, np.array([2.0]), smearing)[0, :, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_smearing_that_lacks_energies_is_said(sample: EventSample) -> None:
    matrix = Smearing(
        np.array([2.0, 4.0]), np.array([-1.0, 1.0]), np.array([[0, 0]]), np.array([[2.5, 4.0]]),
        np.ones(1),
    )  # fmt: skip
    data = PointSourceData((dataclasses.replace(sample, smearing=matrix),))
    some = dataclasses.replace(data, prior_map=PriorMap.gaussian(100.0, -30.0, 1.0))
    idata = pyxstan.fit("point_source", some, seed=1, nside=32, trials=0, draws=100, progress=False)
    notes = pyxstan.inference_data.attributes(idata)["notes"]
    assert "the smearing matrix has nothing for" in notes
    assert "taken for true" not in notes


@pytest.mark.parametrize("prior", ["lognormal(2, 1)", "gamma(1, 0.1)", "half_normal(10)"])
def test_every_prior_of_ns(data: PointSourceData, prior: str) -> None:
    """Without a source the posterior is about the prior, which has no density at zero, or some."""
    disc = PriorMap.gaussian(100.0, -30.0, 1.0)
    some = dataclasses.replace(data, prior_map=disc)
    idata = pyxstan.fit(
        "point_source", some, seed=1, nside=16, trials=0, priors={"ns": prior}, progress=False
    )
    ns = idata.posterior["ns"]
    sky = Sky(tables(data))
    at = idata.constant_data
    root = np.linspace(0, 7.7, 201)[1:] - 7.7 / 400
    grid = root**2
    gammas = np.linspace(1.02, 3.98, 40)
    points = [x.ravel() for x in np.meshgrid(gammas, grid, indexing="ij")]
    ra, dec = (np.radians(at[name].to_numpy()) for name in ("map_ra", "map_dec"))
    log_l = sky.log_likelihood(ra, dec, points[1], points[0])
    p = np.exp(log_l) * at["map_prior"].to_numpy()[:, None]
    p = p.sum(axis=0).reshape(len(gammas), -1).sum(axis=0) * root
    p *= np.exp(parse(prior).log_density(grid))
    p /= p.sum()
    assert float(ns.mean()) == pytest.approx((p * grid).sum(), rel=0.05)


def test_prior_beyond_what_is_seen_is_said(data: PointSourceData) -> None:
    pole = PriorMap.gaussian(10.0, 88.0, 3.0, nside=128)
    some = dataclasses.replace(data, prior_map=pole)
    idata = pyxstan.fit("point_source", some, seed=1, nside=64, trials=0, draws=100, progress=False)
    notes = pyxstan.inference_data.attributes(idata)["notes"]
    assert "of the prior of the position lie beyond 85 deg" in notes
    disc = PriorMap.from_function(lambda lon, lat: (lat > 1.3).astype(float), 32)
    with pytest.raises(DataError, match="nothing of the prior map is both within 5 deg"):
        Region.grid(16, dataclasses.replace(data, prior_map=disc), np.radians(5))


def test_galaxies_of_a_sharp_map_are_looked_at_where_they_are(data: PointSourceData) -> None:
    """Of two small pixels in one large one, far apart, the posterior is in these alone."""
    numbers = Pixels.containing(np.array([1.0, 1.012]), np.array([0.2, 0.192]), 1024)
    order = np.full(2, 10)
    sharp = PriorMap(Pixels(order, numbers), np.array([0.7, 0.3]))
    some = dataclasses.replace(data, prior_map=sharp)
    idata = pyxstan.fit("point_source", some, seed=1, nside=16, trials=0, progress=False)
    ra, dec = (np.radians(idata.posterior[name].to_numpy().ravel()) for name in ("ra", "dec"))
    drawn = Pixels.containing(ra % (2 * np.pi), dec, 1024)
    assert set(drawn) == set(numbers)
    assert (drawn == numbers[0]).mean() == pytest.approx(0.7, abs=0.1)
    lone = dataclasses.replace(data, prior_map=PriorMap(Pixels(order[:1], numbers[:1]), np.ones(1)))
    region = Region.grid(64, lone, np.radians(85))
    middle = Pixels(order[:1], numbers[:1]).positions()
    assert float(separation(region.ra, region.dec, *middle)[0]) < 1e-9


def test_sharp_events_off_the_pixels_middles_are_found(data: PointSourceData) -> None:
    """A source at a pixel's corner, of small errors, beside a lesser one in a pixel's middle."""
    (sample,) = data.samples
    pixels = Pixels.grid(32)
    number = Pixels.containing(np.array([1.0]), np.array([0.3]), 32)
    other = Pixels.containing(np.array([4.0]), np.array([0.3]), 32)
    corner = [float(x[0]) for x in pixels.kept(number).positions(0.0, 0.0)]
    middle = [float(x[0]) for x in pixels.kept(other).positions()]
    rng = np.random.default_rng(2)
    sigma = np.radians(0.2)
    columns = {name: [getattr(sample, name)] for name in ("ra", "dec", "sigma", "log10_energy")}
    for (ra, dec), count in ((corner, 25), (middle, 12)):
        x, y = sigma * rng.standard_normal((2, count))
        for name, values in (
            ("ra", ra + x / np.cos(dec)), ("dec", dec + y), ("sigma", np.full(count, sigma)),
            ("log10_energy", np.full(count, 3.6)),
        ):  # fmt: skip
            columns[name].append(values)
    joined = {name: np.concatenate(parts) for name, parts in columns.items()}
    made = PointSourceData((dataclasses.replace(sample, mjd=None, **joined),))
    sky = Sky(tables(made))
    region = Region.grid(32, made, np.radians(85))
    maxima = sky.maxima(region.ra, region.dec)
    hottest = region.hottest(maxima)
    assert separation(hottest.ra, hottest.dec, *middle) < 0.01  # the scan alone is mistaken
    found = positions(sky, region, maxima, made, FLAT, 200.0, np.radians(85))
    best = int(found.weight.argmax())
    assert separation(found.region.ra[best], found.region.dec[best], *corner) < np.radians(0.2)
    near = separation(found.region.ra, found.region.dec, *corner) < np.radians(0.5)
    assert found.weight[near].sum() > 0.999


def test_too_few_trials_for_a_chi2() -> None:
    few = NullDistribution.of(np.append(np.zeros(50), [1.0, 2.0, 3.0]))
    assert few.minus_log10_p(np.array([0.0, 2.5])) == pytest.approx([0.0, -np.log10(2 / 54)])
    assert few.quantile(0.5) == 0
    with pytest.raises(DataError, match=r"3 of 53 skies .* at least 20 are needed"):
        few.quantile(0.999)
