"""Figures of populations behind many posteriors, sized for a page and readable in grey."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pyxstan import inference_data
from pyxstan.corner import draw_corner
from pyxstan.errors import DataError
from pyxstan.figures import blank, plain
from pyxstan.stacking import parents
from pyxstan.stacking.data import Floats
from pyxstan.stacking.linear_figures import linear_figures
from pyxstan.stacking.parents import PARENTS, Range

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = ("#1f4e79", "#c55a11", "#548235", "#7f6000")
_STYLES = ("-", "--", "-.", ":")
_MARKERS = "os^D"
#: Ends of the 95 and the 68% band, around the median.
_BAND = (0.025, 0.16, 0.5, 0.84, 0.975)
_BINS, _OBJECTS = "population, 16/50/84%", "the objects' own samples, summed"
#: Places where a density is drawn, and draws that its band is of.
_PLACES, _DRAWS = 400, 2000
#: Objects that have a line each, and that have a name each; more make an image.
_LINES, _NAMES = 40, 60
#: Objects whose means are marked one by one, and most parameters of a corner plot.
_MARKED, _CORNER = 300, 12
#: Smoothing of the objects' own densities, in cells of 1/60 of the range.
_WIDTH = 1.2
#: A peak of the band counts for the height of the figure up to so many times that of the median.
_TALLEST = 2.0


class FittedPopulation:
    """A fit of one parameter's parent, in the terms of its figures."""

    def __init__(self, idata: Any) -> None:
        attributes = inference_data.attributes(idata)
        self.model = str(attributes["model"])
        self.parameter = str(attributes["parameter"])
        self.on = Range(float(attributes["low"]), float(attributes["high"]))
        self.posterior = inference_data.group(idata, "posterior")
        self.observed = inference_data.group(idata, "observed_data")
        constant = inference_data.group(idata, "constant_data")
        #: Densities of some objects' own samples, shape (shown, cell), with their names.
        self.histogram = constant["histogram"].to_numpy().astype(float)
        self.shown = [str(name) for name in constant["shown"].to_numpy()]
        self.cells = constant["cell"].to_numpy()

    @property
    def draws(self) -> int:
        """How many draws there are."""
        return int(self.posterior.sizes["chain"] * self.posterior.sizes["draw"])

    @cached_property
    def edges(self) -> Floats | None:
        """Edges of the bins of a histogram."""
        if "bin_low" not in self.posterior.coords:
            return None
        return np.append(self.posterior["bin_low"], self.posterior["bin_high"][-1])

    @cached_property
    def heights(self) -> Floats:
        """16, 50 and 84% of the density in each bin, shape (3, bins)."""
        assert self.edges is not None
        fraction = self.posterior["fraction"].to_numpy().reshape(-1, len(self.edges) - 1)
        return np.asarray(np.quantile(fraction / np.diff(self.edges), _BAND[1:4], axis=0))

    @cached_property
    def band(self) -> tuple[Floats, Floats]:
        """Places, and the median and both bands of the density there, shape (5, places)."""
        step = self.on.width / _PLACES
        x: Floats = self.on.low + step * (np.arange(_PLACES, dtype=np.float64) + 0.5)
        kept = np.unique(np.linspace(0, self.draws - 1, min(self.draws, _DRAWS)).astype(int))
        values = {
            str(name): v.to_numpy().reshape(-1, *v.shape[2:])[kept]
            for name, v in self.posterior.data_vars.items()
        }
        p = parents.density(self.model, x, values, self.on, self.edges)
        return x, np.quantile(p, _BAND, axis=0)

    @property
    def top(self) -> float:
        """Height that the figure of the population needs."""
        if self.edges is not None:
            return float(self.heights.max())
        band = self.band[1]
        return float(min(band[4].max(), _TALLEST * band[2].max()))

    @cached_property
    def summed(self) -> Floats:
        """Mean of the objects' own densities in the cells."""
        return np.asarray(self.histogram.mean(axis=0))

    @cached_property
    def order(self) -> np.ndarray:
        """Of the objects shown: by the means of their samples."""
        means = dict(
            zip(
                map(str, self.observed["object"].to_numpy()),
                self.observed["sample_mean"].to_numpy(),
                strict=True,
            )
        )
        return np.argsort([means[name] for name in self.shown], kind="stable")


def figures(idata: Any) -> dict[str, Figure]:
    """Population, objects, and where there are two parameters or more their corner plot."""
    if "parameter" in inference_data.group(idata, "posterior").dims:
        return linear_figures(idata)
    fit = FittedPopulation(idata)
    found = {"population": _population({"": fit}), "objects": objects(idata)}
    samples = _corner_samples(fit)
    if fit.draws > 1 and 1 < len(samples) <= _CORNER:
        side = 1.1 + 1.15 * len(samples)
        figure = blank(max(side, 3.4), max(side, 3.4))
        draw_corner(figure, samples, color=_COLORS[0])
        found["corner"] = figure
    return found


def side_by_side(fits: Mapping[str, Any]) -> Figure:
    """Several parents of one parameter in one figure: points over bands.

    Parameters
    ----------
    fits
        Label -> inference data, as in ``{"histogram": a, "Gaussian": b}``.

    Returns
    -------
    matplotlib.figure.Figure
        Histograms as points with 16/50/84% error bars, other parents as median and 68% band (and
        95%, where there is one such parent), in density per unit of the parameter.

    Raises
    ------
    DataError
        No fits, or fits of different parameters.
    """
    for label, idata in fits.items():
        if "histogram" not in inference_data.group(idata, "constant_data"):
            raise DataError(f"side_by_side: {label} is not a stack of one parameter")
    fitted = {label: FittedPopulation(idata) for label, idata in fits.items()}
    if not fitted:
        raise DataError("side_by_side: no fits")
    names = dict.fromkeys(fit.parameter for fit in fitted.values())
    if len(names) > 1:
        raise DataError(f"side_by_side: fits of different parameters, {', '.join(names)}")
    return _population(fitted)


def _population(fits: Mapping[str, FittedPopulation]) -> Figure:
    figure = blank(6.0, 4.2)
    axes = figure.subplots()
    first = next(iter(fits.values()))
    bands = [label for label, fit in fits.items() if fit.edges is None]
    points = [label for label, fit in fits.items() if fit.edges is not None]
    for k, label in enumerate(points):
        _draw_points(axes, fits[label], label, k, beside=bool(bands))
    for k, label in enumerate(bands):
        _draw_band(axes, fits[label], label, k, wide=len(bands) == 1)
    top = 1.08 * max(*(fit.top for fit in fits.values()), float(first.summed.max()))
    low, high = min(f.on.low for f in fits.values()), max(f.on.high for f in fits.values())
    rug = _draw_rug(axes, first, low, high)
    _draw_objects_behind(axes, first)
    axes.set_ylim(-0.045 * top if rug else 0, top)
    axes.set_xlim(low, high)
    axes.set_xlabel(plain(first.parameter))
    axes.set_ylabel(f"density (per unit of {plain(first.parameter)})")
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def _draw_objects_behind(axes: Any, fit: FittedPopulation) -> None:
    edges = np.linspace(fit.on.low, fit.on.high, len(fit.cells) + 1)
    axes.stairs(fit.summed, edges, fill=True, color="0.9", lw=0, label=_OBJECTS, zorder=0)


def _draw_rug(axes: Any, fit: FittedPopulation, low: float, high: float) -> bool:
    """Mark the means of the objects' samples below the axis; whether there is room for them."""
    means = fit.observed["sample_mean"].to_numpy()
    if means.size > _MARKED:
        return False
    inside = means[(means >= low) & (means <= high)]
    axes.plot(
        inside, np.full(inside.size, 0.022), "|", transform=axes.get_xaxis_transform(), ms=6,
        mew=0.7, color="0.25", alpha=0.8, label="means of the objects' samples",
    )  # fmt: skip
    axes.axhline(0, color="0.3", lw=0.6)
    return True


def _draw_band(axes: Any, fit: FittedPopulation, label: str, k: int, *, wide: bool) -> None:
    x, (far_below, below, middle, above, far_above) = fit.band
    color = _COLORS[k % len(_COLORS)]
    name = f"{label}, median" if label else "population, median"
    if fit.draws > 1:
        if wide:
            axes.fill_between(x, far_below, far_above, color=color, alpha=0.16, lw=0)
        axes.fill_between(x, below, above, color=color, alpha=0.34 if wide else 0.24, lw=0)
        name += " and 68, 95% bands" if wide else " and 68% band"
    else:
        name = label or "population, one draw"
    axes.plot(x, middle, _STYLES[k % len(_STYLES)], color=color, lw=1.6, label=name)


def _draw_points(axes: Any, fit: FittedPopulation, label: str, k: int, *, beside: bool) -> None:
    assert fit.edges is not None
    low, middle, high = fit.heights
    color = "0.05" if beside else _COLORS[0]
    center = 0.5 * (fit.edges[1:] + fit.edges[:-1])
    name = f"{label}, 16/50/84%" if label else _BINS
    axes.errorbar(
        center, middle, xerr=0.5 * np.diff(fit.edges),
        yerr=[middle - low, high - middle] if fit.draws > 1 else None,
        fmt=_MARKERS[k % len(_MARKERS)], ms=4.5, lw=1.3, capsize=2.5 if fit.draws > 1 else 0,
        color=color, zorder=3, label=name if fit.draws > 1 else label or "population, one draw",
    )  # fmt: skip


def objects(idata: Any) -> Figure:
    """Densities of the objects' own samples, in the order of their means: of 200 at most."""
    fit = FittedPopulation(idata)
    count, total = len(fit.shown), fit.observed.sizes["object"]
    rows = gaussian_filter1d(fit.histogram[fit.order], _WIDTH, axis=1, mode="nearest")
    peak = rows.max(axis=1, keepdims=True)
    rows = rows / np.where(peak > 0, peak, 1.0)
    names = [plain(fit.shown[i]) for i in fit.order]
    figure = blank(6.0, float(np.clip(1.3 + 0.17 * count, 2.2, 8.0)))
    axes = figure.subplots()
    (_draw_lines if count <= _LINES else _draw_image)(axes, fit, rows)
    if count <= _NAMES:
        axes.set_yticks(np.arange(count), names, fontsize=8 if count <= _LINES else 6)
        axes.set_ylabel("object")
    else:
        axes.set_yticks([])
        axes.set_ylabel("objects, by the means of their samples")
    if count < total:
        axes.set_title(f"{count} of {total} objects, evenly chosen", fontsize=9)
    axes.set_xlim(fit.on.low, fit.on.high)
    axes.set_xlabel(plain(fit.parameter))
    axes.tick_params(axis="x", labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def _draw_lines(axes: Any, fit: FittedPopulation, rows: Floats) -> None:
    """Fill a density above a line each, overlapping the line above a little."""
    for k, row in enumerate(rows):
        x = np.concatenate([[fit.on.low], fit.cells, [fit.on.high]])
        y = k + 1.35 * np.concatenate([row[:1], row, row[-1:]])
        order = 2 * (len(rows) - k)
        axes.fill_between(x, k, y, color="#a9bfd6", lw=0, zorder=order)
        axes.plot(x, y, color=_COLORS[0], lw=0.9, zorder=order + 1)
        axes.axhline(k, color="0.6", lw=0.4, zorder=order)
    axes.set_ylim(-0.15, len(rows) + 0.55)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)


def _draw_image(axes: Any, fit: FittedPopulation, rows: Floats) -> None:
    """Draw an object a row, as dark as its density over that at its peak."""
    shown = axes.imshow(
        rows, origin="lower", aspect="auto", cmap="Blues", vmin=0, vmax=1,
        interpolation="nearest", extent=(fit.on.low, fit.on.high, -0.5, len(rows) - 0.5),
    )  # fmt: skip
    bar = axes.figure.colorbar(shown, ax=axes, label="density of the samples, smoothed / its peak")
    bar.ax.tick_params(labelsize=8)


def _corner_samples(fit: FittedPopulation) -> dict[str, Floats]:
    """Draws of the parameters but those that follow from others: none of a histogram."""
    if fit.edges is not None:
        return {}
    derived = PARENTS[fit.model].derived
    found: dict[str, Floats] = {}
    left_out = set() if derived is None else set(derived(_example(fit), fit.on))
    for name, values in fit.posterior.data_vars.items():
        if name in left_out:
            continue
        draws = values.to_numpy().reshape(fit.draws, -1)
        if values.ndim == 2:
            found[str(name)] = draws[:, 0]
            continue
        last = name == "fraction"  # one minus the others
        for k in range(draws.shape[1] - last):
            found[f"{name} {k + 1}"] = draws[:, k]
    return found


def _example(fit: FittedPopulation) -> dict[str, Floats]:
    """One draw of the parameters."""
    return {
        str(name): v.to_numpy().reshape(fit.draws, *v.shape[2:])[:1]
        for name, v in fit.posterior.data_vars.items()
    }
