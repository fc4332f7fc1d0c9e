"""Values and priors in another unit, or of another sign, than they seem: a warning of the fit."""

from __future__ import annotations

from typing import Any

import pytest
from spectra_models import one

from pyxstan.errors import DataError
from pyxstan.priors import parse
from pyxstan.spectra import component
from pyxstan.spectra.doubts import twins
from pyxstan.spectra.model import Absorber
from pyxstan.spectra.problem import prepare


def warned(used: Any, NH: Any) -> list[str]:
    data = one(used, statistic="wstat", absorption={"gas": Absorber(NH)})
    return prepare("linked_spectra", data, {}, {}).warnings


def powerlaw(index: Any = -2.0) -> Any:
    return component("powerlaw", K="lognormal(-7, 1)", index=index)


def line(mu: Any) -> Any:
    return component("gaussian_line", F="lognormal(-7, 1)", mu=mu, sigma=0.1)


@pytest.mark.parametrize(
    ("used", "NH", "words"),
    [
        (powerlaw(), 2e21, "src.gas.NH: about 2e+21, in 10^22 cm^-2, lets nothing through: if that "
         "is in cm^-2, it is 0.2 here"),
        (powerlaw(), "loguniform(1e20, 1e22)", "src.gas.NH: about 1e+21, in 10^22"),
        (powerlaw(1.7), 0.1, "src.c.index: about 1.7 is a flux that rises as E^1.7: a photon index "
         "of 1.7 is -1.7 here"),
        (powerlaw("uniform(1, 3)"), 0.1, "src.c.index: about 2 is a flux that rises"),
        (line(6400.0), 0.1, "src.c.mu: about 6400 keV is outside the energies of the spectra"),
        (line("normal(6400, 10)"), 0.1, "src.c.mu: about 6400 keV is outside the energies"),
        (component("band", K="lognormal(-7, 1)", alpha="normal(-2.2, 1)", beta=-2.1, xp=300), 0.1,
         "src.c: about alpha = -2.2 and beta = -2.1, expected alpha above beta and above -2"),
        (component("blackbody", K="lognormal(-7, 1)", kT="normal(1000, 10)"), 0.1,
         "src.c.kT: about 1000 keV is far above"),
    ],
)  # fmt: skip
def test_doubted(used: Any, NH: Any, words: str) -> None:
    (warning,) = warned(used, NH)
    assert warning.startswith(words)


@pytest.mark.parametrize(
    ("used", "NH"),
    [
        (powerlaw(), "2e21 cm-2"), (powerlaw("normal(-1.8, 0.5)"), "loguniform(0.01, 100)"),
        (powerlaw("uniform(-3, 3)"), 0.0), (line(6.4), 0.1), (line("normal(6.4, 0.1)"), 0.1),
        (component("powerlaw_flux", F="lognormal(-7, 1)", index=-1, a=2, b="7 keV"), 0.1),
        (component("band", K="lognormal(-7, 1)", alpha=-1, beta=-2.3, xp=300), 0.1),
        (component("cutoff_powerlaw", K="lognormal(-7, 1)", index=-1, xc=300), 0.1),
        (component("bremsstrahlung", K="lognormal(-7, 1)", kT="uniform(1, 20)"), 0.1),
    ],
)  # fmt: skip
def test_not_doubted(used: Any, NH: Any) -> None:
    assert warned(used, NH) == []


def test_a_model_that_is_impossible_says_what_is_doubted() -> None:
    band = component("band", K="lognormal(-7, 1)", alpha=-2.5, beta=-2, xp=300)
    with pytest.raises(
        DataError, match=r"can't make these.*; src\.c: about alpha = -2\.5 and beta"
    ):
        prepare("linked_spectra", one(band), {}, {})
    data = one(absorption={"gas": Absorber(2e21)})
    with pytest.raises(DataError, match=r"can't make these counts.*; src\.gas\.NH: about 2e\+21"):
        prepare("linked_spectra", data, {}, {})


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, True),
        ({"sigma": "= src.a.sigma"}, True),
        ({"mu": "uniform(5, 8)"}, False),
        ({"mu": "= src.a.mu", "F": "= src.a.F", "sigma": "= src.a.sigma"}, False),
        ({"F": "= 2 * src.a.F"}, False),
    ],
)
def test_twins_may_change_names(settings: dict[str, Any], told: bool) -> None:
    priors = {"F": "loguniform(1e-6, 1e-2)", "mu": "uniform(2, 8)", "sigma": "loguniform(0.1, 1)"}
    parts = {
        "a": component("gaussian_line", **priors),
        "b": component("gaussian_line", **(priors | settings)),
    }
    data = one(parts, statistic="wstat")
    said = twins(data, data.collected)
    assert [line.startswith("src.a and src.b have the same priors") for line in said] == [
        True
    ] * told


def test_twin_absorbers_may_change_names() -> None:
    gas = {name: Absorber("loguniform(0.01, 10)") for name in ("near", "far")}
    data = one(powerlaw(), statistic="wstat", absorption=gas)
    assert len(twins(data, data.collected)) == 1
    other = data.with_priors({"src.far.NH": parse("loguniform(1, 10)")})
    assert not twins(data, other)
    redshifted = {**gas, "far": Absorber("loguniform(0.01, 10)", redshift=0.5)}
    data = one(powerlaw(), statistic="wstat", absorption=redshifted)
    assert not twins(data, data.collected)
