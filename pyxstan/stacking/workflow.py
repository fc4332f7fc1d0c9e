"""The workflow of the stacking models: what `pyxstan.registry.Family` asks for."""

from pyxstan.stacking.data import as_posterior_samples as as_data
from pyxstan.stacking.figures import figures
from pyxstan.stacking.problem import prepare
from pyxstan.stacking.readers import read_inputs as read
from pyxstan.stacking.simulation import simulate, write

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "write"]
