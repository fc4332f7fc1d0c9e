"""Compile without the parts of Stan Math that a program does not use.

Half of the time that a model takes to compile goes into reading Stan Math's headers. Three kinds of
them are easily told to be needless: probability distributions whose name does not occur in the
source; the solvers of differential and algebraic equations and the quadratures, when the source
calls none; and the special functions that bring Boost's along, when neither the source nor a
distribution of its own calls any. For those, the headers that merely list others (``prob.hpp``,
``functor.hpp`` and ``fun.hpp``) are written anew with fewer lines into a folder that the compiler
searches first. Every other header, and the order in which they are read, stays as it is; so does
every function that the program calls. If a source does not compile this way after all, it is
compiled with all.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path

from pyxstan.engine.cache import disk_errors

_DISTRIBUTIONS = Path("stan", "math", "prim", "prob.hpp")
_FUNCTORS = (
    Path("stan", "math", "prim", "functor.hpp"),
    Path("stan", "math", "rev", "functor.hpp"),
)
_FUNCTIONS = (
    Path("stan", "math", "prim", "fun.hpp"),
    Path("stan", "math", "rev", "fun.hpp"),
)
#: Parts of Stan's own that every executable compiles, and which use distributions themselves.
_ALGORITHMS = ("services", "mcmc", "variational", "optimization", "model", "io")

#: What Stan's pathfinder uses and gets only by way of the solvers of differential equations.
_BY_WAY_OF_SOLVERS = "#include <boost/range/iterator_range.hpp>"
_SOLVER_CALL = re.compile(r"(ode_|integrate_|dae|solve_|algebra_solver|hcubature)")
_SOLVER_HEADER = re.compile(
    r"(ode_|integrate_|dae|solve_|algebra_|hcubature|coupled_ode|cvodes|idas|kinsol)"
)
_SPECIAL_FUNCTION = re.compile(
    r".*bessel|.*hypergeometric|grad_(2F1|F32|pFq)|F32|lambert_w|owens_t|.*inc_beta|gamma_[pq]$|"
    r".*reg_(lower_)?inc_(gamma|beta)|choose|inv_erfc|(scale_)?matrix_exp|"
    r"(log_)?(falling|rising)_factorial"
)
_COMMENT = re.compile(rb"//[^\n]*|/\*.*?\*/", re.DOTALL)
_WORD = re.compile(rb"[A-Za-z]\w*")
_INCLUDED = re.compile(r"\s*#\s*include\s*<stan/math/.*/(\w+)\.hpp>")


def write_lean_headers(include: Path, sources: Iterable[bytes], folder: Path) -> None:
    """Write the lists of headers that the sources need.

    Parameters
    ----------
    include : Path
        Folder of Stan's headers.
    sources : iterable of bytes
        The C++ to compile, with all it includes but Stan's headers.
    folder : Path
        Where to write; to be searched before `include`.
    """
    words: set[str] = set()
    for text in (*sources, *_algorithms(include)):
        words.update(_words(text))
    _write_list(include, folder, _DISTRIBUTIONS, lambda name: name in words)
    for name in words & _listed(include / _DISTRIBUTIONS):
        text = (include / "stan" / "math" / "prim" / "prob" / f"{name}.hpp").read_bytes()
        words.update(_words(text))
    if not any(_SPECIAL_FUNCTION.match(word) for word in words):
        for functions in _FUNCTIONS:
            _write_list(include, folder, functions, lambda n: not _SPECIAL_FUNCTION.match(n))
    if not any(_SOLVER_CALL.match(word) for word in words):
        for functors in _FUNCTORS:
            _write_list(include, folder, functors, _is_no_solver, _BY_WAY_OF_SOLVERS)


def _words(text: bytes) -> Iterable[str]:
    return (word.decode() for word in _WORD.findall(_COMMENT.sub(b" ", text)))


def _algorithms(include: Path) -> Iterable[bytes]:
    for part in _ALGORITHMS:
        for file in sorted((include / "stan" / part).rglob("*.hpp")):
            yield file.read_bytes()


def _is_no_solver(name: str) -> bool:
    return _SOLVER_HEADER.match(name) is None


def _listed(header: Path) -> set[str]:
    matches = map(_INCLUDED.match, header.read_text().splitlines())
    return {match[1] for match in matches if match}


def _write_list(
    include: Path, folder: Path, header: Path, needed: Callable[[str], bool], first: str = ""
) -> None:
    """Copy a header but for the included files that are not needed."""
    lines = (include / header).read_text().splitlines()
    kept = [line for line in lines if not (m := _INCLUDED.match(line)) or needed(m.group(1))]
    with disk_errors(folder):
        (folder / header).parent.mkdir(parents=True, exist_ok=True)
        (folder / header).write_text("\n".join((first, *kept, "")))
