"""From events, a prior map and options to the data of the Stan program, and back."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logsumexp

from pyxstan.errors import DataError
from pyxstan.point_source.arrays import Floats
from pyxstan.point_source.background import Smoothing
from pyxstan.point_source.catalogue import Catalogue
from pyxstan.point_source.data import PointSourceData
from pyxstan.point_source.doubts import doubts
from pyxstan.point_source.fluxes import checked_unit
from pyxstan.point_source.null_distribution import NullDistribution
from pyxstan.point_source.positions import hottest_within, positions
from pyxstan.point_source.posterior import Layout, Target, direct
from pyxstan.point_source.region import Hottest, Region
from pyxstan.point_source.scanning import Maxima, Sky
from pyxstan.point_source.sky_scan import cut_error, notes
from pyxstan.point_source.stacked_sky import StackedSky
from pyxstan.point_source.tables import CUT, Tables, tables
from pyxstan.point_source.trial_skies import Skies, empty_skies
from pyxstan.priors import Prior

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws

#: The prior of ns reaches up to this part of all events, or this many.
_PART, _LEAST = 0.01, 100.0
#: How far the other priors reach, in standard deviations.
_REACH = 6.0
#: Ends of gamma, unless a uniform prior has others.
_GAMMA = (1.0, 4.0)
#: Pixels that trials may look at in all, and how many trials that is, at least and at most.
_TRIED, _FEWEST, _MOST = 1_000_000, 20, 200
#: How much hotter a place within a pixel has to be than the hottest middle, in TS and in how many
#: times that, for places within pixels to be what p-values are of.
_HOTTER, _TIMES = 10.0, 1.5
#: How many trials a catalogue has.
_STACKED = 100
#: Parts of the prior of the position that are lost without a word, of a map and of a flat one.
_LOST, _LOST_OF_FLAT = 1e-3, 0.01
#: A sample's part of the signal that is none.
_NO_SHARE = 1e-6
#: The random numbers of the skies that p-values come from: others than those of trials.
_NULL_SEED = 3_141_592_653
#: An error of ln L that draws may have.
_LARGEST_ERROR = 0.02


@dataclass(frozen=True, kw_only=True)
class SourceProblem:
    """What fits of a source, or of several taken for one, have in common."""

    data: PointSourceData
    target: Target
    pivot: float
    unit: str
    directly: bool
    made: Tables
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    @cached_property
    def layout(self) -> Layout:
        """The likelihood over ns and gamma, where the posterior is."""
        return self.target.layout()

    @cached_property
    def stan_data(self) -> dict[str, Any]:
        """What the Stan program asks for."""
        gammas = self.made.gammas
        families = [self.target.priors[name] for name in ("ns", "gamma")]
        return {
            **self._near_events(),
            "gamma_low": gammas[0],
            "gamma_high": gammas[-1],
            "nodes": len(gammas),
            "most": self.target.most,
            "prior_family": [prior.code for prior in families],
            "prior_arguments": [[prior.stan_arguments[k] for prior in families] for k in (0, 1)],
        }

    def _near_events(self) -> dict[str, Any]:
        raise NotImplementedError

    def exact(self, chains: int, draws: int, seed: int) -> Draws | None:
        """Draw without NUTS; None if that isn't wanted."""
        if not self.directly:
            return None
        from pyxstan.engine.sampling import Draws

        began = time.monotonic()
        found = direct(self.target, self.layout, chains, draws, seed)
        self.attributes["log_likelihood_error"] = found.error
        if found.error > _LARGEST_ERROR:
            self.notes.append(
                f"interpolated likelihoods are off by up to {found.error:.2g}: by NUTS instead"
            )
            return None
        return Draws(
            variables={"ns": found.ns, "gamma": found.gamma},
            statistics={
                "lp": found.log_density,
                "acceptance_rate": found.acceptance,
                "diverging": np.zeros(found.ns.shape, dtype=bool),
            },
            method="quadrature",
            seconds=time.monotonic() - began,
            stan_version="none: quadrature",
        )

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of ns and gamma."""
        for name in values:
            if name not in ("ns", "gamma"):
                raise DataError(f"no starting value for '{name}'; there are ns, gamma")
        guess = self.starts(1, 0)[0]
        return {name: float(values.get(name, guess[name])) for name in guess}

    def starts(self, chains: int, seed: int) -> list[dict[str, Any]]:
        """One of the posterior's draws for each chain."""
        found = direct(self.target, self.layout, 1, 20 * chains, seed)
        low, high = self.target.ends
        margin = 1e-3 * (high - low)
        return [
            {
                "ns": float(np.clip(found.ns[0, k], 1e-3, 0.999 * self.target.most)),
                "gamma": float(np.clip(found.gamma[0, k], low + margin, high - margin)),
            }
            for k in range(0, 20 * chains, 20)
        ]

    def refined(self, draws: Draws) -> None:
        """Nothing is prepared better."""


@dataclass(frozen=True, kw_only=True)
class PointSourceProblem(SourceProblem):
    """What a fit of a point source is made of; see `pyxstan.registry.Problem`."""

    sky: Sky
    region: Region
    hottest: Hottest

    def _near_events(self) -> dict[str, Any]:
        return _at_positions(self.sky, self.region)

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, map of positions, and events by distance."""
        from pyxstan.point_source.results import groups

        return groups(self, draws, seed)


@dataclass(frozen=True, kw_only=True)
class CatalogueProblem(SourceProblem):
    """What a fit of a catalogue's sources is made of; see `pyxstan.registry.Problem`."""

    sky: StackedSky
    catalogue: Catalogue

    def _near_events(self) -> dict[str, Any]:
        return self.sky.stan_data()

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, and events by their distance from the nearest source."""
        from pyxstan.point_source.catalogue_results import groups

        return groups(self, draws, seed)


def prepare(
    model: str, data: PointSourceData, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> SourceProblem:
    """Make events ready for Stan: the background, the scan, the positions that matter.

    Raises
    ------
    DataError
        An option or a prior is none that it can be, or nothing is left to look at.
    """
    pivot, unit = options["pivot"], options["unit"]
    if not 0 < options["max_dec"] <= 90:
        raise DataError(f"option max_dec: {options['max_dec']:g} is not an angle of 0 to 90 deg")
    checked_unit(pivot, unit)
    chosen = {**default_priors(data.events), **priors}
    smoothing = smoothing_of(options)
    made = tables(data, smoothing, _ends(chosen["gamma"]))
    most = _most(chosen["ns"])
    settings = {
        "data": data,
        "pivot": pivot,
        "unit": unit,
        "directly": options["exact"],
        "priors": {name: str(prior) for name, prior in chosen.items()},
    }
    if data.catalogue is not None:
        return _of_catalogue(data.catalogue, made, smoothing, chosen, most, options, settings)
    return _of_position(made, smoothing, chosen, most, options, settings)


def _of_position(
    made: Tables,
    smoothing: Smoothing,
    priors: Mapping[str, Prior],
    most: float,
    options: Mapping[str, Any],
    settings: dict[str, Any],
) -> PointSourceProblem:
    """Of one source in one of the prior map's pixels."""
    data, max_dec = settings["data"], np.radians(options["max_dec"])
    sky = Sky(made)
    region = Region.grid(options["nside"], data, max_dec)
    most, capped = _possible(most, made, region.dec)
    maxima = sky.maxima(region.ra, region.dec)
    hottest = region.hottest(maxima)
    at = positions(sky, region, maxima, data, priors, most, max_dec)
    target = Target.at(sky, at.region, most, priors)
    cost = cut_error(made, region, maxima)
    log_largest = max(float(each.log_density.max()) for each in (region, at.region))
    inside = at.region.hottest(sky.maxima(at.region.ra, at.region.dec), log_largest)
    least = max(hottest.ts_with_prior + _HOTTER, _TIMES * hottest.ts_with_prior)
    sharp = inside.ts_with_prior >= least
    best = inside if sharp else hottest

    def looked_into(sky_: Sky) -> float:
        return hottest_within(sky_, region, data, max_dec, log_largest).ts_with_prior

    def trials(count: int) -> list[float]:
        if sharp:
            empty = empty_skies(data, made, smoothing, count, _NULL_SEED)
            return [looked_into(Sky(each)) for each in empty]
        skies = Skies(data, region, smoothing, target.ends, seed=_NULL_SEED)
        return [trial.hottest.ts_with_prior for trial in skies.trials(range(count))]

    def less_floor(tables_: Tables) -> Maxima:
        return Sky(tables_).maxima(np.array([best.ra]), np.array([best.dec]))

    return PointSourceProblem(
        **settings,
        sky=sky,
        made=made,
        region=at.region,
        hottest=best,
        target=target,
        complaints=doubts(data),
        notes=[
            *notes(data),
            *capped,
            *_unseen(region, options["max_dec"], data.prior_map is None),
            f"{len(at)} positions matter; the others hold less than {min(at.dropped, 1):.1g} of "
            "the posterior",
            *_limited(priors["gamma"]),
            *_said_of_sharp(sharp, best, hottest, options["nside"]),
            f"events count out to {CUT:g} of their errors: off by {cost:.1g} in TS at the hottest "
            "positions",
        ],
        attributes={
            "ts": best.ts,
            "ts_with_prior": best.ts_with_prior,
            "ts_of_a_tenth_of_the_floor": _with_less_floor(data, smoothing, target, less_floor),
            "hottest_ra_deg": float(np.degrees(best.ra)),
            "hottest_dec_deg": float(np.degrees(best.dec)),
            "hottest_ns": best.ns,
            "hottest_gamma": best.gamma,
            "positions_dropped": min(at.dropped, 1.0),
            "cut_error": cost,
            **_p_value(
                trials,
                len(region),
                looked_into(sky) if sharp else hottest.ts_with_prior,
                options["trials"],
            ),
        },
    )


def _said_of_sharp(sharp: bool, best: Hottest, hottest: Hottest, nside: int) -> list[str]:
    """Of a source that the pixels' middles miss."""
    if not sharp:
        return []
    return [
        f"within a pixel the test statistic is {best.ts:.3g}, at the pixels' middles up to "
        f"{hottest.ts:.3g}: angular errors are small for nside {nside}, and the p-value is of "
        "places within pixels"
    ]


def _of_catalogue(
    catalogue: Catalogue,
    made: Tables,
    smoothing: Smoothing,
    priors: Mapping[str, Prior],
    most: float,
    options: Mapping[str, Any],
    settings: dict[str, Any],
) -> CatalogueProblem:
    """Of a catalogue's sources, taken for one."""
    data = settings["data"]
    stack = StackedSky(Sky(made), catalogue)
    most, capped = _possible(most, made, catalogue.dec)
    best = stack.maximum()
    ends = float(made.gammas[0]), float(made.gammas[-1])
    target = Target(1, lambda _, ns, gamma: stack.log_likelihood(ns, gamma), ends, most, priors)

    def maximum(tables_: Tables) -> Maxima:
        return StackedSky(Sky(tables_), catalogue).maximum()

    def trials(count: int) -> list[float]:
        skies = empty_skies(data, made, smoothing, count, _NULL_SEED)
        return [float(maximum(each).ts[0]) for each in skies]

    uncut = StackedSky(Sky(made, cut=np.inf), catalogue).maximum()
    cost = float(abs(uncut.ts[0] - best.ts[0]))
    ts = float(best.ts[0])
    return CatalogueProblem(
        **settings,
        sky=stack,
        made=made,
        complaints=doubts(data),
        catalogue=catalogue,
        target=target,
        notes=[
            *notes(data),
            *capped,
            f"{len(catalogue)} sources of {catalogue.source} taken for one",
            f"events count out to {CUT:g} of their errors: off by {cost:.1g} in TS",
        ],
        attributes={
            "ts": ts,
            "ts_of_a_tenth_of_the_floor": _with_less_floor(data, smoothing, target, maximum),
            "best_ns": float(best.ns[0]),
            "best_gamma": float(best.gamma[0]),
            "cut_error": cost,
            **_p_value(trials, _TRIED // _STACKED, ts, options["trials"]),
        },
    )


def default_priors(events: int) -> dict[str, Prior]:
    """Priors of ns and gamma, for so many events in all."""
    most = max(_LEAST, round(_PART * events))
    return {"ns": Prior("uniform", (0.0, float(most))), "gamma": Prior("uniform", _GAMMA)}


def smoothing_of(options: Mapping[str, Any]) -> Smoothing:
    """How the background is smoothed."""
    names = ("declination", "energy_declination", "energy", "floor")
    values = {name: options[f"smoothing_{name}"] for name in names[:3]}
    values["floor"] = options["floor"]
    return Smoothing(**values)


def _ends(prior: Prior) -> tuple[float, float]:
    if prior.family == "uniform":
        return prior.arguments[0], prior.arguments[1]
    return _GAMMA


def _limited(gamma: Prior) -> list[str]:
    """Of a prior that reaches beyond where gamma is looked for."""
    if gamma.family == "uniform":
        return []
    return [f"gamma is looked for from {_GAMMA[0]:g} to {_GAMMA[1]:g}, whatever its prior"]


def _most(prior: Prior) -> float:
    """What ns can't be above."""
    a, b = prior.stan_arguments
    match prior.family:
        case "uniform":
            if a != 0 or b <= 0:
                raise DataError(f"prior ns={prior}: expected a lower end of 0")
            return b
        case "lognormal":
            return float(np.exp(a + _REACH * b))
        case "gamma":
            return float(a + _REACH * np.sqrt(a) + _REACH**2 / 2) / b
        case _:
            return _REACH * a


def _possible(most: float, made: Tables, dec: Floats) -> tuple[float, list[str]]:
    """What ns is below at declinations: a sample's events can't all be the source's; and a note."""
    cells = np.unique(np.searchsorted(made.sin_dec[1:-1], np.sin(dec), side="right"))
    shares = [float(np.exp(each.log_share[cells, :, 0]).max()) for each in made.samples]
    sizes = [len(each.sample) for each in made.samples]
    largest = min(n / s for n, s in zip(sizes, shares, strict=True) if s > _NO_SHARE)
    if 0.9 * largest >= most:
        return most, []
    return 0.9 * largest, [
        f"ns is looked for below {0.9 * largest:.4g}, not {most:.4g}: of a sample's events at most "
        "nine in ten are taken for the source's"
    ]


def _unseen(region: Region, max_dec: float, flat: bool) -> list[str]:
    """What of the prior isn't looked at."""
    lost = 1.0 - float(np.exp(logsumexp(region.log_prior)))
    if lost < (_LOST_OF_FLAT if flat else _LOST):
        return []
    return [
        f"{lost:.2g} of the prior of the position lie beyond {max_dec:g} deg of declination or "
        "where no event is accepted: the source is taken not to be there"
    ]


def _with_less_floor(
    data: PointSourceData,
    smoothing: Smoothing,
    target: Target,
    maximum: Callable[[Tables], Maxima],
) -> float:
    """TS if energies that the background never has were rarer still."""
    made = tables(data, replace(smoothing, floor=0.1 * smoothing.floor), target.ends)
    return float(maximum(made).ts[0])


def _p_value(
    trials: Callable[[int], list[float]], pixels: int, ts: float, wanted: int | str
) -> dict[str, Any]:
    """The part of skies without a source that do as well."""
    count = wanted
    if count == "auto":
        count = int(np.clip(_TRIED / pixels, _FEWEST, _MOST))
    if not isinstance(count, int) or count < 0:
        raise DataError(f"option trials: {count} is not a whole number from 0 up, or auto")
    if count == 0:
        return {}
    p = NullDistribution.of(np.array(trials(count))).p_value(ts)
    return {"p_value": p, "trials": count, "minus_log10_p": float(-np.log10(p))}


def _at_positions(sky: Sky, region: Region) -> dict[str, Any]:
    """What the Stan program asks for of a source in one of some pixels."""
    made, near = sky.tables, sky.near_events(region.ra, region.dec)
    positions, samples = near.counts.shape
    # rows of the tables that any of the events and positions needs
    cells = len(made.sin_dec) - 1
    cell = np.searchsorted(made.sin_dec[1:-1], np.sin(region.dec), side="right")
    bins = np.array([each.log_energy.shape[1] for each in made.samples])
    first = np.concatenate([[0], np.cumsum(cells * bins)])
    sample, cell = np.tile(np.arange(samples), positions), np.repeat(cell, samples)
    row = np.repeat(first[sample] + cell * bins[sample], near.counts.ravel()) + near.energy_bin
    needed, energy = np.unique(row, return_inverse=True)
    width = 2 * len(made.gammas)
    energies = np.concatenate([each.log_energy.reshape(-1, width) for each in made.samples])
    shares = np.concatenate([each.log_share.reshape(-1, width) for each in made.samples])
    return {
        "P": positions,
        "S": samples,
        "R": len(near.ratio),
        "log_weight": region.log_prior,
        "events": np.array([len(each.sample) for each in made.samples], dtype=float),
        "start": np.concatenate([[1], 1 + np.cumsum(near.counts.ravel())]),
        "energy": energy + 1,
        "ratio": near.ratio,
        "share": 1 + sample * cells + cell,
        "energies": len(needed),
        "log_energy": energies[needed].ravel(),
        "shares": len(shares),
        "log_share": shares.ravel(),
    }
