"""What any text may be against what honest listings are: the likelihood ratio of two models, over stretches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from defences.detectors.detector import Detector, fitted

if TYPE_CHECKING:
    import numpy as np

    from defences.detectors.bigrams import Bigrams
    from defences.detectors.suspicion import Reader, Suspicion
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.language import LanguageModel


class LikelihoodRatio(Detector):
    """Flag stretches that are likelier as any text than as an honest listing (after Ren et al. 2019, arXiv 1906.02845).

    log p under a language model − log p under bigrams of honest listings, nats a token, of the stretch where it is
    largest. Fluent text that no listing has stands out; a rare name, which is unlikely under both, does not. The
    bigrams are those of one half of the calibration catalogs' listings, the threshold is that of the other half.
    """

    fits: ClassVar[bool] = True

    model: str = "smollm2-135m"
    """The language model that reads."""
    window: int = Field(default=10, ge=1)
    """Tokens of a stretch."""

    def reader(self, catalog: Catalog, env: Environment) -> Reader:
        """The difference of the two log-likelihoods."""
        from defences.detectors.bigrams import Bigrams
        from defences.detectors.suspicion import text_of

        model = env.language_model(self.model)
        honest = [one for _, listings in self.sets(catalog) for one in listings if fitted(one)]
        texts = sorted({text_of(self.seen(one.fields)) for one in honest})
        digest = hashlib.blake2b("\0".join(texts).encode(), digest_size=8).hexdigest()
        tokens = model.encode_many(["\n" + text for text in texts])
        return _ratio(model, Bigrams.of(tokens, model.embeddings.shape[0]), self.window, digest)


def _ratio(model: LanguageModel, honest: Bigrams, window: int, fitted: str) -> Reader:
    from defences.detectors.suspicion import Suspicion
    from defences.detectors.tokens import TokenReader, windowed

    class Ratio(TokenReader):
        rest = f"{window} {fitted}"

        def judge(self, tokens: Sequence[int], losses: np.ndarray) -> Suspicion:
            before = self.model.encode("\n")[-1:] or [0]
            score, place = windowed(honest.losses([*before, *tokens]) - losses, window)
            text = self.model.decode(tokens[place : place + window])
            return Suspicion(score, f"{score:.2f} nats a token in {text!r}", len(tokens))

    return Ratio(model)
