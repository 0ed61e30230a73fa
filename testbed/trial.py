"""One trial: the loop around an attack, or the paired measurement of all arms in one presentation order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from testbed.arms import intervention_of, length
from testbed.errors import StopRun, UserError, shown
from testbed.faults import told
from testbed.plan import AttackTrial, EvaluationTrial
from testbed.protocols import Step
from testbed.records import AttackRecord, EvaluationRecord, StageRank, Stopped
from testbed.seeds import rng_for
from testbed.stack import Call, Outcome
from testbed.types import STACK, HistoryEdit, Situation, history_edits, text_edits
from testbed.victim import BudgetExhausted, Unheeded, attackable

if TYPE_CHECKING:
    from testbed.plan import Arm
    from testbed.protocols import StagePlugin
    from testbed.types import Usage
    from testbed.world import World

Progress = Callable[[int, float | None], None]
"""Called with the step and the best objective so far."""


@dataclass(slots=True)
class Trace:
    """What an attack stood behind at each step; `lines` go to the trace file."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    text: str = ""
    history: tuple[HistoryEdit, ...] = ()
    objective: float | None = None
    best_step: int = 0

    def add(self, step: Step, cost: Mapping[str, float], text: str) -> None:
        """Take a step in; the best objective wins, without objectives the latest step."""
        number = len(self.lines)
        value, history = step.objective, history_edits(step.intervention)
        better = value is None or self.objective is None or value < self.objective
        if better:
            self.text, self.history, self.objective, self.best_step = text, history, value, number
        self.lines.append(
            {
                "step": number,
                "objective": _finite(value),
                "best": _finite(self.objective),
                "text": text,
                **({"history": [asdict(edit) for edit in history]} if history else {}),
                "cost": {unit: spent for unit, spent in cost.items() if unit != "seconds"},
            }
        )


def run_attack(
    world: World, trial: AttackTrial, progress: Progress | None = None
) -> tuple[AttackRecord, list[dict[str, Any]]]:
    """Let the scenario's attack search a text for a target, within its budget; the record and its trace.

    Step 0 is what the attack starts from. A fault in the attack is recorded, not raised. An attack that goes on after
    a call was refused is ended at its next step, which counts.
    """
    threat, choice = world.scenario.threat, world.scenario.attack
    if threat is None or choice is None:
        raise ValueError("the scenario has no attack")
    limits = threat.budget.limits()
    victim = attackable(
        world.searched(trial.source),
        trial.target,
        world.plan.splits["optimise"],
        access=threat.access,
        limits=limits,
        objective=choice.objective.plugin if choice.objective else None,
        max_tokens=threat.max_tokens,
        seen=world.seen(trial.source),
        history=threat.history or 0,
    )
    rng = rng_for("attack", world.catalog.fingerprint, trial.target.item_id, trial.seed)
    trace = Trace()
    stopped: Stopped = "finished"
    status, note = "ok", ""
    most = limits.get("steps", math.inf)
    try:
        if most == 0:
            raise BudgetExhausted("steps")
        for step in _moves(choice.plugin([trial.target], victim, rng)):
            text = _accepted(world, trial, step)
            victim.meter.steps = len(trace.lines)
            trace.add(step, victim.meter.spent(), text)
            if progress is not None:
                progress(len(trace.lines) - 1, trace.objective)
            if threat.stop_below is not None and _below(trace.objective, threat.stop_below):
                stopped = "reached"
                break
            if len(trace.lines) > most:
                stopped = "steps"
                break
            if (unit := victim.meter.ended) is not None:
                stopped = unit  # type: ignore[assignment]
                break
    except (BudgetExhausted, Unheeded) as spent:
        stopped = spent.unit  # type: ignore[assignment]
    except StopRun:
        raise
    except Exception as fault:
        status, note = "error", told(fault, [choice.plugin, *_stages(world)])
    cost = {unit: amount for unit, amount in victim.meter.spent().items() if unit != "seconds"}
    record = AttackRecord(
        key=trial.key,
        target=trial.target.item_id,
        field=trial.target.field,
        place=trial.target.place,
        seed=trial.seed,
        text=trace.text,
        history=trace.history,
        initial_objective=trace.lines[0]["objective"] if trace.lines else None,
        objective=_finite(trace.objective),
        steps=max(0, len(trace.lines) - 1),
        best_step=trace.best_step,
        stopped=stopped,
        status=status,  # type: ignore[arg-type]
        note=note,
        cost={**cost, "computed": victim.meter.usage.computed, **_money(victim.meter.usage)},
        source=None if trial.source == STACK else trial.source,
    )
    return record, trace.lines


def run_evaluation(
    world: World, trial: EvaluationTrial, found: Mapping[Any, AttackRecord]
) -> list[EvaluationRecord]:
    """Measure every request and arm of one order in one batch; records in line order.

    `found`: what attacks arrived at, of all targets and sources.
    """
    target = trial.target
    mine: dict[str, dict[int, AttackRecord]] = {arm.source: {} for arm in trial.arms}
    for record in found.values():
        source = record.source or STACK
        if target is not None and record.target == target.item_id and source in mine:
            mine[source][record.seed] = record
    edits = {
        arm: intervention_of(arm, target, world.stack, mine[arm.source]) if target else ()
        for arm in trial.arms
    }
    cells = list(trial.cells)
    calls = [
        Call(
            world.catalog.request(request),
            Situation(request, trial.order, trial.slot),
            edits[arm],
            target.item_id if target else None,
            arm.replicate,
        )
        for request, arm in cells
    ]
    outcomes = world.victim(trial.victim).run(calls)
    return [
        _record(trial, request, arm, outcome, world.observed(call, outcome.slate))
        for (request, arm), call, outcome in zip(cells, calls, outcomes, strict=True)
    ]


def _record(
    trial: EvaluationTrial, request: str, arm: Arm, outcome: Outcome, observed: Mapping[str, float]
) -> EvaluationRecord:
    slate = outcome.slate
    scores = [listing.score for listing in slate]
    return EvaluationRecord(
        key=trial.line(request, arm),
        split=trial.split,  # type: ignore[arg-type]
        target=trial.target.item_id if trial.target else None,
        request=request,
        order=trial.order,
        slot=trial.slot,
        arm=arm.name,
        seed=arm.seed,
        replicate=arm.replicate,
        ranking=tuple(slate.ids),
        scores=None if all(score is None for score in scores) else tuple(map(_finite, scores)),
        pool=slate.shown,
        stages=tuple(
            StageRank(stage.stage, stage.rank_in, stage.rank_out, stage.pool, stage.detail)
            for stage in outcome.traces
        ),
        status=slate.status,
        note=slate.note,
        cost={
            "queries": 1,
            "tokens": outcome.usage.tokens,
            "computed": outcome.usage.computed,
            **_money(outcome.usage),
        },
        source=None if arm.source == STACK else arm.source,
        victim=None if trial.victim == STACK else trial.victim,
        observed=observed,
    )


def _moves(made: Any) -> Iterable[Step]:
    """What an attack returned; UserError where that cannot be gone through."""
    if not isinstance(made, Iterable):
        raise UserError(f"an attack yields steps; its __call__ returned {type(made).__name__}")
    return made


def _stages(world: World) -> list[StagePlugin]:
    """The stages that an attack may have asked."""
    scenario = world.scenario
    stacks = (scenario.stack, *scenario.surrogates, *scenario.victims.values())
    return [choice.plugin for stack in stacks for choice in stack]


def _accepted(world: World, trial: AttackTrial, step: Step) -> str:
    """The text of a step; UserError when it edits what the attacker does not control, is too long or no text."""
    target, threat = trial.target, world.scenario.threat
    if not isinstance(step, Step):
        raise UserError(
            f"an attack yields steps, not {shown(step)}: yield Step(target.edit(text), objective)"
        )
    if step.objective is not None and math.isnan(step.objective):
        raise UserError("a step's objective is not a number")
    inserted, allowed = history_edits(step.intervention), (threat.history or 0) if threat else 0
    if len(inserted) > allowed:
        raise UserError(f"a step put {len(inserted)} items into histories; threat.history is {allowed}")
    strangers = [edit.item_id for edit in inserted if edit.item_id not in world.catalog.rows]
    if strangers:
        raise UserError(f"a step put {strangers[0]!r} into histories, which is no item")
    written = text_edits(step.intervention)
    if not written:
        return ""
    (edit,) = written if len(written) == 1 else (None,)
    if edit is None or (edit.item_id, edit.field, edit.place) != (target.item_id, target.field, target.place):
        raise UserError(f"a step may only {target.place} to field {target.field!r} of {target.item_id!r}")
    if any("\ud800" <= char <= "\udfff" for char in edit.text):
        raise UserError("a step wrote half of a surrogate pair, which is not text")
    most = threat.max_tokens if threat else None
    if most is not None and length(world.stack, edit.text) > most:
        raise UserError(f"a step wrote {length(world.stack, edit.text)} tokens; threat.max_tokens is {most}")
    return edit.text


def _money(usage: Usage) -> dict[str, float]:
    """What paid services asked for; absent where nothing had a price."""
    return {"money": round(usage.money, 9)} if usage.money else {}


def _below(value: float | None, bound: float) -> bool:
    return value is not None and value < bound


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
