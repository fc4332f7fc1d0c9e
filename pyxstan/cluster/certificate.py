"""The proof, on every fit, that nothing was lost by merging pixels.

On draws spread over the chains, the log likelihood of all pixels is compared with that of the cells
which the fit used. A constant difference changes no posterior; what counts is how far the
difference varies, and whether importance weights that would correct for it are well behaved.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyxstan.cluster.cells import Floats
from pyxstan.cluster.pilot import Pilot
from pyxstan.inference_data import pareto_k

#: Bars: the largest difference of log-likelihood differences, and Pareto's k.
LARGEST_ERROR = 0.02
LARGEST_K = 0.3
#: Draws looked at first, and at most: k of few draws is uncertain.
_DRAWS, _MOST_DRAWS = 200, 1600
#: Fewer draws, as the one of a mode, are no posterior: a Gaussian around them is.
_FEWEST_DRAWS = 25
#: Importance weights within this of one another correct for nothing, whatever their tail.
_SMALLEST_ERROR = 0.1 * LARGEST_ERROR
#: Part of the draws that is looked at where a second component is superfluous: others have it as a
#: peak far narrower than a pixel, where even the sum over nodes is rough.
_BULK = 0.98


@dataclass(frozen=True)
class Certificate:
    """How closely the cells follow the pixels."""

    #: Largest less smallest difference of the two log likelihoods over the draws.
    error: float
    #: Shape of the largest importance weights (Vehtari et al. 2024, JMLR 25, 72).
    pareto_k: float
    draws: int
    #: Of what the draws are.
    of: str = "draws"

    @property
    def holds(self) -> bool:
        """Whether both bars are met."""
        return self.error <= LARGEST_ERROR and self.pareto_k < LARGEST_K

    def __str__(self) -> str:
        return (
            f"log likelihood within {self.error:.2g} of all pixels' over {self.draws} {self.of}, "
            f"Pareto k {self.pareto_k:.2f}"
        )


def certify(guess: Pilot, values: Floats) -> Certificate:
    """Compare cells with pixels on draws of the parameters, shape (chains, draws, parameters).

    Of fewer than 25 draws the mean is taken, and a Gaussian as wide as the posterior around it.
    """
    flat, of = values.reshape(-1, values.shape[-1]), "draws"
    if len(flat) < _FEWEST_DRAWS:
        flat, of = _around(guess, flat), "points around the mode"
    wanted = _DRAWS
    errors: dict[int, float] = {}
    bulk = 1.0 if guess.second is None else _BULK
    if bulk < 1:
        of = f"{of} (their central {100 * bulk:.0f}%)"
    while True:
        step = max(1, len(flat) // wanted)
        for i in range(0, len(flat), step):
            if i not in errors:
                u = guess.coordinates.coefficients(flat[i])
                errors[i] = guess.exact.log_likelihood(u) - guess.cells.log_likelihood(u)
        error = np.array(list(errors.values()))
        error = np.clip(error, *np.quantile(error, [(1 - bulk) / 2, (1 + bulk) / 2]))
        k = pareto_k(error)
        spread = float(np.ptp(error))
        if spread < _SMALLEST_ERROR:
            k = min(k, 0.0)
        done = k < LARGEST_K or spread > LARGEST_ERROR
        if done or step == 1 or len(errors) >= _MOST_DRAWS:
            return Certificate(spread, k, len(errors), of)
        wanted *= 4


def _around(guess: Pilot, values: Floats) -> Floats:
    """Draws of the guess's Gaussian, moved to the mean of a few draws, that mean the first."""
    theta = np.mean([guess.coordinates.theta(one) for one in values], axis=0)
    z = np.random.default_rng(1).standard_normal((_DRAWS, len(theta)))
    z[0] = 0
    return np.array([guess.coordinates.values(one)[0] for one in theta + z @ guess.scale.T])
