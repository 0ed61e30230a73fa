"""What a query brings with it: its own n-grams as keys, and weights of single tokens."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np

from retrievers.seal.index.protocol import Index
from retrievers.seal.keys import weights
from retrievers.seal.scoring import Singles
from testbed.language.tree import Growth, TokenTree, TreeModel

WORD = re.compile(r"[^\W_]+(?:[-'.][^\W_]+)*")
LONGEST = 3
"""Words of a query n-gram."""
Encode = Callable[[Sequence[str]], list[list[int]]]


def query_ngrams(index: Index, query: str, encode: Encode) -> list[tuple[int, ...]]:
    """Runs of one to three words of a query that occur in the corpus, see `spelt`."""
    found = spelt(query, encode)
    return [ngram for ngram, count in zip(found, index.counts(found), strict=True) if count > 0]


def spelt(query: str, encode: Encode) -> list[tuple[int, ...]]:
    """Runs of one to three words of a query, as tokens in the middle of a text.

    As they are written, in small letters, and with capitals.
    """
    words = WORD.findall(query)
    runs = [
        " ".join(words[begin:end])
        for begin in range(len(words))
        for end in range(begin + 1, min(len(words), begin + LONGEST) + 1)
    ]
    forms = dict.fromkeys(form for run in runs for form in (run, run.lower(), run.title()))
    return list(dict.fromkeys(tuple(ids) for ids in encode([f" {run}" for run in forms]) if ids))


def forced(
    model: TreeModel, trees: Sequence[TokenTree], ngrams: Sequence[Sequence[tuple[int, ...]]]
) -> list[np.ndarray]:
    """log P(n | q) of given n-grams behind each tree's prompt, by teacher forcing: per tree (n,) float64."""
    growths = [Growth.of(tree, mine) for tree, mine in zip(trees, ngrams, strict=True)]
    model.grow(growths)
    steps = [[_pairs(tree, ngram) for ngram in mine] for tree, mine in zip(trees, ngrams, strict=True)]
    asked = []
    for tree, mine in zip(trees, steps, strict=True):
        flat = [pair for pairs in mine for pair in pairs]
        asked.append(Growth(tree, [node for node, _ in flat], [token for _, token in flat]))
    found = []
    for mine, values in zip(steps, model.token_log_probs(asked), strict=True):
        ends = np.cumsum([0, *map(len, mine)])
        sums = np.concatenate([[0.0], np.cumsum(values.numpy().astype(np.float64))])
        found.append(sums[ends[1:]] - sums[ends[:-1]])
    return found


def _pairs(tree: TokenTree, ngram: tuple[int, ...]) -> list[tuple[int, int]]:
    """Nodes that an n-gram's tokens stand behind, with the tokens."""
    node, found = 0, []
    for token in ngram:
        found.append((node, token))
        node = tree.child(node, token) or 0
    return found


def singles(index: Index, log_probs: np.ndarray) -> Singles:
    """Tokens of the corpus that are likelier for the query than in the corpus, from the first step: (n,), (n,).

    `log_probs`: (V,) of what comes first behind the prompt.
    """
    tokens, counts = index.unigrams
    found = weights(log_probs[tokens].astype(np.float64), counts, index.tokens)
    return tokens[found > 0], found[found > 0]


def unprompted(index: Index, tokens: Sequence[int]) -> Singles:
    """Tokens of a query with their weights where no model is asked."""
    wanted = np.unique(np.asarray(tokens, dtype=np.int64))
    counts = index.counts([(int(token),) for token in wanted])
    wanted, counts = wanted[counts > 0], counts[counts > 0]
    return wanted, weights(np.full(len(wanted), np.nan), counts, index.tokens)
