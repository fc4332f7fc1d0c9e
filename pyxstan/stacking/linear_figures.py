"""Figures of Gaussian parents of several parameters, and of means that follow covariates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan import inference_data
from pyxstan.corner import draw_corner
from pyxstan.figures import blank, plain
from pyxstan.stacking.data import Floats

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_COLOR = "#1f4e79"
#: Draws whose ellipses show how well the population is known; most parameters of a corner plot.
_ELLIPSES, _CORNER = 40, 12
#: Ends of the 68% band around the median.
_BAND = (0.16, 0.5, 0.84)


def linear_figures(idata: Any) -> dict[str, Figure]:
    """Population over the objects, and a corner plot of its parameters."""
    posterior = inference_data.group(idata, "posterior")
    follow = "covariate" in posterior.dims
    found = {"population": _trends(idata) if follow else _pairs(idata)}
    samples = _samples(posterior)
    if posterior.sizes["chain"] * posterior.sizes["draw"] > 1 and 1 < len(samples) <= _CORNER:
        side = max(3.4, 1.1 + 1.15 * len(samples))
        found["corner"] = blank(side, side)
        draw_corner(found["corner"], samples, color=_COLOR)
    return found


def _draws(values: xr.DataArray) -> Floats:
    """Chains one after another."""
    array = values.to_numpy()
    return np.asarray(array.reshape(-1, *array.shape[2:]))


def _samples(posterior: xr.Dataset) -> dict[str, Floats]:
    """Draws of every quantity by its label; names of dims of one entry are left out."""
    found: dict[str, Floats] = {}
    for name, values in posterior.data_vars.items():
        draws = _draws(values)
        for index in np.ndindex(draws.shape[1:]):
            words = [
                str(values[dim].to_numpy()[k])
                for dim, k in zip(values.dims[2:], index, strict=True)
                if values.sizes[dim] > 1
            ]
            label = f"{name}\n{', '.join(words)}" if words else str(name)
            found[plain(label)] = draws[(slice(None), *index)]
    return found


def _trends(idata: Any) -> Figure:
    """Each parameter over each covariate, the others being at their pivot."""
    posterior = inference_data.group(idata, "posterior")
    observed = inference_data.group(idata, "observed_data")
    constant = inference_data.group(idata, "constant_data")
    parameters, covariates = (
        [str(x) for x in posterior[dim].to_numpy()] for dim in ("parameter", "covariate")
    )
    count = observed.sizes["object"]
    mean, sd, slope = (_draws(posterior[name]) for name in ("mean", "sd", "slope"))
    size = (1.0 + 4.6 * len(covariates), 1.0 + 3.2 * len(parameters))
    figure = blank(*size)
    grid = figure.subplots(
        len(parameters), len(covariates), squeeze=False, sharex="col", sharey="row"
    )
    known = np.stack([constant[name].to_numpy() for name in covariates], axis=-1)
    away = known - constant["pivot"].to_numpy()
    label = "objects' own samples, mean and sd"
    if len(covariates) > 1:
        label += ", moved to the pivot of the others"
    for i, j in np.ndindex(grid.shape):
        axes: Any = grid[i, j]
        at, others = known[:, j], np.arange(len(covariates)) != j
        y, error = (values.to_numpy().reshape(count, -1)[:, i]
                    for values in (observed["sample_mean"], constant["sample_sd"]))  # fmt: skip
        y = y - away[:, others] @ np.median(slope[:, i], axis=0)[others]
        axes.errorbar(at, y, yerr=error, fmt="o", ms=2.5, lw=0.7, color="0.55", zorder=1,
                      label=label)  # fmt: skip
        x = np.linspace(at.min(), at.max(), 60)
        lines = mean[:, i, None] + slope[:, i, j, None] * (x - float(constant["pivot"][j]))
        low, middle, high = np.quantile(lines, _BAND, axis=0)
        axes.fill_between(x, low, high, color=_COLOR, alpha=0.35, lw=0, zorder=2)
        axes.plot(x, middle, color=_COLOR, lw=1.5, zorder=3,
                  label="mean of the population, 68% band")  # fmt: skip
        for k, sign in enumerate((-1, 1)):
            edge = middle + sign * float(np.median(sd[:, i]))
            axes.plot(x, edge, "--", color=_COLOR, lw=1, zorder=3,
                      label=None if k else "its standard deviation on both sides")  # fmt: skip
        _label(axes, covariates[j] if i == len(grid) - 1 else "", "" if j else parameters[i])
    _legend(figure, grid[0, 0])
    return figure


def _pairs(idata: Any) -> Figure:
    """Each parameter over each other: the objects, and ellipses of the population."""
    from matplotlib.patches import Ellipse

    posterior = inference_data.group(idata, "posterior")
    observed = inference_data.group(idata, "observed_data")
    names = [str(x) for x in posterior["parameter"].to_numpy()]
    mean, sd, rho = (_draws(posterior[name]) for name in ("mean", "sd", "correlation"))
    pairs = [str(x) for x in posterior["pair"].to_numpy()]
    middle = observed["sample_mean"].to_numpy()
    error = inference_data.group(idata, "constant_data")["sample_sd"].to_numpy()
    count = len(names) - 1
    figure = blank(1.2 + 3.6 * count, 1.4 + 3.2 * count)
    grid = figure.subplots(count, count, squeeze=False, sharex="col", sharey="row")
    some = np.unique(np.linspace(0, len(mean) - 1, min(_ELLIPSES, len(mean))).astype(int))
    for i, j in np.ndindex(grid.shape):
        axes: Any = grid[i, j]
        row, column = i + 1, j
        if column >= row:
            axes.axis("off")
            continue
        axes.errorbar(
            middle[:, column], middle[:, row], xerr=error[:, column], yerr=error[:, row],
            fmt="o", ms=2.5, lw=0.5, color="0.6", zorder=1,
            label="objects' own samples, mean and sd",
        )  # fmt: skip
        pair = pairs.index(f"{names[column]}, {names[row]}")

        def ellipse(
            k: Any, size: float, row: int = row, column: int = column, pair: int = pair, **how: Any
        ) -> Ellipse:
            at = [column, row]
            center, scale = (np.median(np.atleast_2d(v[k])[:, at], axis=0) for v in (mean, sd))
            r = float(np.median(rho[k, pair]))
            covariance = np.outer(scale, scale) * np.array([[1, r], [r, 1]])
            lengths, axis = np.linalg.eigh(covariance)
            angle = float(np.degrees(np.arctan2(axis[1, 1], axis[0, 1])))
            height, width = 2 * size * np.sqrt(np.maximum(lengths, 0))
            return Ellipse((center[0], center[1]), width, height, angle=angle, fill=False, **how)

        for k in some if len(some) > 1 else ():
            axes.add_patch(ellipse(k, 1, color=_COLOR, lw=0.5, alpha=0.25, zorder=2))
        whole = slice(None)
        axes.add_patch(ellipse(whole, 1, color=_COLOR, lw=1.8, zorder=3,
                               label="population, 39% (thin: draws)"))  # fmt: skip
        axes.add_patch(ellipse(whole, 2, color=_COLOR, lw=1.4, ls="--", zorder=3,
                               label="population, 86%"))  # fmt: skip
        _label(axes, names[column] if row == count else "", "" if column else names[row])
    _legend(figure, grid[0, 0])
    return figure


def _label(axes: Any, below: str, beside: str) -> None:
    axes.set_xlabel(plain(below))
    axes.set_ylabel(plain(beside))
    axes.tick_params(labelsize=8)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, axes: Any) -> None:
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
