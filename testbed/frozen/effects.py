"""What each single text of a run did, with an interval over requests and orders."""

from __future__ import annotations

from testbed.errors import UserError
from testbed.frozen.entry import Effect
from testbed.measures import Change, parse
from testbed.seeds import rng_for
from testbed.statistics import Cells, Intervals
from testbed.tables.effects import effect_bounds
from testbed.tables.pairs import Outcomes, paired
from testbed.tables.run import ATTACK, CLEAN, Index, Run


def effect_of(run: Run, target: str, seed: int, measure: str) -> Effect:
    """The effect of the text of one attack seed against clean, on the test rankings.

    UserError for a measure that is no change of a level (`lift@1`), or without rankings to compare.
    """
    change = parse(measure)
    if not isinstance(change, Change):
        raise UserError(f"{measure}: texts are kept with a lift, for instance lift@1 or lift@3")
    outcomes = Outcomes(run, Index(run.tests))
    pairs = paired(outcomes.index, [target], ATTACK, CLEAN)
    cells = pairs.cells(outcomes.effect(change, pairs))
    rows = [place for place, block in enumerate(pairs.layout.blocks) if block == (target, seed)]
    part = Cells(cells.values[rows], (0,) * len(rows))
    # The same noise whatever the scenario's hash: what is measured again and is the same has the same interval.
    intervals = Intervals(lambda name: rng_for("frozen", name))
    interval = intervals.of(part, effect_bounds(change), binary=change.binary)
    if interval.estimate is None:
        raise UserError(f"there are no clean and attacked rankings of {target} with seed {seed} to compare")
    low, high = (None if one is None else round(one, 6) for one in (interval.low, interval.high))
    return Effect(change.name, round(interval.estimate, 6), low, high, interval.n)
