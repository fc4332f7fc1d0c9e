"""Events, effective areas and smearing matrices from files: right values, and what is refused."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import QTable, Table

from pyxstan.errors import DataError
from pyxstan.point_source.areas import EffectiveArea
from pyxstan.point_source.readers import (
    read_angular_resolution,
    read_effective_area,
    read_events,
    read_smearing,
    read_uptimes,
)

IC86 = Path(__file__).parents[2] / "shared" / "data" / "icecube_ic86_2011"
real = pytest.mark.skipif(not IC86.is_dir(), reason="the public release isn't there")

AREA = EffectiveArea(np.array([2.0, 4.0, 9.0]), np.array([-1.0, 0.0, 1.0]), np.ones((2, 2)))
YEAR = 333 * 86400.0
RA = [10.5, 250.25, 359.5, 0.0]
DEC = [-30.0, 12.5, 89.0, 0.5]
SIGMA = [0.5, 1.25, 0.3, 2.0]
LOG_E = [3.1, 4.2, 5.3, 2.4]
MJD = [55694.0, 55700.5, 56000.25, 56060.0]
TABLE = {"ra": RA, "dec": DEC, "sigma": SIGMA, "log10_energy": LOG_E, "mjd": MJD}
ROWS = list(zip(MJD, LOG_E, SIGMA, RA, DEC, strict=True))


def events(paths: Any, **keywords: Any) -> Any:
    return read_events(paths, AREA, 365 * 86400.0, **keywords)


def is_that_table(sample: Any) -> None:
    np.testing.assert_allclose(sample.ra, np.radians(RA), rtol=1e-14)
    np.testing.assert_allclose(sample.dec, np.radians(DEC), rtol=1e-14)
    np.testing.assert_allclose(sample.sigma, np.radians(SIGMA), rtol=1e-14)
    np.testing.assert_allclose(sample.log10_energy, LOG_E, rtol=1e-14)
    np.testing.assert_allclose(sample.mjd, MJD, rtol=1e-14)
    assert sample.notes == ()


def text(header: str, separator: str, end: str = "\n", rows: Any = ROWS) -> bytes:
    lines = [header, *(separator.join(map(str, row)) for row in rows)]
    return (end.join(lines) + end).encode()


TEXTS = {
    "release of a year": text("MJD\tlog10(E)\tang_err\tRA\tDec", "   ", "\r\n"),
    "release of ten years": text(
        "# MJD[days]  log10(E/GeV)  AngErr[deg]  RA[deg]  Dec[deg]", "    "
    ),
    "with comments": text("# a release\n#\n# MJD log10_energy sigma ra dec", "\t"),
    "a rule below the header": text("#MJD log10_energy sigma ra dec\n#-------------", "\t"),
    "quoted names": text('"mjd","logE","sigma","RA [deg]","Dec (deg)"', ","),
    "CSV": text("mjd,logE,sigma,ra,dec", ","),
    "CSV with blanks": text("mjd, logE, sigma, RA [deg], Dec [deg]", ", "),
    "semicolons": text("mjd;log10_energy;sigma_deg;ra_deg;dec_deg", ";"),
    "another unit of energy": text(
        "mjd log10(E/TeV) sigma ra dec", " ", rows=[(m, e - 3, *r) for m, e, *r in ROWS]
    ),
    "radians by name": text(
        "mjd log10(E) ang_err[rad] RA[rad] Dec[rad]",
        " ",
        rows=[(m, e, *map(float, np.radians(r))) for m, e, *r in ROWS],
    ),
    "minutes of arc": text(
        "mjd log10(E) AngErr[arcmin] RA Dec", " ", rows=[(m, e, 60 * s, *r) for m, e, s, *r in ROWS]
    ),
    "a column of names": text(
        "name,mjd,logE,sigma,ra,dec", ",", rows=[(f"event {k}", *r) for k, r in enumerate(ROWS)]
    ),
    "blank lines": text("mjd logE sigma ra dec\n\n", " "),
    "a mark of the order of bytes": b"\xef\xbb\xbf" + text("mjd logE sigma ra dec", " "),
}


@pytest.mark.parametrize("content", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_texts(tmp_path: Path, content: bytes, packed: bool) -> None:
    file = tmp_path / "events.txt"
    file.write_bytes(gzip.compress(content) if packed else content)
    is_that_table(events(file))


def test_tables_with_units(tmp_path: Path) -> None:
    table = QTable(
        {
            "RA": np.radians(RA) * u.rad,
            "DEC": DEC * u.deg,
            "ang_err": np.multiply(SIGMA, 60) * u.arcmin,
            "log10_energy": LOG_E,
            "time": MJD * u.day,
        }
    )
    table.write(tmp_path / "events.fits")
    table.write(tmp_path / "events.fits.gz")
    table.write(tmp_path / "events.ecsv")
    (tmp_path / "packed.ecsv.gz").write_bytes(
        gzip.compress((tmp_path / "events.ecsv").read_bytes())
    )
    for name in ("events.fits", "events.fits.gz", "events.ecsv", "packed.ecsv.gz"):
        is_that_table(events(tmp_path / name))


def test_tables_in_memory() -> None:
    is_that_table(events(TABLE))
    is_that_table(events(pd.DataFrame(TABLE)))
    is_that_table(events(Table(TABLE)))
    halves = [pd.DataFrame(TABLE).iloc[:2], pd.DataFrame(TABLE).iloc[2:]]
    is_that_table(events(halves))
    other = {"alpha": RA, **{name: values for name, values in TABLE.items() if name != "ra"}}
    is_that_table(events(other, columns={"ra": "alpha"}))
    # a true energy beside a reconstructed one is not taken for it
    is_that_table(events({"log10(E_nu/GeV)": LOG_E[::-1], "ra_rad": RA, **TABLE}))


def test_radians_are_said() -> None:
    radians = {**TABLE, **{name: np.radians(TABLE[name]) for name in ("ra", "dec", "sigma")}}
    is_that_table(events(radians, angle_unit="rad"))
    (note, *_) = events({**TABLE, "ra": np.radians(RA), "dec": np.radians(DEC)}).notes
    assert "taken for degrees" in note
    assert "angle_unit=rad" in note
    assert not events({**TABLE, "ra": [1, 2, 3, 4], "dec": [1, 2, 3, 8]}).notes
    stated = {"RA[deg]": [1, 2, 3, 4], "Dec[deg]": [1, 2, 3, 4], "sigma": SIGMA, "logE": LOG_E}
    assert not events(stated).notes


def test_hours_are_said() -> None:
    hours = np.linspace(0.1, 23.9, 40)
    many = {"dec": np.linspace(-80, 80, 40), "sigma": np.full(40, 1.0), "logE": np.full(40, 3.0)}
    (note,) = events({"ra": hours, **many}).notes
    assert "RA[hourangle] if they are hours" in note
    said = events({"RA[hourangle]": hours, **many})
    assert said.notes == ()
    np.testing.assert_allclose(np.degrees(said.ra), 15 * hours)


def test_right_ascension_is_wrapped() -> None:
    sample = events({**TABLE, "ra": [360.0, -180.0, -0.5, 359.99], "dec": [90.0, -90.0, 0, 0]})
    np.testing.assert_allclose(np.degrees(sample.ra), [0.0, 180.0, 359.5, 359.99], atol=1e-12)
    assert sample.notes == ()
    radians = {"ra": [2 * np.pi, 0, 1, 2], "dec": [0, 0, 0, 1], "sigma": [0.01] * 4}
    whole = events({**TABLE, **radians}, angle_unit="rad")
    assert whole.ra[0] == pytest.approx(0.0, abs=1e-9)
    tiny = events({**TABLE, "ra": [-1e-18, 20, 30, 40]})
    assert (tiny.ra >= 0).all()
    assert (tiny.ra < 2 * np.pi).all()


def test_small_and_large_errors() -> None:
    sigma = np.full(1000, 1.0)
    sigma[[3, 5, 7]] = 0.0, 0.1, 50.0
    rng = np.random.default_rng(1)
    sample = events(
        {
            "ra": rng.uniform(0, 360, 1000),
            "dec": rng.uniform(-90, 90, 1000),
            "sigma": sigma,
            "logE": rng.uniform(1.5, 5, 1000).clip(2),
        }
    )
    np.testing.assert_allclose(np.degrees(sample.sigma[[3, 5, 7, 9]]), [0.2, 0.2, 50, 1])
    raised, large = sample.notes
    assert "2 events below 0.2 deg (1 of them zero)" in raised
    assert "1 events are above 30 deg (up to 50), kept" in large
    assert np.degrees(events(TABLE, least_sigma=0.4).sigma[2]) == pytest.approx(0.4)


def test_errors_from_the_median_by_energy() -> None:
    without = {name: values for name, values in TABLE.items() if name != "sigma"}
    sample = events(without, angular_resolution=(np.array([3.0, 5.0]), np.array([1.0, 0.5])))
    medians = [1.0 - 0.025, 1.0 - 0.3, 0.5, 1.0]
    # the median distance of a round Gaussian is sqrt(2 ln 2) standard deviations
    np.testing.assert_allclose(np.degrees(sample.sigma), medians / np.sqrt(2 * np.log(2)))
    assert "taken from the median errors" in sample.notes[0]
    kept = events(TABLE, angular_resolution=(np.array([3.0, 5.0]), np.array([1.0, 0.5])))
    assert "isn't used" in kept.notes[0]
    np.testing.assert_allclose(np.degrees(kept.sigma), SIGMA)


def test_what_is_noted() -> None:
    assert "longer" in read_events(TABLE, AREA, 4000 * 86400.0).notes[0]
    assert "is it in seconds?" in read_events(TABLE, AREA, 333.0).notes[0]
    low = events({**TABLE, "log10_energy": [1.0, 3, 4, 9.5]}).notes
    assert low == (
        "events: 2 events have energies outside of the effective area's, 2 to 9 (log10 of GeV)",
    )
    south = EffectiveArea(np.array([2.0, 9.0]), np.array([-1.0, 0.0]), np.ones((1, 1)))
    assert "3 events have declinations" in read_events(TABLE, south, YEAR).notes[0]
    up = [[55690.0, 55800.0], [56050.0, 56200.0]]
    sample = read_events(TABLE, AREA, 200 * 86400.0, uptime=up)
    assert "1 events are outside of the uptimes" in sample.notes[0]
    np.testing.assert_array_equal(sample.uptime, up)


def test_uptimes_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "uptime.csv"
    file.write_text("# MJD_start[days] MJD_stop[days]\n55694.5 55694.75\n55695.0\t55696.0\n")
    np.testing.assert_array_equal(read_uptimes(file), [[55694.5, 55694.75], [55695.0, 55696.0]])


def bad(**columns: Any) -> dict[str, Any]:
    """The good table with other columns, those of None left out."""
    return {name: c for name, c in {**TABLE, **columns}.items() if c is not None}


def cell(name: str, value: Any, row: int = 2) -> dict[str, Any]:
    values: list[Any] = list(TABLE[name])
    values[row] = value
    return bad(**{name: values})


BAD_EVENTS: dict[str, tuple[Any, dict[str, Any], str]] = {
    "no ra": (bad(ra=None), {}, "no column of ra; there are dec, sigma"),
    "no dec": (bad(dec=None), {}, "no column of dec"),
    "no sigma": (bad(sigma=None), {}, "no column of sigma; give median errors"),
    "no energy": (bad(log10_energy=None), {}, "no column of log10_energy"),
    "an energy": (
        bad(log10_energy=None, energy=[1e3, 1e4, 1e5, 1e6]), {}, "'energy' is no logarithm"
    ),
    "no logarithm": (cell("log10_energy", 1000.0), {}, "row 2: log10_energy is 1000"),
    "a mark for none": (cell("log10_energy", -999.0), {}, "row 2: log10_energy is -999"),
    "NaN ra": (cell("ra", np.nan), {}, "row 2: ra is 'nan'"),
    "NaN dec": (cell("dec", np.nan), {}, "row 2: dec is 'nan'"),
    "NaN sigma": (cell("sigma", np.nan), {}, "row 2: sigma is 'nan'"),
    "NaN energy": (cell("log10_energy", np.nan), {}, "row 2: log10_energy is 'nan'"),
    "NaN time": (cell("mjd", np.nan), {}, "row 2: mjd is 'nan'"),
    "infinite ra": (cell("ra", np.inf), {}, "row 2: ra is 'inf'"),
    "a word": (cell("dec", "north"), {}, "row 2: dec is 'north'"),
    "ra beyond": (cell("ra", 360.5), {}, "row 2: ra is 360.5 deg, expected 0 to 360"),
    "ra below": (cell("ra", -181.0), {}, "row 2: ra is -181"),
    "dec beyond": (cell("dec", 90.5), {}, "row 2: dec is 90.5 deg, expected -90 to 90"),
    "degrees for radians": (bad(), {"angle_unit": "rad"}, "taken for rad: is the file in deg?"),
    "errors in radians": (
        bad(sigma=[0.01, 0.02, 0.03, 1.0]), {}, "row 0: sigma is below 0.2 deg, as of 3 of 4"
    ),
    "errors by energy that don't rise": (
        bad(sigma=None), {"angular_resolution": ([3, 2], [1, 1])}, "log10 energies that rise"
    ),
    "sigma below zero": (cell("sigma", -0.5), {}, "row 2: sigma is -0.5 deg"),
    "sigma zero": (cell("sigma", 0.0), {}, "row 2: sigma is zero, as of 1 of 4 events"),
    "sigma in minutes": (bad(sigma=[31, 75, 18, 120]), {}, "row 0: sigma is above 30 deg, as of 3"),
    "JD": (bad(mjd=[2455694.5, 2455700, 2455701, 2455702]), {}, "row 0: mjd is 2.45569e+06"),
    "MJD below zero": (cell("mjd", -5.0), {}, "row 2: mjd is -5"),
    "two columns of ra": (bad(ra=None, RA=RA, raj2000=RA), {}, "'RA' and 'raj2000' may both be ra"),
    "another unit": (
        QTable({**TABLE, "ra": RA * u.m}), {}, "column 'ra' is in 'm', expected deg"
    ),
    "times in parsec": (
        bad(mjd=None) | {"time[parsec]": MJD}, {}, "'time[parsec]' is in 'parsec', expected d"
    ),
    "an unknown unit of energy": (
        Table(bad(), units={"log10_energy": "s"}), {}, "'log10_energy' is in 's', expected log10"
    ),
    "two units": (
        Table({"RA[deg]": RA, **bad(ra=None)}, units={"RA[deg]": "rad"}), {}, "not that of its name"
    ),
    "a column that isn't there": (bad(), {"columns": {"ra": "right"}}, "no column 'right'"),
    "a quantity that isn't one": (bad(), {"columns": {"zenith": "ra"}}, "columns states 'zenith'"),
    "an angle's unit": (bad(), {"angle_unit": "grad"}, "angle_unit 'grad', expected deg or rad"),
    "least error": (bad(), {"least_sigma": 0.0}, "least_sigma 0 deg"),
    "least error in words": (bad(), {"least_sigma": "wide"}, "least_sigma 'wide', expected deg"),
    "no least error": (bad(), {"least_sigma": np.nan}, "least_sigma nan deg"),
    "no tables": ([], {}, "no tables of events"),
    "the same twice": ([bad(), bad()], {}, "the same events as"),
    "times of one file only": (
        [bad(), {name: values[::-1] for name, values in bad(mjd=None).items()}], {},
        "no column of mjd, which other files have",
    ),
    "one event": ({name: values[:1] for name, values in TABLE.items()}, {}, "1 events"),
    "no events": ({name: [] for name in TABLE}, {}, "no rows"),
    "a number": (3, {}, "expected a file"),
    "uptimes elsewhere": (bad(), {"uptime": [[50000, 50001]]}, "no event is in the uptimes"),
    "uptimes the wrong way": (bad(), {"uptime": [[55695, 55694]]}, "uptime 1: 55695 to 55694"),
    "uptimes that overlap": (
        bad(), {"uptime": [[55694, 55696], [55695, 55697]]}, "uptime 2: begins at 55695"
    ),
    "uptimes of another shape": (bad(), {"uptime": [55694, 55695]}, "uptimes of shape (2,)"),
    "uptimes in words": (bad(), {"uptime": [["a", "b"]]}, "uptimes aren't numbers"),
}  # fmt: skip


def refused(read: Callable[[], Any], words: str) -> None:
    with pytest.raises(DataError) as error:
        read()
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("table", "keywords", "words"), BAD_EVENTS.values(), ids=BAD_EVENTS)
def test_bad_events(table: Any, keywords: dict[str, Any], words: str) -> None:
    refused(lambda: events(table, **keywords), words)


HEAD = "mjd log10(E) sigma ra dec\n"
GOOD = "55694 3.0 0.5 10 20\n"
BAD_TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "blank": (b"\n\n", "the file is empty"),
    "no header": ((GOOD * 3).encode(), "line 1: no header"),
    "comments alone": (b"# mjd ra\n# dec\n", "no header"),
    "no rows": (HEAD.encode(), "no rows"),
    "another number of names in comments": (
        ("# mjd sigma ra dec\n" + GOOD).encode(), "line 2: 5 cells, but the header has 4"
    ),
    "a short row": ((HEAD + GOOD + "55694 3.0 0.5 10\n" + GOOD).encode(), "line 3: 4 cells"),
    "a long row": ((HEAD + GOOD + GOOD[:-1] + " 3\n").encode(), "line 3: 6 cells"),
    "a short row behind comments": (
        (HEAD + GOOD + "# here\n\n" + GOOD + "55694 3.0 0.5 10\n").encode(), "line 6: 4 cells"
    ),
    "a header too short": (("mjd sigma ra dec\n" + GOOD).encode(), "line 2: 5 cells"),
    "an empty cell": (
        b"mjd,logE,sigma,ra,dec\n55694,3,.5,,2\n55694,3,.5,1,2\n", "line 2: ra is 'nan'"
    ),
    "a word behind a comment": (
        (HEAD + "#\n" + GOOD + GOOD.replace("10", "x")).encode(), "line 4: ra is 'x'"
    ),
    "a column twice": (("ra log10(E) sigma ra dec\n" + GOOD).encode(), "'ra' is there twice"),
    "a column without a name": (b"mjd,logE,sigma,ra,\n1,2,3,4,5\n", "column 5 has no name"),
    "binary": (b"\x00\x01\x02" * 50, "a binary file"),
    "another encoding": ("mjd ra déc\n1 2 3\n".encode("latin-1"), "a binary file"),
    "damaged gzip": (gzip.compress(GOOD.encode() * 500)[:-20], "damaged compressed file"),
    "an open quote": (b'mjd,logE,sigma,ra,dec\n1,2,3,4,5\n1,2,3,4,"5\n', "text"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "words"), BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_texts(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "events.txt"
    file.write_bytes(content)
    refused(lambda: events(file), words)


def test_bad_files(tmp_path: Path) -> None:
    refused(lambda: read_events(TABLE, AREA, "a year"), "livetime 'a year', expected seconds")  # type: ignore[arg-type]
    refused(lambda: read_events(TABLE, AREA, 0.0), "livetime of 0 s")
    refused(lambda: read_events(TABLE, AREA, np.nan), "livetime of nan s")
    refused(lambda: events(tmp_path / "none.txt"), "none.txt: no such file")
    refused(lambda: events(tmp_path), "a directory")
    file = tmp_path / "events.txt"
    file.write_bytes(TEXTS["CSV"])
    refused(lambda: events([file, tmp_path / ".." / tmp_path.name / "events.txt"]), "given twice")


@real
def test_the_public_release() -> None:
    area = read_effective_area(IC86 / "TabulatedAeff.txt")
    files = [IC86 / "upgoing_events.txt.gz", IC86 / "downgoing_events.txt.gz"]
    sample = read_events(files, area, YEAR, name="IC86-2011")
    found = []
    for file in files:
        with gzip.open(file) as opened:
            found.append(np.loadtxt(opened, skiprows=1))
    mjd, log10_energy, error, ra, dec = np.concatenate(found).T
    assert len(sample) == len(mjd) == 138322
    np.testing.assert_array_equal(sample.mjd, mjd)
    np.testing.assert_array_equal(sample.log10_energy, log10_energy)
    np.testing.assert_allclose(np.cos(sample.ra), np.cos(np.radians(ra)), atol=1e-14)
    np.testing.assert_allclose(np.sin(sample.ra), np.sin(np.radians(ra)), atol=1e-14)
    assert sample.ra.max() < 2 * np.pi
    np.testing.assert_allclose(np.degrees(sample.dec), dec, atol=1e-12)
    np.testing.assert_allclose(np.degrees(sample.sigma), error.clip(0.2, 180), rtol=1e-14)
    errors, large, energies = sample.notes
    assert "12 of them zero" in errors
    assert f"{(error > 30).sum()} events" in large
    assert "495.8" in large
    assert "72 events have energies" in energies


@real
def test_the_public_area() -> None:
    area = read_effective_area(IC86 / "TabulatedAeff.txt")
    rows = np.loadtxt(IC86 / "TabulatedAeff.txt")
    assert area.area.shape == (200, 70)
    np.testing.assert_allclose(area.sin_dec, np.linspace(-1, 1, 201), atol=1e-12)
    np.testing.assert_allclose(area.log10_energy, np.linspace(2, 9, 71), atol=1e-4)
    assert area.area.sum() == pytest.approx(rows[:, 4].sum(), rel=1e-12)
    for energy, cosine, value in ((1.1e3, -0.995, None), (2e5, 0.335, None), (9e8, 0.995, 2444.0)):
        inside = (rows[:, 0] < energy) & (energy < rows[:, 1])
        inside &= (rows[:, 2] < cosine) & (cosine < rows[:, 3])
        (row,) = rows[inside]
        column = np.searchsorted(area.log10_energy, np.log10(energy)) - 1
        assert area.area[area.cell(-cosine), column] == row[4]
        assert value in (None, row[4])
    assert area.cell(0.0) == 100  # the edge belongs to the cell above


@real
def test_the_public_resolution() -> None:
    energy, median = read_angular_resolution(IC86 / "AngRes.txt")
    np.testing.assert_array_equal(energy, [2.5, 3.5, 4.5, 5.5, 6.5, 7.5])
    np.testing.assert_array_equal(median, [1.3, 0.7, 0.5, 0.4, 0.3, 0.3])


def ten_years(**changes: Any) -> dict[str, Any]:
    """Two energies and two declinations, as the release of ten years tabulates them."""
    return {
        "log10(E_nu/GeV)_min": [2.0, 2.5, 2.0, 2.5],
        "log10(E_nu/GeV)_max": [2.5, 3.0, 2.5, 3.0],
        "Dec_nu_min[deg]": [-90.0, -90.0, 30.0, 30.0],
        "Dec_nu_max[deg]": [30.0, 30.0, 90.0, 90.0],
        "A_Eff[cm^2]": [1e4, 2e4, 3e4, 4e4],
        **changes,
    }


def as_text(table: dict[str, Any], file: Path) -> Path:
    rows = zip(*table.values(), strict=True)
    lines = ["# " + "\t".join(table), *("   ".join(map(str, row)) for row in rows)]
    file.write_text("\n".join(lines) + "\n")
    return file


def test_area_of_ten_years(tmp_path: Path) -> None:
    for given in (ten_years(), as_text(ten_years(), tmp_path / "area.csv")):
        area = read_effective_area(given)
        np.testing.assert_array_equal(area.log10_energy, [2.0, 2.5, 3.0])
        np.testing.assert_allclose(area.sin_dec, [-1.0, 0.5, 1.0], rtol=1e-15)
        np.testing.assert_allclose(area.area, [[1.0, 2.0], [3.0, 4.0]])
    shuffled = {name: [values[k] for k in (3, 0, 2, 1)] for name, values in ten_years().items()}
    np.testing.assert_allclose(read_effective_area(shuffled).area, [[1.0, 2.0], [3.0, 4.0]])


def of_a_year(**changes: Any) -> dict[str, Any]:
    return {
        "E_min[GeV]": [100.0, 1259.0, 100.0, 1259.0],
        "E_max[GeV]": [1259.0, 1e4, 1259.0, 1e4],
        "cos(zenith)_min": [-1.0, -1.0, 0.0, 0.0],
        "cos(zenith)_max": [0.0, 0.0, 1.0, 1.0],
        "Aeff[m^2]": [1.0, 2.0, 3.0, 4.0],
        **changes,
    }


def test_area_of_a_year(tmp_path: Path) -> None:
    area = read_effective_area(as_text(of_a_year(), tmp_path / "area.txt"))
    np.testing.assert_allclose(area.log10_energy, [2.0, np.log10(1259), 4.0])
    np.testing.assert_array_equal(area.sin_dec, [-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(area.area, [[3.0, 4.0], [1.0, 2.0]])  # up-going is northern
    in_tev = {
        "E_min[TeV]" if "min[G" in k else "E_max[TeV]" if "max[G" in k else k: np.divide(v, 1e3)
        if "[G" in k else v
        for k, v in of_a_year().items()
    }  # fmt: skip
    np.testing.assert_allclose(read_effective_area(in_tev).log10_energy, area.log10_energy)


def without(table: dict[str, Any], name: str) -> dict[str, Any]:
    return {column: values for column, values in table.items() if column != name}


def without_row(table: dict[str, Any], row: int) -> dict[str, Any]:
    return {name: [v for k, v in enumerate(c) if k != row] for name, c in table.items()}


def with_row(table: dict[str, Any], row: int) -> dict[str, Any]:
    return {name: [*values, values[row]] for name, values in table.items()}


LOW, HIGH, NORTH = "log10(E_nu/GeV)_min", "log10(E_nu/GeV)_max", "Dec_nu_max[deg]"
CM2 = "A_Eff[cm^2]"
BAD_AREAS: dict[str, tuple[dict[str, Any], str]] = {
    "no energies": (without(ten_years(), LOW), "no column of true energies"),
    "no upper ends": (without(ten_years(), HIGH), "no column of log10(enu/gev)max"),
    "no declinations": (without(ten_years(), "Dec_nu_min[deg]"), "no column of declinations"),
    "no area": (without(ten_years(), CM2), "no column of aeff"),
    "no unit of the area": (
        {**without(ten_years(), CM2), "A_Eff": [1, 2, 3, 4]}, "'A_Eff' is in '', expected m^2"
    ),
    "another unit of the area": (
        {**without(ten_years(), CM2), "A_Eff[km^2]": [1, 2, 3, 4]}, "is in 'km^2', expected m^2"
    ),
    "no unit of energies": (
        {**without(of_a_year(), "E_min[GeV]"), "E_min": [100, 1259, 100, 1259]}, "expected GeV"
    ),
    "a gap": (ten_years(**{HIGH: [2.4, 3.0, 2.5, 3.0]}), "row 0: log10(E_nu/GeV)_min to"),
    "an overlap": (ten_years(**{HIGH: [2.5, 3.0, 2.6, 3.0]}), "row 2: log10(E_nu/GeV)_min to"),
    "a gap in declination": (ten_years(**{NORTH: [20.0, 30.0, 90.0, 90.0]}), "leave a gap"),
    "ends the wrong way": (ten_years(**{HIGH: [1.5, 3.0, 2.5, 3.0]}), "row 0: log10(E_nu/GeV)_max"),
    "a cell missing": (without_row(ten_years(), 2), "1 of 4 cells are missing"),
    "a cell twice": (with_row(ten_years(), 1), "row 4: the cell is there a second time"),
    "an area below zero": (ten_years(**{CM2: [1, -2, 3, 4]}), "row 1: A_Eff[cm^2] is negative"),
    "an area of NaN": (ten_years(**{CM2: [1, np.nan, 3, 4]}), "row 1: A_Eff[cm^2] is 'nan'"),
    "every area zero": (ten_years(**{CM2: [0, 0, 0, 0]}), "every area is zero"),
    "no logarithm": (ten_years(**{HIGH: [2.5, 1e3, 2.5, 1e3]}), "row 1: log10(E_nu/GeV)_min is no"),
    "beyond the pole": (ten_years(**{NORTH: [30.0, 30.0, 91.0, 90.0]}), "row 2: Dec_nu_min[deg]"),
    "beyond the zenith": (
        of_a_year(**{"cos(zenith)_max": [0.0, 0.0, 1.5, 1.0]}), "row 2: cos(zenith)_min is beyond"
    ),
    "an energy of zero": (
        of_a_year(**{"E_min[GeV]": [0, 1259, 100, 1259]}), "row 0: E_min[GeV] is '0'"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("table", "words"), BAD_AREAS.values(), ids=BAD_AREAS)
def test_bad_areas(table: dict[str, Any], words: str) -> None:
    refused(lambda: read_effective_area(table), words)


def test_a_bad_area_names_its_line(tmp_path: Path) -> None:
    file = as_text(ten_years(**{CM2: [1, -2, 3, 4]}), tmp_path / "area.csv")
    refused(lambda: read_effective_area(file), f"{file}: line 3: A_Eff[cm^2] is negative")


def matrix(**changes: Any) -> dict[str, Any]:
    """Two energies of one declination, spread over energies, angles and errors."""
    cells = [(2.0, 2.5), (2.5, 3.0)]
    reconstructed = [(1.0, 2.0), (2.0, 4.0)]
    rows = [
        (*true, -90.0, 90.0, *seen, psf, psf + 1, error, error + 1, 0.25 * share)
        for true, shares in zip(cells, [(0.4, 0.6), (1.0, 0.0)], strict=True)
        for seen, share in zip(reconstructed, shares, strict=True)
        for psf in (0.0, 1.0)
        for error in (0.0, 1.0)
    ]
    names = [
        "log10(E_nu/GeV)_min", "log10(E_nu/GeV)_max", "Dec_nu_min[deg]", "Dec_nu_max[deg]",
        "log10(E/GeV)_min", "log10(E/GeV)_max", "PSF_min[deg]", "PSF_max[deg]", "AngErr_min[deg]",
        "AngErr_max[deg]", "Fractional_Counts",
    ]  # fmt: skip
    return {**dict(zip(names, map(list, zip(*rows, strict=True)), strict=True)), **changes}


def test_smearing(tmp_path: Path) -> None:
    for given in (matrix(), as_text(matrix(), tmp_path / "smearing.csv")):
        smearing = read_smearing(given)
        np.testing.assert_array_equal(smearing.log10_energy, [2.0, 2.5, 3.0])
        np.testing.assert_allclose(smearing.sin_dec, [-1.0, 1.0])
        np.testing.assert_array_equal(smearing.cell, [[0, 0], [0, 0], [0, 1]])
        np.testing.assert_array_equal(smearing.reconstructed, [[1, 2], [2, 4], [1, 2]])
        np.testing.assert_allclose(smearing.fraction, [0.4, 0.6, 1.0])
        np.testing.assert_allclose(
            smearing.onto(np.array([1.0, 2.0, 3.0, 4.0])), [[[0.4, 0.3, 0.3], [1.0, 0.0, 0.0]]]
        )


def test_smearing_of_a_cell_without_events() -> None:
    fraction = [0.1] * 4 + [0.15] * 4 + [0.0] * 8
    empty = matrix(Fractional_Counts=fraction)
    for end in ("min", "max"):
        empty[f"log10(E/GeV)_{end}"][8:] = [0.0] * 8
    smearing = read_smearing(empty)
    np.testing.assert_array_equal(smearing.log10_energy, [2.0, 2.5, 3.0])
    np.testing.assert_array_equal(smearing.cell, [[0, 0], [0, 0]])


FRACTION = matrix()["Fractional_Counts"]
BAD_MATRICES: dict[str, tuple[dict[str, Any], str]] = {
    "no parts": (without(matrix(), "Fractional_Counts"), "no column of fractionalcounts"),
    "no reconstructed energies": (
        without(matrix(), "log10(E/GeV)_min"), "no column of log10(e/gev)min"
    ),
    "parts twice": (
        {name: values * 2 for name, values in matrix().items()}, "of its cell sums to 2, expected 1"
    ),
    "parts missing": (
        matrix(Fractional_Counts=[0.0] * 4 + FRACTION[4:]), "row 0: Fractional_Counts of its cell"
    ),
    "a part below zero": (
        matrix(Fractional_Counts=[-0.1, *FRACTION[1:]]), "row 0: Fractional_Counts is negative"
    ),
    "no part": (matrix(Fractional_Counts=[0.0] * 16), "every Fractional_Counts is zero"),
    "ends the wrong way": (
        matrix(**{"log10(E/GeV)_max": [0.5, *matrix()["log10(E/GeV)_max"][1:]]}),
        "row 0: log10(E/GeV)_max isn't above",
    ),
    "a gap": (
        matrix(**{HIGH: [2.4] * 8 + [3.0] * 8}), "row 0: log10(E_nu/GeV)_min to"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("table", "words"), BAD_MATRICES.values(), ids=BAD_MATRICES)
def test_bad_matrices(table: dict[str, Any], words: str) -> None:
    refused(lambda: read_smearing(table), words)


BAD_RESOLUTIONS = {
    "the other way round": ("2.5, 1.3\n3.5, 0.7\n", "line 2: the second column doesn't rise"),
    "three columns": ("1.3 2.5 1\n", "line 1: 3 columns, expected 2"),
    "a row of one": ("1.3, 2.5\n0.7\n", "line 2: 1 cells"),
    "below zero": ("-1.3, 2.5\n", "line 1: median isn't between 0 and 90 deg"),
    "no logarithm": ("1.3, 2.5\n0.7, 3500\n", "line 2: the second column is no log10"),
    "nothing": ("\n# nothing\n", "no rows"),
}


@pytest.mark.parametrize(("content", "words"), BAD_RESOLUTIONS.values(), ids=BAD_RESOLUTIONS)
def test_bad_resolutions(tmp_path: Path, content: str, words: str) -> None:
    file = tmp_path / "AngRes.txt"
    file.write_text(content)
    refused(lambda: read_angular_resolution(file), words)
