"""Variants of one list, written out as rows for the model and read back as losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from retrievers.llm.edits import Edits, target_of
from retrievers.llm.entries import Entry, entries
from retrievers.llm.prior import forked
from retrievers.llm.readings import Prompt
from testbed.language import Frozen, Prefix, Row, common_prefix
from testbed.language.sharing import WORTH, shared_length
from testbed.protocols import Context, Objective, Probe, Scores
from testbed.types import Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.llm.stage import Recommender


@dataclass(frozen=True, slots=True)
class Variant:
    """One way the list may look, and what has to be scored for it: rows with their whole trunks.

    Listwise one row, with a branch for each name asked for and then for each entry; pointwise a row a listing.
    The neutral question, where a prior is subtracted, is listwise the fork of the row, pointwise `priors`: a row
    for each of `rows`. `own`: the row that holds the target's listing. `taken`: tokens that went through the
    model to know the entries.
    """

    prompt: Prompt
    place: int
    rows: tuple[Row, ...]
    entries: tuple[Entry, ...] = ()
    own: int = 0
    taken: int = 0
    priors: tuple[Row, ...] = ()

    @property
    def every(self) -> tuple[Row, ...]:
        """All rows: those of the request, then those of the neutral one that are rows of their own."""
        return (*self.rows, *self.priors)

    @property
    def tokens(self) -> int:
        """Logical tokens: prompts, names, and the answer that holds the entries once a prompt."""
        later = 0
        if self.entries:
            last = self.entries[-1]
            later = len(last.token_ids) - last.length + sum(entry.length for entry in self.entries)
        tokens = 0
        for row in self.every:
            names = later + sum(map(len, row.branches[: len(row.branches) - len(self.entries)]))
            tokens += len(row.trunk) + names
            if row.fork is not None:
                tokens += row.fork.at + len(row.fork.trunk) + names
        return tokens

    def scores(self, found: Sequence[Sequence[Tensor]], objective: Objective, pointwise: bool) -> Scores:
        """Log-probabilities of the parts of `every` row as scores, a batch of one; less the neutral question's."""
        column = self.place if objective.rivals else 0
        parts = list(found[self.own])
        fluency = None
        if objective.fluent:
            watched = self.rows[self.own].watched is not None
            fluency = -parts.pop().mean()[None] if watched else torch.zeros(1)
        if pointwise:
            differences = [yes.sum() - no.sum() for yes, no, *_ in found]
            device = differences[self.own].device  # the other rows' are on the CPU beside a gradient
            totals = torch.stack([one.to(device) for one in differences])
            if self.priors:
                totals = totals[: len(self.rows)] - totals[len(self.rows) :]
            return Scores(totals[None], torch.ones(len(totals), device=device), column, fluency)
        later = [entry.length for entry in self.entries]
        count = len(self.rows[self.own].branches)
        length = [len(part) for part in parts[: count - len(later)]]
        sums = [part[-own:].sum() for part, own in zip(parts[:count], [*length, *later], strict=True)]
        values = torch.stack(sums)
        if self.rows[self.own].fork is not None:
            prior = zip(parts[count:], [*length, *later], strict=True)
            values = values - torch.stack([part[-own:].sum() for part, own in prior])
        names, listed = values[None, : len(length)], values[None, len(length) :]
        lengths = torch.tensor(length, dtype=torch.float32, device=values.device)
        return Scores(names, lengths, column, fluency, listed if later else None)


def variants(
    stage: Recommender,
    context: Context,
    shown: Sequence[Slate],
    objective: Objective,
    target: Target | None = None,
) -> list[Variant | None]:
    """What has to be scored for each presented slate; None where the target is not in it.

    `target`: where the text was written, if known; else it is told from the listing.
    """
    places = [place_of(slate, context.target_id) for slate in shown]
    there = [index for index, place in enumerate(places) if place is not None]
    contexts, slates = [context] * len(there), [shown[index] for index in there]
    prompts = stage.prompts(contexts, slates)
    made: list[Variant | None] = [None] * len(shown)
    for index, prompt, other in zip(there, prompts, stage.neutral_prompts(contexts, slates), strict=True):
        whole = replace(prompt, neutral=other)
        made[index] = _variant(stage, context, shown[index], places[index] or 0, whole, objective)
    if objective.fluent:
        _watch(stage, context, shown, made, target)
    return made


def _variant(
    stage: Recommender, context: Context, shown: Slate, place: int, prompt: Prompt, objective: Objective
) -> Variant:
    if stage.options.reading == "pointwise":
        words = stage.attackable.words
        wanted = slice(None) if objective.rivals else slice(place, place + 1)
        if objective.listed:
            entries(stage, context, shown, place, objective.listed)
        own = place if objective.rivals else 0
        rows = tuple(Row(part, words) for part in prompt.parts[wanted])
        neutral = prompt.neutral.parts[wanted] if prompt.neutral else ()
        return Variant(prompt, place, rows, own=own, priors=tuple(Row(part, words) for part in neutral))
    answers = prompt.answers if objective.rivals else prompt.answers[place : place + 1]
    later, taken = entries(stage, context, shown, place, objective.listed) if objective.listed else ((), 0)
    branches = (*answers, *(entry.token_ids for entry in later))
    row = forked(prompt, branches, prompt.neutral)
    return Variant(prompt, place, (row,), later, taken=taken)


def _watch(
    stage: Recommender,
    context: Context,
    shown: Sequence[Slate],
    made: list[Variant | None],
    written: Target | None,
) -> None:
    """Mark the tokens of the edits, in place, whose likelihood is wanted; unedited listings have none."""
    for index, variant in enumerate(made):
        if variant is None:
            continue
        listing = shown[index].listings[variant.place]
        target = written or target_of(stage.catalog.fields(listing.item_id), listing)
        if target is None:
            continue
        row = variant.rows[variant.own]
        (span,) = Edits(stage, context, target).spans([shown[index]], variant.place, [row.trunk])
        rows = list(variant.rows)
        rows[variant.own] = replace(row, watched=(max(1, span.start), span.stop))
        made[index] = replace(variant, rows=tuple(rows))


@dataclass(frozen=True, slots=True)
class Question:
    """A probe's variants as rows beside cached prefixes; equal rows are asked once.

    `groups`: prefixes with their rows, one a request where the questions share no prompt. `order`: where a row
    stands among those of all groups.
    """

    variants: tuple[Variant | None, ...]
    groups: tuple[tuple[Prefix, tuple[Row, ...]], ...]
    order: dict[Row, int]
    cached: int
    taken: int

    @classmethod
    def of(
        cls, stage: Recommender, probe: Probe, base: Slate | None, objective: Objective, recompute: int | None
    ) -> Question:
        """Write out a probe. `base`, `recompute`: see `Attackable.screen`."""
        context = probe.context
        slates = probe.slates if base is None else [base, *probe.slates]
        made = variants(stage, context, [stage.present(context, slate) for slate in slates], objective)
        taken = sum(variant.taken for variant in made if variant is not None)
        first = made.pop(0) if base is not None else None
        there = [variant for variant in made if variant is not None]
        whole = list(dict.fromkeys(row for variant in there for row in variant.rows))
        priors = list(dict.fromkeys(row for variant in there for row in variant.priors))
        order = {row: index for index, row in enumerate([*whole, *priors])}
        if first is not None and whole and stage.options.reading != "pointwise":
            prefix, rows, cached = _near(stage, context, first.rows[0].trunk, whole, recompute)
            return cls(tuple(made), ((prefix, tuple(rows)),), order, cached, taken)
        groups, computed = [], 0
        for asked, rows in ((context, whole), (stage.neutral(context), priors)):
            if rows:
                prefix, cached = kept_prefix(stage, asked, [row.shareable for row in rows])
                groups.append((prefix, tuple(row.beside(prefix) for row in rows)))
                computed += cached
        return cls(tuple(made), tuple(groups), order, computed, taken)

    def losses(self, found: Sequence[Sequence[Tensor]], objective: Objective, pointwise: bool) -> np.ndarray:
        """Objective of each variant, from what the parts of all groups' rows got: (variants,); inf without it."""
        losses = np.full(len(self.variants), np.inf)
        for index, variant in enumerate(self.variants):
            if variant is not None:
                mine = [found[self.order[row]] for row in variant.every]
                losses[index] = float(objective(variant.scores(mine, objective, pointwise))[0])
        return losses

    @property
    def usage(self) -> Usage:
        """Logical tokens of all variants, and those that go through the model."""
        tokens = sum(variant.tokens for variant in self.variants if variant is not None)
        computed = self.cached + sum(row.width for _, rows in self.groups for row in rows)
        return Usage(tokens=tokens + self.taken, computed=computed + self.taken)


def _near(
    stage: Recommender, context: Context, known: tuple[int, ...], rows: Sequence[Row], recompute: int | None
) -> tuple[Prefix, Sequence[Row], int]:
    """Rows beside the prefix of a known prompt close to theirs, and how many of its tokens were computed."""
    forks = [row.fork.at for row in rows if row.fork is not None]
    end = min([len(known) - (recompute or 0), *forks])
    frozen = _frozen(known, rows, end) if recompute else None
    needed = end
    if frozen is None:
        last = max(forks, default=len(known) - 1)
        needed = min(last, len(known) - 1, max(common_prefix(known, row.trunk) for row in rows))
    prefix, cached = known_prefix(stage, context, known[:needed])
    return prefix, frozen or [row.beside(prefix) for row in rows], cached


def _frozen(known: tuple[int, ...], rows: Sequence[Row], end: int) -> list[Row] | None:
    """Rows whose text behind the edit is the base's up to `end`; None where that cannot be."""
    if any(len(row.trunk) != len(known) for row in rows):
        return None
    back = known[::-1]
    stop = len(known) - min(common_prefix(back, row.trunk[::-1]) for row in rows)
    if stop >= end:
        return None
    made = []
    for row in rows:
        start = common_prefix(known, row.trunk)
        watched = None
        if row.watched is not None:
            start = min(start, row.watched[0] - 1)
            stop = max(stop, row.watched[1])
            if stop >= end:
                return None
            watched = (row.watched[0] - start, row.watched[1] - start)
        start = min(start, stop)
        trunk = (*row.trunk[start:stop], *row.trunk[end:])
        fork = row.fork and replace(row.fork, at=row.fork.at - end + stop - start)
        made.append(Row(trunk, row.branches, start, Frozen(stop - start, stop, end), watched, fork))
    return made


def kept_prefix(
    stage: Recommender, context: Context, trunks: Sequence[tuple[int, ...]]
) -> tuple[Prefix, int]:
    """A prefix for prompts of one context, kept for the trial; computed anew where they share much more than it."""
    length = shared_length(trunks)
    kept: Prefix = context.memo.get(_key(stage, context), Prefix())
    if length - min(common_prefix(kept.token_ids, trunks[0]), length) < WORTH:
        return kept, 0
    return known_prefix(stage, context, trunks[0][:length])


def known_prefix(stage: Recommender, context: Context, token_ids: tuple[int, ...]) -> tuple[Prefix, int]:
    """The prefix of exactly these tokens, from what is kept of the trial's last one; and how many were computed."""
    kept: Prefix = context.memo.get(_key(stage, context), Prefix())
    usable = common_prefix(kept.token_ids, token_ids)
    if usable == len(token_ids):
        return kept, 0
    prefix = stage.model.prefix(token_ids, kept)
    context.memo[_key(stage, context)] = prefix
    return prefix, len(token_ids) - usable


def _key(stage: Recommender, context: Context) -> tuple[object, ...]:
    return ("prefix", id(stage), context.situation, context.request.text)


def place_of(slate: Slate, target_id: str | None) -> int | None:
    """Where the target stands in a presented slate, from 0."""
    for index, listing in enumerate(slate):
        if listing.item_id == target_id:
            return index
    return None
