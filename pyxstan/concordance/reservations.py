"""What speaks against a concordance: of the design before the fit, of the fit afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyxstan.concordance.data import ConcordanceData, Floats
from pyxstan.concordance.pilot import Grid, gaussian_posterior
from pyxstan.concordance.scatter import Design, named

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.concordance.problem import ConcordanceProblem

#: Posterior means of B beyond so many tau from b are named.
_LARGEST_SHIFT = 3.0
#: Mean standardised residuals beyond this are named, alone or in units of their own error.
_LARGEST_RESIDUAL = 4.0
#: An interval of 95% of sigma_i ends where that of its prior does, up to this factor,
_TAIL, _AT_LIMIT = 0.025, 1.25
#: and its median is below this part of that of all instruments.
_FAR_BETTER = 0.5
#: Draws that an interval takes, at least.
_FEWEST_DRAWS = 100
#: A chi^2 as extreme as this in either direction speaks against the given errors.
_IMPROBABLE = 1e-3


def of_design(data: ConcordanceData, design: Design) -> list[str]:
    """Notes of who measured what."""
    notes = []
    for band in dict.fromkeys(data.bands or ("",)):
        mine = [
            i
            for i in np.flatnonzero(data.counts_by_instrument)
            if not data.bands or data.bands[i] == band
        ]
        groups = design.instrument_group[mine]
        different = list(dict.fromkeys(groups.tolist()))
        if len(different) > 1:
            first = [data.instruments[i] for i in mine if design.instrument_group[i] == groups[0]]
            rest = [data.instruments[i] for i in mine if design.instrument_group[i] != groups[0]]
            notes.append(
                f"{len(different)} groups of instruments share no source: {named(first)} beside "
                f"{named(rest)}; only the priors relate the areas of one to those of another"
            )
    seen = np.bincount(data.source, minlength=len(data.sources))
    alone = [data.sources[j] for j in np.flatnonzero(seen == 1)]
    if alone and len(data.instruments) > 1:
        notes.append(
            f"seen by one instrument alone, so silent on areas: {len(alone)} source(s), "
            f"{named(alone)}"
        )
    return notes


def of_fit(problem: ConcordanceProblem, posterior: xr.Dataset) -> list[str]:
    """Complaints about the areas, the residuals and the given errors."""
    mean = {name: posterior[name].mean(("chain", "draw")).to_numpy() for name in ("B", "G")}
    found = _far_areas(problem, mean["B"])
    if problem.data.counts is not None:
        expected = problem.data.expected_counts(mean["B"], mean["G"])
        standardised = (problem.data.counts - expected) / np.sqrt(expected)
        found += _far_residuals(problem.data, standardised)
        return found + _pearson(problem, expected)
    v = problem.given
    if "sigma" in posterior:
        sigma = posterior["sigma"].median(("chain", "draw")).to_numpy()
        v = v + sigma[problem.data.instrument] ** 2
    nu = None
    if problem.model == "concordance_t":
        nu = problem.nu or float(posterior["nu"].mean())
        v = v / nu
    data = problem.data
    residual = data.y - mean["B"][data.instrument] - mean["G"][data.source] + 0.5 * v
    found += _far_residuals(data, _normal_scores(residual / np.sqrt(v), nu))
    if problem.model == "concordance" and problem.variances == "known":
        found += _chi_square(problem)
    return found


def no_lower_limit(problem: ConcordanceProblem, sigma: xr.DataArray) -> list[str]:
    """Name instruments far better than the others, whose sigma the default prior holds up.

    No fault of the fit, and so no reservation: of few sources every other campaign has one.
    """
    from scipy.stats import gamma

    few = sigma.sizes["chain"] * sigma.sizes["draw"] < _FEWEST_DRAWS
    if few or problem.variances != "unknown" or problem.scatter_spread is None:
        return []
    shape, scale = np.asarray(problem.stan_data["sigma_prior"])[:, problem.slots]
    limit = np.sqrt(scale / gamma.ppf(1 - _TAIL, shape))
    draws = sigma.stack(sample=("chain", "draw")).transpose("sample", ...).to_numpy()
    low, middle = np.quantile(draws, [_TAIL, 0.5], axis=0)
    held = (low < _AT_LIMIT * limit) & (middle < _FAR_BETTER * np.median(middle))
    held &= problem.data.counts_by_instrument > 0
    if not held.any():
        return []
    names = named([problem.data.instruments[i] for i in np.flatnonzero(held)])
    return [
        f"the data put no lower limit on sigma of {names}, far better than the others: the default "
        f"prior does, at {limit[held].min():.2g} (97.5%), and sigma may be smaller than its "
        "interval says: give the errors (sigma) if they are known"
    ]


def _normal_scores(standardised: Floats, nu: float | None) -> Floats:
    """Residuals as likely under a Gaussian as these under Student's t, whose tails are no fault."""
    if nu is None:
        return standardised
    from scipy.stats import norm, t

    return np.asarray(np.sign(standardised) * norm.isf(t.sf(np.abs(standardised), nu)))


def _far_areas(problem: ConcordanceProblem, B: Floats) -> list[str]:
    shift = (B - problem.data.b) / problem.data.tau
    far = np.flatnonzero(np.abs(shift) > _LARGEST_SHIFT)
    if not far.size:
        return []
    worst = far[np.argmax(np.abs(shift[far]))]
    labels = [problem.data.instruments[i] for i in far]
    return [
        f"B is more than {_LARGEST_SHIFT:g} tau from b for {named(labels)} "
        f"({shift[worst]:.1f} tau for '{problem.data.instruments[worst]}'): "
        "data and prior contradict each other"
    ]


def _far_residuals(data: ConcordanceData, standardised: Floats) -> list[str]:
    found = []
    for what, index, labels in (
        ("instrument", data.instrument, data.instruments),
        ("source", data.source, data.sources),
    ):
        size = len(labels)
        count = np.maximum(np.bincount(index, minlength=size), 1)
        total = np.abs(np.bincount(index, standardised, minlength=size)) / np.sqrt(count)
        typical = np.bincount(index, np.abs(standardised), minlength=size) / count
        worst = np.maximum(total, typical)
        far = np.flatnonzero(worst > _LARGEST_RESIDUAL)
        if far.size:
            named_ones = named([labels[k] for k in far[np.argsort(-worst[far])]])
            found.append(
                f"the mean standardised residual of {what} {named_ones} is {worst[far].max():.1f}: "
                "the errors don't explain it"
            )
    return found


def _chi_square(problem: ConcordanceProblem) -> list[str]:
    """Of the given errors, about the best B and G that the prior leaves free."""
    from scipy.stats import chi2

    design = Design.of(problem.data)
    freedom = int(design.freedom.clip(0).sum())
    if freedom == 0:
        return []
    N = len(problem.data.instruments)
    grid = Grid.of(problem.data, problem.given)
    weight = grid.mask / np.where(grid.mask > 0, grid.given, 1.0)
    hold = 1e-9 * float(weight.sum(axis=0).max())
    fit = gaussian_posterior(weight, grid.y + 0.5 * grid.given, problem.data.b, np.eye(N) * hold)
    value = float((weight * fit.residual**2).sum())
    chances = float(chi2.sf(value, freedom)), float(chi2.cdf(value, freedom))
    return _improbable(value, freedom, *chances, _fits_scatter(problem.data, design, "unknown"))


def _pearson(problem: ConcordanceProblem, expected: Floats) -> list[str]:
    """Pearson's chi^2 of counts, whose variance exceeds that of a chi^2 by the sum of 1/mu."""
    from scipy.stats import norm

    assert problem.data.counts is not None
    design = Design.of(problem.data)
    freedom = int(design.freedom.clip(0).sum())
    if freedom == 0:
        return []
    value = float(((problem.data.counts - expected) ** 2 / expected).sum())
    score = (value - freedom) / np.sqrt(2 * freedom + (1 / expected).sum())
    chances = float(norm.sf(score)), float(norm.cdf(score))
    return _improbable(value, freedom, *chances, _fits_scatter(problem.data, design, ""))


def _fits_scatter(data: ConcordanceData, design: Design, instead: str) -> tuple[str, str]:
    """What to do about errors too small, and too large; empty where it would be refused."""
    measured = np.unique(design.instrument_group[data.instrument])
    if (design.freedom[measured] <= 0).any():  # a scatter that can't be told
        return "", ""
    larger = f"; variances={instead} fits the scatter itself" if instead else ""
    return "; variances=extra fits what they lack", larger


def _improbable(
    value: float, freedom: int, above: float, below: float, advice: tuple[str, str]
) -> list[str]:
    if min(above, below) > _IMPROBABLE:
        return []
    small = above < below
    return [
        f"chi^2 {value:.4g} for {freedom} degrees of freedom is improbable "
        f"(p = {min(above, below):.1g}): the errors are too {'small' if small else 'large'}"
        f"{advice[0] if small else advice[1]}"
    ]
