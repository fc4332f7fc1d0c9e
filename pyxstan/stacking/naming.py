"""Names: of objects, after the files they come from, and lists of them in messages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

#: Names that a message lists.
_LONGEST = 20


def some(names: Sequence[Any]) -> str:
    """Names for a message, not too many."""
    more = f" and {len(names) - _LONGEST} more" if len(names) > _LONGEST else ""
    return ", ".join(map(str, names[:_LONGEST])) + more


def listed(names: str | Sequence[str]) -> list[str]:
    """One name or several as a list."""
    return [names] if isinstance(names, str) else [str(name) for name in names]


def object_names(paths: Sequence[Path]) -> list[str]:
    """What tells the paths apart: the last part of them that differs, more where names repeat."""
    parts = [Path(os.path.abspath(path)).parts for path in paths]  # noqa: PTH100 (resolves no links)
    while len({part[-1] for part in parts}) == 1 and len(set(parts)) > 1:
        parts = [part[:-1] for part in parts]
    names = [part[-1] for part in parts]
    if len(set(names)) == len(names):
        return names
    common = len(Path(os.path.commonpath([Path(*part[:-1]) for part in parts])).parts)
    return ["/".join(part[common:]) for part in parts]
