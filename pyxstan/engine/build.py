"""From a Stan program to an executable that speaks CmdStan's command line.

``stanc`` translates the program to C++; that object, the driver's ``main`` and one driver unit a
method are compiled side by side and linked. All objects are kept: a second program needs only its
own model object, and a method that an executable lacks costs one unit and a link.

Everything is keyed by what goes into it (`StanProgram.sha256`, Stan's version, the driver's source,
every word of the compiler's command, what the compiler says of itself, the flags and the machine's
architecture), so nothing is ever out of date.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pyxstan.engine.cache import Cache, disk_errors, is_whole
from pyxstan.engine.compilation import Compilers, RefusedSourceError
from pyxstan.engine.executable import info_problem, publish, read_record, usable
from pyxstan.engine.lean_headers import write_lean_headers
from pyxstan.engine.own_executable import checked_output, replace_file
from pyxstan.engine.program import StanProgram, digest, with_included
from pyxstan.engine.stanc import translate
from pyxstan.engine.toolchain import (
    COMPILE_FLAGS,
    Compiler,
    StanDistribution,
    Toolchain,
    find_compiler,
    find_stan,
    find_toolchain,
)
from pyxstan.errors import BuildError

__all__ = ["ALL_UNITS", "StanProgram", "build", "chosen_stan", "find"]

DRIVER = Path(__file__).parent / "driver"
_MAIN = "main"
#: Makes a driver unit read all of Stan Math, see driver/stan_math.hpp.
_ALL_OF_STAN_MATH = "PYXSTAN_ALL_OF_STAN_MATH"
#: Names of all driver units, one a method of Stan.
ALL_UNITS: tuple[str, ...] = tuple(
    sorted(file.stem for file in DRIVER.glob("*.cpp") if file.stem != _MAIN)
)

_WAITING_NOTICE_SECONDS = 1.0

Notify = Callable[[str], None]


def chosen_stan(stan: str | None = None) -> str:
    """Which Stan compiles: ``httpstan`` (pyxstan's own driver) or ``cmdstan``.

    Parameters
    ----------
    stan : str, optional
        The user's choice; by default that of the environment variable ``PYXSTAN_STAN``.

    Raises
    ------
    BuildError
        When it is neither.
    """
    chosen = stan or os.environ.get("PYXSTAN_STAN") or "httpstan"
    if chosen not in ("httpstan", "cmdstan"):
        raise BuildError(f"unknown Stan {chosen!r}: PYXSTAN_STAN must be httpstan or cmdstan")
    return chosen


def build(
    program: StanProgram,
    units: Collection[str] = ("sample_diag_e",),
    output: Path | None = None,
    notify: Notify | None = None,
    stan: str | None = None,
) -> Path:
    """Return an executable of a program, compiling what is not in the cache.

    Parameters
    ----------
    program : StanProgram
        What to compile.
    units : collection of str
        Driver units (methods) that the executable must have, of `ALL_UNITS`.
    output : Path, optional
        Write an executable of one's own here instead of keeping it in the cache. An existing file
        is replaced once the new one is whole and has answered ``info``.
    notify : callable, optional
        Told, in one line of text, when something takes long.
    stan : str, optional
        ``httpstan`` or ``cmdstan``, see `chosen_stan`.

    Returns
    -------
    Path
        The executable.

    Raises
    ------
    BuildError
        One line that says what is wrong and what to do. The full output of a compiler that failed
        is attached as a note.
    """
    notify = notify or (lambda message: None)
    if chosen_stan(stan) == "cmdstan":
        from pyxstan.engine.official_cmdstan import build_with_cmdstan

        own = None if output is None else checked_output(output, program)
        return build_with_cmdstan(program, own, notify)
    _check_units(units)
    cache = Cache.current()
    if output is not None:
        job = _Build(program, find_toolchain(), cache, notify)
        return job.standalone(frozenset(units), checked_output(output, program))
    distribution = find_stan()
    try:
        compiler = find_compiler()
    except BuildError:
        # A compute node without a compiler still runs what the login node compiled.
        found = _find_any_compiler(program, distribution, units, cache)
        if found is None:
            raise
        return found
    return _Build(program, Toolchain(distribution, compiler), cache, notify).cached(
        frozenset(units)
    )


def find(
    program: StanProgram, units: Collection[str] = ("sample_diag_e",), stan: str | None = None
) -> Path | None:
    """Return the cached executable of a program, or none; never compiles.

    Raises
    ------
    BuildError
        When Stan is missing, or the program cannot be read.
    """
    if chosen_stan(stan) == "cmdstan":
        from pyxstan.engine.official_cmdstan import find_with_cmdstan

        return find_with_cmdstan(program)
    _check_units(units)
    cache, distribution = Cache.current(), find_stan()
    try:
        compiler = find_compiler()
    except BuildError:
        return _find_any_compiler(program, distribution, units, cache)
    executable = _executable(program, distribution, compiler, cache)
    return executable if usable(executable, units, cache) else None


def in_use(programs: Iterable[StanProgram]) -> set[Path]:
    """Name the folders of programs and the objects that these programs use, or would.

    Raises
    ------
    BuildError
        When Stan or the compiler is missing, or a program cannot be read.
    """
    cache, toolchain = Cache.current(), find_toolchain()
    used: set[Path] = set()
    for program in programs:
        job = _Build(program, toolchain, cache, lambda message: None)
        used.update((job.executable.parent, job.model_object_path()))
        used.update(job.unit_object(stem).path for stem in (_MAIN, *ALL_UNITS))
    return used


def _check_units(units: Collection[str]) -> None:
    unknown = sorted(set(units) - set(ALL_UNITS))
    if unknown:
        raise ValueError(f"no such driver unit: {', '.join(unknown)}; there are {ALL_UNITS}")


# What identifies an executable


def _driver_sources() -> Iterator[bytes]:
    for file in sorted((*DRIVER.glob("*.cpp"), *DRIVER.glob("*.hpp"))):
        yield file.name.encode()
        yield file.read_bytes()


def _program_key(program: StanProgram, stan: StanDistribution) -> str:
    parts = (program.sha256().encode(), stan.version.encode(), *_driver_sources())
    return digest(iter(parts))[:32]


def _compiler_parts(stan: StanDistribution, compiler: Compiler) -> tuple[bytes, ...]:
    flags = (*compiler.command, *COMPILE_FLAGS)
    parts = (stan.version, compiler.identity, compiler.macros, os.uname().machine, *flags)
    return tuple(part.encode() for part in parts)


def _executable(
    program: StanProgram, stan: StanDistribution, compiler: Compiler, cache: Cache
) -> Path:
    compiler_key = digest(iter(_compiler_parts(stan, compiler)))[:16]
    folder = f"{_program_key(program, stan)}-{compiler_key}"
    return cache.root / "programs" / folder / program.name


def _find_any_compiler(
    program: StanProgram, stan: StanDistribution, units: Collection[str], cache: Cache
) -> Path | None:
    folders = (cache.root / "programs").glob(f"{_program_key(program, stan)}-*")
    candidates = (folder / program.name for folder in sorted(folders))
    return next((exe for exe in candidates if usable(exe, units, cache)), None)


# Building it


@dataclass(frozen=True)
class _Object:
    """An object file of the cache and what it is compiled from."""

    what: str
    path: Path
    source: Path
    #: C++ files that it includes, but for Stan's.
    headers: tuple[Path, ...] = ()
    options: tuple[str, ...] = ()


class _BusyError(Exception):
    """Another process has what this one wants."""


@dataclass
class _Build:
    program: StanProgram
    toolchain: Toolchain
    cache: Cache
    notify: Notify
    compilers: Compilers = field(default_factory=Compilers)

    def __post_init__(self) -> None:
        self.executable = _executable(
            self.program, self.toolchain.stan, self.toolchain.compiler, self.cache
        )
        self._sha256 = self.program.sha256()
        self._notified = False

    def cached(self, units: frozenset[str]) -> Path:
        """Return the cached executable, built when it is missing, broken or lacks a unit."""
        if usable(self.executable, units, self.cache):
            return self.executable
        with self.cache.lock(self.executable.parent.name, self._waiting()):
            if usable(self.executable, units, self.cache):
                return self.executable
            record = read_record(self.executable)
            if record is not None:
                units |= set(record.units) & set(ALL_UNITS)
            with self._staging() as folder:
                library = self._library(folder)
                relative = Path(os.path.relpath(library, self.executable.parent))
                origin = "@loader_path" if sys.platform == "darwin" else "$ORIGIN"
                # The staging folder is as deep as the final one, so `info` tries the very rpath.
                staged = self._link(units, folder, library, [f"{origin}/{relative.parent}"])
                with disk_errors(self.cache.root):
                    publish(staged, self.executable, units, str(relative), self.cache)
        return self.executable

    def standalone(self, units: frozenset[str], output: Path) -> Path:
        """Build an executable of the user's own, put in place once it is whole."""
        name = self.executable.parent.name
        with self.cache.lock(name, self._waiting()), self._staging() as folder:
            library = self._library(folder)
            places = [str(library.parent), str(self.toolchain.stan.tbb.parent)]
            staged = self._link(units, folder, library, places)
            replace_file(staged, output)
        return output

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        with self.cache.staging(self.executable.parent.name) as folder:
            try:
                yield folder
            except BaseException:
                self.compilers.cancel()
                raise

    def _link(
        self, units: frozenset[str], folder: Path, library: Path, rpaths: Sequence[str]
    ) -> Path:
        staged = folder / self.program.name
        self._link_objects(self._compiled(units, folder), staged, library, rpaths)
        problem = info_problem(staged)
        if problem is not None:
            raise BuildError(
                f"{self.program.stan_file}: the new executable does not run: {problem}"
            )
        return staged

    def _link_objects(
        self, objects: Sequence[Path], staged: Path, library: Path, rpaths: Sequence[str]
    ) -> None:
        ordering = () if sys.platform == "darwin" else ("-Wl,--disable-new-dtags",)
        command = (
            *self.toolchain.compiler.command,
            *map(str, objects),
            *(str(path) for path in self.toolchain.stan.static_libraries),
            str(library),
            # Unlike a RUNPATH, an RPATH wins over another TBB in LD_LIBRARY_PATH.
            *ordering,
            # Not by -Wl, which cuts its words at commas.
            *(word for path in rpaths for word in ("-Xlinker", "-rpath", "-Xlinker", path)),
            "-pthread",
            "-o",
            str(staged),
        )
        self.compilers.run(command, staged.parent, f"linking {self.program.name}")

    def _objects(self, units: frozenset[str], folder: Path) -> list[_Object]:
        """All objects of the executable, those that take longest first."""
        heavy = sorted(unit for unit in units if unit.startswith("sample"))
        light = sorted(units - set(heavy))
        first, last = (list(map(self.unit_object, stems)) for stems in ((_MAIN, *heavy), light))
        return [*first, self._model_object(folder), *last]

    def unit_object(self, stem: str) -> _Object:
        source = DRIVER / f"{stem}.cpp"
        what = f"driver unit {stem}"
        files = sorted(with_included(source, what))
        parts = (part for file in files for part in (file.name.encode(), file.read_bytes()))
        headers = tuple(file for file in files if file != source)
        return _Object(what, self._object_path(stem, parts), source, headers)

    def _model_object(self, folder: Path) -> _Object:
        """The program as stanc writes it, whole; written when its object has to be compiled."""
        translated = folder / f"{self.program.name}.cpp"
        path = self.model_object_path()
        if not is_whole(path):
            with disk_errors(self.cache.root):
                warnings = translate(self.toolchain.stan.stanc, self.program, translated)
            if warnings:
                self.notify(f"{self.program.stan_file}: {warnings}")
        headers = tuple(self.program.external_files())
        options = ("-include", str(headers[0])) if headers else ()
        return _Object(str(self.program.stan_file), path, translated, headers, options)

    def model_object_path(self) -> Path:
        return self._object_path("model", [self._sha256.encode()])

    def _object_path(self, stem: str, parts: Iterable[bytes]) -> Path:
        whole = (*_compiler_parts(self.toolchain.stan, self.toolchain.compiler), *parts)
        return self.cache.root / "objects" / f"{stem}-{digest(iter(whole))[:32]}.o"

    def _compiled(self, units: frozenset[str], folder: Path) -> list[Path]:
        """Compile the objects that the cache lacks; return all that are to be linked."""
        objects = self._objects(units, folder)
        missing = [one for one in objects if not is_whole(one.path)]
        if missing:
            self.notify(
                f"compiling {self.program.name} "
                "(once on this machine; the first program takes about half a minute)"
            )
            # Programs compiled at the same time share the driver's units: the first compiles them,
            # the others wait for them last.
            elsewhere: list[_Object] = []
            self.compilers.run_all(
                [partial(self._compile_unless_busy, o, folder, elsewhere) for o in missing]
            )
            self.compilers.run_all(
                [partial(self._compile_one, o, folder, self._waiting()) for o in elsewhere]
            )
        return [one.path for one in objects]

    def _compile_unless_busy(self, one: _Object, folder: Path, elsewhere: list[_Object]) -> None:
        def leave() -> None:
            raise _BusyError

        try:
            self._compile_one(one, folder, leave)
        except _BusyError:
            elsewhere.append(one)

    def _compile_one(self, one: _Object, folder: Path, waiting: Callable[[], None]) -> None:
        with self.cache.lock(one.path.stem, waiting):
            if is_whole(one.path):
                return
            include, staged = self.toolchain.stan.include, folder / one.path.name
            compiler, lean = self.toolchain.compiler, folder / f"lean-{one.path.stem}"
            front = (*compiler.command, *compiler.hurry, *COMPILE_FLAGS)
            back = (*one.options, "-c", str(one.source), "-o", str(staged))
            texts = [file.read_bytes() for file in (one.source, *one.headers)]
            write_lean_headers(include, texts, lean)
            try:
                command = (*front, "-I", str(lean), "-I", str(include), *back)
                self.compilers.run(command, folder, one.what)
            except RefusedSourceError:
                command = (*front, f"-D{_ALL_OF_STAN_MATH}", "-I", str(include), *back)
                self.compilers.run(command, folder, one.what)
            if self.program.sha256() != self._sha256:
                raise BuildError(f"{self.program.stan_file}: changed while it was compiled")
            self.cache.publish_with_digest(staged, one.path)

    def _library(self, folder: Path) -> Path:
        """TBB's library in the cache, so that executables outlive the virtual environment."""
        source = self.toolchain.stan.tbb
        with disk_errors(self.cache.root):
            content = source.read_bytes()
            name = digest(iter([content]))[:16]
            final = self.cache.root / "lib" / name / source.name
            if not final.exists() or final.read_bytes() != content:
                staged = folder / source.name
                shutil.copy(source, staged)
                self.cache.publish(staged, final)
        return final

    def _waiting(self) -> Callable[[], None]:
        """What is done over and over while another process has what this one wants."""
        started = time.monotonic()

        def waiting() -> None:
            self.compilers.check()
            if not self._notified and time.monotonic() - started > _WAITING_NOTICE_SECONDS:
                self._notified = True
                self.notify(f"waiting for another process that compiles {self.program.name}")

        return waiting
