"""Bad input of stacking: one line that names the file and what is wrong in it."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stack_files import equal_weighted, netcdf, weighted

import pyxstan
from pyxstan.stacking import PosteriorSamples
from pyxstan.stacking.data import Selection, as_posterior_samples
from pyxstan.stacking.readers import read_inputs

DIMS = ("chain", "draw")
TEXT = "1.8 1.9\n1.5 1.7 1.6\n"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with good files of every kind."""
    monkeypatch.chdir(tmp_path)
    Path("good.txt").write_text(TEXT)
    Path("good.csv").write_text("object,x,y\na,1,2\nb,3,4\na,5,6\n")
    for name in "ab":
        equal_weighted(Path("runs", name), {"log(nH)": [21, 22], "PhoIndex": [1.8, 1.9]})
        netcdf(
            Path("fits", f"{name}.nc"),
            {"x": (DIMS, [[1.0, 2.0]]), "B": ((*DIMS, "k"), [[[1.0, 2.0], [3.0, 4.0]]]),
             "k": ["pn", "chandra"]},
        )  # fmt: skip
    return tmp_path


@dataclass(frozen=True)
class Case:
    """The whole message, with files to write before (as they are, or by a function)."""

    words: str
    inputs: Sequence[str] = ("new.txt",)
    options: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    make: Callable[[], object] | None = None


def text(words: str, content: str | bytes) -> Case:
    return Case(words, files={"new.txt": content})


TEXTS = {
    "missing": Case("new.txt: no such file"),
    "empty": text("new.txt: the file is empty", ""),
    "blank": text("new.txt: the file is empty", " \n\n"),
    "comments": text("new.txt: no samples, nothing but comments", "# nothing\n"),
    "word": text("new.txt: line 4: 'two' is not a number", "# x\n1 2\n\n1 two 3\n"),
    "word in the first row": text(
        "new.txt: line 1: 'x' is not a number; a header must start with #", "x 1 2\n"
    ),
    "dates": text("new.txt: line 2: '2020-01-02' is not a number", "1\n2020-01-02\n"),
    "nan": text("new.txt: line 3: number 2 is nan, expected a finite number", "1\n\n2 nan\n"),
    "infinity": text("new.txt: line 1: number 1 is -inf, expected a finite number", "-inf 1\n"),
    "overflow": text("new.txt: line 2: number 3 is inf, expected a finite number", "1\n1 2 1e999"),
    "empty cell": text(
        "new.txt: line 2: an empty cell between commas, expected a number", "1,2\n1, ,3\n"
    ),
    "empty first cell": text(
        "new.txt: line 2: an empty cell between commas, expected a number", "1,2\n,3\n"
    ),
    "only commas": text(
        "new.txt: line 2: no numbers, expected the samples of an object", "1,2\n,,\n3,4\n"
    ),
    "semicolons": text("new.txt: line 2: '1;2;3' is not a number", "1\n1;2;3\n"),
    "long word": text(f"new.txt: line 2: '{'y' * 40}...' is not a number", f"1\n{'y' * 99}\n"),
    "binary": text(
        "new.txt: a binary file, expected samples (text, runs of UltraNest, netCDF or a table)",
        bytes(range(256)),
    ),
    "binary further down": text(
        "new.txt: a binary file, expected a text file with one object a row",
        "1 2\n" * 3000 + "\0\n",
    ),
    "Latin-1": text(
        "new.txt: not a text file, expected a text file with one object a row",
        ("1 2\n" * 3000 + "# é\n").encode("latin1"),
    ),
    "gzip cut short": text(
        "new.txt: the gzipped file is damaged or cut short",
        gzip.compress(str(np.random.default_rng(1).random(2000).tolist()).encode())[:-20],
    ),
    "several parameters": Case(
        "good.txt: text with an object a row holds one parameter, not 2 (a, b)",
        ["good.txt"],
        {"name": "a,b"},
    ),
}

PHO = {"name": "PhoIndex"}
CHAINS = "runs/b/chains/equal_weighted_post.txt"


def chains(words: str, content: str) -> Case:
    return Case(f"{CHAINS}: {words}", ["runs"], PHO, {CHAINS: content})


RUNS = {
    "no such folder": Case("new: no such file", ["new"]),
    "no chains": Case(
        "new: no chains/equal_weighted_post.txt or chains/weighted_post.txt, nor a folder that has "
        "it",
        ["runs", "new"],
        PHO,
        make=lambda: Path("new/plots").mkdir(parents=True),
    ),
    "no such parameter": Case(
        "runs/a/chains/equal_weighted_post.txt: no 'nH'; the parameters are log(nH), PhoIndex",
        ["runs"],
        {"name": "nH"},
    ),
    "no name": Case(
        "option name: expected the parameter to stack, runs has log(nH), PhoIndex", ["runs"]
    ),
    "parameter twice": chains(
        "parameter 'PhoIndex' is there twice; the parameters are PhoIndex, PhoIndex",
        "PhoIndex PhoIndex\n1 2\n",
    ),
    "empty chains": chains("the file is empty", ""),
    "no rows": chains("no samples, nothing but the names of the columns", "PhoIndex\n"),
    "last line cut short": chains(
        "line 3: 1 cells, but the header has 2 (the file is cut short)", "nH PhoIndex\n1 2\n3\n"
    ),
    "line too short": chains("line 2: 1 cells, but the header has 2", "nH PhoIndex\n1\n3 4\n"),
    "line too long": chains("line 2: 3 cells, but the header has 2", "nH PhoIndex\n1 2 3\n"),
    "no number": chains("line 3: '1.9e' is not a number", "nH PhoIndex\n1 2\n3 1.9e"),
    "nan": chains("line 2: PhoIndex is nan, expected a finite number", "nH PhoIndex\n1 nan\n"),
    "run twice": Case("runs/a: the run is there twice", ["runs", "runs/a"], PHO),
    "same name twice": Case(
        "runs: parameter 'PhoIndex' is there twice", ["runs"], {"name": "PhoIndex,PhoIndex"}
    ),
    "negative weights": Case(
        "new/chains/weighted_post.txt: line 3: weight is -0.5, negative",
        ["new"],
        PHO,
        make=lambda: weighted(Path("new"), [1.5, -0.5], {"PhoIndex": [1, 2]}),
    ),
    "weights of zero": Case(
        "new/chains/weighted_post.txt: all weights are zero",
        ["new"],
        PHO,
        make=lambda: weighted(Path("new"), [0, 0], {"PhoIndex": [1, 2]}),
    ),
    "infinite weights": Case(
        "new/chains/weighted_post.txt: line 2: weight is inf, expected a finite number",
        ["new"],
        PHO,
        make=lambda: weighted(Path("new"), [np.inf], {"PhoIndex": [1]}),
    ),
    "other columns": Case(
        "new/chains/weighted_post.txt: line 1: the columns are not weight, logl and the parameters",
        ["new"],
        make=lambda: equal_weighted(Path("new"), {"PhoIndex": [1]}).rename(
            "new/chains/weighted_post.txt"
        ),
    ),
}

NETCDF = {
    "no name": Case(
        "option name: expected the parameter to stack, fits has x, B[pn], B[chandra]", ["fits"]
    ),
    "no such variable": Case(
        "fits/a.nc: no 'y' in the posterior, but x, B[pn], B[chandra]", ["fits"], {"name": "y"}
    ),
    "no such coordinate": Case(
        "fits/a.nc: B has no k 'nustar', name one as in B[pn]; there are pn, chandra",
        ["fits"],
        {"name": "B[nustar]"},
    ),
    "no coordinate": Case(
        "fits/a.nc: B has one value for each k, name one as in B[pn]; there are pn, chandra",
        ["fits"],
        {"name": "B"},
    ),
    "coordinate too many": Case(
        "fits/a.nc: x is one number, but 'x[pn]' asks for a coordinate",
        ["fits"],
        {"name": "x[pn]"},
    ),
    "too many dims": Case(
        "new.nc: B has dims chain, draw, k, m, expected chain, draw and at most one more",
        ["new.nc"],
        {"name": "B[0]"},
        make=lambda: netcdf(Path("new.nc"), {"B": ((*DIMS, "k", "m"), np.ones((1, 2, 2, 2)))}),
    ),
    "no draws": Case(
        "new.nc: x has dims sample, expected chain, draw and at most one more",
        ["new.nc"],
        {"name": "x"},
        make=lambda: netcdf(Path("new.nc"), {"x": (("sample",), [1.0])}),
    ),
    "no numbers": Case(
        "new.nc: x does not hold numbers",
        ["new.nc"],
        {"name": "x"},
        make=lambda: netcdf(Path("new.nc"), {"x": (DIMS, [["one"]])}),
    ),
    "nan": Case(
        "new.nc: object 'new', sample 2: [nan] is not finite, expected numbers",
        ["new.nc"],
        {"name": "x"},
        make=lambda: netcdf(Path("new.nc"), {"x": (DIMS, [[1.0, np.nan]])}),
    ),
    "no posterior": Case(
        "new.nc: no group 'posterior', not a netCDF file of ArviZ",
        ["new.nc"],
        {"name": "x"},
        make=lambda: netcdf(Path("new.nc"), {"x": (DIMS, [[1.0]])}, "prior"),
    ),
    "no such file": Case("new.nc: no such file", ["new.nc"], {"name": "x"}),
}

X = {"name": "x"}

TABLES = {
    "no name": Case(
        "option name: expected the parameter to stack, good.csv has x, y", ["good.csv"]
    ),
    "no such column": Case(
        "good.csv: no column 'z'; there are object, x, y", ["good.csv"], {"name": "z"}
    ),
    "no objects": Case(
        "new.csv: no column 'object'; there are source, x",
        ["new.csv"],
        X,
        {"new.csv": "source,x\na,1\n"},
    ),
    "word": Case(
        "new.csv: line 3: x is 'two', expected a finite number",
        ["new.csv"],
        X,
        {"new.csv": "object,x\na,1\na,two\n"},
    ),
    "nameless object": Case(
        "new.csv: line 3: column 'object' is empty",
        ["new.csv"],
        X,
        {"new.csv": "object,x\na,1\n,2\n"},
    ),
    "negative weight": Case(
        "new.csv: line 2: weight is -1, negative",
        ["new.csv"],
        X,
        {"new.csv": "object,x,weight\na,1,-1\n"},
    ),
    "weights of zero": Case(
        "new.csv: all weights are zero",
        ["new.csv"],
        X,
        {"new.csv": "object,x,weight\na,1,0\n"},
    ),
    "weights of zero of one object": Case(
        "new.csv: all weights of object 'b' are zero",
        ["new.csv"],
        X,
        {"new.csv": "object,x,weight\na,1,1\nb,1,0\n"},
    ),
}


def known(words: str, content: str, option: str = "covariates") -> Case:
    return Case(words, ["good.csv"], {**X, option: "known.csv"}, {"known.csv": content})


def selected(words: str, content: str) -> Case:
    return known(words, content, "selection")


KNOWN = {
    "missing": Case("known.csv: no such file", ["good.csv"], {**X, "covariates": "known.csv"}),
    "no object column": known("known.csv: no column 'object'; there are name, z", "name,z\na,1\n"),
    "object missing": known("known.csv: no object 'b'", "object,z\na,1\n"),
    "objects missing": known("known.csv: no object 'a' and 1 more", "object,z\nc,1\n"),
    "object twice": known(
        "known.csv: line 4: object 'a' is there twice", "object,z\na,1\nb,1\na,2\n"
    ),
    "redshift that is a mark for none": known(
        "known.csv: line 3: z is -99, far from the others: a mark for no value? leave it out",
        "object,z\na,0.1\nb,-99\n",
    ),
    "no covariate": known(
        "known.csv: no column of a covariate beside 'object'", "object\na\nb\n"
    ),
    "no number": known(
        "known.csv: line 3: z is '?', expected a finite number", "object,z\nb,1\na,?\n"
    ),
    "selection of another parameter": selected(
        "known.csv: no column 'x'; there are y, weight", "y,weight\n1,1\n"
    ),
    "selection of nothing": selected(
        "known.csv: expected a column 'probability' or 'weight', there is neither", "x\n1\n"
    ),
    "selection of both": selected(
        "known.csv: expected a column 'probability' or 'weight', both are there",
        "x,weight,probability\n1,1,1\n",
    ),
    "one probability": selected(
        "known.csv: one row, expected the probability at two values or more", "x,probability\n1,1\n"
    ),
    "values that do not increase": selected(
        "known.csv: line 4: x is 2 after 2, expected increasing values",
        "x,probability\n1,0\n2,1\n2,1\n",
    ),
    "probability above one": selected(
        "known.csv: line 3: probability is 1.5, expected 0 to 1", "x,probability\n1,0\n2,1.5\n"
    ),
    "probability below zero": selected(
        "known.csv: line 2: probability is -0.1, expected 0 to 1", "x,probability\n1,-0.1\n2,1\n"
    ),
    "nothing detected": selected(
        "known.csv: all probabilities are zero, nothing is detected", "x,probability\n1,0\n2,0\n"
    ),
    "negative injections": selected(
        "known.csv: line 2: weight is -2, negative", "x,weight\n1,-2\n"
    ),
    "injections of no weight": selected("known.csv: all weights are zero", "x,weight\n1,0\n"),
    "probability of two": Case(
        "known.csv: 'probability' goes with one parameter; for x, y give detected injections with "
        "a column 'weight'",
        ["good.csv"],
        {"name": "x,y", "selection": "known.csv"},
        {"known.csv": "x,y,probability\n1,2,1\n"},
    ),
}  # fmt: skip


def prior(words: str, given: str) -> Case:
    return Case(words, ["good.csv"], {**X, "prior": given})


INPUTS = {
    "none": Case(
        "no input, expected a text file with one object a row, runs of UltraNest, netCDF files or "
        "a table",
        [],
    ),
    "kinds": Case(
        "runs is a folder of runs, but good.txt is text with an object a row: "
        "expected inputs of one kind",
        ["runs", "good.txt"],
        PHO,
    ),
    "two tables": Case(
        "expected one file of samples, got 2: good.csv, good.csv", ["good.csv", "good.csv"], X
    ),
    "unknown prior": prior(
        "unknown prior 'cauchy'; there are normal, lognormal, half_normal, gamma, inv_gamma, "
        "uniform, loguniform",
        "cauchy(0, 1)",
    ),
    "no prior": prior("option prior: 'x=' is not parameter=prior", "x="),
    "nameless prior": prior("option prior: 'uniform' is not parameter=prior", "x=uniform;uniform"),
    "prior twice": prior("option prior: x is there twice", "x=uniform;x=loguniform"),
    "prior of another": prior(
        "prior of 'z': there is no such parameter, but x", "z=uniform"
    ),
    "no spread": prior("prior normal(1, 0): sd must be positive", "normal(1, 0)"),
    "zero prior": Case(
        "new.txt: object '2', sample 2: x is -3, where a loguniform prior is zero",
        options={"prior": "loguniform"},
        files={"new.txt": "1\n2 -3\n"},
    ),
}  # fmt: skip

CASES = {
    f"{kind}: {name}": case
    for kind, cases in {
        "text": TEXTS, "runs": RUNS, "netCDF": NETCDF, "table": TABLES, "known": KNOWN,
        "inputs": INPUTS,
    }.items()
    for name, case in cases.items()
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_bad_inputs(name: str, desk: Path) -> None:
    case = CASES[name]
    for file, content in case.files.items():
        Path(file).write_bytes(content.encode() if isinstance(content, str) else content)
    if case.make:
        case.make()
    with pytest.raises(pyxstan.DataError) as raised:
        read_inputs([Path(path) for path in case.inputs], case.options)
    assert str(raised.value) == case.words


def test_the_good_files_are_good(desk: Path) -> None:
    """What the cases change is good before."""
    for path, name in {
        "good.txt": "x", "good.csv": "x,y", "runs": "PhoIndex", "fits": "x,B[pn]",
    }.items():  # fmt: skip
        assert len(read_inputs([Path(path)], {"name": name}).objects) == 2


def test_damaged_netcdf(desk: Path) -> None:
    Path("new.nc").write_bytes(Path("fits/a.nc").read_bytes()[:300])
    with pytest.raises(
        pyxstan.DataError, match=r"^new\.nc: not a netCDF file of ArviZ \([^\n]+\)$"
    ):
        read_inputs([Path("new.nc")], X)


MISTAKES: dict[str, tuple[Callable[[], object], str]] = {
    "text that is a directory": (
        lambda: PosteriorSamples.from_text("runs"),
        "runs: a directory, expected a text file with one object a row",
    ),
    "names of too few objects": (
        lambda: PosteriorSamples.from_text("good.txt", objects=["a"]),
        "good.txt: 2 objects, but 1 names",
    ),
    "a run that is a file": (
        lambda: PosteriorSamples.from_runs("good.txt", "x"),
        "good.txt: a file, expected the folder of a run of UltraNest",
    ),
    "missing run": (
        lambda: PosteriorSamples.from_runs(["runs/a", "runs/c"], "PhoIndex"),
        "runs/c: no such folder",
    ),
    "no runs": (lambda: PosteriorSamples.from_runs([], "x"), "0 runs: no objects"),
    "no netCDF": (
        lambda: PosteriorSamples.from_netcdf("runs", "x"),
        "runs: no netCDF file (*.nc) in it",
    ),
    "frame without objects": (
        lambda: PosteriorSamples.from_frame(pd.DataFrame({"x": [1.0]}), "x"),
        "samples: no column 'object'; there are x",
    ),
    "no objects": (lambda: PosteriorSamples.from_arrays([]), "samples: no objects"),
    "object without samples": (
        lambda: PosteriorSamples.from_arrays([[1], []], objects=["a", "b"]),
        "samples: object 'b' has no samples",
    ),
    "words as samples": (
        lambda: PosteriorSamples.from_arrays([["one"]]),
        "samples: object '1': not an array of numbers",
    ),
    "samples of other shape": (
        lambda: PosteriorSamples.from_arrays([[[1, 2]], [[1, 2, 3]]], parameters=["a", "b"]),
        "samples: object '2': an array of shape (1, 3), expected (samples, 2)",
    ),
    "weights of too few objects": (
        lambda: PosteriorSamples.from_arrays([[1], [2]], weights=[[1]]),
        "samples: 2 objects, but weights of 1",
    ),
    "too few weights": (
        lambda: PosteriorSamples.from_arrays([[1], [2, 3]], weights=[[1], [1]]),
        "samples: object '2' has 2 samples, but 1 weights",
    ),
    "negative weight": (
        lambda: PosteriorSamples.from_arrays([[1], [2, 3]], weights=[[1], [1, -1]]),
        "samples: object '2', sample 2: weight is -1, expected zero or a positive number",
    ),
    "covariate of other length": (
        lambda: PosteriorSamples.from_arrays([[1], [2]], covariates={"z": [1, 2, 3]}),
        "covariate z: an array of shape (3,), expected one number for each of 2 objects",
    ),
    "covariate of words": (
        lambda: PosteriorSamples.from_arrays([[1]], covariates={"z": ["far"]}),
        "covariate z: not an array of numbers",
    ),
    "covariate that is nan": (
        lambda: PosteriorSamples.from_arrays([[1], [2]], covariates={"z": [1, np.nan]}),
        "covariate z: object '2' has nan, expected a finite number",
    ),
    "covariate that is a mark for none": (
        lambda: PosteriorSamples.from_arrays([[1], [2], [3]], covariates={"z": [1, -99, 1.2]}),
        "covariate z: object '2' has -99, far from the others: a mark for no value? "
        "leave the object out",
    ),
    "covariates of another kind": (
        lambda: PosteriorSamples.from_arrays([[1]], covariates=[0.1]),
        "covariates: expected a file, a DataFrame, an astropy Table or a dict of columns, got list",
    ),
    "selection of two parameters": (
        lambda: PosteriorSamples.from_arrays(
            [[1]], selection=Selection(np.ones((3, 2)), np.ones(3))
        ),
        "selection: an array of shape (3, 2), expected (3, 1)",
    ),
    "no samples in the dict": (
        lambda: as_posterior_samples({"x": [[1]]}),
        "posterior samples: no 'samples' in the dict",
    ),
    "a number": (
        lambda: as_posterior_samples(3),
        "posterior samples: expected PosteriorSamples, a dict or arrays, got int",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_in_python(name: str, desk: Path) -> None:
    act, words = MISTAKES[name]
    with pytest.raises(pyxstan.DataError) as raised:
        act()
    assert str(raised.value) == words
