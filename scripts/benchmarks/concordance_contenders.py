"""One fit of a concordance by one contender, as a process of its own.

Called by ``concordance.py`` and ``concordance_growth.py`` with the Python that has the contender;
draws of B, G and sigma, (chain, draw, ...), go to an ``.npz`` file. Only what the contender needs
is imported, since its start is part of the measured cost.

NumPyro's models are the obvious ones: B, G, sigma^2 (and xi) as they stand in the equations. For
the log-t model that is the centred form; xi as a transformed normal score was tried and gave half
the effective draws. A dense metric over all 1,413 + 13 unknowns of the log-t model took more than
8 minutes for one chain of 500 iterations, so ``block`` is dense over (B, G, sigma^2) and diagonal
over the xi.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def pyxstan_fit(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """``pyxstan.fit`` from CSV files."""
    import pyxstan
    from pyxstan.concordance import ConcordanceData

    folder = Path(arguments.data)
    data = ConcordanceData.from_table(folder / "measurements.csv", folder / "instruments.csv")
    idata = pyxstan.fit(
        arguments.model,
        data,
        chains=arguments.chains,
        warmup=arguments.warmup,
        draws=arguments.draws,
        seed=arguments.seed,
        priors={"sigma2": "inv_gamma(3, 0.005)"},
        progress=False,
        **{"variances": "unknown", **json.loads(arguments.options)},
    )
    # Sources come in the order of their first measurement: back to the order of the simulation.
    posterior = idata.posterior.sortby(["instrument", "source"])
    return {name: posterior[name].values for name in ("B", "G", "sigma")}


def gibbs_fit(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """Block Gibbs sampler of tests/references, all chains at once."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
    from references import gibbs
    from references.gaussian_posterior import prior_covariance

    data = np.load(Path(arguments.data) / "measurements.npz")
    result = gibbs.sample(
        data["y"],
        data["b"],
        prior_covariance(data["tau"], len(data["b"])),
        gibbs.InverseGammaVariance(3.0, 0.005),
        gibbs.ChiSquaredWeights(3.0) if arguments.model == "concordance_t" else None,
        chains=arguments.chains,
        draws=arguments.draws,
        warmup=min(arguments.warmup, 200),
        seed=arguments.seed,
    )
    assert result.scale is not None
    return {"B": result.B, "G": result.G, "sigma": result.scale}


def numpyro_fit(arguments: argparse.Namespace) -> dict[str, np.ndarray]:
    """NumPyro's NUTS, 64 bits; started at the sources' mean fluxes, which favours it."""
    import numpyro

    if arguments.chain_method == "parallel":
        numpyro.set_host_device_count(arguments.chains)
    numpyro.enable_x64()
    import jax
    from numpyro.infer import MCMC, NUTS, init_to_value

    data = np.load(Path(arguments.data) / "measurements.npz")
    y, b, tau = data["y"], data["b"], data["tau"]
    i, j = np.nonzero(~np.isnan(y))
    model = _numpyro_model(arguments.model, i, j, y.shape[1])
    start = {
        "B": b,
        "G": np.nanmean(y, axis=0),
        "sigma2": np.full(len(b), 0.0025),
        "xi": np.full(i.size, 3.0),
    }
    dense: Any = {
        "full": True,
        "diagonal": False,
        "block": [("B", "G", "sigma2")],
    }[arguments.metric]
    sampler = MCMC(
        NUTS(model, dense_mass=dense, init_strategy=init_to_value(values=start)),
        num_warmup=arguments.warmup,
        num_samples=arguments.draws,
        num_chains=arguments.chains,
        chain_method=arguments.chain_method,
        progress_bar=False,
    )
    sampler.run(jax.random.PRNGKey(arguments.seed), y[i, j], b, tau)
    draws = sampler.get_samples(group_by_chain=True)
    return {
        "B": np.asarray(draws["B"]),
        "G": np.asarray(draws["G"]),
        "sigma": np.sqrt(np.asarray(draws["sigma2"])),
    }


def _numpyro_model(name: str, i: np.ndarray, j: np.ndarray, sources: int) -> Any:
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist

    def model(y: Any, b: Any, tau: Any) -> None:
        B = numpyro.sample("B", dist.Normal(b, tau).to_event(1))
        G = numpyro.sample("G", dist.ImproperUniform(dist.constraints.real, (), (sources,)))
        prior = dist.InverseGamma(3.0, 0.005).expand([len(b)]).to_event(1)
        variance = numpyro.sample("sigma2", prior)[i]
        if name == "concordance_t":
            xi = numpyro.sample("xi", dist.Chi2(3.0).expand([i.size]).to_event(1))
            variance = variance / xi
        mean = B[i] + G[j] - variance / 2.0
        numpyro.sample("y", dist.Normal(mean, jnp.sqrt(variance)), obs=y)

    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=["pyxstan", "gibbs", "numpyro"])
    parser.add_argument("model", choices=["concordance", "concordance_t"])
    parser.add_argument("data", help="folder with measurements.npz and the CSV files")
    parser.add_argument("output", help="npz file of draws")
    parser.add_argument("--chains", type=int, default=4)
    parser.add_argument("--warmup", type=int, default=1000)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--metric", choices=["full", "diagonal", "block"], default="full")
    parser.add_argument(
        "--chain-method", choices=["sequential", "parallel", "vectorized"], default="sequential"
    )
    parser.add_argument("--options", default="{}", help="JSON: further options of pyxstan.fit")
    arguments = parser.parse_args()
    fits = {"pyxstan": pyxstan_fit, "gibbs": gibbs_fit, "numpyro": numpyro_fit}
    np.savez(arguments.output, **fits[arguments.contender](arguments))


if __name__ == "__main__":
    main()
