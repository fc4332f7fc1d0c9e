"""Writing results so that nothing is ever half written or lost.

A file is written beside its destination under a temporary name and renamed when it is whole. A
result that took long and can't be written there after all is kept elsewhere.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pyxstan.errors import DataError, OutputError, PyxstanError

#: Less room than this on the disk of an output is found out before the work.
_LEAST_ROOM = 100_000


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
    final = path.resolve()
    try:
        handle, temporary = tempfile.mkstemp(".part", f".{final.name}.", final.parent)
        os.close(handle)
        Path(temporary).unlink()
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror})") from None


def check_room(folder: Path) -> None:
    """Raise before any work is done if the disk of a folder, there or yet to be made, is full.

    Raises
    ------
    DataError
        It is; names the folder.
    """
    there = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(bytes(_LEAST_ROOM))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DataError(f"{folder}: can't be written to ({error.strerror})") from None


def deliver(path: Path, save: Callable[[Path], None]) -> None:
    """Write a result; where that fails after all, keep it in another place, and say where.

    Parameters
    ----------
    path
        The file, or the folder, that is to be written.
    save
        Writes it under the name that it is given.

    Raises
    ------
    OutputError
        It is not where it belongs: the disk is full, or the folder was removed meanwhile.
    """
    try:
        save(path)
    except (PyxstanError, OSError) as error:
        said = f"{path}: not written ({error.strerror})" if type(error) is OSError else str(error)
        tried = []
        for place in _other_places():
            try:
                kept = Path(tempfile.mkdtemp(prefix="pyxstan-rescued-", dir=place))
            except OSError:
                continue
            try:
                save(kept / path.name)
            except (PyxstanError, OSError):
                tried.append(str(place))
                shutil.rmtree(kept, ignore_errors=True)
            else:
                raise OutputError(f"{said}; the result is kept in {kept / path.name}") from error
        nowhere = f", nor in {', '.join(tried)}" if tried else ""
        raise OutputError(f"{said}{nowhere}: the result is lost") from error


def _other_places() -> Iterator[Path]:
    """Name folders that may have room when another has none."""
    with suppress(OSError):
        yield Path.cwd()
    with suppress(OSError):
        yield Path(tempfile.gettempdir())
    with suppress(RuntimeError):
        yield Path.home()
    yield from filter(Path.is_dir, (Path("/var/tmp"), Path("/dev/shm")))


def _existing(path: Path) -> Path:
    """Find the innermost folder of a path that is there already."""
    there = path.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    return there


def check_directory(path: Path) -> None:
    """Raise before any work is done if a folder can't be made (or written to) later.

    Raises
    ------
    DataError
        `path` or what it would lie in is not a folder, or can't be written to.
    """
    there = _existing(path)
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
    final = path.resolve()  # the file that a link stands for is replaced, not the link
    try:
        # A folder of our own: nobody else can put a link in the way of a name within.
        folder = Path(tempfile.mkdtemp(".part", f".{final.name[:100]}.", final.parent))
    except OSError as error:
        raise DataError(f"{path}: not written ({error.strerror or error})") from error
    try:
        temporary = folder / final.name
        yield temporary
        temporary.replace(final)
    except OSError as error:
        raise DataError(f"{path}: not written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
