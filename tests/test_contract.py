"""The contract that every model of the zoo keeps: one class of tests over the whole register."""

from __future__ import annotations

import json
import logging
import operator
import re
import subprocess
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from astropy import units
from matplotlib import pyplot

import pyxstan
from pyxstan import inference_data, registry
from pyxstan.engine import sampling
from pyxstan.engine.build import build
from pyxstan.engine.toolchain import find_compiler, find_stan
from pyxstan.inference_data import group, group_names

STACKS = tuple(name for name in registry.models() if name.startswith("stack_"))
#: What makes a small data set of a model; by default the model's own defaults.
SMALL: dict[str, dict[str, Any]] = {
    "concordance": {"instruments": 4, "sources": 6, "variances": "unknown"},
    "concordance_t": {"instruments": 4, "sources": 6, "variances": "unknown"},
    "beta": {"size": 48, "point_sources": 1},
    "double_beta": {"size": 200, "point_sources": 2},
    **{name: {"objects": 30, "samples": 200} for name in STACKS},
    # measured well enough to tell two parts, or a width, from none
    "stack_mixture": {"objects": 200, "samples": 200, "largest_error": 0.2},
    "stack_multivariate": {"objects": 60, "samples": 200, "largest_error": 0.3},
    "linked_spectra": {"case": "linked"},
    "point_source": {"events": 3000, "prior_radius": 3.0},
}
#: Options that make a fit cheap, where the model's own defaults are for large data.
CHEAP: dict[str, dict[str, Any]] = {"point_source": {"nside": 16, "trials": 20}}
#: Another prior for the model, and the variable that it must move.
OTHER_PRIOR = {
    "concordance": ({"sigma2": "inv_gamma(300, 30)"}, "sigma"),
    "concordance_t": ({"sigma2": "inv_gamma(300, 30)"}, "sigma"),
    "beta": ({"rc": "lognormal(1.8, 0.01)"}, "rc"),
    "double_beta": ({"rc2": "lognormal(3.5, 0.01)"}, "rc2"),
    **dict.fromkeys(STACKS, ({"mean": "normal(2.5, 0.01)"}, "mean")),
    "stack_student_t": ({"location": "normal(2.5, 0.01)"}, "location"),
    "stack_beta": ({"alpha": "lognormal(3.4, 0.01)"}, "alpha"),
    "stack_gamma": ({"scale": "lognormal(0, 0.01)"}, "scale"),
    "stack_mixture": ({"sd": "lognormal(0.7, 0.01)"}, "sd"),
    "stack_multivariate": ({"sd": "lognormal(0.7, 0.05)"}, "sd"),
    "stack_histogram": ({}, ""),  # no prior but the Dirichlet one, which options change
    "linked_spectra": ({"src2.pl.index": "normal(-0.9, 0.001)"}, "value"),
    "point_source": ({"gamma": "normal(3.5, 0.01)"}, "gamma"),
}
#: What was observed, in `observed_data`, and the field of the data class that has it.
OBSERVED = {
    "concordance": ("y", "y"),
    "concordance_t": ("y", "y"),
    "beta": ("counts", "counts"),
    "double_beta": ("counts", "counts"),
    **dict.fromkeys(STACKS, ("sample_mean", "x")),
    "linked_spectra": ("counts", "counts"),
    "point_source": ("counts", "log10_energy"),
}
#: Dims of what was observed that one likelihood is of.
JOINT = {"stack_multivariate": ("parameter",)}
#: Which objects are summed in logs depends on the parent, their likelihood doesn't jump there;
#: counts have one likelihood without background and one with it, in two branches.
EXPECTED_WARNING = {
    "stack": "control flow statement",
    "concordance": "parameter counts is on the left-hand side of more than one tilde statement",
}
#: Said by later versions of stanc alone, of priors that are chosen by data.
FALSE_WARNING = {"point_source": "or the prior(s) depend on data variables"}
#: Dims that the model makes, not the data; priors that an option sets.
OWN_DIMS = {"bin", "component", "pair"}
BY_OPTION = {"fraction", "correlation"}
SHORT = {"chains": 2, "warmup": 300, "draws": 200, "seed": 11, "progress": False}
GROUPS = {
    "posterior",
    "sample_stats",
    "log_likelihood",
    "posterior_predictive",
    "observed_data",
    "constant_data",
}
#: A run that converges, and longer where tails are heavy and mix slowly.
LONG = {"chains": 4, "warmup": 500, "draws": 700}
LONGER = {"concordance_t": {"draws": 2500}}
#: The elpd in what ArviZ's loo returns.
LOO = "elpd" if inference_data.uses_datatree() else "elpd_loo"
SAMPLER = {"lp", "acceptance_rate", "step_size", "tree_depth", "n_steps", "diverging", "energy"}
NAMES = tuple(registry.models())
#: One model of every Stan program, for what depends on the program alone.
ONE_A_PROGRAM = tuple(
    {registry.get(name).program.stan_file: name for name in reversed(NAMES)}.values()
)
#: Two programs, for what depends on the driver alone: on one of kernels and on one without.
FEW = ("concordance", "linked_spectra")
#: One model of every kind of figures, drawn from a fit that was read, and written. What figures
#: show is looked at by each family's own tests.
DRAWN = ("concordance", "beta", "stack_gaussian", "stack_multivariate", "linked_spectra")
#: Approximations of all models, and by all methods.
APPROXIMATIONS = (
    *((name, "map") for name in NAMES),
    *((name, m) for name in ONE_A_PROGRAM for m in sampling.METHODS if m not in ("nuts", "map")),
)
#: Drawn by quadrature, unless NUTS is asked for.
DIRECT = ("point_source", "stack_gaussian", "stack_truncated_gaussian", "stack_beta", "stack_gamma")


def fit(name: str, data: Any, **changes: Any) -> Any:
    by_nuts = {"exact": False} if name in DIRECT else {}
    return pyxstan.fit(name, data, **{**SHORT, **CHEAP.get(name, {}), **by_nuts, **changes})


def posterior(idata: Any) -> xr.Dataset:
    return group(idata, "posterior")


def beside(idata: Any) -> list[str]:
    """Constants that go with posterior variables."""
    named = (values.attrs.get("beside") for values in posterior(idata).data_vars.values())
    return list(dict.fromkeys(name for names in named if names for name in names.split()))


@pytest.fixture(scope="module")
def simulated() -> dict[str, tuple[Any, dict[str, Any]]]:
    return {name: pyxstan.simulate(name, seed=5, **SMALL.get(name, {})) for name in NAMES}


@pytest.fixture(scope="module")
def fits(simulated: Mapping[str, tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    """A short NUTS fit of every model."""
    return {name: fit(name, simulated[name][0]) for name in NAMES}


@pytest.fixture(scope="module")
def approximations(simulated: Mapping[str, tuple[Any, Any]]) -> dict[tuple[str, str], Any]:
    return {
        (name, method): fit(name, simulated[name][0], method=method)
        for name, method in APPROXIMATIONS
    }


@pytest.mark.parametrize("name", DIRECT)
def test_direct_draws_come_in_the_same_form(
    name: str, fits: Mapping[str, Any], simulated: Mapping[str, Any]
) -> None:
    direct, nuts = fit(name, simulated[name][0], exact=True, draws=1000), fits[name]
    assert inference_data.attributes(direct)["method"] == "quadrature"
    assert set(group_names(direct)) == GROUPS
    for variable, values in posterior(nuts).data_vars.items():
        assert posterior(direct)[variable].dims == values.dims
        assert posterior(direct)[variable].attrs == values.attrs
    stats = group(direct, "sample_stats")
    assert set(stats.data_vars) == {"lp", "acceptance_rate", "diverging"}
    assert stats["acceptance_rate"].mean() > 0.99
    assert pyxstan.verdict(direct).converged


def test_list_has_every_model() -> None:
    table = pyxstan.list_models()
    assert list(table.index) == list(NAMES)
    assert {"purpose", "inputs", "reference"} <= set(table.columns)
    assert (table.map(len) > 10).all(axis=None)


def test_every_model_has_its_stan_file_and_test_settings() -> None:
    folder = registry.stan_models()
    programs = {model.program.stan_file.stem for model in registry.models().values()}
    assert {path.stem for path in folder.glob("*.stan")} == programs
    assert set(NAMES) == set(SMALL) == set(OTHER_PRIOR) == set(OBSERVED)


@pytest.mark.parametrize(
    "file", sorted(registry.stan_models().glob("*.stan")), ids=lambda f: f.stem
)
def test_stanc_finds_nothing_pedantic(file: Path, tmp_path: Path) -> None:
    command = [
        find_stan().stanc, "--warn-pedantic", "--allow-undefined",
        f"--include-paths={file.parent}", f"--o={tmp_path / 'out.cpp'}", file,
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    found = re.findall(r"Warning in .*?(?=^Warning in |\Z)", done.stderr, re.DOTALL | re.MULTILINE)
    expected = EXPECTED_WARNING.get(file.stem)
    false = FALSE_WARNING.get(file.stem)
    found = [w for w in found if not (false and false in " ".join(w.split()))]
    surprising = [w for w in found if not (expected and expected in " ".join(w.split()))]
    assert not surprising
    assert bool(found) == bool(expected)


def test_an_unknown_model_is_told_what_there_is() -> None:
    for call in (pyxstan.describe, lambda name: pyxstan.fit(name, {}), registry.get):
        with pytest.raises(
            pyxstan.DataError, match=r"unknown model 'beta_'; there are .*concordance"
        ):
            call("beta_")


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    """What `pyxstan.fit` and its sisters promise for any model."""

    def test_describe_names_everything(self, name: str) -> None:
        model, text = registry.get(name), str(pyxstan.describe(name))
        assert repr(pyxstan.describe(name)) == text
        for entry in (*model.parameters, *model.priors, *model.options):
            assert re.search(rf"^  {entry.name}\b.*: .+", text, re.MULTILINE), entry.name
        for slot in model.priors:
            assert f"default {slot.default}" in text
        assert model.reference in text
        assert model.data_class in text

    def test_groups_and_dims(self, name: str, fits: Mapping[str, Any]) -> None:
        idata = fits[name]
        assert set(group_names(idata)) == GROUPS
        assert dict(posterior(idata).sizes)["chain"] == SHORT["chains"]
        assert dict(posterior(idata).sizes)["draw"] == SHORT["draws"]
        for found in GROUPS:
            for variable, values in group(idata, found).data_vars.items():
                for dim in values.dims:
                    assert dim in values.coords, f"{found}.{variable} has no coordinate {dim}"
                    assert not re.match(r".*_dim_\d+$", str(dim))
        declared = {p.name: p for p in registry.get(name).parameters}
        for variable, values in posterior(idata).data_vars.items():
            assert values.dims == ("chain", "draw", *declared[str(variable)].dims)
            assert np.isfinite(values).all()

    def test_coordinates_are_the_labels_of_the_data(
        self, name: str, fits: Mapping[str, Any], simulated: Mapping[str, Any]
    ) -> None:
        data = simulated[name][0]
        for dim in set(posterior(fits[name]).dims) - {"chain", "draw"}:
            labels = posterior(fits[name])[dim].to_numpy()
            assert len(set(labels)) == len(labels)
            if dim not in OWN_DIMS:
                assert tuple(labels) == tuple(getattr(data, f"{dim}s"))

    def test_units_and_descriptions(self, name: str, fits: Mapping[str, Any]) -> None:
        for found in ("posterior", "observed_data"):
            for variable, values in group(fits[name], found).data_vars.items():
                assert "units" in values.attrs, f"{found}.{variable} states no unit"
                units.Unit(values.attrs["units"])  # or an error
                assert values.attrs["long_name"]
        if "unit" in posterior(fits[name]).coords:
            for unit in posterior(fits[name])["unit"].to_numpy():
                units.Unit(str(unit))

    def test_provenance(self, name: str, fits: Mapping[str, Any]) -> None:
        attrs = inference_data.attributes(fits[name])
        assert attrs["model"] == name
        assert attrs["method"] == "nuts"
        assert attrs["seed"] == SHORT["seed"]
        assert (attrs["chains"], attrs["warmup"], attrs["draws"]) == (2, 300, 200)
        assert attrs["stan_program_sha256"] == registry.get(name).program.sha256()
        assert re.fullmatch(r"2\.\d+\.\d+", attrs["stan_version"])
        for package in ("pyxstan", "arviz", "cmdstanpy"):
            assert attrs[f"{package}_version"] == version(package)
        assert 0 < attrs["sampling_time_s"] <= attrs["wall_time_s"]
        assert json.loads(attrs["options"]).items() >= {"metric": "diag_e"}.items()
        named = {key.split("[")[0] for key in json.loads(attrs["priors"])}
        if registry.get(name).open_priors:
            assert named <= set(posterior(fits[name])["parameter"].to_numpy())
        else:
            assert named - BY_OPTION <= {s.name for s in registry.get(name).priors}
        assert json.loads(attrs["priors"])
        assert all(isinstance(line, str) for line in json.loads(attrs["notes"]))

    def test_sampler_statistics(self, name: str, fits: Mapping[str, Any]) -> None:
        stats = group(fits[name], "sample_stats")
        assert set(stats.data_vars) >= SAMPLER
        for statistic in SAMPLER:
            assert stats[statistic].dims == ("chain", "draw")
        assert stats["diverging"].dtype == bool
        assert stats["acceptance_rate"].mean() > 0.6
        assert (stats["inv_metric"] > 0).all()
        assert len(stats.attrs["adapted_step_size"]) == SHORT["chains"]

    def test_pointwise_groups(self, name: str, fits: Mapping[str, Any]) -> None:
        variable = OBSERVED[name][0]
        observed = group(fits[name], "observed_data")[variable]
        likelihood = group(fits[name], "log_likelihood")[variable]
        predicted = group(fits[name], "posterior_predictive")[variable]
        units = [dim for dim in observed.dims if dim not in JOINT.get(name, ())]
        for values, dims in ((likelihood, units), (predicted, observed.dims)):
            assert values.dims == ("chain", "draw", *dims)
            assert np.isfinite(values).all()
        inside = np.abs(observed - predicted.median(("chain", "draw"))) <= 10 * predicted.quantile(
            0.75, ("chain", "draw")
        ).drop_vars("quantile") - 10 * predicted.quantile(0.25, ("chain", "draw")).drop_vars(
            "quantile"
        )
        assert inside.all()

    @pytest.mark.filterwarnings("ignore")  # ArviZ's own, of Pareto k and matplotlib's names
    def test_arvizs_own_functions(self, name: str, fits: Mapping[str, Any], tmp_path: Path) -> None:
        pyplot.switch_backend("agg")
        az, idata = inference_data.arviz(), fits[name]
        first = str(next(iter(posterior(idata).data_vars)))
        assert len(az.summary(idata, var_names=[first])) == posterior(idata)[first][0, 0].size
        assert np.isfinite(float(getattr(az.loo(idata), LOO)))
        az.plot_trace(idata, var_names=[first])
        if inference_data.uses_datatree():
            az.plot_ppc_dist(idata, num_samples=5)
        else:
            az.plot_ppc(idata, num_pp_samples=5)
            twice = az.concat(idata, idata, dim="chain")
            assert posterior(twice).sizes["chain"] == 2 * SHORT["chains"]
        idata.to_netcdf(tmp_path / "fit.nc")
        pyplot.close("all")

    def test_simulate_takes_the_truth_that_it_writes(
        self, name: str, simulated: Mapping[str, Any], tmp_path: Path
    ) -> None:
        data, truth = simulated[name]
        registry.get(name).family.write(data, truth, tmp_path)
        written = json.loads((tmp_path / "truth.json").read_text())
        again = pyxstan.simulate(name, written, seed=5, **SMALL.get(name, {}))[1]
        assert truth.keys() == again.keys()
        for key, value in truth.items():
            np.testing.assert_allclose(again[key], value, rtol=1e-12)

    def test_priors_change_the_posterior_without_compiling(
        self,
        name: str,
        fits: Mapping[str, Any],
        simulated: Mapping[str, Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        priors, moved = OTHER_PRIOR[name]
        assert bool(priors) == bool(registry.get(name).priors or registry.get(name).open_priors)
        if not priors:
            return
        executable = build(registry.get(name).program)
        monkeypatch.setenv("CXX", "/nonexistent/compiler")
        with pytest.raises(pyxstan.BuildError):  # nothing can be compiled now
            find_compiler()
        idata = fit(name, simulated[name][0], priors=priors)
        assert build(registry.get(name).program) == executable
        there = json.loads(inference_data.attributes(idata)["priors"])
        for key, words in priors.items():  # of each parameter, where there are several
            assert {said for k, said in there.items() if k.split("[")[0] == key} == {words}
        before, after = posterior(fits[name])[moved], posterior(idata)[moved]
        if registry.get(name).open_priors:
            before, after = (x.sel(parameter=list(priors)) for x in (before, after))
        assert (after.min(("chain", "draw")) > before.mean(("chain", "draw"))).all()

    def test_inits(self, name: str, simulated: Mapping[str, Any]) -> None:
        """Starting values, by variable or as a half width, are used and recorded."""
        data, truth = simulated[name]
        variable = next(iter(truth))
        start = np.asarray(truth[variable]) + 0.01
        still = {"warmup": 0, "draws": 1, "chains": 1, "max_treedepth": 1}
        given = fit(name, data, inits={variable: start}, **still)
        free = fit(name, data, inits=0.5, **still)
        assert json.loads(inference_data.attributes(free)["inits"]) == 0.5
        told = json.loads(inference_data.attributes(given)["inits"])
        np.testing.assert_allclose(told[variable], start)
        assert not np.array_equal(posterior(given)[variable], posterior(free)[variable])

    def test_summary(self, name: str, fits: Mapping[str, Any]) -> None:
        table = pyxstan.summary(fits[name])
        assert isinstance(table, pd.DataFrame)
        assert list(table.columns) == [
            "mean", "sd", "2.5%", "50%", "97.5%",
            "mcse_mean", "ess_bulk", "ess_tail", "r_hat", *beside(fits[name]), "unit",
        ]  # fmt: skip
        size = sum(v[0, 0].size for v in posterior(fits[name]).data_vars.values())
        assert len(table) == size
        first = next(iter(posterior(fits[name]).data_vars))
        values = posterior(fits[name])[first]
        scalar = values.dims == ("chain", "draw")
        entry = None if scalar else values[values.dims[-1]].to_numpy()[0]
        name_of_entry = f"{entry:.6g}" if isinstance(entry, float) else entry
        label = first if scalar else f"{first}[{name_of_entry}]"
        flat = (values if scalar else values[:, :, 0]).to_numpy().ravel()
        assert table.loc[label, "mean"] == pytest.approx(flat.mean())
        assert table.loc[label, "sd"] == pytest.approx(flat.std(ddof=1))
        assert table.loc[label, "97.5%"] == pytest.approx(np.quantile(flat, 0.975))
        assert table.attrs["verdict"] == pyxstan.verdict(fits[name]).line
        alone = [label for label in table.index if label.split("[")[0] == first]
        assert list(pyxstan.summary(fits[name], [first]).index) == alone

    def test_summary_has_what_goes_beside(self, name: str, fits: Mapping[str, Any]) -> None:
        table, constant = pyxstan.summary(fits[name]), group(fits[name], "constant_data")
        for variable, values in posterior(fits[name]).data_vars.items():
            rows = table[[label.split("[")[0] == variable for label in table.index]]
            assert list(rows.index) == list(pyxstan.summary(fits[name], [str(variable)]).index)
            for column in beside(fits[name]):
                if column in values.attrs.get("beside", "").split():
                    assert constant[column].dims == values.dims[2:]
                    np.testing.assert_array_equal(rows[column], constant[column].to_numpy().ravel())
                else:
                    assert rows[column].isna().all()

    def test_summary_of_one_draw(
        self, name: str, approximations: Mapping[tuple[str, str], Any]
    ) -> None:
        table = pyxstan.summary(approximations[name, "map"])
        idata = approximations[name, "map"]
        assert list(table.columns) == ["mean", *beside(idata), "unit"]
        assert np.isfinite(table["mean"]).all()

    def test_verdict_of_a_long_run(self, name: str, simulated: Mapping[str, Any]) -> None:
        long = fit(name, simulated[name][0], **{**LONG, **LONGER.get(name, {})})
        verdict = pyxstan.verdict(long)
        assert verdict.converged, verdict.line
        assert verdict.good == ("; BUT " not in verdict.line)
        assert re.match(
            r"converged: R-hat <= 1\.0\d+, bulk ESS >= \d+, tail ESS >= \d+", str(verdict)
        )

    def test_netcdf_round_trip(self, name: str, fits: Mapping[str, Any], tmp_path: Path) -> None:
        inference_data.write(fits[name], tmp_path / "fit.nc")
        back = inference_data.read(tmp_path / "fit.nc")
        assert set(group_names(back)) == GROUPS
        for found in GROUPS:
            there = group(back, found)
            xr.testing.assert_equal(there, group(fits[name], found))
            for variable, values in group(fits[name], found).data_vars.items():
                assert there[variable].attrs == values.attrs
        attrs = inference_data.attributes(fits[name])
        told = inference_data.attributes(back)
        assert {key: told[key] for key in attrs} == attrs
        assert pyxstan.verdict(back).line == pyxstan.verdict(fits[name]).line
        pd.testing.assert_frame_equal(pyxstan.summary(back), pyxstan.summary(fits[name]))

    def test_simulate_is_repeatable_and_tells_the_truth(
        self, name: str, simulated: Mapping[str, Any], fits: Mapping[str, Any]
    ) -> None:
        data, truth = simulated[name]
        again, same = pyxstan.simulate(name, seed=5, **SMALL[name])
        other, _ = pyxstan.simulate(name, seed=6, **SMALL[name])
        seen = operator.attrgetter(OBSERVED[name][1])
        np.testing.assert_array_equal(seen(again), seen(data))
        assert not np.array_equal(seen(other), seen(data))
        assert set(truth) == set(same) <= set(posterior(fits[name]).data_vars)
        for variable, value in truth.items():
            values = posterior(fits[name])[variable]
            low, high = values.min(("chain", "draw")), values.max(("chain", "draw"))
            width = high - low
            assert ((value > low - width) & (value < high + width)).all(), variable
        with pytest.raises(pyxstan.DataError, match=r"no parameter 'colour'"):
            pyxstan.simulate(name, {"colour": 1.0}, seed=5)

    def test_simulated_files_are_read_back(
        self, name: str, simulated: Mapping[str, Any], tmp_path: Path
    ) -> None:
        model, (data, truth) = registry.get(name), simulated[name]
        *inputs, told = model.family.write(data, truth, tmp_path)
        masks = [path for path in inputs if path.name == "mask.fits"]
        known = [path for path in inputs if path.name == "covariates.csv"]
        inputs = [path for path in inputs if path.suffix == ".yaml"] or inputs  # it names the rest
        options: dict[str, Any] = {"mask": masks} if masks else {}
        options |= {"covariates": known[0]} if known else {}
        options |= {"name": ",".join(data.parameters)} if inputs[0].name == "samples.csv" else {}
        back = model.family.read([p for p in inputs if p not in (*masks, *known)], options)
        seen = operator.attrgetter(OBSERVED[name][1])
        np.testing.assert_allclose(seen(back), seen(data), atol=1e-6)
        if masks:
            np.testing.assert_array_equal(back.good, data.good)
        assert set(json.loads(told.read_text())) == set(truth)


@pytest.mark.parametrize("name", ONE_A_PROGRAM)
def test_verdict_names_what_is_wrong(name: str, simulated: Mapping[str, Any]) -> None:
    short = fit(name, simulated[name][0], warmup=5, draws=30)
    verdict = pyxstan.verdict(short)
    assert not verdict.good
    assert verdict.line.startswith("NOT CONVERGED: ")
    assert verdict.problems
    assert all(problem in str(verdict) for problem in verdict.problems)


@pytest.mark.parametrize("name", DRAWN)
def test_figures(name: str, fits: Mapping[str, Any], tmp_path: Path) -> None:
    """Written from a fit that was saved and read, the same as from the fit itself."""
    inference_data.write(fits[name], tmp_path / "fit.nc")
    figures = pyxstan.plot(inference_data.read(tmp_path / "fit.nc"), tmp_path / "new/figures")
    assert figures
    if name == FEW[0]:
        assert list(pyxstan.plot(fits[name])) == list(figures)
    written = sorted(path.name for path in (tmp_path / "new" / "figures").iterdir())
    assert written == sorted(f"{f}.{kind}" for f in figures for kind in ("pdf", "png"))
    for figure_name, figure in figures.items():
        png = (tmp_path / "new" / "figures" / f"{figure_name}.png").read_bytes()
        pdf = (tmp_path / "new" / "figures" / f"{figure_name}.pdf").read_bytes()
        assert png.startswith(b"\x89PNG")
        assert pdf.startswith(b"%PDF")
        assert any(axes.has_data() for axes in figure.axes)


@pytest.mark.parametrize("name", ONE_A_PROGRAM)
def test_same_seed_same_draws(
    name: str, fits: Mapping[str, Any], simulated: Mapping[str, Any]
) -> None:
    again = fit(name, simulated[name][0])
    for found in ("posterior", "log_likelihood", "posterior_predictive", "sample_stats"):
        xr.testing.assert_identical(
            group(again, found).drop_attrs(), group(fits[name], found).drop_attrs()
        )


@pytest.mark.parametrize("name", FEW)
def test_random_seed_is_told_and_repeats(
    name: str, fits: Mapping[str, Any], simulated: Mapping[str, Any]
) -> None:
    data = simulated[name][0]
    first = fit(name, data, seed=None, draws=20)
    seed = inference_data.attributes(first)["seed"]
    second = fit(name, data, seed=seed, draws=20)
    xr.testing.assert_equal(posterior(first), posterior(second))
    for variable, values in posterior(fits[name]).data_vars.items():
        other = posterior(first)[variable].to_numpy()
        # at 9 digits, two of thousands of values may meet anywhere, but hardly in their places
        assert (values[:, :20].to_numpy() != other).mean() > 0.99


@pytest.mark.parametrize(("name", "method"), APPROXIMATIONS)
def test_approximations_give_the_same_variables(
    name: str,
    method: str,
    fits: Mapping[str, Any],
    approximations: Mapping[tuple[str, str], Any],
) -> None:
    idata, nuts = approximations[name, method], fits[name]
    assert set(group_names(idata)) == GROUPS
    assert inference_data.attributes(idata)["method"] == method
    assert posterior(idata).sizes["chain"] == 1
    assert posterior(idata).sizes["draw"] == (1 if method == "map" else 400)
    assert list(posterior(idata).data_vars) == list(posterior(nuts).data_vars)
    for variable, values in posterior(nuts).data_vars.items():
        approximate = posterior(idata)[variable]
        assert approximate.dims == values.dims
        assert approximate.attrs == values.attrs
        distance = np.abs(approximate.median(("chain", "draw")) - values.median(("chain", "draw")))
        assert (distance < 2.5 * values.std(("chain", "draw"))).all(), variable
    assert pyxstan.verdict(idata).line.startswith(f"{method}: an approximation")


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("method", [m for m in sampling.METHODS if m != "nuts"])
def test_approximations_repeat(
    name: str,
    method: str,
    simulated: Mapping[str, Any],
    approximations: Mapping[tuple[str, str], Any],
) -> None:
    again = fit(name, simulated[name][0], method=method)
    xr.testing.assert_equal(posterior(again), posterior(approximations[name, method]))


@pytest.mark.parametrize("name", FEW)
@pytest.mark.parametrize("metric", ["dense_e", "unit_e"])
@pytest.mark.slow
def test_metrics(name: str, metric: str, simulated: Mapping[str, Any]) -> None:
    idata = fit(name, simulated[name][0], metric=metric)
    assert json.loads(inference_data.attributes(idata)["options"])["metric"] == metric
    assert set(group_names(idata)) == GROUPS


def test_progress_is_plain_lines_on_standard_error(
    simulated: Mapping[str, Any],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # none has set up logging
    monkeypatch.setattr(logging.getLogger("pyxstan"), "handlers", [])
    fit("concordance", simulated["concordance"][0], progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    lines = err.splitlines()
    assert all(line.startswith("pyxstan: ") for line in lines)
    assert "pyxstan: sampling: 2 chains of 300 + 200 iterations, seed 11" in lines
    assert re.match(r"pyxstan: (converged|NOT CONVERGED): ", lines[-1])


def test_a_group_that_is_not_there(fits: Mapping[str, Any]) -> None:
    with pytest.raises(pyxstan.DataError, match="no group 'prior'"):
        group(fits["concordance"], "prior")
