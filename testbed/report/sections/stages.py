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
        "An attack must get through every stage: what the end shows is the product of what survives on the way."
        if len(stages) > 1
        else "The stack has one stage, so what it shows is the whole effect."
    )
    return Section(
        "survival", title, lead + " All targets and seeds together.", figures=figures, tables=[table]
    )


def _dot(source: Source, measure: str, arm: str) -> Dot:
    row = source.row(measure, arm) or {}
    return Dot(
        arm_label(arm), arm_role(arm), arm_marker(arm), row.get("estimate"), row.get("low"), row.get("high")
    )
