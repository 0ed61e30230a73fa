"""Logs of interactions as catalogs whose requests have histories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from testbed.protocols import CatalogPath, CatalogPlugin
from testbed.types import Item, Request

if TYPE_CHECKING:
    from testbed.catalog import Catalog

RULE = "grade 1 for the item that came next, 0 for all others"
NAME, TEXT = "Name", "Text"
LONGEST_NAME = 80


class InteractionLog(CatalogPlugin):
    """Items and histories of an interaction file, as `testbed train rearec` reads them: leave-one-out's test.

    A request's history is everything before a user's last item, which is what should come next. The field `Text` is
    the item's text as a training reads it, `Name` its first piece, with the id where that would not be unique.
    """

    path: CatalogPath
    """A file or a folder with one: RecBole atomic files, `user item item …`, JSON lines; texts beside it."""
    users: int = Field(default=100, ge=1)
    """Most users that ask, drawn evenly, always the same."""

    def load(self) -> Catalog:
        """Read the file. UserError with its line where it is malformed."""
        import numpy as np

        from retrievers.rearec.data import leave_one_out, read
        from testbed.catalog import Catalog

        known = read(self.path)
        test = leave_one_out(known).test
        drawn = np.sort(np.random.default_rng(0).permutation(len(test))[: self.users])
        requests, judgements = [], {}
        for row in drawn.tolist():
            user, end = int(test.users[row]), int(test.ends[row])
            name = known.users[user]
            history = tuple(known.items[item] for item in known.history(user)[:end].tolist())
            requests.append(Request(name, "What comes next?", history=history))
            judgements[name] = {known.items[int(test.targets[row])]: 1}
        texts = known.texts or ("",) * len(known.items)
        return Catalog.of(
            _items(known.items, texts),
            name=self.path.stem,
            name_field=NAME,
            requests=requests,
            judgements=judgements,
            rule=RULE,
        )


def _items(ids: tuple[str, ...], texts: tuple[str, ...]) -> list[Item]:
    """Named by the first piece of their text, each name once (ignoring case)."""
    seen: set[str] = set()
    found = []
    for item, text in zip(ids, texts, strict=True):
        name = " ".join(text.split(". ")[0].split())[:LONGEST_NAME].strip() or item
        if name.casefold() in seen:
            name = f"{name} ({item})"
        seen.add(name.casefold())
        found.append(Item(item, {NAME: name, TEXT: text} if text else {NAME: name}))
    return found
