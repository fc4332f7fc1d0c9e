"""Why a run of an executable failed, in one line; its files are kept in the cache for a look."""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from pyxstan.engine.cache import cache_dir
from pyxstan.engine.executable import info_problem
from pyxstan.errors import BuildError, SamplingError

#: Lines of an executable's console that tell why it stopped, and those that repeat its settings.
_COMPLAINT = re.compile(
    r"rror|xception|nitialization (between|from|failed)|denied|No space|Cannot|disk full|"
    r"STAN_NUM_THREADS|Ill-formed"
)
_SETTING = re.compile(r"\s*\w+ = ")
#: Complaints that say that something failed, but not why.
_EMPTY = re.compile(
    r"Initialization failed|Initialization between|Initialization from source|"
    r"^Error (evaluating|during)|Rejecting initial value"
)
#: Reasons that starting values are rejected for.
_REJECTED = re.compile(
    r"Exception: |log\(0\)|not finite|does not exist|Error transforming|mismatch"
)
_SIGNALED = re.compile(r"(?:Chain \[(\d+)\]|CmdStan) error: code '-(\d+)'")
_MEANINGS = {
    signal.SIGKILL: "was killed ({}; out of memory?)",
    signal.SIGTERM: "was ended from outside ({})",
    signal.SIGSEGV: "crashed ({})",
    signal.SIGABRT: "gave up ({})",
    signal.SIGFPE: "crashed ({})",
    signal.SIGILL: "met an instruction that this processor lacks ({})",
    signal.SIGBUS: "could not read its memory ({}; is a disk full, or its file replaced?)",
    signal.SIGXCPU: "used up its processor time ({})",
    signal.SIGXFSZ: "reached the limit of a file's size ({})",
}
#: Signals of an executable that is broken itself.
_CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
#: A disk that has less is full.
_LITTLE = 2**16


class CrashError(SamplingError):
    """An executable crashed, or does not start."""


def may_run(executable: Path) -> None:
    """Raise if an executable can't be started at all.

    Raises
    ------
    CrashError
        It is gone, has no permission to run, or lies on a disk where nothing may.
    """
    name = executable.name
    if not executable.is_file():
        raise CrashError(f"{name}: the executable {executable} is gone")
    if not os.access(executable, os.X_OK):
        flags = executable.stat().st_mode & 0o111
        why = "its disk is mounted noexec" if flags else "it lacks the permission to run (chmod +x)"
        raise CrashError(f"{name}: the executable {executable} can't be started: {why}")


def explain(error: Exception, log: Sequence[str], folder: Path, executable: Path) -> SamplingError:
    """Say in one line why a run failed, and keep its files.

    Parameters
    ----------
    error
        What cmdstanpy raised.
    log
        What it logged.
    folder
        Where the run wrote to, the consoles of its chains among it.
    executable
        What was run.
    """
    console = "\n".join([str(error), *log])
    where = _kept(folder, console, executable.name)
    lines = [
        line.strip()
        for file in sorted(folder.glob("*.txt"))
        for line in file.read_text(errors="replace").splitlines()
        if line.strip() and not _SETTING.match(line)
    ]
    name = executable.name
    kind: type[SamplingError] = SamplingError
    ended = _SIGNALED.search(console)
    if ended:
        number = int(ended[2])
        told = next((text for key, text in _MEANINGS.items() if key == number), None)
        which = f"chain {ended[1]}" if ended[1] else "its process"
        meaning = told or "was ended by a signal ({})"
        reason = f"{which} {meaning.format(signal.strsignal(number) or number)}"
        if number in _CRASHES:
            kind = CrashError
            if info_problem(executable, folder / "data.json"):
                reason += " in evaluating the log density"
    elif complaint := _complaint(lines):
        reason = complaint
    elif shutil.disk_usage(folder).free < _LITTLE:
        reason = f"no space left on the disk of {folder}: free some, or set TMPDIR"
    elif problem := info_problem(executable):
        reason, kind = f"the executable {executable} does not run: {problem}", CrashError
    else:
        reason = lines[-1] if lines else " ".join(str(error).split())[:300]
    return kind(f"{name}: Stan stopped: {reason}{where}")


def _complaint(lines: Sequence[str]) -> str | None:
    """Find the line that tells why, and put what failed before it if that says only so much."""
    complaints = [line for line in lines if _COMPLAINT.search(line)]
    if not complaints:
        return None
    last = complaints[-1]
    if not _EMPTY.search(last):
        return last
    reasons = [line for line in lines if _REJECTED.search(line) and not _EMPTY.search(line)]
    if reasons:
        return f"{last.rstrip('.:')}: {reasons[-1]}"
    telling = [line for line in complaints if not _EMPTY.search(line)]
    return f"{last.rstrip('.:')}: {telling[-1]}" if telling else last


def _kept(folder: Path, console: str, name: str) -> str:
    moment = time.strftime("%Y%m%d-%H%M%S")
    try:
        kept = cache_dir() / "failed" / f"{name}-{moment}-{folder.name[-8:]}"
    except BuildError:
        return ""
    try:
        shutil.copytree(folder, kept)
        (kept / "console.txt").write_text(console)
    except OSError:
        shutil.rmtree(kept, ignore_errors=True)
        return ""
    return f"; its files are in {kept}"
