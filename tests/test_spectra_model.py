"""The language of models of spectra: links, populations, priors, units, and YAML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy import units
from invocation import run
from scipy import integrate, stats
from spectra_models import POWER_LAW, one, spectrum

import pyxstan
import pyxstan.spectra as ps
from pyxstan.inference_data import attributes, group, read
from pyxstan.priors import parse
from pyxstan.spectra import Absorber, LinkedSpectra, Population, component
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.yaml_model import write

FloatArray = npt.NDArray[np.float64]
K, INDEX = "lognormal(-7, 1)", "normal(-1.8, 0.4)"
TRUTH = {"src.a.K": 3e-3, "src.a.index": -1.7}


def power_law(**settings: Any) -> Any:
    return component("powerlaw", **{"K": K, "index": INDEX, **settings})


def values(data: LinkedSpectra, given: Mapping[str, float]) -> dict[str, float]:
    """Every parameter for these values of the free ones."""
    parameters = data.collected
    free = [row.name for row in parameters.rows[: parameters.free]]
    assert sorted(free) == sorted(given)
    u = np.array([[parameters.u_of(k, given[name]) for k, name in enumerate(free)]])
    return {name: float(x[0]) for name, x in parameters.named(parameters.values(u)[0]).items()}


COEFFICIENTS = {"slope": 1.5, "ratio": 0.25}

#: Of a norm and an index, with what they are for TRUTH and COEFFICIENTS.
LINKS: dict[str, tuple[str, float]] = {
    "K, equal": ("src.a.K", 3e-3),
    "K, ratio": ("2 * src.a.K", 6e-3),
    "K, quotient": ("src.a.K / 4", 7.5e-4),
    "K, inverse": ("1e-6 / src.a.K", 1e-6 / 3e-3),
    "K, power": ("src.a.K ** 0.5", 3e-3**0.5),
    "K, negative power": ("(src.a.K * 1e3) ** -2", 1 / 9),
    "K, product of both": ("src.a.K * src.gas.NH * 10", 3e-3 * 0.5 * 10),
    "K, numbers": ("(1 + 2) * 2 ** 3 / 4 * src.a.K", 6 * 3e-3),
    "K, free ratio": ("ratio * src.a.K", 0.25 * 3e-3),
    "K, free power": ("(2 * src.a.K) ** slope / 3", 6e-3**1.5 / 3),
    "K, negative free power": ("1e-4 * src.a.K ** -slope", 1e-4 * 3e-3**-1.5),
    "K, free positive power": ("src.a.K ** ratio", 3e-3**0.25),
    "K, number to a free power": ("2 ** slope * src.a.K", 2**1.5 * 3e-3),
    "index, equal": ("src.a.index", -1.7),
    "index, negative": ("-src.a.index - 4", 1.7 - 4),
    "index, offset": ("src.a.index + 0.3", -1.4),
    "index, multiple": ("2 * (src.a.index - 1) / 4", -1.35),
    "index, sum of both": ("src.a.index - 3 * slope", -1.7 - 4.5),
    "index, free slope": ("slope * src.a.index", -2.55),
    "index, free slope of a sum": ("(src.a.index + 0.2) * slope - 0.1", -1.5 * 1.5 - 0.1),
    "index, free positive slope": ("src.a.index * ratio", -1.7 * 0.25),
    "index, product of indices": ("src.a.index * src.a.index", 1.7**2),
}


@pytest.mark.parametrize("name", LINKS)
def test_links(name: str) -> None:
    text, expected = LINKS[name]
    data = one(
        {"a": power_law(), "b": power_law(**{name.split(",")[0]: f"= {text}"})},
        absorption={"gas": Absorber("uniform(0, 3)")},
        coefficients={"slope": "normal(1, 1)", "ratio": "lognormal(0, 1)"},
    )
    other = {"K": "index", "index": "K"}[name.split(",")[0]]
    free = {**TRUTH, **COEFFICIENTS, "src.gas.NH": 0.5, f"src.b.{other}": TRUTH[f"src.a.{other}"]}
    found = values(data, free)
    linked = f"src.b.{name.split(',')[0]}"
    assert found.pop(linked) == pytest.approx(expected, rel=1e-12)
    assert found == pytest.approx(free, rel=1e-12)


def test_chains_of_links() -> None:
    """Written before what they follow from, through a constant, an absorber and a coefficient."""
    data = one(
        {
            "a": power_law(K="= src.b.K / 2", index="= src.b.index + d"),
            "b": power_law(K="= src.c.K ** 2", index="= 2 * src.c.index"),
            "c": power_law(),
        },
        absorption={"gas": Absorber("= 100 * src.a.K"), "dust": Absorber("= s.constant / 2")},
        constant="= src.gas.NH * 3",
        coefficients={"d": "= e - 1", "e": "normal(0, 1)"},
    )
    found = values(data, {"src.c.K": 0.1, "src.c.index": -1.5, "e": 0.3})
    assert found == pytest.approx({
        "src.a.K": 0.005, "src.a.index": -3.7, "src.b.K": 0.01, "src.b.index": -3, "src.c.K": 0.1,
        "src.c.index": -1.5, "src.gas.NH": 0.5, "src.dust.NH": 0.75, "s.constant": 1.5,
        "d": -0.7, "e": 0.3,
    })  # fmt: skip


def test_what_follows_from_held_parameters_is_held() -> None:
    data = one({"a": power_law(K=2e-3), "b": power_law(K="= 3 * src.a.K", index="= 1 - 3")})
    assert data.parameters == ("src.a.index",)
    assert data.collected.held == pytest.approx({
        "src.a.K": 2e-3, "src.b.K": 6e-3, "src.b.index": -2,
    })  # fmt: skip


def test_zero_is_held_at_zero() -> None:
    data = one({"a": power_law(K=0), "b": power_law(K="= 2 * src.a.K"), "c": power_law()})
    assert data.collected.held["src.a.K"] == data.collected.held["src.b.K"] == 0.0


def test_populations() -> None:
    """Members have the population's density; in units of its sd they are its mean + sd v."""
    data = one(
        {"a": power_law(K="from norms", index="from indices"), "b": power_law(K="from norms")},
        populations={
            "indices": Population("normal(-2, 1)", "half_normal(1)"),
            "norms": Population("loguniform(1e-6, 1)", 0.7),
        },
    )
    parameters = data.collected
    alone = one(
        {"a": power_law(K=1, index=-2), "b": power_law(K=1)},
        coefficients={
            "mean": "normal(-2, 1)", "sd": "half_normal(1)", "norm": "loguniform(1e-6, 1)",
        },
    ).collected  # fmt: skip
    v = np.random.default_rng(3).normal(0, 0.7, (5, parameters.free))
    u, log_jacobian = parameters.spread(v)
    x, log_prior = parameters.values(u)
    found = parameters.named(x)
    free = [row.name for row in parameters.rows[: parameters.free]]
    column = {name: v[:, k] for k, name in enumerate(free)}
    index = found["indices.mean"] + found["indices.sd"] * column["src.a.index"]
    np.testing.assert_allclose(found["src.a.index"], index)
    norms = {name: found["norms.mean"] * np.exp(0.7 * column[name]) for name in
             ("src.a.K", "src.b.K")}  # fmt: skip
    for name, norm in norms.items():
        np.testing.assert_allclose(found[name], norm)

    names = {"src.b.index": "src.b.index", "indices.mean": "mean", "indices.sd": "sd",
             "norms.mean": "norm"}  # fmt: skip
    order = [row.name for row in alone.rows[: alone.free]]
    own = np.stack([column[next(k for k, n in names.items() if n == name)] for name in order], -1)
    expected = alone.values(own)[1]
    expected += stats.norm.logpdf(index, found["indices.mean"], found["indices.sd"])
    for norm in norms.values():
        expected += stats.norm.logpdf(np.log(norm), np.log(found["norms.mean"]), 0.7)
    assert np.ptp(log_prior - expected) < 1e-9
    np.testing.assert_allclose(log_jacobian, np.log(found["indices.sd"]) + 2 * np.log(0.7))


NORMAL = stats.truncnorm(-0.5, np.inf, 1, 2)
PRIORS: dict[str, tuple[Any, Any]] = {
    # of a parameter that is positive by nature, and of one that isn't
    "normal(1, 2)": (NORMAL, stats.norm(1, 2)),
    "normal(-2, 1)": (stats.truncnorm(2, np.inf, -2, 1), stats.norm(-2, 1)),
    "lognormal(-1, 0.5)": (stats.lognorm(0.5, scale=np.exp(-1)),) * 2,
    "half_normal(2)": (stats.halfnorm(0, 2),) * 2,
    "gamma(2.5, 3)": (stats.gamma(2.5, scale=1 / 3),) * 2,
    "inv_gamma(3, 2)": (stats.invgamma(3, scale=2),) * 2,
    "uniform(0, 3)": (stats.uniform(0, 3),) * 2,
    "uniform(1, 3)": (stats.uniform(1, 2),) * 2,
    "loguniform(0.01, 2)": (stats.loguniform(0.01, 2),) * 2,
}


@pytest.mark.parametrize("positive", [True, False])
@pytest.mark.parametrize("prior", PRIORS)
def test_priors(prior: str, positive: bool) -> None:
    """The density of u is that of x times dx / du, here by differences."""
    name = "K" if positive else "index"
    other = {"index": -2} if positive else {"K": 1e-3}
    parameters = one(component("powerlaw", **{name: prior}, **other)).collected
    u = np.linspace(-2.5, 2.5, 23)

    def x(u: FloatArray) -> FloatArray:
        return parameters.named(parameters.values(u[:, None])[0])[f"src.c.{name}"]

    law = PRIORS[prior][0 if positive else 1]
    step = 1e-4
    jacobian = (x(u + step) - x(u - step)) / (2 * step)
    log_density = parameters.values(u[:, None])[1]
    apart = log_density - law.logpdf(x(u)) - np.log(jacobian)
    assert np.ptp(apart) < 1e-6

    def whole(u: float) -> float:
        return float(np.exp(parameters.values(np.array([[u]]))[1][0] - apart.mean()))

    # all of the prior is within reach of the sampler
    assert integrate.quad(whole, -30, 30, points=[0.0], limit=200)[0] == pytest.approx(1, abs=1e-4)
    at = x(u)
    assert [parameters.u_of(0, value) for value in at] == pytest.approx(u, abs=1e-8)


def test_other_priors_in_a_fit() -> None:
    data = one(power_law(K="= 1e-5 * ratio"), coefficients={"ratio": "lognormal(0, 1)"})
    fit = pyxstan.fit(
        "linked_spectra", data, seed=1, chains=2, warmup=300, draws=300, progress=False,
        priors={"src.c.index": "uniform(-1.2, -1)", "ratio": "normal(1, 0.001)"},
    )  # fmt: skip
    assert json.loads(attributes(fit)["priors"]) == {
        "src.c.index": "uniform(-1.2, -1)", "ratio": "normal(1, 0.001)",
    }  # fmt: skip
    value = group(fit, "posterior")["value"]
    index = value.sel(parameter="src.c.index")
    assert float(index.min()) > -1.2
    assert float(index.max()) < -1
    np.testing.assert_allclose(value.sel(parameter="src.c.K"), 1e-5, rtol=5e-3)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (500 * units.eV, 0.5),
        ("500 eV", 0.5),
        (2 * units.keV, 2.0),
        ("2", 2.0),
        (np.float32(2), 2.0),
        (1 * units.K * 1.380649e-23 / 1.602176634e-16 * units.keV / units.K, 8.617333e-8),
    ],
)
def test_quantities(given: Any, expected: float) -> None:
    data = one(component("blackbody", K=K, kT=given))
    assert data.collected.held == pytest.approx({"src.c.kT": expected})


def test_units_of_norms_columns_and_pivots() -> None:
    per = 1 / (units.cm**2 * units.s * units.MeV)
    data = one(
        {"photons": power_law(K=5 * units.ph * per, piv=1 * units.MeV),
         "none": power_law(K=5 * per), "words": power_law(K="50 ph / (m2 s keV)", piv="500 eV")},
        absorption={"gas": Absorber(3e21 / units.cm**2)},
    )  # fmt: skip
    held = {"src.photons.K": 5e-3, "src.none.K": 5e-3, "src.words.K": 5e-3, "src.gas.NH": 0.3}
    assert data.collected.held == pytest.approx(held)
    pivots = [used.constants["piv"] for used in data.sources[0].components.values()]
    assert pivots == pytest.approx([1000, 1, 0.5])


def full() -> LinkedSpectra:
    """A model with something of everything."""
    first = ps.Source(
        "first",
        {"pl": power_law(K="lognormal(-7.123456789, 1)", index="from indices", piv=2)},
        {"galactic": Absorber(0.3), "own": Absorber("loguniform(0.01, 10)", redshift=0.5)},
        redshift=0.5,
    )
    second = ps.Source(
        "second", {"pl": power_law(K="= slope * first.pl.K", index="from indices"),
                   "bb": component("blackbody", K=K, kT=500 * units.eV)},
    )  # fmt: skip
    a = ps.Observation(spectrum("wstat", "a").grouped(by=3).noticing("0.5-3, 4-7"), "first")
    other = spectrum(name="b").ignoring("1.5-1.6, 9-")
    b = ps.Observation(other, ("first", "second"), "lognormal(0, 0.1)", "cstat")
    return LinkedSpectra(
        (a, b), (first, second), {"slope": "lognormal(0, 1)"},
        {"indices": Population("normal(-1.8, 0.3)", "half_normal(0.5)")},
    )  # fmt: skip


def test_describe_says_what_models_are_written_with() -> None:
    text = str(pyxstan.describe("linked_spectra"))
    for entry in COMPONENTS.values():
        assert f"\n  {entry.name}: {entry.formula}\n" in text
    assert "\n    kT [keV]: temperature\n" in text


def test_describe() -> None:
    assert (
        full().describe()
        == """\
a: first, wstat, 10000 s
b: first + second, cstat, 10000 s
  first.pl.K         lognormal(-7.12346, 1)  [ph / (s cm2 keV)]
  first.pl.index     from indices
  first.galactic.NH  0.3 (held)  [1e22 cm-2]
  first.own.NH       loguniform(0.01, 10)  [1e22 cm-2]
  second.pl.K        = slope * first.pl.K  [ph / (s cm2 keV)]
  second.pl.index    from indices
  second.bb.K        lognormal(-7, 1)  [ph / (s cm2 keV3)]
  second.bb.kT       0.5 (held)  [keV]
  b.constant         lognormal(0, 0.1)
  slope              lognormal(0, 1)
  indices.mean       normal(-1.8, 0.3)
  indices.sd         half_normal(0.5)
first.galactic: cross sections of Morrison & McCammon 1983, with their abundances, as wabs
first.own: cross sections of Morrison & McCammon 1983, with their abundances, as wabs"""
    )


def same(one: LinkedSpectra, other: LinkedSpectra) -> None:
    assert one.describe() == other.describe()
    assert [p.setting for p in one.collected.all] == [p.setting for p in other.collected.all]
    assert one.collected.rows == other.collected.rows
    for a, b in zip(one.sources, other.sources, strict=True):
        assert (a.name, a.redshift) == (b.name, b.redshift)
        assert [c.constants for c in a.components.values()] == [
            c.constants for c in b.components.values()
        ]
        assert [x.redshift for x in a.absorption.values()] == [
            x.redshift for x in b.absorption.values()
        ]
    for x, y in zip(one.observations, other.observations, strict=True):
        assert (x.name, x.sources, x.statistic) == (y.name, y.sources, y.statistic)
        mine, yours = x.spectrum.groups(), y.spectrum.groups()
        for field in ("counts", "background_counts", "alpha", "energy_low", "energy_high"):
            left, right = getattr(mine, field), getattr(yours, field)
            assert (left is None) == (right is None)
            if left is not None:
                np.testing.assert_allclose(left, right, rtol=1e-6)
        np.testing.assert_array_equal(mine.membership.toarray(), yours.membership.toarray())
        np.testing.assert_array_equal(x.spectrum.noticed, y.spectrum.noticed)


def test_to_yaml_and_back(tmp_path: Path) -> None:
    data = full()
    written = write(data, {}, tmp_path)
    assert written[0] == tmp_path / "model.yaml"
    same(LinkedSpectra.from_yaml(written[0]), data)


@pytest.mark.parametrize("case", ["absorbed", "linked"])
def test_simulated_to_yaml_and_back(case: str, tmp_path: Path) -> None:
    data, truth = pyxstan.simulate("linked_spectra", seed=4, case=case)
    files = write(data, truth, tmp_path)
    same(LinkedSpectra.from_yaml(files[0]), data)
    stored = json.loads((tmp_path / "truth.json").read_text())
    assert stored == {"value": dict(zip(data.parameters, truth["value"], strict=True))}


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = tmp_path / "made", tmp_path / "out.nc"
    made = run(
        ["simulate", "linked_spectra", "-o", folder, "--seed", 3, "--set", "case=linked"], capsys
    )
    assert made.status == 0
    assert f"wrote {folder / 'model.yaml'}" in made.out
    described = run(["describe", "linked_spectra", folder / "model.yaml"], capsys)
    assert described.out == LinkedSpectra.from_yaml(folder / "model.yaml").describe() + "\n"
    done = run(
        ["fit", "linked_spectra", folder / "model.yaml", "-o", out, "--seed", 1, "--draws", 400,
         "--warmup", 400, "--prior", "src2.pl.index=uniform(-1.6, -1.4)"], capsys,
    )  # fmt: skip
    assert done.status == 0, done.err
    fit = read(out)
    posterior = group(fit, "posterior")["value"]
    truth = json.loads((folder / "truth.json").read_text())["value"]
    assert list(posterior["parameter"].values) == list(truth)
    pull = (np.array(list(truth.values())) - posterior.mean(("chain", "draw"))) / posterior.std(
        ("chain", "draw")
    )
    assert float(np.abs(pull).max()) < 4
    assert json.loads(attributes(fit)["priors"])["src2.pl.index"] == "uniform(-1.6, -1.4)"
    energy = {"low": 10 * units.keV, "high": 500 * units.keV}
    flux = ps.fluxes(fit, **energy, unit="ph / (cm2 s)", by="component")
    norm = posterior.sel(parameter="src2.pl.F")
    assert flux.loc["src2.pl", "mean"] == pytest.approx(float(norm.mean()), rel=1e-6)
    total = ps.fluxes(fit, **energy, by="total")["mean"].sum()
    parts = ps.fluxes(fit, **energy, by="component")["mean"].sum()
    assert total == pytest.approx(parts)
    assert total == pytest.approx(ps.fluxes(fit, **energy, unit="keV / (cm2 s)").sum()["mean"]
                                  * units.keV.to("erg"))  # fmt: skip


@pytest.mark.parametrize("kind", ["zero", "no background", "most of the background zero"])
def test_fits_of_next_to_nothing(kind: str) -> None:
    """Nothing at all in any channel, or nothing in most of the background's."""
    data = one(power_law(K="loguniform(1e-8, 1)"), "wstat")
    seen = data.observations[0].spectrum
    assert seen.background is not None
    none = np.zeros_like(seen.counts)
    few = none.copy()
    few[::13] = 1
    counts = none if kind == "zero" else seen.counts
    behind = few if kind.startswith("most") else none
    changed = replace(seen, counts=counts, background=replace(seen.background, counts=behind))
    data = replace(data, observations=(replace(data.observations[0], spectrum=changed),))
    fit = pyxstan.fit("linked_spectra", data, seed=2, progress=False)
    stats = group(fit, "sample_stats")
    assert int(stats["diverging"].sum()) == 0
    assert np.isfinite(stats["lp"]).all()
    log_like = group(fit, "log_likelihood")["counts"]
    assert np.isfinite(log_like).all()
    if kind == "zero":
        norm = group(fit, "posterior")["value"].sel(parameter="src.c.K")
        assert float(norm.quantile(0.95)) < 1e-3


def test_a_component_held_at_nothing() -> None:
    """It changes nothing in the posterior."""
    settings = {"seed": 1, "chains": 2, "warmup": 300, "draws": 300, "progress": False}
    alone = pyxstan.fit("linked_spectra", one({"c": POWER_LAW}), **settings)
    nothing = component("gaussian_line", F=0, mu=6.4, sigma=0)
    both = pyxstan.fit("linked_spectra", one({"c": POWER_LAW, "line": nothing}), **settings)
    np.testing.assert_allclose(
        group(alone, "posterior")["value"], group(both, "posterior")["value"], rtol=1e-6
    )


def test_priors_in_words_are_priors() -> None:
    """Those made beforehand pass through."""
    data = one(power_law(K=parse(K)))
    assert str(data.collected.priors["src.c.K"]) == K
