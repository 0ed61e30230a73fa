"""Where an attacker's text stands in a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from retrievers.borders import written
from retrievers.llm.surface import ListingSurface
from testbed.language import common_prefix
from testbed.protocols import Context
from testbed.types import Listing, Place, Slate, Target

if TYPE_CHECKING:
    from retrievers.llm.stage import Recommender


@dataclass(frozen=True, slots=True)
class Edits:
    """Finds the tokens of edits to one listing in the prompts of one context, by neutral texts in their stead."""

    stage: Recommender
    context: Context
    target: Target

    def spans(self, shown: Sequence[Slate], place: int, prompts: Sequence[tuple[int, ...]]) -> list[slice]:
        """Tokens of each slate's edit in its prompt, given as tokens; ValueError where it is not visible."""
        texts = [self._written(slate.listings[place]) for slate in shown]
        if not all(texts):
            raise ValueError("the target carries no edit")
        others = self.neutral(shown[0], place)
        found = []
        for ids, tokens in zip(self.surface.encode(texts), prompts, strict=True):
            stop = len(tokens) - min(common_prefix(tokens[::-1], other[::-1]) for other in others)
            start = stop - len(ids) if ids is not None else -1
            if ids is None or tokens[max(start, 0) : stop] != ids:
                start = min(common_prefix(tokens, other) for other in others)
            if start >= stop:
                raise ValueError("the target's edit is not visible in the prompt")
            found.append(slice(start, stop))
        return found

    @property
    def surface(self) -> ListingSurface:
        """How text is tokenised in the target's field."""
        key = ("surface", id(self.stage), self.target)
        if key not in self.context.memo:
            self.context.memo[key] = self.stage.surface(self.target)
        surface: ListingSurface = self.context.memo[key]
        return surface

    def _written(self, listing: Listing) -> str:
        clean = self.stage.catalog.fields(self.target.item_id).get(self.target.field, "")
        shown = listing.fields.get(self.target.field, "")
        return "" if clean == shown else written(clean, shown, self.target.place)

    def neutral(self, shown: Slate, place: int) -> tuple[tuple[int, ...], ...]:
        """The prompt with neutral texts in the edit's stead: what is behind the edit they have in common."""
        request = self.context.request.text
        key = ("neutral", id(self.stage), self.context.situation, request, self.target, shown.ids)
        if key not in self.context.memo:
            slates = [self._with(shown, place, probe) for probe in self.surface.probes or ("",)]
            prompts = self.stage.prompts([self.context] * len(slates), slates)
            pointwise = self.stage.options.reading == "pointwise"
            self.context.memo[key] = tuple(
                prompt.parts[place] if pointwise else prompt.token_ids for prompt in prompts
            )
        neutral: tuple[tuple[int, ...], ...] = self.context.memo[key]
        return neutral

    def _with(self, shown: Slate, place: int, text: str) -> Slate:
        """The slate with another text in place of the target's edit."""
        listing = shown.listings[place]
        clean = self.stage.catalog.fields(self.target.item_id)
        fields: Mapping[str, str] = {**listing.fields, self.target.field: clean.get(self.target.field, "")}
        for edit in self.target.edit(text):
            fields = edit.apply(fields)
        listings = [*shown.listings]
        listings[place] = Listing(listing.item_id, dict(fields), listing.score)
        return replace(shown, listings=tuple(listings))


def target_of(clean: Mapping[str, str], listing: Listing) -> Target | None:
    """The field in which a listing differs from the catalog's, and where it was written; None when nowhere."""
    for name, text in listing.fields.items():
        old = clean.get(name, "")
        if text != old:
            appended = not old or text.startswith(f"{old} ")
            place: Place = "append" if appended else "prepend" if text.endswith(f" {old}") else "replace"
            return Target(listing.item_id, name, place)
    return None
