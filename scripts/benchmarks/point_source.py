r"""Time and memory of the scan of a sky, by events and pixels.

    python scripts/benchmarks/point_source.py [--year FOLDER] [--figure cost.png]

The peer is csky, whose data are private: its tutorial on spatial priors says that 48,984 positions
of one year (136,244 events) take a minute on 15 cores, 900 CPU seconds. FOLDER holds the public
release of that year, as in `calibrate_point_source.py`; without it events are simulated.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import time
from pathlib import Path

import numpy as np

import pyxstan
from pyxstan.point_source import PointSourceData, PriorMap, Smoothing
from pyxstan.point_source.region import Region
from pyxstan.point_source.scanning import Sky
from pyxstan.point_source.tables import tables
from pyxstan.point_source.trial_skies import Skies

sys.path.insert(0, str(Path(__file__).parents[1]))
from calibrate_point_source import ENDS, events

CSKY_CPU_SECONDS = 15 * 60.0


def cpu() -> float:
    """Of this process, its threads with it."""
    used = os.times()
    return used.user + used.system


def scanned(data: PointSourceData, nside: int) -> tuple[float, float, int]:
    """Wall and CPU seconds from events in memory to test statistics, and pixels."""
    region = Region.grid(nside, data, np.radians(85))
    wall, used = time.perf_counter(), cpu()
    Sky(tables(data)).maxima(region.ra, region.dec)
    return time.perf_counter() - wall, cpu() - used, len(region)


def main() -> None:
    """Measure, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--year", type=Path)
    parser.add_argument("--figure", type=Path)
    arguments = parser.parse_args()
    data = events(arguments.year)
    Sky(tables(data))  # compiled before the clock runs
    wall, used, pixels = scanned(data, 64)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{data.events} events, {pixels} pixels: {wall:.2f} s, {used:.2f} CPU s, {memory:.2f} "
          f"GB; csky's minute on 15 cores over that: {CSKY_CPU_SECONDS / used:.0f}")  # fmt: skip
    cap = PriorMap.from_function(
        lambda ra, dec: (np.sin(dec) > np.cos(np.radians(30))).astype(float), 64
    )
    near = PointSourceData(data.samples, cap)
    skies = Skies(near, Region.grid(64, near, np.radians(90)), Smoothing(), ENDS)
    assert skies.tables
    wall, used = time.perf_counter(), cpu()
    count = sum(1 for _ in skies.trials(range(40)))
    print(f"{count} trials within 30 deg: {(time.perf_counter() - wall) / count:.3f} s each, "
          f"{(cpu() - used) / count:.3f} CPU s")  # fmt: skip
    rows = []
    for number in (10_000, 30_000, 100_000, 300_000, 1_100_000):
        large, _ = pyxstan.simulate("point_source", {"ns": 0.0}, seed=2, events=number)
        for nside in (32, 64, 128) if number == 1_100_000 else (64,):
            rows.append((number, *scanned(large, nside)))
            print("{} events: {:.2f} s, {:.2f} CPU s, {} pixels".format(*rows[-1]), flush=True)
    if arguments.figure is not None:
        draw(np.array(rows), arguments.figure)


def draw(rows: np.ndarray, path: Path) -> None:
    """CPU seconds by events times pixels."""
    from pyxstan.figures import blank

    figure = blank(4.6, 3.4)
    axes = figure.subplots()
    pairs = rows[:, 0] * rows[:, 3]
    axes.loglog(pairs, rows[:, 2], "o", color="#1f4e79")
    last = rows[-1]
    axes.loglog(pairs, last[2] * pairs / (last[0] * last[3]), "--", color="0.5", label="linear")
    axes.set(xlabel="events times pixels", ylabel="CPU seconds of a scan")
    axes.legend()
    figure.savefig(path, dpi=160)


if __name__ == "__main__":
    main()
