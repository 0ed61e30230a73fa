"""`check_attack`: all properties of an attack, against a toy stack or one of your own."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from typing import get_args

import numpy as np
from hypothesis import given

from testbed.protocols import Access, AttackPlugin, Objective, Step
from testbed.stack import Stack
from testbed.testing.attack_driver import ENDLESS, Arena, Played, text_of
from testbed.testing.check_stage import quiet
from testbed.testing.failures import CheckFailed, as_failures, expect
from testbed.testing.strategies import budgets
from testbed.testing.toy import ToyObjective
from testbed.testing.toy_world import toy_catalog, toy_stack
from testbed.types import Place, Situation, Target, history_edits, text_edits
from testbed.victim import StackVictim

RULE = "an attack yields steps until it ends, without an exception"


def check_attack(
    plugin: AttackPlugin,
    *,
    stack: Stack | None = None,
    target: Target | None = None,
    objective: Objective | None = None,
    steps: int = 3,
    examples: int = 20,
) -> None:
    """Check that an attack keeps to its access, its budget and its target; CheckFailed says what it breaks.

    `stack`: whom to attack, by default a toy stack that scores and differentiates in microseconds (whose
    texts are printable ASCII characters). `target`: by default the first item's last field but the name.
    `steps`: how many steps are looked at; give the plug-in small options so that they are quick.
    """
    if not isinstance(plugin, AttackPlugin):
        raise CheckFailed(
            f"an attack plug-in is an instance of AttackPlugin, not {plugin!r}; pass Mine(), not Mine"
        )
    arena = arena_of(stack, target, objective)
    with as_failures(plugin, RULE):
        _check(plugin, replace(arena, history=plugin.inserts), steps, examples, small=stack is None)


def _check(plugin: AttackPlugin, arena: Arena, steps: int, examples: int, *, small: bool) -> None:
    ends(plugin, arena)
    stays_within_its_access(plugin, arena, steps)
    touches_only_the_target(plugin, arena, steps)
    repeats_itself(plugin, arena, steps)
    writes_text_that_survives(plugin, arena, steps)
    without_budget_spends_nothing(plugin, arena)
    if small:
        meets_small_worlds(plugin, arena, steps)

    @quiet(examples)
    @given(budgets())
    def under_any_budget(limits: dict[str, float]) -> None:
        stays_within_its_budget(plugin, arena, limits, steps)

    under_any_budget()


def arena_of(stack: Stack | None, target: Target | None, objective: Objective | None) -> Arena:
    """The stack with up to two requests in two orders each."""
    stack = stack or toy_stack()
    catalog = stack.catalog
    field = next(
        (name for name in reversed(list(catalog.columns)) if name != catalog.name_field), catalog.name_field
    )
    asked = [request.id for request in catalog.requests[:2]]
    if not asked:
        raise CheckFailed(
            f"the catalog {catalog.name!r} has no requests; give check_attack a stack with some"
        )
    situations = tuple(
        Situation(request, order, order % len(catalog)) for request in asked for order in (0, 1)
    )
    return Arena(stack, target or Target(catalog.ids[0], field), situations, objective or ToyObjective())


def stays_within_its_access(plugin: AttackPlugin, arena: Arena, steps: int) -> None:
    """The declared access is enough, and at least one step is proposed."""
    played = arena.play(plugin, steps=steps)
    expect(
        not played.stopped.startswith("denied"),
        "the declared access is enough",
        f"access is {plugin.access.name!r}; {played.stopped.removeprefix('denied: ')}",
        "the class attribute `access` declares too little (objective() needs scores, gradients() and surfaces() "
        "need gradients), or the attack edits what it does not control",
    )
    expect(
        played.steps,
        "an attack proposes something",
        "no step at all, without any limit",
        "nothing is yielded; yield the starting point first, as step 0",
    )


def touches_only_the_target(plugin: AttackPlugin, arena: Arena, steps: int) -> None:
    """A step is a Step that edits nothing, the target's field, or histories as far as the plug-in says (`inserts`).

    Its objective is a number or None.
    """
    for place in get_args(Place):
        here = replace(arena, target=replace(arena.target, place=place))
        for step in here.play(plugin, steps=steps).steps:
            _check_step(step, here)


def _check_step(step: Step, arena: Arena) -> None:
    target = arena.target
    rule = "a step edits the target's field, or nothing"
    expect(
        isinstance(step, Step),
        "an attack yields steps",
        repr(step),
        "yield Step(target.edit(text), objective)",
    )
    expect(
        isinstance(step.intervention, tuple),
        rule,
        repr(step.intervention),
        "make edits with target.edit(text)",
    )
    where = [(edit.item_id, edit.field, edit.place) for edit in text_edits(step.intervention)]
    wanted = (target.item_id, target.field, target.place)
    expect(
        where in ([], [wanted]),
        rule,
        f"edits {where}, controls {wanted}",
        "make edits with target.edit(text)",
    )
    inserted = [edit.item_id for edit in history_edits(step.intervention)]
    expect(
        len(inserted) <= arena.history,
        "a step puts no more items into histories than the plug-in says",
        f"{len(inserted)} items, `inserts` is {arena.history}",
        "the property `inserts` declares too little",
    )
    expect(
        all(item in arena.stack.catalog.rows for item in inserted),
        "what is put into histories is in the catalog",
        f"{inserted}",
        "take ids from victim.items",
    )
    value = step.objective
    expect(
        value is None or (isinstance(value, int | float) and not math.isnan(value)),
        "a step's objective is a number (inf included) or None",
        repr(value),
        "a numpy array or tensor was not reduced, or the mean of nothing was taken",
    )


def repeats_itself(plugin: AttackPlugin, arena: Arena, steps: int) -> None:
    """The same seed gives the same steps, and nobody else's randomness is touched."""
    before = random.getstate(), repr(np.random.get_state())
    first = arena.play(plugin, seed=7, steps=steps)
    after = random.getstate(), repr(np.random.get_state())
    expect(
        before == after,
        "an attack draws from `rng` only",
        "the global generator of random or numpy has moved on",
        "random.* or np.random.* is used; draw from the `rng` that is handed in",
    )
    second = arena.play(plugin, seed=7, steps=steps)
    expect(
        first.steps == second.steps,
        "the same seed gives the same steps",
        f"{_brief(first)}, then {_brief(second)}",
        "a generator other than `rng`, the order of a set, or state kept on the plug-in",
    )


def writes_text_that_survives(plugin: AttackPlugin, arena: Arena, steps: int) -> None:
    """Text can be written to a file; under gradient access it also survives in place as the tokens it was."""
    played = arena.play(plugin, steps=steps)
    texts = [text_of(step.intervention) for step in played.steps if text_edits(step.intervention)]
    for text in texts:
        broken = any("\ud800" <= char <= "\udfff" for char in text)
        expect(
            not broken, "text is text", repr(text), "tokens were decoded one by one, which splits characters"
        )
    if plugin.access < Access.gradients or not texts:
        return
    victim = StackVictim(
        arena.stack, [arena.target], arena.situations, access=plugin.access, objective=arena.objective
    )
    for name, surface in victim.surfaces().items():
        for text, tokens in zip(texts, surface.encode(texts), strict=True):
            expect(
                tokens is not None,
                "accepted edits survive the round trip through text",
                f"{text!r} does not survive at stage {name!r}",
                "candidates are not filtered by surface.encode(texts), which is None for those that do not survive",
            )
            (back,) = surface.decode([tokens or ()])
            expect(
                back.strip(" ") == text.strip(" "),
                "text survives as itself",
                f"{text!r}: {back!r}",
                "see above",
            )


def without_budget_spends_nothing(plugin: AttackPlugin, arena: Arena) -> None:
    """With a limit of zero on everything, nothing is spent."""
    played = arena.play(plugin, limits={"queries": 0, "gradient_calls": 0, "tokens": 0}, steps=1)
    spent = {unit: amount for unit, amount in played.meter.spent().items() if amount}
    spent = {unit: amount for unit, amount in spent.items() if unit not in ("steps", "seconds")}
    expect(
        not spent, "a budget of zero buys nothing", f"spent {spent}", "the stack is reached around the victim"
    )


def ends(plugin: AttackPlugin, arena: Arena) -> None:
    """Without a limit on steps it ends when another unit is spent; an attack that asks nothing may go on."""
    if plugin.access == Access.none:
        return
    for queries in (3, 2 * len(arena.situations)):
        arena.play(plugin, limits={"queries": queries, "gradient_calls": queries}, steps=ENDLESS)


def stays_within_its_budget(plugin: AttackPlugin, arena: Arena, limits: dict[str, float], steps: int) -> None:
    """Whatever the limits, the attack ends properly and the meter is within them."""
    played = arena.play(plugin, limits=limits, steps=steps)
    spent = played.meter.spent()
    over = {unit: (spent[unit], limit) for unit, limit in limits.items() if spent[unit] > limit}
    cause = "a stage computed more than it was priced at, or the stack is reached around the victim"
    expect(not over, "a victim never exceeds its budget", f"spent and limit: {over}", cause)
    expect(
        not played.stopped.startswith("denied"),
        "the declared access is enough",
        played.stopped,
        "access is too low",
    )


def meets_small_worlds(plugin: AttackPlugin, arena: Arena, steps: int) -> None:
    """One situation, one item, and a target that never reaches the last stage."""
    alone = toy_catalog()
    alone = replace(
        alone, ids=alone.ids[:1], columns={name: texts[:1] for name, texts in alone.columns.items()}
    )
    worlds = {
        "one situation": replace(arena, situations=arena.situations[:1]),
        "a catalog of one item": replace(arena, stack=toy_stack(alone)),
        "a target that is not retrieved": replace(arena, stack=toy_stack(first=1), target=_last(arena)),
    }
    for name, world in worlds.items():
        try:
            played = world.play(plugin, steps=steps)
        except CheckFailed:
            raise
        except Exception as error:
            raise CheckFailed(
                f"an attack copes with {name}\n  seen: {type(error).__name__}: {error}"
            ) from error
        for step in played.steps:
            _check_step(step, world)


def _last(arena: Arena) -> Target:
    """A target that the toy retriever drops for every request."""
    dropped: Sequence[str] = arena.stack.catalog.ids
    from testbed.stack import Call

    stack = toy_stack(first=1)
    calls = [Call(stack.catalog.request(one.request), one) for one in arena.situations]
    kept = {outcome.slate.ids[0] for outcome in stack.run(calls)}
    return replace(arena.target, item_id=next(item for item in dropped if item not in kept))


def _brief(played: Played) -> str:
    return ", ".join(f"{_told(step)} ({step.objective})" for step in played.steps)


def _told(step: Step) -> str:
    inserted = [f"{edit.item_id}@{edit.age}" for edit in history_edits(step.intervention)]
    return repr(text_of(step.intervention)) + (f" + {', '.join(inserted)}" if inserted else "")
