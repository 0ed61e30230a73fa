"""The plug-ins that the guides show can be installed, pass their own tests and fit their scenarios."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest
from plugin_folders import announce, python

from testbed import protocols
from testbed.environment import Environment
from testbed.protocols import Context
from testbed.testing import check_stage, toy_catalog
from testbed.types import Request, Situation, Target

DOCS = Path(__file__).parents[2] / "docs"
GUIDES = [
    ("writing-an-attack.md", "attacks", "greedy_words"),
    ("writing-a-stage.md", "stages", "first_words"),
]


def files(page: str) -> dict[str, str]:
    """File name → content, for every block that stands under the name of a file."""
    found = re.findall(
        r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL
    )
    return dict(found)


@pytest.fixture(params=GUIDES, ids=[name for *_, name in GUIDES])
def guide(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str, str]:
    """A folder with the files of a guide, the kind of its plug-in and the name."""
    page, kind, name = request.param
    written = files(page)
    assert set(written) == {f"{name}.py", f"test_{name}.py", "pyproject.toml", "scenario.yaml"}
    for file, text in written.items():
        (tmp_path / file).write_text(text)
    announce(tmp_path)
    return tmp_path, kind, name


def test_the_plugin_passes_its_own_test(guide: tuple[Path, str, str]) -> None:
    folder, _, name = guide
    done = python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"test_{name}.py")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_plugin_is_found_and_fits_its_scenario(guide: tuple[Path, str, str]) -> None:
    folder, kind, name = guide
    shown = python(folder, "-m", "testbed.cli", "show", name)
    assert shown.stdout.startswith(f"{kind}/{name}\n"), shown.stderr
    assert "  words (default " in shown.stdout
    checked = python(folder, "-m", "testbed.cli", "check", "scenario.yaml")
    assert checked.returncode == 0, checked.stderr
    counted = python(folder, "-m", "testbed.cli", "run", "scenario.yaml", "--dry-run")
    assert counted.returncode == 0, counted.stderr


def test_the_retriever_ranks_and_writes_its_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (DOCS / "writing-a-stage.md").read_text()
    part = page.split("## A retriever in one short file")[1].split("\n## ")[0]
    (code,) = re.findall(r"^```python\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    (tmp_path / "word_overlap.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("word_overlap")
    catalog = toy_catalog()
    stage = module.WordOverlap(k=3).build(catalog, Environment())
    request = Request("kettle", "A Kettle, please: a GRAND one")
    source = catalog.source(Target("pico", "Description").edit("grand kettle please one"))
    answer = stage(Context(request, Situation(request.id, 0), None, 0), source)
    assert (answer.ids[0], len(answer)) == ("pico", 3)
    scores = [listing.score for listing in answer]
    assert (scores[0] >= 4, scores) == (True, sorted(scores, reverse=True))
    check_stage(module.WordOverlap(), examples=3)


@pytest.mark.slow
def test_the_plugins_are_typed(tmp_path: Path) -> None:
    wanted = []
    for page, _, name in GUIDES:
        (tmp_path / f"{name}.py").write_text(files(page)[f"{name}.py"])
        wanted += ["-p", name]
    config = str(DOCS.parent / "pyproject.toml")
    done = python(tmp_path, "-m", "mypy", "--config-file", config, *wanted)
    assert "Success: no issues found in 2 source files" in done.stdout, done.stdout


@pytest.mark.parametrize(
    "name",
    [
        *("Batched", "Editable", "Priced", "Tokenized"),
        *("Scorable", "Screening", "Proposing", "Seeking", "Differentiable"),
    ],
)
def test_every_ability_is_explained_by_its_method(name: str) -> None:
    methods = [method for method in vars(getattr(protocols, name)) if not method.startswith("_")]
    (row,) = (
        line
        for line in (DOCS / "writing-a-stage.md").read_text().splitlines()
        if line.startswith(f"| `{name}` |")
    )
    assert all(f"`{method}(" in row for method in methods)


def test_every_call_of_a_victim_is_explained() -> None:
    text = (DOCS / "writing-an-attack.md").read_text()
    calls = [name for name in vars(protocols.Victim) if not name.startswith("_")]
    assert len(calls) > 5
    missing = [name for name in calls if f"`{name}`" not in text and f"`{name}(" not in text]
    assert missing == []
