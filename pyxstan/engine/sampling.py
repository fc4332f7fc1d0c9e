"""Run a compiled Stan program through cmdstanpy and bring back its draws.

Everything that cmdstanpy writes goes to a temporary folder that is gone when `run` returns,
whatever happens; a failed run leaves its console output and CSV files in the cache for a look.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyxstan.engine.executable import drop
from pyxstan.engine.failures import CrashError, explain, may_run
from pyxstan.engine.run_folders import run_folder
from pyxstan.errors import DataError

if TYPE_CHECKING:
    import numpy as np

#: Significant digits of the draws on their way through text files.
DIGITS = 9

#: Method -> the driver's units it needs (nuts by its metric).
_UNITS = {
    "pathfinder": ("pathfinder",),
    "laplace": ("optimize", "laplace"),
    "map": ("optimize",),
    "variational": ("variational",),
}
METHODS = ("nuts", *_UNITS)
METRICS = ("diag_e", "dense_e", "unit_e")

#: What an approximation's console says when it went wrong -> what that means.
_POOR = {
    r"Pareto k value \(([^)]+)\) is greater than 0\.7": "Pareto k {} is above 0.7 (use nuts)",
    r"algorithm may not have converged": "the ELBO had not converged at the end (use nuts)",
    r"may not have converged to a good optimum": "the ELBO was better before the end (use nuts)",
    r"Maximum number of iterations hit": "the optimiser ran out of iterations",
}

#: In the environment of the driver: end when the parent does.
_DIE_WITH_PARENT = "PYXSTAN_DIE_WITH_PARENT"

#: Stan's column -> the name that ArviZ gives it.
_STATISTICS = {
    "lp__": "lp",
    "accept_stat__": "acceptance_rate",
    "stepsize__": "step_size",
    "treedepth__": "tree_depth",
    "n_leapfrog__": "n_steps",
    "divergent__": "diverging",
    "energy__": "energy",
    "log_p__": "lp",
    "log_g__": "log_g",
    "lp_approx__": "lp_approx",
    "path__": "path",
}


@dataclass(frozen=True)
class Draws:
    """What came out of a run."""

    #: Stan variable -> array (chain, draw, *shape).
    variables: dict[str, np.ndarray]
    #: ArviZ's name of a sampler statistic -> array (chain, draw).
    statistics: dict[str, np.ndarray]
    method: str
    seconds: float
    stan_version: str
    #: Settings of the sampler that are not columns, such as the adapted metric.
    attributes: dict[str, Any] = field(default_factory=dict)
    #: What an approximation itself says against its draws.
    complaints: tuple[str, ...] = ()


def units(method: str, metric: str = "diag_e") -> tuple[str, ...]:
    """Name the driver's units that a method needs."""
    if method not in METHODS:
        raise DataError(f"unknown method '{method}'; there are {', '.join(METHODS)}")
    if metric not in METRICS:
        raise DataError(f"unknown metric '{metric}'; there are {', '.join(METRICS)}")
    return _UNITS.get(method, (f"sample_{metric}",))


def run_mended(
    executable: Path, rebuild: Callable[[], Path], data: Mapping[str, Any], **how: Any
) -> Draws:
    """Run, and if the executable of the cache crashes or does not start, build it anew, once.

    Parameters
    ----------
    executable, data, **how
        As of `run`.
    rebuild
        Builds the executable.
    """
    try:
        return run(executable, data, **how)
    except CrashError:
        drop(executable)
        return run(rebuild(), data, **how)


def run(
    executable: Path,
    data: Mapping[str, Any],
    *,
    method: str = "nuts",
    chains: int = 4,
    warmup: int = 1000,
    draws: int = 1000,
    seed: int,
    inits: float | Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    progress: bool = False,
    metric: str = "diag_e",
    adapt_delta: float | None = None,
    max_treedepth: int | None = None,
) -> Draws:
    """Run one method of a compiled program.

    Parameters
    ----------
    executable
        What `pyxstan.engine.build.build` returned, with the method's `units`.
    data
        Values of the program's data block.
    inits
        Half width of the uniform starting interval on the unconstrained scale, or starting values
        by parameter: for all chains, or one mapping a chain (other methods start from the first).
    progress
        Show cmdstanpy's progress bars.

    Raises
    ------
    SamplingError
        The executable failed; the message says where its console output is.
    """
    import cmdstanpy
    import stanio

    may_run(executable)
    start = time.monotonic()
    with run_folder() as folder, _quiet_cmdstanpy() as log, _chains_die_with_us():
        data_file = folder / "data.json"
        data_file.write_text(stanio.dump_stan_json(dict(data)))  # cmdstanpy's own is slow
        common: dict[str, Any] = {
            "data": str(data_file),
            "seed": seed,
            "output_dir": str(folder),
            "sig_figs": DIGITS,
        }
        if isinstance(inits, Sequence):
            starts = list(map(dict, inits))
            common["inits"] = starts if method == "nuts" else starts[0]
        elif inits is not None:
            common["inits"] = dict(inits) if isinstance(inits, Mapping) else inits
        try:
            model = cmdstanpy.CmdStanModel(exe_file=str(executable))
            call = partial(
                _call, model, method, common, chains=chains, warmup=warmup, draws=draws,
                progress=progress, metric=metric, adapt_delta=adapt_delta,
                max_treedepth=max_treedepth,
            )  # fmt: skip
            fit = _interruptible(call, folder)
            drawn = _read(fit, method, chains, time.monotonic() - start, model)
            return drawn if method == "nuts" else replace(drawn, complaints=_complaints(folder))
        except (RuntimeError, ValueError) as error:
            raise explain(error, log, folder, executable) from error


def _call(
    model: Any,
    method: str,
    common: dict[str, Any],
    *,
    chains: int,
    warmup: int,
    draws: int,
    progress: bool,
    metric: str,
    adapt_delta: float | None,
    max_treedepth: int | None,
) -> Any:
    match method:
        case "nuts":
            return model.sample(
                **common,
                chains=chains,
                iter_warmup=warmup,
                adapt_engaged=warmup > 0,
                iter_sampling=draws,
                metric=metric,
                adapt_delta=adapt_delta if warmup else None,
                max_treedepth=max_treedepth,
                show_progress=progress,
                refresh=max((warmup + draws) // 20, 1),
            )
        case "pathfinder":
            return model.pathfinder(**common, draws=chains * draws)
        case "laplace":
            inits = {"inits": common.pop("inits")} if "inits" in common else None
            return model.laplace_sample(**common, draws=chains * draws, opt_args=inits)
        case "map":
            return model.optimize(**common, algorithm="lbfgs")
        case _:
            return model.variational(**common, draws=chains * draws, require_converged=False)


def _read(fit: Any, method: str, chains: int, seconds: float, model: Any) -> Draws:
    import numpy as np

    variables, statistics = fit.metadata.stan_vars, fit.metadata.method_vars
    info = model.exe_info()  # which runs it
    attributes: dict[str, Any] = {}
    if method == "nuts":
        table = np.swapaxes(fit.draws(), 0, 1)
        attributes = {"inv_metric": fit.inv_metric, "step_size": fit.step_size}
    elif method == "map":
        table = np.asarray(fit.optimized_params_np).reshape(1, 1, -1)
    elif method == "variational":
        table = fit.variational_sample[np.newaxis]
    else:
        table = fit.draws()[np.newaxis]
    return Draws(
        variables={name: v.extract_reshape(table, object=False) for name, v in variables.items()},
        statistics={
            _STATISTICS.get(name, name): v.extract_reshape(table)
            for name, v in statistics.items()
            if name in _STATISTICS
        },
        method=method,
        seconds=seconds,
        stan_version=".".join(
            str(info.get(f"stan_version_{part}", "?")) for part in ("major", "minor", "patch")
        ),
        attributes=attributes,
    )


def _complaints(folder: Path) -> tuple[str, ...]:
    """Find what the consoles of an approximation say against it."""
    console = "\n".join(file.read_text(errors="replace") for file in sorted(folder.glob("*.txt")))
    matches = ((re.search(pattern, console), meaning) for pattern, meaning in _POOR.items())
    return tuple(meaning.format(*match.groups()) for match, meaning in matches if match)


@contextmanager
def _quiet_cmdstanpy() -> Iterator[list[str]]:
    """Collect what cmdstanpy logs instead of showing it."""
    logger = logging.getLogger("cmdstanpy")
    lines: list[str] = []
    collector = logging.Handler()
    collector.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    handlers, propagate = logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [collector], False
    try:
        yield lines
    finally:
        logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def _chains_die_with_us() -> Iterator[None]:
    """Tell the driver to end when we are killed without a chance to clean up.

    What cmdstanpy sets in the environment is gone afterwards, too.
    """
    before = {name: os.environ.get(name) for name in (_DIE_WITH_PARENT, "STAN_NUM_THREADS")}
    os.environ[_DIE_WITH_PARENT] = "1"
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _interruptible(call: Callable[[], Any], folder: Path) -> Any:
    """Return what `call` returns; an interrupt ends its executables at once.

    cmdstanpy waits for its chains, and for those it has yet to start, when it is interrupted. It
    therefore runs in a thread of its own, where no interrupt comes, while this one waits.
    """
    with ThreadPoolExecutor(1, "pyxstan") as pool:
        future = pool.submit(call)
        try:
            return future.result()
        finally:
            while not future.done():
                with suppress(KeyboardInterrupt):  # the next one must not stop this
                    _kill_children(str(folder))
                    wait([future], timeout=0.05)


def _kill_children(folder: str) -> None:
    """Kill the executables that write to `folder`, and no others."""
    import psutil

    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any(folder in word for word in child.cmdline()):
                child.kill()
