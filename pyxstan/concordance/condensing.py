r"""Fewer sources with the same likelihood.

With the flux G_j integrated out, the log-normal likelihood knows n sources that the same k
instruments saw, with the same variances, by three things alone: n, their mean, and the scatter
matrix of their measurements about it, each source's own mean taken out. So k + 1 sources on a
simplex, each counted n / (k + 1) times, have the same likelihood as all n, for all B and sigma.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.linalg import helmert

from pyxstan.concordance.data import ConcordanceData, Floats


def condensed(data: ConcordanceData, given: Floats) -> dict[str, Any]:
    """Return the sources of the likelihood, in the names of the Stan program's data."""
    order = np.lexsort((data.instrument, data.source))
    y, s2, by = data.y[order], given[order], data.instrument[order]
    starts = np.searchsorted(data.source[order], np.arange(len(data.sources) + 1))
    alike: dict[bytes, list[int]] = {}
    for j in range(len(data.sources)):
        here = slice(starts[j], starts[j + 1])
        alike.setdefault(by[here].tobytes() + s2[here].tobytes(), []).append(j)
    blocks: list[Floats] = []
    members: list[slice] = []
    times: list[float] = []
    for sources in alike.values():
        first = slice(starts[sources[0]], starts[sources[0] + 1])
        rows = np.array([y[starts[j] : starts[j + 1]] for j in sources])
        rows -= rows.mean(axis=1, keepdims=True)
        n, k = rows.shape
        if n > k + 1:
            center = rows.mean(axis=0)
            # rows of the triangular factor R have R^T R = the scatter matrix
            R = np.linalg.qr(rows - center, mode="r")
            rows = center + np.sqrt((k + 1) / n) * helmert(k + 1).T @ R
        blocks += list(rows)
        members += [first] * len(rows)
        times += [n / len(rows)] * len(rows)
    return {
        "M": len(blocks),
        "n": sum(block.size for block in blocks),
        "y": np.concatenate(blocks),
        "s2": np.concatenate([s2[here] for here in members]),
        "instrument": np.concatenate([by[here] for here in members]) + 1,
        "start": np.cumsum([1, *(block.size for block in blocks)]),
        "times": np.array(times),
    }
