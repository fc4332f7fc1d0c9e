"""Settings of a fit are honoured or refused, and the result records those that it comes from."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

import pyxstan
from pyxstan import DataError, inference_data

DIRECT = {"concordance": {}, "stack_gaussian": {"objects": 20, "samples": 50}}


@pytest.fixture(scope="module", params=DIRECT)
def case(request: pytest.FixtureRequest) -> tuple[str, Any]:
    """A model whose draws are direct, and data of it."""
    name = request.param
    return name, pyxstan.simulate(name, seed=1, **DIRECT[name])[0]


@pytest.mark.parametrize(
    "setting",
    [
        {"inits": 0.5},
        {"inits": {"mean": 1.0}},
        {"metric": "dense_e"},
        {"adapt_delta": 0.9},
        {"max_treedepth": 8},
        {"stan": "httpstan"},
    ],
    ids=str,
)
def test_settings_of_nuts_are_refused_where_draws_are_direct(
    case: tuple[str, Any], setting: dict[str, Any]
) -> None:
    (name,) = setting
    with pytest.raises(DataError, match=f"{name} would have no effect: draws are direct"):
        pyxstan.fit(*case, seed=1, draws=50, progress=False, **setting)


@pytest.mark.parametrize("setting", [{"metric": "dense_e"}, {"adapt_delta": 0.9}], ids=str)
def test_settings_of_nuts_are_refused_by_other_methods(
    case: tuple[str, Any], setting: dict[str, Any]
) -> None:
    with pytest.raises(DataError, match="method 'map' does not sample by NUTS"):
        pyxstan.fit(*case, method="map", seed=1, progress=False, **setting)


def test_a_result_of_direct_draws_records_no_sampler(case: tuple[str, Any]) -> None:
    idata = pyxstan.fit(*case, seed=1, draws=50, warmup=70, progress=False)
    attrs = inference_data.attributes(idata)
    assert not {"warmup", "inits", "stan_program_sha256", "stan_version"} & set(attrs)
    assert not {"metric", "adapt_delta", "max_treedepth"} & set(json.loads(attrs["options"]))
    assert any("warmup=70 has no effect" in note for note in json.loads(attrs["notes"]))


def test_messages_go_through_logging(
    case: tuple[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "pyxstan"):
        idata = pyxstan.fit(*case, seed=1, draws=50)
        assert caplog.messages[-1] == str(pyxstan.verdict(idata))
        caplog.clear()
        pyxstan.fit(*case, seed=1, draws=50, progress=False)
        assert not caplog.messages


def test_a_saved_result_comes_back(case: tuple[str, Any], tmp_path: Any) -> None:
    idata = pyxstan.fit(*case, seed=1, draws=50, progress=False)
    pyxstan.save(idata, tmp_path / "fit.nc")
    loaded = pyxstan.load(tmp_path / "fit.nc")
    (tmp_path / "fit.nc").unlink()
    assert pyxstan.summary(loaded).equals(pyxstan.summary(idata))
    assert pyxstan.verdict(loaded) == pyxstan.verdict(idata)
    with pytest.raises(DataError, match="its folder"):
        pyxstan.save(idata, tmp_path / "nowhere" / "fit.nc")


def test_the_version_is_that_of_the_package() -> None:
    assert pyxstan.__version__ == inference_data.version("pyxstan")
