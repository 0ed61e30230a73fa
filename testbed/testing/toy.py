"""A recommender that answers in microseconds and can be differentiated: a stand-in for a language model.

A listing is the mean of fixed random vectors of its tokens, squashed; its score is the inner product with
the request's. Scores are turned into log-probabilities over the slate, earlier places have a small
advantage, and everything is computed in float64, so gradients can be compared with finite differences.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from testbed.catalog import Catalog
from testbed.protocols import (
    Context,
    Continuation,
    Objective,
    ObjectivePlugin,
    Piece,
    Probe,
    Sampling,
    Scores,
    Sought,
    StagePlugin,
    TokenGradient,
)
from testbed.testing import toy_language
from testbed.testing.toy_tokens import PIECES, VISIBLE, decode, encode, spans
from testbed.types import Place, Slate, Target, Usage

if TYPE_CHECKING:
    from torch import Tensor

    from testbed.environment import Environment

ADVANTAGE = 0.05
"""Log-probability that a listing gains by standing one place earlier."""


class ToyRanker(StagePlugin):
    """Rank by a tiny differentiable model; needs no download and no time."""

    k: int | None = None
    """How many listings are kept; all when left out."""
    noise: float = 0.0
    """Scale of random noise on the scores; 0 for none."""

    @property
    def deterministic(self) -> bool:
        """Whether repeating a call gives the same ranking."""
        return self.noise == 0

    def build(self, catalog: Catalog, env: Environment) -> ToyStage:
        """The stage; nothing is loaded."""
        return ToyStage(self, catalog)


class ToyObjective(ObjectivePlugin):
    """Minus the target's log-probability, in nats per token."""

    def __call__(self, scores: Scores) -> Tensor:
        return -scores.total[:, scores.target] / scores.length[scores.target]


@dataclass(frozen=True)
class ToyStage:
    """What `ToyRanker` builds: a stage that is priced, tokenised, scorable and differentiable."""

    options: ToyRanker
    catalog: Catalog

    @property
    def pieces(self) -> Sequence[str]:
        """Text of every token."""
        return PIECES

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        (slate,) = inputs
        shown = context.arrange(slate)
        ids = tuple(listing.item_id for listing in shown)
        if not ids:
            return Slate((), shown=ids, note="nothing to rank")
        scores = self._totals(context, shown).numpy()
        keys = scores
        if self.options.noise:
            keys = scores + self.options.noise * np.random.default_rng(context.seed).gumbel(size=len(ids))
        best = sorted(range(len(ids)), key=lambda place: -keys[place])[: self.options.k]
        listings = tuple(replace(shown.listings[place], score=float(scores[place])) for place in best)
        return Slate(listings, usage=self._usage(context, slate), shown=ids)

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """Text of tokens."""
        return decode(token_ids)

    def price(self, context: Context, slate: Slate) -> int:
        """Tokens of the request and all listings."""
        return len(encode(context.request.text)) + sum(len(_tokens(listing.fields)) for listing in slate)

    def losses(self, probe: Probe, objective: Objective) -> tuple[np.ndarray, Usage]:
        """Objective of each variant: (len(probe.slates),), inf where the target is missing."""
        found = np.full(len(probe.slates), np.inf)
        usage = Usage()
        for index, slate in enumerate(probe.slates):
            shown = probe.context.arrange(slate)
            place = (shown.rank_of(probe.context.target_id or "") or 0) - 1
            if place >= 0:
                usage += self._usage(probe.context, slate)
                found[index] = float(objective(self._scores(probe.context, shown, place, objective))[0])
        return found, usage

    def gradient(
        self, context: Context, slate: Slate, target: Target, objective: Objective
    ) -> tuple[TokenGradient, Usage]:
        """Gradient with respect to the one-hot tokens of the target's edit, (L, V). ValueError without an edit."""
        import torch

        shown = context.arrange(slate)
        place = (shown.rank_of(target.item_id) or 0) - 1
        if place < 0:
            raise ValueError("the target is not in the slate")
        clean = self.catalog.fields(target.item_id)
        fields = shown.listings[place].fields
        span = _edited_span(fields, clean, target)
        if not len(range(*span.indices(len(_tokens(fields))))):
            raise ValueError("the target carries no edit")
        one_hot = torch.eye(len(PIECES), dtype=torch.float64)[_tokens(fields)].requires_grad_(True)
        loss = objective(self._scores(context, shown, place, objective, one_hot))[0]
        (slope,) = torch.autograd.grad(loss, one_hot)
        ids = tuple(_tokens(fields)[span])
        usage = replace(self._usage(context, slate), gradient_calls=1)
        return TokenGradient(ids, slope[span].float(), float(loss.detach())), usage

    def surface(self, target: Target) -> ToySurface:
        """How text in the target's field is tokenised."""
        return ToySurface(self.catalog.fields(target.item_id), target)

    def sought(self, calls: Sequence[tuple[Context, Slate]], target: Target) -> tuple[list[Sought], Usage]:
        """The characters that point where the request points, as far as they do."""
        found, usage = [], Usage()
        for context, slate in calls:
            gains = toy_language.vectors()[[encode(f" {char}")[0] for char in VISIBLE]] @ _wish(context)
            pieces = [
                Piece(char, gain) for char, gain in zip(VISIBLE, gains.tolist(), strict=True) if gain > 0
            ]
            found.append(Sought(tuple(sorted(pieces, key=lambda piece: -piece.weight))))
            usage += self._usage(context, slate)
        return found, usage

    def continuations(
        self, probe: Probe, target: Target, count: int, seed: int, sampling: Sampling
    ) -> tuple[list[list[Continuation]], Usage]:
        """Texts that grow each slate's edit by one character, see `toy_language`."""
        clean, surface = self.catalog.fields(target.item_id), self.surface(target)
        rng = np.random.default_rng(seed)
        found: list[list[Continuation]] = []
        usage = Usage()
        for slate in probe.slates:
            rank = slate.rank_of(target.item_id)
            found.append([])
            if rank is None:
                continue
            fields = slate.listings[rank - 1].fields
            edited = fields != clean
            if not edited:
                ((edit,)) = target.edit("x")
                fields = edit.apply(fields)
            span = _edited_span(fields, clean, target)
            tokens = _tokens(fields)
            edit_ids = tuple(tokens[span]) if edited else ()
            if surface.encode(surface.decode([edit_ids])) == [edit_ids] or not edit_ids:
                usage += self._usage(probe.context, slate)
                found[-1] = toy_language.continued(
                    tokens[: span.start], edit_ids, surface, count, rng, sampling
                )
        return found, usage

    def _scores(
        self, context: Context, shown: Slate, place: int, objective: Objective, free: Tensor | None = None
    ) -> Scores:
        """Scores of a slate. `free`: the one-hot tokens (T, V) that the target's listing has instead of its own.

        The k-th entry of an answer is drawn from the listings that the k − 1 best rivals of the unedited slate
        leave over.
        """
        import torch

        totals = self._totals(context, shown, None if free is None else (place, free))
        total = totals[None] if objective.rivals else totals[None, place : place + 1]
        listing = shown.listings[place]
        clean = self.catalog.fields(listing.item_id)
        likelihood = entries = None
        if objective.fluent:
            tokens = torch.eye(len(PIECES), dtype=torch.float64)[_tokens(listing.fields)]
            target = _written(listing.item_id, clean, listing.fields)
            span = _edited_span(listing.fields, clean, target) if target else slice(0, 0)
            likelihood = toy_language.fluency(tokens if free is None else free, span)
        if objective.listed:
            listings = [*shown.listings]
            listings[place] = replace(listing, fields=clean)
            unedited = self._totals(context, replace(shown, listings=tuple(listings)))
            order = [index for index in unedited.argsort(descending=True).tolist() if index != place]
            left = [[place, *order[taken:]] for taken in range(min(objective.listed, len(totals)))]
            entries = torch.stack([totals[place] - totals[rest].logsumexp(0) for rest in left])[None]
        return Scores(
            total, torch.ones(total.shape[1]), place if objective.rivals else 0, likelihood, entries
        )

    def _totals(self, context: Context, shown: Slate, free: tuple[int, Tensor] | None = None) -> Tensor:
        """Log-probability of each listing in presentation order, (n,) float64.

        `free`: the place of one listing and the one-hot tokens (T, V) that it has instead of its own.
        """
        import torch

        table = torch.from_numpy(toy_language.vectors())
        wish = torch.from_numpy(_wish(context))
        rows = []
        for place, listing in enumerate(shown):
            tokens = _tokens(listing.fields) or [0]
            vectors = free[1] @ table if free is not None and free[0] == place else table[tokens]
            rows.append(8 * torch.tanh(3 * vectors.mean(0)) @ wish - ADVANTAGE * place)
        return torch.stack(rows).log_softmax(0)

    def _usage(self, context: Context, slate: Slate) -> Usage:
        tokens = self.price(context, slate)
        return Usage(tokens=tokens, computed=tokens)


@dataclass(frozen=True, slots=True)
class ToySurface:
    """The target's field with a hole where the attacker writes."""

    fields: Mapping[str, str]
    target: Target

    @property
    def pieces(self) -> Sequence[str]:
        """Text of every token."""
        return PIECES

    @property
    def answer(self) -> str:
        """The target's name: nothing is answered in words."""
        return next(iter(self.fields.values()), "")

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Tokens in place; None for text that is empty, unprintable, not ASCII, or begins or ends with a blank."""
        return [self._encode(text) for text in texts]

    def decode(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """The text of each token sequence, without the blank that joins it to the field."""
        return [decode(ids).removeprefix(" ") for ids in token_ids]

    def _encode(self, text: str) -> tuple[int, ...] | None:
        if not text or text != text.strip() or not (text.isascii() and text.isprintable()):
            return None
        ((edit,)) = self.target.edit(text)
        fields = edit.apply(self.fields)
        return tuple(_tokens(fields)[_edited_span(fields, self.fields, self.target)])


def _wish(context: Context) -> np.ndarray:
    """Where a request points, (WIDTH,)."""
    table = toy_language.vectors()
    return np.asarray(np.tanh(3 * table[encode(context.request.text) or [0]].mean(0)))


def _tokens(fields: Mapping[str, str]) -> list[int]:
    return [token for text in fields.values() for token in encode(text)]


def _edited_span(fields: Mapping[str, str], clean: Mapping[str, str], target: Target) -> slice:
    """Where the edit's tokens stand among the tokens of all fields."""
    start = 0
    for name, text in fields.items():
        if name == target.field:
            inside = spans(clean.get(name, ""), text, target.place)
            return slice(start + inside.start, start + inside.stop)
        start += len(encode(text))
    return slice(0, 0)


def _written(item_id: str, clean: Mapping[str, str], fields: Mapping[str, str]) -> Target | None:
    """Where somebody has written into a listing; None when nobody has."""
    for name, text in fields.items():
        old = clean.get(name, "")
        if text != old:
            before, behind = old and text.endswith(f" {old}"), old and text.startswith(f"{old} ")
            place: Place = "append" if behind else "prepend" if before else "replace"
            return Target(item_id, name, place)
    return None
