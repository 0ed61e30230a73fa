"""Gates for continuous integration: `lift@1 > 0.2` fails a run whose tables say so.

    gate      = [ prefix ":" ] measure [ ".low" | ".high" ] [ "[" target "]" ] op number
    prefix    = arm | arm "-" against
    measure   = a measure of the scenario | "survives:" stage | "first:" stage
    op        = ">" | ">=" | "<" | "<="

Without a target the row is pooled over targets; without `.low` or `.high` the point estimate counts; the
selection is the mean over attack seeds. `arm-against:` asks for the effect of one arm against another, `arm:`
for a level in one arm (for a measure without levels: its effect against clean). Without a prefix the effect
of the attack against clean is meant, or the level of the clean arm in a run without an attack.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError, listed, nearest, shown
from testbed.measures import parse as parse_measure

if TYPE_CHECKING:
    from testbed.scenario import Scenario

OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
}
_GATE = re.compile(
    r"""\s*(?:(?P<arm>(?!(?:survives|first)\s*:)[A-Za-z]\w*)(?:-(?P<against>[A-Za-z]\w*))?\s*:)?
        \s*(?P<measure>(?:(?:survives|first):)?[^\[\]<>:]+?)(?:\.(?P<bound>low|high))?
        \s*(?:\[(?P<target>[^\[\]]+)\])?
        \s*(?P<op>>=|<=|>|<)\s*(?P<number>\S+)\s*""",
    re.VERBOSE,
)
STAGEWISE = ("survives:", "first:")
"""Measures of a stage, by its name: whether the target is in its answer, and first there."""
NOT_MEASURED = "{} was not measured in this run; name it under `measures` in the scenario"
EXAMPLES = "lift@1 > 0.2; lift@1.low > 0; lift@1[some-item] > 0.5; attack-random_tokens:lift@1 > 0.1"


@dataclass(frozen=True, slots=True)
class Gate:
    """A condition that must not hold. `text` is what the user wrote."""

    text: str
    measure: str
    op: str
    number: float
    bound: str = "estimate"
    target: str = "all"
    arm: str | None = None
    against: str | None = None


@dataclass(frozen=True, slots=True)
class GateResult:
    """What came out: `crossed` is True when the run must fail. `row` of tables.json decided."""

    gate: Gate
    crossed: bool
    value: float
    row: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values: gate, crossed, value, row."""
        return {"gate": self.gate.text, "crossed": self.crossed, "value": self.value, "row": dict(self.row)}


def parse(text: str) -> Gate:
    """Reads a gate; UserError with an example or the nearest measure when it cannot be read."""
    found = _GATE.fullmatch(text)
    if found is None:
        raise UserError(f"gate {shown(text)}: not of the form 'measure > number'; examples: {EXAMPLES}")
    measure = found["measure"].strip()
    if not measure.startswith(STAGEWISE):
        try:
            measure = parse_measure(measure).name
        except UserError as error:
            raise UserError(f"gate {shown(text)}: {_bound(measure) or error}") from None
    try:
        number = float(found["number"])
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise UserError(f"gate {shown(text)}: {shown(found['number'])} is not a number")
    return Gate(
        text=text,
        measure=measure,
        op=found["op"],
        number=number,
        bound=found["bound"] or "estimate",
        target=(found["target"] or "all").strip(),
        arm=found["arm"],
        against=found["against"],
    )


def _bound(measure: str) -> str:
    """What to say of a measure with a bound that there is none of; '' of anything else."""
    known, _, bound = measure.rpartition(".")
    try:
        parse_measure(known)
    except UserError:
        return ""
    close = nearest(bound, ("low", "high"))
    hint = f"did you mean {f'{known}.{close}'!r}?" if close else f"there are {known}.low and {known}.high"
    return f"unknown bound {shown(bound)}; {hint}"


def refuse_unknown(gate: Gate, scenario: Scenario) -> None:
    """UserError for a gate on a target, arm or measure that a run of the scenario will not have."""
    from testbed.measures import Summary
    from testbed.tables.build import chosen_measures

    targets = [target.item_id for target in scenario.target_list]
    arms = list(scenario.evaluate.arms)
    if not all(stage.plugin.deterministic for stage in scenario.stack):
        arms.append("clean_again")
    unknown = _unknown(gate, ["all", *targets], arms)
    measured = {one.name for one in chosen_measures(scenario.measures, (), bool(targets))}
    if gate.measure.startswith(STAGEWISE):
        stagewise = [kind + stage.name for kind in STAGEWISE for stage in scenario.stack if targets]
        unknown = unknown or ("" if gate.measure in stagewise else _no_stage(gate, stagewise))
    elif (
        not unknown and gate.measure not in measured and not isinstance(parse_measure(gate.measure), Summary)
    ):
        unknown = NOT_MEASURED.format(gate.measure)
    if unknown:
        raise UserError(f"gate {shown(gate.text)}: {unknown}")


def evaluate(gate: Gate, tables: Mapping[str, Any]) -> GateResult:
    """Looks the row up in tables.json; UserError when there is none, because a gate must not pass unseen."""
    from testbed.tables.row import same

    rows = [row for row in tables.get("rows", ()) if row.get("section") != "transfer"]
    attacked = any(row["arm"] == "attack" for row in rows) or tables.get("run", {}).get("attack") is not None
    for arm, against in _places(gate, attacked):
        for row in rows:
            place = (row["measure"], row["arm"], row["against"], row["target"], row["selection"])
            if place == (gate.measure, arm, against, gate.target, "mean"):
                value = row["estimate" if same(row) else gate.bound]
                if value is None:
                    raise UserError(
                        f"gate {shown(gate.text)}: {gate.measure} has no {gate.bound} in this run"
                    )
                return GateResult(gate, OPERATORS[gate.op](value, gate.number), value, row)
    raise UserError(f"gate {shown(gate.text)}: {_missing(gate, rows)}")


def _places(gate: Gate, attacked: bool) -> list[tuple[str, str | None]]:
    """(arm, against) in the order in which they are looked for; clean alone only where nothing was attacked."""
    if gate.arm is None:
        return [("attack", "clean"), ("attack", None)] if attacked else [("clean", None)]
    if gate.against is not None:
        return [(gate.arm, gate.against)]
    return [(gate.arm, None), (gate.arm, "clean")]


def _unknown(gate: Gate, targets: Collection[str], arms: Collection[str]) -> str:
    """What to say of a target or arm that is not among these; '' where all are."""
    wanted = [("target", gate.target, targets), ("arm", gate.arm, arms), ("arm", gate.against, arms)]
    for what, name, known in wanted:
        if name is not None and name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close!r}?" if close else f"there are {listed(known)}"
            return f"no {what} {shown(name)} in this run; {hint}"
    return ""


def _missing(gate: Gate, rows: Sequence[Mapping[str, Any]]) -> str:
    places = [dict.fromkeys(str(row[key]) for row in rows) for key in ("target", "arm")]
    if unknown := _unknown(gate, *places):
        return unknown
    measured = dict.fromkeys(str(row["measure"]) for row in rows)
    if gate.measure.startswith(STAGEWISE) and gate.measure not in measured:
        return _no_stage(gate, [name for name in measured if name.startswith(STAGEWISE)])
    if gate.measure not in measured:
        return NOT_MEASURED.format(gate.measure)
    return f"{gate.measure} was not measured for these arms and this target"


def _no_stage(gate: Gate, known: Collection[str]) -> str:
    close = nearest(gate.measure, known)
    hint = f"did you mean {close!r}?" if close else f"there are {listed(known)}"
    return f"no {shown(gate.measure)} in this run; {hint}"
