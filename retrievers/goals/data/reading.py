"""Dialogue files: DailyDialog's text, ReDial's JSON lines and our own; told apart by what a line holds."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from retrievers.goals.data.dialogues import Dialogues
from retrievers.lines import numbered_lines
from testbed.errors import UserError, did_you_mean, shown

END = "__eou__"
LONGEST_TURN = 4000
"""Characters of a turn that are kept."""
KEYS = ("id", "turns")
SUFFIXES = (".txt", ".jsonl")
_MENTION = re.compile(r"@(\d+)")


def read(file: Path) -> Dialogues:
    """Dialogues of a file. UserError with `file:line: message`.

    - `*.txt`, as DailyDialog has it: a dialogue a line, every turn ends with `__eou__`.
    - `*.jsonl`: `{"id": …, "turns": ["…", …]}`; a turn may be `{"speaker": …, "text": …}`, and what one speaker says
      without a break is one turn. `id` may be left out.
    - `*.jsonl` of ReDial: `messages` with `senderWorkerId` and `text`, where `@number` becomes the movie's title; or
      its rows of `dialog_id`, `context` and `resp`, of which the longest of a dialogue is the dialogue.

    Turns are stripped and cut at 4,000 characters; lone surrogates become question marks. An empty
    turn stays.
    """
    if not file.is_file():
        names = [entry.name for entry in file.parent.iterdir()] if file.parent.is_dir() else []
        hint = did_you_mean(file.name, names)
        raise UserError(f"{file}: no such file" + (f"; {hint}" if hint else ""))
    if file.suffix not in SUFFIXES:
        raise UserError(f"{file}: expected {' or '.join('*' + suffix for suffix in SUFFIXES)}")
    found: dict[str, list[str]] = {}
    for number, line in numbered_lines(file):
        place = f"{file}:{number}"
        if file.suffix == ".txt":
            found[str(number)] = _daily(place, line)
            continue
        name, turns, longest = _json(place, line)
        if name is None:
            name = str(number)
        if name in found and not longest:
            raise UserError(f"{place}: dialogue {shown(name)} was there before")
        if len(turns) > len(found.get(name, ())) or name not in found:
            found[name] = turns
    if not found:
        raise UserError(f"{file}: holds no dialogues")
    return Dialogues.of(found.values(), tuple(found))


def _daily(place: str, line: str) -> list[str]:
    *turns, rest = line.split(END)
    if rest.strip() or not turns:
        raise UserError(f"{place}: expected turns that end with {END}, got {shown(line[-80:])}")
    return [_clean(turn) for turn in turns]


def _json(place: str, line: str) -> tuple[str | None, list[str], bool]:
    """Id, turns, and whether longer rows of the same dialogue may follow."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{place}: is not JSON ({error})") from None
    if not isinstance(entry, dict):
        raise UserError(f"{place}: expected an object, got {shown(line[:80])}")
    if "messages" in entry:
        turns = _turns(place, entry["messages"], "messages", "senderWorkerId")
        return _id(place, entry.get("conversationId")), _titled(turns, entry.get("movieMentions")), False
    if "dialog_id" in entry:
        context = entry.get("context")
        turns = _turns(
            place, [*context, entry.get("resp")] if isinstance(context, list) else context, "context"
        )
        return _id(place, entry["dialog_id"]), turns, True
    for key in entry:
        if key not in KEYS:
            hint = did_you_mean(key, KEYS) or f"known: {', '.join(KEYS)}"
            raise UserError(f"{place}: unknown key {shown(key)}; {hint}")
    return _id(place, entry.get("id")), _turns(place, entry.get("turns"), "turns"), False


def _id(place: str, value: Any) -> str | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
        raise UserError(f"{place}: expected an id as text or a whole number, got {shown(value)}")
    return None if value is None else str(value)


def _turns(place: str, value: Any, key: str, who: str = "speaker") -> list[str]:
    """Texts; what one speaker says without a break is joined."""
    if not isinstance(value, list) or not value:
        got = "" if value is None else f", got {shown(value)}"
        raise UserError(f"{place}: expected `{key}`, a list of turns{got}")
    found: list[str] = []
    before = None
    for turn in value:
        text, speaker = (turn.get("text"), turn.get(who)) if isinstance(turn, dict) else (turn, None)
        if not isinstance(text, str) or not isinstance(speaker, str | int | None):
            raise UserError(
                f'{place}: expected a turn as text or {{"{who}": …, "text": …}}, got {shown(turn)}'
            )
        if found and speaker is not None and speaker == before:
            found[-1] = _clean(f"{found[-1]} {text}")
        else:
            found.append(_clean(text))
        before = speaker
    return found


def _titled(turns: Sequence[str], movies: Any) -> list[str]:
    """Turns with titles of movies in place of their numbers, as far as they are known."""
    titles: Mapping[str, Any] = movies if isinstance(movies, dict) else {}

    def title(match: re.Match[str]) -> str:
        known = titles.get(match[1])
        return " ".join(known.split()) if isinstance(known, str) and known.strip() else match[0]

    return [_clean(_MENTION.sub(title, turn)) for turn in turns]


def _clean(text: str) -> str:
    return text.strip()[:LONGEST_TURN].encode("utf-8", "replace").decode("utf-8")
