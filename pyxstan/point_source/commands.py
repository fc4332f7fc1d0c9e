"""Commands of the family: ``pyxstan scan`` and ``pyxstan trials``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pyxstan.errors import DataError

if TYPE_CHECKING:
    from pyxstan.point_source.data import PointSourceData

_inputs = click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
_set_option = click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE",
    help="As for fit point_source: effective_area=FILE, livetime='333 d' ...",
)  # fmt: skip
_nside = click.option("--nside", default=64, show_default=True, help="HEALPix resolution.")
_max_dec = click.option(
    "--max-dec", default=85.0, show_default=True, help="Declination up to which is looked (deg)."
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
@click.option(
    "--skies", default=0, show_default=True,
    help="Scrambled skies that p-values of the pixels come from.",
)  # fmt: skip
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Draw maps into DIR.")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="SCAN.fits")
def scan(
    inputs: tuple[Path, ...],
    settings: Sequence[str],
    maps: Sequence[Path],
    nside: int,
    max_dec: float,
    skies: int,
    plots: Path | None,
    output: Path,
) -> None:
    """Look for the best point source at every pixel of the sky in EVENTS, or SAMPLES.yaml."""
    import numpy as np

    from pyxstan.figures import save
    from pyxstan.output import check_writable, prepare_directory
    from pyxstan.point_source.figures import sky_figures
    from pyxstan.point_source.maps import read_prior_map
    from pyxstan.point_source.sky_scan import scan as scanned

    check_writable(output)
    data = _read(inputs, settings)
    priors = {path.name.split(".")[0]: read_prior_map(path) for path in maps}
    if len(priors) < len(maps):
        raise DataError("two prior maps have the same name")
    found = scanned(data, priors, nside=nside, max_dec=max_dec, skies=skies)
    for note in found.notes:
        click.echo(note, err=True)
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
@click.option("-n", "--count", default=100, show_default=True, help="How many trials.")
@click.option("--inject", type=float, metavar="NS", help="Mean events of a source in each sky.")
@click.option("--gamma", default=2.0, show_default=True, help="Spectral index of that source.")
@click.option("--ra", type=float, help="Its position (deg); default: drawn from the prior map.")
@click.option("--dec", type=float, help="See --ra.")
@_nside
@_max_dec
@click.option("--seed", default=0, show_default=True)
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="TRIALS.csv",
    help="Trials that it has aren't made again.",
)  # fmt: skip
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
    seed: int,
    output: Path,
) -> None:
    """Scan skies without a source, or with one of --inject events, as often as asked for."""
    from pyxstan.point_source.trial_skies import Injection
    from pyxstan.point_source.trial_skies import trials as made

    data = _read(inputs, settings)
    injection = None if inject is None else Injection(inject, gamma, ra, dec)
    table = made(
        data, count, injection=injection, nside=nside, max_dec=max_dec, seed=seed, output=output
    )
    ts = table["ts_with_prior"]
    click.echo(
        f"{len(table)} trials in {output}: TS of the hottest pixel {ts.median():.2f} in half of "
        f"them, {ts.quantile(0.9):.2f} in a tenth"
    )


def _read(inputs: Sequence[Path], settings: Sequence[str]) -> PointSourceData:
    from pyxstan.command_line import pairs
    from pyxstan.point_source.data import PointSourceData

    return PointSourceData.read(*inputs, **pairs("--set", settings))
