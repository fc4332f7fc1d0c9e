"""Interrupts, dying chains and full disks: no orphan, no leftover, nothing lost."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from invocation import contents, run

import pyxstan
from pyxstan.engine.build import build
from pyxstan.registry import get

EARLIER = b"the result of last week"
#: Longer than any test waits.
ENDLESS = ["--draws=100000000", "--warmup=1000", "--chains=4", "--seed=1"]
PATIENCE = 120.0


@pytest.fixture(scope="module", autouse=True)
def compiled(cache: Path) -> None:
    import cmdstanpy  # noqa: F401 (it makes a temporary folder for as long as the process lives)

    build(get("concordance").program)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with data, a result from before, and a folder for temporary files."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr(tempfile, "tempdir", None)
    data, _ = pyxstan.simulate("concordance", seed=1, variances="unknown", instruments=3, sources=5)
    data.to_frame().to_csv("table.csv", index=False)
    (tmp_path / "out.nc").write_bytes(EARLIER)
    return tmp_path


@pytest.fixture
def environment(desk: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """For fits that never get to where they would use ArviZ, which takes long to import."""
    instead = tmp_path_factory.mktemp("instead")
    (instead / "arviz.py").touch()
    path = os.pathsep.join([str(instead), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**os.environ, "PYTHONPATH": path}


@pytest.fixture
def long_fit(desk: Path, environment: dict[str, str]) -> Iterator[psutil.Popen]:
    """A fit in a process (and process group) of its own, its first chains sampling."""
    words = ["fit", "concordance", "table.csv", "-o", "out.nc", "--set=tau=0.05", *ENDLESS]
    process = psutil.Popen(
        [sys.executable, "-m", "pyxstan", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment,
    )
    wait_until(lambda: bool(chains(desk)) and bool(sampling(desk)), process)
    yield process
    for left in [process, *chains(desk)]:
        try:
            left.kill()
        except psutil.NoSuchProcess:
            continue
    process.wait()
    process.stdout.close()
    process.stderr.close()


def chains(desk: Path) -> list[psutil.Process]:
    """Executables that write to the desk's folder for temporary files."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        words = process.info["cmdline"] or []
        if any(str(desk / "temporary") in word for word in words):
            found.append(process)
    return found


def sampling(desk: Path) -> list[Path]:
    """CSV files of chains that have started to write."""
    return [p for p in (desk / "temporary").rglob("*.csv") if p.stat().st_size > 0]


def wait_until(condition: object, process: psutil.Popen | None = None) -> None:
    assert callable(condition)
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert process is None or process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


def nothing_but_what_was(desk: Path) -> None:
    assert chains(desk) == []
    assert contents(desk).keys() - {"small disk"} == {"out.nc", "table.csv", "temporary"}
    assert (desk / "out.nc").read_bytes() == EARLIER


@pytest.mark.parametrize("how", ["SIGTERM", "SIGHUP", "Ctrl-C", "impatient Ctrl-C"])
def test_interrupt_leaves_nothing_behind(how: str, desk: Path, long_fit: psutil.Popen) -> None:
    if "Ctrl-C" in how:  # the terminal sends it to everyone in the group
        os.killpg(long_fit.pid, signal.SIGINT)
    else:
        long_fit.send_signal(signal.Signals[how])
    if how == "impatient Ctrl-C":
        time.sleep(0.02)
        os.killpg(long_fit.pid, signal.SIGINT)
    out, err = long_fit.communicate(timeout=PATIENCE)
    assert long_fit.returncode == 130
    assert out == ""
    assert err.splitlines()[-1] == "pyxstan: interrupted"
    assert "Traceback" not in err
    nothing_but_what_was(desk)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's end")
def test_killed_parent_takes_its_chains_along(desk: Path, long_fit: psutil.Popen) -> None:
    long_fit.kill()
    long_fit.communicate(timeout=PATIENCE)
    wait_until(lambda: not chains(desk))
    assert (desk / "out.nc").read_bytes() == EARLIER


def test_killed_chain_is_an_error_that_says_so(desk: Path, long_fit: psutil.Popen) -> None:
    for chain in chains(desk):
        chain.kill()
    # those that wait for a processor start now, and are killed as well
    while long_fit.poll() is None:
        for chain in chains(desk):
            try:
                chain.kill()
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    out, err = long_fit.communicate(timeout=PATIENCE)
    assert long_fit.returncode == 3
    assert out == ""
    last = err.splitlines()[-1]
    assert re.match(r"pyxstan: concordance: Stan stopped: its process was killed \(Killed", last)
    assert "Traceback" not in err
    nothing_but_what_was(desk)


def test_interrupt_from_python(desk: Path, environment: dict[str, str]) -> None:
    """The exception arrives when chains and temporary files are gone already."""
    program = f"""
import json, os, signal, threading, time
from pathlib import Path
import psutil
import pyxstan

def interrupt():
    while not any(p.stat().st_size for p in Path("temporary").rglob("*.csv")):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=interrupt, daemon=True).start()
try:
    pyxstan.fit("concordance", "table.csv", tau=0.05, draws={10**8}, progress=False)
except KeyboardInterrupt:
    left = [str(p) for p in Path("temporary").glob("pyxstan*")]
    print(json.dumps([len(psutil.Process().children()), left, sorted(os.environ)]))
"""
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=environment,
    )
    assert process.returncode == 0, process.stderr
    children, left, variables = json.loads(process.stdout)
    assert children == 0
    assert left == []
    assert "PYXSTAN_DIE_WITH_PARENT" not in variables
    nothing_but_what_was(desk)


def test_dead_chain_from_python(desk: Path) -> None:
    """Chains that can't start, as the density is not finite there."""
    data = pyxstan.concordance.ConcordanceData.from_table("table.csv", tau=0.05)
    with pytest.raises(pyxstan.SamplingError, match=r"^concordance: Stan stopped: ") as raised:
        pyxstan.fit("concordance", data, inits={"sigma": 1e-170}, progress=False, seed=1)
    assert "\n" not in str(raised.value)
    assert re.search(r"its files are in .*failed", str(raised.value))
    nothing_but_what_was(desk)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of a few hundred kilobytes."""
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("mounting a small file system takes root on Linux")
    folder = tmp_path / "small disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


FIT = ["fit", "concordance", "table.csv", "--set=tau=0.05", "--quiet", "--seed=1"]


def test_disk_full_of_the_result(desk: Path, small_disk: Path) -> None:
    old = small_disk / "out.nc"
    old.write_bytes(EARLIER)
    command = [sys.executable, "-m", "pyxstan", *FIT, "--draws=2000", "-o", str(old)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 3
    assert process.stdout == ""
    said = f"pyxstan: {old}: not written (No space left on device); the result is kept in "
    assert process.stderr.startswith(said)
    assert old.read_bytes() == EARLIER
    assert [path.name for path in small_disk.iterdir()] == ["out.nc"]
    kept = Path(process.stderr.removeprefix(said).strip())
    assert kept.is_relative_to(desk)
    assert pyxstan.load(kept).attrs["model"] == "concordance"


def test_disk_full_of_the_draws(
    desk: Path,
    small_disk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TMPDIR", str(small_disk))
    monkeypatch.setattr(tempfile, "tempdir", None)
    outcome = run([*FIT, "--draws=20000", "--set=variances=unknown", "-o", "out.nc"], capsys)
    assert outcome.status == 3
    assert outcome.out == ""
    assert outcome.complaint.startswith("concordance: Stan stopped: ")
    assert list(small_disk.iterdir()) == []
    nothing_but_what_was(desk)


def test_disk_full_of_simulated_data(small_disk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (small_disk / "measurements.csv").write_bytes(EARLIER)
    outcome = run(["simulate", "concordance", "--set=sources=2000", "-o", small_disk], capsys)
    assert outcome.status == 2
    assert "No space left on device" in outcome.complaint
    assert contents(small_disk).keys() == {"measurements.csv"}
    assert (small_disk / "measurements.csv").read_bytes() == EARLIER


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_nowhere_to_print() -> None:
    with Path("/dev/full").open("w") as full:
        process = subprocess.run(
            [sys.executable, "-m", "pyxstan", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.returncode == 2
    assert process.stderr == "pyxstan: output: No space left on device\n"


def test_many_fits_leave_no_temporary_file(desk: Path, cache: Path) -> None:
    before = contents(desk)
    staged = set((cache / "staging").iterdir())
    for seed in range(10):
        for exact in (True, False):
            idata = pyxstan.fit(
                "concordance", "table.csv", tau=0.05, seed=seed, chains=1, warmup=20, draws=10,
                progress=False, variances="unknown" if not exact else None,
            )  # fmt: skip
            assert idata["posterior"].sizes["draw"] == 10
    assert contents(desk) == before
    assert set((cache / "staging").iterdir()) <= staged


def test_failed_fits_leave_no_temporary_file(desk: Path) -> None:
    before = contents(desk)
    for options in ({"tau": -1.0}, {"nu": 3}, {"variances": "known"}):
        with pytest.raises(pyxstan.DataError):
            pyxstan.fit("concordance", "table.csv", progress=False, **{"tau": 0.05, **options})
    assert contents(desk) == before


HEAVY = {
    "arviz", "astropy", "cmdstanpy", "h5netcdf", "matplotlib", "numpy", "pandas", "scipy", "xarray"
}  # fmt: skip


@pytest.mark.parametrize(
    "program",
    [
        "import pyxstan",
        "import pyxstan; dir(pyxstan); pyxstan.DataError",
        "from pyxstan.command_line import main; main(['--help'])",
        "from pyxstan.command_line import main; main(['fit', '--help'])",
    ],
)
def test_nothing_heavy_is_imported_early(program: str) -> None:
    tell = "import sys; print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    process = subprocess.run(
        [sys.executable, "-c", f"{program}\n{tell}"], capture_output=True, text=True, check=True
    )
    imported = set(process.stdout.splitlines()[-1].split())
    assert "pyxstan" in imported
    assert not imported & HEAVY
