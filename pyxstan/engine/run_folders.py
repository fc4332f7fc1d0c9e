"""Temporary folders of runs, gone when the run is over, and swept away if it was killed.

Whoever runs holds the lock of a file in his folder, a lock of the operating system that dies with
the process.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pyxstan.errors import SamplingError

if TYPE_CHECKING:
    from filelock import BaseFileLock

_PREFIX = "pyxstan-run-"
_LOCK = "lock"
#: A folder without a lock for longer than this (s) was left by a killed process, too.
_JUST_MADE = 86400.0


@contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder for a run; what runs that were killed left is removed.

    Raises
    ------
    SamplingError
        The temporary folder's disk is full, or it can't be written to.
    """
    folder: Path | None = None
    try:
        sweep()
        folder, lock = _locked_folder()
        try:
            yield folder
        finally:
            lock.release()
    except OSError as error:
        place = error.filename or folder or "temporary files"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or folder is None
        remedy = "; set TMPDIR to a folder with room" if full else ""
        raise SamplingError(f"{place}: {error.strerror or error}{remedy}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder() -> tuple[Path, BaseFileLock]:
    """Make a folder and hold its lock; another process may sweep it before the lock is held."""
    from filelock import FileLock

    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        lock = FileLock(folder / _LOCK)
        try:
            made = folder.lstat()
            lock.acquire()  # makes the folder again, for all to read, if it is gone
            status = folder.lstat()
            # compared, as there are file systems where all folders have one owner and mode
            ours = made.st_uid == status.st_uid and made.st_mode == status.st_mode
            if ours and made.st_ino == status.st_ino and (folder / _LOCK).is_file():
                return folder, lock
            lock.release()
            if made.st_uid == status.st_uid:
                shutil.rmtree(folder, ignore_errors=True)
        except FileNotFoundError:
            continue


def sweep() -> int:
    """Remove the folders of runs that were killed; return how many."""
    from filelock import FileLock, Timeout

    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout):
            status = folder.lstat()
            lock = folder / _LOCK
            if folder.is_symlink() or status.st_uid != os.getuid():
                continue
            if not lock.is_file() and time.time() - status.st_mtime < _JUST_MADE:
                continue  # its lock is about to be made
            with FileLock(lock, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed
