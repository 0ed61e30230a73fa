"""The client against a server that misbehaves in every way that servers do."""

from __future__ import annotations

import email.utils
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fault_server import Handler, State, cut, drip, good, hang, raw, saying, serving, status, truncated

from testbed.errors import StopRun, UserError
from testbed.language.endpoint import Answer, Endpoint, Failed, Price, Question, Server
from testbed.language.endpoint import client as client_module
from testbed.language.endpoint import transport as transport_module

KEY = "sk-test-0123456789abcdef"


@pytest.fixture
def state() -> Iterator[State]:
    with serving() as state:
        yield state


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "FIRST_WAIT", 0.01)
    monkeypatch.setenv("TEST_KEY", KEY)


def endpoint(state: State, cache: Path | None = None, run: Path | None = None, **options: object) -> Endpoint:
    server = Server(state.url, "fake", "TEST_KEY", timeout=30.0, retries=2)
    return Endpoint(replace(server, **options), cache=cache, run=run)  # type: ignore[arg-type]


def question(text: str = "Name: A\nName: B", replicate: int = 0) -> Question:
    body = {"model": "fake", "messages": [{"role": "user", "content": text}], "max_tokens": 20}
    return Question("chat/completions", body, replicate)


def test_an_answer_comes_with_its_tokens_and_the_key_goes_in_the_header(state: State) -> None:
    (answer,) = endpoint(state).ask([question()])
    assert isinstance(answer, Answer)
    assert sorted(answer.choices[0].text) == sorted("1. A\n2. B")
    assert (answer.input_tokens, answer.output_tokens, answer.model) == (7, 7, "fake-1")
    (asked,) = state.asked
    assert asked.path == "/v1/chat/completions"
    assert asked.headers["Authorization"] == f"Bearer {KEY}"
    assert asked.body == question().body


@pytest.mark.parametrize(
    "fault",
    [
        status(500),
        status(502, "<html>bad gateway</html>"),
        status(429, Retry_After="0.01"),
        status(408),
        cut,
        truncated(),
        raw(b"nonsense"),
        raw(b""),
        raw(b'{"choices": []}'),
        raw(b'{"choices": [{"index": 0}]}'),
        raw(b'{"choices": [{"message": {"content": 5}}]}'),
        raw(b'{"choices": [{"message": "hi"}], "usage": null}'),
        raw(b'{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": -5}}'),
        raw(b'{"error": {"message": "overloaded"}}'),
        raw(b"[" * 100_000),
        raw(b"[" * 100_000, 500),
        raw(b'\xff\xfe{"choices": 1}'),
    ],
)
def test_what_may_pass_is_tried_again(state: State, fault: object) -> None:
    state.faults = [fault, fault]  # type: ignore[list-item]
    (answer,) = endpoint(state).ask([question()])
    assert isinstance(answer, Answer)
    assert len(state.asked) == 3


@pytest.mark.parametrize(
    ("fault", "note"),
    [
        (status(500, "on fire"), "fake: the server answered 500 (on fire)"),
        (raw(b"nonsense"), "fake: the server sent not the JSON of an answer"),
        (raw(b'{"choices": []}'), "fake: the server sent 0 choices where 1 were expected"),
        (cut, "fake: the connection broke"),
        (truncated(), "fake: the connection broke"),
        (hang(4.0), "fake: no answer within 1.5 s"),
        (drip(4.0), "fake: no whole answer within 1.5 s"),
        (drip(4.0, code=500), "fake: the server answered 500"),
    ],
)
def test_after_all_attempts_there_is_a_failure_that_says_why(state: State, fault: object, note: str) -> None:
    state.always = fault  # type: ignore[assignment]
    (failed,) = endpoint(state, retries=1, timeout=1.5).ask([question()])
    assert isinstance(failed, Failed)
    assert failed.note.startswith(note)
    assert len(state.asked) == 2


def test_one_failure_leaves_the_others_alone(state: State) -> None:
    state.faults = [None, status(400, "too long"), None]
    found = endpoint(state, concurrency=1).ask([question(f"Name: A{i}") for i in range(3)])
    assert [type(one) for one in found] == [Answer, Failed, Answer]
    assert len(state.asked) == 3  # a refusal is not asked again


def test_the_server_says_how_long_to_wait(state: State) -> None:
    state.faults = [status(429, Retry_After="0.4")]
    endpoint(state).ask([question()])
    first, second = (asked.time for asked in state.asked)
    assert second - first >= 0.4


def test_everybody_waits_when_one_is_told_to(state: State) -> None:
    state.faults = [status(429, Retry_After="0.5")]
    ask = endpoint(state, concurrency=1)
    ask.ask([question("Name: A"), question("Name: B")])
    times = [asked.time for asked in state.asked]
    assert min(times[1:]) - times[0] >= 0.5


def test_a_date_to_wait_for_is_understood() -> None:
    text = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 90 < (transport_module.retry_after({"retry-after": text}) or 0) < 101
    assert transport_module.retry_after({"retry-after-ms": "250"}) == 0.25
    for odd in ("soon", "-5", "nan", "inf", "1e99"):
        assert transport_module.retry_after({"retry-after": odd}) is None


def test_a_wait_that_is_too_long_ends_the_run(state: State) -> None:
    state.faults = [status(429, "daily limit", Retry_After="86400")]
    with pytest.raises(
        StopRun, match=r"answered 429 \(daily limit\): it asks to wait 86400 s; the same command"
    ):
        endpoint(state).ask([question()])


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (
            status(401, f"wrong key {KEY}"),
            r"401 \(wrong key \[key\]\): the key was not accepted \(it is read from TEST_KEY\)",
        ),
        (status(403), r"403 \(no\): access is denied"),
        (status(404), r"404 \(no\): is there a model 'fake', and is the address right\?"),
        (status(402), "the account has nothing left to spend"),
        (status(429, "quota", "insufficient_quota"), "the account has nothing left to spend"),
        (
            status(400, "no max_tokens"),
            r"400 \(no max_tokens\); nothing was answered yet, so the run ends here",
        ),
    ],
)
def test_what_cannot_pass_ends_the_run_at_once(state: State, fault: object, message: str) -> None:
    state.always = fault  # type: ignore[assignment]
    with pytest.raises(StopRun, match=message) as caught:
        endpoint(state, concurrency=1).ask([question(), question("Name: C")])
    assert KEY not in str(caught.value)
    assert len(state.asked) <= 2


def test_a_later_denial_is_about_one_question(state: State) -> None:
    ask = endpoint(state)
    ask.ask([question()])
    state.faults = [status(403, "flagged by moderation")]
    (failed,) = ask.ask([question("Name: other")])
    assert failed == Failed(
        "fake: the server answered 403 (flagged by moderation): access is denied (it is read from TEST_KEY)",
        True,
    )


def test_nobody_there() -> None:
    server = Server("http://127.0.0.1:9", "fake", retries=1)
    with pytest.raises(StopRun, match=r"cannot reach http://127.0.0.1:9 .*nothing was answered yet"):
        Endpoint(server, cache=None, run=None).ask([question()])


def test_huge_answers_are_not_read_to_their_end(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_module, "LARGEST", 10_000)
    state.always = saying("x" * 1_000_000)
    (failed,) = endpoint(state).ask([question()])
    assert failed == Failed("fake: an answer of more than 10000 bytes")
    assert len(state.asked) == 1


def test_equal_questions_are_asked_once_and_many_at_the_same_time(state: State) -> None:
    state.always = hang(0.6)
    texts = [f"Name: N{i % 4}" for i in range(8)]
    found = endpoint(state, concurrency=3).ask([question(text) for text in texts])
    assert len(state.asked) == 4
    assert found[:4] == found[4:]
    assert state.most_at_once == 3


def test_redirects_are_not_followed(state: State) -> None:
    state.always = status(307, Location="http://127.0.0.1:9/v1/chat/completions")
    (failed,) = endpoint(state).ask([question()])
    assert isinstance(failed, Failed)
    assert "answered 307" in failed.note


def test_a_key_that_comes_back_is_taken_out(state: State, tmp_path: Path) -> None:
    state.always = saying(f"Your key is {KEY}.")
    (answer,) = endpoint(state, tmp_path).ask([question()])
    assert isinstance(answer, Answer)
    assert answer.choices[0].text == "Your key is [key]."
    assert not any(KEY in path.read_text() for path in tmp_path.rglob("*.json"))


def test_no_key_no_header(state: State) -> None:
    endpoint(state, key_variable="").ask([question()])
    assert "Authorization" not in state.asked[0].headers


def test_far_servers_need_their_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_KEY")
    with pytest.raises(
        UserError, match="environment variable TEST_KEY is not set; put the server's key there"
    ):
        Endpoint(Server("https://example.org/v1", "m", "TEST_KEY"), cache=None, run=None)
    Endpoint(Server("https://example.org/v1", "m", ""), cache=None, run=None)


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(UserError, match=r"pip install 'ranking-testbed\[openai\]'"):
        Endpoint(Server("http://localhost/v1", "m"), cache=None, run=None)


def test_the_package_is_imported_late() -> None:
    code = "import sys, retrievers.endpoint, testbed.language.endpoint\n"
    code += "print('httpx2' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_an_interruption_keeps_what_is_under_way(
    state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def held(handler: Handler, body: dict[str, object]) -> None:
        release.wait(20)
        handler.send(200, good(body))

    def interrupted(*args: object, **options: object) -> object:
        while len(state.asked) < 2:
            time.sleep(0.01)
        threading.Timer(1.0, release.set).start()
        raise KeyboardInterrupt

    state.always = held
    real = client_module.wait
    monkeypatch.setattr(client_module, "wait", interrupted)
    questions = [question(f"Name: N{i}") for i in range(6)]
    with pytest.raises(KeyboardInterrupt):
        endpoint(state, tmp_path, concurrency=2, timeout=30.0).ask(questions)
    assert len(state.asked) == 2
    monkeypatch.setattr(client_module, "wait", real)
    endpoint(state, tmp_path).ask(questions)
    assert len(state.asked) == 6  # four that were missing


def test_books_tell_paid_from_kept(state: State, tmp_path: Path) -> None:
    price = Price(input=2.0, output=10.0)
    questions = [question("Name: A\nName: B"), question("Name: C"), question("Name: C")]
    ask = endpoint(state, tmp_path, tmp_path, price=price)
    ask.ask(questions)
    state.faults = [status(500)]
    ask.ask([*questions, question("Name: D")])
    books = json.loads((tmp_path / "spending.json").read_text())
    answers = [one for one in ask.ask([*questions[:2], question("Name: D")]) if isinstance(one, Answer)]
    assert books["requests"] == 3
    assert books["from_cache"] == 3
    assert books["failed"] == 1
    assert books["input_tokens"] == sum(answer.input_tokens for answer in answers)
    assert books["money"] == pytest.approx(sum(price.of(a.input_tokens, a.output_tokens) for a in answers))
    assert "unsure" not in books


def test_what_may_have_been_charged_counts_as_charged(state: State, tmp_path: Path) -> None:
    state.always = raw(b"nonsense")
    ask = endpoint(state, None, tmp_path, price=Price(input=1e6, output=0), retries=1)
    ask.ask([question("Name: A")])
    books = json.loads((tmp_path / "spending.json").read_text())
    assert books["money"] == books["unsure"] == 2 * (len("Name: A") + 64)


def test_the_ceiling_is_never_passed(state: State, tmp_path: Path) -> None:
    one = question("Name: A00")
    worst = one.size + 64 + one.longest_answer
    ask = endpoint(
        state, tmp_path, tmp_path, price=Price(input=1e6, output=1e6), max_cost=2.0 * worst, concurrency=4
    )
    with pytest.raises(
        StopRun, match=rf"max_cost is reached: .* of {2 * worst} is spent.*Nothing more was asked"
    ):
        ask.ask([question(f"Name: A{i:02}") for i in range(60)])
    books = json.loads((tmp_path / "spending.json").read_text())
    assert 1 <= books["requests"] == len(state.asked)
    assert books["money"] == books["input_tokens"] + books["output_tokens"] <= 2 * worst
    richer = endpoint(state, tmp_path, tmp_path, price=Price(input=1e6, output=1e6), max_cost=1e9)
    before = len(state.asked)
    richer.ask([question(f"Name: A{i:02}") for i in range(60)])
    assert len(state.asked) - before == 60 - before


def test_requests_keep_their_pace(state: State, tmp_path: Path) -> None:
    ask = endpoint(state, tmp_path, requests_per_minute=600.0, concurrency=8)
    started = time.monotonic()
    ask.ask([question(f"Name: N{i}") for i in range(5)])
    assert time.monotonic() - started >= 4 * 0.1


def test_two_clients_share_a_pace(state: State, tmp_path: Path) -> None:
    clients = [endpoint(state, tmp_path, requests_per_minute=300.0) for _ in range(2)]
    threads = [
        threading.Thread(target=one.ask, args=([question(f"Name: {n}{i}") for i in range(2)],))
        for n, one in enumerate(clients)
    ]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - started >= 3 * 0.2
    assert len(state.asked) == 4
