"""Roles of colours. Charts are drawn in stand-in colours that become CSS variables of the page.

So one drawing serves light, dark and print. The palette itself stands in style.css; its hues are those of Okabe & Ito
(2008), told apart by colour-blind readers, and arms differ in marker shape as well.
"""

from __future__ import annotations

ROLES = (
    *("ink", "soft", "line", "paper", "accent"),
    *("grey", "pale", "blue", "green", "purple", "sky", "ochre"),
)
STAND_IN = {role: f"#0101{place:02x}" for place, role in enumerate(ROLES, start=1)}
VARIABLE = {colour: f"var(--{role})" for role, colour in STAND_IN.items()}

ARMS = {
    "clean": ("grey", "s"),
    "clean_again": ("pale", "s"),
    "attack": ("accent", "o"),
    "random_tokens": ("blue", "D"),
    "honest_text": ("green", "^"),
    "random_items": ("sky", "P"),
}
OTHERS = (("purple", "v"), ("sky", "P"), ("ochre", "X"))


def arm_role(arm: str) -> str:
    """The colour role of an arm; arms of other plug-ins get one by their name."""
    return _style(arm)[0]


def arm_marker(arm: str) -> str:
    """The marker shape of an arm."""
    return _style(arm)[1]


def _style(arm: str) -> tuple[str, str]:
    return ARMS.get(arm) or OTHERS[sum(arm.encode("utf-8", "replace")) % len(OTHERS)]
