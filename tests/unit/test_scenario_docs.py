from __future__ import annotations

import re
from pathlib import Path

import pytest

from testbed.errors import ScenarioError
from testbed.scenario import Budget, Scenario, Threat, loads

DOCS = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text()


def test_the_example_is_the_shipped_scenario() -> None:
    (example,) = re.findall(r"```yaml\n(version: 1\n.*?)```", DOCS, re.DOTALL)
    shipped = Path(__file__).parents[2] / "scenarios" / "coffee_sts.yaml"
    assert loads(example) == loads(shipped.read_text())


@pytest.mark.parametrize(
    "key",
    [
        *(field.alias or name for name, field in Scenario.model_fields.items()),
        *(name for name in Threat.model_fields if name != "budget"),
        *(f"budget.{unit}" for unit in Budget.model_fields),
    ],
)
def test_every_key_is_in_the_reference(key: str) -> None:
    assert f"| `{key}` |" in DOCS


def test_the_faults_shown_are_the_faults_given() -> None:
    shown = re.search(r"```\n(--set seeds=x:.*?)```", DOCS, re.DOTALL)
    assert shown is not None
    text = (
        "version: 1\nname: Coffee STS\ncatalog: {use: cofee_machines}\nstack:\n  - {use: llm, model: no}\n"
        "attack: {use: gcg, tokenz: 20, objective: {use: first_item}}\n"
        "threat: {access: gradients, field: Description, budget: {steps: ten}}\n"
        "targets: {items: [aurelia-grand]}\n"
    )
    with pytest.raises(ScenarioError) as caught:
        loads(text, ["seeds=x"], file="bad.yaml")
    assert str(caught.value).splitlines() == shown[1].splitlines()
