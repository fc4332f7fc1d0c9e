"""Running compilers: side by side, all ended together, their complaints put into one line."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from pyxstan.engine.cache import full_disk
from pyxstan.errors import BuildError

#: Runs a command in this shell's process group, with an end of a pipe of ours as standard input.
#: When our process dies, however it dies, the pipe closes and the whole group goes with us: no
#: compiler is left running. (A ``preexec_fn`` with PR_SET_PDEATHSIG is unsafe beside threads and
#: would not reach the compiler's own children.)
_SUPERVISE = """
exec 3<&0 </dev/null
{ read -r _ <&3; kill -KILL 0; } >/dev/null 2>&1 &
watcher=$!
"$@" 3<&-
status=$?
kill "$watcher" 2>/dev/null
exit "$status"
"""

_FULL_DISK = re.compile("No space left on device|Disk quota exceeded")
_KILLED = re.compile(
    r"Killed signal|signal terminated program|out of memory|Cannot allocate memory"
)
_COMPLAINT = re.compile(r"\b(?:fatal )?error:|undefined reference|cannot find")


class CancelledError(Exception):
    """A job was given up because another failed or the user interrupted."""


class RefusedSourceError(BuildError):
    """A compiler refused a source, rather than lacking memory or disk."""


class Compilers:
    """The compiler processes of one build."""

    def __init__(self) -> None:
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._cancelled = False

    def check(self) -> None:
        """Raise `CancelledError` when the build has been given up."""
        if self._cancelled:
            raise CancelledError

    def cancel(self) -> None:
        """Kill every running compiler with its children, and start no more."""
        with self._guard:
            self._cancelled = True
            for process in self._running:
                if process.returncode is None:
                    _kill_group(process)

    def run(self, command: Sequence[str], folder: Path, what: str) -> str:
        """Run one compiler in a folder and return what it printed.

        Raises
        ------
        BuildError
            When it fails: one line, with the whole output attached as a note.
        """
        # Temporary files of the compiler go where they are cleaned up with the rest.
        environment = {**os.environ, "LC_ALL": "C", "TMPDIR": str(folder)}
        process, lifeline = self._start(command, folder, environment)
        try:
            output = process.communicate()[0].decode(errors="replace")
        finally:
            os.close(lifeline)
            with self._guard:
                self._running.discard(process)
        self.check()
        if process.returncode != 0:
            raise failure(what, output, process.returncode, folder)
        return output

    def _start(
        self, command: Sequence[str], folder: Path, environment: dict[str, str]
    ) -> tuple[subprocess.Popen[bytes], int]:
        with self._guard:
            self.check()
            reading, lifeline = os.pipe()
            try:
                process = subprocess.Popen(
                    ["/bin/sh", "-c", _SUPERVISE, "sh", *command],
                    stdin=reading,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=environment,
                    process_group=0,
                )
            except OSError as error:
                os.close(lifeline)
                raise BuildError(f"cannot start {command[0]}: {error}") from error
            finally:
                os.close(reading)
            self._running.add(process)
        return process, lifeline

    def run_all(self, jobs: Sequence[Callable[[], None]]) -> None:
        """Do all jobs, as many at a time as there are cores, in the given order.

        The first failure, or an interrupt of the user, kills the compilers of all others.
        """
        from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

        with ThreadPoolExecutor(max_workers=max(1, min(len(jobs), available_cores()))) as pool:
            futures = [pool.submit(job) for job in jobs]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                if not all(f.done() and not f.cancelled() and not f.exception() for f in futures):
                    self.cancel()
                    pool.shutdown(wait=True, cancel_futures=True)
        failures = [error for f in futures if not f.cancelled() and (error := f.exception())]
        for error in failures:
            if not isinstance(error, CancelledError):
                raise error


def available_cores() -> int:
    """Cores that this process may use, which on a cluster are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def failure(what: str, output: str, status: int, folder: Path) -> BuildError:
    """Put the failure of a compiler into one line, its whole output attached as a note."""
    if _FULL_DISK.search(output) or _disk_is_full(folder):
        error: BuildError = full_disk(folder.parent.parent)
    elif _KILLED.search(output) or status in (-signal.SIGKILL, 128 + signal.SIGKILL):
        error = BuildError(
            f"{what}: the compiler was killed, most likely for want of memory "
            "(it takes up to 2 GB a core)"
        )
    else:
        lines = [line.strip() for line in output.splitlines() if line.strip()]
        complaint = next((line for line in lines if _COMPLAINT.search(line)), None)
        told = complaint or (lines[-1] if lines else f"exit status {status}, nothing printed")
        error = RefusedSourceError(f"{what}: the compiler failed: {told.replace(f'{folder}/', '')}")
    if output.strip():
        error.add_note(_shortened(output.rstrip()))
    return error


def _shortened(output: str, lines_kept: int = 60) -> str:
    """Keep the beginning: compilers go on for thousands of lines about one mistake."""
    lines = output.splitlines()
    left_out = len(lines) - lines_kept
    return "\n".join(lines[:lines_kept] + [f"... ({left_out} more lines)"] * (left_out > 0))


def _disk_is_full(folder: Path) -> bool:
    """Look at the disk itself: a compiler that ran out of it does not always say so."""
    try:
        return shutil.disk_usage(folder).free < 2**16
    except OSError:
        return False


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
