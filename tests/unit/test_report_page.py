"""The page as a whole: complete, sealed, small, and the same bytes each time."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from report_runs import normal_run

from testbed.errors import UserError
from testbed.report import write_report

VOID = {"meta", "br", "img", "link", "hr", "input"}


class Page(HTMLParser):
    """Tags with attributes, and text; complains about tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        raise AssertionError(f"self-closing {tag}")

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return normal_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def test_every_section_is_there(html: str) -> None:
    page = Page(html)
    parts = [attributes.get("id") for tag, attributes in page.tags if tag == "section"]
    assert parts == [
        *("victim", "effect", "ranks", "shifts", "survival", "stack", "quality", "harm", "order"),
        *("diagnostics", "convergence", "cost", "statuses", "examples", "provenance", "rows"),
    ]
    links = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    ids = {f"#{attributes['id']}" for _, attributes in page.tags if "id" in attributes}
    assert links <= ids


def test_the_page_is_sealed(html: str) -> None:
    page = Page(html)
    policies = [
        a["content"]
        for tag, a in page.tags
        if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policies == [
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    ]
    assert not {"script", "img", "link", "iframe", "object", "embed", "base", "form"} & {
        tag for tag, _ in page.tags
    }
    for _, attributes in page.tags:
        assert not [key for key in attributes if key.startswith("on")]
        assert str(attributes.get("href", "#")).startswith("#")
    assert "http:" not in html
    assert "https:" not in html
    assert "url(" not in re.sub(r'clip-path="url\(#[\w@:-]+\)"', "", html)


def test_ids_are_unique_and_references_resolve(html: str) -> None:
    page = Page(html)
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    used = [attributes["href"] for tag, attributes in page.tags if tag == "use"]
    used += [f"#{found}" for found in re.findall(r'clip-path="url\(#([^)]+)\)"', html)]
    assert used
    assert {str(one)[1:] for one in used} <= set(ids)


def test_charts_take_their_colours_from_the_page(html: str) -> None:
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(charts) > 12
    for chart in charts:
        assert re.findall(r"#[0-9a-f]{6}", chart) == []
        assert "font-family" not in chart
        assert "aria-label" in chart
        assert "<metadata" not in chart
    css = html[html.index("<style>") : html.index("</style>")]
    for variable in set(re.findall(r"var\((--\w+)\)", html)):
        assert css.count(f"{variable}:") == 2, variable


def test_the_same_run_gives_the_same_bytes(run: Path, html: str, tmp_path: Path) -> None:
    code = f"from testbed.report import write_report; write_report({str(run)!r})"
    settings = tmp_path / "matplotlibrc"
    settings.write_text("axes.facecolor: black\nfont.size: 22\nsvg.fonttype: path\n")
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={"MATPLOTLIBRC": str(settings), "PYTHONHASHSEED": "7"}
    )
    assert (run / "report.html").read_text(encoding="utf-8") == html


def test_a_normal_page_is_small(html: str) -> None:
    assert len(html.encode()) < 600_000


def test_numbers_of_the_verdict_are_those_of_the_tables(run: Path, html: str) -> None:
    from testbed.report.numbers import with_interval
    from testbed.tables import tables_of

    effect = tables_of(run)["verdict"]["pooled"]["mean"]
    estimate, interval = with_interval(effect, "points").split(" ", 1)
    card = html[html.index('class="card main"') :][:400]
    assert f">{estimate} <" in card
    assert interval in card


def test_matplotlib_and_jinja2_load_late(run: Path) -> None:
    late = ("matplotlib", "jinja2", "numpy", "polars")
    code = f"import sys, testbed.report; print([m for m in {late} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout.strip() == "[]"


def test_settings_of_matplotlib_are_left_alone(run: Path) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    write_report(run)
    assert dict(matplotlib.rcParams) == before


def test_a_folder_that_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"not a run directory \(no manifest.json\)"):
        write_report(tmp_path)
