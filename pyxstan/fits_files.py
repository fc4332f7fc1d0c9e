"""FITS files whole in memory, and what is wrong with them in a line."""

from __future__ import annotations

import bz2
import gzip
import warnings
import zlib
from pathlib import Path

from pyxstan.errors import DataError

_GZIP_MAGIC = b"\x1f\x8b"
_BZIP2_MAGIC = b"BZh"


def unpacked(path: Path, expected: str) -> bytes:
    """Everything in a file, unpacked, so that damage shows and no file stays open.

    Parameters
    ----------
    expected
        What it should be, in words, where it is a directory.

    Raises
    ------
    DataError
        No such file, a directory, a damaged file.
    """
    if not path.exists():
        raise DataError(f"{path}: no such file")
    if path.is_dir():
        raise DataError(f"{path}: a directory, expected {expected}")
    try:
        found = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror})") from None
    try:
        if found.startswith(_GZIP_MAGIC):
            found = gzip.decompress(found)
        elif found.startswith(_BZIP2_MAGIC):
            found = bz2.decompress(found)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DataError(f"{path}: a damaged compressed file ({reason(error)})") from None
    return found


def content(path: Path, expected: str) -> bytes:
    """Everything in a FITS file, unpacked.

    Parameters
    ----------
    expected
        What it should be, in words, where it is a directory.

    Raises
    ------
    DataError
        No such file, a directory, an empty or damaged file, none of FITS.
    """
    found = unpacked(path, expected)
    if not found.strip():
        raise DataError(f"{path}: the file is empty")
    if not found.startswith(b"SIMPLE  ="):
        raise DataError(f"{path}: not a FITS file")
    return found


def is_truncated(found: list[warnings.WarningMessage]) -> bool:
    """Whether astropy warned that a file is cut short."""
    return any("truncated" in str(warning.message) for warning in found)


def reason(error: Exception) -> str:
    """The first line of what an error says, or its name."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
