"""How far each arm moved each target."""

from __future__ import annotations

from markupsafe import Markup

from testbed.report.charts.colours import arm_marker, arm_role
from testbed.report.charts.dots import Dot, Group, dots
from testbed.report.numbers import Unit, count, number, probability, unit_of, with_interval
from testbed.report.page import Figure, Section, Table
from testbed.report.source import ALL, ATTACK, BEST, CLEAN, MEAN, Source, arm_label
from testbed.tables.row import same, whose_p

MOST_TARGETS = 8
CAPTIONS = {
    "net": "Net: share of pairs in which the target rose minus share in which it fell, in points.",
    "exposure": "Exposure, 1 / log2(1 + rank), 0 when unlisted: difference to clean.",
}


def effects(source: Source) -> Section:
    """One chart per measure, and the table of all effects."""
    title = "Effect on the target"
    if not source.attacked:
        return Section("effect", title, missing="No arm was compared with clean rankings of a target.")
    lifts = [str(name) for name in source.listed("measures") if str(name).startswith("lift@")]
    measures = list(dict.fromkeys((source.measure, *lifts[:2], "lift@3", "net", "exposure")))[:4]
    figures = [
        Figure(_chart(source, measure), _caption(measure))
        for measure in measures
        if source.row(measure, ATTACK, CLEAN) is not None
    ]
    lead = (
        "Each row compares the same requests in the same orders with and without the edit. "
        "Dots are means over attack seeds, lines 95 % intervals; "
        "an interval that crosses the zero line shows no effect. Rows with vs: attack minus that control."
    )
    if len(source.targets) > MOST_TARGETS:
        lead += f" Charts show the first {MOST_TARGETS} of {len(source.targets)} targets; the table has all."
    return Section("effect", title, lead, figures=figures, tables=[_table(source, measures)])


def _caption(measure: str) -> str:
    if measure.startswith("lift@"):
        k = measure.partition("@")[2]
        place = "first place" if k == "1" else f"a place in the top {k}"
        return f"{measure}: change of the share of rankings that give the target {place}, in points."
    return CAPTIONS.get(measure, measure)


def _chart(source: Source, measure: str) -> Markup:
    unit: Unit = "value" if measure == "exposure" else "points"
    others = [arm for arm in source.arms if arm != CLEAN]
    pooled = [(arm_label(arm), arm, CLEAN) for arm in others]
    pooled += [(f"vs {arm_label(control, 14)}", ATTACK, control) for control in source.controls]
    groups = [Group("All targets" if len(source.targets) > 1 else "", _dots(source, measure, pooled, ALL))]
    if len(source.targets) == 1:
        groups = [Group(source.name_of(next(iter(source.targets)), 34), groups[0].dots)]
    else:
        groups += [
            Group(source.name_of(target, 34), _dots(source, measure, pooled[: len(others)], target))
            for target in list(source.targets)[:MOST_TARGETS]
        ]
    return dots(groups, unit=unit, label=f"{measure} per arm and target", salt=f"effect-{measure}")


def _dots(source: Source, measure: str, contrasts: list[tuple[str, str, str]], target: str) -> list[Dot]:
    found = []
    for label, arm, against in contrasts:
        row = source.row(measure, arm, against, target)
        if row is not None:
            marker = arm_marker(arm)
            role = arm_role(arm) if against == CLEAN else "ink"
            found.append(Dot(label, role, marker, row["estimate"], row["low"], row["high"], same(row)))
    return found


def _table(source: Source, measures: list[str]) -> Table:
    rows = []
    for measure in measures:
        for target in (ALL, *source.targets):
            for row in source.rows(section="effect", measure=measure, target=target):
                if row["selection"] == BEST and row["against"] != CLEAN:
                    continue
                unit = unit_of(row)
                rows.append(
                    [
                        measure,
                        "all targets" if target == ALL else source.name_of(target),
                        arm_label(row["arm"]) + (", best seed" if row["selection"] != MEAN else ""),
                        arm_label(row["against"] or ""),
                        with_interval(row, unit),
                        number(row["n"], "count"),
                        number(row["blocks"], "count"),
                        probability(row["p"]),
                        probability(row["p_holm"]),
                    ]
                )
    head = ["measure", "target", "arm", "against", "estimate [95 %]", "pairs", "texts", "p", "p (Holm)"]
    return Table(
        head,
        rows,
        "Effects in numbers",
        "Lifts and net in points. Best seed: chosen on the validation situations, scored here. Holm's correction runs "
        f"over the cells of {source.measure}; other p values are exploratory. "
        f"{count(len(source.targets), 'target')}, {count(len(source.tables['run']['seeds']), 'attack seed')}. "
        + whose_p(source.rows(section="effect")),
        words=4,
    )
