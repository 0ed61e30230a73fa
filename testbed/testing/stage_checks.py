"""Properties that every stage has to have, each with what most likely went wrong when it has not."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING

from testbed.catalog import Catalog
from testbed.protocols import Batched, Context, Editable, Priced, Stage, StagePlugin
from testbed.testing.failures import expect, fail
from testbed.types import Intervention, Listing, Slate, text_edits

if TYPE_CHECKING:
    from testbed.environment import Environment

Inputs = tuple[Slate, ...]
TOLERANCE = 1e-3
"""Scores may differ by this much between ways to compute the same thing; rankings only where scores tie."""


@dataclass(frozen=True)
class Subject:
    """A stage under test with everything it was made from."""

    plugin: StagePlugin
    catalog: Catalog
    env: Environment
    stage: Stage

    @classmethod
    def of(cls, plugin: StagePlugin, catalog: Catalog, env: Environment) -> Subject:
        """Build the stage; CheckFailed when what is built cannot be called."""
        stage = plugin.build(catalog, env)
        name = type(plugin).__name__
        expect(
            callable(stage),
            "build() returns a stage",
            f"{name}.build returned {type(stage).__name__}, which is not callable",
            "build() lacks its return, or the class it makes lacks __call__(context, *inputs)",
        )
        return cls(plugin, catalog, env, stage)

    def ask(self, context: Context, inputs: Inputs) -> Slate:
        """One call with a memo of its own."""
        return self.stage(replace(context, memo={}), *inputs)


def answers_with_a_subset(subject: Subject, context: Context, inputs: Inputs) -> None:
    """The ranking is a duplicate-free subset of the pool, with scores that are numbers."""
    rule = "a ranking is a duplicate-free subset of the pool"
    slate = subject.ask(context, inputs)
    holds_listings(slate, rule)
    pool = {item_id for given in inputs for item_id in given.ids}
    ids = [listing.item_id for listing in slate]
    twice = sorted({item_id for item_id in ids if ids.count(item_id) > 1})
    expect(
        not twice,
        rule,
        f"{twice[:3]} listed more than once",
        "listings of several inputs were joined unmerged",
    )
    strangers = [item_id for item_id in ids if item_id not in pool]
    expect(
        not strangers,
        rule,
        f"{strangers[:3]} not in the pool of {len(pool)}",
        "the stage ranks the catalog it was built on instead of the slate it is given",
    )
    expect(
        list(slate.ids) == ids,
        rule,
        "slate.ids differs from its listings",
        "a lazy sequence with a wrong .ids",
    )
    odd = [item for item in slate if item.score is not None and math.isnan(item.score)]
    expect(
        not odd,
        "scores are numbers or None",
        f"{odd[0].item_id if odd else ''} has score nan",
        "0/0 on empty text",
    )
    seen = list(slate.shown)
    expect(
        len(set(seen)) == len(seen) and set(seen) <= pool,
        "`shown` lists what the stage saw, each listing once",
        f"shown = {seen[:5]}",
        "ids were collected before the pool was cut",
    )


def holds_listings(slate: object, rule: str) -> None:
    """CheckFailed unless it is a slate of listings whose fields hold text and whose scores are numbers."""
    if not isinstance(slate, Slate):
        fail(rule, f"the stage returned {type(slate).__name__}, not a Slate", "__call__ lacks its return")
    for listing in slate:
        if not isinstance(listing, Listing):
            cause = "ids were put into a slate; hand on the listings: Slate(tuple(listing for ...))"
            fail(rule, f"a slate of {type(listing).__name__}, not of listings", cause)
        odd = {name: text for name, text in listing.fields.items() if not isinstance(text, str)}
        cause = "a rewritten field is None where nothing is left; use '', or leave the field out"
        expect(not odd, "the fields of a listing hold text", f"{listing.item_id} has {odd}", cause)
        number = listing.score is None or isinstance(listing.score, Real)
        expect(number, "scores are numbers or None", repr(listing.score), "give score=float(...)")


def leaves_its_inputs_alone(subject: Subject, context: Context, inputs: Inputs) -> None:
    """Neither slates nor the catalog change under a call."""
    before = copy.deepcopy([_snapshot(slate) for slate in inputs])
    content = _fingerprint(subject.catalog)
    subject.ask(context, inputs)
    rule, cause = (
        "inputs are not mutated",
        "fields or listings are changed in place; copy them: {**fields, ...}",
    )
    for index, slate in enumerate(inputs):
        expect(_snapshot(slate) == before[index], rule, f"input {index} changed under the call", cause)
    expect(_fingerprint(subject.catalog) == content, rule, "the catalog changed under the call", cause)


def repeats_itself(subject: Subject, context: Context, inputs: Inputs) -> None:
    """The same context gives the same answer, with a fresh memo, a used one, and after other calls."""
    first = subject.ask(context, inputs)
    rule = "same key, same result"
    same(
        first,
        subject.ask(context, inputs),
        rule,
        "the stage draws from a global generator, or keeps state between calls; draw from context.seed",
        exact=True,
    )
    used = replace(context, memo={})
    subject.stage(used, *inputs)
    cause = "what is kept in context.memo is not keyed by everything it depends on"
    same(first, subject.stage(used, *inputs), rule, cause)


def is_as_deterministic_as_it_says(subject: Subject, context: Context, inputs: Inputs) -> None:
    """A stage that calls itself deterministic ranks the same under every seed."""
    if not subject.plugin.deterministic:
        return
    first = subject.ask(context, inputs)
    for seed in (1, 2, 3):
        same(
            first,
            subject.ask(replace(context, seed=seed), inputs),
            "`deterministic` is truthful",
            "the stage samples; override the property `deterministic` to return False",
        )


def answers_many_as_one(subject: Subject, calls: Sequence[tuple[Context, Inputs]]) -> None:
    """`many` gives what one-by-one calls give, in order."""
    if not isinstance(subject.stage, Batched):
        return
    rule = "many() equals one-by-one calls"
    memo: dict[object, object] = {}
    together = subject.stage.many([(replace(context, memo=memo), inputs) for context, inputs in calls])
    expect(
        len(together) == len(calls),
        rule,
        f"{len(together)} answers to {len(calls)} calls",
        "empty slates are left out",
    )
    for (context, inputs), answer in zip(calls, together, strict=True):
        holds_listings(answer, "many() answers with a slate a call")
        same(subject.ask(context, inputs), answer, rule, "answers are in another order, or calls share state")


def keeps_requests_apart(subject: Subject, calls: Sequence[tuple[Context, Inputs]]) -> None:
    """What one trial's memo holds of a request does not answer the last one of these."""
    memo: dict[object, object] = {}
    for context, inputs in calls:
        found = subject.stage(replace(context, memo=memo), *inputs)
    same(
        subject.ask(context, inputs),
        found,
        "requests of one trial do not mix",
        "something is kept in context.memo under a key that does not say of which request it is",
    )


def sees_edits(subject: Subject, context: Context, intervention: Intervention) -> None:
    """With the edits in its input (and in its index) a stage answers as if built on the edited catalog."""
    if any(edit.field == subject.catalog.name_field for edit in text_edits(intervention)):
        return
    count = max(1, subject.plugin.inputs[0])
    source = (subject.catalog.source(intervention),) * count
    stage = subject.stage
    clean = subject.ask(context, (subject.catalog.source(),) * count)
    if isinstance(stage, Editable):
        stage = stage.with_edits(intervention)
        same(
            clean,
            subject.ask(context, (subject.catalog.source(),) * count),
            "with_edits() leaves the stage as it is",
            "the index is changed in place; with_edits must return another stage",
        )
    other = rebuilt(subject.catalog, intervention)
    fresh = subject.plugin.build(other, subject.env)
    same(
        fresh(replace(context, memo={}), *(other.source(),) * count),
        stage(replace(context, memo={}), *source),
        "an edited stage equals one built on the edited catalog",
        "texts are read from the catalog instead of the slate, or with_edits forgets something (an edit of the "
        "same item, an emptied field, statistics over all items)",
    )


def keeps_its_price(subject: Subject, context: Context, inputs: Inputs) -> None:
    """A call never has more tokens than it was priced at."""
    if not isinstance(subject.stage, Priced):
        return
    price = subject.stage.price(replace(context, memo={}), inputs[0])
    usage = subject.ask(context, inputs).usage
    rule = "price() is an upper bound of the tokens of a call"
    expect(
        usage.tokens <= price,
        rule,
        f"priced at {price} tokens, took {usage.tokens}",
        "the answer's tokens, or those of the request, are not in the price; budgets would be overdrawn",
    )
    expect(
        usage.computed >= 0 and usage.gradient_calls == 0,
        "usage counts this call",
        str(usage),
        "counts add up",
    )


def same(one: Slate, two: Slate, rule: str, cause: str, *, exact: bool = False) -> None:
    """CheckFailed unless two rankings agree; listings may change places where their scores tie."""
    if (
        list(one.ids) == list(two.ids)
        and one.status == two.status
        and (not exact or _scores(one) == _scores(two))
    ):
        if not _close(one, two):
            fail(rule, f"same ranking, scores {_scores(one)} and {_scores(two)}", cause)
        return
    tied = set(one.ids) == set(two.ids) and _close(one, two) and None not in _scores(one).values()
    if exact or not tied or one.status != two.status:
        fail(rule, f"{list(one.ids)} ({one.status}) and {list(two.ids)} ({two.status})", cause)


def rebuilt(catalog: Catalog, intervention: Intervention) -> Catalog:
    """The catalog with edits written into its columns."""
    listings = {listing.item_id: listing.fields for listing in catalog.source(intervention)}
    columns = {
        name: tuple(listings[item_id].get(name, "") for item_id in catalog.ids) for name in catalog.columns
    }
    return replace(catalog, columns=columns)


def _scores(slate: Slate) -> dict[str, float | None]:
    return {listing.item_id: listing.score for listing in slate}


def _close(one: Slate, two: Slate) -> bool:
    first, second = _scores(one), _scores(two)
    return all(_near(first[item], second[item]) for item in first if item in second)


def _near(one: float | None, two: float | None) -> bool:
    if one is None or two is None:
        return one is two
    return one == two or math.isclose(one, two, rel_tol=TOLERANCE, abs_tol=TOLERANCE)


def _snapshot(slate: Slate) -> list[object]:
    return [(listing.item_id, dict(listing.fields), listing.score) for listing in slate]


def _fingerprint(catalog: Catalog) -> str:
    return replace(catalog).fingerprint
