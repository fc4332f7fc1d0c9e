"""Figures of stacks: that they are drawn, and that their numbers are right."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from scipy import stats

import pyxstan
from pyxstan import inference_data
from pyxstan.stacking import PosteriorSamples, side_by_side
from pyxstan.stacking.figures import FittedPopulation

LOW, HIGH = 0.5, 3.0
EDGES = (0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0)
SHORT = MappingProxyType({"chains": 2, "draws": 200, "warmup": 300, "seed": 1, "progress": False})
RANGE = MappingProxyType({"low": LOW, "high": HIGH})


def samples(objects: int, model: str = "stack_gaussian") -> PosteriorSamples:
    """Simulated samples of named objects, the parameter's name being an unruly one."""
    data, _ = pyxstan.simulate(model, seed=4, objects=objects, samples=100)
    return PosteriorSamples.from_arrays(
        [data.of(i) for i in range(objects)],
        parameters="log(N$_H)",
        objects=[f"source {i + 1}" for i in range(objects)],
    )


def groups(idata: Any) -> dict[str, Any]:
    return {name: inference_data.group(idata, name) for name in inference_data.group_names(idata)}


def of_one_draw(idata: Any) -> Any:
    """The same fit with its first draw alone."""
    changed = groups(idata)
    changed["posterior"] = changed["posterior"].isel(chain=[0], draw=[0])
    return inference_data.assemble(changed, inference_data.attributes(idata))


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    few, many = samples(5), samples(300, "stack_mixture")
    wide = RANGE | {"drop_empty": True}
    found = {
        "histogram": pyxstan.fit("stack_histogram", few, edges=EDGES, **SHORT),
        "gaussian": pyxstan.fit("stack_gaussian", few, **RANGE, **SHORT),
        "beta": pyxstan.fit("stack_beta", many, **wide, **SHORT),
        "mixture": pyxstan.fit("stack_mixture", many, **RANGE, **SHORT),
    }
    return found | {f"{name}, one draw": of_one_draw(found[name]) for name in found}


@pytest.fixture(scope="module")
def drawn(fits: Mapping[str, Any]) -> dict[str, dict[str, Figure]]:
    return {name: pyxstan.plot(fit) for name, fit in fits.items()}


NAMES = ("histogram", "gaussian", "beta", "mixture")
CORNERS = {
    "gaussian": ["mean", "sd"],
    "beta": ["alpha", "beta"],
    "mixture": ["mean 1", "mean 2", "sd 1", "sd 2", "fraction 1"],
}


def by_label(axes: Axes) -> dict[str, Any]:
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


@pytest.mark.parametrize("name", [*NAMES, *(f"{name}, one draw" for name in NAMES)])
def test_every_figure_is_drawn(name: str, drawn: Mapping[str, dict[str, Figure]]) -> None:
    wanted = ["population", "objects"]
    if name in CORNERS:
        wanted.append("corner")
    assert list(drawn[name]) == wanted
    for figure in drawn[name].values():
        figure.canvas.draw()
        assert figure.axes[0].has_data()
    for figure in (drawn[name]["population"], drawn[name]["objects"]):
        assert figure.axes[0].get_xlabel() == r"log(N\$_H)"
        assert figure.axes[0].get_xlim() == (LOW, HIGH)


@pytest.mark.parametrize("name", list(CORNERS))
def test_the_corner_has_what_follows_from_nothing_else(
    name: str, drawn: Mapping[str, dict[str, Figure]]
) -> None:
    axes, wanted = drawn[name]["corner"].axes, CORNERS[name]
    assert len(axes) == len(wanted) * (len(wanted) + 1) // 2
    assert [one.get_xlabel() for one in axes[-len(wanted) :]] == wanted


def test_points_are_fractions_over_widths(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    axes = drawn["histogram"]["population"].axes[0]
    points, _, (across, along) = axes.containers[0].lines
    fraction = fits["histogram"].posterior["fraction"].to_numpy().reshape(-1, len(EDGES) - 1)
    low, middle, high = np.quantile(fraction, (0.16, 0.5, 0.84), axis=0) / np.diff(EDGES)
    np.testing.assert_allclose(points.get_ydata(), middle)
    np.testing.assert_allclose(points.get_xdata(), np.convolve(EDGES, [0.5, 0.5], "valid"))
    ends = np.array([segment[:, 0] for segment in across.get_segments()])
    np.testing.assert_allclose(ends, np.transpose([EDGES[:-1], EDGES[1:]]))
    ends = np.array([segment[:, 1] for segment in along.get_segments()])
    np.testing.assert_allclose(ends, np.transpose([low, high]))
    assert axes.get_ylim()[1] > high.max()


def test_the_band_is_of_the_density(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    x, band = FittedPopulation(fits["gaussian"]).band
    draws = {n: fits["gaussian"].posterior[n].to_numpy().ravel() for n in ("mean", "sd")}
    p = stats.norm.pdf(x, draws["mean"][:, None], draws["sd"][:, None])
    wanted = np.quantile(p, (0.025, 0.16, 0.5, 0.84, 0.975), axis=0)
    np.testing.assert_allclose(band, wanted, rtol=1e-9)
    axes = drawn["gaussian"]["population"].axes[0]
    line = by_label(axes)["population, median and 68, 95% bands"]
    np.testing.assert_array_equal(line.get_data(), (x, band[2]))
    reach = [collection.get_datalim(axes.transData).ymax for collection in axes.collections[:2]]
    np.testing.assert_allclose(reach, [band[4].max(), band[3].max()])


@pytest.mark.parametrize("name", NAMES)
def test_one_draw_has_neither_bands_nor_errors(
    name: str, drawn: Mapping[str, dict[str, Figure]]
) -> None:
    axes = drawn[f"{name}, one draw"]["population"].axes[0]
    assert "population, one draw" in by_label(axes)
    assert len(axes.collections) == (1 if name == "histogram" else 0)  # widths of the bins


def test_the_objects_own_samples_are_behind(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    shown = by_label(drawn["histogram"]["population"].axes[0])
    data = samples(5)
    inside = np.array([((data.of(i) >= LOW) & (data.of(i) <= HIGH)).mean() for i in range(5)])
    steps = shown["the objects' own samples, summed"].get_data()
    area = np.sum(steps.values * np.diff(steps.edges))
    assert area == pytest.approx(inside.mean(), rel=1e-6)
    means = np.array([data.of(i).mean() for i in range(5)])
    marks = shown["means of the objects' samples"].get_xdata()
    np.testing.assert_allclose(marks, means[(means >= LOW) & (means <= HIGH)])


def test_few_objects_are_named_in_the_order_of_their_means(
    drawn: Mapping[str, dict[str, Figure]],
) -> None:
    axes = drawn["gaussian"]["objects"].axes[0]
    data = samples(5)
    order = np.argsort([data.of(i).mean() for i in range(5)])
    labels = [text.get_text() for text in axes.get_yticklabels()]
    assert labels == [data.objects[i] for i in order]
    assert not axes.images
    assert len(axes.collections) == 5


def test_many_objects_make_an_image(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    axes = drawn["mixture"]["objects"].axes[0]
    assert axes.get_title() == "200 of 300 objects, evenly chosen"
    assert not axes.get_yticklabels()
    rows = np.asarray(axes.images[0].get_array())
    assert rows.shape == (200, 60)
    some = rows.max(axis=1) > 0  # the others have no samples in the range
    assert some.sum() > 190
    assert rows[some].max(axis=1) == pytest.approx(np.ones(some.sum()))
    # sorted by the means: what is brightest moves from the left to the right
    middle = rows[some] @ np.arange(60) / rows[some].sum(axis=1)
    assert middle[:20].mean() + 20 < middle[-20:].mean()


def test_parents_side_by_side(fits: Mapping[str, Any]) -> None:
    chosen = {"bins": fits["histogram"], "a Gaussian": fits["gaussian"]}
    figure = side_by_side(chosen)
    figure.canvas.draw()
    found = by_label(figure.axes[0])
    assert {"bins, 16/50/84%", "a Gaussian, median and 68, 95% bands"} < set(found)
    three = side_by_side({**chosen, "two": fits["mixture"]})
    found = by_label(three.axes[0])
    styles = [found[f"{n}, median and 68% band"].get_linestyle() for n in ("a Gaussian", "two")]
    assert styles == ["-", "--"]  # apart without colours
    colors = [found[f"{n}, median and 68% band"].get_color() for n in ("a Gaussian", "two")]
    assert len(set(colors)) == 2


def test_what_goes_not_side_by_side(fits: Mapping[str, Any]) -> None:
    with pytest.raises(pyxstan.DataError, match="no fits"):
        side_by_side({})
    other = inference_data.assemble(
        groups(fits["gaussian"]),
        inference_data.attributes(fits["gaussian"]) | {"parameter": "PhoIndex"},
    )
    with pytest.raises(pyxstan.DataError, match=r"different parameters, log\(N\$_H\), PhoIndex"):
        side_by_side({"a": fits["gaussian"], "b": other})


def test_spikes_do_not_set_the_height(fits: Mapping[str, Any]) -> None:
    changed = groups(fits["gaussian"])
    sd = changed["posterior"]["sd"].copy()
    sd[:, ::10] = 1e-3
    changed["posterior"] = changed["posterior"].assign(sd=sd, mean=0 * sd + 1.7)
    spiky = inference_data.assemble(changed, inference_data.attributes(fits["gaussian"]))
    fit = FittedPopulation(spiky)
    assert fit.band[1].max() > 3 * fit.band[1][2].max()
    height = pyxstan.plot(spiky)["population"].axes[0].get_ylim()[1]
    assert height < 2.5 * fit.band[1][2].max()


# several parameters


def test_several_parameters() -> None:
    data, _ = pyxstan.simulate("stack_multivariate", seed=4, objects=40, samples=100)
    fit = pyxstan.fit("stack_multivariate", data, **SHORT)
    figures = pyxstan.plot(fit)
    assert list(figures) == ["population", "corner"]
    axes = figures["population"].axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == data.parameters
    whole = [p for p in axes.patches if isinstance(p, Ellipse) and p.get_linewidth() > 1]
    posterior = fit.posterior.median(("chain", "draw"))
    center, sd = posterior["mean"].to_numpy(), posterior["sd"].to_numpy()
    rho = float(posterior["correlation"].item())
    inverse = np.linalg.inv(np.outer(sd, sd) * [[1, rho], [rho, 1]])
    turn = np.linspace(0, 2 * np.pi, 30)
    circle = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for size, ellipse in zip((1, 2), whole, strict=True):
        away = ellipse.get_patch_transform().transform(circle) - center
        assert np.einsum("ki,ij,kj->k", away, inverse, away) == pytest.approx(size**2)
    assert len(figures["corner"].axes) == 15


def test_means_that_follow_a_covariate() -> None:
    data, _ = pyxstan.simulate("stack_regression", seed=4, objects=40, samples=100)
    fit = pyxstan.fit("stack_regression", data, **SHORT)
    figures = pyxstan.plot(fit)
    assert list(figures) == ["population", "corner"]
    axes = figures["population"].axes[0]
    ((name, at),) = data.covariates.items()
    assert (axes.get_xlabel(), axes.get_ylabel()) == (name, data.parameters[0])
    points = axes.containers[0].lines[0].get_data()
    np.testing.assert_allclose(points[0], at)
    np.testing.assert_allclose(points[1], fit.observed_data["sample_mean"].to_numpy().ravel())
    x, y = by_label(axes)["mean of the population, 68% band"].get_data()
    slope = fit.posterior["slope"].to_numpy().ravel()
    assert (y[-1] - y[0]) / (x[-1] - x[0]) == pytest.approx(np.median(slope), rel=0.1)
    assert np.interp(at.mean(), x, y) == pytest.approx(float(fit.posterior["mean"].median()), 1e-3)
    with pytest.raises(pyxstan.DataError, match="a is not a stack of one parameter"):
        side_by_side({"a": fit})
