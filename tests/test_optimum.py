"""Minima of smooth functions: right places, with few evaluations, and what is a width there."""

from __future__ import annotations

import numpy as np
import pytest

from pyxstan.cluster import likelihoods
from pyxstan.optimum import Floats, minimum, optimum

SIZE = 12


def hessian(seed: int) -> Floats:
    """Of roughly unit scales, correlated."""
    A = np.random.default_rng(seed).standard_normal((SIZE, SIZE))
    return np.asarray(np.eye(SIZE) + 0.3 * (A + A.T) @ (A + A.T) / SIZE)


class Counted:
    """A function that counts the points that it is evaluated at."""

    def __init__(self, center: Floats, hessian: Floats, banana: float = 0.0) -> None:
        self.center, self.hessian, self.banana = center, hessian, banana
        self.points = 0

    def __call__(self, z: Floats) -> Floats:
        self.points += len(z)
        away = z - self.center
        away[:, 1] -= self.banana * away[:, 0] ** 2
        return np.asarray(0.5 * np.einsum("pi,ij,pj->p", away, self.hessian, away))


@pytest.mark.parametrize("banana", [0.0, 0.3])
@pytest.mark.parametrize("seed", [1, 2])
def test_minimum_in_few_evaluations(seed: int, banana: float) -> None:
    center = np.random.default_rng(seed).uniform(-2, 2, SIZE)
    function = Counted(center, hessian(seed), banana)
    found = minimum(function, np.zeros(SIZE))
    assert function(found[None])[0] < 2e-4
    # Newton's method with its Hessian made anew takes 2 n^2 + 1 = 289 a step
    assert function.points < 1000


def test_optimum_of_a_poor_scale() -> None:
    function = Counted(np.linspace(-10, 10, SIZE), hessian(3))
    center, scale = optimum(function, np.zeros(SIZE), 0.2 * np.eye(SIZE))
    assert function(center[None])[0] < 1e-3
    np.testing.assert_allclose(
        scale @ scale.T, np.linalg.inv(function.hessian), rtol=1e-5, atol=1e-6
    )


def test_products_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(4)
    left, right = rng.standard_normal((6, 7)), rng.standard_normal((6, 101))
    monkeypatch.setattr(likelihoods, "_ALONE", 500)
    np.testing.assert_allclose(likelihoods._product(left, right), left.T @ right, rtol=1e-12)
