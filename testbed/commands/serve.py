"""`testbed serve`: the stack of a scenario as an MCP server, for real agents."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.options import PATH, SCENARIO, SET, overrides, print_json
from testbed.errors import UserError

if TYPE_CHECKING:
    from testbed.scenario import Scenario

ARMS = ("clean", "clean_again", "attack", "random_tokens", "honest_text", "random_items")


@click.command("serve")
@SCENARIO
@SET
@click.option("--arm", type=click.Choice(ARMS), default="clean", show_default=True, help="What is shown.")
@click.option("--run", type=PATH, help="Run directory whose attack line gives the text.")
@click.option("--seed", type=click.IntRange(min=0), help="Attack seed [default: the lowest objective].")
@click.option("--text", help="The attack's text, instead of --run.")
@click.option("--target", help="The attacked item; needed where the scenario has several.")
@click.option("--transport", type=click.Choice(["stdio", "http"]), default="stdio", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at (http).")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0: any (http).")
@click.option("--log", type=PATH, help="Session log [default: runs/NAME-HASH.sessions.jsonl].")
@click.option(
    "--session", type=click.IntRange(min=0), help="Number of the session to hold (stdio) [default: the next]."
)
@click.option(
    "--search", metavar="STAGE", help="Stage that `search` asks [default: what the last one reads]."
)
@click.option(
    "--order",
    type=click.Choice(["shuffled", "fixed"]),
    default="shuffled",
    show_default=True,
    help="Search results in the session's presentation order, or best first.",
)
@click.option("--tools", metavar="NAMES", help="Tools that are offered, with commas between [default: all].")
@click.option("--device", help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of the server.")
@click.option(
    "--list", "list_only", is_flag=True, help="Print the sessions of the plan as JSON; serve nothing."
)
def command(
    scenario: Path,
    settings: tuple[str, ...],
    arm: str,
    run: Path | None,
    seed: int | None,
    text: str | None,
    target: str | None,
    transport: str,
    host: str,
    port: int,
    log: Path | None,
    session: int | None,
    search: str | None,
    order: str,
    tools: str | None,
    device: str | None,
    threads: int | None,
    list_only: bool,
) -> None:
    """Serve SCENARIO to real agents over MCP: tools task, search, open_listing, recommend, choose.

    Every call goes to the session log; `testbed sessions` turns logs into a run. Needs the extra `mcp`.
    """
    from testbed.scenario import load

    experiment = load(scenario, overrides(settings, device=device, threads=threads))
    if list_only:
        _list(experiment, target)
        return
    from testbed.serve.protocol import LOCAL, require, run_http, run_stdio, warn

    if session is not None and transport == "http":
        raise UserError(f"--session is for stdio; over HTTP an agent connects to /mcp?session={session}")
    require()
    from testbed.serve.opening import Offer, check_tools, open_shop
    from testbed.serve.tools import TOOLS

    names = check_tools([name.strip() for name in tools.split(",")]) if tools is not None else tuple(TOOLS)
    where = log or Path("runs") / f"{experiment.name}-{experiment.hash[:6]}.sessions.jsonl"
    showing: dict[str, Any] = {"arm": arm, "target_id": target, "run": run, "seed": seed, "text": text}
    with redirect_stdout(sys.stderr):
        sessions = open_shop(
            experiment,
            scenario.read_text(encoding="utf-8"),
            showing,
            Offer(names, search, order == "shuffled"),
            where,
            session,
        )
    warn(f"session log: {where}")
    if transport == "stdio":
        run_stdio(sessions)
        return
    if host not in LOCAL:
        warn(f"anybody who can reach {host} can call the tools: there is no password")
    run_http(
        sessions, host, port, lambda address: warn(f"serving the {arm} arm at {address} (Ctrl-C ends it)")
    )


def _list(experiment: Scenario, target: str | None) -> None:
    from testbed.plan import plan
    from testbed.serve.showing import cell_lines, cells_of, choose_target
    from testbed.world import load_catalog

    catalog = load_catalog(experiment)
    cells = cells_of(plan(experiment, catalog, deterministic=False), choose_target(experiment, target))
    texts = {request.id: request.text for request in catalog.requests}
    print_json({"schema": 1, "sessions": cell_lines(cells, texts)})
