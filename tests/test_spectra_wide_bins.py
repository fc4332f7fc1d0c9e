"""Energy bins whose ends are far apart, and lines that are narrower than a bin."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse, special
from spectra_models import spectrum

import pyxstan
from pyxstan.errors import DataError
from pyxstan.inference_data import group
from pyxstan.spectra import (
    Absorber,
    LinkedSpectra,
    Observation,
    Response,
    Source,
    Spectrum,
    absorption,
    component,
    fake,
)
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.folding import Grid, all_folded
from pyxstan.spectra.instruments import Instrument
from pyxstan.spectra.problem import prepare

VALUES: dict[str, dict[str, float]] = {
    "powerlaw": {"K": 1.0, "index": -2.3},
    "powerlaw_flux": {"F": 3.0, "index": -1.2},
    "cutoff_powerlaw": {"K": 1.0, "index": -1.3, "xc": 0.9},
    "blackbody": {"K": 1.0, "kT": 1.0},
    "band": {"K": 1.0, "alpha": -0.7, "beta": -2.6, "xp": 7.0, "piv": 10.0},
    "bremsstrahlung": {"K": 1.0, "kT": 2.0},
    "gaussian_line": {"F": 2.0, "mu": 6.4, "sigma": 0.7},
}
#: By eight a decade, up to a hundred times kT, and all in one.
GRIDS = {"wide": np.geomspace(0.01, 100.0, 33), "one": np.array([0.05, 30.0])}


def integrated(flux: Callable[[Any], Any], low: float, high: float) -> float:
    """By Gauss and Legendre in ln E, 400 parts of 8 nodes."""
    node, weight = np.polynomial.legendre.leggauss(8)
    edges = np.linspace(np.log(low), np.log(high), 401)
    half = 0.5 * np.diff(edges)[:, None]
    e = np.exp(0.5 * (edges[1:] + edges[:-1])[:, None] + half * node)
    return float(np.sum(half * weight * e * flux(e)))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", VALUES)
def test_wide_bins(name: str, grid: str) -> None:
    entry, values, edges = COMPONENTS[name], VALUES[name], GRIDS[grid]
    assert set(VALUES) == set(COMPONENTS)

    found = entry.integral(edges[:-1], edges[1:], **values)
    for low, high, one in zip(edges[:-1], edges[1:], found, strict=True):
        wanted = integrated(lambda e: entry.flux(e, **values), low, high)
        assert one == pytest.approx(wanted, rel=5e-5, abs=1e-280)


def test_bins_from_zero() -> None:
    """An energy of zero is taken as 1e-10 keV, and exp(-E / kT) / E integrated from there."""
    found = COMPONENTS["bremsstrahlung"].integral([1e-10], [0.1], K=1.0, kT=2.0)
    exact = special.exp1(1e-10 / 2) - special.exp1(0.1 / 2)
    assert exact == pytest.approx(20.674, abs=1e-3)
    np.testing.assert_allclose(found, exact, rtol=2e-6)


def coarse(kind: Any = np.asarray) -> Response:
    """Eight energy bins a decade, the first from zero, a channel each."""
    edges = np.concatenate([[1e-10], np.geomspace(0.1, 100.0, 25)])
    matrix = kind(np.eye(25))
    return Response(edges[:-1], edges[1:], edges[:-1], edges[1:], 1, matrix, np.full(25, 10.0))


@pytest.mark.parametrize(
    "used",
    [
        component("blackbody", K="lognormal(0, 1)", kT="lognormal(0, 0.3)"),
        component("bremsstrahlung", K="lognormal(0, 1)", kT="lognormal(0, 0.3)"),
        component("cutoff_powerlaw", K="lognormal(0, 1)", index=-1.3, xc="lognormal(0, 0.3)"),
    ],
    ids=lambda used: used.kind,
)
def test_folded_through_wide_bins(used: Any) -> None:
    """What is expected of each, behind gas."""
    gas = {"gas": Absorber(0.02)}
    seen = Spectrum("s", np.ones(25), 100.0, response=coarse())
    data = LinkedSpectra([Observation(seen, "a")], [Source("a", {"c": used}, gas)])
    values = {"K": 2.0, "index": -1.3, "kT": 0.8, "xc": 0.8}
    named = {f"a.c.{p.name}": np.array([values[p.name]]) for p in COMPONENTS[used.kind].parameters}
    (one,) = all_folded(data)
    found = one.expected({**named, "a.gas.NH": np.array([0.02])})[0]
    entry, own = COMPONENTS[used.kind], {n: values[n] for n in used.settings}

    edges = np.geomspace(0.1, 100.0, 25)
    for k in range(8, 24):  # above 1 keV, where gas of so low a density has no edges to speak of
        wanted = 1000.0 * integrated(
            lambda e: entry.flux(e, **own) * absorption.transmission(e, 0.02),
            edges[k],
            edges[k + 1],
        )
        assert found[k + 1] == pytest.approx(wanted, rel=1e-4, abs=1e-250)


def brute(flux: Callable[[Any], Any], edges: Any) -> Any:
    """Of every bin by the midpoint rule in ln E, 10,000 steps each."""
    share = (np.arange(10_000)[:, None] + 0.5) / 10_000
    length = np.log(edges[1:] / edges[:-1])
    e = edges[:-1] * np.exp(share * length)
    return np.mean(flux(e) * e, axis=0) * length


@pytest.mark.parametrize(
    ("kind", "redshift"),
    [("powerlaw", 0.0), ("powerlaw", 0.7), ("blackbody", 0.0), ("gaussian_line", 0.0)],
)
def test_photoelectric_edges_in_wide_bins(kind: str, redshift: float, tmp_path: Path) -> None:
    """Bins of a tenth of their energy behind gas: each as it is wherever a photon gets through."""
    values = {**VALUES[kind], **({"mu": 0.54, "sigma": 0.02} if kind == "gaussian_line" else {})}
    edges = np.geomspace(0.25, 9.0, 38)
    response = Response(edges[:-1], edges[1:], edges[:-1], edges[1:], 1, np.eye(37), np.ones(37))
    # a table with an edge at 1 keV, as steep as can be
    table = tmp_path / "gas.csv"
    table.write_text("energy,cross_section\n0.1,9e-20\n1,2e-22\n1.00001,6e-22\n40,1e-26\n")
    for path in (None, str(table)):
        gas = Absorber("loguniform(0.01, 100)", redshift, path)
        seen = Observation(Spectrum("s", np.ones(37), 1.0, response=response), "a")
        data = LinkedSpectra([seen], [Source("a", {"c": component(kind, **values)}, {"gas": gas})])
        folded = all_folded(data)[0]
        named = {f"a.c.{name}": np.array([x]) for name, x in values.items()}

        def flux(e: Any, column: float) -> Any:
            passed = absorption.transmission(e, column, redshift, gas.table)  # noqa: B023
            return COMPONENTS[kind].flux(e, **values) * passed

        bare = brute(lambda e: flux(e, 0.0), edges)
        for column in (0.1, 0.3, 1.0) if kind == "gaussian_line" else (0.1, 1.0, 3.0):
            found = folded.expected({**named, "a.gas.NH": np.array([column])})[0]
            wanted = brute(lambda e: flux(e, column), edges)  # noqa: B023
            through = (wanted > 1e-8 * bare) & (wanted > 1e-6 * bare.max() * (kind[0] == "g"))
            assert through.sum() > 2
            np.testing.assert_allclose(found[through], wanted[through], rtol=1e-3)


def test_usual_bins_stay_whole() -> None:
    """But for those with an edge in them."""
    edges = np.arange(0.35, 11.0, 0.01)
    alone, _ = Grid.of_bins(edges)
    behind, count = Grid.of_bins(edges, [Absorber("loguniform(0.01, 100)")])
    assert len(alone.low) == len(edges) - 1
    assert len(behind.low) < 1.03 * len(alone.low)
    assert count.max() <= 6


@pytest.mark.parametrize(
    "kind", [np.asarray, sparse.csr_matrix, sparse.csc_array, np.ndarray.tolist]
)
def test_matrices_of_every_kind(kind: Any) -> None:
    assert coarse(kind).matrix.toarray().tolist() == np.eye(25).tolist()
    with pytest.raises(DataError, match="the matrix is no matrix of numbers"):
        replace(coarse(), matrix="none")


NOTHING = {"a.d.K": 0.0, "a.d.index": -1.8}
LINE = component("gaussian_line", F="lognormal(-9, 1)", mu="normal(4, 0.3)", sigma=0)


def test_a_narrow_line_is_shared_by_two_bins() -> None:
    """In proportion to where it is between them; a wide one, or one that is held, is not."""
    response = Instrument(1.0, 5.0, 8, 40, 100.0, 0.8, 6.0, 0.1).response()
    seen = Spectrum("s", np.ones(40), 1.0, response=response)
    edges = np.append(response.energy_low, response.energy_high[-1])
    middles = 0.5 * (edges[1:] + edges[:-1])

    def expected(energy: float, width: float, **settings: Any) -> Any:
        line = replace(LINE, settings={**LINE.settings, **settings})
        used = {"c": line, "d": component("powerlaw", K="lognormal(-9, 1)", index=-1.8)}
        data = LinkedSpectra([Observation(seen, "a")], [Source("a", used)])
        values = {
            "a.c.F": 1.0,
            "a.c.mu": energy,
            "a.c.sigma": width,
            "a.d.K": 0.0,
            "a.d.index": -1.8,
        }
        return all_folded(data)[0].expected({k: np.array([x]) for k, x in values.items()})[0]

    rows = (response.matrix.toarray() * response.area).T
    at = 0.25 * middles[3] + 0.75 * middles[4]
    np.testing.assert_allclose(expected(at, 0.0), 0.25 * rows[3] + 0.75 * rows[4], rtol=1e-9)
    held = expected(at, 0.0, mu=at)
    np.testing.assert_allclose(held, rows[3 + (at > edges[4])], rtol=1e-9)
    wide = 0.6 * np.diff(middles).max()
    np.testing.assert_allclose(expected(at, wide), expected(at, wide, mu=at), rtol=1e-9)


def test_the_energy_of_a_narrow_line(tmp_path: Path) -> None:
    """Chains agree, on the energy that the line has."""
    parts = {
        "c": component("powerlaw", K="lognormal(-9, 1)", index="normal(-1.8, 0.4)"),
        "line": LINE,
    }
    empty = replace(spectrum(), counts=np.zeros(40), exposure=4e4)
    data = LinkedSpectra([Observation(empty, "src")], [Source("src", parts)])
    truth = {"src.c.K": 2e-4, "src.c.index": -1.8, "src.line.F": 3e-5, "src.line.mu": 4.05}
    data = fake(data, truth, seed=2)
    idata = pyxstan.fit("linked_spectra", data, seed=1, warmup=500, draws=500, progress=False)
    verdict = pyxstan.verdict(idata)
    assert verdict.converged, verdict.line
    energy = group(idata, "posterior")["value"].sel(parameter="src.line.mu")
    assert abs(float(energy.mean()) - 4.05) < 3 * float(energy.std())
    assert float(energy.std()) < 0.05
    assert any("is shared by the two" in note for note in prepare("", data, {}, {}).notes)


def test_many_counts() -> None:
    """Energies keep their digits from 10^9 counts on."""
    empty = replace(spectrum(), counts=np.zeros(40), exposure=1e9)
    used = component("powerlaw", K="lognormal(-7, 1)", index="normal(-1.8, 0.4)")
    data = LinkedSpectra([Observation(empty, "src")], [Source("src", {"c": used})])
    data = fake(data, {"src.c.K": 2e-3, "src.c.index": -1.8}, seed=2)
    assert data.counts.sum() > 1e9
    idata = pyxstan.fit("linked_spectra", data, seed=1, warmup=300, draws=500, progress=False)
    assert pyxstan.verdict(idata).good, pyxstan.verdict(idata).line
    likelihood = group(idata, "log_likelihood")["counts"].sum("channel")
    best = all_folded(data)[0]
    assert float(likelihood.max()) == pytest.approx(
        float(best.log_likelihood(best.binned.counts[None]).sum()), abs=60
    )
