"""Generating n-grams for queries: beam search that keeps every prefix it considers (paper, section 3.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from retrievers.seal.index import END, START
from retrievers.seal.index.protocol import Index
from testbed.language.tree import Growth, TokenTree, TreeModel

Generated = list[tuple[tuple[int, ...], float]]
"""N-grams with log P(n | q)."""


@dataclass(frozen=True, slots=True)
class Search:
    """Width and depth of a beam search.

    `groups`, `diversity`: beams in groups, each of which is put off by what earlier ones chose at the same step
    (Vijayakumar et al. 2016, Hamming diversity). `constrained`: only n-grams of the corpus are considered;
    otherwise n-grams that are not in it are thrown away afterwards, unless `unseen` ones are wanted too.
    """

    beams: int = 15
    length: int = 10
    title_length: int = 24
    groups: int = 1
    diversity: float = 0.0
    constrained: bool = True
    unseen: bool = False

    @property
    def width(self) -> int:
        """Beams a group."""
        return max(1, self.beams // self.groups)


@dataclass(slots=True)
class _Group:
    """Beams that compete with each other. `totals`: what they are ranked by; `logs`: log P(n | q)."""

    nodes: list[int]
    ranges: Any
    totals: np.ndarray
    logs: np.ndarray
    ngrams: list[tuple[int, ...]]


@dataclass(slots=True)
class _Line:
    """One search: for the bodies' n-grams or for titles, of one query."""

    tree: TokenTree
    titles: bool
    length: int
    groups: list[_Group]
    found: Generated = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """Children taken by a group: beam within the group, token, range row, rank score, log-probability."""

    beams: np.ndarray
    tokens: np.ndarray
    ranges: Any
    totals: np.ndarray
    logs: np.ndarray


def generate(
    model: TreeModel,
    index: Index,
    trees: Sequence[TokenTree],
    titles: Sequence[bool],
    ends: Sequence[int],
    search: Search,
) -> list[Generated]:
    """N-grams of the corpus for several prompts at once, with their log-probabilities.

    `titles`: per tree, whether whole titles are wanted instead of n-grams of the bodies. `ends`: tokens of
    which the model writes one behind a title. Probabilities are over the whole vocabulary.
    """
    lines = [_begin(index, tree, title, search) for tree, title in zip(trees, titles, strict=True)]
    for step in range(max((line.length for line in lines), default=0)):
        live = [line for line in lines if step < line.length and any(group.nodes for group in line.groups)]
        asked = [(line.tree, [node for group in line.groups for node in group.nodes]) for line in live]
        for line, rows in zip(live, model.log_probs(asked), strict=True):
            _step(index, line, _with_marks(rows.numpy(), ends if line.titles else ()), search)
        growths, receivers = [], []
        for line in live:
            if step + 1 == line.length:
                continue
            groups = [group for group in line.groups if group.nodes]
            parents = [node for group in groups for node in group.nodes]
            tokens = [ngram[-1] for group in groups for ngram in group.ngrams]
            growths.append(Growth(line.tree, parents, tokens))
            receivers.append(groups)
        for groups, nodes in zip(receivers, model.grow(growths), strict=True):
            fresh = iter(nodes)
            for group in groups:
                group.nodes = [next(fresh) for _ in group.nodes]
    return [_kept(index, line, search) for line in lines]


def _begin(index: Index, tree: TokenTree, titles: bool, search: Search) -> _Line:
    first = (START,) if titles else ()
    ranges = index.titles() if titles else index.root()
    groups = [_Group([0], ranges, np.zeros(1), np.zeros(1), [first]) for _ in range(max(1, search.groups))]
    return _Line(tree, titles, search.title_length if titles else search.length, groups)


def _with_marks(rows: np.ndarray, ends: Sequence[int]) -> np.ndarray:
    """Log-probabilities with two more columns, for `END` and `START`: (beams, V + 2)."""
    marks = np.full((len(rows), 2), -np.inf, dtype=np.float32)
    if ends:
        marks[:, END] = np.logaddexp.reduce(rows[:, list(ends)], axis=1)
    return np.concatenate([rows, marks], 1)


def _step(index: Index, line: _Line, scores: np.ndarray, search: Search) -> None:
    """Move every group of a line on by one token. Afterwards `nodes` are the parents of the new beams."""
    used: dict[int, int] = {}
    begin = 0
    for group in line.groups:
        rows = scores[begin : begin + len(group.nodes)]
        begin += len(group.nodes)
        if not group.nodes:
            continue
        put_off = rows
        if used and search.diversity:
            put_off = rows.copy()
            put_off[:, list(used)] -= search.diversity * np.array(list(used.values()), dtype=np.float32)
        chosen = (_children if search.constrained else _anything)(index, group, rows, put_off, search.width)
        for token in chosen.tokens.tolist():
            used[token] = used.get(token, 0) + 1
        _move(line, group, chosen)


def _children(index: Index, group: _Group, rows: np.ndarray, put_off: np.ndarray, width: int) -> _Chosen:
    """The best continuations that the corpus has."""
    children = index.children(group.ranges)
    places = children.best(put_off, width)
    beams, ranks = np.nonzero(places >= 0)
    places = places[beams, ranks]
    tokens = children.tokens[places]
    totals = group.totals[beams] + put_off[beams, tokens]
    order = np.argsort(-totals, kind="stable")[:width]
    beams, tokens = beams[order], tokens[order]
    logs = group.logs[beams] + rows[beams, tokens]
    return _Chosen(beams, tokens, children.take(places[order]), totals[order], logs)


def _anything(index: Index, group: _Group, rows: np.ndarray, put_off: np.ndarray, width: int) -> _Chosen:
    """The best continuations, whatever the corpus has."""
    few = min(width, put_off.shape[1])
    columns = np.sort(np.argpartition(-put_off, few - 1, axis=1)[:, :few], axis=1)
    beams = np.repeat(np.arange(len(put_off)), few)
    tokens = columns.reshape(-1)
    totals = group.totals[beams] + put_off[beams, tokens]
    order = np.argsort(-totals, kind="stable")[:width]
    order = order[totals[order] > -np.inf]
    beams, tokens = beams[order], tokens[order]
    logs = group.logs[beams] + rows[beams, tokens]
    marks = put_off.shape[1] - 2
    tokens = np.where(tokens >= marks, tokens - marks - 2, tokens)
    return _Chosen(beams, tokens, None, totals[order], logs)


def _move(line: _Line, group: _Group, chosen: _Chosen) -> None:
    """Keep what was chosen; a title that has ended leaves its beam."""
    ngrams = [
        (*group.ngrams[beam], token)
        for beam, token in zip(chosen.beams.tolist(), chosen.tokens.tolist(), strict=True)
    ]
    ended = chosen.tokens == END
    wanted = ended if line.titles else ~ended
    line.found += [(ngrams[at], float(chosen.logs[at])) for at in np.flatnonzero(wanted)]
    on = np.flatnonzero(~ended)
    group.nodes = [group.nodes[beam] for beam in chosen.beams[on]]
    group.ranges = chosen.ranges.take(on) if chosen.ranges is not None else None
    group.totals, group.logs = chosen.totals[on], chosen.logs[on]
    group.ngrams = [ngrams[at] for at in on]


def _kept(index: Index, line: _Line, search: Search) -> Generated:
    if search.constrained or search.unseen:
        return line.found
    counts = index.counts([ngram for ngram, _ in line.found])
    return [pair for pair, count in zip(line.found, counts, strict=True) if count > 0]
