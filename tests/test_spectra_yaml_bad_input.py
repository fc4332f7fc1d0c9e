"""YAML files of spectra that can't be: one line on the command line, and nothing written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from invocation import contents, run
from spectra_models import one

import pyxstan
from pyxstan.spectra import LinkedSpectra
from pyxstan.spectra.model import setting_of
from pyxstan.spectra.yaml_model import _energies, write

GOOD = """spectra:
- file: s.pha
  source: src
sources:
  src:
    components:
      c:
        powerlaw: {K: 'lognormal(-7, 1)', index: -2}
"""


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good spectrum, for models to spoil."""
    monkeypatch.chdir(tmp_path)
    write(one(statistic="wstat"), {}, Path())
    Path("model.yaml").write_text(GOOD)
    return tmp_path


@dataclass(frozen=True)
class Case:
    """What is put in the place of what, and the words after the file's name."""

    words: str
    old: str = GOOD
    new: str = ""
    make: Callable[[], object] | None = None
    file: str = "model.yaml: "


def entry(words: str, line: str, file: str = "model.yaml: ") -> Case:
    return Case(words, "  source: src\n", f"  source: src\n  {line}\n", file=file)


PLACE = "spectra, entry 1"
CASES = {
    "missing": Case("No such file or directory", make=lambda: Path("model.yaml").unlink()),
    "directory": Case(
        "Is a directory",
        make=lambda: (Path("model.yaml").unlink(), Path("model.yaml").mkdir()),
    ),
    "binary": Case("not a text", make=lambda: Path("model.yaml").write_bytes(b"\xff\xfe\0")),
    "no YAML": Case("not YAML: mapping values are not allowed here", "sources:", "sources: a: b",
                    file="model.yaml, line 4: "),
    "control characters": Case("not YAML: special characters are not allowed", "src:", "src\x01:"),
    "tag": Case(
        "not YAML: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'",
        "index: -2", "index: !!python/object/apply:os.system ['true']", file="model.yaml, line 8: ",
    ),
    "empty": Case("the file: expected keys with values"),
    "list": Case("the file: expected keys with values", new="- 1"),
    "unknown key": Case(
        "the file: unknown key 'source'; there are spectra, sources, coefficients, populations",
        "sources:", "source:",
    ),
    "no spectra": Case("spectra: expected a list, an entry a file", new="sources: {}"),
    "no sources": Case(
        "sources: expected keys with values", "sources:", "sources: 3\ncoefficients:",
    ),
    "unknown key of a spectrum": entry(
        f"{PLACE}: unknown key 'rsp'; there are file, name, source, background, rmf, arf, row, "
        "extension, notice, ignore, group, statistic, constant", "rsp: a.rsp",
    ),
    "no file": Case(f"{PLACE}: file is missing", "- file: s.pha\n ", "-"),
    "no source": Case(f"{PLACE}: source is missing", "  source: src\n"),
    "no such spectrum": Case("t.pha: no such file", "s.pha", "t.pha"),
    "no such response": entry("t.rmf: no such file", "rmf: t.rmf"),
    "no response": entry("s: no response (RESPFILE, or rmf:)", "rmf: none"),
    "unknown source": Case(
        "s: there is no source 'sun'; there are src", "source: src", "source: sun",
    ),
    "number of a source": Case(
        "s: there is no source '3'; there are src", "source: src", "source: 3",
    ),
    "row": entry(f"{PLACE}: row 'last' is not a whole number", "row: last"),
    "notice": entry(
        "s.pha: range 90-100 keV has no channel, there are 0.3-11 keV", "notice: 90-100"
    ),
    "words to notice": entry(
        "'soft' is not a range of energies in keV, such as 0.5-7", "notice: soft"
    ),
    "all ignored": entry("s.pha: no channel is left to use", "ignore: 0-20"),
    "group": entry(
        f"{PLACE}: group: '20', expected {{minimum: 20}} or {{by: 4}}", "group: 20"
    ),
    "group by": entry(f"{PLACE}: group: minimum 'many' is not a number", "group: {minimum: many}"),
    "group by both": entry(
        "grouped: expected one of minimum counts, a number of channels (by), minimum counts of "
        "the background",
        "group: {minimum: 3, by: 2}",
    ),
    "statistic": entry(
        "s: there is no statistic 'cash'; there are cstat, wstat, pgstat, chi2", "statistic: cash",
    ),
    "pgstat of counts": Case(
        "s: pgstat asks for a background with errors", "  source: src\n",
        "  source: src\n  statistic: pgstat\n", file="",
    ),
    "constant": entry("s.constant: -1 is negative", "constant: -1"),
    "two components in one": Case(
        "src.c: expected one component with its parameters",
        "index: -2}", "index: -2}\n        band: {}",
    ),
    "unknown component": Case(
        "there is no component 'pl'; there are powerlaw, powerlaw_flux, cutoff_powerlaw, "
        "blackbody, band, bremsstrahlung, gaussian_line", "powerlaw", "pl",
    ),
    "component without parameters": Case(
        "src.c: powerlaw: expected keys with values", "{K: 'lognormal(-7, 1)', index: -2}", "",
    ),
    "not set": Case("powerlaw: index is not set: a number, a prior, or '= ...'", ", index: -2", ""),
    "null": Case(
        "src.c.index: 'None' is neither a number nor a prior, a link or a population",
        "index: -2", "index: ",
    ),
    "list of numbers": Case(
        "src.c.index: '[1, 2]' is neither a number nor a prior, a link or a population",
        "index: -2", "index: [1, 2]",
    ),
    "prior without quotes": Case(
        "not YAML: 'normal(-2' ends at a comma: within braces and brackets, quote what has one, "
        "as in 'normal(0, 1)'", "index: -2", "index: normal(-2, 1)", file="model.yaml, line 8: ",
    ),
    "prior in a list without quotes": entry(
        "not YAML: 'lognormal(0' ends at a comma: within braces and brackets, quote what has one, "
        "as in 'normal(0, 1)'", "constant: [lognormal(0, .1)]", file="model.yaml, line 4: ",
    ),
    "ranges without quotes": entry(
        f"{PLACE}: group: unknown key '3-7' (quote what has a comma within braces); there are "
        "minimum, by, background", "group: {minimum: 3, 3-7}",
    ),
    "name of a spectrum": entry(f"{PLACE}: name '['a']' is not a text", "name: [a]"),
    "number that is none": entry(
        f"{PLACE}: group: minimum 'True' is not a number", "group: {minimum: true}"
    ),
    "source twice": Case(
        "two sources of s are called 'src'", "source: src", "source: [src, src]"
    ),
    "component twice": Case(
        "not YAML: key 'c' is there twice",
        "      c:\n", "      c: {powerlaw: {K: 1, index: -2}}\n      c:\n",
        file="model.yaml, line 7: ",
    ),
    "absorption": Case(
        "source src: gas: NH is missing",
        "    components", "    absorption: {gas: {}}\n    components",
    ),
    "redshift": Case(
        "source src: redshift far is not a number above -1",
        "    components", "    redshift: far\n    components",
    ),
    "population": Case(
        "population p: sd is missing", "sources:", "populations: {p: {mean: -2}}\nsources:",
    ),
    "name of a source": Case(
        "source 3C273: '3C273' is no name (letters, digits and _, not a digit first, and no word "
        "of Python)", "  src:", "  3C273:",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_files(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    if case.make:
        case.make()
    else:
        assert case.old in GOOD
        Path("model.yaml").write_text(GOOD.replace(case.old, case.new, 1))
    before = contents(desk)
    outcome = run(["fit", "linked_spectra", "model.yaml", "-o", "out.nc"], capsys)
    assert outcome.status == 2
    assert outcome.complaint == case.file + case.words
    assert contents(desk) == before


def test_the_good_file_is_good(desk: Path) -> None:
    assert LinkedSpectra.from_yaml("model.yaml").parameters == ("src.c.K",)


def test_entries_may_be_taken_from_others(desk: Path) -> None:
    """YAML's merge key: another spectrum like the first."""
    text = GOOD.replace("- file: s.pha\n", "- &first\n  file: s.pha\n")
    text = text.replace("sources:\n", "- {<<: *first, name: again, notice: 1-2}\nsources:\n", 1)
    Path("model.yaml").write_text(text)
    data = LinkedSpectra.from_yaml("model.yaml")
    assert [o.name for o in data.observations] == ["s", "again"]
    first, again = (o.spectrum.noticed.sum() for o in data.observations)
    assert 0 < again < first


def test_too_many_files(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run(["fit", "linked_spectra", "model.yaml", "model.yaml", "-o", "out.nc"], capsys)
    assert outcome.status == 2
    assert outcome.complaint == "linked_spectra: expected one YAML file, which names the spectra"


def test_a_path_that_is_not_there(desk: Path) -> None:
    with pytest.raises(pyxstan.DataError, match=r"^no\.yaml: No such file or directory$"):
        pyxstan.fit("linked_spectra", "no.yaml", progress=False)


@pytest.mark.parametrize(
    "words",
    ["0.5-7", "0.5-7 keV", "0.5keV-7keV", [0.5, 7], ["0.5-7 keV"], [[0.5, 7]], ["0.5 keV", "7keV"]],
)
def test_words_for_a_range(words: object) -> None:
    assert _energies(words) == "0.5-7"
    assert _energies([[0.5, 2], "3-7keV"]) == "0.5-2, 3-7"


@pytest.mark.parametrize("words", ["6.4keV", "6.4 keV", "6400eV", "6.4e3 eV", "6.4", ".64e1keV"])
def test_words_for_a_quantity(words: str) -> None:
    assert setting_of("mu", words, "keV") == pytest.approx(6.4)
