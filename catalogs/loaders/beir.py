"""BEIR folders: the common layout of retrieval benchmarks (Thakur et al. 2021, arXiv 2104.08663)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from catalogs.loaders.csv_table import csv_rows
from catalogs.loaders.faults import Faults, hint
from catalogs.loaders.lines import json_lines, kind, label, missing
from catalogs.loaders.table import Table
from catalogs.loaders.texts import LONGEST_FIELD, id_fault, text_fault
from testbed.catalog import Catalog
from testbed.errors import shown
from testbed.protocols import CatalogPath, CatalogPlugin
from testbed.types import Request


class Beir(CatalogPlugin):
    """A BEIR folder: corpus.jsonl, queries.jsonl and qrels/<split>.tsv or qrels_<split>.tsv; also .gz."""

    path: CatalogPath
    """The folder."""
    split: str = Field("test", pattern=r"^[\w.-]{1,40}$")
    """Which judgements are read; the requests are the queries that have judgements in this split."""
    max_chars: int = Field(LONGEST_FIELD, gt=0)
    """Characters that a text may have."""

    def load(self) -> Catalog:
        """Read the folder. Raises `CatalogError` with every fault.

        The fields are `title`, the name, and `text`. Names must be there and unique, which titles of
        documents are not: an empty title becomes the document's id, and one that was there before gets the
        id in brackets. White space in titles is made single. A document without title and text is a fault.
        """
        faults = Faults()
        corpus = _found(self.path, ["corpus.jsonl", "corpus.jsonl.gz"])
        table = Table(faults, label(corpus), "title", self.max_chars, blanks=True, repair_names=True)
        for line, raw in json_lines(corpus, faults):
            if parts := _parts(raw, ("_id", "title", "text"), table.file, line, faults):
                table.add(line, parts["_id"], {"title": parts["title"], "text": parts["text"]})
        queries = self._queries(faults)
        judgements = self._judgements(table.seen, queries, faults)
        requests = [Request(query, text) for query, text in queries.items() if query in judgements]
        graded = {
            query: {item: g for item, g in grades.items() if g > 0} for query, grades in judgements.items()
        }
        return table.catalog(self.path.name, requests=requests, judgements=graded, rule=_RULE)

    def _queries(self, faults: Faults) -> dict[str, str]:
        source = _found(self.path, ["queries.jsonl", "queries.jsonl.gz"])
        file, queries = label(source), dict[str, str]()
        for line, raw in json_lines(source, faults):
            if parts := _parts(raw, ("_id", "text"), file, line, faults):
                query, text = parts["_id"], parts["text"]
                if message := id_fault(query):
                    faults.add(file, line, message)
                if message := text_fault(text, self.max_chars):
                    faults.add(file, line, f"'text' {message}")
                if query in queries:
                    faults.add(file, line, f"duplicate id {shown(query)}")
                queries.setdefault(query, text)
        return queries

    def _judgements(
        self, items: Mapping[str, int], queries: Mapping[str, str], faults: Faults
    ) -> dict[str, dict[str, int]]:
        names = [f"qrels/{self.split}.tsv", f"qrels_{self.split}.tsv"]
        source = _found(self.path, [*names, *(f"{name}.gz" for name in names)])
        file, judgements = label(source), dict[str, dict[str, int]]()
        if missing(source, faults) or not queries or not items:
            return judgements
        for line, cells in csv_rows(source, faults, "\t", quoting=False):
            if line == 1 and cells[-1].casefold() == "score":
                continue
            if len(cells) != 3:
                faults.add(file, line, f"a judgement has 3 cells (query, document, score), not {len(cells)}")
                continue
            query, item, score = cells
            if query not in queries:
                faults.add(
                    file, line, f"judgement for the unknown query {shown(query)}{hint(query, queries)}"
                )
            if item not in items:
                faults.add(file, line, f"judgement for the unknown item {shown(item)}{hint(item, items)}")
            if not score.removeprefix("-").isdecimal() or len(score) > 9:
                faults.add(file, line, f"the score must be a whole number, not {shown(score)}")
                continue
            judgements.setdefault(query, {})[item] = int(score)
        return judgements


_RULE = "Grades are the judgements that came with the corpus."


def _found(folder: Path, names: list[str]) -> Path:
    """The first of the files that exists, else the first."""
    return next((folder / name for name in names if (folder / name).is_file()), folder / names[0])


def _parts(
    raw: Mapping[str, Any], keys: tuple[str, ...], file: str, line: int, faults: Faults
) -> dict[str, str] | None:
    """The texts under `keys`, None when something is wrong; other keys, like `metadata`, are left alone."""
    parts = {key: raw.get(key, "" if key == "title" else None) for key in keys}
    for key, value in parts.items():
        if not isinstance(value, str):
            what = f"must be text, not {kind(value)}" if key in raw else f"is missing{hint(key, raw)}"
            faults.add(file, line, f"{shown(key)} {what}")
    return parts if all(isinstance(value, str) for value in parts.values()) else None
