"""The likelihood of a catalogue: several sources taken for one.

Source k has the part  w_k acc_k(gamma) / sum_l w_l acc_l(gamma)  of the events, w its weight and
acc the acceptance at its declination. An event's ratio of densities is the sum over sources of part
times ratio; where one source alone is near, its logarithm is that of the ratio, of the part and of
the energy's probability, and so a row of a table over gamma as those of a single source are.
"""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats, Integers
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.scanning import Maxima, NearEvents, Sky, compiled, pointer
from pyxstan.point_source.tables import STRIDE, SampleTables, with_slopes

#: The least ratio of densities whose logarithm is taken.
_TINY = 1e-300


class StackedSky:
    """Events near a catalogue's sources, ready for likelihoods.

    Parameters
    ----------
    start
        Where each sample's near events begin in the next, shape (samples + 1,).
    number
        Of each near event, in its sample.
    ratio, row
        Of each near event: what doesn't depend on gamma, and the row of what does.
    log_energy
        Those rows: logarithms and slopes at the nodes of gamma, shape (rows, nodes, 2).
    log_share
        Ln of each sample's part of all events, and slope, shape (samples, nodes, 2).
    log_part
        Ln of each source's part of a sample's, and slope, shape (samples, sources, nodes, 2).
    """

    def __init__(self, sky: Sky, catalogue: Catalogue) -> None:
        made = sky.tables
        self.gammas = made.gammas
        self.events = np.array([len(each.sample) for each in made.samples], dtype=float)
        cell = np.searchsorted(made.sin_dec[1:-1], np.sin(catalogue.dec), side="right")
        unseen = np.flatnonzero(~(made.acceptance[cell] > 0).all(axis=1))
        if unseen.size:
            raise DataError(
                f"{catalogue.source}: no event is accepted from source "
                f"{catalogue.names[unseen[0]]}, at declination "
                f"{np.degrees(catalogue.dec[unseen[0]]):.4g} deg"
            )
        accepted = np.stack(
            [made.acceptance[cell] * np.exp(each.log_share[cell, :, 0]) for each in made.samples]
        )
        accepted = accepted * catalogue.weight[:, None]
        of_sample = accepted.sum(axis=1)
        self.log_share = with_slopes((of_sample / of_sample.sum(axis=0))[:, :, None], self.gammas)
        self.log_share = np.ascontiguousarray(self.log_share[:, 0])
        part = np.divide(
            accepted, of_sample[:, None], out=np.zeros_like(accepted), where=accepted > 0
        )
        self.log_part = with_slopes(part.swapaxes(1, 2), self.gammas)
        near = sky.near_events(catalogue.ra, catalogue.dec)
        samples = [
            _rows(each, near, s, cell, self.log_part[s]) for s, each in enumerate(made.samples)
        ]
        before = np.cumsum([0, *(len(rows) for *_, rows in samples)])
        self.start = np.cumsum([0, *(len(number) for number, *_ in samples)])
        self.number = np.concatenate([number for number, *_ in samples])
        self.ratio = np.concatenate([ratio for _, ratio, *_ in samples])
        self.row = np.concatenate(
            [row + first for (_, _, row, _), first in zip(samples, before, strict=False)]
        )
        self.log_energy = np.ascontiguousarray(np.concatenate([rows for *_, rows in samples]))
        self._density = np.ascontiguousarray(np.exp(self.log_energy[:, ::STRIDE, 0]))

    def maximum(self) -> Maxima:
        """The largest likelihood over ns and gamma."""
        best = np.empty((3, 1))
        self._call(best, np.empty(0), np.empty(0), np.empty(0))
        ts, ns, gamma = best
        return Maxima(ts, ns, gamma, np.array([len(self.ratio)]))

    def log_likelihood(self, ns: Floats, gamma: Floats) -> Floats:
        """Ln [L(ns, gamma) / L(0)], shape (1, points)."""
        ns, gamma = (np.ascontiguousarray(x) for x in np.broadcast_arrays(ns, gamma))
        values = np.empty(len(ns))
        self._call(None, ns, gamma, values)
        return values[None]

    def stan_data(self) -> dict[str, Any]:
        """What the Stan program asks for of a source at one position."""
        return {
            "P": 1,
            "S": len(self.events),
            "R": len(self.ratio),
            "log_weight": np.zeros(1),
            "events": self.events,
            "start": 1 + self.start,
            "energy": 1 + self.row,
            "ratio": self.ratio,
            "share": 1 + np.arange(len(self.events)),
            "energies": len(self.log_energy),
            "log_energy": self.log_energy.ravel(),
            "shares": len(self.log_share),
            "log_share": self.log_share.ravel(),
        }

    def _call(self, best: Floats | None, ns: Floats, gamma: Floats, values: Floats) -> None:
        step = self.gammas[1] - self.gammas[0]
        arrays = (
            self.events, self.start, self.ratio, self.row, self.log_energy, self._density,
            self.log_share,
        )  # fmt: skip
        compiled().stacked(
            ctypes.c_int64(len(self.events)), *map(pointer, arrays),
            ctypes.c_double(self.gammas[0]), ctypes.c_double(step), ctypes.c_int(len(self.gammas)),
            None if best is None else pointer(best), ctypes.c_int64(len(ns)),
            *map(pointer, (ns, gamma, values)),
        )  # fmt: skip


def _rows(
    each: SampleTables, near: NearEvents, sample: int, cell: Integers, log_part: Floats
) -> tuple[Integers, Floats, Integers, Floats]:
    """Numbers, ratios and rows of a sample's near events, and these rows."""
    sources, samples = near.counts.shape
    of = np.repeat(np.tile(np.arange(samples), sources), near.counts.ravel()) == sample
    source = np.repeat(np.repeat(np.arange(sources), samples), near.counts.ravel())[of]
    order = np.argsort(near.number[of], kind="stable")
    source, bin_, number, ratio = (
        x[order] for x in (source, near.energy_bin[of], near.number[of], near.ratio[of])
    )
    number, first, size = np.unique(number, return_index=True, return_counts=True)
    alone = size == 1
    bins = each.log_energy.shape[1]
    kinds, row = np.unique((source * bins + bin_)[first[alone]], return_inverse=True)
    rows = each.log_energy[cell[kinds // bins], kinds % bins] + log_part[kinds // bins]
    all_rows, factors = np.empty(len(number), dtype=np.int64), np.ones(len(number))
    all_rows[alone], factors[alone] = row, ratio[first[alone]]
    # an event near several sources has a row of its own
    all_rows[~alone] = len(rows) + np.arange((~alone).sum())
    shared = np.repeat(~alone, size)
    if shared.any():
        logs = each.log_energy[cell[source[shared]], bin_[shared]] + log_part[source[shared]]
        logs[..., 0] += np.log(np.maximum(ratio[shared], _TINY))[:, None]
        begin = np.cumsum(size[~alone]) - size[~alone]
        highest = np.maximum.reduceat(logs[..., 0], begin)
        p = np.exp(logs[..., 0] - np.repeat(highest, size[~alone], axis=0))
        total = np.add.reduceat(p, begin)
        slope = np.add.reduceat(p * logs[..., 1], begin) / total
        rows = np.concatenate([rows, np.stack([highest + np.log(total), slope], axis=-1)])
    return number, factors, all_rows, rows
