"""What the cache of compiled programs holds, and how it is made smaller."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from pyxstan.engine import run_folders
from pyxstan.engine.build import in_use
from pyxstan.engine.cache import Cache, disk_errors, remove
from pyxstan.engine.program import StanProgram

#: Files of failed runs are kept this long for a look.
_DAYS_KEPT = 1
_FOLDERS = ("programs", "objects", "lib", "failed", "staging")


def sizes(cache: Cache) -> dict[str, tuple[int, int]]:
    """Count the entries of each folder of the cache, and their bytes."""
    found = {}
    for name in _FOLDERS:
        entries = _entries(cache.root / name)
        if name == "objects":
            entries = [entry for entry in entries if entry.suffix == ".o"]
        found[name] = (len(entries), _bytes(cache.root / name))
    return found


def prune(cache: Cache, programs: Iterable[StanProgram]) -> int:
    """Remove what no present program uses, old failures, and what killed processes left.

    Parameters
    ----------
    cache : Cache
        Where.
    programs : iterable of StanProgram
        The present programs: what they use, or would, stays. An object of another program is
        compiled again when that is needed.

    Returns
    -------
    int
        Bytes that are free now.

    Raises
    ------
    BuildError
        The cache can't be written to, or there is no compiler to tell what is in use.
    """
    before = _bytes(cache.root)
    used = in_use(programs)
    old = time.time() - _DAYS_KEPT * 86400
    run_folders.sweep()
    with disk_errors(cache.root), cache.lock("prune"), cache.staging("prune"):
        for entry in _entries(cache.root / "programs"):
            if entry not in used:
                remove(entry)
        for entry in _entries(cache.root / "objects"):
            if entry.with_suffix("" if entry.suffix == ".sha256" else entry.suffix) not in used:
                remove(entry)
        for entry in _entries(cache.root / "failed"):
            if entry.lstat().st_mtime < old:
                remove(entry)
    return before - _bytes(cache.root)


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _bytes(folder: Path) -> int:
    total = 0
    for file in folder.rglob("*"):
        with suppress(OSError):
            status = file.lstat()
            total += 0 if file.is_dir() else status.st_size
    return total
