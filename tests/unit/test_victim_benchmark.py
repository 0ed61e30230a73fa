"""benchmarks/victims.py: what its figures rest on, and a whole run with tiny parts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safegeo_folder import tables, write

from catalogs.judging import Extreme, grade
from testbed.testing import ToyEnvironment, toy_catalog
from testbed.types import Request

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAPER = "\n".join(
    f'{{"Name": "{name}", "Description": "Makes coffee.", "Price": "${price}", "Rating": {rating}, '
    f'"Capacity": "2 cups", "Ideal For": "All"}}'
    for name, price, rating in (
        ("ColdBrew Master", 199, 4.3),
        ("EspressoMaster 2000", 399, 4.5),
        ("LatteArt Pro", 599, 4.6),
        ("Cappuccino King", 799, 4.7),
        ("CafePro Elite", 899, 4.8),
        ("SingleServe Wonder", 59, 3.9),
        ("QuickBrew Express", 89, 4.0),
        ("FrenchPress Classic", 29, 4.1),
    )
)


@pytest.fixture(scope="module", autouse=True)
def _on_path() -> Iterator[None]:
    sys.path.insert(0, str(BENCHMARKS))
    yield
    sys.path.remove(str(BENCHMARKS))


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is the tiny one."""
    from testbed.environment import Environment

    monkeypatch.setattr(
        Environment, "language_model", lambda self, model: ToyEnvironment().language_model("tiny")
    )


def paper_file(folder: Path) -> Path:
    (folder / "coffee_machines.jsonl").write_text(PAPER + "\n")
    return folder / "coffee_machines.jsonl"


def test_the_eight_requests_are_judged_and_stay_as_they_are(tmp_path: Path) -> None:
    from victims.sets import PAPER_REQUESTS, paper

    (catalog,) = paper(paper_file(tmp_path)).catalogs
    assert len(catalog.requests) == 8
    assert catalog.judgements["cold-brew"] == {"coldbrew-master": 3}
    prices = [{"price": row["price"]} for row in catalog.attributes]
    expected = grade(prices, (), [Extreme("price", "low")])
    assert catalog.judgements["cheapest"] == {i: g for i, g in zip(catalog.ids, expected, strict=True) if g}
    import hashlib

    assert hashlib.sha256(PAPER_REQUESTS.read_bytes()).hexdigest().startswith("72ed5121d79bc876")


def test_lists_of_ten_hold_one_of_the_best() -> None:
    from victims.sets import own

    for catalog, request in own().requests:
        grades = catalog.judgements[request.id]
        assert len(set(request.candidates)) == 10
        assert max(grades.get(item, 0) for item in request.candidates) == max(grades.values())
    once = [request.candidates for _, request in own().requests]
    assert once == [request.candidates for _, request in own().requests]


def test_a_smaller_limit_is_a_part_of_a_larger_one() -> None:
    from victims.sets import own

    whole = own()
    few, more = (
        {(catalog.name, request.id) for catalog, request in whole.some(limit).requests} for limit in (7, 23)
    )
    assert (len(few), len(more)) == (7, 23)
    assert few < more
    assert {name for name, _ in few} == {catalog.name for catalog in whole.catalogs}


def test_safegeo_has_a_catalog_for_each_vertical(tmp_path: Path) -> None:
    from victims.sets import safegeo

    found = safegeo(write(tmp_path, tables(3)))
    assert [catalog.name for catalog in found.catalogs] == ["safegeo day pack", "safegeo rain coat"]
    assert [len(catalog.requests) for catalog in found.some(3).catalogs] == [2, 1]


def test_figures_by_hand(tmp_path: Path) -> None:
    from engine.log import Log
    from victims.scores import key_of, rank_std, scores
    from victims.sets import Set
    from victims.victim import Victim

    catalog = toy_catalog()
    a, b, c = catalog.ids[:3]
    request = Request("r", "x", candidates=(a, b, c))
    catalog = replace(catalog, requests=(request,), judgements={"r": {a: 2, b: 1, catalog.ids[3]: 3}})
    one, log = Set("toy", (catalog,)), Log(tmp_path / "log.jsonl")
    for order, ranking in enumerate([(a, b, c), (b, a, c)]):
        log.add(key_of(one, Victim(), catalog, request, order), ranking=ranking)
    found = scores(one, Victim(), 2, log)
    ideal, other = 2 + 1 / np.log2(3), 1 + 2 / np.log2(3)
    assert found["nDCG@10"].estimate == pytest.approx((1 + other / ideal) / 2)
    assert found["top-1"].estimate == 0.5
    assert found["violation@1"].estimate is None
    assert found["rank std"].estimate == pytest.approx(2 * np.sqrt(0.5) / 3)
    assert np.isnan(rank_std([(a, b)]))
    assert scores(one, Victim(), 3, log)["nDCG@10"].estimate is None  # an order is missing


def test_a_run_goes_on_where_it_stopped(
    tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import runpy

    script = runpy.run_path(str(BENCHMARKS / "victims.py"))
    arguments = ["--no-own", "--safegeo", str(write(tmp_path)), "--paper-catalog", str(paper_file(tmp_path))]
    arguments += ["--limit", "2", "--orders", "2", "--log", str(tmp_path / "log.jsonl")]
    script["main"]([*arguments, "--readings", "likelihood"])
    first = (tmp_path / "log.jsonl").read_text()
    assert len(first.splitlines()) == 2 * 5 * 2 * 2  # sets, victims, requests, orders
    script["main"](arguments)
    whole = (tmp_path / "log.jsonl").read_text()
    assert whole.startswith(first)
    assert len(whole.splitlines()) == 2 * 9 * 2 * 2
    told = capsys.readouterr().out.split("### ")[-2:]
    assert told[0].startswith(
        "SafeGEO (4 rankings a victim)\n\n| victim | nDCG@10 | top-1 | violation@1 | rank std |"
    )
    for name in ("random", "BM25", "MiniLM", "judging rule (ceiling)"):
        assert f"\n| {name} | " in told[1]
    for name in ("likelihood, prior subtracted", "pointwise", "constrained"):
        assert f"\n| smollm2-135m, {name} | " in told[1]
    assert "\n| judging rule (ceiling) | 1.000 | " in told[1], "never less, and no event: no interval"
    script["main"]([*arguments, "--readings", "pointwise"])
    assert (tmp_path / "log.jsonl").read_text() == whole


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--readings", "likelyhood"], "--readings: there is no 'likelyhood'; there are 'likelihood', "),
        (["--orders", "0"], "--orders: must be at least 1"),
    ],
)
def test_wrong_arguments(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    import runpy

    script: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "victims.py"))
    with pytest.raises(SystemExit):
        script["main"](arguments)
    assert expected in capsys.readouterr().err


def test_the_random_victim_does_not_look_at_the_order_of_presentation() -> None:
    from victims.victim import Random

    from testbed.protocols import Context
    from testbed.types import Situation, Slate

    catalog = toy_catalog()
    context = Context(catalog.requests[0], Situation("r", 1), None, 0)
    slate = catalog.source()
    reverse = Slate(tuple(reversed(tuple(slate))))
    assert Random()(context, slate).ids == Random()(context, reverse).ids
    other = replace(context, situation=Situation("r", 2))
    assert Random()(other, slate).ids != Random()(context, slate).ids
