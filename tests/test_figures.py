"""Figures belong to no window system, and show themselves where there is one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import pyplot

import pyxstan
from pyxstan.figures import blank, save

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


def test_what_is_written_is_what_savefig_writes(tmp_path: Path) -> None:
    """And the figure is as it was before, with its own canvas, also where it can't be written."""
    figure = blank(3, 2)
    figure.subplots().plot([0, 1], [0, 3], label="$a$")
    before = figure.canvas, figure.dpi, figure.get_layout_engine()
    save({"name": figure}, tmp_path)
    figure.savefig(tmp_path / "other.png", dpi=160)
    ours, theirs = (pyplot.imread(tmp_path / f"{name}.png") for name in ("name", "other"))
    np.testing.assert_array_equal(ours, theirs)
    assert (tmp_path / "name.pdf").read_bytes().startswith(b"%PDF")
    figure.axes[0].set_title("$\\nonsense{$")
    with pytest.raises(ValueError, match="nonsense"):
        save({"name": figure}, tmp_path)
    assert (figure.canvas, figure.dpi, figure.get_layout_engine()) == before
