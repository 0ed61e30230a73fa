# ruff: noqa: E501 - messages are asserted as they are printed
from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError
from scenario_plugins import FirstItem, Gcg, Llm, Vote, registry

from testbed.environment import Environment
from testbed.errors import ScenarioError, UserError
from testbed.protocols import Access
from testbed.scenario import Scenario, from_mapping, load, loads
from testbed.types import Target

GOOD = """\
version: 1
name: coffee-sts
catalog: {use: coffee_machines}
stack:
  - {use: bm25, k: 5}
  - {use: vote, over: {use: llm, stop: ["no", "1e5"]}}
attack: {use: gcg, tokens: 10, objective: {use: first_item}}
threat: {access: gradients, field: Description, budget: {steps: 40}}
targets: {items: [aurelia-grand, swiftbrew-go]}
seeds: [0, 1]
"""

BAD = """\
version: 2
name: Coffee STS
nam: x
catalog: {use: cofee_machines}
stack:
  - {use: bm25, k: 0, kk: 1}
  - {use: vote, over: {use: lm, model: no}}
  - {use: llm, temperature: hot, reading: likelyhood, from: [bm26]}
attack: {use: gcg, tokens: "20", width: 63, printable: 1, stepz: 3, objective: {use: frist_item}}
threat: {access: ranks, field: Description, budget: {steps: ten, querys: 4}, place: apend}
targets: {items: []}
evaluate: {orders: yes, arms: [clean, atack]}
optimise: {requests: al, slots: lat}
seeds: [0, 0]
"""


def good(text: str = GOOD, *overrides: str) -> Scenario:
    return loads(text, overrides, file="s.yaml", registry=registry())


def faults(text: str = GOOD, *overrides: str) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        good(text, *overrides)
    assert caught.value.exit_code == 2
    return str(caught.value).splitlines()


def test_a_scenario_with_all_defaults() -> None:
    scenario = good("version: 1\nname: x\ncatalog: {use: coffee_machines}\nstack: [{use: llm}]\n")
    assert scenario.attack is scenario.threat is scenario.targets is None
    assert scenario.target_list == ()
    assert scenario.access is Access.none
    assert scenario.evaluate.arms == ("clean",)
    assert scenario.evaluate.requests == "all"
    assert scenario.measures == ("nDCG@10", "RR")
    assert scenario.seeds == (0,)
    assert (scenario.stack[0].name, scenario.stack[0].inputs) == ("llm", ("source",))
    assert scenario.machine.environment() == Environment()


def test_an_attack_brings_arms_and_measures() -> None:
    scenario = good()
    assert scenario.evaluate.arms == ("clean", "attack", "random_tokens", "honest_text")
    assert scenario.measures == ("nDCG@10", "RR", "lift@1", "lift@3", "promoted", "harm")
    assert scenario.access is Access.gradients
    assert scenario.target_list[0] == Target("aurelia-grand", "Description", "append")
    assert scenario.reproducible
    assert not good(GOOD, "threat.budget.seconds=5").reproducible


def test_plugins_are_ready_and_options_complete() -> None:
    scenario = good()
    assert scenario.attack is not None
    assert scenario.attack.plugin == Gcg(tokens=10)
    assert scenario.attack.options == {"tokens": 10, "width": 64, "printable": True, "ban": []}
    assert scenario.attack.objective is not None
    assert scenario.attack.objective.plugin == FirstItem()
    assert scenario.stack[1].plugin == Vote(over=Llm(stop=("no", "1e5")))
    assert type(scenario.stack[1].plugin.over) is Llm  # type: ignore[attr-defined]
    assert scenario.stack[1].inputs == ("bm25",)


def test_a_scenario_is_frozen_and_travels() -> None:
    scenario = good()
    with pytest.raises(ValidationError, match="frozen"):
        scenario.name = "other"  # type: ignore[misc]
    copy = pickle.loads(pickle.dumps(scenario))
    assert copy == scenario
    assert copy.attack.plugin == Gcg(tokens=10)


def test_every_fault_at_once() -> None:
    assert faults(BAD) == [
        "s.yaml:1:10: version: expected 1; got the number 2",
        "s.yaml:2:7: name: expected lower-case letters, digits, '-', '_' and '.' (at most 80), got 'Coffee STS'; "
        "did you mean 'coffee-sts'?",
        "s.yaml:3:1: nam: unknown key 'nam'; did you mean 'name'?",
        "s.yaml:4:16: catalog.use: unknown catalog 'cofee_machines'; did you mean 'coffee_machines'?",
        "s.yaml:6:20: stack.0.k: expected a number from 1, got the number 0",
        "s.yaml:6:23: stack.0.kk: unknown key 'kk'; did you mean 'k'?",
        "s.yaml:7:29: stack.1.over.use: unknown stage 'lm'; did you mean 'llm'?",
        's.yaml:7:40: stack.1.over.model: no reads as false in YAML 1.1: write "no" for the text or false',
        "s.yaml:8:29: stack.2.temperature: expected a number, got the text 'hot'",
        "s.yaml:8:43: stack.2.reading: expected one of 'likelihood', 'constrained', 'generate'; "
        "got the text 'likelyhood'; did you mean 'likelihood'?",
        "s.yaml:8:62: stack.2.from.0: unknown stage 'bm26'; did you mean 'bm25'?",
        "s.yaml:9:28: attack.tokens: expected a whole number, got the text '20'",
        "s.yaml:9:41: attack.width: expected an even width, got 63",
        "s.yaml:9:56: attack.printable: expected true or false, got the number 1",
        "s.yaml:9:59: attack.stepz: unknown key 'stepz'; known: tokens, width, printable, ban, use, objective",
        "s.yaml:9:86: attack.objective.use: unknown objective 'frist_item'; did you mean 'first_item'?",
        "s.yaml:10:61: threat.budget.steps: expected a whole number, got the text 'ten'",
        "s.yaml:10:66: threat.budget.querys: unknown key 'querys'; did you mean 'queries'?",
        "s.yaml:10:85: threat.place: expected one of 'append', 'prepend', 'replace'; got the text 'apend'; "
        "did you mean 'append'?",
        "s.yaml:11:18: targets.items: must not be empty",
        's.yaml:12:20: evaluate.orders: yes reads as true in YAML 1.1: write "yes" for the text or true',
        "s.yaml:12:39: evaluate.arms.1: unknown arm 'atack' (known: clean, attack, random_tokens, honest_text, "
        "random_items); did you mean 'attack'?",
        "s.yaml:13:22: optimise.requests: expected a number from 1, a list of request ids, or all; got 'al'; "
        "did you mean 'all'?",
        "s.yaml:13:33: optimise.slots: expected spread, late, or a list of positions from 0; got 'lat'; "
        "did you mean 'late'?",
        "s.yaml:14:8: seeds: the seed 0 is listed twice",
    ]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: coffee-sts", "name: no", ["s.yaml:2:7: name: no reads as false in YAML 1.1: write \"no\" for the text "
         "or false"]),
        ("version: 1\n", "", ["s.yaml:1:1: version: this key is missing"]),
        ("{use: coffee_machines}", "coffee_machines", ["s.yaml:3:10: catalog: expected a mapping of keys to values, "
         "got the text 'coffee_machines'; write {use: coffee_machines}"]),
        ("{use: coffee_machines}", "{}", ["s.yaml:3:10: catalog.use: this key is missing"]),
        ("over: {use: llm, stop: [\"no\", \"1e5\"]}", "over: {model: x}", ["s.yaml:6:23: stack.1.over: the key 'use' is "
         "missing (known stages: bm25, fuse, llm, vote)"]),
        ("over: {use: llm, stop: [\"no\", \"1e5\"]}", "over: llm", ["s.yaml:6:23: stack.1.over: expected {use: stage, "
         "...}, got the text 'llm'"]),
        ("k: 5", "k: true", ["s.yaml:5:20: stack.0.k: expected a whole number, got true"]),
        ("k: 5", "k: 5.0", ["s.yaml:5:20: stack.0.k: expected a whole number, got the number 5.0"]),
        ("k: 5", "k: null", ["s.yaml:5:20: stack.0.k: expected a whole number, got nothing"]),
        ("tokens: 10", "ban: [1]", ["s.yaml:7:26: attack.ban.0: expected a text, got the number 1"]),
        ("gradients", "gradient", ["s.yaml:8:18: threat.access: expected one of none, ranks, scores, gradients; got "
         "'gradient'; did you mean 'gradients'?"]),
        ("gradients", "ranks", ["s.yaml:7:15: attack.use: gcg reads gradients, but the threat grants ranks; write "
         "threat.access: gradients or take another attack"]),
        (", budget: {steps: 40}", "", ["s.yaml:8:9: threat: the budget names no limit (units: steps, queries, tokens, "
         "gradient_calls, seconds); add budget: {steps: 40}"]),
        ("steps: 40", "steps: -1", ["s.yaml:8:65: threat.budget.steps: expected a number from 0, got the number -1"]),
        (", objective: {use: first_item}", "", ["s.yaml:7:9: attack: gcg needs an objective; add objective: {use: "
         "first_item}"]),
        ("targets: {items: [aurelia-grand, swiftbrew-go]}\n", "", ["s.yaml:7:9: attack: an attack needs targets; add "
         "targets: {items: [...]}", ]),
        ("swiftbrew-go", "aurelia-grand", ["s.yaml:9:18: targets.items: the item 'aurelia-grand' is listed twice"]),
        ("use: vote", "use: bm25", ["s.yaml:6:5: stack.1: the name 'bm25' is taken by a stage before; give the stage "
         "another name: ...", "s.yaml:6:17: stack.1.over: unknown key 'over'; known: k, use, name, from"]),
        ("k: 5", "k: 5, from: vote", ["s.yaml:5:3: stack: the stages run in a circle: bm25 → vote → bm25; a stage may "
         "not read what comes after it"]),
        ("seeds: [0, 1]", "seeds: [0, 0, -1, 1.5]", ["s.yaml:10:8: seeds: the seed 0 is listed twice",
         "s.yaml:10:15: seeds.2: expected a number from 0, got the number -1",
         "s.yaml:10:19: seeds.3: expected a whole number, got the number 1.5"]),
        ("seeds: [0, 1]", "seeds: []", ["s.yaml:10:8: seeds: must not be empty"]),
        ("seeds: [0, 1]", "machine: {device: cdua, dtype: blfoat16}", ["s.yaml:10:19: machine.device: unknown device "
         "'cdua'; did you mean 'cuda'?", "s.yaml:10:32: machine.dtype: unknown number format 'blfoat16'; did you mean "
         "'bfloat16'?"]),
        ("seeds: [0, 1]", "machine: {device: 'cuda:x7y8z9w'}", ["s.yaml:10:19: machine.device: unknown device "
         "'cuda:x7y8z9w'; known: auto, cpu, cuda, cuda:<number>, mps"]),
        ("budget: {steps: 40}", "max_tokens: 9, budget: {steps: 40}", ["s.yaml:8:61: threat.max_tokens: the attack's "
         "text has 10 tokens, but only 9 are allowed; write attack.tokens: 9 or max_tokens: 10"]),
        ("seeds: [0, 1]", "seeds: [0, a]", ["s.yaml:10:12: seeds.1: expected a whole number, got the text 'a'"]),
        ("seeds: [0, 1]", "evaluate: {arms: [attack]}", ["s.yaml:10:18: evaluate.arms: the arm 'clean' is missing; "
         "every other arm is measured against it"]),
        ("seeds: [0, 1]", "evaluate: {arms: [clean, clean_again]}", ["s.yaml:10:26: evaluate.arms.1: clean_again is "
         "added by itself where the stack samples; leave it out"]),
        ("seeds: [0, 1]", "optimise: {requests: all}", ["s.yaml:10:22: optimise.requests: all leaves no request to "
         "evaluate on; name some, or write hold_out: orders"]),
    ],
)  # fmt: skip
def test_one_fault_says_where_and_what(old: str, new: str, expected: list[str]) -> None:
    assert old in GOOD
    assert faults(GOOD.replace(old, new)) == expected


def test_unknown_measures_are_faults_at_their_place() -> None:
    assert faults(GOOD + "measures: [RR, lft@1, lift@0]\n") == [
        "s.yaml:11:16: measures.1: unknown measure 'lft@1'; did you mean 'lift@1'?",
        "s.yaml:11:23: measures.2: measure 'lift@0': lift takes a cutoff that is a whole number from 1; did you mean 'lift@1'?",
    ]


def test_an_attack_gets_what_the_last_stage_can_show() -> None:
    short = GOOD.replace('  - {use: vote, over: {use: llm, stop: ["no", "1e5"]}}\n', "")
    message = (
        "gcg reads gradients, but bm25, the last stage, shows scores at most; "
        "take another attack, or a stage behind it that shows them"
    )
    assert faults(short) == [f"s.yaml:5:5: stack.0: {message}"]
    assert good(short, "threat.surrogates=[{use: llm}]").attack is not None
    both = "threat.surrogates=[{use: llm}, [{use: llm}, {use: bm25}]]"
    assert faults(GOOD, both) == [f"--set {both}: threat.surrogates.1.1: {message}"]


def test_requests_of_different_splits() -> None:
    text = (
        GOOD + "optimise: {requests: [r1]}\nvalidate: {requests: [r2, r1]}\nevaluate: {requests: [r3, r2]}\n"
    )
    assert faults(text) == [
        "s.yaml:12:27: validate.requests.1: the request 'r1' is in optimise already; "
        "name others, or write hold_out: orders",
        "s.yaml:13:27: evaluate.requests.1: the request 'r2' is in validate already; "
        "name others, or write hold_out: orders",
    ]
    assert good(text, "hold_out=orders").evaluate.requests == ("r3", "r2")


def test_a_stage_takes_what_it_can_hold() -> None:
    stack = "stack: [{use: bm25}, {use: llm, from: source}, {use: fuse%s}]\n"
    base = "version: 1\nname: x\ncatalog: {use: coffee_machines}\n"
    assert good(base + stack % ", from: [bm25, llm]").stack[2].inputs == ("bm25", "llm")
    assert faults(base + stack % "") == [
        "s.yaml:4:9: stack.0: nothing takes the ranking of 'bm25'; name it in a later stage's from",
        "s.yaml:4:48: stack.2: fuse takes 2 to 8 inputs, not 1; name them in from: [...]",
    ]


def test_no_attack_is_fine_and_arms_must_fit() -> None:
    assert good(GOOD, "attack=none", "evaluate.arms=[clean, honest_text]").attack is None
    assert faults(GOOD, "attack=none", "evaluate.arms=[clean, attack, random_tokens]") == [
        "--set evaluate.arms=[clean, attack, random_tokens]: evaluate.arms.1: the arm attack needs an attack; "
        "leave it out or add attack: {use: ...}",
        "--set evaluate.arms=[clean, attack, random_tokens]: evaluate.arms.2: the arm random_tokens needs an "
        "attack, whose length it takes; leave it out",
    ]


def test_a_plugin_that_cannot_be_imported_is_a_fault() -> None:
    from testbed.registry import Entry, Registry

    broken = Registry([Entry("catalogs", "coffee_machines", "nowhere:Shop", "shop")]).extended(
        stages={"llm": Llm}
    )
    with pytest.raises(ScenarioError) as caught:
        loads("version: 1\nname: x\ncatalog: {use: coffee_machines}\nstack: [{use: llm}]\n", registry=broken)
    assert str(caught.value) == (
        "<text>:3:16: catalog.use: the catalog 'coffee_machines' of shop cannot be imported from nowhere:Shop: "
        "ModuleNotFoundError: No module named 'nowhere'"
    )


def test_from_mapping() -> None:
    data = {"version": 1, "name": "x", "catalog": {"use": "coffee_machines"}, "stack": ({"use": "llm"},)}
    assert from_mapping(data, registry=registry()).stack[0].plugin == Llm()
    with pytest.raises(ScenarioError) as caught:
        from_mapping({**data, "nam": 1, "seeds": "x"}, registry=registry())
    assert str(caught.value).splitlines() == [
        "seeds: expected a list, got the text 'x'",
        "nam: unknown key 'nam'; did you mean 'name'?",
    ]


def test_an_unchecked_choice_has_no_plugin() -> None:
    scenario = Scenario.model_validate(
        {"version": 1, "name": "x", "catalog": {"use": "coffee_machines"}, "stack": [{"use": "llm"}]}
    )
    with pytest.raises(UserError, match="'coffee_machines' is not resolved; make scenarios with"):
        _ = scenario.catalog.plugin


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "coffee.yaml").write_bytes(b"version: 1\nname: \xff\n")
    with pytest.raises(UserError) as missing:
        load(tmp_path / "cofee.yaml")
    assert str(missing.value) == (
        f"no such scenario file: {tmp_path}/cofee.yaml; did you mean {tmp_path}/coffee.yaml?"
    )
    with pytest.raises(UserError, match=f"cannot read the scenario {tmp_path}: Is a directory"):
        load(tmp_path)
    with pytest.raises(ScenarioError, match=r"coffee\.yaml:2:7: not UTF-8 text"):
        load(tmp_path / "coffee.yaml")
