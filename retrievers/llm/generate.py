"""Free-text reading: the model writes its answer and names are found in it."""

from __future__ import annotations

from collections.abc import Sequence

from retrievers.llm.matching import match
from retrievers.llm.readings import Prompt, Reply
from testbed.language import LanguageModel
from testbed.types import Usage


class GenerateReading:
    """Generates up to `max_new_tokens` per prompt; refusals and failures to name anything are recorded as such."""

    def __init__(self, temperature: float, max_new_tokens: int) -> None:
        self.temperature, self.max_new_tokens = temperature, max_new_tokens

    def __call__(self, model: LanguageModel, prompts: Sequence[Prompt]) -> list[Reply]:
        replies = []
        for prompt in prompts:
            written = model.generate(
                prompt.token_ids,
                max_new_tokens=self.max_new_tokens,
                temperature=self.temperature,
                seed=prompt.seed,
            )
            text = model.decode(written)
            found = match(text, prompt.names)
            tokens = len(prompt.token_ids) + len(written)
            usage = Usage(tokens=tokens, computed=tokens)
            replies.append(Reply(found.ranking, None, found.status, usage, found.note, text))
        return replies
