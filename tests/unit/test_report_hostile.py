"""Whatever stands in listings, texts, names, notes and scenarios: it is shown, and it does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_runs import ARMS, HOSTILE, ITEMS, STACK, manifest, records, write_run
from test_report_page import Page

from testbed.report import write_report

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\ufeff"
BAD = (
    "</title></style></svg></pre><script>alert(1)</script>\"'><img src=x onerror=alert(2)>]]>--><!--"
    f"{BIDI}\x00\x1b {{{{ 7*7 }}}} {{% raw %}} $x$ &amp;"
)


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> str:
    target = f"id{BAD}"
    found = records(targets=(target,), requests=("r0",), orders=4, text=BAD, note=BAD)
    about = manifest((target,), ("r0",))
    about["items"] = {item: f"{text} {BAD}" for item, text in ITEMS.items()}
    about["requests"] = {"r0": BAD + "\ud800"}
    about["targets"][target]["text"] = BAD
    about["notes"] = [BAD + "\ud800"]
    about["name"] = BAD
    about["argv"] = ["testbed", BAD]
    about["models"] = {BAD: {"fingerprint": BAD, "dtype": BAD, "tuned": BAD}}
    about["versions"] = {BAD: BAD}
    about["catalog"]["rule"] = BAD
    about["attack"] = {"use": BAD}
    about["threat"] = {"access": BAD, "field": BAD, "budget": {BAD: 3}}
    about["stack"] = [
        {**stage, "name": f"{stage['name']}{BAD}", "options": {BAD: BAD, "model": BAD}} for stage in STACK
    ]
    run = write_run(tmp_path_factory.mktemp("hostile"), found, about, "")
    (run / "scenario.yaml").write_text(f"name: {BAD}\n", encoding="utf-8", errors="replace")
    return write_report(run).read_text(encoding="utf-8")


def test_no_foreign_element_gets_in(html: str) -> None:
    page = Page(html)
    tags = {tag for tag, _ in page.tags}
    assert not {"script", "img", "iframe", "a:href", "object"} & tags
    assert [tag for tag, _ in page.tags].count("title") == 1
    assert [tag for tag, _ in page.tags].count("style") == 1
    for _, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on") or key == "src"]


def test_no_hidden_character_gets_in(html: str) -> None:
    for char in f"{BIDI}\x00\x1b":
        assert char not in html
        assert f"⟨U+{ord(char):04X}⟩" in html


def test_the_text_is_there_to_be_read(html: str) -> None:
    text = "".join(Page(html).texts)
    assert "<script>alert(1)</script>" in text
    assert "{{ 7*7 }}" in text
    assert "$x$" in text


def test_charts_hold_no_foreign_element(html: str) -> None:
    allowed = {"svg", "g", "path", "defs", "clippath", "rect", "use", "text", "tspan"}
    depth = 0
    for tag, _ in Page(html.replace("</svg>", "</svg><hr>")).tags:
        depth = 1 if tag == "svg" else 0 if tag == "hr" else depth
        assert not depth or tag in allowed


def test_a_template_in_a_text_is_not_run(tmp_path: Path) -> None:
    found = records(targets=("aurelia-grand",), requests=("r0",), orders=2, text=HOSTILE)
    page = write_report(write_run(tmp_path, found, manifest(("aurelia-grand",), ("r0",)))).read_text(
        encoding="utf-8"
    )
    assert "{{ 7*7 }}" in page


def test_names_of_arms_are_escaped(tmp_path: Path) -> None:
    arms = (*ARMS, "<i>other</i>")
    found = records(targets=("aurelia-grand",), requests=("r0",), orders=2, arms=arms)
    about = manifest(("aurelia-grand",), ("r0",), arms=list(arms))
    page = write_report(write_run(tmp_path, found, about)).read_text(encoding="utf-8")
    assert "&lt;i&gt;other" in page
    assert "<i>other" not in page
