"""The exceptions that pyxstan raises on purpose, each with a one-line message.

The command line turns any `PyxstanError` into that one line on standard error and
`exit_code`; from Python they are ordinary exceptions.
"""


class PyxstanError(Exception):
    """Base of all errors that pyxstan raises on purpose."""

    exit_code = 2


class DataError(PyxstanError, ValueError):
    """Bad input: names the file, the row or the keyword, and what was expected."""


class BuildError(PyxstanError, RuntimeError):
    """A Stan program could not be turned into an executable; says what to install or mend."""


class OutputError(PyxstanError, OSError):
    """A result could not be written where it belongs; says where it is kept instead."""

    exit_code = 3


class SamplingError(PyxstanError, RuntimeError):
    """A Stan executable failed while running; names the chain and keeps its console output."""

    exit_code = 3
