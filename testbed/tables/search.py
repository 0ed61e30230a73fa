"""Rows about the search for a text: what it reached, when it settled, what it cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from testbed.statistics import clopper_pearson
from testbed.tables.row import Row
from testbed.tables.run import ALL, ATTACK, Run

COSTS = ("steps", "queries", "gradient_calls", "tokens", "computed", "money")


def search_rows(run: Run) -> Iterator[Row]:
    """Objective before and after, step of the chosen text and share of seeds that settled at rank 1."""
    times = times_to_first(run)
    for target in (ALL, *run.targets):
        attacks = [one for one in run.attacks if target in (ALL, one.target) and one.status == "ok"]
        if not attacks:
            continue
        for measure, values in (
            ("objective_first", [one.initial_objective for one in attacks]),
            ("objective_last", [one.objective for one in attacks]),
            ("settle_step", [float(one.best_step) for one in attacks]),
        ):
            known = [value for value in values if value is not None]
            yield _plain_row("attack", measure, target, known, len(attacks))
        settled = [one["settled"] for one in times if target in (ALL, one["target"])]
        if settled:
            low, high = clopper_pearson(sum(settled), len(settled))
            yield Row(
                section="attack",
                measure="settled_first",
                target=target,
                arm=ATTACK,
                estimate=sum(settled) / len(settled),
                low=low,
                high=high,
                n=len(settled),
                blocks=len(settled),
                method="clopper-pearson",
                note="share of attack seeds whose target is first in at least half of the rankings",
            )


def cost_rows(run: Run) -> Iterator[Row]:
    """Mean cost of one attack per unit, and mean cost of one ranking per arm."""
    for target in (ALL, *run.targets):
        attacks = [one for one in run.attacks if target in (ALL, one.target)]
        for unit in COSTS:
            values = [float(one.cost[unit]) for one in attacks if unit in one.cost]
            if values:
                yield _plain_row("cost", f"attack_{unit}", target, values, len(attacks))
    for arm in run.arms:
        records = [one for one in run.tests if one.arm == arm]
        for unit in COSTS:
            values = [float(one.cost[unit]) for one in records if unit in one.cost]
            if values:
                mean = sum(values) / len(values)
                yield Row(
                    section="cost",
                    measure=f"ranking_{unit}",
                    target=ALL,
                    arm=arm,
                    estimate=mean,
                    n=len(values),
                )


def times_to_first(run: Run) -> list[dict[str, Any]]:
    """Per attack: the step that proposed the chosen text, and whether that text made the target first.

    `settled`: first in at least half of the validation rankings (of the test rankings without validation).
    Not settled means censored: rank 1 was not reached within `steps`.
    """
    records = [one for one in (run.validations or run.tests) if one.arm == ATTACK]
    found = []
    for attack in run.attacks:
        own = [one for one in records if one.target == attack.target and one.seed == attack.seed]
        if attack.status != "ok" or not own:
            continue
        firsts = sum(one.ranking[:1] == (attack.target,) for one in own)
        settled = 2 * firsts >= len(own)
        step = attack.best_step if settled else attack.steps
        found.append({"target": attack.target, "seed": attack.seed, "step": step, "settled": settled})
    return found


def survival_curve(times: Sequence[dict[str, Any]]) -> list[list[float]]:
    """[step, share of attacks not yet at rank 1] after each event (Kaplan & Meier 1958)."""
    curve, share = [[0.0, 1.0]], 1.0
    for step in sorted({one["step"] for one in times if one["settled"]}):
        at_risk = sum(one["step"] >= step for one in times)
        events = sum(one["settled"] and one["step"] == step for one in times)
        share *= 1 - events / at_risk
        curve.append([float(step), share])
    return curve


def _plain_row(section: str, measure: str, target: str, values: Sequence[float], blocks: int) -> Row:
    mean = sum(values) / len(values) if values else None
    return Row(
        section=section,
        measure=measure,
        target=target,
        arm=ATTACK,
        estimate=mean,
        n=len(values),
        blocks=blocks,
    )
