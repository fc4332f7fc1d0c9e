"""Figures of cluster images: that they are drawn, and that their numbers are right."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse

import pyxstan
from pyxstan import inference_data
from pyxstan.cluster import ClusterImage, beta_profile, side_by_side
from pyxstan.cluster.cells import Pixels
from pyxstan.cluster.parameters import Layout
from pyxstan.cluster.pilot import expected_counts
from pyxstan.cluster.profiles import FittedImage, poisson_interval
from pyxstan.corner import MASSES, mass_levels

SIDE = 100
NAMES = ["image", "profile", "residuals", "corner"]
SHORT = MappingProxyType({"chains": 2, "draws": 60, "warmup": 150, "seed": 1})
TRUTH = {"x0": 54.5, "y0": 61.0, "S0": 1e-5, "rc": 4.0, "beta": 0.6, "B": 0.3}
ROUGH = {
    "x0": 50.0, "y0": 52.0, "S0": 2e-5, "rc": 3.0, "beta": 0.9, "S02": 2e-6, "rc2": 12.0,
    "beta2": 0.8, "b": 1e-8, "shear1": 0.12, "shear2": 0.09,
}  # fmt: skip


def rough_image() -> ClusterImage:
    """Two elliptical components over a sky and a mapped background."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:SIDE, :SIDE].astype(float)
    exposure = 2e7 * (1 - 0.3 * (x / SIDE - 0.5) ** 2)
    background = 0.05 + 0.1 * y / SIDE
    layout = Layout(2, False, True, "fixed", elliptical=True)
    flat = [v.ravel() for v in (x, y, np.ones_like(x), exposure, background)]
    N = expected_counts(Pixels(*flat), layout, np.array([ROUGH[name] for name in layout.names]))
    mask = np.hypot(x - 75, y - 30) < 6
    return ClusterImage.from_arrays(
        rng.poisson(N).reshape(SIDE, SIDE), exposure, mask=mask, background_map=background
    )


def groups(idata: Any) -> dict[str, Any]:
    return {name: inference_data.group(idata, name) for name in inference_data.group_names(idata)}


def with_two_centers(idata: Any) -> Any:
    """The same fit, its second centre being the first."""
    changed = groups(idata)
    posterior = changed["posterior"]
    changed["posterior"] = posterior.assign(x02=posterior["x0"], y02=posterior["y0"])
    return inference_data.assemble(changed, inference_data.attributes(idata))


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    simulated, _ = pyxstan.simulate("beta", TRUTH, seed=2, size=SIDE, point_sources=3)
    plain = pyxstan.fit("beta", simulated, **SHORT)
    rough = pyxstan.fit(
        "double_beta", rough_image(), background="sky", elliptical=True, brightness="center",
        method="laplace", draws=120, seed=1,
    )  # fmt: skip
    return {"plain": plain, "rough": rough, "offset": with_two_centers(rough)}


@pytest.fixture(scope="module")
def drawn(fits: Mapping[str, Any]) -> dict[str, dict[str, Figure]]:
    return {name: pyxstan.plot(fit) for name, fit in fits.items()}


@pytest.mark.parametrize("name", ["plain", "rough", "offset"])
class TestEveryFit:
    def test_figures_are_there(self, name: str, drawn: dict[str, dict[str, Figure]]) -> None:
        assert list(drawn[name]) == NAMES
        for kind, figure in drawn[name].items():
            # those of two centres have all that the rough image has; many panels take seconds
            if name == "plain" or (name, kind) in (("offset", "image"), ("offset", "profile")):
                figure.canvas.draw()
            assert figure.axes[0].has_data()

    def test_profile_is_counts_over_exposure(self, name: str, fits: Mapping[str, Any]) -> None:
        profile, observed = FittedImage(fits[name]).profile, fits[name].observed_data
        assert profile.counts.sum() == int(observed["counts"].sum())
        assert profile.exposure.sum() == pytest.approx(
            float(fits[name].constant_data["exposure"].sum())
        )
        assert np.array_equal(profile.brightness, profile.counts / profile.exposure)
        # each merged annulus is the sum of the annuli between its edges
        inner, outer = (observed[f"{side}_radius"].to_numpy() for side in ("inner", "outer"))
        for k, (low, high) in enumerate(profile.edges.T):
            within = (inner >= low) & (outer <= high)
            assert profile.counts[k] == observed["counts"].to_numpy()[within].sum()
        assert profile.edges[0, 0] == inner[0]
        assert np.array_equal(profile.edges[0, 1:], profile.edges[1, :-1])
        assert np.all((profile.radius >= profile.edges[0]) & (profile.radius <= profile.edges[1]))

    def test_profile_is_what_is_drawn(
        self, name: str, fits: Mapping[str, Any], drawn: dict[str, dict[str, Figure]]
    ) -> None:
        profile = FittedImage(fits[name]).profile
        above, below = drawn[name]["profile"].axes[:2]
        labels = [text.get_text() for text in above.get_legend().get_texts()]
        parts = ["inner component", "outer component"] if name != "plain" else ["cluster"]
        assert set(labels) == {"data", "model, 68% band", "background", *parts}
        by_label = {line.get_label(): line for line in above.get_lines()}
        x, y = by_label["model, 68% band"].get_data()
        assert np.array_equal(x, profile.model_radius)
        assert np.array_equal(y, profile.model[1])
        for axes, values in ((above, profile.brightness), (below, profile.residual)):
            points = axes.containers[0].lines[0].get_data()
            assert np.array_equal(points, (profile.radius, values))

    def test_parts_add_up_to_the_model(self, name: str, fits: Mapping[str, Any]) -> None:
        profile = FittedImage(fits[name]).profile
        width = profile.model[2] - profile.model[0]
        assert np.all(np.abs(profile.parts.sum(axis=0) - profile.model[1]) < width)

    def test_residuals_are_standard(self, name: str, fits: Mapping[str, Any]) -> None:
        fit = FittedImage(fits[name])
        assert np.array_equal(np.isfinite(fit.residuals), fit.good)
        values = fit.residuals[fit.good]
        # as many independent ones as beams of 4 pi width^2 pixels
        beams = values.size / (4 * np.pi * fit.width**2)
        assert abs(values.mean()) < 4 / np.sqrt(beams)
        assert abs(values.std() - 1) < 4 / np.sqrt(2 * beams)
        annuli = fit.profile.residual
        assert abs((annuli**2).sum() - annuli.size) < 4 * np.sqrt(2 * annuli.size)

    def test_residual_colours_are_symmetric(
        self, name: str, drawn: dict[str, dict[str, Figure]]
    ) -> None:
        shown = drawn[name]["residuals"].axes[0].images[0]
        low, high = shown.get_clim()
        assert low == -high < 0

    def test_corner_has_a_panel_a_pair(
        self, name: str, fits: Mapping[str, Any], drawn: dict[str, dict[str, Figure]]
    ) -> None:
        labels = [
            "$x_0$ (pixel)", "$y_0$ (pixel)", "$r_c$ (pixel)", r"$\beta$",
        ]  # fmt: skip
        if name == "offset":
            labels[2:2] = ["$x_{0,2}$ (pixel)", "$y_{0,2}$ (pixel)"]
        if name != "plain":
            labels += ["$r_{c,2}$ (pixel)", r"$\beta_2$", "$1 - b/a$", "angle (deg)"]
        axes = drawn[name]["corner"].axes
        assert len(axes) == len(labels) * (len(labels) + 1) // 2
        assert [one.get_xlabel() for one in axes[-len(labels) :]] == labels


def test_model_band_holds_the_truth(fits: Mapping[str, Any]) -> None:
    fit = FittedImage(fits["plain"])
    profile = fit.profile
    layout = Layout(1)
    truth = expected_counts(fit.pixels, layout, np.array([TRUTH[n] for n in layout.names]))
    center = fit.median("x0"), fit.median("y0")
    r = np.hypot(fit.pixels.x - center[0], fit.pixels.y - center[1])
    index = np.digitize(r, profile.edges[1])
    there = index < profile.radius.size
    sums = [
        np.bincount(index[there], v[there], profile.radius.size)
        for v in (truth, fit.pixels.exposure)
    ]
    band = [np.interp(profile.radius, profile.model_radius, q) for q in profile.model]
    deviation = (sums[0] / sums[1] - band[1]) / ((band[2] - band[0]) / 2)
    assert np.all(np.abs(deviation) < 4)


def test_parts_follow_the_formula(fits: Mapping[str, Any]) -> None:
    """Brightness at the mean radius of an annulus, and B in each pixel."""
    fit = FittedImage(fits["plain"])
    profile = fit.profile
    S = beta_profile(profile.model_radius, *(np.array(fit.median(n)) for n in ("S0", "rc", "beta")))
    assert profile.parts[0] == pytest.approx(S, rel=0.1)
    assert fit.parts[1] == pytest.approx(fit.median("B"), rel=0.05)


def test_cores_are_ellipses(fits: Mapping[str, Any], drawn: dict[str, dict[str, Figure]]) -> None:
    """Isophotes of the fitted model run along the ellipses that are drawn."""
    fit = FittedImage(fits["rough"])
    ellipses = [p for p in drawn["rough"]["image"].axes[0].patches if isinstance(p, Ellipse)]
    assert len(ellipses) == 2
    for suffix, ellipse in zip(("", "2"), ellipses, strict=True):
        turn = np.linspace(0, 2 * np.pi, 20)
        circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
        x, y = ellipse.get_patch_transform().transform(circle).T
        values = {n: fit.median(n) for n in fit.layout.names}
        alone = Layout(1, False, elliptical=True)
        chosen = [values["x0"], values["y0"], 1.0, values["rc" + suffix], 0.5,
                  values["shear1"], values["shear2"]]  # fmt: skip
        one = np.ones(x.size)
        pixels = Pixels(x, y, one, one, 0 * one)
        # at rc the brightness is 2^(1/2 - 3 beta) of that at the centre, beta being 1/2
        assert expected_counts(pixels, alone, np.array(chosen)) == pytest.approx(0.5, rel=1e-3)


def test_fits_side_by_side(fits: Mapping[str, Any]) -> None:
    figure = side_by_side({"one": fits["plain"], "two": fits["rough"]})
    figure.canvas.draw()
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:2] == ["one", "two"]
    images = [axes.images[0] for axes in figure.axes[:6] if axes.images]
    assert len(images) == 2
    assert images[0].get_clim() == images[1].get_clim()


def test_one_draw_has_no_corner(fits: Mapping[str, Any]) -> None:
    changed = groups(fits["plain"])
    for name in ("posterior", "posterior_predictive"):
        changed[name] = changed[name].isel(chain=[0], draw=[0])
    alone = inference_data.assemble(changed, inference_data.attributes(fits["plain"]))
    assert list(pyxstan.plot(alone)) == NAMES[:-1]


def test_contours_hold_their_mass() -> None:
    x = np.linspace(-5, 5, 201)
    density = np.exp(-0.5 * (x[:, None] ** 2 + x**2))
    # of a Gaussian in two dimensions the contour at k sigma is exp(-k^2 / 2) of the peak
    assert mass_levels(density) == pytest.approx([np.exp(-2), np.exp(-0.5)], rel=0.02)
    assert pytest.approx((1 - np.exp(-0.5), 1 - np.exp(-2)), abs=1e-3) == MASSES


def test_poisson_errors_cover() -> None:
    """Garwood's intervals cover at least 68%, for every mean."""
    n = np.arange(200.0)
    low, high = poisson_interval(n)
    assert np.all((low <= n) & (n < high))
    from scipy.stats import poisson

    for mean in (0.5, 3.3, 20.0, 100.0):
        assert poisson.pmf(n, mean)[(low <= mean) & (mean <= high)].sum() >= 0.68
