"""What follows from the parameters of a beta profile: brightness, flux in apertures, axes."""

from __future__ import annotations

import numpy as np

from pyxstan.cluster.cells import Floats
from pyxstan.cluster.data import ClusterImage
from pyxstan.errors import DataError


def beta_profile(r: Floats, S0: Floats, rc: Floats, beta: Floats) -> Floats:
    """Surface brightness S0 (1 + (r / rc)^2)^(-3 beta + 1/2); all arguments broadcast.

    Source: Cavaliere & Fusco-Femiano 1976, A&A 49, 137.
    """
    return np.asarray(S0 * (1 + (r / rc) ** 2) ** (0.5 - 3 * beta))


def aperture_flux(S0: Floats, rc: Floats, beta: Floats, radius: float) -> Floats:
    """Integral of `beta_profile` over a circle (a circle in the profile's own elliptical radius).

    Parameters
    ----------
    S0, rc, beta
        As in `beta_profile`; lengths in pixels.
    radius
        Of the circle, in pixels.

    Returns
    -------
    array
        In the unit of S0 times pixels.
    """
    power = np.asarray(1.5 - 3 * beta)
    log_x = np.log1p((radius / rc) ** 2)
    # (x^p - 1) / p, by its limit log x where p vanishes
    small = np.abs(power * log_x) < 1e-8
    safe = np.where(small, 1.0, power)
    shape = np.where(small, log_x, np.expm1(safe * log_x) / safe)
    return np.asarray(np.pi * S0 * rc**2 * shape)


def unwrapped(angle: Floats, period: float) -> tuple[Floats, float]:
    """Angles within half a period of their circular mean, so that means and quantiles are right.

    Parameters
    ----------
    angle
        Draws, in degrees.
    period
        360 for directions, 180 for axes.

    Returns
    -------
    angles, length
        The angles, their mean from 0 to `period`; and the mean resultant length, from 0 (spread
        over the whole period) to 1 (all alike).

    Source: Mardia & Jupp 2000, Directional Statistics, section 2.3.
    """
    resultant = np.exp(2j * np.pi * np.asarray(angle) / period).mean()
    mean = float(np.angle(resultant)) / (2 * np.pi) * period % period
    away = (np.asarray(angle) - mean + period / 2) % period - period / 2
    return np.asarray(mean + away), float(np.abs(resultant))


def axes_of(
    shear1: Floats, shear2: Floats, pixel_shape: Floats | None = None
) -> tuple[Floats, Floats]:
    """Axis ratio b / a of the isophotes, and the angle of a from the x axis (degrees, 0 to 180).

    Parameters
    ----------
    pixel_shape
        Matrix from pixels to square ones on the sky: ratio and axis are those on the sky, the angle
        that of the axis in the image. Default: pixels are square.
    """
    ratio = np.exp(-2 * np.hypot(shear1, shear2))
    angle = 0.5 * np.arctan2(shear2, shear1)
    if pixel_shape is not None:
        (xx, xy), (_, yy) = np.linalg.inv(pixel_shape)
        x, y = np.cos(angle), np.sin(angle)
        angle = np.arctan2(xy * x + yy * y, xx * x + xy * y)
    return np.asarray(ratio), np.asarray(np.degrees(angle) % 180)


def position_angle(
    image: ClusterImage, angle: Floats, center: tuple[float, float]
) -> Floats | None:
    """Angle on the sky, east of north, of a direction in the image at a place; None without WCS."""
    matrix = image.sky_matrix(*center)
    if matrix is None:
        return None
    direction = matrix @ np.stack([np.cos(np.radians(angle)).ravel(),
                                   np.sin(np.radians(angle)).ravel()])  # fmt: skip
    return np.asarray(np.degrees(np.arctan2(direction[0], direction[1])) % 180).reshape(angle.shape)


def kpc_an_arcsec(redshift: float, cosmology: str) -> float:
    """Proper length at a redshift, in a cosmology of astropy."""
    import astropy.cosmology

    chosen = getattr(astropy.cosmology, cosmology, None)
    if not isinstance(chosen, astropy.cosmology.Cosmology):
        raise DataError(
            f"option cosmology: '{cosmology}' is not one of astropy's, such as Planck18"
        )
    if not 0 < redshift < np.inf:
        raise DataError(f"option redshift: {redshift:g} is not positive")
    return float(1 / chosen.arcsec_per_kpc_proper(redshift).value)
