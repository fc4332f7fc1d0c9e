"""Values and gradients of a compiled program's log density, by its ``log_prob`` method."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
#: Values at points, one a row.
Values = Callable[[FloatArray], FloatArray]


def log_prob(
    executable: Path, data: Mapping[str, Any], points: FloatArray, folder: Path
) -> tuple[FloatArray, FloatArray]:
    """Values and gradients at all points, one a row."""
    done = log_prob_run(executable, data, points, folder)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [x for x in (folder / "out.csv").read_text().splitlines() if not x.startswith("#")]
    table = np.loadtxt(lines[1:], delimiter=",", ndmin=2)
    assert table.shape == (len(points), 1 + points.shape[1])
    return table[:, 0], table[:, 1:]


def log_prob_run(
    executable: Path, data: Mapping[str, Any], points: FloatArray, folder: Path
) -> subprocess.CompletedProcess[str]:
    """The same, however it ends."""
    plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in data.items()}
    (folder / "data.json").write_text(json.dumps(plain))
    (folder / "points.json").write_text(json.dumps({"params_r": points.tolist()}))
    command = [
        executable, "log_prob", f"unconstrained_params={folder / 'points.json'}",
        "data", f"file={folder / 'data.json'}",
        "output", f"file={folder / 'out.csv'}", "sig_figs=18",
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True)


def slopes(values: Values, point: FloatArray, step: float | FloatArray) -> FloatArray:
    """Gradient at a point by central differences of fourth order."""
    steps = np.broadcast_to(step, point.shape)
    shifts = np.concatenate([c * np.diag(steps) for c in (-2, -1, 1, 2)])
    low2, low, high, high2 = values(point + shifts).reshape(4, point.size)
    return np.asarray((8 * (high - low) - (high2 - low2)) / (12 * steps))
