"""From an image and options to the data of the Stan program, and back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pyxstan.cluster import certificate, excesses, pilot
from pyxstan.cluster.brightness import kpc_an_arcsec
from pyxstan.cluster.data import ClusterImage
from pyxstan.cluster.parameters import Layout
from pyxstan.errors import DataError
from pyxstan.priors import Prior

if TYPE_CHECKING:
    import xarray as xr

    from pyxstan.engine.sampling import Draws

#: A parameter whose posterior is as wide as this part of its prior is hardly known.
_HARDLY_KNOWN = 0.7
_BACKGROUNDS = ("constant", "sky")
#: A slope steeper than those of clusters by far: the profile is a Gaussian's; and the largest
#: standard deviation (pixels) of one that may be a point source's.
_STEEP, _NARROW = 3.0, 3.0


@dataclass(frozen=True)
class ClusterProblem:
    """What a fit of a cluster image is made of; see `pyxstan.registry.Problem`."""

    model: str
    image: ClusterImage
    options: Mapping[str, Any]
    layout: Layout
    #: One a parameter, in the order of the layout.
    prior: tuple[Prior, ...]
    guess: pilot.Pilot
    stan_data: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    priors: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    complaints: list[str] = field(default_factory=list)

    def exact(self, chains: int, draws: int, seed: int) -> Draws | None:
        """Populations of draws, where a second component is superfluous; else NUTS has to do it."""
        second = self.guess.second
        if second is None or not self.options["exact"]:
            return None
        from pyxstan.engine.sampling import Draws

        began = time.monotonic()
        rng = np.random.default_rng([seed, 3])
        drawn = second.draws(self.guess.cells, chains, draws, rng)
        if drawn is None:
            self.notes.append(
                "sequential Monte Carlo did not reach the posterior of two components: by NUTS"
            )
            return None
        theta, lp = drawn
        values, _ = second.coordinates.values_of_many(np.moveaxis(theta, -1, 0))
        return Draws(
            variables={"x": np.moveaxis(values, 0, -1)},
            statistics={"lp": lp, "diverging": np.zeros(lp.shape, dtype=bool)},
            method="smc",
            seconds=time.monotonic() - began,
            stan_version="none: sequential Monte Carlo",
        )

    def inits(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Starting values of parameters in the sampler's coordinates."""
        names = self.layout.names
        unknown = set(values) - set(names)
        if unknown:
            raise DataError(f"no starting value for '{min(unknown)}'; there are {', '.join(names)}")
        start = dict(zip(names, self.guess.mode, strict=True))
        for name, value in values.items():
            if not np.isfinite(np.asarray(value, dtype=float)).all() or np.ndim(value):
                raise DataError(f"starting value of {name}: {value} is not a finite number")
            start[name] = float(value)
        for suffix in ("", "2"):
            if f"x0{suffix}" in start:
                _check_center(
                    self.image, start[f"x0{suffix}"], start[f"y0{suffix}"], "starting centre"
                )
        positive = [start[name] for name in names if not name.startswith(("x0", "y0", "shear"))]
        betas = [start[name] for name in names if name.startswith("beta")]
        if min(positive) <= 0 or min(betas) <= 1 / 6 or start["rc"] >= start.get("rc2", np.inf):
            raise DataError(
                "starting values: S0, rc, B ... must be positive, beta above 1/6 and rc2 above rc"
            )
        chosen = np.array([start[name] for name in names])
        z = self.guess.standardised(self.guess.coordinates.theta(chosen))
        return {"z": z}

    def starts(self, chains: int, seed: int) -> list[dict[str, Any]] | None:
        """Chains start around the guess, in turn around its rivals, where there are any."""
        guess, rng = self.guess, np.random.default_rng([seed, 2])
        if guess.starts is not None:
            others = guess.starts[rng.permutation(len(guess.starts))]
            return [
                {"z": guess.standardised(others[chain % len(others)] if chain else guess.theta)}
                for chain in range(chains)
            ]
        if not guess.rivals:
            return None
        starts = []
        for chain in range(chains):
            which = chain % (1 + len(guess.rivals))
            z = rng.uniform(-1, 1, len(self.layout.names))
            if which:
                rival = guess.rivals[which - 1]
                values, _ = rival.coordinates.values(rival.theta + rival.scale @ z)
                z = guess.standardised(guess.coordinates.theta(values))
            starts.append({"z": z if chain else 0 * z})
        return starts

    def refined(self, draws: Draws) -> ClusterProblem | None:
        """The problem in finer cells, where these are too coarse for the posterior; else None."""
        if self.guess.level >= len(pilot.LEVELS):
            self.attributes.update(likelihood="pixels", log_likelihood_error=0.0)
            return None
        found = certificate.certify(self.guess, draws.variables["x"])
        self.attributes.update(
            likelihood="cells",
            likelihood_cells=self.guess.cells.exposure.size + self.guess.cells.counts.size,
            likelihood_pixels=int(self.image.good.sum()),
            log_likelihood_error=found.error,
            log_likelihood_error_draws=found.draws,
            pareto_k=found.pareto_k,
        )
        if found.holds:
            self.notes.append(f"certificate: {found}")
            return None
        values = np.median(draws.variables["x"].reshape(-1, len(self.layout.names)), axis=0)
        finer = self.guess
        for level in range(self.guess.level + 1, len(pilot.LEVELS) + 1):
            cells = pilot.merged(finer.pixels, finer.coordinates, values, finer.annuli, level)
            finer = replace(finer, cells=cells, level=level)
            if level == len(pilot.LEVELS) or certificate.certify(finer, draws.variables["x"]).holds:
                break
        what = "every pixel" if level == len(pilot.LEVELS) else f"{cells.exposure.size} cells"
        return replace(
            self,
            guess=finer,
            stan_data={**self.stan_data, **cells.stan_data()},
            notes=[*self.notes, f"the cells were too coarse ({found}): fitted again in {what}"],
        )

    def groups(self, draws: Draws, seed: int) -> dict[str, xr.Dataset]:
        """Posterior, annuli, image: with names, coordinates and units."""
        from pyxstan.cluster.results import groups

        self.complaints.extend(self._hardly_known(draws))
        return groups(self, draws, seed)

    def _hardly_known(self, draws: Draws) -> list[str]:
        """Name the parameters of which the data say little."""
        x = draws.variables["x"].reshape(-1, len(self.layout.names))
        if len(x) < 2:
            return []
        rng = np.random.default_rng(1)
        found = []
        for name, prior, values in zip(self.layout.names, self.prior, x.T, strict=True):
            before = prior.sample(rng, 2000)
            if prior.family == "lognormal":
                before, values = np.log(before), np.log(values)
            if np.std(values) > _HARDLY_KNOWN * np.std(before):
                found.append(f"the data say little of {name} (posterior as wide as its prior)")
        return found


def prepare(
    model: str, data: ClusterImage, options: Mapping[str, Any], priors: Mapping[str, Prior]
) -> ClusterProblem:
    """Make the data ready for Stan: which parameters, their priors, the guess of the posterior."""
    notes = [note for note in data.notes if note not in data.warnings]
    layout = replace(
        layout_of(model, options, has_map=data.background_map is not None),
        pixel_shape=data.pixel_shape,
    )
    if layout.pixel_shape != (1.0, 0.0, 1.0):
        notes.append("pixels are not square on the sky: radii and isophotes are those on the sky")
    center = _center(options["center"], data)
    if options["redshift"] is not None:
        kpc_an_arcsec(
            options["redshift"], options["cosmology"]
        )  # complains now, not after sampling
        if data.wcs is None:
            raise DataError(
                "option redshift: the image has no celestial coordinates, so radii have no kpc"
            )
    if options["map_factor"] == "free" and data.background_map is None:
        raise DataError("option map_factor: nothing is free without a background_map")
    aperture = options["aperture"]
    if aperture is not None and not 0 < aperture < np.inf:
        raise DataError(f"option aperture: {aperture:g} is not positive")
    chosen = default_priors(data) | dict(priors)
    for name in priors:
        if name not in layout.names:
            raise DataError(
                f"prior {name} has no use here; the parameters are {', '.join(layout.names)}"
            )
    prior = tuple(chosen[name] for name in layout.names)
    level = len(pilot.LEVELS) if options["likelihood"] == "pixels" else None
    guess = pilot.find(
        data, layout, prior, center=center, level=level, brightness=options["brightness"]
    )
    if guess.pixels.averaged:
        notes.append("brightness is averaged over each pixel; no point spread function is applied")
    elif guess.shift is not None and guess.shift[1] > pilot.TOLD_SHIFT:
        notes.append(
            f"brightness is that at pixel centres: averaged over each pixel, {guess.shift[0]} "
            f"would move by {guess.shift[1]:.1f} of its error (brightness=average averages it)"
        )
    reservations = _reservations(data, layout, guess)
    notes.append(
        f"cluster found at x {guess.best[0]:.2f}, y {guess.best[1]:.2f} "
        f"(largest sum of n ln N - N: {guess.best_log_likelihood:.3f})"
    )
    stan_data: dict[str, Any] = {
        **guess.cells.stan_data(),
        **layout.flags,
        "map_factor_given": float(layout.background_map == "fixed"),
        "D": len(layout.names),
        "center": guess.theta,
        "scale": guess.scale,
        "bend": guess.bend,
        "background_scale": np.array(guess.coordinates.background_scale),
        "reference": np.array(guess.coordinates.center),
        "prior_family": [one.code for one in prior],
        "prior_arguments": np.array([one.stan_arguments for one in prior]).T,
    }
    if layout.components == 2:
        stan_data |= {
            "R": np.array(guess.coordinates.radius),
            "two_centers": int(layout.offset),
            "radius_ratio": int(guess.coordinates.radius_ratio),
        }
    else:
        stan_data["R"] = guess.coordinates.radius[0]
    return ClusterProblem(
        model=model,
        image=data,
        options=options,
        layout=layout,
        prior=prior,
        guess=guess,
        stan_data=stan_data,
        notes=notes,
        warnings=list(data.warnings),
        priors={name: str(chosen[name]) for name in layout.names},
        complaints=reservations,
        attributes={
            "max_log_likelihood": guess.best_log_likelihood,
            "brightness_unit": data.brightness_unit,
            "pixel_scale_arcsec": data.pixel_scale or 0.0,
            **({} if guess.gain is None else {"log_likelihood_gain": guess.gain}),
            "brightness": "average" if guess.pixels.averaged else "center",
        },
    )


def _reservations(image: ClusterImage, layout: Layout, guess: pilot.Pilot) -> list[str]:
    """What the maximum of the likelihood tells against a fit: rivals, excesses, a misfit."""
    found = [
        f"another solution holds posterior mass: centre x {rival.best[0]:.2f}, "
        f"y {rival.best[1]:.2f}, rc {rival.best[3]:.3g}, its ln L lower by "
        f"{guess.best_log_likelihood - rival.best_log_likelihood:.1f} (choose one by center=)"
        for rival in guess.rivals
    ]
    if guess.gain is not None:
        found.append(
            f"the image shows no second component: ln L is higher by {guess.gain:.1f} than that of "
            f"beta, with {5 if layout.offset else 3} more parameters; beta is enough (one of the "
            "two components, the inner or the outer, is known by its prior and an upper limit "
            "alone)"
        )
    value = dict(zip(layout.names, guess.best, strict=True))
    width = value["rc"] / np.sqrt(6 * value["beta"] - 1)
    if layout.components == 1 and value["beta"] > _STEEP and width < _NARROW:
        found.append(
            f"what is fitted falls off as a Gaussian of {width:.1f} pixels (beta "
            f"{value['beta']:.1f}), as a point source does: mask it, or choose the cluster by "
            "center="
        )
    core = value["x0"], value["y0"], value.get("rc2", value["rc"])
    expected = pilot.expected_counts(guess.pixels, layout, guess.best)
    return found + excesses.complaints(
        image, guess.pixels, expected, guess.annuli, core, components=layout.components
    )


def layout_of(model: str, options: Mapping[str, Any], *, has_map: bool) -> Layout:
    """The parameters of a model with these options."""
    chosen = [part.strip() for part in str(options["background"]).split("+")]
    if chosen == ["none"]:
        chosen = []
    for part in chosen:
        if part not in _BACKGROUNDS:
            raise DataError(
                f"option background: '{options['background']}' is not constant, sky, "
                "constant+sky or none"
            )
    factor = options["map_factor"]
    return Layout(
        components=2 if model == "double_beta" else 1,
        constant="constant" in chosen,
        sky="sky" in chosen,
        background_map=factor if has_map else "none",
        elliptical=options["elliptical"],
        offset=options.get("offset", False),
    )


def default_priors(image: ClusterImage) -> dict[str, Prior]:
    """Priors that follow from the size of the image and its largest exposure alone.

    Brightness is about one count a pixel, to five powers of e either way; a core is about a
    fortieth of the image, the centre anywhere around.
    """
    ny, nx = image.counts.shape
    a_count = -float(np.log(image.exposure.max()))
    return prior_table(nx, ny, a_count)


def prior_table(nx: int, ny: int, log_brightness: float) -> dict[str, Prior]:
    """Default priors of an image of nx x ny pixels in which one count a pixel is that bright."""
    x, y = Prior("normal", (nx / 2, float(nx))), Prior("normal", (ny / 2, float(ny)))
    S = Prior("lognormal", (log_brightness, 5.0))
    rc = Prior("lognormal", (float(np.log(min(nx, ny) / 40)), 1.5))
    beta = Prior("lognormal", (float(np.log(2 / 3)), 0.5))
    shear = Prior("normal", (0.0, 0.3))
    return {
        "x0": x, "y0": y, "S0": S, "rc": rc, "beta": beta,
        "S02": S, "rc2": rc, "beta2": beta,
        "B": Prior("half_normal", (100.0,)),
        "b": Prior("half_normal", (100 * float(np.exp(log_brightness)),)),
        "map_factor": Prior("lognormal", (0.0, 0.5)),
        "shear1": shear, "shear2": shear, "x02": x, "y02": y,
    }  # fmt: skip


def _center(given: Any, image: ClusterImage) -> tuple[float, float] | None:
    """The centre that the user starts from."""
    if given is None:
        return None
    try:
        parts = given.split(",") if isinstance(given, str) else given
        x, y = (float(part) for part in parts)
    except (TypeError, ValueError):
        raise DataError(f"option center: '{given}' is not x,y in pixels from 0") from None
    _check_center(image, x, y, "option center")
    return x, y


def _check_center(image: ClusterImage, x: float, y: float, what: str) -> None:
    ny, nx = image.counts.shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        raise DataError(f"{what}: ({x:g}, {y:g}) is outside the image of {nx} x {ny} pixels")
