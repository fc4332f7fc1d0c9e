"""The cache under stress: many processes, killed builds, full disks, broken files."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import flip_a_byte

from pyxstan.engine.build import build, find
from pyxstan.engine.cache import Cache, cache_dir
from pyxstan.engine.compilation import available_cores
from pyxstan.engine.doctor import COIN
from pyxstan.engine.executable import info_problem
from pyxstan.errors import BuildError

#: Far longer than anything here takes, short enough to end a test that hangs.
PATIENCE = 120.0


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Whether a process has ended; one that only waits to be reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def staged(cache: Path) -> list[Path]:
    return list((cache / "staging").iterdir())


# Many processes


def model_objects(cache: Path) -> list[Path]:
    return list((cache / "objects").glob("model-*.o"))


def test_eight_processes_build_once(
    seeded_cache: Path,
    compiler_script: Callable[[str], Path],
    building: list[str],
    tmp_path: Path,
) -> None:
    for file in model_objects(seeded_cache):
        flip_a_byte(file)  # is seen, and compiled again
    log = tmp_path / "log"
    compiler_script(f'echo "$*" >> "{log}"\nexec "$REAL" "$@"')
    processes = [
        subprocess.Popen(building, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(8)
    ]
    answers = [process.communicate(timeout=PATIENCE) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    assert {out.strip() for out, _ in answers} == {str(find(COIN))}
    assert all(err.count("waiting for another process") <= 1 for _, err in answers)
    commands = log.read_text().splitlines()
    compiled = [line.rpartition("/")[2] for line in commands if " -c " in line]
    assert len(compiled) == 1
    assert len(commands) == 2
    assert staged(seeded_cache) == []


def test_waiting_is_told_once_and_ends(seeded_cache: Path) -> None:
    build(COIN)
    executable = find(COIN)
    assert executable is not None
    executable.unlink()
    messages: list[str] = []
    result: list[Path] = []
    with Cache.current().lock(executable.parent.name):
        thread = threading.Thread(target=lambda: result.append(build(COIN, notify=messages.append)))
        thread.start()
        until(lambda: bool(messages))
        time.sleep(0.3)
        assert len(messages) == 1
        assert "waiting for another process" in messages[0]
    thread.join(PATIENCE)
    assert result == [executable]


def test_what_another_process_compiles_is_waited_for_last(
    seeded_cache: Path, compiler_script: Callable[[str], Path], tmp_path: Path
) -> None:
    objects, saved, log = seeded_cache / "objects", tmp_path / "saved", tmp_path / "log"
    shutil.copytree(objects, saved)
    mains = list(objects.glob("main-*.o"))
    for file in (*mains, *model_objects(seeded_cache)):
        file.unlink()
    compiler_script(
        f'case "$*" in *" -c "*) for last; do :; done; last=$(basename "$last"); echo "$last" >> '
        f'"{log}"; for to; do :; done; exec cp "{saved}/$last" "$to";; esac\nexec "$REAL" "$@"'
    )
    messages: list[str] = []
    with ExitStack() as held:
        for main in mains:
            held.enter_context(Cache.current().lock(main.stem))
        thread = threading.Thread(target=lambda: build(COIN, notify=messages.append))
        thread.start()
        until(lambda: any("waiting for another process" in line for line in messages))
        (compiled,) = log.read_text().splitlines()
        assert compiled.startswith("model-")
    thread.join(PATIENCE)
    first, second = log.read_text().splitlines()
    assert first == compiled
    assert second in [main.name for main in mains]
    assert find(COIN) is not None


# Builds that are killed or interrupted


@pytest.fixture
def stuck_build(
    seeded_cache: Path,
    compiler_script: Callable[[str], Path],
    building: list[str],
    tmp_path: Path,
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A build whose compiler hangs in the middle of its work, and that compiler's child."""
    started = tmp_path / "started"
    compiler_script(f'sleep 600 & echo $! > "{started}.tmp"; mv "{started}.tmp" "{started}"; wait')
    process = subprocess.Popen(building, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until(started.exists)
    assert len(staged(seeded_cache)) == 1
    yield process, int(started.read_text())
    process.kill()
    process.wait()


def test_killed_build_leaves_no_compiler_and_blocks_nobody(
    stuck_build: tuple[subprocess.Popen[bytes], int],
    seeded_cache: Path,
    compiler_script: Callable[[str], Path],
) -> None:
    process, compiler = stuck_build
    process.kill()
    process.wait()
    until(lambda: gone(compiler))
    assert len(staged(seeded_cache)) == 1
    assert find(COIN) is None
    compiler_script('exec "$REAL" "$@"')
    assert info_problem(build(COIN)) is None
    assert staged(seeded_cache) == []


def test_leftovers_of_other_programs_are_swept(
    stuck_build: tuple[subprocess.Popen[bytes], int], seeded_cache: Path
) -> None:
    process, _ = stuck_build
    cache = Cache.current()
    with cache.lock("other"), cache.staging("other") as mine:
        assert len(staged(seeded_cache)) == 2  # The running build's is not touched.
        process.kill()
        process.wait()
        with cache.lock("third"), cache.staging("third") as third:
            assert sorted(staged(seeded_cache)) == sorted([mine, third])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_build_leaves_nothing(
    number: signal.Signals,
    stuck_build: tuple[subprocess.Popen[bytes], int],
    seeded_cache: Path,
) -> None:
    process, compiler = stuck_build
    process.send_signal(number)
    assert process.wait(PATIENCE) != 0
    until(lambda: gone(compiler))
    if number == signal.SIGINT:
        assert staged(seeded_cache) == []
    assert find(COIN) is None


def test_interrupt_while_units_compile(
    fresh_cache: Path,
    compiler_script: Callable[[str], Path],
    building: list[str],
    tmp_path: Path,
) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    compiler_script(f'echo > "{pids}/$$"; exec sleep 600')
    process = subprocess.Popen(building, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until(lambda: len(list(pids.iterdir())) == min(2, available_cores()))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in said
    until(lambda: all(gone(int(file.name)) for file in pids.iterdir()))
    assert staged(fresh_cache) == []
    assert list((fresh_cache / "objects").glob("*")) == [] or not fresh_cache.exists()


def test_first_failure_ends_the_other_compilers(
    fresh_cache: Path,
    compiler_script: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("pyxstan.engine.compilation.available_cores", lambda: 2)
    started = tmp_path / "started"
    compiler_script(
        f'case "$*" in *sample_diag_e.cpp*) echo $$ > "{started}"; exec sleep 600;; esac\n'
        f'while [ ! -s "{started}" ]; do sleep 0.1; done; echo "error: first" >&2; exit 1'
    )
    with pytest.raises(BuildError, match="error: first"):
        build(COIN)
    until(lambda: gone(int(started.read_text())))
    assert staged(fresh_cache) == []


# Files that are broken


def test_truncated_executable_is_built_again(seeded_cache: Path) -> None:
    executable = build(COIN)
    size = executable.stat().st_size
    os.truncate(executable, size // 2)
    assert find(COIN) is None
    assert build(COIN) == executable
    assert executable.stat().st_size == size
    assert info_problem(executable) is None


def test_foreign_executable_is_built_again(seeded_cache: Path) -> None:
    executable = build(COIN)
    executable.write_bytes(b"\x7fELF" + bytes(executable.stat().st_size - 4))
    assert info_problem(executable) is not None
    assert find(COIN) is None
    assert build(COIN) == executable
    assert info_problem(executable) is None


def test_moved_executable_is_asked_and_trusted(
    seeded_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executable = build(COIN)
    moved = seeded_cache.with_name("moved")
    shutil.copytree(seeded_cache, moved, copy_function=shutil.copyfile)
    copied = moved / executable.relative_to(seeded_cache)
    monkeypatch.setenv("PYXSTAN_CACHE", str(moved))
    assert find(COIN) is None  # Copied without its permission to run.
    copied.chmod(0o755)
    assert find(COIN) == copied


@pytest.mark.parametrize("what", ["record", "library"])
def test_lost_part_is_made_again(what: str, seeded_cache: Path) -> None:
    executable = build(COIN)
    if what == "record":
        executable.with_name(f"{executable.name}.json").write_text('{"units": 3')
    else:
        shutil.rmtree(seeded_cache / "lib")
    assert find(COIN) is None
    assert build(COIN) == executable
    assert info_problem(executable) is None


# Disks


def test_cache_cannot_be_written(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setenv("PYXSTAN_CACHE", str(file / "cache"))
    with pytest.raises(BuildError, match=r"cannot write in .*not a directory.*PYXSTAN_CACHE"):
        build(COIN)
    assert file.read_text() == ""


@pytest.fixture
def small_disk(coin: Path, cache: Path, tmp_path: Path) -> Iterator[Path]:
    """A file system of half a megabyte with a cache that lacks but the executable."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=512k,mode=755", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk takes a privileged user")
    (disk / "objects").symlink_to(cache / "objects")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_full_disk(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYXSTAN_CACHE", str(small_disk))
    with pytest.raises(BuildError, match=f"no space left on the disk of {small_disk}") as caught:
        build(COIN)
    assert "\n" not in str(caught.value)
    assert staged(small_disk) == []
    assert find(COIN) is None
    subprocess.run(["mount", "-o", "remount,size=256m", str(small_disk)], check=True)
    assert info_problem(build(COIN)) is None


def test_disk_full_before_the_first_file(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYXSTAN_CACHE", str(small_disk))
    (small_disk / "ballast").write_bytes(bytes(400 * 1024))
    with pytest.raises(BuildError, match=f"no space left on the disk of {small_disk}"):
        build(COIN)


# Where it is


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYXSTAN_CACHE", "~/stan")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_dir() == tmp_path / "stan"
    monkeypatch.delenv("PYXSTAN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_dir().is_relative_to(tmp_path)
    assert cache_dir().name == "pyxstan"
