"""The shop as a server of the Model Context Protocol (modelcontextprotocol.io), over stdio or HTTP."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Hashable
from contextlib import suppress
from importlib import metadata
from typing import TYPE_CHECKING, Any, NoReturn

from testbed.errors import UserError, shown
from testbed.serve.tools import TOOLS, ToolFault

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

    from testbed.serve.sessions import Sessions

MISSING = "testbed serve needs the MCP SDK: pip install 'ranking-testbed[mcp]'"
INSTRUCTIONS = (
    "A shop. Find the listing that fits the user best: ask what the user wants, search, open the listings that are "
    "worth reading, and end with choose."
)
PATH, LOCAL = "/mcp", ("127.0.0.1", "localhost", "::1")
GRACE = 2
"""Seconds that open connections get when the server is stopped."""


def require() -> None:
    """UserError with the command that helps when the SDK is not installed or too old."""
    try:
        import mcp.server.lowlevel  # noqa: F401

        version = metadata.version("mcp")
    except ImportError:
        raise UserError(MISSING) from None
    if int(version.partition(".")[0]) < 2:
        raise UserError(f"{MISSING} (mcp {version} is installed, 2.3 or newer is needed)")


def server_of(sessions: Sessions) -> Server[Any]:
    """The protocol's side of the tools. Faults of a call are answered as tool errors, which an agent can read."""
    import anyio.to_thread
    from mcp.server.context import ServerRequestContext
    from mcp.server.lowlevel import Server
    from mcp_types import (
        CallToolRequestParams,
        CallToolResult,
        ListToolsResult,
        PaginatedRequestParams,
        TextContent,
        Tool,
    )

    offered = [
        Tool(name=name, description=TOOLS[name].about(), input_schema=TOOLS[name].schema_for_agents())
        for name in sessions.shop.offered
    ]

    async def list_tools(
        context: ServerRequestContext[Any], params: PaginatedRequestParams | None
    ) -> ListToolsResult:
        return ListToolsResult(tools=offered)

    async def call_tool(context: ServerRequestContext[Any], params: CallToolRequestParams) -> CallToolResult:
        try:
            visitor, wanted = visit(context.request)
            answer = await anyio.to_thread.run_sync(
                lambda: sessions.call(
                    visitor, params.name, params.arguments or {}, wanted=wanted, client=_client(context)
                )
            )
        except ToolFault as fault:
            return CallToolResult(content=[TextContent(text=str(fault))], is_error=True)
        except Exception:
            traceback.print_exc()
            return CallToolResult(content=[TextContent(text="the server failed")], is_error=True)
        text = json.dumps(answer.content, ensure_ascii=False, indent=1)
        return CallToolResult(content=[TextContent(text=text)], structured_content=answer.content)

    return Server(
        "ranking-testbed",
        version=metadata.version("ranking-testbed"),
        instructions=INSTRUCTIONS,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


def visit(request: Any) -> tuple[Hashable, int | None]:
    """Who is calling and which session is asked for: by connection, over HTTP also by `?session=NUMBER`.

    Connections of protocol versions from 2026 on have no identity, so that they have to name the session.
    """
    if request is None:
        return "stdio", None
    connection = request.headers.get("mcp-session-id", "")
    asked = request.query_params.get("session")
    if asked is None:
        if not connection:
            raise ToolFault(
                f"which session is this? Connect to {PATH}?session=NUMBER, each agent to one of its own"
            )
        return connection, None
    if not (asked.isascii() and asked.isdigit() and len(asked) < 10):
        raise ToolFault(f"session must be a number from 0 on, got {shown(asked)}")
    return (int(asked), connection), int(asked)


def run_stdio(sessions: Sessions) -> None:
    """Serve one client on standard input and output until it leaves; SIGINT and SIGTERM end in good order."""
    import anyio
    from mcp.server.stdio import stdio_server

    def stop(*_: object) -> NoReturn:
        # A thread waits for standard input and cannot be told to stop.
        with suppress(UserError):
            sessions.close()
        os._exit(0)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    server = server_of(sessions)

    async def serve() -> None:
        async with stdio_server() as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())

    anyio.run(serve)
    sessions.close()


def run_http(sessions: Sessions, host: str, port: int, tell: Callable[[str], None]) -> None:
    """Serve any number of clients at http://HOST:PORT/mcp until SIGINT or SIGTERM.

    `tell`: is given the address once connections are taken. UserError when the port cannot be had.
    """
    import uvicorn

    listening = _listen(host, port)
    app = server_of(sessions).streamable_http_app(host=host, streamable_http_path=PATH)
    config = uvicorn.Config(
        app, log_level="warning", timeout_graceful_shutdown=GRACE, lifespan="on", access_log=False
    )
    shown_host = f"[{host}]" if ":" in host else host
    tell(f"http://{shown_host}:{listening.getsockname()[1]}{PATH}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        uvicorn.Server(config).run(sockets=[listening])
    except KeyboardInterrupt:
        pass  # how uvicorn hands on the signal that it has dealt with
    finally:
        sessions.close()
        listening.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.socket(family, socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except OSError as fault:
        raise UserError(f"{host}:{port}: cannot listen there: {fault.strerror or fault}") from None
    return listening


def _client(context: Any) -> str:
    """Name and version of the client, as it says itself; '' when it does not."""
    params = context.session.client_params
    info = getattr(params, "client_info", None)
    return f"{info.name} {info.version}".strip() if info is not None else ""


def warn(text: str) -> None:
    """A line on standard error; standard output belongs to the protocol."""
    print(text, file=sys.stderr, flush=True)
