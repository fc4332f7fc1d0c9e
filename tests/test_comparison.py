"""Comparing fits: closed forms of a normal mean, what is refused, labels, and the command line."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from invocation import run
from scipy import integrate, stats

import pyxstan
from pyxstan import DataError, compare, inference_data
from pyxstan.comparison import labels
from pyxstan.inference_data import assemble, attributes, group

CHAINS, DRAWS = 4, 2000
#: Twelve measurements of one quantity, of sd 1.
Y = 5.0 + stats.zscore(np.random.default_rng(3).normal(size=12), ddof=1)
COLUMNS = [
    "model", "elpd_loo", "se_loo", "p_loo", "pareto_k", "elpd_diff", "se_diff",
    "elpd_waic", "se_waic", "p_waic", "dic", "p_d", "p_d_var", "dic_diff",
]  # fmt: skip
RINGS = {
    "counts": np.array([40, 30, 20, 10]),
    "pixels": np.array([1, 8, 16, 24]),
    "exposure": np.array([1.1, 7.9, 15.5, 22.0]),
}


def normal_draws(center: float, sd: float, seed: int = 1) -> np.ndarray:
    """Draws of a normal whose moments are all but exact, in random order."""
    size = CHAINS * DRAWS
    z = stats.norm.ppf((np.arange(size) + 0.5) / size)
    z = np.random.default_rng(seed).permutation(z / z.std(ddof=1))
    return np.asarray(center + sd * z).reshape(CHAINS, DRAWS)


def assembled(log_likelihood: xr.Dataset, observed: xr.Dataset, **attrs: Any) -> Any:
    sample = {"chain": log_likelihood.chain, "draw": log_likelihood.draw}
    shape = log_likelihood.sizes["chain"], log_likelihood.sizes["draw"]
    groups = {
        "posterior": xr.Dataset({"mu": (("chain", "draw"), np.zeros(shape))}, coords=sample),
        "log_likelihood": log_likelihood,
        "observed_data": observed,
    }
    return assemble(groups, {"model": "normal", "method": "exact", **attrs})


def pointwise(values: Mapping[str, np.ndarray], dim: str = "measurement") -> xr.Dataset:
    chains, draws = next(iter(values.values())).shape[:2]
    return xr.Dataset(
        {
            name: (("chain", "draw", f"{dim}{k or ''}"), x)
            for k, (name, x) in enumerate(values.items())
        },
        coords={"chain": np.arange(chains), "draw": np.arange(draws)},
    )


def normal_mean(sd: float = 1.0, y: np.ndarray = Y, **attrs: Any) -> Any:
    """A fit of y ~ normal(mu, sd), sd given and mu flat."""
    mu = normal_draws(y.mean(), sd / np.sqrt(y.size))
    values = stats.norm.logpdf(y, mu[..., None], sd)
    attrs = {"deviance_at_mean": -2 * stats.norm.logpdf(y, y.mean(), sd).sum(), **attrs}
    observed = xr.Dataset({"y": ("measurement", y)})
    return assembled(pointwise({"y": values}), observed, **attrs)


def without(idata: Any, *names: str) -> Any:
    """The same without groups."""
    kept = [name for name in inference_data.group_names(idata) if name not in names]
    return assemble({name: group(idata, name) for name in kept}, attributes(idata))


def in_annuli(scale: float, edges: tuple[float, ...] = (2, 4, 6, 8), **changes: Any) -> Any:
    """A fit of a constant surface brightness to counts in annuli, `scale` times the best one."""
    sums = {name: np.asarray(changes.get(name, x)) for name, x in RINGS.items()}
    rate = sums["counts"].sum() / sums["exposure"].sum() * scale
    expected = normal_draws(rate, 0.05 * rate)[..., None] * sums["exposure"]
    values = sums["counts"] * np.log(expected) - expected
    observed = xr.Dataset(
        {name: ("annulus", x) for name, x in sums.items()},
        coords={"outer_radius": ("annulus", np.array(edges, dtype=float))},
    )
    return assembled(pointwise({"counts": values}, "annulus"), observed)


# The numbers


def exact_loo(sd: float) -> np.ndarray:
    """ln p(y_i | the others)."""
    n = Y.size
    others = (Y.sum() - Y) / (n - 1)
    return np.asarray(stats.norm.logpdf(Y, others, sd * np.sqrt(1 + 1 / (n - 1))))


def exact_waic(sd: float) -> tuple[np.ndarray, np.ndarray]:
    """ln p(y_i | all), and the variance of the log likelihood of i."""
    variance, away = sd**2 / Y.size, Y - Y.mean()
    density = stats.norm.logpdf(Y, Y.mean(), np.sqrt(sd**2 + variance))
    return density, (2 * variance**2 + 4 * away**2 * variance) / (4 * sd**4)


def standard_error(shares: np.ndarray) -> float:
    return float(np.sqrt(shares.size * shares.var(ddof=1)))


@pytest.mark.parametrize("sd", [0.8, 1.0, 2.0])
def test_closed_forms(sd: float) -> None:
    row = compare({"a": normal_mean(sd), "b": normal_mean(1.5)}).loc["a"]
    deviance = -2 * stats.norm.logpdf(Y, Y.mean(), sd).sum()
    assert row["p_d"] == pytest.approx(1, abs=1e-3)
    assert row["p_d_var"] == pytest.approx(1, abs=0.02)
    assert row["dic"] == pytest.approx(deviance + 2, abs=0.01)
    density, variance = exact_waic(sd)
    assert row["p_waic"] == pytest.approx(variance.sum(), rel=0.01)
    assert row["elpd_waic"] == pytest.approx((density - variance).sum(), abs=0.01)
    assert row["se_waic"] == pytest.approx(standard_error(density - variance), rel=0.01)
    shares = exact_loo(sd)
    assert row["elpd_loo"] == pytest.approx(shares.sum(), abs=0.02)
    assert row["se_loo"] == pytest.approx(standard_error(shares), rel=0.02)
    assert row["p_loo"] == pytest.approx((density - shares).sum(), abs=0.02)
    assert row["pareto_k"] < 0.5


def test_differences_and_order() -> None:
    sds = {"narrow": 0.3, "right": 1.0, "wide": 4.0}
    table = compare({name: normal_mean(sd) for name, sd in sds.items()})
    exact = {name: exact_loo(sd) for name, sd in sds.items()}
    assert list(table.columns) == COLUMNS
    assert list(table.index) == sorted(sds, key=lambda name: -exact[name].sum())
    assert table.index[0] == table.attrs["preferred"] == "right"
    for name in sds:
        gap = exact["right"] - exact[name]
        assert table.loc[name, "elpd_diff"] == pytest.approx(gap.sum(), rel=0.03)
        assert table.loc[name, "se_diff"] == pytest.approx(standard_error(gap), rel=0.05)
        assert table.loc[name, "dic_diff"] == pytest.approx(
            table.loc[name, "dic"] - table.loc["right", "dic"]
        )
    assert (table["model"] == "normal").all()
    again = compare({name: normal_mean(sds[name]) for name in reversed(sds)})
    assert list(again.index) == list(table.index)


def test_a_clear_preference() -> None:
    table = compare({"wide": normal_mean(4.0), "right": normal_mean(1.0)})
    row = table.loc["wide"]
    assert table.attrs["verdict"] == (
        f"right is preferred to wide, clearly: elpd higher by {row['elpd_diff']:.1f}, "
        f"{row['elpd_diff'] / row['se_diff']:.1f} standard errors; "
        f"DIC lower by {row['dic_diff']:.1f}"
    )
    assert table.attrs["notes"] == []


def test_no_clear_preference() -> None:
    table = compare({"a": normal_mean(1.0), "b": normal_mean(1.05)})
    assert table.attrs["verdict"].startswith("a is not clearly preferred to b: elpd higher by 0.")
    assert table.attrs["preferred"] is None


def test_the_same_fit_twice() -> None:
    table = compare({"a": normal_mean(), "b": normal_mean()})
    assert (table[["elpd_diff", "se_diff", "dic_diff"]] == 0).all(axis=None)
    assert table.attrs["verdict"] == (
        "a is not clearly preferred to b: elpd lower by 0.0, 0.0 standard errors; DIC lower by 0.0"
    )


def test_several_variables_are_one_likelihood() -> None:
    whole = normal_mean()
    values = group(whole, "log_likelihood")["y"].to_numpy()
    split = assembled(
        pointwise({"soft": values[..., :5], "hard": values[..., 5:]}),
        group(whole, "observed_data"),
        deviance_at_mean=attributes(whole)["deviance_at_mean"],
    )
    table = compare({"whole": whole, "split": split})
    numbers = table.drop(columns="model")
    np.testing.assert_allclose(numbers.loc["whole"], numbers.loc["split"], atol=1e-9)


def test_constants_in_the_data_change_no_difference() -> None:
    fits = {"a": normal_mean(1.0), "b": normal_mean(1.5)}
    table = compare(fits)
    shifted = {
        name: assembled(
            group(idata, "log_likelihood") + xr.Dataset({"y": ("measurement", 1e3 * Y)}),
            group(idata, "observed_data"),
        )
        for name, idata in fits.items()
    }
    moved = compare(shifted)
    for column in ("elpd_diff", "se_diff", "p_loo", "p_waic", "p_d_var"):
        np.testing.assert_allclose(moved[column], table[column], rtol=1e-6, atol=1e-6)


# Which p_D, and other reservations


def test_p_d_by_the_variance_where_there_is_no_deviance_at_the_mean() -> None:
    idata = normal_mean()
    bare = assembled(group(idata, "log_likelihood"), group(idata, "observed_data"))
    table = compare({"a": idata, "b": bare})
    assert np.isnan(table.loc["b", "p_d"])
    deviance = -2 * group(idata, "log_likelihood")["y"].sum("measurement")
    for label, p_d in (("a", "p_d"), ("b", "p_d_var")):
        assert table.loc[label, "dic"] == pytest.approx(
            float(deviance.mean()) + table.loc[label, p_d]
        )
    (note,) = [note for note in table.attrs["notes"] if "var(D) / 2" in note]
    assert note.startswith("b: DIC with p_D = var(D) / 2, unlike the rest")
    (note,) = compare({"b": bare, "c": bare}).attrs["notes"]
    assert note.startswith("b, c: DIC with p_D = var(D) / 2, for want of")


def test_a_negative_p_d_is_told() -> None:
    table = compare({"a": normal_mean(), "b": normal_mean(deviance_at_mean=100.0)})
    assert table.loc["b", "p_d"] < 0
    assert any(
        note.startswith("b: p_D is negative (") and note.endswith("not to be trusted")
        for note in table.attrs["notes"]
    )
    assert table.loc["b", "dic"] == pytest.approx(table.loc["a", "dic"], abs=1.0)


def test_a_large_pareto_k_is_told() -> None:
    good = normal_mean()
    values = group(good, "log_likelihood")["y"].to_numpy().copy()
    values[..., 4] = -1.5 * np.random.default_rng(2).exponential(size=values.shape[:2])
    bad = assembled(pointwise({"y": values}), group(good, "observed_data"), deviance_at_mean=30.0)
    table = compare({"good": good, "bad": bad})
    assert table.loc["bad", "pareto_k"] > 0.7
    k = f"{table.loc['bad', 'pareto_k']:.2f}"
    assert (
        f"bad: Pareto k up to {k}, above 0.7 in 1 of 12: its LOO and WAIC are not to be trusted"
        in (table.attrs["notes"])
    )
    assert table.attrs["preferred"] is None
    assert table.attrs["verdict"].startswith("no verdict on ")
    assert "the LOO of bad is not to be trusted" in table.attrs["verdict"]


def test_an_approximation_is_told() -> None:
    table = compare({"a": normal_mean(), "b": normal_mean(method="laplace")})
    assert table.attrs["notes"] == ["b: laplace: an approximation, no convergence to judge"]


# Annuli


def test_the_same_annuli_are_compared_one_by_one() -> None:
    table = compare({"right": in_annuli(1.0), "off": in_annuli(1.5)})
    assert list(table.index) == ["right", "off"]
    assert table.loc["off", "se_diff"] > 0


@pytest.mark.parametrize(
    "other",
    [
        {"edges": (2.1, 4.1, 6.1, 8.1)},
        {"counts": (41, 29, 20, 10)},
        {
            "edges": (3, 6, 9),
            "counts": (50, 30, 20),
            "pixels": (9, 16, 24),
            "exposure": (9.0, 15.5, 22.0),
        },
    ],
)
def test_other_annuli_of_the_same_image(other: dict[str, Any]) -> None:
    table = compare({"off": in_annuli(1.5), "right": in_annuli(1.0, **other)})
    assert list(table.index) == ["right", "off"]
    assert np.isnan(table.loc["off", "se_diff"])
    assert np.isfinite(table.loc["off", ["elpd_diff", "dic_diff"]].astype(float)).all()
    assert table.attrs["notes"][0].startswith(
        "ranked by DIC: the units (annuli) of the fits differ"
    )
    assert ", without a standard error; DIC lower by" in table.attrs["verdict"]
    assert "preferred to off, clearly:" in table.attrs["verdict"]


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("counts", (41, 30, 20, 10), "counts 100 and 101 in all"),
        ("pixels", (1, 8, 16, 23), "pixels 49 and 48 in all"),
        ("exposure", (1.1, 7.9, 15.5, 22.5), "exposure 46.5 and 47 in all"),
    ],
)
def test_another_image(name: str, values: tuple[float, ...], words: str) -> None:
    with pytest.raises(DataError) as raised:
        compare({"a": in_annuli(1.0), "b": in_annuli(1.0, **{name: values})})
    assert str(raised.value) == f"a and b are fits of different data: {words}"


def test_an_image_and_a_table() -> None:
    with pytest.raises(DataError, match=r"different data: only a has counts"):
        compare({"a": in_annuli(1.0), "b": normal_mean()})


# What is refused


def test_too_few_fits() -> None:
    for fits in ({}, {"a": normal_mean()}):
        with pytest.raises(DataError, match=f"at least two fits, got {len(fits)}"):
            compare(fits)


@pytest.mark.parametrize("what", [None, [1, 2], "a.nc"])
def test_not_fits_by_label(what: Any) -> None:
    with pytest.raises(DataError, match=f"expected fits by label.* got {type(what).__name__}"):
        compare(what)


def test_labels_that_look_alike() -> None:
    with pytest.raises(DataError, match="two of the fits have the same label"):
        compare({1: normal_mean(), "1": normal_mean()})  # type: ignore[dict-item]


def test_what_fit_did_not_return() -> None:
    with pytest.raises(DataError, match=r"b: expected what pyxstan.fit returned, got dict"):
        compare({"a": normal_mean(), "b": {}})


@pytest.mark.parametrize("name", ["log_likelihood", "observed_data"])
def test_a_group_is_missing(name: str) -> None:
    with pytest.raises(DataError, match=f"b: the inference data has no group '{name}'"):
        compare({"a": normal_mean(), "b": without(normal_mean(), name)})


def test_a_single_draw() -> None:
    observed = group(normal_mean(), "observed_data")
    mode = assembled(pointwise({"y": np.zeros((1, 1, Y.size))}), observed, method="map")
    with pytest.raises(DataError, match=r"b: a single draw \(method map\), expected draws"):
        compare({"a": normal_mean(), "b": mode})


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_a_log_likelihood_that_is_not_finite(value: float) -> None:
    values = group(normal_mean(), "log_likelihood")["y"].to_numpy().copy()
    values[1, 2, 3] = value
    idata = assembled(pointwise({"y": values}), group(normal_mean(), "observed_data"))
    with pytest.raises(DataError, match="b: log_likelihood has values that are not finite"):
        compare({"a": normal_mean(), "b": idata})


def changed(y: np.ndarray) -> np.ndarray:
    y = y.copy()
    y[:2] += 0.1
    return y


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (changed(Y), "y differs in 2 of 12 values"),
        (Y[:7], r"y has shape (12,) and (7,)"),
        (Y[::-1].copy(), "y differs in 12 of 12 values"),
    ],
)
def test_other_data(y: np.ndarray, words: str) -> None:
    with pytest.raises(DataError) as raised:
        compare({"a": normal_mean(), "b": normal_mean(1.5), "c": normal_mean(y=y)})
    assert str(raised.value) == f"b and c are fits of different data: {words}"


def test_other_variables() -> None:
    idata = normal_mean()
    more = group(idata, "observed_data").assign(z=("measurement", Y))
    other = assembled(group(idata, "log_likelihood"), more)
    for fits, owner in (({"a": idata, "b": other}, "b"), ({"b": other, "a": idata}, "b")):
        with pytest.raises(DataError, match=f"different data: only {owner} has z"):
            compare(fits)


def test_gaps_and_words_in_the_data_may_be_the_same() -> None:
    idata = normal_mean()
    gaps = np.where(np.arange(Y.size) == 3, np.nan, Y)
    names = np.array([f"source {k}" for k in range(Y.size)])
    observed = xr.Dataset({"y": ("measurement", gaps), "name": ("measurement", names)})
    fits = {name: assembled(group(idata, "log_likelihood"), observed) for name in "ab"}
    assert len(compare(fits)) == 2
    other = observed.assign(name=("measurement", np.roll(names, 1)))
    fits["b"] = assembled(group(idata, "log_likelihood"), other)
    with pytest.raises(DataError, match="name differs in 12 of 12 values"):
        compare(fits)


# Files and the command line


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("single.nc", "double.nc"), ["single", "double"]),
        (("one/fit.nc", "two/fit.nc"), ["one/fit.nc", "two/fit.nc"]),
        (("fit.nc", "fit.h5"), ["{here}/fit.nc", "{here}/fit.h5"]),
        (("a/x/fit.nc", "b/x/fit.nc", "c.nc"), ["a/x/fit.nc", "b/x/fit.nc", "c"]),
    ],
)
def test_labels(
    paths: tuple[str, ...], expected: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert labels([Path(path) for path in paths]) == [
        label.format(here=tmp_path.name) for label in expected
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(tmp_path)
    fits = {"wide": normal_mean(4.0), "right": normal_mean(1.0)}
    for name, idata in fits.items():
        inference_data.write(idata, Path(f"{name}.nc"))
    inference_data.write(without(normal_mean(), "log_likelihood"), Path("bare.nc"))
    inference_data.write(normal_mean(y=Y[:7]), Path("other.nc"))
    Path("table.csv").write_text("instrument,source\n")
    return fits


def test_command_prints_the_table(
    files: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = run(["compare", "wide.nc", "right.nc"], capsys)
    assert (outcome.status, outcome.err) == (0, "")
    head, first, second, verdict = outcome.out.splitlines()
    table = compare(files)
    assert head.split() == COLUMNS
    assert first.split()[0] == "right"
    label, model, *numbers = second.split()
    assert (label, model) == ("wide", "normal")
    np.testing.assert_allclose(
        [float(x) for x in numbers], list(table.loc["wide"])[1:], atol=0.0051
    )
    assert verdict == table.attrs["verdict"]


def test_command_tells_reservations(
    files: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    inference_data.write(normal_mean(method="laplace"), Path("right.nc"))
    out = run(["compare", "wide.nc", "right.nc"], capsys).out
    assert "\nnote: right: laplace: an approximation, no convergence to judge\nright is pref" in out


def test_command_for_machines(files: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    idata = normal_mean()
    bare = assembled(group(idata, "log_likelihood"), group(idata, "observed_data"))
    inference_data.write(bare, Path("right.nc"))
    outcome = run(["compare", "wide.nc", "right.nc", "--json"], capsys)
    document = json.loads(outcome.out)
    table = compare({"wide": files["wide"], "right": bare})
    assert document.keys() == {"preferred", "verdict", "notes", "fits"}
    assert document["preferred"] == "right"
    assert document["verdict"] == table.attrs["verdict"]
    assert document["notes"] == table.attrs["notes"]
    assert list(document["fits"]) == ["right", "wide"]
    assert document["fits"]["right"]["p_d"] is None
    for label, row in document["fits"].items():
        assert list(row) == COLUMNS
        assert row["elpd_loo"] == pytest.approx(table.loc[label, "elpd_loo"], abs=1e-8)


def test_files_of_one_name(files: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    for folder, name in (("one", "wide"), ("two", "right")):
        Path(folder).mkdir()
        Path(f"{name}.nc").rename(f"{folder}/fit.nc")
    outcome = run(["compare", "one/fit.nc", "two/fit.nc"], capsys)
    assert outcome.out.splitlines()[-1].startswith("two/fit.nc is preferred to one/fit.nc, clearly")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ((), "comparing takes at least two fits, got 0"),
        (("wide.nc",), "comparing takes at least two fits, got 1"),
        (("wide.nc", "no.nc"), "no.nc: no such file"),
        (("wide.nc", "table.csv"), "table.csv: not a netCDF file of a fit"),
        (("wide.nc", "./wide.nc"), "wide.nc: given twice"),
        (("wide.nc", "bare.nc"), "bare.nc: the inference data has no group 'log_likelihood'"),
        (
            ("wide.nc", "other.nc"),
            "wide.nc and other.nc are fits of different data: y has shape (12,) and (7,)",
        ),
    ],
)
def test_command_refuses(
    words: tuple[str, ...],
    complaint: str,
    files: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome = run(["compare", *words], capsys)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.complaint.startswith(complaint)


# Real fits


def mixed_normal(residual: float, sigma: float, nu: float) -> float:
    """Log-t density of a residual, by integration over the mixing variable."""

    def integrand(xi: float) -> float:
        center, sd = -(sigma**2) / (2 * xi), sigma / np.sqrt(xi)
        return float(stats.norm.pdf(residual, center, sd) * stats.chi2.pdf(xi, nu))

    return float(np.log(integrate.quad(integrand, 0, np.inf)[0]))


def test_concordance_with_and_without_outliers(cache: Path) -> None:
    data, _ = pyxstan.simulate("concordance", seed=5, instruments=4, sources=6, variances="unknown")
    sampler: dict[str, Any] = {
        "seed": 1,
        "chains": 2,
        "warmup": 300,
        "draws": 500,
        "progress": False,
    }
    fits = {
        name: pyxstan.fit(name, data, variances="unknown", **sampler)
        for name in ("concordance", "concordance_t")
    }
    for name, idata in fits.items():
        mean = group(idata, "posterior").mean(("chain", "draw"))
        residual = (
            data.y - mean["B"].to_numpy()[data.instrument] - mean["G"].to_numpy()[data.source]
        )
        sigma = mean["sigma"].to_numpy()[data.instrument]
        expected = (
            stats.norm.logpdf(residual, -(sigma**2) / 2, sigma)
            if name == "concordance"
            else [mixed_normal(r, s, 3.0) for r, s in zip(residual, sigma, strict=True)]
        )
        assert attributes(idata)["deviance_at_mean"] == pytest.approx(-2 * np.sum(expected))
    table = compare(fits)
    assert set(table.index) == set(table["model"]) == set(fits)
    assert table["p_d"].between(4, 14).all()  # of 14 parameters, four of them with a tight prior
    assert np.isfinite(table.drop(columns="model").astype(float)).all(axis=None)
    assert table["elpd_loo"].is_monotonic_decreasing
    best, second = table.index
    if (table["pareto_k"] > 0.7).any():
        assert table.attrs["verdict"].startswith(f"no verdict on {best} and {second}: the LOO of ")
    else:
        assert table.attrs["verdict"].startswith(f"{best} is ")


def test_the_deviance_of_a_mean_with_known_variances(cache: Path) -> None:
    data, _ = pyxstan.simulate("concordance", seed=5, instruments=4, sources=6)
    idata = pyxstan.fit("concordance", data, seed=1, progress=False, variances="known")
    deviance = -2 * group(idata, "log_likelihood")["y"].sum("measurement")
    # a Gaussian posterior: the deviance is quadratic, and p_D the trace of its curvature
    p_d = float(deviance.mean()) - attributes(idata)["deviance_at_mean"]
    assert 6 < p_d < 10
    assert p_d == pytest.approx(float(deviance.var()) / 2, rel=0.1)


def test_compare_is_public() -> None:
    assert "compare" in pyxstan.__all__
    assert pyxstan.compare is compare
