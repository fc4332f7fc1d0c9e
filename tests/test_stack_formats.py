"""Samples as other programs write them: read as what they are, or refused by the format's name."""

from __future__ import annotations

import json
import pickle
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy import units as u
from astropy.table import Table
from scipy import stats
from stack_files import equal_weighted, netcdf

import pyxstan
from pyxstan.stacking import PosteriorSamples
from pyxstan.stacking.readers import read_inputs

ROWS = np.array([[1.8, 21.5], [1.9, 21.7], [2.1, 22.0], [2.0, 21.9]])


def objects(data: PosteriorSamples) -> dict[str, list[float]]:
    return {name: data.of(i)[:, 0].tolist() for i, name in enumerate(data.objects)}


def test_masked_samples_are_left_out() -> None:
    masked = np.ma.masked_equal([[1, 2, -999], [3, 4, 5]], -999)
    data = PosteriorSamples.from_arrays(masked)
    assert objects(data) == {"1": [1, 2], "2": [3, 4, 5]}
    assert data.notes == ("1 masked samples are left out",)
    weighted = PosteriorSamples.from_arrays(masked, weights=[[1, 3, 7], [1, 1, 2]])
    np.testing.assert_allclose(weighted.weights, [0.25, 0.75, 0.25, 0.25, 0.5])
    pair = np.ma.MaskedArray([[[1, 2], [3, 4]]], mask=[[[0, 1], [0, 0]]])
    with pytest.raises(pyxstan.DataError, match="sample 1: some of its parameters are masked"):
        PosteriorSamples.from_arrays(pair, parameters=["a", "b"])


def test_units_that_differ_between_objects() -> None:
    mixed = [[1.0, 2.0] * u.keV, [3000.0] * u.eV]
    data = PosteriorSamples.from_arrays(mixed, parameters="kT")
    assert objects(data) == {"1": [1, 2], "2": [3]}
    assert "kT of 1 objects ('2' first) is converted to 'keV'" in data.notes[0]
    series = pd.Series([3000.0])
    series.attrs["units"] = "eV"
    assert objects(PosteriorSamples.from_arrays([[1.0] * u.keV, series]))["2"] == [3]
    for other, said in (([3.0], "has no unit"), ([3.0] * u.s, "is in 's'")):
        with pytest.raises(pyxstan.DataError, match=f"object '2': x {said}, but that of '1'"):
            PosteriorSamples.from_arrays([[1.0] * u.keV, other])


def test_units_of_netcdf(tmp_path: Path) -> None:
    for name, unit, scale in (("a", "keV", 1.0), ("b", "eV", 1e3)):
        values = (("chain", "draw"), scale * ROWS[:, :1].T, {"units": unit})
        netcdf(tmp_path / f"{name}.nc", {"kT": values})
    data = PosteriorSamples.from_netcdf(tmp_path, "kT")
    np.testing.assert_allclose(data.of(0), data.of(1))


@pytest.mark.parametrize("samples", [[[1 + 2j]], [[True, False]], [np.array(["2020"], "M8[Y]")]])
def test_no_real_numbers(samples: Any) -> None:
    with pytest.raises(pyxstan.DataError, match=r"object '1': the samples are .*expected real"):
        PosteriorSamples.from_arrays(samples)


def test_weights_of_any_size() -> None:
    weights = [[1e308, 1e308, 0], [1e-320, 3e-320, 0]]
    data = PosteriorSamples.from_arrays([[1, 2, 3], [4, 5, 6]], weights=weights)
    np.testing.assert_allclose(data.weights, [0.5, 0.5, 0, 0.25, 0.75, 0], rtol=1e-3)


@pytest.mark.parametrize("name", ["src.ra", "position_angle", "PA"])
def test_angles_that_wrap(name: str) -> None:
    data = PosteriorSamples.from_arrays([[358, 359, 1, 2], [3, 5]], parameters=name)
    assert "on both sides of 0 = 360: unwrap" in data.complaints[0]
    apart = PosteriorSamples.from_arrays([[358, 359], [3, 5]], parameters=name)
    assert "on both sides of 0 = 360: unwrap" in apart.complaints[0]
    assert not PosteriorSamples.from_arrays([[170, 200], [90, 300]], parameters=name).complaints
    assert not PosteriorSamples.from_arrays([[358, 1]], parameters="norm").complaints


def test_phases_in_turns_that_wrap() -> None:
    around = [[0.02, 0.98, 0.05, 0.96], [0.01, 0.03, 0.97, 0.99]]
    data = PosteriorSamples.from_arrays(around, parameters="phase")
    assert "on both sides of 0 = 1: unwrap" in data.complaints[0]
    half = [[-0.48, 0.49, 0.47], [0.46, 0.44, -0.47]]
    data = PosteriorSamples.from_arrays(half, parameters="orbital_phase")
    assert "on both sides of -0.5 = 0.5: unwrap" in data.complaints[0]
    assert not PosteriorSamples.from_arrays(around, parameters="ra").complaints
    inside = PosteriorSamples.from_arrays([[0.1, 0.4], [0.5, 0.9]], parameters="phase")
    assert not inside.complaints


def test_names_with_blanks(tmp_path: Path) -> None:
    """UltraNest's header does not tell where a name ends; its list of them does."""
    equal_weighted(tmp_path / "a", {"log nH": ROWS[:, 1].tolist(), "photon index": [1, 2, 3, 4]})
    (tmp_path / "a" / "info").mkdir()
    names = {"paramnames": ["log nH", "photon index"]}
    (tmp_path / "a" / "info" / "results.json").write_text(json.dumps(names))
    data = PosteriorSamples.from_runs(tmp_path, "log nH")
    np.testing.assert_allclose(data.of(0)[:, 0], ROWS[:, 1])


def multinest(folder: Path) -> Path:
    folder.mkdir()
    np.savetxt(folder / "post_equal_weights.dat", np.column_stack([ROWS, [-9] * 4]))
    (folder / "params.json").write_text('["PhoIndex", "log(nH)"]')
    return folder / "post_equal_weights.dat"


def getdist(folder: Path) -> Path:
    folder.mkdir()
    np.savetxt(folder / "chain_1.txt", np.column_stack([[1, 2, 3, 4], [9] * 4, ROWS]))
    (folder / "chain.paramnames").write_text("PhoIndex \\Gamma\nlog(nH)* N\n")
    return folder / "chain_1.txt"


def xspec(folder: Path) -> Path:
    folder.mkdir()
    table = Table({"PhoIndex": ROWS[:, 0], "log(nH)": ROWS[:, 1], "FIT_STATISTIC": np.ones(4)})
    table.write(folder / "chain.fits")
    return folder / "chain.fits"


def csv(folder: Path) -> Path:
    folder.mkdir()
    pd.DataFrame(ROWS, columns=["PhoIndex", "log(nH)"]).to_csv(folder / "post.csv", index=False)
    return folder / "post.csv"


def column(folder: Path) -> Path:
    folder.mkdir()
    np.savetxt(folder / "post.txt", ROWS[:, 0])
    return folder / "post.txt"


def bilby(folder: Path, prior: str = "Uniform(minimum=0, maximum=5, name='PhoIndex')") -> Path:
    folder.mkdir()
    content = {"PhoIndex": ROWS[:, 0].tolist(), "log(nH)": ROWS[:, 1].tolist()}
    tree = {"posterior": {"__dataframe__": True, "content": content},
            "priors": {"PhoIndex": prior}}  # fmt: skip
    (folder / "result.json").write_text(json.dumps(tree))
    return folder / "result.json"


@pytest.mark.parametrize("write", [multinest, getdist, xspec, csv, bilby, column])
def test_one_file_an_object(write: Any, tmp_path: Path) -> None:
    files = [write(tmp_path / name) for name in "ab"]
    data = read_inputs(files, {"name": "PhoIndex"})
    assert data.objects == PosteriorSamples.from_files(files, "PhoIndex").objects == ("a", "b")
    for i in range(2):
        np.testing.assert_allclose(data.of(i)[:, 0], ROWS[:, 0])
    weights = [0.1, 0.2, 0.3, 0.4] if write is getdist else [0.25] * 4
    np.testing.assert_allclose(data.weights[:4], weights)
    assert "prior of PhoIndex" in data.notes[0]
    if write is not column:
        with pytest.raises(pyxstan.DataError, match="no 'kT', but PhoIndex"):
            read_inputs(files, {"name": "kT"})


def test_the_prior_that_bilby_records(tmp_path: Path) -> None:
    file = bilby(tmp_path / "a", "Gaussian(mu=2, sigma=0.1, name='PhoIndex', boundary=None)")
    data = read_inputs([file], {"name": "PhoIndex"})
    weight = 1 / stats.norm.pdf(ROWS[:, 0], 2, 0.1)
    np.testing.assert_allclose(data.weights, weight / weight.sum())
    other = bilby(tmp_path / "b", "Sine(name='PhoIndex')")
    with pytest.raises(pyxstan.DataError, match="the prior of PhoIndex is recorded as Sine: give"):
        read_inputs([other], {"name": "PhoIndex"})


def test_other_formats_are_named(tmp_path: Path) -> None:
    def hdf5(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_group("mcmc")["chain"] = np.ones((5, 4, 2))

    archive, array = BytesIO(), BytesIO()
    np.savez(archive, ROWS)
    np.save(array, ROWS)
    for write, said in (
        (lambda path: path.write_bytes(pickle.dumps({"samples": ROWS}, protocol=4)), "a pickle"),
        (lambda path: path.write_bytes(archive.getvalue()), "npz"),
        (lambda path: path.write_bytes(array.getvalue()), "npy"),
        (hdf5, "a chain of emcee"),
        (lambda path: path.write_text('{"samples": [1, 2]}'), "JSON, but not a result of bilby"),
        (lambda path: np.savetxt(path, ROWS[:, 0]), "one number a line, expected an object a row"),
        (lambda path: np.savetxt(path, ROWS, header="PhoIndex nH"), "a row a sample, with columns"),
    ):
        path = tmp_path / "file"
        write(path)
        with pytest.raises(pyxstan.DataError, match=said) as raised:
            read_inputs([path], {"name": "PhoIndex"})
        assert str(path) in str(raised.value)
    bare = multinest(tmp_path / "m")
    (tmp_path / "m" / "params.json").unlink()
    with pytest.raises(pyxstan.DataError, match="there are no names of its parameters"):
        read_inputs([bare], {"name": "PhoIndex"})


@pytest.mark.parametrize("mark", ["-999", "-99", "1e30", "-9999.0"])
def test_marks_for_no_sample_are_refused(mark: str, tmp_path: Path) -> None:
    """Where the others are near them they are samples."""
    (tmp_path / "s.txt").write_text(f"1.8 1.9 2.1\n1.5 {mark} 1.7\n")
    with pytest.raises(pyxstan.DataError, match=r"line 2: number 2 is .*a mark for no sample"):
        PosteriorSamples.from_text(tmp_path / "s.txt")
    rows = [[1.8, 1.9, 2.1], [1.5, float(mark), 1.7]]
    with pytest.raises(pyxstan.DataError, match=r"object '2', sample 2: x is .*a mark for no"):
        PosteriorSamples.from_arrays(rows)
    near = [[float(mark) * f for f in (0.9, 1, 1.1)], [float(mark) * 1.05]]
    assert PosteriorSamples.from_arrays(near).sizes.tolist() == [3, 1]
    assert PosteriorSamples.from_arrays([[-1e3, 2e3], [-999.0, 5.0]]).sizes.tolist() == [2, 2]


HONEST = {
    "percent, rounded": [[95, 96, 97, 98, 99, 99], [90, 92, 99]],
    "ln of 1e43": [[98.7, 98.8, 99.0], [98.75, 98.6]],
    "columns of atoms, at the lower end of their prior": [[3e21, 4e21, 1e20], [5e21, 1e20]],
    "and at the upper one": [[3e19, 4e19, 1e20], [5e19, 6e19]],
    "luminosities": [[3e36, 4e37, 1e38], [5e36, 1e37]],
    "below all others": [[3000.0, 3010.0, 999.0], [3020.0, 999.0]],
}


@pytest.mark.parametrize("case", HONEST)
def test_samples_near_others_are_no_marks(case: str) -> None:
    found = PosteriorSamples.from_arrays(HONEST[case])
    assert found.sizes.tolist() == [len(row) for row in HONEST[case]]


def test_chains_of_getdist_of_one_object_are_one_object(tmp_path: Path) -> None:
    (tmp_path / "ngc1.paramnames").write_text("w w\n")
    for k in (1, 2):
        (tmp_path / f"ngc1_{k}.txt").write_text(f"1 3 {k}\n3 3 {k}.5\n")
    data = read_inputs([tmp_path / "ngc1_1.txt", tmp_path / "ngc1_2.txt"], {"name": "w"})
    assert data.objects == ("ngc1",)
    assert data.x[:, 0].tolist() == [1.0, 1.5, 2.0, 2.5]
    np.testing.assert_allclose(data.weights, [1 / 8, 3 / 8, 1 / 8, 3 / 8])
    assert any("chains of one object are taken together: ngc1" in note for note in data.notes)


def test_units_of_tables_of_one_object_that_differ(tmp_path: Path) -> None:
    for k, unit, x in ((1, "keV", [1.0, 2.0]), (2, "eV", [3000.0, 4000.0])):
        Table({"kT": x * u.Unit(unit)}).write(tmp_path / f"{k}.fits")
    data = read_inputs([tmp_path / "1.fits", tmp_path / "2.fits"], {"name": "kT"})
    np.testing.assert_allclose(data.x[:, 0], [1, 2, 3, 4])
    assert any("converted to 'keV'" in note for note in data.notes)


def test_columns_of_one_object_that_are_no_numbers(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("x,y\n1,2\n2,oops\n")
    with pytest.raises(pyxstan.DataError, match=r"1.csv: line 3: y is 'oops'"):
        PosteriorSamples.from_files([tmp_path / "1.csv"], "y")
    Table({"kT": [1 + 1j, 2]}).write(tmp_path / "1.fits")
    with pytest.raises(pyxstan.DataError, match=r"1.fits: column 'kT' is complex128"):
        PosteriorSamples.from_files([tmp_path / "1.fits"], "kT")


@pytest.mark.parametrize("priors", ["flat", "[1]"])
def test_attributes_of_another_program_are_not_ours(priors: str, tmp_path: Path) -> None:
    posterior = xr.Dataset({"a": (("chain", "draw"), np.arange(8.0).reshape(2, 4))})
    xr.Dataset(attrs={"model": "tbabs*po", "priors": priors}).to_netcdf(tmp_path / "1.nc")
    posterior.to_netcdf(tmp_path / "1.nc", mode="a", group="posterior")
    assert PosteriorSamples.from_netcdf(tmp_path / "1.nc", "a").sizes.tolist() == [8]


def test_odd_files_of_one_object_are_refused_in_one_line(tmp_path: Path) -> None:
    bare = multinest(tmp_path / "m")
    for text in ('["a", b]', '{"a": 1}', "5"):
        (tmp_path / "m" / "params.json").write_text(text)
        with pytest.raises(pyxstan.DataError, match=r"params.json: not a list of names"):
            read_inputs([bare], {"name": "PhoIndex"})
    result = {"posterior": {"content": {"a": [1.0, 2.0], "b": [1.0]}}}
    (tmp_path / "r.json").write_text(json.dumps(result))
    with pytest.raises(pyxstan.DataError, match=r"r.json: samples: 2 of a, 1 of b"):
        read_inputs([tmp_path / "r.json"], {"name": "a,b"})
    for name in ("weights", "logwt"):
        files = [tmp_path / f"{k}.csv" for k in (1, 2)]
        for file in files:
            file.write_text(f"index,{name}\n1.5,1\n1.6,3\n")
        with pytest.raises(pyxstan.DataError, match=f"1.csv: column '{name}' looks like weights"):
            read_inputs(files, {"name": "index"})


def test_a_result_of_3ml_is_named(tmp_path: Path) -> None:
    """Its rows are parameters, not samples."""
    columns = {"NAME": ["K", "index"], "VALUE": [1.0, -2.0], "SAMPLES": np.zeros((2, 10))}
    Table(columns).write(tmp_path / "fit.fits")
    with pytest.raises(pyxstan.DataError, match=r"fit.fits: a result of 3ML is not read"):
        read_inputs([tmp_path / "fit.fits"], {"name": "VALUE"})


def test_tables_as_other_programs_write_them(tmp_path: Path) -> None:
    """OBJECT in capitals, a DataFrame's index, and what holds no samples at all."""
    frame = pd.DataFrame({"OBJECT": ["a", "a", "b"], "gamma": [1.0, 2.0, 3.0]})
    Table.from_pandas(frame).write(tmp_path / "all.fits")
    frame.to_csv(tmp_path / "all.csv")
    for name in ("all.fits", "all.csv"):
        data = read_inputs([tmp_path / name], {"name": "gamma"})
        assert objects(data) == {"a": [1.0, 2.0], "b": [3.0]}
    folder = tmp_path / "each"
    folder.mkdir()
    for name, column in (("a", [1.0, 2.0]), ("b", [3.0, 4.0])):
        pd.DataFrame({"gamma": column}).to_csv(folder / f"{name}.csv")
    assert objects(read_inputs([folder], {})) == {"a": [1.0, 2.0], "b": [3.0, 4.0]}
    (tmp_path / "arrays").mkdir()
    for column, said in (
        ({"name": ["x", "y"]}, "arrays: no column of samples, expected numbers"),
        ({}, "a.fits: no column of one plain value a row"),
    ):
        table = Table({"gamma": np.ones((2, 3)), **column})
        table.write(tmp_path / "arrays" / "a.fits", overwrite=True)
        with pytest.raises(pyxstan.DataError, match=said):
            read_inputs([tmp_path / "arrays"], {})


def test_estimates_with_errors_are_no_samples(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("object,gamma,gamma_err,z\na,1.9,0.1,0.2\nb,2.1,0.1,0.3\n")
    with pytest.raises(pyxstan.DataError, match="estimates with errors, expected samples: draw"):
        read_inputs([path], {"name": "gamma"})
    path.write_text("object,gamma,z\na,1.9,0.2\nb,2.1,0.3\n")
    assert objects(read_inputs([path], {"name": "gamma"})) == {"a": [1.9], "b": [2.1]}
