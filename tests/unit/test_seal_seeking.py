"""What the SEAL stage says it looks for: n-grams as text, with their weights by hand."""

from __future__ import annotations

from collections.abc import Sequence
from math import log, nan

import pytest

from retrievers.seal import seeking
from retrievers.seal.index import END, START, NgramIndex
from retrievers.seal.keys import Keys
from testbed.protocols import Piece, Sought

WORDS = ("", " red", " wine", " glass", " sal", "t", "\n", " saltier")
"""Text of each token. ` salt` is written as two tokens; 7 begins like them and is one."""


class Reader:
    """Cuts text into the longest tokens that fit."""

    fingerprint = "words"
    specials = ()

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        return [self._cut(text) for text in texts]

    def decode(self, token_ids: Sequence[int]) -> str:
        return "".join(WORDS[token] for token in token_ids)

    def _cut(self, text: str) -> list[int]:
        found = []
        while text:
            token = max((len(word), token) for token, word in enumerate(WORDS) if text.startswith(word))[1]
            if not token:
                return []
            found.append(token)
            text = text.removeprefix(WORDS[token])
        return found


INDEX = NgramIndex.build([([1], [1, 2, 6, 3]), ([2], [4, 5, 2]), (None, [2] * 20)])
KNOWN = [((1, 2), 0.9), ((2,), 0.5), ((2, 6), 0.9), ((5, 2), 0.9), ((START, 1, END), 0.9), ((4, 5), 0.8)]
WISHED = [((3, 1), log(0.7)), ((2,), log(0.6)), ((4,), log(0.7)), ((6,), log(0.9)), ((2, 2, 2, 2), log(1e-9))]


def found(way: str, wished: seeking.Pairs = WISHED) -> Sought:
    ngrams = [ngram for ngram, _ in KNOWN]
    keys = Keys.of(ngrams, [log(share) for _, share in KNOWN], INDEX.counts(ngrams))
    return seeking.pieces(INDEX, Reader(), keys, wished, way, 2.0)


def weight(share: float, count: int) -> float:
    """w(n, q) of the paper, for an n-gram that one more listing holds."""
    prior = (count + 1 + 5) / (INDEX.tokens + 5)
    return max(0.0, log(share * (1 - prior) / (prior * (1 - share))))


def as_dict(sought: Sought) -> dict[str, tuple[float, bool]]:
    return {piece.text: (pytest.approx(piece.weight), piece.known) for piece in sought.pieces}


def test_keys_that_stand_between_blanks_as_themselves_with_their_weights() -> None:
    # no piece: a line break, the rest of a word, a title, and what is likelier in the corpus than for the query
    expected = {
        "red wine": (weight(0.9, 1) ** 2, True),
        "salt": (weight(0.8, 1) ** 2, True),
        "glass red": (weight(0.7, 0) ** 2, False),
        "sal": (weight(0.7, 1) ** 2, True),
    }
    if weight(0.6, INDEX.counts([(2,)])[0]) > 0:
        expected["wine"] = (weight(0.6, INDEX.counts([(2,)])[0]) ** 2, True)
    sought = found("intersective")
    assert as_dict(sought) == expected
    assert [piece.text for piece in sought.pieces[:2]] == ["red wine", "salt"]
    assert sought.summed


def test_odds_are_not_raised_and_do_not_add_up() -> None:
    sought = found("lm_fm")
    assert as_dict(sought)["glass red"] == (weight(0.7, 0), False)
    assert not sought.summed


def test_likelihoods_are_told_from_the_score_of_a_listing_without_any() -> None:
    sought = found("lm")
    assert as_dict(sought)["glass red"] == (100 + log(0.7), False)
    assert as_dict(sought)["wine"] == (100 + log(0.6), True)  # the likelier of two
    assert not sought.summed


def test_without_a_model_odds_are_even() -> None:
    sought = found("intersective", [((1, 3), nan)])
    assert Piece("red glass", pytest.approx(weight(0.5, 0) ** 2), False) in sought.pieces
