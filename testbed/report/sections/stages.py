"""The stack as a graph, and what became of the attack stage by stage."""

from __future__ import annotations

from typing import Any

from testbed.report.charts.colours import arm_marker, arm_role
from testbed.report.charts.dots import Dot, Group, dots
from testbed.report.charts.stack import draw
from testbed.report.numbers import number, with_interval
from testbed.report.page import Figure, Section, Table
from testbed.report.source import Source, arm_label
from testbed.report.text import name


def stack(source: Source) -> Section:
    """The stage graph and the options of every stage."""
    title = "The stack"
    stages = source.stack
    if not stages:
        return Section("stack", title, missing="The manifest does not describe the stack.")
    details = {str(stage.get("name", "?")): _detail(stage) for stage in stages}
    rows = [
        [
            name(stage.get("name", "?")),
            name(stage.get("use", "?")),
            name(", ".join(map(str, stage.get("inputs") or ())) or "–", 60),
            {True: "yes", False: "no"}.get(stage.get("deterministic"), "–"),  # type: ignore[arg-type]
            "; ".join(f"{key}: {name(value, 90)}" for key, value in _options(stage).items()) or "–",
        ]
        for stage in stages
    ]
    table = Table(["stage", "use", "inputs", "deterministic", "options"], rows, "Stages and options", words=5)
    lead = "Listings flow from top to bottom; every stage ranks or drops what the ones above handed on."
    return Section(
        "stack", title, lead, figures=[Figure(draw(stages, details, salt="stack"))], tables=[table]
    )


def _options(stage: Any) -> dict[str, Any]:
    options = stage.get("options")
    return {name(key): value for key, value in options.items()} if isinstance(options, dict) else {}


def _detail(stage: Any) -> str:
    """The second line of a box: what the stage is, and its model, reading or the stage that it wraps."""
    options = _options(stage)
    parts = [str(stage.get("use", ""))] if stage.get("use") != stage.get("name") else []
    parts += [str(options[key]) for key in ("model", "encoder", "reading") if options.get(key)]
    over = options.get("over")
    if isinstance(over, dict):
        parts.append(f"over {over.get('use', '?')}")
    return " · ".join(parts)


def survival(source: Source) -> Section:
    """Share of rankings that still had the target, and had it first, after each stage."""
    title = "What survives each stage"
    stages = list(dict.fromkeys(one["stage"] for one in source.tables["survival"]))
    if not stages or not source.targets:
        return Section("survival", title, missing="There is no target to follow through the stages.")
    figures = []
    for kind, caption in (
        ("survives", "Target still there after the stage, share of rankings in per cent."),
        ("first", "Target first after the stage, share of rankings in per cent."),
    ):
        groups = [
            Group(name(f"after {stage}", 40), [_dot(source, f"{kind}:{stage}", arm) for arm in source.arms])
            for stage in stages
        ]
        figures.append(Figure(dots(groups, unit="share", label=caption, salt=f"survival-{kind}"), caption))
    rows = [
        [
            name(stage),
            arm_label(arm),
            with_interval(source.row(f"survives:{stage}", arm), "share"),
            with_interval(source.row(f"first:{stage}", arm), "share"),
            number((source.row(f"first:{stage}", arm) or {}).get("n"), "count"),
        ]
        for stage in stages
        for arm in source.arms
    ]
    table = Table(["stage", "arm", "still there [95 %]", "first [95 %]", "rankings"], rows, words=2)
    lead = (
        f"An attack must get through to the end. {_lost_sentence(source)}"
        if len(stages) > 1
        else "The stack has one stage, so what it shows is the whole effect."
    )
    tables = [_lost(source), table] if len(stages) > 1 else [table]
    return Section(
        "survival", title, lead + " All targets and seeds together.", figures=figures, tables=tables
    )


def _lost_by(source: Source, arm: str) -> dict[tuple[str, ...], int]:
    """Stages that dropped the target → rankings of an arm; () where it is listed at the end."""
    found: dict[tuple[str, ...], int] = {}
    for one in source.tables.get("lost", ()):
        if one["arm"] == arm:
            found[tuple(one["stages"])] = found.get(tuple(one["stages"]), 0) + one["n"]
    return found


def _lost_sentence(source: Source) -> str:
    """Where the target was lost under the attack, in words."""
    found = _lost_by(source, "attack")
    places = sorted(((n, at) for at, n in found.items() if at), reverse=True)
    if not found:
        return ""
    if not places:
        return "Under attack no stage dropped the target."
    told = "; ".join(f"{n} at {' and '.join(name(one) for one in at)}" for n, at in places)
    return (
        f"Under attack {sum(n for n, _ in places)} of {sum(found.values())} rankings lost the target: {told}."
    )


def _lost(source: Source) -> Table:
    """Rankings by the stage that dropped the target, a row an arm."""
    by_arm = {arm: _lost_by(source, arm) for arm in source.arms}
    order = {str(one): place for place, one in enumerate(dict.fromkeys(
        row["stage"] for row in source.tables["survival"]
    ))}  # fmt: skip
    places = sorted(
        {at for found in by_arm.values() for at in found if at},
        key=lambda at: [order.get(one, 0) for one in at],
    )
    rows = [
        [
            arm_label(arm),
            *(number(found.get(at, 0), "count") for at in places),
            number(found.get((), 0), "count"),
        ]
        for arm, found in by_arm.items()
    ]
    heads = [f"dropped by {' and '.join(name(one) for one in at)}" for at in places]
    return Table(["arm", *heads, "listed at the end"], rows, "Rankings by where the target was lost", words=1)


def _dot(source: Source, measure: str, arm: str) -> Dot:
    row = source.row(measure, arm) or {}
    return Dot(
        arm_label(arm), arm_role(arm), arm_marker(arm), row.get("estimate"), row.get("low"), row.get("high")
    )
