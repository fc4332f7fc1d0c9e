"""Components against their formulas at 30 digits, bare and absorbed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from astropy import units as u
from scipy import integrate

from pyxstan.errors import DataError
from pyxstan.spectra import absorption
from pyxstan.spectra.component_types import Component
from pyxstan.spectra.components import COMPONENTS

#: By name: values that each component is looked at with.
VALUES: dict[str, list[dict[str, float]]] = {
    "powerlaw": [
        {"K": 1.622e-4, "index": -1.782},
        {"K": 2.0, "index": -1.0, "piv": 30.0},
        {"K": 2.0, "index": -1.0 + 1e-9, "piv": 1e3},
        {"K": 0.3, "index": 2.5},
        {"K": 0.3, "index": -12.0},
    ],
    "powerlaw_flux": [
        {"F": 200.0, "index": -1.5, "a": 10.0, "b": 500.0},
        {"F": 2.0, "index": -1.0},
        {"F": 2.0, "index": -1.0 - 1e-9},
        {"F": 2.0, "index": 3.0, "a": 0.5, "b": 0.6},
    ],
    "cutoff_powerlaw": [
        {"K": 2.0, "index": -1.4, "xc": 40.0},
        {"K": 2.0, "index": 0.3, "xc": 3.0, "piv": 10.0},
    ],
    "blackbody": [{"K": 5e-8, "kT": 500.0}, {"K": 1.0, "kT": 0.2}, {"K": 1.0, "kT": 3.0}],
    "band": [
        {"K": 0.1, "alpha": -0.8, "beta": -2.3, "xp": 300.0},
        {"K": 0.1, "alpha": 0.5, "beta": -1.5, "xp": 3.0, "piv": 1.0},
    ],
    "bremsstrahlung": [{"K": 0.2, "kT": 4.0}, {"K": 0.2, "kT": 100.0}],
    "gaussian_line": [
        {"F": 3e-5, "mu": 6.4, "sigma": 0.1},
        {"F": 3e-5, "mu": 6.7, "sigma": 3.0},
        {"F": 1.0, "mu": 60.0, "sigma": 1.5},
    ],
}
CASES = [(name, values) for name, several in VALUES.items() for values in several]
#: Bins of about 5% and 1% of an energy, as of an NaI detector and of a CCD.
GRIDS = {"GBM": np.geomspace(8.0, 1000.0, 100), "X-ray": np.geomspace(0.3, 11.0, 361)}


def formula(name: str, v: dict[str, float]) -> Callable[[Any], Any]:
    """The flux at an energy, as the docstring of `components` has it."""
    constants = {c.name: c.default for c in COMPONENTS[name].constants}
    p = {key: mp.mpf(value) for key, value in (constants | v).items()}
    if name == "powerlaw":
        return lambda e: p["K"] * (e / p["piv"]) ** p["index"]
    if name == "powerlaw_flux":
        g = p["index"] + 1
        whole = mp.log(p["b"] / p["a"]) if g == 0 else (p["b"] ** g - p["a"] ** g) / g
        return lambda e: p["F"] / whole * e ** p["index"]
    if name == "cutoff_powerlaw":
        return lambda e: p["K"] * (e / p["piv"]) ** p["index"] * mp.exp(-e / p["xc"])
    if name == "blackbody":
        return lambda e: p["K"] * e**2 / mp.expm1(e / p["kT"])
    if name == "bremsstrahlung":
        return lambda e: p["K"] * mp.exp(-e / p["kT"]) / e
    if name == "gaussian_line":
        return lambda e: p["F"] * mp.npdf(e, p["mu"], p["sigma"])
    a, b, folding = p["alpha"], p["beta"], p["xp"] / (2 + p["alpha"])

    def band(e: Any) -> Any:
        if e < (a - b) * folding:
            return p["K"] * (e / p["piv"]) ** a * mp.exp(-e / folding)
        at_break = ((a - b) * folding / p["piv"]) ** (a - b) * mp.exp(b - a)
        return p["K"] * at_break * (e / p["piv"]) ** b

    return band


def integrated(name: str, v: dict[str, float], low: float, high: float) -> Any:
    """The integral of the flux."""
    if name == "gaussian_line":
        with mp.workdps(60):
            z = [(mp.mpf(e) - mp.mpf(v["mu"])) / mp.mpf(v["sigma"]) for e in (low, high)]
            far = [-z[1], -z[0]] if z[0] > 0 else z
            return mp.mpf(v["F"]) * (mp.ncdf(far[1]) - mp.ncdf(far[0]))
    return mp.quad(formula(name, v), [mp.mpf(low), mp.mpf(high)])


@pytest.fixture(autouse=True)
def _digits() -> Any:
    with mp.workdps(30):
        yield


def transmission(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    low, high = edges[:-1], edges[1:]
    at = [absorption.transmission(e, 0.7) for e in (low, 0.5 * (low + high), high)]
    return at[0], at[1], at[2]


def test_all_components_are_here() -> None:
    assert set(VALUES) == set(COMPONENTS)
    codes = [component.code for component in COMPONENTS.values()]
    assert codes == list(range(1, len(codes) + 1))


@pytest.mark.parametrize("component", COMPONENTS.values(), ids=list(COMPONENTS))
def test_units(component: Component) -> None:
    for stated in (*component.parameters, *component.constants):
        assert u.Unit(stated.unit)
        assert stated.description
    assert all(p.scale in ("log", "linear") for p in component.parameters)
    assert u.Unit(absorption.NH.unit).is_equivalent(1 / u.cm**2)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("name", "values"), CASES)
def test_flux_and_integrals(name: str, values: dict[str, float], grid: str) -> None:
    edges, f = GRIDS[grid][:: 1 if grid == "GBM" else 12], formula(name, values)
    if grid == "X-ray":
        edges = np.ravel(np.column_stack([edges, edges * 1.01]))[:-1]
    component = COMPONENTS[name]
    exact = [float(f(mp.mpf(e))) for e in edges]
    np.testing.assert_allclose(component.flux(edges, **values), exact, rtol=5e-12, atol=1e-290)
    # every fourth bin: quadrature at 30 digits takes its time
    picked = list(itertools.islice(itertools.pairwise(edges), 0, None, 4))
    picked = [(low, high) for low, high in picked if high < 1.1 * low]
    wanted = [float(integrated(name, values, low, high)) for low, high in picked]
    low, high = np.array(picked).T
    found = component.integral(low, high, **values)
    if component.shape.exact:
        allowed = np.full(len(low), 1e-10)
    else:
        # what Simpson's rule leaves: a 2880th of the fourth derivative, in units of the bin
        steep = (high - low) * (1 / values.get("kT", values.get("xc", np.inf)) + 2 / low)
        found, wanted = found[steep < 1], np.array(wanted)[steep < 1]
        allowed = 1e-6 + steep[steep < 1] ** 4 / 1440
    assert (np.abs(found - wanted) <= allowed * np.abs(wanted) + 1e-200).all()


def test_flux_of_a_power_law_between_its_ends() -> None:
    for index in (-3.0, -1.0, -1.0 + 1e-13, 0.0, 2.0):
        assert COMPONENTS["powerlaw_flux"].integral(
            10.0, 500.0, F=200.0, index=index, a=10.0, b=500.0
        ) == pytest.approx(200.0, rel=1e-12)


def test_power_law_is_smooth_at_minus_one() -> None:
    index = -1 + np.array([-1e-3, -1e-6, -1e-9, 0.0, 1e-9, 1e-6, 1e-3])
    for name, norm in (("powerlaw", "K"), ("powerlaw_flux", "F")):
        component = COMPONENTS[name]
        found = component.integral(3.0, 17.0, **{norm: 1.0}, index=index)
        slope = (found[-1] - found[0]) / 2e-3
        np.testing.assert_allclose(found, found[3] + slope * (index + 1), rtol=1e-5)
        if name == "powerlaw":
            exact = 0.5 * (np.log(17.0) ** 2 - np.log(3.0) ** 2)
            assert slope == pytest.approx(exact, rel=1e-5)


def test_fluxes_of_the_tutorial() -> None:
    # of 3ML's tutorial on linked temperatures, 10 to 500 keV
    low = np.geomspace(10, 500, 200)
    low, high = low[:-1], low[1:]
    found = COMPONENTS["blackbody"].integral(low, high, K=4.68e-8, kT=510.0).sum()
    assert found == pytest.approx(2.12, rel=0.01)


def test_band_is_continuous_at_its_break() -> None:
    component, v = COMPONENTS["band"], {"K": 0.1, "alpha": -0.8, "beta": -2.3, "xp": 300.0}
    at = 1.5 * 300 / 1.2
    below, above = component.flux([at * (1 - 1e-12), at * (1 + 1e-12)], **v)
    assert below == pytest.approx(above, rel=1e-10)
    energies = np.geomspace(10, 1e4, 20_001)
    assert energies[np.argmax(energies**2 * component.flux(energies, **v))] == pytest.approx(
        300, rel=1e-3
    )


@pytest.mark.parametrize(
    "v",
    [
        {"K": 1.0, "alpha": -2.1, "beta": -3.0, "xp": 100.0},
        {"K": 1.0, "alpha": [-1.0, -1.0], "beta": [-2.0, -0.5], "xp": 100.0},
    ],
)
def test_band_that_is_none(v: dict[str, Any]) -> None:
    with pytest.raises(DataError, match="expected alpha above beta and above -2") as caught:
        COMPONENTS["band"].flux(10.0, **v)
    assert "\n" not in str(caught.value)


def test_nothing_overflows() -> None:
    e = np.array([1e-3, 1.0, 1e5])
    for found in (
        COMPONENTS["blackbody"].flux(e, K=1.0, kT=1.0),
        COMPONENTS["bremsstrahlung"].flux(e, K=1.0, kT=1.0),
        COMPONENTS["cutoff_powerlaw"].flux(e, K=1.0, index=80.0, xc=1.0),
        COMPONENTS["band"].flux(e, K=1.0, alpha=70.0, beta=-9.0, xp=1e-3, piv=1e-3),
        COMPONENTS["blackbody"].integral(e, 2 * e, K=1.0, kT=1e-3),
        COMPONENTS["powerlaw"].integral(e, 2 * e, K=1.0, index=-90.0),
        COMPONENTS["gaussian_line"].integral(e, 2 * e, F=1.0, mu=1.0, sigma=1e-300),
    ):
        assert np.isfinite(found).all()
        assert (found >= 0).all()


def test_a_sharp_line_is_in_one_bin() -> None:
    low, high = np.arange(6.0, 7.0, 0.1), np.arange(6.0, 7.0, 0.1) + 0.1
    line, sharp = COMPONENTS["gaussian_line"], {"F": 2.0, "mu": 6.44, "sigma": 0.0}
    found = line.integral(low, high, **sharp)
    assert found.tolist() == [0, 0, 0, 0, 2, 0, 0, 0, 0, 0]
    np.testing.assert_array_equal(line.integral(low, high, **(sharp | {"sigma": 1e-9})), found)
    # one that is on an edge is in the bin that begins there
    edges = np.array([1.0, 2.0, 3.0])
    on_edge = line.integral(edges[:-1], edges[1:], F=2.0, mu=2.0, sigma=0.0)
    assert on_edge.tolist() == [0, 2]


def test_far_from_a_line() -> None:
    found = COMPONENTS["gaussian_line"].integral([5.0, 7.9], [5.1, 8.0], F=1.0, mu=6.5, sigma=0.1)
    exact = mp.ncdf(-14) - mp.ncdf(-15)
    np.testing.assert_allclose(found, float(exact), rtol=1e-11)


@pytest.mark.parametrize("name", ["powerlaw", "blackbody", "gaussian_line"])
def test_absorption_within_bins(name: str) -> None:
    component, values = COMPONENTS[name], VALUES[name][-1]
    edges = np.array([2.6, 2.65, 2.7])
    found = component.integral(edges[:-1], edges[1:], transmission(edges), **values)
    for k in range(2):
        wanted, _ = integrate.quad(
            lambda e: float(component.flux(e, **values) * absorption.transmission(e, 0.7)),
            edges[k],
            edges[k + 1],
            epsrel=1e-10,
        )
        assert found[k] == pytest.approx(wanted, rel=1e-5)


def test_derivative_with_respect_to_the_column() -> None:
    component, v = COMPONENTS["powerlaw"], {"K": 2.0, "index": -1.7}
    edges = np.geomspace(0.5, 8.0, 60)
    low, high = edges[:-1], edges[1:]
    nodes = (low, 0.5 * (low + high), high)

    def integral(column: float) -> np.ndarray:
        a = [absorption.transmission(e, column, 0.3) for e in nodes]
        return component.integral(low, high, (a[0], a[1], a[2]), **v)

    d = [-absorption.optical_depth(e, 0.3) * absorption.transmission(e, 0.7, 0.3) for e in nodes]
    found = component.integral(low, high, (d[0], d[1], d[2]), **v)
    wanted = (integral(0.7 + 1e-5) - integral(0.7 - 1e-5)) / 2e-5
    np.testing.assert_allclose(found, wanted, rtol=1e-7)


def test_draws_by_bins() -> None:
    index = np.array([[-1.0, -2.0, -3.0]])
    found = COMPONENTS["powerlaw"].integral([1.0, 2.0], [2.0, 3.0], K=np.ones((1, 3)), index=index)
    assert found.shape == (1, 3, 2)
    np.testing.assert_allclose(found[0, 1], [0.5, 1 / 6], rtol=1e-14)
    through = tuple(np.ones((1, 3, 2)) for _ in range(3))
    again = COMPONENTS["powerlaw"].integral(
        [1.0, 2.0], [2.0, 3.0], (through[0], through[1], through[2]), K=1.0, index=index
    )
    np.testing.assert_allclose(again, found, rtol=1e-14)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"K": 1.0}, "powerlaw: no value of index"),
        ({"K": 1.0, "index": -1.0, "kT": 2.0}, "no parameter 'kT'; there are K, index, piv"),
        ({"K": np.nan, "index": -1.0}, "K is not a finite number"),
        ({"K": -1.0, "index": -1.0}, "K is -1, expected positive"),
        ({"K": 1.0, "index": -1.0, "piv": 0.0}, "piv is 0, expected positive"),
    ],
)
def test_wrong_values(values: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=message):
        COMPONENTS["powerlaw"].flux(1.0, **values)


def test_wrong_energies() -> None:
    line = COMPONENTS["powerlaw"]
    with pytest.raises(DataError, match="energy bin 2: 2 to 2 keV, expected 0 < low < high"):
        line.integral([1.0, 2.0], [2.0, 2.0], K=1.0, index=-1.0)
    with pytest.raises(DataError, match="energy bin 1: 0 to 2 keV"):
        line.integral(0.0, 2.0, K=1.0, index=-1.0)
    with pytest.raises(DataError, match="energies that are positive"):
        line.flux([1.0, 0.0], K=1.0, index=-1.0)
    with pytest.raises(DataError, match="a has to be below b"):
        COMPONENTS["powerlaw_flux"].flux(1.0, F=1.0, index=-1.0, a=3.0, b=2.0)
