"""Models of spectra that can't be: one line that says what is wrong, and where."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy import units
from spectra_models import POWER_LAW, one, spectrum

import pyxstan
from pyxstan.inference_data import assemble, group
from pyxstan.spectra import (
    Absorber,
    LinkedSpectra,
    Observation,
    Population,
    Source,
    component,
    fake,
    fluxes,
    luminosities,
)

K, INDEX = "lognormal(-7, 1)", "normal(-1.8, 0.4)"


def power_law(**settings: Any) -> Any:
    return component("powerlaw", **{"K": K, "index": INDEX, **settings})


def two(first: Any = None, second: Any = None, **more: Any) -> LinkedSpectra:
    """Two components of a source, with these settings."""
    return one({"a": power_law(**(first or {})), "b": power_law(**(second or {}))}, **more)


def fitted(data: Any, **more: Any) -> Any:
    return pyxstan.fit("linked_spectra", data, progress=False, seed=1, **more)


def seen_as(statistic: str | None, kind: str, **changes: Any) -> LinkedSpectra:
    """A spectrum of one kind, fitted with another statistic."""
    found = one(POWER_LAW, kind)
    seen = replace(found.observations[0].spectrum, **changes)
    return replace(found, observations=(Observation(seen, "src", None, statistic),))


SOURCE = Source("src", {"c": POWER_LAW})
Case = tuple[Callable[[], Any], str]

SETTINGS: dict[str, Case] = {
    "component": (
        lambda: component("powerlow", K=1),
        "there is no component 'powerlow'; there are powerlaw, powerlaw_flux, cutoff_powerlaw, "
        "blackbody, band, bremsstrahlung, gaussian_line",
    ),
    "parameter": (
        lambda: component("powerlaw", K=1, slope=-2),
        "powerlaw has no parameter 'slope'; it has K, index, piv",
    ),
    "not set": (
        lambda: component("powerlaw", K=1),
        "powerlaw: index is not set: a number, a prior, or '= ...'",
    ),
    "constant": (
        lambda: power_law(piv=-1), "powerlaw: piv must be a positive number [keV]",
    ),
    "sampled constant": (
        lambda: power_law(piv="normal(1, 1)"), "powerlaw: piv must be a positive number [keV]",
    ),
    "range": (
        lambda: component("powerlaw_flux", F=1, index=-2, a=10, b=2),
        "powerlaw_flux: a = 10 keV is not below b = 2",
    ),
    "unit": (
        lambda: one(component("blackbody", K=K, kT=3 * units.s)),
        "src.c.kT: 3.0 s is not in units of keV",
    ),
    "unit of a constant": (
        lambda: power_law(piv="1 s"), "powerlaw.piv: 1 s is not in units of keV",
    ),
    "unit where there is none": (
        lambda: one(power_law(index="-2 keV")), "src.c.index: -2 keV is not in units of one",
    ),
    "unknown unit": (
        lambda: one(component("blackbody", K=K, kT="3 kev")),
        "src.c.kT: '3 kev' has a unit that astropy doesn't know",
    ),
    "word": (
        lambda: one(power_law(index="soft")),
        "src.c.index: prior 'soft': expected family(number, ...), as in normal(0, 5)",
    ),
    "several lines": (
        lambda: one(power_law(index="soft\nor\nhard")),
        "src.c.index: prior 'soft or hard': expected family(number, ...), as in normal(0, 5)",
    ),
    "array": (
        lambda: one(power_law(index=np.zeros((2, 2)))),
        "src.c.index: '[[0. 0.] [0. 0.]]' is neither a number nor a prior, a link or a population",
    ),
    "true": (
        lambda: one(power_law(index=True)),
        "src.c.index: 'True' is neither a number nor a prior, a link or a population",
    ),
    "nothing": (
        lambda: one(power_law(index=None)),
        "src.c.index: 'None' is neither a number nor a prior, a link or a population",
    ),
    "negative norm": (lambda: one(power_law(K=-1)), "src.c.K: -1 is negative"),
    "NaN": (lambda: one(power_law(K=float("nan"))), "src.c.K: nan is not a finite number"),
    "infinite": (lambda: one(power_law(index="inf")), "src.c.index: inf is not a finite number"),
    "no support": (
        lambda: one(power_law(K="normal(-10, 1)")),
        "src.c.K: normal(-10, 1) has no positive number",
    ),
    "support below zero": (
        lambda: one(power_law(K="uniform(-1, 1)")),
        "src.c.K: uniform(-1, 1) reaches below zero, where src.c.K can't be",
    ),
    "upside down": (
        lambda: one(power_law(K="loguniform(10, 0.1)")),
        "src.c.K: prior loguniform(10, 0.1): the lower end must be below the upper",
    ),
    "nothing free": (
        lambda: one(power_law(K=1, index=-2)),
        "no parameter is free: give at least one a prior",
    ),
    "redshift": (
        lambda: Absorber(1, redshift=-1.5), "absorption: redshift -1.5 is not a number above -1",
    ),
    "word for a redshift": (
        lambda: Absorber(1, redshift="high"),  # type: ignore[arg-type]
        "absorption: redshift high is not a number above -1",
    ),
    "source's redshift": (
        lambda: Source("src", {"c": POWER_LAW}, redshift=float("inf")),
        "source src: redshift inf is not a number above -1",
    ),
    "cross sections": (
        lambda: fitted(one(absorption={"gas": Absorber(1, table="none.csv")})),
        "none.csv: no such file",
    ),
}  # fmt: skip

EXPRESSION = "not an expression of numbers and parameters"
PRODUCTS = "a positive parameter takes products, quotients and powers"
SUMS = "a parameter that may be negative takes sums and multiples"


def norm(text: str, words: str, **more: Any) -> Case:
    return lambda: two(second={"K": f"= {text}"}, **more), f"src.b.K: link '{text}': {words}"


def index(text: str, words: str, **more: Any) -> Case:
    return lambda: two(
        second={"index": f"= {text}"}, **more
    ), f"src.b.index: link '{text}': {words}"


LINKS: dict[str, Case] = {
    "to nothing": norm("src.c.K", "there is no parameter 'src.c.K'"),
    "no expression": norm("2 *", EXPRESSION),
    "empty": (
        lambda: two(second={"K": "="}), f"src.b.K: link '': {EXPRESSION}",
    ),
    "other words": norm("twice src.a.K", EXPRESSION),
    "assignment": norm("(x := 3)", PRODUCTS),
    "call": norm("exp(src.a.K)", PRODUCTS),
    "import": norm("__import__('os').system('true')", PRODUCTS),
    "attribute of a number": norm("(1).real", PRODUCTS),
    "subscript": norm("src['a'].K", PRODUCTS),
    "lambda": index("lambda: 1", SUMS),
    "list": index("[src.a.index]", SUMS),
    "condition": index("src.a.index if 1 else 2", SUMS),
    "string": norm("'src.a.K'", PRODUCTS),
    "truth": norm("True", PRODUCTS),
    "sum of norms": norm("src.a.K + 1", PRODUCTS),
    "negative norm": norm("-src.a.K", PRODUCTS),
    "zero": norm("0 * src.a.K", "0 in a product of positive parameters"),
    "power of a number": norm("2 ** src.a.index ** 2", PRODUCTS),
    "overflow": norm("10.0 ** 999", "'10.0 ** 999' is not a finite number"),
    "complex": index("(-8) ** 0.5", "'(-8) ** 0.5' is not a finite number"),
    "division by zero": index("src.a.index / 0", SUMS),
    "infinite": index("1e999", "'1e309' is not a finite number"),
    "index in a product": norm(
        "src.a.index * src.a.K", "'src.a.index' may be negative: no factor of a positive parameter"
    ),
    "norm in a sum": index(
        "src.a.K + 1", "'src.a.K' is positive by nature: no term of a sum"
    ),
    "positive coefficient with a number": index(
        "s * (src.a.index + 1)", "'s', positive by nature, times a number",
        coefficients={"s": "lognormal(0, 1)"},
    ),
    "two coefficients": index(
        "s * t * src.a.index", "two coefficients at one parameter",
        coefficients={"s": "normal(0, 1)", "t": "normal(0, 1)"},
    ),
    "coefficient that may be negative": norm(
        "s * src.a.K", "'s' may be negative: no factor of a positive parameter",
        coefficients={"s": "normal(1, 1)"},
    ),
    "to itself": (
        lambda: two(second={"K": "= 2 * src.b.K"}),
        "links that lead back to themselves: src.b.K -> src.b.K",
    ),
    "to each other": (
        lambda: two({"index": "= src.b.index"}, {"index": "= 1 + src.a.index"}),
        "links that lead back to themselves: src.a.index -> src.b.index -> src.a.index",
    ),
    "three in a circle": (
        lambda: two({"K": "= src.b.K", "index": "= s"}, {"K": "= src.a.K * src.gas.NH"},
                    absorption={"gas": Absorber("= src.a.K")}, coefficients={"s": "normal(0, 1)"}),
        "links that lead back to themselves: src.a.K -> src.b.K -> src.a.K",
    ),
    "a circle through a coefficient": (
        lambda: two({"index": "= s * src.b.index"},
                    coefficients={"s": "= t", "t": "= src.a.index"}),
        "links that lead back to themselves: src.a.index -> s -> t -> src.a.index",
    ),
    "population that isn't there": (
        lambda: two({"index": "from indices"}),
        "src.a.index: no population 'indices'; there are none",
    ),
    "another population": (
        lambda: two({"index": "from others"}, {"index": "from indices"},
                    populations={"indices": Population("normal(-2, 1)", "half_normal(1)")}),
        "src.a.index: no population 'others'; there are indices",
    ),
    "population without members": (
        lambda: one(populations={"indices": Population("normal(-2, 1)", "half_normal(1)")}),
        "population indices: no parameter is drawn 'from indices'",
    ),
    "population of two units": (
        lambda: one({"a": power_law(K="from all"), "b": component("blackbody", K=K, kT="from all")},
                    populations={"all": Population(K, "half_normal(1)")}),
        "src.b.kT: population 'all' is of parameters in other units",
    ),
    "population of two scales": (
        lambda: one(power_law(index="from all"), constant="from all",
                    populations={"all": Population("normal(-2, 1)", "half_normal(1)")}),
        "s.constant: its likes in population 'all' are of another scale",
    ),
    "population's spread": (
        lambda: one(power_law(index="from all"),
                    populations={"all": Population("normal(-2, 1)", -1)}),
        "all.sd: -1 is negative",
    ),
}  # fmt: skip

NAMES: dict[str, Case] = {
    "spectra": (
        lambda: LinkedSpectra([Observation(spectrum(), "src")] * 2, [SOURCE]),
        "two spectra are called 's'",
    ),
    "sources": (
        lambda: LinkedSpectra([Observation(spectrum(), "src")], [SOURCE] * 2),
        "two sources are called 'src'",
    ),
    "component and absorber": (
        lambda: one({"a": POWER_LAW}, absorption={"a": Absorber(1)}),
        "source src: 'a' names a component and an absorber",
    ),
    "no identifier": (
        lambda: Source("3C 273", {"c": POWER_LAW}),
        "source 3C 273: '3C 273' is no name (letters, digits and _, not a digit first, and no word "
        "of Python)",
    ),
    "word of Python": (
        lambda: one({"lambda": POWER_LAW}),
        "source src: 'lambda' is no name (letters, digits and _, not a digit first, and no word "
        "of Python)",
    ),
    "coefficient": (
        lambda: one(coefficients={"a b": 1}),
        "coefficients: 'a b' is no name (letters, digits and _, not a digit first, and no word "
        "of Python)",
    ),
    "no source of a spectrum": (
        lambda: LinkedSpectra([Observation(spectrum(), "sun")], [SOURCE]),
        "s: there is no source 'sun'; there are src",
    ),
    "no spectrum of a source": (
        lambda: replace(one(), sources=(*one().sources, Source("sun", {"c": POWER_LAW}))),
        "source sun: no spectrum is of it",
    ),
    "no source": (
        lambda: LinkedSpectra([Observation(spectrum(), ())], [SOURCE]),
        "s: no source is in it",
    ),
    "no spectra": (lambda: replace(one(), observations=()), "linked_spectra: no spectrum"),
    "no observations": (
        lambda: LinkedSpectra([spectrum()], [SOURCE]),  # type: ignore[list-item]
        "linked_spectra: observations: expected a list of Observation",
    ),
    "one source": (
        lambda: LinkedSpectra([Observation(spectrum(), "src")], "src"),  # type: ignore[arg-type]
        "linked_spectra: sources: expected a list of Source",
    ),
    "no components": (lambda: Source("src", {}), "source src: no component"),
    "list of components": (
        lambda: Source("src", [POWER_LAW]),  # type: ignore[arg-type]
        "source src: expected {'name': component(...), ...}",
    ),
    "no absorber": (
        lambda: Source("src", {"c": POWER_LAW}, {"gas": 0.3}),  # type: ignore[dict-item]
        "source src: expected {'name': Absorber(...), ...}",
    ),
}  # fmt: skip

SPECTRA: dict[str, Case] = {
    "no response": (
        lambda: seen_as(None, "cstat", response=None), "s: no response (RESPFILE, or rmf:)",
    ),
    "statistic": (
        lambda: seen_as("cash", "cstat"),
        "s: there is no statistic 'cash'; there are cstat, wstat, pgstat, chi2",
    ),
    "wstat without background": (
        lambda: fitted(seen_as("wstat", "cstat")), "s: wstat asks for a background",
    ),
    "pgstat without background": (
        lambda: fitted(seen_as("pgstat", "cstat")), "s: pgstat asks for a background",
    ),
    "wstat with a background that has errors": (
        lambda: fitted(seen_as("wstat", "pgstat")), "s: wstat asks for a background in counts",
    ),
    "cstat of rates": (
        lambda: fitted(seen_as("cstat", "chi2")), "s: cstat asks for counts, the file has rates",
    ),
    "chi2 without errors": (
        lambda: fitted(seen_as("chi2", "cstat")), "s: chi2 asks for errors, the file has counts",
    ),
    "chi2 with errors of zero": (
        lambda: fitted(seen_as("chi2", "chi2", errors=np.arange(40) % 20, background=None)),
        "s: chi2, but no error in channel 1 (0.3-0.5675 keV), 21 (5.65-5.9175 keV): leave that out "
        "(ignore:), group it with others, or mark it by QUALITY",
    ),
    "pgstat with a background in counts": (
        lambda: fitted(seen_as("pgstat", "wstat")), "s: pgstat asks for a background with errors",
    ),
    "all ignored": (
        lambda: fitted(seen_as(None, "cstat", noticed=np.zeros(40, dtype=bool))),
        "s: no channel is left to use",
    ),
    "another class": (
        lambda: fitted(spectrum()),
        "linked_spectra: expected LinkedSpectra or a YAML file, not Spectrum",
    ),
    "prior of nothing": (
        lambda: fitted(one(), priors={"src.c.norm": "normal(0, 1)"}),
        "no parameter 'src.c.norm' that is free; there are src.c.K, src.c.index",
    ),
    "prior without support": (
        lambda: fitted(one(), priors={"src.c.K": "uniform(-2, -1)"}),
        "src.c.K: uniform(-2, -1) reaches below zero, where src.c.K can't be",
    ),
    "start outside of the prior": (
        lambda: fitted(one(power_law(index="uniform(-3, 0)")), inits={"src.c.index": 1}),
        "value of src.c.index: 1 is outside of its prior, uniform(-3, 0)",
    ),
    "negative start": (
        lambda: fitted(one(), inits={"src.c.K": -1}),
        "value of src.c.K: -1 is outside of its prior, lognormal(-7, 1)",
    ),
    "word to start": (
        lambda: fitted(one(), inits={"src.c.K": "low"}), "value of src.c.K: 'low' is not a number",
    ),
    "start of nothing": (
        lambda: fitted(one(), inits={"K": 1}),
        "no starting value for 'K'; there are src.c.K, src.c.index",
    ),
    "too many to start": (
        lambda: fitted(one(), inits={"value": [1, 2, 3]}),
        "starting values: 3 numbers, but 2 parameters",
    ),
    "fake without a value": (
        lambda: fake(one(), {"src.c.K": 1e-3}, seed=1), "simulate: no value of src.c.index",
    ),
    "fake with a value too many": (
        lambda: fake(one(power_law(K=1)), {"src.c.K": 1e-3, "src.c.index": -2}, seed=1),
        "simulate: no parameter 'src.c.K' that is free; there are src.c.index",
    ),
    "simulated parameter": (
        lambda: pyxstan.simulate("linked_spectra", {"K": 1}, seed=1),
        "simulate: no parameter 'K' that is free; there are source.pl.K, source.pl.index, "
        "source.gas.NH",
    ),
    "simulated values": (
        lambda: pyxstan.simulate("linked_spectra", {"value": [1, 2]}, seed=1),
        "simulate: 2 values, but 3 parameters",
    ),
    "exposure of nothing": (
        lambda: pyxstan.simulate("linked_spectra", exposure=0, seed=1),
        "survey background: EXPOSURE is 0, expected a positive number of s",
    ),
}  # fmt: skip

CASES = {
    f"{kind}: {name}": case
    for kind, cases in {
        "setting": SETTINGS, "link": LINKS, "name": NAMES, "spectra": SPECTRA,
    }.items()
    for name, case in cases.items()
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_models(name: str) -> None:
    make, words = CASES[name]
    with pytest.raises(pyxstan.DataError) as raised:
        make()
    assert str(raised.value) == words


@pytest.mark.parametrize(
    "text", ["(" * 3000 + "src.a.K" + ")" * 3000, "1*" * 30000 + "src.a.K", "\0"]
)
def test_links_that_no_one_writes(text: str) -> None:
    with pytest.raises(pyxstan.DataError, match=r"^src\.b\.K: link '[^\n]*$"):
        two(second={"K": f"= {text}"})


KEV = units.keV
#: What is asked of a fit, or of something else, in the place of fluxes.
FLUXES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "upside down": (
        lambda fit: fluxes(fit, 10 * KEV, 2 * KEV),
        "fluxes from 10 to 2 keV: the energies are upside down",
    ),
    "wrong unit": (
        lambda fit: fluxes(fit, 1 * KEV, 2 * KEV, unit="erg / s"),
        "unit 'erg / s': expected one of flux, such as erg / (cm2 s) or ph / (cm2 s)",
    ),
    "unknown unit": (
        lambda fit: fluxes(fit, 1 * KEV, 2 * KEV, unit="crab"),
        "unit 'crab': not a unit that astropy knows",
    ),
    "no energy": (
        lambda fit: fluxes(fit, 1 * units.cm**2, 2 * KEV),
        "low: 1.0 cm2 is not an energy, such as 2 * u.keV",
    ),
    "number": (
        lambda fit: fluxes(fit, 1 * KEV, 2),  # type: ignore[arg-type]
        "high: 2 is not an energy, such as 2 * u.keV",
    ),
    "several energies": (
        lambda fit: fluxes(fit, [1, 2] * KEV, 3 * KEV),
        "low: [1. 2.] keV is not an energy, such as 2 * u.keV",
    ),
    "negative energy": (
        lambda fit: fluxes(fit, -1 * KEV, 2 * KEV), "low: -1.0 keV is not a positive energy",
    ),
    "by": (
        lambda fit: fluxes(fit, 1 * KEV, 2 * KEV, by="channel"),
        "by 'channel': expected source, component or total",
    ),
    "probability": (
        lambda fit: fluxes(fit, 1 * KEV, 2 * KEV, probability=68),
        "probability 68: expected a number between 0 and 1",
    ),
    "no fit": (
        lambda fit: fluxes(5, 1 * KEV, 2 * KEV), "expected what pyxstan.fit returned, got int",
    ),
    "another fit": (
        lambda fit: fluxes(assemble({"posterior": group(fit, "posterior")}, {}), KEV, 2 * KEV),
        "expected a fit of linked_spectra",
    ),
    "no redshift": (
        lambda fit: luminosities(fit, 1 * KEV, 2 * KEV), "luminosities: no source has a redshift",
    ),
    "negative redshift": (
        lambda fit: luminosities(fit, 1 * KEV, 2 * KEV, redshift=-0.1),
        "source src: redshift -0.1 is not positive",
    ),
    "cosmology": (
        lambda fit: luminosities(fit, 1 * KEV, 2 * KEV, redshift=1, cosmology="Hubble"),
        "cosmology 'Hubble': there are ",
    ),
    "unit of luminosity": (
        lambda fit: luminosities(fit, 1 * KEV, 2 * KEV, redshift=1, unit="erg"),
        "unit 'erg': expected one of luminosity, such as erg / s",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def a_fit(cache: Path) -> Any:
    return fitted(one(), chains=1, warmup=100, draws=50)


@pytest.mark.parametrize("name", FLUXES)
def test_fluxes_of_what_has_none(name: str, a_fit: Any) -> None:
    ask, words = FLUXES[name]
    with pytest.raises(pyxstan.DataError) as raised:
        ask(a_fit)
    assert str(raised.value).startswith(words)
    assert "\n" not in str(raised.value)
