"""What is asked of a server, and the name under which the answer is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
"""Changes when answers are read in another way, so that old ones are not taken for new."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request.

    `path`: below the server's address. `body`: as sent; plain JSON values. `replicate`: tells repetitions of a
    question whose answer is drawn apart; it is not sent. `endings`: for a prompt each, the text at its end whose
    log-probability is wanted; () for an answer that is generated.
    """

    path: str
    body: Mapping[str, Any] = field(hash=False)
    replicate: int = 0
    endings: tuple[str, ...] = ()

    @property
    def content(self) -> bytes:
        """The body as bytes: ASCII, so that no text can be illegal."""
        return json.dumps(self.body, ensure_ascii=True, allow_nan=False).encode()

    @property
    def size(self) -> int:
        """Bytes of all texts that a model reads: more than there can be tokens in them."""
        messages = [str(message["content"]) for message in self.body.get("messages", ())]
        prompt = self.body.get("prompt", ())
        texts = [*messages, *([prompt] if isinstance(prompt, str) else prompt)]
        return sum(len(text.encode(errors="surrogatepass")) for text in texts)

    @property
    def longest_answer(self) -> int:
        """Most tokens that may be written."""
        body = self.body
        limit = body.get("max_completion_tokens", body.get("max_tokens", 0))
        return int(limit) * max(1, len(self.endings))

    def key(self, url: str) -> str:
        """64 hexadecimal digits of everything that an answer depends on: address, body, replicate, reading."""
        whole = [FORMAT, url, self.path, self.body, self.replicate, self.endings]
        text = json.dumps(whole, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=32).hexdigest()
