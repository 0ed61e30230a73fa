"""The page on attacks names every search and objective, and its figures and its example are right."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest
import torch

from attacks.beam_search import BeamSearch
from attacks.gcg import GCG
from attacks.hill_climb import HillClimb
from attacks.hotflip import HotFlip
from attacks.injection import Injection
from attacks.joint import Joint
from attacks.ngram_stuffing import NgramStuffing
from attacks.profile_pollution import ProfilePollution
from attacks.random_search import RandomSearch
from attacks.rejection import Rejection
from attacks.rewrite import Rewrite
from attacks.tree_search import TreeSearch
from testbed.protocols import Access, AttackPlugin, Scores
from testbed.registry import installed

PAGE = (Path(__file__).parents[2] / "docs" / "attacks.md").read_text()


@pytest.mark.parametrize("kind", ["attacks", "objectives"])
def test_every_plugin_is_in_a_table(kind: str) -> None:
    names = [name for name in installed().names(kind) if _own(kind, name)]
    assert len(names) >= 4
    assert [name for name in names if f"\n| `{name}` | " not in PAGE] == []


def _own(kind: str, name: str) -> bool:
    return installed().get(kind, name).__module__.startswith("attacks.")


@pytest.mark.parametrize(
    ("name", "plugin"),
    [
        ("random_search", RandomSearch()),
        ("hill_climb", HillClimb()),
        ("beam_search", BeamSearch()),
        ("gcg", GCG()),
        ("ngram_stuffing", NgramStuffing()),
        ("profile_pollution", ProfilePollution()),
        ("rewrite", Rewrite()),
        ("injection", Injection()),
        ("rejection", Rejection()),
        ("tree_search", TreeSearch()),
        ("hotflip", HotFlip()),
        ("joint", Joint()),
    ],
)
def test_queries_a_step(name: str, plugin: AttackPlugin) -> None:
    table = PAGE.partition("## What a step costs")[2]
    (said,) = re.findall(rf"^\| `{name}` \| .*\[(\d+)\]", table, re.MULTILINE)
    assert int(said) == plugin.queries_per_step(4)
    (access,) = re.findall(rf"^\| `{name}` \| `(\w+)`", PAGE.partition("## What a step")[0], re.MULTILINE)
    assert Access[access] == plugin.access


def test_the_objective_shown_works(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "shown.py").write_text(code)
    spec = importlib.util.spec_from_file_location("shown", tmp_path / "shown.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    scores = Scores(torch.tensor([[-4.0, -2.0]]), torch.ones(2), 0, fluency=torch.tensor([3.0]))
    assert module.Behind(fluency=0.5)(scores).tolist() == [2.5]
