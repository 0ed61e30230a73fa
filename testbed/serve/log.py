"""The session log: append-only, shared by any number of servers, readable after any of them was killed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from testbed.errors import UserError
from testbed.serve.lines import AnyLine, ServerLine, SessionLine

if TYPE_CHECKING:
    from pydantic import TypeAdapter

    from testbed.serve.lines import Line
    from testbed.serve.showing import Cell


class SessionLog:
    """A log file. Every line is written whole under a lock, so that several servers may share the file."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._mutex = threading.Lock()

    def register(self, line: ServerLine) -> None:
        """Write what a server shows, unless the log has it already. UserError when the file cannot be written."""
        with self._alone():
            if not any(isinstance(one, ServerLine) and one.server == line.server for one in read(self.path)):
                self._write(line)

    def begin(self, server: str, cells: list[Cell], wanted: int | None, client: str, at: str) -> SessionLine:
        """Open a session: that of a number, or the first that was never opened. UserError when all were."""
        with self._alone():
            taken: dict[int, int] = {}
            for line in read(self.path):
                if isinstance(line, SessionLine) and line.server == server:
                    taken[line.session] = taken.get(line.session, 0) + 1
            number = wanted
            if number is None:
                number = next((cell.number for cell in cells if cell.number not in taken), None)
            if number is None:
                raise UserError(
                    f"all {len(cells)} sessions of the plan have been opened; ask for one of them by its number, "
                    "or plan more (evaluate.orders, evaluate.requests)"
                )
            cell = cells[number]
            line = SessionLine(
                server=server,
                session=number,
                attempt=taken.get(number, 0),
                request=cell.request,
                order=cell.order,
                slot=cell.slot,
                client=client,
                time={"at": at},
            )
            self._write(line)
            return line

    def append(self, line: Line) -> None:
        """Add a line."""
        with self._alone():
            self._write(line)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        from filelock import FileLock

        try:
            with self._mutex, FileLock(self.path.with_name(self.path.name + ".lock")):
                yield
        except OSError as fault:
            raise UserError(f"{self.path}: cannot be written: {fault.strerror or fault}") from None

    def _write(self, line: Line) -> None:
        """Behind the last whole line: what a killed server left of a line is cut off."""
        parts = line.model_dump(by_alias=True)
        kind, time = parts.pop("kind"), parts.pop("time")
        ordered = {"kind": kind, **parts, "time": time}
        text = json.dumps(ordered, separators=(",", ":"), allow_nan=False) + "\n"
        with self.path.open("ab+") as stream:
            end = stream.seek(0, 2)
            if end:
                stream.seek(end - 1)
                if stream.read(1) != b"\n":
                    stream.truncate(_whole(self.path))
            stream.write(text.encode())


def read(path: Path) -> Iterator[Any]:
    """The lines of a log; a torn last one is left out. UserError naming file:line for anything else."""
    from pydantic import ValidationError

    if not path.exists():
        return
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                yield _adapter().validate_json(line)
            except ValidationError as error:
                fault = error.errors(include_url=False, include_input=False)[0]
                place = ".".join(map(str, fault["loc"][1:]))
                about = f"{place}: {fault['msg']}" if place else fault["msg"]
                raise UserError(f"{path}:{number}: not a line of a session log: {about}") from None


def plain(value: Any, most: int = 4000) -> Any:
    """A value out of a message as it may stand in a line: JSON without half characters, cut to a text if long."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        text = repr(value)[:most]
        return text.encode("utf-8", "replace").decode()
    text = text.encode("utf-8", "replace").decode()
    return json.loads(text) if len(text) <= most else text[:most]


def _whole(path: Path) -> int:
    data = path.read_bytes()
    return data.rfind(b"\n") + 1


@cache
def _adapter() -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(AnyLine)
