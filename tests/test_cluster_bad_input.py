"""Bad input of cluster images: one line that names what is wrong, status 2, nothing written."""

from __future__ import annotations

import gzip
import io
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from invocation import contents, run

import pyxstan
from pyxstan.cluster import ClusterImage, simulation

SIDE = 32
Y, X = np.mgrid[:SIDE, :SIDE]
COUNTS = np.random.default_rng(1).poisson(0.5 + 9 / (1 + ((X - 15) ** 2 + (Y - 17) ** 2) / 9))
EXPOSURE = np.full((SIDE, SIDE), 2e7)


def image(values: Any, *, sky: bool = True, **keywords: Any) -> bytes:
    cards: dict[str, Any] = {}
    if sky:
        cards = {
            "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 16.0, "CRPIX2": 16.0,
            "CRVAL1": 150.0, "CRVAL2": 30.0, "CDELT1": -2 / 3600, "CDELT2": 2 / 3600,
            "CUNIT1": "deg", "CUNIT2": "deg",
        }  # fmt: skip
    hdu = fits.PrimaryHDU(values, fits.Header(list({**cards, **keywords}.items())))
    return bytes(fits_bytes(hdu))


def fits_bytes(hdu: Any) -> bytes:
    file = io.BytesIO()
    hdu.writeto(file)
    return file.getvalue()


GOOD = {
    "counts.fits": image(COUNTS.astype(np.int32), EXPOSURE=20000.0),
    "exposure.fits": image(EXPOSURE, BUNIT="cm2 s"),
}


def changed(values: Any, value: float) -> Any:
    new = np.array(values, dtype=float)
    new[4, 3] = value
    return new


@dataclass(frozen=True)
class Case:
    """What is wrong, in words that the message must have; the rest is good unless it says so."""

    words: str
    model: str = "beta"
    files: Mapping[str, bytes] = field(default_factory=dict)
    inputs: tuple[str, ...] = ("counts.fits", "exposure.fits")
    reading: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    priors: Mapping[str, str] = field(default_factory=dict)
    inits: Mapping[str, float] | None = None


CASES = {
    "center outside": Case(
        r"^option center: \(40, 3\) is outside the image of 32 x 32",
        options={"center": "40,3"},
    ),
    "center of one number": Case(r"^option center: '40' is not x,y in", options={"center": "40"}),
    "center of words": Case(r"^option center: 'a,b' is not x,y", options={"center": "a,b"}),
    "center NaN": Case(r"^option center: \(nan, 3\) is outside", options={"center": "nan,3"}),
    "unknown background": Case(
        r"^option background: 'flat' is not constant, sky, constant\+sky or none",
        options={"background": "flat"},
    ),
    "half an unknown background": Case(
        r"^option background: 'sky\+flat' is not", options={"background": "sky+flat"}
    ),
    "offset of one component": Case(r"^beta has no option 'offset'", options={"offset": "true"}),
    "offset neither yes nor no": Case(
        r"^option offset: 'yes' is not true or false", "double_beta", options={"offset": "yes"}
    ),
    "unknown likelihood": Case(
        r"^option likelihood: 'pixel' is not cells or pixels", options={"likelihood": "pixel"}
    ),
    "unknown factor": Case(
        r"^option map_factor: 'loose' is not fixed or free", options={"map_factor": "loose"}
    ),
    "redshift 0": Case(r"^option redshift: 0 is not positive", options={"redshift": "0"}),
    "redshift negative": Case(r"^option redshift: -0.2 is not pos", options={"redshift": "-0.2"}),
    "redshift NaN": Case(r"^option redshift: nan is not positive", options={"redshift": "nan"}),
    "redshift in words": Case(r"^option redshift: 'far' is not a num", options={"redshift": "far"}),
    "unknown cosmology": Case(
        r"^option cosmology: 'Planck99' is not one of astropy's, such as Planck18",
        options={"cosmology": "Planck99", "redshift": "0.2"},
    ),
    "cosmology that is a function": Case(
        r"^option cosmology: 'z_at_value' is not",
        options={"cosmology": "z_at_value", "redshift": "1"},
    ),
    "redshift without WCS": Case(
        r"^option redshift: the image has no celestial coordinates",
        files={"counts.fits": image(COUNTS.astype(np.int32), sky=False)},
        options={"redshift": "0.2"},
    ),
    "factor of no map": Case(
        r"^option map_factor: nothing is free without a background_map$",
        options={"map_factor": "free"},
    ),
    "aperture negative": Case(r"^option aperture: -5 is not positive", options={"aperture": "-5"}),
    "aperture 0": Case(r"^option aperture: 0 is not positive", options={"aperture": "0"}),
    "prior of the other model": Case(
        r"^beta has no prior 'rc2'; there are x0", priors={"rc2": "lognormal(1, 1)"}
    ),
    "prior without use": Case(
        r"^prior shear1 has no use here; the parameters are x0, y0, S0, rc, beta, B",
        priors={"shear1": "normal(0, 1)"},
    ),
    "prior of a background that is not there": Case(
        r"^prior B has no use here", options={"background": "sky"}, priors={"B": "half_normal(1)"}
    ),
    "prior of an unknown family": Case(
        r"^unknown prior 'cauchy'", priors={"rc": "cauchy(0, 1)"}
    ),
    "prior of a family that does not fit": Case(
        r"^prior x0=gamma\(1, 1\): beta takes normal", priors={"x0": "gamma(1, 1)"}
    ),
    "one file": Case(
        r"^expected COUNTS.fits EXPOSURE.fits, got 1 file\(s\)$", inputs=("counts.fits",)
    ),
    "three files": Case(
        r"^expected COUNTS.fits EXPOSURE.fits, got 3 file\(s\)$",
        inputs=("counts.fits", "exposure.fits", "exposure.fits"),
    ),
    "missing file": Case(r"^no.fits: no such file$", inputs=("counts.fits", "no.fits")),
    "swapped": Case(
        r"^exposure.fits: ",
        files={"exposure.fits": image(EXPOSURE * np.linspace(0.7, 1, SIDE) / 3e7, BUNIT="cm2 s")},
        inputs=("exposure.fits", "counts.fits"),
    ),
    "different shapes": Case(
        r"exposure.*: 32 x 31 pixels, but .*counts.fits has 32 x 32 pixels",
        files={"exposure.fits": image(EXPOSURE[1:], BUNIT="cm2 s")},
    ),
    "no counts": Case(
        r"^counts.fits: no counts in the 1024 pixels to fit$",
        files={"counts.fits": image(0 * COUNTS.astype(np.int32))},
    ),
    "all masked": Case(
        r"^counts.fits: no pixels to fit",
        files={"mask": b"16 16 100\n"}, reading={"mask": "mask"},
    ),
    "negative counts": Case(
        r"counts.fits: pixel \(3, 4\) has -1 counts",
        files={"counts.fits": image(changed(COUNTS, -1))},
    ),
    "fractional counts": Case(
        r"counts.fits: pixel \(3, 4\) has 1.5 counts",
        files={"counts.fits": image(changed(COUNTS, 1.5))},
    ),
    "NaN exposure": Case(
        r"exposure.fits: .*pixel \(3, 4\) is nan",
        files={"exposure.fits": image(changed(EXPOSURE, np.nan), BUNIT="cm2 s")},
    ),
    "no exposure time": Case(
        r"^counts.fits: no keyword EXPOSURE",
        files={
            "counts.fits": image(COUNTS.astype(np.int32)),
            "exposure.fits": image(EXPOSURE / 1e5, BUNIT="cm2"),
        },
    ),
    "truncated": Case(
        r"^counts.fits: not a readable FITS image \(the file is cut short\)$",
        files={"counts.fits": GOOD["counts.fits"][:4000]},
    ),
    "gzip damaged": Case(
        r"^exposure.fits: a damaged compressed file \(",
        files={"exposure.fits": gzip.compress(image(EXPOSURE * (1 + X / 100 + Y / 70)))[:-900]},
    ),
    "unknown region format": Case(
        r"^mask: not a mask", files={"mask": b"<regions>none</regions>\n"}, reading={"mask": "mask"}
    ),
    "unknown region shape": Case(
        r"^mask: line 2: unknown shape 'star'",
        files={"mask": b"image\nstar(1,2,3)\n"},
        reading={"mask": "mask"},
    ),
    "sky regions without WCS": Case(
        r"^mask: line 1: sky coordinates, but the image has none",
        files={
            "mask": b"fk5;circle(150,30,3)\n",
            "counts.fits": image(COUNTS.astype(np.int32), sky=False),
            "exposure.fits": image(EXPOSURE, sky=False, BUNIT="cm2 s"),
        },
        reading={"mask": "mask"},
    ),
    "min_exposure of 1": Case(r"^min_exposure is '1.0', expected", reading={"min_exposure": "1"}),
    "min_exposure negative": Case(
        r"^min_exposure is '-0.1', expected", reading={"min_exposure": "-0.1"}
    ),
    "min_exposure in words": Case(
        r"^option min_exposure: 'half' is not a number$", reading={"min_exposure": "half"}
    ),
    "unknown unit": Case(r"^exposure_unit 'furlong' is not", reading={"exposure_unit": "furlong"}),
    "unknown option": Case(r"^beta has no option 'colour'", options={"colour": "1"}),
}  # fmt: skip
INITS: dict[str, tuple[str, str, Mapping[str, Any]]] = {
    "unknown": ("beta", r"^no starting value for 'rc2'; there are x0, y0", {"rc2": 3.0}),
    "centre": ("beta", r"^starting centre: \(-20, .* is outside the image", {"x0": -20.0}),
    "beta": ("beta", r"^starting values: .* beta above 1/6", {"beta": 0.1}),
    "rc": ("beta", r"^starting values: S0, rc, B .* must be positive", {"rc": -1.0}),
    "B": ("beta", r"^starting values: S0, rc, B .* must be positive", {"B": 0.0}),
    "B below zero": ("beta", r"^starting values: S0, rc, B .* must be positive", {"B": -1.0}),
    "order": ("double_beta", r"^starting values: .* rc2 above rc", {"rc": 9.0, "rc2": 3.0}),
    "NaN": ("beta", r"^starting value of rc: nan is not a finite number", {"rc": np.nan}),
    "array": ("beta", r"^starting value of rc: \[.*\] is not a finite", {"rc": [1.0, 2.0]}),
}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a folder for temporary files and a result from before."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    Path("out.nc").write_bytes(b"the result of last week")
    for name, content in GOOD.items():
        Path(name).write_bytes(content)
    return tmp_path


def forbid(*_: Any, **__: Any) -> Any:
    raise AssertionError("Stan ran before the input was checked")


@pytest.fixture(autouse=True)
def no_stan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mistakes are told before the sampling, not after an hour of it."""
    monkeypatch.setattr("pyxstan.engine.sampling.run", forbid)
    monkeypatch.setattr("pyxstan.fitting.build", forbid)


@pytest.mark.parametrize("name", CASES)
def test_bad_fits(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = CASES[name]
    for file, content in case.files.items():
        Path(file).write_bytes(content)
    before = contents(desk)
    words = ["fit", case.model, *case.inputs, "-o", "out.nc", "--quiet"]
    words += [f"--set={key}={value}" for key, value in {**case.reading, **case.options}.items()]
    words += [f"--prior={key}={value}" for key, value in case.priors.items()]

    outcome = run(words, capsys)

    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(case.words, outcome.complaint)
    assert contents(desk) == before

    if len(case.inputs) != 2 or name == "min_exposure in words":
        return
    reading: dict[str, Any] = dict(case.reading)
    if "min_exposure" in reading:
        reading["min_exposure"] = float(reading["min_exposure"])
    with pytest.raises(pyxstan.DataError) as raised:
        pyxstan.fit(
            case.model, ClusterImage.from_fits(*case.inputs, **reading), priors=case.priors,
            progress=False, **case.options,
        )  # fmt: skip
    assert str(raised.value) == outcome.complaint
    assert contents(desk) == before


@pytest.mark.parametrize("name", INITS)
def test_bad_starting_values(name: str) -> None:
    model, words, inits = INITS[name]
    image = ClusterImage.from_arrays(COUNTS, EXPOSURE)
    sampled = (
        {"exact": False} if model == "double_beta" else {}
    )  # else there are no chains to start
    with pytest.raises(pyxstan.DataError, match=words) as raised:
        pyxstan.fit(model, image, inits=inits, progress=False, **sampled)
    assert "\n" not in str(raised.value)


COMMANDS: dict[str, tuple[tuple[str, ...], str]] = {
    "one value twice": (
        ("--set=background=sky", "--set=background=none"),
        r"^option background is given twice$",
    ),
    "one value of reading twice": (
        ("--set=min_exposure=0.1", "--set=min_exposure=0.2"),
        r"^option min_exposure is given twice$",
    ),
    "prior twice": (("--prior=rc=lognormal(1,1)",) * 2, r"^--prior rc is given twice$"),
    "second mask": (
        ("--set=mask=good.txt", "--set=mask=no.txt"),
        r"^no.txt: no such file$",
    ),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_bad_commands(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words, complaint = COMMANDS[name]
    Path("good.txt").write_text("3 3 1.5\n")
    before = contents(desk)
    outcome = run(
        ["fit", "beta", "counts.fits", "exposure.fits", "-o", "out.nc", "--quiet", *words], capsys
    )
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(complaint, outcome.complaint)
    assert contents(desk) == before


SIMULATE: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "small": ("beta", {}, {"size": 15}, r"^option size: 15 is not a whole number of at least 16"),
    "exposure": ("beta", {}, {"peak_exposure": 0}, r"^options peak_exposure and pixel_scale: exp"),
    "scale": ("beta", {}, {"pixel_scale": -1}, r"^options peak_exposure and pixel_scale: expected"),
    "sources": ("beta", {}, {"point_sources": -1}, r"^option point_sources: -1 is negative"),
    "background": ("beta", {}, {"background": "flat"}, r"^option background: 'flat' is not"),
    "unknown": ("beta", {"rc2": 3.0}, {}, r"^simulate: no parameter 'rc2'; there are x0, y0"),
    "beta": ("beta", {"beta": 0.1}, {}, r"^simulate: beta is 0.1, not above 1/6"),
    "rc": ("beta", {"rc": 0.0}, {}, r"^simulate: rc is 0, not positive"),
    "B": ("beta", {"B": -1.0}, {}, r"^simulate: B is -1, negative"),
    "NaN": ("beta", {"rc": np.nan}, {}, r"^simulate: rc is nan, expected a finite number"),
    "order": ("double_beta", {"rc2": 2.0}, {}, r"^simulate: rc2 is 2, not above rc 6.3289"),
}


@pytest.mark.parametrize("name", SIMULATE)
def test_bad_simulations(name: str, desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, truth, options, words = SIMULATE[name]
    with pytest.raises(pyxstan.DataError, match=words):
        pyxstan.simulate(model, truth, seed=1, **options)
    if not options:
        return
    before = contents(desk)
    outcome = run(
        ["simulate", model, "-o", "new", *(f"--set={k}={v}" for k, v in options.items())], capsys
    )
    assert outcome.status == 2
    assert outcome.out == ""
    assert re.search(words, outcome.complaint)
    assert contents(desk) == before


def test_simulate_tells_impossible_priors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulation, "_TRIES", 1000)
    with pytest.raises(pyxstan.DataError, match=r"^simulate: the priors leave nothing"):
        pyxstan.simulate(
            "beta", seed=1, from_prior=True, size=32, priors={"beta": "normal(-50, 0.1)"}
        )


def test_a_good_command_gets_as_far_as_stan(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What the cases change is good before."""
    with pytest.raises(AssertionError, match="Stan ran"):
        run(["fit", "beta", "counts.fits", "exposure.fits", "-o", "out.nc", "--quiet"], capsys)
