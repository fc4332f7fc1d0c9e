r"""The distributions that a population's parameter may have.

On the range [low, high] of a parameter x:

* histogram: p = fraction_b / width_b in bin b; the fractions have a Dirichlet prior;
* Gaussian, and Gaussian cut off at the ends of the range and normalised there;
* Student t: location, scale and degrees of freedom;
* skew normal: p = 2 / scale phi(t) Phi(shape t) with t = (x - location) / scale, where mean, sd and
  shape are the parameters (mean = location + scale s, sd^2 = scale^2 (1 - s^2),
  s = sqrt(2 / pi) shape / sqrt(1 + shape^2)): those are known well, location and scale are not;
* beta on the range: u^(alpha - 1) (1 - u)^(beta - 1) / B(alpha, beta) / (high - low),
  u = (x - low) / (high - low); gamma from the low end on, with shape and scale;
* mixture of Gaussians in the order of their means.

The densities here are those of ``stan_models/functions/stack_parents.stanfunctions``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.stacking.data import Floats

HISTOGRAM, MIXTURE = "stack_histogram", "stack_mixture"
#: Standard deviations beyond which a Gaussian is nothing.
_REACH = 12.0
#: Values of a parent's parameters by name: a number a draw, shape (draws,), or (draws, parts).
Values = Mapping[str, Floats]


@dataclass(frozen=True)
class Range:
    """Where the parent is looked for."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """Its length."""
        return self.high - self.low


@dataclass(frozen=True)
class Parent:
    """A family of distributions."""

    #: Its number in ``stan_models/stack.stan``.
    code: int
    #: Parameters that are single numbers, with their default priors on a range.
    priors: Callable[[Range], dict[str, Prior]]
    #: ln p(x), shape (draws, len(x)).
    log_density: Callable[[Floats, Values, Range], Floats]
    #: Length on which p changes, shape (draws,).
    finest: Callable[[Values, Range], Floats]
    #: A value drawn from p, for each draw of the parameters.
    sample: Callable[[np.random.Generator, Values, Range], Floats]
    #: Parameters that can't be negative.
    positive: frozenset[str] = frozenset()
    #: Where p isn't zero: "everywhere", "above" the low end, or "inside" the range.
    support: str = "everywhere"
    #: Ends of where p is anything to speak of, each of shape (draws,); None: of the support.
    window: Callable[[Values, Range], tuple[Floats, Floats]] | None = None
    #: More that follows from the parameters: mean and sd, or location and scale.
    derived: Callable[[Values, Range], dict[str, Floats]] | None = None


def _t(x: Floats, location: Floats, scale: Floats) -> Floats:
    return np.asarray((x - location[:, None]) / scale[:, None])


def _normal(t: Floats, scale: Floats) -> Floats:
    return np.asarray(-0.5 * t * t - np.log(np.sqrt(2 * np.pi) * scale[:, None]))


def _gaussian(x: Floats, v: Values, _: Range) -> Floats:
    return _normal(_t(x, v["mean"], v["sd"]), v["sd"])


def _near(v: Values, _: Range) -> tuple[Floats, Floats]:
    return v["mean"] - _REACH * v["sd"], v["mean"] + _REACH * v["sd"]


def _near_within(v: Values, on: Range) -> tuple[Floats, Floats]:
    return _near({**v, "mean": np.clip(v["mean"], on.low, on.high)}, on)


def _truncated(x: Floats, v: Values, on: Range) -> Floats:
    side = np.where(v["mean"] < on.low, -1.0, 1.0)[:, None]  # either end may be in a tail
    ends = side * _t(np.array([on.low, on.high]), v["mean"], v["sd"])
    part = np.log(np.abs(np.diff(special.ndtr(ends), axis=1)))
    inside = (x >= on.low) & (x <= on.high)
    return np.where(inside, _gaussian(x, v, on) - part, -np.inf)


def _student_t(x: Floats, v: Values, _: Range) -> Floats:
    t, half = _t(x, v["location"], v["scale"]), 0.5 * v["nu"][:, None]
    norm = special.gammaln(half + 0.5) - special.gammaln(half) - 0.5 * np.log(2 * np.pi * half)
    log_p = norm - (half + 0.5) * np.log1p(t * t / (2 * half))
    return np.asarray(log_p - np.log(v["scale"])[:, None])


def _skew(v: Values) -> tuple[Floats, Floats]:
    """Location and scale of a skew normal."""
    shift = np.sqrt(2 / np.pi) * v["shape"] / np.hypot(1, v["shape"])
    scale = v["sd"] / np.sqrt(1 - shift**2)
    return v["mean"] - scale * shift, scale


def _skew_normal(x: Floats, v: Values, _: Range) -> Floats:
    location, scale = _skew(v)
    t = _t(x, location, scale)
    return np.asarray(np.log(2) + _normal(t, scale) + special.log_ndtr(v["shape"][:, None] * t))


def _beta(x: Floats, v: Values, on: Range) -> Floats:
    a, b = v["alpha"][:, None], v["beta"][:, None]
    u = (x - on.low) / on.width
    inside = (u > 0) & (u < 1)
    u = np.where(inside, u, 0.5)
    log_p = (a - 1) * np.log(u) + (b - 1) * np.log1p(-u) - special.betaln(a, b)
    return np.where(inside, log_p - np.log(on.width), -np.inf)


def _gamma(x: Floats, v: Values, on: Range) -> Floats:
    k, scale = v["shape"][:, None], v["scale"][:, None]
    t = x - on.low
    inside = t > 0
    t = np.where(inside, t, 1.0)
    log_p = (k - 1) * np.log(t) - t / scale - special.gammaln(k) - k * np.log(scale)
    return np.where(inside, log_p, -np.inf)


def _mixture(x: Floats, v: Values, _: Range) -> Floats:
    t = (x - v["mean"][..., None]) / v["sd"][..., None]
    peaks = np.log(v["fraction"] / (np.sqrt(2 * np.pi) * v["sd"]))
    terms = peaks[..., None] - 0.5 * t * t
    most = terms.max(axis=1)
    return np.asarray(most + np.log(np.exp(terms - most[:, None]).sum(axis=1)))


def _skew_moments(v: Values, _: Range) -> dict[str, Floats]:
    location, scale = _skew(v)
    return {"location": location, "scale": scale}


def _beta_moments(v: Values, on: Range) -> dict[str, Floats]:
    total = v["alpha"] + v["beta"]
    variance = v["alpha"] * v["beta"] / (total**2 * (total + 1))
    return {
        "mean": on.low + on.width * v["alpha"] / total,
        "sd": on.width * np.sqrt(variance),
    }


def _gamma_moments(v: Values, on: Range) -> dict[str, Floats]:
    return {
        "mean": on.low + v["shape"] * v["scale"],
        "sd": np.sqrt(v["shape"]) * v["scale"],
    }


def _draw_gaussian(rng: np.random.Generator, v: Values, _: Range) -> Floats:
    return np.asarray(rng.normal(v["mean"], v["sd"]))


def _draw_truncated(rng: np.random.Generator, v: Values, on: Range) -> Floats:
    low, high = (special.ndtr((end - v["mean"]) / v["sd"]) for end in (on.low, on.high))
    x = v["mean"] + v["sd"] * special.ndtri(rng.uniform(low, high))
    return np.asarray(np.clip(x, on.low, on.high))


def _draw_student_t(rng: np.random.Generator, v: Values, _: Range) -> Floats:
    return np.asarray(v["location"] + v["scale"] * rng.standard_t(v["nu"]))


def _draw_skew_normal(rng: np.random.Generator, v: Values, _: Range) -> Floats:
    a, b = rng.standard_normal((2, len(v["shape"])))
    t = (v["shape"] * np.abs(a) + b) / np.hypot(1, v["shape"])
    location, scale = _skew(v)
    return np.asarray(location + scale * t)


def _draw_beta(rng: np.random.Generator, v: Values, on: Range) -> Floats:
    return np.asarray(on.low + on.width * rng.beta(v["alpha"], v["beta"]))


def _draw_gamma(rng: np.random.Generator, v: Values, on: Range) -> Floats:
    return np.asarray(on.low + rng.gamma(v["shape"], v["scale"]))


def _draw_mixture(rng: np.random.Generator, v: Values, _: Range) -> Floats:
    k = _drawn_part(rng, v["fraction"])[:, None]
    mean, sd = (np.take_along_axis(v[name], k, axis=1)[:, 0] for name in ("mean", "sd"))
    return np.asarray(rng.normal(mean, sd))


def _drawn_part(rng: np.random.Generator, fraction: Floats) -> np.ndarray:
    total = np.cumsum(fraction, axis=1)
    u = rng.uniform(0, total[:, -1])
    return np.asarray(np.minimum((total < u[:, None]).sum(axis=1), fraction.shape[1] - 1))


def _uniform(low: float, high: float) -> Prior:
    return Prior("uniform", (low, high))


_AROUND_TWO = Prior("lognormal", (float(np.log(2)), 1.0))
#: Degrees of freedom, after Juarez & Steel 2010.
_NU = Prior("gamma", (2.0, 0.1))

#: By the name of the model.
PARENTS: dict[str, Parent] = {
    "stack_gaussian": Parent(
        2,
        lambda on: {"mean": _uniform(on.low, on.high), "sd": _uniform(0, on.width)},
        _gaussian,
        lambda v, _: v["sd"],
        _draw_gaussian,
        positive=frozenset({"sd"}),
        window=_near,
    ),
    "stack_truncated_gaussian": Parent(
        3,
        lambda on: {"mean": _uniform(on.low, on.high), "sd": _uniform(0, on.width)},
        _truncated,
        lambda v, _: v["sd"],
        _draw_truncated,
        positive=frozenset({"sd"}),
        support="inside",
        window=_near_within,
    ),
    "stack_student_t": Parent(
        4,
        lambda on: {
            "location": _uniform(on.low, on.high),
            "scale": _uniform(0, on.width),
            "nu": _NU,
        },
        _student_t,
        lambda v, _: 0.7 * v["scale"] * np.minimum(1, np.sqrt(v["nu"])),
        _draw_student_t,
        positive=frozenset({"scale", "nu"}),
    ),
    "stack_skew_normal": Parent(
        5,
        lambda on: {
            "mean": _uniform(on.low, on.high),
            "sd": _uniform(0, on.width),
            "shape": Prior("normal", (0.0, 3.0)),
        },
        _skew_normal,
        lambda v, _: v["sd"] / np.hypot(1, v["shape"]),
        _draw_skew_normal,
        positive=frozenset({"sd"}),
        derived=_skew_moments,
    ),
    "stack_beta": Parent(
        6,
        lambda _: {"alpha": _AROUND_TWO, "beta": _AROUND_TWO},
        _beta,
        lambda v, on: 0.6 * _beta_moments(v, on)["sd"],
        _draw_beta,
        positive=frozenset({"alpha", "beta"}),
        support="inside",
        derived=_beta_moments,
    ),
    "stack_gamma": Parent(
        7,
        lambda on: {"shape": _AROUND_TWO, "scale": _uniform(0, on.width)},
        _gamma,
        lambda v, on: v["scale"] * np.sqrt(np.minimum(1, v["shape"])),
        _draw_gamma,
        positive=frozenset({"shape", "scale"}),
        support="above",
        derived=_gamma_moments,
    ),
    "stack_mixture": Parent(
        8,
        lambda on: {
            "mean": Prior("normal", (0.5 * (on.low + on.high), 0.5 * on.width)),
            # neither a spike on one object nor a second background
            "sd": Prior("lognormal", (float(np.log(on.width / 10)), 0.7)),
        },
        _mixture,
        lambda v, _: v["sd"].min(axis=1),
        _draw_mixture,
        positive=frozenset({"sd"}),
    ),
}


def log_density(model: str, x: Floats, values: Values, on: Range, edges: Floats | None) -> Floats:
    """ln p(x) of a parent distribution, shape (draws, len(x)).

    Parameters
    ----------
    edges
        Of the bins of a histogram.
    """
    with np.errstate(all="ignore"):
        if model != HISTOGRAM:
            return PARENTS[model].log_density(x, values, on)
        assert edges is not None
        bins = bin_of(x, edges)
        log_p = np.log(values["fraction"] / np.diff(edges))
        return np.asarray(np.where(bins < 0, -np.inf, log_p[:, np.maximum(bins, 0)]))


def density(model: str, x: Floats, values: Values, on: Range, edges: Floats | None) -> Floats:
    """p(x), as `log_density`."""
    with np.errstate(under="ignore", over="ignore"):
        return np.asarray(np.exp(log_density(model, x, values, on, edges)))


def finest(model: str, values: Values, on: Range) -> Floats:
    """Length on which the density changes, shape (draws,): infinite for a histogram."""
    if model == HISTOGRAM:
        return np.full(len(values["fraction"]), np.inf)
    return PARENTS[model].finest(values, on)


def window(model: str, values: Values, on: Range) -> tuple[Floats, Floats]:
    """Ends of where the parent's density is anything to speak of, each of shape (draws,)."""
    found = None if model == HISTOGRAM else PARENTS[model].window
    if found is not None:
        return found(values, on)
    anywhere = np.full(len(next(iter(values.values()))), np.inf)
    return -anywhere, anywhere


def sample(
    model: str, rng: np.random.Generator, values: Values, on: Range, edges: Floats | None
) -> Floats:
    """A value of x drawn from the parent, for each draw of its parameters."""
    if edges is None:
        return PARENTS[model].sample(rng, values, on)
    bins = _drawn_part(rng, values["fraction"])
    return np.asarray(rng.uniform(edges[bins], edges[bins + 1]))


def bin_of(x: Floats, edges: Floats) -> np.ndarray:
    """Position of the bin that each x is in, -1 outside; the last bin has its upper edge."""
    found = np.searchsorted(edges, x, side="right") - 1
    found[x == edges[-1]] = len(edges) - 2
    found[(x < edges[0]) | (x > edges[-1])] = -1
    return found


def support(model: str, on: Range) -> tuple[float, float]:
    """Where the parent's density isn't zero."""
    kind = "inside" if model == HISTOGRAM else PARENTS[model].support
    low = -np.inf if kind == "everywhere" else on.low
    return low, on.high if kind == "inside" else np.inf


def checked_range(low: float, high: float) -> Range:
    """The range, or a `DataError`."""
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise DataError(f"range {low:g} to {high:g}: expected low below high, both finite")
    return Range(float(low), float(high))
