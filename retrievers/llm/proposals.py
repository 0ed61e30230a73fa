"""How a text may go on where it stands in the prompt: the model's own next tokens, as texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from retrievers.borders import written
from retrievers.llm.edits import Edits
from retrievers.llm.questions import known_prefix
from retrievers.llm.surface import ListingSurface
from testbed.language import common_prefix
from testbed.language.sharing import shared_length
from testbed.protocols import Context, Continuation, Probe, Sampling
from testbed.types import Slate, Target, Usage

if TYPE_CHECKING:
    from retrievers.llm.stage import Recommender

TRIES = 64
"""Tokens looked at, at most, for every text that is asked for."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A prompt up to where its edit ends, and the edit's own tokens, the last of `head`."""

    head: tuple[int, ...]
    edit: tuple[int, ...]


class Proposals:
    """Continuations of edits under a recommender's own model, in its own presentation order and tokenisation."""

    def __init__(self, stage: Recommender) -> None:
        self.stage, self.model = stage, stage.model

    def continuations(
        self, probe: Probe, target: Target, count: int, seed: int, sampling: Sampling
    ) -> tuple[list[list[Continuation]], Usage]:
        """Up to `count` texts per slate, each one token longer in place; see `testbed.protocols.Proposing`."""
        surface = Edits(self.stage, probe.context, target).surface
        drafts = self._drafts(probe, target, surface)
        known = [draft for draft in drafts if draft is not None]
        if not known or count < 1:
            return [[] for _ in drafts], Usage()
        length = shared_length([draft.head for draft in known])
        prefix, cached = known_prefix(self.stage, probe.context, known[0].head[:length])
        prefix = prefix.truncated(length)
        rows = [draft.head[len(prefix) :] for draft in known]
        logs = iter(self.model.next_log_probs(prefix, rows))
        rng = np.random.default_rng(seed)
        found = [
            [] if draft is None else drawn(draft.edit, next(logs), surface, count, rng, sampling)
            for draft in drafts
        ]
        tokens = sum(len(draft.head) + 1 for draft in known)
        return found, Usage(tokens=tokens, computed=cached + sum(map(len, rows)))

    def _drafts(self, probe: Probe, target: Target, surface: ListingSurface) -> list[Draft | None]:
        """Where each slate's edit ends; None when it is not there as itself.

        What follows the edit is told apart by a prompt that holds neutral texts in its stead.
        """
        shown = [self.stage.present(probe.context, slate) for slate in probe.slates]
        places = [(slate.rank_of(target.item_id) or 0) - 1 for slate in shown]
        seen = [index for index, place in enumerate(places) if place >= 0]
        drafts: list[Draft | None] = [None] * len(shown)
        if not seen or not surface.probes:
            return drafts
        clean = self.stage.catalog.fields(target.item_id)
        around = Edits(self.stage, probe.context, target)
        edited = self._trunks(
            probe.context, [shown[index] for index in seen], [places[index] for index in seen]
        )
        (opening,) = surface.encode(surface.probes[:1])
        old = clean.get(target.field, "")
        texts = [shown[index].listings[places[index]].fields.get(target.field, "") for index in seen]
        edits = ["" if text == old else written(old, text, target.place) for text in texts]
        encoded = surface.encode(edits)
        for index, trunk, text, ids in zip(seen, edited, edits, encoded, strict=True):
            plain = around.neutral(shown[index], places[index])
            behind = min(common_prefix(plain[0][::-1], other[::-1]) for other in plain[1:] or plain)
            if not text and opening is not None:
                ids, trunk = opening, plain[0]
            head = trunk[: len(trunk) - behind]
            if ids is not None and head[len(head) - len(ids) :] == ids:
                drafts[index] = Draft(head, ids) if text else Draft(head[: len(head) - len(ids)], ())
        return drafts

    def _trunks(
        self, context: Context, slates: Sequence[Slate], places: Sequence[int]
    ) -> list[tuple[int, ...]]:
        prompts = self.stage.prompts([context] * len(slates), slates)
        if self.stage.options.reading == "pointwise":
            return [prompt.parts[place] for prompt, place in zip(prompts, places, strict=True)]
        return [prompt.token_ids for prompt in prompts]


def drawn(
    edit: tuple[int, ...],
    log_probs: Tensor,
    surface: ListingSurface,
    count: int,
    rng: np.random.Generator,
    sampling: Sampling,
) -> list[Continuation]:
    """Up to `count` texts that are tokenised in place as `edit` and a token drawn without replacement.

    `log_probs`: (V,). Drawn by perturbing with Gumbel noise and taking the largest, which is sampling without
    replacement (Kool et al. 2019, arXiv 1903.06059); the noise is drawn over the whole vocabulary, so that
    the generator moves on alike whatever is cut off.
    """
    logs = log_probs.double().numpy()
    keys = logs / sampling.temperature if sampling.temperature > 0 else logs.copy()
    noise = rng.gumbel(size=len(keys))
    if sampling.temperature > 0:
        keys += noise
    order = np.argsort(-logs, kind="stable")
    if sampling.top_k is not None:
        keys[order[sampling.top_k :]] = -np.inf
    if sampling.top_p < 1:
        likelier = np.exp(logs[order]).cumsum() - np.exp(logs[order])
        keys[order[likelier >= sampling.top_p]] = -np.inf
    tokens = np.argsort(-keys, kind="stable")[: count * TRIES]
    found: dict[str, Continuation] = {}
    for start in range(0, len(tokens), 4 * count):
        drawn_now = [token for token in tokens[start : start + 4 * count] if np.isfinite(keys[token])]
        sequences = [(*edit, int(token)) for token in drawn_now]
        texts = surface.decode(sequences)
        asked = [
            (ids, text) for ids, text in zip(sequences, texts, strict=True) if text and sampling.accept(text)
        ]
        kept = surface.encode([text for _, text in asked])
        for (ids, text), again in zip(asked, kept, strict=True):
            if again == ids:
                found.setdefault(text, Continuation(text, len(ids), float(logs[ids[-1]])))
        if len(found) >= count:
            break
    return list(found.values())[:count]
