"""Readers: every way of writing the same measurements gives the same data."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.table import MaskedColumn, QTable, Table

import pyxstan
from pyxstan import inference_data, registry, tables
from pyxstan.concordance import ConcordanceData
from pyxstan.concordance.data import as_concordance_data

LONG = pd.DataFrame(
    {
        "instrument": ["pn", "MOS1", "MOS2", "pn", "MOS2"],
        "source": ["E0102", "E0102", "E0102", "N132D", "N132D"],
        "log_flux": [-25.3, -25.25, -25.31, -24.1, -24.0],
        "sigma": [0.02, 0.03, 0.05, 0.01, 0.04],
    }
)
INSTRUMENTS = pd.DataFrame(
    {"instrument": ["MOS1", "MOS2", "pn"], "b": [0.0, 0.1, -0.1], "tau": [0.05, 0.06, 0.07]}
)


def measured(data: ConcordanceData) -> dict[tuple[str, str], tuple[float, float]]:
    """(instrument, source) -> (y, sigma)."""
    sigma = np.full(data.y.size, np.nan) if data.sigma is None else data.sigma
    return {
        (data.instruments[i], data.sources[j]): (y, s)
        for i, j, y, s in zip(data.instrument, data.source, data.y, sigma, strict=True)
    }


def same(data: ConcordanceData, other: ConcordanceData, rtol: float = 1e-12) -> None:
    mine, theirs = measured(data), measured(other)
    assert mine.keys() == theirs.keys()
    for key, pair in mine.items():
        np.testing.assert_allclose(pair, theirs[key], rtol=rtol)
    for name in ("b", "tau"):
        values = dict(zip(data.instruments, getattr(data, name), strict=True))
        assert values == pytest.approx(
            dict(zip(other.instruments, getattr(other, name), strict=True)), nan_ok=True
        )
    assert set(data.sources) == set(other.sources)


def wide_by_source() -> pd.DataFrame:
    pieces = {
        prefix: LONG.pivot(index="source", columns="instrument", values=column)
        for prefix, column in (("y_", "log_flux"), ("sigma_", "sigma"))
    }
    return pd.concat(
        [piece.add_prefix(prefix) for prefix, piece in pieces.items()], axis=1
    ).reset_index()


def wide_by_instrument() -> pd.DataFrame:
    pieces = [
        LONG.pivot(index="instrument", columns="source", values="log_flux"),
        LONG.pivot(index="instrument", columns="source", values="sigma").add_prefix("sigma_"),
    ]
    return pd.concat(pieces, axis=1).reset_index()


REFERENCE = ConcordanceData.from_table(LONG, INSTRUMENTS)


def test_long_table() -> None:
    assert REFERENCE.instruments == ("MOS1", "MOS2", "pn")
    assert REFERENCE.sources == ("E0102", "N132D")
    assert measured(REFERENCE) == {
        ("pn", "E0102"): (-25.3, 0.02),
        ("MOS1", "E0102"): (-25.25, 0.03),
        ("MOS2", "E0102"): (-25.31, 0.05),
        ("pn", "N132D"): (-24.1, 0.01),
        ("MOS2", "N132D"): (-24.0, 0.04),
    }
    np.testing.assert_array_equal(REFERENCE.b, [0.0, 0.1, -0.1])
    np.testing.assert_array_equal(REFERENCE.tau, [0.05, 0.06, 0.07])
    np.testing.assert_array_equal(REFERENCE.counts_by_instrument, [1, 2, 2])


@pytest.mark.parametrize(
    "form", ["wide by source", "wide by instrument", "dict", "astropy", "rows"]
)
def test_other_forms_in_memory(form: str) -> None:
    table: Any = {
        "wide by source": wide_by_source,
        "wide by instrument": wide_by_instrument,
        "dict": lambda: {name: list(LONG[name]) for name in LONG},
        "astropy": lambda: Table.from_pandas(LONG),
        "rows": lambda: LONG.set_index("source", drop=False).iloc[::-1],
    }[form]()
    same(ConcordanceData.from_table(table, INSTRUMENTS), REFERENCE)


@pytest.mark.parametrize("layout", ["long", "wide by source", "wide by instrument"])
@pytest.mark.parametrize("kind", ["csv", "ecsv", "fits", "fits.gz"])
def test_files(layout: str, kind: str, tmp_path: Path) -> None:
    frame = {"long": LONG, "wide by source": wide_by_source(),
             "wide by instrument": wide_by_instrument()}[layout]  # fmt: skip
    path, instruments = tmp_path / f"table.{kind}", tmp_path / f"instruments.{kind}"
    for file, content in ((path, frame), (instruments, INSTRUMENTS)):
        if kind == "csv":
            content.to_csv(file, index=False)
        else:
            table = Table.from_pandas(content)
            table.write(file, format="ascii.ecsv" if kind == "ecsv" else "fits")
    same(ConcordanceData.from_table(path, instruments), REFERENCE)
    same(ConcordanceData.from_table(str(path), str(instruments)), REFERENCE)


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    Table.from_pandas(LONG).write(tmp_path / "a.fits")
    (tmp_path / "a.fits").rename(tmp_path / "a.txt")
    same(ConcordanceData.from_table(tmp_path / "a.txt", INSTRUMENTS), REFERENCE)
    zipped = tmp_path / "b.dat"
    zipped.write_bytes(gzip.compress((tmp_path / "a.txt").read_bytes()))
    same(ConcordanceData.from_table(zipped, INSTRUMENTS), REFERENCE)


def test_fluxes_and_their_errors() -> None:
    table = LONG.assign(
        flux=np.exp(LONG["log_flux"]), error=LONG["sigma"] * np.exp(LONG["log_flux"])
    )
    same(
        ConcordanceData.from_table(table.drop(columns=["log_flux", "sigma"]), INSTRUMENTS),
        REFERENCE,
    )
    with_sigma = ConcordanceData.from_table(table.drop(columns=["log_flux", "error"]), INSTRUMENTS)
    same(with_sigma, REFERENCE)


def test_counts_exposures_and_background() -> None:
    table = pd.DataFrame(
        {
            "instrument": ["pn", "MOS1"],
            "source": ["E0102", "E0102"],
            "counts": [400, 100],
            "exposure": [1e4, 5e3],
        }
    )
    data = ConcordanceData.from_table(table, tau=0.05)
    np.testing.assert_allclose(data.y, np.log([0.04, 0.02]))
    np.testing.assert_array_equal(data.counts, [400, 100])
    np.testing.assert_array_equal(data.exposure, [1e4, 5e3])
    np.testing.assert_array_equal(data.background, [0, 0])
    assert data.sigma is None
    assert data.unit == "1/s"
    given = ConcordanceData.from_table(table.assign(error=[40, 20]), tau=0.05)
    np.testing.assert_allclose(given.sigma, [0.1, 0.2])
    bare = ConcordanceData.from_table(table.drop(columns="exposure"), tau=0.05)
    np.testing.assert_allclose(bare.y, np.log([400, 100]))
    faint = ConcordanceData.from_table(
        table.assign(counts=[400, 0], background=[10.5, 1]), tau=0.05
    )
    np.testing.assert_array_equal(faint.counts, [400, 0])
    np.testing.assert_array_equal(faint.background, [10.5, 1])
    same(ConcordanceData.from_table(faint.to_frame(), tau=0.05), faint)


def test_units_are_converted(tmp_path: Path) -> None:
    table = Table.from_pandas(LONG.drop(columns=["log_flux", "sigma"]))
    table["flux"] = np.exp(LONG["log_flux"].to_numpy()) * u.erg / u.s / u.cm**2
    table["error"] = (LONG["sigma"].to_numpy() * table["flux"]).to(u.W / u.m**2)
    instruments = Table.from_pandas(INSTRUMENTS)
    instruments["tau"] = 100 * instruments["tau"]
    instruments["tau"].unit = u.percent
    for kind in ("ecsv", "fits"):
        table.write(tmp_path / f"t.{kind}", format="ascii.ecsv" if kind == "ecsv" else kind)
        data = ConcordanceData.from_table(tmp_path / f"t.{kind}", instruments)
        same(data, REFERENCE, rtol=1e-10)
        assert u.Unit(data.unit) == u.erg / u.s / u.cm**2
    same(ConcordanceData.from_table(QTable(table), instruments), REFERENCE, rtol=1e-10)


def test_exposure_and_sigma_in_other_units() -> None:
    table = Table({"instrument": ["pn"], "source": ["s"], "counts": [100], "exposure": [2.0]})
    table["exposure"].unit = u.ks
    table["counts"].unit = u.ct
    table["sigma"] = [7.0] * u.percent
    data = ConcordanceData.from_table(table, tau=0.05)
    np.testing.assert_allclose(data.y, np.log(0.05))
    np.testing.assert_allclose(data.sigma, 0.07)


def test_masked_cells_of_a_wide_table_are_missing() -> None:
    table = Table(
        {
            "instrument": ["pn", "MOS1"],
            "E0102": MaskedColumn([1.0, 2.0], mask=[False, True]),
            "N132D": MaskedColumn([3, 4], mask=[False, False]),
        }
    )
    data = ConcordanceData.from_table(table, tau=0.05)
    assert {key: y for key, (y, _) in measured(data).items()} == {
        ("pn", "E0102"): 1.0,
        ("pn", "N132D"): 3.0,
        ("MOS1", "N132D"): 4.0,
    }


def test_wide_table_carries_its_own_priors() -> None:
    table = wide_by_instrument().merge(INSTRUMENTS)
    same(ConcordanceData.from_table(table), REFERENCE)


def test_instruments_default_to_those_of_the_table() -> None:
    data = ConcordanceData.from_table(LONG, tau=0.05)
    assert data.instruments == ("pn", "MOS1", "MOS2")
    np.testing.assert_array_equal(data.b, 0.0)
    np.testing.assert_array_equal(data.tau, 0.05)
    assert np.isnan(ConcordanceData.from_table(LONG).tau).all()


@pytest.mark.parametrize("bands_of_instruments", [True, False])
def test_bands(bands_of_instruments: bool) -> None:
    table = pd.DataFrame(
        {
            "instrument": ["pn", "pn", "MOS1", "MOS1"],
            "source": ["E0102"] * 4,
            "band": ["soft", "hard", "soft", "hard"],
            "log_flux": [1.0, 2.0, 1.1, 2.1],
        }
    )
    instruments = {"instrument": ["pn", "MOS1"], "tau": [0.05, 0.06]}
    if bands_of_instruments:
        instruments = {
            "instrument": ["pn", "pn", "MOS1", "MOS1"],
            "band": ["soft", "hard"] * 2,
            "tau": [0.05, 0.05, 0.06, 0.06],
        }
    data = ConcordanceData.from_table(table, instruments)
    assert data.instruments == ("pn soft", "pn hard", "MOS1 soft", "MOS1 hard")
    assert data.names == ("pn", "pn", "MOS1", "MOS1")
    assert data.bands == ("soft", "hard", "soft", "hard")
    assert data.sources == ("E0102 soft", "E0102 hard")
    assert data.source_bands == ("soft", "hard")
    np.testing.assert_array_equal(data.tau, [0.05, 0.05, 0.06, 0.06])
    same(ConcordanceData.from_table(data.to_frame(), data.instrument_frame()), data)


@pytest.mark.parametrize("with_sigma", [True, False])
def test_frames_are_read_back(with_sigma: bool, tmp_path: Path) -> None:
    data = REFERENCE
    if not with_sigma:
        data = ConcordanceData.from_table(LONG.drop(columns="sigma"), INSTRUMENTS)
    same(ConcordanceData.from_table(data.to_frame(), data.instrument_frame()), data)
    data.to_frame().to_csv(tmp_path / "t.csv", index=False)
    data.instrument_frame().to_csv(tmp_path / "i.csv", index=False)
    same(ConcordanceData.from_table(tmp_path / "t.csv", tmp_path / "i.csv"), data)


def test_what_fit_takes() -> None:
    for data in (
        REFERENCE,
        (LONG, INSTRUMENTS),
        [LONG, INSTRUMENTS],
        {"table": LONG, "instruments": INSTRUMENTS},
    ):
        same(as_concordance_data(data), REFERENCE)
    alone = as_concordance_data({"table": LONG, "tau": 0.05})
    np.testing.assert_array_equal(alone.tau, 0.05)


UGLY = {
    "byte order mark": "\ufeffinstrument,source,log_flux\npn,E0102,1.5\n",
    "Windows": "instrument,source,log_flux\r\npn,E0102,1.5\r\n",
    "old Macintosh": "instrument,source,log_flux\rpn,E0102,1.5\r",
    "blanks": " instrument , source , log_flux \n pn , E0102 ,  1.5 \n",
    "blank lines": "\ninstrument,source,log_flux\n\n \npn,E0102,1.5\n\n",
    "comments": "# by hand\ninstrument,source,log_flux\n  # E0102\npn,E0102,1.5\n",
    "quotes": '"instrument","source","log_flux"\n"pn","E0102","1.5"\n',
    "no line end": "instrument,source,log_flux\npn,E0102,1.5",
    "empty last column": "instrument,source,log_flux,\npn,E0102,1.5,\n",
    "other columns": "instrument,source,log_flux,comment\npn,E0102,1.5,checked\n",
    "exponents": "instrument,source,log_flux\npn,E0102,+15.0e-1\n",
}


@pytest.mark.parametrize("name", UGLY)
def test_ugly_csv(name: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(UGLY[name].encode())
    data = ConcordanceData.from_table(path, tau=0.05)
    assert measured(data).keys() == {("pn", "E0102")}
    assert data.y == pytest.approx([1.5])


@pytest.mark.parametrize(
    "label", ["01", "1", "1.0", "NA", "nan", "None", "True", "a,b", 'the "old" one', "pn é", "#2"]
)
def test_labels_stay_what_they_are(label: str, tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"source": [label, "other"], "instrument": [label, "x"], "log_flux": [1.0, 2.0]}
    )
    frame["source"] = [f"s{label}", "other"] if label.startswith("#") else frame["source"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = ConcordanceData.from_table(tmp_path / "t.csv", tau=0.05)
    assert data.instruments == (label, "x")


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text('# one\n\ninstrument,source,log_flux\n"p\nn",a,1\n# six\npn,b,x\n')
    with pytest.raises(Exception, match=r"t\.csv: line 7: log_flux is 'x'"):
        ConcordanceData.from_table(path, tau=0.05)


def test_thousands_of_columns(tmp_path: Path) -> None:
    names = [f"source {k}" for k in range(3000)]
    path = tmp_path / "t.csv"
    rows = [f"i{i}," + ",".join(f"{k % 7}.5" for k in range(3000)) for i in range(2)]
    path.write_text("\n".join(["instrument," + ",".join(names), *rows]))
    data = ConcordanceData.from_table(path, tau=0.05)
    assert data.sources == tuple(names)
    assert data.y.size == 6000


def test_a_table_is_passed_through() -> None:
    table = tables.read(LONG)
    assert tables.read(table) is table
    assert table.row(0) == "table: row 0"


def test_columns_named_by_numbers() -> None:
    data = ConcordanceData.from_table(
        pd.DataFrame({"instrument": ["pn", "MOS1"], 2020: [1.0, 1.1], 2021: [2.0, 2.1]}), tau=0.05
    )
    assert data.sources == ("2020", "2021")


def notes(data: ConcordanceData, **options: Any) -> list[str]:
    idata = pyxstan.fit("concordance", data, seed=1, draws=50, progress=False, **options)
    return list(json.loads(inference_data.attributes(idata)["notes"]))


def test_columns_of_a_wide_table_named_as_measurements_are_all_that_counts() -> None:
    table = wide_by_instrument().rename(columns={"E0102": "y_E0102", "N132D": "y_N132D"})
    table["year"], table["mission"], table["exposure_class"] = 2001, "XMM", [1.0, 2.0, 3.0]
    data = ConcordanceData.from_table(table, INSTRUMENTS)
    same(data, REFERENCE)
    assert "columns left aside: year, mission, exposure_class" in notes(data)


def test_other_columns_of_a_row_a_source() -> None:
    table = wide_by_source()
    table["redshift"] = 0.1
    data = ConcordanceData.from_table(table, INSTRUMENTS)
    same(data, REFERENCE)
    assert data.notes == ("columns left aside: redshift",)
    assert ConcordanceData.from_table(wide_by_source(), INSTRUMENTS).notes == ()


def test_columns_of_a_wide_table_taken_as_sources_are_named(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("instrument,A,B,exposure_class\npn,1.0,2.0,3\nMOS1,1.1,2.1,4\n")
    data = ConcordanceData.from_table(path, tau=0.05)
    assert data.sources == ("A", "B", "exposure_class")
    with pytest.warns(UserWarning, match=r"whole numbers .* log fluxes: exposure_class \(leave"):
        said = notes(data, variances="unknown", method="map")
    assert "columns taken as sources: A, B, exposure_class" in said
    path.write_text("instrument,A,B\npn,1,2\nMOS1,2,3\n")
    (warned,) = ConcordanceData.from_table(path, tau=0.05).warnings
    assert "whole numbers" not in warned


def test_a_note_on_many_columns_is_short() -> None:
    table = {"instrument": ["pn"], **{f"s{k}": [k + 0.5] for k in range(100)}}
    (note,) = ConcordanceData.from_table(table, tau=0.05).notes
    assert note.endswith("s6, s7 and 92 more")


def test_a_source_named_as_measurement_but_not_measured() -> None:
    with pytest.raises(pyxstan.DataError, match="source 'B' is measured by no instrument"):
        ConcordanceData.from_table({"instrument": ["pn"], "y_A": [1.0], "y_B": [np.nan]}, tau=0.05)


@pytest.mark.parametrize("size", [1, 2])
def test_a_tau_of_more_than_a_factor_of_e_is_doubted(size: int) -> None:
    instruments = INSTRUMENTS.assign(tau=[5.0, 2.0 if size == 2 else 1.0, 0.05])
    data = ConcordanceData.from_table(LONG, instruments)
    more = r" \(and 1 more\)" if size == 2 else ""
    with pytest.warns(UserWarning, match="tau is") as caught:
        notes(data)
    assert len(caught) == 1
    assert re.search(
        rf"instrument 'MOS1'{more}: tau is 5, a factor of 148 in area", str(caught[0].message)
    )


@pytest.mark.parametrize("layout", ["long", "wide by source", "wide by instrument"])
def test_swapped_tables(layout: str, tmp_path: Path) -> None:
    frame = {"long": LONG, "wide by source": wide_by_source(),
             "wide by instrument": wide_by_instrument()}[layout]  # fmt: skip
    frame.to_csv(tmp_path / "measured.csv", index=False)
    INSTRUMENTS.to_csv(tmp_path / "instruments.csv", index=False)
    with pytest.raises(
        pyxstan.DataError, match=r"instruments\.csv: no measurements, .*measured\.csv .*: swap them"
    ):
        ConcordanceData.from_table(tmp_path / "instruments.csv", tmp_path / "measured.csv")
    same(
        ConcordanceData.from_table(tmp_path / "measured.csv", tmp_path / "instruments.csv"),
        REFERENCE,
    )


def test_simulated_bands_are_read_back(tmp_path: Path) -> None:
    data, truth = pyxstan.simulate(
        "concordance",
        seed=3,
        instruments=3,
        sources=4,
        bands=2,
        missing=0.3,
        band_correlation=0.5,
    )
    assert data.instruments[:3] == ("instrument 1 band 1", "instrument 1 band 2",
                                    "instrument 2 band 1")  # fmt: skip
    assert len(data.instruments) == len(truth["B"]) == 6
    assert len(data.sources) == len(truth["G"]) == 8
    bands = np.array(data.bands)[data.instrument]
    np.testing.assert_array_equal(bands, np.array(data.source_bands)[data.source])
    *files, _ = registry.get("concordance").family.write(data, truth, tmp_path)
    assert list(pd.read_csv(files[0]).columns) == [
        "instrument", "source", "band", "log_flux", "sigma",
    ]  # fmt: skip
    back = ConcordanceData.from_table(*files)
    assert back.instruments == data.instruments
    assert back.sources == data.sources
    assert back.bands == data.bands
    np.testing.assert_array_equal(back.instrument, data.instrument)
    np.testing.assert_array_equal(back.source, data.source)
    np.testing.assert_allclose(back.y, data.y, atol=1e-6)


def test_simulated_bands_are_correlated() -> None:
    _, truth = pyxstan.simulate(
        "concordance", seed=3, instruments=1000, sources=1, bands=2, band_correlation=0.8
    )
    B = truth["B"].reshape(1000, 2)
    assert np.corrcoef(B.T)[0, 1] == pytest.approx(0.8, abs=0.05)
    assert B.std() == pytest.approx(0.05, rel=0.1)
    shuffled = np.corrcoef(B[:-1, 0], B[1:, 1])[0, 1]
    assert abs(shuffled) < 0.1
