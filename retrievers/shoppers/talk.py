"""What a shopper and a shop say to each other: the documented simulator of dialogues and goals.

Turns alternate, the shopper begins: a greeting, a question, the wish; then offers, each a listing read out as `offer`
writes it, until one is accepted; then thanks. The acceptance is what a goal is: the turn that the shopper would like
to come to. Everything is drawn from the generator that is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from testbed.types import Constraint

GREETINGS = (
    "Hello, I am looking for {what}.",
    "Hi, can you help me choose {what}?",
    "Good morning. I would like to see some {what}.",
    "I am shopping for {what} today.",
    "Hey, which {what} do you have?",
)
QUESTIONS = (
    "Of course. What matters most to you?",
    "Sure, what do you have in mind?",
    "Happy to help. What should it be like?",
    "Gladly. Is there anything you care about in particular?",
)
WISHES = ("I want {needs}.", "What I need is {needs}.", "It should have {needs}.", "I care about {needs}.")
REFUSALS = (
    "Not quite. Do you have anything else?",
    "Hmm, that is not it. What else is there?",
    "No, thank you. Could you show me another one?",
)
ACCEPTANCES = (
    "{Needs}: that is just what I wanted. I'll take it.",
    "Perfect, {needs}. I'll take it.",
    "Yes, that one has {needs}. I will buy it.",
    "Great, exactly what I was looking for: {needs}. I'll take it.",
)
THANKS = (
    ("A good choice. It will be with you in two days.", "Thank you, goodbye."),
    ("Wonderful, I will put it in your basket.", "Thanks a lot for your help."),
    ("Very well. Anything else?", "No, that was all. Thank you."),
)
NOTHING = "something good"
"""What is needed where no need is known."""
_SPLIT = re.compile(r"[,;] ")


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody wants. `what`: kind of thing, plural. `asked`: in a sentence, '' for none. `needs`: in words."""

    what: str
    asked: str = ""
    needs: tuple[str, ...] = ()

    @classmethod
    def told(cls, what: str, told: str) -> Wish:
        """From what a taste tells: `low price, high rating; travel`."""
        return cls(what, needs=tuple(filter(None, _SPLIT.split(told))))

    @property
    def said(self) -> str:
        """The needs in one phrase, else the sentence."""
        if not self.needs:
            return self.asked.strip().rstrip(".!?") or NOTHING
        *rest, last = self.needs
        return f"{', '.join(rest)} and {last}" if rest else last


@dataclass(frozen=True, slots=True)
class Offer:
    """A listing that is read out, and whether the shopper takes it."""

    text: str
    taken: bool


def offer(fields: Mapping[str, str], name_field: str) -> str:
    """A listing as it is read out: `How about Pico Press? Description: …. Price: $25.`"""
    rest = " ".join(f"{name}: {text.rstrip('.')}." for name, text in fields.items() if name != name_field)
    return f"How about {fields.get(name_field, 'this one')}? {rest}".strip()


def opening(wish: Wish, rng: np.random.Generator) -> tuple[str, str]:
    """What is said before the wish: the shopper's greeting and the shop's question."""
    return _one(GREETINGS, rng).format(what=wish.what), _one(QUESTIONS, rng)


def asking(wish: Wish, rng: np.random.Generator) -> str:
    """The wish in a sentence."""
    return wish.asked or _one(WISHES, rng).format(needs=wish.said)


def acceptance(wish: Wish, rng: np.random.Generator) -> str:
    """The turn in which the shopper has what was wished for, whatever it is called: the goal."""
    said = wish.said
    return _one(ACCEPTANCES, rng).format(needs=said, Needs=said[:1].upper() + said[1:])


def conversation(wish: Wish, offers: Sequence[Offer], rng: np.random.Generator) -> list[str]:
    """A whole dialogue, the shopper first; the last offer should be one that is taken."""
    turns = [*opening(wish, rng), asking(wish, rng)]
    for one in offers:
        turns.append(one.text)
        turns.append(acceptance(wish, rng) if one.taken else _one(REFUSALS, rng))
    turns.extend(THANKS[int(rng.integers(len(THANKS)))])
    return turns


def needs_of(constraints: Sequence[Constraint]) -> tuple[str, ...]:
    """Hard wishes in words: `price of at most 150`, `noise cancelling`, `travel`."""
    return tuple(_in_words(one) for one in constraints)


def _in_words(wish: Constraint) -> str:
    name, value = wish.attribute.replace("_", " "), wish.value
    if isinstance(value, bool):
        return name if value == (wish.op == "==") else f"no {name}"
    match wish.op:
        case "<=":
            return f"a {name} of at most {value:g}" if isinstance(value, float | int) else f"{name} {value}"
        case ">=":
            return f"a {name} of at least {value:g}" if isinstance(value, float | int) else f"{name} {value}"
        case "!=":
            return f"no {value}"
        case _:
            return str(value).replace("-", " ")


def _one(choices: Sequence[str], rng: np.random.Generator) -> str:
    return choices[int(rng.integers(len(choices)))]
