"""Language models with random weights and a real tokenizer, made in memory in a fraction of a second."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from testbed.testing.texts import WORDS

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from testbed.language import LanguageModel
    from testbed.language.encoder import Encoder

FAMILIES = ("llama", "qwen2", "gemma3", "gpt2")
SPECIALS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "max_position_embeddings": 4096}


@cache
def tiny_language_model(family: str = "llama", *, seed: int = 0, window: int = 4096) -> LanguageModel:
    """A causal language model of two layers, float32 on the CPU; loaded once per process.

    `family`: one of FAMILIES. `window`: sliding window of gemma3, in tokens. ValueError for another family.
    """
    from testbed.language.model import LanguageModel

    return LanguageModel(
        model=tiny_network(family, seed=seed, window=window),
        tokenizer=tiny_tokenizer(),
        name=f"tiny-{family}",
        fingerprint=f"{family}-{seed}-{window}",
    )


def tiny_network(family: str, *, seed: int = 0, window: int = 4096) -> PreTrainedModel:
    """The bare network, with weights large enough that its answers differ from each other."""
    import torch

    config = _configuration(family, window)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        from transformers import AutoModelForCausalLM

        network: PreTrainedModel = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    return network.float().eval()


def _configuration(family: str, window: int) -> Any:
    import transformers

    size: dict[str, Any] = {"vocab_size": len(tiny_tokenizer()), "initializer_range": 0.3, **SHAPE}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        size[name] = 0
    grouped = {"intermediate_size": 64, "num_key_value_heads": 2}
    match family:
        case "llama":
            return transformers.LlamaConfig(**size, **grouped)
        case "qwen2":
            return transformers.Qwen2Config(**size, **grouped)
        case "gemma3":
            layers = ["sliding_attention", "full_attention"]
            return transformers.Gemma3TextConfig(
                **size, **grouped, head_dim=8, sliding_window=window, layer_types=layers
            )
        case "gpt2":
            return transformers.GPT2Config(
                vocab_size=size["vocab_size"], n_embd=32, n_layer=2, n_head=4, n_positions=4096,
                initializer_range=0.3, bos_token_id=0, eos_token_id=0,
            )  # fmt: skip
    raise ValueError(f"unknown family {family!r}; there are {', '.join(FAMILIES)}")


@cache
def tiny_tokenizer() -> PreTrainedTokenizerBase:
    """A byte-level tokenizer: everyday words are one token, and nothing is unknown. With a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    corpus = [f"{word} {word.title()} {other}" for word in WORDS for other in WORDS]
    corpus += ["Name: Description: Price: Products: assistant user system"] * 9
    tokenizer.train_from_iterator(corpus, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=SPECIALS[0],
        eos_token=SPECIALS[2],
        pad_token=SPECIALS[0],
        additional_special_tokens=[SPECIALS[1]],
        chat_template=CHAT,
    )


@cache
def tiny_encoder() -> Encoder:
    """A sentence encoder that sums one fixed random vector a word."""
    from testbed.language.encoder import Encoder

    return Encoder(_WordVectors(), "words", "words-0", _WordTokens())


class _WordVectors:
    """What `Encoder` asks of a sentence-transformers model."""

    def get_embedding_dimension(self) -> int:
        return 16

    def encode(self, texts: Sequence[str], **_: Any) -> np.ndarray:
        import numpy as np

        return np.stack([self._vector(text) for text in texts]).astype(np.float32)

    def _vector(self, text: str) -> np.ndarray:
        import numpy as np

        total = np.full(16, 0.01)
        for word in text.lower().split():
            total += _meaning(word)
        unit: np.ndarray = total / np.linalg.norm(total)
        return unit


class _WordTokens:
    """Words as tokens. The everyday ones make the vocabulary; others have numbers beyond it."""

    pieces = ("", *WORDS)

    def __init__(self) -> None:
        self.words = dict(enumerate(self.pieces))

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        return [[self._token(word) for word in text.lower().split()] for text in texts]

    def decode(self, token_ids: Sequence[int]) -> str:
        return " ".join(self.words[token] for token in token_ids)

    def slope(
        self, token_ids: Sequence[int], span: slice, loss: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, float]:
        import torch

        rows = self._table([self.words[token] for token in token_ids]).requires_grad_(True)
        with torch.enable_grad():
            total = rows.sum(0) + 0.01
            value = loss((total / total.norm()).float())
            (slope,) = torch.autograd.grad(value, rows)
        return (slope[span] @ self._table(self.pieces).T).float(), float(value.detach())

    def _table(self, words: Sequence[str]) -> Tensor:
        import numpy as np
        import torch

        return torch.from_numpy(np.array([_meaning(word) for word in words]).reshape(-1, 16))

    def _token(self, word: str) -> int:
        token = WORDS.index(word) + 1 if word in WORDS else len(self.pieces) + _number(word)
        self.words[token] = word
        return token


def _meaning(word: str) -> np.ndarray:
    import numpy as np

    return np.random.default_rng(_number(word)).normal(size=16)


def _number(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
