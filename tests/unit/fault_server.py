"""A real OpenAI-compatible server for tests, which can be told to misbehave request by request."""

from __future__ import annotations

import hashlib
import json
import math
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Fault = Callable[["Handler", dict[str, Any]], None]
NAME = re.compile(r"^(?:Name|Title): (.+)$", re.MULTILINE)


@dataclass
class Asked:
    """One request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    time: float


@dataclass
class State:
    """What the server does next and what it has seen. `faults` are used up in order, then `always`."""

    faults: list[Fault | None] = field(default_factory=list)
    always: Fault | None = None
    asked: list[Asked] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    most_at_once: int = 0
    at_once: int = 0
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: State

    def log_message(self, *args: object) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        state = self.state
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with state.lock:
            state.asked.append(Asked(self.path, dict(self.headers), body, time.monotonic()))
            fault = state.faults.pop(0) if state.faults else state.always
            state.at_once += 1
            state.most_at_once = max(state.most_at_once, state.at_once)
        try:
            if fault is not None:
                fault(self, body)
            else:
                self.send(200, good(body))
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True
        finally:
            with state.lock:
                state.at_once -= 1

    def send(self, status: int, value: object, **headers: str) -> None:
        """A response; bytes go out as they are, everything else as JSON."""
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(raw)))
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.end_headers()
        self.wfile.write(raw)


def good(body: dict[str, Any]) -> dict[str, Any]:
    """A right answer: names of the prompt in an order that depends on the prompt alone."""
    if body.get("echo"):
        choices = [echoed(index, prompt) for index, prompt in enumerate(body["prompt"])]
        given = sum(len(tokens_of(prompt)) for prompt in body["prompt"])
        return {"model": "fake-1", "choices": choices, "usage": usage(given, len(choices))}
    prompt = body["messages"][-1]["content"] if "messages" in body else body["prompt"]
    names = sorted(dict.fromkeys(NAME.findall(prompt)), key=lambda name: value_of(prompt + name))
    text = "\n".join(f"{place}. {name}" for place, name in enumerate(names, start=1))
    choice = {"index": 0, "finish_reason": "stop"}
    choice |= {"message": {"role": "assistant", "content": text}} if "messages" in body else {"text": text}
    return {
        "model": "fake-1",
        "choices": [choice],
        "usage": usage(len(tokens_of(prompt)), len(tokens_of(text))),
    }


def usage(given: int, written: int) -> dict[str, int]:
    return {"prompt_tokens": given, "completion_tokens": written, "total_tokens": given + written}


def echoed(index: int, prompt: str, extra: str = " and") -> dict[str, Any]:
    """The prompt with the log-probability of each token and one token more."""
    tokens = [*tokens_of(prompt), extra]
    offsets, place = [], 0
    for token in tokens:
        offsets.append(place)
        place += len(token)
    values = [None, *(-5 * value_of(prompt[: offsets[i]] + token) for i, token in enumerate(tokens) if i)]
    logprobs = {"tokens": tokens, "token_logprobs": values, "text_offset": offsets}
    return {"index": index, "text": prompt + extra, "finish_reason": "length", "logprobs": logprobs}


def tokens_of(text: str) -> list[str]:
    return re.findall(r" ?\w+|[^\w]", text)


def value_of(text: str) -> float:
    """From 0 to 1, the same for the same text."""
    return int.from_bytes(hashlib.sha256(text.encode(errors="replace")).digest()[:6], "big") / 2**48


def log_prob(prompt: str, ending: str) -> float:
    """What `good` gives for the ending of a prompt."""
    choice = echoed(0, prompt + ending)
    count = len(tokens_of(ending))
    return math.fsum(choice["logprobs"]["token_logprobs"][-1 - count : -1])


def status(code: int, message: str = "no", kind: str = "", **headers: str) -> Fault:
    return lambda handler, body: handler.send(code, {"error": {"message": message, "code": kind}}, **headers)


def raw(content: bytes, code: int = 200) -> Fault:
    return lambda handler, body: handler.send(code, content)


def hang(seconds: float) -> Fault:
    def fault(handler: Handler, body: dict[str, Any]) -> None:
        time.sleep(seconds)
        handler.send(200, good(body))

    return fault


def drip(seconds: float, step: float = 0.05, code: int = 200) -> Fault:
    """A body that never ends, a byte at a time."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        handler.send_response(code)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            handler.wfile.write(b"1\r\n \r\n")
            handler.wfile.flush()
            time.sleep(step)
        handler.close_connection = True

    return fault


def truncated(share: float = 0.5) -> Fault:
    """The beginning of a right answer under the length of the whole."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        whole = json.dumps(good(body)).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(whole)))
        handler.end_headers()
        handler.wfile.write(whole[: int(len(whole) * share)])
        handler.close_connection = True

    return fault


def cut(handler: Handler, body: dict[str, Any]) -> None:
    """Hang up without a word."""
    handler.close_connection = True


def saying(text: str | None, finish: str = "stop", **message: object) -> Fault:
    """A right answer with this text in it."""

    def fault(handler: Handler, body: dict[str, Any]) -> None:
        value = {
            "message": {"role": "assistant", "content": text, **message},
            "finish_reason": finish,
            "index": 0,
        }
        handler.send(200, {"choices": [value], "usage": usage(100, 10)})

    return fault


@contextmanager
def serving(state: State | None = None) -> Iterator[State]:
    """A server on a free port of this machine."""
    state = state or State()
    handler = type("Bound", (Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
