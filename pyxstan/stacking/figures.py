"""Figures."""

from typing import Any


def figures(idata: Any) -> dict[str, Any]:
    return {}
