"""The answer first: a sentence, and the main numbers with their intervals."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from testbed.report.numbers import bracket, count, number, probability, with_interval
from testbed.report.source import ATTACK, BEST, CLEAN, MEAN, RANDOM, Source, arm_label
from testbed.tables.verdict import failures, silent, unstarted

CONTROLS = {
    RANDOM: "minus clean; may lower, should not lift",
    "honest_text": "minus clean; a lift is a finding, no fault",
}


@dataclass(frozen=True)
class Card:
    """One big number: what it is, the number with unit, its interval, and a remark."""

    title: str
    value: str
    unit: str
    interval: str
    remark: str = ""
    main: bool = False


@dataclass(frozen=True)
class Verdict:
    """The head of the page."""

    sentence: str
    more: Sequence[str]
    cards: Sequence[Card]
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    remark: str
    notes: Sequence[str]


def verdict(source: Source) -> Verdict:
    """What was found, in words and numbers; never more than the intervals allow."""
    found: Mapping[str, Any] = source.tables["verdict"]
    main = found["pooled"][MEAN]
    notes = _once(str(note) for note in (*source.listed("notes"), *source.tables["notes"]))
    if main is None:
        return Verdict(_without_attack(source), _setting(source), (), (), (), "", notes)
    return Verdict(
        _sentence(source, main),
        [
            *_unsearched(source),
            *_beside_controls(source, found["controls"]),
            *_reach(main),
            *_setting(source),
        ],
        list(_cards(source, found, main)),
        [
            "target",
            "clean, %",
            "attack, %",
            "lift [95 %]",
            "best seed [95 %]",
            "minus random [95 %]",
            "p (Holm)",
            "detectable",
        ],
        [_target_row(source, target) for target in source.targets],
        _remark(source),
        notes,
    )


def _once(notes: Iterable[str]) -> list[str]:
    """Notes that begin with the same statement once: manifest and tables may both explain a missing arm."""
    found: dict[str, str] = {}
    for note in notes:
        found.setdefault(note.partition(":")[0], note)
    return list(found.values())


def place_of(source: Source) -> str:
    """What the primary measure counts: `first place`, `a place in the top 3`."""
    k = source.measure.partition("@")[2]
    return "first place" if k == "1" else f"a place in the top {k}"


def _sentence(source: Source, main: Mapping[str, Any]) -> str:
    points = number(abs(main["estimate"]), "share")
    interval = f"95 % interval {number(main['low'], 'points')} to {number(main['high'], 'points')}"
    interval = interval if main["low"] is not None else "no interval"
    before, after = (source.row(source.level, arm) for arm in (CLEAN, ATTACK))
    span = (
        f", from {number(before['estimate'], 'share')} % to {number(after['estimate'], 'share')} %"
        if before and after
        else ""
    )
    whose = "the target’s" if len(source.targets) == 1 else "the targets’"
    match main["answer"]:
        case "lifted":
            return f"The attack raised {whose} chance of {place_of(source)} by {points} points ({interval}){span}."
        case "lowered":
            return f"The attack lowered {whose} chance of {place_of(source)} by {points} points ({interval}){span}."
        case _:
            change = number(main["estimate"], "points")
            return f"No effect was shown: {whose} chance of {place_of(source)} changed by {change} points ({interval})."


def _unsearched(source: Source) -> list[str]:
    """Searches that failed, whose budget ended before their first step, or that wrote nothing."""
    return [text for say in (failures, unstarted, silent) if (text := say(source.attacks))]


def _beside_controls(source: Source, controls: Mapping[str, Any]) -> list[str]:
    found = []
    for control, beside in controls.items():
        gap = beside["attack_minus_control"]
        if gap is None:
            continue
        shown = with_interval(gap, "points")
        words = {
            "lifted": f"It did more than {arm_label(control, 40)}: {shown} points.",
            "lowered": f"It did less than {arm_label(control, 40)}: {shown} points.",
        }
        found.append(
            words.get(
                gap["answer"], f"It was not shown to do more than {arm_label(control, 40)}: {shown} points."
            )
        )
    return found


def _reach(main: Mapping[str, Any]) -> list[str]:
    fixed = [part for part in ("targets", "seeds", "requests", "orders") if part not in main["over"]]
    if not fixed:
        return []
    parts = fixed[0] if len(fixed) == 1 else f"{', '.join(fixed[:-1])} and {fixed[-1]}"
    return [f"The interval speaks of these {parts}, not of others."]


def _setting(source: Source) -> list[str]:
    test = source.tables["run"]["test"]
    parts = [
        count(test["rankings"], "test ranking"),
        count(test["requests"], "request"),
        count(test["orders"], "order"),
    ]
    if source.targets:
        parts.append(count(len(source.targets), "target"))
    if source.tables["run"]["seeds"]:
        parts.append(count(len(source.tables["run"]["seeds"]), "attack seed"))
    return ["Measured on " + ", ".join(parts) + "."]


def _without_attack(source: Source) -> str:
    if not source.tables["run"]["test"]["rankings"]:
        return "Nothing was measured: the run has no test rankings."
    if (failed := failures(source.attacks)) and all(one.status == "error" for one in source.attacks):
        return failed
    if ATTACK in source.arms:
        return "The attack cannot be judged: there are no clean rankings of its targets beside it."
    return "No attack was measured; this page describes the rankings as they are."


def _cards(source: Source, found: Mapping[str, Any], main: Mapping[str, Any]) -> list[Card]:
    pairs = f"{count(main['n'], 'pair')}, mean over {count(main['blocks'], 'text')}"
    if main["p"] is not None:
        pairs += f", p {_p(main['p'])}" + (" for these targets" if "targets" in main["over"] else "")
    cards = [_card(f"Net lift, {source.measure}", main, pairs, main=True)]
    best = found["pooled"][BEST]
    if best is not None and main["blocks"] > len(source.targets):
        cards.append(_card("Best seed per target", best, "chosen on validation, scored on test"))
    for control, beside in found["controls"].items():
        gap, own = beside["attack_minus_control"], beside["control_minus_clean"]
        label = arm_label(control, 24)
        if control == RANDOM and gap is not None:
            cards.append(_card(f"Attack − {label}", gap, "same length, same places"))
        if own is not None:
            cards.append(_card(f"Control: {label}", own, CONTROLS.get(control, "minus clean")))
    rises = [one["rise"] for one in source.tables["power"] if one["rise"] is not None]
    if rises:
        pairs = min(one["pairs"] for one in source.tables["power"])
        remark = f"rise per target that would be found 4 times in 5, {count(pairs, 'independent pair')}"
        cards.append(Card("Smallest detectable effect", number(max(rises), "points"), "points", "", remark))
    elif source.tables["power"]:
        cards.append(Card("Smallest detectable effect", "none", "", "", "too few pairs to find any rise"))
    return cards


def _card(title: str, effect: Mapping[str, Any], remark: str, *, main: bool = False) -> Card:
    return Card(
        title, number(effect["estimate"], "points"), "points", bracket(effect, "points"), remark, main
    )


def _p(p: float) -> str:
    shown = probability(p)
    return shown if shown.startswith("<") else f"= {shown}"


def _remark(source: Source) -> str:
    """Says where the test of single targets cannot find anything, whatever the effect."""
    found = [source.row(source.measure, ATTACK, CLEAN, target) for target in source.targets]
    least = [row["p_min"] for row in found if row is not None and row["p_min"] is not None]
    text = "Detectable: smallest rise, in points, that this many independent pairs would show 4 times in 5."
    if least and min(least) > 0.05:
        text += f" With so few texts per target p cannot fall below {min(least):.2g} even before correction"
        text += ": read the intervals."
    return text


def _target_row(source: Source, target: str) -> list[str]:
    def effect(against: str, selection: str = MEAN) -> Any:
        return source.row(source.measure, ATTACK, against, target, selection)

    levels = [(source.row(source.level, arm, None, target) or {}).get("estimate") for arm in (CLEAN, ATTACK)]
    rise = next((one["rise"] for one in source.tables["power"] if one["target"] == target), None)
    return [
        source.name_of(target),
        *(number(level, "share") for level in levels),
        with_interval(effect(CLEAN), "points"),
        with_interval(effect(CLEAN, BEST), "points"),
        with_interval(effect(RANDOM), "points"),
        probability((effect(CLEAN) or {}).get("p_holm")),
        number(rise, "points"),
    ]
