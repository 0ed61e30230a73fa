"""The machine as a run sees it: device, dtype, threads, cache folder; and shared heavy resources."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from testbed.language import LanguageModel
    from testbed.language.encoder import Encoder
    from testbed.language.seq2seq import EncoderDecoder


class Named(Protocol):
    """A model that says what it is called."""

    name: str


Model = TypeVar("Model", bound=Named)


def cache_dir() -> Path:
    """Where converted weights, embeddings and indexes are kept: TESTBED_CACHE or the user's cache folder."""
    chosen = os.environ.get("TESTBED_CACHE")
    if chosen:
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ranking-testbed"


@dataclass(frozen=True)
class Environment:
    """Where the work happens. `auto` leaves the choice to what the machine supports."""

    device: str = "auto"
    dtype: str = "auto"
    threads: int | None = None
    cache: Path = field(default_factory=cache_dir)
    run: Path | None = None
    """Directory of the run that the work is done for, where its processes keep what they must share."""
    used: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """Models that were handed out, and weights that stages load themselves, by name: what provenance is told from."""

    def language_model(self, model: str) -> LanguageModel:
        """A loaded causal language model by name, path or hub id; loaded once per process."""
        return self._used(_language_model(model, self.device, self.dtype, str(self.cache)))

    def encoder_decoder(self, model: str) -> EncoderDecoder:
        """A loaded encoder-decoder language model by path or hub id; loaded once per process."""
        return self._used(_encoder_decoder(model, self.device, self.dtype))

    def encoder(self, model: str) -> Encoder:
        """A loaded sentence encoder by name, path or hub id, in float32; loaded once per process."""
        return self._used(_encoder(model, self.device, str(self.cache)))

    def note(self, name: str, folder: Path) -> None:
        """Put the weights of a folder, which a stage loads itself, among those that a run tells it was made with."""
        from testbed.language.fingerprint import fingerprint

        self.used[name] = Noted(name, fingerprint(folder))

    def _used(self, model: Model) -> Model:
        self.used[model.name] = model
        return model


@dataclass(frozen=True, slots=True)
class Noted:
    """Weights by name, with the fingerprint of their files."""

    name: str
    fingerprint: str


@lru_cache(maxsize=4)
def _language_model(model: str, device: str, dtype: str, cache: str) -> LanguageModel:
    from testbed.language import load

    return load(model, device=device, dtype=dtype, cache=Path(cache))


@lru_cache(maxsize=4)
def _encoder_decoder(model: str, device: str, dtype: str) -> EncoderDecoder:
    from testbed.language.load_seq2seq import load_seq2seq

    return load_seq2seq(model, device=device, dtype=dtype)


@lru_cache(maxsize=4)
def _encoder(model: str, device: str, cache: str) -> Encoder:
    from testbed.language.encoder import load_encoder

    return load_encoder(model, device=device, cache=Path(cache))
