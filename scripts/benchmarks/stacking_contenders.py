"""One fit of a stack by pyxstan, as a process of its own; called by ``stacking.py``.

Draws (chain, draw, ...) go to an ``.npz`` file, with the seconds of CPU time that each part took:
imports, the reading of the samples, and of ``pyxstan.fit`` the preparation, the chains (processes
of Stan), the results.
"""

from __future__ import annotations

import argparse
import json
import os


def spent() -> float:
    """CPU seconds of this process and of those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("samples", help="text, one object a row, or a .npy file")
    parser.add_argument("output")
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--low", type=float, default=0.5)
    parser.add_argument("--high", type=float, default=3.0)
    parser.add_argument("--priors", default="{}")
    arguments = parser.parse_args()

    import numpy as np

    import pyxstan
    from pyxstan.stacking import problem
    from pyxstan.stacking.data import PosteriorSamples

    marks = {"start": spent()}
    if arguments.samples.endswith(".npy"):
        samples = np.load(arguments.samples)
    else:
        samples = np.loadtxt(arguments.samples)
    data = PosteriorSamples.from_arrays(samples)
    marks["samples read"] = spent()

    def marked(name: str, function):
        def call(*args, **kwargs):
            begin = spent()
            result = function(*args, **kwargs)
            marks[name] = marks.get(name, 0.0) + spent() - begin
            return result

        return call

    from pyxstan.engine import sampling
    from pyxstan.stacking import workflow

    workflow.prepare = marked("prepare", workflow.prepare)
    sampling.run = marked("chains", sampling.run)
    problem.StackProblem.refined = marked("check of the nodes", problem.StackProblem.refined)
    problem.StackProblem.groups = marked("results", problem.StackProblem.groups)
    begin = spent()
    idata = pyxstan.fit(
        arguments.model,
        data,
        low=arguments.low,
        high=arguments.high,
        draws=arguments.draws,
        seed=arguments.seed,
        priors=json.loads(arguments.priors),
        drop_empty=True,
        progress=False,
    )
    marks["fit"] = spent() - begin
    names = [name for name in ("mean", "sd", "fraction") if name in idata.posterior]
    np.savez(
        arguments.output,
        marks=json.dumps(marks),
        diverging=int(idata.sample_stats["diverging"].sum()),
        **{name: idata.posterior[name].to_numpy() for name in names},
    )


if __name__ == "__main__":
    main()
