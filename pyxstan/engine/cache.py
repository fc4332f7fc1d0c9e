"""The folder of compiled programs: locks, staging folders and atomic publication.

Nothing is ever visible under its final name before it is whole: work happens in a staging folder
and ends with a rename. Whoever works on an entry holds its lock, a lock of the operating system
that dies with the process; a staging folder whose lock is free was left by a killed process and is
swept away by the next build.

Layout below the root::

    objects/    compiled translation units of the driver and models
    programs/   one folder a program: the executable and its health record
    lib/        the shared library that the executables load
    locks/      empty files
    staging/    work in progress, one folder ``<lock name>.<random>`` each
"""

from __future__ import annotations

import errno
import grp
import hashlib
import os
import pwd
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pyxstan.errors import BuildError

_POLL_SECONDS = 0.05
_FULL = (errno.ENOSPC, errno.EDQUOT)


def cache_dir() -> Path:
    """Folder of compiled programs: ``PYXSTAN_CACHE``, else the user's cache folder."""
    chosen = os.environ.get("PYXSTAN_CACHE")
    if chosen:
        try:
            return Path(chosen).expanduser().absolute()
        except (RuntimeError, OSError) as error:
            raise BuildError(
                f"PYXSTAN_CACHE={chosen}: no such folder can be made ({error})"
            ) from None
    from platformdirs import user_cache_path

    folder = user_cache_path("pyxstan")
    if not folder.is_absolute():
        raise BuildError(
            "this user has no home folder for compiled programs: set PYXSTAN_CACHE to a folder"
        )
    return folder


def file_digest(path: Path) -> str:
    """SHA-256 of a file; read again only after it was written to, which its ctime tells."""
    status = path.stat()
    return _file_digest(path, status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns)


@lru_cache(maxsize=256)
def _file_digest(path: Path, *_: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_whole(path: Path) -> bool:
    """Whether a file of the cache is as it was published, with the digest beside it.

    What others can write to is not.
    """
    if not (is_trusted(path) and is_trusted(_digest_file(path))):
        return False
    try:
        return file_digest(path) == _digest_file(path).read_text()
    except (OSError, UnicodeDecodeError):
        return False


def _digest_file(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def check_trusted(path: Path) -> None:
    """Refuse what others can write to: from there programs are run.

    A group that its owner has for himself is no other: many systems let new files be written to by
    the user's own group, which is the usual one of all users elsewhere.

    Raises
    ------
    BuildError
        The file or folder belongs to neither this user nor root, or others may write to it.
    """
    try:
        status = path.stat()
    except OSError:
        return  # not there yet, or told by who needs it
    if status.st_uid not in (os.getuid(), 0):
        whose = f"it belongs to user {status.st_uid}"
    elif status.st_mode & stat.S_IWOTH:
        whose = "others can write to it"
    elif status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid, status.st_uid):
        whose = f"others of its group, {_group_name(status.st_gid)}, can write to it"
    else:
        return
    raise BuildError(
        f"{path}: {whose}, and programs in it would be run: mend that (chmod go-w, chown), or set "
        "PYXSTAN_CACHE to a folder of your own"
    )


def is_trusted(path: Path) -> bool:
    """Whether `check_trusted` lets a path pass."""
    try:
        check_trusted(path)
    except BuildError:
        return False
    return True


def _is_private(gid: int, uid: int) -> bool:
    """Whether a group is a user's own: of his name, with no other members."""
    try:
        name, group = pwd.getpwuid(uid).pw_name, grp.getgrgid(gid)
    except KeyError:
        return False
    return group.gr_name == name and set(group.gr_mem) <= {name}


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def remove(entry: Path) -> None:
    """Remove a file, a link or a folder; none is as good."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink(missing_ok=True)


def full_disk(folder: Path) -> BuildError:
    """Say that the disk of a folder is full."""
    return BuildError(
        f"no space left on the disk of {folder}: free some, or set PYXSTAN_CACHE to another folder"
    )


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turn the operating system's errors about a folder into a `BuildError` that names it."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise full_disk(folder) from error
        reason = (error.strerror or str(error)).lower()
        raise BuildError(
            f"cannot write in {folder} ({reason}): set PYXSTAN_CACHE to a folder of your own"
        ) from error


@dataclass(frozen=True)
class Cache:
    """A folder of compiled programs that many processes may use at once."""

    root: Path

    @classmethod
    def current(cls) -> Cache:
        """Return the cache of this user and environment; nothing is created yet.

        Raises
        ------
        BuildError
            Others can write to it, or there is no such folder.
        """
        cache = cls(cache_dir())
        for name in ("", "programs", "objects", "lib", "staging"):
            check_trusted(cache.root / name)
        return cache

    def folder(self, name: str) -> Path:
        """Return a folder of the cache by its name, created when it is missing."""
        path = self.root / name
        with disk_errors(self.root):
            for part in reversed((path, *path.parents)):
                if not part.exists():
                    part.mkdir(mode=0o755, exist_ok=True)  # whatever the umask
            if not path.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))
        return path

    @contextmanager
    def lock(self, name: str, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Hold the lock of an entry; `waiting` is called over and over while another holds it.

        `waiting` may raise, which gives the waiting up.
        """
        from filelock import FileLock, Timeout

        path = self.folder("locks") / f"{name}.lock"
        with disk_errors(self.root):
            lock = FileLock(path)
            while True:
                try:
                    lock.acquire(timeout=0)
                    break
                except Timeout:
                    waiting()
                    time.sleep(_POLL_SECONDS)
        try:
            yield
        finally:
            lock.release()

    @contextmanager
    def staging(self, name: str) -> Iterator[Path]:
        """Make a folder to work in, gone afterwards; the lock of the same name must be held."""
        parent = self.folder("staging")
        self._sweep(parent, held=name)
        with disk_errors(self.root):
            path = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=parent))
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)

    def publish(self, staged: Path, final: Path) -> None:
        """Give a finished file its final name, on disk before it is visible.

        Nobody else may write to it, whatever the umask.
        """
        self.folder(str(final.parent.relative_to(self.root)))
        with disk_errors(self.root):
            staged.chmod(stat.S_IMODE(staged.stat().st_mode) & ~0o022)
            with staged.open("rb") as file:
                os.fsync(file.fileno())
            if final.is_dir() and not final.is_symlink():
                shutil.rmtree(final)  # which is nothing of ours
            staged.replace(final)

    def publish_with_digest(self, staged: Path, final: Path) -> None:
        """Publish a file such that `is_whole` can tell whether it has changed since."""
        beside = staged.with_name(f"{staged.name}.sha256")
        with disk_errors(self.root):
            beside.write_text(file_digest(staged))
        self.publish(staged, final)
        self.publish(beside, _digest_file(final))

    def _sweep(self, parent: Path, held: str) -> None:
        """Remove what killed processes left: staging folders whose lock nobody else holds."""
        from filelock import FileLock, Timeout

        for leftover in parent.iterdir():
            name = leftover.name.rpartition(".")[0]
            if name == held:
                with suppress(OSError):
                    remove(leftover)
                continue
            with (
                suppress(Timeout, OSError),
                FileLock(self.root / "locks" / f"{name}.lock", timeout=0),
            ):
                remove(leftover)
