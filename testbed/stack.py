"""The stage graph: an implicit source emits the (edited) catalog, stages rank it one after another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from testbed.catalog import Catalog
from testbed.errors import UserError, shown
from testbed.protocols import Batched, Context, Editable, Priced, Stage
from testbed.seeds import derive
from testbed.types import (
    HistoryEdit,
    Intervention,
    Listing,
    Request,
    Situation,
    Slate,
    StageTrace,
    Usage,
    history_edits,
    text_edits,
)

if TYPE_CHECKING:
    import networkx as nx

SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Call:
    """One question to the stack: a request in a situation, in the world that an intervention makes."""

    request: Request
    situation: Situation
    intervention: Intervention = ()
    target_id: str | None = None
    replicate: int = 0

    @property
    def told(self) -> Call:
        """The call as stages meet it: items that are put into the history stand in the request."""
        if not any(isinstance(edit, HistoryEdit) for edit in self.intervention):
            return self
        request = self.request.with_inserted(history_edits(self.intervention))
        return replace(self, request=request, intervention=text_edits(self.intervention))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the stack answered: the final slate and the target's way through the stages."""

    slate: Slate
    traces: tuple[StageTrace, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Node:
    """A built stage in the graph. `inputs` names earlier nodes; none means the source."""

    name: str
    stage: Stage
    inputs: tuple[str, ...] = (SOURCE,)
    deterministic: bool = True


@dataclass(slots=True)
class Scope:
    """What may be remembered between calls of one trial (prompt prefixes, re-indexed stages), and its limit.

    `allowance`: logical tokens that may still be spent; None for no limit. `spent`: what its calls took,
    refused ones included as far as they got. One scope belongs to one trial, so what a trial computes never
    depends on which trials ran before it.
    """

    memo: dict[Any, Any] = field(default_factory=dict)
    allowance: float | None = None
    spent: Usage = Usage()


class Stack:
    """A directed acyclic graph of stages over one catalog. Immutable; the last stage's slate is the answer."""

    def __init__(self, catalog: Catalog, nodes: Sequence[Node], seed: int = 0) -> None:
        import networkx as nx  # takes 0.2 s, which checking a scenario need not wait for

        self.catalog, self.seed = catalog, seed
        by_name = {node.name: node for node in nodes}
        self.graph = graph_of((node.name, node.inputs) for node in nodes)
        self.nodes = tuple(
            by_name[name] for name in nx.lexicographical_topological_sort(self.graph) if name != SOURCE
        )
        sinks = [name for name in self.graph if self.graph.out_degree(name) == 0]
        if len(sinks) != 1:
            raise ValueError(f"the stack must end in one stage; {', '.join(sorted(sinks))} lead nowhere")
        self.last = by_name[sinks[0]]

    @property
    def deterministic(self) -> bool:
        """Whether repeating a call always gives the same ranking."""
        return all(node.deterministic for node in self.nodes)

    def run(self, calls: Sequence[Call], scope: Scope | None = None) -> list[Outcome]:
        """Answer calls, each stage taking all of them at once."""
        scope = scope or Scope()
        calls = [call.told for call in calls]
        flow = self._until(self.last.name, calls, scope)
        answers = self._step(self.last, calls, flow, scope)
        flow.append((self.last.name, answers))
        return [self._outcome(index, call, flow) for index, call in enumerate(calls)]

    def inputs_of_last(self, calls: Sequence[Call], scope: Scope) -> list[tuple[Context, Slate]]:
        """What the last stage would be called with: for scoring and gradients. It must take one slate."""
        return self.inputs_of(self.last.name, calls, scope)

    def inputs_of(self, name: str, calls: Sequence[Call], scope: Scope) -> list[tuple[Context, Slate]]:
        """What a stage would be called with. It must take one slate."""
        node = self.node(name)
        calls = [call.told for call in calls]
        slates = self._inputs(node, calls, self._until(name, calls, scope))
        return [
            (self._context(node, call, scope), inputs[0]) for call, inputs in zip(calls, slates, strict=True)
        ]

    def node(self, name: str) -> Node:
        """A stage by its name; KeyError where there is none."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(f"the stack has no stage {name!r}")

    def ancestors(self, name: str) -> set[str]:
        """Names of the stages whose rankings a stage depends on."""
        import networkx as nx

        return set(nx.ancestors(self.graph, name)) - {SOURCE}

    def upto(self, name: str) -> Stack:
        """The stack that ends in one of its stages, with the same stages before it."""
        if name == self.last.name:
            return self
        kept = {name, *self.ancestors(self.node(name).name)}
        return Stack(self.catalog, [node for node in self.nodes if node.name in kept], self.seed)

    def price(self, calls: Sequence[Call], scope: Scope) -> int:
        """Tokens that calls have, told by running only the stages that take none.

        A lower bound where a priced stage feeds another: what that one will be shown is not known.
        """
        calls = [call.told for call in calls]
        flow = [(SOURCE, [self.catalog.source(call.intervention, call.request) for call in calls])]
        total = 0
        for node in self.nodes:
            if not set(node.inputs) <= dict(flow).keys():
                continue
            jobs = [
                (self._context(node, call, scope), inputs)
                for call, inputs in zip(calls, self._inputs(node, calls, flow), strict=True)
            ]
            if isinstance(node.stage, Priced):
                total += sum(node.stage.price(context, inputs[0]) for context, inputs in jobs)
            elif node is not self.last:
                flow.append((node.name, self._answers(node, calls, jobs, scope)))
        return total

    def _until(self, name: str, calls: Sequence[Call], scope: Scope) -> list[tuple[str, list[Slate]]]:
        flow = [(SOURCE, [self.catalog.source(call.intervention, call.request) for call in calls])]
        for node in self.nodes:
            if node.name == name:
                break
            flow.append((node.name, self._step(node, calls, flow, scope)))
        return flow

    def _inputs(
        self, node: Node, calls: Sequence[Call], flow: list[tuple[str, list[Slate]]]
    ) -> list[tuple[Slate, ...]]:
        have = dict(flow)
        return [tuple(have[name][index] for name in node.inputs) for index in range(len(calls))]

    def _context(self, node: Node, call: Call, scope: Scope) -> Context:
        seed = derive(self.seed, call.request.id, call.situation.order, call.replicate, node.name)
        return Context(call.request, call.situation, call.target_id, seed, scope.memo)

    def _step(
        self, node: Node, calls: Sequence[Call], flow: list[tuple[str, list[Slate]]], scope: Scope
    ) -> list[Slate]:
        jobs = [
            (self._context(node, call, scope), inputs)
            for call, inputs in zip(calls, self._inputs(node, calls, flow), strict=True)
        ]
        if scope.allowance is not None and isinstance(node.stage, Priced):
            scope.allowance -= sum(node.stage.price(context, inputs[0]) for context, inputs in jobs)
            if scope.allowance < 0:
                raise OverAllowance
        answers = self._answers(node, calls, jobs, scope)
        _refuse_odd(node, len(calls), answers)
        for slate in answers:
            scope.spent += replace(slate.usage, queries=0)
        return answers

    def _answers(
        self,
        node: Node,
        calls: Sequence[Call],
        jobs: Sequence[tuple[Context, tuple[Slate, ...]]],
        scope: Scope,
    ) -> list[Slate]:
        if isinstance(node.stage, Editable):
            return [
                self._edited(node, call.intervention, scope)(context, *inputs)
                for call, (context, inputs) in zip(calls, jobs, strict=True)
            ]
        if isinstance(node.stage, Batched):
            return node.stage.many(jobs)
        return [node.stage(context, *inputs) for context, inputs in jobs]

    def _edited(self, node: Node, intervention: Intervention, scope: Scope) -> Stage:
        if not intervention or not isinstance(node.stage, Editable):
            return node.stage
        key = ("edited", node.name, intervention)
        if key not in scope.memo:
            scope.memo[key] = node.stage.with_edits(intervention)
        stage: Stage = scope.memo[key]
        return stage

    def _outcome(self, index: int, call: Call, flow: list[tuple[str, list[Slate]]]) -> Outcome:
        have = {name: slates[index] for name, slates in flow}
        traces = []
        usage = Usage()
        for name, slates in flow[1:]:
            before = [have[one] for one in self.node(name).inputs]
            known = call.target_id if call.target_id is not None else ""
            ranked = [slate for slate in before if slate.listings is not have[SOURCE].listings]
            ranks = [rank for slate in ranked if known and (rank := slate.rank_of(known)) is not None]
            pool = len(before[0]) if len(before) == 1 else len({one for slate in before for one in slate.ids})
            answer = slates[index]
            rank_in = min(ranks, default=None)
            traces.append(StageTrace(name, rank_in, answer.rank_of(known), pool, answer.detail))
            usage += answer.usage
        final = have[self.last.name]
        return Outcome(final, tuple(traces), replace(usage, queries=1))


def _refuse_odd(node: Node, asked: int, answers: Any) -> None:
    """UserError that names the stage where it returned something else than listings with texts."""
    if not isinstance(answers, Sequence) or len(answers) != asked:
        raise UserError(f"stage {node.name!r}: many() returned {shown(answers)} for {asked} calls")
    for slate in answers:
        if not isinstance(slate, Slate):
            raise UserError(
                f"stage {node.name!r} returned {type(slate).__name__}, not a Slate: {shown(slate)}"
            )
        if not isinstance(slate.listings, tuple | list):  # a lazy view of the catalog, which holds text
            continue
        for listing in slate.listings:
            if not isinstance(listing, Listing):
                raise UserError(
                    f"stage {node.name!r} returned a slate of {type(listing).__name__}, not of listings"
                )
            for name, text in listing.fields.items():
                if not isinstance(text, str):
                    raise UserError(
                        f"stage {node.name!r} returned {shown(text)} as the field {name!r} of {listing.item_id!r}: "
                        "fields hold text"
                    )


class OverAllowance(Exception):
    """A call would have spent more tokens than allowed; nothing of it was computed."""


def graph_of(edges: Iterable[tuple[str, Sequence[str]]]) -> nx.DiGraph:
    """The graph of (stage, inputs) pairs. ValueError for unknown inputs, duplicates and cycles."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_node(SOURCE)
    wanted = list(edges)
    names = [name for name, _ in wanted]
    for name, inputs in wanted:
        if name in graph:
            raise ValueError(f"two stages are called {name!r}")
        graph.add_node(name)
        for source in inputs:
            if source != SOURCE and source not in names:
                raise ValueError(f"stage {name!r} reads from {source!r}, which is no stage")
    graph.add_edges_from((source, name) for name, inputs in wanted for source in inputs)
    if not nx.is_directed_acyclic_graph(graph):
        cycle = " → ".join(edge[0] for edge in nx.find_cycle(graph))
        raise ValueError(f"the stages form a cycle: {cycle}")
    return graph
