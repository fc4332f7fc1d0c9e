r"""Is `point_source` right? Known sources in skies whose truth is known, counted.

    python scripts/calibrate_point_source.py [--year FOLDER] [--only bias,null,position,coverage]

`bias`: sources of 5 to 40 events: mean ns and median gamma at their positions, zeros kept. They are
at many declinations around one: scrambling leaves declinations as they are, so that all skies have
the same events more or less than the smooth background about a source at one. `null`: the test
statistic without a source at fixed declinations, beside the chi^2 that is fitted. `position`: 20
events at (170.16, 0.60) deg under a prior of 10 deg about (180, 0): the hottest pixel within a
degree. `coverage`: sources drawn from a prior map: how many lie within the 50% and 90% regions, and
below the upper limit of ns.

FOLDER holds the public release of IC86-2011 (upgoing_events.txt.gz, downgoing_events.txt.gz,
TabulatedAeff.txt); without it the events are simulated, 100,000 of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

import pyxstan
from pyxstan.point_source import (
    Injection,
    NullDistribution,
    PointSourceData,
    PriorMap,
    Smoothing,
    read_effective_area,
    read_events,
)
from pyxstan.point_source.detection import point
from pyxstan.point_source.injection import scrambled, with_source
from pyxstan.point_source.region import Region
from pyxstan.point_source.sky import Pixels, separation
from pyxstan.point_source.trial_skies import Skies

ENDS = (1.0, 4.0)
#: Sources of the bias are at so many declinations, up to so far (deg) on either side of one.
DECLINATIONS, AROUND = 40, 10.0
TUTORIAL = (170.16, 0.60)


def events(year: Path | None) -> PointSourceData:
    """The sky that is scrambled."""
    if year is None:
        data, _ = pyxstan.simulate("point_source", {"ns": 0.0}, seed=1, events=100_000)
        return PointSourceData(data.samples)
    sample = read_events(
        [year / "upgoing_events.txt.gz", year / "downgoing_events.txt.gz"],
        read_effective_area(year / "TabulatedAeff.txt"),
        333 * 86_400.0,
        name="IC86-2011",
    )
    return PointSourceData((sample,))


def bias(data: PointSourceData, count: int) -> None:
    """Mean ns and median gamma at the true position."""
    print(f"\nbias at the true position, {count} skies: of ns in standard deviations (allowed "
          f"{0.1 + 3 / np.sqrt(count):.2f}), of gamma")  # fmt: skip
    for dec in (0.6, 30.0, -30.0):
        around = dec + np.linspace(-AROUND, AROUND, DECLINATIONS)
        for gamma in (2.0, 3.0):
            for n in (5, 10, 20, 40):
                found = []
                for number, at in enumerate(around):
                    source = Injection(n, gamma, 180.0, at, poisson=False)
                    skies = Skies(data, point(180.0, at), Smoothing(), ENDS, source, 7)
                    those = range(number, count, DECLINATIONS)
                    found += [trial.hottest for trial in skies.trials(those)]
                ns = np.array([each.ns for each in found])
                index = np.array([each.gamma for each in found if each.ns > 0])
                off = (ns.mean() - n) / ns.std()
                off_gamma = (np.median(index) - gamma) / index.std()
                print(f"dec {dec:5.1f} gamma {gamma:g} n {n:2d}: ns {ns.mean():6.2f} sd "
                      f"{ns.std():5.2f} ({off:+.2f}), gamma {np.median(index):.2f} "
                      f"({off_gamma:+.2f}), zeros {np.mean(ns == 0):.0%}", flush=True)  # fmt: skip


def null(data: PointSourceData, count: int) -> None:
    """TS without a source, and the chi^2 fitted to those above zero."""
    print(f"\nTS without a source, {count} skies")
    for dec in (-60.0, -30.0, 0.6, 30.0, 60.0):
        skies = Skies(data, point(180.0, dec), Smoothing(), ENDS, None, 8)
        ts = np.array([trial.hottest.ts for trial in skies.trials(range(count))])
        fitted = NullDistribution.of(ts)
        p = stats.kstest(ts[ts > 0] / fitted.scale, stats.chi2(fitted.dof).cdf).pvalue
        print(f"dec {dec:5.1f}: {fitted.positive:.0%} above zero, {fitted.scale:.2f} times a chi^2 "
              f"of {fitted.dof:.2f} degrees of freedom, KS p {p:.2f}", flush=True)  # fmt: skip


def position(data: PointSourceData, count: int) -> None:
    """The tutorial's trial."""
    prior = PriorMap.gaussian(180, 0, 10, floor=1e-4, nside=128)
    data = PointSourceData(data.samples, prior)
    region = Region.grid(64, data, np.radians(85))
    source = Injection(20, 2.0, *TUTORIAL, poisson=False)
    skies = Skies(data, region, Smoothing(), ENDS, source, 9)
    found = [trial.hottest for trial in skies.trials(range(count))]
    away = np.degrees([separation(f.ra, f.dec, *np.radians(TUTORIAL)) for f in found])
    quartiles = np.quantile([[f.ts, f.ns, f.gamma] for f in found], (0.25, 0.5, 0.75), axis=0)
    print(f"\nhottest pixel within a degree: {(away < 1).sum()} of {count}")
    for name, (low, middle, high) in zip(("TS", "ns", "gamma"), quartiles.T, strict=True):
        print(f"{name} there: {middle:.2f}, quartiles {low:.2f} and {high:.2f}")


def coverage(data: PointSourceData, count: int, ns: float, gamma: float) -> None:
    """Sources within their credible regions, and below their upper limits."""
    prior = PriorMap.gaussian(180, 0, 4, nside=64)
    prior = PriorMap.from_function(
        lambda ra, dec: prior.density(ra, dec)
        * (separation(ra, dec, np.pi, 0.0) < np.radians(12)), 64
    )  # fmt: skip
    inside, below = {0.5: 0, 0.9: 0}, 0
    for number in range(count):
        rng = np.random.default_rng([10, number])
        ra, dec = (float(x[0]) for x in prior.draw(1, rng))
        seen = rng.poisson(ns)
        made = with_source(data, scrambled(data, rng), [seen], gamma, (ra, dec), rng)
        made = PointSourceData(made.samples, prior)
        idata = pyxstan.fit("point_source", made, seed=number, trials=0, progress=False)
        constant = pyxstan.inference_data.group(idata, "constant_data")
        p, order = constant["map_probability"].to_numpy(), constant["map_order"].to_numpy()
        here, density = pixel_of(constant, ra, dec), p * 4.0**order
        held = 1.0 if here < 0 else p[density >= density[here]].sum()
        for level in inside:
            inside[level] += held <= level
        below += ns <= float(pyxstan.inference_data.attributes(idata)["ns_upper_limit_95"])
        if (number + 1) % 50 == 0:
            print(f"{number + 1}: {inside}, below {below}", flush=True)
    print(f"\n{count} sources of {ns:g} events, gamma {gamma:g}: "
          f"{inside[0.5] / count:.1%} within 50%, {inside[0.9] / count:.1%} within 90%, "
          f"{below / count:.1%} below the upper limit")  # fmt: skip


def pixel_of(constant: Any, ra: float, dec: float) -> int:
    """The pixel of a result's map that a position (rad) is in; -1: none."""
    order, number = constant["map_order"].to_numpy(), constant["map_number"].to_numpy()
    for each in np.unique(order):
        at = Pixels.containing(np.array([ra]), np.array([dec]), 2**each)[0]
        found = np.flatnonzero((order == each) & (number == at))
        if found.size:
            return int(found[0])
    return -1


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--year", type=Path)
    parser.add_argument("--only", default="bias,null,position,coverage")
    parser.add_argument("--count", type=int, help="skies for each row, in place of 400 and 1000")
    arguments = parser.parse_args()
    data = events(arguments.year)
    chosen = arguments.only.split(",")
    if "bias" in chosen:
        bias(data, arguments.count or 400)
    if "null" in chosen:
        null(data, arguments.count or 1000)
    if "position" in chosen:
        position(data, arguments.count or 100)
    if "coverage" in chosen:
        coverage(data, arguments.count or 400, 15.0, 2.2)


if __name__ == "__main__":
    main()
