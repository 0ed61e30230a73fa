"""Sessions: who is calling, in which situation of the plan, and what is written down of it."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.serve.lines import CallLine, EndLine
from testbed.serve.log import plain
from testbed.serve.shop import CALLS
from testbed.serve.tools import ToolFault

if TYPE_CHECKING:
    from testbed.serve.log import SessionLog
    from testbed.serve.shop import Answer, Shop
    from testbed.serve.showing import Cell


@dataclass
class Session:
    """One visit: its place in the plan, how often it has called, what it was shown."""

    cell: Cell
    attempt: int
    calls: int = 0
    seen: dict[str, None] = field(default_factory=dict)


class Sessions:
    """All visits to a shop. Every call is answered and written down; a session begins with its first call."""

    def __init__(self, shop: Shop, log: SessionLog, server: str, first: int | None = None) -> None:
        self.shop, self.log, self.server, self.first = shop, log, server, first
        self._open: dict[Hashable, Session] = {}
        self._mutex = threading.Lock()

    def call(
        self,
        visitor: Hashable,
        name: str,
        arguments: Mapping[str, Any],
        *,
        wanted: int | None = None,
        client: str = "",
    ) -> Answer:
        """Answer a call of a visitor and log it; ToolFault with what to tell the agent.

        `wanted`: number of the session that the visitor asks for; else it gets the first that was never opened.
        """
        session = self._of(visitor, self.first if wanted is None else wanted, client)
        began, at = time.perf_counter(), now()
        with self._mutex:
            number, session.calls = session.calls, session.calls + 1
        if number >= CALLS:
            raise ToolFault(f"this session has made all of its {CALLS} calls")
        answer: Answer | None = None
        error: str | None = "the server failed"
        try:
            answer = self.shop.answer(session.cell, name, arguments, tuple(session.seen))
            error = None
            return answer
        except ToolFault as fault:
            error = str(fault)
            raise
        except UserError as fault:
            error = str(fault)
            raise ToolFault(error) from None
        finally:
            seconds = round(time.perf_counter() - began, 3)
            self.log.append(self._line(session, number, name, arguments, answer, error, at, seconds))
            if answer is not None:
                session.seen.update(dict.fromkeys(answer.ids))

    def close(self) -> None:
        """Write down that the open sessions have ended."""
        with self._mutex:
            sessions, self._open = list(self._open.values()), {}
        for one in sessions:
            self.log.append(
                EndLine(server=self.server, session=one.cell.number, attempt=one.attempt, time={"at": now()})
            )

    def _of(self, visitor: Hashable, wanted: int | None, client: str) -> Session:
        cells = self.shop.showing.cells
        with self._mutex:
            if visitor in self._open:
                return self._open[visitor]
            if wanted is not None and not 0 <= wanted < len(cells):
                raise ToolFault(
                    f"there is no session {wanted}; the plan has the sessions 0 to {len(cells) - 1}"
                )
            try:
                line = self.log.begin(self.server, list(cells), wanted, client[:100], now())
            except UserError as fault:
                raise ToolFault(str(fault)) from None
            self._open[visitor] = Session(cells[line.session], line.attempt)
            return self._open[visitor]

    def _line(
        self,
        session: Session,
        number: int,
        name: str,
        arguments: Mapping[str, Any],
        answer: Answer | None,
        error: str | None,
        at: str,
        seconds: float,
    ) -> CallLine:
        usage = answer.usage if answer else None
        cost = {"queries": usage.queries, "tokens": usage.tokens, "computed": usage.computed} if usage else {}
        return CallLine(
            server=self.server,
            session=session.cell.number,
            attempt=session.attempt,
            call=number,
            tool=plain(name, 100),
            arguments=plain(arguments),
            error=None if error is None else plain(error),
            ids=answer.ids if answer else (),
            cost={unit: amount for unit, amount in cost.items() if amount},
            time={"at": at, "seconds": seconds},
        )


def now() -> str:
    """The time of day, in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
