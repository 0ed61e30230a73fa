"""One request line: its texts, wishes and judgements, checked one by one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from catalogs.judging import Preference
from catalogs.loaders.faults import SHOWN, hint, unknown_keys
from catalogs.loaders.lines import kind
from catalogs.loaders.texts import id_fault, text_fault
from catalogs.loaders.wishes import WishError, constraint, preference
from testbed.errors import shown
from testbed.types import Constraint, Request

KEYS = ("id", "text", "constraints", "prefer", "judgements", "history", "dialogue", "goal")


class RequestLine:
    """What one line says; `messages` holds what is wrong with it, and only without any is the rest of use.

    `ids`: known item ids; `kinds`: known attributes and their type in words.
    """

    def __init__(
        self, raw: dict[str, Any], ids: Mapping[str, int], kinds: Mapping[str, str], max_chars: int
    ) -> None:
        self.messages = unknown_keys(raw, KEYS)
        self.max_chars = max_chars
        self.request_id = self._text(raw, "id")
        if self.request_id.strip() and (message := id_fault(self.request_id)):
            self.messages.append(message)
        self.text = self._text(raw, "text")
        self.goal = self._text(raw, "goal") if "goal" in raw else ""
        self.dialogue = self._texts(raw, "dialogue")
        self.history = self._texts(raw, "history")
        for item_id in self.history:
            if item_id not in ids and len(self.messages) < SHOWN:
                self.messages.append(f"'history' has the unknown item {shown(item_id)}{hint(item_id, ids)}")
        self.constraints: list[Constraint] = self._wishes(raw, "constraints", constraint, kinds)
        self.preferences: list[Preference] = self._wishes(raw, "prefer", preference, kinds)
        self.judgements = self._judgements(raw["judgements"], ids) if "judgements" in raw else None
        if self.judgements is not None and "prefer" in raw:
            self.messages.append("'judgements' and 'prefer' exclude each other: grades are given or derived")

    def request(self) -> Request:
        """The request, without what it prefers."""
        return Request(
            self.request_id,
            self.text,
            history=tuple(self.history),
            dialogue=tuple(self.dialogue),
            goal=self.goal,
            constraints=tuple(self.constraints),
        )

    def _text(self, raw: Mapping[str, Any], key: str) -> str:
        value = raw.get(key)
        if not isinstance(value, str):
            what = f"must be text, not {kind(value)}" if key in raw else "is missing"
            self.messages.append(f"{shown(key)} {what}")
            return ""
        if fault := text_fault(value, self.max_chars):
            self.messages.append(f"{shown(key)} {fault}")
        return value

    def _list(self, raw: Mapping[str, Any], key: str) -> list[Any]:
        value = raw.get(key, [])
        if isinstance(value, list):
            return value
        self.messages.append(f"{shown(key)} must be a list, not {kind(value)}")
        return []

    def _texts(self, raw: Mapping[str, Any], key: str) -> list[str]:
        return [
            self._text({f"{key}[{n}]": value}, f"{key}[{n}]") for n, value in enumerate(self._list(raw, key))
        ]

    def _wishes(self, raw: Mapping[str, Any], key: str, read: Any, kinds: Mapping[str, str]) -> list[Any]:
        wishes = []
        for number, value in enumerate(self._list(raw, key)):
            try:
                wishes.append(read(value, kinds))
            except WishError as fault:
                self.messages.append(f"{key}[{number}]: {fault}")
        return wishes

    def _judgements(self, raw: Any, ids: Mapping[str, int]) -> dict[str, int]:
        if not isinstance(raw, dict):
            self.messages.append(f"'judgements' must be an object of item ids and grades, not {kind(raw)}")
            return {}
        for item_id, value in raw.items():
            if len(self.messages) >= SHOWN:
                break
            if item_id not in ids:
                self.messages.append(f"judgement for the unknown item {shown(item_id)}{hint(item_id, ids)}")
            if not isinstance(value, int) or isinstance(value, bool) or value < 0:
                self.messages.append(
                    f"the grade of {shown(item_id)} must be a whole number from 0, not {shown(value)}"
                )
        return {item_id: value for item_id, value in raw.items() if isinstance(value, int) and value > 0}
