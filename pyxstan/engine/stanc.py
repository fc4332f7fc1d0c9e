"""``stanc``, the translator from Stan to C++."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from pyxstan.engine.program import StanProgram
from pyxstan.errors import BuildError


def translate(stanc: Path, program: StanProgram, translated: Path) -> str:
    """Write a program's C++.

    Parameters
    ----------
    stanc : Path
        The translator.
    program : StanProgram
        What to translate.
    translated : Path
        The C++ file to write.

    Returns
    -------
    str
        Warnings, mostly empty.

    Raises
    ------
    BuildError
        When the program is not valid: where and why in one line; stanc's whole message as a note.
    """
    command = [
        str(stanc.absolute()),
        # Messages name the file alone: the C++ does not depend on where the program lies.
        f"--filename-in-msg={program.stan_file.name}",
        f"--include-paths={','.join(_without_commas(program.search_path, translated.parent))}",
        *(("--allow-undefined",) if program.external_cpp is not None else ()),
        f"--o={translated}",
        str(program.stan_file.absolute()),
    ]
    try:
        answer = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, cwd=translated.parent
        )
    except OSError as error:
        raise BuildError(f"stanc does not run ({error}): reinstall httpstan") from error
    said = answer.stderr.decode(errors="replace").strip()
    if answer.returncode != 0 or not translated.exists():
        refusal = BuildError(f"{program.stan_file}: {in_one_line(said)}")
        refusal.add_note(said)
        raise refusal
    return said


def _without_commas(folders: Sequence[Path], working: Path) -> Iterator[str]:
    """Name folders so that a list of them can be told apart: by links, in the working folder."""
    for number, folder in enumerate(folders):
        if "," in str(folder):
            link = working / f"include-{number}"
            link.symlink_to(folder)
            yield link.name
        else:
            yield str(folder)


def in_one_line(said: str) -> str:
    """Put stanc's message into one line: where, and what, without the quoted program."""
    paragraphs = re.split(r"^\s*-{20,}\s*$", said, flags=re.MULTILINE)
    where, what = paragraphs[0], paragraphs[-1] if len(paragraphs) > 1 else ""
    line = " ".join(f"{where} {what}".split()) or "stanc failed and printed nothing"
    return line if len(line) <= 500 else f"{line[:497]}..."
