"""A Stan program, and the fingerprint of all the text that it is made of."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pyxstan.errors import BuildError

_STAN_INCLUDE = re.compile(r'#include\s+(?:"([^"\n]+)"|<([^>\n]+)>|(\S+))')
_CPP_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


@dataclass(frozen=True)
class StanProgram:
    """A Stan program: its file, where its includes lie, and C++ functions that it declares.

    Attributes
    ----------
    stan_file : Path
        The ``.stan`` file; its stem names the model.
    include_paths : tuple of Path
        Folders where ``#include`` looks, after the folder of `stan_file` itself.
    external_cpp : Path, optional
        A ``.hpp`` file that defines the functions which the program only declares.
    """

    stan_file: Path
    include_paths: tuple[Path, ...] = ()
    external_cpp: Path | None = None

    @property
    def name(self) -> str:
        """Name of the model and of its executable."""
        return self.stan_file.stem

    @property
    def search_path(self) -> tuple[Path, ...]:
        """Where ``#include`` looks, in order and without repetition."""
        folders = (self.stan_file.parent, *self.include_paths)
        return tuple(dict.fromkeys(folder.absolute() for folder in folders))

    def sources(self) -> Iterator[tuple[str, bytes]]:
        """Yield the text of the program, its includes and its external C++, each once.

        Yields
        ------
        name : str
            How the text is referred to; no absolute path, so that a moved program is the same.
        text : bytes
            Its content.

        Raises
        ------
        BuildError
            When the ``.stan`` file or the external C++ file cannot be read. A missing include is
            left to the compilers, which know whether it stands in a comment.
        """
        yield from self._stan_sources()
        yield from self._cpp_sources()

    def sha256(self) -> str:
        """SHA-256 over all the sources."""
        return digest(
            part
            for name, text in self.sources()
            for part in (name.encode(), hashlib.sha256(text).digest())
        )

    def external_files(self) -> Iterator[Path]:
        """Yield the external C++ file and those that it includes from beside it, each once.

        Raises
        ------
        BuildError
            When the external C++ file cannot be read.
        """
        if self.external_cpp is None:
            return
        if self.external_cpp.suffix != ".hpp":
            raise BuildError(f"{self.external_cpp}: expected external C++, a file named *.hpp")
        yield from with_included(self.external_cpp.absolute(), "external C++")

    def _stan_sources(self) -> Iterator[tuple[str, bytes]]:
        if self.stan_file.suffix != ".stan":
            raise BuildError(f"{self.stan_file}: expected a Stan program, a file named *.stan")
        text = _read(self.stan_file, "Stan program")
        yield self.stan_file.name, text
        pending, seen = [text], set()
        while pending:
            including = pending.pop().decode(errors="replace")
            for groups in _STAN_INCLUDE.findall(including):
                name = "".join(groups)
                found = next((p for d in self.search_path if (p := d / name).is_file()), None)
                if found is not None and name not in seen:
                    seen.add(name)
                    text = _read(found, "included Stan code")
                    pending.append(text)
                    yield name, text

    def _cpp_sources(self) -> Iterator[tuple[str, bytes]]:
        for path in self.external_files():
            yield f"cpp:{path.name}", _read(path, "external C++")


def with_included(file: Path, what: str) -> Iterator[Path]:
    """Yield a C++ file and those that it includes from beside it, each once.

    Raises
    ------
    BuildError
        When one cannot be read; `what` says what it is.
    """
    pending, seen = [file], {file}
    while pending:
        including = pending.pop()
        yield including
        for name in _CPP_INCLUDE.findall(_read(including, what).decode(errors="replace")):
            beside = including.parent / name
            # What does not lie beside the including file is one of Stan's own headers.
            if beside not in seen and beside.is_file():
                seen.add(beside)
                pending.append(beside)


def digest(parts: Iterator[bytes]) -> str:
    """SHA-256 over several byte strings, such that moving a border between them changes it."""
    total = hashlib.sha256()
    for part in parts:
        total.update(len(part).to_bytes(8, "little"))
        total.update(part)
    return total.hexdigest()


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BuildError(f"{path}: cannot read this {what} ({reason})") from None
