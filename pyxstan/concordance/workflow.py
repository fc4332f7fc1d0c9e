"""The workflow of the concordance models: what `pyxstan.registry.Family` asks for."""

from pyxstan.concordance.data import as_concordance_data as as_data
from pyxstan.concordance.data import data_from_files
from pyxstan.concordance.figures import figures
from pyxstan.concordance.problem import prepare
from pyxstan.concordance.simulation import simulate, write

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "write"]

read = data_from_files
