"""The verdict on a fit: each thing that may be wrong is seen, named, and nothing else is."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import xarray as xr

from pyxstan import summary, verdict
from pyxstan.inference_data import assemble

Floats = npt.NDArray[np.float64]


def noise(chains: int = 4, draws: int = 1000, seed: int = 1) -> Floats:
    return np.random.default_rng(seed).standard_normal((chains, draws))


def fit(x: Floats, method: str = "nuts", options: Any = None, **statistics: Any) -> Any:
    """A fit of one quantity with these draws."""
    chains, draws = x.shape
    where = {"chain": np.arange(chains), "draw": np.arange(draws)}
    found = {
        "diverging": np.zeros(x.shape, bool),
        "tree_depth": np.full(x.shape, 3),
        "energy": noise(chains, draws, 2),
        **statistics,
    }
    groups = {
        "posterior": xr.Dataset({"x": (("chain", "draw"), x)}, coords=where),
        "sample_stats": xr.Dataset(
            {name: (("chain", "draw"), values) for name, values in found.items()}, coords=where
        ),
    }
    attrs = {"model": "one quantity", "method": method, "options": json.dumps(options or {})}
    return assemble(groups, attrs)


def marked(count: int, value: Any, otherwise: Any) -> npt.NDArray[Any]:
    """An array over chains and draws with some entries that differ."""
    found = np.full((4, 1000), otherwise)
    found[1, :count] = value
    return found


def test_good() -> None:
    for method in ("nuts", "quadrature"):
        found = verdict(fit(noise(), method))
        assert found.good
        assert found.converged
        assert found.problems == []
        assert found.line.startswith("converged: R-hat <= 1.00")


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (fit(noise() + np.array([[0.0], [0.0], [0.0], [0.4]])), r"R-hat 1\.\d+ of x"),
        (fit(np.where(np.arange(4)[:, None] == 2, np.nan, noise())), "R-hat nan of x"),
        (fit(np.repeat(noise(4, 50), 20, axis=1)), r"bulk ESS \d+ of x \(take more draws\)"),
        (fit(noise(4, 60)), r"tail ESS \d+ of x \(take more draws\)"),
        (
            fit(noise(), diverging=marked(3, True, False)),
            r"3 divergences in 4000 draws \(raise adapt_delta",
        ),
        (fit(noise(), tree_depth=marked(7, 10, 4)), "7 draws at the largest tree depth"),
        (
            fit(noise(), options={"max_treedepth": 5}, tree_depth=marked(3, 5, 4)),
            "3 draws at the largest tree depth",
        ),
        (fit(noise(), energy=noise().cumsum(axis=1)), r"E-BFMI 0\.0\d of chain 0"),
        (fit(noise(), energy=np.zeros((4, 1000))), "E-BFMI nan of chain 0"),
        (fit(noise(1, 4000)), "one chain alone"),
        (fit(noise(4, 3)), "too few draws"),
    ],
)
def test_what_is_wrong_is_said(bad: Any, complaint: str) -> None:
    found = verdict(bad)
    assert (found.good, found.converged) == (False, False)
    assert found.line.startswith("NOT CONVERGED: ")
    assert any(re.search(complaint, problem) for problem in found.problems)
    assert summary(bad).attrs["verdict"] == found.line


def test_a_divergence_among_thousands_is_said_and_no_reason_to_distrust_the_rest() -> None:
    found = verdict(fit(noise(), diverging=marked(1, True, False)))
    assert found.good
    assert found.line.endswith(", 1 divergence in 4000 draws")


def test_a_draw_at_the_largest_depth_is_said_and_no_reason_to_distrust_the_rest() -> None:
    found = verdict(fit(noise(), tree_depth=marked(1, 10, 4)))
    assert found.good
    assert found.line.endswith(", no divergences, 1 draw at the largest tree depth")


def test_numbers_beyond_a_bar_are_shown_beyond_it() -> None:
    found = verdict(fit(noise() + np.array([[0.0], [0.0], [0.0], [0.33]])))
    assert not found.converged
    shown = re.search(r"R-hat (1\.\d+) of x", found.line)
    assert shown
    assert 1.01 < float(shown[1]) < 1.0105
    assert found.rows == ["x"]
    short = verdict(fit(noise(4, 60)))
    ess = re.search(r"tail ESS (\d+)", short.line)
    assert ess
    assert int(ess[1]) < 400


@pytest.mark.parametrize("method", ["nuts", "quadrature", "exact", "laplace"])
def test_reservations_are_in_the_verdict_of_every_method(method: str) -> None:
    doubtful = fit(noise(), method)
    doubtful.attrs["complaints"] = json.dumps(["two modes"])
    found = verdict(doubtful)
    assert not found.good
    assert found.converged is not False
    assert found.line.endswith("; BUT two modes")


def test_what_is_said_of_nuts_is_not_said_of_quadrature() -> None:
    diverging = marked(3, True, False)
    assert verdict(fit(noise(), "quadrature", diverging=diverging)).good
    assert verdict(fit(noise(1, 4000), "quadrature")).good


def test_rhat_of_one_chain_is_that_of_its_halves() -> None:
    drifting = noise(1, 4000) + np.linspace(0, 2, 4000)
    assert "R-hat 1." in verdict(fit(drifting, "quadrature")).line
    halves = np.stack([drifting[0, :2000], drifting[0, 2000:]])
    alone, apart = (summary(fit(x))["r_hat"]["x"] for x in (drifting, halves))
    assert alone == apart > 1.1


def test_entries_are_named_by_as_many_digits_as_tell_them_apart() -> None:
    where = {"chain": np.arange(2), "draw": np.arange(9)}

    def labels(places: list[float]) -> list[str]:
        x = np.random.default_rng(1).standard_normal((2, 9, 2))
        posterior = xr.Dataset(
            {"x": (("chain", "draw", "bin"), x)}, coords={**where, "bin": np.array(places)}
        )
        return list(summary(assemble({"posterior": posterior}, {"method": "map"})).index)

    assert labels([0.1 + 0.2, 3.4000000000000004]) == ["x[0.3]", "x[3.4]"]
    assert labels([1234567.1, 1234567.3]) == ["x[1234567.1]", "x[1234567.3]"]
