"""Answers on disk, numbers that processes share, pace and answers read with suspicion."""

from __future__ import annotations

import json
import multiprocessing
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fault_server import echoed, log_prob
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import StopRun
from testbed.language.endpoint.answer import Answer, BadAnswer, Choice, NoLogProbs, read
from testbed.language.endpoint.cache import Answers
from testbed.language.endpoint.pace import Pace
from testbed.language.endpoint.question import Question
from testbed.language.endpoint.secrets import checked_variable, without
from testbed.language.endpoint.server import address, checked_url
from testbed.language.endpoint.shared import Shared

KEY = "a" * 64
ANSWER = Answer((Choice("1. Café \ud83d!", "stop", "", -1.5, 3),), 10, 2, 4, True, "m")
PLAIN = Question("chat/completions", {"model": "m", "messages": [], "max_tokens": 5})


def test_what_is_kept_comes_back(tmp_path: Path) -> None:
    answers = Answers(tmp_path)
    assert answers.get(KEY) is None
    answer = Answer((Choice("1. Café 😀\x00\u202e", "stop", "", -1.5, 3),), 10, 2, 4, True, "m")
    answers.put(KEY, answer)
    assert Answers(tmp_path).get(KEY) == answer
    assert Answers(tmp_path).get("b" * 64) is None


def test_half_a_character_is_kept_too(tmp_path: Path) -> None:
    Answers(tmp_path).put(KEY, ANSWER)
    assert Answers(tmp_path).get(KEY) == ANSWER


@given(st.data())
def test_damaged_entries_are_no_entries(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("answers")
    Answers(folder).put(KEY, ANSWER)
    (file,) = folder.rglob("*.json")
    whole = file.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["cut", "flip", "empty"]))
    broken = {"cut": whole[:place], "flip": bytearray(whole), "empty": b""}[kind]
    if isinstance(broken, bytearray):
        broken[place] ^= 1 << data.draw(st.integers(0, 6))
    file.write_bytes(bytes(broken))
    found = Answers(folder).get(KEY)
    assert found is None or found == ANSWER  # a letter of the envelope's own may change case in an escape
    Answers(folder).put(KEY, ANSWER)
    assert Answers(folder).get(KEY) == ANSWER


def test_an_entry_of_another_key_is_no_entry(tmp_path: Path) -> None:
    Answers(tmp_path).put(KEY, ANSWER)
    (file,) = tmp_path.rglob("*.json")
    file.with_name("b" * 61 + ".json").write_bytes(file.read_bytes())
    assert Answers(tmp_path).get("aaa" + "b" * 61) is None


def test_a_cache_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")
    with pytest.raises(StopRun, match=r"cannot be kept in .*taken: .*; set TESTBED_CACHE to a folder"):
        Answers(tmp_path / "taken").put(KEY, ANSWER)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
bodies = st.dictionaries(st.text(max_size=4), json_values, max_size=4)


def same(one: object, other: object) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


@given(bodies, bodies)
def test_any_changed_parameter_changes_the_key(one: dict[str, object], other: dict[str, object]) -> None:
    keys = [Question("completions", body).key("http://x/v1") for body in (one, other)]
    assert (keys[0] == keys[1]) == same(one, other)


@given(bodies, st.text(max_size=3), json_values, json_values)
def test_one_value_changes_the_key(body: dict[str, object], name: str, before: object, after: object) -> None:
    keys = {Question("completions", {**body, name: value}).key("u") for value in (before, after)}
    assert len(keys) == (1 if same(before, after) else 2)


def test_everything_else_changes_the_key_too() -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "temperature": 0}
    questions = [
        ("http://a/v1", Question("completions", body)),
        ("http://b/v1", Question("completions", body)),
        ("http://a/v1", Question("chat/completions", body)),
        ("http://a/v1", Question("completions", body, replicate=1)),
        ("http://a/v1", Question("completions", body, endings=("x",))),
        ("http://a/v1", Question("completions", body, endings=("x", "y"))),
        ("http://a/v1", Question("completions", body, endings=("xy",))),
        ("http://a/v1", Question("completions", {**body, "temperature": 0.0})),
        ("http://a/v1", Question("completions", {**body, "temperature": False})),
    ]
    assert len({question.key(url) for url, question in questions}) == len(questions)


def test_the_order_of_parameters_does_not_matter() -> None:
    one, other = {"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"d": 3, "c": 2}, "a": 1}
    assert Question("x", one).key("u") == Question("x", other).key("u")


def _count(path: str, times: int) -> None:
    shared = Shared(Path(path))
    for _ in range(times):
        with shared.changing() as numbers:
            numbers["n"] = numbers.get("n", 0) + 1


def test_processes_and_threads_lose_no_number(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_count, args=(str(path), 30)) for _ in range(2)]
    for process in processes:
        process.start()
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(_count, [str(path)] * 3, [30] * 3))
    for process in processes:
        process.join()
    assert Shared(path).now() == {"n": 150}


def test_damaged_numbers_are_forgotten_and_a_fault_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "numbers.json"
    _count(str(path), 2)

    def fail() -> None:
        with Shared(path).changing() as numbers:
            numbers["n"] = 7
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        fail()
    assert Shared(path).now() == {"n": 2}
    path.write_text('{"n": ')
    assert Shared(path).now() == {}


def test_no_minute_sees_more_than_it_may() -> None:
    now = [100.0]
    pace = Pace(60.0, 6000.0, Shared(None), clock=lambda: now[0])
    assert [pace.book(10) for _ in range(4)] == pytest.approx([0, 1, 2, 3])  # requests bind
    assert pace.book(1000) == pytest.approx(4)
    assert pace.book(10) == pytest.approx(14)  # tokens bind
    now[0] = 200.0
    assert pace.book(10) == 0
    pace.pause(30)
    assert pace.book(10) == 30


def test_nobody_sleeps_on_when_the_run_stops() -> None:
    pace = Pace(0.001, None, Shared(None))
    stop = threading.Event()
    pace.wait(1, stop)
    stop.set()
    pace.wait(1, stop)  # would take 1000 minutes


def scoring(prompt: str, *endings: str) -> Question:
    return Question("completions", {"prompt": [prompt + ending for ending in endings]}, endings=endings)


def body_of(*choices: object) -> bytes:
    return json.dumps({"choices": choices}).encode()


@pytest.mark.parametrize("extra", [" and", "\n", "", " Pico\n"])
def test_the_likelihood_is_that_of_the_ending_alone(extra: str) -> None:
    prompt, endings = "Rank: Pico and Duo.\n1.", (" Pico\n", " Duo Brewer\n")
    choices = [echoed(i, prompt + ending, extra) for i, ending in enumerate(endings)]
    answer = read(scoring(prompt, *endings), body_of(*reversed(choices)))
    assert [choice.log_prob for choice in answer.choices] == pytest.approx(
        [log_prob(prompt, ending) for ending in endings]
    )
    assert [choice.tokens for choice in answer.choices] == [2, 3]
    assert not answer.counted


def test_tokens_that_cut_characters_are_found_by_their_offsets() -> None:
    choice = echoed(0, "1. Café\n")
    choice["logprobs"]["tokens"] = [token.replace("é", "\ufffd") for token in choice["logprobs"]["tokens"]]
    (found,) = read(scoring("1.", " Café\n"), body_of(choice)).choices
    assert found.log_prob == pytest.approx(log_prob("1.", " Café\n"))


def test_a_beginning_of_text_token_does_not_shift_the_ending() -> None:
    choice = echoed(0, "1. Duo\n")
    logprobs = choice["logprobs"]
    logprobs["tokens"] = ["<s>", *logprobs["tokens"]]
    logprobs["token_logprobs"] = [None, -1.0, *logprobs["token_logprobs"][1:]]
    logprobs["text_offset"] = None
    (found,) = read(scoring("1.", " Duo\n"), body_of(choice)).choices
    assert found.log_prob == pytest.approx(log_prob("1.", " Duo\n"))


def test_without_log_probabilities_of_the_prompt_there_is_no_score() -> None:
    for logprobs in (None, {"content": []}, {"tokens": [" and"], "token_logprobs": [-1.0]}):
        choice = {"index": 0, "text": " and", "logprobs": logprobs}
        with pytest.raises(NoLogProbs):
            read(scoring("1.", " Duo\n"), body_of(choice))


@pytest.mark.parametrize("value", [None, 2.0, "NaN", "-Infinity"])
def test_log_probabilities_that_are_none_are_refused(value: object) -> None:
    choice = echoed(0, "1. Duo\n")
    choice["logprobs"]["token_logprobs"][-2] = value
    with pytest.raises((BadAnswer, NoLogProbs)):
        read(scoring("1.", " Duo\n"), body_of(choice).replace(b'"NaN"', b"NaN").replace(b'"-Inf', b"-Inf"))


@given(st.binary(max_size=200) | json_values.map(lambda value: json.dumps({"choices": value}).encode()))
def test_no_body_breaks_the_reader(content: bytes) -> None:
    for question in (PLAIN, scoring("1.", " Duo\n")):
        try:
            found = read(question, content)
        except (BadAnswer, NoLogProbs):
            continue
        assert isinstance(found, Answer)


@pytest.mark.parametrize(
    "text",
    [
        "sk-proj-abcdefghijklmnop",
        "sk_live_abcdefghijklmnop",
        "hf_AbCdEfGhIjKlMnOpQrSt",
        "0123456789abcdef0123456789abcdef",
        "a1b2c3d4e5f6a7b8c9d0e1f2",
        "QWERTYuiopASDFGHjklzxcvb",
        "two words",
        "Bearer x",
    ],
)
def test_a_key_is_no_name_of_a_variable(text: str) -> None:
    with pytest.raises(ValueError, match="looks like a key; keys do not belong into a scenario") as caught:
        checked_variable(text)
    assert text not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    ["", "OPENAI_API_KEY", "HF_INFERENCE_ENDPOINT_TOKEN", "api_key_for_my_company", "K", "KEY_2026_11"],
)
def test_names_of_variables_pass(name: str) -> None:
    assert checked_variable(name) == name


def test_keys_are_taken_out_of_texts() -> None:
    assert without("abc", "xabcx sk-bcdefghijklmnopq") == "x[key]x [key]"
    assert without("", "nothing secret") == "nothing secret"


def test_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    assert checked_url("http://localhost:8000/v1/", "base_url") == "http://localhost:8000/v1"
    for bad in (
        "localhost:8000",
        "ftp://x/v1",
        "http://",
        "http://x:y/v1",
        "http://x/\n",
        "",
        "http://é.org",
    ):
        with pytest.raises(
            Exception, match=r"base_url: .* is no address; write for instance http://localhost"
        ):
            checked_url(bad, "base_url")
    for bad in ("https://me:secret@x/v1", "https://x/v1?key=secret", "https://x/v1#secret"):
        with pytest.raises(Exception, match="base_url: an address with a user") as caught:
            checked_url(bad, "base_url")
        assert "secret@" not in str(caught.value)
        assert "=secret" not in str(caught.value)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    assert (address(None), address("http://here/v1")) == ("http://elsewhere/v1", "http://here/v1")
    monkeypatch.delenv("OPENAI_BASE_URL")
    assert address(None) == "https://api.openai.com/v1"
