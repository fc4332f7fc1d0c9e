"""Readers of posterior samples: what stands in the files comes out, weighted as it must be."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy.table import Table
from scipy.stats import norm
from stack_files import equal_weighted, netcdf, weighted

import pyxstan
from pyxstan import inference_data
from pyxstan.stacking import PosteriorSamples
from pyxstan.stacking.data import as_posterior_samples
from pyxstan.stacking.readers import (
    read_covariates,
    read_frame,
    read_inputs,
    read_netcdf,
    read_runs,
    read_selection,
    read_text,
)


def by_object(data: PosteriorSamples) -> dict[str, list[Any]]:
    """Samples by object: numbers of one parameter, lists of several."""
    return {
        name: (data.of(i)[:, 0] if len(data.parameters) == 1 else data.of(i)).tolist()
        for i, name in enumerate(data.objects)
    }


# --- text


def test_text_of_rows_of_different_length(tmp_path: Path) -> None:
    path = tmp_path / "samples.txt"
    path.write_text("# photon index\n1.5 2.5e0\t-3\n\n  # more\n4\n5,6 , 7  8 # said by hand\n")
    x, start = read_text(path)
    assert x.tolist() == [1.5, 2.5, -3, 4, 5, 6, 7, 8]
    assert start.tolist() == [0, 3, 4, 8]
    assert x.dtype == float


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_text_of_every_system(tmp_path: Path, end: str) -> None:
    path = tmp_path / "samples.txt"
    path.write_bytes(b"\xef\xbb\xbf" + end.join(["1 2", "3 4"]).encode())
    x, start = read_text(path)
    assert x.tolist() == [1, 2, 3, 4]
    assert start.tolist() == [0, 2, 4]


def test_text_of_a_spreadsheet_that_filled_up_short_rows(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("1,2,3\n4,,\n5,6,\n")
    assert read_text(path)[1].tolist() == [0, 3, 4, 6]


def test_gzipped_text(tmp_path: Path) -> None:
    path = tmp_path / "samples.txt.gz"
    path.write_bytes(gzip.compress(b"1 2\n3\n"))
    assert read_text(path)[0].tolist() == [1, 2, 3]
    assert read_inputs([path], {}).sizes.tolist() == [2, 1]


def test_text_keeps_every_digit(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=(30, 40)) * 10.0 ** np.arange(-20, 20)
    np.savetxt(tmp_path / "samples.txt", values)
    np.testing.assert_array_equal(
        read_text(tmp_path / "samples.txt")[0], np.loadtxt(tmp_path / "samples.txt").ravel()
    )


def test_from_text(tmp_path: Path) -> None:
    path = tmp_path / "samples.txt"
    path.write_text("1 2\n4\n")
    data = PosteriorSamples.from_text(
        path, parameters="PhoIndex", objects=["a", "b"], covariates={"z": [0.1, 0.2]}
    )
    assert by_object(data) == {"a": [1, 2], "b": [4]}
    assert data.parameters == ("PhoIndex",)
    assert data.weights.tolist() == [0.5, 0.5, 1]
    assert data.covariates["z"].tolist() == [0.1, 0.2]
    assert data.source == str(path)


# --- runs


def test_runs_in_a_folder(tmp_path: Path) -> None:
    equal_weighted(tmp_path / "b", {"log(nH)": [21, 22, 23], "PhoIndex": [1.7, 1.8, 1.9]})
    equal_weighted(tmp_path / "a", {"PhoIndex": [2.0], "log(nH)": [20]})
    (tmp_path / "notes").mkdir()
    data = PosteriorSamples.from_runs(tmp_path, "log(nH)")
    assert by_object(data) == {"a": [20], "b": [21, 22, 23]}
    assert data.parameters == ("log(nH)",)
    assert data.notes[0] == f"{tmp_path}: left out, no chains: notes"
    assert "prior of log(nH) in the fits is not known, a flat one is assumed" in data.notes[1]
    both = PosteriorSamples.from_runs(tmp_path, ["PhoIndex", "log(nH)"])
    assert by_object(both) == {"a": [[2, 20]], "b": [[1.7, 21], [1.8, 22], [1.9, 23]]}


def test_one_run_and_a_list_of_runs(tmp_path: Path) -> None:
    for name in "abc":
        equal_weighted(tmp_path / name, {"x": [ord(name)]})
    assert read_runs(tmp_path / "a", "x")["objects"] == ["a"]
    found = read_runs([tmp_path / "c", tmp_path / "a"], "x")
    assert found["objects"] == ["c", "a"]
    assert [float(x[0, 0]) for x in found["samples"]] == [99, 97]
    assert found["weights"] is None


def test_weighted_chains(tmp_path: Path) -> None:
    weighted(tmp_path / "a", [0.1, 0.3, 0], {"x": [1, 2, 3], "y": [4, 5, 6]})
    equal_weighted(tmp_path / "b", {"x": [7, 8], "y": [0, 0]})
    data = PosteriorSamples.from_runs(tmp_path, "x")
    assert by_object(data) == {"a": [1, 2, 3], "b": [7, 8]}
    np.testing.assert_allclose(data.weights, [0.25, 0.75, 0, 0.5, 0.5])


def test_equally_weighted_chains_come_first(tmp_path: Path) -> None:
    weighted(tmp_path / "a", [1], {"x": [1]})
    file = tmp_path / "a" / "chains" / "equal_weighted_post.txt"
    file.write_text("x\n2\n")
    found = read_runs(tmp_path, "x")
    assert found["samples"][0].tolist() == [[2]]
    assert found["weights"] is None


def test_latest_of_numbered_runs(tmp_path: Path) -> None:
    for number in (2, 9, 10):
        equal_weighted(tmp_path / "src" / f"run{number}", {"x": [number]})
    (tmp_path / "src" / "run11").mkdir()  # broke off
    found = read_runs(tmp_path, "x")
    assert found["objects"] == ["src"]
    assert found["samples"][0].tolist() == [[10]]
    assert found["notes"] == (
        f"{tmp_path / 'src'}: the chains of run10, the latest that are there",
    )


def test_object_that_is_called_like_a_numbered_run(tmp_path: Path) -> None:
    for name in ("run1", "src"):
        equal_weighted(tmp_path / name, {"x": [1]})
    assert read_runs(tmp_path, "x")["objects"] == ["run1", "src"]


def test_objects_are_named_after_what_tells_them_apart(tmp_path: Path) -> None:
    for folder in ("a/power law", "b/power law", "b/disk"):
        equal_weighted(tmp_path / folder, {"x": [1]})
    pair = [tmp_path / "a/power law", tmp_path / "b/power law"]
    assert read_runs(pair, "x")["objects"] == ["a", "b"]
    assert read_runs([*pair, tmp_path / "b/disk"], "x")["objects"] == [
        "a/power law", "b/power law", "b/disk",
    ]  # fmt: skip


def test_run_in_the_folder_where_we_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    equal_weighted(tmp_path / "src", {"x": [1]})
    monkeypatch.chdir(tmp_path / "src")
    assert read_runs(".", "x")["objects"] == ["src"]


# --- netCDF

DIMS = ("chain", "draw")


def test_netcdf_of_others(tmp_path: Path) -> None:
    for name, shift in (("first", 0), ("second", 10)):
        netcdf(
            tmp_path / f"{name}.nc",
            {
                "x": (DIMS, np.array([[1, 2, 3], [4, 5, 6]]) + shift, {"units": "days"}),
                "B": (("instrument", *DIMS), np.arange(12.0).reshape(2, 2, 3) + shift),
                "plain": (("draw", "k", "chain"), np.arange(12.0).reshape(3, 2, 2)),
                "instrument": ["pn", "chandra"],
            },
        )
    data = PosteriorSamples.from_netcdf(tmp_path, "x")
    assert by_object(data) == {"first": [1, 2, 3, 4, 5, 6], "second": [11, 12, 13, 14, 15, 16]}
    files = [tmp_path / "second.nc"]
    found = read_netcdf(files, ["B[chandra]", "plain[1]"])
    assert found["parameters"] == ["B[chandra]", "plain[1]"]
    assert found["samples"][0].tolist() == [
        [16, 2], [17, 6], [18, 10], [19, 3], [20, 7], [21, 11],
    ]  # fmt: skip
    assert found["objects"] == ["second"]


def test_variable_whose_name_has_brackets(tmp_path: Path) -> None:
    file = netcdf(tmp_path / "a.nc", {"B[0]": (DIMS, [[1.0, 2.0]]), "log(nH)": (DIMS, [[3, 4]])})
    assert read_netcdf([file], ["B[0]", "log(nH)"])["samples"][0].tolist() == [[1, 3], [2, 4]]


def test_netcdf_of_pyxstan(tmp_path: Path) -> None:
    posterior = xr.Dataset({"x": (DIMS, [[1.0, 2.0]])})
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        inference_data.write(
            inference_data.assemble({"posterior": posterior}, {"model": "beta"}),
            tmp_path / name / "fit.nc",
        )
    data = PosteriorSamples.from_netcdf([tmp_path / "a/fit.nc", tmp_path / "b/fit.nc"], "x")
    assert by_object(data) == {"a": [1, 2], "b": [1, 2]}


# --- tables

FRAME = pd.DataFrame(
    {"object": ["b", "a", "b"], "x": [1.0, 2.0, 3.0], "y": [4, 5, 6], "weight": [1, 2, 3]}
)


def test_frame_with_rows_in_any_order() -> None:
    found = read_frame(FRAME, "x")
    assert found["objects"] == ["b", "a"]
    assert [x.tolist() for x in found["samples"]] == [[[1], [3]], [[2]]]
    assert [w.tolist() for w in found["weights"]] == [[1, 3], [2]]
    data = PosteriorSamples.from_frame(FRAME, ["y", "x"])
    assert by_object(data) == {"b": [[4, 1], [6, 3]], "a": [[5, 2]]}
    np.testing.assert_allclose(data.weights, [0.25, 0.75, 1])
    assert read_frame(FRAME.drop(columns="weight"), "x")["weights"] is None
    assert read_frame(FRAME, ["x", "weight"])["weights"] is None


@pytest.mark.parametrize("name", ["samples.csv", "samples.ecsv", "samples.fits", "samples.fits.gz"])
def test_tables_of_samples(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith(".csv"):
        FRAME.to_csv(path, index=False)
    else:
        Table.from_pandas(FRAME).write(path)
    data = read_inputs([path], {"name": "x"})
    assert by_object(data) == {"b": [1, 3], "a": [2]}
    np.testing.assert_allclose(data.weights, [0.25, 0.75, 1])
    assert data.source == str(path)


def test_covariates_of_a_table(tmp_path: Path) -> None:
    path = tmp_path / "known.csv"
    path.write_text("z,object,logL\n0.1,c,44\nunknown,d,\n0.3,a,45\n")
    found = read_covariates(path, ["a", "c"])
    assert {name: values.tolist() for name, values in found.items()} == {
        "z": [0.3, 0.1],
        "logL": [45, 44],
    }
    columns = {"object": ["c", "a"], "z": [0.1, 0.3]}
    assert read_covariates(columns, ["a", "c"])["z"].tolist() == [0.3, 0.1]
    assert read_covariates(pd.DataFrame(columns), ["a", "c"])["z"].tolist() == [0.3, 0.1]


def test_covariates_in_the_order_of_the_objects() -> None:
    assert read_covariates({"z": [1, 2]}, ["b", "a"])["z"].tolist() == [1, 2]


def test_numbered_objects_meet_their_covariates(tmp_path: Path) -> None:
    samples, known = tmp_path / "samples.txt", tmp_path / "known.csv"
    samples.write_text("1 2\n3\n")
    known.write_text("object,z\n2,0.2\n1,0.1\n")
    data = read_inputs([samples], {"covariates": known})
    assert data.covariates["z"].tolist() == [0.1, 0.2]


def test_selection_of_injections() -> None:
    table = {"y": [3, 4], "weight": [0.5, 0], "x": [1, 2]}
    found = read_selection(table, ["x", "y"])
    assert found.x.tolist() == [[1, 3], [2, 4]]
    assert found.weights.tolist() == [0.5, 0]
    assert read_selection(found, ["x", "y"]) is found


@pytest.mark.parametrize("mean", [-0.4, 0.13, 0.5, 1.0, 1.77, 2.6])
@pytest.mark.parametrize("sd", [1 / 3, 0.6, 4.0])
def test_selection_of_probabilities(mean: float, sd: float) -> None:
    """The detected fraction of a Gaussian, in closed form between the values of the table."""
    x, probability = np.array([0.0, 1.0, 1.5, 2.5]), np.array([0.2, 1.0, 0.0, 0.7])
    found = read_selection({"x": x, "probability": probability}, ["x"])
    slope = np.diff(probability) / np.diff(x)
    at_mean = probability[:-1] + slope * (mean - x[:-1])
    p, q = norm.pdf(x, mean, sd), norm.cdf(x, mean, sd)
    fraction = np.sum(at_mean * np.diff(q) - slope * sd**2 * np.diff(p))
    assert np.sum(found.weights * norm.pdf(found.x[:, 0], mean, sd)) == pytest.approx(
        fraction, abs=1e-8
    )


def test_selection_leaves_out_where_nothing_is_detected() -> None:
    found = read_selection({"x": [0, 1, 2, 3], "probability": [0, 0, 1, 1]}, ["x"])
    assert found.x.min() > 1
    assert (found.weights > 0).all()


# --- the command line's inputs


def test_inputs_are_told_apart(tmp_path: Path) -> None:
    text = tmp_path / "samples.txt"
    text.write_text("# object a, object b\n1 2\n3\n")
    assert by_object(read_inputs([text], {"name": None})) == {"1": [1, 2], "2": [3]}
    assert read_inputs([text], {}).parameters == ("x",)
    assert read_inputs([text], {"name": "PhoIndex"}).parameters == ("PhoIndex",)

    runs = [tmp_path / "runs" / name for name in "ab"]
    for run in runs:
        equal_weighted(run, {"log(nH)": [21], "B[a,b]": [2]})
    netcdf(tmp_path / "runs" / "leftover.nc", {})
    names = " log(nH) , B[a,b],"
    both = {"a": [[21, 2]], "b": [[21, 2]]}
    assert by_object(read_inputs([tmp_path / "runs"], {"name": names})) == both
    assert by_object(read_inputs(runs, {"name": names})) == both
    assert by_object(read_inputs([runs[1]], {"name": "log(nH)"})) == {"b": [21]}

    fits = [netcdf(tmp_path / "fits" / f"{name}.nc", {"x": (DIMS, [[1.0]])}) for name in "cd"]
    for inputs in ([tmp_path / "fits"], fits):
        assert by_object(read_inputs(inputs, {"name": "x"})) == {"c": [1], "d": [1]}


def test_priors_of_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "samples.csv"
    path.write_text("object,a,b\ns,1,1\ns,3,0\n")
    for words, weights in {
        "a=loguniform": [1, 3],
        "b = normal(0, 1) ; a=loguniform;": [np.exp(0.5), 3],
        "a=uniform;b=uniform": [1, 1],
    }.items():
        data = read_inputs([path], {"name": "a,b", "prior": words})
        np.testing.assert_allclose(data.weights, np.array(weights) / np.sum(weights))
    data = read_inputs([path], {"name": "a", "prior": "loguniform"})
    np.testing.assert_allclose(data.weights, [0.25, 0.75])


def test_selection_of_the_command_line(tmp_path: Path) -> None:
    samples, table = tmp_path / "samples.txt", tmp_path / "selection.csv"
    samples.write_text("1 2\n")
    table.write_text("PhoIndex,weight\n2,0.5\n")
    data = read_inputs([samples], {"name": "PhoIndex", "selection": str(table)})
    assert data.selection is not None
    assert data.selection.x.tolist() == [[2]]


# --- the data class


def test_arrays() -> None:
    data = PosteriorSamples.from_arrays([[1, 2, 3], [4]], weights=[[1, 1, 2], [5]])
    assert data.objects == ("1", "2")
    assert data.sizes.tolist() == [3, 1]
    assert data.object_of.tolist() == [0, 0, 0, 1]
    assert data.weights.tolist() == [0.25, 0.25, 0.5, 1]
    assert data.name_of(3) == "object '2', sample 1"
    assert data.name_of(2) == "object '1', sample 3"
    cube = PosteriorSamples.from_arrays(np.arange(12.0).reshape(2, 3, 2), parameters=["a", "b"])
    assert by_object(cube)["2"] == [[6, 7], [8, 9], [10, 11]]


def test_weights_take_the_prior_out() -> None:
    """Weights are one over the prior, checked by hand."""
    samples = [[1.0, 2.0, 5.0], [4.0, 4.0]]
    log = PosteriorSamples.from_arrays(samples, prior="loguniform")
    np.testing.assert_allclose(log.weights, [1 / 8, 2 / 8, 5 / 8, 0.5, 0.5])
    normal = PosteriorSamples.from_arrays(samples, prior="normal(2, 3)")
    inverse = np.exp(0.5 * ((np.array([1.0, 2.0, 5.0]) - 2) / 3) ** 2)
    np.testing.assert_allclose(normal.weights[:3], inverse / inverse.sum())
    given = PosteriorSamples.from_arrays(samples, prior="loguniform", weights=[[5, 0, 1], [1, 3]])
    np.testing.assert_allclose(given.weights, [0.5, 0, 0.5, 0.25, 0.75])


def test_far_prior_does_not_overflow() -> None:
    data = PosteriorSamples.from_arrays([[100.0, 101.0]], prior="normal(0, 1)")
    np.testing.assert_allclose(data.weights, [0, 1], atol=1e-40)


def test_some_of_the_objects() -> None:
    data = PosteriorSamples.from_arrays(
        [[1, 2], [3], [4, 5]], objects=["a", "b", "c"], covariates={"z": [1, 2, 3]},
        prior="loguniform",
    ).kept(np.array([True, False, True]))  # fmt: skip
    assert by_object(data) == {"a": [1, 2], "c": [4, 5]}
    assert data.covariates["z"].tolist() == [1, 3]
    np.testing.assert_allclose(data.weights, [1 / 3, 2 / 3, 4 / 9, 5 / 9])


def test_what_fit_takes() -> None:
    data = PosteriorSamples.from_arrays([[1, 2], [3]])
    assert as_posterior_samples(data) is data
    assert by_object(as_posterior_samples([[1, 2], [3]])) == by_object(data)
    assert as_posterior_samples({"samples": [[1]], "parameters": "y"}).parameters == ("y",)


def test_many_objects_are_checked_in_time(tmp_path: Path) -> None:
    """Names there twice are found without comparing all with all."""
    names = [str(k) for k in range(50_000)] * 2
    with pytest.raises(pyxstan.DataError, match=r"^samples: object '0' is there twice$"):
        PosteriorSamples.from_arrays(np.ones((100_000, 1)), objects=names)


@pytest.mark.parametrize("kind", [float, int, np.float32])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 2)])
def test_one_array_is_as_a_list_of_arrays(shape: tuple[int, ...], kind: type) -> None:
    given = (10 * np.random.default_rng(3).normal(size=shape)).astype(kind)
    names = ["a", "b"][: shape[2] if len(shape) > 2 else 1]
    one = PosteriorSamples.from_arrays(given, parameters=names)
    other = PosteriorSamples.from_arrays(list(given), parameters=names)
    for name in ("x", "weights", "start"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    assert one.x.dtype == float
    assert not np.shares_memory(one.x, given)
    np.testing.assert_array_equal(one.weights, 0.2)


def test_one_array_that_is_none_of_samples() -> None:
    with pytest.raises(pyxstan.DataError, match="shape"):
        PosteriorSamples.from_arrays(np.ones(4))
    with pytest.raises(pyxstan.DataError, match="shape"):
        PosteriorSamples.from_arrays(np.ones((4, 5, 2)))
    given = np.random.default_rng(3).normal(size=(4, 50))
    given[2, 7] = -999.0
    with pytest.raises(pyxstan.DataError, match="object '3', sample 8: x is -999"):
        PosteriorSamples.from_arrays(given)
