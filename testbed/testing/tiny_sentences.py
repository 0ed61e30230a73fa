"""A sentence-transformers model of two transformer layers with random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from testbed.testing.texts import WORDS

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def tiny_sentence_encoder(folder: Path, *, layers: int = 2, seed: int = 0) -> Path:
    """Write one into `folder`, as safetensors; everyday words are one token. Returns the folder."""
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel

    try:
        from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    except ImportError:  # before 6.0
        from sentence_transformers.models import Pooling, Transformer

    config = BertConfig(
        vocab_size=len(SPECIALS) + 26 * 2 + len(WORDS),
        hidden_size=16,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        initializer_range=0.3,
    )
    folder.mkdir(parents=True, exist_ok=True)
    raw = folder / "raw"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        BertModel(config).eval().save_pretrained(raw)
    _tokenizer().save_pretrained(raw)
    first = Transformer(str(raw), max_seq_length=64)
    made = SentenceTransformer(modules=[first, Pooling(16)], device="cpu")
    made.save_pretrained(str(folder / "encoder"), create_model_card=False)
    return folder / "encoder"


def _tokenizer() -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*SPECIALS, *letters, *(f"##{letter}" for letter in letters), *WORDS]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return BertTokenizerFast(tokenizer_object=tokenizer)
