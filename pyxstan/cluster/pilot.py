"""From an image alone to a guess of the posterior: centre, profile, optimum, covariance.

Several centres are tried, see `pyxstan.cluster.search`; a profile is fitted to annuli around each,
from several starting points; then every parameter to the whole image in cells, whose reference is
the profile found so far. The mode of largest likelihood is kept. The sampler moves in coordinates
in which the posterior at this optimum has unit covariance. Nothing here changes a result; it only
makes it cheap.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pyxstan.cluster.annuli import Annuli
from pyxstan.cluster.cells import Cells, Floats, Pixels, merged_cells, pixel_cells
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.mode import bend_along, principal, scoring
from pyxstan.cluster.parameters import RADIUS, Coordinates, Layout
from pyxstan.cluster.search import Candidate, candidates, closest
from pyxstan.cluster.starting import first_profile
from pyxstan.optimum import optimum
from pyxstan.priors import Prior, log_prior

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
#: A mode whose likelihood is below the largest by less than this holds posterior mass.
RIVAL = 7.0
#: Trials that are less likely than the optimum by this, beyond half a unit a parameter, are left.
_UNLIKELY = 8.0


def _radius_squared(
    pixels: Pixels, center: tuple[float, float], shear: tuple[float, float]
) -> Floats:
    k = Layout(1, elliptical=True).coefficients(
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
    #: Cells of one pixel each.
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
    if level >= len(LEVELS):
        return pixel_cells(pixels, center, index, number)
    t = _radius_squared(pixels, center, shear)
    round_ = Layout(layout.components).coefficients(
        np.array([*center, *values[2 : 2 + 3 * layout.components], 1.0]), center
    )
    brightness = np.logaddexp.reduce(
        [c[0] + c[2] * np.log1p(t / np.exp(2 * c[1])) for c in round_[:-3].reshape(-1, 9)]
    )
    angle = np.arctan2(pixels.y - center[1], pixels.x - center[0])
    B, b, f = layout.coefficients(values, center)[-3:]
    step, sectors, core = LEVELS[level]
    return merged_cells(pixels, center, index, number, brightness, angle, (B, b, f),
                        t < core**2, step=step, sectors=sectors)  # fmt: skip


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
    u = layout.coefficients(values, (0.0, 0.0))
    psi = pixels.features((0.0, 0.0))
    parts = []
    for component in u[:-3].reshape(-1, 9):
        t = component[3] + component[4:] @ psi[:5]
        S = np.exp(component[0] + component[2] * np.log1p(t / np.exp(2 * component[1])))
        parts.append(pixels.exposure * S)
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

    def surprise(self, theta: Floats, *, prior: bool = True) -> float:
        """Minus the log posterior density, or (without `prior`) minus the log likelihood."""
        with np.errstate(all="ignore"):
            values, log_jacobian = self.coordinates.values(theta)
            if self.coordinates.layout.offset and (
                np.hypot(*(values[-2:] - values[:2])) > self.farthest
            ):
                return 1e300
            found = self.cells.log_likelihood(self.coordinates.coefficients(values))
            if prior:
                found += log_prior(self.priors, values) + log_jacobian
        return -found if np.isfinite(found) else 1e300


@dataclass(frozen=True)
class Mode:
    """A maximum of the posterior density of theta, found in rough cells."""

    coordinates: Coordinates
    theta: Floats
    scale: Floats
    #: Its density in rough cells.
    target: Target
    exact: Cells
    #: Parameters of largest likelihood close by, and that likelihood.
    best: Floats
    best_log_likelihood: float

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
    """
    pixels = Pixels.of(image)
    places = candidates(image, pixels, layout, center)
    modes = [_mode(pixels, layout, priors, place) for place in places]
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
    annuli = Annuli.around(pixels, places[chosen].center)  # the same for every model of the image
    return _pilot(pixels, annuli, modes[chosen], tuple(rivals), level)


def _is_rival(mode: Mode, best: Mode) -> bool:
    """Whether another mode is elsewhere and holds posterior mass."""
    names = best.coordinates.layout.names
    near = best.best_log_likelihood - mode.best_log_likelihood < RIVAL
    sd = np.linalg.norm(best.scale, axis=1)
    away = np.abs(best.coordinates.theta(mode.best) - best.theta)[: names.index("S0") + 3]
    return bool(near and (away > 5 * sd[: len(away)]).any())


def _mode(pixels: Pixels, layout: Layout, priors: Sequence[Prior], place: Candidate) -> Mode:
    """Climb from a candidate to the maximum close by."""
    annuli = Annuli.around(pixels, place.center)
    values = first_profile(pixels, layout, priors, place.center, place.rc, place.beta)
    if layout.elliptical or layout.offset:  # of which the profile knows nothing
        values = _moved(pixels, layout, values)
    steps = {"x0": 0.3, "y0": 0.3, "x02": 1.0, "y02": 1.0, "shear1": 0.05, "shear2": 0.05}
    scale = np.diag([steps.get(name, 0.05) for name in layout.names])
    rounds = 0
    for _ in range(4):
        coordinates = _coordinates(pixels, layout, values)
        rough = merged(pixels, coordinates, values, annuli, _trial_level(layout))
        target = Target(coordinates, rough, priors)
        theta, found = optimum(target.surprise, coordinates.theta(values), scale)
        exact = merged(pixels, coordinates, values, annuli, len(LEVELS))
        truly = Target(coordinates, exact, priors).surprise
        if truly(theta) > truly(coordinates.theta(values)) + _ASTRAY:
            values = _moved(pixels, layout, values)
            theta = coordinates.theta(values)
            continue
        values, scale, rounds = coordinates.values(theta)[0], found, rounds + 1
        if rounds == 2:
            break
    likeliest, _ = optimum(lambda theta: target.surprise(theta, prior=False), theta, scale)
    best, _ = coordinates.values(likeliest)
    return Mode(
        coordinates=coordinates,
        theta=theta,
        scale=principal(scale),
        target=target,
        exact=exact,
        best=best,
        best_log_likelihood=exact.log_likelihood(coordinates.coefficients(best)),
    )


def _pilot(
    pixels: Pixels, annuli: Annuli, mode: Mode, rivals: tuple[Mode, ...], level: int | None
) -> Pilot:
    """The guess around a mode, in cells that are fine enough for it."""
    coordinates, theta, scale, target = mode.coordinates, mode.theta, mode.scale, mode.target
    values = mode.values
    exact = merged(pixels, coordinates, values, annuli, len(LEVELS))
    bend = bend_along(lambda z: target.surprise(theta + scale @ z), len(theta))
    trials = theta + np.random.default_rng(1).standard_normal((_TRIALS, len(theta))) @ scale.T
    bar = target.surprise(theta) + 0.5 * len(theta) + _UNLIKELY
    tried = [
        coordinates.coefficients(coordinates.values(one)[0])
        for one in (theta, *(one for one in trials if target.surprise(one) < bar))
    ]
    truth = np.array([exact.log_likelihood(u) for u in tried])
    chosen = 0
    for chosen in range(len(LEVELS)) if level is None else (level,):
        cells = merged(pixels, coordinates, values, annuli, chosen)
        if np.ptp(truth - [cells.log_likelihood(u) for u in tried]) < _TRIAL_ERROR:
            break
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
    )
