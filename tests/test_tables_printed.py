"""Tables as papers and archives print them: read with the right values, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pyxstan
from pyxstan import registry, tables
from pyxstan.concordance import ConcordanceData

F = np.array([1.3, 1.2, 2.3, 2.5])
LOW, HIGH = np.array([0.1, 0.1, 0.2, 0.2]), np.array([0.12, 0.1, 0.2, 0.2])
MEAN = (np.log1p(HIGH / F) - np.log1p(-LOW / F)) / 2
KEYS = ("pn,E0102", "MOS1,E0102", "pn,N132D", "MOS1,N132D")
LN10 = np.log(10)


def csv(header: str, *columns: object, sep: str = ",") -> str:
    """A table of two instruments and two sources."""
    lines = [header]
    for k, key in enumerate(KEYS):
        cells = [column if isinstance(column, str) else f"{column[k]!s}" for column in columns]  # type: ignore[index]
        lines.append(",".join([key, *cells]))
    return "\n".join(lines).replace(",", sep) + "\n"


ERRORS = LOW
PAIRS = list(zip(F, LOW, HIGH, strict=True))
ROWS = list(zip(KEYS, F, ERRORS, strict=True))
LOGS = np.round(np.log10(F) - 12, 6)
AASTEX = (
    "\\begin{deluxetable}{lcc}\n\\tablehead{\\colhead{Instrument} & \\colhead{Source} & "
    "\\colhead{Flux}}\n\\startdata\n"
    + "".join(f"{k.replace(',', ' & ')} & ${f} \\pm {e}$ \\\\\n" for k, f, e in ROWS)
    + "\\enddata\n\\end{deluxetable}\n"
)
LATEX = (
    "\\begin{tabular}{lccc}\nInstrument & Source & Flux & Error \\\\\n"
    + "".join(f"{k.replace(',', ' & ')}\\tablenotemark{{a}} & {f} & {e} \\\\\n" for k, f, e in ROWS)
    + "\\end{tabular}\n"
)
READ = {
    "capitals": (csv("Instrument,Source,Flux,Error", F, ERRORS), F, ERRORS / F),
    "plurals": (csv("instruments,Sources,FLUXES,errors", F, ERRORS), F, ERRORS / F),
    "usual name of the error": (csv("instrument,source,flux,flux_err", F, ERRORS), F, ERRORS / F),
    "name of the error in one word": (
        csv("instrument,source,flux,fluxerr", F, ERRORS), F, ERRORS / F),
    "CDS name of the error": (csv("Instrument,Source,Flux,e_Flux", F, ERRORS), F, ERRORS / F),
    "CDS, asymmetric": (csv("Instrument,Source,Flux,e_Flux,E_Flux", F, LOW, HIGH), F, MEAN),
    "errors of two sides": (
        csv("instrument,source,flux,flux_err_lo,flux_err_hi", F, LOW, HIGH), F, MEAN),
    "errors with a sign": (
        csv("instrument,source,flux,err_minus,err_plus", F, -LOW, HIGH), F, MEAN),
    "sides that can't be limits": (
        csv("instrument,source,flux,flux_lo,flux_hi", F, LOW, HIGH), F, MEAN),
    "limits": (
        csv("instrument,source,flux,flux_lo,flux_hi", F, F - LOW, F + HIGH), F,
        np.log((F + HIGH) / (F - LOW)) / 2),
    "both sides in a cell": (
        csv("instrument,source,flux,error", F, [f"+{h} -{x}" for _, x, h in PAIRS]), F, MEAN),
    "value and sides in a cell": (
        csv("instrument,source,flux", [f"{f} +{h} -{x}" for f, x, h in PAIRS]),
        F, MEAN),
    "value and error in a cell": (
        csv("instrument,source,flux", [f"{f} ± {e}" for _, f, e in ROWS]), F, ERRORS / F),
    "percent by name": (csv("instrument,source,flux,error_percent", F, "5"), F, 0.05),
    "percent in brackets": (csv("instrument,source,flux,Error (%)", F, "5"), F, 0.05),
    "percent of sigma": (csv("instrument,source,log_flux,sigma [%]", np.log(F), "5"), F, 0.05),
    "percent in the cells": (csv("instrument,source,flux,error", F, "5%"), F, 0.05),
    "percent of both sides": (
        csv("instrument,source,flux,err_lo_pct,err_hi_pct", F, "5", "6"), F,
        (np.log(1.06) - np.log(0.95)) / 2),
    "log10": (csv("instrument,source,log10 flux,e_logF", LOGS, "0.02"), F * 1e-12, 0.02 * LN10),
    "log10, call": (
        csv("instrument,source,log10(flux),error", LOGS, "0.02"), F * 1e-12, 0.02 * LN10),
    "log10, sides": (
        csv("instrument,source,log10_flux,log10_flux_lo,log10_flux_hi", LOGS, "0.02", "0.03"),
        F * 1e-12, 0.025 * LN10),
    "log10, limits": (
        csv("instrument,source,log10_flux,log10_flux_lo,log10_flux_hi", LOGS, LOGS - 0.02,
            LOGS + 0.02), F * 1e-12, 0.02 * LN10),
    "units": (csv("instrument,source,flux [W/m^2],error [mW/m2]", F, 1e3 * ERRORS), F, ERRORS / F),
    "units of the error alone differ": (
        csv("instrument,source,flux [W/m^2],Flux_err [mW/m2]", F, 1e3 * ERRORS), F, ERRORS / F),
    "sides in another unit": (
        csv("instrument,source,flux [W/m^2],err_lo [mW/m2],err_hi [mW/m2]", F, 1e3 * LOW,
            1e3 * HIGH), F, MEAN),
    "dex": (csv("instrument,source,flux [dex],error", LOGS, "0.02"), F * 1e-12, 0.02 * LN10),
    "dex, sides": (
        csv("instrument,source,flux [dex],err_lo,err_hi", LOGS, "0.02", "0.03"),
        F * 1e-12, 0.025 * LN10),
    "log10 of photons": (
        csv("instrument,source,log10_flux,error", LOGS + 7, "0.02"), F * 1e-5, 0.02 * LN10),
    "tabs": (csv("instrument,source,flux,error", F, ERRORS, sep="\t"), F, ERRORS / F),
    "tabs, and a comma in a name": (
        csv("instrument,source,flux,error,note", F, ERRORS, "-", sep="\t").replace(
            "note", "note, if any"), F, ERRORS / F),
    "semicolons": (csv("instrument,source,flux,error", F, ERRORS, sep=";"), F, ERRORS / F),
    "blanks": (csv("instrument,source,flux,error", F, ERRORS, sep=" "), F, ERRORS / F),
    "byte order mark, CRLF": (
        "\ufeff" + csv("instrument,source,flux,error", F, ERRORS).replace("\n", "\r\n"),
        F, ERRORS / F),
    "commented header": (
        "# from a paper\n" + csv("# instrument,source,flux,error", F, ERRORS), F, ERRORS / F),
    "commented header, blanks": (
        csv("# instrument,source,flux,error", F, ERRORS, sep=" "), F, ERRORS / F),
    "fixed width": (
        "instrument source   flux error\n---------- -------- ---- -----\n"
        "pn         SNR E    1.3  0.1\nMOS1       SNR E    1.2  0.1\n"
        "pn         Cyg Loop 2.3  0.2\nMOS1       Cyg Loop 2.5  0.2\n", F, ERRORS / F),
    "blanks, short rows under long names": (
        csv("instrument,source,flux,sigma", F, "0.1", sep=" ").replace("E0102", "A")
        .replace("instrument", "instrument" + " " * 9), F, 0.1),
    "LaTeX with rules behind rows": (
        LATEX.replace("\\\\\n", "\\\\[2pt] \\hline\n"), F, ERRORS / F),
    "AASTeX": (AASTEX, F, ERRORS / F),
    "LaTeX": (LATEX, F, ERRORS / F),
}  # fmt: skip


@pytest.mark.parametrize("case", READ)
def test_read_with_the_right_values(case: str, tmp_path: Path) -> None:
    text, flux, sigma = READ[case]
    (tmp_path / "t.txt").write_bytes(text.encode())
    found = ConcordanceData.from_table(tmp_path / "t.txt", tau=0.05)
    np.testing.assert_allclose(found.y, np.log(flux), rtol=1e-6, atol=1e-6)
    assert found.sigma is not None
    np.testing.assert_allclose(found.sigma, np.broadcast_to(sigma, 4), rtol=1e-5)
    assert found.instruments == ("pn", "MOS1")
    assert not found.complaints or case in ("log10, sides", "dex, sides")
    assert not found.warnings


REFUSED = {
    "a mark for no value": (
        csv("instrument,source,log_flux", [1.3, 1.2, "-99.0", 2.5]), "line 4: .* a mark for no"),
    "a mark among log10": (
        csv("instrument,source,log10_flux", [-12.1, -12.2, -999, -12.3]), "line 4: .* a mark for"),
    "a mark in a wide table": (
        "instrument,X,Y\npn,0.1,0.2\nMOS1,0.1,-99\nMOS2,0.3,0.2\n", "line 3: Y is -99, far from"),
    "limits or errors?": (
        csv("instrument,source,flux,flux_lo,flux_hi", F, LOW, [2, 0.1, 0.1, 0.1]), "or errors?"),
    "limits or errors of logs": (
        csv("instrument,source,log_flux,log_flux_lo,log_flux_hi", [0.01] * 4, "0.0", "0.1"),
        "or errors?"),
    "an error as large as the flux": (
        csv("instrument,source,flux,err_lo,err_hi", F, [0.1, 1.2, 0.1, 0.1], HIGH), "line 3: .*"
        "reaches zero"),
    "one side": (csv("instrument,source,flux,flux_hi", F, HIGH), "'flux_hi' looks like errors"),
    "upper errors alone": (csv("instrument,source,flux,E_flux", F, HIGH), "'E_flux' looks like"),
    "two errors": (csv("instrument,source,flux,error,flux_err", F, LOW, HIGH), "looks like errors"),
    "90% errors": (csv("instrument,source,flux,flux_err90", F, HIGH), "looks like errors"),
    "sigma beside log10": (
        csv("instrument,source,log10_flux,sigma", LOGS, "0.02"), "'sigma' beside logarithms"),
    "decimal commas": (
        csv("instrument,source,flux,error", F, ERRORS, sep=";").replace(".", ","), "line 2: .*1,3"),
    "thousands": (csv("instrument,source,flux", '"1,300"'), "line 2: .*1,300"),
    "footnotes": (csv("instrument,source,flux", ["1.3a", "1.2", "2.3", "2.5"]), "line 2: .*1.3a"),
    "dots": (csv("instrument,source,flux", ["1.3", "...", "2.3", "2.5"]), r"line 3: .*'\.\.\.'"),
    "a dash": (csv("instrument,source,flux", ["1.3", "-", "2.3", "2.5"]), "line 3: .*'-'"),
    "n/a": (csv("instrument,source,flux", ["1.3", "n/a", "2.3", "2.5"]), "line 3: .*'n/a'"),
    "an empty cell": (csv("instrument,source,flux", ["1.3", "", "2.3", "2.5"]), "line 3: .*empty"),
    "an upper limit": (csv("instrument,source,flux", ["1.3", "<1", "2.3", "2"]), "line 3: .*'<1'"),
    "a row of units": (
        csv("instrument,source,flux", F).replace("flux\n", "flux\n,,erg/s/cm2\n"),
        "line 2: .*erg/s/cm2"),
    "names with a blank": (
        csv("instrument,source,flux", F, sep=" ").replace("E0102", "1E 0102"),
        "line 2: columns are separated by blanks, 4 words, but the header has 3"),
    "a flux in a unit that isn't known": (
        csv("instrument,source,Flux (mCrab)", F), r"but Flux \(mCrab\): which it is, columns="),
    "bars": (csv("instrument,source,flux", F, sep="|"), "columns are separated by '|'"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str, tmp_path: Path) -> None:
    text, said = REFUSED[case]
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(pyxstan.DataError, match=said) as raised:
        ConcordanceData.from_table(tmp_path / "t.txt", tau=0.05)
    assert "\n" not in str(raised.value)


def test_lopsided_errors_are_held_against_the_fit(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(csv("instrument,source,flux,err_lo,err_hi", F, LOW, 3 * LOW))
    data = ConcordanceData.from_table(tmp_path / "t.csv", tau=0.05)
    entry = registry.get("concordance")
    options = entry.resolve_options({}, registry.SAMPLER_OPTIONS)
    problem = entry.family.prepare("concordance", data, options, entry.resolve_priors({}))
    assert any("differ by more than a third" in line for line in problem.complaints)


def test_missing_cells_of_fixed_width_stay_in_their_column(tmp_path: Path) -> None:
    """As many words as the header has: a name of two, and no error."""
    (tmp_path / "t.txt").write_text(
        "instrument source   flux  error\npn         NGC 4151 1.3\npn         Mkn      1.2   0.1\n"
    )
    found = tables.read(tmp_path / "t.txt").frame
    assert list(found.iloc[0]) == ["pn", "NGC 4151", "1.3", ""]
    assert list(found.iloc[1]) == ["pn", "Mkn", "1.2", "0.1"]


def test_a_column_given_in_its_own_unit_keeps_it(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(
        csv("instrument,source,flux [W/m^2],s (mW/m2)", F, 1e3 * ERRORS)
    )
    found = ConcordanceData.from_table(tmp_path / "t.csv", tau=0.05, columns="error:s (mW/m2)")
    np.testing.assert_allclose(found.sigma, ERRORS / F, rtol=1e-5)


def test_what_may_be_a_mark_or_a_note_is_said(tmp_path: Path) -> None:
    """Of fluxes, which may span decades, and of names, which may well end in an asterisk."""
    (tmp_path / "t.csv").write_text(csv("instrument,source,flux", [1.3, 999, 2.3, 2.5]))
    found = ConcordanceData.from_table(tmp_path / "t.csv", tau=0.05)
    assert any("line 3: flux is 999" in line for line in found.warnings)
    for mark in ("*", "$^a$", "^{1}", "\u2020", "\u00b9"):
        text = csv("instrument,source,flux", F)
        (tmp_path / "t.csv").write_text(text.replace("MOS1", f"pn{mark}", 1), encoding="utf-8")
        found = ConcordanceData.from_table(tmp_path / "t.csv", tau=0.05)
        assert any(f"'pn' and 'pn{mark}'" in line for line in found.warnings), mark


def test_numbers_above_zero_in_a_wide_table_may_be_fluxes(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("instrument,3C273,PKS2155\npn,8.44,3.35\nXRT,7.9,3.1\n")
    (warned,) = ConcordanceData.from_table(path).warnings
    assert "taken for natural logs of fluxes" in warned
    path.write_text("instrument,3C273,PKS2155\npn,-25.5,-26.4\nXRT,-25.6,-26.5\n")
    assert ConcordanceData.from_table(path).warnings == ()


def test_a_row_of_means_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(
        "instrument,source,flux,error\npn,A,8.4,.1\nXRT,A,7.9,.1\nWeighted mean,A,8.2,.1\n"
    )
    (warned,) = ConcordanceData.from_table(path).warnings
    assert warned.startswith("instrument Weighted mean: taken for one like the others")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("instrument,source,flux,S/N", "column 'S/N' looks like errors: .* 1 / snr is a sigma"),
        ("instrument,source,flux,sigma_log10", "an error of log10 times 2.302585 is 'sigma'"),
        ("Telescope,Target,flux,error", "there are Telescope, Target, flux, error: which it is"),
    ],
)
def test_what_isnt_told_from_its_name(header: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(f"{header}\npn,A,8.4,.1\nXRT,A,7.9,.1\n")
    with pytest.raises(pyxstan.DataError, match=said):
        ConcordanceData.from_table(path)
    if "log10" in header:
        with pytest.raises(pyxstan.DataError, match="an error of log10, but 'error' is in the"):
            ConcordanceData.from_table(path, columns="flux:flux,error:sigma_log10")


def test_a_commented_header_may_have_names_with_blanks_below(tmp_path: Path) -> None:
    path = tmp_path / "t.txt"
    path.write_text('# a comment\n# instrument source flux error\npn "3C 273" 8.4 .1\n')
    data = ConcordanceData.from_table(path)
    assert (data.sources, data.y[0]) == (("3C 273",), np.log(8.4))
    path.write_text("| instrument | source | flux |\n|---|---|---|\n| pn | A | 8.4 |\n")
    with pytest.raises(pyxstan.DataError, match=r"separated by '\|', expected commas"):
        ConcordanceData.from_table(path)


@pytest.mark.parametrize(
    "name",
    ["Delta F", "u(F)", "F_lo", "fluxU", "FluxErrP", "st.dev.", "standard deviation", "SE", "q84",
     "lower bound", "sigF", "plusminus", "wgt", "censor", "detection", "mask"],
)  # fmt: skip
def test_errors_and_flags_of_odd_names_are_not_dropped(name: str) -> None:
    table = {"instrument": ["a", "b"], "source": ["s", "s"], "flux": [1.0, 1.1], name: [0.1, 0.2]}
    with pytest.raises(pyxstan.DataError, match=r"looks like (errors|a flag|a weight)"):
        ConcordanceData.from_table(table)


def test_a_sigma_in_the_unit_of_the_flux_is_warned_of(tmp_path: Path) -> None:
    rows = [("a", "s", 10.0), ("b", "s", 11.0), ("a", "t", 20.0), ("b", "t", 22.0)]
    path = tmp_path / "t.csv"
    for power, expected in ((1, 1), (0.5, 0), (-0.5, 0)):
        lines = [f"{i},{j},{f},{0.03 * f**power}" for i, j, f in rows]
        path.write_text("\n".join(["instrument,source,flux,sigma", *lines]))
        warned = ConcordanceData.from_table(path).warnings
        assert len(warned) == expected
    path.write_text("\n".join(["instrument,source,flux,error", *lines]))
    assert ConcordanceData.from_table(path).warnings == ()


@pytest.mark.parametrize(
    "text",
    [
        r"""\begin{deluxetable}{lccc}
\tablecaption{Fluxes}
\tablehead{\colhead{Instrument} & \colhead{Source} & \colhead{Flux} & \colhead{Error} \\
\colhead{} & \colhead{} & \colhead{($10^{-12}$ erg cm$^{-2}$ s$^{-1}$)} &
\colhead{($10^{-13}$ erg cm$^{-2}$ s$^{-1}$)}}
\startdata
pn & A & 8.0 & 4.0 \\
XRT & A & 7.0 & 3.5
\enddata
\end{deluxetable}
""",
        r"""\begin{tabular}{lccc}
\hline
Instrument & Source & Flux & Error \\
 & & ($10^{-12}\,\mathrm{erg\,cm^{-2}\,s^{-1}}$) & ($10^{-13}\,\mathrm{erg\,cm^{-2}\,s^{-1}}$) \\
\hline
pn & A & 8.0 & 4.0 \\
XRT & A & 7.0 & 3.5 \\
\hline
\end{tabular}
""",
    ],
)
def test_units_below_the_names_in_latex(text: str, tmp_path: Path) -> None:
    path = tmp_path / "t.tex"
    path.write_text(text)
    data = ConcordanceData.from_table(path)
    assert data.sigma == pytest.approx([0.05, 0.05])
    assert data.y == pytest.approx(np.log([8.0, 7.0]))
    assert data.unit == "1e-12 erg / (s cm2)"
