"""Which items go with a target, as far as anybody can know: from public listings and from known histories."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

from testbed.protocols import Victim

WORD = re.compile(r"\w+")


def known_histories(victim: Victim) -> list[tuple[str, ...]]:
    """Histories of the requests that the attacker may use, each once."""
    requests = {situation.request: victim.request(situation) for situation in victim.situations}
    return [request.history for request in requests.values()]


def popular(histories: Sequence[Sequence[str]], target: str) -> list[str]:
    """Items by how many histories they stand in, most first; without the target."""
    counts = Counter(item for history in histories for item in dict.fromkeys(history))
    return _ordered(counts, target)


def preceding(histories: Sequence[Sequence[str]], target: str) -> list[str]:
    """Items by how often the target comes right after them, most first; without the target."""
    pairs = (pair for history in histories for pair in pairwise(history))
    return _ordered(Counter(before for before, after in pairs if after == target), target)


def similar(victim: Victim, target: str) -> list[str]:
    """Items by the cosine of their words with the target's, rare words weighing more; without the target."""
    words = {item: _words(victim.listing(item)) for item in victim.items}
    shared = Counter(word for bag in words.values() for word in bag)
    weights = {word: math.log(len(words) / count) + 1e-9 for word, count in shared.items()}
    mine = words[target]
    likeness = {
        item: sum(weights[word] ** 2 for word in bag & mine) / (_norm(bag, weights) * _norm(mine, weights))
        for item, bag in words.items()
    }
    return sorted((item for item in words if item != target), key=lambda item: -likeness[item])


def _words(fields: Mapping[str, str]) -> frozenset[str]:
    return frozenset(word.casefold() for text in fields.values() for word in WORD.findall(text))


def _norm(bag: frozenset[str], weights: Mapping[str, float]) -> float:
    return math.sqrt(sum(weights[word] ** 2 for word in bag)) or 1.0


def _ordered(counts: Mapping[str, int], target: str) -> list[str]:
    """Ties in the order of first appearance."""
    return sorted((item for item in counts if item != target), key=lambda item: -counts[item])
