"""Mean negative log-likelihood of a whole listing (Alon & Kamfonas 2023, arXiv 2308.14132; Jain et al. 2023)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from defences.detectors.detector import Detector

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from defences.detectors.suspicion import Reader
    from testbed.catalog import Catalog
    from testbed.environment import Environment


class Perplexity(Detector):
    """Flag listings that a language model finds unlikely as a whole (Alon & Kamfonas 2023, arXiv 2308.14132)."""

    model: str = "smollm2-135m"
    """The language model that reads; best another one than the victim's."""

    def reader(self, catalog: Catalog, env: Environment) -> Reader:
        """Mean negative log-likelihood, nats per token."""
        from defences.detectors.suspicion import Suspicion
        from defences.detectors.tokens import TokenReader

        class Mean(TokenReader):
            def judge(self, tokens: Sequence[int], losses: np.ndarray) -> Suspicion:
                score = float(losses.mean()) if len(losses) else 0.0
                return Suspicion(score, f"{score:.2f} nats a token", len(tokens))

        return Mean(env.language_model(self.model))
