"""The scan for a point source against brute force, on a public year of data and simulations."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from references import point_source as brute

from pyxstan.errors import DataError
from pyxstan.point_source.areas import EffectiveArea
from pyxstan.point_source.data import EventSample, PointSourceData
from pyxstan.point_source.fluxes import acceptance, events, flux
from pyxstan.point_source.positions import positions
from pyxstan.point_source.posterior import Target, direct
from pyxstan.point_source.region import Region
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.sky import Pixels, PriorMap, separation
from pyxstan.point_source.sky_scan import scan
from pyxstan.point_source.tables import tables
from pyxstan.priors import parse

YEAR = Path("../shared/data/icecube_ic86_2011")
pytestmark = pytest.mark.skipif(not YEAR.is_dir(), reason="the public release isn't there")
LIVETIME = 333 * 86_400.0
FLAT = {"ns": parse("uniform(0, 200)"), "gamma": parse("uniform(1, 4)")}


def area_of_the_year() -> EffectiveArea:
    table = np.loadtxt(YEAR / "TabulatedAeff.txt")
    energies = np.append(np.unique(table[:, 0]), table[:, 1].max())
    sines = np.unique(np.round(-table[:, 2:4], 6))
    found = np.zeros((len(sines) - 1, len(energies) - 1))
    row = np.searchsorted(sines, -table[:, 2:4].mean(axis=1)) - 1
    column = np.searchsorted(energies, table[:, :2].mean(axis=1)) - 1
    found[row, column] = table[:, 4]
    return EffectiveArea(np.log10(energies), sines, found)


@pytest.fixture(scope="module")
def year() -> EventSample:
    halves = []
    for half in ("upgoing", "downgoing"):
        with gzip.open(YEAR / f"{half}_events.txt.gz") as file:
            halves.append(np.loadtxt(file, skiprows=1))
    rows = np.concatenate(halves)
    return EventSample(
        ra=np.radians(rows[:, 3]),
        dec=np.radians(rows[:, 4]),
        sigma=np.radians(np.clip(rows[:, 2], 0.2, 180)),
        log10_energy=rows[:, 1],
        area=area_of_the_year(),
        livetime=LIVETIME,
        mjd=rows[:, 0],
    )


def with_source(
    sample: EventSample, count: int, gamma: float, ra: float, dec: float, seed: int
) -> EventSample:
    """Scrambled events of a year, with those of a source added (rad)."""
    rng = np.random.default_rng(seed)
    edges = np.arange(1.95, 9.06, 0.1)
    p = sample.area.energies(edges, np.array([gamma]))[sample.area.cell(np.sin(dec)), :, 0]
    near = np.abs(sample.dec - dec) < np.radians(5)
    sigma = rng.choice(sample.sigma[near & (sample.log10_energy > 3.5)], count)
    x, y = sigma * rng.standard_normal((2, count))
    added = {
        "ra": (ra + x / np.cos(dec)) % (2 * np.pi),
        "dec": dec + y,
        "sigma": sigma,
        "log10_energy": 2.0 + 0.1 * rng.choice(len(p), count, p=p),
    }
    own = {"ra": rng.uniform(0, 2 * np.pi, len(sample)), "dec": sample.dec}
    own |= {"sigma": sample.sigma, "log10_energy": sample.log10_energy}
    columns = {name: np.concatenate([own[name], added[name]]) for name in own}
    return dataclasses.replace(sample, mjd=None, **columns)


def test_the_scan_is_brute_force(year: EventSample) -> None:
    made = tables(PointSourceData((with_source(year, 12, 2.2, 2.0, 0.3, 1),)))
    rng = np.random.default_rng(2)
    ra, dec = rng.uniform(0, 2 * np.pi, 20), np.arcsin(rng.uniform(-0.99, 0.99, 20))
    ra[0], dec[0] = 2.0, 0.3  # the source
    ra[1], dec[1] = 0.0, 1.5  # beside the pole
    found = Sky(made).maxima(ra, dec)
    exact = Sky(made, cut=1e9).maxima(ra, dec)
    for i in range(20):
        ts, ns, gamma = brute.maximum(made, ra[i], dec[i])
        assert exact.ts[i] == pytest.approx(ts, abs=1e-3)
        assert found.ts[i] == pytest.approx(ts, abs=1e-3)
        assert exact.ns[i] == pytest.approx(ns, abs=0.01 + 0.002 * ns)
        if ts > 0.1:
            assert exact.gamma[i] == pytest.approx(gamma, abs=0.01)
    assert found.ts[0] > 25
    assert (found.ts == 0).any()


def test_likelihoods_at_given_points(year: EventSample) -> None:
    made = tables(PointSourceData((year,)))
    sky = Sky(made, cut=1e9)
    ns, gamma = np.array([0.0, 3.0, 30.0, 30.0, 3000.0]), np.array([2.0, 2.0, 2.0, 3.333, 3.333])
    values = sky.log_likelihood(1.0, -0.4, ns, gamma)[0]
    for value, n, g in zip(values, ns, gamma, strict=True):
        r = brute.ratios(made, 1.0, -0.4, g)
        assert value == pytest.approx(np.log1p(n / len(r) * (r - 1)).sum(), abs=1e-4 + 1e-6 * n)


def test_samples_share_the_signal(year: EventSample) -> None:
    """The same year twice: each has half of the signal."""
    columns = ("ra", "dec", "sigma", "log10_energy", "mjd")
    turned = {name: getattr(year, name)[::-1] for name in columns}  # else it would be refused
    again = dataclasses.replace(year, name="again", **turned)
    one, both = (Sky(tables(PointSourceData(s))) for s in ((year,), (year, again)))
    ra, dec = np.array([1.0, 3.0, 5.0]), np.array([0.2, 0.5, -0.5])
    alone, together = (
        sky.log_likelihood(ra, dec, np.array([ns]), np.array([2.4]))
        for sky, ns in ((one, 10.0), (both, 20.0))
    )
    assert together == pytest.approx(2 * alone, rel=1e-9)
    assert both.maxima(ra, dec).ts == pytest.approx(2 * one.maxima(ra, dec).ts, abs=1e-4)


def test_the_tutorials_trial(year: EventSample) -> None:
    """Twenty events of gamma 2 in a prior of ten degrees: the right pixel, ns and gamma."""
    ra, dec = np.radians([170.16, 0.60])
    made = tables(PointSourceData((with_source(year, 20, 2.0, ra, dec, 3),)))
    sky = Sky(made)
    prior = PriorMap.gaussian(180, 0, 10, floor=1e-4, nside=128)
    data = PointSourceData((year,), prior)
    region = Region.grid(64, data, np.radians(85))
    assert len(region) == 48_984
    # elsewhere the prior's floor takes 18 off TS; all of it: scripts/calibrate_point_source.py
    region = region.kept(separation(region.ra, region.dec, np.pi, 0.0) < np.radians(30))
    maxima = sky.maxima(region.ra, region.dec)
    weight = prior.within(Pixels.grid(64))[region.pixels.number]
    ts = maxima.ts + 2 * np.log(weight / weight.max())
    best = int(ts.argmax())
    assert separation(region.ra[best], region.dec[best], ra, dec) < np.radians(1)
    assert maxima.ns[best] == pytest.approx(20, abs=6)
    assert maxima.gamma[best] == pytest.approx(2, abs=0.35)
    assert region.hottest(maxima).ts_with_prior == pytest.approx(ts[best])
    chosen = positions(sky, region, maxima, data, FLAT, 200.0, np.radians(85))
    assert chosen.weight.max() < 0.1
    assert chosen.dropped < 1e-4
    assert chosen.weight.sum() == pytest.approx(1)
    away = separation(chosen.region.ra, chosen.region.dec, ra, dec)
    assert chosen.weight[away < np.radians(0.5)].sum() > 0.9


def test_flux_of_twenty_events() -> None:
    area = area_of_the_year()
    sample = EventSample(*np.full((3, 2), 0.1), np.full(2, 3.0), area, LIVETIME)
    data, dec = PointSourceData((sample,)), np.radians(0.6)
    row = area.area[np.searchsorted(area.sin_dec, np.sin(dec)) - 1] * 1e4
    low, high = 10 ** area.log10_energy[:-1], 10 ** area.log10_energy[1:]
    for gamma in (2.0, 2.7, 1.0):
        power = (
            np.log(high / low)
            if gamma == 1
            else (high ** (1 - gamma) - low ** (1 - gamma)) / (1 - gamma)
        )
        wanted = 20 / (LIVETIME * (row * power).sum())  # 1 / (GeV cm2 s) at 1 GeV
        at_pivot = wanted * 1e5 ** (2 - gamma) * 1e-3  # E^2 dN/dE in TeV / (cm2 s) at 100 TeV
        assert flux(data, 20.0, gamma, dec) == pytest.approx(at_pivot, rel=1e-9)
        assert events(data, at_pivot, gamma, dec) == pytest.approx(20, rel=1e-9)
        per_tev = flux(data, 20.0, gamma, dec, unit="1 / (TeV cm2 s)")
        assert per_tev == pytest.approx(wanted * 1e5**-gamma * 1e3, rel=1e-9)
    assert flux(data, 20.0, 2.0, dec) == pytest.approx(9.3e-12, rel=0.01)
    assert acceptance(data, [dec, 1.0], [2.0, 3.0]).shape == (2,)


def test_pixels_without_a_prior_are_not_scanned(year: EventSample, tmp_path: Path) -> None:
    data = PointSourceData((year,))
    disc = PriorMap.from_function(
        lambda lon, lat: (separation(lon, lat, 1.0, 0.2) < 0.1).astype(float), nside=32
    )
    flat = PriorMap.from_function(lambda lon, lat: np.ones_like(lon), nside=1)
    found = scan(data, {"disc": disc}, nside=32)
    assert separation(found.region.ra, found.region.dec, 1.0, 0.2).max() < 0.1
    assert found.with_prior["disc"] == pytest.approx(found.maxima.ts)
    assert found.cut_error < 1e-3
    both = scan(data, {"disc": disc, "flat": flat}, nside=32, max_dec=60)
    assert np.abs(np.degrees(both.region.dec)).max() < 60
    assert both.with_prior["flat"] == pytest.approx(both.maxima.ts)
    assert (
        both.with_prior["disc"].argmax()
        == np.flatnonzero(np.isfinite(both.with_prior["disc"]))[
            both.maxima.ts[np.isfinite(both.with_prior["disc"])].argmax()
        ]
    )
    with pytest.raises(DataError, match="no pixel to scan within 5 deg"):
        scan(data, {"disc": disc}, nside=32, max_dec=5)
    found.write(tmp_path / "scan.fits")
    table = Table.read(tmp_path / "scan.fits")
    assert table.meta["NSIDE"] == 32
    best = table[table["TS_disc"].argmax()]
    assert np.degrees(found.hottest("disc").ra) == pytest.approx(best["RA"])


@pytest.mark.parametrize("count", [20, 0])
def test_direct_draws_are_the_grid(year: EventSample, count: int) -> None:
    """Of a source in a small disc, and of none: moments of ns and gamma, weights of pixels."""
    ra, dec = 2.0, 0.3
    made = tables(PointSourceData((with_source(year, max(count, 1), 2.2, ra, dec, 4),)))
    disc = PriorMap.gaussian(*np.degrees([ra, dec]), 1.0, nside=128)
    if count == 0:
        disc = PriorMap.gaussian(*np.degrees([ra + 1, dec]), 1.0, nside=128)
    sky, most = Sky(made), 200.0
    data = PointSourceData((year,), disc)
    region = Region.grid(64, data, np.radians(85))
    maxima = sky.maxima(region.ra, region.dec)
    chosen = positions(sky, region, maxima, data, FLAT, most, np.radians(85))
    at = chosen.region
    target = Target.at(sky, at, most, FLAT)
    layout = target.layout()
    found = direct(target, layout, 2, 4000, 1)
    gamma = np.linspace(1.015, 3.985, 100)
    ns = (80.0 if count else most) * ((np.arange(200) + 0.5) / 200) ** 2
    points = np.meshgrid(gamma, ns, indexing="ij")
    log_l = sky.log_likelihood(at.ra, at.dec, points[1].ravel(), points[0].ravel())
    log_l += at.log_prior[:, None] + 0.5 * np.log(points[1].ravel())  # the grid's spacing
    p = np.exp(log_l - log_l.max())
    weight = p.sum(axis=1) / p.sum()
    p = p.sum(axis=0).reshape(points[0].shape) / p.sum()
    for draws, grid in ((found.ns, points[1]), (found.gamma, points[0])):
        mean = (p * grid).sum()
        sd = np.sqrt((p * (grid - mean) ** 2).sum())
        assert draws.mean() == pytest.approx(mean, abs=0.04 * sd)
        assert draws.std() == pytest.approx(sd, rel=0.03)
    rng = np.random.default_rng(1)
    drawn = layout.drawn_positions(np.log1p(found.ns).ravel(), found.gamma.ravel(), rng)
    seen = np.bincount(drawn, minlength=len(at)) / drawn.size
    assert np.abs(seen - weight).max() < 0.015
    assert np.abs(chosen.weight - weight).max() < 0.015
    assert found.acceptance.mean() > 0.95
    assert found.error < 1e-3
