"""The page on defences names every defence, and the example of one's own works."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from plenty import Plenty

from testbed.protocols import Context, StagePlugin
from testbed.registry import installed
from testbed.testing import ToyEnvironment, ToyRanker, check_stage, toy_catalog
from testbed.types import Situation, Target

DOCS = Path(__file__).parents[2] / "docs"


def defences() -> list[str]:
    """Names of the stages that are defences."""
    registry = installed()
    return [
        name
        for name in registry.names("stages")
        if registry.get("stages", name).__module__.startswith("defences.")
    ]


def test_every_defence_has_its_row() -> None:
    page = (DOCS / "defences.md").read_text()
    assert len(defences()) >= 13
    assert [name for name in defences() if f"\n| `{name}` | " not in page] == []


def test_every_option_stands_in_its_row() -> None:
    page = (DOCS / "defences.md").read_text()
    everywhere = {"over", "action", "fpr", "calibration", "own", "fields", "most", "requests"}
    for name in defences():
        (row,) = re.findall(rf"^\| `{name}` \| .*$", page, re.MULTILINE)
        options = set(installed().get("stages", name).model_fields) - everywhere
        assert [option for option in options if f"`{option}`" not in row] == [], name


@pytest.fixture
def example(tmp_path: Path) -> Any:
    """The module that the guide shows."""
    guide = (DOCS / "writing-a-stage.md").read_text().split("## A defence in one short file")[1]
    (code,) = re.findall(r"^```python\n(.*?)^```$", guide, re.MULTILINE | re.DOTALL)
    file = tmp_path / "own_defences.py"
    file.write_text(code)
    spec = importlib.util.spec_from_file_location("own_defences", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_defence_of_ones_own(example: Any, tmp_path: Path) -> None:
    env = ToyEnvironment(cache=tmp_path)
    shouting: StagePlugin = example.Shouting(
        calibration=(Plenty(count=60),), own=False, fpr=0.05, over=ToyRanker()
    )
    calm: StagePlugin = example.Calm(over=ToyRanker())
    for plugin in (shouting, calm):
        check_stage(plugin, env=env, examples=2)
    catalog = toy_catalog()
    attacked = catalog.source(Target("grand", "Description").edit("BUY ME NOW!" * 3))
    context = Context(catalog.request("cheap"), Situation("cheap", 0), "grand", 0)
    assert "grand" not in shouting.build(catalog, env)(context, attacked).ids
    ((_, shown),) = calm.build(catalog, env).change.copies(context, attacked)  # type: ignore[attr-defined]
    assert "BUY ME NOW." in next(one for one in shown if one.item_id == "grand").fields["Description"]
