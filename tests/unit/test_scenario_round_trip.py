from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scenario_plugins import Lines, registry
from test_scenario import GOOD, good

from testbed.errors import ScenarioError
from testbed.scenario import Scenario, from_mapping, load, loads
from testbed.scenario.yaml_source import read
from testbed.scenario.yaml_text import dump

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    [
        "no",
        "1e5",
        "012",
        "1:30",
        "",
        "~",
        "2024-01-01",
        ".inf",
        "0o7",
        "<<",
        "=",
        "- x",
        "a: b",
        "# c",
        "\x85",
        "\ufeff",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(TEXTS.filter(lambda key: key != "<<"), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(TEXTS.filter(lambda key: key != "<<"), VALUES, max_size=5))
def test_whatever_is_written_reads_back_as_the_same(data: dict[str, object]) -> None:
    source = read(dump(data), "f.yaml")
    assert source.faults == []
    assert source.data == data


@given(
    name=st.from_regex(r"[a-z0-9]{1,10}(-[a-z0-9]{1,5})?", fullmatch=True),
    tokens=st.integers(1, 10**6),
    ban=st.lists(TEXTS, max_size=3),
    seeds=st.lists(st.integers(0, 10**9), min_size=1, max_size=4, unique=True),
    requests=st.integers(1, 50)
    | st.just("all")
    | st.lists(TEXTS.filter(bool), min_size=1, max_size=3, unique=True),
    seconds=st.none() | st.floats(0, 1e300),
)
def test_scenario_to_yaml_and_back(**parts: object) -> None:
    scenario = from_mapping(
        {
            "version": 1,
            "name": parts["name"],
            "catalog": {"use": "coffee_machines"},
            "stack": [{"use": "vote", "over": {"use": "llm", "stop": parts["ban"]}}],
            "attack": {
                "use": "gcg",
                "tokens": parts["tokens"],
                "ban": parts["ban"],
                "objective": {"use": "first_item"},
            },
            "threat": {
                "access": "gradients",
                "field": "x",
                "budget": {"steps": 1, "seconds": parts["seconds"]},
            },
            "targets": {"items": ["a"]},
            "evaluate": {"requests": parts["requests"]},
            "seeds": parts["seeds"],
        },
        registry=registry(),
    )
    again = loads(scenario.to_yaml(), registry=registry())
    assert again == scenario
    assert again.hash == scenario.hash
    assert again.to_yaml() == scenario.to_yaml()


def test_hash_ignores_comments_order_quotes_and_spelled_out_defaults() -> None:
    scenario = good()
    lines = GOOD.splitlines()
    moved = "\n".join(
        [
            "# why",
            *lines[7:],
            *lines[:4],
            '  - {k: 5, use: "bm25"} # first',
            *lines[5:7],
            "hold_out: requests",
        ]
    )
    assert good(moved) == scenario
    assert good(moved).hash == scenario.hash
    assert len(scenario.hash) == 12
    assert int(scenario.hash, 16) >= 0
    assert hash(good(moved)) == hash(scenario)


def test_hash_is_the_same_in_every_process_and_version() -> None:
    """A run directory is found again by this hash: a change here orphans every run that is under way."""
    assert good().hash == "eb764a64bb7d"


@pytest.mark.parametrize(
    "override",
    ["name=other", "attack.tokens=11", "threat.budget.steps=41", "seeds=[1, 0]", "machine.device=cpu", "stack.0.k=6",
     "stack.1.over.model=x", "attack.objective.weight=2", "evaluate.orders=21", "hold_out=orders"],
)  # fmt: skip
def test_hash_follows_every_override(override: str) -> None:
    assert good(GOOD, override).hash != good().hash
    assert good(GOOD, override) != good()


def paths_scenario(folder: Path, *overrides: str) -> Scenario:
    (folder / "s.yaml").write_text(
        "version: 1\nname: x\ncatalog: {use: fields, path: data/items.jsonl}\nstack: [{use: llm}]\n"
    )
    return load(folder / "s.yaml", overrides, registry=registry())


def test_paths_are_relative_to_the_scenario_and_the_hash_to_neither(tmp_path: Path) -> None:
    scenarios = []
    for name in ("here", "there"):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "items.jsonl").touch()
        scenarios.append(paths_scenario(tmp_path / name))
    here, there = scenarios
    assert isinstance(here.catalog.plugin, Lines)
    assert here.catalog.plugin.path == tmp_path / "here/data/items.jsonl"
    assert here.catalog.options == {"path": "data/items.jsonl", "requests": None}
    assert here.hash == there.hash
    assert loads(here.to_yaml(), base=tmp_path / "here", registry=registry()) == here


def test_paths_in_overrides_are_relative_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "mine.jsonl").touch()
    monkeypatch.chdir(tmp_path)
    scenario = paths_scenario(tmp_path / "sub", "catalog.path=mine.jsonl")
    assert isinstance(scenario.catalog.plugin, Lines)
    assert scenario.catalog.plugin.path == tmp_path / "mine.jsonl"
    assert loads(scenario.to_yaml(), base=tmp_path / "sub", registry=registry()) == scenario


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "item.jsonl").touch()
    with pytest.raises(ScenarioError) as caught:
        paths_scenario(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/s.yaml:3:30: catalog.path: no such file or folder: {tmp_path}/data/items.jsonl; "
        "did you mean 'item.jsonl'?"
    )
