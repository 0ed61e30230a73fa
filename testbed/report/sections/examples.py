"""The texts themselves, and one situation before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from testbed.report.numbers import number
from testbed.report.source import Source
from testbed.report.text import visible

MOST_TEXT = 1500
MOST_SHOWN = 24


@dataclass(frozen=True)
class Ranked:
    """One line of a ranking."""

    rank: int
    name: Markup
    score: str
    target: bool


@dataclass(frozen=True)
class Example:
    """One attack: the field with the edit marked, and its median situation."""

    title: Markup
    chosen: bool
    field: Markup
    place: str
    before: Markup
    edit: Markup
    inserted: Sequence[Markup]
    note: Markup
    request: Markup
    situation: str
    clean: Sequence[Ranked]
    attacked: Sequence[Ranked]
    ranks: str


def examples(source: Source) -> Sequence[Example]:
    """The seed that validation chose per target first; cut after 24."""
    found = sorted(source.tables["examples"], key=lambda one: not one["best_of_validation"])
    return [_example(source, one) for one in found[:MOST_SHOWN]]


def _example(source: Source, one: Mapping[str, Any]) -> Example:
    situation = one["situation"] or {}
    slot = situation.get("slot")
    ranks = [situation.get(f"rank_{arm}") for arm in ("clean", "attacked")]
    words = ["unlisted" if rank is None else f"rank {rank}" for rank in ranks]
    return Example(
        title=Markup("{}, seed {}").format(visible(one["name"], 80), one["seed"]),
        chosen=one["best_of_validation"],
        field=visible(one["field"], 80),
        place=one["place"],
        before=_original(source, one),
        edit=visible(one["text"], MOST_TEXT),
        inserted=[
            Markup("{} ({})").format(visible(edit["name"], 80), _age(edit["age"]))
            for edit in one.get("history", ())
        ],
        note=visible(one["note"], 300),
        request=visible(situation.get("request_text") or situation.get("request", ""), 500),
        situation=f"order {situation['order']}" + (f", slot {slot + 1}" if slot is not None else "")
        if situation
        else "",
        clean=_ranking(one, situation.get("clean", ())),
        attacked=_ranking(one, situation.get("attacked", ())),
        ranks=f"{words[0]} → {words[1]}" if situation else "",
    )


def _age(age: int) -> str:
    return "newest" if age == 0 else f"{age} genuine item{'s' * (age > 1)} later"


def _original(source: Source, one: Mapping[str, Any]) -> Markup:
    """The field as it was, where the manifest keeps it (targets.<id>.text)."""
    target = source.section("targets").get(one["target"])
    text = target.get("text") if isinstance(target, Mapping) else None
    return visible(text, MOST_TEXT) if isinstance(text, str) and text else Markup("")


def _ranking(one: Mapping[str, Any], listing: Sequence[Mapping[str, Any]]) -> list[Ranked]:
    return [
        Ranked(rank, visible(entry["name"], 60), number(entry["score"]), entry["item"] == one["target"])
        for rank, entry in enumerate(listing, start=1)
    ]
