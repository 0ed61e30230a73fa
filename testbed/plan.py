"""From a scenario to its trials: which texts are searched, and which rankings are measured, in which order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.orders import slots
from testbed.seeds import rng_for
from testbed.types import STACK, Situation, Target

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.scenario import Scenario, Split, StageChoice

FIRST_ORDER = {"optimise": 0, "validate": 10_000, "test": 20_000}
"""Order ids of a split begin here, so no order is ever in two splits."""
SEEDED = ("attack", "random_tokens", "random_items")
"""Arms that exist once per attack seed."""


@dataclass(frozen=True, slots=True)
class AttackTrial:
    """One search for a text: a target, an attack seed, and the stack that is searched on."""

    target: Target
    seed: int
    source: str = STACK

    @property
    def key(self) -> str:
        """Key of the trial and of the one line that it writes."""
        key = f"attack/{self.target.item_id}/{self.seed}"
        return key if self.source == STACK else f"{key}/{self.source}"

    @property
    def lines(self) -> tuple[str, ...]:
        """Keys of the lines that it writes."""
        return (self.key,)


@dataclass(frozen=True, slots=True)
class Arm:
    """A world to be measured. `replicate` 1 repeats an arm with fresh stage noise; `source`: whose text it has."""

    name: str
    seed: int | None = None
    replicate: int = 0
    source: str = STACK


@dataclass(frozen=True, slots=True)
class EvaluationTrial:
    """One presentation order of one target: every request and arm of it, so that they share their prompts.

    `victim`: the stack that ranks.
    """

    split: str
    target: Target | None
    order: int
    slot: int | None
    requests: tuple[str, ...]
    arms: tuple[Arm, ...]
    victim: str = STACK

    @property
    def key(self) -> str:
        """Key of the trial."""
        key = f"evaluate/{self.split}/{self.target.item_id if self.target else '-'}/{self.order}"
        return key if self.victim == STACK else f"{key}/{self.victim}"

    def line(self, request: str, arm: Arm) -> str:
        """Key of one of its lines."""
        target = self.target.item_id if self.target else "-"
        seed = "-" if arm.seed is None else arm.seed
        key = f"evaluate/{self.split}/{target}/{request}/{self.order}/{arm.name}/{seed}/{arm.replicate}"
        return key if self.victim == arm.source == STACK else f"{key}/{arm.source}/{self.victim}"

    @property
    def cells(self) -> Iterator[tuple[str, Arm]]:
        """Its (request, arm) pairs in line order."""
        return ((request, arm) for request in self.requests for arm in self.arms)

    @property
    def lines(self) -> tuple[str, ...]:
        """Keys of the lines that it writes, in order."""
        return tuple(self.line(request, arm) for request, arm in self.cells)


Trial = AttackTrial | EvaluationTrial


@dataclass(frozen=True)
class Plan:
    """All trials of a run, attacks first; and the situations of each split."""

    attacks: tuple[AttackTrial, ...]
    evaluations: tuple[EvaluationTrial, ...]
    splits: dict[str, tuple[Situation, ...]]

    @property
    def trials(self) -> tuple[Trial, ...]:
        """In the order in which their lines are written."""
        return (*self.attacks, *self.evaluations)


def plan(scenario: Scenario, catalog: Catalog, *, deterministic: bool, limit: int | None = None) -> Plan:
    """The trials of a scenario on a catalog. `limit` keeps that many test orders (UserError below 1).

    Slots of the optimise split are those of the smallest pool that the attacker searches on.

    Requests that are given as a number are drawn by the catalog's content, never by a seed of the run, so
    that all runs on a catalog are measured on the same ones.
    """
    if limit is not None and limit < 1:
        raise UserError(f"limit {limit} keeps no presentation order; the least is 1")
    requests = draw_requests(scenario, catalog)
    pool = pool_size(scenario, catalog.pool)
    searched = [pool_size(scenario, catalog.pool, stack) for stack in scenario.searched]
    pools = {"optimise": min(searched), "validate": pool, "test": pool}
    splits = {
        name: _situations(name, split, requests[name], pools[name])
        for name, split in _sections(scenario).items()
    }
    if limit is not None:
        kept = set(sorted({situation.order for situation in splits["test"]})[:limit])
        splits["test"] = tuple(situation for situation in splits["test"] if situation.order in kept)
    targets: Sequence[Target | None] = scenario.target_list or (None,)
    attacked = scenario.attack is not None
    attacks = [
        AttackTrial(target, seed, source)
        for source in scenario.sources
        for target in targets
        if target and attacked
        for seed in scenario.seeds
    ]
    evaluations: list[EvaluationTrial] = []
    validated = attacked and len(scenario.seeds) > 1
    for target in targets:
        if validated:
            arms = (Arm("clean"), *(Arm("attack", seed) for seed in scenario.seeds))
            evaluations += _trials("validate", target, splits["validate"], requests["validate"], arms)
        arms = (*_arms(scenario, deterministic), *_travelled(scenario, STACK))
        evaluations += _trials("test", target, splits["test"], requests["test"], arms)
    for victim in scenario.victims:
        arms = (Arm("clean"), *_travelled(scenario, victim))
        for target in targets:
            evaluations += _trials("test", target, splits["test"], requests["test"], arms, victim)
    if not attacked:
        del splits["optimise"]
    if not validated:
        del splits["validate"]
    return Plan(tuple(attacks), tuple(evaluations), splits)


def draw_requests(scenario: Scenario, catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """Request ids of each split. Named ones first; numbers are drawn from what is left, `all` takes the rest.

    Without an attack the requests of the splits that are not used stay out all the same, so that runs with and
    without one are measured on the same ones, unless too few are left.
    """
    shuffled = [request.id for request in catalog.requests]
    rng_for(catalog.fingerprint, "requests").shuffle(shuffled)
    sections = _sections(scenario)
    share = scenario.hold_out == "orders"
    taken = {
        request
        for split in sections.values()
        if isinstance(split.requests, tuple)
        for request in split.requests
    }
    found: dict[str, tuple[str, ...]] = {}
    for name, split in sections.items():
        if isinstance(split.requests, tuple):
            found[name] = split.requests
    for name, split in sections.items():
        if isinstance(split.requests, int):
            free = shuffled if share else [request for request in shuffled if request not in taken]
            found[name] = tuple(free[: split.requests])
            taken |= set(found[name])
    for name, split in sections.items():
        if split.requests == "all":
            free = shuffled if share else [request for request in shuffled if request not in taken]
            found[name] = tuple(sorted(free))
    if scenario.attack is None:
        found["test"] = _topped_up(found["test"], scenario.evaluate.requests, shuffled)
    return found


def _topped_up(
    drawn: tuple[str, ...], wanted: int | str | tuple[str, ...], shuffled: Sequence[str]
) -> tuple[str, ...]:
    """With what other splits hold and do not use, where there is too little: fewer than wanted, or none."""
    if wanted == "all":
        return drawn or tuple(sorted(shuffled))
    if isinstance(wanted, int):
        spare = [request for request in shuffled if request not in drawn]
        return (*drawn, *spare[: max(0, wanted - len(drawn))])
    return drawn


def pool_size(scenario: Scenario, items: int, stack: Sequence[StageChoice] | None = None) -> int:
    """How many listings the last stage is shown: the catalog, or what the stage before lets through.

    `stack`: another one than the scenario's, for instance a surrogate.
    """
    stack = scenario.stack if stack is None else stack
    by_name = {stage.name: stage for stage in stack}
    feeders = [by_name[name] for name in stack[-1].inputs if name in by_name]
    kept = [_kept(stage.options) for stage in feeders]
    return min([items, *(int(k) for k in kept if isinstance(k, int))])


def _kept(options: Mapping[str, Any]) -> Any:
    """How many listings a stage keeps; of a defence around another stage, how many that one keeps."""
    over = options.get("over")
    return _kept(over) if isinstance(over, Mapping) and "k" not in options else options.get("k")


def _sections(scenario: Scenario) -> dict[str, Split]:
    return {"optimise": scenario.optimise, "validate": scenario.validation, "test": scenario.evaluate}


def _situations(name: str, split: Split, requests: Sequence[str], pool: int) -> tuple[Situation, ...]:
    which = getattr(split, "slots", "spread")
    places = slots(split.orders, pool, which)
    return tuple(
        Situation(request, FIRST_ORDER[name] + index, slot)
        for request in requests
        for index, slot in enumerate(places)
    )


def _arms(scenario: Scenario, deterministic: bool) -> Iterator[Arm]:
    for name in scenario.evaluate.arms:
        if name in SEEDED:
            yield from (Arm(name, seed) for seed in scenario.seeds)
        else:
            yield Arm(name)
        if name == "clean" and not deterministic:
            yield Arm("clean_again", replicate=1)


def _travelled(scenario: Scenario, victim: str) -> Iterator[Arm]:
    """Attack arms with texts that were found elsewhere; on another victim than the stack all of them."""
    for source in scenario.sources:
        if (source, victim) != (STACK, STACK):
            yield from (Arm("attack", seed, source=source) for seed in scenario.seeds)


def _trials(
    split: str,
    target: Target | None,
    situations: Sequence[Situation],
    requests: tuple[str, ...],
    arms: tuple[Arm, ...],
    victim: str = STACK,
) -> Iterator[EvaluationTrial]:
    places = dict(sorted({situation.order: situation.slot for situation in situations}.items()))
    for order, slot in places.items():
        yield EvaluationTrial(split, target, order, slot if target else None, requests, arms, victim)
