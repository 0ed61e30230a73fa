"""Does leaving fields out tell a manipulated listing from honest ones? Texts that a cube found, put into its catalog.

    testbed run scenarios/cube_coffee.yaml --out CUBE
    python benchmarks/audit_quality.py CUBE

For every text of an undefended cell, the catalog with that text in its target's field is audited with the cell's stack.
A listing's score is the largest share of rankings in which it falls without one of its fields; honest are all listings
of the catalog as it is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from testbed.audit import Limits, audit
from testbed.catalog import Catalog
from testbed.records import AttackRecord, read_records
from testbed.scenario import loads
from testbed.types import TextEdit
from testbed.world import build_stack, load_catalog


@dataclass(frozen=True)
class Case:
    """A text, its listing, the stack that it was searched on, and the catalog."""

    stack: str
    attack: str
    record: AttackRecord
    scenario: Any
    catalog: Catalog


def cases(cube: Path) -> Iterator[Case]:
    """Texts of the finished cells of the first defence level, at the largest budget."""
    about = json.loads((cube / "cube.json").read_text())
    wanted = {axis: (levels[-1] if axis == "budget" else levels[0]) for axis, levels in about["axes"].items()}
    for cell in about["cells"]:
        place: Mapping[str, str] = cell["place"]
        if any(place.get(axis) != wanted[axis] for axis in ("defence", "budget") if axis in wanted):
            continue
        run = cube / cell["run"]
        scenario = loads((run / "scenario.yaml").read_text())
        catalog = load_catalog(scenario)
        for record in read_records(run / "trials.jsonl"):
            if isinstance(record, AttackRecord) and record.source is None and record.text:
                yield Case(place.get("stack", ""), place.get("attack", ""), record, scenario, catalog)


def written(catalog: Catalog, record: AttackRecord) -> Catalog:
    """The catalog with the text in it."""
    edit = TextEdit(record.target, record.field, record.text, record.place)
    items = [
        replace(item, fields=edit.apply(item.fields)) if item.id == record.target else item
        for item in map(catalog.item, catalog.ids)
    ]
    return Catalog.of(items, name=catalog.name, name_field=catalog.name_field, requests=catalog.requests)


def shares(scenario: Any, catalog: Catalog, jump: int, items: list[str] | None = None) -> list[float]:
    """The largest share of any field, listing by listing."""
    stack = build_stack(scenario.stack, catalog, scenario.machine.environment())
    found = audit(stack, {}, Limits(jump=jump), items=items)
    return [max(effect.share for effect in one.fields) for one in found.listings]


def auroc(attacked: list[float], honest: list[float]) -> float:
    """P(attacked > honest) + half of ties."""
    pairs = [(a > h) + (a == h) / 2 for a in attacked for h in honest]
    return sum(pairs) / len(pairs)


def main() -> None:
    """Print a row for every stack, attack and jump."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cube", type=Path)
    parser.add_argument("--share", type=float, default=0.5)
    options = parser.parse_args()
    found = list(cases(options.cube))
    print("| stack | attack | jump | texts | found | honest listings | reported | AUROC |")
    print("|---|---|---|---|---|---|---|---|")
    for jump in (2, 3):
        honest: dict[str, list[float]] = {}
        for stack, attack in dict.fromkeys((case.stack, case.attack) for case in found):
            own = [case for case in found if (case.stack, case.attack) == (stack, attack)]
            if stack not in honest:
                honest[stack] = shares(own[0].scenario, own[0].catalog, jump)
            hit = [
                shares(case.scenario, written(case.catalog, case.record), jump, [case.record.target])[0]
                for case in own
            ]
            flagged = sum(share >= options.share for share in hit)
            false = sum(share >= options.share for share in honest[stack])
            row = (stack, attack, jump, len(hit), flagged, len(honest[stack]), false)
            print(f"| {' | '.join(map(str, row))} | {auroc(hit, honest[stack]):.2f} |", flush=True)


if __name__ == "__main__":
    main()
