"""Simulated spectra: counts drawn for a model, source and background, through given responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.spectra.data import LinkedSpectra, Observation
from pyxstan.spectra.folding import Floats, folded
from pyxstan.spectra.instruments import INSTRUMENTS
from pyxstan.spectra.model import Absorber, Source, component
from pyxstan.spectra.parameters import Parameters
from pyxstan.spectra.spectrum import Spectrum


def fake(
    data: LinkedSpectra,
    parameters: Mapping[str, float],
    *,
    seed: int | np.random.Generator,
    background: Sequence[Floats | float] | None = None,
) -> LinkedSpectra:
    """Spectra of the same model, responses and exposures, with other counts.

    Parameters
    ----------
    data
        The spectra to imitate.
    parameters
        Values of the free parameters by name (the others follow).
    background
        Expected counts of each background spectrum, a number a channel or one for all; by default
        the counts that it has.

    Returns
    -------
    LinkedSpectra
        With Poisson counts in every channel of sources and backgrounds.

    Raises
    ------
    DataError
        A parameter that is missing or isn't free, or that is outside of its prior; a spectrum that
        is fitted with Gaussian errors; backgrounds that aren't one for each, from 0 up.
    """
    if background is not None and len(background) != len(data.observations):
        raise DataError(
            f"fake: {len(background)} backgrounds, but {len(data.observations)} spectra"
        )
    rng = np.random.default_rng(seed)
    values = _values(data.collected, parameters)
    sources = {source.name: source for source in data.sources}
    found = []
    for k, one in enumerate(data.observations):
        spectrum = one.spectrum
        if one.statistic in ("chi2", "pgstat"):
            raise DataError(f"{one.name}: fake makes Poisson counts, but it is for {one.statistic}")
        bare = replace(
            spectrum,
            noticed=np.ones(1, dtype=bool),
            quality=np.zeros(1, dtype=np.int64),
            grouping=np.zeros(1, dtype=np.int64),
        )
        made = folded(replace(one, spectrum=bare), tuple(sources[name] for name in one.sources))
        expected = made.expected(values)[0]
        if not (np.isfinite(expected) & (expected >= 0)).all():
            raise DataError(
                f"{one.name}: the model has no counts (finite, from 0 up) at these parameters"
            )
        behind = spectrum.background
        if behind is not None:
            given = behind.counts if background is None else background[k]
            mean = np.asarray(given, dtype=float)
            if (mean.ndim and mean.shape != behind.counts.shape) or not (mean >= 0).all():
                raise DataError(
                    f"{one.name}: background: expected numbers from 0 up, one a channel or for all"
                )
            mean = np.broadcast_to(mean, behind.counts.shape)
            behind = replace(behind, counts=_drawn(rng, mean), poisson=True, errors=None)
            alpha = made.binned.alpha
            assert alpha is not None
            expected = expected + alpha * mean
        counts = _drawn(rng, expected)
        found.append(
            replace(
                one,
                spectrum=replace(
                    spectrum, counts=counts, background=behind, poisson=True, errors=None
                ),
            )
        )
    return replace(data, observations=tuple(found))


def _drawn(rng: np.random.Generator, mean: Floats) -> Floats:
    return rng.poisson(np.minimum(mean, 1e15)).astype(float)


def _values(parameters: Parameters, given: Mapping[str, float]) -> dict[str, Floats]:
    """Every parameter by name, shape (1,), from the free ones."""
    free = [row.name for row in parameters.rows[: parameters.free]]
    u = np.zeros((1, parameters.free))
    rest = dict(given)
    for k, name in enumerate(free):
        if name not in rest:
            raise DataError(f"simulate: no value of {name}")
        u[0, k] = parameters.u_of(k, rest.pop(name))
    for name in rest:
        raise DataError(
            f"simulate: no parameter '{name}' that is free; there are {', '.join(free)}"
        )
    return parameters.named(parameters.values(u)[0])


def simulate(
    model: str,
    parameters: Mapping[str, Any] | None,
    rng: np.random.Generator,
    options: Mapping[str, Any],
    priors: Mapping[str, Prior],
    *,
    from_prior: bool,
) -> tuple[LinkedSpectra, dict[str, Any]]:
    """Simulate spectra: an absorbed power law, or two sources with one temperature."""
    case = options["case"]
    make, usual = _CASES[case]
    exposure = options["exposure"]
    data, truth, background = make(usual if exposure is None else exposure)
    collected = data.with_priors(priors)
    if priors:
        data = _with_priors(data, priors)
    if from_prior:
        truth = {
            row.name: _from_prior(row.prior, row.positive, rng)
            for row in collected.rows[: collected.free]
            if row.prior is not None
        }
    given = dict(parameters or {})
    column = given.pop("value", {})
    if not isinstance(column, Mapping):
        column = np.ravel(column)
        if len(column) != len(data.parameters):
            raise DataError(
                f"simulate: {len(column)} values, but {len(data.parameters)} parameters"
            )
        column = dict(zip(data.parameters, column, strict=True))
    unknown = [str(name) for name in column if name not in data.parameters]
    if unknown:
        raise DataError(f"simulate: no parameter '{unknown[0]}'")
    truth |= {name: float(x) for name, x in column.items() if name in truth}
    for name, value in given.items():
        if name not in truth:
            raise DataError(
                f"simulate: no parameter '{name}' that is free; there are {', '.join(truth)}"
            )
        truth[name] = value
    values = _values(collected, truth)
    found = fake(data, truth, seed=rng, background=background)
    return found, {"value": np.array([values[name][0] for name in data.parameters])}


def _from_prior(prior: Prior, positive: bool, rng: np.random.Generator) -> float:
    """A draw from a prior, which a positive parameter has above zero alone."""
    while True:
        value = float(prior.sample(rng, 1)[0])
        if value > 0 or not positive:
            return value


def _with_priors(data: LinkedSpectra, priors: Mapping[str, Prior]) -> LinkedSpectra:
    """The same model with other priors, so that a fit has them too."""
    sources = []
    for source in data.sources:
        parts = {}
        for label, used in source.components.items():
            names = {name: f"{source.name}.{label}.{name}" for name in used.settings}
            settings = {n: priors.get(full, used.settings[n]) for n, full in names.items()}
            parts[label] = replace(used, settings=settings)
        absorption = {
            label: replace(a, NH=priors.get(f"{source.name}.{label}.NH", a.NH))
            for label, a in source.absorption.items()
        }
        sources.append(replace(source, components=parts, absorption=absorption))
    return replace(data, sources=tuple(sources))


_Case = tuple[LinkedSpectra, dict[str, float], list[Floats | float]]


def _empty(name: str, instrument: str, exposure: float) -> Spectrum:
    """No counts, with a background region ten times as large."""
    response = INSTRUMENTS[instrument].response()
    counts = np.zeros(response.channels)
    behind = Spectrum(f"{name} background", counts, exposure, backscal=np.array([10.0]))
    return Spectrum(name, counts, exposure, response=response, background=behind)


def _absorbed(exposure: float) -> _Case:
    """A source of a survey: some hundreds of counts through a telescope like Chandra."""
    spectrum = _empty(
        "survey", "chandra_like", 40_000.0 if exposure is None else exposure
    ).noticing("0.5-8")
    source = Source(
        "source",
        {"pl": component("powerlaw", K="lognormal(-10, 0.7)", index="normal(-1.8, 0.3)")},
        {"gas": Absorber("lognormal(-1, 1)")},
    )
    truth = {"source.pl.K": 4e-5, "source.pl.index": -1.8, "source.gas.NH": 0.4}
    return LinkedSpectra((Observation(spectrum, "source"),), (source,)), truth, [0.3]


def _linked(exposure: float) -> _Case:
    """Two bursts with the same temperature, one of them with a power law besides."""
    names = ("src1", "src2")
    spectra = [_empty(name, "gbm_like", exposure).noticing("10-1000") for name in names]
    first = Source(
        "src1", {"bb": component("blackbody", K="lognormal(-11.5, 0.5)", kT="lognormal(3.5, 0.3)")}
    )
    second = Source(
        "src2",
        {
            "bb": component("blackbody", K="lognormal(-11.5, 0.5)", kT="= src1.bb.kT"),
            "pl": component(
                "powerlaw_flux", F="lognormal(1.5, 0.5)", index="normal(-1.5, 0.3)", a=10, b=500
            ),
        },
    )
    truth = {
        "src1.bb.K": 1e-5, "src1.bb.kT": 33.0, "src2.bb.K": 1.2e-5, "src2.pl.F": 4.0,
        "src2.pl.index": -1.5,
    }  # fmt: skip
    data = LinkedSpectra(
        tuple(Observation(s, name) for s, name in zip(spectra, names, strict=True)),
        (first, second),
    )
    return data, truth, [40.0, 40.0]


#: With the usual exposure, s.
_CASES = {"absorbed": (_absorbed, 40_000.0), "linked": (_linked, 10.0)}
