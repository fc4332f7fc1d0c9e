"""One fit of a cluster image in every pixel by a peer, as a process of its own.

Called by ``cluster.py`` with the Python that has the peer. Only what the contender needs is
imported, since its start is part of the measured cost.

Both peers have the posterior that pyxstan has, in x0, y0, ln S0, ln rc, ln beta (of one or two
components) and B: lognormal priors are normal there, rc < rc2 and beta > 1/6 are kept. Both find
the mode by themselves, from the smoothed image, and start from the Gaussian that the curvature
there gives, which favours them: the walkers of emcee are drawn from it, NumPyro samples in
coordinates in which it is round, which leaves the step size to a short warm-up (``--adapt-metric``
adapts a dense metric too: it wants a longer one). One chain of NumPyro: each pays its own warm-up,
so that more give fewer effective draws. The logarithm of the model is taken only where there are
counts.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Floats = np.ndarray
Function = Callable[[Floats], Any]


@dataclass(frozen=True)
class Problem:
    """Good pixels as flat arrays, those with counts first, and the priors."""

    x: Floats
    y: Floats
    exposure: Floats
    counts: Floats
    shape: tuple[int, int]
    names: list[str]
    #: Mean and standard deviation of the normal prior of each coordinate; of B, 0 and its scale.
    mean: Floats
    sd: Floats

    @property
    def filled(self) -> int:
        """How many pixels have counts."""
        return int(np.count_nonzero(self.counts))

    @property
    def logarithmic(self) -> list[bool]:
        """Which coordinates are logarithms of a parameter."""
        return [name.startswith(("S0", "rc", "beta")) for name in self.names]

    @classmethod
    def read(cls, folder: Path, model: str) -> Problem:
        """Read the folder that ``cluster.py`` wrote."""
        names = ["x0", "y0", "S0", "rc", "beta"]
        names += ["S02", "rc2", "beta2"] if model == "double_beta" else []
        names += ["B"]
        priors = json.loads((folder / "priors.json").read_text())
        families = {name: priors[name]["family"] for name in names}
        expected = {"x0": "normal", "y0": "normal", "B": "half_normal"}
        assert all(families[n] == expected.get(n, "lognormal") for n in names), families
        arguments = [(0.0, *priors[n]["arguments"])[-2:] for n in names]
        with np.load(folder / "image.npz") as image:
            counts, exposure, good = image["counts"], image["exposure"], image["good"]
        y, x = np.nonzero(good)
        order = np.argsort(counts[y, x] == 0, kind="stable")
        y, x = y[order], x[order]
        return cls(
            x.astype(float), y.astype(float), exposure[y, x], counts[y, x].astype(float),
            counts.shape, names, *np.array(arguments).T,
        )  # fmt: skip

    def start(self) -> tuple[Floats, Floats]:
        """Rough values from the smoothed image, and the scale of each coordinate."""
        from scipy.ndimage import gaussian_filter

        image = np.zeros(self.shape)
        image[self.y.astype(int), self.x.astype(int)] = self.counts
        smooth = gaussian_filter(image, 3.0)
        y, x = np.unravel_index(int(np.argmax(smooth)), self.shape)
        at = np.argmin((self.x - x) ** 2 + (self.y - y) ** 2)
        S = np.log(smooth[y, x] / self.exposure[at])
        far = np.hypot(self.x - x, self.y - y) > 0.3 * min(self.shape)
        first = [S, np.log(min(self.shape) / 120), np.log(0.8)]
        second = [S - 2.3, np.log(min(self.shape) / 40), np.log(0.67)]
        components = [*first, *second] if "S02" in self.names else first
        background = 0.8 * self.counts[far].mean()
        scale = [0.1, 0.1, *(0.1 for _ in components), 0.01 * background]
        return np.array([x, y, *components, background]), np.array(scale)

    def values(self, theta: Floats) -> dict[str, Floats]:
        """Draws of the parameters, of coordinates (chain, draw, coordinate)."""
        return {
            name: np.exp(theta[..., i]) if logarithmic else theta[..., i]
            for i, (name, logarithmic) in enumerate(zip(self.names, self.logarithmic, strict=True))
        }


def curvature(gradient: Function, mode: Floats, step: Floats) -> Floats:
    """Matrix of second derivatives by differences of the gradient."""
    rows = [
        (gradient(mode + h) - gradient(mode - h)) / (2 * step[i])
        for i, h in enumerate(np.diag(step))
    ]
    return (np.array(rows) + np.array(rows).T) / 2


def curvature_of_values(function: Function, mode: Floats, step: Floats) -> Floats:
    """Matrix of second derivatives by differences of the function, with steps for unit change."""
    here = function(mode)
    size = len(mode)
    h = step.copy()
    for i in range(size):
        for _ in range(3):
            e = np.eye(size)[i] * h[i]
            change = (function(mode + e) + function(mode - e)) / 2 - here
            h[i] /= np.sqrt(np.clip(change / 0.05, 0.01, 100))
    matrix = np.empty((size, size))
    E = np.diag(h)
    for i in range(size):
        for j in range(i + 1):
            a, b = E[i], E[j]
            corners = (
                function(mode + a + b) - function(mode + a - b)
                - function(mode - a + b) + function(mode - a - b)
            )  # fmt: skip
            matrix[i, j] = matrix[j, i] = corners / (4 * h[i] * h[j])
    return matrix


def emcee_fit(problem: Problem, arguments: argparse.Namespace) -> dict[str, Any]:
    """Goodman and Weare's ensemble with a compiled likelihood."""
    import emcee
    import numba
    from scipy.optimize import minimize

    x, y, exposure, counts = problem.x, problem.y, problem.exposure, problem.counts
    filled, double = problem.filled, "S02" in problem.names

    @numba.njit(fastmath=True)
    def expected(px, py, e, x0, y0, S, r, a, S2, r2, a2, B):  # type: ignore[no-untyped-def]
        t = (px - x0) ** 2 + (py - y0) ** 2
        brightness = S * np.exp(a * np.log(1 + t * r))
        if double:
            brightness += S2 * np.exp(a2 * np.log(1 + t * r2))
        return brightness * e + B

    @numba.njit(fastmath=True)
    def log_likelihood(  # type: ignore[no-untyped-def]
        x, y, exposure, counts, x0, y0, S, rc, beta, S2, rc2, beta2, B
    ):
        r, a, r2, a2 = rc**-2, 0.5 - 3 * beta, rc2**-2, 0.5 - 3 * beta2
        total = 0.0
        for i in range(filled):
            N = expected(x[i], y[i], exposure[i], x0, y0, S, r, a, S2, r2, a2, B)
            total += counts[i] * np.log(N) - N
        for i in range(filled, x.size):
            total -= expected(x[i], y[i], exposure[i], x0, y0, S, r, a, S2, r2, a2, B)
        return total

    def log_posterior(theta: Floats) -> float:
        v = theta.copy()
        v[2:-1] = np.exp(np.clip(theta[2:-1], -100, 50))
        if v[-1] <= 0 or v[4] <= 1 / 6 or (double and (v[7] <= 1 / 6 or v[6] <= v[3])):
            return -np.inf
        second = v[5:8] if double else (0.0, 1.0, 1.0)
        value = log_likelihood(x, y, exposure, counts, *v[:5], *second, v[-1])
        value -= 0.5 * np.sum(((theta - problem.mean) / problem.sd) ** 2)
        return float(value) if np.isfinite(value) else -np.inf

    began = time.perf_counter()
    theta, scale = problem.start()

    def loss(z: Floats) -> float:
        return -max(log_posterior(theta + scale * z), -1e10)

    for _ in range(2):  # the second from a fresh matrix
        options = {"eps": 1e-5, "gtol": 0.03}
        found = minimize(loss, np.zeros(theta.size), method="BFGS", options=options)
        theta = theta + scale * found.x
    covariance = np.linalg.inv(
        curvature_of_values(loss, np.zeros(theta.size), np.full(theta.size, 0.1))
    )
    covariance *= np.outer(scale, scale)
    prepared = time.perf_counter() - began
    rng = np.random.default_rng(arguments.seed)
    walkers: list[Floats] = []
    while len(walkers) < arguments.walkers:
        one = rng.multivariate_normal(theta, covariance)
        if np.isfinite(log_posterior(one)):
            walkers.append(one)
    moves = None
    if arguments.moves == "de":
        moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.2)]
    sampler = emcee.EnsembleSampler(arguments.walkers, theta.size, log_posterior, moves=moves)
    sampler.random_state = np.random.RandomState(arguments.seed).get_state()
    state: Any = np.array(walkers)
    while sampler.iteration < 10 or time.monotonic() < arguments.until:
        state = sampler.run_mcmc(state, 5)
    steps = sampler.iteration
    kept = np.asarray(sampler.get_chain(discard=steps // 5))
    tau = emcee.autocorr.integrated_time(kept, tol=0)
    return {
        **problem.values(kept.transpose(1, 0, 2)),
        "autocorrelation_time": np.max(tau),
        "ess_of_autocorrelation": kept.shape[0] * kept.shape[1] / np.max(tau),
        "about": f"{arguments.walkers} walkers x {steps} steps, the first fifth left out; "
        f"{prepared:.0f} s to the start; acceptance {np.mean(sampler.acceptance_fraction):.2f}",
    }


def numpyro_fit(problem: Problem, arguments: argparse.Namespace) -> dict[str, Any]:
    """NumPyro's NUTS, 64 bits, dense metric, in coordinates round at the mode."""
    import numpyro
    import numpyro.distributions as dist

    numpyro.enable_x64()
    import jax
    import jax.numpy as jnp
    from numpyro.infer import NUTS
    from scipy.optimize import minimize

    double, filled = "S02" in problem.names, problem.filled
    px, py = jnp.asarray(problem.x), jnp.asarray(problem.y)
    exposure, counts = jnp.asarray(problem.exposure), jnp.asarray(problem.counts[:filled])
    mean, sd = jnp.asarray(problem.mean), jnp.asarray(problem.sd)

    def potential(theta: Any, px: Any, py: Any, exposure: Any, counts: Any) -> Any:
        t = (px - theta[0]) ** 2 + (py - theta[1]) ** 2
        brightness = 0.0
        allowed = theta[-1] > 0
        for i in (2, 5) if double else (2,):
            a = 0.5 - 3 * jnp.exp(theta[i + 2])
            log_term = jnp.log1p(t * jnp.exp(-2 * theta[i + 1]))
            brightness += jnp.exp(theta[i] + a * log_term)
            allowed &= a < 0
        if double:
            allowed &= theta[6] > theta[3]
        N = brightness * exposure + theta[-1]
        value = jnp.sum(counts * jnp.log(N[:filled])) - jnp.sum(N)
        value -= 0.5 * jnp.sum(((theta - mean) / sd) ** 2)
        return jnp.where(allowed, -value, jnp.inf)

    pixels = (px, py, exposure, counts)
    both = jax.jit(jax.value_and_grad(potential))
    began = time.perf_counter()
    theta, scale = problem.start()

    def loss(z: Floats) -> tuple[float, Floats]:
        value, gradient = both(theta + scale * z, *pixels)
        value, gradient = float(value), np.asarray(gradient)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return 1e10, np.zeros_like(z)
        return value, gradient * scale

    for _ in range(2):
        found = minimize(loss, np.zeros(theta.size), jac=True, method="BFGS")
        theta = theta + scale * found.x
    step = np.full(theta.size, 1e-3)
    second = curvature(lambda z: loss(z)[1], np.zeros(theta.size), step)
    factor = scale[:, None] * np.linalg.cholesky(np.linalg.inv(second))
    mode, transform = jnp.asarray(theta), jnp.asarray(factor)
    prepared = time.perf_counter() - began

    def model(*pixels: Any) -> None:
        flat = dist.ImproperUniform(dist.constraints.real_vector, (), (theta.size,))
        z = numpyro.sample("z", flat)
        numpyro.factor("log posterior", -potential(mode + transform @ z, *pixels))

    kernel = NUTS(
        model, dense_mass=True, adapt_mass_matrix=arguments.adapt_metric, target_accept_prob=0.9
    )
    advance = jax.jit(lambda state, pixels: kernel.sample(state, pixels, {}))
    chains, leapfrogs, divergent, warm = [], 0, 0, 0
    now = time.monotonic()
    for chain in range(arguments.chains):
        until = now + (arguments.until - now) * (chain + 1) / arguments.chains
        key, start = jax.random.split(jax.random.PRNGKey(1000 * arguments.seed + chain))
        z = {"z": 0.5 * jax.random.normal(start, (theta.size,))}
        state = kernel.init(key, arguments.warmup, z, pixels, {})
        draws: list[Floats] = []
        while time.monotonic() < until and len(draws) < arguments.draws:
            state = advance(state, pixels)
            if int(state.i) > arguments.warmup:
                draws.append(np.asarray(state.z["z"]))
                leapfrogs += int(state.num_steps)
                divergent += int(state.diverging)
            else:
                warm += int(state.num_steps)
        if len(draws) < 8:
            raise SystemExit("the time ran out in the warm-up")
        chains.append(np.array(draws))
    shortest = min(map(len, chains))
    kept = theta + np.array([draws[:shortest] for draws in chains]) @ factor.T
    number = sum(map(len, chains))
    return {
        **problem.values(kept),
        "about": f"{arguments.chains} x ({arguments.warmup} + {shortest}); "
        f"{prepared:.0f} s to the start; {leapfrogs / number:.0f} leapfrog steps a draw "
        f"({warm / arguments.chains / arguments.warmup:.0f} in the warm-up), "
        f"{divergent} divergent",
    }


def main() -> None:
    began = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=["emcee", "numpyro"])
    parser.add_argument("model", choices=["beta", "double_beta"])
    parser.add_argument("data", type=Path, help="folder with image.npz and priors.json")
    parser.add_argument("output", help="npz file of draws, (chain, draw)")
    parser.add_argument("--minutes", type=float, default=10.0, help="wall time to be used")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--walkers", type=int, default=32, help="emcee")
    parser.add_argument("--moves", choices=["stretch", "de"], default="stretch", help="emcee")
    parser.add_argument("--chains", type=int, default=1, help="NumPyro, one after another")
    parser.add_argument("--warmup", type=int, default=100, help="NumPyro")
    parser.add_argument("--adapt-metric", action="store_true", help="NumPyro, in the warm-up")
    parser.add_argument("--draws", type=int, default=100_000, help="NumPyro: stop here at most")
    arguments = parser.parse_args()
    arguments.until = began + 60 * arguments.minutes
    problem = Problem.read(arguments.data, arguments.model)
    fit = {"emcee": emcee_fit, "numpyro": numpyro_fit}[arguments.contender]
    np.savez(arguments.output, **fit(problem, arguments))


if __name__ == "__main__":
    main()
