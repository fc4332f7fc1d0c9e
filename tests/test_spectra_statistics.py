"""Likelihoods of channels against 50 digits, and against Sherpa's numbers for 3C 273."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import mpmath as mp
import numpy as np
import pytest
from astropy.io import fits

from pyxstan.errors import DataError
from pyxstan.spectra import components, statistics

DATA = Path(__file__).parents[2] / "shared" / "data"
COUNTS = [0.0, 1.0, 5.0, 1e6]
ALPHA = [1e-4, 0.1, 1.0, 50.0]
MODEL = [1e-12, 1e-6, 0.01, 0.3, 1.0, 4.9, 5.0, 5.1, 77.0, 1e4, 999_999.0, 1e6, 1.1e6, 1e8]
SIGMA = [0.0, 1e-3, 1.0, 30.0, 1e4]


def grid(*axes: list[float]) -> list[np.ndarray]:
    return list(np.array(list(itertools.product(*axes))).T)


def poisson(counts: Any, mean: Any) -> Any:
    """Minus the log of the probability, at mpmath's precision."""
    if mean == 0:
        return mp.mpf(0) if counts == 0 else mp.inf
    return mean - counts * mp.log(mean) + mp.loggamma(counts + 1)


def saturated(counts: Any) -> Any:
    return poisson(counts, counts)


def roots(a: Any, b: Any, c: Any) -> list[Any]:
    """Roots of a quadratic that aren't negative, and zero: where a minimum can be."""
    with mp.workdps(200):
        root = mp.sqrt(b * b - 4 * a * c)
        found = [(-b + root) / (2 * a), (-b - root) / (2 * a), mp.mpf(0)]
        # at 200 digits a root that is zero may come out as -1e-190
        return [x if abs(x) > mp.mpf(10) ** -150 else mp.mpf(0) for x in found if x > -1e-150]


def exact_w(o: float, b: float, alpha: float, m: float) -> tuple[Any, Any, Any]:
    """-ln L, W and the slope."""
    o, b, a, m = map(mp.mpf, (o, b, alpha, m))
    places = roots(a * (a + 1), (a + 1) * m - a * (o + b), -b * m)
    value, best = min((poisson(o, a * x + m) + poisson(b, x), x) for x in places)
    return value, 2 * (value - saturated(o) - saturated(b)), 1 - o / (a * best + m)


def exact_pg(o: float, b: float, sigma: float, alpha: float, m: float) -> tuple[Any, Any, Any]:
    """-ln L, the PG statistic and the slope."""
    o, b, s, a, m = map(mp.mpf, (o, b, sigma, alpha, m))
    if s == 0:
        value, best = poisson(o, a * b + m), b
        return value, 2 * (value - saturated(o)), 1 - o / (a * best + m)
    c = b - a * s * s
    places = roots(a, m - a * c, -c * m - a * o * s * s)

    def objective(x: Any) -> Any:
        return poisson(o, a * x + m) + (x - b) ** 2 / (2 * s * s)

    value, best = min((objective(x), x) for x in places)
    norm = mp.log(a * s) + mp.log(2 * mp.pi) / 2
    return value + norm, 2 * (value - saturated(o)), 1 - o / (a * best + m)


def assert_exact(found: np.ndarray, wanted: list[Any], at: list[np.ndarray]) -> None:
    exact = np.array([float(x) for x in wanted])
    off = np.abs(found - exact) / np.maximum(1, np.abs(exact))
    worst = int(np.argmax(off))
    assert off[worst] < 1e-12, ([x[worst] for x in at], found[worst], exact[worst], off[worst])


@pytest.fixture(autouse=True)
def _digits() -> Any:
    with mp.workdps(50):
        yield


def test_cash_to_twelve_digits() -> None:
    o, m = at = grid([*COUNTS, 14.0, 15.0, 200.0], [*MODEL, 14.2, 15.0, 180.0, 219.0, 221.0])
    exact = [poisson(mp.mpf(x), mp.mpf(y)) for x, y in zip(o, m, strict=True)]
    assert_exact(statistics.cstat(o, m), exact, at)
    twice = [2 * (x - saturated(mp.mpf(n))) for x, n in zip(exact, o, strict=True)]
    assert_exact(statistics.cstat(o, m, statistic=True), twice, at)
    assert_exact(statistics.cstat_slope(o, m), list(1 - o / m), at)


def test_cash_without_expected_counts() -> None:
    assert statistics.cstat([0.0, 2.0, 0.0, 2.0], [0.0, 0.0, -1.0, -1.0]).tolist() == [
        0.0,
        np.inf,
        np.inf,
        np.inf,
    ]
    assert statistics.cstat_slope([0.0, 2.0], [0.0, 0.0]).tolist() == [1.0, -np.inf]


def test_counts_that_are_not_whole() -> None:
    o, m = [0.25, 0.999, 7.5, 15.5], [0.1, 1.0, 8.0, 15.5]
    exact = [float(poisson(mp.mpf(x), mp.mpf(y))) for x, y in zip(o, m, strict=True)]
    np.testing.assert_allclose(statistics.cstat(o, m), exact, rtol=1e-13)


def test_w_to_twelve_digits() -> None:
    at = grid(COUNTS, COUNTS, ALPHA, MODEL)
    exact = [exact_w(*map(float, x)) for x in zip(*at, strict=True)]
    assert_exact(statistics.wstat(*at), [x[0] for x in exact], at)
    assert_exact(statistics.wstat(*at, statistic=True), [x[1] for x in exact], at)
    assert_exact(statistics.wstat_slope(*at), [x[2] for x in exact], at)


def test_pg_to_twelve_digits() -> None:
    at = grid(COUNTS, [-3.0, *COUNTS], SIGMA, ALPHA, MODEL)
    known_negative = (at[1] < 0) & (at[2] == 0)
    at = [x[~known_negative] for x in at]
    exact = [exact_pg(*map(float, x)) for x in zip(*at, strict=True)]
    assert_exact(statistics.pgstat(*at), [x[0] for x in exact], at)
    assert_exact(statistics.pgstat(*at, statistic=True), [x[1] for x in exact], at)
    assert_exact(statistics.pgstat_slope(*at), [x[2] for x in exact], at)


@pytest.mark.parametrize("m", [0.0, 1e-300, 1e150, 1e300])
def test_never_nan(m: float) -> None:
    o, b, alpha = grid(COUNTS, COUNTS, ALPHA)
    for found in (
        statistics.cstat(o, m),
        statistics.wstat(o, b, alpha, m),
        statistics.wstat(o, b, alpha, m, statistic=True),
        statistics.wstat_slope(o, b, alpha, m),
    ):
        assert not np.isnan(found).any()
    o, b, sigma, alpha = grid(COUNTS, COUNTS, SIGMA, ALPHA)
    for found in (
        statistics.pgstat(o, b, sigma, alpha, m),
        statistics.pgstat_slope(o, b, sigma, alpha, m),
    ):
        assert not np.isnan(found).any()


def test_w_and_pg_without_expected_source() -> None:
    o, b, alpha = grid(COUNTS, COUNTS, ALPHA)
    exact = [exact_w(*map(float, x), 0.0)[0] for x in zip(o, b, alpha, strict=True) if any(x[:2])]
    assert_exact(statistics.wstat(o, b, alpha, 0.0)[(o > 0) | (b > 0)], exact, [o])
    assert statistics.wstat(0.0, 0.0, 1.0, 0.0) == 0
    assert statistics.pgstat(0.0, 0.0, 0.0, 1.0, 0.0) == 0
    assert statistics.pgstat(2.0, 0.0, 0.0, 1.0, 0.0) == np.inf
    assert np.isinf(statistics.wstat(2.0, 1.0, 1.0, -1.0))


def test_slopes_are_continuous_where_the_background_vanishes() -> None:
    # b = 0: B is zero from m = alpha o / (alpha + 1) on
    edge = 0.5 * 6 / 1.5
    slopes = statistics.wstat_slope(6.0, 0.0, 0.5, [edge * (1 - 1e-9), edge * (1 + 1e-9)])
    assert abs(np.diff(slopes)[0]) < 1e-8
    # b < alpha sigma^2: zero from m = alpha o sigma^2 / (alpha sigma^2 - b) on
    edge = 0.5 * 6 * 16 / (0.5 * 16 - 1)
    at = [edge * (1 - 1e-9), edge * (1 + 1e-9)]
    assert abs(np.diff(statistics.pgstat_slope(6.0, 1.0, 4.0, 0.5, at))[0]) < 1e-8
    assert statistics.gaussian_profiled_background(6.0, 1.0, 4.0, 0.5, at[1]) == 0


def test_chi_square() -> None:
    at = ([10.0, 2.0], [3.0, 1.5], [4.0, 0.0], [2.0, 0.0], 0.5, [6.0, 2.5])
    assert statistics.chi2(*at, statistic=True).tolist() == [4 / 10, 0.25 / 2.25]
    norm = 0.5 * np.log(2 * np.pi * np.array([10, 2.25]))
    np.testing.assert_allclose(
        statistics.chi2(*at), norm + np.array([0.2, 0.125 / 2.25]), rtol=1e-14
    )
    np.testing.assert_allclose(statistics.chi2_slope(*at), [-2 / 10, 0.5 / 2.25], rtol=1e-14)


def test_chi_square_without_errors() -> None:
    with pytest.raises(DataError, match="error of channel 2 is zero"):
        statistics.chi2([1.0, 2.0], [1.0, 0.0], 0.0, 0.0, 1.0, [1.0, 1.0])


def test_draws_by_channels() -> None:
    o, b = np.array([0.0, 3.0, 8.0]), np.array([1.0, 0.0, 4.0])
    m = np.random.default_rng(1).gamma(2.0, size=(5, 1, 3))
    assert statistics.cstat(o, m).shape == m.shape
    assert statistics.chi2(o, 1.0, b, 1.0, 0.2, m).shape == m.shape
    for found, one in (
        (statistics.wstat(o, b, 0.2, m), statistics.wstat(o, b, 0.2, m[2, 0])),
        (statistics.pgstat(o, b, 1.5, 0.2, m), statistics.pgstat(o, b, 1.5, 0.2, m[2, 0])),
    ):
        assert found.shape == m.shape
        np.testing.assert_array_equal(found[2, 0], one)


def folded_3c273() -> dict[str, np.ndarray]:
    """Counts, background and expected counts of the power law, by channel."""
    folder = DATA / "acis_3c273"
    with fits.open(folder / "3c273.rmf") as hdus:
        rows = hdus["MATRIX"].data
        low, high = (rows[name].astype(float) for name in ("ENERG_LO", "ENERG_HI"))
        matrix = np.zeros((len(rows), 1024))
        for j, row in enumerate(rows):
            done = 0
            starts, lengths = (np.atleast_1d(row[name]) for name in ("F_CHAN", "N_CHAN"))
            for start, length in zip(starts[: row["N_GRP"]], lengths[: row["N_GRP"]], strict=True):
                matrix[j, start - 1 : start - 1 + length] = row["MATRIX"][done : done + length]
                done += length
    with fits.open(folder / "3c273.arf") as hdus:
        area = hdus["SPECRESP"].data["SPECRESP"].astype(float)
    with fits.open(folder / "3c273.pi") as hdus:
        source, header = hdus["SPECTRUM"].data, hdus["SPECTRUM"].header
        counts, grouping = source["COUNTS"].astype(float), source["GROUPING"].astype(int)
        exposure, scale = header["EXPOSURE"], header["BACKSCAL"]
    with fits.open(folder / "3c273_bg.pi") as hdus:
        background = hdus["SPECTRUM"].data["COUNTS"].astype(float)
        header = hdus["SPECTRUM"].header
        alpha = exposure * scale / (header["EXPOSURE"] * header["BACKSCAL"])
    photons = components.COMPONENTS["powerlaw"].integral(low, high, K=1.622e-4, index=-1.782)
    starts = np.flatnonzero(grouping != -1)
    return {
        "counts": counts,
        "background": background,
        "model": exposure * (area * photons) @ matrix,
        "alpha": np.array(alpha),
        "starts": starts,
    }


@pytest.mark.skipif(not DATA.is_dir(), reason="the data beside the repository aren't there")
def test_w_of_3c273() -> None:
    x = folded_3c273()
    assert (x["counts"].sum(), x["background"].sum()) == (736, 216)
    spectra = [x[name] for name in ("counts", "background", "model")]
    for (o, b, m), wanted in (
        (spectra, 652.9968167212116),
        ([np.add.reduceat(y, x["starts"]) for y in spectra], 62.12275005769554),
    ):
        w = statistics.wstat(o, b, x["alpha"], m, statistic=True).sum()
        assert w == pytest.approx(wanted, rel=1e-9)


@pytest.mark.skipif(not DATA.is_dir(), reason="the data beside the repository aren't there")
def test_pg_of_a_burst() -> None:
    # GRB 090217206 in Fermi's NaI 6: what 3ML finds for a power law is the least of this
    path = str(DATA / "gbm_bn090217206" / "bn090217206_n6_")
    with fits.open(path + "weightedrsp.rsp") as hdus:
        rows = hdus["SPECRESP MATRIX"].data
        low, high = (rows[name].astype(float) for name in ("ENERG_LO", "ENERG_HI"))
        matrix = np.zeros((len(rows), 128))
        for j, row in enumerate(rows):
            start, length = int(row["F_CHAN"]) - 1, int(row["N_CHAN"])
            matrix[j, start : start + length] = row["MATRIX"][:length]
        top = hdus["EBOUNDS"].data["E_MAX"].astype(float)
    with fits.open(path + "srcspectra.pha") as hdus:
        row = hdus["SPECTRUM"].data[0]
        o, exposure = row["COUNTS"].astype(float), float(row["EXPOSURE"])
    with fits.open(path + "bkgspectra.bak") as hdus:
        row = hdus["SPECTRUM"].data[0]
        time = float(row["EXPOSURE"])
        b, sigma = (time * row[name].astype(float) for name in ("RATE", "STAT_ERR"))
    ends = np.searchsorted(top, [10.0, 30.0, 40.0, 950.0])
    kept = np.r_[ends[0] : ends[1] + 1, ends[2] : ends[3] + 1]
    assert len(kept) == 117

    def total(K: float, index: float) -> float:
        photons = components.COMPONENTS["powerlaw"].integral(low, high, K=K, index=index)
        folded = exposure * photons @ matrix
        found = statistics.pgstat(*(x[kept] for x in (o, b, sigma)), exposure / time, folded[kept])
        return float(found.sum())

    best = total(2.57115, -1.185095)
    assert best == pytest.approx(867.81, abs=0.005)
    # a minimum, and as deep as the errors say (they go with each other along a narrow valley)
    for K, index in ((2.37, -1.185095), (2.77, -1.185095), (2.57115, -1.2), (2.57115, -1.17)):
        assert total(K, index) > best + 0.5
