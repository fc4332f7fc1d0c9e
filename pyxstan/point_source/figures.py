"""Figures of a point source: where on the sky, at what distance the events lie, ns and gamma."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.collections import EllipseCollection

from pyxstan import inference_data
from pyxstan.corner import draw_corner
from pyxstan.figures import blank
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.sky import Pixels, PriorMap
from pyxstan.point_source.sky_scan import Scan

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOR, _SECOND = "#1f4e79", "#c55a11"
_LEVELS = (0.5, 0.9)
#: Cells of a map to either side of the middle, and draws beyond which no events are circled.
_CELLS, _CIRCLES = 200, 400
#: Pixels of the map of all the sky, how many orders of magnitude of the posterior it shows, and how
#: much below the largest test statistic those of scans do.
_COARSE, _DEX, _DEPTH = 64, 6.0, 60.0
#: The galactic centre (ICRS, deg).
_CENTRE = (266.405, -28.936)


def figures(idata: Any) -> dict[str, Figure]:
    """The position, the events by distance, and the corner plot, from the inference data alone."""
    found = {"distance": _distance(idata)}
    if "map_order" in inference_data.group(idata, "constant_data"):
        found = {"position": _position(idata), "sky": _all_sky(idata), **found}
    posterior = inference_data.group(idata, "posterior")
    if posterior.sizes["chain"] * posterior.sizes["draw"] > 1:
        found["corner"] = _corner(posterior)
    return found


def sky_figures(scan: Scan) -> dict[str, Figure]:
    """All-sky maps of a scan: the test statistic, alone and with each prior map, and these."""
    found = {"ts": _mollweide(scan, scan.maxima.ts, "TS", mark=None)}
    for name, values in scan.with_prior.items():
        prior = np.exp(0.5 * (values - scan.maxima.ts))
        found[f"{name}"] = _mollweide(scan, prior, f"{name} / its maximum", mark=None)
        found[f"ts_{name}"] = _mollweide(scan, values, f"TS with {name}", mark=name)
    return found


def _position(idata: Any) -> Figure:
    """The posterior map around its best place, with events as circles of their errors."""
    constant = inference_data.group(idata, "constant_data")
    posterior, middle = _map(idata), _hottest(idata)
    ra, dec = np.degrees(posterior.icrs())
    scale = np.cos(np.radians(middle[1]))
    away = np.hypot(((ra - middle[0] + 180) % 360 - 180) * scale, dec - middle[1])
    order = np.argsort(away)
    held = posterior.probability[order].cumsum()
    reach = away[order][min(int(np.searchsorted(held, 0.95)), len(held) - 1)]
    half = float(np.clip(1.3 * reach, 0.5, 60.0))
    across = np.linspace(-half, half, 2 * _CELLS + 1)
    x, y = np.meshgrid(middle[0] + across / scale, np.clip(middle[1] + across, -90, 90))
    density = posterior.density(np.radians(x.ravel() % 360), np.radians(y.ravel()))
    per_deg2 = np.radians(1.0) ** 2 * density.reshape(x.shape)
    figure = blank(5.6, 5.0)
    axes = figure.subplots()
    shown = axes.pcolormesh(x, y, per_deg2, cmap="Greys", rasterized=True, shading="nearest")
    heights = [_height(posterior, level) * np.radians(1.0) ** 2 for level in _LEVELS[::-1]]
    if heights[0] < heights[1] < float(per_deg2.max()):
        lines = axes.contour(x, y, per_deg2, heights, colors=_COLOR, linestyles=("--", "-"))
        axes.clabel(lines, fmt=dict(zip(lines.levels, ("90%", "50%"), strict=True)), fontsize=8)
    _circles(axes, constant, middle, half, scale)
    axes.plot(*middle, "+", color=_SECOND, markersize=10, label="hottest pixel of the scan")
    axes.set(
        xlim=(middle[0] + half / scale, middle[0] - half / scale),
        ylim=(middle[1] - half, middle[1] + half),
        xlabel="right ascension (deg), to the left",
        ylabel="declination (deg)",
        aspect=1 / scale,
    )
    axes.legend(fontsize=8, loc="lower right")
    figure.colorbar(shown, ax=axes, label="posterior probability per deg$^2$")
    return figure


def _all_sky(idata: Any) -> Figure:
    """The posterior map on the whole of the sky."""
    pixels = Pixels.grid(_COARSE)
    per_deg2 = _map(idata).within(pixels) / pixels.solid_angle * np.radians(1.0) ** 2
    with np.errstate(divide="ignore"):
        values = np.log10(per_deg2)
    values[per_deg2 == 0] = np.nan
    ra, dec = np.radians(_hottest(idata))
    return _sky(values, "log10 of posterior probability per deg$^2$", (ra, dec), _DEX)


def _map(idata: Any) -> PriorMap:
    """The posterior's."""
    constant = inference_data.group(idata, "constant_data")
    pixels = Pixels(constant["map_order"].to_numpy(), constant["map_number"].to_numpy())
    return PriorMap(pixels, constant["map_probability"].to_numpy())


def _hottest(idata: Any) -> Floats:
    """Right ascension and declination of the hottest pixel (deg)."""
    attributes = inference_data.attributes(idata)
    return np.array([attributes["hottest_ra_deg"], attributes["hottest_dec_deg"]], dtype=float)


def _height(posterior: PriorMap, level: float) -> float:
    """Density per steradian at the edge of a credible region."""
    density = posterior.probability / posterior.pixels.solid_angle
    order = np.argsort(-density)
    held = posterior.probability[order].cumsum()
    return float(density[order][min(int(np.searchsorted(held, level)), len(held) - 1)])


def _circles(axes: Any, constant: Any, middle: Floats, half: float, scale: float) -> None:
    """Events inside, coloured by energy."""
    ra, dec, sigma, energy = (
        constant[f"event_{name}"].to_numpy() for name in ("ra", "dec", "sigma", "log10_energy")
    )
    ra = middle[0] + (ra - middle[0] + 180) % 360 - 180
    inside = (np.abs(ra - middle[0]) * scale < half) & (np.abs(dec - middle[1]) < half)
    energetic = np.flatnonzero(inside)
    energetic = energetic[np.argsort(-energy[energetic])][:_CIRCLES]
    if not energetic.size:
        return
    circles = EllipseCollection(
        2 * sigma[energetic] / scale,
        2 * sigma[energetic],
        np.zeros(energetic.size),
        units="xy",
        offsets=np.column_stack([ra, dec])[energetic],
        offset_transform=axes.transData,
        facecolors="none",
        cmap="viridis",
        linewidths=0.8,
    )
    circles.set_array(energy[energetic])
    axes.add_collection(circles)
    axes.figure.colorbar(circles, ax=axes, label="log10(E / GeV) of events", location="top")


def _distance(idata: Any) -> Figure:
    """Events by their distance from the hottest pixel or nearest source, seen and expected."""
    observed = inference_data.group(idata, "observed_data")["counts"]
    predicted = inference_data.group(idata, "posterior_predictive")["counts"]
    low, middle, high = np.quantile(
        predicted.to_numpy().reshape(-1, observed.size), (0.16, 0.5, 0.84), axis=0
    )
    inner, outer = observed["inner_radius"].to_numpy(), observed["outer_radius"].to_numpy()
    area = 2 * np.pi * np.diff(-np.cos(np.radians(np.append(inner, outer[-1]))))
    area *= np.degrees(1.0) ** 2
    of_one = "map_order" in inference_data.group(idata, "constant_data")
    if not of_one:  # rings around many sources are cut by one another
        area = np.ones(len(area))
    figure = blank(5.2, 3.6)
    axes = figure.subplots()
    kept = slice(None, -1)  # the last ring is all the rest
    edges = np.append(inner, outer[-1])[:-1]
    axes.stairs((high / area)[kept], edges, baseline=(low / area)[kept], fill=True, color="0.8",
                label="expected, 16 to 84%")  # fmt: skip
    axes.stairs((middle / area)[kept], edges, baseline=None, color="0.4", label="median")
    x = 0.5 * (inner + outer)
    y = observed.to_numpy() / area
    axes.errorbar(x[kept], y[kept], np.sqrt(np.maximum(observed, 1))[kept] / area[kept], fmt="o",
                  color=_COLOR, markersize=4, label="events")  # fmt: skip
    what = observed.attrs["long_name"].removeprefix("events by ")
    axes.set(xlabel=f"{what} (deg)", ylabel="events per deg$^2$" if of_one else "events")
    axes.set_ylim(0)
    axes.legend(fontsize=8)
    return figure


def _corner(posterior: Any) -> Figure:
    flux = posterior["flux"]
    unit = flux.attrs["units"].replace("**", "^")
    exponent = int(np.floor(np.log10(float(flux.median()))))
    samples = {
        "$n_s$": posterior["ns"],
        r"$\gamma$": posterior["gamma"],
        f"flux ($10^{{{exponent}}}$ {unit})": flux / 10.0**exponent,
    }
    figure = blank(6.0, 6.0)
    draw_corner(
        figure,
        {name: values.to_numpy().ravel() for name, values in samples.items()},
        color=_COLOR,
    )
    return figure


def _mollweide(scan: Scan, values: Floats, label: str, mark: str | None) -> Figure:
    """A map of what a scan found."""
    everywhere = np.full(12 * scan.nside**2, np.nan)
    everywhere[scan.region.pixels.number] = values
    best = scan.hottest(mark)
    return _sky(everywhere, label, (best.ra, best.dec), _DEPTH)


def _sky(values: Floats, label: str, hottest: tuple[float, float], depth: float) -> Figure:
    """A map of all the sky, right ascension to the left.

    Parameters
    ----------
    values
        Of all pixels of one size, nested; NaN where there is nothing to show.
    hottest
        The best place (rad).
    depth
        How far below the largest value colours reach.
    """
    lon = np.linspace(-np.pi, np.pi, 4 * _CELLS + 1)
    lat = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 2 * _CELLS + 1)
    x, y = np.meshgrid(lon, lat)
    nside = round(float(np.sqrt(len(values) / 12)))
    grid = values[Pixels.containing(x.ravel() % (2 * np.pi), y.ravel(), nside)].reshape(x.shape)
    finite = values[np.isfinite(values)]
    low = max(float(finite.min()), float(finite.max()) - depth)
    figure = blank(7.2, 3.9)
    axes = figure.add_subplot(projection="mollweide")
    axes.set_facecolor("0.75")
    shown = axes.pcolormesh(-x, y, grid, cmap="viridis", rasterized=True, vmin=low)
    ra, dec = _galactic_plane()
    axes.plot(-ra, dec, ".", color="white", markersize=1.0)
    centre = np.radians(_CENTRE)
    axes.plot(-_wrapped(centre[:1]), centre[1:], "*", color="white", markersize=8,
              markeredgecolor="black", linestyle="none",
              label="galactic centre, and plane")  # fmt: skip
    axes.plot(-_wrapped(np.array(hottest[:1])), hottest[1:], "o", markersize=9, color="none",
              markeredgecolor=_SECOND, linestyle="none", label="hottest pixel")  # fmt: skip
    axes.grid(alpha=0.4)
    axes.set_xticks(np.radians(np.arange(-150, 151, 60)))
    labels = [f"{(-tick) % 360:d}°" for tick in range(-150, 151, 60)]
    axes.set_xticklabels(labels, fontsize=7, color="white")
    axes.tick_params(axis="y", labelsize=7)
    axes.set_xlabel("right ascension to the left, declination upwards (ICRS)", fontsize=8)
    figure.legend(fontsize=7, loc="outside lower center", ncols=2, frameon=False)
    figure.colorbar(shown, ax=axes, label=label, shrink=0.8)
    return figure


def _wrapped(angle: Floats) -> Floats:
    return np.asarray((angle + np.pi) % (2 * np.pi) - np.pi)


def _galactic_plane() -> tuple[Floats, Floats]:
    from astropy.coordinates import SkyCoord

    plane = SkyCoord(np.arange(0.0, 360.0, 1.0), 0.0, unit="deg", frame="galactic").icrs
    return _wrapped(plane.ra.rad), np.asarray(plane.dec.rad)
