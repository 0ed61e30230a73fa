"""The table of attacks beside random text: a whole small run, marks by hand, and SafeGEO's packages."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safegeo_folder import tables as safegeo_tables
from safegeo_folder import write, write_packets

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import attack_family
import safegeo
from engine.log import Log
from family.measuring import Bench
from family.rows import Row, rows
from family.tables import BEATS, WEAK, WORSE, Found, by_request, found, mark, written
from family.victims import exposure, victims

from attacks.fixed_text import FixedText
from testbed.environment import Environment
from testbed.registry import installed
from testbed.statistics import Interval

ELSEWHERE = ("profile_pollution", "safegeo")
SMALL = ["--victims", "bm25", "--rows", "fixed_text, echo", "--queries", "16", "--seeds", "0"]


def test_a_small_run_and_again_from_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    attack_family.main([*SMALL, "--folder", str(tmp_path)])
    table = capsys.readouterr().out
    (line,) = [one for one in table.splitlines() if one.startswith("| `fixed_text`, echo |")]
    assert [cell.strip() for cell in line.split("|")][2:4] == ["none", "0"]
    before = (tmp_path / "log.jsonl").read_bytes()
    attack_family.main([*SMALL, "--folder", str(tmp_path)])
    assert (tmp_path / "log.jsonl").read_bytes() == before
    assert capsys.readouterr().out == table


def test_an_attack_that_works_is_told_from_chance(tmp_path: Path) -> None:
    """Writing all held-out requests into a listing wins behind BM25; random words of the catalog do not."""
    make = victims(Environment())["bm25"]
    victim = make()
    wishes = " ".join(victim.catalog.request(one).text for one in victim.test)
    row = Row("cheat", FixedText(text=wishes), ("bm25",), "none")
    bench = Bench(Log(tmp_path / "log.jsonl"), {"bm25": make}, (row,), (0, 1), 16)
    bench.run()
    one = found(bench, victim, row)
    assert one is not None
    assert one.attack.shape == (len(victim.items) * 2, len(victim.test))
    assert one.gain("attack", "random").mean() > 0.3
    assert by_request(one.gain("attack", "random")) < 0.01
    assert found(bench, victim, Row("other", FixedText(text="x"), ("bm25",), "none")) is None


def test_gains_and_marks_by_hand() -> None:
    row = Row("x", FixedText(text="x"), ("bm25",), "none")
    ranks = [np.array([[3.0, 0.0]]), np.array([[1.0, 3.0]]), np.array([[3.0, 1.5]])]
    one = Found(row, *ranks, (0,), 0)
    assert one.gain("attack", "clean").tolist() == [[0.5, 0.5]]
    assert one.gain("random", "clean")[0] == pytest.approx([0, exposure(1.5)])
    assert mark(Interval(0.2, 0.1, 0.3), 0.01) == BEATS
    assert mark(Interval(0.2, 0.1, 0.3), 0.05) == WEAK
    assert mark(Interval(0.2, 0.0, 0.3), 0.01) == mark(Interval(0.2), 0.01) == WEAK
    assert mark(Interval(-0.2, -0.3, -0.1), 0.01) == WORSE
    assert written(Interval(0.204, -0.1, 0.5)) == "+.20 [−.10, +.50]"
    assert by_request(np.zeros((2, 5))) == 1


def test_every_attack_on_text_has_a_row() -> None:
    """But for those that replay a folder or need several stages, whose figures are elsewhere."""
    covered = {row.name.split(",")[0] for row in rows()}
    names = [name for name in installed().names("attacks") if name not in ELSEWHERE]
    own = [name for name in names if installed().get("attacks", name).__module__.startswith("attacks.")]
    assert [name for name in own if name not in covered] == []


@pytest.mark.parametrize(
    ("argument", "said"),
    [(["--victims", "bert"], "there is no 'bert'"), (["--queries", "1"], "must be at least 2")],
)
def test_wrong_arguments(argument: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        attack_family.main(argument)
    assert said in capsys.readouterr().err


def packed(folder: Path) -> Path:
    made: dict[str, list[dict[str, Any]]] = safegeo_tables()
    for row in made["targets"]:
        row["split"] = "test"
    write(folder, made)
    for vertical in ("day_pack", "rain_coat"):
        queries = {
            f"{vertical}-{number}": {
                f"{vertical}-{number}_ITEM{place}": f"Pack {place}" for place in range(4)
            }
            for number in range(2)
        }
        write_packets(folder, vertical, queries)
    return folder


def test_packages_on_bm25(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from packages.measuring import Bench as Packages
    from packages.tables import values

    arguments = [
        str(packed(tmp_path)),
        "--victims",
        "bm25",
        "--requests",
        "2",
        "--log",
        str(tmp_path / "log"),
    ]
    safegeo.main(arguments)
    text = capsys.readouterr().out
    assert "**BM25.** 4 requests, three attacked candidates of each: 8 rankings a row." in text
    assert "| `M_only_geo` |" in text
    bench = Packages(tmp_path, 2, Log(tmp_path / "log" / "log.jsonl"), Environment())
    ranking = bench.ranking("bm25", "day_pack-0", "day_pack-0_ITEM1", "M_only_geo")
    clean = bench.ranking("bm25", "day_pack-0", "day_pack-0_ITEM1", None)
    assert ranking is not None
    assert clean is not None
    assert sorted(ranking) == sorted(clean)
    assert [one for one in ranking if one[-1] != "1"] == [one for one in clean if one[-1] != "1"]
    found = values(bench, "bm25", "M_only_geo")
    assert found is not None
    assert found.shape == (3, 4, 2)
