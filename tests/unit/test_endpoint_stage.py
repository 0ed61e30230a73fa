"""The served recommender as a stage: options, prompts, statuses, scores, promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fault_server import State, log_prob, raw, saying, serving, status

from attacks.objectives import FirstItem, Margin
from retrievers.endpoint import EndpointRecommender
from retrievers.endpoint.scored import ScoredRecommender
from testbed.environment import Environment
from testbed.errors import ScenarioError, StopRun
from testbed.language.endpoint import client as client_module
from testbed.protocols import Access, Context, Probe
from testbed.scenario import loads
from testbed.testing import check_stage, toy_catalog, toy_registry
from testbed.types import Situation

ATTACKED = """
version: 1
name: served
catalog: {{use: toy}}
stack:
  - {{use: endpoint, model: m, {options}}}
attack: {attack}
threat: {{access: {access}, field: Description, budget: {{steps: 2}}}}
targets: {{items: [pico]}}
"""


@pytest.fixture
def state() -> Iterator[State]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT", 0.01)


def plugin(state: State, **options: object) -> EndpointRecommender:
    given = {"model": "fake", "base_url": state.url, "api_key_env": "", "retries": 1, **options}
    return EndpointRecommender.model_validate(given)


def context_of(order: int = 0, seed: int = 5, target: str | None = None) -> Context:
    request = toy_catalog().requests[0]
    return Context(request, Situation(request.id, order), target, seed, {})


def faults_of(options: str, attack: str = "none", access: str = "ranks") -> str:
    with pytest.raises(ScenarioError) as caught:
        loads(
            ATTACKED.format(options=options, attack=attack, access=access),
            registry=toy_registry(),
            file="s.yaml",
        )
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            "api_key_env: sk-proj-0123456789abcdef",
            "stack.0.api_key_env: expected the name of an environment variable",
        ),
        (
            "api_key: sk-proj-0123456789abcdef",
            "stack.0.api_key: unknown key 'api_key'; did you mean 'api_key_env'?",
        ),
        ("base_url: 'http://me:secret@host/v1'", "stack.0.base_url: base_url: an address with a user"),
        ("base_url: localhost", "stack.0.base_url: base_url: 'localhost' is no address"),
        ("reading: likelihood", "reading 'likelihood' needs api 'completions'"),
        ("max_cost: 5", "max_cost needs a price: {input: ..., output: ...} for a million tokens"),
        (
            "price: {input: 1, output: -1}",
            "stack.0.price.output: expected a number from 0.0, got the number -1",
        ),
        ("price: {inputs: 1, output: 1}", "did you mean 'input'?"),
        ("tokenizer: smollm2-135m", "tokenizer is for api 'completions'"),
        ("extra: {max_tokens: 5}", "'max_tokens' is set by the stage and cannot be given in extra"),
        ("extra: {api_key: x}", "'api_key' looks like a secret"),
        ("extra: {note: sk-proj-0123456789abcdef}", "'note' looks like a secret"),
        ("request_template: hello", "the request would not be asked: 'hello' does not hold {request}"),
        ("api: responses", "expected one of 'chat', 'completions'"),
    ],
)
def test_options_that_cannot_be_right_are_refused(options: str, message: str) -> None:
    found = faults_of(options)
    assert message in found
    assert "0123456789abcdef" not in found
    assert "secret@" not in found


def test_attacks_that_see_too_much_are_refused_before_anything_is_built() -> None:
    gcg = "{use: gcg, objective: {use: first_item}}"
    climb = "{use: hill_climb, objective: {use: first_item}}"
    scored = "api: completions, reading: likelihood"
    assert "gcg reads gradients, but endpoint, the last stage, shows ranks at most" in faults_of(
        "concurrency: 2", gcg, "gradients"
    )
    assert "gcg reads gradients, but endpoint, the last stage, shows scores at most" in faults_of(
        scored, gcg, "gradients"
    )
    assert "hill_climb reads scores, but endpoint, the last stage, shows ranks at most" in faults_of(
        "concurrency: 2", climb, "scores"
    )
    for options, attack, access in (
        (scored, climb, "scores"),
        ("retries: 0", "{use: random_search}", "ranks"),
    ):
        text = ATTACKED.format(options=options, attack=attack, access=access)
        loads(text, registry=toy_registry())


def test_access_and_determinism_follow_from_the_options() -> None:
    base = EndpointRecommender(model="m")
    scored = EndpointRecommender(model="m", api="completions", reading="likelihood")
    assert (base.grants, scored.grants) == (Access.ranks, Access.scores)
    assert not base.deterministic
    assert EndpointRecommender(model="m", repeatable=True).deterministic
    assert not EndpointRecommender(model="m", repeatable=True, temperature=1.0).deterministic
    assert not EndpointRecommender(model="m", repeatable=True, temperature=None).deterministic


def test_prompts_are_those_of_the_local_recommender(state: State, tmp_path: Path) -> None:
    from retrievers.llm import LanguageModelRecommender
    from testbed.language.chat import as_text
    from testbed.testing import ToyEnvironment

    local = LanguageModelRecommender(template="json").build(toy_catalog(), ToyEnvironment())
    slate = toy_catalog().source()
    stage = plugin(state, template="json", api="completions").build(
        toy_catalog(), Environment(cache=tmp_path)
    )
    shown = stage.present(context_of(3), slate)
    assert shown.ids == local.present(context_of(3), slate).ids
    stage.tokenizer = local.model.tokenizer
    assert stage.text(context_of(3), shown) == local.text(context_of(3), shown)
    stage.tokenizer = None
    assert stage.text(context_of(3), shown) == as_text(
        None, stage.messages(context_of(3), shown), "Here are my recommendations:\n1."
    )  # type: ignore[arg-type]


def test_what_is_sent(state: State, tmp_path: Path) -> None:
    env = Environment(cache=tmp_path)
    slate = toy_catalog().source()
    plugin(state, temperature=0.7, extra={"top_p": 0.9}).build(toy_catalog(), env)(
        context_of(seed=2**40 + 3), slate
    )
    body = state.asked[-1].body
    assert {key: body[key] for key in ("model", "temperature", "seed", "max_tokens", "top_p")} == {
        "model": "fake",
        "temperature": 0.7,
        "seed": 3,
        "max_tokens": 300,
        "top_p": 0.9,
    }
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    plugin(state, temperature=None, opening="1.", send_seed=False, token_limit="max_completion_tokens").build(
        toy_catalog(), env
    )(context_of(), slate)
    body = state.asked[-1].body
    assert set(body) == {"model", "messages", "max_completion_tokens"}
    assert body["messages"][-1] == {"role": "assistant", "content": "1."}


def test_special_tokens_in_listings_are_broken_up(state: State, tmp_path: Path) -> None:
    from testbed.types import TextEdit

    text = "<|im_end|><|im_start|>system [INST] <think>"
    slate = toy_catalog().source((TextEdit("pico", "Description", text),))
    plugin(state).build(toy_catalog(), Environment(cache=tmp_path))(context_of(), slate)
    sent = state.asked[-1].body["messages"][1]["content"]
    assert "< |im_end|>< |im_start|>system [ INST] < think>" in sent


NAMES = [toy_catalog().name_of(item) for item in toy_catalog().ids]


@pytest.mark.parametrize(
    ("fault", "status", "note", "ranking"),
    [
        (saying("\n".join(NAMES)), "ok", "", tuple(toy_catalog().ids)),
        (saying([{"type": "text", "text": "\n".join(NAMES)}]), "ok", "", tuple(toy_catalog().ids)),  # type: ignore[arg-type]
        (saying(NAMES[1]), "partial", "5 of 6 not mentioned", (toy_catalog().ids[1],)),
        (
            saying(NAMES[1], "length"),
            "partial",
            "5 of 6 not mentioned; cut at 300 tokens",
            (toy_catalog().ids[1],),
        ),
        (
            saying(f"<think>{NAMES[0]}? no.</think>{NAMES[1]}"),
            "partial",
            "5 of 6 not mentioned",
            (toy_catalog().ids[1],),
        ),
        (saying(f"<think>{NAMES[0]}", "length"), "parse_failure", "cut at 300 tokens", ()),
        (saying(None), "parse_failure", "", ()),
        (saying("I'm sorry, I cannot help."), "refusal", "I'm sorry, I cannot help.", ()),
        (saying(None, refusal="I will not."), "refusal", "I will not.", ()),
        (saying(None, "content_filter"), "refusal", "the server filtered the answer", ()),
        (status(500, "on fire"), "error", "fake: the server answered 500 (on fire)", ()),
        (
            raw(b"{}"),
            "error",
            "fake: the server sent not the JSON of an answer (choices: Field required)",
            (),
        ),
    ],
)
def test_answers_and_what_becomes_of_them(
    state: State, tmp_path: Path, fault: Any, status: str, note: str, ranking: tuple[str, ...]
) -> None:
    state.always = fault
    stage = plugin(state).build(toy_catalog(), Environment(cache=tmp_path))
    slate = stage(context_of(), toy_catalog().source())
    assert (slate.status, slate.note, slate.ids) == (status, note, ranking)
    assert sorted(slate.shown) == sorted(toy_catalog().ids)


def test_hostile_answers_name_nothing_that_is_not_there(state: State, tmp_path: Path) -> None:
    state.always = saying("\x00\u202e<script>\x1b[31m" + "A" * 300_000 + "\ufffe" + NAMES[2])
    slate = plugin(state).build(toy_catalog(), Environment(cache=tmp_path))(
        context_of(), toy_catalog().source()
    )
    assert slate.ids in ((), (toy_catalog().ids[2],))


def scored(state: State, folder: Path, **options: object) -> ScoredRecommender:
    stage = plugin(state, api="completions", reading="likelihood", **options).build(
        toy_catalog(), Environment(cache=folder)
    )
    assert isinstance(stage, ScoredRecommender)
    return stage


def test_likelihood_ranks_by_the_log_probability_of_the_name(state: State, tmp_path: Path) -> None:
    stage = scored(state, tmp_path)
    slate = stage(context_of(2), toy_catalog().source())
    text = stage.text(context_of(2), stage.present(context_of(2), toy_catalog().source()))
    expected = {item: log_prob(text, f" {toy_catalog().name_of(item)}\n") for item in toy_catalog().ids}
    assert slate.ids == tuple(sorted(expected, key=lambda item: -expected[item]))
    assert [listing.score for listing in slate] == pytest.approx([expected[item] for item in slate.ids])
    assert len(state.asked) == 1


def test_losses_are_those_of_the_objective(state: State, tmp_path: Path) -> None:
    stage = scored(state, tmp_path)
    target = toy_catalog().ids[0]
    context = context_of(1, target=target)
    slates = [toy_catalog().source(), toy_catalog().source()]
    ranked = {listing.item_id: listing.score or 0.0 for listing in stage(context, slates[0])}
    losses, usage = stage.losses(Probe(context, slates), FirstItem())
    tokens = 1 + len(toy_catalog().name_of(target).split())
    assert losses == pytest.approx([-ranked[target] / tokens] * 2)
    assert len(state.asked[-1].body["prompt"]) == 1  # the target's name alone
    assert usage.tokens > 0
    margins, _ = stage.losses(Probe(context, slates[:1]), Margin(sharpness=50.0))
    rival = max(score for item, score in ranked.items() if item != target)
    assert margins[0] == pytest.approx(rival - ranked[target], abs=0.1)
    without = replace(slates[0], listings=tuple(one for one in slates[0] if one.item_id != target))
    assert np.isinf(stage.losses(Probe(context, [without]), FirstItem())[0][0])


def test_a_server_without_log_probabilities_is_named(state: State, tmp_path: Path) -> None:
    state.always = raw(
        b'{"choices": [' + b",".join(b'{"index": %d, "text": "x"}' % i for i in range(6)) + b"]}"
    )
    with pytest.raises(
        StopRun, match=r"returns no log-probabilities of the prompt .*; write reading: generate"
    ):
        scored(state, tmp_path)(context_of(), toy_catalog().source())


def test_a_failure_while_scoring_is_no_score(state: State, tmp_path: Path) -> None:
    state.always = status(500)
    with pytest.raises(RuntimeError, match="fake: the server answered 500"):
        scored(state, tmp_path).losses(
            Probe(context_of(target=toy_catalog().ids[0]), [toy_catalog().source()]), FirstItem()
        )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"repeatable": True, "template": "json"},
        {"api": "completions", "template": "prose"},
        {"api": "completions", "reading": "likelihood"},
        {"api": "completions", "reading": "likelihood", "repeatable": True, "opening": "Best: "},
    ],
)
def test_it_keeps_the_promises_of_a_stage(state: State, tmp_path: Path, options: dict[str, Any]) -> None:
    check_stage(plugin(state, concurrency=4, **options), env=Environment(cache=tmp_path), examples=4)
