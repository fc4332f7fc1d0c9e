r"""The components that a source's spectrum is a sum of, and their integrals over energy bins.

Each is a norm (the first parameter) times a shape s(E), in photons / s / cm^2 / keV, with E in keV:

* ``powerlaw``: K (E / piv)^index;
* ``powerlaw_flux``: F (index + 1) / (b^(index + 1) - a^(index + 1)) E^index, where F is the photon
  flux from a to b, with its limit F / (E ln(b / a)) at index = -1;
* ``cutoff_powerlaw``: K (E / piv)^index exp(-E / xc);
* ``blackbody``: K E^2 / (exp(E / kT) - 1);
* ``band``: with x_b = (alpha - beta) xp / (2 + alpha), K (E / piv)^alpha exp(-(2 + alpha) E / xp)
  below x_b, and K (x_b / piv)^(alpha - beta) exp(beta - alpha) (E / piv)^beta above, for
  alpha > beta and alpha > -2; E^2 s(E) is at its largest at xp if beta < -2 (Band et al. 1993, ApJ
  413, 281);
* ``bremsstrahlung``: K exp(-E / kT) / E, thermal and optically thin, with a Gaunt factor of one
  (Rybicki & Lightman 1979, equation 5.14, in photons);
* ``gaussian_line``: F times a normal density of mean mu and standard deviation sigma, which may be
  zero.

The integral over a bin from l to h is exact for both power laws and the line, and Simpson's rule on
l, (l + h) / 2 and h otherwise: (h - l) / 6 [s(l) + 4 s(m) + s(h)]. Power laws are

    integral of (E / r)^index = r (c / r)^g L sinh(x) / x,   c = sqrt(l h), L = ln(h / l),

with g = index + 1 and x = g L / 2, which has no special case but sinh(x) / x = 1 at zero.

With absorption, which lets the fractions A of the photons at l, m and h through, the integral is
multiplied by [w_l A_l + 4 w_m A_m + w_h A_h] / [w_l + 4 w_m + w_h], with the weights w = s(E). The
line may be much narrower than the bin: there A is the parabola through its three values, whose mean
over the line follows from the line's moments in the bin.

>>> COMPONENTS["powerlaw"].integral([1.0, 2.0], [2.0, 4.0], K=1.0, index=-2.0)
array([0.5 , 0.25])
>>> COMPONENTS["blackbody"].flux(1.0, K=[1.0, 2.0], kT=1.0)
array([0.58197671, 1.16395341])
"""

from __future__ import annotations

from pyxstan.spectra import shapes
from pyxstan.spectra.component_types import Component, Constant, Parameter

_FLUX_DENSITY = "ph / (s cm2 keV)"


def _norm(unit: str, description: str, name: str = "K") -> Parameter:
    return Parameter(name, unit, description, "log", zero=True)


_INDEX = Parameter("index", "", "photon index with its sign: the power of E")
_PIVOT = Constant("piv", "keV", 1.0, "energy that the norm is the flux density at")
_TOTAL = "ph / (s cm2)"

_ALL = (
    Component(
        "powerlaw",
        1,
        "K (E / piv)^index",
        (_norm(_FLUX_DENSITY, "flux density at piv"), _INDEX),
        shapes.POWERLAW,
        constants=(_PIVOT,),
    ),
    Component(
        "powerlaw_flux",
        2,
        "F (index + 1) / (b^(index + 1) - a^(index + 1)) E^index",
        (_norm(_TOTAL, "photon flux from a to b", "F"), _INDEX),
        shapes.POWERLAW_FLUX,
        constants=(
            Constant("a", "keV", 2.0, "lower end of the range that F is the flux in"),
            Constant("b", "keV", 10.0, "upper end of that range"),
        ),
        mistake=lambda v: "" if (v["a"] < v["b"]).all() else "a has to be below b",
    ),
    Component(
        "cutoff_powerlaw",
        3,
        "K (E / piv)^index exp(-E / xc)",
        (
            _norm(_FLUX_DENSITY, "flux density at piv if there were no cutoff"),
            _INDEX,
            Parameter("xc", "keV", "energy of the cutoff", "log"),
        ),
        shapes.CUTOFF_POWERLAW,
        constants=(_PIVOT,),
    ),
    Component(
        "blackbody",
        4,
        "K E^2 / (exp(E / kT) - 1)",
        (
            _norm("ph / (s cm2 keV3)", "norm"),
            Parameter("kT", "keV", "temperature", "log"),
        ),
        shapes.BLACKBODY,
    ),
    Component(
        "band",
        5,
        "K (E / piv)^alpha exp(-(2 + alpha) E / xp), (E / piv)^beta above",
        (
            _norm(_FLUX_DENSITY, "norm: the flux density at piv but for the exponential"),
            Parameter("alpha", "", "power of E below the break"),
            Parameter("beta", "", "power of E above the break, below alpha"),
            Parameter("xp", "keV", "energy of the peak of nu F_nu", "log"),
        ),
        shapes.BAND,
        constants=(Constant("piv", "keV", 100.0, _PIVOT.description),),
        mistake=shapes.band_mistake,
    ),
    Component(
        "bremsstrahlung",
        6,
        "K exp(-E / kT) / E",
        (
            _norm(_TOTAL, "norm"),
            Parameter("kT", "keV", "temperature", "log"),
        ),
        shapes.BREMSSTRAHLUNG,
    ),
    Component(
        "gaussian_line",
        7,
        "F exp(-(E - mu)^2 / (2 sigma^2)) / (sigma sqrt(2 pi))",
        (
            _norm(_TOTAL, "photon flux of the line", "F"),
            Parameter("mu", "keV", "energy of the line", "log"),
            Parameter("sigma", "keV", "standard deviation", "log", zero=True),
        ),
        shapes.GAUSSIAN_LINE,
    ),
)

#: By name.
COMPONENTS: dict[str, Component] = {component.name: component for component in _ALL}
