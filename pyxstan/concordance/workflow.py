"""The workflow of the concordance models: what `pyxstan.registry.Family` asks for."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pyxstan.concordance.data import ConcordanceData
from pyxstan.concordance.data import as_concordance_data as as_data
from pyxstan.concordance.figures import figures
from pyxstan.concordance.problem import prepare
from pyxstan.concordance.simulation import simulate, write
from pyxstan.errors import DataError

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "write"]


def read(inputs: Sequence[Path], options: Mapping[str, Any]) -> ConcordanceData:
    """Read TABLE [INSTRUMENTS_TABLE]."""
    if not 1 <= len(inputs) <= 2:
        raise DataError(f"expected TABLE [INSTRUMENTS_TABLE], got {len(inputs)} files")
    return ConcordanceData.from_table(
        *inputs, columns=options.get("columns"), ignore=options.get("ignore")
    )
