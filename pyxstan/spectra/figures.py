"""Figures of a fit of spectra."""

from __future__ import annotations

from typing import Any


def figures(idata: Any) -> dict[str, Any]:
    """Draw the figures by name."""
    return {}
