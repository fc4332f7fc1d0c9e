"""The prior covariance of B where energy bands of an instrument go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pyxstan.concordance.data import ConcordanceData, Floats
from pyxstan.errors import DataError


def band_covariance(data: ConcordanceData, correlation: Any) -> Floats:
    """Prior covariance T of B: tau of each entry, correlated between the bands of an instrument.

    Parameters
    ----------
    data
        With `tau` known.
    correlation
        None (independent), one number for all pairs of bands, a matrix over the bands in the
        order of their first appearance, a mapping ``{(band, band): correlation}``, or an (N, N)
        matrix over all entries.

    Raises
    ------
    DataError
        A shape that fits neither, no bands, or a covariance that is not positive definite.
    """
    N = len(data.instruments)
    matrix = np.eye(N) if correlation is None else _entry_correlation(data, correlation)
    if not np.allclose(matrix, matrix.T) or not np.allclose(np.diag(matrix), 1):
        raise DataError("band_correlation: not a correlation matrix (symmetric, 1 on the diagonal)")
    T = matrix * np.outer(data.tau, data.tau)
    try:
        np.linalg.cholesky(T)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh(matrix)[0]
        raise DataError(
            "band_correlation: the prior covariance of B is not positive definite "
            f"(smallest eigenvalue of its correlation {lowest:.3g})"
        ) from None
    return np.asarray(T)


def _entry_correlation(data: ConcordanceData, correlation: Any) -> Floats:
    N = len(data.instruments)
    if isinstance(correlation, str):
        try:
            correlation = float(correlation)
        except ValueError:
            correlation = _correlation_from_file(correlation)
    bands = list(dict.fromkeys(data.bands))
    if isinstance(correlation, Mapping):
        between = np.eye(len(bands))
        for pair, value in correlation.items():
            try:
                first, second = pair
                value = float(value)
            except (TypeError, ValueError):
                raise DataError(
                    f"band_correlation: {pair!r}: {value!r} is not (band, band): number"
                ) from None
            for band in (first, second):
                if band not in bands:
                    raise DataError(
                        f"band_correlation: unknown band '{band}'; there are {', '.join(bands)}"
                    )
            between[bands.index(first), bands.index(second)] = value
            between[bands.index(second), bands.index(first)] = value
    else:
        try:
            between = np.asarray(correlation, dtype=float)
        except (TypeError, ValueError):
            raise DataError("band_correlation: expected a number or a matrix of numbers") from None
    if not np.isfinite(between).all():
        raise DataError("band_correlation: expected finite numbers")
    if between.shape == (N, N) and len(bands) != N:
        return between
    if not bands:
        raise DataError("band_correlation: the data have no column 'band'")
    if between.ndim == 0:
        between = np.where(np.eye(len(bands)) > 0, 1.0, float(between))
    if between.shape != (len(bands), len(bands)):
        raise DataError(
            f"band_correlation has shape {between.shape}, expected a number, "
            f"{len(bands)} x {len(bands)} for the bands, or {N} x {N}"
        )
    band = np.array([bands.index(b) for b in data.bands])
    same = np.array(data.names)[:, None] == np.array(data.names)[None, :]
    return np.asarray(np.where(same, between[np.ix_(band, band)], 0.0))


def _correlation_from_file(path: str) -> Floats:
    try:
        return np.loadtxt(path, delimiter=",", ndmin=2)
    except OSError:
        raise DataError(
            f"option band_correlation: '{path}' is neither a number nor a file"
        ) from None
    except ValueError as error:
        raise DataError(f"{path}: not a matrix of numbers ({error})") from None
