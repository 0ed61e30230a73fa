"""Drawn scenarios are valid, survive YAML, and can be planned."""

from __future__ import annotations

from typing import Any

from hypothesis import given

from testbed.plan import EvaluationTrial, plan
from testbed.scenario import Scenario, from_mapping, loads
from testbed.testing import scenarios, toy_catalog, toy_registry

CATALOG = toy_catalog()
REGISTRY = toy_registry()


def scenario_of(data: dict[str, Any]) -> Scenario:
    return from_mapping(data, registry=REGISTRY)


@given(scenarios())
def test_yaml_and_back(data: dict[str, Any]) -> None:
    scenario = scenario_of(data)
    again = loads(scenario.to_yaml(), registry=REGISTRY)
    assert again == scenario
    assert again.hash == scenario.hash
    assert again.to_yaml() == scenario.to_yaml()
    assert scenario.check_against(CATALOG) == []


@given(scenarios())
def test_plans_have_unique_keys_and_disjoint_splits(data: dict[str, Any]) -> None:
    scenario = scenario_of(data)
    deterministic = all(choice.plugin.deterministic for choice in scenario.stack)
    first = plan(scenario, CATALOG, deterministic=deterministic)
    lines = [line for trial in first.trials for line in trial.lines]
    assert len(lines) == len(set(lines))
    assert first == plan(scenario, CATALOG, deterministic=deterministic)
    by_split = list(first.splits.values())
    orders = [{situation.order for situation in split} for split in by_split]
    requests = [{situation.request for situation in split} for split in by_split]
    for index in range(len(by_split)):
        for other in range(index):
            assert not orders[index] & orders[other]
            if scenario.hold_out == "requests":
                assert not requests[index] & requests[other]
    for trial in first.evaluations:
        assert isinstance(trial, EvaluationTrial)
        assert trial.arms[0].name == "clean"
        assert ("clean_again" in {arm.name for arm in trial.arms}) == (
            trial.split == "test" and not deterministic
        )
