"""A scenario brought to life: catalog loaded, stages built, trials planned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.errors import ScenarioError, listed
from testbed.plan import Plan, plan
from testbed.protocols import Context, Observer
from testbed.stack import Call, Node, Stack
from testbed.types import STACK, Slate

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.scenario import Scenario, StageChoice


@dataclass(frozen=True)
class World:
    """Everything a trial needs. Building one loads models."""

    scenario: Scenario
    catalog: Catalog
    stack: Stack
    plan: Plan
    environment: Environment
    surrogates: tuple[Stack, ...] = ()
    """What attacks search on; none when they search on the stack itself."""
    victims: Mapping[str, Stack] = field(default_factory=dict)
    """Other stacks that texts are measured on, or searched on, by name."""
    observers: tuple[Observer, ...] = ()

    def observed(self, call: Call, slate: Slate) -> Mapping[str, float]:
        """What observers tell of an answer, numbers that are none left out; nothing of one that failed."""
        if slate.status == "error":
            return {}
        context = Context(call.told.request, call.situation, call.target_id, 0)
        told = [observer(context, slate) for observer in self.observers]
        return {name: value for one in told for name, value in one.items() if math.isfinite(value)}

    @property
    def attacked(self) -> tuple[Stack, ...]:
        """The stacks that an attacker may ask; the stack itself ends for it in the last stage that it sees."""
        stages = self._stages
        return self.surrogates or (self.stack.upto(stages[-1]) if stages else self.stack,)

    def seen(self, source: str) -> tuple[str, ...]:
        """Stages before the last one that an attacker sees who searches on this source."""
        return self._stages[:-1] if source == STACK else ()

    @property
    def _stages(self) -> tuple[str, ...]:
        threat = self.scenario.threat
        return threat.stages or () if threat is not None else ()

    def searched(self, source: str) -> tuple[Stack, ...]:
        """The stacks that an attacker may ask who searches on this source."""
        return self.attacked if source == STACK else (self.victims[source],)

    def victim(self, name: str) -> Stack:
        """The stack by this name."""
        return self.stack if name == STACK else self.victims[name]

    @property
    def stacks(self) -> tuple[Stack, ...]:
        """Every stack: the one that is measured, surrogates, other victims."""
        return (self.stack, *self.surrogates, *self.victims.values())


def load_catalog(scenario: Scenario) -> Catalog:
    """The scenario's catalog; ScenarioError for targets, fields or requests that it does not have."""
    catalog = scenario.catalog.plugin.load()
    faults = scenario.check_against(catalog)
    if faults:
        raise ScenarioError(faults)
    return catalog


def unread(scenario: Scenario, catalog: Catalog) -> str:
    """A warning where a stage cuts off what an attacker would append, so that no text can do anything; else ''."""
    for choice in scenario.stack:
        limit = choice.plugin.field_characters
        full = [
            f"{target.field!r} of {target.item_id!r}"
            for target in scenario.target_list
            if limit is not None
            and target.place == "append"
            and len(catalog.fields(target.item_id)[target.field]) >= limit
        ]
        if full:
            return (
                f"stage {choice.name!r} reads {limit} characters of a field (field_limit), and {listed(full, 3)} "
                f"{'have' if len(full) > 1 else 'has'} as many already: what is appended there is never seen; raise "
                "the limit, prepend (threat.place), or attack another field"
            )
    return ""


def build(
    scenario: Scenario, *, limit: int | None = None, threads: int | None = None, run: Path | None = None
) -> World:
    """Load the catalog, build every stage, plan the trials. `threads` goes before what the scenario says.

    `run`: the directory of the run that this world is for.
    """
    from testbed.language.precision import set_threads

    catalog = load_catalog(scenario)
    environment = replace(scenario.machine.environment(), run=run)
    set_threads(threads or environment.threads)
    stack = build_stack(scenario.stack, catalog, environment)
    return World(
        scenario,
        catalog,
        stack,
        plan(scenario, catalog, deterministic=stack.deterministic, limit=limit),
        environment,
        tuple(build_stack(choices, catalog, environment) for choices in scenario.surrogates),
        {name: build_stack(choices, catalog, environment) for name, choices in scenario.victims.items()},
        tuple(choice.plugin.build(catalog, environment) for choice in scenario.observe),
    )


def build_stack(choices: Sequence[StageChoice], catalog: Catalog, environment: Environment) -> Stack:
    """The stages of a stack, built; models come from the environment, so that none is loaded twice."""
    nodes = [
        Node(
            choice.name,
            choice.plugin.build(catalog, environment),
            choice.inputs,
            deterministic=choice.plugin.deterministic,
        )
        for choice in choices
    ]
    return Stack(catalog, nodes)
