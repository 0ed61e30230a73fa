"""What `testbed audit` looks at: the catalog, the stack that ranks it if there is one, and detectors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.errors import UserError, hinted, listed

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.protocols import Detecting
    from testbed.scenario import Scenario, StageChoice
    from testbed.stack import Stack

COUNTS = ("version", "name", "catalog", "stack", "machine")
"""Sections of a scenario that an audit reads."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A scenario, how many stages of its stack rank (none where only detectors look), and further detectors."""

    scenario: Scenario
    ranks: int
    detectors: tuple[StageChoice, ...]


def chosen(
    file: Path | None, catalog: str | None, stack: str | None, detect: Sequence[str], settings: Sequence[str]
) -> Subject:
    """What the options name. UsageError when that is nothing; ScenarioError with faults as they were written."""
    from testbed.scenario import from_mapping, load
    from testbed.scenario.overrides import Typed

    given: list[str] = []
    if catalog is not None:
        given.append(Typed(f"catalog={_choice(catalog)}", f"--catalog {catalog}"))
    if stack is not None:
        given.append(Typed(f"stack={_stack(stack)}", f"--stack {stack}"))
    if file is not None:
        found = load(file, [*given, *settings], only=COUNTS)
        return Subject(found, len(found.stack), _detectors(found, detect, file.parent))
    if catalog is None or (stack is None and not detect):
        raise click.UsageError("name a SCENARIO, or --catalog with --stack or --detect")
    data = _blank({"use": "x"}, 1 if stack is not None else len(detect))
    if stack is not None:
        found = from_mapping(data, [*given, *settings])
        return Subject(found, len(found.stack), _detectors(found, detect, Path()))
    found = from_mapping(data, [*given, *_stages(detect), *settings])
    return Subject(found, 0, found.stack)


def built(subject: Subject) -> tuple[Stack | Catalog, dict[str, Detecting]]:
    """The stack that ranks, or the catalog alone, and detectors by name: those of the stack and further ones.

    UserError for one that is none.
    """
    from testbed.language.precision import set_threads
    from testbed.protocols import Detecting
    from testbed.world import build_stack, load_catalog

    scenario = subject.scenario
    environment = scenario.machine.environment()
    set_threads(environment.threads)
    found: dict[str, Detecting] = {}
    ranked: Stack | Catalog
    if subject.ranks:
        catalog = load_catalog(scenario)
        ranked = build_stack(scenario.stack[: subject.ranks], catalog, environment)
        found |= {node.name: node.stage for node in ranked.nodes if isinstance(node.stage, Detecting)}
    else:
        ranked = catalog = scenario.catalog.plugin.load()
    for choice in subject.detectors:
        stage = choice.plugin.build(catalog, environment)
        if not isinstance(stage, Detecting):
            raise UserError(_no_detector(choice.use))
        found[choice.name] = stage
    return ranked, found


def _detectors(scenario: Scenario, detect: Sequence[str], base: Path) -> tuple[StageChoice, ...]:
    from testbed.scenario import from_mapping

    if not detect:
        return ()
    data = _blank(scenario.as_dict()["catalog"], len(detect))
    return from_mapping(data, _stages(detect), base=base).stack


def _blank(catalog: dict[str, Any], stages: int) -> dict[str, Any]:
    """A scenario whose stages are to be named."""
    return {"version": 1, "name": "audit", "catalog": catalog, "stack": [{"use": "x"}] * stages}


def _stages(detect: Sequence[str]) -> list[str]:
    from testbed.scenario.overrides import Typed

    return [Typed(f"stack.{n}={_choice(one)}", f"--detect {one}") for n, one in enumerate(detect)]


def _choice(text: str) -> str:
    return text if text.lstrip().startswith("{") else f"{{use: {text}}}"


def _stack(text: str) -> str:
    return text if text.lstrip().startswith("[") else f"[{_choice(text)}]"


def _no_detector(name: str) -> str:
    from testbed.registry import installed

    registry = installed()
    known = [
        one for one in registry.names("stages") if getattr(registry.get("stages", one), "detects", False)
    ]
    message = f"{name!r} is no detector: it gives no verdicts on listings (detectors: {listed(known)})"
    return hinted(message, name, known)
