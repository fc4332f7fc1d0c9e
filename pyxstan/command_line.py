"""The command line: ``pyxstan fit MODEL INPUT... -o OUT.nc`` and its sisters.

Errors that pyxstan raises on purpose end in one line on standard error and their exit code; an
interrupt ends in 130. Nothing heavy is imported before a command needs it.
"""

from __future__ import annotations

import math
import os
import re
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from pyxstan.errors import DataError, OutputError, PyxstanError
from pyxstan.messages import notifier
from pyxstan.point_source.commands import scan, sensitivity, trials

_INTERRUPTED = 130
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_NOT_CONVERGED = 4
_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")

_set_option = click.option(
    "--set", "settings", multiple=True, metavar="OPTION=VALUE", help="An option of the model."
)
_overwrite_option = click.option(
    "--overwrite", is_flag=True, help="Take the place of other results in the folder."
)
_prior_option = click.option(
    "--prior",
    "priors",
    multiple=True,
    metavar="NAME=FAMILY(...)",
    help="A prior, as in 'sigma2=inv_gamma(3, 0.005)'.",
)


class _Commands(click.Group):
    """Commands that end, when nobody reads on, as other tools do: by the signal SIGPIPE."""

    def make_context(self, *arguments: Any, **more: Any) -> click.Context:
        """Read the command line, and maybe print help."""
        with _ending_with_the_pipe():
            return super().make_context(*arguments, **more)

    def invoke(self, context: click.Context) -> Any:
        """Run the command."""
        with _ending_with_the_pipe():
            return super().invoke(context)


@contextmanager
def _ending_with_the_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        _give_up_stdout()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGPIPE)


@click.group(
    cls=_Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="pyxstan")
@click.pass_context
def commands(context: click.Context) -> None:
    """Fit Stan models of X-ray and high-energy astronomy."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for _command in (scan, trials, sensitivity):
    commands.add_command(_command)


@commands.command("list")
def list_() -> None:
    """List the models of the zoo."""
    from pyxstan import registry

    models = registry.models().values()
    width = max(len(model.name) for model in models)
    for model in models:
        click.echo(f"{model.name:{width}}  {model.purpose}")


@commands.command()
@click.argument("model")
@click.argument("inputs", nargs=-1, type=click.Path(path_type=Path))
def describe(model: str, inputs: tuple[Path, ...]) -> None:
    """Say what MODEL needs, returns and lets you change; or what the model in INPUTS is."""
    from pyxstan import registry

    if not inputs:
        click.echo(registry.describe(model))
        return
    entry = registry.get(model)
    data = entry.family.read(inputs, entry.split_reading({})[0])
    if not hasattr(data, "describe"):
        raise DataError(
            f"{model}: nothing to describe in {inputs[0]}, the model is the same always"
        )
    click.echo(data.describe())


@commands.command()
@click.option(
    "--compile", "compile_test", is_flag=True, help="Compile the test program if need be."
)
def doctor(compile_test: bool) -> None:
    """Check each link of the chain from a Stan model to a fit."""
    from pyxstan import registry
    from pyxstan.engine import doctor as checks

    models = [(m.name, m.program) for m in registry.models().values()]
    found = checks.diagnose(models, compile_test=compile_test, notify=_tell)
    click.echo(checks.render(found))
    sys.exit(checks.exit_status(found))


@commands.command()
@click.option("--prune", is_flag=True, help="Remove what no present model uses, and leftovers.")
def cache(prune: bool) -> None:
    """Show what the cache of compiled programs holds, or make it smaller."""
    from pyxstan import registry
    from pyxstan.engine import pruning
    from pyxstan.engine.cache import Cache

    current = Cache.current()
    click.echo(str(current.root))
    if prune:
        from pyxstan.engine.doctor import COIN

        freed = pruning.prune(current, [COIN, *(m.program for m in registry.models().values())])
        click.echo(f"{freed / 1e6:.1f} MB freed")
    for name, (count, size) in pruning.sizes(current).items():
        click.echo(f"{name:8}  {count:4}  {size / 1e6:8.1f} MB")


@commands.command("compile")
@click.argument("names", nargs=-1, metavar="[MODEL ... | FILE.stan]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Executable of FILE.stan.")
@click.option("--all-methods", is_flag=True, help="Not for NUTS alone, but for every method.")
def compile_(names: tuple[str, ...], output: Path | None, all_methods: bool) -> None:
    """Compile models of the zoo (default: all), or your own FILE.stan into an executable."""
    from pyxstan import registry
    from pyxstan.engine.build import ALL_UNITS, StanProgram, build

    files = [name for name in names if name.endswith(".stan")]
    if files or output is not None:
        if len(names) != 1 or not files or output is None:
            raise DataError("compile takes MODEL ..., or one FILE.stan with -o EXE")
        click.echo(build(StanProgram(Path(files[0])), ALL_UNITS, output=output, notify=_tell))
        return
    for model in [registry.get(name) for name in names] or list(registry.models().values()):
        build(model.program, ALL_UNITS if all_methods else ("sample_diag_e",), notify=_tell)
        click.echo(f"{model.name}: compiled")


@commands.command()
@click.argument("model")
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="OUT.nc")
@click.option("--method", default="nuts", show_default=True)
@click.option("--chains", default=4, show_default=True)
@click.option("--warmup", type=int, help="Of NUTS. Default: 1000.")
@click.option("--draws", default=1000, show_default=True)
@click.option("--seed", type=int, help="Default: a random one, told in the output.")
@click.option("--inits", type=float, help="Half width of the random starting interval.")
@click.option("--plots", type=click.Path(path_type=Path), metavar="DIR", help="Draw the figures.")
@click.option("--strict", is_flag=True, help="Exit 4 when the verdict is bad, or has a BUT.")
@click.option("--quiet", is_flag=True, help="No progress.")
@_overwrite_option
@_set_option
@_prior_option
def fit(
    model: str,
    inputs: tuple[Path, ...],
    output: Path,
    plots: Path | None,
    settings: Sequence[str],
    priors: Sequence[str],
    strict: bool,
    quiet: bool,
    overwrite: bool,
    **sampler: Any,
) -> None:
    """Fit MODEL to INPUT files and write the inference data to OUT.nc."""
    from pyxstan import registry
    from pyxstan.output import check_directory, check_room, check_writable, deliver
    from pyxstan.ownership import check_figures, check_sources

    options, chosen_priors = pairs("--set", settings), pairs("--prior", priors)
    entry = registry.get(model)
    check_writable(output)
    check_sources(output, inputs, options)
    check_room(output.parent)
    if plots is not None:
        check_directory(plots)
        if not overwrite:
            check_figures(plots, model)
    reading, options = entry.split_reading(options)
    data = entry.family.read(inputs, reading)

    from pyxstan import fitting, inference_data, summaries

    idata = fitting.unjudged(
        model, data, priors=chosen_priors, progress=not quiet, **sampler, **options
    )
    deliver(output, lambda path: inference_data.save(idata, path))
    if plots is not None:
        from pyxstan.figures import plot

        try:
            plot(idata, plots, overwrite=overwrite)
        except DataError as error:
            raise OutputError(f"{error}; the fit itself is in {output}") from None
    there = inference_data.group(idata, "posterior")
    judged = summaries.verdict(idata)
    shown = [name for name in entry.headline if name in there]
    named = {row.split("[")[0] for row in judged.rows}
    table = summaries.summary(idata, [*shown, *sorted(named.difference(shown))])
    rows = [row for row in table.index if row.split("[")[0] in shown or row in judged.rows]
    _print_summary(table.loc[rows], needed=judged.rows)
    click.echo(f"wrote {output}" + (f" and figures in {plots}" if plots else ""))
    click.echo(str(judged))
    if strict and judged.problems:  # reservations are among them
        sys.exit(_NOT_CONVERGED)


@commands.command()
@click.argument("model")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option(
    "--truth",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="True values by posterior variable, as in the truth.json that is written.",
)
@_overwrite_option
@_set_option
@_prior_option
def simulate(
    model: str,
    output: Path,
    seed: int,
    truth: Path | None,
    overwrite: bool,
    settings: Sequence[str],
    priors: Sequence[str],
) -> None:
    """Simulate data of MODEL into DIR, with the truth."""
    import tempfile

    from pyxstan import fitting, registry
    from pyxstan.output import check_directory, prepare_directory
    from pyxstan.ownership import check_simulated

    entry = registry.get(model)
    options, chosen_priors = pairs("--set", settings), pairs("--prior", priors)
    parameters = None if truth is None else _truth(truth)
    data, used = fitting.simulate(model, parameters, seed=seed, priors=chosen_priors, **options)
    check_directory(output)
    if (output / "truth.json").is_file() and not overwrite:
        with tempfile.TemporaryDirectory() as scratch:
            entry.family.write(data, used, Path(scratch))
            check_simulated(output, Path(scratch) / "truth.json")
    for path in entry.family.write(data, used, prepare_directory(output)):
        click.echo(f"wrote {path}")


def _truth(path: Path) -> dict[str, Any]:
    """Read true values."""
    import json

    try:
        found = json.loads(path.read_text())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({error})") from None
    if not isinstance(found, dict):
        raise DataError(f'{path}: expected values by posterior variable, as in {{"B": [0.1]}}')
    return found


@commands.command()
@click.argument("result", type=click.Path(path_type=Path), metavar="OUT.nc")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable, all quantities.")
def summary(result: Path, as_json: bool) -> None:
    """Show the posterior and the verdict on convergence."""
    from pyxstan import inference_data, summaries

    idata = inference_data.read(result)
    table = summaries.summary(idata)
    if as_json:
        import json

        judged = summaries.verdict(idata)
        document = {
            "model": inference_data.attributes(idata)["model"],
            "verdict": judged.line,
            "good": judged.good,
            "converged": judged.converged,
            "problems": judged.problems,
            "quantities": json.loads(table.to_json(orient="index")),
        }
        click.echo(json.dumps(document, indent=1))
        return
    _print_summary(table, most=len(table))
    click.echo(table.attrs["verdict"])


@commands.command()
@click.argument("result", type=click.Path(path_type=Path), metavar="OUT.nc")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path), metavar="DIR")
@_overwrite_option
def plot(result: Path, output: Path, overwrite: bool) -> None:
    """Draw the figures of a fit into DIR, as PNG and PDF."""
    from pyxstan import inference_data
    from pyxstan.figures import plot as draw

    for name in draw(inference_data.read(result), output, overwrite=overwrite):
        click.echo(f"wrote {output / name}.png and .pdf")


@commands.command()
@click.argument("results", nargs=-1, type=click.Path(path_type=Path), metavar="A.nc B.nc ...")
@click.option("--json", "as_json", is_flag=True, help="Machine-readable.")
def compare(results: tuple[Path, ...], as_json: bool) -> None:
    """Compare fits of the same data by LOO, WAIC and DIC, the best first."""
    from pyxstan import comparison

    table = comparison.compare_files(results)
    if as_json:
        import json

        document = {**table.attrs, "fits": json.loads(table.to_json(orient="index"))}
        click.echo(json.dumps(document, indent=1))
        return
    click.echo(table.to_string(float_format=lambda x: f"{x:.2f}", na_rep=""))
    for note in table.attrs["notes"]:
        click.echo(f"note: {note}")
    click.echo(table.attrs["verdict"])


class _WithNegativeNumbers(click.Command):
    """A command whose arguments may be negative numbers: they aren't options."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse ``-3`` as a number, by a blank before it."""
        return super().parse_args(
            context, [f" {word}" if _NEGATIVE.fullmatch(word) else word for word in args]
        )


@commands.command(cls=_WithNegativeNumbers)
@click.argument("inputs", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.argument("low", type=float)
@click.argument("high", type=float)
@click.argument("nbins", type=int)
@click.option("--name", help="The parameter: a column, or what to call a text file's numbers.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Default: the name of INPUT with _stack.",
)
@click.option(
    "--prior",
    help="Of the objects' fits: uniform, loguniform, normal(mean, sd), uniform(low, high) ... "
    "Default: as the fits record it, else flat.",
)
@click.option(
    "--selection",
    type=click.Path(path_type=Path),
    help="Table of detection probabilities, or of detected injections.",
)
@click.option(
    "--covariates",
    type=click.Path(path_type=Path),
    help="Table of what is known of the objects, by 'object', for stack_regression.",
)
@click.option(
    "--parent",
    "parents",
    multiple=True,
    metavar="MODEL",
    help="Model beside the histogram; repeatable. Default: stack_gaussian, and with --covariates "
    "stack_regression.",
)
@click.option("--drop-empty", is_flag=True, help="Leave out objects without a sample in the range.")
@click.option("--chains", default=4, show_default=True)
@click.option("--warmup", type=int, help="Of NUTS. Default: 1000.")
@click.option("--draws", type=int, help="Default: 4000, of more than 3000 objects 1000.")
@click.option("--seed", type=int, help="Default: a random one, told in the output.")
@click.option("--strict", is_flag=True, help="Exit 4 when a verdict is bad, or has a BUT.")
@click.option("--quiet", is_flag=True, help="No progress.")
@_overwrite_option
def stack(
    inputs: tuple[Path, ...],
    low: float,
    high: float,
    nbins: int,
    name: str | None,
    output: Path | None,
    prior: str | None,
    selection: Path | None,
    covariates: Path | None,
    parents: tuple[str, ...],
    strict: bool,
    quiet: bool,
    overwrite: bool,
    **how: Any,
) -> None:
    """Find the population behind the posterior samples in INPUT: a histogram and a Gaussian.

    With covariates also a Gaussian whose mean follows them.

    INPUT is a text file with an object a row, a table, netCDF files, or run folders. The histogram
    has NBINS bins from LOW to HIGH.
    """
    from pyxstan import registry
    from pyxstan.output import check_directory, check_room, deliver
    from pyxstan.stacking import several

    chosen = several.chosen_parents(parents or None, follow=covariates is not None)
    folder = Path(f"{inputs[0].resolve().stem}_stack") if output is None else output
    check_directory(folder)
    check_room(folder)
    given = [one for one in (*inputs, selection, covariates) if one is not None]
    for path in several.outputs(folder, ["histogram", *map(several.label, chosen)]):
        if path.is_dir():
            raise DataError(f"{path}: a directory, expected the name of a file to write")
        if any(one.exists() and path.exists() and path.samefile(one) for one in given):
            raise DataError(f"{path}: an input, it would be overwritten by the result")
    entry = registry.get("stack_histogram")
    options = {"prior": prior, "name": name, "selection": selection, "covariates": covariates}
    reading, _ = entry.split_reading({key: str(x) for key, x in options.items() if x is not None})
    data = entry.family.read(inputs, reading)
    if not overwrite:
        labels = ["histogram", *map(several.label, chosen)]
        several.check_folder(folder, several.of_samples(data), labels)
    fits = several.fitted(data, low, high, nbins, parents=chosen, progress=not quiet, **how)
    text, good = several.report(fits)
    deliver(folder, lambda place: several.write(fits, place, overwrite=overwrite))
    click.echo(text)
    click.echo(f"wrote {folder}")
    if strict and not good:
        sys.exit(_NOT_CONVERGED)


def pairs(flag: str, texts: Sequence[str]) -> dict[str, Any]:
    """Split ``name=value`` texts."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name.strip() or not value.strip():
            raise DataError(f"{flag} {text}: expected name=value")
        name, value = name.strip(), value.strip()
        if name in found and flag != "--set":
            raise DataError(f"{flag} {name} is given twice")
        if name in found:
            from pyxstan.registry import Repeated

            earlier = found[name] if isinstance(found[name], Repeated) else (found[name],)
            found[name] = Repeated((*earlier, value))
        else:
            found[name] = value
    return found


def _print_summary(table: Any, most: int = 60, needed: Sequence[str] = ()) -> None:
    """Print a table for people; a long one is cut, but for the rows that are needed."""
    kept = table.loc[[k < most or row in needed for k, row in enumerate(table.index)]]
    shown = kept.astype(object)
    for label, row in kept.iterrows():
        digits = _digits(row["mean"], row.get("sd", math.nan))
        for name, value in row.items():
            if isinstance(value, str):
                continue
            places = ".0f" if name.startswith("ess") else ".4g"
            if name in ("mean", "50%", "2.5%", "97.5%"):
                places = f".{digits}g"
            shown.loc[label, name] = "" if math.isnan(value) else format(value, places)
    click.echo(shown.to_string())
    if len(table) > len(kept):
        click.echo(f"... and {len(table) - len(kept)} more: pyxstan summary shows them all")


def _digits(mean: float, sd: float) -> int:
    """Significant digits that show a mean down to the second digit of its standard deviation."""
    if not (0 < sd < math.inf and mean != 0 and math.isfinite(mean)):
        return 4
    return min(max(4, math.floor(math.log10(abs(mean))) - math.floor(math.log10(sd)) + 2), 15)


def _tell(line: str) -> None:
    click.echo(f"pyxstan: {line}", err=True)


def _interrupt(signum: int, frame: Any) -> None:
    """End as by Ctrl-C, and let nothing interrupt the cleaning up."""
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    import warnings

    notifier(progress=True, console=True)
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _interrupt)
    warnings.showwarning = lambda message, *rest, **more: click.echo(
        f"pyxstan: warning: {message}", err=True
    )
    try:
        commands.main(args=list(arguments) if arguments is not None else None,
                      prog_name="pyxstan", standalone_mode=False)  # fmt: skip
    except PyxstanError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.Abort:
        _fail("interrupted", _INTERRUPTED)
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    except click.ClickException as error:
        _fail(error.format_message(), 2)
    except OSError as error:
        _give_up_stdout()
        _fail(f"{error.filename or 'output'}: {error.strerror or error}", 2)


def _give_up_stdout() -> None:
    """Send what is still to be flushed nowhere: there is nobody to read it, or no room."""
    with suppress(OSError):  # not a stream of the system's
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(message: str, code: int) -> None:
    click.echo(f"pyxstan: {' '.join(message.split())}", err=True)
    sys.exit(code)
