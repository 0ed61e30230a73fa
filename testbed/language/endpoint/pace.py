"""How fast a server may be asked: requests and tokens a minute, and pauses that it asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from testbed.language.endpoint.shared import Shared

MINUTE = 60.0


class Pace:
    """Gives every request its time, evenly spaced, so that no minute sees more than it may.

    `state` may be shared by processes: then the rates hold for all of them together.
    """

    def __init__(
        self,
        requests: float | None,
        tokens: float | None,
        state: Shared,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.requests, self.tokens, self.state, self.clock = requests, tokens, state, clock

    def book(self, tokens: float) -> float:
        """Seconds until a request of so many tokens may be sent; its place in the line is taken."""
        now = self.clock()
        with self.state.changing() as line:
            due = max(now, line.get("request", 0.0), line.get("token", 0.0), line.get("pause", 0.0))
            if self.requests:
                line["request"] = due + MINUTE / self.requests
            if self.tokens:
                line["token"] = due + MINUTE * tokens / self.tokens
        return due - now

    def pause(self, seconds: float) -> None:
        """Let nobody ask for so long."""
        until = self.clock() + seconds
        with self.state.changing() as line:
            line["pause"] = max(line.get("pause", 0.0), until)

    def wait(self, tokens: float, stop: threading.Event) -> None:
        """Sleep until a request may be sent, pauses included that begin meanwhile; at once when `stop` is set."""
        left = self.book(tokens)
        while left > 0 and not stop.wait(left):
            left = self.state.now().get("pause", 0.0) - self.clock()
