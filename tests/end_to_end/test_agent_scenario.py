"""The shipped agent scenario on the packaged model: every ranking says what was opened and chosen."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from testbed import run
from testbed.records import EvaluationRecord
from testbed.scenario import load

SCENARIO = Path(__file__).parents[2] / "scenarios" / "agent.yaml"


@pytest.mark.slow
def test_the_agent_opens_reads_and_chooses(tmp_path: Path) -> None:
    changes = ["evaluate.requests=2", "evaluate.orders=2", "evaluate.arms=[clean, attack]"]
    result = run(load(SCENARIO, changes), tmp_path / "run")
    assert not result.failed
    records = [record for record in result.records if isinstance(record, EvaluationRecord)]
    assert len(records) == 8
    for record in records:
        found = re.fullmatch(r"opened ([\w-]+), ([\w-]+), ([\w-]+); chose ([\w-]+)", record.note)
        assert found is not None, record.note
        assert set(found.groups()[:3]) == set(record.ranking[:3])
        assert found[4] == record.ranking[0]
        assert sorted(record.ranking) == sorted(record.pool)
        assert record.scores is not None
        assert [score is None for score in record.scores] == [False] * 3 + [True] * 2
    unread = [one for one in records if "fulcro-lever" not in one.note]
    clean = {(one.request, one.order): one.ranking for one in unread if one.arm == "clean"}
    for one in unread:  # the text stands where only who opens the listing reads it
        assert one.ranking == clean.get((one.request, one.order), one.ranking)
