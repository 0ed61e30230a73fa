"""Run from outside the project: `python try_it.py OUT`. Prints what the testbed makes of the extension."""

import json
import sys
from pathlib import Path

from shelf_tricks.attack import CutShort
from shelf_tricks.catalog import Kiosk
from shelf_tricks.stage import ShortestFirst

from testbed import registry
from testbed.runner import run
from testbed.scenario import load
from testbed.testing import check_attack, check_catalog, check_stage

assert registry.get("stages", "shortest_first") is ShortestFirst
assert registry.get("attacks", "cut_short") is CutShort
assert registry.installed().entry("catalogs", "kiosk").distribution == "shelf-tricks"

check_stage(ShortestFirst())
check_stage(ShortestFirst(k=1), catalog=Kiosk().load())
check_attack(CutShort())
check_catalog(Kiosk())

summary = run(load(Path(__file__).parent / "scenario.yaml"), Path(sys.argv[1]))
records = [json.loads(line) for line in (summary.run.path / "trials.jsonl").read_text().splitlines()]
(attack,) = (record for record in records if record["kind"] == "attack")
ranks = {
    arm: [record["ranking"].index("map") + 1 for record in records if record.get("arm") == arm]
    for arm in ("clean", "attack")
}
print(json.dumps({"failed": summary.failed, "text": attack["text"], "ranks": ranks}))
