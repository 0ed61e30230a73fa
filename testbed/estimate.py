"""What a run will take, before it is run: trials, rankings and a rough count of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from testbed.plan import plan, pool_size
from testbed.protocols import Access
from testbed.types import STACK
from testbed.world import load_catalog

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.plan import Plan
    from testbed.protocols import Charge
    from testbed.scenario import Scenario, StageChoice

Stages: TypeAlias = "Sequence[StageChoice]"
CHARACTERS_PER_TOKEN = 3.2
"""Of listings written as lines: SmolLM2's tokenizer has 3.0 to 3.4 on the shipped catalogs."""


def estimate(scenario: Scenario, limit: int | None = None) -> dict[str, Any]:
    """Counts that follow from the plan, and about how many logical tokens they take. No model is loaded.

    A stack of stages that are not charged with tokens (`StagePlugin.counts_tokens`) takes none.

    An attack's queries are given when its budget or the attack itself bounds them, else None.
    """
    catalog = load_catalog(scenario)
    deterministic = all(choice.plugin.deterministic for choice in scenario.stack)
    trials = plan(scenario, catalog, deterministic=deterministic, limit=limit)
    measured = _measured(scenario, trials)
    searched = _searched(scenario, trials)
    known = None not in [times for times, _ in searched]
    queries = [(times, stack) for times, stack in searched if times is not None]
    found: dict[str, Any] = {
        "items": len(catalog),
        "attack_trials": len(trials.attacks),
        "evaluation_trials": len(trials.evaluations),
        "rankings": sum(times for times, _ in measured),
        "tokens_a_prompt": _tokens(catalog, scenario, [(1, scenario.stack)]),
        "evaluation_tokens": _tokens(catalog, scenario, measured),
        "attack_queries": sum(times for times, _ in queries) if known else None,
        "attack_tokens": _tokens(catalog, scenario, queries) if known else None,
    }
    return found | _charged(catalog, scenario, measured, searched)


def _measured(scenario: Scenario, trials: Plan) -> list[tuple[int, Stages]]:
    """How many rankings are measured of each stack: the scenario's, then the victims of a transfer."""
    stacks = {STACK: scenario.stack, **scenario.victims}
    counts = Counter(dict.fromkeys(stacks, 0))
    for trial in trials.evaluations:
        counts[trial.victim] += len(trial.lines)
    return [(counts[name], stack) for name, stack in stacks.items()]


def _searched(scenario: Scenario, trials: Plan) -> list[tuple[int | None, Stages]]:
    """How many queries the attacks ask of each stack that is searched on, None where nothing bounds them."""
    found: list[tuple[int | None, Stages]] = []
    for source in scenario.sources:
        attacks = sum(trial.source == source for trial in trials.attacks)
        if source != STACK:
            stacks: Sequence[Stages] = (scenario.victims[source],)
        else:
            stacks = scenario.searched
        queries = _attack_queries(scenario, len(trials.splits.get("optimise", ())), len(stacks))
        whole = None if queries is None else queries * attacks
        found += [(_share(whole, place, len(stacks)), stack) for place, stack in enumerate(stacks)]
    return found


def _share(whole: int | None, place: int, parts: int) -> int | None:
    """A part of a count that is split as evenly as it goes."""
    return None if whole is None else (whole + parts - 1 - place) // parts


def _tokens(catalog: Catalog, scenario: Scenario, work: Sequence[tuple[int, Stages]]) -> int:
    return sum(
        times * tokens_of_prompt(catalog, pool_size(scenario, catalog.pool, stack))
        for times, stack in work
        if any(choice.plugin.counts_tokens for choice in stack)
    )


def _charged(
    catalog: Catalog,
    scenario: Scenario,
    measured: Sequence[tuple[int, Stages]],
    searched: Sequence[tuple[int | None, Stages]],
) -> dict[str, Any]:
    """About what paid services take for it; empty where nothing leaves the machine.

    Each value is None where it cannot be told; `money` also where a service has no price. Nothing is taken off
    for answers that are there already.
    """
    parts = [
        (times, charge)
        for times, stack in (*measured, *searched)
        for charge in _charges(catalog, scenario, stack)
    ]
    if not parts:
        return {}
    counted = [(times, charge) for times, charge in parts if times is not None]
    known = len(counted) == len(parts)
    money = [None if charge.money is None else times * charge.money for times, charge in counted if times]
    return {
        "requests": sum(times * charge.requests for times, charge in counted) if known else None,
        "input_tokens": sum(times * charge.input_tokens for times, charge in counted) if known else None,
        "output_tokens": sum(times * charge.output_tokens for times, charge in counted) if known else None,
        "money": round(sum(filter(None, money)), 6) if known and None not in money else None,
    }


def _charges(catalog: Catalog, scenario: Scenario, stack: Stages) -> list[Charge]:
    """What one ranking of a stack takes of each paid service in it."""
    found = []
    for index, choice in enumerate(stack):
        listings = pool_size(scenario, catalog.pool, stack[: index + 1])
        charge = choice.plugin.charge(tokens_of_prompt(catalog, listings), listings)
        if charge is not None:
            found.append(charge)
    return found


def tokens_of_prompt(catalog: Catalog, pool: int) -> int:
    """Rough length of a prompt that shows `pool` average listings."""
    sample = catalog.ids[:200]
    characters = sum(
        len(name) + len(text) + 3 for item in sample for name, text in catalog.fields(item).items()
    )
    return round(pool * characters / max(1, len(sample)) / CHARACTERS_PER_TOKEN) + 60


def _attack_queries(scenario: Scenario, situations: int, stacks: int) -> int | None:
    """Queries of one attack: a query on each of several stacks is a query."""
    if scenario.attack is None or scenario.threat is None or scenario.attack.plugin.access == Access.none:
        return 0
    bounds = []
    limits = scenario.threat.budget.limits()
    if "queries" in limits:
        bounds.append(int(limits["queries"]))
    a_step = scenario.attack.plugin.queries_per_step(situations)
    if a_step is not None and "steps" in limits:
        bounds.append((int(limits["steps"]) * a_step + situations) * stacks)
    return min(bounds) if bounds else None
