"""The health of executables: whether they are whole and run on this machine.

Beside each executable in the cache lies a health record: the driver units linked into it, its size
and time, the library it loads, and the machines on which it has answered ``info``. With a record
that fits, an executable is trusted at the cost of reading one small file; without, it has to answer
``info`` first. So an executable that was truncated, or that came from a machine with an older or a
foreign operating system, is noticed and built anew.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pyxstan.engine.cache import Cache
from pyxstan.errors import BuildError

#: A record in a cache shared by a whole cluster stays small.
_MACHINES_KEPT = 200


@dataclass(frozen=True)
class HealthRecord:
    """What is known of an executable."""

    units: tuple[str, ...]
    size: int
    mtime_ns: int
    library: str
    machines: tuple[str, ...]


def usable(executable: Path, units: Collection[str], cache: Cache) -> bool:
    """Whether an executable of the cache has these units, is whole, and runs here."""
    record = read_record(executable)
    if record is None or not set(units) <= set(record.units):
        return False
    try:
        status = executable.stat()
        # Relative to the executable, or absolute.
        library = executable.parent / record.library
        if status.st_size != record.size or not library.exists():
            return False
    except OSError:
        return False
    if status.st_mtime_ns == record.mtime_ns and _machine() in record.machines:
        return True
    if info_problem(executable) is not None:
        return False
    machines = record.machines if status.st_mtime_ns == record.mtime_ns else ()
    record = replace(
        record,
        mtime_ns=status.st_mtime_ns,
        machines=(*(m for m in machines if m != _machine()), _machine())[-_MACHINES_KEPT:],
    )
    # The cache may be shared and read-only: then every start asks for `info`.
    with suppress(BuildError):
        _write_record(executable, record, cache)
    return True


def publish(
    staged: Path, executable: Path, units: Collection[str], library: str, cache: Cache
) -> None:
    """Move an executable that has answered ``info`` into the cache, with its record.

    Should the process be killed between the two, then the old record does not fit the new
    executable, which is linked again.
    """
    status = staged.stat()
    record = HealthRecord(
        tuple(sorted(units)), status.st_size, status.st_mtime_ns, library, (_machine(),)
    )
    cache.publish(staged, executable)
    _write_record(executable, record, cache)


def read_record(executable: Path) -> HealthRecord | None:
    """Return the health record of an executable, or none if it is missing or not readable."""
    try:
        fields = json.loads(_record_file(executable).read_bytes())
        return HealthRecord(
            tuple(map(str, fields["units"])),
            int(fields["size"]),
            int(fields["mtime_ns"]),
            str(fields["library"]),
            tuple(map(str, fields["machines"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def info_problem(executable: Path) -> str | None:
    """Ask an executable for ``info``; what is wrong with the answer, or none."""
    try:
        answer = subprocess.run(
            [executable, "info"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    text = answer.stdout.decode(errors="replace")
    if answer.returncode == 0 and "stan_version_major" in text:
        return None
    return f"`info` ended with status {answer.returncode}: {' '.join(text.split())[:200]}"


def _write_record(executable: Path, record: HealthRecord, cache: Cache) -> None:
    name = f"{executable.parent.name}.record"
    with cache.lock(name), cache.staging(name) as folder:
        staged = folder / "record"
        try:
            staged.write_text(json.dumps(asdict(record)))
        except OSError as error:
            raise BuildError(f"cannot write in {cache.root} ({error})") from error
        cache.publish(staged, _record_file(executable))


def _record_file(executable: Path) -> Path:
    return executable.with_name(f"{executable.name}.json")


def _machine() -> str:
    """Tell what decides whether an executable runs: the machine and its C library."""
    system = os.uname()
    libc = "CS_GNU_LIBC_VERSION"
    c_library = os.confstr(libc) if libc in os.confstr_names else None
    parts = (system.nodename, system.sysname, system.release, system.machine, c_library or "")
    return " ".join(parts)
