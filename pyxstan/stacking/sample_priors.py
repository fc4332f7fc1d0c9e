"""The priors under which the objects were fitted, to be divided out of their samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import parse

if TYPE_CHECKING:
    from pyxstan.stacking.data import Floats, PosteriorSamples

#: In words, or in words by parameter.
Priors = str | Mapping[str, str]


def inverse_prior(priors: Priors, data: PosteriorSamples) -> Floats:
    """One over the prior density of every sample, up to a constant, shape (samples,).

    Raises
    ------
    DataError
        An unknown prior or parameter, or a sample where the prior is zero.
    """
    if isinstance(priors, Mapping):
        for name in priors:
            if name not in data.parameters:
                raise DataError(
                    f"prior of '{name}': there is no such parameter, "
                    f"but {', '.join(data.parameters)}"
                )
        by_name = dict(priors)
    else:
        by_name = dict.fromkeys(data.parameters, priors)
    log_prior = np.zeros(len(data.x))
    for column, name in enumerate(data.parameters):
        log_prior += _log_density(by_name.get(name, "uniform"), name, data, data.x[:, column])
    least = np.minimum.reduceat(log_prior, data.start[:-1])
    return np.exp(np.repeat(least, data.sizes) - log_prior)


def _log_density(words: str, name: str, data: PosteriorSamples, x: Floats) -> Floats:
    words = str(words).strip()
    if words == "uniform":
        return np.zeros(len(x))
    if words == "loguniform":
        bad = x <= 0
        if bad.any():
            where = data.name_of(int(np.argmax(bad)))
            raise DataError(
                f"{data.source}: {where}: {name} is {x[bad][0]:g}, where a loguniform prior is zero"
            )
        return -np.log(x)
    if not words.startswith("normal"):
        raise DataError(
            f"prior of {name}: '{words}' is not uniform, loguniform or normal(mean, sd); "
            "for another one give weights"
        )
    return parse(words).log_density(x)
