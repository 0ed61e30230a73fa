"""From a scenario to its trials."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from testbed.api import run
from testbed.catalog import Catalog
from testbed.errors import UserError
from testbed.plan import Plan, draw_requests, plan, pool_size
from testbed.protocols import CatalogPlugin
from testbed.scenario import Scenario, from_mapping
from testbed.testing import toy_catalog, toy_registry

CATALOG = toy_catalog()
DATA: dict[str, Any] = {
    "version": 1,
    "name": "toy",
    "catalog": {"use": "toy"},
    "stack": [{"use": "toy"}],
    "attack": {"use": "toy", "objective": {"use": "toy"}},
    "threat": {"access": "scores", "field": "Description", "budget": {"steps": 3}},
    "targets": {"items": ["pico", "grand"]},
    "optimise": {"requests": 2, "orders": 3},
    "validate": {"requests": 1, "orders": 2},
    "evaluate": {"requests": "all", "orders": 6},
    "seeds": [4, 9],
}


def scenario_of(**changes: Any) -> Scenario:
    return from_mapping({**DATA, **changes}, registry=toy_registry())


def plan_of(deterministic: bool = True, limit: int | None = None, **changes: Any) -> Plan:
    return plan(scenario_of(**changes), CATALOG, deterministic=deterministic, limit=limit)


def test_keys_in_plan_order() -> None:
    found = plan_of(evaluate={"requests": ["cheap"], "orders": 1, "arms": ["clean", "attack", "honest_text"]})
    lines = [line for trial in found.trials for line in trial.lines]
    assert [trial.key for trial in found.attacks] == [
        "attack/pico/4",
        "attack/pico/9",
        "attack/grand/4",
        "attack/grand/9",
    ]
    assert [line for line in lines if "/test/pico/" in line] == [
        "evaluate/test/pico/cheap/20000/clean/-/0",
        "evaluate/test/pico/cheap/20000/attack/4/0",
        "evaluate/test/pico/cheap/20000/attack/9/0",
        "evaluate/test/pico/cheap/20000/honest_text/-/0",
    ]
    assert len(lines) == len(set(lines))


def test_no_request_and_no_order_is_in_two_splits() -> None:
    splits = plan_of().splits
    requests = [{situation.request for situation in split} for split in splits.values()]
    assert [len(found) for found in requests] == [2, 1, 5]
    assert len(set.union(*requests)) == 8
    orders = [{situation.order for situation in split} for split in splits.values()]
    assert not set.intersection(*orders)


def test_held_out_orders_may_share_requests() -> None:
    splits = plan_of(hold_out="orders", evaluate={"requests": 8, "orders": 2}).splits
    assert {situation.request for situation in splits["test"]} == {request.id for request in CATALOG.requests}
    orders = {name: {situation.order for situation in split} for name, split in splits.items()}
    assert orders == {"optimise": {0, 1, 2}, "validate": {10_000, 10_001}, "test": {20_000, 20_001}}


def test_named_requests_are_kept_and_not_drawn_again() -> None:
    drawn = draw_requests(
        scenario_of(optimise={"requests": ["milk", "two"]}, validate={"requests": 3}), CATALOG
    )
    assert drawn["optimise"] == ("milk", "two")
    assert not {"milk", "two"} & {*drawn["validate"], *drawn["test"]}
    assert sorted(sum(drawn.values(), ())) == sorted(request.id for request in CATALOG.requests)


def test_drawn_requests_do_not_depend_on_seeds_or_attack() -> None:
    wanted = {"evaluate": {"requests": 2, "orders": 1}}
    one = draw_requests(scenario_of(seeds=[1], **wanted), CATALOG)
    two = draw_requests(scenario_of(seeds=[2], attack={"use": "fixed_text", "text": "x"}, **wanted), CATALOG)
    assert one == two
    assert one != draw_requests(
        scenario_of(**wanted), CATALOG.of([CATALOG.item("pico")], requests=CATALOG.requests)
    )


def test_the_floor_exists_where_a_stack_samples() -> None:
    arms = Counter(arm.name for trial in plan_of(deterministic=False).evaluations for arm in trial.arms)
    assert arms["clean_again"] == 2 * 6
    (again,) = {
        arm for trial in plan_of(deterministic=False).evaluations for arm in trial.arms if arm.replicate
    }
    assert (again.name, again.replicate, again.seed) == ("clean_again", 1, None)
    assert not any(arm.replicate for trial in plan_of().evaluations for arm in trial.arms)


def test_validation_only_with_a_choice_to_make() -> None:
    one = plan_of(seeds=[0])
    assert set(one.splits) == {"optimise", "test"}
    assert {trial.split for trial in one.evaluations} == {"test"}
    two = [trial for trial in plan_of().evaluations if trial.split == "validate"]
    assert [(arm.name, arm.seed) for arm in two[0].arms] == [("clean", None), ("attack", 4), ("attack", 9)]


def test_without_an_attack() -> None:
    bare = {key: DATA[key] for key in ("version", "name", "catalog", "stack", "evaluate")}
    found = plan(from_mapping(bare, registry=toy_registry()), CATALOG, deterministic=True)
    assert found.attacks == ()
    assert set(found.splits) == {"test"}
    assert {(trial.target, trial.slot) for trial in found.evaluations} == {(None, None)}
    assert (
        found.evaluations[0].lines[0] == f"evaluate/test/-/{found.evaluations[0].requests[0]}/20000/clean/-/0"
    )


@pytest.mark.parametrize(
    ("have", "wanted", "drawn"),
    [(1, "all", 1), (4, "all", 4), (5, "all", 1), (8, "all", 4), (8, 4, 4), (8, 5, 5), (5, 3, 3), (1, 1, 1)],
)
def test_without_an_attack_the_evaluation_goes_short_of_nothing(
    have: int, wanted: int | str, drawn: int
) -> None:
    """Requests are kept from it for splits that are not used only as long as there are enough."""
    bare = {key: DATA[key] for key in ("version", "name", "catalog", "stack")}
    values = {**bare, "evaluate": {"requests": wanted, "orders": 2}}
    catalog = CATALOG.of([CATALOG.item("pico")], requests=CATALOG.requests[:have])
    scenario = from_mapping(values, registry=toy_registry())
    assert scenario.check_against(catalog) == []
    splits = plan(scenario, catalog, deterministic=True).splits
    requests = [situation.request for situation in splits["test"]]
    assert len(set(requests)) == drawn
    attacked = draw_requests(scenario_of(optimise={}, validate={}, evaluate={"requests": wanted}), catalog)
    assert set(attacked["test"]) <= set(requests)


def test_a_catalog_with_one_request_can_be_run_without_an_attack(tmp_path: Path) -> None:
    class OneWish(CatalogPlugin):
        """The toys with a single request."""

        def load(self) -> Catalog:
            return replace(CATALOG, requests=CATALOG.requests[:1])

    bare = {key: DATA[key] for key in ("version", "name", "stack")}
    values = {**bare, "catalog": {"use": "one"}, "evaluate": {"orders": 2}}
    result = run(
        from_mapping(values, registry=toy_registry().extended(catalogs={"one": OneWish})), tmp_path / "run"
    )
    assert [record.key for record in result.records] == [
        f"evaluate/test/-/cheap/{order}/clean/-/0" for order in (20_000, 20_001)
    ]
    assert result.verdict["sentence"]


def test_a_limit_that_keeps_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="limit 0 keeps no presentation order; the least is 1"):
        plan_of(limit=0)


def test_limit_keeps_test_orders() -> None:
    found = plan_of(limit=2)
    assert {trial.order for trial in found.evaluations if trial.split == "test"} == {20_000, 20_001}
    assert found.attacks == plan_of().attacks
    assert {situation.order for situation in found.splits["test"]} == {20_000, 20_001}


@pytest.mark.parametrize(
    ("stack", "pool"), [([{"use": "toy"}], 6), ([{"use": "bm25", "k": 4}, {"use": "toy"}], 4)]
)
def test_slots_cover_what_the_last_stage_is_shown(stack: list[dict[str, Any]], pool: int) -> None:
    assert pool_size(scenario_of(stack=stack), len(CATALOG)) == pool
    slots = [trial.slot for trial in plan_of(stack=stack).evaluations if trial.split == "test"]
    assert set(slots) == set(range(pool))
    late = plan_of(stack=stack, optimise={"requests": 1, "orders": 4, "slots": "late"}).splits["optimise"]
    assert min(situation.slot or 0 for situation in late) >= pool - max(1, pool // 3)
