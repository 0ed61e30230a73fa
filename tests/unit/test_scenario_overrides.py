from __future__ import annotations

import pytest
from test_scenario import GOOD, faults, good


def test_overrides_reach_sections_options_lists_and_nested_plugins() -> None:
    scenario = good(
        GOOD,
        "attack.tokens=11",
        "stack.0.k=7",
        "stack.1.over.model=big",
        "seeds=[3, 4]",
        "machine.threads=2",
        "threat.max_tokens=19",
        "targets.items.1=other",
        "attack.ban=['a=b']",
    )
    assert scenario.attack is not None
    assert scenario.attack.options["tokens"] == 11
    assert scenario.attack.options["ban"] == ["a=b"]
    assert scenario.stack[0].options == {"k": 7}
    assert scenario.stack[1].options["over"]["model"] == "big"
    assert scenario.seeds == (3, 4)
    assert scenario.machine.threads == 2
    assert scenario.threat is not None
    assert scenario.threat.max_tokens == 19
    assert scenario.targets is not None
    assert scenario.targets.items == ("aurelia-grand", "other")


def test_the_last_override_wins_and_an_empty_value_is_none() -> None:
    scenario = good(GOOD, "threat.max_tokens=9", "threat.max_tokens=", "seeds=[5]", "seeds=[6]")
    assert scenario.threat is not None
    assert scenario.threat.max_tokens is None
    assert scenario.seeds == (6,)


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        ("seeds", "--set seeds: expected PATH=VALUE, for instance seeds=[0,1]"),
        ("=1", "--set =1: expected PATH=VALUE, for instance seeds=[0,1]"),
        ("atack.tokens=3", "atack.tokens: there is nothing at atack; did you mean 'attack.tokens'?"),
        ("attak.width=3", "attak.width: there is nothing at attak; did you mean 'attack'?"),
        ("thret.budget.steps=3", "thret.budget.steps: there is nothing at thret; did you mean 'threat.budget.steps'?"),
        ("zzz.q=3", "zzz.q: there is nothing at zzz; known: version, name, catalog, stack, attack, threat, targets, "
         "seeds, transfer, hold_out, optimise, validate, evaluate, observe, measures, machine"),
        ("attack.stepz=3", "attack.stepz: unknown key 'stepz'; known: tokens, width, printable, ban, use, objective"),
        ("attack.tokenz=3", "attack.tokenz: unknown key 'tokenz'; did you mean 'tokens'?"),
        ("threat.acces=ranks", "threat.acces: unknown key 'acces'; did you mean 'access'?"),
        ("machine.thread=1", "machine.thread: unknown key 'thread'; did you mean 'threads'?"),
        ("stack.5.k=1", "stack.5.k: no such entry: stack has 2, counted from 0"),
        ("stack.bm25.k=1", "stack.bm25.k: no such entry: stack has 2, counted from 0"),
        ("name.x=1", "name.x: name holds a value, not keys"),
        ("attack.tokens=x", "attack.tokens: expected a whole number, got the text 'x'"),
        ("attack.width=1e5", 'attack.width: 1e5 reads as text in YAML 1.1: write 100000 or, for text, "1e5"'),
        ("attack.ban=[a", "attack.ban: not YAML: while parsing a flow sequence, expected ',' or ']', but got "
         "'<stream end>'"),
    ],
)  # fmt: skip
def test_a_wrong_override_says_so(override: str, fault: str) -> None:
    label = f"--set {override}"
    assert faults(GOOD, override) == [fault if fault.startswith("--set") else f"{label}: {fault}"]


def test_faults_of_overrides_and_of_the_file_come_together() -> None:
    assert faults(GOOD + "nam: x\n", "attack.tokens=x") == [
        "--set attack.tokens=x: attack.tokens: expected a whole number, got the text 'x'",
        "s.yaml:11:1: nam: unknown key 'nam'; did you mean 'name'?",
    ]
