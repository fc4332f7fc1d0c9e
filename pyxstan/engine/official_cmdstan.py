"""Official CmdStan instead of pyxstan's own driver, for users who ask for it.

Compiling is cmdstanpy's own, with the CmdStan that cmdstanpy finds (``CMDSTAN``, else the newest
below ``~/.cmdstan``). That CmdStan is never changed, nor is cmdstanpy told to use another; a copy
of the program is compiled in the cache, so that nothing appears beside the user's file.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pyxstan.engine.cache import Cache, disk_errors
from pyxstan.engine.compilation import failure
from pyxstan.engine.executable import info_problem, publish, usable
from pyxstan.engine.own_executable import replace_file
from pyxstan.engine.program import StanProgram, digest
from pyxstan.engine.stanc import in_one_line
from pyxstan.errors import BuildError


def find_cmdstan() -> tuple[Path, str]:
    """Find CmdStan as cmdstanpy does.

    Returns
    -------
    home : Path
        CmdStan's folder.
    version : str
        Its version, empty when its makefile does not tell.

    Raises
    ------
    BuildError
        When there is none; says how to get one.
    """
    from cmdstanpy import cmdstan_path
    from cmdstanpy.utils.cmdstan import cmdstan_version

    with _cmdstanpy_leaves_no_trace():
        try:
            home = Path(cmdstan_path())
            version = ".".join(map(str, cmdstan_version() or ()))
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise BuildError(
                f"official CmdStan was asked for, but there is none ({reason}): install it with "
                "`install_cmdstan`, or set CMDSTAN to its folder, or unset PYXSTAN_STAN"
            ) from None
    return home, version


def find_with_cmdstan(program: StanProgram) -> Path | None:
    """Return the cached executable of a program, or none; never compiles."""
    cache, home_and_version = Cache.current(), find_cmdstan()
    executable = _executable(program, *home_and_version, cache)
    return executable if usable(executable, (), cache) else None


def build_with_cmdstan(
    program: StanProgram, output: Path | None, notify: Callable[[str], None]
) -> Path:
    """Return an executable that cmdstanpy compiled with official CmdStan.

    Parameters
    ----------
    program : StanProgram
        What to compile.
    output : Path, optional
        Copy the executable here too.
    notify : callable
        Told when something takes long.

    Raises
    ------
    BuildError
        When there is no CmdStan, or it fails.
    """
    home, version = find_cmdstan()
    cache = Cache.current()
    executable = _executable(program, home, version, cache)
    name = executable.parent.name
    if not usable(executable, (), cache):
        with cache.lock(name), cache.staging(name) as folder:
            if not usable(executable, (), cache):
                notify(f"compiling {program.name} with CmdStan {version}")
                staged = _compile(program, folder)
                problem = info_problem(staged)
                if problem is not None:
                    raise BuildError(f"{program.stan_file}: CmdStan's executable fails: {problem}")
                # Executables of CmdStan load TBB from CmdStan's folder.
                tbb = home / "stan" / "lib" / "stan_math" / "lib" / "tbb"
                with disk_errors(cache.root):
                    library = str(tbb if tbb.exists() else home)
                    publish(staged, executable, (), library, cache)
    if output is None:
        return executable
    replace_file(executable, output)
    return output


def _executable(program: StanProgram, home: Path, version: str, cache: Cache) -> Path:
    try:
        local_flags = (home / "make" / "local").read_bytes()
    except OSError:
        local_flags = b""
    parts = (program.sha256().encode(), str(home).encode(), version.encode(), local_flags)
    return cache.root / "programs" / f"{digest(iter(parts))[:32]}-cmdstan" / program.name


def _compile(program: StanProgram, folder: Path) -> Path:
    from cmdstanpy import compile_stan_file

    options: dict[str, object] = {"include-paths": [str(p) for p in program.search_path]}
    if program.external_cpp is not None:
        options["allow-undefined"] = True
    with disk_errors(folder):
        copy = Path(shutil.copy(program.stan_file, folder))
    with _cmdstanpy_leaves_no_trace():
        try:
            compiled = compile_stan_file(
                copy,
                stanc_options=options,
                cpp_options={"STAN_THREADS": True},
                user_header=program.external_cpp and program.external_cpp.absolute(),
            )
        except (ValueError, RuntimeError, OSError) as error:
            raise _refusal(program, str(error), folder) from error
    return Path(compiled)


def _refusal(program: StanProgram, said: str, folder: Path) -> BuildError:
    """Put what cmdstanpy raised, with all that make printed, into one line."""
    from_stanc = re.search(r"^(?:Syntax|Semantic) error in .*?(?=^make|\Z)", said, re.M | re.S)
    if from_stanc is None:
        return failure(str(program.stan_file), said, 1, folder)
    refusal = BuildError(f"{program.stan_file}: {in_one_line(from_stanc.group())}")
    refusal.add_note(said)
    return refusal


@contextmanager
def _cmdstanpy_leaves_no_trace() -> Iterator[None]:
    """Undo what asking cmdstanpy changes: it sets ``CMDSTAN``, and prints what it does."""
    before = os.environ.get("CMDSTAN")
    logger = logging.getLogger("cmdstanpy")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        if before is None:
            os.environ.pop("CMDSTAN", None)
