"""The Stan program of linked spectra against NumPy: values and gradients, of all that it knows."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import log_densities
import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse
from scipy.special import expit
from spectra_models import POWER_LAW, one, spectrum

from pyxstan import registry
from pyxstan.engine.build import build
from pyxstan.engine.toolchain import find_compiler
from pyxstan.errors import DataError
from pyxstan.spectra import (
    Absorber,
    LinkedSpectra,
    Observation,
    Population,
    Response,
    Source,
    Spectrum,
    component,
    starting,
)
from pyxstan.spectra.coordinates import Coordinates
from pyxstan.spectra.folding import all_folded, stan_data
from pyxstan.spectra.problem import SpectraProblem, prepare

FloatArray = npt.NDArray[np.float64]
STATISTICS = ("cstat", "wstat", "pgstat", "chi2")


@pytest.fixture(scope="module")
def program(cache: Path) -> Path:
    return build(registry.get("linked_spectra").program, ("log_prob",))


@pytest.fixture(scope="module", autouse=True)
def searched_briefly() -> Iterator[None]:
    """One mode, and ridges of few points: any coordinates are right here, good ones or not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "blocks", lambda *given: [])
        patch.setattr(starting, "_POINTS", 3)
        patch.setattr(starting, "_SHORTEST", 0.1)
        yield


COPIES_OF_TWO_DATA_SETS = """
#include <algorithm>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <vector>
%s
void check(bool fine) { if (!fine) std::exit(1); }
int main() {
  auto& copies = Copies::all();
  std::vector<double> values{0.5, 0.25, 0.125};
  const int first = copies.add(values);
  values[1] = 0.75;  // another data set at the same address
  const int second = copies.add(values);
  const std::vector<double> again{0.5, 0.25, 0.125};
  check(first != second && copies.add(again) == first);
  for (int k = 1; k < 1000; ++k) copies.add(std::vector<double>(k, 0.5));
  check(copies.at(first)[1] == 0.25f && copies.at(second)[1] == 0.75f);
  const std::vector<double> fine{0.1, 0.2}, other{0.1, 0.3};  // not in single precision
  check(!copies.at(copies.add(fine)) && !copies.at(copies.add(other)));
}
"""


def test_copies_of_two_responses_stay_apart(tmp_path: Path) -> None:
    """Those of one process, whatever the addresses; without the rest of the program."""
    text = (registry.stan_models() / "linked_spectra.hpp").read_text()
    (part,) = re.findall(r"^class Copies \{.*?^\};", text, re.MULTILINE | re.DOTALL)
    source = tmp_path / "copies.cpp"
    source.write_text(COPIES_OF_TWO_DATA_SETS % part)
    compiler = find_compiler().command
    subprocess.run([*compiler, "-std=c++17", source, "-o", tmp_path / "copies"], check=True)
    subprocess.run([tmp_path / "copies"], check=True)


COMPONENTS: dict[str, Any] = {
    "powerlaw": POWER_LAW,
    "powerlaw at index -1": component("powerlaw", K="lognormal(-7, 1)", index=-1, piv=3),
    "powerlaw_flux": component(
        "powerlaw_flux", F="lognormal(-6, 1)", index="normal(-1, 0.01)", a=0.5, b=8
    ),
    "cutoff_powerlaw": component(
        "cutoff_powerlaw", K="lognormal(-7, 1)", index="normal(-1, 0.3)", xc="loguniform(1, 50)"
    ),
    "blackbody": component("blackbody", K="lognormal(-6, 1)", kT="uniform(0.2, 3)"),
    "band": component(
        "band", K="lognormal(-7, 1)", alpha="normal(-0.7, 0.2)", beta="normal(-2.5, 0.2)",
        xp="lognormal(1, 0.3)", piv=2,
    ),
    "bremsstrahlung": component("bremsstrahlung", K="lognormal(-7, 1)", kT="gamma(3, 1)"),
    "gaussian_line": {
        "c": POWER_LAW,
        "line": component(
            "gaussian_line", F="lognormal(-8, 1)", mu="normal(6.4, 0.1)", sigma="half_normal(0.3)"
        ),
    },
    "narrow line": {
        "c": POWER_LAW,
        "line": component("gaussian_line", F="lognormal(-8, 1)", mu=1.83, sigma=0),
    },
    "nothing but a power law": {
        "c": POWER_LAW, "nothing": component("blackbody", K=0, kT="loguniform(0.1, 5)"),
    },
}  # fmt: skip

ABSORBERS: dict[str, dict[str, Absorber]] = {
    "galactic": {"galactic": Absorber(0.3)},
    "redshifted": {"own": Absorber("loguniform(0.01, 10)", redshift=1.5)},
    "both": {"galactic": Absorber(0.1), "own": Absorber("lognormal(-1, 1)", redshift=0.4)},
    "none": {"no": Absorber(0)},
}


def through_wide_bins(parts: dict[str, Any], **more: Any) -> LinkedSpectra:
    """A channel for each energy bin of a tenth of its energy."""
    edges = np.geomspace(0.3, 9.0, 36)
    wide = Response(edges[:-1], edges[1:], edges[:-1], edges[1:], 1, np.eye(35), np.full(35, 50.0))
    counts = np.where(np.abs(edges[:-1] - 2.0) < 0.3, 4.0, 0.0)
    return LinkedSpectra(
        [Observation(Spectrum("s", counts, 1e4, response=wide), "src")],
        [Source("src", parts, **more)],
    )


def free_line(width: str) -> dict[str, Any]:
    return {
        "line": component(
            "gaussian_line", F="lognormal(-9, 1)", mu="uniform(1.6, 2.3)", sigma=width
        )
    }


def line_behind_gas() -> LinkedSpectra:
    return one(COMPONENTS["gaussian_line"], absorption=ABSORBERS["both"])


def two_in_one() -> LinkedSpectra:
    other = Source("two", {"c": component("blackbody", K="lognormal(-8, 1)", kT="= src.c.kT * 2")})
    found = one(COMPONENTS["blackbody"], "wstat")
    seen = replace(found.observations[0], source=("src", "two"))
    alone = Observation(spectrum(name="t"), "two")
    return LinkedSpectra((seen, alone), (*found.sources, other))


def two_instruments() -> LinkedSpectra:
    found = one(COMPONENTS["powerlaw"], "pgstat", absorption=ABSORBERS["redshifted"])
    other = Observation(
        spectrum(name="t").noticing("1-5").grouped(by=3), "src", constant="lognormal(0, 0.1)"
    )
    return replace(found, observations=(*found.observations, other))


def linked() -> LinkedSpectra:
    """Every kind of link, in chains."""
    second = component(
        "cutoff_powerlaw",
        K="= ratio * src.c.K ** bend / 3",
        index="= slope * (src.c.index + 0.2) - 0.1",
        xc="= 9 / src.c.K ** 0.1",
    )
    third = component("powerlaw", K="= src.d.K ** -bend * 1e-6", index="= src.d.index * spread")
    return one(
        {"c": POWER_LAW, "d": second, "e": third},
        coefficients={"ratio": "lognormal(0, 0.3)", "bend": "normal(1, 0.05)",
                      "slope": "uniform(0.5, 1.5)", "spread": "gamma(20, 20)"},
    )  # fmt: skip


def population() -> LinkedSpectra:
    names = "abc"
    part = component("powerlaw", K="from norms", index="from indices")
    sources = tuple(Source(name, {"c": part}) for name in names)
    seen = tuple(Observation(spectrum("wstat", name=name), name) for name in names)
    return LinkedSpectra(
        seen,
        sources,
        populations={
            "indices": Population("normal(-1.8, 0.3)", "half_normal(0.3)"),
            "norms": Population("lognormal(-8, 1)", "uniform(0, 2)"),
        },
    )


def positive(*priors: str) -> LinkedSpectra:
    """Of temperatures."""
    return one({f"c{k}": component("bremsstrahlung", K=1e-4, kT=p) for k, p in enumerate(priors)})


def any_number(*priors: str) -> LinkedSpectra:
    """Of photon indices."""
    return one({f"p{k}": component("powerlaw", K=1e-4, index=p) for k, p in enumerate(priors)})


def zero_counts(statistic: str) -> Callable[[], LinkedSpectra]:
    def made() -> LinkedSpectra:
        found = one(POWER_LAW, statistic)
        empty = found.observations[0].spectrum
        none = np.zeros_like(empty.counts)
        behind = empty.background
        if behind is not None:
            behind = replace(behind, counts=none)
        seen = replace(
            found.observations[0], spectrum=replace(empty, counts=none, background=behind)
        )
        return replace(found, observations=(seen,))

    return made


def background_of_no_size() -> LinkedSpectra:
    """In some channels, where the counts are the source's alone."""
    found = one(POWER_LAW, "wstat")
    seen = found.observations[0].spectrum
    assert seen.background is not None
    size = np.where(np.arange(len(seen.counts)) % 5 == 0, 0.0, 5.0)
    behind = replace(seen.background, backscal=size)
    return replace(
        found,
        observations=(replace(found.observations[0], spectrum=replace(seen, background=behind)),),
    )


CASES: dict[str, Callable[[], LinkedSpectra]] = {
    **{name: lambda used=used: one(used) for name, used in COMPONENTS.items()},
    **{
        f"{name}, {statistic}": lambda name=name, statistic=statistic: one(
            POWER_LAW, statistic, absorption=ABSORBERS[name]
        )
        for name, statistic in zip(ABSORBERS, STATISTICS, strict=True)
    },
    **{f"zero counts, {name}": zero_counts(name) for name in ("cstat", "wstat", "pgstat")},
    "background of no size": background_of_no_size,
    "line behind gas": line_behind_gas,
    "narrow line, and nothing else": lambda: through_wide_bins(free_line("half_normal(0.01)")),
    "narrow line in wide bins behind gas": lambda: through_wide_bins(
        free_line("half_normal(0.05)"), absorption=ABSORBERS["both"]
    ),
    "power law in wide bins behind gas": lambda: through_wide_bins(
        {"c": POWER_LAW}, absorption=ABSORBERS["redshifted"]
    ),
    "two sources in one spectrum": two_in_one,
    "one source, two spectra and a constant": two_instruments,
    "links": linked,
    "populations": population,
    # every prior on a parameter of either scale
    "positive": lambda: positive(
        "normal(-1, 2)", "lognormal(-1, 1)", "half_normal(2)", "gamma(2, 3)"
    ),
    "positive, others": lambda: positive("inv_gamma(3, 2)", "uniform(0, 3)", "loguniform(0.1, 2)"),
    "any number": lambda: any_number(
        "normal(-1, 2)", "uniform(-3, 0)", "lognormal(0, 1)", "half_normal(1)"
    ),
}


def prepared(data: LinkedSpectra) -> SpectraProblem:
    return prepare("linked_spectra", data, {}, {})


@cache
def case(name: str) -> SpectraProblem:
    return prepared(CASES[name]())


def log_slope(coordinates: Coordinates, z: FloatArray) -> FloatArray:
    """Logarithm of the determinant of du / dz, shape (points,)."""
    told = coordinates.stan_data()
    total = np.zeros(len(z))
    for path, bend in zip(told["path"] - 1, told["bend"], strict=True):
        steps = (z[:, path, None] - told["knot"]) / told["softness"]
        total += np.log(told["scale"][path, path] + expit(steps) @ bend[path])
    return total


def density(found: SpectraProblem) -> log_densities.Values:
    """NumPy's log density of z, up to a constant."""

    def values(z: FloatArray) -> FloatArray:
        x, total = found.parameters.values(found.coordinates.u(z))
        total = total + log_slope(found.coordinates, z)
        for each in found.spectra:
            expected = each.expected(found.parameters.named(x))
            total = total + each.log_likelihood(expected).sum(axis=-1)
        return np.asarray(total)

    return values


def compare(found: SpectraProblem, program: Path, folder: Path) -> None:
    points = 0.7 * np.random.default_rng(9).standard_normal((6, found.parameters.free))
    numpy_density = density(found)
    value, gradient = log_densities.log_prob(program, found.stan_data, points, folder)
    apart = value - numpy_density(points)
    assert np.isfinite(value).all()
    assert np.ptp(value) > 0.1
    assert np.ptp(apart) < 1e-10 * max(1.0, np.abs(value).max())
    for point, slopes in zip(points, gradient, strict=True):
        near = log_densities.slopes(numpy_density, point, 1e-3)
        np.testing.assert_allclose(slopes, near, rtol=1e-6, atol=1e-6 * np.abs(slopes).max())


@pytest.mark.parametrize("name", CASES)
def test_stan_and_numpy_agree(name: str, program: Path, tmp_path: Path) -> None:
    compare(case(name), program, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "line behind gas",
        "positive",
        "positive, others",
        "any number",
        "two sources in one spectrum",
    ],
)
def test_coordinates_lead_back(name: str) -> None:
    """From z to u and back; their Jacobian is triangular in the order of the curves."""
    found = case(name)
    coordinates, size = found.coordinates, found.parameters.free
    assert coordinates.curves
    points = np.random.default_rng(3).standard_normal((5, size))
    u = coordinates.u(points)
    np.testing.assert_allclose([coordinates.z(one) for one in u], points, atol=1e-8)
    rest = [k for k in range(size) if k not in [curve.path for curve in coordinates.curves]]
    constant = np.linalg.slogdet(coordinates.scale[np.ix_(rest, rest)])[1]
    for point, wanted in zip(points, log_slope(coordinates, points), strict=True):
        step = 1e-5 * np.eye(size)
        jacobian = (coordinates.u(point + step) - coordinates.u(point - step)) / 2e-5
        assert np.linalg.slogdet(jacobian)[1] == pytest.approx(wanted + constant, abs=1e-6)


def test_responses_in_single_precision(program: Path, tmp_path: Path) -> None:
    """As files have them: folded as such."""
    data = one(POWER_LAW)
    observation = data.observations[0]
    response = observation.spectrum.response
    assert response is not None
    assert (response.matrix.data != response.matrix.data.astype(np.float32)).any()
    response = replace(response, matrix=response.matrix.astype(np.float32))
    spectrum = replace(observation.spectrum, response=response)
    data = replace(data, observations=(replace(observation, spectrum=spectrum),))
    compare(prepared(data), program, tmp_path)


def test_negative_counts_are_impossible(program: Path, tmp_path: Path) -> None:
    """Of a response with a row below zero, of Poisson counts: neither here nor there."""
    data = one(POWER_LAW)
    found = prepared(data)
    observation = data.observations[0]
    response = observation.spectrum.response
    assert response is not None
    matrix = response.matrix.toarray()
    matrix[len(matrix) // 2] *= -1
    spectrum = replace(
        observation.spectrum, response=replace(response, matrix=sparse.csr_array(matrix))
    )
    data = replace(data, observations=(replace(observation, spectrum=spectrum),))
    with pytest.raises(DataError, match="the response lets no photon be counted"):
        prepared(data)
    spectra = all_folded(data)
    told = stan_data(spectra, data, found.parameters.position)
    found = replace(found, spectra=spectra, stan_data={**found.stan_data, **told})
    point = np.zeros((1, found.parameters.free))
    value, _ = log_densities.log_prob(program, found.stan_data, point, tmp_path)
    assert np.isneginf(density(found)(point)).all()
    assert not np.isfinite(value).any()


def test_table_of_cross_sections(program: Path, tmp_path: Path) -> None:
    table = tmp_path / "gas.csv"
    table.write_text("energy,cross_section\n0.1,1e-20\n1,2e-22\n40,1e-26\n")
    gas = {"gas": Absorber("lognormal(0, 1)", redshift=0.5, table=str(table))}
    compare(prepared(one(absorption=gas)), program, tmp_path)


def test_band_function_that_is_not_defined(program: Path, tmp_path: Path) -> None:
    """Where both powers are alike there is no likelihood, neither here nor there."""
    found = prepared(one(COMPONENTS["band"]))
    names = list(found.parameters.priors)
    u = np.stack([found.coordinates.u(np.zeros(found.parameters.free))] * 3)
    for column, values in (("src.c.alpha", (-0.7, -2.6, -2.2)), ("src.c.beta", (-2.5, -2.5, -2.1))):
        k = names.index(column)
        u[:, k] = [found.parameters.u_of(k, value) for value in values]
    points = np.stack([found.coordinates.z(one) for one in u])
    value, _ = log_densities.log_prob(program, found.stan_data, points, tmp_path)
    assert np.isfinite(value).tolist() == [True, False, False]
    assert np.isfinite(density(found)(points)).tolist() == [True, False, False]


def test_rounding_makes_nothing_impossible(program: Path, tmp_path: Path) -> None:
    """Bins far from a line that is shared have zero counts, not some 1e-16 less."""
    found = prepared(through_wide_bins(free_line("half_normal(0.05)")))
    rng = np.random.default_rng(0)
    middle = found.coordinates.u(np.zeros(found.parameters.free))
    names, points = list(found.parameters.priors), []
    for _ in range(300):
        u = middle.copy()
        for name, ends in (("mu", (1.6, 2.29)), ("sigma", (0.03, 0.1))):
            k = names.index(f"src.line.{name}")
            u[k] = found.parameters.u_of(k, rng.uniform(*ends))
        points.append(found.coordinates.z(u))
    value, gradient = log_densities.log_prob(program, found.stan_data, np.array(points), tmp_path)
    possible = np.isfinite(density(found)(np.array(points)))
    assert possible.sum() > 250
    assert np.isfinite(value[possible]).all()
    assert np.isfinite(gradient[possible]).all()
