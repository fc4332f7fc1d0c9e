"""A concordance made ready for Stan, and the way back to inference data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.concordance import pilot
from pyxstan.concordance.condensing import condensed
from pyxstan.concordance.data import ConcordanceData, Floats
from pyxstan.errors import DataError
from pyxstan.priors import Prior, parse

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws

#: Of tau to sigma: squared, and times the number of sources, it must leave digits of B.
_LARGEST_RATIO = 1e5
#: A prior sd of a log area beyond this (a factor of e) is more likely meant as percent.
_WIDE_TAU = 1.0
#: A given nu beyond this makes errors that are log-normal in all but name.
_LARGEST_NU = 100.0
#: Where an estimated nu starts.
_START_NU = 4.0


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
        if "B" in values:
            B = _start("B", values["B"], N)
            inits["z_B"] = np.linalg.solve(self.stan_data["B_scale"], B - self.guess.gaussian.B)
        if "sigma" in values and K:
            sigma = _start("sigma", values["sigma"], K)
            if not (sigma > 0).all():
                raise DataError("starting values of sigma must be positive")
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
    data = _with_prior(data, options, priors)
    variances = options["variances"] or ("known" if data.sigma is not None else "unknown")
    if variances != "unknown" and data.sigma is None:
        raise DataError(f"variances={variances} needs a column sigma or error in the data")
    if options["variances"] is None:
        notes.append(f"variances={variances} (the data have {'no ' * (data.sigma is None)}errors)")
    fitted_alone = variances == "unknown" or data.sigma is None
    given = np.zeros_like(data.y) if fitted_alone else np.square(np.asarray(data.sigma))
    T = band_covariance(data, options["band_correlation"])
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

    _check_proportions(data, given if variances == "known" else None)
    estimate_nu = options.get("nu") == "estimated"
    nu = _START_NU if estimate_nu else float(options.get("nu", _START_NU))
    if not 0 < nu <= _LARGEST_NU:
        raise DataError(
            f"option nu: {nu} is not a positive number up to {_LARGEST_NU:g}, or estimated "
            "(beyond, the errors are those of concordance)"
        )
    robust = model == "concordance_t"
    spread = pilot.residual_spread(data, robust=robust)
    spread = max(spread, data.tau.max() / _LARGEST_RATIO)
    power, prior = _variance_prior(
        variances, priors, spread, notes, nu if robust else None, estimate_nu=estimate_nu
    )
    if robust and variances != "unknown":
        notes.append("the given errors are the sigma of log-t: an sd of sigma / sqrt(nu - 2)")
    nu_prior = priors.get("nu", parse("gamma(2, 0.1)"))

    guess = pilot.find(
        pilot.Grid.of(data, given),
        data.b,
        np.asarray(np.linalg.inv(T)),
        None if prior is None else pilot.log_prior_of_log_v(prior, power),
        start=spread**2,
        nu=nu if robust else None,
    )
    N, K = len(data.instruments), 0 if prior is None else len(data.instruments)
    order = np.lexsort((data.instrument, data.source))
    starts = np.searchsorted(data.source[order], np.arange(len(data.sources) + 1))
    code, arguments = (1, (0.0, 0.0)) if prior is None else (prior.code, prior.stan_arguments)
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
        "sigma_power": power,
        "sigma_family": code,
        "sigma_prior": np.outer(arguments, np.ones(K)),
        "B_center": guess.gaussian.B,
        "B_scale": np.linalg.cholesky(guess.gaussian.covariance),
        "log_v_center": guess.log_v,
        "log_v_scale": guess.log_v_scale,
    }
    in_force = {"B": "normal(b, tau), see constant_data"}
    if prior is not None:
        in_force["sigma2" if power == 2 else "sigma"] = str(prior)
    if not robust:
        stan_data |= condensed(data, given)
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
        nu=None if estimate_nu else nu,
        pointwise=options["pointwise"],
        closed_form=not robust and variances == "known" and options["exact"],
        stan_data=stan_data,
        guess=guess,
        notes=notes,
        warnings=warnings,
        priors=in_force,
    )


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


def _variance_prior(
    variances: str,
    priors: Mapping[str, Prior],
    spread: float,
    notes: list[str],
    nu: float | None,
    *,
    estimate_nu: bool,
) -> tuple[int, Prior | None]:
    """The prior of the fitted variances: on which power of sigma, and which.

    The sigma of log-t errors (`nu` is theirs) is sqrt(nu - 1) times the spread that it makes, as in
    Marshall et al. 2021 at nu = 3. Where nu is estimated, the prior is wide enough for any.
    """
    if "sigma" in priors and "sigma2" in priors:
        raise DataError("priors sigma and sigma2 both set the prior of the variances: give one")
    if variances == "known":
        for name in ("sigma", "sigma2"):
            if name in priors:
                raise DataError(f"prior {name} has no use with variances=known")
        return 2, None
    for power, name in ((1, "sigma"), (2, "sigma2")):
        if name in priors:
            return power, priors[name]
    if nu is not None:
        spread *= float(np.sqrt(max(nu - 1, 1)))
    if variances == "unknown":
        prior = Prior("inv_gamma", (1.5, spread**2))
        if estimate_nu:
            prior = Prior("lognormal", (float(np.log(spread**2)), 1.5))
        notes.append(f"prior sigma2 ~ {prior}, from the residual spread of the data")
        return 2, prior
    prior = Prior("half_normal", (spread,))
    notes.append(f"prior sigma ~ {prior}, from the residual spread of the data")
    return 1, prior


def band_covariance(data: ConcordanceData, correlation: Any) -> Floats:
    """Prior covariance T of B: tau of each entry, correlated between the bands of an instrument.

    Parameters
    ----------
    data
        With `tau` known.
    correlation
        None (independent), one number for all pairs of bands, a matrix over the bands in the
        order of their first appearance, a mapping ``{(band, band): correlation}``, or an (N, N)
        matrix over all entries.

    Raises
    ------
    DataError
        A shape that fits neither, no bands, or a covariance that is not positive definite.
    """
    N = len(data.instruments)
    matrix = np.eye(N) if correlation is None else _entry_correlation(data, correlation)
    if not np.allclose(matrix, matrix.T) or not np.allclose(np.diag(matrix), 1):
        raise DataError("band_correlation: not a correlation matrix (symmetric, 1 on the diagonal)")
    T = matrix * np.outer(data.tau, data.tau)
    try:
        np.linalg.cholesky(T)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(matrix)[0]
        raise DataError(
            "band_correlation: the prior covariance of B is not positive definite "
            f"(smallest eigenvalue of its correlation {lowest:.3g})"
        ) from None
    return np.asarray(T)


def _entry_correlation(data: ConcordanceData, correlation: Any) -> Floats:
    N = len(data.instruments)
    if isinstance(correlation, str):
        try:
            correlation = float(correlation)
        except ValueError:
            correlation = _correlation_from_file(correlation)
    bands = list(dict.fromkeys(data.bands))
    if isinstance(correlation, Mapping):
        between = np.eye(len(bands))
        for pair, value in correlation.items():
            try:
                first, second = pair
                value = float(value)
            except (TypeError, ValueError):
                raise DataError(
                    f"band_correlation: {pair!r}: {value!r} is not (band, band): number"
                ) from None
            for band in (first, second):
                if band not in bands:
                    raise DataError(
                        f"band_correlation: unknown band '{band}'; there are {', '.join(bands)}"
                    )
            between[bands.index(first), bands.index(second)] = value
            between[bands.index(second), bands.index(first)] = value
    else:
        try:
            between = np.asarray(correlation, dtype=float)
        except (TypeError, ValueError):
            raise DataError("band_correlation: expected a number or a matrix of numbers") from None
    if not np.isfinite(between).all():
        raise DataError("band_correlation: expected finite numbers")
    if between.shape == (N, N) and len(bands) != N:
        return between
    if not bands:
        raise DataError("band_correlation: the data have no column 'band'")
    if between.ndim == 0:
        between = np.where(np.eye(len(bands)) > 0, 1.0, float(between))
    if between.shape != (len(bands), len(bands)):
        raise DataError(
            f"band_correlation has shape {between.shape}, expected a number, "
            f"{len(bands)} x {len(bands)} for the bands, or {N} x {N}"
        )
    band = np.array([bands.index(b) for b in data.bands])
    same = np.array(data.names)[:, None] == np.array(data.names)[None, :]
    return np.asarray(np.where(same, between[np.ix_(band, band)], 0.0))


def _correlation_from_file(path: str) -> Floats:
    try:
        return np.loadtxt(path, delimiter=",", ndmin=2)
    except OSError:
        raise DataError(
            f"option band_correlation: '{path}' is neither a number nor a file"
        ) from None
    except ValueError as error:
        raise DataError(f"{path}: not a matrix of numbers ({error})") from None
