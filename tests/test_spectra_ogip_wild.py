"""OGIP files as telescopes and other programs write them, four channels each, counted by hand."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from pyxstan.errors import DataError
from pyxstan.spectra import LinkedSpectra, Observation, Response, Source, Spectrum, component
from pyxstan.spectra.folding import all_folded
from pyxstan.spectra.problem import prepare

EDGES = np.arange(1.0, 6)
COUNTS = [5, 9, 7, 3]
#: Of a flux of 1 photon/s/cm2/keV in 100 s, diagonal response, areas 10 to 40 cm2.
FOLDED = [1000, 2000, 3000, 4000]
#: How FITS stores numbers without sign.
ZEROS = {"<u2": 2**15, "<u4": 2**31}
Columns = list[tuple[str, str, str | None, Any]]


def table(name: str, columns: Columns, **keywords: Any) -> fits.BinTableHDU:
    made = [
        fits.Column(n, form, unit=unit, array=array, bzero=ZEROS.get(np.asarray(array).dtype.str))
        for n, form, unit, array in columns
    ]
    hdu = fits.BinTableHDU.from_columns(made, name=name)
    hdu.header.update({k: v for k, v in keywords.items() if v is not None})
    return hdu


def put(path: Path, *hdus: fits.BinTableHDU) -> Path:
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path, overwrite=True)
    return path


def pha(
    counts: Any = COUNTS, form: str = "J", *, more: Columns | None = None, column: str = "COUNTS",
    channel: Any = (1, 2, 3, 4), name: str = "SPECTRUM", **keywords: Any,
) -> fits.BinTableHDU:  # fmt: skip
    said = {
        "HDUCLAS1": "SPECTRUM", "HDUCLAS2": "TOTAL", "EXPOSURE": 100.0, "BACKSCAL": 1.0,
        "AREASCAL": 1.0, "POISSERR": True,
    }  # fmt: skip
    columns: Columns = [("CHANNEL", "I", None, channel), (column, form, None, counts)]
    return table(name, [*columns, *(more or [])], **{**said, **keywords})


def matrix(
    *, name: str = "MATRIX", kind: str | None = "REDIST", tlmin: int | None = 1, first: Any = None,
    width: Any = 1, values: Any = 1.0, low: Any = EDGES[:-1], high: Any = EDGES[1:],
    unit: str | None = None, form: str = "E", **keywords: Any,
) -> fits.BinTableHDU:  # fmt: skip
    size = len(low)
    columns: Columns = [
        ("ENERG_LO", "D", "keV", low),
        ("ENERG_HI", "D", "keV", high),
        ("N_GRP", "I", None, np.ones(size)),
        ("F_CHAN", "I", None, np.arange(size) + 1 if first is None else first),
        ("N_CHAN", "I", None, np.broadcast_to(width, size)),
        ("MATRIX", form, unit, np.broadcast_to(values, size) if form == "E" else values),
    ]
    said = {"HDUCLAS1": "RESPONSE", "HDUCLAS2": "RSP_MATRIX", "HDUCLAS3": kind, "TLMIN4": tlmin}
    return table(name, columns, **{**said, **keywords})


def ebounds(
    channel: Any = (1, 2, 3, 4), low: Any = EDGES[:-1], high: Any = EDGES[1:], **keywords: Any
) -> fits.BinTableHDU:
    columns: Columns = [
        ("CHANNEL", "J", None, channel),
        ("E_MIN", "D", "keV", low),
        ("E_MAX", "D", "keV", high),
    ]
    return table("EBOUNDS", columns, HDUCLAS1="RESPONSE", HDUCLAS2="EBOUNDS", **keywords)


def areas(
    values: Any = (10, 20, 30, 40), low: Any = EDGES[:-1], high: Any = EDGES[1:],
    unit: str = "cm**2",
) -> fits.BinTableHDU:  # fmt: skip
    return table(
        "SPECRESP",
        [
            ("ENERG_LO", "D", "keV", low),
            ("ENERG_HI", "D", "keV", high),
            ("SPECRESP", "E", unit, values),
        ],
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good response, to go with whatever spectrum."""
    put(tmp_path / "a.rmf", matrix(), ebounds())
    put(tmp_path / "a.arf", areas())
    return tmp_path


def read(folder: Path, *hdus: fits.BinTableHDU, **options: Any) -> Spectrum:
    put(folder / "s.pha", *hdus)
    return Spectrum.from_ogip(
        folder / "s.pha", **{"rmf": folder / "a.rmf", "arf": folder / "a.arf", **options}
    )


def modelled(spectrum: Spectrum) -> LinkedSpectra:
    law = component("powerlaw", K="loguniform(1e-8, 1e3)", index="normal(-2, 1)")
    return LinkedSpectra([Observation(spectrum, "a")], [Source("a", {"pl": law})])


def folded(spectrum: Spectrum) -> Any:
    """Expected counts of a flux of 1 photon/s/cm2/keV."""
    values = {"a.pl.K": np.ones(1), "a.pl.index": np.zeros(1)}
    return all_folded(modelled(spectrum))[0].expected(values)[0]


def said(spectrum: Spectrum | Response, words: str) -> bool:
    return any(words in note for note in spectrum.notes)


# several spectra in a file


def background() -> fits.BinTableHDU:
    return pha([1, 0, 2, 0], HDUCLAS2="BKG", BACKSCAL=10.0)


@pytest.mark.parametrize("first", [True, False], ids=["source first", "background first"])
def test_background_in_the_same_file(folder: Path, first: bool) -> None:
    source = pha(BACKFILE="s.pha")
    spectrum = read(folder, *([source, background()] if first else [background(), source]))
    assert spectrum.counts.tolist() == COUNTS
    assert spectrum.background is not None
    assert spectrum.background.counts.tolist() == [1, 0, 2, 0]
    assert spectrum.groups().alpha == pytest.approx(0.1)
    assert not said(spectrum, "took the first")


@pytest.mark.parametrize("suffix", ["{2}", "[2]", "+2", "[BEHIND]", "{BEHIND}"])
def test_a_background_that_is_named_in_the_same_file(suffix: str, folder: Path) -> None:
    other = pha([1, 0, 2, 0], name="BEHIND")
    spectrum = read(folder, pha(BACKFILE=f"s.pha{suffix}"), other)
    assert spectrum.background is not None
    assert spectrum.background.counts.tolist() == [1, 0, 2, 0]
    # without a word of it, another spectrum of the file is no background
    with pytest.raises(DataError, match="BACKFILE names the spectrum itself"):
        read(folder, pha(BACKFILE="s.pha"), other)


@pytest.mark.parametrize("kind", ["TOTAL", "BKG"])
def test_a_background_that_is_the_spectrum_itself(folder: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"s\.pha: BACKFILE names the spectrum itself, exp.*none"):
        read(folder, pha(BACKFILE="s.pha", HDUCLAS2=kind))
    with pytest.raises(DataError, match=r"s\.pha: background names the spectrum itself"):
        read(folder, pha(), background=folder / "s.pha")
    alone = read(folder, pha(BACKFILE="s.pha", HDUCLAS2=kind), background="none")
    assert (alone.background, alone.statistic()) == (None, "cstat")
    with pytest.raises(DataError, match="names the spectrum itself"):
        read(folder, pha(), background=alone)


def test_the_background_of_the_file_is_not_behind_itself(folder: Path) -> None:
    source, other = pha(BACKFILE="s.pha"), background()
    other.header["BACKFILE"] = "s.pha"
    put(folder / "s.pha", source, other)
    with pytest.raises(DataError, match=r"s\.pha\{2\}: BACKFILE names the spectrum itself"):
        Spectrum.from_ogip(f"{folder / 's.pha'}{{2}}")


def test_a_background_file_of_source_and_background(folder: Path) -> None:
    put(folder / "b.pha", pha([50, 50, 50, 50]), background())
    spectrum = read(folder, pha(BACKFILE="b.pha"))
    assert spectrum.background is not None
    assert spectrum.background.counts.tolist() == [1, 0, 2, 0]


@pytest.mark.parametrize(
    ("suffix", "options", "counts"),
    [
        ("", {}, COUNTS),
        ("{1}", {}, COUNTS),
        ("{2}", {}, [50, 90, 70, 30]),
        ("[2]", {}, [50, 90, 70, 30]),
        ("+2", {}, [50, 90, 70, 30]),
        ("[LATE]", {}, [50, 90, 70, 30]),
        ("[late]", {}, [50, 90, 70, 30]),
        ("{LATE}", {}, [50, 90, 70, 30]),
        ("[SPECTRUM]", {}, COUNTS),
        ("[SPECTRUM,3]", {}, [500, 900, 700, 300]),
        ("", {"row": 3}, [500, 900, 700, 300]),
        ("", {"extension": 2}, [50, 90, 70, 30]),
        ("", {"extension": "LATE"}, [50, 90, 70, 30]),
    ],
)
def test_one_of_several_extensions(
    folder: Path, suffix: str, options: dict[str, Any], counts: list[int]
) -> None:
    last = pha([500, 900, 700, 300], EXTVER=3)
    put(folder / "s.pha", pha(), pha([50, 90, 70, 30], name="LATE"), last)
    spectrum = Spectrum.from_ogip(f"{folder / 's.pha'}{suffix}", **options)
    assert spectrum.counts.tolist() == counts
    assert said(spectrum, "3 spectra ({1} SPECTRUM TOTAL, {2} LATE TOTAL, {3}") == (
        not suffix and not options
    )


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        ("{4}", r"s\.pha: spectrum 4, but there are 2, counted from 1$"),
        ("{NONE}", r"s\.pha: 0 spectra called NONE; there are \{1\} SPECTRUM TOTAL, \{2\} SPECT"),
        ("[7]", r"s\.pha: no table \[7\]; there are SPECTRUM, SPECTRUM, GTI$"),
        ("[GTI]", r"s\.pha: no column COUNTS or RATE; there are START$"),
        ("[SPECTRUM][channel > 2]", r"expected the name of a file, with \[extension\] or"),
    ],
)
def test_an_extension_that_is_not_there(folder: Path, suffix: str, words: str) -> None:
    put(folder / "s.pha", pha(), pha(), table("GTI", [("START", "D", None, [0.0])]))
    with pytest.raises(DataError, match=words):
        Spectrum.from_ogip(f"{folder / 's.pha'}{suffix}")


def many(**keywords: Any) -> fits.BinTableHDU:
    counts = np.outer([1, 2, 3], COUNTS)
    columns: Columns = [
        ("ROWID", "8A", None, ["early", "peak", "late"]),
        ("CHANNEL", "4I", None, np.tile([1, 2, 3, 4], (3, 1))),
        ("COUNTS", "4J", None, counts),
        ("EXPOSURE", "D", None, [10.0, 20.0, 30.0]),
    ]
    said = {"HDUCLAS1": "SPECTRUM", "POISSERR": True, "BACKSCAL": 1.0, "AREASCAL": 1.0}
    return table("SPECTRUM", columns, **{**said, **keywords})


def test_a_row_by_its_name(folder: Path) -> None:
    file = put(folder / "many.pha", many())
    assert Spectrum.from_ogip(f"{file}{{peak}}").exposure == 20
    assert Spectrum.from_ogip(file, row="late").counts.tolist() == [15, 27, 21, 9]
    with pytest.raises(DataError, match=r"no rows called never, expected one; there are ROWID$"):
        Spectrum.from_ogip(file, row="never")


def test_backgrounds_row_by_row(folder: Path) -> None:
    put(folder / "b.pha", many(HDUCLAS2="BKG"))
    spectrum = Spectrum.from_ogip(put(folder / "m.pha", many(BACKFILE="b.pha")), row=2)
    assert spectrum.background is not None
    assert spectrum.background.exposure == 20
    assert said(spectrum, "took row 2")
    with pytest.raises(DataError, match="names the spectrum itself"):
        Spectrum.from_ogip(put(folder / "m.pha", many(BACKFILE="m.pha")), row=2)


# the channels of a response

FIRST: dict[str, tuple[dict[str, Any], list[int], list[int]]] = {
    "from 1": ({"first": [1, 2, 3, 4]}, [1, 2, 3, 4], [0, 1, 2, 3]),
    "EBOUNDS from 0, all four": ({"first": [1, 2, 3, 4]}, [0, 1, 2, 3], [0, 1, 2, 3]),
    "EBOUNDS from 0, the last not reached": ({"first": [1, 2, 3, 3]}, [0, 1, 2, 3], [0, 1, 2, 2]),
    "both from 0": ({"first": [0, 1, 2, 3]}, [0, 1, 2, 3], [0, 1, 2, 3]),
    "from 0, EBOUNDS from 1": ({"first": [0, 1, 2, 3]}, [1, 2, 3, 4], [0, 1, 2, 3]),
    "both from 20": ({"first": [20, 21, 22, 23]}, [20, 21, 22, 23], [0, 1, 2, 3]),
    "both from 20, the first": ({"first": [20, 20, 20, 20]}, [20, 21, 22, 23], [0, 0, 0, 0]),
    "another column": ({"first": [1, 2, 3, 3], "tlmin": None, "TLMIN5": 0}, [0, 1, 2, 3],
                       [0, 1, 2, 2]),
}  # fmt: skip


@pytest.mark.parametrize("case", FIRST)
def test_channels_without_tlmin(case: str, folder: Path) -> None:
    options, channels, rows = FIRST[case]
    file = put(folder / "t.rmf", matrix(**{"tlmin": None, **options}), ebounds(channels))
    response = Response.read(file, folder / "a.arf")
    assert response.matrix.toarray().argmax(axis=0).tolist() == rows
    assert response.first_channel == channels[0]
    assert said(response, "no TLMIN of F_CHAN, channels counted from")


def test_a_group_of_no_offset(folder: Path) -> None:
    file = put(folder / "t.rmf", matrix(tlmin=None, first=[0, 2, 3, 4]), ebounds())
    with pytest.raises(DataError, match=r"t\.rmf: row 1: F_CHAN 0 and N_CHAN 1 are out of the 4"):
        Response.read(file, folder / "a.arf")


def ragged(rows: list[list[float]], kind: type) -> Any:
    cells = np.empty(len(rows), dtype=object)
    cells[:] = [np.array(row, dtype=kind) for row in rows]
    return cells


#: Groups of four energies: the third has none, what stands behind them means nothing.
GROUPS: list[list[float]] = [[1], [1, 4], [], [3]]
WIDTHS: list[list[float]] = [[2], [1, 1], [], [2]]
VALUES: list[list[float]] = [[0.5, 0.25], [0.125, 0.5], [], [0.25, 0.5]]
UNPACKED = [[0.5, 0.125, 0, 0], [0.25, 0, 0, 0], [0, 0, 0, 0.25], [0, 0.5, 0, 0.5]]


def filled(rows: list[list[float]], size: int = 3) -> Any:
    return np.array([[*row, *[9.0] * (size - len(row))] for row in rows])


FORMS: dict[str, Callable[[], tuple[Columns, dict[str, Any]]]] = {
    "P": lambda: (
        [("F_CHAN", "PI()", None, ragged(GROUPS, np.int16)),
         ("N_CHAN", "PI()", None, ragged(WIDTHS, np.int16)),
         ("MATRIX", "PE()", None, ragged(VALUES, np.float32))], {},
    ),
    "Q": lambda: (
        [("F_CHAN", "QJ()", None, ragged(GROUPS, np.int32)),
         ("N_CHAN", "QJ()", None, ragged(WIDTHS, np.int32)),
         ("MATRIX", "QD()", None, ragged(VALUES, np.float64))], {},
    ),
    "vectors longer than needed": lambda: (
        [("F_CHAN", "3I", None, filled(GROUPS)), ("N_CHAN", "3I", None, filled(WIDTHS)),
         ("MATRIX", "3E", None, filled(VALUES))], {},
    ),
    "floating-point": lambda: (
        [("F_CHAN", "3E", None, filled(GROUPS)), ("N_CHAN", "3D", None, filled(WIDTHS)),
         ("MATRIX", "3D", None, filled(VALUES))], {},
    ),
    "lower case": lambda: (
        [("f_chan", "3I", None, filled(GROUPS)), ("n_chan", "3J", None, filled(WIDTHS)),
         ("Matrix", "PE()", None, ragged(VALUES, np.float32))], {},
    ),
    "unsigned": lambda: (
        [("F_CHAN", "3I", None, filled(GROUPS).astype(np.uint16)),
         ("N_CHAN", "3J", None, filled(WIDTHS).astype(np.uint32)),
         ("MATRIX", "3E", None, filled(VALUES))], {},
    ),
    "TLMIN of a column behind others": lambda: (
        [("ORDER", "I", None, [0] * 4), ("F_CHAN", "3I", None, filled(GROUPS) - 1),
         ("N_CHAN", "3I", None, filled(WIDTHS)), ("MATRIX", "3E", None, filled(VALUES))],
        {"TLMIN5": 0, "TLMIN4": 7},
    ),
    "TLMIN in words": lambda: (
        [("F_CHAN", "3I", None, filled(GROUPS) - 1), ("N_CHAN", "3I", None, filled(WIDTHS)),
         ("MATRIX", "3E", None, filled(VALUES))], {"TLMIN4": "0"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bounds_first", [True, False])
def test_forms_of_groups(form: str, bounds_first: bool, tmp_path: Path) -> None:
    columns, keywords = FORMS[form]()
    low = "energ_lo" if form == "lower case" else "ENERG_LO"
    whole: Columns = [
        (low, "E", "KeV", EDGES[:-1]),
        ("ENERG_HI", "E", "[keV]", EDGES[1:]),
        ("N_GRP", "I", None, [len(row) for row in GROUPS]),
    ]
    said = {"TLMIN4": 1, "DETCHANS": 1024, **keywords}
    hdu = table("MATRIX", [*whole, *columns], HDUCLAS3="FULL", **said)
    assert ("TZERO4" in hdu.header) == (form == "unsigned")
    hdus = [ebounds(), hdu] if bounds_first else [hdu, ebounds()]
    response = Response.read(put(tmp_path / "f.rmf", *hdus))
    assert response.matrix.toarray().tolist() == UNPACKED


EBOUNDS: dict[str, tuple[fits.BinTableHDU, str]] = {
    "numbers damaged": (ebounds([0, 0, -32768, 16384]), "channels taken in order"),
    "upside down": (ebounds(low=EDGES[1:], high=EDGES[:-1]), "E_MIN above E_MAX in 4 of 4"),
    "one upside down": (
        ebounds(low=[1, 3, 3, 4], high=[2, 2, 4, 5]), "E_MIN above E_MAX in 1 of 4 channels, the",
    ),
    "channels fall": (
        ebounds([4, 3, 2, 1], EDGES[:-1][::-1], EDGES[1:][::-1]), "not in order, sorted",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", EBOUNDS)
def test_ebounds_put_right(case: str, folder: Path) -> None:
    bounds, words = EBOUNDS[case]
    response = Response.read(put(folder / "e.rmf", matrix(), bounds), folder / "a.arf")
    assert response.channel_low.tolist() == [1, 2, 3, 4]
    assert response.channel_high.tolist() == [2, 3, 4, 5]
    assert (response.first_channel, response.matrix.trace()) == (1, 4)
    assert said(response, words)


@pytest.mark.parametrize(
    ("channel", "counts", "words"),
    [
        ([1, 2, 3, -128], COUNTS, "CHANNEL is -128, more than the column can hold"),
        ([127, -128, -127, -126], COUNTS, "in order from 127"),
        ([4, 3, 2, 1], COUNTS[::-1], "channels are not in order, sorted"),
        ([2, 1, 3, 4], [9, 5, 7, 3], "channels are not in order, sorted"),
    ],
)
def test_channels_put_right(
    channel: list[int], counts: list[int], words: str, folder: Path
) -> None:
    spectrum = Spectrum.from_ogip(put(folder / "s.pha", pha(channel=channel)))
    assert spectrum.counts.tolist() == counts
    first = 127 if channel[0] == 127 else 1
    assert spectrum.channel.tolist() == [first, first + 1, first + 2, first + 3]
    assert said(spectrum, words)


# energies


def test_energies_that_descend(folder: Path) -> None:
    low, high = EDGES[:-1][::-1], EDGES[1:][::-1]
    put(folder / "a.rmf", matrix(low=low, high=high, first=[4, 3, 2, 1]), ebounds())
    for file in (areas(), areas([40, 30, 20, 10], low, high)):
        put(folder / "a.arf", file)
        spectrum = read(folder, pha())
        assert spectrum.response is not None
        assert spectrum.response.energy_low.tolist() == [1, 2, 3, 4]
        assert folded(spectrum) == pytest.approx(FOLDED)
        assert said(spectrum, "energies descend, sorted")


def test_bins_of_no_width(folder: Path) -> None:
    low, high = [1.0, 2, 2, 3, 4], [2.0, 2, 3, 4, 5]
    file = matrix(low=low, high=high, first=[1, 4, 2, 3, 4])
    put(folder / "a.rmf", file, ebounds())
    put(folder / "a.arf", areas([10, 99, 20, 30, 40], low, high))
    spectrum = read(folder, pha())
    assert folded(spectrum) == pytest.approx(FOLDED)
    assert said(spectrum, "1 energy bins of no width left out, the first of them at 2 keV")


def test_gaps_between_bins(folder: Path) -> None:
    low, high = [1.0, 2.5, 3, 4], [2.0, 3, 4, 5]
    put(folder / "a.rmf", matrix(low=low, high=high), ebounds())
    put(folder / "a.arf", areas(low=low, high=high))
    spectrum = read(folder, pha())
    assert folded(spectrum) == pytest.approx([1000, 1000, 3000, 4000])
    assert said(spectrum, "1 gaps between energy bins, where the response is taken to be 0; the")


def test_bins_that_overlap(folder: Path) -> None:
    low = [1.0, 1.5, 3, 4]
    file = put(folder / "o.rmf", matrix(low=low), ebounds())
    with pytest.raises(DataError, match=r"o\.rmf: row 2: energies 1\.5 to 3 keV, expected them to"):
        Response.read(file)


# several matrices


def test_matrices_that_split_a_response(folder: Path) -> None:
    put(folder / "a.rmf", matrix(values=0.25), matrix(values=0.75, EXTVER=2), ebounds())
    spectrum = read(folder, pha())
    assert folded(spectrum) == pytest.approx(FOLDED)
    assert said(spectrum, "2 matrices that split one response are added")
    one = read(folder, pha(), rmf=f"{folder / 'a.rmf'}{{2}}")
    assert folded(one) == pytest.approx(0.75 * np.array(FOLDED))
    assert said(one, "one of 2 matrices")
    assert folded(read(folder, pha(), rmf=f"{folder / 'a.rmf'}[MATRIX,1]")) == pytest.approx(
        0.25 * np.array(FOLDED)
    )


def test_a_coarse_part_of_a_response(folder: Path) -> None:
    """A tail on two wide bins: each photon makes a tenth of a count in channel 1 besides."""
    tail = matrix(low=[1.0, 3], high=[3.0, 5], first=[1, 1], values=0.1, EXTVER=2)
    put(folder / "a.rmf", matrix(values=0.9), tail, ebounds())
    assert folded(read(folder, pha())) == pytest.approx([1900, 1800, 2700, 3600])


def test_parts_of_a_response_on_parts_of_its_energies(folder: Path) -> None:
    soft = matrix(low=EDGES[:2], high=EDGES[1:3], first=[1, 2])
    hard = matrix(low=EDGES[2:4], high=EDGES[3:], first=[3, 4], EXTVER=2)
    put(folder / "a.rmf", hard, soft, ebounds())
    assert folded(read(folder, pha())) == pytest.approx(FOLDED)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"TSTART": 1.0}, {"TSTART": 2.0}),
        ({"TSTART": 1.0, "TSTOP": 2.0}, {"TSTART": 1.0, "TSTOP": 3.0}),
        ({"DATE-OBS": "2001-01-01"}, {"DATE-OBS": "2001-01-02"}),
        ({"ORDER": 1}, {"ORDER": 2}),
        ({"kind": "FULL"}, {"kind": "REDIST"}),
    ],
)
def test_matrices_that_are_a_choice(
    first: dict[str, Any], second: dict[str, Any], folder: Path
) -> None:
    file = put(folder / "m.rsp2", matrix(**first), matrix(**second, values=0.5), ebounds())
    with pytest.raises(DataError, match=r"m\.rsp2: 2 matrices that differ in .*as in m\.rsp2\{1\}"):
        Response.read(file)
    assert Response.read(f"{file}{{2}}").matrix.trace() == 2


# where the effective area is


@pytest.mark.parametrize(
    ("options", "takes", "words"),
    [
        ({"kind": "REDIST"}, True, "HDUCLAS3 is REDIST: the effective area is missing"),
        ({"kind": "DETECTOR"}, True, "HDUCLAS3 is DETECTOR: the effective area is missing"),
        ({"kind": "DETECTOR", "name": "SPECRESP MATRIX"}, True, "HDUCLAS3 is DETECTOR"),
        ({"kind": "REDIST", "name": "SPECRESP MATRIX"}, True, "HDUCLAS3 is REDIST"),
        ({"kind": "Undefined"}, True, "taken to be in the matrix"),
        ({"kind": None}, True, "taken to be in the matrix"),
        ({"kind": "FULL"}, False, r"\(HDUCLAS3 is FULL\)"),
        ({"kind": None, "name": "SPECRESP MATRIX"}, False, r"\(no HDUCLAS3 of REDIST\)"),
        ({"kind": "Undefined", "unit": "cm**2"}, False, r"\(in cm\*\*2\)"),
    ],
)
def test_where_the_area_is(options: dict[str, Any], takes: bool, words: str, folder: Path) -> None:
    put(folder / "a.rmf", matrix(**options), ebounds())
    alone = read(folder, pha(), arf="none")
    assert folded(alone) == pytest.approx([100] * 4)
    if takes:
        assert folded(read(folder, pha())) == pytest.approx(FOLDED)
        assert said(alone, words)
    else:
        (note,) = alone.notes
        assert "up to 1 counts of a photon: an effective area of about 1 cm2, or none" in note
        with pytest.raises(DataError, match=rf"a\.rmf: .* holds the effective area alr.*{words}"):
            read(folder, pha())


def test_a_matrix_that_loses_nearly_all_photons(folder: Path) -> None:
    put(folder / "a.rmf", matrix(values=1e-3), ebounds())
    assert said(read(folder, pha()), "makes no more than 0.001 counts of a photon at any energy")
    put(folder / "a.rmf", matrix(values=[1.0, 1e-3, 0, 0]), ebounds())
    assert not said(read(folder, pha()), "of a photon at any energy")


def test_channels_in_another_unit(folder: Path) -> None:
    put(folder / "a.rmf", matrix(), ebounds(low=1e3 * EDGES[:-1], high=1e3 * EDGES[1:]))
    spectrum = read(folder, pha())
    assert folded(spectrum) == pytest.approx(FOLDED)
    assert said(spectrum, "EBOUNDS are from 1000 to 5000 keV, energies from 1 to 5 keV")


def test_a_folder_is_no_spectrum(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for place in (".", "..", folder):
        with pytest.raises(DataError):
            Spectrum.from_ogip(place)


@pytest.mark.parametrize("unit", ["cm2", "cm^2", "CM**2", "cm**2 count/photon", "count cm2 / ph"])
def test_units_of_areas(unit: str, folder: Path) -> None:
    put(folder / "a.arf", areas(unit=unit))
    assert folded(read(folder, pha())) == pytest.approx(FOLDED)


# names of files


@pytest.mark.parametrize(
    ("there", "name"),
    [
        ("z.rmf", "z.rmf[MATRIX]"),
        ("z.rmf", "z.rmf[1]"),
        ("z.rmf.gz", "z.rmf"),
        ("z.rmf.gz", "z.rmf[MATRIX]"),
        ("z.rmf.bz2", "z.rmf"),
        ("z.rmf", "z.rmf.gz"),
        ("z.rmf.gz", "/far/away/z.rmf"),
        ("z.rmf", "Z.RMF"),
        ("z.rmf", "caldb\\rmf\\z.rmf"),
        ("z.rmf", "https://example.org/z.rmf"),
        ("z[1].rmf", "z[1].rmf"),
        ("sub/z.rmf", "sub/z.rmf"),
    ],
)
def test_names_in_a_spectrum(there: str, name: str, folder: Path) -> None:
    content = (folder / "a.rmf").read_bytes()
    packed = {".gz": gzip.compress, ".bz2": bz2.compress}.get(Path(there).suffix, bytes)(content)
    (folder / "sub").mkdir()
    (folder / there).write_bytes(packed)
    spectrum = read(folder, pha(RESPFILE=name), rmf=None)
    assert folded(spectrum) == pytest.approx(FOLDED)
    elsewhere = there not in (name, name.removesuffix("[MATRIX]"), name.removesuffix("[1]"))
    assert said(spectrum, "is not there, took") == elsewhere


def test_the_users_names(folder: Path) -> None:
    (folder / "z.rmf.gz").write_bytes(gzip.compress((folder / "a.rmf").read_bytes()))
    put(folder / "b.pha", pha(), background())
    put(folder / "t.arf", areas([1, 1, 1, 1]), areas())
    spectrum = read(
        folder, pha(), rmf=folder / "z.rmf", background=f"{folder}/b.pha[2]",
        arf=f"{folder}/t.arf{{2}}",
    )  # fmt: skip
    assert folded(spectrum) == pytest.approx(FOLDED)
    assert spectrum.groups().alpha == pytest.approx(0.1)
    assert said(spectrum, "z.rmf is not there, took")


@pytest.mark.parametrize("name", ["none", "NONE", "", "  ", None])
def test_no_file_is_named(name: str | None, folder: Path) -> None:
    assert read(folder, pha(BACKFILE=name)).background is None


@pytest.mark.parametrize(
    ("keyword", "key"), [("BACKFILE", "background"), ("RESPFILE", "rmf"), ("ANCRFILE", "arf")]
)
def test_a_file_that_is_not_there(keyword: str, key: str, folder: Path) -> None:
    with pytest.raises(
        DataError, match=rf"{keyword} names gone.fits, .*another \({key}:\) or none"
    ):
        read(folder, pha(**{keyword: "gone.fits"}), rmf=folder / "a.rmf" if key == "arf" else None,
             arf=None)  # fmt: skip


# errors


def rates(values: Any, errors: Any, **options: Any) -> fits.BinTableHDU:
    more = [("STAT_ERR", "D", None, errors), *options.pop("more", [])]
    return pha(values, "D", column="RATE", more=more, **{"POISSERR": False, **options})


def test_systematic_errors(folder: Path) -> None:
    """100 +- 1 counts with a tenth of them: the root of 1 + 10^2."""
    column = [("SYS_ERR", "D", None, [0.1] * 4)]
    for hdu in (
        rates([1.0] * 4, [0.01] * 4, more=column), rates([1.0] * 4, [0.01] * 4, SYS_ERR=0.1),
    ):  # fmt: skip
        spectrum = read(folder, hdu)
        assert spectrum.errors == pytest.approx([np.sqrt(101)] * 4)
        assert said(spectrum, "SYS_ERR, up to 0.1 of the counts")
        assert not said(spectrum, "percent")
    assert said(read(folder, rates([1.0] * 4, [0.01] * 4, SYS_ERR=5.0)), "is it in percent?")
    assert said(read(folder, pha(SYS_ERR=0.1)), "is not used: counts are Poisson's")
    with pytest.raises(DataError, match=r"row 1: SYS_ERR is -0\.1, expected a fraction from 0 up"):
        read(folder, rates([1.0] * 4, [0.01] * 4, SYS_ERR=-0.1))


def test_systematic_errors_of_a_background(folder: Path) -> None:
    put(folder / "b.pha", rates([1.0] * 4, [0.01] * 4, SYS_ERR=0.1))
    beside = read(folder, rates([1.0] * 4, [0.01] * 4, BACKFILE="b.pha"))
    assert beside.background is not None
    assert beside.background.errors == pytest.approx([np.sqrt(101)] * 4)
    poisson = read(folder, pha(BACKFILE="b.pha"))
    assert poisson.background is not None
    assert poisson.background.errors == pytest.approx([1] * 4)
    assert said(poisson, "is not used beside Poisson counts")


@pytest.mark.parametrize("column", [True, False])
def test_errors_of_zero_are_none(column: bool, folder: Path) -> None:
    more: Columns = [("STAT_ERR", "E", None, [0.0] * 4)] if column else []
    spectrum = read(folder, pha(POISSERR=False, more=more, STAT_ERR=None if column else 0))
    assert (spectrum.statistic(), spectrum.errors) == ("cstat", None)
    with pytest.raises(DataError, match="RATE without STAT_ERR, and POISSERR is not true"):
        read(folder, pha([0.1] * 4, "E", column="RATE", POISSERR=False, STAT_ERR=0))


def test_a_rate_without_error(folder: Path) -> None:
    hdu = rates([0.0, 0.05, 0.07, 0.03], [0, 0.022, 0.026, 0.017])
    spectrum = read(folder, hdu)
    words = r"s: chi2, but no error in channel 1 \(1-2 keV\): leave that out \(ignore:\), group it"
    with pytest.raises(DataError, match=words):
        folded(spectrum)
    assert folded(spectrum.ignoring("1-2")) == pytest.approx(FOLDED[1:])
    assert folded(spectrum.grouped(by=2)) == pytest.approx([3000, 7000])


def test_scaled_background(folder: Path) -> None:
    put(folder / "b.pha", pha([1.5, 2.5, 0, 1], "E", BACKSCAL=10.0))
    spectrum = read(folder, pha(BACKFILE="b.pha"))
    assert spectrum.background is not None
    assert spectrum.statistic() == "pgstat"
    assert spectrum.background.errors == pytest.approx(np.sqrt([1.5, 2.5, 0, 1]))
    assert spectrum.groups().alpha == pytest.approx(0.1)
    assert folded(spectrum) == pytest.approx(FOLDED)
    assert said(spectrum, "not whole numbers, so not Poisson's: taken as Gaussian")
    own = pha([1.5, 2.5, 0, 1], "E", more=[("STAT_ERR", "E", None, [0.5] * 4)])
    spectrum = read(folder, pha(), background=put(folder / "b.pha", own))
    assert spectrum.background is not None
    assert spectrum.background.errors == pytest.approx([0.5] * 4)
    whole = pha([15.0, 25, 0, 10], "D", POISSERR=False)
    spectrum = read(folder, pha(), background=put(folder / "b.pha", whole))
    assert spectrum.statistic() == "wstat"


def test_fractions_of_a_source_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match=r"channel 1: COUNTS is 1\.5, expected a whole number"):
        read(folder, pha([1.5, 2.5, 0, 1], "E"))


BAD = {
    "NaN counts": [np.nan, 9, 7, 3], "negative counts": [-1, 9, 7, 3],
    "half a count": [0.5, 9, 7, 3], "infinite": [np.inf, 9, 7, 3],
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("where", ["source", "background", "background, flagged in the source"])
def test_values_in_channels_of_bad_quality(case: str, where: str, folder: Path) -> None:
    flags: Columns = [("QUALITY", "I", None, [5, 0, 0, 0])]
    bad, good = pha(BAD[case], "D", more=flags), pha(more=flags)
    if where == "background, flagged in the source":
        bad = pha(BAD[case], "D")
    source, other = (bad, good) if where == "source" else (good, bad)
    put(folder / "b.pha", pha() if where == "source" else other)
    source.header["BACKFILE"] = "b.pha"
    spectrum = read(folder, pha(BACKFILE="b.pha") if where == "background" else source)
    binned = spectrum.groups()
    assert (spectrum.statistic(), binned.counts.tolist()) == ("wstat", COUNTS[1:])
    assert binned.background_counts is not None
    assert binned.background_counts.tolist() == COUNTS[1:]
    assert folded(spectrum) == pytest.approx(FOLDED[1:])
    with pytest.raises(DataError, match="channel 1: COUNTS is"):
        spectrum.select((0, 5)).groups()


def test_rates_in_channels_of_bad_quality(folder: Path) -> None:
    flags: Columns = [("QUALITY", "I", None, [3, 0, 0, 0])]
    hdu = rates([np.nan, 0.05, 0.07, 0.03], [np.inf, 0.022, 0.026, 0.017], more=flags)
    assert folded(read(folder, hdu)) == pytest.approx(FOLDED[1:])
    scale: Columns = [("BACKSCAL", "E", None, [np.nan, 1, 1, 1]), *flags]
    assert folded(read(folder, pha(more=scale, BACKSCAL=None))) == pytest.approx(FOLDED[1:])


# what isn't used, and what can't be


def test_what_is_said(folder: Path) -> None:
    assert said(read(folder, pha(CORRFILE="c.pha", CORRSCAL=1.0)), "CORRFILE c.pha is not used")
    put(folder / "b.pha", pha(channel=[0, 1, 2, 3]))
    assert said(read(folder, pha(BACKFILE="b.pha")), "b.pha: channels from 0, those of")
    put(folder / "b.pha", background())
    assert said(read(folder, pha(HDUCLAS2="NET", BACKFILE="b.pha")), "subtracted already")
    assert read(folder, pha(name="PHA", HDUCLAS1=None)).notes == ()


def test_counts_where_no_photon_is_counted(folder: Path) -> None:
    put(folder / "a.rmf", matrix(first=[1, 2, 2, 2]), ebounds())
    spectrum = read(folder, pha())
    words = r"s: cstat, and 10 counts in channel 3 \(3-4 keV\), 4 \(4-5 keV\), where the response"
    with pytest.raises(DataError, match=words):
        prepare("linked_spectra", modelled(spectrum), {}, {})
    prepare("linked_spectra", modelled(spectrum.ignoring("3-")), {}, {})
    put(folder / "b.pha", background())
    prepare("linked_spectra", modelled(read(folder, pha(BACKFILE="b.pha"))), {}, {})


def test_alpha_of_a_group_is_a_ratio_of_sums(folder: Path) -> None:
    scale: Columns = [("BACKSCAL", "D", None, [1.0, 2, 3, 4])]
    put(folder / "b.pha", pha(more=[("BACKSCAL", "D", None, [10.0, 40, 90, 160])], BACKSCAL=None))
    scale.append(("GROUPING", "I", None, [1, -1, 1, -1]))
    spectrum = read(folder, pha(more=scale, BACKSCAL=None, BACKFILE="b.pha"))
    assert spectrum.groups().alpha == pytest.approx([3 / 50, 7 / 250])


# real files


DATA = Path(__file__).parents[2] / "shared" / "data"
WILD = DATA / "ogip_wild"
real = pytest.mark.skipif(not WILD.exists(), reason="no real data here")


@real
def test_swift_uvot() -> None:
    """One channel whose bounds fall; the background that is named lies elsewhere."""
    spectrum = Spectrum.from_ogip(WILD / "sw00036384074uuu_sk.src.pha")
    assert spectrum.response is not None
    assert spectrum.background is not None
    assert spectrum.counts.tolist() == [4494]
    assert spectrum.groups().alpha == pytest.approx(1947.953 / 20258.34)
    assert spectrum.response.channel_low == pytest.approx(0.00321411)
    assert said(spectrum, "E_MIN above E_MAX in 1 of 1 channels")
    (expected,) = folded(spectrum)
    table = fits.getdata(WILD / "swuuu_20041120v105.rsp", "MATRIX")
    width = table["ENERG_HI"].astype(float) - table["ENERG_LO"]
    assert expected == pytest.approx(spectrum.exposure * np.sum(width * table["MATRIX"]), rel=1e-12)


@real
def test_rosat_pspc(tmp_path: Path) -> None:
    """19 of 729 energy bins have no width: each elements of the rest is as the file has it."""
    file = WILD / "pspcc_gain1_256.rsp"
    response = Response.read(file)
    assert (response.channels, len(response.energy_low)) == (256, 710)
    assert said(response, "19 energy bins of no width left out")
    table = fits.getdata(file, "SPECRESP MATRIX")
    width = table["ENERG_HI"].astype(float) - table["ENERG_LO"]
    expected = np.zeros(257)
    for row in range(729):
        first, number = int(table["F_CHAN"][row]), int(table["N_CHAN"][row])
        expected[first : first + number] += width[row] * table["MATRIX"][row][:number]
    spectrum = Spectrum("pspc", np.ones(256), 10.0, response=response)
    assert folded(spectrum) == pytest.approx(10 * expected[1:], rel=1e-9)


RATE_UNITS: list[tuple[str | None, float]] = [
    (None, 1), ("", 1), ("count/s", 1), ("Counts/s", 1), ("cts/s", 1), ("counts/sec", 1),
    ("counts per second", 1), ("counts s**-1", 1), ("photon/s", 1), ("count/ks", 1e-3),
    ("1/min", 1 / 60),
]  # fmt: skip


@pytest.mark.parametrize(("unit", "factor"), RATE_UNITS)
def test_units_of_rates(unit: str | None, factor: float, folder: Path) -> None:
    """Rates in whatever unit of time, their errors in the same, or in their own."""
    for own, scale in ((unit, factor), (None, factor), ("count/s", 1)):
        columns: Columns = [
            ("CHANNEL", "I", None, [1, 2, 3, 4]),
            ("RATE", "D", unit, np.array(COUNTS) / 100 / factor),
            ("STAT_ERR", "D", own, np.full(4, 0.02) / scale),
        ]
        keywords = {"EXPOSURE": 100.0, "BACKSCAL": 1.0, "AREASCAL": 1.0, "POISSERR": False}
        spectrum = read(folder, table("SPECTRUM", columns, HDUCLAS1="SPECTRUM", **keywords))
        assert spectrum.counts == pytest.approx(COUNTS)
        assert spectrum.errors == pytest.approx([2] * 4)


@pytest.mark.parametrize(
    ("column", "unit", "words"),
    [
        ("RATE", "count/s/keV", "of column RATE is per energy, expected count/s"),
        ("RATE", "count", "unit 'count' of column RATE, expected 1/s"),
        ("RATE", "bogus", "unit 'bogus' of column RATE, expected 1/s"),
        ("COUNTS", "count/s", "unit 'count/s' of column COUNTS, expected counts"),
        ("COUNTS", "cts/sec/keV", "of column COUNTS, expected counts"),
    ],
)
def test_units_that_are_others(column: str, unit: str, words: str, folder: Path) -> None:
    hdu = pha(column=column)
    hdu.header["TUNIT2"] = unit
    with pytest.raises(DataError, match=words):
        read(folder, hdu)


@pytest.mark.parametrize("unit", ["count", "Counts", "cts", "photons", "", "adu", "whatever"])
def test_units_of_counts(unit: str, folder: Path) -> None:
    hdu = pha()
    hdu.header["TUNIT2"] = unit
    assert list(read(folder, hdu).counts) == COUNTS


def test_exposures_in_their_unit(folder: Path) -> None:
    hdu = pha(more=[("EXPOSURE", "D", "ks", [0.1] * 4)])
    assert read(folder, hdu).exposure == pytest.approx(100)


def test_a_net_spectrum_alone(folder: Path) -> None:
    assert said(read(folder, pha(HDUCLAS2="NET")), "HDUCLAS2 is NET: a background is subtracted")
    assert not said(read(folder, pha()), "HDUCLAS2")


def test_channels_where_the_background_has_no_size(folder: Path) -> None:
    scale: Columns = [("BACKSCAL", "E", None, [1, 0, 1, 1])]
    put(folder / "b.pha", pha(more=scale, BACKSCAL=None))
    assert said(read(folder, pha(BACKFILE="b.pha")), "is 0 in 1 channels in use (2): no background")


def test_a_redistribution_with_area_in_it(folder: Path) -> None:
    """Whatever its HDUCLAS3 says, a photon makes no hundred counts."""
    put(folder / "a.rmf", matrix(kind="REDIST", values=100.0), ebounds())
    assert said(read(folder, pha(), arf="none"), "makes up to 100 counts of a photon: an effective")
