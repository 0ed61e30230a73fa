"""The figures as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from engine.log import Log

from pollution.bench import POLLUTIONS, QUARTILES, effect_of, steps_of
from pollution.models import NAMES
from pollution.ranking import CUT, Effect
from pollution.steps import Steps, amplification, relative, turning
from testbed.seeds import rng_for
from testbed.statistics import Cells, Interval, Intervals

HEAD = (
    f"target HR@{CUT}, before → after", "change", f"exposure@{CUT}, change", "median rank, before → after",
    f"NDCG@{CUT} of all, before → after", "change", f"top {CUT} kept",
)  # fmt: skip
KIND_NAMES = {
    "none": "no fakes, another seed",
    "random": "random",
    "popular": "popular",
    "bandwagon": "bandwagon",
}
CHOICES = {
    "target": "the target", "preceding": "what it comes after", "popular": "popular items", "random": "random items",
}  # fmt: skip
QUARTER = ("rarest", "rare", "common", "most common")
LENGTH = ("shortest", "short", "long", "longest")


@cache
def _intervals() -> Intervals:
    return Intervals(lambda name: rng_for("pollution tables", name))


def mean_of(
    values: np.ndarray, bounds: tuple[float, float] | None = None, *, events: bool = False
) -> Interval:
    """Mean over targets and users, (T, M), with an interval over both, over users alone with fewer than 3 targets.

    `events`: hits or differences of hits, so that none at all has a bound too.
    """
    cells = Cells(values[:, :, None], tuple(range(len(values))))
    return _intervals().of(cells, bounds, binary=events, floor=False)


def fakes_table(log: Log) -> str:
    """A row for every victim, kind and share."""
    found: dict[tuple[str, str, str, str], list[dict]] = {}
    for entry in log.of("fakes"):
        _, victim, kind, share, times, _ = entry["key"].split("/")
        found.setdefault((victim, kind, share, times), []).append(entry)
    rows = []
    for (victim, kind, share, times), entries in sorted(found.items(), key=lambda one: _fakes_order(one[0])):
        label = KIND_NAMES[kind] if kind == "none" else f"{KIND_NAMES[kind]}, {float(share):.0%} a target"
        more = f", {times} times" if times != "1" and kind != "none" else ""
        rows.append([{"trained": "SASRec"}.get(victim, victim), label + more, *cells(effect_of(entries))])
    return table(["learns", "fake users", *HEAD], rows)


def _fakes_order(key: tuple[str, str, str, str]) -> tuple[int, ...]:
    victim, kind, share, times = key
    victims, kinds = ("popularity", "Markov", "item-kNN", "trained"), tuple(KIND_NAMES)
    return victims.index(victim), int(times), int(float(share) * 1e6), kinds.index(kind)


def pollution_table(log: Log) -> str:
    """A row for every model and every way of choosing items."""
    rows = []
    for name, title in NAMES.items():
        for choose, count in POLLUTIONS:
            entries = _entries(log, "pollution", name, choose, count)
            if entries:
                rows.append([title, f"{count} × {CHOICES[choose]}", *cells(effect_of(entries))])
        entries = _entries(log, "text", name, "stuffing", 3)
        if entries:
            rows.append(
                [title, "text of 3 popular items appended to the target's", *cells(effect_of(entries))]
            )
    return table(["model", "attack", *HEAD], rows)


def quartile_table(log: Log, quartile: Sequence[int], lengths: np.ndarray) -> str:
    """Change of the target's hit rate by how common it is, and of users' NDCG by how long their histories are."""
    rows = []
    for label, entries in _attacks(log):
        found, places = effect_of(entries), np.array([place for one in entries for place in one["places"]])
        mine = np.array(quartile)[places]
        change = found.hit(found.after) - found.hit(found.before)
        cut = [mean_of(change[mine == number]) for number in range(QUARTILES) if (mine == number).any()]
        damage = [
            mean_of(found.of(users=np.flatnonzero(lengths == number)).damage) for number in range(QUARTILES)
        ]
        rows.append([label, *map(signed, cut), *map(signed, damage)])
    head = [f"HR@{CUT}, {name} targets" for name in QUARTER[: len(set(quartile))]]
    return table(["attack", *head, *(f"NDCG@{CUT}, {name} histories" for name in LENGTH)], rows)


def steps_table(log: Log) -> str:
    """Growth of a perturbation by step: geometric means over users and targets, as factors of that at step 0."""
    rows = []
    for name, title in NAMES.items():
        for choose, count in POLLUTIONS:
            entries = _entries(log, "pollution", name, choose, count)
            if not entries or len(entries[0]["steps"]["moved"]) < 2:
                continue
            every = [steps_of(entry) for entry in entries]
            factors = [by_step(every, how) for how in (amplification, relative, turning)]
            gains = gained(every)
            rows += [
                [title, f"{count} × {CHOICES[choose]}", str(step), *(factor(one[step]) for one in factors),
                 signed(gains[0], 2), signed(gains[step], 2)]
                for step in range(1, len(gains))
            ]  # fmt: skip
    head = [
        "model",
        "put into histories",
        "step",
        "distance",
        "distance, beside that between users",
        "cosine distance",
    ]
    return table([*head, "target's log p, step 0", "at the step"], rows)


def text_steps_table(log: Log) -> str:
    """What a text edit of the target does at every step."""
    rows = []
    for name, title in NAMES.items():
        entries = _entries(log, "text", name, "stuffing", 3)
        if entries:
            every = [steps_of(entry) for entry in entries]
            more = by_step(every, lambda one: one.gained - one.gained[:1])
            rows += [
                [title, str(step), signed(found, 3), signed(more[step], 3) if step else "",
                 f"{_median(every, step, 'before')} → {_median(every, step, 'after')}"]
                for step, found in enumerate(gained(every))
            ]  # fmt: skip
    return table(
        ["model", "step", "target's log p, change", "− that at step 0", "median rank, before → after"], rows
    )


def by_step(every: Sequence[Steps], how: Callable[[Steps], np.ndarray]) -> list[Interval]:
    """A mean over targets and users for every step; of logs where `how` gives logs."""
    values = np.stack([how(one) for one in every], 1)
    return [mean_of(values[step]) for step in range(len(values))]


def gained(every: Sequence[Steps]) -> list[Interval]:
    """Change of the target's log-probability at every step, nats."""
    return by_step(every, lambda one: one.gained)


def cells(found: Effect) -> list[str]:
    """One row of figures."""
    before, after = found.hit(found.before), found.hit(found.after)
    exposed = found.exposure(found.after) - found.exposure(found.before)
    exactly = "0, exactly" if found.nothing else ""
    ranks = [np.median(part[found.asked]) for part in (found.before, found.after)]
    return [
        f"{np.nanmean(before):.3f} → {np.nanmean(after):.3f}",
        exactly or signed(mean_of(after - before, (-1, 1), events=True)),
        exactly or signed(mean_of(exposed, (-1, 1))),
        f"{ranks[0]:.0f} → {ranks[1]:.0f}",
        f"{found.quality[0]:.3f} → {found.quality[1]:.3f}",
        exactly or signed(mean_of(found.damage, (-1, 1))),
        f"{np.nanmean(found.kept):.2f}",
    ]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown; a first column that repeats is written once."""
    if not rows:
        return "not measured yet"
    lines = [f"| {' | '.join(head)} |", "|---|" + "---|" * (len(head) - 1)]
    last = None
    for row in rows:
        lines.append(f"| {' | '.join(['' if row[0] == last else row[0], *row[1:]])} |")
        last = row[0]
    return "\n".join(lines)


def signed(found: Interval, digits: int = 3) -> str:
    """`+.012 [+.003, +.020]`; a dash without a value."""
    if found.estimate is None:
        return "–"
    if found.low is None or found.high is None:
        return f"{found.estimate:+.{digits}f}"
    return f"{found.estimate:+.{digits}f} [{found.low:+.{digits}f}, {found.high:+.{digits}f}]"


def factor(found: Interval) -> str:
    """A mean of logs as a factor."""
    if found.estimate is None:
        return "–"
    parts = [found.estimate, *(bound for bound in (found.low, found.high) if bound is not None)]
    told = [f"{np.exp(part):.2f}" for part in parts]
    return f"{told[0]} [{', '.join(told[1:])}]" if len(told) == 3 else told[0]


def _median(every: Sequence[Steps], step: int, which: str) -> str:
    return f"{np.median([getattr(one, which)[step] for one in every]):.0f}"


def _entries(log: Log, section: str, name: str, choose: str, count: int) -> list[dict]:
    """Entries of all targets, in their order."""
    lead = f"{section}/{name}/{choose}/{count}/"
    found = [
        (int(key.removeprefix(lead)), entry) for key, entry in log.entries.items() if key.startswith(lead)
    ]
    return [entry for _, entry in sorted(found, key=lambda one: one[0])]


def _attacks(log: Log) -> list[tuple[str, list[dict]]]:
    """Attacks that are told by quartile: fake users of the trained model, items in histories."""
    found: dict[str, list[dict]] = {}
    for entry in log.of("fakes"):
        _, victim, kind, share, _, _ = entry["key"].split("/")
        if victim == "trained":
            label = KIND_NAMES[kind] + (f", {float(share):.0%} a target" if kind != "none" else "")
            found.setdefault(f"fake users: {label}", []).append(entry)
    for choose in ("target", "preceding"):
        for name, title in NAMES.items():
            entries = _entries(log, "pollution", name, choose, 3)
            if entries:
                found[f"histories: 3 × {CHOICES[choose]}; {title}"] = entries
    return list(found.items())
