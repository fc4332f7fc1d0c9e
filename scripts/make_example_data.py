"""Make the example data: a campaign, a cluster image, a population, two spectra, a point source.

`data/e0102_simulated` is about four lines of a supernova remnant; its layout is that of the
campaigns on 1E 0102.2-7219 (Plucinski et al. 2017): 13 instruments, two oxygen and two neon lines.
`data/cluster_simulated` is a double beta model, `data/stack_simulated` a Gaussian population of
photon indices behind posterior samples of 30 objects, `data/spectra_simulated` two bursts of one
temperature, `data/point_source_simulated` a sky of events with a source. All numbers are simulated
here.

    python scripts/make_example_data.py
"""

import gzip
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

import pyxstan
from pyxstan.cluster.workflow import write
from pyxstan.point_source.workflow import write as write_events
from pyxstan.spectra.workflow import write as write_spectra
from pyxstan.stacking.workflow import write as write_samples

DATA = Path(__file__).parents[1] / "data"
FOLDER = DATA / "e0102_simulated"
CLUSTER = DATA / "cluster_simulated"
STACK = DATA / "stack_simulated"
SPECTRA = DATA / "spectra_simulated"
POINT_SOURCE = DATA / "point_source_simulated"
#: Instrument -> (stated prior sd of its log effective area, how far it truly is off, scatter).
INSTRUMENTS = {
    "RGS1": (0.04, -0.021, 0.020),
    "MOS1": (0.05, 0.032, 0.012),
    "MOS2": (0.05, 0.017, 0.014),
    "pn": (0.03, -0.038, 0.010),
    "ACIS-S3": (0.03, 0.006, 0.012),
    "ACIS-I3": (0.06, 0.071, 0.030),
    "HETG": (0.05, -0.009, 0.025),
    "XIS0": (0.06, 0.048, 0.012),
    "XIS1": (0.06, -0.026, 0.015),
    "XIS2": (0.06, 0.015, 0.018),
    "XIS3": (0.06, -0.081, 0.025),
    "XRT-WT": (0.05, 0.023, 0.022),
    "XRT-PC": (0.05, -0.044, 0.028),
}
#: Line -> (band, photon flux in photons/s/cm^2).
LINES = {
    "O VII r": ("O", 1.32e-3),
    "O VIII Ly-a": ("O", 4.39e-3),
    "Ne IX r": ("Ne", 1.38e-3),
    "Ne X Ly-a": ("Ne", 1.38e-3),
}
SEED = 102


def campaign() -> None:
    """Write measurements.csv, instruments.csv, truth.json and SHA256SUMS."""
    rng = np.random.default_rng(SEED)
    FOLDER.mkdir(parents=True, exist_ok=True)
    rows = []
    for name, (_, B, sigma) in INSTRUMENTS.items():
        for line, (_, flux) in LINES.items():
            y = B + np.log(flux) - sigma**2 / 2 + sigma * rng.standard_normal()
            rows.append({"instrument": name, "source": line, "flux": np.exp(y)})
    pd.DataFrame(rows).to_csv(FOLDER / "measurements.csv", index=False, float_format="%.5e")
    priors = [{"instrument": n, "b": 0.0, "tau": tau} for n, (tau, _, _) in INSTRUMENTS.items()]
    pd.DataFrame(priors).to_csv(FOLDER / "instruments.csv", index=False)
    truth = {
        "B": {name: B for name, (_, B, _) in INSTRUMENTS.items()},
        "sigma": {name: sigma for name, (_, _, sigma) in INSTRUMENTS.items()},
        "flux": {line: flux for line, (_, flux) in LINES.items()},
    }
    (FOLDER / "truth.json").write_text(json.dumps(truth, indent=1) + "\n")
    checksums(FOLDER, "measurements.csv", "instruments.csv", "truth.json")


def cluster() -> None:
    """Write the counts, the exposure, the mask (all gzipped), truth.json and SHA256SUMS."""
    image, truth = pyxstan.simulate(
        "double_beta", seed=SEED, size=200, peak_exposure=4e7, point_sources=8
    )
    CLUSTER.mkdir(parents=True, exist_ok=True)
    names = []
    for path in write(image, truth, CLUSTER):
        names.append(path.name)
        if path.suffix == ".fits":
            packed = gzip.compress(path.read_bytes(), mtime=0)
            path.unlink()
            names[-1] += ".gz"
            (CLUSTER / names[-1]).write_bytes(packed)
    checksums(CLUSTER, *names)


def stack() -> None:
    """Write samples.txt, truth.json and SHA256SUMS."""
    data, truth = pyxstan.simulate("stack_gaussian", seed=SEED, objects=30, samples=200)
    STACK.mkdir(parents=True, exist_ok=True)
    checksums(STACK, *(path.name for path in write_samples(data, truth, STACK)))


def spectra() -> None:
    """Write OGIP files, model.yaml, truth.json and SHA256SUMS."""
    data, truth = pyxstan.simulate("linked_spectra", seed=SEED, case="linked")
    SPECTRA.mkdir(parents=True, exist_ok=True)
    checksums(SPECTRA, *(path.name for path in write_spectra(data, truth, SPECTRA)))


def point_source() -> None:
    """Write events and effective area (gzipped), a prior map, samples.yaml and truth.json."""
    data, truth = pyxstan.simulate("point_source", seed=SEED, events=5000, prior_radius=5.0)
    POINT_SOURCE.mkdir(parents=True, exist_ok=True)
    names = []
    for path in write_events(data, truth, POINT_SOURCE):
        names.append(path.name)
        if path.suffix in (".csv", ".fits"):
            packed = gzip.compress(path.read_bytes(), mtime=0)
            path.unlink()
            names[-1] += ".gz"
            (POINT_SOURCE / names[-1]).write_bytes(packed)
    samples = POINT_SOURCE / "samples.yaml"
    samples.write_text(samples.read_text().replace(".csv", ".csv.gz").replace(".fits", ".fits.gz"))
    checksums(POINT_SOURCE, *names)


def checksums(folder: Path, *names: str) -> None:
    """Write SHA256SUMS of files."""
    sums = [f"{hashlib.sha256((folder / n).read_bytes()).hexdigest()}  {n}\n" for n in names]
    (folder / "SHA256SUMS").write_text("".join(sums))


def main() -> None:
    """Make all of them."""
    campaign()
    cluster()
    stack()
    spectra()
    point_source()


if __name__ == "__main__":
    main()
