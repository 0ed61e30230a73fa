"""Texts found on one model and measured on others: every source on every victim, on the same orders."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from testbed.measures import Level, Measure, parse
from testbed.records import AttackRecord, EvaluationRecord
from testbed.tables.effects import cuts, effect_bounds, tested
from testbed.tables.pairs import Outcomes, paired, single
from testbed.tables.row import Row, interval_fields
from testbed.tables.run import ATTACK, CLEAN, Index, Run
from testbed.types import STACK

SECTION = "transfer"
EFFECTS = ("lift@1", "lift@3", "net")
LEVEL = "top@1"


def transfer_rows(run: Run) -> Iterator[Row]:
    """Per victim the clean level; per source and victim the level under attack, and its difference to clean.

    Means over attack seeds. The cell of the stack with its own texts repeats what the section `effect` says, so
    that the matrix is whole. Nothing in a run without other victims.
    """
    sources, victims = parties(run.section("transfer"))
    for victim in victims if len(victims) > 1 else ():
        clean = False
        for source in sources:
            part = _part(run, source, victim)
            if part is not None:
                yield from _cell(part, source, victim, with_clean=not clean)
                clean = True


def parties(transfer: Mapping[str, object]) -> tuple[list[str], list[str]]:
    """Names of the sources and of the victims, the stack first."""
    sources, victims = transfer.get("sources"), transfer.get("victims")
    names = [str(name) for name in sources] if isinstance(sources, list | tuple) else [STACK]
    return names, [STACK, *map(str, victims if isinstance(victims, Mapping) else ())]


def matrix(rows: Sequence[Mapping[str, Any]], measure: str) -> dict[tuple[str, str], Mapping[str, Any]]:
    """(source, victim) → the pooled row of an effect, from rows of tables.json."""
    return {
        (row["source"], row["victim"]): row
        for row in rows
        if (row["section"], row["measure"], row["target"]) == (SECTION, measure, "all") and row["against"]
    }


def _part(run: Run, source: str, victim: str) -> Run | None:
    """The run as if there were nothing but one victim, clean and with the texts of one source."""
    from_where = None if source == STACK else source
    where = None if victim == STACK else victim
    found = [
        one
        for one in (*run.attacks, *run.travelled)
        if isinstance(one, AttackRecord) and one.source == from_where
    ]
    rankings = [
        one
        for one in (*run.evaluations, *run.travelled)
        if isinstance(one, EvaluationRecord)
        and one.victim == where
        and (one.arm == CLEAN or (one.arm == ATTACK and one.source == from_where))
    ]
    return replace(run, attacks=found, evaluations=rankings, travelled=()) if rankings else None


def _cell(run: Run, source: str, victim: str, *, with_clean: bool) -> Iterator[Row]:
    outcomes = Outcomes(run, Index(run.tests))
    level = parse(LEVEL)
    assert isinstance(level, Level)
    for arm in (CLEAN, ATTACK) if with_clean else (ATTACK,):
        pairs = single(outcomes.index, run.targets, arm)
        cells = pairs.cells(outcomes.level(level)[list(pairs.after)])
        for _, target, part in cuts(run, pairs, cells, {}):
            interval = run.intervals.of(part, level.bounds, binary=True)
            if interval.n:
                yield Row(
                    section=SECTION,
                    measure=LEVEL,
                    target=target,
                    arm=arm,
                    source=source if arm == ATTACK else None,
                    victim=victim,
                    **interval_fields(interval),
                )
    for measure in map(parse, EFFECTS):
        yield from _effects(run, outcomes, measure, source, victim)


def _effects(run: Run, outcomes: Outcomes, measure: Measure, source: str, victim: str) -> Iterator[Row]:
    pairs = paired(outcomes.index, run.targets, ATTACK, CLEAN)
    cells = pairs.cells(outcomes.effect(measure, pairs))
    for _, target, part in cuts(run, pairs, cells, {}):
        interval = run.intervals.of(part, effect_bounds(measure), binary=measure.binary)
        if interval.n:
            name = f"transfer/{measure.name}/{source}/{victim}/{target}"
            yield Row(
                section=SECTION,
                measure=measure.name,
                target=target,
                arm=ATTACK,
                against=CLEAN,
                source=source,
                victim=victim,
                **interval_fields(interval, tested(part, measure.binary, run.rng, name)),
            )
