"""Spectra that have several solutions: all are found, said, and started from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from astropy import units as u
from scipy.integrate import trapezoid
from spectra_models import POWER_LAW, one

from pyxstan.inference_data import assemble, load, save
from pyxstan.spectra import (
    Absorber,
    LinkedSpectra,
    Observation,
    Source,
    Spectrum,
    component,
    fake,
    fluxes,
)
from pyxstan.spectra.absorption import read_table
from pyxstan.spectra.instruments import INSTRUMENTS
from pyxstan.spectra.problem import prepare
from pyxstan.spectra.stored import to_json


def roles() -> LinkedSpectra:
    """A power law and a blackbody, either of which may be the softer one."""
    response = INSTRUMENTS["chandra_like"].response()
    seen = Spectrum("s", np.zeros(response.channels), 2e4, response=response).noticing("0.4-8")
    parts = {
        "pl": component("powerlaw", K="loguniform(1e-7, 1e-2)", index="uniform(-4, 1)"),
        "bb": component("blackbody", K="loguniform(1e-7, 1e2)", kT="loguniform(0.05, 5)"),
    }
    data = LinkedSpectra([Observation(seen, "src")], [Source("src", parts)])
    truth = {"src.pl.K": 4e-5, "src.pl.index": -1.8, "src.bb.K": 1e-3, "src.bb.kT": 0.15}
    return fake(data, truth, seed=1)


def test_roles_that_change() -> None:
    """Both solutions are found, against a grid of temperatures with the rest at its best."""
    found = prepare("linked_spectra", roles(), {}, {})
    assert found.start is not None
    (block,) = found.start.blocks
    assert len(block.modes) == 2
    assert any("several solutions" in note for note in found.notes)
    names = list(found.parameters.priors)
    starts = found.starts(4, 1)
    assert starts is not None
    u = np.array([found.coordinates.u(np.asarray(one["z"])) for one in starts])
    kT = found.parameters.values(u)[0][:, names.index("src.bb.kT")]
    assert (kT[::2] < 0.4).all()
    assert (kT[1::2] > 0.7).all()
    # chains that stay, and chains that move
    z = np.array([one["z"] for one in starts])[:, None]
    stay = found.coordinates.u(np.repeat(z, 50, axis=1))
    assert len(found.start.apart(stay)) == 1
    move = found.coordinates.u(np.repeat(np.swapaxes(z, 0, 1), 4, axis=0))
    assert found.start.apart(move) == []


def test_one_solution_is_not_taken_for_two() -> None:
    found = prepare("linked_spectra", one(POWER_LAW), {}, {})
    assert found.starts(4, 1) is None
    assert not any("several solutions" in note for note in found.notes)


def test_cross_sections_are_kept_by_value(tmp_path: Path) -> None:
    """A model that is stored has its cross sections, whatever becomes of their file."""
    path = tmp_path / "gas.csv"
    path.write_text("ENERGY,SIGMA\n0.1,1e-20\n1,2e-22\n10,1e-25\n")
    gas = {"gas": Absorber("lognormal(0, 1)", table=str(path))}
    data = one(absorption=gas)
    path.write_text("ENERGY,SIGMA\n0.1,1e-21\n1,2e-23\n10,1e-26\n")
    other = read_table(path)
    path.unlink()
    kept = data.sources[0].absorption["gas"].table
    assert kept != other
    assert kept.at(np.ones(1))[0] == pytest.approx(2e-22)
    notes = prepare("linked_spectra", data, {}, {}).notes
    assert any("continued as E^-3" in note for note in notes)
    assert any(kept.sha256[:12] in note for note in notes)
    again = LinkedSpectra.from_yaml(data.write(tmp_path / "written")[0])
    assert again.sources[0].absorption["gas"].table == kept
    assert kept.sha256 in to_json(data)


def test_fluxes_of_a_saved_fit_whose_table_is_gone(tmp_path: Path) -> None:
    """They are absorbed by the cross sections of the fit, not by what is in their place now."""
    path = tmp_path / "gas.csv"
    path.write_text("energy,cross_section\n0.1,1e-19\n1,1e-22\n10,1e-25\n")
    gas = {"gas": Absorber("lognormal(0, 1)", table=str(path))}
    data = one(absorption=gas)
    draws = {"src.c.K": 2.0, "src.c.index": -1.0, "src.gas.NH": 1.5}
    assert set(draws) == set(data.parameters)
    value = xr.DataArray(
        np.full((1, 5, 3), list(draws.values())),
        dims=("chain", "draw", "parameter"),
        coords={"parameter": list(draws)},
    )
    model = {"model": "linked_spectra", "spectral_model": to_json(data)}
    save(assemble({"posterior": value.to_dataset(name="value")}, model), tmp_path / "fit.nc")
    e = np.geomspace(0.5, 2.0, 20001)
    wanted = trapezoid(2.0 / e * np.exp(-1.5 * e**-3.0), e)
    for other in ("energy,cross_section\n0.1,1e-18\n1,1e-21\n10,1e-24\n", None):
        path.unlink()
        if other is not None:
            path.write_text(other)
        table = fluxes(load(tmp_path / "fit.nc"), 0.5 * u.keV, 2 * u.keV, unit="ph / (cm2 s)")
        assert table["median"]["src"] == pytest.approx(wanted, rel=1e-5)
