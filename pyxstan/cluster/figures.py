"""Figures of a cluster image's fit, sized for a page and readable in grey."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.cluster.profiles import FittedImage
from pyxstan.corner import draw_corner
from pyxstan.figures import blank

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLORS = ("#1f4e79", "#c55a11", "#548235")
_STYLES = ("--", "-.", ":")
_GREY = "0.72"
#: Parameters of the corner plot, their label and unit.
_CORNER = {
    "x0": "$x_0$ (pixel)",
    "y0": "$y_0$ (pixel)",
    "x02": "$x_{0,2}$ (pixel)",
    "y02": "$y_{0,2}$ (pixel)",
    "rc": "$r_c$ (pixel)",
    "beta": r"$\beta$",
    "rc2": "$r_{c,2}$ (pixel)",
    "beta2": r"$\beta_2$",
    "ellipticity": "$1 - b/a$",
    "angle": "angle (deg)",
}
#: Residuals of which contours are drawn, and the least and largest end of the colours (sigma).
_CONTOUR, _LEAST, _MOST = 3.0, 4.0, 8.0
#: How many core radii the middle panel of the image shows around the centre: of the inner
#: component, and of the outer one.
_CORE = (5.0, 1.8)


def figures(idata: Any) -> dict[str, Figure]:
    """Image, profile, residual image and corner plot, from the inference data alone."""
    fit = FittedImage(idata)
    found = {"image": _image(fit), "profile": _profile(fit), "residuals": _residuals(fit)}
    if fit.posterior.sizes["chain"] * fit.posterior.sizes["draw"] > 1:
        found["corner"] = _corner(fit)
    return found


def side_by_side(fits: Mapping[str, Any]) -> Figure:
    """Profiles and residual images of several fits beside one another.

    Parameters
    ----------
    fits
        Label -> inference data, as in ``{"single": a, "double": b}``.

    Returns
    -------
    matplotlib.figure.Figure
        A column a fit: its profile, the residuals of that, the residual image.
    """
    fitted = {label: FittedImage(idata) for label, idata in fits.items()}
    figure = blank(0.9 + 3.2 * len(fits), 7.4)
    grid = figure.subplots(
        3, len(fits), squeeze=False, height_ratios=(3, 1.1, 3.8), sharex="row", sharey="row"
    )
    limit = max(_limit(fit) for fit in fitted.values())
    shown: Any = None
    for k, (label, fit) in enumerate(fitted.items()):
        _draw_profile(grid[0, k], grid[1, k], fit)
        shown = _draw_residuals(grid[2, k], fit, limit)
        grid[0, k].set_title(label, fontsize=10, pad=8)
        grid[2, k].set_title(f"smoothed by {fit.width:.1f} pixels", fontsize=8)
        if k:
            for row in range(3):
                grid[row, k].set_ylabel("")
    low, high = np.array([_profile_limits(fit) for fit in fitted.values()]).T
    grid[0, 0].set_ylim(low.min(), high.max())
    reach = max(float(np.abs(fit.profile.residual).max()) for fit in fitted.values())
    grid[1, 0].set_ylim(-max(3.0, 1.15 * reach), max(3.0, 1.15 * reach))
    entries = {
        name: line
        for axes in grid[0]
        for line, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()), list(entries), loc="outside upper center", ncols=3, fontsize=8,
        frameon=False,
    )  # fmt: skip
    bar = figure.colorbar(shown, ax=list(grid[2]), shrink=0.9)
    bar.set_label("residual (sigma); contours: +3 (line), -3 (dots)", fontsize=8)
    return figure


def _image(fit: FittedImage) -> Figure:
    """The counts, the same around the core, the exposure."""
    from matplotlib.colors import AsinhNorm

    figure = blank(9.6, 3.0, layout="compressed")
    whole, core, exposed = figure.subplots(1, 3)
    ny, nx = fit.good.shape
    smooth = fit.smoothed(1.0)
    typical = float(np.nanmedian(smooth))
    peak = max(float(np.nanmax(smooth)), 1e-3)
    norm = AsinhNorm(max(typical, 1e-3 * peak), vmin=0.0, vmax=peak)
    for axes in (whole, core):
        shown = _show(axes, smooth, "magma", norm=norm)
        _draw_cores(axes, fit, legend=axes is core)
    whole.set_title("counts, smoothed", fontsize=9)
    suffixes = ("", "2")[: fit.layout.components]
    x, y = fit.core("")[0]
    needed = [k * fit.core(suffix)[1] for k, suffix in zip(_CORE, suffixes, strict=False)]
    reach = min(max(needed), min(nx, ny) / 2)
    reach = max(reach, 5.0)
    core.set_xlim(x - reach, x + reach)
    core.set_ylim(y - reach, y + reach)
    core.set_ylabel("")
    core.set_title("the core", fontsize=9)
    bar = figure.colorbar(shown, ax=[whole, core], label="counts/pixel", shrink=0.86)
    ticks = _asinh_ticks(typical, peak)
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.tick_params(labelsize=8)
    bar.ax.minorticks_off()
    unit = str(fit.constant["exposure_map"].attrs.get("units", "")).replace("cm**2", "cm$^2$")
    values = np.where(fit.good, fit.exposure, np.nan)
    power = int(np.floor(np.log10(np.nanmax(values))))
    values /= 10.0**power
    shown = _show(exposed, values, "viridis", vmin=0.0)
    exposed.set_ylabel("")
    exposed.set_title("exposure", fontsize=9)
    bar = figure.colorbar(
        shown, ax=exposed, label=f"exposure ($10^{{{power}}}$ {unit})", shrink=0.86
    )
    bar.ax.tick_params(labelsize=8)
    _scale_bar(whole, fit)
    return figure


def _asinh_ticks(typical: float, peak: float) -> list[float]:
    """Zero, powers of ten and three times those."""
    lowest = max(typical, 1e-3 * peak)
    powers = 10.0 ** np.arange(np.floor(np.log10(lowest)), 7)
    steps = np.sort(np.concatenate([powers, 3 * powers]))
    return [0.0, *(float(v) for v in steps if lowest / 2 < v <= peak)]


def _draw_cores(axes: Any, fit: FittedImage, *, legend: bool) -> None:
    from matplotlib.patches import Ellipse

    for k, suffix in enumerate(("", "2")[: fit.layout.components]):
        center, a, b, angle = fit.core(suffix)
        if not k or fit.layout.offset:
            axes.plot(*center, "+x"[k], color="white", ms=7, mec="white", mew=1.2)
        name = "$r_{c,2}$" if suffix else "$r_c$"
        ellipse = Ellipse(
            center, 2 * a, 2 * b, angle=angle, fill=False, color="white", lw=1.1,
            ls=("-", "--")[k], label=f"{name} = {fit.median('rc' + suffix):.1f} pixels",
        )  # fmt: skip
        axes.add_patch(ellipse)
    if legend:
        made = axes.legend(fontsize=7, loc="upper right", facecolor="0.15", framealpha=0.75)
        for text in made.get_texts():
            text.set_color("white")


def _scale_bar(axes: Any, fit: FittedImage) -> None:
    """Draw a bar of a round angle, where the size of a pixel is known."""
    if fit.pixel_scale is None:
        return
    nx = fit.good.shape[1]
    angles = np.array([1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600])
    fitting = angles[angles <= 0.25 * nx * fit.pixel_scale]
    angle = int(fitting[-1]) if fitting.size else 1
    length = angle / fit.pixel_scale
    at = axes.transAxes.inverted().transform(axes.transData.transform((length, 0)))[0]
    at -= axes.transAxes.inverted().transform(axes.transData.transform((0, 0)))[0]
    axes.plot([0.05, 0.05 + at], [0.06, 0.06], color="white", lw=2, transform=axes.transAxes)
    label = f"{angle // 60} arcmin" if angle >= 60 else f"{angle} arcsec"
    axes.text(0.05 + at / 2, 0.08, label, color="white", fontsize=7, ha="center", va="bottom",
              transform=axes.transAxes)  # fmt: skip


def _profile(fit: FittedImage) -> Figure:
    figure = blank(6.0, 4.8)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    _draw_profile(above, below, fit)
    above.legend(frameon=False, fontsize=8, loc="upper right")
    above.set_ylim(*_profile_limits(fit))
    reach = max(3.0, 1.15 * float(np.abs(fit.profile.residual).max()))
    below.set_ylim(-reach, reach)
    return figure


def _draw_profile(above: Any, below: Any, fit: FittedImage) -> None:
    """Data, model, components and background; the residuals below."""
    profile = fit.profile
    left = 0.7 * float(min(profile.radius[0], profile.model_radius[0]))
    low = np.maximum(profile.edges[0], left)
    across = np.stack([profile.radius - low, np.maximum(profile.edges[1] - profile.radius, 0)])
    above.errorbar(
        profile.radius, profile.brightness, xerr=np.maximum(across, 0), yerr=profile.error,
        fmt="o", ms=2.8, lw=0.8, color="0.1", label="data", zorder=3,
    )  # fmt: skip
    r = profile.model_radius
    above.fill_between(r, profile.model[0], profile.model[2], color=_COLORS[0], alpha=0.35, lw=0)
    above.plot(r, profile.model[1], color=_COLORS[0], lw=1.4, label="model, 68% band")
    names = ["inner component", "outer component"] if fit.layout.components == 2 else ["cluster"]
    for k, part in enumerate(profile.parts):
        name = [*names, "background"][k]
        if part.any():
            style = _STYLES[2 if name == "background" else k]
            color = _COLORS[2] if name == "background" else _COLORS[1]
            above.plot(r, part, style, color=color, lw=1.3, label=name)
    above.set_xscale("log")
    above.set_yscale("log")
    above.set_xlim(left, 1.1 * float(profile.edges[1, -1]))
    above.set_ylabel(f"surface brightness\n({_power(fit.brightness_unit)})", fontsize=9)
    above.tick_params(labelbottom=False)
    above.spines["right"].set_visible(False)
    if fit.pixel_scale is not None:
        scale = fit.pixel_scale
        top = above.secondary_xaxis("top", functions=(lambda v: v * scale, lambda v: v / scale))
        top.set_xlabel("radius (arcsec)", fontsize=9)
        top.tick_params(labelsize=8)
    else:
        above.spines["top"].set_visible(False)
    model = np.interp(profile.radius, r, profile.model[1])
    band = np.stack([np.interp(profile.radius, r, q) for q in profile.model[[0, 2]]])
    scatter = np.sqrt(model / profile.exposure)
    below.fill_between(
        profile.radius, *((band - model) / scatter), color=_COLORS[0], alpha=0.35, lw=0
    )
    below.axhline(0, color=_COLORS[0], lw=1)
    below.errorbar(profile.radius, profile.residual, yerr=1, fmt="o", ms=2.8, lw=0.8, color="0.1")
    below.set_xscale("log")
    below.set_xlim(above.get_xlim())
    below.set_ylabel("residual\n(sigma)", fontsize=9)
    below.set_xlabel("radius (pixels)", fontsize=9)
    below.spines[["top", "right"]].set_visible(False)
    for axes in (above, below):
        axes.tick_params(labelsize=8)


def _profile_limits(fit: FittedImage) -> tuple[float, float]:
    """Limits of the brightness: components may leave them at the bottom."""
    profile = fit.profile
    lowest = float(profile.model[1].min())
    background = profile.parts[-1]
    if background.any():
        lowest = min(lowest, max(float(np.median(background)), 0.05 * lowest))
    return 0.15 * lowest, 2.0 * float((profile.brightness + profile.error[1]).max())


def _residuals(fit: FittedImage) -> Figure:
    ny, nx = fit.good.shape
    figure = blank(5.6, 1.0 + 4.0 * min(max(ny / nx, 0.5), 1.6))
    axes = figure.subplots()
    shown = _draw_residuals(axes, fit, _limit(fit))
    figure.colorbar(shown, ax=axes, label="residual (sigma)")
    return figure


def _limit(fit: FittedImage) -> float:
    largest = float(np.nanmax(np.abs(fit.residuals)))
    return float(np.clip(largest, _LEAST, _MOST))


def _draw_residuals(axes: Any, fit: FittedImage, limit: float) -> Any:
    """Residual image, with contours that tell its signs apart in grey; what is shown."""
    values = fit.residuals
    shown = _show(axes, values, "RdBu_r", vmin=-limit, vmax=limit)
    if np.nanmax(values) > _CONTOUR:
        axes.contour(values, [_CONTOUR], colors="k", linewidths=0.8, linestyles="-")
    if np.nanmin(values) < -_CONTOUR:
        axes.contour(values, [-_CONTOUR], colors="k", linewidths=0.8, linestyles=":")
    axes.plot(*fit.core("")[0], "+", color="k", ms=7)
    axes.set_title(
        f"smoothed by {fit.width:.1f} pixels; contours: +3 (line), -3 (dots)", fontsize=8
    )
    return shown


def _corner(fit: FittedImage) -> Figure:
    samples = {}
    for name, label in _CORNER.items():
        if name in fit.posterior:
            samples[label] = fit.posterior[name].to_numpy().ravel()
    side = 1.1 + 1.15 * len(samples)
    figure = blank(side, side)
    draw_corner(figure, samples, color=_COLORS[0])
    return figure


def _show(axes: Any, values: np.ndarray, name: str, **limits: Any) -> Any:
    """Show an image, grey where it is nan, pixels counting from 0."""
    from matplotlib import colormaps

    colors = colormaps[name].with_extremes(bad=_GREY)
    shown = axes.imshow(values, origin="lower", cmap=colors, interpolation="nearest", **limits)
    axes.set_xlabel("x (pixels)", fontsize=9)
    axes.set_ylabel("y (pixels)", fontsize=9)
    axes.tick_params(labelsize=8)
    return shown


def _power(unit: str) -> str:
    """Write counts/s/cm2/pixel with powers."""
    first, *others = unit.split("/")
    powers = {"cm2": "cm$^{-2}$"}
    return " ".join([first, *(powers.get(word, f"{word}$^{{-1}}$") for word in others)])
