"""`check_stage`: all properties of a stage, on random catalogs, slates, requests and edits."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from testbed.catalog import Catalog
from testbed.protocols import Context, Objective, StagePlugin
from testbed.testing import attackable_checks as attackable
from testbed.testing import stage_checks as stages
from testbed.testing.failures import CheckFailed, as_failures
from testbed.testing.stage_checks import Subject
from testbed.testing.strategies import catalogs, edits, interventions, situations, slates
from testbed.testing.texts import texts, words
from testbed.testing.toy import ToyObjective
from testbed.testing.toy_world import ToyEnvironment, toy_catalog
from testbed.types import Situation, Slate, Target

if TYPE_CHECKING:
    from testbed.environment import Environment


RULE = "a stage takes any slates and returns a Slate, without an exception"


def quiet(examples: int) -> settings:
    """Settings of a check: the same examples every time, no clock, nothing written to disk."""
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        report_multiple_bugs=False,
    )


def check_stage(
    plugin: StagePlugin,
    *,
    catalog: Catalog | None = None,
    env: Environment | None = None,
    objective: Objective | None = None,
    examples: int = 25,
) -> None:
    """Check that a stage keeps what it promises; CheckFailed says which property is broken and the likely cause.

    `catalog`: check on this one; by default on random ones with hostile texts. `env`: where models come
    from; by default one that hands out tiny random ones. `objective`: for stages that can be scored.
    `examples`: random cases tried; they are the same in every run.
    """
    env = env or ToyEnvironment()
    if not isinstance(plugin, StagePlugin):
        raise CheckFailed(
            f"a stage plug-in is an instance of StagePlugin, not {plugin!r}; pass Mine(), not Mine"
        )
    drawn = st.just(catalog) if catalog is not None else catalogs()

    @quiet(examples)
    @given(st.data(), drawn)
    def on_random_worlds(data: st.DataObject, world: Catalog) -> None:
        _check_once(Subject.of(plugin, world, env), data, objective or ToyObjective())

    with as_failures(plugin, RULE):
        _check_repeats(Subject.of(plugin, catalog or toy_catalog(), env), objective or ToyObjective())
        on_random_worlds()


def _check_repeats(subject: Subject, objective: Objective) -> None:
    """What draws from a global generator is found at once, on one fixed case and without looking for a smaller one."""
    catalog = subject.catalog
    if not len(catalog) or not catalog.requests:
        return
    item, request = catalog.ids[0], catalog.requests[0]
    fields = [name for name in catalog.columns if name != catalog.name_field]
    target = Target(item, fields[-1] if fields else catalog.name_field)
    variants = [catalog.source(target.edit(text)) for text in ("zest of a 5th quarter", "brass & oak")]
    context = Context(request, Situation(request.id, 0), item, 7)
    inputs = (variants[0],) * max(1, subject.plugin.inputs[0])
    stages.answers_with_a_subset(subject, context, inputs)
    attackable.says_the_same_again(subject, context, variants, objective)
    stages.repeats_itself(subject, context, inputs)


def _check_once(subject: Subject, data: st.DataObject, objective: Objective) -> None:
    catalog = subject.catalog
    intervention = data.draw(interventions(catalog), label="intervention")
    context = data.draw(_contexts(catalog), label="context")
    few, many = subject.plugin.inputs
    count = data.draw(st.integers(few, min(many, few + 1)), label="number of inputs")
    whole = (catalog.source(intervention),) * count
    some = tuple(data.draw(slates(catalog), label="slate") for _ in range(count))
    one = (Slate(tuple(catalog.source(intervention).listings[:1])),) * count
    none = (Slate(()),) * count
    for inputs in (whole, some):
        stages.leaves_its_inputs_alone(subject, context, inputs)
    for inputs in (whole, some, one, none):
        stages.answers_with_a_subset(subject, context, inputs)
        stages.keeps_its_price(subject, context, inputs)
    for inputs in (whole, some):
        stages.repeats_itself(subject, context, inputs)
        stages.is_as_deterministic_as_it_says(subject, context, inputs)
    other = replace(data.draw(_contexts(catalog), label="another context"), seed=context.seed + 1)
    calls = [(context, whole), (other, some), (context, none), (other, one), (context, some)]
    stages.answers_many_as_one(subject, calls)
    stages.keeps_requests_apart(subject, [(context, whole), (other, whole)])
    stages.sees_edits(subject, context, intervention)
    if count == 1:
        _check_attackable(subject, context, data, objective)


def _check_attackable(subject: Subject, context: Context, data: st.DataObject, objective: Objective) -> None:
    catalog = subject.catalog
    edit = data.draw(edits(catalog), label="edit")
    target = Target(edit.item_id, edit.field, edit.place)
    context = replace(context, target_id=target.item_id)
    written = data.draw(st.lists(words(4) | texts(24), min_size=1, max_size=3), label="texts")
    without = Slate(tuple(listing for listing in catalog.source() if listing.item_id != target.item_id))
    variants = [catalog.source(target.edit(text)) for text in written]
    attackable.scores_variants(subject, context, variants, objective)
    attackable.scores_variants(subject, context, [without, *variants, without], objective)
    attackable.scores_variants(subject, context, [], objective)
    attackable.surface_is_honest(subject, target, written)
    attackable.proposes_texts_that_stand(subject, context, target, written, context.seed)
    attackable.seeks_text(subject, [(context, catalog.source()), (context, variants[0])], target)
    for text in written:
        attackable.grants_gradients(subject, context, target, text, objective)


def _contexts(catalog: Catalog) -> st.SearchStrategy[Context]:
    return st.builds(
        lambda situation, target, seed: Context(catalog.request(situation.request), situation, target, seed),
        situations(catalog),
        st.none() | st.sampled_from(list(catalog.ids)),
        st.integers(0, 2**64 - 1),
    )
