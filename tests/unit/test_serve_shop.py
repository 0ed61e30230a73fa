"""The shop that agents visit, without a protocol: what tools answer, which session is whose, what is logged."""

from __future__ import annotations

import re
import threading
from pathlib import Path
from typing import Any

import pytest
from serving import BAIT, lines, opened, shop_around

from testbed.errors import UserError
from testbed.serve.opening import Offer, check_tools
from testbed.serve.sessions import Sessions
from testbed.serve.shop import CALLS
from testbed.serve.tools import TOOLS, ToolFault
from testbed.testing import toy_catalog


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "sessions.jsonl"


def ids(sessions: Sessions, visitor: str = "a", query: str = "coffee", **more: Any) -> list[str]:
    """What a search shows, in its order."""
    answer = sessions.call(visitor, "search", {"query": query, **more})
    assert [one["item_id"] for one in answer.content["listings"]] == list(answer.ids)
    return list(answer.ids)


def refused(sessions: Sessions, name: str, **arguments: Any) -> str:
    """What an agent is told about a wrong call."""
    with pytest.raises(ToolFault) as fault:
        sessions.call("a", name, arguments)
    return str(fault.value)


def test_the_task_is_the_request_of_the_session(log: Path) -> None:
    shop = opened(log)
    texts = [shop.call(name, "task", {}).content for name in "abcdef"]
    wishes = [{"request": toy_catalog().request(one).text} for one in ("cheap", "camp")]
    assert texts == wishes * 3
    assert [(line["request"], line["order"], line["slot"]) for line in lines(log, "session")] == [
        ("cheap", 20000, 0), ("camp", 20000, 0), ("cheap", 20001, 2), ("camp", 20001, 2), ("cheap", 20002, 3),
        ("camp", 20002, 3),
    ]  # fmt: skip


def test_search_shows_what_the_last_stage_reads_in_the_order_of_the_session(log: Path) -> None:
    shop = opened(log)
    first, second = ids(shop, "a"), ids(shop, "b")
    assert len(first) == 4
    assert first == second  # another request in the same order
    later = [ids(shop, name) for name in "cdef"]
    assert {frozenset(one) for one in later} == {frozenset(first)}
    assert len({tuple(one) for one in (first, *later)}) == 3
    assert ids(shop, "a", limit=2) != []
    assert set(ids(shop, "a", limit=2)) < set(first)


def test_results_may_stand_best_first(log: Path) -> None:
    fixed = opened(log, offer=Offer(shuffled=False))
    assert ids(fixed, "a") == ids(fixed, "c")
    assert ids(fixed, "a", limit=2) == ids(fixed, "a")[:2]


def test_another_stage_may_search(log: Path) -> None:
    shop = opened(log, offer=Offer(search="last", shuffled=False))
    recommended = shop.call("a", "recommend", {"request": "coffee"})
    assert ids(shop) == list(recommended.ids)
    assert recommended.usage.queries == 1
    with pytest.raises(
        UserError, match=re.escape("--search: there is no stage 'lst' (stages: first, last); did you")
    ):
        opened(log, offer=Offer(search="lst"))


def test_the_text_stands_in_the_opened_listing_and_only_in_its_arm(log: Path) -> None:
    for arm, there in (("clean", False), ("attack", True), ("clean_again", False)):
        shop = opened(log, arm)
        page = shop.call("a", "open_listing", {"item_id": "trek"}).content["fields"]
        assert (BAIT in page["Description"]) is there
        others = [shop.call("a", "open_listing", {"item_id": item}).content for item in toy_catalog().ids]
        assert sum(BAIT in one["fields"]["Description"] for one in others) == there


def test_controls_are_as_long_as_the_text(log: Path) -> None:
    honest = opened(log, "honest_text").shop
    random = opened(log, "random_tokens").shop
    assert toy_catalog().item("trek").honest_text.startswith(honest.text)
    assert honest.text
    assert random.text not in ("", BAIT)
    assert (random.showing.arm.seed, honest.showing.arm.seed) == (0, None)


def test_a_request_with_candidates_of_its_own_is_offered_these_only(log: Path) -> None:
    shop = opened(log, changes={"catalog": {"use": "rosters"}})
    assert set(ids(shop, "a")) == {"basic", "pico", "trek"}
    assert set(ids(shop, "b")) == {"grand", "capsa", "trek"}
    assert refused(shop, "choose", item_id="grand") == (
        "there is no listing 'grand'; search for listings first and take an item_id from there"
    )


@pytest.mark.parametrize(
    "first",
    [
        {"use": "toy", "k": 4},
        {"use": "bm25", "k": 4},
        pytest.param({"use": "dense", "k": 4}, marks=pytest.mark.slow),
    ],
)
def test_no_tool_knows_a_listing_that_the_request_is_not_offered(log: Path, first: dict[str, Any]) -> None:
    stack = [{**first, "name": "first"}, {"use": "toy", "name": "last"}]
    shop = opened(log, changes={"catalog": {"use": "rosters"}, "stack": stack})
    offered = {"basic", "pico", "trek"}
    stranger = toy_catalog().item("grand").fields
    query = " ".join(stranger.values())
    assert set(ids(shop, "a", query=query)) == offered
    assert set(shop.call("a", "recommend", {"request": query}).ids) == offered
    for item in offered:
        assert shop.call("a", "open_listing", {"item_id": item}).ids == (item,)
    for name in ("grand", stranger["Name"], "gran"):
        told = refused(shop, "open_listing", item_id=name)
        assert told.startswith(f"there is no listing {name!r}; search for listings first")


def test_lines_are_cut_and_one_line(log: Path) -> None:
    shop = opened(log, "attack", text="a\nb " + "long " * 50)
    found = shop.call("a", "search", {"query": "titanium camping pot"}).content["listings"]
    trek = next(one for one in found if one["item_id"] == "trek")
    assert "\n" not in trek["line"]
    assert "…; Price: $55" in trek["line"]
    assert trek["name"] == "Trek Pot"


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        (
            "serch",
            {},
            "there is no tool 'serch'; the tools are task, search, open_listing, recommend, choose; did you",
        ),
        ("search", {}, "search: argument 'query' is missing"),
        ("search", {"qery": "x"}, "search: unknown argument 'qery'; did you mean 'query'?"),
        ("search", {"query": "x", "zzz": 1}, "search: unknown argument 'zzz'; it takes query, limit"),
        (
            "search",
            {"query": "x" * 1001},
            "search: query: String should have at most 1000 characters, got 'xxx",
        ),
        ("search", {"query": " \n "}, "search: query: String should have at least 1 character"),
        ("search", {"query": 3}, "search: query: Input should be a valid string, got '3'"),
        (
            "search",
            {"query": "x", "limit": 51},
            "search: limit: Input should be less than or equal to 50, got '51'",
        ),
        ("search", {"query": "x", "limit": 0}, "search: limit: Input should be greater than or equal to 1"),
        ("search", {"query": "x", "limit": "many"}, "search: limit: Input should be a valid integer"),
        ("task", {"why": 1}, "task: unknown argument 'why'; it takes (none)"),
        ("open_listing", {"item_id": "treck"}, "there is no listing 'treck'; did you mean 'trek'?"),
        ("open_listing", {"item_id": "trek pot"}, "there is no listing 'trek pot'; did you mean 'trek'?"),
        ("choose", {"item_id": "???"}, "there is no listing '???'; search for listings first"),
        ("choose", {"item_id": "\x1b[31m\u202e"}, "there is no listing '\\x1b[31m\\u202e'"),
    ],
)
def test_a_wrong_call_is_told_what_is_wrong(
    log: Path, name: str, arguments: dict[str, Any], message: str
) -> None:
    shop = opened(log)
    told = refused(shop, name, **arguments)
    assert told.startswith(message)
    (line,) = lines(log, "call")
    assert line["error"] == told
    assert (line["ids"], line["cost"]) == ([], {})


def test_numbers_as_text_are_taken(log: Path) -> None:
    assert len(ids(opened(log), limit="2")) == 2


def test_tools_may_be_left_out(log: Path) -> None:
    shop = opened(log, offer=Offer(tools=("search", "choose")))
    assert shop.shop.recommender is None
    assert refused(shop, "recommend", request="x").startswith(
        "there is no tool 'recommend'; the tools are search, choose"
    )
    assert check_tools(["choose", "search"]) == ("search", "choose")
    with pytest.raises(
        UserError, match="--tools: 'choose' cannot be left out; without it a session has no result"
    ):
        check_tools(["search"])
    with pytest.raises(UserError, match=r"--tools: there is no tool 'serch' .*; did you mean 'search'\?"):
        check_tools(["serch", "choose"])


def test_a_session_begins_with_its_first_call_and_numbers_are_given_out_once(log: Path) -> None:
    one, two = opened(log), opened(log)
    assert lines(log, "session") == []
    for shop, visitor in ((one, "a"), (two, "a"), (one, "b"), (one, "a")):
        shop.call(visitor, "task", {})
    assert [line["session"] for line in lines(log, "session")] == [0, 1, 2]
    assert len(lines(log, "server")) == 1  # both show the same
    attack = opened(log, "attack")
    attack.call("a", "task", {})
    assert [line["session"] for line in lines(log, "session")] == [0, 1, 2, 0]
    assert len(lines(log, "server")) == 2


def test_a_session_may_be_asked_for_and_tried_again(log: Path) -> None:
    shop = opened(log)
    for visitor in ("a", "b"):
        shop.call(visitor, "task", {}, wanted=4)
    opened(log, session=4).call("c", "task", {})
    assert [(line["session"], line["attempt"]) for line in lines(log, "session")] == [(4, 0), (4, 1), (4, 2)]
    with pytest.raises(ToolFault, match="there is no session 6; the plan has the sessions 0 to 5"):
        shop.call("d", "task", {}, wanted=6)
    with pytest.raises(UserError, match="--session 6: the plan has the sessions 0 to 5"):
        opened(log, session=6)


def test_when_the_plan_is_used_up_a_visitor_is_told(log: Path) -> None:
    shop = opened(log)
    for visitor in range(6):
        shop.call(visitor, "task", {})
    with pytest.raises(ToolFault, match="all 6 sessions of the plan have been opened"):
        shop.call("late", "task", {})
    shop.call("late", "task", {}, wanted=2)


def test_many_visitors_at_once_get_sessions_and_lines_of_their_own(log: Path) -> None:
    shops = [
        opened(log, changes={"evaluate": {"requests": ["cheap", "camp"], "orders": 8, "arms": ["clean"]}})
        for _ in range(2)
    ]
    threads = [
        threading.Thread(target=shop_around, args=(shops[number % 2], f"v{number}")) for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sessions = [line["session"] for line in lines(log, "session")]
    assert sorted(sessions) == list(range(12))
    for session in sessions:
        calls = [line for line in lines(log, "call") if line["session"] == session]
        assert [line["call"] for line in calls] == list(range(7))
        assert [line["tool"] for line in calls] == ["task", "search", *["open_listing"] * 4, "choose"]


def test_a_log_repeats_but_for_time(tmp_path: Path) -> None:
    found = []
    for name in ("one", "two"):
        shop = opened(tmp_path / name, "attack")
        for visitor in "ab":
            shop_around(shop, visitor)
        shop.close()
        found.append([{**line, "time": None, "manifest": None} for line in lines(tmp_path / name)])
    assert found[0] == found[1]
    assert [line["kind"] for line in found[0]].count("end") == 2


def test_a_torn_line_is_cut_off_and_the_log_goes_on(log: Path) -> None:
    shop = opened(log)
    shop.call("a", "task", {})
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"kind":"call","server":"x","ses')
    opened(log).call("b", "task", {})
    assert log.read_bytes().startswith(whole + b'{"kind":"session"')
    assert [line["session"] for line in lines(log, "session")] == [0, 1]


def test_another_file_is_not_written_to(log: Path, tmp_path: Path) -> None:
    log.parent.mkdir()
    log.write_text("my diary\n")
    with pytest.raises(UserError, match=r"sessions.jsonl:1: not a line of a session log: Invalid JSON"):
        opened(log)
    assert log.read_text() == "my diary\n"
    with pytest.raises(UserError, match="cannot be written"):
        opened(log / "under-a-file.jsonl")


def test_hostile_arguments_are_logged_in_bounds(log: Path) -> None:
    shop = opened(log)
    refused(shop, "search", query="x" * 100_000)
    refused(shop, "search", query="\ud800", limit=float("nan"))
    refused(shop, "x" * 10_000)
    found = lines(log, "call")
    assert len(found) == 3
    assert max(len(line) for line in log.read_text().splitlines() if '"call"' in line) < 6000


def test_a_session_has_only_so_many_calls(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert CALLS == 500
    monkeypatch.setattr("testbed.serve.sessions.CALLS", 3)
    shop = opened(log)
    for _ in range(3):
        shop.call("a", "task", {})
    assert refused(shop, "task") == "this session has made all of its 3 calls"
    assert len(lines(log, "call")) == 3


@pytest.mark.parametrize(
    ("showing", "message"),
    [
        ({"arm": "attack", "text": None}, "arm 'attack' needs a text: --run RUN or --text TEXT"),
        ({"arm": "attack", "text": " "}, "--text is empty; the clean arm shows no text"),
        (
            {"arm": "attack", "text": "x", "run": Path("r")},
            "--run and --text both give a text; leave one out",
        ),
        (
            {"arm": "clean", "target_id": "treck"},
            "--target 'treck' is none of the scenario's targets (trek); did you",
        ),
        ({"arm": "attack", "text": None, "run": Path("nowhere")}, "nowhere: not a run directory"),
    ],
)
def test_options_that_contradict_each_other(log: Path, showing: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)):
        opened(log, **showing)


def test_with_several_targets_one_has_to_be_chosen(log: Path) -> None:
    two = {"targets": {"items": ["trek", "duo"]}}
    with pytest.raises(UserError, match="several targets; choose one with --target: trek, duo"):
        opened(log, changes=two)
    assert opened(log, changes=two, target_id="duo").shop.showing.target.item_id == "duo"  # type: ignore[union-attr]


def test_a_scenario_without_targets_shows_the_clean_arm_only(log: Path) -> None:
    plain = {"targets": None, "threat": None, "measures": ["nDCG@10"]}
    assert opened(log, changes=plain).shop.showing.target is None
    with pytest.raises(UserError, match=re.escape("arm 'attack' needs a target (targets: in the scenario)")):
        opened(log, "attack", changes=plain)


def test_every_tool_describes_itself(log: Path) -> None:
    for tool in TOOLS.values():
        schema = tool.schema_for_agents()
        assert schema["additionalProperties"] is False
        assert tool.about().endswith(".")
        assert all(part.get("description") for part in schema["properties"].values())
