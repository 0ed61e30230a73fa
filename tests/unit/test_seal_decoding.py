"""SEAL's beam search against a slow one, and what it may and may not write."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.seal.decoding import Generated, Search, generate
from retrievers.seal.index import END, START, NgramIndex
from retrievers.seal.queries import forced, query_ngrams, singles
from testbed.language import LanguageModel, Prefix
from testbed.language.causal_tree import CausalTrees
from testbed.testing import tiny_language_model

CORPUS = [
    ([20, 21], [5, 6, 7, 8, 5, 6, 9]),
    ([22], [6, 7, 30, 5]),
    (None, [9, 9, 9, 31]),
    ([20, 23, 24], []),
]
PROMPT = (3, 4, 10, 11)
ENDS = (2, 12)


@lru_cache(maxsize=1)
def model() -> LanguageModel:
    return tiny_language_model("llama")


@lru_cache(maxsize=10_000)
def after(path: tuple[int, ...]) -> tuple[float, ...]:
    found = model().next_log_probs(Prefix(), [PROMPT + path])[0]
    return tuple(found.tolist())


def log_prob(ngram: tuple[int, ...]) -> float:
    """log P(n | q) token by token."""
    real = [token for token in ngram if token != START]
    total = 0.0
    for place, token in enumerate(real):
        row = np.array(after(tuple(real[:place])))
        total += float(np.logaddexp.reduce(row[list(ENDS)])) if token == END else row[token]
    return total


def searched(search: Search, *, titles: bool = False, corpus: list = CORPUS) -> Generated:  # type: ignore[type-arg]
    trees = CausalTrees(model())
    index = NgramIndex.build(corpus)
    (found,) = generate(trees, index, trees.start([PROMPT]), [titles], ENDS, search)
    return found


def reference(
    goes_on: Callable[[tuple[int, ...]], list[int]], width: int, length: int
) -> set[tuple[int, ...]]:
    """Beam search as in the books."""
    beams: list[tuple[int, ...]] = [()]
    kept: set[tuple[int, ...]] = set()
    for _ in range(length):
        every = [(*beam, token) for beam in beams for token in goes_on(beam)]
        beams = sorted(every, key=log_prob, reverse=True)[:width]
        kept |= set(beams)
    return kept


def in_corpus(ngram: tuple[int, ...]) -> bool:
    texts = [text for title, body in CORPUS for text in (title or [], body)]
    return any(
        tuple(text[at : at + len(ngram)]) == ngram
        for text in texts
        for at in range(len(text) - len(ngram) + 1)
    )


def test_a_wide_search_finds_every_ngram_with_its_probability() -> None:
    found = searched(Search(beams=100, length=7))
    texts = [text for title, body in CORPUS for text in (title or [], body)]
    every = {tuple(t[a:b]) for t in texts for a in range(len(t)) for b in range(a + 1, len(t) + 1)}
    assert {ngram for ngram, _ in found} == every
    assert len(found) == len(every)
    for ngram, value in found:
        assert value == pytest.approx(log_prob(ngram), abs=1e-4)


@pytest.mark.parametrize("width", [1, 2, 3, 5])
def test_a_narrow_search_is_beam_search_that_keeps_its_prefixes(width: int) -> None:
    vocabulary = range(CausalTrees(model()).vocabulary)

    def goes_on(ngram: tuple[int, ...]) -> list[int]:
        return [token for token in vocabulary if in_corpus((*ngram, token))]

    found = searched(Search(beams=width, length=4))
    assert {ngram for ngram, _ in found} == reference(goes_on, width, 4)


def test_an_unconstrained_search_is_beam_search_whose_strays_are_dropped() -> None:
    vocabulary = list(range(CausalTrees(model()).vocabulary))
    expected = {ngram for ngram in reference(lambda _: vocabulary, 30, 3) if in_corpus(ngram)}
    found = searched(Search(beams=30, length=3, constrained=False))
    assert {ngram for ngram, _ in found} == expected
    assert expected
    for ngram, value in found:
        assert value == pytest.approx(log_prob(ngram), abs=1e-4)


def test_titles_are_whole_and_every_one_can_be_reached() -> None:
    found = searched(Search(beams=100, title_length=4), titles=True)
    titles = {(START, 20, 21, END), (START, 22, END), (START, 20, 23, 24, END)}
    assert {ngram for ngram, _ in found} == titles
    for ngram, value in found:
        assert value == pytest.approx(log_prob(ngram), abs=1e-4)
    assert searched(Search(beams=9, title_length=2), titles=True) != []
    assert all(len(ngram) <= 3 for ngram, _ in searched(Search(beams=9, title_length=2), titles=True))


def test_unconstrained_titles_are_kept_where_the_corpus_has_them() -> None:
    first = int(np.argmax(after(())))
    assert first not in ENDS
    search = Search(beams=300, title_length=2, constrained=False)
    ((ngram, value),) = searched(search, titles=True, corpus=[([first], [5]), ([first, 5], [6])])
    assert ngram == (START, first, END)
    assert value == pytest.approx(log_prob(ngram), abs=1e-4)


def test_without_diversity_groups_are_narrow_beam_searches() -> None:
    plain = searched(Search(beams=3, length=4))
    groups = searched(Search(beams=6, length=4, groups=2, diversity=0.0))
    assert {ngram for ngram, _ in groups} == {ngram for ngram, _ in plain}


def test_diversity_makes_groups_differ_and_leaves_probabilities_alone() -> None:
    plain = searched(Search(beams=2, length=3))
    diverse = searched(Search(beams=4, length=3, groups=2, diversity=50.0))
    assert {ngram for ngram, _ in diverse} > {ngram for ngram, _ in plain}
    first = [ngram for ngram, _ in diverse if len(ngram) == 1]
    assert len(set(first)) == 4
    for ngram, value in diverse:
        assert value == pytest.approx(log_prob(ngram), abs=1e-4)


def test_queries_are_answered_together_as_one_by_one() -> None:
    trees, index = CausalTrees(model()), NgramIndex.build(CORPUS)
    prompts, titles = [PROMPT, (7, 8), PROMPT, (40, 41, 42, 43, 44)], [False, True, True, False]
    search = Search(beams=3, length=4, title_length=4)
    together = generate(trees, index, trees.start(prompts), titles, ENDS, search)
    for prompt, title, found in zip(prompts, titles, together, strict=True):
        (alone,) = generate(trees, index, trees.start([prompt]), [title], ENDS, search)
        assert [ngram for ngram, _ in found] == [ngram for ngram, _ in alone]
        assert [value for _, value in found] == pytest.approx([value for _, value in alone], abs=1e-4)


@settings(max_examples=15)
@given(
    st.lists(st.lists(st.integers(3, 40), max_size=8), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.booleans(),
)
def test_only_ngrams_of_the_corpus_are_written(
    bodies: list[list[int]], width: int, groups: int, constrained: bool
) -> None:
    corpus = [(None, body) for body in bodies]
    search = Search(beams=width * groups, length=3, groups=groups, diversity=1.0, constrained=constrained)
    found = searched(search, corpus=corpus)
    index = NgramIndex.build(corpus)
    assert (index.counts([ngram for ngram, _ in found]) > 0).all()
    assert searched(search, corpus=corpus) == found
    if constrained and any(bodies):
        assert found


def test_an_edit_is_searched_like_a_rebuilt_corpus() -> None:
    trees, index = CausalTrees(model()), NgramIndex.build(CORPUS)
    edits = {2: ([20, 30], [5, 6, 31, 32]), 1: (None, [9, 8, 7])}
    rebuilt = NgramIndex.build([edits.get(row, document) for row, document in enumerate(CORPUS)])
    for titles in (False, True):
        search = Search(beams=4, length=4)
        (edited,) = generate(trees, index.with_edits(edits), trees.start([PROMPT]), [titles], ENDS, search)
        (expected,) = generate(trees, rebuilt, trees.start([PROMPT]), [titles], ENDS, search)
        assert edited == expected


def test_an_empty_corpus_has_nothing_to_write() -> None:
    assert searched(Search(), corpus=[(None, [])]) == []
    assert searched(Search(), titles=True, corpus=[(None, [5, 6])]) == []


def test_given_ngrams_get_their_probability_by_teacher_forcing() -> None:
    trees = CausalTrees(model())
    ngrams = [(5, 6, 7), (5, 6), (9,), (31, 5)]
    first, second = forced(trees, trees.start([PROMPT, (8, 9)]), [ngrams, []])
    assert first == pytest.approx([log_prob(ngram) for ngram in ngrams], abs=1e-4)
    assert len(second) == 0


def test_query_ngrams_are_runs_of_words_that_occur() -> None:
    words: dict[str, int] = {}

    def encode(texts: list[str]) -> list[list[int]]:
        assert all(text.startswith(" ") for text in texts)
        return [[words.setdefault(word, len(words)) for word in text.split()] for text in texts]

    body = encode([" Quiet coffee machine for a small office"])[0]
    index = NgramIndex.build([(None, body)])
    found = query_ngrams(index, "quiet COFFEE machine, small?", encode)  # type: ignore[arg-type]
    texts = {" ".join(list(words)[token] for token in ngram) for ngram in found}
    assert texts == {"Quiet", "coffee", "machine", "coffee machine", "small"}
    assert query_ngrams(index, " ?!", encode) == []  # type: ignore[arg-type]


def test_single_tokens_come_from_the_first_step() -> None:
    index = NgramIndex.build(CORPUS)
    row = torch.full((64,), -20.0)
    row[9], row[31], row[40] = -0.5, -0.7, -0.1
    tokens, found = singles(index, row.numpy())
    assert tokens.tolist() == [9, 31]
    prior = (1 + 5) / (index.tokens + 5)
    odds = np.exp(-0.7) / (1 - np.exp(-0.7))
    assert found[1] == pytest.approx(np.log(odds * (1 - prior) / prior), abs=1e-6)
