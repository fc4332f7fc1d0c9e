"""From spectra and their model to the data of the Stan program, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.spectra.folding import Floats, Folded, all_folded, stan_data
from pyxstan.spectra.parameters import Parameters
from pyxstan.spectra.starting import guess

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws
    from pyxstan.spectra.data import LinkedSpectra


@dataclass(frozen=True)
class SpectraProblem:
    """What a fit of spectra is made of; see `pyxstan.registry.Problem`."""

    data: LinkedSpectra
    parameters: Parameters
    spectra: list[Folded]
    #: Guess of u, the sampler's coordinates before whitening, and the root of its covariance.
    center: Floats
    scale: Floats
    stan_data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def exact(self, chains: int, draws: int, seed: int) -> None:
        """There is no closed form."""

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
        u = self.center.copy()
        for name, value in given.items():
            k = self.parameters.position.get(name, len(u))
            if k >= len(u):
                there = ", ".join(self.parameters.priors)
                raise DataError(f"no starting value for '{name}'; there are {there}")
            u[k] = self.parameters.u_of(k, value)
        return {"z": np.linalg.solve(self.scale, u - self.center)}

    def values(self, z: Floats) -> dict[str, Floats]:
        """Every parameter by name, for the sampler's z, of its shape without the last axis."""
        u = self.center + z.reshape(-1, z.shape[-1]) @ self.scale.T
        x, _ = self.parameters.values(u)
        return self.parameters.named(x.reshape(*z.shape[:-1], -1))

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, likelihoods, predictions and data: with names, coordinates and units."""
        from pyxstan.spectra.results import groups

        return groups(self, draws, seed)


def prepare(
    model: str, data: LinkedSpectra, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> SpectraProblem:
    """Make the spectra ready for Stan: responses to the channels in use, the guess."""
    parameters = data.with_priors(priors)
    spectra = all_folded(data)
    notes = []
    for observation, one in zip(data.observations, spectra, strict=True):
        spectrum = observation.spectrum
        notes += [f"{one.name}: {line}" for line in spectrum.notes]
        binned, channels = one.binned, one.binned.membership.nnz
        groups = "" if binned.size == channels else f"{binned.size} groups of "
        ends = f"{np.min(binned.energy_low):.4g} to {np.max(binned.energy_high):.4g} keV"
        notes.append(
            f"{one.name}: {one.statistic}, {groups}{channels} channels from {ends}, "
            f"{binned.counts.sum():g} counts in {spectrum.exposure:g} s"
        )
    center, scale = guess(parameters, spectra)
    return SpectraProblem(
        data=data,
        parameters=parameters,
        spectra=spectra,
        center=center,
        scale=scale,
        stan_data={
            **parameters.stan_data(),
            **stan_data(spectra, data, parameters.position),
            "center": center,
            "scale": scale,
        },
        notes=notes,
        priors={name: str(prior) for name, prior in parameters.priors.items()},
    )
