"""No text that an attack writes becomes part of the page."""

from __future__ import annotations

import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from toy_runs import DATA

from testbed.report import write_report
from testbed.runner import run
from testbed.scenario import from_mapping
from testbed.testing import texts, toy_registry

INVISIBLE = set(
    "\x00\x07\x08\x0b\x0c\x1b\x85\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\ufeff"
)


class Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def page_of(where: Path, text: str) -> str:
    shutil.rmtree(where, ignore_errors=True)
    data: dict[str, Any] = {
        **DATA,
        "attack": {"use": "fixed_text", "text": text},
        "seeds": [0],
        "evaluate": {"requests": 1, "orders": 2},
    }
    assert run(from_mapping(data, registry=toy_registry()), where).failed == ()
    return write_report(where).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The elements of a page about a harmless text."""
    return {tag for tag, _ in Tags(page_of(tmp_path_factory.mktemp("plain"), "best coffee")).found}


@pytest.mark.slow
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(text=texts(80))
def test_the_page_has_the_same_elements_whatever_is_written(
    plain: set[str], tmp_path: Path, text: str
) -> None:
    page = page_of(tmp_path / "hostile", text)
    for tag, attributes in Tags(page).found:
        assert tag in plain | {"mark", "ins", "del", "span", "code"}
        assert not [name for name in attributes if name.startswith("on")]
    assert not INVISIBLE & set(page)
