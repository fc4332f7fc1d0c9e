"""What the figures of a cluster show, in numbers: profiles, model images, residual images.

All of it comes from the inference data alone. A model image is the posterior mean of the expected
counts over some of the draws, since the mean of the parameters of a bent posterior fits no draw.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import gamma

from pyxstan import inference_data
from pyxstan.cluster.annuli import Annuli
from pyxstan.cluster.cells import Floats, Pixels
from pyxstan.cluster.parameters import Layout
from pyxstan.cluster.pilot import expected_parts

#: Draws whose images are averaged.
_IMAGES = 32
#: Expected counts that an annulus is merged up to, and that a residual is smoothed up to.
_FEWEST_COUNTS = 20.0
_NARROWEST = 2.5
_BAND = (0.16, 0.5, 0.84)


@dataclass(frozen=True)
class Profile:
    """Surface brightness in annuli: that of the data in merged ones, that of the model in all.

    Radii are in pixels, brightness is in counts a unit of exposure a pixel, background included.
    Annuli are circles, also of elliptical models.
    """

    radius: Floats
    #: Inner and outer radius of each annulus, (2, annuli).
    edges: Floats
    counts: NDArray[np.int64]
    exposure: Floats
    brightness: Floats
    #: Poisson errors of the brightness, down and up: central intervals of 68%, (2, annuli).
    error: Floats
    #: (Counts - expected) / sqrt(expected), expected being the posterior mean.
    residual: Floats
    model_radius: Floats
    #: Quantiles at 16, 50 and 84% of the model's brightness, (3, annuli).
    model: Floats
    #: Posterior mean of each component's brightness and of the background's, (parts, annuli).
    parts: Floats


class FittedImage:
    """An image with its fit, as the inference data hold them."""

    def __init__(self, idata: Any) -> None:
        self.posterior = inference_data.group(idata, "posterior")
        self.constant = inference_data.group(idata, "constant_data")
        self._observed = inference_data.group(idata, "observed_data")
        self._predictive = inference_data.group(idata, "posterior_predictive")
        attrs = inference_data.attributes(idata)
        self.brightness_unit = str(attrs["brightness_unit"])
        self._averaged = attrs.get("brightness") == "average"
        #: Side of a pixel in arcsec; None where it is unknown.
        self.pixel_scale = float(attrs["pixel_scale_arcsec"]) or None
        self.layout = _layout(self.posterior, self.constant)
        self.image = self.constant["image"].to_numpy()
        self.exposure = self.constant["exposure_map"].to_numpy().astype(float)
        self.good = self.constant["good"].to_numpy() != 0

    @cached_property
    def pixels(self) -> Pixels:
        """The pixels that were fitted."""
        y, x = np.nonzero(self.good)
        background = np.zeros(x.size)
        if "background_map_image" in self.constant:
            background = self.constant["background_map_image"].to_numpy()[y, x].astype(float)
        counts, exposure = self.image[y, x].astype(float), self.exposure[y, x]
        return Pixels(
            x.astype(float), y.astype(float), counts, exposure, background, self._averaged
        )

    def median(self, name: str, default: float = 0.0) -> float:
        """Posterior median of a parameter, or the default where there is none."""
        return float(self.posterior[name].median()) if name in self.posterior else default

    def core(self, suffix: str) -> tuple[tuple[float, float], float, float, float]:
        """Centre of a component, its two core radii a >= b (pixels), the angle of a (degrees)."""
        offset = suffix if f"x0{suffix}" in self.posterior else ""
        rc = self.median(f"rc{suffix}")
        e1, e2 = self.median("shear1"), self.median("shear2")
        even, odd = np.cosh(np.hypot(e1, e2)), np.sinc(1j * np.hypot(e1, e2) / np.pi).real
        # half the shear is that of lengths; an isophote is where shape (p - c) has length rc
        stretch = np.array([[even + odd * e1, odd * e2], [odd * e2, even - odd * e1]])
        axes, length, _ = np.linalg.svd(np.linalg.inv(self.layout.shape) @ stretch)
        center = self.median(f"x0{offset}"), self.median(f"y0{offset}")
        angle = float(np.degrees(np.arctan2(axes[1, 0], axes[0, 0])))
        return center, rc * float(length[0]), rc * float(length[1]), angle

    @cached_property
    def parts(self) -> Floats:
        """Posterior mean of the expected counts, by component and of the background.

        Shape (components + 1, pixels).
        """
        names = self.layout.names
        draws = np.stack([self.posterior[name].to_numpy().ravel() for name in names], axis=-1)
        chosen = np.linspace(0, len(draws) - 1, min(_IMAGES, len(draws))).round().astype(int)
        total = np.zeros((self.layout.components + 1, self.pixels.x.size))
        for i in chosen:
            total += expected_parts(self.pixels, self.layout, draws[i])
        return total / len(chosen)

    @cached_property
    def profile(self) -> Profile:
        """Surface brightness in annuli."""
        counts, E = self._observed["counts"].to_numpy(), self.constant["exposure"].to_numpy()
        expected = self._predictive["expected_counts"].stack(sample=("chain", "draw")).to_numpy()
        inner, outer = (self._observed[f"{side}_radius"].to_numpy() for side in ("inner", "outer"))
        mean = expected.mean(axis=1)
        x, y = (float(value) for value in self.constant["annuli_center"])
        annuli = Annuli((x, y), outer, self.layout.shape)
        index, number = annuli.index(self.pixels), len(outer)
        exposure = np.bincount(index, self.pixels.exposure, number)
        weighted = self.pixels.exposure * annuli.radius(self.pixels)
        moment = np.bincount(index, weighted, number)
        parts = np.stack([np.bincount(index, part, number) for part in self.parts])
        group = _merged(mean)
        size = int(group.max()) + 1

        def merge(values: NDArray[Any]) -> Floats:
            return np.bincount(group, values, size).astype(float)

        n, N, seen = merge(counts), merge(mean), merge(E)
        there = (E > 0) & (exposure > 0)
        first = np.searchsorted(group, np.arange(size))
        last = np.searchsorted(group, np.arange(size), side="right") - 1
        return Profile(
            radius=merge(moment) / merge(exposure),
            edges=np.stack([inner[first], outer[last]]),
            counts=n.astype(np.int64),
            exposure=seen,
            brightness=n / seen,
            error=np.abs(poisson_interval(n) - n) / seen,
            residual=(n - N) / np.sqrt(N),
            model_radius=moment[there] / exposure[there],
            model=np.quantile(expected[there], _BAND, axis=1) / E[there],
            parts=parts[:, there] / exposure[there],
        )

    @cached_property
    def width(self) -> float:
        """Width (sigma, pixels) to which residuals are smoothed: 20 counts in a typical beam."""
        typical = float(np.median(self.parts.sum(axis=0)))
        wanted = np.sqrt(_FEWEST_COUNTS / (4 * np.pi * max(typical, 1e-9)))
        return float(np.clip(wanted, _NARROWEST, max(_NARROWEST, min(self.good.shape) / 30)))

    @cached_property
    def residuals(self) -> Floats:
        """Smoothed counts less smoothed model in standard deviations, nan where not fitted.

        A Gaussian g smooths the Poisson counts n of expectation N to ``g * n``, whose variance is
        ``g^2 * N``.
        """
        N = np.zeros(self.good.shape)
        N[self.good] = self.parts.sum(axis=0)
        difference = np.where(self.good, self.image, 0) - N
        s = self.width
        variance = gaussian_filter(N, s / np.sqrt(2), mode="constant") / (4 * np.pi * s**2)
        with np.errstate(invalid="ignore", divide="ignore"):
            sigma = gaussian_filter(difference, s, mode="constant") / np.sqrt(variance)
        return np.where(self.good, sigma, np.nan)

    def smoothed(self, width: float) -> Floats:
        """Counts a pixel, smoothed over fitted pixels alone, nan where not fitted."""
        weight = gaussian_filter(self.good.astype(float), width)
        counts = gaussian_filter(np.where(self.good, self.image, 0).astype(float), width)
        return np.where(self.good, counts / np.maximum(weight, 1e-9), np.nan)


def poisson_interval(n: Floats) -> Floats:
    """Central 68% interval of a Poisson mean where n counts were seen, (2, ...).

    Source: Garwood 1936, Biometrika 28, 437.

    >>> poisson_interval(np.array([0.0, 9.0])).round(2).tolist()
    [[0.0, 6.07], [1.83, 13.09]]
    """
    low = np.where(n > 0, gamma.ppf(_BAND[0], np.maximum(n, 1)), 0.0)
    return np.stack([low, gamma.ppf(_BAND[2], n + 1)])


def _merged(expected: Floats) -> NDArray[np.int64]:
    """Number of the merged annulus of each annulus, from the inside out.

    Merging goes by the model, not by the data, which it would bias.
    """
    group = np.empty(len(expected), dtype=np.int64)
    total, number = 0.0, 0
    for i, counts in enumerate(expected):
        group[i] = number
        total += counts
        if total >= _FEWEST_COUNTS:
            total, number = 0.0, number + 1
    # what is left over at the edge goes with the last that is full
    return np.minimum(group, max(number - 1, 0))


def _layout(posterior: xr.Dataset, constant: xr.Dataset) -> Layout:
    has_map = "background_map_image" in constant
    shape = 1.0, 0.0, 1.0
    if "pixel_shape" in constant:
        xx, xy, yy = map(float, constant["pixel_shape"].to_numpy())
        shape = xx, xy, yy
    return Layout(
        components=2 if "rc2" in posterior else 1,
        constant="B" in posterior,
        sky="b" in posterior,
        background_map=("free" if "map_factor" in posterior else "fixed") if has_map else "none",
        elliptical="shear1" in posterior,
        offset="x02" in posterior,
        pixel_shape=shape,
    )
