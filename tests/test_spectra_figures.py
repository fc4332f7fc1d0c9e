"""Figures of spectra: that they are drawn, and that their numbers are right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import integrate, stats

import pyxstan
from pyxstan import inference_data
from pyxstan.spectra import Absorber, LinkedSpectra, Observation, Source, Spectrum, fake
from pyxstan.spectra.figures import figures
from pyxstan.spectra.fitted import FittedSpectrum, display_bins, fitted_spectra
from pyxstan.spectra.instruments import INSTRUMENTS
from pyxstan.spectra.model import component

SHORT = MappingProxyType({"chains": 2, "draws": 100, "warmup": 200, "seed": 1, "progress": False})
ENDS = (0.025, 0.16, 0.5, 0.84, 0.975)
RATE = "counts s$^{-1}$ keV$^{-1}$"


def empty(name: str, instrument: str = "gbm_like") -> Spectrum:
    """No counts, no background."""
    response = INSTRUMENTS[instrument].response()
    return Spectrum(name, np.zeros(response.channels), 10.0, response=response)


def several() -> LinkedSpectra:
    """One source in three spectra, none with a background: with a gap, chi-square, one channel."""
    parts = {
        "pl": component("powerlaw", K="lognormal(0, 1)", index="normal(-1.6, 0.3)"),
        "line": component("gaussian_line", F="lognormal(-2, 1)", mu=100, sigma=0),
    }
    source = Source("burst", parts, {"gas": Absorber("lognormal(4, 0.5)")})
    gap = empty("NaI $1").noticing("10-30, 40-800")
    data = LinkedSpectra((Observation(gap, "burst"),), (source,))
    truth = {"burst.pl.K": 3, "burst.pl.index": -1.6, "burst.line.F": 0.2, "burst.gas.NH": 60}
    first = fake(data, truth, seed=2).observations[0].spectrum
    errors = np.sqrt(first.counts + 1)
    gaussian = replace(first, name="Gaussian", poisson=False, errors=errors).noticing("20-500")
    one = replace(first, name="alone").noticing("50-50.1")
    assert one.groups().size == 1
    return LinkedSpectra(tuple(Observation(s, "burst") for s in (first, gaussian, one)), (source,))


def many() -> LinkedSpectra:
    """Seven sources, a spectrum each."""
    names = [f"s{k}" for k in range(7)]
    power = {"K": "lognormal(0, 1)", "index": "normal(-1.6, 0.3)"}
    sources = [Source(name, {"pl": component("powerlaw", **power)}) for name in names]
    spectra = [Observation(empty(name).noticing("10-800"), name) for name in names]
    data = LinkedSpectra(tuple(spectra), tuple(sources))
    truth = {f"{n}.pl.{p}": x for n in names for p, x in (("K", 2.0), ("index", -1.6))}
    return fake(data, truth, seed=3)


@pytest.fixture(scope="module")
def fits() -> dict[str, Any]:
    linked, _ = pyxstan.simulate("linked_spectra", seed=3, case="linked")
    return {
        "linked": pyxstan.fit("linked_spectra", linked, **SHORT),
        "several": pyxstan.fit("linked_spectra", several(), **SHORT),
        "many": pyxstan.fit("linked_spectra", many(), method="laplace", draws=50, seed=1),
        "one draw": pyxstan.fit("linked_spectra", linked, method="map", seed=1),
    }


@pytest.fixture(scope="module")
def drawn(fits: Mapping[str, Any]) -> dict[str, dict[str, Figure]]:
    return {name: pyxstan.plot(fit) for name, fit in fits.items()}


SPECTRA = {
    "linked": ["src1, wstat", "src2, wstat"],
    "several": [r"NaI \$1 (burst), cstat", "Gaussian (burst), chi2", "alone (burst), cstat"],
    "many": [f"s{k}, cstat" for k in range(6)],
    "one draw": ["src1, wstat", "src2, wstat"],
}
SOURCES = {
    "linked": ["src1", "src2"],
    "several": [""],
    "many": [f"s{k}" for k in range(6)],
    "one draw": ["src1", "src2"],
}


def panels(figure: Figure) -> list[Axes]:
    """Those that aren't left empty."""
    return [axes for axes in figure.axes if axes.has_data()]


def pairs(figure: Figure) -> dict[str, tuple[Axes, Axes]]:
    """Title of each panel -> it, and the smaller one below."""
    upper = [axes for axes in panels(figure) if axes.get_title()]
    lower = [axes for axes in panels(figure) if not axes.get_title()]

    def below(axes: Axes) -> Axes:
        left, bottom = axes.get_position().p0
        under = [o for o in lower if abs(o.get_position().x0 - left) < 0.2]
        under = [o for o in under if o.get_position().y0 < bottom]
        return max(under, key=lambda o: o.get_position().y0)

    return {axes.get_title(): (axes, below(axes)) for axes in upper}


def by_label(axes: Axes) -> dict[str, Any]:
    handles, labels = axes.get_legend_handles_labels()
    return dict(zip(labels, handles, strict=True))


def middles(line: Any, low: np.ndarray) -> np.ndarray:
    """Height of a line of steps in each bin."""
    x, y = line.get_data()
    assert x[::3] == pytest.approx(low)
    return y[::3]


def spectrum(fit: Any, name: str) -> FittedSpectrum:
    return next(one for one in fitted_spectra(fit) if one.name == name)


def flat(fit: Any, name: str, of: str) -> np.ndarray:
    """Draws of a prediction for one spectrum, shape (draws, channels)."""
    group = inference_data.group(fit, "posterior_predictive")
    values = group[name].to_numpy()
    return values.reshape(-1, values.shape[-1])[:, group["spectrum"].to_numpy() == of]


def parameter(fit: Any, name: str) -> np.ndarray:
    return inference_data.group(fit, "posterior")["value"].sel(parameter=name).to_numpy().ravel()


@pytest.mark.parametrize("name", list(SPECTRA))
def test_every_figure_has_its_panels_and_units(
    name: str, drawn: Mapping[str, dict[str, Figure]]
) -> None:
    found = drawn[name]
    wanted = ["counts", "unfolded", "qq"] + ["corner"] * (name != "one draw")
    assert list(found) == wanted
    for kind, figure in found.items():
        # many panels take seconds; the contract of every model draws the linked ones
        if name != "linked" and (name, kind) != ("many", "corner"):
            figure.canvas.draw()
    assert list(pairs(found["counts"])) == SPECTRA[name]
    assert list(pairs(found["qq"])) == SPECTRA[name]
    assert [axes.get_title() for axes in panels(found["unfolded"])] == SOURCES[name]
    above, below = next(iter(pairs(found["counts"]).values()))
    assert above.get_ylabel() == RATE
    assert below.get_ylabel() == "residual\n(sigma)"
    assert (above.get_xscale(), above.get_yscale(), below.get_yscale()) == ("log", "log", "linear")
    above, below = next(iter(pairs(found["qq"]).values()))
    assert above.get_ylabel().startswith("observed counts")
    assert "(counts)" in below.get_ylabel()
    for _, below in pairs(found["counts"]).values():
        assert below.get_xlabel() == "energy (keV)"
    for axes in panels(found["unfolded"]):
        assert axes.get_xlabel() == "energy (keV)"
    axes = panels(found["unfolded"])[0]
    assert axes.get_ylabel() == "$E^2 f(E)$ (keV s$^{-1}$ cm$^{-2}$)"


def test_six_of_seven_are_shown_and_it_says_so(drawn: Mapping[str, dict[str, Figure]]) -> None:
    assert drawn["many"]["counts"].get_suptitle() == "the first 6 of 7 spectra"
    assert drawn["many"]["qq"].get_suptitle() == "the first 6 of 7 spectra"
    assert drawn["many"]["unfolded"].get_suptitle() == "the first 6 of 7 sources"
    assert drawn["many"]["corner"].get_suptitle() == "10 of 14 sampled parameters"
    assert drawn["linked"]["counts"].get_suptitle() == ""


@pytest.mark.parametrize("title", SPECTRA["linked"])
def test_counts_and_lines_are_those_of_the_fit(
    title: str, fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    name = title.split(",")[0]
    fit, axes = fits["linked"], pairs(drawn["linked"]["counts"])[title][0]
    constant = inference_data.group(fit, "constant_data")
    own = constant["spectrum"].to_numpy() == name
    low, high = (constant[f"energy_{end}"].to_numpy()[own] for end in ("low", "high"))
    counts = inference_data.group(fit, "observed_data")["counts"].to_numpy()[own]
    background = 0.1 * constant["background"].to_numpy()[own]
    starts = spectrum(fit, name).starts
    width = 10.0 * (np.append(low[starts[1:]], high[-1]) - low[starts])

    def rate(values: np.ndarray) -> np.ndarray:
        return np.add.reduceat(values, starts, axis=-1) / width

    points, _, (_, along) = axes.containers[0].lines
    assert points.get_ydata() == pytest.approx(rate(counts))
    n = np.add.reduceat(counts, starts)
    ends = np.array([segment[:, 1] for segment in along.get_segments()]) * width[:, None]
    assert stats.poisson.sf(n - 1, ends[:, 0]) == pytest.approx(np.full(len(n), 0.16))
    assert stats.poisson.cdf(n, ends[:, 1]) == pytest.approx(np.full(len(n), 0.16))
    shown, source = by_label(axes), flat(fit, "source_counts", name)
    total = np.quantile(rate(source + background), ENDS, axis=0)
    line = shown["source + background, 68 and 95% bands"]
    assert middles(line, low[starts]) == pytest.approx(total[2])
    assert middles(shown["source"], low[starts]) == pytest.approx(np.median(rate(source), axis=0))
    assert middles(shown["background, scaled"], low[starts]) == pytest.approx(rate(background))
    for band, (bottom, top) in zip(axes.collections[2:], ((0, 4), (1, 3)), strict=True):
        y = band.get_paths()[0].vertices[:, 1]
        assert (y.min(), y.max()) == pytest.approx((total[bottom].min(), total[top].max()))


def test_residuals_are_in_units_of_sigma(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    fit = fits["linked"]
    one = spectrum(fit, "src2")
    above, below = pairs(drawn["linked"]["counts"])["src2, wstat"]
    data = above.containers[0].lines[0].get_ydata()
    model = by_label(above)["source + background, 68 and 95% bands"].get_ydata()[::3]
    both = np.add.reduceat(np.median(flat(fit, "expected_counts", "src2"), axis=0), one.starts)
    behind = np.add.reduceat(0.1 * one.background, one.starts)
    found = below.containers[0].lines[0].get_ydata()
    # the background's own error adds to Poisson's
    wanted = (data - model) * one.per / np.sqrt(both + 0.1 * behind)
    assert found == pytest.approx(wanted, rel=0.03)
    assert np.sum(found**2) == pytest.approx(len(found), rel=0.6)
    chi = spectrum(fits["several"], "Gaussian")
    n = np.add.reduceat(chi.observed, chi.starts)
    m = np.median(np.add.reduceat(chi.source_counts, chi.starts, axis=1), axis=0)
    wanted = (n - m) / np.sqrt(np.add.reduceat(chi.error**2, chi.starts))
    axes = pairs(drawn["several"]["counts"])["Gaussian (burst), chi2"][1]
    assert axes.containers[0].lines[0].get_ydata() == pytest.approx(wanted)


def test_no_background_a_gap_and_one_channel(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    found = pairs(drawn["several"]["counts"])
    for above, _ in found.values():
        assert set(by_label(above)) == {"data", "model, 68 and 95% bands"}
    gap = by_label(found[r"NaI \$1 (burst), cstat"][0])["model, 68 and 95% bands"]
    x, y = gap.get_data()
    (k,) = np.flatnonzero(np.isnan(y))
    assert 30 <= x[k] < x[k + 1] <= 40
    alone = found["alone (burst), cstat"][0]
    counts = spectrum(fits["several"], "alone").observed
    points = alone.containers[0].lines[0]
    width = np.diff(alone.containers[0].lines[2][0].get_segments()[0][:, 0])
    assert points.get_ydata() * 10.0 * width == pytest.approx(counts)
    low, high = alone.get_xlim()
    assert low < points.get_xdata() < high


def test_one_draw_has_no_bands(drawn: Mapping[str, dict[str, Figure]]) -> None:
    for above, _ in pairs(drawn["one draw"]["counts"]).values():
        assert set(by_label(above)) == {
            "data", "source + background", "source", "background, scaled"
        }  # fmt: skip
        assert len(above.collections) == 2  # error bars
    axes = panels(drawn["one draw"]["unfolded"])[1]
    assert set(by_label(axes)) == {"source", "bb", "pl"}
    assert not axes.collections
    assert not pairs(drawn["one draw"]["qq"])["src1, wstat"][0].collections


# before the instruments


def test_components_are_unfolded(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    fit, axes = fits["linked"], panels(drawn["linked"]["unfolded"])[1]
    shown = by_label(axes)
    e = shown["source, 68 and 95% bands"].get_xdata()
    assert (e[0], e[-1]) == pytest.approx((9.77, 1030), rel=0.01)
    K, kT, F, index = (
        parameter(fit, f"src2.{name}")[:, None] for name in ("bb.K", "bb.kT", "pl.F", "pl.index")
    )
    bb = K * e**4 / np.expm1(e / kT)
    pl = F * (index + 1) / (500 ** (index + 1) - 10 ** (index + 1)) * e ** (index + 2)
    for name, values in (("bb", bb), ("pl", pl), ("source, 68 and 95% bands", bb + pl)):
        assert shown[name].get_ydata() == pytest.approx(np.median(values, axis=0))
    assert shown["bb"].get_linestyle() == "--"
    top = axes.collections[0].get_paths()[0].vertices[:, 1].max()
    assert top == pytest.approx(np.quantile(bb + pl, 0.975, axis=0).max())
    alone = by_label(panels(drawn["linked"]["unfolded"])[0])
    assert list(alone) == ["source, 68 and 95% bands"]


def test_absorption_is_shown_and_lines_have_a_width(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    fit, (axes,) = fits["several"], panels(drawn["several"]["unfolded"])
    shown = by_label(axes)
    assert set(shown) == {"source, 68 and 95% bands", "pl", "line", "without absorption"}
    K, index, F = (parameter(fit, f"burst.{n}") for n in ("pl.K", "pl.index", "line.F"))
    e, free = shown["without absorption"].get_data()
    away = np.abs(e - 100) > 5
    power = np.median(K[:, None] * e ** (index[:, None] + 2), axis=0)
    assert free[away] == pytest.approx(power[away])
    absorbed = shown["source, 68 and 95% bands"].get_ydata()
    assert absorbed[0] < 0.9 * free[0]
    assert absorbed[-1] == pytest.approx(free[-1], rel=0.01)
    line = shown["line"].get_ydata()
    assert integrate.trapezoid(line / e**2, e) == pytest.approx(np.median(F), rel=0.03)
    # from the lowest energy of all three spectra to the highest
    assert (e[0], e[-1]) == pytest.approx((9.77, 830), rel=0.05)


# cumulated counts


def test_counts_are_cumulated(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    fit = fits["linked"]
    above, below = pairs(drawn["linked"]["qq"])["src1, wstat"]
    x, y = by_label(above)["observed"].get_data()
    counts = spectrum(fit, "src1").observed
    expected = np.cumsum(flat(fit, "expected_counts", "src1"), axis=1)
    assert np.diff(y) == pytest.approx(counts)
    assert x[1:] == pytest.approx(np.median(expected, axis=0))
    assert below.lines[1].get_ydata() == pytest.approx(y - x)
    assert by_label(above)["observed = expected"].get_ydata() == pytest.approx(x)
    predicted = np.quantile(np.cumsum(flat(fit, "counts", "src1"), axis=1)[:, -1], ENDS)
    for band, (bottom, top) in zip(above.collections, ((0, 4), (1, 3)), strict=True):
        vertices = band.get_paths()[0].vertices
        ends = vertices[np.isclose(vertices[:, 0], x[-1]), 1]
        assert (ends.min(), ends.max()) == pytest.approx((predicted[bottom], predicted[top]))
    # a mark is where the curve has the channels below its energy
    marks = {text.get_text(): text.xy for text in above.texts}
    upper = spectrum(fit, "src1").high
    for energy in (50, 100):
        assert marks[f"{energy} keV"][1] == counts[upper <= energy].sum()


# parameters


def test_the_corner_has_what_is_sampled_with_units(
    fits: Mapping[str, Any], drawn: Mapping[str, dict[str, Figure]]
) -> None:
    axes = drawn["linked"]["corner"].axes
    labels = [one.get_xlabel() for one in axes[-5:]]
    assert len(axes) == 15  # the linked temperature is there once
    assert labels[1:2] + labels[3:] == [
        "src1.bb.kT\n(keV)", "src2.pl.F\n(ph s$^{-1}$ cm$^{-2}$)", "src2.pl.index"
    ]  # fmt: skip
    assert labels[2] == "src2.bb.K\n($10^{-5}$ ph s$^{-1}$\ncm$^{-2}$ keV$^{-3}$)"
    for alone, name, factor in ((5, "src2.bb.K", 1e5), (9, "src2.pl.F", 1.0)):
        median = axes[alone].lines[1].get_xdata()[0]
        assert median == pytest.approx(factor * np.median(parameter(fits["linked"], name)))
    columns = [one.get_xlabel() for one in drawn["several"]["corner"].axes[-4:]]
    assert columns[3] == "burst.gas.NH\n($10^{22}$ cm$^{-2}$)"


# bins of a figure


def test_bins_have_counts_enough_and_no_gap() -> None:
    edges = np.geomspace(1, 10, 201)
    low, high = np.delete(edges[:-1], slice(80, 120)), np.delete(edges[1:], slice(80, 120))
    counts = np.random.default_rng(1).poisson(3.0, low.size).astype(float)
    starts = display_bins(low, high, counts, counts)
    assert 80 in starts  # the first after the gap
    assert starts[0] == 0
    sums = np.add.reduceat(counts, starts)
    assert sums.sum() == counts.sum()
    assert (sums >= 16).sum() >= len(sums) - 2
    assert (sums >= 4).all()


def test_bins_of_few_counts_and_of_none() -> None:
    low = np.arange(1.0, 101.0)
    few = np.zeros(100)
    few[::5] = 2.0
    assert 8 <= len(display_bins(low, low + 1, few, few)) <= 10
    nothing = np.zeros(100)
    assert display_bins(low, low + 1, nothing, nothing).tolist() == [0]
    # what remains at the end, without significance, joins the bin before
    last = np.where(low < 50, 20.0, 0.0)
    assert display_bins(low, low + 1, last, last).max() < 50
    below_zero = display_bins(low, low + 1, -few, few + 1)
    assert below_zero.tolist() == [0]


def test_what_is_no_fit_of_spectra(fits: Mapping[str, Any]) -> None:
    posterior = inference_data.group(fits["linked"], "posterior")
    other = inference_data.assemble({"posterior": posterior}, {"model": "beta"})
    with pytest.raises(pyxstan.DataError, match="expected a fit of linked_spectra"):
        figures(other)


def test_no_counts_and_negative_ones(fits: Mapping[str, Any]) -> None:
    source = Source("s", {"pl": component("powerlaw", K="lognormal(-3, 1)", index=-1.6)})
    nothing = empty("nothing").noticing("10-100")
    counts = np.random.default_rng(1).normal(-0.5, 1.0, nothing.counts.size)
    below = replace(
        nothing, name="below", counts=counts, poisson=False, errors=np.ones_like(counts)
    )
    data = LinkedSpectra((Observation(nothing, "s"), Observation(below, "s")), (source,))
    fit = pyxstan.fit("linked_spectra", data, **SHORT)
    found = pairs(pyxstan.plot(fit)["counts"])
    points = found["nothing (s), cstat"][0].containers[0].lines[0]
    assert points.get_ydata() == [0.0]
    assert np.isfinite(found["below (s), chi2"][1].containers[0].lines[0].get_ydata()).all()
