"""Summaries of listings: an attack's text is seldom what a listing is about (paraphrase: Jain et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from defences.rewriters.rewriter import Rewriter

if TYPE_CHECKING:
    from defences.rewriters.rewriter import Rewrite
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.language import LanguageModel
    from testbed.language.encoder import Encoder

SENTENCES = re.compile(r"(?<=[.!?…。！？])\s+|\n+")
ASKED = "Rewrite the following product text in your own words, in one or two short sentences:\n\n{text}"


class Summarise(Rewriter):
    """Show what a listing is mostly about, or a language model's paraphrase (Jain et al. 2023, arXiv 2309.00614).

    `extract` keeps the sentences nearest to the listing's centroid (Radev et al. 2004) in their order; a stretch
    without a full stop is cut into pieces of `words` words. A field that has no more than are kept stays whole.
    """

    how: Literal["extract", "paraphrase"] = "extract"
    """By sentence vectors, or written by a language model, which takes seconds a field."""
    sentences: int = Field(default=1, ge=1)
    """Sentences that are kept of a field."""
    words: int = Field(default=12, ge=1)
    """Longest stretch that counts as a sentence."""
    encoder: str = "minilm"
    """Sentence encoder of `extract`."""
    model: str = "smollm2-135m"
    """Language model of `paraphrase`."""

    def rewrite(self, catalog: Catalog, env: Environment) -> Rewrite:
        """One field at a time; the listing's other fields are context."""
        if self.how == "paraphrase":
            model = env.language_model(self.model)
            return lambda fields: {
                name: paraphrased(model, text, self.words) for name, text in fields.items()
            }
        encoder = env.encoder(self.encoder)
        return lambda fields: extracted(fields, encoder, self.sentences, self.words)


def extracted(fields: Mapping[str, str], encoder: Encoder, count: int, words: int) -> dict[str, str]:
    """Of every field the `count` pieces nearest to the mean of all pieces of the listing, in their order."""
    import numpy as np

    pieces = {name: split(text, words) for name, text in fields.items()}
    every = [piece for parts in pieces.values() for piece in parts]
    if all(len(parts) <= count for parts in pieces.values()):
        return dict(fields)
    vectors = dict(zip(every, encoder.encode(every), strict=True))
    centre = np.mean([vectors[piece] for piece in every], axis=0)
    found = {}
    for name, parts in pieces.items():
        near = sorted(range(len(parts)), key=lambda place: (-float(vectors[parts[place]] @ centre), place))
        found[name] = (
            " ".join(parts[place] for place in sorted(near[:count])) if len(parts) > count else fields[name]
        )
    return found


def split(text: str, words: int) -> list[str]:
    """Sentences of a text, long ones cut into pieces of so many words."""
    found = []
    for sentence in SENTENCES.split(text):
        parts: Sequence[str] = sentence.split()
        found += [" ".join(parts[start : start + words]) for start in range(0, len(parts), words)]
    return found


def paraphrased(model: LanguageModel, text: str, words: int) -> str:
    """What a language model makes of a text; texts of no more than `words` words stay as they are."""
    from testbed.language.chat import as_text
    from testbed.language.special import disarmed

    if len(text.split()) <= words:
        return text
    asked = ASKED.replace("{text}", disarmed(text, model.specials))
    prompt = model.encode(as_text(model.tokenizer, [{"role": "user", "content": asked}], ""))
    length = min(120, 2 * len(model.encode(text)))
    written = model.decode(model.generate(prompt, max_new_tokens=length))
    for special in model.specials:
        written = written.replace(special, "")
    return " ".join(written.split()) or text
