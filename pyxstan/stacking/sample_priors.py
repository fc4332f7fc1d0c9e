"""The priors under which the objects were fitted, to be divided out of their samples.

They come from the user, or from what the fits themselves record; where neither says anything a
flat prior is assumed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior, parse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pyxstan.stacking.data import Floats, PosteriorSamples

#: In words, or in words by parameter; None: as the fits record it.
Priors = str | Mapping[str, str] | None


@dataclass(frozen=True)
class Unknown:
    """A prior that a fit has, but does not say: what the file is to be asked for."""

    reason: str


#: By parameter what the fit of an object records: a prior (``"uniform"`` where it has no ends).
Recorded = Mapping[str, Prior | str | Unknown]

_FLAT = ("uniform", "loguniform")
_POSITIVE = ("lognormal", "gamma", "inv_gamma", "loguniform")
#: Ends of a recorded uniform prior are known to so many parts of its width.
_ROUNDING = 1e-5
#: Of priors that differ between objects, so many are told.
_SHOWN = 3


def log_weights(
    priors: Priors, data: PosteriorSamples, recorded: Sequence[Recorded] | None = None
) -> tuple[Floats, list[str]]:
    """Log of one over the prior density of every sample, up to a constant of each object's.

    Parameters
    ----------
    priors
        What the user gave: it comes before what the fits record.
    recorded
        What the fits record, object by object.

    Returns
    -------
    log_weights, notes
        Shape (samples,), and what was decided.

    Raises
    ------
    DataError
        An unknown prior or parameter, a fit that does not say the prior, or a sample where the
        prior is zero.
    """
    given = _by_name(priors, data)
    found, notes = np.zeros(len(data.x)), []
    for column, name in enumerate(data.parameters):
        x = data.x[:, column]
        theirs = [one.get(name) for one in recorded or ()]
        words = _in_words(theirs)
        if name in given:
            found -= _checked(given[name], name, data, x, np.arange(len(x)))
            if words and any(_differ(prior, given[name]) for prior in theirs):
                notes.append(
                    f"prior of {name}: {given[name]} as given, not {words} as the results record it"
                )
            continue
        for i, prior in enumerate(theirs):
            if isinstance(prior, Unknown):
                raise DataError(
                    f"{prior.reason}: give it, as in prior='{name}=normal(0, 1)', or 'uniform' for "
                    "a flat one"
                )
            if prior is not None:
                rows = np.arange(data.start[i], data.start[i + 1])
                found[rows] -= _checked(prior, name, data, x[rows], rows)
        if words:
            notes.append(f"prior of {name} divided out, as the results record it: {words}")
        silent = [label for label, p in zip(data.objects, theirs, strict=False) if p is None]
        if silent:
            of = f" of '{silent[0]}'" if len(silent) < len(theirs) else ""
            notes.append(
                f"prior of {name} in the fits{of} is not known, a flat one is assumed "
                "(prior=... divides out another one)"
            )
    return found, notes


def _by_name(priors: Priors, data: PosteriorSamples) -> dict[str, str | Prior]:
    """The user's priors by parameter, parsed but for what has no ends."""
    if priors is None:
        return {}
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
    found: dict[str, str | Prior] = {}
    for name, words in by_name.items():
        text = str(words).strip()
        found[name] = text if text in _FLAT else parse(text)
    return found


def _checked(
    prior: str | Prior, name: str, data: PosteriorSamples, x: Floats, rows: NDArray[np.intp]
) -> Floats:
    """Log density of a prior, which must not be zero at any sample."""
    found = _log_density(prior, x)
    zero = ~np.isfinite(found)
    if zero.any():
        k = int(np.argmax(zero))
        kind = f"a {prior} prior" if isinstance(prior, str) else f"the prior {prior}"
        where = data.name_of(int(rows[k]))
        raise DataError(f"{data.source}: {where}: {name} is {x[k]:g}, where {kind} is zero")
    return found


def _log_density(prior: str | Prior, x: Floats) -> Floats:
    """Log density up to a constant; minus infinity where it is zero."""
    family = prior if isinstance(prior, str) else prior.family
    if isinstance(prior, str) and family == "uniform":
        return np.zeros(len(x))
    with np.errstate(divide="ignore", invalid="ignore"):
        if isinstance(prior, str):
            return np.where(x > 0, -np.log(x), -np.inf)
        if family in _FLAT:
            low, high = prior.arguments
            margin = _ROUNDING * (high - low)
            inside = (x >= low - margin) & (x <= high + margin) & (x > 0 if low > 0 else True)
            density = np.zeros(len(x)) if family == "uniform" else -np.log(x)
            return np.where(inside, density, -np.inf)
        density = prior.log_density(x)
    if family in _POSITIVE:
        return np.where(x > 0, density, -np.inf)
    return np.where(x >= 0, density, -np.inf) if family == "half_normal" else density


def _differ(recorded: Prior | str | Unknown | None, given: str | Prior) -> bool:
    if isinstance(recorded, Prior) and isinstance(given, str):
        return recorded.family != given
    return recorded is not None and str(recorded) != str(given)


def _in_words(priors: Sequence[Prior | str | Unknown | None]) -> str:
    words = list(dict.fromkeys(str(prior) for prior in priors if isinstance(prior, Prior | str)))
    more = f" and {len(words) - _SHOWN} others" if len(words) > _SHOWN else ""
    return ", ".join(words[:_SHOWN]) + more


def scaled(prior: Prior, factor: float) -> Prior:
    """The prior of `factor` times the parameter: in other units."""
    a, b = prior.stan_arguments
    match prior.family:
        case "lognormal":
            return Prior("lognormal", (a + float(np.log(factor)), b))
        case "half_normal":
            return Prior("half_normal", (a * factor,))
        case "gamma":
            return Prior("gamma", (a, b / factor))
        case "inv_gamma":
            return Prior("inv_gamma", (a, b * factor))
        case _:
            return Prior(prior.family, (a * factor, b * factor))
