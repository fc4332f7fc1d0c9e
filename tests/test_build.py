"""Stan programs into executables: what is built, when, and what is said when it fails."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from driver_runs import NO_PARAMETERS

from pyxstan.engine.build import ALL_UNITS, DRIVER, StanProgram, build, find
from pyxstan.engine.doctor import COIN, COIN_DATA
from pyxstan.engine.executable import read_record
from pyxstan.engine.lean_headers import write_lean_headers
from pyxstan.engine.program import with_included
from pyxstan.engine.toolchain import find_compiler, find_stan
from pyxstan.errors import BuildError


def refused(program: StanProgram, **options: object) -> BuildError:
    """The error of a build, which must be one line."""
    with pytest.raises(BuildError) as caught:
        build(program, **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return caught.value


def nothing_left(cache: Path) -> bool:
    """Whether a failed build left nothing but empty folders and locks."""
    files = [file for file in cache.rglob("*") if file.is_file()]
    return all(file.suffix == ".lock" or file.parts[-3] == "lib" for file in files)


def sample(executable: Path, data: str, folder: Path) -> list[dict[str, str]]:
    """Draws of a short run, a dict by column each."""
    (folder / "data.json").write_text(data)
    command = [executable, "method=sample", "num_samples=100", "num_warmup=200", "random", "seed=1"]
    command += ["data", f"file={folder / 'data.json'}", "output", f"file={folder / 'out.csv'}"]
    subprocess.run(command, check=True, capture_output=True)
    with (folder / "out.csv").open() as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


# What is built


def test_executable_samples(coin: Path, tmp_path: Path) -> None:
    draws = sample(coin, str(COIN_DATA).replace("'", '"'), tmp_path)
    assert len(draws) == 100
    assert all(0 < float(draw["chance"]) < 1 for draw in draws)


def test_cached_executable_needs_no_compiler_run(
    coin: Path, compiler_script: Callable[[str], Path]
) -> None:
    compiler_script("exit 1")
    assert build(COIN) == coin
    assert find(COIN) == coin


def test_machine_without_compiler_runs_what_is_cached(
    coin: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build(COIN) == coin
    assert find(COIN) == coin
    monkeypatch.setenv("PYXSTAN_CACHE", str(tmp_path / "empty"))
    assert find(COIN) is None
    assert "no C++ compiler found" in str(refused(COIN))


def test_missing_unit_is_added_and_the_others_stay(seeded_cache: Path, cache: Path) -> None:
    first = build(COIN)
    record = read_record(first)
    assert record is not None
    assert record.units == ("sample_diag_e",)
    assert find(COIN, ("log_prob",)) is None
    assert build(COIN, ("log_prob",)) == first
    record = read_record(first)
    assert record is not None
    assert record.units == ("log_prob", "sample_diag_e")
    assert find(COIN, ("log_prob",)) == find(COIN, ("sample_diag_e",)) == first
    # The next session finds the unit in the shared cache.
    for file in (seeded_cache / "objects").glob("log_prob-*"):
        if not (cache / "objects" / file.name).exists():
            shutil.copy(file, cache / "staging" / file.name)
            (cache / "staging" / file.name).replace(cache / "objects" / file.name)


def test_unknown_unit() -> None:
    assert "sample_diag_e" in ALL_UNITS
    with pytest.raises(ValueError, match="no such driver unit: gibbs"):
        build(COIN, ("gibbs",))


def test_includes_and_external_cpp(cache: Path, tmp_path: Path) -> None:
    draws = sample(build(NO_PARAMETERS, ALL_UNITS), '{"mu": 5}', tmp_path)
    assert all(float(d["y"]) == pytest.approx(4 * float(d["x"]), rel=1e-4) for d in draws)


# What identifies a program


def test_sha256_covers_every_source_and_no_path(tmp_path: Path) -> None:
    def write(folder: Path) -> StanProgram:
        (folder / "more").mkdir(parents=True)
        (folder / "p.stan").write_text("functions {\n#include a.stan\n}\n// #include none.stan\n")
        (folder / "more" / "a.stan").write_text("#include <b.stan>\n")
        (folder / "more" / "b.stan").write_text("real f(real x);\n")
        (folder / "p.hpp").write_text('#include "q.hpp"\n#include "stan/math.hpp"\n')
        (folder / "q.hpp").write_text("int q;\n")
        return StanProgram(folder / "p.stan", (folder / "more",), folder / "p.hpp")

    program, moved = write(tmp_path / "here"), write(tmp_path / "there")
    original = program.sha256()
    assert moved.sha256() == original
    digests = {original}
    for name in ("p.stan", "more/a.stan", "more/b.stan", "p.hpp", "q.hpp"):
        file = tmp_path / "here" / name
        text = file.read_text()
        file.write_text(f"{text}\n")
        digests.add(program.sha256())
        file.write_text(text)
    assert len(digests) == 6
    assert program.sha256() == original


@pytest.mark.parametrize("more", ["-march=native", "-mavx", "-DNDEBUG", "-O1", "-ffast-math"])
def test_every_word_of_the_compilers_command_counts(
    more: str, coin: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = find_compiler()
    monkeypatch.setenv("CXX", f"{plain.command[0]} {more}")
    assert find(COIN) is None
    other = find_compiler()
    assert other.identity == plain.identity
    if more.startswith("-mavx"):
        assert "__AVX__" in other.macros
    if more == "-march=native" and "avx" in Path("/proc/cpuinfo").read_text():
        assert "__AVX__" in other.macros  # as this machine has it, whatever the next one has


def test_a_unit_is_compiled_anew_for_what_it_includes_alone() -> None:
    files = {file.name for file in with_included(DRIVER / "laplace.cpp", "driver unit")}
    assert {"laplace.cpp", "run.hpp", "fitted.hpp", "grammar.hpp"} <= files
    assert "config.hpp" not in files


# Which of Stan's headers are read


def test_lean_headers_leave_out_what_the_source_does_not_name(tmp_path: Path) -> None:
    include = find_stan().include

    def names(header: str, *sources: bytes) -> set[str]:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        write_lean_headers(include, sources, folder)
        written = folder / "stan" / "math" / header
        text = (written if written.exists() else include / "stan" / "math" / header).read_text()
        return set(re.findall(r"(\w+)\.hpp", text))

    plain, solving = b"normal_lpdf<propto__>(y, 0, 1)", b"ode_bdf(f)"
    assert {"normal_lpdf", "std_normal_rng"} <= names("prim/prob.hpp", plain)
    assert "weibull_lpdf" not in names("prim/prob.hpp", plain)
    assert {"normal_lpdf", "weibull_lpdf"} <= names("prim/prob.hpp", plain, b"weibull_lpdf")
    assert "reduce_sum" in names("rev/functor.hpp", plain)
    assert not {"ode_bdf", "solve_newton", "dae"} & names("rev/functor.hpp", plain)
    assert {"ode_bdf", "solve_newton", "dae"} <= names("rev/functor.hpp", plain, solving)
    assert "ode_rk45" in names("prim/functor.hpp", solving)


# An executable of the user's own


def test_output_is_an_executable_of_its_own(coin: Path, tmp_path: Path) -> None:
    output = tmp_path / "my coin"
    output.write_text("an older file")
    assert build(COIN, output=output) == output
    answer = subprocess.run([output, "info"], capture_output=True, text=True, check=True)
    assert "stan_version_major" in answer.stdout
    assert list(tmp_path.iterdir()) == [output]


def test_output_survives_a_failed_build(coin: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.stan"
    broken.write_text("parameters { real x }")
    output = tmp_path / "mine"
    output.write_text("precious")
    refused(StanProgram(broken), output=output)
    assert output.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == [broken, output]


def test_output_that_cannot_be_written(tmp_path: Path) -> None:
    program = StanProgram(tmp_path / "p.stan")
    program.stan_file.write_text("")
    assert "is a folder" in str(refused(program, output=tmp_path))
    assert "folder does not exist" in str(refused(program, output=tmp_path / "none" / "exe"))
    assert "overwrite the program" in str(refused(program, output=tmp_path / "p.stan"))


# Programs that are not valid


def test_stanc_error_names_the_line(fresh_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "wrong.stan"
    file.write_text("parameters { real x; }\nmodel {\n  y ~ normal(0, 1);\n}\n")
    error = refused(StanProgram(file))
    assert str(error).startswith(f"{file}: Semantic error in 'wrong.stan', line 3, column 2")
    assert "Identifier 'y' not in scope" in str(error).replace('"', "'")
    assert "3:    y ~ normal(0, 1);" in "".join(error.__notes__)
    assert nothing_left(fresh_cache)


def test_missing_include_is_named(fresh_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "p.stan"
    file.write_text("functions {\n#include nowhere.stan\n}\n")
    assert "line 2" in str(error := refused(StanProgram(file)))
    assert "Could not find include file 'nowhere.stan'" in str(error)


def test_files_that_are_no_stan_program(fresh_cache: Path, tmp_path: Path) -> None:
    assert "cannot read" in str(refused(StanProgram(tmp_path / "none.stan")))
    assert "named *.stan" in str(refused(StanProgram(tmp_path / "p.txt")))
    folder = tmp_path / "folder.stan"
    folder.mkdir()
    assert "cannot read" in str(refused(StanProgram(folder)))
    binary = tmp_path / "binary.stan"
    binary.write_bytes(bytes(range(256)))
    assert "error" in str(refused(StanProgram(binary)))
    (tmp_path / "p.stan").write_text("")
    header = StanProgram(tmp_path / "p.stan", external_cpp=tmp_path / "none.hpp")
    assert "cannot read this external C++" in str(refused(header))
    source = StanProgram(tmp_path / "p.stan", external_cpp=tmp_path / "none.cpp")
    assert "named *.hpp" in str(refused(source))


# Compilers that are missing or fail


@pytest.mark.parametrize(
    ("cxx", "says"),
    [
        ("/nowhere/g++", "does not exist"),
        ("'unbalanced", "is not a command"),
        ("false", "does not run"),
        ("true", "is not a C++ compiler"),
    ],
)
def test_cxx_is_no_compiler(
    cxx: str, says: str, fresh_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", cxx)
    error = str(refused(COIN))
    assert says in error
    assert "CXX" in error
    assert not fresh_cache.exists()


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("echo 'x.hpp:7:3: error: no such thing' >&2; exit 1", "x.hpp:7:3: error: no such thing"),
        ("echo 'as: x.o: No space left on device' >&2; exit 1", "no space left on the disk"),
        ("kill -KILL $$", "killed, most likely for want of memory"),
        ("exit 7", "exit status 7, nothing printed"),
    ],
)
def test_compiler_fails(
    lines: str, says: str, fresh_cache: Path, compiler_script: Callable[[str], Path]
) -> None:
    compiler_script(lines)
    assert says in str(refused(COIN))
    assert nothing_left(fresh_cache)


def test_declared_function_without_external_cpp(fresh_cache: Path, tmp_path: Path) -> None:
    file = tmp_path / "undefined.stan"
    file.write_text("functions { real f(real x); }\nmodel { target += f(1); }\n")
    error = str(refused(StanProgram(file)))
    assert "line 1" in error
    assert "declared without specifying a definition" in error


# Stan that is missing or incomplete


def test_stan_is_not_there(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PYXSTAN_HTTPSTAN", str(tmp_path))
    assert "no Stan headers" in str(refused(COIN))
    header = tmp_path / "include" / "stan" / "version.hpp"
    header.parent.mkdir(parents=True)
    shutil.copy(find_stan_of_the_wheel(monkeypatch) / "include" / "stan" / "version.hpp", header)
    monkeypatch.setenv("PYXSTAN_HTTPSTAN", str(tmp_path))
    error = str(refused(COIN))
    assert "Stan is incomplete" in error
    assert "stanc is missing" in error


def find_stan_of_the_wheel(monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("PYXSTAN_HTTPSTAN")
    return find_stan().home


def test_compiler_identity_has_version_and_target() -> None:
    identity = find_compiler().identity
    assert "Target:" in identity
    assert "version" in identity


# Official CmdStan


def test_unknown_stan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYXSTAN_STAN", "rstan")
    assert "must be httpstan or cmdstan" in str(refused(COIN))


def test_no_official_cmdstan(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CMDSTAN", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    error = str(refused(COIN, stan="cmdstan"))
    assert "install_cmdstan" in error
    assert "CMDSTAN" not in os.environ
    monkeypatch.setenv("CMDSTAN", str(tmp_path / "nowhere"))
    assert "install_cmdstan" in str(refused(COIN, stan="cmdstan"))


@pytest.fixture
def cmdstan_folder(coin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder laid out like CmdStan's, whose makefile hands out the coin's real executable."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    home = tmp_path / "cmdstan-2.35.0"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "stanc").symlink_to(find_stan().stanc)
    (home / "makefile").write_text(
        "CMDSTAN_VERSION := 2.35.0\n"
        "%: %.stan\n"
        "\tbin/stanc $(STANCFLAGS) --o=/dev/null $<\n"
        f"\tcp '{coin}' $@\n"
        "\techo made >> made\n"
    )
    monkeypatch.setenv("CMDSTAN", str(home))
    monkeypatch.setenv("PYXSTAN_STAN", "cmdstan")
    return home


def test_official_cmdstan_compiles_in_the_cache(
    cmdstan_folder: Path, fresh_cache: Path, tmp_path: Path, coin: Path
) -> None:
    # The copied executable finds TBB where the cache keeps it.
    shutil.copytree(coin.parent.parent.parent / "lib", fresh_cache / "lib")
    mine = tmp_path / "mine"
    mine.mkdir()
    file = Path(shutil.copy(COIN.stan_file, mine))
    before = dict(os.environ)
    executable = build(StanProgram(file))
    assert executable.is_relative_to(fresh_cache)
    assert build(StanProgram(file)) == find(StanProgram(file)) == executable
    assert (cmdstan_folder / "made").read_text() == "made\n"
    assert list(mine.iterdir()) == [file]
    assert dict(os.environ) == before
    assert build(StanProgram(file), output=mine / "exe") == mine / "exe"


def test_official_cmdstan_refuses_a_program(
    cmdstan_folder: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    file = tmp_path / "wrong.stan"
    file.write_text("parameters { real x }")
    error = str(refused(StanProgram(file)))
    assert "Syntax error in 'wrong.stan', line 1" in error
    assert nothing_left(fresh_cache)
