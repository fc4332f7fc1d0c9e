"""What the doctor finds, on a healthy machine and on broken ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pyxstan.engine.build import StanProgram
from pyxstan.engine.doctor import COIN, Check, diagnose, exit_status, render


def by_name(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def test_healthy_machine(coin: Path, tmp_path: Path) -> None:
    (tmp_path / "other.stan").write_text("parameters { real other; }")
    models = [("coin", COIN), ("other", StanProgram(tmp_path / "other.stan"))]
    checks = diagnose(models)
    assert {check.name: check.state for check in checks} == dict.fromkeys(
        ["C++ compiler", "Stan", "stanc", "cmdstanpy", "cache", "models", "test fit"], "ok"
    )
    details = by_name(checks)
    assert details["models"].detail == "compiled: coin; compiled when first used: other"
    assert "posterior mean 0.6" in details["test fit"].detail
    assert exit_status(checks) == 0


def test_text_has_a_line_a_check(coin: Path) -> None:
    checks = diagnose()
    lines = render(checks).splitlines()
    assert len(lines) == len(checks)
    assert all(check.detail in line for check, line in zip(checks, lines, strict=True))


def test_fit_is_left_out_where_it_would_compile(fresh_cache: Path) -> None:
    checks = diagnose()
    assert by_name(checks)["test fit"].state == "warn"
    assert exit_status(checks) == 0


def test_fit_compiles_when_asked(seeded_cache: Path) -> None:
    assert by_name(diagnose(compile_test=True))["test fit"].state == "ok"


def test_no_compiler(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    checks = diagnose(compile_test=True)
    assert by_name(checks)["C++ compiler"].state == "fail"
    assert "apt install g++" in by_name(checks)["C++ compiler"].detail
    assert by_name(checks)["test fit"].state == "fail"
    assert exit_status(checks) == 2


def test_compiler_without_headers(
    fresh_cache: Path, compiler_script: Callable[[str], Path]
) -> None:
    compiler_script("echo 'fatal error: vector: No such file or directory' >&2; exit 1")
    check = by_name(diagnose())["C++ compiler"]
    assert check.state == "fail"
    assert "fatal error: vector" in check.detail


def test_no_stan(fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PYXSTAN_HTTPSTAN", str(tmp_path))
    checks = by_name(diagnose([("coin", COIN)], compile_test=True))
    assert {checks[name].state for name in ("Stan", "stanc", "models", "test fit")} == {"fail"}


def test_cache_cannot_be_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PYXSTAN_CACHE", str(tmp_path / "file" / "cache"))
    assert by_name(diagnose())["cache"].state == "fail"


def test_official_cmdstan_is_missing(
    fresh_cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CMDSTAN", str(tmp_path / "nowhere"))
    checks = by_name(diagnose(stan="cmdstan"))
    assert checks["CmdStan"].state == "fail"
    assert "install_cmdstan" in checks["CmdStan"].detail
    assert checks["test fit"].state == "fail"
    assert [check.name for check in diagnose(stan="rstan")] == ["Stan"]
