"""Plain values → YAML that reads back as the same values."""

from __future__ import annotations

from typing import Any

import yaml

from testbed.scenario.scalars import needs_quotes, written


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = '"' if needs_quotes(value) or not value.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style)


def _number(dumper: _Dumper, value: float) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:float", written(value))


_Dumper.add_representer(str, _text)
_Dumper.add_representer(float, _number)


def dump(data: dict[str, Any]) -> str:
    """YAML text, keys in their order, small collections on one line."""
    text: str = yaml.dump(
        data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None
    )
    return text
