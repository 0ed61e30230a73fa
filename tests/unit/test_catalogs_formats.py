"""Plain JSON lines, CSV and BEIR folders; and files as such: encodings, compression, size."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import Any

import pytest

from catalogs.loaders import Beir, Csv, FieldLines
from catalogs.loaders.facts import displayed_number
from catalogs.loaders.texts import slug
from testbed.errors import CatalogError
from testbed.protocols import CatalogPlugin
from testbed.types import Constraint

KETTLES = """\
{"Name": "Steam & Sons No.1", "Description": "Boils.", "Price": "$1,299", "Rating": 4.10, "Capacity": "1 cup"}
{"Name": "Café Crème", "Description": "Whistles.", "Price": "$59.50", "Rating": 3, "Capacity": "4 cups"}
"""
TABLE = """\
Sku,Title,Price,Colour,Text
k1,Alba,$10,red,"A kettle,
in ""two"" lines"
k2,Bora,$25,blue,
"""


def message(plugin: CatalogPlugin, folder: Path) -> list[str]:
    with pytest.raises(CatalogError) as caught:
        plugin.load()
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def lines_fault(tmp_path: Path, content: str | bytes, **options: Any) -> list[str]:
    path = tmp_path / "k.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return message(FieldLines(path=path, **options), tmp_path)


def csv_fault(tmp_path: Path, content: str, **options: Any) -> list[str]:
    (tmp_path / "k.csv").write_text(content)
    return message(Csv(path=tmp_path / "k.csv", **options), tmp_path)


def beir(folder: Path, **files: str) -> Beir:
    contents = {
        "corpus.jsonl": '{"_id": "d1", "title": "One", "text": "First."}\n'
        '{"_id": "d2", "title": "", "text": "Second."}\n',
        "queries.jsonl": '{"_id": "q1", "text": "first?", "metadata": {}}\n{"_id": "q2", "text": "other?"}\n',
        "qrels_test.tsv": "query-id\tcorpus-id\tscore\nq1\td1\t2\nq1\td2\t0\n",
    }
    contents.update({name.replace("__", "."): text for name, text in files.items()})
    for name, text in contents.items():
        (folder / name).write_text(text)
    return Beir(path=folder)


def test_field_lines(tmp_path: Path) -> None:
    (tmp_path / "kettles.jsonl").write_text(KETTLES)
    catalog = FieldLines(path=tmp_path / "kettles.jsonl").load()
    assert catalog.name == "kettles"
    assert catalog.ids == ("steam-sons-no-1", "cafe-creme")
    assert catalog.fields("steam-sons-no-1")["Rating"] == "4.10"
    assert catalog.fields("cafe-creme")["Rating"] == "3"
    assert list(catalog.columns) == ["Name", "Description", "Price", "Rating", "Capacity"]
    assert catalog.item("cafe-creme").attributes == {
        "description": "Whistles.",
        "price": 59.5,
        "rating": 3.0,
        "capacity": 4.0,
    }
    assert catalog.requests == ()


def test_field_lines_with_requests(tmp_path: Path) -> None:
    (tmp_path / "k.jsonl").write_text(KETTLES)
    texts = FieldLines(path=tmp_path / "k.jsonl", requests=("a kettle", "for two")).load()
    assert [(r.id, r.text) for r in texts.requests] == [("r01", "a kettle"), ("r02", "for two")]
    assert not texts.judgements
    request = {
        "id": "q",
        "text": "cheap",
        "constraints": [["price", "<=", 100]],
        "prefer": [["rating", "high"]],
    }
    (tmp_path / "r.jsonl").write_text(json.dumps(request))
    judged = FieldLines(path=tmp_path / "k.jsonl", requests=tmp_path / "r.jsonl").load()
    assert judged.requests[0].constraints == (Constraint("price", "<=", 100),)
    assert judged.judgements == {"q": {"cafe-creme": 3}}
    with pytest.raises(CatalogError, match=r"^option requests:2: the text is empty$"):
        FieldLines(path=tmp_path / "k.jsonl", requests=("a", " ")).load()


def test_field_lines_show_lists_and_flags_and_leave_nulls_out(tmp_path: Path) -> None:
    (tmp_path / "k.jsonl").write_text(
        '{"sku": 7, "title": "A", "tags": ["x", 2], "new": true, "gone": null}\n'
    )
    catalog = FieldLines(path=tmp_path / "k.jsonl", id_field="sku").load()
    assert catalog.ids == ("7",)
    assert catalog.name_field == "title"
    assert catalog.fields("7") == {"title": "A", "tags": "x, 2", "new": "yes"}


def test_field_lines_faults(tmp_path: Path) -> None:
    assert lines_fault(tmp_path, '{"Name": "A"}\n{"Nmae": "B"}\n{"Name": "a"}\n{"Name": {"x": 1}}') == [
        "k.jsonl:2: the item has no 'Name' (its name); did you mean 'Nmae'?",
        "k.jsonl:3: duplicate name 'a', first on line 1",
        "k.jsonl:4: field 'Name' must be text or a number, not an object",
    ]
    assert lines_fault(tmp_path, '{"Name": "A", "Text": ""}') == [
        "k.jsonl:1: field 'Text' is empty; leave it out or write text"
    ]
    assert lines_fault(tmp_path, '{"Name": "A", "skU": "1"}', id_field="sku") == [
        "k.jsonl:1: the item has no 'sku' (its id); did you mean 'skU'?"
    ]
    assert lines_fault(tmp_path, "") == ["k.jsonl: there are no items"]


def test_repaired_names(tmp_path: Path) -> None:
    (tmp_path / "k.jsonl").write_text(
        '{"id": "1", "Name": "A"}\n{"id": "2", "Name": "a"}\n{"id": "3", "Text": "t"}\n'
    )
    catalog = FieldLines(
        path=tmp_path / "k.jsonl", id_field="id", name_field="Name", repair_names=True
    ).load()
    assert [catalog.name_of(item_id) for item_id in catalog.ids] == ["A", "a (2)", "3"]


def test_names_that_slug_alike_get_different_ids(tmp_path: Path) -> None:
    (tmp_path / "k.jsonl").write_text(
        "".join(f'{{"Name": "{name}"}}\n' for name in ("A+B", "A B", "a&b", "+"))
    )
    assert FieldLines(path=tmp_path / "k.jsonl").load().ids == ("a-b", "a-b-2", "a-b-3", "item")


def test_csv(tmp_path: Path) -> None:
    (tmp_path / "k.csv").write_text("\ufeff" + TABLE.replace("\n", "\r\n"), newline="")
    catalog = Csv(path=tmp_path / "k.csv", id_field="Sku").load()
    assert catalog.ids == ("k1", "k2")
    assert catalog.name_field == "Title"
    assert catalog.fields("k1")["Text"] == 'A kettle,\nin "two" lines'
    assert "Text" not in catalog.fields("k2")
    assert catalog.item("k2").attributes == {"price": 25.0, "colour": "blue"}
    assert Csv(path=tmp_path / "k.csv").load().ids == ("alba", "bora")


def test_csv_faults(tmp_path: Path) -> None:
    assert csv_fault(tmp_path, TABLE, id_field="SKU", name_field="Titel") == [
        "k.csv:1: there is no column 'SKU' (id_field); did you mean 'Sku'?",
        "k.csv:1: there is no column 'Titel' (name_field); did you mean 'Title'?",
    ]
    assert csv_fault(tmp_path, "a,a,\n1,2,3\n") == [
        "k.csv:1: column 3 has no name",
        "k.csv:1: the column 'a' appears twice",
    ]
    assert csv_fault(tmp_path, TABLE + "k3,Cora\nk1,Dora,,,\n,Elsa,,,\nk4,,$1,,\n", id_field="Sku") == [
        "k.csv:5: the row has 2 cells, the header has 5",
        "k.csv:6: duplicate id 'k1', first on line 2",
        "k.csv:7: the id is empty",
        "k.csv:8: the item has no 'Title' (its name); known are 'Price'",
    ]
    assert csv_fault(tmp_path, 'Name,Text\nA,"open\nB,c\n') == [
        "k.csv:2: not a table from here on: unexpected end of data"
    ]
    assert csv_fault(tmp_path, "") == ["k.csv: there are no items"]


def test_csv_with_another_delimiter(tmp_path: Path) -> None:
    (tmp_path / "k.tsv").write_text('Name\tText\nA\tb, "c"\n')
    assert Csv(path=tmp_path / "k.tsv", delimiter="\t").load().fields("a") == {"Name": "A", "Text": 'b, "c"'}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$1,299", 1299),
        ("4.5", 4.5),
        ("12 cups", 12),
        ("85%", 85),
        ("-3 °C", None),
        ("€ 7", 7),
        ("2.3 kg", 2.3),
        ("5 out of", 5),
        ("2 in 1", None),
        ("about 3", None),
        ("1,2", None),
        ("9" * 400, None),
        ("", None),
    ],
)
def test_displayed_numbers(text: str, number: float | None) -> None:
    assert displayed_number(text) == number


def test_slugs() -> None:
    assert [slug(text) for text in ("Grind&Brew Plus", "  Ünïcode -- x ", "東京 一", "***")] == [
        "grind-brew-plus",
        "unicode-x",
        "東京-一",
        "item",
    ]


def test_beir(tmp_path: Path) -> None:
    catalog = beir(tmp_path).load()
    assert catalog.name_field == "title"
    assert catalog.fields("d1") == {"title": "One", "text": "First."}
    assert catalog.name_of("d2") == "d2", "a document without a title is called by its id"
    assert [request.id for request in catalog.requests] == ["q1"], "only queries with judgements"
    assert catalog.judgements == {"q1": {"d1": 2}}


def test_beir_packed_and_in_the_official_layout(tmp_path: Path) -> None:
    plain = beir(tmp_path).load()
    for name in ("corpus.jsonl", "queries.jsonl"):
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name).read_bytes()))
        (tmp_path / name).unlink()
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels_test.tsv").rename(tmp_path / "qrels" / "dev.tsv")
    assert Beir(path=tmp_path, split="dev").load().fingerprint == plain.fingerprint


def test_beir_titles_that_repeat(tmp_path: Path) -> None:
    corpus = '{"_id": "a", "title": "Sum\\nmary", "text": "x"}\n{"_id": "b", "title": "Sum mary"}\n'
    corpus = corpus.replace('mary"}', 'mary", "text": "y"}')
    catalog = beir(tmp_path, corpus__jsonl=corpus, qrels_test__tsv="q1\ta\t1\n").load()
    assert [catalog.name_of(item_id) for item_id in catalog.ids] == ["Sum mary", "Sum mary (b)"]
    assert catalog.judgements == {"q1": {"a": 1}}, "a file of judgements may lack the header"


def test_beir_faults(tmp_path: Path) -> None:
    plugin = beir(
        tmp_path,
        corpus__jsonl='{"_id": "d1", "title": "", "text": " "}\n{"id": "d2", "title": "", "text": "x"}\n'
        '{"_id": "d3", "text": 4}\n{"_id": "d4", "text": "fine"}\n',
        queries__jsonl='{"_id": "q1", "text": ""}\n{"_id": "q1", "text": "x"}\n',
        qrels_test__tsv="query-id\tcorpus-id\tscore\nq1\td1\tx\nq9\td9\t1\nq1\td4\n",
    )
    assert message(plugin, tmp_path) == [
        "corpus.jsonl:1: the item has no text",
        "corpus.jsonl:2: '_id' is missing; did you mean 'id'?",
        "corpus.jsonl:3: 'text' must be text, not a number",
        "queries.jsonl:1: 'text' is empty",
        "queries.jsonl:2: duplicate id 'q1'",
        "qrels_test.tsv:2: the score must be a whole number, not 'x'",
        "qrels_test.tsv:3: judgement for the unknown query 'q9'; known are 'q1'",
        "qrels_test.tsv:3: judgement for the unknown item 'd9'; known are 'd1', 'd4'",
        "qrels_test.tsv:4: a judgement has 3 cells (query, document, score), not 2",
    ]


def test_a_folder_that_is_not_beir(tmp_path: Path) -> None:
    assert message(Beir(path=tmp_path), tmp_path) == [
        "corpus.jsonl: no such file",
        "queries.jsonl: no such file",
        "qrels/test.tsv: no such file",
    ]


def test_broken_encodings(tmp_path: Path) -> None:
    good = '{"Name": "Å"}\n'.encode()
    assert lines_fault(tmp_path, good + '{"Name": "É"}\n'.encode("latin-1")) == [
        "k.jsonl:2: not UTF-8: byte 0xc9 at byte 11"
    ]
    assert lines_fault(tmp_path, '{"Name": "A"}'.encode("utf-16")) == [
        "k.jsonl:1: the file is UTF-16; save it as UTF-8"
    ]
    (tmp_path / "k.csv").write_bytes(b"Name,Text\nA,b\nB,\xff\n")
    assert message(Csv(path=tmp_path / "k.csv"), tmp_path)[0] == "k.csv:3: not UTF-8: byte 0xff at byte 3"


def test_a_broken_archive(tmp_path: Path) -> None:
    whole = gzip.compress("".join(f'{{"Name": "A{n}"}}\n' for n in range(10_000)).encode())
    (tmp_path / "k.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    found = message(FieldLines(path=tmp_path / "k.jsonl.gz"), tmp_path)
    assert found[0].startswith("k.jsonl.gz: cannot be read: Compressed file ended")


def test_an_endless_line_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalogs.loaders.lines.LONGEST", 1000)
    found = lines_fault(tmp_path, '{"Name": "A"}\n{"Name": "' + "x" * 5000 + '"}\n{"Name": 1, "Text": ""}\n')
    assert found == [
        "k.jsonl:2: line is longer than 1,000 bytes",
        "k.jsonl:3: field 'Text' is empty; leave it out or write text",
    ]


def test_a_large_file_is_read_quickly_and_in_columns(tmp_path: Path) -> None:
    count = 50_000
    with (tmp_path / "k.jsonl").open("w") as file:
        for number in range(count):
            file.write(
                f'{{"Name": "Item {number}", "Price": "${number}", "Text": "some text {number % 7}"}}\n'
            )
    started = time.perf_counter()
    catalog = FieldLines(path=tmp_path / "k.jsonl").load()
    assert time.perf_counter() - started < 20
    assert len(catalog) == count
    assert catalog.attributes[-1] == {"price": count - 1.0, "text": f"some text {(count - 1) % 7}"}
    assert [dict(facts) for facts in catalog.attributes[:2]] == [
        {"price": 0.0, "text": "some text 0"},
        {"price": 1.0, "text": "some text 1"},
    ]
