"""A game's tables as Markdown: payoffs, equilibria, and a sentence that says what pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.errors import visible

UNITS = {"exposure": "exposure, 1 / log2(1 + rank)", "first": "share of rankings with the listing first"}


def text(tables: Mapping[str, Any]) -> str:
    """The whole report."""
    parts = [f"Payoff: {UNITS[tables['payoff']]}; {tables['situations']} rankings a joint choice."]
    parts += [_matrix(tables) if len(tables["vendors"]) == 2 else _listed(tables)]
    for one in tables["logit"]:
        parts.append(f"**Logit equilibrium, temperature {one['temperature']:g}**\n\n{_mixed(one, tables)}")
    for number, one in enumerate(tables["nash"], start=1):
        exact = "" if one["exploitability"] < 1e-6 else f" (approximate: {one['exploitability']:.3f} to gain)"
        parts.append(f"**Nash equilibrium {number}{exact}**\n\n{_mixed(one, tables)}")
    parts.append(sentence(tables))
    return "\n\n".join(parts) + "\n"


def sentence(tables: Mapping[str, Any]) -> str:
    """What vendors and users have of it, compared with nobody writing anything."""
    cold = min(tables["logit"], key=lambda one: one["temperature"])
    rest = tables["strategies"][0]
    start = next(one for one in tables["profiles"] if set(one["profile"]) == {rest})
    gains = [
        f"{visible(one['vendor'])} {one['payoff'] - before['estimate']:+.2f}"
        for one, before in zip(cold["vendors"], start["payoffs"], strict=True)
    ]
    told = (
        f"In the equilibrium at temperature {cold['temperature']:g}, compared with everybody's choosing "
        f"{visible(rest)}: {', '.join(gains)}"
    )
    if cold["nDCG@10"] is not None:
        told += f"; nDCG@10 {cold['nDCG@10']:.3f} instead of {start['nDCG@10']:.3f}"
    return told + "."


def _matrix(tables: Mapping[str, Any]) -> str:
    """Two vendors: the first chooses the row, the second the column; `first, second` in each cell."""
    names, (first, second) = tables["strategies"], tables["vendors"]
    cells = {tuple(one["profile"]): one for one in tables["profiles"]}
    head = [f"{visible(first)} ↓, {visible(second)} →", *map(visible, names)]
    lines = [
        [
            visible(row),
            *(", ".join(_number(one) for one in cells[row, column]["payoffs"]) for column in names),
        ]
        for row in names
    ]
    return _table(head, lines)


def _listed(tables: Mapping[str, Any]) -> str:
    head = [*map(visible, tables["vendors"]), "payoffs"]
    lines = [
        [*map(visible, one["profile"]), ", ".join(_number(value) for value in one["payoffs"])]
        for one in tables["profiles"]
    ]
    return _table(head, lines)


def _mixed(one: Mapping[str, Any], tables: Mapping[str, Any]) -> str:
    names = tables["strategies"]
    ranges = one.get("resampled", {})
    lines = []
    for vendor in one["vendors"]:
        cells = [visible(vendor["vendor"])]
        for name in names:
            low_high = ranges.get(vendor["vendor"], {}).get(name)
            more = f" [{low_high[0]:.2f}, {low_high[1]:.2f}]" if low_high else ""
            cells.append(f"{vendor['strategies'][name]:.2f}{more}")
        lines.append([*cells, f"{vendor['payoff']:.3f}"])
    return _table(["", *map(visible, names), "payoff"], lines)


def _number(value: Mapping[str, Any]) -> str:
    if value["low"] is None:
        return f"{value['estimate']:.2f}"
    return f"{value['estimate']:.2f} [{value['low']:.2f}, {value['high']:.2f}]"


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    written = [f"| {' | '.join(line)} |" for line in lines]
    return "\n".join([f"| {' | '.join(head)} |", "|---" * len(head) + "|", *written])
