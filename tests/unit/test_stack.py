"""The stage graph: its faults, its flow, edits and traces."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from retrievers.fuse import ReciprocalRankFusion
from testbed.errors import UserError
from testbed.protocols import Context
from testbed.seeds import derive
from testbed.stack import Call, Node, OverAllowance, Scope, Stack, graph_of
from testbed.testing import toy_catalog, toy_stack
from testbed.types import Intervention, Listing, Request, Situation, Slate, StageTrace, TextEdit, Usage

CATALOG = toy_catalog()
REQUEST = CATALOG.requests[0]


@dataclass
class Keep:
    """Keeps the first k listings, by id or backwards; remembers what it was given."""

    k: int = 99
    backwards: bool = False
    seen: list[tuple[Context, Slate]] = field(default_factory=list)

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        self.seen.append((context, inputs[0]))
        ranked = sorted(inputs[0], key=lambda listing: listing.item_id, reverse=self.backwards)
        return Slate(tuple(ranked[: self.k]), usage=Usage(tokens=3, computed=2))


@dataclass
class Priced(Keep):
    def price(self, context: Context, slate: Slate) -> int:
        return len(slate)


@dataclass
class Index(Keep):
    """Remembers how often it was re-indexed."""

    edits: Intervention = ()
    made: list[Intervention] = field(default_factory=list)

    def with_edits(self, intervention: Intervention) -> Index:
        self.made.append(intervention)
        return replace(self, edits=intervention)


def call(
    intervention: Intervention = (), target: str | None = "grand", order: int = 0, replicate: int = 0
) -> Call:
    return Call(REQUEST, Situation(REQUEST.id, order), intervention, target, replicate)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ([("a", ("b",))], "stage 'a' reads from 'b', which is no stage"),
        ([("a", ("source",)), ("a", ("source",))], "two stages are called 'a'"),
        ([("a", ("b",)), ("b", ("a",))], "the stages form a cycle: a → b"),
        ([("a", ("a",))], "the stages form a cycle: a"),
    ],
)
def test_graph_faults(edges: Sequence[tuple[str, tuple[str, ...]]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        graph_of(edges)


def test_two_ends_are_refused() -> None:
    with pytest.raises(ValueError, match="the stack must end in one stage; a, b lead nowhere"):
        Stack(CATALOG, [Node("a", Keep()), Node("b", Keep())])


def test_a_chain_hands_on_what_it_keeps() -> None:
    last = Keep(2)
    stack = Stack(CATALOG, [Node("last", last, ("first",)), Node("first", Keep(4, backwards=True))])
    (outcome,) = stack.run([call()])
    assert [node.name for node in stack.nodes] == ["first", "last"]
    assert list(last.seen[0][1].ids) == ["trek", "pico", "grand", "duo"]
    assert list(outcome.slate.ids) == ["duo", "grand"]
    assert outcome.traces == (StageTrace("first", None, 3, 6), StageTrace("last", 3, 2, 4))
    assert outcome.usage == Usage(queries=1, tokens=6, computed=4)


def test_a_dropped_target_leaves_the_trace_empty() -> None:
    stack = Stack(CATALOG, [Node("first", Keep(1)), Node("last", Keep(), ("first",))])
    (outcome,) = stack.run([call()])
    assert outcome.traces == (StageTrace("first", None, None, 6), StageTrace("last", None, None, 1))


def test_fuse_joins_two_branches() -> None:
    nodes = [
        Node("up", Keep(3)),
        Node("down", Keep(3, backwards=True)),
        Node("fuse", ReciprocalRankFusion(), ("up", "down")),
    ]
    (outcome,) = Stack(CATALOG, nodes).run([call()])
    assert sorted(outcome.slate.ids) == sorted({"basic", "capsa", "duo", "trek", "pico", "grand"})
    assert outcome.slate.ids[0] == "basic"


def test_a_fusion_is_shown_what_any_of_its_inputs_has() -> None:
    ids = sorted(CATALOG.ids)
    nodes = [
        Node("up", Keep(3)),
        Node("down", Keep(2, backwards=True)),
        Node("fuse", ReciprocalRankFusion(keep=1), ("up", "down")),
    ]
    traces = Stack(CATALOG, nodes).run([call(target=ids[-2]), call(target=ids[1]), call(target=ids[3])])
    fused = [(one.traces[-1].rank_in, one.traces[-1].pool) for one in traces]
    assert fused == [(2, 5), (2, 5), (None, 5)]


def test_edits_reach_every_stage_and_touch_one_field_of_one_item() -> None:
    index, last = Index(), Keep()
    stack = Stack(CATALOG, [Node("index", index), Node("last", last, ("index",))])
    edit = (TextEdit("duo", "Description", "Best!"),)
    stack.run([call(edit), call(edit, order=1), call()])
    assert index.made == [edit]
    shown = {listing.item_id: dict(listing.fields) for listing in last.seen[0][1]}
    for item_id in CATALOG.ids:
        expected = CATALOG.fields(item_id)
        if item_id == "duo":
            expected["Description"] += " Best!"
        assert shown[item_id] == expected
    assert {listing.item_id: dict(listing.fields) for listing in last.seen[2][1]} == {
        item_id: CATALOG.fields(item_id) for item_id in CATALOG.ids
    }


def test_noise_follows_request_order_replicate_and_stage_but_not_the_arm() -> None:
    first, last = Keep(), Keep()
    stack = Stack(CATALOG, [Node("first", first), Node("last", last, ("first",))], seed=5)
    edit = (TextEdit("duo", "Description", "Best!"),)
    stack.run([call(), call(edit), call(target=None), call(order=1), call(replicate=1)])
    seeds = [context.seed for context, _ in first.seen]
    assert seeds[0] == seeds[1] == seeds[2] == derive(5, REQUEST.id, 0, 0, "first")
    assert len({*seeds, *(context.seed for context, _ in last.seen)}) == 6


def test_one_memo_a_scope() -> None:
    stage = Keep()
    stack = Stack(CATALOG, [Node("only", stage)])
    stack.run([call(), call(order=1)])
    stack.run([call()])
    memos = [context.memo for context, _ in stage.seen]
    assert memos[0] is memos[1]
    assert memos[0] is not memos[2]


def test_allowance_is_asked_before_a_stage_computes() -> None:
    stage = Priced()
    stack = Stack(CATALOG, [Node("only", stage)])
    with pytest.raises(OverAllowance):
        stack.run([call(), call(order=1)], Scope(allowance=11))
    assert stage.seen == []
    scope = Scope(allowance=12)
    stack.run([call(), call(order=1)], scope)
    assert scope.allowance == 0
    assert scope.spent == Usage(tokens=6, computed=4)


def test_deterministic_when_all_stages_are() -> None:
    assert toy_stack().deterministic
    assert not toy_stack(noise=1.0).deterministic


def test_unknown_request_has_no_effect_on_the_stack() -> None:
    stranger = Request("other", "anything")
    (outcome,) = toy_stack().run([Call(stranger, Situation("other", 0))])
    assert sorted(outcome.slate.ids) == sorted(CATALOG.ids)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("pico", "stage 'odd' returned str, not a Slate: 'pico'"),
        (Slate(("pico",)), "stage 'odd' returned a slate of str, not of listings"),  # type: ignore[arg-type]
        (
            Slate((Listing("pico", {"Name": None}),)),  # type: ignore[dict-item]
            "stage 'odd' returned 'None' as the field 'Name' of 'pico': fields hold text",
        ),
    ],
)
def test_an_answer_that_is_no_ranking_is_refused_by_the_name_of_its_stage(answer: Any, message: str) -> None:
    stack = Stack(toy_catalog(), [Node("odd", lambda context, slate: answer)])
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        stack.run([Call(stack.catalog.requests[0], Situation("cheap", 0))])
