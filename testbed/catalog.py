"""Catalogs: items in columns, requests, graded judgements, and a fingerprint of all of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import overload

from testbed.types import Attribute, Intervention, Item, Listing, Request, Slate, TextEdit

Judgements = Mapping[str, Mapping[str, int]]
"""Request id → item id → grade, 0 for not relevant; items that are absent count as 0."""


@dataclass(frozen=True)
class Catalog:
    """Items, requests and judgements. Columns are stored; `Item` objects are made on demand.

    `columns`: field name → texts, one per item, in display order of the fields.
    `name_field`: the field that holds the item's name. Names are unique among the items that are offered together, so
    a ranking can be read off text.
    """

    name: str
    ids: Sequence[str]
    columns: Mapping[str, Sequence[str]]
    name_field: str
    requests: tuple[Request, ...] = ()
    judgements: Judgements = field(default_factory=dict)
    attributes: Sequence[Mapping[str, Attribute]] = ()
    honest_texts: Sequence[str] = ()
    rule: str = ""
    """How the grades follow from the attributes, in words."""
    file: str = field(default="", compare=False)
    """The file that the items were read from; '' where there is none."""
    lines: Mapping[str, int] = field(default_factory=dict, compare=False, repr=False)
    """Item id → its line in `file`, from 1."""

    @cached_property
    def rows(self) -> Mapping[str, int]:
        """Item id → row."""
        return {item_id: row for row, item_id in enumerate(self.ids)}

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the content (not of the name): 16 hexadecimal digits."""
        digest = hashlib.blake2b(digest_size=8)
        for part in (
            list(self.ids),
            {name: list(texts) for name, texts in self.columns.items()},
            self.name_field,
            [dict(facts) for facts in self.attributes],
            list(self.honest_texts),
            [request_as_json(request) for request in self.requests],
            {request: dict(grades) for request, grades in self.judgements.items()},
        ):
            digest.update(json.dumps(part, ensure_ascii=False, sort_keys=False).encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.ids)

    def fields(self, item_id: str) -> dict[str, str]:
        """The fields of one item, in display order; empty fields are left out."""
        row = self.rows[item_id]
        return {name: texts[row] for name, texts in self.columns.items() if texts[row]}

    def name_of(self, item_id: str) -> str:
        """The item's name."""
        return self.columns[self.name_field][self.rows[item_id]]

    def item(self, item_id: str) -> Item:
        """One item with everything known about it."""
        row = self.rows[item_id]
        return Item(
            item_id,
            self.fields(item_id),
            self.attributes[row] if self.attributes else {},
            self.honest_texts[row] if self.honest_texts else "",
        )

    def request(self, request_id: str) -> Request:
        """One request by its id; KeyError when there is none."""
        return self._requests[request_id]

    @cached_property
    def _requests(self) -> Mapping[str, Request]:
        return {request.id: request for request in self.requests}

    @cached_property
    def pool(self) -> int:
        """Fewest items that are offered for a request."""
        return min((len(request.candidates) or len(self) for request in self.requests), default=len(self))

    def source(self, intervention: Intervention = (), request: Request | None = None) -> Slate:
        """The whole catalog, in catalog order, as a lazy slate with the edits in place; or a request's candidates."""
        listings = SourceListings(self, intervention)
        if request is None or not request.candidates:
            return Slate(listings)
        return Slate(tuple(listings.listing(item_id) for item_id in request.candidates))

    @classmethod
    def of(
        cls,
        items: Iterable[Item],
        *,
        name: str = "catalog",
        name_field: str | None = None,
        requests: Iterable[Request] = (),
        judgements: Judgements | None = None,
        rule: str = "",
    ) -> Catalog:
        """A catalog from items in memory. `name_field` defaults to the first item's first field."""
        items = tuple(items)
        names: dict[str, None] = {}
        for item in items:
            names.update(dict.fromkeys(item.fields))
        return cls(
            name=name,
            ids=tuple(item.id for item in items),
            columns={key: tuple(item.fields.get(key, "") for item in items) for key in names},
            name_field=name_field or next(iter(names), "name"),
            requests=tuple(requests),
            judgements=judgements or {},
            attributes=tuple(item.attributes for item in items),
            honest_texts=tuple(item.honest_text for item in items),
            rule=rule,
        )


@dataclass(frozen=True, slots=True)
class SourceListings(Sequence[Listing]):
    """The catalog as a lazy sequence of listings, edits applied as they are read."""

    catalog: Catalog
    intervention: Intervention = ()

    @property
    def ids(self) -> Sequence[str]:
        return self.catalog.ids

    def __len__(self) -> int:
        return len(self.catalog)

    @overload
    def __getitem__(self, index: int) -> Listing: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Listing]: ...
    def __getitem__(self, index: int | slice) -> Listing | Sequence[Listing]:
        if isinstance(index, slice):
            return [self[row] for row in range(*index.indices(len(self)))]
        return self.listing(self.catalog.ids[index])

    def __iter__(self) -> Iterator[Listing]:
        return (self.listing(item_id) for item_id in self.catalog.ids)

    def listing(self, item_id: str, score: float | None = None) -> Listing:
        """One listing by its id, as it is shown after the edits."""
        fields = self.catalog.fields(item_id)
        for edit in self.intervention:
            if isinstance(edit, TextEdit) and edit.item_id == item_id:
                fields = edit.apply(fields)
        return Listing(item_id, fields, score)


def request_as_json(request: Request) -> dict[str, object]:
    """A request as plain JSON values; candidates only where there are some."""
    offered = {"candidates": list(request.candidates)} if request.candidates else {}
    return {
        "id": request.id,
        "text": request.text,
        "history": list(request.history),
        "dialogue": list(request.dialogue),
        "goal": request.goal,
        "constraints": [[wish.attribute, wish.op, wish.value] for wish in request.constraints],
        **offered,
    }
