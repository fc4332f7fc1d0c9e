"""Run the command line in this process, as a shell would, and say what became of it."""

from __future__ import annotations

import hashlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from pyxstan.command_line import main


@dataclass(frozen=True)
class Outcome:
    """Exit status, standard output and standard error of a command."""

    status: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line on standard error, without the program's name."""
        assert self.err.startswith("pyxstan: "), self.err
        assert self.err.count("\n") == 1, self.err
        assert self.err.endswith("\n"), self.err
        return self.err.removeprefix("pyxstan: ").removesuffix("\n")


def run(arguments: Sequence[object], capsys: pytest.CaptureFixture[str]) -> Outcome:
    """Run ``pyxstan ARGUMENTS``; signals are handled as before when this returns."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in numbers}
    capsys.readouterr()
    status = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    captured = capsys.readouterr()
    return Outcome(status, captured.out, captured.err)


def contents(folder: Path) -> dict[str, str]:
    """All files and folders below a folder, with a fingerprint of each file."""
    return {
        str(path.relative_to(folder)): (
            hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "folder"
        )
        for path in sorted(folder.rglob("*"))
    }
