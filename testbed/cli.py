"""The command line. Commands live in `testbed.commands`, one module each, imported when they are called."""

from __future__ import annotations

import importlib
import sys
from typing import Any

import click

from testbed.errors import UserError

COMMANDS = {
    "run": "Run a scenario, or go on with a run that was interrupted.",
    "check": "Check a scenario: every fault at once, with its place.",
    "list": "List the plug-ins and measures by kind.",
    "show": "Show a run's answer, a scenario's plan, or a plug-in's options.",
    "new": "Start a scenario file, an attack or a stage of your own.",
    "report": "Rebuild the tables and the report of a run.",
    "compare": "Compare runs that share their trials.",
    "game": "Let several vendors compete, and solve the game.",
    "audit": "Look for manipulated listings in a catalog.",
    "registry": "Keep texts that worked, and see whether they still do.",
    "train": "Train a model of the testbed's own, or go on with a training.",
    "models": "List, fetch and find packaged models.",
    "serve": "Serve a scenario to real agents over MCP.",
    "sessions": "Turn session logs of real agents into a run.",
}
"""Command → its line in `--help`, kept here so that help needs no import."""


class Commands(click.Group):
    """Imports a command's module only when it is called; user errors become one message and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"testbed.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from testbed.errors import hinted

            ctx.fail(hinted(f"no command {args[0]!r}", args[0], COMMANDS))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        import warnings

        usual, warnings.formatwarning = warnings.formatwarning, _warning
        try:
            return super().invoke(ctx)
        except UserError as fault:
            click.echo(str(fault), err=True)
            ctx.exit(fault.exit_code)
        finally:
            warnings.formatwarning = usual


def _warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """One line, as faults are told, without the place in the code."""
    from testbed.errors import visible

    return f"warning: {visible(str(message))}\n"


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ranking-testbed", prog_name="testbed")
def main() -> None:
    """How far can a recommendation be manipulated by somebody who controls one listing?

    A scenario file declares a catalog, a stack that ranks it, an attacker and what to measure. Start with
    `testbed run scenarios/quick.yaml`.

    Exit codes: 0 fine, 1 some trials failed, 2 bad usage or scenario, 3 a gate was crossed, 130 interrupted.
    """
    from testbed.language.precision import quiet_threads

    quiet_threads()


if __name__ == "__main__":
    sys.exit(main())
