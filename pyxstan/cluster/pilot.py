"""From an image alone to a guess of the posterior: centre, profile, optimum, covariance.

Several centres are tried, see `pyxstan.cluster.search`; a profile is fitted to annuli around each,
from several starting points; then every parameter to the whole image in cells, whose reference is
the profile found so far. The mode of largest likelihood is kept. The sampler moves in coordinates
in which the posterior at this optimum has unit covariance. Nothing here changes a result; it only
makes it cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from pyxstan.cluster.annuli import Annuli
from pyxstan.cluster.cells import (
    Cells,
    Floats,
    Pixels,
    average_brightness,
    merged_cells,
    pixel_cells,
    with_fine_pixels,
)
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.likelihoods import log_likelihoods
from pyxstan.cluster.mode import bend_along, principal, scoring
from pyxstan.cluster.parameters import RADIUS, Coordinates, Layout
from pyxstan.cluster.search import Candidate, candidates, closest
from pyxstan.cluster.starting import first_profile
from pyxstan.cluster.superfluous import SuperfluousSecond
from pyxstan.optimum import optimum
from pyxstan.priors import Prior, log_prior_of_many

#: Cells by level of refinement: their width in ln S, how many are around the centre, and the radius
#: within which every pixel is its own (pixels).
LEVELS = (
    (0.1, 1, 9.0),
    (0.05, 1, 12.0),
    (0.1, 8, 12.0),
    (0.05, 8, 16.0),
    (0.025, 16, 20.0),
    (0.0125, 32, 30.0),
)
#: An optimum of rough cells that all pixels find worse than its start, by this, is none.
_ASTRAY = 10.0
#: Draws of a Gaussian approximation on which cells are tried, and the error allowed there.
_TRIALS = 24
_TRIAL_ERROR = 0.01
#: Gain of ln L below which there is no second component (2 ln L has p = .001 at three degrees of
#: freedom), and that of the profile above which there is one.
SECOND, _PLAIN = 8.0, 40.0
#: Draws of the second component's prior, and the core radius (pixels) down to which it is followed.
_PRIOR_DRAWS, _PEAK = 400, 0.3
#: A core radius (pixels) below which brightness is averaged over pixels; how far a parameter may
#: move by that elsewhere, in units of its error, and from where on that is told.
_NARROW, _SHIFT, TOLD_SHIFT = 3.0, 0.5, 0.1
#: A mode whose likelihood is below the largest by less than this holds posterior mass.
RIVAL = 7.0
#: Trials that are less likely than the optimum by this, beyond half a unit a parameter, are left.
_UNLIKELY = 8.0


def _radius_squared(
    pixels: Pixels, layout: Layout, center: tuple[float, float], shear: tuple[float, float]
) -> Floats:
    k = Layout(1, elliptical=True, pixel_shape=layout.pixel_shape).coefficients(
        np.array([*center, 1.0, 1.0, 0.6, 1.0, *shear]), center
    )[3:9]
    X, Y = pixels.x - center[0], pixels.y - center[1]
    t = k[1] * (X * X + Y * Y) + k[4] * (X * X - Y * Y) + 2 * k[5] * X * Y
    return np.asarray(np.maximum(t, 0.0))


@dataclass(frozen=True)
class Pilot:
    """The guess of the posterior, and the cells that go with it."""

    coordinates: Coordinates
    theta: Floats
    #: Square root of the covariance of theta, the direction that is known least first.
    scale: Floats
    #: How the other directions follow the first: see `pyxstan.cluster.mode.bend_along`.
    bend: Floats
    cells: Cells
    #: Their refinement: a position in `LEVELS`.
    level: int
    #: Cells of one pixel each, brightness integrated still more finely over those of the core.
    exact: Cells
    #: What the cells are made of.
    pixels: Pixels
    #: Of the profile: no cell crosses them.
    annuli: Annuli
    #: Parameters of largest likelihood, and that likelihood.
    best: Floats
    best_log_likelihood: float
    #: Other modes that hold posterior mass.
    rivals: tuple[Mode, ...] = ()
    #: By how much ln L is larger than without the second component, where that is hardly anything.
    gain: float | None = None
    #: See `Mode.shift`.
    shift: tuple[str, float] | None = None
    #: Places from which chains may start, (places, parameters of theta).
    starts: Floats | None = None
    #: What draws from the posterior where the second component is superfluous.
    second: SuperfluousSecond | None = None

    @property
    def mode(self) -> Floats:
        """The parameters where the posterior density of theta is largest."""
        return self.coordinates.values(self.theta)[0]

    def standardised(self, theta: Floats) -> Floats:
        """Theta in the units of the guess: the sampler's z."""
        z = np.linalg.solve(self.scale, theta - self.theta)
        return np.asarray(z - self.bend @ (4 * np.tanh(z[0] / 4)) ** np.arange(2, 6))


def merged(
    pixels: Pixels, coordinates: Coordinates, values: Floats, annuli: Annuli, level: int
) -> Cells:
    """Cells of a level of refinement, like pixels being told by a model with these parameters."""
    layout, center = coordinates.layout, coordinates.center
    value = dict(zip(layout.names, values, strict=True))
    shear = value.get("shear1", 0.0), value.get("shear2", 0.0)
    index, number = annuli.index(pixels), len(annuli.edges)
    every = level >= len(LEVELS)
    u = layout.coefficients(values, center)
    nodes = pixels.nodes(u, center, finer=every)
    alone, place = nodes == 0, index
    rest = pixels
    if not alone.all():
        rest, place = pixels[alone], index[alone]
    if every:
        cells = pixel_cells(rest, center, place, number)
        return with_fine_pixels(cells, pixels, nodes, center, index, number)
    t = _radius_squared(rest, layout, center, shear)
    round_ = Layout(layout.components).coefficients(
        np.array([*center, *values[2 : 2 + 3 * layout.components], 1.0]), center
    )
    brightness = np.logaddexp.reduce(
        [c[0] + c[2] * np.log1p(t / np.exp(2 * c[1])) for c in round_[:-3].reshape(-1, 9)]
    )
    angle = np.arctan2(rest.y - center[1], rest.x - center[0])
    B, b, f = u[-3:]
    step, sectors, core = LEVELS[level]
    cells = merged_cells(rest, center, place, number, brightness, angle, (B, b, f),
                         t < core**2, step=step, sectors=sectors)  # fmt: skip
    return with_fine_pixels(cells, pixels, nodes, center, index, number)


def background_uncertainty(pixels: Pixels, layout: Layout, values: Floats) -> tuple[float, ...]:
    """Standard deviation of each background, were all else known (inverse Fisher information)."""
    N = expected_counts(pixels, layout, values)
    each = {"B": np.ones_like(N), "b": pixels.exposure, "map_factor": pixels.background}
    return tuple(float(1 / np.sqrt(np.sum(each[name] ** 2 / N))) for name in layout.backgrounds)


def _coordinates(pixels: Pixels, layout: Layout, values: Floats) -> Coordinates:
    return Coordinates(
        layout,
        center=(float(values[0]), float(values[1])),
        radius=tuple(RADIUS * value for value in values[[3, 6][: layout.components]]),
        background_scale=background_uncertainty(pixels, layout, values),
    )


def _moved(pixels: Pixels, layout: Layout, values: Floats) -> Floats:
    """The values close by that all pixels like best: cells are made for a shape that is known."""
    coordinates = _coordinates(pixels, layout, values)

    def expected(theta: Floats) -> Floats:
        return expected_counts(pixels, layout, coordinates.values(theta)[0])

    return coordinates.values(scoring(expected, pixels.counts, coordinates.theta(values)))[0]


def expected_counts(pixels: Pixels, layout: Layout, values: Floats) -> Floats:
    """N of each pixel in a model with these parameters."""
    return np.asarray(expected_parts(pixels, layout, values).sum(axis=0))


def expected_parts(pixels: Pixels, layout: Layout, values: Floats) -> Floats:
    """N of each pixel by component, then of all backgrounds: (components + 1, pixels)."""
    center = float(values[0]), float(values[1])
    u = layout.coefficients(values, center)
    nodes = pixels.nodes(u, center)
    parts = [
        pixels.exposure * average_brightness(component, pixels, nodes, center)
        for component in u[:-3].reshape(-1, 9)
    ]
    parts.append(pixels.exposure * u[-2] + u[-3] + u[-1] * pixels.background)
    return np.stack(parts)


def _trial_level(layout: Layout) -> int:
    """Refinement of the cells in which the optimum is sought, which moves what is not round."""
    return 4 if layout.offset else 3 if layout.elliptical else 0


@dataclass(frozen=True)
class Target:
    """The log posterior density of theta, in cells."""

    coordinates: Coordinates
    cells: Cells
    priors: Sequence[Prior]

    @property
    def farthest(self) -> float:
        """How far apart the cells let the components' centres be (pixels)."""
        return max(self.coordinates.radius)

    def surprise(self, theta: Floats, *, prior: bool = True) -> Floats:
        """Minus the log posterior density, or (without `prior`) minus the log likelihood.

        Parameters
        ----------
        theta
            Points, shape (points, size).
        """
        with np.errstate(all="ignore"):
            values, log_jacobian = self.coordinates.values_of_many(theta.T)
            found = log_likelihoods(self.cells, self.coordinates.coefficients(values))
            if prior:
                found += log_prior_of_many(self.priors, values) + log_jacobian
            usable = np.isfinite(found)
            if self.coordinates.layout.offset:
                usable &= np.hypot(*(values[-2:] - values[:2])) <= self.farthest
        return np.where(usable, -found, 1e300)


@dataclass(frozen=True)
class Mode:
    """A maximum of the posterior density of theta, found in rough cells."""

    pixels: Pixels
    #: Minus the log posterior density of the profile that it was reached from.
    profile: float
    coordinates: Coordinates
    theta: Floats
    scale: Floats
    #: Its density in rough cells.
    target: Target
    exact: Cells
    #: Parameters of largest likelihood close by, and that likelihood.
    best: Floats
    best_log_likelihood: float
    #: The parameter that brightness averaged over each pixel would move most, and by how much of
    #: its error, where it is taken at pixel centres since that is little.
    shift: tuple[str, float] | None = None

    @property
    def values(self) -> Floats:
        """The parameters at the maximum."""
        return self.coordinates.values(self.theta)[0]


def find(
    image: ClusterImage,
    layout: Layout,
    priors: Sequence[Prior],
    *,
    center: tuple[float, float] | None = None,
    level: int | None = None,
    brightness: str = "auto",
) -> Pilot:
    """The guess of the posterior: the best of several modes.

    Parameters
    ----------
    priors
        One a parameter, in the order of the layout.
    center
        Where to look for the cluster; default: everywhere.
    level
        Refinement of the cells; default: the coarsest whose log likelihood follows that of all
        pixels over a Gaussian approximation of the posterior.
    brightness
        "average" over each pixel, that at its "center", or "auto": averaged where it matters.
    """
    pixels = Pixels.of(image, averaged=brightness == "average")
    places = candidates(image, pixels, layout, center)
    modes = [_mode(pixels, layout, priors, place, brightness == "auto") for place in places]
    likelihoods = [mode.best_log_likelihood for mode in modes]
    chosen = int(np.argmax(likelihoods))
    if center is not None:
        reach = max(5.0, 0.05 * min(image.counts.shape))
        chosen = closest([mode.best for mode in modes], likelihoods, center, reach)
    rivals = [
        mode
        for mode in modes
        if mode is not modes[chosen] and center is None and _is_rival(mode, modes[chosen])
    ]
    if rivals and level is None:
        level = len(LEVELS)  # cells are made for one place alone
    # the same for every model of the image
    annuli = Annuli.around(pixels, places[chosen].center, layout.shape)
    found = modes[chosen]
    if layout.components == 2:
        gain = _gain_of_second(found, priors, places[chosen])
        if gain is not None and gain[0] < SECOND:
            pixels = replace(found.pixels, averaged=brightness != "center")
            guess = _without_second(pixels, annuli, found, gain[1], priors, level)
            return replace(guess, gain=gain[0])
    return _pilot(found.pixels, annuli, found, tuple(rivals), level)


def _one_component(layout: Layout, priors: Sequence[Prior]) -> tuple[Layout, list[Prior]]:
    alone = replace(layout, components=1, offset=False)
    of = dict(zip(layout.names, priors, strict=True))
    return alone, [of[name] for name in alone.names]


def _gain_of_second(
    found: Mode, priors: Sequence[Prior], place: Candidate
) -> tuple[float, Mode] | None:
    """By how much two components are likelier than one, and the best fit of that one.

    None where the annuli alone show that they are, by far.
    """
    alone, their_priors = _one_component(found.coordinates.layout, priors)
    if _first(found.pixels, alone, their_priors, place)[1] - found.profile > _PLAIN:
        return None
    center = float(found.best[0]), float(found.best[1])
    single = _mode(found.pixels, alone, their_priors, replace(place, center=center), False)
    return found.best_log_likelihood - single.best_log_likelihood, single


def _without_second(
    pixels: Pixels,
    annuli: Annuli,
    found: Mode,
    single: Mode,
    priors: Sequence[Prior],
    level: int | None,
) -> Pilot:
    """The guess where one component is enough: the second's prior, as far as counts allow it."""
    layout = found.coordinates.layout
    coordinates = Coordinates(
        layout,
        center=single.coordinates.center,
        radius=(*single.coordinates.radius, 0.0),
        background_scale=single.coordinates.background_scale,
        radius_ratio=False,
    )
    names = layout.names
    single_names = single.coordinates.layout.names
    first = np.array([names.index(n) for n in single_names])
    second = np.array([i for i, name in enumerate(names) if name not in single_names])
    rng = np.random.default_rng(3)
    superfluous = SuperfluousSecond(coordinates, priors, single.theta, single.scale)
    theta = np.zeros((_PRIOR_DRAWS, len(names)))
    theta[:, first] = single.theta
    theta[:, second] = superfluous.of_prior(_PRIOR_DRAWS, rng).T
    # Cells also follow a second component that is a peak of the first one's core.
    peak = np.array(theta[0])
    S0 = single.values[single.coordinates.layout.names.index("S0")]
    peak[second[:3]] = np.log(S0), np.log(_PEAK), np.log(6 * 0.67 - 1)
    peak[second[3:]] = 0.0
    values = coordinates.values(peak)[0]
    rough = merged(pixels, coordinates, values, annuli, _trial_level(layout))
    with np.errstate(all="ignore"):
        tried = coordinates.coefficients(coordinates.values_of_many(theta.T)[0])
        log_weight = log_likelihoods(rough, tried)
    log_weight[~np.isfinite(log_weight)] = -np.inf
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    middle = weight @ theta
    away = theta[:, second] - middle[second]
    covariance = (weight[:, None] * away).T @ away + 1e-2 * np.eye(len(second))
    scale = np.zeros((len(names), len(names)))
    scale[np.ix_(first, first)] = single.scale
    scale[np.ix_(second, second)] = np.linalg.cholesky(covariance)
    starts = theta[rng.choice(len(theta), _TRIALS, p=weight)]
    starts[:, first] += rng.standard_normal((_TRIALS, len(first))) @ single.scale.T
    exact = merged(pixels, coordinates, values, annuli, len(LEVELS))
    chosen, cells = _fine_enough(pixels, coordinates, values, annuli, exact, starts, level)
    return Pilot(
        coordinates=coordinates,
        theta=middle,
        scale=scale,
        bend=np.zeros((len(names), 4)),
        cells=cells,
        level=chosen,
        exact=exact,
        pixels=pixels,
        annuli=annuli,
        best=found.best,
        best_log_likelihood=exact.log_likelihood(coordinates.coefficients(found.best)),
        starts=starts,
        second=superfluous,
    )


def _fine_enough(
    pixels: Pixels,
    coordinates: Coordinates,
    values: Floats,
    annuli: Annuli,
    exact: Cells,
    thetas: Floats,
    level: int | None,
) -> tuple[int, Cells]:
    """The coarsest cells that follow all pixels over some points, and their level."""
    tried = coordinates.coefficients(coordinates.values_of_many(thetas.T)[0])
    truth = log_likelihoods(exact, tried)
    chosen = 0
    for chosen in range(len(LEVELS)) if level is None else (level,):
        cells = merged(pixels, coordinates, values, annuli, chosen)
        if np.ptp(truth - log_likelihoods(cells, tried)) < _TRIAL_ERROR:
            break
    return chosen, cells


def _is_rival(mode: Mode, best: Mode) -> bool:
    """Whether another mode is elsewhere and holds posterior mass."""
    names = best.coordinates.layout.names
    near = best.best_log_likelihood - mode.best_log_likelihood < RIVAL
    sd = np.linalg.norm(best.scale, axis=1)
    away = np.abs(best.coordinates.theta(mode.best) - best.theta)[: names.index("S0") + 3]
    return bool(near and (away > 5 * sd[: len(away)]).any())


def _averaging_shift(
    pixels: Pixels, mode: Floats, scale: Floats, at: Coordinates
) -> tuple[str, float]:
    """The parameter that averaging brightness over each pixel moves most, and by how many errors.

    A core narrower than `_NARROW` pixels is one that it matters to. For others, the shift of the
    parameters is that of one step of Fisher scoring, of which pixels near the core have all.
    """
    values, _ = at.values(mode)
    if values[at.layout.names.index("rc")] < _NARROW:
        return "rc", np.inf
    near = np.hypot(pixels.x - values[0], pixels.y - values[1]) < 10 * _NARROW
    core = pixels[near]

    def expected(theta: Floats) -> Floats:
        return expected_counts(core, at.layout, at.values(theta)[0])

    N = expected(mode)
    slopes = np.stack([(expected(mode + 0.1 * e) - N) / 0.1 for e in scale.T])
    averaged = expected_counts(replace(core, averaged=True), at.layout, values)
    shift = scale @ (slopes @ ((N - averaged) / N))
    moved = at.values(mode + shift)[0] - values
    sd = np.linalg.norm([at.values(mode + e)[0] - values for e in scale.T], axis=0)
    most = int(np.argmax(np.abs(moved) / sd))
    return at.layout.names[most], float(np.abs(moved[most]) / sd[most])


def _first(
    pixels: Pixels, layout: Layout, priors: Sequence[Prior], place: Candidate
) -> tuple[Floats, float]:
    """The profile around a candidate, of the counts within its reach."""
    near = Annuli(place.center, np.zeros(0), layout.shape).radius(pixels) <= place.reach
    return first_profile(pixels[near], layout, priors, place.center, place.rc, place.beta)


def _mode(
    pixels: Pixels, layout: Layout, priors: Sequence[Prior], place: Candidate, automatic: bool
) -> Mode:
    """Climb from a candidate to the maximum close by.

    Parameters
    ----------
    automatic
        Whether it is to be found out if brightness must be averaged over each pixel.
    """
    annuli = Annuli.around(pixels, place.center, layout.shape)
    values, profile = _first(pixels, layout, priors, place)
    if layout.elliptical or layout.offset:  # of which the profile knows nothing
        values = _moved(pixels, layout, values)
    steps = {"x0": 0.3, "y0": 0.3, "x02": 1.0, "y02": 1.0, "shear1": 0.05, "shear2": 0.05}
    scale = np.diag([steps.get(name, 0.05) for name in layout.names])
    rounds, shift = 0, None
    for _ in range(4):
        coordinates = _coordinates(pixels, layout, values)
        rough = merged(pixels, coordinates, values, annuli, _trial_level(layout))
        target = Target(coordinates, rough, priors)
        theta, found = optimum(target.surprise, coordinates.theta(values), scale)
        exact = merged(pixels, coordinates, values, annuli, len(LEVELS))
        start = coordinates.theta(values)
        after, before = Target(coordinates, exact, priors).surprise(np.stack([theta, start]))
        if after > before + _ASTRAY:
            values = _moved(pixels, layout, values)
            theta = coordinates.theta(values)
            continue
        values, scale, rounds = coordinates.values(theta)[0], found, rounds + 1
        if rounds == 1 and automatic:
            shift = _averaging_shift(pixels, theta, scale, coordinates)
            if shift[1] > _SHIFT:
                pixels, shift = replace(pixels, averaged=True), None
        if rounds == 2:
            break
    likeliest, _ = optimum(lambda theta: target.surprise(theta, prior=False), theta, scale)
    best, _ = coordinates.values(likeliest)
    return Mode(
        pixels=pixels,
        profile=profile,
        coordinates=coordinates,
        theta=theta,
        scale=principal(scale),
        target=target,
        exact=exact,
        best=best,
        best_log_likelihood=exact.log_likelihood(coordinates.coefficients(best)),
        shift=shift,
    )


def _pilot(
    pixels: Pixels, annuli: Annuli, mode: Mode, rivals: tuple[Mode, ...], level: int | None
) -> Pilot:
    """The guess around a mode, in cells that are fine enough for it."""
    coordinates, theta, scale, target = mode.coordinates, mode.theta, mode.scale, mode.target
    values = mode.values
    exact = merged(pixels, coordinates, values, annuli, len(LEVELS))
    bend = bend_along(lambda z: target.surprise(theta + z @ scale.T), len(theta))
    trials = theta + np.random.default_rng(1).standard_normal((_TRIALS, len(theta))) @ scale.T
    trials = np.vstack([theta, trials])
    surprise = target.surprise(trials)
    likely = trials[surprise <= surprise[0] + 0.5 * len(theta) + _UNLIKELY]
    chosen, cells = _fine_enough(pixels, coordinates, values, annuli, exact, likely, level)
    return Pilot(
        coordinates=coordinates,
        theta=theta,
        scale=scale,
        bend=bend,
        cells=cells,
        level=chosen,
        exact=exact,
        pixels=pixels,
        annuli=annuli,
        best=mode.best,
        best_log_likelihood=mode.best_log_likelihood,
        rivals=rivals,
        shift=mode.shift,
    )
