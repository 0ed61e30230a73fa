"""How a model is asked for n-grams: its tokens, its prompts, where its titles end."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from testbed.language.special import disarmed, specials_of
from testbed.language.tree import TokenTree, TreeModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from retrievers.seal.plugin import SEAL
    from testbed.environment import Environment
    from testbed.language import LanguageModel

KEPT = 64
"""Trees that are kept: what a model said about a request serves every corpus that it is asked about again."""


class Reader(Protocol):
    """Text to tokens and back."""

    @property
    def fingerprint(self) -> str: ...

    @property
    def specials(self) -> tuple[str, ...]: ...

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]: ...

    def decode(self, token_ids: Sequence[int]) -> str: ...


@dataclass(frozen=True)
class Asker:
    """A model and its prompts: that for n-grams, and that for titles.

    `ends`: tokens of which the model writes one behind a title.
    """

    model: TreeModel
    reader: Reader
    ends: tuple[int, ...]
    prompts: tuple[str, str]
    sources: bool = False
    """Whether prompts are read by an encoder."""
    _trees: OrderedDict[tuple[str, bool], TokenTree] = field(default_factory=OrderedDict, repr=False)

    def trees(self, asked: Sequence[tuple[str, bool]]) -> list[TokenTree]:
        """A tree for every (query, whether titles are wanted); those asked for lately are kept."""
        missing = [key for key in dict.fromkeys(asked) if key not in self._trees]
        if missing:
            self._trees.update(zip(missing, self.model.start(self._prompts(missing)), strict=True))
        found = [self._trees[key] for key in asked]
        for key in asked:
            self._trees.move_to_end(key)
        while len(self._trees) > KEPT:
            self._trees.popitem(last=False)
        return found

    def _prompts(self, asked: Sequence[tuple[str, bool]]) -> list[list[int]]:
        texts = [
            self.prompts[titles].replace("{query}", disarmed(query, self.reader.specials))
            for query, titles in asked
        ]
        if self.sources:
            return [self.reader.source(text) for text in texts]  # type: ignore[attr-defined]
        return self.reader.encode_many(texts)


def asker(options: SEAL, env: Environment) -> tuple[Asker | None, Reader]:
    """The model to ask, if there is one, and what reads texts."""
    prompts = (options.prompt, options.title_prompt)
    if options.model is None:
        return None, _TokenizerAlone.of(env)
    if options.architecture == "encoder_decoder":
        from testbed.language.seq2seq_tree import SourceTrees

        source = env.encoder_decoder(options.model)
        sources = SourceTrees(source)
        return Asker(sources, source, tuple(sorted(sources.ends)), prompts, sources=True), source
    model = env.language_model(options.model)
    return causal(model, options), model


def causal(model: LanguageModel, options: SEAL) -> Asker:
    """How a causal model is asked; a title ends with its text or its line."""
    from testbed.language.causal_tree import CausalTrees

    trees = CausalTrees(model)
    (newline,) = model.encode_many(["\n"])
    ends = trees.ends | (set(newline) if len(newline) == 1 else set())
    return Asker(trees, model, tuple(sorted(ends)), (options.prompt, options.title_prompt))


@dataclass(frozen=True)
class _TokenizerAlone:
    """Tokens of the default model, without the model."""

    tokenizer: PreTrainedTokenizerBase
    fingerprint: str
    specials: tuple[str, ...]

    @classmethod
    def of(cls, env: Environment) -> _TokenizerAlone:
        from testbed.language.tokenizer import load_tokenizer

        tokenizer = load_tokenizer("smollm2-135m", env.cache)
        return cls(tokenizer, "smollm2-135m", specials_of(tokenizer))

    def encode_many(self, texts: Sequence[str]) -> list[list[int]]:
        if not texts:
            return []
        found: list[list[int]] = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return found

    def decode(self, token_ids: Sequence[int]) -> str:
        text: str = self.tokenizer.decode(list(token_ids))
        return text
