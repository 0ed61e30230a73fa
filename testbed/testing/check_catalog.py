"""`check_catalog`: what every catalog has to be before a run can be believed."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from collections.abc import Iterable

from testbed.catalog import Catalog
from testbed.protocols import CatalogPlugin
from testbed.testing.failures import CheckFailed, expect


def check_catalog(plugin: CatalogPlugin | Catalog) -> None:
    """Check a catalog and what it loads; CheckFailed says what is wrong and the likely cause.

    A `Catalog` is checked as it is, a plug-in also for loading the same thing twice.
    """
    if isinstance(plugin, Catalog):
        catalog = plugin
    elif isinstance(plugin, CatalogPlugin):
        catalog = _loaded(plugin)
    else:
        raise CheckFailed(
            f"a catalog plug-in is an instance of CatalogPlugin, not {plugin!r}; pass Mine(), not Mine"
        )
    _columns(catalog)
    _items(catalog)
    _requests(catalog)
    _judgements(catalog)
    _plain(catalog)


def _loaded(plugin: CatalogPlugin) -> Catalog:
    first, second = plugin.load(), plugin.load()
    expect(
        isinstance(first, Catalog),
        "load() returns a Catalog",
        type(first).__name__,
        "load() lacks its return",
    )
    expect(
        first.fingerprint == second.fingerprint,
        "loading twice gives the same catalog",
        f"fingerprints {first.fingerprint} and {second.fingerprint}",
        "items in the order of a set or a folder listing, a clock, or a random choice; sort what is read",
    )
    return first


def _columns(catalog: Catalog) -> None:
    expect(len(catalog) > 0, "a catalog has items", "none", "the source is empty, or all rows were skipped")
    rule = "every column has a text for every item"
    for name, texts in catalog.columns.items():
        expect(
            len(texts) == len(catalog),
            rule,
            f"{name!r} has {len(texts)} of {len(catalog)}",
            "use '' for no text",
        )
        odd = [text for text in texts if not isinstance(text, str)]
        expect(not odd, rule, f"{name!r} holds {odd[:1]}", "numbers must be written out: str(price)")
    known = list(catalog.columns)
    expect(
        catalog.name_field in known,
        "name_field names a column",
        f"{catalog.name_field!r}; {known}",
        "misspelled",
    )
    for what, parts in (("attributes", catalog.attributes), ("honest_texts", catalog.honest_texts)):
        fits = len(parts) in (0, len(catalog))
        expect(
            fits,
            f"{what} has one entry an item, or none",
            f"{len(parts)} of {len(catalog)}",
            "rows were skipped",
        )


def _items(catalog: Catalog) -> None:
    _once("item ids", catalog.ids)
    offered = {request.candidates or tuple(catalog.ids) for request in catalog.requests} or {
        tuple(catalog.ids)
    }
    for together in sorted(offered):
        _once("item names", (_key(catalog.name_of(item)) for item in together if item in catalog.rows))
    for item_id in catalog.ids:
        usable = isinstance(item_id, str) and item_id.strip() == item_id and item_id.isprintable() and item_id
        expect(
            usable, "ids are short printable texts", repr(item_id), "an id taken from free text; make a slug"
        )
        name = catalog.name_of(item_id)
        one_line = name.strip() and len(name.splitlines()) == 1
        expect(one_line, "every item has a name of one line", f"{item_id}: {name!r}", "the wrong name_field")
        rest = [text for field, text in catalog.fields(item_id).items() if field != catalog.name_field]
        blank = [text for text in rest if not text.strip()]
        expect(
            not blank, "fields hold text or nothing", f"{item_id} has a field of blanks", "strip what is read"
        )


def _requests(catalog: Catalog) -> None:
    _once("request ids", (request.id for request in catalog.requests))
    for request in catalog.requests:
        expect(request.text.strip(), "requests have text", request.id, "an empty line was read as a request")
        unknown = [item for item in request.history if item not in catalog.rows]
        expect(
            not unknown, "a history lists items of the catalog", f"{request.id}: {unknown[:3]}", "other ids"
        )
        strangers = [item for item in request.candidates if item not in catalog.rows]
        expect(
            not strangers,
            "candidates are items of the catalog",
            f"{request.id}: {strangers[:3]}",
            "other ids",
        )
        _once(f"candidates of {request.id}", request.candidates)
        wishes = [wish.attribute for wish in request.constraints]
        have = {key for facts in catalog.attributes for key in facts}
        missing = [key for key in wishes if key not in have]
        expect(
            not missing,
            "constraints are about attributes",
            f"{request.id}: {missing[:3]}",
            "misspelled attribute",
        )


def _judgements(catalog: Catalog) -> None:
    rule = "judgements refer to requests and items of the catalog"
    asked = {request.id for request in catalog.requests}
    strangers = [request for request in catalog.judgements if request not in asked]
    expect(
        not strangers,
        rule,
        f"unknown requests {strangers[:3]}",
        "requests were dropped, their judgements kept",
    )
    for request, grades in catalog.judgements.items():
        unknown = [item for item in grades if item not in catalog.rows]
        expect(
            not unknown,
            rule,
            f"{request}: unknown items {unknown[:3]}",
            "items were dropped, their grades kept",
        )
        odd = [
            grade
            for grade in grades.values()
            if isinstance(grade, bool) or not isinstance(grade, int) or grade < 0
        ]
        expect(not odd, "grades are whole numbers from 0", f"{request}: {odd[:3]}", "round or rescale them")


def _plain(catalog: Catalog) -> None:
    rule = "a catalog can be written as JSON"
    cause = "nan, half a surrogate pair, or a type such as numpy.float64 or Decimal; make plain values"
    try:
        json.dumps([dict(facts) for facts in catalog.attributes], allow_nan=False)
        json.dumps(
            [wish.value for request in catalog.requests for wish in request.constraints], allow_nan=False
        )
        texts = [text for column in catalog.columns.values() for text in column]
        texts += [*catalog.ids, *catalog.honest_texts, *(request.text for request in catalog.requests)]
        "".join(texts).encode()
        length = len(catalog.fingerprint)
    except (TypeError, ValueError) as error:
        raise CheckFailed(f"{rule}\n  seen: {error}\n  likely cause: {cause}") from error
    expect(length == 16, "a fingerprint has 16 digits", str(length), "Catalog.fingerprint is overridden")


def _once(what: str, values: Iterable[str]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    expect(
        not twice,
        f"{what} are unique",
        f"{twice[:3]} more than once",
        "variants of a product; add what differs",
    )


def _key(name: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())
