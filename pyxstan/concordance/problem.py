"""A concordance made ready for Stan, and the way back to inference data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.concordance import counts, pilot, reservations, scatter
from pyxstan.concordance.bands import band_covariance
from pyxstan.concordance.condensing import condensed
from pyxstan.concordance.data import ConcordanceData, Floats, Ints
from pyxstan.errors import DataError
from pyxstan.priors import Prior, parse

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws

#: Of tau to sigma: squared, and times the number of sources, it must leave digits of B.
_LARGEST_RATIO = 1e5
#: A prior sd of a log area beyond this (a factor of e) is more likely meant as percent.
_WIDE_TAU = 1.0
#: Likewise the median sd of a log flux.
_WIDE_SIGMA = 1.0
#: A given nu beyond this makes errors that are log-normal in all but name.
_LARGEST_NU = 100.0
#: Priors that don't keep a variance from zero, where data without any scatter would put it.
_OPEN_AT_ZERO = {"half_normal", "gamma"}
#: Where an estimated nu starts.
_START_NU = 4.0
#: What the Stan programs are told of the prior of variances that aren't fitted.
_NO_SCATTER = {"sigma_power": 2, "sigma_family": 1, "sigma_prior": np.zeros((2, 0))}


@dataclass
class ConcordanceProblem:
    """What a fit of a concordance is made of; see `pyxstan.registry.Problem`."""

    model: str
    data: ConcordanceData
    variances: str
    #: Variance of each measurement that is given (0 where unknown), shape (n,).
    given: Floats
    #: Prior covariance of B.
    T: Floats
    #: Which of the fitted variances each instrument has, shape (N,).
    slots: Ints
    #: Whether the likelihood is that of Poisson counts.
    poisson: bool
    #: Robust spread of the data behind the default prior of sigma, shape (N,).
    scatter_spread: Floats | None
    #: Degrees of freedom: a number, None to estimate (log-t); irrelevant for log-normal.
    nu: float | None
    pointwise: str
    #: Whether the posterior is Gaussian and is to be drawn directly.
    closed_form: bool
    stan_data: dict[str, Any]
    guess: pilot.Pilot
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def exact(self, chains: int, draws: int, seed: int) -> Draws | None:
        """Draw the posterior directly where it is Gaussian: log-normal, variances known.

        The standard normals behind the draws are a scrambled Sobol set a chain, in random order:
        each draw is an exact one, and the mean and sd of all of them are closer to the posterior's
        than those of independent draws.
        """
        if not self.closed_form:
            return None
        from pyxstan.concordance.exact import gaussian_draws

        self.notes.append("the posterior is Gaussian: drawn exactly, without NUTS")
        return gaussian_draws(self.guess.gaussian, chains, draws, seed)

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of `B` and `sigma` in the sampler's coordinates."""
        names = {"B", "sigma"}
        unknown = set(values) - names
        if unknown:
            raise DataError(f"no starting value for '{min(unknown)}'; there are B, sigma")
        N, K = len(self.data.instruments), self.stan_data["K"]
        inits: dict[str, Any] = {"z_B": np.zeros(N), "z_v": np.zeros(K)}
        if self.model == "concordance":
            inits["z_G"] = np.zeros(self.stan_data["M_G"])
        if "B" in values:
            B = _start("B", values["B"], N)
            inits["z_B"] = np.linalg.solve(self.stan_data["B_scale"], B - self.guess.gaussian.B)
        if "sigma" in values and K:
            sigma = _start("sigma", values["sigma"], N)
            if not (sigma > 0).all():
                raise DataError("starting values of sigma must be positive")
            sigma = sigma[np.unique(self.slots, return_index=True)[1]]
            inits["z_v"] = (2 * np.log(sigma) - self.guess.log_v) / self.guess.log_v_scale
        if self.model == "concordance_t":
            inits["z_G"] = np.zeros(len(self.data.sources))
            inits["z_nu"] = np.zeros(self.stan_data["estimate_nu"])
        return inits

    def starts(self, chains: int, seed: int) -> None:
        """Chains start around the guess."""

    def refined(self, draws: Draws) -> None:
        """Nothing here is approximate."""

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, pointwise groups, data: with names, coordinates and units."""
        from pyxstan.concordance.results import groups

        return groups(self, draws, seed)


def _start(name: str, values: Any, size: int) -> Floats:
    """Starting values of a variable: one for all instruments, or one for each."""
    try:
        found = np.broadcast_to(np.asarray(values, dtype=float), (size,))
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if not np.isfinite(found).all():
        raise DataError(f"starting values of {name}: expected a number, or {size} of them")
    return found


def prepare(
    model: str,
    data: ConcordanceData,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
) -> ConcordanceProblem:
    """Make the data ready for Stan: checks, defaults, the guess of the posterior."""
    notes, warnings = list(data.notes), list(data.warnings)
    complaints = list(data.complaints)
    data = _with_prior(data, options, priors)
    has_errors = data.sigma is not None or data.counts is not None
    variances = options["variances"] or ("known" if has_errors else "unknown")
    if variances != "unknown" and not has_errors:
        raise DataError(f"variances={variances} needs a column sigma or error in the data")
    if options["variances"] is None:
        errors = (
            "are counts" if data.counts is not None else f"have {'no ' * (not has_errors)}errors"
        )
        notes.append(f"variances={variances} (the data {errors})")
    if data.counts is not None and variances == "unknown":
        variances = "extra"
        notes.append("variances=extra: a fitted scatter of counts comes on top of their Poisson's")
    T = band_covariance(data, options["band_correlation"])
    design = scatter.Design.of(data)
    notes.extend(reservations.of_design(data, design))
    for label, count in zip(data.instruments, data.counts_by_instrument, strict=True):
        if count == 0:
            warnings.append(f"instrument '{label}' has no data: its prior alone gives its area")
    wide = np.flatnonzero(data.tau > _WIDE_TAU)
    if wide.size:
        more = f" (and {wide.size - 1} more)" if wide.size > 1 else ""
        warnings.append(
            f"instrument '{data.instruments[wide[0]]}'{more}: tau is {data.tau[wide[0]]:g}, "
            f"a factor of {np.exp(data.tau[wide[0]]):.3g} in area; 5% is tau = 0.05"
        )
    if data.sigma is not None and (typical := float(np.median(data.sigma))) > _WIDE_SIGMA:
        warnings.append(
            f"the median sigma is {typical:.3g}, a factor of {np.exp(typical):.3g} in flux: "
            "in percent? 5% is sigma = 0.05, or 5 in a column sigma_percent"
        )

    estimate_nu = options.get("nu") == "estimated"
    nu = _START_NU if estimate_nu else float(options.get("nu", _START_NU))
    if not 0 < nu <= _LARGEST_NU:
        raise DataError(
            f"option nu: {nu} is not a positive number up to {_LARGEST_NU:g}, or estimated "
            "(beyond, the errors are those of concordance)"
        )
    robust = model == "concordance_t"
    slots = scatter.sigma_slots(data, options["sigma_groups"])
    precision = np.asarray(np.linalg.inv(T))
    prior, spread, start = None, None, 1.0
    if variances == "known":
        _refuse_scatter_settings(priors, options)
    else:
        factor = scatter.scale_of_t(None if estimate_nu else nu) if robust else 1.0
        alone = scatter.unknowable(data, design, slots)
        if alone:
            complaints.append(
                f"no measurement tells the scatter of {scatter.named(alone)} from its area: "
                "its prior alone gives its sigma"
            )
        scattered = data
        if data.counts is not None:
            scattered = counts.as_log_fluxes(data, precision, None, slots, 1.0, None)
        prior, spread = _scatter_prior(scattered, design, variances, priors, slots, factor)
        if spread is not None:
            notes.append(f"prior {prior.name} ~ {prior}, from a robust spread of the data")
        start = _start_of_scatter(scattered, spread)
    if robust and variances != "unknown":
        notes.append("the given errors are the sigma of log-t: an sd of sigma / sqrt(nu - 2)")
    nu_prior = priors.get("nu", parse("gamma(2, 0.1)"))

    search = (precision, prior, slots, start, nu if robust else None)
    poisson = data.counts is not None and variances == "known" and not robust
    if data.counts is not None and not poisson:
        data = counts.as_log_fluxes(data, *search)
        notes.append("counts: Gaussian in their log rates, with errors from expected counts")
    if poisson:
        guess = pilot.Pilot(counts.mode(data, precision), np.zeros(0), np.zeros(0))
        given = counts.expected_errors(data, guess.gaussian.B, guess.gaussian.G)
        notes.extend(_poisson_notes(data))
    else:
        known = np.zeros_like(data.y) if data.sigma is None else np.square(data.sigma)
        given = np.zeros_like(data.y) if variances == "unknown" else known
        _check_proportions(data, given if variances == "known" else None)
        guess = pilot.find(pilot.Grid.of(data, given), data.b, *search)
    N, K = len(data.instruments), 0 if prior is None else len(prior.priors)
    order = np.lexsort((data.instrument, data.source))
    starts = np.searchsorted(data.source[order], np.arange(len(data.sources) + 1))
    stan_data: dict[str, Any] = {
        "N": N,
        "M": len(data.sources),
        "n": data.y.size,
        "y": data.y[order],
        "s2": given[order],
        "instrument": data.instrument[order] + 1,
        "start": starts + 1,
        "b": data.b,
        "T_whitening": np.linalg.inv(np.linalg.cholesky(T)),
        "K": K,
        "slot": slots + 1 if K else np.zeros(0, dtype=int),
        **(_NO_SCATTER if prior is None else prior.stan_data),
        "B_center": guess.gaussian.B,
        "B_scale": np.linalg.cholesky(guess.gaussian.covariance),
        "log_v_center": guess.log_v,
        "log_v_scale": guess.log_v_scale,
    }
    in_force = {"B": "normal(b, tau), see constant_data"}
    if prior is not None:
        in_force[prior.name] = str(prior)
    if poisson:
        stan_data |= counts.stan_data(data, guess.gaussian)
    elif not robust:
        stan_data |= condensed(data, given) | counts.no_counts(N)
    else:
        stan_data |= {
            "G_center": guess.gaussian.G,
            "G_scale": guess.gaussian.G_scale,
            "G_slope": guess.gaussian.u,
            "estimate_nu": int(estimate_nu),
            "nu_given": nu,
            "nu_family": nu_prior.code,
            "nu_prior": np.outer(nu_prior.stan_arguments, np.ones(int(estimate_nu))),
        }
        if estimate_nu:
            in_force["nu"] = str(nu_prior)
    return ConcordanceProblem(
        model=model,
        data=data,
        variances=variances,
        given=given,
        T=T,
        slots=slots,
        poisson=poisson,
        scatter_spread=spread,
        nu=None if estimate_nu else nu,
        pointwise=options["pointwise"],
        closed_form=not robust and variances == "known" and not poisson and options["exact"],
        stan_data=stan_data,
        guess=guess,
        notes=notes,
        warnings=warnings,
        priors=in_force,
        complaints=complaints,
    )


def _poisson_notes(data: ConcordanceData) -> list[str]:
    """What the likelihood of counts is, and which sources it can't place."""
    assert data.counts is not None
    assert data.background is not None
    if data.background.any():
        return ["counts: Poisson likelihood, on top of the background given; "
                f"G flat above {counts.FAINT:g} counts of a source"]  # fmt: skip
    notes = ["counts: Poisson likelihood, each flux integrated out (multinomial)"]
    totals = np.bincount(data.source, data.counts, minlength=len(data.sources))
    silent = [data.sources[j] for j in np.flatnonzero(totals == 0)]
    if silent:
        notes.append(
            f"without a count: {len(silent)} source(s), {scatter.named(silent)}: silent on areas, "
            "their flux (flat prior in the flux) is an upper limit"
        )
    return notes


def _check_proportions(data: ConcordanceData, given: Floats | None) -> None:
    """Refuse known errors so small beside tau that rounding would decide on the mean of B."""
    if given is None:
        return
    k, largest = int(np.argmin(given)), data.tau.max()
    if np.sqrt(given[k]) * _LARGEST_RATIO < largest:
        raise DataError(
            f"{data.label(k)}: sigma is {np.sqrt(given[k]):g}, out of all proportion to "
            f"the largest tau {largest:g} (at most {_LARGEST_RATIO:g} times sigma)"
        )


def _with_prior(
    data: ConcordanceData, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> ConcordanceData:
    """The data with the prior of B that the user set, checked."""
    tau = options["tau"]
    if "B" in priors:
        if tau is not None:
            raise DataError("prior B and option tau both set the prior of B: give one of them")
        mean, tau = priors["B"].arguments
        data = replace(data, b=np.full(len(data.instruments), mean))
    if tau is not None:
        data = replace(data, tau=np.full(len(data.instruments), tau))
    missing = np.isnan(data.tau)
    if missing.any():
        raise DataError(
            f"instrument '{data.instruments[int(np.argmax(missing))]}' has no tau: give a column "
            "tau in the table of instruments, or the option tau"
        )
    return data


def _refuse_scatter_settings(priors: Mapping[str, Prior], options: Mapping[str, Any]) -> None:
    """Raise where something is set of a scatter that isn't fitted."""
    for name in ("sigma", "sigma2"):
        if name in priors:
            raise DataError(f"prior {name} has no use with variances=known")
    if options["sigma_groups"] is not None:
        raise DataError("option sigma_groups has no use with variances=known")


def _scatter_prior(
    data: ConcordanceData,
    design: scatter.Design,
    variances: str,
    priors: Mapping[str, Prior],
    slots: Ints,
    factor: float,
) -> tuple[scatter.ScatterPrior, Floats | None]:
    """The prior of the fitted variances, and the spreads (N,) behind a default one.

    Log-t errors have a sigma `factor` times that of Gaussian ones of their spread.
    """
    if "sigma" in priors and "sigma2" in priors:
        raise DataError("priors sigma and sigma2 both set the prior of the variances: give one")
    K = int(slots.max()) + 1
    for power, name in ((1, "sigma"), (2, "sigma2")):
        if name in priors:
            if variances == "unknown" and priors[name].family in _OPEN_AT_ZERO:
                scatter.refuse_exact(data, design, scatter.robust_spreads(data, design))
            return scatter.ScatterPrior(power, (priors[name],) * K), None
    scatter.refuse_unknowable(data, design, slots, variances)
    spread = scatter.robust_spreads(data, design)
    if variances == "unknown":
        scatter.refuse_exact(data, design, spread)
    spread = np.maximum(spread, data.tau.max() / _LARGEST_RATIO)
    if variances == "extra":
        spread = scatter.beyond_given(data, design, spread)
    own = np.array([np.nanmin(spread[slots == k]) for k in range(K)])
    return scatter.default_prior(variances, own, factor), spread


def _start_of_scatter(data: ConcordanceData, spread: Floats | None) -> float:
    """Where to look for the variances."""
    if spread is not None:
        return float(np.nanmedian(spread)) ** 2
    residual = data.y - data.b[data.instrument]
    residual -= (np.bincount(data.source, residual) / np.bincount(data.source))[data.source]
    return max(float(residual.var()), (float(data.tau.max()) / _LARGEST_RATIO) ** 2)
