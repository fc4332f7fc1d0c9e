r"""Simulation-based calibration of any model of the zoo that can simulate from its prior.

    python scripts/calibration.py concordance --set variances=unknown \
        --prior 'sigma2=inv_gamma(3, 0.005)' --simulate-set instruments=4 \
        --simulate-set sources=6 --simulations 100 --out docs/calibration

Each simulation draws a truth from the prior and data from the truth, fits the data, and ranks the
truth among thinned posterior draws (`pyxstan.calibration`). Written: a figure and a JSON verdict;
exit code 1 when the ranks are not uniform.

What makes it valid
-------------------
*Priors that the data set* (the default of sigma^2 in the concordance is set from the data's
spread) are no priors: state them with --prior, and they serve the simulation and the fit alike.

*Flat priors.* The log fluxes G of the concordance have a flat prior, from which no truth can be
drawn. Their ranks are exactly uniform all the same, whatever the true G. For y_ij = G_j + u_ij,
where the law of u does not know G, and under a flat prior the posterior of G shifts along with
the data: its draws are G_true + d(u). The rank of G_true is that of 0 among the d(u), a function
of u alone: no choice of G_true changes it, be it fixed, random, or even tied to B and the noise.
Now let the truth be uniform on an interval of length R, and the prior of the fit that very one:
the ranks are uniform by Talts et al.'s argument. The fit with a flat prior differs only when the
posterior reaches an end of the interval, and the probability of that vanishes as R grows; since
the ranks do not depend on the truth, they are uniform at every single value of it. B, sigma and
nu, whose posteriors depend on differences within a source alone, have exactly uniform ranks too.

This needs every source to be seen by someone (else the posterior is improper), and given errors
and a pattern of missing data that do not depend on the fluxes: errors that follow from simulated
counts, or a detection limit, break it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from pyxstan.calibration import Calibration, assess, rank, thinned


def one_simulation(task: dict[str, Any]) -> dict[str, Any]:
    """Simulate, fit and rank; return ranks per variable and the worst diagnostics."""
    import arviz as az

    import pyxstan

    options = {**task["options"], **({"priors": task["priors"]} if task["priors"] else {})}
    data, truth = pyxstan.simulate(
        task["model"], None, seed=task["seed"], from_prior=True, **{**options, **task["simulate"]}
    )
    idata = pyxstan.fit(
        task["model"], data, seed=task["seed"], progress=False, **options, **task["fit"]
    )
    posterior = idata.posterior
    names = [name for name in (task["parameters"] or truth) if name in posterior]
    rng = np.random.default_rng([task["seed"], 1])
    ranks, ess = {}, []
    for name in names:
        draws = posterior[name].transpose("chain", "draw", ...).values
        ranks[name] = rank(np.asarray(truth[name]), thinned(draws, task["max_rank"]), rng)
        ess.append(float(az.ess(az.convert_to_dataset({name: draws}))[name].min()))
    stats = idata.sample_stats if "sample_stats" in idata else {}
    divergences = int(stats["diverging"].sum()) if "diverging" in stats else 0
    return {"ranks": ranks, "ess": min(ess, default=float("nan")), "divergences": divergences}


def draw_figure(result: Calibration, variables: Sequence[str], title: str, path: Path) -> None:
    """ECDF of the ranks less the uniform one, with the simultaneous band; a panel a variable."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(
        1,
        len(variables),
        figsize=(max(3.6 * len(variables), 5.5), 3.2),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    z = result.band.points
    for axis, variable in zip(axes[0], variables, strict=True):
        axis.fill_between(
            z,
            result.band.lower - z,
            result.band.upper - z,
            step="mid",
            color="0.85",
            label=f"{result.level:.0%} simultaneous band",
        )
        for parameter in result.parameters:
            if parameter.name.partition("[")[0] == variable:
                colour, strength = ("tab:blue", 0.5) if parameter.inside else ("tab:red", 1.0)
                axis.plot(z, parameter.ecdf - z, color=colour, alpha=strength, linewidth=0.9)
        axis.axhline(0.0, color="0.4", linewidth=0.6)
        axis.set(title=variable, xlabel="rank / (number of draws + 1)")
    axes[0, 0].set_ylabel("ECDF - uniform")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", fontsize="small", frameon=False)
    figure.suptitle(title, fontsize="medium", wrap=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def option(text: str) -> tuple[str, Any]:
    """Split ``name=value``; the value is JSON where it reads as such, else a string."""
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r}: expected name=value")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def prior(text: str) -> tuple[str, str]:
    """Split ``name=distribution(...)``."""
    name, sign, value = text.partition("=")
    if not sign:
        raise argparse.ArgumentTypeError(f"{text!r}: expected name=distribution(...)")
    return name, value


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model")
    for flag, kind, meaning in (
        ("--set", option, "option of the simulation and the fit, name=value"),
        ("--simulate-set", option, "option of the simulation alone"),
        ("--fit-set", option, "option of the fit alone"),
        ("--prior", prior, "prior of both, 'name=normal(0, 5)'"),
    ):
        parser.add_argument(flag, type=kind, action="append", default=[], help=meaning)
    parser.add_argument("--simulations", type=int, default=100)
    parser.add_argument("--draws", type=int, default=99, help="thinned draws a rank is among")
    parser.add_argument("--parameters", nargs="+", help="default: all that the truth names")
    parser.add_argument("--level", type=float, default=0.95)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--label", help="name of the output files; default: from the options")
    parser.add_argument("--out", type=Path, default=Path("docs/calibration"))
    arguments = parser.parse_args(words)

    common = dict(arguments.set)
    tasks = [
        {
            "model": arguments.model,
            "options": common,
            "simulate": dict(arguments.simulate_set),
            "fit": dict(arguments.fit_set),
            "priors": dict(arguments.prior),
            "parameters": arguments.parameters,
            "max_rank": arguments.draws,
            "seed": arguments.seed + number,
        }
        for number in range(arguments.simulations)
    ]
    outcomes = []
    with ProcessPoolExecutor(arguments.jobs) as pool:
        for number, outcome in enumerate(pool.map(one_simulation, tasks), start=1):
            outcomes.append(outcome)
            if number % 10 == 0:
                print(f"{number} of {len(tasks)} simulations", flush=True)

    variables = list(outcomes[0]["ranks"])
    ranks = {name: np.array([o["ranks"][name] for o in outcomes]) for name in variables}
    result = assess(ranks, arguments.draws, arguments.level)
    smallest_ess = min(o["ess"] for o in outcomes)
    label = arguments.label or "-".join([arguments.model, *(f"{k}-{v}" for k, v in common.items())])
    report = {
        "model": arguments.model,
        "options": common,
        "simulation": dict(arguments.simulate_set),
        "priors": dict(arguments.prior),
        "seed": arguments.seed,
        **result.to_dict(),
        "smallest_ess": smallest_ess,
        "divergences": sum(o["divergences"] for o in outcomes),
        "ranks": {name: values.tolist() for name, values in ranks.items()},
    }
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / f"{label}.json").write_text(json.dumps(report) + "\n")
    verdict = "uniform" if result.passed else "NOT uniform"
    title = f"{label}: ranks {verdict}, p = {result.p_value:.2g}"
    draw_figure(result, variables, title, arguments.out / f"{label}.png")
    print(f"{title}; {len(result.outside)} of {len(result.parameters)} outside their own band")
    if smallest_ess < arguments.draws:
        print(
            f"warning: the ranks need {arguments.draws} independent draws, ESS {smallest_ess:.0f}"
        )
    return 0 if result.passed else 1


if __name__ == "__main__":
    sys.exit(main())
