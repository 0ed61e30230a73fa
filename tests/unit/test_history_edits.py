"""Items put into histories: where they go, who notices, what is recorded, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from testbed.arms import inserted_by, intervention_of
from testbed.catalog import Catalog
from testbed.environment import Environment
from testbed.errors import ScenarioError
from testbed.plan import Arm
from testbed.protocols import Access, AttackPlugin, CatalogPlugin, Context, StagePlugin, Step, Victim
from testbed.records import AttackRecord, from_line, to_line
from testbed.scenario import from_mapping
from testbed.stack import Call, Node, Scope, Stack
from testbed.tables.build import build as tables_of
from testbed.testing import ToyObjective, check_attack, toy_catalog, toy_registry, toy_stack
from testbed.testing.failures import CheckFailed
from testbed.trial import run_attack, run_evaluation
from testbed.types import HistoryEdit, Listing, Request, Situation, Slate, Target
from testbed.victim import AccessDenied, StackVictim
from testbed.world import World, build

TARGET = Target("grand", "Description")


class Recent(StagePlugin):
    """Ranks what stands in the history, newest first, before everything else: reads histories and nothing more."""

    def build(self, catalog: Catalog, env: Environment) -> RecentStage:
        return RecentStage()


class RecentStage:
    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        place = {item: position for position, item in enumerate(context.request.history)}
        order = sorted(slate.ids, key=lambda item: -place.get(item, -1))
        return Slate(tuple(Listing(item, {}, float(place.get(item, -1))) for item in order))


class Visits(CatalogPlugin):
    """The toy catalog; everybody has looked at the same two things."""

    def load(self) -> Catalog:
        return with_histories(("pico", "duo"))


def with_histories(history: tuple[str, ...]) -> Catalog:
    from dataclasses import replace

    catalog = toy_catalog()
    return replace(catalog, requests=tuple(replace(request, history=history) for request in catalog.requests))


class Insert(AttackPlugin):
    """Puts given items into histories, with or without text."""

    access: ClassVar[Access] = Access.none

    put: tuple[tuple[str, int], ...] = (("grand", 0),)
    text: str = ""
    declared: int = 9

    @property
    def inserts(self) -> int:
        return self.declared

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        yield Step((*targets[0].edit(self.text), *(HistoryEdit(*one) for one in self.put)))


def data_of(threat: dict[str, Any] | None = None, arms: Sequence[str] = ("clean",), **options: Any) -> Any:
    return {
        "version": 1,
        "name": "visits",
        "catalog": {"use": "visits"},
        "stack": [{"use": "recent"}],
        "targets": {"items": ["grand"]},
        "attack": {"use": "insert", **options},
        "threat": {"field": "Description", "history": 9, **(threat or {})},
        "evaluate": {"requests": 2, "orders": 1, "arms": list(arms)},
    }


REGISTRY = toy_registry().extended(
    stages={"recent": Recent}, catalogs={"visits": Visits}, attacks={"insert": Insert}
)


def world_of(threat: dict[str, Any] | None = None, arms: Sequence[str] = ("clean",), **options: Any) -> World:
    return build(from_mapping(data_of(threat, arms, **options), registry=REGISTRY))


@pytest.mark.parametrize(
    ("history", "edits", "expected"),
    [
        ("abc", [("x", 0)], "abcx"),
        ("abc", [("x", 1)], "abxc"),
        ("abc", [("x", 3)], "xabc"),
        ("abc", [("x", 7)], "xabc"),
        ("abc", [("x", 0), ("y", 0)], "abcxy"),
        ("abc", [("x", 2), ("y", 1), ("z", 0)], "axbycz"),
        ("abc", [("z", 0), ("x", 2)], "axbcz"),
        ("a", [("x", 5), ("y", 9), ("z", 5)], "yxza"),
        ("", [("x", 0), ("y", 2)], "yx"),
        ("abc", [], "abc"),
    ],
)
def test_items_go_where_so_many_genuine_ones_come_after(
    history: str, edits: list[tuple[str, int]], expected: str
) -> None:
    request = Request("r", "text", tuple(history))
    found = request.with_inserted([HistoryEdit(*one) for one in edits])
    assert "".join(found.history) == expected
    assert (found.id, found.text) == ("r", "text")


def test_an_age_is_no_time_to_come() -> None:
    with pytest.raises(ValueError, match="age -1 is in the future; the least is 0"):
        HistoryEdit("x", -1)


def test_a_stage_that_reads_histories_meets_the_edited_one() -> None:
    catalog = with_histories(("pico", "duo"))
    stack = Stack(catalog, [Node("recent", RecentStage())])
    request = catalog.requests[0]
    calls = [
        Call(request, Situation(request.id, 0), edits, "grand")
        for edits in ((), (HistoryEdit("grand"),), (HistoryEdit("grand", 1), HistoryEdit("trek", 2)))
    ]
    clean, newest, older = (tuple(one.slate.ids)[:4] for one in stack.run(calls))
    assert clean[:2] == ("duo", "pico")
    assert newest[:3] == ("grand", "duo", "pico")
    assert older == ("duo", "grand", "pico", "trek")  # trek is older than both: pico came after it
    context, _ = stack.inputs_of_last([calls[1]], Scope())[0]
    assert context.request.history == ("pico", "duo", "grand")


def test_stages_that_read_no_history_do_not_notice() -> None:
    catalog = with_histories(("pico", "duo"))
    stack = toy_stack(catalog, noise=0.5, first=4)
    request = catalog.requests[1]
    text = TARGET.edit("milk foam")
    for edits in ((), text):
        plain, polluted = stack.run(
            [
                Call(request, Situation(request.id, 3), (*edits, *put), "grand")
                for put in ((), (HistoryEdit("grand"), HistoryEdit("trek", 1)))
            ]
        )
        assert plain == polluted
    assert stack.price(
        [Call(request, Situation(request.id, 3), (HistoryEdit("grand"),), "grand")], Scope()
    ) == stack.price([Call(request, Situation(request.id, 3), (), "grand")], Scope())


def test_a_victim_refuses_more_than_the_threat_allows_and_what_does_not_exist() -> None:
    catalog = with_histories(("pico",))
    stack = Stack(catalog, [Node("recent", RecentStage())])
    situation = Situation(catalog.requests[0].id, 0)

    def victim(history: int) -> StackVictim:
        return StackVictim(stack, [TARGET], [situation], access=Access.ranks, history=history)

    assert victim(1).history == 1
    assert list(victim(1).items) == list(catalog.ids)
    assert victim(1).ranks([(HistoryEdit("grand"),), ()]) == [[1], [3]]
    for allowed, edits, message in (
        (0, [("grand", 0)], "put 1 items into histories; the threat model allows 0"),
        (1, [("grand", 0), ("pico", 0)], "put 2 items into histories; the threat model allows 1"),
        (1, [("gone", 0)], "there is no item 'gone' to put into a history"),
    ):
        asked = victim(allowed)
        with pytest.raises(AccessDenied, match=message):
            asked.ranks([tuple(HistoryEdit(*one) for one in edits)])
        assert not asked.meter.usage.queries


def test_screening_and_scoring_keep_texts_and_histories_apart() -> None:
    catalog = with_histories(("pico",))
    situations = [Situation(request.id, order) for request in catalog.requests[:2] for order in (0, 1)]

    def victim() -> StackVictim:
        return StackVictim(
            toy_stack(catalog),
            [TARGET],
            situations,
            access=Access.scores,
            history=2,
            objective=ToyObjective(),
        )

    put = (HistoryEdit("trek"),)
    worlds = [TARGET.edit("milk"), (*TARGET.edit("milk"), *put), TARGET.edit("foam"), put, ()]
    found = victim().objective(worlds)
    assert np.array_equal(found, np.concatenate([victim().objective([world]) for world in worlds]))
    assert np.array_equal(found[0], found[1])  # the toy reads no history
    assert np.array_equal(found[3], found[4])
    assert not np.array_equal(found[0], found[2])
    np.testing.assert_allclose(victim().screen(worlds, TARGET.edit("milk")), found)


def test_a_run_records_what_was_inserted_and_every_arm_is_measured_with_its_own() -> None:
    world = world_of(arms=("clean", "attack", "random_items"), put=[["trek", 1], ["grand", 0]], text="milk")
    (trial,) = world.plan.attacks
    record, trace = run_attack(world, trial)
    assert record.status == "ok", record.note
    assert (record.text, record.history) == ("milk", (HistoryEdit("trek", 1), HistoryEdit("grand", 0)))
    assert trace[0]["history"] == [{"item_id": "trek", "age": 1}, {"item_id": "grand", "age": 0}]
    assert from_line(to_line(record)) == record
    assert '"history":[{"item_id":"trek","age":1},{"item_id":"grand","age":0}]' in to_line(record)
    (evaluation,) = [one for one in world.plan.evaluations if one.split == "test"]
    found = run_evaluation(world, evaluation, {trial: record})
    tops = {(one.request, one.arm): one.ranking[:4] for one in found}
    for request in evaluation.requests:
        assert tops[request, "clean"][:2] == ("duo", "pico")
        assert tops[request, "attack"] == ("grand", "duo", "trek", "pico")
        assert "grand" not in tops[request, "random_items"][:2]
        assert tops[request, "random_items"] != tops[request, "clean"]
    tables = tables_of(
        [record, *found], {"schema": 1, "targets": {"grand": {}}, "items": {"trek": "Trek Pot"}}
    )
    (example,) = tables["examples"]
    assert example["history"] == [
        {"item": "trek", "name": "Trek Pot", "age": 1},
        {"item": "grand", "name": "grand", "age": 0},
    ]
    assert not any("wrote nothing" in note for note in tables["notes"])


def test_a_record_without_inserted_items_is_written_as_before() -> None:
    line = to_line(AttackRecord(key="attack/a/0", target="a", field="f", seed=0, text="x"))
    assert "history" not in line
    assert from_line(line).history == ()  # type: ignore[union-attr]
    assert AttackRecord(key="k", target="a", field="f", seed=0, text="").idle
    assert not AttackRecord(key="k", target="a", field="f", seed=0, text="", history=(HistoryEdit("b"),)).idle


def test_random_items_are_as_many_at_the_same_places_and_never_the_target() -> None:
    stack = toy_stack()
    edits = (HistoryEdit("grand", 4), HistoryEdit("grand", 2), HistoryEdit("grand", 0))
    record = AttackRecord(key="k", target="grand", field="Description", seed=0, text="t", history=edits)
    drawn = inserted_by(Arm("random_items", 0), TARGET, stack, {0: record})
    assert [edit.age for edit in drawn] == [4, 2, 0]
    assert len({edit.item_id for edit in drawn} - {"grand"}) == 3
    assert drawn == inserted_by(Arm("random_items", 0), TARGET, stack, {0: record})
    assert intervention_of(Arm("attack", 0), TARGET, stack, {0: record}) == (*TARGET.edit("t"), *edits)
    assert intervention_of(Arm("random_items", 0), TARGET, stack, {0: record}) == drawn
    for arm in (Arm("clean"), Arm("random_tokens", 0), Arm("honest_text")):
        assert inserted_by(arm, TARGET, stack, {0: record}) == ()


@pytest.mark.parametrize(
    ("threat", "options", "note"),
    [
        ({"history": 1}, {"put": [["grand", 0], ["pico", 0]], "declared": 1},
         "put 2 items into histories; threat.history is 1"),
        ({"history": None}, {"declared": 0}, "put 1 items into histories; threat.history is 0"),
        ({}, {"put": [["gone", 0]]}, "put 'gone' into histories, which is no item"),
    ],
)  # fmt: skip
def test_a_step_beyond_the_threat_fails_and_says_so(
    threat: dict[str, Any], options: dict[str, Any], note: str
) -> None:
    world = world_of(threat, **options)
    record, _ = run_attack(world, world.plan.attacks[0])
    assert record.status == "error"
    assert record.note == f"UserError: a step {note}"
    assert record.idle


@pytest.mark.parametrize(
    ("threat", "arms", "options", "message"),
    [
        ({"history": None}, ["clean"], {"declared": 2},
         "threat: the attack puts 2 items into histories, which the threat does not allow; add history: 2"),
        ({"history": 1}, ["clean"], {"declared": 2},
         "threat.history: the attack puts 2 items into histories, but only 1 is allowed; write history: 2, or take"),
        ({"history": 0}, ["clean"], {}, "threat.history"),
        ({"history": None}, ["clean", "random_items"], {"declared": 0},
         "evaluate.arms.1: the arm random_items needs an attack on histories, whose number of items it takes"),
    ],
)  # fmt: skip
def test_a_scenario_says_what_does_not_fit(
    threat: dict[str, Any], arms: list[str], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        from_mapping(data_of(threat, arms, **options), registry=REGISTRY)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"declared": 0}, "a step puts no more items into histories than the plug-in says"),
        ({"put": [["gone", 0]]}, "what is put into histories is in the catalog"),
    ],
)
def test_the_checks_for_plugins_catch_what_is_put_where_it_should_not(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckFailed, match=message):
        check_attack(Insert(**given), examples=1)


def test_arms_are_those_of_histories_unless_others_are_named() -> None:
    given = {**data_of(), "evaluate": {"requests": 2}}
    assert from_mapping(given, registry=REGISTRY).evaluate.arms == ("clean", "attack", "random_items")
    given["threat"] = {"field": "Description"}
    given["attack"] = {"use": "insert", "declared": 0}
    arms = from_mapping(given, registry=REGISTRY).evaluate.arms
    assert arms == ("clean", "attack", "random_tokens", "honest_text")


def test_the_hash_of_a_scenario_without_history_stays() -> None:
    given = data_of({"history": None}, declared=0)
    plain = from_mapping(given, registry=REGISTRY)
    assert "history" not in plain.as_dict()["threat"]
    assert from_mapping(data_of(), registry=REGISTRY).hash != plain.hash
