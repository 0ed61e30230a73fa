"""What the parts of a scenario ask of each other. Each check reads sections that are valid in themselves."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from testbed.errors import did_you_mean, listed, shown
from testbed.protocols import Access, AttackPlugin, Plugin, StagePlugin
from testbed.scenario.choices import StageChoice
from testbed.scenario.model import SOURCE, Scenario
from testbed.scenario.source import Path
from testbed.types import STACK

Found = tuple[Path, str, str]
"""Path, message, hint."""
Plugins = Mapping[Path, Plugin]
"""Path of a choice → its plug-in, where its options are right."""
Check = Callable[[Scenario, Plugins], Iterator[Found]]


def attack_needs(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """An attack needs targets, a threat that grants what it reads, an objective and an end."""
    attack, threat = scenario.attack, scenario.threat
    if attack is None:
        return
    if scenario.targets is None:
        yield ("attack",), "an attack needs targets", "add targets: {items: [...]}"
    if threat is None:
        yield (
            ("attack",),
            "an attack needs a threat",
            "add threat: {access: ..., field: ..., budget: {steps: ...}}",
        )
    plugin = plugins.get(("attack",))
    if not isinstance(plugin, AttackPlugin):
        return
    if threat is not None and plugin.access > threat.access:
        message = f"{attack.use} reads {plugin.access.name}, but the threat grants {threat.access.name}"
        yield ("attack", "use"), message, f"write threat.access: {plugin.access.name} or take another attack"
    if threat is not None and plugin.access > Access.none and not threat.budget.limits():
        units = listed(type(threat.budget).model_fields)
        yield ("threat",), f"the budget names no limit (units: {units})", "add budget: {steps: 40}"
    if plugin.access >= Access.scores and not (attack.objective or hasattr(plugin, "objective")):
        yield ("attack",), f"{attack.use} needs an objective", "add objective: {use: first_item}"


def threat_needs(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """Targets are written to, so somebody has to say where."""
    if scenario.targets is not None and scenario.threat is None and scenario.attack is None:
        yield ("targets",), "targets need a threat that names the field", "add threat: {field: ...}"


def text_fits(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """An attack that says how long its text is (an option `tokens`) stays within what the threat allows."""
    allowed = scenario.threat.max_tokens if scenario.threat is not None else None
    wanted = getattr(plugins.get(("attack",)), "tokens", None)
    if allowed is not None and isinstance(wanted, int) and allowed < wanted:
        message = f"the attack's text has {wanted} tokens, but only {allowed} are allowed"
        yield ("threat", "max_tokens"), message, f"write attack.tokens: {allowed} or max_tokens: {wanted}"


def history_fits(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """An attack that puts items into histories stays within what the threat allows."""
    plugin, threat = plugins.get(("attack",)), scenario.threat
    if not isinstance(plugin, AttackPlugin) or threat is None or plugin.inserts <= (threat.history or 0):
        return
    wanted = f"the attack puts {plugin.inserts} item{'s' * (plugin.inserts > 1)} into histories"
    if threat.history is None:
        yield ("threat",), f"{wanted}, which the threat does not allow", f"add history: {plugin.inserts}"
    else:
        message = f"{wanted}, but only {threat.history} {'is' if threat.history == 1 else 'are'} allowed"
        yield ("threat", "history"), message, f"write history: {plugin.inserts}, or take fewer"


def machine_spelled(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """Device and number format have a spelling that exists; whether the machine has them shows when it runs."""
    from testbed.language.precision import DTYPES

    device, dtype = scenario.machine.device, scenario.machine.dtype
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]{1,3})?", device):
        hint = did_you_mean(device, ("auto", "cpu", "cuda", "mps"))
        message = f"unknown device {shown(device)}"
        yield ("machine", "device"), message, hint or "known: auto, cpu, cuda, cuda:<number>, mps"
    if dtype not in ("auto", *DTYPES):
        hint = did_you_mean(dtype, ("auto", *DTYPES))
        message = f"unknown number format {shown(dtype)}"
        yield ("machine", "dtype"), message, hint or f"known: {listed(('auto', *DTYPES))}"


def arms_need(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """Arms other than clean need somebody who writes, and somewhere to write."""
    for index, arm in enumerate(scenario.evaluate.arms):
        path: Path = ("evaluate", "arms", index)
        if arm == "attack" and scenario.attack is None:
            yield path, "the arm attack needs an attack", "leave it out or add attack: {use: ...}"
        elif arm == "random_tokens" and scenario.attack is None:
            yield path, "the arm random_tokens needs an attack, whose length it takes", "leave it out"
        elif arm == "random_items" and (scenario.attack is None or not _inserts(scenario)):
            message = "the arm random_items needs an attack on histories, whose number of items it takes"
            yield path, message, "leave it out or add threat.history"
        elif arm == "honest_text" and scenario.targets is None and scenario.attack is None:
            yield path, "the arm honest_text needs targets", "leave it out or add targets: {items: [...]}"


def _inserts(scenario: Scenario) -> int:
    return (scenario.threat.history or 0) if scenario.threat is not None else 0


def splits_apart(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """No request is in two splits, unless only orders are held out."""
    if scenario.hold_out == "orders":
        return
    home: dict[str, str] = {}
    splits = {"optimise": scenario.optimise, "validate": scenario.validation, "evaluate": scenario.evaluate}
    for name, split in splits.items():
        for index, request in enumerate(split.requests if isinstance(split.requests, tuple) else ()):
            if home.setdefault(request, name) != name:
                message = f"the request {shown(request)} is in {home[request]} already"
                yield (name, "requests", index), message, "name others, or write hold_out: orders"
        if split.requests == "all" and name != "evaluate":
            yield (
                (name, "requests"),
                "all leaves no request to evaluate on",
                "name some, or write hold_out: orders",
            )


def stack_joins(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """The stages of the stack fit together."""
    yield from _joins(scenario.stack, ("stack",), plugins)


def surrogates_join(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """The stages of each surrogate fit together."""
    surrogates = scenario.threat.surrogates if scenario.threat is not None else None
    for index, stack in enumerate(surrogates or ()):
        yield from _joins(stack, ("threat", "surrogates", index), plugins)


def victims_join(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """The stages of each victim of a transfer fit together."""
    for name, stack in (scenario.transfer.victims if scenario.transfer else {}).items():
        yield from _joins(stack, ("transfer", "victims", name), plugins)


def transfer_needs(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """Texts that travel are found by an attack, on stacks that there are."""
    if scenario.transfer is None:
        return
    if scenario.attack is None or "attack" not in scenario.evaluate.arms:
        yield ("transfer",), "a transfer needs an attack whose arm is measured", "add attack: {use: ...}"
    if STACK in scenario.transfer.victims:
        message = f"the name {shown(STACK)} stands for the scenario's own stack"
        yield ("transfer", "victims", STACK), message, "give the victim another name"
    known = [STACK, *scenario.transfer.victims]
    for index, name in enumerate(scenario.transfer.sources):
        path: Path = ("transfer", "sources", index)
        if name not in known:
            hint = did_you_mean(name, known) or f"known: {listed(known)}"
            yield path, f"there is no victim {shown(name)}", hint
    surrogates = scenario.threat.surrogates if scenario.threat is not None else None
    if surrogates and set(scenario.transfer.sources) != {STACK}:
        message = "with surrogates there is one source, the surrogates together"
        yield (
            ("transfer", "sources"),
            message,
            "leave sources out, or make the surrogates victims and name them here",
        )
    if not surrogates and STACK not in scenario.transfer.sources:
        yield (
            ("transfer", "sources"),
            f"{shown(STACK)} is missing: it is attacked in any case",
            "name it first",
        )


def stages_seen(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """The stages that an attacker sees are stages of the stack, in its order, and the stack is what is searched on."""
    stages = scenario.threat.stages if scenario.threat is not None else None
    if scenario.threat is None or not stages:
        return
    names = [stage.name or stage.use for stage in scenario.stack]
    for index, name in enumerate(stages):
        path: Path = ("threat", "stages", index)
        if name not in names:
            hint = did_you_mean(name, names) or f"known: {listed(names)}"
            yield path, f"there is no stage {shown(name)}", hint
        elif index and stages[index - 1] in names and names.index(name) < names.index(stages[index - 1]):
            message = f"{shown(name)} comes before {shown(stages[index - 1])} in the stack"
            yield path, message, "name them in the order of the stack"
    if scenario.threat.surrogates:
        message = "with surrogates nothing of the stack is seen"
        yield ("threat", "stages"), message, "leave stages out, or leave surrogates out"
    elif scenario.transfer is not None and set(scenario.transfer.sources) != {STACK}:
        message = "stages are those of the stack, which is not the only source of the transfer"
        yield ("threat", "stages"), message, "leave stages out, or transfer.sources"


def attack_has_access(scenario: Scenario, plugins: Plugins) -> Iterator[Found]:
    """What the attack reads, the last stage of each stack that it is let loose on can show."""
    attack, surrogates = plugins.get(("attack",)), scenario.threat.surrogates if scenario.threat else None
    if scenario.attack is None or not isinstance(attack, AttackPlugin):
        return
    seen = scenario.threat.stages if scenario.threat is not None else None
    names = [stage.name or stage.use for stage in scenario.stack]
    end = names.index(seen[-1]) + 1 if seen and seen[-1] in names else len(names)
    stacks: list[tuple[Path, Sequence[StageChoice]]] = [(("stack",), scenario.stack[:end])]
    if surrogates:
        stacks = [(("threat", "surrogates", index), stack) for index, stack in enumerate(surrogates)]
    if scenario.transfer is not None:
        stacks += [
            (("transfer", "victims", name), stack)
            for name, stack in scenario.transfer.victims.items()
            if name in scenario.transfer.sources
        ]
    for where, stack in stacks:
        path: Path = where if where in plugins else (*where, len(stack) - 1)
        last = plugins.get(path)
        if isinstance(last, StagePlugin) and attack.access > max(last.grants, Access.ranks):
            reads = f"{scenario.attack.use} reads {attack.access.name}"
            place = "the last stage that is seen" if where == ("stack",) and seen else "the last stage"
            shows = f"{stack[-1].use}, {place}, shows {last.grants.name} at most"
            yield path, f"{reads}, but {shows}", "take another attack, or a stage behind it that shows them"


def _joins(stack: Sequence[StageChoice], where: Path, plugins: Plugins) -> Iterator[Found]:
    """Stage names are unique, inputs exist and are as many as a stage takes, nothing runs in circles."""
    names = [stage.name or stage.use for stage in stack]
    graph: dict[str, list[str]] = {}
    for index, stage in enumerate(stack):
        path: Path = where if where in plugins else (*where, index)
        if names[index] == SOURCE or names[index] in names[:index]:
            taken = "stands for the catalog" if names[index] == SOURCE else "is taken by a stage before"
            yield path, f"the name {shown(names[index])} {taken}", "give the stage another name: ..."
        inputs = stage.inputs or ((names[index - 1] if index else SOURCE),)
        graph[names[index]] = list(inputs)
        for at, wanted in enumerate(inputs):
            if wanted not in (*names, SOURCE):
                hint = did_you_mean(wanted, (*names, SOURCE)) or f"known: {listed((SOURCE, *names))}"
                yield (*path, "from", at), f"unknown stage {shown(wanted)}", hint
        plugin = plugins.get(path)
        if isinstance(plugin, StagePlugin) and not plugin.inputs[0] <= len(inputs) <= plugin.inputs[1]:
            few, many = plugin.inputs
            takes = f"{few}" if few == many else f"{few} to {many}"
            yield path, f"{stage.use} takes {takes} inputs, not {len(inputs)}", "name them in from: [...]"
    used = {wanted for inputs in graph.values() for wanted in inputs}
    for index, name in enumerate(names[:-1]):
        if name not in used and used <= {*names, SOURCE}:
            yield (
                (*where, index),
                f"nothing takes the ranking of {shown(name)}",
                "name it in a later stage's from",
            )
    if len(graph) < len(names):
        return  # with a name taken twice nobody can say what reads what
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " → ".join(error.args[1])
        yield ("stack",), f"the stages run in a circle: {circle}", "a stage may not read what comes after it"


CHECKS: Mapping[Check, frozenset[str]] = {
    attack_needs: frozenset({"attack", "threat", "targets"}),
    threat_needs: frozenset({"attack", "threat", "targets"}),
    text_fits: frozenset({"attack", "threat"}),
    machine_spelled: frozenset({"machine"}),
    history_fits: frozenset({"attack", "threat"}),
    arms_need: frozenset({"attack", "threat", "targets", "evaluate"}),
    splits_apart: frozenset({"hold_out", "optimise", "validate", "evaluate"}),
    stack_joins: frozenset({"stack"}),
    surrogates_join: frozenset({"threat"}),
    victims_join: frozenset({"transfer"}),
    transfer_needs: frozenset({"transfer", "attack", "threat", "evaluate"}),
    stages_seen: frozenset({"threat", "stack", "transfer"}),
    attack_has_access: frozenset({"attack", "threat", "stack", "transfer"}),
}
"""Check → the sections that it reads; it is left out where one of them is wrong in itself."""
