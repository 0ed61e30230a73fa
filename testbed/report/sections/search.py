"""How the search for a text went, and what it cost."""

from __future__ import annotations

from collections import Counter, defaultdict

from testbed.report.charts.lines import DASHES, Line, lines
from testbed.report.numbers import count, number, with_interval
from testbed.report.page import Figure, Section, Table
from testbed.report.source import ALL, ATTACK, Source, arm_label
from testbed.report.text import name

MOST_PANELS = 6
HUES = ("accent", "blue", "green", "purple", "sky", "ochre")
UNITS = ("steps", "queries", "gradient_calls", "tokens", "computed")


def convergence(source: Source) -> Section:
    """Best objective so far by step, per target and seed."""
    title = "Convergence"
    found = source.tables["convergence"]
    if not found:
        return Section("convergence", title, missing="No attack was searched for.")
    by_target = defaultdict(list)
    for one in found:
        by_target[one["target"]].append(one)
    figures = []
    for place, (target, runs) in enumerate(list(by_target.items())[:MOST_PANELS]):
        drawn = [
            Line(
                f"seed {one['seed']}",
                HUES[row % len(HUES)],
                [0, *one["steps"]] if one["initial"] is not None else one["steps"],
                [one["initial"], *one["best"]] if one["initial"] is not None else one["best"],
                dash=DASHES[row % len(DASHES)],
                mark=one["settled"],
            )
            for row, one in enumerate(runs[:12])
            if any(value is not None for value in one["best"])
        ]
        if drawn:
            legend = ", ".join(f"{line.label} {STROKES[row % 4]}" for row, line in enumerate(drawn))
            svg = lines(
                source.name_of(target, 44),
                drawn,
                x_label="step",
                y_label="loss, best so far",
                salt=f"convergence-{place}",
            )
            figures.append(Figure(svg, legend))
    figures += _survival(source)
    rows = [
        [
            source.name_of(attack.target),
            str(attack.seed),
            number(attack.initial_objective),
            number(attack.objective),
            number(attack.best_step, "count"),
            number(attack.steps, "count"),
            name(attack.stopped.replace("_", " ")),
            attack.status + (f": {name(attack.note, 120)}" if attack.note else ""),
        ]
        for attack in source.attacks
    ]
    head = ["target", "seed", "loss at start", "loss reached", "best at step", "steps", "ended by", "status"]
    lead = "The attacker's loss, lower is better for it; dots mark the step whose text was chosen."
    if not figures:
        lead = "The attack recorded no objective by step, so there is no curve to draw."
    return Section(
        "convergence", title, lead, figures=figures, tables=[Table(head, rows, "Searches", words=2)]
    )


def _survival(source: Source) -> list[Figure]:
    """Share of attacks that were not yet at rank 1, by step (Kaplan & Meier 1958); needs two attacks."""
    times, curve = (source.tables["time_to_first"][part] for part in ("attacks", "curve"))
    if len(times) < 2:
        return []
    last = max(attack.steps for attack in source.attacks)
    steps = [*(step for step, _ in curve), max(last, curve[-1][0])]
    shares = [100 * share for _, share in curve]
    drawn = [Line("all", "accent", steps, [*shares, shares[-1]], step=True)]
    svg = lines(
        "Not yet in first place",
        drawn,
        x_label="step",
        y_label="attacks not there, %",
        salt="convergence-first",
        share=True,
    )
    settled = sum(one["settled"] for one in times)
    caption = (
        f"{settled} of {count(len(times), 'attack')} put the target first in at least half of the rankings "
    )
    caption += "that judge it; the others are censored at their last step."
    return [Figure(svg, caption)]


STROKES = ("solid", "dashed", "dash-dotted", "dotted")


def costs(source: Source) -> Section:
    """What the attack and each ranking took."""
    title = "Cost"
    tables = []
    rows: list[list[str]] = []
    for target in (ALL, *source.targets):
        cells = [source.row(f"attack_{unit}", ATTACK, None, target) for unit in UNITS]
        if any(cells):
            owner = "all targets, mean" if target == ALL else source.name_of(target)
            amount = max(cell["n"] for cell in cells if cell)
            rows.append(
                [owner, *(number(cell["estimate"], "count") if cell else "–" for cell in cells), str(amount)]
            )
    words = [unit.replace("_", " ") for unit in UNITS]
    words[-1] = "computed tokens"
    if rows:
        note = "Mean of one attack. A query is one request in one order through the whole stack; computed tokens are "
        note += "what caches left to do."
        tables.append(Table(["target", *words, "attacks"], rows, "Cost of one attack", note, folded=False))
    rows = []
    for arm in source.arms:
        cells = [source.row(f"ranking_{unit}", arm) for unit in ("queries", "tokens", "computed")]
        if any(cells):
            amount = max(cell["n"] for cell in cells if cell)
            shown = (number(cell["estimate"], "count") if cell else "–" for cell in cells)
            rows.append([arm_label(arm, 40), *shown, number(amount, "count")])
    if rows:
        head = ["arm", "queries", "tokens", "computed tokens", "rankings"]
        tables.append(Table(head, rows, "Cost of one test ranking", folded=False))
    spending = {
        name: amount for name, amount in source.section("spending").items() if isinstance(amount, int | float)
    }
    if spending:
        head = ["requests", "from the cache", "failed attempts", "input tokens", "output tokens", "money"]
        names = ("requests", "from_cache", "failed", "input_tokens", "output_tokens")
        amounts = [number(spending.get(name, 0), "count") for name in names]
        note = "What this run asked of servers, over all its sessions. The price is the scenario's; without one there "
        note += "is no money. Not reproducible: what was in the cache is not asked again."
        paid = [[*amounts, f"{spending.get('money', 0):.4f}"]]
        tables.append(Table(head, paid, "Paid to servers (not reproducible)", note, folded=False))
    seconds: defaultdict[str, float] = defaultdict(float)
    trials: Counter[str] = Counter()
    for key, value in source.timings.items():
        kind = "attack" if key.startswith("attack/") else "evaluation"
        seconds[kind] += value
        trials[kind] += 1
    if seconds:
        rows = [
            [kind, str(trials[kind]), f"{seconds[kind]:.1f}", f"{seconds[kind] / trials[kind]:.1f}"]
            for kind in sorted(seconds)
        ]
        note = "Not reproducible: seconds depend on the machine and on what else it did. Nothing is computed from them."
        tables.append(
            Table(
                ["trials", "number", "seconds", "seconds each"],
                rows,
                "Time (not reproducible)",
                note,
                folded=False,
            )
        )
    if not tables:
        return Section("cost", title, missing="No costs were recorded.")
    return Section("cost", title, tables=tables)


def statuses(source: Source) -> Section:
    """Refusals, parse failures and errors per arm."""
    title = "Statuses"
    found = source.tables["statuses"]
    if not found:
        return Section("statuses", title, missing="No test ranking was recorded.")
    kinds = list(dict.fromkeys(("ok", *(kind for counts in found.values() for kind in sorted(counts)))))
    rows = [
        [
            arm_label(arm, 40),
            *(number(counts.get(kind, 0), "count") for kind in kinds),
            number(sum(counts.values()), "count"),
            with_interval(source.row("listed", arm), "share"),
        ]
        for arm, counts in found.items()
    ]
    lead = "Refusals and unreadable replies stay in every denominator; errors are left out and counted here."
    head = ["arm", *(kind.replace("_", " ") for kind in kinds), "rankings", "target listed, % [95 %]"]
    return Section("statuses", title, lead, tables=[Table(head, rows, "Rankings by status", folded=False)])
