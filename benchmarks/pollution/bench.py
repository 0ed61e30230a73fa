"""Measures what is not measured yet; every entry goes to a log at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine.log import Log
from torch import Tensor

from attacks.neighbours import popular, preceding
from pollution.models import Attacked, plain, pushed
from pollution.ranking import Effect, Seen, effect, seen
from pollution.steps import Steps, scores_of, states_of, steps
from retrievers.rearec.data import Fakes, Split, poisoned
from retrievers.rearec.data.fakes import learnt_counts
from retrievers.rearec.floors import FLOORS
from testbed.environment import Environment
from testbed.seeds import rng_for
from testbed.types import HistoryEdit, Request

QUARTILES = 4
FLOOR_NAMES = ("popularity", "Markov", "item-kNN")
POLLUTIONS = (("target", 1), ("target", 3), ("preceding", 3), ("popular", 3), ("random", 3))
"""Which items are put into histories, and how many: the newest ones in a row."""
STUFFING = 3
"""Popular items whose text is appended to the target's."""


@dataclass(frozen=True)
class Field:
    """Data, what is attacked on it, and whom it is measured on.

    `targets`: item numbers, `quartile`: of each, by how often it is learnt from, 0 for the rarest. `users`: rows of the
    test fold.
    """

    data: Path
    split: Split
    targets: tuple[int, ...]
    quartile: tuple[int, ...]
    users: np.ndarray
    folder: Path
    env: Environment

    @property
    def histories(self) -> list[list[int]]:
        """Known items of the measured users."""
        fold = self.split.test
        return [
            self.split.interactions.history(int(fold.users[row]))[: int(fold.ends[row])].tolist()
            for row in self.users
        ]


def field_of(data: Path, split: Split, per: int, users: int | None, folder: Path, env: Environment) -> Field:
    """`per` targets of every quartile of popularity, drawn by the data alone; at most so many users, likewise."""
    counts = learnt_counts(split)
    order = np.argsort(counts, kind="stable")
    order = order[counts[order] > 0]
    rng = rng_for("pollution", split.interactions.fingerprint)
    targets, quartile = [], []
    for number, part in enumerate(np.array_split(order, QUARTILES)):
        targets += rng.permutation(part)[:per].tolist()
        quartile += [number] * min(per, len(part))
    rows = np.sort(rng.permutation(len(split.test))[: users or len(split.test)])
    return Field(data, split, tuple(targets), tuple(quartile), rows, folder, env)


def quarters(values: np.ndarray) -> np.ndarray:
    """Quartile 0 to 3 of each value; equal ones are in the same."""
    return np.searchsorted(np.quantile(values, [0.25, 0.5, 0.75]), values, side="left")


# ---------------------------------------------------------------------------------------------- fake users


def measure_fakes(field: Field, log: Log, kinds: Sequence[str], shares: Sequence[float], times: int) -> None:
    """Every kind and share, for one target of every quartile at once: each attacker has his own fake users.

    The trained model is also compared with itself from another seed: what changes without any attack.
    """
    items = field.split.interactions.items
    for group, places in enumerate(_groups(field)):
        targets = [field.targets[place] for place in places]
        for victim in (*FLOOR_NAMES, "trained"):
            clean: Seen | None = None
            attacks = [(kind, share) for share in shares for kind in kinds]
            for kind, share in ([("none", 0.0)] if victim == "trained" else []) + attacks:
                key = f"fakes/{victim}/{kind}/{share}/{times}/{group}"
                if key in log:
                    continue
                attackers = [
                    Fakes(kind=kind, share=share, target=items[target], times=times)  # type: ignore[arg-type]
                    for target in targets
                    if kind != "none"
                ]
                clean = clean or _ranked(field, victim, [], targets)
                after = _ranked(field, victim, attackers, targets, seed=int(kind == "none"))
                _write(log, key, effect(clean, [after]), places)


def _groups(field: Field) -> list[list[int]]:
    """Places of targets, one of every quartile in each group."""
    by_quartile = [
        [place for place, q in enumerate(field.quartile) if q == number] for number in range(QUARTILES)
    ]
    return [list(group) for group in zip(*by_quartile, strict=False)]


def _ranked(
    field: Field, victim: str, attackers: Sequence[Fakes], targets: Sequence[int], seed: int = 0
) -> Seen:
    """Rankings of a victim that has learnt from fake users; without attackers and with a seed, of another training."""
    fold = field.split.test
    if victim != "trained":
        scorer = FLOORS[victim](poisoned(field.split, attackers))
        scores = scorer(fold.users[field.users], fold.ends[field.users])
        return seen(scores, field.split, field.users, targets)
    told = "-".join(f"{one.kind}.{one.share}.{one.times}.{one.target}" for one in attackers) or "clean"
    attacked = pushed(f"fakes/{told}", field.data, field.split, attackers, field.folder, field.env, seed)
    scores = scores_of(attacked, states_of(attacked, field.histories))
    return seen(scores, field.split, field.users, targets)


# ---------------------------------------------------------------------------------------- polluted histories


def polluted(history: Sequence[int], items: Sequence[int]) -> list[int]:
    """A history with items behind its newest, as the testbed's own edit puts them there."""
    request = Request("r", "", tuple(map(str, history)))
    edits = [HistoryEdit(str(item)) for item in items]
    return [int(item) for item in request.with_inserted(edits).history]


def chosen(field: Field, target: int, choose: str, count: int) -> list[int]:
    """Items to put into histories, the most telling one newest; known from what is learnt from."""
    if choose == "target":
        return [target] * count
    if choose == "random":
        rng = rng_for("pollution", field.split.interactions.fingerprint, target)
        others = np.delete(np.arange(len(field.split.interactions.items)), target)
        return [int(item) for item in rng.choice(others, size=count, replace=False)]
    learnt = [[str(item) for item in field.split.training(user)] for user in range(len(field.split.known))]
    found = (preceding if choose == "preceding" else popular)(learnt, str(target))
    found += [item for item in popular(learnt, str(target)) if item not in found]
    return [int(item) for item in found[:count]][::-1]


def measure_pollution(field: Field, log: Log, models: Sequence[str]) -> None:
    """Every model, every way of choosing items, every target."""
    for name in models:
        wanted = [
            (f"pollution/{name}/{choose}/{count}/{place}", choose, count, place)
            for choose, count in POLLUTIONS
            for place in range(len(field.targets))
        ]
        texts = [(f"text/{name}/stuffing/{STUFFING}/{place}", place) for place in range(len(field.targets))]
        if all(key in log for key, *_ in (*wanted, *texts)):
            continue
        attacked = plain(name, field.data, field.split, field.folder / "models", field.env)
        histories = field.histories
        states = states_of(attacked, histories)
        scores = scores_of(attacked, states)
        for key, choose, count, place in wanted:
            if key not in log:
                target = field.targets[place]
                items = chosen(field, target, choose, count)
                moved = states_of(attacked, [polluted(one, items) for one in histories])
                _compare(
                    field, log, key, attacked, (states, scores), (moved, scores_of(attacked, moved)), place
                )
        for key, place in texts:
            if key not in log:
                table = stuffed(field, attacked, field.targets[place])
                moved = states_of(attacked, histories, table)
                world = (moved, scores_of(attacked, moved, table))
                _compare(field, log, key, attacked, (states, scores), world, place, table)


def stuffed(field: Field, attacked: Attacked, target: int) -> Tensor:
    """The items with the texts of the most popular ones appended to the target's; as they are where ids count."""
    if attacked.model.items.adaptor is None:
        return attacked.table
    learnt = [[str(item) for item in field.split.training(user)] for user in range(len(field.split.known))]
    texts = field.split.interactions.texts
    more = [texts[int(item)] for item in popular(learnt, str(target))[:STUFFING]]
    vector = field.env.encoder("minilm").encode([" ".join([texts[target], *more])])
    with torch.no_grad():
        return attacked.model.items.with_texts(
            attacked.table, torch.tensor([target]), torch.from_numpy(np.asarray(vector, dtype=np.float32))
        )


def _compare(
    field: Field,
    log: Log,
    key: str,
    attacked: Attacked,
    clean: tuple[Tensor, np.ndarray],
    world: tuple[Tensor, np.ndarray],
    place: int,
    table: Tensor | None = None,
) -> None:
    target = field.targets[place]
    before, after = (seen(scores, field.split, field.users, [target]) for _, scores in (clean, world))
    found = steps(attacked, clean[0], world[0], target, table)
    _write(log, key, effect(before, [after]), [place], found)


def _write(log: Log, key: str, found: Effect, places: Sequence[int], by_step: Steps | None = None) -> None:
    values: dict[str, Any] = {name: part.tolist() for name, part in asdict(found).items() if name != "kept"}
    values["kept"] = np.round(found.kept, 3).tolist()
    if by_step is not None:
        values["steps"] = {name: _short(part) for name, part in asdict(by_step).items()}
    log.add(key, places=list(places), **values)


def _short(values: np.ndarray) -> list[list[float]]:
    """Six significant digits."""
    return [[float(f"{value:.6g}") for value in row] for row in values.tolist()]


def effect_of(entries: Sequence[Mapping[str, Any]]) -> Effect:
    """Logged effects of several targets, one behind the other."""
    names = ("before", "after", "held_before", "held_after", "kept")
    return Effect(*(np.concatenate([np.array(one[name]) for one in entries]) for name in names))


def steps_of(entry: Mapping[str, Any]) -> Steps:
    """What an entry says of the steps."""
    return Steps(**{name: np.array(part) for name, part in entry["steps"].items()})
