"""The n-gram index against substrings counted one by one."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.seal.index import END, START, EditedIndex, NgramIndex
from retrievers.seal.index.arrays import Document

TOKENS = st.integers(0, 5) | st.sampled_from([7, 300, 70_000])
BODY = st.lists(TOKENS, max_size=12)
DOCUMENT = st.tuples(st.none() | st.lists(TOKENS, max_size=4), BODY)
CORPUS = st.lists(DOCUMENT, min_size=1, max_size=8)


def marked(document: Document) -> list[int]:
    title, body = document
    return list(body) if title is None else [START, *title, END, *body]


def runs(document: Document) -> list[list[int]]:
    """Stretches that an n-gram may be part of: title with marks, body."""
    title, body = document
    return [list(body)] if title is None else [[START, *title, END], list(body)]


def occurrences(corpus: list[Document], ngram: tuple[int, ...]) -> list[tuple[int, int]]:
    found = []
    for row, document in enumerate(corpus):
        offset = 0
        for run in runs(document):
            found += [
                (row, offset + begin)
                for begin in range(len(run) - len(ngram) + 1)
                if tuple(run[begin : begin + len(ngram)]) == ngram
            ]
            offset += len(run)
    return found


def ngrams_of(corpus: list[Document]) -> list[tuple[int, ...]]:
    """All n-grams that a search can reach: inside a text, or from the place before a title."""
    found = {
        tuple(run[begin:end])
        for document in corpus
        for run in runs(document)
        for begin in range(len(run))
        for end in range(begin + 1, len(run) + 1)
    }
    return sorted(ngram for ngram in found if ngram != (END,))


def following(corpus: list[Document], ngram: tuple[int, ...]) -> Counter[int]:
    found: Counter[int] = Counter()
    for document in corpus:
        for run in runs(document):
            for begin in range(len(run) - len(ngram)):
                if tuple(run[begin : begin + len(ngram)]) == ngram:
                    found[run[begin + len(ngram)]] += 1
    if not ngram:
        del found[START], found[END]
    return found


def agrees(index: NgramIndex | EditedIndex, corpus: list[Document]) -> None:
    """Everything the index says is what the corpus has."""
    assert index.documents == len(corpus)
    assert index.tokens == sum(len(title or ()) + len(body) for title, body in corpus)
    whole = Counter(token for title, body in corpus for token in [*(title or ()), *body])
    tokens, counts = index.unigrams
    assert dict(zip(tokens.tolist(), counts.tolist(), strict=True)) == dict(sorted(whole.items()))
    ngrams = ngrams_of(corpus)
    absent = [(*ngram, 4) for ngram in ngrams if not occurrences(corpus, (*ngram, 4))] + [
        (6,),
        (-7,),
        (10**9,),
    ]
    beams = index.find([*ngrams, *absent])
    assert beams.counts.tolist() == [len(occurrences(corpus, ngram)) for ngram in ngrams] + [0] * len(absent)
    places = index.locate(beams)
    for row, ngram in enumerate(ngrams):
        span = slice(places.ptr[row], places.ptr[row + 1])
        found = zip(places.documents[span].tolist(), places.offsets[span].tolist(), strict=True)
        assert sorted(found) == occurrences(corpus, ngram)
    assert places.ptr[-1] == places.ptr[len(ngrams)]
    open_ends = [(), *(ngram for ngram in ngrams if ngram[-1] != END)]
    beams = index.find(open_ends)
    children = index.children(beams)
    for row, ngram in enumerate(open_ends):
        span = slice(children.ptr[row], children.ptr[row + 1])
        tokens = children.tokens[span].tolist()
        assert tokens == sorted(tokens)
        assert Counter(dict(zip(tokens, children.counts[span].tolist(), strict=True))) == following(
            corpus, ngram
        )
    assert children.beams.counts.tolist() == children.counts.tolist()
    longer = index.extend(beams.take(children.owners), children.tokens)
    assert longer.counts.tolist() == children.counts.tolist()
    deeper = index.children(children.beams), index.children(longer)
    assert deeper[0].tokens.tolist() == deeper[1].tokens.tolist()
    for row, document in enumerate(corpus):
        assert index.document(row).tolist() == marked(document)
    rows = np.arange(len(corpus))[::-1]
    ptr, tokens = index.texts(rows)
    for at, row in enumerate(rows.tolist()):
        assert tokens[ptr[at] : ptr[at + 1]].tolist() == marked(corpus[row])


@settings(max_examples=60)
@given(CORPUS, st.booleans())
def test_the_index_is_what_a_naive_count_says(corpus: list[Document], bigrams: bool) -> None:
    agrees(NgramIndex.build(corpus, bigrams=bigrams), corpus)


@settings(max_examples=60)
@given(CORPUS, st.data())
def test_an_edit_equals_a_rebuild(corpus: list[Document], data: st.DataObject) -> None:
    rows = data.draw(st.sets(st.integers(0, len(corpus) - 1), min_size=1, max_size=3))
    edits = {row: data.draw(DOCUMENT) for row in sorted(rows)}
    after = [edits.get(row, document) for row, document in enumerate(corpus)]
    index = NgramIndex.build(corpus)
    agrees(index.with_edits(edits), after)
    last = {max(rows): data.draw(DOCUMENT)}
    agrees(index.with_edits(edits).with_edits(last), [last.get(row, doc) for row, doc in enumerate(after)])
    agrees(index, corpus)


@settings(max_examples=60)
@given(CORPUS, st.integers(1, 4), st.integers(0, 2**32 - 1))
def test_the_best_children_are_those_of_a_sort(corpus: list[Document], k: int, seed: int) -> None:
    index = NgramIndex.build(corpus)
    beams = index.find([(), *(ngram for ngram in ngrams_of(corpus) if ngram[-1] != END)])
    children = index.children(beams)
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 4, (len(beams), 70_003)).astype(np.float32)
    scores[scores == 0] = -np.inf
    found = children.best(scores, k)
    for row in range(len(beams)):
        own = range(children.ptr[row], children.ptr[row + 1])
        usable = [at for at in own if scores[row, children.tokens[at]] > -np.inf]
        expected = sorted(usable, key=lambda at: (-scores[row, children.tokens[at]], at))[:k]
        assert found[row].tolist() == expected + [-1] * (k - len(expected))
