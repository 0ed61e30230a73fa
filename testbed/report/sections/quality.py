"""What the attack does to the ranking as a whole, and who pays."""

from __future__ import annotations

from testbed.report.charts.colours import arm_marker, arm_role
from testbed.report.charts.dots import Dot, Group, dots
from testbed.report.charts.scatter import Point, scatter
from testbed.report.numbers import number, unit_of, with_interval
from testbed.report.page import Figure, Section, Swatch, Table
from testbed.report.source import ALL, ATTACK, CLEAN, Source, arm_label, measure_label
from testbed.tables.row import same

QUALITY, OTHERS = "nDCG@10", "others_nDCG@10"
MOST_RIVALS = 12
MOST_PANELS = 6
HARMS = (
    ("harm@10", "nDCG@10 lost with the target taken out"),
    ("harm", "nDCG@10 lost with the target taken out"),
    ("kendall", "Kendall's tau of the other listings, clean against arm"),
    ("exposure_taken", "exposure the others lost to the target"),
    ("utility_loss", "loss of the user's utility by the judgements"),
    ("violation@1", "listing at rank 1 breaks a stated constraint"),
    ("exposure_taken_largest", "largest loss of exposure of one rival"),
    ("exposure_taken_gini", "Gini index of the losses"),
)


def quality(source: Source) -> Section:
    """nDCG@10 per arm against how often the target comes first."""
    title = "Quality against manipulability"
    measures = list(dict.fromkeys(row["measure"] for row in source.rows(section="quality", against=None)))
    rows = [
        [
            arm_label(arm),
            *(with_interval(source.row(measure, arm)) for measure in measures),
            with_interval(source.row(source.level, arm), "share"),
            number((source.row(QUALITY, arm) or {}).get("n"), "count"),
        ]
        for arm in source.arms
    ]
    if not measures:
        return Section(
            "quality", title, missing="No judgements cover the test requests, so quality is not defined."
        )
    share = f"target in the top {source.level.partition('@')[2]}, %"
    figures = []
    for place, (measure, label) in enumerate(
        ((QUALITY, QUALITY), (OTHERS, f"{QUALITY} with the target taken out"))
    ):
        points = _points(source, measure)
        if points:
            figures.append(Figure(scatter(points, x_label=label, y_label=share, salt=f"quality-{place}")))
    head = [
        "arm",
        *(f"{measure_label(measure)} [95 %]" for measure in measures),
        f"{source.level}, % [95 %]",
        "rankings",
    ]
    lead = "Quality is judged against the grades of the catalog, whoever is attacked." + (
        " A point further up is more manipulated, further left serves the user worse; crosses are 95 % intervals."
        if figures
        else ""
    )
    legend = [Swatch(arm_label(arm), arm_role(arm)) for arm in source.arms] if figures else []
    return Section(
        "quality", title, lead, legend, figures, [Table(head, rows, "Quality per arm", folded=bool(figures))]
    )


def _points(source: Source, measure: str) -> list[Point]:
    """Arms by a quality and by how often they put the target on top, with intervals."""
    found = []
    for arm in source.arms:
        x, y = source.row(measure, arm), source.row(source.level, arm)
        if x is not None and y is not None:
            low, high = (None if y[end] is None else 100 * y[end] for end in ("low", "high"))
            style = (arm_label(arm), arm_role(arm), arm_marker(arm))
            found.append(
                Point(*style, x["estimate"], 100 * y["estimate"], (x["low"], x["high"]), (low, high))
            )
    return found


def harm(source: Source) -> Section:
    """Exposure taken per rival, and harm to the ranking without the target."""
    title = "Who paid"
    if not source.attacked:
        return Section("harm", title, missing="Without an attack beside clean rankings nobody paid.")
    figures = []
    for place, target in enumerate(list(source.targets)[:MOST_PANELS]):
        rivals = [one for one in source.tables["rivals"] if one["target"] == target]
        most = sorted(rivals, key=lambda one: -abs(one["taken"]))[:MOST_RIVALS]
        bars = [
            Dot(source.name_of(one["item"], 18), "accent", "o", one["taken"], one["low"], one["high"],
                same({**one, "against": CLEAN}))
            for one in rivals
            if one in most
        ]  # fmt: skip
        if bars:
            group = Group(f"Attack for {source.name_of(target, 30)}", bars)
            svg = dots(
                [group], unit="value", label=f"Exposure taken, {group.title}", salt=f"harm-{place}", bars=True
            )
            figures.append(Figure(svg))
    rows = []
    for measure, words in HARMS:
        for arm in [arm for arm in source.arms if arm != CLEAN]:
            for target in (ALL, *source.targets):
                row = source.row(measure, arm, CLEAN, target)
                if row is not None and (target != ALL or len(source.targets) > 1):
                    rows.append(
                        [
                            words
                            + (f" ({row['note']})" if row["note"] and measure.endswith("largest") else ""),
                            arm_label(arm),
                            "all targets" if target == ALL else source.name_of(target),
                            with_interval(row, unit_of(row)),
                            number(row["n"], "count"),
                        ]
                    )
    head = ["measure", "arm", "target", "estimate [95 %]", "pairs"]
    note = "Losses are positive when the arm did harm. Constraint violations in points, all else on its own scale."
    lead = (
        "Exposure, 1 / log2(1 + rank), that each rival lost (right of the line) or won (left) when the target "
        "was attacked; lines are 95 % intervals. Where every pair says the same there is none: that bounds no mean."
    )
    if ATTACK in source.arms and not rows:
        return Section("harm", title, missing="No pair of rankings allows harm to be computed.")
    return Section(
        "harm", title, lead, figures=figures, tables=[Table(head, rows, "Harm in numbers", note, words=3)]
    )
