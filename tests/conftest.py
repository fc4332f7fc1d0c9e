"""One cache of compiled programs for the whole session, and compilers to break on purpose.

Set ``PYXSTAN_CACHE`` to keep that cache from one session to the next.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from pyxstan import figures
from pyxstan.engine.build import build
from pyxstan.engine.doctor import COIN
from pyxstan.engine.toolchain import find_compiler
from pyxstan.inference_data import arviz


def pytest_configure(config: pytest.Config) -> None:
    """Set the cache that tests share: never the user's own, unless it is named on purpose.

    Set before worker processes start, so that they share it too.
    """
    if not os.environ.get("PYXSTAN_CACHE"):
        folder = tempfile.mkdtemp(prefix="pyxstan-tests-")
        os.environ["PYXSTAN_CACHE"] = folder
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw").removeprefix("gw")
    if not worker:
        arviz()  # gives its notice of the day, which in a test would be an error
    if worker and hasattr(os, "sched_setaffinity"):
        # a core each: workers that all compile don't ask for the cores of one another; one more
        # takes what the others leave idle
        cores = sorted(os.sched_getaffinity(0))
        if int(worker) < len(cores):
            os.sched_setaffinity(0, {cores[int(worker)]})


@pytest.fixture(scope="session")
def cache() -> Path:
    """The cache that tests share."""
    return Path(os.environ["PYXSTAN_CACHE"])


@pytest.fixture
def fresh_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    folder = tmp_path / "fresh cache"
    monkeypatch.setenv("PYXSTAN_CACHE", str(folder))
    return folder


@pytest.fixture
def blank_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write a blank figure in place of each, for tests of files and not of what they show."""
    write = figures._write
    monkeypatch.setattr(figures, "_write", lambda _, *file: write(figures.blank(1, 1, None), *file))


@pytest.fixture(scope="session")
def coin(cache: Path) -> Path:
    """The executable of the smallest program, in the shared cache."""
    return build(COIN)


@pytest.fixture
def seeded_cache(coin: Path, cache: Path, fresh_cache: Path) -> Path:
    """A cache with compiled objects but no executable: building the coin takes only a link."""
    shutil.copytree(cache / "objects", fresh_cache / "objects")
    return fresh_cache


def replace_compiler(patch: pytest.MonkeyPatch, folder: Path, lines: str) -> Path:
    """Put a shell script in the compiler's place.

    It has the real one's name, and asked what it is it answers as that, ``$REAL``, so that what the
    cache holds is still valid; then it runs the given lines.
    """
    name = find_compiler().command[0]
    others = os.environ["PATH"].removeprefix(f"{folder}{os.pathsep}")
    real = shutil.which(name, path=others)
    script = folder / Path(name).name
    folder.mkdir(exist_ok=True)
    asked = 'case "$1" in -v|-dM) exec "$REAL" "$@";; esac'
    script.write_text(f'#!/bin/sh\nREAL="{real}"\n{asked}\n{lines}\n')
    script.chmod(0o755)
    patch.setenv("PATH", f"{folder}{os.pathsep}{others}")
    return script


@pytest.fixture
def compiler_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Put a shell script of the given lines in the compiler's place."""
    return partial(replace_compiler, monkeypatch, tmp_path / "bin")


@pytest.fixture
def building(tmp_path: Path) -> list[str]:
    """A command that builds the coin in a process of its own and prints the executable."""
    program = (
        "import sys; from pyxstan.engine.build import build; "
        "from pyxstan.engine.doctor import COIN; "
        "print(build(COIN, notify=lambda line: print(line, file=sys.stderr)))"
    )
    return [sys.executable, "-c", program]


def flip_a_byte(file: Path) -> None:
    """Damage a file, with its size and time as they were."""
    status = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(content)
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
