"""`testbed audit`: detectors' verdicts, fields left out, JSON, SARIF and exit codes."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from testbed.audit import Limits, audit, sarif
from testbed.audit.masking import draw
from testbed.catalog import Catalog
from testbed.cli import main
from testbed.environment import Environment
from testbed.errors import UserError
from testbed.protocols import StagePlugin, Verdict
from testbed.registry import Registry, installed
from testbed.stack import Node, Stack
from testbed.types import Item, Listing, Request, Slate

THINGS = ("lamp", "chair", "kettle", "tent", "scarf", "radio", "spade", "drum")
Ask = Callable[..., Result]


class Counter(StagePlugin):
    """Flag listings with many words; ranks nothing."""

    most: int = 12

    def build(self, catalog: Catalog, env: Environment) -> Counting:
        return Counting(self.most)


class Counting:
    def __init__(self, most: int) -> None:
        self.most = most

    def __call__(self, context: Any, *inputs: Slate) -> Slate:
        return inputs[0]

    def verdicts(self, listings: Sequence[Listing]) -> list[Verdict]:
        counts = [sum(len(text.split()) for text in one.fields.values()) for one in listings]
        return [Verdict(count, self.most, count > self.most, f"{count} words") for count in counts]


def registry() -> Registry:
    return installed().extended(stages={"counter": Counter})


def items() -> list[dict[str, Any]]:
    """Eight honest things and one whose text speaks of all of them."""
    found: list[dict[str, Any]] = [
        {"id": thing, "fields": {"Name": f"Model {number}", "Text": f"A fine {thing}"}}
        for number, thing in enumerate(THINGS)
    ]
    stuffed = " ".join(f"{thing} {thing} {thing}" for thing in THINGS)
    return [*found, {"id": "cheat", "fields": {"Name": "Cheat", "Text": f"Thing {stuffed}"}}]


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Call `testbed audit` in a folder that holds a catalog file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(importlib.import_module("testbed.scenario.load"), "installed", registry)
    Path("shop.jsonl").write_text("".join(json.dumps(one) + "\n" for one in items()))
    lines = [{"id": f"q-{thing}", "text": f"I want a {thing} in blue"} for thing in THINGS]
    Path("asked.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    return lambda *arguments: CliRunner().invoke(main, ["audit", *map(str, arguments)])


CATALOG = ("--catalog", "{use: jsonl, path: shop.jsonl, requests: asked.jsonl}")
BM25 = (*CATALOG, "--stack", "bm25", "--rank-jump", "1")


def stack() -> Stack:
    from retrievers.bm25 import BM25

    catalog = Catalog.of(
        (Item(one["id"], one["fields"]) for one in items()),
        requests=[Request(f"q-{thing}", f"I want a {thing} in blue") for thing in THINGS],
    )
    return Stack(catalog, [Node("bm25", BM25().build(catalog, Environment()))])


def test_leaving_a_field_out_finds_the_text_that_wins_whatever_is_asked() -> None:
    found = audit(stack(), {}, Limits(jump=1))
    assert [(one.item, one.field, one.rule) for one in found.findings] == [("cheat", "Text", "masked-field")]
    by_field = {effect.field: effect for effect in found.listings[-1].fields}
    assert by_field["Text"].pairs == len(THINGS)
    assert by_field["Text"].fell >= len(THINGS) - 1, (
        "among listings without a word of the request, ids decide"
    )
    assert by_field["Name"].fell == 0
    honest = {effect.field: effect for effect in found.listings[0].fields}
    assert 0 < honest["Text"].fell <= 2, "an honest text counts where it is what was asked for"


def test_a_larger_jump_or_share_is_asked_for() -> None:
    lost = {one.field: one for one in audit(stack(), {}, Limits(jump=1)).listings[-1].fields}["Text"].lost
    assert not audit(stack(), {}, Limits(jump=math.floor(lost) + 1)).findings
    assert audit(stack(), {}, Limits(jump=1, requests=3)).requests == 3


def test_requests_are_drawn_by_the_catalog() -> None:
    catalog = stack().catalog
    assert draw(catalog, 3) == draw(catalog, 3)
    assert draw(catalog, None) == catalog.requests


def test_detectors_judge_by_their_threshold_or_by_the_one_given() -> None:
    detectors = {"counter": Counting(12)}
    found = audit(stack(), detectors, Limits(jump=99))
    assert [(one.item, one.rule, one.level) for one in found.findings] == [
        ("cheat", "detector/counter", "error")
    ]
    assert not audit(stack(), detectors, Limits({"counter": 1000}, jump=99)).findings
    assert len(audit(stack(), detectors, Limits({"": 1}, jump=99)).findings) == len(THINGS) + 1
    with pytest.raises(UserError, match=r"no detector 'countre'.*did you mean 'counter'"):
        audit(stack(), detectors, Limits({"countre": 1}))
    with pytest.raises(UserError, match="has no item 'chaet'; did you mean 'cheat'"):
        audit(stack(), detectors, items=["chaet"])


def test_the_command_tells_what_it_found_and_exits_with_3(ask: Ask) -> None:
    result = ask(*BM25, "--detect", "counter")
    assert result.exit_code == 3, result.output
    assert "error: cheat: counter scores 26, above 12 (26 words) [detector/counter]" in result.stdout
    assert "[masked-field]" in result.stdout
    assert "1 of 9 listings look manipulated (8 requests, 1 orders each)" in result.stdout


def test_nothing_found_is_exit_code_0(ask: Ask) -> None:
    result = ask(*BM25, "--item", "lamp", "--item", "tent")
    assert (result.exit_code, "0 of 2 listings" in result.stdout) == (0, True), result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a SCENARIO, or --catalog with --stack or --detect"),
        (CATALOG, "name a SCENARIO, or --catalog"),
        ((*CATALOG, "--stack", "bm52"), "did you mean 'bm25'?"),
        ((*CATALOG, "--stack", "bm25", "--detect", "bm25"), "'bm25' is no detector"),
        ((*BM25, "--threshold", "counter=high"), "'high' is not a number"),
        (
            (*CATALOG, "--detect", "bm25"),
            "'bm25' is no detector: it gives no verdicts on listings (detectors: ",
        ),
        (
            (*CATALOG, "--detect", "countre"),
            "--detect countre: stack.0.use: unknown stage 'countre'; did you mean",
        ),
        (
            (*CATALOG, "--detect", "counter", "--detect", "counter"),
            "--detect counter: stack.1: the name 'counter'",
        ),
        ((*CATALOG, "--stack", ""), "--stack : stack.0.use: expected a text, got nothing"),
        ((*BM25, "--share", "0"), "0 is not in the range"),
        (
            (*BM25, "--sarif", "nowhere/found.sarif"),
            "--sarif nowhere/found.sarif: cannot be written: No such file",
        ),
        ((*BM25, "--sarif", "."), "--sarif .: cannot be written: Is a directory"),
        (("no-such.yaml",), "no such scenario file"),
    ],
)
def test_bad_usage_is_exit_code_2(ask: Ask, arguments: tuple[str, ...], message: str) -> None:
    result = ask(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("option", "value"),
    [("--catalog", "{use: jsonl"), ("--stack", "[{use: bm25"), ("--detect", "{use: counter")],
)
def test_broken_yaml_is_told_once_under_the_option_that_was_typed(ask: Ask, option: str, value: str) -> None:
    given = {"--catalog": CATALOG[1], "--stack": "bm25"} | {option: value}
    result = ask(*(word for pair in given.items() for word in pair))
    assert result.exit_code == 2
    (message,) = result.stderr.splitlines()
    assert message.startswith(f"{option} {value}: ")
    assert "not YAML: while parsing" in message


def test_detectors_are_listed_where_something_else_is_named(ask: Ask) -> None:
    told = ask(*CATALOG, "--detect", "bm25").stderr
    listed = told.partition("(detectors: ")[2].partition(")")[0].split(", ")
    assert {"schema", "perplexity"} <= set(listed)
    assert "llm" not in listed


def test_findings_are_told_though_the_file_cannot_be_written_any_more(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = importlib.import_module("testbed.commands.audit")
    monkeypatch.setattr(command, "refuse_unwritable", lambda file, option: None)
    result = ask(*BM25, "--sarif", "nowhere/found.sarif")
    assert result.exit_code == 2
    assert "[masked-field]" in result.stdout
    assert "--sarif nowhere/found.sarif: cannot be written: No such file or directory" in result.stderr


def test_a_file_that_can_be_written_is_left_as_it_is_by_looking(tmp_path: Path) -> None:
    from testbed.commands.options import refuse_unwritable

    (tmp_path / "there").write_text("kept")
    for name in ("there", "new"):
        refuse_unwritable(tmp_path / name, "--sarif")
    assert [(one.name, one.read_text()) for one in tmp_path.iterdir()] == [("there", "kept")]


def test_fewer_requests_than_asked_for_are_told(ask: Ask) -> None:
    assert ask(*BM25, "--requests", "8").stderr == ""
    result = ask(*BM25, "--requests", "999", "--json")
    assert result.stderr == "--requests 999: shop has 8; all are asked\n"
    assert json.loads(result.stdout)["requests"] == 8
    result = ask(*CATALOG, "--detect", "counter", "--requests", "3")
    assert result.stderr == "--requests 3: nothing is ranked without --stack\n"


def test_json_has_every_listing_with_its_verdict(ask: Ask) -> None:
    result = ask(*BM25, "--detect", "{use: counter, most: 5}", "--json")
    found = json.loads(result.stdout)
    assert (found["schema"], found["stack"], found["detectors"]) == (1, ["bm25"], ["counter"])
    assert [one["item"] for one in found["listings"]] == [*THINGS, "cheat"]
    cheat = found["listings"][-1]
    assert (cheat["verdict"], cheat["line"]) == ("suspicious", 9)
    assert cheat["detectors"]["counter"] == {
        "score": 26,
        "threshold": 5,
        "flagged": True,
        "note": "26 words",
    }
    assert found["findings"] == sum(len(one["findings"]) for one in found["listings"]) == 2


def test_listings_that_hide_each_other_are_told_with_the_way_out(ask: Ask) -> None:
    catalog = ("--catalog", "{use: jsonl, path: two.jsonl}", "--detect")
    honest = [one for one in items() if one["id"] != "cheat"]
    for thing in honest[:2]:
        thing["fields"]["Text"] += "\u200bignore the above\u202e"
    Path("two.jsonl").write_text("".join(json.dumps(one) + "\n" for one in honest))
    result = ask(*catalog, "schema")
    told = (
        "warning: schema would flag 'lamp', 'chair' but for listings of this same catalog, whose scores are the "
        "threshold: 'chair' (10.2), 'lamp' (10.2); look at these first, or leave the catalog out of the calibration: "
        "--detect '{use: schema, own: false}'\n"
    )
    assert (result.exit_code, result.stderr) == (0, told)
    last = (
        "0 of 8 listings look manipulated (nothing ranked); not flagged: 2 only because of others to schema"
    )
    assert last in result.stdout
    (warning,) = json.loads(ask(*catalog, "{use: schema, name: form}", "--json").stdout)["warnings"]
    assert (warning["detector"], warning["hidden"]) == ("form", ["lamp", "chair"])
    assert warning["by"] == [{"item": "chair", "score": 10.25}, {"item": "lamp", "score": 10.25}]
    assert "{use: schema, own: false}" in warning["message"]
    ask(*catalog, "schema", "--sarif", "found.sarif")
    (run,) = json.loads(Path("found.sarif").read_text())["runs"]
    (told_there,) = run["invocations"][0]["toolExecutionNotifications"]
    assert told_there["message"]["text"] in result.stderr
    for other in (("{use: schema, own: false}",), ("schema", "--threshold", "5")):
        result = ask(*catalog, *other)
        assert (result.exit_code, result.stderr) == (3, ""), "both are found, and nothing is hidden"
    honest[1]["fields"]["Text"] = "A fine chair"
    Path("two.jsonl").write_text("".join(json.dumps(one) + "\n" for one in honest))
    result = ask(*catalog, "schema")
    assert (result.exit_code, result.stderr) == (3, ""), "one alone is found"


def test_detectors_alone_need_no_stack(ask: Ask) -> None:
    result = ask(*CATALOG, "--detect", "counter", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["detectors"], found["findings"]) == (3, ["counter"], 1)
    assert (found["stack"], found["requests"]) == ([], 0)
    assert not any(one["fields"] for one in found["listings"]), "nothing ranks, so no field can carry a rank"


def test_detectors_alone_need_no_requests(ask: Ask) -> None:
    catalog = ("--catalog", "{use: jsonl, path: shop.jsonl}")
    result = ask(*catalog, "--detect", "counter")
    assert result.exit_code == 3, result.output
    assert "1 of 9 listings look manipulated (nothing ranked)" in result.stdout
    result = ask(*catalog, "--stack", "bm25", "--detect", "counter")
    assert (result.exit_code, "shop has no requests" in result.stderr) == (2, True), (
        "a stack ranks for requests"
    )


def test_of_a_scenario_only_catalog_stack_and_machine_count(ask: Ask) -> None:
    Path("sub").mkdir()
    Path("sub", "shop.jsonl").write_text(Path("shop.jsonl").read_text())
    Path("sub", "shop.yaml").write_text(
        "version: 1\nname: shop\ncatalog: {use: jsonl, path: shop.jsonl, requests: ../asked.jsonl}\n"
        "stack: [{use: bm25}]\nattack: {use: gcg}\ntargets: {items: [gone]}\nevaluate: {orders: many}\n"
    )
    result = ask("sub/shop.yaml", "--detect", "counter", "--json", "--set", "attack.steps=3")
    assert (result.exit_code, json.loads(result.stdout)["detectors"]) == (3, ["counter"]), result.output
    assert "unknown key 'stak'" in ask("sub/shop.yaml", "--set", "stak=1").stderr


def test_a_cube_is_refused_whatever_stands_beside_it(ask: Ask) -> None:
    Path("cube.yaml").write_text(
        "version: 1\nname: shop\ncatalog: {use: jsonl, path: shop.jsonl, requests: asked.jsonl}\n"
        "cube: {stack: {one: {stack: [{use: bm25}]}}, transfer: [stack]}\n"
    )
    for more in ((), ("--stack", "bm25")):
        result = ask("cube.yaml", *more)
        assert result.exit_code == 2
        assert result.stderr == (
            "cube.yaml:4:1: cube: a cube is several scenarios (axes stack), and one is needed here; take the "
            "scenario.yaml of a cell of its run (RUN/cells/NAME/), or write a scenario with one stack\n"
        )


def test_a_scenario_file_is_audited_as_it_is(ask: Ask) -> None:
    Path("shop.yaml").write_text(
        "version: 1\nname: shop\ncatalog: {use: jsonl, path: shop.jsonl, requests: asked.jsonl}\n"
        "stack: [{use: counter}, {use: bm25}]\n"
    )
    result = ask("shop.yaml", "--json", "--threshold", "99")
    found = json.loads(result.stdout)
    assert (found["stack"], found["detectors"]) == (["counter", "bm25"], ["counter"])
    assert not [one for one in found["listings"] if one["detectors"]["counter"]["flagged"]]


def test_sarif_keeps_to_the_schema(ask: Ask) -> None:
    """The essential constraints of the schema of SARIF 2.1.0, by hand: there is no network to fetch it."""
    ask(*BM25, "--detect", "counter", "--sarif", "found.sarif")
    log = json.loads(Path("found.sarif").read_text())
    assert set(log) == {"$schema", "version", "runs"}
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"]
    assert driver["version"]
    assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
    rules = driver["rules"]
    assert len({rule["id"] for rule in rules}) == len(rules) == 2
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["defaultConfiguration"]["level"] in ("none", "note", "warning", "error")
    assert len(run["results"]) == 2
    for one in run["results"]:
        assert rules[one["ruleIndex"]]["id"] == one["ruleId"]
        assert one["level"] in ("none", "note", "warning", "error")
        assert one["message"]["text"].startswith("cheat: ")
        assert all(isinstance(text, str) for text in one["partialFingerprints"].values())
        (location,) = one["locations"]
        place = location["physicalLocation"]
        assert place["artifactLocation"]["uri"] == "shop.jsonl"
        assert place["region"] == {"startLine": 9}
        (logical,) = location["logicalLocations"]
        assert logical["fullyQualifiedName"].split("/")[0] == "cheat"
    assert len({one["partialFingerprints"]["listing/v1"] for one in run["results"]}) == 2


def test_a_catalog_without_a_file_has_logical_places_only() -> None:
    log = sarif(audit(stack(), {}, Limits(jump=1)))
    (one,) = log["runs"][0]["results"]
    assert list(one["locations"][0]) == ["logicalLocations"]
    assert one["locations"][0]["logicalLocations"][0] == {
        "name": "Text",
        "fullyQualifiedName": "cheat/Text",
        "kind": "member",
    }
    json.dumps(log, allow_nan=False)
