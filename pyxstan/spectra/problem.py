"""From spectra and their model to the data of the Stan program, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.spectra.coordinates import Coordinates
from pyxstan.spectra.doubts import doubts, twins
from pyxstan.spectra.folding import Floats, Folded, all_folded, check_reached, stan_data
from pyxstan.spectra.parameters import Parameters
from pyxstan.spectra.starting import Start, guess

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws
    from pyxstan.spectra.data import LinkedSpectra


#: Of u, standard normal under a uniform prior: beyond this there is a twentieth of it; and at least
#: so many draws there are held by the end of the prior alone.
_AT_END, _HELD = 1.645, 0.025


@dataclass(frozen=True)
class SpectraProblem:
    """What a fit of spectra is made of; see `pyxstan.registry.Problem`."""

    data: LinkedSpectra
    parameters: Parameters
    spectra: list[Folded]
    #: The sampler's.
    coordinates: Coordinates
    stan_data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)
    #: Where chains start.
    start: Start | None = None

    def exact(self, chains: int, draws: int, seed: int) -> None:
        """There is no closed form."""

    def starts(self, chains: int, seed: int) -> list[dict[str, Any]] | None:
        """Around the modes in turn, where there are several; else around the guess."""
        if self.start is None or not self.start.blocks:
            return None
        rng = np.random.default_rng([seed, 2])
        points = [self.start.u(self.start.v(chain, rng)) for chain in range(chains)]
        return [{"z": self.coordinates.z(u)} for u in points]

    def refined(self, draws: Draws) -> None:
        """Nothing is approximated."""

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of free parameters, by their names or as the variable ``value``."""
        given = dict(values)
        if "value" in given:
            column = np.ravel(given.pop("value"))
            names = self.data.parameters
            if len(column) != len(names):
                raise DataError(
                    f"starting values: {len(column)} numbers, but {len(names)} parameters"
                )
            given |= {
                name: x
                for name, x in zip(names, column, strict=True)
                if self.parameters.position[name] < self.parameters.free
            }
        u = self.coordinates.u(np.zeros(len(self.coordinates.center)))
        for name, value in given.items():
            k = self.parameters.position.get(name, len(u))
            if k >= len(u):
                there = ", ".join(self.parameters.priors)
                raise DataError(f"no starting value for '{name}'; there are {there}")
            u[k] = self.parameters.u_of(k, value)
        return {"z": self.coordinates.z(u)}

    def values(self, z: Floats) -> dict[str, Floats]:
        """Every parameter by name, for the sampler's z, of its shape without the last axis."""
        u = self.coordinates.u(z.reshape(-1, z.shape[-1]))
        x, _ = self.parameters.values(u)
        return self.parameters.named(x.reshape(*z.shape[:-1], -1))

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, likelihoods, predictions and data: with names, coordinates and units."""
        from pyxstan.spectra.results import groups

        z = draws.variables["z"]
        self.complaints.extend(self._open_ends(z))
        if self.start is not None and len(z) > 1:
            u = self.coordinates.u(z.reshape(-1, z.shape[-1])).reshape(z.shape)
            for solutions in self.start.apart(u):
                self.complaints.append(
                    f"chains stay at the solution where they start: {solutions}: choose one by a "
                    "narrower prior"
                )
        return groups(self, draws, seed)

    def _open_ends(self, z: Floats) -> Iterator[str]:
        """Say of which parameters the posterior goes on to an end of the prior."""
        u = self.coordinates.u(z.reshape(-1, z.shape[-1]))
        if len(u) == 1:
            return
        for end, beyond in (("lower", u < -_AT_END), ("upper", u > _AT_END)):
            names = [
                name
                for name, prior in self.parameters.priors.items()
                if prior.family in ("uniform", "loguniform")
                and beyond[:, self.parameters.position[name]].mean() > _HELD
            ]
            if names:
                yield f"only its prior ends the posterior of {', '.join(names)} at the {end} end"


def prepare(
    model: str, data: LinkedSpectra, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> SpectraProblem:
    """Make the spectra ready for Stan: responses to the channels in use, the guess."""
    parameters = data.with_priors(priors)
    spectra = all_folded(data)
    notes: list[str] = []
    for observation, one in zip(data.observations, spectra, strict=True):
        spectrum = observation.spectrum
        check_reached(spectrum, one)
        notes += [f"{one.name}: {line}" for line in spectrum.notes]
        binned, channels = one.binned, one.binned.membership.nnz
        groups = "" if binned.size == channels else f"{binned.size} groups of "
        ends = f"{np.min(binned.energy_low):.4g} to {np.max(binned.energy_high):.4g} keV"
        notes.append(
            f"{one.name}: {one.statistic}, {groups}{channels} channels from {ends}, "
            f"{binned.counts.sum():g} counts in {spectrum.exposure:g} s"
        )
    notes += _of_absorption(data, spectra)
    notes += _of_lines(data, parameters, spectra)
    notes += parameters.cut()
    unused, warnings = _unused_backgrounds(data, spectra)
    doubted = doubts(data, parameters, spectra)
    try:
        start = guess(parameters, spectra)
    except DataError as error:
        raise DataError("; ".join([str(error), *doubted])) from None
    coordinates = start.coordinates
    notes += [f"several solutions, chains start at each: {one}" for one in start.solutions()]
    sources = {
        f"{source.name}.{label}": absorber.cross_sections
        for source in data.sources
        for label, absorber in source.absorption.items()
    }
    return SpectraProblem(
        data=data,
        parameters=parameters,
        spectra=spectra,
        coordinates=coordinates,
        stan_data={
            **parameters.stan_data(),
            **stan_data(spectra, data, parameters.position),
            **coordinates.stan_data(),
        },
        notes=notes + unused,
        warnings=[*warnings, *doubted, *twins(data, parameters)],
        attributes={"cross_sections": json.dumps(sources)} if sources else {},
        priors={name: str(prior) for name, prior in parameters.priors.items()},
        start=start,
    )


def _of_absorption(data: LinkedSpectra, spectra: list[Folded]) -> list[str]:
    """Whose cross sections a column density goes with, and where a table was continued."""
    notes: list[str] = []
    for source in data.sources:
        for label, absorber in source.absorption.items():
            notes.append(f"{source.name}.{label}: cross sections of {absorber.cross_sections}")
            if absorber.table is not None:
                energies = [one.grid.edges for one in spectra if source in one.sources]
                observed = np.concatenate(energies) * (1 + absorber.redshift)
                notes += [*absorber.table.notes, absorber.table.extended(observed)]
    return list(dict.fromkeys(filter(None, notes)))


def _of_lines(data: LinkedSpectra, parameters: Parameters, spectra: list[Folded]) -> list[str]:
    """Say of lines that may be narrower than energy bins how their energy matters within one."""
    notes = []
    for source in data.sources:
        widths = [np.diff(one.grid.middles) for one in spectra if source in one.sources]
        half = 0.5 * float(np.median(np.concatenate([w[w > 0] for w in widths])))
        for label, used in source.components.items():
            name = f"{source.name}.{label}"
            if used.shared and parameters.held.get(f"{name}.sigma", 0.0) < half:
                notes.append(
                    f"{name}: where it is narrower than half an energy bin it is shared by the two "
                    "bins next to its energy, in proportion, as that is free"
                )
    return notes


def _unused_backgrounds(data: LinkedSpectra, spectra: list[Folded]) -> tuple[list[str], list[str]]:
    """Notes and warnings of background spectra that the statistic leaves aside."""
    notes, warnings = [], []
    for observation, one in zip(data.observations, spectra, strict=True):
        off = one.binned.background_counts
        if one.statistic != "cstat" or off is None:
            continue
        line = f"{one.name}: cstat leaves the background spectrum ({off.sum():g} counts) aside"
        if len(observation.sources) > 1:
            notes.append(f"{line}, the background is a source of the model")
        else:
            warnings.append(f"{line}, and takes all counts for the source's: use wstat or pgstat")
    return notes, warnings
