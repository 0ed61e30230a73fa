"""What lies under an effect: confidence, mass on each listing, and reasoning steps."""

from __future__ import annotations

from testbed.report.charts.lines import DASHES, Line, lines
from testbed.report.numbers import number, probability, with_interval
from testbed.report.page import Figure, Section, Table
from testbed.report.source import ALL, Row, Source, arm_label
from testbed.report.text import name
from testbed.tables.row import whose_p

QUANTITIES = {
    "entropy": "entropy over listings, nats",
    "greedy_nll": "loss of the first choice, nats",
    "target_mass": "mass on the target",
    "share": "mass on the target",
}
LEAD = (
    "Masses are the softmax of the last stage's scores over what it ranked: probabilities where scores are "
    "log-probabilities. All differences are paired by request and order, tests are two-sided."
)
HEAD = ("before", "after", "change [95 %]", "p", "pairs")


def diagnostics(source: Source) -> list[Section]:
    """The section; none where records hold neither scores nor steps."""
    found = source.tables.get("diagnostics", {})
    tables, figures = [], []
    if found.get("confidence"):
        rows = [
            [QUANTITIES[one["quantity"]], arm_label(one["arm"]), _owner(source, one["target"]), *_cells(one)]
            for one in found["confidence"]
            if one["target"] == ALL or len(source.targets) > 1
        ]
        tables.append(Table(["quantity", "arm", "target", *HEAD], rows, "How sure the reader is", words=3))
    if found.get("mass"):
        rows = [[_owner(source, one["target"]), name(one["name"]), *_cells(one)] for one in found["mass"]]
        tables.append(Table(["attacked", "listing", *HEAD], rows, "Mass on each listing", words=2))
    if found.get("steps"):
        rows = [
            [
                name(one["stage"]),
                arm_label(one["arm"]),
                QUANTITIES[one["quantity"]],
                str(one["step"]),
                *_cells(one),
            ]
            for one in found["steps"]
        ]
        head = ["stage", "arm", "quantity", "step", *HEAD]
        tables.append(Table(head, rows, "By reasoning step", words=4))
        figures = _steps(found["steps"])
    lead = f"{LEAD} {whose_p(source.rows(section='effect'))}".strip()
    return [Section("diagnostics", "Diagnostics", lead, figures=figures, tables=tables)] if tables else []


def _steps(found: list[Row]) -> list[Figure]:
    """Entropy and share by step, clean and attacked."""
    figures = []
    for stage in dict.fromkeys(one["stage"] for one in found):
        for quantity in ("entropy", "share"):
            own = [
                one
                for one in found
                if (one["stage"], one["quantity"], one["arm"]) == (stage, quantity, "attack")
            ]
            if own:
                x = [one["step"] for one in own]
                drawn = [
                    Line("clean", "grey", x, [one["before"] for one in own], marker="o"),
                    Line("attack", "accent", x, [one["after"] for one in own], marker="o", dash=DASHES[1]),
                ]
                label = QUANTITIES[quantity]
                svg = lines(
                    name(stage), drawn, x_label="reasoning step", y_label=label, salt=f"{stage}-{quantity}"
                )
                figures.append(Figure(svg, f"{label}: clean solid, attack dashed"))
    return figures


def _owner(source: Source, target: str) -> str:
    return "all targets" if target == ALL else source.name_of(target)


def _cells(one: Row) -> list[str]:
    change = with_interval({**one, "estimate": one["change"]}, sign=True)
    return [
        number(one["before"]),
        number(one["after"]),
        change,
        probability(one["p"]),
        number(one["n"], "count"),
    ]
