"""Commands of the family: ``pyxstan scan``, ``pyxstan trials`` and ``pyxstan sensitivity``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pyxstan.errors import DataError

if TYPE_CHECKING:
    from pyxstan.point_source.background import Smoothing
    from pyxstan.point_source.data import PointSourceData
    from pyxstan.point_source.sky import PriorMap

#: Options of a fit that a scan has, too.
_SMOOTHING = ("smoothing_declination", "smoothing_energy_declination", "smoothing_energy", "floor")

_inputs = click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
_set_option = click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE",
    help="As for fit point_source: effective_area=FILE, livetime='333 d', floor=0.5 ...",
)  # fmt: skip
_nside = click.option("--nside", default=64, show_default=True, help="HEALPix resolution.")
_max_dec = click.option(
    "--max-dec", default=85.0, show_default=True,
    type=click.FloatRange(0, 90, min_open=True), help="Declination up to which is looked (deg).",
)  # fmt: skip
_gamma_range = click.option(
    "--gamma-range", "ends", default="1,4", show_default=True, metavar="LOW,HIGH",
    help="Ends of the spectral index, a multiple of 0.25 apart.",
)  # fmt: skip
_seed = click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0))


def _output(name: str, words: str | None = None) -> Callable[..., Any]:
    return click.option(
        "-o", "--output", required=True, type=click.Path(path_type=Path), metavar=name, help=words
    )


@click.command()
@_inputs
@_set_option
@click.option(
    "--prior-map", "maps", multiple=True, type=click.Path(path_type=Path), metavar="MAP",
    help="HEALPix map of where the source may be; repeatable.",
)  # fmt: skip
@_nside
@_max_dec
@_gamma_range
@click.option(
    "--skies", default=0, show_default=True, type=click.IntRange(min=0),
    help="Scrambled skies that p-values of the pixels come from.",
)  # fmt: skip
@_seed
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Draw maps into DIR.")
@_output("SCAN.fits")
def scan(
    inputs: tuple[Path, ...],
    settings: Sequence[str],
    maps: Sequence[Path],
    nside: int,
    max_dec: float,
    ends: str,
    skies: int,
    seed: int,
    plots: Path | None,
    output: Path,
) -> None:
    """Look for the best point source at every pixel of the sky in EVENTS, or SAMPLES.yaml."""
    import numpy as np

    from pyxstan.figures import save
    from pyxstan.output import check_directory, prepare_directory
    from pyxstan.point_source.figures import sky_figures
    from pyxstan.point_source.sky_scan import scan as scanned

    reading, smoothing = _options(settings)
    gamma = _ends(ends)
    _reserve(output, inputs, reading, maps)
    if plots is not None:
        check_directory(plots)
    data = _read(inputs, reading)
    found = scanned(
        data,
        _named(maps, data),
        nside=nside,
        max_dec=max_dec,
        gamma=gamma,
        smoothing=smoothing,
        skies=skies,
        seed=seed,
    )
    _tell(found.notes)
    found.write(output)
    click.echo(f"wrote {output}: {len(found.region)} pixels")
    for name in (None, *found.with_prior):
        best = found.hottest(name)
        click.echo(
            f"hottest{'' if name is None else f' with {name}'}: ra {np.degrees(best.ra):.3f}, dec "
            f"{np.degrees(best.dec):.3f} deg, TS {best.ts:.2f}, ns {best.ns:.2f}, gamma "
            f"{best.gamma:.2f}"
            + ("" if name is None else f", TS with prior {best.ts_with_prior:.2f}")
        )
    if plots is not None:
        save(sky_figures(found), prepare_directory(plots))
        click.echo(f"wrote figures to {plots}")


@click.command()
@_inputs
@_set_option
@click.option(
    "-n", "--count", default=100, show_default=True, type=click.IntRange(min=1),
    help="How many trials.",
)  # fmt: skip
@click.option("--inject", type=float, metavar="NS", help="Mean events of a source in each sky.")
@click.option("--gamma", default=2.0, show_default=True, help="Spectral index of that source.")
@click.option("--ra", type=float, help="Its position (deg); default: drawn from the prior map.")
@click.option("--dec", type=float, help="See --ra.")
@_nside
@_max_dec
@_gamma_range
@_seed
@_output("TRIALS.csv", "Trials that it has aren't made again.")
def trials(
    inputs: tuple[Path, ...],
    settings: Sequence[str],
    count: int,
    inject: float | None,
    gamma: float,
    ra: float | None,
    dec: float | None,
    nside: int,
    max_dec: float,
    ends: str,
    seed: int,
    output: Path,
) -> None:
    """Scan skies without a source, or with one of --inject events, as often as asked for."""
    from pyxstan.point_source.injection import Injection
    from pyxstan.point_source.sky_scan import notes
    from pyxstan.point_source.trial_skies import trials as made

    if inject is None and (ra is not None or dec is not None):
        raise DataError("--ra and --dec are of a source: --inject NS is missing")
    injection = None if inject is None else Injection(inject, gamma, ra, dec)
    reading, smoothing = _options(settings)
    ends_of_gamma = _ends(ends)
    _reserve(output, inputs, reading)
    data = _read(inputs, reading)
    table = made(
        data,
        count,
        injection=injection,
        nside=nside,
        max_dec=max_dec,
        gamma=ends_of_gamma,
        smoothing=smoothing,
        seed=seed,
        output=output,
    )
    _tell(notes(data))
    ts = table["ts_with_prior"]
    of = "of the hottest pixel" if data.catalogue is None else "of the catalogue"
    of += " with the prior's part" * (data.prior_map is not None)
    click.echo(
        f"{len(table)} trials in {output}: TS {of} above {ts.median():.2f} in half of them, above "
        f"{ts.quantile(0.9):.2f} in a tenth"
    )


@click.command()
@_inputs
@_set_option
@click.option(
    "--dec", "decs", type=float, multiple=True, required=True,
    help="Declination of the source (deg); repeatable.",
)  # fmt: skip
@click.option("--gamma", default=2.0, show_default=True, help="Spectral index of the source.")
@click.option(
    "--background", default=1000, show_default=True, type=click.IntRange(min=1),
    help="Skies without a source.",
)  # fmt: skip
@click.option(
    "--trials", "count", default=60, show_default=True, type=click.IntRange(min=1),
    help="Skies for each number of events.",
)  # fmt: skip
@click.option("--pivot", default=1e5, show_default=True, help="Energy of the flux (GeV).")
@click.option("--unit", default="TeV / (cm2 s)", show_default=True, help="E^2 dN/dE, or dN/dE.")
@_seed
@_output("POTENTIAL.csv")
def sensitivity(
    inputs: tuple[Path, ...],
    settings: Sequence[str],
    decs: Sequence[float],
    gamma: float,
    background: int,
    count: int,
    pivot: float,
    unit: str,
    seed: int,
    output: Path,
) -> None:
    """Find how strong a source must be to be seen: sensitivity and discovery potential."""
    import pandas as pd

    from pyxstan.output import replacing
    from pyxstan.point_source.detection import potential
    from pyxstan.point_source.injection import Injection
    from pyxstan.point_source.sky_scan import notes

    reading, smoothing = _options(settings)
    _reserve(output, inputs, reading)
    data = _read(inputs, reading)
    for dec in decs:
        Injection(0.0, gamma, 0.0, dec)  # which checks all before the work
    rows: list[dict[str, Any]] = []
    for dec in decs:
        found = potential(
            data,
            dec,
            gamma,
            background=background,
            trials=count,
            pivot=pivot,
            unit=unit,
            smoothing=smoothing,
            seed=seed,
        )
        click.echo(f"declination {dec:g} deg\n{found}")
        rows += found.rows
    _tell(notes(data))
    with replacing(output) as staged:
        pd.DataFrame(rows).to_csv(staged, index=False)
    click.echo(f"wrote {output}")


def _options(settings: Sequence[str]) -> tuple[dict[str, Any], Smoothing]:
    """Options of reading, and how the background is smoothed."""
    from pyxstan import registry
    from pyxstan.command_line import pairs
    from pyxstan.point_source.problem import smoothing_of

    model = registry.get("point_source")
    reading, rest = model.split_reading(pairs("--set", settings))
    for name in rest:
        if name not in _SMOOTHING:
            there = sorted((*(option.name for option in model.reading), *_SMOOTHING))
            raise DataError(f"--set {name}: no such option; there are {', '.join(there)}")
    return reading, smoothing_of(model.resolve_options(rest))


def _read(inputs: Sequence[Path], reading: Mapping[str, Any]) -> PointSourceData:
    from pyxstan.point_source.samples_file import read

    return read(inputs, reading)


def _reserve(
    output: Path, inputs: Sequence[Path], reading: Mapping[str, Any], more: Sequence[Path] = ()
) -> None:
    """Raise if a result can't be written, or would take the place of what it comes from."""
    from pyxstan.output import check_writable
    from pyxstan.ownership import check_sources

    check_writable(output)
    check_sources(output, [*inputs, *more], reading)


def _named(maps: Sequence[Path], data: PointSourceData) -> dict[str, PriorMap]:
    """Prior maps by the names that their columns and figures have."""
    from pyxstan.point_source.maps import read_prior_map

    found = {}
    taken = {"ts"} if data.prior_map is None else {"ts", "prior", "ts_prior"}
    for path in maps:
        name = re.sub(r"\W", "_", path.name.split(".")[0], flags=re.ASCII)
        for label in (name.lower(), f"ts_{name}".lower()):
            if label in taken:
                raise DataError(f"{path}: there is a '{label}' already, rename the map's file")
            taken.add(label)
        found[name] = read_prior_map(path)
    return found


def _ends(text: str) -> tuple[float, float]:
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise DataError(f"--gamma-range {text}: expected two numbers, as in 1,4") from None
    return low, high


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line, err=True)
