"""A stage that reads marked texts, and the view of its tokens for somebody who writes unmarked ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from defences.through import through
from testbed.protocols import Continuation, Probe, Proposing, Sampling, Surface
from testbed.types import Target, Usage

if TYPE_CHECKING:
    from defences.rewriters.spotlight import Marks
    from testbed.protocols import Differentiable, Stage


@dataclass(frozen=True, slots=True)
class MarkedSurface:
    """Tokens are those of the marked text; texts are unmarked. Tokens whose marks are gone stand for no text."""

    surface: Surface
    marks: Marks

    @property
    def pieces(self) -> Sequence[str]:
        """The text of every token."""
        return self.surface.pieces

    @property
    def answer(self) -> str:
        """How an answer begins."""
        return self.surface.answer

    def encode(self, texts: Sequence[str]) -> list[tuple[int, ...] | None]:
        """Tokens of the marked texts; None for one that would not come back from its marks."""
        found = self.surface.encode([self.marks.text(text) for text in texts])
        return [
            ids if self.marks.plain(self.marks.text(text)) == text else None
            for ids, text in zip(found, texts, strict=True)
        ]

    def decode(self, token_ids: Sequence[Sequence[int]]) -> list[str]:
        """The unmarked text of each token sequence."""
        return [self.marks.plain(text) for text in self.surface.decode(token_ids)]


def marked(stage: Stage, marks: Marks) -> Stage:
    """A stage, built over the marked catalog, that takes unmarked slates and edits."""
    made: Any = through(stage, marks)
    kind: Any = type(made)
    added: dict[str, Any] = {}
    if hasattr(made, "surface"):
        inner: Differentiable = made.stage

        def surface(self: Any, target: Target) -> MarkedSurface:
            return MarkedSurface(inner.surface(target), marks)

        added["surface"] = surface
    if isinstance(made, Proposing):
        added["continuations"] = _continuations
    if hasattr(made, "with_edits"):
        added["with_edits"] = lambda self, intervention: marked(
            self.stage.with_edits(marks.edits(intervention)), marks
        )
    return type("Marked", (kind,), added)(stage, marks)  # type: ignore[no-any-return]


def _continuations(
    self: Any, probe: Probe, target: Target, count: int, seed: int, sampling: Sampling
) -> tuple[list[list[Continuation]], Usage]:
    """What the stage's model would write next where the marked edit stands, unmarked."""
    marks: Marks = self.change
    (shown,) = self.probes(probe) or (replace(probe, slates=()),)
    accept = replace(sampling, accept=lambda text: sampling.accept(marks.plain(text)))
    found, usage = self.stage.continuations(shown, target, count, seed, accept)
    plain = [[(one, marks.plain(one.text)) for one in row] for row in found]
    rows = [[replace(one, text=text) for one, text in row if marks.text(text) == one.text] for row in plain]
    return rows, usage
