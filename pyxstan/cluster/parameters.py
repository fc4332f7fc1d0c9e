r"""The parameters of a cluster image and the coordinates that the sampler moves in.

A component has the brightness ``S0 (1 + t / rc^2)^a``, a = 1/2 - 3 beta < 0. S0, rc and beta trade
off along a banana: with one more pixel of rc, a brighter or steeper profile looks the same. What
the data know well is the brightness at some radius R and the slope there. The coordinates theta are

* x0 and y0, from a reference centre;
* ln S(R), ln rc (of the second component ln ln(rc2 / rc), which keeps rc < rc2) and
  ln(-d ln S / d ln r at R) of each component;
* of B, b and the map's factor, the theta for which it is s ln(1 + exp theta), s being about how
  well it is known: the parameter itself where it is far from zero, its logarithm close to zero;
* the two shears; x02 and y02 from the reference centre.

The Stan programs undo them (``stan_models/functions/cluster.stanfunctions``) and count the
Jacobian, so that priors are those stated on x0, y0, S0, rc, beta and the rest.

Where the image shows one component alone, little is known of the second: its coordinates are then
ln S, ln rc2 and ln(-2 a) themselves (R = 0), whichever of the two is the inner one, and the
parameters are put in order.

Ellipticity is a shear (e1, e2): t = (p - c)' expm(-2 [[e1, e2], [e2, -e1]]) (p - c), with
|e| = ln(a / b) / 2 for the axes a >= b of an isophote and twice the angle of a from the x axis that
of e. rc is then the geometric mean of the core's two radii. No shear is e = 0, an ordinary point.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pyxstan.cluster.cells import Floats

#: Where brightness and slope of a component are known best, in units of its rc.
RADIUS = 2.0


@dataclass(frozen=True)
class Layout:
    """Which parameters a fit has, in which order."""

    components: int
    constant: bool = True
    sky: bool = False
    #: The background map's factor: "none", "fixed" (to one) or "free".
    background_map: str = "none"
    elliptical: bool = False
    offset: bool = False
    #: Symmetric matrix (xx, xy, yy) from pixels to square ones of the same area on the sky.
    pixel_shape: tuple[float, float, float] = (1.0, 0.0, 1.0)

    @property
    def names(self) -> list[str]:
        """Names of the parameters, in the order of theta."""
        names = ["x0", "y0", "S0", "rc", "beta"]
        names += ["S02", "rc2", "beta2"] if self.components == 2 else []
        names += self.backgrounds
        names += ["shear1", "shear2"] if self.elliptical else []
        names += ["x02", "y02"] if self.offset else []
        return names

    @property
    def backgrounds(self) -> list[str]:
        """Names of the backgrounds that are fitted."""
        there = {"B": self.constant, "b": self.sky, "map_factor": self.background_map == "free"}
        return [name for name, fitted in there.items() if fitted]

    @property
    def flags(self) -> dict[str, Any]:
        """What the Stan programs are told of it."""
        return {
            "pixel_shape": self.shape,
            "constant": int(self.constant),
            "sky": int(self.sky),
            "map_free": int(self.background_map == "free"),
            "backgrounds": len(self.backgrounds),
            "elliptical": int(self.elliptical),
        }

    @property
    def shape(self) -> Floats:
        """`pixel_shape` as a matrix."""
        xx, xy, yy = self.pixel_shape
        return np.array([[xx, xy], [xy, yy]])

    def coefficients(self, values: Floats, reference: tuple[float, float]) -> Floats:
        """What the likelihood is a function of: see `Cells.expected_and_log`.

        Parameters
        ----------
        values
            The parameters, in the order of `names`; or many points, (parameters, points).
        reference
            The centre from which the cells count.
        """
        value = dict(zip(self.names, values, strict=True))
        shear = value.get("shear1", 0.0), value.get("shear2", 0.0)
        u: list[Any] = []
        for suffix in ("", "2")[: self.components]:
            center = value["x0"], value["y0"]
            if suffix and self.offset:
                center = value["x02"], value["y02"]
            u += [
                np.log(value[f"S0{suffix}"]),
                np.log(value[f"rc{suffix}"]),
                0.5 - 3 * value[f"beta{suffix}"],
                *_squared_radius(
                    center[0] - reference[0], center[1] - reference[1], *shear, self.shape
                ),
            ]
        factor = {"none": 0.0, "fixed": 1.0}.get(self.background_map)
        u += [
            value.get("B", 0.0),
            value.get("b", 0.0),
            value["map_factor"] if factor is None else factor,
        ]
        return np.stack(np.broadcast_arrays(*u))


def _squared_radius(dx: Any, dy: Any, e1: Any, e2: Any, shape: Floats | None = None) -> list[Any]:
    """Coefficients of t on (1, psi), for a centre (dx, dy) from the reference.

    Parameters
    ----------
    shape
        From pixels to square ones on the sky, symmetric; default: they are square.
    """
    size = np.hypot(e1, e2)
    even = np.cosh(2 * size)
    odd = -2.0 * np.sinc(2j * size / np.pi).real  # -sinh(2 e) / e
    plus, cross = odd * e1, odd * e2
    G = np.array([[even + plus, cross], [cross, even - plus]])
    if shape is not None:
        G = np.einsum("ij,jk...,kl->il...", shape, G, shape)
    Gx, Gy = G[0, 0] * dx + G[0, 1] * dy, G[1, 0] * dx + G[1, 1] * dy
    return [
        dx * Gx + dy * Gy,
        (G[0, 0] + G[1, 1]) / 2,
        -2 * Gx,
        -2 * Gy,
        (G[0, 0] - G[1, 1]) / 2,
        G[0, 1],
    ]


@dataclass(frozen=True)
class Coordinates:
    """The coordinates theta of a layout."""

    layout: Layout
    #: The reference centre.
    center: tuple[float, float]
    #: R of each component.
    radius: tuple[float, ...]
    #: s of each background.
    background_scale: tuple[float, ...]
    #: Whether the second radius is ln ln(rc2 / rc), or ln rc2, no matter which is the smaller.
    radius_ratio: bool = True

    def coefficients(self, values: Floats) -> Floats:
        """What the likelihood in cells about the reference centre is a function of."""
        return self.layout.coefficients(values, self.center)

    def values(self, theta: Floats) -> tuple[Floats, float]:
        """The parameters, and the log of the Jacobian |d parameters / d theta|."""
        values, log_jacobian = self.values_of_many(theta)
        return values, float(log_jacobian)

    def values_of_many(self, theta: Floats) -> tuple[Floats, Floats]:
        """The same of many points, (parameters, points)."""
        names = self.layout.names
        at = {name: i for i, name in enumerate(names)}
        x = np.array(theta, dtype=float)
        log_jacobian = np.zeros(x.shape[1:])
        for name in ("x0", "y0", "x02", "y02"):
            if name in at:
                x[at[name]] += self.center[name.startswith("y")]
        for suffix, R in zip(("", "2"), self.radius, strict=False):
            S, rc, beta = (at[name + suffix] for name in ("S0", "rc", "beta"))
            if suffix and self.radius_ratio:
                log_jacobian = log_jacobian + theta[rc]
                x[rc] = np.log(x[at["rc"]]) + np.exp(theta[rc])
            x[rc] = np.exp(x[rc])
            bent = (x[rc] / R) ** 2 if R else 0.0
            steepness = np.exp(theta[beta]) * (1 + bent) / 2  # -a
            x[S] = np.exp(theta[S] + steepness * np.log1p((R / x[rc]) ** 2))
            x[beta] = (0.5 + steepness) / 3
            log_jacobian = log_jacobian + np.log(x[S]) + np.log(x[rc]) + np.log(steepness / 3)
        for name, scale in zip(self.layout.backgrounds, self.background_scale, strict=True):
            x[at[name]] = scale * np.logaddexp(0.0, theta[at[name]])
            log_jacobian = log_jacobian + np.log(scale) - np.logaddexp(0.0, -theta[at[name]])
        if "rc2" in at:
            x = np.where(x[at["rc2"]] < x[at["rc"]], self._swapped(x), x)
        return x, log_jacobian

    def _swapped(self, values: Floats) -> Floats:
        """The two components the other way round."""
        names = self.layout.names
        of = {"S0": "S02", "rc": "rc2", "beta": "beta2"}
        if self.layout.offset:
            of |= {"x0": "x02", "y0": "y02"}
        other = of | {theirs: ours for ours, theirs in of.items()}
        return np.array([values[names.index(other.get(name, name))] for name in names])

    def theta(self, values: Floats) -> Floats:
        """Inverse of `values`."""
        at = {name: i for i, name in enumerate(self.layout.names)}
        theta = np.array(values, dtype=float)
        for name in ("x0", "y0", "x02", "y02"):
            if name in at:
                theta[at[name]] -= self.center[name.startswith("y")]
        for suffix, R in zip(("", "2"), self.radius, strict=False):
            S, rc, beta = (at[name + suffix] for name in ("S0", "rc", "beta"))
            steepness = 3 * values[beta] - 0.5
            theta[S] = np.log(values[S]) - steepness * np.log1p((R / values[rc]) ** 2)
            theta[beta] = np.log(2 * steepness / (1 + ((values[rc] / R) ** 2 if R else 0.0)))
            theta[rc] = np.log(values[rc])
            if suffix and self.radius_ratio:
                theta[rc] = np.log(theta[rc] - np.log(values[at["rc"]]))
        for name, scale in zip(self.layout.backgrounds, self.background_scale, strict=True):
            ratio = max(values[at[name]] / scale, 1e-12)  # none at all is at minus infinity
            theta[at[name]] = ratio + np.log(-np.expm1(-ratio))
        return theta
