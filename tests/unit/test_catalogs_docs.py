"""What docs/catalogs.md and catalogs/SOURCES.md show is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalogs.loaders import FieldLines, Jsonl
from catalogs.shipped import CoffeeMachines, Headphones, Hotels, Novels, Tents
from testbed.errors import CatalogError

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "catalogs.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", DOCS, flags=re.MULTILINE | re.DOTALL)


def test_the_example_lines_load(tmp_path: Path) -> None:
    items, requests, fields = blocks("json")
    (tmp_path / "items.jsonl").write_text(items + items.replace("alba", "bora").replace("Alba", "Bora"))
    (tmp_path / "requests.jsonl").write_text(requests)
    assert Jsonl(path=tmp_path).load().judgements == {"r01": {"alba": 3, "bora": 3}}
    (tmp_path / "plain.jsonl").write_text(fields)
    assert FieldLines(path=tmp_path / "plain.jsonl").load().ids == ("quickbrew-express",)


def test_the_example_messages_are_the_real_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path("kettles")
    monkeypatch.chdir(tmp_path)
    folder.mkdir()
    (folder / "catalog.yaml").write_text("name_field: Name\nattributes:\n  price: {type: number}\n")
    lines = [
        '{"id": "alba", "fields": {"Name": "Alba"}}',
        '{"id": "alba", "fields": {"Name": "Bora"}}',
        '{"id": "c", "fields": {"name": "Cora"}}',
        '{"id": "d", "fields": {"Name": "Dora", "Description": ""}}',
        '{"id": "e", "fields": {"Name": "\udce9"}}',
        '{"id": "f", "fields": {"Name": "Flora"}, "attributes": {"prise": 1}}',
        f'{{"id": "g", "fields": {{"Name": "Gala", "Description": "{"x" * 31_200}"}}}}',
    ]
    (folder / "items.jsonl").write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    (folder / "requests.jsonl").write_text(
        '{"id": "r1", "text": "t", "constraints": [["price", "<=", "60"]]}\n'
        '{"id": "r2", "text": "t", "judgements": {"alda": 1}}\n'
    )
    with pytest.raises(CatalogError) as caught:
        Jsonl(path=folder).load()
    assert str(caught.value).splitlines() == blocks("text")[0].splitlines()


def test_sources_counts() -> None:
    sources = (ROOT / "catalogs" / "SOURCES.md").read_text()
    for plugin in (CoffeeMachines, Headphones, Tents, Hotels, Novels):
        catalog = plugin().load()
        hard = sum(bool(request.constraints) for request in catalog.requests)
        assert f"| `{plugin.folder}` | {len(catalog)} | {len(catalog.requests)} ({hard}) |" in sources
