"""SafeGEO folders: requests with their own candidates, and what is said about broken ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars
import pytest
from safegeo_folder import FILLER, ROSTER, tables, write, write_packets

from catalogs.loaders import SafeGeo
from testbed.errors import CatalogError
from testbed.testing import check_catalog
from testbed.types import Constraint

Tables = dict[str, list[dict[str, Any]]]


def test_requests_have_their_own_candidates(tmp_path: Path) -> None:
    catalog = SafeGeo(path=write(tmp_path)).load()
    check_catalog(SafeGeo(path=tmp_path))
    assert [request.id for request in catalog.requests] == [
        "day_pack-0",
        "day_pack-1",
        "rain_coat-0",
        "rain_coat-1",
    ]
    assert len(catalog) == 16
    assert catalog.pool == 4
    request = catalog.request("day_pack-1")
    assert request.text == "Which day_pack?"
    assert request.constraints == (Constraint("waterproof", "==", True), Constraint("pockets", "==", 2))
    assert sorted(request.candidates) == [f"day_pack-1_ITEM{place}" for place in range(4)]
    assert catalog.fields("day_pack-1_ITEM1") == {
        "Name": "Pack 1",
        "Category": "day pack",
        "Waterproof fabric": "no",
        "Outer pockets": "2",
        "Carry comfort": "51 of 100",
        "Price": "$1,201",
        "Weight": "900 g",
    }
    assert catalog.judgements["day_pack-1"] == {
        f"day_pack-1_ITEM{place}": round(100 * utility) for place, (_, _, utility) in enumerate(ROSTER)
    }


def test_the_rows_are_sorted_by_rank_and_the_candidates_are_not(tmp_path: Path) -> None:
    orders = [
        tuple(item[-1] for item in request.candidates)
        for request in SafeGeo(path=write(tmp_path, tables(12))).load().requests
    ]
    assert len(set(orders)) > 6
    assert len({order.index("0") for order in orders}) == 4


def test_a_part_of_it(tmp_path: Path) -> None:
    write(tmp_path, tables(3))
    ids = [one.id for one in SafeGeo(path=tmp_path, verticals=("rain_coat",), limit=2).load().requests]
    assert ids == ["rain_coat-0", "rain_coat-1"]
    ids = [one.id for one in SafeGeo(path=tmp_path, split="dev", limit=1).load().requests]
    assert ids == ["day_pack-1", "rain_coat-1"]


def packed(folder: Path) -> Path:
    write(folder)
    queries = {
        f"day_pack-{number}": {f"day_pack-{number}_ITEM{place}": f"Pack {place}" for place in range(4)}
        for number in range(2)
    }
    queries["day_pack-0"]["day_pack-0_ITEM3"] = "Pack 1 Pro"
    return write_packets(folder, "day_pack", queries)


def test_listings_of_what_sources_say(tmp_path: Path) -> None:
    catalog = SafeGeo(path=packed(tmp_path), verticals=("day_pack",), sources=True).load()
    assert [request.text for request in catalog.requests] == ["Which one?"] * 2
    assert catalog.fields("day_pack-0_ITEM1") == {
        "Name": "Pack 1",
        "Category": "day pack",
        "Sources": f"Pack 1 has a zip. {FILLER} In brief, Pack 1 is fine.",
    }
    assert catalog.fields("day_pack-0_ITEM3")["Sources"].startswith("Pack 1 Pro has a zip.")
    assert catalog.requests[0].constraints
    assert catalog.judgements["day_pack-0"]["day_pack-0_ITEM0"] == 93


def test_sources_are_not_there_for_every_vertical(tmp_path: Path) -> None:
    found = message(packed(tmp_path), verticals=("rain_coat",), sources=True)
    assert found[0].startswith("labels_rain_coat.parquet: no such file")


def message(folder: Path, **options: Any) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        SafeGeo(path=folder, **options).load()
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_files_that_are_not_there_or_are_something_else(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "targets.parquet").rename(tmp_path / "target.parquet")
    (tmp_path / "requirements.parquet").write_text("no table")
    found = message(tmp_path)
    assert found[0] == "targets.parquet: no such file; did you mean 'target.parquet'?"
    assert found[1].startswith("requirements.parquet: not a Parquet file: ")
    assert len(found) == 2


def test_what_is_asked_for_and_not_there(tmp_path: Path) -> None:
    write(tmp_path)
    assert message(tmp_path, verticals=("rain_cot",)) == [
        "targets.parquet: vertical: there is no 'rain_cot'; did you mean 'rain_coat'?"
    ]
    assert message(tmp_path, split="test") == ["targets.parquet: there are no requests in split 'test'"]


def _cell(table: str, row: int, column: str, value: Any) -> Callable[[Tables], None]:
    def change(made: Tables) -> None:
        made[table][row][column] = value

    return change


def _facts(row: int, **facts: Any) -> Callable[[Tables], None]:
    def change(made: Tables) -> None:
        cell = made["candidate_quality"][row]
        cell["canonical_attributes"] = json.dumps(json.loads(cell["canonical_attributes"]) | facts)

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_cell("targets", 1, "user_query", " "), "targets.parquet:2: user_query: it is empty"),
        (_cell("targets", 1, "user_query", None), "targets.parquet:2: user_query: must be text, not empty"),
        (
            _cell("targets", 1, "query_id", "day_pack-0"),
            "targets.parquet:2: query_id: duplicate 'day_pack-0'",
        ),
        (
            _cell("requirements", 2, "query_id", "other"),
            "requirements.parquet: query_id: there is nothing for 'rain_coat-0'",
        ),
        (
            _cell("requirements", 2, "hard_constraints", "[{"),
            "requirements.parquet:3: hard_constraints: not JSON: Expecting property name enclosed in double "
            "quotes: line 1 column 3 (char 2)",
        ),
        (
            _cell("requirements", 2, "soft_preferences", "{}"),
            "requirements.parquet:3: soft_preferences: must be a list, not an object",
        ),
        (
            _cell("requirements", 2, "soft_preferences", '["x"]'),
            "requirements.parquet:3: soft_preferences: a wish needs 'attribute_key' and 'text', not 'x'",
        ),
        (
            _cell("requirements", 2, "hard_constraints", '[{"attribute_key": "a", "text": "b"}]'),
            "requirements.parquet:3: hard_constraints: 'b' needs a 'required_value'",
        ),
        (
            _cell("candidate_quality", 4, "verified_utility_score", 1.5),
            "candidate_quality.parquet:5: verified_utility_score: must be from 0 to 1, not 1.5",
        ),
        (
            _cell("candidate_quality", 4, "verified_utility_score", float("nan")),
            "candidate_quality.parquet:5: verified_utility_score: must be a number, not nan",
        ),
        (
            _cell("candidate_quality", 4, "item_id", "day_pack-0_ITEM1"),
            "candidate_quality.parquet:5: item_id: duplicate 'day_pack-0_ITEM1'",
        ),
        (
            _cell("candidate_quality", 4, "name", "pack  1"),
            "candidate_quality.parquet:6: name: 'Pack 1' stands twice among the candidates of one request",
        ),
        (
            _facts(4, waterproof=False),
            "candidate_quality.parquet:5: hard_constraint_feasible: the attributes say otherwise",
        ),
        (
            _facts(4, colour=["red"]),
            "candidate_quality.parquet:5: canonical_attributes: 'colour' must be a number, text, true or false",
        ),
        (
            _cell("candidate_quality", 4, "canonical_attributes", '{"price": NaN}'),
            "candidate_quality.parquet:5: canonical_attributes: not JSON: NaN is not a JSON number",
        ),
    ],
)
def test_broken_cells_are_named(change: Callable[[Tables], None], expected: str, tmp_path: Path) -> None:
    made = tables()
    change(made)
    assert message(write(tmp_path, made)) == [expected]


def test_a_column_is_missing(tmp_path: Path) -> None:
    write(tmp_path)
    table = polars.read_parquet(tmp_path / "candidate_quality.parquet")
    table.rename({"name": "names"}).write_parquet(tmp_path / "candidate_quality.parquet")
    assert message(tmp_path) == [
        "candidate_quality.parquet: there is no column 'name'; did you mean 'names'?"
    ]


@pytest.mark.skipif("TESTBED_REFERENCE_DATA" not in os.environ, reason="needs TESTBED_REFERENCE_DATA")
def test_the_real_folder() -> None:
    catalog = SafeGeo(path=Path(os.environ["TESTBED_REFERENCE_DATA"]) / "safegeo").load()
    assert (len(catalog), len(catalog.requests), catalog.pool) == (7979, 400, 18)
    assert catalog.fingerprint == "25fd5ef05350d6f1"
