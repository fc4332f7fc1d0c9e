"""Figures of a concordance fit, sized for a page and readable in grey."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan import inference_data
from pyxstan.figures import blank

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

_INTERVAL = (0.025, 0.5, 0.975)
_COLORS = ("#1f4e79", "#c55a11", "#548235", "#7f6000")
_MARKERS = "os^Dv<>Pph"
#: Panels of the figure of fluxes; more sources are drawn in the order of their disagreement.
_MOST_PANELS = 12
#: Measurements of log-t fits that are named: below this weight, and so many at most.
_OUTLIER = 0.5
_MOST_NAMED = 8


def figures(idata: Any) -> dict[str, Figure]:
    """Corrections by instrument, fluxes by source, residuals (and outlier weights of log-t)."""
    found = {
        "corrections": compare_priors({"": idata}),
        "fluxes": fluxes(idata),
        "residuals": residuals(idata),
    }
    if "posterior_predictive" not in inference_data.group_names(idata):
        return found
    if "outlier_weight" in inference_data.group(idata, "posterior_predictive"):
        found["outliers"] = outliers(idata)
    return found


def compare_priors(fits: Mapping[str, Any]) -> Figure:
    """Effective-area corrections with 95% intervals, several fits side by side.

    Parameters
    ----------
    fits
        Label -> inference data, as in ``{"tau = 0.025": a, "tau = 0.05": b}``; all of the same
        instruments.

    Returns
    -------
    matplotlib.figure.Figure
        One row an instrument; its annotation is the weight of the prior (first fit).
    """
    posteriors = {label: inference_data.group(fit, "posterior") for label, fit in fits.items()}
    first = next(iter(posteriors.values()))
    labels = [str(x) for x in first["instrument"].to_numpy()]
    figure, axes = _figure(6.4, 1.3 + 0.3 * len(labels))
    offsets = np.linspace(-0.22, 0.22, len(fits)) if len(fits) > 1 else np.zeros(1)
    axes.axvline(0, color="0.6", lw=0.8)
    for k, (label, posterior) in enumerate(posteriors.items()):
        low, middle, high = posterior["correction"].quantile(_INTERVAL, ("chain", "draw"))
        rows = np.arange(len(labels)) + offsets[k]
        axes.errorbar(
            middle,
            rows,
            xerr=[middle - low, high - middle],
            fmt=_MARKERS[k % len(_MARKERS)],
            ms=4.5,
            lw=1.4,
            capsize=2.5,
            color=_COLORS[k % len(_COLORS)],
            label=label or None,
        )
    axes.set_yticks(np.arange(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel("effective-area correction (%), median and 95% interval")
    of, fit = next(iter(fits.items()))
    influence = inference_data.group(fit, "constant_data")["prior_influence"]
    margin = axes.secondary_yaxis("right")
    margin.set_yticks(np.arange(len(labels)), [f"{w:.2f}" for w in influence.to_numpy()])
    margin.tick_params(length=0, labelsize=8, colors="0.35")
    margin.set_ylabel("weight of the prior" + (f" ({of})" if of else ""), color="0.35")
    if any(fits):
        axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=len(fits))
    return figure


def fluxes(idata: Any) -> Figure:
    """For each source, the measured fluxes and their errors (1 sigma) beside the concordant one.

    The band is the 95% interval of the concordant flux; each instrument has a colour of its own.
    """
    from matplotlib import colormaps

    posterior = inference_data.group(idata, "posterior")
    constant = inference_data.group(idata, "constant_data")
    observed = _log_fluxes(idata)
    sources = posterior["source"].to_numpy()
    G = posterior["G"].quantile(_INTERVAL, ("chain", "draw")).to_numpy()
    instruments = [str(x) for x in posterior["instrument"].to_numpy()]
    by = _positions(observed["measured_instrument"].to_numpy(), posterior["instrument"].to_numpy())
    of = _positions(observed["measured_source"].to_numpy(), sources)
    deviation = observed.to_numpy() - constant["b"].to_numpy()[by] - G[1][of]
    error = _residuals(idata)[1]
    worst = np.zeros(sources.size)
    np.maximum.at(worst, of, np.abs(deviation) / error)
    shown = np.sort(np.argsort(-worst)[:_MOST_PANELS])
    columns = min(4, shown.size)
    figure, grid = _figure(
        0.6 + 2.4 * columns,
        1.3 + 1.75 * -(-shown.size // columns),
        -(-shown.size // columns),
        columns,
    )
    panels = np.atleast_1d(grid).ravel()
    there = np.isin(of, shown)
    low, middle, high = (100 * np.expm1(deviation + k * error) for k in (-1, 0, 1))
    bottom = min(low[there].min(), 100 * np.expm1(G[0, shown] - G[1, shown]).min())
    top = max(high[there].max(), 100 * np.expm1(G[2, shown] - G[1, shown]).max())
    margin = 0.06 * (top - bottom)
    colors = colormaps["viridis"](np.linspace(0, 0.92, len(instruments)))
    for panel, j in zip(panels, shown, strict=False):
        interval = 100 * np.expm1(G[[0, 2], j] - G[1, j])
        band = panel.axhspan(*interval, color="0.5", alpha=0.3, lw=0)
        panel.axhline(0, color="0.4", lw=1)
        for k in np.flatnonzero(of == j):
            bar = panel.errorbar(
                by[k],
                middle[k],
                yerr=[[middle[k] - low[k]], [high[k] - middle[k]]],
                lw=1,
                fmt=_MARKERS[by[k] % len(_MARKERS)],
                ms=4,
                color=colors[by[k]],
            )
        panel.set_title(str(sources[j]), fontsize=8)
        panel.set_xlim(-0.7, len(instruments) - 0.3)
        panel.set_ylim(bottom - margin, top + margin)
        panel.set_xticks(range(len(instruments)), [""] * len(instruments))
    for panel in panels[shown.size :]:
        panel.axis("off")
    for panel in panels[max(0, shown.size - columns) : shown.size]:
        panel.set_xticks(range(len(instruments)), instruments, rotation=90, fontsize=6)
    figure.supylabel("measured / concordant flux - 1 (%)", fontsize=9)
    figure.legend(
        [band, bar],
        ["concordant flux, 95% interval", "measured flux, 1 sigma"],
        loc="outside upper center",
        ncols=2,
        frameon=False,
        fontsize=8,
    )
    if shown.size < sources.size:
        figure.suptitle(
            f"the {shown.size} of {sources.size} sources on which instruments differ most",
            fontsize=9,
        )
    return figure


def residuals(idata: Any) -> Figure:
    """Standardised residuals by instrument."""
    residual, scale = _residuals(idata)
    posterior = inference_data.group(idata, "posterior")
    observed = _log_fluxes(idata)
    by = _positions(observed["measured_instrument"].to_numpy(), posterior["instrument"].to_numpy())
    labels = [str(x) for x in posterior["instrument"].to_numpy()]
    figure, axes = _figure(6.4, 1.3 + 0.26 * len(labels))
    for edge, shade in ((2, 0.12), (1, 0.2)):
        axes.axvspan(-edge, edge, color=_COLORS[0], alpha=shade, lw=0)
    jitter = np.random.default_rng(0).uniform(-0.28, 0.28, by.size)
    size = np.clip(900 / by.size, 2, 18)
    axes.scatter(residual / scale, by + jitter, s=size, color="0.15", alpha=0.7, lw=0)
    axes.set_yticks(np.arange(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_xlabel("(measured - expected log flux) / scale of its error; bands: 1 and 2")
    return figure


def outliers(idata: Any) -> Figure:
    """Posterior mean weight of every measurement of a log-t fit: outliers fall towards 0."""
    predictive = inference_data.group(idata, "posterior_predictive")
    posterior = inference_data.group(idata, "posterior")
    weight = predictive["outlier_weight"].mean(("chain", "draw"))
    by = _positions(weight["measured_instrument"].to_numpy(), posterior["instrument"].to_numpy())
    labels = [str(x) for x in posterior["instrument"].to_numpy()]
    figure, axes = _figure(6.4, 1.3 + 0.26 * len(labels))
    size = np.clip(2000 / by.size, 4, 24)
    axes.scatter(weight, by, s=size, color=_COLORS[0], alpha=0.6, lw=0)
    lowest = np.argsort(weight.to_numpy())[:_MOST_NAMED]
    for k in lowest[weight.to_numpy()[lowest] < _OUTLIER]:
        axes.annotate(
            str(weight["measured_source"].to_numpy()[k]),
            (weight.to_numpy()[k], by[k]),
            xytext=(3, 3),
            textcoords="offset points",
            rotation=30,
            fontsize=6,
        )
    axes.set_yticks(np.arange(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.8)
    axes.set_xlim(left=0)
    axes.set_xlabel(
        "weight of the measurement (1: regular, towards 0: outlier); those below 0.5 named"
    )
    return figure


def _residuals(idata: Any) -> tuple[np.ndarray, np.ndarray]:
    """Posterior mean residual of each measurement, and the scale of its error.

    The scale is sigma_ij, and of log-t errors sigma_ij / sqrt(nu).
    """
    posterior = inference_data.group(idata, "posterior").mean(("chain", "draw"))
    constant = inference_data.group(idata, "constant_data")
    observed = _log_fluxes(idata)
    by = _positions(observed["measured_instrument"].to_numpy(), posterior["instrument"].to_numpy())
    of = _positions(observed["measured_source"].to_numpy(), posterior["source"].to_numpy())
    if "exposure" in constant:
        center = posterior["B"].to_numpy()[by] + posterior["G"].to_numpy()[of]
        source = constant["exposure"].to_numpy() * np.exp(center)
        expected = source + constant["background"].to_numpy()
        counts = inference_data.group(idata, "observed_data")["counts"].to_numpy()
        return (counts - expected) / source, np.sqrt(expected) / source
    variance = np.zeros(by.size)
    if "sigma_given" in constant:
        variance = constant["sigma_given"].to_numpy() ** 2
    if "sigma" in posterior:
        variance = variance + posterior["sigma"].to_numpy()[by] ** 2
    nu = _degrees_of_freedom(idata)
    expected = posterior["B"].to_numpy()[by] + posterior["G"].to_numpy()[of] - 0.5 * variance / nu
    return observed.to_numpy() - expected, np.sqrt(variance / nu)


def _log_fluxes(idata: Any) -> xr.DataArray:
    """Measured log fluxes; of counts, the log of net counts per exposure."""
    observed = inference_data.group(idata, "observed_data")
    return observed["y"] if "y" in observed else inference_data.group(idata, "constant_data")["y"]


def _degrees_of_freedom(idata: Any) -> float:
    """Mean nu of log-t errors; 1 for log-normal ones, whose sigma needs no scaling."""
    attrs = inference_data.attributes(idata)
    if attrs["model"] != "concordance_t":
        return 1.0
    posterior = inference_data.group(idata, "posterior")
    return (
        float(posterior["nu"].mean())
        if "nu" in posterior
        else float(json.loads(attrs["options"])["nu"])
    )


def _positions(labels: np.ndarray, among: np.ndarray) -> np.ndarray:
    order = np.argsort(among)
    return np.asarray(order[np.searchsorted(among, labels, sorter=order)])


def _figure(width: float, height: float, rows: int = 1, columns: int = 1) -> tuple[Figure, Any]:
    figure = blank(width, min(height, 24))
    axes: Any = figure.subplots(rows, columns)
    for one in np.atleast_1d(axes).ravel():
        one.tick_params(labelsize=8)
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes
