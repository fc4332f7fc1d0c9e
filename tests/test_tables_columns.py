"""Columns of tables of measurements: named, mapped, left aside with a word, or refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table
from astropy.time import Time
from invocation import run

import pyxstan
from pyxstan.concordance import ConcordanceData
from pyxstan.stacking import PosteriorSamples

FLUXES = pd.DataFrame(
    {
        "instrument": ["pn", "MOS1", "pn", "MOS1"],
        "source": ["E0102", "E0102", "N132D", "N132D"],
        "flux": [1.3e-12, 1.2e-12, 2.3e-12, 2.5e-12],
        "error": [1e-13, 1e-13, 2e-13, 2e-13],
    }
)
REFERENCE = ConcordanceData.from_table(FLUXES, tau=0.05)
COUNTS = FLUXES.drop(columns="error").assign(flux=[100, 120, 80, 90]).rename(
    columns={"flux": "counts"}
)  # fmt: skip


def same(found: ConcordanceData) -> None:
    np.testing.assert_allclose(found.y, REFERENCE.y, rtol=1e-6)
    assert found.sigma is not None
    assert REFERENCE.sigma is not None
    np.testing.assert_allclose(found.sigma, REFERENCE.sigma, rtol=1e-6)
    assert found.sources == REFERENCE.sources


def read(table: Any, **how: Any) -> ConcordanceData:
    return ConcordanceData.from_table(table, tau=0.05, **how)


def with_objects() -> QTable:
    """The fluxes with columns that aren't one number a row."""
    table = QTable.from_pandas(FLUXES)
    table["position"] = SkyCoord([1, 1, 2, 2] * u.deg, [3, 3, 4, 4] * u.deg)
    table["start"] = Time([59000, 59001, 59002, 59003], format="mjd")
    table["spectrum"] = np.ones((4, 3))
    return table


def test_columns_of_no_use_are_left_aside_with_a_word() -> None:
    found = read(with_objects())
    same(found)
    assert found.notes == (
        "columns left aside: position (a SkyCoord), start (a Time), spectrum (arrays)",
    )
    named = read(FLUXES.assign(year=2020, proposal="x"))
    same(named)
    assert named.notes == ("columns left aside: year, proposal",)
    same(read({name: with_objects()[name] for name in with_objects().colnames}))


@pytest.mark.parametrize(("column", "what"), [("start", "a Time"), ("position", "a SkyCoord"),
                                              ("spectrum", "arrays")])  # fmt: skip
def test_columns_that_are_needed_must_be_plain(column: str, what: str) -> None:
    table = with_objects()
    table.remove_column("flux")
    table.rename_column(column, "flux")
    with pytest.raises(pyxstan.DataError, match=rf"measurements: .*'flux' holds {what}"):
        read(table)


ERRORS = (
    "E_flux", "dflux", "relerr", "err90", "stat", "sys",
    "flux_lo", "flux_hi", "flux_upper", "eflux_error", "flux+/-",
    "rate_sigma", "sd", "eflux", "ef", "eF_X", "u_flux", "d_flux", "delta_flux", "delta", "fluxsig",
    "1sigma", "flux_1s", "e1", "E68", "flux_pos", "flux_neg", "lo", "upper", "var", "flux_var",
    "half_width", "precision", "accuracy", "scatter", "snr",
)  # fmt: skip


@pytest.mark.parametrize("column", ERRORS)
def test_errors_of_other_names_are_refused_and_can_be_mapped(column: str) -> None:
    table = FLUXES.rename(columns={"error": column})
    with pytest.raises(pyxstan.DataError, match="looks like errors") as raised:
        read(table)
    assert f"column '{column}'" in str(raised.value)
    same(read(table, columns={"error": column}))
    assert read(table, ignore=[column]).sigma is None
    with pytest.raises(pyxstan.DataError, match="looks like errors"):
        read(FLUXES.assign(**{column: 0.1}))  # beside the error that is used


@pytest.mark.parametrize(
    ("column", "what"),
    [("l_flux", "a flag of limits"), ("upper_limit", "a flag of limits"), ("ul", "a flag of"),
     ("weight", "a weight"), ("area", "an effective area"), ("aeff", "an effective area"),
     ("back", "a background"), ("bkg", "a background"), ("exptime", "an exposure"),
     ("bgd", "a background"), ("net_exposure", "an exposure"), ("f_flux", "a flag"),
     ("q_flux", "a flag"), ("flag", "a flag"), ("qual", "a flag")],
)  # fmt: skip
def test_what_changes_a_fit_is_not_dropped(column: str, what: str) -> None:
    with pytest.raises(pyxstan.DataError, match=f"column '{column}' looks like {what}"):
        read(COUNTS.assign(**{column: ["<", "", "", ""]}))
    assert read(COUNTS.assign(**{column: 1}), ignore=column).y.size == 4
    with pytest.raises(pyxstan.DataError, match="column 'background' looks like a background"):
        read(FLUXES.assign(background=1))
    empty = read(COUNTS.assign(**{column: ""}))  # as in tables that were made for others
    assert empty.notes == (f"columns left aside: {column}",)


@pytest.mark.parametrize("column", [
    "e_min", "E_max", "energy", "ra", "l", "station", "off_axis", "e_lo", "E_hi", "energy_lo",
    "name", "dec", "z", "obs_date", "comment",
])  # fmt: skip
def test_harmless_columns(column: str) -> None:
    assert read(FLUXES.assign(**{column: 1.0})).notes == (f"columns left aside: {column}",)


def test_columns_may_be_mapped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same in Python and on the command line, where other fluxes are there too."""
    table = FLUXES.rename(columns={"flux": "F_2keV", "error": "eF", "source": "Name"})
    table.assign(flux=1.0).to_csv(tmp_path / "t.csv", index=False)
    mapped = "flux:F_2keV,error:eF,source:Name"
    same(read(tmp_path / "t.csv", columns=mapped))
    words = [
        "fit",
        "concordance",
        tmp_path / "t.csv",
        "--set",
        "tau=.05",
        "--set",
        f"columns={mapped}",
        "--set",
        "variances=known",
        "--quiet",
        "-o",
        tmp_path / "o.nc",
    ]
    assert run(words, capsys).status == 0
    for given, complaint in (("flux", "'flux' is not name:column"), ("a:b,a:c", "a is there twice"),
                             ("flux:none", "no column 'none'")):  # fmt: skip
        with pytest.raises(pyxstan.DataError, match=complaint):
            read(tmp_path / "t.csv", columns=given)


def test_fluxes_are_not_taken_for_logs() -> None:
    wide = FLUXES.pivot(index="instrument", columns="source", values="flux").reset_index()
    with pytest.raises(pyxstan.DataError, match="which look like fluxes, expected natural logs"):
        read(wide)
    with pytest.raises(pyxstan.DataError, match="which look like fluxes"):
        read(FLUXES.rename(columns={"flux": "log_flux", "error": "sigma"}).assign(sigma=0.1))
    by_source = wide.set_index("instrument").T.add_prefix("y_").reset_index()
    with pytest.raises(pyxstan.DataError, match="which look like fluxes"):
        read(by_source.rename(columns={"index": "source"}))
    decades = FLUXES.assign(flux=np.log10(FLUXES["flux"])).drop(columns="error")
    (warning,) = read(decades.rename(columns={"flux": "log_flux"})).warnings
    assert "is taken for natural logs" in warning
    for column in ("log10_flux", "lg_flux", "Log_10_F", "flux_dex"):
        with pytest.raises(pyxstan.DataError, match=f"'{column}' looks like logarithms to base 10"):
            read(decades.rename(columns={"flux": column}), columns=f"log_flux:{column}")
    luminosities = decades.assign(flux=decades["flux"] + 55).rename(columns={"flux": "logL"})
    found = read(luminosities, columns="log_flux:logL")
    assert "is taken for natural logs" in found.warnings[0]
    assert found.notes == ("log_flux is taken for natural logarithms",)
    errors = wide.assign(E0102=np.log(wide["E0102"]), N132D=np.log(wide["N132D"]))
    with pytest.raises(pyxstan.DataError, match="'E0102_err' looks like errors, not like a source"):
        read(errors.assign(E0102_err=0.1))
    with pytest.raises(pyxstan.DataError, match="'z' does not look like a source"):
        read(errors.assign(z=0.1))


@pytest.mark.parametrize("column", ["obsid", "epoch"])
def test_observations_of_one_source(column: str) -> None:
    two = pd.concat([FLUXES.assign(**{column: k}) for k in (1, 2)])
    found = read(two)
    assert found.sources == ("E0102 1", "N132D 1", "E0102 2", "N132D 2")
    assert found.notes == (f"observations are told apart by {column}",)
    with pytest.raises(pyxstan.DataError, match="no two instruments share an observation"):
        read(FLUXES.assign(**{column: [1, 2, 3, 4]}))
    same(read(FLUXES.assign(**{column: [1, 2, 3, 4]}), ignore=column))


def test_tables_of_instruments() -> None:
    priors = pd.DataFrame({"instrument": ["pn", "MOS1"], "tau": 0.05, "team": ["x", "y"]})
    found = ConcordanceData.from_table(FLUXES, priors)
    assert found.notes == ("instruments: columns left aside: team",)
    for column, remedy in (("area", "the natural log of a nominal area is 'b'"),
                           ("error", "call the prior standard deviation of B 'tau'")):  # fmt: skip
        table = priors.assign(**{column: 0.1})
        with pytest.raises(pyxstan.DataError, match=f"instruments: column '{column}' .*{remedy}"):
            ConcordanceData.from_table(FLUXES, table)
        assert ConcordanceData.from_table(FLUXES, table, ignore=[column, "team"]).y.size == 4
    with pytest.raises(pyxstan.DataError, match="no column 'none'"):
        ConcordanceData.from_table(FLUXES, priors, ignore="none")


def test_names_of_sources() -> None:
    table = FLUXES.assign(source=["NGC  4151", "NGC 4151 ", "Mkn 421", "MKN421"])
    found = read(table)
    assert found.sources == ("NGC 4151", "Mkn 421", "MKN421")
    assert found.warnings == (
        "sources of almost the same name are taken for different ones: 'Mkn 421' and 'MKN421'",
    )
    arms = FLUXES.assign(instrument=["HEG-1", "HEG+1", "HEG-1", "HEG+1"])
    assert read(arms).warnings == ()


MRT = """\
Title: Fluxes of calibration sources
Authors: Somebody
Table: Fluxes
================================================================================
Byte-by-byte Description of file: table.txt
--------------------------------------------------------------------------------
   Bytes Format Units          Label      Explanations
--------------------------------------------------------------------------------
   1-  5 A5     ---            instrument Telescope
   7- 11 A5     ---            source     Name
  13- 19 E7.1   mW/m2          Flux       Flux
  21- 27 E7.1   mW/m2          e_Flux     Its uncertainty
--------------------------------------------------------------------------------
pn    E0102 1.3E-12 1.0E-13
MOS1  E0102 1.2E-12 1.0E-13
pn    N132D 2.3E-12 2.0E-13
MOS1  N132D 2.5E-12 2.0E-13
"""


def test_machine_readable_tables(tmp_path: Path) -> None:
    (tmp_path / "table.txt").write_text(MRT)
    same(read(tmp_path / "table.txt"))
    same(read(tmp_path / "table.txt", columns="flux:Flux"))
    same(read(tmp_path / "table.txt", columns="flux:Flux,error:e_Flux"))


@pytest.mark.parametrize("kind", ["votable", "ascii.ipac", "ascii.ecsv", "fits"])
def test_formats_that_astropy_writes(kind: str, tmp_path: Path) -> None:
    Table.from_pandas(FLUXES).write(tmp_path / "table", format=kind)
    same(read(tmp_path / "table"))


def test_other_families_name_what_they_need() -> None:
    table = Table({"object": ["a", "a"], "x": [1.0, 2.0]})
    table["when"] = Time([59000, 59001], format="mjd")
    assert PosteriorSamples.from_frame(table, "x").sizes.tolist() == [2]
    (aside, _) = PosteriorSamples.from_frame(table, "x").notes
    assert aside == "samples: columns left aside: when"
    weights = table["object", "x"].to_pandas().assign(weights=1.0)
    with pytest.raises(pyxstan.DataError, match="column 'weights' looks like weights: call it"):
        PosteriorSamples.from_frame(weights, "x")
    with pytest.raises(pyxstan.DataError, match="column 'when' holds a Time"):
        PosteriorSamples.from_frame(table, "when")
