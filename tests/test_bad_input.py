"""Bad input: one line that names what is wrong, exit status 2, nothing written, nothing lost."""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from invocation import contents, run

import pyxstan

MEASUREMENTS = """\
instrument,source,log_flux,sigma
pn,E0102,1.01,0.02
MOS1,E0102,1.04,0.03
pn,N132D,2.02,0.02
MOS1,N132D,2.01,0.03
"""
INSTRUMENTS = "instrument,b,tau\npn,0,0.05\nMOS1,0,0.05\n"
FLUXES = "instrument,source,flux,error\npn,E0102,1.3,0.1\nMOS1,E0102,1.2,0.1\n"
COUNTS = "instrument,source,counts,exposure\npn,E0102,120,1000\nMOS1,E0102,90,1000\n"
WIDE = "source,y_pn,y_MOS1,sigma_pn,sigma_MOS1\nE0102,1.01,1.04,.02,.03\nN132D,2.02,2.01,.02,.03\n"
BANDS = """\
instrument,band,source,log_flux,sigma
pn,soft,E0102,1.01,0.02
pn,hard,E0102,1.21,0.02
MOS1,soft,E0102,1.02,0.02
MOS1,hard,E0102,1.22,0.02
"""
ECSV = """\
# %ECSV 1.0
# ---
# datatype:
# - {name: instrument, datatype: string}
# - {name: source, datatype: string}
# - {name: flux, unit: erg / (s cm2), datatype: float64}
instrument source flux
pn E0102 1.3
MOS1 E0102 1.2
"""


@dataclass(frozen=True)
class Case:
    """What is wrong, in words that the message must have; the rest is good unless it says so."""

    words: str
    table: str | bytes | Callable[[], bytes] | None = MEASUREMENTS
    instruments: str | None = INSTRUMENTS
    model: str = "concordance"
    options: Mapping[str, str] = field(default_factory=dict)
    priors: Mapping[str, str] = field(default_factory=dict)
    sampler: Mapping[str, Any] = field(default_factory=dict)


def changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def fits_table(units: Mapping[str, str] | None = None, **columns: Any) -> bytes:
    rows = {"instrument": ["pn", "MOS1"], "source": ["E0102", "E0102"], **columns}
    table = Table(rows)
    for name, unit in (units or {}).items():
        table[name].unit = unit
    file = io.BytesIO()
    table.write(file, format="fits")
    return file.getvalue()


def good_fits() -> bytes:
    return fits_table(flux=[1.3, 1.2])


def long_fits() -> bytes:
    size = 2000
    table = Table({"instrument": ["pn"] * size, "flux": np.ones(size)})
    table["source"] = [f"source {k}" for k in range(size)]
    file = io.BytesIO()
    table.write(file, format="fits")
    return file.getvalue()


def fits_image() -> bytes:
    file = io.BytesIO()
    fits.PrimaryHDU(np.ones((4, 4))).writeto(file)
    return file.getvalue()


def damaged(whole: bytes) -> bytes:
    """Turn over bits in the middle."""
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 0xFF]) + whole[middle + 1 :]


TABLES = {
    "missing file": Case(r"^table: no such file$", None),
    "empty file": Case(r"^table: the file is empty$", ""),
    "blank lines only": Case(r"^table: the file is empty$", "\n\n \n"),
    "header only": Case(r"^table: no rows$", "instrument,source,log_flux\n"),
    "comments only": Case(r"^table: no header", "# nothing\n# here\n"),
    "binary": Case(r"^table: a binary file", bytes(range(256)) * 8),
    "binary further down": Case(r"^table: a binary file", MEASUREMENTS + "#" * 8000 + "\0\n"),
    "UTF-16": Case(r"^table: a binary file", MEASUREMENTS.encode("utf-16")),
    "Latin-1": Case(r"^table: not a text file", changed(MEASUREMENTS, "pn", "é").encode("latin1")),
    "not a table": Case(r"^table: no rows$", "<!DOCTYPE html>\n"),
    "no instrument column": Case(
        r"^table: no column 'instrument'", changed(MEASUREMENTS, "instrument", "telescope")
    ),
    "no quantity": Case(
        r"^table: expected one column of log_flux, flux, counts, none",
        changed(MEASUREMENTS, "log_flux", "magnitude"),
    ),
    "both flux and counts": Case(
        r"both 'flux' and 'counts'", changed(FLUXES, "error", "counts").replace("0.1", "5")
    ),
    "error of a log": Case(
        r"^table: column 'error' goes with flux or counts",
        changed(MEASUREMENTS, "sigma", "error"),
    ),
    "exposure of a flux": Case(
        r"^table: column 'exposure' goes with counts", changed(FLUXES, "error", "exposure")
    ),
    "column twice": Case(
        r"^table: column 'log_flux' is there twice", changed(MEASUREMENTS, "sigma", "log_flux")
    ),
    "column without a name": Case(
        r"^table: column 4 has no name", changed(MEASUREMENTS, ",sigma", ",")
    ),
    "line too long": Case(
        r"^table: line 3: 6 cells, but the header has 4",
        changed(MEASUREMENTS, "1.04,0.03", "1.04,0.03,7,8"),
    ),
    "line too short": Case(
        r"^table: line 5: 2 cells, but the header has 4",
        changed(MEASUREMENTS, "MOS1,N132D,2.01,0.03", "MOS1,N132D"),
    ),
    "all lines too long": Case(
        r"^table: line 2: 5 cells, but the header has 4",
        "instrument,source,log_flux,sigma\npn,E0102,1,.1,9\nMOS1,E0102,1,.1,9\n",
    ),
    "quote never closed": Case(
        r"^table: line 3: not a line of CSV", changed(MEASUREMENTS, "MOS1", '"MOS1')
    ),
    "bars": Case(
        r"^table: columns are separated by '\|', expected commas", MEASUREMENTS.replace(",", "|")
    ),
    "unknown instrument": Case(
        r"^table: line 4: unknown instrument 'EPIC'; instruments lists pn, MOS1",
        changed(MEASUREMENTS, "pn,N132D", "EPIC,N132D"),
    ),
    "instrument without a name": Case(
        r"^table: line 4: column 'instrument' is empty",
        changed(MEASUREMENTS, "pn,N132D", " ,N132D"),
    ),
    "source without a name": Case(
        r"^table: line 4: column 'source' is empty", changed(MEASUREMENTS, "pn,N132D", "pn,")
    ),
    "duplicate measurement": Case(
        r"^table: line 4: 'E0102' by 'pn' is a duplicate of line 2",
        changed(MEASUREMENTS, "pn,N132D", "pn,E0102"),
    ),
    "NaN": Case(
        r"^table: line 2: log_flux is 'nan', expected a finite number",
        changed(MEASUREMENTS, "1.01", "nan"),
    ),
    "infinite": Case(
        r"^table: line 5: log_flux is '-inf', expected a finite number",
        changed(MEASUREMENTS, "2.01", "-inf"),
    ),
    "too large for a number": Case(
        r"^table: line 2: flux is '1e400', expected a positive number",
        changed(FLUXES, "1.3", "1e400"),
    ),
    "a word": Case(
        r"^table: line 3: log_flux is 'bright', expected a finite number",
        changed(MEASUREMENTS, "1.04", "bright"),
    ),
    "true": Case(r"^table: line 2: flux is 'True'", changed(FLUXES, "1.3", "True")),
    "empty cell": Case(
        r"^table: line 4: log_flux is empty, expected a finite number",
        changed(MEASUREMENTS, "2.02", ""),
    ),
    "zero flux": Case(
        r"^table: line 2: flux is '0', expected a positive number", changed(FLUXES, "1.3", "0")
    ),
    "negative flux": Case(
        r"^table: line 3: flux is '-1.2', expected a positive number",
        changed(FLUXES, "1.2", "-1.2"),
    ),
    "zero counts with errors": Case(
        r"^table: line 2: counts is '0', expected a positive number",
        changed(COUNTS, "exposure", "error").replace("120", "0"),
    ),
    "fractions of counts": Case(
        r"^table: line 2: counts is 0.2, expected a whole number", changed(COUNTS, "120", "0.2")
    ),
    "negative background": Case(
        r"^table: line 2: background is -3, expected the number of background counts",
        changed(COUNTS, "exposure", "background").replace("120,1000", "120,-3"),
    ),
    "negative counts": Case(
        r"^table: line 3: counts is -90, expected a whole number", changed(COUNTS, "90", "-90")
    ),
    "zero exposure": Case(
        r"^table: line 2: exposure is '0', expected a positive", changed(COUNTS, "1000", "0")
    ),
    "zero error": Case(
        r"^table: line 2: error is '0', expected a positive", changed(FLUXES, "0.1", "0")
    ),
    "negative sigma": Case(
        r"^table: line 3: sigma is '-0.03', expected a positive",
        changed(MEASUREMENTS, "0.03", "-0.03"),
    ),
    "sigma in the unit of the flux": Case(
        r"measurement of 'E0102' by 'pn': sigma is 2e-13, expected the standard deviation of a",
        changed(MEASUREMENTS, "0.02", "2e-13"),
    ),
    "flux no flux has": Case(
        r"measurement of 'E0102' by 'pn': y is 1e\+29, expected the natural log of a flux",
        changed(MEASUREMENTS, "1.01", "1e29"),
    ),
    "tau zero": Case(
        r"^instruments: line 2: tau is '0', expected a positive",
        instruments=changed(INSTRUMENTS, "pn,0,0.05", "pn,0,0"),
    ),
    "tau negative": Case(
        r"^instruments: line 3: tau is '-0.05', expected a positive",
        instruments=changed(INSTRUMENTS, "MOS1,0,0.05", "MOS1,0,-0.05"),
    ),
    "tau NaN": Case(
        r"^instruments: line 3: tau is 'nan', expected a positive",
        instruments=changed(INSTRUMENTS, "MOS1,0,0.05", "MOS1,0,nan"),
    ),
    "tau absurd": Case(
        r"^instrument 'MOS1': tau is 1e\+09, expected the standard deviation of a natural log",
        instruments=changed(INSTRUMENTS, "MOS1,0,0.05", "MOS1,0,1e9"),
    ),
    "tau missing": Case(
        r"^instrument 'pn' has no tau: give a column tau", instruments="instrument\npn\nMOS1\n"
    ),
    "no instruments, no tau": Case(r"^instrument 'pn' has no tau", instruments=None),
    "tau beyond all proportion": Case(
        r"sigma is 0.0001, out of all proportion to the largest tau 100",
        MEASUREMENTS.replace("0.02", "1e-4"),
        instruments=changed(INSTRUMENTS, "MOS1,0,0.05", "MOS1,0,100"),
    ),
    "b infinite": Case(
        r"^instruments: line 2: b is 'inf', expected a finite number",
        instruments=changed(INSTRUMENTS, "pn,0", "pn,inf"),
    ),
    "b absurd": Case(
        r"^instrument 'pn': b is 1000, expected the natural log of an area",
        instruments=changed(INSTRUMENTS, "pn,0", "pn,1000"),
    ),
    "instrument listed twice": Case(
        r"^instruments: line 4: instrument 'pn' is there twice",
        instruments=INSTRUMENTS + "pn,0,0.1\n",
    ),
    "instruments without names": Case(
        r"^instruments: no column 'instrument'; there are b, tau",
        instruments="b,tau\n0,.05\n",
    ),
    "bands of the instruments alone": Case(
        r"^instruments: column 'band', but the measurements have none",
        instruments="instrument,band,tau\npn,soft,.05\nMOS1,soft,.05\n",
    ),
    "band not listed": Case(
        r"^table: line 3: unknown instrument 'pn' in band 'hard'",
        BANDS,
        instruments="instrument,band,tau\npn,soft,.05\nMOS1,soft,.05\nMOS1,hard,.05\n",
    ),
    "source seen by nobody": Case(
        r"^table: line 3: source 'N132D' is measured by no instrument",
        changed(WIDE, "N132D,2.02,2.01,.02,.03", "N132D,,,,"),
    ),
    "source seen by nobody, a column": Case(
        r"^table: source 'N132D' is measured by no instrument",
        "instrument,E0102,N132D\npn,1.01,\nMOS1,1.04,\n",
    ),
    "wide source twice": Case(
        r"^table: line 3: source 'E0102' is there twice", changed(WIDE, "N132D", "E0102")
    ),
    "wide instrument twice": Case(
        r"^table: line 3: instrument 'pn' is there twice", "instrument,E0102\npn,1.01\npn,1.04\n"
    ),
    "wide without errors of one": Case(
        r"^table: no column 'sigma_MOS1', but others have errors",
        changed(WIDE, "sigma_MOS1", "remark"),
    ),
    "wide error empty": Case(
        r"^table: line 2: sigma_pn is empty, expected a positive number",
        changed(WIDE, ".02,.03", ",.03"),
    ),
    "wide NaN": Case(
        r"^table: line 2: y_pn is 'nan', expected a finite number, or an empty cell",
        changed(WIDE, "1.01", "nan"),
    ),
    "wide without sources": Case(
        r"^table: no column of a source beside 'instrument'", "instrument,tau\npn,.05\nMOS1,.05\n"
    ),
    "FITS cut in the header": Case(
        r"^table: not a readable FITS table", lambda: good_fits()[:3000]
    ),
    "FITS cut in the data": Case(
        r"^table: not a readable FITS table", lambda: long_fits()[: len(long_fits()) // 2]
    ),
    "FITS cut at its end": Case(
        r"^table: not a readable FITS table \(the file is cut short\)", lambda: good_fits()[:-1]
    ),
    "FITS without a table": Case(r"^table: not a readable FITS table", fits_image),
    "gzip of FITS damaged": Case(
        r"^table: not a readable FITS table", lambda: damaged(gzip.compress(long_fits()))
    ),
    "gzip of FITS cut at its end": Case(
        r"^table: not a readable FITS table", lambda: gzip.compress(good_fits())[:-3]
    ),
    "gzip of something else": Case(
        r"^table: not a readable FITS table", lambda: gzip.compress(MEASUREMENTS.encode())
    ),
    "FITS with arrays": Case(
        r"^table: column 'flux' holds arrays", lambda: fits_table(flux=np.ones((2, 3)))
    ),
    "FITS with NaN": Case(r"^table: row 2: flux is 'nan'", lambda: fits_table(flux=[1.3, np.nan])),
    "FITS not in UTF-8": Case(
        r"^table: column 'source' is not text",
        lambda: fits_table(source=np.array([b"\xe9", b"x"]), flux=[1.3, 1.2]),
    ),
    "flux in seconds": Case(
        r"^table: column 'flux' is in 's', expected the unit of a flux",
        lambda: fits_table({"flux": "s"}, flux=[1.3, 1.2]),
    ),
    "flux in no unit there is": Case(
        r"^table: column 'flux' is in 'furlong'", changed(ECSV, "erg / (s cm2)", "furlong")
    ),
    "log flux in magnitudes": Case(
        r"^table: column 'log_flux' is in 'mag', expected a natural log",
        lambda: fits_table({"log_flux": "mag"}, log_flux=[1.3, 1.2]),
    ),
    "counts a second": Case(
        r"^table: column 'counts' is in 'ct / s', expected a number of counts",
        lambda: fits_table({"counts": "ct / s"}, counts=[13, 12]),
    ),
    "error in another unit": Case(
        r"^table: column 'error' is in 'keV', expected erg / \(s cm2\)",
        lambda: fits_table(
            {"flux": "erg / (s cm2)", "error": "keV"}, flux=[1.3, 1.2], error=[0.1, 0.1]
        ),
    ),
    "exposure in keV": Case(
        r"^table: column 'exposure' is in 'keV', expected s",
        lambda: fits_table({"exposure": "keV"}, counts=[13, 12], exposure=[1.0, 1.0]),
    ),
    "sigma in keV": Case(
        r"^table: column 'sigma' is in 'keV', expected a plain number",
        lambda: fits_table({"sigma": "keV"}, log_flux=[1.3, 1.2], sigma=[0.1, 0.1]),
    ),
    "tau in keV": Case(
        r"^instruments: column 'tau' is in 'keV', expected a plain number",
        instruments="# %ECSV 1.0\n# ---\n# datatype:\n# - {name: instrument, datatype: string}\n"
        "# - {name: tau, unit: keV, datatype: float64}\ninstrument tau\npn .05\nMOS1 .05\n",
    ),
    "ECSV cut in its header": Case(r"^table: not a readable ECSV table", ECSV[:80]),
    "ECSV line too short": Case(
        r"^table: not a readable ECSV table", changed(ECSV, "MOS1 E0102 1.2", "MOS1 E0102")
    ),
}

SETTINGS = {
    "unknown model": Case(r"^unknown model 'beta_'; there are .*concordance", model="beta_"),
    "unknown option": Case(
        r"^concordance has no option 'taus'; there are .*tau", options={"taus": "1"}
    ),
    "option of the other model": Case(r"^concordance has no option 'nu'", options={"nu": "3"}),
    "tau is no number": Case(r"^option tau: 'wide' is not a number", options={"tau": "wide"}),
    "tau not positive": Case(
        r"^instrument 'pn': tau is -0.05, expected a positive", options={"tau": "-0.05"}
    ),
    "nu not positive": Case(
        r"^option nu: -3.0 is not a positive number up to 100, or estimated",
        model="concordance_t",
        options={"nu": "-3"},
    ),
    "no yes or no": Case(
        r"^option exact: 'maybe' is not true or false", options={"exact": "maybe"}
    ),
    "unknown choice": Case(
        r"^option variances: 'guessed' is not known or unknown or extra",
        options={"variances": "guessed"},
    ),
    "variances known of data without": Case(
        r"^variances=known needs a column sigma or error",
        changed(MEASUREMENTS, "sigma", "comment").replace("0.02", "a").replace("0.03", "b"),
        options={"variances": "known"},
    ),
    "correlation without bands": Case(
        r"^band_correlation: the data have no column 'band'", options={"band_correlation": "0.5"}
    ),
    "correlation of 1": Case(
        r"^band_correlation: the prior covariance of B is not positive definite",
        BANDS,
        options={"band_correlation": "1"},
    ),
    "correlation below the least": Case(
        r"^band_correlation: the prior covariance of B is not positive definite",
        BANDS,
        options={"band_correlation": "-1.2"},
    ),
    "correlation from no file": Case(
        r"^option band_correlation: 'matrix.csv' is neither a number nor a file",
        BANDS,
        options={"band_correlation": "matrix.csv"},
    ),
    "unknown method": Case(r"^unknown method 'gibbs'; there are nuts", sampler={"method": "gibbs"}),
    "unknown metric": Case(
        r"^option metric: 'full_e' is not diag_e or dense_e or unit_e",
        options={"metric": "full_e"},
    ),
    "unknown Stan": Case(
        r"^option stan: 'pystan' is not httpstan or cmdstan", options={"stan": "pystan"}
    ),
    "no chains": Case(r"^chains 0: expected a whole number", sampler={"chains": 0}),
    "no draws": Case(r"^draws 0: expected a whole number", sampler={"draws": 0}),
    "warmup below 0": Case(r"^warmup -1: expected a whole number", sampler={"warmup": -1}),
    "negative seed": Case(
        r"^seed -1: expected a whole number from 0 to 4294967295", sampler={"seed": -1}
    ),
    "seed too large": Case(r"^seed 4294967296: expected", sampler={"seed": 2**32}),
    "negative inits": Case(r"^inits '-1.0': expected a half width", sampler={"inits": -1.0}),
    "adapt_delta of 1": Case(
        r"^option adapt_delta: 1 is not between 0 and 1", options={"adapt_delta": "1"}
    ),
    "tree depth 0": Case(r"^option max_treedepth: 0 is not", options={"max_treedepth": "0"}),
    "tree depth 9.5": Case(
        r"^option max_treedepth: '9.5' is not a whole number", options={"max_treedepth": "9.5"}
    ),
    "unknown prior": Case(
        r"^concordance has no prior 'beta'; there are B, sigma2, sigma",
        priors={"beta": "normal(0, 1)"},
    ),
    "unknown family": Case(
        r"^unknown prior 'cauchy'; there are normal", priors={"B": "cauchy(0, 1)"}
    ),
    "family that does not fit": Case(
        r"^prior B=gamma\(1, 1\): concordance takes normal", priors={"B": "gamma(1, 1)"}
    ),
    "prior not a call": Case(
        r"^prior 'normal 0 1': expected family\(number", priors={"B": "normal 0 1"}
    ),
    "prior of words": Case(
        r"'zero, one' is not a list of numbers", priors={"B": "normal(zero, one)"}
    ),
    "too few arguments": Case(
        r"^prior normal\(0\): normal takes 2 numbers \(mean, sd\)", priors={"B": "normal(0)"}
    ),
    "prior sd negative": Case(
        r"^prior normal\(0, -1\): sd must be positive", priors={"B": "normal(0, -1)"}
    ),
    "prior argument infinite": Case(
        r"^prior normal\(inf, 1\): mean must be a finite number", priors={"B": "normal(inf, 1)"}
    ),
    "prior without use": Case(
        r"^prior sigma has no use with variances=known", priors={"sigma": "half_normal(1)"}
    ),
    "two priors of one thing": Case(
        r"^priors sigma and sigma2 both",
        options={"variances": "unknown"},
        priors={"sigma": "half_normal(1)", "sigma2": "inv_gamma(1, 1)"},
    ),
    "prior and option of one thing": Case(
        r"^prior B and option tau both", options={"tau": "0.1"}, priors={"B": "normal(0, 1)"}
    ),
}
ALL = TABLES | SETTINGS


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a folder for temporary files and a result from before."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    Path("out.nc").write_bytes(b"the result of last week")
    Path("instruments").write_text(INSTRUMENTS)
    Path("table").write_text(MEASUREMENTS)
    return tmp_path


def put(name: str, content: str | bytes | Callable[[], bytes] | None) -> None:
    if content is None:
        Path(name).unlink()
    elif isinstance(content, str):
        Path(name).write_text(content)
    else:
        Path(name).write_bytes(content if isinstance(content, bytes) else content())


def command(case: Case) -> list[str]:
    words = ["fit", case.model, "table", *(["instruments"] if case.instruments else [])]
    words += ["-o", "out.nc"]
    words += [f"--set={name}={value}" for name, value in case.options.items()]
    words += [f"--prior={name}={value}" for name, value in case.priors.items()]
    return words + [f"--{name}={value}" for name, value in case.sampler.items()]


@pytest.mark.parametrize("name", ALL)
def test_bad_data_and_settings(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = ALL[name]
    put("table", case.table)
    put("instruments", case.instruments)
    before = contents(desk)

    outcome = run(command(case), capsys)

    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(case.words, outcome.complaint)
    assert contents(desk) == before

    data = ["table", "instruments"] if case.instruments else "table"
    with pytest.raises(pyxstan.DataError) as raised:
        pyxstan.fit(
            case.model, data, priors=case.priors, progress=True, **case.sampler, **case.options
        )
    assert str(raised.value) == outcome.complaint
    assert isinstance(raised.value, ValueError)
    assert capsys.readouterr().out == ""
    assert contents(desk) == before


FIT = ("fit", "concordance", "table", "instruments")
COMMANDS = {
    "unknown command": (("fitt",), r"No such command 'fitt'"),
    "unknown flag": ((*FIT, "-o", "out.nc", "--fast"), r"No such option '?--fast"),
    "no output": (FIT, r"Missing option '-o'"),
    "no input": (("fit", "concordance", "-o", "out.nc"), r"Missing argument 'INPUTS"),
    "three inputs": (
        (*FIT, "table", "-o", "out.nc"),
        r"^expected TABLE \[INSTRUMENTS_TABLE\], got 3 files",
    ),
    "input a folder": (
        ("fit", "concordance", "temporary", "-o", "out.nc"),
        r"^temporary: a directory, expected a table file",
    ),
    "chains in words": ((*FIT, "-o", "out.nc", "--chains=four"), r"'four' is not a valid integer"),
    "seed in words": ((*FIT, "-o", "out.nc", "--seed=now"), r"'now' is not a valid integer"),
    "set without =": ((*FIT, "-o", "out.nc", "--set=tau"), r"^--set tau: expected name=value"),
    "set nothing": ((*FIT, "-o", "out.nc", "--set=tau="), r"^--set tau=: expected name=value"),
    "set twice": (
        (*FIT, "-o", "out.nc", "--set=tau=1", "--set=tau=2"),
        r"^option tau is given twice",
    ),
    "prior without =": (
        (*FIT, "-o", "out.nc", "--prior=B"),
        r"^--prior B: expected name=value",
    ),
    "output a folder": ((*FIT, "-o", "temporary"), r"^temporary: a directory, expected the name"),
    "output in no folder": (
        (*FIT, "-o", "nowhere/out.nc"),
        r"^nowhere/out.nc: its folder nowhere does not exist",
    ),
    "output below a file": (
        (*FIT, "-o", "table/out.nc"),
        r"^table/out.nc: its folder table does not exist",
    ),
    "output unwritable": ((*FIT, "-o", "/proc/out.nc"), r"^/proc/out.nc: can't be written"),
    "output's name too long": ((*FIT, "-o", "x" * 250), r"x: can't be written \(File name too"),
    "output a device": ((*FIT, "-o", "/dev/null"), r"^/dev/null: not an ordinary file"),
    "output an input": ((*FIT, "-o", "instruments"), r"^instruments: an input, it would be over"),
    "figures in a file": (
        (*FIT, "-o", "out.nc", "--plots", "table"),
        r"^table: can't be made a folder",
    ),
    "figures of nothing": (
        (*FIT, "-o", "out.nc", "--plots", "figures", "--set=tau=x"),
        r"^option tau",
    ),
    "describe nothing": (("describe", "beta_"), r"^unknown model 'beta_'"),
    "summary of no file": (("summary", "no.nc"), r"^no.nc: no such file"),
    "summary of a folder": (("summary", "temporary"), r"^temporary: no such file"),
    "summary of a table": (("summary", "table"), r"^table: not a netCDF file of a fit"),
    "figures of a table": (("plot", "table", "-o", "figures"), r"^table: not a netCDF file"),
    "simulate nothing": (("simulate", "beta_", "-o", "d"), r"^unknown model 'beta_'"),
    "simulate no sources": (
        ("simulate", "concordance", "-o", "d", "--set=sources=0"),
        r"^option sources: 0 is not a whole number of at least 1",
    ),
    "simulate no bands": (
        ("simulate", "concordance", "-o", "d", "--set=bands=0"),
        r"^option bands: 0 is not a whole number of at least 1",
    ),
    "simulate nothing but gaps": (
        ("simulate", "concordance", "-o", "d", "--set=missing=1"),
        r"^option missing: 1.0 is not between 0 and 1",
    ),
    "simulate scatter below 0": (
        ("simulate", "concordance", "-o", "d", "--set=simulated_sigma=-1"),
        r"^option simulated_sigma: -1 is not a positive number",
    ),
    "simulate into a file": (
        ("simulate", "concordance", "-o", "table"),
        r"^table: can't be made a folder",
    ),
    "compile nothing": (("compile", "beta_"), r"^unknown model 'beta_'"),
    "compile no file": (
        ("compile", "mine.stan", "-o", "mine"),
        r"^mine.stan: cannot read this Stan program",
    ),
    "compile to nowhere": (("compile", "mine.stan"), r"^compile takes MODEL"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_commands(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, complaint = COMMANDS[name]
    before = contents(desk)
    outcome = run(words, capsys)
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(complaint, outcome.complaint)
    assert contents(desk) == before


@pytest.mark.parametrize("name", ["missing file", "unknown prior"])
def test_bad_input_of_a_real_process(name: str, desk: Path) -> None:
    case = ALL[name]
    put("table", case.table)
    before = contents(desk)
    process = subprocess.run(
        [sys.executable, "-m", "pyxstan", *command(case)], capture_output=True, text=True
    )
    assert process.returncode == 2
    assert process.stdout == ""
    assert re.fullmatch(r"pyxstan: [^\n]+\n", process.stderr)
    assert re.search(case.words, process.stderr.removeprefix("pyxstan: "))
    assert contents(desk) == before


@pytest.mark.parametrize(
    ("compiler", "words"),
    [
        ("missing", r"CXX|compiler"),
        ("failing", r"^[^:]+: the compiler failed: internal compiler error\b"),
    ],
)
def test_no_working_compiler(
    compiler: str,
    words: str,
    desk: Path,
    fresh_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    compiler_script: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    if compiler == "missing":
        monkeypatch.setenv("CXX", "/nonexistent/g++")
    else:
        compiler_script("echo 'internal compiler error' >&2; exit 1")
    arguments = [*FIT, "-o", "out.nc", "--set=variances=unknown", "--quiet"]
    outcome = run(arguments, capsys)
    assert outcome.status == 2
    assert re.search(words, outcome.complaint)
    assert Path("out.nc").read_bytes() == b"the result of last week"
    assert not list(Path("temporary").iterdir())
    data = ["table", "instruments"]
    with pytest.raises(pyxstan.BuildError, match=words):
        pyxstan.fit("concordance", data, variances="unknown", progress=False)


@pytest.mark.filterwarnings("default")
def test_instrument_without_data_is_allowed_and_said(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put("instruments", INSTRUMENTS + "RGS1,0,0.04\n")
    outcome = run([*FIT, "-o", "out.nc", "--quiet", "--seed=1"], capsys)
    assert outcome.status == 0
    assert "instrument 'RGS1' has no data: its prior alone gives its area" in outcome.complaint
    data = pyxstan.concordance.ConcordanceData.from_table("table", "instruments")
    with pytest.warns(UserWarning, match="instrument 'RGS1' has no data"):
        idata = pyxstan.fit("concordance", data, seed=1, progress=False)
    B = idata["posterior"]["B"].sel(instrument="RGS1")
    assert abs(float(B.mean())) < 0.002
    assert float(B.std()) == pytest.approx(0.04, rel=0.03)
    assert idata["constant_data"]["prior_influence"].sel(instrument="RGS1") == 1


IN_MEMORY: dict[str, tuple[Any, str]] = {
    "nothing": (None, r"expected a file, a DataFrame, an astropy Table or a dict .*NoneType"),
    "a number": (3, r"got int"),
    "an array": (np.ones((3, 3)), r"got ndarray"),
    "empty dict": ({}, r"^measurements: no rows"),
    "empty DataFrame": (pd.DataFrame(), r"^measurements: no rows"),
    "unequal columns": (
        {"instrument": ["a"], "source": ["s", "t"], "flux": [1.0, 2.0]},
        r"^measurements: All arrays must be of the same length",
    ),
    "scalars": ({"instrument": "a", "source": "s", "flux": 1.0}, r"^measurements: "),
    "column twice": (
        pd.DataFrame([["a", "s", 1.0, 1.0]], columns=["instrument", "source", "flux", "flux"]),
        r"^measurements: column 'flux' is there twice",
    ),
    "dates": (
        {"instrument": ["a"], "source": ["s"], "flux": pd.to_datetime(["2021-03-04"])},
        r"^measurements: column 'flux' is datetime64.*, expected numbers",
    ),
    "booleans": (
        {"instrument": ["a"], "source": ["s"], "flux": [True]},
        r"^measurements: column 'flux' is bool, expected numbers",
    ),
    "lists": (
        {"instrument": ["a"], "source": ["s"], "flux": [[1.0]]},
        r"^measurements: row 0: flux is '\[1.0\]', expected a positive number",
    ),
    "unknown field": (
        {"table": {"instrument": ["a"]}, "instrument": {}},
        r"^data has no field 'instrument'; there are table, instruments, tau",
    ),
    "unknown instrument": (
        ({"instrument": ["a"], "source": ["s"], "flux": [1.0]}, {"instrument": ["b"]}),
        r"^measurements: row 0: unknown instrument 'a'; instruments lists b",
    ),
    "tau in words": (
        {"table": {"instrument": ["a"], "source": ["s"], "flux": [1.0]}, "tau": "wide"},
        r"^tau holds what is not a number",
    ),
    "two tables of astropy's with arrays": (
        Table({"instrument": ["a"], "source": ["s"], "flux": [[1.0, 2.0]]}),
        r"^measurements: column 'flux' holds arrays",
    ),
}


@pytest.mark.parametrize("name", IN_MEMORY)
def test_bad_tables_in_memory(name: str) -> None:
    data, words = IN_MEMORY[name]
    with pytest.raises(pyxstan.DataError, match=words) as raised:
        pyxstan.fit("concordance", data, progress=False)
    assert "\n" not in str(raised.value)


PAIR = {
    "instrument": ["a", "a", "b", "b"],
    "band": ["x", "y", "x", "y"],
    "source": ["s"] * 4,
    "flux": [1.0, 2.0, 1.1, 2.1],
}
#: One source a band leaves no degree of freedom for the scatter: its prior is given.
GOOD = {"tau": 0.05, "priors": {"sigma2": "inv_gamma(3, 0.005)"}}
ARGUMENTS: dict[str, tuple[dict[str, Any], str]] = {
    "seed a fraction": ({"seed": 1.5}, r"^seed 1.5: expected a whole number"),
    "seed true": ({"seed": True}, r"^seed True: expected a whole number"),
    "chains in words": ({"chains": "four"}, r"^chains four: expected a whole number"),
    "draws none": ({"draws": None}, r"^draws None: expected a whole number"),
    "prior a number": ({"priors": {"B": 3}}, r"^prior '3': expected family"),
    "inits of what is not there": ({"inits": {"C": 1}}, r"^no starting value for 'C'"),
    "inits of another shape": ({"inits": {"B": [0, 0, 0]}}, r"values of B: .* or 4 of them"),
    "inits in words": ({"inits": {"B": "zero"}}, r"^starting values of B"),
    "inits negative": ({"inits": {"sigma": -1}}, r"values of sigma must be positive"),
    "tau a list": ({"tau": [0.1, 0.2]}, r"^option tau: '\[0.1, 0.2\]' is not a number"),
    "correlation lopsided": (
        {"band_correlation": [[1, 0.5], [0.4, 1]]},
        r"^band_correlation: not a correlation matrix",
    ),
    "correlation above 1": (
        {"band_correlation": [[1, 2], [2, 1]]},
        r"not positive definite",
    ),
    "correlation not 1 with itself": (
        {"band_correlation": [[1, 0.5], [0.5, 2]]},
        r"^band_correlation: not a correlation matrix",
    ),
    "correlation NaN": ({"band_correlation": np.nan}, r"expected finite numbers"),
    "correlation of another shape": (
        {"band_correlation": np.eye(3)},
        r"has shape \(3, 3\), expected a number, 2 x 2 for the bands, or 4 x 4",
    ),
    "correlation of unknown bands": (
        {"band_correlation": {("x", "z"): 0.5}},
        r"unknown band 'z'; there are x, y",
    ),
    "correlation of one band": ({"band_correlation": {"xy": "z"}}, r"^band_correlation: 'xy'"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_arguments_in_python(name: str) -> None:
    arguments, words = ARGUMENTS[name]
    with pytest.raises(pyxstan.DataError, match=words) as raised:
        pyxstan.fit("concordance", PAIR, progress=False, **{**GOOD, **arguments})
    assert "\n" not in str(raised.value)


def test_there_are_enough_cases() -> None:
    """The project promises at least 30 distinct ones."""
    assert len(ALL) + len(COMMANDS) >= 30
    assert len({case.words for case in ALL.values()}) >= 90


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    closed = desk / "closed"
    closed.mkdir(mode=0o555)
    outcome = run([*FIT, "-o", closed / "out.nc"], capsys)
    assert outcome.status == 2
    assert "can't be written (Permission denied)" in outcome.complaint
