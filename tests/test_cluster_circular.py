"""Angles and right ascensions across the end of their circle, the certificate of few draws."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from astropy.wcs import WCS

import pyxstan
from pyxstan import inference_data
from pyxstan.cluster import ClusterImage, certificate
from pyxstan.cluster.brightness import unwrapped
from pyxstan.inference_data import group

FloatArray = npt.NDArray[np.float64]
SHORT = {"chains": 2, "warmup": 200, "draws": 250, "seed": 7, "progress": False}


def sky(right_ascension: float) -> WCS:
    """Pixels of 2 arcsec about a place on the equator, north up."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crpix = [45.5, 45.5]
    wcs.wcs.crval = [right_ascension, 5.0]
    wcs.wcs.cdelt = [-2 / 3600, 2 / 3600]
    return wcs


@cache
def elongated(ratio: float, angle: float, right_ascension: float = 120.0) -> ClusterImage:
    """A cluster with isophotes of an axis ratio whose long axis is at an angle from the x axis."""
    y, x = np.mgrid[:90, :90] - 44.6
    turn = np.radians(angle)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    t = along**2 * ratio + across**2 / ratio
    N = 1e7 * 1e-6 * (1 + t / 25) ** -1.4 + 0.05
    counts = np.random.default_rng(3).poisson(N)
    return ClusterImage.from_arrays(counts, np.full((90, 90), 1e7), wcs=sky(right_ascension))


@cache
def fit_of_axes(angle: float) -> Any:
    """A fit of such a cluster, across right ascension zero."""
    return pyxstan.fit("beta", elongated(0.7, angle, 0.0), elliptical=True, **SHORT)


def of_axes(angle: FloatArray) -> tuple[float, float]:
    """Circular mean and standard deviation of axes (degrees), from first principles."""
    double = np.exp(2j * np.radians(angle)).mean()
    return float(np.degrees(np.angle(double)) / 2), float(
        np.degrees(np.sqrt(-2 * np.log(abs(double)))) / 2
    )


@pytest.mark.parametrize(("angle", "shown"), [(0.0, 0.0), (-90.0, 90.0)])
def test_axes_across_the_end_of_their_circle(angle: float, shown: float) -> None:
    """Linear mean, standard deviation and R-hat of what is stored are the circular ones."""
    idata = fit_of_axes(angle)
    table = pyxstan.summary(idata)
    # north is up and east is left
    for name, near in (("angle", shown), ("position_angle", (shown + 90) % 180)):
        draws = group(idata, "posterior")[name].to_numpy()
        mean, sd = of_axes(draws)
        row = table.loc[name]
        assert (row["mean"] - mean + 90) % 180 - 90 == pytest.approx(0, abs=0.05), name
        assert (row["mean"] - near + 90) % 180 - 90 == pytest.approx(0, abs=4 * sd), name
        assert row["sd"] == pytest.approx(sd, rel=0.05), name
        assert sd < 6, name
        assert row["r_hat"] < 1.05, name
        assert row["97.5%"] - row["2.5%"] < 5 * sd, name
        assert -45 < row["mean"] < 180, name
        inference_data.arviz()  # ArviZ's own summary is of the same draws
    assert abs(table.loc["angle", "mean"] - shown) < 10


def test_round_isophotes_have_no_angle_and_say_so() -> None:
    idata = pyxstan.fit("beta", elongated(1.0, 0.0), elliptical=True, **SHORT)
    notes = json.loads(inference_data.attributes(idata)["notes"])
    angle = group(idata, "posterior")["angle"]
    assert any(note.startswith("the angle of the long axis is not determined") for note in notes)
    assert float(angle.std()) > 20
    assert float(angle.max() - angle.min()) <= 180


def test_right_ascension_across_zero() -> None:
    idata = fit_of_axes(0.0)
    row = pyxstan.summary(idata).loc["ra"]
    x0 = group(idata, "posterior")["x0"]
    wanted = -(float(x0.mean()) - 44.5) * 2 / 3600 / np.cos(np.radians(5.0))
    assert row["mean"] % 360 == pytest.approx(wanted % 360, abs=1e-7)
    assert row["sd"] == pytest.approx(float(x0.std()) * 2 / 3600, rel=0.01)


def test_unwrapped() -> None:
    rng = np.random.default_rng(1)
    for mean, period in ((179.0, 180), (1.0, 180), (90.0, 180), (359.9, 360), (0.2, 360)):
        truth = rng.normal(mean, 3.0, (2, 500))
        found, length = unwrapped(truth % period, period)
        assert (truth % period).std() > 30 or mean == 90
        assert found.std() == pytest.approx(truth.std(), rel=1e-9)
        assert found.mean() % period == pytest.approx(truth.mean() % period, abs=1e-2)
        assert length == pytest.approx(np.exp(-0.5 * (6 * np.pi / period) ** 2), abs=0.01)
    assert unwrapped(np.linspace(0, 180, 100, endpoint=False), 180)[1] < 1e-9


# The certificate of few draws, and of weights that are all alike


@pytest.mark.parametrize("method", ["map", "nuts"])
def test_certificate_has_something_to_compare(method: str) -> None:
    idata = pyxstan.fit("beta", elongated(1.0, 0.0), **{**SHORT, "draws": 1}, method=method)
    attrs = inference_data.attributes(idata)
    (said,) = [note for note in json.loads(attrs["notes"]) if note.startswith("certificate")]
    if method == "map":
        assert "points around the mode" in said
    assert attrs["log_likelihood_error_draws"] >= 100
    assert 0 < attrs["log_likelihood_error"] <= certificate.LARGEST_ERROR


def test_a_mode_in_cells_that_are_too_coarse_is_told() -> None:
    model = pyxstan.registry.get("beta")
    guess = model.family.prepare("beta", elongated(1.0, 0.0), model.resolve_options({}), {}).guess
    rough = dataclasses.replace(
        guess.cells, mean=guess.cells.mean * np.array([1.3, 1, 1, 1, 1])[:, None]
    )
    one = guess.mode[None, None]
    assert certificate.certify(guess, one).holds
    assert not certificate.certify(dataclasses.replace(guess, cells=rough), one).holds


def test_weights_that_are_all_alike_need_no_tail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Pareto k of heavy tails, on weights within 1e-4 of one another."""
    model = pyxstan.registry.get("beta")
    guess: Any = model.family.prepare(
        "beta", elongated(1.0, 0.0), model.resolve_options({}), {}
    ).guess
    rng = np.random.default_rng(2)
    values = np.array(
        [guess.coordinates.values(guess.theta + guess.scale @ z)[0]
         for z in rng.standard_normal((400, len(guess.theta)))]
    )  # fmt: skip
    monkeypatch.setattr(certificate, "pareto_k", lambda error: 0.99)
    same = certificate.certify(dataclasses.replace(guess, cells=guess.exact), values)
    assert same.error < 1e-4
    assert same.holds
