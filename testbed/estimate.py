"""What a run will take, before it is run: trials, rankings and a rough count of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from testbed.plan import plan, pool_size
from testbed.world import load_catalog

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.protocols import Charge
    from testbed.scenario import Scenario, StageChoice

CHARACTERS_PER_TOKEN = 3.2
"""Of listings written as lines: SmolLM2's tokenizer has 3.0 to 3.4 on the shipped catalogs."""


def estimate(scenario: Scenario, limit: int | None = None) -> dict[str, Any]:
    """Counts that follow from the plan, and logical tokens about as a language model's tokenizer counts. No model is loaded.

    An attack's queries are given when its budget or the attack itself bounds them, else None.
    """
    catalog = load_catalog(scenario)
    deterministic = all(choice.plugin.deterministic for choice in scenario.stack)
    trials = plan(scenario, catalog, deterministic=deterministic, limit=limit)
    rankings = sum(len(trial.lines) for trial in trials.evaluations)
    prompt = tokens_of_prompt(catalog, pool_size(scenario, catalog.pool))
    stacks = scenario.surrogates or (scenario.stack,)
    searched = [pool_size(scenario, catalog.pool, stack) for stack in stacks]
    attack_prompt = round(sum(tokens_of_prompt(catalog, pool) for pool in searched) / len(searched))
    queries = _attack_queries(scenario, len(trials.splits.get("optimise", ())), len(searched))
    attack_queries = None if queries is None else queries * len(trials.attacks)
    found: dict[str, Any] = {
        "items": len(catalog),
        "attack_trials": len(trials.attacks),
        "evaluation_trials": len(trials.evaluations),
        "rankings": rankings,
        "tokens_a_prompt": prompt,
        "evaluation_tokens": rankings * prompt,
        "attack_queries": attack_queries,
        "attack_tokens": None if attack_queries is None else attack_queries * attack_prompt,
    }
    return found | _charged(catalog, scenario, rankings, attack_queries)


def _charged(
    catalog: Catalog, scenario: Scenario, rankings: int, attack_queries: int | None
) -> dict[str, Any]:
    """What paid services take for it, at most; empty where nothing leaves the machine.

    Each value is None where it cannot be told; `money` also where a service has no price. Nothing is taken off
    for answers that are there already.
    """
    measured = _charges(catalog, scenario, scenario.stack)
    searched = [one for stack in scenario.surrogates for one in _charges(catalog, scenario, stack)]
    if not scenario.surrogates:
        searched = measured
    if not measured and not searched:
        return {}
    asked = 0 if attack_queries is None else -(-attack_queries // max(1, len(scenario.surrogates)))
    parts = [(rankings, one) for one in measured] + [(asked, one) for one in searched]
    known = attack_queries is not None or not searched
    money = [None if one.money is None else times * one.money for times, one in parts if times]
    return {
        "requests": sum(times * one.requests for times, one in parts) if known else None,
        "input_tokens": sum(times * one.input_tokens for times, one in parts) if known else None,
        "output_tokens": sum(times * one.output_tokens for times, one in parts) if known else None,
        "money": round(sum(filter(None, money)), 6) if known and None not in money else None,
    }


def _charges(catalog: Catalog, scenario: Scenario, stack: Sequence[StageChoice]) -> list[Charge]:
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
    if scenario.attack is None or scenario.threat is None:
        return 0
    bounds = []
    limits = scenario.threat.budget.limits()
    if "queries" in limits:
        bounds.append(int(limits["queries"]))
    a_step = scenario.attack.plugin.queries_per_step(situations)
    if a_step is not None and "steps" in limits:
        bounds.append((int(limits["steps"]) * a_step + situations) * stacks)
    return min(bounds) if bounds else None
