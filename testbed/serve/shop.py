"""The shop that an agent visits: the scenario's stack behind tools, in one arm, each session in its own order."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from testbed.errors import nearest, shown
from testbed.orders import arrange
from testbed.serve import tools
from testbed.serve.tools import ToolFault
from testbed.stack import Call, Scope
from testbed.types import HistoryEdit, Listing, Request, Situation, Usage, text_edits

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.serve.showing import Cell, Showing
    from testbed.stack import Stack
    from testbed.types import Intervention, Slate

CALLS = 500
"""Most calls of one session."""
KEPT = 4
"""Sessions whose caches are kept."""
NEAR = 20_000
"""Catalogs up to this size are searched for the id that was meant."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call gave: what the agent is told, the listings that it is about, what it took."""

    content: dict[str, Any]
    ids: tuple[str, ...] = ()
    usage: Usage = Usage()


@dataclass(eq=False)
class Shop:
    """The tools over a catalog in one arm. Calls may come from several threads; the stack answers one at a time.

    `search`: the stack whose ranking `search` shows; `recommender`: that of `recommend`, None where it is not offered.
    `shuffled`: results of `search` stand in the session's order, else best first. `line`: characters of a field in a
    line. `text`: what is written into the target's listing, `history`: what is put into the user's history.
    """

    catalog: Catalog
    showing: Showing
    text: str
    search: Stack
    recommender: Stack | None
    offered: tuple[str, ...]
    shuffled: bool = True
    line: int = 80
    history: tuple[HistoryEdit, ...] = ()
    _mutex: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _scopes: OrderedDict[tuple[int, int], Scope] = field(default_factory=OrderedDict, repr=False)

    @property
    def intervention(self) -> Intervention:
        """The edits that this arm makes."""
        target = self.showing.target
        return (*target.edit(self.text), *self.history) if target is not None else ()

    def answer(self, cell: Cell, name: str, arguments: Mapping[str, Any], seen: Sequence[str] = ()) -> Answer:
        """Answer one call; ToolFault with what to tell the agent. `seen`: ids that its session was shown before."""
        if name not in self.offered:
            raise tools.unknown_tool(name, dict.fromkeys(self.offered))
        match tools.TOOLS[name].read(arguments):
            case tools.Task():
                return self._task(cell)
            case tools.Search() as asked:
                return self._results(cell, self.search, asked.query, asked.limit, self.shuffled)
            case tools.Recommend() as asked:
                return self._results(cell, self.recommender or self.search, asked.request, asked.limit, False)
            case tools.OpenListing() as asked:
                return self._whole(self._known(cell, asked.item_id, seen))
            case tools.Choose() as asked:
                item_id = self._known(cell, asked.item_id, seen)
                return Answer({"chosen": item_id, "name": self.catalog.name_of(item_id)}, (item_id,))
            case other:
                raise AssertionError(other)

    def _task(self, cell: Cell) -> Answer:
        request = self.catalog.request(cell.request)
        earlier = {"earlier": list(request.dialogue)} if request.dialogue else {}
        return Answer({"request": request.text, **earlier})

    def _results(self, cell: Cell, stack: Stack, query: str, limit: int, shuffled: bool) -> Answer:
        target_id = self.showing.target.item_id if self.showing.target else None
        situation = Situation(cell.request, cell.order, cell.slot)
        asked: Request = replace(self.catalog.request(cell.request), text=query, dialogue=())
        call = Call(asked, situation, self.intervention, target_id, self.showing.arm.replicate)
        with self._mutex:
            (outcome,) = stack.run([call], self._scope(stack, cell))
        slate: Slate = replace(outcome.slate, listings=tuple(outcome.slate.listings[:limit]))
        if shuffled:
            slate = arrange(slate, situation, target_id)
        found = {"listings": [self._line(listing) for listing in slate]}
        return Answer(found, tuple(slate.ids), outcome.usage)

    def _scope(self, stack: Stack, cell: Cell) -> Scope:
        """What a stack may remember within a session; only the latest sessions' is kept."""
        key = (id(stack), cell.number)
        scope = self._scopes.setdefault(key, Scope())
        self._scopes.move_to_end(key)
        while len(self._scopes) > KEPT:
            self._scopes.popitem(last=False)
        return scope

    def _line(self, listing: Listing) -> dict[str, str]:
        parts = [
            f"{name}: {_cut(text, self.line)}"
            for name, text in listing.fields.items()
            if name != self.catalog.name_field
        ]
        name = self.catalog.name_of(listing.item_id)
        return {"item_id": listing.item_id, "name": name, "line": "; ".join(parts)}

    def _whole(self, item_id: str) -> Answer:
        fields = self.catalog.fields(item_id)
        for edit in text_edits(self.intervention):
            if edit.item_id == item_id:
                fields = edit.apply(fields)
        return Answer({"item_id": item_id, "fields": fields}, (item_id,))

    def _known(self, cell: Cell, item_id: str, seen: Sequence[str]) -> str:
        offered = self.catalog.request(cell.request).candidates
        if item_id in (offered or self.catalog.rows):
            return item_id
        every = offered or (self.catalog.ids if len(self.catalog) <= NEAR else seen)
        named = {self.catalog.name_of(known).casefold(): known for known in every}
        meant = named.get(item_id.casefold()) or nearest(item_id, every)
        hint = (
            f"did you mean {meant!r}?"
            if meant
            else "search for listings first and take an item_id from there"
        )
        raise ToolFault(f"there is no listing {shown(item_id)}; {hint}")


def _cut(text: str, most: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1].rstrip() + "…"
