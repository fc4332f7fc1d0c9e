"""Energy bins in parts in which what gas lets through is smooth.

Within a part the transmission is taken at three points (Simpson's rule). So bins are cut at the
edges of the cross sections, and halved until halving them once more changes no bin's transmission
to speak of, for column densities up to those that let nothing through. Bins of the usual widths
stay whole but for those with an edge in them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyxstan.spectra import absorption
from pyxstan.spectra.component_types import Floats, parts
from pyxstan.spectra.model import Absorber, setting_of

#: Optical depths for which a bin's transmission is to be right, and to which fraction.
_DEPTHS, _PRECISION = (1.0, 4.0, 12.0), 2e-4
#: How often a part is halved at most.
_HALVINGS = 10
#: Half the relative distance of the two cuts on either side of an edge.
_BESIDE = 1e-9


def smooth_parts(
    low: Floats, high: Floats, absorbers: Sequence[Absorber]
) -> tuple[Floats, NDArray[np.intp]]:
    """Bins, one after another, in parts.

    Parameters
    ----------
    low, high
        Ends of the bins in keV.
    absorbers
        What is in front of the sources.

    Returns
    -------
    edges, count
        Of the parts, and how many each bin has.
    """
    edges = np.append(parts(low, high)[0][:, 0], high[-1])
    for absorber in absorbers:
        at = absorption.edges(absorber.table) / (1 + absorber.redshift)
        at = np.concatenate([at * (1 - _BESIDE), at * (1 + _BESIDE)])
        edges = np.union1d(edges, at[(edges[0] < at) & (at < edges[-1])])
    for _ in range(_HALVINGS):
        rough = np.zeros(len(edges) - 1, dtype=bool)
        bins = np.searchsorted(low, edges[:-1], side="right") - 1
        for absorber in absorbers:
            rough |= _rough(edges, bins, absorber)
        if not rough.any():
            break
        edges = np.union1d(edges, 0.5 * (edges[:-1] + edges[1:])[rough])
    bins = np.searchsorted(low, edges[:-1], side="right") - 1
    return edges, np.bincount(bins, minlength=len(low))


def _rough(edges: Floats, bins: NDArray[np.intp], absorber: Absorber) -> NDArray[np.bool_]:
    """Parts whose halves say otherwise than the whole of what their bin lets through."""
    share = np.arange(5)[:, None] / 4
    energy = (1 - share) * edges[:-1] + share * edges[1:]
    depth = absorption.optical_depth(energy, absorber.redshift, absorber.table)
    first = np.flatnonzero(np.diff(bins, prepend=-1))
    least = np.minimum.reduceat(depth.min(axis=0), first)[
        np.cumsum(np.diff(bins, prepend=-1) > 0) - 1
    ]
    column = setting_of("NH", absorber.NH, absorption.NH.unit)
    held = float(column) if isinstance(column, float) else np.inf
    width = np.diff(edges)
    found = np.zeros(len(bins), dtype=bool)
    for wanted in _DEPTHS:
        # the bin's most transparent energy has this depth, at most
        passed = np.exp(-np.minimum(wanted / least, held) * (depth - least))
        whole = width / 6 * (passed[0] + 4 * passed[2] + passed[4])
        halves = (
            width / 12 * (passed[0] + 4 * passed[1] + 2 * passed[2] + 4 * passed[3] + passed[4])
        )
        total = np.bincount(bins, halves)[bins]
        found |= np.abs(whole - halves) > _PRECISION * total
    return found
