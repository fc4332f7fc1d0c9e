"""Units in the words that programs read."""

from __future__ import annotations

import re

_WORDS = {"counts": "count", "pixels": "pixel", "photons": "photon"}


def spelled(unit: str) -> str:
    """A unit as astropy and pint both read it, for the attribute ``units`` of a variable.

    >>> spelled("counts/s/cm2/pixel"), spelled("erg cm-2 s-1"), spelled("keV")
    ('count / (s cm**2 pixel)', 'erg cm**-2 s**-1', 'keV')
    """
    unit = re.sub(r"\b([a-zA-Z]+)(-?\d+)\b", r"\1**\2", unit)
    unit = re.sub(r"[a-zA-Z]+", lambda word: _WORDS.get(word[0], word[0]), unit)
    if "(" in unit or "/" not in unit:
        return unit
    above, *below = (part.strip() for part in unit.split("/"))
    divisor = " ".join(below)
    return f"{above or 1} / ({divisor})" if " " in divisor else f"{above or 1} / {divisor}"
