"""Counts in a concordance: no bias of faint instruments, zeros, background."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.special import gammaln, logsumexp

import pyxstan
from pyxstan import inference_data
from pyxstan.concordance import ConcordanceData, scatter, shrinkage
from pyxstan.concordance.counts import as_log_fluxes, draw_fluxes, log_density, mode
from pyxstan.concordance.pilot import Grid, gaussian_posterior

FloatArray = npt.NDArray[np.float64]


def counted(
    seed: int,
    exposures: tuple[float, ...],
    flux: npt.ArrayLike,
    *,
    background: tuple[float, ...] | None = None,
    sigma: float = 0.0,
    tau: float = 0.05,
) -> ConcordanceData:
    """Counts by perfect instruments of those exposures."""
    rng = np.random.default_rng(seed)
    T, F = np.array(exposures)[:, None], np.asarray(flux, dtype=float)
    scattered = np.exp(-(sigma**2) / 2 + sigma * rng.standard_normal((T.size, F.size)))
    extra = np.zeros_like(T) if background is None else np.array(background)[:, None]
    C = rng.poisson(T * F * scattered + extra)
    i, j = np.indices(C.shape).reshape(2, -1)
    columns = {
        "instrument": [f"i{k}" for k in i],
        "source": [f"s{k}" for k in j],
        "counts": C.ravel(),
        "exposure": T[i, 0],
    }
    if background is not None:
        columns["background"] = extra[i, 0]
    return ConcordanceData.from_table(columns, tau=tau)


@pytest.mark.parametrize("counts", [20, 5, 1])
def test_faint_instrument_is_not_biased(counts: float) -> None:
    """Over draws: at the mode, by expected errors, and with a scatter fitted on top."""
    precision = np.eye(2) * 1e-4  # next to no prior: nothing is shrunk
    found = []
    for seed in range(12):
        data = counted(seed, (1.0, 100.0), np.full(400, counts))
        exact = mode(data, precision).B
        gaussian = as_log_fluxes(data, precision, None, np.arange(2), 1.0, None)
        closed = shrinkage(gaussian, tau=100.0).B
        start = np.full(2, 0.05)
        prior = scatter.default_prior("extra", start, 1.0)
        fit = as_log_fluxes(data, precision, prior, np.arange(2), 0.05**2, None)
        assert fit.sigma is not None
        grid = Grid.of(fit, fit.sigma**2)
        weight = grid.mask / grid.given
        scattered = gaussian_posterior(weight, grid.y + 0.5 * grid.given, fit.b, precision).B
        found.append([B[0] - B[1] for B in (exact, closed, scattered)])
    differences = np.array(found)
    error = differences.std(axis=0, ddof=1) / np.sqrt(len(differences))
    assert (np.abs(differences.mean(axis=0)) < 3.5 * error).all()
    # the errors are those of counts: 1 / (M counts), and little more
    np.testing.assert_allclose(error * np.sqrt(12), 1 / np.sqrt(400 * counts), rtol=0.6)


def test_posterior_of_counts_by_a_grid() -> None:
    """Two instruments, few counts, a source with none: each flux integrated out on a fine grid."""
    data = counted(3, (1.0, 2.0), [0.4, 3.0, 0.2, 1.5, 0.01], tau=0.3)
    assert data.counts is not None
    assert (data.counts == 0).any()
    idata = pyxstan.fit("concordance", data, seed=1, draws=4000, progress=False)
    B = inference_data.group(idata, "posterior")["B"].to_numpy().reshape(-1, 2)
    contrasts, shifts = np.linspace(-2, 2, 81), np.linspace(-1.2, 1.2, 25)
    G = np.linspace(-10, 6, 161)
    seen = np.bincount(data.source, data.counts) > 0
    density = np.zeros((contrasts.size, shifts.size))
    for a, contrast in enumerate(contrasts):
        for c, shift in enumerate(shifts):
            at = np.array([shift + contrast / 2, shift - contrast / 2])
            rate = np.log(data.exposure)[:, None] + at[data.instrument][:, None] + G
            each = data.counts[:, None] * rate - np.exp(rate)
            of_source = np.array([each[data.source == j].sum(axis=0) for j in np.flatnonzero(seen)])
            density[a, c] = logsumexp(of_source, axis=1).sum() - 0.5 * (at**2).sum() / 0.3**2
    weight = np.exp(density - density.max()).sum(axis=1)
    weight /= weight.sum()
    mean = (weight * contrasts).sum()
    sd = np.sqrt((weight * (contrasts - mean) ** 2).sum())
    got = B[:, 0] - B[:, 1]
    assert got.mean() == pytest.approx(mean, abs=0.06 * sd)
    assert got.std() == pytest.approx(sd, rel=0.06)
    notes = " ".join(json.loads(inference_data.attributes(idata)["notes"]))
    assert "Poisson likelihood" in notes


def test_background_beside_counts_is_part_of_the_likelihood() -> None:
    """The contrast of a fit, against the profile of each flux by brute force."""
    data = counted(4, (1.0, 3.0), np.full(30, 12.0), background=(8.0, 2.0), tau=0.2)
    idata = pyxstan.fit("concordance", data, seed=1, progress=False)
    posterior = inference_data.group(idata, "posterior")
    B = posterior["B"].to_numpy()
    contrast = B[..., 0] - B[..., 1]
    G = np.linspace(1.0, 4.0, 600)
    steps = np.linspace(-0.5, 0.5, 201)
    density = np.empty(steps.size)
    for k, step in enumerate(steps):
        at = np.array([step / 2, -step / 2])[data.instrument][:, None]
        mu = data.exposure[:, None] * np.exp(at + G) + data.background[:, None]
        each = data.counts[:, None] * np.log(mu) - mu
        by_source = np.array([each[data.source == j].sum(axis=0) for j in range(30)])
        density[k] = logsumexp(by_source, axis=1).sum() - step**2 / (4 * 0.2**2)
    weight = np.exp(density - density.max())
    weight /= weight.sum()
    mean = (weight * steps).sum()
    sd = np.sqrt((weight * (steps - mean) ** 2).sum())
    assert contrast.mean() == pytest.approx(mean, abs=0.15 * sd)
    assert contrast.std() == pytest.approx(sd, rel=0.1)
    flux = posterior["concordant_flux"].mean(("chain", "draw")).to_numpy()
    assert flux.mean() == pytest.approx(12, rel=0.2)
    predicted = inference_data.group(idata, "posterior_predictive")["counts"]
    assert predicted.mean() == pytest.approx(np.mean(data.counts), rel=0.1)


def test_fluxes_given_areas_are_gamma() -> None:
    data = counted(5, (1.0, 2.0), [0.0, 5.0])
    rng = np.random.default_rng(1)
    B = np.zeros((40_000, 2))
    F = np.exp(draw_fluxes(data, B, rng, at_mode=False))
    assert data.counts is not None
    n = np.bincount(data.source, data.counts)
    assert F[:, 1].mean() == pytest.approx(n[1] / 3, rel=0.02)
    assert F[:, 1].std() == pytest.approx(np.sqrt(n[1]) / 3, rel=0.03)
    # none seen: the limit of the flat prior
    assert np.quantile(F[:, 0], 0.95) == pytest.approx(-np.log(0.05) / 3, rel=0.03)


def test_log_density_is_poisson() -> None:
    n, mu = np.arange(6.0), np.array([0.1, 1, 2, 30, 4, 0.5])
    np.testing.assert_allclose(log_density(n, mu), n * np.log(mu) - mu - gammaln(n + 1))


def test_bright_counts_are_log_normal() -> None:
    """Of many counts, both likelihoods are Gaussian in log rates."""
    flux = np.random.default_rng(6).uniform(1e4, 3e4, 30)
    data = counted(6, (1.0, 2.0, 5.0), flux)
    assert data.counts is not None
    poisson = mode(data, np.eye(3) / 0.05**2)
    table = {**data.to_frame().to_dict("list"), "error": np.sqrt(data.counts)}
    log_normal = shrinkage(ConcordanceData.from_table(table, tau=0.05))
    np.testing.assert_allclose(poisson.B, log_normal.B, atol=2e-4)


def test_robust_counts_are_not_biased_either() -> None:
    """log-t takes errors from expected counts: an outlier is named, zeros are data."""
    data = counted(7, (1.0, 20.0), np.full(80, 5.0))
    assert data.counts is not None
    counts = data.counts.copy()
    counts[3] = 60
    table: dict[str, Any] = {**data.to_frame().to_dict("list"), "counts": counts}
    idata = pyxstan.fit(
        "concordance_t",
        ConcordanceData.from_table(table, tau=0.3),
        seed=1,
        draws=500,
        progress=False,
    )
    B = inference_data.group(idata, "posterior")["B"].to_numpy()
    contrast = B[..., 0] - B[..., 1]
    assert abs(contrast.mean()) < 3 * contrast.std()
    weight = inference_data.group(idata, "posterior_predictive")["outlier_weight"]
    assert int(np.argmin(weight.mean(("chain", "draw")).to_numpy())) == 3


def test_what_counts_can_t_be() -> None:
    data = counted(8, (1.0, 2.0), [0.0, 5.0])
    with pytest.raises(pyxstan.DataError, match="source 's0' has no counts above its background"):
        pyxstan.fit("concordance", data, variances="extra", progress=False,
                    priors={"sigma2": "inv_gamma(3, 0.005)"})  # fmt: skip
    fields = {name: getattr(data, name) for name in ("instruments", "sources", "instrument",
              "source", "y", "b", "tau")}  # fmt: skip
    for wrong, match in (
        ({"counts": np.full(4, 0.2)}, "counts is 0.2, expected a whole number"),
        ({"counts": np.full(4, -1.0)}, "counts is -1"),
        ({"counts": np.ones(3)}, "counts: expected 4 numbers"),
        ({"counts": np.ones(4), "exposure": 0.0}, "exposure is 0, expected a positive"),
        ({"counts": np.ones(4), "background": -1.0}, "background is -1"),
        ({"background": 1.0}, "exposure and background go with counts"),
    ):
        with pytest.raises(pyxstan.DataError, match=match):
            ConcordanceData(**{**fields, "sigma": None, **wrong})
    with pytest.raises(pyxstan.DataError, match="give counts or sigma, not both"):
        ConcordanceData(**fields, sigma=np.ones(4), counts=np.ones(4))
