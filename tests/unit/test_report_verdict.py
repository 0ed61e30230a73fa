"""The headline says what the intervals allow, and no more."""

from __future__ import annotations

from typing import Any

import pytest
from report_runs import manifest, records

from testbed.records import Record
from testbed.report.sections.order import order
from testbed.report.sections.verdict import Verdict, verdict
from testbed.report.source import Source
from testbed.tables import build

MANY = ("aurelia-grand", "swiftbrew-go", "pietra-moka", "tundra-steep")


def found(records_: list[Record], targets: tuple[str, ...], **more: Any) -> Verdict:
    about = manifest(targets, ("r0", "r1")) | more
    return verdict(Source(build(records_, about), about, records_, "", {}))


@pytest.fixture(scope="module")
def lifted() -> Verdict:
    return found(records(targets=MANY, seeds=(0, 1, 2), requests=("r0", "r1"), orders=12), MANY)


def test_a_lift_is_called_one(lifted: Verdict) -> None:
    assert lifted.sentence.startswith("The attack raised the targets’ chance of first place by ")
    assert " points (95 % interval +" in lifted.sentence
    assert lifted.more[0].startswith("It did more than random tokens: +")


def test_cards_stand_in_order(lifted: Verdict) -> None:
    assert [card.title for card in lifted.cards] == [
        "Net lift, lift@1",
        "Best seed per target",
        "Attack − random tokens",
        "Control: random tokens",
        "Control: honest text",
        "Smallest detectable effect",
    ]
    assert [card.main for card in lifted.cards] == [True, *[False] * 5]
    assert all(card.interval.startswith("[") for card in lifted.cards[:5])


def test_p_beside_an_interval_over_targets_says_whom_it_speaks_of(lifted: Verdict) -> None:
    assert lifted.cards[0].remark.endswith(" for these targets")
    pair = MANY[:2]
    two = found(records(targets=pair, seeds=(0, 1, 2), requests=("r0", "r1"), orders=4), pair)
    assert ", p = " in two.cards[0].remark
    assert "these targets" not in two.cards[0].remark, "its interval is about the same two"


def test_controls_need_not_be_neutral(lifted: Verdict) -> None:
    remarks = {card.title: card.remark for card in lifted.cards}
    assert remarks["Control: random tokens"] == "minus clean; may lower, should not lift"
    assert remarks["Control: honest text"] == "minus clean; a lift is a finding, no fault"


def test_one_order_says_why_there_is_no_order_sensitivity() -> None:
    about = manifest(MANY[:2], ("r0", "r1"))
    one, more = (records(targets=MANY[:2], requests=("r0", "r1"), orders=orders) for orders in (1, 4))
    alone, varied = (order(Source(build(made, about), about, made, "", {})) for made in (one, more))
    assert [table.title for table in alone.tables] == ["First place by slot"]
    assert alone.lead.endswith("are not given: every request was shown in one order only.")
    assert varied.tables[0].title == "Order in numbers"


def test_every_target_has_a_line(lifted: Verdict) -> None:
    assert [row[0] for row in lifted.rows] == ["Aurelia Grand", "SwiftBrew Go", "Pietra Moka", "Tundra Steep"]
    assert {len(row) for row in lifted.rows} == {len(lifted.head)}
    assert "p cannot fall below 0.25" in lifted.remark


def test_no_difference_is_not_called_an_effect() -> None:
    same = ("pietra-moka", "aurelia-grand", "tundra-steep")
    one = found(
        records(targets=MANY[:1], requests=("r0", "r1"), orders=4, ranking=same, scores=None), MANY[:1]
    )
    assert one.sentence.startswith(
        "No effect was shown: the target’s chance of first place changed by 0 points"
    )
    assert one.more[0].startswith("It was not shown to do more than random tokens: 0 [")


def test_the_primary_measure_names_its_place() -> None:
    records_ = records(targets=MANY[:2], requests=("r0", "r1"), orders=6)
    one = found(records_, MANY[:2], measures=["lift@3"])
    assert "chance of a place in the top 3" in one.sentence
    assert one.cards[0].title == "Net lift, lift@3"


def test_what_the_interval_does_not_cover_is_said() -> None:
    records_ = records(targets=MANY[:1], seeds=(0,), requests=("r0",), orders=6)
    one = found(records_, MANY[:1])
    assert "The interval speaks of these targets, seeds and requests, not of others." in one.more
