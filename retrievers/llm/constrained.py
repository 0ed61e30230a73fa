"""Constrained reading: the model writes the whole list, restricted to a trie of the names not yet listed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retrievers.llm.readings import Prompt, Reply
from testbed.language import LanguageModel, Row
from testbed.types import Usage


class ConstrainedReading:
    """Decodes without replacement: greedy at temperature 0, else sampled from the trie's renormalised tokens.

    One pass per line gives the conditionals at every node of the trie.
    """

    def __init__(self, temperature: float) -> None:
        self.temperature = temperature

    def __call__(self, model: LanguageModel, prompts: Sequence[Prompt]) -> list[Reply]:
        return [self._decode(model, prompt) for prompt in prompts]

    def _decode(self, model: LanguageModel, prompt: Prompt) -> Reply:
        rng = np.random.default_rng(prompt.seed)
        names = prompt.answers
        text = list(prompt.token_ids)
        prefix = model.prefix(text[:-1])
        left = list(range(len(names)))
        ranking: list[int] = []
        scores: list[float] = []
        computed = len(text) - 1
        while left:
            row = Row(tuple(text[len(prefix) :]), tuple(names[index] for index in left))
            (found,) = model.log_probs(prefix, [row])
            computed += row.width
            steps = {index: part.tolist() for index, part in zip(left, found, strict=True)}
            chosen = self._walk({index: names[index] for index in left}, steps, rng)
            scores.append(sum(steps[chosen]))
            ranking.append(chosen)
            left.remove(chosen)
            number = model.encode(f"{len(ranking) + 1}.")
            text += [*names[chosen], *number]
            prefix = model.prefix(text[:-1], prefix)
        return Reply(tuple(ranking), tuple(scores), usage=Usage(tokens=len(text), computed=computed))

    def _walk(
        self, names: dict[int, tuple[int, ...]], steps: dict[int, list[float]], rng: np.random.Generator
    ) -> int:
        """Token by token through the trie; ties go to the name shown first."""
        depth = 0
        while len(names) > 1:
            options: dict[int, float] = {}
            for index, tokens in names.items():
                options.setdefault(tokens[depth], steps[index][depth])
            picked = self._pick(options, rng)
            names = {index: tokens for index, tokens in names.items() if tokens[depth] == picked}
            depth += 1
            if any(len(tokens) == depth for tokens in names.values()):
                return next(index for index, tokens in names.items() if len(tokens) == depth)
        return next(iter(names))

    def _pick(self, options: dict[int, float], rng: np.random.Generator) -> int:
        tokens, logits = list(options), np.array(list(options.values()))
        if self.temperature == 0:
            return tokens[int(logits.argmax())]
        weights = np.exp((logits - logits.max()) / self.temperature)
        return tokens[int(rng.choice(len(tokens), p=weights / weights.sum()))]
