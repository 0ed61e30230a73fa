"""A game as it is measured: every vendor's text under every strategy, and the ranking under every joint choice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError, shown
from testbed.locks import made
from testbed.plan import AttackTrial, plan
from testbed.seeds import rng_for
from testbed.stack import Call, Scope
from testbed.store import write_json
from testbed.trial import run_attack
from testbed.types import Intervention, Situation, Target

if TYPE_CHECKING:
    from testbed.scenario import Scenario
    from testbed.world import World

LINES, ABOUT = "game.jsonl", "game.json"
MOST = 4096
"""Joint choices, at most: every one of them is ranked."""
BATCH = 32
Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Game:
    """Vendors who each choose one strategy: `nothing`, `honest`, or a scenario whose attack writes the text.

    `situations`: (request, order) pairs of the test split that every joint choice is ranked in; all when None.
    """

    world: World
    strategies: Mapping[str, Scenario | str]
    situations: int | None = None

    def __post_init__(self) -> None:
        if len(self.vendors) < 2:
            raise UserError("a game needs two vendors; name two or more in targets.items")
        if len(self.strategies) < 2:
            raise UserError("a game needs two strategies; name another with --strategy")
        if len(self.profiles) > MOST:
            raise UserError(
                f"{len(self.vendors)} vendors with {len(self.strategies)} strategies have "
                f"{len(self.profiles)} joint choices, of which {MOST} can be ranked; take fewer"
            )
        bare = [one.item_id for one in self.vendors if not self.world.catalog.item(one.item_id).honest_text]
        if bare and "honest" in self.strategies.values():
            raise UserError(
                f"the catalog has no honest text for {shown(bare[0])}; leave the strategy honest out"
            )

    @property
    def vendors(self) -> tuple[Target, ...]:
        """Their listings: the targets of the scenario."""
        return self.world.scenario.target_list

    @property
    def profiles(self) -> tuple[tuple[str, ...], ...]:
        """All joint choices, a strategy a vendor."""
        return tuple(product(self.strategies, repeat=len(self.vendors)))

    @property
    def places(self) -> tuple[Situation, ...]:
        """The situations: those of the test split, without a slot that is held for one of the listings."""
        found = list(dict.fromkeys(replace(one, slot=None) for one in self.world.plan.splits["test"]))
        if self.situations is None or self.situations >= len(found):
            return tuple(found)
        rng = rng_for("game", self.world.catalog.fingerprint, self.situations)
        drawn = sorted(int(place) for place in rng.permutation(len(found))[: self.situations])
        return tuple(found[place] for place in drawn)

    def about(self) -> dict[str, Any]:
        """What makes this game another one than that of a folder."""
        return {
            "schema": 1,
            "scenario": self.world.scenario.hash,
            "vendors": [one.item_id for one in self.vendors],
            "strategies": {
                name: one if isinstance(one, str) else one.as_dict()["attack"]
                for name, one in self.strategies.items()
            },
            "situations": len(self.places),
        }


@dataclass
class Lines:
    """The lines of a game's file: texts and rankings, appended and flushed; a torn last one is dropped."""

    path: Path
    texts: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    rankings: dict[tuple[tuple[str, ...], str, int], dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Lines:
        """What is on file."""
        found = cls(path)
        kept = 0
        for line in path.read_bytes().splitlines(keepends=True) if path.is_file() else ():
            if not line.endswith(b"\n"):
                break
            found.take(json.loads(line))
            kept += len(line)
        if path.is_file():
            with path.open("rb+") as stream:
                stream.truncate(kept)
        return found

    def take(self, line: Mapping[str, Any]) -> None:
        """Note a line."""
        if line["kind"] == "text":
            self.texts[line["vendor"], line["strategy"]] = dict(line)
        else:
            self.rankings[tuple(line["profile"]), line["request"], line["order"]] = dict(line)

    def add(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Write lines at once."""
        with self.path.open("a", encoding="utf-8", newline="\n") as stream:
            stream.writelines(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)
        for line in lines:
            self.take(line)


def measure(game: Game, out: Path, tell: Tell = lambda done, total: None) -> Lines:
    """Find the texts and rank every joint choice, but for what is there already. UserError where another game is."""
    about = game.about()
    if (out / ABOUT).is_file() and json.loads((out / ABOUT).read_text("utf-8")) != about:
        raise UserError(f"{out}: holds another game; choose another --out")
    made(out, "folder of a game")
    write_json(out / ABOUT, about)
    lines = Lines.read(out / LINES)
    total, done = len(game.profiles) * len(game.places), len(lines.rankings)
    for vendor in game.vendors:
        for name, strategy in game.strategies.items():
            if (vendor.item_id, name) not in lines.texts:
                lines.add([_written(game.world, vendor, name, strategy)])
    tell(done, total)
    for place in game.places:
        wanted = [one for one in game.profiles if (one, place.request, place.order) not in lines.rankings]
        scope = Scope()
        for some in _parts(wanted, BATCH):
            calls = [
                Call(game.world.catalog.request(place.request), place, _joint(game, lines, one))
                for one in some
            ]
            outcomes = game.world.stack.run(calls, scope)
            failed = next((one.slate.note for one in outcomes if one.slate.status == "error"), None)
            if failed is not None:
                raise UserError(f"the stack could not answer: {failed}; the same command goes on from here")
            lines.add(
                [
                    {
                        "kind": "ranking",
                        "profile": list(one),
                        "request": place.request,
                        "order": place.order,
                        "ranking": list(outcome.slate.ids),
                        "status": outcome.slate.status,
                    }
                    for one, outcome in zip(some, outcomes, strict=True)
                ]
            )
            done += len(some)
            tell(done, total)
    return lines


def _written(world: World, vendor: Target, name: str, strategy: Scenario | str) -> dict[str, Any]:
    """A vendor's text under a strategy, found while the others write nothing."""
    line: dict[str, Any] = {"kind": "text", "vendor": vendor.item_id, "strategy": name}
    if strategy == "nothing":
        return {**line, "text": ""}
    if isinstance(strategy, str):
        return {**line, "text": world.catalog.item(vendor.item_id).honest_text}
    own = replace(
        world,
        scenario=strategy,
        plan=plan(strategy, world.catalog, deterministic=world.stack.deterministic),
    )
    record, _ = run_attack(own, AttackTrial(vendor, strategy.seeds[0]))
    if record.status == "error":
        raise UserError(f"strategy {shown(name)} for {shown(vendor.item_id)}: {record.note}")
    return {**line, "text": record.text, "objective": record.objective, "cost": dict(record.cost)}


def _joint(game: Game, lines: Lines, profile: Sequence[str]) -> Intervention:
    return tuple(
        edit
        for vendor, name in zip(game.vendors, profile, strict=True)
        for edit in vendor.edit(lines.texts[vendor.item_id, name]["text"])
    )


def _parts(some: Sequence[tuple[str, ...]], size: int) -> Iterator[Sequence[tuple[str, ...]]]:
    return (some[begin : begin + size] for begin in range(0, len(some), size))
