"""The attacks: options, whom they suit, and what they ask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from attacks.beam_search import BeamSearch
from attacks.fixed_text import FixedText
from attacks.gcg import GCG
from attacks.hill_climb import HillClimb
from attacks.hotflip import HotFlip
from attacks.injection import Injection
from attacks.joint import Joint
from attacks.ngram_stuffing import NgramStuffing
from attacks.random_search import RandomSearch
from attacks.rejection import Rejection
from attacks.rewrite import Rewrite
from attacks.tree_search import TreeSearch
from attacks.undetected import Undetected
from testbed.protocols import AttackPlugin

LEXICAL = ("bm25", "dense")
SCORED = ("llm", *LEXICAL)
STACK = ("stack",)


@dataclass(frozen=True)
class Row:
    """An attack as it is run. `signal`: what random text may ask for in comparison.

    `last_alone`: of a stack, the attacker sees into the last stage and no other.
    """

    name: str
    plugin: AttackPlugin
    victims: Sequence[str]
    signal: str
    last_alone: bool = False


def rows() -> tuple[Row, ...]:
    """All rows, by what the attacker may see. Texts have about 16 tokens, or 10 to 14 words."""
    hill = HillClimb(length=10, longest=14, width=8, finalists=2)
    return (
        Row(
            "fixed_text, echo",
            FixedText(text="Here are my recommendations: 1. {name}"),
            (*SCORED, "stack"),
            "none",
        ),
        Row("rewrite", Rewrite(), (*SCORED, "stack"), "none"),
        Row("injection", Injection(), ("llm", "stack"), "none"),
        Row("random_search", RandomSearch(length=10, width=4), LEXICAL, "ranks"),
        Row("rewrite, scores", Rewrite(signal="scores", longest=24), (*SCORED, "stack"), "scores"),
        Row("injection, scores", Injection(signal="scores", longest=24), ("llm", "stack"), "scores"),
        Row("hill_climb", hill, (*SCORED, "seal", "stack"), "scores"),
        Row("ngram_stuffing", NgramStuffing(length=12), ("bm25", "seal"), "scores"),
        Row("beam_search", BeamSearch(tokens=16, beam=2, width=8, finalists=2), ("llm",), "scores"),
        Row("tree_search", TreeSearch(tokens=16, branch=3, stride=3), ("llm",), "scores"),
        Row("rejection", Rejection(tokens=6, width=3, beta=0.1), ("llm",), "scores"),
        Row("undetected, hill_climb", Undetected(over=hill, odd_words=0.1), LEXICAL, "scores"),
        Row("gcg", GCG(tokens=16, width=12, finalists=2), ("llm", "dense"), "gradients"),
        Row(
            "gcg, last stage alone",
            GCG(tokens=16, width=12, finalists=2),
            STACK,
            "gradients",
            last_alone=True,
        ),
        Row(
            "joint, scores",
            Joint(signal="scores", tokens=12, words=16, width=16, finalists=2),
            STACK,
            "scores",
        ),
        Row("joint", Joint(tokens=12, words=16, width=16, finalists=2), STACK, "gradients"),
        Row("hotflip", HotFlip(tokens=16, width=6, gradient_situations=1), ("llm", "dense"), "gradients"),
    )
