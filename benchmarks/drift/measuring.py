"""Every text of a run's traces, measured on its held-out requests; every request goes to the log at once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from engine.log import Log

from retrievers.goals.reach import GoalReach
from testbed.arms import length, random_text
from testbed.errors import UserError
from testbed.manifest import describe
from testbed.scenario import load
from testbed.stack import Call
from testbed.types import Situation, Slate, Target
from testbed.world import World, build

OBSERVERS = {"reach": GoalReach(), "reach, plain": GoalReach(heads=False)}


@dataclass(frozen=True)
class Attack:
    """The texts of one search, step by step; step 0 is what it began from."""

    target: Target
    seed: int
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        """Target and seed."""
        return f"{self.target.item_id}, seed {self.seed}"


@dataclass(frozen=True)
class Trace:
    """A finished run with its traces, brought to life again. `random`: texts of random tokens for each target.
    `requests`: only so many of the held-out ones, the first."""

    run: Path
    world: World
    random: int
    requests: int | None = None

    @classmethod
    def of(
        cls,
        run: Path,
        overrides: Sequence[str],
        random: int,
        threads: int | None,
        requests: int | None = None,
    ) -> Trace:
        """UserError where the folder holds no traces, or the scenario is not what was run."""
        if not (run / "scenario.yaml").is_file() or not (run / "traces").is_dir():
            raise UserError(f"{run}: is no run with traces")
        manifest = json.loads((run / "manifest.json").read_text("utf-8"))
        world = build(load(run / "scenario.yaml", overrides), threads=threads)
        if _described(describe(world, (), "")) != _described(manifest):
            raise UserError(f"{run}: had another catalog, stack or split; give the same --set as then")
        return cls(run, world, random, requests)

    @cached_property
    def attacks(self) -> tuple[Attack, ...]:
        """In the order of the plan."""
        found = []
        for trial in self.world.plan.attacks:
            file = self.run / "traces" / f"{trial.target.item_id}-{trial.seed}.jsonl"
            if not file.is_file():
                raise UserError(f"{file}: is not there; let the run finish first")
            lines = [json.loads(line) for line in file.read_text("utf-8").splitlines()]
            found.append(Attack(trial.target, trial.seed, tuple(line["text"] for line in lines)))
        return tuple(found)

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """Each once."""
        return tuple(dict.fromkeys(one.target for one in self.attacks))

    def controls(self, target: Target) -> tuple[str, ...]:
        """Random texts, as long as the attacks' last ones are on average."""
        return self._drawn[target]

    def texts(self, target: Target) -> tuple[str, ...]:
        """All that are measured, none twice; '' is the listing as it was."""
        steps = [text for one in self.attacks if one.target == target for text in one.texts]
        return tuple(dict.fromkeys(["", *steps, *self.controls(target)]))

    @cached_property
    def _drawn(self) -> dict[Target, tuple[str, ...]]:
        found, stack = {}, self.world.stack
        for target in self.targets:
            sizes = [length(stack, one.texts[-1]) for one in self.attacks if one.target == target]
            size = round(sum(sizes) / len(sizes))
            found[target] = tuple(
                random_text(stack, size, target.item_id, seed) for seed in range(self.random)
            )
        return found

    @property
    def situations(self) -> tuple[Situation, ...]:
        """The held-out ones of the run."""
        return self.world.plan.splits["test"][: self.requests]

    def key(self, target: Target, situation: Situation) -> str:
        """Of the log: all that a measurement depends on."""
        said = json.dumps([self.world.scenario.hash, target.item_id, self.texts(target)])
        digest = hashlib.blake2b(said.encode(), digest_size=8).hexdigest()
        return f"drift/{digest}/{situation.request}/{situation.order}"


def _described(manifest: Mapping[str, Any]) -> list[Any]:
    """What of a run has to be as it was; options that came later do not count."""
    stages = [[stage["use"], stage["inputs"], stage["options"].get("model")] for stage in manifest["stack"]]
    return [manifest["catalog"]["fingerprint"], manifest["splits"]["test"], stages]


def measure(trace: Trace, log: Log) -> None:
    """What is not measured yet. All texts of a target go through the stack together, so that untouched listings have
    the same scores beside each."""
    world = trace.world
    wanted = [(target, situation) for target in trace.targets for situation in trace.situations]
    missing = [pair for pair in wanted if trace.key(*pair) not in log]
    if not missing:
        return
    built = tuple(plugin.build(world.catalog, world.environment) for plugin in OBSERVERS.values())
    for target, situation in missing:
        texts = trace.texts(target)
        request = world.catalog.request(situation.request)
        calls = [
            Call(request, situation, target.edit(text) if text else (), target.item_id) for text in texts
        ]
        slates = [outcome.slate for outcome in world.stack.run(calls)]
        values: dict[str, Any] = {"rank": [], "margin": [], **{name: [] for name in OBSERVERS}}
        for call, slate in zip(calls, slates, strict=True):
            values["rank"].append(slate.rank_of(target.item_id))
            values["margin"].append(margin(slate, target.item_id))
            for name, observer in zip(OBSERVERS, built, strict=True):
                told = replace(world, observers=(observer,)).observed(call, slate)
                values[name].append(told["goal_reach"])
        log.add(trace.key(target, situation), target=target.item_id, texts=texts, **values)


def margin(slate: Slate, item_id: str) -> float:
    """How far a listing's score is above its best rival's. UserError where the stack gives no scores."""
    scores = {one.item_id: one.score for one in slate}
    own = scores.pop(item_id, None)
    rivals = [score for score in scores.values() if score is not None]
    if own is None or not rivals:
        raise UserError("a margin needs scores of the target and of a rival; this stack gives none")
    return own - max(rivals)
