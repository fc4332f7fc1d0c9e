"""A corner plot: every parameter against every other, and alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Floats = NDArray[np.float64]

#: Posterior mass within the contours: 1 and 2 sigma of a Gaussian in two dimensions.
MASSES = (0.393, 0.865)
_BINS = 30
#: Smoothing of the histograms in bins, and fewer draws than make contours.
_WIDTH, _FEWEST = 1.0, 300
_RANGE = (0.001, 0.999)


def draw_corner(figure: Figure, samples: Mapping[str, Floats], *, color: str) -> None:
    """Draw a corner plot into an empty figure.

    Parameters
    ----------
    figure
        The figure to fill.
    samples
        Label -> draws, all of one length.
    color
        Of histograms and contours.
    """
    size = len(samples)
    grid = figure.add_gridspec(size, size)
    ranges = [_range(values) for values in samples.values()]
    entries = list(samples.items())
    for i, (name, values) in enumerate(entries):
        for j, (other, across) in enumerate(entries[: i + 1]):
            axes = figure.add_subplot(grid[i, j])
            axes.set_xlim(ranges[j])
            if j == i:
                _draw_alone(axes, values, ranges[i], color)
            else:
                axes.set_ylim(ranges[i])
                _draw_pair(axes, across, values, ranges[j], ranges[i], color)
            _label(axes, other if i == size - 1 else "", name if j == 0 < i else "")
    # panels without a label have nothing to align: they'd be measured for each other
    figure.align_xlabels([axes for axes in figure.axes if axes.get_xlabel()])
    figure.align_ylabels([axes for axes in figure.axes if axes.get_ylabel()])
    engine: Any = figure.get_layout_engine()
    if engine is not None:
        engine.set(w_pad=0.01, h_pad=0.01, wspace=0.01, hspace=0.01)


def _draw_alone(axes: Any, values: Floats, within: tuple[float, float], color: str) -> None:
    axes.hist(values, bins=_BINS, range=within, histtype="stepfilled", color=color, alpha=0.35)
    low, middle, high = np.quantile(values, (0.16, 0.5, 0.84))
    for place, style in ((low, ":"), (middle, "-"), (high, ":")):
        axes.axvline(place, color="0.15", ls=style, lw=0.9)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_title(_interval(low, middle, high), fontsize=7, pad=3)


def _interval(low: float, middle: float, high: float) -> str:
    """Median with its 68% errors, to two digits of the smaller one."""
    down, up = middle - low, high - middle
    smaller = min(down, up)
    digits = int(np.clip(1 - np.floor(np.log10(smaller)), 0, 6)) if smaller > 0 else 3
    return f"${middle:.{digits}f}_{{-{down:.{digits}f}}}^{{+{up:.{digits}f}}}$"


def _draw_pair(
    axes: Any,
    x: Floats,
    y: Floats,
    x_range: tuple[float, float],
    y_range: tuple[float, float],
    color: str,
) -> None:
    if x.size < _FEWEST:
        axes.plot(x, y, ".", ms=2, color=color)
        return
    counts, x_edges, y_edges = np.histogram2d(x, y, bins=_BINS, range=(x_range, y_range))
    density = gaussian_filter(counts.T, _WIDTH, mode="constant")
    levels = mass_levels(density)
    places = (x_edges[1:] + x_edges[:-1]) / 2, (y_edges[1:] + y_edges[:-1]) / 2
    top = float(density.max())
    if levels[0] < levels[1] < top:
        axes.contourf(*places, density, [*levels, 1.01 * top], colors=[color], alpha=0.25)
        axes.contourf(*places, density, [levels[1], 1.01 * top], colors=[color], alpha=0.45)
        axes.contour(*places, density, levels, colors=color, linewidths=0.9)


def mass_levels(density: Floats) -> list[float]:
    """Densities above which `MASSES` of the whole lie, the lower one first."""
    ordered = np.sort(density.ravel())[::-1]
    share = np.cumsum(ordered) / ordered.sum()
    return sorted(float(ordered[np.searchsorted(share, mass)]) for mass in MASSES)


def _range(values: Floats) -> tuple[float, float]:
    """Limits around nearly all draws, with a margin; never without width."""
    low, high = (float(v) for v in np.quantile(values, _RANGE))
    margin = 0.08 * (high - low) or max(1e-6, 1e-3 * abs(low))
    return low - margin, high + margin


def _label(axes: Any, below: str, beside: str) -> None:
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    plain = ScalarFormatter(useOffset=False)
    axes.xaxis.set_major_locator(MaxNLocator(3, prune="both"))
    axes.xaxis.set_major_formatter(plain)
    if below:
        axes.set_xlabel(below, fontsize=8)
        axes.tick_params(axis="x", labelsize=7, rotation=45)
    else:
        axes.tick_params(axis="x", labelbottom=False)
    if axes.get_yticks().size:
        axes.yaxis.set_major_locator(MaxNLocator(3, prune="both"))
    if beside:
        axes.set_ylabel(beside, fontsize=8)
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False))
        axes.tick_params(axis="y", labelsize=7)
    else:
        axes.tick_params(axis="y", labelleft=False)
