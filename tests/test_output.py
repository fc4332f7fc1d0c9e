"""What was computed is written where it belongs, or kept elsewhere: never lost without need."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pyxstan.errors import DataError, OutputError
from pyxstan.output import check_directory, check_room, check_writable, deliver, replacing

PYXSTAN = [sys.executable, "-m", "pyxstan"]
TABLE = "instrument,source,log_flux,sigma\npn,A,1.01,0.02\nMOS1,A,1.03,0.02\nMOS2,A,1.00,0.02\n"


def write(path: Path) -> None:
    with replacing(path) as temporary:
        temporary.write_text("the result")


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def test_a_result_is_kept_when_its_folder_is_gone(elsewhere: Path, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    out = folder / "out.nc"
    check_writable(out)
    check_room(out.parent)
    shutil.rmtree(folder)
    with pytest.raises(OutputError, match=r"out.nc: its folder .* does not exist; the ") as caught:
        deliver(out, write)
    assert caught.value.exit_code == 3
    kept = Path(re.findall(r"kept in (\S+)$", str(caught.value))[0])
    assert kept.is_relative_to(elsewhere)
    assert kept.read_text() == "the result"


def test_a_result_that_can_be_kept_nowhere(elsewhere: Path, tmp_path: Path) -> None:
    def fails(path: Path) -> None:
        raise OSError(28, "No space left on device", str(path))

    with pytest.raises(OutputError, match=r"out.nc: not written \(No space.*, nor in .*lost$"):
        deliver(tmp_path / "out.nc", fails)
    assert list(elsewhere.iterdir()) == []


def test_temporary_names_can_not_be_foreseen(tmp_path: Path) -> None:
    names = set()
    for _ in range(2):
        with replacing(tmp_path / "out.nc") as temporary:
            temporary.write_text("x")
            names.add(temporary.parent)
            assert temporary.parent.stat().st_mode & 0o77 == 0
    assert len(names) == 2
    assert [file.name for file in tmp_path.iterdir()] == ["out.nc"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "real.nc").write_text("old")
    (tmp_path / "link.nc").symlink_to("real.nc")
    write(tmp_path / "link.nc")
    assert (tmp_path / "link.nc").is_symlink()
    assert (tmp_path / "real.nc").read_text() == "the result"


def test_files_get_the_mode_that_others_have(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write(tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(sys.platform != "linux", reason="the full device is Linux's")
def test_folders_that_can_not_be_written_to(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can't be written"):
        check_room(Path("/proc"))
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="can't be made a folder"):
        check_directory(tmp_path / "file" / "below")
    check_room(tmp_path / "not" / "yet" / "there")
    assert [file.name for file in tmp_path.iterdir()] == ["file"]


def fit(tmp_path: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "table.csv").write_text(TABLE)
    return subprocess.run(
        [*PYXSTAN, "fit", "concordance", "table.csv", "--set=tau=0.05", "--quiet", "-o", "out.nc"],
        cwd=tmp_path,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_a_home_that_can_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("no folder at all")
    home = str(tmp_path / "home")
    done = fit(tmp_path, HOME=home, XDG_CACHE_HOME=f"{home}/cache")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.nc").exists()


@pytest.mark.parametrize("words", [["--help"], ["list"], ["describe", "beta"]])
def test_output_that_nobody_reads(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([*PYXSTAN, *words], stdout=writing, stderr=subprocess.PIPE, text=True)
    os.close(writing)
    assert done.returncode == -signal.SIGPIPE
    assert done.stderr == ""
