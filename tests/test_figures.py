"""Figures belong to no window system, and show themselves where there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import pyplot

import pyxstan
from pyxstan.figures import blank

PNG = b"\x89PNG\r\n"


def test_a_notebook_shows_a_figure() -> None:
    figure = blank(2, 1)
    figure.subplots().plot([0, 1])
    assert figure._repr_png_().startswith(PNG)  # type: ignore[attr-defined]
    assert not pyplot.get_fignums()


def test_pyplot_shows_what_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY", raising=False)
    pyplot.switch_backend("agg")
    figure = blank(2, 1)
    for _ in range(2):
        figure.show()  # as matplotlib does it: without a display, nothing
        assert pyplot.get_fignums() == [1]
    assert pyplot.gcf() is figure
    pyplot.close("all")


def test_figures_of_a_fit_are_of_that_kind(tmp_path: Path) -> None:
    data, _ = pyxstan.simulate("concordance", seed=1)
    figures = pyxstan.plot(pyxstan.fit("concordance", data, seed=1, progress=False), tmp_path)
    assert all(type(figure) is type(blank(1, 1)) for figure in figures.values())
    assert {path.stem for path in tmp_path.iterdir()} == set(figures)
