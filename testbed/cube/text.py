"""A cube's answer for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from testbed.errors import listed, visible
from testbed.tables.row import same, signed, whose_p
from testbed.tables.run import ATTACK, CLEAN
from testbed.types import STACK

WIDE = 26
OWN = "its own stack"
"""What tables call the stack of the cell in which a text was found."""


def lines_of(tables: Mapping[str, Any]) -> Iterator[str]:
    """Matrices of effects, one a budget: attacks × stacks and defences; then defences, transfer and quality."""
    axes, measure = tables["cube"]["axes"], tables["measure"]
    finished = sum(cell["state"] == "finished" for cell in tables["cells"])
    if finished < len(tables["cells"]):
        yield f"partial: {finished} of {len(tables['cells'])} cells are finished; the others are left out"
        yield ""
    if told := failures(tables):
        yield told
        yield ""
    for name in tables["measures"]:
        for budget in axes.get("budget", [None]):
            at = f", {budget} {tables['cube']['unit']}" if budget is not None else ""
            for against in _contrasts(tables):
                title = f"{name} of the attack against {against}{at}"
                yield from _matrix(tables, name, budget, against, title)
    if tables["defences"]:
        yield "what a defence changes, texts searched through it: difference, 95 % interval"
        for row in tables["defences"]:
            yield f"  {_place(row['place']):<44} {row['measure']:<9} {_number(row)}  {row['note']}".rstrip()
        yield ""
    if tables["transfer"]:
        yield f"{measure} of texts found in one cell on other stacks"
        for row in tables["transfer"]:
            victim = OWN if row["victim"] == STACK else visible(row["victim"])
            yield f"  {_place(row['place']):<44} on {victim:<20} {_number(row)}{dagger(tables, row['place'])}"
        yield ""
    yield "quality of clean rankings, and the largest effect of any attack"
    for row in tables["quality"]:
        name = " ".join(part for part in (row["stack"], row["defence"]) if part) or "stack"
        yield f"  {visible(name):<34} {_number(row['quality'])}   {_number(row['worst'])} ({visible(row['attack'])})"


def failures(tables: Mapping[str, Any]) -> str:
    """The cells in which searches failed, in one sentence; '' where there is none."""
    found = [f"{_place(cell['place'])} ({cell['failed']} of {cell['searches']})" for cell in _failed(tables)]
    return f"searches failed in {listed(found, 20)}; no estimate has them" if found else ""


def dagger(tables: Mapping[str, Any], place: Mapping[str, str]) -> str:
    """The mark of a cell in which searches failed."""
    return "†" if any(cell["place"] == place for cell in _failed(tables)) else ""


def daggers(tables: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the mark says of each of these cells that has it."""
    places = [row["place"] for row in rows]
    return [
        f"† {_place(cell['place'])}: {cell['failed']} of {cell['searches']} searches failed; "
        "the effect is that of the others"
        for cell in _failed(tables)
        if cell["place"] in places
    ]


def _failed(tables: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [cell for cell in tables["cells"] if cell["failed"]]


def _contrasts(tables: Mapping[str, Any]) -> list[str]:
    found = [
        row["against"]
        for row in tables["effects"]
        if row["arm"] == ATTACK and row["measure"] == tables["measure"]
    ]
    return [one for one in dict.fromkeys(found) if one in (CLEAN, "random_tokens", "random_items")]


def _matrix(
    tables: Mapping[str, Any], measure: str, budget: str | None, against: str, title: str
) -> Iterator[str]:
    rows = [
        row
        for row in tables["effects"]
        if (row["measure"], row["arm"], row["against"], row["place"].get("budget"))
        == (measure, ATTACK, against, budget)
    ]
    if not rows:
        return
    found = {(row["place"].get("attack", ATTACK), _column(row["place"])): row for row in rows}
    attacks, columns = dict.fromkeys(one for one, _ in found), dict.fromkeys(one for _, one in found)
    tested = any(row["p_holm"] is not None for row in rows)
    yield f"{title}{'; * p < .05 after Holm over all cells' if tested else ''}"
    if tested and (said := whose_p(rows)):
        yield said
    left = max(len(one) for one in attacks) + 2
    yield " " * left + "".join(f"{visible(one)[: WIDE - 2]:<{WIDE}}" for one in columns).rstrip()
    for attack in attacks:
        cells = [found.get((attack, column)) for column in columns]
        told = [f"{_number(row)}{_mark(row)}{dagger(tables, row['place']) if row else ''}" for row in cells]
        yield f"{visible(attack):<{left}}" + "".join(f"{text:<{WIDE}}" for text in told).rstrip()
    yield from daggers(tables, rows)
    yield ""


def _column(place: Mapping[str, str]) -> str:
    return " ".join(place[axis] for axis in ("stack", "defence") if axis in place) or "stack"


def _place(place: Mapping[str, str]) -> str:
    return visible(" ".join(place.values()))


def _mark(row: Mapping[str, Any] | None) -> str:
    return "*" if row and row["p_holm"] is not None and row["p_holm"] < 0.05 else ""


def _number(row: Mapping[str, Any] | None) -> str:
    if not row or row.get("estimate") is None:
        return "-"
    beside = same(row) if row.get("low") is None else f"[{signed(row['low'], 2)}, {signed(row['high'], 2)}]"
    return f"{row['estimate']:+.2f} {beside}".rstrip()
