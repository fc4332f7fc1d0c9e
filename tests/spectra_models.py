"""Small spectra for tests: counts drawn through a small response."""

from __future__ import annotations

from typing import Any

import numpy as np

from pyxstan.spectra import LinkedSpectra, Observation, Response, Source, Spectrum, component
from pyxstan.spectra.instruments import Instrument

INSTRUMENT = Instrument(0.3, 11.0, 60, 40, 600.0, 0.8, 6.0, 0.15)
POWER_LAW = component("powerlaw", K="lognormal(-7, 1)", index="normal(-1.8, 0.4)")


def response() -> Response:
    return INSTRUMENT.response()


def spectrum(statistic: str = "cstat", name: str = "s", *, mean: float = 6.0) -> Spectrum:
    """Counts (some of them zero) with all that the statistic asks for."""
    rng = np.random.default_rng([len(name), ord(name[-1])])
    folded = response()
    falling = mean * np.exp(-np.linspace(0, 4, folded.channels))
    counts = rng.poisson(falling + 0.4).astype(float)
    more: dict[str, Any] = {"poisson": True}
    behind = None
    if statistic == "chi2":
        more = {"poisson": False, "errors": np.sqrt(counts + 1)}
    if statistic in ("wstat", "pgstat", "chi2"):
        drawn = rng.poisson(np.full(folded.channels, 2.0)).astype(float)
        drawn[::3] = 0
        gauss = {} if statistic == "wstat" else {"poisson": False, "errors": 0.5 + np.sqrt(drawn)}
        behind = Spectrum(f"{name} background", drawn, 1e4, backscal=np.array([5.0]), **gauss)
    return Spectrum(name, counts, 1e4, response=folded, background=behind, **more)


def one(used: Any = POWER_LAW, statistic: str = "cstat", **more: Any) -> LinkedSpectra:
    """A source with one component, or those given by name, in one spectrum."""
    parts = used if isinstance(used, dict) else {"c": used}
    source = Source("src", parts, more.pop("absorption", {}))
    seen = Observation(spectrum(statistic), "src", more.pop("constant", None))
    return LinkedSpectra((seen,), (source,), **more)
