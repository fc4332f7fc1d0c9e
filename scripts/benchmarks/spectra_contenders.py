"""One fit of the linked pair, as a process of its own; called by ``spectra.py``.

    spectra_contenders.py pyxstan FOLDER OUT.npz [--draws 1000] [--seed 1]
    spectra_contenders.py threeml FOLDER OUT.npz     (in an environment with threeML and ultranest)
    spectra_contenders.py emcee FOLDER OUT.npz       (in an environment with emcee)

FOLDER has what ``spectra.py`` wrote: src1, src2 (.pha, _background.pha), demo.rsp and model.yaml,
and folded.npz with the response for the NumPy likelihood. OUT.npz gets draws of K1, kT, K2, F and
the index, with weights or as chains.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np

#: Mean and standard deviation of the logarithm, of the index itself.
PRIORS = {
    "K1": (np.log(1e-7), 1.0),
    "kT": (np.log(300.0), 2.0),
    "K2": (np.log(1e-6), 1.0),
    "F": (np.log(100.0), 1.0),
    "index": (-1.0, 1.0),
}


def pyxstan_fit(folder: Path, draws: int, seed: int) -> dict[str, np.ndarray]:
    import pyxstan

    idata = pyxstan.fit(
        "linked_spectra", folder / "model.yaml", draws=draws, seed=seed, progress=False
    )
    names = ["src1.bb.K", "src1.bb.kT", "src2.bb.K", "src2.pl.F", "src2.pl.index"]
    return {
        "draws": idata.posterior["value"].sel(parameter=names).to_numpy(),
        "diverging": idata.sample_stats["diverging"].to_numpy().sum(),
    }


def threeml_fit(folder: Path, draws: int, seed: int) -> dict[str, np.ndarray]:
    os.chdir(folder)
    np.random.seed(seed)
    from astromodels import Blackbody, Gaussian, Log_normal, Model, PointSource, Powerlaw_flux
    from threeML import BayesianAnalysis, DataList, OGIPLike, silence_logs

    silence_logs()
    data = []
    for name in ("src1", "src2"):
        plugin = OGIPLike(
            name,
            observation=f"{name}.pha",
            background=f"{name}_background.pha",
            response="demo.rsp",
        )
        plugin.assign_to_source(name)
        data.append(plugin)
    first, second, power = Blackbody(), Blackbody(), Powerlaw_flux(a=10, b=500)
    one = PointSource("src1", 1, 6, spectral_shape=first)
    two = PointSource("src2", 5, 6, spectral_shape=second + power)
    model = Model(one, two)
    k1, kt = model.src1.spectrum.main.Blackbody.K, model.src1.spectrum.main.Blackbody.kT
    both = model.src2.spectrum.main.composite
    k2, kt2, f, index = both.K_1, both.kT_1, both.F_2, both.index_2
    both.a_2, both.b_2 = 10, 500
    f.bounds, index.bounds = (1e-30, 1e9), (-20, 20)  # no narrower than their priors
    for parameter, key in ((k1, "K1"), (kt, "kT"), (k2, "K2"), (f, "F")):
        parameter.prior = Log_normal(mu=PRIORS[key][0], sigma=PRIORS[key][1])
    index.prior = Gaussian(mu=PRIORS["index"][0], sigma=PRIORS["index"][1])
    kt2.value = kt.value
    model.link(kt2, kt)
    analysis = BayesianAnalysis(model, DataList(*data))
    analysis.set_sampler("ultranest")
    analysis.sampler.setup(frac_remain=0.5)
    analysis.sample(quiet=True)
    result = analysis.sampler._sampler.results
    order = list(analysis.sampler._sampler.paramnames)
    samples = np.array(result["weighted_samples"]["points"])
    weights = np.array(result["weighted_samples"]["weights"])
    found = {name.split(".")[0] + "." + name.split(".")[-1]: k for k, name in enumerate(order)}
    columns = [found[n] for n in ("src1.K", "src1.kT", "src2.K_1", "src2.F_2", "src2.index_2")]
    return {"draws": samples[:, columns], "weights": weights, "calls": np.array(result["ncall"])}


def emcee_fit(folder: Path, draws: int, seed: int) -> dict[str, np.ndarray]:
    """emcee with a likelihood in NumPy as tight as it gets: both spectra, W statistic."""
    import emcee

    with np.load(folder / "folded.npz") as file:
        low, high, fold, counts, back = (file[n] for n in ("low", "high", "fold", "on", "off"))
    edges = np.append(low, high[-1])
    points = np.concatenate([edges, 0.5 * (low + high)])
    bins, sixth = len(low), (high - low) / 6
    log_points, square = np.log(points), points**2
    mean, sd = np.array(list(PRIORS.values())).T

    def simpson(f: np.ndarray) -> np.ndarray:
        return sixth * (f[:bins] + f[1 : bins + 1] + 4 * f[bins + 1 :])

    def log_posterior(theta: np.ndarray) -> float:
        k1, kt, k2, f = np.exp(theta[:4])
        index = theta[4]
        if not 0.1 < kt < 1e6 or not -9 < index < 4:
            return -np.inf
        body = simpson(square / np.expm1(np.minimum(points / kt, 700)))
        n = index + 1
        law = f * n / (500.0**n - 10.0**n) * simpson(np.exp(index * log_points))
        m = np.array([k1 * body, k2 * body + law]) @ fold.T
        # the background at its best, for exposures that are equal
        c = 2 * m - counts - back
        b = 0.25 * (-c + np.sqrt(c * c + 8 * back * m))
        on = b + m
        like = (counts * np.log(on) - on + back * np.log(np.maximum(b, 1e-300)) - b).sum()
        prior = -0.5 * (((theta - mean) / sd) ** 2).sum()
        return float(like + prior) if np.isfinite(like) else -np.inf

    rng = np.random.default_rng(seed)
    start = np.log([5e-8, 500.0, 1e-7, 200.0])
    walkers = 32
    at = np.append(start, -1.5) + 0.01 * rng.standard_normal((walkers, 5))
    sampler = emcee.EnsembleSampler(walkers, 5, log_posterior)
    sampler.run_mcmc(at, draws)
    chain = sampler.get_chain(discard=draws // 5).transpose(1, 0, 2)
    chain = np.concatenate([np.exp(chain[..., :4]), chain[..., 4:]], axis=2)
    tau = sampler.get_autocorr_time(discard=draws // 5, tol=0)
    return {"draws": chain, "ess": np.array(walkers * (draws - draws // 5) / tau.max())}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("who", choices=("pyxstan", "threeml", "emcee"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    fit = {"pyxstan": pyxstan_fit, "threeml": threeml_fit, "emcee": emcee_fit}[arguments.who]
    output = arguments.output.resolve()
    np.savez(output, **fit(arguments.folder.resolve(), arguments.draws, arguments.seed))


if __name__ == "__main__":
    main()
