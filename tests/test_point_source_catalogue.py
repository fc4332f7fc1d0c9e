"""A catalogue of sources taken for one: brute force, one source alone, injected events."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from references import point_source as brute

import pyxstan
from pyxstan import inference_data, point_source
from pyxstan.errors import DataError
from pyxstan.inference_data import group
from pyxstan.point_source import Catalogue, PointSourceData, read_catalogue
from pyxstan.point_source.injection import with_source
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.stacked_sky import StackedSky
from pyxstan.point_source.tables import Tables, tables

#: Two of them share most of the events that are near.
NEAR = Catalogue(np.radians([40.0, 41.5, 200.0]), np.radians([12.0, 11.0, -30.0]), [3.0, 1.0, 2.0])
FAR = Catalogue(
    np.radians([10.0, 100.0, 190.0, 280.0]),
    np.radians([5.0, 30.0, -20.0, 0.5]),
    [4.0, 1.0, 1.0, 2.0],
)
POINTS = [(0.5, 1.2), (5.0, 2.0), (5.0, 2.026), (40.0, 2.9), (80.0, 3.97)]


@pytest.fixture(scope="module")
def background() -> PointSourceData:
    data, _ = pyxstan.simulate("point_source", {"ns": 0.0}, seed=3, events=5000)
    return dataclasses.replace(data, prior_map=None)


@pytest.fixture(scope="module")
def injected(background: PointSourceData) -> PointSourceData:
    """Events of gamma 2 from `FAR`, 40 in all, as weights and acceptance share them."""
    rng = np.random.default_rng(4)
    accepted = FAR.weight * point_source.acceptance(background, FAR.dec, 2.0)
    data = background
    for k, count in enumerate(rng.multinomial(40, accepted / accepted.sum())):
        places = [sample.ra for sample in data.samples]
        data = with_source(data, places, [count], 2.0, (FAR.ra[k], FAR.dec[k]), rng)
    return dataclasses.replace(data, catalogue=FAR)


def brute_force(data: PointSourceData, made: Tables, catalogue: Catalogue) -> list[float]:
    """The likelihood at all points, from every event and every source."""
    found = []
    for ns, gamma in POINTS:
        accepted = catalogue.weight * point_source.acceptance(data, catalogue.dec, gamma)
        part = accepted / accepted.sum()
        ratio = sum(
            p * brute.ratios(made, ra, dec, gamma)
            for p, ra, dec in zip(part, catalogue.ra, catalogue.dec, strict=True)
        )
        found.append(float(np.log1p(ns / data.events * (ratio - 1)).sum()))
    return found


def test_likelihood_is_brute_force(background: PointSourceData) -> None:
    made = tables(background)
    ns, gamma = np.array(POINTS).T
    exact = brute_force(background, made, NEAR)
    uncut = StackedSky(Sky(made, cut=np.inf), NEAR)
    np.testing.assert_allclose(uncut.log_likelihood(ns, gamma)[0], exact, atol=2e-6)
    cut = StackedSky(Sky(made), NEAR)
    assert len(cut.number) < 0.3 * len(uncut.number)
    np.testing.assert_allclose(cut.log_likelihood(ns, gamma)[0], exact, atol=1e-3)


def test_one_source_alone_is_its_position(injected: PointSourceData) -> None:
    sky = Sky(tables(injected))
    for ra, dec in zip(FAR.ra[:2], FAR.dec[:2], strict=True):
        alone = StackedSky(sky, Catalogue(ra, dec, 7.0))
        ns, gamma = np.array(POINTS).T
        np.testing.assert_allclose(
            alone.log_likelihood(ns, gamma), sky.log_likelihood(ra, dec, ns, gamma), atol=1e-9
        )
        found, wanted = alone.maximum(), sky.maxima(ra, dec)
        np.testing.assert_allclose(found.ts, wanted.ts, atol=1e-6)
        np.testing.assert_allclose(found.ns, wanted.ns, rtol=1e-4)


def test_two_samples_are_one_of_both(injected: PointSourceData) -> None:
    """Halves of a sample, each with half of the livetime and the background of all."""
    (whole,) = injected.samples
    made = tables(injected)
    (each,) = made.samples
    halves = []
    for k in range(2):
        columns = {
            n: getattr(whole, n)[k::2] for n in ("ra", "dec", "sigma", "log10_energy", "mjd")
        }
        sample = dataclasses.replace(whole, name=f"{k}", livetime=whole.livetime / 2, **columns)
        halves.append(
            dataclasses.replace(
                each,
                sample=sample,
                weight=each.weight[k::2],
                energy_bin=each.energy_bin[k::2],
                log_share=np.add(each.log_share, [np.log(0.5), 0.0]),
            )
        )
    both = StackedSky(Sky(dataclasses.replace(made, samples=tuple(halves))), FAR)
    ns, gamma = np.array(POINTS).T
    np.testing.assert_allclose(
        both.log_likelihood(ns, gamma),
        StackedSky(Sky(made), FAR).log_likelihood(ns, gamma),
        atol=1e-9,
    )


@pytest.mark.slow
def test_injected_events_are_found(injected: PointSourceData) -> None:
    direct, nuts = (
        pyxstan.fit("point_source", injected, seed=2, trials=20, progress=False, **options)
        for options in ({}, {"exact": False, "draws": 1000, "warmup": 500})
    )
    attributes = inference_data.attributes(direct)
    assert attributes["method"] == "quadrature"
    assert attributes["p_value"] == pytest.approx(1 / 21)
    assert attributes["ts"] > 50
    assert pyxstan.verdict(direct).converged
    posterior = group(direct, "posterior")
    assert set(posterior.data_vars) == {"ns", "gamma", "flux"}
    assert abs(posterior["ns"].mean() - 40) < 2.5 * posterior["ns"].std()
    assert abs(posterior["gamma"].mean() - 2) < 2.5 * posterior["gamma"].std()
    for name in ("ns", "gamma"):
        a, b = posterior[name], group(nuts, "posterior")[name]
        assert abs(a.mean() - b.mean()) < 0.1 * a.std()
        assert float(b.std() / a.std()) == pytest.approx(1, abs=0.06)
    draw = posterior.isel(chain=0, draw=3)
    gamma = float(draw["gamma"])
    accepted = FAR.weight @ point_source.acceptance(injected, FAR.dec, gamma)
    wanted = float(draw["ns"]) / accepted * 1e10 * 1e-3  # E^2 at 1e5 GeV, in TeV
    assert float(draw["flux"]) == pytest.approx(wanted, rel=1e-9)
    constant = group(direct, "constant_data")
    np.testing.assert_allclose(constant["source_part"].sum(), 1, atol=0.02)
    log_l = group(direct, "log_likelihood")["counts"]
    first = posterior.isel(draw=log_l["draw"].to_numpy())
    sky = StackedSky(Sky(tables(injected)), FAR)
    exact = sky.log_likelihood(*(first[name].to_numpy().ravel() for name in ("ns", "gamma")))
    np.testing.assert_allclose(log_l.sum("ring").to_numpy().ravel(), exact[0], atol=1e-8)
    observed = group(direct, "observed_data")["counts"]
    assert observed.sum() == injected.events
    predicted = group(direct, "posterior_predictive")["counts"]
    spread = predicted.std(("chain", "draw")) + 1
    assert (abs(predicted.mean(("chain", "draw")) - observed) < 4 * spread).all()
    assert set(pyxstan.plot(direct)) == {"distance", "corner"}


def test_no_source_is_said(background: PointSourceData) -> None:
    data = dataclasses.replace(background, catalogue=FAR)
    fit = pyxstan.fit("point_source", data, seed=2, trials=30, draws=250, progress=False)
    attributes = inference_data.attributes(fit)
    assert attributes["p_value"] > 0.02
    assert "no source was found" in attributes["notes"]


def test_catalogues_are_read(tmp_path: Path, injected: PointSourceData) -> None:
    path = tmp_path / "sources.csv"
    path.write_text("name,ra[deg],dec[deg],weight\nA,10,5,2\nB,100,30,6\n")
    for found in (read_catalogue(path), read_catalogue(pd.read_csv(path))):
        assert found.names == ("A", "B")
        np.testing.assert_allclose(np.degrees(found.ra), [10, 100])
        np.testing.assert_allclose(found.weight, [0.25, 0.75])
    alike = read_catalogue({"ra": [10.0, 100.0], "dec": [5.0, 30.0]})
    np.testing.assert_allclose(alike.weight, 0.5)
    data = dataclasses.replace(injected, catalogue=None)
    pyxstan.registry.get("point_source").family.write(data, {}, tmp_path)
    samples = tmp_path / "samples.yaml"
    samples.write_text(samples.read_text() + "catalogue: sources.csv\n")
    within = PointSourceData.read(samples).catalogue
    assert within is not None
    assert within.names == ("A", "B")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("ra,dec\n", "no rows|empty|no sources"),
        ("ra,weight\n10,1\n", "no column of dec"),
        ("ra,dec,weight\n10,5,0\n", "weight of source 1 is 0, expected above zero"),
        ("ra,dec,weight\n10,5,-1\n", "weight of source 1 is -1"),
        ("ra,dec,weight\n10,95,1\n", "source 1 is at ra 10, dec 95 deg"),
        ("ra,dec,weight\n10,5,1\n370,5,1\n", "sources 1 and 2 are at the same place"),
        ("name,ra,dec\nA,10,5\nA,11,5\n", "a name of its own"),
        ("ra,dec,weight,flux\n10,5,1,2\n", "may both be weights"),
        ("ra,dec,weight\n10,5,x\n", "weight"),
    ],
)
def test_bad_catalogues(rows: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "sources.csv"
    path.write_text(rows)
    with pytest.raises(DataError, match=said) as error:
        read_catalogue(path)
    assert "sources.csv" in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_catalogue_and_prior_map_exclude_each_other(injected: PointSourceData) -> None:
    prior = point_source.PriorMap.gaussian(10, 5, 2)
    with pytest.raises(DataError, match="not both"):
        dataclasses.replace(injected, prior_map=prior)
