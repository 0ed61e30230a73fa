"""The figures as Markdown, and into docs/rearec.md."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from engine.log import Log
from engine.tables import between, rows

from sequential.bench import named
from sequential.compare import Difference, difference, level
from sequential.groups import quarters
from sequential.latency import COUNTS, ratio
from sequential.recipes import BASE, NAMES
from sequential.results import CUTS, Results, every
from testbed.errors import UserError
from testbed.statistics import Interval, holm

CEILING = "NDCG@20"


def tables(log: Log) -> dict[str, str]:
    """Title → Markdown of everything that is measured."""
    found = {}
    for one in every(log):
        made: Iterable[tuple[str, Callable[[Results], str]]] = (
            ("quality", quality),
            ("history kept", kept),
            ("steps", steps),
            ("ceiling", ceiling),
            ("groups", groups),
            ("trainings", trainings),
            ("options tried", tried),
            ("latency", latency),
        )
        for title, make in made:
            if text := make(one):
                found[f"{one.name}: {title}"] = text
    return found


def quality(one: Results) -> str:
    """Every floor and variant, and what a variant has more than the base of its seed."""
    lines: list[Sequence[Any]] = []
    for name, entry in one.floors.items():
        if "file" in entry:
            ranks = one.floor(name)
            lines.append([name, *(estimate(level(value(ranks))) for value in CUTS.values()), "", ""])
    apart = differences(one)
    adjusted = dict(
        zip(apart, holm([found.p if found.p is not None else 1.0 for found in apart.values()]), strict=True)
    )
    for name in one.models:
        ranks = one.ranks(name)
        cells = [estimate(level(value(ranks))) for value in CUTS.values()]
        more = [signed(apart[name].interval), p_value(adjusted[name])] if name in apart else ["", ""]
        lines.append(
            [f"{NAMES[name]} ({len(ranks)} seeds)" if len(ranks) > 1 else NAMES[name], *cells, *more]
        )
    return rows(["", *CUTS, "NDCG@10 − base", "p"], lines) if lines else ""


def differences(one: Results, measure: str = "NDCG@10") -> dict[str, Difference]:
    """Variant → what it has more than the base, paired by user and seed."""
    found = {}
    for name in one.models:
        pair = one.pair(name, measure) if name != BASE else None
        if pair:
            found[name] = difference(*pair)
    return found


def kept(one: Results) -> str:
    """The same with the items of the history among the competitors."""
    lines = [
        [name, *(estimate(level(value(one.floor(name, "kept")))) for value in CUTS.values())]
        for name, entry in one.floors.items()
        if "file" in entry
    ]
    lines += [
        [NAMES[name], *(estimate(level(value(one.ranks(name, "kept")))) for value in CUTS.values())]
        for name in one.models
    ]
    return rows(["", *CUTS], lines) if lines else ""


def steps(one: Results) -> str:
    """Quality after every step, and the entropy of the prediction."""
    lines = []
    for name in one.reasoning:
        ranks, entropy = one.ranks(name, "steps"), one.ranks(name, "entropy")
        count, value = ranks.shape[1], CUTS[CEILING]
        last = difference(value(ranks[:, -1]), value(ranks[:, 0])).interval
        seeds = one.common(name, BASE)
        first = one.ranks(name, "steps", seeds)[:, 0] if seeds else None
        other = (
            ""
            if first is None
            else signed(difference(value(first), value(one.ranks(BASE, seeds=seeds))).interval)
        )
        lines.append(
            [
                NAMES[name],
                " → ".join(number(value(ranks[:, step]).mean()) for step in range(count)),
                signed(last),
                other,
                number(value(one.ranks(name)).mean()),
                " → ".join(f"{entropy[:, step].mean():.2f}" for step in range(count)),
            ]
        )
    head = ["", f"{CEILING} of r_0 → r_K", "r_K − r_0", "r_0 − base", "as read", "entropy, nats"]
    return rows(head, lines) if lines else ""


def ceiling(one: Results) -> str:
    """Every user's best step, chosen with the label, and what choosing among noisy copies gives."""
    lines = []
    for name in one.reasoning:
        found = one.ceiling(name, CEILING)
        lines.append(
            [
                NAMES[name],
                number(found["one"].mean()),
                estimate(level(found["best"])),
                *(number(found[null].mean()) for null in ("null", "null of the mean")),
                *(
                    signed(difference(found["best"], found[null]).interval)
                    for null in ("null", "null of the mean")
                ),
            ]
        )
    count = len(one.seeds(BASE))
    if count > 1 and lines:
        ranks = one.ranks(BASE)
        top = estimate(level(CUTS[CEILING](ranks.min(0)[None])))
        lines.append(
            [f"base, best of {count} seeds", number(CUTS[CEILING](ranks).mean()), top, "", "", "", ""]
        )
    head = [
        CEILING,
        "one step",
        "best step",
        "null",
        "null of the mean",
        "best − null",
        "best − null of the mean",
    ]
    return rows(head, lines) if lines else ""


def groups(one: Results, measure: str = "NDCG@10") -> str:
    """Differences to the base in quarters of users."""
    others = [name for name in one.models if name != BASE and one.pair(name, measure)]
    if not others:
        return ""
    lines = []
    for what, values in (("history", one.users["lengths"]), ("item chosen", one.users["popularity"])):
        for label, members in quarters(values):
            cells = [number(CUTS[measure](one.ranks(BASE))[:, members].mean())]
            for name in others:
                pair = one.pair(name, measure)
                assert pair
                cells.append(signed(difference(pair[0][:, members], pair[1][:, members]).interval))
            lines.append([f"{what} {label}", f"{int(members.sum()):,}", *cells])
    return rows(["", "users", f"base, {measure}", *(f"{NAMES[name]} − base" for name in others)], lines)


def trainings(one: Results) -> str:
    """Epochs, the best validation, and quality on the test items, seed by seed."""
    lines = []
    for name, seeds in one.models.items():
        entries = [entry for entry in seeds.values() if entry["epochs"]]
        if entries:
            lines.append(
                [
                    NAMES[name],
                    ", ".join(str(entry["epochs"]) + ("*" if entry["cut"] else "") for entry in entries),
                    ", ".join(number(entry["best"]) for entry in entries),
                    ", ".join(number(found) for found in CUTS["NDCG@10"](one.ranks(name)).mean(1)),
                ]
            )
    text = rows(["", "epochs, by seed", "best validation", "NDCG@10, test"], lines) if lines else ""
    return text + ("\n\n\\* ended by the limit of epochs" if "*" in text else "")


def tried(one: Results) -> str:
    """Bases with other options, one seed each."""
    lines = [
        [name, f"{entry['epochs']}{'*' * entry['cut']}", number(entry["best"])]
        for (name,), entry in named(one.log, "try", one.name)
    ]  # fmt: skip
    text = rows(["options", "epochs", "validation NDCG@10"], lines) if lines else ""
    return text + ("\n\n\\* ended by the limit of epochs" if "*" in text else "")


def latency(one: Results) -> str:
    """Time next to that of K = 0."""
    lines = []
    for (name,), entry in named(one.log, "latency", one.name):
        times = {int(count): found for count, found in entry["times"].items()}
        cells = ["{:.3f} ({:.3f}–{:.3f})".format(*ratio(times, count)) for count in COUNTS[1:]]
        lines.append([name, f"{1000 * median(times[0]):.1f}", *cells])
    return rows(["256 users", "K = 0, ms", *(f"K = {count}" for count in COUNTS[1:])], lines) if lines else ""


def publish(log: Log, docs: Path) -> list[str]:
    """Refresh the tables of rearec.md between their markers, and the plots; tables that have no place there.

    UserError where a marker stands alone.
    """
    from sequential.plots import draw

    page = docs / "rearec.md"
    text, left = page.read_text("utf-8"), []
    for title, table in tables(log).items():
        name = title.replace(": ", " ")
        if f"<!-- begin {name} -->" not in text:
            left.append(name)
            continue
        try:
            text = between(text, name, table)
        except ValueError as fault:
            raise UserError(f"{page}: {fault}") from None
    page.write_text(text, "utf-8")
    draw(log, docs / "images")
    return left


def number(value: float) -> str:
    """`.0571`."""
    return f"{value:.4f}".replace("0.", ".", 1) if abs(value) < 1 else f"{value:.4f}"


def estimate(found: Interval) -> str:
    """`.0571 [.0550, .0592]`; a dash without a value."""
    if found.estimate is None:
        return "–"
    if found.low is None or found.high is None:
        return number(found.estimate)
    return f"{number(found.estimate)} [{number(found.low)}, {number(found.high)}]"


def signed(found: Interval) -> str:
    """`+.0021 [−.0003, +.0045]`."""
    if found.estimate is None:
        return "–"
    if found.low is None or found.high is None:
        return _sign(found.estimate)
    return f"{_sign(found.estimate)} [{_sign(found.low)}, {_sign(found.high)}]"


def _sign(value: float) -> str:
    return ("−" if round(value, 4) < 0 else "+") + number(abs(value))


def p_value(value: float) -> str:
    """`.012`."""
    return "< .001" if value < 0.001 else f"{value:.3f}".replace("0.", ".", 1)
