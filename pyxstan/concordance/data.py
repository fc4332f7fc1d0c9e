"""The data of a concordance: who measured what, with which prior on each effective area."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyxstan.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: Whole numbers up to here are exact.
_MOST_COUNTS = 2.0**53
#: Beyond these a number is no log flux, or no standard deviation of one: a mistaken unit, say.
_LARGEST_LOG = 300.0
_STANDARD_DEVIATIONS = (1e-6, 10.0)
_PRIOR_DEVIATIONS = (1e-8, 100.0)


@dataclass(frozen=True)
class ConcordanceData:
    """Measurements of M sources with N instruments, any of which may be missing.

    An energy band of an instrument is an "instrument" of its own, and the flux of a source in a
    band a "source" of its own; `names` and `bands` tell which belong together.

    Parameters
    ----------
    instruments, sources
        Labels, N and M of them.
    instrument, source
        Who measured what: 0-based positions in the labels, shape (n,).
    y
        Natural log of flux, or of counts per exposure, shape (n,).
    sigma
        Standard deviation of `y`, shape (n,), or None where it is to be fitted.
    b
        Log nominal effective area, shape (N,): 0 where fluxes are already divided by it.
    tau
        Prior standard deviation of the log effective area, shape (N,); NaN where it is not known
        yet (then ``fit(..., tau=...)`` gives it).
    names, bands
        Instrument and energy band behind each label, shape (N,), where there are bands.
    source_bands
        Energy band of each source, shape (M,), where there are bands.
    unit
        Unit of exp(y).
    counts
        Counts behind `y`, shape (n,), where their Poisson errors are all the errors there are;
        `y` is then the log of net counts per exposure, for display (of half a count where there
        is none).
    exposure, background
        Of the counts: exposure (default 1) and expected background counts (default 0), shape (n,).
    notes, warnings, complaints
        What a reader decided for the user, what it doubts, and what speaks against any fit of the
        data; `pyxstan.fit` says them.

    Raises
    ------
    DataError
        Shapes that don't match, values that are not finite, a source that nobody measured, an
        instrument that measured a source twice.
    """

    instruments: tuple[str, ...]
    sources: tuple[str, ...]
    instrument: Ints
    source: Ints
    y: Floats
    sigma: Floats | None
    b: Floats
    tau: Floats
    names: tuple[str, ...] = ()
    bands: tuple[str, ...] = ()
    source_bands: tuple[str, ...] = ()
    unit: str = ""
    counts: Floats | None = None
    exposure: Floats | None = None
    background: Floats | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    complaints: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field, kind in (("instrument", np.int64), ("source", np.int64), ("y", float),
                            ("b", float), ("tau", float)):  # fmt: skip
            try:
                values = np.asarray(getattr(self, field), dtype=kind)
            except (TypeError, ValueError):
                raise DataError(f"{field} holds what is not a number") from None
            object.__setattr__(self, field, values)
        if self.sigma is not None:
            object.__setattr__(self, "sigma", np.asarray(self.sigma, dtype=float))
        self._check_shapes()
        if self.counts is not None:
            self._check_counts()
        elif self.exposure is not None or self.background is not None:
            raise DataError("exposure and background go with counts")
        self._check_measurements()

    def _check_shapes(self) -> None:
        for name, labels in (("instrument", self.instruments), ("source", self.sources)):
            if not labels:
                raise DataError(f"no {name}s")
            if len(set(labels)) < len(labels):
                twice = next(label for label in labels if labels.count(label) > 1)
                raise DataError(f"{name} '{twice}' is listed twice")
        n = self.y.shape
        for field in ("instrument", "source", "sigma"):
            values = getattr(self, field)
            if values is not None and values.shape != n:
                raise DataError(f"{field} has shape {values.shape}, y has {n}")
        for field in ("b", "tau"):
            if getattr(self, field).shape != (len(self.instruments),):
                raise DataError(
                    f"{field} has shape {getattr(self, field).shape}, "
                    f"expected one value for each of {len(self.instruments)} instruments"
                )

    def _check_counts(self) -> None:
        if self.sigma is not None:
            raise DataError("counts have Poisson errors: give counts or sigma, not both")
        size = self.y.size
        for field, default in (("counts", 0.0), ("exposure", 1.0), ("background", 0.0)):
            given = getattr(self, field)
            try:
                values = np.array(default if given is None else given, dtype=float)
                object.__setattr__(self, field, np.broadcast_to(values, (size,)).copy())
            except (TypeError, ValueError):
                raise DataError(f"{field}: expected {size} numbers, one a measurement") from None
        assert self.counts is not None
        assert self.exposure is not None
        assert self.background is not None
        whole = (self.counts >= 0) & (self.counts == np.floor(self.counts))
        for k in _first(~(whole & (self.counts <= _MOST_COUNTS))):
            raise DataError(
                f"{self.label(k)}: counts is {self.counts[k]:g}, expected a whole number from 0"
            )
        for k in _first(~((self.exposure > 0) & np.isfinite(self.exposure))):
            raise DataError(
                f"{self.label(k)}: exposure is {self.exposure[k]:g}, expected a positive number"
            )
        for k in _first(~((self.background >= 0) & np.isfinite(self.background))):
            raise DataError(
                f"{self.label(k)}: background is {self.background[k]:g}, expected the expected "
                "number of background counts, 0 or more"
            )

    def _check_measurements(self) -> None:
        for field, size in (("instrument", len(self.instruments)), ("source", len(self.sources))):
            index = getattr(self, field)
            if ((index < 0) | (index >= size)).any():
                raise DataError(f"{field} has positions outside 0 to {size - 1}")
        log = f"the natural log of a flux, between -{_LARGEST_LOG:g} and {_LARGEST_LOG:g}"
        for k in _first(~(np.abs(self.y) <= _LARGEST_LOG)):
            raise DataError(f"{self.label(k)}: y is {self.y[k]:g}, expected {log}")
        if self.sigma is not None:
            for k in _first(~_within(self.sigma, _STANDARD_DEVIATIONS)):
                raise DataError(f"{self.label(k)}: {_wrong(self.sigma[k], _STANDARD_DEVIATIONS)}")
        for i in _first(~(np.abs(self.b) <= _LARGEST_LOG)):
            raise DataError(
                f"instrument '{self.instruments[i]}': b is {self.b[i]:g}, expected the natural log "
                f"of an area, between -{_LARGEST_LOG:g} and {_LARGEST_LOG:g}"
            )
        for i in _first(~_within(self.tau, _PRIOR_DEVIATIONS) & ~np.isnan(self.tau)):
            wrong = _wrong(self.tau[i], _PRIOR_DEVIATIONS, "tau")
            raise DataError(f"instrument '{self.instruments[i]}': {wrong}")
        pair = self.source * len(self.instruments) + self.instrument
        values, counts = np.unique(pair, return_counts=True)
        if (counts > 1).any():
            again = values[counts > 1][0]
            k = int(np.flatnonzero(pair == again)[1])
            raise DataError(f"{self.label(k)} is there twice")
        unseen = np.setdiff1d(np.arange(len(self.sources)), self.source)
        if unseen.size:
            raise DataError(
                f"source '{self.sources[unseen[0]]}' is measured by no instrument: leave it out"
            )

    def label(self, k: int) -> str:
        """Name measurement k for a message."""
        instrument, source = self.instruments[self.instrument[k]], self.sources[self.source[k]]
        return f"measurement of '{source}' by '{instrument}'"

    @property
    def counts_by_instrument(self) -> Ints:
        """Number of measurements of each instrument, shape (N,)."""
        return np.bincount(self.instrument, minlength=len(self.instruments))

    def expected_counts(self, B: Floats, G: Floats) -> Floats:
        """Expected counts of each measurement, background included, for B (..., N), G (..., M)."""
        assert self.exposure is not None
        assert self.background is not None
        rate = np.take(B, self.instrument, axis=-1) + np.take(G, self.source, axis=-1)
        return np.asarray(self.exposure * np.exp(rate) + self.background)

    @classmethod
    def from_table(
        cls,
        table: Any,
        instruments: Any = None,
        *,
        tau: float | None = None,
        columns: str | Mapping[str, str] | None = None,
        ignore: str | Sequence[str] | None = None,
    ) -> ConcordanceData:
        """Read measurements from a long or a wide table.

        Parameters
        ----------
        table
            CSV, ECSV, FITS, VOTable, MRT or IPAC file, DataFrame, astropy Table or dict of columns.
            All logs are natural ones.
            Long, a row a measurement: ``instrument``, ``source``, optionally ``band``; then
            ``log_flux``, or ``flux``, or ``counts`` (with ``exposure`` where they differ); then,
            where known, ``sigma`` (of the log) or ``error`` (in the unit of flux or counts).
            Counts alone are Poisson, zeros included; ``background`` beside them holds the expected
            number of background counts in each. ``obsid`` or ``epoch`` tell observations of one
            source apart.
            Wide, a row an instrument: ``instrument`` and columns of log fluxes ``y_<source>``,
            optionally ``sigma_<source>``; all other columns but ``b`` and ``tau`` are left aside.
            Where no column begins with ``y_``, all of them are sources, named by the columns.
            Wide, a row a source: ``source`` and ``y_<instrument>``, ``sigma_<instrument>``.
            Empty cells of a wide table are missing measurements.
        instruments
            Table of ``instrument`` (and ``band``), ``b`` (default 0) and ``tau``. Default: the
            instruments of `table`, in its order, with b = 0.
        tau
            Prior standard deviation for all instruments, in place of a column.
        columns
            Which column is which, where they have other names: ``{"flux": "F_2keV", "error":
            "e_F"}`` or ``"flux:F_2keV,error:e_F"``.
        ignore
            Names of columns to leave aside, of which more would have to be known: an error, a flag
            of limits, a weight, an area or a background that isn't used is refused, all others are
            named in a note.

        Raises
        ------
        DataError
            Anything wrong with a file, a row or a value, in one line that names it.
        """
        from pyxstan.concordance.readers import read_measurements

        return read_measurements(table, instruments, tau, columns, ignore)

    def to_frame(self) -> pd.DataFrame:
        """Return the measurements as a long table that `from_table` reads back."""
        import pandas as pd

        columns: dict[str, Any] = {}
        if self.bands:
            columns["instrument"] = [self.names[i] for i in self.instrument]
            bands = [self.bands[i] for i in self.instrument]
            columns["source"] = [
                self.sources[j].removesuffix(f" {band}")
                for j, band in zip(self.source, bands, strict=True)
            ]
            columns["band"] = bands
        else:
            columns["instrument"] = [self.instruments[i] for i in self.instrument]
            columns["source"] = [self.sources[j] for j in self.source]
        if self.counts is not None:
            assert self.exposure is not None
            assert self.background is not None
            columns["counts"] = self.counts.astype(np.int64)
            columns["exposure"] = self.exposure
            if self.background.any():
                columns["background"] = self.background
            return pd.DataFrame(columns)
        columns["log_flux"] = self.y
        if self.sigma is not None:
            columns["sigma"] = self.sigma
        return pd.DataFrame(columns)

    def instrument_frame(self) -> pd.DataFrame:
        """Return the table of instruments that `from_table` reads back."""
        import pandas as pd

        columns: dict[str, Any] = {"instrument": self.names or self.instruments}
        if self.bands:
            columns["band"] = self.bands
        return pd.DataFrame({**columns, "b": self.b, "tau": self.tau})


def _first(wrong: NDArray[np.bool_]) -> list[int]:
    """Position of the first that is wrong, if there is one."""
    return [int(k) for k in np.flatnonzero(wrong)[:1]]


def _within(values: Floats, limits: tuple[float, float]) -> NDArray[np.bool_]:
    return (values >= limits[0]) & (values <= limits[1])


def _wrong(value: float, limits: tuple[float, float], name: str = "sigma") -> str:
    expected = "a positive number"
    if value > 0 and np.isfinite(value):
        expected = f"the standard deviation of a natural log, {limits[0]:g} to {limits[1]:g}"
    return f"{name} is {value:g}, expected {expected}"


def as_concordance_data(data: Any) -> ConcordanceData:
    """Turn what `pyxstan.fit` was given into `ConcordanceData`.

    A mapping whose ``instruments`` is a table next to a ``table`` entry gives both tables; any
    other table is one of measurements.
    """
    if isinstance(data, ConcordanceData):
        return data
    if isinstance(data, Mapping) and "table" in data:
        unknown = set(data) - {"table", "instruments", "tau"}
        if unknown:
            raise DataError(
                f"data has no field '{min(unknown)}'; there are table, instruments, tau"
            )
        return ConcordanceData.from_table(
            data["table"], data.get("instruments"), tau=data.get("tau")
        )
    if isinstance(data, Sequence) and not isinstance(data, str) and len(data) == 2:
        return ConcordanceData.from_table(*data)
    if isinstance(data, Mapping):
        data = dict(data)
    return ConcordanceData.from_table(data)
