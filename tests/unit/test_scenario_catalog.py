from __future__ import annotations

import dataclasses

from test_scenario import GOOD, good

from testbed.catalog import Catalog
from testbed.types import Item, Request


def catalog(requests: int = 6, honest: str = "true") -> Catalog:
    return Catalog.of(
        [
            Item(item, {"Name": item, "Description": "d"}, {}, honest)
            for item in ("aurelia-grand", "swiftbrew-go")
        ],
        name="shop",
        requests=[Request(f"r{number}", "?") for number in range(requests)],
    )


def found(text: str, shop: Catalog) -> list[str]:
    return [str(fault) for fault in good(text).check_against(shop)]


def test_a_catalog_that_has_everything() -> None:
    assert found(GOOD, catalog()) == []


def test_every_thing_that_is_not_there() -> None:
    text = GOOD.replace("aurelia-grand", "aurelia-grant").replace("Description", "Descripton")
    text += "optimise: {requests: [r0, q9], slots: [0, 2]}\nevaluate: {requests: [r1, r22]}\n"
    assert found(text, catalog()) == [
        "s.yaml:8:36: threat.field: no field 'Descripton' in shop; did you mean 'Description'?",
        "s.yaml:9:19: targets.items.0: no item 'aurelia-grant' in shop; did you mean 'aurelia-grand'?",
        "s.yaml:11:27: optimise.requests.1: no request 'q9' in shop; known: r0, r1, r2, r3, r4, r5",
        "s.yaml:11:43: optimise.slots.1: no position 2 among 2 items; positions are 0 to 1",
        "s.yaml:12:27: evaluate.requests.1: no request 'r22' in shop; did you mean 'r2'?",
    ]


def test_too_few_requests() -> None:
    assert found(GOOD, catalog(4)) == [
        "s.yaml:1:1: evaluate.requests: 5 requests are asked for (optimise 2, validate 2, evaluate 1), shop has 4; "
        "ask for fewer, or write hold_out: orders"
    ]
    assert found(GOOD + "hold_out: orders\n", catalog(2)) == []
    assert found(GOOD + "hold_out: orders\noptimise: {requests: 3}\n", catalog(2)) == [
        "s.yaml:12:22: optimise.requests: 3 requests are asked for, shop has 2; ask for fewer"
    ]
    assert found(GOOD, catalog(0)) == [
        "s.yaml:3:10: catalog: shop has no requests; a catalog for a run needs at least one"
    ]


def test_without_an_attack_only_the_evaluation_counts() -> None:
    assert good(GOOD, "attack=none", "evaluate.arms=[clean]").check_against(catalog(1)) == []


def test_honest_texts_are_needed_for_their_arm() -> None:
    text = GOOD + "evaluate: {arms: [clean, honest_text]}\n"
    assert found(text, catalog(honest="")) == [
        f"s.yaml:11:26: evaluate.arms.1: shop has no honest text for '{item}'; leave the arm honest_text out"
        for item in ("aurelia-grand", "swiftbrew-go")
    ]


def test_measures_that_need_judgements_are_faults_when_they_are_named() -> None:
    text = GOOD + "measures: [lift@1, P@5, harm@3, kendall, utility_loss]\n"
    assert found(text, catalog()) == [
        f"s.yaml:11:{column}: measures.{index}: shop has no judgements, which {name} needs; leave the measure out"
        for column, index, name in ((20, 1, "P@5"), (25, 2, "harm@3"), (42, 4, "utility_loss"))
    ]
    judged = dataclasses.replace(catalog(), judgements={"r0": {"aurelia-grand": 1}})
    assert found(text, judged) == []
    assert found(GOOD, catalog()) == found(good().to_yaml(), catalog()) == []
