"""From spectra and their model to the data of the Stan program, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.errors import DataError
from pyxstan.priors import Prior
from pyxstan.spectra.coordinates import Coordinates
from pyxstan.spectra.folding import Floats, Folded, all_folded, check_reached, stan_data
from pyxstan.spectra.parameters import Parameters
from pyxstan.spectra.starting import guess

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

    def exact(self, chains: int, draws: int, seed: int) -> None:
        """There is no closed form."""

    def starts(self, chains: int, seed: int) -> None:
        """Chains start around the guess."""

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

        self.complaints.extend(self._open_ends(draws.variables["z"]))
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
    coordinates = guess(parameters, spectra)
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
        notes=notes,
        priors={name: str(prior) for name, prior in parameters.priors.items()},
    )
