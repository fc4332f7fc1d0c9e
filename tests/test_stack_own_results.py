"""Stacks of pyxstan's own results: their priors are divided out, their verdicts are told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from invocation import run
from scipy import stats
from spectra_models import one
from stack_files import netcdf, result

import pyxstan
from pyxstan import inference_data
from pyxstan.priors import FAMILIES, Prior, parse
from pyxstan.stacking import PosteriorSamples
from pyxstan.stacking.sample_priors import scaled

FloatArray = npt.NDArray[np.float64]
INDEX = "src.pl.index"
PRIOR = "normal(-1.8, 0.3)"


def posteriors(folder: Path, **more: Any) -> Path:
    """Fourteen photon indices around -2.4, measured with .3, fitted under a prior at -1.8."""
    rng = np.random.default_rng(4)
    for i, truth in enumerate(-2.4 + 0.1 * stats.norm.ppf((np.arange(14) + 0.5) / 14)):
        measured = truth + 0.3 * rng.normal()
        center, sd = 0.5 * (measured - 1.8), 0.3 / np.sqrt(2)
        draws = rng.normal(center, sd, (4, 100))
        norms = rng.normal(-7, 1, (4, 100))
        result(folder / f"o{i:02}.nc", {"src.pl.K": np.exp(norms), INDEX: draws},
               {"src.pl.K": "lognormal(-7, 1)", INDEX: PRIOR}, **more)  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def stacked(tmp_path_factory: pytest.TempPathFactory) -> PosteriorSamples:
    """They, read without a word of their prior."""
    folder = posteriors(tmp_path_factory.mktemp("results"))
    return PosteriorSamples.from_netcdf(folder, f"value[{INDEX}]")


def population(data: PosteriorSamples) -> tuple[float, float]:
    """Mean of the population behind them, and its error."""
    narrow = {"sd": "lognormal(-2.3, 0.4)"}  # about the true one: it is the mean that matters here
    idata = pyxstan.fit(
        "stack_gaussian", data, low=-5, high=0, priors=narrow, seed=1, progress=False
    )
    mean = inference_data.group(idata, "posterior")["mean"]
    return float(mean.mean()), float(mean.std())


def test_the_recorded_prior_is_divided_out(stacked: PosteriorSamples) -> None:
    """By hand: the posterior over its prior is the likelihood; and the population is unbiased."""
    data = stacked
    assert data.notes == (
        f"prior of value[{INDEX}] divided out, as the results record it: {PRIOR}",
    )
    x = data.of(0)[:, 0]
    weight = 1 / stats.norm.pdf(x, -1.8, 0.3)
    np.testing.assert_allclose(data.weights[: len(x)], weight / weight.sum(), rtol=1e-9)
    mean, sd = population(data)
    assert abs(mean + 2.4) < 3 * sd
    assert 0.05 < sd < 0.12
    flat = PosteriorSamples.from_arrays([data.of(i) for i in range(14)])
    assert population(flat)[0] > -2.25


def test_a_prior_that_is_given_wins(tmp_path: Path) -> None:
    file = result(
        tmp_path / "a.nc", {INDEX: np.linspace(-3, -1, 40).reshape(2, 20)}, {INDEX: PRIOR}
    )
    data = PosteriorSamples.from_netcdf(file, INDEX, prior="normal(-2, 1)")
    (note,) = data.notes
    assert note == (
        f"prior of {INDEX}: normal(-2, 1) as given, not {PRIOR} as the results record it"
    )
    same = PosteriorSamples.from_netcdf(file, INDEX, prior=PRIOR)
    assert same.notes == ()
    weights = PosteriorSamples.from_netcdf(file, INDEX).weights
    np.testing.assert_array_equal(same.weights, weights)


def test_variables_of_their_own(tmp_path: Path) -> None:
    """Results name a parameter as an entry or as a variable: the same is meant."""
    draws = {INDEX: np.linspace(-3, -1, 40).reshape(2, 20)}
    result(tmp_path / "a.nc", draws, {INDEX: PRIOR})
    result(tmp_path / "b.nc", draws, {INDEX: PRIOR}, one_variable=False)
    for name in (INDEX, f"value[{INDEX}]"):
        data = PosteriorSamples.from_netcdf(tmp_path, name)
        np.testing.assert_array_equal(data.weights[:40], data.weights[40:])
        assert PRIOR in data.notes[0]


def test_each_fit_has_its_own_prior(tmp_path: Path) -> None:
    draws = np.linspace(1, 2, 40).reshape(2, 20)
    result(tmp_path / "a.nc", {"x": draws}, {"x": "lognormal(0, 1)"})
    result(tmp_path / "b.nc", {"x": draws}, {"x": "gamma(2, 3)"})
    netcdf(tmp_path / "c.nc", {"x": (("chain", "draw"), draws)})
    result(tmp_path / "d.nc", {"x": draws}, {"x": "uniform(1, 2)"})
    data = PosteriorSamples.from_netcdf(tmp_path, "x")
    x = draws.ravel()
    for i, density in enumerate(
        (stats.lognorm.pdf(x, 1), stats.gamma.pdf(x, 2, scale=1 / 3), np.ones(40), np.ones(40))
    ):
        weight = (1 / density) / (1 / density).sum()
        np.testing.assert_allclose(data.weights[40 * i : 40 * (i + 1)], weight, rtol=1e-9)
    assert "lognormal(0, 1), gamma(2, 3), uniform(1, 2)" in data.notes[0]
    assert "prior of x in the fits of 'c' is not known, a flat one is assumed" in data.notes[1]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_divided_out(family: str) -> None:
    prior = Prior(family, {"half_normal": (1.3,)}.get(family, (0.7, 2.5)))
    x = np.linspace(0.8, 2.4, 30)
    data = PosteriorSamples.from_arrays([x], prior=str(prior))
    weight = np.exp(-prior.log_density(x))
    np.testing.assert_allclose(data.weights, weight / weight.sum(), rtol=1e-9)
    # in other units it is the same prior
    inside = np.exp(-scaled(prior, 1e3).log_density(1e3 * x))
    np.testing.assert_allclose(inside / inside.sum(), data.weights, rtol=1e-9)


@pytest.mark.parametrize(
    ("prior", "x"),
    [
        ("uniform(0, 1)", 1.2),
        ("loguniform(1, 3)", 0.5),
        ("lognormal(0, 1)", -1.0),
        ("half_normal(2)", -1.0),
        ("gamma(1, 2)", 0.0),
        ("inv_gamma(1, 2)", -3.0),
        ("loguniform", 0.0),
    ],
)
def test_samples_where_the_prior_is_zero(prior: str, x: float) -> None:
    with pytest.raises(pyxstan.DataError, match=rf"object '1', sample 2: x is {x:g}, where"):
        PosteriorSamples.from_arrays(
            [[0.9 if prior != "loguniform(1, 3)" else 2.0, x]], prior=prior
        )


def test_what_has_no_prior_of_its_own_is_asked_for(tmp_path: Path) -> None:
    draws = np.linspace(1, 2, 40).reshape(2, 20)
    file = result(tmp_path / "a.nc", {"x": draws, "twice": 2 * draws}, {"x": "normal(0, 1)"})
    with pytest.raises(pyxstan.DataError, match=r"a\.nc: no prior of twice is recorded") as raised:
        PosteriorSamples.from_netcdf(file, "twice")
    assert "prior='twice=normal(0, 1)'" in str(raised.value)
    data = PosteriorSamples.from_netcdf(file, "twice", prior="normal(0, 2)")
    x = 2 * draws.ravel()
    weight = 1 / stats.norm.pdf(x, 0, 2)
    np.testing.assert_allclose(data.weights, weight / weight.sum())
    radii = {"rc": draws, "rc2": draws + 1}
    priors = {"rc": "uniform(0, 9)", "rc2": "uniform(0, 9)"}
    file = result(tmp_path / "r.nc", radii, priors, model="double_beta", one_variable=False)
    with pytest.raises(pyxstan.DataError, match="rc alone is not recorded, since rc < rc2"):
        PosteriorSamples.from_netcdf(file, "rc")
    assert PosteriorSamples.from_netcdf(file, ["rc", "rc2"]).notes


def test_results_of_the_families(tmp_path: Path) -> None:
    """What fits really write: spectra, areas, populations."""
    quick: dict[str, Any] = {"chains": 2, "warmup": 200, "draws": 200, "seed": 1}
    spectra = pyxstan.fit("linked_spectra", one(), progress=False, **quick)
    inference_data.write(spectra, tmp_path / "s.nc")
    data = PosteriorSamples.from_netcdf(tmp_path / "s.nc", "src.c.index")
    assert "normal(-1.8, 0.4)" in data.notes[0]
    table, _ = pyxstan.simulate("concordance", seed=1)
    areas = pyxstan.fit("concordance", table, progress=False, variances="known", **quick)
    inference_data.write(areas, tmp_path / "c.nc")
    first = str(inference_data.group(areas, "posterior")["instrument"].values[0])
    data = PosteriorSamples.from_netcdf(tmp_path / "c.nc", f"B[{first}]")
    tau = float(inference_data.group(areas, "constant_data")["tau"][0])
    b = float(inference_data.group(areas, "constant_data")["b"][0])
    assert str(Prior("normal", (b, tau))) in data.notes[0]
    weight = np.exp(-parse(f"normal({b}, {tau})").log_density(data.x[:, 0]))
    np.testing.assert_allclose(data.weights, weight / weight.sum(), rtol=1e-6)
    samples, _ = pyxstan.simulate("stack_gaussian", seed=1, objects=10, samples=50)
    stack = pyxstan.fit("stack_gaussian", samples, progress=False, low=0.5, high=3, **quick)
    inference_data.write(stack, tmp_path / "g.nc")
    assert "uniform(0.5, 3)" in PosteriorSamples.from_netcdf(tmp_path / "g.nc", "mean").notes[0]


def test_priors_are_recorded_well_enough() -> None:
    """Six digits of a time are not enough where the prior is a second wide."""
    for text in ("normal(55555.5555, 0.0001)", "uniform(55555.5555, 55555.5565)"):
        assert parse(str(parse(text))).arguments == pytest.approx(parse(text).arguments, abs=1e-7)
    assert str(parse("normal(0.123456789, 1)")) == "normal(0.123457, 1)"


RESERVED = "s1: 80 of 90 groups have no background counts"


def test_reservations_and_bad_fits_are_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(2)
    for i in range(8):
        x = rng.normal(rng.normal(2, 0.5), 0.2, (4, 500))
        x[0] += 5 * (i == 7)  # a chain elsewhere
        reserved = [RESERVED] if i < 5 else []
        result(tmp_path / f"o{i}.nc", {"x": x}, {"x": "normal(0, 9)"}, complaints=reserved)
    data = PosteriorSamples.from_netcdf(tmp_path, "x")
    bad, but = data.complaints
    assert bad.startswith("1 of the 8 fits that are stacked are bad (o7), the first: NOT")
    assert but == (
        "5 of the 8 fits that are stacked have reservations (o0, o1, o2, o3, o4), "
        f"the first: {RESERVED}"
    )
    out = tmp_path / "out"
    words = ["fit", "stack_gaussian", tmp_path, "--set", "name=x", "--set", "low=0", "--set",
             "high=9", "--draws=500", "--seed=1", "--quiet", "-o", out]  # fmt: skip
    outcome = run([*words, "--strict"], capsys)
    assert outcome.status == 4
    idata = inference_data.read(out)
    assert json.loads(inference_data.attributes(idata)["complaints"])[:2] == [bad, but]
    for said in (outcome.out, str(pyxstan.verdict(idata))):
        assert "BUT 1 of the 8 fits" in said
        assert RESERVED in said
