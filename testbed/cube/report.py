"""report.html of a cube: one file, no scripts, nothing loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any

from testbed.cube.text import OWN, dagger, daggers, failures, lines_of
from testbed.report.build import POLICY, environment
from testbed.report.charts.lines import DASHES, Line, lines
from testbed.report.charts.matrix import Cell, matrix
from testbed.report.charts.scatter import Point, scatter
from testbed.report.numbers import number, probability, with_interval
from testbed.report.page import Figure, Section, Table
from testbed.report.text import name
from testbed.tables.row import whose_p
from testbed.tables.run import ATTACK, CLEAN
from testbed.types import STACK

HUES = ("accent", "blue", "green", "purple", "sky", "ochre")
STROKES = ("solid", "dashed", "dash-dotted", "dotted")
MARKERS = ("o", "s", "D", "^", "v", "P", "X")
Tables = Mapping[str, Any]


def render(tables: Tables) -> str:
    """The page as a string; a pure function of the cube's tables."""
    sections = [*_effects(tables), *_curves(tables), *_times(tables), _quality(tables), *_defences(tables)]
    sections += [*_transfer(tables), _harm(tables)]
    files = resources.files("testbed.report")
    texts = [(files / file).read_text(encoding="utf-8") for file in ("macros.html.jinja", "cube.html.jinja")]
    finished = sum(cell["state"] == "finished" for cell in tables["cells"])
    lead = [f"{finished} of {len(tables['cells'])} cells are finished."]
    if lost := failures(tables):
        lead.append(f"{lost[0].upper()}{lost[1:]}.")
    return (
        environment()
        .from_string("".join(texts))
        .render(
            policy=POLICY,
            style=(files / "style.css").read_text(encoding="utf-8"),
            title=str(tables["cube"]["name"]),
            lead=" ".join([*lead, "Each is a run of its own in cells/."]),
            sections=sections,
            numbers="\n".join(lines_of(tables)),
        )
    )


def _effects(tables: Tables) -> list[Section]:
    """A matrix a budget and contrast, and all numbers."""
    measure, axes = tables["measure"], tables["cube"]["axes"]
    found = []
    for against in dict.fromkeys(row["against"] for row in tables["effects"] if row["arm"] == ATTACK):
        rows = [
            row
            for row in tables["effects"]
            if (row["arm"], row["against"], row["measure"]) == (ATTACK, against, measure)
        ]
        figures = []
        for budget in axes.get("budget", [None]):
            part = [row for row in rows if row["place"].get("budget") == budget]
            if part:
                figures.append(_grid(tables, part, budget, against))
        title = "Effects" if against == CLEAN else f"Effects beyond {against.replace('_', ' ')}"
        lead = (
            f"{measure} of the attack against {against.replace('_', ' ')}, in points, with 95 % intervals; means over "
            "targets, seeds, requests and orders. Columns are attacks. An asterisk marks p < .05 after Holm's "
            f"correction over all cells. {whose_p(rows)}"
        ).strip()
        head = ["cell", f"{measure} [95 %]", "p", "least p possible", "p, Holm", "pairs"]
        body = [
            [_label(row["place"]), with_interval(row, "points") + dagger(tables, row["place"]),
             probability(row["p"]), probability(row["p_min"]),
             probability(row["p_holm"]), number(row["n"], "count")]
            for row in rows
        ]  # fmt: skip
        found.append(Section(f"effects-{against}", title, lead, figures=figures, tables=[Table(head, body)]))
    return found


def _grid(tables: Tables, rows: Sequence[Mapping[str, Any]], budget: str | None, against: str) -> Figure:
    cells = {(row["place"].get("attack", ATTACK), _parts(row["place"])): row for row in rows}
    attacks, stacks = (
        list(dict.fromkeys(one for one, _ in cells)),
        list(dict.fromkeys(one for _, one in cells)),
    )
    grid = [[_cell(tables, cells.get((attack, stack))) for attack in attacks] for stack in stacks]
    chart = matrix(
        grid,
        ["\n".join(name(part, 19) for part in stack) for stack in stacks],
        [name(attack, 14) for attack in attacks],
        label=f"{tables['measure']} by stack and attack",
        salt=f"cube-{against}-{budget}",
    )
    amount = [f"{budget} {tables['cube']['unit']}"] if budget is not None else []
    return Figure(chart, "; ".join([*amount, *daggers(tables, rows)]))


def _cell(tables: Tables, row: Mapping[str, Any] | None) -> Cell:
    if row is None:
        return Cell(None, "", "")
    estimate, _, bounds = with_interval(row, "points").partition(" ")
    mark = "*" if row["p_holm"] is not None and row["p_holm"] < 0.05 else ""
    return Cell(float(row["estimate"]), estimate + mark + dagger(tables, row["place"]), bounds)


def _curves(tables: Tables) -> list[Section]:
    """Effect against budget, a panel for every stack and defence."""
    panels: dict[str, list[Mapping[str, Any]]] = {}
    for curve in tables["curves"]:
        panels.setdefault(_where(curve["place"]), []).append(curve)
    figures = []
    for where, curves in panels.items():
        drawn = [
            Line(
                curve["place"].get("attack", ATTACK),
                HUES[place % len(HUES)],
                [point["budget"] for point in curve["points"]],
                [100 * point["estimate"] for point in curve["points"]],
                low=[
                    100 * (point["low"] if point["low"] is not None else point["estimate"])
                    for point in curve["points"]
                ],
                high=[
                    100 * (point["high"] if point["high"] is not None else point["estimate"])
                    for point in curve["points"]
                ],
                dash=DASHES[place % len(DASHES)],
                marker="o",
            )
            for place, curve in enumerate(curves)
        ]
        caption = ", ".join(f"{line.label} {STROKES[place % 4]}" for place, line in enumerate(drawn))
        svg = lines(
            name(where, 44),
            drawn,
            x_label=tables["cube"]["unit"],
            y_label=f"{tables['measure']}, points",
            salt=f"curve-{where}",
        )
        figures.append(Figure(svg, caption))
    lead = (
        "Each point is a search of its own with that budget, measured on the same requests and orders; "
        "bars are 95 % intervals."
    )
    return [Section("budget", "Effect against budget", lead, figures=figures)] if figures else []


def _times(tables: Tables) -> list[Section]:
    """Time to rank 1."""
    drawn, rows = [], []
    for place, one in enumerate(tables["time_to_first"]):
        steps = [*(step for step, _ in one["curve"]), max(one["last"], one["curve"][-1][0])]
        shares = [100 * share for _, share in one["curve"]]
        hue, dash = HUES[place % len(HUES)], DASHES[place % len(DASHES)]
        drawn.append(Line(one["attack"], hue, steps, [*shares, shares[-1]], dash=dash, step=True))
        rows.append([name(one["attack"]), number(one["settled"], "count"), number(one["searches"], "count")])
    if not drawn:
        return []
    caption = ", ".join(f"{line.label} {STROKES[place % 4]}" for place, line in enumerate(drawn))
    svg = lines(
        "Not yet in first place",
        drawn,
        x_label="step",
        y_label="searches not there, %",
        salt="cube-first",
        share=True,
    )
    lead = (
        "Kaplan–Meier curves over all stacks and defences at the largest budget; searches that never put "
        "the target first are censored."
    )
    table = Table(["attack", "first in the end", "searches"], rows)
    return [Section("time", "Time to rank 1", lead, figures=[Figure(svg, caption)], tables=[table])]


def _quality(tables: Tables) -> Section:
    """Quality against manipulability."""
    points, rows = [], []
    for place, one in enumerate(tables["quality"]):
        label = " ".join(part for part in (one["stack"], one["defence"]) if part) or "stack"
        rows.append(
            [
                name(label),
                with_interval(one["quality"]),
                with_interval(one["worst"], "points"),
                name(one["attack"]),
            ]
        )
        if one["quality"]:
            low, high = (
                None if one["worst"][end] is None else 100 * one["worst"][end] for end in ("low", "high")
            )
            spans = ((one["quality"]["low"], one["quality"]["high"]), (low, high))
            style = (label, HUES[place % len(HUES)], MARKERS[place % len(MARKERS)])
            points.append(Point(*style, one["quality"]["estimate"], 100 * one["worst"]["estimate"], *spans))
    label = f"largest {tables['measure']}, points"
    figures = [Figure(scatter(points, x_label="nDCG@10, clean", y_label=label, salt="cube-quality"),
                      ", ".join(f"{point.label}: {point.role}" for point in points))] if points else []  # fmt: skip
    lead = (
        "Further right serves users better, further up is more easily manipulated; the largest effect of "
        "any attack at the largest budget."
    )
    head = ["stack", "nDCG@10, clean [95 %]", f"{label} [95 %]", "attack"]
    table = Table(head, rows, "Stacks", folded=bool(figures))
    return Section("quality", "Quality against manipulability", lead, figures=figures, tables=[table] if rows else [],
                   missing="" if rows else "No cell is finished.")  # fmt: skip


def _defences(tables: Tables) -> list[Section]:
    if not tables["defences"]:
        return []
    rows = [
        [_label(row["place"]), row["measure"] + ("" if row.get("arm") == ATTACK else ", clean"),
         number(row.get("base_value")), number(row.get("run_value")),
         "; ".join(filter(None, (with_interval(row, "value", sign=True) if "estimate" in row else "", row["note"])))]
        for row in tables["defences"]
    ]  # fmt: skip
    base = tables["defences"][0]["against"]
    lead = (
        f"Against {base}, paired by request and order. Lifts are of texts that were searched through each "
        "of the two: the adaptive attacker."
    )
    head = ["cell", "measure", base, "defended", "difference [95 %]"]
    return [
        Section("defences", "What defences change", lead, tables=[Table(head, rows, words=2, folded=False)])
    ]


def _transfer(tables: Tables) -> list[Section]:
    """Cells by victims."""
    if not tables["transfer"]:
        return []
    found = {(_label(row["place"]), row["victim"]): row for row in tables["transfer"]}
    sources, victims = dict.fromkeys(one for one, _ in found), list(dict.fromkeys(one for _, one in found))
    rows = [
        [source, *(_travelled(tables, found.get((source, victim))) for victim in victims)]
        for source in sources
    ]
    lead = (
        f"{tables['measure']} in points of the texts of a cell (rows) on the stacks of other levels "
        "(columns)."
    )
    heads = [OWN if victim == STACK else victim for victim in victims]
    return [Section("transfer", "Transfer", lead, tables=[Table(["texts of", *heads], rows, folded=False)])]


def _travelled(tables: Tables, row: Mapping[str, Any] | None) -> str:
    return with_interval(row, "points") + (dagger(tables, row["place"]) if row else "")


def _harm(tables: Tables) -> Section:
    rows = [
        [
            _label(row["place"]),
            row["measure"].replace("_", " "),
            with_interval(row),
            number(row["n"], "count"),
        ]
        for row in tables["effects"]
        if row["measure"] in ("harm", "exposure_taken", "utility_loss")
    ]
    lead = (
        "What the attack cost others: nDCG@10 lost without the target, exposure taken from rivals, and "
        "nDCG@10 lost in all."
    )
    head = ["cell", "measure", "estimate [95 %]", "pairs"]
    return Section(
        "harm",
        "Who paid",
        lead,
        tables=[Table(head, rows, words=2)],
        missing="" if rows else "No attack was measured.",
    )


def _where(place: Mapping[str, str]) -> str:
    return " ".join(_parts(place))


def _parts(place: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(place[axis] for axis in ("stack", "defence") if axis in place) or ("stack",)


def _label(place: Mapping[str, str]) -> str:
    return name(" · ".join(place.values()), 70)
