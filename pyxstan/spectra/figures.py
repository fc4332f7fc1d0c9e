"""Figures of a fit of spectra, sized for a page and readable in grey."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan import inference_data
from pyxstan.corner import draw_corner
from pyxstan.figures import blank, plain
from pyxstan.spectra.fitted import FittedSpectrum, Floats, fitted_spectra
from pyxstan.spectra.stored import from_fit
from pyxstan.spectra.unfolded import UnfoldedSource, unfolded

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = ("#1f4e79", "#c55a11", "#548235", "#7f6000", "#7030a0")
_DASHES = ((0, (5, 2)), (0, (5, 2, 1, 2)), (0, (2, 1.5)), (0, (8, 2)), (0, (5, 1, 1, 1, 1, 1)))
#: Panels of a figure, and parameters of a corner plot, at most.
_PANELS, _CORNER = 6, 10
#: Beyond these powers of ten the values of a corner plot are scaled.
_POWERS = (-2, 3)
#: Decades that a flux is shown over, at most.
_DECADES = 4.0
#: Part of the counts that two energies on a curve are apart, at least.
_APART = 0.09


def figures(idata: Any) -> dict[str, Figure]:
    """Counts with the folded model, the sources unfolded, QQ plot and corner plot.

    Raises
    ------
    DataError
        It is no fit of spectra.
    """
    sources, values = from_fit(idata)
    spectra = fitted_spectra(idata)
    shown = [
        unfolded(source, values, *_range(spectra, source.name)) for source in sources[:_PANELS]
    ]
    found = {
        "counts": _counts(spectra),
        "unfolded": _unfolded(shown, len(sources)),
        "qq": _qq(spectra),
    }
    if next(iter(values.values())).size > 1:
        found["corner"] = _corner(idata, [source.name for source in sources], values)
    return found


def _range(spectra: Sequence[FittedSpectrum], source: str) -> tuple[float, float]:
    """Energies in keV of the spectra that a source is in."""
    own = [one for one in spectra if source in one.sources]
    return min(float(one.low[0]) for one in own), max(float(one.high.max()) for one in own)


def _panels(
    count: int, of: str, *, below: bool, height: float
) -> tuple[Figure, list[tuple[Any, Any]]]:
    """Make a figure of panels, each with a smaller one below it or None."""
    shown = min(count, _PANELS)
    columns = 1 if shown == 1 else 2
    rows = -(-shown // columns)
    figure = blank(6.0 if columns == 1 else 7.6, 0.6 + rows * height)
    if below:
        grid = figure.subplots(
            2 * rows, columns, squeeze=False, height_ratios=[2.6, 1] * rows,
        )  # fmt: skip
    else:
        grid = figure.subplots(rows, columns, squeeze=False)
    found: list[tuple[Any, Any]] = []
    for k in range(rows * columns):
        row, column = divmod(k, columns)
        pair = tuple(grid[2 * row : 2 * row + 2, column]) if below else (grid[row, column], None)
        if k < shown:
            found.append((pair[0], pair[1]))
            continue
        for axes in pair:
            if axes is not None:
                axes.axis("off")
    if shown < count:
        figure.suptitle(f"the first {shown} of {count} {of}", fontsize=10)
    return figure, found


def _legend(figure: Figure, panels: Sequence[Any]) -> None:
    """One legend of what all panels have."""
    entries = {
        name: handle
        for axes in panels
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()), list(entries), loc="outside lower center",
        ncols=2 if len(entries) in (2, 4) else 3, fontsize=8, frameon=False,
    )  # fmt: skip


def _steps(low: Floats, high: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Corners of a line that is level in each bin, broken at gaps between bins."""
    x = np.stack([low, high, high], axis=1)
    y = np.repeat(values[..., None], 3, axis=-1)
    gap = np.append(low[1:] > high[:-1] * (1 + 1e-3), False)
    y[..., gap, 2] = np.nan
    return x.ravel()[:-1], y.reshape(*values.shape[:-1], -1)[..., :-1]


def _energy_axis(axes: Any, low: float, high: float) -> None:
    """Logarithmic, with energies that are written as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

    axes.set_xscale("log")
    margin = max((high / low) ** 0.02, 1.01)
    axes.set_xlim(low / margin, high * margin)
    if high / low < 4:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.xaxis.set_minor_locator(MaxNLocator(1))
    else:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high / low < 300 else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _tidy(*pair: Any) -> None:
    for axes in pair:
        if axes is not None:
            axes.tick_params(labelsize=8)
            axes.spines[["top", "right"]].set_visible(False)


def _fill(axes: Any, x: Floats, bands: Floats, color: str) -> None:
    axes.fill_between(x, bands[0], bands[4], color=color, alpha=0.18, lw=0)
    axes.fill_between(x, bands[1], bands[3], color=color, alpha=0.36, lw=0)


# counts


def _counts(spectra: Sequence[FittedSpectrum]) -> Figure:
    figure, panels = _panels(
        len(spectra), "spectra", below=True, height=3.1 if len(spectra) > 1 else 3.9
    )
    name = "source + background" if any(one.has_background for one in spectra) else "model"
    for one, (above, below) in zip(spectra, panels, strict=False):
        _draw_counts(above, one, name)
        _draw_residuals(below, one)
        above.tick_params(labelbottom=False)
        _tidy(above, below)
    _labels(panels, "counts s$^{-1}$ keV$^{-1}$", "residual\n(sigma)")
    _legend(figure, [above for above, _ in panels])
    return figure


def _labels(panels: Sequence[tuple[Any, Any]], above: str, below: str) -> None:
    """Write labels along the axes of panels with a smaller one below, in a row or two columns."""
    for k, (upper, lower) in enumerate(panels):
        lower.set_xlabel("energy (keV)", fontsize=9)
        if k % 2 == 0 or len(panels) == 1:
            upper.set_ylabel(above, fontsize=9)
            lower.set_ylabel(below, fontsize=9)


def _draw_counts(axes: Any, one: FittedSpectrum, name: str) -> None:
    """Data, the folded model and the background."""
    low, high = one.edges
    rate, down, up = one.rate
    center = np.sqrt(low * high)
    axes.errorbar(
        center, rate, xerr=[center - low, high - center], yerr=[down, up], fmt="o", ms=2.2, lw=0.8,
        color="0.1", zorder=3, label="data",
    )  # fmt: skip
    x, total = _steps(low, high, one.total)
    if one.draws > 1:
        _fill(axes, x, total, _COLORS[0])
        name += ", 68 and 95% bands"
    axes.plot(x, total[2], color=_COLORS[0], lw=1.3, label=name)
    if one.has_background:
        _, source = _steps(low, high, one.source)
        axes.plot(x, source[2], ls=_DASHES[0], color=_COLORS[1], lw=1.1, label="source")
        _, behind = _steps(low, high, np.where(one.behind > 0, one.behind, np.nan))
        axes.plot(x, behind, ls=":", color=_COLORS[2], lw=1.3, label="background, scaled")
    lowest = np.concatenate([one.total[2], one.behind])
    _flux_axis(axes, lowest, np.concatenate([one.total[4], rate + up]), rate - down)
    _energy_axis(axes, low[0], high.max())
    axes.set_title(plain(one.title), fontsize=9)


def _flux_axis(axes: Any, lines: Floats, highest: Floats, errors: Floats) -> None:
    """Logarithmic where there is anything positive, around lines and the ends of error bars."""
    from matplotlib.ticker import LogFormatterSciNotation, LogLocator, NullFormatter

    top = float(np.nanmax(highest))
    if not top > 0:
        return
    axes.set_yscale("log", nonpositive="clip")
    there = np.concatenate([lines[lines > 0], errors[errors > 0]])
    bottom = float(there.min()) if there.size else 0.1 * top
    bottom = max(bottom, top / 10**_DECADES)
    axes.set_ylim(bottom / 1.6, top * 1.6)
    if top * 1.6**2 < bottom * 80:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(
            LogFormatterSciNotation(labelOnlyBase=False, minor_thresholds=(np.inf, np.inf))
        )
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_residuals(axes: Any, one: FittedSpectrum) -> None:
    low, high = one.edges
    center = np.sqrt(low * high)
    if one.draws > 1:
        x, around = _steps(low, high, (one.total - one.total[2]) / one.sigma)
        _fill(axes, x, around, _COLORS[0])
    axes.axhline(0, color=_COLORS[0], lw=1)
    axes.errorbar(
        center, one.residual, xerr=[center - low, high - center], yerr=1, fmt="o", ms=2.2, lw=0.8,
        color="0.1",
    )  # fmt: skip
    reach = max(3.0, 1.25 * float(np.abs(one.residual).max()))
    axes.set_ylim(-reach, reach)
    _energy_axis(axes, low[0], high.max())


# before the instruments


def _unfolded(sources: Sequence[UnfoldedSource], count: int) -> Figure:
    labels = list(dict.fromkeys(label for one in sources for label in one.components))
    figure, panels = _panels(count, "sources", below=False, height=2.6 if count > 1 else 3.6)
    for k, (one, (axes, _)) in enumerate(zip(sources, panels, strict=True)):
        _draw_unfolded(axes, one, labels)
        axes.set_xlabel("energy (keV)", fontsize=9)
        if k % 2 == 0:
            axes.set_ylabel("$E^2 f(E)$ (keV s$^{-1}$ cm$^{-2}$)", fontsize=9)
        axes.set_title(plain(one.name), fontsize=9)
        _tidy(axes)
    if count == 1:
        panels[0][0].set_title("")
    _legend(figure, [axes for axes, _ in panels])
    return figure


def _draw_unfolded(axes: Any, one: UnfoldedSource, labels: Sequence[str]) -> None:
    """Draw the sum with its bands, its components, and the sum without absorption."""
    name = "source"
    if not np.array_equal(one.total[0], one.total[4]):
        _fill(axes, one.energy, one.total, _COLORS[0])
        name = "source, 68 and 95% bands"
    axes.plot(one.energy, one.total[2], color=_COLORS[0], lw=1.5, label=name)
    if len(one.components) > 1:
        for label, flux in one.components.items():
            k = labels.index(label)
            axes.plot(
                one.energy, flux, ls=_DASHES[k % len(_DASHES)], lw=1.2,
                color=_COLORS[1 + k % (len(_COLORS) - 1)], label=label,
            )  # fmt: skip
    highest = one.total[4]
    if one.absorbed:
        axes.plot(
            one.energy, one.unabsorbed[2], ls=":", color="0.15", lw=1.4, label="without absorption"
        )
        highest = np.maximum(highest, one.unabsorbed[2])
    _flux_axis(axes, one.total[0], highest, np.zeros(0))
    _energy_axis(axes, float(one.energy[0]), float(one.energy[-1]))


# cumulated counts


def _qq(spectra: Sequence[FittedSpectrum]) -> Figure:
    figure, panels = _panels(len(spectra), "spectra", below=True, height=3.4)
    for one, (above, below) in zip(spectra, panels, strict=False):
        _draw_cumulated(above, below, one)
        above.tick_params(labelbottom=False)
        _tidy(above, below)
    _labels(panels, "observed counts\nup to an energy", "observed\nless expected\n(counts)")
    for _, below in panels:
        below.set_xlabel("expected counts up to the same energy", fontsize=9)
    _legend(figure, [above for above, _ in panels])
    return figure


def _draw_cumulated(above: Any, below: Any, one: FittedSpectrum) -> None:
    """Observed against expected, and their difference below, with the band of predictions."""
    expected, observed, predicted = one.cumulated
    for axes, less in ((above, 0.0), (below, expected)):
        if one.draws > 1:
            _fill(axes, expected, predicted - less, _COLORS[0])
        axes.plot(expected, expected - less, ls="--", color="0.4", lw=0.9)
        axes.plot(expected, observed - less, color=_COLORS[1], lw=1.3)
    above.lines[0].set_label("observed = expected")
    above.lines[1].set_label("observed")
    if one.draws > 1:
        above.collections[0].set_label("predicted, 68 and 95%")
    ends = float(expected.min()), float(expected.max())
    for axes in (above, below):
        axes.set_xlim(*ends if ends[0] < ends[1] else (ends[0] - 1, ends[1] + 1))
    _mark_energies(above, one)
    above.set_title(plain(one.title), fontsize=9)


def _mark_energies(axes: Any, one: FittedSpectrum) -> None:
    """Mark round energies on the curve, where there is room for their names."""
    expected, observed, _ = one.cumulated
    low, high = np.log10(one.low[0]), np.log10(one.high[-1])
    powers = 10.0 ** np.arange(np.floor(low), np.ceil(high) + 1)
    last, reach = 0.0, float(np.abs(expected).max())
    for energy in np.sort(np.concatenate([powers, 2 * powers, 5 * powers])):
        k = int(np.searchsorted(one.high, energy, side="right"))
        if not 0 < k < len(expected) - 1 or expected[k] - last < _APART * reach:
            continue
        if expected[-1] - expected[k] < 0.02 * reach:
            break
        last = expected[k]
        axes.plot(expected[k], observed[k], "o", ms=3, color=_COLORS[1])
        axes.annotate(
            f"{energy:g} keV", (expected[k], observed[k]), (5, -4), fontsize=7,
            textcoords="offset points", va="top", color="0.15",
        )  # fmt: skip


# parameters


def _corner(idata: Any, sources: Sequence[str], values: dict[str, Floats]) -> Figure:
    """What is sampled: what follows from others by a link is left out."""
    posterior = inference_data.group(idata, "posterior")
    linked = json.loads(inference_data.attributes(idata)["spectral_model"])["linked"]
    names = posterior["parameter"].to_numpy().astype(str).tolist()
    units = dict(zip(names, posterior["unit"].to_numpy().astype(str).tolist(), strict=True))
    sampled = [name for name in names if name not in linked]
    chosen = sampled
    if len(sampled) > _CORNER:  # what sources have in common comes first
        own = [any(name.startswith(f"{source}.") for source in sources) for name in sampled]
        order = np.argsort(own, kind="stable")[:_CORNER]
        chosen = [sampled[k] for k in order]
    samples = {}
    for name in chosen:
        draws = values[name].ravel()
        label, factor = _label(name, units[name], float(np.median(draws)))
        samples[label] = draws * factor
    side = max(1.2 + 1.25 * len(samples), 3.6)
    figure = blank(side, side)
    draw_corner(figure, samples, color=_COLORS[0])
    if len(chosen) < len(sampled):
        figure.suptitle(f"{len(chosen)} of {len(sampled)} sampled parameters", fontsize=10)
    return figure


def _label(name: str, unit: str, typical: float) -> tuple[str, float]:
    """Name and unit of a parameter, and the factor that makes its values easy to write."""
    from astropy import units

    power = int(np.floor(np.log10(abs(typical)))) if typical else 0
    if _POWERS[0] <= power <= _POWERS[1]:
        power = 0
    wanted = units.Unit(unit)
    scale = int(np.round(np.log10(wanted.scale))) + power
    words = [f"$10^{{{scale}}}$"] if scale else []
    for base, exponent in zip(wanted.bases, wanted.powers, strict=True):
        words.append(f"{base}" if exponent == 1 else f"{base}$^{{{exponent}}}$")
    half = len(words) if len(words) < 4 else (len(words) + 1) // 2
    lines = " ".join(words[:half]) + "\n" * (half < len(words)) + " ".join(words[half:])
    return plain(name) + (f"\n({lines})" if words else ""), 10.0**-power
