"""The stack as an attacker may see it: access enforced and every call paid for before anything is computed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

import numpy as np

from testbed.errors import UserError, listed
from testbed.protocols import (
    Access,
    Context,
    Continuation,
    Differentiable,
    Objective,
    Probe,
    Proposing,
    Sampling,
    Scorable,
    ScorableTogether,
    Screening,
    Seeking,
    Sought,
    Surface,
    TokenGradient,
)
from testbed.stack import Call, Node, Stack
from testbed.types import (
    HistoryEdit,
    Intervention,
    Request,
    Situation,
    Slate,
    Target,
    Usage,
    history_edits,
)
from testbed.victim.meter import Meter
from testbed.victim.passage import Passage
from testbed.victim.permissions import Permissions
from testbed.victim.slope import abreast, dropped_losses

Ability = TypeVar("Ability")


class StackVictim:
    """A stack behind an access level and a budget, on the situations that an attacker may use.

    `seen`: names of stages before the last one whose answers the attacker sees too, in the order of the stack.
    `history`: most items that may be put into histories.
    """

    def __init__(
        self,
        stack: Stack,
        targets: Sequence[Target],
        situations: Sequence[Situation],
        *,
        access: Access,
        limits: Mapping[str, float] | None = None,
        objective: Objective | None = None,
        max_tokens: int | None = None,
        meter: Meter | None = None,
        seen: Sequence[str] = (),
        history: int = 0,
    ) -> None:
        self._seen = tuple(stack.node(name) for name in seen)
        self._groups = abreast(self._seen, stack.ancestors)
        self._stack, self._targets, self._objective = stack, tuple(targets), objective
        self._max_tokens = max_tokens
        self.meter = meter if meter is not None else Meter(dict(limits or {}))
        self.situations = tuple(situations)
        self._permissions = Permissions(access, self._targets, self.situations, stack.catalog.rows, history)
        self._passage = Passage(stack, self.meter)

    @property
    def access(self) -> Access:
        """The level that is granted."""
        return self._permissions.access

    @property
    def remaining(self) -> Mapping[str, float]:
        """What is left of each limited unit."""
        return self.meter.remaining()

    @property
    def max_tokens(self) -> int | None:
        """Longest text that may be written, in the victim's tokens; None for no limit."""
        return self._max_tokens

    @property
    def items(self) -> Sequence[str]:
        """Ids of all listings, in the catalog's order."""
        return self._stack.catalog.ids

    @property
    def history(self) -> int:
        """Most items that may be put into histories."""
        return self._permissions.history

    @property
    def stage(self) -> str:
        """The name of the last stage."""
        return self._stack.last.name

    @property
    def stages(self) -> tuple[tuple[str, ...], ...]:
        """Names of the stages that are seen, in the order of the stack, those side by side together."""
        return (*(tuple(node.name for node in group) for group in self._groups), (self.stage,))

    def quote(
        self,
        needs: Access,
        interventions: Sequence[Intervention],
        situations: Sequence[Situation] | None = None,
        base: Intervention | None = None,
    ) -> Usage:
        """Queries and tokens of a call as far as they can be told beforehand; refused where the call would be.

        Tokens are 0 where they are not limited, and a lower bound where a priced stage feeds another.
        `base`: as in `screen`.
        """
        stage = self._stack.last.stage
        if needs >= Access.scores:
            ability: type = Differentiable if needs == Access.gradients else Scorable
            self._last(ability, needs)
        worlds = list(interventions)
        if base is not None and isinstance(stage, Screening):
            worlds.insert(0, base)
        calls = self._calls(needs, worlds, situations)
        queries = len(calls) // max(1, len(worlds)) * len(interventions)
        return Usage(queries=queries, tokens=self._fold * self._passage.price(calls))

    def request(self, situation: Situation) -> Request:
        """The request of a situation."""
        return self._stack.catalog.request(situation.request)

    def listing(self, item_id: str) -> Mapping[str, str]:
        """The public fields of a listing, as the catalog has them."""
        return self._stack.catalog.fields(item_id)

    def name(self, item_id: str) -> str:
        """The name of a listing."""
        return self._stack.catalog.name_of(item_id)

    def ranks(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> list[list[int | None]]:
        """Rank of the first target per (intervention, situation), None when it is not listed.

        RuntimeError where the stack could not answer: a rank that nobody gave must not steer a search.
        """
        calls = self._calls(Access.ranks, interventions, situations)
        self.meter.require(queries=len(calls))
        outcomes = self._passage.run(calls)
        self.meter.pay(Usage(queries=len(calls)))
        failed = next((one.slate.note for one in outcomes if one.slate.status == "error"), None)
        if failed is not None:
            raise RuntimeError(f"the stack could not answer: {failed}")
        ranks = [outcome.slate.rank_of(self._targets[0].item_id) for outcome in outcomes]
        width = len(calls) // max(1, len(interventions))
        return [ranks[start : start + width] for start in range(0, len(ranks), width or 1)]

    def objective(
        self, interventions: Sequence[Intervention], situations: Sequence[Situation] | None = None
    ) -> np.ndarray:
        """Objective per (intervention, situation), lower is better; inf where the target was dropped on the way.

        Where a stage dropped it that the attacker sees, a number from 500 to 1,000 instead: the lower, the closer the
        target was to being let through (see `testbed.victim.slope`).
        """
        stage = self._last(Scorable, Access.scores)  # type: ignore[type-abstract]
        return self._score(interventions, situations, lambda probes: together(stage, probes, self._wanted))

    def screen(
        self,
        interventions: Sequence[Intervention],
        base: Intervention,
        situations: Sequence[Situation] | None = None,
        *,
        recompute: int | None = 8,
    ) -> np.ndarray:
        """`objective` for interventions close to `base`, from what the base left in the cache.

        `recompute`: what follows the edit is taken as it is under the base, but for so many tokens before the
        answer; None computes everything. Exact where the stage cannot screen, and where histories differ. A query is
        counted for every (intervention, situation) as in `objective`.
        """
        stage = self._last(Scorable, Access.scores)  # type: ignore[type-abstract]
        if not isinstance(stage, Screening) or len(_one_history([base, *interventions])) > 1:
            return self.objective(interventions, situations)
        screening = stage

        def losses(probes: Sequence[Probe]) -> tuple[list[np.ndarray], Usage]:
            cut = [Probe(probe.context, probe.slates[1:]) for probe in probes]
            return screening.screen(cut, [probe.slates[0] for probe in probes], self._wanted, recompute)

        return self._score(interventions, situations, losses, base)

    def _score(
        self,
        interventions: Sequence[Intervention],
        situations: Sequence[Situation] | None,
        losses: Callable[[Sequence[Probe]], tuple[list[np.ndarray], Usage]],
        base: Intervention | None = None,
    ) -> np.ndarray:
        """Losses (interventions, situations); with a `base`, its slate goes first into every probe.

        A probe has one context, so that interventions with other items in histories have others of their own.
        """
        worlds = list(interventions) if base is None else [base, *interventions]
        calls = self._calls(Access.scores, worlds, situations)
        paid = len(calls) // max(1, len(worlds)) * len(interventions)
        self.meter.require(queries=paid)
        arrived = self._arrive(self._stack.last, calls)
        self.meter.pay(Usage(queries=paid))
        per = len(calls) // max(1, len(worlds))
        first = len(worlds) - len(interventions)
        groups = [(rows, column) for rows in _one_history(worlds) for column in range(per)]
        probes = [
            Probe(arrived[rows[0] * per + column][0], [arrived[row * per + column][1] for row in rows])
            for rows, column in groups
        ]
        found, usage = losses(probes) if probes else ([], Usage())
        self.meter.pay(usage)
        if not found:
            return np.zeros((len(interventions), 0))
        scores = np.empty((len(interventions), per))
        for (rows, column), values in zip(groups, found, strict=True):
            scores[[row - first for row in rows if row >= first], column] = values
        return self._with_slope(scores, calls[len(calls) - paid :])

    def _with_slope(self, losses: np.ndarray, calls: Sequence[Call]) -> np.ndarray:
        """The losses, with those of seen stages in place of inf. `calls`: one for every loss, row by row."""
        dropped = np.flatnonzero(~np.isfinite(losses))
        if not self._seen or not len(dropped):
            return losses
        found, usage = dropped_losses(
            self._groups, [calls[int(at)] for at in dropped], self._arrive, self._wanted
        )
        self.meter.pay(usage)
        losses = losses.copy()
        losses.ravel()[dropped] = found
        return losses

    def gradients(
        self,
        intervention: Intervention,
        situations: Sequence[Situation] | None = None,
        *,
        stages: Collection[str] | None = None,
    ) -> dict[str, TokenGradient]:
        """Gradient per differentiable stage that is seen, averaged over the situations in which it is shown the target.

        A stage that is shown it in none of them is left out. `stages`: names as in `surfaces`; the others are left out,
        at no cost. A query and a gradient call for each stage and situation.
        """
        nodes = [node for node in self._differentiable() if stages is None or node.name in stages]
        calls = self._calls(Access.gradients, [intervention], situations)
        self.meter.require(queries=len(calls) * len(nodes), gradient_calls=len(calls) * len(nodes))
        target, found = self._targets[0], {}
        for node in nodes:
            arrived = self._arrive(node, calls)
            self.meter.pay(Usage(queries=len(calls)))
            parts = []
            for context, slate in arrived:
                if slate.rank_of(target.item_id) is not None:
                    gradient, usage = node.stage.gradient(context, slate, target, self._wanted)  # type: ignore[attr-defined]
                    self.meter.pay(usage)
                    parts.append(gradient)
            if parts:
                mean = sum((part.gradient for part in parts[1:]), parts[0].gradient) / len(parts)
                loss = float(np.mean([part.loss for part in parts]))
                found[node.name] = TokenGradient(parts[0].token_ids, mean, loss)
        return found

    def surfaces(self) -> dict[str, Surface]:
        """How text in the target's field is tokenised, per differentiable stage that is seen, the last one first."""
        return {
            node.name: node.stage.surface(self._targets[0])  # type: ignore[attr-defined]
            for node in self._differentiable()
        }

    def _differentiable(self) -> list[Node]:
        """Stages that show gradients: the last one, then those seen before it. UserError where there is none."""
        self._permissions.require(Access.gradients)
        found = [node for node in (self._stack.last, *self._seen) if isinstance(node.stage, Differentiable)]
        if not found:
            self._last(Differentiable, Access.gradients)  # type: ignore[type-abstract]
        return found

    def continuations(
        self,
        interventions: Sequence[Intervention],
        count: int,
        seed: int,
        *,
        situation: Situation | None = None,
        sampling: Sampling | None = None,
    ) -> list[list[Continuation]]:
        """Up to `count` texts per intervention that go on with a token of the model's own where the edit stands.

        One query each, in one situation (by default the first). UserError where the last stage writes no text.
        """
        stage = self._last(Scorable, Access.scores)  # type: ignore[type-abstract]
        if not isinstance(stage, Proposing):
            name = self._stack.last.name
            raise UserError(
                f"stage {name!r} proposes no text of its own; attack it by hill_climb or random_search"
            )
        calls = self._calls(Access.scores, interventions, [situation or self.situations[0]])
        if not calls:
            return []
        self.meter.require(queries=len(calls))
        arrived = self._arrive(self._stack.last, calls)
        self.meter.pay(Usage(queries=len(calls)))
        probe = Probe(arrived[0][0], [slate for _, slate in arrived])
        found, usage = stage.continuations(probe, self._targets[0], count, seed, sampling or Sampling())
        self.meter.pay(usage)
        return found

    def sought(
        self, intervention: Intervention = (), situations: Sequence[Situation] | None = None
    ) -> dict[str, list[Sought]]:
        """What each stage that the attacker sees looks for in listings, per situation, by the stage's name.

        A query for each situation. UserError where none of these stages looks for text.
        """
        self._permissions.require(Access.scores)
        nodes = [node for node in (*self._seen, self._stack.last) if isinstance(node.stage, Seeking)]
        if not nodes:
            names = listed([node.name for node in (*self._seen, self._stack.last)])
            raise UserError(
                f"no stage that is seen looks for pieces of text (seen: {names}); "
                "name one in threat.stages, or attack by hill_climb or random_search"
            )
        calls = self._calls(Access.scores, [intervention], situations)
        self.meter.require(queries=len(calls))
        found = {}
        for node in nodes:
            arrived = self._arrive(node, calls)
            found[node.name], usage = node.stage.sought(arrived, self._targets[0])  # type: ignore[attr-defined]
            self.meter.pay(usage)
        self.meter.pay(Usage(queries=len(calls)))
        return found

    @property
    def _fold(self) -> int:
        """Rankings that a score may cost where tokens are limited: each entry of an answer takes less than one more."""
        if self._objective is None or "tokens" not in self.meter.limits:
            return 1
        return 1 + self._objective.listed

    @property
    def _wanted(self) -> Objective:
        if self._objective is None:
            raise UserError("this attack has no objective; add one to the scenario: objective: {use: ...}")
        return self._objective

    def _last(self, ability: type[Ability], needs: Access) -> Ability:
        self._permissions.require(needs)
        stage = self._stack.last.stage
        if not isinstance(stage, ability):
            what = "scores" if needs == Access.scores else "gradients"
            way = "scores or ranks" if needs > Access.scores and isinstance(stage, Scorable) else "ranks"
            raise UserError(f"stage {self._stack.last.name!r} offers no {what}; attack it by {way}")
        return stage

    def _calls(
        self, needs: Access, interventions: Sequence[Intervention], situations: Sequence[Situation] | None
    ) -> list[Call]:
        chosen = self._permissions.asked(needs, interventions, situations)
        return [
            Call(self.request(situation), situation, intervention, self._targets[0].item_id)
            for intervention in interventions
            for situation in chosen
        ]

    def _arrive(self, node: Node, calls: Sequence[Call]) -> list[tuple[Context, Slate]]:
        """What a stage would be shown; refused when its tokens would overdraw the budget."""
        return self._passage.arrive(node, calls, self._fold)


def _one_history(worlds: Sequence[Intervention]) -> list[list[int]]:
    """Places of interventions that put the same items into histories, in order of first appearance."""
    found: dict[tuple[HistoryEdit, ...], list[int]] = {}
    for place, intervention in enumerate(worlds):
        found.setdefault(history_edits(intervention), []).append(place)
    return list(found.values())


def together(
    stage: Scorable, probes: Sequence[Probe], objective: Objective
) -> tuple[list[np.ndarray], Usage]:
    """Losses of several probes, in one call where the stage can."""
    if isinstance(stage, ScorableTogether):
        return stage.losses_of(probes, objective)
    found = [stage.losses(probe, objective) for probe in probes]
    return [losses for losses, _ in found], sum((usage for _, usage in found), Usage())
