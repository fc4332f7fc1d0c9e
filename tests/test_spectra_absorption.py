"""Photoelectric absorption against the published table, and a user's own tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.table import Table

from pyxstan.errors import DataError
from pyxstan.spectra import absorption


def test_morrison_and_mccammon() -> None:
    # sigma E^3 in 1e-24 cm^2 keV^3, by hand from their table 2
    energy = np.array([0.03, 0.2, 0.3, 0.5, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 9.0, 20.0])
    by_hand = [
        33.608, 69.136, 84.127, 91.95, 160.984, 192.58, 242.2, 290.625, 344.1, 398.8, 427.0,
        446.5, 876.2, 928.0, 1205.2,
    ]  # fmt: skip
    found = absorption.cross_section(energy) * energy**3 / 1e-24
    np.testing.assert_allclose(found, by_hand, rtol=1e-12)
    # up at every edge, most at oxygen's and iron's
    for edge in (
        0.284,
        0.400,
        0.532,
        0.707,
        0.867,
        1.303,
        1.840,
        2.471,
        3.210,
        4.038,
        7.111,
        8.331,
    ):
        below, above = absorption.cross_section([edge * (1 - 1e-12), edge])
        assert 1.02 < above / below < 1.9


def test_redshifted_absorption() -> None:
    found = absorption.transmission([0.5, 1.0], [0.1, 2.0], redshift=1.0)
    wanted = np.exp(-np.outer([1e21, 2e22], absorption.cross_section([1.0, 2.0])))
    np.testing.assert_allclose(found, wanted, rtol=1e-14)
    with pytest.raises(DataError, match="redshift is -1"):
        absorption.transmission(1.0, 1.0, redshift=-1.0)
    with pytest.raises(DataError, match="column densities"):
        absorption.transmission(1.0, -1.0)


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits"])
def test_table_of_cross_sections(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"sigma.{ending}"
    energy = np.geomspace(0.1, 20.0, 300)
    sigma = 3e-22 * energy**-3.0
    if ending == "csv":
        Table({"energy": energy, "cross_section": sigma}).write(path, format="ascii.csv")
    else:
        Table({"energy": 1e3 * energy * u.eV, "cross_section": 1e-4 * sigma * u.m**2}).write(path)
    table = absorption.read_table(path)
    at = np.array([0.15, 1.0, 7.77])
    np.testing.assert_allclose(absorption.cross_section(at, table), 3e-22 * at**-3.0, rtol=1e-12)
    shifted = absorption.optical_depth(at, 0.5, table)
    np.testing.assert_allclose(shifted, 3 * (1.5 * at) ** -3.0, rtol=1e-12)
    # beyond its ends
    far = np.array([1e-3, 0.05, 21.0, 300.0])
    np.testing.assert_allclose(absorption.cross_section(far, table), 3e-22 * far**-3, rtol=1e-12)
    assert table.extended(at) == ""
    assert "continued as E^-3 to 0.001 and 300 keV" in table.extended(far)


@pytest.mark.parametrize("unit", ["", "cm2", "barn"])
@pytest.mark.parametrize("names", [("ENERGY", "SIGMA"), ("E", "xsec"), ("keV", "Cross_Section")])
def test_names_and_units_of_a_table(unit: str, names: tuple[str, str]) -> None:
    """As other tools write them: in 10^-22 cm^2 where no unit is stated; energies may descend."""
    energy = np.geomspace(20.0, 0.1, 100)
    sigma = 2.4e-22 * energy**-2.8
    table = Table({names[0]: energy, names[1]: sigma / 1e-22})
    if unit:
        table[names[1]] = (sigma * u.cm**2).to(unit)
    found = absorption.read_table(table)
    np.testing.assert_allclose(
        found.at(np.array([0.3, 2.0])), 2.4e-22 * np.array([0.3, 2.0]) ** -2.8
    )
    assert (found.notes != ()) == (unit == "")
    with pytest.raises(DataError, match=r"a cross section of 2\.4e-07 at 1 keV, expected about"):
        absorption.read_table(Table({"energy": energy, "sigma": 1e15 * sigma}))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("energy,opacity\n1,1e-22\n2,1e-23\n", "no column 'cross_section'"),
        ("energy,cross_section\n1,1e-22\n1,1e-23\n", "line 3: energy is 1 keV after 1 keV"),
        ("energy,cross_section\n1,1e-22\n2,0\n", "line 3: cross_section is '0', expected a pos"),
        ("energy,cross_section\n1,1e-22\n2,x\n", "line 3: cross_section is 'x', expected a pos"),
        ("energy,cross_section\n1,1e-22\n", "one energy, expected two or more"),
        ("", "the file is empty"),
    ],
)
def test_bad_table(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "sigma.csv"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        absorption.read_table(path)
    assert "\n" not in str(caught.value)
    assert "sigma.csv" in str(caught.value)
