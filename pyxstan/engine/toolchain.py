"""What it takes to compile a Stan program, and where each link of that chain comes from.

Stan itself (the headers of Stan, Stan Math, Boost, Eigen, SUNDIALS and TBB, their libraries and the
translator ``stanc``) lies in the httpstan wheel. It is found without importing httpstan, whose
import is slow and needless here. The C++ compiler is the machine's own: ``CXX`` when it is set,
else the first of g++, c++ and clang++.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from pyxstan.errors import BuildError

#: Every object that ends up in one executable is compiled with the same flags: Eigen's alignment
#: depends on the instruction set, and mixing two of them crashes. No ``-march=native`` either, so
#: that an executable in a shared cache runs on every node of a cluster.
COMPILE_FLAGS: tuple[str, ...] = (
    "-std=c++17",
    "-O3",
    "-pipe",
    "-w",
    "-D_REENTRANT",
    "-DSTAN_THREADS",
    "-DBOOST_DISABLE_ASSERTS",
)

_COMPILERS = ("g++", "c++", "clang++")
_SUNDIALS = ("sundials_nvecserial", "sundials_cvodes", "sundials_idas", "sundials_kinsol")
_HTTPSTAN = "httpstan==4.13.0" if sys.version_info < (3, 12) else "'httpstan>=4.17'"


@dataclass(frozen=True)
class StanDistribution:
    """Stan's headers, libraries and translator, as the httpstan wheel carries them.

    Attributes
    ----------
    home : Path
        Folder of the httpstan package.
    version : str
        Stan's version, such as ``2.35.0``.
    """

    home: Path
    version: str

    @property
    def include(self) -> Path:
        """Folder of all headers."""
        return self.home / "include"

    @property
    def stanc(self) -> Path:
        """The translator from Stan to C++."""
        return self.home / "stanc"

    @property
    def tbb(self) -> Path:
        """The shared library of Intel's Threading Building Blocks, which executables load."""
        return self.home / "lib" / ("libtbb.dylib" if sys.platform == "darwin" else "libtbb.so.2")

    @property
    def static_libraries(self) -> tuple[Path, ...]:
        """SUNDIALS' libraries, of which the linker takes what a program's solvers need."""
        return tuple(self.home / "lib" / f"lib{name}.a" for name in _SUNDIALS)


@dataclass(frozen=True)
class Compiler:
    """A C++ compiler.

    Attributes
    ----------
    command : tuple of str
        The words that run it.
    identity : str
        The version and target that it reports.
    macros : str
        All that it predefines: its instruction set, for one, which ``-march=native`` makes that of
        this machine.
    """

    command: tuple[str, ...]
    identity: str
    macros: str = field(repr=False)

    @property
    def hurry(self) -> tuple[str, ...]:
        """Options that make compiling faster and change nothing in its result."""
        # GCC collects garbage once it holds a gigabyte instead of a tenth of that.
        return ("--param=ggc-min-heapsize=1000000",) if "gcc version" in self.identity else ()


@dataclass(frozen=True)
class Toolchain:
    """All that compiling needs."""

    stan: StanDistribution
    compiler: Compiler


def find_toolchain() -> Toolchain:
    """Find Stan and a C++ compiler.

    Raises
    ------
    BuildError
        When a link is missing; one line that says what to install.
    """
    return Toolchain(find_stan(), find_compiler())


def find_stan() -> StanDistribution:
    """Find Stan in the httpstan wheel, or in the folder that ``PYXSTAN_HTTPSTAN`` names.

    Raises
    ------
    BuildError
        When httpstan is not installed, or lacks its headers or libraries.
    """
    override = os.environ.get("PYXSTAN_HTTPSTAN")
    if override:
        home = Path(override).expanduser().absolute()
        remedy = "PYXSTAN_HTTPSTAN must name an unpacked httpstan package"
    else:
        spec = importlib.util.find_spec("httpstan")
        if spec is None or not spec.submodule_search_locations:
            raise BuildError(f"Stan is missing: install its wheel with `pip install {_HTTPSTAN}`")
        home = Path(next(iter(spec.submodule_search_locations)))
        remedy = f"reinstall with `pip install --force-reinstall {_HTTPSTAN}`"
    version_header = home / "include" / "stan" / "version.hpp"
    try:
        numbers = dict(
            re.findall(r"#define STAN_(MAJOR|MINOR|PATCH) (\d+)", version_header.read_text())
        )
        version = "{MAJOR}.{MINOR}.{PATCH}".format(**numbers)
    except (OSError, KeyError, UnicodeDecodeError):
        raise BuildError(f"no Stan headers: {version_header} is not readable; {remedy}") from None
    stan = StanDistribution(home, version)
    for part in (stan.stanc, stan.tbb, *stan.static_libraries):
        if not part.is_file():
            raise BuildError(f"Stan is incomplete: {part} is missing; {remedy}")
    return stan


def find_compiler() -> Compiler:
    """Find a C++ compiler and ask for its version.

    Raises
    ------
    BuildError
        When there is none, or it does not run.
    """
    chosen = os.environ.get("CXX", "")
    try:
        command = shlex.split(chosen)
    except ValueError as error:
        raise BuildError(f"CXX={chosen} is not a command ({error})") from None
    if command:
        if shutil.which(command[0]) is None:
            raise BuildError(
                f"the C++ compiler CXX={chosen} does not exist: unset CXX, or set it to a compiler"
            )
    else:
        found = next((name for name in _COMPILERS if shutil.which(name)), None)
        if found is None:
            raise BuildError(
                f"no C++ compiler found (looked for {', '.join(_COMPILERS)}): install one, e.g. "
                "`apt install g++`, `dnf install gcc-c++`, `conda install gxx` or, on a cluster, "
                "`module load gcc`; or set CXX"
            )
        command = [found]
    return _asked(tuple(command))


def _asked(command: tuple[str, ...]) -> Compiler:
    """Ask a compiler for its version and target lines, which GCC and Clang print alike."""
    name = shlex.join(command)
    lines = [
        line.strip()
        for line in _answer((*command, "-v"), subprocess.STDOUT).splitlines()
        if line.startswith("Target:") or re.search(r"\bversion \d", line)
    ]
    if not lines:
        raise BuildError(f"{name} is not a C++ compiler: `{name} -v` names no version; set CXX")
    macros = _answer((*command, "-dM", "-E", "-x", "c++", os.devnull), subprocess.DEVNULL)
    return Compiler(command, ", ".join(lines), macros)


def _answer(command: tuple[str, ...], errors: int) -> str:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**os.environ, "LC_ALL": "C"},
            timeout=60,
            check=True,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        name = shlex.join(command)
        raise BuildError(f"the C++ compiler {name} does not run ({error}): set CXX") from None
