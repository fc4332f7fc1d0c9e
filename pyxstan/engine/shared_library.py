"""Compiled functions for ctypes: one C++ file, compiled once a machine and kept in the cache."""

from __future__ import annotations

import ctypes
from pathlib import Path

from pyxstan.engine.cache import Cache, disk_errors, is_whole
from pyxstan.engine.compilation import Compilers
from pyxstan.engine.program import digest, with_included
from pyxstan.engine.toolchain import find_compiler

_FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC", "-pthread")


def shared_library(source: Path) -> ctypes.CDLL:
    """Load a C++ file's functions, compiling it where the cache has it not.

    Raises
    ------
    BuildError
        There is no compiler, or it failed.
    """
    cache, compiler = Cache.current(), find_compiler()
    files = sorted(with_included(source, source.name))
    words = (compiler.identity, compiler.macros, *compiler.command, *_FLAGS)
    parts = [word.encode() for word in words]
    parts += [part for file in files for part in (file.name.encode(), file.read_bytes())]
    path = cache.root / "objects" / f"{source.stem}-{digest(iter(parts))[:32]}.so"
    if not is_whole(path):
        compilers = Compilers()
        with cache.lock(path.stem, compilers.check), cache.staging(path.stem) as folder:
            if not is_whole(path):
                staged = folder / path.name
                command = (*compiler.command, *_FLAGS, str(source), "-o", str(staged))
                compilers.run(command, folder, source.name)
                with disk_errors(cache.root):
                    cache.publish_with_digest(staged, path)
    return ctypes.CDLL(str(path))
