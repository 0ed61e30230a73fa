"""From a scenario and options to a shop that is ready for visitors, with its log."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError, hinted, listed
from testbed.serve.lines import ServerLine
from testbed.serve.log import SessionLog
from testbed.serve.sessions import Sessions, now
from testbed.serve.shop import Shop
from testbed.serve.showing import Showing, digest
from testbed.serve.tools import NEEDED, TOOLS
from testbed.stack import SOURCE, Stack

if TYPE_CHECKING:
    from testbed.scenario import Scenario
    from testbed.world import World


@dataclass(frozen=True, slots=True)
class Offer:
    """What visitors may do. `search`: the stage whose ranking `search` shows, by default what the last one reads.

    `shuffled`: results of `search` stand in the session's presentation order, else best first.
    """

    tools: tuple[str, ...] = tuple(TOOLS)
    search: str | None = None
    shuffled: bool = True


def check_tools(names: Sequence[str]) -> tuple[str, ...]:
    """Tools in their usual order; UserError for one that there is not, and without the one that makes a result."""
    for name in names:
        if name not in TOOLS:
            raise UserError(
                hinted(f"--tools: there is no tool {name!r} (tools: {listed(TOOLS)})", name, TOOLS)
            )
    if NEEDED not in names:
        raise UserError(f"--tools: {NEEDED!r} cannot be left out; without it a session has no result")
    return tuple(name for name in TOOLS if name in names)


def open_shop(
    scenario: Scenario,
    scenario_text: str,
    showing_of: dict[str, Any],
    offer: Offer,
    log: Path,
    session: int | None = None,
) -> Sessions:
    """Load what is needed and write down what is shown. `showing_of`: the arguments of `Showing.of`."""
    from testbed.arms import inserted_by, text_of

    world = _world(scenario, with_last="recommend" in offer.tools or showing_of["arm"] not in MODEL_FREE)
    showing = Showing.of(scenario, world.catalog, world.plan, **showing_of)
    if session is not None and session >= len(showing.cells):
        raise UserError(f"--session {session}: the plan has the sessions 0 to {len(showing.cells) - 1}")
    found = {showing.attack.seed: showing.attack} if showing.attack else {}
    text = text_of(showing.arm, showing.target, world.stack, found) if showing.target else ""
    history = inserted_by(showing.arm, showing.target, world.stack, found) if showing.target else ()
    searched, name = search_stack(world.stack, scenario, offer.search)
    shop = Shop(
        catalog=world.catalog,
        showing=showing,
        text=text,
        search=searched,
        recommender=world.stack if "recommend" in offer.tools else None,
        offered=offer.tools,
        shuffled=offer.shuffled,
        history=history,
    )
    line = _server_line(world, shop, name, scenario_text)
    try:
        journal = SessionLog(log)
        journal.register(line)
    except OSError as fault:
        raise UserError(f"{log}: cannot be written: {fault.strerror or fault}") from None
    return Sessions(shop, journal, line.server, session)


MODEL_FREE = ("clean", "clean_again", "attack")
"""Arms whose text is known without the victim's tokenizer."""


def _world(scenario: Scenario, *, with_last: bool) -> World:
    """The scenario built; without its last stage where nobody asks for that one and another can search."""
    from testbed.language.precision import set_threads
    from testbed.plan import plan
    from testbed.world import World, build_stack, load_catalog

    catalog = load_catalog(scenario)
    environment = scenario.machine.environment()
    set_threads(environment.threads)
    choices = scenario.stack if with_last or len(scenario.stack) == 1 else scenario.stack[:-1]
    sinks = {choice.name for choice in choices} - {name for choice in choices for name in choice.inputs}
    stack = build_stack(choices if len(sinks) == 1 else scenario.stack, catalog, environment)
    return World(scenario, catalog, stack, plan(scenario, catalog, deterministic=False), environment)


def search_stack(stack: Stack, scenario: Scenario, stage: str | None) -> tuple[Stack, str]:
    """The part of the stack that ends in the searching stage, and that stage's name.

    By default it is what the last stage of the scenario reads; where that is the catalog, the last stage itself.
    """
    import networkx as nx

    names = [node.name for node in stack.nodes]
    if stage is None:
        inputs = [name for name in scenario.stack[-1].inputs if name != SOURCE]
        if len(inputs) > 1:
            raise UserError(
                f"{scenario.stack[-1].name} reads several stages; choose one with --search: {listed(inputs)}"
            )
        stage = inputs[0] if inputs else scenario.stack[-1].name
    elif stage not in names:
        raise UserError(
            hinted(f"--search: there is no stage {stage!r} (stages: {listed(names)})", stage, names)
        )
    kept = nx.ancestors(stack.graph, stage) | {stage}
    return Stack(stack.catalog, [node for node in stack.nodes if node.name in kept], stack.seed), stage


def _server_line(world: World, shop: Shop, search: str, scenario_text: str) -> ServerLine:
    from testbed.manifest import describe

    showing, scenario = shop.showing, world.scenario
    parts: dict[str, Any] = {
        "arm": showing.arm.name,
        "seed": showing.arm.seed,
        "replicate": showing.arm.replicate,
        "target": showing.target.item_id if showing.target else None,
        "text": shop.text,
        "shop": {
            "scenario_hash": scenario.hash,
            "catalog": world.catalog.fingerprint,
            "tools": list(shop.offered),
            "search": search,
            "shuffled": shop.shuffled,
            "line": shop.line,
        },
        "attack": dataclasses.asdict(showing.attack) if showing.attack else None,
    }
    return ServerLine(
        **parts,
        server=digest(parts),
        manifest=describe(world, sys.argv[1:], now()),
        scenario=scenario_text,
        time={"at": now()},
    )
