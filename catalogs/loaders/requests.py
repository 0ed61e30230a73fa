"""Requests of a file or from texts; grades come from the file or from `catalogs.judging`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from catalogs.judging import grade
from catalogs.loaders.faults import Faults
from catalogs.loaders.lines import Source, json_lines, label
from catalogs.loaders.request_line import RequestLine
from catalogs.loaders.texts import LONGEST_FIELD, text_fault
from testbed.errors import shown
from testbed.types import Attribute, Request


@dataclass(slots=True)
class Requests:
    """What a file of requests holds. `judgements` has only grades above 0."""

    requests: list[Request] = field(default_factory=list)
    judgements: dict[str, dict[str, int]] = field(default_factory=dict)


def read_requests(
    source: Source,
    faults: Faults,
    *,
    ids: Mapping[str, int],
    rows: Sequence[str],
    attributes: Sequence[Mapping[str, Attribute]],
    kinds: Mapping[str, str],
    max_chars: int = LONGEST_FIELD,
) -> Requests:
    """Requests of a JSONL file.

    `ids`: every item id of the items file, also of broken lines; `rows`: the ids that `attributes` belong to;
    `kinds`: attribute → type in words.
    """
    read, seen = Requests(), dict[str, int]()
    for line, raw in json_lines(source, faults):
        parsed = RequestLine(raw, ids, kinds, max_chars)
        if parsed.request_id and parsed.request_id in seen:
            parsed.messages.append(
                f"duplicate id {shown(parsed.request_id)}, first on line {seen[parsed.request_id]}"
            )
        seen.setdefault(parsed.request_id, line)
        for message in parsed.messages:
            faults.add(label(source), line, message)
        if parsed.messages or faults:
            continue
        request = parsed.request()
        read.requests.append(request)
        if parsed.judgements is not None:
            read.judgements[request.id] = parsed.judgements
        elif parsed.constraints or parsed.preferences:
            grades = grade(attributes, parsed.constraints, parsed.preferences)
            read.judgements[request.id] = {i: g for i, g in zip(rows, grades, strict=True) if g}
    if not seen and not faults:
        faults.add(label(source), None, "there are no requests")
    return read


def plain_requests(texts: Sequence[str], faults: Faults, max_chars: int = LONGEST_FIELD) -> Requests:
    """Requests from texts alone, `r01`, `r02`, ...; nothing is judged."""
    for number, text in enumerate(texts, start=1):
        if fault := text_fault(text, max_chars):
            faults.add("option requests", number, f"the text {fault}")
    return Requests([Request(f"r{number:02d}", text) for number, text in enumerate(texts, start=1)])
