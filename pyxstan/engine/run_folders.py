"""Temporary folders of runs, gone when the run is over, and swept away if it was killed.

Whoever runs holds the lock of a file in his folder, a lock of the operating system that dies with
the process.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyxstan.errors import SamplingError

_PREFIX = "pyxstan-run-"
_LOCK = "lock"


@contextmanager
def run_folder() -> Iterator[Path]:
    """Make a folder for a run; what runs that were killed left is removed.

    Raises
    ------
    SamplingError
        The temporary folder's disk is full, or it can't be written to.
    """
    from filelock import FileLock

    folder: Path | None = None
    try:
        sweep()
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with FileLock(folder / _LOCK):
            yield folder
    except OSError as error:
        place = error.filename or folder or "temporary files"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT) or folder is None
        remedy = "; set TMPDIR to a folder with room" if full else ""
        raise SamplingError(f"{place}: {error.strerror or error}{remedy}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def sweep() -> int:
    """Remove the folders of runs that were killed; return how many."""
    from filelock import FileLock, Timeout

    removed = 0
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError, Timeout):
            status = folder.lstat()
            lock = folder / _LOCK
            if folder.is_symlink() or status.st_uid != os.getuid() or not lock.is_file():
                continue
            with FileLock(lock, timeout=0):
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed
