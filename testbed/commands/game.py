"""`testbed game`: several vendors choose what to write; what each choice pays, and where that ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.interrupts import resumable
from testbed.commands.options import AS_JSON, PATH, SCENARIO, SET, overrides, print_json
from testbed.errors import UserError, shown

if TYPE_CHECKING:
    from testbed.game.tables import Payoff
    from testbed.scenario import Scenario

GIVEN = ("nothing", "honest")


@click.command("game")
@SCENARIO
@SET
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME[={use: ...}]",
    help="A choice that every vendor has: nothing, honest, attack (the scenario's), or NAME={use: ...} for another "
    "attack. May be repeated; by default nothing, honest and attack, as far as there are.",
)
@click.option(
    "--payoff",
    type=click.Choice(["exposure", "first"]),
    default="exposure",
    show_default=True,
    help="What vendors are paid: exposure, or the chance of rank 1.",
)
@click.option(
    "--temperature",
    "temperatures",
    type=click.FloatRange(min=0, min_open=True),
    multiple=True,
    default=(0.02, 0.1),
    show_default=True,
    help="Of the logit equilibrium, in units of the payoff; may be repeated.",
)
@click.option(
    "--situations", type=click.IntRange(min=1), help="Rank each joint choice in so many test situations only."
)
@click.option("--out", type=PATH, help="Folder; runs/game-NAME-HASH when left out.")
@click.option("--device", help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads.")
@AS_JSON
def command(
    scenario: Path,
    settings: tuple[str, ...],
    strategies: tuple[str, ...],
    payoff: Payoff,
    temperatures: tuple[float, ...],
    situations: int | None,
    out: Path | None,
    device: str | None,
    threads: int | None,
    as_json: bool,
) -> None:
    """Let the targets of SCENARIO compete: rank every joint choice of strategies, and solve the game.

    Texts are found for each vendor alone, on the optimise split; joint choices are ranked on the test split. The same
    command goes on where it was stopped.
    """
    from testbed.commands.progress import counting
    from testbed.game import Game, game_tables, measure, text
    from testbed.scenario import load
    from testbed.store import TABLES, write_text
    from testbed.world import build

    base = load(scenario, overrides(settings, (), device, threads))
    chosen = _strategies(base, strategies, scenario.parent)
    game = Game(build(base), chosen, situations)
    folder = out or Path("runs") / f"game-{base.name}-{base.hash[:6]}"
    with resumable(folder), counting(base.name, "rankings") as advance:
        lines = measure(game, folder, advance)
    tables = game_tables(game, lines, payoff, temperatures)
    write_text(folder / TABLES, json.dumps(tables, ensure_ascii=True, allow_nan=False, indent=1) + "\n")
    report = text(tables)
    write_text(folder / "game.md", report)
    if as_json:
        print_json(tables)
    else:
        click.echo(report)
        click.echo(f"{folder}")


def _strategies(base: Scenario, given: tuple[str, ...], folder: Path) -> dict[str, Any]:
    """Name → `nothing`, `honest`, or the scenario with another attack."""
    from testbed.scenario import from_mapping

    if not given:
        return {"nothing": "nothing", "honest": "honest", **({"attack": base} if base.attack else {})}
    found: dict[str, Any] = {}
    for one in given:
        name, written, attack = one.partition("=")
        if name in found:
            raise UserError(f"--strategy {shown(name)}: is there already")
        if name in GIVEN and written:
            raise UserError(f"--strategy {shown(one)}: the name {name} is taken; give the attack another one")
        if name in GIVEN:
            found[name] = name
        elif name == "attack" and not written:
            if base.attack is None:
                raise UserError("--strategy attack: the scenario has no attack; write attack={use: ...}")
            found[name] = base
        elif not written or not attack.lstrip().startswith("{"):
            raise UserError(f"--strategy {shown(one)}: expected nothing, honest, attack or NAME={{use: ...}}")
        else:
            found[name] = from_mapping(base.as_dict(), _overriding(base, attack, one), base=folder)
    return found


def _overriding(base: Scenario, attack: str, given: str) -> list[str]:
    """The attack in place of the scenario's, with its objective unless it has one of its own.

    `given`: what was written, for messages.
    """
    from testbed.scenario.overrides import Typed

    found: list[str] = [Typed(f"attack={attack}", f"--strategy {given}")]
    objective = base.as_dict().get("attack", {}).get("objective")
    if objective is not None and "objective" not in attack:
        found.append(Typed(f"attack.objective={json.dumps(objective)}", f"--strategy {given}"))
    return found
