"""In which unit an exposure map is: told, stated in its header, or evident from its values."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyxstan.errors import DataError

if TYPE_CHECKING:
    from pyxstan.cluster.readers import FitsImage

#: Peaks that tell the unit: no telescope has 5000 cm2 behind one pixel's photons, none that makes
#: images less than 10, no observation worth fitting has less than 1e6 cm2 s, none takes 1e7 s.
_LARGEST_AREA = 5000.0
_SMALLEST_AREA = 10.0
_SMALLEST_AREA_TIME = 1e6
_LONGEST_TIME = 1e7
#: A user's unit is doubted above this peak.
_LARGEST = {
    "s": _LONGEST_TIME, "cm2": 20 * _LARGEST_AREA, "relative": 1.5, "cm2 s": math.inf,
}  # fmt: skip
#: Peak of a map in s, as a fraction of EXPOSURE: dead time and vignetting one way, and slightly
#: different good time intervals the other.
_TIME_FRACTIONS = (0.5, 1.2)
#: A map in cm2 has a peak below this fraction of EXPOSURE; in between it may be either.
_AREA_FRACTION = 0.1
#: Programs whose maps are in s, though they do not say so.
_IN_SECONDS = re.compile(r"(?i)\b(eexpmap|xrtexpomap)\b")
_RELATIVE = {"relative", "fraction", "fractional", "normalized", "normalised"}
_KNOWN = "cm2, cm2 s, s or relative"


@dataclass(frozen=True)
class ExposureUnit:
    """How an exposure map becomes an exposure.

    Parameters
    ----------
    factor
        What to multiply the map by.
    unit
        Unit of the product, "cm2 s" or "s".
    note
        What was decided, and why.
    warnings
        What speaks against it.
    """

    factor: float
    unit: str
    note: str
    warnings: tuple[str, ...] = ()


def parse_unit(text: str) -> tuple[str, float] | None:
    """Take a unit apart: "cm2", "cm2 s", "s" or "relative" and the factor to it, or None.

    >>> parse_unit("sec cm**2 counts/photon"), parse_unit("%"), parse_unit("Primary Array")
    (('cm2 s', 1.0), ('relative', 0.01), None)
    """
    from astropy import units as u

    plain = text.strip()
    if plain.lower() in _RELATIVE:
        return "relative", 1.0
    if plain.lower() in ("%", "percent"):
        return "relative", 0.01
    for word, symbol in (("sec(?:onds?|s)?", "s"), ("counts", "ct"), ("cts", "ct"),
                         ("photons", "photon")):  # fmt: skip
        plain = re.sub(rf"(?i)\b{word}\b", symbol, plain)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for spelling in dict.fromkeys((plain, plain.lower())):
            try:
                found = u.Unit(spelling)
            except (ValueError, TypeError):
                continue
            for name in ("cm2", "cm2 s", "s"):
                for unit in (u.Unit(name), u.Unit(name) * u.ct / u.photon):
                    if found.is_equivalent(unit):
                        return name, float(found.to(unit))
    return None


def exposure_unit(
    chart: FitsImage, peak: float, given: str | None, image: FitsImage
) -> ExposureUnit:
    """Decide the unit of an exposure map.

    Parameters
    ----------
    chart
        The exposure map.
    peak
        Its largest value.
    given
        What the user says of its unit.
    image
        The counts image, whose ``EXPOSURE`` multiplies maps in cm2 and relative ones.

    Raises
    ------
    DataError
        Neither the user nor the header says it, and the values leave it open; no exposure time for
        a map that needs one.
    """
    owner = next((one for one in (image, chart) if one.keyword("EXPOSURE") is not None), image)
    time = owner.keyword("EXPOSURE")
    stated = next(
        (
            (name, str(value), parse_unit(str(value)))
            for name in ("BUNIT", "UNIT", "UNITS")
            if isinstance(value := chart.headers[0].get(name), str) and parse_unit(value)
        ),
        None,
    )
    doubts: list[str] = []
    if given is not None:
        found = parse_unit(given) if isinstance(given, str) else None
        if found is None:
            raise DataError(f"exposure_unit '{given}' is not {_KNOWN}")
        why = "as given by exposure_unit"
        unit, largest = found[0], peak * found[1]
        if largest > _LARGEST[unit]:
            shown = "" if unit == "relative" else f" {unit}"
            doubts = [
                f"{chart.source}: exposure_unit says {unit}, but the peak is {largest:g}{shown}: "
                "is the map in cm2 s?"
            ]
    elif stated is not None and stated[2] is not None:
        found, why = stated[2], f"by its {stated[0]} '{stated[1]}'"
        doubts = _doubts(chart.source, found, peak, time)
    else:
        found, why = _guess(chart, peak, time)
    unit, factor = found
    note = f"exposure map {chart.source} taken in {unit}, {why}"
    if unit == "relative":
        note = f"exposure map {chart.source} taken as relative to EXPOSURE, {why}"
    if unit in ("cm2", "relative"):
        seconds = _seconds(time, image.source)
        note += f", and multiplied by EXPOSURE = {seconds:g} s of {owner.source}"
        factor *= seconds
        unit = "cm2 s" if unit == "cm2" else "s"
    return ExposureUnit(factor, unit, note, tuple(doubts))


def _doubts(source: str, found: tuple[str, float], peak: float, time: Any) -> list[str]:
    """What makes the unit of the header hard to believe."""
    unit, largest = found[0], peak * found[1]
    if unit == "relative":
        strange = largest > _LARGEST[unit]
    elif unit == "cm2":
        strange = not 1.5 < largest < _LARGEST[unit]
    elif not _is_positive(time):
        strange = largest > _LONGEST_TIME if unit == "s" else largest < _SMALLEST_AREA_TIME
    else:
        strange = not (0.05 <= largest / time <= 20 if unit == "s" else largest / time >= 1.5)
    if not strange:
        return []
    seconds = f", EXPOSURE {time:g} s" if _is_positive(time) and unit != "relative" else ""
    return [
        f"{source}: the header gives the exposure in {unit}, but its peak is {largest:g}{seconds}: "
        f"if that is not so, give exposure_unit ({_KNOWN})"
    ]


def _guess(chart: FitsImage, peak: float, time: Any) -> tuple[tuple[str, float], str]:
    """Unit by the values, where they leave no doubt."""
    fraction = peak / time if _is_positive(time) else None
    low, high = _TIME_FRACTIONS
    if fraction is not None and low <= fraction <= high:
        return ("s", 1.0), f"a guess: its peak, {peak:g}, is about the image's EXPOSURE, {time:g} s"
    program = _IN_SECONDS.search(str(chart.keyword("CREATOR") or ""))
    if program:
        return ("s", 1.0), f"as {program[1]} makes it"
    if fraction is None:
        exposed, area = peak > _LONGEST_TIME, _SMALLEST_AREA <= peak < _LARGEST_AREA
    else:
        exposed = peak > _SMALLEST_AREA_TIME and fraction >= _SMALLEST_AREA
        area = _SMALLEST_AREA <= peak < _LARGEST_AREA and fraction < _AREA_FRACTION
    if exposed:
        return ("cm2 s", 1.0), f"a guess from its peak, {peak:g}"
    if area:
        return ("cm2", 1.0), f"a guess from its peak, {peak:g}"
    beside = "" if fraction is None else f" ({fraction:.3g} of EXPOSURE, {time:g} s)"
    raise DataError(
        f"{chart.source}: BUNIT does not say the unit of the exposure, nor does its peak, "
        f"{peak:g}{beside}: give exposure_unit ({_KNOWN}, to be multiplied by EXPOSURE)"
    )


def _seconds(time: Any, source: str) -> float:
    if time is None:
        raise DataError(
            f"{source}: no keyword EXPOSURE (s) to multiply an exposure map in cm2, or a "
            "relative one, by; if the map is in another unit, give exposure_unit"
        )
    if not _is_positive(time):
        raise DataError(f"{source}: keyword EXPOSURE is '{time}', expected a positive number of s")
    return float(time)


def _is_positive(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value > 0
