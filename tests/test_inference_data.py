"""Results on disk: what is written comes back, and what is no result is refused by name."""

from __future__ import annotations

import errno
import importlib
import json
import shutil
from collections import namedtuple
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from invocation import run

from pyxstan import DataError, inference_data
from pyxstan.inference_data import assemble, attributes, group, group_names, read, write

ATTRS = {
    "model": "concordance",
    "method": "nuts",
    "seed": 4_294_967_295,
    "sampling_time_s": 0.125,
    "options": json.dumps({"tau": None, "label": "Crab, 2–10 keV"}),
}


def datasets() -> dict[str, xr.Dataset]:
    """Groups with what a model may have: labels, units, whole numbers, truths, gaps, no dims."""
    rng = np.random.default_rng(1)
    chains = {"chain": np.arange(2), "draw": np.arange(5)}
    coords = {**chains, "instrument": np.array(["pn", "MOS–1", "naïve label"])}
    B = rng.normal(size=(2, 5, 3))
    return {
        "posterior": xr.Dataset(
            {
                "B": (("chain", "draw", "instrument"), B, {"units": "", "beside": "weight"}),
                "nu": (("chain", "draw"), rng.normal(size=(2, 5)), {"units": "erg / (s cm2)"}),
            },
            coords=coords,
        ),
        "sample_stats": xr.Dataset(
            {
                "diverging": (("chain", "draw"), B[..., 0] > 0),
                "n_steps": (("chain", "draw"), np.arange(10).reshape(2, 5)),
            },
            coords=chains,
            attrs={"adapted_step_size": [0.5, 0.25]},
        ),
        "constant_data": xr.Dataset(
            {"tau": ("instrument", [0.05, np.nan, 0.1]), "one": ((), 1.5)},
            coords={"instrument": coords["instrument"]},
        ),
    }


def made(attrs: Mapping[Any, Any] = ATTRS, **groups: xr.Dataset) -> Any:
    return assemble(groups or datasets(), attrs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "out.nc"


def test_arviz_is_imported_where_another_process_does_so_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its notice of the day is noted in a file, which the other process moves away."""
    real, tries = importlib.import_module, []

    def imported(name: str) -> Any:
        tries.append(name)
        if len(tries) == 1:
            raise FileNotFoundError("daily_warning.tmp")
        return real(name)

    monkeypatch.setattr(importlib, "import_module", imported)
    inference_data.arviz.cache_clear()  # tests before have imported it
    assert inference_data.arviz().__name__ == "arviz"
    assert tries[:2] == ["arviz", "arviz"]


def test_groups_and_attributes() -> None:
    idata = made()
    assert set(group_names(idata)) == set(datasets())
    assert attributes(idata) == ATTRS
    for name, dataset in datasets().items():
        xr.testing.assert_identical(group(idata, name), dataset)
    with pytest.raises(DataError, match="no group 'prior'"):
        group(idata, "prior")


@pytest.mark.parametrize("what", [None, 3, {"posterior": 1}, xr.Dataset()])
def test_what_fit_did_not_return(what: Any) -> None:
    for call in (group_names, attributes):
        with pytest.raises(DataError, match=f"expected what pyxstan.fit .*{type(what).__name__}"):
            call(what)


def test_round_trip(path: Path) -> None:
    write(made(), path)
    back = read(path)
    assert set(group_names(back)) == set(datasets())
    told = attributes(back)
    assert {key: told[key] for key in ATTRS} == ATTRS
    for name, dataset in datasets().items():
        there = group(back, name)
        xr.testing.assert_equal(there, dataset)
        for variable, values in dataset.variables.items():
            assert there[variable].attrs == values.attrs
            assert there[variable].dtype.kind == values.dtype.kind
    steps = group(back, "sample_stats").attrs["adapted_step_size"]
    np.testing.assert_array_equal(steps, [0.5, 0.25])


def test_the_file_is_what_xarray_writes(path: Path, tmp_path: Path) -> None:
    posterior = datasets()["posterior"].assign(
        name=("instrument", np.array(["a", "", "ä"], dtype=object)),
        count=("bin", np.arange(3, dtype=np.uint8)),  # a dimension without coordinates
        nothing=("none", np.empty(0)),
    )
    many = {f"number {k}": np.float32(k) for k in range(20)}
    posterior.attrs |= {"flags": [1, 2], "names": ["a", "b"], "empty": "", **many}
    idata = made(**{**datasets(), "posterior": posterior})
    write(idata, path)
    idata.to_netcdf(str(tmp_path / "xarray.nc"), engine="h5netcdf")
    for name in datasets():
        there, wanted = (group(read(p), name) for p in (path, tmp_path / "xarray.nc"))
        xr.testing.assert_identical(there, wanted)
        for variable, values in wanted.variables.items():
            assert there[variable].dtype == values.dtype
            assert there[variable].dims == values.dims
    assert attributes(read(path)) == attributes(read(tmp_path / "xarray.nc"))


@pytest.mark.parametrize("wrong", [{"a": 1}, None, 1j])
def test_attributes_that_netcdf_has_not(wrong: Any, path: Path) -> None:
    with pytest.raises(DataError, match=r"attribute 'mine' of '/' is a .*: netCDF has text and"):
        write(made({**ATTRS, "mine": wrong}), path)


def test_a_path_may_be_text(path: Path) -> None:
    write(made(), path)
    assert attributes(read(str(path)))["model"] == "concordance"


def test_read_and_written_again(path: Path) -> None:
    write(made(), path)
    again = path.with_name("again.nc")
    write(read(path), again)
    for name, dataset in datasets().items():
        xr.testing.assert_equal(group(read(again), name), dataset)


def test_an_earlier_result_is_replaced(path: Path) -> None:
    path.write_bytes(b"x" * 10_000_000)
    write(made(), path)
    assert path.stat().st_size < 1_000_000
    assert attributes(read(path))["model"] == "concordance"


NO_RESULTS = {
    "missing": (None, "no such file"),
    "empty": (b"", "not a netCDF file of a fit"),
    "text": (b"instrument,source,log_flux\n", "not a netCDF file of a fit"),
    "damaged": (b"\x89HDF\r\n\x1a\n" + b"\0" * 500, "not a netCDF file of a fit"),
}


@pytest.mark.parametrize("name", NO_RESULTS)
def test_not_a_result(name: str, path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, words = NO_RESULTS[name]
    if content is not None:
        path.write_bytes(content)
    refused(path, words, capsys)


def test_a_result_cut_short(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(made(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    refused(path, "not a netCDF file of a fit", capsys)


def test_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(tmp_path, "no such file", capsys)


@pytest.mark.parametrize("lacks", ["model", "posterior", "both"])
def test_netcdf_of_somebody_else(
    lacks: str, path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    attrs = {} if lacks != "posterior" else ATTRS
    groups = datasets()
    if lacks != "model":
        del groups["posterior"]
    write(made(attrs, **groups), path)
    refused(path, "not a result of pyxstan (no posterior or no model name)", capsys)


def refused(path: Path, words: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`read` and the command line both refuse the file, by name and with these words."""
    with pytest.raises(DataError) as raised:
        read(path)
    assert str(raised.value).startswith(f"{path}: {words}")
    outcome = run(["summary", path], capsys)
    assert outcome.status == 2
    assert outcome.out == ""
    assert outcome.complaint.startswith(f"{path}: {words}")


def test_a_full_disk_is_told_before_anything_is_written(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(b"the result of last week")
    usage = namedtuple("usage", "total used free")
    asked: list[Path] = []

    def full(folder: Path) -> Any:
        asked.append(Path(folder))
        return usage(10**9, 10**9 - 1000, 1000)

    monkeypatch.setattr(shutil, "disk_usage", full)
    with pytest.raises(OSError, match="No space left on device") as raised:
        write(made(), path)
    assert raised.value.errno == errno.ENOSPC
    assert raised.value.filename == str(path)
    assert asked == [path.parent]
    assert path.read_bytes() == b"the result of last week"


def test_the_room_asked_for_is_that_of_the_values(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A result that just does not fit is refused, one that just fits is written."""
    usage = namedtuple("usage", "total used free")
    size = sum(dataset.nbytes for dataset in datasets().values())
    for free, fits in ((size + 10_000, False), (2 * size + 2_000_000, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage(free, 0, free))
        if fits:
            write(made(), path)
            assert path.stat().st_size <= free
        else:
            with pytest.raises(OSError, match="No space left"):
                write(made(), path)
            assert not path.exists()


def test_full_disk_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table, out = tmp_path / "table.csv", tmp_path / "out.nc"
    table.write_text("instrument,source,log_flux,sigma\npn,A,1.01,0.02\nMOS1,A,1.03,0.02\n")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 0))
    outcome = run(["fit", "concordance", table, "--set=tau=0.05", "--quiet", "-o", out], capsys)
    assert outcome.status == 3
    assert outcome.complaint.startswith(f"{out}: not written (No space left on device), nor in ")
    assert outcome.complaint.endswith("the result is lost")
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_an_arviz_of_either_kind() -> None:
    idata = made()
    assert inference_data.uses_datatree() == isinstance(idata, xr.DataTree)
