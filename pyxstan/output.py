"""Writing results so that nothing is ever half written or lost.

A file is written beside its destination under a temporary name and renamed when it is whole.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyxstan.errors import DataError


def check_writable(path: Path) -> None:
    """Raise before any work is done if `path` can't be written later.

    Raises
    ------
    DataError
        `path` is a directory, or its folder is missing or can't be written to.
    """
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected the name of a file to write")
    folder = path.parent
    if not folder.is_dir():
        raise DataError(f"{path}: its folder {folder} does not exist")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise DataError(f"{path}: its folder can't be written to ({error.strerror})") from None


def prepare_directory(path: Path) -> Path:
    """Make a folder for results, or say why that can't be."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: can't be made a folder ({error.strerror})") from None
    check_writable(path / "x")
    return path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary name in `path`'s folder, renamed to `path` if the block succeeds.

    Raises
    ------
    DataError
        The file can't be written (a full disk, say); a file that was there before is unharmed.
    """
    check_writable(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"{path}: not written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)
