"""What ``pyxstan doctor`` says: each link of the chain from a Stan program to draws, tried.

>>> from pyxstan.engine.doctor import Check, render
>>> print(render([Check("cache", "ok", "79 GB free"), Check("stanc", "fail", "missing")]))
ok    cache  79 GB free
FAIL  stanc  missing
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pyxstan.engine.build import StanProgram, build, chosen_stan, find
from pyxstan.engine.cache import Cache
from pyxstan.engine.toolchain import find_compiler, find_stan
from pyxstan.errors import BuildError

#: Seven heads in ten tosses under a Beta(2, 2) prior: the posterior is Beta(9, 5).
COIN = StanProgram(Path(__file__).parent / "coin.stan")
COIN_DATA = {"tosses": 10, "heads": 7}
COIN_MEAN = 9 / 14
#: Some eight standard errors of the mean of the test's draws.
COIN_TOLERANCE = 0.05

_LITTLE_SPACE, _NO_SPACE = 1e9, 1e8

State = Literal["ok", "warn", "fail"]


@dataclass(frozen=True)
class Check:
    """One link of the chain: its name, whether it holds, and what was found."""

    name: str
    state: State
    detail: str


def diagnose(
    models: Iterable[tuple[str, StanProgram]] = (),
    *,
    compile_test: bool = False,
    stan: str | None = None,
    notify: Callable[[str], None] | None = None,
) -> list[Check]:
    """Try each link of the chain from a Stan program to draws.

    Parameters
    ----------
    models : iterable of (str, StanProgram)
        The models of which to tell whether they are compiled.
    compile_test : bool
        Compile the program of the test fit if it is not in the cache; else the fit is left out
        then, for compiling takes about half a minute.
    stan : str, optional
        ``httpstan`` or ``cmdstan``, see `pyxstan.engine.build.chosen_stan`.
    notify : callable, optional
        Told when something takes long.

    Returns
    -------
    list of Check
        In the order of the chain.
    """
    try:
        official = chosen_stan(stan) == "cmdstan"
    except BuildError as error:
        return [Check("Stan", "fail", str(error))]
    checks = [_compiler()]
    checks += [_cmdstan()] if official else [_stan(), _stanc()]
    checks += [_cmdstanpy(), _cache()]
    programs = list(models)
    if programs:
        checks.append(_models(programs, stan))
    checks.append(_test_fit(compile_test, stan, notify))
    return checks


def render(checks: Sequence[Check]) -> str:
    """Write the checks as text, one a line."""
    width = max((len(check.name) for check in checks), default=0)
    words = {"ok": "ok", "warn": "warn", "fail": "FAIL"}
    return "\n".join(f"{words[c.state]:4}  {c.name:{width}}  {c.detail}" for c in checks)


def exit_status(checks: Iterable[Check]) -> int:
    """Return the exit status of the command: 2 if any link is broken, else 0."""
    return BuildError.exit_code if any(check.state == "fail" for check in checks) else 0


def _compiler() -> Check:
    name = "C++ compiler"
    try:
        compiler = find_compiler()
    except BuildError as error:
        return Check(name, "fail", str(error))
    # Its version alone does not tell that the C++ library's headers are installed too.
    trial = "#include <vector>\n#include <optional>\nint main() { return 0; }\n"
    command = [*compiler.command, "-std=c++17", "-fsyntax-only", "-x", "c++", "-"]
    found = f"{' '.join(compiler.command)}: {compiler.identity}"
    try:
        answer = subprocess.run(command, input=trial, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        return Check(name, "fail", f"{found}, does not run: {error}")
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or ["nothing printed"]
        return Check(name, "fail", f"{found}, cannot compile C++17: {lines[0]}")
    return Check(name, "ok", found)


def _stan() -> Check:
    try:
        stan = find_stan()
    except BuildError as error:
        return Check("Stan", "fail", str(error))
    if os.environ.get("PYXSTAN_HTTPSTAN"):
        origin = "PYXSTAN_HTTPSTAN"
    else:
        origin = f"httpstan {_installed('httpstan')}"
    return Check("Stan", "ok", f"{stan.version} from {origin}, {stan.home}")


def _stanc() -> Check:
    try:
        stan = find_stan()
        answer = subprocess.run([stan.stanc, "--version"], capture_output=True, text=True)
    except BuildError as error:
        return Check("stanc", "fail", str(error))
    except OSError as error:
        return Check("stanc", "fail", f"does not run ({error}): reinstall httpstan")
    said = answer.stdout.strip()
    if answer.returncode != 0:
        return Check(
            "stanc", "fail", f"does not run (status {answer.returncode}): reinstall httpstan"
        )
    if stan.version not in said:
        return Check("stanc", "warn", f"{said} beside headers of Stan {stan.version}")
    return Check("stanc", "ok", said)


def _cmdstan() -> Check:
    from pyxstan.engine.official_cmdstan import find_cmdstan

    try:
        home, number = find_cmdstan()
    except BuildError as error:
        return Check("CmdStan", "fail", str(error))
    return Check("CmdStan", "ok", f"{number or 'unknown version'}, {home}")


def _cmdstanpy() -> Check:
    number = _installed("cmdstanpy")
    if not number:
        return Check("cmdstanpy", "fail", "missing: install it with `pip install cmdstanpy`")
    return Check("cmdstanpy", "ok", number)


def _installed(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cache() -> Check:
    try:
        cache = Cache.current()
    except BuildError as error:
        return Check("cache", "fail", str(error))
    try:
        with tempfile.TemporaryFile(dir=cache.folder("staging")):
            free = shutil.disk_usage(cache.root).free
    except (BuildError, OSError) as error:
        if (cache.root / "programs").is_dir():
            return Check("cache", "warn", f"{cache.root} is read-only: what it lacks stays so")
        said = str(error) if isinstance(error, BuildError) else f"cannot write in {cache.root}"
        return Check("cache", "fail", said)
    used = sum(file.stat().st_size for file in cache.root.rglob("*") if file.is_file())
    detail = f"{cache.root}, {used / 1e6:.0f} MB used, {free / 1e9:.1f} GB free"
    if free < _NO_SPACE:
        return Check("cache", "fail", f"{detail}: too little to compile; free some")
    if free < _LITTLE_SPACE:
        return Check("cache", "warn", f"{detail}: soon too little to compile")
    return Check("cache", "ok", detail)


def _models(programs: Sequence[tuple[str, StanProgram]], stan: str | None) -> Check:
    compiled: list[str] = []
    missing: list[str] = []
    for name, program in programs:
        try:
            (compiled if find(program, stan=stan) else missing).append(name)
        except BuildError as error:
            return Check("models", "fail", f"{name}: {error}")
    parts = [f"compiled: {', '.join(compiled) or 'none'}"]
    if missing:
        parts.append(f"compiled when first used: {', '.join(missing)}")
    return Check("models", "ok", "; ".join(parts))


def _test_fit(compile_test: bool, stan: str | None, notify: Callable[[str], None] | None) -> Check:
    name = "test fit"
    try:
        executable = find(COIN, stan=stan)
        if executable is None and not compile_test:
            return Check(name, "warn", "left out: pyxstan doctor --compile does it (30 s)")
        if executable is None:
            executable = build(COIN, notify=notify, stan=stan)
        mean = _posterior_mean(executable)
    except BuildError as error:
        return Check(name, "fail", str(error))
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        return Check(name, "fail", f"the executable does not sample: {error}")
    detail = f"posterior mean {mean:.3f}, exactly {COIN_MEAN:.3f}"
    state: State = "ok" if abs(mean - COIN_MEAN) < COIN_TOLERANCE else "fail"
    return Check(name, state, detail)


def _posterior_mean(executable: Path) -> float:
    """Sample the coin and return the posterior mean of its chance of heads."""
    with tempfile.TemporaryDirectory(prefix="pyxstan-doctor-") as folder:
        data, draws = Path(folder, "data.json"), Path(folder, "draws.csv")
        data.write_text(json.dumps(COIN_DATA))
        arguments = ["method=sample", "num_warmup=500", "num_samples=1000", "random", "seed=1"]
        answer = subprocess.run(
            [executable, *arguments, "data", f"file={data}", "output", f"file={draws}"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )
        if answer.returncode != 0:
            said = " ".join((answer.stderr or answer.stdout).split())
            raise ValueError(f"status {answer.returncode}: {said[:200]}")
        with draws.open() as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            chances = [float(row["chance"]) for row in rows]
    if not chances:
        raise ValueError("no draws")
    return sum(chances) / len(chances)
