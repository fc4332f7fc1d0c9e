"""Run a command and measure the CPU time and peak memory of its whole process tree (Linux)."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Usage:
    """What a finished command cost."""

    cpu_seconds: float
    """User and system time of the process and of all its descendants that were waited for."""
    wall_seconds: float
    peak_bytes: int
    """Largest sum of resident memory over the tree; 0 unless asked for. Pages that processes
    share count once for each, so this errs on the high side."""


def run(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    memory: bool = False,
) -> Usage:
    """Run the command; RuntimeError with its last words when it fails or takes too long."""
    start = time.perf_counter()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )
    assert process.stderr is not None
    words: list[str] = []
    stderr = process.stderr
    reader = threading.Thread(target=lambda: words.extend(stderr.readlines()[-15:]), daemon=True)
    reader.start()
    peak = 0
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if timeout is not None and time.perf_counter() - start > timeout:
            os.killpg(process.pid, 9)
            os.wait4(process.pid, 0)
            process.returncode = -9
            raise RuntimeError(f"stopped after {timeout:.0f} s")
        if memory:
            peak = max(peak, _tree_memory(process.pid))
        time.sleep(0.05)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    reader.join(timeout=5)
    if process.returncode:
        sys.stderr.writelines(words)
        raise RuntimeError(f"exit code {process.returncode}: {' '.join(command[:4])} ...")
    return Usage(usage.ru_utime + usage.ru_stime, wall, peak)


def _tree_memory(root: int) -> int:
    """Resident bytes of the process and its descendants, from /proc."""
    parents: dict[int, int] = {}
    pages: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            # The command name, in parentheses, may hold blanks: fields are counted after it.
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:  # gone meanwhile
            continue
        parents[int(entry.name)] = int(fields[1])
        pages[int(entry.name)] = int(fields[21])
    tree = {root}
    grown = True
    while grown:
        children = {pid for pid, parent in parents.items() if parent in tree} - tree
        tree |= children
        grown = bool(children)
    return sum(pages.get(pid, 0) for pid in tree) * os.sysconf("SC_PAGE_SIZE")
