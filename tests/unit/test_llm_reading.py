"""Reading rankings off a language model: free text, constrained lists, likelihoods."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from retrievers.llm import LanguageModelRecommender
from retrievers.llm.constrained import ConstrainedReading
from retrievers.llm.likelihood import read as read_likelihood
from retrievers.llm.matching import match
from retrievers.llm.readings import Prompt
from retrievers.llm.stage import Recommender
from testbed.language import LanguageModel, Prefix, Row
from testbed.protocols import Context
from testbed.testing import ToyEnvironment, tiny_language_model, toy_catalog
from testbed.testing.tiny import tiny_network, tiny_tokenizer
from testbed.types import Situation

NAMES = ("QuickBrew", "QuickBrew Express", "Café Noir", "Grind&Brew Plus", "7-Bar Pro")


@pytest.mark.parametrize(
    ("text", "ranking", "status"),
    [
        ("1. QuickBrew Express\n2. QuickBrew", (1, 0), "partial"),
        ("I love the QuickBrew Express.", (1,), "partial"),
        ("quickbrew, then CAFE NOIR, then Café Noir again", (0, 2), "partial"),
        ("**Grind & Brew Plus** and the 7 Bar Pro", (3, 4), "partial"),
        ("QuickBrews are many, SuperQuickBrew too", (), "parse_failure"),
        ("7-Bar Pro, Grind&Brew Plus, Cafe\u0301 Noir, QuickBrew, QuickBrew-Express", (4, 3, 2, 0, 1), "ok"),
        ("I'm sorry, but I cannot help with that.", (), "refusal"),
        ("As an AI, I do not drink coffee.", (), "refusal"),
        ("I'm sorry it took long: the Café Noir.", (2,), "partial"),
        ("", (), "parse_failure"),
        ("What a nice day", (), "parse_failure"),
    ],
)
def test_names_in_free_text(text: str, ranking: tuple[int, ...], status: str) -> None:
    found = match(text, NAMES)
    assert (found.ranking, found.status) == (ranking, status)


def test_notes_say_what_is_missing() -> None:
    assert match("Café Noir", NAMES).note == "4 of 5 not mentioned"
    assert match("x" * 500, NAMES).note == "x" * 200


@given(st.permutations(range(len(NAMES))))
def test_any_order_is_read_back(order: list[int]) -> None:
    text = "\n".join(f"{place}. {NAMES[index]}: good" for place, index in enumerate(order, start=1))
    assert match(text, NAMES).ranking == tuple(order)


@given(st.text(max_size=80), st.lists(st.text(max_size=8), max_size=5))
def test_no_text_breaks_the_matching(text: str, names: list[str]) -> None:
    ranking = match(text, names).ranking
    assert len(set(ranking)) == len(ranking)
    assert set(ranking) <= set(range(len(names)))


def prompt_of(names: tuple[str, ...], seed: int = 0) -> Prompt:
    model = tiny_language_model()
    answers = tuple(model.continuations("1.", [f" {name}\n" for name in names]))
    return Prompt(tuple(model.encode("Products for two people:\n1.")), names, answers, seed=seed)


def brute_force(prompt: Prompt) -> list[int]:
    """Greedy decoding, one full pass a token, over the names that are left."""
    model = tiny_language_model()
    text, left, ranking = list(prompt.token_ids), list(range(len(prompt.names))), []
    while left:
        names = {index: prompt.answers[index] for index in left}
        depth = 0
        while len(names) > 1:
            with torch.inference_mode():
                branch = next(iter(names.values()))[:depth]
                row = Row((*text, *branch), tuple((tokens[depth],) for tokens in names.values()))
                values = [float(part[0]) for part in model.log_probs(Prefix(), [row])[0]]
            picked = list(names.values())[max(range(len(values)), key=values.__getitem__)][depth]
            names = {index: tokens for index, tokens in names.items() if tokens[depth] == picked}
            depth += 1
        (chosen,) = names
        ranking.append(chosen)
        left.remove(chosen)
        text += [*prompt.answers[chosen], *model.encode(f"{len(ranking) + 1}.")]
    return ranking


@pytest.mark.parametrize(
    "names",
    [
        ("steel", "quiet", "cheap"),
        ("steel", "steel tent", "steel tent for two", "tent"),
        ("Pico Press", "Pico Press Two", "Pico", "Duo Brewer", "Trek Pot"),
        ("one",),
    ],
)
def test_greedy_constrained_decoding_equals_brute_force(names: tuple[str, ...]) -> None:
    prompt = prompt_of(names)
    (reply,) = ConstrainedReading(0.0)(tiny_language_model(), [prompt])
    assert list(reply.ranking) == brute_force(prompt)
    assert reply.scores is not None
    assert len(reply.scores) == len(names)


@given(st.integers(0, 2**63), st.sampled_from([0.0, 0.5, 5.0]))
def test_constrained_decoding_names_everything_once(seed: int, temperature: float) -> None:
    names = ("Pico Press", "Pico Press Two", "Pico", "Duo")
    (reply,) = ConstrainedReading(temperature)(tiny_language_model(), [prompt_of(names, seed)])
    assert sorted(reply.ranking) == [0, 1, 2, 3]


def test_sampled_lists_follow_the_probabilities() -> None:
    """Temperature 1 draws the first name as often as the renormalised first tokens say."""
    names = ("steel", "quiet", "cheap")
    model = tiny_language_model()
    prompt = prompt_of(names)
    found = model.log_probs(Prefix(), [Row(prompt.token_ids, prompt.answers)])[0]
    expected = torch.stack([part[0] for part in found]).softmax(0).tolist()
    reading = ConstrainedReading(1.0)
    first = [reading(model, [prompt_of(names, seed)])[0].ranking[0] for seed in range(300)]
    for index, share in enumerate(expected):
        assert first.count(index) / 300 == pytest.approx(share, abs=0.09)


def test_likelihood_ranks_by_the_log_probability_of_the_name() -> None:
    model = tiny_language_model()
    prompts = [prompt_of(("steel", "quiet tent", "cheap")), prompt_of(("best", "machine"))]
    for prompt, reply in zip(prompts, read_likelihood(model, prompts), strict=True):
        values = [
            float(part.sum())
            for part in model.log_probs(Prefix(), [Row(prompt.token_ids, prompt.answers)])[0]
        ]
        assert list(reply.ranking) == sorted(range(len(values)), key=lambda index: -values[index])
        assert reply.scores == pytest.approx(sorted(values, reverse=True), abs=1e-4)


def recommender(**options: object) -> Recommender:
    plugin = LanguageModelRecommender.model_validate({"system": "Rank.", **options})
    return plugin.build(toy_catalog(), ToyEnvironment())


def context_of(order: int = 0, seed: int = 0) -> Context:
    request = toy_catalog().requests[0]
    return Context(request, Situation(request.id, order), None, seed, {})


@pytest.mark.parametrize("reading", ["likelihood", "pointwise", "constrained", "generate"])
def test_the_pool_is_shown_in_the_order_of_the_situation(reading: str) -> None:
    stage = recommender(reading=reading, max_new_tokens=3)
    shown = [stage(context_of(order), toy_catalog().source()).shown for order in (0, 1)]
    assert shown[0] != shown[1]
    assert sorted(shown[0]) == sorted(shown[1]) == sorted(toy_catalog().ids)
    fixed = recommender(reading=reading, max_new_tokens=3, order="fixed")
    assert fixed(context_of(3), toy_catalog().source()).shown == tuple(toy_catalog().ids)


@pytest.mark.parametrize("options", [{}, {"prior": "subtract"}])
def test_a_pointwise_score_does_not_depend_on_the_order(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Equal to the last digit, in bfloat16 too: in one call, and in calls of their own."""
    stage = recommender(reading="pointwise", **options)
    stage.model = LanguageModel(
        model=tiny_network("llama"),
        tokenizer=tiny_tokenizer(),
        name="tiny",
        fingerprint="bfloat16",
        dtype=torch.bfloat16,
        token_budget=60,  # several batches
    )
    asked: list[int] = []
    ask = LanguageModel.log_probs_of

    def counted(model: LanguageModel, groups: Sequence[tuple[Prefix, list[Row]]]) -> list[list[list[Tensor]]]:
        asked.append(sum(len(rows) for _, rows in groups))
        return ask(model, groups)

    monkeypatch.setattr(LanguageModel, "log_probs_of", counted)
    calls = [(context_of(order), (toy_catalog().source(),)) for order in range(4)]
    together = stage.many(calls)
    assert sum(asked) == len(toy_catalog()) * (2 if options else 1)  # every question once
    alone = [stage(context, *slates) for context, slates in calls]
    assert len({slate.shown for slate in together}) == 4
    scores = [{one.item_id: one.score for one in slate} for slate in (*together, *alone)]
    assert all(found == scores[0] for found in scores)
    tokens = {slate.usage.tokens for slate in (*together, *alone)}
    assert len(tokens) == 1  # logical tokens are those of the whole question
    assert sum(slate.usage.computed for slate in together) <= alone[0].usage.computed + len(calls)


def test_prompts_hold_everything_in_its_place() -> None:
    stage = recommender(request_template="Wish: {request}")
    slate = stage.present(context_of(1), toy_catalog().source())
    text = stage.text(context_of(1), slate)
    assert text.startswith("<|im_start|>system\nRank.<|im_end|>\n<|im_start|>user\nProducts:\n\nName: ")
    assert text.endswith("\n<|im_start|>assistant\nHere are my recommendations:\n1.")
    places = [text.index(f"Name: {toy_catalog().name_of(item_id)}\n") for item_id in slate.ids]
    assert places == sorted(places)
    assert text.count("Wish: I want a cheap machine") == 1


def test_shorter_names_gain_nothing_by_being_shorter() -> None:
    answers = recommender().answers(["Pico", "Pico Press"])
    model = tiny_language_model()
    assert model.decode(answers["Pico"]) == " Pico\n"
    assert not any(
        one != two and two[: len(one)] == one for one, two in itertools.permutations(answers.values(), 2)
    )
