"""A stage behind a defence: what it is shown is changed, what it can be asked stays the same.

Attacks by scores see the defence, because they score what comes out at its end. Gradients are taken through a change
where it has some, and else straight past it: those of the wrapped stage on the unchanged slate, with the loss of the
changed one (backward pass differentiable approximation, Athalye et al. 2018, arXiv 1802.00420).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from defences.change import Call, Change
from testbed.protocols import (
    Batched,
    Context,
    Continuation,
    Differentiable,
    Editable,
    Objective,
    Priced,
    Probe,
    Proposing,
    Sampling,
    Scorable,
    Screening,
    Seeking,
    Sought,
    Stage,
    Surface,
    TokenGradient,
    Tokenized,
)
from testbed.types import Intervention, Slate, Target, Usage
from testbed.victim.single import together


class Through:
    """A stage that is asked through a change. Made by `through`, with the abilities of the stage itself."""

    def __init__(self, stage: Any, change: Change) -> None:
        self.stage, self.change = stage, change
        self.model = getattr(stage, "model", None)
        self.notes = tuple(getattr(stage, "notes", ()))

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        return self.change.joined(
            context, slate, [self.stage(*copy) for copy in self.change.copies(context, slate)]
        )

    def probes(self, probe: Probe) -> list[Probe]:
        """A probe a copy, each with all variants."""
        columns = zip(*(self.change.copies(probe.context, slate) for slate in probe.slates), strict=True)
        return [Probe(column[0][0], [slate for _, slate in column]) for column in columns]


class _Many(Through):
    def many(self, calls: Sequence[tuple[Context, tuple[Slate, ...]]]) -> list[Slate]:
        """Rankings for many calls, all copies together."""
        copies = [self.change.copies(context, inputs[0]) for context, inputs in calls]
        answers = iter(self.stage.many([(context, (slate,)) for group in copies for context, slate in group]))
        return [
            self.change.joined(context, inputs[0], [next(answers) for _ in group])
            for (context, inputs), group in zip(calls, copies, strict=True)
        ]


class _Edits(Through):
    def with_edits(self, intervention: Intervention) -> Stage:
        """Stage and change as if made for the edited catalog."""
        edited = self.stage.with_edits(intervention) if isinstance(self.stage, Editable) else self.stage
        return through(edited, self.change.with_edits(intervention))


class _Prices(Through):
    def price(self, context: Context, slate: Slate) -> int:
        """Tokens of the change and all copies, and of the slate itself where a gradient is taken of that."""
        calls = self.change.copies(context, slate)
        if self.change.straight and isinstance(self.stage, Differentiable | Proposing):
            calls = [*calls, (context, slate)]
        return self.change.price(context, slate) + sum(int(self.stage.price(*call)) for call in calls)


class _Tokens(Through):
    @property
    def pieces(self) -> Sequence[str] | None:
        """Text of every token of the vocabulary, where the stage tells it."""
        return getattr(self.stage, "pieces", None)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text on its own."""
        found: list[int] = self.stage.encode(text)
        return found

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens."""
        text: str = self.stage.decode(token_ids)
        return text


class _Scores(Through):
    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective of each variant, the mean over the copies: (len(probe.slates),)."""
        (found,), usage = self.losses_of([probe], objective)
        return found, usage

    def losses_of(self, probes: Sequence[Probe], objective: Objective) -> tuple[list[np.ndarray], Usage]:
        """`losses` of several probes, all copies together."""
        groups = [self.probes(probe) for probe in probes]
        found, usage = together(self.stage, [copy for group in groups for copy in group], objective)
        return self._means(probes, groups, found), usage

    def _means(
        self, probes: Sequence[Probe], groups: Sequence[Sequence[Probe]], found: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        parts = iter(found)
        return [
            self.change.settled(
                probe, np.mean([next(parts) for _ in group], axis=0) if group else np.zeros(0)
            )
            for probe, group in zip(probes, groups, strict=True)
        ]


class _Screens(_Scores):
    def screen(
        self, probes: Sequence[Probe], bases: Sequence[Slate], objective: Objective, recompute: int | None
    ) -> tuple[list[np.ndarray], Usage]:
        """Objective of variants close to a base, each copy by the base's copy."""
        groups = [self.probes(probe) for probe in probes]
        starts = [self.change.copies(probe.context, base) for probe, base in zip(probes, bases, strict=True)]
        starts = [start if group else [] for group, start in zip(groups, starts, strict=True)]
        copies = [copy for group in groups for copy in group]
        found, usage = self.stage.screen(
            copies, [slate for start in starts for _, slate in start], objective, recompute
        )
        return self._means(probes, groups, found), usage


class _Gradients(_Scores):
    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient with respect to the tokens of the edit, and the loss of the changed question."""
        calls = [(context, slate)] if self.change.straight else self.change.copies(context, slate)
        found, usage = [], Usage()
        for call in calls:
            one, took = self.stage.gradient(*call, target, objective)
            found.append(one)
            usage += took
        mean = sum((one.gradient for one in found[1:]), found[0].gradient) / len(found)
        loss = float(np.mean([one.loss for one in found]))
        if self.change.straight:
            (known,), took = self.losses(Probe(context, [slate]), objective)
            loss, usage = float(known), usage + took
        return TokenGradient(found[0].token_ids, mean, loss), replace(usage, gradient_calls=1)

    def surface(self, target: Target) -> Surface:
        """How text in the target's field is tokenised."""
        surface: Surface = self.stage.surface(target)
        return surface


class _Proposes(Through):
    def continuations(
        self, probe: Probe, target: Target, count: int, seed: int, sampling: Sampling
    ) -> tuple[list[list[Continuation]], Usage]:
        """What the stage's model would write next, without the change."""
        found: tuple[list[list[Continuation]], Usage] = self.stage.continuations(
            probe, target, count, seed, sampling
        )
        return found


class _Seeks(Through):
    def sought(self, calls: Sequence[Call], target: Target) -> tuple[list[Sought], Usage]:
        """What the stage looks for, without the change."""
        found: tuple[list[Sought], Usage] = self.stage.sought(calls, target)
        return found


ABILITIES: tuple[tuple[type, type[Through]], ...] = (
    (Batched, _Many),
    (Editable, _Edits),
    (Priced, _Prices),
    (Tokenized, _Tokens),
    (Differentiable, _Gradients),
    (Screening, _Screens),
    (Scorable, _Scores),
    (Proposing, _Proposes),
    (Seeking, _Seeks),
)
"""Ability of a stage → what hands it on; the more specific before what they build on."""


def through(stage: Stage, change: Change) -> Through:
    """A stage behind a change; it can be asked whatever the stage can be asked."""
    parts = [part for ability, part in ABILITIES if isinstance(stage, ability)]
    if change.reindexed and _Edits not in parts:
        parts.append(_Edits)
    made: Through = type("Through", (*parts, Through), {})(stage, change)
    return made
