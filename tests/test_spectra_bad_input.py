"""Bad spectra and responses: one line that names the file and what is wrong in it."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ogip_files as ogip
import pytest

import pyxstan
from pyxstan.spectra import Response, Spectrum, write_response, write_spectrum


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good spectrum with background and response beside it, for cases to spoil."""
    ogip.write(tmp_path / "a.rmf", ogip.matrix(), ogip.ebounds())
    ogip.write(tmp_path / "a.arf", ogip.area())
    ogip.write(tmp_path / "b.pha", ogip.spectrum(ogip.COUNTS[::-1]))
    ogip.write(tmp_path / "many.pha", ogip.spectra([ogip.COUNTS, ogip.COUNTS]))
    pha(tmp_path)
    return tmp_path


def pha(folder: Path, *args: Any, **keywords: Any) -> None:
    named = {"BACKFILE": "b.pha", "RESPFILE": "a.rmf", "ANCRFILE": "a.arf"}
    ogip.write(folder / "a.pha", ogip.spectrum(*args, **{**named, **keywords}))


def changed(place: int, value: float) -> Any:
    counts = ogip.COUNTS.astype(float)
    counts[place] = value
    return counts


def rmf(folder: Path, *, first: int = 1, **options: Any) -> None:
    ogip.write(folder / "a.rmf", ogip.matrix(first=first, **options), ogip.ebounds(first))


def cut(file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: len(content) - 2880])


def runs(row: int, *groups: tuple[int, list[float]]) -> Any:
    made = list(ogip.RUNS)
    made[row] = list(groups)
    return made


def spoilt(hdu: Any, column: str, row: int, value: Any) -> Any:
    hdu.data[column][row] = value
    return hdu


def descending(folder: Path) -> None:
    edges = ogip.EDGES.copy()
    edges[3] = 0.7
    rmf(folder, edges=edges)


#: What is spoilt, in words that the message must have.
FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "missing": (lambda d: (d / "a.pha").unlink(), r"a\.pha: no such file$"),
    "directory": (
        lambda d: ((d / "a.pha").unlink(), (d / "a.pha").mkdir()), r"a\.pha: a directory, expected",
    ),
    "empty": (lambda d: (d / "a.pha").write_bytes(b""), r"a\.pha: the file is empty$"),
    "words": (lambda d: (d / "a.pha").write_text("counts 3"), r"a\.pha: not a FITS file$"),
    "cut": (lambda d: cut(d / "a.pha"), r"a\.pha: not a readable FITS file \(.*cut short\)$"),
    "damaged gzip": (
        lambda d: (d / "a.pha").write_bytes(gzip.compress(b"SIMPLE  =" * 400)[:30]),
        r"a\.pha: a damaged compressed file",
    ),
    "cut rmf": (lambda d: cut(d / "a.rmf"), r"a\.rmf: not a readable FITS file \(.*cut short\)$"),
    "no tables": (lambda d: ogip.write(d / "a.pha"), r"a\.pha: no extension SPECTRUM; there are "),
    "no spectrum": (
        lambda d: pha(d, name="EVENTS", HDUCLAS1=None),
        r"a\.pha: no extension SPECTRUM; there are EVENTS$",
    ),
    "no counts": (
        lambda d: pha(d, column="RATES"), r"a\.pha: no column COUNTS or RATE; there are CHANNEL, R",
    ),
    "no rows": (lambda d: pha(d, np.array([], dtype=int)), r"a\.pha: extension SPECTRUM has no"),
    "NaN counts": (
        lambda d: pha(d, changed(4, np.nan)), r"a\.pha: row 5: COUNTS is nan, expected a finite",
    ),
    "negative counts": (
        lambda d: pha(d, changed(4, -3)), r"a\.pha: channel 5: COUNTS is -3, expected a whole numb",
    ),
    "half a count": (
        lambda d: pha(d, changed(2, 1.5)), r"a\.pha: channel 3: COUNTS is 1\.5, expected a whole",
    ),
    "half a count of a rate": (
        lambda d: pha(d, ogip.COUNTS / 700, column="RATE"),
        r"a\.pha: row 1: RATE times EXPOSURE is 4\.2857",
    ),
    "rate without errors": (
        lambda d: pha(d, column="RATE", POISSERR=False),
        r"a\.pha: RATE without STAT_ERR, and POISSERR is not true",
    ),
    "negative errors": (
        lambda d: pha(d, POISSERR=False, columns={"STAT_ERR": np.array([0.5] * 7 + [-1])}),
        r"a\.pha: channel 8: STAT_ERR is -1, expected",
    ),
    "channels twice": (
        lambda d: pha(d, columns={"CHANNEL": np.array([1, 2, 2, 3, 4, 5, 6, 7])}),
        r"a\.pha: row 3: CHANNEL is 2, expected 3$",
    ),
    "no exposure": (lambda d: pha(d, EXPOSURE=None), r"a\.pha: no keyword EXPOSURE, expected a"),
    "exposure 0": (lambda d: pha(d, EXPOSURE=0.0), r"a\.pha: EXPOSURE is 0, expected a positive"),
    "negative exposure": (
        lambda d: pha(d, EXPOSURE=-5.0), r"a\.pha: EXPOSURE is -5, expected a positive number of s",
    ),
    "exposure in words": (
        lambda d: pha(d, EXPOSURE="long"), r"a\.pha: keyword EXPOSURE is 'long', expected a number",
    ),
    "negative backscal": (
        lambda d: pha(d, BACKSCAL=-1.0), r"a\.pha: channel 1: BACKSCAL is -1, expected 0 or more",
    ),
    "areascal 0": (lambda d: pha(d, AREASCAL=0.0), r"a\.pha: AREASCAL is 0, expected a positive"),
    "grouping of 2": (
        lambda d: pha(d, columns={"GROUPING": np.array([1, 2, 1, 1, 1, 1, 1, 1])}),
        r"a\.pha: channel 2: GROUPING is 2, expected -1, 0 or 1$",
    ),
    "half a quality": (
        lambda d: pha(d, columns={"QUALITY": np.array([0, 0.5] + [0] * 6)}),
        r"a\.pha: row 2: QUALITY is 0\.5, expected a whole number",
    ),
    "no background file": (
        lambda d: pha(d, BACKFILE="gone.pha"),
        r"a\.pha: BACKFILE names gone\.pha, which is not there; give another \(background:",
    ),
    "no response file": (
        lambda d: pha(d, RESPFILE="/far/gone.rmf"), r"a\.pha: RESPFILE names /far/gone\.rmf, which",
    ),
    "background of other channels": (
        lambda d: ogip.write(d / "b.pha", ogip.spectrum(ogip.COUNTS[:5])),
        r"b\.pha: 5 channels, but .*a\.pha has 8$",
    ),
    "response of other channels": (
        lambda d: pha(d, ogip.COUNTS[:6], BACKFILE="none"),
        r"a\.pha: 6 channels, but .*a\.rmf has 8$",
    ),
    "channels far from the response's": (
        lambda d: pha(d, first=4), r"a\.pha: channels from 4, but .*a\.rmf has channels from 1$",
    ),
    "no matrix": (
        lambda d: ogip.write(d / "a.rmf", ogip.ebounds()),
        r"a\.rmf: no extension MATRIX or SPECRESP MATRIX; there are EBOUNDS$",
    ),
    "no ebounds": (
        lambda d: ogip.write(d / "a.rmf", ogip.matrix()),
        r"a\.rmf: no extension EBOUNDS; there are MATRIX$",
    ),
    "two matrices of different times": (
        lambda d: ogip.write(
            d / "a.rmf", ogip.matrix(TSTART=1.5), ogip.matrix(TSTART=2.5), ogip.ebounds()
        ),
        r"a\.rmf: 2 matrices that differ in TSTART \(\{1\} 1\.5; \{2\} 2\.5\), expected one named, "
        r"as in a\.rmf\{1\}$",
    ),
    "two matrices of different names": (
        lambda d: ogip.write(
            d / "a.rmf", ogip.matrix(), ogip.matrix(name="SPECRESP MATRIX"), ogip.ebounds()
        ),
        r"a\.rmf: 2 matrices that differ in their names .*expected one named, as in a\.rmf\{1\}$",
    ),
    "third of one matrix": (
        lambda d: pha(d, RESPFILE="a.rmf{3}"), r"a\.rmf: no matrix \{3\}, there are 1, counted",
    ),
    "F_CHAN too large": (
        lambda d: rmf(d, runs=runs(3, (7, [0.5, 0.5]))),
        r"a\.rmf: row 4: F_CHAN 8 and N_CHAN 2 are out of the 8 channels from 1$",
    ),
    "F_CHAN too small": (
        lambda d: rmf(d, first=0, tlmin=1, runs=runs(0, (0, [0.5]))),
        r"a\.rmf: row 1: F_CHAN 0 and N_CHAN 1 are out of the 8 channels from 1$",
    ),
    "N_GRP too large": (
        lambda d: ogip.write(
            d / "a.rmf", spoilt(ogip.matrix("fixed"), "N_GRP", 2, 5), ogip.ebounds()
        ),
        r"a\.rmf: row 3: N_GRP is larger than the length of F_CHAN$",
    ),
    "matrix too short": (
        lambda d: ogip.write(
            d / "a.rmf", spoilt(ogip.matrix("fixed"), "N_CHAN", 3, 5), ogip.ebounds()
        ),
        r"a\.rmf: row 4: MATRIX has fewer elements than N_CHAN says$",
    ),
    "matrix of NaN": (
        lambda d: rmf(d, runs=runs(3, (2, [0.5, np.nan]))), r"a\.rmf: row 4: MATRIX is nan, expect",
    ),
    "unit of a wavelength": (
        lambda d: rmf(d, unit="Angstrom"),
        r"a\.rmf: unit 'Angstrom' of column ENERG_LO, expected keV$",
    ),
    "unknown unit": (lambda d: rmf(d, unit="foo"), r"a\.rmf: unit 'foo' of column ENERG_LO"),
    "energies not ascending": (
        descending, r"a\.rmf: row 3: energies 1\.5 to 0\.7 keV, expected them to ascend from 0$",
    ),
    "a channel of EBOUNDS is missing": (
        lambda d: ogip.write(
            d / "a.rmf", ogip.matrix(),
            spoilt(ogip.ebounds(DETCHANS=9), "CHANNEL", 7, 9),
        ),
        r"a\.rmf: EBOUNDS row 8: CHANNEL is 9, expected 8, and DETCHANS is 9 with 8 rows$",
    ),
    "arf of fewer energies": (
        lambda d: ogip.write(d / "a.arf", ogip.area(edges=ogip.EDGES[:-1])),
        r"a\.arf: 5 energy bins, but .*a\.rmf has 6",
    ),
    "arf of other energies": (
        lambda d: ogip.write(d / "a.arf", ogip.area(edges=ogip.EDGES + 1e-3 * (ogip.EDGES > 2))),
        r"a\.arf: row 4: 2 to 2\.501 keV, but .*a\.rmf has 2 to 2\.5 keV$",
    ),
    "negative area": (
        lambda d: ogip.write(d / "a.arf", ogip.area([1, 2, -3, 4, 5, 6])),
        r"a\.arf: row 3: effective area -3, expected 0 cm2 or more$",
    ),
    "unit of an area": (
        lambda d: ogip.write(d / "a.arf", ogip.area(unit="s")),
        r"a\.arf: unit 's' of column SPECRESP, expected cm2$",
    ),
    "no SPECRESP": (
        lambda d: ogip.write(d / "a.arf", ogip.ebounds()), r"a\.arf: no extension SPECRESP; there",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_bad_files(case: str, folder: Path) -> None:
    spoil, words = FILES[case]
    spoil(folder)
    with pytest.raises(pyxstan.DataError) as caught:
        Spectrum.from_ogip(folder / "a.pha")
    message = str(caught.value)
    assert re.search(words, message), message
    assert "\n" not in message


#: What is asked of good files, and the words that refuse it.
ASKED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no row": (
        lambda d: Spectrum.from_ogip(d / "many.pha"),
        r"many\.pha: 2 spectra \(type II\), expected one named by its row, as in many\.pha\{1\}$",
    ),
    "row 3 of 2": (
        lambda d: Spectrum.from_ogip(d / "many.pha", row=3), r"many\.pha: row 3, but there are 2",
    ),
    "row 0": (
        lambda d: Spectrum.from_ogip(f"{d}/many.pha{{0}}"), r"many\.pha: row 0, but there are 2",
    ),
    "row of type I": (
        lambda d: Spectrum.from_ogip(d / "a.pha", row=2), r"a\.pha: row 2, but the file has one",
    ),
    "two rows": (
        lambda d: Spectrum.from_ogip(f"{d}/many.pha{{1}}", row=2), r"row 2, but .* says \{1\}$",
    ),
    "the user's background": (
        lambda d: Spectrum.from_ogip(d / "a.pha", background=d / "no.pha"), r"no\.pha: no such fil",
    ),
    "arf without rmf": (
        lambda d: Spectrum.from_ogip(d / "a.pha", rmf="none", arf=d / "a.arf"),
        r"a\.pha: arf .*a\.arf, but no RMF",
    ),
    "arf beside a response": (
        lambda d: Spectrum.from_ogip(d / "a.pha", rmf=Response.read(d / "a.rmf"), arf=d / "a.arf"),
        r"^arf: expected none beside a response that is read",
    ),
    "range of words": (
        lambda d: noticing(d, "soft"), r"^'soft' is not a range of energies in keV, such as",
    ),
    "range of one number": (lambda d: noticing(d, "0.5-2, 3"), r"^'3' is not a range"),
    "range of nothing": (lambda d: noticing(d, "-"), r"^'-' is not a range"),
    "range upside down": (
        lambda d: noticing(d, "2-1"), r"^range '2-1' keV is upside down or empty, expected low",
    ),
    "range without channels": (
        lambda d: noticing(d, "10-20"), r"a\.pha: range 10-20 keV has no channel, there are 0\.4-3",
    ),
    "nothing left": (
        lambda d: Spectrum.from_ogip(d / "a.pha").ignoring("0-"), r"a\.pha: no channel is left",
    ),
    "range without response": (
        lambda d: Spectrum.from_ogip(d / "b.pha").noticing("1-2"),
        r"b\.pha: has no response, so no energies for range '1-2'$",
    ),
    "written nowhere": (
        lambda d: write_spectrum(Spectrum.from_ogip(d / "a.pha"), d / "no" / "x.pha"),
        r"x\.pha: its folder .*no does not exist$",
    ),
    "two files of one name": (
        lambda d: write_response(Response.read(d / "a.rmf"), d / "x", d / "x"),
        r"x: RMF and ARF, expected two files$",
    ),
    "lengths": (
        lambda d: Spectrum("s", ogip.COUNTS, 1.0, quality=np.zeros(5)),
        r"^s: 5 numbers of QUALITY, but 8 channels$",
    ),
    "Poisson with errors": (
        lambda d: Spectrum("s", ogip.COUNTS, 1.0, errors=np.ones(8)), r"^s: Poisson counts have no",
    ),
    "Gaussian without errors": (
        lambda d: Spectrum("s", ogip.COUNTS, 1.0, poisson=False), r"^s: no STAT_ERR, expected err",
    ),
}  # fmt: skip


def noticing(folder: Path, ranges: str) -> Spectrum:
    return Spectrum.from_ogip(folder / "a.pha").noticing(ranges)


@pytest.mark.parametrize("case", ASKED)
def test_bad_requests(case: str, folder: Path) -> None:
    ask, words = ASKED[case]
    before = sorted(folder.iterdir())
    with pytest.raises(pyxstan.DataError) as caught:
        ask(folder)
    message = str(caught.value)
    assert re.search(words, message), message
    assert "\n" not in message
    assert sorted(folder.iterdir()) == before


def test_good_files_are_read(folder: Path) -> None:
    """What the cases spoil is good before."""
    assert Spectrum.from_ogip(folder / "a.pha").statistic() == "wstat"
    assert Spectrum.from_ogip(folder / "many.pha", row=2).name == "many{2}"
