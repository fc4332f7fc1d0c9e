"""Writing results so that nothing is ever half written or lost.

A file is written beside its destination under a temporary name and renamed when it is whole.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyxstan.errors import DataError


def check_writable(path: Path) -> None:
    """Raise before any work is done if `path` can't be written later.

    Raises
    ------
    DataError
        `path` is a directory or a device, or its folder is missing or can't be written to.
    """
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected the name of a file to write")
    if path.exists() and not path.is_file():
        raise DataError(f"{path}: not an ordinary file, it would be replaced by one")
    if not path.parent.is_dir():
        raise DataError(f"{path}: its folder {path.parent} does not exist")
    temporary = _temporary(path)
    try:
        temporary.touch()
        temporary.unlink()
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror})") from None


def check_directory(path: Path) -> None:
    """Raise before any work is done if a folder can't be made (or written to) later.

    Raises
    ------
    DataError
        `path` or what it would lie in is not a folder, or can't be written to.
    """
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise DataError(f"{path}: can't be made a folder ({there} is a file)")
    check_writable(there / "x")


def prepare_directory(path: Path) -> Path:
    """Make a folder for results, or say why that can't be."""
    check_directory(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path}: can't be made a folder ({error.strerror})") from None
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
    temporary = _temporary(path)
    try:
        yield temporary
        temporary.replace(path.resolve())
    except OSError as error:
        raise DataError(f"{path}: not written ({error.strerror or error})") from error
    finally:
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> Path:
    """Name a file beside the one that `path` stands for, links followed."""
    final = path.resolve()
    return final.with_name(f".{final.name}.{os.getpid()}.part")
