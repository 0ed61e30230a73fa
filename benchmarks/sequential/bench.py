"""One data set: what is trained, measured and kept. Keys of the log: `<section>/<data>/...`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from engine.log import Log

from retrievers.rearec.data import Split, leave_one_out, read, time_split
from retrievers.rearec.stored import WEIGHTS, Stored
from sequential import latency
from sequential.floors import EVERY
from sequential.groups import popularity
from sequential.measuring import Arrays, Measured, both, digest
from sequential.recipes import BASE, Plan
from sequential.training import Trainer, history, run, trained_with
from testbed.environment import Environment
from testbed.errors import UserError

PUBLISHED = {"width": 256, "layers": 2, "heads": 2, "inner": 300}
"""Size of the published models (Tang et al. 2025)."""


@dataclass
class Bench:
    """Measures one data set into a log and arrays beside it. `others`: variant → a folder trained elsewhere."""

    plan: Plan
    log: Log
    env: Environment
    device: torch.device
    others: dict[str, Path] = field(default_factory=dict)

    @cached_property
    def split(self) -> Split:
        """Of the data, by the rule of the recipe."""
        interactions = read(self.plan.data)
        made = leave_one_out if self.plan.trainer(BASE).split == "leave_one_out" else time_split
        return made(interactions)

    def key(self, section: str, *parts: object) -> str:
        """Of an entry of this data."""
        return "/".join([section, self.plan.name, *map(str, parts)])

    def say(self, text: str) -> None:
        """Progress."""
        print(f"{self.plan.name}: {text}", file=sys.stderr, flush=True)

    def describe(self) -> None:
        """`data/…`: sizes; and for every measured user the length of his history and his item's popularity."""
        split, interactions = self.split, self.split.interactions
        found = {
            "fingerprint": interactions.fingerprint,
            "users": len(interactions),
            "items": len(interactions.items),
            "interactions": len(interactions.rows),
            "measured": len(split.test),
            "split": split.rule,
        }
        key = self.key("data")
        before = self.log.entries.get(key, {})
        if before and before["fingerprint"] != found["fingerprint"]:
            raise UserError(f"{self.log.path}: holds figures of other data called {self.plan.name}")
        if before != {"key": key, **found}:
            self.log.add(key, **found)
        if not self._file("users").is_file():
            self._keep("users", {"lengths": split.test.ends, "popularity": popularity(split, split.test)})

    def floors(self) -> None:
        """`floor/…`: ranks under every floor, or why there are none."""
        for name, make in EVERY.items():
            key = self.key("floor", name)
            if key in self.log:
                continue
            try:
                own, kept = both(make(self.split), self.split)
                file = self._keep(f"floor-{name}", {"own": own, "kept": kept})
                self.log.add(key, file=file)
            except UserError as fault:
                self.log.add(key, failed=str(fault))
            self.say(key)

    def attempt(self, name: str, options: dict[str, Any], seed: int) -> None:
        """`try/…`: a base, or the variant of a `loss`, with other options, validated only; recipes are chosen by it."""
        key = self.key("try", name)
        if key in self.log and not self.log.entries[key]["cut"]:
            return
        made = self.plan.trainer(options.get("loss", BASE), **options)
        place = self.plan.folder("tried") / name / f"seed-{seed}"
        run(made, self.split, place, seed, self.device, self.env, self.say)
        self.log.add(key, seed=seed, **history(place, made))

    def model(self, variant: str, seed: int, train: bool) -> None:
        """`model/…`: train a variant unless it is trained elsewhere, then its ranks, step by step."""
        key = self.key("model", variant, seed)
        place = self.others.get(variant, self.plan.folder(variant)) / f"seed-{seed}"
        if train and variant not in self.others:
            trainer = Trainer(self.plan, self.split, self.env, self.device, self.say)
            about = trainer.train(variant, seed)
        elif (place / WEIGHTS).is_file():
            about = history(place, trained_with(place))
        else:
            return
        stored = Stored.of(place)
        about |= {
            "digest": digest(place),
            "read": stored.read,
            "model": stored.options.model_dump(mode="json"),
        }
        before = self.log.entries.get(key, {})
        if before.get("digest") != about["digest"]:
            arrays, facts = Measured(stored, self.split, self.device, self.env).arrays()
            self.log.add(key, **about, facts=facts, file=self._keep(f"{variant}-{seed}", arrays))
            self.say(f"{key}: measured")
        elif before["epochs"] != about["epochs"]:
            self.log.add(key, **{**before, **about})

    def latency(self, rounds: int) -> None:
        """`latency/…`: seconds of a prediction by number of steps, in the recipe's size and in the published one."""
        options = self.plan.trainer(BASE).model
        for size, update in (("", {}), (", width 256", PUBLISHED)):
            keys = {name: self.key("latency", name + size) for name in latency.KINDS}
            if all(
                len(self.log.entries.get(key, {}).get("times", {}).get("0", ())) >= rounds
                for key in keys.values()
            ):
                continue
            sized = options.model_copy(update=update)
            for name, times in latency.measured(self.split, sized, self.device, rounds):
                key = keys[name]
                self.log.add(key, times={str(count): found for count, found in times.items()})
                two = latency.ratio(times, 2)[0]
                self.say(f"{key}: K = 2 takes {two:.3f} of K = 0 ({1000 * median(times[0]):.1f} ms)")

    def _file(self, name: str) -> Path:
        return self.plan.out / self.plan.name / "measured" / f"{name.replace(' ', '-').replace(',', '')}.npz"

    def _keep(self, name: str, arrays: Arrays) -> str:
        """Write arrays; the name of the file from the log's folder on."""
        file = self._file(name)
        file.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(file, **{key: _small(value) for key, value in arrays.items()})
        return str(file.relative_to(self.plan.out))


def _small(values: np.ndarray) -> np.ndarray:
    """In half the bytes, where nothing is lost that matters."""
    return values.astype(np.int32 if values.dtype.kind in "iu" else np.float32)


def named(log: Log, section: str, data: str) -> Iterator[tuple[list[str], dict[str, Any]]]:
    """What follows section and data in the keys of a log, with the entries."""
    for key, entry in log.entries.items():
        parts = key.split("/")
        if parts[:2] == [section, data]:
            yield parts[2:], entry
