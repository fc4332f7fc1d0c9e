"""The workflow of the stacking models: what `pyxstan.registry.Family` asks for."""

from collections.abc import Mapping
from typing import Any

from pyxstan.priors import Prior
from pyxstan.stacking import linear, problem
from pyxstan.stacking.data import PosteriorSamples
from pyxstan.stacking.data import as_posterior_samples as as_data
from pyxstan.stacking.figures import figures
from pyxstan.stacking.linear import LinearProblem
from pyxstan.stacking.problem import StackProblem
from pyxstan.stacking.readers import read_inputs as read
from pyxstan.stacking.simulation import simulate, write

__all__ = ["as_data", "figures", "prepare", "read", "simulate", "write"]


def prepare(
    model: str, data: PosteriorSamples, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> StackProblem | LinearProblem:
    """Make the samples ready for Stan."""
    if model in linear.MODELS:
        return linear.prepare(model, data, options, priors)
    return problem.prepare(model, data, options, priors)
