"""A fit of spectra in the terms of its figures: each spectrum with what the model says of it.

Channels are put together for display alone, so that every bin of a figure has some counts. The
total that is expected in a bin is m + alpha b: the model's counts m, and the counts b that the
background spectrum has there, scaled. A residual is what the data have beyond that, in units of
the standard deviation s that the statistic implies,

    r = (o - m - alpha b) / s,   s^2 = m + alpha B + alpha^2 v,

where B is the background that the statistic finds likeliest and v the variance of b: B if it is of
Poisson counts, the square of its error if it is Gaussian. With `chi2` the square of the error of o
stands for m + alpha B.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from pyxstan import inference_data

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

#: Ends of the 95 and the 68% band, around the median.
BAND = (0.025, 0.16, 0.5, 0.84, 0.975)
#: A bin has counts of so many times their error, at least; fewer in a spectrum of few counts.
_SIGNIFICANCE, _FEWEST = 4.0, 2.0
#: So many bins there are to be in a spectrum of few counts, and at most in any.
_SOME, _MOST = 12, 80
#: Next to each other: a gap is wider than so much of the energy.
_GAP = 1e-3
#: Constants that are by spectrum, and not by channel.
_BY_SPECTRUM = ("exposure", "statistic")


def band(draws: Floats) -> Floats:
    """Ends of both bands and the median of draws, shape (5, ...); of those that are finite."""
    fine = np.isfinite(draws.reshape(len(draws), -1)).all(axis=1)
    return np.asarray(np.quantile(draws[fine] if fine.any() else draws, BAND, axis=0))


def display_bins(low: Floats, high: Floats, counts: Floats, variance: Floats) -> Ints:
    """First channel of each bin of a figure.

    Parameters
    ----------
    low, high
        Bounds of the channels in keV, in order of energy.
    counts, variance
        Counts in each channel, and the square of their error.
    """
    together, noise = float(counts.sum()), float(variance.sum())
    best = together**2 / noise if noise > 0 else 0.0
    enough = float(np.clip(best / _SOME, _FEWEST**2, _SIGNIFICANCE**2))
    narrowest = np.log(high[-1] / low[0]) / _MOST
    breaks = np.flatnonzero(low[1:] > high[:-1] * (1 + _GAP)) + 1
    found: list[int] = []
    for run in np.split(np.arange(len(low)), breaks):
        first, total, square = int(run[0]), 0.0, 0.0
        starts: list[int] = []
        for k in run.tolist():
            total, square = total + counts[k], square + variance[k]
            wide = np.log(high[k] / low[first]) >= narrowest
            if wide and total > 0 and total**2 >= enough * square:
                starts.append(first)
                first, total, square = k + 1, 0.0, 0.0
        some = total > 0 and total**2 >= _FEWEST**2 * square
        if first <= run[-1]:  # what is left joins the bin before, if that is better
            wide = np.log(high[run[-1]] / low[first]) >= narrowest
            if (some and wide) or not starts:
                starts.append(first)
        found += starts
    return np.array(found, dtype=np.intp)


@dataclass(frozen=True, eq=False)
class FittedSpectrum:
    """One spectrum of a fit; arrays are by channel in order of energy, draws first."""

    name: str
    sources: tuple[str, ...]
    statistic: str
    exposure: float
    low: Floats
    high: Floats
    width: Floats
    observed: Floats
    error: Floats
    background: Floats
    background_error: Floats
    scale: Floats
    source_counts: Floats
    expected_counts: Floats
    predicted: Floats

    @property
    def title(self) -> str:
        """Name, sources and statistic."""
        of = "" if self.sources == (self.name,) else f" ({' + '.join(self.sources)})"
        return f"{self.name}{of}, {self.statistic}"

    @property
    def draws(self) -> int:
        """How many draws there are."""
        return len(self.source_counts)

    @property
    def has_background(self) -> bool:
        """Whether there is a background to show."""
        return bool(np.any(self.scaled != 0))

    @property
    def scaled(self) -> Floats:
        """Counts of the background, as the source's exposure and region have them."""
        return self.scale * self.background

    @cached_property
    def starts(self) -> Ints:
        """First channel of each bin of a figure."""
        variance = self.error**2 if self.statistic == "chi2" else self.observed
        return display_bins(self.low, self.high, self.observed, variance)

    def summed(self, values: Floats) -> Floats:
        """Sums over the channels of each bin."""
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1))

    @cached_property
    def edges(self) -> tuple[Floats, Floats]:
        """Lower and upper ends of the bins, keV."""
        last = np.append(self.starts[1:], len(self.low)) - 1
        return self.low[self.starts], self.high[last]

    @cached_property
    def per(self) -> Floats:
        """Seconds times keV of each bin."""
        return self.exposure * self.summed(self.width)

    @cached_property
    def rate(self) -> tuple[Floats, Floats, Floats]:
        """Counts per second and keV in the bins, and their errors downwards and upwards."""
        counts = self.summed(self.observed)
        if self.statistic == "chi2":
            down = up = np.sqrt(self.summed(self.error**2))
        else:  # the central 68% interval of a Poisson mean
            least = special.gammaincinv(np.maximum(counts, 1), 0.16)
            down = counts - np.where(counts > 0, least, 0)
            up = special.gammaincinv(counts + 1, 0.84) - counts
        return counts / self.per, down / self.per, up / self.per

    @cached_property
    def source(self) -> Floats:
        """What the model expects of the sources, in counts per second and keV: see `band`."""
        return band(self.summed(self.source_counts) / self.per)

    @cached_property
    def behind(self) -> Floats:
        """The scaled background, in counts per second and keV."""
        return self.summed(self.scaled) / self.per

    @cached_property
    def total(self) -> Floats:
        """Sources and background together."""
        return self.source + self.behind

    @cached_property
    def sigma(self) -> Floats:
        """Standard deviation of data less background and model, in counts per second and keV."""
        behind = np.median(self.expected_counts - self.source_counts, axis=0)
        variance = np.median(self.expected_counts, axis=0)
        if self.statistic == "chi2":
            variance = self.error**2 + (self.scale * self.background_error) ** 2
        elif self.statistic == "wstat":
            variance = variance + self.scale * behind
        elif self.statistic == "pgstat":
            variance = variance + (self.scale * self.background_error) ** 2
        return np.sqrt(np.maximum(self.summed(variance), 1e-300)) / self.per

    @cached_property
    def residual(self) -> Floats:
        """Data less what is expected, in units of `sigma`."""
        return np.asarray((self.rate[0] - self.total[2]) / self.sigma)

    @cached_property
    def cumulated(self) -> tuple[Floats, Floats, Floats]:
        """From the lowest energy on: counts expected, observed, and predicted (see `band`).

        A channel each, after zero counts.
        """
        expected = np.median(np.cumsum(self.expected_counts, axis=1), axis=0)
        predicted = band(np.cumsum(self.predicted, axis=1))
        nothing = np.zeros((5, 1))
        return (
            np.append(0.0, expected),
            np.append(0.0, np.cumsum(self.observed)),
            np.concatenate([nothing, predicted], axis=1),
        )


def fitted_spectra(idata: Any) -> tuple[FittedSpectrum, ...]:
    """Every spectrum of a fit."""
    predictive = inference_data.group(idata, "posterior_predictive")
    observed = inference_data.group(idata, "observed_data")
    constant = inference_data.group(idata, "constant_data")
    tree = json.loads(inference_data.attributes(idata)["spectral_model"])
    of_channel = predictive["spectrum"].to_numpy().astype(str)
    found = []
    for k, name in enumerate(constant["spectrum_name"].to_numpy().astype(str)):
        low = predictive["energy_low"].to_numpy()
        own = np.flatnonzero(of_channel == name)
        own = own[np.argsort(low[own], kind="stable")]
        high = predictive["energy_high"].to_numpy()[own]
        column = {str(v): constant[v].to_numpy()[own] for v in constant if v not in _BY_SPECTRUM}
        draws = {
            str(v): x.to_numpy().reshape(-1, len(of_channel))[:, own]
            for v, x in predictive.data_vars.items()
        }
        found.append(
            FittedSpectrum(
                name=str(name),
                sources=tuple(tree["spectra"][name]),
                statistic=str(constant["statistic"].to_numpy()[k]),
                exposure=float(constant["exposure"].to_numpy()[k]),
                low=np.where(low[own] > 0, low[own], 0.5 * high),
                high=high,
                width=high - low[own],
                observed=observed["counts"].to_numpy()[own],
                error=column["error"],
                background=column["background"],
                background_error=column["background_error"],
                scale=column["background_scale"],
                source_counts=draws["source_counts"],
                expected_counts=draws["expected_counts"],
                predicted=draws["counts"],
            )
        )
    return tuple(found)
