"""Fits of cluster images: published values, exactness, refinement, and what each option does."""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import arviz as az
import astropy.cosmology
import numpy as np
import numpy.typing as npt
import pytest
from scipy.integrate import quad
from scipy.stats import norm

import pyxstan
from pyxstan import inference_data
from pyxstan.cluster import ClusterImage, certificate, pilot
from pyxstan.cluster.cells import Pixels
from pyxstan.inference_data import group

FloatArray = npt.NDArray[np.float64]
A1835 = Path(__file__).parents[2] / "shared" / "data" / "a1835_xmm"
SHORT = {"chains": 2, "warmup": 200, "draws": 200, "seed": 7, "progress": False}
#: Components well seen in a small image.
ONE = {"S0": 1e-5, "rc": 5.0, "beta": 0.75, "B": 0.1}
TWO = {"S0": 2e-5, "rc": 3.0, "beta": 0.9, "S02": 2e-6, "rc2": 12.0, "beta2": 0.8}


@cache
def image_of(model: str, **options: Any) -> tuple[ClusterImage, dict[str, float]]:
    """A small simulated image and its truth."""
    rest = {"size": 120, "point_sources": 3, **options}
    truth = dict(TWO) if model == "double_beta" else {}
    truth |= {"shear1": 0.2, "shear2": -0.1} if options.get("elliptical") else {}
    return pyxstan.simulate(model, truth, seed=21, **rest)


@cache
def fitted(model: str) -> Any:
    """A fit of that image with nothing changed."""
    return fit(model, image_of(model)[0])


@cache
def centered(model: str) -> Any:
    """The same with the brightness at pixel centres, as brute force takes it."""
    return fit(model, image_of(model)[0], brightness="center")


@cache
def by_laplace(model: str, **options: Any) -> Any:
    return fit(model, image_of(model)[0], method="laplace", **options)


def fit(model: str, image: ClusterImage, **changes: Any) -> Any:
    return pyxstan.fit(model, image, **{**SHORT, **changes})


def draws(idata: Any, name: str) -> FloatArray:
    return np.asarray(group(idata, "posterior")[name].to_numpy())


def names_of(idata: Any) -> list[str]:
    return [str(name) for name in group(idata, "constant_data")["parameter"].to_numpy()]


def brute_force(image: ClusterImage, value: dict[str, float]) -> float:
    """Sum of n ln N - N over all pixels, of circles."""
    pixels = Pixels.of(image)
    S = np.full(pixels.x.size, value.get("b", 0.0))
    for suffix in ("", "2"):
        if f"S0{suffix}" in value:
            r = np.hypot(pixels.x - value["x0"], pixels.y - value["y0"]) / value[f"rc{suffix}"]
            S += value[f"S0{suffix}"] * (1 + r**2) ** (0.5 - 3 * value[f"beta{suffix}"])
    N = pixels.exposure * S + value.get("B", 0.0)
    N += value.get("map_factor", 1.0) * pixels.background
    return float(np.sum(pixels.counts * np.log(N) - N))


def assert_certified(idata: Any) -> None:
    attrs = inference_data.attributes(idata)
    assert attrs["likelihood"] == "cells"
    assert 0 < attrs["log_likelihood_error"] <= certificate.LARGEST_ERROR == 0.02
    assert attrs["pareto_k"] < certificate.LARGEST_K == 0.3
    assert attrs["log_likelihood_error_draws"] >= 200
    assert attrs["likelihood_cells"] < attrs["likelihood_pixels"]


def assert_truth(idata: Any, truth: dict[str, float]) -> None:
    """Every parameter within 4 of its standard deviations."""
    assert names_of(idata) == list(truth)
    for name, value in truth.items():
        ours = draws(idata, name)
        assert abs(ours.mean() - value) < 4 * ours.std(), name


# Real data


@pytest.mark.skipif(not A1835.is_dir(), reason="A1835 is not beside the checkout")
@pytest.mark.parametrize(
    ("particles", "published"),
    [
        (
            False,
            {"x0": (327.806, 0.040), "y0": (346.890, 0.041), "ln S0": (-5.088, 0.021),
             "ln rc": (1.454, 0.019), "beta": (0.6070, 0.0033), "ln b": (-12.419, 0.015)},
        ),
        (
            True,
            {"x0": (327.814, 0.041), "y0": (346.895, 0.041), "ln S0": (-5.135, 0.021),
             "ln rc": (1.548, 0.019), "beta": (0.6404, 0.0039)},
        ),
    ],
)  # fmt: skip
def test_a1835(particles: bool, published: dict[str, tuple[float, float]]) -> None:
    image = ClusterImage.from_fits(
        A1835 / "P0098010101M2U009IMAGE_3000.FTZ",
        A1835 / "P0098010101M2U009EXPMAP3000.FTZ",
        mask=A1835 / "M2ptsrc.txt",
        background_map=A1835 / "P0098010101M2X000BKGMAP3000.FTZ" if particles else None,
        min_exposure=0,
    )
    idata = fit("beta", image, background="sky", draws=1000)
    assert_certified(idata)
    for name, (mean, sd) in published.items():
        ours = draws(idata, name.removeprefix("ln "))
        ours = np.log(ours) if name.startswith("ln ") else ours
        assert abs(ours.mean() - mean) < 0.3 * sd, name
        assert ours.std() == pytest.approx(sd, rel=0.1), name
    if not particles:
        attrs = inference_data.attributes(idata)
        assert attrs["max_log_likelihood"] == pytest.approx(5510.776, abs=1e-3)
    np.testing.assert_allclose(draws(idata, "rc_arcsec"), 4 * draws(idata, "rc"), rtol=1e-6)
    assert draws(idata, "ra").mean() == pytest.approx(210.2583, abs=5 / 3600)
    assert draws(idata, "dec").mean() == pytest.approx(2.8786, abs=5 / 3600)


# Exactness


def test_cells_are_as_good_as_pixels_by_weights() -> None:
    """The draws weighted by the exact likelihood over that of the cells have the same moments."""
    image, _ = image_of("double_beta")
    idata = centered("double_beta")
    assert_certified(idata)
    attrs = inference_data.attributes(idata)
    assert attrs["likelihood_pixels"] == image.good.sum() > 3 * attrs["likelihood_cells"]
    pointwise = group(idata, "log_likelihood")["counts"]
    kept = pointwise["draw"].to_numpy()
    cells = pointwise.sum("annulus").to_numpy()
    names = names_of(idata)
    x = np.stack([draws(idata, name)[:, kept] for name in names], axis=-1)
    exact = np.array(
        [[brute_force(image, dict(zip(names, one, strict=True))) for one in chain] for chain in x]
    )
    assert cells.size == 400
    assert np.ptp(exact) > 10
    assert 0 < np.ptp(exact - cells) < 0.02
    weight = np.exp(exact - cells - (exact - cells).mean())
    weight /= weight.sum()
    flat, w = x.reshape(-1, len(names)), weight.ravel()
    mean = w @ flat
    sd = np.sqrt(w @ (flat - mean) ** 2)
    assert (np.abs(mean - flat.mean(0)) < 0.003 * sd).all()
    np.testing.assert_allclose(flat.std(0), sd, rtol=0.005)


def test_cells_are_as_good_as_pixels() -> None:
    image, _ = pyxstan.simulate("beta", ONE, seed=8, size=48, point_sources=1)
    cells, pixels = (
        fit("beta", image, chains=4, draws=300, likelihood=likelihood, brightness="center")
        for likelihood in ("cells", "pixels")
    )
    assert_certified(cells)
    attrs = inference_data.attributes(pixels)
    assert (attrs["likelihood"], attrs["log_likelihood_error"]) == ("pixels", 0)
    assert "pareto_k" not in attrs
    teeth = 0.16  # weights of a larger image's draws do better, see above
    for name in names_of(cells):
        pair = [np.log(draws(f, name)) if name[0] in "Srb" else draws(f, name)
                for f in (cells, pixels)]  # fmt: skip
        sd = pair[1].std()
        for method, statistic in (("mean", np.mean), ("sd", np.std)):
            error = float(np.hypot(*(float(az.mcse(one, method=method)) for one in pair)))
            assert 4 * error < 1.5 * teeth * sd, "the check has no teeth"
            difference = abs(float(statistic(pair[0]) - statistic(pair[1])))
            assert difference < min(teeth * sd, 4 * error), (method, name)


# Refinement


def bad_levels(monkeypatch: pytest.MonkeyPatch, *better: tuple[float, int, float]) -> None:
    """Cells that are far too coarse come first, and the trial lets them pass."""
    monkeypatch.setattr(pilot, "LEVELS", ((4.0, 1, 0.5), *better))
    monkeypatch.setattr(pilot, "_TRIAL_ERROR", np.inf)


def test_too_coarse_cells_are_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    image, truth = image_of("beta")
    usual = centered("beta")
    bad_levels(monkeypatch, (0.05, 8, 16.0))
    idata = fit("beta", image, brightness="center", draws=600)
    notes = json.loads(inference_data.attributes(idata)["notes"])
    (refined,) = [note for note in notes if "too coarse" in note]
    assert "fitted again in" in refined
    assert "cells" in refined.split("fitted again in")[1]
    found = float(refined.split("within ")[1].split(" of")[0])
    assert found > certificate.LARGEST_ERROR
    assert sum(note.startswith("certificate: log likelihood within") for note in notes) == 1
    assert_certified(idata)
    assert_truth(idata, truth)
    for name in truth:  # the first fit's cells left nothing behind
        ours, theirs = draws(idata, name), draws(usual, name)
        assert abs(ours.mean() - theirs.mean()) < 0.3 * theirs.std()


def test_in_the_end_every_pixel_is_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    bad_levels(monkeypatch)
    image, _ = image_of("beta", size=48, point_sources=0)
    idata = fit("beta", image, brightness="center")
    attrs = inference_data.attributes(idata)
    assert any(n.endswith("fitted again in every pixel") for n in json.loads(attrs["notes"]))
    assert attrs["likelihood"] == "pixels"
    assert attrs["log_likelihood_error"] == 0


def test_certificate_tells_bad_cells() -> None:
    """The spread of the difference of the two log likelihoods, and Pareto k, on given draws."""
    image, _ = image_of("beta")
    model = pyxstan.registry.get("beta")
    options = model.resolve_options({"brightness": "center"})
    guess = model.family.prepare("beta", image, options, {}).guess
    rng = np.random.default_rng(1)
    theta = guess.theta + rng.standard_normal((300, len(guess.theta))) @ guess.scale.T
    values = np.array([guess.coordinates.values(one)[0] for one in theta])[None]
    found = certificate.certify(guess, values)
    assert found.holds
    assert found.draws >= 200
    exact, cells = (
        np.array([part.log_likelihood(guess.coordinates.coefficients(v)) for v in values[0]])
        for part in (guess.exact, guess.cells)
    )
    assert found.error <= np.ptp(exact - cells) * (1 + 1e-9)
    assert found.error > 0.5 * np.ptp(exact - cells)
    same = certificate.certify(dataclasses.replace(guess, cells=guess.exact), values)
    assert same.holds
    assert same.error < 1e-9
    rough = dataclasses.replace(
        guess.cells, mean=guess.cells.mean + np.array([20.0, 0, 0, 0, 0])[:, None]
    )
    assert not certificate.certify(dataclasses.replace(guess, cells=rough), values).holds


def test_pareto_k_of_heavy_and_light_tails() -> None:
    rng = np.random.default_rng(2)
    assert certificate.pareto_k(np.log(rng.pareto(1 / 0.7, 20_000))) == pytest.approx(0.7, abs=0.15)
    assert certificate.pareto_k(1e-3 * rng.standard_normal(20_000)) < 0.2


# Options


def test_default_fits_find_the_truth() -> None:
    for model in ("beta", "double_beta"):
        assert_truth(fitted(model), image_of(model)[1])
        assert_certified(fitted(model))
        assert not json.loads(inference_data.attributes(fitted(model))["complaints"])


def test_elliptical() -> None:
    image, truth = image_of("beta", elliptical=True)
    idata = fit("beta", image, elliptical=True, warmup=150, draws=150)
    assert_truth(idata, truth)
    assert_certified(idata)
    e1, e2 = draws(idata, "shear1"), draws(idata, "shear2")
    size = np.hypot(e1, e2)
    np.testing.assert_allclose(draws(idata, "ellipticity"), 1 - np.exp(-2 * size), rtol=1e-6)
    angle = draws(idata, "angle")
    np.testing.assert_allclose(np.cos(np.radians(2 * angle)), e1 / size, atol=1e-6)
    np.testing.assert_allclose(np.sin(np.radians(2 * angle)), e2 / size, atol=1e-6)
    # north is up and east is left: at (90 + angle) from north to east
    turned = draws(idata, "position_angle") - angle
    np.testing.assert_allclose(turned % 180, 90, atol=0.1)
    assert size.mean() > 10 * size.std()


def test_offset() -> None:
    image, truth = image_of("double_beta", offset=True)
    assert np.hypot(truth["x02"] - truth["x0"], truth["y02"] - truth["y0"]) > 3
    idata = fit("double_beta", image, offset=True, brightness="center", warmup=150, draws=150)
    assert_truth(idata, truth)
    assert_certified(idata)
    assert draws(idata, "x02").mean() - draws(idata, "x0").mean() > 5 * draws(idata, "x02").std()


@pytest.mark.parametrize("background", ["constant", "sky", "constant+sky", "none"])
def test_backgrounds(background: str) -> None:
    wanted = {"constant": ["B"], "sky": ["b"], "constant+sky": ["B", "b"], "none": []}[background]
    image, truth = pyxstan.simulate(
        "beta", {"B": 0.3, "b": 1e-8} if background == "constant+sky" else {}, seed=4,
        background=background, size=120, point_sources=0, peak_exposure=2e7,
    )  # fmt: skip
    idata = fit("beta", image, background=background)
    assert names_of(idata) == ["x0", "y0", "S0", "rc", "beta", *wanted]
    assert_truth(idata, truth)
    assert_certified(idata)


@pytest.mark.parametrize("factor", ["fixed", "free"])
def test_background_map(factor: str) -> None:
    image, truth = image_of("beta")
    rows = np.broadcast_to(np.linspace(0.2, 1.5, 120)[:, None], (120, 120))
    added = np.random.default_rng(3).poisson(rows if factor == "fixed" else 1.3 * rows)
    image = dataclasses.replace(image, counts=image.counts + added, background_map=rows)
    idata = fit("beta", image, map_factor=factor, brightness="center")  # as brute force takes it
    assert_truth(idata, truth | ({"map_factor": 1.3} if factor == "free" else {}))
    assert_certified(idata)
    constant = group(idata, "constant_data")
    assert float(constant["background_map"].sum()) == pytest.approx(rows[image.good].sum())
    ours = dict(zip(names_of(idata), constant["maximum_likelihood"].to_numpy(), strict=True))
    assert inference_data.attributes(idata)["max_log_likelihood"] == pytest.approx(
        brute_force(image, ours), abs=1e-6
    )


def test_center_says_which_cluster() -> None:
    compact = {"beta": 1.2, "rc": 3.0, "B": 0.1}
    options: dict[str, Any] = {"size": 120, "point_sources": 0}
    image, truth = pyxstan.simulate("beta", compact, seed=9, **options)
    other, _ = pyxstan.simulate(
        "beta", {**compact, "x0": 40.0, "y0": 45.0, "S0": 5e-6}, seed=10, **options
    )
    both = dataclasses.replace(image, counts=image.counts + other.counts)
    model = pyxstan.registry.get("beta")
    for center, found in (
        (None, (truth["x0"], truth["y0"])), ("40, 45", (40, 45)), ((40.3, 44.8), (40, 45)),
    ):  # fmt: skip
        chosen = model.resolve_options({"center": center} if center else {})
        guess = model.family.prepare("beta", both, chosen, {}).guess
        assert guess.best[:2] == pytest.approx(found, abs=0.5)
        assert guess.mode[:2] == pytest.approx(found, abs=0.5)


def test_on_the_sky() -> None:
    image, _ = image_of("double_beta")
    idata = fitted("double_beta")
    for suffix in ("", "2"):
        np.testing.assert_allclose(
            draws(idata, f"rc{suffix}_arcsec"), 1.968 * draws(idata, f"rc{suffix}"), rtol=1e-6
        )
    assert "rc_kpc" not in group(idata, "posterior")
    assert image.wcs is not None
    ra, dec = image.wcs.all_pix2world(draws(idata, "x0").ravel(), draws(idata, "y0").ravel(), 0)
    np.testing.assert_allclose(draws(idata, "ra").ravel(), ra, atol=1e-9)
    np.testing.assert_allclose(draws(idata, "dec").ravel(), dec, atol=1e-9)


@pytest.mark.parametrize(
    ("model", "chosen"), [("double_beta", {}), ("beta", {"cosmology": "WMAP9"})]
)
def test_redshift(model: str, chosen: dict[str, str]) -> None:
    idata = by_laplace(model, redshift=0.2532, aperture=20.0, **chosen)
    cosmology = getattr(astropy.cosmology, chosen.get("cosmology", "Planck18"))
    scale = cosmology.kpc_proper_per_arcmin(0.2532).value / 60
    for suffix in ("", "2") if model == "double_beta" else ("",):
        np.testing.assert_allclose(
            draws(idata, f"rc{suffix}_kpc"), scale * draws(idata, f"rc{suffix}_arcsec"), rtol=1e-9
        )
    assert group(idata, "posterior")["rc_kpc"].attrs["units"] == "kpc"


@pytest.mark.parametrize(
    ("model", "options"),
    [("double_beta", {}), ("double_beta", {"redshift": 0.2532, "aperture": 20.0}),
     ("beta", {"aperture": 90.0})],
)  # fmt: skip
def test_aperture(model: str, options: dict[str, float]) -> None:
    """Against quadrature of the brightness over the circle."""
    image, _ = image_of(model)
    idata = by_laplace(model, **options) if options else fitted(model)
    aperture = options.get("aperture")
    x0, y0 = (float(np.median(draws(idata, name))) for name in ("x0", "y0"))
    size = len(image.counts)
    edge = min(x0 + 0.5, y0 + 0.5, size - 0.5 - x0, size - 0.5 - y0)
    total = 0.0
    for suffix, shown in (("", "1"), ("2", "2")) if model == "double_beta" else (("", ""),):
        S0, rc, beta = (draws(idata, f"{n}{suffix}")[0, 3] for n in ("S0", "rc", "beta"))
        radius = edge if aperture is None else aperture / 1.968
        wanted, _ = quad(
            lambda r: 2 * np.pi * r * S0 * (1 + (r / rc) ** 2) ** (0.5 - 3 * beta),  # noqa: B023
            0, radius, epsrel=1e-10,
        )  # fmt: skip
        got = draws(idata, f"aperture_flux{shown}")[0, 3]
        assert got == pytest.approx(wanted, rel=1e-7 if aperture else 1e-3)
        total += got
    assert draws(idata, "aperture_flux")[0, 3] == pytest.approx(total, rel=1e-12)
    near = np.hypot(*(np.mgrid[:size, :size] - np.array([y0, x0])[:, None, None])) < 3
    exposure = image.exposure[near & image.good].mean()
    assert draws(idata, "aperture_counts")[0, 3] == pytest.approx(total * exposure, rel=0.02)


def test_aperture_without_coordinates_is_in_pixels() -> None:
    image, _ = image_of("beta")
    bare = dataclasses.replace(image, wcs=None)
    idata = fit("beta", bare, aperture=10.0, method="map")
    with_wcs = fit("beta", image, aperture=10 * 1.968, method="map")
    assert draws(idata, "aperture_flux").item() == pytest.approx(
        draws(with_wcs, "aperture_flux").item(), rel=1e-6
    )
    assert not {"ra", "dec", "rc_arcsec"} & set(group(idata, "posterior").data_vars)


def test_priors_do_as_bayes_says() -> None:
    """Draws under the default priors, weighted by the new over the old, have the same moments."""
    # whose core is one for which averaging over pixels just matters
    usual = fit("beta", image_of("beta")[0], chains=4, draws=1500, brightness="center")
    ours = {name: draws(usual, name) for name in names_of(usual)}
    mean = {name: float(values.mean()) for name, values in ours.items()}
    sd = {name: float(values.std()) for name, values in ours.items()}
    away = {"x0": 1.2, "rc": 1.2, "beta": 1.2, "B": -1.2}
    where = {name: mean[name] + far * sd[name] for name, far in away.items()}
    wide = {name: 1.5 * sd[name] for name in where}
    shape, rate = (where["B"] / wide["B"]) ** 2, where["B"] / wide["B"] ** 2
    width = wide["rc"] / where["rc"]
    priors = {
        "x0": f"normal({where['x0']!r}, {wide['x0']!r})",
        "beta": f"normal({where['beta']!r}, {wide['beta']!r})",
        "rc": f"lognormal({float(np.log(where['rc']))!r}, {width!r})",
        "B": f"gamma({shape!r}, {rate!r})",
    }
    ln = {name: np.log(ours[name]) for name in ("rc", "beta", "B")}
    # the new prior over the old, of each parameter
    ratio = {
        "x0": norm.logpdf(ours["x0"], where["x0"], wide["x0"]) - norm.logpdf(ours["x0"], 60, 120),
        "beta": norm.logpdf(ours["beta"], where["beta"], wide["beta"])
        - norm.logpdf(ln["beta"], np.log(2 / 3), 0.5) + ln["beta"],
        "rc": norm.logpdf(ln["rc"], np.log(where["rc"]), width)
        - norm.logpdf(ln["rc"], np.log(3), 1.5),
        "B": (shape - 1) * ln["B"] - rate * ours["B"] + 0.5 * (ours["B"] / 100) ** 2,
    }  # fmt: skip

    def weights(*names: str) -> FloatArray:
        total = np.sum([ratio[name] for name in names], axis=0)
        found = np.exp(total - total.max())
        return np.asarray(found / found.sum())

    weight = weights(*ratio)
    assert 1 / (weight**2).sum() > 1500
    for name in ratio:  # without any of them the means would be others
        without = weights(*(other for other in ratio if other != name)) - weight
        assert max(abs((without * ours[k]).sum()) / sd[k] for k in ratio) > 0.2, name
    changed = fit(
        "beta", image_of("beta")[0], priors=priors, chains=4, draws=1200, brightness="center"
    )
    told = json.loads(inference_data.attributes(changed)["priors"])
    for name, prior in priors.items():
        assert told[name].split("(")[0] == prior.split("(")[0]
    for name, before in ours.items():
        after = draws(changed, name)
        wanted = (weight * before).sum()
        width_wanted = np.sqrt((weight * (before - wanted) ** 2).sum())
        assert abs(after.mean() - wanted) < 0.12 * sd[name], name
        assert after.std() == pytest.approx(width_wanted, rel=0.08), name


def test_inits_by_parameter() -> None:
    image, truth = image_of("double_beta", size=80)
    still = {"warmup": 0, "draws": 1, "chains": 1, "max_treedepth": 1, "adapt_delta": 0.999999}
    start = {"x0": truth["x0"] + 0.3, "rc2": 14.0}
    options = {"brightness": "center"}
    idata = fit("double_beta", image, inits=start, **options, **still)
    assert json.loads(inference_data.attributes(idata)["inits"]) == start
    model = pyxstan.registry.get("double_beta")
    problem = model.family.prepare("double_beta", image, model.resolve_options(options), {})
    guess = problem.guess
    z = problem.inits(start)["z"]
    w = 4 * np.tanh(z[0] / 4)
    theta = guess.theta + guess.scale @ (z + guess.bend @ w ** np.arange(2, 6))
    values = dict(zip(problem.layout.names, guess.coordinates.values(theta)[0], strict=True))
    best = dict(zip(problem.layout.names, guess.mode, strict=True))
    assert values == pytest.approx({**best, **start}, rel=1e-8)


@pytest.mark.parametrize(
    ("model", "method"),
    [("beta", "map"), ("double_beta", "map"), ("double_beta", "laplace"), ("beta", "pathfinder")],
)
def test_methods_return_the_same_variables(model: str, method: str) -> None:
    nuts = group(fitted(model), "posterior")
    if method == "laplace":
        idata = by_laplace(model, redshift=0.2532, aperture=20.0)
    else:
        idata = fit(model, image_of(model)[0], method=method)
    found = [name for name in group(idata, "posterior").data_vars if not name.endswith("_kpc")]
    assert found == list(nuts.data_vars)
    assert set(inference_data.group_names(idata)) == set(inference_data.group_names(fitted(model)))
    for name in names_of(idata):
        x = nuts[name]
        distance = abs(float(np.median(draws(idata, name))) - float(x.median()))
        assert distance < 2.5 * float(x.std()), name


# What a fit tells of itself


@pytest.mark.parametrize("model", ["beta", "double_beta"])
def test_likelihoods_are_those_of_all_pixels(model: str) -> None:
    image, truth = image_of(model)
    idata = centered(model)
    attrs = inference_data.attributes(idata)
    names = names_of(idata)
    mean = {name: float(draws(idata, name).mean()) for name in names}
    assert attrs["deviance_at_mean"] == pytest.approx(-2 * brute_force(image, mean), abs=0.1)
    best = group(idata, "constant_data")["maximum_likelihood"].to_numpy()
    at_best = dict(zip(names, best, strict=True))
    assert attrs["max_log_likelihood"] == pytest.approx(brute_force(image, at_best), abs=1e-6)
    assert attrs["max_log_likelihood"] > max(brute_force(image, mean), brute_force(image, truth))
    for name in names:
        for side in (-0.2, 0.2):
            moved = at_best | {name: at_best[name] + side * float(draws(idata, name).std())}
            assert brute_force(image, moved) < attrs["max_log_likelihood"] + 2e-3, name
    pointwise = group(idata, "log_likelihood")["counts"]
    one = {name: draws(idata, name)[1, 40] for name in names}
    assert float(pointwise[1, 40].sum()) == pytest.approx(brute_force(image, one), abs=0.05)


def test_annuli() -> None:
    image, _ = image_of("beta")
    idata = fitted("beta")
    observed, predicted = group(idata, "observed_data"), group(idata, "posterior_predictive")
    assert int(observed["counts"].sum()) == int(image.counts[image.good].sum())
    constant = group(idata, "constant_data")
    assert int(constant["pixels"].sum()) == int(image.good.sum())
    assert float(constant["exposure"].sum()) == pytest.approx(image.exposure[image.good].sum())
    # counts are within what the model expects of them
    expected = predicted["expected_counts"].mean(("chain", "draw"))
    pull = (observed["counts"] - expected) / np.sqrt(expected)
    assert float(np.abs(pull).max()) < 4.5
    scatter = (predicted["counts"] - predicted["expected_counts"]) / np.sqrt(
        predicted["expected_counts"]
    )
    assert float(scatter.std()) == pytest.approx(1, abs=0.03)


def test_double_is_preferred_where_there_are_two() -> None:
    image, _ = image_of("double_beta")
    single = fit("beta", image)
    table = pyxstan.compare({"single": single, "double": fitted("double_beta")})
    assert list(table.index) == ["double", "single"]
    assert table.loc["single", "dic_diff"] > 20
    assert table.loc["single", "elpd_diff"] > 2 * table.loc["single", "se_diff"]
    assert table.loc["double", "p_d"] == pytest.approx(9, abs=3.5)
    assert table.loc["single", "p_d"] == pytest.approx(6, abs=1.5)
