"""Options of every rewriter, and what is made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from defences.change import Call, Change
from defences.options import Around
from testbed.errors import UserError, shown
from testbed.protocols import Context
from testbed.types import Listing, Slate

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.environment import Environment
    from testbed.protocols import Stage

Fields = Mapping[str, str]
Rewrite = Callable[[Fields], dict[str, str]]
"""New fields of a listing from its own, and from nothing else."""
WANTED = "a rewrite gives a mapping from field to text, '' for an emptied one"


class Rewriter(Around):
    """Base of defences that rewrite every listing on its own: write `rewrite`.

    As a stage it hands the new texts on; around a stage, only that one reads them.
    """

    fields: tuple[str, ...] | None = None
    """Fields that are rewritten; all but the name when left out."""

    @property
    def field_characters(self) -> int | None:
        """All of a field: it is what is written that is cut."""
        return None

    def rewrite(self, catalog: Catalog, env: Environment) -> Rewrite:
        """What turns a listing's fields into others. Names are put back in any case."""
        raise NotImplementedError

    def build(self, catalog: Catalog, env: Environment) -> Stage:
        """The stage, or what stands around another one."""
        from defences.through import through

        change = Rewritten(self.rewrite(catalog, env), self.fields, catalog.name_field, type(self).__name__)
        return change if self.over is None else through(self.over.build(catalog, env), change)


@dataclass(frozen=True)
class Rewritten(Change):
    """A slate with rewritten listings; a listing is rewritten once a trial."""

    rewrite: Rewrite
    fields: tuple[str, ...] | None
    name_field: str
    name: str
    """Of the defence, for messages."""

    def __call__(self, context: Context, *inputs: Slate) -> Slate:
        ((_, slate),) = self.copies(context, inputs[0])
        return Slate(slate.listings)

    def copies(self, context: Context, slate: Slate) -> list[Call]:
        """The same question about rewritten listings."""
        kept: dict[tuple[tuple[str, str], ...], dict[str, str]] = context.memo.setdefault(
            ("rewritten", id(self)), {}
        )
        listings = tuple(replace(one, fields=self._fields(one.fields, kept)) for one in slate.listings)
        return [(context, replace(slate, listings=listings))]

    def joined(self, context: Context, slate: Slate, answers: Sequence[Slate]) -> Slate:
        """The ranking, of the listings as they came."""
        (answer,) = answers
        return replace(answer, listings=tuple(came(slate, answer)))

    def _fields(
        self, fields: Fields, kept: dict[tuple[tuple[str, str], ...], dict[str, str]]
    ) -> dict[str, str]:
        key = tuple(fields.items())
        if key not in kept:
            chosen = {
                name: text
                for name, text in fields.items()
                if name != self.name_field and (self.fields is None or name in self.fields)
            }
            new = self.rewrite(chosen)
            if not isinstance(new, Mapping) or any(not isinstance(text, str) for text in new.values()):
                raise UserError(f"{self.name} rewrote {shown(chosen)} as {shown(new)}: {WANTED}")
            whole = {name: new.get(name, "") if name in chosen else text for name, text in fields.items()}
            whole |= {name: text for name, text in new.items() if name not in whole}
            kept[key] = {name: text for name, text in whole.items() if text}
        return kept[key]


def came(slate: Slate, answer: Slate) -> list[Listing]:
    """The listings of an answer as they stood in the slate, with the answer's scores."""
    known = {listing.item_id: listing for listing in slate.listings}
    return [replace(known[listing.item_id], score=listing.score) for listing in answer.listings]
