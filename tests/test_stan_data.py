"""The data that Stan is given: what cmdstanpy would write, however large."""

from __future__ import annotations

from pathlib import Path

import cmdstanpy
import numpy as np
import stanio


def test_as_cmdstanpy_writes_it(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    data = {
        "x": rng.normal(size=(7, 5)), "k": rng.integers(0, 9, (3, 2)), "none": np.empty((0, 3)),
        "odd": np.array([np.nan, np.inf, -np.inf, -0.0, 1e-320, 1e300]), "n": np.int64(3),
        "list": [np.float64(1.5), 2], "flags": np.array([True, False]), "single": np.float32(0.1),
    }  # fmt: skip
    cmdstanpy.write_stan_json(str(tmp_path / "data.json"), data)
    assert stanio.dump_stan_json(data) == (tmp_path / "data.json").read_text()
