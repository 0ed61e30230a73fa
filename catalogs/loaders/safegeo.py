"""SafeGEO folders: shopping requests with hard constraints, each with its own roster of candidates.

Data: QianfengWen/SafeGEO, CC BY 4.0. An outside check of victims: nothing of it ships, nothing is trained on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from catalogs.loaders.faults import Faults, hint
from catalogs.loaders.lines import label
from catalogs.loaders.parquet import Rows, json_cell, parquet_rows
from catalogs.loaders.safegeo_sources import Packet, packets
from catalogs.loaders.texts import LONGEST_FIELD, id_fault, name_key, text_fault
from testbed import orders
from testbed.catalog import Catalog
from testbed.errors import shown
from testbed.protocols import CatalogPath, CatalogPlugin
from testbed.types import Attribute, Constraint, Item, Request

TARGETS = {"query_id": "text", "split": "text", "vertical": "text", "user_query": "text"}
REQUIREMENTS = {"query_id": "text", "hard_constraints": "text", "soft_preferences": "text"}
CANDIDATES = {
    "query_id": "text",
    "item_id": "text",
    "name": "text",
    "canonical_attributes": "text",
    "hard_constraint_feasible": "true or false",
    "verified_utility_score": "a number",
}
UNITS = {"price": "${}", "weight_g": "{} g"}
_RULE = (
    "An item's grade is its verified utility for the request, as the authors of SafeGEO give it, in hundredths. "
    "Items that break a hard constraint have little of it, not none."
)
Wishes = Sequence[Mapping[str, Any]]


class SafeGeo(CatalogPlugin):
    """A SafeGEO folder: targets, requirements and candidate_quality, each as .parquet."""

    path: CatalogPath
    """The folder."""
    verticals: tuple[str, ...] | None = None
    """Kinds of products, such as carry_on_backpack; all when left out."""
    split: Literal["train", "dev", "test"] | None = None
    """The authors' split of the requests; all when left out."""
    limit: Annotated[int, Field(ge=1)] | None = None
    """Requests of each vertical, the first ones; all when left out."""
    sources: bool = False
    """Whether listings show, in the field Sources, what the source documents without an attack say of a product, in
    place of its attributes, and requests the words that an agent is given, which leave the constraints out. Only for
    verticals with `visible_` and `labels_` files."""

    def load(self) -> Catalog:
        """Read the folder. Raises `CatalogError` with every fault, as `file: row N: column: what`.

        A request is offered its own roster (`Request.candidates`), in an order that does not tell the rank that the
        rows are sorted by. Listings show name, category, and the attributes under the words in which the request asks
        for them; texts an attacker might have written are not read.
        """
        faults = Faults()
        targets = parquet_rows(self.path / "targets.parquet", TARGETS, faults)
        needs = parquet_rows(self.path / "requirements.parquet", REQUIREMENTS, faults)
        rosters = parquet_rows(self.path / "candidate_quality.parquet", CANDIDATES, faults)
        faults.stop()
        chosen = self._chosen(targets, faults)
        wishes = {row["query_id"]: (line, row) for line, row in needs if row["query_id"] in chosen}
        offered: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
        for line, row in rosters:
            if row["query_id"] in chosen:
                offered.setdefault(row["query_id"], []).append((line, row))
        verticals = dict.fromkeys(row["vertical"] for _, row in chosen.values()) if self.sources else {}
        shown_to = {
            query: one for name in verticals for query, one in packets(self.path, name, faults).items()
        }
        reader = _Reader(faults, label(needs.source), label(rosters.source), shown_to)
        for query, (line, row) in chosen.items():
            tables: list[tuple[Mapping[str, object], Path]] = [
                (wishes, needs.source),
                (offered, rosters.source),
            ]
            if self.sources:
                tables.append((shown_to, self.path / f"visible_{row['vertical']}.parquet"))
            for what, where in tables:
                if query not in what:
                    faults.add(label(where), None, f"query_id: there is nothing for {shown(query)}")
            if fault := id_fault(query):
                faults.add(label(targets.source), line, f"query_id: {fault}")
            if fault := text_fault(row["user_query"], LONGEST_FIELD):
                faults.add(label(targets.source), line, f"user_query: it {fault}")
            if all(query in what for what, _ in tables):
                reader.add(row, *wishes[query], offered[query])
        faults.stop()
        return Catalog.of(
            reader.items,
            name=self.path.name,
            name_field="Name",
            requests=reader.requests,
            judgements=reader.judgements,
            rule=_RULE,
        )

    def _chosen(self, targets: Rows, faults: Faults) -> dict[str, tuple[int, Mapping[str, Any]]]:
        """The requests to keep, in their order, by id, with the row they stand in."""
        known = list(dict.fromkeys(row["vertical"] for _, row in targets))
        for name in self.verticals or ():
            if name not in known:
                faults.add(
                    label(targets.source), None, f"vertical: there is no {shown(name)}{hint(name, known)}"
                )
        chosen: dict[str, tuple[int, Mapping[str, Any]]] = {}
        count = dict.fromkeys(known, 0)
        for line, row in targets:
            vertical, query = row["vertical"], row["query_id"]
            if self.verticals is not None and vertical not in self.verticals:
                continue
            if self.split not in (None, row["split"]) or count[vertical] == self.limit:
                continue
            if query in chosen:
                faults.add(label(targets.source), line, f"query_id: duplicate {shown(query)}")
                continue
            count[vertical] += 1
            chosen[query] = line, row
        if not chosen and not faults:
            where = f" in split {shown(self.split)}" if self.split else ""
            faults.add(label(targets.source), None, f"there are no requests{where}")
        return chosen


class _Reader:
    """Gathers items, requests and judgements; what is wrong goes to the faults."""

    def __init__(self, faults: Faults, needs: str, rosters: str, packets: Mapping[str, Packet]) -> None:
        self.faults, self.needs, self.rosters, self.packets = faults, needs, rosters, packets
        self.items: list[Item] = []
        self.requests: list[Request] = []
        self.judgements: dict[str, dict[str, int]] = {}
        self.seen: set[str] = set()

    def add(
        self,
        asked: Mapping[str, Any],
        line: int,
        need: Mapping[str, Any],
        roster: Sequence[tuple[int, Mapping[str, Any]]],
    ) -> None:
        """Take in one request with its wishes and candidates."""
        hard = self._wishes(line, need, "hard_constraints", "required_value")
        soft = self._wishes(line, need, "soft_preferences")
        if hard is None or soft is None:
            return
        query = asked["query_id"]
        packet = self.packets.get(query)
        constraints = tuple(Constraint(w["attribute_key"], "==", w["required_value"]) for w in hard)
        names: set[str] = set()
        grades: dict[str, int] = {}
        candidates = []
        for number, row in roster:
            facts = self._facts(number, row)
            if facts is None or not self._sound(number, row, facts, constraints, names):
                continue
            candidates.append(row["item_id"])
            grades[row["item_id"]] = round(100 * row["verified_utility_score"])
            fields = {"Name": row["name"], "Category": asked["vertical"].replace("_", " ")}
            more = displayed(facts, hard, soft)
            if packet is not None:
                more = {"Sources": packet.texts.get(row["item_id"], "")}
            self.items.append(Item(row["item_id"], {**fields, **more}, facts))
        self.judgements[query] = {item: value for item, value in grades.items() if value}
        candidates.sort(key=lambda item: orders.key(0, item))
        self.requests.append(
            Request(
                query,
                packet.question if packet else asked["user_query"],
                constraints=constraints,
                candidates=tuple(candidates),
            )
        )

    def _wishes(self, line: int, row: Mapping[str, Any], column: str, *more: str) -> Wishes | None:
        found: list[Any] | None = json_cell(row, column, list, self.needs, line, self.faults)
        for wish in found or ():
            texts = [wish.get(key) for key in ("attribute_key", "text")] if isinstance(wish, dict) else [None]
            if not all(isinstance(text, str) and text.strip() for text in texts):
                message = f"{column}: a wish needs 'attribute_key' and 'text', not {shown(wish)}"
                self.faults.add(self.needs, line, message)
                return None
            if not all(isinstance(wish.get(key), bool | int | float | str) for key in more):
                self.faults.add(self.needs, line, f"{column}: {shown(wish['text'])} needs a 'required_value'")
                return None
        return found

    def _facts(self, line: int, row: Mapping[str, Any]) -> dict[str, Attribute] | None:
        column = "canonical_attributes"
        facts = json_cell(row, column, dict, self.rosters, line, self.faults)
        odd = [key for key, value in (facts or {}).items() if not isinstance(value, bool | int | float | str)]
        for key in odd:
            self.faults.add(
                self.rosters, line, f"{column}: {shown(key)} must be a number, text, true or false"
            )
        return None if odd else facts

    def _sound(
        self,
        line: int,
        row: Mapping[str, Any],
        facts: Mapping[str, Attribute],
        constraints: Sequence[Constraint],
        names: set[str],
    ) -> bool:
        """Whether a candidate can be taken in."""
        item, key = row["item_id"], name_key(row["name"])
        messages = [f"item_id: {fault}" for fault in (id_fault(item),) if fault]
        messages += [f"name: it {fault}" for fault in (text_fault(row["name"], LONGEST_FIELD),) if fault]
        if item in self.seen:
            messages.append(f"item_id: duplicate {shown(item)}")
        if key in names:
            messages.append(f"name: {shown(row['name'])} stands twice among the candidates of one request")
        if not 0 <= row["verified_utility_score"] <= 1:
            messages.append(
                f"verified_utility_score: must be from 0 to 1, not {row['verified_utility_score']}"
            )
        if all(wish.holds(facts) for wish in constraints) != row["hard_constraint_feasible"]:
            messages.append("hard_constraint_feasible: the attributes say otherwise")
        self.seen.add(item)
        names.add(key)
        for message in messages:
            self.faults.add(self.rosters, line, message)
        return not messages


def displayed(facts: Mapping[str, Attribute], hard: Wishes, soft: Wishes) -> dict[str, str]:
    """Attributes as fields of a listing, under the words in which a request asks for them: what is shown."""
    words = {wish["attribute_key"]: wish["text"] for wish in (*hard, *soft)}
    scores = {wish["attribute_key"] for wish in soft}
    fields: dict[str, str] = {}
    for key in (*(key for key in words if key in facts), *(key for key in facts if key not in words)):
        title = words.get(key, key.removesuffix("_g").replace("_", " ")).strip() or key
        title = title[0].upper() + title[1:]
        value = facts[key]
        number = isinstance(value, int | float) and not isinstance(value, bool)
        text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        if number:
            text = UNITS.get(key, "{} of 100" if key in scores else "{}").format(f"{value:,}")
        fields[f"{title} ({key})" if title in fields else title] = text
    return fields
