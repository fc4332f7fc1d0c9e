"""Figures that need no display, and show where there is one: in a notebook, or in a window."""

from __future__ import annotations

import io
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


class Canvas(Figure):
    """A figure that belongs to no window system until it is shown."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=110)
        return file.getvalue()

    def show(self, warn: bool = True) -> None:
        """Show in a window of the backend that matplotlib uses; without a display, warn."""
        from matplotlib import pyplot

        if self.canvas.manager is None:
            pyplot.figure(FigureClass=lambda *args, **settings: self)  # type: ignore[arg-type]
        super().show(warn)
