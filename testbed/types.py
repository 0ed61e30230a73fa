"""The values that travel through a run: listings, slates, edits, orders, targets and records.

Everything here is immutable and free of heavy imports. Shapes: a slate of n listings ranks them 1..n.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

Attribute = float | int | str | bool
Place = Literal["append", "prepend", "replace"]
Status = Literal["ok", "partial", "refusal", "parse_failure", "error"]
"""How a ranking came about. `partial`: some listings were not ranked by a reader that may leave them out."""


STACK = "stack"
"""What a scenario's own stack is called among the sources and victims of a transfer."""


@dataclass(frozen=True, slots=True)
class Item:
    """One product as its vendor wrote it.

    `fields` maps field names to text in display order; the catalog says which field is the name.
    `attributes` are the typed facts that relevance rules read; no stage sees them.
    `honest_text` is true marketing text for the control arm.
    """

    id: str
    fields: Mapping[str, str]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    honest_text: str = ""


@dataclass(frozen=True, slots=True)
class Constraint:
    """A hard wish of the user: `price <= 150`, `colour == red`, `tags contains waterproof`."""

    attribute: str
    op: Literal["<=", ">=", "==", "!=", "contains"]
    value: Attribute

    def holds(self, attributes: Mapping[str, Attribute]) -> bool:
        """Whether an item with these attributes satisfies the wish; a missing attribute does not."""
        have = attributes.get(self.attribute)
        if have is None:
            return False
        match self.op:
            case "==":
                return have == self.value
            case "!=":
                return have != self.value
            case "contains":
                return str(self.value) in str(have).split()
            case "<=":
                return float(have) <= float(self.value)
            case ">=":
                return float(have) >= float(self.value)


@dataclass(frozen=True, slots=True)
class Request:
    """What a user asks for. `history` holds item ids, oldest first; `dialogue` holds utterances, oldest first.

    `candidates`: ids of the only items that are offered for it; the whole catalog when empty.
    """

    id: str
    text: str
    history: tuple[str, ...] = ()
    dialogue: tuple[str, ...] = ()
    goal: str = ""
    constraints: tuple[Constraint, ...] = ()
    candidates: tuple[str, ...] = ()

    def with_inserted(self, edits: Sequence[HistoryEdit]) -> Request:
        """The same request with items put into its history; those of one age in the order of the edits."""
        if not edits:
            return self
        count, found = len(self.history), []
        waiting = sorted(edits, key=lambda edit: -edit.age)
        for place in range(count + 1):
            found += [edit.item_id for edit in waiting if max(0, count - edit.age) == place]
            found += self.history[place : place + 1]
        return replace(self, history=tuple(found))


@dataclass(frozen=True, slots=True)
class Listing:
    """An item as it is shown to the next stage: fields, not rendered text. `score` is the last stage's."""

    item_id: str
    fields: Mapping[str, str]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """What a computation took. `tokens` is what the text has, `computed` what caches left to do.

    `money`: what a paid service asks for it, in the currency of its price; 0 where nothing has a price.
    """

    queries: int = 0
    gradient_calls: int = 0
    tokens: int = 0
    computed: int = 0
    money: float = 0.0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.queries + other.queries,
            self.gradient_calls + other.gradient_calls,
            self.tokens + other.tokens,
            self.computed + other.computed,
            self.money + other.money,
        )


@dataclass(frozen=True, slots=True)
class Slate:
    """A ranking, best first, with how it came about and what it took.

    `listings` may be a lazy sequence (a million-item catalog is never materialised).
    """

    listings: Sequence[Listing]
    status: Status = "ok"
    usage: Usage = Usage()
    note: str = ""
    shown: tuple[str, ...] = ()
    """Item ids in the order a reader saw them, where that matters."""
    detail: Mapping[str, Any] = field(default_factory=dict)
    """What the stage tells of its way to the ranking, as JSON values; kept in the record's trace of the stage."""

    @property
    def ids(self) -> Sequence[str]:
        """Item ids, best first."""
        ids = getattr(self.listings, "ids", None)
        return ids if ids is not None else tuple(listing.item_id for listing in self.listings)

    def rank_of(self, item_id: str) -> int | None:
        """Rank of an item, 1 for the best; None when it is not listed."""
        for rank, listed in enumerate(self.ids, start=1):
            if listed == item_id:
                return rank
        return None

    def __len__(self) -> int:
        return len(self.listings)

    def __iter__(self) -> Iterator[Listing]:
        return iter(self.listings)


@dataclass(frozen=True, slots=True)
class TextEdit:
    """A change to one field of one item: text appended, prepended (a space between) or put in its place."""

    item_id: str
    field: str
    text: str
    place: Place = "append"

    def apply(self, fields: Mapping[str, str]) -> dict[str, str]:
        """The fields after the edit, in their order. Empty appended or prepended text changes nothing."""
        old = fields.get(self.field, "")
        match self.place:
            case "append":
                new = f"{old} {self.text}" if old and self.text else old + self.text
            case "prepend":
                new = f"{self.text} {old}" if old and self.text else self.text + old
            case "replace":
                new = self.text
        return {**fields, self.field: new}


@dataclass(frozen=True, slots=True)
class HistoryEdit:
    """An item put into the history of whoever asks (profile pollution).

    `age`: how many genuine items come after it; 0 makes it the newest. A history with fewer takes it as its oldest.
    """

    item_id: str
    age: int = 0

    def __post_init__(self) -> None:
        if self.age < 0:
            raise ValueError(f"age {self.age} is in the future; the least is 0")


Intervention = tuple[TextEdit | HistoryEdit, ...]
"""Edits that are made together; the empty tuple is the clean world."""


def text_edits(intervention: Intervention) -> tuple[TextEdit, ...]:
    """The edits of listings."""
    return tuple(edit for edit in intervention if isinstance(edit, TextEdit))


def history_edits(intervention: Intervention) -> tuple[HistoryEdit, ...]:
    """The edits of histories."""
    return tuple(edit for edit in intervention if isinstance(edit, HistoryEdit))


@dataclass(frozen=True, slots=True)
class Target:
    """The listing that an attacker controls and the field where text may be written."""

    item_id: str
    field: str
    place: Place = "append"

    def edit(self, text: str) -> tuple[TextEdit, ...]:
        """The intervention that writes `text`; no text, no edit."""
        return (TextEdit(self.item_id, self.field, text, self.place),) if text else ()


@dataclass(frozen=True, slots=True)
class Situation:
    """One request seen in one presentation order: what a single query to the stack is about."""

    request: str
    order: int
    slot: int | None = None
    """Where the target stands in the order, from 0; None leaves it to the shuffle."""


@dataclass(frozen=True, slots=True)
class StageTrace:
    """Where the target stood before and after one stage; None when it was not (or no longer) there."""

    stage: str
    rank_in: int | None
    rank_out: int | None
    pool: int
    detail: Mapping[str, Any] = field(default_factory=dict)
