r"""Comparing fits of the same data: DIC, WAIC and leave-one-out cross-validation.

With the log likelihood l_is of unit i (a measurement, an annulus, a channel) in draw s, and the
deviance D_s = -2 sum_i l_is:

* DIC = mean(D) + p_D (Spiegelhalter et al. 2002), with p_D = mean(D) - D(posterior mean of the
  parameters), where the fit tells the latter in its attribute ``deviance_at_mean``; else with
  p_D = var(D) / 2 (Gelman et al. 2004).
* WAIC (Watanabe 2010): elpd = sum_i (ln mean_s exp(l_is) - var_s(l_is)), p_waic the sum of the
  variances.
* LOO: elpd = sum_i ln p(y_i | all other y), by Pareto-smoothed importance sampling (Vehtari,
  Gelman & Gabry 2017), which a Pareto k above 0.7 says not to trust.

The expected log pointwise predictive density (elpd) is a log likelihood: the larger, the better.
Its standard error, and that of a difference, is sqrt(n var) of the n units' shares. Constants of
the data alone, such as ln n!, may be left out: differences don't have them.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from pyxstan import inference_data, summaries
from pyxstan.errors import DataError

if TYPE_CHECKING:
    import xarray as xr

Floats = NDArray[np.float64]

#: Pareto k beyond which importance sampling is not to be trusted.
LARGEST_K = 0.7
#: What makes a preference clear: elpd in its standard errors and as such, and DIC.
CLEAR_ERRORS = 2.0
CLEAR_ELPD = 4.0
CLEAR_DIC = 10.0
#: Relative difference of observed values that is rounding.
_ROUNDING = 1e-9
#: What fits in different annuli have in common: sums over these.
_TOTALS = ("counts", "pixels", "exposure")


def compare(fits: Mapping[str, Any]) -> pd.DataFrame:
    """Compare fits of the same data.

    Parameters
    ----------
    fits
        Label -> what `pyxstan.fit` returned; at least two.

    Returns
    -------
    pandas.DataFrame
        A row a fit, best first: by LOO, or by DIC where the fits' annuli differ. Columns:

        ``model``
            its name in the zoo;
        ``elpd_loo se_loo p_loo pareto_k``
            of PSIS-LOO: elpd, its standard error, effective parameters, largest Pareto k;
        ``elpd_diff se_diff``
            by how much the elpd is below that of the first row, and the standard error of that,
            from the differences by unit (NaN where the annuli differ);
        ``elpd_waic se_waic p_waic``
            of WAIC (which is -2 elpd);
        ``dic p_d p_d_var dic_diff``
            DIC, p_D as mean(D) - D(mean) and as var(D) / 2, and by how much the DIC is above that
            of the first row. The DIC has the first p_D; where that is not there (NaN) or below
            zero, the second.

        ``attrs["preferred"]`` is the label of the first row where it is clearly preferred to the
        next (more than 2 standard errors of the difference and 4 in elpd, by numbers that can be
        trusted), else None; ``attrs["verdict"]`` one line that says so; ``attrs["notes"]`` a list
        of what speaks against the numbers: Pareto k above 0.7, negative p_D, chains that did not
        converge.

    Raises
    ------
    DataError
        Fewer than two fits, fits of different data, a fit without ``log_likelihood``, or one of a
        single draw (``method="map"``).

    Examples
    --------
    >>> import pyxstan
    >>> fits = {"log-normal": a, "log-t": b}  # doctest: +SKIP
    >>> pyxstan.compare(fits).attrs["verdict"]  # doctest: +SKIP
    """
    if not isinstance(fits, Mapping):
        raise DataError(f"expected fits by label, as in {{'a': a}}, got {type(fits).__name__}")
    return _compared([_Fit(str(label), str(label), idata) for label, idata in fits.items()])


def compare_files(paths: Sequence[Path]) -> pd.DataFrame:
    """`compare` results on disk; their labels are the names of the files."""
    named = zip(labels(paths), paths, strict=True)
    return _compared([_Fit(label, str(path), inference_data.read(path)) for label, path in named])


def labels(paths: Sequence[Path]) -> list[str]:
    """Label files by their names without suffix, with as many folders as set them apart.

    Raises
    ------
    DataError
        A file is there twice.
    """
    whole = [path.resolve() for path in paths]
    for k, path in enumerate(whole):
        if path in whole[:k]:
            raise DataError(f"{paths[k]}: given twice")
    found = [path.stem for path in paths]
    parts = 2
    while len(set(found)) < len(found):
        found = [
            label if found.count(label) == 1 else "/".join(path.parts[-parts:])
            for label, path in zip(found, whole, strict=True)
        ]
        parts += 1
    return found


@dataclass(frozen=True)
class _Fit:
    """A fit, its label, and how errors call it."""

    label: str
    called: str
    idata: Any

    def group(self, name: str) -> xr.Dataset:
        """One of its groups."""
        try:
            return inference_data.group(self.idata, name)
        except DataError as error:
            raise DataError(f"{self.called}: {error}") from None

    @cached_property
    def attributes(self) -> dict[str, Any]:
        return inference_data.attributes(self.idata)

    def check(self) -> None:
        """Complain of what can't be compared."""
        pointwise = self.group("log_likelihood")
        if pointwise.sizes["chain"] * pointwise.sizes["draw"] < 2:
            method = self.attributes.get("method", "unknown")
            raise DataError(
                f"{self.called}: a single draw (method {method}), expected draws of the posterior"
            )
        if not all(np.isfinite(values).all() for values in pointwise.data_vars.values()):
            raise DataError(f"{self.called}: log_likelihood has values that are not finite")

    @property
    def units(self) -> int:
        """How many units the likelihood is by."""
        variables = self.group("log_likelihood").data_vars.values()
        return sum(values[{"chain": 0, "draw": 0}].size for values in variables)

    @cached_property
    def score(self) -> _Score:
        """Its numbers, over all variables of its likelihood."""
        flat = []
        for values in self.group("log_likelihood").data_vars.values():
            draws = values.transpose("chain", "draw", ...).to_numpy().astype(float)
            flat.append(draws.reshape(*draws.shape[:2], -1))
        together = flat[0] if len(flat) == 1 else np.concatenate(flat, axis=2)
        return _score(together, float(self.attributes.get("deviance_at_mean", math.nan)))

    @property
    def annuli(self) -> bool:
        """Whether the data are sums over annuli, which each fit chooses itself."""
        observed = self.group("observed_data")
        return "outer_radius" in observed.coords and all(
            name in observed or name in self.group("constant_data") for name in _TOTALS
        )

    @property
    def annular(self) -> xr.Dataset:
        """Sums over annuli: the counts, and what they are of."""
        observed = self.group("observed_data")
        if all(name in observed for name in _TOTALS):
            return observed
        constant = self.group("constant_data")
        return observed.assign({k: constant[k] for k in _TOTALS if k not in observed})


@dataclass(frozen=True)
class _Score:
    """The numbers of one fit."""

    #: Its units' shares in the elpd of LOO, and their Pareto k.
    shares: Floats
    k: Floats
    elpd_waic: float
    se_waic: float
    p_waic: float
    p_loo: float
    dic: float
    p_d: float
    p_d_var: float

    @property
    def elpd_loo(self) -> float:
        return float(self.shares.sum())

    @property
    def beyond(self) -> int:
        """How many units have too large a Pareto k."""
        return int((~(self.k <= LARGEST_K)).sum())


def _compared(fits: Sequence[_Fit]) -> pd.DataFrame:
    if len(fits) < 2:
        raise DataError(f"comparing takes at least two fits, got {len(fits)}")
    if len({fit.label for fit in fits}) < len(fits):
        raise DataError("two of the fits have the same label")
    for fit in fits:
        fit.check()
    for one, other in pairwise(fits):
        _check_same_data(one, other)
    paired = all(_same_units(one, other) for one, other in pairwise(fits))
    ranked = sorted(fits, key=lambda fit: -fit.score.elpd_loo if paired else fit.score.dic)
    rows = {fit.label: _row(fit, ranked[0]) for fit in ranked}
    table = pd.DataFrame.from_dict(rows, orient="index")
    best, second = ranked[:2]
    clear, table.attrs["verdict"] = _verdict(best, second, rows[second.label])
    table.attrs["preferred"] = best.label if clear else None
    table.attrs["notes"] = _notes(ranked, paired=paired)
    return table


def _row(fit: _Fit, best: _Fit) -> dict[str, Any]:
    score, top = fit.score, best.score
    paired = _same_units(best, fit)
    return {
        "model": str(fit.attributes.get("model", "")),
        "elpd_loo": score.elpd_loo,
        "se_loo": _standard_error(score.shares),
        "p_loo": score.p_loo,
        "pareto_k": float(score.k.max()),
        "elpd_diff": top.elpd_loo - score.elpd_loo,
        "se_diff": _standard_error(top.shares - score.shares) if paired else math.nan,
        "elpd_waic": score.elpd_waic,
        "se_waic": score.se_waic,
        "p_waic": score.p_waic,
        "dic": score.dic,
        "p_d": score.p_d,
        "p_d_var": score.p_d_var,
        "dic_diff": score.dic - top.dic,
    }


def _score(draws: Floats, deviance_at_mean: float) -> _Score:
    """The numbers of log likelihoods by chain, draw and unit."""
    density = logsumexp(draws, axis=(0, 1)) - np.log(draws[..., 0].size)
    variance = draws.var(axis=(0, 1), ddof=1)
    deviance = -2 * draws.sum(axis=2)
    p_d = float(deviance.mean()) - deviance_at_mean
    p_d_var = float(deviance.var(ddof=1)) / 2
    shares, k = _leave_one_out(draws, deviance)
    return _Score(
        shares=shares,
        k=k,
        elpd_waic=float((density - variance).sum()),
        se_waic=_standard_error(density - variance),
        p_waic=float(variance.sum()),
        p_loo=float((density - shares).sum()),
        dic=float(deviance.mean()) + (p_d if p_d >= 0 else p_d_var),
        p_d=p_d,
        p_d_var=p_d_var,
    )


def _leave_one_out(draws: Floats, deviance: Floats) -> tuple[Floats, Floats]:
    """ln p(y_i | all other y) and Pareto k of each unit, by ArviZ."""
    import xarray as xr

    az = inference_data.arviz()
    dims = ("chain", "draw")
    options = {} if inference_data.uses_datatree() else {"scale": "log"}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # Pareto k is told among our notes
        independent = az.ess(xr.Dataset({"D": (dims, deviance)}), method="mean")["D"]
        efficiency = float(independent) / deviance.size
        pointwise = xr.Dataset({"y": ((*dims, "unit"), draws)})
        told = az.loo(
            inference_data.assemble({"log_likelihood": pointwise}, {}),
            pointwise=True,
            reff=efficiency if efficiency > 0 else 1.0,
            **options,
        )
    shares = told.elpd_i if inference_data.uses_datatree() else told.loo_i
    return np.asarray(shares, dtype=float), np.asarray(told.pareto_k, dtype=float)


def _standard_error(shares: Floats) -> float:
    """Of the sum of the units' shares."""
    return float(np.sqrt(shares.size * shares.var(ddof=1))) if shares.size > 1 else math.nan


def _check_same_data(one: _Fit, other: _Fit) -> None:
    mine, theirs = one.group("observed_data"), other.group("observed_data")
    different = f"{one.called} and {other.called} are fits of different data"
    if one.annuli and other.annuli:
        for name in _TOTALS:
            x, y = (float(sums[name].sum()) for sums in (one.annular, other.annular))
            if not math.isclose(x, y, rel_tol=_ROUNDING):
                raise DataError(f"{different}: {name} {x:.10g} and {y:.10g} in all")
        return
    for name in [*mine.data_vars, *theirs.data_vars]:
        if not (name in mine and name in theirs):
            owner = one if name in mine else other
            raise DataError(f"{different}: only {owner.called} has {name}")
        x, y = mine[name].to_numpy(), theirs[name].to_numpy()
        if x.shape != y.shape:
            raise DataError(f"{different}: {name} has shape {x.shape} and {y.shape}")
        unlike = int((~_alike(x, y)).sum())
        if unlike:
            raise DataError(f"{different}: {name} differs in {unlike} of {x.size} values")


def _alike(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.bool_]:
    if x.dtype.kind in "biuf" and y.dtype.kind in "biuf":
        return np.asarray(
            np.isclose(x.astype(float), y.astype(float), _ROUNDING, 0, equal_nan=True), dtype=bool
        )
    return np.asarray(x == y)


def _same_units(one: _Fit, other: _Fit) -> bool:
    """Whether the likelihoods of two fits of the same data are by the same units."""
    if one.units != other.units:
        return False
    if not (one.annuli and other.annuli):
        return True
    mine, theirs = one.annular, other.annular
    return all(
        mine[name].shape == theirs[name].shape
        and _alike(mine[name].to_numpy(), theirs[name].to_numpy()).all()
        for name in (*_TOTALS, "outer_radius")
    )


def _verdict(best: _Fit, second: _Fit, row: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a fit is clearly preferred to the next (of that `row`), and one line about it."""
    elpd, error, dic = row["elpd_diff"], row["se_diff"], row["dic_diff"]
    measured = f"elpd {_by(elpd)}"
    if math.isnan(error):
        clear = dic > CLEAR_DIC
        measured += ", without a standard error"
    else:
        ratio = elpd / error if error > 0 else math.inf if elpd > 0 else 0.0
        clear = ratio > CLEAR_ERRORS and elpd > CLEAR_ELPD and dic > 0
        measured += f", {ratio:.1f} standard errors"
    measured += f"; DIC {_by(-dic)}"
    doubtful = [fit.label for fit in (best, second) if fit.score.beyond]
    if doubtful and not math.isnan(error):
        why = f"the LOO of {' and '.join(doubtful)} is not to be trusted"
        return False, f"no verdict on {best.label} and {second.label}: {why} ({measured})"
    if clear:
        return True, f"{best.label} is preferred to {second.label}, clearly: {measured}"
    return False, f"{best.label} is not clearly preferred to {second.label}: {measured}"


def _by(difference: float) -> str:
    return f"{'higher' if difference > 0 else 'lower'} by {abs(difference):.1f}"


def _notes(ranked: Sequence[_Fit], *, paired: bool) -> list[str]:
    """What speaks against the numbers, or is to be known of them."""
    notes = []
    if not paired:
        notes.append(
            "ranked by DIC: the units (annuli) of the fits differ, so that differences of their "
            "elpd have no standard error"
        )
    lowest = min(ranked, key=lambda fit: fit.score.dic)
    if lowest is not ranked[0]:
        notes.append(f"the lowest DIC is that of {lowest.label}")
    lacking = [fit.label for fit in ranked if math.isnan(fit.score.p_d)]
    if lacking:
        mixed = "" if len(lacking) == len(ranked) else ", unlike the rest"
        notes.append(
            f"{', '.join(lacking)}: DIC with p_D = var(D) / 2{mixed}, for want of the deviance at "
            "the posterior mean"
        )
    for fit in ranked:
        score = fit.score
        if score.beyond:
            notes.append(
                f"{fit.label}: Pareto k up to {score.k.max():.2f}, above {LARGEST_K:g} in "
                f"{score.beyond} of {score.k.size}: its LOO and WAIC are not to be trusted"
            )
        if score.p_d < 0:
            notes.append(
                f"{fit.label}: p_D is negative ({score.p_d:.1f}), the posterior mean fits badly; "
                "its DIC, with p_D = var(D) / 2 instead, is not to be trusted"
            )
        judged = summaries.verdict(fit.idata)
        if not judged.converged:
            notes.append(f"{fit.label}: {judged.line}")
    return notes
