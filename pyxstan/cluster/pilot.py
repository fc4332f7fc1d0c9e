"""From an image alone to a guess of the posterior: centre, profile, optimum, covariance.

The centre is the peak of the smoothed image; a profile is fitted to annuli around it, from several
starting points; then every parameter to the whole image in cells, whose reference is the profile
found so far. The sampler moves in coordinates in which the posterior at this optimum has unit
covariance. Nothing here changes a result; it only makes it cheap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.optimize import minimize

from pyxstan.cluster.cells import Cells, Floats, Pixels, merged_cells, pixel_cells
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.parameters import Coordinates, Layout
from pyxstan.priors import Prior

#: Cells by level of refinement: their width in ln S, how many are around the centre, and the radius
#: within which every pixel is its own (pixels).
LEVELS = ((0.1, 1, 9.0), (0.05, 2, 12.0), (0.05, 8, 16.0), (0.025, 16, 20.0), (0.0125, 32, 30.0))
#: Largest number of annuli of the profile, and how many a factor of ten in radius.
_ANNULI_A_DECADE = 20
#: Draws of a Gaussian approximation on which cells are tried, and the error allowed there.
_TRIALS = 24
_TRIAL_ERROR = 0.006
#: Refinement of the cells in which the optimum is sought.
_TRIAL_LEVEL = 0
#: Where the slope of a component is best known, in units of its rc.
_RADIUS = 2.0


@dataclass(frozen=True)
class Annuli:
    """Annuli of a profile: logarithmic in radius about a centre."""

    center: tuple[float, float]
    shear: tuple[float, float]
    #: Outer radii (pixels), the innermost annulus being a disc.
    edges: Floats

    @classmethod
    def around(
        cls, pixels: Pixels, center: tuple[float, float], shear: tuple[float, float] = (0.0, 0.0)
    ) -> Annuli:
        """Annuli out to the farthest pixel."""
        far = float(np.sqrt(_radius_squared(pixels, center, shear).max()))
        number = max(2, int(np.ceil(_ANNULI_A_DECADE * np.log10(max(far, 2.0)))))
        return cls(center, shear, np.geomspace(1.5, far * (1 + 1e-9), number))

    def index(self, pixels: Pixels) -> NDArray[np.int64]:
        """The annulus of each pixel."""
        r = self.radius(pixels)
        return np.minimum(np.searchsorted(self.edges, r), len(self.edges) - 1).astype(np.int64)

    def radius(self, pixels: Pixels) -> Floats:
        """The elliptical radius of each pixel."""
        return np.sqrt(_radius_squared(pixels, self.center, self.shear))


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
    #: How the other directions follow the first, by its square and its cube: (parameters, 2).
    bend: Floats
    cells: Cells
    #: Their refinement: a position in `LEVELS`.
    level: int
    #: Cells of one pixel each.
    exact: Cells
    #: Parameters of largest likelihood, and that likelihood.
    best: Floats
    best_log_likelihood: float

    @property
    def mode(self) -> Floats:
        """The parameters where the posterior density of theta is largest."""
        return self.coordinates.values(self.theta)[0]

    def standardised(self, theta: Floats) -> Floats:
        """Theta in the units of the guess: the sampler's z."""
        z = np.linalg.solve(self.scale, theta - self.theta)
        return np.asarray(z - self.bend @ np.array([z[0] ** 2, z[0] ** 3]))


def find_center(image: ClusterImage) -> tuple[float, float]:
    """The peak of the smoothed image (x, y), refined to the centroid around it."""
    counts = np.where(image.good, image.counts, 0).astype(float)
    exposure = np.where(image.good, image.exposure, 0.0)
    width = max(2.0, min(image.counts.shape) / 150)
    seen = gaussian_filter(exposure, width, mode="constant")
    smooth = gaussian_filter(counts, width, mode="constant")
    usable = image.good & (seen > 0.3 * seen.max())
    brightness = np.where(usable, smooth / np.where(seen > 0, seen, 1.0), -np.inf)
    y, x = np.unravel_index(int(np.argmax(brightness)), brightness.shape)
    rows, columns = np.nonzero(image.good)
    center = float(x), float(y)
    sky = counts.sum() / exposure.sum()
    for _ in range(5):
        weight = np.exp(-((columns - center[0]) ** 2 + (rows - center[1]) ** 2) / (8 * width**2))
        seen_there = exposure[rows, columns]
        excess = weight * (counts[rows, columns] - sky * seen_there)
        if excess.sum() <= 0:
            break
        center = (
            float((excess * columns).sum() / excess.sum()),
            float((excess * rows).sum() / excess.sum()),
        )
    inside = all(
        0 <= c <= size - 1 for c, size in zip(center, image.counts.shape[::-1], strict=True)
    )
    return center if inside else (float(x), float(y))


def first_profile(pixels: Pixels, layout: Layout, center: tuple[float, float]) -> Floats:
    """Parameters of a profile around a centre, the best of fits from several starting points."""
    annuli = Annuli.around(pixels, center)
    index, number = annuli.index(pixels), len(annuli.edges)
    columns = (pixels.counts, pixels.exposure, pixels.background, np.ones(pixels.x.size))
    n, E, M, area = (np.bincount(index, column, number) for column in columns)
    r = np.sqrt(_radius_squared(pixels, center, (0.0, 0.0)))
    t = np.bincount(index, pixels.exposure * r, number) / np.where(E > 0, E, 1.0)
    t = t**2
    there = E > 0
    outer = n[there][-5:].sum() / E[there][-5:].sum()
    peak = max(n[there][:3].sum() / E[there][:3].sum() - outer, 0.1 * outer, 1e-300)
    level = {
        "B": max(outer, 1e-3 * peak) * E[there].sum() / area[there].sum(),
        "b": max(outer, 1e-3 * peak),
        "map_factor": 1.0,
    }
    around = Layout(
        layout.components, layout.constant, layout.sky, layout.background_map
    )
    far = float(annuli.edges[-1])

    def deviance(theta: Floats) -> float:
        values, _ = coordinates.values(theta)
        u = around.coefficients(values, center)
        S = sum(
            np.exp(c[0] + c[2] * np.log1p(t / np.exp(2 * c[1])))
            for c in u[:-3].reshape(-1, 9)
        )
        N = E * (S + u[-2]) + area * u[-3] + M * u[-1]
        if not np.isfinite(N).all():
            return np.inf
        return float(np.sum(N - n * np.log(np.maximum(N, 1e-300))))

    best: tuple[float, Floats] | None = None
    for rc in np.geomspace(2.0, max(far / 5, 4.0), 5):
        shapes = [(rc, 0.6)] if layout.components == 1 else [(rc, 0.7), (3 * rc, 0.7)]
        if layout.components == 2 and 3 * rc > far:
            continue
        known = tuple(level[name] / 20 for name in around.backgrounds)
        coordinates = Coordinates(around, center, tuple(_RADIUS * s[0] for s in shapes), known)
        values = [*center, peak, *shapes[0]]
        values += [0.1 * peak, *shapes[1]] if layout.components == 2 else []
        values += [level[name] for name in around.names if name in level]
        start = coordinates.theta(np.array(values))
        free = np.arange(2, len(start))

        def at(part: Floats, start: Floats = start, free: NDArray[np.int64] = free) -> float:
            whole = start.copy()
            whole[free] = part
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                return deviance(whole)

        found = minimize(at, start[free], method="Nelder-Mead",
                         options={"maxfev": 1500, "xatol": 1e-3, "fatol": 1e-3,
                                  "adaptive": True})  # fmt: skip
        whole = start.copy()
        whole[free] = found.x
        if best is None or found.fun < best[0]:
            best = float(found.fun), coordinates.values(whole)[0]
    assert best is not None
    value = dict(zip(around.names, best[1], strict=True))
    value |= {"shear1": 0.0, "shear2": 0.0, "x02": center[0], "y02": center[1]}
    return np.array([value[name] for name in layout.names])


def cells_at(
    pixels: Pixels, layout: Layout, values: Floats, *, level: int, center: tuple[float, float]
) -> Cells:
    """Cells of a level of refinement, like pixels being told by a model with these parameters."""
    value = dict(zip(layout.names, values, strict=True))
    shear = value.get("shear1", 0.0), value.get("shear2", 0.0)
    annuli = Annuli.around(pixels, center, shear)
    index, number = annuli.index(pixels), len(annuli.edges)
    if level >= len(LEVELS):
        return pixel_cells(pixels, center, index, number)
    t = _radius_squared(pixels, center, shear)
    round_ = Layout(layout.components).coefficients(
        np.array([*center, *values[2 : 2 + 3 * layout.components], 1.0]), center
    )
    brightness = np.log(
        sum(np.exp(c[0] + c[2] * np.log1p(t / np.exp(2 * c[1]))) for c in round_[:-3].reshape(-1, 9))
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


def log_prior(priors: Sequence[Prior], values: Floats) -> float:
    """Log density of the priors, up to a constant."""
    return float(sum(p.log_density(np.asarray(v)) for p, v in zip(priors, values, strict=True)))


def optimum(
    function: Callable[[Floats], float], start: Floats, scale: Floats
) -> tuple[Floats, Floats]:
    """The minimum of a smooth function, and the Cholesky factor of its inverse Hessian there.

    Parameters
    ----------
    scale
        Cholesky factor of a first guess of the inverse Hessian.
    """
    best = start
    for _ in range(4):
        here, units = best, scale

        def scaled(z: Floats) -> float:
            return function(here + units @ z)  # noqa: B023 (used within the iteration)

        found = minimize(scaled, np.zeros(len(start)), method="BFGS",
                         options={"gtol": 1e-2, "maxiter": 100}, ).x  # fmt: skip
        best = here + units @ found
        covariance = covariance_at(lambda z: function(best + units @ z), len(start))  # noqa: B023
        scale = units @ np.linalg.cholesky(covariance)
        if np.abs(found).max() < 0.3:
            break
    return best, scale


def covariance_at(function: Callable[[Floats], float], size: int, step: float = 0.3) -> Floats:
    """Inverse Hessian at zero by central differences; eigenvalues that are too small are raised."""
    eye = step * np.eye(size)
    middle = function(np.zeros(size))
    plus = np.array([function(e) for e in eye])
    minus = np.array([function(-e) for e in eye])
    hessian = np.diag(plus + minus - 2 * middle)
    for i in range(size):
        for j in range(i):
            both = function(eye[i] + eye[j]) + function(-eye[i] - eye[j])
            mixed = both - plus[i] - minus[i] - plus[j] - minus[j] + 2 * middle
            hessian[i, j] = hessian[j, i] = 0.5 * mixed
    values, vectors = np.linalg.eigh(hessian / step**2)
    values = np.maximum(values, 0.01)  # at most ten times the scale: hardly known
    return np.asarray((vectors / values) @ vectors.T)


def principal(scale: Floats) -> Floats:
    """The square root of the same covariance whose first column is the longest, in units of sds."""
    covariance = scale @ scale.T
    sd = np.sqrt(np.diag(covariance))
    values, vectors = np.linalg.eigh(covariance / np.outer(sd, sd))
    return np.asarray((sd[:, None] * vectors * np.sqrt(np.maximum(values, 0)))[:, ::-1])


def bend_along(function: Callable[[Floats], float], size: int, reach: float = 2.0) -> Floats:
    """Where the minimum over all but the first coordinate lies, as that one moves by `reach`.

    As coefficients of its square and its cube, (size, 2); `function` has unit curvature at zero.
    """
    valley = {}
    for first in (reach, -reach):
        z = np.zeros(size)
        z[0] = first

        def rest(others: Floats, z: Floats = z) -> float:
            return function(np.append(z[0], others))

        z[1:] = minimize(rest, z[1:], method="BFGS", options={"gtol": 0.05, "maxiter": 30}).x
        valley[first] = z
    even, odd = valley[reach] + valley[-reach], valley[reach] - valley[-reach]
    bend = np.stack([even / (2 * reach**2), odd / (2 * reach**3)], axis=1)
    bend[0] = 0.0
    return np.clip(bend, -2.0, 2.0)


def find(
    image: ClusterImage,
    layout: Layout,
    priors: Sequence[Prior],
    *,
    center: tuple[float, float] | None = None,
    level: int | None = None,
) -> Pilot:
    """The guess of the posterior.

    Parameters
    ----------
    priors
        One a parameter, in the order of the layout.
    center
        Where to look for the cluster; default: the peak of the smoothed image.
    level
        Refinement of the cells; default: the coarsest whose log likelihood follows that of all
        pixels over a Gaussian approximation of the posterior.
    """
    pixels = Pixels.of(image)
    values = first_profile(pixels, layout, center or find_center(image))
    steps = {"x0": 0.3, "y0": 0.3, "x02": 1.0, "y02": 1.0, "shear1": 0.05, "shear2": 0.05}
    scale = np.diag([steps.get(name, 0.05) for name in layout.names])
    for lap in range(2):
        middle = float(values[0]), float(values[1])
        cells = cells_at(pixels, layout, values, level=_TRIAL_LEVEL, center=middle)
        radius = tuple(_RADIUS * value for value in values[[3, 6][: layout.components]])
        coordinates = Coordinates(
            layout, middle, radius, background_uncertainty(pixels, layout, values)
        )

        def surprise(theta: Floats, *, prior: bool = True) -> float:
            """Minus the log posterior of theta."""
            with np.errstate(all="ignore"):
                values, log_jacobian = coordinates.values(theta)
                found = cells.log_likelihood(layout.coefficients(values, middle))
                if prior:
                    found += log_prior(priors, values) + log_jacobian
            return -found if np.isfinite(found) else 1e300

        theta, scale = optimum(surprise, coordinates.theta(values), scale)
        values, _ = coordinates.values(theta)
    scale = principal(scale)
    bend = bend_along(lambda z: surprise(theta + scale @ z), len(theta))
    likeliest, _ = optimum(lambda theta: surprise(theta, prior=False), theta, scale)
    best, _ = coordinates.values(likeliest)
    exact = cells_at(pixels, layout, values, level=len(LEVELS), center=middle)
    trials = theta + np.random.default_rng(1).standard_normal((_TRIALS, len(theta))) @ scale.T
    coefficients = [layout.coefficients(coordinates.values(one)[0], middle) for one in trials]
    truth = np.array([exact.log_likelihood(u) for u in coefficients])
    for level in range(len(LEVELS)) if level is None else (level,):
        cells = cells_at(pixels, layout, values, level=level, center=middle)
        error = truth - np.array([cells.log_likelihood(u) for u in coefficients])
        if np.ptp(error) < _TRIAL_ERROR:
            break
    return Pilot(
        coordinates=coordinates,
        theta=theta,
        scale=scale,
        bend=bend,
        cells=cells,
        level=level,
        exact=exact,
        best=best,
        best_log_likelihood=exact.log_likelihood(layout.coefficients(best, middle)),
    )
