"""What a text attack optimises: losses over the scores of the listings, lower is better for the attacker.

The scores are those by which the attacked stage ranks. Where it subtracts a prior (`prior: subtract` of `use: llm`),
they are log-probabilities less those under the neutral request, and every loss below is about the difference: an
attacker gains by being likely for the request and by being unlikely for none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from testbed.errors import UserError
from testbed.protocols import ObjectivePlugin, Scores

if TYPE_CHECKING:
    from torch import Tensor


class TextObjective(ObjectivePlugin):
    """Base of objectives that may also ask for likely text: write `loss`, and the option `fluency` is there.

    (batch, n) scores → (batch,) loss + fluency · mean negative log-likelihood of the text, nats per token.
    """

    fluency: float = Field(default=0.0, ge=0)
    """Weight of the text's own mean negative log-likelihood under the recommender's model, nats per token."""

    @property
    def fluent(self) -> bool:
        """Whether the likelihood of the text is needed: when it has a weight."""
        return self.fluency > 0

    def loss(self, scores: Scores) -> Tensor:
        """(batch, n) scores → (batch,), without the fluency term."""
        raise NotImplementedError

    def __call__(self, scores: Scores) -> Tensor:
        loss = self.loss(scores)
        if not self.fluent:
            return loss
        if scores.fluency is None:
            raise UserError("this stage does not tell how likely a text is; leave fluency at 0")
        return loss + self.fluency * scores.fluency


class FirstItem(TextObjective):
    """Mean cross-entropy of the target's name at the first place (Kumar & Lakkaraju 2024).

    −log p(name) / length, nats per token. With a prior, −(log p(name) − log p₀(name)) / length: minus the pointwise
    mutual information of name and request per token, which has no least value of 0.
    """

    def loss(self, scores: Scores) -> Tensor:
        """(batch, n) scores → (batch,)."""
        return -scores.total[:, scores.target] / scores.length[scores.target]


class Margin(TextObjective):
    """How far the best rival is ahead of the target, summed log-probabilities; below zero the target wins.

    A soft maximum over rivals, (1/s) log Σ exp(s · score), keeps the gradient on all that are close, in nats.
    Without rivals the loss is minus the target's score.
    """

    rivals: ClassVar[bool] = True
    sharpness: float = Field(default=2.0, gt=0)
    """s: larger is closer to the plain maximum."""

    def loss(self, scores: Scores) -> Tensor:
        """(batch, n) scores → (batch,)."""
        target, others = _apart(scores)
        if not others.shape[1]:
            return -target
        return (others * self.sharpness).logsumexp(1) / self.sharpness - target


class ExpectedRank(TextObjective):
    """Expected rank of the target were scores noisy: 1 + Σ over rivals of σ((rival − target) / temperature).

    Each term is the probability that the rival stands before the target when the difference of their scores has
    logistic noise of this scale; near 0 it is the rank itself. Unlike `margin` it is indifferent to rivals that
    are far ahead or far behind: places are gained from those within reach. In places, from 1 to n.
    """

    rivals: ClassVar[bool] = True
    temperature: float = Field(default=2.0, gt=0)
    """Scale of the noise in nats of summed log-probability. Well below the differences that there are, the
    gradient vanishes."""

    def loss(self, scores: Scores) -> Tensor:
        """(batch, n) scores → (batch,)."""
        target, others = _apart(scores)
        return 1 + ((others - target[:, None]) / self.temperature).sigmoid().sum(1)


class Eisl(TextObjective):
    """The target's name anywhere among the first entries, earlier ones counting more (Liu et al. 2022, EISL).

    −log Σ_k w_k p(name as entry k) / length, nats per token, with w_k = k^(−position_weight) and w_1 = 1: minus the
    log of the weighted expected number of matches of one n-gram, the name, over the offsets at which an
    entry starts (arXiv 2106.15078 sums over all offsets of the output and takes a Gumbel-softmax over them; here
    they are few and teacher-forced, so that the sum is exact). Entries before the k-th are those of the answer
    without the edit. With a prior, the ratio p / p₀ stands for p, both behind the same entries, and the loss has no
    least value either. With one entry it is `first_item`. With `position_weight: 0` being listed last is
    rewarded as much as being first.
    """

    entries: int = Field(default=3, ge=1, le=100)
    """K: entries of the answer that are looked at."""
    position_weight: float = Field(default=1.0, ge=0)
    """How fast later entries lose weight; 0 for not at all."""

    @property
    def listed(self) -> int:
        """How many entries of an answer are needed."""
        return self.entries

    def loss(self, scores: Scores) -> Tensor:
        """(batch, K) entries → (batch,)."""
        import torch

        if scores.entries is None:
            raise UserError("this stage scores no entries after the first; use first_item instead of eisl")
        places = torch.arange(1, scores.entries.shape[1] + 1, device=scores.entries.device)
        weighted = scores.entries - self.position_weight * places.to(scores.entries).log()
        return -weighted.logsumexp(1) / scores.length[scores.target]


def _apart(scores: Scores) -> tuple[Tensor, Tensor]:
    """The target's scores (batch,) and its rivals' (batch, n − 1)."""
    import torch

    keep = torch.arange(scores.total.shape[1], device=scores.total.device) != scores.target
    return scores.total[:, scores.target], scores.total[:, keep]
