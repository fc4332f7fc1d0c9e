"""Columns of tables of measurements: which are used, and which may not be dropped in silence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from pyxstan.errors import DataError
from pyxstan.tables import Table

#: Words between the separators in a column's name, in small letters.
_WORDS = re.compile(r"[^a-z0-9]+")
#: What a word in the name of a column says, by which the column is not to be dropped in silence.
_ERRORS = re.compile(
    r"e|err\w*|\w*err[pm\d]*|\w*error|sig|sigma\w*|unc|uncert|uncertainty|\w+unc|std|stdev|stddev|sd"
    r"|stat|statistical|sys|syst|systematic|rms|conf|confidence|ci\d*|d(flux|counts|rate|f)|plus"
    r"|minus|percent|pct|[123]sig(ma)?|[deu](flux|counts|rate|fx?)|(flux|counts|rate|fx?)sig(ma)?"
    r"|var|variances?|(flux|counts|rate)var|halfwidth|precision|accuracy|scatter|snr|s2n"
    r"|dev|deviation|bounds?|plusminus|(sig|s)(f|fx|flux)|flux[elu]"
)
#: Likewise, but only beside the column of a long table: they may be names of sources.
_SHORT_ERRORS = re.compile(
    r"e\d{1,2}|delta|lo|low|lower|hi|high|upp?|upper|pos|neg|[pq]\d\d|se|sem|mad|pm|cl"
)
_ENDS = re.compile(r"lo|low|lower|hi|high|up|upp|upper|min|max|pos|neg|p\d\d|q\d\d|[123]s")
#: Lower and upper errors, and variances, which are to be turned into standard deviations.
_SIDES = re.compile(r"lo|low|lower|hi|high|upp?|upper|min|max|pos|neg|plus|minus")
_VARIANCES = re.compile(r"\w*var|variances?")
_ENERGIES = {"min", "max", "lo", "hi", "low", "high", "mid", "mean"}
_LIMITS = re.compile(r"lim\w*|\w+limit|ul|uplim\w*|censor\w*|detected|detections?|nondet\w*")
#: One letter before the name of a quantity, as in ``e_flux``.
_BEFORE = {"u": "errors", "d": "errors", "delta": "errors", "l": "a flag of limits"}
_BEFORE |= dict.fromkeys("fq", "a flag")
_OTHERS = {
    re.compile(r"flags?|flag(flux|counts|rate)|\w+flag|qual|quality|mask|good|bad|used?"): "a flag",
    re.compile(r"w|wt|wgt|weights?"): "a weight",
    re.compile(r"\w*area|aeff|arf|effarea"): "an effective area",
    re.compile(r"bg|bgd\w*|bkg\w*|back|backscal|\w*background"): "a background",
    re.compile(r"exp|expo|exposure|exptime|texp|livetime|ontime"): "an exposure",
}
#: Names of logarithms to base 10.
_DECADES = re.compile(r"log_?10|(?<![a-z])lg|dex")
#: Columns of a wide table that are no source.
_NO_SOURCE = re.compile(
    r"ra|dec|raj2000|dej2000|glon|glat|z|redshift|nh|epoch|mjd\w*|jd|obs_?id|(obs_?)?date\w*|name"
    r"|comments?|notes?|remarks?|ref\w*|band|exposure|distance",
    re.IGNORECASE,
)
#: Names that differ by nothing but these are likely to mean the same.
_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2212"), "-")
#: Marks of footnotes behind a name.
_FOOTNOTE = re.compile(
    r"(?<=\w)\s*(\$?\^\{?[a-z*\d]\}?\$?|[*\u2020\u2021\u00a7\u00aa\u00b9\u00b2\u00b3\u1d43-\u1d61]+)$"
)
#: Names of rows that sum up others.
_AVERAGE = re.compile(r"((weighted|w\.?|arithmetic|sample) )?(mean|average|avg|median)s?\.?", re.I)
_NAMED = 8
#: Measurements, and the factor of fluxes, from which on sigma may be proportional to these, and the
#: correlation of both in the log.
_FEW, _SPAN, _PROPORTIONAL = 4, 1.5, 0.9
#: Logs to base 10 of fluxes in erg/s/cm^2 and of luminosities in erg/s.
_CGS_DECADES = ((-16.5, -9.0), (36.0, 50.0))


def some(names: Sequence[str]) -> str:
    """Names for a note, not too many."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def meaning(column: str, quantities: Iterable[str] = ()) -> str:
    """What a column seems to hold that changes a fit; empty if nothing of the kind."""
    words = [word for word in _WORDS.split(column.lower()) if word]
    if "+/-" in column or "\u00b1" in column or "%" in column or "\u03c3" in column:
        return "errors"
    energy = words[:1] == ["e"] and set(words[1:]) <= _ENERGIES and len(words) > 1
    if not energy and any(_ERRORS.fullmatch(word) for word in words):
        return "errors"
    if words in (["half", "width"], ["s", "n"]):
        return "errors"
    of_quantity = bool(set(words) & set(quantities))
    if "flux" in quantities and len(words) == 2 and "f" in words:  # as in "delta F" and "F_lo"
        other = words[1 - words.index("f")]
        if _ENDS.fullmatch(other) or (words[1] == "f" and other in ("u", "d", "s", "delta")):
            return "errors"
    if of_quantity and any(map(_ENDS.fullmatch, words)):
        return "errors"
    if quantities and len(words) == 1 and _SHORT_ERRORS.fullmatch(words[0]):
        return "errors"
    for word in words if of_quantity else ():
        if word in _BEFORE:
            return _BEFORE[word]
    if any(_LIMITS.fullmatch(word) for word in words):
        return "a flag of limits"
    for pattern, what in _OTHERS.items():
        if any(pattern.fullmatch(word) for word in words):
            return what if what != "an exposure" or "counts" in quantities else ""
    return ""


def left_aside(
    table: Table, used: Iterable[str], quantities: Iterable[str] = (), *, of_areas: bool = False
) -> tuple[str, ...]:
    """Note the columns that are not used.

    Parameters
    ----------
    used
        Columns that are.
    quantities
        Those that hold what was measured: words in the names of what belongs to them.
    of_areas
        Whether it is a table of instruments, whose errors are those of their areas.

    Raises
    ------
    DataError
        One that isn't empty seems to be an error, a limit, a weight, an area or a background.
    """
    taken = set(used)
    known = {"flux", "log_flux", "rate", "fx", *(taken & set(quantities))}
    rest = [column for column in map(str, table.frame.columns) if column not in taken]
    for column in [*rest, *table.unusable]:
        what = meaning(column, known)
        if not what or (column in rest and _is_empty(table, column)):
            continue
        remedy = "it would not be used"
        if of_areas and what == "errors":
            remedy = "call the prior standard deviation of B 'tau' (5% is 0.05)"
        elif of_areas and what == "an effective area":
            remedy = "the natural log of a nominal area is 'b'"
        elif what == "errors":
            remedy = _remedy_of_errors(column)
        raise DataError(
            f"{table.source}: column '{column}' looks like {what}: {remedy} (ignore={column} "
            "leaves it out)"
        )
    rest += [f"{name} ({what})" for name, what in table.unusable.items()]
    return (f"{'instruments: ' * of_areas}columns left aside: {some(rest)}",) if rest else ()


def _remedy_of_errors(column: str) -> str:
    """What to do with a column that seems to hold errors."""
    words = _WORDS.split(column.lower())
    names = "'sigma' (of the natural log) or 'error' (of flux or counts)"
    if any(map(_SIDES.fullmatch, words)):
        return f"lower and upper errors are to be combined, as by their mean, in one column {names}"
    if any(map(_VARIANCES.fullmatch, words)):
        return f"give the square root of a variance as {names}"
    if {"snr", "s2n"} & set(words) or words == ["s", "n"]:
        return f"give what it says of errors as {names}: 1 / snr is a sigma"
    if _is_decades(column):
        return "an error of log10 times 2.302585 is 'sigma', that of the natural log"
    return f"call it {names}, as columns=error:{column} does"


def refuse_decades(columns: Mapping[str, str], source: str) -> None:
    """Raise where a column of logarithms to base 10, by its name, is mapped to natural ones."""
    for name in ("log_flux", "sigma"):
        column = columns.get(name, "")
        if _is_decades(column):
            raise DataError(
                f"{source}: column '{column}' looks like logarithms to base 10, but {name} is of "
                "natural ones: multiply it by 2.302585, and its errors too"
            )
    column = columns.get("error", "")
    if "flux" in columns and _is_decades(column) and not _is_decades(columns["flux"]):
        raise DataError(
            f"{source}: column '{column}' looks like an error of log10, but 'error' is in the unit "
            "of the flux: times 2.302585 it is 'sigma'"
        )


def _is_decades(column: str) -> bool:
    """Whether a column is one of logarithms to base 10, by its name."""
    return bool(_DECADES.search(column.lower())) and "ln" not in column.lower()


def refuse_no_source(column: str, source: str) -> None:
    """Raise where a column of a wide table has the name of something else than a source."""
    if _NO_SOURCE.fullmatch(column):
        raise DataError(
            f"{source}: column '{column}' does not look like a source: leave it out "
            f"(ignore={column}), or name the columns of sources y_<source>"
        )


def _is_empty(table: Table, column: str) -> bool:
    """Whether every cell is empty."""
    cells = table.frame[column]
    blank = cells.isna() | cells.astype(str).str.strip().isin(["", "nan", "--"])
    return bool(blank.all())


def look_alikes(names: Sequence[str], what: str) -> tuple[str, ...]:
    """Warn of names that differ by capitals, blanks, kinds of dashes or marks of notes alone."""
    found: dict[str, str] = {}
    pairs = []
    for name in dict.fromkeys(names):
        plain = unicodedata.normalize("NFKC", _FOOTNOTE.sub("", name)).translate(_DASHES).casefold()
        key = re.sub(r"[\s_]+", "", plain)
        if key in found:
            pairs.append(f"'{found[key]}' and '{name}'")
        found.setdefault(key, name)
    if not pairs:
        return ()
    return (f"{what} of almost the same name are taken for different ones: {some(pairs)}",)


def warn_of_averages(names: Iterable[str], what: str) -> tuple[str, ...]:
    """Warn of rows that seem to sum up the others."""
    found = [name for name in dict.fromkeys(names) if _AVERAGE.fullmatch(name)]
    if not found:
        return ()
    return (f"{what} {some(found)}: taken for one like the others; if it is their mean, drop it",)


def refuse_fluxes(y: np.ndarray, where: str) -> None:
    """Raise where numbers that should be natural logs are the fluxes themselves."""
    if y.size and (y > 0).all() and y.max() < 1e-3:
        raise DataError(
            f"{where}: numbers like {np.median(y):.3g}, which look like fluxes, expected natural "
            "logs of them"
        )


def warn_of_decades(y: np.ndarray, where: str) -> tuple[str, ...]:
    """Warn where natural logs look like logs to base 10 of cgs fluxes or luminosities."""
    if y.size and any(low < y.min() and y.max() < high for low, high in _CGS_DECADES):
        return (
            f"{where}: {y.min():.4g} to {y.max():.4g} is taken for natural logs; logs to base 10 "
            "are to be multiplied by 2.302585, and their errors",
        )
    return ()


def warn_of_absolute(sigma: np.ndarray, flux: np.ndarray, source: str) -> tuple[str, ...]:
    """Warn where a sigma of natural logs grows with the flux as an error in its unit does."""
    if len(flux) < _FEW or np.ptp(np.log(flux)) < np.log(_SPAN) or np.ptp(sigma) == 0:
        return ()
    x, y = np.log(flux), np.log(sigma)
    slope = float(np.cov(x, y)[0, 1] / np.var(x, ddof=1))
    if not (np.corrcoef(x, y)[0, 1] > _PROPORTIONAL and 1 / 1.5 < slope < 1.5):
        return ()
    return (
        f"{source}: 'sigma' is taken for that of the natural log, but it grows in proportion to "
        "the flux: an error in its unit is called 'error'",
    )


def parse_mapping(given: str | Mapping[str, str] | None) -> dict[str, str]:
    """Read ``flux:F_2keV,error:eF``: which column is which."""
    if given is None:
        return {}
    if isinstance(given, Mapping):
        return {str(name): str(column) for name, column in given.items()}
    found: dict[str, str] = {}
    for piece in str(given).split(","):
        name, colon, column = (part.strip() for part in piece.partition(":"))
        if not (name and colon and column):
            raise DataError(f"option columns: '{piece.strip()}' is not name:column, as in flux:F_x")
        if name in found:
            raise DataError(f"option columns: {name} is there twice")
        found[name] = column
    return found


def parse_names(given: str | Iterable[str] | None) -> list[str]:
    """Read names between commas."""
    if given is None:
        return []
    pieces = given.split(",") if isinstance(given, str) else given
    return [str(piece).strip() for piece in pieces if str(piece).strip()]
