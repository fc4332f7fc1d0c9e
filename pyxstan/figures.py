"""`plot`: the figures of a fit, as its model's family draws them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyxstan import inference_data, output, ownership, registry

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Resolution of figures that are written.
_DPI = 160


def plot(
    idata: Any, directory: str | Path | None = None, *, overwrite: bool = False
) -> dict[str, Figure]:
    """Draw the figures of a fit.

    Parameters
    ----------
    idata
        What `pyxstan.fit` returned.
    directory
        Where to write them as ``<name>.png`` and ``<name>.pdf``; default nowhere.
    overwrite
        Take the place of figures of another model, or of other data, that are there.

    Returns
    -------
    dict
        Name -> `matplotlib.figure.Figure`: a notebook shows one as it is, ``figure.show()`` opens
        a window.

    Raises
    ------
    DataError
        `idata` is not a result of pyxstan, or `directory` can't be written, or holds figures of
        another fit.
    """
    model = registry.get(str(inference_data.attributes(idata).get("model")))
    owner = ownership.owner_of(idata)
    if directory is not None and not overwrite:
        ownership.check_figures(Path(directory), owner)
    figures = model.family.figures(idata)
    if directory is not None:
        save(figures, output.prepare_directory(Path(directory)), owner)
        ownership.remove_figures(Path(directory), but=owner)
    return figures


def save(figures: Mapping[str, Figure], folder: Path, owner: str = "") -> None:
    """Write figures as ``<name>.png`` and ``<name>.pdf``, and in the former whose they are."""
    for name, figure in figures.items():
        layout = figure.get_layout_engine()
        try:
            for kind in ("png", "pdf"):
                said = {ownership.KEY: owner} if owner and kind == "png" else None
                with output.replacing(folder / f"{name}.{kind}") as temporary:
                    _write(figure, temporary, kind, said)
                figure.set_layout_engine("none")  # laid out once
        finally:
            figure.set_layout_engine(layout)


def _write(figure: Figure, path: Path, kind: str, metadata: Mapping[str, str] | None) -> None:
    """Write a figure, drawn once: `Figure.savefig` draws all a first time to find its size.

    What a user's settings say of saved figures (``savefig.*``) doesn't count.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    shown, resolution = figure.canvas, figure.dpi
    canvas: Any = (FigureCanvasAgg if kind == "png" else FigureCanvasPdf)(figure)
    try:
        figure.set_dpi(_DPI)  # of the new canvas: a window that shows the figure keeps its size
        if kind == "png":
            canvas.print_png(path, metadata=metadata)
        else:
            canvas.print_pdf(path)
    finally:
        figure.set_dpi(resolution)
        figure.set_canvas(shown)


def blank(width: float, height: float, layout: Any = "constrained") -> Figure:
    """Make an empty figure of a size in inches."""
    from pyxstan.canvas import Canvas

    return Canvas(figsize=(width, height), layout=layout)


def plain(text: str) -> str:
    """Text that matplotlib leaves as it is."""
    return text.replace("$", r"\$")
