"""The figures as Markdown: means with 95 % intervals over seeds and dialogues, and differences from plain cosine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np
from engine.log import Entry

from planning.sets import PLAIN
from testbed.seeds import rng_for
from testbed.statistics import Cells, Interval, Intervals

Found = Mapping[str, Sequence[Entry]]
"""Row → an entry of the log for each seed."""
Pick = Callable[[Entry], Sequence[float]]
HISTORIES = range(1, 11)
CUTS = (5, 10, 25, 50)


@cache
def _intervals() -> Intervals:
    return Intervals(lambda name: rng_for("goals", name))


def interval(entries: Sequence[Entry], pick: Pick, less: Sequence[float] | None = None) -> Interval:
    """Mean over seeds and cases; `less`: a value a case that is taken off."""
    values = np.array([pick(entry) for entry in entries], dtype=np.float64)
    if less is not None:
        values = values - np.asarray(less)
    return _intervals().of(Cells(values[:, :, None], (0,) * len(values)))


def markdown(sets: Mapping[str, Found]) -> str:
    """Everything that is measured, a part for each set."""
    return "\n\n".join(_part(name, found) for name, found in sets.items())


def _part(name: str, found: Found) -> str:
    entry = next(iter(found.values()))[0]
    seeds = max(map(len, found.values()))
    pools = [len(entry["next"][str(history)]) for history in HISTORIES]
    parts = [
        f"### {name}",
        f"{entry['training']:,} training dialogues; {seeds} seeds; [95 % interval over seeds and dialogues].",
        _table(
            found,
            {f"h = {history}": _next(history) for history in (1, 5, 10)} | {"direction": _direction},
            plain=True,
        ),
        "Mean rank of the true next utterance by turns of history; rank ÷ pool below.",
        _by_history(found, pools),
    ]
    if entry["stp"]:
        parts += [
            f"Short-term planning, {len(entry['stp'])} cases: the true reply among 100 generated ones.",
            _table(
                found,
                {f"Hits@{cut}": _hits(cut) for cut in CUTS} | {"average rank": lambda one: one["stp"]},
                plain=True,
            ),
        ]
    if entry["chains"]:
        parts += [
            f"Long-term planning, {len(entry['chains']):,} triples of goals: rank of the true order among six (chance "
            "3.5), how often it is first (.167) and before its reverse (.5); how often greedy curving puts the first "
            "goal first (.333).",
            _table(
                found,
                {
                    "chains: rank": lambda one: one["chains"],
                    "chains + curving: rank": lambda one: one["curved_chains"],
                    "first": _first("curved_chains"),
                    "before its reverse": lambda one: one["over_reverse"],
                    "greedy: first": _first("greedy"),
                },
                plain=False,
            ),
        ]
    return "\n\n".join(parts)


def _next(history: int) -> Pick:
    return lambda entry: entry["next"][str(history)]


def _direction(entry: Entry) -> Sequence[float]:
    return [value for values in entry["direction"].values() for value in values]


def _hits(cut: int) -> Pick:
    return lambda entry: [float(rank <= cut) for rank in entry["stp"]]


def _first(name: str) -> Pick:
    return lambda entry: [float(rank == 1) for rank in entry[name]]


def _table(found: Found, columns: Mapping[str, Pick], *, plain: bool) -> str:
    """A row each; with `plain` the last column's difference from plain cosine stands behind every column."""
    heads = [head for name in columns for head in ((name, "− plain") if plain else (name,))]
    lines = [f"| | {' | '.join(heads)} |", "|---|" + "---|" * len(heads)]
    for row, entries in found.items():
        cells = []
        for pick in columns.values():
            cells.append(cell(interval(entries, pick)))
            if plain:
                less = pick(found[PLAIN][0]) if PLAIN in found and row != PLAIN else None
                cells.append(cell(interval(entries, pick, less), signed=True) if less is not None else "")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _by_history(found: Found, pools: Sequence[int]) -> str:
    lines = [f"| | {' | '.join(map(str, HISTORIES))} |", "|---|" + "---|" * len(HISTORIES)]
    for row, entries in found.items():
        means = [np.mean([np.mean(_next(history)(one)) for one in entries]) for history in HISTORIES]
        lines.append(f"| {row} | {' | '.join(f'{mean:.1f}' for mean in means)} |")
        shares = [mean / pool for mean, pool in zip(means, pools, strict=True)]
        lines.append(f"| … ÷ pool | {' | '.join(f'{share:.3f}' for share in shares)} |")
    return "\n".join([*lines, f"| pool | {' | '.join(map(str, pools))} |"])


def cell(found: Interval, *, signed: bool = False) -> str:
    """`71.3 [69.8, 72.9]`, or with three digits where values are shares."""
    if found.estimate is None:
        return "–"
    digits = 3 if abs(found.estimate) < 1 else 1
    sign = "+" if signed else ""
    text = f"{found.estimate:{sign}.{digits}f}"
    if found.low is None or found.high is None:
        return text
    return f"{text} [{found.low:{sign}.{digits}f}, {found.high:{sign}.{digits}f}]"
