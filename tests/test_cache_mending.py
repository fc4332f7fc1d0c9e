"""A damaged cache mends itself, one that others can write to is refused; it can be pruned."""

from __future__ import annotations

import grp
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import flip_a_byte

from pyxstan.engine import pruning, run_folders, sampling
from pyxstan.engine.build import StanProgram, build, find
from pyxstan.engine.cache import Cache, cache_dir
from pyxstan.engine.doctor import COIN, COIN_DATA, diagnose
from pyxstan.engine.executable import info_problem
from pyxstan.errors import BuildError, SamplingError


def draws(executable: Path) -> sampling.Draws:
    return sampling.run(executable, COIN_DATA, chains=1, warmup=100, draws=100, seed=1)


# Damage


def test_flipped_byte_in_an_executable(seeded_cache: Path) -> None:
    executable = build(COIN)
    whole = executable.read_bytes()
    flip_a_byte(executable)
    assert find(COIN) is None
    assert build(COIN).read_bytes() == whole


def test_folders_in_the_place_of_files(seeded_cache: Path) -> None:
    executable = build(COIN)
    for file in (executable, executable.with_name(f"{executable.name}.json")):
        file.unlink()
        file.mkdir()
        assert find(COIN) is None
        assert info_problem(build(COIN)) is None
        assert file.is_file()


def test_damaged_library(seeded_cache: Path) -> None:
    build(COIN)
    (library,) = (file for file in (seeded_cache / "lib").rglob("*") if file.is_file())
    whole = library.read_bytes()
    os.truncate(library, len(whole) // 2)
    assert find(COIN) is None
    assert info_problem(build(COIN)) is None
    assert library.read_bytes() == whole


def test_executable_that_crashes_is_built_anew(seeded_cache: Path, tmp_path: Path) -> None:
    crashing = tmp_path / "coin"
    crashing.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crashing.chmod(0o755)
    built = []

    def rebuild() -> Path:
        built.append(build(COIN))
        return built[-1]

    how = {"chains": 1, "warmup": 100, "draws": 100, "seed": 1}
    drawn = sampling.run_mended(crashing, rebuild, COIN_DATA, **how)
    assert drawn.variables["chance"].shape == (1, 100)
    assert len(built) == 1
    with pytest.raises(SamplingError):
        sampling.run_mended(crashing, lambda: crashing, COIN_DATA, **how)


# What is said


def said(executable: Path) -> str:
    with pytest.raises(SamplingError) as caught:
        draws(executable)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_executables_that_can_not_be_started(coin: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(coin, tmp_path / "coin"))
    copy.chmod(0o644)
    assert "lacks the permission to run" in said(copy)
    copy.unlink()
    assert f"the executable {copy} is gone" in said(copy)
    copy.write_text("no program at all")
    copy.chmod(0o755)
    assert "does not run" in said(copy)


@pytest.mark.parametrize(
    ("number", "words"),
    [
        ("KILL", "was killed (Killed; out of memory?)"),
        ("SEGV", "crashed (Segmentation fault) in evaluating the log density"),
        ("TERM", "was ended from outside (Terminated)"),
        ("ILL", "met an instruction that this processor lacks (Illegal instruction)"),
        ("XCPU", "used up its processor time"),
    ],
)
def test_signals_are_named(number: str, words: str, tmp_path: Path, coin: Path) -> None:
    script = tmp_path / "coin"
    script.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "info " ] && exec {coin} info\nkill -{number} $$\nsleep 10\n'
    )
    script.chmod(0o755)
    assert words in said(script)


def test_initialization_that_fails_tells_why(cache: Path, tmp_path: Path, coin: Path) -> None:
    script = tmp_path / "coin"
    script.write_text(
        f'#!/bin/sh\n[ "$1 $2" = "info " ] && exec {coin} info\n'
        "echo 'Rejecting initial value:'\n"
        "echo '  Error evaluating the log probability at the initial value.'\n"
        "echo 'Exception: normal_lpdf: Scale parameter is -1, but must be positive!'\n"
        "echo 'Initialization between (-2, 2) failed after 1 attempts. '\n"
        "echo ' Try specifying initial values.'\n"
        "echo 'Initialization failed.'\nexit 1\n"
    )
    script.chmod(0o755)
    assert "Initialization failed: Exception: normal_lpdf: Scale parameter is -1" in said(script)


# Places


def test_places_of_the_cache_that_can_not_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYXSTAN_CACHE", "~nobody-of-this-name/cache")
    with pytest.raises(BuildError, match="PYXSTAN_CACHE=~nobody-of-this-name/cache"):
        cache_dir()
    monkeypatch.setenv("PYXSTAN_CACHE", str(tmp_path / ("x" * 300)))
    with pytest.raises(BuildError, match="name too long"):
        build(COIN)
    monkeypatch.delenv("PYXSTAN_CACHE")
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("~/.cache") / name)
    with pytest.raises(BuildError, match=r"no home folder.*PYXSTAN_CACHE"):
        cache_dir()


def test_commas_in_folders(
    seeded_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    moved = tmp_path / "a,b" / "cache"
    moved.parent.mkdir()
    seeded_cache.rename(moved)
    monkeypatch.setenv("PYXSTAN_CACHE", str(moved))
    (tmp_path / "t,m,p").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t,m,p"))
    assert draws(build(COIN)).variables["chance"].shape == (1, 100)
    shared = tmp_path / "x,y"
    shared.mkdir()
    (shared / "more.stan").write_text("wrong\n")
    (tmp_path / "p.stan").write_text("functions {\n#include more.stan\n}\n")
    with pytest.raises(BuildError, match=r"'.*more.stan', line 1"):  # found, and refused
        build(StanProgram(tmp_path / "p.stan", (shared,)))


def test_a_cache_that_others_can_write_to(seeded_cache: Path) -> None:
    executable = build(COIN)
    for path in (seeded_cache, executable.parent, executable):
        mode = path.stat().st_mode
        path.chmod(mode | 0o002)
        with pytest.raises(BuildError, match=f"{path}: others can write to it.*PYXSTAN_CACHE"):
            build(COIN)
        path.chmod(mode)
    assert build(COIN) == executable


def test_a_group_is_trusted_if_it_is_the_owners_alone(
    seeded_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = build(COIN)
    record = executable.with_name(f"{executable.name}.json")
    group = SimpleNamespace(gr_name="astro", gr_mem=["me"])
    monkeypatch.setattr(grp, "getgrgid", lambda gid: group)
    monkeypatch.setattr(pwd, "getpwuid", lambda uid: SimpleNamespace(pw_name="me"))
    seeded_cache.chmod(0o775)
    with pytest.raises(BuildError, match="others of its group, astro, can write to it"):
        build(COIN)
    group.gr_name = "me"
    assert build(COIN) == executable
    group.gr_mem = ["me", "another"]
    with pytest.raises(BuildError, match="can write to it"):
        build(COIN)
    seeded_cache.chmod(0o755)
    record.chmod(0o664)  # of an older build: linked again, and then it is nobody else's
    assert build(COIN) == executable
    assert record.stat().st_mode & 0o022 == 0


def test_what_is_built_nobody_else_can_write_to(seeded_cache: Path) -> None:
    shutil.rmtree(seeded_cache / "objects" / "none", ignore_errors=True)
    before = os.umask(0)
    try:
        executable = build(COIN)
    finally:
        os.umask(before)
    record = executable.with_name(f"{executable.name}.json")
    for path in (executable, record, *executable.parents[:2], seeded_cache / "lib"):
        assert path.stat().st_mode & 0o022 == 0, path


def test_doctor_of_a_cache_that_is_read_only_but_works(
    coin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Cache, name: str) -> Path:
        raise BuildError("cannot write")

    monkeypatch.setattr(Cache, "folder", refuse)
    checks = {check.name: check for check in diagnose()}
    assert checks["cache"].state == "warn"
    assert "read-only" in checks["cache"].detail
    assert checks["test fit"].state == "ok"


# What is left behind


def test_folders_of_killed_runs_are_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    program = (
        "import os, tempfile\nfrom pyxstan.engine.run_folders import run_folder\n"
        f"tempfile.tempdir = {str(tmp_path)!r}\n"
        "with run_folder() as folder:\n    (folder / 'big').write_text('x')\n    os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=False)
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "lock").write_text("")
    (tmp_path / "pyxstan-run-link").symlink_to(tmp_path / "target")
    assert len(list(tmp_path.glob("pyxstan-run-*"))) == 2
    with run_folders.run_folder() as mine:
        assert sorted(tmp_path.glob("pyxstan-run-*")) == sorted(
            [mine, tmp_path / "pyxstan-run-link"]
        )
        assert run_folders.sweep() == 0
        assert mine.exists()
    assert (tmp_path / "target" / "lock").exists()


def test_a_folder_that_is_swept_before_it_is_locked_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    swept: list[str] = []
    make = tempfile.mkdtemp

    def made(**options: Any) -> str:
        folder = make(**options)
        if len(swept) < 2:
            swept.append(folder)
            shutil.rmtree(folder)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    with run_folders.run_folder() as mine:
        assert (mine / "lock").is_file()
        assert str(mine) not in swept
        assert run_folders.sweep() == 0
    assert len(swept) == 2
    assert not mine.exists()


def test_a_file_system_of_one_mode_for_all_folders_is_no_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    make, count = tempfile.mkdtemp, 0

    def made(**options: Any) -> str:
        nonlocal count
        count += 1
        assert count == 1
        folder = make(**options)
        Path(folder).chmod(0o777)
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", made)
    with run_folders.run_folder() as mine:
        assert (mine / "lock").is_file()


def test_pruning(seeded_cache: Path) -> None:
    executable = build(COIN)
    unused = seeded_cache / "programs" / "0123-4567"
    unused.mkdir()
    (unused / "old").write_bytes(bytes(1000))
    (seeded_cache / "objects" / "model-0.o").write_bytes(bytes(1000))
    for name, days in (("old", 30), ("new", 0)):
        (seeded_cache / "failed" / name).mkdir(parents=True)
        moment = time.time() - 86400 * days
        os.utime(seeded_cache / "failed" / name, (moment, moment))
    for name in ("programs", "failed", "staging"):
        stray = seeded_cache / name / "stray.txt"
        stray.parent.mkdir(exist_ok=True)
        stray.write_text("not a folder")
        os.utime(stray, (0, 0))
    (seeded_cache / "objects" / "stray").mkdir()
    (seeded_cache / "programs" / "link").symlink_to(seeded_cache / "failed" / "new")
    cache = Cache.current()
    assert pruning.sizes(cache)["programs"][0] == 4
    assert pruning.prune(cache, [COIN]) > 1500
    assert pruning.sizes(cache)["programs"][0] == 1
    assert find(COIN) == executable
    assert not (seeded_cache / "objects" / "model-0.o").exists()
    assert [file.name for file in (seeded_cache / "failed").iterdir()] == ["new"]
    assert not list((seeded_cache / "staging").iterdir())
    assert not (seeded_cache / "objects" / "stray").exists()
    executable.unlink()
    assert build(COIN) == executable  # by a link: its objects are there


def test_the_command(seeded_cache: Path) -> None:
    command = [sys.executable, "-m", "pyxstan", "cache"]
    for more in ([], ["--prune"]):
        done = subprocess.run([*command, *more], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[0] == str(seeded_cache)
        assert re.search(r"^objects +\d+ +\d+\.\d MB$", done.stdout, re.M)
