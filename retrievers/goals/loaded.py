"""Heads and encoder as options name them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from retrievers.goals.default import default_heads
from retrievers.goals.model import CurvedHeads
from retrievers.goals.stored import Stored
from testbed.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from retrievers.goals.offers import Offers
    from testbed.environment import Environment
    from testbed.language.encoder import Encoder


def loaded(
    model: Path | None, heads: bool, documents: Offers, env: Environment
) -> tuple[Encoder, CurvedHeads]:
    """The encoder and the heads on it. `model`: a folder, None for the default's. `heads`: False for plain cosine.

    UserError where heads belong to another encoder.
    """
    if not heads:
        encoder = env.encoder("minilm")
        return encoder, CurvedHeads(encoder.dimensions).eval().requires_grad_(False)
    stored = Stored.of(model or default_heads(documents, env))
    env.note(str(model or "goals (default)"), stored.folder)
    encoder = env.encoder(stored.encoder)
    if stored.fingerprint != encoder.fingerprint:
        raise UserError(
            f"{stored.folder}: was taught on another {stored.encoder!r} than this one; train it anew"
        )
    return encoder, stored.heads()
