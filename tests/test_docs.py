"""What the pages say to type runs as it stands, one after the other, from a checkout."""

from __future__ import annotations

import re
import shlex
import warnings
from pathlib import Path
from typing import Any

import pytest
from invocation import run

from pyxstan import fitting

ROOT = Path(__file__).parents[1]
PAGES = ("README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))))
#: Pages that describe the making of the project, on machines that are prepared for it, or that need
#: files from elsewhere.
OTHERS = (
    "docs/benchmarks.md", "docs/calibration.md", "docs/engine.md", "docs/point_source_year.md",
)  # fmt: skip


def snippets(page: str) -> list[str]:
    """The Python of a page."""
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    """The commands of a page, each in its words."""
    lines = re.findall(r"^    pyxstan (.*)$", (ROOT / page).read_text(), re.MULTILINE)
    return [shlex.split(line) for line in lines]


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, blank_figures: None) -> None:
    """A folder of the test's own with the example data in its place, and short chains."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fitting, "_WARMUP", 200)
    unjudged = fitting.unjudged

    def briefly(*args: Any, draws: int, **options: Any) -> Any:
        return unjudged(*args, draws=min(draws, 100), **options)

    monkeypatch.setattr(fitting, "unjudged", briefly)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in OTHERS and snippets(page)])
def test_python_runs(page: str) -> None:
    names: dict[str, object] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for snippet in snippets(page):
            exec(compile(snippet, page, "exec"), names)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if page not in OTHERS and commands(page)])
def test_commands_run(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in commands(page):
        outcome = run(words, capsys)
        assert outcome.status == 0, outcome.err
