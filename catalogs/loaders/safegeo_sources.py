"""What the source documents of SafeGEO's clean packets say of each candidate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalogs.loaders.faults import Faults
from catalogs.loaders.lines import label
from catalogs.loaders.parquet import json_cell, parquet_rows
from testbed.errors import shown

CLEAN = "original_no_geo_control"
LABELS = {"instance_id": "text", "package_id": "text"}
VISIBLE = {
    "instance_id": "text",
    "query_id": "text",
    "user_query": "text",
    "candidate_roster": "text",
    "search_results": "text",
}


@dataclass(frozen=True, slots=True)
class Packet:
    """What an agent is shown for one request without an attack: the question, and per candidate what sources say."""

    question: str
    texts: Mapping[str, str]


def packets(folder: Path, vertical: str, faults: Faults) -> dict[str, Packet]:
    """The clean packet of every request of a vertical that has `visible_` and `labels_` files."""
    labels = parquet_rows(folder / f"labels_{vertical}.parquet", LABELS, faults)
    clean = {row["instance_id"] for _, row in labels if row["package_id"] == CLEAN}
    table = parquet_rows(folder / f"visible_{vertical}.parquet", VISIBLE, faults)
    file, found = label(table.source), {}
    for line, row in table:
        if row["instance_id"] not in clean:
            continue
        roster = json_cell(row, "candidate_roster", list, file, line, faults)
        documents = json_cell(row, "search_results", list, file, line, faults)
        try:
            names = {str(one["name"]): str(one["candidate_id"]) for one in roster or ()}
            texts = said(names, documents or ())
        except (KeyError, TypeError) as error:
            faults.add(file, line, f"a candidate or a source lacks {shown(str(error))}")
            continue
        found[row["query_id"]] = Packet(row["user_query"], texts)
    return found


def said(names: Mapping[str, str], documents: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Id → different lines about a product, in order: those of documents with its name in the title, or with its name.

    `names`: name → id. Where one name begins like another, the longer counts.
    """
    pattern = re.compile("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or "$^")
    lines: dict[str, dict[str, None]] = {item: {} for item in names.values()}
    for document in documents:
        titled = set(pattern.findall(document["title"]))
        for line in document["opened_text"]:
            for name in titled or set(pattern.findall(line["text"])):
                lines[names[name]][line["text"]] = None
    return {item: " ".join(texts) for item, texts in lines.items()}
