from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from scenario_plugins import registry
from test_scenario import GOOD

from testbed.errors import Fault, ScenarioError
from testbed.scenario import loads

SCRAPS = st.text(max_size=5) | st.sampled_from(
    [
        "",
        "no",
        "null",
        "[]",
        "{}",
        "{use: llm}",
        "[1, a]",
        "1e5",
        "-1",
        "&a",
        "*a",
        ": ",
        "\n",
        "- ",
        "{",
        "]",
        "!!x",
    ]
)


def faults(text: str, *overrides: str) -> Sequence[Fault]:
    """What is wrong; anything but a ScenarioError is a bug."""
    try:
        loads(text, overrides, file="s.yaml", registry=registry())
    except ScenarioError as error:
        return error.faults or (Fault("an error without a fault"),)
    return ()


@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), SCRAPS), min_size=1, max_size=4))
def test_a_damaged_scenario_is_right_or_has_faults_with_places(cuts: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, scrap in cuts:
        text = text[:start] + scrap + text[start + length :]
    assert all(fault.file == "s.yaml" and fault.line and fault.column for fault in faults(text))


@given(st.text(max_size=40))
def test_an_override_is_right_or_has_faults(override: str) -> None:
    found = faults(GOOD, override, f"attack.{override}", f"stack.{override}")
    assert all(fault.message and str(fault).isprintable() for fault in found)
