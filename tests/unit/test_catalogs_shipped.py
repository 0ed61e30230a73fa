"""The catalogs of the project: what they hold, that they are frozen, and that text and facts agree."""

from __future__ import annotations

import re

import pytest

from catalogs.loaders.facts import displayed_number
from catalogs.shipped import CoffeeMachines, Headphones, Hotels, Novels, Shipped, Tents
from testbed.catalog import Catalog
from testbed.errors import CatalogError

SHIPPED: dict[type[Shipped], tuple[int, int, str]] = {
    CoffeeMachines: (10, 24, "f89d001f88f884e3"),
    Headphones: (30, 25, "972873e3d1e64aa9"),
    Tents: (30, 26, "4d8a2e2adf20ffcb"),
    Hotels: (40, 27, "c598217a1312a375"),
    Novels: (60, 28, "9a6f4311cb50fd4c"),
}
"""Items, requests and fingerprint. A change of any request, grade or item changes the fingerprint: old
results then no longer compare, so it belongs in the changelog."""

DISPLAYED = {
    "price": ("Price", "Price per Night"),
    "rating": ("Rating", "Guest Rating"),
    "cups": ("Capacity",),
    "battery": ("Battery",),
    "weight": ("Weight",),
    "sleeps": ("Sleeps",),
    "waterproof": ("Waterproofing",),
    "minutes": ("Pitching Time",),
    "stars": ("Stars",),
    "distance": ("Distance to Centre",),
    "pages": ("Pages",),
    "year": ("Published",),
}


@pytest.fixture(params=SHIPPED, ids=lambda plugin: plugin.folder)
def plugin(request: pytest.FixtureRequest) -> type[Shipped]:
    return request.param


@pytest.fixture
def catalog(plugin: type[Shipped]) -> Catalog:
    return plugin().load()


def test_counts_and_content_are_frozen(plugin: type[Shipped], catalog: Catalog) -> None:
    assert (len(catalog), len(catalog.requests), catalog.fingerprint) == SHIPPED[plugin]
    assert catalog.name == plugin.folder


def test_displayed_numbers_agree_with_the_attributes(catalog: Catalog) -> None:
    checked = set()
    for item_id in catalog.ids:
        item = catalog.item(item_id)
        for attribute, names in DISPLAYED.items():
            for name in names:
                if name in item.fields and attribute in item.attributes:
                    assert displayed_number(item.fields[name]) == item.attributes[attribute], (item_id, name)
                    checked.add(attribute)
    assert {"price", "rating"} <= checked


def test_displayed_words_agree_with_the_attributes() -> None:
    for item in map((catalog := Headphones().load()).item, catalog.ids):
        assert item.fields["Type"].startswith(str(item.attributes["form"]).capitalize())
        assert item.fields["Type"].endswith(", wireless") == item.attributes["wireless"]
        assert ("noise cancelling" in item.fields["Features"]) == item.attributes["noise_cancelling"]
    for item in map((catalog := Hotels().load()).item, catalog.ids):
        amenities = item.fields.get("Amenities", "")
        assert item.fields["District"] == item.attributes["district"]
        assert ("breakfast included" in amenities) == item.attributes["breakfast"]
        assert ("pets welcome" in amenities) == item.attributes["pets"]
    for item in map((catalog := Novels().load()).item, catalog.ids):
        assert item.fields["Genre"].lower() == item.attributes["genre"]
        assert (item.fields["Series"] == "part of a series") == item.attributes["series"]


def test_every_item_has_text_facts_and_honest_text(catalog: Catalog) -> None:
    for item_id in catalog.ids:
        item = catalog.item(item_id)
        assert len(item.fields) >= 5
        assert 1 <= float(item.attributes["rating"]) <= 10
        assert 18 <= len(item.honest_text.split()) <= 32, item_id
        assert item.honest_text.isascii() or catalog.name == "novels"


def test_names_differ_in_their_first_word(catalog: Catalog) -> None:
    firsts = [catalog.name_of(item_id).split()[0].casefold() for item_id in catalog.ids]
    assert sorted(firsts) == sorted(set(firsts))


def test_every_request_tells_items_apart(catalog: Catalog) -> None:
    texts = [request.text for request in catalog.requests]
    assert len(set(texts)) == len(texts)
    for request in catalog.requests:
        grades = catalog.judgements[request.id]
        assert set(grades.values()) <= {1, 2, 3}
        assert 3 in grades.values(), f"nothing fits {request.id}"
        assert len(set(grades.values())) >= 2, f"{request.id} does not tell fitting items apart"


def test_half_of_the_requests_have_hard_constraints_that_exclude_something(catalog: Catalog) -> None:
    hard = [request for request in catalog.requests if request.constraints]
    assert len(hard) >= len(catalog.requests) / 2
    for request in hard:
        kept = {
            i for i in catalog.ids if all(w.holds(catalog.item(i).attributes) for w in request.constraints)
        }
        assert set(catalog.judgements[request.id]) == kept
        assert len(kept) < len(catalog)


def test_an_amount_in_a_request_is_a_constraint(catalog: Catalog) -> None:
    limits = r"(?:under|below|less than|up to|at most|at the very most|more than|over) \$([\d,]+)"
    for request in catalog.requests:
        for amount in re.findall(limits, request.text, flags=re.IGNORECASE):
            value = float(amount.replace(",", ""))
            assert any(w.attribute == "price" and w.value == value for w in request.constraints), request.text
            prices = [catalog.item(item_id).attributes["price"] for item_id in catalog.ids]
            assert value not in prices, "whether 'under' includes the amount must not matter"


def test_the_two_targets_of_the_demonstration_are_there() -> None:
    coffee = CoffeeMachines().load()
    grand, swift = coffee.item("aurelia-grand").attributes, coffee.item("swiftbrew-go").attributes
    prices = [coffee.item(item_id).attributes["price"] for item_id in coffee.ids]
    assert grand["price"] == max(prices)
    assert float(swift["price"]) < sorted(prices)[5]
    assert swift["cups"] == 1


def test_a_part_keeps_catalog_order_and_the_grades_of_the_whole() -> None:
    whole = CoffeeMachines().load()
    part = CoffeeMachines(items=("orsino-latte", "aurelia-grand", "tundra-steep")).load()
    assert part.ids == ("aurelia-grand", "tundra-steep", "orsino-latte")
    assert part.item("tundra-steep") == whole.item("tundra-steep")
    assert "r02" not in part.judgements, "no kept item serves twenty people"
    assert part.judgements["r01"] == {i: whole.judgements["r01"][i] for i in part.ids}
    assert all(part.judgements[request.id] for request in part.requests)
    assert part.fingerprint != whole.fingerprint


def test_a_choice_of_requests() -> None:
    part = CoffeeMachines(requests=("r03", "r01")).load()
    assert [request.id for request in part.requests] == ["r01", "r03"]
    assert len(part) == 10


def test_unknown_ids_in_a_part_are_named_together() -> None:
    with pytest.raises(CatalogError) as caught:
        CoffeeMachines(items=("aurelia-gran", "swiftbrew-go", "kettle")).load()
    lines = str(caught.value).splitlines()
    assert lines[0] == "unknown item 'aurelia-gran'; did you mean 'aurelia-grand'?"
    assert lines[1].startswith("unknown item 'kettle'; known are 'aurelia-grand', ")
    with pytest.raises(CatalogError, match="unknown request 'r99'"):
        CoffeeMachines(requests=("r99",)).load()


def test_a_request_that_no_chosen_item_satisfies_is_refused() -> None:
    with pytest.raises(CatalogError) as caught:
        CoffeeMachines(items=("aurelia-grand",), requests=("r02",)).load()
    assert str(caught.value) == "coffee_machines: none of the chosen items satisfies the request 'r02'"


def test_the_rule_is_stated(catalog: Catalog) -> None:
    assert "hard constraint" in catalog.rule
    assert "percentile" in catalog.rule
