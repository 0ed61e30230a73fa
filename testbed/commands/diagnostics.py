"""Diagnostics of a run as text; `testbed show RUN --diagnostics` prints it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from testbed.errors import visible
from testbed.tables.row import signed


def lines_of(found: Mapping[str, Any]) -> Iterator[str]:
    """Order sensitivity apart from the attack, then confidence, mass, reasoning steps and names."""
    yield "order sensitivity of clean rankings, apart from any attack"
    for row in found["order"]:
        value = "not given" if row["estimate"] is None else f"{row['estimate']:.3f}"
        yield f"  {row['measure']:<14} {visible(row['target']):<24} {value}  {row['note']}".rstrip()
    for one in found["slots"]:
        yield f"  first in slot {one['slot']:<3} {visible(one['target']):<24} {one['first']:.2f} of {one['n']}"
    for title, key in (
        ("how sure the reader is, before and after", "confidence"),
        ("mass on each listing", "mass"),
    ):
        if found[key]:
            yield f"\n{title}"
        for one in found[key]:
            what, arm = one.get("quantity") or one["item"], one.get("arm", "attack")
            yield f"  {visible(what):<24} {visible(arm):<14} {visible(one['target']):<24} {_shift(one)}"
    if found["steps"]:
        yield "\nby reasoning step"
    for one in found["steps"]:
        yield f"  {visible(one['stage']):<10} {one['arm']:<14} step {one['step']}  {one['quantity']:<8} {_shift(one)}"
    if "names" in found:
        yield from _names(found["names"])


def _names(names: Mapping[str, Any]) -> Iterator[str]:
    yield f"\n{names['measure']} by log p(name) under {visible(names['model'])}, nats a token"
    for one in names["targets"]:
        yield f"  {visible(one['name'])[:36]:<38} {one['log_p']:>7.2f}  clean {_number(one['clean'])}  {_effect(one)}"
    for one in names["bins"]:
        span = f"{len(one['targets'])} names, {one['from']:.2f} to {one['to']:.2f}"
        yield f"  {one['bin']:<10} {span}  clean {_number(one['clean'])}  {_effect(one)}"
    rank = names["rank_correlation"]
    yield f"  rank correlation of log p(name) and effect: {'not given' if rank is None else f'{rank:+.2f}'}"


def _shift(one: Mapping[str, Any]) -> str:
    p = "" if one["p"] is None else f"  p {one['p']:.3f}"
    return f"{one['before']:.3f} -> {one['after']:.3f}  {_effect({**one, 'estimate': one['change']})}{p}"


def _effect(one: Mapping[str, Any]) -> str:
    if one["estimate"] is None:
        return "-"
    bounds = "" if one["low"] is None else f" [{signed(one['low'], 3)}, {signed(one['high'], 3)}]"
    return f"{one['estimate']:+.3f}{bounds}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
