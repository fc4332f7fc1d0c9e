"""The health of executables: whether they are whole and run on this machine.

Beside each executable in the cache lies a health record: the driver units linked into it, its
digest, the library it loads with the digest of that, and the machines on which it has answered
``info``. An executable whose record does not fit is built anew, be it truncated, replaced, or of a
flipped byte; on a machine that the record does not name it has to answer ``info`` first.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pyxstan.engine.cache import Cache, check_trusted, disk_errors, file_digest, is_trusted
from pyxstan.errors import BuildError

#: A record in a cache shared by a whole cluster stays small.
_MACHINES_KEPT = 200


@dataclass(frozen=True)
class HealthRecord:
    """What is known of an executable."""

    units: tuple[str, ...]
    sha256: str
    library: str
    #: Empty where the library is a folder.
    library_sha256: str
    machines: tuple[str, ...]


def usable(executable: Path, units: Collection[str], cache: Cache) -> bool:
    """Whether an executable of the cache has these units, is whole, and runs here."""
    record = read_record(executable)
    if record is None or not set(units) <= set(record.units):
        return False
    for path in (executable.parent, executable):
        check_trusted(path)
    # Relative to the executable, or (a user's own CmdStan) absolute.
    library = executable.parent / record.library
    beside = [_record_file(executable)]
    if not Path(record.library).is_absolute():
        beside += [library.parent, library]
    if not all(map(is_trusted, beside)):
        return False
    try:
        if file_digest(executable) != record.sha256 or _library_digest(library) != (
            record.library_sha256
        ):
            return False
    except OSError:
        return False
    if not os.access(executable, os.X_OK):
        return False
    if _machine() in record.machines:
        return True
    if info_problem(executable) is not None:
        return False
    record = replace(record, machines=(*record.machines, _machine())[-_MACHINES_KEPT:])
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
    cache.folder(str(executable.parent.relative_to(cache.root)))
    with disk_errors(cache.root):
        staged.chmod(0o755)  # nobody else may write to it, whatever the umask
        digests = file_digest(staged), _library_digest(executable.parent / library)
    record = HealthRecord(tuple(sorted(units)), digests[0], library, digests[1], (_machine(),))
    cache.publish(staged, executable)
    _write_record(executable, record, cache)


def read_record(executable: Path) -> HealthRecord | None:
    """Return the health record of an executable, or none if it is missing or not readable."""
    try:
        fields = json.loads(_record_file(executable).read_bytes())
        return HealthRecord(
            tuple(map(str, fields["units"])),
            str(fields["sha256"]),
            str(fields["library"]),
            str(fields["library_sha256"]),
            tuple(map(str, fields["machines"])),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def info_problem(executable: Path, data: Path | None = None) -> str | None:
    """Ask an executable for ``info``; what is wrong with the answer, or none.

    With data it evaluates its log density and the gradient once.
    """
    try:
        answer = subprocess.run(
            [executable, "info", *([] if data is None else ["data", f"file={data}"])],
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


def drop(executable: Path) -> None:
    """Forget an executable that is broken, so that it is built anew."""
    with suppress(OSError):
        _record_file(executable).unlink(missing_ok=True)


def _library_digest(library: Path) -> str:
    if library.is_dir():
        return ""
    return file_digest(library)


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
