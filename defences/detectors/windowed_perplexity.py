"""Negative log-likelihood of a listing's least likely stretch (Jain et al. 2023, arXiv 2309.00614)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from defences.detectors.detector import Detector

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from defences.detectors.suspicion import Reader
    from testbed.catalog import Catalog
    from testbed.environment import Environment


class WindowedPerplexity(Detector):
    """Flag listings with an unlikely stretch, however long they are (Jain et al. 2023, arXiv 2309.00614)."""

    model: str = "smollm2-135m"
    """The language model that reads; best another one than the victim's."""
    window: int = Field(default=10, ge=1)
    """Tokens of a stretch."""

    def reader(self, catalog: Catalog, env: Environment) -> Reader:
        """Mean negative log-likelihood of the worst stretch, nats per token."""
        from defences.detectors.suspicion import Suspicion
        from defences.detectors.tokens import TokenReader, windowed

        class Worst(TokenReader):
            rest = f"{self.window}"

            def judge(me, tokens: Sequence[int], losses: np.ndarray) -> Suspicion:  # noqa: N805
                score, place = windowed(losses, self.window)
                text = me.model.decode(tokens[place : place + self.window])
                return Suspicion(score, f"{score:.2f} nats a token in {text!r}", len(tokens))

        return Worst(env.language_model(self.model))
