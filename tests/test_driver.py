"""The driver's methods: real executables, run through CmdStan's command line, against closed forms.

That the numbers equal CmdStan's own is checked in ``test_driver_and_cmdstan.py``.
"""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
from driver_runs import FREE, NO_PARAMETERS, SD, Runner, Y, comments, everything, numbers, read
from numpy.typing import NDArray

from pyxstan.engine.build import ALL_UNITS, build

#: Posterior of mu, normal by conjugacy: prior normal(1, 2).
PRECISION = 1 / 4 + len(Y) / SD**2
MEAN = (1 / 4 + sum(Y) / SD**2) / PRECISION
POINT: dict[str, object] = {
    "mu": 0.3,
    "tau": 2.0,
    "m": [[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]],
    "v": [[1.0, 1.5], [2.0, 2.5]],
    "p": [0.2, 0.3, 0.5],
}


@pytest.fixture
def run(cache: Path, tmp_path: Path) -> Runner:
    return everything(tmp_path)


@pytest.fixture
def run_without_parameters(cache: Path, tmp_path: Path) -> Runner:
    return Runner(build(NO_PARAMETERS, ALL_UNITS), tmp_path, {"mu": 5.0})


def close(values: NDArray[np.float64], mean: float, sd: float, effective: float) -> None:
    """Mean and standard deviation within four standard errors."""
    assert abs(values.mean() - mean) < 4 * sd / math.sqrt(effective)
    assert abs(values.std() / sd - 1) < 4 / math.sqrt(2 * effective)


# Sampling


@pytest.mark.parametrize("metric", ["diag_e", "dense_e", "unit_e"])
def test_posterior_is_right(run: Runner, metric: str) -> None:
    draws = run(f"sample num_samples=2000 algorithm=hmc metric={metric}")
    close(draws["mu"], MEAN, PRECISION**-0.5, 1000)
    close(draws["v.2.1"], 2, 0.5, 1000)
    close(draws["m.2.3"], 0, 1, 1000)
    close(draws["tau"], 1.5, 0.75**0.5, 600)
    # dirichlet(2, 3, 4): mean 3/9, variance 3 * 6 / (81 * 10)
    close(draws["p.2"], 1 / 3, math.sqrt(18 / 810), 1000)
    np.testing.assert_allclose(draws["p.1"] + draws["p.2"] + draws["p.3"], 1)
    np.testing.assert_allclose(draws["twice"], 2 * draws["mu"])
    assert set(draws["counts.2"]) == {7}
    names = list(draws)
    assert names[:3] == ["lp__", "accept_stat__", "stepsize__"]
    # matrices column by column, arrays of vectors array by array
    assert names[9:16] == ["m.1.1", "m.2.1", "m.1.2", "m.2.2", "m.1.3", "m.2.3", "v.1.1"]
    assert "Adaptation terminated" in comments(run.folder / "out.csv")


def test_same_seed_same_draws(run: Runner) -> None:
    words = "sample num_samples=20 num_warmup=50"
    first = run(words)
    again = run(words)
    other = run(words, seed=2)
    for name, values in first.items():
        np.testing.assert_array_equal(values, again[name])
    assert not np.array_equal(first["mu"], other["mu"])


@pytest.mark.parametrize("threads", [1, 2])
def test_chains_of_one_process_equal_chains_alone(run: Runner, threads: int) -> None:
    words = "sample num_samples=20 num_warmup=60"
    done = run.start(
        f"{words} num_chains=3 id=5 data file=data.json random seed=3 "
        f"output file=many.csv sig_figs=17 num_threads={threads}"
    )
    assert done.returncode == 0, done.stderr
    for chain in (5, 6, 7):
        run(f"{words} id={chain}", seed=3)
        assert numbers(run.folder / f"many_{chain}.csv") == numbers(run.folder / "out.csv")


def test_warmup_thinning_and_diagnostics(run: Runner) -> None:
    words = "sample num_samples=30 num_warmup=40"
    saved = run(f"{words} save_warmup=1", "diagnostic_file=all.csv")
    assert len(run(words)["mu"]) == 30
    assert len(run(f"{words} save_warmup=true thin=4")["mu"]) == 10 + 8
    assert len(saved["mu"]) == 70
    diagnostics = read(run.folder / "all.csv")
    # unconstrained parameters, momenta, gradients
    assert len(diagnostics) == 7 + 3 * FREE
    np.testing.assert_allclose(np.exp(diagnostics["tau"]), saved["tau"])
    gradient = PRECISION * (diagnostics["mu"] - MEAN)
    np.testing.assert_allclose(diagnostics["g_mu"], gradient, atol=1e-10)


def test_metric_is_saved_and_given_back(run: Runner) -> None:
    draws = run("sample num_samples=20 num_warmup=300 adapt save_metric=1", "save_cmdstan_config=1")
    metric = json.loads((run.folder / "out_metric.json").read_text())
    assert metric["metric_type"] == "diag_e"
    assert metric["stepsize"] == draws["stepsize__"][0]
    assert len(metric["inv_metric"]) == FREE
    line = comments(run.folder / "out.csv")
    printed = [
        float(x)
        for x in line[line.index("Diagonal elements of inverse mass matrix:") + 1].split(",")
    ]
    np.testing.assert_allclose(printed, metric["inv_metric"], rtol=1e-5)
    config = json.loads((run.folder / "out_config.json").read_text())
    sample = config["method"]["sample"]
    assert (sample["num_warmup"], sample["adapt"]["delta"]) == (300, 0.8)
    assert sample["algorithm"]["hmc"]["metric"] == {"value": "diag_e"}
    run.write("metric.json", {"inv_metric": metric["inv_metric"]})
    fixed = run(
        "sample num_samples=500 num_warmup=0 adapt engaged=0 algorithm=hmc "
        f"metric_file=metric.json stepsize={metric['stepsize']}"
    )
    assert set(fixed["stepsize__"]) == {metric["stepsize"]}
    assert fixed["accept_stat__"].mean() > 0.6
    jittered = run(
        "sample num_samples=50 num_warmup=0 adapt engaged=0 algorithm=hmc stepsize=0.5 "
        "stepsize_jitter=0.5"
    )
    assert 0.25 <= jittered["stepsize__"].min() < jittered["stepsize__"].max() <= 0.75


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("o", ["o_2.csv", "o_3.csv", "o_metric_2.json", "o_metric_3.json", "o_config.json"]),
        ("x.y.txt", ["x.y_2.txt", "x.y_3.txt", "x.y_metric_2.json", "x.y_config.json"]),
        ("a.csv,b.csv", ["a.csv", "b.csv", "a_metric.json", "b_metric.json", "a_config.json"]),
    ],
)
def test_names_of_files(run: Runner, file: str, expected: list[str]) -> None:
    done = run.start(
        "sample num_chains=2 num_samples=2 num_warmup=5 adapt save_metric=1 id=2 "
        f"data file=data.json output file={file} diagnostic_file=dg save_cmdstan_config=1"
    )
    assert done.returncode == 0, done.stderr
    for name in [*expected, "dg_2.csv", "dg_3.csv"]:
        assert (run.folder / name).stat().st_size > 0


def test_initial_values(run: Runner) -> None:
    # a tiny step that is not adapted: the first draw is where the chain starts
    words = (
        "num_samples=1 num_warmup=0 adapt engaged=0 "
        "algorithm=hmc engine=nuts max_depth=1 stepsize=1e-9"
    )
    run.write("start.json", POINT)
    run.write("each_1.json", POINT)
    run.write("each_2.json", {**POINT, "mu": 0.7})
    assert run(f"sample {words} init=start.json")["mu"][0] == pytest.approx(0.3, abs=1e-6)
    zero = run(f"sample {words} init=0")
    assert zero["mu"][0] == pytest.approx(0, abs=1e-6)
    assert zero["tau"][0] == pytest.approx(1, abs=1e-6)
    assert abs(run(f"sample {words} init=0.01")["mu"][0]) <= 0.01
    for init, starts in [
        ("each.json", (0.3, 0.7)),
        ("each_2.json,each_1.json", (0.7, 0.3)),
        ("start.json", (0.3, 0.3)),
    ]:
        run(f"sample num_chains=2 {words} init={init}")
        for chain, start in enumerate(starts, 1):
            mu = read(run.folder / f"out_{chain}.csv")["mu"][0]
            assert mu == pytest.approx(start, abs=1e-6)


def test_fixed_parameters(run: Runner) -> None:
    run.write("start.json", POINT)
    draws = run("sample num_samples=500 algorithm=fixed_param init=start.json")
    assert set(draws["mu"]) == {0.3}
    close(draws["predicted"], 0.3, SD, 500)


def test_program_without_parameters(run_without_parameters: Runner) -> None:
    draws = run_without_parameters("sample num_samples=400")
    close(draws["x"], 5, 1, 400)


def test_header_tells_how_it_was_made(run: Runner) -> None:
    run("sample num_samples=5 num_warmup=5 adapt delta=0.9 algorithm=hmc stepsize=0.123456789")
    lines = comments(run.folder / "out.csv")
    for line in [
        "model = everything_model",
        "method = sample (Default)",
        "num_samples = 5",
        "thin = 1 (Default)",
        "save_warmup = false (Default)",
        "delta = 0.9",
        "stepsize = 0.123457",
        "file = data.json",
        "seed = 1",
        "sig_figs = 17",
    ]:
        assert line in lines
    assert any(line.startswith("stanc_version = ") for line in lines)


# Optimisation and approximations


@pytest.mark.parametrize("algorithm", ["lbfgs", "bfgs", "newton"])
@pytest.mark.parametrize("jacobian", [False, True])
def test_optimum(run: Runner, algorithm: str, jacobian: bool) -> None:
    best = run(f"optimize algorithm={algorithm} jacobian={int(jacobian)}")
    assert best["mu"][0] == pytest.approx(MEAN, abs=1e-3)
    # gamma(3, 2): the log density peaks at 2/2, with the Jacobian of log(tau) at 3/2
    assert best["tau"][0] == pytest.approx(1.5 if jacobian else 1, abs=1e-3)
    path = run(f"optimize algorithm={algorithm} jacobian={int(jacobian)} save_iterations=1")
    assert len(path["mu"]) > 2
    assert path["mu"][-1] == best["mu"][0]
    assert path["lp__"][0] < path["lp__"][-1]


def test_laplace(run: Runner) -> None:
    run("optimize jacobian=1")
    shutil.move(run.folder / "out.csv", run.folder / "mode.csv")
    draws = run("laplace mode=mode.csv draws=2000", "diagnostic_file=h.json")
    close(draws["mu"], MEAN, PRECISION**-0.5, 2000)
    # log(tau) is taken for normal, with the curvature 2 tau = 3 at the mode
    close(np.log(draws["tau"]), math.log(1.5), 3**-0.5, 2000)
    hessian = np.array(json.loads((run.folder / "h.json").read_text())["Hessian"])
    assert hessian.shape == (FREE, FREE)
    assert hessian[0, 0] == pytest.approx(-PRECISION, rel=1e-4)
    assert hessian[1, 1] == pytest.approx(-3, rel=1e-3)
    assert np.isfinite(draws["log_p__"]).all()
    cheap = run("laplace mode=mode.csv draws=5 calculate_lp=0")
    assert np.isnan(cheap["log_p__"]).all()
    run.write("mode.json", POINT)
    shifted = run("laplace mode=mode.json draws=2000")
    close(shifted["mu"], 0.3, PRECISION**-0.5, 2000)


def test_pathfinder(run: Runner) -> None:
    draws = run("pathfinder num_draws=1000 num_psis_draws=500")
    assert len(draws["mu"]) == 500
    assert list(draws)[:2] == ["lp_approx__", "lp__"]
    close(draws["mu"], MEAN, PRECISION**-0.5, 60)
    one = run("pathfinder num_paths=1 num_draws=1000 save_single_paths=1")
    assert len(one["mu"]) == 1000
    assert json.loads((run.folder / "out.json").read_text())
    every = run(
        "pathfinder num_paths=2 num_draws=30 psis_resample=0 save_single_paths=1 id=4",
        "diagnostic_file=trace",
    )
    assert len(every["mu"]) == 60
    for path in (4, 5):
        assert len(read(run.folder / f"out_path_{path}.csv")["mu"]) == 30
        trace = json.loads((run.folder / f"trace_path_{path}.json").read_text())
        assert len(trace["0"]["unconstrained_parameters"]) == FREE


@pytest.mark.parametrize("algorithm", ["meanfield", "fullrank"])
def test_variational(run: Runner, algorithm: str) -> None:
    draws = run(f"variational algorithm={algorithm} output_samples=500", "diagnostic_file=elbo.csv")
    # the first row is the mean of the approximation
    assert len(draws["mu"]) == 501
    assert draws["mu"][0] == pytest.approx(MEAN, abs=0.4)
    assert draws["mu"][1:].std() == pytest.approx(PRECISION**-0.5, rel=0.5)
    assert f"algorithm = {algorithm}" in " ".join(comments(run.folder / "elbo.csv"))
    assert len(numbers(run.folder / "elbo.csv")) >= 1


# Other methods


def test_generated_quantities_follow_the_draws(run: Runner) -> None:
    fitted = run("sample num_samples=25 num_warmup=50 num_chains=2")
    assert fitted == {}
    run("generate_quantities num_chains=2 fitted_params=out.csv", "file=gq.csv")
    for chain in (1, 2):
        made = read(run.folder / f"gq_{chain}.csv")
        sample = read(run.folder / f"out_{chain}.csv")
        assert list(made) == ["twice", "counts.1", "counts.2", "predicted"]
        np.testing.assert_array_equal(made["twice"], 2 * sample["mu"])
    before = read(run.folder / "gq_1.csv")
    alone = run("generate_quantities fitted_params=out_1.csv", "file=gq.csv")
    assert alone == {}
    for name, values in read(run.folder / "gq.csv").items():
        np.testing.assert_array_equal(values, before[name])


def log_density(jacobian: bool) -> tuple[float, float, float]:
    """Log density of the program at `POINT` up to a constant, d/dmu and d/dlog(tau)."""
    m, v, p = (np.array(POINT[name], dtype=float) for name in ("m", "v", "p"))
    mu, tau = 0.3, 2.0
    value = -((mu - 1) ** 2) / 8 - sum((y - mu) ** 2 for y in Y) / (2 * SD**2)
    value += 2 * math.log(tau) - 2 * tau - 0.5 * np.sum(m**2)
    value += -2 * np.sum((v - [[1], [2]]) ** 2) + np.sum([1, 2, 3] * np.log(p))
    return value + jacobian * math.log(tau), PRECISION * (MEAN - mu), 2 - 2 * tau + jacobian


@pytest.mark.parametrize("jacobian", [False, True])
def test_log_density_and_gradient(run: Runner, jacobian: bool) -> None:
    run.write("point.json", POINT)
    found = run(f"log_prob constrained_params=point.json jacobian={int(jacobian)}")
    value, slope, slope_tau = log_density(jacobian)
    assert found["g_mu"][0] == pytest.approx(slope)
    assert found["g_tau"][0] == pytest.approx(slope_tau)
    moved = {**POINT, "mu": 0.8}
    run.write("point.json", moved)
    other = run(f"log_prob constrained_params=point.json jacobian={int(jacobian)}")
    expected = -PRECISION / 2 * ((0.8 - MEAN) ** 2 - (0.3 - MEAN) ** 2)
    assert other["lp__"][0] - found["lp__"][0] == pytest.approx(expected)
    if not jacobian:
        assert found["lp__"][0] == pytest.approx(value)


def test_log_density_of_many_points(run: Runner) -> None:
    draws = run("sample num_samples=6 num_warmup=20")
    shutil.move(run.folder / "out.csv", run.folder / "draws.csv")
    found = run("log_prob constrained_params=draws.csv")
    np.testing.assert_allclose(found["lp__"], draws["lp__"], rtol=1e-10)
    points = [[0.1 * i] * FREE for i in range(3)]
    run.write("free.json", {"params_r": points})
    many = run("log_prob unconstrained_params=free.json")
    for i, point in enumerate(points):
        run.write("free.json", {"params_r": point})
        assert run("log_prob unconstrained_params=free.json")["lp__"][0] == many["lp__"][i]


def test_diagnose_compares_gradients(run: Runner) -> None:
    assert run.start("diagnose data file=data.json random seed=1").returncode == 0
    lines = comments(run.folder / "output.csv")
    table = lines.index(next(line for line in lines if line.startswith("param idx"))) + 1
    rows = [line.split() for line in lines[table : table + FREE]]
    assert len(rows) == FREE
    assert all(abs(float(row[4])) < 1e-5 for row in rows)


def test_profile(run: Runner) -> None:
    run("sample num_samples=10 num_warmup=10", "profile_file=p.csv")
    with (run.folder / "p.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"prior", "likelihood"}
    assert int(rows["prior"]["autodiff_calls"]) > 20


def test_info_and_help(run: Runner) -> None:
    info = run.start("info")
    assert info.returncode == 0
    assert "stan_version_major = 2" in info.stdout
    assert "STAN_THREADS=true" in info.stdout
    assert "max_depth=<int>" in run.start("sample help-all").stdout
    assert run.start("help").returncode == 0
    assert run.start("").returncode == 1
