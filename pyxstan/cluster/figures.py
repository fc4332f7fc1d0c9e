"""Figures of a cluster image's fit."""

from typing import Any


def figures(idata: Any) -> dict[str, Any]:
    return {}


def side_by_side(fits: Any) -> Any:
    raise NotImplementedError
