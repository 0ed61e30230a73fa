"""Which stack was attacked, by whom, with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from testbed.report.numbers import count
from testbed.report.source import Source
from testbed.report.text import name


def victim(source: Source) -> list[tuple[str, str]]:
    """Term and text, for a list."""
    facts = [(f"Stage {name(stage.get('name', '?'))}", _stage(source, stage)) for stage in source.stack]
    for number, stack in enumerate(source.surrogates, start=1):
        facts += [
            (f"Surrogate {number}, stage {name(stage.get('name', '?'))}", _stage(source, stage))
            for stage in stack
        ]
    catalog = source.section("catalog")
    if catalog:
        items, requests = (catalog.get(part) for part in ("items", "requests"))
        facts.append(("Catalog", f"{name(catalog.get('name', '?'))}: {items} listings, {requests} requests"))
    attack, threat = source.section("attack"), source.section("threat")
    if attack:
        limits = _mapping(threat.get("budget"))
        budget = ", ".join(
            f"{amount} {name(unit).replace('_', ' ')}" for unit, amount in limits.items() if amount
        )
        parts = [name(attack.get("use", "?")), f"sees {name(threat.get('access', '?'))}"]
        parts.append(
            f"may {name(threat.get('place', 'append'))} text in the field {name(threat.get('field', '?'))}"
        )
        if threat.get("history"):
            parts.append(f"may put {name(threat['history'])} items into histories")
        if source.surrogates:
            parts.append("searches on the surrogates alone")
        facts.append(("Attacker", ", ".join(parts) + (f"; budget {budget}" if budget else "")))
    facts.append(("Machine", ", ".join(_machine(source)) or "not recorded"))
    return facts


def _stage(source: Source, stage: Mapping[str, Any]) -> str:
    options = _mapping(stage.get("options"))
    parts = [name(stage.get("use", "?"))]
    model = options.get("model") or options.get("encoder")
    if model is not None:
        parts.append(f"model {name(model, 60)}")
        parts += _about(source.section("models").get(str(model)))
    parts += [
        f"{key} {name(options[key], 40)}" for key in ("reading", "order", "template") if options.get(key)
    ]
    return ", ".join(parts)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _about(model: Any) -> list[str]:
    """What the manifest knows about a model's weights."""
    if not isinstance(model, Mapping):
        return []
    parts = []
    if isinstance(model.get("parameters"), int):
        parts.append(f"{model['parameters'] / 1e6:,.0f} M parameters")
    if model.get("dtype"):
        parts.append(name(model["dtype"]))
    tuned = model.get("tuned")
    parts.append(f"tuned from {name(tuned, 60)}" if tuned else "no tuning recorded")
    if model.get("fingerprint"):
        parts.append(f"fingerprint {name(model['fingerprint'], 16)}")
    return parts


def _machine(source: Source) -> list[str]:
    manifest = source.manifest
    parts = [name(manifest[key]) for key in ("device", "dtype") if manifest.get(key)]
    if isinstance(manifest.get("threads"), int):
        parts.append(count(manifest["threads"], "thread"))
    return parts
