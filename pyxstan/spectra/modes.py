"""Every solution that matters: modes of the posterior density, from starts that span the priors.

One search finds one mode. An absorbed source may as well be steep behind much gas; a line may be at
either of two energies, two components may change roles. Parameters that have to do with each other
(they are in the same spectra) make a block, and each block is searched on its own: from points of
the prior; from the best mode with one parameter moved away, while the others make up for it; and
from the other maxima of the density along each parameter.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pyxstan.spectra.folding import Floats
from pyxstan.spectra.hill import Hill, Parabola

#: The logarithm of the share of a mode that matters, beside the best one.
MATTERS = 5.0
#: Where a parameter is moved to, in standard deviations of its prior; at how many points its
#: density is looked at, where a line may be narrow in its prior; and how far.
_MOVED = (-1.2, 1.2)
_SCANNED, _SCANNED_LINE, _ENDS = 25, 241, 2.6
#: Laps of a search with one parameter held, and of each portion of a free one; portions at most; by
#: how much less than the best the density must be for the search to go on.
_HELD_LAPS, _LAPS, _PORTIONS, _HOPELESS = 3, 5, 6, 30.0
#: Searches of a block from points of the prior, and of a block at most.
_PRIOR_STARTS, _MOST_STARTS = 3, 40
#: Two points are of one mode if the density between them falls by less.
_DIP = 1.0
#: Of blocks with more parameters only those are searched that there were starts of the prior for.
_LARGEST = 24


@dataclass(frozen=True, eq=False)
class Mode:
    """A maximum of the density, as all coordinates, and the logarithm of the mass around it."""

    v: Floats
    information: Floats
    height: float

    @property
    def mass(self) -> float:
        """Up to a constant, were the density a Gaussian's around it."""
        return self.height - 0.5 * float(np.linalg.slogdet(self.information)[1])


@dataclass(frozen=True, eq=False)
class Block:
    """Coordinates that have to do with each other, and the modes in them, the best first."""

    moving: NDArray[np.int64]
    modes: tuple[Mode, ...]


def blocks(hill: Hill, top: Floats, parabolas: list[Parabola], trials: Floats) -> list[Block]:
    """The modes that matter of each block of coordinates, the others at the best mode.

    Parameters
    ----------
    top
        The best mode that is known.
    parabolas
        Of each spectrum there.
    trials
        Points of the prior, those of the highest density first.
    """
    found = []
    for moving, seen in _parts(hill, parabolas):
        spectra = [one for one, inside in zip(hill.spectra, seen, strict=True) if inside]
        part = replace(hill, moving=moving, spectra=spectra)
        if len(moving) <= _LARGEST:
            found.append(Block(moving, _modes(part, top, trials)))
    return found


def _parts(
    hill: Hill, parabolas: list[Parabola]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_]]]:
    """Coordinates of the same spectra, without those of populations; and these spectra."""
    parameters = hill.parameters
    free = [row.name.rpartition(".")[0] for row in parameters.rows[: parameters.free]]
    own = np.array([name not in parameters.populations for name in free])
    touches = np.array([np.diag(one.information) > 0 for one in parabolas]) & own
    left = np.ones(len(parabolas), dtype=bool)
    while left.any():
        seen = np.arange(len(left)) == np.argmax(left)
        while True:
            moving = touches[seen].any(axis=0)
            wider = touches[:, moving].any(axis=1) | seen
            if (wider == seen).all():
                break
            seen = wider
        left &= ~seen
        if moving.any():
            yield np.flatnonzero(moving), seen


def _modes(hill: Hill, top: Floats, trials: Floats) -> tuple[Mode, ...]:
    """Modes of a block that matter, the best first."""
    found = [_climbed(hill, top, [], -np.inf)]
    best = [one for one in found if one is not None]
    for start in _starts(hill, best[0].v, trials):
        mode = _climbed(hill, start, best, max(one.height for one in best))
        if mode is not None and not any(_joined(hill, mode, one) for one in best):
            best.append(mode)
    best.sort(key=lambda one: -one.mass)
    return tuple(one for one in best if one.mass > best[0].mass - MATTERS)


def _starts(hill: Hill, top: Floats, trials: Floats) -> Iterator[Floats]:
    """Points to search from, of the block's coordinates alone."""
    lines, others = [], []
    for k in hill.moving:
        narrow = hill.parameters.rows[k].name.endswith(".mu")
        at = np.linspace(-_ENDS, _ENDS, _SCANNED_LINE if narrow else _SCANNED)
        points = np.repeat(top[None], len(at), axis=0)
        points[:, k] = at
        heights = hill.heights(points)
        inner = (heights[1:-1] > heights[:-2]) & (heights[1:-1] >= heights[2:])
        peaks = 1 + np.flatnonzero(inner)
        peaks = peaks[np.argsort(-heights[peaks])][:4]
        lines += [(float(heights[p]), points[p]) for p in peaks if abs(at[p] - top[k]) > 0.05]
    for k in hill.moving:
        for place in _MOVED:
            if abs(place - top[k]) > 0.5:
                start = np.where(np.arange(len(top)) == k, place, top)
                held = replace(hill, moving=hill.moving[hill.moving != k])
                if len(held.moving):
                    start = held.climb(start, _HELD_LAPS).origin
                others.append((float(hill.heights(start[None])[0]), start))
    for trial in trials[:_PRIOR_STARTS]:
        start = top.copy()
        start[hill.moving] = trial[hill.moving]
        others.append((float(hill.heights(start[None])[0]), start))
    for group in (lines, others):
        group.sort(key=lambda one: -one[0])
    for _, start in [*lines[: _MOST_STARTS // 4], *others][:_MOST_STARTS]:
        yield start


def _climbed(hill: Hill, start: Floats, known: list[Mode], best: float) -> Mode | None:
    """The mode that is reached; None if it is a known one, or hopeless."""
    v, before = start, -np.inf
    for _ in range(_PORTIONS if known else 1):
        here = hill.climb(v, _LAPS) if known else hill.climb(v)
        v, height = here.origin, here.height
        for one in known:
            away = (v - one.v)[hill.moving]
            if (
                away @ (0.5 * (one.information + here.information)) @ away < 1
                and height < one.height + 0.5
            ):
                return None
        gain = height - before
        if height + 4 * max(gain, 0.0) < best - _HOPELESS and np.isfinite(before):
            return None
        if gain < 1e-3:
            break
        before = height
    if height < best - 3 * MATTERS:
        return None
    return Mode(v, here.information, height)


def _joined(hill: Hill, one: Mode, other: Mode) -> bool:
    """Whether the density hardly falls between two points."""
    share = np.linspace(0, 1, 17)[1:-1, None]
    between = hill.heights((1 - share) * one.v + share * other.v)
    return bool(between.min() > min(one.height, other.height) - _DIP)
