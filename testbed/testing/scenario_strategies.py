"""Hypothesis strategy for scenarios: small, valid, and quick to run with the toys."""

from __future__ import annotations

from typing import Any, get_args

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from testbed.testing.toy_world import GOODS
from testbed.types import Place

ITEMS = [item_id for item_id, *_ in GOODS]


@st.composite
def scenarios(draw: DrawFn, *, attacked: bool | None = None) -> dict[str, Any]:
    """Values in the shape of a scenario file, for `from_mapping(..., registry=toy_registry())`.

    All plug-ins are the toys; a run takes a fraction of a second. `attacked`: with or without an attack.
    """
    noise = draw(st.sampled_from([0.0, 0.5]))
    stack: list[dict[str, Any]] = [{"use": "toy", "noise": noise}]
    if draw(st.booleans()):
        stack.insert(0, {"use": "toy", "name": "first", "k": draw(st.integers(1, len(ITEMS)))})
    data: dict[str, Any] = {
        "version": 1,
        "name": draw(st.from_regex(r"[a-z][a-z0-9]{0,8}(-[a-z0-9]{1,4})?", fullmatch=True)),
        "catalog": {"use": "toy"},
        "stack": stack,
        "hold_out": draw(st.sampled_from(["requests", "orders"])),
        "evaluate": {"requests": draw(st.integers(1, 3)), "orders": draw(st.integers(1, 3))},
        "seeds": draw(st.lists(st.integers(0, 99), min_size=1, max_size=2, unique=True)),
    }
    if attacked is False or (attacked is None and not draw(st.booleans())):
        return data
    data["attack"] = {
        "use": "toy",
        "letters": draw(st.sampled_from(["ae", "xyz", "a"])),
        "objective": {"use": "toy"},
    }
    limits = {"steps": st.integers(0, 3), "queries": st.integers(0, 60), "tokens": st.integers(0, 5000)}
    unit = draw(st.sampled_from(sorted(limits)))
    data["threat"] = {
        "access": draw(st.sampled_from(["scores", "gradients"])),
        "field": draw(st.sampled_from(["Description", "Price"])),
        "place": draw(st.sampled_from(get_args(Place))),
        "budget": {"steps": 3, unit: draw(limits[unit])},
    }
    data["targets"] = {"items": draw(st.lists(st.sampled_from(ITEMS), min_size=1, max_size=2, unique=True))}
    data["optimise"] = {
        "requests": draw(st.integers(1, 2)),
        "orders": draw(st.integers(1, 2)),
        "slots": draw(st.sampled_from(["spread", "late"])),
    }
    data["validate"] = {"requests": 1, "orders": draw(st.integers(1, 2))}
    others = draw(st.lists(st.sampled_from(["attack", "random_tokens", "honest_text"]), unique=True))
    data["evaluate"]["arms"] = ["clean", *others]
    return data
