"""SEAL's formulas by hand, on a corpus small enough to count."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retrievers.seal import scoring as scoring_module
from retrievers.seal.index import END, START, NgramIndex
from retrievers.seal.keys import Keys, copied, weights
from retrievers.seal.scoring import Found, Scoring, Way

CORPUS = [
    ([50], [1, 2, 3, 4]),
    ([51], [1, 2, 9, 3, 4]),
    ([52], [4, 3, 2, 1, 1, 2]),
    (None, [7, 7, 7]),
]

N = 3 + 4 + 5 + 6 + 3
"""Tokens of titles and bodies."""


def keys(index: NgramIndex, *pairs: tuple[tuple[int, ...], float]) -> Keys:
    ngrams = [ngram for ngram, _ in pairs]
    return Keys.of(ngrams, [log(share) for _, share in pairs], index.counts(ngrams))


def weight(share: float, count: int) -> float:
    """w(n, q), written as in the paper."""
    prior = (count + 5) / (N + 5)
    return max(0.0, log(share * (1 - prior) / (prior * (1 - share))))


def scored(index: NgramIndex, asked: Keys, singles: dict[int, float], scoring: Scoring) -> Found:
    weights = np.array(list(singles.values()))
    return scoring_module.scored(index, asked, (np.array(list(singles), dtype=np.int64), weights), scoring)


def as_dict(found: Found) -> dict[int, float]:
    return dict(zip(found.rows.tolist(), found.scores.tolist(), strict=True))


def test_weights_are_log_odds_ratios() -> None:
    found = weights(np.log([0.5, 0.9, 0.01, 1.0]), np.array([1, 3, 8, 1]), N)
    assert found[:3] == pytest.approx([weight(0.5, 1), weight(0.9, 3), weight(0.01, 8)])
    assert found[2] == 0.0
    assert np.isfinite(found[3])
    assert found[3] > found[1]
    even = weights(np.array([np.nan]), np.array([2]), N)
    assert even == pytest.approx([weight(0.5, 2)])


def test_keys_that_do_not_occur_or_come_twice_are_left_out() -> None:
    index = NgramIndex.build(CORPUS)
    found = keys(index, ((1, 2), 0.2), ((2, 9, 9), 0.9), ((1, 2), 0.4))
    assert found.ngrams == ((1, 2),)
    assert found.log_probs.tolist() == [log(0.4)]
    assert found.counts.tolist() == [3]


@pytest.mark.parametrize("way", ["lm", "lm_fm"])
def test_a_document_is_worth_its_best_key(way: Way) -> None:
    index = NgramIndex.build(CORPUS)
    asked = keys(index, ((1, 2), 0.8), ((3, 4), 0.7), ((2, 9), 0.75), ((START, 52, END), 0.9))
    worth = {
        "lm": {0: log(0.8), 1: log(0.8), 2: log(0.9)},
        "lm_fm": {0: weight(0.8, 3), 1: weight(0.75, 1), 2: weight(0.9, 1)},
    }[way]
    found = scored(index, asked, {}, Scoring(way))
    assert as_dict(found) == pytest.approx(worth)
    assert found.rows.tolist() == sorted(worth, key=lambda row: (-worth[row], row))
    best = {0: 0, 1: 2 if way == "lm_fm" else 0, 2: 3}
    assert [[key for key, _ in reasons] for reasons in found.reasons] == [[best[row]] for row in found.rows]


def test_intersective_scores_by_hand() -> None:
    index = NgramIndex.build(CORPUS)
    asked = keys(index, ((1, 2, 3), 0.9), ((3, 4), 0.8), ((1, 2), 0.7), ((4,), 0.6))
    first, second, third, fourth = (
        weight(share, count) ** 2 for share, count in ((0.9, 1), (0.8, 2), (0.7, 3), (0.6, 3))
    )
    found = scored(index, asked, {}, Scoring())
    assert as_dict(found) == pytest.approx(
        {
            0: first + fourth,  # (3, 4) and (1, 2) overlap with the first
            1: second + third,  # the token 4 stands in (3, 4)
            2: third + fourth,
        }
    )
    by_row = dict(zip(found.rows.tolist(), found.reasons, strict=True))
    assert [key for key, _ in by_row[1]] == [1, 2]
    assert sum(gain for _, gain in by_row[2]) == pytest.approx(as_dict(found)[2])


def test_tokens_counted_before_are_discounted() -> None:
    index = NgramIndex.build([(None, [1, 2, 8, 2, 3, 9, 1]), (None, [5] * 30)])
    asked = keys(index, ((1, 2), 0.9), ((2, 3), 0.8), ((1,), 0.7))
    found = scored(index, asked, {}, Scoring(alpha=1.0, beta=0.6))
    w = weights(asked.log_probs, asked.counts, index.tokens)
    # (2, 3): one of two tokens is new; (1,) at the end is free, but its token is not new
    assert found.scores.tolist() == pytest.approx([w[0] + w[1] * (0.4 + 0.6 / 2) + w[2] * 0.4])


def test_a_key_that_is_repeated_counts_once() -> None:
    index = NgramIndex.build([(None, [1, 2] * 20), (None, [1, 2]), (None, [5] * 60)])
    asked = keys(index, ((1, 2), 0.9), ((2, 1), 0.5))
    found = as_dict(scored(index, asked, {}, Scoring()))
    assert found[0] == pytest.approx(found[1])


def test_single_tokens_count_where_no_key_stands() -> None:
    index = NgramIndex.build(CORPUS)
    asked = keys(index, ((1, 2), 0.9))
    found = scored(index, asked, {1: 0.5, 3: 0.7, 9: 0.3, 50: 0.2, 60: 9.0, 4: 0.0}, Scoring())
    key = weight(0.9, 3) ** 2
    again = 0.5**2 * (1 - 0.8)  # the first 1 of document 2 is free, but the key had this token
    singles = {0: 0.7**2 + 0.2**2, 1: 0.3**2 + 0.7**2, 2: 0.7**2 + again}
    assert as_dict(found) == pytest.approx({row: key + alone for row, alone in singles.items()})
    assert dict(zip(found.rows.tolist(), found.singles.tolist(), strict=True)) == pytest.approx(singles)
    held = scored(NgramIndex.build([(None, [1, 2, 6, 1]), (None, [5] * 30)]), asked, {1: 0.5}, Scoring())
    assert held.singles.tolist() == pytest.approx([again])


def test_frequent_keys_find_no_candidates_but_count_for_them() -> None:
    index = NgramIndex.build(CORPUS)
    asked = keys(index, ((2, 9), 0.9), ((1, 2), 0.8))
    found = scored(index, asked, {}, Scoring(rare=2))
    # (1, 2) occurs three times: it does not bring documents 0 and 2, and in document 1 it overlaps
    assert as_dict(found) == pytest.approx({1: weight(0.9, 1) ** 2})
    apart = keys(index, ((3, 4), 0.9), ((1, 2), 0.8))
    both = weight(0.9, 2) ** 2 + weight(0.8, 3) ** 2
    assert as_dict(scored(index, apart, {}, Scoring(rare=2))) == pytest.approx({0: both, 1: both})


def test_only_the_best_candidates_are_scored_fully() -> None:
    index = NgramIndex.build(CORPUS)
    asked = keys(index, ((1, 2, 3), 0.9), ((3, 4), 0.5), ((4,), 0.5))
    found = scored(index, asked, {9: 30.0}, Scoring(candidates=1))
    assert found.rows.tolist() == [0]


@pytest.mark.parametrize("way", ["lm", "lm_fm", "intersective"])
def test_no_keys_no_documents(way: Way) -> None:
    index = NgramIndex.build(CORPUS)
    for asked in (keys(index), keys(index, ((8, 8), 0.5))):
        found = scored(index, asked, {1: 1.0}, Scoring(way))
        assert (len(found.rows), len(found.scores), list(found.reasons)) == (0, 0, [])


BODIES = st.lists(st.lists(st.integers(0, 4), max_size=10), min_size=1, max_size=6)


@settings(max_examples=50)
@given(BODIES, st.randoms(use_true_random=False), st.sampled_from(["lm", "lm_fm", "intersective"]))
def test_scores_do_not_depend_on_the_order_of_documents(
    bodies: list[list[int]], random: object, way: Way
) -> None:
    places = list(range(len(bodies)))
    random.shuffle(places)  # type: ignore[attr-defined]
    ngrams = [(0,), (1,), (0, 1), (1, 2), (2, 3, 4), (0, 0)]
    shares = np.log([0.3, 0.4, 0.6, 0.7, 0.8, 0.5])
    results = []
    for order in (list(range(len(bodies))), places):
        index = NgramIndex.build([(None, bodies[row]) for row in order] + [(None, [9] * 50)])
        found = scored(index, Keys.of(ngrams, shares, index.counts(ngrams)), {3: 0.5, 0: 0.2}, Scoring(way))
        results.append({order[row]: score for row, score in as_dict(found).items()})
    assert results[0] == results[1]


def test_a_likely_key_is_worth_more() -> None:
    assert weight(0.9, 1) > weight(0.5, 1) > weight(0.5, 3)
    assert exp(-weights(np.array([log(0.5)]), np.array([1]), N)[0]) == pytest.approx(
        6 / (N + 5) / (1 - 6 / (N + 5))
    )


def test_a_share_of_copying_lifts_the_querys_own_ngrams_to_it() -> None:
    values = np.log([1e-9, 0.2, 0.9])
    assert np.exp(copied(values, 0.5)) == pytest.approx([0.5, 0.6, 0.95])
    assert copied(values, 0.0).tolist() == values.tolist()
    counts = np.full(3, 7)
    unasked = weights(np.full(3, np.nan), counts, 10_000)
    assert (weights(copied(values, 0.5), counts, 10_000) >= unasked).all()
    assert (weights(values, counts, 10_000) < unasked).tolist() == [True, True, False]
