"""Where the search for the mode of a parent's posterior starts, from the samples alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyxstan.stacking.coordinates import Coordinates
from pyxstan.stacking.data import Floats, PosteriorSamples
from pyxstan.stacking.parents import HISTOGRAM, MIXTURE, Range

#: Steps of expectation and maximisation from which the mode of a histogram is sought.
_EXPECTATIONS = 200
#: Means and standard deviations of parents all over the samples, and how many mixtures.
_MEANS, _SDS, _MIXTURES = 64, 14, 600
#: Groups of so few objects have no standard deviation to speak of.
_FEW = 3


def _moments(data: PosteriorSamples) -> tuple[Floats, float, float]:
    """Mean of each object, mean of those, and a guess of the parent's standard deviation."""
    x = data.x[:, 0]

    def mean(values: Floats) -> Floats:
        return np.asarray(np.add.reduceat(data.weights * values, data.start[:-1]))

    means = mean(x)
    errors = mean(x**2) - means**2
    middle = float(np.median(means))
    variance = max(float(np.var(means) - np.mean(errors)), 0.1 * float(np.var(means)))
    return means, middle, float(np.sqrt(max(variance, 1e-4 * float(np.mean(errors)), 1e-300)))


def fractions(shares: Floats, concentration: float) -> Floats:
    """Fractions of bins near their mode, by expectation and maximisation.

    Parameters
    ----------
    shares
        Likelihood of each object for the density of each bin, shape (objects, bins).
    """
    fraction = np.full(shares.shape[1], 1 / shares.shape[1])
    for _ in range(_EXPECTATIONS):
        whole = np.maximum(shares @ fraction, np.finfo(float).tiny)
        counts = concentration + fraction * (shares.T @ (1 / whole))
        fraction = counts / counts.sum()
    return np.asarray(fraction)


def start(model: str, data: PosteriorSamples, on: Range, parts: int) -> dict[str, Any]:
    """Where the search for the posterior's mode starts: from moments of the samples."""
    means, middle, sd = _moments(data)
    inside = float(np.clip(middle, on.low + 0.05 * on.width, on.high - 0.05 * on.width))
    sd = float(np.clip(sd, 0.01 * on.width, 0.5 * on.width))
    if model == MIXTURE:
        if (groups := _groups_apart(means, parts)) is not None:
            width = [float(np.std(x)) if len(x) > _FEW else 0.1 * on.width for x in groups]
            return {
                "mean": np.array([x.mean() for x in groups]),
                "sd": np.maximum(width, 1e-3 * on.width),
                "fraction": np.array([len(x) / len(means) for x in groups]),
            }
        at = np.quantile(means, (np.arange(parts) + 0.5) / parts)
        at += 1e-3 * on.width * np.arange(parts)
        return {
            "mean": at,
            "sd": np.full(parts, max(sd / parts, 0.02 * on.width)),
            "fraction": np.full(parts, 1 / parts),
        }
    if model == HISTOGRAM:
        return {"fraction": np.full(parts, 1 / parts)}
    found = _like(model, on, np.array([inside]), np.array([sd]))
    return {name: float(x[0]) for name, x in found.items()}


def _groups_apart(means: Floats, parts: int) -> list[Floats] | None:
    """Groups of the objects' means with gaps between them wider than any group; else None."""
    if len(means) < parts:
        return None
    ordered = np.sort(means)
    gaps = np.diff(ordered)
    cuts = np.sort(np.argsort(-gaps)[: parts - 1])
    groups = np.split(ordered, cuts + 1)
    return groups if gaps[cuts].min() > max(np.ptp(x) for x in groups) else None


def _like(model: str, on: Range, mean: Floats, sd: Floats) -> dict[str, Floats]:
    """Parents of about these means and standard deviations, each of shape (n,)."""
    same = np.ones(len(mean))
    above = np.maximum(mean - on.low, 0.01 * on.width)
    u = np.clip((mean - on.low) / on.width, 0.01, 0.99)
    total = np.maximum(u * (1 - u) * (on.width / sd) ** 2 - 1, 2.0)
    match model:
        case "stack_student_t":
            return {"location": mean, "scale": sd, "nu": 5 * same}
        case "stack_skew_normal":
            return {"mean": mean, "sd": sd, "shape": 0.5 * same}
        case "stack_beta":
            return {"alpha": u * total, "beta": (1 - u) * total}
        case "stack_gamma":
            return {
                "shape": np.maximum((above / sd) ** 2, 0.5),
                "scale": np.minimum(sd**2 / above, 0.5 * on.width),
            }
        case _:
            return {"mean": mean, "sd": sd}


#: What else a parent has, beside a mean and a standard deviation.
_SHAPES = {
    "stack_student_t": ("nu", (1.5, 5.0, 30.0)),
    "stack_skew_normal": ("shape", (-3.0, 0.5, 3.0)),
}


def parents_at(
    model: str, on: Range, coords: Coordinates, low: float, high: float, narrowest: float
) -> Floats:
    """Parents all over the samples and the prior: theta, shape (means, sds, others, size).

    Parameters
    ----------
    low, high
        Ends of the samples.
    narrowest
        The least standard deviation.
    """
    rng = np.random.default_rng(1)
    if model == MIXTURE:
        return _mixtures(on, coords, low, high, narrowest)[None, None]
    means = np.linspace(low, high, _MEANS)
    widest = max(on.width, high - low)
    by_name = dict(zip(coords.names, coords.priors, strict=True))
    for name in ("mean", "location"):
        if name in by_name:  # where the prior may hold it
            allowed = np.quantile(
                by_name[name].sample(rng, 1000), (0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
            )
            means = np.sort(np.append(means, allowed))
            widest = max(widest, min(float(np.ptp(allowed)), 100 * widest))
    sds = np.geomspace(narrowest, widest, _SDS)
    name, shapes = _SHAPES.get(model, ("", (0.0,)))
    found = []
    for shape in shapes:
        some = _like(model, on, np.repeat(means, len(sds)), np.tile(sds, len(means)))
        if name:
            some[name] = np.full(len(some[name]), shape)
        phi = np.column_stack([some[name] for name in coords.names])
        found.append(coords.thetas(phi).reshape(len(means), len(sds), -1))
    return np.stack(found, axis=2)


def _mixtures(on: Range, coords: Coordinates, low: float, high: float, narrowest: float) -> Floats:
    """Mixtures with components at places all over the samples, shape (n, size)."""
    rng = np.random.default_rng(1)
    parts = coords.parts
    places = np.linspace(low, high, max(12, 2 * parts))
    at = np.sort([rng.choice(len(places), parts, replace=False) for _ in range(_MIXTURES)], axis=1)
    mean = places[at] + 0.3 * (places[1] - places[0]) * rng.random((_MIXTURES, 1))
    levels = np.geomspace(max(narrowest, 0.01 * (high - low)), 0.3 * on.width, 6)
    sd = rng.choice(levels, (_MIXTURES, parts))
    fraction = rng.dirichlet(np.full(parts, 2.0), _MIXTURES)
    return coords.thetas(np.column_stack([mean, sd]), fraction)
