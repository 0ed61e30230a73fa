"""Does the place in the prompt decide? Reported apart from what the attack gains."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from testbed.records import EvaluationRecord
from testbed.report.charts.lines import Line, lines
from testbed.report.numbers import number, with_interval
from testbed.report.page import Figure, Section, Swatch, Table
from testbed.report.source import ALL, ATTACK, CLEAN, Source, arm_label
from testbed.tables.order import UNORDERED

MOST_PANELS = 6


def order(source: Source) -> Section:
    """P(first) by slot of the target, clean and attacked."""
    title = "Order sensitivity"
    bias = source.row("position_bias", CLEAN)
    if bias is None and not source.targets:
        return Section("order", title, missing="No clean ranking tells where listings stood.")
    found = by_slot(source.tests)
    figures = []
    for place, target in enumerate(list(source.targets)[:MOST_PANELS]):
        drawn = []
        for arm, role, dash, marker in ((CLEAN, "grey", "--", "s"), (ATTACK, "accent", "-", "o")):
            slots = sorted(slot for one, named, slot in found if (one, named) == (target, arm))
            if slots:
                cells = [_share(found[target, arm, slot]) for slot in slots]
                shares, low, high = zip(*cells, strict=True)
                x = [slot + 1.0 for slot in slots]
                drawn.append(Line(arm, role, x, shares, low, high, dash, marker))
        if any(len(line.x) > 1 for line in drawn):
            svg = lines(
                source.name_of(target, 44),
                drawn,
                x_label="slot of the target in the prompt",
                y_label="first, %",
                salt=f"order-{place}",
                share=True,
            )
            figures.append(Figure(svg))
    rows = [
        [source.name_of(target), arm_label(arm), number(slot + 1, "count"), *_cells(firsts)]
        for (target, arm, slot), firsts in sorted(found.items())
    ]
    unordered = bias is not None and bias["note"] == UNORDERED
    tables = [] if unordered else [_bias_table(source)]
    if rows:
        head = ["target", "arm", "slot", "first, % [95 %]", "rankings"]
        tables.append(
            Table(
                head, rows, "First place by slot", "Clopper–Pearson; rankings taken for independent.", words=2
            )
        )
    lead = "A reader that follows the order of the prompt shows it here: how often the target is first, by its slot."
    if unordered:
        lead += f" Position bias and variance of the rank over orders are not given: {UNORDERED}."
    legend = [Swatch("clean", "grey"), Swatch("attack", "accent")] if figures and source.attacked else []
    return Section("order", title, lead, legend, figures, tables)


def by_slot(tests: Sequence[EvaluationRecord]) -> dict[tuple[str, str, int], list[bool]]:
    """(target, arm, slot from 0) → whether the target was first, clean and attacked rankings."""
    found: defaultdict[tuple[str, str, int], list[bool]] = defaultdict(list)
    for one in tests:
        if one.arm in (CLEAN, ATTACK) and one.target is not None and one.target in one.pool:
            first = one.ranking[:1] == (one.target,)
            found[one.target, one.arm, one.pool.index(one.target)].append(first)
    return dict(found)


def _share(firsts: Sequence[bool]) -> tuple[float, float, float]:
    from testbed.statistics import clopper_pearson

    low, high = clopper_pearson(sum(firsts), len(firsts))
    return 100 * sum(firsts) / len(firsts), 100 * low, 100 * high


def _cells(firsts: Sequence[bool]) -> tuple[str, str]:
    share, low, high = (value / 100 for value in _share(firsts))
    interval = f"[{number(low, 'share')}, {number(high, 'share')}]"
    return f"{number(share, 'share')} {interval}", number(len(firsts), "count")


def _bias_table(source: Source) -> Table:
    words = {
        "position_bias": "position bias",
        "rank_variance": "rank variance",
    }
    rows = []
    for measure, text in words.items():
        for target in (ALL, *source.targets):
            row = source.row(measure, CLEAN, None, target)
            if row is not None:
                owner = "all" if target == ALL else source.name_of(target)
                shown = with_interval(row)
                rows.append([text, owner, row["note"], shown, number(row["n"], "count")])
    note = "Position bias: 0 when slots do not matter, 1 when one slot always wins. "
    note += "Rank variance: of the target's clean rank over orders within a request."
    return Table(
        ["measure", "target", "note", "estimate", "rankings"],
        rows,
        "Order in numbers",
        note,
        words=3,
        folded=False,
    )
