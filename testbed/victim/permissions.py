"""What an attacker may ask for and write to; everything else is refused before anything is computed."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass

from testbed.protocols import Access
from testbed.types import HistoryEdit, Intervention, Situation, Target, history_edits, text_edits
from testbed.victim.meter import AccessDenied


@dataclass(frozen=True, slots=True)
class Permissions:
    """A threat model: the level of access, fields that may be written, situations that may be asked about.

    `history`: most items that may be put into histories, of `items`.
    """

    access: Access
    targets: tuple[Target, ...]
    situations: tuple[Situation, ...]
    items: Container[str]
    history: int = 0

    def require(self, needs: Access) -> None:
        """AccessDenied where a lower level is granted."""
        if self.access < needs:
            raise AccessDenied(
                f"the attack asked for {needs.name}; the threat model grants {self.access.name}"
            )

    def asked(
        self, needs: Access, interventions: Sequence[Intervention], situations: Sequence[Situation] | None
    ) -> tuple[Situation, ...]:
        """The situations of a question, all of them by default. AccessDenied for a question that may not be asked."""
        self.require(needs)
        chosen = self.situations if situations is None else tuple(situations)
        strangers = [situation for situation in chosen if situation not in self.situations]
        if strangers:
            raise AccessDenied(f"{strangers[0]} is not one of the situations the attacker may use")
        controlled = {(target.item_id, target.field) for target in self.targets}
        for intervention in interventions:
            self._within_reach(history_edits(intervention))
            for edit in text_edits(intervention):
                if (edit.item_id, edit.field) not in controlled:
                    raise AccessDenied(
                        f"the attacker does not control field {edit.field!r} of {edit.item_id!r}"
                    )
        return chosen

    def _within_reach(self, inserted: Sequence[HistoryEdit]) -> None:
        if len(inserted) > self.history:
            raise AccessDenied(
                f"the attacker put {len(inserted)} items into histories; the threat model allows {self.history}"
            )
        for edit in inserted:
            if edit.item_id not in self.items:
                raise AccessDenied(f"there is no item {edit.item_id!r} to put into a history")
