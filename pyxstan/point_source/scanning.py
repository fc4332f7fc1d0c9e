"""The compiled scan, called by ctypes: everything that runs over events and positions.

`Sky` holds a data set's events, sorted, and its tables; its methods take positions in radians.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from pyxstan.engine.compilation import available_cores
from pyxstan.engine.shared_library import shared_library
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.tables import CUT, EVERYWHERE, STRIDE, Tables, near
from pyxstan.registry import stan_models


class _Sample(ctypes.Structure):
    """As scan.cpp has it."""

    _fields_ = (
        ("events", ctypes.c_void_p),
        ("count", ctypes.c_double),
        ("energy", ctypes.c_void_p),
        ("density", ctypes.c_void_p),
        ("share", ctypes.c_void_p),
        ("cells", ctypes.c_int64),
        ("bins", ctypes.c_int64),
        ("cell_edges", ctypes.c_void_p),
    )


@cache
def compiled() -> ctypes.CDLL:
    """The compiled scan."""
    library = shared_library(stan_models() / "point_source_scan.cpp")
    library.events_new.restype = ctypes.c_void_p
    library.near_events.restype = ctypes.c_int64
    return library


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    """Where an array begins, for `compiled`'s functions."""
    return array.ctypes.data_as(ctypes.c_void_p)


@dataclass(frozen=True)
class Maxima:
    """The largest likelihood at positions.

    Parameters
    ----------
    ts
        2 ln [L(ns, gamma) / L(0)], zero where no source is better than any.
    ns, gamma
        Where it is; gamma is NaN where ns is zero.
    near
        Events within the cut.
    """

    ts: Floats
    ns: Floats
    gamma: Floats
    near: Integers


@dataclass(frozen=True)
class NearEvents:
    """Events near positions, one after the other, by position and sample.

    Parameters
    ----------
    counts
        How many, shape (positions, samples).
    ratio
        Of each, the signal's density in place over the background's in place and energy.
    energy_bin
        Of each.
    number
        Of each, in its sample: the same event has the same one at all positions.
    """

    counts: Integers
    ratio: Floats
    energy_bin: Integers
    number: Integers


class Sky:
    """Events of a data set and its tables, ready for likelihoods at positions.

    Parameters
    ----------
    ra
        Right ascensions in place of the samples' own, as of a scrambled sky.
    cut
        How many of an event's errors away it still counts.
    threads
        By default as many as there are cores.
    declinations
        Ends of those that are looked at (rad), beyond which events that aren't near any of them
        are left out.
    """

    def __init__(
        self,
        tables: Tables,
        ra: Sequence[Floats] | None = None,
        cut: float = CUT,
        threads: int | None = None,
        declinations: tuple[float, float] = EVERYWHERE,
    ) -> None:
        self.tables = tables
        self.threads = threads or available_cores()
        self._library = compiled()
        self._samples = (_Sample * len(tables.samples))()
        edges = np.ascontiguousarray(tables.sin_dec)
        self._kept: list[np.ndarray] = [edges]
        for k, each in enumerate(tables.samples):
            sample = each.sample
            some = near(sample, declinations, cut)
            own = (sample.ra if ra is None else ra[k], sample.dec, sample.sigma, each.weight)
            columns = [np.asarray(column, dtype=float)[some] for column in own]
            columns[0] %= 2.0 * np.pi
            bins = each.energy_bin[some].astype(np.int32)
            events = self._library.events_new(
                ctypes.c_int64(len(bins)), *map(pointer, (*columns, bins)), ctypes.c_double(cut)
            )
            weakref.finalize(self, self._library.events_free, ctypes.c_void_p(events))
            energy, share = map(np.ascontiguousarray, (each.log_energy, each.log_share))
            density = np.ascontiguousarray(np.exp(energy[:, :, ::STRIDE, 0]))
            self._kept += [energy, share, density]
            self._samples[k] = _Sample(
                events, len(sample), pointer(energy), pointer(density), pointer(share),
                len(edges) - 1, energy.shape[1], pointer(edges),
            )  # fmt: skip

    def maxima(
        self, ra: Floats, dec: Floats, within: float = 0.0, *, roughly: bool = False
    ) -> Maxima:
        """The largest likelihood at each position, over ns and gamma.

        Parameters
        ----------
        within
            What no place within an angle (rad) of the position can be above: every event is taken
            to be as near as it is to any of them.
        roughly
            Over a few values of gamma alone, from which the maximum is followed up otherwise.
        """
        ra, dec = _positions(ra, dec)
        ts, ns, gamma = np.empty((3, len(ra)))
        near = np.empty(len(ra), dtype=np.int64)
        self._library.scan(
            *self._arguments(), *_counted(ra, dec), ctypes.c_double(within),
            ctypes.c_int(not roughly), ctypes.c_int(self.threads),
            pointer(ts), pointer(ns), pointer(gamma), pointer(near),
        )  # fmt: skip
        return Maxima(ts, ns, gamma, near)

    def log_likelihood(self, ra: Floats, dec: Floats, ns: Floats, gamma: Floats) -> Floats:
        """Ln [L(ns, gamma) / L(0)], shape (positions, points)."""
        ra, dec = _positions(ra, dec)
        ns, gamma = _positions(ns, gamma)
        values = np.empty((len(ra), len(ns)))
        self._library.surface(
            *self._arguments(), *_counted(ra, dec), *_counted(ns, gamma),
            ctypes.c_int(self.threads), pointer(values),
        )  # fmt: skip
        return values

    def near_events(self, ra: Floats, dec: Floats) -> NearEvents:
        """Events near positions."""
        ra, dec = _positions(ra, dec)
        counts = np.empty((len(ra), len(self._samples)), dtype=np.int64)
        samples, first, *_, nodes = self._arguments()

        def gathered(ratio: Floats, bin_: np.ndarray, number: np.ndarray) -> int:
            arguments = (samples, first, nodes, *_counted(ra, dec), ctypes.c_int64(len(ratio)))
            columns = map(pointer, (counts, ratio, bin_, number))
            return int(self._library.near_events(*arguments, *columns))

        def columns(room: int) -> tuple[Floats, np.ndarray, np.ndarray]:
            return np.empty(room), np.empty(room, dtype=np.int32), np.empty(room, dtype=np.int32)

        found = columns(gathered(*columns(0)))
        gathered(*found)
        ratio, bin_, number = found
        return NearEvents(counts, ratio, bin_.astype(np.int64), number.astype(np.int64))

    def _arguments(self) -> tuple[object, ...]:
        gammas = self.tables.gammas
        return (
            ctypes.c_int64(len(self._samples)),
            ctypes.byref(self._samples),
            ctypes.c_double(gammas[0]),
            ctypes.c_double(gammas[1] - gammas[0]),
            ctypes.c_int(len(gammas)),
        )


def _positions(first: Floats, second: Floats) -> tuple[Floats, Floats]:
    a, b = np.broadcast_arrays(np.atleast_1d(first), np.atleast_1d(second))
    return np.ascontiguousarray(a, dtype=float), np.ascontiguousarray(b, dtype=float)


def _counted(first: Floats, second: Floats) -> tuple[object, ...]:
    return ctypes.c_int64(len(first)), pointer(first), pointer(second)
