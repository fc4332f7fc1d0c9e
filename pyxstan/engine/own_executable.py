"""Writing an executable where the user wants it, without ever losing what was there."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from pyxstan.engine.program import StanProgram
from pyxstan.errors import BuildError


def checked_output(output: Path, program: StanProgram) -> Path:
    """Find out before the compilers start whether the output can be written."""
    output = output.expanduser().absolute()
    if output.is_dir():
        raise BuildError(f"{output}: the output is a folder; expected the name of an executable")
    if not output.parent.is_dir():
        raise BuildError(f"{output}: its folder does not exist")
    sources = [program.stan_file, *([program.external_cpp] if program.external_cpp else [])]
    if any(output == source.absolute() for source in sources):
        raise BuildError(f"{output}: the output would overwrite the program itself")
    if not os.access(output.parent, os.W_OK):
        raise BuildError(f"{output}: its folder is not writable")
    return output


def replace_file(staged: Path, output: Path) -> None:
    """Copy a file to where it belongs, visible under its name only when it is whole."""
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{output.name}.", dir=output.parent)
    except OSError as error:
        raise BuildError(f"{output}: cannot be written ({error.strerror})") from error
    try:
        with os.fdopen(handle, "wb") as target, staged.open("rb") as source:
            shutil.copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
        shutil.copymode(staged, temporary)
        Path(temporary).replace(output)
    except OSError as error:
        raise BuildError(f"{output}: cannot be written ({error.strerror})") from error
    finally:
        with suppress(FileNotFoundError):
            Path(temporary).unlink()
