"""The answer in one object: how far the attack moved the target, against clean and against controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from testbed.errors import listed
from testbed.records import AttackRecord
from testbed.statistics import detectable
from testbed.tables.row import BEST, MEAN, Row, signed
from testbed.tables.run import ALL, ATTACK, CLEAN, Run

FIELDS = ("estimate", "low", "high", "n", "blocks", "over", "p", "p_min", "method")


def verdict(run: Run, rows: Sequence[Row], measure: str) -> dict[str, Any]:
    """Main effects with intervals, pooled and per target, the controls beside them, and a plain sentence."""

    def effect(target: str, arm: str, against: str, selection: str = MEAN) -> dict[str, Any] | None:
        for row in rows:
            place = (row.section, row.measure, row.target, row.arm, row.against, row.selection)
            if place == ("effect", measure, target, arm, against, selection):
                return {name: getattr(row, name) for name in FIELDS} | {"answer": answer(row)}
        return None

    main = effect(ALL, ATTACK, CLEAN)
    found: dict[str, Any] = {
        "measure": measure,
        "arm": ATTACK,
        "against": CLEAN,
        "answer": main["answer"] if main else "no attack",
        "pooled": {name: effect(ALL, ATTACK, CLEAN, name) for name in (MEAN, BEST)},
        "targets": {
            target: {"name": run.name_of(target)}
            | {name: effect(target, ATTACK, CLEAN, name) for name in (MEAN, BEST)}
            for target in run.targets
        },
        "controls": {
            control: {
                "control_minus_clean": effect(ALL, control, CLEAN),
                "attack_minus_control": effect(ALL, ATTACK, control),
                "targets": {
                    target: {
                        "control_minus_clean": effect(target, control, CLEAN),
                        "attack_minus_control": effect(target, ATTACK, control),
                    }
                    for target in run.targets
                },
            }
            for control in run.controls
        },
    }
    found["sentence"] = _sentence(run, found)
    return found


def answer(row: Row) -> str:
    """`lifted` or `lowered` when the interval excludes 0, else `not shown`."""
    if row.low is not None and row.low > 0:
        return "lifted"
    if row.high is not None and row.high < 0:
        return "lowered"
    return "not shown"


def power_table(run: Run, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Per target: the smallest rise of the top-1 rate that exact McNemar finds with power .8.

    Independent pairs are assumed; requests and seeds that differ make the true figure larger.
    """
    found = []
    for row in rows:
        if (row.section, row.measure, row.arm, row.selection) != ("level", "top@1", CLEAN, MEAN):
            continue
        if row.target != ALL and row.estimate is not None:
            found.append(
                {
                    "target": row.target,
                    "pairs": row.n,
                    "before": row.estimate,
                    "power": 0.8,
                    "rise": detectable(row.n, row.estimate),
                    "rise_if_never_demoted": detectable(row.n, row.estimate, demotes=False),
                }
            )
    return found


def failures(attacks: Sequence[AttackRecord]) -> str:
    """How many searches failed, and what the first different ones say; '' where none did."""
    notes = [one.note for one in attacks if one.status == "error"]
    if not notes:
        return ""
    different = list(dict.fromkeys(notes))
    more = f"; {len(different) - 2} more" if len(different) > 2 else ""
    whole = _count(len(notes), "search")
    whole = whole if len(notes) == len(attacks) else f"{len(notes)} of {_count(len(attacks), 'search')}"
    return f"The attack failed in {whole}: {'; '.join(different[:2])}{more}."


def unstarted(attacks: Sequence[AttackRecord]) -> str:
    """In how many searches the budget ended before the first step; '' where it did in none."""
    number = sum(one.unstarted for one in attacks)
    if not number:
        return ""
    units = listed(dict.fromkeys(one.stopped for one in attacks if one.unstarted))
    of = _count(len(attacks), "search")
    return f"The budget ({units}) ended before the first step in {number} of {of}: their texts were not searched for."


def silent(attacks: Sequence[AttackRecord]) -> str:
    """How many searches ended of themselves without a text; '' where none did."""
    number = sum(one.status == "ok" and one.idle and not one.unstarted for one in attacks)
    of = _count(len(attacks), "search")
    return f"The attack wrote nothing in {number} of {of}: there the listing is as it was." if number else ""


def _sentence(run: Run, found: dict[str, Any]) -> str:
    main = found["pooled"][MEAN]
    broken = " ".join(filter(None, (failures(run.attacks), unstarted(run.attacks), silent(run.attacks))))
    if main is None:
        return broken or "No attack was measured."
    measure = found["measure"]
    depth = measure.partition("@")[2]
    what = "the chance of rank 1" if depth == "1" else f"the chance of a place in the top {depth}"
    verb = {
        "lifted": "The attack raised",
        "lowered": "The attack lowered",
        "not shown": "It was not shown that the attack changed",
    }[found["answer"]]
    targets = len(run.targets)
    text = f"{verb} {what}: {_points(main)}, mean over {_count(main['blocks'], 'text')} for "
    text += f"{_count(targets, 'target')} and {_count(main['n'], 'pair')}."
    if broken:
        text += f" {broken}"
    best = found["pooled"][BEST]
    if best is not None and main["blocks"] > targets:
        text += f" Best seed per target by validation: {_points(best)}."
    for control, beside in found["controls"].items():
        difference = beside["attack_minus_control"]
        if difference is not None:
            text += f" Attack minus {control}: {_points(difference)}."
    fixed = [name for name in ("targets", "seeds", "requests", "orders") if name not in main["over"]]
    if fixed:
        text += f" The interval holds for these {' and '.join(filter(None, (', '.join(fixed[:-1]), fixed[-1])))} only."
    return text


def _points(effect: dict[str, Any]) -> str:
    text = f"{signed(100 * effect['estimate'], 0)} points"
    if effect["low"] is not None:
        text += f" (95 % interval {signed(100 * effect['low'], 0)} to {signed(100 * effect['high'], 0)})"
    return text


def _count(number: int, noun: str) -> str:
    plural = noun + ("es" if noun.endswith("ch") else "s")
    return f"{number} {noun if number == 1 else plural}"
