r"""From parameters to expected counts: each source's flux over the energy bins, and the response.

The expected counts of a group of channels are

    m_c = constant sum_j R_cj area_j exposure sum_k int_j A(E) f_k(E) dE,

with the redistribution R, the effective area, the components f_k of the sources in the spectrum and
what their absorbers let pass, A = exp(-sum NH sigma); the integrals are those of
`pyxstan.spectra.components`.

This is what ``stan_models/linked_spectra.hpp`` does with slopes; here for many draws at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pyxstan.errors import DataError
from pyxstan.spectra import absorption, likelihood
from pyxstan.spectra.absorbed_bins import smooth_parts
from pyxstan.spectra.components import COMPONENTS
from pyxstan.spectra.model import Absorber, Source, Used
from pyxstan.spectra.shapes import shared_line

if TYPE_CHECKING:
    from pyxstan.spectra.binning import Binned
    from pyxstan.spectra.data import LinkedSpectra, Observation
    from pyxstan.spectra.spectrum import Spectrum

Floats = NDArray[np.float64]
#: Bins next to each other are so close, relatively.
_CLOSE = 1e-5
#: So many channels are named in a message.
_NAMED = 5
#: Zeros that a segment of the response bridges.
_GAP = 4


@dataclass(frozen=True, eq=False)
class Grid:
    """Energy bins, one after another, in keV."""

    edges: Floats
    #: Middles of the response's bins that these are parts of, shape (bins,).
    middles: Floats

    @classmethod
    def of_bins(
        cls, edges: Floats, absorbers: Sequence[Absorber] = ()
    ) -> tuple[Grid, NDArray[np.intp]]:
        """The bins of a response, wide ones in parts, and how many parts each has."""
        low, high = edges[:-1], edges[1:]
        ends, count = smooth_parts(low, high, absorbers)
        return cls(ends, np.repeat(0.5 * (low + high), count)), count

    @property
    def low(self) -> Floats:
        """Lower ends, shape (bins,)."""
        return self.edges[:-1]

    @property
    def high(self) -> Floats:
        """Upper ends."""
        return self.edges[1:]

    @property
    def points(self) -> Floats:
        """The edges, then the middles, shape (2 bins + 1,)."""
        return np.concatenate([self.edges, 0.5 * (self.low + self.high)])


def integrals(used: Used, values: Mapping[str, Floats], grid: Grid, passed: Floats) -> Floats:
    """Absorbed photon flux of a component in each bin, photons/s/cm^2, shape (draws, bins).

    Parameters
    ----------
    values
        The component's parameters, shape (draws,) each. NaN is found for what isn't defined.
    passed
        What the absorbers let pass at the points, broadcasting with (draws, points).
    """
    entry = COMPONENTS[used.kind]
    bins = len(grid.low)
    through = (passed[..., :bins], passed[..., bins + 1 :], passed[..., 1 : bins + 1])
    try:
        found = entry.integral(grid.low, grid.high, through, **values, **used.constants)
        if entry.narrow:
            if used.shared:
                norm, mu, sigma = (np.asarray(values[p.name])[:, None] for p in entry.parameters)
                whole = entry.integral(grid.low, grid.high, None, **values).sum(
                    axis=1, keepdims=True
                )
                mean = found.sum(axis=1, keepdims=True) / np.where(whole > 0, whole, np.inf)
                found = found + norm * mean * shared_line(grid.edges, grid.middles, mu, sigma)
            found = _clipped(found, grid.middles)
        return found
    except DataError:
        draws = len(next(iter(values.values())))
        if draws == 1:
            return np.full((1, len(grid.low)), np.nan)
    rows = [
        integrals(
            used,
            {name: value[k : k + 1] for name, value in values.items()},
            grid,
            passed if len(passed) == 1 else passed[k : k + 1],
        )
        for k in range(draws)
    ]
    return np.concatenate(rows)


def _clipped(flux: Floats, middles: Floats) -> Floats:
    """Nothing where rounding, or a parabola, leaves a bin of the response less than that."""
    first = np.diff(middles, prepend=np.nan) != 0
    bins = np.cumsum(first) - 1
    return np.where(np.add.reduceat(flux, np.flatnonzero(first), axis=1)[:, bins] < 0, 0.0, flux)


def depths(source: Source, energy: Floats) -> dict[str, Floats]:
    """Optical depth of each absorber of a source for a column density of one, 10^22 cm^-2."""
    return {
        label: absorption.optical_depth(energy, absorber.redshift, absorber.table)
        for label, absorber in source.absorption.items()
    }


def transmission(
    source: Source, values: Mapping[str, Floats], depth_of: Mapping[str, Floats], energies: int
) -> Floats:
    """What a source's absorbers let pass, broadcasting with (draws, energies).

    Parameters
    ----------
    depth_of
        What `depths` gives for the energies, which are so many.
    """
    depth: Floats = np.zeros((1, energies))
    for label, each in depth_of.items():
        depth = depth + np.asarray(values[f"{source.name}.{label}.NH"])[:, None] * each
    return np.asarray(np.exp(-depth))


def source_flux(
    source: Source, values: Mapping[str, Floats], grid: Grid, depth_of: Mapping[str, Floats]
) -> Floats:
    """Absorbed photon flux of a source in each bin, photons/s/cm^2, shape (draws, bins).

    Parameters
    ----------
    values
        Every parameter by name, shape (draws,) each.
    depth_of
        What `depths` gives for the grid's points.
    """
    passed = transmission(source, values, depth_of, len(grid.points))
    found: Floats = np.zeros((1, len(grid.low)))
    for label, used in source.components.items():
        own = {name: values[f"{source.name}.{label}.{name}"] for name in used.settings}
        found = found + integrals(used, own, grid, passed)
    return found


@dataclass(frozen=True, eq=False)
class Folded:
    """A spectrum made ready: its groups of channels, and the response to them."""

    name: str
    statistic: str
    binned: Binned
    grid: Grid
    #: Effective area times exposure, cm^2 s, shape (bins,).
    area: Floats
    #: Redistribution times area scale, shape (groups, bins); parts of a bin have it in common.
    matrix: sparse.csc_array
    sources: tuple[Source, ...]
    #: Of each source's absorbers, for a column density of one, at the grid's points.
    depths: tuple[dict[str, Floats], ...]
    constant: str | None

    def expected(self, values: Mapping[str, Floats]) -> Floats:
        """Expected counts of the sources in each group, shape (draws, groups)."""
        flux: Floats = np.zeros(1)
        for source, depth_of in zip(self.sources, self.depths, strict=True):
            flux = flux + source_flux(source, values, self.grid, depth_of)
        found = np.asarray((self.matrix @ (flux * self.area).T).T)
        if self.constant is not None:
            found = found * np.asarray(values[self.constant])[:, None]
        return found

    def log_likelihood(self, expected: Floats) -> Floats:
        """Of each group, for what `expected` gives."""
        return likelihood.log_likelihood(self.statistic, self.binned, expected)

    def segments(self) -> Iterator[tuple[int, int, Floats]]:
        """Group, first bin and values of each run of the rows of the response."""
        m = sparse.csr_array(self.matrix)
        for g in range(m.shape[0]):
            bins = m.indices[m.indptr[g] : m.indptr[g + 1]]
            row = m.data[m.indptr[g] : m.indptr[g + 1]]
            if not len(bins):
                continue
            cuts = np.flatnonzero(np.diff(bins) > _GAP) + 1
            for part, inside in zip(np.split(bins, cuts), np.split(row, cuts), strict=True):
                values = np.zeros(part[-1] - part[0] + 1)
                values[part - part[0]] = inside
                yield g, int(part[0]), values


def folded(observation: Observation, sources: tuple[Source, ...]) -> Folded:
    """Make a spectrum ready.

    Raises
    ------
    DataError
        No channel is left; energy bins with gaps; a statistic that the data have nothing for.
    """
    spectrum = observation.spectrum
    response = spectrum.response
    assert response is not None
    binned = spectrum.groups()
    low, high = response.energy_low, response.energy_high
    if (np.abs(high[:-1] / low[1:] - 1) > _CLOSE).any():
        row = int(np.argmax(np.abs(high[:-1] / low[1:] - 1) > _CLOSE)) + 1
        raise DataError(
            f"{response.source[0]}: a gap between the energy bins of rows {row}, {row + 1}"
        )
    scaled = sparse.csr_array(response.matrix * spectrum.areascal[:, None])
    matrix = sparse.csc_array(binned.membership @ scaled)
    matrix.sort_indices()
    matrix.eliminate_zeros()
    seen = np.flatnonzero((np.diff(matrix.indptr) > 0) & (response.area > 0))
    if not len(seen):
        raise DataError(f"{observation.name}: no energy reaches the channels that are left")
    kept = slice(int(seen[0]), int(seen[-1]) + 1)
    edges = np.append(low[kept], high[kept][-1])
    # Where the end of a bin is rounded otherwise than the beginning of the next: its own width.
    own = (high - low)[kept] / np.diff(edges)
    grid, count = Grid.of_bins(
        edges,
        [absorber for source in sources for absorber in source.absorption.values()],
    )
    columns = np.repeat(np.arange(kept.start, kept.stop), count)
    return Folded(
        name=observation.name,
        statistic=_statistic(observation, binned),
        binned=binned,
        grid=grid,
        area=response.area[columns] * spectrum.exposure * np.repeat(own, count),
        matrix=matrix[:, columns],
        sources=sources,
        depths=tuple(depths(source, grid.points) for source in sources),
        constant=None if observation.constant is None else f"{observation.name}.constant",
    )


def _statistic(observation: Observation, binned: Binned) -> str:
    spectrum = observation.spectrum
    chosen = observation.statistic or spectrum.statistic()
    behind = spectrum.background

    def refuse(asks: str) -> None:
        raise DataError(f"{observation.name}: {chosen} asks for {asks}")

    if chosen == "chi2":
        if spectrum.poisson:
            refuse("errors, the file has counts")
        _, error, _, sigma, alpha = likelihood.columns(binned).T
        variance = error**2 + (alpha * sigma) ** 2
        if not (variance > 0).all():
            without = np.flatnonzero(~(variance > 0))
            raise DataError(
                f"{observation.name}: chi2, but no error in {_where(spectrum, binned, without)}: "
                "leave that out (ignore:), group it with others, or mark it by QUALITY"
            )
    elif not spectrum.poisson:
        refuse("counts, the file has rates")
    elif chosen != "cstat" and behind is None:
        refuse("a background")
    elif chosen != "cstat" and behind is not None and behind.poisson != (chosen == "wstat"):
        refuse("a background in counts" if chosen == "wstat" else "a background with errors")
    return chosen


def check_reached(spectrum: Spectrum, one: Folded) -> None:
    """Refuse counts in channels that no photon reaches, where a Poisson statistic has no other.

    Raises
    ------
    DataError
        There are some: whatever the model, they are impossible.
    """
    counts, _, off, sigma, alpha = likelihood.columns(one.binned).T
    behind = {
        "cstat": np.zeros(len(counts), dtype=bool),
        "pgstat": (alpha > 0) & ((off > 0) | (sigma > 0)),
    }.get(one.statistic, np.ones(len(counts), dtype=bool))
    reached = one.matrix @ (one.area > 0).astype(float) > 0
    impossible = np.flatnonzero((counts > 0) & ~reached & ~behind)
    if len(impossible):
        raise DataError(
            f"{one.name}: {one.statistic}, and {counts[impossible].sum():g} counts in "
            f"{_where(spectrum, one.binned, impossible)}, where the response lets no photon be "
            "counted: leave that out (ignore:), or give a background"
        )


def _where(spectrum: Spectrum, binned: Binned, groups: NDArray[np.intp]) -> str:
    """Channels of groups and their energies, in words; of many, the first few."""
    parts = []
    for group in groups[:_NAMED]:
        channel = spectrum.channel[binned.membership[[group], :].indices]
        ends = f"{channel.min()}" + (f" to {channel.max()}" if len(channel) > 1 else "")
        low, high = binned.energy_low[group], binned.energy_high[group]
        parts.append(f"{ends} ({low:.6g}-{high:.6g} keV)")
    more = len(groups) - len(parts)
    return f"channel {', '.join(parts)}" + (f" and {more} more" if more else "")


def all_folded(data: LinkedSpectra) -> list[Folded]:
    """Every spectrum made ready."""
    by_name = {source.name: source for source in data.sources}
    return [folded(o, tuple(by_name[name] for name in o.sources)) for o in data.observations]


def stan_data(spectra: list[Folded], data: LinkedSpectra, position: Mapping[str, int]) -> Any:
    """What ``stan_models/linked_spectra.stan`` is told of the spectra.

    Parameters
    ----------
    position
        Of each parameter among all.
    """
    number = {source.name: k + 1 for k, source in enumerate(data.sources)}
    spectrum: list[tuple[int, ...]] = []
    term, absorber, segment = list(spectrum), list(spectrum), list(spectrum)
    values: list[Floats] = []
    sigma, counts = list(values), list(values)
    point = bins = group = found = 0
    for s, one in enumerate(spectra):
        begin = len(segment)
        for g, first, run in one.segments():
            segment.append((g + 1, first + 1, found + 1))
            values.append(run)
            found += len(run)
        spectrum.append((
            1 + likelihood.STATISTICS.index(one.statistic), point + 1, len(one.area), group + 1,
            one.binned.size, begin + 1, len(segment) - begin,
            0 if one.constant is None else position[one.constant] + 1,
        ))  # fmt: skip
        for source, depth_of in zip(one.sources, one.depths, strict=True):
            term.append((s + 1, number[source.name]))
            for label, each in depth_of.items():
                at = position[f"{source.name}.{label}.NH"] + 1
                absorber.append(
                    (s + 1, number[source.name], at, sum(len(each) for each in sigma) + 1)
                )
                sigma.append(each)
        counts.append(likelihood.columns(one.binned))
        point += len(one.grid.points)
        bins += len(one.area)
        group += one.binned.size
    segment.append((1, 1, found + 1))
    component, fixed = [], []
    for source in data.sources:
        for label, used in source.components.items():
            entry = COMPONENTS[used.kind]
            where = [position[f"{source.name}.{label}.{p.name}"] + 1 for p in entry.parameters]
            component.append((number[source.name], entry.code, *where, *[0] * (4 - len(where))))
            fixed.append([*used.constants.values(), float(used.shared), 1.0][:2])
    return {
        "S": len(spectrum),
        "spectrum": np.array(spectrum),
        "terms": len(term),
        "term": np.array(term),
        "C": len(component),
        "component": np.array(component),
        "fixed": np.array(fixed),
        "A": len(absorber),
        "absorber": np.array(absorber, dtype=int).reshape(-1, 4),
        "points": point,
        "energy": np.concatenate([one.grid.points for one in spectra]),
        "sigmas": sum(len(each) for each in sigma),
        "sigma": np.concatenate([[], *sigma]),
        "bins": bins,
        "area": np.concatenate([one.area for one in spectra]),
        "middle": np.concatenate([one.grid.middles for one in spectra]),
        "segments": len(segment) - 1,
        "segment": np.array(segment),
        "values": found,
        "value": np.concatenate([[], *values]),
        "groups": group,
        "counts": np.concatenate(counts),
    }
