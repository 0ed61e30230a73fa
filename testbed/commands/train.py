"""`testbed train`: make a model with a trainer, or go on with a training that was interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from testbed.commands.interrupts import resumable
from testbed.commands.options import SET, FilePath

if TYPE_CHECKING:
    from testbed.protocols import TrainerPlugin


@click.command("train", context_settings={"ignore_unknown_options": True})
@click.argument("trainer")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
@SET
@click.option(
    "--out", type=FilePath(path_type=Path, file_okay=False), required=True, help="Folder to train into."
)
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, cuda:1, mps or auto.")
@click.option("--threads", type=click.IntRange(min=1), help="Threads of each process.")
def command(
    trainer: str,
    options: tuple[str, ...],
    settings: tuple[str, ...],
    out: Path,
    device: str,
    threads: int | None,
) -> None:
    """Train with TRAINER (`testbed list trainers`) into a folder; the same command goes on after an interruption.

    OPTIONS of the trainer are written as --name VALUE, for instance --steps 200, or as --set steps=200;
    `testbed show trainers/TRAINER` lists them.
    """
    from testbed.environment import Environment
    from testbed.locks import locked

    plugin = resolved(trainer, [*((f"--set {one}", one) for one in settings), *as_settings(options)])
    with resumable(out), locked(out, "folder to train into"):
        plugin.train(out, Environment(device=device, threads=threads))


def as_settings(options: Sequence[str]) -> list[tuple[str, str]]:
    """`--name VALUE` and `--name=VALUE`: as written, and as `name=VALUE` with underscores for hyphens in the name."""
    found, words = [], iter(options)
    for word in words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not name:
            raise click.UsageError(f"expected --name VALUE, got {word!r}")
        if not equals:
            following = next(words, None)
            if following is None:
                raise click.UsageError(f"--{name} needs a value")
            value = following
        found.append((f"--{name} {value}", f"{name.replace('-', '_')}={value}"))
    return found


def resolved(name: str, settings: Sequence[tuple[str, str]]) -> TrainerPlugin:
    """The trainer with its options checked. ScenarioError with every fault; UnknownNameError.

    `settings`: what was written, for messages, and what it means, KEY=VALUE.
    """
    from testbed.errors import Fault, ScenarioError
    from testbed.protocols import TrainerPlugin
    from testbed.registry import installed
    from testbed.scenario.options import Resolver
    from testbed.scenario.source import Source, Spot
    from testbed.scenario.yaml_source import read

    registry = installed()
    registry.entry("trainers", name)
    source = Source(f"testbed train {name}")
    options: dict[str, Any] = {"use": name}
    for written, setting in settings:
        label = written if len(written) <= 66 else written[:65] + "…"
        key, equals, text = (part.strip() for part in setting.partition("="))
        if not equals or not key:
            source.faults.append(Fault("expected KEY=VALUE, for instance steps=200", file=label))
            continue
        value = read(f"value: {text}\n", label)
        source.faults += [Fault(fault.message, key, label, hint=fault.hint) for fault in value.faults]
        if not value.faults:
            options[key] = value.data["value"]
            source.spots[(key,)] = (Spot(label), Spot(label))
    found = Resolver(registry, source, Path()).resolve("trainers", options, ())
    if source.faults or found is None:
        raise ScenarioError(source.faults)
    assert isinstance(found.plugin, TrainerPlugin)
    return found.plugin
