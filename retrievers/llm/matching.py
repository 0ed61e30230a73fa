"""Reading a ranking out of free text: which listed names does it recommend, in which order?"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from testbed.types import Status

REFUSAL = re.compile(
    r"\b(i('m| am) (sorry|unable|not able)|i can(no|')t|i cannot|as an ai|unfortunately,? i)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Match:
    """The names found, as indices by order of first mention, and what the text turned out to be."""

    ranking: tuple[int, ...]
    status: Status
    note: str = ""


def match(text: str, names: Sequence[str]) -> Match:
    """Find names in an answer, in order of first mention.

    A name counts where it stands as a whole word, ignoring case, accents, and punctuation between its words;
    where names overlap the longer one wins ("QuickBrew Express" is no mention of "QuickBrew").
    No name found: `refusal` when the text says so, else `parse_failure`; some left out: `partial`.
    """
    plain = _plain(text)
    spans: list[tuple[int, int, int]] = []
    for index, name in sorted(enumerate(names), key=lambda pair: -len(_plain(pair[1]))):
        words = _plain(name).split()
        if not words:
            continue
        pattern = r"(?<!\w)" + r"[\W_]{0,3}".join(map(re.escape, words)) + r"(?!\w)"
        for found in re.finditer(pattern, plain):
            if not any(found.start() < end and start < found.end() for start, end, _ in spans):
                spans.append((found.start(), found.end(), index))
    ranking = tuple(dict.fromkeys(index for _, _, index in sorted(spans)))
    if not ranking:
        return Match((), "refusal" if REFUSAL.search(text) else "parse_failure", text.strip()[:200])
    if len(ranking) < len(names):
        return Match(ranking, "partial", f"{len(names) - len(ranking)} of {len(names)} not mentioned")
    return Match(ranking, "ok")


def _plain(text: str) -> str:
    """Lower case, accents dropped, punctuation (but word characters) turned into single spaces."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    kept = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(re.sub(r"[^\w]+", " ", kept).split())
