"""Texts written beforehand with slots for what an attacker can read: a library by kind, filled and tried in turn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from testbed.protocols import Access, AttackPlugin, Step, Victim
from testbed.types import Target

if TYPE_CHECKING:
    import numpy as np

SLOT = re.compile(r"\{(name|wish|keywords|keyword|fact)\}")
DULL = frozenset(
    re.findall(
        r"\w+",
        "a an and are as at be best but by can do for from get good have i im in is it its like looking me my need of "
        "on one or please recommend some something that the this to too want what which who will with would you your",
    )
)
"""Words of a request that are nobody's keyword."""
SHORT = 8
"""Most words of a field that is quoted as a fact."""


@dataclass(frozen=True, slots=True)
class Kind:
    """Texts with slots that work in one way, and where the way is from."""

    name: str
    source: str
    texts: tuple[str, ...]


@cache
def library(name: str) -> tuple[Kind, ...]:
    """The kinds of `attacks/library/NAME.yaml`, in their order."""
    import yaml

    found = yaml.safe_load((resources.files("attacks") / "library" / f"{name}.yaml").read_text("utf-8"))
    return tuple(Kind(kind, entry["source"], tuple(entry["texts"])) for kind, entry in found.items())


class TemplateAttack(AttackPlugin):
    """Options of attacks that write texts from a library. `chosen`: which kinds; all when empty."""

    written: ClassVar[str]

    signal: Literal["none", "ranks", "scores"] = "none"
    """What is asked of the victim. `none`: nothing; each attack seed draws one text. Otherwise every text is tried,
    kinds taking turns, and then the best is lengthened by others as long as that helps."""
    longest: int | None = Field(default=None, ge=1)
    """Most words in the text; what is beyond is cut. No limit when left out."""
    combine: bool = True
    """Whether texts are joined once each was tried alone; only where something is asked."""

    @property
    def access(self) -> Access:  # type: ignore[override]
        """What the signal needs."""
        return Access[self.signal]

    @property
    def chosen(self) -> Sequence[str]:
        """Kinds to draw from; all when empty."""
        return ()

    def queries_per_step(self, situations: int) -> int:
        """One text in every situation."""
        return 0 if self.signal == "none" else situations

    def __call__(self, targets: Sequence[Target], victim: Victim, rng: np.random.Generator) -> Iterator[Step]:
        from attacks.losses import asked

        target = targets[0]
        drafts = self.drafts(target, victim, rng)
        if self.signal == "none":
            yield Step(target.edit(self._whole(drafts[int(rng.integers(len(drafts)))], target, victim)))
            return
        found: list[tuple[float, str]] = []
        for draft in drafts:
            edit = target.edit(self._whole(draft, target, victim))
            found.append((asked(victim, [edit], self.signal)[0], draft))
            yield Step(edit, found[-1][0])
        (best, text), *others = sorted(found, key=lambda pair: pair[0])
        for _, other in others if self.combine else ():
            longer = f"{text} {other}"
            if self.longest is not None and len(text.split()) >= self.longest:
                return
            edit = target.edit(self._whole(longer, target, victim))
            loss = asked(victim, [edit], self.signal)[0]
            yield Step(edit, loss)
            if loss < best:
                best, text = loss, longer

    def drafts(self, target: Target, victim: Victim, rng: np.random.Generator) -> list[str]:
        """The texts of the chosen kinds with their slots filled, kinds taking turns, both in random order.

        A text with a slot for which there is nothing is left out. ValueError when none is left.
        """
        kinds = [kind for kind in library(self.written) if kind.name in self.chosen or not self.chosen]
        rows = []
        for place in rng.permutation(len(kinds)):
            texts = kinds[int(place)].texts
            rows.append([texts[int(index)] for index in rng.permutation(len(texts))])
        turns = [row[turn] for turn in range(max(map(len, rows))) for row in rows if turn < len(row)]
        filled = [text for text in (fill(one, target, victim, rng) for one in turns) if text]
        if not filled:
            raise ValueError("no text of these kinds can be filled in for this listing; choose others")
        return filled

    def _whole(self, draft: str, target: Target, victim: Victim) -> str:
        """What is written into the field: the draft, behind the listing's own text where that is replaced."""
        own = (
            victim.listing(target.item_id).get(target.field, "").split() if target.place == "replace" else []
        )
        return " ".join([*own, *draft.split()[: self.longest]])


def fill(text: str, target: Target, victim: Victim, rng: np.random.Generator) -> str | None:
    """A text with its slots filled from the listing and the requests that the attacker may use; None if it cannot be.

    `{name}`; `{wish}`: one of the requests; `{keywords}`, `{keyword}`: what requests have in common; `{fact}`: a short
    field of the listing with its title.
    """
    wishes = [victim.request(situation).text for situation in victim.situations]
    facts = _facts(victim.listing(target.item_id), victim.name(target.item_id), target.field)
    keys = keywords(wishes)
    choices: Mapping[str, Sequence[str]] = {
        "name": [victim.name(target.item_id)],
        "wish": [wish.strip().rstrip(".?!") for wish in wishes if wish.strip()],
        "keywords": [", ".join(keys)] if keys else [],
        "keyword": keys[:3],
        "fact": facts,
    }
    if not all(choices[slot] for slot in SLOT.findall(text)):
        return None
    return SLOT.sub(lambda found: _drawn(choices[found[1]], rng), text)


def keywords(wishes: Sequence[str], most: int = 6) -> list[str]:
    """The words of requests, without dull ones: those of most requests first, then in order of appearance."""
    counts: Counter[str] = Counter()
    for wish in wishes:
        found = (word for word in re.findall(r"[\w-]+", wish.lower()) if len(word) > 2)
        counts.update(list(dict.fromkeys(found)))
    return [word for word, _ in counts.most_common() if word not in DULL][:most]


def _facts(fields: Mapping[str, str], name: str, edited: str) -> list[str]:
    return [
        f"{title.lower()} {value.strip()}"
        for title, value in fields.items()
        if title != edited and value.strip() and value != name and len(value.split()) <= SHORT
    ]


def _drawn(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
