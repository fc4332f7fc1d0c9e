"""Several parents of one parameter, fitted to the same samples beside one another.

A histogram says what the population looks like without a shape of its own, a Gaussian (or whatever
is put beside it) in two numbers; where the points leave the band, the shape is wrong.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan import fitting, inference_data, output, ownership, registry, summaries
from pyxstan.errors import DataError
from pyxstan.messages import notifier
from pyxstan.stacking.linear import REGRESSION, centred
from pyxstan.stacking.linear_figures import linear_figures
from pyxstan.stacking.parents import HISTOGRAM, PARENTS, checked_range
from pyxstan.stacking.problem import edges_of, within
from pyxstan.stacking.support import noiseless

if TYPE_CHECKING:
    from collections.abc import Hashable

    import pandas as pd
    import xarray as xr

    from pyxstan.stacking.data import PosteriorSamples

#: Draws are cheap for so many objects at most: then their number.
_FEW_OBJECTS, _MANY_DRAWS, _FEW_DRAWS = 3000, 4000, 1000
#: Of the table, in percent.
_QUANTILES = (2.5, 16, 50, 84, 97.5)
#: Label of the parent that follows covariates: it has a figure of its own.
_FOLLOWING = REGRESSION.removeprefix("stack_")
#: Labels of all fits that a stack may have.
_LABELS = [name.removeprefix("stack_") for name in (HISTOGRAM, *PARENTS, REGRESSION)]


class Stack(dict[str, Any]):
    """Fits of several parents to the same samples, by label."""

    @property
    def verdicts(self) -> dict[str, summaries.Verdict]:
        """The verdict on each fit."""
        return {name: summaries.verdict(idata) for name, idata in self.items()}

    @property
    def good(self) -> bool:
        """Whether every verdict is good, without reservations."""
        return not any(verdict.problems for verdict in self.verdicts.values())


def stack(
    data: PosteriorSamples,
    low: float,
    high: float,
    bins: int = 10,
    *,
    parents: Sequence[str] | None = None,
    drop_empty: bool = False,
    chains: int = 4,
    warmup: int | None = None,
    draws: int | None = None,
    seed: int | None = None,
    progress: bool = True,
) -> Stack:
    """Fit a histogram and other parents to the same samples.

    Parameters
    ----------
    data
        Samples of one parameter, and maybe covariates of the objects.
    low, high, bins
        Range, and how many bins of equal width the histogram has.
    parents
        Models beside the histogram; see `pyxstan.list_models`. Default: ``stack_gaussian``, and
        ``stack_regression`` where there are covariates.
    drop_empty
        Leave out objects without a sample in the range, from all fits.
    chains, warmup, draws, seed, progress
        As in `pyxstan.fit`; draws are 4,000 by default, of more than 3,000 objects 1,000.

    Returns
    -------
    Stack
        A dict: label -> inference data: ``histogram``, ``gaussian`` ..., the models' names without
        ``stack_``. `pyxstan.compare`, `side_by_side` and `quantities` take it as it is. Its
        ``verdicts``, by label, are logged as that of `pyxstan.fit` is; ``good`` says whether
        nothing speaks against any.

    Raises
    ------
    DataError
        A parent that isn't one of a single parameter, or an object without a sample in the range.

    Examples
    --------
    >>> from pyxstan.stacking import PosteriorSamples, side_by_side, stack
    >>> data = PosteriorSamples.from_text("samples.txt", parameters="index")  # doctest: +SKIP
    >>> fits = stack(data, 0.5, 3, 10, seed=1)  # doctest: +SKIP
    >>> side_by_side(fits).savefig("population.png")  # doctest: +SKIP
    """
    found = fitted(
        data, low, high, bins, parents=parents, drop_empty=drop_empty, chains=chains,
        warmup=warmup, draws=draws, seed=seed, progress=progress,
    )  # fmt: skip
    if progress:
        for name, verdict in found.verdicts.items():
            notifier(progress)(f"{name}: {verdict}")
    return found


def fitted(
    data: PosteriorSamples,
    low: float,
    high: float,
    bins: int,
    *,
    parents: Sequence[str] | None,
    drop_empty: bool,
    chains: int,
    warmup: int | None,
    draws: int | None,
    seed: int | None,
    progress: bool,
) -> Stack:
    """`stack`, for who says the verdicts elsewhere."""
    parents = chosen_parents(parents, follow=bool(data.covariates))
    sha256 = of_samples(data)
    on = checked_range(low, high)
    edges_of(HISTOGRAM, on, {"bins": bins, "edges": None})  # or an error before any work
    tell = notifier(progress)
    if len(data.parameters) == 1:  # all fits are of the same objects
        notes: list[str] = []
        count, data = len(data.objects), within(data, (on.low, on.high), drop_empty, notes)
        if len(data.objects) < count:
            tell(notes[-1])
    if REGRESSION in parents:
        centred(data)  # or an error
    for model in parents:
        noiseless(data, model)
    seed = secrets.randbelow(2**31) if seed is None else seed
    if draws is None:
        draws = _MANY_DRAWS if len(data.objects) <= _FEW_OBJECTS else _FEW_DRAWS
    found = Stack()
    for model in (HISTOGRAM, *parents):
        tell(f"{model}: {len(data.objects)} objects, {data.parameters[0]} {low:g} to {high:g}")
        own = {"bins": bins} if model == HISTOGRAM else {}
        found[label(model)] = fitting.unjudged(
            model, data, method="nuts", chains=chains, warmup=warmup, draws=draws, seed=seed,
            priors=None, inits=None, progress=progress, low=on.low, high=on.high, **own,
        )  # fmt: skip
        found[label(model)].attrs["samples_sha256"] = sha256
    return found


def of_samples(data: PosteriorSamples) -> str:
    """A fingerprint of the samples, by which results of others are known."""
    return ownership.fingerprint((data.objects, data.parameters, data.start, data.x))


def chosen_parents(parents: Sequence[str] | None, *, follow: bool) -> Sequence[str]:
    """Models that go beside a histogram; `follow`: whether there are covariates to follow."""
    if parents is None:
        return ("stack_gaussian", REGRESSION) if follow else ("stack_gaussian",)
    there = [*PARENTS, REGRESSION]
    for k, model in enumerate(parents):
        registry.get(model)
        if model not in there:
            raise DataError(f"stack: {model} is not one of {', '.join(there)}")
        if model == REGRESSION and not follow:
            raise DataError(f"stack: {model} needs covariates")
        if model in parents[:k]:
            raise DataError(f"stack: {model} is given twice")
    if not parents:
        raise DataError(f"stack: no parents, expected some of {', '.join(there)}")
    return parents


def _pivot(idata: Any) -> str:
    """Where a regression's mean is that of the population."""
    pivot = inference_data.group(idata, "constant_data")["pivot"]
    pairs = zip(pivot["covariate"].to_numpy(), pivot.to_numpy(), strict=True)
    return ", ".join(f"{covariate} = {value:.6g}" for covariate, value in pairs)


def label(model: str) -> str:
    """Shorten a model's name."""
    return model.removeprefix("stack_")


def quantities(fits: Mapping[str, Any]) -> pd.DataFrame:
    """What the fits found, in one table.

    Parameters
    ----------
    fits
        Label -> inference data, as `stack` returns it.

    Returns
    -------
    pandas.DataFrame
        A row a parameter, and a bin: columns ``parent quantity bin_low bin_high mean sd 2.5% 16%
        50% 84% 97.5%``.
    """
    import pandas as pd

    rows: list[dict[str, Any]] = []
    for name, idata in fits.items():
        posterior = inference_data.group(idata, "posterior")
        for variable, values in posterior.data_vars.items():
            binned = "bin" in values.dims
            for index in np.ndindex(values.shape[2:]):
                column = values.to_numpy()[:, :, *index].ravel()
                rows.append(
                    {
                        "parent": name,
                        "quantity": " ".join([str(variable), *_entry(values, index)]),
                        "bin_low": float(posterior["bin_low"][index]) if binned else np.nan,
                        "bin_high": float(posterior["bin_high"][index]) if binned else np.nan,
                        "mean": float(column.mean()),
                        "sd": float(column.std(ddof=1)) if column.size > 1 else np.nan,
                        **{
                            f"{q:g}%": float(np.percentile(column, q))
                            for q in _QUANTILES
                            if column.size > 1
                        },
                    }
                )
    return pd.DataFrame(rows)


def _entry(values: xr.DataArray, index: tuple[int, ...]) -> list[str]:
    """Which component or covariate an entry of a variable is of."""
    where: dict[Hashable, int] = dict(zip(values.dims[2:], index, strict=True))
    return [str(values[dim].to_numpy()[k]) for dim, k in where.items()
            if dim in ("component", "covariate")]  # fmt: skip


def outputs(folder: Path, labels: Sequence[str]) -> list[Path]:
    """Name the files that `write` writes."""
    names = [*(f"{name}.nc" for name in labels), "table.csv"]
    figures = ["population", "objects", *({_FOLLOWING} & set(labels))]
    names += [f"{figure}.{kind}" for figure in figures for kind in ("png", "pdf")]
    return [folder / name for name in names]


def check_folder(folder: Path, sha256: str, written: Iterable[str]) -> None:
    """Refuse a folder that holds a stack of other samples, or figures of another fit.

    Raises
    ------
    DataError
        There is one, which is named.
    """
    ownership.check_fits(folder, _LABELS, sha256, written)
    ownership.check_figures(folder, _owner(sha256))


def _owner(sha256: str) -> str:
    """As figures of a stack of these samples say it."""
    return f"pyxstan stack {sha256}"


def write(fits: Mapping[str, Any], folder: Path, *, overwrite: bool = False) -> None:
    """Write every fit, the figures (PNG and PDF) and the table into a folder.

    What an earlier stack left there, of other parents, is taken away.

    Raises
    ------
    DataError
        The folder can't be made or written to, or holds a stack of other samples, or figures of
        another fit, and `overwrite` does not say that these may go.
    """
    from pyxstan.figures import save
    from pyxstan.stacking.figures import objects, side_by_side

    sha256 = str(inference_data.attributes(next(iter(fits.values()))).get("samples_sha256", ""))
    if not overwrite:
        check_folder(folder, sha256, fits)
    output.prepare_directory(folder)
    for name, idata in fits.items():
        with output.replacing(folder / f"{name}.nc") as temporary:
            inference_data.write(idata, temporary)
    with output.replacing(folder / "table.csv") as temporary:
        quantities(fits).to_csv(temporary, index=False, float_format="%.6g")
    first = next(iter(fits.values()))
    here = {name: idata for name, idata in fits.items() if name != _FOLLOWING}
    figures = {"population": side_by_side(here), "objects": objects(first)}
    if _FOLLOWING in fits:
        figures[_FOLLOWING] = linear_figures(fits[_FOLLOWING])["population"]
    save(figures, folder, _owner(sha256))
    for path, _ in list(ownership.fits_in(folder, _LABELS)):
        if path.stem not in fits:
            path.unlink()
    for path, _ in list(ownership.figures_in(folder)):
        if path.stem not in figures:
            path.with_suffix(".pdf").unlink(missing_ok=True)
            path.unlink()


def report(fits: Mapping[str, Any]) -> tuple[str, bool]:
    """Say what was found: a table a parent, their comparison, the verdicts.

    Returns
    -------
    text, good
        What to print, and whether every verdict is good, without reservations.
    """
    from pyxstan import comparison

    table = quantities(fits)
    lines: list[str] = []
    for name, idata in fits.items():
        rows = table[table["parent"] == name].drop(columns="parent").set_index("quantity")
        parameter = str(inference_data.attributes(idata)["parameter"])
        binned = rows["bin_low"].notna().all()
        what = f"part of the population in bins of {parameter}" if binned else parameter
        if name == _FOLLOWING:
            what += f", mean at {_pivot(idata)}"
        if not binned:
            rows = rows.drop(columns=["bin_low", "bin_high"])
        rows.index.name = None
        shown = rows.drop(columns=["2.5%", "97.5%"])
        lines += [f"{name}: {what}", shown.to_string(float_format=lambda x: f"{x:.4g}"), ""]
    compared = comparison.compare(fits)
    columns = ["elpd_loo", "elpd_diff", "se_diff", "p_loo", "pareto_k", "elpd_waic", "p_waic"]
    lines += [
        "comparison, by object:",
        compared[columns].to_string(float_format=lambda x: f"{x:.2f}", na_rep=""),
        *(f"note: {note}" for note in compared.attrs["notes"]),
        str(compared.attrs["verdict"]),
        "",
    ]
    verdicts = {name: summaries.verdict(idata) for name, idata in fits.items()}
    lines += [f"{name}: {verdict}" for name, verdict in verdicts.items()]
    return "\n".join(lines), not any(verdict.problems for verdict in verdicts.values())
