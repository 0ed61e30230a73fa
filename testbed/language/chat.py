"""Conversations as text, in the model's own chat template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def as_text(tokenizer: PreTrainedTokenizerBase, messages: Sequence[dict[str, str]], opening: str = "") -> str:
    """The prompt up to and including the start of the assistant's answer.

    Models without a chat template get a plain transcript; templates that refuse a system
    message get it in front of the user's first message.
    """
    if not getattr(tokenizer, "chat_template", None):
        lines = [message["content"] for message in messages]
        return "\n\n".join([*lines, opening])
    try:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
    except Exception as fault:
        if messages[0]["role"] != "system" or "system" not in str(fault).lower():
            raise
        merged = {"role": "user", "content": messages[0]["content"] + "\n\n" + messages[1]["content"]}
        text = tokenizer.apply_chat_template(
            [merged, *messages[2:]], tokenize=False, add_generation_prompt=True
        )
    return str(text) + opening
