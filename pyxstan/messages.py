"""What pyxstan says while it works: the logger ``pyxstan``.

A program that sets up logging gets the messages as it wants them. Without that they go to standard
error, as the command line has them.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TextIO

logger = logging.getLogger("pyxstan")


class _StandardError(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at the time of the message."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self.setFormatter(logging.Formatter("pyxstan: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.stream = sys.stderr
        super().emit(record)


def notifier(progress: bool, *, console: bool = False) -> Callable[[str], None]:
    """Make what logs a message, or keeps silent.

    Parameters
    ----------
    progress
        Whether there is anything to say at all.
    console
        Write to standard error also where the program has set up logging.
    """
    if not progress:
        return lambda message: None
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.INFO)
    if not logger.hasHandlers() or (console and not logger.handlers):
        logger.addHandler(_StandardError())
    return logger.info
