"""The generator of training pages: what is held out, and whether utilities follow from what listings say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retrievers.llm.tuning.catalog import MadeUp
from retrievers.llm.tuning.evaluation import quality_of
from retrievers.llm.tuning.products import Shop, names, one, shop, written
from retrievers.llm.tuning.wishes import KINDS, grades, percentiles, stretched, wish, wishes
from retrievers.llm.tuning.world import Split, world

SHIPPED = ("coffee", "headphone", "tent", "hotel", "novel", "book", "backpack", "purifier", "bag")
"""What the shipped catalogs and the outside check are about."""


def page_of(seed: int, split: Split = "train", count: int = 6) -> Shop:
    rng = np.random.default_rng(seed)
    return shop(world(), one(world().categories[split], rng), count, split, rng)


def test_held_out_parts_are_held_out() -> None:
    known = world()
    train, test = ({c.name for c in known.categories[split]} for split in ("train", "test"))
    assert len(train) >= 40
    assert len(test) >= 8
    assert not train & test
    kinds = [{kind for c in known.categories[split] for kind in c.numbers} for split in ("train", "test")]
    assert {"noise_db", "warranty_years", "range_m"} <= kinds[1] - kinds[0]
    for phrases in known.phrases.values():
        assert not {text.lower() for text in phrases["train"]} & {text.lower() for text in phrases["test"]}
    for number in known.numbers.values():
        for way in (number.more, number.less):
            assert not set(way["train"]) & set(way["test"])
    assert not {use.ask for use in known.uses["train"]} & {use.ask for use in known.uses["test"]}


def test_nothing_is_about_what_is_measured_elsewhere() -> None:
    for category in (*world().categories["train"], *world().categories["test"]):
        assert not any(re.search(rf"\b{word}s?\b", category.name) for word in SHIPPED), category.name


def test_every_phrase_can_be_filled() -> None:
    for number in world().numbers.values():
        for text in (*number.cap, *number.floor, *number.write):
            assert text.count("{}") == 1
    for name, hole in (("frames", "{wish}"), ("and", "{more}")):
        assert all(hole in text for split in ("train", "test") for text in world().phrases[name][split])


@given(st.integers(0, 10**6), st.sampled_from(["train", "test"]), st.integers(2, 20))
def test_a_page_says_what_its_products_are(seed: int, split: Split, count: int) -> None:
    page = page_of(seed, split, count)
    assert len({product.name for product in page.products}) == count
    for product in page.products:
        text = "\n".join(product.fields.values())
        assert product.fields[page.name_field] == product.name
        assert "{" not in text
        for kind, value in product.numbers.items():
            assert written(value, kind, world().numbers[kind].digits) in text
        for tag in product.tags:
            assert any(say.lower() in text.lower() for say in page.category.tags[tag].say)


@given(st.integers(0, 10**6), st.sampled_from(["train", "test"]))
def test_a_wish_tells_products_apart(seed: int, split: Split) -> None:
    page = page_of(seed, split)
    for asked in wishes(world(), page, split, 5, np.random.default_rng(seed)):
        assert "{" not in asked.text
        assert asked.utility.shape == (len(page.products),)
        assert asked.utility.max() == 1
        assert asked.utility.min() >= 0
        assert asked.kind == "none" or np.ptp(asked.utility) > 0


def test_the_cheapest_is_best_when_little_is_wanted() -> None:
    rng = np.random.default_rng(0)
    cheap = world().numbers["price"].less["train"]
    seen = 0
    for seed in range(300):
        page = page_of(seed)
        if "price" not in page.shown:
            continue
        found = KINDS["number"](world(), page, "train", rng)
        assert found is not None
        if found[0] in cheap:
            seen += 1
            prices = [product.numbers["price"] for product in page.products]
            assert prices[int(np.argmax(found[1]))] == min(prices)
            assert prices[int(np.argmin(found[1]))] == max(prices)
    assert seen > 10


def test_a_tag_is_asked_for_where_it_is() -> None:
    rng = np.random.default_rng(1)
    for seed in range(50):
        page = page_of(seed)
        found = KINDS["tag"](world(), page, "train", rng)
        assert found is not None
        text, have = found
        asked = [
            tag for tag, quality in enumerate(page.category.tags) if any(ask in text for ask in quality.ask)
        ]
        assert any([float(tag in product.tags) for product in page.products] == list(have) for tag in asked)


def test_a_broken_limit_is_worth_nothing() -> None:
    utility = stretched(np.array([2.0, np.nan, 1.0, np.nan]))
    assert utility.tolist() == [1.0, 0.0, 0.1, 0.0]
    assert grades(utility).tolist() == [3, 0, 1, 0]
    assert grades(np.array([0.34, 0.66, 0.67, 1.0])).tolist() == [2, 2, 3, 3]


def test_percentiles_share_ties() -> None:
    assert percentiles([5, 1, 5, 9]).tolist() == pytest.approx([0.5, 0.0, 0.5, 1.0])


def test_the_same_seed_draws_the_same() -> None:
    def draw() -> list[str]:
        rng = np.random.default_rng(7)
        page = shop(world(), world().categories["train"][0], 5, "train", rng)
        return [product.name for product in page.products] + [wish(world(), page, "train", rng).text]

    assert draw() == draw()
    assert len(set(names(world().categories["train"][0], 50, np.random.default_rng(0)))) == 50


def test_pages_as_a_catalog() -> None:
    catalog = MadeUp(pages=3, listings=4, requests=3).load()
    assert len(catalog) == 12
    assert catalog.fingerprint == MadeUp(pages=3, listings=4, requests=3).load().fingerprint
    for request in catalog.requests:
        assert len(request.candidates) == 4
        assert set(catalog.judgements[request.id]) == set(request.candidates)
        assert max(catalog.judgements[request.id].values()) == 3
    found = quality_of("random", catalog, None, 2)
    assert 0 < found.ndcg < 1
    assert found.requests == len(catalog.requests)
