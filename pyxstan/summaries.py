"""Numbers that say what a fit found, and whether to trust it: `summary` and `verdict`."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyxstan import inference_data, registry

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

#: Bars of the verdict.
LARGEST_RHAT = 1.01
LEAST_ESS = 400
LEAST_BFMI = 0.3
#: Share of draws that diverged, or reached the largest tree depth, up to which they are said, but
#: no reason to distrust the rest.
MOST_DIVERGENT = MOST_SATURATED = 5e-4
#: Methods whose convergence is judged.
_JUDGED = ("nuts", "quadrature", "smc")
#: Draws of a chain that can be taken for two.
_FEWEST_IN_HALVES = 8
#: Largest tree depth where the user sets none.
_STANS_DEPTH = 10


@dataclass(frozen=True)
class Verdict:
    """Whether the chains converged, in one line, and what to do where they did not."""

    #: Nothing speaks against the fit: it converged (where that is judged), without reservations.
    good: bool
    line: str
    problems: list[str] = field(default_factory=list)
    #: Rows of the summary that problems are about, as in ``B[pn]``.
    rows: list[str] = field(default_factory=list)
    #: None of an approximation that says nothing against itself: there is nothing to judge.
    converged: bool | None = None

    def __str__(self) -> str:
        return self.line


def summary(idata: Any, variables: list[str] | None = None) -> pd.DataFrame:
    """Posterior mean, sd, quantiles and convergence of every quantity.

    Parameters
    ----------
    idata
        What `pyxstan.fit` returned.
    variables
        Posterior variables; default all.

    Returns
    -------
    pandas.DataFrame
        A row a quantity, labelled as in ``B[pn]``; columns ``mean sd 2.5% 50% 97.5% mcse_mean
        ess_bulk ess_tail r_hat unit``, before the unit what the model puts beside its variables
        (as in ``prior_influence``). ``attrs["verdict"]`` is the one-line verdict. The convergence
        columns are left out of an approximation, and of the one draw of a mode.

    Raises
    ------
    DataError
        `idata` has no posterior.
    """
    import pandas as pd

    posterior = inference_data.group(idata, "posterior")
    names = variables or [str(name) for name in posterior.data_vars]
    chosen = posterior[names]
    dims = ("chain", "draw")
    columns: dict[str, xr.Dataset] = {"mean": chosen.mean(dims)}
    if chosen.sizes["draw"] > 1:
        columns["sd"] = chosen.std(dims, ddof=1)
        for q in (0.025, 0.5, 0.975):
            columns[f"{100 * q:g}%"] = chosen.quantile(q, dims).drop_vars("quantile")
    if _is_mcmc(idata):
        columns |= _convergence(chosen)
    columns |= _beside(idata, chosen)
    table = pd.DataFrame({name: _flatten(dataset) for name, dataset in columns.items()})
    table = table.reindex([*_flatten(columns["mean"])])
    table["unit"] = [unit for name in names for unit in _units(chosen[name])]
    table.attrs["verdict"] = verdict(idata).line
    return table


def _convergence(dataset: xr.Dataset) -> dict[str, xr.Dataset]:
    az = inference_data.arviz()
    alone = dataset.sizes["chain"] == 1 and dataset.sizes["draw"] >= _FEWEST_IN_HALVES
    return {
        "mcse_mean": az.mcse(dataset, method="mean"),
        "ess_bulk": az.ess(dataset, method="bulk"),
        "ess_tail": az.ess(dataset, method="tail"),
        "r_hat": az.rhat(_halves(dataset) if alone else dataset),
    }


def _halves(dataset: xr.Dataset) -> xr.Dataset:
    """One chain as two."""
    import xarray as xr

    size = dataset.sizes["draw"] // 2
    halves = [dataset.isel(draw=slice(k * size, (k + 1) * size)) for k in (0, 1)]
    return xr.concat([half.assign_coords(draw=range(size)) for half in halves], "chain")


def _beside(idata: Any, chosen: xr.Dataset) -> dict[str, xr.Dataset]:
    """Constants that go with posterior variables: a variable's attribute ``beside`` names them.

    They are in the group ``constant_data`` and have the variable's own dims.
    """
    import xarray as xr

    if "constant_data" not in inference_data.group_names(idata):
        return {}
    constant = inference_data.group(idata, "constant_data")
    columns: dict[str, xr.Dataset] = {}
    for name, values in chosen.data_vars.items():
        for beside in str(values.attrs.get("beside", "")).split():
            if beside in constant:
                columns.setdefault(beside, xr.Dataset())[name] = constant[beside]
    return columns


def _units(values: xr.DataArray) -> list[str]:
    """Of each number of a variable: a coordinate may have them, where they differ."""
    if "unit" in values.coords:
        return [str(unit) for unit in values["unit"].to_numpy()]
    return [str(values.attrs.get("units", ""))] * values[0, 0].size


def _flatten(dataset: xr.Dataset) -> dict[str, float]:
    """Label -> value, over all elements of all variables."""
    import numpy as np

    flat: dict[str, float] = {}
    for name in dataset.data_vars:
        values = dataset[name]
        labels = [_labels(values[dim].to_numpy()) for dim in values.dims]
        for index in np.ndindex(values.shape):
            inside = ", ".join(labels[axis][i] for axis, i in enumerate(index))
            flat[f"{name}[{inside}]" if inside else str(name)] = float(values.to_numpy()[index])
    return flat


def _labels(names: np.ndarray) -> list[str]:
    """Write names of entries; numbers in six digits, or as many as tell them apart."""
    if names.dtype.kind != "f":
        return list(map(str, names))
    for digits in range(6, 18):
        found = [f"{x:.{digits}g}" for x in names]
        if len(set(found)) == len(found):
            break
    return found


def _is_mcmc(idata: Any) -> bool:
    draws: int = inference_data.group(idata, "posterior").sizes["draw"]
    return inference_data.attributes(idata).get("method") in {*_JUDGED, "exact"} and draws >= 4


def verdict(idata: Any) -> Verdict:
    """Judge a fit: R-hat <= 1.01, ESS >= 400, divergences, tree depth, E-BFMI, reservations.

    Parameters
    ----------
    idata
        What `pyxstan.fit` returned.

    Returns
    -------
    Verdict
        ``good``, the ``line`` to print, the ``problems`` one by one, the ``rows`` of the summary
        that they are about, and whether it ``converged``: None of an approximation, unless Stan
        itself complained of it (Pareto k, ELBO, optimiser). A fit that converged, but with
        reservations (``BUT ...``), isn't ``good``.
    """
    attrs = inference_data.attributes(idata)
    method = str(attrs.get("method"))
    reservations = json.loads(str(attrs.get("complaints", "[]")))
    but = f"; BUT {'; '.join(reservations)}" if reservations else ""
    if method == "exact":
        line = f"exact: quasi-random draws of a posterior in closed form{but}"
        return Verdict(not reservations, line, reservations, converged=True)
    if method not in _JUDGED:
        problems = json.loads(str(attrs.get("approximation_problems", "[]")))
        if problems:
            line = f"{method}: an approximation, and a POOR one: {'; '.join(problems)}{but}"
            return Verdict(False, line, [*problems, *reservations], converged=False)
        line = f"{method}: an approximation, no convergence to judge{but}"
        return Verdict(not reservations, line, reservations)
    if not _is_mcmc(idata):
        line = "NOT CONVERGED: too few draws to judge"
        return Verdict(False, line, ["too few draws"], converged=False)
    posterior = inference_data.group(idata, "posterior")
    model = registry.models().get(str(attrs["model"]))
    names = [
        p.name for p in (model.parameters if model else ()) if p.sampled and p.name in posterior
    ]
    sampled = posterior[names or [str(name) for name in posterior.data_vars]]
    worst = {
        name: _extreme(dataset, largest=name == "r_hat")
        for name, dataset in _convergence(sampled).items()
    }
    problems, rows = [], []
    rhat, where = worst["r_hat"]
    if not rhat <= LARGEST_RHAT:
        rows.append(where)
        problems.append(
            f"R-hat {_shown_rhat(rhat)} of {where} (increase draws and warmup; if it persists, "
            "check for multimodality)"
        )
    sizes = {}
    for kind in ("bulk", "tail"):
        ess, where = worst[f"ess_{kind}"]
        sizes[kind] = "nan" if math.isnan(ess) else str(math.floor(ess))
        if not ess >= LEAST_ESS:
            rows.append(where)
            problems.append(f"{kind} ESS {sizes[kind]} of {where} (take more draws)")
    drawn = "quasi-random draws by quadrature, exact by Metropolis's rule"
    if method == "smc":
        drawn = "independent populations of draws by sequential Monte Carlo"
    if method in ("nuts", "smc") and posterior.sizes["chain"] == 1:
        problems.append("one chain alone, with none to agree with (take chains=4)")
    if method == "nuts":
        problems += _sampler_problems(idata)
        drawn = _divergences(idata)
        if saturated := _saturated(idata):
            drawn += f", {_at_the_largest_depth(saturated)}"
    if problems:
        problems = [*reservations, *problems]  # what may be the reason comes first
        line = f"NOT CONVERGED: {'; '.join(problems)}"
        return Verdict(False, line, problems, list(dict.fromkeys(rows)), converged=False)
    facts = (
        f"R-hat <= {_shown_rhat(rhat)}, bulk ESS >= {sizes['bulk']}, tail ESS >= {sizes['tail']}"
    )
    line = f"converged: {facts}, {drawn}{but}"
    return Verdict(not reservations, line, reservations, converged=True)


def _shown_rhat(rhat: float) -> str:
    """In three decimals, or as many as tell it from its bar."""
    digits = 3
    while rhat > LARGEST_RHAT and round(rhat, digits) <= LARGEST_RHAT and digits < 15:
        digits += 1
    return f"{rhat:.{digits}f}"


def _extreme(dataset: xr.Dataset, *, largest: bool) -> tuple[float, str]:
    flat = _flatten(dataset)
    worst = math.inf if largest else -math.inf  # what is not a number is the worst of all
    ranked = {key: worst if math.isnan(value) else value for key, value in flat.items()}
    label = (max if largest else min)(ranked, key=lambda key: ranked[key])
    return flat[label], label


def _sampler_problems(idata: Any) -> list[str]:
    import numpy as np

    stats = inference_data.group(idata, "sample_stats")
    problems = []
    if float(stats["diverging"].mean()) > MOST_DIVERGENT:
        problems.append(f"{_divergences(idata)} (raise adapt_delta, as in adapt_delta=0.99)")
    saturated = _saturated(idata)
    if saturated > MOST_SATURATED * stats["tree_depth"].size:
        problems.append(f"{_at_the_largest_depth(saturated)} (raise max_treedepth)")
    energy = stats["energy"].to_numpy()
    spread = energy.var(axis=1)
    bfmi = (np.diff(energy, axis=1) ** 2).mean(axis=1) / np.where(spread > 0, spread, np.nan)
    for chain, value in enumerate(bfmi):
        if not value >= LEAST_BFMI:
            problems.append(f"E-BFMI {value:.2f} of chain {chain} (a heavy tail hardly explored)")
    return problems


def _saturated(idata: Any) -> int:
    """How many draws reached the largest tree depth."""
    options = json.loads(str(inference_data.attributes(idata).get("options", "{}")))
    deepest = options.get("max_treedepth") or _STANS_DEPTH
    depths = inference_data.group(idata, "sample_stats")["tree_depth"]
    return int((depths >= deepest).sum())


def _at_the_largest_depth(count: int) -> str:
    return f"{count} draw{'s' if count > 1 else ''} at the largest tree depth"


def _divergences(idata: Any) -> str:
    diverging = inference_data.group(idata, "sample_stats")["diverging"]
    count = int(diverging.sum())
    if count == 0:
        return "no divergences"
    return f"{count} divergence{'s' if count > 1 else ''} in {diverging.size} draws"
