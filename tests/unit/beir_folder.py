"""A small made-up folder in the layout of BEIR."""

from __future__ import annotations

import json
from pathlib import Path

TEXTS = {
    "d1": ("Zinc and colds", "Zinc lozenges shorten the common cold by a day in adults."),
    "d2": ("Sleep in mice", "Mice that sleep less learn a maze more slowly."),
    "d3": ("Tea", "Green tea has no effect on blood pressure."),
    "d4": ("Statins", "Statins lower blood cholesterol in adults with diabetes."),
}
QUERIES = {
    "q1": ("Zinc shortens the common cold.", "d1"),
    "q2": ("Mice learn a maze when they sleep.", "d2"),
    "q3": ("Green tea lowers blood pressure.", "d3"),
    "q4": ("Statins lower blood cholesterol.", "d4"),
}


def write(folder: Path) -> Path:
    """Write it with a test split; returns the folder."""
    folder.mkdir(parents=True)
    corpus = [{"_id": name, "title": title, "text": text} for name, (title, text) in TEXTS.items()]
    queries = [{"_id": name, "text": text} for name, (text, _) in QUERIES.items()]
    for name, lines in (("corpus", corpus), ("queries", queries)):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    grades = "".join(f"{name}\t{document}\t1\n" for name, (_, document) in QUERIES.items())
    (folder / "qrels_test.tsv").write_text("query-id\tcorpus-id\tscore\n" + grades, encoding="utf-8")
    return folder
