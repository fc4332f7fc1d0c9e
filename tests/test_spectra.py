"""Spectra: posteriors against grids, published numbers, fluxes, populations, two telescopes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import arviz as az
import astropy.units as u
import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr
from scipy import optimize, stats

import pyxstan
import pyxstan.spectra as ps
from pyxstan.inference_data import assemble, group
from pyxstan.spectra import stored
from pyxstan.spectra.folding import all_folded
from pyxstan.spectra.instruments import INSTRUMENTS

FloatArray = npt.NDArray[np.float64]
SHARED = Path(__file__).parents[2] / "shared" / "data"
#: In bins and channels about as wide as their resolution: fast to fold.
COARSE = {
    "chandra_like": replace(INSTRUMENTS["chandra_like"], bins=214, channels=140),
    "many channels": replace(INSTRUMENTS["chandra_like"], bins=214, channels=350),
    "nustar_like": replace(INSTRUMENTS["nustar_like"], bins=160, channels=80),
    "gbm_like": replace(INSTRUMENTS["gbm_like"], bins=70, channels=64),
}


def observed(
    name: str,
    instrument: str,
    source: str,
    exposure: float,
    notice: str,
    constant: Any = None,
    backscal: float = 3.0,
) -> ps.Observation:
    """An empty spectrum with a background region that is larger."""
    response = COARSE[instrument].response()
    zero = np.zeros(response.channels)
    behind = ps.Spectrum(f"{name} background", zero, exposure, backscal=np.array([backscal]))
    spectrum = ps.Spectrum(name, zero, exposure, response=response, background=behind)
    return ps.Observation(spectrum.noticing(notice), source, constant)


def moments(idata: Any, name: str) -> tuple[float, float, float]:
    """Mean, standard deviation and its smallest ESS of a parameter."""
    draws = group(idata, "posterior")["value"].sel(parameter=name, drop=True)
    return float(draws.mean()), float(draws.std()), float(az.ess(draws.to_numpy()))


@pytest.mark.parametrize("held", ["absorption held", "absorption free"])
def test_posterior_is_the_grid(held: str) -> None:
    """Of norm and index (or column density): means within 0.03 sd, sds within 2%."""
    free = held == "absorption free"
    index = -1.8 if free else "uniform(-3, 0)"
    column = "loguniform(0.01, 10)" if free else 0.3
    source = ps.Source(
        "s",
        {"pl": ps.component("powerlaw", K="loguniform(1e-6, 1e-2)", index=index)},
        {"gas": ps.Absorber(column)},
    )
    data = ps.LinkedSpectra([observed("x", "chandra_like", "s", 2e4, "0.5-7")], [source])
    second = ("s.gas.NH", 0.3) if free else ("s.pl.index", -1.8)
    data = ps.fake(data, {"s.pl.K": 5e-5, second[0]: second[1]}, seed=4, background=[0.5])
    names = ("s.pl.K", second[0])
    idata = pyxstan.fit("linked_spectra", data, seed=1, draws=5000, progress=False)
    found = {name: moments(idata, name) for name in names}
    assert min(ess for _, _, ess in found.values()) > 5000
    axes = [
        mean + sd * np.linspace(-5, 6, 90) if (mean, sd) else None for mean, sd, _ in found.values()
    ]
    axes = [np.where(axis > 0, axis, np.nan) if k == 0 or free else axis
            for k, axis in enumerate(axes)]  # fmt: skip
    axes = [axis[np.isfinite(axis)] for axis in axes]
    first, other = (x.ravel() for x in np.meshgrid(*axes, indexing="ij"))
    values = {
        "s.pl.K": first,
        "s.pl.index": np.full(first.shape, -1.8) if free else other,
        "s.gas.NH": other if free else np.full(first.shape, 0.3),
    }
    (fold,) = all_folded(data)
    log_p = fold.log_likelihood(fold.expected(values)).sum(axis=1) - np.log(first)
    log_p -= np.log(other) if free else 0.0
    p = np.exp(log_p - log_p.max()).reshape(len(axes[0]), len(axes[1]))
    for axis, weights, name in zip(axes, (p.sum(axis=1), p.sum(axis=0)), names, strict=True):
        mean = weights @ axis / weights.sum()
        sd = np.sqrt(weights @ (axis - mean) ** 2 / weights.sum())
        assert abs(found[name][0] - mean) < 0.03 * sd, name
        assert abs(found[name][1] / sd - 1) < 0.02, name


def faint(
    seed: int, norm: float, column: float, backscal: float = 10.0, like: str = "many channels"
) -> ps.LinkedSpectra:
    """A few dozen counts, a background of none in most channels, and priors over decades."""
    seen = observed("x", like, "s", 2e4, "0.5-8", backscal=backscal)
    source = ps.Source(
        "s",
        {"pl": ps.component("powerlaw", K="loguniform(1e-8, 0.1)", index="uniform(-5, 1)")},
        {"gas": ps.Absorber("loguniform(1e-3, 100)")},
    )
    data = ps.LinkedSpectra([seen], [source])
    truth = {"s.pl.K": norm, "s.pl.index": -1.8, "s.gas.NH": column}
    data = ps.fake(data, truth, seed=seed, background=[0.04])
    behind = data.observations[0].spectrum.background
    assert behind is not None
    assert (behind.counts == 0).mean() > 0.9
    return data


@pytest.mark.parametrize(
    ("seed", "norm", "column"), [(1, 3e-6, 0.1), (2, 3e-6, 0.1), (4, 3e-6, 0.03), (1, 8e-6, 1.0)]
)
def test_faint_sources_converge(seed: int, norm: float, column: float) -> None:
    """A ridge of norm, index and column density, which nothing ends but the priors."""
    data = faint(seed, norm, column)
    assert 20 < data.counts.sum() < 90
    idata = pyxstan.fit("linked_spectra", data, seed=seed, warmup=500, draws=800, progress=False)
    assert pyxstan.verdict(idata).line.startswith("converged")
    table = pyxstan.summary(idata)
    assert table["r_hat"].max() <= 1.01
    assert table["ess_bulk"].min() > 400


def test_what_only_the_prior_limits_is_said() -> None:
    """With so little background W takes all for it: two modes, one of them without a source."""
    data = faint(1, 2e-6, 0.1, backscal=3.0)
    idata = pyxstan.fit("linked_spectra", data, seed=1, warmup=500, progress=False)
    line = pyxstan.verdict(idata).line
    assert re.search(r"only its prior ends the posterior of s.pl.K\b.* at the lower end", line)
    assert re.search(r"x: 235 of 246 groups have no .* W statistic fits \d\d of 26 counts", line)
    seen = data.observations[0]
    few = replace(data, observations=(replace(seen, spectrum=seen.spectrum.grouped(background=1)),))
    line = pyxstan.verdict(
        pyxstan.fit("linked_spectra", few, seed=1, warmup=500, draws=800, progress=False)
    ).line
    assert line.startswith("converged")
    assert "posterior of s.pl.K" not in line
    assert "the W statistic" not in line


def test_posterior_of_a_faint_source_is_the_grid() -> None:
    """Of three parameters between the ends of their priors: their cumulative distributions."""
    data = faint(1, 3e-6, 0.1, like="chandra_like")
    idata = pyxstan.fit("linked_spectra", data, seed=2, draws=5000, progress=False)
    # in what the priors are flat in; the norm no further than there is anything
    edges = np.linspace(-14.5, -7.5, 61), np.linspace(-5, 1, 41), np.linspace(np.log(1e-3), 2, 51)
    norm, indices, column = (0.5 * (x[1:] + x[:-1]) for x in edges)
    (fold,) = all_folded(data)
    heights = []
    for index in indices:
        fixed = {"s.pl.K": np.ones(len(column)), "s.pl.index": np.full(len(column), index)}
        unit = fold.expected({**fixed, "s.gas.NH": np.exp(column)})
        every = (np.exp(norm)[:, None, None] * unit).reshape(len(norm) * len(column), -1)
        heights.append(fold.log_likelihood(every).sum(axis=1).reshape(len(norm), -1))
    log_p = np.stack(heights, axis=1)
    p = np.exp(log_p - log_p.max())
    draws = group(idata, "posterior")["value"]
    for k, name in enumerate(("s.pl.K", "s.pl.index", "s.gas.NH")):
        below = np.cumsum(np.moveaxis(p, k, 0).sum(axis=(1, 2))) / p.sum()
        own = draws.sel(parameter=name).to_numpy().ravel()
        own = np.sort(own if name == "s.pl.index" else np.log(own))
        apart = np.searchsorted(own, edges[k][1:]) / len(own) - below
        assert np.abs(apart).max() < 0.015, name  # three standard deviations of 10,000 draws


def test_maximum_likelihood_of_a_burst() -> None:
    """GRB 090217206, NaI n6: K = 2.571, index = -1.185, -ln L = 867.81 (lower errors .2, .015)."""
    folder = SHARED / "gbm_bn090217206"
    spectrum = ps.Spectrum.from_ogip(
        folder / "bn090217206_n6_srcspectra.pha",
        background=folder / "bn090217206_n6_bkgspectra.bak",
        rmf=folder / "bn090217206_n6_weightedrsp.rsp",
    ).noticing("10-30, 40-950")
    source = ps.Source(
        "grb", {"pl": ps.component("powerlaw", K="lognormal(0, 3)", index="normal(-1, 1)")}
    )
    data = ps.LinkedSpectra([ps.Observation(spectrum, "grb")], [source])
    (fold,) = all_folded(data)
    assert (fold.statistic, fold.binned.size) == ("pgstat", 117)

    def surprise(x: FloatArray) -> float:
        values = {"grb.pl.K": np.exp(x[:1]), "grb.pl.index": x[1:]}
        return -float(fold.log_likelihood(fold.expected(values)).sum())

    best = optimize.minimize(
        surprise, [0.5, -1.0], method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-9}
    )
    assert np.exp(best.x[0]) == pytest.approx(2.571, abs=6e-4)
    assert best.x[1] == pytest.approx(-1.185, abs=6e-4)
    assert best.fun == pytest.approx(867.81, abs=0.01)
    # the posterior under wide priors is about as wide as the errors
    idata = pyxstan.fit("linked_spectra", data, seed=1, draws=2000, progress=False)
    assert moments(idata, "grb.pl.K")[1] == pytest.approx(0.2, rel=0.15)
    assert moments(idata, "grb.pl.index")[1] == pytest.approx(0.015, rel=0.1)


def burst_model() -> ps.LinkedSpectra:
    """The linked pair with the truth of 3ML's tutorial."""
    first = ps.component("blackbody", K="lognormal(-16.1, 1)", kT="lognormal(5.7, 2)")
    second = ps.component("blackbody", K="lognormal(-13.8, 1)", kT="= src1.bb.kT")
    power = ps.component("powerlaw_flux", F="lognormal(4.6, 1)", index="normal(-1, 1)", a=10, b=500)
    return ps.LinkedSpectra(
        [observed(name, "gbm_like", name, 20.0, "10-30000") for name in ("src1", "src2")],
        [ps.Source("src1", {"bb": first}), ps.Source("src2", {"bb": second, "pl": power})],
    )


def posterior_of(data: ps.LinkedSpectra, rows: FloatArray) -> Any:
    """A fit that has these draws, shape (draws, parameters)."""
    posterior = xr.Dataset(
        {"value": (("chain", "draw", "parameter"), rows[None])},
        coords={"chain": [0], "draw": np.arange(len(rows)), "parameter": list(data.parameters)},
    )
    return assemble({"posterior": posterior}, {"spectral_model": stored.to_json(data)})


def test_fluxes_are_those_of_the_tutorial() -> None:
    """At its best fit, within 1%."""
    data = burst_model()
    best = {
        "src1.bb.K": 4.68e-8, "src1.bb.kT": 510.0, "src2.bb.K": 9.7e-8, "src2.bb.kT": 510.0,
        "src2.pl.F": 206.0, "src2.pl.index": -1.511,
    }  # fmt: skip
    idata = posterior_of(data, np.array([[best[name] for name in data.parameters]]))
    sources = ps.fluxes(idata, 1 * u.keV, 1 * u.MeV)["median"]
    assert sources["src1"] == pytest.approx(5.71e-6, rel=0.01)
    assert sources["src2"] == pytest.approx(4.85e-5, rel=0.01)
    total = ps.fluxes(idata, 1 * u.keV, 1 * u.MeV, by="total")["median"]["total"]
    assert total == pytest.approx(5.42e-5, rel=0.01)
    photons = ps.fluxes(
        idata, 10 * u.keV, 500 * u.keV, unit="1 / (cm2 s)", by="component"
    )["median"]  # fmt: skip
    assert photons["src1.bb"] == pytest.approx(2.12, rel=0.01)
    assert photons["src2.bb"] == pytest.approx(4.38, rel=0.01)
    assert photons["src2.pl"] == pytest.approx(206.0, rel=1e-9)


def test_sums_of_fluxes_keep_correlations() -> None:
    """Of two norms whose sum is always the same; and units, ranges, luminosity by hand."""
    parts = {
        "a": ps.component("powerlaw", K="lognormal(0, 1)", index=-2),
        "b": ps.component("powerlaw", K="lognormal(0, 1)", index=-2),
    }
    source = ps.Source("s", parts, redshift=0.1)
    data = ps.LinkedSpectra([observed("x", "chandra_like", "s", 1e4, "0.5-7")], [source])
    norm = np.linspace(0.1, 0.9, 101)
    idata = posterior_of(data, np.stack([norm, 1 - norm], axis=1))
    energy = np.log(10) * u.keV.to(u.erg)  # of E^-2 from 1 to 10 keV
    each = ps.fluxes(idata, 1 * u.keV, 10 * u.keV, by="component")
    assert each.loc["s.a", "sd"] == pytest.approx(norm.std() * energy)
    total = ps.fluxes(idata, 1 * u.keV, 10 * u.keV, by="total")
    assert total.loc["total", "mean"] == pytest.approx(energy, rel=1e-9)
    assert total.loc["total", "sd"] < 1e-9 * energy
    photons = ps.fluxes(idata, 1 * u.keV, 10 * u.keV, unit="ph / (m2 s)")
    assert photons.loc["s", "mean"] == pytest.approx(0.9e4, rel=1e-9)
    nufnu = ps.fluxes(idata, 1 * u.keV, 10 * u.keV, unit="keV2 / (cm2 s)")
    assert nufnu.loc["s", "mean"] == pytest.approx(9, rel=1e-9)
    from astropy.cosmology import Planck18

    area = 4 * np.pi * Planck18.luminosity_distance(0.1).to_value("cm") ** 2
    luminosity = ps.luminosities(idata, 1 * u.keV, 10 * u.keV)
    assert luminosity.loc["s", "mean"] == pytest.approx(energy * area, rel=1e-9)


def test_linked_fit_finds_the_truth_and_is_sharper() -> None:
    data = burst_model()
    truth = {
        "src1.bb.K": 5e-8, "src1.bb.kT": 500.0, "src2.bb.K": 1e-7, "src2.pl.F": 200.0,
        "src2.pl.index": -1.5,
    }  # fmt: skip
    data = ps.fake(data, truth, seed=3, background=[20.0, 20.0])
    linked = pyxstan.fit("linked_spectra", data, seed=1, warmup=500, draws=500, progress=False)
    assert pyxstan.verdict(linked).good
    for name, value in truth.items():
        mean, sd, _ = moments(linked, name)
        assert abs(mean - value) < 3.5 * sd, name
    both = group(linked, "posterior")["value"].sel(parameter=["src1.bb.kT", "src2.bb.kT"])
    np.testing.assert_array_equal(both[..., 0], both[..., 1])
    own = ps.component("blackbody", K="lognormal(-13.8, 1)", kT="lognormal(5.7, 2)")
    parts = {**data.sources[1].components, "bb": own}
    apart = replace(data, sources=(data.sources[0], replace(data.sources[1], components=parts)))
    unlinked = pyxstan.fit("linked_spectra", apart, seed=1, warmup=500, draws=500, progress=False)
    sds = [moments(fit, "src1.bb.kT")[1] for fit in (linked, unlinked)]
    assert sds[0] < 0.85 * sds[1]


def test_a_population_is_recovered() -> None:
    """Six indices from a Gaussian: its mean and sd, and members drawn towards it."""
    rng = np.random.default_rng(5)
    true = rng.normal(-1.5, 0.3, 6)
    names = [f"s{k}" for k in range(6)]
    sources = [
        ps.Source(
            name,
            {"pl": ps.component("powerlaw", K="lognormal(-2, 2)", index="from indices", piv=100)},
        )
        for name in names
    ]
    data = ps.LinkedSpectra(
        [observed(name, "gbm_like", name, 10.0, "10-1000") for name in names],
        sources,
        populations={"indices": ps.Population(mean="normal(-1, 1)", sd="half_normal(1)")},
    )
    values = {f"{name}.pl.K": 5e-3 for name in names}
    values |= {"indices.mean": -1.5, "indices.sd": 0.3}
    members = {f"{name}.pl.index": x for name, x in zip(names, true, strict=True)}
    data = ps.fake(data, values | members, seed=rng, background=[10.0] * 6)
    idata = pyxstan.fit("linked_spectra", data, seed=2, warmup=300, progress=False)
    assert pyxstan.verdict(idata).good
    mean, sd = moments(idata, "indices.mean"), moments(idata, "indices.sd")
    assert abs(mean[0] + 1.5) < 3 * mean[1] < 0.6
    assert abs(sd[0] - 0.3) < 3 * sd[1]
    assert sd[1] < 0.2
    for name, x in zip(names, true, strict=True):
        found = moments(idata, f"{name}.pl.index")
        assert abs(found[0] - x) < 4 * found[1], name


def test_two_telescopes_and_a_constant() -> None:
    source = ps.Source(
        "s", {"pl": ps.component("powerlaw", K="lognormal(-9, 2)", index="normal(-2, 1)")}
    )
    data = ps.LinkedSpectra(
        [
            observed("low", "chandra_like", "s", 3e4, "0.5-7"),
            observed("high", "nustar_like", "s", 3e4, "3-60", "lognormal(0, 0.3)"),
        ],
        [source],
    )
    truth = {"s.pl.K": 1e-3, "s.pl.index": -1.8, "high.constant": 1.15}
    data = ps.fake(data, truth, seed=6, background=[1.0, 1.0])
    idata = pyxstan.fit("linked_spectra", data, seed=1, warmup=500, draws=500, progress=False)
    for name, value in truth.items():
        mean, sd, _ = moments(idata, name)
        assert abs(mean - value) < 3.5 * sd, name
    assert moments(idata, "high.constant")[1] < 0.05


def test_background_as_a_source_of_the_model() -> None:
    """In its own region and, a tenth of it, in the source's: both by Poisson counts."""
    response = COARSE["chandra_like"].response()
    on, off = (
        ps.Spectrum(name, np.zeros(response.channels), 2e4, response=response).noticing("0.5-7")
        for name in ("on", "off")
    )
    power_law = {"K": "loguniform(1e-7, 1e-2)", "index": "normal(-1.8, 0.5)"}
    flat = {"K": "loguniform(1e-6, 1e-1)", "index": "normal(0, 0.5)"}
    below = {"K": "= 0.1 * off.pl.K", "index": "= off.pl.index"}
    sources = [
        ps.Source(name, {"pl": ps.component("powerlaw", **settings)})
        for name, settings in {"src": power_law, "off": flat, "on": below}.items()
    ]
    data = ps.LinkedSpectra(
        [ps.Observation(on, ("src", "on")), ps.Observation(off, "off")], sources
    )
    truth = {"src.pl.K": 4e-5, "src.pl.index": -1.8, "off.pl.K": 2e-4, "off.pl.index": 0.1}
    data = ps.fake(data, truth, seed=3)
    assert [one.statistic for one in all_folded(data)] == ["cstat", "cstat"]
    idata = pyxstan.fit("linked_spectra", data, seed=1, warmup=500, progress=False)
    assert pyxstan.verdict(idata).line.startswith("converged")
    for name, true in truth.items():
        mean, sd, _ = moments(idata, name)
        assert abs(mean - true) < 3 * sd, name
        assert sd < 0.3 * abs(true) + 0.05, name
    value = group(idata, "posterior")["value"]
    share = value.sel(parameter="on.pl.K") / value.sel(parameter="off.pl.K")
    np.testing.assert_allclose(share, 0.1, rtol=1e-9)


def test_six_linked_sources() -> None:
    """One temperature for all six, sampled once."""
    sources, seen = [], []
    for k in range(6):
        name = f"s{k}"
        kT = "lognormal(0, 0.5)" if k == 0 else "= s0.bb.kT"
        sources.append(
            ps.Source(name, {"bb": ps.component("blackbody", K="loguniform(1e-7, 1e-2)", kT=kT)})
        )
        seen.append(observed(f"x{k}", "chandra_like", name, 1e4, "0.5-7"))
    truth = {"s0.bb.kT": 0.8} | {f"s{k}.bb.K": 2e-5 * (k + 1) for k in range(6)}
    data = ps.fake(ps.LinkedSpectra(seen, sources), truth, seed=1, background=[0.5] * 6)
    idata = pyxstan.fit("linked_spectra", data, seed=1, warmup=300, draws=500, progress=False)
    assert pyxstan.verdict(idata).line.startswith("converged")
    assert set(data.collected.priors) == set(truth)
    away = [(moments(idata, name)[0] - x) / moments(idata, name)[1] for name, x in truth.items()]
    assert np.abs(away).max() < 3.5
    value = group(idata, "posterior")["value"]
    kT = value.sel(parameter=[f"s{k}.bb.kT" for k in range(6)]).to_numpy()
    assert np.ptp(kT, axis=-1).max() == 0


@pytest.mark.parametrize("ends", [(6.45, 10.0), (6.55, 10.0), (1.0, 10.0), (6.0, 6.2), (8.0, 12.0)])
def test_flux_of_a_line_that_an_end_cuts(ends: tuple[float, float]) -> None:
    line = {"line": ps.component("gaussian_line", F="lognormal(0, 1)", mu=6.4, sigma=0.5)}
    data = ps.LinkedSpectra(
        [observed("x", "chandra_like", "s", 1e4, "0.5-7")], [ps.Source("s", line)]
    )
    idata = posterior_of(data, np.ones((1, 1)))
    found = ps.fluxes(idata, ends[0] * u.keV, ends[1] * u.keV, unit="ph / (cm2 s)")
    wanted = np.diff(stats.norm(6.4, 0.5).cdf(ends))[0]
    assert found.loc["s", "mean"] == pytest.approx(wanted, rel=1e-9)


def test_fake_spectra_refuse_what_they_cannot_be() -> None:
    data = burst_model()
    values = {
        "src1.bb.K": 5e-8, "src1.bb.kT": 500.0, "src2.bb.K": 1e-7, "src2.pl.F": 200.0,
        "src2.pl.index": -1.5,
    }  # fmt: skip
    with pytest.raises(pyxstan.DataError, match="1 backgrounds, but 2 spectra"):
        ps.fake(data, values, seed=1, background=[1.0])
    with pytest.raises(pyxstan.DataError, match="src1: background: expected numbers from 0 up"):
        ps.fake(data, values, seed=1, background=[-1.0, 1.0])
    gaussian = replace(data.observations[0], statistic="chi2")
    with pytest.raises(pyxstan.DataError, match="src1: fake makes Poisson counts"):
        ps.fake(replace(data, observations=(gaussian, data.observations[1])), values, seed=1)


def test_no_background_in_yaml_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, _ = pyxstan.simulate("linked_spectra", seed=1)
    model = data.write(tmp_path / "files")[0]
    text = model.read_text().replace("  source: source\n", "  source: source\n  background: none\n")
    model.write_text(text)
    monkeypatch.chdir(tmp_path)
    (found,) = ps.LinkedSpectra.from_yaml(model).observations
    assert found.spectrum.background is None


def test_zero_where_it_cannot_be() -> None:
    body = ps.component("blackbody", K="lognormal(0, 1)", kT=0)
    with pytest.raises(pyxstan.DataError, match=r"s\.bb\.kT: 0, expected a positive number"):
        ps.LinkedSpectra(
            [observed("x", "chandra_like", "s", 1e4, "0.5-7")], [ps.Source("s", {"bb": body})]
        )


def test_summaries_have_the_units_of_each_parameter() -> None:
    data, _ = pyxstan.simulate("linked_spectra", seed=1)
    idata = pyxstan.fit("linked_spectra", data, seed=1, draws=50, warmup=200, progress=False)
    table = pyxstan.summary(idata)
    assert table.loc["value[source.pl.K]", "unit"] == "ph / (s cm**2 keV)"
    assert table.loc["value[source.gas.NH]", "unit"] == "1e22 cm**-2"
