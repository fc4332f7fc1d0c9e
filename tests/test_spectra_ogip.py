"""Spectra and responses: real files, files of every form, ranges, groups, files written."""

from __future__ import annotations

import gzip
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ogip_files as ogip
import pytest
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra import (
    LinkedSpectra,
    Observation,
    Response,
    Source,
    Spectrum,
    component,
    likelihood,
    write_response,
    write_spectrum,
)
from pyxstan.spectra.binning import parse_ranges
from pyxstan.spectra.folding import all_folded

DATA = Path(__file__).parents[2] / "shared" / "data"
ACIS = DATA / "acis_3c273"
GBM = DATA / "gbm_bn090217206"
real = pytest.mark.skipif(not DATA.exists(), reason="no real data here")

GAMMA, AMPLITUDE = 1.782, 1.622e-4


def expected_counts(spectrum: Spectrum, gamma: float = GAMMA, scale: float = AMPLITUDE) -> Any:
    """Of a power law, in each group."""
    response = spectrum.response
    assert response is not None
    slope = 1 - gamma
    flux = scale / slope * (response.energy_high**slope - response.energy_low**slope)
    folded = response.matrix @ (response.area * flux)
    return spectrum.groups().membership @ (spectrum.exposure * folded)


def w_statistic(spectrum: Spectrum, model: Any) -> float:
    """Twice minus the log-likelihood ratio to the best one, background profiled.

    With source counts S ~ Poisson(m + a b), background counts B ~ Poisson(b), the best b is the
    root from 0 up of a (1 + a) b^2 + ((1 + a) m - a (S + B)) b - B m = 0.
    """
    binned = spectrum.groups()
    assert binned.background_counts is not None
    assert binned.alpha is not None
    total = 0.0
    for m, S, B, a in zip(
        model, binned.counts, binned.background_counts, binned.alpha, strict=True
    ):
        linear = (1 + a) * m - a * (S + B)
        root = math.sqrt(linear**2 + 4 * a * (1 + a) * B * m)
        b = (root - linear) / (2 * a * (1 + a))
        if linear > 0:
            b = 2 * B * m / (root + linear)
        mean = m + a * b
        total += mean - S + (S * math.log(S / mean) if S else 0)
        total += b - B + (B * math.log(B / b) if B else 0)
    return 2 * total


@pytest.fixture
def acis() -> Spectrum:
    return Spectrum.from_ogip(ACIS / "3c273.pi")


@real
def test_3c273_as_its_files_say(acis: Spectrum) -> None:
    assert acis.name == "3c273"
    assert acis.background is not None
    assert acis.response is not None
    assert (acis.counts.sum(), acis.background.counts.sum()) == (736, 216)
    assert acis.statistic() == "wstat"
    assert acis.response.source == (str(ACIS / "3c273.rmf"), str(ACIS / "3c273.arf"))
    assert acis.response.matrix.sum(axis=0) == pytest.approx(1, abs=1e-5)
    assert acis.channel[[0, -1]].tolist() == [1, 1024]
    assert all("POISSERR is false" in note for note in acis.notes)


@real
@pytest.mark.parametrize(
    ("change", "statistic"),
    [
        (lambda spectrum: spectrum.ungrouped(), 652.9968167212116),
        (lambda spectrum: spectrum, 62.12275005769554),
        (lambda spectrum: spectrum.ungrouped().ignoring("-0.5, 3-4, 7-"), 416.0601496345599),
    ],
    ids=["ungrouped", "grouped", "ignored"],
)
def test_w_statistic_of_3c273(acis: Spectrum, change: Any, statistic: float) -> None:
    spectrum = change(acis)
    assert w_statistic(spectrum, expected_counts(spectrum)) == pytest.approx(statistic, rel=1e-12)


@real
def test_gbm_with_files_that_moved() -> None:
    burst = Spectrum.from_ogip(GBM / "bn090217206_n6_srcspectra.pha")
    assert burst.statistic() == "pgstat"
    assert burst.background is not None
    assert burst.background.errors is not None
    assert burst.exposure == pytest.approx(19.91271561)
    assert burst.background.exposure == 20
    # 0.49333278 +- 0.15545932 counts/s in 20 s.
    assert burst.background.counts[0] == pytest.approx(9.8666556)
    assert burst.background.errors[0] == pytest.approx(3.1091864)
    assert sum("is not there, took" in note for note in burst.notes) == 2
    binned = burst.noticing("10-30, 40-950").groups()
    assert binned.size == 117
    assert binned.alpha == pytest.approx(19.91271561 / 20)
    assert binned.background_errors is not None
    assert binned.errors is None


def test_rounded_energies_are_those_of_the_arf(tmp_path: Path) -> None:
    """Each bin from its own low to its own high end, as the area's file has them."""
    edges = np.linspace(80.0, 80.06, ogip.ENERGIES + 1)
    low = edges[:-1].astype(np.float32)
    high = np.nextafter(edges[1:].astype(np.float32), np.float32(100))
    area = ogip.area(edges=edges)
    area.data["ENERG_LO"][:], area.data["ENERG_HI"][:] = low, high
    rmf = ogip.write(tmp_path / "a.rmf", ogip.matrix(edges=edges), ogip.ebounds())
    arf = ogip.write(tmp_path / "a.arf", area)
    pha = ogip.write(tmp_path / "a.pha", ogip.spectrum())
    seen = Observation(Spectrum.from_ogip(pha, rmf=rmf, arf=arf), "a")
    power_law = component("powerlaw", K="loguniform(1e-8, 1e3)", index="normal(-2, 1)")
    (one,) = all_folded(LinkedSpectra([seen], [Source("a", {"pl": power_law})]))
    found = one.expected({"a.pl.K": np.ones(1), "a.pl.index": np.full(1, -2.0)})[0]
    flux = (1 / low.astype(float) - 1 / high.astype(float)) * area.data["SPECRESP"]
    np.testing.assert_allclose(found, 1000 * ogip.DENSE @ flux, rtol=1e-7)


@real
def test_sherpa_agrees(tmp_path: Path) -> None:
    """Sherpa's own reading of the same files, and of files that we write."""
    shp = pytest.importorskip("sherpa.astro.ui")
    ours = Spectrum.from_ogip(ACIS / "3c273.pi")
    assert ours.background is not None
    assert ours.response is not None
    write_spectrum(ours.background, tmp_path / "b.pi")
    write_response(ours.response, tmp_path / "r.rmf", tmp_path / "r.arf")
    write_spectrum(ours, tmp_path / "s.pi", background="b.pi", rmf="r.rmf", arf="r.arf")
    law = shp.create_model_component("powlaw1d", "law")
    law.gamma, law.ampl = GAMMA, AMPLITUDE
    for number, file in enumerate((ACIS / "3c273.pi", tmp_path / "s.pi"), 1):
        shp.load_pha(number, str(file))
        shp.set_source(number, law)
        shp.set_stat("wstat")
        shp.set_analysis(number, "energy")
        for ranges in ("", "0.5-7", "1.02-3.3, 4-"):
            shp.notice_id(number)
            spectrum = ours.noticing(ranges) if ranges else ours
            for place, (low, high) in enumerate(parse_ranges(ranges) if ranges else []):
                bounds = (low, high if math.isfinite(high) else None)
                if place == 0:
                    shp.notice_id(number, *bounds)
                else:
                    shp.get_data(number).notice(*bounds)
            theirs = shp.calc_stat(number)
            assert w_statistic(spectrum, expected_counts(spectrum)) == pytest.approx(theirs, 1e-9)
            assert shp.get_dep(number, filter=True).size == spectrum.groups().size
        shp.notice_id(number)
        shp.ignore_id(number, 3.0, 4.0)
        spectrum = ours.ignoring("3-4")
        assert w_statistic(spectrum, expected_counts(spectrum)) == pytest.approx(
            shp.calc_stat(number), 1e-9
        )


AT_HALF = np.linspace(0.5, 0.9, ogip.CHANNELS)
#: Of a spectrum, and what is special in its response.
FOR_SHERPA: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "channels from 0": ({"first": 0}, {"first": 0, "tlmin": 0}),
    "fixed length": ({}, {"form": "fixed"}),
    "groups": ({"columns": {"GROUPING": np.array([1, -1, 1, -1, -1, 1, 1, -1])}}, {}),
    "BACKSCAL of each channel": ({"columns": {"BACKSCAL": AT_HALF}, "BACKSCAL": None}, {}),
    "groups, BACKSCAL of each channel": (
        {
            "columns": {"GROUPING": np.array([1, -1, 1, -1, -1, 1, 1, -1]), "BACKSCAL": AT_HALF},
            "BACKSCAL": None,
        },
        {},
    ),
    "AREASCAL of each channel": ({"columns": {"AREASCAL": AT_HALF}, "AREASCAL": None}, {}),
    "AREASCAL": ({"AREASCAL": 0.8}, {}),
    "rates with errors": (
        {
            "counts": ogip.COUNTS / 1000.0, "column": "RATE", "POISSERR": False,
            "columns": {"STAT_ERR": np.sqrt(ogip.COUNTS + 1) / 1000.0}, "BACKFILE": "none",
        },
        {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FOR_SHERPA)
@pytest.mark.parametrize("written", [False, True], ids=["as it is", "written by us"])
def test_sherpa_agrees_on_every_form(form: str, written: bool, tmp_path: Path) -> None:
    """Counts, folded model and statistic of files by hand, and of those that we make of them."""
    shp = pytest.importorskip("sherpa.astro.ui")
    keywords, special = FOR_SHERPA[form]
    first = keywords.get("first", 1)
    ogip.write(tmp_path / "r.rmf", ogip.matrix(DETCHANS=8, **special), ogip.ebounds(first))
    ogip.write(tmp_path / "r.arf", ogip.area())
    behind = ogip.spectrum([2, 1, 0, 3, 4, 0, 2, 5], first=first, BACKSCAL=2.0)
    ogip.write(tmp_path / "b.pha", behind)
    names = {"RESPFILE": "r.rmf", "ANCRFILE": "r.arf", "BACKFILE": "b.pha"}
    file = ogip.write(tmp_path / "s.pha", ogip.spectrum(**{**names, **keywords}))
    ours = Spectrum.from_ogip(file)
    if written:
        assert ours.response is not None
        write_response(ours.response, tmp_path / "own.rmf", tmp_path / "own.arf")
        if ours.background is not None:
            write_spectrum(ours.background, tmp_path / "own_b.pha")
        file = write_spectrum(
            ours, tmp_path / "own.pha", rmf="own.rmf", arf="own.arf",
            background=None if ours.background is None else "own_b.pha",
        )  # fmt: skip
    law = component("powerlaw", K="loguniform(1e-6, 1)", index=-1.7)
    (folded,) = all_folded(LinkedSpectra([Observation(ours, "q")], [Source("q", {"law": law})]))
    expected = folded.expected({"q.law.K": np.array([4e-3]), "q.law.index": np.array([-1.7])})[0]
    gaussian = folded.statistic == "chi2"
    shp.clean()
    shp.load_pha(1, str(file), use_errors=gaussian)
    theirs = shp.create_model_component("powlaw1d", "law")
    theirs.gamma, theirs.ampl = 1.7, 4e-3
    shp.set_source(1, theirs)
    shp.set_stat("chi2" if gaussian else "wstat")
    data = shp.get_data(1)
    np.testing.assert_allclose(data.get_dep(filter=True), folded.binned.counts, rtol=1e-12)
    np.testing.assert_allclose(data.eval_model_to_fit(shp.get_model(1)), expected, rtol=1e-9)
    statistic = likelihood.statistic(folded.statistic, folded.binned, expected).sum()
    assert statistic == pytest.approx(shp.calc_stat(1), rel=1e-9)


FORMS: dict[str, dict[str, Any]] = {
    "variable length": {},
    "fixed length": {"form": "fixed"},
    "channels from 0": {"first": 0, "tlmin": 0},
    "no TLMIN": {"tlmin": None},
    "no TLMIN, channels from 0": {"tlmin": None, "first": 0},
    "eV": {"unit": "eV", "factor": 1e3},
    "MeV": {"unit": "MeV", "factor": 1e-3},
    "KEV": {"unit": "KEV"},
    "no unit": {"unit": None},
    "another name": {"name": "REDISTRIBUTION"},
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_matrix(form: str, tmp_path: Path) -> None:
    options = FORMS[form]
    bounds = ogip.ebounds(
        options.get("first", 1), unit=options.get("unit", "keV"), factor=options.get("factor", 1)
    )
    path = ogip.write(tmp_path / "a.rmf", ogip.matrix(**options), bounds)
    response = Response.read(path, ogip.write(tmp_path / "a.arf", ogip.area()))
    assert np.array_equal(response.matrix.toarray(), ogip.DENSE)
    assert response.matrix.nnz == np.count_nonzero(ogip.DENSE)
    assert response.energy_low == pytest.approx(ogip.EDGES[:-1])
    assert response.channel_high == pytest.approx(ogip.BOUNDS[1:])
    assert response.area.tolist() == [100, 101, 102, 103, 104, 105]
    assert response.first_channel == options.get("first", 1)
    words = " ".join(response.notes)
    assert ("no TLMIN" in words) == form.startswith("no TLMIN")
    assert ("no unit" in words) == (form == "no unit")


def test_scalar_columns(tmp_path: Path) -> None:
    runs: Any = [[(channel, [0.5])] if channel != 2 else [] for channel in range(ogip.ENERGIES)]
    table = ogip.matrix("fixed", runs=runs)
    assert table.columns["MATRIX"].format == "1E"
    response = Response.read(ogip.write(tmp_path / "a.rmf", table, ogip.ebounds()))
    expected = np.diag([0.5, 0.5, 0, 0.5, 0.5, 0.5])
    assert np.array_equal(response.matrix.toarray()[: ogip.ENERGIES], expected)
    assert "no ARF given" in response.notes[-1]


def test_gzip_and_energy_zero(tmp_path: Path) -> None:
    edges = np.array([0.0, *ogip.EDGES[1:]])
    path = ogip.write(tmp_path / "a.rmf", ogip.matrix(edges=edges), ogip.ebounds())
    packed = tmp_path / "a.rmf.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    response = Response.read(packed, ogip.write(tmp_path / "a.arf", ogip.area(edges=edges)))
    assert response.energy_low[0] == 1e-10
    assert "ENERG_LO of 0 taken as 1e-10 keV" in response.notes[0]
    assert np.array_equal(response.matrix.toarray(), ogip.DENSE)


def test_area_folded_in(tmp_path: Path) -> None:
    table = ogip.matrix(name="SPECRESP MATRIX")
    table.columns["MATRIX"].unit = "m**2"
    path = ogip.write(tmp_path / "a.rsp", ogip.ebounds(), table)
    response = Response.read(path)
    assert np.array_equal(response.matrix.toarray(), ogip.DENSE * 1e4)
    assert response.area.tolist() == [1] * ogip.ENERGIES
    assert response.notes == ()
    arf = ogip.write(tmp_path / "a.arf", ogip.area())
    with pytest.raises(DataError, match=r"a\.rsp: SPECRESP MATRIX holds the effective area alr"):
        Response.read(path, arf)
    pure = ogip.matrix(name="SPECRESP MATRIX", HDUCLAS3="REDIST")
    path = ogip.write(tmp_path / "b.rmf", pure, ogip.ebounds())
    assert Response.read(path, arf).area[1] == 101


def test_one_of_several_matrices(tmp_path: Path) -> None:
    runs = [[(channel, [1.0])] for channel in range(ogip.ENERGIES)]
    second = ogip.matrix(runs=runs)
    path = ogip.write(tmp_path / "a.rsp2", ogip.matrix(), ogip.ebounds(), second)
    assert Response.read(f"{path}{{2}}").matrix.toarray()[5, 5] == 1
    assert np.array_equal(Response.read(f"{path}{{1}}").matrix.toarray(), ogip.DENSE)


def test_a_large_response_keeps_its_elements(tmp_path: Path) -> None:
    """Of 4096 channels and 500 energies, against the plain loop."""
    rng = np.random.default_rng(3)
    runs: Any = []
    dense = np.zeros((4096, 500))
    for energy in range(500):
        starts = np.sort(rng.choice(40, rng.integers(0, 4), replace=False)) * 100
        runs.append([(int(at), rng.random(rng.integers(1, 90)).tolist()) for at in starts])
        for at, elements in runs[-1]:
            dense[at : at + len(elements), energy] = np.float32(elements)
    edges = np.linspace(0.1, 10, 501)
    bounds = ogip.table(
        "EBOUNDS",
        [
            ogip.fits.Column("CHANNEL", "J", array=np.arange(4096)),
            ogip.fits.Column("E_MIN", "E", unit="keV", array=np.arange(4096)),
            ogip.fits.Column("E_MAX", "E", unit="keV", array=np.arange(4096) + 1),
        ],
    )
    for form in ("variable", "fixed"):
        table = ogip.matrix(form, runs=runs, edges=edges, first=0, tlmin=0)
        response = Response.read(ogip.write(tmp_path / "a.rmf", table, bounds))
        assert np.array_equal(response.matrix.toarray(), dense)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spectrum with background and response beside it."""
    ogip.write(tmp_path / "a.rmf", ogip.matrix(), ogip.ebounds())
    ogip.write(tmp_path / "a.arf", ogip.area())
    ogip.write(tmp_path / "b.pha", ogip.spectrum(ogip.COUNTS[::-1], BACKSCAL=2.0, EXPOSURE=500.0))
    ogip.write(tmp_path / "a.pha", ogip.spectrum(BACKFILE="b.pha", RESPFILE="a.rmf", ANCRFILE="a.arf"))  # fmt: skip  # noqa: E501
    return tmp_path


def test_files_beside_a_spectrum(folder: Path) -> None:
    spectrum = Spectrum.from_ogip(folder / "a.pha")
    assert spectrum.background is not None
    assert spectrum.response is not None
    assert spectrum.background.name == "b"
    assert spectrum.notes == ()
    binned = spectrum.groups()
    assert binned.counts.tolist() == ogip.COUNTS.tolist()
    # 1000 s x 0.5 over 500 s x 2
    assert binned.alpha == pytest.approx(0.5)
    assert binned.energy_low == pytest.approx(ogip.BOUNDS[:-1])
    alone = Spectrum.from_ogip(folder / "a.pha", background="none", rmf="none", name="x")
    assert (alone.background, alone.response, alone.name) == (None, None, "x")
    assert alone.statistic() == "cstat"


def test_the_users_own_files_win(folder: Path) -> None:
    ogip.write(folder / "c.pha", ogip.spectrum(ogip.COUNTS * 2))
    ogip.write(folder / "c.arf", ogip.area(np.full(6, 7.0)))
    spectrum = Spectrum.from_ogip(
        folder / "a.pha", background=folder / "c.pha", arf=folder / "c.arf"
    )
    assert spectrum.background is not None
    assert spectrum.response is not None
    assert spectrum.background.counts.sum() == 2 * ogip.COUNTS.sum()
    assert spectrum.response.area.tolist() == [7] * 6
    other = Spectrum.from_ogip(
        folder / "a.pha", background=spectrum.background, rmf=spectrum.response
    )
    assert other.response is spectrum.response
    assert other.background is spectrum.background


def test_gzipped_spectrum(folder: Path) -> None:
    packed = folder / "a.pha.gz"
    packed.write_bytes(gzip.compress((folder / "a.pha").read_bytes()))
    assert Spectrum.from_ogip(packed).name == "a"


@pytest.fixture
def several(folder: Path) -> Path:
    counts = np.array([ogip.COUNTS, ogip.COUNTS + 1, ogip.COUNTS + 2])
    return ogip.write(
        folder / "many.pha",
        ogip.spectra(
            counts,
            EXPOSURE=None,
            BACKSCAL=None,
            RESPFILE="a.rmf",
            columns={
                "EXPOSURE": ("D", [10.0, 20.0, 30.0]),
                "BACKSCAL": ("8D", np.outer([1, 2, 3], np.arange(1, 9))),
                "AREASCAL": ("E", [1.0, 0.5, 0.25]),
                "BACKFILE": ("10A", ["NONE", "b.pha", ""]),
                "ANCRFILE": ("10A", ["a.arf", "none", "a.arf"]),
                "QUALITY": ("8I", np.tile([0, 0, 0, 0, 0, 0, 5, 1], (3, 1))),
                "GROUPING": ("I", [0, 1, 0]),
            },
        ),
    )


def test_spectra_of_type_two(several: Path) -> None:
    for row in (1, 2, 3):
        spectrum = Spectrum.from_ogip(several, row=row)
        assert spectrum.counts.tolist() == (ogip.COUNTS + row - 1).tolist()
        assert spectrum.exposure == 10 * row
        assert spectrum.backscal.tolist() == (row * np.arange(1, 9)).tolist()
        assert np.all(spectrum.areascal == [1, 0.5, 0.25][row - 1])
        assert (spectrum.background is None) == (row != 2)
        assert spectrum.response is not None
        assert (spectrum.response.area[0] == 100) == (row != 2)
        assert spectrum.quality.tolist() == [0, 0, 0, 0, 0, 0, 5, 1]
        assert np.all(spectrum.grouping == (row == 2))
    named = Spectrum.from_ogip(f"{several}{{3}}")
    assert (named.name, named.exposure) == ("many{3}", 30)


def test_missing_keywords_are_said(tmp_path: Path) -> None:
    path = ogip.write(
        tmp_path / "a.pha", ogip.spectrum(BACKSCAL=None, AREASCAL=None, POISSERR=None)
    )
    spectrum = Spectrum.from_ogip(path)
    assert [note.split(": ")[1] for note in spectrum.notes] == [
        "no BACKSCAL, taken as 1", "no AREASCAL, taken as 1",
    ]  # fmt: skip
    assert spectrum.poisson


ROOT = np.sqrt(ogip.COUNTS)
ERRORS: dict[str, tuple[dict[str, Any], bool]] = {
    "counts, flag": ({"POISSERR": True}, True),
    "counts, no flag": ({"POISSERR": None}, True),
    "counts, root": ({"POISSERR": False, "columns": {"STAT_ERR": ROOT}}, True),
    "counts, Gehrels": (
        {"POISSERR": False, "columns": {"STAT_ERR": 1 + np.sqrt(ogip.COUNTS + 0.75)}}, True,
    ),
    "counts, errors": ({"POISSERR": False, "columns": {"STAT_ERR": 0.3 + ROOT}}, False),
    "counts, errors, flag": ({"POISSERR": True, "columns": {"STAT_ERR": 0.3 + ROOT}}, True),
    "fractions": (
        {"POISSERR": False, "counts": ogip.COUNTS - 1.5, "columns": {"STAT_ERR": ROOT}}, False,
    ),
    "rate, errors": (
        {"POISSERR": False, "column": "RATE", "counts": ogip.COUNTS / 1e3,
         "columns": {"STAT_ERR": ROOT / 1e3}}, False,
    ),
    "rate, errors, no flag": (
        {"POISSERR": None, "column": "RATE", "counts": ogip.COUNTS / 1e3,
         "columns": {"STAT_ERR": ROOT / 1e3}}, False,
    ),
    "rate, flag": ({"POISSERR": True, "column": "RATE", "counts": ogip.COUNTS / 1e3}, True),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_errors_say(case: str, tmp_path: Path) -> None:
    options, poisson = ERRORS[case]
    spectrum = Spectrum.from_ogip(ogip.write(tmp_path / "a.pha", ogip.spectrum(**options)))
    assert spectrum.poisson == poisson
    assert spectrum.statistic() == ("cstat" if poisson else "chi2")
    if case.startswith("rate"):
        assert spectrum.counts == pytest.approx(ogip.COUNTS)
        if poisson:
            assert spectrum.counts.tolist() == ogip.COUNTS.tolist()
        else:
            assert spectrum.errors == pytest.approx(ROOT)


def plain(**changes: Any) -> Spectrum:
    """Channels from 0 to 8 keV, one keV each."""
    low = np.arange(8.0)
    response = Response(
        low + 0.5, low + 1.5, low, low + 1, 1, sparse.eye_array(8).tocsr(), np.ones(8)
    )
    return Spectrum("plain", ogip.COUNTS, 10.0, **{"response": response, **changes})


@pytest.mark.parametrize(
    ("ranges", "noticed"),
    [
        ("1-3", "01100000"),
        ("1.5-2.5", "01100000"),
        ("1-2.0001", "01100000"),
        ("1.0001-2", "01000000"),
        (" 0 - 1 , 6.5-7 ", "10000010"),
        ("-2", "11000000"),
        ("6-", "00000011"),
        ("1e0-2E+0", "01000000"),
        (".5-.6", "10000000"),
    ],
)
def test_ranges(ranges: str, noticed: str) -> None:
    chosen = "".join(str(int(flag)) for flag in plain().noticing(ranges).noticed)
    assert chosen == noticed
    left = "".join(str(1 - int(flag)) for flag in plain().ignoring(ranges).noticed)
    assert left == noticed


def test_ranges_take_groups_whole() -> None:
    grouping = np.array([1, -1, -1, 1, -1, 1, -1, -1])
    spectrum = plain(grouping=grouping)
    assert spectrum.noticing("2.5-3.5").groups().counts.tolist() == [8, 11]
    assert spectrum.ignoring("2.5-3.5").groups().counts.tolist() == [5]
    alone = spectrum.noticing("2.5-3.5").ungrouped()
    assert alone.groups().counts.tolist() == [3, 0, 5, 2, 9]
    part = replace(spectrum, noticed=np.arange(8) == 4)
    assert part.groups().counts.tolist() == [11]
    assert part.used.tolist() == [False] * 3 + [True] * 2 + [False] * 3
    again = spectrum.noticing("0-1").noticing("4-5")
    assert again.groups().energy_low.tolist() == [3]


def test_quality() -> None:
    spectrum = plain(quality=[0, 5, 0, 0, 2, 0, 0, 0], grouping=[1, -1, -1, 1, -1, 1, -1, -1])
    assert spectrum.groups().counts.tolist() == [8, 2, 5]
    assert spectrum.groups().membership.toarray()[0].tolist() == [1, 0, 1, 0, 0, 0, 0, 0]
    assert spectrum.select((0, 2)).groups().counts.tolist() == [8, 11, 5]
    assert spectrum.select(2).groups().counts.tolist() == [9]
    with pytest.raises(DataError, match="no channel is left to use"):
        spectrum.select(7)


def test_grouped() -> None:
    spectrum = plain()
    # 3 0 5 2 9 1 0 4: the 4 counts left join the group before.
    assert spectrum.grouped(5).groups().counts.tolist() == [8, 11, 5]
    assert spectrum.grouped(10).groups().counts.tolist() == [10, 14]
    assert spectrum.grouped(1000).groups().counts.tolist() == [24]
    assert spectrum.grouped(by=3).groups().counts.tolist() == [8, 12, 4]
    assert spectrum.grouped(by=3).groups().energy_high.tolist() == [3, 6, 8]
    # A group never spans channels that are not used.
    apart = spectrum.ignoring("2-3").grouped(4)
    assert apart.groups().counts.tolist() == [3, 11, 5]
    assert apart.ungrouped().groups().counts.tolist() == [3, 0, 2, 9, 1, 0, 4]
    counts = np.array([0, 1, 0, 0, 2, 1, 0, 0.0])
    behind = replace(spectrum, background=Spectrum("b", counts, 5.0))
    assert behind.grouped(background=1).groups().background_counts.tolist() == [1, 2, 1]
    with pytest.raises(DataError, match=r"grouped: b has 4 counts in the channels in use: make"):
        behind.grouped(background=5)
    for options in (
        {}, {"minimum": 2, "by": 2}, {"by": 1.5}, {"by": 0}, {"minimum": -1}, {"background": 1},
        {"background": np.nan},
    ):  # fmt: skip
        with pytest.raises(DataError, match=r"^grouped: "):
            spectrum.grouped(**options)


def test_groups_of_vectors() -> None:
    """Scales that differ from channel to channel, and Gaussian errors."""
    other = Spectrum("b", np.full(8, 2.5), 5.0, backscal=np.arange(1, 9.0), poisson=False,
                     errors=np.full(8, 3.0))  # fmt: skip
    spectrum = plain(background=other, grouping=[1, -1] * 4, areascal=0.5)
    binned = spectrum.groups()
    # 10 s x 1 x 0.5 over 5 s x backscal, each summed over two channels
    assert binned.alpha == pytest.approx([10 / 15, 10 / 35, 10 / 55, 10 / 75])
    assert binned.background_errors == pytest.approx(np.sqrt(18))
    assert binned.background_counts == pytest.approx(5)
    assert spectrum.statistic() == "pgstat"
    nothing = replace(other, backscal=np.array([0.0] * 2 + [1.0] * 6))
    assert plain(background=nothing).groups().alpha == pytest.approx([0, 0] + [2] * 6)


def test_written_and_read_again(folder: Path) -> None:
    rng = np.random.default_rng(5)
    spectrum = Spectrum.from_ogip(folder / "a.pha")
    assert spectrum.response is not None
    odd = replace(spectrum.response, area=rng.random(6), first_channel=0)
    files = write_response(odd, folder / "w.rmf", folder / "w.arf")
    assert [file.name for file in files] == ["w.rmf", "w.arf"]
    again = Response.read(*files)
    assert np.array_equal(again.matrix.toarray(), odd.matrix.toarray())
    for name in ("energy_low", "energy_high", "channel_low", "channel_high", "area"):
        assert np.array_equal(getattr(again, name), getattr(odd, name))
    assert (again.first_channel, again.notes) == (0, ())
    both = Response.read(*write_response(odd, folder / "w.rsp"))
    assert np.array_equal(both.matrix.toarray(), odd.matrix.toarray() * odd.area)

    background = Spectrum("b", rng.normal(size=8), 30.0, poisson=False, errors=rng.random(8),
                          backscal=rng.random(8), channel=np.arange(8))  # fmt: skip
    changed = replace(
        spectrum, quality=[0] * 7 + [5], grouping=[1, -1] * 4, areascal=0.75, background=background,
        response=odd, channel=np.arange(8),
    )  # fmt: skip
    write_spectrum(background, folder / "w_b.pha")
    write_spectrum(changed, folder / "w.pha", background="w_b.pha", rmf="w.rmf", arf="w.arf")
    found = Spectrum.from_ogip(folder / "w.pha")
    assert found.background is not None
    assert found.background.errors is not None
    for ours, theirs in ((changed, found), (background, found.background)):
        for name in ("counts", "exposure", "backscal", "areascal", "quality", "grouping", "channel",
                     "poisson"):  # fmt: skip
            assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert np.array_equal(found.background.errors, background.errors)
    assert found.response is not None
    assert found.response.first_channel == 0


def test_a_failed_write_harms_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spectrum = Spectrum.from_ogip(folder / "a.pha")
    before = {path: path.read_bytes() for path in folder.iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("astropy.io.fits.HDUList.writeto", full)
    with pytest.raises(DataError, match=r"a\.pha: not written \(No space left"):
        write_spectrum(spectrum, folder / "a.pha")
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
