"""Instruction injection: a library of templates by kind, each with where the kind was described."""

from __future__ import annotations

from typing import ClassVar, Literal

from attacks.templates import TemplateAttack

InjectionKind = Literal[
    "plain",
    "ignore_previous",
    "separator",
    "fake_system",
    "role_markup",
    "fake_completion",
    "fake_ranking",
    "fake_review",
    "preference",
    "urgency",
    "policy",
    "combined",
]


class Injection(TemplateAttack):
    """Write an instruction to the model into the listing: ignore what was said, system messages, answers begun, ...

    Indirect prompt injection (Greshake et al. 2023, arXiv 2302.12173). `attacks/library/injection.yaml` has the texts
    by kind, with the paper that describes each. Texts stay on one line; markup of chat templates is text like any
    other, since a listing's special tokens are never read as such.
    """

    written: ClassVar[str] = "injection"

    kinds: tuple[InjectionKind, ...] = ()
    """Kinds to draw from; all when left out."""

    @property
    def chosen(self) -> tuple[InjectionKind, ...]:
        """The kinds."""
        return self.kinds
