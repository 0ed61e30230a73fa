"""The manifest of a run: everything about it that is not a record."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from testbed.language.load import tuned_from
from testbed.warm import fingerprints

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.scenario import Scenario, StageChoice
    from testbed.world import World

SCHEMA = 1
PACKAGES = ("ranking-testbed", "torch", "transformers", "tokenizers", "numpy", "faiss-cpu", "bm25s")


def describe(world: World, argv: Sequence[str], started: str) -> dict[str, Any]:
    """The manifest of a run that begins: enough to compute every measure from the records alone."""
    import torch

    scenario, catalog = world.scenario, world.catalog
    models = _models(world)
    first: dict[str, Any] = next(iter(models.values()), {})
    attack = scenario.attack
    return {
        "schema": SCHEMA,
        "name": scenario.name,
        "scenario_hash": scenario.hash,
        "state": "running",
        "started": started,
        "finished": None,
        "argv": list(argv),
        "versions": {"python": platform.python_version(), **_versions()},
        "device": first.get("device", "cpu"),
        "dtype": first.get("dtype", "float32"),
        "threads": torch.get_num_threads(),
        "machine": {"system": platform.platform(), "processor": platform.processor() or platform.machine()},
        "models": models,
        "catalog": {
            "name": catalog.name,
            "fingerprint": catalog.fingerprint,
            "items": len(catalog),
            "requests": len(catalog.requests),
            "name_field": catalog.name_field,
            "rule": catalog.rule,
        },
        **_catalog_facts(world),
        "targets": {
            target.item_id: {
                "field": target.field,
                "place": target.place,
                "text": catalog.fields(target.item_id).get(target.field, ""),
            }
            for target in scenario.target_list
        },
        "splits": {
            name: [[situation.request, situation.order, situation.slot] for situation in situations]
            for name, situations in world.plan.splits.items()
        },
        "seeds": list(scenario.seeds),
        "arms": list(dict.fromkeys(arm.name for trial in world.plan.evaluations for arm in trial.arms)),
        "measures": list(scenario.measures),
        "stack": _stages(scenario.stack),
        "surrogates": [_stages(stack) for stack in scenario.surrogates],
        **_transfer(scenario),
        "threat": scenario.threat.model_dump(mode="json", exclude={"surrogates"})
        if scenario.threat
        else None,
        "attack": scenario.as_dict().get("attack") if attack else None,
        "warm_start": fingerprints(attack.plugin, [target.item_id for target in scenario.target_list])
        if attack
        else {},
        "reproducible": scenario.reproducible,
        "notes": _notes(world),
    }


def _catalog_facts(world: World) -> dict[str, Any]:
    """Names, judgements and violations, for the items and requests that can appear in a ranking of this run."""
    catalog = world.catalog
    used = {situation.request for situations in world.plan.splits.values() for situation in situations}
    requests = [request for request in catalog.requests if request.id in used]
    return {
        "items": {item: catalog.name_of(item) for item in catalog.ids},
        "requests": {request.id: request.text for request in requests},
        "judgements": {request.id: dict(catalog.judgements.get(request.id, {})) for request in requests},
        "constraints": {request.id: _violating(catalog, request.id) for request in requests},
    }


def _violating(catalog: Catalog, request_id: str) -> list[str]:
    request = catalog.request(request_id)
    wishes = request.constraints
    if not wishes or not catalog.attributes:
        return []
    rows = [catalog.rows[item] for item in request.candidates] or range(len(catalog))
    return [
        catalog.ids[row]
        for row in rows
        for facts in (catalog.attributes[row],)
        if not all(wish.holds(facts) for wish in wishes)
    ]


def _stages(choices: Sequence[StageChoice]) -> list[dict[str, Any]]:
    return [
        {
            "name": choice.name,
            "use": choice.use,
            "inputs": list(choice.inputs),
            "options": _plain(choice.options),
            "deterministic": choice.plugin.deterministic,
        }
        for choice in choices
    ]


def _transfer(scenario: Scenario) -> dict[str, Any]:
    """Sources and other victims; nothing where no text travels."""
    if not scenario.victims:
        return {}
    victims = {name: _stages(stack) for name, stack in scenario.victims.items()}
    return {"transfer": {"sources": list(scenario.sources), "victims": victims}}


def _models(world: World) -> dict[str, dict[str, Any]]:
    """Those that stages show as theirs first, then whatever else the environment handed out."""
    found: dict[str, dict[str, Any]] = {}
    shown = (getattr(node.stage, "model", None) for stack in world.stacks for node in stack.nodes)
    for model in (*shown, *world.environment.used.values()):
        if hasattr(model, "fingerprint") and model.name not in found:
            found[model.name] = {
                "fingerprint": model.fingerprint,
                "parameters": getattr(model, "parameters", None),
                "device": str(getattr(model, "device", "cpu")),
                "dtype": str(getattr(model, "dtype", "float32")).removeprefix("torch."),
            }
            if base := tuned_from(model.name):
                found[model.name]["tuned"] = base
    return found


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _notes(world: World) -> list[str]:
    notes: list[str] = []
    for node in (node for stack in world.stacks for node in stack.nodes):
        notes += getattr(node.stage, "notes", ())
    if world.stack.deterministic:
        notes.append(
            "No clean_again arm: every stage is deterministic, so the same call gives the same ranking "
            "and the noise floor is zero."
        )
    if world.surrogates:
        number = "another stack" if len(world.surrogates) == 1 else f"{len(world.surrogates)} stacks at once"
        notes.append(
            f"Transfer: the texts were searched on {number} and only measured on this one; access and budget "
            "are those on what was searched."
        )
    if not world.scenario.reproducible:
        notes.append("The budget counts seconds, so this run cannot be repeated exactly.")
    return notes


def _plain(options: dict[str, Any]) -> dict[str, Any]:
    import json

    plain: dict[str, Any] = json.loads(json.dumps(options, default=str))
    return plain
