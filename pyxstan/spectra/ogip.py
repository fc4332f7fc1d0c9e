"""From PHA files of type I and II to `Spectrum`: what goes with what."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from pyxstan.errors import DataError
from pyxstan.spectra.file_names import Place, given, named
from pyxstan.spectra.pha_tables import Row, find
from pyxstan.spectra.recorded_counts import recorded
from pyxstan.spectra.response import Response
from pyxstan.spectra.spectrum import Spectrum

FileName = str | os.PathLike[str]
#: So many channels are named in a message.
_NAMED = 5
#: How to say in a model file what is not in the spectrum's.
_KEYS = {"BACKFILE": "background", "RESPFILE": "rmf", "ANCRFILE": "arf"}


def read_spectrum(
    pha: FileName,
    *,
    background: FileName | Spectrum | None,
    rmf: FileName | Response | None,
    arf: FileName | None,
    row: int | str | None,
    extension: int | str | None,
    name: str | None,
) -> Spectrum:
    """Do the work of `Spectrum.from_ogip`."""
    notes: list[str] = []
    place = _asked(given(pha, notes), row, extension)
    found = find(place, notes)
    spectrum = recorded(found, name or _stem(place.path) + found.suffix)
    companion = _background(found, background, spectrum, notes)
    response = _response(found, rmf, arf, notes)
    if response is not None and response.first_channel != spectrum.channel[0]:
        notes.append(
            f"{found.source}: channels from {spectrum.channel[0]}, those of {response.source[0]} "
            f"from {response.first_channel}; taken in order"
        )
    correction = found.table.file_name("CORRFILE", found.row)
    if correction is not None:
        notes.append(
            f"{found.source}: CORRFILE {correction} is not used: nothing is subtracted by CORRSCAL"
        )
    if companion is not None and found.table.text("HDUCLAS2") == "NET":
        notes.append(
            f"{found.source}: HDUCLAS2 is NET: a background is subtracted already, and "
            f"{companion.source} is taken besides (background='none' takes none)"
        )
    if companion is None and spectrum.poisson and found.table.text("HDUCLAS2") == "NET":
        notes.append(
            f"{found.source}: HDUCLAS2 is NET: a background is subtracted, but the counts are "
            "taken as Poisson's, which they aren't: take the TOTAL counts and the background"
        )
    if companion is not None:
        notes.extend(_without_background(spectrum, companion))
    return replace(
        spectrum,
        background=companion,
        response=response,
        notes=tuple(dict.fromkeys((*spectrum.notes, *notes))),
    )


def _stem(path: Path) -> str:
    return Path(path.name.removesuffix(".gz").removesuffix(".bz2")).stem


def _asked(place: Place, row: int | str | None, extension: int | str | None) -> Place:
    """A file's name together with what the caller says besides."""
    if row is not None and place.number is not None and row != place.number:
        raise DataError(f"{place.path}: row {row}, but the file name says {{{place.number}}}")
    if extension is not None and place.extension is not None and extension != place.extension:
        raise DataError(
            f"{place.path}: extension {extension}, but the file name says [{place.extension}]"
        )
    return replace(
        place,
        number=place.number if row is None else row,
        extension=place.extension if extension is None else extension,
    )


def _background(
    found: Row, asked: FileName | Spectrum | None, spectrum: Spectrum, notes: list[str]
) -> Spectrum | None:
    if isinstance(asked, Spectrum):
        if asked.source == found.source:
            raise DataError(_is_itself(found, "background"))
        return asked
    place = _chosen(found, asked, "BACKFILE", notes)
    if place is None:
        if {"BACKGROUND_UP", "BACKGROUND_DOWN"} & set(found.table.data.columns.names):
            notes.append(f"{found.source}: columns of background are not used")
        return None
    behind = find(place, notes, source=found)
    if behind.same_as(found):
        raise DataError(_is_itself(found, "BACKFILE" if asked is None else "background"))
    companion = recorded(behind, _stem(place.path) + behind.suffix, source=spectrum)
    notes.extend(companion.notes)
    first, other = int(spectrum.channel[0]), int(companion.channel[0])
    if first != other and "CHANNEL" in behind.table:
        notes.append(
            f"{companion.source}: channels from {other}, those of {found.source} from {first}; "
            "taken in order"
        )
    return companion


def _without_background(spectrum: Spectrum, companion: Spectrum) -> list[str]:
    """Say in which channels in use the background has no size, so that it is left out."""
    if len(companion.counts) != len(spectrum.counts):
        return []
    used = (spectrum.quality == 0) & (companion.quality == 0)
    none = spectrum.channel[used & ((companion.backscal == 0) | (companion.areascal == 0))]
    if not len(none):
        return []
    named = ", ".join(map(str, none[:_NAMED])) + (", ..." if len(none) > _NAMED else "")
    return [
        f"{companion.source}: BACKSCAL or AREASCAL is 0 in {len(none)} channels in use ({named}): "
        "no background is taken there"
    ]


def _is_itself(found: Row, what: str) -> str:
    return (
        f"{found.source}: {what} names the spectrum itself, expected another, or none "
        "(background='none', in a model file background: none)"
    )


def _response(
    found: Row, rmf: FileName | Response | None, arf: FileName | None, notes: list[str]
) -> Response | None:
    if isinstance(rmf, Response):
        if arf is not None:
            raise DataError(f"arf: expected none beside a response that is read, got {arf}")
        return rmf
    matrix = _chosen(found, rmf, "RESPFILE", notes)
    if matrix is None:
        if arf is not None and _is_name(arf):
            raise DataError(
                f"{found.source}: arf {arf}, but no RMF: no RESPFILE, and no rmf: is given"
            )
        return None
    area = _chosen(found, arf, "ANCRFILE", notes)
    response = Response.read(str(matrix), None if area is None else str(area))
    notes.extend(response.notes)
    return response


def _is_name(asked: FileName) -> bool:
    return os.fspath(asked).strip().lower() not in ("", "none")


def _chosen(found: Row, asked: FileName | None, keyword: str, notes: list[str]) -> Place | None:
    """Take the user's file, or else the one that the spectrum names, None where there is none."""
    if asked is not None:
        return given(asked, notes) if _is_name(asked) else None
    name = found.table.file_name(keyword, found.row)
    if name is None:
        return None
    folder = found.place.path.parent
    place = named(name, folder, f"{found.source}: {keyword}", notes)
    if place is None:
        key = _KEYS[keyword]
        raise DataError(
            f"{found.source}: {keyword} names {name}, which is not there; "
            f"give another ({key}:) or none ({key}: none)"
        )
    return place
