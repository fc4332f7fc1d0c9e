"""Where the posterior is, and of what shape: the coordinates that the sampler moves in."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import special
from scipy.interpolate import PchipInterpolator

from pyxstan.errors import DataError
from pyxstan.spectra.coordinates import QUANTILES, Coordinates, Curve
from pyxstan.spectra.folding import Floats, Folded
from pyxstan.spectra.hill import NOWHERE, STEP, Hill
from pyxstan.spectra.modes import Block, blocks
from pyxstan.spectra.parameters import Parameters

#: Points of the prior that the search may start from, and from how many it does.
_TRIALS, _STARTS = 40, 3
#: How often all modes are searched for, and how far a better one is away, in squared standard
#: deviations.
_AGAIN, _BETTER = 2, 0.1
#: The widest that a coordinate is taken for.
_WIDEST = 3.0
#: What is wider than this, in standard deviations of its prior, has a ridge; so many have at most.
_LOOSE, _RIDGES = 0.05, 30
#: Along a ridge: laps of the search for each point, the first distance of points, the longest, and
#: by how much each is longer than the last; how many points there are at most on either side, and
#: by how much the log density falls to the ends.
_RIDGE_LAPS = 8
_SHORTEST, _LONGEST, _LONGER = 0.03, 0.25, 1.4
_POINTS, _FALL = 22, 8.0
#: So many parameters tell solutions apart, at most.
_TOLD = 3
#: So much lower a log density is nothing.
_NOTHING = 50.0


@dataclass(frozen=True, eq=False)
class Start:
    """Where sampling starts: its coordinates, and the solutions that chains start at."""

    coordinates: Coordinates
    parameters: Parameters
    blocks: tuple[Block, ...]

    def v(self, chain: int, rng: np.random.Generator | None = None) -> Floats:
        """Coordinates of `Parameters.spread` for a chain: each block at one of its modes in turn.

        With random numbers somewhere around the modes, as wide as these are.
        """
        v = self.blocks[0].modes[0].v.copy()
        for block in self.blocks:
            mode = block.modes[chain % len(block.modes)]
            v[block.moving] = mode.v[block.moving]
            if rng is not None:
                root = np.linalg.cholesky(_inverse(mode.information))
                v[block.moving] += root @ np.clip(rng.normal(size=len(root)), -1.5, 1.5)
        return v

    def u(self, v: Floats) -> Floats:
        """Of one point."""
        return np.asarray(self.parameters.spread(v[None])[0][0])

    def solutions(self) -> list[str]:
        """The modes of each block in words, with their shares as their heights and widths say."""
        said = []
        for block in self.blocks:
            masses = np.array([mode.mass for mode in block.modes])
            shares = np.exp(masses - masses.max())
            shares /= shares.sum()
            u = np.array([self.u(mode.v) for mode in block.modes])
            x = self.parameters.values(u)[0]
            widths = np.sqrt(np.diag(_inverse(block.modes[0].information)))
            apart = np.ptp(u[:, block.moving], axis=0) / widths
            told = block.moving[np.argsort(-apart)][:_TOLD]
            places = [
                ", ".join(f"{self.parameters.rows[k].name} {one[k]:.3g}" for k in sorted(told))
                + f" ({100 * share:.2g}%)"
                for one, share in zip(x, shares, strict=True)
            ]
            said.append(" or ".join(places))
        return said

    def apart(self, u: Floats) -> list[str]:
        """Those solutions between which chains hardly move, in words.

        Parameters
        ----------
        u
            Draws, shape (chains, draws, free).
        """
        said = []
        for block, words in zip(self.blocks, self.solutions(), strict=True):
            near = []
            for mode in block.modes:
                away = (u - self.u(mode.v))[..., block.moving]
                near.append(np.sum((away @ mode.information) * away, axis=-1))
            first = (np.argmin(near, axis=0) == 0).mean(axis=1)
            if np.ptp(first) > 0.5:
                said.append(words)
        return said


def guess(parameters: Parameters, spectra: list[Folded]) -> Start:
    """The modes, found from many points, and the shape of the posterior around the best.

    What the data leave loose makes ridges, which may be curved: a source of few counts is as well
    a steep one behind much gas. Each in turn becomes a `Curve`, with those before it held in their
    middles; across all of them the posterior is taken for a Gaussian.
    """
    rng = np.random.default_rng(1)
    size = parameters.free
    hill = Hill(parameters, spectra, np.arange(size))
    trials = np.concatenate([np.zeros((1, size)), rng.normal(0, 1.0, (_TRIALS, size))])
    heights = hill.heights(trials)
    if heights.max() <= NOWHERE:
        raise DataError(
            "the model can't make these counts, wherever in its priors: is a component missing, or "
            "a channel noticed that nothing reaches?"
        )
    order = np.argsort(-heights)
    best = max((hill.climb(trials[k]) for k in order[:_STARTS]), key=lambda one: one.height)
    # another mode of a block may be better
    for _ in range(_AGAIN):
        top = best.origin
        _, parabolas = hill.parabolas(top)
        found = blocks(hill, top, parabolas, trials[order[_STARTS:]])
        better = top.copy()
        for block in found:
            better[block.moving] = block.modes[0].v[block.moving]
        if (better - top) @ best.information @ (better - top) < _BETTER:
            break
        best = hill.climb(better)
    base, information, curves = best.origin, best.information, list[Curve]()
    _, parabolas = hill.parabolas(base)
    while (path := _loosest(hill, information)) is not None and len(curves) < _RIDGES:
        base, curve = _ridge(hill.near(path, parabolas), path, base)
        curves.append(curve)
        hill = replace(hill, moving=hill.moving[hill.moving != path])
        information = hill.parabola(base).information
    # from there to u, in which the sampler moves
    steps = STEP * np.concatenate([np.eye(size), -np.eye(size), np.zeros((1, size))])
    u, _ = parameters.spread(base + steps)
    jacobian = (u[:size] - u[size:-1]).T[np.ix_(hill.moving, hill.moving)] / (2 * STEP)
    scale = np.zeros((size, size))
    scale[np.ix_(hill.moving, hill.moving)] = jacobian @ np.linalg.cholesky(_inverse(information))
    several = tuple(block for block in found if len(block.modes) > 1)
    return Start(Coordinates.around(u[-1], scale, curves), parameters, several)


def _inverse(information: Floats) -> Floats:
    values, vectors = np.linalg.eigh(information)
    return np.asarray((vectors / np.maximum(values, _WIDEST**-2)) @ vectors.T)


def _loosest(hill: Hill, information: Floats) -> int | None:
    """What the data say so little of that the posterior may be no ellipsoid; None if nothing is.

    Column densities come before others. Populations stay as they are.
    """
    widths = np.sqrt(np.diag(_inverse(information)))
    order = []
    for k, width in zip(hill.moving, widths, strict=True):
        row = hill.parameters.rows[k]
        of_population = row.population or row.name.rpartition(".")[0] in hill.parameters.populations
        if width > _LOOSE and not of_population:
            order.append((row.name.endswith(".NH"), width, int(k)))
    return max(order)[-1] if order else None


def _highest(hill: Hill, v: Floats) -> tuple[Floats, float]:
    """The highest point, and the logarithm of the mass around it, were that a Gaussian's."""
    top = hill.climb(v, _RIDGE_LAPS)
    return top.origin, top.height - 0.5 * float(np.linalg.slogdet(top.information)[1])


def _ridge(hill: Hill, path: int, base: Floats) -> tuple[Floats, Curve]:
    """The ridge along a coordinate, and where its middle is.

    It goes through the highest point of the hill for each value of the coordinate.
    """
    found = [_highest(hill, base)]
    for way in (-1, 1):
        at, stride = base, _SHORTEST
        for _ in range(_POINTS):
            at = at + way * stride * (np.arange(len(at)) == path)
            at, mass = _highest(hill, at)
            found.append((at, mass))
            if not mass > max(one for _, one in found) - _FALL:
                break
            stride = min(_LONGER * stride, _LONGEST)
    found.sort(key=lambda one: float(one[0][path]))
    nodes = np.array([at for at, _ in found])
    masses = np.array([mass for _, mass in found])
    masses = np.maximum(masses - masses.max(), -_NOTHING)
    t = np.linspace(nodes[0, path], nodes[-1, path], 2001)
    density = np.exp(PchipInterpolator(nodes[:, path], masses)(t))
    quantile = special.ndtri((np.cumsum(density) - 0.5 * density) / density.sum())

    def along(columns: Floats, quantiles: NDArray[np.float64]) -> Floats:
        at = np.interp(quantiles, quantile, t)
        return np.stack([np.interp(at, nodes[:, path], c) for c in columns.T], axis=1)

    u, _ = hill.parameters.spread(nodes)
    return along(nodes, np.zeros(1))[0], Curve.through(path, along(u, QUANTILES))
