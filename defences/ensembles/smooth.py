"""Perturb and vote: SmoothLLM (Robey et al. 2023, arXiv 2310.03684), applied to listings."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from defences.change import Call, Change
from defences.options import Wrapper
from testbed.protocols import Context
from testbed.seeds import derive, rng_for
from testbed.types import Slate

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Stage

LETTERS = string.ascii_letters + string.digits + " "


class Smooth(Wrapper):
    """Disturb characters of all listings several times and let the rankings vote (Robey et al. 2023, arXiv 2310.03684).

    Token sequences are brittle, honest text is less so. Names stay whole: rankings are read by them. The disturbance
    follows from the context's seed, so that repeating a call (`clean_again`) disturbs anew. An attack meets the mean of
    its objective over the copies; gradients are those of the undisturbed slate.
    """

    votes: int = Field(default=5, ge=1, le=100)
    """Disturbed copies, each a call of the stage."""
    rate: float = Field(default=0.05, ge=0, le=1)
    """Share of characters that are disturbed. 0 disturbs nothing."""
    how: Literal["swap", "insert", "patch"] = "swap"
    """Characters are replaced, put in between, or replaced in one stretch of each field."""
    method: Literal["kemeny", "borda"] = "borda"
    """How votes are joined, see `vote`."""

    @property
    def copies(self) -> int:
        """A call a copy."""
        return self.votes

    @property
    def deterministic(self) -> bool:
        """Only where nothing is disturbed."""
        return self.rate == 0 and self.over.deterministic

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """The stage, asked about disturbed copies."""
        from defences.through import through

        return through(self.over.build(catalog, env), Disturbed(self, catalog.name_field))


@dataclass(frozen=True)
class Disturbed(Change):
    """Copies of a slate with noise of their own. A field's noise does not depend on other fields or listings."""

    options: Smooth
    name_field: str

    def copies(self, context: Context, slate: Slate) -> list[Call]:
        """Disturbed slates, in the situation's own order."""
        return [self._copy(context, slate, vote) for vote in range(self.options.votes)]

    def joined(self, context: Context, slate: Slate, answers: Sequence[Slate]) -> Slate:
        """The elected ranking of the undisturbed listings."""
        from defences.ensembles.voting import elected

        return elected(slate, answers, self.options.method)

    def _copy(self, context: Context, slate: Slate, vote: int) -> Call:
        if self.options.rate == 0:
            return context, slate
        seed = derive("smooth", context.seed, vote)
        memo = context.memo.setdefault(("smooth", id(self), context.situation, vote), {})
        listings = [
            replace(one, fields=self._fields(one.fields, seed, one.item_id)) for one in slate.listings
        ]
        return replace(context, seed=seed, memo=memo), replace(slate, listings=tuple(listings))

    def _fields(self, fields: Mapping[str, str], seed: int, item_id: str) -> dict[str, str]:
        options = self.options
        return {
            name: text
            if name == self.name_field
            else disturbed(text, options.rate, options.how, seed, item_id, name)
            for name, text in fields.items()
        }


def disturbed(text: str, rate: float, how: str, *purpose: int | str) -> str:
    """A text with about `rate` of its characters disturbed; texts that begin alike are disturbed alike there."""
    rng = rng_for("disturbed", *purpose)
    if how == "patch":
        width = round(rate * len(text))
        start = int(rng.random() * (len(text) - width + 1))
        return text[:start] + "".join(rng.choice(list(LETTERS), size=width)) + text[start + width :]
    draws = rng.random((len(text), 2))
    made = []
    for char, (chance, which) in zip(text, draws.tolist(), strict=True):
        other = LETTERS[int(which * len(LETTERS))]
        made.append(char if chance >= rate else other if how == "swap" else char + other)
    return "".join(made)
