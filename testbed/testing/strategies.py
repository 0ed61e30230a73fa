"""Hypothesis strategies for the values that stages and attacks are given."""

from __future__ import annotations

import unicodedata
from typing import get_args

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from testbed.catalog import Catalog
from testbed.testing.texts import texts, words
from testbed.types import Intervention, Item, Listing, Place, Request, Situation, Slate, TextEdit

NAME = "Name"
UNITS = ("steps", "queries", "tokens", "gradient_calls")


def single_line(text: str) -> str:
    """The text without line ends and NUL, as a catalog wants its names."""
    return " ".join(text.replace("\0", " ").split())


@st.composite
def catalogs(
    draw: DrawFn, *, min_items: int = 1, max_items: int = 6, max_requests: int = 3, hostile: bool = True
) -> Catalog:
    """Catalogs with unique names, one to three further fields (some empty), requests and judgements."""
    count = draw(st.integers(min_items, max_items))
    wanted = texts(24, hostile=hostile).map(single_line).filter(bool)
    names = draw(st.lists(wanted, min_size=count, max_size=count, unique_by=_name_key))
    fields = draw(st.lists(st.sampled_from(["Description", "Price", "Ideal For"]), min_size=1, unique=True))
    body = (texts(60, hostile=hostile) | words()).map(_written)
    items = [
        Item(
            f"item-{index}",
            {NAME: name, **{key: draw(st.just("") | body) for key in fields}},
            {"price": float(draw(st.integers(1, 500)))},
            draw(words()),
        )
        for index, name in enumerate(names)
    ]
    ids = [item.id for item in items]
    asked = [
        draw(requests(request_id=f"r{index}", hostile=hostile))
        for index in range(draw(st.integers(1, max_requests)))
    ]
    grades = st.dictionaries(st.sampled_from(ids), st.integers(0, 3))
    return Catalog.of(
        items,
        name="drawn",
        name_field=NAME,
        requests=asked,
        judgements={request.id: draw(grades) for request in asked},
    )


def _written(text: str) -> str:
    """A field's text as a catalog may have it: without NUL, '' for nothing but blanks."""
    text = text.replace("\0", " ")
    return text if text.strip() else ""


def _name_key(name: str) -> str:
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())


@st.composite
def requests(draw: DrawFn, *, request_id: str = "r0", hostile: bool = True) -> Request:
    """Requests with a text and sometimes a dialogue."""
    dialogue = draw(st.lists(texts(30, hostile=hostile), max_size=2))
    return Request(request_id, draw(texts(60, hostile=hostile)), dialogue=tuple(dialogue))


@st.composite
def slates(draw: DrawFn, catalog: Catalog, *, min_size: int = 0, edited: bool = True) -> Slate:
    """Some of a catalog's listings in any order, as an earlier stage would hand them on."""
    ids = draw(st.lists(st.sampled_from(list(catalog.ids)), min_size=min_size, unique=True))
    source = catalog.source(draw(interventions(catalog)) if edited else ()).listings
    listings = [source[catalog.rows[item_id]] for item_id in ids]
    scored = draw(st.booleans())
    return Slate(
        tuple(
            Listing(listing.item_id, listing.fields, float(-rank) if scored else None)
            for rank, listing in enumerate(listings)
        )
    )


@st.composite
def edits(draw: DrawFn, catalog: Catalog, *, hostile: bool = True) -> TextEdit:
    """One change to one field of one item, the name excepted."""
    fields = [name for name in catalog.columns if name != catalog.name_field]
    return TextEdit(
        draw(st.sampled_from(list(catalog.ids))),
        draw(st.sampled_from(fields or [catalog.name_field])),
        draw(texts(40, hostile=hostile, empty=True)),
        draw(st.sampled_from(get_args(Place))),
    )


def interventions(
    catalog: Catalog, *, max_edits: int = 2, hostile: bool = True
) -> SearchStrategy[Intervention]:
    """Up to `max_edits` edits made together; none is the clean world."""
    return st.lists(edits(catalog, hostile=hostile), max_size=max_edits).map(tuple)


@st.composite
def situations(draw: DrawFn, catalog: Catalog) -> Situation:
    """A request of the catalog in some presentation order, the target in a slot or anywhere."""
    request = draw(st.sampled_from([request.id for request in catalog.requests]))
    return Situation(request, draw(st.integers(0, 50)), draw(st.none() | st.integers(0, len(catalog))))


def budgets(most: int = 40) -> SearchStrategy[dict[str, float]]:
    """Limits on some of the units that can be counted, zero included."""
    return st.dictionaries(
        st.sampled_from(UNITS[1:]),
        (st.integers(0, most) | st.sampled_from([0, 1, 10**3, 10**5])).map(float),
        min_size=1,
    )
