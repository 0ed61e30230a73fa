"""What a scenario asks of its catalog: targets, fields, requests and honest texts that must be there."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from testbed.errors import Fault, UserError, did_you_mean, listed, shown
from testbed.scenario.checks import Found
from testbed.scenario.sections import Split
from testbed.scenario.source import Source

if TYPE_CHECKING:
    from testbed.catalog import Catalog
    from testbed.scenario.model import Scenario


def faults(scenario: Scenario, catalog: Catalog, source: Source | None) -> list[Fault]:
    """Every fault, in the order of the scenario; empty when the catalog has all that is asked of it."""
    places = source or Source("")
    checks = (_targets, _field, _requests, _counts, _offered, _slots, _honest, _judged, _earlier_texts)
    found = [places.fault_at(*fault) for check in checks for fault in check(scenario, catalog)]
    return sorted(found, key=lambda fault: (fault.file, fault.line, fault.column))


def _targets(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    for index, item in enumerate(scenario.targets.items if scenario.targets else ()):
        if item not in catalog.rows:
            yield (
                ("targets", "items", index),
                f"no item {shown(item)} in {catalog.name}",
                _near(item, catalog.ids),
            )


def _field(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    if scenario.threat is not None and scenario.threat.field not in catalog.columns:
        field = scenario.threat.field
        yield ("threat", "field"), f"no field {shown(field)} in {catalog.name}", _near(field, catalog.columns)


def _requests(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    known = [request.id for request in catalog.requests]
    for name, split in _splits(scenario):
        for index, request in enumerate(split.requests if isinstance(split.requests, tuple) else ()):
            if request not in known:
                message = f"no request {shown(request)} in {catalog.name}"
                yield (name, "requests", index), message, _near(request, known)


def _counts(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    """Enough requests for all splits together, or for the largest when only orders are held out."""
    have = len(catalog.requests)
    if not have:
        yield ("catalog",), f"{catalog.name} has no requests", "a catalog for a run needs at least one"
        return
    wanted = {
        name: len(split.requests)
        if isinstance(split.requests, tuple)
        else 1
        if split.requests == "all"
        else split.requests
        for name, split in _splits(scenario)
    }
    if scenario.hold_out == "orders":
        for name, number in wanted.items():
            if number > have:
                yield (
                    (name, "requests"),
                    f"{number} requests are asked for, {catalog.name} has {have}",
                    "ask for fewer",
                )
    elif sum(wanted.values()) > have:
        asked = ", ".join(f"{name} {number}" for name, number in wanted.items())
        message = f"{sum(wanted.values())} requests are asked for ({asked}), {catalog.name} has {have}"
        yield ("evaluate", "requests"), message, "ask for fewer, or write hold_out: orders"


def _offered(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    """Where a request has its own candidates, the target is one of them."""
    from testbed.plan import draw_requests

    offered = {request.id: request.candidates for request in catalog.requests if request.candidates}
    if not offered or scenario.targets is None:
        return
    drawn = draw_requests(scenario, catalog)
    used = [name for name, _ in _splits(scenario) if name != "validate" or len(scenario.seeds) > 1]
    for name in used:
        for item in scenario.targets.items:
            measured = drawn["test" if name == "evaluate" else name]
            without = [one for one in measured if one in offered and item not in offered[one]]
            if without and item in catalog.rows:
                where = [one for one, items in offered.items() if item in items][:3]
                hint = f"it is one for {listed(where)}" if where else "it is one for no request"
                message = f"target {shown(item)} is no candidate for request {shown(without[0])}"
                yield (name, "requests"), message, hint


def _slots(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    slots = scenario.optimise.slots
    for index, slot in enumerate(slots if isinstance(slots, tuple) else ()):
        if slot >= catalog.pool:
            message = f"no position {slot} among {catalog.pool} items"
            yield ("optimise", "slots", index), message, f"positions are 0 to {catalog.pool - 1}"


def _honest(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    if "honest_text" not in scenario.evaluate.arms:
        return
    path = ("evaluate", "arms", scenario.evaluate.arms.index("honest_text"))
    for item in scenario.targets.items if scenario.targets else ():
        if item in catalog.rows and not catalog.item(item).honest_text:
            yield (
                path,
                f"{catalog.name} has no honest text for {shown(item)}",
                "leave the arm honest_text out",
            )


def _judged(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    """Judgements for measures that need them, unless the measures are those that come by default.

    Defaults written out are let through like defaults left out: a stored scenario spells out all of them.
    """
    from testbed.measures import Change, parse
    from testbed.scenario.model import ATTACK_MEASURES, MEASURES

    if scenario.measures in (MEASURES, ATTACK_MEASURES):
        return
    if any(grade > 0 for grades in catalog.judgements.values() for grade in grades.values()):
        return
    for index, name in enumerate(scenario.measures):
        measure = parse(name)
        level = measure.level if isinstance(measure, Change) else measure
        if level.section == "quality":
            message = f"{catalog.name} has no judgements, which {name} needs"
            yield ("measures", index), message, "leave the measure out"


def _earlier_texts(scenario: Scenario, catalog: Catalog) -> Iterator[Found]:
    """A run that an attack starts from has a text for every target."""
    from testbed.warm import warm_starts

    if scenario.attack is None or scenario.targets is None:
        return
    for name, start in warm_starts(scenario.attack.plugin):
        for item in scenario.targets.items:
            try:
                start.text(item)
            except UserError as error:
                yield ("attack", name), str(error), ""


def _splits(scenario: Scenario) -> Iterator[tuple[str, Split]]:
    """Name and split; without an attack only `evaluate` counts."""
    if scenario.attack is not None:
        yield "optimise", scenario.optimise
        yield "validate", scenario.validation
    yield "evaluate", scenario.evaluate


def _near(name: str, known: Collection[str]) -> str:
    return did_you_mean(name, known) or f"known: {listed(known)}"
